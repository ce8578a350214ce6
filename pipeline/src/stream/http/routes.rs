//! The routes, what each wants, and how what is wrong is said.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::desk::{Body, Desk};
use super::log::Log;
use super::problem::{Problem, guarded};
use super::settings::HttpConfig;
use super::tokens::{Actor, Denied, Role, Tokens};
use super::{decide, holds, labels};
use crate::event::{ACCOUNT_ID, AMOUNT_FEN, EVENT_ID, EVENT_TIME, Kind, SUBJECT_ID};
use crate::source::log::{Arrived, Decoder};
use crate::stopwatch::{Since, unix_ms};

/// What the routes are, for programs: it stands beside them, and a test holds them to it.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// Each route, and whose it is in metrics.
const ROUTES: [&str; 8] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/decide",
    "/v1/labels",
    "/v1/holds",
    "other",
];

/// What answers stand on.
pub(super) struct App {
    pub(super) desk: Arc<Desk>,
    pub(super) tokens: Tokens,
    pub(super) log: Log,
    pub(super) decoder: Decoder,
    pub(super) control: String,
    pub(super) config: HttpConfig,
    /// The number, among all input partitions, of the first of the topic of events to be decided.
    pub(super) first_partition: u32,
}

/// An event that the stream would take.
pub(super) struct Checked {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) body: Body,
    /// What says which partition it belongs to.
    pub(super) key: String,
    pub(super) account_id: String,
    pub(super) amount_fen: i64,
    /// The event time in ms since 1970 UTC.
    pub(super) time: i64,
    pub(super) text: String,
}

/// All routes.
pub(super) fn routes(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .route("/v1/decide", post(decide::decide))
        .route("/v1/labels", post(labels::labels))
        .route("/v1/holds", get(holds::list).post(holds::act))
        .with_state(app.clone());
    guarded(routes, app.config.body_bytes, app.config.limits.read)
        .layer(middleware::from_fn_with_state(app, measured))
}

/// Counts each request and says that there was one: what it asked and what came of it, not what is
/// in it.
async fn measured(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let route = ROUTES.iter().find(|route| **route == path).copied().unwrap_or("other");
    let (since, method) = (Since::now(), request.method().clone());
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), since.elapsed());
    app.desk.metrics.request(route, status, took);
    tracing::debug!(%method, route, status, ms = took.as_millis() as u64, "request");
    response
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let (live, lag) = (app.desk.is_live(), app.desk.metrics.lag());
    let ready = live && lag.is_some_and(|lag| lag <= app.config.ready_lag);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": ready, "live": live, "lag_records": lag });
    (status, Json(body)).into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.desk.metrics.text()).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

impl App {
    /// Who asks, if they may.
    pub(super) fn admit(&self, headers: &HeaderMap, wanted: Role) -> Result<Actor, Problem> {
        admit(&self.tokens, headers, wanted)
    }

    /// Checks an event as the stream will.
    pub(super) fn check(&self, text: String) -> Result<Checked, Problem> {
        let arrived =
            Arrived { offset: 0, append_time: unix_ms(), value: text.as_bytes().to_vec() };
        let block = self.decoder.decode(0, &[arrived]);
        if let Some(reject) = block.rejects.first() {
            let (code, detail) = (reject.code.name(), &reject.detail);
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail));
        }
        let Some(chunk) = block.chunks.first().filter(|chunk| chunk.len() == 1) else {
            let detail = "there is no event in it";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", detail));
        };
        let of = |field| chunk.str(field, 0).to_owned();
        let keys = [ACCOUNT_ID, SUBJECT_ID, EVENT_ID].map(of);
        Ok(Checked {
            id: of(EVENT_ID),
            kind: chunk.kind(0),
            body: chunk.body_hash(0, &mut Vec::new()),
            key: keys.into_iter().find(|key| !key.is_empty()).unwrap_or_default(),
            account_id: of(ACCOUNT_ID),
            amount_fen: chunk.int(AMOUNT_FEN, 0),
            time: chunk.int(EVENT_TIME, 0),
            text,
        })
    }
}

/// Who asks, if they may.
pub(in crate::stream) fn admit(
    tokens: &Tokens,
    headers: &HeaderMap,
    wanted: Role,
) -> Result<Actor, Problem> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    tokens.admit(header, wanted).map_err(|denied| match denied {
        Denied::Unknown => {
            Problem::new(StatusCode::UNAUTHORIZED, "no_token", "a bearer token is needed")
        }
        Denied::Role => {
            Problem::new(StatusCode::FORBIDDEN, "role", "the token's role does not reach")
        }
        Denied::TooMany => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "ask again in a second")
        }
    })
}

/// The records of a body: an array's elements, or the one that it is. Of one alone the bytes stay
/// as they are.
pub(in crate::stream) fn records(body: &[u8], most: usize) -> Result<(Vec<String>, bool), Problem> {
    let malformed = |why: &str| Problem::new(StatusCode::BAD_REQUEST, "malformed", why);
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    if !text.trim_start().starts_with('[') {
        return Ok((vec![text.to_owned()], false));
    }
    let items: Vec<Value> =
        serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))?;
    if items.len() > most {
        let detail = format!("{} records are more than {most}", items.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_records", &detail));
    }
    Ok((items.iter().map(Value::to_string).collect(), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let mut documented: Vec<&str> = paths.keys().map(String::as_str).collect();
        let mut routes: Vec<&str> = ROUTES.into_iter().filter(|route| *route != "other").collect();
        documented.sort_unstable();
        routes.sort_unstable();
        assert_eq!(documented, routes);
        // Every reference leads somewhere.
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
