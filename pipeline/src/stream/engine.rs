//! The heart of a stream, which knows no broker: records of partitions in, decisions and dead
//! letters out, in total order.
//!
//! Whatever comes has an effective time, a refused record that of its partition's watermark when
//! it came. The *frontier* is the largest whole tick that no watermark is before: nothing that counts as
//! of earlier can come any more, so everything before it is decided, and nothing from it on.

mod kept;

use rdkafka::message::OwnedHeaders;

use super::control::{Counted, Held, Place, Resume};
use super::input::Fetched;
use super::output::Outgoing;
use crate::decision::Lines;
use crate::diagnostic::{Failure, Message};
use crate::event::{ACCOUNT_ID, EVENT_TIME, TIME_MIN};
use crate::run::Session;
use crate::sink::Scored;
use crate::snapshot::RunningDigest;
use crate::source::log::{Arrived, Decoder, Heartbeat, Watermark};
use crate::source::order::{Refused, Waiting};

/// Steps that may wait for their decisions while more is read.
const STEPS_MAX: usize = 4;

/// How much of a refused record a dead letter holds: brokers refuse records over 1 MiB unless told
/// otherwise, and one that cannot be written would hold up everything behind it.
const VALUE_BYTES_MAX: usize = 512 << 10;
/// The same for a key: one that is longer is left out.
const KEY_BYTES_MAX: usize = 64 << 10;
/// And for why a record was refused.
const DETAIL_BYTES_MAX: usize = 1 << 10;

/// The header of a decision that holds its place among all decisions of the stream, from 0.
pub(super) const NUMBER: &str = "number";

/// Records of partitions on their way to decisions.
pub(super) struct Engine {
    decoder: Decoder,
    session: Session,
    sources: Vec<Partition>,
    waiting: Waiting,
    /// Refused records that wait for their turn.
    letters: Vec<Letter>,
    tick: i64,
    /// Before it everything has been handed to the session.
    frontier: i64,
    /// What was committed before this incarnation began: it is decided anew, and not written again.
    replayed: Option<Resume>,
    counts: Counted,
    lines: RunningDigest,
    topics: Topics,
    /// What is to be written with the next commit.
    out: Vec<Outgoing>,
}

/// Where things go.
pub(super) struct Topics {
    pub(super) output: String,
    pub(super) dead_letter: String,
}

/// How far a partition is.
struct Partition {
    topic: String,
    partition: i32,
    watermark: Watermark,
    next_offset: u64,
}

/// A refused record.
struct Letter {
    time: i64,
    /// The number of its partition, and its offset.
    place: (usize, u64),
    code: &'static str,
    detail: String,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Option<OwnedHeaders>,
}

impl Engine {
    /// Begins at the beginning. What `held` says was decided before is decided again in silence.
    pub(super) fn new(
        (decoder, session): (Decoder, Session),
        starts: &[(String, i32, u64)],
        held: &Held,
        tick: i64,
        topics: Topics,
        waiting: Waiting,
    ) -> Engine {
        let lateness = session.settings().times.allowed_lateness;
        let source = |(at, (topic, partition, start)): (usize, &(String, i32, u64))| {
            let mut watermark = Watermark::new(lateness, held.of(at as u32));
            watermark.pass(*start);
            Partition {
                topic: topic.clone(),
                partition: *partition,
                watermark,
                next_offset: *start,
            }
        };
        Engine {
            decoder,
            session,
            sources: starts.iter().enumerate().map(source).collect(),
            waiting,
            letters: Vec::new(),
            tick,
            frontier: i64::MIN,
            replayed: held.resume.clone(),
            counts: Counted::default(),
            lines: RunningDigest::default(),
            topics,
            out: Vec::new(),
        }
    }

    /// Takes a partition's next records; `next_offset` follows them.
    pub(super) fn take(&mut self, at: usize, records: Vec<Fetched>, next_offset: u64) {
        let arrived: Vec<Arrived> = records.iter().map(|record| record.arrived.clone()).collect();
        let block = self.decoder.decode(at as u32, &arrived);
        let source = &mut self.sources[at];
        let mut rejects = block.rejects.into_iter().peekable();
        let mut letter = |watermark: &mut Watermark, reject: crate::source::Reject| {
            watermark.pass(reject.at);
            let own = records.binary_search_by_key(&reject.at, |record| record.arrived.offset);
            let record = own.ok().map(|own| &records[own]);
            self.letters.push(Letter {
                time: watermark.time(),
                place: (at, reject.at),
                code: reject.code.name(),
                detail: reject.detail,
                key: record.and_then(|record| record.key.clone()),
                value: record.map_or(reject.raw, |record| record.arrived.value.clone()),
                headers: record.and_then(|record| record.headers.clone()),
            });
        };
        for chunk in block.chunks {
            let mut effective = Vec::with_capacity(chunk.len());
            for row in 0..chunk.len() {
                let offset = chunk.position(row).at;
                while let Some(reject) = rejects.next_if(|reject| reject.at < offset) {
                    letter(&mut source.watermark, reject);
                }
                effective.push(source.watermark.accept(offset, chunk.int(EVENT_TIME, row)));
            }
            self.waiting.push(chunk, &effective);
        }
        for reject in rejects {
            letter(&mut source.watermark, reject);
        }
        source.watermark.pass(next_offset);
        source.next_offset = next_offset;
    }

