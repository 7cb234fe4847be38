//! Lines in the dialect.
//!
//! What the server's parser asks for, beyond its grammar: emphasis must not touch
//! what may be read as an emoticon (`*)`), an address or a word (`_`); within it no
//! backslash works, so text that needs one loses its emphasis rather than its
//! letters. A `[` anywhere before a `[text](address)` becomes the beginning of that
//! link, so such links are written only in messages without other brackets, and
//! `<address|text>` elsewhere. A mention notifies only after a space.
//!
//! What was written is read back ([`proof`]). A line that would say something else is
//! written again, more carefully each time.

use super::ZERO_WIDTH_SPACE;
use super::line::{Line, Piece, Style, What};
use super::literal::{self, Place};
use super::proof;
use super::urls;

/// A message in the dialect.
pub(super) struct Written {
    /// The text.
    pub text: String,
    /// Whether all emphasis could be written.
    pub emphasis_held: bool,
}

/// How carefully a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Nothing that people would see in notifications and when they edit, unless it
    /// looks as if it were needed.
    Light,
    /// All text so that nothing in it can mean anything, whatever stands around it.
    Full,
    /// Likewise, and without emphasis, within which there is no such way.
    Bare,
}

/// Writes the lines of a message.
pub(super) fn lines(lines: &[Line]) -> Written {
    let brackets = lines.iter().any(has_brackets);
    let mut cares = vec![Care::Light; lines.len()];
    let mut written = with_care(lines, &cares, brackets);
    // What needs full care is known after reading once; what is around it, after twice.
    for care in [Care::Full, Care::Bare] {
        if !proof::is_needed(&written.text) {
            break;
        }
        let misread = proof::misread(lines, &written.text);
        if misread.is_empty() {
            break;
        }
        for at in misread {
            cares[at] = care;
        }
        written = with_care(lines, &cares, brackets);
    }
    written
}

fn with_care(lines: &[Line], cares: &[Care], brackets: bool) -> Written {
    let mut text = String::new();
    let mut emphasis_held = true;
    for (at, (line, care)) in lines.iter().zip(cares).enumerate() {
        if at > 0 {
            text.push('\n');
        }
        match line {
            Line::Verbatim(verbatim) => text.push_str(verbatim),
            Line::Pieces { prefix, pieces } => {
                let (written, held) = one_line(pieces, brackets, *care);
                text.push_str(prefix);
                text.push_str(&written);
                emphasis_held &= held;
            }
        }
    }
    Written {
        text,
        emphasis_held,
    }
}

/// Whether anything in a line might be taken for the beginning of a link, or would be
/// wrong in the text of one.
fn has_brackets(line: &Line) -> bool {
    let Line::Pieces { prefix, pieces } = line else {
        return true;
    };
    prefix.contains('[')
        || pieces.iter().any(|piece| match &piece.what {
            What::Text(text) | What::Name(text) | What::Code(text) | What::Markup(text) => {
                text.contains('[')
            }
            What::Link { url, .. } | What::Url(url) => url.contains(['[', ']']),
            What::Mention(_) => false,
        })
}

fn one_line(pieces: &[Piece], brackets: bool, care: Care) -> (String, bool) {
    let bare: Vec<Piece>;
    let mut emphasis_held = true;
    let pieces = match care {
        Care::Bare => {
            emphasis_held = pieces.iter().all(|piece| piece.style == Style::PLAIN);
            bare = without_styles(pieces);
            &bare
        }
        Care::Light | Care::Full => pieces,
    };
    let mut writer = Writer {
        out: String::new(),
        place: match care {
            Care::Light => light_place(pieces),
            Care::Full | Care::Bare => Place::AmongMarkup,
        },
        anywhere: care != Care::Light,
        brackets: brackets || care != Care::Light,
        beside: Beside::Nothing,
        emphasis_held,
        fits_inside: true,
    };
    if let Some(Piece {
        what: What::Text(text),
        ..
    }) = pieces.first()
        && match care {
            Care::Light => literal::begins_a_block(text),
            Care::Full | Care::Bare => !text.starts_with(char::is_alphabetic),
        }
    {
        writer.out.push(ZERO_WIDTH_SPACE);
    }
    writer.pieces(pieces, Style::PLAIN, None);
    (writer.out, writer.emphasis_held)
}

