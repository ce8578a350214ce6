//! Features of accounts on which there was an alert: they depend on decisions, and decisions on
//! them. What a run finds is held against plain lines that decide one transaction after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::Array as _;
use arrow::util::display::array_value_to_string;
use hongxian::diagnostic::Lang;
use hongxian::event::{EVENT_ID, Schema};
use hongxian::job::Job;
use hongxian::rules;
use hongxian::score::Scorer;
use hongxian::source::order::{Arrivals, Ordered};
use proptest::prelude::*;

use crate::digest::read_parquet;
use crate::input_log::{Body, Log, Record, log_at, ran};
use crate::support::{Ev, START, chunk, options};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Workers, tick and batch at the ends of what is promised.
const CUTS: [Cut; 9] = [
    (1, 1_000, 10_000),
    (1, 5, 1),
    (2, 5, 1),
    (2, 3_600_000, 10_000),
    (3, 5, 64),
    (4, 1_000, 1),
    (4, 3_600_000, 64),
    (8, 1_000, 64),
    (8, 5, 10_000),
];

type Cut = (usize, i64, usize);

/// Each of the workers, ticks and batches with each of the others.
fn all_cuts() -> Vec<Cut> {
    let batches = |workers, tick| [1, 64, 10_000].map(|batch| (workers, tick, batch));
    let ticks = |workers| [5, 1_000, HOUR].into_iter().flat_map(move |tick| batches(workers, tick));
    [1, 2, 3, 4, 8].into_iter().flat_map(ticks).collect()
}

/// What is asked of each transaction's payer and payee.
const NAMES: [&str; 4] = [
    "funds.payer.cycle4_24h",
    "funds.payer.cycle4_cut_24h",
    "funds.payee.cycle4_24h",
    "funds.payee.cycle4_cut_24h",
];

/// Rules of which an alert makes alerts and takes alerts away; `7` is the amount that is one by
/// itself.
const RULES: [(&str, &str); 6] = [
    ("amount", "when = 'amount_fen == 7'\nfloor = 'review'\nscore = 0"),
    ("short", "when = 'funds.payer.cycle4_24h <= 3 && amount_fen == 2'\nfloor = 'hold'\nscore = 0"),
    ("long", "when = 'funds.payee.cycle4_24h == 4'\nfloor = 'block'\nscore = 0"),
    ("forgiven", "when = 'funds.payee.cycle4_24h == 2'\neffect = 'allow'"),
    ("cut", "when = 'funds.payer.cycle4_cut_24h >= 1'\nfloor = 'review'\nscore = 0"),
    // So that it is computed.
    ("never", "when = 'funds.payee.cycle4_cut_24h < 0'\nfloor = 'block'\nscore = 0"),
];

pub(crate) fn write_rules(directory: &Path, policy: &str, amount: i64) {
    fs::create_dir_all(directory.join("funds")).unwrap();
    fs::write(directory.join("policy.toml"), policy).unwrap();
    for (name, text) in RULES {
        let text = text.replace("== 7", &format!("== {amount}"));
        let text = format!(
            "title = 'x'\nstatus = 'live'\non = ['claim', 'transfer', 'send', 'withdraw']\n\
             reason = 'hit'\nreason_zh = '命中'\n{text}\n"
        );
        fs::write(directory.join(format!("funds/{name}.toml")), text).unwrap();
    }
    let shadow = "title = 'x'\nstatus = 'shadow'\non = ['claim', 'transfer', 'send', 'withdraw']\n\
                  when = 'funds.payer.cycle4_24h >= 4'\nscore = 0\nreason = 'x'\nreason_zh = 'x'\n";
    fs::write(directory.join("funds/shadow.toml"), shadow).unwrap();
    let circle = "[behaviour.circle]\nexpr = \"funds.payer.cycle4_24h == 4 ? 'four' : 'fewer'\"\n\
                  doc = 'x'\ndoc_zh = 'x'\nunit = 'x'\nmisleads = 'x'\n";
    fs::write(directory.join("features.toml"), circle).unwrap();
}

pub(crate) fn policy(graph_tick: i64, columns: &str) -> String {
    format!("graph_tick = '{graph_tick}ms'\n[features]\ncolumns = '{columns}'\n")
}

/// What is found for a transaction: the decision, and the values of [`NAMES`].
type Found = (String, [Option<i64>; 4]);

fn sides(ev: &Ev) -> [&str; 2] {
    match ev.kind {
        "send" | "withdraw" => [&ev.account, ""],
        "claim" => [&ev.counterparty, &ev.account],
        "transfer" => [&ev.account, &ev.counterparty],
        _ => ["", ""],
    }
}

