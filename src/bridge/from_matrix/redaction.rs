//! Redactions on Matrix: of messages, reactions and edits.

use std::sync::Arc;

use ruma::{EventId, UserId};
use serde_json::Value;

use super::edit::is_past;
use super::redacted_by;
use crate::bridge::{Bridge, Failure, derived};
use crate::store::{InboxEvent, Message, Origin, Portal};

impl Bridge {
    pub(super) async fn on_redaction(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<(), Failure> {
        let Some(redacted) = redacted_by(json, content) else {
            return Ok(());
        };
        self.join_unsaid(&event.sender, &redacted).await?;
        let Some(portal) = self.portal_of_room_or_earlier(&event.room_id)? else {
            return Ok(());
        };
        let room = &portal.room_id;
        if self.shows_picture(&portal, &redacted)? {
            return Ok(self.on_room_picture_redacted(&portal, event)?);
        }
        // What could not be delivered must not be replayed.
        if let Some(number) = self.store.dead_letter_of(room, redacted.as_str())? {
            let letters = self.store.dead_letters();
            let letter = letters.into_iter().find(|(found, _)| *found == number);
            let author = letter.and_then(|(_, letter)| letter.sender);
            let counts = match author {
                Some(author) => self.is_removed(&portal, event, &redacted, &author).await?,
                None => false,
            };
            if counts {
                let change = self.store.change();
                change.no_dead_letter(room, redacted.as_str()).commit()?;
            }
        }
        if let Some((known, id)) = self.store.message_of_reaction(room, &redacted)? {
            // A piece of a longer message may have reactions of its own.
            let known = Message { id, ..known };
            return self
                .on_reaction_removed(&portal, event, &redacted, &known)
                .await;
        }
        if let Some(known) = self.store.message_of_edit(room, &redacted)? {
            return self
                .on_edit_removed(&portal, event, &redacted, &known)
                .await;
        }
        match self.store.message_of_event(room, &redacted)? {
            // Also when it is noted as deleted: perhaps an earlier attempt got no further.
            Some(known) => {
                self.on_message_removed(&portal, event, &redacted, &known)
                    .await
            }
            None => match self.store.file_post(room, &redacted)? {
                Some(post)
                    if self
                        .is_removed(&portal, event, &redacted, &post.draft.sender)
                        .await? =>
                {
                    self.forget_file_of(&portal, &redacted)
                }
                _ => Ok(self.on_state_redacted(&portal)?),
            },
        }
    }

    /// Whether a redaction counts: the author's own does, and another's only if the
    /// homeserver has carried it out, for it alone knows all that has to be looked
    /// at.
    pub(super) async fn is_removed(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        redacted: &EventId,
        author: &UserId,
    ) -> Result<bool, Failure> {
        if event.sender == author {
            return Ok(true);
        }
        let reader = self.reader(portal).await?;
        let found = reader.event(&portal.room_id, redacted).await?;
        let by = found.as_ref().and_then(|found| {
            let because = found.json.pointer("/unsigned/redacted_because")?;
            because.get("event_id")?.as_str()
        });
        Ok(by == Some(event.event_id.as_str()))
    }

    async fn on_message_removed(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        redacted: &EventId,
        known: &Message,
    ) -> Result<(), Failure> {
        if !self
            .is_removed(portal, event, redacted, &known.sender)
            .await?
        {
            tracing::info!(event = %event.event_id, "a redaction that counts for nothing");
            return Ok(());
        }
        if known.origin == Origin::RocketChat && !known.events.iter().any(|one| one == redacted) {
            // No part of it any more: it is redacted because of what is on Rocket.Chat.
            return Ok(());
        }
        // Its content is gone here, whatever becomes of it there.
        self.store.end_file_links(&known.portal_id(), &known.id)?;
        let is_own = known.sender == event.sender;
        // The room may have mirrored one when it was written.
        let is_direct = portal.kind.is_direct() || known.rid != portal.rid;
        if !is_own && is_direct {
            return Err(Failure::Refused(
                "In a direct message on Rocket.Chat nobody can delete what the other wrote.".into(),
            ));
        }
        if is_own && self.is_gone_for_linked(known).await? {
            // They deleted it on Rocket.Chat, of which this comes.
            return Ok(());
        }
        if !is_own && known.origin == Origin::RocketChat {
            self.may_take_away(portal, &event.sender)?;
        }
        if is_own {
            if self.voice_of(known).await?.is_relay() {
                self.may_change_own(true).await?;
            }
            let limit = self.server_settings().await?.delete_minutes;
            if is_past(limit, known.sent_at) {
                return Err(Failure::Refused(format!(
                    "On Rocket.Chat a message can be deleted for {} minutes only.",
                    limit.unwrap_or_default()
                )));
            }
        }
        // Before it is done, so that the echo is not mirrored back.
        self.store
            .amend_message(&known.portal_id(), &known.id, |stored| {
                stored.deleted = true
            })?;
        // What the bridge's account posted is the words of this Matrix room, over which its
        // moderators decide.
        let is_relayed = known.origin == Origin::Matrix
            && known.posted_by.as_ref() == Some(self.rocket().await.bot.user_id());
        self.end_reactions_line(known).await?;
        let deleted = match portal.plumbed && !is_own && !is_relayed {
            // Whoever may delete in one of two rooms that existed may not thereby in both.
            true => self.delete_with_own_rights(portal, event, known).await,
            false => self.delete_pieces(portal, known, is_own).await,
        };
        if deleted.as_ref().is_err_and(Failure::is_permanent) {
            // It is there still, and what happens to it counts.
            self.store
                .amend_message(&known.portal_id(), &known.id, |stored| {
                    stored.deleted = false
                })?;
            self.say_again_who_reacts(portal, known).await?;
        }
        deleted?;
        // A message in several events goes as one.
        if known.origin == Origin::RocketChat {
            let author = self.eraser_of(portal, &known.sender).await?;
            for (part, other) in known.events.iter().enumerate() {
                if other == redacted {
                    continue;
                }
                let purpose = format!("deletion {part}");
                let txn = derived::transaction_id(
                    &known.portal_id(),
                    &known.sender,
                    &known.id,
                    known.revision,
                    &purpose,
                );
                match author.redact(&portal.room_id, other, &txn, None).await {
                    Err(error) if error.is_not_found() => {}
                    outcome => {
                        outcome?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether nothing of a message that a linked person wrote is on Rocket.Chat any more.
    async fn is_gone_for_linked(&self, known: &Message) -> Result<bool, Failure> {
        if self.store.linked_user(&known.sender)?.is_none() {
            return Ok(false);
        }
        let voice = self.voice_of(known).await?;
        for id in known.rocket_ids().chain(&known.surplus) {
            let there = self
                .as_voice(
                    &voice,
                    |session| async move { session.get_message(id).await },
                )
                .await;
            match there {
                Ok(there)
                    if there
                        .as_ref()
                        .is_none_or(|message| message.t.as_deref() == Some("rm")) => {}
                Ok(_) => return Ok(false),
                // It is left to the deletion.
                Err(failure) if failure.is_permanent() => return Ok(false),
                Err(failure) => return Err(failure),
            }
        }
        Ok(true)
    }

    /// Deletes somebody else's message on Rocket.Chat with the rights of who redacted it.
    async fn delete_with_own_rights(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        known: &Message,
    ) -> Result<(), Failure> {
        let puppet = self.account_in(portal, &event.sender).await?;
        for id in known.rocket_ids() {
            self.as_puppet(&puppet, |session| async move {
                session.delete_message(&known.rid, id, false).await
            })
            .await?;
        }
        Ok(())
    }

    /// Deletes a message on Rocket.Chat, with all that it was split into.
    async fn delete_pieces(
        &self,
        portal: &Portal,
        known: &Message,
        is_own: bool,
    ) -> Result<(), Failure> {
        let rid = &known.rid;
        for id in known.rocket_ids().chain(&known.surplus) {
            if is_own {
                let voice = self.voice_of(known).await?;
                self.as_voice(&voice, |session| async move {
                    session.delete_message(rid, id, false).await
                })
                .await?;
            } else {
                self.delete_for_bridge(portal, known, id).await?;
            }
        }
        Ok(())
    }

    /// An edit was taken back: the message says again what it says without it.
    async fn on_edit_removed(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        redacted: &EventId,
        known: &Message,
    ) -> Result<(), Failure> {
        let counts = self
            .is_removed(portal, event, redacted, &known.sender)
            .await?;
        let (true, false, Some(original)) = (counts, known.deleted, known.events.first()) else {
            return Ok(());
        };
        if known.origin == Origin::RocketChat {
            return Err(Failure::Refused(
                "On Rocket.Chat the message keeps what its author made of it.".into(),
            ));
        }
        let reader = self.reader(portal).await?;
        let Some(now) = reader.event(&portal.room_id, original).await? else {
            return Ok(());
        };
        // What the homeserver puts beside an event is its newest edit.
        let newest = now
            .json
            .pointer("/unsigned/m.relations/m.replace/content/m.new_content");
        self.edit(
            portal,
            &event.event_id,
            newest.unwrap_or(&now.content),
            known,
        )
        .await
    }
}
