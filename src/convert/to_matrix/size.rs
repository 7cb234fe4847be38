//! Text that is too long for one event.

use super::Rendered;

/// The smallest piece that [`split_text`] makes room for, in bytes.
pub const LEAST_PIECE: usize = 256;

/// The longest fence that is closed and opened again, in backticks, and the longest
/// line that opens one, in bytes. Longer ones are taken for text.
const LONGEST_FENCE: usize = 16;
const LONGEST_OPENING: usize = 64;

/// How many bytes a character takes in a JSON text.
fn json_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\t' | '\r' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

/// How many bytes a text takes in an event, where it stands as JSON.
pub fn bytes_in_json(text: &str) -> usize {
    text.chars().map(json_len).sum()
}

/// The content without its HTML if both together take more than `budget` bytes
/// ([`bytes_in_json`]). The text may still be too long: [`split_text`].
///
/// An event has at most 65 536 bytes (Matrix specification 1.17, "Size limits"), and
/// an edit holds text and HTML twice.
#[must_use]
pub fn fit(rendered: Rendered, budget: usize) -> Rendered {
    let html = rendered.html.as_deref().map_or(0, bytes_in_json);
    if bytes_in_json(&rendered.body) + html <= budget {
        return rendered;
    }
    Rendered {
        html: None,
        ..rendered
    }
}

/// The text in pieces of at most `max_bytes` ([`bytes_in_json`]; at least
/// [`LEAST_PIECE`]). Nothing is left out but the white space at the seams. A piece
/// ends after a paragraph, else a line, else a word, else a character, as long as it
/// is not less than a quarter full. A fence of code that a seam goes through is
/// closed before it and opened again behind it.
pub fn split_text(text: &str, max_bytes: usize) -> Vec<String> {
    let max_bytes = max_bytes.max(LEAST_PIECE);
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut open: Option<Fence> = None;
    loop {
        let opening = open
            .as_ref()
            .map_or_else(String::new, |fence| format!("{}\n", fence.opening));
        let room = max_bytes - bytes_in_json(&opening);
        let Some(_) = end_of_room(rest, room) else {
            pieces.push(opening + rest);
            return pieces;
        };
        let window = end_of_room(rest, room - LONGEST_FENCE - 2).unwrap_or(rest.len());
        let seam = seam(rest, window);
        let (piece, after) = rest.split_at(seam);
        let fence = fence_at_end(piece, open.take());
        match &fence {
            Some(fence) => {
                let piece = piece.strip_suffix('\n').unwrap_or(piece);
                pieces.push(format!("{opening}{piece}\n{}", fence.marker()));
                rest = after.strip_prefix('\n').unwrap_or(after);
            }
            None => {
                let piece = piece.trim_end_matches(['\n', ' ']);
                if !piece.is_empty() {
                    pieces.push(opening + piece);
                }
                let lines = after.trim_start_matches('\n');
                rest = if lines.len() == after.len() {
                    after.strip_prefix(' ').unwrap_or(after)
                } else {
                    lines
                };
            }
        }
        if rest.is_empty() && !pieces.is_empty() {
            return pieces;
        }
        open = fence;
    }
}

/// Where the text stops fitting into `room` bytes; none when all of it fits.
fn end_of_room(text: &str, room: usize) -> Option<usize> {
    let mut used = 0;
    text.char_indices()
        .find(|(_, c)| {
            used += json_len(*c);
            used > room
        })
        .map(|(at, _)| at)
}

/// Where to divide the text at `window` or before; never 0.
fn seam(text: &str, window: usize) -> usize {
    let seen = &text[..window];
    // The white space at which a word or line that just fits ends.
    let behind = text[window..].chars().next();
    let far_enough = |at: &usize| *at >= window / 4 && *at > 0;
    let ends_here = |c: char| (behind == Some(c)).then_some(window);
    seen.rfind("\n\n")
        .filter(far_enough)
        .or_else(|| ends_here('\n'))
        .or_else(|| seen.rfind('\n').filter(far_enough))
        .or_else(|| ends_here(' '))
        .or_else(|| seen.rfind(' ').filter(far_enough))
        .unwrap_or(window)
}

