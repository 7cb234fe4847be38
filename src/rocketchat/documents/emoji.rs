//! Emoji that somebody uploaded.

use serde::Deserialize;

use super::{Timestamp, lenient};

/// A custom emoji, as `emoji-custom.list` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CustomEmoji {
    /// Its name, without colons.
    pub name: String,
    /// Other names of it.
    #[serde(default, deserialize_with = "lenient::list")]
    pub aliases: Vec<String>,
    /// How the name of its file ends.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub extension: String,
    /// When it was changed last.
    #[serde(default, rename = "_updatedAt", deserialize_with = "lenient::opt")]
    pub updated_at: Option<Timestamp>,
}

impl CustomEmoji {
    /// Whether `name`, without colons, means it.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}
