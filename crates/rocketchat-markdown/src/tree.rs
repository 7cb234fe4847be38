//! The tree of a message, as `@rocket.chat/message-parser` makes it and servers
//! store it in `md` (0.31 in Rocket.Chat 6.14; 0.32, from 8.7 on, adds spoilers,
//! tables and rules).

/// A piece of a message that stands on lines of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// One line of text: every line break of the source ends a paragraph.
    Paragraph(Vec<Inline>),
    /// An empty line.
    LineBreak,
    /// Between fences.
    Code {
        /// What the opening fence names; `none` when it names nothing.
        language: String,
        /// The lines, without their breaks.
        lines: Vec<String>,
    },
    /// `#` to `####`.
    Heading {
        /// 1 to 4.
        level: u8,
        /// Its text; plain before 8.7.
        content: Vec<Inline>,
    },
    /// Consecutive lines that begin with `>`; blocks since 8.7 may be others than
    /// paragraphs.
    Quote(Vec<Block>),
    /// `-` or `*`.
    UnorderedList(Vec<ListItem>),
    /// `1.`, with the numbers that were written.
    OrderedList(Vec<ListItem>),
    /// `- [ ]` and `- [x]`.
    Tasks(Vec<Task>),
    /// A formula of its own, as TeX.
    Katex(String),
    /// One to three emoji and nothing else; always the only block.
    BigEmoji(Vec<Inline>),
    /// Between lines of `||` (8.7).
    Spoiler(Vec<Block>),
    /// `---` (8.7).
    HorizontalRule,
    /// A table (8.7): the head's cells, then each row's.
    Table {
        /// The cells of the head.
        head: Vec<Vec<Inline>>,
        /// The rows' cells.
        rows: Vec<Vec<Vec<Inline>>>,
    },
}

/// An item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListItem {
    /// As written, in an ordered list.
    pub number: Option<u64>,
    /// What it says.
    pub content: Vec<Inline>,
}

/// An item of a list of tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Whether it is ticked.
    pub done: bool,
    /// What it says.
    pub content: Vec<Inline>,
}

/// A colour, each part 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
    /// Opacity.
    pub a: u8,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Inline {
    /// Text as it was typed.
    Text(String),
    /// `*bold*`.
    Bold(Vec<Inline>),
    /// `_italic_`.
    Italic(Vec<Inline>),
    /// `~strike~`.
    Strike(Vec<Inline>),
    /// `||spoiler||` (8.7).
    Spoiler(Vec<Inline>),
    /// Between backticks.
    Code(String),
    /// A link, written out or found.
    Link {
        /// Where to: any scheme, `//host`, `mailto:`, `tel:`; anything a person typed.
        src: String,
        /// What is shown.
        label: Vec<Inline>,
    },
    /// `![alt](url)`.
    Image {
        /// Where it is.
        src: String,
        /// What stands for it.
        label: Vec<Inline>,
    },
    /// `@name`, without the sign: somebody only if the message's `mentions` say so.
    MentionUser(String),
    /// `#name`, without the sign: a room only if the message's `channels` say so.
    MentionChannel(String),
    /// `:shortcode:` or an emoticon.
    Emoji {
        /// Without colons.
        short_code: String,
        /// As it was typed: the shortcode again, or the emoticon.
        typed: String,
    },
    /// An emoji itself.
    UnicodeEmoji(String),
    /// `color:#ff0000`.
    Color(Color),
    /// A formula in a line, as TeX.
    Katex(String),
    /// `<t:1630360800:R>`.
    Timestamp {
        /// Seconds since the epoch, as digits.
        timestamp: String,
        /// One of `t T d D f F R`.
        format: String,
    },
}
