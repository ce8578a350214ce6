//! Transactions that wait for a person, and what people did with them.

use std::collections::BTreeMap;
use std::sync::Arc;

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
use super::routes::{App, Problem};
use super::tokens::Role;
use crate::stopwatch::unix_ms;

/// Held transactions that are kept; of more the oldest are no longer listed.
const HOLDS_MAX: usize = 200_000;

/// Held transactions of one answer, unless fewer are wanted.
const LISTED_MAX: usize = 1_000;
/// Why something was done, in bytes.
const REASON_MAX: usize = 2_000;

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

/// What somebody did with it: a record of the topic of holds. The first of a transaction counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::stream) struct Act {
    pub(in crate::stream) event_id: String,
    pub(in crate::stream) action: Action,
    pub(in crate::stream) actor: String,
    pub(in crate::stream) reason: String,
    /// When, by the clock of the program, in ms since 1970 UTC.
    pub(in crate::stream) at_ms: i64,
}

/// What is held and what became of it.
#[derive(Default)]
pub(in crate::stream) struct Holds {
    /// By id, with the hash of the event's body.
    open: BTreeMap<String, (Hold, Body)>,
    /// The events that a fallback answer binds, by id, and whether it holds them.
    bound: BTreeMap<String, (Body, bool)>,
    /// The ids by age: effective time, then id.
    ages: BTreeMap<(i64, String), ()>,
    /// What somebody is doing, and what was done.
    acts: BTreeMap<String, Act>,
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
        let was = self.close(&hold.event_id).filter(|(_, held)| *held == body);
        let hold = match was {
            // What was decided on it stays known.
            Some((was, _)) if hold.decision.is_none() => was,
            _ => hold,
        };
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
            _ if self.open.get(event_id).is_some_and(|(_, held)| held != body) => {}
            Some(hold) => self.add(hold.clone(), *body),
            None => drop(self.close(event_id)),
        }
    }

    /// Hears the line of what the stream decided: of what a fallback answer holds it is told.
    pub(super) fn decided(&mut self, event_id: &str, body: Body, line: &str) {
        if self.bound.get(event_id) == Some(&(body, true))
            && let Some((hold, held)) = self.open.get_mut(event_id)
            && *held == body
            && let Ok(decided) = serde_json::from_str::<Decided>(line)
        {
            (hold.decision, hold.score) = (Some(decided.decision), Some(decided.score));
        }
    }

    /// All that is open, for whoever goes on from here.
    pub(in crate::stream) fn all(&self) -> Vec<(Hold, Body)> {
        self.open.values().cloned().collect()
    }

    /// Hears of what was done before this incarnation began.
    pub(in crate::stream) fn done(&mut self, act: Act) {
        self.close(&act.event_id);
        self.acts.entry(act.event_id.clone()).or_insert(act);
    }

    /// Takes a transaction for whoever is first; it is theirs until [`put_back`](Self::put_back).
    pub(super) fn take(&mut self, act: &Act) -> Result<(), Refused> {
        if let Some(first) = self.acts.get(&act.event_id) {
            return Err(Refused::Done(first.clone()));
        }
        if !self.open.contains_key(&act.event_id) {
            return Err(Refused::NotHeld);
        }
        self.acts.insert(act.event_id.clone(), act.clone());
        Ok(())
    }

    /// Undoes what could not be written down.
    pub(super) fn put_back(&mut self, event_id: &str) {
        self.acts.remove(event_id);
    }

    /// Takes a transaction off the list, after what was done is written down.
    pub(super) fn close(&mut self, event_id: &str) -> Option<(Hold, Body)> {
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

    /// How many are open, and how many were left out.
    pub(super) fn counts(&self) -> (usize, u64) {
        (self.open.len(), self.dropped)
    }
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
    let list = holds.list(after, limit);
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
    };
    lock(app.desk.holds()).take(&act).map_err(|refused| match refused {
        Refused::NotHeld => Problem::new(StatusCode::NOT_FOUND, "not_held", "it is not held"),
        Refused::Done(first) => {
            let detail = "somebody was first";
            let mut problem = Problem::new(StatusCode::CONFLICT, "already_done", detail);
            problem.1["first"] = json!(first);
            problem
        }
    })?;
    let value = json!(act).to_string();
    let appended = app.log.append(&app.config.holds, (&act.event_id, &value), &[]).await;
    let mut holds = lock(app.desk.holds());
    match appended {
        Ok(_) => {
            holds.close(&act.event_id);
            tracing::info!(actor = act.actor, action = ?act.action, "a hold was closed");
            Ok(Json(json!(act)).into_response())
        }
        Err(why) => {
            holds.put_back(&act.event_id);
            Err(not_written(&why))
        }
    }
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
        holds.done(act("a", "liu"));
        holds.done(act("a", "wang"));
        holds.add(hold("a", 1), [0, 0]);
        assert!(open(&holds).is_empty());
        assert_eq!(holds.take(&act("a", "li")), Err(Refused::Done(act("a", "liu"))));
    }
}
