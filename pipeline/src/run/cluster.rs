//! Runs in several processes: what they have to agree on, and what those do that record nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Events, Hashes, Laid, Read, Request, environment};
use crate::backtest;
use crate::changes::{Candidate, Planned, Timetable};
use crate::dataflow::{self, Learn, Live, Options, Steps};
use crate::diagnostic::{Failure, Lang, Message};
use crate::event::Schema;
use crate::job::Job;
use crate::model::Artefacts;
use crate::peers::{Peers, Term};
use crate::source::order::{Arrivals, Ordered};
use crate::source::{FileRead, Progress};

/// What came of a process that followed.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// Its number.
    pub process: usize,
    /// Events that it read for their features and decided on.
    pub events: u64,
}

/// Meets the other processes, if it is not to be alone.
pub(super) fn meet(request: &Request, progress: &dyn Progress) -> Result<Option<Peers>, Failure> {
    let place = request.place.clone();
    let workers = request.options.workers;
    place.map(|place| place.meet(workers, &|| progress.stop())).transpose()
}

/// What must be the same in all processes, so that they cut the same events into the same steps and
/// decide by the same rules.
pub(super) fn terms(
    request: &Request,
    files: &[(PathBuf, FileRead)],
    (rules_hash, changes): (&str, &[Planned]),
    (models, hashes): (&Artefacts, &Hashes),
) -> Vec<Term> {
    let mut input = blake3::Hasher::new();
    for (_, file) in files {
        input.update(&file.hash);
    }
    for map in &hashes.maps {
        input.update(map.as_bytes());
    }
    if let Events::Log { lateness, .. } = request.events {
        input.update(format!("lateness {lateness:?}").as_bytes());
    }
    let mut rules = blake3::Hasher::new();
    rules.update(rules_hash.as_bytes());
    for change in changes {
        rules.update(format!("{} {:?}", change.effective_time, change.deciders).as_bytes());
    }
    let mut model = blake3::Hasher::new();
    for artefact in [&models.champion, &models.challenger] {
        model.update(artefact.as_ref().map_or("none", |artefact| artefact.hash()).as_bytes());
    }
    let key = request.pseudonyms.as_ref().map_or("none", |held| held.fingerprint());
    let options = format!("{} {}", request.options.tick, request.options.batch);
    vec![
        Term { what: Message::new("event files", "事件文件"), hash: input.finalize() },
        Term { what: Message::new("rules", "规则"), hash: rules.finalize() },
        Term { what: Message::new("models", "模型"), hash: model.finalize() },
        Term {
            what: Message::new("keys of --pseudonymise", " --pseudonymise 密钥"),
            hash: blake3::hash(key.as_bytes()),
        },
        Term {
            what: Message::new("--tick or --batch", " --tick 或 --batch "),
            hash: blake3::hash(options.as_bytes()),
        },
    ]
}

/// What a process does that is not number 0: it reads the same, does its part, and writes nothing.
///
/// # Errors
/// As [`run`](super::run), and as [`Place::meet`](crate::peers::Place::meet).
pub fn follow(
    request: &Request,
    progress: &dyn Progress,
    interrupted: Arc<AtomicBool>,
) -> Result<Followed, Failure> {
    let Some(mut peers) = meet(request, progress)? else {
        return Err(environment("nobody leads a process that is alone".to_owned()));
    };
    let Read { events, timetable, models, hashes, files, .. } = Read::of(request, progress)?;
    let timetable = timetable.until(events.end());
    let (rules_hash, changes) = (timetable.rules_hash(), timetable.changes());
    let terms = terms(request, &files, (&rules_hash, &changes), (&models, &hashes));
    peers.agree(&terms, &|| progress.stop())?;
    let epochs = timetable.epochs(events.start());
    let (process, options) = (peers.process(), request.options);
    let job = Arc::new(Job::with_epochs(events, epochs, interrupted));
    let planned = job.events.steps(options.tick, options.batch, &job.cuts()).len();
    let interrupted = job.interrupted.clone();
    let summary =
        backtest::follow(&job, options, peers).map_err(|why| failure(why, &interrupted))?;
    if summary.steps < planned {
        return Err(Failure::Partial);
    }
    Ok(Followed { process, events: summary.events })
}

/// Reads the rules that process 0 [tells](super::Session::tell) of, which come after those of a
/// timetable, and from when on they decide.
pub type ReadNews =
    Box<dyn Fn(&Timetable, &[u8]) -> Result<(Candidate, i64), Failure> + Send + Sync>;

/// What a process does whose process 0 has a [`Session`](super::Session) with these rules: its
/// workers do their part of what that one is fed, until it ends. Set `interrupted` to have it end.
/// Whether they are to meet again.
///
/// # Errors
/// News that cannot be read, and a process that was lost.
pub fn follow_session(
    laid: Laid,
    schema: &Arc<Schema>,
    peers: Peers,
    (read, interrupted): (ReadNews, Arc<AtomicBool>),
) -> Result<(Followed, bool), Failure> {
    let events = Ordered::new(schema.clone(), Arrivals::default(), 0, true);
    let Laid { timetable, to_come, epochs, layout } = laid;
    let job = Arc::new(Job::with_epochs(events, epochs, interrupted.clone()));
    let (own, rules) = (job.clone(), Mutex::new((timetable, to_come)));
    let learn: Learn = Box::new(move |news| {
        let mut rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read(&rules.0, news).map_err(|failure| failure.render(Lang::En, false))?;
        let laid = Laid::with((&rules.0, &rules.1), (&read.0, read.1));
        let epoch = laid.epochs.last().filter(|_| laid.layout == layout).cloned();
        own.append(epoch.ok_or("rules that process 0 tells of need more than is computed")?);
        *rules = (laid.timetable, laid.to_come);
        Ok(())
    });
    let (process, workers) = (peers.process(), peers.workers());
    let steps: Arc<dyn Steps> = Arc::new(Live::led(workers, schema, learn));
    let options = Options { workers, tick: 1, batch: 1, sorted: true };
    let run = dataflow::run_among(&job, &steps, options, None, Some(peers));
    let summary = run.map_err(|why| failure(why, &interrupted))?;
    Ok((Followed { process, events: summary.events }, steps.meets_again()))
}

/// Why a process that follows has ended. Before process 0 has begun there is nothing to end.
fn failure(why: String, interrupted: &AtomicBool) -> Failure {
    if why == dataflow::BEFORE_BEGIN && interrupted.load(Ordering::Relaxed) {
        return Failure::Interrupted;
    }
    environment(why)
}
