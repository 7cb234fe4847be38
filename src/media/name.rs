//! The name of a file, so that it can be nothing but a name.

use super::kind;

/// The longest name, in bytes. File systems take 255, and some programs append to it.
pub const LONGEST: usize = 200;

/// The longest end behind a dot that is kept when a name is shortened, in bytes.
const LONGEST_EXTENSION: usize = 16;

/// What a file is called that has no name.
const NAMELESS: &str = "file";

/// Names that mean a device on Windows, with whatever follows a dot.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// The name without what could make it more or other than a name: folders and drives,
/// control characters, what steers the direction of text or cannot be seen, blanks and
/// dots at the ends, names of devices. Never empty, and at most [`LONGEST`] bytes; the
/// end behind its last dot is kept.
pub fn clean(name: &str) -> String {
    let visible: String = name.chars().filter(|c| !misleads(*c)).collect();
    // The last part that says something; `C:x` is relative to the folder of a drive.
    let last = visible
        .split(['/', '\\', ':', '∕', '⁄', '／', '＼', '⧵', '﹨', '：'])
        .map(trimmed)
        .rfind(|part| !part.is_empty())
        .unwrap_or_default();
    let plain: String = last
        .chars()
        // What Windows allows in no name, and what has a meaning for shells of it.
        .map(|c| match c {
            '<' | '>' | '"' | '|' | '?' | '*' => '_',
            c if c.is_whitespace() => ' ',
            c => c,
        })
        .collect();
    let short = shortened(&plain);
    match trimmed(&short) {
        "" => NAMELESS.to_owned(),
        name if is_device(name) => format!("_{name}"),
        name => name.to_owned(),
    }
}

/// As [`clean`]; a name without an end behind a dot gets the one that is usual for the
/// type.
pub fn clean_of_type(name: &str, media_type: &str) -> String {
    let name = clean(name);
    match kind::extension_of(media_type) {
        Some(extension) if stem_and_extension(&name).is_none() => {
            let stem = cut(&name, LONGEST - extension.len() - 1);
            format!("{}.{extension}", trimmed(stem))
        }
        _ => name,
    }
}

/// Whether a character is invisible, steers the direction of text, or breaks a line. The
/// joiners U+200C and U+200D stay: Persian and emoji need them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Without blanks and dots at the ends: a dot in front hides a file, one behind is lost
/// on Windows. Joiners have nothing to join there.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '.' | '\u{200c}' | '\u{200d}' | '\u{2800}')
    })
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_lowercase();
    let numbered = ["com", "lpt"].iter().any(|port| {
        let digit = stem.strip_prefix(port).map(|digit| digit.chars());
        digit.is_some_and(|mut digit| {
            matches!(digit.next(), Some('0'..='9' | '¹' | '²' | '³')) && digit.next().is_none()
        })
    });
    numbered || DEVICES.contains(&stem.as_str())
}

/// What stands before and behind the last dot, if that looks like an extension.
fn stem_and_extension(name: &str) -> Option<(&str, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is_extension = (1..=LONGEST_EXTENSION).contains(&extension.len())
        && extension.chars().all(char::is_alphanumeric);
    (is_extension && !trimmed(stem).is_empty()).then_some((stem, extension))
}

fn shortened(name: &str) -> String {
    // Room for the line before the name of a device.
    let longest = LONGEST - 1;
    if name.len() <= longest {
        return name.to_owned();
    }
    match stem_and_extension(name) {
        Some((stem, extension)) => {
            let stem = cut(stem, longest - extension.len() - 1);
            format!("{}.{extension}", trimmed(stem))
        }
        None => cut(name, longest).to_owned(),
    }
}