/// As what text a line's text has to be written, as it looks.
fn light_place(pieces: &[Piece]) -> Place {
    let typed: String = pieces
        .iter()
        .map(|piece| match &piece.what {
            What::Text(text) | What::Url(text) => text.as_str(),
            _ => "",
        })
        .collect();
    let marked_up = pieces.iter().any(|piece| {
        piece.style != Style::PLAIN || !matches!(piece.what, What::Text(_) | What::Url(_))
    });
    // A marker beside an address, or in it, meets one elsewhere.
    let has_url = pieces
        .iter()
        .any(|piece| matches!(piece.what, What::Url(_)));
    let has_marker = typed.contains(['*', '_', '~', '`']);
    if marked_up || (has_url && has_marker) || literal::looks_like_markup(&typed) {
        Place::AmongMarkup
    } else {
        Place::Plain
    }
}

/// What was written last, where what comes next must keep away from it.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Emphasis,
    Mention,
}

struct Writer {
    out: String,
    place: Place,
    /// Whether text outside of emphasis must be safe whatever stands around it.
    anywhere: bool,
    /// Whether `[text](address)` might begin somewhere else.
    brackets: bool,
    beside: Beside,
    emphasis_held: bool,
    /// Whether what was written can be read within emphasis: in 0.32 a link or code
    /// there must have a space before it.
    fits_inside: bool,
}

impl Writer {
    /// Writes pieces of which the styles in `done` are already written, or given up.
    /// Calls itself once for every style at the most.
    fn pieces(&mut self, pieces: &[Piece], done: Style, after: Option<char>) {
        let mut from = 0;
        while let Some(piece) = pieces.get(from) {
            let longest = Style::ALL
                .iter()
                .map(|&(style, marker)| (run(&pieces[from..], style.without(done)), style, marker))
                .max_by_key(|(length, _, _)| *length)
                .filter(|(length, _, _)| *length > 0);
            let Some((length, style, marker)) = longest else {
                let next = pieces.get(from + 1).map_or(after, first_char);
                self.piece(piece, next);
                from += 1;
                continue;
            };
            let next = pieces.get(from + length).map_or(after, first_char);
            self.emphasis(&pieces[from..from + length], done, style, marker, next);
            from += length;
        }
    }

