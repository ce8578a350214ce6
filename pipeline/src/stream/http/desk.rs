//! Where those who ask and the stream meet: what is waited for, what was decided and may be asked
//! for again, and what is held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::super::control::Fallen;
use super::super::ends::lock;
use super::holds::{Hold, Holds, Record};
use super::metrics::Metrics;
use crate::event::RejectCode;

/// What tells two events of one id apart.
pub(in crate::stream) type Body = [u64; 2];

/// Memory that an answer takes up beside its bytes, about.
const ANSWER_OVERHEAD: usize = 160;

/// Shared by the stream and whoever answers requests.
pub(in crate::stream) struct Desk {
    pub(in crate::stream) metrics: Metrics,
    holds: Mutex<Holds>,
    answers: Mutex<Answers>,
    live: AtomicBool,
    ending: AtomicBool,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its decision, as the record has it.
    Decided(Arc<str>),
    /// What was answered when time was up, which binds.
    Fallback(Arc<str>),
    /// Another event has its id.
    Conflict,
    /// It is older than ids are remembered.
    TooOld,
    /// It was decided before, so long ago that the decision is not kept here.
    Forgotten,
}

/// What is known of an id when it is asked for.
pub(super) enum Asked {
    /// It is decided; or something else has its id.
    Known(Answer),
    /// Somebody has asked, and it is waited for.
    Pending(oneshot::Receiver<Answer>),
    /// It is new, and is to be appended by whoever asks now.
    New(oneshot::Receiver<Answer>),
}

enum Known {
    Waiting(Waiting),
    Answered(Answer),
}

/// An event that is waited for.
struct Waiting {
    waiters: Vec<oneshot::Sender<Answer>>,
    place: Option<(u32, u64)>,
    /// Whether time was up, and the fallback answer is being written down.
    binding: bool,
    /// What was decided while it was.
    decided: Option<Answer>,
}

/// What is known of ids.
struct Answers {
    by_id: BTreeMap<Box<str>, (Body, Known)>,
    /// Those that are answered, oldest first.
    order: VecDeque<Box<str>>,
    /// Those whose place in their partition is known.
    places: BTreeMap<(u32, u64), Box<str>>,
    /// For each partition, up to where everything is decided.
    passed: BTreeMap<u32, u64>,
    /// Decisions of former incarnations, by id, of which it is not known here on what body.
    earlier: BTreeMap<Box<str>, Arc<str>>,
    bytes: usize,
    bytes_max: usize,
}

