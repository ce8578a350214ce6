//! Random declarations over random events: every value of every feature, against the oracle.
//!
//! The declarations are written as an analyst would, in TOML, and go the whole way through the
//! program; the events collide in keys, times, sequence numbers and ids, leave gaps longer than
//! windows, and come late. The oracle computes each value from scratch out of the whole history.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use hongxian::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, ChunkBuilder, DEVICE_ID, EVENT_ID, EVENT_TIME,
    GROUP_ID, KIND, Kind, PACKET_ID, Position, Raw, RejectCode, SEQ, Schema, TEXT, Type, VERIFIED,
};
use hongxian::features::catalogue::Columns;
use hongxian::features::declare;
use hongxian::features::devices::ClusterOptions;
use hongxian::source::order::{Arrivals, Ordered};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::oracle::{
    CLUSTER_WINDOW_MS, Condition, Ev, OracleAgg, OracleDecl, OracleValue, OracleWindow, cluster,
    feature, sort_totally,
};
use crate::support::{START, features_of, job_of, options, rows};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Fields under which events are filed, and those of the transaction that look them up.
const KEYS: [(&[&str], &[&str]); 26] = [
    (&["account_id"], &["account_id"]),
    (&["account_id"], &["payer_id"]),
    (&["account_id"], &["payee_id"]),
    (&["payer_id"], &["account_id"]),
    (&["counterparty_id"], &["account_id"]),
    (&["payee_id"], &["payee_id"]),
    (&["payee_id"], &["payer_id"]),
    (&["group_id"], &["group_id"]),
    (&["device_id"], &["device_id"]),
    (&["packet_id"], &["packet_id"]),
    (&["kind"], &["kind"]),
    (&["amount_fen"], &["amount_fen"]),
    (&["seq"], &["seq"]),
    (&["event_time"], &["event_time"]),
    (&["verified"], &["verified"]),
    (&["extra.rate"], &["extra.rate"]),
    (&["group_id", "account_id"], &["group_id", "account_id"]),
    (&["group_id", "payer_id"], &["group_id", "payee_id"]),
    (&["account_id", "counterparty_id"], &["counterparty_id", "account_id"]),
    (&["device_id", "group_id", "kind"], &["device_id", "group_id", "kind"]),
    (&["cluster_id"], &["cluster_id"]),
    (&["cluster_id", "packet_id"], &["cluster_id", "packet_id"]),
    (&["cluster_id"], &["payer_id"]),
    (&["account_id"], &["cluster_id"]),
    (&["counterparty_id", "cluster_id"], &["cluster_id", "cluster_id"]),
    (&["group_id", "cluster_id"], &["group_id", "cluster_id"]),
];
/// From here on the keys are of clusters.
const CLUSTER_KEYS: usize = 20;

/// Conditions, and what they mean of an event. What cannot be evaluated does not hold.
const CONDITIONS: [(&str, Condition); 10] = [
    ("amount_fen >= 500", |e| e.amount_fen >= Some(500)),
    ("group_id == 'g1'", |e| e.group == "g1"),
    ("!(group_id == 'g1')", |e| !e.group.is_empty() && e.group != "g1"),
    ("amount_fen >= 500 || group_id == 'g1'", |e| e.amount_fen >= Some(500) || e.group == "g1"),
    ("payer_id != payee_id", |e| {
        let (payer, payee) = (e.field("payer_id"), e.field("payee_id"));
        payer != OracleValue::Null && payee != OracleValue::Null && payer != payee
    }),
    ("(seq ?? 0) > 0", |e| e.seq.unwrap_or(0) > 0),
    ("has(device_id) && kind != 'send'", |e| !e.device.is_empty() && e.kind != Kind::Send),
    ("verified", |e| e.verified == Some(true)),
    ("extra.rate > 0.25", |e| e.rate > Some(0.25)),
    ("hour(event_time) < 6", |e| (e.time + 8 * HOUR).rem_euclid(DAY) < 6 * HOUR),
];

