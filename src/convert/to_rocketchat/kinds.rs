//! What is not a message of text: said in words.

use serde_json::Value;

use super::line::{Line, Piece, Style, What, on_one_line};
use super::people::Mentioned;
use super::{Surroundings, clean, finished, labelled, line_of, said, says_something, typed};

/// Characters of an identifier that are shown.
const MAX_KIND: usize = 64;
/// Answers of a poll that are shown; the specification allows 20.
const MAX_ANSWERS: usize = 50;

/// An `m.room.message` that is neither text nor emote nor notice.
pub(super) fn message(kind: &str, content: &Value, with: &Surroundings<'_>) -> Option<String> {
    match kind {
        "m.image" | "m.video" | "m.audio" | "m.file" => file(kind, content, with),
        "m.location" => location(content),
        _ => {
            let lines = said(content, Style::PLAIN, with)?;
            if !says_something(&lines) {
                return None;
            }
            let name = match kind.strip_prefix("m.").unwrap_or(kind) {
                "" => "message".to_owned(),
                name => shortened(name),
            };
            Some(finished(&with_label(&name, lines))?)
        }
    }
}

/// An event that is not an `m.room.message`, as text that says what it is. None for
/// what says nothing to people: the signalling within a call, reactions and
/// redactions, which have their own ways, and messages without content.
pub fn event(kind: &str, content: &Value, with: &Surroundings<'_>) -> Option<String> {
    match kind {
        "m.room.message" => super::message(content, with),
        "m.sticker" => finished(&[labelled("sticker", fallback(content)?)]),
        "m.location" | "org.matrix.msc3488.location" => location(content),
        "m.poll.start" | "org.matrix.msc3381.poll.start" => {
            poll(content).or_else(|| Some("[poll]".to_owned()))
        }
        "m.poll.response" | "org.matrix.msc3381.poll.response" => {
            Some("[voted in a poll]".to_owned())
        }
        "m.poll.end" | "org.matrix.msc3381.poll.end" => Some("[poll ended]".to_owned()),
        "m.beacon_info" | "org.matrix.msc3672.beacon_info" => {
            Some("[live location shared]".to_owned())
        }
        "m.call.invite" => Some(format!("[{} call started]", call_kind(content))),
        "m.call.hangup" => Some("[call ended]".to_owned()),
        "m.call.reject" => Some("[call declined]".to_owned()),
        "m.call.notify"
        | "org.matrix.msc4075.call.notify"
        | "m.rtc.notification"
        | "org.matrix.msc4075.rtc.notification" => Some("[call started]".to_owned()),
        "m.call.answer"
        | "m.call.candidates"
        | "m.call.select_answer"
        | "m.call.negotiate"
        | "m.call.sdp_stream_metadata_changed"
        | "org.matrix.call.sdp_stream_metadata_changed"
        | "m.reaction"
        | "m.room.redaction" => None,
        _ => unknown(kind, content, with),
    }
}

/// `[kind: name]` and the caption, if there is one (MSC2530).
fn file(kind: &str, content: &Value, with: &Surroundings<'_>) -> Option<String> {
    let mut lines = vec![file_label(file_kind(kind, content), file_name(content))];
    lines.extend(caption_lines(content, with));
    finished(&lines)
}

/// What a message with a file says beside it (MSC2530), if it says anything.
pub fn caption(content: &Value, with: &Surroundings<'_>) -> Option<String> {
    finished(&caption_lines(content, with))
}

/// What a file is called in front of people, by the `msgtype`.
fn file_kind<'a>(kind: &'a str, content: &Value) -> &'a str {
    let voice = ["m.voice", "org.matrix.msc3245.voice"]
        .iter()
        .any(|key| content.get(key).is_some());
    match kind.strip_prefix("m.") {
        Some("audio") if voice => "voice message",
        Some(what) => what,
        None => "file",
    }
}

fn file_name(content: &Value) -> Option<&str> {
    let text = |key| content.get(key).and_then(Value::as_str);
    let name = text("filename").filter(|name| !name.trim().is_empty());
    name.or(text("body"))
}

fn file_label(what: &str, name: Option<&str>) -> Line {
    match name.filter(|name| !name.trim().is_empty()) {
        Some(name) => labelled(what, &clean(name)),
        None => line_of(vec![Piece::text(format!("[{what}]"))]),
    }
}

/// The body is a caption only where the name of the file stands elsewhere, and is
/// another.
fn caption_lines(content: &Value, with: &Surroundings<'_>) -> Vec<Line> {
    let text = |key| content.get(key).and_then(Value::as_str);
    let name = text("filename").filter(|name| !name.trim().is_empty());
    if name.is_none() || text("body") == name {
        return Vec::new();
    }
    said(content, Style::PLAIN, with)
        .filter(|caption| says_something(caption))
        .unwrap_or_default()
}

