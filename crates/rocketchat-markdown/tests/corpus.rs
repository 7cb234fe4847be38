//! What Rocket.Chat itself made of some hundred texts: `formatting.jsonl` was recorded
//! from a live server 6.14; `formatting-8.7.jsonl` is what the parser of 8.7 makes of
//! the same texts and some more (without `fallback`, which differs from run to run).
#![allow(clippy::expect_used, reason = "a broken recording is to fail the test")]

use rocketchat_markdown::{Block, Generation, Options, parse, tree_from_json, tree_to_json};
use serde_json::Value;

/// The text that was parsed, and its tree.
fn recordings(lines: &str) -> Vec<(String, Value)> {
    lines
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("the recording is JSON");
            // The server may have changed the text before it parsed it.
            let text = record.get("msg").unwrap_or(&record["input"]);
            let text = text.as_str().expect("a recording has a text").to_owned();
            (text, record["md"].clone())
        })
        .collect()
}

fn of_6_14() -> Vec<(String, Value)> {
    recordings(include_str!("formatting.jsonl"))
}

fn of_8_7() -> Vec<(String, Value)> {
    recordings(include_str!("formatting-8.7.jsonl"))
}

fn read(text: &str, tree: &Value) -> Vec<Block> {
    tree_from_json(tree).unwrap_or_else(|| panic!("cannot read the tree of {text:?}: {tree}"))
}

#[test]
fn the_parser_makes_the_trees_of_6_14() {
    let recordings = of_6_14();
    assert_eq!(recordings.len(), 281);
    for (text, tree) in recordings {
        let ours = tree_to_json(&parse(&text, &Options::default()));
        assert_eq!(ours, tree, "{text:?}");
    }
}

#[test]
fn the_parser_makes_the_trees_of_8_7() {
    let options = Options {
        generation: Generation::V8_7,
        ..Options::default()
    };
    for (text, tree) in of_8_7() {
        assert_eq!(parse(&text, &options), read(&text, &tree), "{text:?}");
    }
}

#[test]
fn the_trees_of_6_14_are_read_and_written_unchanged() {
    for (text, tree) in of_6_14() {
        assert_eq!(tree_to_json(&read(&text, &tree)), tree, "{text:?}");
    }
}

#[test]
fn the_trees_of_8_7_are_written_so_that_they_are_read_the_same() {
    for (text, tree) in of_8_7() {
        let blocks = read(&text, &tree);
        assert_eq!(
            tree_from_json(&tree_to_json(&blocks)),
            Some(blocks),
            "{text:?}"
        );
    }
}
