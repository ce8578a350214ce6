//! What is wrong, in the one form that the document tells of: an object with `code` and `detail`,
//! whoever found it; and bodies, which come whole, in time and within their limit, or not at all.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

/// What a library says of a request is a sentence.
const SENTENCE_BYTES_MAX: usize = 4_096;

/// An answer that is not what was asked for.
pub(in crate::stream) struct Problem(pub(in crate::stream) StatusCode, pub(in crate::stream) Value);

impl Problem {
    pub(in crate::stream) fn new(status: StatusCode, code: &str, detail: &str) -> Problem {
        Problem(status, json!({ "code": code, "detail": detail }))
    }

    /// The same about one of several records.
    pub(in crate::stream) fn at(mut self, at: usize) -> Problem {
        self.1["at"] = at.into();
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem(status, body) = self;
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The routes, with a limit on the bytes of a body and on how long it may take to come.
pub(in crate::stream) fn guarded(routes: Router, bytes: usize, time: Duration) -> Router {
    routes.layer(middleware::from_fn_with_state(time, whole)).layer(DefaultBodyLimit::max(bytes))
}

/// Reads a body before anybody looks at it, and says in the one form what the library says in others.
async fn whole(State(time): State<Duration>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Request::from_parts(parts.clone(), body);
    let response = match tokio::time::timeout(time, Bytes::from_request(asked, &())).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => {
            let detail = "the body did not come in time";
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", detail);
            // What may still come of it is no request.
            ([(header::CONNECTION, "close")], problem).into_response()
        }
    };
    in_one_form(response).await
}

/// An error that is no object yet made one, with its headers.
async fn in_one_form(response: Response) -> Response {
    let status = response.status();
    let is_object = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_object || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = match status {
        StatusCode::NOT_FOUND => "no_route",
        StatusCode::METHOD_NOT_ALLOWED => "no_method",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        _ => "malformed",
    };
    let (mut parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, SENTENCE_BYTES_MAX).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let reason = status.canonical_reason().unwrap_or("refused");
    let detail = if said.is_empty() { reason } else { &said };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let mut response = Problem::new(status, code, detail).into_response();
    response.headers_mut().extend(parts.headers);
    response
}
