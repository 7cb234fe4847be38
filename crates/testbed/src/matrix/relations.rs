//! What refers to a message: threads, reactions, pins; and waiting for what becomes
//! of it.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::{Event, MatrixUser};
use crate::wait::{DEADLINE, Wait};

impl MatrixUser {
    /// Writes in the thread that hangs on `root`, as a client does that knows
    /// threads; returns the message's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_in_thread(&self, room: &str, root: &str, body: &str) -> Result<String> {
        self.send_related(room, body, in_thread(root, root, true))
            .await
    }

    /// Replies to a message of the thread that hangs on `root`, within the thread;
    /// returns the reply's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn reply_in_thread(
        &self,
        room: &str,
        root: &str,
        event_id: &str,
        body: &str,
    ) -> Result<String> {
        self.send_related(room, body, in_thread(root, event_id, false))
            .await
    }

    async fn send_related(&self, room: &str, body: &str, relation: Value) -> Result<String> {
        let content = json!({ "msgtype": "m.text", "body": body, "m.relates_to": relation });
        self.send_event(room, "m.room.message", content).await
    }

    /// Waits until clients show this plain text for a message; returns the whole
    /// content.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn wait_for_shown(&self, room: &str, event_id: &str, body: &str) -> Result<Value> {
        let what = format!("{event_id} to say {body:?}");
        self.wait_for_content(room, event_id, &what, |content| content["body"] == body)
            .await
    }

    /// Waits until `wanted` accepts what clients show for a message; returns it.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn wait_for_content(
        &self,
        room: &str,
        event_id: &str,
        what: &str,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let what = format!("{what}, as seen by {} in {room}", self.user_id);
        let mut wait = Wait::new(&what, DEADLINE);
        loop {
            let look = wait.look(async {
                let content = self.shown(room, event_id).await?;
                if wanted(&content) {
                    return Ok(Some(content));
                }
                Err(anyhow!("it is {content}"))
            });
            if let Some(found) = self.evidence.explain(look.await)? {
                return Ok(found);
            }
        }
    }

    /// Waits until a message, reaction or edit is redacted; returns what is left.
    ///
    /// # Errors
    /// When it stays.
    pub async fn wait_for_redaction(&self, room: &str, event_id: &str) -> Result<Event> {
        let what = format!("the redaction of {event_id}");
        self.wait_until(room, &what, |events| {
            let found = events.iter().find(|event| event.event_id == event_id);
            found.filter(|event| event.is_redacted()).cloned()
        })
        .await
    }

    /// Waits until exactly these people react to a message with these keys.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn wait_for_reactions(
        &self,
        room: &str,
        event_id: &str,
        wanted: &[(&str, &str)],
    ) -> Result<()> {
        let what = format!("the reactions to {event_id} to be {wanted:?}");
        let wanted: BTreeSet<String> = wanted
            .iter()
            .map(|(user, key)| format!("{key} {user}"))
            .collect();
        let mut wait = Wait::new(&what, DEADLINE);
        loop {
            let look = wait.look(async {
                let given = self.reactions(room, event_id).await?;
                if given == wanted {
                    return Ok(Some(()));
                }
                Err(anyhow!("reactions: {given:?}"))
            });
            if self.evidence.explain(look.await)?.is_some() {
                return Ok(());
            }
        }
    }

    /// The ids of what is pinned to a room.
    ///
    /// # Errors
    /// When the user may not see the room's state.
    pub async fn pinned(&self, room: &str) -> Result<Vec<String>> {
        let content = self.state_content(room, "m.room.pinned_events", "").await?;
        let pinned = content.and_then(|mut content| {
            serde_json::from_value::<Vec<String>>(content["pinned"].take()).ok()
        });
        Ok(pinned.unwrap_or_default())
    }

    /// Waits until exactly this is pinned, in this order.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn wait_for_pinned(&self, room: &str, wanted: &[&str]) -> Result<()> {
        let what = format!("{wanted:?} to be pinned to {room}");
        let mut wait = Wait::new(&what, DEADLINE);
        loop {
            let look = wait.look(async {
                let pinned = self.pinned(room).await?;
                if pinned == wanted {
                    return Ok(Some(()));
                }
                Err(anyhow!("pinned: {pinned:?}"))
            });
            if self.evidence.explain(look.await)?.is_some() {
                return Ok(());
            }
        }
    }
}

fn in_thread(root: &str, event_id: &str, is_falling_back: bool) -> Value {
    json!({
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": is_falling_back,
        "m.in_reply_to": { "event_id": event_id },
    })
}
