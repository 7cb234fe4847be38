//! What the server computes from a message's text, apart from its Markdown: mentions, channels,
//! links, and the closing of code fences (facts 4.4, 4.9).

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;

/// Links as the server finds them in a text (not what its Markdown parser links).
static LINK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"[A-Za-z]{3,9}://(?:[-;:&=+$,A-Za-z0-9_]+@)?[-A-Za-z0-9.]+:?[0-9]*(?:/[-+=!:~%/.@,A-Za-z0-9_]*)?\??(?:[-+=&!:;%@/.,A-Za-z0-9_]+)?(?:#[^\s)]*)?",
    )
    .ok()
});

/// Patterns come from settings and rarely change, so each is compiled once; `None` is an unusable one.
static COMPILED: LazyLock<Mutex<HashMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);

fn compiled(pattern: &str) -> Option<Regex> {
    let mut known = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = known.get(pattern) {
        return regex.clone();
    }
    let regex = Regex::new(pattern).ok();
    known.insert(pattern.to_owned(), regex.clone());
    regex
}

/// Closes an odd code fence with a newline and a fence.
pub fn close_fence(text: &str) -> String {
    if text.matches("```").count() % 2 == 1 {
        format!("{text}\n```")
    } else {
        text.to_owned()
    }
}

/// Names after `sign` at the start, after white space or after `>`, each once, in order. `pattern`
/// is the setting that validates names; an unusable one finds nothing.
fn marked(text: &str, sign: char, pattern: &str, server_part: bool) -> Vec<String> {
    let tail = if server_part {
        format!("(?:@(?:{pattern}))?(?::[0-9a-zA-Z-_.]+)?")
    } else {
        String::new()
    };
    let Some(regex) = compiled(&format!(r"(?m)(^|\s|>){sign}((?:{pattern}){tail})")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = Vec::new();
    // A match takes the white space before it, so neighbours are found one after the other.
    for found in regex.captures_iter(text) {
        // After `>` the match is made, but what is looked up has the sign in it: nobody.
        let name = found[2].to_owned();
        if &found[1] != ">" && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Candidates for `mentions`.
pub fn user_names(text: &str, pattern: &str) -> Vec<String> {
    if text.contains('@') {
        marked(text, '@', pattern, true)
    } else {
        Vec::new()
    }
}

/// Candidates for `channels`.
pub fn room_names(text: &str, pattern: &str) -> Vec<String> {
    if text.contains('#') {
        marked(text, '#', pattern, false)
    } else {
        Vec::new()
    }
}

/// Links of a text, each once, in order.
pub fn links(text: &str) -> Vec<String> {
    if !text.contains("://") {
        return Vec::new();
    }
    let mut links: Vec<String> = Vec::new();
    if let Some(regex) = LINK.as_ref() {
        for found in regex.find_iter(text) {
            if !links.iter().any(|link| link == found.as_str()) {
                links.push(found.as_str().to_owned());
            }
        }
    }
    links
}

/// Length in UTF-16 code units, as JavaScript counts.
pub fn utf16_length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Whether a name fully matches a validation setting; an unusable one lets only the default pass.
pub fn valid_name(name: &str, pattern: &str) -> bool {
    compiled(&format!("^(?:{pattern})$")).map_or_else(
        || {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        },
        |regex| regex.is_match(name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "[0-9a-zA-Z-_.]+";

    #[test]
    fn mentions_are_found_as_the_server_does() {
        let cases: &[(&str, &[&str])] = &[
            ("@bob hi", &["bob"]),
            ("Thanks @bob.", &["bob."]),
            ("@bob, @carol: x", &["bob", "carol"]),
            ("(@bob) *@bob* `@bob`", &[]),
            ("@bob @bob twice", &["bob"]),
            ("```\n@bob\n```", &["bob"]),
            ("@alice:example.org", &["alice:example.org"]),
            ("a@bob", &[]),
        ];
        for (text, names) in cases {
            assert_eq!(user_names(text, NAMES), *names, "{text}");
        }
    }

    #[test]
    fn odd_fences_are_closed() {
        assert_eq!(close_fence("```x"), "```x\n```");
        assert_eq!(close_fence("```x```"), "```x```");
    }

    #[test]
    fn links_are_found_once() {
        assert_eq!(
            links("see https://example.org/@bob and https://example.org/@bob"),
            ["https://example.org/@bob"]
        );
    }
}
