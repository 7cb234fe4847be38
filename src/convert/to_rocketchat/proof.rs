//! Whether what was written says what it should: it is read as servers will read it.
//!
//! The dialect has too many ways in which characters find each other for rules alone.
//! So the rules write a text as lightly as they can, and what is then read back decides
//! whether that was enough.

use rocketchat_markdown::{Block, Generation, Inline, Options, parse};

use super::ZERO_WIDTH_SPACE;
use super::line::{Line, What};
use super::write;

/// What stands for markup where it is compared: no text has control characters.
const CODE: char = '\u{1}';
const MENTION: char = '\u{2}';
const FORMULA: char = '\u{3}';
const HEADING: char = '\u{4}';
const QUOTE: char = '\u{5}';
const ITEM: char = '\u{6}';
const RULE: char = '\u{7}';
/// Markup that is never written on purpose.
const UNWANTED: char = '\u{8}';

/// Opens and closes a block of code.
const FENCE: &str = "```";

/// Whether a text has any character that the dialect gives a meaning to. Those that
/// begin lists without being among these (`-`, digits) are recognised for certain, and
/// an address or an emoticon alone is shown as it was typed.
pub(super) fn is_needed(text: &str) -> bool {
    text.bytes().any(|byte| {
        matches!(
            byte,
            b'*' | b'_' | b'~' | b'`' | b'[' | b']' | b'<' | b'>' | b'|' | b'\\' | b'@' | b'#'
        )
    })
}

/// Which lines are shown as something else than what they say, by some server with its
/// settings as they come. All of them when lines became one, or more.
pub(super) fn misread(lines: &[Line], text: &str) -> Vec<usize> {
    let expected = expected(lines);
    let mut misread = vec![false; lines.len()];
    for generation in [Generation::V6, Generation::V8_7] {
        let options = Options {
            generation,
            ..Options::default()
        };
        let tree = parse(text, &options);
        // White space between emoji that are shown large is forgotten, lines and all.
        if let [Block::BigEmoji(emoji)] = tree.as_slice() {
            let all: String = expected.iter().map(|(_, said)| said.as_str()).collect();
            if without_mailto(all) != line_shown("", emoji) {
                return (0..lines.len()).collect();
            }
            continue;
        }
        let shown = shown(&tree);
        if shown.len() != expected.len() {
            return (0..lines.len()).collect();
        }
        for ((at, said), shown) in expected.iter().zip(&shown) {
            misread[*at] |= !is_same(said, shown);
        }
    }
    (0..lines.len()).filter(|at| misread[*at]).collect()
}

/// A rule is text to servers that do not know rules.
fn is_same(said: &str, shown: &str) -> bool {
    said == shown || (said.starts_with(RULE) && shown == "---")
}

/// What is to be seen of each line that is not empty, and its number.
fn expected(lines: &[Line]) -> Vec<(usize, String)> {
    let mut expected = Vec::with_capacity(lines.len());
    let mut in_code = false;
    for (at, line) in lines.iter().enumerate() {
        let mut said = String::new();
        match line {
            Line::Verbatim(fence) if fence.starts_with(FENCE) => in_code = !in_code,
            Line::Verbatim(code) => {
                add(&mut said, code);
                if in_code && !said.is_empty() {
                    said.insert(0, CODE);
                }
            }
            Line::Pieces { prefix, pieces } => {
                add_prefix(&mut said, prefix);
                for piece in pieces {
                    add_said(&mut said, &piece.what);
                }
            }
        }
        let said = without_mailto(said);
        if !said.is_empty() {
            expected.push((at, said));
        }
    }
    expected
}

fn add_prefix(said: &mut String, prefix: &str) {
    let digits = prefix.len()
        - prefix
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .len();
    let rest = if let Some(rest) = prefix.strip_prefix("> ") {
        said.push(QUOTE);
        rest
    } else if let Some(rest) = prefix.strip_prefix("- ") {
        said.push(ITEM);
        rest
    } else {
        if digits > 0 {
            said.push(ITEM);
        }
        prefix
    };
    add(said, rest);
}

