//! What holds for every tree.

use proptest::prelude::*;
use rocketchat_markdown::{Block, Color, Inline, ListItem, Task};
use ruma::OwnedMxcUri;

use super::super::testing::{Town, disallowed_in};
use super::super::{Channel, Directory, Person};
use super::render;

fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| c.is_alphanumeric())
}

/// Whether the letters of one text are in another, in order.
fn keeps_letters(part: &str, whole: &str) -> bool {
    let mut whole = letters(whole);
    letters(part).all(|wanted| whole.any(|c| c == wanted))
}

/// What was typed in a line, but for addresses and what is said in other words.
fn typed_in_line(line: &[Inline], typed: &mut String) {
    for inline in line {
        match inline {
            Inline::Text(text)
            | Inline::Code(text)
            | Inline::Katex(text)
            | Inline::UnicodeEmoji(text)
            | Inline::MentionUser(text)
            | Inline::MentionChannel(text)
            | Inline::Emoji { typed: text, .. } => typed.push_str(text),
            Inline::Bold(content)
            | Inline::Italic(content)
            | Inline::Strike(content)
            | Inline::Spoiler(content)
            | Inline::Link { label: content, .. }
            | Inline::Image { label: content, .. } => typed_in_line(content, typed),
            Inline::Color(_) | Inline::Timestamp { .. } => {}
        }
    }
}

fn typed_in(blocks: &[Block], typed: &mut String) {
    for block in blocks {
        match block {
            Block::Paragraph(line)
            | Block::BigEmoji(line)
            | Block::Heading { content: line, .. } => {
                typed_in_line(line, typed);
            }
            Block::Code { lines, .. } => typed.push_str(&lines.concat()),
            Block::Quote(blocks) | Block::Spoiler(blocks) => typed_in(blocks, typed),
            Block::UnorderedList(items) | Block::OrderedList(items) => {
                items
                    .iter()
                    .for_each(|item| typed_in_line(&item.content, typed));
            }
            Block::Tasks(tasks) => {
                tasks
                    .iter()
                    .for_each(|task| typed_in_line(&task.content, typed));
            }
            Block::Katex(tex) => typed.push_str(tex),
            Block::Table { head, rows } => {
                let cells = head.iter().chain(rows.iter().flatten());
                cells.for_each(|cell| typed_in_line(cell, typed));
            }
            Block::LineBreak | Block::HorizontalRule => {}
        }
    }
}

/// Knows nothing.
struct Nobody;

impl Directory for Nobody {
    fn user(&self, _: &str) -> Option<Person> {
        None
    }

    fn calls_everybody(&self, _: &str) -> bool {
        false
    }

    fn channel(&self, _: &str) -> Option<Channel> {
        None
    }

    fn custom_emoji(&self, _: &str) -> Option<OwnedMxcUri> {
        None
    }

    fn emoji(&self, _: &str) -> Option<String> {
        None
    }
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z <>&\"'`*_\\[\\]()@#\n\u{0}\u{202e}]{0,12}",
        "\\PC{0,6}",
        Just("</a></code></span>".to_owned()),
        Just("<script>alert(1)</script>".to_owned()),
        Just("<!-- ".to_owned()),
        Just("&lt;img onerror=x&gt;".to_owned()),
        Just("\" onclick=\"x".to_owned()),
    ]
}

fn address() -> impl Strategy<Value = String> {
    let start = prop_oneof![
        Just("https://a.com/"),
        Just("HtTp://a.com/"),
        Just("//"),
        Just("javascript:"),
        Just(" java\nscript:"),
        Just("data:text/html,"),
        Just("mailto:"),
        Just("tel:"),
        Just(""),
    ];
    (start, hostile_text()).prop_map(|(start, rest)| format!("{start}{rest}"))
}

fn inline() -> impl Strategy<Value = Inline> {
    let leaf = prop_oneof![
        4 => hostile_text().prop_map(Inline::Text),
        1 => hostile_text().prop_map(Inline::Code),
        1 => hostile_text().prop_map(Inline::Katex),
        1 => hostile_text().prop_map(Inline::MentionUser),
        1 => Just(Inline::MentionUser("html".to_owned())),
        1 => hostile_text().prop_map(Inline::MentionChannel),
        1 => Just(Inline::MentionChannel("secret".to_owned())),
        1 => hostile_text().prop_map(Inline::UnicodeEmoji),
        1 => prop_oneof![hostile_text(), Just("parrot".to_owned()), Just("broken".to_owned())]
            .prop_map(|typed| Inline::Emoji { short_code: typed.clone(), typed }),
        1 => any::<[u8; 4]>().prop_map(|[r, g, b, a]| Inline::Color(Color { r, g, b, a })),
        1 => (hostile_text(), hostile_text())
            .prop_map(|(timestamp, format)| Inline::Timestamp { timestamp, format }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let content = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            content().prop_map(Inline::Bold),
            content().prop_map(Inline::Italic),
            content().prop_map(Inline::Strike),
            content().prop_map(Inline::Spoiler),
            (address(), content()).prop_map(|(src, label)| Inline::Link { src, label }),
            (address(), content()).prop_map(|(src, label)| Inline::Image { src, label }),
        ]
    })
}

fn line() -> impl Strategy<Value = Vec<Inline>> {
    prop::collection::vec(inline(), 0..4)
}

fn block() -> impl Strategy<Value = Block> {
    let item = || {
        (prop::option::of(any::<u64>()), line())
            .prop_map(|(number, content)| ListItem { number, content })
    };
    let leaf = prop_oneof![
        4 => line().prop_map(Block::Paragraph),
        1 => Just(Block::LineBreak),
        1 => Just(Block::HorizontalRule),
        1 => (hostile_text(), prop::collection::vec(hostile_text(), 0..3))
            .prop_map(|(language, lines)| Block::Code { language, lines }),
        1 => (any::<u8>(), line()).prop_map(|(level, content)| Block::Heading { level, content }),
        1 => prop::collection::vec(item(), 0..3).prop_map(Block::UnorderedList),
        1 => prop::collection::vec(item(), 0..3).prop_map(Block::OrderedList),
        1 => prop::collection::vec((any::<bool>(), line()), 0..3).prop_map(|tasks| {
            let task = |(done, content)| Task { done, content };
            Block::Tasks(tasks.into_iter().map(task).collect())
        }),
        1 => hostile_text().prop_map(Block::Katex),
        1 => line().prop_map(Block::BigEmoji),
        1 => (
            prop::collection::vec(line(), 0..3),
            prop::collection::vec(prop::collection::vec(line(), 0..3), 0..3),
        )
            .prop_map(|(head, rows)| Block::Table { head, rows }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let content = || prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            content().prop_map(Block::Quote),
            content().prop_map(Block::Spoiler),
        ]
    })
}

proptest! {
    #[test]
    fn html_is_what_matrix_allows(blocks in prop::collection::vec(block(), 0..4)) {
        let rendered = render(&blocks, &Town);
        let html = rendered.html.unwrap_or_default();
        prop_assert_eq!(disallowed_in(&html), None, "{}", html);
    }

    #[test]
    fn no_words_are_lost(blocks in prop::collection::vec(block(), 0..4)) {
        let rendered = render(&blocks, &Nobody);
        let mut typed = String::new();
        typed_in(&blocks, &mut typed);
        prop_assert!(keeps_letters(&typed, &rendered.body), "{typed:?} in {:?}", rendered.body);
    }
}
