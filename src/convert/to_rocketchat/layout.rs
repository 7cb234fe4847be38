//! HTML as lines: which block stands where, with which prefix.
//!
//! The dialect has quotes and lists of one level only, and neither holds blocks.
//! What is deeper keeps its place by indentation and bullets that stay text.

use super::Surroundings;
use super::ZERO_WIDTH_SPACE;
use super::html::{Element, Node};
use super::line::{Line, Piece, Style, What, add_typed, on_one_line, without_fences};
use super::literal;
use super::people::{self, Mentioned, Pill};
use super::urls;

/// Indentation of a level of lists.
const INDENT: &str = "    ";

/// Lists in lists that are told apart; what is deeper stands with the deepest, so
/// that indentation stays in proportion to the text.
const MAX_LIST_DEPTH: usize = 6;
const MAX_QUOTE_DEPTH: usize = 6;

/// The lines that HTML makes. `style` is that of all of its text.
pub(super) fn lines(
    nodes: &[Node],
    style: Style,
    people: &Mentioned,
    with: &Surroundings<'_>,
) -> Vec<Line> {
    let mut page = Page {
        people,
        with,
        lines: Vec::new(),
        current: None,
        gap: Gap::None,
        quotes: 0,
        last_quotes: 0,
        lists: Vec::new(),
        one_line: 0,
        after_heading: false,
        room: nodes_size(nodes) * 4 + 1_000,
    };
    page.walk(nodes, style);
    page.end_line(Gap::None);
    page.lines
}

/// Bytes of text in nodes. Not deeper than the tree is.
fn nodes_size(nodes: &[Node]) -> usize {
    nodes
        .iter()
        .map(|node| match node {
            Node::Text(text) => text.len(),
            Node::Element(element) => 16 + nodes_size(&element.children),
        })
        .sum()
}

/// What must stand between what was written and what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    /// Nothing.
    None,
    /// An empty line.
    Blank,
}

struct List {
    /// The next number; none when the items are not numbered.
    number: Option<i64>,
    /// The item's marker, until its first line is written.
    marker: Option<String>,
}

struct Page<'a> {
    people: &'a Mentioned,
    with: &'a Surroundings<'a>,
    lines: Vec<Line>,
    current: Option<Vec<Piece>>,
    gap: Gap,
    quotes: usize,
    last_quotes: usize,
    lists: Vec<List>,
    /// How many elements that are one line each are being walked.
    one_line: usize,
    /// Whether the last line is a heading: an empty line behind it shows as two.
    after_heading: bool,
    /// Bytes that prefixes may take in all.
    room: usize,
}

