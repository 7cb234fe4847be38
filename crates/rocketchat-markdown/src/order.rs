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
    /// `\<t:1630360800>` (8.7).
    EscapedTimestamp,
    /// `||spoiler||` (8.7).
    Spoiler,
    /// An emoji that begins with a colon is tried earlier than others (8.7).
    ColonEmoji,
    /// Likewise an emoticon that begins with a colon or a hyphen (8.7).
    ColonEmoticon,
    /// The hyphen of `-_-italic_`: text (8.7).
    HyphenBeforeItalic,
    /// `_host.name`: text (8.7).
    UnderscoreAndHost,
    /// `\|` in a cell (8.7).
    EscapedBar,
    /// Ordinary text, in one piece (8.7).
    Word,
    /// Anything else.
    Character,
}

use Construct::*;

// Read as lists, side by side, they are easier to compare.
#[rustfmt::skip]
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
#[rustfmt::skip]
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
#[rustfmt::skip]
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
#[rustfmt::skip]
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
#[rustfmt::skip]
const LABEL_V6: &[Construct] = &[Blank, Bold, WordAndUnderscore, Italic, Strike, Character];

#[rustfmt::skip]
const LINE_V8_7: &[Construct] = &[
    Blank, EscapedTimestamp, Timestamp, Link, Image, Spoiler, User, Code, Phone, Formula, Escape,
    HyphenBeforeItalic, ColonEmoji, ColonEmoticon, Mail, UnderscoreAndHost, Address, BlankEmphasis,
    Bold, WordAndUnderscore, Italic, Strike, GluedChannel, Channel, Emoji, Emoticon, Color, Word,
    Character,
];
#[rustfmt::skip]
const CELL_V8_7: &[Construct] = &[
    EscapedBar, Blank, EscapedTimestamp, Timestamp, Link, Image, Spoiler, User, Code, Phone,
    Formula, Escape, HyphenBeforeItalic, ColonEmoji, ColonEmoticon, Mail, UnderscoreAndHost,
    Address, BlankEmphasis, Bold, WordAndUnderscore, Italic, Strike, GluedChannel, Channel, Emoji,
    Emoticon, Color, Word, Character,
];
#[rustfmt::skip]
const BOLD_V8_7: &[Construct] = &[
    Blank, Code, Timestamp, Link, GluedUser, User, GluedChannel, Channel, WordAndUnderscore, Italic,
    Strike, Emoji, Emoticon, Word, Character,
];
#[rustfmt::skip]
const ITALIC_V8_7: &[Construct] = &[
    Blank, Code, Timestamp, Link, GluedUser, User, GluedChannel, Channel, Bold, Strike, Emoji,
    Emoticon, Word, Character,
];
#[rustfmt::skip]
const STRIKE_V8_7: &[Construct] = &[
    Word, EscapedTimestamp, Timestamp, Blank, Code, Link, GluedUser, User, GluedChannel, Channel,
    WordAndUnderscore, Italic, Bold, Emoji, Emoticon, Character,
];
#[rustfmt::skip]
const LABEL_V8_7: &[Construct] = &[Blank, Bold, WordAndUnderscore, Italic, Strike, Word, Character];

pub(crate) fn order(place: Place, generation: Generation) -> &'static [Construct] {
    match (generation, place) {
        (Generation::V6, Place::Line | Place::StarItem | Place::Spoiler | Place::Cell) => LINE_V6,
        (Generation::V6, Place::Bold) => BOLD_V6,
        (Generation::V6, Place::Italic) => ITALIC_V6,
        (Generation::V6, Place::Strike) => STRIKE_V6,
        (Generation::V6, Place::Label) => LABEL_V6,
        (Generation::V8_7, Place::Line | Place::StarItem | Place::Spoiler) => LINE_V8_7,
        (Generation::V8_7, Place::Cell) => CELL_V8_7,
        (Generation::V8_7, Place::Bold) => BOLD_V8_7,
        (Generation::V8_7, Place::Italic) => ITALIC_V8_7,
        (Generation::V8_7, Place::Strike) => STRIKE_V8_7,
        (Generation::V8_7, Place::Label) => LABEL_V8_7,
    }
}
