//! Commands that the App on Rocket.Chat passes on. This path needs no `hs_token`: each call
//! is signed, and whether it is believed only the handler knows.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::Handler;
use super::reply::Refusal;
use super::routes::{Limits, Shared, whole};

/// A command is a line that somebody typed.
const BODY_BYTES: usize = 256 * 1024;

/// A call as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct AppCall {
    /// When it was made, in ms since 1970, as the App says.
    pub time: String,
    /// That it is the App's.
    pub signature: String,
    /// What it asks for, in JSON.
    pub body: Vec<u8>,
}

/// Without the signature and what somebody typed.
impl std::fmt::Debug for AppCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AppCall(at {}, {} bytes)", self.time, self.body.len())
    }
}

/// What the App is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppAnswer {
    /// What the person reads.
    Said(String),
    /// The same, when they ask too often.
    TooMany(String),
    /// The call is not the App's, or too old.
    NotBelieved,
    /// The call is the App's and cannot be read.
    NotUnderstood,
    /// A server is away.
    NotNow,
}

pub(super) async fn command<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let limits = Limits {
        body_bytes: BODY_BYTES.min(shared.limits.body_bytes),
        ..shared.limits.clone()
    };
    let body = whole(&request, payload, &limits).await?;
    let call = AppCall {
        time: header(request.headers(), "x-bridge-time"),
        signature: header(request.headers(), "x-bridge-signature"),
        body,
    };
    let handler = Arc::clone(&shared.handler);
    let answer = shared
        .run(async move { Ok(handler.app_command(call).await) })
        .await?;
    let (status, body) = match answer {
        AppAnswer::Said(text) => (StatusCode::OK, json!({ "text": text })),
        AppAnswer::TooMany(text) => (StatusCode::TOO_MANY_REQUESTS, json!({ "text": text })),
        AppAnswer::NotBelieved => (
            StatusCode::UNAUTHORIZED,
            json!({ "error": "this call is not signed by the App, or its clock is wrong" }),
        ),
        AppAnswer::NotUnderstood => (
            StatusCode::BAD_REQUEST,
            json!({ "error": "this is no command" }),
        ),
        AppAnswer::NotNow => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "error": "a server is away" }),
        ),
    };
    Ok(HttpResponse::build(status).json(body))
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
