//! What a judgement says of small stories, and what a labels file may hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use super::*;
use crate::diagnostic::Failure;
use crate::event::Raw;

const DAY: i64 = 86_400_000;
/// 2024-02-10T00:00:00+08:00.
const START: i64 = 1_707_494_400_000;

fn rules() -> Vec<JudgedRule> {
    [("gather", 400), ("night", 200), ("words", 300)]
        .map(|(id, score)| JudgedRule {
            id: id.to_owned(),
            title: id.to_owned(),
            title_zh: String::new(),
            score,
            status: Status::Live,
        })
        .to_vec()
}

/// The default bands over the scores of [`rules`].
fn redecide() -> Redecide {
    Box::new(|_, hits| {
        let score: i64 = hits.iter().map(|&rule| rules()[usize::from(rule)].score).sum();
        match score {
            850.. => Verdict::Block,
            600.. => Verdict::Hold,
            300.. => Verdict::Review,
            _ => Verdict::Allow,
        }
    })
}

fn labels(rows: &[[&str; 7]]) -> Labels {
    let mut builder = LabelsBuilder::default();
    for (line, row) in rows.iter().enumerate() {
        builder.push(row.map(Raw::Cell), line as u64 + 2, None);
    }
    builder.finish().expect("good labels")
}

/// Transactions `(id, account, fen, hits, ms after START)`, decided by [`redecide`].
fn judge(labels: Option<Labels>, rows: &[(&str, &str, i64, &[u16], i64)]) -> Judgement {
    judge_after(i64::MIN, labels, rows)
}

/// The same, where what is before `judge_from` is the warm-up.
fn judge_after(
    judge_from: i64,
    labels: Option<Labels>,
    rows: &[(&str, &str, i64, &[u16], i64)],
) -> Judgement {
    let decide = redecide();
    let options = JudgeOptions { judge_from, ..JudgeOptions::default() };
    let mut judge = Judge::new(labels, rules(), options, redecide());
    for &(event_id, account_id, amount_fen, hits, after) in rows {
        let mut judged = Judged {
            event_id,
            event_time: START + after,
            account_id,
            group_id: "",
            amount_fen,
            decision: Verdict::Allow,
            floor: Verdict::Allow,
            score: hits.iter().map(|&rule| rules()[usize::from(rule)].score).sum(),
            hits,
            epoch: 0,
            ways: None,
        };
        judged.decision = decide(&judged, hits);
        judge.observe(&judged);
    }
    judge.finish()
}

const STORY: [(&str, &str, i64, &[u16], i64); 6] = [
    ("e1", "mule", 100, &[], 0),
    ("e2", "mule", 200, &[0], 1_000),
    ("e3", "mule", 400, &[0, 1, 2], 2_000),
    ("e4", "mule", 800, &[1], DAY),
    ("e5", "aunt", 1_600, &[1, 2], DAY + 1),
    ("e6", "uncle", 3_200, &[1], DAY + 2),
];

#[test]
fn without_labels_there_is_work_and_no_truth() {
    let found = judge(None, &STORY);
    assert_eq!(found.transactions, 6);
    assert_eq!(found.decided.allow, Tally { count: 3, fen: 100 + 800 + 3_200 });
    assert_eq!(found.decided.review, Tally { count: 2, fen: 200 + 1_600 });
    assert_eq!(found.decided.block, Tally { count: 1, fen: 400 });
    assert_eq!(found.decided.moved_after_stop, Tally { count: 1, fen: 800 });
    assert_eq!(found.workload.accounts_alerted, 2);
    assert_eq!(found.workload.accounts_stopped, 1);
    assert_eq!((found.workload.days, found.workload.alerts_per_day), (2, Some(1.5)));
    assert_eq!(found.span, Some((START, START + DAY + 2)));
    assert_eq!(found.scores, [(0, 1), (200, 2), (400, 1), (500, 1), (900, 1)]);
    assert!(found.truth.views().next().is_none());
    let top: Vec<&str> = found.top_accounts.iter().map(|a| a.account_id.as_str()).collect();
    assert_eq!(top, ["mule", "aunt"]);
}