impl Desk {
    pub(in crate::stream) fn new(answers_bytes: usize) -> Desk {
        Desk {
            metrics: Metrics::default(),
            holds: Mutex::default(),
            answers: Mutex::new(Answers {
                by_id: BTreeMap::new(),
                order: VecDeque::new(),
                places: BTreeMap::new(),
                passed: BTreeMap::new(),
                earlier: BTreeMap::new(),
                bytes: 0,
                bytes_max: answers_bytes,
            }),
            live: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    /// What is held.
    pub(in crate::stream) fn holds(&self) -> &Mutex<Holds> {
        &self.holds
    }

    /// Says that the past is replayed, and that new events are decided.
    pub(in crate::stream) fn set_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    /// Says that nothing new is decided any more: whoever waits is told.
    pub(in crate::stream) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        let mut answers = lock(&self.answers);
        // A sender that is dropped is an answer.
        answers.by_id.retain(|_, (_, known)| !matches!(known, Known::Waiting(_)));
        answers.places.clear();
    }

    /// Whether nothing new is decided any more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Whether events can be decided.
    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed) && !self.is_ending()
    }

    /// Asks for the decision on an event.
    pub(super) fn ask(&self, id: &str, body: Body) -> Asked {
        let (sender, receiver) = oneshot::channel();
        let mut answers = lock(&self.answers);
        match answers.by_id.get_mut(id) {
            Some((known, _)) if *known != body => Asked::Known(Answer::Conflict),
            Some((_, Known::Answered(answer))) => Asked::Known(answer.clone()),
            Some((_, Known::Waiting(waiting))) => {
                waiting.waiters.push(sender);
                Asked::Pending(receiver)
            }
            None => {
                let waiters = vec![sender];
                let waiting = Waiting { waiters, place: None, binding: false, decided: None };
                answers.by_id.insert(id.into(), (body, Known::Waiting(waiting)));
                Asked::New(receiver)
            }
        }
    }

    /// Says where an event stands that was asked for.
    pub(super) fn appended(&self, id: &str, at: (u32, u64)) {
        let mut answers = lock(&self.answers);
        if let Some((_, Known::Waiting(waiting))) = answers.by_id.get_mut(id) {
            waiting.place = Some(at);
            answers.places.insert(at, id.into());
        }
        // The stream may have been faster than the answer of the brokers.
        if answers.passed.get(&at.0).is_some_and(|passed| at.1 < *passed) {
            answers.settle(at, &Answer::Forgotten);
        }
    }

    /// Says that an event could not be appended, as far as is known: whoever asks next tries again.
    pub(super) fn not_appended(&self, id: &str) {
        let mut answers = lock(&self.answers);
        if let Some((_, Known::Waiting(waiting))) = answers.by_id.get(id)
            && waiting.place.is_none()
        {
            answers.by_id.remove(id);
        }
    }

    /// Whether whoever calls is to write down a fallback answer, for time is up: not where there is
    /// an answer, or somebody else does. From here on nothing else is answered until it is
    /// [`bound`](Self::bound).
    pub(super) fn bind(&self, id: &str) -> bool {
        match lock(&self.answers).by_id.get_mut(id) {
            Some((_, Known::Waiting(waiting))) => !std::mem::replace(&mut waiting.binding, true),
            _ => false,
        }
    }

    /// Says what came of it: the fallback answer is written down, or it is not and whatever was
    /// decided counts.
    pub(super) fn bound(&self, id: &str, body: Body, fallen: Option<&Fallen>) {
        let mut answers = lock(&self.answers);
        let Some((_, Known::Waiting(waiting))) = answers.by_id.get_mut(id) else { return };
        waiting.binding = false;
        let decided = waiting.decided.take();
        let fallback = fallen.map(|fallen| {
            let mut holds = lock(&self.holds);
            holds.fell_back(fallen);
            if let Some(Answer::Decided(line)) = &decided {
                holds.decided(id, body, line);
            }
            Answer::Fallback(fallen.answer.as_str().into())
        });
        if let Some(answer) = fallback.or(decided) {
            answers.answer(id, body, answer);
        }
    }

    /// A fallback answer of a former incarnation.
    pub(in crate::stream) fn remember_fallback(&self, fallen: &Fallen) {
        lock(&self.holds).fell_back(fallen);
        let answer = Answer::Fallback(fallen.answer.as_str().into());
        lock(&self.answers).answer(&fallen.event_id, fallen.body, answer);
    }

    /// A decision of a former incarnation: the answer to whoever repeats its event.
    pub(super) fn recall(&self, id: &str, line: &str) {
        lock(&self.answers).earlier.insert(id.into(), line.into());
        lock(&self.holds).decided_at_engine(id, line);
    }

    /// Hears a record of the topic of holds.
    pub(super) fn hear(&self, record: Record) {
        let answers = lock(&self.answers);
        let mut holds = lock(&self.holds);
        let id = record.event_id().to_owned();
        holds.hear(record);
        // It may have been decided before the word of the engine came.
        if let Some((_, Known::Answered(Answer::Decided(line)))) = answers.by_id.get(&*id) {
            holds.decided_at_engine(&id, line);
        }
    }

    /// Hears of a decision, and what it holds. A fallback answer that was given before stays what is
    /// answered, and says what is held.
    pub(in crate::stream) fn decided(&self, id: &str, body: Body, line: &str, hold: Option<Hold>) {
        let mut answers = lock(&self.answers);
        // Listed first, so that whoever has the answer finds it.
        let mut holds = lock(&self.holds);
        hold.into_iter().for_each(|hold| holds.add(hold, body));
        holds.decided(id, body, line);
        drop(holds);
        let answer = Answer::Decided(line.into());
        match answers.by_id.get_mut(id) {
            Some((_, Known::Answered(_))) => {}
            Some((_, Known::Waiting(waiting))) if waiting.binding => {
                waiting.decided = Some(answer);
                let place = waiting.place.take();
                place.map(|place| answers.places.remove(&place));
            }
            _ => answers.answer(id, body, answer),
        }
    }

    /// Hears that the event at a place was refused in the order, and why.
    pub(in crate::stream) fn refused(&self, at: (u32, u64), code: RejectCode) {
        let answer = match code {
            RejectCode::TooOld => Answer::TooOld,
            _ => Answer::Conflict,
        };
        lock(&self.answers).settle(at, &answer);
    }

    /// Hears that everything before an offset of a partition is decided: what still waits there was
    /// a repeat of what was decided long ago.
    pub(in crate::stream) fn passed(&self, partition: u32, offset: u64) {
        let mut answers = lock(&self.answers);
        answers.passed.insert(partition, offset);
        let range = (partition, 0)..(partition, offset);
        let settled: Vec<(u32, u64)> = answers.places.range(range).map(|(at, _)| *at).collect();
        settled.into_iter().for_each(|at| answers.settle(at, &Answer::Forgotten));
    }

    /// Whether somebody waits for a decision.
    pub(in crate::stream) fn is_waited_for(&self) -> bool {
        !lock(&self.answers).places.is_empty()
    }
}