/// Those that ask for both sides of a payment, or for what is no send.
const OF_SIDES_OR_NO_SEND: [usize; 2] = [4, 6];
const SIDES: [&str; 2] = ["payer_id", "payee_id"];

const INTS: [&str; 3] = ["amount_fen", "seq", "event_time"];
const ANY: [&str; 14] = [
    "amount_fen",
    "seq",
    "event_time",
    "event_id",
    "kind",
    "account_id",
    "counterparty_id",
    "group_id",
    "device_id",
    "text",
    "payer_id",
    "payee_id",
    "verified",
    "extra.rate",
];
const QUANTILES: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.9, 0.999_999, 1.0];
const DIVISORS: [i64; 3] = [2, 100, 1_000_003];

const WINDOWS: [(&str, OracleWindow); 10] = [
    ("1s", OracleWindow::Span(SECOND)),
    ("2s", OracleWindow::Span(2 * SECOND)),
    ("10s", OracleWindow::Span(10 * SECOND)),
    ("1m", OracleWindow::Span(MINUTE)),
    ("10m", OracleWindow::Span(10 * MINUTE)),
    ("1h", OracleWindow::Span(HOUR)),
    ("1d", OracleWindow::Span(DAY)),
    ("7d", OracleWindow::Span(7 * DAY)),
    ("90d", OracleWindow::Span(90 * DAY)),
    ("day", OracleWindow::Day),
];

/// As a gap: until midnight comes.
const TO_MIDNIGHT: i64 = -1;

/// From one event to the next: as long as a window, a little less or more, or longer than all.
const GAPS: [i64; 26] = [
    TO_MIDNIGHT,
    TO_MIDNIGHT,
    0,
    0,
    0,
    0,
    0,
    1,
    1,
    999,
    SECOND,
    SECOND,
    SECOND,
    2 * SECOND,
    9 * SECOND,
    MINUTE - 1,
    MINUTE,
    10 * MINUTE,
    50 * MINUTE,
    HOUR,
    7 * HOUR,
    DAY - 1,
    DAY,
    7 * DAY,
    90 * DAY,
    91 * DAY,
];

/// Gaps after which accounts are linked, are still, or are no more.
const CLUSTER_GAPS: [i64; 10] =
    [0, 1, 999, SECOND, 2 * SECOND, 30 * SECOND, MINUTE, HOUR, 10 * DAY, CLUSTER_WINDOW_MS];

/// A feature without an end: its name, what contributes, the key, what looks it up, and what it is.
type Lasting =
    (&'static str, &'static [Kind], &'static [&'static str], &'static [&'static str], OracleAgg);

/// What accounts and groups were last said to be, and since when who is known.
const LASTING: [Lasting; 8] = {
    use OracleAgg::{Last, SinceFirst};
    const ACCOUNT: &[Kind] = &[Kind::Account];
    const GROUP: &[Kind] = &[Kind::Group];
    const PAIR: &[&str] = &["account_id", "device_id"];
    [
        ("payer.verified", ACCOUNT, &["account_id"], &["payer_id"], Last("verified")),
        ("payee.device_id", ACCOUNT, &["account_id"], &["payee_id"], Last("device_id")),
        ("account.text", ACCOUNT, &["account_id"], &["account_id"], Last("text")),
        ("account.extra.rate", ACCOUNT, &["account_id"], &["account_id"], Last("extra.rate")),
        ("group.text", GROUP, &["group_id"], &["group_id"], Last("text")),
        ("group.seq", GROUP, &["group_id"], &["group_id"], Last("seq")),
        ("social.group.age", &Kind::ALL, &["group_id"], &["group_id"], SinceFirst),
        ("devices.known_for", &Kind::ALL, PAIR, PAIR, SinceFirst),
    ]
};

/// A feature as drawn: indices into what stands above.
#[derive(Clone, Debug)]
struct Drawn {
    lasting: Option<usize>,
    over: Vec<Kind>,
    condition: Option<usize>,
    key: usize,
    agg: usize,
    field: Index,
    divisor: Option<usize>,
    q: usize,
    window: usize,
    include_current: bool,
}

