//! Rocket.Chat's dialect of Markdown: the tree that a server stores beside each
//! message as `md`, and a parser that makes the same tree from the text.
//!
//! * [`parse`] reads a text as a server of a [`Generation`] with some settings
//!   ([`Options`]) does.
//! * [`tree_from_json`] reads the tree that a server has stored, [`tree_to_json`]
//!   writes it.
//!
//! Inside, `source` is the text, `order` the constructs that each place knows,
//! `scanner` (with `links`, `emoji`, `emoticons`) finds what stands where, `builder`
//! makes inlines of it, and `blocks` the blocks around them.

mod blocks;
mod blocks_v8_7;
mod builder;
mod emoji;
mod emoticons;
mod hosts;
mod json;
mod links;
mod options;
mod order;
mod scanner;
mod source;
mod tree;

pub use blocks::parse;
pub use json::{tree_from_json, tree_to_json};
pub use options::{Generation, Options};
pub use tree::{Block, Color, Inline, ListItem, Task};
