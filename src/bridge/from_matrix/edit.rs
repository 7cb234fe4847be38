//! Edits of Matrix messages.

use std::sync::Arc;

use ruma::EventId;
use serde_json::Value;

use super::Done;
use super::file::{Attached, file_address};
use super::message::says_nothing;
use super::post::Speaker;
use crate::bridge::from_rocketchat::gone;
use crate::bridge::perseverance::Attempt;
use crate::bridge::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::store::{InboxEvent, Message, Origin, Portal};

/// How many texts are remembered that have not come back. Those of one edit, which are its
/// pieces, and of some before it.
const MOST_WRITTEN: usize = 64;

impl Bridge {
    #[allow(clippy::too_many_arguments, reason = "what an event is known by")]
    pub(super) async fn on_edit(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        json: &Value,
        original: &EventId,
        content: &Value,
        attempt: Attempt,
    ) -> Result<Done, Failure> {
        let new = content.get("m.new_content").filter(|new| new.is_object());
        let new = new.unwrap_or(content);
        let at = json
            .get("origin_server_ts")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        let known = self.store.message_of_event(&portal.room_id, original)?;
        let Some(known) = known.filter(|known| !known.pending) else {
            // Commands are not mirrored, nor are they given by correcting them.
            if self.command_in(event, new, true)?.is_some() {
                return Ok(Done::default());
            }
            return self
                .edit_of_unknown(portal, event, json, original, new, attempt)
                .await;
        };
        // An edit by somebody else is none (Matrix specification 1.4, "Event
        // replacements"): no client shows it.
        // Of what was written on Rocket.Chat, that server's clock has counted so far.
        let revision = match known.origin {
            Origin::Matrix => known.revision,
            Origin::RocketChat => known.foreign_revision,
        };
        if known.sender != event.sender || known.deleted || at < revision {
            tracing::debug!(event = %event.event_id, "an edit that counts for nothing");
            return Ok(Done::default());
        }
        if !carries_text(&known, original) {
            return Err(Failure::Refused(
                "On Rocket.Chat it is one message with others here, and its whole text is not in this one. It can be edited there.".into(),
            ));
        }
        let voice = self.voice_of(&known).await?;
        if voice.is_relay() {
            self.come_in(portal, &voice).await?;
            self.may_change_own(false).await?;
        }
        self.edit(portal, &event.event_id, new, &known).await?;
        self.store
            .amend_message(&known.portal_id(), &known.id, |stored| match known.origin {
                Origin::Matrix => stored.revision = at,
                Origin::RocketChat => stored.foreign_revision = at,
            })?;
        self.store
            .change()
            .edit_event(&known, &event.event_id)
            .commit()?;
        Ok(Done::default())
    }

    /// Writes new words into a message. `event` is what they come from.
    pub(super) async fn edit(
        &self,
        portal: &Portal,
        event: &EventId,
        new: &Value,
        known: &Message,
    ) -> Result<(), Failure> {
        // Rocket.Chat does not check the right to call everybody at an edit.
        let file = Attached::of("m.room.message", new);
        let words = match &file {
            Some(file) => self.words_of_edited_file(portal, known, file).await?,
            None => match self.words_of("m.room.message", new, false)? {
                Some(words) => words,
                None => return says_nothing("m.room.message", new),
            },
        };
        let voice = self.voice_of(known).await?;
        let shown = self.shown_again(portal, &voice, &known.id).await?;
        let words = self.words_for(portal, &voice, &shown, words).await?;
        let settings = self.server_settings().await?;
        let limit = settings.edit_minutes;
        if is_past(limit, known.sent_at) {
            return Err(Failure::Refused(format!(
                "On Rocket.Chat a message can be edited for {} minutes only.",
                limit.unwrap_or_default()
            )));
        }
        let pieces = match known.quoted_links.as_slice() {
            [] => self.pieces_of(portal, &words, known.quote.as_ref()).await?,
            links => self.pieces_quoting(&words, links).await?,
        };
        if known.rid != portal.rid && pieces.len() > known.rocket_ids().count() {
            return Err(Failure::Refused(
                "It has become too long for one message of the direct message that it was written in.".into(),
            ));
        }
        if voice.is_own() {
            // What the person makes of it there themselves is news: the note alone tells
            // that this is not.
            let written: Vec<_> = pieces.iter().map(|piece| derived::written(piece)).collect();
            self.store
                .amend_message(&known.portal_id(), &known.id, |stored| {
                    stored.written.extend(written);
                    let too_many = stored.written.len().saturating_sub(MOST_WRITTEN);
                    stored.written.drain(..too_many);
                    // What is said of a file is not what Rocket.Chat said last.
                    for file in &mut stored.files {
                        file.said.clear();
                    }
                })?;
            self.store.flushed().await?;
        }
        let rid = &known.rid;
        for (id, text) in known.rocket_ids().zip(&pieces) {
            self.as_voice(&voice, |session| async move {
                session.update_message(rid, id, text).await
            })
            .await?;
        }
        // What the message no longer names nobody shall find by it.
        self.store
            .end_file_links_but(&known.portal_id(), &known.id, file.map(|file| file.mxc))?;
        let speaker = Speaker {
            portal,
            voice: &voice,
            shown: &shown,
        };
        self.fit_pieces(&speaker, event, known, &pieces).await
    }

