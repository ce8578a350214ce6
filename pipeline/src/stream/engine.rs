//! The heart of a stream, which knows no broker: records of partitions in, decisions and dead
//! letters out, in total order.
//!
//! An event has an effective time. The *frontier* is the largest whole tick that no watermark is
//! before: nothing that counts as of earlier can come any more, so everything before it is decided,
//! and nothing from it on. A record that is no event has no time: it is refused when it is read, and
//! what was committed says up to which offset that was.

mod kept;
mod originals;

use std::sync::Arc;

use rdkafka::message::OwnedHeaders;

use self::originals::Originals;
use super::control::{Counted, Held, Last, Place, Resume};
use super::days::{At, Days};
use super::http::Watch;
use super::input::{Beside, Fetched};
use super::output::Outgoing;
use crate::changes::Candidate;
use crate::decision::Lines;
use crate::diagnostic::{Failure, Message};
use crate::event::{ACCOUNT_ID, Chunk, EVENT_TIME, TIME_MIN};
use crate::run::{InForce, Session};
use crate::sink::Scored;
use crate::snapshot::{RunningDigest, State};
use crate::source::Reject;
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
    originals: Originals,
    /// Records that are no events, so far.
    no_events: u64,
    tick: i64,
    /// Before it everything has been handed to the session.
    frontier: i64,
    /// What was committed before this incarnation began: it is decided anew, and not written again.
    replayed: Option<Resume>,
    /// Whether it goes no further than what was committed, until it is told to.
    pub(super) stops_at_committed: bool,
    counts: Counted,
    lines: RunningDigest,
    topics: Topics,
    /// What is to be written with the next commit.
    out: Vec<Outgoing>,
    /// About how much memory that takes up.
    out_bytes: usize,
    /// Who hears of what becomes of records.
    pub(super) watch: Option<Watch>,
    /// Where decisions are kept by day.
    pub(super) days: Option<Days>,
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
    last: Option<Last>,
}

