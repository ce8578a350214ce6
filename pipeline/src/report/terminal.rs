//! The report on the terminal: what a newcomer must see, in one look.

mod model;

use super::screen::Screen;
use super::{BreachFact, HubFact, ReportInput, printable};
use crate::diagnostic::Lang;
use crate::judge::{Detection, RuleFinding, Tally, View};
use crate::rules::file::Status;
use crate::source::order::OnDisk;

/// The most rules that are listed; the others are in the HTML report and in `metrics.json`.
const RULES_MAX: usize = 25;
/// The most kinds of fraud that are listed.
const TYPOLOGIES_MAX: usize = 15;

/// The most names in a list of names: features that are warming, rules in shadow that hit nothing.
const NAMED_MAX: usize = 3;
/// Digits that tell two hashes apart at a glance.
const HASH_SHOWN: usize = 12;

/// The report as text.
pub fn terminal(input: &ReportInput<'_>, screen: Screen) -> String {
    let mut page = Page { text: String::new(), screen };
    page.heading(input.title);
    page.summary(input);
    let truth = &input.judgement.truth;
    match (truth.views().next(), truth.given) {
        (Some(_), _) => {}
        (None, true) => page.line(page.say(
            "no labels: the file of --labels has none, so nobody knows which alerts are right",
            "没有标签：--labels 文件中没有标签，无法判断预警是否正确",
        )),
        (None, false) => page.line(page.say(
            "no labels: --labels FILE tells fraud from honest and adds precision, recall and more",
            "没有标签：用 --labels FILE 给出欺诈与正常，即可得到精确率、召回率等指标",
        )),
    }
    for view in input.judgement.truth.views() {
        page.view(view, input.run.partial);
    }
    page.model(input);
    page.rules(input);
    page.text
}

struct Page {
    text: String,
    screen: Screen,
}

