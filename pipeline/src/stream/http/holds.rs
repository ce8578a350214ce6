//! Transactions that wait for a person, and what people did with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::control::Fallen;
use super::super::ends::lock;
use super::decide::{not_ready, not_written};
use super::desk::Body;
use super::problem::Problem;
use super::routes::App;
use super::tokens::Role;
use crate::stopwatch::{Since, unix_ms};

/// Held transactions that are kept; of more the oldest are no longer listed.
const HOLDS_MAX: usize = 200_000;

/// Held transactions of one answer, unless fewer are wanted.
const LISTED_MAX: usize = 1_000;
/// Why something was done, in characters.
const REASON_MAX: usize = 2_000;
/// So often it is looked whether the topic has what was written to it.
const HEARD_EVERY: Duration = Duration::from_millis(5);

/// A transaction that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::stream) struct Hold {
    pub(in crate::stream) event_id: String,
    pub(in crate::stream) account_id: String,
    pub(in crate::stream) amount_fen: i64,
    /// In ms since 1970 UTC; of what a fallback holds the event time.
    pub(in crate::stream) effective_time: i64,
    /// What the stream decided; none where a fallback holds what is not decided yet.
    pub(in crate::stream) decision: Option<String>,
    /// The score, with the decision.
    pub(in crate::stream) score: Option<i64>,
}

/// What an approver should know of a decision.
#[derive(Deserialize)]
struct Decided {
    decision: String,
    score: i64,
}

/// What can be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::stream) enum Action {
    /// It settles.
    Release,
    /// It never does.
    Void,
}

/// A record of the topic of holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::stream) enum Record {
    /// What was done with a held transaction.
    Act(Act),
    /// The packet engine holds one by itself, for no decision came in time.
    Held {
        /// It.
        held: Hold,
    },
}

impl Record {
    /// The transaction that it is about.
    pub(super) fn event_id(&self) -> &str {
        match self {
            Record::Act(act) => &act.event_id,
            Record::Held { held } => &held.event_id,
        }
    }
}

/// What somebody did with it. The first of a transaction counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::stream) struct Act {
    pub(in crate::stream) event_id: String,
    pub(in crate::stream) action: Action,
    pub(in crate::stream) actor: String,
    pub(in crate::stream) reason: String,
    /// When, by the clock of the program, in ms since 1970 UTC.
    pub(in crate::stream) at_ms: i64,
    /// Whether it has happened at the packet engine: by its own rule, or by somebody who acted there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::stream) at_engine: bool,
}

/// What is held and what became of it.
#[derive(Default)]
pub(in crate::stream) struct Holds {
    /// By id, with the hash of the event's body; none where the packet engine has said that it holds it.
    open: BTreeMap<String, (Hold, Option<Body>)>,
    /// The events that a fallback answer binds, by id, and whether it holds them.
    bound: BTreeMap<String, (Body, bool)>,
    /// The ids by age: effective time, then id.
    ages: BTreeMap<(i64, String), ()>,
    /// What somebody is doing, and what was done: whether it was heard from the topic.
    acts: BTreeMap<String, (Act, bool)>,
    /// How many were left out for their number.
    dropped: u64,
}

/// Why nothing can be done with a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not held.
    NotHeld,
    /// Somebody was first.
    Done(Act),
}

impl Holds {
    /// Hears of a transaction that was held; not of one that somebody has closed, or that a fallback
    /// answer let pass.
    pub(in crate::stream) fn add(&mut self, hold: Hold, body: Body) {
        let passed = self.bound.get(&hold.event_id) == Some(&(body, false));
        if passed || self.acts.contains_key(&hold.event_id) {
            return;
        }
        let was = self.close(&hold.event_id).filter(|(_, held)| *held == Some(body));
        let hold = match was {
            // What was decided on it stays known.
            Some((was, _)) if hold.decision.is_none() => was,
            _ => hold,
        };
        self.list_it(hold, Some(body));
    }

    /// Hears that the packet engine holds a transaction by itself.
    fn held_at_engine(&mut self, hold: Hold) {
        let id = &hold.event_id;
        if !self.open.contains_key(id) && !self.acts.contains_key(id) {
            self.list_it(hold, None);
        }
    }

