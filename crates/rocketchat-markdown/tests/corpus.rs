//! What a live Rocket.Chat 6.14 made of 281 texts.

use rocketchat_markdown::{Options, parse, tree_from_json, tree_to_json};
use serde_json::Value;

/// The text that the server parsed, and the tree that it stored.
fn recordings() -> Vec<(String, Value)> {
    include_str!("formatting.jsonl")
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("the recording is JSON");
            let text = record.get("msg").unwrap_or(&record["input"]);
            (
                text.as_str().expect("a text").to_owned(),
                record["md"].clone(),
            )
        })
        .collect()
}

#[test]
fn the_parser_makes_the_trees_of_the_server() {
    let mut different = Vec::new();
    for (text, tree) in recordings() {
        let ours = tree_to_json(&parse(&text, &Options::default()));
        if ours != tree {
            different.push(format!("{text:?}\n  server: {tree}\n  ours:   {ours}"));
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
    assert_eq!(recordings().len(), 281);
}

#[test]
fn the_trees_of_the_server_are_read_and_written_unchanged() {
    for (text, tree) in recordings() {
        let blocks = tree_from_json(&tree);
        let again = blocks.as_deref().map(tree_to_json);
        assert_eq!(again, Some(tree), "{text:?}");
    }
}
