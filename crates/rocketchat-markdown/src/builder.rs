//! From what the scanner found to the tree.

use std::ops::Range;

use crate::emoticons;
use crate::hosts;
use crate::order::Construct;
use crate::scanner::{Emphasis, Item, Open, Place, Reference, Scanner, State};
use crate::source::Class;
use crate::tree::{Color, Inline};

/// An inline on its way into the tree.
enum Piece {
    /// Stands as it was typed.
    Text(Range<usize>),
    /// A shortcode or an emoticon: text again if text or an emoji is its neighbour.
    Emoji {
        inline: Inline,
        typed: Range<usize>,
    },
    UnicodeEmoji(String),
    Other(Inline),
}

impl Scanner<'_> {
    /// The inlines of a chain, up to `end`.
    pub(crate) fn inlines(&mut self, state: State, range: Range<usize>) -> Vec<Inline> {
        let mut pieces = Vec::new();
        self.pieces(state, range, &mut pieces);
        self.join(pieces)
    }

    fn pieces(&mut self, state: State, range: Range<usize>, pieces: &mut Vec<Piece>) {
        let mut at = range.start;
        while at < range.end
            && let Some(item) = self.item(state, at)
        {
            self.piece(state, at, item, pieces);
            at = item.end();
        }
    }

    fn piece(&mut self, state: State, at: usize, item: Item, pieces: &mut Vec<Piece>) {
        let range = at..item.end();
        let open = state.open;
        let inline = match item.construct {
            Construct::Bold => {
                let content = self
                    .bold(open, at)
                    .map(|bold| bold.content)
                    .unwrap_or_default();
                Inline::Bold(self.inlines(State::new(Place::Bold, open.with(Open::BOLD)), content))
            }
            Construct::Strike => {
                let content = self
                    .strike(open, at)
                    .map(|strike| strike.content)
                    .unwrap_or_default();
                Inline::Strike(
                    self.inlines(State::new(Place::Strike, open.with(Open::STRIKE)), content),
                )
            }
            Construct::Italic => {
                let Some(Emphasis {
                    content, is_text, ..
                }) = self.italic(open, at)
                else {
                    return pieces.push(Piece::Text(range));
                };
                let within = State::new(Place::Italic, open.with(Open::ITALIC));
                if is_text {
                    pieces.push(Piece::Text(at..content.start));
                    let end = content.end;
                    let mut inner = Vec::new();
                    self.pieces(within, content, &mut inner);
                    pieces.extend(self.settle(inner));
                    return pieces.push(Piece::Text(end..range.end));
                }
                Inline::Italic(self.inlines(within, content))
            }
            Construct::Spoiler => {
                let content = at + 2..range.end - 2;
                Inline::Spoiler(self.inlines(State::new(Place::Spoiler, open), content))
            }
            Construct::Link => self.link(open, at),
            Construct::Image => self.image_inline(at),
            Construct::Address => {
                let address = self.source.text(range.clone());
                if !hosts::is_known(&address, self.options) {
                    return pieces.push(Piece::Text(range));
                }
                let is_whole = address.starts_with("//")
                    || !self.is_v6() && has_scheme_and_authority(&address)
                    || url::Url::parse(&address).is_ok();
                let src = if is_whole {
                    address.clone()
                } else {
                    format!("//{address}")
                };
                Inline::Link {
                    src,
                    label: vec![Inline::Text(address)],
                }
            }
            Construct::Mail => {
                let start = self.mail(at).map_or(at, |mail| mail.address);
                let address = self.source.text(start..range.end);
                if !hosts::is_known_mail(&address) {
                    return pieces.push(Piece::Text(range));
                }
                Inline::Link {
                    src: format!("mailto:{address}"),
                    label: vec![Inline::Text(address)],
                }
            }
            Construct::Phone => {
                let digits = self.phone_digits(at);
                if digits.len() < SHORTEST_PHONE_NUMBER {
                    return pieces.push(Piece::Text(range));
                }
                Inline::Link {
                    src: format!("tel:{digits}"),
                    label: vec![Inline::Text(self.source.text(range))],
                }
            }
            Construct::User => {
                let name = self.source.run(Class::At, at);
                Inline::MentionUser(self.source.text(name..range.end))
            }
            Construct::Channel => Inline::MentionChannel(self.source.text(at + 1..range.end)),
            Construct::Code => Inline::Code(self.source.text(at + 1..range.end - 1)),
            Construct::Formula => {
                let content = self
                    .formula(at)
                    .map(|formula| formula.content)
                    .unwrap_or_default();
                Inline::Katex(self.source.text(content))
            }
            Construct::Color => match self.color_value(at, range.end) {
                Some(color) => Inline::Color(color),
                None => return pieces.push(Piece::Text(range)),
            },
            Construct::Timestamp => {
                let digits = at + 3;
                let format = digits + 11;
                Inline::Timestamp {
                    timestamp: self.source.text(digits..digits + 10),
                    format: if format < range.end {
                        self.source.text(format..format + 1)
                    } else {
                        "t".to_owned()
                    },
                }
            }
            Construct::Emoji | Construct::ColonEmoji => {
                if !self.source.has(at, ":") {
                    return pieces.push(Piece::UnicodeEmoji(self.source.text(range)));
                }
                let short_code = self.source.text(at + 1..range.end - 1);
                let inline = Inline::Emoji {
                    typed: short_code.clone(),
                    short_code,
                };
                return pieces.push(Piece::Emoji {
                    inline,
                    typed: range,
                });
            }
            Construct::Emoticon | Construct::ColonEmoticon => {
                let short_code = emoticons::emoticon(&self.source, at, self.options.generation)
                    .map_or("", |found| found.1);
                let inline = Inline::Emoji {
                    short_code: short_code.to_owned(),
                    typed: self.source.text(range.clone()),
                };
                return pieces.push(Piece::Emoji {
                    inline,
                    typed: range,
                });
            }
            // The signs between are one in the tree.
            Construct::GluedUser => {
                pieces.push(Piece::Text(at..at + 1));
                return pieces.push(Piece::Text(range.end - 2..range.end));
            }
            Construct::Escape | Construct::EscapedTimestamp | Construct::EscapedBar => {
                return pieces.push(Piece::Text(at + 1..range.end));
            }
            Construct::Blank
            | Construct::BlankEmphasis
            | Construct::WordAndUnderscore
            | Construct::GluedChannel
            | Construct::HyphenBeforeItalic
            | Construct::UnderscoreAndHost
            | Construct::Word
            | Construct::Character => return pieces.push(Piece::Text(range)),
        };
        pieces.push(Piece::Other(inline));
    }

    fn link(&mut self, open: Open, at: usize) -> Inline {
        let Some(Reference { label, address, .. }) = self.reference(open, at) else {
            return Inline::Text(String::new());
        };
        let src = self.href(address);
        let label = if label.is_empty() {
            vec![Inline::Text(src.clone())]
        } else if self.source.has(at, "<") {
            vec![Inline::Text(self.source.text(label))]
        } else {
            self.inlines(State::new(Place::Label, open.with(Open::LINK)), label)
        };
        Inline::Link { src, label }
    }

    fn image_inline(&mut self, at: usize) -> Inline {
        let Some(Reference { label, address, .. }) = self.image(at) else {
            return Inline::Text(String::new());
        };
        let src = self.href(address);
        let label = if label.is_empty() {
            src.clone()
        } else {
            self.source.text(label)
        };
        Inline::Image {
            src,
            label: vec![Inline::Text(label)],
        }
    }

    /// Where a link that a person wrote leads: phone numbers become `tel:`.
    fn href(&self, address: Range<usize>) -> String {
        if self.phone(address.start) == Some(address.end) {
            format!("tel:{}", self.phone_digits(address.start))
        } else {
            self.source.text(address)
        }
    }

    fn phone_digits(&self, at: usize) -> String {
        self.phone_number(at).map_or_else(String::new, |number| {
            number
                .digits
                .into_iter()
                .map(|digits| self.source.text(digits))
                .collect()
        })
    }

    fn color_value(&self, at: usize, end: usize) -> Option<Color> {
        let digits = self.source.text(at + "color:#".len()..end);
        let digit = |at| u8::from_str_radix(digits.get(at..at + 1)?, 16).ok();
        let part = |index: usize| match digits.len() {
            3 | 4 => digit(index).map(|value| value * 17),
            _ => Some(digit(2 * index)? * 16 + digit(2 * index + 1)?),
        };
        Some(Color {
            r: part(0)?,
            g: part(1)?,
            b: part(2)?,
            a: part(3).unwrap_or(u8::MAX),
        })
    }

    /// Emoji that touch text or emoji become text, and texts that follow each other one.
    fn settle(&self, pieces: Vec<Piece>) -> Vec<Piece> {
        let touches = |neighbour: Option<&Piece>| match neighbour {
            Some(Piece::Emoji { .. } | Piece::UnicodeEmoji(_)) => true,
            Some(Piece::Text(range)) => !self
                .source
                .text(range.clone())
                .trim_matches(is_blank)
                .is_empty(),
            Some(Piece::Other(_)) | None => false,
        };
        let stays: Vec<bool> = (0..pieces.len())
            .map(|at| {
                let before = at.checked_sub(1).and_then(|before| pieces.get(before));
                !touches(before) && !touches(pieces.get(at + 1))
            })
            .collect();
        let mut settled: Vec<Piece> = Vec::new();
        for (piece, stays) in pieces.into_iter().zip(stays) {
            let piece = match piece {
                Piece::Emoji { typed, .. } if !stays => Piece::Text(typed),
                piece => piece,
            };
            if let (Piece::Text(range), Some(Piece::Text(last))) = (&piece, settled.last_mut())
                && last.end == range.start
            {
                last.end = range.end;
            } else {
                settled.push(piece);
            }
        }
        settled
    }

    fn join(&self, pieces: Vec<Piece>) -> Vec<Inline> {
        let mut inlines = Vec::new();
        // Parts of a text that an escape or the like divides.
        let mut text: Vec<u16> = Vec::new();
        for piece in self.settle(pieces) {
            let inline = match piece {
                Piece::Text(range) => {
                    text.extend_from_slice(self.source.slice(range));
                    continue;
                }
                Piece::Emoji { inline, .. } | Piece::Other(inline) => inline,
                Piece::UnicodeEmoji(emoji) => Inline::UnicodeEmoji(emoji),
            };
            inlines.extend(take_text(&mut text));
            inlines.push(inline);
        }
        inlines.extend(take_text(&mut text));
        inlines
    }
}

fn take_text(text: &mut Vec<u16>) -> Option<Inline> {
    let taken = std::mem::take(text);
    (!taken.is_empty()).then(|| Inline::Text(String::from_utf16_lossy(&taken)))
}

/// A number with fewer digits is text.
const SHORTEST_PHONE_NUMBER: usize = 5;

/// White space as JavaScript has it.
fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\u{85}' || c == '\u{FEFF}'
}

/// `scheme://`, whatever follows.
fn has_scheme_and_authority(address: &str) -> bool {
    address.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.len() <= 32
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
    })
}