/// The accounts with more than 64 others on a side.
fn cut<'e>(edges: &BTreeSet<(&'e str, &'e str)>) -> BTreeSet<&'e str> {
    let (mut paid, mut paying) = (BTreeMap::new(), BTreeMap::new());
    for (from, to) in edges {
        *paid.entry(*from).or_insert(0) += 1;
        *paying.entry(*to).or_insert(0) += 1;
    }
    let all = paid.into_iter().chain(paying);
    all.filter(|(_, others)| *others > 64).map(|(account, _)| account).collect()
}

/// The length of the shortest cycle through the account where the path begins.
fn shortest(edges: &BTreeSet<(&str, &str)>, path: &mut Vec<String>) -> Option<i64> {
    let mut best: Option<i64> = None;
    let last = path.last().cloned();
    for (_, to) in edges.iter().filter(|(from, _)| Some(*from) == last.as_deref()) {
        let found = if *to == path[0] {
            Some(path.len() as i64)
        } else if path.len() < 4 && !path.iter().any(|held| held == to) {
            path.push((*to).to_owned());
            let found = shortest(edges, path);
            path.pop();
            found
        } else {
            None
        };
        best = [best, found].into_iter().flatten().min();
    }
    best
}

/// Hops and edges left out of an account as of a moment.
fn cycle(events: &[Ev], account: &str, moment: i64) -> [Option<i64>; 2] {
    let seen = events.iter().filter(|ev| ev.time < moment && ev.time >= moment - DAY);
    let edges = seen.map(|ev| (sides(ev)[0], sides(ev)[1]));
    let edges: BTreeSet<(&str, &str)> =
        edges.filter(|(from, to)| !from.is_empty() && !to.is_empty() && from != to).collect();
    let cut = cut(&edges);
    let kept = |(from, to): &(&str, &str)| !cut.contains(from) && !cut.contains(to);
    let all = edges.iter().copied().filter(kept).collect();
    let hops = shortest(&all, &mut vec![account.to_owned()]);
    let own = |(from, to): &(&str, &str)| *from == account || *to == account;
    let mut near = BTreeSet::from([account]);
    if !matches!(hops, Some(2 | 3)) {
        near.extend(all.iter().copied().filter(own).flat_map(|(from, to)| [from, to]));
    }
    let left_out = edges
        .iter()
        .filter(|edge| !kept(edge) && (near.contains(edge.0) || near.contains(edge.1)))
        .count();
    [hops, Some(left_out as i64).filter(|left_out| *left_out > 0)]
}

fn decided(fen: i64, amount: i64, [payer, payer_cut, payee, _]: [Option<i64>; 4]) -> &'static str {
    if payee == Some(4) {
        "block"
    } else if payee == Some(2) {
        "allow"
    } else if matches!(payer, Some(2 | 3)) && fen == 2 {
        "hold"
    } else if fen == amount || payer_cut.is_some_and(|edges| edges >= 1) {
        "review"
    } else {
        "allow"
    }
}

/// Decides one transaction after the other; from `change` on another amount is an alert by itself.
fn expected(events: &[Ev], graph_tick: i64, change: Option<(i64, i64)>) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    let mut alerts: Vec<(i64, &str)> = Vec::new();
    for (at, now) in events.iter().enumerate().filter(|(_, ev)| ev.kind != "login") {
        let moment = (now.time.div_euclid(graph_tick) - 1) * graph_tick;
        let of = |side: &str| {
            let alerted = alerts.iter().any(|(time, account)| *account == side && *time < moment);
            if alerted { cycle(&events[..at], side, moment) } else { [None, None] }
        };
        let [payer, payee] = sides(now).map(of);
        let values = [payer[0], payer[1], payee[0], payee[1]];
        let amount = change.filter(|(time, _)| now.time >= *time).map_or(7, |(_, amount)| amount);
        let decision = decided(now.amount.unwrap_or(0), amount, values);
        if decision != "allow" {
            alerts.push((now.time, &now.account));
        }
        found.insert(now.id.clone(), (decision.to_owned(), values));
    }
    found
}

fn job(events: &[Ev], rules: &Path) -> Arc<Job> {
    let schema = Arc::new(Schema::default());
    let arrivals = Arrivals { chunks: vec![Arc::new(chunk(events))], effective: None };
    let events = Ordered::new(schema.clone(), arrivals, 7 * DAY, true);
    let loaded = match rules::load(Some(rules), &schema) {
        Ok(loaded) => loaded,
        Err(failure) => panic!("{}", failure.render(Lang::En, false)),
    };
    let (features, scorer) = (Arc::new(loaded.features), Arc::new(Scorer::new(loaded.rules)));
    Arc::new(Job::new(events, features, scorer, Default::default()))
}

