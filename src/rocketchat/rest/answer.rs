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

/// What a file's address answers with, whatever its type, at most `limit` bytes.
pub(super) async fn file(response: Response, limit: usize) -> Result<Vec<u8>, Error> {
    if response.status().is_success() {
        read(response, limit).await
    } else {
        body(response, limit).await
    }
}

/// Why there is no file in an answer that is not a good one. An empty 404 is Rocket.Chat's
/// for a file that it does not have; of its API it never gives one.
pub(super) async fn no_file(response: Response) -> Error {
    let (status, headers) = (response.status(), response.headers().clone());
    match read_at_most(response, GLANCE).await {
        Ok(body) if status == StatusCode::NOT_FOUND && body.is_empty() => {
            Error::refused("invalid-file")
        }
        Ok(body) => refusal(status, &headers, &body),
        Err(error) => error,
    }
}

/// Reads an answer that was said to be JSON. It must be an object: serde would take a
/// list for one, its elements for the fields in their order.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| *byte != b'{') {
        return Err(Error::NotRocketChat {
            what: "JSON that is no object",
        });
    }
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
            after: pause(headers, text.unwrap_or_default(), json.as_ref()),
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
            after: pause(headers, error, Some(json)),
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
        // Rocket.Chat answers 200 or 405 for a path that it does not have: this is a proxy
        // that has nothing behind it at the moment.
        StatusCode::NOT_FOUND => Error::NotRocketChat {
            what: "404 without JSON",
        },
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