/// How a run is cut up, and how its events come in.
#[derive(Clone, Debug)]
struct Cut {
    workers: usize,
    tick: i64,
    batch: usize,
    /// One partition in order of arrival with this lateness allowed; else plain files.
    lateness: Option<i64>,
    dedup_window: i64,
    middle: Index,
}

static ZONE: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("Asia/Shanghai").unwrap());

impl Drawn {
    /// The feature's table, and what it means.
    fn write(&self, name: &str, toml: &mut String) -> OracleDecl {
        let _ = writeln!(toml, "[t.{name}]");
        if let Some(lasting) = self.lasting {
            let (expr, over, key, at, agg) = LASTING[lasting].clone();
            let _ = writeln!(toml, "expr = \"{expr}\"\n");
            return OracleDecl {
                over: over.to_vec(),
                condition: None,
                key: key.to_vec(),
                at: at.to_vec(),
                agg,
                window: OracleWindow::Forever,
                include_current: true,
                zone: ZONE.clone(),
            };
        }
        let (key, at) = KEYS[self.key];
        let over = self.over();
        let names: Vec<&str> = over.iter().map(|kind| kind.name()).collect();
        let _ = writeln!(toml, "over = {names:?}\nkey = {key:?}");
        if at != key {
            let _ = writeln!(toml, "at = {at:?}");
        }
        let condition = self.condition.map(|condition| CONDITIONS[condition]);
        if let Some((text, _)) = condition {
            let _ = writeln!(toml, "where = {text:?}");
        }
        let (window, length) = WINDOWS[self.window];
        let _ = writeln!(toml, "window = {window:?}");
        if !self.include_current {
            let _ = writeln!(toml, "include_current = false");
        }
        let agg = self.agg(toml);
        toml.push('\n');
        OracleDecl {
            over,
            condition: condition.map(|(_, holds)| holds),
            key: key.to_vec(),
            at: at.to_vec(),
            agg,
            window: length,
            include_current: self.include_current,
            zone: ZONE.clone(),
        }
    }

    /// The kinds that are counted: one of those that have both sides is among them where a side is
    /// asked for, and one that is no send where a condition asks for that. Nothing would be counted
    /// otherwise, and is refused.
    fn over(&self) -> Vec<Kind> {
        let mut over = self.over.clone();
        let key = KEYS[self.key].0.iter().copied();
        let sides = key.chain([ANY[self.field.index(ANY.len())]]).any(|name| SIDES.contains(&name));
        let by_condition = self.condition.is_some_and(|at| OF_SIDES_OR_NO_SEND.contains(&at));
        let has_sides = over.contains(&Kind::Claim) || over.contains(&Kind::Transfer);
        if (sides || by_condition) && !has_sides {
            over.push(Kind::Claim);
        }
        over
    }

