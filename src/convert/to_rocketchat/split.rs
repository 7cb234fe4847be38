//! Long texts in several messages.

use unicode_segmentation::UnicodeSegmentation;

use super::{ZERO_WIDTH_SPACE, literal};

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
    // Whether a cut made a line begin where none began.
    let mut begins_line = false;
    loop {
        // A word that only now begins a line must not become a list by that.
        let guarded = begins_line && reopened.is_none() && literal::begins_a_block(rest);
        let head = reopened.map_or(0, |fence| units(fence) + 1) + usize::from(guarded);
        let whole = fits(rest, max - head);
        // Room for closing the block.
        let room = max - head - if whole { 0 } else { FENCE.len() + 1 };
        let (end, next) = if whole {
            (rest.len(), rest.len())
        } else {
            cut(rest, room)
        };
        let (here, mut after) = (&rest[..end], &rest[next..]);
        let mut open = open_fence(reopened, here);
        let mut part = String::with_capacity(here.len() + 16);
        if let Some(fence) = reopened {
            part.push_str(fence);
            part.push('\n');
        }
        if guarded {
            part.push(ZERO_WIDTH_SPACE);
        }
        part.push_str(here);
        if open.is_some() && !after.is_empty() {
            part.push('\n');
            part.push_str(FENCE);
        }
        if !part.trim().is_empty() || parts.is_empty() && after.is_empty() {
            parts.push(part);
        }
        // What would close the block is said already.
        if open.is_some()
            && let Some(behind) = after.strip_prefix(FENCE)
            && (behind.is_empty() || behind.starts_with('\n'))
        {
            after = behind.strip_prefix('\n').unwrap_or(behind);
            open = None;
        }
        if after.is_empty() {
            return parts;
        }
        begins_line = !rest[..next].ends_with('\n');
        reopened = open;
        rest = after;
    }
}

/// Whether a text has at most so many units; reads no more of it than that.
fn fits(text: &str, mut room: usize) -> bool {
    text.chars().all(|c| {
        let left = room.checked_sub(c.len_utf16());
        room = left.unwrap_or(0);
        left.is_some()
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn longest(parts: &[String]) -> usize {
        parts.iter().map(|part| units(part)).max().unwrap_or(0)
    }

    #[test]
    fn short_texts_stay_whole() {
        assert_eq!(split("", 100), [""]);
        assert_eq!(split(" a\n\nb ", 100), [" a\n\nb "]);
        assert_eq!(split(&"x".repeat(100), 100), ["x".repeat(100)]);
    }

    #[test]
    fn cuts_are_where_they_hurt_least() {
        let (a, b) = ("a ".repeat(25), "b ".repeat(25));
        let (a, b) = (a.trim(), b.trim());
        assert_eq!(split(&format!("{a}\n\n{b}"), 64), [a, b]);
        assert_eq!(split(&format!("{a}\n{b}"), 64), [a, b]);
        assert_eq!(split(&format!("{a} {b}"), 64).concat(), {
            let (first, second) = (format!("{a} b b b b b"), "b ".repeat(20));
            format!("{first}{}", second.trim())
        });
        let word = "x".repeat(150);
        assert_eq!(split(&word, 64), [&word[..60], &word[..60], &word[..30]]);
    }

    #[test]
    fn a_cut_makes_no_list() {
        let text = format!("{} - b and more", "a ".repeat(30).trim());
        assert_eq!(
            split(&text, 64).last().map(String::as_str),
            Some("\u{200b}- b and more")
        );
    }

    #[test]
    fn units_are_those_of_utf_16_and_characters_stay_whole() {
        let family = "👨‍👩‍👧‍👦";
        let parts = split(&family.repeat(20), 64);
        assert!(longest(&parts) <= 64);
        for part in &parts {
            assert_eq!(part.replace(family, ""), "", "{part}");
        }
        let accents = format!("e{}", "\u{301}".repeat(500));
        let parts = split(&accents, 64);
        assert_eq!(parts.concat(), accents);
        assert!(longest(&parts) <= 64);
    }

    #[test]
    fn a_code_block_is_closed_and_opened_again() {
        let code: Vec<String> = (0..20)
            .map(|line| format!("line number {line:02}"))
            .collect();
        let parts = split(&format!("```rust\n{}\n```\nend", code.join("\n")), 100);
        assert!(parts.len() > 2 && longest(&parts) <= 100, "{parts:?}");
        for part in &parts[..parts.len() - 1] {
            assert!(part.starts_with("```rust\nline"), "{part}");
            assert!(part.ends_with("\n```"), "{part}");
        }
        let lines: Vec<&str> = parts
            .iter()
            .flat_map(|part| part.lines())
            .filter(|line| line.starts_with("line"))
            .collect();
        assert_eq!(lines, code);
        assert!(parts.concat().ends_with("```\nend"), "{parts:?}");
    }

    proptest! {
        #[test]
        fn nothing_is_cut_off(text in "([a-zé😀]{1,90}|[ \\n]{1,3}|[*_`]){0,40}", max in 64_usize..300) {
            let parts = split(&text, max);
            prop_assert!(longest(&parts) <= max);
            // Fences come and go with cuts: the rest must be the same.
            let said = |text: &str| -> String {
                text.chars()
                    .filter(|c| !c.is_whitespace() && !matches!(c, '`' | '\u{200b}'))
                    .collect()
            };
            let (typed, divided) = (said(&text), said(&parts.concat()));
            if text.contains(FENCE) {
                // The language of a block is said again where the block is opened again.
                let mut divided = divided.chars();
                prop_assert!(typed.chars().all(|c| divided.any(|d| d == c)), "{parts:?}");
            } else {
                prop_assert_eq!(divided, typed);
            }
        }
    }
}
