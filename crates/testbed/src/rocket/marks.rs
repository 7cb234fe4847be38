//! What refers to a message on Rocket.Chat: quotes, reactions, pins and stars; and
//! waiting for what becomes of it.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use serde_json::json;

use super::{RocketMessage, RocketUser};
use crate::http::escape;
use crate::wait::{DEADLINE, Wait};

impl RocketUser {
    /// The address of a message, as "Copy link" gives it.
    ///
    /// # Errors
    /// When the user may not see the message.
    pub async fn link_to(&self, message_id: &str) -> Result<String> {
        let path = format!("chat.getMessage?msgId={}", escape(message_id));
        let message = RocketMessage::new(self.get(&path).await?["message"].take());
        let rid = message.document["rid"].as_str().unwrap_or_default();
        let info = format!("rooms.info?roomId={}", escape(rid));
        let room = self.get(&info).await?["room"].take();
        let (kind, name) = match (room["t"].as_str(), room["name"].as_str()) {
            (Some("c"), Some(name)) => ("channel", name),
            (Some("p"), Some(name)) => ("group", name),
            _ => ("direct", rid),
        };
        Ok(format!(
            "{}/{kind}/{name}?msg={message_id}",
            self.api.base()
        ))
    }

    /// Quotes messages, which may be in other rooms, and says something to it, as
    /// the client does; returns the new message's id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses, or the user may not see what is quoted.
    pub async fn quote(&self, rid: &str, message_ids: &[&str], text: &str) -> Result<String> {
        let mut words = String::new();
        for message_id in message_ids {
            let link = self.link_to(message_id).await?;
            words.push_str(&format!("[ ]({link}) "));
        }
        words.push_str(text);
        self.send(rid, &words).await
    }

    /// Pins a message to its room, or takes the pin off.
    ///
    /// # Errors
    /// When Rocket.Chat refuses: it takes a right.
    pub async fn pin(&self, message_id: &str, on: bool) -> Result<()> {
        let endpoint = if on {
            "chat.pinMessage"
        } else {
            "chat.unPinMessage"
        };
        self.post(endpoint, json!({ "messageId": message_id }))
            .await?;
        Ok(())
    }

    /// Stars a message for oneself, or takes the star off.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn star(&self, message_id: &str, on: bool) -> Result<()> {
        let endpoint = if on {
            "chat.starMessage"
        } else {
            "chat.unStarMessage"
        };
        self.post(endpoint, json!({ "messageId": message_id }))
            .await?;
        Ok(())
    }

    /// Removes every message of a room at once ("Prune messages").
    ///
    /// # Errors
    /// When Rocket.Chat refuses: it takes a right.
    pub async fn clean_history(&self, rid: &str) -> Result<()> {
        self.prune(rid, false).await
    }

    /// Removes every file of a room at once, and leaves the messages.
    ///
    /// # Errors
    /// When Rocket.Chat refuses: it takes a right.
    pub async fn clean_files(&self, rid: &str) -> Result<()> {
        self.prune(rid, true).await
    }

    async fn prune(&self, rid: &str, files_only: bool) -> Result<()> {
        let everything = json!({
            "roomId": rid,
            "oldest": "2000-01-01T00:00:00.000Z",
            "latest": "2100-01-01T00:00:00.000Z",
            "inclusive": true,
            "filesOnly": files_only,
        });
        self.post("rooms.cleanHistory", everything).await?;
        Ok(())
    }

    /// Waits until a message, by its id, has this text.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn wait_for_words(
        &self,
        rid: &str,
        message_id: &str,
        text: &str,
    ) -> Result<RocketMessage> {
        let what = format!("{message_id} to say {text:?}");
        self.wait_for_message(rid, &what, |message| {
            message.id == message_id && message.text == text
        })
        .await
    }

    /// Waits until a message is gone, whether without a trace or with one.
    ///
    /// # Errors
    /// When it stays.
    pub async fn wait_until_gone(&self, rid: &str, message_id: &str) -> Result<()> {
        let what = format!("{message_id} to be gone");
        self.wait_until(rid, &what, |documents| {
            let is_there = documents
                .iter()
                .any(|document| document.id == message_id && document.is_written());
            (!is_there).then_some(())
        })
        .await
    }

    /// Waits until exactly these people react to a message with these emoji
    /// (`:thumbsup:`): pairs of emoji and user name.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn wait_for_reactions(
        &self,
        rid: &str,
        message_id: &str,
        wanted: &[(&str, &str)],
    ) -> Result<()> {
        let what = format!("the reactions to {message_id} to be {wanted:?}");
        let wanted: BTreeSet<(String, String)> = wanted
            .iter()
            .map(|(emoji, name)| ((*emoji).to_owned(), (*name).to_owned()))
            .collect();
        let mut wait = Wait::new(&what, DEADLINE);
        loop {
            let look = wait.look(async {
                let documents = self.documents(rid).await?;
                let message = documents.iter().find(|document| document.id == message_id);
                let given = message.map(RocketMessage::reactions);
                if given.as_ref() == Some(&wanted) {
                    return Ok(Some(()));
                }
                Err(anyhow!("reactions: {given:?}"))
            });
            if self.evidence.explain(look.await)?.is_some() {
                return Ok(());
            }
        }
    }
}
