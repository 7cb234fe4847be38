//! Messages of Matrix.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ruma::{EventId, OwnedEventId};
use serde_json::Value;

use super::file::Attached;
use super::post::Speaker;
use super::{Done, replaced_by};
use crate::bridge::perseverance::Attempt;
use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::convert::to_rocketchat;
use crate::rocketchat::documents::Timestamp;
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::{InboxEvent, Message, Origin, Portal, Thread};

/// What a message refers to.
#[derive(Debug, Default)]
pub(super) struct References {
    /// The first message of the thread on Rocket.Chat.
    thread: Option<RocketMessageId>,
    /// The event that the thread hangs on, where this message is its newest.
    root: Option<OwnedEventId>,
    /// What it quotes.
    quote: Option<RocketMessageId>,
    /// What has to be said of targets that are not on Rocket.Chat.
    hint: Option<&'static str>,
}

impl References {
    /// A line in the thread of a message, which is no message on Matrix itself.
    pub(super) fn beneath(portal: &Portal, known: &Message) -> Self {
        if known.rid != portal.rid {
            return Self {
                hint: Some("(to a message that is not here)"),
                ..Self::default()
            };
        }
        Self {
            thread: Some(known.thread.clone().unwrap_or_else(|| known.id.clone())),
            ..Self::default()
        }
    }

    /// The first message of the thread on Rocket.Chat.
    pub(super) fn thread(&self) -> Option<&RocketMessageId> {
        self.thread.as_ref()
    }

    /// What is quoted.
    pub(super) fn quote(&self) -> Option<&RocketMessageId> {
        self.quote.as_ref()
    }
}

impl Bridge {
    pub(super) async fn on_message_event(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
        attempt: Attempt,
    ) -> Result<Done, Failure> {
        let body = content
            .get("body")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let portal = self.store.portal_of_room(&event.room_id)?;
        let original = replaced_by(content);
        // Not notices, which are what programs say: answering them is how two bots never
        // end. Nor what somebody wrote beneath a picture, or into an older message.
        let is_said = content.get("msgtype").and_then(Value::as_str) == Some("m.text");
        if is_said
            && original.is_none()
            && let Some(command) = self.command_in(event, content, portal.is_some())?
        {
            self.run_command(event, command).await?;
            return Ok(Done::default());
        }
        let Some(portal) = portal else {
            return Ok(Done::default());
        };
        self.refuse_if_archived(&portal).await?;
        self.refuse_if_encrypted(&portal).await?;
        match original {
            Some(original) => {
                self.on_edit(&portal, event, json, &original, content, attempt)
                    .await
            }
            None if self.goes_round_from_matrix(&portal, event, json, body) => Ok(Done::default()),
            None => {
                self.mirror_words(&portal, event, json, content, attempt)
                    .await
            }
        }
    }

    /// Says on Rocket.Chat what an event says, and shows what it brings.
    pub(super) async fn mirror_words(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
        attempt: Attempt,
    ) -> Result<Done, Failure> {
        let references = self.references_of(portal, content).await?;
        self.mirror_referring(portal, event, json, content, references, attempt)
            .await
    }

    /// As [`Bridge::mirror_words`], of something that refers to this.
    #[allow(clippy::too_many_arguments, reason = "what an event is known by")]
    pub(super) async fn mirror_referring(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
        references: References,
        attempt: Attempt,
    ) -> Result<Done, Failure> {
        if let Some(known) = self
            .store
            .message_of_event(&portal.room_id, &event.event_id)?
            && known.sender == event.sender
            && !known.pending
        {
            // An edit came before it and has said what it says now.
            return Ok(Done::default());
        }
        if let Some(file) = Attached::of(&event.kind, content) {
            return self
                .mirror_file(portal, event, json, &file, references, attempt)
                .await;
        }
        let Some(words) = self.words_of(&event.kind, content, false)? else {
            says_nothing(&event.kind, content)?;
            return Ok(Done::default());
        };
        let voice = self.voice_for(portal, event).await?;
        // The bridge's account may call everybody, and lends that right to nobody.
        let may_call_all = !voice.is_relay()
            && self
                .calls_everybody_by_right(portal, event, content)
                .await?;
        let loud = match may_call_all {
            true => self.words_of(&event.kind, content, true)?,
            false => None,
        };
        let said = loud.as_deref().unwrap_or(&words);
        let posted = self
            .post_words(portal, event, json, said, &references, &voice)
            .await;
        let posted = match posted {
            // The puppet may not call everybody here: the words are what counts.
            Err(Failure::RocketChat(error))
                if may_call_all && error.code() == Some("error-action-not-allowed") =>
            {
                self.post_words(portal, event, json, &words, &references, &voice)
                    .await?
            }
            outcome => outcome?,
        };
        // An edit may have made words of a file that did not arrive.
        self.forget_file_of(portal, &event.event_id)?;
        self.follow_direct(portal.clone());
        Ok(done(portal, event, json, posted, &references))
    }

