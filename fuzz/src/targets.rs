//! The promises of each target.

pub(crate) mod frames;
pub(crate) mod markdown;
mod strict_html;
pub(crate) mod to_matrix;
pub(crate) mod to_rocketchat;
pub(crate) mod transactions;

use rocketchat_markdown::{Block, Generation, Inline, Options};

/// Every way of reading a text that makes a difference.
fn ways_to_read() -> [Options; 3] {
    let newest = Options {
        generation: Generation::V8_7,
        ..Options::default()
    };
    let unusual = Options {
        emoticons: false,
        colors: false,
        katex_dollar: true,
        custom_domains: vec!["intranet".to_owned()],
        ..newest.clone()
    };
    [Options::default(), newest, unusual]
}

/// The letters and digits of a text.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Whether the characters of one text are in another, in order.
fn is_within(part: &str, whole: &str) -> bool {
    let mut whole = whole.chars();
    part.chars().all(|wanted| whole.any(|c| c == wanted))
}

/// Calls `seen` for every inline of a tree.
fn each_inline<'a>(blocks: &'a [Block], seen: &mut dyn FnMut(&'a Inline)) {
    for block in blocks {
        match block {
            Block::Paragraph(line)
            | Block::BigEmoji(line)
            | Block::Heading { content: line, .. } => in_line(line, seen),
            Block::Quote(blocks) | Block::Spoiler(blocks) => each_inline(blocks, seen),
            Block::UnorderedList(items) | Block::OrderedList(items) => {
                items.iter().for_each(|item| in_line(&item.content, seen));
            }
            Block::Tasks(tasks) => tasks.iter().for_each(|task| in_line(&task.content, seen)),
            Block::Table { head, rows } => {
                let cells = head.iter().chain(rows.iter().flatten());
                cells.for_each(|cell| in_line(cell, seen));
            }
            Block::Code { .. } | Block::Katex(_) | Block::LineBreak | Block::HorizontalRule => {}
        }
    }
}

fn in_line<'a>(line: &'a [Inline], seen: &mut dyn FnMut(&'a Inline)) {
    for inline in line {
        seen(inline);
        match inline {
            Inline::Bold(content)
            | Inline::Italic(content)
            | Inline::Strike(content)
            | Inline::Spoiler(content)
            | Inline::Link { label: content, .. }
            | Inline::Image { label: content, .. } => in_line(content, seen),
            _ => {}
        }
    }
}