    /// Moves an idle partition on. The heartbeat is committed.
    pub(super) fn beat(&mut self, heartbeat: Heartbeat) {
        let source = &mut self.sources[heartbeat.partition as usize];
        source.watermark.push(heartbeat);
        source.watermark.pass(source.next_offset);
    }

    /// Hands everything that is ready to the session, and takes the decisions that are there.
    pub(super) fn advance(&mut self) -> Result<(), Failure> {
        let low = self.sources.iter().map(|source| source.watermark.time()).min();
        // Before all partitions have a watermark nothing is ready.
        let low = low.filter(|low| *low > i64::MIN);
        let until = low.map_or(i64::MIN, |low| low.div_euclid(self.tick) * self.tick);
        if let Some(committed) = self.replayed.as_ref().map(|resume| resume.frontier)
            && low.is_some_and(|low| low >= committed)
        {
            // A step is wholly of the replay or wholly new.
            self.step(committed)?;
            self.decide_all()?;
            self.check_replay()?;
        }
        self.step(until)?;
        while self.session.under_way() > STEPS_MAX {
            self.decide(true)?;
        }
        while self.decide(false)? {}
        Ok(())
    }

    /// Takes the decisions on all that the session has.
    pub(super) fn decide_all(&mut self) -> Result<(), Failure> {
        while self.decide(true)? {}
        Ok(())
    }

    fn step(&mut self, until: i64) -> Result<(), Failure> {
        if until <= self.frontier {
            return Ok(());
        }
        let left = self.waiting.take(until);
        self.frontier = until;
        self.counts.duplicates += left.duplicates;
        self.counts.rejected += left.refused.len() as u64;
        let mut letters: Vec<Letter> =
            self.letters.extract_if(.., |letter| letter.time < until).collect();
        letters.sort_by_key(|letter| (letter.time, letter.place));
        self.counts.rejected += letters.len() as u64;
        if !self.is_replay(until - 1) {
            let refused = left.refused.into_iter().map(refusal);
            let all = letters.into_iter().chain(refused);
            let all: Vec<Outgoing> = all.map(|letter| self.outgoing(letter)).collect();
            self.out.extend(all);
        }
        if !left.chunk.is_empty() {
            self.session.feed(left.chunk, left.effective, until);
        }
        Ok(())
    }

    /// Takes the next part of the decisions; false where there is none, or none yet.
    fn decide(&mut self, wait: bool) -> Result<bool, Failure> {
        let Some(scored) = self.session.next_part(wait)? else { return Ok(false) };
        let events: u64 = scored.events.iter().sum();
        self.counts.applied += events - scored.batch.rows.len() as u64;
        self.write(&scored);
        Ok(true)
    }

    /// Writes the decisions of a part, unless they were written before.
    fn write(&mut self, Scored { batch, names, .. }: &Scored) {
        let lines = Lines::new(names);
        let mut line = String::new();
        for (at, row) in batch.rows.iter().enumerate() {
            line.clear();
            lines.write(batch, at, &mut line);
            self.lines.update(line.as_bytes());
            let number = self.counts.decided;
            self.counts.decided += 1;
            let row = *row as usize;
            if self.is_replay(batch.slice.effective[row]) {
                continue;
            }
            self.out.push(Outgoing {
                topic: self.topics.output.clone(),
                key: Some(batch.slice.chunk.str(ACCOUNT_ID, row).as_bytes().to_vec()),
                value: line.trim_end().as_bytes().to_vec(),
                headers: vec![(NUMBER.to_owned(), number.to_string().into_bytes())],
                came_with: None,
            });
        }
    }

    /// A dead letter: key, bytes and headers as they came, as far as brokers take them once more, and
    /// where and why.
    fn outgoing(&self, mut letter: Letter) -> Outgoing {
        let source = &self.sources[letter.place.0];
        let mut headers = Vec::new();
        // It may quote the record.
        letter.detail.truncate(letter.detail.floor_char_boundary(DETAIL_BYTES_MAX));
        let whole = letter.value.len();
        letter.value.truncate(VALUE_BYTES_MAX);
        for (key, value) in [
            ("code", letter.code.to_owned()),
            ("detail", letter.detail),
            ("topic", source.topic.clone()),
            ("partition", source.partition.to_string()),
            ("offset", letter.place.1.to_string()),
            ("bytes", whole.to_string()),
        ] {
            headers.push((format!("hongxian.{key}"), value.into_bytes()));
        }
        let key = letter.key.filter(|key| key.len() <= KEY_BYTES_MAX);
        Outgoing {
            topic: self.topics.dead_letter.clone(),
            key,
            value: letter.value,
            headers,
            came_with: letter.headers,
        }
    }

