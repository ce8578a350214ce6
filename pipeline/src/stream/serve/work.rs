//! The loop around the engine: what clients want and what the stream decided, batch after batch.
//!
//! What a batch comes to is told when it is on disk: clients get their answers then, and the stream
//! its events. Its events stand in the outbox before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::heard::{Decided, Heard, What};
use super::looks::Look;
use super::metrics::{Came, Metrics};
use super::notices::Notices;
use super::outbox::{Entry, Event, Outbox};
use super::publish::{Published, Publisher};
use crate::decision::Verdict;
use crate::diagnostic::{Failure, Message};
use crate::event::Pseudonyms;
use crate::packet::command::{Command, Decision, Request, Resolution};
use crate::packet::durable::BATCH_MAX;
use crate::packet::engine::{Engine, ID_BYTES_MAX, REASON_BYTES_MAX, Rejected};
use crate::packet::events::{self, Happened, own_id};
use crate::packet::json::{self, Line, Outcome};
use crate::packet::reply::{Done, Effect, Refusal, Reply, Settlement};
use crate::packet::server::{Server, ServerError};
use crate::packet::units::{Span, Time};
use crate::stopwatch::Since;

use super::super::http::holds::{Act, Action};

/// So often what has fallen due is done while nobody asks for anything.
const REST: Duration = Duration::from_millis(20);
/// So often it is written down how far decisions were read that were none of the engine's.
const NOTE: Duration = Duration::from_secs(5);

/// Something for the loop.
pub(super) enum Job {
    Ask(Ask),
    Look(Look, oneshot::Sender<Option<Value>>),
    Heard(Vec<Heard>),
    /// All that was there at the start has been heard.
    CaughtUp,
    /// Nothing more can be heard.
    Failed(Failure),
}

/// Commands of a client, and who waits for their outcomes.
pub(super) struct Ask {
    pub(super) commands: Vec<Offered>,
    pub(super) answer: oneshot::Sender<Vec<Value>>,
}

/// A command as a client sent it, looked at.
#[derive(Debug, Default)]
pub(super) struct Offered {
    pub(super) id: Option<String>,
    /// The command as a line.
    pub(super) line: String,
    /// Further fields of its event.
    pub(super) context: Map<String, Value>,
    /// Why it cannot be executed.
    pub(super) wrong: Option<String>,
}

/// Where a test has the program die, as kill -9 does: in its n-th batch.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// At which place.
    pub place: CrashPlace,
    /// In which batch since the start, from 1.
    pub batch: u64,
}

/// A place between what a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPlace {
    /// Its events are in the outbox, and it is not in the journal.
    BeforeJournal,
    /// It is in the journal, and its events are not published.
    BeforePublish,
    /// Its events are at the brokers, and nobody has heard.
    AfterPublish,
}

fn crash(here: CrashPlace, wanted: Option<CrashPlace>) {
    if wanted == Some(here) {
        std::process::abort();
    }
}

/// What is told of a batch once it is on disk.
pub struct Told {
    batches: u64,
    events: Vec<Event>,
    answers: Vec<Answer>,
    crash: Option<CrashPlace>,
}

enum Answer {
    Commands(oneshot::Sender<Vec<Value>>, Vec<Value>),
    Look(oneshot::Sender<Option<Value>>, Option<Value>),
}

impl Told {
    /// Sends events on their way, and answers.
    pub(super) fn tell(self, publisher: &Publisher) -> io::Result<()> {
        crash(CrashPlace::BeforePublish, self.crash);
        publisher.send(self.batches, &self.events).map_err(io::Error::other)?;
        if self.crash.is_some() {
            publisher.flush();
        }
        crash(CrashPlace::AfterPublish, self.crash);
        for answer in self.answers {
            // Whoever asked may have gone away.
            match answer {
                Answer::Commands(sender, outcomes) => drop(sender.send(outcomes)),
                Answer::Look(sender, seen) => drop(sender.send(seen)),
            }
        }
        Ok(())
    }
}

