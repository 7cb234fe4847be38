//! What an HTTP answer means: pure, so that its tests are tables.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::matrix::error::Kind;
use crate::secret::Secret;

/// However long a server asks us to stay away, we come back after this: a
/// mistaken header must not silence the bridge for a year.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Of the homeserver's words, this many characters are shown.
const SHOWN_CHARS: usize = 200;

/// An answer as it came.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Why a body is not whole.
pub(super) enum Cut {
    /// It exceeded this many bytes.
    TooLarge(usize),
    /// The connection was lost, for this reason.
    Lost(String),
}

/// Lets a success with its whole body pass and names everything else.
pub(super) fn judge(answer: Answer, cut: Option<Cut>, token: &Secret) -> Result<Answer, Kind> {
    let status = answer.status.as_u16();
    let refusal = Refusal::read(&answer, token);
    let after = longest_pause(&answer.headers, refusal.retry_after, SystemTime::now());
    if status >= 500 {
        return Err(Kind::Server {
            status,
            code: refusal.code,
            message: refusal.message,
            after,
        });
    }
    if status == 429 || refusal.code.as_deref() == Some("M_LIMIT_EXCEEDED") && status >= 400 {
        return Err(Kind::RateLimited { after });
    }
    let success = answer.status.is_success();
    match cut {
        Some(Cut::TooLarge(bound)) if success => {
            return Err(Kind::TooLarge {
                reason: format!("the answer has more than {bound} bytes"),
                maybe_done: true,
            });
        }
        Some(Cut::Lost(reason)) => {
            return Err(Kind::Transport {
                reason: format!("the answer was cut off: {reason}"),
                maybe_done: true,
            });
        }
        _ => {}
    }
    if success {
        return Ok(answer);
    }
    match (status, refusal.code) {
        (400.., Some(code)) => Err(Kind::Api {
            status,
            code,
            message: refusal.message.unwrap_or_default(),
        }),
        (413, None) => Err(Kind::TooLarge {
            reason: "a proxy before the homeserver found the request too large".to_owned(),
            maybe_done: false,
        }),
        // What a proxy finds wrong with the request itself stays wrong.
        (400 | 414 | 431, None) => Err(Kind::Request {
            reason: format!("a proxy before the homeserver refused it with status {status}"),
        }),
        (300..400, _) => Err(Kind::NotMatrix {
            status,
            reason: "a redirect, which is not followed; is homeserver.url the final address?"
                .to_owned(),
            maybe_done: false,
        }),
        _ => Err(Kind::NotMatrix {
            status,
            reason: what_is_odd(&answer.headers, &answer.body),
            maybe_done: false,
        }),
    }
}

/// Says what an answer is that is not what was expected; nothing of its content.
pub(super) fn what_is_odd(headers: &HeaderMap, body: &[u8]) -> String {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim())
        .filter(|value| value.len() <= 60)
        .unwrap_or("no content type");
    let found = if body.is_empty() {
        "an empty body"
    } else if body.trim_ascii_start().starts_with(b"<") {
        "HTML or XML"
    } else if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        "JSON of another shape"
    } else {
        "no valid JSON"
    };
    format!("{found} ({declared}, {} bytes)", body.len())
}

/// What a Matrix error body says.
#[derive(Default)]
struct Refusal {
    code: Option<String>,
    message: Option<String>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn read(answer: &Answer, token: &Secret) -> Self {
        if answer.status.is_success() {
            return Self::default();
        }
        let Ok(Value::Object(body)) = serde_json::from_slice(&answer.body) else {
            return Self::default();
        };
        let code = body
            .get("errcode")
            .and_then(Value::as_str)
            .filter(|code| (1..=100).contains(&code.len()))
            .filter(|code| {
                code.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
            })
            .map(str::to_owned);
        let message = body
            .get("error")
            .and_then(Value::as_str)
            .filter(|message| !message.contains(token.expose()))
            .map(|message| {
                message
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(SHOWN_CHARS)
                    .collect()
            });
        let retry_after = body
            .get("retry_after_ms")
            .and_then(Value::as_f64)
            .filter(|ms| *ms >= 0.0)
            .map(|ms| Duration::from_millis(ms as u64));
        Self {
            code,
            message,
            retry_after,
        }
    }
}

