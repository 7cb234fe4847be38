//! A message of Rocket.Chat in the form of Matrix.
//!
//! * [`render`]: a message's tree as text and HTML.
//! * [`say`]: all of a message: its tree, what is attached, an app's blocks.
//! * [`fit`], [`split_text`]: what is too long for one event.
//!
//! Who and what a name means only the [`Directory`] says, which the caller has made
//! for this message: a tree has names as they were typed.

mod attachments;
mod card;
mod markup;
mod moment;
mod plain;
mod rendered;
mod safe;
mod size;
mod uikit;

pub use attachments::{Parse, quoted, say};
pub use markup::render;
pub use rendered::{Channel, Directory, Person, Rendered};
pub use size::{LEAST_PIECE, bytes_in_json, fit, split_text};

use crate::rocketchat::documents::{Attachment, Message};

/// How much text an event can carry, in bytes: an event has at most 65 536 (Matrix
/// specification 1.17, "Size limits"), an edit holds its text twice, and JSON may
/// need two bytes for one.
const MOST_TEXT: usize = 14_000;

/// What stands where a text was too long.
const SHORTENED: &str = "\n… (the rest is too long for Matrix; it stands on Rocket.Chat)";

/// The message as plain text: what was typed, and under it what is attached, in
/// words, so that nothing of it is dropped silently.
pub fn text(message: &Message) -> String {
    let attached = message
        .attachments
        .iter()
        // A quote stands in the text, as a link.
        .filter(|attachment| attachment.message_link.is_none())
        .filter_map(in_words);
    let lines: Vec<String> = std::iter::once(message.msg.clone())
        .filter(|text| !text.is_empty())
        .chain(attached)
        .collect();
    let text = if lines.is_empty() {
        "(a message without text)".to_owned()
    } else {
        lines.join("\n")
    };
    // What a webhook calls itself belongs to what it says; the ghost is the
    // account that it posts by.
    let text = match message.alias.as_deref().map(str::trim) {
        Some(alias) if !alias.is_empty() => format!("{alias}: {text}"),
        _ => text,
    };
    match text.char_indices().find(|(at, _)| *at > MOST_TEXT) {
        Some((at, _)) => format!("{}{SHORTENED}", &text[..at]),
        None => text,
    }
}

fn in_words(attachment: &Attachment) -> Option<String> {
    let is_file = attachment.title_link.is_some()
        || attachment.image_url.is_some()
        || attachment.audio_url.is_some()
        || attachment.video_url.is_some();
    let title = attachment.title.as_deref().filter(|text| !text.is_empty());
    let title = match (title, is_file) {
        (Some(title), true) => Some(format!("[file: {title}]")),
        (None, true) => Some("[file]".to_owned()),
        (title, false) => title.map(str::to_owned),
    };
    let fields = attachment
        .fields
        .iter()
        .map(|field| format!("{}: {}", field.title, field.value));
    let lines: Vec<String> = [
        attachment.author_name.clone(),
        attachment.pretext.clone(),
        title,
    ]
    .into_iter()
    .chain([attachment.text.clone(), attachment.description.clone()])
    .flatten()
    .chain(fields)
    .filter(|line| !line.is_empty())
    .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn shown(more: serde_json::Value) -> String {
        let mut document = json!({
            "_id": "m", "rid": "r", "msg": "", "ts": "2026-01-01T00:00:00.000Z",
            "u": { "_id": "u", "username": "alice" },
        });
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        text(&serde_json::from_value(document).unwrap())
    }

    #[test]
    fn text_stays_as_it_is() {
        assert_eq!(
            shown(json!({ "msg": "hi *there*\nyou" })),
            "hi *there*\nyou"
        );
    }

    #[test]
    fn what_is_attached_is_said_in_words() {
        let file = json!({ "title": "a.png", "title_link": "/file-upload/F/a.png", "description": "look" });
        assert_eq!(
            shown(json!({ "msg": "see", "attachments": [file] })),
            "see\n[file: a.png]\nlook"
        );
        let card = json!({ "title": "Build", "text": "failed", "fields": [{ "title": "by", "value": "CI" }] });
        assert_eq!(
            shown(json!({ "attachments": [card] })),
            "Build\nfailed\nby: CI"
        );
    }

    #[test]
    fn a_message_without_anything_still_arrives() {
        assert_eq!(shown(json!({})), "(a message without text)");
    }

    #[test]
    fn a_text_that_no_event_can_carry_is_shortened_aloud() {
        let shown = shown(json!({ "msg": "ä\"".repeat(20_000) }));
        let event = json!({ "body": format!("* {shown}"), "m.new_content": { "body": shown } });
        assert!(event.to_string().len() < 60_000);
        assert!(shown.ends_with(SHORTENED));
    }

    #[test]
    fn an_alias_stands_before_the_text() {
        assert_eq!(shown(json!({ "msg": "done", "alias": "CI" })), "CI: done");
    }
}