/// The engine, and what stands between it and the stream.
pub(super) struct Work {
    pub(super) server: Server<Told>,
    pub(super) outbox: Outbox,
    pub(super) published: Arc<Published>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: fn() -> Time,
    /// Whether all that was decided before the start has been heard. Until then time stands still, so
    /// that nothing falls back on which the stream has decided in time, and clients wait.
    pub(super) live: Arc<AtomicBool>,
    pub(super) stopped: fn(ServerError) -> Failure,
    pub(super) hold: Span,
    /// Whether there is a topic of holds.
    pub(super) has_holds: bool,
    pub(super) heard: HeardSoFar,
    /// Batches of the journal at the start.
    pub(super) begun: u64,
    pub(super) crash: Option<Crash>,
}

/// How far the stream was heard.
#[derive(Default)]
pub(super) struct HeardSoFar {
    /// By source: its name, and the next offset.
    sources: Vec<(String, u64)>,
    /// What people did with transactions whose decisions have not come yet.
    waiting: BTreeMap<String, (usize, u64, Act)>,
    /// By which the stream replaces ids, if it does.
    pseudonyms: Option<Arc<Pseudonyms>>,
}

impl HeardSoFar {
    pub(super) fn new(
        sources: Vec<(String, u64)>,
        pseudonyms: Option<Arc<Pseudonyms>>,
    ) -> HeardSoFar {
        HeardSoFar { sources, waiting: BTreeMap::new(), pseudonyms }
    }

    /// From where on to read, should this be the end: what waits is read again.
    fn read(&self) -> BTreeMap<String, u64> {
        let mut read: Vec<u64> = self.sources.iter().map(|(_, next)| *next).collect();
        for (source, offset, _) in self.waiting.values() {
            read[*source] = read[*source].min(*offset);
        }
        self.sources.iter().map(|(name, _)| name.clone()).zip(read).collect()
    }

    /// What follows for the engine from a record, in its order.
    fn orders(
        &mut self,
        heard: Heard,
        engine: &Engine,
        hold: Span,
        orders: &mut Vec<Order>,
    ) -> Came {
        let Heard { source, offset, what } = heard;
        self.sources[source].1 = self.sources[source].1.max(offset + 1);
        match what {
            What::Malformed => Came::Malformed,
            What::Own => Came::Own,
            What::Decided(decided) => {
                let Some(ours) = engine.transaction(&decided.event_id) else {
                    return Came::Foreign;
                };
                let account = match &self.pseudonyms {
                    Some(pseudonyms) => Cow::Owned(pseudonyms.of(ours.account)),
                    None => Cow::Borrowed(ours.account),
                };
                if (&*account, ours.amount.0) != (&*decided.account_id, decided.amount_fen) {
                    // Somebody else has sent an event under its id, and was first.
                    let transaction = &*decided.event_id;
                    tracing::warn!(transaction, "what was decided on is not this transaction");
                    return Came::Another;
                }
                let waiting = self.waiting.remove(&decided.event_id);
                orders.push(Order::decide(decided, hold));
                orders.extend(waiting.map(|(_, _, act)| Order::resolve(&act)));
                Came::Ours
            }
            What::Act(act) => {
                let is_decided = |order: &Order| order.decides(&act.event_id);
                match engine.transaction(&act.event_id).map(|ours| ours.settlement) {
                    None => return Came::Foreign,
                    Some(Settlement::Undecided) if !orders.iter().any(is_decided) => {
                        // The first counts.
                        let id = act.event_id.clone();
                        self.waiting.entry(id).or_insert((source, offset, act));
                    }
                    Some(_) => orders.push(Order::resolve(&act)),
                }
                Came::Ours
            }
        }
    }
}

/// What the engine has to do for the stream. Its id follows from the transaction: done once, it is
/// not done again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    id: String,
    transaction: String,
    what: Ordered,
}

#[derive(Debug, PartialEq, Eq)]
enum Ordered {
    Decide { decision: Decision, rules_hash: [u8; 32], evidence: [u8; 32] },
    Resolve { release: bool, actor: String, reason: String },
}

impl Order {
    fn decide(decided: Decided, hold: Span) -> Order {
        let decision = match decided.verdict {
            Verdict::Allow => Decision::Allow,
            Verdict::Review => Decision::Review,
            Verdict::Hold => Decision::Hold { ttl: hold },
            Verdict::Block => Decision::Block,
        };
        let Decided { event_id, rules_hash, evidence, .. } = decided;
        Order {
            id: own_id("decide", &event_id),
            transaction: event_id,
            what: Ordered::Decide { decision, rules_hash, evidence },
        }
    }

