//! What a run knows before anything is decided: its events in order, and the rules that decide.
//!
//! Files are read while the rules are: neither needs the other, and each has stretches in which one
//! thread alone has work. Mistakes in rules still come first, and until the rules are known to have
//! none, nothing is told of the events and nothing of them goes to disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::{panic, thread};

use super::{Hashes, Request, refusal_detail};
use crate::changes::{self, Timetable};
use crate::diagnostic::{Diagnostic, Failure};
use crate::event::{Refusal, Schema};
use crate::model::Artefacts;
use crate::rules::Policy;
use crate::source::intake::{Intake, Taken};
use crate::source::log::Times;
use crate::source::order::{Ordered, Refused, SortMemory};
use crate::source::{FileRead, Progress, Reject, Rejects};
use crate::stopwatch::{Stage, Stopwatch};

/// What is known before anything is decided.
pub(super) struct Read {
    pub(super) events: Ordered,
    pub(super) timetable: Timetable,
    pub(super) models: Artefacts,
    pub(super) hashes: Hashes,
    pub(super) rejects: Rejects,
    pub(super) files: Vec<(PathBuf, FileRead)>,
    pub(super) times: Option<Times>,
    pub(super) stopwatch: Stopwatch,
}

impl Read {
    /// Reads everything and puts the events in order.
    pub(super) fn of(request: &Request, progress: &dyn Progress) -> Result<Read, Failure> {
        let intake = request.events.open()?;
        let schema = Arc::new(intake.schema()?.with_pseudonyms(request.pseudonyms.clone()));
        let mut stopwatch = Stopwatch::default();
        let load = || Loaded::of(request, &intake, &schema);
        let mut take = |times: Times, progress: &dyn Progress| {
            let memory = SortMemory { bytes: request.sort_memory, folder: request.out.clone() };
            let max = request.rejects_max;
            stopwatch.time(Stage::Read, || intake.take(&schema, times, memory, max, progress))
        };
        let (loaded, taken) = match &intake {
            // What of a log is too late, or too far ahead, hangs on the policy.
            Intake::Log(_) => {
                let loaded = load()?;
                let times = times(loaded.timetable.policy());
                (loaded, take(times, progress)?)
            }
            Intake::Files(_) | Intake::Days(_) => {
                side_by_side(progress, load, |progress| take(Times::default(), progress))?
            }
        };
        let Loaded { models, timetable, hashes } = loaded;
        let Taken { events, mut rejects, files, times } = taken;
        let dedup_window = timetable.policy().dedup_window;
        let events =
            stopwatch.time(Stage::Order, || events.finish(dedup_window, &|| progress.stop()))?;
        let whole = request.pseudonyms.is_none();
        rejects.extend(events.refused.iter().map(|one| refused(one, whole)))?;
        rejects.sort();
        Ok(Read { events, timetable, models, hashes, rejects, files, times, stopwatch })
    }
}

/// What decides, and the hashes of what is read beside the events.
struct Loaded {
    models: Artefacts,
    timetable: Timetable,
    hashes: Hashes,
}

impl Loaded {
    fn of(request: &Request, intake: &Intake, schema: &Arc<Schema>) -> Result<Loaded, Failure> {
        let models = request.models.load()?;
        let rules = request.rules.as_deref();
        let timetable = changes::load(rules, &intake.changes(), &models, schema)?;
        let hashes = Hashes::of(intake, request.labels.as_deref())?;
        Ok(Loaded { models, timetable, hashes })
    }
}

/// Loads, and takes the events on a thread of its own meanwhile. Where both fail, what is wrong is
/// what the loading says.
fn side_by_side<L, T: Send>(
    progress: &dyn Progress,
    load: impl FnOnce() -> Result<L, Failure>,
    take: impl FnOnce(&dyn Progress) -> Result<T, Failure> + Send,
) -> Result<(L, T), Failure> {
    let beside = Beside { progress, loaded: RwLock::new(false), warnings: Mutex::default() };
    let (loaded, taken) = thread::scope(|scope| {
        let mut is_loaded = beside.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let taking = scope.spawn(|| take(&beside));
        let loaded = load();
        *is_loaded = loaded.is_ok();
        drop(is_loaded);
        (loaded, taking.join().unwrap_or_else(|cause| panic::resume_unwind(cause)))
    });
    let loaded = loaded?;
    let warnings = beside.warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !warnings.is_empty() {
        progress.warn(&warnings);
    }
    Ok((loaded, taken?))
}

