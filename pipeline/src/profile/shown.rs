//! A profile on the terminal.

use std::collections::BTreeMap;

use super::{Decision, Moved, Part, Profile, Trend};
use crate::diagnostic::Lang;
use crate::expr::format_duration;
use crate::report::{Screen, bar, grouped, minute, printable, short, yuan};

/// Decisions and features that are shown; `--json` has more.
const SHOWN_MAX: usize = 15;
/// Characters of a name of a group that are shown.
const NAME_CHARS: usize = 24;
/// Characters of a reason that are shown.
const REASON_CHARS: usize = 60;
/// Characters of a unit that are shown.
const UNIT_CHARS: usize = 14;

/// What units are called in Chinese: those of money and times are shown otherwise.
const UNITS_ZH: [(&str, &str); 33] = [
    ("accounts", "账户"),
    ("acts", "操作"),
    ("acts a month and member", "人均月操作"),
    ("addresses", "地址"),
    ("bits", "比特"),
    ("chi-square with 2 degrees of freedom", "卡方（自由度 2）"),
    ("claims", "领取"),
    ("dealings", "往来"),
    ("devices", "设备"),
    ("digit", "数字"),
    ("edges", "边"),
    ("groups", "群"),
    ("hits", "命中"),
    ("hops", "跳"),
    ("joins", "入群"),
    ("labels", "标签"),
    ("messages", "消息"),
    ("ms since 1970 UTC", "1970 年起毫秒"),
    ("names", "名称"),
    ("packets", "红包"),
    ("packets a sender", "人均红包"),
    ("payments", "付款"),
    ("phrases", "短语"),
    ("points", "分"),
    ("probability", "概率"),
    ("ratio", "比值"),
    ("refunds", "退回"),
    ("share", "占比"),
    ("shares", "份"),
    ("standard deviations", "标准差"),
    ("times", "次"),
    ("transactions", "交易"),
    ("transfers", "转账"),
];

/// The profile as text of at most 100 columns; ids and event text are escaped.
pub fn terminal(profile: &Profile, screen: Screen) -> String {
    let mut page = Page { out: String::new(), screen };
    page.head(profile);
    page.counterparties(profile);
    page.groups(profile);
    page.when(profile);
    page.devices(profile);
    page.features(profile);
    page.decisions(profile);
    page.findings(profile);
    page.out
}

struct Page {
    out: String,
    screen: Screen,
}

impl Page {
    fn say<'s>(&self, en: &'s str, zh: &'s str) -> &'s str {
        self.screen.say(en, zh)
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.out.push_str(line.as_ref().trim_end());
        self.out.push('\n');
    }

    fn heading(&mut self, en: &str, zh: &str, shown: usize, all: usize) {
        let title = self.screen.bold(self.say(en, zh));
        let of = match (shown < all, self.screen.lang) {
            (false, _) => String::new(),
            (true, Lang::En) => format!(" ({shown} of {})", grouped(all as u64)),
            (true, Lang::Zh) => format!("（{} 中的 {shown}）", grouped(all as u64)),
        };
        self.line(format!("\n{title}{of}"));
    }

    /// A table; the first `words` columns are words, the others are numbers.
    fn table(&mut self, header: &[&str], words: usize, rows: Vec<Vec<String>>) {
        self.out.push_str(&self.screen.table(header, words, rows));
    }

    fn head(&mut self, profile: &Profile) {
        let account = printable(&profile.account);
        let seen = match profile.first_seen.is_empty() {
            true => self.say("no event in these days", "该时段内没有事件").to_owned(),
            false => format!("{} .. {}", profile.first_seen, profile.last_seen),
        };
        let days = profile.days.map(|days| match self.screen.lang {
            Lang::En if days == 1 => "  (the last day of the run)".to_owned(),
            Lang::En => format!("  (last {days} days of the run)"),
            Lang::Zh => format!("（运行最后 {days} 天）"),
        });
        self.line(format!("{account}  {seen}{}", days.unwrap_or_default()));
        let attributes: Vec<String> = profile
            .attributes
            .iter()
            .map(|(name, value)| {
                let name = self.screen.say(name, super::attribute_zh(name));
                let value = match value.as_str() {
                    "true" => self.say("true", "是"),
                    "false" => self.say("false", "否"),
                    other => other,
                };
                format!("{name} {}", printable(value))
            })
            .collect();
        if !attributes.is_empty() {
            self.line(attributes.join("  "));
        }
        self.heading("what it does", "行为", 0, 0);
        let mut rows: Vec<Vec<String>> = profile
            .kinds
            .iter()
            .map(|(kind, moved)| {
                let fen = if moved.fen > 0 { yuan(moved.fen) } else { String::new() };
                vec![self.screen.kind(kind).to_owned(), grouped(moved.count), fen]
            })
            .collect();
        let total =
            |name: &str, moved: Moved| vec![name.to_owned(), grouped(moved.count), yuan(moved.fen)];
        rows.push(total(self.say("= paid to others", "= 付给他人"), profile.paid));
        rows.push(total(self.say("= received from others", "= 收自他人"), profile.received));
        let header = ["", self.say("count", "次数"), self.say("yuan", "元")];
        self.table(&header, 1, rows);
    }

