//! What stands where: the recogniser behind the parser.
//!
//! The dialect has no grammar without backtracking: whether a `*` opens something
//! depends on everything up to its match. So that this stays linear, whatever has been
//! found out about a position is remembered: an *item* is the construct that stands
//! there, a *chain* is the run of items that begins there. Both depend only on the
//! position and on the [`State`], of which there are few: no style stands within
//! itself, so no more than four things are ever open.

use crate::options::{Generation, Options};
use crate::order::{Construct, order};
use crate::source::{Class, NEWLINE, Source};
use crate::{emoji, emoticons};

/// How many emoticons in a row are looked at before the first of them is decided.
const MOST_EMOTICONS: usize = 64;

/// Where items stand; it decides which constructs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a line of text.
    Line,
    /// In an item of a list that begins with `*`.
    StarItem,
    Bold,
    Italic,
    Strike,
    /// Between the brackets of a link.
    Label,
    /// Between `||`.
    Spoiler,
    /// In a cell of a table.
    Cell,
}

/// What is open: it cannot be opened again within itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open(u8);

impl Open {
    pub(crate) const NOTHING: Open = Open(0);
    pub(crate) const BOLD: Open = Open(1);
    pub(crate) const ITALIC: Open = Open(2);
    pub(crate) const STRIKE: Open = Open(4);
    pub(crate) const LINK: Open = Open(8);

    pub(crate) fn with(self, other: Open) -> Open {
        Open(self.0 | other.0)
    }

    /// With that opened too; nothing if it was open.
    fn and(self, other: Open) -> Option<Open> {
        (self.0 & other.0 == 0).then_some(self.with(other))
    }
}

/// Everything but the position that an item depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) place: Place,
    pub(crate) open: Open,
}

const STATES: usize = 8 * 16;

impl State {
    pub(crate) fn new(place: Place, open: Open) -> Self {
        State { place, open }
    }

    fn index(self) -> usize {
        self.place as usize * 16 + usize::from(self.open.0)
    }
}

/// A construct that stands somewhere, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) construct: Construct,
    end: u32,
}

impl Item {
    pub(crate) fn end(self) -> usize {
        self.end as usize
    }
}

/// What is remembered of a position.
#[derive(Clone, Copy)]
struct Memory {
    /// `None`: not looked at. `Some(None)`: nothing stands here.
    item: Option<Option<Item>>,
    chain_end: Option<u32>,
}

const NOT_LOOKED: Memory = Memory {
    item: None,
    chain_end: None,
};

/// Emphasis, and what it surrounds.
pub(crate) struct Emphasis {
    pub(crate) content: std::ops::Range<usize>,
    pub(crate) end: usize,
    /// Whether a word goes on behind it, as in `_a_b`: then the underscores are text.
    pub(crate) is_text: bool,
}

/// A link, and its parts.
pub(crate) struct Reference {
    pub(crate) label: std::ops::Range<usize>,
    pub(crate) address: std::ops::Range<usize>,
    pub(crate) end: usize,
}

/// A formula in a line.
pub(crate) struct Formula {
    pub(crate) content: std::ops::Range<usize>,
    pub(crate) end: usize,
}

pub(crate) struct Scanner<'a> {
    pub(crate) source: Source,
    pub(crate) options: &'a Options,
    memories: Vec<Vec<Memory>>,
    /// The last local part of an e-mail address that was walked through.
    pub(crate) last_mailbox: std::ops::Range<usize>,
    /// Where the things are that something unclosed would be searched for in vain.
    closers: Closers,
    emoticons_ahead: usize,
    /// How much has been looked at, for the test that the work is linear.
    pub(crate) steps: usize,
}

/// Positions, in order, of what closes constructs that may span lines.
struct Closers {
    label: Vec<usize>,
    formula: Vec<usize>,
    formula_block: Vec<usize>,
}

fn positions(source: &Source, closes: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..source.len()).filter(|at| closes(*at)).collect()
}

/// The end of the first label of `[label] [label](address)`, which 8.7 keeps as text.
fn is_label_before_link(source: &Source, at: usize) -> bool {
    source.has(at, "] [") && {
        let closer = (at + 3..source.len()).find(|at| source.has(*at, "]"));
        closer.is_some_and(|closer| source.has(closer, "]("))
    }
}

