//! `POST /v1/decide`: events into the topic, decisions back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::super::control::{Entry, Fallen};
use super::desk::{Answer, Asked};
use super::holds::Hold;
use super::log::Appended;
use super::problem::Problem;
use super::routes::{App, Checked, records};
use super::tokens::Role;
use crate::decision::Verdict;
use crate::event::RejectCode;
use crate::run::refusal_detail;
use crate::stopwatch::{Since, unix_ms};

/// What is answered on one event.
type Outcome = Result<(StatusCode, Value), Problem>;

/// An event that was asked about; where it is new it is on its way to the topic.
enum Begun<A> {
    /// It is no transaction.
    Applied(A),
    Known(Answer),
    Pending(oneshot::Receiver<Answer>),
    New(oneshot::Receiver<Answer>, A),
}

/// Events of one request: more should come by the topic.
const EVENTS_MAX: usize = 256;

pub(super) async fn decide(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    app.admit(&headers, Role::Analyst)?;
    if !app.desk.is_live() {
        return Err(not_ready());
    }
    let (texts, many) = records(&body, EVENTS_MAX)?;
    let mut tasks = JoinSet::new();
    for (at, text) in texts.into_iter().enumerate() {
        // The topic has them in the order of the array: all are sent before any is waited for.
        let decided = app.clone().decide(text);
        tasks.spawn(async move { (at, decided.await) });
    }
    // A task that panicked has ended the program, where it is released.
    let mut answers: Vec<(usize, Outcome)> = tasks.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    let mut answers = answers.into_iter().map(|(_, answer)| answer);
    if !many {
        let (status, value) = answers.next().unwrap_or_else(|| Err(not_ready()))?;
        return Ok((status, Json(value)).into_response());
    }
    let item = |answer: Outcome| {
        let (status, mut value) = answer.unwrap_or_else(|Problem(status, value)| (status, value));
        value["http_status"] = status.as_u16().into();
        value
    };
    Ok(Json(answers.map(item).collect::<Vec<Value>>()).into_response())
}

impl App {
    /// Sends an event at once, unless somebody has asked for it before; then what becomes of it.
    fn decide(self: Arc<Self>, text: String) -> impl Future<Output = Outcome> + use<> {
        let since = Since::now();
        let begun = self.begin(text);
        async move {
            let (event, begun) = begun?;
            let receiver = match begun {
                Begun::Applied(appended) => {
                    self.place(appended.await)?;
                    let value = json!({ "event_id": event.id, "status": "applied" });
                    return Ok((StatusCode::ACCEPTED, value));
                }
                Begun::Known(answer) => return answered(&event.id, &answer),
                Begun::Pending(receiver) => receiver,
                Begun::New(receiver, appended) => {
                    match self.place(appended.await) {
                        Ok(place) => self.desk.appended(&event.id, place),
                        Err(problem) => {
                            self.desk.not_appended(&event.id);
                            return Err(problem);
                        }
                    }
                    receiver
                }
            };
            self.wait(&event, receiver, since).await
        }
    }

    fn begin(
        &self,
        text: String,
    ) -> Result<(Checked, Begun<impl Future<Output = Appended> + use<>>), Problem> {
        let event = self.check(text)?;
        let append = || self.log.append(&self.config.topic, (&event.key, &event.text), &[]);
        let begun = if event.kind.is_transaction() {
            match self.desk.ask(&event.id, event.body) {
                Asked::Known(answer) => Begun::Known(answer),
                Asked::Pending(receiver) => Begun::Pending(receiver),
                Asked::New(receiver) => Begun::New(receiver, append()),
            }
        } else {
            Begun::Applied(append())
        };
        Ok((event, begun))
    }

    /// The partition, as the stream numbers it, and the offset of what was appended.
    fn place(&self, appended: Appended) -> Result<(u32, u64), Problem> {
        let (partition, offset) = appended.map_err(|why| not_written(&why))?;
        Ok((self.first_partition + partition as u32, offset))
    }

    /// Waits for the decision, and when time is up for what is answered in its place.
    async fn wait(
        &self,
        event: &Checked,
        mut receiver: oneshot::Receiver<Answer>,
        since: Since,
    ) -> Outcome {
        let limit = Duration::from_millis(self.config.time_limit as u64);
        let left = limit.saturating_sub(since.elapsed());
        if let Ok(answer) = tokio::time::timeout(left, &mut receiver).await {
            return answered(&event.id, &answer.map_err(|_| not_ready())?);
        }
        if self.desk.bind(&event.id) {
            let fallen = self.fall_back(event).await;
            self.desk.bound(&event.id, event.body, fallen.as_ref().ok());
            if let Err(why) = fallen {
                // Nothing is decided and nothing could be written: only asking again can help.
                let why = format!("no fallback was logged: {why}");
                let tried = receiver.try_recv().map_err(|_| not_written(&why))?;
                return answered(&event.id, &tried);
            }
        }
        let answer = tokio::time::timeout(limit, receiver).await.map_err(|_| not_ready())?;
        answered(&event.id, &answer.map_err(|_| not_ready())?)
    }

    /// Writes down what is answered where nothing was decided in time, or says why it cannot.
    async fn fall_back(&self, event: &Checked) -> Result<Fallen, String> {
        let verdict = self.config.fallback.of(event.amount_fen);
        let answer = json!({
            "event_id": event.id,
            "decision": verdict.name(),
            "fallback": true,
            "amount_fen": event.amount_fen,
        });
        let hold = (verdict == Verdict::Hold).then(|| Hold {
            event_id: event.id.clone(),
            account_id: event.account_id.clone(),
            amount_fen: event.amount_fen,
            effective_time: event.time,
            decision: None,
            score: None,
        });
        let fallen = Fallen {
            event_id: event.id.clone(),
            body: event.body,
            answer: answer.to_string(),
            hold,
            at_ms: unix_ms(),
        };
        let entry = Entry::Fallback(fallen.clone());
        let (key, value) = (entry.key(), entry.value());
        self.log.append(&self.control, (&key, &value), &[]).await.map(|_| fallen)
    }
}

/// What is said of an event of which that became.
fn answered(id: &str, answer: &Answer) -> Outcome {
    let (status, line) = match answer {
        Answer::Decided(line) => ("decided", line),
        Answer::Fallback(line) => ("fallback", line),
        Answer::Conflict => {
            let mut problem =
                Problem::new(StatusCode::CONFLICT, "id_conflict", "another event has this id");
            problem.1["event_id"] = id.into();
            return Err(problem);
        }
        Answer::TooOld => {
            let code = RejectCode::TooOld;
            let (status, detail) = (StatusCode::UNPROCESSABLE_ENTITY, refusal_detail(code));
            let mut problem = Problem::new(status, code.name(), detail);
            problem.1["event_id"] = id.into();
            return Err(problem);
        }
        Answer::Forgotten => {
            let detail = "it was decided before; the decision stands in the output topic";
            let mut problem = Problem::new(StatusCode::CONFLICT, "already_decided", detail);
            problem.1["event_id"] = id.into();
            return Err(problem);
        }
    };
    let decision: Value = serde_json::from_str(line).unwrap_or_default();
    Ok((StatusCode::OK, json!({ "event_id": id, "status": status, "decision": decision })))
}

pub(super) fn not_ready() -> Problem {
    let detail = "the stream does not decide now; ask again, the same event gets one decision";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}

pub(super) fn not_written(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_written", why)
}
