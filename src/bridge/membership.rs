//! Who comes and goes in a Matrix room.

use std::sync::Arc;

use ruma::UserId;
use serde_json::Value;

use super::{Bridge, Failure};
use crate::store::{InboxEvent, PortalKind};

impl Bridge {
    pub(super) async fn on_membership(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<(), Failure> {
        let member = json.get("state_key").and_then(Value::as_str);
        let Some(Ok(member)) = member.map(UserId::parse) else {
            return Ok(());
        };
        let membership = content.get("membership").and_then(Value::as_str);
        let is_bot = member == self.config.appservice.bot;
        if membership == Some("join")
            && !self.config.is_ours(&member)
            && self.store.portal_of_room(&event.room_id)?.is_some()
        {
            self.note_member(&member, content)?;
        }
        if matches!(membership, Some("invite" | "join"))
            && !self.config.is_ours(&member)
            && let Some(portal) = self.store.portal_of_room(&event.room_id)?
            && let PortalKind::Direct { matrix_user, .. } = &portal.kind
            && *matrix_user != member
        {
            return self.end_direct(&portal, event).await;
        }
        match membership {
            Some("invite") if is_bot => self.on_bot_invited(event).await,
            Some("invite") if self.config.is_ghost(&member) => {
                self.on_ghost_invited(event, &member).await
            }
            Some("leave" | "ban") if is_bot => {
                self.store
                    .change()
                    .bot_room(&event.room_id, false)
                    .commit()?;
                self.on_put_out(event, &member).await
            }
            Some("leave" | "ban") if self.config.is_ghost(&member) => {
                // Also when it declines an invitation that no longer stands.
                self.store
                    .change()
                    .ghost_not_in_room(&event.room_id, &member)
                    .commit()?;
                self.on_put_out(event, &member).await
            }
            Some("leave" | "ban") => {
                // Asked again at the next message from the other side.
                self.person_left(&event.room_id);
                self.look_for_user(&member)
            }
            _ => Ok(()),
        }
    }

    /// The bot follows every invitation, to say what it is there for.
    async fn on_bot_invited(self: &Arc<Self>, event: &InboxEvent) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        match bot.join(&event.room_id, None).await {
            Ok(()) => {}
            Err(error) if error.is_forbidden() => {
                // Withdrawn meanwhile.
                tracing::info!(room = %event.room_id, "an invitation no longer stands");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if self.store.portal_of_room(&event.room_id)?.is_some() {
            return Ok(());
        }
        self.store
            .change()
            .bot_room(&event.room_id, true)
            .commit()?;
        let text = self.commands.greeting(self, &event.sender);
        self.say(&bot, &event.room_id, &event.event_id, "greeting", &text)
            .await
    }
}
