//! What every declared feature is, by DESIGN 3.3 read word for word: each value is computed from
//! scratch out of the whole history, in a few plain lines. Nothing here is fast, and nothing here
//! uses the features or the dataflow that it judges.

use std::collections::{BTreeMap, BTreeSet};

use hongxian::event::Kind;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// An event with plain fields. An empty string is null.
#[derive(Clone, Debug)]
pub(crate) struct Ev {
    pub(crate) id: String,
    pub(crate) time: i64,
    pub(crate) effective: i64,
    pub(crate) seq: Option<i64>,
    pub(crate) kind: Kind,
    pub(crate) account: String,
    pub(crate) counterparty: String,
    pub(crate) group: String,
    pub(crate) packet: String,
    pub(crate) device: String,
    pub(crate) amount_fen: Option<i64>,
    pub(crate) text: String,
    pub(crate) verified: Option<bool>,
    /// A column of one's own: `extra.rate`.
    pub(crate) rate: Option<f64>,
    /// `cluster_id`: the cluster of its account as of its own moment, once that is worked out.
    pub(crate) cluster: String,
}

/// The value of a field or of a feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OracleValue {
    Null,
    Int(i64),
    Double(f64),
    Bool(bool),
    Str(String),
}

use OracleValue::{Bool, Double, Int, Null, Str};