impl Page {
    fn say(&self, en: &'static str, zh: &'static str) -> &'static str {
        self.screen.say(en, zh)
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(self.screen.bold(&printable(heading)));
    }

    /// A table; the first `words` columns are words, the others are numbers.
    fn table(&mut self, header: &[&str], words: usize, rows: Vec<Vec<String>>) {
        self.text.push_str(&self.screen.table(header, words, rows));
    }

    fn summary(&mut self, input: &ReportInput<'_>) {
        let found = input.judgement;
        let counts = input.run.counts;
        let mut rows = Vec::new();
        if input.run.partial {
            let value = self.interruption(input);
            rows.push(vec![self.say("partial", "不完整").to_owned(), value]);
        }
        let sum = format!(
            "in {} = decided {} + applied {} + rejected {} + duplicates {}",
            grouped(counts.read),
            grouped(counts.decided),
            grouped(counts.applied),
            grouped(counts.rejected),
            grouped(counts.duplicates),
        );
        let sum_zh = format!(
            "读入 {} = 决策 {} + 应用 {} + 拒收 {} + 重复 {}",
            grouped(counts.read),
            grouped(counts.decided),
            grouped(counts.applied),
            grouped(counts.rejected),
            grouped(counts.duplicates),
        );
        let sum = if self.screen.lang == Lang::En { sum } else { sum_zh };
        let sum = match (counts.balance(), input.run.partial) {
            (true, _) => sum,
            (false, true) => {
                let rest = grouped(counts.missing());
                sum + " + " + self.say("not reached", "未及处理") + " " + &rest
            }
            (false, false) => sum + self.say("  DOES NOT ADD UP", "  【不平衡】"),
        };
        rows.push(vec![self.say("records", "记录").to_owned(), sum]);
        for reject in &input.run.rejects {
            let value = format!("{} {}", grouped(reject.count), printable(&reject.example));
            let name = self.say("rejected", "拒收");
            rows.push(vec![format!("  {name} {}", reject.code), value]);
        }
        for breach in &input.run.breaches {
            let BreachFact { finding, kind, count, first } = breach;
            let first: Vec<_> = first.iter().map(|id| printable(id)).collect();
            let (kind, count, first) = (printable(kind), grouped(*count), first.join(", "));
            let value = match self.screen.lang {
                Lang::En => format!("{finding}: {count} of kind {kind}, first {first}"),
                Lang::Zh => format!("{finding}：{count} 个 {kind} 事件，首例 {first}"),
            };
            let name = self.say("broken law", "违反红包规则");
            rows.push(vec![format!("  {name}"), value]);
        }
        if let Some(on_disk) = input.run.sorted_on_disk {
            let name = self.say("sorted on disk", "磁盘排序");
            rows.push(vec![name.to_owned(), self.on_disk(on_disk)]);
        }
        for hub in &input.run.hubs {
            let name = self.say("links left out", "未用的关联").to_owned();
            rows.push(vec![name, self.hub(hub)]);
        }
        self.changes(input, &mut rows);
        rows.push(vec![self.say("decisions", "决策").to_owned(), self.mix(input)]);
        rows.push(vec![self.say("alerts", "预警").to_owned(), self.workload(input)]);
        rows.push(vec![self.say("money stopped", "拦下金额").to_owned(), self.money(input)]);
        if found.warmup > 0 {
            let value = grouped(found.warmup);
            rows.push(vec![self.say("warm-up, not judged", "预热，不计入").to_owned(), value]);
        }
        rows.push(vec![
            self.say("digest", "决策摘要").to_owned(),
            input.run.decisions_digest.clone(),
        ]);
        self.table(&[], 2, rows);
    }

    /// What was shared by too many to link anybody.
    fn hub(&self, hub: &HubFact) -> String {
        let HubFact { link, limit, times, accounts_max } = hub;
        let (link, limit) = (printable(link), grouped(limit.unsigned_abs()));
        let (times, most) = (grouped(*times), grouped(*accounts_max));
        match self.screen.lang {
            Lang::En => format!("{link}: {times} times over {limit} accounts, at most {most}"),
            Lang::Zh => format!("{link}：{times} 次超过 {limit} 个账户，最多 {most} 个"),
        }
    }

    /// What did not fit in memory.
    fn on_disk(&self, OnDisk { events, runs, bytes }: OnDisk) -> String {
        let (events, runs) = (grouped(events), grouped(runs));
        let size = indicatif::HumanBytes(bytes);
        match self.screen.lang {
            Lang::En => format!("{events} events in {runs} runs, {size}: over --sort-memory"),
            Lang::Zh => format!("{events} 个事件，分 {runs} 段，{size}：超出 --sort-memory"),
        }
    }

    fn interruption(&self, input: &ReportInput<'_>) -> String {
        let counts = input.run.counts;
        let (done, read) = (grouped(counts.accounted()), grouped(counts.read));
        let part = share(counts.accounted(), counts.read);
        match self.screen.lang {
            Lang::En => {
                format!(
                    "interrupted after {done} of {read} records ({part}): all below is of those"
                )
            }
            Lang::Zh => {
                format!("已中断：{read} 条记录中处理了 {done} 条（{part}），以下仅涉及已处理的部分")
            }
        }
    }

    /// A line a change of rules, and one for the features that were warming then.
    fn changes(&self, input: &ReportInput<'_>, rows: &mut Vec<Vec<String>>) {
        let changes = &input.run.changes;
        for (at, change) in (1..).zip(changes) {
            let name = self.say("rules changed", "规则变更");
            let hash = change.rules_hash.get(..HASH_SHOWN).unwrap_or(&change.rules_hash);
            let (time, rules) = (moment(change.effective_time), printable(&change.rules));
            let (count, said) = (changes.len(), self.say("model", "模型"));
            let model = change.model_hash.as_ref();
            let model =
                model.map(|hash| format!(" {said} {}", hash.get(..HASH_SHOWN).unwrap_or(hash)));
            let model = model.unwrap_or_default();
            rows.push(vec![
                format!("{name} {at}/{count}"),
                format!("{time} {hash} {rules}{model}"),
            ]);
            let Some(until) = change.warming.iter().map(|warming| warming.until).max() else {
                continue;
            };
            let names = named(change.warming.iter().map(|warming| warming.feature.as_str()));
            let until = moment(until);
            let value = match self.screen.lang {
                Lang::En => format!("until {until}: {names}"),
                Lang::Zh => format!("至 {until}：{names}"),
            };
            rows.push(vec![self.say("  warming", "  预热").to_owned(), value]);
        }
    }

    fn mix(&self, input: &ReportInput<'_>) -> String {
        let decided = &input.judgement.decided;
        let all = input.judgement.transactions;
        let part = |name: &str, tally: Tally| {
            format!("{name} {} ({})", grouped(tally.count), share(tally.count, all))
        };
        [
            part(self.screen.decision("allow"), decided.allow),
            part(self.screen.decision("review"), decided.review),
            part(self.screen.decision("hold"), decided.hold),
            part(self.screen.decision("block"), decided.block),
        ]
        .join("  ")
    }

    fn workload(&self, input: &ReportInput<'_>) -> String {
        let work = input.judgement.workload;
        let (alerts, accounts) = (grouped(work.alerts), grouped(work.accounts_alerted));
        let a_day = work.alerts_per_day.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let most = grouped(work.alerts_per_day_max);
        match self.screen.lang {
            Lang::En => {
                format!("{alerts} on {accounts} accounts; {a_day} a day, at most {most}")
            }
            Lang::Zh => format!("{alerts} 笔，涉及 {accounts} 个账户；日均 {a_day}，最多 {most}"),
        }
    }

    fn money(&self, input: &ReportInput<'_>) -> String {
        let decided = &input.judgement.decided;
        let (stopped, all) = (yuan(decided.stopped().fen), yuan(decided.total().fen));
        let later = yuan(decided.moved_after_stop.fen);
        match self.screen.lang {
            Lang::En => format!(
                "{stopped} of {all} yuan; {later} more moved later by accounts stopped before"
            ),
            Lang::Zh => {
                format!("{stopped} 元，共 {all} 元；另有 {later} 元由曾被拦下的账户其后转出")
            }
        }
    }

    fn view(&mut self, view: &View, partial: bool) {
        let subject = view.subject.name();
        let (fraud, honest) = (grouped(view.labels.fraud), grouped(view.labels.honest));
        self.heading(&match self.screen.lang {
            Lang::En => format!("by {subject} labels ({fraud} fraud, {honest} honest)"),
            Lang::Zh => {
                let subject = ["交易", "账户", "群"][view.subject as usize];
                format!("按{subject}标签评判（欺诈 {fraud}，正常 {honest}）")
            }
        });
        let header = [
            self.say("precision", "精确率"),
            self.say("recall", "召回率"),
            "F1",
            "AUC",
            self.say("average precision", "平均精度"),
            self.say("alerted fraud", "预警欺诈"),
            self.say("alerted honest", "误报"),
        ];
        let row = vec![
            figure(view.precision),
            figure(view.recall),
            figure(view.f1),
            figure(view.auc),
            figure(view.average_precision),
            self.of(view.confusion.true_positives, view.fraud.total().count),
            self.of(view.confusion.false_positives, view.honest.total().count),
        ];
        self.table(&header, 0, vec![row]);
        self.line("");
        self.view_details(view, partial);
        self.typologies(view);
    }

    fn of(&self, part: u64, whole: u64) -> String {
        format!("{} / {}", grouped(part), grouped(whole))
    }

    fn view_details(&mut self, view: &View, partial: bool) {
        let fraud = &view.fraud;
        let mut rows = vec![
            vec![
                self.say("fraud stopped, yuan", "拦下欺诈金额（元）").to_owned(),
                format!("{} / {}", yuan(fraud.stopped().fen), yuan(fraud.total().fen)),
            ],
            vec![
                self.say("  moved after a stop, yuan", "  被拦后又转出（元）").to_owned(),
                yuan(fraud.moved_after_stop.fen),
            ],
            vec![
                self.say("fraud accounts alerted", "命中欺诈账户").to_owned(),
                self.of(view.accounts.fraud_alerted, view.accounts.fraud),
            ],
            vec![
                self.say("honest accounts touched", "波及正常账户").to_owned(),
                self.touched(view),
            ],
        ];
        if let Some(detection) = &view.detection {
            let name = self.say("time to detection", "发现用时").to_owned();
            rows.push(vec![name, self.detection(detection)]);
            if detection.early_only > 0 {
                let name = self.say("  alerted before only", "  仅在此前预警").to_owned();
                rows.push(vec![name, self.early_only(detection)]);
            }
            if let Some(left_out) = detection.in_warmup {
                let name = self.say("  left out", "  未计入").to_owned();
                rows.push(vec![name, self.in_warmup(left_out.get())]);
            }
        }
        let unlabelled = self.say("without label, as honest", "无标签，按正常计").to_owned();
        rows.push(vec![unlabelled, grouped(view.unlabelled)]);
        if view.labels.unmatched > 0 {
            let examples: Vec<String> =
                view.labels.unmatched_examples.iter().map(|id| printable(id)).collect();
            let more = view.labels.unmatched > examples.len() as u64;
            let value = format!(
                "{} ({}{})",
                grouped(view.labels.unmatched),
                examples.join(", "),
                if more { " .." } else { "" }
            );
            let name = if partial {
                self.say("labels that match nothing reached", "未匹配已处理交易的标签")
            } else {
                self.say("labels that match nothing", "未匹配标签")
            };
            rows.push(vec![name.to_owned(), value]);
        }
        self.table(&[], 2, rows);
    }

    fn touched(&self, view: &View) -> String {
        let alerted = grouped(view.accounts.honest_alerted);
        let stopped = grouped(view.accounts.honest_stopped);
        match self.screen.lang {
            Lang::En => format!("{alerted} alerted, of these {stopped} stopped"),
            Lang::Zh => format!("预警 {alerted}，其中被拦下 {stopped}"),
        }
    }

    fn detection(&self, detection: &Detection) -> String {
        let found = self.of(detection.detected, detection.subjects);
        let (median, p90) = (self.lasting(detection.median_ms), self.lasting(detection.p90_ms));
        match self.screen.lang {
            Lang::En => format!("median {median}, 90 % within {p90}; detected {found}"),
            Lang::Zh => format!("中位数 {median}，九成在 {p90} 内；发现 {found}"),
        }
    }

    /// Those whose alerts all come before their labels say that they could be seen.
    fn early_only(&self, detection: &Detection) -> String {
        let count = grouped(detection.early_only);
        match self.screen.lang {
            Lang::En => format!("{count}, no detection: their labels say they could be seen later"),
            Lang::Zh => format!("{count}，不算发现：预警早于标签所述的可发现时间"),
        }
    }

    /// Those of which the alerts that count may be in the warm-up, which is not judged.
    fn in_warmup(&self, left_out: u64) -> String {
        let count = grouped(left_out);
        match self.screen.lang {
            Lang::En => format!("{count}, which could be seen before the warm-up's end"),
            Lang::Zh => format!("{count}，预热结束前已可发现"),
        }
    }

    fn lasting(&self, ms: Option<i64>) -> String {
        let Some(ms) = ms else { return "-".to_owned() };
        let units = [
            (86_400_000, self.say("d", "天")),
            (3_600_000, self.say("h", "小时")),
            (60_000, self.say("min", "分")),
            (1_000, self.say("s", "秒")),
        ];
        match units.into_iter().find(|(unit, _)| ms >= *unit) {
            Some((unit, name)) => format!("{:.1} {name}", ms as f64 / unit as f64),
            None => format!("{ms} ms"),
        }
    }

    fn typologies(&mut self, view: &View) {
        if view.typologies.iter().all(|slice| slice.name.is_empty()) {
            return;
        }
        self.line("");
        let header = [
            self.say("typology", "类型"),
            self.say("subjects caught", "发现对象"),
            self.say("transactions alerted", "预警笔数"),
            self.say("recall", "召回率"),
            self.say("precision", "精确率"),
            self.say("yuan stopped", "拦下（元）"),
            self.say("of yuan", "共（元）"),
        ];
        let rows = view.typologies.iter().take(TYPOLOGIES_MAX).map(|slice| {
            let (alerts, all) = (slice.decided.alerts().count, slice.decided.total());
            let name = if slice.name.is_empty() {
                self.say("(none)", "（未注明）")
            } else {
                &slice.name
            };
            vec![
                printable(name),
                self.of(slice.caught.alerted, slice.caught.subjects),
                self.of(alerts, all.count),
                share(alerts, all.count),
                slice.precision.map_or_else(|| "-".to_owned(), percent),
                yuan(slice.decided.stopped().fen),
                yuan(all.fen),
            ]
        });
        let rows = rows.collect();
        self.table(&header, 1, rows);
    }

    /// The rules that hit, the most useful first: by fraud hits where there is truth, else by hits.
    fn rules(&mut self, input: &ReportInput<'_>) {
        let found = input.judgement;
        let view = found.truth.views().next();
        let fraud_hits = |at: usize| view.map_or(0, |view| view.rules[at].fraud_hits);
        let mut order: Vec<usize> =
            (0..found.rules.len()).filter(|&at| found.rules[at].hits.count > 0).collect();
        order.sort_by_key(|&at| std::cmp::Reverse((fraud_hits(at), found.rules[at].hits.count)));
        self.heading(self.say("rules", "规则"));
        let header = match view {
            Some(_) => [
                self.say("rule", "规则"),
                self.say("score", "分值"),
                self.say("hits", "命中"),
                self.say("fraud", "欺诈"),
                self.say("precision", "精确率"),
                self.say("unique", "独有"),
                self.say("marginal", "边际"),
            ]
            .to_vec(),
            None => [
                self.say("rule", "规则"),
                self.say("score", "分值"),
                self.say("hits", "命中"),
                self.say("alerts", "预警"),
                self.say("unique", "独有"),
                self.say("marginal", "边际"),
            ]
            .to_vec(),
        };
        let rows =
            order.iter().take(RULES_MAX).map(|&at| rule_row(&found.rules[at], view, at)).collect();
        self.table(&header, 1, rows);
        let live = found.rules.iter().filter(|rule| rule.rule.status == Status::Live).count();
        let listed = order.len().min(RULES_MAX);
        let silent = live - order.len();
        self.line(match self.screen.lang {
            Lang::En => format!(
                "{listed} of {live} live rules shown, {silent} hit nothing. unique: alerts that no \
                 other rule hit;\nmarginal: alerts that would not be without the rule{}.",
                if view.is_some() { " (both of fraud)" } else { "" }
            ),
            Lang::Zh => format!(
                "列出 {live} 条生效规则中的 {listed} 条，{silent} 条未命中。独有：仅此规则命中的预警；\n\
                 边际：去掉该规则就不再预警的笔数{}。",
                if view.is_some() { "（均指欺诈）" } else { "" }
            ),
        });
        self.not_evaluable(input);
        self.silent_in_shadow(input);
    }

    /// Rules that lacked a value, which is no miss: those that lacked one most often first.
    fn not_evaluable(&mut self, input: &ReportInput<'_>) {
        let mut rules: Vec<_> = input.run.not_evaluable.iter().collect();
        if rules.is_empty() {
            return;
        }
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.count));
        let told: Vec<String> =
            rules.iter().map(|rule| format!("{} {}", rule.name, grouped(rule.count))).collect();
        let name = self.say("not evaluable, transactions", "无法判定（笔数）").to_owned();
        self.table(&[], 2, vec![vec![name, named(told.iter().map(String::as_str))]]);
    }

    /// Rules in shadow that hit nothing: nobody sees from their hits what they would do.
    fn silent_in_shadow(&mut self, input: &ReportInput<'_>) {
        let hit = |id: &str| input.run.shadow_hits.iter().any(|rule| rule.name == id);
        let rules = input.judgement.rules.iter().map(|found| &found.rule);
        let silent: Vec<&str> = rules
            .filter(|rule| rule.status == Status::Shadow && !hit(&rule.id))
            .map(|rule| rule.id.as_str())
            .collect();
        if silent.is_empty() {
            return;
        }
        let name = self.say("in shadow, hit nothing", "影子规则，未命中").to_owned();
        let count = grouped(silent.len() as u64);
        let names = named(silent.into_iter());
        let value = match self.screen.lang {
            Lang::En => format!("{count}: {names}"),
            Lang::Zh => format!("{count} 条：{names}"),
        };
        self.table(&[], 2, vec![vec![name, value]]);
    }
}