    /// Writes a run of pieces in a style, or without it where that cannot be.
    fn emphasis(
        &mut self,
        run: &[Piece],
        done: Style,
        style: Style,
        marker: char,
        after: Option<char>,
    ) {
        let mut inner = Self {
            out: String::new(),
            place: Place::Inside,
            anywhere: false,
            brackets: self.brackets,
            beside: Beside::Nothing,
            emphasis_held: true,
            fits_inside: true,
        };
        inner.pieces(run, done.with(style), None);
        let core = inner.out.trim();
        let start = inner.out.len() - inner.out.trim_start().len();
        let (lead, trail) = (&inner.out[..start], &inner.out[start + core.len()..]);
        if core.is_empty() {
            self.add(&inner.out);
            return;
        }
        let fits = run.iter().all(|piece| match &piece.what {
            What::Text(text) => literal::fits_inside(text),
            What::Name(name) => literal::fits_inside(name) && !name.contains(['.', ':']),
            What::Code(code) => !code.contains(['*', '_', '~']),
            What::Link { label, .. } => literal::fits_inside(label) && !is_spelled_out(label),
            What::Url(url) => !is_spelled_out(url),
            _ => true,
        });
        // In 0.31 a first word with a dot is tried as an address, together with the
        // marker; the dot of a sentence only where something follows at once.
        let first_word = core.split_whitespace().next().unwrap_or_default();
        let alone = first_word.len() == core.len() && after.is_some_and(|c| !c.is_whitespace());
        let word = match alone {
            true => first_word,
            false => first_word.trim_end_matches('.'),
        };
        let dotted = style == Style::ITALIC && word.contains('.');
        if !fits || !inner.fits_inside || dotted || core.contains(marker) {
            self.emphasis_held = false;
            self.pieces(run, done.with(style), after);
            return;
        }
        self.emphasis_held &= inner.emphasis_held;
        self.add(lead);
        if !self.stands_free() {
            self.out.push(ZERO_WIDTH_SPACE);
        }
        self.out.push(marker);
        if !core.starts_with(is_harmless_inside)
            && !run
                .iter()
                .find(|piece| !is_blank(piece))
                .is_some_and(is_marked_up)
        {
            self.out.push(ZERO_WIDTH_SPACE);
        }
        self.out.push_str(core);
        if !core.ends_with(|c| c == '.' || is_harmless_inside(c))
            && !run
                .iter()
                .rfind(|piece| !is_blank(piece))
                .is_some_and(is_marked_up)
        {
            self.out.push(ZERO_WIDTH_SPACE);
        }
        self.out.push(marker);
        self.beside = Beside::Emphasis;
        self.add(trail);
    }

    fn piece(&mut self, piece: &Piece, after: Option<char>) {
        match &piece.what {
            What::Text(text) => {
                self.keep_away(text.chars());
                self.literal(text, after, self.place);
            }
            What::Name(name) => {
                self.keep_away(name.chars());
                self.literal(name, after, Place::Name);
            }
            What::Code(code) => {
                self.keep_away(std::iter::once('`'));
                let inside = self.place == Place::Inside;
                self.fits_inside &= self.stands_free();
                self.out.push('`');
                self.out.push_str(code);
                self.out.push('`');
                if inside && after.is_some_and(|c| !c.is_whitespace()) {
                    self.out.push(ZERO_WIDTH_SPACE);
                }
            }
            What::Url(url) => {
                self.keep_away(url.chars());
                let free = self.stands_free() && after.is_none_or(char::is_whitespace);
                let safe = !self.anywhere || !url.contains(['*', '_', '~', '@', '#']);
                if free && safe && self.place != Place::Inside && urls::is_left_alone(url) {
                    self.out.push_str(url);
                } else {
                    self.link(url, url, after);
                }
            }
            What::Link { label, url } => {
                self.keep_away(std::iter::once('<'));
                self.link(label, url, after);
            }
            What::Mention(name) => {
                if !self.stands_free() {
                    self.out.push(' ');
                }
                self.out.push_str(name);
                self.beside = Beside::Mention;
            }
            What::Markup(markup) => {
                self.keep_away(markup.chars());
                self.out.push_str(markup);
            }
        }
    }

    /// Text that must be read as it is.
    fn literal(&mut self, text: &str, after: Option<char>, place: Place) {
        let before = self.out.chars().next_back();
        if self.anywhere {
            literal::write_anywhere(&mut self.out, text, before, after);
        } else {
            literal::write(&mut self.out, text, before, after, place);
        }
    }

    /// A link in the form that holds its text.
    fn link(&mut self, label: &str, url: &str, after: Option<char>) {
        self.fits_inside &= self.stands_free();
        let target = urls::encoded(url);
        let mut shown = String::new();
        literal::write(&mut shown, label, None, None, Place::Inside);
        if shown.starts_with('>') {
            shown.insert(0, ZERO_WIDTH_SPACE);
        }
        let simple = !self.brackets
            && self.stands_free()
            && literal::fits_inside(label)
            && !label.contains(['(', ')', '@', '#', ':', '>', '.'])
            && !label.trim().is_empty()
            && !urls::ends_a_sentence(&target);
        if simple {
            self.out.push_str(&format!("[{shown}]({target})"));
        } else if is_spelled_out(label) {
            self.literal(label, Some('('), Place::Name);
            self.out.push_str(&format!(" (<{target}|{target}>)"));
        } else {
            self.out.push_str(&format!("<{target}|{shown}>"));
        }
        // What the label ends at is the last `>` that nothing stands before.
        if after == Some('>') {
            self.out.push(ZERO_WIDTH_SPACE);
        }
    }

