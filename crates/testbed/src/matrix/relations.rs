//! What refers to a message: edits, threads, reactions, pins; and how a message
//! looks after all that.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::{Event, MatrixUser};
use crate::wait::{DEADLINE, Wait};

impl MatrixUser {
    /// Replaces an own message by text with HTML, as a client does; returns the
    /// edit's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn edit_html(
        &self,
        room: &str,
        event_id: &str,
        body: &str,
        html: &str,
    ) -> Result<String> {
        let new = json!({
            "msgtype": "m.text",
            "body": body,
            "format": "org.matrix.custom.html",
            "formatted_body": html,
        });
        let mut content = new.clone();
        content["body"] = json!(format!("* {body}"));
        content["formatted_body"] = json!(format!("* {html}"));
        content["m.new_content"] = new;
        content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": event_id });
        self.send_event(room, "m.room.message", content).await
    }

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

    /// The content of a message as clients show it: that of its newest edit, if the
    /// homeserver knows one; an empty object once redacted.
    ///
    /// # Errors
    /// When the user may not see it.
    pub async fn shown(&self, room: &str, event_id: &str) -> Result<Value> {
        let event = self.event(room, event_id).await?;
        let newest = "/m.relations/m.replace/content/m.new_content";
        let edited = event.unsigned.pointer(newest).cloned();
        Ok(edited.unwrap_or(event.content))
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

    /// Who reacts to a message with what: pairs of user and key.
    ///
    /// # Errors
    /// When the user may not read the room.
    pub async fn reactions(
        &self,
        room: &str,
        event_id: &str,
    ) -> Result<BTreeSet<(String, String)>> {
        Ok(reactions_in(&self.room_events(room).await?, event_id))
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
        let wanted: BTreeSet<(String, String)> = wanted
            .iter()
            .map(|(user, key)| ((*user).to_owned(), (*key).to_owned()))
            .collect();
        self.wait_until(room, &what, |events| {
            (reactions_in(events, event_id) == wanted).then_some(())
        })
        .await
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

/// Redacted reactions have lost their relation, and so do not count.
fn reactions_in(events: &[Event], event_id: &str) -> BTreeSet<(String, String)> {
    events
        .iter()
        .filter(|event| event.kind == "m.reaction")
        .filter(|event| event.relation() == Some(("m.annotation", event_id)))
        .map(|event| {
            let key = event.text("/m.relates_to/key");
            (event.sender.clone(), key.to_owned())
        })
        .collect()
}