#[test]
fn rules_are_told_apart() {
    let found = judge(None, &STORY);
    let row = |at: usize| {
        let rule = &found.rules[at];
        (rule.hits.count, rule.alerts, rule.unique, rule.marginal)
    };
    assert_eq!(row(0), (2, 2, 1, 1), "e2 hangs on it; e3 would stay an alert with 500");
    assert_eq!(row(1), (4, 2, 0, 0), "alone it alerts nothing, and e5 keeps 300 without it");
    assert_eq!(row(2), (2, 2, 0, 1), "e5 would fall to 200");
    let both = |a, b, both| Overlap { a, b, both };
    assert_eq!(found.overlap, [both(0, 1, 1), both(0, 2, 1), both(1, 2, 2)]);
}

#[test]
fn account_labels_judge_what_the_account_does() {
    let from = (START + 500).to_string();
    let found = judge(
        Some(labels(&[
            ["account", "mule", "fraud", "many groups", "collector", "", &from],
            ["account", "uncle", "honest", "", "", "", ""],
            ["account", "nobody", "fraud", "", "", "", ""],
        ])),
        &STORY,
    );
    assert!(found.truth.events.is_none());
    let view = found.truth.accounts.expect("account labels");
    let expect = metrics::Confusion {
        true_positives: 2,
        false_positives: 1,
        false_negatives: 2,
        true_negatives: 1,
    };
    assert_eq!(view.confusion, expect);
    assert_eq!((view.precision, view.recall), (Some(2.0 / 3.0), Some(0.5)));
    assert_eq!(view.unlabelled, 1, "the aunt is not known and counts as honest");
    assert_eq!(view.labels.unmatched_examples, ["nobody"]);
    assert_eq!(view.fraud.stopped(), Tally { count: 1, fen: 400 });
    assert_eq!(view.fraud.moved_after_stop, Tally { count: 1, fen: 800 });
    assert_eq!(view.caught, Caught { subjects: 1, alerted: 1, stopped: 1 });
    assert_eq!((view.accounts.honest_alerted, view.accounts.honest_stopped), (1, 0));
    assert_eq!(view.typologies.len(), 1);
    assert_eq!(view.typologies[0].name, "many groups");
    assert_eq!(view.typologies[0].decided.alerts(), Tally { count: 2, fen: 600 });
    assert_eq!(view.roles[0].caught.subjects, 1);
    let detection = view.detection.expect("a label says from when");
    assert_eq!((detection.subjects, detection.detected, detection.median_ms), (1, 1, Some(500)));
    assert_eq!(view.rules[0].precision, Some(1.0));
    assert_eq!((view.rules[0].unique, view.rules[0].marginal), (1, 1));
    assert_eq!((view.rules[2].marginal, view.rules[2].marginal_honest), (0, 1));
}

#[test]
fn honest_alerts_count_for_the_typologies_that_their_leading_rule_finds() {
    let transactions: [(&str, &str, i64, &[u16], i64); 9] = [
        ("a1", "x", 1, &[0], 0),
        ("a2", "x", 1, &[1, 0], 1),
        ("a3", "x", 1, &[0, 2], 2),
        ("b1", "x", 1, &[0], 3),
        ("b2", "x", 1, &[2], 4),
        ("h1", "x", 1, &[0, 1], 5),
        ("h2", "x", 1, &[0], 6),
        ("h3", "x", 1, &[1, 2], 7),
        ("h4", "x", 1, &[1], 8),
    ];
    let fraud = |id, typology| ["event", id, "fraud", typology, "", "", ""];
    let rows = [
        fraud("a1", "farm"),
        fraud("a2", "farm"),
        fraud("a3", "farm"),
        fraud("b1", "mule"),
        fraud("b2", "mule"),
    ];
    let view = judge(Some(labels(&rows)), &transactions).truth.events.expect("event labels");
    // Of two honest alerts led by the first rule 3/4 and 1/4, of the one led by the third all for the
    // second typology; the last is no alert.
    let precision: Vec<_> = view.typologies.iter().map(|one| one.precision).collect();
    assert_eq!(precision, [Some(3.0 / (3.0 + 1.5)), Some(2.0 / (2.0 + 0.5 + 1.0))]);
    assert_eq!(view.confusion.false_positives, 3);
}

