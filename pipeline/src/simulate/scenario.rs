//! Scenario files: what population to make. `fixtures/populations/README.md` documents the keys.

mod reactions;

use std::path::Path;

use toml::de::{DeTable, DeValue};

pub use self::reactions::Reactions;

use super::figures::{DAY, GroupType};
use super::options::{self, Customs, Noise};
use crate::diagnostic::{Failure, Message, Sources};
use crate::document::Reader;
use crate::event::{TIME_MAX, TIME_MIN};

/// A population to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// One line for people.
    pub title: String,
    /// Local midnight at which the first day begins, ms.
    pub start: i64,
    /// Days of activity; refunds of packets still open follow within another day.
    pub days: i64,
    /// Ordinary accounts; rings bring their own beside them.
    pub accounts: i64,
    /// Ordinary groups by type, in the order of [`GroupType::ALL`].
    pub groups: [i64; 4],
    /// The festival, if one falls into the days.
    pub festival: Option<Festival>,
    /// What people do that not every population shows.
    pub customs: Customs,
    /// What investigators do not know or get wrong.
    pub noise: Noise,
    /// Rings of fraud.
    pub rings: Vec<Ring>,
    /// Honest people who look like fraud.
    pub negatives: Vec<Negative>,
    /// What people do about decisions, where there are any.
    pub reactions: Reactions,
}

/// A festival such as New Year's Eve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Festival {
    /// The day of the eve, counted from 0.
    pub eve: i64,
    /// How many times the packets of an ordinary day families send on the eve.
    pub peak: i64,
}

/// How well a ring hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difficulty {
    /// By the book: plain words, fixed amounts, seconds apart.
    Easy,
    /// Words disguised, amounts and times varied.
    Medium,
    /// No words or everyday ones, slow, small, mixed with honest activity.
    Hard,
}

/// What about a typology is not as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Usual,
    /// Losers of a mine game pay by packets instead of transfers.
    PaidInPackets,
}

const VARIANTS: [(&str, Variant); 2] =
    [("usual", Variant::Usual), ("paid-in-packets", Variant::PaidInPackets)];

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each variant is what its name says")]
        pub enum $kind {
            $($variant,)*
        }

        impl $kind {
            /// All of them with their names in scenario files and labels.
            pub const ALL: &[(&str, $kind)] = &[$(($name, $kind::$variant),)*];

            /// The name in scenario files and labels.
            pub fn name(self) -> &'static str {
                $kind::ALL[self as usize].0
            }
        }
    };
}

named! {
    /// The kinds of fraud.
    Typology {
        GamblingMine "gambling-mine",
        GamblingBanker "gambling-banker",
        GamblingNiuNiu "gambling-niu-niu",
        GamblingBigSmall "gambling-big-small",
        ManyGroupsOneCollector "many-groups-one-collector",
        CollectorChain "collector-chain",
        DeviceFarm "device-farm",
        BrushingRebate "brushing-rebate",
        BrushingScam "brushing-scam",
        MulePassThrough "mule-pass-through",
        ContactDiversion "contact-diversion",
        CodedSettlement "coded-settlement",
        AccountTakeover "account-takeover",
        PluginClaimer "plugin-claimer",
    }
}

impl Typology {
    /// Whether its rings have groups of players: only there does `players` mean anything.
    pub fn has_players(self) -> bool {
        use Typology::{GamblingBanker, GamblingBigSmall, GamblingMine, GamblingNiuNiu};
        matches!(self, GamblingMine | GamblingBanker | GamblingNiuNiu | GamblingBigSmall)
    }

    /// The days that a ring takes from the one on which it begins, at least.
    pub fn days(self) -> i64 {
        use Typology::{
            AccountTakeover, CodedSettlement, GamblingBanker, GamblingBigSmall, GamblingNiuNiu,
            MulePassThrough,
        };
        match self {
            GamblingNiuNiu | GamblingBigSmall | MulePassThrough | AccountTakeover => 1,
            GamblingBanker | CodedSettlement => 3,
            _ => 2,
        }
    }
}

named! {
    /// Honest behaviour that resembles fraud.
    NegativeKind {
        FamilyRoundRobin "family-round-robin",
        DinnerCollector "dinner-collector",
        FamilyTablet "family-tablet",
        InternetCafe "internet-cafe",
        ClassFee "class-fee",
        Wedding "wedding",
        CourseRefund "course-refund",
        ShopOpening "shop-opening",
        StudentRelay "student-relay",
        MovedGroup "moved-group",
        Traveller "traveller",
        Organiser "organiser",
    }
}