    pub(super) async fn post_words(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        json: &Value,
        words: &str,
        references: &References,
        voice: &Voice,
    ) -> Result<Posted, Failure> {
        let shown = self.shown(portal, voice).await?;
        let words = self.framed(json, words, references);
        let words = self.words_for(portal, voice, &shown, words).await?;
        let pieces = self
            .pieces_of(portal, &words, references.quote.as_ref())
            .await?;
        // Written down before it is there: what happens to it on Rocket.Chat may be
        // heard of before the answer comes.
        let id = |piece| self.message_id(&event.event_id, piece, 0);
        let by = voice.account().clone();
        let coming = Message {
            pending: true,
            begun_at: now_ms(),
            more: (1..pieces.len()).map(id).collect(),
            posted_by: Some(by.clone()),
            ..record(portal, event, json, id(0), references)
        };
        let begun = self.store.begin_message(&coming)?;
        self.flush_for_others(portal).await?;
        if let Some(begun) = begun
            && self.is_gone_already(portal, &begun).await?
        {
            tracing::info!(event = %event.event_id, "deleted on Rocket.Chat before it was done here");
            let ids = Vec::new();
            return Ok(Posted { ids, by });
        }
        if voice.is_relay() || voice.is_own() {
            // Who speaks for somebody may be settled otherwise when the bridge comes back:
            // only the note tells that this one is there, and whose it is. And what a person
            // writes with their own account themselves is news.
            self.store.flushed().await?;
        }
        let speaker = Speaker {
            portal,
            voice,
            shown: &shown,
        };
        let thread = references.thread.as_ref();
        self.post_pieces(&speaker, &event.event_id, 0, &pieces, thread)
            .await
    }

    /// Words, which may be none, with what has to be said of when they were written and of
    /// what they refer to.
    pub(super) fn framed(&self, json: &Value, words: &str, references: &References) -> String {
        let words = match references.hint {
            Some(hint) => format!("{hint}\n{words}"),
            None => words.to_owned(),
        };
        let words = match self.lateness(json) {
            Some(written) => to_rocketchat::late(&words, written),
            None => words,
        };
        words.trim_end_matches('\n').to_owned()
    }

