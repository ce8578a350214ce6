//! A training on the terminal: what was learnt from, what to be wary of, and how good it is.

use models::judge::{Figure, Judgement};
use models::{Method, ModelKind, PartFacts, Scale, Trainer, Warning};

use super::{Outcome, interval};
use crate::diagnostic::Lang;
use crate::expr::Zone;
use crate::report::{Screen, grouped, printable, yuan};

/// The most inputs that are listed; all are in the card.
const INPUTS_MAX: usize = 12;
/// The most names in one line.
const NAMED_MAX: usize = 5;
/// From this population stability index on, a column has moved.
const MOVED: f64 = 0.25;
/// With fewer frauds in the test than this, a figure says little.
const FRAUDS_FEW: usize = 50;
/// A share of frauds so many times that of the calibration is another than was calibrated on.
const SHARES_APART: f64 = 3.0;

/// The outcome as text.
pub fn terminal(outcome: &Outcome, screen: Screen) -> String {
    let mut page = Page { text: String::new(), screen };
    let kind = page.kind(outcome.kind);
    page.heading(&format!("{} ({kind})", printable(&outcome.name)));
    page.data(outcome);
    page.parts(outcome);
    page.candidates(outcome);
    page.warnings(outcome);
    if outcome.judgement.positive > 0 {
        page.figures(&outcome.judgement);
        page.money(&outcome.judgement);
        page.typologies(&outcome.judgement);
        page.inputs(&outcome.judgement);
    }
    page.scale(outcome.model.scale());
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

    fn line(&mut self, en: String, zh: String) {
        self.text.push_str(match self.screen.lang {
            Lang::En => &en,
            Lang::Zh => &zh,
        });
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&self.screen.bold(heading));
        self.text.push('\n');
    }

    fn table(&mut self, header: &[&str], words: usize, rows: Vec<Vec<String>>) {
        self.text.push_str(&self.screen.table(header, words, rows));
    }

    fn kind(&self, kind: ModelKind) -> &'static str {
        match kind {
            ModelKind::Logistic => self.say("logistic regression", "逻辑回归"),
            ModelKind::Tree => self.say("decision tree", "决策树"),
            ModelKind::Forest => self.say("random forest", "随机森林"),
            ModelKind::Boosting => self.say("gradient boosting", "梯度提升"),
            ModelKind::Isolation => self.say("isolation forest", "孤立森林"),
        }
    }

    fn data(&mut self, outcome: &Outcome) {
        let labels = &outcome.labels;
        let part = match self.screen.lang {
            Lang::En => format!(
                "{} of the run's {} take part: {} fraud, {} honest, {} without a label, as honest",
                count(labels.rows),
                count(outcome.transactions),
                count(labels.fraud),
                count(labels.honest),
                count(labels.unlabelled)
            ),
            Lang::Zh => format!(
                "该运行 {} 笔中 {} 笔参与：欺诈 {}，正常 {}，无标签 {}（按正常计）",
                count(outcome.transactions),
                count(labels.rows),
                count(labels.fraud),
                count(labels.honest),
                count(labels.unlabelled)
            ),
        };
        let columns = match self.screen.lang {
            Lang::En => {
                format!("{} offered, {} read by the model", outcome.columns, outcome.inputs)
            }
            Lang::Zh => format!("提供 {} 列，模型使用 {} 列", outcome.columns, outcome.inputs),
        };
        let rows = vec![
            vec![self.say("transactions", "交易").to_owned(), part],
            vec![self.say("columns", "特征列").to_owned(), columns],
            vec![self.say("model hash", "模型哈希").to_owned(), outcome.model_hash.clone()],
        ];
        self.table(&[], 2, rows);
    }

    fn parts(&mut self, outcome: &Outcome) {
        let zone = Zone::new(&outcome.time_zone);
        let moment = |time: Option<i64>| match (time, &zone) {
            (Some(time), Some(zone)) => minute(&zone.moment(time)),
            _ => "-".to_owned(),
        };
        self.heading(self.say("parts, by time", "按时间划分"));
        let header = [
            self.say("part", "部分"),
            self.say("first", "首笔"),
            self.say("last", "末笔"),
            self.say("transactions", "交易"),
            self.say("fraud", "欺诈"),
            self.say("share", "占比"),
        ];
        let row = |part: &models::PartFacts| {
            let share = 100.0 * part.positive as f64 / part.rows.max(1) as f64;
            vec![
                match part.name.as_str() {
                    "train" => self.say("training", "训练"),
                    "calibration" => self.say("calibration", "校准"),
                    _ => self.say("test", "测试"),
                }
                .to_owned(),
                moment(part.first),
                moment(part.last),
                count(part.rows),
                count(part.positive),
                format!("{share:.2} %"),
            ]
        };
        let parts = outcome.split.parts.iter().filter(|part| part.rows > 0);
        let rows = parts.map(row).collect();
        self.table(&header, 3, rows);
        let facts = &outcome.split;
        let outside = facts.outside_rows - outcome.known_rows;
        let (gap, outside) = (count(facts.gap_rows), count(outside));
        let mut en = format!("left out: {gap} in the gap of the label delay, {outside} outside");
        let mut zh = format!("未用：标签延迟间隔内 {gap}，时间范围外 {outside}");
        if facts.group_rows > 0 || facts.groups != [0, 0] {
            let (rows, [train, test]) = (count(facts.group_rows), facts.groups);
            en += &format!(
                ", {rows} of groups on the other side ({train} groups train, {test} test)"
            );
            zh += &format!("，属于另一侧分组 {rows}（训练 {train} 组，测试 {test} 组）");
        }
        if outcome.known_rows > 0 {
            let known = count(outcome.known_rows);
            en += &format!(", {known} of accounts known for fraud");
            zh += &format!("，账户已知欺诈 {known}");
        }
        self.line(en, zh);
    }

    fn candidates(&mut self, outcome: &Outcome) {
        let Some(first) = outcome.candidates.first() else { return };
        self.heading(&match self.screen.lang {
            Lang::En => format!(
                "chosen on the validation part ({} transactions, {} fraud), before the test",
                count(first.rows),
                count(first.positive)
            ),
            Lang::Zh => format!(
                "依验证部分选择（{} 笔，欺诈 {}），早于测试",
                count(first.rows),
                count(first.positive)
            ),
        });
        let header =
            [self.say("model", "模型"), "", self.say("average precision", "平均精度"), "AUC"];
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let rows = outcome.candidates.iter().map(|candidate| {
            let mark = if candidate.chosen { self.say("chosen", "选中") } else { "" };
            vec![
                settings(&candidate.model),
                mark.to_owned(),
                number(candidate.average_precision),
                number(candidate.auc),
            ]
        });
        let rows = rows.collect();
        self.table(&header, 2, rows);
    }

    fn warnings(&mut self, outcome: &Outcome) {
        let mut lines: Vec<(String, String)> = Vec::new();
        for warning in &outcome.warnings {
            if let Warning::Leaking { column, auc } = warning {
                let column = printable(column);
                lines.push((
                    format!(
                        "{column} alone tells fraud apart (AUC {auc:.4}): does it know the answer?"
                    ),
                    format!("仅凭 {column} 即可区分欺诈（AUC {auc:.4}）：是否泄漏了答案？"),
                ));
            }
        }
        let constant: Vec<&str> = outcome
            .warnings
            .iter()
            .filter_map(|warning| match warning {
                Warning::Constant { column } => Some(column.as_str()),
                Warning::Leaking { .. } => None,
            })
            .collect();
        if !constant.is_empty() {
            let (number, names) = (constant.len(), named(&constant));
            lines.push((
                format!(
                    "{number} columns with one value in all of the training, left out: {names}"
                ),
                format!("{number} 列在训练中只有一个取值，未用：{names}"),
            ));
        }
        if !outcome.texts_left_out.is_empty() {
            let texts: Vec<&str> = outcome.texts_left_out.iter().map(String::as_str).collect();
            let (number, names) = (texts.len(), named(&texts));
            lines.push((
                format!(
                    "{number} texts left out (features.coded takes those of few values): {names}"
                ),
                format!("{number} 个文本特征未用（取值少的可写入 features.coded）：{names}"),
            ));
        }
        if !outcome.of_decisions_left_out.is_empty() {
            let out: Vec<&str> = outcome.of_decisions_left_out.iter().map(String::as_str).collect();
            let (number, names) = (out.len(), named(&out));
            lines.push((
                format!("{number} features left out that hang on the rules' decisions: {names}"),
                format!("{number} 个特征依赖规则的决策，未用：{names}"),
            ));
        }
        self.label_warnings(outcome, &mut lines);
        let moved = outcome.judgement.drift.iter().filter(|drift| drift.stability_index > MOVED);
        let moved: Vec<&str> = moved.map(|drift| drift.input.as_str()).collect();
        if !moved.is_empty() {
            let (number, names) = (moved.len(), named(&moved));
            lines.push((
                format!(
                    "{number} inputs moved between training and test (index over {MOVED}): {names}"
                ),
                format!("{number} 个输入在训练与测试间漂移（指数超过 {MOVED}）：{names}"),
            ));
        }
        if lines.is_empty() {
            return;
        }
        self.heading(self.say("to be wary of", "注意事项"));
        for (en, zh) in lines {
            self.line(format!("- {en}"), format!("- {zh}"));
        }
    }

    fn label_warnings(&self, outcome: &Outcome, lines: &mut Vec<(String, String)>) {
        let labels = &outcome.labels;
        if labels.events_unmatched > 0 {
            let (unmatched, all) = (count(labels.events_unmatched), count(labels.events));
            let examples: Vec<&str> =
                labels.events_unmatched_examples.iter().map(String::as_str).collect();
            let names = named(&examples);
            lines.push((
                format!(
                    "{unmatched} of {all} event labels match nothing that takes part: {names} .."
                ),
                format!("{all} 个交易标签中 {unmatched} 个未匹配参与的交易：{names} .."),
            ));
        }
        if labels.accounts_unmatched > 0 {
            let (unmatched, all) = (count(labels.accounts_unmatched), count(labels.accounts));
            lines.push((
                format!("{unmatched} of {all} account labels are of accounts that do not act here"),
                format!("{all} 个账户标签中 {unmatched} 个账户在此无交易"),
            ));
        }
        if labels.not_yet_known > 0 {
            let late = count(labels.not_yet_known);
            lines.push((
                format!("{late} frauds were not known when the test began: they train as honest"),
                format!("{late} 笔欺诈在测试开始时尚未查明：训练中按正常计"),
            ));
        }
        let positive = outcome.judgement.positive;
        if positive == 0 {
            lines.push((
                "no label is of the test: nothing is judged, and its rows only show what moved"
                    .to_owned(),
                "测试部分没有标签：不作评判，仅用于观察漂移".to_owned(),
            ));
        } else if positive < FRAUDS_FEW {
            lines.push((
                format!("the test has {positive} frauds only: read the intervals, not the figures"),
                format!("测试中仅有 {positive} 笔欺诈：请看区间而非单个数值"),
            ));
        }
        self.calibration_warning(outcome, lines);
    }

    /// A calibration says how probable fraud is where it is as frequent as it was there.
    fn calibration_warning(&self, outcome: &Outcome, lines: &mut Vec<(String, String)>) {
        let facts = outcome.model.training();
        if facts.is_none_or(|facts| facts.config.calibration.method == Method::None) {
            return;
        }
        let part = |name: &str| outcome.split.parts.iter().find(|one| one.name == name);
        // Where no slice is held out, the rows that train calibrate, too.
        let slice = part("calibration").filter(|one| one.rows > 0).or(part("train"));
        let (Some(slice), Some(test)) = (slice, part("test")) else { return };
        let share = |part: &PartFacts| 100.0 * part.positive as f64 / part.rows.max(1) as f64;
        let (own, tested) = (share(slice), share(test));
        if own * SHARES_APART > tested && tested * SHARES_APART > own {
            return;
        }
        let frauds = count(slice.positive);
        lines.push((
            format!(
                "calibrated on {frauds} frauds, {own:.2} % of their part, while the test has \
                 {tested:.2} %: probabilities may be off by as much"
            ),
            format!(
                "校准部分有欺诈 {frauds} 笔（占 {own:.2} %），而测试占 {tested:.2} %：概率可能有同样\
                 程度的偏差"
            ),
        ));
    }

    /// What the scores say to whoever puts the model beside rules; those of the default scale say
    /// what policy.toml takes them for.
    fn scale(&mut self, scale: Scale) {
        let (en, zh) = match scale {
            Scale::LogOdds => return,
            Scale::Probability => (
                "\nscores are thousandths of a probability: at_least = 330 in policy.toml, which is odds \
                 of one to\neleven on the scale log_odds, is a probability of 33 % here (83 is odds of \
                 one to eleven)",
                "\n分数为概率的千分数：policy.toml 中 at_least = 330 在 log_odds 刻度上为 1 比 11，\
                 在此为 33 % 的概率\n（83 才是 1 比 11）",
            ),
            Scale::Anomaly => (
                "\nscores say how odd a transaction is, and are no probabilities: with --model, write \
                 blend = \"rules\"\nunder [model] in policy.toml, which ranks by them beside the rules; \
                 or declare the model in\nfeatures.toml, and a rule compares its score with a threshold",
                "\n分数表示交易的异常程度，不是概率：用作 --model 时请在 policy.toml 的 [model] 下写 \
                 blend = \"rules\"，\n仅与规则并列排序；或在 features.toml 中声明该模型，由规则与阈值比较",
            ),
        };
        self.line(en.to_owned(), zh.to_owned());
    }

    fn figures(&mut self, judgement: &Judgement) {
        self.heading(self.say("on the test, with intervals of 95 %", "测试结果，附 95% 区间"));
        let mut rows = Vec::new();
        let mut row = |name: String, figure: Option<Figure>| {
            let [value, low, high] = interval(figure);
            rows.push(vec![name, value, low, high]);
        };
        row("AUC ROC".to_owned(), judgement.auc);
        row(self.say("average precision", "平均精度").to_owned(), judgement.average_precision);
        row("Card Precision@100".to_owned(), judgement.card_precision_100);
        for budget in &judgement.budgets {
            let alerts = budget.alerts_a_day;
            let (precision, recall) = match self.screen.lang {
                Lang::En => (
                    format!("precision at {alerts} alerts a day"),
                    format!("recall at {alerts} alerts a day"),
                ),
                Lang::Zh => (
                    format!("每日 {alerts} 条预警的精确率"),
                    format!("每日 {alerts} 条预警的召回率"),
                ),
            };
            row(precision, budget.precision);
            row(recall, budget.recall);
        }
        if let Some(error) = judgement.calibration_error {
            let name = self.say("calibration error", "校准误差").to_owned();
            rows.push(vec![name, format!("{error:.4}"), String::new(), String::new()]);
        }
        let header = [
            self.say("figure", "指标"),
            self.say("value", "数值"),
            self.say("from", "下限"),
            self.say("to", "上限"),
        ];
        self.table(&header, 1, rows);
        let bounded: Vec<_> = judgement.bounded().collect();
        if !bounded.is_empty() {
            let en = bounded.iter().map(|(alerts, most)| format!("{most:.3} at {alerts}"));
            let zh = bounded.iter().map(|(alerts, most)| format!("每日 {alerts} 条 {most:.3}"));
            let (en, zh): (Vec<_>, Vec<_>) = (en.collect(), zh.collect());
            self.line(
                format!(
                    "days of the test, whole or in part, have fewer frauds than alerts: no model has a \
                     higher\nprecision than {} alerts a day",
                    en.join(", ")
                ),
                format!(
                    "测试中有些日子（含不完整的）欺诈少于预警：任何模型的精确率至多为\n{}",
                    zh.join("，")
                ),
            );
        }
    }

    fn money(&mut self, judgement: &Judgement) {
        let Some(best) = judgement.costs.iter().min_by_key(|point| point.cost_fen) else { return };
        let all = best.stopped_fen + best.missed_fen;
        let (alerts, reviews) = (grouped(best.alerts), yuan(best.cost_fen - best.missed_fen));
        let (stopped, missed) = (yuan(best.stopped_fen), yuan(best.missed_fen));
        let (cost, all) = (yuan(best.cost_fen), yuan(all));
        self.line(
            format!(
                "cheapest threshold: {alerts} alerts stop {stopped} of {all} yuan of fraud; it costs \
                 {cost} yuan,\n{missed} missed and {reviews} of reviews"
            ),
            format!(
                "成本最低的阈值：{alerts} 条预警拦下欺诈 {stopped} 元（共 {all} 元）；成本 {cost} 元，\
                 \n其中漏过 {missed} 元、复核 {reviews} 元"
            ),
        );
    }

    fn typologies(&mut self, judgement: &Judgement) {
        if judgement.typologies.is_empty() {
            return;
        }
        let alerts = judgement.budgets.first().map_or(0, |budget| budget.alerts_a_day);
        self.heading(&match self.screen.lang {
            Lang::En => format!("by typology, at {alerts} alerts a day"),
            Lang::Zh => format!("按类型，每日 {alerts} 条预警"),
        });
        let header = [
            self.say("typology", "类型"),
            self.say("fraud", "欺诈"),
            self.say("alerted", "预警"),
            self.say("recall", "召回率"),
        ];
        let rows = judgement.typologies.iter().map(|one| {
            let recall = 100.0 * one.found as f64 / one.positive.max(1) as f64;
            let (name, positive) = (printable(&one.typology), count(one.positive));
            vec![name, positive, count(one.found), format!("{recall:.1} %")]
        });
        let rows = rows.collect();
        self.table(&header, 1, rows);
    }

    fn inputs(&mut self, judgement: &Judgement) {
        if judgement.importances.is_empty() {
            return;
        }
        self.heading(self.say(
            "what the model rests on: what is lost when an input is shuffled",
            "模型的依据：打乱某输入后的损失",
        ));
        let header = [
            self.say("input", "输入"),
            self.say("average precision", "平均精度"),
            "AUC",
            self.say("drift", "漂移"),
        ];
        let rows = judgement.importances.iter().take(INPUTS_MAX).map(|one| {
            let drift = judgement.drift.iter().find(|drift| drift.input == one.input);
            vec![
                printable(&one.input),
                format!("{:.4}", one.average_precision),
                format!("{:.4}", one.auc),
                drift.map_or("-".to_owned(), |drift| format!("{:.3}", drift.stability_index)),
            ]
        });
        let rows = rows.collect();
        self.table(&header, 1, rows);
        let more = judgement.importances.len().saturating_sub(INPUTS_MAX);
        if more > 0 {
            self.line(
                format!(
                    "{more} more inputs are in the card; drift is the population stability index"
                ),
                format!("另有 {more} 个输入见模型卡；漂移为群体稳定性指数"),
            );
        }
    }
}