    fn agg(&self, toml: &mut String) -> OracleAgg {
        let (int, any) = (INTS[self.field.index(INTS.len())], ANY[self.field.index(ANY.len())]);
        // What quantile it would be says whether clusters are counted, which cannot be kept.
        let any = if self.agg >= 11 && self.q == 0 { "cluster_id" } else { any };
        let q = QUANTILES[self.q];
        let divisor = self.divisor.map(|divisor| DIVISORS[divisor]);
        let (name, agg) = match self.agg {
            0 => ("count", OracleAgg::Count),
            1 => ("since_last", OracleAgg::SinceLast),
            2 => ("ratio_to_mean", OracleAgg::RatioToMean),
            3 => ("sum", OracleAgg::Sum(int)),
            4 => ("min", OracleAgg::Min(int)),
            5 => ("max", OracleAgg::Max(int)),
            6 => ("mean", OracleAgg::Mean(int)),
            7 => ("stddev", OracleAgg::Stddev(int)),
            8 => ("quantile", OracleAgg::Quantile(int, q)),
            9 => ("first", OracleAgg::First(any)),
            10 => ("last", OracleAgg::Last(any)),
            11 => ("distinct", OracleAgg::Distinct(any)),
            12 => ("top_share", OracleAgg::TopShare(any)),
            _ if divisor.is_some() => ("entropy", OracleAgg::Entropy(int, divisor)),
            _ => ("entropy", OracleAgg::Entropy(any, None)),
        };
        let _ = writeln!(toml, "agg = {name:?}");
        let _ = match self.agg {
            0..=2 => Ok(()),
            // The amount is what is meant where no field is named.
            3..=8 if int == "amount_fen" => Ok(()),
            3..=8 => writeln!(toml, "field = {int:?}"),
            9..=12 => writeln!(toml, "field = {any:?}"),
            _ => match divisor {
                Some(divisor) => writeln!(toml, "field = \"{int} % {divisor}\""),
                None => writeln!(toml, "field = {any:?}"),
            },
        };
        if self.agg == 8 {
            let _ = writeln!(toml, "q = {q:?}");
        }
        agg
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let over = prop_oneof![
        3 => Just(vec![Kind::Claim]),
        2 => Just(vec![Kind::Send, Kind::Claim, Kind::Transfer, Kind::Withdraw]),
        3 => prop::sample::subsequence(Kind::ALL.to_vec(), 1..=12),
    ];
    let lasting = prop::option::weighted(0.1, 0..LASTING.len());
    let condition = prop::option::weighted(0.4, 0..CONDITIONS.len());
    let aggregate = (
        0..15usize,
        any::<Index>(),
        prop::option::of(0..DIVISORS.len()),
        0..QUANTILES.len(),
        0..WINDOWS.len(),
        prop::bool::weighted(0.7),
    );
    let parts = (lasting, over, condition, 0..KEYS.len(), aggregate);
    parts.prop_map(|(lasting, over, condition, key, aggregate)| {
        let (agg, field, divisor, q, window, include_current) = aggregate;
        Drawn {
            lasting,
            over,
            condition,
            key,
            agg,
            field,
            divisor,
            q,
            window,
            // These two never include the transaction, and may not be told to.
            include_current: include_current || agg == 1 || agg == 2,
        }
    })
}

/// Events in order of arrival, so long after each other; their times go back and forth a little.
fn history(
    count: Range<usize>,
    gaps: &[i64],
    accounts: Range<u16>,
) -> impl Strategy<Value = Vec<Ev>> + use<> {
    // Most tie; some are nanoseconds, and a few reach as far as 64 bits do.
    let large = vec![1 << 40, i64::MAX, i64::MAX - 1, -i64::MAX];
    let seq = prop_oneof![
        12 => -2i64..2,
        2 => prop::sample::select(large),
        2 => 1_700_000_000_000_000_000i64..1_700_000_009_000_000_000,
        1 => -i64::MAX..=i64::MAX,
    ];
    let times = (prop::sample::select(gaps.to_vec()), 0usize..20, prop::option::of(seq));
    let account = || accounts.clone();
    let kind = prop_oneof![
        4 => Just(Kind::Claim),
        5 => prop::sample::select(Kind::ALL.to_vec()),
    ];
    let ids = (account(), prop::option::of(account()), 0u8..4, 0u8..4, 0u8..4, 0u8..3);
    let amount = prop::sample::select(vec![0, 1, 100, 499, 500, 888, 1_000_000_000_000]);
    let values = (amount, prop::option::of(any::<bool>()), 0usize..5);
    let event = (times, kind, ids, values);
    prop::collection::vec(event, count).prop_map(|parts| {
        let mut clock = START;
        let mut events = Vec::new();
        for (at, (times, kind, ids, values)) in parts.into_iter().enumerate() {
            let (gap, back, seq) = times;
            let (account, counterparty, group, packet, device, text) = ids;
            let (amount, verified, rate) = values;
            clock = match gap {
                TO_MIDNIGHT => clock + DAY - (clock + 8 * HOUR).rem_euclid(DAY),
                gap => clock + gap,
            };
            let back = [1, SECOND, MINUTE, HOUR, 8 * DAY].get(back).copied().unwrap_or(0);
            let named = |letter: &str, number: u8| match number {
                0 => String::new(),
                _ => format!("{letter}{number}"),
            };
            let without_account = matches!(kind, Kind::Group | Kind::Label) && account == 0;
            events.push(Ev {
                // Ids do not come in the order of time.
                id: format!("e{:04}", at * 37 % 1_201),
                time: clock - back,
                effective: 0,
                seq,
                kind,
                account: if without_account { String::new() } else { format!("u{account}") },
                counterparty: counterparty.map_or(String::new(), |other| format!("u{other}")),
                group: named("g", group),
                packet: named("p", packet),
                device: named("d", device),
                amount_fen: (kind.has_amount() || amount == 888).then_some(amount),
                text: named("t", text),
                verified,
                cluster: String::new(),
                rate: [None, Some(-0.0), Some(0.0), Some(0.25), Some(1.5)][rate],
            });
        }
        events
    })
}

/// A second use of an id: whose, how much later it says that it happened, and whether it says
/// something else.
fn repeats() -> impl Strategy<Value = Vec<(Index, usize, bool)>> {
    prop::collection::vec((any::<Index>(), 0usize..4, any::<bool>()), 0..6)
}

fn with_repeats(mut events: Vec<Ev>, repeats: &[(Index, usize, bool)], window: i64) -> Vec<Ev> {
    for &(which, later, changed) in repeats {
        let mut again = which.get(&events).clone();
        again.time += [0, 1, window, window + 1][later];
        if changed && later > 0 {
            again.text = "another".to_owned();
        }
        // Which of two bodies with one id at one moment is the first, the contract leaves open.
        let other = |e: &Ev| e.id == again.id && e.time == again.time && e.text != again.text;
        if events.iter().any(other) {
            continue;
        }
        events.push(again);
    }
    events
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::with_extras([("rate".to_owned(), Type::Double)]))
}

