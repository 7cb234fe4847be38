//! The parser of Rocket.Chat's dialect, and the reader of stored trees.

use rocketchat_markdown::{Block, parse, tree_from_json, tree_to_json};

use super::{each_inline, ways_to_read};

/// A text becomes a tree that is no larger than the text, and the same after it has
/// been stored. A stored tree is read, or refused; read and stored twice it stays.
pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for options in ways_to_read() {
        let tree = parse(&text, &options);
        let stored = tree_to_json(&tree);
        assert_eq!(
            tree_from_json(&stored).as_ref(),
            Some(&tree),
            "stored and read again: {options:?}"
        );
        bounded(&tree, text.len());
    }
    if let Ok(stored) = serde_json::from_slice(input)
        && let Some(tree) = tree_from_json(&stored)
    {
        bounded(&tree, text.len());
        // An image keeps one label of several, so the first time may change a tree.
        let once = tree_to_json(&tree);
        let again = tree_from_json(&once).map(|tree| tree_to_json(&tree));
        assert_eq!(again, Some(once), "read and stored twice");
    }
}

/// No more inlines than twice the bytes: the work of all that comes after.
fn bounded(tree: &[Block], bytes: usize) {
    let mut inlines = 0;
    each_inline(tree, &mut |_| inlines += 1);
    assert!(
        inlines <= 2 * bytes + 1,
        "{inlines} inlines of {bytes} bytes"
    );
}