impl Answers {
    /// Answers whoever waits, and keeps the answer, as far as there is room.
    fn answer(&mut self, id: &str, body: Body, answer: Answer) {
        if let Some((_, Known::Waiting(waiting))) = self.by_id.remove(id) {
            if let Some(place) = waiting.place {
                self.places.remove(&place);
            }
            for waiter in waiting.waiters {
                // Whoever went away needs no answer.
                let _ = waiter.send(answer.clone());
            }
        }
        self.bytes += size_of_answer(id, &answer);
        self.by_id.insert(id.into(), (body, Known::Answered(answer)));
        self.order.push_back(id.into());
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some((_, Known::Answered(answer))) = self.by_id.remove(&oldest) {
                self.bytes -= size_of_answer(&oldest, &answer);
            }
        }
    }

    /// Answers whoever waits for the event at a place, and keeps nothing. Where a fallback answer is
    /// being written down that comes first; its place is settled next time if it could not be.
    fn settle(&mut self, at: (u32, u64), answer: &Answer) {
        let known = self.places.get(&at).and_then(|id| self.by_id.get(id));
        if let Some((_, Known::Waiting(waiting))) = known
            && waiting.binding
        {
            return;
        }
        let Some(id) = self.places.remove(&at) else { return };
        let earlier = self.earlier.get(&id).map(|line| Answer::Decided(line.clone()));
        let earlier = earlier.filter(|_| *answer == Answer::Forgotten);
        let answer = earlier.as_ref().unwrap_or(answer);
        if let Some((_, Known::Waiting(waiting))) = self.by_id.remove(&id) {
            for waiter in waiting.waiters {
                let _ = waiter.send(answer.clone());
            }
        }
    }
}