    /// Adds the pieces that a text has more than before, or deletes what it has
    /// fewer.
    async fn fit_pieces(
        &self,
        speaker: &Speaker<'_>,
        event: &EventId,
        known: &Message,
        pieces: &[String],
    ) -> Result<(), Failure> {
        let portal = speaker.portal;
        let before = known.rocket_ids().count();
        let mut more = known.more.clone();
        let mut noted = Vec::new();
        if let Some(added) = pieces.get(before..).filter(|added| !added.is_empty()) {
            // Under ids of the edit: those of a piece that was deleted are not free
            // again everywhere.
            noted = self
                .note_pieces(speaker, event, known, before, added.len())
                .await?;
            let added = self
                .post_pieces(speaker, event, before, added, known.thread.as_ref())
                .await?;
            more.extend(added.ids);
        }
        // No longer pieces of it, before they are deleted: their deletions, which come
        // back, are not its own.
        let mut surplus = known.surplus.clone();
        surplus.extend(more.drain(more.len().min(pieces.len().saturating_sub(1))..));
        let rid = &known.rid;
        for id in &surplus {
            let gone = Message {
                rid: rid.clone(),
                ..gone(portal, id)
            };
            self.store.change().message(&gone).commit()?;
        }
        let to_delete = surplus.clone();
        self.store
            .amend_message(&known.portal_id(), &known.id, |stored| {
                stored.more = more;
                stored.surplus = surplus;
            })?;
        for piece in &noted {
            self.store.change().unsaid(piece).commit()?;
        }
        for id in &to_delete {
            self.as_voice(speaker.voice, |session| async move {
                session.delete_message(rid, id, false).await
            })
            .await?;
        }
        if !to_delete.is_empty() {
            self.store
                .amend_message(&known.portal_id(), &known.id, |stored| {
                    stored.surplus.clear()
                })?;
        }
        Ok(())
    }

    /// Notes pieces that are about to be added to a message, for as long as its own record
    /// does not name them: other rooms of the channel know by that whose they are, and this
    /// one that somebody's own account did not write them by itself.
    async fn note_pieces(
        &self,
        speaker: &Speaker<'_>,
        event: &EventId,
        known: &Message,
        from: usize,
        count: usize,
    ) -> Result<Vec<Message>, Failure> {
        let portal = speaker.portal;
        let is_own = speaker.voice.is_own();
        if !is_own && self.other_portals(portal)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut noted = Vec::with_capacity(count);
        for at in 0..count {
            let id = self.message_id(event, from + at, 0);
            let sender = known.sender.clone();
            let piece = Message {
                pending: true,
                ..Message::new(portal, id, Vec::new(), sender, Origin::Matrix)
            };
            self.store.change().message(&piece).commit()?;
            noted.push(piece);
        }
        self.store.flushed().await?;
        Ok(noted)
    }

