//! What a person writes beyond plain text, and what a client shows of it.

use anyhow::Result;
use serde_json::{Value, json};

use super::MatrixUser;

/// A mention of somebody as a client writes it into HTML: a link to them that
/// shows a name.
pub fn pill(user_id: &str, shown: &str) -> String {
    format!("<a href=\"https://matrix.to/#/{user_id}\">{shown}</a>")
}

/// The content of a message with HTML.
pub fn html_content(body: &str, html: &str) -> Value {
    json!({
        "msgtype": "m.text",
        "body": body,
        "format": "org.matrix.custom.html",
        "formatted_body": html,
    })
}

/// The `m.mentions` of some people.
pub fn mentions(user_ids: &[&str]) -> Value {
    match user_ids {
        [] => json!({}),
        user_ids => json!({ "user_ids": user_ids }),
    }
}

impl MatrixUser {
    /// Sends HTML that says itself whom it mentions (`m.mentions`), as clients do
    /// since 1.7 of the specification; returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_mentioning(
        &self,
        room: &str,
        body: &str,
        html: &str,
        mentions: Value,
    ) -> Result<String> {
        let mut content = html_content(body, html);
        content["m.mentions"] = mentions;
        self.send_event(room, "m.room.message", content).await
    }

    /// Puts a new content in the place of an own message, as a client does; returns
    /// the edit's id. `newly_mentioned` are those whom the edit is to notify.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn edit_content(
        &self,
        room: &str,
        event_id: &str,
        new: Value,
        newly_mentioned: Value,
    ) -> Result<String> {
        let mut content = new.clone();
        let body = new["body"].as_str().unwrap_or_default();
        content["body"] = json!(format!("* {body}"));
        content["m.mentions"] = newly_mentioned;
        content["m.new_content"] = new;
        content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": event_id });
        self.send_event(room, "m.room.message", content).await
    }

    /// Gives somebody a power level in a room where this user may do that.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn set_power(&self, room: &str, user_id: &str, level: i64) -> Result<()> {
        self.change_levels(room, |levels| levels["users"][user_id] = json!(level))
            .await
    }

    /// Says which power level `@room` takes, in a room where this user may do that.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn set_power_to_call_everybody(&self, room: &str, level: i64) -> Result<()> {
        self.change_levels(room, |levels| {
            levels["notifications"]["room"] = json!(level)
        })
        .await
    }

    async fn change_levels(&self, room: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let kind = "m.room.power_levels";
        let levels = self.state_content(room, kind, "").await?;
        let mut levels = levels.unwrap_or_else(|| json!({}));
        change(&mut levels);
        self.send_state(room, kind, "", levels).await?;
        Ok(())
    }
}
