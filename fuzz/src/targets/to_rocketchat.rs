//! Content of Matrix in the form of Rocket.Chat.

use matrix_appservice_rocketchat::convert::to_rocketchat::{
    Surroundings, event, message, plain, split,
};
use rocketchat_markdown::{Block, Inline, Options, parse};
use ruma::{RoomOrAliasId, UserId};
use serde_json::{Value, json};

use super::{each_inline, is_within, letters};

const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// What a text may need for each byte of the source: HTML may nest, and each line of a
/// quote or list has a mark for every one that it stands in.
const MOST_FOR_A_BYTE: usize = 200;

/// Any event and content is taken. A text stays that text in the eyes of the server,
/// and mentions nobody. HTML mentions nobody either who is not known. What is too long
/// is divided without loss.
pub(crate) fn check(input: &[u8]) {
    let source = String::from_utf8_lossy(input);
    if let Ok(Value::Object(any)) = serde_json::from_slice(input) {
        let kind = any.get("type").and_then(Value::as_str).unwrap_or_default();
        let content = any.get("content").unwrap_or(&Value::Null);
        for may_call_all in [false, true] {
            let written = event(kind, content, &around(may_call_all));
            hold(&written.unwrap_or_default(), source.len());
        }
        return;
    }
    stays_text(&source);
    for may_call_all in [false, true] {
        let written = message(&html(&source), &around(may_call_all)).unwrap_or_default();
        hold(&written, source.len());
    }
    let alone = message(&html(&source), &Surroundings::EMPTY).unwrap_or_default();
    mentions_nobody(&alone);
}

fn html(formatted: &str) -> Value {
    json!({
        "msgtype": "m.text",
        "body": "the plain body",
        "format": "org.matrix.custom.html",
        "formatted_body": formatted,
    })
}

/// `@nobody` is not known on Rocket.Chat, everybody else is; so are two rooms.
fn around(may_call_all: bool) -> Surroundings<'static> {
    fn username(user: &UserId) -> Option<String> {
        (user.localpart() != "nobody").then(|| user.localpart().to_owned())
    }
    fn channel(room: &RoomOrAliasId) -> Option<String> {
        let name = room.as_str();
        (name.starts_with("#general") || name.starts_with("!abc")).then(|| "general".to_owned())
    }
    Surroundings {
        username: &username,
        channel: &channel,
        may_call_all,
    }
}

fn hold(written: &str, bytes: usize) {
    let most = MOST_FOR_A_BYTE * bytes + 2_000;
    assert!(written.len() <= most, "{} bytes", written.len());
    for limit in [64, 200, 5_000] {
        let parts = split(written, limit);
        for part in &parts {
            let units = part.encode_utf16().count();
            assert!(units <= limit, "{units} of {limit}: {part:?}");
        }
        let divided = letters(&parts.concat());
        assert!(is_within(&letters(written), &divided), "{parts:?}");
        // A language behind a fence is said again where the fence is opened again.
        if !written.contains("```") {
            assert_eq!(letters(written), divided, "{parts:?}");
        }
    }
}

/// A plain text is read by the server as that text, without any markup.
fn stays_text(source: &str) {
    let written = plain(source);
    hold(&written, source.len());
    for options in generations() {
        let tree = parse(&written, &options);
        let (mut read, mut typed) = (shown(&tree), squeezed(source));
        // A server forgets the white space between emoji that it shows large.
        if let [Block::BigEmoji(_)] = tree[..] {
            read.retain(|c| !c.is_whitespace());
            typed.retain(|c| !c.is_whitespace());
        }
        assert_eq!(read, typed, "{:?} of {written:?}", options.generation);
    }
}

fn mentions_nobody(written: &str) {
    for options in generations() {
        each_inline(&parse(written, &options), &mut |inline| {
            let mentions = matches!(inline, Inline::MentionUser(_) | Inline::MentionChannel(_));
            assert!(!mentions, "{inline:?} in {written:?}");
        });
    }
}

/// As servers read a text with their settings as they come.
fn generations() -> impl Iterator<Item = Options> {
    super::ways_to_read().into_iter().take(2)
}

/// The text of a tree; formatting, which no plain text may become, as `{…}`.
fn shown(tree: &[Block]) -> String {
    let lines = tree.iter().map(|block| match block {
        Block::Paragraph(line) | Block::BigEmoji(line) => shown_line(line),
        Block::LineBreak => String::new(),
        other => format!("{{{other:?}}}"),
    });
    squeezed(&lines.collect::<Vec<_>>().join("\n"))
}

fn shown_line(line: &[Inline]) -> String {
    let parts = line.iter().map(|inline| match inline {
        Inline::Text(text) | Inline::UnicodeEmoji(text) => text.clone(),
        // An address that people typed is a link on both sides.
        Inline::Link { label, .. } => shown_line(label),
        Inline::Emoji { short_code, typed } if short_code == typed => format!(":{typed}:"),
        Inline::Emoji { typed, .. } => typed.clone(),
        other => format!("{{{other:?}}}"),
    });
    parts.collect()
}

/// Without what the bridge adds unseen, what no text has, and what a server may drop:
/// white space, and the scheme of an e-mail address.
fn squeezed(text: &str) -> String {
    let seen = |c: &char| *c != ZERO_WIDTH_SPACE && (!c.is_control() || matches!(c, '\n' | '\t'));
    let text: String = text.chars().filter(seen).collect();
    text.replace("mailto:", "")
        .split('\n')
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}
