//! One account on Rocket.Chat: login and messages.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::{RocketMessage, SimControl};
use crate::http::{Answer, Api, Evidence, string_at};
use crate::wait::{DEADLINE, Wait};

/// A person's Rocket.Chat client.
#[derive(Debug, Clone)]
pub struct RocketUser {
    /// The user name.
    pub username: String,
    /// The immutable id.
    pub id: String,
    /// Good for `X-Auth-Token`.
    pub token: String,
    /// To log in with another client.
    pub password: String,
    /// The simulator's own interface: to look into rooms.
    pub control: SimControl,
    pub(crate) api: Api,
    pub(crate) evidence: Evidence,
}

impl RocketUser {
    /// Logs in by password.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn login(
        base: &str,
        username: &str,
        password: &str,
        control: SimControl,
    ) -> Result<Self> {
        let request = json!({ "user": username, "password": password });
        let answer = Api::new(base, &[])?
            .json("POST", "/api/v1/login", Some(&request))
            .await?;
        let id = string_at(&answer, "/data/userId")?;
        let token = string_at(&answer, "/data/authToken")?;
        Ok(Self {
            username: username.to_owned(),
            api: Api::new(base, &[("x-user-id", &id), ("x-auth-token", &token)])?,
            id,
            token,
            password: password.to_owned(),
            control,
            evidence: Evidence::default(),
        })
    }

    /// Shows the ends of these logs when something waited for does not come.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// Any request as this user; `path` starts with `/api`.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.api.request(method, path, body).await
    }

    /// Calls a REST endpoint by its name (`chat.update`) with a body.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn post(&self, endpoint: &str, body: Value) -> Result<Value> {
        let path = format!("/api/v1/{endpoint}");
        self.api.json("POST", &path, Some(&body)).await
    }

    /// Reads a REST endpoint by its name, with its query (`users.info?username=x`).
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn get(&self, endpoint: &str) -> Result<Value> {
        self.api
            .json("GET", &format!("/api/v1/{endpoint}"), None)
            .await
    }

    /// Writes a message; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn send(&self, rid: &str, text: &str) -> Result<String> {
        self.send_message(json!({ "rid": rid, "msg": text })).await
    }

    /// Writes a message in a thread; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn send_in_thread(&self, rid: &str, parent: &str, text: &str) -> Result<String> {
        self.send_message(json!({ "rid": rid, "msg": text, "tmid": parent }))
            .await
    }

    /// Writes a message with any fields of `chat.sendMessage`; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn send_message(&self, message: Value) -> Result<String> {
        let answer = self
            .post("chat.sendMessage", json!({ "message": message }))
            .await?;
        string_at(&answer, "/message/_id")
    }

    /// Changes the text of an own message.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn edit(&self, rid: &str, message_id: &str, text: &str) -> Result<()> {
        let body = json!({ "roomId": rid, "msgId": message_id, "text": text });
        self.post("chat.update", body).await?;
        Ok(())
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn delete(&self, rid: &str, message_id: &str) -> Result<()> {
        let body = json!({ "roomId": rid, "msgId": message_id });
        self.post("chat.delete", body).await?;
        Ok(())
    }

    /// Adds or takes back a reaction; `emoji` as in `:thumbsup:`.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn react(&self, message_id: &str, emoji: &str, on: bool) -> Result<()> {
        let body = json!({ "messageId": message_id, "emoji": emoji, "shouldReact": on });
        self.post("chat.react", body).await?;
        Ok(())
    }

    /// Every document of a room in the order of insertion, system messages
    /// included, whoever may see them.
    ///
    /// # Errors
    /// When there is no such room.
    pub async fn documents(&self, rid: &str) -> Result<Vec<RocketMessage>> {
        self.control.documents(rid).await
    }

    /// The messages somebody wrote, oldest first.
    ///
    /// # Errors
    /// When there is no such room.
    pub async fn room_messages(&self, rid: &str) -> Result<Vec<RocketMessage>> {
        let mut messages = self.documents(rid).await?;
        messages.retain(RocketMessage::is_written);
        Ok(messages)
    }

    /// The texts of the messages somebody wrote, oldest first.
    ///
    /// # Errors
    /// When there is no such room.
    pub async fn room_texts(&self, rid: &str) -> Result<Vec<String>> {
        let messages = self.room_messages(rid).await?;
        Ok(messages.into_iter().map(|message| message.text).collect())
    }

    /// Waits for a message with this text.
    ///
    /// # Errors
    /// When it does not come: shows the room.
    pub async fn wait_for_text(&self, rid: &str, text: &str) -> Result<RocketMessage> {
        let what = format!("the message {text:?}");
        self.wait_for_message(rid, &what, |message| message.text == text)
            .await
    }

    /// Waits for the first written message that `wanted` accepts.
    ///
    /// # Errors
    /// When it does not come: shows the room.
    pub async fn wait_for_message(
        &self,
        rid: &str,
        what: &str,
        mut wanted: impl FnMut(&RocketMessage) -> bool,
    ) -> Result<RocketMessage> {
        self.wait_until(rid, what, |documents| {
            documents
                .iter()
                .find(|document| document.is_written() && wanted(document))
                .cloned()
        })
        .await
    }

    /// Waits until `condition`, shown all documents of a room, returns something.
    ///
    /// # Errors
    /// When it does not within [`DEADLINE`]: shows the room.
    pub async fn wait_until<T>(
        &self,
        rid: &str,
        what: &str,
        condition: impl FnMut(&[RocketMessage]) -> Option<T>,
    ) -> Result<T> {
        self.wait_until_within(DEADLINE, rid, what, condition).await
    }

    /// As [`RocketUser::wait_until`], with another deadline.
    ///
    /// # Errors
    /// When the deadline passes.
    pub async fn wait_until_within<T>(
        &self,
        deadline: Duration,
        rid: &str,
        what: &str,
        mut condition: impl FnMut(&[RocketMessage]) -> Option<T>,
    ) -> Result<T> {
        let what = format!("{what}, on Rocket.Chat in {rid}");
        let mut wait = Wait::new(&what, deadline);
        loop {
            let look = wait.look(async {
                let documents = self.documents(rid).await?;
                match condition(&documents) {
                    Some(found) => Ok(Some(found)),
                    None => Err(anyhow!("{}", describe(&documents))),
                }
            });
            if let Some(found) = self.evidence.explain(look.await)? {
                return Ok(found);
            }
        }
    }
}

/// The end of a room, a line a document.
fn describe(documents: &[RocketMessage]) -> String {
    const SHOWN: usize = 25;
    let skipped = documents.len().saturating_sub(SHOWN);
    let lines = documents.iter().skip(skipped).map(|message| {
        let kind = message.kind.as_deref().unwrap_or("message");
        format!(
            "\n  {} {kind} {} {:?}",
            message.id, message.username, message.text
        )
    });
    let count = documents.len();
    format!("{count} documents, the last:{}", lines.collect::<String>())
}
