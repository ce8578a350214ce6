//! `POST /v1/labels`: what was found true, into the topic of labels.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::decide::not_written;
use super::problem::Problem;
use super::routes::{App, records};
use super::tokens::Role;
use crate::event::Kind;

/// Labels of one request.
const LABELS_MAX: usize = 1_000;

pub(super) async fn labels(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let actor = app.admit(&headers, Role::Analyst)?;
    let (texts, _) = records(&body, LABELS_MAX)?;
    // All are checked before the first is written.
    let mut labels = Vec::new();
    for (at, text) in texts.into_iter().enumerate() {
        let label = app.check(text).and_then(|checked| match checked.kind {
            Kind::Label => Ok(checked),
            _ => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "no_label",
                "the kind of a label is label",
            )),
        });
        labels.push(label.map_err(|problem| problem.at(at))?);
    }
    for (at, label) in labels.iter().enumerate() {
        let topic = &app.config.labels;
        let appended =
            app.log.append(topic, (&label.key, &label.text), &[("actor", &actor.name)]).await;
        appended.map_err(|why| {
            let Problem(status, mut value) = not_written(&why);
            // Those before it are there; sent once more they are duplicates.
            value["written"] = at.into();
            Problem(status, value)
        })?;
    }
    Ok(Json(json!({ "written": labels.len() })).into_response())
}
