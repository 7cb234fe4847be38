//! `:)` and its like.

use std::sync::LazyLock;

use crate::options::Generation;
use crate::source::Source;

/// The shortcode, and the forms that mean it. No form begins with another one.
const EMOTICONS: &[(&str, &[&str])] = &[
    ("angry", &[">:(", ">:-(", ":@"]),
    ("broken_heart", &["</3"]),
    (
        "confused",
        &[
            ":/", ":-/", ":\\", ":-.", "=/", "=\\", ":L", "=L", ">:/", ">:\\",
        ],
    ),
    ("cry", &[":'(", ":'-(", ";(", ";-("]),
    ("disappointed", &[":(", ":-(", "=(", ":[", ":-[", ">:["]),
    ("dizzy_face", &["X)", "X-)", "#)", "#-)", "%)", "%-)"]),
    ("expressionless", &["-_-", "-__-", "-___-"]),
    ("fearful", &["D:"]),
    ("flushed", &[":$", "=$"]),
    ("heart", &["<3"]),
    (
        "innocent",
        &[
            "O:)", "O:-)", "O=)", "O;-)", "O:3", "O:-3", "0:)", "0:-)", "0;-)", "0;^)", "0:3",
            "0:-3",
        ],
    ),
    ("joy", &[":')", ":'-)"]),
    ("kissing_heart", &[":*", ":-*", ":^*", "=*"]),
    ("laughing", &[">:)", ">:-)", ">;)", ">=)"]),
    ("no_mouth", &[":X", ":-X", ":#", ":-#", "=X", "=#"]),
    ("open_mouth", &[":O", ":-O", "O_O", ">:O"]),
    ("persevere", &[">.<"]),
    ("person_gesturing_ok", &["\\0/", "\\O/", "*\\0/*", "*\\O/*"]),
    ("slight_smile", &[":)", ":-)", ":]", "=)", "=]"]),
    ("smiley", &[":D", ":-D", "=D"]),
    (
        "stuck_out_tongue",
        &[":P", ":-P", "=P", ":b", ":-b", ":Þ", ":-Þ"],
    ),
    ("stuck_out_tongue_winking_eye", &[">:P", "X-P"]),
    ("sunglasses", &["8)", "8-)", "8-D", "B)", "B-)", "B-D"]),
    ("sweat", &["':(", "':-(", "'=("]),
    ("sweat_smile", &["':)", "':-)", "'=)", "':D", "':-D", "'=D"]),
    ("thumbsup", &["(y)"]),
    (
        "wink",
        &[";)", ";-)", ";]", ";-]", ";D", ";^)", "*)", "*-)"],
    ),
];

/// Forms that 8.7 has lost.
const NOT_IN_V8_7: &[&str] = &[">:/", ":'-(", "\\0/", "\\O/"];

/// Whether an emoticon begins with a character of ASCII; with others none does.
static BEGINS: LazyLock<[bool; 128]> = LazyLock::new(|| {
    let mut begins = [false; 128];
    for form in EMOTICONS.iter().flat_map(|(_, forms)| *forms) {
        let first = form.bytes().next().map(usize::from);
        if let Some(begins) = first.and_then(|first| begins.get_mut(first)) {
            *begins = true;
        }
    }
    begins
});

/// The end and the shortcode of the emoticon that stands at `at`.
pub(crate) fn emoticon(
    source: &Source,
    at: usize,
    generation: Generation,
) -> Option<(usize, &'static str)> {
    // Most positions are ruled out by their first character.
    let first = source.at(at)?;
    if !BEGINS.get(usize::from(first)).is_some_and(|begins| *begins) {
        return None;
    }
    let first = char::from_u32(u32::from(first))?;
    EMOTICONS.iter().find_map(|(short_code, forms)| {
        let form = forms.iter().find(|form| {
            form.starts_with(first)
                && form
                    .encode_utf16()
                    .eq(source.slice(at..at + form.chars().count()).iter().copied())
        })?;
        let is_known = generation == Generation::V6 || !NOT_IN_V8_7.contains(form);
        is_known.then_some((at + form.chars().count(), *short_code))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_begins_with_a_character_of_ascii() {
        for form in EMOTICONS.iter().flat_map(|(_, forms)| *forms) {
            assert!(form.starts_with(|c: char| c.is_ascii()), "{form}");
        }
    }

    #[test]
    fn no_form_begins_with_another_one() {
        let forms: Vec<&str> = EMOTICONS
            .iter()
            .flat_map(|(_, forms)| *forms)
            .copied()
            .collect();
        for form in &forms {
            let beginnings = forms
                .iter()
                .filter(|other| form.starts_with(**other))
                .count();
            assert_eq!(beginnings, 1, "{form}");
        }
    }

    #[test]
    fn the_form_tells_the_shortcode() {
        for (text, expected) in [
            ("<3", Some((2, "heart"))),
            (":-Þ", Some((3, "stuck_out_tongue"))),
            ("*\\0/*", Some((5, "person_gesturing_ok"))),
            (":", None),
            (":x", None),
        ] {
            assert_eq!(
                emoticon(&Source::new(text), 0, Generation::V6),
                expected,
                "{text}"
            );
        }
    }
}
