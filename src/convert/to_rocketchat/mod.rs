//! Content of Matrix in the form of Rocket.Chat: text in its dialect of Markdown.
//!
//! What was typed as text stays that text, to the letter; formatting becomes the
//! nearest that the dialect has; what the dialect lacks stays readable. Nobody is
//! mentioned who was not mentioned by the sender. None of it does any I/O.

mod absent;
mod alias;
mod command;
mod html;
mod kinds;
mod late;
mod layout;
mod line;
mod literal;
mod people;
mod person;
mod proof;
mod split;
#[cfg(test)]
mod tests;
mod urls;
mod write;

pub use absent::absent;
pub use alias::{alias, is_named, without_quotes};
pub use command::{ToBridge, to_bridge};
pub use kinds::{caption, event};
pub use late::late;
pub use people::matrix_link;
pub use person::allowed_name;
pub use split::split;

use ruma::{RoomOrAliasId, UserId};
use serde_json::Value;

use line::{Line, Piece, Style, What};
use people::Mentioned;

/// Breaks a word without being seen.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// What is known around a message.
pub struct Surroundings<'a> {
    /// The username to write for somebody of Matrix, if Rocket.Chat knows them.
    pub username: &'a dyn Fn(&UserId) -> Option<String>,
    /// The name of the channel that a room of Matrix is mirrored in.
    pub channel: &'a dyn Fn(&RoomOrAliasId) -> Option<String>,
    /// Whether the sender may notify everybody: then `@room` becomes `@all`.
    pub may_call_all: bool,
}

impl Surroundings<'_> {
    /// Where nobody is known.
    pub const EMPTY: Surroundings<'static> = Surroundings {
        username: &|_| None,
        channel: &|_| None,
        may_call_all: false,
    };
}

/// The content of an `m.room.message` as text in Rocket.Chat's dialect; none when
/// there is nothing in it.
pub fn message(content: &Value, with: &Surroundings<'_>) -> Option<String> {
    match content.get("msgtype").and_then(Value::as_str) {
        Some("m.text" | "m.notice") => finished(&said(content, Style::PLAIN, with)?),
        Some("m.emote") => emote(content, with),
        kind => kinds::message(kind.unwrap_or_default(), content, with),
    }
}

/// Text that stays text, to the letter.
pub fn plain(text: &str) -> String {
    let content = serde_json::json!({ "msgtype": "m.text", "body": text });
    message(&content, &Surroundings::EMPTY).unwrap_or_default()
}

/// As [`plain`], but what stands between two backticks is code.
pub fn plain_with_code(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let parts = text.split('`').count();
    for (number, part) in text.split('`').enumerate() {
        let part = part
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        // The last of an even number of parts has no second backtick.
        match (number % 2 == 1, number + 1 < parts) {
            (true, true) => html.push_str(&format!("<code>{part}</code>")),
            (true, false) => html.push_str(&format!("`{part}")),
            (false, _) => html.push_str(&part.replace('\n', "<br>")),
        }
    }
    let content = serde_json::json!({
        "msgtype": "m.text", "body": text,
        "format": "org.matrix.custom.html", "formatted_body": html,
    });
    message(&content, &Surroundings::EMPTY).unwrap_or_default()
}

/// What a content says, as formatted text if it has that, else as plain text.
fn said(content: &Value, style: Style, with: &Surroundings<'_>) -> Option<Vec<Line>> {
    let people = Mentioned::of(content, with);
    let is_html = content.get("format").and_then(Value::as_str) == Some("org.matrix.custom.html");
    let formatted = content
        .get("formatted_body")
        .and_then(Value::as_str)
        .filter(|_| is_html)
        .and_then(html::parse)
        .map(|nodes| layout::lines(&nodes, style, &people, with))
        .filter(|lines| says_something(lines));
    formatted.or_else(|| {
        let body = content.get("body")?.as_str()?;
        let body = clean(body);
        let body = match in_reply_to(content) {
            true => without_fallback(&body),
            false => &body,
        };
        Some(typed(body, style, &people))
    })
}

/// Plain text as lines.
fn typed(text: &str, style: Style, people: &Mentioned) -> Vec<Line> {
    text.split('\n')
        .map(|text| {
            let mut pieces = Vec::new();
            line::add_typed(&mut pieces, text, style, people);
            Line::Pieces {
                prefix: String::new(),
                pieces,
            }
        })
        .collect()
}

/// An emote in italics, or after an asterisk where italics cannot be written.
fn emote(content: &Value, with: &Surroundings<'_>) -> Option<String> {
    let italic = said(content, Style::ITALIC, with)?;
    let only_text = italic
        .iter()
        .all(|line| matches!(line, Line::Pieces { prefix, .. } if prefix.is_empty()));
    let written = write::lines(&italic);
    if only_text && written.emphasis_held {
        return says_something(&italic).then_some(written.text);
    }
    let mut lines = said(content, Style::PLAIN, with)?;
    // An asterisk that might find another one in its line is text like any other.
    let is_lone = |piece: &Piece| {
        piece.style == Style::PLAIN
            && matches!(&piece.what, What::Text(text) | What::Url(text) if !text.contains('*'))
    };
    match lines.first_mut() {
        Some(Line::Pieces { prefix, pieces }) if prefix.is_empty() => {
            if pieces.iter().all(is_lone) {
                *prefix = format!("{ZERO_WIDTH_SPACE}* ");
            } else {
                pieces.insert(0, Piece::text("* "));
            }
        }
        _ => lines.insert(0, line_of(vec![Piece::text("* ")])),
    }
    finished(&lines)
}

/// Lines as text; none when there is nothing to be seen in them.
fn finished(lines: &[Line]) -> Option<String> {
    says_something(lines).then(|| write::lines(lines).text)
}

/// Whether there is anything to be seen in lines.
fn says_something(lines: &[Line]) -> bool {
    lines.iter().any(|line| match line {
        Line::Verbatim(code) => is_seen(code),
        Line::Pieces { prefix, pieces } => {
            is_seen(prefix) || pieces.iter().any(|piece| is_seen(piece.what.text()))
        }
    })
}

fn is_seen(text: &str) -> bool {
    text.contains(|c: char| !c.is_whitespace() && c != ZERO_WIDTH_SPACE)
}

/// One line of pieces.
fn line_of(pieces: Vec<Piece>) -> Line {
    Line::Pieces {
        prefix: String::new(),
        pieces,
    }
}

/// `[what: name]`.
fn labelled(what: &str, name: &str) -> Line {
    let piece = |what| Piece {
        what,
        style: Style::PLAIN,
    };
    line_of(vec![
        Piece::text("["),
        piece(What::Name(line::on_one_line(what))),
        Piece::text(": "),
        piece(What::Name(line::on_one_line(name))),
        Piece::text("]"),
    ])
}

/// Without characters that are not text, and with line breaks of one kind.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

fn in_reply_to(content: &Value) -> bool {
    content
        .get("m.relates_to")
        .and_then(|relation| relation.get("m.in_reply_to"))
        .is_some()
}

/// A body without the quote that older clients put before a reply.
fn without_fallback(body: &str) -> &str {
    if !body.starts_with("> <@") && !body.starts_with("> * <@") {
        return body;
    }
    let mut rest = body;
    while rest.starts_with('>') {
        match rest.split_once('\n') {
            Some((_, after)) => rest = after,
            None => return "",
        }
    }
    rest.strip_prefix('\n').unwrap_or(rest)
}
