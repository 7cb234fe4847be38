//! The tree as servers store it.

use serde_json::{Value, json};

use crate::tree::{Block, Color, Inline, ListItem, Task};

/// How deep a tree from a server may be nested.
const DEEPEST: usize = 64;
/// How many nodes a tree from a server may have.
const MOST_NODES: usize = 200_000;

/// Reads what a server has stored in `md`. Anything unknown or malformed, wherever it
/// is, makes it `None`, and so do more than 64 levels or 200 000 nodes: then the text
/// is to be parsed instead.
pub fn tree_from_json(value: &Value) -> Option<Vec<Block>> {
    Reader {
        nodes_left: MOST_NODES,
    }
    .blocks(value, DEEPEST)
}

/// Counts down what is left of the bounds.
struct Reader {
    nodes_left: usize,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The text of a `PLAIN_TEXT`.
fn plain(value: &Value) -> Option<String> {
    (value.get("type")? == "PLAIN_TEXT").then(|| text(value.get("value")?))?
}

fn byte(value: Option<&Value>) -> Option<u8> {
    u8::try_from(value?.as_u64()?).ok()
}

impl Reader {
    fn list<T>(
        &mut self,
        value: &Value,
        depth: usize,
        mut read: impl FnMut(&mut Self, &Value, usize) -> Option<T>,
    ) -> Option<Vec<T>> {
        let depth = depth.checked_sub(1)?;
        let values = value.as_array()?;
        self.nodes_left = self.nodes_left.checked_sub(values.len())?;
        values
            .iter()
            .map(|value| read(self, value, depth))
            .collect()
    }

    fn blocks(&mut self, value: &Value, depth: usize) -> Option<Vec<Block>> {
        self.list(value, depth, Self::block)
    }

    fn inlines(&mut self, value: &Value, depth: usize) -> Option<Vec<Inline>> {
        self.list(value, depth, Self::inline)
    }

    fn block(&mut self, node: &Value, depth: usize) -> Option<Block> {
        let value = node.get("value").unwrap_or(&Value::Null);
        Some(match node.get("type")?.as_str()? {
            "PARAGRAPH" => Block::Paragraph(self.inlines(value, depth)?),
            "LINE_BREAK" => Block::LineBreak,
            "HORIZONTAL_RULE" => Block::HorizontalRule,
            "CODE" => Block::Code {
                language: text(node.get("language")?)?,
                lines: self.list(value, depth, |_, line, _| {
                    (line.get("type")? == "CODE_LINE").then(|| plain(line.get("value")?))?
                })?,
            },
            "HEADING" => Block::Heading {
                level: byte(node.get("level")).filter(|level| (1..=4).contains(level))?,
                content: self.inlines(value, depth)?,
            },
            "QUOTE" => Block::Quote(self.blocks(value, depth)?),
            "SPOILER_BLOCK" => Block::Spoiler(self.blocks(value, depth)?),
            "UNORDERED_LIST" => Block::UnorderedList(self.list(value, depth, Self::list_item)?),
            "ORDERED_LIST" => Block::OrderedList(self.list(value, depth, Self::list_item)?),
            "TASKS" => Block::Tasks(self.list(value, depth, |reader, task, depth| {
                (task.get("type")? == "TASK").then_some(())?;
                Some(Task {
                    done: task.get("status")?.as_bool()?,
                    content: reader.inlines(task.get("value")?, depth)?,
                })
            })?),
            "KATEX" => Block::Katex(text(value)?),
            "BIG_EMOJI" => Block::BigEmoji(self.list(value, depth, |_, node, _| emoji(node))?),
            "TABLE" => Block::Table {
                head: self.list(value.get("header")?, depth, Self::cell)?,
                rows: self.list(value.get("rows")?, depth, |reader, row, depth| {
                    (row.get("type")? == "TABLE_ROW").then_some(())?;
                    reader.list(row.get("value")?, depth, Self::cell)
                })?,
            },
            _ => return None,
        })
    }

    fn list_item(&mut self, item: &Value, depth: usize) -> Option<ListItem> {
        (item.get("type")? == "LIST_ITEM").then_some(())?;
        let number = match item.get("number") {
            None => None,
            Some(number) => Some(whole_number(number)?),
        };
        Some(ListItem {
            number,
            content: self.inlines(item.get("value")?, depth)?,
        })
    }

    fn cell(&mut self, cell: &Value, depth: usize) -> Option<Vec<Inline>> {
        (cell.get("type")? == "TABLE_CELL").then(|| self.inlines(cell.get("value")?, depth))?
    }