/// Watches the reading of events beside the loading of what decides on them.
struct Beside<'p> {
    progress: &'p dyn Progress,
    /// Whether it was loaded and is right; locked until that is known, and poisoned should the
    /// loading panic.
    loaded: RwLock<bool>,
    /// What is to be told of the events once that is known.
    warnings: Mutex<Vec<Diagnostic>>,
}

impl Progress for Beside<'_> {
    fn begin(&self, bytes: u64) {
        self.progress.begin(bytes);
    }

    fn advance(&self, bytes: u64, records: u64) {
        self.progress.advance(bytes, records);
    }

    fn warn(&self, warnings: &[Diagnostic]) {
        let mut held = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(warnings);
    }

    /// Also where the events are of no use any more.
    fn stop(&self) -> bool {
        let in_vain = match self.loaded.try_read() {
            Ok(loaded) => !*loaded,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        };
        in_vain || self.progress.stop()
    }

    /// Waits until it is known whether the events are of use.
    fn spill(&self) -> Result<(), Failure> {
        match self.loaded.read() {
            Ok(loaded) if *loaded => Ok(()),
            _ => Err(Failure::Interrupted),
        }
    }
}

pub(super) fn times(policy: &Policy) -> Times {
    Times { allowed_lateness: policy.allowed_lateness, max_ahead: policy.max_ahead }
}

/// The reject of what is refused in the order; where ids are replaced, without its record like all.
fn refused(refused: &Refused, whole: bool) -> Reject {
    let refusal = Refusal::new(refused.code, refusal_detail(refused.code));
    let raw = if whole { refused.raw.as_bytes() } else { &[] };
    Reject::new(refused.position.source, refused.position.at, refusal, raw)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::diagnostic::Message;

    /// Counts the warnings that reach it.
    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Progress for Told {
        fn warn(&self, warnings: &[Diagnostic]) {
            self.0.fetch_add(warnings.len(), Ordering::Relaxed);
        }
    }

    fn usage(en: &str) -> Failure {
        Failure::Usage(Message::new(en, en))
    }

    fn warning() -> Diagnostic {
        Diagnostic::error("some", std::path::Path::new("e.csv"), None, Message::new("", ""))
    }

    /// What either side came to, by whether it fails, and how many warnings were told.
    fn outcome(load_fails: bool, take_fails: bool) -> (String, usize) {
        let told = Told::default();
        let load = || if load_fails { Err(usage("rules")) } else { Ok("loaded") };
        let take = |progress: &dyn Progress| {
            progress.warn(&[warning()]);
            if take_fails { Err(usage("events")) } else { Ok("taken") }
        };
        let said = match side_by_side(&told, load, take) {
            Ok((loaded, taken)) => format!("{loaded} {taken}"),
            Err(Failure::Usage(message)) => message.en,
            Err(other) => panic!("{other:?}"),
        };
        (said, told.0.into_inner())
    }

    #[test]
    fn mistakes_of_rules_come_before_all_that_is_said_of_events() {
        assert_eq!(outcome(false, false), ("loaded taken".to_owned(), 1));
        assert_eq!(outcome(false, true), ("events".to_owned(), 1));
        assert_eq!(outcome(true, false), ("rules".to_owned(), 0));
        assert_eq!(outcome(true, true), ("rules".to_owned(), 0));
    }

    /// The reader begins first, and is held up where it would write.
    #[test]
    fn nothing_spills_before_the_rules_are_right() {
        for right in [true, false] {
            let (is_waiting, is_known) = (AtomicBool::new(false), AtomicBool::new(false));
            let load = || {
                while !is_waiting.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                is_known.store(true, Ordering::Release);
                if right { Ok(()) } else { Err(usage("rules")) }
            };
            let take = |progress: &dyn Progress| {
                let stops = progress.stop();
                is_waiting.store(true, Ordering::Release);
                assert!(!stops, "nothing is known yet");
                let spilt = progress.spill();
                assert!(is_known.load(Ordering::Acquire), "it has waited");
                assert_eq!((spilt.is_ok(), progress.stop()), (right, !right));
                spilt
            };
            assert_eq!(side_by_side(&(), load, take).is_ok(), right);
        }
    }
}