    /// Adds what is nothing but white space, or nothing.
    fn add(&mut self, space: &str) {
        if !space.is_empty() {
            self.beside = Beside::Nothing;
            self.out.push_str(space);
        }
    }

    /// Puts something invisible between what was written last and what comes now, if
    /// together they would mean something else.
    fn keep_away(&mut self, mut coming: impl Iterator<Item = char>) {
        let Some(next) = coming.next() else {
            return;
        };
        let then = coming.next();
        let apart = match self.beside {
            Beside::Nothing => false,
            Beside::Emphasis => match next {
                ',' | '!' | '?' => false,
                '.' => then.is_some_and(|c| !c.is_whitespace()),
                _ => !next.is_whitespace(),
            },
            Beside::Mention => match next {
                ':' | '.' | '-' | '@' => next != ':' || then.is_some_and(|c| !c.is_whitespace()),
                _ => next.is_alphanumeric() || next == '_',
            },
        };
        if apart {
            self.out.push(ZERO_WIDTH_SPACE);
        }
        self.beside = Beside::Nothing;
    }

    /// Whether what comes now has a space or nothing before it.
    fn stands_free(&self) -> bool {
        self.out.chars().next_back().is_none_or(char::is_whitespace)
    }
}

/// The same without styles; texts that follow each other are one then.
fn without_styles(pieces: &[Piece]) -> Vec<Piece> {
    let mut bare: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if let What::Text(text) = &piece.what
            && let Some(Piece {
                what: What::Text(last),
                ..
            }) = bare.last_mut()
        {
            last.push_str(text);
        } else {
            bare.push(Piece {
                what: piece.what.clone(),
                style: Style::PLAIN,
            });
        }
    }
    bare
}

/// Whether a link's text cannot stand in a link: its address follows it then.
pub(super) fn is_spelled_out(label: &str) -> bool {
    label.contains(['<', '>', '|']) || label.trim().is_empty()
}

/// How many pieces from the first on are in a style; white space between them is,
/// too. Mentions never are: they would not notify.
fn run(pieces: &[Piece], style: Style) -> usize {
    if style == Style::PLAIN {
        return 0;
    }
    pieces
        .iter()
        .take_while(|piece| piece.style.has(style) && !matches!(piece.what, What::Mention(_)))
        .count()
}

/// What may stand at either end of emphasis without becoming an emoticon or another
/// marker together with it.
fn is_harmless_inside(c: char) -> bool {
    c.is_alphanumeric() || c == ZERO_WIDTH_SPACE
}

/// Whether a piece has markup of its own at both ends, which must not be kept apart.
fn is_marked_up(piece: &Piece) -> bool {
    matches!(piece.what, What::Link { .. } | What::Url(_) | What::Code(_))
}

/// Whether a piece is white space.
fn is_blank(piece: &Piece) -> bool {
    matches!(&piece.what, What::Text(text) if text.trim().is_empty())
}

/// What a piece will begin with.
fn first_char(piece: &Piece) -> Option<char> {
    match &piece.what {
        // A space is put before it.
        What::Mention(_) => Some(' '),
        What::Text(text) | What::Url(text) if text.starts_with(char::is_whitespace) => Some(' '),
        _ if piece.style != Style::PLAIN => Some('*'),
        What::Text(text) | What::Name(text) | What::Url(text) | What::Markup(text) => {
            text.chars().next()
        }
        What::Code(_) => Some('`'),
        What::Link { .. } => Some('<'),
    }
}