    fn inline(&mut self, node: &Value, depth: usize) -> Option<Inline> {
        let value = node.get("value").unwrap_or(&Value::Null);
        Some(match node.get("type")?.as_str()? {
            "PLAIN_TEXT" => Inline::Text(text(value)?),
            "BOLD" => Inline::Bold(self.inlines(value, depth)?),
            "ITALIC" => Inline::Italic(self.inlines(value, depth)?),
            "STRIKE" => Inline::Strike(self.inlines(value, depth)?),
            "SPOILER" => Inline::Spoiler(self.inlines(value, depth)?),
            "INLINE_CODE" => Inline::Code(plain(value)?),
            "INLINE_KATEX" => Inline::Katex(text(value)?),
            "LINK" => Inline::Link {
                src: plain(value.get("src")?)?,
                label: self.label(value.get("label")?, depth)?,
            },
            "IMAGE" => Inline::Image {
                src: plain(value.get("src")?)?,
                label: self.label(value.get("label")?, depth)?,
            },
            "MENTION_USER" => Inline::MentionUser(plain(value)?),
            "MENTION_CHANNEL" => Inline::MentionChannel(plain(value)?),
            "EMOJI" => emoji(node)?,
            "COLOR" => Inline::Color(Color {
                r: byte(value.get("r"))?,
                g: byte(value.get("g"))?,
                b: byte(value.get("b"))?,
                a: byte(value.get("a"))?,
            }),
            "TIMESTAMP" => Inline::Timestamp {
                timestamp: text(value.get("timestamp")?).filter(|digits| {
                    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'-')
                })?,
                format: text(value.get("format")?).filter(|format| {
                    ["t", "T", "d", "D", "f", "F", "R"].contains(&format.as_str())
                })?,
            },
            _ => return None,
        })
    }

    /// One inline, or several.
    fn label(&mut self, value: &Value, depth: usize) -> Option<Vec<Inline>> {
        if value.is_array() {
            return self.inlines(value, depth);
        }
        self.nodes_left = self.nodes_left.checked_sub(1)?;
        Some(vec![self.inline(value, depth.checked_sub(1)?)?])
    }
}

fn emoji(node: &Value) -> Option<Inline> {
    (node.get("type")? == "EMOJI").then_some(())?;
    if let Some(unicode) = node.get("unicode") {
        return Some(Inline::UnicodeEmoji(text(unicode)?));
    }
    Some(Inline::Emoji {
        short_code: text(node.get("shortCode")?)?,
        typed: plain(node.get("value")?)?,
    })
}

/// A number that servers write may be too large for an integer of theirs.
fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
    })
}

/// The form in which a server stores a tree.
pub fn tree_to_json(blocks: &[Block]) -> Value {
    blocks.iter().map(block_to_json).collect()
}

fn node(kind: &str, value: Value) -> Value {
    json!({ "type": kind, "value": value })
}

fn plain_to_json(text: &str) -> Value {
    node("PLAIN_TEXT", text.into())
}

fn inlines_to_json(inlines: &[Inline]) -> Value {
    inlines.iter().map(inline_to_json).collect()
}

fn cells_to_json(cells: &[Vec<Inline>]) -> Value {
    cells
        .iter()
        .map(|cell| node("TABLE_CELL", inlines_to_json(cell)))
        .collect()
}

fn items_to_json(items: &[ListItem]) -> Value {
    items
        .iter()
        .map(|item| {
            let mut node = node("LIST_ITEM", inlines_to_json(&item.content));
            if let Some(number) = item.number {
                node["number"] = number.into();
            }
            node
        })
        .collect()
}

fn block_to_json(block: &Block) -> Value {
    match block {
        Block::Paragraph(content) => node("PARAGRAPH", inlines_to_json(content)),
        Block::LineBreak => json!({ "type": "LINE_BREAK" }),
        Block::HorizontalRule => json!({ "type": "HORIZONTAL_RULE" }),
        Block::Code { language, lines } => json!({
            "type": "CODE",
            "language": language,
            "value": lines.iter().map(|line| node("CODE_LINE", plain_to_json(line))).collect::<Value>(),
        }),
        Block::Heading { level, content } => {
            json!({ "type": "HEADING", "level": level, "value": inlines_to_json(content) })
        }
        Block::Quote(blocks) => node("QUOTE", tree_to_json(blocks)),
        Block::Spoiler(blocks) => node("SPOILER_BLOCK", tree_to_json(blocks)),
        Block::UnorderedList(items) => node("UNORDERED_LIST", items_to_json(items)),
        Block::OrderedList(items) => node("ORDERED_LIST", items_to_json(items)),
        Block::Tasks(tasks) => node(
            "TASKS",
            tasks
                .iter()
                .map(|task| json!({ "type": "TASK", "status": task.done, "value": inlines_to_json(&task.content) }))
                .collect(),
        ),
        Block::Katex(tex) => node("KATEX", tex.as_str().into()),
        Block::BigEmoji(emoji) => node("BIG_EMOJI", inlines_to_json(emoji)),
        Block::Table { head, rows } => node(
            "TABLE",
            json!({
                "header": cells_to_json(head),
                "rows": rows.iter().map(|row| node("TABLE_ROW", cells_to_json(row))).collect::<Value>(),
            }),
        ),
    }
}

