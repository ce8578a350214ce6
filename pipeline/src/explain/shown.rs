//! An explanation on the terminal.

mod witness;

use super::{
    Before, Explanation, Hit, Listed, Miss, Moved, Operand, Side, Standing, Told, Transaction,
    Truth, Verdict, WhyNot,
};
use crate::diagnostic::Lang;
use crate::features::text::Marked;
use crate::report::{Screen, columns, grouped, minute, printable, short, yuan};

/// Characters of a text that are shown of what could be thousands.
const TEXT_CHARS: usize = 400;
/// Columns of the values of a clause that stand in one line.
const VALUES_COLUMNS: usize = 84;
/// Characters of what a value measures.
const MEANING_CHARS: usize = 60;

/// The explanation as text; ids and event text are escaped.
pub fn explanation(explained: &Explanation, screen: Screen) -> String {
    let mut page = Page { out: String::new(), screen };
    page.transaction(&explained.event);
    page.verdict(&explained.decision);
    page.texts(&explained.texts);
    page.hits(("reasons", "理由"), &explained.reasons);
    page.evidence(&explained.evidence);
    explained.model.iter().for_each(|moved| page.moved(moved));
    page.hits(("rules in shadow that hit", "命中的影子规则"), &explained.shadow);
    let (shown, all) = (explained.nearest.len(), explained.missed);
    let of = match (shown < all, page.say("of", "共")) {
        (false, _) => String::new(),
        (true, "of") => format!(" ({shown} of {all})"),
        (true, _) => format!("（{all} 条中的 {shown} 条）"),
    };
    page.misses(("nearest to hitting", "最接近命中"), &of, &explained.nearest);
    page.misses(("not evaluable", "无法求值"), "", &explained.not_evaluable);
    explained.witnesses.iter().flatten().for_each(|witness| page.witness(witness));
    page.finding(explained);
    page.lists(&explained.lists);
    page.sides(&explained.sides);
    page.before(&explained.before);
    page.notes(&explained.notes);
    page.out
}

/// How far a rule was from hitting, as text.
pub fn miss(told: &WhyNot, screen: Screen) -> String {
    let mut page = Page { out: String::new(), screen };
    page.transaction(&told.event);
    page.verdict(&told.decision);
    let rule = printable(&told.rule.rule);
    let title = page.screen.bold(&format!("{rule}  {}", printable(&told.rule.of.title)));
    page.line("");
    page.line(title);
    let on = told.on.join(", ");
    let outcome = match told.outcome {
        "hit" => page.say("it hit", "已命中").to_owned(),
        "miss" => page.say("it did not hit", "未命中").to_owned(),
        "not_evaluable" => page.say("it could not be evaluated", "无法求值").to_owned(),
        "not_rolled_out" => page
            .say(
                "its condition is met, and it is not rolled out to this transaction",
                "条件满足，但灰度范围不含该交易",
            )
            .to_owned(),
        _ => {
            let (en, zh) = ("it does not look at such transactions, only at", "只检查这些交易：");
            format!("{} {on}", page.say(en, zh))
        }
    };
    page.line(outcome);
    if !told.runs {
        let status = printable(&told.rule.of.status);
        let not = page.say("it does not run: its status is", "未运行，状态为");
        page.line(format!("{not} {status}"));
    }
    page.lack(&told.rule);
    page.told(&told.rule.condition, 1);
    page.notes(&told.notes);
    page.out
}

struct Page {
    out: String,
    screen: Screen,
}