#[derive(Clone, Debug)]
pub(crate) enum OracleAgg {
    Count,
    Sum(&'static str),
    Min(&'static str),
    Max(&'static str),
    First(&'static str),
    Last(&'static str),
    Mean(&'static str),
    Stddev(&'static str),
    Distinct(&'static str),
    Quantile(&'static str, f64),
    SinceLast,
    SinceFirst,
    RatioToMean,
    TopShare(&'static str),
    /// Of a field, or of a field modulo a number.
    Entropy(&'static str, Option<i64>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum OracleWindow {
    /// Milliseconds.
    Span(i64),
    /// The calendar day so far, in the zone of the declaration.
    Day,
    /// Since the beginning.
    Forever,
}

/// A condition on a contributing event.
pub(crate) type Condition = fn(&Ev) -> bool;

/// One declared feature.
pub(crate) struct OracleDecl {
    pub(crate) over: Vec<Kind>,
    /// Its `where`.
    pub(crate) condition: Option<Condition>,
    pub(crate) key: Vec<&'static str>,
    pub(crate) at: Vec<&'static str>,
    pub(crate) agg: OracleAgg,
    pub(crate) window: OracleWindow,
    pub(crate) include_current: bool,
    pub(crate) zone: TimeZone,
}

impl Ev {
    /// The value of a field by its name in the schema.
    pub(crate) fn field(&self, name: &str) -> OracleValue {
        let string = |text: &str| if text.is_empty() { Null } else { Str(text.to_owned()) };
        let int = |value: Option<i64>| value.map_or(Null, Int);
        match name {
            "event_id" => string(&self.id),
            "event_time" => Int(self.time),
            "seq" => int(self.seq),
            "kind" => string(self.kind.name()),
            "account_id" => string(&self.account),
            "counterparty_id" => string(&self.counterparty),
            "group_id" => string(&self.group),
            "packet_id" => string(&self.packet),
            "device_id" => string(&self.device),
            "amount_fen" => int(self.amount_fen),
            "text" => string(&self.text),
            "verified" => self.verified.map_or(Null, Bool),
            "cluster_id" => string(&self.cluster),
            "extra.rate" => self.rate.map_or(Null, Double),
            "payer_id" => match self.kind {
                Kind::Send | Kind::Transfer | Kind::Withdraw => string(&self.account),
                Kind::Claim => string(&self.counterparty),
                _ => Null,
            },
            "payee_id" => match self.kind {
                Kind::Claim => string(&self.account),
                Kind::Transfer => string(&self.counterparty),
                _ => Null,
            },
            _ => panic!("the oracle knows no field {name}"),
        }
    }

    /// The values of several fields; None if one of them is null.
    fn fields(&self, names: &[&str]) -> Option<Vec<OracleValue>> {
        let values: Vec<OracleValue> = names.iter().map(|name| self.field(name)).collect();
        (!values.contains(&Null)).then_some(values)
    }
}

/// Puts events in the total order of DESIGN 3.2.
pub(crate) fn sort_totally(events: &mut [Ev]) {
    events.sort_by(|a, b| {
        let order = |e: &Ev| (e.effective, e.time, e.seq.unwrap_or(0));
        order(a).cmp(&order(b)).then(a.id.as_bytes().cmp(b.id.as_bytes()))
    });
}

/// The value of the feature `decl` on the transaction `events[at]`; `events` are in total order.
pub(crate) fn feature(events: &[Ev], at: usize, decl: &OracleDecl) -> OracleValue {
    let now = &events[at];
    let Some(wanted) = now.fields(&decl.at) else { return Null };
    let is_in_window = |e: &Ev| match decl.window {
        OracleWindow::Span(ms) => e.effective > now.effective - ms,
        OracleWindow::Day => day(e, &decl.zone) == day(now, &decl.zone),
        OracleWindow::Forever => true,
    };
    let contributes = |e: &&Ev| {
        decl.over.contains(&e.kind)
            && is_in_window(e)
            && decl.condition.as_ref().is_none_or(|holds| holds(e))
            && e.fields(&decl.key).as_ref() == Some(&wanted)
    };
    let others_only = matches!(decl.agg, OracleAgg::SinceLast | OracleAgg::RatioToMean);
    let end = if decl.include_current && !others_only { at + 1 } else { at };
    let found: Vec<&Ev> = events[..end].iter().filter(contributes).collect();
    aggregate(&decl.agg, &found, now)
}

fn day(event: &Ev, zone: &TimeZone) -> Date {
    zone.to_datetime(Timestamp::from_millisecond(event.effective).unwrap()).date()
}

fn aggregate(agg: &OracleAgg, found: &[&Ev], now: &Ev) -> OracleValue {
    // In total order, without the nulls.
    let values = |field: &str| -> Vec<OracleValue> {
        found.iter().map(|e| e.field(field)).filter(|value| *value != Null).collect()
    };
    let ints = |field: &str| -> Vec<i64> {
        let int = |value| match value {
            Int(value) => value,
            other => panic!("{field} is {other:?}, no integer"),
        };
        values(field).into_iter().map(int).collect()
    };
    let or_null = |value: Option<i64>| value.map_or(Null, Int);
    match agg {
        OracleAgg::Count => Int(found.len() as i64),
        OracleAgg::Sum(field) => sum(&ints(field)),
        OracleAgg::Min(field) => or_null(ints(field).into_iter().min()),
        OracleAgg::Max(field) => or_null(ints(field).into_iter().max()),
        OracleAgg::First(field) => values(field).first().cloned().unwrap_or(Null),
        OracleAgg::Last(field) => values(field).last().cloned().unwrap_or(Null),
        OracleAgg::Mean(field) => mean(&ints(field)).map_or(Null, Double),
        OracleAgg::Stddev(field) => stddev(&ints(field)),
        OracleAgg::Distinct(field) => Int(counts(&values(field)).len() as i64),
        OracleAgg::Quantile(field, q) => or_null(quantile(ints(field), *q)),
        OracleAgg::SinceLast => or_null(found.last().map(|e| now.effective - e.effective)),
        OracleAgg::SinceFirst => or_null(found.first().map(|e| now.effective - e.effective)),
        OracleAgg::RatioToMean => match (now.amount_fen, mean(&ints("amount_fen"))) {
            (Some(amount), Some(mean)) if mean != 0.0 => Double(amount as f64 / mean),
            _ => Null,
        },
        OracleAgg::TopShare(field) => top_share(&values(field)),
        OracleAgg::Entropy(field, None) => entropy(&values(field)),
        OracleAgg::Entropy(field, Some(n)) => {
            let rest = |value: i64| Int(value % n);
            entropy(&ints(field).into_iter().map(rest).collect::<Vec<_>>())
        }
    }
}

/// A sum that no 64 bits hold is null, and so is the one that stands for null itself.
fn sum(values: &[i64]) -> OracleValue {
    let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
    i64::try_from(sum).ok().filter(|sum| *sum != i64::MIN).map_or(Null, Int)
}

fn mean(values: &[i64]) -> Option<f64> {
    let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
    (!values.is_empty()).then(|| sum as f64 / values.len() as f64)
}

/// Of a population: the root of the mean square less the squared mean. That times n^2 is the sum of
/// the squared differences of all pairs, of which none takes any other away.
fn stddev(values: &[i64]) -> OracleValue {
    if values.is_empty() {
        return Null;
    }
    let apart = |one: i64, other: i64| (i128::from(one) - i128::from(other)) as f64;
    let pairs = (0..values.len()).flat_map(|at| values[..at].iter().map(move |one| (at, one)));
    let pairs = pairs.map(|(at, one)| apart(values[at], *one));
    let squares: f64 = pairs.map(|apart| apart * apart).sum();
    Double(squares.sqrt() / values.len() as f64)
}

/// Nearest rank: the smallest value such that at least the share `q` of all is no larger.
fn quantile(mut values: Vec<i64>, q: f64) -> Option<i64> {
    values.sort_unstable();
    let n = values.len();
    (1..=n).find(|rank| *rank as f64 / n as f64 >= q).map(|rank| values[rank - 1])
}

fn top_share(values: &[OracleValue]) -> OracleValue {
    match counts(values).into_values().max() {
        Some(most) => Double(most as f64 / values.len() as f64),
        None => Null,
    }
}

/// log2 N - S / N, S in whole units of 2^-32; of one value alone 0, whatever they round.
fn entropy(values: &[OracleValue]) -> OracleValue {
    let counts = counts(values);
    match counts.len() {
        0 => return Null,
        1 => return Double(0.0),
        _ => {}
    }
    let unit = (1u64 << 32) as f64;
    let in_units = |c: usize| (c as f64 * libm::log2(c as f64) * unit).round() as i64;
    let s: i64 = counts.into_values().map(in_units).sum();
    let n = values.len() as f64;
    Double(libm::log2(n) - s as f64 / unit / n)
}

/// How often each value occurs. Zero and minus zero are one value.
fn counts(values: &[OracleValue]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        let name = match value {
            Double(value) => format!("{:?}", value + 0.0),
            other => format!("{other:?}"),
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

/// The cluster of the acting account: `devices.cluster_accounts`, `cluster_groups`, `cluster_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OracleCluster {
    pub(crate) accounts: i64,
    pub(crate) groups: i64,
    pub(crate) id: String,
}

/// How far back devices link accounts.
pub(crate) const CLUSTER_WINDOW_MS: i64 = 30 * 86_400_000;

/// The cluster of the account that acts in `events[at]`, as of the last whole graph tick before
/// the one in which it acts; a device with more than `hub_limit` accounts links no one.
pub(crate) fn cluster(
    events: &[Ev],
    at: usize,
    graph_tick_ms: i64,
    hub_limit: usize,
) -> OracleCluster {
    let account = events[at].account.as_str();
    let as_of = (events[at].effective.div_euclid(graph_tick_ms) - 1) * graph_tick_ms;
    let is_seen = |e: &&Ev| e.effective >= as_of - CLUSTER_WINDOW_MS && e.effective < as_of;
    let seen: Vec<&Ev> = events.iter().filter(is_seen).filter(|e| !e.account.is_empty()).collect();

    let mut accounts_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for e in seen.iter().filter(|e| !e.device.is_empty()) {
        accounts_of.entry(&e.device).or_default().insert(&e.account);
    }
    accounts_of.retain(|_, accounts| accounts.len() <= hub_limit);

    // Breadth first: each new account brings in all who share a device with it.
    let mut reached = BTreeSet::from([account]);
    let mut fresh = vec![account];
    while let Some(next) = fresh.pop() {
        for sharing in accounts_of.values().filter(|accounts| accounts.contains(next)) {
            fresh.extend(sharing.iter().filter(|other| reached.insert(other)));
        }
    }
    let groups: BTreeSet<&str> = seen
        .iter()
        .filter(|e| reached.contains(e.account.as_str()) && !e.group.is_empty())
        .map(|e| e.group.as_str())
        .collect();
    OracleCluster {
        accounts: reached.len() as i64,
        groups: groups.len() as i64,
        id: reached.first().map_or(String::new(), |id| (*id).to_owned()),
    }
}

mod tests {
    //! The oracle against figures worked out by hand.

    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    /// 2024-02-10T00:00:00+08:00.
    const MIDNIGHT: i64 = 1_707_494_400_000;

    /// A claim by `account` of a packet of `sender`.
    fn claim(time: i64, account: &str, sender: &str, group: &str, fen: i64) -> Ev {
        Ev {
            id: format!("{account}{time}"),
            time,
            effective: time,
            seq: None,
            kind: Kind::Claim,
            account: account.to_owned(),
            counterparty: sender.to_owned(),
            group: group.to_owned(),
            packet: String::new(),
            device: String::new(),
            amount_fen: Some(fen),
            text: String::new(),
            verified: None,
            rate: None,
            cluster: String::new(),
        }
    }

    fn decl(agg: OracleAgg, window: OracleWindow) -> OracleDecl {
        OracleDecl {
            over: vec![Kind::Claim],
            condition: None,
            key: vec!["account_id"],
            at: vec!["account_id"],
            agg,
            window,
            include_current: true,
            zone: TimeZone::get("Asia/Shanghai").unwrap(),
        }
    }

    /// Claims of `a` one hour apart: 100, 200, 200, 500 fen in groups g, g, h, none.
    fn history() -> Vec<Ev> {
        let rows = [(0, "g", 100), (1, "g", 200), (2, "h", 200), (3, "", 500)];
        let mut events: Vec<Ev> = rows
            .map(|(hour, group, fen)| claim(MIDNIGHT + hour * HOUR, "a", "s", group, fen))
            .into();
        events.push(claim(MIDNIGHT + HOUR, "b", "s", "g", 7));
        sort_totally(&mut events);
        events
    }

    #[test]
    fn aggregates_worked_out_by_hand() {
        use OracleAgg::*;
        let events = history();
        let value = |agg| feature(&events, 4, &decl(agg, OracleWindow::Span(DAY)));
        let rows = [
            (Count, Int(4)),
            (Sum("amount_fen"), Int(1000)),
            (Min("amount_fen"), Int(100)),
            (Max("amount_fen"), Int(500)),
            (First("group_id"), Str("g".to_owned())),
            (Last("group_id"), Str("h".to_owned())),
            (Mean("amount_fen"), Double(250.0)),
            // Squares 340,000 / 4 less 250 squared: 22,500.
            (Stddev("amount_fen"), Double(150.0)),
            (Distinct("amount_fen"), Int(3)),
            (Distinct("group_id"), Int(2)),
            (Quantile("amount_fen", 0.25), Int(100)),
            (Quantile("amount_fen", 0.5), Int(200)),
            (Quantile("amount_fen", 0.76), Int(500)),
            (SinceLast, Int(HOUR)),
            // 500 over the mean of 100, 200 and 200.
            (RatioToMean, Double(500.0 / (500.0 / 3.0))),
            (TopShare("group_id"), Double(2.0 / 3.0)),
            // A quarter, a half, a quarter.
            (Entropy("amount_fen", None), Double(1.5)),
            (Entropy("amount_fen", Some(100)), Double(0.0)),
        ];
        for (agg, expected) in rows {
            assert_eq!(value(agg.clone()), expected, "{agg:?}");
        }
    }

    #[test]
    fn spreads_and_sums_of_large_integers() {
        // In nanoseconds: a moment twice, and twice two seconds after it.
        let nanoseconds = [0, 0, 2, 2].map(|at| 1_700_000_000_000_000_000 + at * 1_000_000_000);
        assert_eq!(stddev(&nanoseconds), Double(1e9));
        assert_eq!(stddev(&[i64::MAX, -i64::MAX]), Double(i64::MAX as f64));
        assert_eq!(sum(&nanoseconds[..1]), Int(nanoseconds[0]));
        assert_eq!(sum(&[i64::MAX, 1]), Null);
        assert_eq!(sum(&[i64::MAX, 1, -1]), Int(i64::MAX));
    }

    #[test]
    fn where_nothing_contributes() {
        use OracleAgg::*;
        let events = [claim(MIDNIGHT, "a", "s", "", 100)];
        let value = |agg| {
            let mut decl = decl(agg, OracleWindow::Span(DAY));
            decl.include_current = false;
            feature(&events, 0, &decl)
        };
        for agg in [Count, Sum("amount_fen"), Distinct("amount_fen")] {
            assert_eq!(value(agg.clone()), Int(0), "{agg:?}");
        }
        let null = [
            Min("amount_fen"),
            Max("amount_fen"),
            First("amount_fen"),
            Last("amount_fen"),
            Mean("amount_fen"),
            Stddev("amount_fen"),
            Quantile("amount_fen", 0.5),
            SinceLast,
            RatioToMean,
            TopShare("amount_fen"),
            Entropy("amount_fen", None),
        ];
        for agg in null {
            assert_eq!(value(agg.clone()), Null, "{agg:?}");
        }
    }

    #[test]
    fn windows_leave_out_their_start_and_the_future() {
        let events = history();
        let count = |at, window| feature(&events, at, &decl(OracleAgg::Count, window));
        assert_eq!(count(4, OracleWindow::Span(3 * HOUR)), Int(3), "(t - window, t]");
        assert_eq!(count(4, OracleWindow::Span(3 * HOUR + 1)), Int(4));
        assert_eq!(count(0, OracleWindow::Span(DAY)), Int(1), "nothing later");
        assert_eq!(count(4, OracleWindow::Forever), Int(4));
    }

    #[test]
    fn a_day_is_that_of_the_zone() {
        let events: Vec<Ev> =
            [-1, 0, 1].map(|ms| claim(MIDNIGHT + ms, "a", "s", "", 1)).into_iter().collect();
        let mut day = decl(OracleAgg::Count, OracleWindow::Day);
        let counts = |day: &OracleDecl| [0, 1, 2].map(|at| feature(&events, at, day));
        assert_eq!(counts(&day), [Int(1), Int(1), Int(2)]);
        day.zone = TimeZone::UTC;
        assert_eq!(counts(&day), [Int(1), Int(2), Int(3)], "midnight in Shanghai is 16:00 in UTC");
    }

    #[test]
    fn keys_conditions_and_nulls() {
        let mut events = history();
        let mut claims_of_mine = decl(OracleAgg::Count, OracleWindow::Span(DAY));
        claims_of_mine.key = vec!["payer_id"];
        assert_eq!(feature(&events, 4, &claims_of_mine), Int(0), "nobody claimed of a");
        claims_of_mine.at = vec!["payer_id"];
        assert_eq!(feature(&events, 4, &claims_of_mine), Int(5), "all claimed of s");
        claims_of_mine.condition = Some(|e| e.amount_fen >= Some(200));
        assert_eq!(feature(&events, 4, &claims_of_mine), Int(3));
        claims_of_mine.over = vec![Kind::Send];
        assert_eq!(feature(&events, 4, &claims_of_mine), Int(0));

        let mut by_group = decl(OracleAgg::Count, OracleWindow::Span(DAY));
        by_group.key = vec!["group_id", "payer_id"];
        by_group.at = by_group.key.clone();
        assert_eq!(feature(&events, 3, &by_group), Int(1), "h");
        assert_eq!(feature(&events, 4, &by_group), Null, "a null lookup");
        events[0].group.clear();
        assert_eq!(feature(&events, 2, &by_group), Int(2), "a null key contributes nothing");
    }

    #[test]
    fn ties_are_told_apart_by_event_time_then_seq_then_id() {
        let tie = |id: &str, time, seq| Ev {
            id: id.to_owned(),
            time,
            effective: MIDNIGHT,
            seq,
            ..claim(MIDNIGHT, "a", "s", "", 1)
        };
        let mut events = vec![
            tie("c", MIDNIGHT, None),
            tie("b", MIDNIGHT, None),
            tie("a", MIDNIGHT, Some(1)),
            tie("d", MIDNIGHT, Some(-1)),
            tie("e", MIDNIGHT - 1, Some(9)),
        ];
        sort_totally(&mut events);
        let ids: Vec<&str> = events.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["e", "d", "b", "c", "a"]);
        let count = decl(OracleAgg::Count, OracleWindow::Span(1));
        assert_eq!(feature(&events, 2, &count), Int(3), "those before it, and itself");
    }

    #[test]
    fn clusters_worked_out_by_hand() {
        const TICK: i64 = 10_000;
        let on = |time, account: &str, device: &str, group: &str| Ev {
            device: device.to_owned(),
            ..claim(time, account, "s", group, 1)
        };
        let start = MIDNIGHT;
        let events = [
            on(start, "b", "d1", "g1"),
            on(start + 1, "c", "d1", "g2"),
            on(start + 2, "c", "d2", "g2"),
            on(start + 3, "a", "d2", ""),
            on(start + 4, "e", "d3", "g3"),
            on(start + TICK, "b", "d9", "g9"),
            on(start + 2 * TICK - 1, "b", "d9", "g9"),
            on(start + 2 * TICK, "b", "d9", "g9"),
            on(start + CLUSTER_WINDOW_MS + TICK, "b", "d9", "g9"),
            on(start + CLUSTER_WINDOW_MS + 2 * TICK, "b", "d9", "g9"),
        ];
        let found = |at, hub_limit| {
            let OracleCluster { accounts, groups, id } = cluster(&events, at, TICK, hub_limit);
            (accounts, groups, id)
        };
        let alone = |groups| (1, groups, "b".to_owned());
        assert_eq!(found(5, 9), alone(0), "as of the start, before which nothing was");
        assert_eq!(found(6, 9), alone(0), "as of the start until the tick ends");
        assert_eq!(found(7, 9), (3, 2, "a".to_owned()), "b - d1 - c - d2 - a");
        assert_eq!(found(7, 1), alone(1), "both devices are hubs");
        assert_eq!(found(8, 9), (3, 3, "a".to_owned()), "as of the start and thirty days");
        assert_eq!(found(9, 9), alone(1), "what is older than thirty days links no one");
    }
}
