//! A message as Rocket.Chat stores it.

use std::collections::BTreeSet;

use serde_json::Value;

/// A document of a room; the fields that most tests look at have a name.
#[derive(Debug, Clone)]
pub struct RocketMessage {
    /// Its `_id`.
    pub id: String,
    /// Its `msg`.
    pub text: String,
    /// The user name of its author.
    pub username: String,
    /// The user id of its author.
    pub user_id: String,
    /// Its `t`: set in system messages only.
    pub kind: Option<String>,
    /// All of it.
    pub document: Value,
}

impl RocketMessage {
    /// Reads a document; what is missing is empty.
    pub fn new(document: Value) -> Self {
        let text = |pointer: &str| {
            let found = document.pointer(pointer).and_then(Value::as_str);
            found.map(str::to_owned)
        };
        Self {
            id: text("/_id").unwrap_or_default(),
            text: text("/msg").unwrap_or_default(),
            username: text("/u/username").unwrap_or_default(),
            user_id: text("/u/_id").unwrap_or_default(),
            kind: text("/t"),
            document,
        }
    }

    /// Whether somebody wrote it, as opposed to "alice joined the channel".
    pub fn is_written(&self) -> bool {
        self.kind.is_none()
    }

    /// Who reacted with this emoji (`:thumbsup:`).
    pub fn reacted(&self, emoji: &str) -> Vec<String> {
        let names = self.document["reactions"][emoji]["usernames"].as_array();
        names
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }

    /// Who reacts with what: pairs of emoji (`:thumbsup:`) and user name.
    pub fn reactions(&self) -> BTreeSet<(String, String)> {
        let emoji = self.document["reactions"].as_object();
        emoji
            .into_iter()
            .flatten()
            .flat_map(|(emoji, _)| {
                let names = self.reacted(emoji).into_iter();
                names.map(|name| (emoji.clone(), name))
            })
            .collect()
    }

    /// The ids of the messages that it quotes, in order.
    pub fn quotes(&self) -> Vec<&str> {
        let attachments = self.document["attachments"].as_array();
        attachments
            .into_iter()
            .flatten()
            .filter_map(|attachment| attachment["message_link"].as_str()?.split_once("msg="))
            .map(|(_, id)| id)
            .collect()
    }

    /// The link to its first file, for [`RocketUser::download`].
    ///
    /// [`RocketUser::download`]: super::RocketUser::download
    pub fn file_link(&self) -> Option<&str> {
        self.document["attachments"][0]["title_link"].as_str()
    }

    /// The id of the message whose thread it is in.
    pub fn thread(&self) -> Option<&str> {
        self.document["tmid"].as_str()
    }
}
