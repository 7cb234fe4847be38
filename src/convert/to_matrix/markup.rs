//! A tree of Rocket.Chat's dialect as text and HTML of Matrix.
//!
//! The HTML has only what the Matrix specification 1.11 allows ("m.room.message
//! msgtypes"), besides `data-mx-emoticon` on images, by which clients know custom
//! emoji. The plain body is what a person on Matrix would have typed: CommonMark.
//! Everything in the tree may come from somebody hostile.

use rocketchat_markdown::{Block, Color, Inline, ListItem, Task};
use ruma::RoomOrAliasId;

use super::{Directory, Rendered, moment, plain, safe};

/// How deep a tree is followed; what is deeper becomes text. Every level makes one
/// HTML element, and clients may drop what is more than 100 levels deep.
const MAX_DEPTH: usize = 64;

/// How many marks of quotes a line of the body begins with. Deeper quotes would make
/// it many times as long as it is.
const MAX_QUOTE_MARKS: usize = 8;

/// The highest number of an item that HTML and CommonMark can start a list with.
const MAX_NUMBER: u64 = 999_999_999;

/// How many empty lines in a row the HTML shows.
const MAX_EMPTY_LINES: usize = 2;

/// The longest name of a language of code, in characters.
const MAX_LANGUAGE: usize = 32;

/// Renders a message's tree. A tree of nothing but text gives exactly that text and
/// no HTML.
pub fn render(blocks: &[Block], people: &dyn Directory) -> Rendered {
    let mut renderer = Renderer {
        people,
        out: Rendered::default(),
        html: String::new(),
        formatted: false,
        after_space: true,
        in_link: false,
        in_spoiler: false,
    };
    renderer.blocks(blocks, 0);
    let Renderer {
        mut out,
        html,
        formatted,
        ..
    } = renderer;
    out.html = formatted.then_some(html);
    out
}

struct Renderer<'a> {
    people: &'a dyn Directory,
    /// Its HTML stays empty until the end.
    out: Rendered,
    html: String,
    /// Whether the HTML says more than the body.
    formatted: bool,
    /// Whether HTML would swallow a space that is written next.
    after_space: bool,
    in_link: bool,
    in_spoiler: bool,
}

