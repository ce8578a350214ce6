//! The routes: commands in, outcomes out, and what anyone may look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::looks::Look;
use super::metrics::Metrics;
use super::work::{Ask, Job, Offered};
use crate::packet::events::OWN;
use crate::source::log::{Arrived, Decoder};
use crate::stream::http::problem::{Problem, guarded};
use crate::stream::http::routes::{admit, records};
use crate::stream::http::tokens::{Actor, Role, Tokens};

/// Commands of one request.
const COMMANDS_MAX: usize = 1_024;
/// Fields of a transaction's event that the engine knows nothing of.
const CONTEXT: [&str; 5] = ["device_id", "ip", "region", "platform", "text"];
/// Commands that make an event, see [`of_command`](crate::packet::events::of_command).
const WITH_EVENT: [&str; 6] = ["topup", "withdraw", "transfer", "send", "claim", "join"];

/// What answers stand on.
pub(super) struct App {
    pub(super) jobs: SyncSender<Job>,
    pub(super) tokens: Tokens,
    pub(super) decoder: Decoder,
    pub(super) metrics: Arc<Metrics>,
    /// Whether the stream has been heard to where it was at the start.
    pub(super) live: Arc<AtomicBool>,
    pub(super) ending: Arc<AtomicBool>,
    /// The largest body of a request, in bytes, and how long it may take to come.
    pub(super) body: (usize, Duration),
}

/// All routes.
pub(super) fn routes(app: Arc<App>) -> Router {
    let (bytes, time) = app.body;
    let routes = Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/packet", post(commands))
        .route("/v1/accounts/{id}", get(account))
        .route("/v1/packets/{id}", get(packet))
        .route("/v1/transactions/{id}", get(transaction))
        .with_state(app);
    guarded(routes, bytes, time)
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_live();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response()
}

async fn commands(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let actor = admit(&app.tokens, &headers, Role::Analyst)?;
    let (texts, many) = records(&body, COMMANDS_MAX)?;
    // Before any is executed it is known that the token reaches for all.
    let offered = |(at, text)| {
        let offered = offered(text, &actor, &app.decoder);
        offered.map_err(|problem| if many { problem.at(at) } else { problem })
    };
    let commands = texts.into_iter().enumerate().map(offered).collect::<Result<_, _>>()?;
    let (answer, outcomes) = oneshot::channel();
    app.put(Job::Ask(Ask { commands, answer }))?;
    let mut outcomes = outcomes.await.map_err(|_| not_ready())?;
    if many {
        return Ok(Json(outcomes).into_response());
    }
    let outcome = outcomes.pop().unwrap_or_default();
    let wrong = outcome.get("error").is_some();
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, Json(outcome)).into_response())
}

async fn account(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    app.look(&headers, Look::Account(id)).await
}

async fn packet(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    app.look(&headers, Look::Packet(id)).await
}

async fn transaction(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    app.look(&headers, Look::Transaction(id)).await
}

impl App {
    async fn look(&self, headers: &HeaderMap, look: Look) -> Result<Response, Problem> {
        admit(&self.tokens, headers, Role::Viewer)?;
        let (sender, seen) = oneshot::channel();
        self.put(Job::Look(look, sender))?;
        let unknown = || Problem::new(StatusCode::NOT_FOUND, "unknown", "there is none of that id");
        let seen = seen.await.map_err(|_| not_ready())?.ok_or_else(unknown)?;
        Ok(Json(seen).into_response())
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed) && !self.ending.load(Ordering::Relaxed)
    }

    fn put(&self, job: Job) -> Result<(), Problem> {
        if !self.is_live() {
            return Err(not_ready());
        }
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                let detail = "too many wait; ask again in a second";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
            }
            TrySendError::Disconnected(_) => not_ready(),
        })
    }
}

fn not_ready() -> Problem {
    let detail = "it is not known what came of it; ask again, the same id is executed once";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}

