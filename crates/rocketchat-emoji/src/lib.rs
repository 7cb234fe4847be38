//! Which emoji Rocket.Chat knows, and by which names.
//!
//! Rocket.Chat stores a reaction under a name such as `:thumbsup:`, never as a character, and
//! refuses names that it does not know. Its list is that of the npm package emojione 4.5.0,
//! which ends with Unicode 11, and fifteen names of its own; 6.14 uses it, and 7.7 still does.
//! The list is in `names.txt`, which also says where it comes from. Emoji that an
//! administrator has uploaded are not in it.
//!
//! Names stand here without their colons, and are case-sensitive, as on the server.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The table, see its head.
const TABLE: &str = include_str!("names.txt");

/// Asks for the coloured form of the character before it. People leave it out and put it in as
/// their keyboards please, so nothing is told apart by it.
const VARIATION_SELECTOR: char = '\u{FE0F}';

/// Longest text that is looked up as an emoji, in bytes. The longest emoji has 28; the rest is
/// room for variation selectors in needless places.
const LONGEST_EMOJI: usize = 128;

struct Index {
    by_name: HashMap<&'static str, &'static str>,
    /// Keys are without variation selectors.
    by_emoji: HashMap<Cow<'static, str>, &'static str>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index {
        by_name: HashMap::with_capacity(4500),
        by_emoji: HashMap::with_capacity(3000),
    };
    for (emoji, name, aliases) in entries() {
        index.by_emoji.insert(bare(emoji), name);
        index.by_name.insert(name, emoji);
        for alias in aliases {
            index.by_name.insert(alias, emoji);
        }
    }
    index
});

/// Every emoji that Rocket.Chat knows: the emoji, fully qualified, its first name, and its other
/// names. Sorted by code points.
pub fn entries() -> impl Iterator<
    Item = (
        &'static str,
        &'static str,
        impl Iterator<Item = &'static str>,
    ),
> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?, words))
        })
}

/// The emoji that a name means, fully qualified: with U+FE0F where Unicode wants it, as other
/// programs show and compare it. The name may be the first one or any other. `None` for a
/// name that Rocket.Chat does not know by itself, such as that of an uploaded emoji.
pub fn unicode(short_code: &str) -> Option<&'static str> {
    INDEX.by_name.get(short_code).copied()
}

/// The first name of an emoji. Takes U+FE0F anywhere or nowhere; skin tones, flags, keycaps and
/// sequences count as the one emoji that they are. A bare digit, `#` or `*` is taken for the
/// emoji of it. `None` for whatever is not exactly one emoji that Rocket.Chat knows.
pub fn short_code(emoji: &str) -> Option<&'static str> {
    if emoji.len() > LONGEST_EMOJI {
        return None;
    }
    INDEX.by_emoji.get(bare(emoji).as_ref()).copied()
}

/// Whether Rocket.Chat takes this name for a reaction, without anything uploaded.
pub fn is_known(short_code: &str) -> bool {
    INDEX.by_name.contains_key(short_code)
}

/// The emoji without its skin tones, where that is less than the emoji. Handshakes and couples got
/// tones only after the server's list ended: without the tones their names are known. `None`
/// when there is no tone to leave out, when nothing else is there, or for what is too long to
/// be an emoji.
pub fn without_tone(emoji: &str) -> Option<String> {
    if emoji.len() > LONGEST_EMOJI {
        return None;
    }
    let untoned: String = emoji.chars().filter(|c| !is_tone(*c)).collect();
    (!untoned.is_empty() && untoned.len() < emoji.len()).then_some(untoned)
}

fn is_tone(c: char) -> bool {
    ('\u{1F3FB}'..='\u{1F3FF}').contains(&c)
}

fn bare(emoji: &str) -> Cow<'_, str> {
    if emoji.contains(VARIATION_SELECTOR) {
        Cow::Owned(emoji.replace(VARIATION_SELECTOR, ""))
    } else {
        Cow::Borrowed(emoji)
    }
}
