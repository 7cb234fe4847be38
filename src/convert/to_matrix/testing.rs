//! Help for the tests here: trees by hand, people to mention, and a reader of HTML
//! that is not ours.
#![allow(clippy::unwrap_used)]

use rocketchat_markdown::{Block, Inline};
use ruma::html::{Html, ListBehavior, NodeRef, PropertiesNames, SanitizerConfig};
use ruma::{OwnedMxcUri, user_id};

use super::{Channel, Directory, Person};

/// Knows `alice`, some hostile people, `#general`, `:smile:` and `:parrot:`; `@all`
/// calls everybody, `@here` does not.
pub(super) struct Town;

impl Directory for Town {
    fn user(&self, username: &str) -> Option<Person> {
        let name = match username {
            "alice" => "Alice Liddell",
            "html" => "</a><b onclick=\"x\">'&",
            "turned" => "\u{202e}ecila\u{0}\n",
            "nameless" => "\u{200b}",
            "pretender" => "@room @bob",
            _ => return None,
        };
        let user_id = match username {
            "alice" => user_id!("@rc_alice:example.org").to_owned(),
            "html" => user_id!("@rc_a/\"<b>&?#:example.org").to_owned(),
            other => format!("@rc_{other}:example.org").try_into().ok()?,
        };
        Some(Person {
            user_id,
            name: name.to_owned(),
        })
    }

    fn calls_everybody(&self, name: &str) -> bool {
        name == "all"
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        let (alias_or_id, via) = match name {
            "general" => ("#rc_general:example.org", vec![]),
            "secret" => ("!abc:example.org", vec!["example.org".try_into().ok()?]),
            _ => return None,
        };
        Some(Channel {
            alias_or_id: alias_or_id.try_into().ok()?,
            via,
            name: format!("{name} <talk>"),
        })
    }

    fn custom_emoji(&self, short_code: &str) -> Option<OwnedMxcUri> {
        match short_code {
            "parrot" => Some("mxc://example.org/parrot".into()),
            "broken" => Some("https://example.org/\"><script>".into()),
            _ => None,
        }
    }

    fn emoji(&self, short_code: &str) -> Option<String> {
        let emoji = match short_code {
            "smile" => "😄",
            "slight_smile" => "🙂",
            _ => return None,
        };
        Some(emoji.to_owned())
    }
}

pub(super) fn text(text: &str) -> Inline {
    Inline::Text(text.to_owned())
}

pub(super) fn bold(content: &str) -> Inline {
    Inline::Bold(vec![text(content)])
}

pub(super) fn link(src: &str, label: &str) -> Inline {
    Inline::Link {
        src: src.to_owned(),
        label: vec![text(label)],
    }
}

pub(super) fn at(name: &str) -> Inline {
    Inline::MentionUser(name.to_owned())
}

pub(super) fn emoji(short_code: &str, typed: &str) -> Inline {
    Inline::Emoji {
        short_code: short_code.to_owned(),
        typed: typed.to_owned(),
    }
}

/// A paragraph.
pub(super) fn p(content: Vec<Inline>) -> Block {
    Block::Paragraph(content)
}

/// A parser that knows paragraphs, empty lines and `*bold*` words.
pub(super) fn parse(source: &str) -> Vec<Block> {
    let word = |word: &str| match word.strip_prefix('*').and_then(|w| w.strip_suffix('*')) {
        Some(word) => bold(word),
        None => match word.strip_prefix('@') {
            Some(name) => at(name),
            None => text(word),
        },
    };
    let paragraph = |line: &str| {
        let mut content = Vec::new();
        for (n, part) in line.split(' ').enumerate() {
            if n > 0 {
                content.push(text(" "));
            }
            content.push(word(part));
        }
        p(content)
    };
    source
        .split('\n')
        .map(|line| match line {
            "" => Block::LineBreak,
            line => paragraph(line),
        })
        .collect()
}

/// The tags of a tree in the order in which they are written (`b`, `/b`).
fn tags(nodes: impl Iterator<Item = NodeRef>, found: &mut Vec<String>) {
    for node in nodes {
        let name = node.as_element().map(|data| data.name.local.to_string());
        found.extend(name.clone());
        tags(node.children(), found);
        let closed = name.filter(|name| !["br", "hr", "img"].contains(&name.as_str()));
        found.extend(closed.map(|name| format!("/{name}")));
    }
}

/// What is wrong with our HTML in the eyes of another reader, who allows what the
/// specification does, and the mark of custom emoji.
pub(super) fn disallowed_in(written: &str) -> Option<String> {
    let emoticon = PropertiesNames {
        parent: "img",
        properties: &["data-mx-emoticon"],
    };
    let allowed = SanitizerConfig::strict().allow_attributes([emoticon], ListBehavior::Add);
    let html = Html::parse(written);
    let wrote = written.split('<').skip(1);
    let wrote: Vec<_> = wrote
        .map(|tag| tag.split([' ', '>']).next().unwrap_or_default())
        .collect();
    let mut read = Vec::new();
    tags(html.children(), &mut read);
    if read != wrote {
        return Some(format!("read as {read:?}"));
    }
    let before = html.to_string();
    html.sanitize_with(&allowed);
    let after = html.to_string();
    (after != before).then_some(format!("only {after} is allowed"))
}

#[test]
fn the_other_reader_is_strict() {
    for good in [
        "",
        "a &lt;b&gt; <strong>c</strong><br><a href=\"https://a.org\">d</a>",
        "<img data-mx-emoticon src=\"mxc://a.org/b\" alt=\"c\">",
    ] {
        assert_eq!(disallowed_in(good), None, "{good}");
    }
    for bad in [
        "<script>a</script>",
        "<span onclick=\"a\">b</span>",
        "<a href=\"javascript:a\">b</a>",
        "<img src=\"https://a.org\">",
        "<font color=\"#ff0000\">a</font>",
        "<a href=\"https://a.org\"><a href=\"https://b.org\">c</a></a>",
        "<code class=\"evil\">a</code>",
        "a <!-- b",
    ] {
        assert!(disallowed_in(bad).is_some(), "{bad}");
    }
}
