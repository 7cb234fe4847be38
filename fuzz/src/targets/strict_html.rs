//! Our HTML in the eyes of another reader.

use ruma::html::{Html, ListBehavior, NodeRef, PropertiesNames, SanitizerConfig};

/// Elements without an end.
const VOID: [&str; 3] = ["br", "hr", "img"];

/// Holds HTML to what the specification allows, and the mark of custom emoji.
///
/// # Panics
/// When a reader sees other tags than were written, or a sanitiser changes something.
pub(super) fn assert_allowed(written: &str) {
    let html = Html::parse(written);
    let wrote = written.split('<').skip(1);
    let wrote = wrote.map(|tag| tag.split([' ', '>']).next().unwrap_or_default());
    let mut read = Vec::new();
    tags(html.children(), &mut read);
    assert!(wrote.eq(&read), "{written}\nis read as {read:?}");

    let emoticon = PropertiesNames {
        parent: "img",
        properties: &["data-mx-emoticon"],
    };
    let allowed = SanitizerConfig::strict().allow_attributes([emoticon], ListBehavior::Add);
    let before = html.to_string();
    html.sanitize_with(&allowed);
    assert_eq!(
        html.to_string(),
        before,
        "what is allowed, and what we wrote"
    );
}

/// The tags of a tree in the order in which they are written (`b`, `/b`).
fn tags(nodes: impl Iterator<Item = NodeRef>, found: &mut Vec<String>) {
    for node in nodes {
        let name = node.as_element().map(|data| data.name.local.to_string());
        found.extend(name.clone());
        tags(node.children(), found);
        let closed = name.filter(|name| !VOID.contains(&name.as_str()));
        found.extend(closed.map(|name| format!("/{name}")));
    }
}
