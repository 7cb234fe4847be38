//! What is pinned to a room of Rocket.Chat.

use ruma::EventId;
use serde_json::{Value, json};

use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{Message, Portal};

const PINNED: &str = "m.room.pinned_events";

impl Bridge {
    pub(super) async fn mirror_pin(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
    ) -> Result<(), Failure> {
        let Some(event) = known.events.first() else {
            return Ok(());
        };
        // Of what continues a message only the first piece counts.
        let is_first = message.id == known.id;
        if !is_first || message.pinned == known.pinned || known.room_id != portal.room_id {
            return Ok(());
        }
        match self.pin(portal, event, message.pinned).await {
            // No right to, as in a direct message whose room is the Matrix user's.
            Err(failure) if failure.is_permanent() => {
                tracing::info!(room = %portal.room_id, %failure, "a pin is not mirrored");
            }
            outcome => outcome?,
        }
        self.store.amend_message(&portal.id, &known.id, |stored| {
            stored.pinned = message.pinned;
        })?;
        Ok(())
    }

    async fn pin(&self, portal: &Portal, event: &EventId, pinned: bool) -> Result<(), Failure> {
        let reader = self.reader(portal).await?;
        // Read, changed and written whole: one at a time.
        let _alone = self.pinning.lock(&portal.id).await;
        let state = reader.state(&portal.room_id, PINNED, "").await?;
        let mut ids: Vec<Value> = state
            .as_ref()
            .and_then(|state| state.get("pinned")?.as_array().cloned())
            .unwrap_or_default();
        ids.retain(|id| id.as_str() != Some(event.as_str()));
        if pinned {
            ids.push(event.as_str().into());
        }
        let content = json!({ "pinned": ids });
        reader
            .send_state(&portal.room_id, PINNED, "", &content, None)
            .await?;
        Ok(())
    }
}
