//! The referee over whole streams: those of the engine are clean, every fault is found by its name
//! at its event, and all figures are those of the laws, however the run is cut up.

mod faults;
mod oracle;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;

use faults::FAULTS;
use hongxian::event::Schema;
use hongxian::source::{self, Input};
use oracle::{Known, known};
use streams::{Dice, Style, number, stream};

use crate::diff::done;
use crate::support::{
    Ev, Row, START, chunk, declared_features, features, job, options, refereed, workspace,
};

/// Workers, tick and batch.
type Cut = (usize, i64, usize);
const CUTS: [Cut; 6] = [
    (1, 1_000, 10_000),
    (2, 5, 1),
    (3, 3_600_000, 64),
    (4, 1_000, 1),
    (4, 86_400_000, 1_000),
    (8, 5, 10_000),
];

const OPEN: Style = Style { packets: 120, decided: false, tilt: 0 };
const DECIDED: Style = Style { packets: 120, decided: true, tilt: 0 };

fn run(chunks: &[&[Ev]], cut: Cut, sorted: bool) -> Vec<(String, String, Row)> {
    let chunks = chunks.iter().map(|events| chunk(events)).collect();
    let mut options = options(cut.0, cut.1, cut.2);
    options.sorted = sorted;
    // Windows rely on the order, and the negative control is of the referee alone.
    let features = if sorted { features(Vec::new(), None) } else { declared_features(Vec::new()) };
    refereed(&job(chunks, features, sorted), options)
}

/// Compares a run with the oracle, row by row.
#[track_caller]
fn check(events: &[Ev], expected: &[Known], seed: u64) {
    compare(&run(&[events], CUTS[2], true), events, expected, seed);
}

/// The same for the rows of a run.
#[track_caller]
fn compare(rows: &[(String, String, Row)], events: &[Ev], expected: &[Known], seed: u64) {
    let rows: BTreeMap<_, _> =
        rows.iter().map(|(id, outcome, row)| (id.as_str(), (outcome, row))).collect();
    for (event, known) in events.iter().zip(expected) {
        let Some((outcome, row)) = rows.get(event.id.as_str()) else {
            assert_eq!(event.kind, "refund");
            continue;
        };
        let at = format!("seed {seed}, {event:?}");
        assert_eq!(*outcome, known.finding, "{at}");
        let int = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
        assert_eq!(row["packet.shares_taken"], int(known.shares_taken), "{at}");
        assert_eq!(row["packet.left_fen"], int(known.left), "{at}");
        assert_eq!(row["packet.refund_faults_30d"], known.refund_faults.to_string(), "{at}");
        assert_eq!(row["packet.unreturned_30d"], known.unreturned.to_string(), "{at}");
        let finding = if known.refund_finding.is_empty() { "null" } else { known.refund_finding };
        assert_eq!(row["packet.refund_finding"], finding, "{at}");
        for (name, value, room) in [
            ("packet.share_rank", known.rank, 1e-9),
            ("packet.split_deviation", known.deviation, 1e-5),
            ("packet.luck_30d", known.luck, 1e-5),
            ("packet.sent_deviation_30d", known.sent_deviation, 1e-5),
        ] {
            let found = row[name].parse::<f64>().ok();
            let near = found.zip(value).is_some_and(|(found, value)| (found - value).abs() < room);
            assert!(
                near || found.is_none() && value.is_none(),
                "{name}: {found:?} {value:?}, {at}"
            );
        }
    }
}

#[test]
fn the_streams_of_the_engine_are_clean() {
    let mut met = BTreeMap::<&str, usize>::new();
    let (mut ranks, mut deviations, mut lucks, mut sent) = (0, 0, 0, 0);
    for seed in 0..6 {
        let events = stream(seed, if seed % 2 == 0 { OPEN } else { DECIDED });
        for event in &events {
            let play = if event.kind == "send" { event.play } else { event.kind };
            *met.entry(play).or_default() += 1;
        }
        let expected = known(&events);
        for (event, known) in events.iter().zip(&expected) {
            assert_eq!(known.finding, "ok", "seed {seed}, {event:?}");
            assert_eq!(known.unreturned, 0, "seed {seed}, {event:?}");
            sent += usize::from(known.sent_deviation.is_some());
            ranks += usize::from(known.rank.is_some());
            deviations += usize::from(known.deviation.is_some());
            lucks += usize::from(known.luck.is_some());
        }
        check(&events, &expected, seed);
    }
    for kind in ["lucky", "equal", "exclusive", "relay", "timed", "password", "claim", "refund"] {
        assert!(met[kind] >= 50, "{met:?}");
    }
    assert!(ranks > 2_000 && deviations > 1_000 && lucks > 300, "{ranks} {deviations} {lucks}");
    assert!(sent > 300, "{sent}");
}

