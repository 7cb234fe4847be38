//! The text that is being parsed, as UTF-16, and the tables that answer "how far
//! does this go?" in constant time.
//!
//! The server's rules are written in UTF-16 code units: an emoji is two of them to
//! most rules. Working in the same units is what makes the trees agree.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::LazyLock;

use crate::options::Generation;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A set of code units; [`Source::run`] tells how far a run of one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Space and tab.
    Blank,
    Star,
    Underscore,
    Tilde,
    Hyphen,
    At,
    Digit,
    /// ASCII letters and digits.
    Alphanumeric,
    /// ASCII letters.
    Letter,
    HexDigit,
    /// What names of users and rooms are made of.
    Name,
    /// Between the colons of `:smile:`.
    ShortCode,
    /// What the server calls any text: no brackets, parentheses, markers, controls.
    Plain,
    /// `user:password` before the `@` of an address.
    Credentials,
    /// Marks that end a sentence rather than an address.
    Trailing,
    /// All but white space and line ends.
    Visible,
    /// An address in a link that a person wrote.
    Address,
    /// The text of `<address|text>`.
    AngleLabel,
    /// The local part of an e-mail address, dots apart.
    Mailbox,
    /// Between backticks.
    Code,
    /// All but line ends.
    Line,
    /// Marks that end a sentence rather than the target of a link (8.7).
    TargetTrailing,
    /// What may stand before the first dot or `://` of an address (8.7).
    BeforeHostMark,
    /// Ordinary text that 8.7 takes in one piece: in a line, in bold and italic, in
    /// struck text, in the label of a link.
    LineWord,
    EmphasisWord,
    StrikeWord,
    LabelWord,
}

const CLASSES: usize = Class::LabelWord as usize + 1;

#[rustfmt::skip]
const ALL: [Class; CLASSES] = [
    Class::Blank, Class::Star, Class::Underscore, Class::Tilde, Class::Hyphen, Class::At,
    Class::Digit, Class::Alphanumeric, Class::Letter, Class::HexDigit, Class::Name,
    Class::ShortCode, Class::Plain, Class::Credentials, Class::Trailing, Class::Visible,
    Class::Address, Class::AngleLabel, Class::Mailbox, Class::Code, Class::Line,
    Class::TargetTrailing, Class::BeforeHostMark, Class::LineWord, Class::EmphasisWord,
    Class::StrikeWord, Class::LabelWord,
];

/// For each character of ASCII the classes that it is in, a bit for each.
static ASCII: LazyLock<[u32; 128]> = LazyLock::new(|| {
    let mut classes = [0; 128];
    for (unit, bits) in (0_u16..).zip(&mut classes) {
        for class in ALL {
            *bits |= u32::from(class.has(unit)) << class as u32;
        }
    }
    classes
});

pub(crate) const NEWLINE: u16 = b'\n' as u16;
const RETURN: u16 = b'\r' as u16;

/// Whether a letter or a decimal digit of the basic plane.
pub(crate) fn is_letter_or_digit(unit: u16) -> bool {
    char::from_u32(u32::from(unit)).is_some_and(|c| {
        c.general_category_group() == GeneralCategoryGroup::Letter || is_decimal(c)
    })
}

fn is_decimal(c: char) -> bool {
    c.general_category() == unicode_properties::GeneralCategory::DecimalNumber
}

/// Whether an e-mail address may begin with it: letters, digits, marks and pictures.
pub(crate) fn begins_mailbox(unit: u16) -> bool {
    is_letter_or_digit(unit)
        || char::from_u32(u32::from(unit))
            .is_some_and(|c| c.general_category_group() == GeneralCategoryGroup::Mark)
        || matches!(unit,
            0xA9 | 0xAE | 0x200D | 0x203C | 0x2049 | 0x2122 | 0x2139 | 0x2190..=0x21FF
            | 0x231A | 0x231B | 0x2328 | 0x23CF | 0x23E9..=0x23F3 | 0x23F8..=0x23FA
            | 0x24C2 | 0x25AA | 0x25AB | 0x25B6 | 0x25C0 | 0x25FB..=0x25FE
            | 0x2600..=0x27BF | 0x2934 | 0x2935 | 0x2B05..=0x2B07 | 0x2B1B | 0x2B1C
            | 0x2B50 | 0x2B55 | 0x3030 | 0x303D | 0x3297 | 0x3299 | 0xD800..=0xDFFF)
}

fn is_any_of(unit: u16, set: &str) -> bool {
    u8::try_from(unit).is_ok_and(|byte| set.as_bytes().contains(&byte))
}

fn is_ascii_alphanumeric(unit: u16) -> bool {
    u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_alphanumeric())
}

impl Class {
    /// Whether a code unit is in the class; looked up, where most text is.
    fn contains(self, unit: u16) -> bool {
        match ASCII.get(usize::from(unit)) {
            Some(classes) => classes >> self as u32 & 1 == 1,
            None => self.has(unit),
        }
    }