fn chunk(schema: &Arc<Schema>, events: &[Ev]) -> Chunk {
    let rate = schema.find("extra.rate").expect("the extra column");
    let mut builder = ChunkBuilder::new(schema.clone());
    for (at, ev) in events.iter().enumerate() {
        let int = |value: Option<i64>| value.map_or(Raw::Null, Raw::Int);
        let values = [
            (EVENT_ID, Raw::Str(&ev.id)),
            (EVENT_TIME, Raw::Int(ev.time)),
            (KIND, Raw::Str(ev.kind.name())),
            (ACCOUNT_ID, Raw::Str(&ev.account)),
            (COUNTERPARTY_ID, Raw::Str(&ev.counterparty)),
            (GROUP_ID, Raw::Str(&ev.group)),
            (PACKET_ID, Raw::Str(&ev.packet)),
            (DEVICE_ID, Raw::Str(&ev.device)),
            (AMOUNT_FEN, int(ev.amount_fen)),
            (SEQ, int(ev.seq)),
            (TEXT, Raw::Str(&ev.text)),
            (VERIFIED, ev.verified.map_or(Raw::Null, Raw::Bool)),
            (rate, ev.rate.map_or(Raw::Null, Raw::Double)),
        ];
        builder.push(values, Position { source: 0, at: at as u64 }).expect("a good event");
    }
    builder.finish()
}

/// Each event's effective time: its own, or the watermark of its partition where that is later.
fn arrive(events: &mut [Ev], lateness: Option<i64>) {
    let mut largest = i64::MIN;
    for event in events {
        let watermark = lateness.map_or(i64::MIN, |lateness| largest.saturating_sub(lateness));
        event.effective = event.time.max(watermark);
        largest = largest.max(event.time);
    }
}