fn inline_to_json(inline: &Inline) -> Value {
    match inline {
        Inline::Text(text) => plain_to_json(text),
        Inline::Bold(content) => node("BOLD", inlines_to_json(content)),
        Inline::Italic(content) => node("ITALIC", inlines_to_json(content)),
        Inline::Strike(content) => node("STRIKE", inlines_to_json(content)),
        Inline::Spoiler(content) => node("SPOILER", inlines_to_json(content)),
        Inline::Code(code) => node("INLINE_CODE", plain_to_json(code)),
        Inline::Katex(tex) => node("INLINE_KATEX", tex.as_str().into()),
        Inline::Link { src, label } => node(
            "LINK",
            json!({ "src": plain_to_json(src), "label": inlines_to_json(label) }),
        ),
        // The alternative text is no list, unlike a link's label.
        Inline::Image { src, label } => {
            let label = label
                .first()
                .map_or_else(|| plain_to_json(""), inline_to_json);
            node(
                "IMAGE",
                json!({ "src": plain_to_json(src), "label": label }),
            )
        }
        Inline::MentionUser(name) => node("MENTION_USER", plain_to_json(name)),
        Inline::MentionChannel(name) => node("MENTION_CHANNEL", plain_to_json(name)),
        Inline::Emoji { short_code, typed } => {
            json!({ "type": "EMOJI", "value": plain_to_json(typed), "shortCode": short_code })
        }
        Inline::UnicodeEmoji(emoji) => json!({ "type": "EMOJI", "unicode": emoji }),
        Inline::Color(color) => node(
            "COLOR",
            json!({ "r": color.r, "g": color.g, "b": color.b, "a": color.a }),
        ),
        Inline::Timestamp { timestamp, format } => json!({
            "type": "TIMESTAMP",
            "value": { "timestamp": timestamp, "format": format },
            "fallback": plain_to_json(&format!("<t:{timestamp}:{format}>")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_unknown_or_malformed_spoils_the_tree() {
        let text = json!({ "type": "PLAIN_TEXT", "value": "x" });
        for broken in [
            json!({}),
            json!(null),
            json!([{}]),
            json!([{ "type": "PARAGRAPH" }]),
            json!([{ "type": "PARAGRAPH", "value": "x" }]),
            json!([{ "type": "NEW_BLOCK", "value": [] }]),
            json!([{ "type": "PARAGRAPH", "value": [text, { "type": "NEW_INLINE", "value": "x" }] }]),
            json!([{ "type": "PARAGRAPH", "value": [{ "type": "PLAIN_TEXT", "value": 1 }] }]),
            json!([{ "type": "HEADING", "level": 5, "value": [text] }]),
            json!([{ "type": "CODE", "language": "none", "value": [text] }]),
            json!([{ "type": "ORDERED_LIST", "value": [{ "type": "LIST_ITEM", "number": -1, "value": [] }] }]),
            json!([{ "type": "TASKS", "value": [{ "type": "TASK", "value": [] }] }]),
            json!([{ "type": "PARAGRAPH", "value": [{ "type": "COLOR", "value": { "r": 256, "g": 0, "b": 0, "a": 0 } }] }]),
            json!([{ "type": "PARAGRAPH", "value": [{ "type": "LINK", "value": { "label": [] } }] }]),
            json!([{ "type": "PARAGRAPH", "value": [{ "type": "TIMESTAMP", "value": { "timestamp": "x", "format": "t" } }] }]),
            json!([{ "type": "BIG_EMOJI", "value": [text] }]),
        ] {
            assert_eq!(tree_from_json(&broken), None, "{broken}");
        }
    }

    #[test]
    fn depth_and_number_of_nodes_are_bounded() {
        let nested = |depth: usize| {
            let mut node = json!({ "type": "PLAIN_TEXT", "value": "x" });
            for _ in 0..depth {
                node = json!({ "type": "BOLD", "value": [node] });
            }
            json!([{ "type": "PARAGRAPH", "value": [node] }])
        };
        assert!(tree_from_json(&nested(DEEPEST - 2)).is_some());
        assert_eq!(tree_from_json(&nested(DEEPEST - 1)), None);

        let breaks = |count: usize| Value::from(vec![json!({ "type": "LINE_BREAK" }); count]);
        assert!(tree_from_json(&breaks(MOST_NODES)).is_some());
        assert_eq!(tree_from_json(&breaks(MOST_NODES + 1)), None);
    }
}