impl Page {
    fn say(&self, en: &'static str, zh: &'static str) -> &'static str {
        self.screen.say(en, zh)
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.out.push_str(line.as_ref().trim_end());
        self.out.push('\n');
    }

    fn heading(&mut self, (en, zh): (&'static str, &'static str), of: &str) {
        let title = self.screen.bold(self.say(en, zh));
        self.line(format!("\n{title}{of}"));
    }

    fn yuan(&self, fen: i64) -> String {
        format!("{} {}", yuan(fen), self.say("yuan", "元"))
    }

    /// What is lacking, in the screen's language.
    fn amount(&self, short: &str) -> String {
        match (short.strip_suffix(" yuan"), self.screen.lang) {
            (Some(yuan), Lang::Zh) => format!("{yuan} 元"),
            _ => printable(short),
        }
    }

    fn transaction(&mut self, event: &Transaction) {
        let kind = self.screen.kind(&event.kind).to_owned();
        let id = self.screen.bold(&printable(&event.event_id));
        let amount = self.yuan(event.amount_fen);
        self.line(format!("{id}  {}  {kind} {amount}", event.time));
        if let Some(late) = &event.effective_time {
            let say = self.say("late: decided as of", "迟到，按此时刻决策：");
            self.line(format!("{say} {late}"));
        }
        let nobody = self.say("nobody named", "未注明");
        let who = |id: &str| if id.is_empty() { nobody.to_owned() } else { printable(id) };
        let (payer, payee) = (who(&event.payer), who(&event.payee));
        self.line(format!("{} {payer} -> {payee}", self.say("from", "付款")));
        if !event.group.is_empty() {
            let name = match event.group_name.is_empty() {
                true => String::new(),
                false => format!("  {}", short(&event.group_name, 40)),
            };
            self.line(format!("{} {}{name}", self.say("group", "群"), printable(&event.group)));
        }
        let fields = event.fields.iter();
        let fields: Vec<String> =
            fields.map(|(name, value)| format!("{name} {}", short(value, 64))).collect();
        if !fields.is_empty() {
            self.line(fields.join("  "));
        }
    }

    fn verdict(&mut self, verdict: &Verdict) {
        let decision = self.screen.bold(self.screen.decision(&verdict.decision));
        let bands = verdict.bands;
        let score = self.say("score", "分数");
        let band = |name: &str, from: i64| match self.screen.lang {
            Lang::En => format!("{} from {from}", self.screen.decision(name)),
            Lang::Zh => format!("{} {from} 起", self.screen.decision(name)),
        };
        let bands = [("review", bands.review), ("hold", bands.hold), ("block", bands.block)]
            .map(|(name, from)| band(name, from))
            .join(", ");
        self.line(format!("\n{decision}  {score} {}  ({bands})", verdict.score));
        if let Some(model) = verdict.model_score {
            let (rules, say) = (verdict.rule_score, self.say("rules", "规则"));
            self.line(format!("{say} {rules}  {} {model}", self.say("model", "模型")));
        }
        if verdict.decision != verdict.band {
            let band = self.screen.decision(&verdict.band).to_owned();
            let by: Vec<String> = verdict.because_of.iter().map(|one| printable(one)).collect();
            let alone = self.say("the score alone gives", "仅按分数为");
            let by = match by.is_empty() {
                true => String::new(),
                false => format!("; {} {}", self.say("decided by", "决定于"), by.join(", ")),
            };
            self.line(format!("{alone} {band}{by}"));
        }
    }

    fn texts(&mut self, texts: &[Marked]) {
        for marked in texts {
            let name = match marked.of {
                "text" => self.say("text", "文本"),
                _ => self.say("group name", "群名"),
            };
            let mut out = format!("\n{name}  ");
            let mut left = TEXT_CHARS;
            for (piece, marked) in marked.pieces() {
                let shown: String = piece.chars().take(left).collect();
                left -= shown.chars().count();
                let shown = printable(&shown);
                out.push_str(&match (marked, self.screen.rich) {
                    _ if shown.is_empty() => String::new(),
                    (false, _) => shown,
                    (true, true) => format!("\x1b[1;31m⟦{shown}⟧\x1b[0m"),
                    (true, false) => format!("⟦{shown}⟧"),
                });
            }
            if left == 0 {
                out.push('…');
            }
            self.line(out);
            for mark in &marked.marks {
                let (phrase, category) = (printable(&mark.phrase), printable(&mark.category));
                let (start, end, grade) = (mark.start, mark.end, mark.grade);
                self.line(format!("  {start}..{end}  {phrase}  {category}  {grade}"));
            }
            if marked.bet_memo {
                let digit = marked.bet_digit.map(|digit| format!("  {digit}")).unwrap_or_default();
                let say = self.say("a mine packet's memo", "扫雷红包留言");
                self.line(format!("  {say}{digit}"));
            }
        }
    }

    fn hits(&mut self, title: (&'static str, &'static str), hits: &[Hit]) {
        if hits.is_empty() {
            if title.0 == "reasons" {
                let none = self.say("no rule hit", "没有规则命中");
                self.line(format!("\n{none}"));
            }
            return;
        }
        self.heading(title, "");
        for hit in hits {
            let rule = printable(&hit.rule);
            let score = hit.score.map(|score| format!("+{score} ")).unwrap_or_default();
            let title = hit.of.as_ref().map(|of| printable(&of.title)).unwrap_or_default();
            let floor = match &hit.of {
                Some(of) if of.allows => format!("  {}", self.say("allows", "放行规则")),
                Some(of) if of.floor != "allow" => {
                    let least = self.screen.decision(&of.floor);
                    format!("  {} {least}", self.say("at least", "至少"))
                }
                _ => String::new(),
            };
            self.line(format!("{score}{rule}  {title}{floor}"));
            if !hit.text.is_empty() {
                self.line(format!("    {}", printable(&hit.text)));
            }
            if let Some(condition) = &hit.condition {
                self.told(condition, 1);
            }
            if let Some(of) = &hit.of {
                let innocent = self.say("also hit by", "误报情形");
                for one in &of.falsepositives {
                    self.line(format!("    {innocent}: {}", printable(one)));
                }
            }
        }
    }

    fn misses(&mut self, title: (&'static str, &'static str), of: &str, misses: &[Miss]) {
        if misses.is_empty() {
            return;
        }
        self.heading(title, of);
        for miss in misses {
            let (rule, title) = (printable(&miss.rule), printable(&miss.of.title));
            let score = match miss.of.status.as_str() {
                "live" => format!("+{}", miss.of.score),
                other => printable(other),
            };
            self.line(format!("{rule}  {title}  ({score})"));
            self.lack(miss);
            self.told(&miss.condition, 1);
        }
    }

    /// What is lacking, in one line.
    fn lack(&mut self, miss: &Miss) {
        if let Some(short) = &miss.short_by {
            let say = self.say("short by", "差");
            let short = self.amount(short);
            self.line(format!("    {say} {short}"));
        }
        if !miss.missing.is_empty() {
            let say = self.say("no value for", "缺失");
            self.line(format!("    {say} {}", miss.missing.join(", ")));
        }
    }

    /// A clause a line, its parts below it.
    fn told(&mut self, told: &Told, level: usize) {
        let sign = match told.truth {
            Truth::Met => self.say("yes", "是"),
            Truth::Unmet => self.say("no", "否"),
            Truth::NotEvaluable => self.say("?", "？"),
        };
        let indent = "    ".repeat(level);
        let gap = if self.screen.lang == Lang::Zh { 3 } else { 4 };
        let sign = format!("{sign}{}", " ".repeat(gap - sign.chars().count()));
        match told.join.as_deref() {
            // The condition as a whole is what its clauses are: they are the lines.
            Some("all") => return told.parts.iter().for_each(|part| self.told(part, level)),
            Some("any") => self.line(format!("{indent}{sign} {}", self.say("any of", "任一"))),
            Some("not") => self.line(format!("{indent}{sign} {}", self.say("not", "非"))),
            Some(name) => self.line(format!("{indent}{sign} {}", printable(name))),
            None => {
                let values: Vec<String> =
                    told.operands.iter().map(|one| self.operand(one)).collect();
                let text = printable(&told.text);
                let short = match &told.short_by {
                    Some(short) => {
                        format!("  ({} {})", self.say("short by", "差"), self.amount(short))
                    }
                    None => String::new(),
                };
                self.line(format!("{indent}{sign} {text}{short}"));
                let joined = values.join(", ");
                // One a line where they do not fit in one.
                let lines = if columns(&joined) > VALUES_COLUMNS { values } else { vec![joined] };
                for values in lines.iter().filter(|values| !values.is_empty()) {
                    self.line(format!("{indent}       {values}"));
                }
            }
        }
        told.parts.iter().for_each(|part| self.told(part, level + 1));
    }

    fn operand(&self, operand: &Operand) -> String {
        let by = match &operand.by {
            Some(by) if by.contains(" = ") => {
                format!(" ({} {})", self.say("for", "因"), printable(by))
            }
            _ => String::new(),
        };
        format!("{} = {}{by}", printable(&operand.name), short(&operand.shown, 64))
    }

    fn evidence(&mut self, evidence: &[Operand]) {
        if evidence.is_empty() {
            return;
        }
        self.heading(("evidence", "证据"), "");
        let row = |one: &Operand| {
            vec![printable(&one.name), short(&one.shown, 40), short(&one.meaning, MEANING_CHARS)]
        };
        let rows = evidence.iter().map(row).collect();
        let table = self.screen.table(&[], 3, rows);
        self.out.push_str(&table);
    }

    /// What moved the model: the sums go down the page to the raw score.
    fn moved(&mut self, moved: &Moved) {
        let model = format!("  {}", printable(&moved.model));
        self.heading(("what moved the model", "模型分的构成"), &model);
        let line = |name: String, value: &str, number: String| vec![name, short(value, 40), number];
        let base = self.say("with nothing known", "一无所知时").to_owned();
        let mut rows = vec![line(base, "", signed(moved.base))];
        let features = moved.features.iter();
        rows.extend(
            features.map(|one| line(printable(&one.of.name), &one.of.shown, plus(one.adds))),
        );
        if moved.others > 0 {
            let others = match self.screen.lang {
                Lang::En => format!("{} others", moved.others),
                Lang::Zh => format!("其余 {} 项", moved.others),
            };
            rows.push(line(others, "", plus(moved.others_add)));
        }
        let (sum, score) = match self.screen.lang {
            Lang::En => ("raw score", format!("model score {}", moved.score)),
            Lang::Zh => ("原始分", format!("模型分 {}", moved.score)),
        };
        rows.push(line(sum.to_owned(), &score, signed(moved.raw)));
        let table = self.screen.table(&[], 2, rows);
        self.out.push_str(&table);
    }

    fn finding(&mut self, explained: &Explanation) {
        let Some(found) = &explained.finding else { return };
        let say = self.say("the referee's finding", "红包核验结果");
        self.line(format!("\n{say}  {}", printable(found)));
    }

    fn lists(&mut self, lists: &[Listed]) {
        if lists.is_empty() {
            return;
        }
        self.heading(("on lists", "名单"), "");
        for one in lists {
            let force = match one.in_force {
                true => self.say("in force", "有效"),
                false => self.say("not in force", "无效"),
            };
            let (list, value) = (printable(&one.list), printable(&one.value));
            let fields = one.fields.join(", ");
            let span = format!("{}..{}", printable(&one.valid_from), printable(&one.valid_until));
            let why = [&one.added_by, &one.reason].map(|cell| printable(cell)).join("  ");
            self.line(format!("{list}  {value} ({fields})  {force}  {span}  {why}"));
        }
    }

    fn sides(&mut self, sides: &[Side]) {
        self.heading(("those who take part", "参与各方"), "");
        for side in sides {
            let role = match side.role {
                "acts" => self.say("acts", "行为方"),
                "other" => self.say("other side", "对方"),
                _ => self.say("group", "群"),
            };
            let cluster = match &side.cluster {
                None => String::new(),
                Some(cluster) => {
                    let mut said =
                        format!("  {} {}", self.say("cluster", "簇"), printable(&cluster.id));
                    let counts = [
                        (cluster.accounts, "accounts", "个账户"),
                        (cluster.groups, "groups", "个群"),
                    ];
                    for (count, en, zh) in counts {
                        if let Some(count) = count {
                            said.push_str(&format!(", {count} {}", self.say(en, zh)));
                        }
                    }
                    if side.role == "other" {
                        let as_of = self.say("as of", "截至");
                        said.push_str(&format!(" ({as_of} {})", printable(&cluster.as_of)));
                    }
                    said
                }
            };
            self.line(format!("{role}  {}{cluster}", printable(&side.id)));
            side.verdicts.iter().for_each(|one| self.standing(one));
        }
    }

    fn standing(&mut self, one: &Standing) {
        let verdict = match one.verdict.as_str() {
            "restrict" => self.say("restrict", "限制"),
            "ban" => self.say("ban", "封禁"),
            _ => "?",
        };
        let until = one.until.clone();
        let until =
            until.unwrap_or_else(|| self.say("it is lifted by hand", "人工解除").to_owned());
        let force = match one.in_force {
            true => self.say("in force then", "当时有效"),
            false => self.say("at the end of the run", "运行结束时"),
        };
        self.line(format!("    {verdict}  {} .. {until}  {force}", one.since));
    }

    fn before(&mut self, before: &[Before]) {
        self.heading(("decisions before", "此前的决策"), "");
        if before.is_empty() {
            let none = self.say("none: these are the first transactions", "无：均为首笔交易");
            self.line(none);
        }
        for role in ["acts", "other"] {
            let of: Vec<&Before> = before.iter().filter(|one| one.role == role).collect();
            if of.is_empty() {
                continue;
            }
            let who = match role {
                "acts" => self.say("of the one who acts", "行为方"),
                _ => self.say("of the other side", "对方"),
            };
            self.line(who);
            for one in of {
                let (time, id) = (minute(&one.time), printable(&one.event_id));
                let to = match one.counterparty.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", printable(&one.counterparty)),
                };
                let rules: Vec<String> = one.rules.iter().map(|rule| printable(rule)).collect();
                self.line(format!(
                    "  {time}  {} {}  {} {}{to}  {id}  {}",
                    self.screen.decision(&one.decision),
                    one.score,
                    self.screen.kind(&one.kind),
                    self.yuan(one.amount_fen),
                    rules.join(", "),
                ));
            }
        }
    }

    fn notes(&mut self, notes: &[String]) {
        if notes.is_empty() {
            return;
        }
        self.heading(("to know", "注意"), "");
        for note in notes {
            self.line(printable(note));
        }
    }
}

fn signed(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(value.unsigned_abs()))
}

fn plus(value: i64) -> String {
    let sign = if value < 0 { "" } else { "+" };
    format!("{sign}{}", signed(value))
}
