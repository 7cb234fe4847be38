//! An attachment as a tree: cards of webhooks, and files in a word.

use rocketchat_markdown::{Block, Inline, ListItem};

use super::attachments::Parse;
use super::safe;
use crate::rocketchat::documents::{Attachment, AttachmentAction, AttachmentField};

/// The tree of a text in the dialect. Whatever the parser makes of it, its words
/// are there.
pub(super) fn parsed(text: &str, parse: Parse<'_>) -> Vec<Block> {
    if safe::is_blank(text) {
        return Vec::new();
    }
    match parse(text) {
        blocks if blocks.is_empty() => lines(text),
        blocks => blocks,
    }
}

/// Text that is no markup.
pub(super) fn lines(text: &str) -> Vec<Block> {
    text.split('\n')
        .map(|text| match text {
            "" => Block::LineBreak,
            text => line(text),
        })
        .collect()
}

/// A line of text that is no markup.
pub(super) fn line(text: &str) -> Block {
    Block::Paragraph(vec![Inline::Text(text.to_owned())])
}

/// A name or title, which leads somewhere or not. An address that holds the thing
/// itself (`data:`) is not for reading.
pub(super) fn linked(text: &str, address: Option<&str>) -> Inline {
    let is_data = |src: &str| {
        src.get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("data:"))
    };
    match filled(address) {
        Some(src) if !is_data(src) => Inline::Link {
            src: src.to_owned(),
            label: vec![Inline::Text(text.to_owned())],
        },
        Some(_) if safe::is_blank(text) => Inline::Text("[data]".to_owned()),
        Some(_) | None => Inline::Text(text.to_owned()),
    }
}

/// A picture or sound: a link to it where it is on the web, else the word for it.
pub(super) fn medium(word: &str, src: &str, title: &str) -> Block {
    Block::Paragraph(vec![match (safe::web_address(src), title) {
        (Some(_), title) => Inline::Link {
            src: src.to_owned(),
            label: vec![Inline::Text(title.to_owned())],
        },
        (None, "") => Inline::Text(format!("[{word}]")),
        (None, title) => Inline::Text(format!("[{word}: {title}]")),
    }])
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !safe::is_blank(text))
}

/// Whether an address is that of an upload, on the server itself.
fn is_upload(address: Option<&str>) -> bool {
    address.is_some_and(|address| address.starts_with("/file-upload/"))
}

fn is_file(attachment: &Attachment) -> bool {
    attachment.kind.as_deref() == Some("file")
        || is_upload(attachment.title_link.as_deref())
        || is_upload(attachment.image_url.as_deref())
        || is_upload(attachment.audio_url.as_deref())
        || is_upload(attachment.video_url.as_deref())
}

/// An attachment's parts, in the order in which Rocket.Chat shows them.
pub(super) fn blocks(attachment: &Attachment, parse: Parse<'_>) -> Vec<Block> {
    parts(attachment, parse, Shown::Whole)
}

/// What is said by the attachment of a file that is shown itself.
pub(super) fn beside_file(attachment: &Attachment, parse: Parse<'_>) -> Vec<Block> {
    parts(attachment, parse, Shown::BesideFile)
}

/// How much of an attachment is said in words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Whole,
    /// All but its name and what it holds.
    BesideFile,
}

fn parts(attachment: &Attachment, parse: Parse<'_>, shown: Shown) -> Vec<Block> {
    let is_file = is_file(attachment);
    let mut blocks = Vec::new();
    let dialect = |text: &Option<String>| parsed(text.as_deref().unwrap_or(""), parse);
    blocks.extend(dialect(&attachment.pretext));
    let author = attachment.author_name.as_deref().map(safe::name);
    if let Some(author) = author.filter(|author| !author.is_empty()) {
        let link = attachment.author_link.as_deref();
        blocks.push(Block::Paragraph(vec![linked(&author, link)]));
    }
    let title = attachment.title.as_deref().map(safe::file_name);
    let title = title.filter(|title| !title.is_empty());
    match (title, is_file) {
        (_, true) if shown == Shown::BesideFile => {}
        (Some(title), true) => blocks.push(line(&format!("[file: {title}]"))),
        (None, true) => blocks.push(line("[file]")),
        (Some(title), false) => {
            let title = linked(&title, attachment.title_link.as_deref());
            blocks.push(Block::Paragraph(vec![Inline::Bold(vec![title])]));
        }
        (None, false) => {
            if let Some(link) = filled(attachment.title_link.as_deref()) {
                blocks.push(Block::Paragraph(vec![linked("", Some(link))]));
            }
        }
    }
    blocks.extend(dialect(&attachment.text));
    blocks.extend(dialect(&attachment.description));
    for field in &attachment.fields {
        push_field(field, parse, &mut blocks);
    }
    if !is_file {
        let media = [
            ("image", &attachment.image_url),
            ("image", &attachment.thumb_url),
            ("sound", &attachment.audio_url),
            ("video", &attachment.video_url),
        ];
        for (word, src) in media {
            if let Some(src) = filled(src.as_deref())
                && attachment.title_link.as_deref() != Some(src)
            {
                blocks.push(medium(word, src, ""));
            }
        }
    }
    let actions: Vec<ListItem> = attachment.actions.iter().filter_map(action).collect();
    if !actions.is_empty() {
        blocks.push(Block::UnorderedList(actions));
    }
    if let Some(footer) = filled(attachment.footer.as_deref()) {
        let footer = Inline::Text(footer.to_owned());
        blocks.push(Block::Paragraph(vec![Inline::Italic(vec![footer])]));
    }
    blocks
}

/// `title: value`, the value behind the title when it is one line.
fn push_field(field: &AttachmentField, parse: Parse<'_>, blocks: &mut Vec<Block>) {
    let title = filled(Some(&field.title));
    let mut value = parsed(&field.value, parse);
    if let Some(title) = title {
        let mut head = vec![Inline::Bold(vec![Inline::Text(title.to_owned())])];
        match value.as_mut_slice() {
            [] => {}
            [Block::Paragraph(content) | Block::BigEmoji(content)] => {
                head.push(Inline::Text(": ".to_owned()));
                head.append(content);
                value.clear();
            }
            _ => head.push(Inline::Text(":".to_owned())),
        }
        blocks.push(Block::Paragraph(head));
    }
    blocks.append(&mut value);
}

fn action(action: &AttachmentAction) -> Option<ListItem> {
    let url = filled(action.url.as_deref());
    let image = filled(action.image_url.as_deref()).map(|_| "[image]");
    let msg = filled(action.msg.as_deref());
    let text = filled(action.text.as_deref()).or(image);
    let mut content = match (text, url) {
        (Some(text), url) => vec![linked(text, url)],
        (None, Some(url)) => vec![linked("", Some(url))],
        (None, None) => Vec::new(),
    };
    if let Some(msg) = msg {
        let arrow = if content.is_empty() { "" } else { " → " };
        content.push(Inline::Text(format!("{arrow}“{msg}”")));
    }
    let number = None;
    (!content.is_empty()).then_some(ListItem { number, content })
}