/// What the place is called, and where it is on a map.
fn location(content: &Value) -> Option<String> {
    let place = ["m.location", "org.matrix.msc3488.location"]
        .iter()
        .find_map(|key| content.get(key));
    let within = |key: &str| place.and_then(|place| place.get(key)?.as_str());
    let uri = content
        .get("geo_uri")
        .and_then(Value::as_str)
        .or_else(|| within("uri"));
    let name = within("description")
        .or_else(|| fallback(content))
        .filter(|name| !name.trim().is_empty());
    let mut line = match labelled("location", name.or(uri)?) {
        Line::Pieces { pieces, .. } => pieces,
        Line::Verbatim(_) => Vec::new(),
    };
    if let Some((latitude, longitude)) = uri.and_then(coordinates) {
        line.push(Piece::text(" "));
        line.push(Piece {
            what: What::Url(format!(
                "https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}"
            )),
            style: Style::PLAIN,
        });
    }
    finished(&[line_of(line)])
}

/// Latitude and longitude in degrees from a `geo:` URI (RFC 5870); none when they
/// are not on Earth.
fn coordinates(uri: &str) -> Option<(f64, f64)> {
    let mut numbers = uri.strip_prefix("geo:")?.split(';').next()?.split(',');
    let mut degrees = |limit: f64| {
        let number = numbers.next()?.trim();
        let plain = number.len() <= 30
            && number
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
        let number: f64 = number.parse().ok().filter(|_| plain)?;
        (number.abs() <= limit).then_some(number)
    };
    Some((degrees(90.0)?, degrees(180.0)?))
}

/// The question and its answers.
fn poll(content: &Value) -> Option<String> {
    let poll = ["m.poll", "m.poll.start", "org.matrix.msc3381.poll.start"]
        .iter()
        .find_map(|key| content.get(key))?;
    let question = extensible_text(poll.get("question")?)?;
    let mut lines = vec![labelled("poll", &clean(question))];
    let answers = poll.get("answers").and_then(Value::as_array);
    let answers: Vec<&str> = answers
        .into_iter()
        .flatten()
        .filter_map(extensible_text)
        .collect();
    for answer in answers.iter().take(MAX_ANSWERS) {
        lines.push(Line::Pieces {
            prefix: "- ".to_owned(),
            pieces: vec![Piece::text(on_one_line(answer))],
        });
    }
    if let Some(more @ 1..) = answers.len().checked_sub(MAX_ANSWERS) {
        lines.push(line_of(vec![Piece::text(format!("… and {more} more"))]));
    }
    finished(&lines)
}

fn call_kind(content: &Value) -> &'static str {
    let sdp = content
        .get("offer")
        .and_then(|offer| offer.get("sdp")?.as_str())
        .unwrap_or_default();
    if sdp.contains("m=video") {
        "video"
    } else {
        "voice"
    }
}

/// An event of a type that the bridge does not know.
fn unknown(kind: &str, content: &Value, with: &Surroundings<'_>) -> Option<String> {
    if let Some(text) = fallback(content) {
        let people = Mentioned::of(content, with);
        if let Some(said) = finished(&typed(&clean(text), Style::PLAIN, &people)) {
            return Some(said);
        }
    }
    finished(&[line_of(vec![
        Piece::text("[a message of type "),
        Piece {
            what: What::Name(shortened(kind)),
            style: Style::PLAIN,
        },
        Piece::text(" that cannot be shown here]"),
    ])])
}

/// The text that an event brings for programs that do not know its type.
fn fallback(content: &Value) -> Option<&str> {
    content
        .get("body")
        .and_then(Value::as_str)
        .or_else(|| extensible_text(content))
}

/// The text of extensible events (MSC1767): a string, or a list of which an entry is
/// plain text.
fn extensible_text(content: &Value) -> Option<&str> {
    ["m.text", "org.matrix.msc1767.text", "body"]
        .iter()
        .filter_map(|key| content.get(key))
        .find_map(|text| match text {
            Value::String(text) => Some(text.as_str()),
            Value::Array(forms) => forms
                .iter()
                .filter(|form| {
                    form.get("mimetype")
                        .is_none_or(|kind| kind.as_str() == Some("text/plain"))
                })
                .find_map(|form| form.get("body")?.as_str()),
            _ => None,
        })
}

/// Puts `[name: …]` around lines.
fn with_label(name: &str, mut lines: Vec<Line>) -> Vec<Line> {
    let label = vec![
        Piece::text("["),
        Piece {
            what: What::Name(name.to_owned()),
            style: Style::PLAIN,
        },
        Piece::text(": "),
    ];
    match lines.first_mut() {
        Some(Line::Pieces { prefix, pieces }) if prefix.is_empty() => {
            pieces.splice(0..0, label);
        }
        _ => lines.insert(0, line_of(label)),
    }
    match lines.last_mut() {
        Some(Line::Pieces { pieces, .. }) => pieces.push(Piece::text("]")),
        _ => lines.push(line_of(vec![Piece::text("]")])),
    }
    lines
}

fn shortened(kind: &str) -> String {
    let kind = on_one_line(kind);
    match kind.char_indices().nth(MAX_KIND) {
        Some((end, _)) => format!("{}…", &kind[..end]),
        None => kind,
    }
}