/// How long to wait: the text says it by the server's own clock, and so does
/// `details.timeToReset` (in ms) where methods behind a path are limited; `Retry-After`
/// comes from proxies, `x-ratelimit-reset` is a time (in ms) of a clock that may differ from
/// ours.
fn pause(headers: &HeaderMap, text: String, json: Option<&Value>) -> Option<Duration> {
    let header =
        |name: &str| -> Option<i64> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    let seconds = |seconds: i64| seconds.checked_mul(1000);
    let ms = seconds_in(&text)
        .and_then(seconds)
        .or_else(|| json?.pointer("/details/timeToReset")?.as_i64())
        .or_else(|| header("retry-after").and_then(seconds))
        .or_else(|| {
            header("x-ratelimit-reset").and_then(|reset| reset.checked_sub(Timestamp::now().0))
        })?;
    Some(bounded(ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::retry::{Advice, Retryable as _};
    use crate::rocketchat::error::TwoFactorKind;

    /// Answers of a Rocket.Chat 6.14, one of each text.
    const REFUSALS: &str = include_str!("../../../tests/data/rocketchat/refusals.jsonl");

    fn refuse(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        refusal(StatusCode::from_u16(status).unwrap(), &map, body.as_bytes())
    }

    fn json(status: u16, body: &str) -> Error {
        refuse(
            status,
            &[("content-type", "application/json; charset=utf-8")],
            body,
        )
    }

    #[test]
    fn how_long_to_wait_may_stand_in_the_details() {
        // As methods refuse (6.14, recording 70), behind a path as well.
        let body = r#"{"success":false,"error":"Slow down [error-too-many-requests]",
            "errorType":"error-too-many-requests","details":{"timeToReset":7500,"seconds":8}}"#;
        for status in [400, 429] {
            let after = Some(Duration::from_millis(7500));
            assert_eq!(json(status, body), Error::RateLimited { after });
        }
    }

    #[test]
    fn every_recorded_refusal_has_its_family() {
        let mut seen = 0;
        for line in REFUSALS.lines() {
            let recorded: Value = serde_json::from_str(line).unwrap();
            let status = u16::try_from(recorded["status"].as_u64().unwrap()).unwrap();
            let headers: Vec<(&str, &str)> = recorded["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            let body = match &recorded["body"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let error = refuse(status, &headers, &body);
            let error_type = recorded["body"]["errorType"].as_str();
            let fits = match status {
                401 => matches!(error, Error::Unauthorized { .. } | Error::TwoFactor { .. }),
                403 => matches!(error, Error::Forbidden { .. }),
                405 => error == Error::EndpointMissing,
                429 => matches!(error, Error::RateLimited { after: Some(_) }),
                300..=399 => matches!(error, Error::NotRocketChat { .. }),
                400 if error_type.is_some_and(|kind| kind.starts_with("totp-")) => {
                    matches!(error, Error::TwoFactor { .. })
                }
                400 => matches!(error, Error::Refused { .. }),
                500..=599 => matches!(error, Error::Server { .. }),
                _ => true,
            };
            assert!(fits, "{line}\nbecame {error:?}");
            if let Some(kind) = error_type.filter(|kind| !kind.contains(' ')) {
                assert_eq!(error.code(), Some(kind), "{line}");
            }
            assert!(!error.person_text().is_empty());
            assert!(!error.person_text().contains('\n'), "{line}");
            seen += 1;
        }
        assert!(seen > 150);
    }

    #[test]
    fn the_code_is_found_wherever_it_stands() {
        let code = |body: &str| json(400, body).code().map(str::to_owned);
        let cases = [
            (
                r#"{"error":"Not allowed [error-not-allowed]","errorType":"error-not-allowed"}"#,
                Some("error-not-allowed"),
            ),
            (
                r#"{"error":"Not allowed [error-not-allowed]"}"#,
                Some("error-not-allowed"),
            ),
            (r#"{"error":"[invalid-channel]"}"#, Some("invalid-channel")),
            (
                r#"{"error":"error-invalid-room"}"#,
                Some("error-invalid-room"),
            ),
            (
                r#"{"error":"You_have_been_muted"}"#,
                Some("You_have_been_muted"),
            ),
            (
                r#"{"error":"not-allowed","errorType":"Not Allowed"}"#,
                Some("not-allowed"),
            ),
            // 7.7: typed routes have no brackets.
            (
                r#"{"errorType":"error-invalid-params","error":"must have required property 'x'"}"#,
                Some("error-invalid-params"),
            ),
            (
                r#"{"error":"Cannot read property 'starred' of undefined"}"#,
                None,
            ),
            (r#"{"success":false}"#, None),
            (r#"{"error":5,"errorType":{}}"#, Some("5")),
            (r#"{"error":"see [the manual]"}"#, None),
        ];
        for (body, expected) in cases {
            assert_eq!(code(body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn a_lost_login_looks_the_same_in_every_version() {
        for body in [
            r#"{"status":"error","message":"You must be logged in to do this."}"#,
            r#"{"success":false,"error":"You must be logged in to do this.","status":"error","message":"You must be logged in to do this."}"#,
            r#"{"success":false,"error":"You must be logged in to do this."}"#,
        ] {
            let error = json(401, body);
            assert!(error.is_unauthorized(), "{body}");
            assert_eq!(error.code(), None);
            assert_eq!(error.advice(), Advice::GiveUp);
        }
        let login = json(
            401,
            r#"{"status":"error","error":403,"message":"Incorrect password"}"#,
        );
        assert_eq!(login.code(), Some("403"));
    }

    #[test]
    fn second_factors_are_told_apart() {
        let required = json(
            401,
            r#"{"status":"error","error":"totp-required","details":{"method":"email"},"message":"TOTP Required"}"#,
        );
        assert_eq!(
            required,
            Error::TwoFactor {
                kind: TwoFactorKind::Required,
                method: Some("email".to_owned())
            }
        );
        let wrong = json(
            400,
            r#"{"success":false,"error":"TOTP Invalid [totp-invalid]","errorType":"totp-invalid","details":{"method":"password"}}"#,
        );
        assert_eq!(wrong.code(), Some("totp-invalid"));
    }

    #[test]
    fn slowing_down_in_every_form() {
        let after = |headers: &[(&str, &str)], body: &str| match refuse(429, headers, body) {
            Error::RateLimited { after } => after,
            other => panic!("{other:?}"),
        };
        let kind = ("content-type", "application/json");
        let text = r#"{"success":false,"error":"Error, too many requests. Please slow down. You must wait 60 seconds before trying this endpoint again. [error-too-many-requests]"}"#;
        assert_eq!(after(&[kind], text), Some(Duration::from_secs(60)));
        assert_eq!(
            after(&[("retry-after", "7")], "<html>"),
            Some(Duration::from_secs(7))
        );
        let reset = (Timestamp::now().0 + 20_000).to_string();
        let until = after(&[("x-ratelimit-reset", &reset)], "").unwrap();
        assert!(until > Duration::from_secs(15) && until <= Duration::from_secs(20));
        assert_eq!(
            after(&[("x-ratelimit-reset", "0")], ""),
            Some(Duration::ZERO)
        );
        assert_eq!(after(&[("retry-after", "99999999999999999")], ""), None);
        assert_eq!(
            after(&[("retry-after", "999999")], ""),
            Some(Duration::from_secs(3600))
        );
        assert_eq!(after(&[], ""), None);
        let coded = json(
            400,
            r#"{"error":"Too many [error-too-many-requests]","errorType":"error-too-many-requests"}"#,
        );
        assert!(matches!(coded, Error::RateLimited { .. }));
    }

    #[test]
    fn the_words_of_the_database_are_no_refusal() {
        let passing = [
            r#"{"success":false,"error":"not primary"}"#,
            r#"{"success":false,"error":"MongoServerSelectionError: Server selection timed out"}"#,
            r#"{"success":false,"error":"connect ECONNREFUSED 127.0.0.1:27017"}"#,
        ];
        for body in passing {
            let advice = json(400, body).advice();
            assert!(
                matches!(
                    advice,
                    Advice::Retry {
                        maybe_done: true,
                        ..
                    }
                ),
                "{body}"
            );
        }
        let lasting = [
            r#"{"success":false,"error":"You_have_been_muted"}"#,
            r#"{"success":false,"error":"E11000 duplicate key error collection: rocketchat"}"#,
            r#"{"success":false,"error":"x mongo [error-x]","errorType":"error-x"}"#,
        ];
        for body in lasting {
            assert_eq!(json(400, body).advice(), Advice::GiveUp, "{body}");
        }
    }

    #[test]
    fn what_is_in_between_is_not_taken_for_the_server() {
        let html = [("content-type", "text/html")];
        let page = "<html><script>__meteor_runtime_config__ = 1</script></html>";
        assert_eq!(refuse(200, &html, page), Error::EndpointMissing);
        assert!(matches!(
            refuse(200, &html, "<h1>Maintenance</h1>"),
            Error::NotRocketChat { .. }
        ));
        assert!(matches!(
            refuse(302, &html, ""),
            Error::NotRocketChat { .. }
        ));
        assert!(matches!(
            refuse(401, &html, "<h1>Log in</h1>"),
            Error::NotRocketChat { .. }
        ));
        assert_eq!(
            refuse(502, &html, "<h1>Bad gateway</h1>"),
            Error::Server { status: 502 }
        );
        assert_eq!(refuse(500, &[], ""), Error::Server { status: 500 });
        assert_eq!(
            json(
                405,
                r#"{"status":"error","message":"API endpoint does not exist"}"#
            ),
            Error::EndpointMissing
        );
        assert_eq!(refuse(405, &[], ""), Error::EndpointMissing);
        // A proxy that has nothing behind it while the server is being replaced.
        assert!(matches!(
            refuse(404, &[], "404 page not found"),
            Error::NotRocketChat { .. }
        ));
        assert_eq!(refuse(400, &html, "Bad Request").code(), Some("http-400"));
        assert_eq!(refuse(413, &html, "").code(), Some("http-413"));
    }

    #[test]
    fn an_error_never_shows_what_was_written() {
        let error = json(
            400,
            r#"{"error":"Match error: Expected array, got \"my secret\" in field x"}"#,
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert!(
            error.person_text().contains("my secret"),
            "the person may see their own words"
        );
    }
}