/// A fence that is open.
struct Fence {
    /// The line that opens it.
    opening: String,
    /// Its number of backticks.
    length: usize,
}

impl Fence {
    fn marker(&self) -> String {
        "`".repeat(self.length)
    }
}

/// Which fence is open at the end of a piece that begins inside of `open`.
fn fence_at_end(piece: &str, mut open: Option<Fence>) -> Option<Fence> {
    for line in piece.split('\n') {
        let length = line.bytes().take_while(|byte| *byte == b'`').count();
        if !(3..=LONGEST_FENCE).contains(&length) {
            continue;
        }
        let info = line.get(length..).unwrap_or("");
        match &open {
            Some(fence) if length >= fence.length && info.trim().is_empty() => open = None,
            None if !info.contains('`') => {
                let opening = if bytes_in_json(line) <= LONGEST_OPENING {
                    line.to_owned()
                } else {
                    "`".repeat(length)
                };
                open = Some(Fence { opening, length });
            }
            Some(_) | None => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(count: usize) -> String {
        let lines: Vec<String> = (0..count).map(|n| format!("line {n:03} of text")).collect();
        lines.join("\n")
    }

    #[test]
    fn a_short_text_stays_whole() {
        assert_eq!(split_text("a\n\nb ", 300), ["a\n\nb "]);
        assert_eq!(split_text("", 300), [""]);
    }

    #[test]
    fn seams_are_at_paragraphs_lines_words_characters() {
        let paragraphs = format!("{}\n\n{}", lines(10), lines(10));
        assert_eq!(split_text(&paragraphs, 300), [lines(10), lines(10)]);
        for piece in split_text(&lines(100), 300) {
            assert!(
                piece.starts_with("line ") && piece.ends_with(" of text"),
                "{piece:?}"
            );
        }
        let words = ["word"; 200].join(" ");
        for piece in split_text(&words, 300) {
            assert!(
                piece.starts_with("word") && piece.ends_with("word"),
                "{piece:?}"
            );
        }
        let letters = "ä".repeat(1000);
        assert_eq!(split_text(&letters, 300).concat(), letters);
    }

    #[test]
    fn fences_are_closed_and_opened_again() {
        let text = format!("see\n```rust\n{}\n```\nend", lines(60));
        let pieces = split_text(&text, 300);
        assert!(pieces.len() > 2);
        for (at, piece) in pieces.iter().enumerate() {
            let fences = piece.lines().filter(|line| line.starts_with("```")).count();
            assert_eq!(fences % 2, 0, "{piece}");
            if at > 0 {
                assert!(piece.starts_with("```rust\nline"), "{piece}");
            }
        }
    }

    #[test]
    fn html_is_dropped_first() {
        let rendered = Rendered {
            body: "x".repeat(100),
            html: Some("\"".repeat(100)),
            ..Rendered::default()
        };
        assert_eq!(fit(rendered.clone(), 300), rendered);
        assert_eq!(fit(rendered.clone(), 299).html, None);
        assert_eq!(fit(rendered.clone(), 10).body, rendered.body);
    }

    fn letters(text: &str) -> String {
        text.chars().filter(|c| c.is_alphanumeric()).collect()
    }

    proptest! {
        #[test]
        fn pieces_fit_and_nothing_is_cut_off(
            text in "([a-zä😀\"\\\\]{1,40}|[ \n]{1,3}|\n```\n|\n````\n|\u{1}){0,80}",
            max in 0usize..600,
        ) {
            let pieces = split_text(&text, max);
            for piece in &pieces {
                prop_assert!(bytes_in_json(piece) <= max.max(LEAST_PIECE), "{piece:?}");
            }
            prop_assert_eq!(letters(&pieces.concat()), letters(&text));
        }

        #[test]
        fn bytes_are_those_of_json(text in "\\PC*|[\u{0}-\u{7f}]*") {
            let json = serde_json::Value::from(text.clone()).to_string();
            prop_assert_eq!(bytes_in_json(&text), json.len() - 2);
        }
    }
}