fn found(job: &Arc<Job>, cut: Cut) -> BTreeMap<String, Found> {
    let (_, parts) = hongxian::backtest::decide(job, options(cut.0, cut.1, cut.2)).unwrap();
    let columns = job.features().columns();
    let place = |name: &str| columns.iter().position(|(held, ..)| held == name).unwrap();
    let (places, circle) = (NAMES.map(place), place("behaviour.circle"));
    let rule = |name: &str| parts[0].names.rules.iter().position(|(id, _)| id == name).unwrap();
    let shadow = rule("shadow");
    let mut found = BTreeMap::new();
    let (mut unknown, mut not_evaluable) = (0, 0);
    for part in &parts {
        not_evaluable += part.not_evaluable[shadow];
        for (at, row) in part.batch.rows.iter().enumerate() {
            let id = part.batch.slice.chunk.str(EVENT_ID, *row as usize).to_owned();
            let value = |place: usize| match part.features[place].value(at) {
                hongxian::event::Value::Null => None,
                hongxian::event::Value::Int(value) => Some(value),
                other => panic!("{other:?}"),
            };
            let values = places.map(value);
            // What else hangs on the alert says the same.
            let [payer, ..] = values;
            unknown += u64::from(payer.is_none());
            let is_four = payer == Some(4);
            assert_eq!(part.batch.shadow_hits.get(at) == [shadow as u16], is_four, "{id}");
            let said = match part.features[circle].value(at) {
                hongxian::event::Value::Str(said) => Some(said == "four"),
                _ => None,
            };
            assert_eq!(said, payer.map(|_| is_four), "{id}");
            found.insert(id, (part.batch.verdicts[at].name().to_owned(), values));
        }
    }
    assert_eq!(not_evaluable, unknown, "how often the shadow rule could not be evaluated");
    found
}

fn transfer(at: usize, time: i64, from: &str, to: &str, fen: i64) -> Ev {
    Ev {
        id: format!("e{at:03}"),
        time,
        kind: "transfer",
        account: from.to_owned(),
        counterparty: to.to_owned(),
        amount: Some(fen),
        ..Ev::default()
    }
}

/// Repeated edges among few accounts, moments that many events share, and gaps of exactly a day.
fn events() -> impl Strategy<Value = Vec<Ev>> {
    let gap = prop_oneof![
        6 => Just(0),
        6 => 1..20_i64,
        6 => 1..HOUR,
        1 => Just(DAY),
        1 => 20 * HOUR..30 * HOUR,
    ];
    let kind = prop::sample::select(vec![
        "transfer", "transfer", "transfer", "claim", "claim", "withdraw", "login",
    ]);
    let event = (gap, kind, 1u8..7, 1u8..7, prop::sample::select(vec![1_i64, 2, 2, 7, 8]));
    prop::collection::vec(event, 1..120).prop_map(|parts| {
        let mut time = START;
        let build = |(at, (gap, kind, account, other, fen)): (usize, _)| {
            time += gap;
            let counterparty = if kind == "withdraw" { 0 } else { other };
            let mut ev =
                transfer(at, time, &format!("u{account}"), &format!("u{counterparty}"), fen);
            ev.kind = kind;
            if counterparty == 0 {
                ev.counterparty.clear();
            }
            ev
        };
        parts.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn decisions_that_depend_on_decisions_are_the_same_however_cut(
        events in events(),
        graph_tick in prop::sample::select(vec![1, 7, 1_000, HOUR]),
        cut in prop::sample::select(all_cuts()),
    ) {
        let directory = tempfile::tempdir().unwrap();
        write_rules(directory.path(), &policy(graph_tick, "used"), 7);
        let job = job(&events, directory.path());
        let expected = expected(&events, graph_tick, None);
        for cut in CUTS.into_iter().chain([cut]) {
            prop_assert_eq!(&found(&job, cut), &expected, "cut {:?}", cut);
        }
    }

    /// The alerts of the rules before a change count after it.
    #[test]
    fn a_replay_with_a_change_of_rules_keeps_its_alerts(
        events in events(),
        change in any::<prop::sample::Index>(),
        cut in prop::sample::select(all_cuts()),
    ) {
        let change = (change.get(&events).time, 8);
        let record = |(offset, ev): (usize, &Ev)| Record {
            offset: offset as u64,
            append_time: ev.time,
            body: Body::Event(ev.clone()),
        };
        let mut log = Log {
            records: vec![events.iter().enumerate().map(record).collect()],
            ..Log::default()
        };
        let time = change.0;
        writeln!(log.control, "{{\"kind\":\"change\",\"effective_time\":{time},\"rules\":\"new\"}}")
            .unwrap();
        let log = log.write();
        let policy = policy(1_000, "all");
        write_rules(&log.path().join("old"), &policy, 7);
        write_rules(&log.path().join("new"), &policy, 8);
        let run = match ran(log_at(&log), Some(log.path().join("old")), cut) {
            Ok((_, run)) => run,
            Err(failure) => panic!("{}", failure.render(Lang::En, false)),
        };
        prop_assert_eq!(written(run.path()), expected(&events, 1_000, Some(change)));
    }
}

/// What a run directory holds.
fn written(run: &Path) -> BTreeMap<String, Found> {
    let (decisions, features) =
        (read_parquet(&run.join("decisions.parquet")), read_parquet(&run.join("features.parquet")));
    let mut lines = String::new();
    hongxian::sink::lines::write(&decisions, &mut lines).unwrap();
    let found = lines.lines().enumerate().map(|(row, line)| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let value = |name: &str| {
            let column = features.column_by_name(name).unwrap();
            let text = array_value_to_string(column, row).unwrap();
            (!column.is_null(row)).then(|| text.parse().unwrap())
        };
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("event_id"), (text("decision"), NAMES.map(value)))
    });
    found.collect()
}

