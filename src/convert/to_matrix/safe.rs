//! What a stranger wrote, made safe to stand in HTML, in an address or in a name.

use url::Url;

/// Schemes that a link may have: those of the Matrix specification 1.11,
/// "m.room.message msgtypes", attribute `href`.
const LINK_SCHEMES: [&str; 5] = ["http", "https", "ftp", "mailto", "magnet"];

/// Whether a character is invisible, steers the direction of text, or breaks a line:
/// in a name it can only mislead. The joiners U+200C and U+200D are not among them:
/// Persian and emoji need them.
pub(in crate::convert) fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A name as it may stand among other text, trimmed: without characters that
/// mislead, and without an `@` or `#` that begins a word, which would make it look
/// like a mention of somebody else. May come out empty.
pub fn name(raw: &str) -> String {
    let mut clean = String::with_capacity(raw.len());
    let mut in_word = false;
    for c in raw.chars().filter(|c| !misleads(*c)) {
        if in_word || !matches!(c, '@' | '#' | '＠' | '＃') {
            clean.push(c);
            in_word = c.is_alphanumeric();
        }
    }
    clean.trim().to_owned()
}

/// The name of a file: without characters that mislead, so that it ends where it
/// seems to end.
pub(super) fn file_name(raw: &str) -> String {
    let clean: String = raw.chars().filter(|c| !misleads(*c)).collect();
    clean.trim().to_owned()
}

/// Whether nothing in the text can be seen.
pub(in crate::convert) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || misleads(c)
            // Joiners with nothing to join, and letters that are empty.
            || matches!(c, '\u{200c}' | '\u{200d}' | '\u{34f}' | '\u{115f}' | '\u{1160}'
                | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
    })
}

/// Text without control characters other than tabs and line breaks, which neither
/// HTML nor a database of a homeserver takes.
pub(super) fn printable(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
}

/// Writes a character so that it stays that character, in text and in attributes.
pub(super) fn escape(c: char, html: &mut String) {
    match c {
        '&' => html.push_str("&amp;"),
        '<' => html.push_str("&lt;"),
        '>' => html.push_str("&gt;"),
        '"' => html.push_str("&quot;"),
        '\'' => html.push_str("&#39;"),
        c => html.push(c),
    }
}

/// Writes a character of a text: line breaks stay, and so do spaces that HTML would
/// swallow, as it does those at the start of a line and behind another space.
pub(super) fn text(c: char, after_space: &mut bool, html: &mut String) {
    match c {
        '\n' => {
            html.push_str("<br>");
            *after_space = true;
        }
        ' ' if *after_space => html.push('\u{a0}'),
        c => {
            escape(c, html);
            *after_space = c == ' ';
        }
    }
}

/// The value of an attribute, without its quotes.
pub(super) fn attribute(value: &str) -> String {
    let mut html = String::with_capacity(value.len());
    printable(value).for_each(|c| escape(c, &mut html));
    html
}

/// The address that a link may lead to, its scheme in lower case; none when it is no
/// link but text. `//host` and `host.tld` mean `https://host`, as Rocket.Chat takes
/// them.
/// White space and what misleads is percent-encoded.
pub(super) fn address(src: &str) -> Option<String> {
    let (scheme, rest) = match src.strip_prefix("//") {
        Some(rest) if !rest.is_empty() => ("https".to_owned(), format!("//{rest}")),
        _ if begins_with_host(src) => ("https".to_owned(), format!("//{src}")),
        _ => {
            let (scheme, rest) = src.split_once(':')?;
            (scheme.to_ascii_lowercase(), rest.to_owned())
        }
    };
    if !LINK_SCHEMES.contains(&scheme.as_str()) || rest.is_empty() {
        return None;
    }
    let mut address = format!("{scheme}:");
    for c in rest.chars() {
        if misleads(c) || c.is_whitespace() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                address.push_str(&format!("%{byte:02X}"));
            }
        } else {
            address.push(c);
        }
    }
    Some(address)
}

