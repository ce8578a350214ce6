//! The figures of `lens`, by the program itself, against sums made by hand.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::finished::{HEADER, cell, hongxian, json};
use super::support::START;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// By the clock of Shanghai, where it is 20:00 at the start of other tests.
const MIDNIGHT: i64 = START + 4 * HOUR;

/// Events in the making: when, and the columns from `kind` on.
#[derive(Default)]
struct Told(Vec<(i64, String)>);

impl Told {
    fn row(&mut self, time: i64, rest: impl Into<String>) {
        self.0.push((time, rest.into()));
    }

    /// Somebody takes all of a packet.
    fn packet(&mut self, time: i64, group: &str, (who, taker): (&str, &str), fen: i64) {
        let id = self.0.len();
        self.row(time - 1, format!("send,{who},,{group},p{id},{fen},1,bank,,,wechat,,"));
        self.row(time, format!("claim,{taker},{who},{group},p{id},{fen},,,,,wechat,,"));
    }

    /// Somebody pays of the balance.
    fn pays(&mut self, time: i64, who: &str, fen: i64) {
        self.row(time, format!("transfer,{who},shop,,,{fen},,balance,,,wechat,,"));
    }

    /// The lens on a run over these events.
    fn lens(mut self, labels: &str) -> Value {
        self.0.sort_by_key(|(time, _)| *time);
        let mut csv = format!("{HEADER}\n");
        for (at, (time, rest)) in self.0.iter().enumerate() {
            writeln!(csv, "e{at:05},{time},{rest}").unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        fs::write(here.join("events.csv"), csv).unwrap();
        let labels = format!("subject_kind,subject_id,label,typology,role\n{labels}");
        fs::write(here.join("labels.csv"), labels).unwrap();
        fs::create_dir(here.join("plain")).unwrap();
        fs::write(here.join("plain/policy.toml"), "[features]\ncolumns = \"used\"\n").unwrap();
        let run = "backtest events.csv --labels=labels.csv --rules=plain --out=run --json";
        json(&hongxian(here, &run.split(' ').collect::<Vec<_>>()));
        json(&hongxian(here, &["lens", "run", "--group-types=labels", "--json"]))
    }
}

const FAMILY: &str = "group,fam,honest,,family\n";

/// Twelve members send one packet each, and the run goes on for 1.6 days: 12 / (12 * 1.6) a day is
/// 19 in a month of 30.4 days.
#[test]
fn what_a_member_does_a_month_is_of_all_the_time_that_it_is_seen() {
    let mut told = Told::default();
    for at in 0..12 {
        told.row(MIDNIGHT, format!("send,m{at},,fam,p{at},1000,2,bank,,,wechat,,"));
    }
    told.row(MIDNIGHT + 16 * DAY / 10, "login,m0,,,,,,,,,,,");
    let lens = told.lens(FAMILY);
    assert_eq!(cell(&lens, "ties", "strong", "acts")["value"], 19.0);
}

/// A run that ends at 13:00 does not know what becomes by 20:00 of what came in the evening before:
/// of what came at noon all went on, after ten minutes.
#[test]
fn what_came_in_during_the_last_day_before_the_end_is_not_told_to_stay() {
    let mut told = Told::default();
    for at in 0..12 {
        let who = format!("m{at}");
        told.packet(MIDNIGHT + 12 * HOUR, "fam", ("sender", &who), 100);
        told.pays(MIDNIGHT + 12 * HOUR + 10 * MINUTE, &who, 100);
        told.packet(MIDNIGHT + 20 * HOUR, "fam", ("sender", &who), 600);
        told.pays(MIDNIGHT + 20 * HOUR + 40 * MINUTE, &who, 300);
    }
    told.row(MIDNIGHT + DAY + 13 * HOUR, "login,m0,,,,,,,,,,,");
    let lens = told.lens(FAMILY);
    assert_eq!(cell(&lens, "money", "all", "within_a_day")["value"], 100.0);
    assert_eq!(cell(&lens, "money", "family", "stay")["value"], 10.0);
}

/// Of thirty accounts fifteen are told of with an age; of the others ten send, two packets each, and five
/// only claim.
#[test]
fn who_acts_without_an_age_is_in_the_row_of_unknown_ages() {
    let mut told = Told::default();
    for at in 0..15 {
        told.row(MIDNIGHT, format!("account,aged{at},,,,,,,,,,18-25,"));
        told.row(MIDNIGHT + HOUR, format!("login,aged{at},,,,,,,,,,,"));
    }
    for at in 0..10 {
        let (who, taker) = (format!("new{at}"), format!("taker{}", at % 5));
        told.packet(MIDNIGHT + 2 * HOUR, "fam", (&who, &taker), 100);
        told.packet(MIDNIGHT + 3 * HOUR, "fam", (&who, &taker), 300);
    }
    let lens = told.lens(FAMILY);
    for (row, column, value) in [
        ("18-25", "accounts", 15.0),
        ("18-25", "packets", 0.0),
        ("unknown", "accounts", 15.0),
        ("unknown", "packets", 20.0),
        ("unknown", "mean", 2.0),
    ] {
        assert_eq!(cell(&lens, "ages", row, column)["value"], value, "{row} {column}");
    }
    let ages = lens["sections"].as_array().unwrap().iter().find(|one| one["id"] == "ages").unwrap();
    assert_eq!(ages["rows"].as_array().unwrap().len(), 2, "nobody is left for another row: {ages}");
}

/// Four groups that labels call fraud, of twelve accounts each: of one in Shandong, one in Guangdong
/// and two that no event places, Shandong has a half. Where none is placed there is no share.
#[test]
fn shares_of_provinces_are_of_groups_whose_province_is_known() {
    let lens = |regions: [&str; 4]| {
        let mut told = Told::default();
        for (group, region) in regions.into_iter().enumerate() {
            told.row(MIDNIGHT, format!("group,,,g{group},,,,,,{region},,,"));
            for at in 0..12 {
                let home = ["370000", "440000"][group % 2];
                told.row(MIDNIGHT, format!("account,m{group}-{at},,,,,,,,{home},,,"));
                told.row(MIDNIGHT + HOUR, format!("join,m{group}-{at},,g{group},,,,,,,,,"));
            }
        }
        let label = |group: usize| format!("group,g{group},fraud,gambling,\n");
        told.lens(&(0..4).map(label).collect::<String>())
    };
    let some = lens(["370000", "440000", "", ""]);
    for row in ["370000", "440000", "three"] {
        assert_eq!(cell(&some, "provinces", row, "found")["value"], 50.0, "{row}");
        assert_eq!(cell(&some, "provinces", row, "groups")["value"], 1.0, "{row}");
    }
    let notes = |lens: &Value| {
        let sections = lens["sections"].as_array().unwrap();
        sections.iter().find(|one| one["id"] == "provinces").unwrap()["notes"].to_string()
    };
    let said = "fraud by labels: 2 groups and, of unknown province, 2 groups";
    assert!(notes(&some).contains(said), "{}", notes(&some));
    let none = lens([""; 4]);
    for row in ["370000", "440000", "three"] {
        assert!(cell(&none, "provinces", row, "found")["value"].is_null(), "{row}");
    }
    assert!(notes(&none).contains("0 groups and, of unknown province, 4 groups"));
}

/// Twelve accounts receive 4 yuan among family and then 9 yuan of a shop, and twelve others 2 yuan
/// among family, half of them outside of groups. The 4 yuan go on after ten minutes, when all
/// that had come in was of the family; the two go on after an hour. By the end the first twelve are
/// the shop's.
#[test]
fn each_row_of_turnover_is_of_the_accounts_that_received_most_so() {
    let mut told = Told::default();
    for at in 0..12 {
        let (both, one) = (format!("both{at}"), format!("one{at}"));
        told.packet(MIDNIGHT, "fam", ("sender", &both), 400);
        told.pays(MIDNIGHT + 10 * MINUTE, &both, 400);
        told.packet(MIDNIGHT + HOUR, "biz", ("sender", &both), 900);
        told.pays(MIDNIGHT + HOUR + 30 * MINUTE, &both, 900);
        told.packet(MIDNIGHT, ["fam", ""][at % 2], ("sender", &one), 200);
        told.pays(MIDNIGHT + HOUR, &one, 200);
    }
    told.row(MIDNIGHT + 2 * DAY, "login,one0,,,,,,,,,,,");
    let lens = told.lens("group,fam,honest,,family\ngroup,biz,honest,,business\n");
    for (row, column, value) in [
        ("family", "accounts", 12.0),
        ("family", "received", 24.0),
        ("family", "stay", 60.0),
        ("business", "accounts", 12.0),
        ("business", "received", 108.0),
        ("business", "stay", 30.0),
    ] {
        assert_eq!(cell(&lens, "money", row, column)["value"], value, "{row} {column}");
    }
}

/// Twelve accounts receive, and of one alone it is known how long the money stayed.
#[test]
fn a_stay_on_few_accounts_is_hidden_however_many_received() {
    let mut told = Told::default();
    for at in 0..12 {
        told.packet(MIDNIGHT, "fam", ("sender", &format!("m{at}")), 100);
    }
    told.pays(MIDNIGHT + 37 * MINUTE, "m0", 100);
    told.row(MIDNIGHT + 2 * DAY, "login,m0,,,,,,,,,,,");
    let lens = told.lens(FAMILY);
    assert_eq!(cell(&lens, "money", "family", "received")["value"], 12.0);
    let stay = cell(&lens, "money", "family", "stay");
    assert!(stay["value"].is_null() && stay["small"] == true, "{stay}");
}

/// Three accounts in Hebei are hidden; beside 44 in three provinces, 20 and 21 would give them away.
#[test]
fn accounts_of_a_small_province_are_not_what_is_left_of_a_sum() {
    let mut told = Told::default();
    for (region, accounts) in [("370000", 20), ("410000", 21), ("130000", 3), ("440000", 30)] {
        for at in 0..accounts {
            told.row(MIDNIGHT, format!("account,m{region}-{at},,,,,,,,{region},,,"));
        }
    }
    told.row(MIDNIGHT, "join,m370000-0,,fam,,,,,,,,,");
    let lens = told.lens(FAMILY);
    let seen = |row: &str| cell(&lens, "provinces", row, "accounts")["value"].as_f64();
    assert_eq!(seen("130000"), None);
    assert_eq!(seen("440000"), Some(30.0), "it is in no sum");
    let open = ["370000", "410000", "three"].iter().all(|row| seen(row).is_some());
    assert!(!open, "44 - 20 - 21 is 3");
    // One more is hidden and no less: two hidden numbers are told apart by no sum of both.
    assert_eq!((seen("370000"), seen("410000"), seen("three")), (None, Some(21.0), Some(44.0)));
}

/// Three senders of half past eight are hidden. What is sent in the hours that the document names,
/// 20 to 22, is their packets and those of the half-hours beside them.
#[test]
fn a_hidden_half_hour_is_not_what_is_left_of_the_active_hours() {
    let mut told = Told::default();
    for (half, senders) in [(20, 10), (40, 12), (41, 3), (42, 13)] {
        for at in 0..senders {
            let time = MIDNIGHT + half * HOUR / 2;
            told.packet(time + MINUTE, "fam", (&format!("s{half}-{at}"), "taker"), 100);
        }
    }
    let lens = told.lens(FAMILY);
    let hours = lens["hours"].as_array().unwrap();
    let percent = hours.iter().find(|one| one["id"] == "family").unwrap()["percent"].clone();
    assert!(percent[41].is_null(), "{percent}");
    let hidden = (40..44).filter(|half| percent[*half].is_null()).count();
    let active = &cell(&lens, "groups", "family", "active")["value"];
    assert!(active.is_null() || hidden > 1, "{active} {percent}");
    assert_eq!(percent[42], 34.2, "13 of 38, which tell of nobody");
}

/// Of three groups of business one is inland, of five accounts: its share there is hidden. Half of
/// four groups in the deltas are two, and three less two is one.
#[test]
fn a_hidden_share_of_a_zone_is_not_what_is_left_of_a_type() {
    let mut told = Told::default();
    let mut labels = String::new();
    let groups = [("440000", "business", 12), ("440000", "business", 12), ("440000", "family", 12)];
    let inland = [("440000", "family", 12), ("510000", "business", 5), ("510000", "family", 12)];
    for (at, (region, kind, members)) in groups.into_iter().chain(inland).enumerate() {
        told.row(MIDNIGHT, format!("group,,,g{at},,,,,,{region},,,"));
        for member in 0..members {
            told.row(MIDNIGHT + HOUR, format!("join,m{at}-{member},,g{at},,,,,,,,,"));
        }
        writeln!(labels, "group,g{at},honest,,{kind}").unwrap();
    }
    let lens = told.lens(&labels);
    let seen = |section: &str, row: &str, column: &str| {
        cell(&lens, section, row, column)["value"].as_f64()
    };
    assert_eq!(seen("groups", "business", "groups"), Some(3.0));
    assert_eq!(seen("regions", "inland", "business"), None);
    assert_eq!(seen("regions", "deltas", "business"), None, "2 of 4");
    assert_eq!(seen("regions", "deltas", "family"), Some(50.0), "of 24 accounts, as inland of 12");
}
