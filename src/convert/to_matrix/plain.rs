//! The words of a tree that is too deep to be followed. Without recursion.

use rocketchat_markdown::{Block, Inline};

enum Part<'a> {
    Block(&'a Block),
    Inline(&'a Inline),
    Text(&'a str),
}

/// The words of blocks, each on a line of its own.
pub(super) fn text_of_blocks(blocks: &[Block]) -> String {
    words(blocks.iter().map(Part::Block).collect())
}

/// The words of a line.
pub(super) fn text_of_inlines(inlines: &[Inline]) -> String {
    words(inlines.iter().map(Part::Inline).collect())
}

fn words(mut waiting: Vec<Part<'_>>) -> String {
    let mut text = String::new();
    waiting.reverse();
    while let Some(part) = waiting.pop() {
        let from = waiting.len();
        match part {
            Part::Text(word) => text.push_str(word),
            Part::Block(block) => {
                push_parts_of_block(block, &mut waiting);
                waiting.push(Part::Text("\n"));
            }
            Part::Inline(inline) => push_parts_of_inline(inline, &mut waiting),
        }
        // What is on top is read first.
        waiting[from..].reverse();
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

fn push_parts_of_block<'a>(block: &'a Block, parts: &mut Vec<Part<'a>>) {
    match block {
        Block::Paragraph(content) | Block::BigEmoji(content) | Block::Heading { content, .. } => {
            parts.extend(content.iter().map(Part::Inline));
        }
        Block::LineBreak | Block::HorizontalRule => {}
        Block::Code { lines, .. } => {
            for line in lines {
                parts.extend([Part::Text(line), Part::Text("\n")]);
            }
        }
        Block::Quote(blocks) | Block::Spoiler(blocks) => {
            parts.extend(blocks.iter().map(Part::Block));
        }
        Block::UnorderedList(items) | Block::OrderedList(items) => {
            for item in items {
                parts.extend(item.content.iter().map(Part::Inline));
                parts.push(Part::Text("\n"));
            }
        }
        Block::Tasks(tasks) => {
            for task in tasks {
                parts.extend(task.content.iter().map(Part::Inline));
                parts.push(Part::Text("\n"));
            }
        }
        Block::Katex(tex) => parts.push(Part::Text(tex)),
        Block::Table { head, rows } => {
            for row in std::iter::once(head).chain(rows) {
                for cell in row {
                    parts.extend(cell.iter().map(Part::Inline));
                    parts.push(Part::Text(" "));
                }
                parts.push(Part::Text("\n"));
            }
        }
    }
}

fn push_parts_of_inline<'a>(inline: &'a Inline, parts: &mut Vec<Part<'a>>) {
    match inline {
        Inline::Text(text)
        | Inline::Code(text)
        | Inline::Katex(text)
        | Inline::UnicodeEmoji(text)
        | Inline::Timestamp {
            timestamp: text, ..
        }
        | Inline::Emoji { typed: text, .. } => parts.push(Part::Text(text)),
        Inline::Bold(content)
        | Inline::Italic(content)
        | Inline::Strike(content)
        | Inline::Spoiler(content) => parts.extend(content.iter().map(Part::Inline)),
        Inline::Link { src, label } | Inline::Image { src, label } => {
            parts.extend(label.iter().map(Part::Inline));
            parts.extend([Part::Text(" ("), Part::Text(src), Part::Text(")")]);
        }
        Inline::MentionUser(name) => parts.extend([Part::Text("@"), Part::Text(name)]),
        Inline::MentionChannel(name) => parts.extend([Part::Text("#"), Part::Text(name)]),
        // Its parts are numbers, and none of them a text to borrow.
        Inline::Color(_) => parts.push(Part::Text("(a colour)")),
    }
}