/// A circle of four that runs once a day, a little more than an hour a hop: what is exactly a day
/// old is in the graph, and a millisecond older is not.
#[test]
fn a_circle_of_four_is_seen_for_exactly_a_day() {
    let directory = tempfile::tempdir().unwrap();
    write_rules(directory.path(), &policy(1_000, "used"), 7);
    let circle = ["u1", "u2", "u3", "u4", "u1"];
    for (later, hops) in [(0, Some(4)), (1, None)] {
        let mut events: Vec<Ev> = circle
            .windows(2)
            .zip(0..)
            .map(|(pair, at)| {
                let fen = if at == 0 { 7 } else { 1 };
                transfer(at, START + at as i64 * HOUR, pair[0], pair[1], fen)
            })
            .collect();
        // As of a tick before.
        events[0].time -= later;
        events.push(transfer(4, START + DAY + 1_000, "u1", "u9", 1));
        let job = job(&events, directory.path());
        for cut in all_cuts() {
            let found = found(&job, cut);
            assert_eq!(found["e004"].1[0], hops, "{later} ms, cut {cut:?}");
            assert_eq!(found, expected(&events, 1_000, None));
        }
    }
}

/// Whoever is two payments away and too large hides a circle of four, and that is said.
#[test]
fn a_hub_two_payments_away_hides_a_circle_and_that_is_said() {
    // The limit, the customers that the shop has besides the one of the circle, and what is found.
    let told = [
        (64, 63, Some(4), None),
        (64, 64, None, Some(2)),
        (5, 4, Some(4), None),
        (5, 5, None, Some(2)),
    ];
    for (limit, customers, hops, left_out) in told {
        let directory = tempfile::tempdir().unwrap();
        let funds = format!("[funds]\ncounterparties_max = {limit}\n");
        write_rules(directory.path(), &(policy(1_000, "used") + &funds), 7);
        let mut events: Vec<Ev> =
            (0..customers).map(|at| transfer(at, START, &format!("c{at}"), "shop", 1)).collect();
        let circle = ["u1", "u2", "shop", "u4", "u1"];
        for pair in circle.windows(2) {
            let fen = if pair[0] == "u1" { 7 } else { 1 };
            events.push(transfer(events.len(), START + 1, pair[0], pair[1], fen));
        }
        let last = events.len();
        events.push(transfer(last, START + 20_000, "u1", "u9", 1));
        let job = job(&events, directory.path());
        for cut in all_cuts() {
            let found = found(&job, cut);
            let (decision, values) = &found[&format!("e{last:03}")];
            assert_eq!(values[..2], [hops, left_out], "{customers}, cut {cut:?}");
            assert_eq!(decision, if hops.is_some() { "allow" } else { "review" });
            if limit == 64 {
                assert_eq!(found, expected(&events, 1_000, None));
            }
        }
    }
}

/// Where a name is asked by no rule and columns are those that rules use, there is none.
#[test]
fn what_no_rule_uses_is_not_computed() {
    let directory = tempfile::tempdir().unwrap();
    write_rules(directory.path(), &policy(1_000, "used"), 7);
    let rules = RULES[1..].iter().map(|(name, _)| *name).chain(["shadow"]);
    let files = rules.map(|name| format!("funds/{name}.toml")).chain(["features.toml".to_owned()]);
    files.for_each(|file| fs::remove_file(directory.path().join(file)).unwrap());
    let job = job(&[transfer(0, START, "u1", "u2", 7)], directory.path());
    assert!(!job.features().columns().iter().any(|(name, ..)| name.contains("cycle")));
    let (summary, parts) = hongxian::backtest::decide(&job, options(2, 1_000, 64)).unwrap();
    assert_eq!(parts.iter().map(|part| part.batch.rows.len()).sum::<usize>(), 1);
    assert!(!summary.state.keys().any(|family| family.contains("alerts")));
}