/// A model in one line, for a table.
fn settings(model: &Trainer) -> String {
    match model {
        Trainer::Boosting(c) => {
            let rate = c.learning_rate;
            format!("boosting, {} trees, depth {}, rate {rate}", c.trees, c.depth_max)
        }
        Trainer::Forest(c) => {
            let leaf = c.leaf_rows_min;
            format!("forest, {} trees, depth {}, leaf {leaf}", c.trees, c.depth_max)
        }
        Trainer::Tree(c) => format!("tree, depth {}, leaf {}", c.depth_max, c.leaf_rows_min),
        Trainer::Logistic(c) => format!("logistic, l2 {:?}", c.l2),
        Trainer::Isolation(c) => format!("isolation, {} trees of {} rows", c.trees, c.sample_rows),
    }
}

/// The first few names, and how many more there are.
fn named(names: &[&str]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED_MAX).map(|name| printable(name)).collect();
    if names.len() > NAMED_MAX {
        shown.push(format!("+{}", names.len() - NAMED_MAX));
    }
    shown.join(", ")
}

fn count(value: usize) -> String {
    grouped(value as u64)
}

/// A moment to the minute, without its offset.
fn minute(moment: &str) -> String {
    moment.get(..16).unwrap_or(moment).replace('T', " ")
}