fn add_said(said: &mut String, what: &What) {
    match what {
        What::Text(text) | What::Name(text) => add(said, text),
        What::Code(code) => between(said, CODE, code),
        What::Mention(name) => {
            said.push(MENTION);
            add(said, name);
        }
        What::Link { label, url } => add_link(said, label, url),
        What::Url(url) => add_link(said, url, url),
        What::Markup(markup) => {
            let formula = [("\\(", "\\)"), ("\\[", "\\]")]
                .iter()
                .find_map(|(start, end)| markup.strip_prefix(start)?.strip_suffix(end));
            if let Some(formula) = formula {
                between(said, FORMULA, formula);
            } else if said.is_empty() && markup.chars().all(|c| c == '#') {
                said.extend(markup.chars().map(|_| HEADING));
            } else if said.is_empty() && markup == "---" {
                said.push(RULE);
            } else {
                add(said, markup);
            }
        }
    }
}

fn add_link(said: &mut String, label: &str, url: &str) {
    add(said, label);
    if write::is_spelled_out(label) {
        said.push('(');
        add(said, &super::urls::encoded(url));
        said.push(')');
    }
}

fn between(said: &mut String, mark: char, text: &str) {
    said.push(mark);
    add(said, text);
    said.push(mark);
}

/// Adds what is to be seen of a text. White space is not compared: how much of it is
/// kept where lines begin is not for the text to decide.
fn add(said: &mut String, text: &str) {
    let seen = |c: &char| *c != ZERO_WIDTH_SPACE && !c.is_whitespace() && !c.is_control();
    said.extend(text.chars().filter(seen));
}

/// A server shows an address of e-mail without its scheme.
fn without_mailto(said: String) -> String {
    if said.contains("mailto:") {
        return said.replace("mailto:", "");
    }
    said
}

/// What is seen of each line of a tree that is not empty.
fn shown(tree: &[Block]) -> Vec<String> {
    let mut lines = Vec::new();
    for block in tree {
        add_block(&mut lines, "", block);
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn add_block(lines: &mut Vec<String>, mark: &str, block: &Block) {
    match block {
        Block::Paragraph(line) | Block::BigEmoji(line) => lines.push(line_shown(mark, line)),
        Block::LineBreak => {}
        Block::Code { lines: code, .. } => lines.extend(code.iter().filter_map(|code| {
            let mut said = String::new();
            add(&mut said, code);
            (!said.is_empty()).then(|| without_mailto(format!("{mark}{CODE}{said}")))
        })),
        Block::Heading { level, content } => {
            let marks = HEADING.to_string().repeat(usize::from(*level));
            lines.push(line_shown(&marks, content));
        }
        Block::Quote(blocks) => {
            for block in blocks {
                add_block(lines, QUOTE.encode_utf8(&mut [0; 4]), block);
            }
        }
        Block::UnorderedList(items) => {
            let mark = ITEM.to_string();
            lines.extend(items.iter().map(|item| line_shown(&mark, &item.content)));
        }
        Block::OrderedList(items) => lines.extend(items.iter().map(|item| {
            let mark = format!("{ITEM}{}.", item.number.unwrap_or_default());
            line_shown(&mark, &item.content)
        })),
        Block::Katex(formula) => {
            let mut said = mark.to_owned();
            between(&mut said, FORMULA, formula);
            lines.push(said);
        }
        Block::HorizontalRule => lines.push(RULE.to_string()),
        Block::Tasks(_) | Block::Spoiler(_) | Block::Table { .. } => {
            lines.push(UNWANTED.to_string());
        }
    }
}

fn line_shown(mark: &str, line: &[Inline]) -> String {
    let mut shown = mark.to_owned();
    add_line(&mut shown, line);
    without_mailto(shown)
}

fn add_line(shown: &mut String, line: &[Inline]) {
    for inline in line {
        match inline {
            Inline::Text(text) | Inline::UnicodeEmoji(text) => add(shown, text),
            Inline::Bold(inside)
            | Inline::Italic(inside)
            | Inline::Strike(inside)
            | Inline::Link { label: inside, .. } => add_line(shown, inside),
            Inline::Code(code) => between(shown, CODE, code),
            Inline::Katex(formula) => between(shown, FORMULA, formula),
            Inline::MentionUser(name) => {
                shown.extend([MENTION, '@'].into_iter().chain(name.chars()))
            }
            Inline::MentionChannel(name) => {
                shown.extend([MENTION, '#'].into_iter().chain(name.chars()));
            }
            Inline::Emoji { short_code, typed } if short_code == typed => {
                shown.push(':');
                add(shown, typed);
                shown.push(':');
            }
            Inline::Emoji { typed, .. } => add(shown, typed),
            Inline::Spoiler(_)
            | Inline::Image { .. }
            | Inline::Color(_)
            | Inline::Timestamp { .. } => shown.push(UNWANTED),
        }
    }
}