/// A refused record.
struct Letter {
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
            let place = held.resume.as_ref().and_then(|resume| resume.partitions.get(at));
            Partition {
                topic: topic.clone(),
                partition: *partition,
                watermark,
                next_offset: *start,
                last: place.and_then(|place| place.last),
            }
        };
        Engine {
            decoder,
            session,
            sources: starts.iter().enumerate().map(source).collect(),
            waiting,
            originals: Originals::new(starts.len()),
            no_events: 0,
            tick,
            frontier: i64::MIN,
            replayed: held.resume.clone(),
            stops_at_committed: false,
            counts: Counted::default(),
            lines: RunningDigest::default(),
            topics,
            out: Vec::new(),
            out_bytes: 0,
            watch: None,
            days: None,
        }
    }

    /// Writes what is left of the days, all of it committed, and waits until it is on disk.
    pub(super) fn end_days(&mut self) -> Result<(), Failure> {
        if self.is_live() {
            self.write_days(true)?;
        }
        self.days.as_mut().map_or(Ok(()), Days::close)
    }

    /// Ends the session, which another one follows; the processes of a cluster meet again.
    pub(super) fn part(&mut self) -> Result<(), Failure> {
        self.decide_all()?;
        self.session.part()
    }

    /// Whether another process of the cluster was asked to end.
    pub(super) fn is_end_asked(&self) -> bool {
        self.session.is_end_asked()
    }

    /// Ends the session, and waits until the processes of a cluster have heard of it.
    pub(super) fn finish(self) -> Result<(), Failure> {
        self.session.finish().map(drop)
    }

    /// Takes a partition's next records; `next_offset` follows them. How many of them are events.
    pub(super) fn take(&mut self, at: usize, records: Vec<Fetched>, next_offset: u64) -> usize {
        let (arrived, beside): (Vec<Arrived>, Vec<Beside>) =
            records.into_iter().map(|Fetched { arrived, beside }| (arrived, beside)).unzip();
        let block = self.decoder.decode(at as u32, &arrived);
        if let Some(watch) = &mut self.watch {
            watch.read(at, &arrived);
        }
        let source = &mut self.sources[at];
        let mut events = 0;
        for chunk in block.chunks {
            events += chunk.len();
            let accept = |row: usize| {
                source.watermark.accept(chunk.position(row).at, chunk.int(EVENT_TIME, row))
            };
            let effective: Vec<i64> = (0..chunk.len()).map(accept).collect();
            self.waiting.push(chunk, &effective);
        }
        source.watermark.pass(next_offset);
        source.next_offset = next_offset;
        source.last = arrived.last().map(Last::of).or(source.last);
        self.originals.keep(at, arrived.into_iter().zip(beside));
        let refused: Vec<u64> = block.rejects.iter().map(|reject| reject.at).collect();
        for reject in block.rejects {
            self.refuse(at, reject);
        }
        self.originals.forget(at, &refused);
        events
    }

    /// Refuses a record that is no event, unless what was committed holds its dead letter.
    fn refuse(&mut self, at: usize, reject: Reject) {
        self.no_events += 1;
        self.counts.rejected += 1;
        let committed = self.replayed.as_ref().and_then(|resume| resume.partitions.get(at));
        if committed.is_some_and(|place| reject.at < place.next_offset) {
            return;
        }
        self.put_letter((at, reject.at), (reject.code.name(), reject.detail), reject.raw);
    }

    /// Puts the dead letter of a record with what is to be written; where the record is not at hand,
    /// with what was read of it.
    fn put_letter(
        &mut self,
        place: (usize, u64),
        (code, detail): (&'static str, String),
        raw: Vec<u8>,
    ) {
        let (value, Beside { key, headers }) = match self.originals.of(place) {
            Some(Fetched { arrived, beside }) => (arrived.value.clone(), beside.clone()),
            None => (raw, Beside::default()),
        };
        let letter = self.outgoing(Letter { place, code, detail, key, value, headers });
        self.put(letter);
    }

    /// Puts a record with what is to be written.
    fn put(&mut self, record: Outgoing) {
        self.out_bytes += record.bytes();
        self.out.push(record);
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
        match self.replayed.as_ref().map(|resume| resume.frontier) {
            None => self.step(until)?,
            // A step is wholly of the replay or wholly new.
            Some(committed) => {
                let reached = low.unwrap_or(i64::MIN) >= committed;
                self.step(if reached { committed } else { until })?;
                if reached && self.has_replayed() {
                    self.decide_all()?;
                    self.check_replay()?;
                    if self.stops_at_committed {
                        return Ok(());
                    }
                    self.step(until)?;
                }
            }
        }
        while self.session.under_way() > STEPS_MAX {
            self.decide(true)?;
        }
        while self.decide(false)? {}
        if !self.is_live() && self.days.as_ref().is_some_and(Days::is_full) {
            // What is replayed is committed.
            self.decide_all()?;
            self.write_days(true)?;
        }
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
        if let Some(watch) = &self.watch {
            for Refused { position, code, .. } in &left.refused {
                watch.desk.refused((position.source, position.at), *code);
            }
        }
        if !self.is_replay(until - 1) {
            for Refused { position, code, raw } in left.refused {
                let place = (position.source as usize, position.at);
                let detail = crate::run::refusal_detail(code).to_owned();
                self.put_letter(place, (code.name(), detail), raw.into_bytes());
            }
        }
        if self.originals.are_many() {
            self.originals.drop_before(&self.waiting.firsts(self.sources.len()));
        }
        if self.days.is_some() {
            return self.feed_by_day(left.chunk, left.effective, until);
        }
        if !left.chunk.is_empty() {
            self.session.feed(left.chunk, left.effective, until);
        }
        Ok(())
    }

    /// Hands events to the session so that nothing that is decided together is of two days.
    fn feed_by_day(
        &mut self,
        chunk: Chunk,
        effective: Vec<i64>,
        until: i64,
    ) -> Result<(), Failure> {
        let (schema, chunk) = (chunk.schema().clone(), Arc::new(chunk));
        let mut begun = 0;
        while let Some(&time) = effective.get(begun) {
            if self.days.as_ref().is_some_and(|days| days.ends_before(time)) {
                self.decide_all()?;
                let at = self.at();
                self.days.as_mut().map_or(Ok(()), |days| days.begin(time, at))?;
            }
            let end = self.days.as_ref().map_or(i64::MAX, Days::end);
            let ended = begun + effective[begun..].partition_point(|time| *time < end);
            let rows: Vec<(u32, u32)> = (begun..ended).map(|row| (0, row as u32)).collect();
            let own = Chunk::gather(&schema, std::slice::from_ref(&chunk), &rows);
            self.session.feed(own, effective[begun..ended].to_vec(), until.min(end));
            begun = ended;
        }
        Ok(())
    }

    /// How far the stream is; everything handed to the session must be decided.
    fn at(&self) -> At {
        At {
            frontier: self.frontier,
            counts: self.counts,
            digest: self.digest().to_hex().to_string(),
            findings: self.session.findings(self.frontier),
        }
    }

    /// Hands over what was decided to be written to its day, if it is time to or it is to be; all of
    /// it is committed.
    pub(super) fn write_days(&mut self, now: bool) -> Result<(), Failure> {
        if self.days.as_ref().is_some_and(|days| now || days.is_due()) {
            let at = self.at();
            self.days.as_mut().map_or(Ok(()), |days| days.write(at))?;
        }
        Ok(())
    }

    /// Takes the next part of the decisions; false where there is none, or none yet.
    fn decide(&mut self, wait: bool) -> Result<bool, Failure> {
        let Some(scored) = self.session.next_part(wait)? else { return Ok(false) };
        let events: u64 = scored.events.iter().sum();
        self.counts.applied += events - scored.batch.rows.len() as u64;
        if let Some(watch) = self.watch.as_ref().filter(|_| self.replayed.is_none()) {
            watch.scored(&scored);
        }
        self.write(&scored);
        if let Some(days) = &mut self.days {
            days.take(scored);
        }
        Ok(true)
    }

    /// Writes the decisions of a part, unless they were written before.
    fn write(&mut self, scored: &Scored) {
        let Scored { batch, names, .. } = scored;
        let lines = Lines::new(names);
        let mut line = String::new();
        for (at, row) in batch.rows.iter().enumerate() {
            line.clear();
            lines.write(batch, at, &mut line);
            self.lines.update(line.as_bytes());
            let number = self.counts.decided;
            self.counts.decided += 1;
            let row = *row as usize;
            let replayed = self.is_replay(batch.slice.effective[row]);
            if let Some(watch) = &mut self.watch {
                watch.decided(scored, at, (&line, replayed));
            }
            if replayed {
                continue;
            }
            let key = batch.slice.chunk.str(ACCOUNT_ID, row).as_bytes().to_vec();
            self.put(Outgoing {
                topic: self.topics.output.clone(),
                key: Some(key),
                value: line.trim_end().as_bytes().to_vec(),
                headers: vec![(NUMBER.to_owned(), number.to_string().into_bytes())],
                came_with: None,
            });
        }
    }

    /// A dead letter: key, bytes and headers as they came, as far as brokers take them once more, and
    /// where and why; where ids are replaced, that alone.
    fn outgoing(&self, mut letter: Letter) -> Outgoing {
        let source = &self.sources[letter.place.0];
        let mut headers = Vec::new();
        // It may quote the record.
        letter.detail.truncate(letter.detail.floor_char_boundary(DETAIL_BYTES_MAX));
        let whole = letter.value.len();
        if self.decoder.replaces_ids() {
            (letter.key, letter.value, letter.headers) = (None, Vec::new(), None);
        }
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

    /// Whether all that had been read when it was committed has been read again.
    fn has_replayed(&self) -> bool {
        let places = self.replayed.iter().flat_map(|resume| &resume.partitions);
        self.sources.iter().zip(places).all(|(now, was)| now.next_offset >= was.next_offset)
    }

    /// Up to where a partition may be read: while the past is replayed, to where it had been read.
    pub(super) fn bound(&self, at: usize) -> Option<u64> {
        Some(self.replayed.as_ref()?.partitions.get(at)?.next_offset)
    }

    /// Checks that what was decided again is what was committed, to the byte.
    fn check_replay(&mut self) -> Result<(), Failure> {
        let Some(committed) = self.replayed.take() else { return Ok(()) };
        let digest = self.digest().to_hex();
        let same = committed.counts == self.counts && committed.no_events == self.no_events;
        if same && committed.decisions_digest == digest.as_str() {
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
        let firsts = self.waiting.firsts(self.sources.len());
        let place = |(source, first): (&Partition, Option<u64>)| Place {
            resume_offset: first.unwrap_or(source.next_offset),
            next_offset: source.next_offset,
            last: source.last,
            event_time_max: Some(source.watermark.event_time_max()).filter(|time| *time > i64::MIN),
        };
        Resume {
            serial: 0,
            frontier: self.frontier,
            counts: self.counts,
            no_events: self.no_events,
            decisions_digest: self.digest().to_hex().to_string(),
            partitions: self.sources.iter().zip(firsts).map(place).collect(),
        }
    }

    /// Whether nothing was read or decided since that was committed.
    pub(super) fn is_at(&self, resume: &Resume) -> bool {
        let mut places = self.sources.iter().zip(&resume.partitions);
        let same = |(now, was): (&Partition, &Place)| now.next_offset == was.next_offset;
        self.frontier == resume.frontier && self.counts == resume.counts && places.all(same)
    }

    /// What is to be written, which the caller commits.
    pub(super) fn outgoing_records(&mut self) -> Vec<Outgoing> {
        self.out_bytes = 0;
        std::mem::take(&mut self.out)
    }

    /// How many records are to be written, and about how much memory they take up.
    pub(super) fn unwritten(&self) -> (usize, usize) {
        (self.out.len(), self.out_bytes)
    }

    /// How many events wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// About how many bytes of memory the events that wait take up.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.bytes() + self.originals.bytes()
    }

    /// The watermark of a partition, in ms.
    pub(super) fn watermark(&self, at: usize) -> i64 {
        self.sources[at].watermark.time()
    }

    /// Has it decide in silence what was committed after that which it has decided, with the
    /// heartbeats of after that.
    pub(super) fn decide_again(&mut self, committed: Resume, heartbeats: &[Heartbeat]) {
        heartbeats.iter().for_each(|beat| self.beat(*beat));
        self.replayed = Some(committed);
    }

    /// The session.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The first tick from which on other rules can decide: everything that was handed to the
    /// session is before it, and every change. None where nothing was handed to the session.
    pub(super) fn change_time(&self) -> Option<i64> {
        self.session.fed()?;
        let after = self.session.timetable().last_start().map_or(i64::MIN, |last| last + 1);
        let earliest = self.frontier.max(after);
        Some((earliest + self.tick - 1).div_euclid(self.tick) * self.tick)
    }

    /// Has other rules decide from a time on, see [`Session::change`].
    pub(super) fn change(&mut self, candidate: &Candidate, effective_time: i64) -> InForce {
        let in_force = self.session.change(candidate, effective_time);
        if let Some(days) = &mut self.days {
            days.change(effective_time, self.session.feature_columns());
        }
        in_force
    }

    /// Takes another session in the place of one that has been given the same.
    pub(super) fn go_on_with(&mut self, session: Session) {
        assert_eq!(self.session.fed(), session.fed(), "what it was given would be lost");
        self.session = session;
        let days = self.days.take();
        self.set_days(days);
    }

    /// Takes days, which get what the session computes.
    pub(super) fn set_days(&mut self, days: Option<Days>) {
        let columns = self.session.feature_columns();
        self.days = days;
        self.days.iter_mut().for_each(|days| days.columns.clone_from(&columns));
    }

    /// All that the session keeps; everything handed to it must be decided.
    pub(super) fn save(&mut self) -> Result<State, Failure> {
        self.session.save()
    }

    /// Has other processes learn of rules before these come into force.
    pub(super) fn tell(&self, news: Vec<u8>) {
        self.session.tell(news);
    }

    /// Whether everything committed before has been decided again.
    pub(super) fn is_live(&self) -> bool {
        self.replayed.is_none()
    }

    /// Heartbeats for partitions without records: they move to the largest event time of any.
    pub(super) fn heartbeats(&self, idle: impl FnMut(usize) -> bool) -> Vec<Heartbeat> {
        let max = self.sources.iter().map(|source| source.watermark.event_time_max()).max();
        let max = max.unwrap_or(i64::MIN).max(TIME_MIN);
        self.heartbeats_to(max, idle)
    }

    /// Heartbeats after which nothing waits any more; none where nothing does.
    pub(super) fn closing(&self) -> Vec<Heartbeat> {
        let Some(last) = self.waiting.last() else { return Vec::new() };
        let end = (last.div_euclid(self.tick) + 1) * self.tick;
        let lateness = self.session.settings().times.allowed_lateness;
        self.heartbeats_to(end + lateness, |_| true)
    }

    /// The same in a stream that goes on, where every partition is idle: the last events would
    /// else wait until others come. Where somebody waits for a decision, it is enough that a
    /// partition is in the tick of the last event: what it is moved on by is less than a tick.
    pub(super) fn settling(&self, mut idle: impl FnMut(usize) -> bool) -> Vec<Heartbeat> {
        let Some(last) = self.waiting.last() else { return Vec::new() };
        let tick = last.div_euclid(self.tick) * self.tick;
        let waited_for = self.is_waited_for();
        let mut all = true;
        for (at, source) in self.sources.iter().enumerate() {
            // Each is asked, so that all of them are found out about together.
            all &= (waited_for && source.watermark.time() >= tick) || idle(at);
        }
        if all { self.closing() } else { Vec::new() }
    }

    /// Whether somebody waits for a decision.
    pub(super) fn is_waited_for(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.desk.is_waited_for())
    }

    fn heartbeats_to(&self, max: i64, mut idle: impl FnMut(usize) -> bool) -> Vec<Heartbeat> {
        let sources = self.sources.iter().enumerate();
        let behind = sources
            .filter(move |(at, source)| source.watermark.event_time_max() < max && idle(*at));
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
