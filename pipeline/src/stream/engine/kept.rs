//! What the engine of a stream keeps over commits, so that it can be saved and gone on with.

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::diagnostic::{Failure, Message};
use crate::snapshot::{self, Draft, Frozen, RunningDigest, Saved};
use crate::stream::control::Counted;
use crate::stream::ends::lock;
use crate::stream::http::Hold;

/// The name under which it stands in a snapshot.
const KEEPER: &str = "stream";

/// All of it but what the control topic says, and the topics themselves.
#[derive(Serialize, Deserialize)]
struct Kept {
    frontier: i64,
    counts: Counted,
    lines: RunningDigest,
    /// The largest event time of each partition.
    event_times: Vec<i64>,
    waiting: Vec<u8>,
    /// Of the refused records, those that were no events.
    no_events: u64,
    /// What is held, where it was listed.
    holds: Option<Vec<(Hold, [u64; 2])>>,
}

impl Engine {
    /// All that is kept as of the frontier, to be written to a draft while the stream goes on;
    /// everything before the frontier is decided, and what was to be written has been.
    pub(in crate::stream) fn freeze(&mut self, draft: &Draft) -> Result<Frozen, Failure> {
        assert!(self.out.is_empty(), "what is decided is written before it is saved");
        // Threads that answer requests change it.
        let holds = self.watch.as_ref().map(|watch| lock(watch.desk.holds()).all());
        let Engine { session, frontier, counts, lines, sources, waiting, no_events, .. } = self;
        let own = |put: &mut snapshot::Put<'_>| {
            let kept = Kept {
                frontier: *frontier,
                counts: *counts,
                lines: lines.clone(),
                event_times: sources.iter().map(|one| one.watermark.event_time_max()).collect(),
                waiting: waiting.save(),
                no_events: *no_events,
                holds: holds.clone(),
            };
            put(KEEPER, 0, snapshot::encode(&kept));
        };
        session.freeze_with(draft, &own)
    }

    /// Goes on from what was kept; its partitions begin at the offsets at which they were then. The
    /// session has been restored. False where held transactions are listed now, and were not then.
    pub(in crate::stream) fn load(&mut self, part: &[u8]) -> Result<bool, Failure> {
        let broken = |why: String| {
            Failure::Environment(Message::new(
                format!("the snapshot of the stream cannot be read: {why}"),
                format!("无法读取流的快照：{why}"),
            ))
        };
        let kept: Kept = snapshot::decode(part).map_err(|wrong| broken(wrong.0))?;
        self.waiting.load(&kept.waiting).map_err(|wrong| broken(wrong.0))?;
        (self.frontier, self.counts, self.lines) = (kept.frontier, kept.counts, kept.lines);
        for (source, event_time) in self.sources.iter_mut().zip(kept.event_times) {
            source.watermark.reach(event_time);
        }
        self.no_events = kept.no_events;
        let Some(watch) = &self.watch else { return Ok(true) };
        let known = kept.holds.is_some();
        let mut holds = lock(watch.desk.holds());
        kept.holds.into_iter().flatten().for_each(|(hold, body)| holds.add(hold, body));
        Ok(known)
    }

    /// Takes the part of the engine out of a state, of which the rest is the session's.
    pub(in crate::stream) fn part_of(state: &mut Saved) -> Option<Vec<u8>> {
        let part = state.take(KEEPER)?;
        part.read().ok().map(std::borrow::Cow::into_owned)
    }
}
