//! What an administrator or a room's owner does on Rocket.Chat.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::RocketUser;
use crate::http::{escape, string_at};

impl RocketUser {
    /// Changes a setting of the server (`Message_MaxAllowedSize`).
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_setting(&self, id: &str, value: Value) -> Result<()> {
        let path = format!("settings/{}", escape(id));
        self.post(&path, json!({ "value": value })).await?;
        Ok(())
    }

    /// Changes one's own username; everything that mentions it is rewritten and shown
    /// again.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn rename(&self, username: &str) -> Result<()> {
        let body = json!({ "data": { "username": username } });
        self.post("users.updateOwnBasicInfo", body).await?;
        Ok(())
    }

    /// Changes one's own display name.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_display_name(&self, name: &str) -> Result<()> {
        let body = json!({ "data": { "name": name } });
        self.post("users.updateOwnBasicInfo", body).await?;
        Ok(())
    }

    /// Changes somebody else as an administrator: the keys of `users.update`.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn update_user(&self, user_id: &str, data: Value) -> Result<Value> {
        let body = json!({ "userId": user_id, "data": data });
        self.post("users.update", body).await
    }

    /// Takes the word from somebody in a room, or gives it back.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_muted(&self, rid: &str, username: &str, muted: bool) -> Result<()> {
        let endpoint = if muted {
            "rooms.muteUser"
        } else {
            "rooms.unmuteUser"
        };
        let body = json!({ "roomId": rid, "username": username });
        self.post(endpoint, body).await?;
        Ok(())
    }

    /// Makes a public channel one in which only its moderators write, or ends that.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_read_only(&self, rid: &str, read_only: bool) -> Result<()> {
        let body = json!({ "roomId": rid, "readOnly": read_only });
        self.post("channels.setReadOnly", body).await?;
        Ok(())
    }

    /// Lets somebody say nothing more in a direct message with this user, or ends
    /// that.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_blocked(&self, dm: &str, user_id: &str, blocked: bool) -> Result<()> {
        let method = if blocked { "blockUser" } else { "unblockUser" };
        let params = json!([{ "rid": dm, "blocked": user_id }]);
        let call = json!({ "msg": "method", "id": "1", "method": method, "params": params });
        let body = json!({ "message": call.to_string() });
        self.post(&format!("method.call/{method}"), body).await?;
        Ok(())
    }

    /// Makes an incoming webhook that posts as `username` into a channel by its
    /// name; returns the path for [`RocketUser::call_webhook`].
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn create_webhook(&self, channel: &str, username: &str) -> Result<String> {
        let body = json!({
            "type": "webhook-incoming", "name": "hook", "enabled": true,
            "username": username, "channel": format!("#{channel}"), "scriptEnabled": false,
        });
        let made = self.post("integrations.create", body).await?;
        let id = string_at(&made, "/integration/_id")?;
        let token = string_at(&made, "/integration/token")?;
        Ok(format!("/hooks/{id}/{token}"))
    }

    /// Posts by a webhook, as a program would.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn call_webhook(&self, path: &str, message: Value) -> Result<()> {
        let answer = self.request("POST", path, Some(&message)).await?;
        if answer.status != 200 {
            bail!("webhook: {} {}", answer.status, answer.body);
        }
        Ok(())
    }

    /// Posts with everything that `chat.postMessage` takes (alias, attachments);
    /// returns the message's id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn post_message(&self, message: Value) -> Result<String> {
        let answer = self.post("chat.postMessage", message).await?;
        string_at(&answer, "/message/_id")
    }

    /// Makes somebody a moderator of a channel.
    ///
    /// # Errors
    /// When Rocket.Chat refuses: it takes a right.
    pub async fn make_moderator(&self, rid: &str, user_id: &str) -> Result<()> {
        let body = json!({ "roomId": rid, "userId": user_id });
        self.post("channels.addModerator", body).await?;
        Ok(())
    }
}