    /// Whether what an earlier attempt may have posted has been deleted on Rocket.Chat
    /// since. The id of a deleted message is free again: it must not be posted anew.
    pub(super) async fn is_gone_already(
        &self,
        portal: &Portal,
        begun: &Message,
    ) -> Result<bool, Failure> {
        /// The clocks of the two servers need not agree.
        const BEFORE_MS: i64 = 300_000;
        if begun.deleted {
            return Ok(true);
        }
        // Nothing of it can have been deleted before it was first tried.
        let since = Timestamp((begun.begun_at - BEFORE_MS).max(0));
        let changes = {
            // Never closed.
            let _slot = self.looks.acquire().await;
            match self.sync(portal, since).await {
                Ok(changes) => changes,
                // Only a look: it must not condemn what it is about.
                Err(failure) if failure.is_permanent() => {
                    tracing::warn!(rid = %portal.rid, %failure, "cannot see what was deleted");
                    return Ok(false);
                }
                Err(failure) => return Err(failure),
            }
        };
        let deleted = changes
            .deleted
            .iter()
            .find(|deleted| begun.rocket_ids().any(|id| *id == deleted.id));
        match deleted {
            Some(deleted) => {
                self.mirror_deletion(portal, &deleted.id).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// A text in pieces that Rocket.Chat takes, the first of them with the quote.
    pub(super) async fn pieces_of(
        &self,
        portal: &Portal,
        words: &str,
        quote: Option<&RocketMessageId>,
    ) -> Result<Vec<String>, Failure> {
        let settings = self.server_settings().await?;
        let link =
            quote.map(|id| settings.permalink(portal, id.as_str(), &self.config.rocketchat.url));
        self.pieces_quoting(words, link.as_slice()).await
    }

    /// As [`Bridge::pieces_of`], with the addresses of what is quoted.
    pub(super) async fn pieces_quoting(
        &self,
        words: &str,
        links: &[String],
    ) -> Result<Vec<String>, Failure> {
        /// Less is no place for words, whatever the server says.
        const LEAST: usize = 50;
        let settings = self.server_settings().await?;
        let quotes: String = links.iter().map(|link| format!("[ ]({link})\n")).collect();
        let taken = quotes.encode_utf16().count();
        let room = settings.max_text.saturating_sub(taken).max(LEAST);
        let mut pieces = to_rocketchat::split(words, room);
        if let Some(first) = pieces.first_mut() {
            first.insert_str(0, &quotes);
        }
        Ok(pieces)
    }

    /// When the event was written, if that is so long ago that people should know.
    fn lateness(&self, json: &Value) -> Option<SystemTime> {
        let written = json.get("origin_server_ts")?.as_u64()?;
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(written))?;
        let age = SystemTime::now().duration_since(written).ok()?;
        (age >= self.config.bridge.late_after).then_some(written)
    }

    /// What a message refers to. A target is found only in the bridge's own records
    /// of the same room, and nothing is ever fetched to be quoted: nobody gets to
    /// read by a reply what they could not read before.
    pub(super) async fn references_of(
        &self,
        portal: &Portal,
        content: &Value,
    ) -> Result<References, Failure> {
        let mut references = References::default();
        let Some(relation) = content.get("m.relates_to") else {
            return Ok(references);
        };
        let event = |id: Option<&Value>| EventId::parse(id?.as_str()?).ok();
        let is_thread = relation.get("rel_type").and_then(Value::as_str) == Some("m.thread");
        if is_thread && let Some(root) = event(relation.get("event_id")) {
            self.refer_to_thread(portal, root, &mut references).await?;
        }
        let is_fallback =
            is_thread && relation.get("is_falling_back").and_then(Value::as_bool) == Some(true);
        if !is_fallback && let Some(target) = event(relation.pointer("/m.in_reply_to/event_id")) {
            match self.store.message_of_event(&portal.room_id, &target)? {
                Some(known) if is_in(portal, &known) => references.quote = Some(known.id),
                // What was deleted is known to nobody any more.
                _ if references.hint.is_none() => {
                    references.hint = Some("(in reply to a message that is not here)");
                }
                _ => {}
            }
        }
        Ok(references)
    }

    async fn refer_to_thread(
        &self,
        portal: &Portal,
        root: OwnedEventId,
        references: &mut References,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        references.thread = match self.store.thread_of_root(room, &root)? {
            // Of what the room mirrored before, the direct message.
            Some(first) if self.store.thread(&portal.id, &first)?.is_none() => None,
            Some(first) => Some(first),
            None => self
                .store
                .message_of_event(room, &root)?
                .filter(|known| is_in(portal, known))
                .map(|known| known.thread.unwrap_or(known.id)),
        };
        if let Some(first) = &references.thread {
            // The root that the thread has already: a message may name another one
            // of it.
            references.root = match self.store.thread(&portal.id, first)? {
                Some(thread) => Some(thread.root),
                None => self.event_of(portal, first)?,
            };
            return Ok(());
        }
        references.hint = Some("(in a thread that is not here)");
        // Nothing can hang on what hangs on something itself.
        let reader = self.reader(portal).await?;
        let is_root = reader
            .event(room, &root)
            .await?
            .is_some_and(|found| found.content.pointer("/m.relates_to/rel_type").is_none());
        references.root = is_root.then_some(root);
        Ok(())
    }
}

/// Whether a message can be referred to. Not where the Matrix room mirrored another room
/// of Rocket.Chat when it was written, a direct message that became a group: a thread
/// would lead back there, and a quote show it to those who came later.
fn is_in(portal: &Portal, known: &Message) -> bool {
    known.is_there() && known.rid == portal.rid
}

/// What becomes of an event without words: a message is not dropped without a word to
/// its sender, unless it was redacted before it came here and so has no content at
/// all.
pub(super) fn says_nothing(kind: &str, content: &Value) -> Result<(), Failure> {
    let is_for_people = matches!(kind, "m.room.message" | "m.sticker");
    let is_empty = content.as_object().is_none_or(serde_json::Map::is_empty);
    if is_for_people && !is_empty {
        return Err(Failure::Refused(
            "There is nothing in it that Rocket.Chat could show.".into(),
        ));
    }
    Ok(())
}

/// What came of an event on Rocket.Chat.
pub(super) struct Posted {
    /// Its messages, in order; none when it was deleted meanwhile.
    pub ids: Vec<RocketMessageId>,
    /// The account that posted them.
    pub by: RocketUserId,
}

/// What is to be written down of an event that has these messages on Rocket.Chat.
pub(super) fn done(
    portal: &Portal,
    event: &InboxEvent,
    json: &Value,
    posted: Posted,
    references: &References,
) -> Done {
    let mut ids = posted.ids.into_iter();
    let Some(id) = ids.next() else {
        return Done::default();
    };
    let thread = references.root.as_ref().map(|root| {
        // A thread that begins here hangs on this message from now on.
        let first = references.thread.as_ref().unwrap_or(&id);
        let thread = Thread {
            root: root.clone(),
            latest: event.event_id.clone(),
        };
        (portal.clone(), first.clone(), thread)
    });
    let message = Message {
        more: ids.collect(),
        posted_by: Some(posted.by),
        ..record(portal, event, json, id, references)
    };
    Done {
        message: Some(message),
        thread,
    }
}

/// What is written down of a message with that id on Rocket.Chat.
pub(super) fn record(
    portal: &Portal,
    event: &InboxEvent,
    json: &Value,
    id: RocketMessageId,
    references: &References,
) -> Message {
    let now = now_ms();
    let sent_at = json.get("origin_server_ts").and_then(Value::as_i64);
    Message {
        thread: references.thread.clone(),
        quote: references.quote.clone(),
        // Whoever says that it was written in the future, or never, writes now.
        sent_at: sent_at.filter(|at| *at > 0).map_or(now, |at| at.min(now)),
        hops: crate::bridge::loops::hops_of(json.get("content").unwrap_or(&Value::Null)),
        ..Message::new(
            portal,
            id,
            vec![event.event_id.clone()],
            event.sender.clone(),
            Origin::Matrix,
        )
    }
}