    fn list_it(&mut self, hold: Hold, body: Option<Body>) {
        self.ages.insert((hold.effective_time, hold.event_id.clone()), ());
        self.open.insert(hold.event_id.clone(), (hold, body));
        if self.open.len() > HOLDS_MAX
            && let Some(((_, oldest), ())) = self.ages.pop_first()
        {
            self.open.remove(&oldest);
            self.dropped += 1;
        }
    }

    /// Hears of a fallback answer: it says what is held, whatever is decided.
    pub(super) fn fell_back(&mut self, Fallen { event_id, body, hold, .. }: &Fallen) {
        self.bound.insert(event_id.clone(), (*body, hold.is_some()));
        match hold {
            // What the stream holds under the id is another event, and stays.
            _ if self.open.get(event_id).is_some_and(|(_, held)| *held != Some(*body)) => {}
            Some(hold) => self.add(hold.clone(), *body),
            None => drop(self.close(event_id)),
        }
    }

    /// Hears the line of what the stream decided: of what a fallback answer or the packet engine holds
    /// it is told.
    pub(super) fn decided(&mut self, event_id: &str, body: Body, line: &str) {
        let is_bound = self.bound.get(event_id) == Some(&(body, true));
        self.tell_of(event_id, line, |held| held.is_none() || is_bound && *held == Some(body));
    }

    /// The same of what the packet engine alone holds.
    pub(super) fn decided_at_engine(&mut self, event_id: &str, line: &str) {
        self.tell_of(event_id, line, Option::is_none);
    }

    fn tell_of(&mut self, event_id: &str, line: &str, is_it: impl Fn(&Option<Body>) -> bool) {
        if let Some((hold, held)) = self.open.get_mut(event_id)
            && is_it(held)
            && let Ok(decided) = serde_json::from_str::<Decided>(line)
        {
            (hold.decision, hold.score) = (Some(decided.decision), Some(decided.score));
        }
    }

    /// All that is open, for whoever goes on from here; what the topic says is read from it.
    pub(in crate::stream) fn all(&self) -> Vec<(Hold, Body)> {
        let known = |(hold, body): &(Hold, Option<Body>)| Some((hold.clone(), (*body)?));
        self.open.values().filter_map(known).collect()
    }

    /// Hears a record of the topic, in its order.
    pub(in crate::stream) fn hear(&mut self, record: Record) {
        let act = match record {
            Record::Act(act) => act,
            Record::Held { held } => return self.held_at_engine(held),
        };
        self.close(&act.event_id);
        // What is about to be written here comes after what was heard.
        if !self.acts.get(&act.event_id).is_some_and(|(_, heard)| *heard) {
            self.acts.insert(act.event_id.clone(), (act, true));
        }
    }

    /// What was done with a transaction, as the topic has it; none where it was not heard yet.
    fn heard(&self, event_id: &str) -> Option<&Act> {
        self.acts.get(event_id).filter(|(_, heard)| *heard).map(|(act, _)| act)
    }

    /// Takes a transaction for whoever is first; it is theirs until [`put_back`](Self::put_back).
    pub(super) fn take(&mut self, act: &Act) -> Result<(), Refused> {
        if let Some((first, _)) = self.acts.get(&act.event_id) {
            return Err(Refused::Done(first.clone()));
        }
        if !self.open.contains_key(&act.event_id) {
            return Err(Refused::NotHeld);
        }
        self.acts.insert(act.event_id.clone(), (act.clone(), false));
        Ok(())
    }

    /// Undoes what could not be written down.
    pub(super) fn put_back(&mut self, event_id: &str) {
        if self.heard(event_id).is_none() {
            self.acts.remove(event_id);
        }
    }

    /// Takes a transaction off the list, after what was done is written down.
    pub(super) fn close(&mut self, event_id: &str) -> Option<(Hold, Option<Body>)> {
        let held = self.open.remove(event_id)?;
        self.ages.remove(&(held.0.effective_time, event_id.to_owned()));
        Some(held)
    }

