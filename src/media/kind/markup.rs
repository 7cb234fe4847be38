//! Documents that a browser would run or draw: HTML, SVG, XML, in whatever encoding
//! and behind whatever comments.

use std::borrow::Cow;

/// The first elements of HTML that browsers know a page by (WHATWG MIME Sniffing,
/// "Identifying a resource with an unknown MIME type"), and a few more that they run.
const HTML: [&str; 27] = [
    "html", "head", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b",
    "body", "br", "p", "img", "link", "meta", "object", "embed", "form", "input", "video", "audio",
    "base", "template", "frameset",
];

const XML: &str = "application/xml";
const SVG: &str = "image/svg+xml";

/// The bytes as text, if they are text: by a byte order mark, as UTF-8, as UTF-16 without
/// a mark, or in a one-byte encoding. A character that is cut off at the end is left
/// out. None for what has bytes that no text has.
pub(super) fn as_text(head: &[u8]) -> Option<Cow<'_, str>> {
    let text: Cow<'_, str> = if let Some(rest) = head.strip_prefix(b"\xef\xbb\xbf") {
        one_byte(rest)
    } else if let Some(rest) = head.strip_prefix(b"\xff\xfe\x00\x00") {
        four_bytes(rest, u32::from_le_bytes).into()
    } else if let Some(rest) = head.strip_prefix(b"\x00\x00\xfe\xff") {
        four_bytes(rest, u32::from_be_bytes).into()
    } else if let Some(rest) = head.strip_prefix(b"\xff\xfe") {
        two_bytes(rest, u16::from_le_bytes).into()
    } else if let Some(rest) = head.strip_prefix(b"\xfe\xff") {
        two_bytes(rest, u16::from_be_bytes).into()
    } else if looks_wide(head, 1) {
        two_bytes(head, u16::from_le_bytes).into()
    } else if looks_wide(head, 0) {
        two_bytes(head, u16::from_be_bytes).into()
    } else {
        one_byte(head)
    };
    let is_text = |c: char| {
        !c.is_control()
            || matches!(
                c,
                '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1b}' | '\u{80}'..='\u{9f}'
            )
    };
    text.chars().all(is_text).then_some(text)
}

/// Whether every other byte of the beginning is nought: ASCII in UTF-16.
fn looks_wide(head: &[u8], of: usize) -> bool {
    let pairs = || head.chunks_exact(2).take(32);
    pairs().len() > 1 && pairs().all(|pair| pair[of] == 0 && pair[1 - of] != 0)
}

fn one_byte(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        // Cut off within a character.
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()])
        }
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn two_bytes(bytes: &[u8], read: fn([u8; 2]) -> u16) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    char::decode_utf16(units.iter().map(|pair| read(*pair)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn four_bytes(bytes: &[u8], read: fn([u8; 4]) -> u32) -> String {
    let (units, _) = bytes.as_chunks::<4>();
    let units = units.iter().map(|four| char::from_u32(read(*four)));
    units
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Which kind of markup a text is; none when it is none.
///
/// Blanks, comments, declarations and processing instructions may stand before the
/// first element. A comment that does not end within the text hides what follows: that
/// is taken for HTML, the worse of the two.
pub(super) fn of(text: &str) -> Option<&'static str> {
    let mut rest = text.trim_start_matches(is_blank);
    let mut is_xml = false;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if let Some(after) = rest.strip_prefix("<!--") {
            // As browsers read it: `<!-->` is a whole comment.
            let body = after.strip_prefix('-').unwrap_or(after);
            match (after.starts_with('>'), body.find("-->")) {
                (true, _) => rest = &after[1..],
                (false, Some(end)) => rest = &body[end + 3..],
                (false, None) => return Some("text/html"),
            }
        } else if let Some(after) = rest.strip_prefix("<?") {
            let is_declaration = starts_with(after, "xml");
            match after.find('>') {
                // `<?php` and its like are programs, not documents.
                _ if !is_declaration && !is_xml => return None,
                Some(end) => rest = &after[end + 1..],
                None => return Some(XML),
            }
            is_xml = true;
        } else if starts_with(rest, "<!doctype") {
            let name = rest["<!doctype".len()..].trim_start_matches(is_blank);
            if starts_with(name, "html") {
                return Some("text/html");
            }
            if starts_with(name, "svg") {
                return Some(SVG);
            }
            is_xml = true;
            // A subset in brackets may hold any markup.
            let subset = name.find('[').filter(|at| !name[..*at].contains('>'));
            let end = match subset {
                Some(_) => name.find("]>").map(|at| at + 2),
                None => name.find('>').map(|at| at + 1),
            };
            match end {
                Some(end) => rest = &name[end..],
                None => return Some(XML),
            }
        } else {
            break;
        }
    }
    let element = element(rest);
    match element.as_deref() {
        Some("svg") => Some(SVG),
        Some("html") if is_xml => Some("application/xhtml+xml"),
        Some(name) if HTML.contains(&name) => Some("text/html"),
        _ if is_xml => Some(XML),
        _ => None,
    }
}

/// The name of the element that a text begins with, in lower case, without its
/// namespace's prefix.
fn element(text: &str) -> Option<String> {
    let after = text.strip_prefix('<')?;
    let end = after
        .find(|c: char| is_blank(c) || matches!(c, '>' | '/'))
        .unwrap_or(after.len());
    let name = after[..end].to_ascii_lowercase();
    Some(match name.rsplit_once(':') {
        Some((_, local)) => local.to_owned(),
        None => name,
    })
}

fn is_blank(c: char) -> bool {
    // A second byte order mark is none any more, but some readers skip it.
    c.is_whitespace() || c == '\u{feff}' || c == '\0'
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|found| found.eq_ignore_ascii_case(start))
}