    fn resolve(act: &Act) -> Order {
        let cut = |text: &str, most| text[..text.floor_char_boundary(most)].to_owned();
        Order {
            id: own_id("resolve", &act.event_id),
            transaction: act.event_id.clone(),
            what: Ordered::Resolve {
                release: act.action == Action::Release,
                actor: cut(&act.actor, ID_BYTES_MAX),
                reason: cut(&act.reason, REASON_BYTES_MAX),
            },
        }
    }

    fn decides(&self, transaction: &str) -> bool {
        self.transaction == transaction && matches!(self.what, Ordered::Decide { .. })
    }

    fn request(&self) -> Request<'_> {
        let transaction = &*self.transaction;
        let command = match &self.what {
            Ordered::Decide { decision, rules_hash, evidence } => Command::Decide {
                transaction,
                decision: *decision,
                rules_hash: *rules_hash,
                evidence_hash: *evidence,
            },
            Ordered::Resolve { release, actor, reason } => Command::Resolve {
                transaction,
                resolution: if *release { Resolution::Release } else { Resolution::Return },
                actor,
                reason,
            },
        };
        Request { id: &self.id, command }
    }

    /// Says what came of it. That the first decision was another is no mistake of anybody: the
    /// engine falls back on its own where none comes in time, and that binds.
    fn came_to(&self, reply: &Result<Reply, Rejected>, is_new: bool, metrics: &Metrics) {
        let transaction = &*self.transaction;
        match reply {
            Ok(_) if !is_new => metrics.came(Came::Repeat),
            Ok(Reply { result: Ok(Done::Decided(settlement)), .. }) => metrics.settled(*settlement),
            Ok(Reply { result: Ok(_), .. }) => {}
            Ok(Reply { result: Err(refusal), .. }) => {
                metrics.came(match refusal {
                    Refusal::DecidedOtherwise => Came::Late,
                    _ => Came::Refused,
                });
                tracing::warn!(transaction, %refusal, "the engine does not do as the stream says");
            }
            Err(rejected) => {
                metrics.came(Came::Refused);
                tracing::warn!(transaction, %rejected, "the engine does not do as the stream says");
            }
        }
    }
}

/// A command of a batch, and whose it is.
pub(super) enum Item<'i> {
    Client { ask: usize, place: usize, request: Request<'i>, context: &'i Map<String, Value> },
    Stream(&'i Order),
}

impl Item<'_> {
    pub(super) fn request(&self) -> Request<'_> {
        match self {
            Item::Client { request, .. } => *request,
            Item::Stream(order) => order.request(),
        }
    }
}

/// What came of a command.
pub(super) struct Executed {
    pub(super) reply: Result<Reply, Rejected>,
    /// Whether it was executed now and not before.
    pub(super) is_new: bool,
    /// How many effects of the batch there were after it.
    effects: usize,
}

impl Work {
    /// Works until `ending` says so or something fails; all that was told is on disk then.
    pub(super) fn run(
        mut self,
        jobs: Receiver<Job>,
        ending: &AtomicBool,
    ) -> Result<(Outbox, HeardSoFar), Failure> {
        let worked = self.until_the_end(&jobs, ending);
        // Whoever still sends hears that nobody listens.
        drop(jobs);
        self.published.end();
        let finished = self.server.finish().map_err(self.stopped);
        worked.and(finished)?;
        Ok((self.outbox, self.heard))
    }

