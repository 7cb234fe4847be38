//! Addresses in text: where they begin and end, which of them Rocket.Chat makes
//! links of by itself.

use std::borrow::Cow;

/// Schemes of addresses that are recognised in text.
const SCHEMES: [&str; 3] = ["https", "http", "ftp"];

/// Ends of host names that Rocket.Chat surely knows. It links only what it knows,
/// from a list of some nine thousand; other addresses are written as explicit links.
const KNOWN_ENDS: [&str; 48] = [
    "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "dev", "app", "io", "me", "tv",
    "cc", "co", "ai", "eu", "de", "at", "ch", "fr", "it", "es", "pt", "nl", "be", "lu", "dk", "se",
    "no", "fi", "is", "pl", "cz", "sk", "hu", "ro", "ie", "ru", "us", "ca", "br", "in", "jp", "cn",
    "au", "nz",
];

/// Cuts a line at its addresses; tells of each part whether it is one.
pub(super) fn split(line: &str) -> Vec<(&str, bool)> {
    let mut parts = Vec::new();
    let (mut begin, mut from) = (0, 0);
    while let Some(colon) = line[from..].find("://").map(|at| from + at) {
        from = colon + 3;
        let Some(start) = scheme_start(&line[begin..colon]).map(|at| begin + at) else {
            continue;
        };
        let markers = markers_before(&line[begin..start]);
        let end = colon + 3 + length(&line[colon + 3..], markers);
        if end == colon + 3 {
            continue;
        }
        if start > begin {
            parts.push((&line[begin..start], false));
        }
        parts.push((&line[start..end], true));
        begin = end;
        from = end;
    }
    if begin < line.len() {
        parts.push((&line[begin..], false));
    }
    parts
}

/// Where the scheme begins that a text ends with.
fn scheme_start(text: &str) -> Option<usize> {
    SCHEMES.iter().find_map(|scheme| {
        let start = text.len().checked_sub(scheme.len())?;
        (text.get(start..)?.eq_ignore_ascii_case(scheme)
            && !text[..start]
                .chars()
                .next_back()
                .is_some_and(|c| c.is_alphanumeric() || matches!(c, '+' | '-' | '.')))
        .then_some(start)
    })
}

/// The markers that a text ends with: those of an emphasis around an address.
fn markers_before(text: &str) -> &str {
    let rest = text.trim_end_matches(['*', '_', '~']);
    &text[rest.len()..]
}

/// How many bytes of a text, from behind `://` on, belong to the address. Nothing
/// when no host stands there. Punctuation at the end is the sentence's, and so are the
/// `markers` that stand before the address as well.
fn length(text: &str, markers: &str) -> usize {
    if !text.starts_with(|c: char| c.is_alphanumeric() || c == '[') {
        return 0;
    }
    let end = text
        .find(|c: char| {
            c.is_whitespace()
                || c.is_control()
                || matches!(
                    c,
                    '<' | '>' | '"' | '|' | '\\' | '^' | '`' | '{' | '}' | '\u{200b}'
                )
                || matches!(c, '“' | '”' | '„' | '‘' | '’' | '«' | '»')
        })
        .unwrap_or(text.len());
    let mut address = &text[..end];
    // A bracket that closes what was opened before the address ends it.
    let mut open = Vec::new();
    for (at, c) in address.char_indices() {
        match c {
            '(' | '[' => open.push(c),
            ')' | ']' => {
                let partner = if c == ')' { '(' } else { '[' };
                if open.pop() != Some(partner) {
                    address = &address[..at];
                    break;
                }
            }
            _ => {}
        }
    }
    let sentence = ['.', ',', ';', ':', '!', '?', '\'', '@', '#', '(', '['];
    address
        .trim_end_matches(|c| sentence.contains(&c) || markers.contains(c))
        .len()
}

/// Whether Rocket.Chat makes a link of an address that stands by itself, and shows
/// it as it is, or at least shows it as it is.
pub(super) fn is_left_alone(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let fits = rest
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._~/?#=&%+:;,@!$*".contains(c));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let known = host.rsplit_once('.').is_some_and(|(_, end)| {
        KNOWN_ENDS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(end))
    });
    let host_fits = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    fits && known && host_fits && !host.contains("..") && !ends_a_sentence(rest)
}

/// An address in a form that can stand in markup: what would end it is encoded.
pub(super) fn encoded(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for c in url.chars() {
        let keep = !c.is_control()
            && !c.is_whitespace()
            // White space to the server, behind which a mention could stand.
            && c != '\u{feff}'
            && !matches!(
                c,
                '(' | ')' | '<' | '>' | '|' | '"' | '\\' | '^' | '`' | '{' | '}' | '\u{200b}'
            );
        if keep {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// Whether an address ends with what servers take for the end of a sentence: where they
/// find it by themselves, and 0.31 even between the parentheses of a link.
pub(super) fn ends_a_sentence(url: &str) -> bool {
    url.ends_with(['.', ',', '!', '%', '~', '*', '"', '\'', ':', ';', '='])
}

/// `https:` for a host and its port without a scheme, as people write them.
pub(super) fn with_scheme(url: &str) -> Cow<'_, str> {
    let is_host = |host: &str| {
        host.eq_ignore_ascii_case("localhost")
            || host.contains('.')
                && host.split('.').all(|label| {
                    !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                })
    };
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = authority.split_once(':').is_some_and(|(host, port)| {
        is_host(host)
            && (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    match has_port {
        true => Cow::Owned(format!("https://{url}")),
        false => Cow::Borrowed(url),
    }
}

/// Whether a link may lead there: what the specification lets clients follow.
pub(super) fn is_followed(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, rest)| {
        let web = ["https", "http", "ftp"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        let other = ["mailto", "magnet"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        (web && rest.starts_with("//") && rest.len() > 2) || (other && !rest.is_empty())
    })
}