/// The longer of the header and the body's hint, within reason.
fn longest_pause(headers: &HeaderMap, body: Option<Duration>, now: SystemTime) -> Option<Duration> {
    let header = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, now));
    header.max(body).map(|pause| pause.min(LONGEST_PAUSE))
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long time, not none.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";

    fn judged(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Answer, Kind> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map,
            body: body.as_bytes().to_vec(),
        };
        judge(answer, None, &Secret::new("sesame"))
    }

    fn refused(status: u16, headers: &[(&str, &str)], body: &str) -> Kind {
        match judged(status, headers, body) {
            Err(kind) => kind,
            Ok(_) => panic!("status {status} passed for a success"),
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date() {
        let noon = httpdate::parse_http_date(NOON).unwrap();
        let table = [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 12:01:30 GMT", Some(90)),
            ("Sun, 06 Nov 1994 11:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in table {
            assert_eq!(
                retry_after(value, noon),
                seconds.map(Duration::from_secs),
                "Retry-After: {value:?}"
            );
        }
    }

    #[test]
    fn of_two_hints_to_wait_the_longer_counts() {
        let body = r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":2500}"#;
        for (header, ms) in [("1", 2500), ("3", 3000), ("nonsense", 2500)] {
            assert_eq!(
                refused(429, &[("retry-after", header)], body),
                Kind::RateLimited {
                    after: Some(Duration::from_millis(ms))
                }
            );
        }
        assert_eq!(
            refused(429, &[], "<html>"),
            Kind::RateLimited { after: None }
        );
        assert_eq!(
            refused(429, &[("retry-after", "31536000")], ""),
            Kind::RateLimited {
                after: Some(LONGEST_PAUSE)
            }
        );
        for odd in ["-5", "\"5\"", "null", "[]"] {
            let body = format!(r#"{{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":{odd}}}"#);
            assert_eq!(refused(429, &[], &body), Kind::RateLimited { after: None });
        }
    }

    #[test]
    fn a_refusal_carries_code_and_shortened_words() {
        let long = "x".repeat(5000);
        let body = format!(r#"{{"errcode":"M_FORBIDDEN","error":"no\r\n{long}"}}"#);
        let Kind::Api {
            status,
            code,
            message,
        } = refused(403, &[], &body)
        else {
            panic!("a Matrix error was not taken for one");
        };
        assert_eq!((status, code.as_str()), (403, "M_FORBIDDEN"));
        assert_eq!(message.chars().count(), SHOWN_CHARS);
        assert!(!message.contains('\n') && !message.contains('\r'));
    }

    #[test]
    fn words_that_hold_our_token_are_withheld() {
        let body = r#"{"errcode":"M_UNKNOWN_TOKEN","error":"unknown token sesame"}"#;
        assert!(!format!("{:?}", refused(401, &[], body)).contains("sesame"));
    }

    #[test]
    fn what_a_proxy_says_is_not_taken_for_the_homeserver() {
        for status in [301, 302, 307, 401, 403, 404, 405, 408] {
            assert!(
                matches!(
                    refused(
                        status,
                        &[("content-type", "text/html")],
                        "<html>nope</html>"
                    ),
                    Kind::NotMatrix {
                        maybe_done: false,
                        ..
                    }
                ),
                "status {status}"
            );
        }
        assert!(matches!(refused(413, &[], "<html>"), Kind::TooLarge { .. }));
        assert!(matches!(refused(400, &[], "<html>"), Kind::Request { .. }));
        for status in [500, 502, 503, 504, 520] {
            assert!(
                matches!(
                    refused(status, &[], "<html>"),
                    Kind::Server { code: None, .. }
                ),
                "status {status}"
            );
        }
    }

    #[test]
    fn an_error_code_must_look_like_one() {
        for code in ["", "M FORBIDDEN", "M_\\n", "{}"] {
            let body = format!(r#"{{"errcode":"{code}","error":"x"}}"#);
            assert!(
                matches!(refused(403, &[], &body), Kind::NotMatrix { .. }),
                "{code:?}"
            );
        }
        let body = r#"{"errcode":17,"error":{}}"#;
        assert!(matches!(refused(403, &[], body), Kind::NotMatrix { .. }));
    }

    #[test]
    fn an_odd_answer_is_described_without_its_content() {
        let kind = refused(404, &[("content-type", "text/html; x")], "<p>secret</p>");
        let text = format!("{kind:?}");
        assert!(text.contains("HTML") && text.contains("text/html"));
        assert!(!text.contains("secret"));
    }
}
