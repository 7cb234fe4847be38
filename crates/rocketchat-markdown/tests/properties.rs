//! What holds for any text.

use proptest::prelude::*;
use rocketchat_markdown::{
    Block, Generation, Inline, Options, parse, tree_from_json, tree_to_json,
};

const TOKENS: &[&str] = &[
    "*",
    "**",
    "_",
    "__",
    "~",
    "~~",
    "`",
    "```",
    "\n",
    "\r\n",
    " ",
    "\t",
    "a",
    "Z9",
    "é",
    "日",
    "𝒜",
    ".",
    ",",
    ":",
    "(",
    ")",
    "[",
    "](",
    "](https://a.com)",
    "![",
    "<",
    ">",
    "|",
    "||",
    "\\",
    "\\(",
    "\\)",
    "\\[",
    "$",
    "- ",
    "* ",
    "1. ",
    "> ",
    "# ",
    "@",
    "@user",
    "#room",
    "- [x] ",
    "```\n",
    "\n```",
    "https://a.com",
    "b.org",
    "mailto:",
    "me@a.com",
    "+4912345",
    "😀",
    "👍🏽",
    "\u{200d}",
    "\u{fe0f}",
    ":smile:",
    ":)",
    "8)",
    "-_-",
    "color:#f00",
    "<t:1630360800:R>",
    "---",
    "|a|\n|-|-|\n",
    "a_b",
];

fn texts() -> impl Strategy<Value = String> {
    let tokens = prop::collection::vec(prop::sample::select(TOKENS), 0..40)
        .prop_map(|tokens| tokens.concat());
    prop_oneof![4 => tokens, 1 => any::<String>()]
}

fn options() -> impl Strategy<Value = Options> {
    let generation = prop_oneof![Just(Generation::V6), Just(Generation::V8_7)];
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        generation,
    )
        .prop_map(
            |(emoticons, colors, katex_parenthesis, katex_dollar, generation)| Options {
                emoticons,
                colors,
                katex_parenthesis,
                katex_dollar,
                custom_domains: vec!["intranet".to_owned()],
                generation,
            },
        )
}

/// All that the tree says, in order.
fn words(blocks: &[Block], said: &mut String) {
    for block in blocks {
        match block {
            Block::Paragraph(content)
            | Block::Heading { content, .. }
            | Block::BigEmoji(content) => {
                inline_words(content, said);
            }
            Block::LineBreak | Block::HorizontalRule => {}
            Block::Code { language, lines } => {
                said.push_str(language);
                said.extend(lines.iter().map(String::as_str));
            }
            Block::Quote(blocks) | Block::Spoiler(blocks) => words(blocks, said),
            Block::UnorderedList(items) | Block::OrderedList(items) => {
                for item in items {
                    said.extend(item.number.map(|number| number.to_string()));
                    inline_words(&item.content, said);
                }
            }
            Block::Tasks(tasks) => {
                for task in tasks {
                    said.push_str(if task.done { "x" } else { "" });
                    inline_words(&task.content, said);
                }
            }
            Block::Katex(tex) => said.push_str(tex),
            Block::Table { head, rows } => {
                for cell in head.iter().chain(rows.iter().flatten()) {
                    inline_words(cell, said);
                }
            }
        }
    }
}

fn inline_words(content: &[Inline], said: &mut String) {
    for inline in content {
        match inline {
            Inline::Bold(content)
            | Inline::Italic(content)
            | Inline::Strike(content)
            | Inline::Spoiler(content) => {
                inline_words(content, said);
            }
            Inline::Link { src, label } | Inline::Image { src, label } => {
                inline_words(label, said);
                said.push_str(src);
            }
            Inline::Text(text)
            | Inline::Code(text)
            | Inline::Katex(text)
            | Inline::MentionUser(text)
            | Inline::MentionChannel(text)
            | Inline::UnicodeEmoji(text)
            | Inline::Emoji { typed: text, .. } => said.push_str(text),
            Inline::Color(c) => {
                said.push_str(&format!(
                    "color:#{:02x}{:02x}{:02x}{:02x}",
                    c.r, c.g, c.b, c.a
                ));
            }
            Inline::Timestamp { timestamp, format } => {
                said.push_str(&format!("t{timestamp}{format}"));
            }
        }
    }
}

/// The letters and digits of `text` that are missing in `said`, which may say more and
/// in another order: links are said twice, label and address.
fn missing(text: &str, said: &str) -> Vec<char> {
    let mut left: Vec<char> = said.chars().collect();
    left.sort_unstable();
    let mut sought: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    sought.sort_unstable();
    let mut left = left.into_iter().peekable();
    sought
        .into_iter()
        .filter(|c| {
            while left.next_if(|other| other < c).is_some() {}
            left.next_if_eq(c).is_none()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_letter_is_lost(text in texts(), options in options()) {
        let mut said = String::new();
        words(&parse(&text, &options), &mut said);
        prop_assert_eq!(missing(&text, &said), Vec::<char>::new(), "{:?} became {:?}", text, said);
    }

    #[test]
    fn trees_survive_the_way_to_json_and_back(text in texts(), options in options()) {
        let blocks = parse(&text, &options);
        let json = tree_to_json(&blocks);
        prop_assert_eq!(tree_from_json(&json), Some(blocks));
    }

    #[test]
    fn a_text_always_has_blocks(text in texts(), options in options()) {
        prop_assert_eq!(parse(&text, &options).is_empty(), text.is_empty());
    }
}
