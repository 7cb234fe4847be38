//! What is pinned to a room of Rocket.Chat.

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
        if message.pinned == known.pinned || known.room_id != portal.room_id {
            return Ok(());
        }
        let reader = self.reader(portal).await?;
        {
            // Read, changed and written whole: one at a time.
            let _alone = self.pinning.lock(&portal.rid).await;
            let state = reader.state(&portal.room_id, PINNED, "").await?;
            let mut pinned: Vec<Value> = state
                .as_ref()
                .and_then(|state| state.get("pinned")?.as_array().cloned())
                .unwrap_or_default();
            pinned.retain(|id| id.as_str() != Some(event.as_str()));
            if message.pinned {
                pinned.push(event.as_str().into());
            }
            let content = json!({ "pinned": pinned });
            match reader
                .send_state(&portal.room_id, PINNED, "", &content, None)
                .await
            {
                // A direct message whose room is the Matrix user's.
                Err(error) if error.is_forbidden() => {
                    tracing::info!(room = %portal.room_id, "a pin is not mirrored: no right to");
                }
                outcome => {
                    outcome?;
                }
            }
        }
        self.store.amend_message(&portal.rid, &known.id, |stored| {
            stored.pinned = message.pinned;
        })?;
        Ok(())
    }
}
