//! What the engine of a stream keeps over commits, so that it can be saved and gone on with.

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::diagnostic::{Failure, Message};
use crate::snapshot::{self, Part, RunningDigest, State};
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
    holds: Option<Vec<Hold>>,
}

impl Engine {
    /// All that is kept as of the frontier; everything before it is decided, and what was to be
    /// written has been.
    pub(in crate::stream) fn save(&mut self) -> Result<State, Failure> {
        assert!(self.out.is_empty(), "what is decided is written before it is saved");
        let mut state = self.session.save()?;
        let kept = Kept {
            frontier: self.frontier,
            counts: self.counts,
            lines: self.lines.clone(),
            event_times: self.sources.iter().map(|one| one.watermark.event_time_max()).collect(),
            waiting: self.waiting.save(),
            no_events: self.no_events,
            holds: self.watch.as_ref().map(|watch| lock(watch.desk.holds()).all()),
        };
        let (keeper, bytes) = (KEEPER.to_owned(), snapshot::encode(&kept));
        state.parts.push(Part { keeper, number: 0, bytes });
        Ok(state)
    }

    /// Goes on from what was kept; its partitions begin at the offsets at which they were then. The
    /// session has been restored. False where held transactions are listed now, and were not then.
    pub(in crate::stream) fn load(&mut self, part: &Part) -> Result<bool, Failure> {
        let broken = |why: String| {
            Failure::Environment(Message::new(
                format!("the snapshot of the stream cannot be read: {why}"),
                format!("无法读取流的快照：{why}"),
            ))
        };
        let kept: Kept = snapshot::decode(&part.bytes).map_err(|wrong| broken(wrong.0))?;
        self.waiting.load(&kept.waiting).map_err(|wrong| broken(wrong.0))?;
        (self.frontier, self.counts, self.lines) = (kept.frontier, kept.counts, kept.lines);
        for (source, event_time) in self.sources.iter_mut().zip(kept.event_times) {
            source.watermark.reach(event_time);
        }
        self.no_events = kept.no_events;
        let Some(watch) = &self.watch else { return Ok(true) };
        let known = kept.holds.is_some();
        kept.holds.into_iter().flatten().for_each(|hold| lock(watch.desk.holds()).add(hold));
        Ok(known)
    }

    /// Takes the part of the engine out of a state, of which the rest is the session's.
    pub(in crate::stream) fn part_of(state: &mut State) -> Option<Part> {
        let at = state.parts.iter().position(|part| part.keeper == KEEPER)?;
        Some(state.parts.swap_remove(at))
    }
}
