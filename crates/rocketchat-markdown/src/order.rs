//! Which constructs each place knows, in the order in which they are tried: the first
//! one that fits is taken.

use crate::options::Generation;
use crate::scanner::Place;

/// What can stand in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Construct {
    /// Spaces and tabs.
    Blank,
    Timestamp,
    /// `[label](address)`, `<address|label>`.
    Link,
    Phone,
    /// An e-mail address.
    Mail,
    /// An address that nobody marked as one.
    Address,
    /// `* *`: text.
    BlankEmphasis,
    Bold,
    /// `snake_` of `snake_case`: text.
    WordAndUnderscore,
    Italic,
    Strike,
    /// `a@b`: text.
    GluedUser,
    User,
    /// `a#b`: text.
    GluedChannel,
    Channel,
    Emoji,
    Code,
    Image,
    Emoticon,
    Color,
    Formula,
    Escape,
    /// Anything else.
    Character,
}

use Construct::*;

const LINE_V6: &[Construct] = &[
    Blank,
    Timestamp,
    Link,
    Phone,
    Mail,
    Address,
    BlankEmphasis,
    Bold,
    WordAndUnderscore,
    Italic,
    Strike,
    GluedUser,
    User,
    GluedChannel,
    Channel,
    Emoji,
    Code,
    Image,
    Emoticon,
    Color,
    Formula,
    Escape,
    Character,
];
const BOLD_V6: &[Construct] = &[
    Blank,
    Code,
    Link,
    GluedUser,
    User,
    GluedChannel,
    Channel,
    WordAndUnderscore,
    Italic,
    Strike,
    Emoji,
    Emoticon,
    Character,
];
const ITALIC_V6: &[Construct] = &[
    Blank,
    Code,
    Link,
    GluedUser,
    User,
    GluedChannel,
    Channel,
    Bold,
    Strike,
    Emoji,
    Emoticon,
    Character,
];
const STRIKE_V6: &[Construct] = &[
    Timestamp,
    Blank,
    Code,
    Link,
    GluedUser,
    User,
    GluedChannel,
    Channel,
    WordAndUnderscore,
    Italic,
    Bold,
    Emoji,
    Emoticon,
    Character,
];
const LABEL_V6: &[Construct] = &[Blank, Bold, WordAndUnderscore, Italic, Strike, Character];

pub(crate) fn order(place: Place, generation: Generation) -> &'static [Construct] {
    let _ = generation;
    match place {
        Place::Line | Place::StarItem | Place::Spoiler | Place::Cell => LINE_V6,
        Place::Bold => BOLD_V6,
        Place::Italic => ITALIC_V6,
        Place::Strike => STRIKE_V6,
        Place::Label => LABEL_V6,
    }
}
