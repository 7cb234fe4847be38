//! Text that Rocket.Chat shows as it was typed.
//!
//! Two means, held against the server's own parser in both generations (0.31 and
//! 0.32). A backslash makes ``* _ ~ ` .`` text, but not within emphasis, nor in a word
//! with a dot that might be an address: there it is shown. So such a word gets its
//! dots escaped too. And U+200B, which nobody sees, takes everything else apart.
//! Text that needs neither is left alone, because notifications and the edit box show
//! what is stored. That is [`write`], by rules for what people write; [`write_anywhere`]
//! uses both means wherever they might be needed.

use super::ZERO_WIDTH_SPACE;
use super::people::is_of_a_name;

/// Where the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a line that has no markup at all and does not look like it.
    Plain,
    /// In a line with markup, or that looks as if it had some.
    AmongMarkup,
    /// Within emphasis or the text of a link, where a backslash is a backslash.
    /// Whoever writes there asks [`fits_inside`] first.
    Inside,
    /// The name of something: nothing in it may become a link or an emoji.
    Name,
}

/// Whether a line of text must be written with backslashes: when two markers might
/// find each other, or a word might be a link. All of the line or nothing of it: a
/// marker without a backslash may reach for one behind a backslash.
pub(super) fn looks_like_markup(line: &str) -> bool {
    // `<main.rs|text>` is a link even with something behind the `<`.
    let is_link = |word: &str| word.contains('<') && word.contains('|');
    if line.split(ends_a_word).any(is_link) {
        return true;
    }
    let (mut stars, mut tildes, mut ticks, mut underscores) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut underscore_opens = false;
    let mut before = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => stars += 1,
            '~' => tildes += 1,
            '`' => ticks += 1,
            '_' => {
                underscores += 1;
                underscore_opens |= !is_within_word(before, chars.peek().copied());
            }
            _ => {}
        }
        before = Some(c);
    }
    stars > 1 || tildes > 1 || ticks > 1 || (underscores > 1 && underscore_opens)
}

/// Whether text can stand in emphasis as it is: nothing in it would need a backslash.
pub(super) fn fits_inside(text: &str) -> bool {
    // What looks like an address is read to its end, and the end marker with it.
    if text.contains("://") {
        return false;
    }
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let fits = match c {
            '*' | '~' | '`' | '\\' | '|' | '<' | '[' | ']' => false,
            '_' => is_within_word(before, chars.peek().copied()),
            _ => true,
        };
        if !fits {
            return false;
        }
        before = Some(c);
    }
    true
}

/// `_` between letters is never markup.
fn is_within_word(before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(|c| c.is_ascii_alphanumeric())
        && after.is_some_and(|c| c.is_ascii_alphanumeric())
}

/// Adds text so that it is shown as it is. `before` and `after` are the characters
/// that will stand beside it on its line.
pub(super) fn write(
    out: &mut String,
    text: &str,
    before: Option<char>,
    after: Option<char>,
    place: Place,
) {
    // Emphasis that was to stand between the two may have been given up since.
    if let (Some(c), Some(next)) = (before, text.chars().next())
        && ((c == '#' && is_of_a_name(next)) || is_taken_apart(c, next, place))
    {
        out.push(ZERO_WIDTH_SPACE);
    }
    let mut from = 0;
    let mut before = before;
    while from < text.len() {
        let rest = &text[from..];
        let word = rest.find(ends_a_word).unwrap_or(rest.len());
        if word > 0 {
            let next = rest[word..].chars().next().or(after);
            write_word(out, &rest[..word], before, next, place);
        }
        let space: usize = rest[word..]
            .chars()
            .take_while(|c| ends_a_word(*c))
            .map(char::len_utf8)
            .sum();
        out.push_str(&rest[word..word + space]);
        before = rest[..word + space].chars().next_back();
        from += word + space;
    }
}

/// Whether a word ends before a character, in the eyes of the server: other white space
/// belongs to the word, so that a backslash behind it may be shown.
fn ends_a_word(c: char) -> bool {
    matches!(c, ' ' | '\n')
}

/// Adds text, outside of emphasis, so that nothing in it can mean anything, whatever
/// stands around it: no marker is without a backslash, and nothing can swallow the
/// backslash (an address needs a dot or `localhost`; emoticons are taken apart). What
/// begins with other characters is taken apart behind the first of them.
pub(super) fn write_anywhere(
    out: &mut String,
    text: &str,
    before: Option<char>,
    after: Option<char>,
) {
    if matches!(before, Some('\\' | '@' | '#' | '<' | ']' | '|')) {
        out.push(ZERO_WIDTH_SPACE);
    }
    let mut previous = before;
    for (at, c) in text.char_indices() {
        if matches!(c, '*' | '_' | '~' | '`' | '.') {
            // `:\` and `=\` are emoticons.
            if matches!(previous, Some(':' | '=')) {
                out.push(ZERO_WIDTH_SPACE);
            }
            out.push('\\');
        }
        out.push(c);
        let rest = &text[at..];
        let next = rest.chars().nth(1).or(after);
        let apart = match c {
            '\\' => next.is_some_and(|next| !next.is_whitespace() && !next.is_alphanumeric()),
            '@' | '#' | '<' => next.is_some_and(|next| !next.is_whitespace()),
            ']' => next == Some('('),
            '|' => next == Some('|'),
            'l' => rest.starts_with("localhost"),
            _ => false,
        };
        if apart {
            out.push(ZERO_WIDTH_SPACE);
        }
        previous = Some(c);
    }
}

