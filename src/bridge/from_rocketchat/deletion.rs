//! Deletions on Rocket.Chat.

use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::RocketMessageId;
use crate::store::{Message, Origin, Portal, PortalKind};

impl Bridge {
    pub(super) async fn mirror_deletion(
        &self,
        portal: &Portal,
        id: &RocketMessageId,
    ) -> Result<(), Failure> {
        // What was set aside and then deleted must not be replayed.
        self.forget_dead_letters(|letter| {
            letter.origin == Origin::RocketChat
                && letter.room_id == portal.room_id
                && letter.id == id.as_str()
        })?;
        let Some(known) = self.store.message(&portal.rid, id)? else {
            // It may yet arrive: deletions travel on a stream of their own.
            let gone = Message {
                deleted: true,
                ..Message::new(
                    portal,
                    id.clone(),
                    Vec::new(),
                    self.config.appservice.bot.clone(),
                    Origin::RocketChat,
                )
            };
            return Ok(self.store.change().message(&gone).commit()?);
        };
        // Pieces that an edit on Matrix has made needless are no longer part of it.
        if known.deleted || !known.rocket_ids().any(|part| part == id) {
            return Ok(());
        }
        let author = match known.origin {
            Origin::RocketChat => self.matrix.as_user(known.sender.clone()),
            Origin::Matrix => self.reader(portal).await?,
        };
        for (part, event) in known.events.iter().enumerate() {
            let txn = derived::transaction_id(
                &portal.rid,
                author.user_id(),
                &known.id,
                known.revision,
                &format!("deletion {part}"),
            );
            match author.redact(&known.room_id, event, &txn, None).await {
                // In a direct message the room is the Matrix user's.
                Err(error) if error.is_forbidden() && known.origin == Origin::Matrix => {
                    let text = "This message was deleted on Rocket.Chat.";
                    self.say(&author, &known.room_id, event, "deleted", text)
                        .await?;
                }
                outcome => {
                    outcome?;
                }
            }
        }
        // What it was split into goes as one.
        for other in known.rocket_ids().filter(|other| *other != id) {
            self.delete_for_bridge(portal, &known, other).await?;
        }
        self.store
            .amend_message(&portal.rid, &known.id, |stored| stored.deleted = true)?;
        Ok(())
    }

    /// Deletes a message on Rocket.Chat that is gone on Matrix: as the bridge, or
    /// in a direct message, where the bridge is not, as its author.
    pub(in crate::bridge) async fn delete_for_bridge(
        &self,
        portal: &Portal,
        known: &Message,
        id: &RocketMessageId,
    ) -> Result<(), Failure> {
        let rid = &portal.rid;
        if !matches!(portal.kind, PortalKind::Direct { .. }) {
            let rocket = self.rocket().await;
            return Ok(rocket.bot.delete_message(rid, id, false).await?);
        }
        let puppet = self.puppet_of(&known.sender).await?;
        self.as_puppet(&puppet, |session| async move {
            session.delete_message(rid, id, false).await
        })
        .await
    }
}
