//! Deletions on Rocket.Chat.

use crate::bridge::{Bridge, Failure, derived};
use crate::matrix::{self, Intent};
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{Message, Origin, Portal, PortalKind};

/// What is said where nobody may take a file away that is gone on Rocket.Chat.
const FILE_IS_GONE: &str = "This file was removed on Rocket.Chat.";

/// The same of a part of a message.
const PART_IS_GONE: &str = "This part of the message was removed on Rocket.Chat.";

impl Bridge {
    pub(in crate::bridge) async fn mirror_deletion(
        &self,
        portal: &Portal,
        id: &RocketMessageId,
    ) -> Result<(), Failure> {
        let Some(known) = self.store.message(&portal.id, id)? else {
            // Its words may have come there, and nobody have noted that.
            self.store.end_file_links(&portal.id, id)?;
            // It may yet arrive: deletions travel on a stream of their own.
            return Ok(self.store.change().message(&gone(portal, id)).commit()?);
        };
        // Pieces that an edit on Matrix has made needless are no longer part of it.
        if known.deleted || !known.rocket_ids().any(|part| part == id) {
            return Ok(());
        }
        // First of all, so that no failure of the rest keeps its files in reach.
        self.store.end_file_links(&portal.id, &known.id)?;
        let author = match known.origin {
            Origin::RocketChat => self.eraser_of(portal, &known.sender).await?,
            Origin::Matrix => self.reader(portal).await?,
        };
        for (part, event) in known.events.iter().chain(&known.leaving).enumerate() {
            let txn = derived::transaction_id(
                &portal.id,
                author.user_id(),
                &known.id,
                known.revision,
                &format!("deletion {part}"),
            );
            let text = "This message was deleted on Rocket.Chat.";
            self.redact_part(portal, &known, event, &author, &txn, text)
                .await?;
        }
        // Beneath what is gone nothing shall name people.
        self.end_reactions_line(&known).await?;
        // What it was split into goes as one.
        for other in known.rocket_ids().filter(|other| *other != id) {
            self.delete_for_bridge(portal, &known, other).await?;
        }
        self.store
            .amend_message(&portal.id, &known.id, |stored| stored.deleted = true)?;
        Ok(())
    }

    /// Takes the files of a message away that Rocket.Chat has thrown away: by
    /// `rooms.cleanHistory` with `filesOnly`, or because it keeps files for some time only.
    /// 6.14 leaves the message there, without `file` and with a note in place of its
    /// attachments; it is no edit, and no deletion is told of. What is left of the message.
    pub(super) async fn mirror_pruned_files(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: Message,
    ) -> Result<Message, Failure> {
        let gone: Vec<_> = match known.origin {
            Origin::RocketChat => known
                .files
                .iter()
                .filter(|file| !brings(message, file.id.as_str()))
                .map(|file| file.event.clone())
                .collect(),
            // `files` stays: what never had a file here has none in it.
            Origin::Matrix if known.media.is_some() && !known.pending => {
                let is_there = message.files.iter().any(|file| brings(message, &file.id));
                match message.files.is_empty() || is_there {
                    true => Vec::new(),
                    false => known.events.clone(),
                }
            }
            Origin::Matrix => Vec::new(),
        };
        if message.file.is_some() || gone.is_empty() {
            return Ok(known);
        }
        self.store.end_file_links(&portal.id, &known.id)?;
        let amend = |stored: &mut Message| {
            stored.files.retain(|file| !gone.contains(&file.event));
            stored.media = None;
            if stored.origin == Origin::RocketChat {
                stored.events.retain(|event| !gone.contains(event));
                stored.leaving.extend(gone.iter().cloned());
            }
        };
        if known.origin == Origin::RocketChat {
            self.store.amend_message(&portal.id, &known.id, amend)?;
            return self.redact_leaving(portal, known).await;
        }
        let author = self.reader(portal).await?;
        for event in &gone {
            let txn = derived::notice_id(event, "pruned");
            self.redact_part(portal, &known, event, &author, &txn, FILE_IS_GONE)
                .await?;
        }
        self.store.amend_message(&portal.id, &known.id, amend)?;
        Ok(self.store.message(&portal.id, &known.id)?.unwrap_or(known))
    }