    /// An edit of something that never arrived: the words are what counts.
    #[allow(clippy::too_many_arguments, reason = "what an event is known by")]
    async fn edit_of_unknown(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        json: &Value,
        original: &EventId,
        new: &Value,
        attempt: Attempt,
    ) -> Result<Done, Failure> {
        let reader = self.reader(portal).await?;
        let own = reader
            .event(&portal.room_id, original)
            .await?
            .filter(|found| found.sender == event.sender);
        let Some(own) = own else {
            return self.mirror_words(portal, event, json, new, attempt).await;
        };
        // What it answers, and in which thread, only the original says.
        let references = self.references_of(portal, &own.content).await?;
        // From now on this is the original, should it arrive after all. Only because
        // it is the sender's own: nobody's words stand for another's.
        let as_original = InboxEvent {
            event_id: original.to_owned(),
            ..event.clone()
        };
        let mut done = self
            .mirror_referring(portal, &as_original, json, new, references, attempt)
            .await?;
        if let Some(message) = &mut done.message {
            message.revision = message.sent_at;
            self.store
                .change()
                .edit_event(message, &event.event_id)
                .commit()?;
        }
        Ok(done)
    }
}

/// Whether an edit of that event says all that the message says on Rocket.Chat. Of what was
/// written there the first event has the text; not all of it where it became several, and
/// with other words where it stands for a file that could not be brought.
fn carries_text(known: &Message, event: &EventId) -> bool {
    if known.origin == Origin::Matrix {
        return true;
    }
    let Some((first, others)) = known.events.split_first() else {
        return false;
    };
    let is_whole = match known.file_of(first) {
        Some(file) => file_address(&file.content).is_some(),
        None => true,
    };
    first == event && is_whole && others.iter().all(|other| known.file_of(other).is_some())
}

/// Whether something of that time (ms) is older than so many minutes.
pub(super) fn is_past(minutes: Option<u64>, sent_at: i64) -> bool {
    let Some(minutes) = minutes.and_then(|minutes| i64::try_from(minutes).ok()) else {
        return false;
    };
    sent_at > 0 && now_ms().saturating_sub(sent_at) > minutes.saturating_mul(60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_edits_the_whole_text_edits_it() {
        let portal = Portal::own(
            crate::rocketchat::RocketRoomId::new("r"),
            ruma::owned_room_id!("!r:example.org"),
            crate::store::PortalKind::Channel,
            String::new(),
            0,
        );
        let (a, b) = (
            ruma::owned_event_id!("$a:example.org"),
            ruma::owned_event_id!("$b:example.org"),
        );
        // What each event brings: nothing, a file, or words for one.
        let known = |brought: &[Option<Value>]| {
            let events = [a.clone(), b.clone()];
            let files = brought.iter().zip(&events).filter_map(|(content, event)| {
                Some(crate::store::MirroredFile {
                    id: crate::rocketchat::FileId::new("f"),
                    event: event.clone(),
                    content: content.clone()?,
                    said: String::new(),
                })
            });
            Message {
                files: files.collect(),
                ..Message::new(
                    &portal,
                    crate::rocketchat::RocketMessageId::new("m"),
                    events[..brought.len()].to_vec(),
                    ruma::owned_user_id!("@alice:example.org"),
                    Origin::RocketChat,
                )
            }
        };
        let file = || Some(serde_json::json!({ "url": "mxc://example.org/x" }));
        let words = || Some(serde_json::json!({ "body": "a file" }));
        let table = [
            (known(&[None]), true, false),
            (known(&[file()]), true, false),
            (known(&[words()]), false, false),
            (known(&[file(), file()]), true, false),
            // A text in several pieces, or behind a file.
            (known(&[None, None]), false, false),
            (known(&[file(), None]), false, false),
        ];
        for (known, first, second) in table {
            assert_eq!(carries_text(&known, &a), first, "{known:?}");
            assert_eq!(carries_text(&known, &b), second, "{known:?}");
        }
    }

    #[test]
    fn a_limit_counts_from_when_it_was_written() {
        assert!(!is_past(None, 1));
        assert!(is_past(Some(1), now_ms() - 61_000));
        assert!(!is_past(Some(1), now_ms() - 30_000));
        // Nobody knows when: it is left to the server.
        assert!(!is_past(Some(1), 0));
    }
}