    /// Whether what counts as of a time was committed before.
    fn is_replay(&self, time: i64) -> bool {
        self.replayed.as_ref().is_some_and(|resume| time < resume.frontier)
    }

    /// Checks that what was decided again is what was committed, to the byte.
    fn check_replay(&mut self) -> Result<(), Failure> {
        let Some(committed) = self.replayed.take() else { return Ok(()) };
        let digest = self.digest().to_hex();
        if committed.counts == self.counts && committed.decisions_digest == digest.as_str() {
            return Ok(());
        }
        let (was, now) = (committed.counts, self.counts);
        Err(Failure::No(Message::new(
            format!(
                "replayed, the input does not give what was committed: {now:?} in place of {was:?}, \
                 digest {digest} in place of {}",
                committed.decisions_digest
            ),
            format!(
                "重放输入得不到已提交的结果：{now:?}，应为 {was:?}；摘要 {digest}，应为 {}",
                committed.decisions_digest
            ),
        )))
    }

    /// How far the stream is, to be numbered by whoever commits it; everything handed to the session
    /// must be decided.
    pub(super) fn resume(&self) -> Resume {
        let mut firsts = self.waiting.firsts(self.sources.len());
        for letter in &self.letters {
            let (at, offset) = letter.place;
            firsts[at] = Some(firsts[at].map_or(offset, |first| first.min(offset)));
        }
        let place = |(source, first): (&Partition, Option<u64>)| Place {
            resume_offset: first.unwrap_or(source.next_offset),
            next_offset: source.next_offset,
            event_time_max: Some(source.watermark.event_time_max()).filter(|time| *time > i64::MIN),
        };
        Resume {
            serial: 0,
            frontier: self.frontier,
            counts: self.counts,
            decisions_digest: self.digest().to_hex().to_string(),
            partitions: self.sources.iter().zip(firsts).map(place).collect(),
        }
    }

    /// What is to be written, which the caller commits.
    pub(super) fn outgoing_records(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.out)
    }

    /// How many records are to be written.
    pub(super) fn unwritten(&self) -> usize {
        self.out.len()
    }

    /// How many events wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.letters.len()
    }

    /// The watermark of a partition, in ms.
    pub(super) fn watermark(&self, at: usize) -> i64 {
        self.sources[at].watermark.time()
    }

    /// Whether everything committed before has been decided again.
    pub(super) fn is_live(&self) -> bool {
        self.replayed.is_none()
    }

    /// Heartbeats for partitions without records: they move to the largest event time of any.
    pub(super) fn heartbeats(&self, idle: impl Fn(usize) -> bool) -> Vec<Heartbeat> {
        let max = self.sources.iter().map(|source| source.watermark.event_time_max()).max();
        let max = max.unwrap_or(i64::MIN).max(TIME_MIN);
        self.heartbeats_to(max, idle)
    }

    /// Heartbeats after which nothing waits any more; none where nothing does.
    pub(super) fn closing(&self) -> Vec<Heartbeat> {
        let letters = self.letters.iter().map(|letter| letter.time.max(TIME_MIN));
        let Some(last) = self.waiting.last().into_iter().chain(letters).max() else {
            return Vec::new();
        };
        let end = (last.div_euclid(self.tick) + 1) * self.tick;
        let lateness = self.session.settings().times.allowed_lateness;
        self.heartbeats_to(end + lateness, |_| true)
    }

    fn heartbeats_to(&self, max: i64, idle: impl Fn(usize) -> bool) -> Vec<Heartbeat> {
        let sources = self.sources.iter().enumerate();
        let behind =
            sources.filter(|(at, source)| source.watermark.event_time_max() < max && idle(*at));
        behind
            .map(|(at, source)| Heartbeat {
                partition: at as u32,
                next_offset: source.next_offset,
                event_time_max: max,
            })
            .collect()
    }

    /// The digest of all decisions so far.
    pub(super) fn digest(&self) -> blake3::Hash {
        self.lines.finalize()
    }

    /// What became of records so far.
    pub(super) fn counts(&self) -> Counted {
        self.counts
    }
}

/// An event that was refused in the order: its bytes are not kept, what it says is.
fn refusal(refused: Refused) -> Letter {
    let detail = crate::run::refusal_detail(refused.code);
    Letter {
        time: i64::MIN,
        place: (refused.position.source as usize, refused.position.at),
        code: refused.code.name(),
        detail: detail.to_owned(),
        key: None,
        value: refused.raw.into_bytes(),
        headers: None,
    }
}
