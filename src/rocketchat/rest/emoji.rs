//! Custom emoji.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Request, Session};
use crate::rocketchat::documents::{CustomEmoji, read_each};
use crate::rocketchat::error::Error;

/// The largest picture of an emoji that is read, in bytes. Rocket.Chat sets no
/// bound of its own; clients show them 22 pixels high.
const PICTURE_LIMIT: usize = 1024 * 1024;

/// The largest list that is read, in bytes: some ten thousand emoji.
const LIST_LIMIT: usize = 8 * 1024 * 1024;

#[derive(Deserialize)]
struct ListAnswer<'a> {
    #[serde(borrow)]
    emojis: Lists<'a>,
}

#[derive(Deserialize)]
struct Lists<'a> {
    #[serde(borrow, default)]
    update: Vec<&'a RawValue>,
}

impl Session {
    /// All custom emoji. Those that cannot be read are left out.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn custom_emoji(&self) -> Result<Vec<CustomEmoji>, Error> {
        let request = Request::get(&["api", "v1", "emoji-custom.list"]).limit(LIST_LIMIT);
        let body = self.bytes(request).await?;
        let answer: ListAnswer<'_> = super::answer::parse(&body)?;
        let (emoji, unreadable) = read_each(&answer.emojis.update);
        if unreadable > 0 {
            tracing::warn!(unreadable, "custom emoji were left out");
        }
        Ok(emoji)
    }

    /// The picture of a custom emoji: whatever somebody uploaded. The server has a
    /// picture of a question mark for names that it does not know.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above a mebibyte, and what any request may give.
    pub async fn custom_emoji_image(&self, name: &str, extension: &str) -> Result<Vec<u8>, Error> {
        let file = format!("{name}.{extension}");
        let path = ["emoji-custom", file.as_str()];
        self.client().file(&path, PICTURE_LIMIT).await
    }
}
