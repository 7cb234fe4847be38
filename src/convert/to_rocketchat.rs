//! A message of Matrix in the form of Rocket.Chat.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Breaks a word without being seen.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// The content of an `m.room.message` as text; none when there is nothing in it.
pub fn text(content: &Value) -> Option<String> {
    let body = content.get("body").and_then(Value::as_str)?;
    let body: String = body
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    if body.trim().is_empty() {
        return None;
    }
    let kind = content
        .get("msgtype")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let said = match kind {
        "m.text" | "m.notice" => body,
        "m.emote" => format!("_{body}_"),
        other => {
            let what = other.strip_prefix("m.").unwrap_or("message");
            format!("[{what}: {body}]")
        }
    };
    Some(call_nobody(&said))
}

/// The text of a message that arrives long after it was written. Rocket.Chat
/// refuses any other time than now for the message itself.
pub fn late(text: &str, written: SystemTime) -> String {
    let seconds = written
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    format!("(written {})\n{text}", minute(seconds))
}

/// A time as `2026-01-31 23:59 UTC`, in the proleptic Gregorian calendar.
fn minute(seconds: u64) -> String {
    let days = seconds / 86_400;
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    let at = i64::try_from(days)
        .ok()
        .and_then(|days| time::Date::from_julian_day((days + 2_440_588).try_into().ok()?).ok());
    match at {
        Some(date) => format!(
            "{:04}-{:02}-{:02} {hour:02}:{minute:02} UTC",
            date.year(),
            u8::from(date.month()),
            date.day()
        ),
        None => "at an unknown time".to_owned(),
    }
}

/// `@all` and `@here` notify everybody on Rocket.Chat: whether the sender may do
/// that is not for the text to decide.
fn call_nobody(text: &str) -> String {
    let mut quiet = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, from) = rest.split_at(at);
        quiet.push_str(before);
        quiet.push('@');
        rest = &from[1..];
        let calls = ["all", "here"].iter().any(|name| {
            rest.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
                && !rest[name.len()..]
                    .starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_'))
        });
        if calls {
            quiet.push(ZERO_WIDTH_SPACE);
        }
    }
    quiet.push_str(rest);
    quiet
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn of(kind: &str, body: &str) -> Option<String> {
        text(&json!({ "msgtype": kind, "body": body }))
    }

    #[test]
    fn each_kind_of_message_has_its_form() {
        assert_eq!(of("m.text", "hi"), Some("hi".into()));
        assert_eq!(of("m.notice", "hi"), Some("hi".into()));
        assert_eq!(of("m.emote", "waves"), Some("_waves_".into()));
        assert_eq!(of("m.image", "cat.png"), Some("[image: cat.png]".into()));
        assert_eq!(of("org.example", "x"), Some("[message: x]".into()));
        assert_eq!(of("m.text", " \n"), None);
        assert_eq!(text(&json!({ "msgtype": "m.text" })), None);
        assert_eq!(text(&json!({ "msgtype": "m.text", "body": ["x"] })), None);
    }

    #[test]
    fn control_characters_do_not_travel() {
        assert_eq!(of("m.text", "a\u{0}b\r\nc\td"), Some("ab\nc\td".into()));
    }

    #[test]
    fn nobody_is_called_by_text_alone() {
        assert_eq!(
            of("m.text", "@all hi @HERE"),
            Some("@\u{200b}all hi @\u{200b}HERE".into())
        );
        assert_eq!(
            of("m.text", "a@b @allison é@"),
            Some("a@b @allison é@".into())
        );
    }

    #[test]
    fn a_late_message_says_when_it_was_written() {
        let written = UNIX_EPOCH + Duration::from_secs(1_795_203_457);
        assert_eq!(late("hi", written), "(written 2026-11-20 19:37 UTC)\nhi");
    }
}
