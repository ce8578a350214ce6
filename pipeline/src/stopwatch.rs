//! Where the time goes. The only place that reads a clock; nothing that decides may use it.
#![expect(clippy::disallowed_methods, reason = "this is the one place that may read the clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// Reading and decoding files.
    Read,
    /// The total order, and repeated ids.
    Order,
    /// Slices, texts, conditions.
    Prepare,
    /// Requests to the owners of keys.
    Requests,
    /// State of keys.
    State,
    /// Gathering, rules, scores.
    Rules,
    /// Verdicts, judging.
    Record,
    /// Canonical lines, their digest.
    Log,
    /// Parquet.
    Write,
}

/// Every stage, with its name in metrics.json.
pub const STAGES: [(Stage, &str); 9] = [
    (Stage::Read, "read"),
    (Stage::Order, "order"),
    (Stage::Prepare, "prepare"),
    (Stage::Requests, "requests"),
    (Stage::State, "state"),
    (Stage::Rules, "rules"),
    (Stage::Record, "record"),
    (Stage::Log, "log"),
    (Stage::Write, "write"),
];

/// Time by stage.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Stopwatch {
    spent: [Duration; STAGES.len()],
}

impl Stopwatch {
    /// Adds the time of `work` to a stage.
    pub fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.spent[stage as usize] += start.elapsed();
        result
    }

    /// Adds another stopwatch's times.
    pub fn add(&mut self, other: &Stopwatch) {
        for (spent, more) in self.spent.iter_mut().zip(other.spent) {
            *spent += more;
        }
    }

    /// Seconds by stage name.
    pub fn seconds(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        STAGES.iter().map(|(stage, name)| (*name, self.spent[*stage as usize].as_secs_f64()))
    }
}

/// A moment of the wall clock, for waiting and pacing: how long ago it was.
#[derive(Clone, Copy, Debug)]
pub struct Since(Instant);

impl Since {
    /// This moment.
    pub fn now() -> Since {
        Since(Instant::now())
    }

    /// The time that has passed since.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The time of day of this machine, in ms since 1970 UTC: for measuring how old a record is, and for
/// saying when somebody did something.
pub fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// The processor time of one thread, which other programs on a shared machine do not lengthen much.
pub struct ThreadTime;

impl ThreadTime {
    /// Does `work` and says how many seconds of processor time it took; of wall-clock time where
    /// the system does not tell a thread's own.
    pub fn of<T>(work: impl FnOnce() -> T) -> (T, f64) {
        let (wall, before) = (Instant::now(), ThreadTime::spent());
        let result = work();
        let spent = before.zip(ThreadTime::spent()).map(|(before, after)| after - before);
        (result, spent.unwrap_or_else(|| wall.elapsed()).as_secs_f64())
    }

    /// The same, with the wall-clock time beside it.
    pub fn with_wall<T>(work: impl FnOnce() -> T) -> (T, Took) {
        let wall = Instant::now();
        let (result, processor) = ThreadTime::of(work);
        (result, Took { processor, wall: wall.elapsed().as_secs_f64() })
    }

    /// The step of the clock, in seconds: nothing shorter can be told from nothing. It is the
    /// smallest of a few steps, each of which is waited for.
    pub fn step() -> f64 {
        const STEPS: usize = 5;
        let origin = Instant::now();
        let now = || ThreadTime::spent().unwrap_or_else(|| origin.elapsed());
        let step = |_| {
            let from = now();
            loop {
                let to = now();
                if to > from {
                    break to - from;
                }
            }
        };
        (0..STEPS).map(step).min().unwrap_or_default().as_secs_f64()
    }

    /// What Linux has counted for this thread so far.
    fn spent() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds = text.split(' ').next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    }
}

/// How long work took, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// Processor time of the thread.
    pub processor: f64,
    /// Wall-clock time, in which others may have had the processor.
    pub wall: f64,
}