    /// What is open, oldest first, from after a place in that order; at most so many.
    pub(super) fn list(&self, after: Option<(i64, String)>, limit: usize) -> Vec<&Hold> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let ids = self.ages.range((from, Unbounded)).map(|((_, id), ())| id);
        let open = ids.filter(|id| !self.acts.contains_key(*id));
        open.filter_map(|id| self.open.get(id)).map(|(hold, _)| hold).take(limit).collect()
    }

    /// What has a transaction held: its decision; a fallback answer here or the rule of the packet engine,
    /// which bind, whatever is decided later.
    fn held_by(&self, event_id: &str) -> &'static str {
        match self.open.get(event_id) {
            Some((_, None)) => "packet_engine",
            Some((_, Some(body))) if self.bound.get(event_id) == Some(&(*body, true)) => "fallback",
            _ => "decision",
        }
    }

    /// How many are open, and how many were left out.
    pub(super) fn counts(&self) -> (usize, u64) {
        (self.open.len(), self.dropped)
    }
}

/// A held transaction in the list.
#[derive(Serialize)]
struct Listed<'h> {
    #[serde(flatten)]
    hold: &'h Hold,
    held_by: &'static str,
}

/// Which part of the list is wanted.
#[derive(Deserialize)]
pub(super) struct Wanted {
    limit: Option<usize>,
    /// The last of the part before: its effective time and its id.
    after_time: Option<i64>,
    after_id: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    app.admit(&headers, Role::Viewer)?;
    if !app.desk.is_live() {
        return Err(not_ready());
    }
    let after = wanted.after_time.map(|time| (time, wanted.after_id.unwrap_or_default()));
    let limit = wanted.limit.unwrap_or(LISTED_MAX).min(LISTED_MAX);
    let holds = lock(app.desk.holds());
    let (open, dropped) = holds.counts();
    let list = holds.list(after, limit).into_iter();
    let list: Vec<Listed<'_>> =
        list.map(|hold| Listed { hold, held_by: holds.held_by(&hold.event_id) }).collect();
    Ok(Json(json!({ "holds": list, "open": open, "not_listed": dropped })).into_response())
}

/// What somebody wants to do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    event_id: String,
    action: Action,
    reason: String,
}

pub(super) async fn act(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let actor = app.admit(&headers, Role::Approver)?;
    if !app.desk.is_live() {
        return Err(not_ready());
    }
    let wrong = |why: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", why);
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| wrong(&error.to_string()))?;
    let reason = wish.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        return Err(wrong("a reason has 1 to 2000 characters, blanks around it not counted"));
    }
    let act = Act {
        event_id: wish.event_id,
        action: wish.action,
        actor: actor.name,
        reason: reason.to_owned(),
        at_ms: unix_ms(),
        at_engine: false,
    };
    lock(app.desk.holds()).take(&act).map_err(|refused| match refused {
        Refused::NotHeld => Problem::new(StatusCode::NOT_FOUND, "not_held", "it is not held"),
        Refused::Done(first) => already_done(&first),
    })?;
    let value = json!(act).to_string();
    if let Err(why) = app.log.append(&app.config.holds, (&act.event_id, &value), &[]).await {
        lock(app.desk.holds()).put_back(&act.event_id);
        return Err(not_written(&why));
    }
    // Others write to the topic too: its order says who was first.
    let (since, limit) = (Since::now(), Duration::from_millis(app.config.time_limit as u64));
    let first = loop {
        let heard = lock(app.desk.holds()).heard(&act.event_id).cloned();
        match heard {
            Some(first) => break first,
            None if since.elapsed() > limit => break act.clone(),
            None => tokio::time::sleep(HEARD_EVERY).await,
        }
    };
    if first != act {
        return Err(already_done(&first));
    }
    lock(app.desk.holds()).close(&act.event_id);
    tracing::info!(actor = act.actor, action = ?act.action, "a hold was closed");
    Ok(Json(json!(act)).into_response())
}

