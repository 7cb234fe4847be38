//! `help`: what there is.

use super::{USAGES, Usage};

pub(super) const USAGE: Usage = Usage {
    words: "help",
    what: "shows this",
};

pub(super) fn text() -> String {
    let mut text = String::from("Here I take commands; in other rooms put `!rc` before them.");
    for usage in &USAGES {
        text.push_str(&format!("\n{} — {}", usage.words, usage.what));
    }
    text
}