/// The simulated population has an implementation of the law of its own.
#[test]
fn the_population_is_clean() {
    let path = workspace().join("fixtures/populations/new-year/events.parquet");
    let read = source::read_all(&[Input::plain(path)], &Arc::new(Schema::default()), &());
    let Ok(read) = read else { panic!("the population is good") };
    let job = job(read.chunks, features(Vec::new(), None), true);
    let (mut shares, mut deviate) = (0, 0);
    for (id, outcome, row) in refereed(&job, options(2, 1_000, 10_000)) {
        assert!(outcome.is_empty() || outcome == "ok", "{id}: {outcome}");
        assert_eq!(row["packet.refund_faults_30d"], "0", "{id}");
        assert_eq!(row["packet.unreturned_30d"], "0", "{id}");
        if let Ok(deviation) = row["packet.split_deviation"].parse::<f64>() {
            shares += 1;
            deviate += usize::from(deviation > 9.21);
        }
    }
    // One in a hundred, but shares of one packet go together.
    assert!(
        shares > 10_000 && (shares / 200..shares / 50).contains(&deviate),
        "{deviate} {shares}"
    );
}

/// A regulated packet is shuffled: all its laws hold but that of the split, place by place.
#[test]
fn of_a_regulated_packet_only_the_split_may_be_accused() {
    for seed in 0..4 {
        let events = stream(seed, Style { tilt: 100, ..OPEN });
        let found = known(&events);
        let findings = found.iter().map(|known| known.finding);
        assert!(findings.clone().all(|finding| ["ok", "share_impossible"].contains(&finding)));
        assert!(findings.into_iter().any(|finding| finding == "share_impossible"));
        check(&events, &found, seed);
    }
}

#[test]
fn every_fault_is_found_by_its_name_at_its_event() {
    for (nth, (name, fault)) in FAULTS.iter().enumerate() {
        let mut placed = 0;
        for seed in 0..6 {
            let mut events = stream(seed, if seed % 2 == 0 { OPEN } else { DECIDED });
            let mut dice = Dice(1_000 * nth as u64 + seed);
            let Some(id) = fault(&mut events, &mut dice) else { continue };
            placed += 1;
            let at = events.iter().position(|event| event.id == id).expect("it is there");
            // A refund has no decision: it shows at the next transaction of whom it was paid to.
            let probe = Ev {
                id: "probe".to_owned(),
                time: events[at].time,
                kind: "transfer",
                account: events[at].account.clone(),
                counterparty: "shop".to_owned(),
                amount: Some(1),
                ..Ev::default()
            };
            let is_refund = events[at].kind == "refund";
            if is_refund {
                events.insert(at + 1, probe);
                number(&mut events);
            }
            let found = run(&[&events], CUTS[placed % 3], true);
            let of = |id: &str| {
                let (_, outcome, row) = found.iter().find(|(found, ..)| found == id).unwrap();
                (outcome.clone(), row["packet.refund_finding"].clone())
            };
            let (outcome, _) = if is_refund { of("probe") } else { of(&id) };
            let finding = if is_refund { of("probe").1 } else { outcome };
            assert_eq!(finding, *name, "seed {seed}, {:?}", events[at]);
            compare(&found, &events, &known(&events), seed);
        }
        assert!(placed >= 3, "{name} was placed {placed} times");
    }
}