/// So many rings of a typology and difficulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// What they do.
    pub typology: Typology,
    /// How well they hide.
    pub difficulty: Difficulty,
    /// How many.
    pub count: i64,
    /// The first day on which one may begin, counted from 0.
    pub from: Option<i64>,
    /// The day before which all are over, if there is room between `from` and it.
    pub until: Option<i64>,
    /// What is not as it was before.
    pub variant: Variant,
    /// How many players a gambling ring's group has; else as few as the difficulty has it.
    pub players: Option<i64>,
}

/// So many occurrences of honest behaviour that resembles fraud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negative {
    /// What they do.
    pub kind: NegativeKind,
    /// How many.
    pub count: i64,
}

/// The difficulties with their names.
pub const DIFFICULTIES: &[(&str, Difficulty)] =
    &[("easy", Difficulty::Easy), ("medium", Difficulty::Medium), ("hard", Difficulty::Hard)];

/// Bounds of the numbers in a scenario: a population is built in memory.
const DAYS: (i64, i64) = (2, 100);
/// So far from the ends of the time that events may have: more than [`DAYS`].
const YEAR: i64 = 366 * DAY;
const ACCOUNTS: (i64, i64) = (200, 1_000_000);
const GROUPS: (i64, i64) = (2, 200_000);
const PEAK: (i64, i64) = (1, 100);
const COUNT: (i64, i64) = (0, 10_000);
/// The largest groups that reports tell of have some 400 members.
const PLAYERS: (i64, i64) = (8, 400);
/// Of a hundred ordinary accounts so many can be players of one group in any population: two in
/// three are not elderly, and 60 of 100 is four standard deviations from that in the smallest.
const PLAYERS_PERCENT: i64 = 60;

impl Scenario {
    /// Reads a scenario file; all its mistakes are reported at once. With a difficulty, all rings
    /// have that one.
    pub fn read(path: &Path, difficulty: Option<Difficulty>) -> Result<Scenario, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = Message::new(
                format!("cannot read the scenario: {error}"),
                format!("无法读取场景文件：{error}"),
            );
            Failure::file("unreadable-file", path, message, None)
        })?;
        let mut scenario = Scenario::parse(path, &text)?;
        for ring in &mut scenario.rings {
            ring.difficulty = difficulty.unwrap_or(ring.difficulty);
        }
        Ok(scenario)
    }

    /// Reads a scenario from the text of the file at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Scenario, Failure> {
        let mut reader = Reader::new(path, text);
        let root = reader.parse();
        // What stands behind a mistake of syntax was not read, and is not missing.
        let scenario = match reader.count() {
            0 => read_root(&mut reader, root.get_ref()),
            _ => None,
        };
        let found = reader.finish();
        match scenario {
            Some(scenario) if found.is_empty() => Ok(scenario),
            _ => {
                let mut sources = Sources::default();
                sources.add(path, text);
                Err(Failure::Input(found, sources))
            }
        }
    }
}