/// Looks at a command: whether this actor may send it, and what belongs to its event alone.
pub(super) fn offered(text: String, actor: &Actor, decoder: &Decoder) -> Result<Offered, Problem> {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(&text) else {
        // What is wrong with it is said when it is read as a command.
        return Ok(Offered { line: text, ..Offered::default() });
    };
    let wanted = fields.get("do").and_then(Value::as_str);
    if matches!(wanted, Some("resolve" | "thaw")) && actor.role < Role::Approver {
        let detail = "the token's role does not reach: an approver is needed";
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", detail));
    }
    let id = fields.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(match admitted(&mut fields, actor, decoder) {
        Ok(context) => {
            let line = Value::Object(fields).to_string();
            Offered { id, line, context, wrong: None }
        }
        Err(wrong) => Offered { id, wrong: Some(wrong), ..Offered::default() },
    })
}

/// Gives what belongs to a command's event alone, and takes it out of the command.
fn admitted(
    fields: &mut Map<String, Value>,
    actor: &Actor,
    decoder: &Decoder,
) -> Result<Map<String, Value>, String> {
    let text = |fields: &Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if text(fields, "id").starts_with(OWN) {
        return Err(format!("ids that begin with `{OWN}` are the engine's own"));
    }
    if fields.contains_key("at") {
        return Err("`at` is for packet run --clock commands alone".to_owned());
    }
    match &*text(fields, "do") {
        "decide" => return Err("the stream decides, nobody else".to_owned()),
        "resolve" | "thaw" => {
            let named = fields.entry("actor").or_insert_with(|| actor.name.clone().into());
            if named != &Value::from(&*actor.name) {
                return Err(format!("`actor` is who has the token: {}", actor.name));
            }
        }
        _ => {}
    }
    let what = text(fields, "do");
    match fields.remove("context") {
        None => Ok(Map::new()),
        Some(_) if !WITH_EVENT.contains(&&*what) => {
            Err(format!("`context` is for commands that make an event: {}", WITH_EVENT.join(", ")))
        }
        Some(Value::Object(context)) => checked(context, decoder),
        Some(_) => Err("`context` is an object".to_owned()),
    }
}

/// Further fields of an event, as the stream will check them.
fn checked(context: Map<String, Value>, decoder: &Decoder) -> Result<Map<String, Value>, String> {
    if let Some(other) = context.keys().find(|name| !CONTEXT.contains(&name.as_str())) {
        return Err(format!("`{other}` does not belong to context: {}", CONTEXT.join(", ")));
    }
    // An event of which nothing else can be wrong.
    let mut event = json!({
        "event_id": "e", "event_time": "2024-01-01T00:00:00Z", "kind": "transfer",
        "account_id": "a", "counterparty_id": "b", "amount_fen": 1,
    });
    for (field, value) in &context {
        event[field] = value.clone();
    }
    let value = event.to_string().into_bytes();
    let block = decoder.decode(0, &[Arrived { offset: 0, append_time: i64::MAX, value }]);
    match block.rejects.first() {
        Some(reject) => Err(format!("context: {}", reject.detail)),
        None => Ok(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Schema;

    /// What is told of an event belongs to a command that makes one, and is checked as it will be.
    #[test]
    fn context_is_for_commands_that_make_an_event() {
        let decoder = Decoder::new(Arc::new(Schema::default()), i64::MAX);
        let actor = Actor { name: "till".to_owned(), role: Role::Analyst };
        let wrong = |what: &str, context: Value| {
            let command = json!({ "id": "r1", "do": what, "context": context });
            let offered = offered(command.to_string(), &actor, &decoder);
            let Ok(Offered { id, context, wrong, .. }) = offered else { panic!("{what}") };
            assert_eq!(id.as_deref(), Some("r1"), "also of what is wrong");
            assert_eq!(context.is_empty(), wrong.is_some());
            wrong.unwrap_or_default()
        };
        for what in WITH_EVENT {
            assert_eq!(wrong(what, json!({ "ip": "::1", "text": "新年" })), "");
            assert!(wrong(what, json!({ "ip": 1 })).contains("ip"));
            assert!(wrong(what, json!({ "card": "1" })).contains("does not belong"));
        }
        for what in ["tick", "leave", "link", "watch", "clear", "move"] {
            assert!(wrong(what, json!({ "ip": "::1" })).contains("make an event"), "{what}");
        }
    }
}