    /// Likewise, found out.
    fn has(self, unit: u16) -> bool {
        match self {
            Class::Blank => is_any_of(unit, " \t"),
            Class::Star => is_any_of(unit, "*"),
            Class::Underscore => is_any_of(unit, "_"),
            Class::Tilde => is_any_of(unit, "~"),
            Class::Hyphen => is_any_of(unit, "-"),
            Class::At => is_any_of(unit, "@"),
            Class::Digit => is_any_of(unit, "0123456789"),
            Class::Alphanumeric => is_ascii_alphanumeric(unit),
            Class::Letter => u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_alphabetic()),
            Class::HexDigit => u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_hexdigit()),
            Class::Name => is_any_of(unit, "-_.") || is_letter_or_digit(unit),
            Class::ShortCode => is_any_of(unit, "-_+.") || is_ascii_alphanumeric(unit),
            Class::Plain => {
                unit >= 0x80 || (0x20..=0x7A).contains(&unit) && !is_any_of(unit, "()*[\\]^_`")
            }
            Class::Credentials => is_ascii_alphanumeric(unit) || is_any_of(unit, "$&+_#?-"),
            Class::Trailing => is_any_of(unit, ".,!%~*\"':;()="),
            Class::Visible => !is_any_of(unit, " \t\r\n"),
            Class::Address => unit > 0x20 && unit != 0x7F && !is_any_of(unit, ")\\|"),
            Class::AngleLabel => unit >= 0x20 && !is_any_of(unit, "<>|"),
            Class::Mailbox => is_any_of(unit, "!#$%&'*+/=?^_`{|}~-") || begins_mailbox(unit),
            Class::Code => !is_any_of(unit, "`\n"),
            Class::Line => !is_any_of(unit, "\r\n"),
            Class::TargetTrailing => is_any_of(unit, ".,!%*\"':;="),
            Class::BeforeHostMark => !is_any_of(unit, " \t\r\n:./@"),
            Class::LineWord => !is_any_of(unit, "*_~`:\n<[]! \t()\\|"),
            Class::EmphasisWord => !is_any_of(unit, "\n*_~ "),
            Class::StrikeWord => {
                !is_any_of(unit, "\n*_~ :`@#[]\\<!|")
                    && !matches!(unit, 0xD83C..=0xD83E | 0x2300..=0x27BF)
            }
            Class::LabelWord => !is_any_of(unit, "]()*_~ \t\r\n"),
        }
    }
}