    /// Redacts the events that a message has no longer; what is left of the message. What
    /// is redacted as somebody real comes back as any other redaction of theirs: that it is
    /// not the message's is on disk before.
    pub(super) async fn redact_leaving(
        &self,
        portal: &Portal,
        known: Message,
    ) -> Result<Message, Failure> {
        let (id, message) = (known.portal_id(), known.id.clone());
        let known = self.store.message(&id, &message)?.unwrap_or(known);
        if known.leaving.is_empty() {
            return Ok(known);
        }
        self.store.flushed().await?;
        let author = self.eraser_of(portal, &known.sender).await?;
        let redacted = self.redact_parts(portal, &known, &author).await;
        // What nobody may take away is tried once: it must not stop what follows.
        if redacted.as_ref().err().is_none_or(Failure::is_permanent) {
            self.store.amend_message(&id, &message, |stored| {
                stored
                    .leaving
                    .retain(|event| !known.leaving.contains(event));
            })?;
        }
        redacted?;
        Ok(self.store.message(&id, &message)?.unwrap_or(known))
    }

    async fn redact_parts(
        &self,
        portal: &Portal,
        known: &Message,
        author: &Intent,
    ) -> Result<(), Failure> {
        for event in &known.leaving {
            let txn = derived::notice_id(event, "no part any more");
            self.redact_part(portal, known, event, author, &txn, PART_IS_GONE)
                .await?;
        }
        Ok(())
    }

    /// Redacts an event of a message as `author`; where nobody may, `text` is said of it.
    async fn redact_part(
        &self,
        portal: &Portal,
        known: &Message,
        event: &ruma::EventId,
        author: &Intent,
        txn: &ruma::TransactionId,
        text: &str,
    ) -> Result<(), Failure> {
        match author.redact(&known.room_id, event, txn, None).await {
            Err(error) if error.is_forbidden() => {
                self.redact_otherwise(portal, known, event, author, text)
                    .await
            }
            outcome => done_or_gone(outcome),
        }
    }

    /// Takes an event away that its author, or who tidies the room, may not: a ghost
    /// that was removed from the room, or a direct message whose room is the Matrix
    /// user's.
    async fn redact_otherwise(
        &self,
        portal: &Portal,
        known: &Message,
        event: &ruma::EventId,
        author: &Intent,
        text: &str,
    ) -> Result<(), Failure> {
        if !matches!(portal.kind, PortalKind::Direct { .. }) {
            let bot = self.matrix.bot();
            let txn = derived::notice_id(event, "deletion by the bot");
            return done_or_gone(bot.redact(&known.room_id, event, &txn, None).await);
        }
        match self
            .say(author, &known.room_id, event, "deleted", text)
            .await
        {
            // A room that the conversation has left.
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(room = %known.room_id, %failure, "what was deleted on Rocket.Chat stays on Matrix");
                Ok(())
            }
            outcome => outcome,
        }
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
        let voice = self.voice_of(known).await?;
        self.as_voice(&voice, |session| async move {
            session.delete_message(rid, id, false).await
        })
        .await
    }
}

/// Whether a message still shows an upload.
fn brings(message: &RocketMessage, file: &str) -> bool {
    let path = format!("/file-upload/{file}/");
    let is_named = message.file.as_ref().is_some_and(|named| named.id == file);
    is_named
        || message.attachments.iter().any(|one| {
            [
                &one.title_link,
                &one.image_url,
                &one.audio_url,
                &one.video_url,
            ]
            .into_iter()
            .flatten()
            .any(|link| link.contains(&path))
        })
}

/// What is left of a message that is gone: nobody shall mirror it.
pub(in crate::bridge) fn gone(portal: &Portal, id: &RocketMessageId) -> Message {
    Message {
        deleted: true,
        ..Message::new(
            portal,
            id.clone(),
            Vec::new(),
            // Nobody's events: nobody's id is needed.
            ruma::owned_user_id!("@gone:invalid"),
            Origin::RocketChat,
        )
    }
}

/// An event that the homeserver no longer has is gone as well.
fn done_or_gone<T>(outcome: Result<T, matrix::Error>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}