/// The beginning of a text, at most so many bytes, in whole characters.
fn cut(text: &str, longest: usize) -> &str {
    match text
        .char_indices()
        .find(|(at, c)| at + c.len_utf8() > longest)
    {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_nothing_but_a_name() {
        let table = [
            ("photo.png", "photo.png"),
            ("Übersicht 2026 (final).pdf", "Übersicht 2026 (final).pdf"),
            ("/etc/passwd", "passwd"),
            ("../../.ssh/authorized_keys", "authorized_keys"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("C:\\Users\\x\\cat.jpg", "cat.jpg"),
            ("C:cat.jpg", "cat.jpg"),
            ("a.txt:hidden.exe", "hidden.exe"),
            ("folder/", "folder"),
            ("..", "file"),
            ("./.", "file"),
            ("", "file"),
            (" . ", "file"),
            ("\u{202e}\u{200b}", "file"),
            ("cod\u{202e}gpj.exe", "codgpj.exe"),
            ("\u{2066}a\u{2069}\u{200e}b\u{200f}.txt", "ab.txt"),
            ("a\u{0}b\r\nc.txt", "abc.txt"),
            ("a\u{a0}b\u{3000}c.txt", "a b c.txt"),
            (".htaccess", "htaccess"),
            ("evil.exe. . .", "evil.exe"),
            ("con", "_con"),
            ("NUL.txt", "_NUL.txt"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("COM¹", "_COM¹"),
            ("lpt10", "lpt10"),
            ("console.log", "console.log"),
            ("a<b>\"c|d?e*.txt", "a_b__c_d_e_.txt"),
            ("a／b＼c.txt", "c.txt"),
            ("👩\u{200d}💻.png", "👩\u{200d}💻.png"),
        ];
        for (raw, expected) in table {
            assert_eq!(clean(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let long = clean(&format!("{}.tar.gz", "ä".repeat(500)));
        assert!(long.len() < LONGEST && long.ends_with("ä.gz"), "{long}");
        let no_end = clean(&format!("a.{}", "é".repeat(500)));
        assert!(no_end.len() < LONGEST && no_end.starts_with("a.é"));
    }

    #[test]
    fn a_name_without_an_end_gets_that_of_its_type() {
        let table = [
            ("", "image/png", "file.png"),
            ("photo", "image/jpeg", "photo.jpg"),
            ("photo.jpeg", "image/jpeg", "photo.jpeg"),
            ("v1.2 draft", "application/pdf", "v1.2 draft.pdf"),
            ("README", "application/octet-stream", "README"),
        ];
        for (raw, media_type, expected) in table {
            assert_eq!(clean_of_type(raw, media_type), expected, "{raw:?}");
        }
        let long = clean_of_type(&"x".repeat(500), "application/pdf");
        assert!(long.len() <= LONGEST && long.ends_with("x.pdf"));
    }

    /// Characters that have gone wrong somewhere, more often than others.
    fn names() -> impl Strategy<Value = String> {
        let odd = proptest::sample::select(vec![
            '/', '\\', ':', '.', ' ', '\0', '\n', '\u{202e}', '\u{200b}', '\u{200d}', '\u{feff}',
            'c', 'o', 'n', '1', 'é', '💻', '\u{301}', '-', '~', '%',
        ]);
        proptest::collection::vec(prop_oneof![odd, any::<char>()], 0..400)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn whatever_comes_in_a_name_goes_out(raw in names()) {
            let name = clean(&raw);
            prop_assert!(!name.is_empty() && name.len() <= LONGEST);
            prop_assert!(!name.contains(['/', '\\', ':', '<', '>', '"', '|', '?', '*']));
            prop_assert!(!name.chars().any(misleads));
            prop_assert!(!name.starts_with(['.', ' ']) && !name.ends_with(['.', ' ']));
            prop_assert!(!is_device(&name));
            prop_assert_eq!(clean(&name), name);
        }

        #[test]
        fn with_a_type_it_is_a_name_as_well(raw in names()) {
            let name = clean_of_type(&raw, "application/pdf");
            prop_assert!(name.len() <= LONGEST);
            prop_assert_eq!(clean(&name), name);
        }
    }
}