/// The first few names, and how many more there are.
fn named<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let mut shown: Vec<String> = names.take(NAMED_MAX).map(printable).collect();
    if more > 0 {
        shown.push(format!("+{more}"));
    }
    shown.join(", ")
}

fn rule_row(rule: &RuleFinding, view: Option<&View>, at: usize) -> Vec<String> {
    let mut row = vec![rule.rule.id.clone(), rule.rule.score.to_string(), grouped(rule.hits.count)];
    match view.map(|view| &view.rules[at]) {
        Some(truth) => row.extend([
            grouped(truth.fraud_hits),
            figure(truth.precision),
            grouped(truth.unique),
            grouped(truth.marginal),
        ]),
        None => {
            row.extend([grouped(rule.alerts), grouped(rule.unique), grouped(rule.marginal)]);
        }
    }
    row
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    percent(part as f64 / whole as f64)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Digits in groups of three.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in UTC.
fn moment(time: i64) -> String {
    jiff::Timestamp::from_millisecond(time).map_or_else(|_| time.to_string(), |at| at.to_string())
}

/// Fen as yuan, exactly; of money that is never below zero.
pub(crate) fn yuan(fen: i64) -> String {
    format!("{}.{:02}", grouped(fen.unsigned_abs() / 100), fen.unsigned_abs() % 100)
}

/// By how many fen something changed, as yuan, with its sign as `{:+}` writes it.
pub(crate) fn yuan_change(fen: i64) -> String {
    format!("{}{}", if fen < 0 { '-' } else { '+' }, yuan(fen))
}

#[cfg(test)]
mod tests;