    fn until_the_end(&mut self, jobs: &Receiver<Job>, ending: &AtomicBool) -> Result<(), Failure> {
        let mut noted = Since::now();
        loop {
            // What waits when the end is asked for is still done.
            let is_last = ending.load(Ordering::Relaxed);
            let first = match jobs.recv_timeout(if is_last { Duration::ZERO } else { REST }) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) if !is_last => None,
                Err(_) => return Ok(()),
            };
            let mut batch = Gathered::default();
            for job in first.into_iter().chain(jobs.try_iter()) {
                batch.add(job)?;
                if batch.commands >= BATCH_MAX || batch.caught_up {
                    break;
                }
            }
            let caught_up = batch.caught_up;
            self.batch(batch)?;
            if caught_up {
                self.live.store(true, Ordering::Relaxed);
            }
            if let Some(why) = self.published.failed() {
                return Err(unpublished(&why));
            }
            if noted.elapsed() > NOTE {
                noted = Since::now();
                self.note()?;
            }
        }
    }

    /// Executes a batch.
    fn batch(&mut self, gathered: Gathered) -> Result<(), Failure> {
        let Gathered { asks, looks, heard, .. } = gathered;
        let mut orders = Vec::new();
        for one in heard {
            let came = self.heard.orders(one, self.server.engine(), self.hold, &mut orders);
            self.metrics.came(came);
        }
        let lines: Vec<Vec<Result<Line<'_>, String>>> =
            asks.iter().map(|ask| ask.commands.iter().map(parse).collect()).collect();
        let mut outcomes: Vec<Vec<Value>> = Vec::new();
        let mut items: Vec<Item<'_>> = Vec::new();
        for (at, (ask, lines)) in asks.iter().zip(&lines).enumerate() {
            let mut own = vec![Value::Null; lines.len()];
            for (place, (offered, line)) in ask.commands.iter().zip(lines).enumerate() {
                match line.as_ref().map_err(Clone::clone).and_then(json::command) {
                    Ok(request) => {
                        let context = &offered.context;
                        items.push(Item::Client { ask: at, place, request, context });
                    }
                    Err(wrong) => {
                        let mistake = Outcome::mistake(offered.id.as_deref(), wrong);
                        own[place] = serde_json::json!(mistake);
                        self.metrics.command("mistake");
                    }
                }
            }
            outcomes.push(own);
        }
        items.extend(orders.iter().map(Item::Stream));
        let is_live = self.live.load(Ordering::Relaxed);
        let now = if is_live { (self.clock)() } else { self.server.engine().clock() };
        let executed = execute(&mut self.server, &items, now);
        let (effects, engine) = self.server.end();
        if asks.is_empty() && looks.is_empty() && executed.is_empty() && effects.is_empty() {
            return Ok(());
        }
        let events = made(&items, &executed, effects, engine);
        let notices = match self.has_holds {
            true => {
                let (open, names) = (self.outbox.open_ids(), self.heard.pseudonyms.as_ref());
                Notices::of((&items, &executed), effects, engine, open, names)
            }
            false => Notices::default(),
        };
        let mut told = 0;
        for (item, Executed { reply, is_new, effects: upto }) in items.iter().zip(executed) {
            let own = &effects[std::mem::replace(&mut told, upto)..upto];
            match item {
                Item::Client { ask, place, request, .. } => {
                    let outcome = json::outcome(request.id, reply, own, engine);
                    outcomes[*ask][*place] = serde_json::json!(outcome);
                    self.metrics.command(match reply {
                        Ok(Reply { result: Ok(_), .. }) => "done",
                        Ok(Reply { result: Err(_), .. }) => "refused",
                        Err(_) => "mistake",
                    });
                }
                Item::Stream(order) => order.came_to(&reply, is_new, &self.metrics),
            }
        }
        self.metrics.effects(effects);
        let seen = looks.into_iter().map(|(look, sender)| Answer::Look(sender, look.at(engine)));
        let mut answers: Vec<Answer> = seen.collect();
        let senders = asks.into_iter().map(|ask| ask.answer);
        answers.extend(senders.zip(outcomes).map(|(to, outcomes)| Answer::Commands(to, outcomes)));
        self.tell(events, notices, answers)
    }

    /// Has the batch written down, and told when it is.
    fn tell(
        &mut self,
        mut events: Vec<Event>,
        notices: Notices,
        answers: Vec<Answer>,
    ) -> Result<(), Failure> {
        let Notices { events: own, opened, closed } = notices;
        events.extend(own);
        let batches = self.server.batches();
        let published = self.published.batches();
        let dies = self.crash.filter(|crash| batches == self.begun + crash.batch);
        let dies = dies.map(|crash| crash.place);
        if batches > self.outbox.last().batches {
            let read = self.heard.read();
            let events = events.clone();
            self.outbox.append(&Entry { batches, published, read, events, opened, closed })?;
            crash(CrashPlace::BeforeJournal, dies);
        }
        self.server.tell(Told { batches, events, answers, crash: dies }).map_err(self.stopped)?;
        let (acknowledged, under_way) = self.published.counts();
        self.metrics.events(acknowledged, under_way);
        Ok(())
    }

    /// Writes down how far everything is, where that is news.
    fn note(&mut self) -> Result<(), Failure> {
        note(&mut self.outbox, &self.heard, self.published.batches())
    }
}