fn already_done(first: &Act) -> Problem {
    let mut problem = Problem::new(StatusCode::CONFLICT, "already_done", "somebody was first");
    problem.1["first"] = json!(first);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: &str, time: i64) -> Hold {
        Hold {
            event_id: id.to_owned(),
            account_id: "u".to_owned(),
            amount_fen: 1,
            effective_time: time,
            decision: Some("hold".to_owned()),
            score: Some(600),
        }
    }

    fn act(id: &str, actor: &str) -> Act {
        Act {
            event_id: id.to_owned(),
            action: Action::Release,
            actor: actor.to_owned(),
            reason: "known".to_owned(),
            at_ms: 0,
            at_engine: false,
        }
    }

    fn open(holds: &Holds) -> Vec<&str> {
        holds.list(None, 10).into_iter().map(|hold| hold.event_id.as_str()).collect()
    }

    #[test]
    fn the_first_who_acts_wins_and_what_cannot_be_written_is_undone() {
        let mut holds = Holds::default();
        for (id, time) in [("b", 2), ("a", 2), ("c", 1)] {
            holds.add(hold(id, time), [0, 0]);
        }
        assert_eq!(open(&holds), ["c", "a", "b"], "oldest first");
        assert_eq!(holds.list(Some((2, "a".to_owned())), 10)[0].event_id, "b");
        assert_eq!(holds.take(&act("c", "liu")), Ok(()));
        assert_eq!(holds.take(&act("c", "wang")), Err(Refused::Done(act("c", "liu"))));
        holds.put_back("c");
        assert_eq!(holds.take(&act("c", "wang")), Ok(()));
        holds.close("c");
        assert_eq!(open(&holds), ["a", "b"]);
        assert_eq!(holds.take(&act("d", "liu")), Err(Refused::NotHeld));
    }

    #[test]
    fn what_was_done_before_a_restart_stays_done() {
        let mut holds = Holds::default();
        holds.hear(Record::Act(act("a", "liu")));
        holds.hear(Record::Act(act("a", "wang")));
        holds.add(hold("a", 1), [0, 0]);
        assert!(open(&holds).is_empty());
        assert_eq!(holds.take(&act("a", "li")), Err(Refused::Done(act("a", "liu"))));
    }

    /// What the topic has first counts, whoever was first here.
    #[test]
    fn who_is_first_in_the_topic_was_first() {
        let mut holds = Holds::default();
        holds.add(hold("a", 1), [0, 0]);
        assert_eq!(holds.take(&act("a", "liu")), Ok(()));
        assert_eq!(holds.heard("a"), None, "it is not written down yet");
        holds.hear(Record::Act(act("a", "wang")));
        holds.hear(Record::Act(act("a", "liu")));
        holds.put_back("a");
        assert_eq!(holds.heard("a"), Some(&act("a", "wang")));
        assert_eq!(holds.take(&act("a", "li")), Err(Refused::Done(act("a", "wang"))));
    }

    /// What the packet engine holds by itself is listed, with what is decided on it later; what it has
    /// ended is not, whatever is decided.
    #[test]
    fn what_the_engine_does_by_itself_is_known() {
        let mut holds = Holds::default();
        let undecided = Hold { decision: None, score: None, ..hold("a", 3) };
        holds.hear(Record::Held { held: undecided.clone() });
        assert_eq!(holds.list(None, 10), [&undecided]);
        holds.decided("a", [1, 1], r#"{"decision":"allow","score":7}"#);
        let told = holds.list(None, 10)[0];
        assert_eq!((told.decision.as_deref(), told.score), (Some("allow"), Some(7)));
        assert_eq!(holds.held_by("a"), "packet_engine", "whatever was decided since");
        assert!(holds.all().is_empty(), "the topic says it again");
        // Decided to be held, later: the stream's own.
        holds.add(hold("a", 3), [1, 1]);
        assert_eq!(holds.all(), [(hold("a", 3), [1, 1])]);
        assert_eq!(holds.held_by("a"), "decision");
        holds.hear(Record::Held { held: undecided });
        assert_eq!(holds.list(None, 10), [&hold("a", 3)]);
        for (id, is_listed_before) in [("a", true), ("b", false)] {
            assert_eq!(open(&holds).contains(&id), is_listed_before);
            let ended = Act { at_engine: true, ..act(id, "engine") };
            holds.hear(Record::Act(ended.clone()));
            holds.add(hold(id, 4), [1, 1]);
            assert!(open(&holds).is_empty());
            assert_eq!(holds.take(&act(id, "liu")), Err(Refused::Done(ended)));
        }
    }

    /// Records of before have no word of the engine.
    #[test]
    fn a_record_is_an_act_or_what_is_held() {
        let old = r#"{"event_id":"a","action":"release","actor":"liu","reason":"known","at_ms":0}"#;
        let read = |text: &str| serde_json::from_str::<Record>(text);
        assert_eq!(read(old).unwrap(), Record::Act(act("a", "liu")));
        assert_eq!(serde_json::to_string(&act("a", "liu")).unwrap(), old);
        let held = Record::Held { held: hold("a", 1) };
        assert_eq!(read(&serde_json::to_string(&held).unwrap()).unwrap(), held);
        assert!(read("{}").is_err());
    }
}
