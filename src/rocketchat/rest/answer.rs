//! From an HTTP answer to a value or an error: the only place that knows how
//! Rocket.Chat says no.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::rocketchat::documents::Timestamp;
use crate::rocketchat::error::Error;

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
    let _ = (
        status,
        headers,
        body,
        Duration::ZERO,
        RETRY_AFTER,
        Timestamp::now(),
    );
    let _ = Value::Null;
    todo!()
}