/// What is left of events in total order, and what becomes of the others.
fn without_repeats(events: &[Ev], window: i64) -> (Vec<Ev>, u64, Vec<RejectCode>) {
    let mut kept: Vec<Ev> = Vec::new();
    let (mut duplicates, mut refused) = (0, Vec::new());
    for event in events {
        let first = kept.iter().rfind(|held| held.id == event.id);
        let remembered = first.filter(|held| event.effective <= held.time + window);
        let same = |held: &Ev| {
            let held = Ev { effective: event.effective, ..held.clone() };
            format!("{held:?}") == format!("{event:?}")
        };
        if event.effective > event.time + window {
            refused.push(RejectCode::TooOld);
        } else if let Some(held) = remembered {
            match same(held) {
                true => duplicates += 1,
                false => refused.push(RejectCode::IdConflict),
            }
        } else {
            kept.push(event.clone());
        }
    }
    (kept, duplicates, refused)
}

/// Equal, where it is a double to nine digits.
fn agrees(found: &str, expected: &OracleValue) -> bool {
    match expected {
        OracleValue::Null => found == "null",
        OracleValue::Int(value) => found == value.to_string(),
        OracleValue::Bool(value) => found == value.to_string(),
        OracleValue::Str(value) => found == value,
        OracleValue::Double(value) => found
            .parse::<f64>()
            .is_ok_and(|found| (found - value).abs() <= value.abs() * 1e-9 + 1e-12),
    }
}

/// Runs the program and looks at every feature of each transaction, or of one in so many.
fn check(
    drawn: &[Drawn],
    events: &[Ev],
    cut: &Cut,
    clusters: Option<ClusterOptions>,
    one_in: usize,
) -> Result<(), TestCaseError> {
    let schema = schema();
    let mut toml = String::new();
    let declared: Vec<(String, OracleDecl)> = drawn
        .iter()
        .enumerate()
        .map(|(at, drawn)| (format!("t.f{at}"), drawn.write(&format!("f{at}"), &mut toml)))
        .collect();
    let (read, wrong) = declare::read(Path::new("features.toml"), &toml, &schema);
    prop_assert!(wrong.is_empty(), "{wrong:?}\n{toml}");

    let mut events = events.to_vec();
    arrive(&mut events, cut.lateness);
    let (left, right) = events.split_at(cut.middle.index(events.len()));
    let effective = |part: &[Ev]| part.iter().map(|event| event.effective).collect();
    let arrivals = Arrivals {
        chunks: [left, right].map(|part| Arc::new(chunk(&schema, part))).into(),
        effective: cut.lateness.map(|_| [left, right].map(effective).into()),
    };
    let ordered = Ordered::new(schema.clone(), arrivals, cut.dedup_window, true);
    sort_totally(&mut events);
    let (mut kept, duplicates, mut refused) = without_repeats(&events, cut.dedup_window);
    let mut codes: Vec<RejectCode> = ordered.refused.iter().map(|refused| refused.code).collect();
    codes.sort_unstable();
    refused.sort_unstable();
    prop_assert_eq!((ordered.duplicates, codes), (duplicates, refused));

    if let Some(ClusterOptions { graph_tick, hub_limit, .. }) = clusters {
        let id = |at| cluster(&kept, at, graph_tick, hub_limit).id;
        let ids: Vec<String> = (0..kept.len()).map(id).collect();
        kept.iter_mut().zip(ids).for_each(|(event, id)| event.cluster = id);
    }
    let job =
        job_of(ordered, features_of(&schema, read.list, (clusters.map(Into::into), Columns::Used)));
    let found = rows(&job, options(cut.workers, cut.tick, cut.batch));
    let transactions: Vec<usize> =
        (0..kept.len()).filter(|at| kept[*at].kind.is_transaction()).collect();
    let ids = |found: &[(String, _)]| found.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let expected: Vec<String> = transactions.iter().map(|at| kept[*at].id.clone()).collect();
    prop_assert_eq!(ids(&found), expected);
    for ((id, row), &at) in found.iter().zip(&transactions).step_by(one_in) {
        for (name, decl) in &declared {
            let expected = feature(&kept, at, decl);
            let found = &row[name];
            let past = || kept[..=at].iter().map(|e| format!("{e:?}")).collect::<Vec<_>>();
            prop_assert!(
                agrees(found, &expected),
                "{name} of {id} is {found}, and not {expected:?}\n{toml}\n{}",
                past().join("\n")
            );
        }
    }
    Ok(())
}