/// The text, and what has been found out about it so far.
pub(crate) struct Source {
    units: Vec<u16>,
    ends: [OnceCell<Vec<u32>>; CLASSES],
    label_ends: OnceCell<Vec<u32>>,
    host_ends: OnceCell<Vec<u32>>,
    target_ends: OnceCell<Vec<u32>>,
    trailing_starts: OnceCell<Vec<u32>>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        Source {
            units: text.encode_utf16().collect(),
            ends: Default::default(),
            label_ends: OnceCell::new(),
            host_ends: OnceCell::new(),
            target_ends: OnceCell::new(),
            trailing_starts: OnceCell::new(),
        }
    }

    /// In code units.
    pub(crate) fn len(&self) -> usize {
        self.units.len()
    }

    pub(crate) fn at(&self, at: usize) -> Option<u16> {
        self.units.get(at).copied()
    }

    /// Whether `ascii` stands there.
    pub(crate) fn has(&self, at: usize, ascii: &str) -> bool {
        self.units.get(at..at + ascii.len()).is_some_and(|units| {
            units
                .iter()
                .zip(ascii.bytes())
                .all(|(unit, byte)| *unit == u16::from(byte))
        })
    }

    /// As text; half of a surrogate pair becomes U+FFFD.
    pub(crate) fn text(&self, range: Range<usize>) -> String {
        String::from_utf16_lossy(self.slice(range))
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &[u16] {
        self.units.get(range).unwrap_or_default()
    }

    /// Where the run of `class` that begins at `at` ends: `at` when there is none.
    pub(crate) fn run(&self, class: Class, at: usize) -> usize {
        let ends = self.ends[class as usize].get_or_init(|| {
            let mut ends = vec![0; self.units.len()];
            let mut end = self.units.len() as u32;
            for (at, unit) in self.units.iter().enumerate().rev() {
                if !class.contains(*unit) {
                    end = at as u32;
                }
                ends[at] = end;
            }
            ends
        });
        ends.get(at).map_or(at, |end| *end as usize)
    }

    /// Where the label of a host name that begins at `at` ends: `at` when there is none.
    /// A hyphen or an underscore takes the next character with it, whatever that is.
    /// Brackets end hosts in 8.7.
    pub(crate) fn label_end(&self, at: usize, generation: Generation) -> usize {
        let ends_host = |unit: u16| {
            is_any_of(unit, " \t\r\n\\/|><%`")
                || generation == Generation::V8_7 && is_any_of(unit, "[]")
        };
        let ends = self.label_ends.get_or_init(|| {
            self.table_from_right(|ends, at, unit| {
                let joins = is_any_of(unit, "-_");
                let next = if joins { at + 2 } else { at + 1 };
                let fits = self.at(next - 1).is_some_and(|last| !ends_host(last))
                    && (joins || !is_any_of(unit, ".,!%~*\"':;()=$@&+#?"));
                ends.get(next).copied().filter(|_| fits)
            })
        });
        ends.get(at).map_or(at, |end| *end as usize)
    }

    /// Where the labels, divided by dots, end that begin at `at`.
    pub(crate) fn labels_end(&self, at: usize, generation: Generation) -> usize {
        let ends = self.host_ends.get_or_init(|| {
            self.table_from_right(|ends, at, _| {
                let end = self.label_end(at, generation);
                let next = end + 1;
                let goes_on = self.has(end, ".") && self.label_end(next, generation) > next;
                if goes_on {
                    ends.get(next).copied()
                } else {
                    Some(end as u32)
                }
            })
        });
        ends.get(at).map_or(at, |end| *end as usize)
    }

    /// A table with an entry for each position and the end, made from the right: each
    /// may refer to those behind it. Without a value an entry is its own position.
    fn table_from_right(&self, value: impl Fn(&[u32], usize, u16) -> Option<u32>) -> Vec<u32> {
        let mut entries: Vec<u32> = (0..=self.units.len() as u32).collect();
        for (at, unit) in self.units.iter().enumerate().rev() {
            if let Some(value) = value(&entries, at, *unit) {
                entries[at] = value;
            }
        }
        entries
    }

    /// Where the target of a link, from `at` on, ends in 8.7: it may hold parentheses in
    /// pairs.
    pub(crate) fn target_end(&self, at: usize) -> usize {
        let ends = self.target_ends.get_or_init(|| {
            self.table_from_right(|ends, at, unit| {
                let marks = self.run(Class::TargetTrailing, at);
                if marks > at && self.is_boundary(marks, false) {
                    return None;
                }
                if is_any_of(unit, "(") {
                    let closer = self.run(Class::Address, at + 1);
                    return ends
                        .get(closer + 1)
                        .copied()
                        .filter(|_| self.has(closer, ")"));
                }
                ends.get(at + 1)
                    .copied()
                    .filter(|_| Class::Address.contains(unit))
            })
        });
        ends.get(at).map_or(at, |end| *end as usize)
    }

    /// Where the run of trailing marks that ends at `end` begins: `end` when there is
    /// none.
    pub(crate) fn trailing_start(&self, end: usize) -> usize {
        let starts = self.trailing_starts.get_or_init(|| {
            let mut starts = Vec::with_capacity(self.units.len() + 1);
            starts.push(0);
            let mut start = 0;
            for (at, unit) in self.units.iter().enumerate() {
                if !Class::Trailing.contains(*unit) {
                    start = at as u32 + 1;
                }
                starts.push(start);
            }
            starts
        });
        starts.get(end).map_or(end, |start| *start as usize)
    }

    /// The end of the line break that stands there.
    pub(crate) fn line_end(&self, at: usize) -> Option<usize> {
        match self.at(at)? {
            RETURN if self.at(at + 1) == Some(NEWLINE) => Some(at + 2),
            RETURN | NEWLINE => Some(at + 1),
            _ => None,
        }
    }

    /// Whether white space, a line break or (where `end_counts`) the end follows.
    pub(crate) fn is_boundary(&self, at: usize, end_counts: bool) -> bool {
        match self.at(at) {
            Some(unit) => !Class::Visible.contains(unit),
            None => end_counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_up_is_what_is_so() {
        for class in ALL {
            assert_eq!(ALL.get(class as usize), Some(&class));
            for unit in 0..0x200 {
                assert_eq!(
                    class.contains(unit),
                    class.has(unit),
                    "{class:?}, {unit:#x}"
                );
            }
        }
    }

    #[test]
    fn runs_end_where_the_class_does() {
        let source = Source::new("aa..b");
        assert_eq!(source.run(Class::Alphanumeric, 0), 2);
        assert_eq!(source.run(Class::Alphanumeric, 2), 2);
        assert_eq!(source.run(Class::Trailing, 2), 4);
        assert_eq!(source.run(Class::Alphanumeric, 4), 5);
        assert_eq!(source.run(Class::Alphanumeric, 9), 9);
        assert_eq!(source.trailing_start(4), 2);
        assert_eq!(source.trailing_start(5), 5);
    }

    #[test]
    fn both_line_breaks_count_as_one() {
        let source = Source::new("\r\n\n\ra");
        assert_eq!(source.line_end(0), Some(2));
        assert_eq!(source.line_end(2), Some(3));
        assert_eq!(source.line_end(3), Some(4));
        assert_eq!(source.line_end(4), None);
    }
}