    fn counterparties(&mut self, profile: &Profile) {
        let all = profile.counterparties_all;
        self.heading("with whom", "往来对象", profile.counterparties.len(), all);
        let header = [
            self.say("account", "账户"),
            self.say("paid, yuan", "付出（元）"),
            self.say("times", "次数"),
            self.say("received, yuan", "收到（元）"),
            self.say("times", "次数"),
        ];
        let rows = profile.counterparties.iter().map(|one| {
            vec![
                printable(&one.id),
                yuan(one.paid.fen),
                grouped(one.paid.count),
                yuan(one.received.fen),
                grouped(one.received.count),
            ]
        });
        let rows = rows.collect();
        self.table(&header, 1, rows);
    }

    fn groups(&mut self, profile: &Profile) {
        if profile.groups.is_empty() {
            return;
        }
        self.heading("in which groups", "所在群", profile.groups.len(), profile.groups_all);
        let header = [
            self.say("group", "群"),
            self.say("name", "名称"),
            self.say("events", "事件"),
            self.say("sent, yuan", "发出（元）"),
            self.say("claimed, yuan", "领取（元）"),
            self.say("last", "最近"),
        ];
        let rows = profile.groups.iter().map(|one| {
            vec![
                printable(&one.id),
                short(&one.name, NAME_CHARS),
                grouped(one.events),
                yuan(one.sent.fen),
                yuan(one.claimed.fen),
                one.last_seen.chars().take(10).collect(),
            ]
        });
        let rows = rows.collect();
        self.table(&header, 2, rows);
    }

    fn when(&mut self, profile: &Profile) {
        self.heading("when", "时间分布", 0, 0);
        if profile.hours.iter().all(|count| *count == 0) {
            let none = self.say("no event of its own", "没有自己发起的事件").to_owned();
            return self.line(none);
        }
        let bars = |counts: &[u32]| -> String {
            let values: Vec<Option<f64>> = counts.iter().map(|c| Some(f64::from(*c))).collect();
            sparkline(&values)
        };
        let hours = bars(&profile.hours);
        let most = (0..24).rev().max_by_key(|at| profile.hours[*at]).unwrap_or(0);
        let (name, busiest) = (self.say("hours 0-23", "小时 0-23"), self.say("most at", "最多在"));
        self.line(format!("{name}  {hours}  {busiest} {most}:00"));
        let days = bars(&profile.weekdays);
        let name = self.say("Mon to Sun", "周一至周日");
        self.line(format!("{name}  {days}"));
    }

    fn devices(&mut self, profile: &Profile) {
        if profile.devices.is_empty() {
            return;
        }
        self.heading("on what devices", "设备", profile.devices.len(), profile.devices_all);
        let header = [
            self.say("device", "设备"),
            self.say("events", "事件"),
            self.say("first", "首次"),
            self.say("last", "最近"),
            self.say("other accounts", "其他账户"),
        ];
        let rows = profile.devices.iter().map(|one| {
            vec![
                printable(&one.id),
                grouped(one.events),
                minute(&one.first_seen),
                minute(&one.last_seen),
                grouped(one.other_accounts as u64),
            ]
        });
        let rows = rows.collect();
        self.table(&header, 1, rows);
    }

    /// A table for each part that it takes, for a value is only its own where it has that part.
    fn features(&mut self, profile: &Profile) {
        let parts = [
            (Part::Acts, "features that moved, as it acts", "变动的特征：自己操作"),
            (
                Part::Pays,
                "as it pays: also where others claim its packets",
                "变动的特征：作为付款方（含他人领取其红包）",
            ),
            (
                Part::IsPaid,
                "as it is paid: its claims, and transfers to it",
                "变动的特征：作为收款方（领取与他人转入）",
            ),
        ];
        for (part, en, zh) in parts {
            let of = profile.features.iter().filter(|trend| trend.part == part);
            self.trends((en, zh), &of.collect::<Vec<_>>());
        }
    }

