//! Rocket.Chat's dialect of Markdown: the tree that a server stores beside each
//! message as `md`, and a parser that makes the same tree from the text.

mod tree;

pub use tree::{Block, Color, Inline, ListItem, Task};
