//! The blocks that came with 8.7.

use crate::blocks::Found;
use crate::scanner::{Open, Place, Scanner, State};
use crate::source::Class;
use crate::tree::{Block, Inline};

const SPOILER: &str = "||";

impl Scanner<'_> {
    /// Lines of text between two lines of `||`.
    pub(crate) fn spoiler_block(&mut self, at: usize) -> Found<Block> {
        if self.is_v6() || !self.source.has(at, SPOILER) {
            return None;
        }
        let start = self.source.line_end(at + SPOILER.len())?;
        let (lines, end) = self.repeated(start, |scanner, at| {
            if scanner.source.has(at, SPOILER) {
                return None;
            }
            scanner.paragraph(at)
        })?;
        let closer = self.source.line_end(end).unwrap_or(end);
        self.source
            .has(closer, SPOILER)
            .then(|| (Block::Spoiler(lines), closer + SPOILER.len()))
    }

    /// A line of at least three hyphens.
    pub(crate) fn rule(&self, at: usize) -> Found<Block> {
        let start = self.source.run(Class::Blank, at);
        let end = self
            .run(Class::Hyphen, start)
            .filter(|end| *end >= start + 3 && !self.is_v6())?;
        let end = self.source.run(Class::Blank, end);
        match self.source.line_end(end) {
            Some(end) => Some((Block::HorizontalRule, end)),
            None => (end == self.source.len()).then_some((Block::HorizontalRule, end)),
        }
    }

    /// A row, a line of hyphens between bars, and rows.
    pub(crate) fn table(&mut self, at: usize) -> Found<Block> {
        if self.is_v6() {
            return None;
        }
        let (head, end) = self.table_row(at)?;
        let mut end = self.table_divider(end)?;
        let mut rows = Vec::new();
        while let Some((mut row, next)) = self.table_row(end) {
            // A row has the cells of the head at least. Clients do not show what is
            // beyond them, but nothing is to be lost here.
            while row.len() < head.len() {
                row.push(Vec::new());
            }
            rows.push(row);
            end = next;
        }
        Some((Block::Table { head, rows }, end))
    }

    fn table_row(&mut self, at: usize) -> Found<Vec<Vec<Inline>>> {
        if !self.source.has(at, "|") {
            return None;
        }
        let state = State::new(Place::Cell, Open::NOTHING);
        let (cells, end) = self.repeated(at + 1, |scanner, at| {
            let end = scanner.chain_end(state, at);
            let closed = scanner.source.has(end, "|");
            closed.then(|| (trim(scanner.inlines(state, at..end)), end + 1))
        })?;
        Some((cells, self.source.line_end(end).unwrap_or(end)))
    }

    fn table_divider(&self, at: usize) -> Option<usize> {
        let cell = |at: usize| {
            let skip = |at: usize, mark| {
                if self.source.has(at, mark) {
                    at + 1
                } else {
                    at
                }
            };
            let start = skip(self.source.run(Class::Blank, at), ":");
            let hyphens = skip(self.run(Class::Hyphen, start)?, ":");
            let end = self.source.run(Class::Blank, hyphens);
            self.source.has(end, "|").then_some(end + 1)
        };
        let mut end = cell(at + 1).filter(|_| self.source.has(at, "|"))?;
        while let Some(next) = cell(end) {
            end = next;
        }
        Some(self.source.line_end(end).unwrap_or(end))
    }
}

/// Without white space around the text of a cell.
fn trim(mut cell: Vec<Inline>) -> Vec<Inline> {
    if let Some(Inline::Text(text)) = cell.first_mut() {
        *text = text.trim_start().to_owned();
    }
    if let Some(Inline::Text(text)) = cell.last_mut() {
        *text = text.trim_end().to_owned();
    }
    cell.retain(|inline| !matches!(inline, Inline::Text(text) if text.is_empty()));
    cell
}