fn first_from(positions: &[usize], at: usize) -> Option<usize> {
    positions
        .get(positions.partition_point(|position| *position < at))
        .copied()
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &str, options: &'a Options) -> Self {
        let source = Source::new(text);
        let parenthesis = |at, mark| options.katex_parenthesis && source.has(at, mark);
        let dollar = |at, mark| options.katex_dollar && source.has(at, mark);
        let closers = Closers {
            label: positions(&source, |at| {
                let target_follows = source.has(at, "](") && source.at(at + 2).is_some();
                target_follows
                    || options.generation == Generation::V8_7 && is_label_before_link(&source, at)
            }),
            formula: positions(&source, |at| parenthesis(at, "\\)") || dollar(at, "$")),
            formula_block: positions(&source, |at| parenthesis(at, "\\]") || dollar(at, "$$")),
        };
        Scanner {
            source,
            options,
            memories: vec![Vec::new(); STATES],
            last_mailbox: 0..0,
            closers,
            emoticons_ahead: 0,
            steps: 0,
        }
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.options.generation == Generation::V6
    }

    fn memory(&mut self, state: State, at: usize) -> &mut Memory {
        let size = self.source.len() + 1;
        let memories = &mut self.memories[state.index()];
        if memories.is_empty() {
            memories.resize(size, NOT_LOOKED);
        }
        &mut memories[at.min(size - 1)]
    }

    /// What stands at `at`, if anything does there.
    pub(crate) fn item(&mut self, state: State, at: usize) -> Option<Item> {
        if at >= self.source.len() {
            return None;
        }
        if let Some(known) = self.memory(state, at).item {
            return known;
        }
        self.steps += 1;
        if self.closes(state.place, at) {
            return None;
        }
        let item = order(state.place, self.options.generation)
            .iter()
            .find_map(|construct| {
                let end = self.end_of(*construct, state, at)?;
                Some(Item {
                    construct: *construct,
                    end: end as u32,
                })
            });
        self.memory(state, at).item = Some(item);
        item
    }

    /// Where the items that follow each other from `at` on end.
    pub(crate) fn chain_end(&mut self, state: State, at: usize) -> usize {
        let mut passed = Vec::new();
        let mut position = at;
        let end = loop {
            if let Some(known) = self.memory(state, position).chain_end {
                break known as usize;
            }
            self.steps += 1;
            passed.push(position);
            match self.item(state, position) {
                Some(item) => position = item.end(),
                None => break position,
            }
        };
        for position in passed {
            self.memory(state, position).chain_end = Some(end as u32);
        }
        end
    }

    fn end_of(&mut self, construct: Construct, state: State, at: usize) -> Option<usize> {
        match construct {
            Construct::Blank => self.run(Class::Blank, at),
            Construct::Timestamp => self.timestamp(at),
            Construct::Link => self.reference(state.open, at).map(|link| link.end),
            Construct::Phone => self.phone(at),
            Construct::Mail => self.mail(at).map(|mail| mail.end),
            Construct::Address => self.found_address(at),
            Construct::BlankEmphasis => self.blank_emphasis(at),
            Construct::Bold => self.bold(state.open, at).map(|emphasis| emphasis.end),
            Construct::WordAndUnderscore => self.word_and_underscore(state.open, at),
            Construct::Italic => self.italic(state.open, at).map(|emphasis| emphasis.end),
            Construct::Strike => self.strike(state.open, at).map(|emphasis| emphasis.end),
            Construct::GluedUser => self.glued_mention(at, self.source.run(Class::At, at + 1)),
            Construct::User => self.user(at),
            Construct::GluedChannel => {
                self.glued_mention(at, at + 1 + usize::from(self.source.has(at + 1, "#")))
            }
            Construct::Channel => self
                .run(Class::Name, at + 1)
                .filter(|_| self.source.has(at, "#")),
            Construct::EscapedTimestamp => {
                self.source.has(at, "\\").then(|| self.timestamp(at + 1))?
            }
            Construct::Spoiler => self.spoiler(state.open, at),
            Construct::HyphenBeforeItalic => {
                let is_text = self.source.has(at, "-_-") && self.source.at(at + 3).is_some();
                is_text.then_some(at + 1)
            }
            Construct::UnderscoreAndHost => self.underscore_and_host(at),
            Construct::EscapedBar => self.source.has(at, "\\|").then_some(at + 2),
            Construct::Word => self.word(state.place, at),
            Construct::ColonEmoji => self.source.has(at, ":").then(|| self.emoji(at))?,
            Construct::ColonEmoticon => {
                let is_early = self.source.has(at, ":") || self.source.has(at, "-");
                is_early.then(|| self.emoticon(state, at))?
            }
            Construct::Emoji => self.emoji(at),
            Construct::Code => self.code(at),
            Construct::Image => self.image(at).map(|image| image.end),
            Construct::Emoticon => self.emoticon(state, at),
            Construct::Color => self.color(at),
            Construct::Formula => self.formula(at).map(|formula| formula.end),
            Construct::Escape => {
                let escaped = self.source.has(at, "\\")
                    && u8::try_from(self.source.at(at + 1)?).is_ok_and(|b| b"*_~`#.".contains(&b));
                escaped.then_some(at + 2)
            }
            Construct::Character => self.character(state.place, at),
        }
    }

    /// The end of a run, if there is one.
    pub(crate) fn run(&self, class: Class, at: usize) -> Option<usize> {
        Some(self.source.run(class, at)).filter(|end| *end > at)
    }

    /// Whether what stands there ends the place, whatever else it might be.
    fn closes(&self, place: Place, at: usize) -> bool {
        match place {
            Place::Spoiler => self.source.has(at, "||"),
            Place::Cell => self.source.has(at, "|") || self.source.line_end(at).is_some(),
            _ => false,
        }
    }

    fn word(&self, place: Place, at: usize) -> Option<usize> {
        let class = match place {
            Place::Line | Place::StarItem | Place::Spoiler | Place::Cell => Class::LineWord,
            Place::Bold | Place::Italic => Class::EmphasisWord,
            Place::Strike => Class::StrikeWord,
            Place::Label => Class::LabelWord,
        };
        self.run(class, at)
    }

    /// What is left when nothing stands there: a character, unless it ends the place.
    fn character(&mut self, place: Place, at: usize) -> Option<usize> {
        let unit = self.source.at(at)?;
        let is_one_of =
            |set: &str| u8::try_from(unit).is_ok_and(|byte| set.as_bytes().contains(&byte));
        let ends = match place {
            Place::Bold => is_one_of("\n* "),
            Place::Italic => is_one_of("\n_ "),
            Place::Strike => is_one_of("\n~ "),
            Place::Label => first_from(&self.closers.label, at) == Some(at),
            Place::StarItem => is_one_of("*\r\n"),
            Place::Line | Place::Spoiler | Place::Cell => is_one_of("\r\n"),
        };
        if ends {
            return None;
        }
        if self.is_v6() && matches!(place, Place::Line | Place::StarItem) {
            // 6.14 keeps as text what could be linked right behind such a character.
            let end = self.phone(at + 1).unwrap_or(at + 1);
            return Some(self.address(end).unwrap_or(end));
        }
        Some(at + 1)
    }

    /// `||spoiler||`.
    fn spoiler(&mut self, open: Open, at: usize) -> Option<usize> {
        self.surrounded(State::new(Place::Spoiler, open), "||", at)
            .map(|spoiler| spoiler.end)
    }

    // Emphasis

    /// `* *`, `__ __`: markers around nothing are text.
    fn blank_emphasis(&self, at: usize) -> Option<usize> {
        [Class::Star, Class::Underscore, Class::Tilde]
            .into_iter()
            .find_map(|marker| {
                let blank = self.run(marker, at)?;
                self.run(marker, self.run(Class::Blank, blank)?)
            })
    }

    /// One or two markers, content, and as many markers.
    fn surrounded(&mut self, state: State, marker: &str, at: usize) -> Option<Emphasis> {
        let start = at + marker.len();
        if !self.source.has(at, marker) {
            return None;
        }
        let content = start..self.chain_end(state, start);
        let closed = !content.is_empty() && self.source.has(content.end, marker);
        closed.then(|| Emphasis {
            end: content.end + marker.len(),
            content,
            is_text: false,
        })
    }

    pub(crate) fn bold(&mut self, open: Open, at: usize) -> Option<Emphasis> {
        let state = State::new(Place::Bold, open.and(Open::BOLD)?);
        self.surrounded(state, "**", at)
            .or_else(|| self.surrounded(state, "*", at))
    }

    pub(crate) fn strike(&mut self, open: Open, at: usize) -> Option<Emphasis> {
        let state = State::new(Place::Strike, open.and(Open::STRIKE)?);
        self.surrounded(state, "~~", at)
            .or_else(|| self.surrounded(state, "~", at))
    }

    /// `snake_` of `snake_case`: text.
    fn word_and_underscore(&self, open: Open, at: usize) -> Option<usize> {
        open.and(Open::ITALIC)?;
        let word = self.run(Class::Alphanumeric, at)?;
        match (self.source.has(word, "_"), self.source.has(word, "__")) {
            (_, true) => Some(word + 2),
            (true, _) => Some(word + 1),
            _ => None,
        }
    }

    pub(crate) fn italic(&mut self, open: Open, at: usize) -> Option<Emphasis> {
        let state = State::new(Place::Italic, open.and(Open::ITALIC)?);
        let double = self.surrounded(state, "__", at);
        if let Some(emphasis) = &double
            && let Some(end) = self.run(Class::Alphanumeric, emphasis.end)
        {
            return Some(Emphasis {
                content: emphasis.content.clone(),
                end,
                is_text: true,
            });
        }
        let single = self.surrounded(state, "_", at);
        if let Some(emphasis) = &single
            && let Some(end) = self.run(Class::Letter, emphasis.end)
        {
            return Some(Emphasis {
                content: emphasis.content.clone(),
                end,
                is_text: true,
            });
        }
        double.or(single)
    }

    // Mentions

    /// A character, the sign and one letter: what is glued to a word mentions nobody.
    fn glued_mention(&self, at: usize, name: usize) -> Option<usize> {
        let glued = self.source.run(Class::Plain, at) > at
            && name > at + 1
            && crate::source::is_letter_or_digit(self.source.at(name)?);
        glued.then_some(name + 1)
    }

    /// `@name`, `@name:server`, `@name@server`.
    fn user(&self, at: usize) -> Option<usize> {
        let name = self.run(Class::Name, self.run(Class::At, at)?)?;
        let server = matches!(self.source.at(name), Some(unit) if unit == u16::from(b':') || unit == u16::from(b'@'));
        Some(
            self.run(Class::Name, name + 1)
                .filter(|_| server)
                .unwrap_or(name),
        )
    }

    // Emoji

    /// `:smile:` or an emoji itself.
    pub(crate) fn emoji(&self, at: usize) -> Option<usize> {
        let short_code = || {
            let end = self.run(Class::ShortCode, at + 1)?;
            (self.source.has(at, ":") && self.source.has(end, ":")).then_some(end + 1)
        };
        short_code().or_else(|| emoji::emoji(&self.source, at, self.options.generation))
    }

    /// An emoticon; in 8.7 with something other than text behind it.
    fn emoticon(&mut self, state: State, at: usize) -> Option<usize> {
        if !self.options.emoticons || self.emoticons_ahead >= MOST_EMOTICONS {
            return None;
        }
        let (end, _) = emoticons::emoticon(&self.source, at, self.options.generation)?;
        if self.is_v6()
            || state.place == Place::Strike
            || self.source.is_boundary(end, true)
            || self.source.has(end, "*")
            || state.place == Place::Italic && self.source.has(end, "_")
        {
            return Some(end);
        }
        let in_emphasis = matches!(state.place, Place::Bold | Place::Italic);
        let next_state = State {
            place: if in_emphasis {
                state.place
            } else {
                Place::Line
            },
            ..state
        };
        self.emoticons_ahead += 1;
        let next = self.item(next_state, end);
        self.emoticons_ahead -= 1;
        let is_markup = match next?.construct {
            Construct::Character => false,
            Construct::Word => !in_emphasis,
            _ => true,
        };
        is_markup.then_some(end)
    }

    // The rest

    fn code(&self, at: usize) -> Option<usize> {
        let end = self.run(Class::Code, at + 1)?;
        (self.source.has(at, "`") && self.source.has(end, "`")).then_some(end + 1)
    }

    /// `<t:1630360800>`, `<t:1630360800:R>`.
    fn timestamp(&self, at: usize) -> Option<usize> {
        let digits = at + 3;
        let end = digits + 10;
        if !self.source.has(at, "<t:") || self.source.run(Class::Digit, digits) != end {
            return None;
        }
        if self.source.has(end, ">") {
            return Some(end + 1);
        }
        let format = u8::try_from(self.source.at(end + 1)?).ok()?;
        let closed = self.source.has(end, ":")
            && b"tTdDfFR".contains(&format)
            && self.source.has(end + 2, ">");
        closed.then_some(end + 3)
    }

    /// `color:#f00`, with three, four, six or eight digits and nothing behind them.
    fn color(&self, at: usize) -> Option<usize> {
        if !self.options.colors || !self.source.has(at, "color:#") {
            return None;
        }
        let digits = at + "color:#".len();
        let end = self.source.run(Class::HexDigit, digits);
        let ends = self.run(Class::Plain, end).is_none();
        (ends && matches!(end - digits, 3 | 4 | 6 | 8)).then_some(end)
    }

    /// `\(x\)` or `$x$`; with both settings on, either closes what either opened.
    pub(crate) fn formula(&self, at: usize) -> Option<Formula> {
        let start = if self.options.katex_parenthesis && self.source.has(at, "\\(") {
            at + 2
        } else if self.options.katex_dollar && self.source.has(at, "$") {
            at + 1
        } else {
            return None;
        };
        let closer = first_from(&self.closers.formula, start)?;
        let end = closer + if self.source.has(closer, "$") { 1 } else { 2 };
        Some(Formula {
            content: start..closer,
            end,
        })
    }

    /// `\[x\]` or `$$x$$`: the range of what is within; two characters close it.
    pub(crate) fn formula_block(&self, at: usize) -> Option<std::ops::Range<usize>> {
        let opens = self.options.katex_parenthesis && self.source.has(at, "\\[")
            || self.options.katex_dollar && self.source.has(at, "$$");
        let end = first_from(&self.closers.formula_block, at + 2)?;
        opens.then_some(at + 2..end)
    }

    // Links

    /// `[label](address)` or `<address|label>`.
    pub(crate) fn reference(&mut self, open: Open, at: usize) -> Option<Reference> {
        let within = open.and(Open::LINK)?;
        if self.source.has(at, "[") {
            first_from(&self.closers.label, at + 1)?;
            let label = at + 1..self.chain_end(State::new(Place::Label, within), at + 1);
            let address = label.end + 2;
            let end = self
                .source
                .has(label.end, "](")
                .then(|| self.link_target(address))??;
            return self.source.has(end, ")").then_some(Reference {
                label,
                address: address..end,
                end: end + 1,
            });
        }
        if self.source.has(at, "<") {
            let end = self
                .link_target(at + 1)
                .filter(|end| self.source.has(*end, "|"))?;
            let label = end + 1..self.run(Class::AngleLabel, end + 1)?;
            return self.source.has(label.end, ">").then_some(Reference {
                address: at + 1..end,
                end: label.end + 1,
                label,
            });
        }
        None
    }

    /// `![alt](address)`.
    pub(crate) fn image(&self, at: usize) -> Option<Reference> {
        if !self.source.has(at, "![") {
            return None;
        }
        let label = at + 2..self.image_label_end(at + 2);
        let address = label.end + 2;
        let end = self
            .source
            .has(label.end, "](")
            .then(|| self.link_target(address))??;
        self.source.has(end, ")").then_some(Reference {
            label,
            address: address..end,
            end: end + 1,
        })
    }

    /// A line of plain text; none without a character other than tabs.
    fn image_label_end(&self, at: usize) -> usize {
        let text = self.source.run(Class::Blank, at);
        // Spaces count as text, so only a tab hides that there is none.
        let end = self.source.run(Class::Plain, text);
        if end == text {
            at
        } else {
            self.source.run(Class::Blank, end)
        }
    }

    /// Whether a `\n` stands there.
    pub(crate) fn is_newline(&self, at: usize) -> bool {
        self.source.at(at) == Some(NEWLINE)
    }
}