/// Writes down how far everything is, where that is news.
pub(super) fn note(outbox: &mut Outbox, heard: &HeardSoFar, published: u64) -> Result<(), Failure> {
    let last = outbox.last();
    let now = Entry { published, read: heard.read(), ..last.clone() };
    if now == *last {
        return Ok(());
    }
    outbox.append(&now)
}

/// What waits to be done.
#[derive(Default)]
struct Gathered {
    asks: Vec<Ask>,
    looks: Vec<(Look, oneshot::Sender<Option<Value>>)>,
    heard: Vec<Heard>,
    commands: usize,
    caught_up: bool,
}

impl Gathered {
    fn add(&mut self, job: Job) -> Result<(), Failure> {
        match job {
            Job::Ask(ask) => {
                self.commands += ask.commands.len();
                self.asks.push(ask);
            }
            Job::Look(look, sender) => self.looks.push((look, sender)),
            Job::Heard(heard) => {
                self.commands += heard.len();
                self.heard.extend(heard);
            }
            Job::CaughtUp => self.caught_up = true,
            Job::Failed(failure) => return Err(failure),
        }
        Ok(())
    }
}

fn parse(offered: &Offered) -> Result<Line<'_>, String> {
    match &offered.wrong {
        Some(wrong) => Err(wrong.clone()),
        None => serde_json::from_str(&offered.line).map_err(|error| error.to_string()),
    }
}

fn execute(server: &mut Server<Told>, items: &[Item<'_>], now: Time) -> Vec<Executed> {
    let requests: Vec<Request<'_>> = items.iter().map(Item::request).collect();
    let mut executed = Vec::with_capacity(requests.len());
    server.begin(now);
    // A command that was executed before has an earlier place.
    let mut next = server.engine().commands();
    server.execute(&requests, None, |_, reply, effects| {
        let is_new = reply.is_ok_and(|reply| reply.seq.0 == next);
        next += u64::from(is_new);
        executed.push(Executed { reply, is_new, effects });
    });
    executed
}

/// The events of a batch, in the order of their moments.
fn made(
    items: &[Item<'_>],
    executed: &[Executed],
    effects: &[Effect],
    engine: &Engine,
) -> Vec<Event> {
    let none = Map::new();
    let mut events: Vec<(i64, Event)> = Vec::new();
    let mut push = |time: Time, happened: Option<Happened<'_>>, context: &Map<String, Value>| {
        events.extend(happened.map(|happened| (time.0, event(&happened, context))));
    };
    for (item, executed) in items.iter().zip(executed) {
        let Item::Client { request, context, .. } = item else { continue };
        if let (Ok(reply), true) = (&executed.reply, executed.is_new) {
            push(reply.time, events::of_command(request, reply, engine), context);
        }
    }
    for effect in effects {
        push(effect.time, events::of_effect(effect, engine), &none);
    }
    events.sort_by_key(|(time, _)| *time);
    events.into_iter().map(|(_, event)| event).collect()
}

fn event(happened: &Happened<'_>, context: &Map<String, Value>) -> Event {
    let mut value = serde_json::json!(happened);
    for (field, told) in context {
        value[field] = told.clone();
    }
    Event { key: happened.account_id.to_owned(), value: value.to_string(), of_hold: false }
}

fn unpublished(why: &str) -> Failure {
    Failure::Environment(Message::new(
        format!("the brokers do not take the events of the packet engine: {why}"),
        format!("代理不接受红包引擎的事件：{why}"),
    ))
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