impl Renderer<'_> {
    /// Text that is the same in both forms.
    fn text(&mut self, text: &str) {
        for c in safe::printable(text) {
            self.out.body.push(c);
            safe::text(c, &mut self.after_space, &mut self.html);
        }
    }

    /// Writes what the body does not say.
    fn element(&mut self, html: &str) {
        self.html.push_str(html);
        self.formatted = true;
    }

    fn blocks(&mut self, blocks: &[Block], depth: usize) {
        if depth > MAX_DEPTH {
            return self.text(&plain::text_of_blocks(blocks));
        }
        /// What stands before a block in the HTML.
        enum Before {
            Nothing,
            Line,
            Block,
        }
        let mut before = Before::Nothing;
        let mut empty_lines = 0;
        let mut after_heading = false;
        for (at, block) in blocks.iter().enumerate() {
            if matches!(block, Block::LineBreak) {
                // Rocket.Chat's parser counts the end of a heading's line, when an
                // empty one follows, as an empty line too.
                if !std::mem::take(&mut after_heading) {
                    empty_lines += 1;
                    self.out.body.push_str(if at == 0 { "" } else { "\n" });
                }
                continue;
            }
            if at > 0 {
                self.out.body.push('\n');
            }
            self.after_space = true;
            after_heading = matches!(block, Block::Heading { .. })
                && matches!(
                    blocks.get(at + 1..at + 3),
                    Some([Block::LineBreak, Block::LineBreak])
                );
            if let Block::Paragraph(content) | Block::BigEmoji(content) = block {
                if matches!(before, Before::Line) {
                    self.html.push_str("<br>");
                    self.html
                        .push_str(&"<br>".repeat(empty_lines.min(MAX_EMPTY_LINES)));
                }
                self.inlines(content, depth + 1);
                before = Before::Line;
            } else {
                // Blocks keep their distance themselves.
                self.formatted = true;
                self.block(block, depth);
                before = Before::Block;
            }
            empty_lines = 0;
        }
    }

    fn block(&mut self, block: &Block, depth: usize) {
        match block {
            Block::Paragraph(_) | Block::BigEmoji(_) | Block::LineBreak => {}
            Block::Code { language, lines } => self.code_block(language, lines),
            Block::Heading { level, content } => {
                let level = usize::from((*level).clamp(1, 4));
                self.out.body.push_str(&"#".repeat(level));
                self.out.body.push(' ');
                self.html.push_str(&format!("<h{level}>"));
                self.inlines(content, depth + 1);
                self.html.push_str(&format!("</h{level}>"));
            }
            Block::Quote(blocks) => {
                let start = self.out.body.len();
                self.html.push_str("<blockquote>");
                self.blocks(blocks, depth + 1);
                self.html.push_str("</blockquote>");
                if depth >= MAX_QUOTE_MARKS {
                    return;
                }
                let quoted = self.out.body.split_off(start);
                for (at, line) in quoted.split('\n').enumerate() {
                    let mark = if at == 0 { "> " } else { "\n> " };
                    self.out.body.push_str(mark);
                    self.out.body.push_str(line);
                }
            }
            Block::UnorderedList(items) => {
                self.html.push_str("<ul>");
                for (at, item) in items.iter().enumerate() {
                    self.item(at, "- ", &item.content, depth);
                }
                self.html.push_str("</ul>");
            }
            Block::OrderedList(items) => self.ordered_list(items, depth),
            Block::Tasks(tasks) => self.tasks(tasks, depth),
            Block::Katex(tex) => self.formula(tex, "div", "$$"),
            Block::Spoiler(blocks) => {
                self.out.body.push_str("||\n");
                let outermost = !std::mem::replace(&mut self.in_spoiler, true);
                self.html.push_str(if outermost {
                    "<span data-mx-spoiler>"
                } else {
                    ""
                });
                self.blocks(blocks, depth + 1);
                self.html.push_str(if outermost { "</span>" } else { "" });
                self.in_spoiler = !outermost;
                self.out.body.push_str("\n||");
            }
            Block::HorizontalRule => {
                self.out.body.push_str("---");
                self.html.push_str("<hr>");
            }
            Block::Table { head, rows } => self.table(head, rows, depth),
        }
    }

    fn code_block(&mut self, language: &str, lines: &[String]) {
        let language = if language == "none" { "" } else { language };
        let class: String = language
            .split_whitespace()
            .next()
            .unwrap_or("")
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-'))
            .take(MAX_LANGUAGE)
            .collect();
        let longest = lines.iter().map(|line| longest_run(line, '`')).max();
        let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
        let info: String = safe::printable(language)
            .filter(|c| !matches!(c, '`' | '\n'))
            .collect();
        self.out.body.push_str(&format!("{fence}{info}\n"));
        self.html.push_str("<pre><code");
        if !class.is_empty() {
            self.html.push_str(&format!(" class=\"language-{class}\""));
        }
        self.html.push('>');
        for line in lines {
            for c in safe::printable(line).chain(['\n']) {
                self.out.body.push(c);
                safe::escape(c, &mut self.html);
            }
        }
        self.html.push_str("</code></pre>");
        self.out.body.push_str(&fence);
    }

    fn item(&mut self, at: usize, mark: &str, content: &[Inline], depth: usize) {
        if at > 0 {
            self.out.body.push('\n');
        }
        self.out.body.push_str(mark);
        self.html.push_str("<li>");
        self.after_space = true;
        self.inlines(content, depth + 1);
        self.html.push_str("</li>");
    }

    /// Numbers are those that were written. HTML counts by itself, so a list whose
    /// numbers jump is several lists.
    fn ordered_list(&mut self, items: &[ListItem], depth: usize) {
        let mut next = None;
        for (at, item) in items.iter().enumerate() {
            let number = item.number.or(next).unwrap_or(1);
            if number > MAX_NUMBER {
                if next.take().is_some() {
                    self.html.push_str("</ol>");
                } else if at > 0 {
                    self.html.push_str("<br>");
                }
                if at > 0 {
                    self.out.body.push('\n');
                }
                self.after_space = true;
                self.text(&format!("{number}. "));
                self.inlines(&item.content, depth + 1);
                continue;
            }
            if next != Some(number) {
                if next.is_some() {
                    self.html.push_str("</ol>");
                }
                self.html.push_str(&match number {
                    1 => "<ol>".to_owned(),
                    number => format!("<ol start=\"{number}\">"),
                });
            }
            self.item(at, &format!("{number}. "), &item.content, depth);
            next = Some(number + 1);
        }
        if next.is_some() {
            self.html.push_str("</ol>");
        }
    }

    fn tasks(&mut self, tasks: &[Task], depth: usize) {
        self.html.push_str("<ul>");
        for (at, task) in tasks.iter().enumerate() {
            let (mark, sign) = match task.done {
                true => ("- [x] ", "☑ "),
                false => ("- [ ] ", "☐ "),
            };
            if at > 0 {
                self.out.body.push('\n');
            }
            self.out.body.push_str(mark);
            self.html.push_str(&format!("<li>{sign}"));
            self.after_space = true;
            self.inlines(&task.content, depth + 1);
            self.html.push_str("</li>");
        }
        self.html.push_str("</ul>");
    }

    fn table(&mut self, head: &[Vec<Inline>], rows: &[Vec<Vec<Inline>>], depth: usize) {
        self.html.push_str("<table>");
        if !head.is_empty() {
            self.html.push_str("<thead>");
            self.row(head, "th", depth);
            self.html.push_str("</thead>");
            self.out.body.push_str("\n|");
            self.out.body.push_str(&" --- |".repeat(head.len()));
        }
        if !rows.is_empty() {
            self.html.push_str("<tbody>");
            for (at, row) in rows.iter().enumerate() {
                if at > 0 || !head.is_empty() {
                    self.out.body.push('\n');
                }
                self.row(row, "td", depth);
            }
            self.html.push_str("</tbody>");
        }
        self.html.push_str("</table>");
    }

    fn row(&mut self, cells: &[Vec<Inline>], tag: &str, depth: usize) {
        self.html.push_str("<tr>");
        self.out.body.push('|');
        for cell in cells {
            self.html.push_str(&format!("<{tag}>"));
            self.out.body.push(' ');
            self.after_space = true;
            let start = self.out.body.len();
            self.inlines(cell, depth + 1);
            let content = self.out.body.split_off(start);
            self.out.body.push_str(&content.replace('\n', " "));
            self.out.body.push_str(" |");
            self.html.push_str(&format!("</{tag}>"));
        }
        self.html.push_str("</tr>");
    }

    fn inlines(&mut self, inlines: &[Inline], depth: usize) {
        if depth > MAX_DEPTH {
            return self.text(&plain::text_of_inlines(inlines));
        }
        for inline in inlines {
            self.inline(inline, depth);
        }
    }

    fn inline(&mut self, inline: &Inline, depth: usize) {
        match inline {
            Inline::Text(text) => self.text(text),
            Inline::Bold(content) => self.styled("**", "strong", content, depth),
            Inline::Italic(content) => self.styled("*", "em", content, depth),
            Inline::Strike(content) => self.styled("~~", "del", content, depth),
            Inline::Spoiler(content) => {
                self.out.body.push_str("||");
                let outermost = !std::mem::replace(&mut self.in_spoiler, true);
                self.element(if outermost {
                    "<span data-mx-spoiler>"
                } else {
                    ""
                });
                self.inlines(content, depth + 1);
                self.html.push_str(if outermost { "</span>" } else { "" });
                self.in_spoiler = !outermost;
                self.out.body.push_str("||");
            }
            Inline::Code(code) => self.code(code),
            Inline::Link { src, label } | Inline::Image { src, label } => {
                self.link(src, label, depth);
            }
            Inline::MentionUser(username) => self.user(username),
            Inline::MentionChannel(name) => self.channel(name),
            Inline::Emoji { short_code, typed } => self.emoji(short_code, typed),
            Inline::UnicodeEmoji(emoji) => self.text(emoji),
            Inline::Color(color) => self.color(*color),
            Inline::Katex(tex) => self.formula(tex, "span", "$"),
            Inline::Timestamp { timestamp, format } => match moment::in_words(timestamp, format) {
                Some(words) => self.text(&words),
                None => self.text(&format!("<t:{timestamp}:{format}>")),
            },
        }
    }

    fn styled(&mut self, mark: &str, tag: &str, content: &[Inline], depth: usize) {
        self.out.body.push_str(mark);
        self.element(&format!("<{tag}>"));
        self.inlines(content, depth + 1);
        self.html.push_str(&format!("</{tag}>"));
        self.out.body.push_str(mark);
    }

    fn code(&mut self, code: &str) {
        let backticks = longest_run(code, '`');
        let fence = "`".repeat(backticks + 1);
        let pad = if backticks > 0 { " " } else { "" };
        self.out.body.push_str(&fence);
        self.out.body.push_str(pad);
        self.element("<code>");
        for c in safe::printable(code) {
            self.out.body.push(c);
            safe::escape(c, &mut self.html);
        }
        self.html.push_str("</code>");
        self.out.body.push_str(pad);
        self.out.body.push_str(&fence);
        self.after_space = false;
    }

    /// A formula; what cannot show one shows it as code.
    fn formula(&mut self, tex: &str, tag: &str, mark: &str) {
        let html = safe::attribute(tex);
        self.element(&format!(
            "<{tag} data-mx-maths=\"{html}\"><code>{html}</code></{tag}>"
        ));
        self.out.body.push_str(mark);
        self.out.body.extend(safe::printable(tex));
        self.out.body.push_str(mark);
        self.after_space = false;
    }

    fn color(&mut self, Color { r, g, b, a }: Color) {
        let hex = format!("#{r:02x}{g:02x}{b:02x}");
        self.element(&format!("<span data-mx-color=\"{hex}\">■</span> "));
        self.after_space = true;
        self.text(&hex);
        if a != u8::MAX {
            self.text(&format!("{a:02x}"));
        }
    }

    /// A link; what Matrix takes for none is told as text: `label (address)`.
    /// Links do not nest in HTML: in a link's label another one is text.
    fn link(&mut self, src: &str, label: &[Inline], depth: usize) {
        let address = safe::address(src).filter(|_| !self.in_link);
        let outer_body = std::mem::take(&mut self.out.body);
        let outer_html = std::mem::take(&mut self.html);
        let outer_formatted = std::mem::take(&mut self.formatted);
        let outer_in_link = self.in_link;
        self.in_link |= address.is_some();
        let space_before = self.after_space;
        self.inlines(label, depth + 1);
        self.in_link = outer_in_link;
        let said = std::mem::replace(&mut self.out.body, outer_body);
        let said_html = std::mem::replace(&mut self.html, outer_html);
        let styled = std::mem::replace(&mut self.formatted, outer_formatted);
        let blank = safe::is_blank(&said);
        if blank {
            self.after_space = space_before;
        }
        let Some(address) = address else {
            if blank {
                return self.text(src);
            }
            self.out.body.push_str(&said);
            self.html.push_str(&said_html);
            self.formatted |= styled;
            if !src.is_empty() && !safe::says_the_same(&said, src) {
                self.text(&format!(" ({src})"));
            }
            return;
        };
        self.html
            .push_str(&format!("<a href=\"{}\">", safe::attribute(&address)));
        if blank {
            // Nothing that one could see or follow.
            self.text(&address);
        } else {
            self.html.push_str(&said_html);
            // Clients find addresses with a scheme by themselves.
            self.formatted |= said != address;
            if !styled && (said == address || safe::says_the_same(&said, src)) {
                self.out.body.push_str(&said);
            } else {
                self.out.body.push_str(&format!("[{said}]({address})"));
            }
        }
        self.html.push_str("</a>");
    }

    fn user(&mut self, username: &str) {
        if matches!(username, "all" | "here") && self.people.calls_everybody(username) {
            self.out.mentions_room = true;
            return self.text("@room");
        }
        let Some(person) = self.people.user(username) else {
            return self.text(&format!("@{username}"));
        };
        let name = match safe::name(&person.name) {
            name if name.is_empty() => person.user_id.to_string(),
            name => name,
        };
        let address = person.user_id.matrix_to_uri().to_string();
        self.pill(&address, &name);
        self.out.mention(person.user_id);
    }

    fn channel(&mut self, name: &str) {
        let Some(channel) = self.people.channel(name) else {
            return self.text(&format!("#{name}"));
        };
        let shown = match safe::name(&channel.name) {
            shown if shown.is_empty() => name.to_owned(),
            shown => shown,
        };
        let address = address_of_room(&channel.alias_or_id, channel.via);
        self.pill(&address, &format!("#{shown}"));
    }

    fn pill(&mut self, address: &str, text: &str) {
        if self.in_link {
            return self.text(text);
        }
        self.element(&format!("<a href=\"{}\">", safe::attribute(address)));
        self.text(text);
        self.html.push_str("</a>");
    }

    fn emoji(&mut self, short_code: &str, typed: &str) {
        if let Some(emoji) = self.people.emoji(short_code) {
            return self.text(&emoji);
        }
        let custom = self.people.custom_emoji(short_code);
        match custom.filter(|address| address.is_valid()) {
            Some(address) => {
                let code = format!(":{short_code}:");
                let name = safe::attribute(&code);
                let src = safe::attribute(address.as_str());
                self.element(&format!(
                    "<img data-mx-emoticon src=\"{src}\" alt=\"{name}\" title=\"{name}\" height=\"32\">"
                ));
                self.out.body.extend(safe::printable(&code));
                self.after_space = false;
            }
            None if typed == short_code => self.text(&format!(":{short_code}:")),
            None => self.text(typed),
        }
    }
}

fn address_of_room(room: &RoomOrAliasId, via: Vec<ruma::OwnedServerName>) -> String {
    match <&ruma::RoomId>::try_from(room) {
        Ok(id) => id.matrix_to_uri_via(via).to_string(),
        Err(alias) => alias.matrix_to_uri().to_string(),
    }
}

/// The length of the longest run of a character.
fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