impl Page<'_> {
    fn walk(&mut self, nodes: &[Node], style: Style) {
        for node in nodes {
            match node {
                Node::Text(text) => self.text(text, style),
                Node::Element(element) if element.is_dropped() => {}
                Node::Element(element) => self.element(element, style),
            }
        }
    }

    fn element(&mut self, element: &Element, style: Style) {
        let inside = &element.children;
        match element.name.as_str() {
            "b" | "strong" => self.walk(inside, style.with(Style::BOLD)),
            "i" | "em" => self.walk(inside, style.with(Style::ITALIC)),
            "del" | "s" | "strike" => self.walk(inside, style.with(Style::STRIKE)),
            "br" => self.line_break(),
            "a" => self.link(element, style),
            "img" => self.image(element, style),
            "code" | "tt" => self.code(&text_of(inside), style),
            "sup" | "sub" => self.raised(element, style),
            "span" | "div" if element.attribute("data-mx-maths").is_some() => {
                self.formula(element, style);
            }
            "span" if element.attribute("data-mx-spoiler").is_some() => {
                let reason = element.attribute("data-mx-spoiler").unwrap_or_default();
                let reason = on_one_line(reason);
                let notice = if reason.is_empty() {
                    "[spoiler] ".to_owned()
                } else {
                    format!("[spoiler: {reason}] ")
                };
                self.push(What::Text(notice), style);
                self.walk(inside, style);
            }
            _ if element.is_block() => self.block(element, style),
            _ => self.walk(inside, style),
        }
    }

    fn block(&mut self, element: &Element, style: Style) {
        let inside = &element.children;
        if self.one_line > 0 {
            self.text(" ", style);
            self.walk(inside, style);
            self.text(" ", style);
            return;
        }
        match element.name.as_str() {
            "p" | "table" => {
                self.end_line(self.block_gap());
                self.walk(inside, style);
                self.end_line(self.block_gap());
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.heading(element, style),
            "blockquote" => {
                self.end_line(self.block_gap());
                let deeper = self.quotes < MAX_QUOTE_DEPTH;
                self.quotes += usize::from(deeper);
                self.gap = if self.quotes > 1 { Gap::None } else { self.gap };
                self.walk(inside, style);
                self.end_line(self.block_gap());
                self.quotes -= usize::from(deeper);
            }
            "ul" | "ol" => self.list(element, style),
            "li" => {
                // One without a list.
                let lost = self.lists.is_empty();
                if lost {
                    self.lists.push(List {
                        number: None,
                        marker: None,
                    });
                }
                self.item(inside, style);
                if lost {
                    self.lists.pop();
                }
            }
            "pre" => self.code_block(element, style),
            "hr" => {
                self.end_line(self.block_gap());
                self.push(What::Markup("---".to_owned()), Style::PLAIN);
                self.end_line(self.block_gap());
            }
            "tr" => self.row(inside, style),
            "summary" | "caption" => {
                self.end_line(Gap::None);
                self.walk(inside, style.with(Style::BOLD));
                self.end_line(Gap::None);
            }
            _ => {
                self.end_line(Gap::None);
                self.walk(inside, style);
                self.end_line(Gap::None);
            }
        }
    }

    /// In 0.31 a heading's text is literal, in 0.32 it is not: only text that is the
    /// same in both becomes a heading, everything else a line in bold.
    fn heading(&mut self, element: &Element, style: Style) {
        self.end_line(self.block_gap());
        let level = match element.name.as_str() {
            "h1" => 1,
            "h2" => 2,
            "h3" => 3,
            "h4" => 4,
            _ => 0,
        };
        self.one_line += 1;
        let outer = self.current.take();
        self.walk(&element.children, style);
        let pieces = trimmed(self.current.take().unwrap_or_default());
        self.current = outer;
        self.one_line -= 1;
        let as_it_is = pieces.iter().all(|piece| match &piece.what {
            What::Text(text) => {
                piece.style == Style::PLAIN
                    && literal::fits_inside(text)
                    && !text.contains(['@', '#', '_', '(', ':'])
            }
            _ => false,
        });
        let is_heading = level > 0
            && as_it_is
            && self.quotes == 0
            && self.lists.is_empty()
            && !pieces.is_empty();
        if is_heading {
            self.push(What::Markup("#".repeat(level)), Style::PLAIN);
            self.push(What::Text(" ".to_owned()), Style::PLAIN);
            for piece in pieces {
                if let What::Text(text) = piece.what {
                    self.push(What::Markup(text), Style::PLAIN);
                }
            }
        } else {
            for piece in pieces {
                self.push(piece.what, piece.style.with(Style::BOLD));
            }
        }
        self.end_line(self.block_gap());
        self.after_heading = is_heading;
    }

    /// What stands between blocks: nothing within lists, which an empty line ends.
    fn block_gap(&self) -> Gap {
        if self.lists.is_empty() {
            Gap::Blank
        } else {
            Gap::None
        }
    }

    fn list(&mut self, element: &Element, style: Style) {
        let gap = self.block_gap();
        self.end_line(gap);
        // An item that begins with a list has no line of its own.
        if let Some(outer) = self.lists.last_mut() {
            outer.marker = None;
        }
        let number = (element.name == "ol").then(|| {
            element
                .attribute("start")
                .and_then(|start| start.parse::<u32>().ok())
                .map_or(1, i64::from)
        });
        self.lists.push(List {
            number,
            marker: None,
        });
        for node in &element.children {
            match node {
                Node::Element(item) if item.name == "li" => self.item(&item.children, style),
                Node::Element(other) if other.is_dropped() => {}
                other => self.walk(std::slice::from_ref(other), style),
            }
        }
        self.end_line(Gap::None);
        self.lists.pop();
        self.end_line(gap);
    }

    fn item(&mut self, inside: &[Node], style: Style) {
        self.end_line(Gap::None);
        let depth = self.lists.len();
        let quoted = self.quotes > 0;
        if let Some(list) = self.lists.last_mut() {
            list.marker = Some(match &mut list.number {
                Some(number) => {
                    let marker = format!("{number}. ");
                    *number += 1;
                    marker
                }
                None if depth == 1 && !quoted => "- ".to_owned(),
                None => match depth {
                    1 => "• ",
                    2 => "◦ ",
                    _ => "▪ ",
                }
                .to_owned(),
            });
        }
        self.walk(inside, style);
        self.end_line(Gap::None);
        // An item without text still is one.
        if self.lists.last().is_some_and(|list| list.marker.is_some()) {
            self.push(What::Text(ZERO_WIDTH_SPACE.to_string()), Style::PLAIN);
            self.end_line(Gap::None);
        }
        self.gap = Gap::None;
    }

    fn row(&mut self, cells: &[Node], style: Style) {
        self.end_line(Gap::None);
        self.one_line += 1;
        let mut first = true;
        for cell in cells {
            let inside = match cell {
                Node::Element(cell) if matches!(cell.name.as_str(), "td" | "th") => cell,
                other => {
                    self.walk(std::slice::from_ref(other), style);
                    continue;
                }
            };
            if !first {
                self.trim_end();
                self.push(What::Text(" | ".to_owned()), Style::PLAIN);
            }
            first = false;
            let style = match inside.name.as_str() {
                "th" => style.with(Style::BOLD),
                _ => style,
            };
            self.walk(&inside.children, style);
        }
        self.one_line -= 1;
        self.end_line(Gap::None);
    }

    fn code_block(&mut self, element: &Element, style: Style) {
        self.end_line(self.block_gap());
        let code = text_of(&element.children);
        let code = code.strip_suffix('\n').unwrap_or(&code);
        let code = code.strip_prefix('\n').unwrap_or(code);
        if code.trim().is_empty() {
            return;
        }
        if self.quotes > 0 {
            for line in code.split('\n') {
                self.code(line, style);
                self.end_line(Gap::None);
            }
        } else {
            let language = language_of(element);
            self.close_gap();
            self.lines.push(Line::Verbatim(format!("```{language}")));
            for line in without_fences(code).split('\n') {
                self.lines
                    .push(Line::Verbatim(people::calling_nobody(line)));
            }
            self.lines.push(Line::Verbatim("```".to_owned()));
            // The item of a list that it stands in has begun, then.
            if let Some(list) = self.lists.last_mut() {
                list.marker = None;
            }
        }
        self.end_line(self.block_gap());
    }

    /// Code in a line. There is no way to write a backtick in it.
    fn code(&mut self, code: &str, style: Style) {
        for (at, line) in code.split('\n').enumerate() {
            if at > 0 {
                self.line_break();
            }
            if line.trim().is_empty() {
                self.text(line, style);
            } else if line.contains('`') {
                self.push(What::Name(line.to_owned()), style);
            } else {
                self.push(What::Code(people::calling_nobody(line)), style);
            }
        }
    }

    fn link(&mut self, element: &Element, style: Style) {
        let Some(href) = element.attribute("href") else {
            return self.walk(&element.children, style);
        };
        let label = text_of(&element.children);
        let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
        match people::pill(href, self.with) {
            Some(Pill::Known(name)) => return self.push(What::Mention(name), style),
            // Whose text says `@name` is not to find somebody else.
            Some(Pill::Unknown) if !label.is_empty() => {
                return self.push(What::Name(label), style);
            }
            _ => {}
        }
        let href = &*urls::with_scheme(href);
        if !urls::is_followed(href) {
            let shown = on_one_line(href);
            return match (label.is_empty(), shown.is_empty() || label == shown) {
                (true, _) => self.push(What::Name(shown), style),
                (_, true) => self.push(What::Name(label), style),
                _ => {
                    self.push(What::Text(label), style);
                    self.push(What::Name(format!(" ({shown})")), style);
                }
            };
        }
        let url = on_one_line(href);
        if label.is_empty() || label == url {
            self.push(What::Url(url), style);
        } else {
            self.push(What::Link { label, url }, style);
        }
    }

    fn image(&mut self, element: &Element, style: Style) {
        let named = |name: &str| {
            element
                .attribute(name)
                .map(on_one_line)
                .filter(|text| !text.trim().is_empty())
        };
        let Some(shown) = named("alt").or_else(|| named("title")) else {
            return self.push(What::Text("[image]".to_owned()), style);
        };
        let code = shown.trim_matches(':');
        let is_code = !code.is_empty()
            && code.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '+')
            && code.ends_with(|c: char| c.is_ascii_alphanumeric())
            && code
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+'));
        if element.attribute("data-mx-emoticon").is_some() && is_code {
            self.push(What::Markup(format!(":{code}:")), Style::PLAIN);
        } else {
            self.push(What::Text(shown), style);
        }
    }

    /// Formulas are on in Rocket.Chat unless somebody turned them off, and readable
    /// then, too.
    fn formula(&mut self, element: &Element, style: Style) {
        let tex = on_one_line(element.attribute("data-mx-maths").unwrap_or_default());
        let tex = tex.trim();
        let closes = ["\\(", "\\)", "\\[", "\\]", "`"]
            .iter()
            .any(|end| tex.contains(end));
        if tex.is_empty() || closes || tex.contains(['@', '#']) || tex.ends_with('\\') {
            return self.walk(&element.children, style);
        }
        if element.name == "div" && self.one_line == 0 {
            self.end_line(Gap::None);
            self.push(What::Markup(format!("\\[{tex}\\]")), Style::PLAIN);
            self.end_line(Gap::None);
        } else {
            self.push(What::Markup(format!("\\({tex}\\)")), Style::PLAIN);
        }
    }

    /// Superscripts and subscripts: in the characters for it where there are such.
    fn raised(&mut self, element: &Element, style: Style) {
        let text = text_of(&element.children);
        let (from, to) = match element.name.as_str() {
            "sup" => ("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ"),
            _ => ("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎"),
        };
        let moved: Option<String> = text
            .chars()
            .map(|c| to.chars().nth(from.chars().position(|own| own == c)?))
            .collect();
        match moved {
            Some(moved) if !moved.is_empty() => self.push(What::Text(moved), style),
            _ => self.walk(&element.children, style),
        }
    }

    /// Text as HTML shows it: white space in a row is one space.
    fn text(&mut self, text: &str, style: Style) {
        let mut shown = String::with_capacity(text.len());
        let mut after_space = self.ends_in_space();
        for c in text.chars() {
            if matches!(c, ' ' | '\n' | '\t' | '\r' | '\u{c}') {
                if !after_space {
                    shown.push(' ');
                }
                after_space = true;
            } else if !c.is_control() {
                shown.push(c);
                after_space = false;
            }
        }
        if !shown.is_empty() {
            let pieces = self.open_line();
            let mut typed = Vec::new();
            std::mem::swap(pieces, &mut typed);
            add_typed(&mut typed, &shown, style, self.people);
            self.current = Some(typed);
        }
    }

    /// Whether a space now would be one too many.
    fn ends_in_space(&self) -> bool {
        match self.current.as_deref() {
            None | Some([]) => true,
            Some([.., last]) => matches!(&last.what, What::Text(text) if text.ends_with(' ')),
        }
    }

    fn push(&mut self, what: What, style: Style) {
        self.open_line().push(Piece { what, style });
    }

    fn open_line(&mut self) -> &mut Vec<Piece> {
        self.current.get_or_insert_with(Vec::new)
    }

    fn line_break(&mut self) {
        if self.one_line > 0 {
            return self.text(" ", Style::PLAIN);
        }
        self.open_line();
        self.end_line(Gap::None);
    }

    fn trim_end(&mut self) {
        if let Some(pieces) = self.current.take() {
            self.current = Some(trimmed_end(pieces));
        }
    }

    /// Ends the line that is open, if any; `gap` is what must follow at least.
    fn end_line(&mut self, gap: Gap) {
        if let Some(pieces) = self.current.take() {
            let pieces = trimmed(pieces);
            self.close_gap();
            let prefix = self.prefix();
            let pieces = if pieces.is_empty() && !prefix.trim().is_empty() {
                // A quote would end here, and an item would be none.
                vec![Piece::text(ZERO_WIDTH_SPACE)]
            } else {
                pieces
            };
            self.lines.push(Line::Pieces { prefix, pieces });
            self.gap = Gap::None;
        }
        self.gap = self.gap.max(gap);
    }

    /// Writes the empty line that is due between blocks.
    fn close_gap(&mut self) {
        if self.gap == Gap::Blank && !self.lines.is_empty() && !self.after_heading {
            let common = self.quotes.min(self.last_quotes);
            let line = if common > 0 {
                Line::Pieces {
                    prefix: quote_prefix(common),
                    pieces: vec![Piece::text(ZERO_WIDTH_SPACE)],
                }
            } else {
                Line::Pieces {
                    prefix: String::new(),
                    pieces: Vec::new(),
                }
            };
            self.lines.push(line);
        }
        self.last_quotes = self.quotes;
        self.gap = Gap::None;
        self.after_heading = false;
    }

    /// What stands before the line that is being written.
    fn prefix(&mut self) -> String {
        let mut prefix = quote_prefix(self.quotes);
        let depth = self.lists.len();
        if let Some(list) = self.lists.last_mut() {
            let marker = list.marker.take();
            let levels = depth.min(MAX_LIST_DEPTH) - usize::from(marker.is_some());
            prefix.push_str(&INDENT.repeat(levels));
            prefix.push_str(&marker.unwrap_or_default());
        }
        // A thousand empty items deep down must not become a book.
        if prefix.len() > self.room {
            return String::new();
        }
        self.room -= prefix.len();
        prefix
    }
}