/// A rest that never goes back breaks conservation, and no event shows it: it is found at the next
/// transaction of whom it is owed to, once the time for it is over.
#[test]
fn a_rest_that_never_goes_back_is_found() {
    let mut placed = 0;
    for seed in 0..6 {
        let mut events = stream(seed, if seed % 2 == 0 { OPEN } else { DECIDED });
        let of_packet = |events: &[Ev], packet: &str, kind: &str| {
            events.iter().position(|one| one.packet == packet && one.kind == kind)
        };
        // Where all is claimed, what goes back is a blocked share: nobody can know that it is owed.
        let claimed = |packet: &str| {
            let claims = events.iter().filter(|one| one.packet == packet && one.kind == "claim");
            claims.map(|claim| claim.amount.unwrap()).sum::<i64>()
        };
        let is_owed = |one: &Ev| {
            let sent = of_packet(&events, &one.packet, "send").unwrap();
            (1..events[sent].amount.unwrap()).contains(&claimed(&one.packet))
        };
        let refund = events.iter().position(|one| one.kind == "refund" && is_owed(one));
        let Some(refund) = refund.map(|at| events.remove(at)) else { continue };
        placed += 1;
        let first = of_packet(&events, &refund.packet, "claim").unwrap();
        let due = events[first].time + (24 + 1) * 3_600_000;
        for (id, time) in [("before", due), ("after", due + 1)] {
            let (account, counterparty) = (refund.account.clone(), "shop".to_owned());
            let probe = Ev { id: id.to_owned(), time, account, counterparty, ..Ev::default() };
            let probe = Ev { kind: "transfer", amount: Some(1), ..probe };
            let place = events.partition_point(|one| one.time <= time);
            events.insert(place, probe);
        }
        number(&mut events);
        let found = run(&[&events], CUTS[2], true);
        let of = |id: &str| {
            let (.., row) = found.iter().find(|(found, ..)| found == id).unwrap();
            row["packet.unreturned_30d"].clone()
        };
        assert_eq!((of("before").as_str(), of("after").as_str()), ("0", "1"), "seed {seed}");
        compare(&found, &events, &known(&events), seed);
    }
    assert!(placed >= 3, "{placed}");
}

/// One who sends packets of two shares that are always halves: no packet has five ranks, all of
/// them together are no luck.
#[test]
fn halves_that_no_luck_draws_show_over_a_sender_s_packets() {
    let mut events = Vec::new();
    let mut add = |at: i64, kind, packet: i64, account: &str, amount, shares| {
        let (counterparty, play) = if kind == "send" { ("", "lucky") } else { ("s", "") };
        events.push(Ev {
            id: format!("e{:03}", events.len()),
            time: START + packet * 60_000 + at,
            kind,
            account: account.to_owned(),
            counterparty: counterparty.to_owned(),
            packet: format!("p{packet}"),
            amount: Some(amount),
            shares,
            play,
            ..Ev::default()
        });
    };
    for packet in 0..20 {
        add(0, "send", packet, "s", 1_000, Some(2));
        add(1, "claim", packet, "a", 500, None);
        add(2, "claim", packet, "b", 500, None);
    }
    number(&mut events);
    let rows = run(&[&events], CUTS[1], true);
    let of_sends = rows.iter().filter(|(id, ..)| id[1..].parse::<usize>().unwrap() % 3 == 0);
    let told: Vec<&str> =
        of_sends.map(|(.., row)| row["packet.sent_deviation_30d"].as_str()).collect();
    assert!(told[..5].iter().all(|value| *value == "null"), "{told:?}");
    // Each rank is a half: y is 0 and v a twelfth. 180 (n / 12)^2 / n of the 19 packets before the last.
    let last: f64 = told[19].parse().unwrap();
    assert!((last - 1.25 * 19.0).abs() < 0.1, "{told:?}");
    compare(&rows, &events, &known(&events), 0);
}