fn cut() -> impl Strategy<Value = Cut> {
    let lateness = prop::option::of(prop::sample::select(vec![0, SECOND, HOUR]));
    let tick = prop::sample::select(vec![5, SECOND, HOUR]);
    let batch = prop::sample::select(vec![1, 3, 64, 10_000]);
    let dedup_window = prop::sample::select(vec![10 * MINUTE, DAY, 7 * DAY]);
    let parts = (1usize..=4, tick, batch, lateness, dedup_window, any::<Index>());
    parts.prop_map(|(workers, tick, batch, lateness, dedup_window, middle)| Cut {
        workers,
        tick,
        batch,
        lateness,
        dedup_window,
        middle,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_feature_is_what_the_oracle_says(
        drawn in prop::collection::vec(drawn(), 1..24),
        (events, shuffled) in history(1..100, &GAPS, 0..4).prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        }),
        repeats in repeats(),
        cut in cut(),
    ) {
        // Plain files are put in order first; a partition's order of arrival makes its watermark.
        let events = if cut.lateness.is_some() { events } else { shuffled };
        check(&drawn, &with_repeats(events, &repeats, cut.dedup_window), &cut, None, 1)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 100, ..Default::default() })]

    /// Hundreds of accounts, each of which comes back about when the window has passed: keys are
    /// dropped, and others take their places, while their neighbours live on.
    #[test]
    fn keys_that_come_and_go_leave_nothing_behind(
        field in any::<Index>(),
        events in history(1_199..1_200, &[0, 1, SECOND, 2 * SECOND, 3 * SECOND], 0..500),
        cut in cut(),
    ) {
        check(&every_aggregate(0, field), &events, &cut, None, 5)?;
    }
}

/// Every aggregate over ten minutes of all events of a key.
fn every_aggregate(key: usize, field: Index) -> Vec<Drawn> {
    let drawn = |agg| Drawn {
        lasting: None,
        over: Kind::ALL.to_vec(),
        condition: None,
        key,
        agg,
        field,
        divisor: None,
        q: 3,
        window: 4,
        include_current: true,
    };
    (0..14).map(drawn).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..Default::default() })]

    /// Accounts and groups that are quiet for longer than all windows with an end: they sleep, and
    /// wake as they were, whether they act again or are only looked up.
    #[test]
    fn what_stays_of_quiet_keys_is_what_the_oracle_says(
        by_group in any::<bool>(),
        field in any::<Index>(),
        events in history(100..240, &[0, 1, SECOND, MINUTE, 9 * MINUTE, HOUR, DAY], 0..12),
        cut in cut(),
    ) {
        let (account, group) = (0, 7);
        let mut drawn = every_aggregate(if by_group { group } else { account }, field);
        let one = drawn[0].clone();
        let lasting = |at| Drawn { lasting: Some(at), ..one.clone() };
        drawn.extend((0..LASTING.len()).map(lasting));
        check(&drawn, &events, &cut, None, 1)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// An event is filed under the cluster that its account was in as of the event's own moment,
    /// and stays there, however clusters join and break.
    #[test]
    fn events_are_filed_and_looked_up_by_the_cluster_of_their_time(
        drawn in prop::collection::vec((drawn(), CLUSTER_KEYS..KEYS.len(), 0usize..4), 1..16),
        events in history(1..100, &CLUSTER_GAPS, 0..9),
        graph_tick in prop::sample::select(vec![SECOND, MINUTE, HOUR]),
        hub_limit in 2usize..5,
        cut in cut(),
    ) {
        // Most are keyed by clusters; the others stand in plain families beside them.
        let keyed = |(drawn, key, which): (Drawn, usize, usize)| match which {
            0 => drawn,
            _ => Drawn { key, ..drawn },
        };
        let drawn: Vec<Drawn> = drawn.into_iter().map(keyed).collect();
        let window = CLUSTER_WINDOW_MS;
        check(&drawn, &events, &cut, Some(ClusterOptions { graph_tick, window, hub_limit }), 1)?;
    }
}
