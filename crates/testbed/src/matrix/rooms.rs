//! What a person does in rooms.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Event, MatrixUser};
use crate::http::{escape, string_at};

impl MatrixUser {
    /// Creates a room with the body of `POST /createRoom`; returns its id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn create_room(&self, options: Value) -> Result<String> {
        let answer = self
            .api
            .json("POST", "/_matrix/client/v3/createRoom", Some(&options))
            .await?;
        string_at(&answer, "/room_id")
    }

    /// Opens a direct room with these users, as a client does: `is_direct`,
    /// trusted preset, and noted in `m.direct`.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn create_direct(&self, user_ids: &[&str]) -> Result<String> {
        let room = self
            .create_room(json!({
                "preset": "trusted_private_chat",
                "is_direct": true,
                "invite": user_ids,
            }))
            .await?;
        let path = format!(
            "/_matrix/client/v3/user/{}/account_data/m.direct",
            escape(&self.user_id)
        );
        let known = self.api.request("GET", &path, None).await?;
        let mut direct = match known.body {
            Value::Object(map) if known.status == 200 => map,
            _ => serde_json::Map::new(),
        };
        for user_id in user_ids {
            if let Some(rooms) = direct
                .entry((*user_id).to_owned())
                .or_insert_with(|| json!([]))
                .as_array_mut()
            {
                rooms.push(json!(room));
            }
        }
        self.api
            .json("PUT", &path, Some(&Value::Object(direct)))
            .await?;
        Ok(room)
    }

    /// Joins by id or alias; returns the room's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn join(&self, room_or_alias: &str) -> Result<String> {
        let path = format!("/_matrix/client/v3/join/{}", escape(room_or_alias));
        let answer = self.api.json("POST", &path, Some(&json!({}))).await?;
        string_at(&answer, "/room_id")
    }

    /// Leaves a room or refuses an invite.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn leave(&self, room: &str) -> Result<()> {
        self.post(room, "leave", json!({})).await
    }

    /// Invites somebody.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn invite(&self, room: &str, user_id: &str) -> Result<()> {
        self.post(room, "invite", json!({ "user_id": user_id }))
            .await
    }

    /// Kicks somebody.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn kick(&self, room: &str, user_id: &str, reason: &str) -> Result<()> {
        self.post(
            room,
            "kick",
            json!({ "user_id": user_id, "reason": reason }),
        )
        .await
    }

    /// Bans somebody.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn ban(&self, room: &str, user_id: &str, reason: &str) -> Result<()> {
        self.post(room, "ban", json!({ "user_id": user_id, "reason": reason }))
            .await
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn unban(&self, room: &str, user_id: &str) -> Result<()> {
        self.post(room, "unban", json!({ "user_id": user_id }))
            .await
    }

    /// Sends plain text; returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_text(&self, room: &str, body: &str) -> Result<String> {
        let content = json!({ "msgtype": "m.text", "body": body });
        self.send_event(room, "m.room.message", content).await
    }

    /// Sends text with HTML; returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_html(&self, room: &str, body: &str, html: &str) -> Result<String> {
        let content = json!({
            "msgtype": "m.text",
            "body": body,
            "format": "org.matrix.custom.html",
            "formatted_body": html,
        });
        self.send_event(room, "m.room.message", content).await
    }

    /// Sends any event; returns its id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_event(&self, room: &str, kind: &str, content: Value) -> Result<String> {
        let transaction = self.next_transaction();
        let path = format!("{}/send/{}/{transaction}", room_path(room), escape(kind));
        let answer = self.api.json("PUT", &path, Some(&content)).await?;
        string_at(&answer, "/event_id")
    }

    /// Replaces the text of an own message, as a client does; returns the
    /// edit's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn edit_text(&self, room: &str, event_id: &str, body: &str) -> Result<String> {
        let content = json!({
            "msgtype": "m.text",
            "body": format!("* {body}"),
            "m.new_content": { "msgtype": "m.text", "body": body },
            "m.relates_to": { "rel_type": "m.replace", "event_id": event_id },
        });
        self.send_event(room, "m.room.message", content).await
    }

    /// Replies to a message; returns the reply's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn reply(&self, room: &str, event_id: &str, body: &str) -> Result<String> {
        let content = json!({
            "msgtype": "m.text",
            "body": body,
            "m.relates_to": { "m.in_reply_to": { "event_id": event_id } },
        });
        self.send_event(room, "m.room.message", content).await
    }

    /// Reacts with an emoji; returns the reaction's id, to be redacted.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn react(&self, room: &str, event_id: &str, emoji: &str) -> Result<String> {
        let content = json!({
            "m.relates_to": { "rel_type": "m.annotation", "event_id": event_id, "key": emoji },
        });
        self.send_event(room, "m.reaction", content).await
    }

    /// Redacts an event; returns the redaction's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn redact(&self, room: &str, event_id: &str) -> Result<String> {
        let transaction = self.next_transaction();
        let path = format!(
            "{}/redact/{}/{transaction}",
            room_path(room),
            escape(event_id)
        );
        let answer = self.api.json("PUT", &path, Some(&json!({}))).await?;
        string_at(&answer, "/event_id")
    }

    /// Sets state; returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_state(
        &self,
        room: &str,
        kind: &str,
        state_key: &str,
        content: Value,
    ) -> Result<String> {
        let path = state_path(room, kind, state_key);
        let answer = self.api.json("PUT", &path, Some(&content)).await?;
        string_at(&answer, "/event_id")
    }

    /// All current state.
    ///
    /// # Errors
    /// When the user may not see it.
    pub async fn state(&self, room: &str) -> Result<Vec<Event>> {
        let path = format!("{}/state", room_path(room));
        Ok(serde_json::from_value(
            self.api.json("GET", &path, None).await?,
        )?)
    }

    /// The content of one state event, if it is set.
    ///
    /// # Errors
    /// When no answer comes, or another one than "here" or "not there".
    pub async fn state_content(
        &self,
        room: &str,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Value>> {
        let path = state_path(room, kind, state_key);
        let answer = self.api.request("GET", &path, None).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            other => anyhow::bail!("state {kind} of {room}: {other} {}", answer.body),
        }
    }

    /// Who is joined, with display name and avatar.
    ///
    /// # Errors
    /// When the user is not in the room.
    pub async fn joined_members(&self, room: &str) -> Result<BTreeMap<String, Value>> {
        let path = format!("{}/joined_members", room_path(room));
        let mut answer = self.api.json("GET", &path, None).await?;
        Ok(serde_json::from_value(answer["joined"].take())?)
    }

    /// The rooms the user is in.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn joined_rooms(&self) -> Result<Vec<String>> {
        let mut answer = self
            .api
            .json("GET", "/_matrix/client/v3/joined_rooms", None)
            .await?;
        Ok(serde_json::from_value(answer["joined_rooms"].take())?)
    }

    /// The room an alias points to, if it exists.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn resolve_alias(&self, alias: &str) -> Result<Option<String>> {
        let path = format!("/_matrix/client/v3/directory/room/{}", escape(alias));
        let answer = self.api.request("GET", &path, None).await?;
        Ok(answer.body["room_id"].as_str().map(str::to_owned))
    }

    /// Starts or ends "is typing" (for half a minute).
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn set_typing(&self, room: &str, typing: bool) -> Result<()> {
        let path = format!("{}/typing/{}", room_path(room), escape(&self.user_id));
        let body = json!({ "typing": typing, "timeout": 30_000 });
        self.api.json("PUT", &path, Some(&body)).await?;
        Ok(())
    }

    /// Says that everything up to this event was read.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn mark_read(&self, room: &str, event_id: &str) -> Result<()> {
        self.post(
            room,
            &format!("receipt/m.read/{}", escape(event_id)),
            json!({}),
        )
        .await
    }

    async fn post(&self, room: &str, what: &str, body: Value) -> Result<()> {
        let path = format!("{}/{what}", room_path(room));
        self.api.json("POST", &path, Some(&body)).await?;
        Ok(())
    }
}

pub(super) fn room_path(room: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}", escape(room))
}

fn state_path(room: &str, kind: &str, state_key: &str) -> String {
    format!(
        "{}/state/{}/{}",
        room_path(room),
        escape(kind),
        escape(state_key)
    )
}