fn quote_prefix(depth: usize) -> String {
    match depth {
        0 => String::new(),
        _ => format!("> {}", "› ".repeat(depth - 1)),
    }
}

/// The text in nodes, white space and all.
fn text_of(nodes: &[Node]) -> String {
    fn add(nodes: &[Node], text: &mut String) {
        for node in nodes {
            match node {
                Node::Text(part) => text.extend(
                    part.chars()
                        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t')),
                ),
                Node::Element(element) if element.is_dropped() => {}
                Node::Element(element) if element.name == "br" => text.push('\n'),
                Node::Element(element) if element.name == "img" => {
                    text.push_str(&on_one_line(
                        element
                            .attribute("alt")
                            .or(element.attribute("title"))
                            .unwrap_or_default(),
                    ));
                }
                Node::Element(element) => add(&element.children, text),
            }
        }
    }
    let mut text = String::new();
    add(nodes, &mut text);
    text
}

/// The language that a code block names, in the characters that a fence takes.
fn language_of(pre: &Element) -> String {
    let class = pre.children.iter().find_map(|child| match child {
        Node::Element(code) if code.name == "code" => code.attribute("class"),
        _ => None,
    });
    class
        .unwrap_or_default()
        .split_ascii_whitespace()
        .find_map(|class| class.strip_prefix("language-"))
        .filter(|language| {
            language.len() <= 30
                && language
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        })
        .unwrap_or_default()
        .to_owned()
}

/// Without white space at either end.
fn trimmed(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut pieces = trimmed_end(pieces);
    while let Some(first) = pieces.first_mut() {
        let What::Text(text) = &mut first.what else {
            break;
        };
        *text = text.trim_start_matches(' ').to_owned();
        if !text.is_empty() {
            break;
        }
        pieces.remove(0);
    }
    pieces
}

fn trimmed_end(mut pieces: Vec<Piece>) -> Vec<Piece> {
    while let Some(last) = pieces.last_mut() {
        let What::Text(text) = &mut last.what else {
            break;
        };
        text.truncate(text.trim_end_matches(' ').len());
        if !text.is_empty() {
            break;
        }
        pieces.pop();
    }
    pieces
}