fn read_root(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<Scenario> {
    const KNOWN: [&str; 12] = [
        "title",
        "start",
        "days",
        "accounts",
        "groups",
        "festival",
        "customs",
        "labels",
        "difficulty",
        "ring",
        "negative",
        "reactions",
    ];
    reader.known_keys(root, &KNOWN);
    reader.required_keys(root, 0..0, &KNOWN[..5]);
    let title = reader.string(root, "title").map(|text| text.into_inner());
    let start = date(reader, root, "start");
    let days = reader.integer(root, "days", DAYS.0..=DAYS.1);
    let accounts = reader.integer(root, "accounts", ACCOUNTS.0..=ACCOUNTS.1);
    let groups = read_groups(reader, root);
    let festival = match (start, days) {
        (Some(start), Some(days)) => read_festival(reader, root, start, days),
        _ => None,
    };
    let (customs, noise) = (options::customs(reader, root), options::noise(reader, root));
    // What a ring does not say of itself the file says of all.
    let usual = match root.contains_key("difficulty") {
        true => choice(reader, root, "difficulty", DIFFICULTIES),
        false => None,
    };
    let span = (start.unwrap_or(0), days.unwrap_or(DAYS.1), accounts);
    let rings =
        each_table(reader, root, "ring", |reader, table| read_ring(reader, table, usual, span));
    let negatives = each_table(reader, root, "negative", read_negative);
    let reactions = reactions::read(reader, root);
    Some(Scenario {
        title: title?,
        start: start?,
        days: days?,
        accounts: accounts?,
        groups: groups?,
        festival,
        customs,
        noise,
        rings,
        negatives,
        reactions: reactions?,
    })
}

fn read_groups(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<[i64; 4]> {
    let span = root.get("groups")?.span();
    let DeValue::Table(table) = root.get("groups")?.get_ref() else {
        return reader.wrong_type("groups", root.get("groups")?, ("a table", "表"));
    };
    let names = GroupType::ALL.map(GroupType::name);
    reader.known_keys(table, &names);
    reader.required_keys(table, span, &names);
    let counts = names.map(|name| reader.integer(table, name, GROUPS.0..=GROUPS.1));
    let [family, interest, business, stranger] = counts;
    Some([family?, interest?, business?, stranger?])
}

fn read_festival(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    start: i64,
    days: i64,
) -> Option<Festival> {
    let node = root.get("festival")?;
    let DeValue::Table(table) = node.get_ref() else {
        return reader.wrong_type("festival", node, ("a table", "表"));
    };
    reader.known_keys(table, &["eve", "peak"]);
    reader.required_keys(table, node.span(), &["eve", "peak"]);
    let eve = date(reader, table, "eve");
    let peak = reader.integer(table, "peak", PEAK.0..=PEAK.1);
    let eve = (eve? - start) / DAY;
    if !(0..days).contains(&eve) {
        let message = Message::new(
            "the festival's eve is not one of the scenario's days",
            "节日前夜不在场景的日期之内",
        );
        reader.fail("out-of-bounds", table.get("eve")?.span(), message, None);
    }
    Some(Festival { eve, peak: peak? })
}

fn read_ring(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    usual: Option<Difficulty>,
    (start, days, accounts): (i64, i64, Option<i64>),
) -> Option<Ring> {
    let known = ["typology", "difficulty", "count", "from", "until", "variant", "players"];
    reader.known_keys(table, &known);
    let typology = choice(reader, table, "typology", Typology::ALL);
    let difficulty = match (table.contains_key("difficulty"), usual) {
        (false, Some(usual)) => Some(usual),
        (false, None) => {
            let span = table.get("typology").map_or(0..0, |node| node.span());
            reader.required_keys(table, span, &["difficulty"]);
            None
        }
        (true, _) => choice(reader, table, "difficulty", DIFFICULTIES),
    };
    let count = reader.integer(table, "count", COUNT.0..=COUNT.1);
    let mut day = |key: &str| -> Option<i64> {
        let day = table.contains_key(key).then(|| date(reader, table, key))?;
        let day = (day? - start) / DAY;
        if !(0..=days).contains(&day) {
            let message = Message::new(
                format!("`{key}` is not one of the scenario's days"),
                format!("`{key}` 不在场景的日期之内"),
            );
            reader.fail("out-of-bounds", table.get(key)?.span(), message, None);
        }
        Some(day)
    };
    let (from, until) = (day("from"), day("until"));
    check_span(reader, table, typology, (from, until), days);
    let variant = read_variant(reader, table, typology);
    let players = read_players(reader, table, typology, accounts);
    let (typology, difficulty, count) = (typology?, difficulty?, count?);
    let variant = variant.unwrap_or(Variant::Usual);
    Some(Ring { typology, difficulty, count, from, until, variant, players })
}

/// No ring begins before `from`: so there must be days enough after it.
fn check_span(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    typology: Option<Typology>,
    (from, until): (Option<i64>, Option<i64>),
    days: i64,
) {
    let span = |key: &str| table.get(key).map_or(0..0, |node| node.span());
    let Some(from) = from.filter(|from| (0..=days).contains(from)) else { return };
    if until.is_some_and(|until| until <= from) {
        let message = Message::new("`until` is not after `from`", "`until` 不在 `from` 之后");
        let hint = Message::new(
            "the day of `until` is no longer one of the days between them",
            "`until` 当天不计在内",
        );
        return reader.fail("empty-span", span("until"), message, Some(hint));
    }
    let (Some(typology), left) = (typology, days - from) else { return };
    let (name, needed) = (typology.name(), typology.days());
    if left < needed {
        let message = Message::new(
            format!("`from` leaves {left} of the scenario's days, and {name} takes {needed}"),
            format!("`from` 之后场景只剩 {left} 天，而 {name} 需要 {needed} 天"),
        );
        let hint = Message::new("begin earlier, or give more `days`", "请提前开始，或增大 `days`");
        reader.fail("too-few-days", span("from"), message, Some(hint));
    }
}

/// What is not as it was before: only where there is such a thing.
fn read_variant(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    typology: Option<Typology>,
) -> Option<Variant> {
    let span = table.get("variant")?.span();
    if let Some(typology) = typology.filter(|&typology| typology != Typology::GamblingMine) {
        let name = typology.name();
        let message = Message::new(
            format!("`variant` means nothing for {name}: only gambling-mine has one"),
            format!("`variant` 对 {name} 无意义：只有 gambling-mine 有变体"),
        );
        let hint = Message::new("take it away", "请删去该键");
        reader.fail("no-variant", span, message, Some(hint));
        return None;
    }
    choice(reader, table, "variant", &VARIANTS)
}

/// How many players the groups of a ring have: only where there are players, and no more than
/// there are people.
fn read_players(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    typology: Option<Typology>,
    accounts: Option<i64>,
) -> Option<i64> {
    let span = table.get("players")?.span();
    if let Some(typology) = typology.filter(|typology| !typology.has_players()) {
        let name = typology.name();
        let message = Message::new(
            format!("`players` means nothing for {name}: only gambling rings have players"),
            format!("`players` 对 {name} 无意义：只有赌博类团伙有玩家"),
        );
        let hint = Message::new("take it away", "请删去该键");
        reader.fail("no-players", span, message, Some(hint));
        return None;
    }
    let players = reader.integer(table, "players", PLAYERS.0..=PLAYERS.1)?;
    let able = accounts? * PLAYERS_PERCENT / 100;
    if players > able {
        let accounts = accounts?;
        let message = Message::new(
            format!("`players` is {players}, of {accounts} accounts only {able} can be players"),
            format!("`players` 为 {players}，而 {accounts} 个账户中至多 {able} 个可作玩家"),
        );
        let hint = Message::new(
            format!("{PLAYERS_PERCENT} % of `accounts` is the most"),
            format!("至多为 `accounts` 的 {PLAYERS_PERCENT}%"),
        );
        reader.fail("too-few-people", span, message, Some(hint));
    }
    Some(players)
}

fn read_negative(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Negative> {
    reader.known_keys(table, &["kind", "count"]);
    let kind = choice(reader, table, "kind", NegativeKind::ALL);
    let count = reader.integer(table, "count", COUNT.0..=COUNT.1);
    Some(Negative { kind: kind?, count: count? })
}

fn choice<T: Copy>(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
    choices: &[(&str, T)],
) -> Option<T> {
    let text = reader.string(table, key)?;
    reader.choice(key, &text, choices)
}

/// Every table of the array of tables at `key`; each must have all keys that its reader asks for.
fn each_table<T>(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    key: &str,
    mut read: impl FnMut(&mut Reader<'_>, &DeTable<'_>) -> Option<T>,
) -> Vec<T> {
    let Some(node) = root.get(key) else { return Vec::new() };
    let DeValue::Array(items) = node.get_ref() else {
        reader.wrong_type::<()>(key, node, ("an array of tables", "表数组"));
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items {
        let DeValue::Table(table) = item.get_ref() else {
            reader.wrong_type::<()>(key, item, ("a table", "表"));
            continue;
        };
        let required = [if key == "ring" { "typology" } else { "kind" }, "count"];
        reader.required_keys(table, item.span(), &required);
        found.extend(read(reader, table));
    }
    found
}

/// Local midnight of the date at `key`.
fn date(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<i64> {
    let text = reader.string(table, key)?;
    // China keeps one time and no summer time.
    let midnight = format!("{}T00:00:00+08:00", text.get_ref())
        .parse::<jiff::Timestamp>()
        .ok()
        .map(|time| time.as_millisecond())
        .filter(|time| (TIME_MIN + YEAR..TIME_MAX - YEAR).contains(time));
    if midnight.is_none() {
        let message = Message::new(
            format!("`{key}` is not a date from 2001 to 2098"),
            format!("`{key}` 不是 2001 至 2098 年的日期"),
        );
        let hint = Message::new("write it as \"2024-02-09\"", "写成 \"2024-02-09\"");
        reader.fail("bad-date", text.span(), message, Some(hint));
    }
    midnight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<(&'static str, String)> {
        match Scenario::parse(Path::new("s.toml"), text) {
            Err(Failure::Input(found, _)) => found
                .into_iter()
                .map(|finding| {
                    let span = finding.span.unwrap_or(0..0);
                    (finding.code, text[span].to_owned())
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    const GOOD: &str = r#"
title = "t"
start = "2024-02-06"
days = 7
accounts = 500
groups = { family = 50, interest = 5, business = 5, stranger = 2 }
festival = { eve = "2024-02-09", peak = 6 }
[[ring]]
typology = "device-farm"
difficulty = "hard"
count = 2
"#;

    #[test]
    fn a_good_scenario_is_read() {
        let scenario = Scenario::parse(Path::new("s.toml"), GOOD).unwrap();
        assert_eq!(scenario.start, 1_707_148_800_000, "midnight in China");
        assert_eq!(scenario.festival, Some(Festival { eve: 3, peak: 6 }));
        assert_eq!(scenario.rings[0].typology, Typology::DeviceFarm);
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let bad = GOOD
            .replace("days = 7", "days = 700\ndayz = 7")
            .replace("2024-02-06", "6 Feb")
            .replace("stranger = 2", "strangers = 2")
            .replace("device-farm", "device-firm")
            .replace("festival =", "labels = { missed_percent = 101, misses = 1 }\nfestival =");
        let found = codes(&bad);
        let found: Vec<(&str, &str)> = found.iter().map(|(c, t)| (*c, t.as_str())).collect();
        for wanted in [
            ("bad-date", "\"6 Feb\""),
            ("out-of-bounds", "700"),
            ("unknown-key", "dayz"),
            ("out-of-bounds", "101"),
            ("unknown-key", "misses"),
            ("unknown-key", "strangers"),
            ("unknown-value", "\"device-firm\""),
        ] {
            assert!(found.contains(&wanted), "{wanted:?} is not in {found:?}");
        }
        assert!(found.iter().any(|(code, _)| *code == "missing-key"));
    }

    #[test]
    fn players_are_refused_where_there_are_none_or_too_few_people() {
        let ring = |typology: &str, players: i64| {
            GOOD.replace("device-farm", typology) + &format!("players = {players}\n")
        };
        assert_eq!(codes(&ring("device-farm", 30)), [("no-players", "30".to_owned())]);
        assert_eq!(codes(&ring("gambling-mine", 301)), [("too-few-people", "301".to_owned())]);
        assert!(Scenario::parse(Path::new("s.toml"), &ring("gambling-mine", 300)).is_ok());
    }

    #[test]
    fn a_variant_is_refused_where_it_means_nothing() {
        let ring = |typology: &str| {
            GOOD.replace("device-farm", typology) + "variant = \"paid-in-packets\"\n"
        };
        let refused = codes(&ring("device-farm"));
        assert_eq!(refused, [("no-variant", "\"paid-in-packets\"".to_owned())]);
        let mine = Scenario::parse(Path::new("s.toml"), &ring("gambling-mine")).unwrap();
        assert_eq!(mine.rings[0].variant, Variant::PaidInPackets);
    }

    #[test]
    fn rings_have_the_days_that_they_take() {
        let ring = |typology: &str, span: &str| GOOD.replace("device-farm", typology) + span;
        let found = |typology: &str, span: &str| codes(&ring(typology, span));
        let day = |day: i64| format!("\"2024-02-{day:02}\"");
        let between = |from, until| format!("from = {}\nuntil = {}\n", day(from), day(until));
        // The seven days are those from the 6th to the 12th.
        assert_eq!(found("gambling-mine", &between(9, 8)), [("empty-span", day(8))]);
        assert_eq!(found("gambling-mine", &between(9, 9)), [("empty-span", day(9))]);
        let from = |day_of: i64| format!("from = {}\n", day(day_of));
        assert_eq!(found("gambling-banker", &from(11)), [("too-few-days", day(11))]);
        assert_eq!(found("mule-pass-through", &from(13)), [("too-few-days", day(13))]);
        for (typology, span) in [
            ("gambling-banker", from(10)),
            ("mule-pass-through", from(12)),
            ("gambling-banker", between(9, 10)),
            ("gambling-banker", "until = \"2024-02-07\"\n".to_owned()),
        ] {
            assert!(Scenario::parse(Path::new("s.toml"), &ring(typology, &span)).is_ok(), "{span}");
        }
    }

    #[test]
    fn a_mistake_of_syntax_is_told_alone() {
        let found = codes(&GOOD.replace("days = 7", "days = [7"));
        assert!(!found.is_empty());
        assert!(found.iter().all(|(code, _)| *code == "toml-syntax"), "{found:?}");
    }

    #[test]
    fn a_number_that_is_too_long_is_out_of_bounds() {
        let long = "99999999999999999999";
        let bad = GOOD.replace("accounts = 500", &format!("accounts = {long}"));
        assert_eq!(codes(&bad), [("out-of-bounds", long.to_owned())]);
    }

    #[test]
    fn an_eve_outside_the_days_is_refused() {
        let bad = GOOD.replace("2024-02-09", "2024-03-09");
        assert_eq!(codes(&bad), [("out-of-bounds", "\"2024-03-09\"".to_owned())]);
    }
}