fn size_of_answer(id: &str, answer: &Answer) -> usize {
    let line = match answer {
        Answer::Decided(line) | Answer::Fallback(line) => line.len(),
        Answer::Conflict | Answer::TooOld | Answer::Forgotten => 0,
    };
    2 * id.len() + line + ANSWER_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(line: &str) -> Answer {
        Answer::Decided(line.into())
    }

    fn hold(id: &str, decision: Option<&str>) -> Hold {
        Hold {
            event_id: id.to_owned(),
            account_id: "u".to_owned(),
            amount_fen: 1,
            effective_time: 1,
            decision: decision.map(str::to_owned),
            score: decision.map(|_| 7),
        }
    }

    fn fallen(id: &str, holds: bool) -> Fallen {
        Fallen {
            event_id: id.to_owned(),
            body: [1, 1],
            answer: "fallback".to_owned(),
            hold: holds.then(|| hold(id, None)),
            at_ms: 1,
        }
    }

    #[test]
    fn who_asks_again_gets_the_first_answer_and_who_asks_otherwise_a_conflict() {
        let desk = Desk::new(1 << 20);
        let Asked::New(mut first) = desk.ask("e", [1, 1]) else { panic!("it is new") };
        let Asked::Pending(mut second) = desk.ask("e", [1, 1]) else { panic!("it is pending") };
        assert!(matches!(desk.ask("e", [2, 2]), Asked::Known(Answer::Conflict)));
        desk.appended("e", (0, 7));
        assert!(desk.is_waited_for());
        desk.decided("e", [1, 1], "line", None);
        assert!(!desk.is_waited_for());
        assert_eq!(
            (first.try_recv(), second.try_recv()),
            (Ok(decided("line")), Ok(decided("line")))
        );
        let Asked::Known(again) = desk.ask("e", [1, 1]) else { panic!("it is known") };
        assert_eq!(again, decided("line"));
    }

    #[test]
    fn what_was_answered_when_time_was_up_binds() {
        let desk = Desk::new(1 << 20);
        let Asked::New(mut first) = desk.ask("e", [1, 1]) else { panic!("it is new") };
        assert!(desk.bind("e") && !desk.bind("e"), "one writes it down");
        desk.decided("e", [1, 1], "meanwhile", None);
        assert!(first.try_recv().is_err(), "until it is written down nothing is answered");
        desk.bound("e", [1, 1], Some(&fallen("e", false)));
        let answer = Answer::Fallback("fallback".into());
        assert_eq!(first.try_recv(), Ok(answer.clone()));
        desk.decided("e", [1, 1], "late", None);
        let Asked::Known(again) = desk.ask("e", [1, 1]) else { panic!("it is known") };
        assert_eq!(again, answer);
        assert!(!desk.bind("e"), "it has its answer");
        // What could not be written down binds nobody.
        let Asked::New(mut other) = desk.ask("f", [1, 1]) else { panic!("it is new") };
        assert!(desk.bind("f"));
        desk.decided("f", [1, 1], "line", None);
        desk.bound("f", [1, 1], None);
        assert_eq!(other.try_recv(), Ok(decided("line")));
    }

    fn open(desk: &Desk) -> Vec<(String, Option<String>)> {
        let all = lock(&desk.holds).all();
        all.into_iter().map(|(hold, _)| (hold.event_id, hold.decision)).collect()
    }

    /// Whether the answer or the decision comes first: what is answered says what is held.
    #[test]
    fn a_fallback_answer_holds_or_settles_whatever_is_decided() {
        let line = |verdict: &str| format!("{{\"decision\":\"{verdict}\",\"score\":7}}");
        let named = |id: &str, decision: Option<&str>| (id.to_owned(), decision.map(str::to_owned));
        for (holds, verdict, decided_first, before, after) in [
            (true, "allow", false, Some(None), Some(Some("allow"))),
            (true, "allow", true, Some(Some("allow")), Some(Some("allow"))),
            (true, "hold", false, Some(None), Some(Some("hold"))),
            (false, "hold", false, None, None),
            (false, "hold", true, None, None),
        ] {
            let desk = Desk::new(1 << 20);
            let Asked::New(_) = desk.ask("e", [1, 1]) else { panic!("it is new") };
            let decide = |desk: &Desk| {
                let hold = (verdict == "hold").then(|| hold("e", Some(verdict)));
                desk.decided("e", [1, 1], &line(verdict), hold);
            };
            assert!(desk.bind("e"));
            if decided_first {
                decide(&desk);
            }
            desk.bound("e", [1, 1], Some(&fallen("e", holds)));
            let told = |decision: Option<Option<&str>>| -> Vec<(String, Option<String>)> {
                decision.into_iter().map(|decision| named("e", decision)).collect()
            };
            assert_eq!(open(&desk), told(before), "{holds} {verdict} {decided_first}");
            if !decided_first {
                decide(&desk);
            }
            assert_eq!(open(&desk), told(after), "{holds} {verdict} {decided_first}");
            // A restart that reads both again, the answer first, from a snapshot or from the topics.
            let again = Desk::new(1);
            again.remember_fallback(&fallen("e", holds));
            lock(&desk.holds).all().into_iter().for_each(|(hold, body)| {
                lock(&again.holds).add(hold, body);
            });
            assert_eq!(open(&again), told(after), "from a snapshot");
            decide(&again);
            assert_eq!(open(&again), told(after), "with no room for answers");
        }
    }

    /// What is held while a fallback answer is being written down is in a snapshot of that moment.
    #[test]
    fn what_is_decided_while_a_fallback_is_written_is_held_at_once() {
        let desk = Desk::new(1 << 20);
        let Asked::New(_) = desk.ask("e", [1, 1]) else { panic!("it is new") };
        assert!(desk.bind("e"));
        desk.decided("e", [1, 1], "{}", Some(hold("e", Some("hold"))));
        assert_eq!(open(&desk).len(), 1);
        desk.bound("e", [1, 1], None);
        assert_eq!(open(&desk).len(), 1, "the answer could not be written down");
    }

    /// An answer binds the event that was asked about and no other under its id.
    #[test]
    fn what_is_decided_on_another_event_of_an_id_is_held() {
        let desk = Desk::new(1 << 20);
        let Asked::New(_) = desk.ask("e", [1, 1]) else { panic!("it is new") };
        desk.appended("e", (0, 9));
        assert!(desk.bind("e"));
        desk.bound("e", [1, 1], Some(&fallen("e", false)));
        desk.decided("e", [2, 2], "{}", Some(hold("e", Some("hold"))));
        assert_eq!(open(&desk).len(), 1);
        let other = Desk::new(1 << 20);
        other.decided("e", [2, 2], "{}", Some(hold("e", Some("hold"))));
        other.remember_fallback(&fallen("e", true));
        assert_eq!(open(&other), [("e".to_owned(), Some("hold".to_owned()))]);
        desk.refused((0, 9), RejectCode::IdConflict);
        let Asked::Known(again) = desk.ask("e", [1, 1]) else { panic!("it is known") };
        assert_eq!(again, Answer::Fallback("fallback".into()));
    }

    /// A refusal that comes while a fallback answer is being written down is no answer beside it.
    #[test]
    fn a_fallback_that_is_being_written_comes_first() {
        let desk = Desk::new(1 << 20);
        let Asked::New(mut asked) = desk.ask("e", [1, 1]) else { panic!("it is new") };
        desk.appended("e", (0, 9));
        assert!(desk.bind("e"));
        desk.refused((0, 9), RejectCode::TooOld);
        desk.passed(0, 10);
        assert!(asked.try_recv().is_err());
        desk.bound("e", [1, 1], Some(&fallen("e", true)));
        assert_eq!(asked.try_recv(), Ok(Answer::Fallback("fallback".into())));
        assert_eq!(open(&desk), [("e".to_owned(), None)]);
    }

    #[test]
    fn repeats_and_conflicts_that_only_the_order_knows_are_answered() {
        let desk = Desk::new(1 << 20);
        let Asked::New(mut conflict) = desk.ask("a", [1, 1]) else { panic!("it is new") };
        let Asked::New(mut repeat) = desk.ask("b", [1, 1]) else { panic!("it is new") };
        let Asked::New(mut waits) = desk.ask("c", [1, 1]) else { panic!("it is new") };
        for (at, id) in (5..).zip(["a", "b", "c"]) {
            desk.appended(id, (3, at));
        }
        desk.refused((3, 5), RejectCode::IdConflict);
        desk.passed(3, 7);
        assert_eq!(conflict.try_recv(), Ok(Answer::Conflict));
        assert_eq!(repeat.try_recv(), Ok(Answer::Forgotten));
        assert!(waits.try_recv().is_err());
        assert!(matches!(desk.ask("b", [9, 9]), Asked::New(_)), "nothing is kept of it");
        // What a former incarnation decided is known by its id alone, of which the order says whether
        // the event is a repeat.
        desk.recall("r", "line");
        let Asked::New(mut repeat) = desk.ask("r", [1, 1]) else { panic!("it is to be appended") };
        desk.appended("r", (4, 1));
        desk.passed(4, 2);
        assert_eq!(repeat.try_recv(), Ok(decided("line")));
        let Asked::New(mut conflict) = desk.ask("r", [9, 9]) else {
            panic!("it is to be appended")
        };
        desk.appended("r", (4, 2));
        desk.refused((4, 2), RejectCode::IdConflict);
        assert_eq!(conflict.try_recv(), Ok(Answer::Conflict));
        // The brokers may say where an event stands when the stream is past it.
        let Asked::New(mut late) = desk.ask("d", [1, 1]) else { panic!("it is new") };
        desk.appended("d", (3, 6));
        assert_eq!(late.try_recv(), Ok(Answer::Forgotten));
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let desk = Desk::new(10_000);
        for at in 0..1_000 {
            desk.decided(&format!("e{at}"), [1, 1], &"x".repeat(100), None);
        }
        let answers = lock(&desk.answers);
        assert!(answers.bytes <= 10_000 && answers.by_id.len() > 20, "{}", answers.by_id.len());
        assert_eq!(answers.by_id.len(), answers.order.len());
        assert!(answers.by_id.contains_key("e999") && !answers.by_id.contains_key("e0"));
    }
}