#[test]
fn event_and_account_labels_are_reported_apart() {
    let found = judge(
        Some(labels(&[
            ["event", "e3", "fraud", "", "", "", ""],
            ["account", "aunt", "fraud", "", "", "", ""],
        ])),
        &STORY,
    );
    let events = found.truth.events.as_ref().expect("event labels");
    let accounts = found.truth.accounts.as_ref().expect("account labels");
    assert_eq!((events.confusion.true_positives, events.confusion.false_positives), (1, 2));
    assert_eq!((accounts.confusion.true_positives, accounts.confusion.false_positives), (1, 2));
    assert_eq!((events.auc, events.average_precision), (Some(1.0), Some(1.0)));
    assert_eq!(accounts.auc, Some(0.8), "one of five scores above it");
    assert_eq!(events.typologies[0].name, "", "fraud without a typology has a row");
    let fraud: Vec<Option<bool>> = found.top_accounts.iter().map(|a| a.fraud).collect();
    assert_eq!(fraud, [Some(true), Some(false)], "event labels judge first");
}

#[test]
fn an_alert_before_it_could_be_seen_is_no_detection() {
    let from = (START + DAY).to_string();
    let rows = [["account", "mule", "fraud", "", "", "", from.as_str()]];
    let view = judge(Some(labels(&rows)), &STORY).truth.accounts.expect("account labels");
    let detection = view.detection.expect("a label says from when");
    assert_eq!((detection.early, detection.detected, detection.median_ms), (1, 0, None));
    assert_eq!(detection.early_only, 1, "it is no detection, and the account has its alerts");
}

#[test]
fn an_alert_before_and_one_after_are_a_detection() {
    let from = (START + 1_500).to_string();
    let rows = [["account", "mule", "fraud", "", "", "", from.as_str()]];
    let view = judge(Some(labels(&rows)), &STORY).truth.accounts.expect("account labels");
    let detection = view.detection.expect("a label says from when");
    assert_eq!((detection.early, detection.early_only), (1, 0));
    assert_eq!((detection.detected, detection.median_ms), (1, Some(500)));
}

/// Alerts of the warm-up are not judged: the first one after it is not the first of who could be seen
/// before its end, so that such an account is left out, and counted apart.
#[test]
fn who_could_be_seen_in_the_warm_up_has_no_time_to_detection() {
    let [start, middle, after] = [0, 1_000, 2_000].map(|after| (START + after).to_string());
    let rows = [
        ["account", "old", "fraud", "", "", "", start.as_str()],
        ["account", "gone", "fraud", "", "", "", start.as_str()],
        ["account", "new", "fraud", "", "", "", middle.as_str()],
        ["account", "late", "fraud", "", "", "", after.as_str()],
    ];
    let story: [(&str, &str, i64, &[u16], i64); 6] = [
        ("e1", "late", 100, &[0], 100),
        ("e2", "old", 100, &[0], 500),
        ("e3", "gone", 100, &[0], 999),
        ("e4", "new", 100, &[0], 1_200),
        ("e5", "late", 100, &[0], 2_700),
        ("e6", "old", 100, &[0], 3_000),
    ];
    let detection = |judge_from: i64, rows: &[[&str; 7]]| {
        let found = judge_after(judge_from, Some(labels(rows)), &story);
        let view = found.truth.accounts.expect("account labels");
        let found = view.detection.expect("a label says from when");
        let left_out = found.in_warmup.map_or(0, std::num::NonZeroU64::get);
        let times = (found.median_ms, found.p90_ms);
        ((found.subjects, found.detected, found.early, left_out), times)
    };
    // All is judged: 200 and 700 ms of the new and the late, and 500 and 999 ms of the others. What
    // was alerted too early is the first of the late.
    let (counts, (_, p90)) = detection(i64::MIN, &rows);
    assert_eq!((counts, p90), ((4, 4, 1, 0), Some(999)));
    // The new could be seen just when the warm-up ended; of the late the first is in it. Nobody
    // counts the one that is gone by then.
    let (counts, (_, p90)) = detection(START + 1_000, &rows);
    assert_eq!((counts, p90), ((2, 2, 0, 1), Some(700)));
    // Where all are left out that is still said.
    assert_eq!(detection(START + 1_000, &rows[..2]), ((0, 0, 0, 1), (None, None)));
}

