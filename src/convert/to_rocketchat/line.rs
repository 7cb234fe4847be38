//! A line of a message, before it is written in the dialect.

use super::ZERO_WIDTH_SPACE;
use super::people::Mentioned;
use super::urls;

/// A line and what stands before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    /// Pieces after a prefix that is written as it is: `> `, `- `, indentation.
    Pieces {
        /// Markup; empty for most lines.
        prefix: String,
        /// What the line says.
        pieces: Vec<Piece>,
    },
    /// Written as it is: the lines of a code block, with its fences.
    Verbatim(String),
}

/// A part of a line that looks the same all through.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// What it is.
    pub what: What,
    /// How it looks.
    pub style: Style,
}

/// What a piece of a line is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// Text that must be read as it is here.
    Text(String),
    /// The name of something, such as a file: no part of it may become a link or
    /// an emoji.
    Name(String),
    /// Code in a line, without backticks and line breaks.
    Code(String),
    /// A link with a text of its own.
    Link {
        /// What is shown.
        label: String,
        /// An address with a scheme, in characters that addresses consist of.
        url: String,
    },
    /// A link that is shown as its address.
    Url(String),
    /// `@name` or `#name` that Rocket.Chat shall find.
    Mention(String),
    /// Markup that stands for itself: shortcodes, formulas.
    Markup(String),
}

impl What {
    /// What is certainly seen of it.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text)
            | Self::Name(text)
            | Self::Code(text)
            | Self::Url(text)
            | Self::Mention(text)
            | Self::Markup(text) => text,
            // Where there is no text, the address is shown.
            Self::Link { url, .. } => url,
        }
    }
}

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style(u8);

impl Style {
    /// As it is.
    pub const PLAIN: Self = Self(0);
    /// `*bold*`.
    pub const BOLD: Self = Self(1);
    /// `_italic_`.
    pub const ITALIC: Self = Self(2);
    /// `~struck through~`.
    pub const STRIKE: Self = Self(4);
    /// Those that there are, with their markers.
    pub const ALL: [(Self, char); 3] =
        [(Self::BOLD, '*'), (Self::ITALIC, '_'), (Self::STRIKE, '~')];

    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This one without the other.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of the other is in this one.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Piece {
    /// Text without a style.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            what: What::Text(text.into()),
            style: Style::PLAIN,
        }
    }
}

/// Cuts text that somebody typed into text, addresses and mentions; adds them to a line.
pub(super) fn add_typed(pieces: &mut Vec<Piece>, text: &str, style: Style, people: &Mentioned) {
    let mut add = |what| pieces.push(Piece { what, style });
    for (part, is_url) in urls::split(text) {
        if is_url {
            add(What::Url(part.to_owned()));
            continue;
        }
        for (words, mention) in people.split(part) {
            if !words.is_empty() {
                add(What::Text(words.to_owned()));
            }
            if let Some(name) = mention {
                add(What::Mention(name.to_owned()));
            }
        }
    }
}

/// Text on one line, without characters that would end it or are not to be seen.
/// Line breaks and tabs become spaces.
pub(super) fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' || c == '\t' { ' ' } else { c })
        .filter(|c| !c.is_control())
        .collect()
}

/// Text with a code fence broken up, so that it can stand in code.
pub(super) fn without_fences(code: &str) -> String {
    code.replace("``", &format!("`{ZERO_WIDTH_SPACE}`"))
        .replace("``", &format!("`{ZERO_WIDTH_SPACE}`"))
}
