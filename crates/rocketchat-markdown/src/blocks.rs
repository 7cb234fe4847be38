//! The blocks of a message.

use crate::emoticons;
use crate::options::Options;
use crate::scanner::{Open, Place, Scanner, State};
use crate::source::Class;
use crate::tree::{Block, Inline, ListItem, Task};

/// How many emoji may stand alone to be shown big.
const MOST_BIG_EMOJI: usize = 3;
const FENCE: &str = "```";

/// Reads a text as a Rocket.Chat server does. Nothing is an error: what is no markup
/// is text. The work is linear in the length of the text, and what is nested is at most
/// four deep. An empty text has no blocks.
pub fn parse(text: &str, options: &Options) -> Vec<Block> {
    parse_counted(text, options).0
}

/// Likewise; and how many steps it took.
pub(crate) fn parse_counted(text: &str, options: &Options) -> (Vec<Block>, usize) {
    let mut scanner = Scanner::new(text, options);
    let blocks = match scanner.big_emoji() {
        Some(emoji) => vec![Block::BigEmoji(emoji)],
        None => scanner.blocks(),
    };
    (blocks, scanner.steps)
}

/// A block, and where it ends.
pub(crate) type Found<T> = Option<(T, usize)>;

impl Scanner<'_> {
    fn blocks(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < self.source.len() {
            let Some((block, end)) = self.block(at).filter(|(_, end)| *end > at) else {
                // Some block stands everywhere; but never loop.
                break;
            };
            blocks.push(block);
            at = end;
        }
        blocks
    }

    fn block(&mut self, at: usize) -> Found<Block> {
        self.quote(at)
            .or_else(|| self.spoiler_block(at))
            .or_else(|| self.fenced(at))
            .or_else(|| self.rule(at))
            .or_else(|| self.table(at))
            .or_else(|| self.heading(at))
            .or_else(|| self.tasks(at))
            .or_else(|| self.ordered_list(at))
            .or_else(|| self.unordered_list(at))
            .or_else(|| self.katex_block(at))
            .or_else(|| self.line_break(at))
            .or_else(|| self.paragraph(at))
    }

    /// Up to three emoji, and nothing else but white space.
    fn big_emoji(&self) -> Option<Vec<Inline>> {
        let skip = |mut at: usize| {
            while self.source.is_boundary(at, false) {
                at += 1;
            }
            at
        };
        let mut emoji = Vec::new();
        let mut at = skip(0);
        while emoji.len() < MOST_BIG_EMOJI && at < self.source.len() {
            let end = if let Some(end) = self.emoji(at) {
                emoji.push(if self.source.has(at, ":") {
                    let short_code = self.source.text(at + 1..end - 1);
                    Inline::Emoji {
                        typed: short_code.clone(),
                        short_code,
                    }
                } else {
                    Inline::UnicodeEmoji(self.source.text(at..end))
                });
                end
            } else {
                let (end, short_code) =
                    emoticons::emoticon(&self.source, at, self.options.generation)
                        .filter(|_| self.options.emoticons)?;
                let typed = self.source.text(at..end);
                emoji.push(Inline::Emoji {
                    short_code: short_code.to_owned(),
                    typed,
                });
                end
            };
            at = skip(end);
        }
        (!emoji.is_empty() && at == self.source.len()).then_some(emoji)
    }

    /// The inlines up to the end of the line, and its break.
    fn line(&mut self, place: Place, at: usize) -> Found<Vec<Inline>> {
        let state = State::new(place, Open::NOTHING);
        let end = self.chain_end(state, at);
        if end == at || place == Place::StarItem && self.source.has(end, "*") {
            return None;
        }
        let inlines = self.inlines(state, at..end);
        Some((inlines, self.source.line_end(end).unwrap_or(end)))
    }

    pub(crate) fn paragraph(&mut self, at: usize) -> Found<Block> {
        let (content, end) = self.line(Place::Line, at)?;
        Some((Block::Paragraph(content), end))
    }

    fn line_break(&self, at: usize) -> Found<Block> {
        let end = self.source.line_end(self.source.run(Class::Blank, at))?;
        Some((Block::LineBreak, end))
    }

    /// As many of `item` as follow each other; none is no list.
    pub(crate) fn repeated<T>(
        &mut self,
        at: usize,
        mut item: impl FnMut(&mut Self, usize) -> Found<T>,
    ) -> Found<Vec<T>> {
        let mut items = Vec::new();
        let mut end = at;
        while let Some((found, next)) = item(self, end) {
            items.push(found);
            end = next;
        }
        (!items.is_empty()).then_some((items, end))
    }

    fn quote(&mut self, at: usize) -> Found<Block> {
        let (lines, end) = self.repeated(at, |scanner, at| {
            if !scanner.source.has(at, ">") {
                return None;
            }
            let start = scanner.source.run(Class::Blank, at + 1);
            match scanner.source.line_end(start) {
                Some(end) if !scanner.is_v6() => Some((empty_paragraph(), end)),
                _ => scanner.paragraph(start),
            }
        })?;
        Some((Block::Quote(lines), end))
    }

    fn fenced(&self, at: usize) -> Found<Block> {
        if !self.source.has(at, FENCE) {
            return None;
        }
        let language_end = self.language_end(at + FENCE.len());
        let mut at_line = self.source.line_end(language_end)?;
        let mut lines = Vec::new();
        loop {
            let breaks = self.is_newline(at_line);
            let start = if breaks { at_line + 1 } else { at_line };
            let end = self.fenced_line_end(start);
            if end > start {
                lines.push(self.source.text(start..end));
                at_line = end;
            } else if breaks && !self.source.has(start, FENCE) {
                lines.push(String::new());
                at_line = start;
            } else {
                break;
            }
        }
        let end = self
            .source
            .line_end(at_line)
            .filter(|end| self.source.has(*end, FENCE))?;
        let language = match self.source.text(at + FENCE.len()..language_end) {
            language if language.is_empty() => "none".to_owned(),
            language => language,
        };
        (!lines.is_empty()).then_some((Block::Code { language, lines }, end + FENCE.len()))
    }

    fn language_end(&self, at: usize) -> usize {
        let is_language = |unit: u16| {
            u8::try_from(unit).is_ok_and(|b| b.is_ascii_alphanumeric() || b" _-.".contains(&b))
        };
        let length = self
            .source
            .slice(at..self.source.len())
            .iter()
            .take_while(|unit| is_language(**unit))
            .count();
        at + length
    }

    /// The end of the line, or the fence within it.
    fn fenced_line_end(&self, at: usize) -> usize {
        let line_end = self.source.run(Class::Line, at);
        (at..line_end)
            .find(|position| self.source.has(*position, FENCE))
            .unwrap_or(line_end)
    }

    fn heading(&mut self, at: usize) -> Found<Block> {
        let level = (0..4)
            .take_while(|offset| self.source.has(at + offset, "#"))
            .count();
        let text = self.run(Class::Blank, at + level).filter(|_| level > 0)?;
        if !self.is_v6() {
            let (content, end) = self.line(Place::Line, text)?;
            return Some((
                Block::Heading {
                    level: level as u8,
                    content,
                },
                end,
            ));
        }
        let end = self.run(Class::Line, text)?;
        let content = vec![Inline::Text(self.source.text(text..end))];
        Some((
            Block::Heading {
                level: level as u8,
                content,
            },
            end,
        ))
    }

    fn tasks(&mut self, at: usize) -> Found<Block> {
        let (tasks, end) = self.repeated(at, |scanner, at| {
            let done = match () {
                () if scanner.source.has(at, "- [x]") => true,
                () if scanner.source.has(at, "- [ ]") => false,
                () => return None,
            };
            let text = scanner.run(Class::Blank, at + "- [x]".len())?;
            let (content, end) = scanner.line(Place::Line, text)?;
            Some((Task { done, content }, end))
        })?;
        Some((Block::Tasks(tasks), end))
    }

    fn ordered_list(&mut self, at: usize) -> Found<Block> {
        let (items, end) = self.repeated(at, |scanner, at| {
            let number = scanner.run(Class::Digit, at)?;
            let text = scanner
                .run(Class::Blank, number + 1)
                .filter(|_| scanner.source.has(number, "."))?;
            let (content, end) = scanner.line(Place::Line, text)?;
            let number = scanner.source.text(at..number).parse().unwrap_or(u64::MAX);
            // 6.14 takes 0 for no number.
            let number = Some(number).filter(|number| *number != 0 || !scanner.is_v6());
            Some((ListItem { number, content }, end))
        })?;
        Some((Block::OrderedList(items), end))
    }

    fn unordered_list(&mut self, at: usize) -> Found<Block> {
        let (marker, place) = match () {
            () if self.source.has(at, "-") => ("-", Place::Line),
            () if self.source.has(at, "*") => ("*", Place::StarItem),
            () => return None,
        };
        let (items, end) = self.repeated(at, |scanner, at| {
            let text = scanner
                .run(Class::Blank, at + 1)
                .filter(|_| scanner.source.has(at, marker))?;
            let (content, end) = scanner.line(place, text)?;
            Some((
                ListItem {
                    number: None,
                    content,
                },
                end,
            ))
        })?;
        Some((Block::UnorderedList(items), end))
    }

    fn katex_block(&self, at: usize) -> Found<Block> {
        let content = self.formula_block(at)?;
        let end = content.end + 2;
        Some((Block::Katex(self.source.text(content)), end))
    }
}

/// What 8.7 makes of a `>` alone.
fn empty_paragraph() -> Block {
    Block::Paragraph(vec![Inline::Text(String::new())])
}