/// How long after the beginning of a scheme a transaction is made says nothing of how long it took
/// to find the scheme, whatever is decided on it.
#[test]
fn labels_of_events_have_no_time_to_detection() {
    let from = START.to_string();
    let rows = [
        ["event", "e2", "fraud", "", "", "", from.as_str()],
        ["event", "e3", "fraud", "", "", "", from.as_str()],
        ["account", "mule", "fraud", "", "", "", from.as_str()],
    ];
    let truth = judge(Some(labels(&rows)), &STORY).truth;
    assert_eq!(truth.events.expect("event labels").detection, None);
    let detection = truth.accounts.and_then(|view| view.detection).expect("account labels");
    assert_eq!((detection.detected, detection.median_ms), (1, Some(1_000)));
}

#[test]
fn a_file_without_labels_is_no_lack_of_a_file() {
    let truth = |labels| judge(labels, &STORY).truth;
    assert!(!truth(None).given);
    let empty = truth(Some(Labels::default()));
    assert!(empty.given && empty.views().next().is_none());
}

#[test]
fn warm_up_is_not_judged_but_matches_labels() {
    let rows = [["event", "e1", "fraud", "", "", "", ""]];
    let options = JudgeOptions { judge_from: START + 1, ..JudgeOptions::default() };
    let mut judge = Judge::new(Some(labels(&rows)), rules(), options, redecide());
    judge.observe(&Judged {
        event_id: "e1",
        event_time: START,
        account_id: "a",
        group_id: "",
        amount_fen: 1,
        decision: Verdict::Allow,
        floor: Verdict::Allow,
        score: 0,
        hits: &[],
        epoch: 0,
        ways: None,
    });
    let found = judge.finish();
    assert_eq!((found.transactions, found.warmup), (0, 1));
    let view = found.truth.events.expect("event labels");
    assert_eq!((view.labels.matched, view.recall), (1, None));
}

