//! Histories as an input log brings them: some events come late, and some twice. Which count, and
//! when, is worked out by the contract in plain lines; oracles of features then judge over that.

use std::collections::BTreeSet;
use std::sync::Arc;

use hongxian::event::Schema;
use hongxian::features::Features;
use hongxian::job::Job;
use hongxian::source::Rejects;
use hongxian::source::log::{InputLog, Times};
use hongxian::source::order::Sorter;
use proptest::prelude::*;

use crate::input_log::{Body, Log, Record, expected};
use crate::support::{self, Ev, chunk, job_of};

const DAY: i64 = 86_400_000;
/// An id is remembered for so long, and what is later is refused.
const DEDUP: i64 = 7 * DAY;

/// How a history arrives.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    partitions: usize,
    allowed_lateness: i64,
    /// Of each event in turn: after how many later ones it comes, and after how many more it comes
    /// once again.
    of_events: Vec<(usize, Option<usize>)>,
}

/// None: in order, as a plain file.
pub(crate) fn arrivals() -> impl Strategy<Value = Option<Arrivals>> {
    let behind = prop_oneof![4 => Just(0usize), 1 => 1usize..4, 1 => 4usize..30];
    let again = prop::option::weighted(0.2, 0usize..12);
    let of_events = prop::collection::vec((behind, again), 120);
    let allowed = prop::sample::select(vec![0, 0, 1_000, 600_000]);
    let some =
        (1usize..4, allowed, of_events).prop_map(|(partitions, allowed_lateness, of_events)| {
            Arrivals { partitions, allowed_lateness, of_events }
        });
    prop::option::weighted(0.7, some)
}

/// The job of a history, and its events as they count: in total order, each at its effective time.
pub(crate) fn job(
    events: Vec<Ev>,
    arrivals: Option<&Arrivals>,
    features: Features,
) -> (Arc<Job>, Vec<Ev>) {
    let Some(arrivals) = arrivals else {
        return (support::job(vec![chunk(&events)], features, true), events);
    };
    let log = arrivals.log(&events);
    let counted = counted(&log, &events, arrivals.allowed_lateness);
    let directory = log.write();
    let times = Times { allowed_lateness: arrivals.allowed_lateness, max_ahead: DAY };
    let mut sorter = Sorter::new(Arc::new(Schema::default()), None);
    let log = InputLog::open(directory.path()).unwrap();
    let mut rejects = Rejects::new(Vec::new(), std::path::Path::new("."), None);
    log.read_in_blocks(times, 1 << 16, &mut sorter, &mut rejects, &()).unwrap();
    (job_of(sorter.finish(DEDUP, &|| false).unwrap(), features), counted)
}

impl Arrivals {
    fn log(&self, events: &[Ev]) -> Log {
        let mut order: Vec<(usize, &Ev)> = Vec::new();
        for (at, (ev, (behind, again))) in events.iter().zip(&self.of_events).enumerate() {
            order.push((at + behind, ev));
            order.extend(again.map(|again| (at + behind + again, ev)));
        }
        order.sort_by_key(|(place, _)| *place);
        let append_time = events.iter().map(|ev| ev.time).max().unwrap_or(0);
        let mut log = Log { records: vec![Vec::new(); self.partitions], ..Log::default() };
        for (nth, (_, ev)) in order.into_iter().enumerate() {
            let records = &mut log.records[nth % self.partitions];
            let offset = records.len() as u64;
            records.push(Record { offset, append_time, body: Body::Event(ev.clone()) });
        }
        log
    }
}

/// The events that count, the first of each id, at their effective times.
fn counted(log: &Log, events: &[Ev], allowed_lateness: i64) -> Vec<Ev> {
    let mut seen = BTreeSet::new();
    let mut counted = Vec::new();
    for (id, effective, _) in expected(log, allowed_lateness, DAY) {
        let ev = events.iter().find(|ev| ev.id == id).expect("it is of the history");
        let late = effective - ev.time;
        if late <= DEDUP && seen.insert(id) {
            counted.push(Ev { time: effective, late, ..ev.clone() });
        }
    }
    counted
}

/// The histories are what they are for: events are late, repeated, and too late.
#[test]
fn histories_come_late_and_twice() {
    let event = |at: usize, time: i64| Ev {
        id: format!("e{at}"),
        time: support::START + time,
        kind: "claim",
        account: "u".to_owned(),
        amount: Some(1),
        ..Ev::default()
    };
    let events = vec![event(0, 0), event(1, 10), event(2, 20), event(3, 8 * DAY)];
    let of_events = vec![(2, Some(0)), (0, None), (9, None), (0, Some(1))];
    let arrivals = Arrivals { partitions: 1, allowed_lateness: 5, of_events };
    let features = support::declared_features(Vec::new());
    let (job, counted) = job(events, Some(&arrivals), features);
    // First comes e1, then e0 twice, later than its partition has got but for the lateness that is
    // allowed; e3 twice, and e2 after more than a week.
    let told: Vec<_> =
        counted.iter().map(|ev| (ev.id.as_str(), ev.time - support::START, ev.late)).collect();
    assert_eq!(told, [("e0", 5, 5), ("e1", 10, 0), ("e3", 8 * DAY, 0)]);
    let rows = support::rows(&job, support::options(1, 1_000, 7));
    assert_eq!(rows.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["e0", "e1", "e3"]);
}
