//! From an HTTP answer to a value or an error: the only place that knows how
//! Rocket.Chat says no.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::rocketchat::documents::Timestamp;
use crate::rocketchat::error::{Error, Failure, ServerText, bounded, seconds_in, two_factor};

/// How much of an answer that is not JSON is looked at.
const GLANCE: usize = 64 * 1024;
/// How much of an error answer is read.
const ERROR_LIMIT: usize = 1024 * 1024;

/// What became of a request that got no answer. The address is never kept.
pub(super) fn transport(error: &reqwest::Error) -> Error {
    let (maybe_done, what) = if error.is_builder() {
        (false, "the request cannot be built")
    } else if error.is_connect() {
        (false, "no connection")
    } else if error.is_timeout() {
        (true, "timeout")
    } else if error.is_body() || error.is_decode() {
        (true, "the answer broke off")
    } else {
        (true, "the connection was lost")
    };
    Error::Transport { maybe_done, what }
}

/// The body of a good answer, at most `limit` bytes; anything else is an error.
pub(super) async fn body(response: Response, limit: usize) -> Result<Vec<u8>, Error> {
    let status = response.status();
    let headers = response.headers().clone();
    let json = is_json(&headers);
    if status.is_success() && json {
        return read(response, limit).await;
    }
    let cap = if json { ERROR_LIMIT } else { GLANCE };
    let body = read_at_most(response, cap).await?;
    Err(refusal(status, &headers, &body))
}

/// Reads an answer that was said to be JSON.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() {
            Error::Transport {
                maybe_done: true,
                what: "the answer broke off",
            }
        } else {
            Error::NotRocketChat {
                what: "JSON of another shape than asked for",
            }
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Error> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(Error::TooLarge { limit });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| transport(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The beginning of a body: the rest is not waited for.
async fn read_at_most(mut response: Response, cap: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| transport(&e))? {
        body.extend_from_slice(&chunk);
        if body.len() >= cap {
            break;
        }
    }
    body.truncate(cap);
    Ok(body)
}

/// Which error an answer that is not a good one stands for.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let json = is_json(headers)
        .then(|| serde_json::from_slice::<Value>(body).ok())
        .flatten()
        .filter(Value::is_object);
    if status.is_success() {
        // Unknown paths are answered with the page of the web client.
        return if contains(body, b"__meteor_runtime_config__") {
            Error::EndpointMissing
        } else {
            Error::NotRocketChat {
                what: "something else than JSON",
            }
        };
    }
    if status.is_redirection() {
        return Error::NotRocketChat { what: "a redirect" };
    }
    if status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY)
    {
        return Error::Server {
            status: status.as_u16(),
        };
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        let text = json.as_ref().map(|json| text(json, "error"));
        return Error::RateLimited {
            after: pause(headers, text.unwrap_or_default()),
        };
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        return Error::EndpointMissing;
    }
    match json {
        Some(json) => from_json(status, headers, &json),
        None => from_elsewhere(status, body),
    }
}

fn from_json(status: StatusCode, headers: &HeaderMap, json: &Value) -> Error {
    let error = text(json, "error");
    let message = text(json, "message");
    let failure = Failure::read(&error, json["errorType"].as_str());
    if let Some(error) = two_factor(failure.code.as_deref(), json) {
        return error;
    }
    match status {
        StatusCode::UNAUTHORIZED => Error::Unauthorized {
            code: failure.code,
            text: ServerText::new(if message.is_empty() { &error } else { &message }),
        },
        StatusCode::FORBIDDEN => Error::Forbidden {
            text: ServerText::new(&failure.text),
        },
        _ if failure.code.as_deref() == Some("error-too-many-requests") => Error::RateLimited {
            after: pause(headers, error),
        },
        _ => Error::Refused {
            error: ServerText::new(&error),
            code: failure.code,
            text: ServerText::new(&failure.text),
        },
    }
}

/// A refusal without JSON: an empty one is Rocket.Chat's, a page is mostly that of
/// something in between.
fn from_elsewhere(status: StatusCode, body: &[u8]) -> Error {
    match status {
        StatusCode::NOT_FOUND => Error::EndpointMissing,
        StatusCode::FORBIDDEN if body.is_empty() => Error::Forbidden {
            text: ServerText::default(),
        },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::NotRocketChat {
            what: "a refusal without JSON",
        },
        _ => Error::refused(&format!("http-{}", status.as_u16())),
    }
}

/// The value of a key as text; login failures have numbers among their codes.
fn text(json: &Value, key: &str) -> String {
    match &json[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|part| part == wanted)
}

/// How long to wait: the text says it by the server's own clock, `Retry-After` comes
/// from proxies, `x-ratelimit-reset` is a time (in ms) of a clock that may differ from
/// ours.
fn pause(headers: &HeaderMap, text: String) -> Option<Duration> {
    let header =
        |name: &str| -> Option<i64> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    let seconds = |seconds: i64| seconds.checked_mul(1000);
    let ms = seconds_in(&text)
        .and_then(seconds)
        .or_else(|| header("retry-after").and_then(seconds))
        .or_else(|| {
            header("x-ratelimit-reset").and_then(|reset| reset.checked_sub(Timestamp::now().0))
        })?;
    Some(bounded(ms))
}