/// However many transactions come at once, the judgement is that of one by one; and what it says of
/// accounts is what a walk over all transactions finds.
#[test]
fn transactions_may_come_in_any_blocks() {
    let mut state = 7_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 33) % bound) as usize
    };
    let events: Vec<String> = (0..800).map(|at| format!("e{at}")).collect();
    // Some ids are longer than what is kept in place.
    let accounts: Vec<String> =
        (0..60_usize).map(|at| format!("{at}{}", "-".repeat(at % 40))).collect();
    let hits: [&[u16]; 4] = [&[], &[1], &[2, 0], &[0, 1, 2]];
    let mut rows = Vec::new();
    for (at, event_id) in events.iter().enumerate() {
        // Half are allowed, and some accounts are seen far more often than others.
        let grade = below(4) * below(2);
        rows.push(Judged {
            event_id,
            event_time: START + 1_000 * at as i64,
            account_id: &accounts[below(60).min(below(60))],
            group_id: ["", "g"][at % 2],
            amount_fen: 1 + at as i64 % 5,
            decision: Verdict::ALL[grade],
            floor: Verdict::Allow,
            score: 100 * grade as i64,
            hits: hits[grade],
            epoch: 0,
            ways: None,
        });
    }
    let judge_from = START + 50_000;
    let in_blocks_of = |size: usize, labelled: bool| {
        let known = [
            ["event", "e70", "fraud", "", "", "", ""],
            ["account", "3---", "fraud", "", "", "", ""],
            ["group", "g", "honest", "", "", "", ""],
        ];
        let options = JudgeOptions { judge_from, ..JudgeOptions::default() };
        let labels = labelled.then(|| labels(&known));
        let mut judge = Judge::new(labels, rules(), options, redecide());
        rows.chunks(size).for_each(|block| judge.observe_all(block));
        judge.finish()
    };
    for labelled in [false, true] {
        let found = in_blocks_of(1, labelled);
        for size in [2, 7, 32, 800] {
            assert_eq!(in_blocks_of(size, labelled), found, "blocks of {size}");
        }
        let (mut again, mut moved) = (Tally::default(), Tally::default());
        let (mut stopped, mut alerted) = (BTreeSet::new(), BTreeMap::new());
        for row in &rows {
            let stops = row.decision >= Verdict::Hold;
            if row.event_time >= judge_from {
                if stopped.contains(row.account_id) {
                    if stops { again.add(row.amount_fen) } else { moved.add(row.amount_fen) }
                }
                if row.decision > Verdict::Allow {
                    let (score, fen) = alerted.entry(row.account_id).or_insert((0, 0));
                    (*score, *fen) = (row.score.max(*score), row.amount_fen + *fen);
                }
            }
            if stops {
                stopped.insert(row.account_id);
            }
        }
        assert_eq!((found.decided.stopped_again, found.decided.moved_after_stop), (again, moved));
        let mut order: Vec<_> = alerted.into_iter().collect();
        order.sort_by_key(|(id, (score, fen))| (Reverse((*score, *fen)), *id));
        assert!(order.len() > 20, "more accounts than are named");
        let named = found.top_accounts.iter().map(|one| one.account_id.as_str());
        assert!(named.eq(order.iter().take(20).map(|(id, _)| *id)));
    }
}

/// Whoever is known as a fraud from the warm-up is no honest account that an alert touched, and no
/// fraud of the judged time that was found.
#[test]
fn fraud_of_the_warm_up_makes_nobody_honest() {
    let rows = [["event", "e1", "fraud", "", "", "", ""]];
    let options = JudgeOptions { judge_from: START + 1, ..JudgeOptions::default() };
    let mut judge = Judge::new(Some(labels(&rows)), rules(), options, redecide());
    let held = WayDecision { verdict: Verdict::Hold, score: 600 };
    let ways =
        WayDecisions { model_score: None, rules: held, model: held, both: held, challenger: None };
    for (event_id, account_id, after) in [("e1", "mule", 0), ("e2", "mule", 1), ("e3", "aunt", 2)] {
        judge.observe(&Judged {
            event_id,
            event_time: START + after,
            account_id,
            group_id: "",
            amount_fen: 1,
            decision: Verdict::Hold,
            floor: Verdict::Allow,
            score: 600,
            hits: &[],
            epoch: 0,
            ways: Some(ways),
        });
    }
    let found = judge.finish();
    // The mule was stopped in the warm-up, the aunt was not.
    assert_eq!(found.decided.stopped_again, Tally { count: 1, fen: 1 });
    assert_eq!((found.decided.hold.count, found.workload.accounts_stopped), (2, 2));
    let accounts = found.truth.events.expect("event labels").accounts;
    assert_eq!((accounts.fraud, accounts.fraud_alerted), (0, 0));
    assert_eq!((accounts.honest_alerted, accounts.honest_stopped), (1, 1), "the aunt");
    let comparison = found.comparison.expect("a model");
    assert_eq!(comparison.ways[0].honest_accounts_alerted, 1, "as by the labels");
    let named: Vec<(&str, Option<bool>)> =
        found.top_accounts.iter().map(|one| (one.account_id.as_str(), one.fraud)).collect();
    assert_eq!(named, [("aunt", Some(false)), ("mule", Some(true))]);
}