    fn trends(&mut self, (en, zh): (&str, &str), trends: &[&Trend]) {
        if trends.is_empty() {
            return;
        }
        self.heading(en, zh, trends.len().min(SHOWN_MAX), trends.len());
        let header = [
            self.say("feature", "特征"),
            self.say("unit", "单位"),
            self.say("first", "首个"),
            self.say("last", "最近"),
            self.say("largest", "最大"),
            self.say("in order", "依次"),
        ];
        let row = |trend: &&Trend| {
            let unit = match trend.unit.as_str() {
                "fen" => self.say("yuan", "元").to_owned(),
                "ms" | "minutes" => self.say("duration", "时长").to_owned(),
                other => short(self.say(other, unit_zh(other)), UNIT_CHARS),
            };
            let shown = |value| measured(value, &trend.unit);
            vec![
                printable(&trend.name),
                unit,
                shown(trend.first),
                shown(trend.last),
                shown(trend.largest),
                sparkline(&trend.points),
            ]
        };
        let rows = trends.iter().take(SHOWN_MAX).map(row).collect();
        self.table(&header, 2, rows);
    }

    fn decisions(&mut self, profile: &Profile) {
        let alerts = profile.alerts;
        self.heading("decisions", "决策", alerts.min(SHOWN_MAX), alerts);
        let none = self.say("none: it made no transaction", "无：没有发起交易").to_owned();
        self.judged(&profile.decisions_by, none, &profile.decisions);
        let paid = &profile.paid_to_it;
        let shown = paid.alerts.min(SHOWN_MAX);
        self.heading("decisions on money to it", "对付给它的钱的决策", shown, paid.alerts);
        let none = self.say("none: nobody transferred to it", "无：没有人向其转账").to_owned();
        self.judged(&paid.decisions_by, none, &paid.decisions);
    }

    /// How many transactions got which decision, and the latest that are not allowed.
    fn judged(&mut self, by: &BTreeMap<String, u64>, none: String, latest: &[Decision]) {
        let mix: Vec<String> = ["allow", "review", "hold", "block"]
            .iter()
            .filter_map(|name| {
                let count = by.get(*name)?;
                Some(format!("{} {}", self.screen.decision(name), grouped(*count)))
            })
            .collect();
        self.line(if mix.is_empty() { none } else { mix.join("  ") });
        for one in latest.iter().take(SHOWN_MAX) {
            let other = printable(&one.counterparty);
            let to = if other.is_empty() { String::new() } else { format!(" ({other})") };
            self.line(format!(
                "{}  {} {}  {} {} {}{to}  {}",
                one.time.chars().take(19).collect::<String>().replace('T', " "),
                self.screen.decision(&one.decision),
                one.score,
                self.screen.kind(&one.kind),
                yuan(one.amount_fen),
                self.say("yuan", "元"),
                printable(&one.event_id),
            ));
            for why in &one.reasons {
                let text = short(&why.text, REASON_CHARS);
                self.line(format!("    +{} {}: {text}", why.score, printable(&why.rule)));
            }
        }
        let reasons = latest.iter().take(SHOWN_MAX).flat_map(|one| &one.reasons);
        let ideographs = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        let zh = self.screen.lang == Lang::Zh;
        if reasons.into_iter().any(|why| ideographs(&why.text) != zh) {
            let note = self.say(
                "  reasons are kept in the language of the backtest (--lang en makes them English)",
                "  理由按回测时的语言保存（回测时加 --lang zh 即为中文）",
            );
            let note = note.to_owned();
            self.line(note);
        }
    }

    fn findings(&mut self, profile: &Profile) {
        self.heading("verdicts and findings", "处置与认定", 0, 0);
        if profile.verdicts.is_empty() {
            let none = self.say("no verdict at the end of the run", "运行结束时无处置").to_owned();
            self.line(none);
        }
        for one in &profile.verdicts {
            let until = one.until.clone();
            let until =
                until.unwrap_or_else(|| self.say("it is lifted by hand", "人工解除").to_owned());
            let verdict = match one.verdict.as_str() {
                "restrict" => self.say("restrict", "限制"),
                "ban" => self.say("ban", "封禁"),
                other => other,
            };
            let line = format!("{verdict}  {} .. {until}", one.since);
            self.line(line);
        }
        if let Some(role) = &profile.role {
            let counts = profile.roles.iter();
            let counts = counts.map(|(role, count)| format!("{} {count}", printable(role)));
            let line = format!(
                "{}{}  ({}{})",
                self.say("role: ", "角色："),
                printable(role),
                self.say("transactions: ", "交易："),
                counts.collect::<Vec<_>>().join(", ")
            );
            self.line(line);
        }
        if let Some(found) = &profile.finding {
            let label = match found.fraud {
                true => self.say("found: fraud", "认定：欺诈"),
                false => self.say("found: honest", "认定：正常"),
            };
            let mut line = label.to_owned();
            for part in [&found.typology, &found.role, &found.known_at].into_iter().flatten() {
                line.push_str("  ");
                line.push_str(&printable(part));
            }
            self.line(line);
        }
        if !profile.unknown.is_empty() {
            self.heading("not known", "未知", 0, 0);
        }
        for one in &profile.unknown {
            let text = self.say(&one.en, &one.zh).to_owned();
            self.line(text);
        }
    }
}