/// Whether an address without a scheme begins with the name of a host.
fn begins_with_host(src: &str) -> bool {
    let host = src.split(['/', '?', '#']).next().unwrap_or_default();
    let labels = host.split('.').count();
    labels > 1
        && host.split('.').all(|label| {
            !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
}

/// The address, if it is one of the web.
pub(super) fn web_address(src: &str) -> Option<String> {
    address(src).filter(|address| address.starts_with("http:") || address.starts_with("https:"))
}

/// Whether a label says the same as the address behind it, so that one of them is
/// enough: `x@example.org` and `mailto:x@example.org`.
pub(super) fn says_the_same(label: &str, src: &str) -> bool {
    if let Some(number) = src.strip_prefix("tel:") {
        // Rocket.Chat leaves out what is no digit.
        let digits = |text: &str| {
            text.chars()
                .filter(char::is_ascii_digit)
                .collect::<String>()
        };
        let number_only = |c: char| c.is_ascii_digit() || "+-() ".contains(c);
        return label.chars().all(number_only) && digits(label) == digits(number);
    }
    let prefixes = ["mailto:", "//", "https://", "http://"];
    label == src
        || prefixes
            .iter()
            .any(|prefix| src.strip_prefix(prefix) == Some(label))
}

/// The message that a permalink leads to: its `msg` parameter.
pub(super) fn message_of_permalink(src: &str) -> Option<String> {
    let url = Url::parse(src).ok()?;
    let (_, id) = url.query_pairs().find(|(key, _)| key == "msg")?;
    Some(id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_mislead() {
        let table = [
            ("Alice Liddell", "Alice Liddell"),
            ("  Al\u{0}i\u{202e}ce\n ", "Alice"),
            ("@room", "room"),
            ("x @@bob, #general", "x bob, general"),
            ("a@example.org", "a@example.org"),
            ("\u{202e}\u{200b}", ""),
            ("<b>&\"", "<b>&\""),
        ];
        for (raw, clean) in table {
            assert_eq!(name(raw), clean, "{raw:?}");
        }
        assert_eq!(file_name("cod\u{202e}gpj.exe"), "codgpj.exe");
    }

    #[test]
    fn only_some_schemes_are_links() {
        let table = [
            ("https://a.com/x?y=1&z", Some("https://a.com/x?y=1&z")),
            ("HTTPS://a.com", Some("https://a.com")),
            ("//a.com", Some("https://a.com")),
            ("mailto:x@y.org", Some("mailto:x@y.org")),
            ("magnet:?xt=1", Some("magnet:?xt=1")),
            (
                "http://a.com/a b\u{202e}",
                Some("http://a.com/a%20b%E2%80%AE"),
            ),
            ("tel:+49123456", None),
            ("javascript:alert(1)", None),
            (" javascript:alert(1)", None),
            ("java\nscript:alert(1)", None),
            ("data:text/html,x", None),
            ("matrix:u/x:y", None),
            ("/file-upload/x", None),
            ("a.com", Some("https://a.com")),
            ("a.com/x:y", Some("https://a.com/x:y")),
            ("a.com:80", None),
            ("a..com", None),
            ("localhost", None),
            ("//", None),
            ("http:", None),
            ("", None),
        ];
        for (src, link) in table {
            assert_eq!(address(src).as_deref(), link, "{src:?}");
        }
    }

    #[test]
    fn permalinks_name_their_message() {
        let id = |src| message_of_permalink(src);
        assert_eq!(id("https://c.org/channel/x?msg=A1").as_deref(), Some("A1"));
        assert_eq!(id("https://c.org/?a=1&msg=b%20c#d").as_deref(), Some("b c"));
        assert_eq!(id("https://c.org/?a=1"), None);
        assert_eq!(id("?msg=A1"), None);
    }
}
