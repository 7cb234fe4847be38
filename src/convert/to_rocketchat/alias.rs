//! How somebody of Matrix is called for whom the bridge's own account speaks, and what
//! their words must not do with its rights.

use ruma::UserId;

use super::person::allowed_name;
use crate::convert::to_matrix::safe;

/// How much of a display name is kept, in characters: the id that follows must be seen.
const LONGEST: usize = 60;

/// The name under which the bridge's account speaks for somebody: what they call
/// themselves, and their whole id, which is nobody else's. No name on Rocket.Chat ends like
/// it: user names there have no colon.
pub fn alias(display_name: Option<&str>, user: &UserId) -> String {
    let id: String = user
        .as_str()
        .chars()
        .map(|c| {
            if safe::misleads(c) || c.is_whitespace() {
                '?'
            } else {
                c
            }
        })
        .collect();
    let name: Option<String> = display_name.and_then(allowed_name).map(|name| {
        // Another's id in the name could be taken for the one that counts.
        name.chars()
            .filter(|c| !matches!(c, '@' | '＠' | '﹫'))
            .take(LONGEST)
            .collect()
    });
    match name.as_deref().map(str::trim) {
        Some(name) if !safe::is_blank(name) => format!("{name} ({id})"),
        _ => id,
    }
}

/// A text without the links by which Rocket.Chat would quote a message: it shows what its
/// author may read, and the bridge's account reads more than the person it speaks for.
/// Every address with the server's name in it and the parameter `msg` is such a link,
/// whatever its path (6.14). `is_known` tells of an id whether everybody in the room has
/// seen that message. The question mark is written so that it is none: the link leads
/// nowhere, and can still be read.
pub fn without_quotes(text: &str, site: &url::Url, is_known: impl Fn(&str) -> bool) -> String {
    let Some(host) = site.host_str().map(str::to_lowercase) else {
        return text.to_owned();
    };
    if !text.to_lowercase().contains(&host) {
        return text.to_owned();
    }
    text.split_inclusive(char::is_whitespace)
        .map(|word| {
            if word.to_lowercase().contains(&host) && quotes_unknown(word, &is_known) {
                word.replace('?', "%3F")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

/// Whether a word may name a message that `is_known` does not know. What is encoded may
/// name any.
fn quotes_unknown(word: &str, is_known: impl Fn(&str) -> bool) -> bool {
    let Some((_, query)) = word.split_once('?') else {
        return false;
    };
    if query.contains('%') {
        return true;
    }
    let mut named = query.split("msg").skip(1);
    match (named.next(), named.next()) {
        (None, _) => false,
        (Some(after), None) => {
            let id = after
                .strip_prefix('=')
                .and_then(|id| id.split(|c: char| !c.is_ascii_alphanumeric()).next());
            !id.is_some_and(is_known)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use ruma::user_id;

    use super::*;

    #[test]
    fn an_alias_always_ends_with_the_whole_id() {
        let mallory = user_id!("@mallory:evil.org");
        let table = [
            (Some("Mallory"), "Mallory (@mallory:evil.org)"),
            (
                Some("Alice (@alice:example.org)"),
                "Alice (alice:example.org) (@mallory:evil.org)",
            ),
            (Some("Al\u{202e}ice\n"), "Alice (@mallory:evil.org)"),
            (Some("\u{200b}@ "), "@mallory:evil.org"),
            (None, "@mallory:evil.org"),
        ];
        for (name, expected) in table {
            assert_eq!(alias(name, mallory), expected, "{name:?}");
        }
        let long = alias(Some(&"n".repeat(5000)), mallory);
        assert_eq!(long.chars().count(), 60 + " (@mallory:evil.org)".len());
    }

    #[test]
    fn only_messages_that_everybody_has_seen_are_quoted() {
        let site = url::Url::parse("https://chat.example.org").unwrap();
        let clean = |text: &str| without_quotes(text, &site, |id| id == "seen");
        for kept in [
            "no link at all? msg=x",
            "https://chat.example.org/channel/general?msg=seen",
            "[ ](https://chat.example.org/group/g?msg=seen)\nhello",
            "https://other.example.org/?msg=secret",
            "https://chat.example.org/channel/general what? msg",
        ] {
            assert_eq!(clean(kept), kept);
        }
        for link in [
            "https://chat.example.org/group/g?msg=secret",
            "https://chat.example.org/?msg=seen&msg=secret",
            "https://chat.example.org/?m%73g=secret",
            "https://chat.example.org/?x=1&msg=secret)",
            "[ ](https://chat.example.org/?msg=secret)",
            "https://evil.example/https://chat.example.org/?msg=secret",
            "https://CHAT.example.org/?msg=secret",
            "https://chat.example.org/\\?msg=secret",
            "https://chat.example.org/?msg[]=secret",
        ] {
            let text = format!("look at {link} there");
            assert!(!clean(&text).contains('?'), "{link}");
        }
    }

    proptest! {
        #[test]
        fn an_alias_is_bounded_and_shows_its_id(name in "\\PC{0,200}") {
            let user = user_id!("@u:example.org");
            let alias = alias(Some(&name), user);
            prop_assert!(alias.ends_with("@u:example.org") || alias.ends_with("(@u:example.org)"));
            prop_assert_eq!(alias.matches('@').count(), 1);
            prop_assert!(alias.chars().count() <= 60 + 17);
        }
    }
}
