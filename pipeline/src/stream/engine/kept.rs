//! What the engine of a stream keeps over commits, so that it can be saved and gone on with.

use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use serde::{Deserialize, Serialize};

use super::{Engine, Letter};
use crate::diagnostic::{Failure, Message};
use crate::event::RejectCode;
use crate::snapshot::{self, Part, RunningDigest, State};
use crate::stream::control::Counted;

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
    letters: Vec<KeptLetter>,
}

#[derive(Serialize, Deserialize)]
struct KeptLetter {
    time: i64,
    place: (usize, u64),
    code: String,
    detail: String,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Option<Vec<(String, Option<Vec<u8>>)>>,
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
            letters: self.letters.iter().map(Letter::kept).collect(),
        };
        let (keeper, bytes) = (KEEPER.to_owned(), snapshot::encode(&kept));
        state.parts.push(Part { keeper, number: 0, bytes });
        Ok(state)
    }

    /// Goes on from what was kept; its partitions begin at the offsets at which they were then. The
    /// session has been restored.
    pub(in crate::stream) fn load(&mut self, part: &Part) -> Result<(), Failure> {
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
        for letter in kept.letters {
            self.letters.push(letter.letter().ok_or_else(|| broken("a code".to_owned()))?);
        }
        Ok(())
    }

    /// Takes the part of the engine out of a state, of which the rest is the session's.
    pub(in crate::stream) fn part_of(state: &mut State) -> Option<Part> {
        let at = state.parts.iter().position(|part| part.keeper == KEEPER)?;
        Some(state.parts.swap_remove(at))
    }
}

impl Letter {
    fn kept(&self) -> KeptLetter {
        let headers = self.headers.as_ref().map(|headers| {
            let own = |header: Header<'_, &[u8]>| {
                (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
            };
            headers.iter().map(own).collect()
        });
        KeptLetter {
            time: self.time,
            place: self.place,
            code: self.code.to_owned(),
            detail: self.detail.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            headers,
        }
    }
}

impl KeptLetter {
    fn letter(self) -> Option<Letter> {
        let code = RejectCode::ALL.into_iter().find(|code| code.name() == self.code)?;
        let headers = self.headers.map(|headers| {
            let add = |all: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
                all.insert(Header { key, value: value.as_ref() })
            };
            headers.iter().fold(OwnedHeaders::new(), add)
        });
        Some(Letter {
            time: self.time,
            place: self.place,
            code: code.name(),
            detail: self.detail,
            key: self.key,
            value: self.value,
            headers,
        })
    }
}
