//! The envelopes of answers (facts 0.2).

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::{Value, json};

use crate::{error::Failure, json::RestView, profile::VersionProfile};

/// A JSON answer with the headers that every API answer has.
pub fn json_reply(status: StatusCode, body: &Value) -> HttpResponse {
    plain_reply(
        status,
        serde_json::to_string(&RestView(body)).unwrap_or_default(),
    )
}

/// A JSON text with the headers that every API answer has.
pub fn plain_reply(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("application/json")
        .insert_header(("cache-control", "no-store"))
        .insert_header(("pragma", "no-cache"))
        .insert_header(("access-control-allow-origin", "*"))
        .body(text)
}

/// An HTML page with the charset that the server names.
pub fn html(status: StatusCode, body: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header(("content-type", "text/html; charset=utf-8"))
        .insert_header(("access-control-allow-origin", "*"))
        .body(body.into())
}

/// Status and body of a failure.
pub fn failure(failure: &Failure, profile: VersionProfile) -> (StatusCode, Value) {
    let bad = StatusCode::BAD_REQUEST;
    match failure {
        Failure::Coded {
            code,
            reason,
            details,
        } => {
            let shown = reason.as_ref().map_or_else(
                || format!("[{code}]"),
                |reason| format!("{reason} [{code}]"),
            );
            let mut body = json!({ "success": false, "error": shown });
            if code == "error-unauthorized" {
                return (StatusCode::FORBIDDEN, body);
            }
            body["errorType"] = json!(code);
            if let Some(details) = details {
                body["details"] = details.clone();
            }
            (bad, body)
        }
        Failure::Plain(text) => (bad, json!({ "success": false, "error": text })),
        Failure::Written { error, kind } => {
            let mut body = json!({ "success": false });
            if let Some(error) = error {
                body["error"] = json!(error);
            }
            if let Some(kind) = kind {
                body["errorType"] = json!(kind);
            }
            (bad, body)
        }
        Failure::Schema(text)
            if matches!(profile, VersionProfile::V6_9 | VersionProfile::V6_14) =>
        {
            (
                bad,
                json!({ "success": false, "error": format!("{text} [invalid-params]"), "errorType": "invalid-params" }),
            )
        }
        Failure::Schema(text) => (
            bad,
            json!({ "success": false, "errorType": "error-invalid-params", "error": text }),
        ),
        Failure::Forbidden => {
            let text = if profile == VersionProfile::V8_0 {
                "forbidden"
            } else {
                "unauthorized"
            };
            (
                StatusCode::FORBIDDEN,
                json!({ "success": false, "error": text }),
            )
        }
        Failure::NotLoggedIn => {
            let text = "You must be logged in to do this.";
            let body = match profile {
                VersionProfile::V6_9 | VersionProfile::V6_14 => {
                    json!({ "status": "error", "message": text })
                }
                VersionProfile::V7_7 => {
                    json!({ "success": false, "error": text, "status": "error", "message": text })
                }
                VersionProfile::V8_0 => json!({ "success": false, "error": text }),
            };
            (StatusCode::UNAUTHORIZED, body)
        }
        Failure::Login {
            error,
            message,
            details,
        } => {
            let mut body = json!({ "status": "error", "message": message });
            if let Some(error) = error {
                body["error"] = error.clone();
            }
            if let Some(details) = details {
                body["details"] = details.clone();
            }
            (StatusCode::UNAUTHORIZED, body)
        }
    }
}
