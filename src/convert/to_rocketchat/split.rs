//! Long texts in several messages.

use unicode_segmentation::UnicodeSegmentation;

const FENCE: &str = "```";

/// Smallest limit that is observed; a fence and a character of any kind fit.
const MIN_UNITS: usize = 64;

/// Cuts a text into parts of at most `max_utf16` UTF-16 units each (how Rocket.Chat
/// counts `Message_MaxAllowedSize`; less than 64 is taken as 64). Cuts at empty
/// lines where it can, then at line breaks, spaces, and characters as people see
/// them. The white space at a cut goes; nothing else does. A code block that is cut
/// is closed and opened again.
pub fn split(text: &str, max_utf16: usize) -> Vec<String> {
    let max = max_utf16.max(MIN_UNITS);
    let mut parts = Vec::new();
    let mut rest = text;
    // The opening line of the block that the last part had to close.
    let mut reopened: Option<&str> = None;
    loop {
        let head = reopened.map_or(0, |fence| units(fence) + 1);
        let whole = head + units(rest) <= max;
        // Room for closing the block.
        let room = max - head - if whole { 0 } else { FENCE.len() + 1 };
        let (end, next) = if whole {
            (rest.len(), rest.len())
        } else {
            cut(rest, room)
        };
        let (here, after) = (&rest[..end], &rest[next..]);
        let open = open_fence(reopened, here);
        let mut part = String::with_capacity(here.len() + 16);
        if let Some(fence) = reopened {
            part.push_str(fence);
            part.push('\n');
        }
        part.push_str(here);
        if open.is_some() && !after.is_empty() {
            part.push('\n');
            part.push_str(FENCE);
        }
        if !part.trim().is_empty() || parts.is_empty() && after.is_empty() {
            parts.push(part);
        }
        if after.is_empty() {
            return parts;
        }
        reopened = open;
        rest = after;
    }
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Where to cut a text that is longer than `room` units: the end of what stays, and
/// the beginning of what follows.
fn cut(text: &str, room: usize) -> (usize, usize) {
    let mut used = 0;
    let fits = text
        .char_indices()
        .find(|(_, c)| {
            used += c.len_utf16();
            used > room
        })
        .map_or(text.len(), |(at, _)| at);
    // A cut right behind what fits counts as well.
    let mut behind = fits + text[fits..].chars().next().map_or(0, char::len_utf8);
    let head = &text[..behind];
    // Not for so little that the parts become many.
    let least = fits / 4;
    if let Some(at) = head.rfind("\n\n").filter(|at| *at > least && *at <= fits) {
        return (at, at + 2);
    }
    if let Some(at) = head.rfind('\n').filter(|at| *at > least && *at <= fits) {
        return (at, at + 1);
    }
    let space = head
        .char_indices()
        .rev()
        .find(|(at, c)| *at > least && *at <= fits && matches!(c, ' ' | '\t'));
    if let Some((at, c)) = space {
        return (at, at + c.len_utf8());
    }
    // A character as people see it may be made of several; one without end is cut.
    let from = floor(text, fits.saturating_sub(128));
    behind = floor(text, (fits + 128).min(text.len()));
    let whole = text[from..behind]
        .grapheme_indices(true)
        .map(|(at, _)| from + at)
        .take_while(|at| *at <= fits)
        .last()
        .filter(|at| *at > from);
    let mut end = whole.unwrap_or(fits);
    // Neither a backslash from what it makes text.
    if text[..end].ends_with('\\') && end > 1 {
        end -= 1;
    }
    (end, end)
}

/// The largest character boundary up to an index.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The opening line of the code block that is open at the end of a text.
fn open_fence<'a>(mut open: Option<&'a str>, text: &'a str) -> Option<&'a str> {
    for line in text.split('\n').filter(|line| line.starts_with(FENCE)) {
        open = match open {
            // A very long one is no language.
            None if line.len() <= 40 => Some(line),
            None => Some(FENCE),
            Some(_) => None,
        };
    }
    open
}