/// The Chinese word for a unit of the features that come with Hongxian; any other unit is as it is.
fn unit_zh(unit: &str) -> &str {
    let found = UNITS_ZH.iter().find(|(en, _)| *en == unit);
    found.map_or(unit, |(_, zh)| zh)
}

/// A bar a value, the largest to the top; a gap where there is none.
fn sparkline(values: &[Option<f64>]) -> String {
    let known = || values.iter().flatten().copied();
    let (low, high) = (known().fold(0.0, f64::min), known().fold(0.0, f64::max));
    let one = |value: &Option<f64>| match value {
        None => ' ',
        Some(_) if high <= low => bar(0.0),
        Some(value) => bar((value - low) / (high - low)),
    };
    values.iter().map(one).collect()
}

/// A value as its unit is read: fen as yuan, times as durations.
fn measured(value: f64, unit: &str) -> String {
    match unit {
        "fen" => {
            let fen = libm::round(value) as i64;
            format!("{}{}", if fen < 0 { "-" } else { "" }, yuan(fen))
        }
        "ms" => lasting(value),
        "minutes" => lasting(value * 60_000.0),
        _ => number(value),
    }
}

/// A duration as exact as it is read: who is told of days asks for no seconds.
fn lasting(ms: f64) -> String {
    let step = match ms.abs() {
        86_400_000.0.. => 3_600_000.0,
        3_600_000.0.. => 60_000.0,
        10_000.0.. => 1_000.0,
        _ => 1.0,
    };
    format_duration((libm::round(ms / step) * step) as i64)
}

/// As short as it is exact enough to read.
fn number(value: f64) -> String {
    if value == libm::trunc(value) && value.abs() < 1e15 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", grouped(value.abs() as u64));
    }
    format!("{value:.3}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::event::Schema;
    use crate::rules;

    /// Of all features that come with Hongxian, in the program and in its rules.
    #[test]
    fn every_unit_has_a_chinese_word() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
        let loaded = rules::load(Some(&shipped), &Arc::new(Schema::default()));
        let loaded = loaded.unwrap_or_else(|_| panic!("the shipped rules are good"));
        let units = loaded.catalogue.entries().values().map(|entry| entry.unit.as_str());
        let units: BTreeSet<&str> =
            units.filter(|unit| !["", "fen", "ms", "minutes"].contains(unit)).collect();
        assert!(units.len() > 20, "{units:?}");
        for unit in units {
            assert!(!unit_zh(unit).is_ascii(), "{unit} has no Chinese word");
        }
        assert_eq!((unit_zh("packets"), unit_zh("parsecs")), ("红包", "parsecs"));
    }

    /// In Chinese no word of the table is English but the name of the feature.
    #[test]
    fn units_are_told_in_the_language_of_the_profile() {
        let trend = |unit: &str| Trend {
            name: "devices.accounts_1h".to_owned(),
            part: Part::Acts,
            unit: unit.to_owned(),
            values: 2,
            changes: 1,
            first: 1.0,
            last: 2.0,
            largest: 2.0,
            points: vec![Some(1.0), Some(2.0)],
        };
        for (unit, en, zh) in [
            ("transactions", "transactions", "交易"),
            ("edges", "edges", "边"),
            ("fen", "yuan", "元"),
            ("minutes", "duration", "时长"),
            ("parsecs", "parsecs", "parsecs"),
        ] {
            let profile = Profile { features: vec![trend(unit)], ..Profile::default() };
            for (lang, word) in [(Lang::En, en), (Lang::Zh, zh)] {
                let text = terminal(&profile, Screen { lang, width: 100, rich: false });
                let row = text.lines().find(|line| line.contains("accounts_1h")).unwrap_or("");
                assert_eq!(row.split_whitespace().nth(1), Some(word), "{text}");
            }
        }
    }

    #[test]
    fn bars_and_numbers_read_well() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(7.0), Some(3.5)]), "▁ █▅");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)]), "▁▁");
        assert_eq!([1234.0, -5.0, 0.25, 1.0].map(number), ["1,234", "-5", "0.250", "1"]);
        let times = [0.0, 326.4, 2_500.0, 90_061.0, 11_100_999.0, 1_189_790_882.0, -61_000.0];
        let shown = ["0s", "326ms", "2s500ms", "1m30s", "3h5m", "13d18h", "-1m1s"];
        assert_eq!(times.map(|ms| measured(ms, "ms")), shown);
        assert_eq!(measured(90.5, "minutes"), "1h31m");
        assert_eq!([604_471.4, -5.0].map(|fen| measured(fen, "fen")), ["6,044.71", "-0.05"]);
    }
}
