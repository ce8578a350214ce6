//! Two sets of rules beside each other, on the terminal.

use super::{Both, DECISIONS, Diff, Example};
use crate::diagnostic::Lang;
use crate::expr::Zone;
use crate::report::{Screen, grouped, minute, printable, yuan, yuan_change};

/// Rules that are listed, those first of which most hits are new or gone.
const RULES_MAX: usize = 25;
/// Digits that tell two hashes apart at a glance.
const HASH_SHOWN: usize = 12;

/// The comparison as text; ids are escaped.
pub fn terminal(diff: &Diff, zone: &Zone, screen: Screen) -> String {
    let mut page = Page { out: String::new(), screen };
    page.head(diff);
    page.decisions(diff);
    page.truth(diff);
    page.rules(diff);
    page.examples(diff, zone);
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
        self.out.push_str(line.as_ref());
        self.out.push('\n');
    }

    fn heading(&mut self, en: &'static str, zh: &'static str) {
        let heading = self.screen.bold(self.say(en, zh));
        self.line(format!("\n{heading}"));
    }

    fn table(&mut self, header: &[&str], words: usize, rows: Vec<Vec<String>>) {
        self.out.push_str(&self.screen.table(header, words, rows));
    }

    fn head(&mut self, diff: &Diff) {
        let [was, is] = [&diff.rules_hash.before, &diff.rules_hash.after]
            .map(|hash| hash.get(..HASH_SHOWN).unwrap_or(hash).to_owned());
        let (all, changed) = (grouped(diff.transactions), grouped(diff.changed));
        self.line(match self.screen.lang {
            Lang::En => format!(
                "{changed} of {all} transactions would be decided otherwise; rules {is} beside {was}"
            ),
            Lang::Zh => format!("{all} 笔交易中有 {changed} 笔的决策会改变；规则 {is}，原为 {was}"),
        });
        if !diff.because.is_empty() {
            let because = match self.screen.lang {
                Lang::En => format!("everything was decided again: {}", printable(&diff.because)),
                Lang::Zh => format!("已全部重新决策：{}", printable(&diff.because_zh)),
            };
            self.line(because);
        }
    }

    fn decisions(&mut self, diff: &Diff) {
        self.heading("Decisions", "决策");
        let count = |was: Option<&str>, is: Option<&str>| -> u64 {
            let of = diff.decisions.iter().filter(|one| {
                was.is_none_or(|was| was == one.decision.before)
                    && is.is_none_or(|is| is == one.decision.after)
            });
            of.map(|one| one.transactions).sum()
        };
        let rows = DECISIONS.iter().map(|was| {
            let mut row =
                vec![self.screen.decision(was).to_owned(), grouped(count(Some(was), None))];
            row.extend(DECISIONS.iter().map(|is| match count(Some(was), Some(is)) {
                0 => "·".to_owned(),
                some => grouped(some),
            }));
            row
        });
        let mut rows: Vec<Vec<String>> = rows.collect();
        let after = DECISIONS.iter().map(|is| grouped(count(None, Some(is))));
        let name = self.say("after", "之后").to_owned();
        rows.push([name, String::new()].into_iter().chain(after).collect());
        let to = DECISIONS.map(|name| format!("→ {}", self.screen.decision(name)));
        let mut header = vec!["", self.say("before", "之前")];
        header.extend(to.iter().map(String::as_str));
        self.table(&header, 1, rows);
        let alerts = diff.alerts;
        let [before, after, gained, lost] =
            [alerts.before, alerts.after, alerts.gained, alerts.lost].map(grouped);
        self.line(match self.screen.lang {
            Lang::En => format!("alerts {before} → {after}: {gained} more, {lost} no more"),
            Lang::Zh => format!("预警 {before} → {after}：新增 {gained}，消失 {lost}"),
        });
    }

    /// What labels say of both, of events first, else of accounts.
    fn truth(&mut self, diff: &Diff) {
        let Both { before, after } = &diff.judgement;
        let view = |judgement: &serde_json::Value, of: &str| {
            judgement
                .get("truth")
                .and_then(|truth| truth.get(of))
                .filter(|view| !view.is_null())
                .cloned()
        };
        for (of, en, zh) in [
            ("events", "By event labels", "按事件标签"),
            ("accounts", "By account labels", "按账户标签"),
        ] {
            let (Some(before), Some(after)) = (view(before, of), view(after, of)) else { continue };
            self.heading(en, zh);
            let mut rows = Vec::new();
            for (path, en, zh) in [
                ("/precision", "precision", "精确率"),
                ("/recall", "recall", "召回率"),
                ("/f1", "F1", "F1"),
                ("/auc", "AUC", "AUC"),
                ("/average_precision", "average precision", "平均精度"),
            ] {
                let [was, is] =
                    [&before, &after].map(|view| view.pointer(path).and_then(|x| x.as_f64()));
                let shown = |value: Option<f64>| {
                    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
                };
                let by = was.zip(is).map_or(String::new(), |(was, is)| format!("{:+.3}", is - was));
                rows.push(vec![self.say(en, zh).to_owned(), shown(was), shown(is), by]);
            }
            for (path, en, zh) in [
                ("/accounts/fraud_alerted", "fraudulent accounts alerted", "预警的欺诈账户"),
                ("/accounts/honest_alerted", "honest accounts alerted", "预警的正常账户"),
                ("/accounts/honest_stopped", "of these stopped", "其中被拦下"),
            ] {
                let [was, is] =
                    [&before, &after].map(|view| view.pointer(path).and_then(|x| x.as_i64()));
                let (Some(was), Some(is)) = (was, is) else { continue };
                let [was_shown, is_shown] = [was, is].map(|count| grouped(count.unsigned_abs()));
                rows.push(vec![
                    self.say(en, zh).to_owned(),
                    was_shown,
                    is_shown,
                    format!("{:+}", is - was),
                ]);
            }
            let stopped = |view: &serde_json::Value| -> i64 {
                let of = |name: &str| {
                    view.pointer(&format!("/fraud/{name}/fen")).and_then(|x| x.as_i64())
                };
                of("hold").unwrap_or(0) + of("block").unwrap_or(0)
            };
            let (was, is) = (stopped(&before), stopped(&after));
            let name = self.say("fraudulent yuan held or blocked", "暂缓或拦截的欺诈金额（元）");
            rows.push(vec![name.to_owned(), yuan(was), yuan(is), yuan_change(is - was)]);
            let header = ["", self.say("before", "之前"), self.say("after", "之后"), ""];
            self.table(&header, 1, rows);
        }
    }

    fn rules(&mut self, diff: &Diff) {
        let mut changed: Vec<_> =
            diff.rules.iter().filter(|rule| rule.hits.gained + rule.hits.lost > 0).collect();
        if changed.is_empty() {
            return;
        }
        changed.sort_by_key(|rule| std::cmp::Reverse(rule.hits.gained + rule.hits.lost));
        self.heading("Rules whose hits differ, and verdicts", "命中有变化的规则与处置");
        let rows = changed.iter().take(RULES_MAX).map(|rule| {
            let hits = rule.hits;
            let counts = [hits.before, hits.after, hits.gained, hits.lost].map(grouped);
            std::iter::once(printable(&rule.rule)).chain(counts).collect()
        });
        let rows = rows.collect();
        let header = [
            self.say("rule", "规则"),
            self.say("before", "之前"),
            self.say("after", "之后"),
            self.say("more", "新增"),
            self.say("no more", "消失"),
        ];
        self.table(&header, 1, rows);
        if let Some(rest @ 1..) = changed.len().checked_sub(RULES_MAX) {
            self.line(match self.screen.lang {
                Lang::En => format!("and {rest} more: --json has all"),
                Lang::Zh => format!("另有 {rest} 条：--json 列出全部"),
            });
        }
    }

    fn examples(&mut self, diff: &Diff, zone: &Zone) {
        if diff.examples.is_empty() {
            return;
        }
        self.heading("Transactions that move furthest", "变化最大的交易");
        let names = |rules: &[String], sign: char| -> Vec<String> {
            rules.iter().map(|rule| format!("{sign}{}", printable(rule))).collect()
        };
        let row = |one: &Example| {
            let Both { before, after } = one.decision;
            let (was, is) = (self.screen.decision(before), self.screen.decision(after));
            let rules = [names(&one.rules.after, '+'), names(&one.rules.before, '-')].concat();
            vec![
                printable(&one.event_id),
                minute(&zone.moment(one.event_time)),
                format!("{was} {} → {is} {}", one.score.before, one.score.after),
                rules.join(" "),
                yuan(one.amount_fen),
            ]
        };
        let rows = diff.examples.iter().map(row).collect();
        let header = [
            self.say("event", "事件"),
            self.say("time", "时间"),
            self.say("decision and score", "决策与分数"),
            self.say("rules", "规则"),
            self.say("yuan", "元"),
        ];
        self.table(&header, 4, rows);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Less fraud stopped is told with a minus, as of every other row.
    #[test]
    fn money_that_is_stopped_no_more_has_its_sign() {
        let says = |hold: i64, block: i64| json!({"truth": {"events": {"fraud": {"hold": {"fen": hold}, "block": {"fen": block}}}}});
        // 10,000.00 yuan: of 2,500.00 held and 7,500.00 blocked.
        let (before, zone) = (says(250_000, 750_000), Zone::new("UTC").expect("UTC is built in"));
        for (after, change) in [
            (says(79_819, 200_000), "10,000.00 2,798.19 -7,201.81"),
            (says(526_403, 750_000), "10,000.00 12,764.03 +2,764.03"),
            (before.clone(), "10,000.00 10,000.00 +0.00"),
        ] {
            let judgement = Both { before: before.clone(), after };
            let diff = Diff { judgement, ..Diff::default() };
            for (lang, name) in [(Lang::En, "fraudulent yuan"), (Lang::Zh, "欺诈金额（元）")]
            {
                let screen = Screen { lang, width: 100, rich: false };
                let text = terminal(&diff, &zone, screen);
                let row = text.lines().find(|line| line.contains(name)).expect("a row of money");
                let words: Vec<&str> = row.split_whitespace().collect();
                assert_eq!(words[words.len() - 3..].join(" "), change, "{text}");
            }
        }
    }
}