#[test]
fn the_clock_is_that_of_the_zone() {
    let check = |name: &str, hours: i64| {
        let zone = Zone::new(name).expect("a zone");
        assert_eq!(JudgeOptions::in_zone(&zone).utc_offset_ms, hours * 3_600_000, "{name}");
    };
    check("Asia/Shanghai", 8);
    check("UTC", 0);
    check("America/Los_Angeles", -8);
    check("Pacific/Auckland", 13);
}

#[test]
fn nothing_observed_is_a_judgement_too() {
    let found = judge(None, &[]);
    assert_eq!((found.transactions, found.span), (0, None));
    assert_eq!(found.workload.alerts_per_day, None);
    assert!(found.timeline.bins.is_empty());
    serde_json::to_string(&found).expect("it serialises");
}

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join(name);
    let mut file = std::fs::File::create(&path).expect("a new file");
    file.write_all(bytes).expect("written");
    (dir, path)
}

fn mistakes(name: &str, bytes: &[u8]) -> Vec<String> {
    let (_dir, path) = file(name, bytes);
    match Labels::read(&path, None) {
        Err(Failure::Input(diagnostics, _)) => {
            diagnostics.into_iter().map(|diagnostic| diagnostic.message.en).collect()
        }
        Err(_) => panic!("mistakes of the input were expected"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn csv_and_json_lines_say_the_same() {
    let csv = "\u{feff}note,subject_kind,subject_id,label,detectable_from\r\n\
        \"a, b\",account,u1,fraud,2024-02-10T00:00:00+08:00\r\n\r\n,event,e1,honest,\r\n";
    let json = "{\"subject_kind\":\"account\",\"subject_id\":\"u1\",\"label\":\"fraud\",\
        \"detectable_from\":1707494400000}\n\n\
        {\"subject_kind\":\"event\",\"subject_id\":\"e1\",\"label\":\"honest\",\"role\":null}\n";
    for (name, text) in [("l.csv", csv), ("l.jsonl", json)] {
        let (_dir, path) = file(name, text.as_bytes());
        let labels = Labels::read(&path, None).unwrap_or_else(|_| panic!("{name} is good"));
        assert_eq!(labels.len(), 2, "{name}");
        let account = labels.get(Subject::Account, "u1").expect("labelled");
        assert_eq!((account.fraud, account.detectable_from), (true, Some(START)), "{name}");
        assert!(!labels.get(Subject::Event, "e1").expect("labelled").fraud, "{name}");
        assert!(labels.get(Subject::Event, "u1").is_none(), "{name}");
    }
}

#[test]
fn parquet_reads_strings_and_timestamps() {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
    let strings = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let time = TimestampMicrosecondArray::from(vec![Some(START * 1000 + 999), None]);
    let columns = [
        ("subject_kind", strings(vec![Some("account"), Some("group")])),
        ("subject_id", strings(vec![Some("u1"), Some("g1")])),
        ("label", strings(vec![Some("fraud"), Some("honest")])),
        ("typology", strings(vec![Some("ring"), None])),
        ("known_at", Arc::new(time.with_timezone("UTC")) as ArrayRef),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let mut bytes = Vec::new();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    let (_dir, path) = file("l.parquet", &bytes);
    let labels = Labels::read(&path, None).unwrap_or_else(|_| panic!("the file is good"));
    let account = labels.get(Subject::Account, "u1").expect("labelled");
    assert_eq!((account.known_at, account.typology), (Some(START), Some(0)));
    assert_eq!(labels.typologies(), ["ring"]);
    assert!(labels.get(Subject::Group, "g1").is_some());
}

/// A column with nearly the name of one that is read is told of; any other, and one beside that which
/// it resembles, are left alone.
#[test]
fn a_misspelt_column_is_told_of() {
    let told = |columns: &str| {
        let rows = "event,e1,fraud,2024-02-10T00:00:00+08:00,x\n";
        let csv = format!("subject_kind,subject_id,label,{columns}\n{rows}");
        let json = format!(
            "{{\"subject_kind\":\"event\",\"subject_id\":\"e1\",\"label\":\"fraud\",{}}}\n",
            columns.split(',').map(|name| format!("\"{name}\":null")).collect::<Vec<_>>().join(",")
        );
        let [csv, json] = [("l.csv", csv), ("l.jsonl", json)].map(|(name, text)| {
            let (_dir, path) = file(name, text.as_bytes());
            let labels = Labels::read(&path, None).unwrap_or_else(|_| panic!("{name} is good"));
            let told = labels.warnings(&path).into_iter();
            told.map(|one| {
                format!("{} {}", one.message.en, one.hint.map_or_else(String::new, |hint| hint.en))
            })
            .collect::<Vec<_>>()
        });
        assert_eq!(csv, json, "{columns}");
        csv
    };
    let wanted = "column `detectible_from` is ignored did you mean `detectable_from`?";
    assert_eq!(told("detectible_from,note"), [wanted]);
    assert!(told("detectable_from,detectible_from").is_empty());
    assert!(told("known_at,remark").is_empty());
}

#[test]
fn every_bad_row_is_named() {
    let head = "subject_kind,subject_id,label,known_at\n";
    let check = |rows: &str, expect: &[&str]| {
        assert_eq!(mistakes("l.csv", format!("{head}{rows}").as_bytes()), expect, "{rows}");
    };
    check("event,e1,fraud,\nevent,e1,fraud,\n", &[]);
    check("event,,fraud,\n", &["line 2: subject_id is required"]);
    check(
        "packet,p1,fraud,\n",
        &["line 2: subject_kind is \"packet\", not one of event, account, group"],
    );
    check(
        "event,e1,fraud,\nevent,e1,honest,\n",
        &["line 3: this subject has the opposite label at line 2"],
    );
    check(
        "event,e1,fraud\n\nevent,e2,yes,\n",
        &[
            "line 2: 3 cells where the header has 4",
            "line 4: label is \"yes\", not one of fraud, honest",
        ],
    );
    check(
        "event,e1,fraud,\"\nevent,e2,yes,\n\"event\",e3,fraud,5\"\n",
        &[
            "line 2: a quote is opened and not closed on its line",
            "line 3: label is \"yes\", not one of fraud, honest",
            "line 4: a quote inside a cell that does not start with one",
        ],
    );
    check(
        "event,e1,fraud,tomorrow\n",
        &["line 2: known_at is not an integer of ms or an RFC 3339 time with offset, 2000 to 2100"],
    );
}

#[test]
fn files_that_are_no_labels_say_so() {
    let check = |name: &str, text: &str, expect: &str| {
        let found = mistakes(name, text.as_bytes());
        assert!(found.len() == 1 && found[0].contains(expect), "{name} {text:?}: {found:?}");
    };
    check("l.csv", "", "the file is empty");
    check("L.CSV", "", "the file is empty");
    check("l.parq", "PAR1\u{1b}[2J", "the name does not tell a format that can be read");
    check("labels", "", "the name does not tell a format that can be read");
    check(
        "l.csv",
        "subject_kind,subject_id,label,subject_id\n",
        "the header names column `subject_id` twice",
    );
    check("l.csv", "subject_kind,\"subject_id,label\n", "line 1: a quote is opened");
    check("l.csv", "subject,label\n", "no column subject_kind, subject_id");
    check("l.jsonl", "[1]\n", "line 1: not a JSON object");
    check("l.parquet", "no parquet", "cannot be read");
    check("l.csv.gz", "no gzip, and long enough for a header", "gzip");
}
