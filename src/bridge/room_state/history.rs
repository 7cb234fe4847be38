//! Who may read what was said in a room.
//!
//! On Rocket.Chat members of a room read all of it, also what was said before they came,
//! and nobody else does but in public channels. On Matrix that is `shared`, which portals
//! have from the beginning. Rocket.Chat has no setting for it, so nothing is carried over:
//! an owner on Matrix may show newcomers less (`invited`, `joined`), and that stays, for it
//! gives nobody anything. `world_readable`, which shows the room to who is not in it, is
//! taken back.

use ruma::EventId;
use serde_json::{Value, json};

use crate::bridge::membership::authors::replaced;
use crate::bridge::{Bridge, Failure, derived};
use crate::matrix::TimelineEvent;
use crate::store::Portal;

/// How many changes of who may read a room are looked back through.
const MOST_CHANGES: usize = 10;

impl Bridge {
    /// Rooms are read by who is in them: nobody may open one to the whole world, which
    /// Rocket.Chat does not know.
    pub(super) async fn keep_history_closed(&self, portal: &Portal) -> Result<(), Failure> {
        const HISTORY: &str = "m.room.history_visibility";
        let bot = self.matrix.bot();
        let Some(event) = bot.state_event(&portal.room_id, HISTORY, "").await? else {
            return Ok(());
        };
        let shown = event.content.get("history_visibility");
        if shown.and_then(Value::as_str) != Some("world_readable") {
            return Ok(());
        }
        let content = json!({ "history_visibility": self.history_before(portal, &event).await? });
        self.stands_still(&portal.room_id, HISTORY, Some(&event.event_id))
            .await?;
        match bot
            .send_state(&portal.room_id, HISTORY, "", &content, None)
            .await
        {
            Err(error) if error.is_forbidden() => {
                tracing::warn!(room = %portal.room_id, "anybody can read a mirrored room, and the bridge lacks the power to end that");
                return self.tell_open(portal, &event.event_id).await;
            }
            outcome => outcome?,
        };
        let text = "Who may read the room did not change, and it is as it was again: Rocket.Chat shows no room to people without an account.";
        self.say(&bot, &portal.room_id, &event.event_id, "history", text)
            .await
    }

    /// Tells those of a private group on Rocket.Chat that others can read along on Matrix,
    /// which they cannot see: somebody opened the room, and has taken the power to close it
    /// from the bridge or never gave it. `event` is what opened it.
    pub(super) async fn tell_open(&self, portal: &Portal, event: &EventId) -> Result<(), Failure> {
        if !self.is_private(portal)? {
            return Ok(());
        }
        let text = "The room of this group on Matrix has been opened to people who are not in \
                    the group, and the bridge lacks the power to close it there.";
        let id = derived::telling_id_of_event(event, "open");
        self.tell_room(portal, &id, text).await
    }

    /// Who could read the room before somebody opened it to the world, so that newcomers do
    /// not read more than they could.
    async fn history_before(
        &self,
        portal: &Portal,
        opened: &TimelineEvent,
    ) -> Result<String, Failure> {
        let bot = self.matrix.bot();
        let mut event = bot.event(&portal.room_id, &opened.event_id).await?;
        for _ in 0..MOST_CHANGES {
            let Some(found) = event else { break };
            let shown = found.content.get("history_visibility");
            match shown.and_then(Value::as_str) {
                Some(before @ ("invited" | "joined" | "shared")) => return Ok(before.to_owned()),
                _ => {
                    event = match replaced(&found) {
                        Some(before) => bot.event(&portal.room_id, &before).await?,
                        None => None,
                    }
                }
            }
        }
        Ok("shared".to_owned())
    }
}