fn write_word(
    out: &mut String,
    word: &str,
    before: Option<char>,
    after: Option<char>,
    place: Place,
) {
    let touches = |c: Option<char>| c.is_some_and(|c| !ends_a_word(c));
    // A word with a dot or an underscore would swallow what touches it.
    let place = match place {
        Place::Plain if touches(before) || touches(after) => Place::AmongMarkup,
        other => other,
    };
    let with_backslashes = matches!(place, Place::AmongMarkup | Place::Name);
    let dots = match place {
        Place::Inside | Place::Plain => false,
        Place::Name => !is_file_name(word),
        Place::AmongMarkup => {
            word.contains(['*', '_', '~', '`', '<']) || touches(before) || touches(after)
        }
    };
    let is_address = is_mail_address(word);
    // What may be an address or a number, so that a mention may follow it.
    let mut compound = false;
    let mut previous = before;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().or(after);
        let escaped = match c {
            '*' | '_' | '~' | '`' => with_backslashes,
            '.' => dots && touches(next),
            _ => false,
        };
        if escaped {
            // `:\` and `=\` are emoticons.
            if matches!(previous, Some(':' | '=')) {
                out.push(ZERO_WIDTH_SPACE);
            }
            out.push('\\');
        }
        out.push(c);
        let in_word = previous.is_some_and(|c| c.is_ascii_alphanumeric())
            && next.is_some_and(|c| c.is_ascii_alphanumeric());
        let apart = next.is_some_and(|next| match c {
            '@' => !is_address && !next.is_whitespace(),
            '#' => (compound || !in_word || place == Place::Inside) && is_of_a_name(next),
            _ => is_taken_apart(c, next, place),
        });
        if apart {
            out.push(ZERO_WIDTH_SPACE);
        }
        compound |= !c.is_ascii_alphanumeric();
        previous = Some(c);
    }
}

/// Whether a word is somebody's mail address, perhaps with punctuation around it:
/// its `@` means nothing else.
fn is_mail_address(word: &str) -> bool {
    let word = word
        .trim_start_matches(['(', '<', '"', '\''])
        .trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '>', '"', '\'']);
    let fits = |part: &str, others: &[char]| {
        part.starts_with(char::is_alphanumeric)
            && part.ends_with(char::is_alphanumeric)
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || others.contains(&c))
    };
    word.split_once('@')
        .is_some_and(|(local, host)| fits(local, &['.', '_', '-', '+']) && fits(host, &['.', '-']))
}

/// Whether a word is a plain name of a file that cannot be taken for an address.
fn is_file_name(word: &str) -> bool {
    const ENDS: [&str; 26] = [
        "png", "jpg", "jpeg", "gif", "webp", "svg", "mp4", "webm", "mkv", "avi", "mp3", "ogg",
        "opus", "wav", "flac", "pdf", "txt", "doc", "docx", "odt", "xls", "xlsx", "csv", "json",
        "log", "bin",
    ];
    word.split_once('.').is_some_and(|(name, end)| {
        ENDS.iter().any(|known| known.eq_ignore_ascii_case(end))
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

/// Whether two characters mean something beside each other.
fn is_taken_apart(c: char, next: char, place: Place) -> bool {
    match c {
        '\\' => !next.is_whitespace() && !next.is_alphanumeric(),
        ']' => next == '(',
        '|' => next == '|',
        // `<3` is an emoticon and may stay one.
        '<' => {
            next.is_alphabetic()
                || matches!(next, '/' | '+' | '_')
                || (next.is_ascii_digit() && next != '3')
        }
        ':' => place == Place::Name && !next.is_whitespace(),
        _ => false,
    }
}

/// Whether a line that begins like this would become a quote, a list, a heading, a
/// table or a rule.
pub(super) fn begins_a_block(line: &str) -> bool {
    let line = line.trim_start();
    let mut chars = line.chars();
    let spaced = |rest: &str| rest.starts_with([' ', '\t']);
    match chars.next() {
        Some('>' | '|') => true,
        Some('-') => spaced(chars.as_str()) || chars.as_str().starts_with('-'),
        Some('*' | '+') => spaced(chars.as_str()),
        Some('#') => spaced(line.trim_start_matches('#')),
        Some('[') => line.starts_with("[ ]") || line.starts_with("[x]"),
        Some(c) if c.is_ascii_digit() => line
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix('.')
            .is_some_and(spaced),
        _ => false,
    }
}