/// Every broken law is counted with the first events that break it, refunds too, which have no decision;
/// however the run is cut up.
#[test]
fn broken_laws_are_counted_by_kind_of_event() {
    let place = tempfile::tempdir().unwrap();
    let minute = |at: i64| START + at * 60_000;
    let mut text =
        "event_id,event_time,kind,account_id,packet_id,amount_fen,shares,play\n".to_owned();
    for (id, time, kind, account, packet, amount, more) in [
        ("s1", minute(0), "send", "a", "p", 100, "2,lucky"),
        ("c1", minute(1), "claim", "b", "p", 60, ","),
        ("c2", minute(2), "claim", "b", "p", 20, ","),
        ("c3", minute(3), "claim", "b", "p", 20, ","),
        ("c4", minute(4), "claim", "b", "p", 20, ","),
        ("c5", minute(5), "claim", "b", "p", 20, ","),
        ("c6", minute(6), "claim", "c", "ghost", 20, ","),
        ("r1", minute(24 * 60), "refund", "a", "p", 30, ","),
        ("r2", minute(24 * 60 + 1), "refund", "a", "p", 40, ","),
        ("r3", minute(24 * 60 + 2), "refund", "a", "other", 40, ","),
    ] {
        text.push_str(&format!("{id},{time},{kind},{account},{packet},{amount},{more}\n"));
    }
    std::fs::write(place.path().join("events.csv"), text).unwrap();
    std::fs::create_dir(place.path().join("none")).unwrap();
    let expected = r#"[
        {"finding": "claimed_twice", "kind": "claim", "count": 4, "first": ["c2", "c3", "c4"]},
        {"finding": "packet_unknown", "kind": "claim", "count": 1, "first": ["c6"]},
        {"finding": "refund_unknown", "kind": "refund", "count": 1, "first": ["r3"]},
        {"finding": "refunded_twice", "kind": "refund", "count": 1, "first": ["r2"]}
    ]"#;
    let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
    for cut in ["--workers 1", "--workers 3 --batch 1", "--workers 2 --tick 1h --batch 3"] {
        let common = ["backtest", "events.csv", "--rules", "none", "--out", "run"];
        let cut: Vec<&str> = cut.split(' ').collect();
        let told = done(place.path(), &[&common[..], &cut].concat());
        assert!(told.contains("claimed_twice") && told.contains("first c2, c3, c4"), "{told}");
        let metrics = std::fs::read(place.path().join("run/metrics.json")).unwrap();
        let metrics: serde_json::Value = serde_json::from_slice(&metrics).unwrap();
        assert_eq!(metrics["breaches"], expected, "{cut:?}");
    }
}

/// Many faults at once, and fields that are null.
fn broken(seed: u64) -> Vec<Ev> {
    let mut dice = Dice(seed ^ 0xfa);
    let mut events = stream(seed, if seed.is_multiple_of(2) { OPEN } else { DECIDED });
    for nth in 0..20 {
        let (_, fault) = dice.of(FAULTS);
        let before = events.clone();
        fault(&mut events, &mut Dice(seed + nth));
        // One fault upon another may take more than there is.
        if events.iter().any(|event| event.amount < Some(0)) {
            events = before;
        }
        if let Some(event) = events.iter_mut().find(|event| event.id == "fault") {
            event.id = format!("fault{nth}");
        }
    }
    for event in &mut events {
        match dice.below(60) {
            0 => event.shares = None,
            1 => event.play = "",
            2 => event.group.clear(),
            3 if event.kind == "claim" => event.counterparty.clear(),
            4 => event.packet.clear(),
            _ => {}
        }
    }
    events
}

#[test]
fn broken_streams_are_what_the_oracle_says() {
    let mut findings = BTreeMap::<&str, usize>::new();
    for seed in 0..30 {
        let events = broken(seed);
        let expected = known(&events);
        expected.iter().for_each(|known| *findings.entry(known.finding).or_default() += 1);
        check(&events, &expected, seed);
    }
    for (name, _) in FAULTS {
        assert!(findings.contains_key(name), "{name}: {findings:?}");
    }
}

/// The referee's findings alone, by event.
fn outcomes(rows: &[(String, String, Row)]) -> Vec<(&str, &str)> {
    rows.iter().map(|(id, outcome, _)| (id.as_str(), outcome.as_str())).collect()
}

#[test]
fn what_is_found_does_not_depend_on_the_cut() {
    for seed in 0..2 {
        let mut events = broken(seed);
        let expected = run(&[&events], CUTS[0], true);
        let mut dice = Dice(seed);
        for at in (1..events.len()).rev() {
            events.swap(at, dice.below(at as u64 + 1) as usize);
        }
        let (left, right) = events.split_at(events.len() / 3);
        for cut in CUTS {
            assert!(run(&[right, left, right], cut, true) == expected, "seed {seed}, {cut:?}");
        }
        // Without the sort it does: the comparison has power.
        let unsorted = run(&[right, left], (2, 86_400_000, 10_000), false);
        assert!(outcomes(&unsorted) != outcomes(&expected));
    }
}
