//! What apps show (UIKit blocks), and custom fields of integrations, as trees: their
//! words and links. Buttons do nothing on Matrix, but one can read what they offer.

use rocketchat_markdown::{Block, Inline, ListItem};
use serde_json::{Map, Value};

use super::attachments::Parse;
use super::card;

/// How deep blocks are followed inside of others.
const MAX_DEPTH: usize = 8;

/// Stands for what has no words.
const WORDLESS: &str = "(something that only Rocket.Chat can show)";

/// Blocks of an app.
pub(super) fn blocks(values: &[Value], parse: Parse<'_>) -> Vec<Block> {
    let mut tree = Vec::new();
    for value in values {
        push_block(value, parse, MAX_DEPTH, &mut tree);
    }
    tree
}

/// What an integration added to a message, where it added anything.
pub(super) fn custom_fields(fields: &Map<String, Value>) -> Vec<Block> {
    let said = fields.iter().filter_map(|(key, value)| {
        let value = match value {
            Value::Null => return None,
            Value::Array(items) if items.is_empty() => return None,
            Value::Object(items) if items.is_empty() => return None,
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        Some(card::lines(&format!("{key}: {value}")))
    });
    said.flatten().collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A text of an app: `{"type": "mrkdwn", "text": …}`, or the text itself.
fn words(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("text")?.as_str())?;
    (!text.trim().is_empty()).then_some(text)
}

fn push_text(value: Option<&Value>, parse: Parse<'_>, tree: &mut Vec<Block>) {
    let Some(text) = words(value) else { return };
    let kind = value.and_then(|value| value.get("type")?.as_str());
    tree.extend(match kind {
        Some("mrkdwn") => card::parsed(text, parse),
        _ => card::lines(text),
    });
}

fn push_bold(value: Option<&Value>, tree: &mut Vec<Block>) {
    if let Some(text) = words(value) {
        let text = vec![Inline::Text(text.to_owned())];
        tree.push(Block::Paragraph(vec![Inline::Bold(text)]));
    }
}

fn push_block(value: &Value, parse: Parse<'_>, depth: usize, tree: &mut Vec<Block>) {
    let before = tree.len();
    match value.get("type").and_then(Value::as_str) {
        Some("divider") => tree.push(Block::HorizontalRule),
        Some("image") => push_image(value, tree),
        Some("header") => push_bold(value.get("text"), tree),
        Some("video_conf") => tree.push(card::line("(a video call)")),
        _ => {
            push_bold(value.get("title"), tree);
            push_bold(value.get("label"), tree);
            push_text(value.get("text"), parse, tree);
            for key in ["title", "description", "fields"] {
                for text in list(value, key) {
                    push_text(Some(text), parse, tree);
                }
            }
            let accessories = ["accessory", "element", "thumb"].map(|key| value.get(key));
            let elements: Vec<&Value> = list(value, "elements")
                .iter()
                .chain(accessories.into_iter().flatten())
                .collect();
            push_elements(&elements, parse, tree);
            push_text(value.get("hint"), parse, tree);
            if let Some(url) = value.get("externalUrl").and_then(Value::as_str) {
                tree.push(Block::Paragraph(vec![card::linked("", Some(url))]));
            }
            for key in ["render", "rows", "tabs"] {
                for inner in list(value, key) {
                    match depth.checked_sub(1) {
                        Some(depth) => push_block(inner, parse, depth, tree),
                        None => tree.push(card::line(WORDLESS)),
                    }
                }
            }
            if let Some(footer @ Value::Object(_)) = value.get("footer") {
                match depth.checked_sub(1) {
                    Some(depth) => push_block(footer, parse, depth, tree),
                    None => tree.push(card::line(WORDLESS)),
                }
            }
        }
    }
    if tree.len() == before {
        tree.push(card::line(WORDLESS));
    }
}

fn push_image(value: &Value, tree: &mut Vec<Block>) {
    let src = ["imageUrl", "url"]
        .into_iter()
        .find_map(|key| value.get(key)?.as_str());
    let title = words(value.get("title")).or_else(|| words(value.get("altText")));
    tree.push(card::medium(
        "image",
        src.unwrap_or(""),
        title.unwrap_or(""),
    ));
}

/// Texts and images stand on lines of their own; what one can press or fill in is a
/// list.
fn push_elements(elements: &[&Value], parse: Parse<'_>, tree: &mut Vec<Block>) {
    let mut items = Vec::new();
    for element in elements {
        match element.get("type").and_then(Value::as_str) {
            Some("mrkdwn" | "plain_text") => push_text(Some(element), parse, tree),
            Some("image") => push_image(element, tree),
            None if element.get("url").is_some() => push_image(element, tree),
            _ => items.push(control(element)),
        }
    }
    if !items.is_empty() {
        tree.push(Block::UnorderedList(items));
    }
}

/// A button or a field to fill in: what stands on it, and what it lets one choose.
fn control(element: &Value) -> ListItem {
    let label = ["text", "placeholder", "label", "title", "initialValue"]
        .into_iter()
        .find_map(|key| words(element.get(key)));
    let url = element.get("url").and_then(Value::as_str);
    let options: Vec<&str> = list(element, "options")
        .iter()
        .filter_map(|option| words(option.get("text")))
        .collect();
    let mut content = Vec::new();
    if label.is_some() || url.is_some() {
        content.push(card::linked(label.unwrap_or(""), url));
    }
    if !options.is_empty() {
        let colon = if content.is_empty() { "" } else { ": " };
        content.push(Inline::Text(format!("{colon}{}", options.join(", "))));
    }
    if content.is_empty() {
        content.push(Inline::Text(WORDLESS.to_owned()));
    }
    ListItem {
        number: None,
        content,
    }
}
