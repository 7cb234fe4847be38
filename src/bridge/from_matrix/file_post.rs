//! A file of Matrix on its way to Rocket.Chat.
//!
//! A message with a file takes no id of the sender's, and a repeated confirmation posts
//! a second message. So that there is exactly one:
//!
//! * Before an upload is posted, the store knows its id ([`FilePost`]), on disk.
//! * An upload that may have been posted is looked for, and never posted again: when it
//!   is not found, the file is uploaded anew. (Two messages with one upload could not be
//!   told apart, and deleting one would take the file from both.)
//! * The first message with one of these uploads is the one, whoever finds it: the answer,
//!   the look, or the echo of the server. Any other is deleted when it shows itself
//!   ([`Bridge::note_own_file`]).

use std::sync::Arc;

use serde_json::Value;

use super::Done;
use super::file::{Attached, Instead};
use super::file_upload::Given;
use super::message::{Posted, References, done, record};
use super::post::Speaker;
use crate::bridge::from_rocketchat::gone;
use crate::bridge::perseverance::Attempt;
use crate::bridge::voice::{Shown, Voice};
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::convert::to_rocketchat;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::{Message as RocketMessage, Timestamp};
use crate::rocketchat::rest::Beside;
use crate::rocketchat::{self, FileId, RocketMessageId};
use crate::store::{FilePost, InboxEvent, Message, Origin, Portal};

/// The clocks of the two servers need not agree (ms).
const BEFORE_MS: i64 = 300_000;

/// Rocket.Chat forgets an upload that was not posted after 24 hours; until then one that
/// is gone has been posted and deleted (ms).
const KEPT_MS: i64 = 20 * 3600 * 1000;

/// A file that is being carried over.
pub(super) struct Carried<'a> {
    pub portal: &'a Portal,
    pub event: &'a InboxEvent,
    pub file: &'a Attached<'a>,
    pub voice: &'a Voice,
    pub shown: &'a Shown,
    pub references: &'a References,
    pub attempt: Attempt,
}

/// How far a file got.
enum Got {
    /// It is there, as this message.
    Posted(RocketMessageId),
    /// Words stand in its place.
    InWords {
        words: String,
        /// What its sender is told of it.
        tell: Option<String>,
    },
    /// It was there, and was deleted on Rocket.Chat.
    Deleted,
}

impl Bridge {
    /// Posts the file of an event, with what is said beside it.
    #[allow(clippy::too_many_arguments, reason = "what an event is known by")]
    pub(super) async fn mirror_file(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        json: &Value,
        file: &Attached<'_>,
        references: References,
        attempt: Attempt,
    ) -> Result<Done, Failure> {
        let voice = self.voice_for(portal, event).await?;
        let shown = self.shown(portal, &voice).await?;
        let mut begun = self.store.file_post(&portal.room_id, &event.event_id)?;
        if let Some(post) = begun.take_if(|post| post.posted.is_none() && !is_of(post, file)) {
            // An edit stands for the message, which never arrived.
            begun = Some(self.store.other_file(post, file.mxc)?);
        }
        if let Some(post) =
            begun.take_if(|post| post.posted.is_none() && post.puppet != *voice.account())
        {
            // Nothing that another posts would be taken for it.
            begun = Some(self.store.file_post_by(post, voice.account())?);
        }
        let is_begun = begun.is_some();
        if !is_begun && attempt.is_repeat() && self.is_redacted(portal, event).await? {
            tracing::info!(event = %event.event_id, "redacted before its file was on Rocket.Chat");
            return Ok(Done::default());
        }
        // The bridge's account may call everybody, and lends that right to nobody.
        let may_call_all = !voice.is_relay()
            && self
                .calls_everybody_by_right(portal, event, file.content)
                .await?;
        let quote = references.quote();
        let said = async |may_call_all| {
            let caption = self.caption_of(file, may_call_all);
            let words = self.framed(json, &caption, &references);
            let words = self.words_for(portal, &voice, &shown, words).await?;
            self.pieces_of(portal, &words, quote).await
        };
        let mut pieces = said(may_call_all).await?;
        let carried = Carried {
            portal,
            event,
            file,
            voice: &voice,
            shown: &shown,
            references: &references,
            attempt,
        };
        let post = begun.unwrap_or_else(|| FilePost {
            draft: Message {
                begun_at: now_ms(),
                more: (1..pieces.len())
                    .map(|piece| self.message_id(&event.event_id, piece, 0))
                    .collect(),
                media: Some(file.mxc.to_owned()),
                posted_by: Some(voice.account().clone()),
                ..record(
                    portal,
                    event,
                    json,
                    self.message_id(&event.event_id, 0, 0),
                    &references,
                )
            },
            puppet: voice.account().clone(),
            uploads: Vec::new(),
            posted: None,
            posted_file: None,
            instead: None,
            tell: None,
        });
        let by = post.puppet.clone();
        self.come_in(portal, &voice).await?;
        let got = match self.carry(&carried, post.clone(), &pieces[0]).await {
            // The puppet may not call everybody here: the words are what counts.
            Err(Failure::RocketChat(error))
                if may_call_all && error.code() == Some("error-action-not-allowed") =>
            {
                pieces = said(false).await?;
                let known = self.store.file_post(&portal.room_id, &event.event_id)?;
                let post = known.unwrap_or(post);
                self.carry(&carried, post, &pieces[0]).await?
            }
            outcome => outcome?,
        };
        let (posted, media) = match got {
            Got::Deleted => return Ok(Done::default()),
            Got::InWords { words, tell } => {
                if let Some(text) = &tell {
                    self.tell_of_words(portal, event, text).await?;
                }
                let posted = self
                    .post_words(portal, event, json, &words, &references, &voice)
                    .await?;
                (posted, None)
            }
            Got::Posted(id) => {
                if is_begun
                    && let Some(there) = self.store.message(&portal.id, &id)?
                    && self.is_gone_already(portal, &there).await?
                {
                    return Ok(Done::default());
                }
                let mut ids = vec![id];
                let thread = references.thread();
                let rest = &pieces[1..];
                if !rest.is_empty() {
                    let speaker = Speaker {
                        portal,
                        voice: &voice,
                        shown: &shown,
                    };
                    let more = self
                        .post_pieces(&speaker, &event.event_id, 1, rest, thread)
                        .await?;
                    ids.extend(more.ids);
                }
                (Posted { ids, by }, Some(file.mxc.to_owned()))
            }
        };
        self.follow_direct(portal.clone());
        let mut done = done(portal, event, json, posted, &references);
        if let Some(message) = &mut done.message {
            message.media = media;
        }
        Ok(done)
    }

    /// Brings a file to Rocket.Chat, from where an earlier attempt left it.
    async fn carry(
        &self,
        carried: &Carried<'_>,
        mut post: FilePost,
        msg: &str,
    ) -> Result<Got, Failure> {
        if let Some(got) = got_already(&post) {
            if matches!(got, Got::Deleted) {
                // An earlier attempt perhaps got no further than to know it.
                self.mirror_deletion(carried.portal, &post.draft.id).await?;
            }
            return Ok(got);
        }
        if post.maybe_posted() {
            match self.look_for(carried, &post).await? {
                Some(Got::Posted(id)) => {
                    let Some((post, was_gone)) = self.store.find_file(post, &id)? else {
                        return Err(Failure::NotYet("its file to be found"));
                    };
                    return self.taken(carried.portal, post, &id, was_gone).await;
                }
                Some(got) => return Ok(got),
                None => {}
            }
        }
        let waits = post
            .uploads
            .last()
            .is_some_and(|upload| upload.file.is_some() && !upload.maybe_posted);
        if !waits {
            let _giving = self.uploads.begin(&post);
            post = match self.give(carried, post.clone(), msg).await? {
                Given::Uploaded(post) => post,
                Given::Posted(post, id) => {
                    let (_, got) = self.take_for_it(carried.portal, post, &id, None).await?;
                    return Ok(got);
                }
                Given::Not(instead) => return self.settle_for_words(carried, post, &instead).await,
            };
        }
        self.confirm(carried, post, msg).await
    }

    /// Posts an upload.
    async fn confirm(
        &self,
        carried: &Carried<'_>,
        post: FilePost,
        msg: &str,
    ) -> Result<Got, Failure> {
        let portal = carried.portal;
        let post = self.store.note_posting(post, true)?;
        // On disk before it is done: whoever comes after a crash must look first.
        self.store.flushed().await?;
        if let Some(got) = got_already(&post) {
            return Ok(got);
        }
        let Some(file) = post.uploads.last().and_then(|upload| upload.file.clone()) else {
            return Err(Failure::NotYet("an upload to be there"));
        };
        let thread = carried.references.thread();
        let (rid, upload) = (&portal.rid, &file);
        let beside = Beside {
            msg,
            tmid: thread,
            alias: carried.shown.alias.as_deref(),
            avatar: carried.shown.avatar.as_deref(),
        };
        let answer = self
            .in_room(portal, carried.voice, |session| async move {
                session.confirm_upload(rid, upload, beside).await
            })
            .await;
        match answer {
            Ok(Some(message)) if message.rid == portal.rid && message.u.id == post.puppet => {
                let (_, got) = self
                    .take_for_it(portal, post, &message.id, Some(&file))
                    .await?;
                Ok(got)
            }
            // It does not say which it is: the look will.
            Ok(_) => Err(Failure::NotYet("Rocket.Chat to show the file")),
            Err(failure) => {
                if is_surely_not_done(&failure) {
                    let is_unknown = matches!(&failure, Failure::RocketChat(error)
                        if error.code() == Some("invalid-file"));
                    if is_unknown {
                        self.store.forget_upload(post)?;
                        return Err(Failure::NotYet("another upload"));
                    }
                    self.store.note_posting(post, false)?;
                }
                Err(failure)
            }
        }
    }

    /// Decides that words stand in place of a file. Once decided it stays so: what is
    /// found later of an earlier upload is one too many.
    async fn settle_for_words(
        &self,
        carried: &Carried<'_>,
        post: FilePost,
        instead: &Instead,
    ) -> Result<Got, Failure> {
        let (portal, event) = (carried.portal, carried.event);
        let id = self.message_id(&event.event_id, 0, 0);
        let said = self
            .words_in_place(portal, &id, carried.file, instead)
            .await?;
        let tell = (instead.is_lost || !said.has_link).then(|| {
            format!(
                "This file did not reach Rocket.Chat, only its name and what you said with it. {}",
                said.why
            )
        });
        let post = self
            .store
            .say_instead(post, &id, &said.words, tell.as_deref())?;
        self.store.flushed().await?;
        let words = said.words;
        Ok(got_already(&post).unwrap_or(Got::InWords { words, tell }))
    }

    /// Tells a sender that words stand in place of a file, once however often it is done.
    async fn tell_of_words(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        text: &str,
    ) -> Result<(), Failure> {
        let reader = self.reader(portal).await?;
        let told = self.say(&reader, &portal.room_id, &event.event_id, "file", text);
        match told.await {
            // The words come first: they say it too.
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(event = %event.event_id, %failure, "its sender cannot be told");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Takes a message for the one that a file became, unless that is another: then it
    /// is one too many and deleted. `file` is the upload that it shows, if known.
    async fn take_for_it(
        &self,
        portal: &Portal,
        post: FilePost,
        id: &RocketMessageId,
        file: Option<&FileId>,
    ) -> Result<(FilePost, Got), Failure> {
        let (post, was_gone) = self.store.adopt_file(post, id, file)?;
        if !was_gone && post.posted.as_ref() != Some(id) {
            self.delete_twin(portal, &post, id, file).await?;
        }
        let got = self.taken(portal, post.clone(), id, was_gone).await?;
        Ok((post, got))
    }

    /// What there is of a file for which a message has been taken.
    async fn taken(
        &self,
        portal: &Portal,
        post: FilePost,
        id: &RocketMessageId,
        was_gone: bool,
    ) -> Result<Got, Failure> {
        if was_gone {
            // Its deletion was heard of before itself.
            self.mirror_deletion(portal, id).await?;
            return Ok(Got::Deleted);
        }
        Ok(got_already(&post).unwrap_or_else(|| Got::Posted(id.clone())))
    }

    /// Deletes a message with a file that is there as another message already.
    async fn delete_twin(
        &self,
        portal: &Portal,
        post: &FilePost,
        id: &RocketMessageId,
        file: Option<&FileId>,
    ) -> Result<(), Failure> {
        if file.is_some() && post.posted_file.as_ref() == file {
            // Deleting it would take the file from both. The bridge posts no upload twice.
            tracing::error!(message = %id, "two messages show the same upload; both stay");
            return Ok(());
        }
        tracing::info!(message = %id, "an upload that was posted late after all is taken back");
        // Before it is done, so that nothing of it is mirrored.
        if self.store.message(&portal.id, id)?.is_none() {
            self.store.change().message(&gone(portal, id)).commit()?;
        }
        let voice = self.voice_of(&post.draft).await?;
        let rid = &portal.rid;
        self.as_voice(&voice, |session| async move {
            session.delete_message(rid, id, false).await
        })
        .await
    }

    /// Looks on Rocket.Chat for what may have come of earlier attempts.
    async fn look_for(
        &self,
        carried: &Carried<'_>,
        post: &FilePost,
    ) -> Result<Option<Got>, Failure> {
        let portal = carried.portal;
        let begun_at = post.begun_at().unwrap_or(post.draft.begun_at);
        let since = Timestamp((begun_at - BEFORE_MS).max(0));
        let changes = {
            // Never closed.
            let _slot = self.looks.acquire().await;
            match self.sync(portal, since).await {
                Ok(changes) => changes,
                // Only a look: what is posted twice is found when it shows itself.
                Err(failure) if failure.is_permanent() => {
                    tracing::warn!(rid = %portal.rid, %failure, "cannot see what was posted");
                    return Ok(None);
                }
                Err(failure) => return Err(failure),
            }
        };
        let mut found: Vec<&RocketMessage> = Vec::new();
        for message in &changes.updated {
            if self.shows(portal, post, message)? {
                found.push(message);
            }
        }
        if let Some(best) = found
            .iter()
            .min_by_key(|message| (!is_as_large(post, message), message.ts))
        {
            if !carried.attempt.is_last() && self.is_perhaps_given_now(post, &found)? {
                return Err(Failure::NotYet("another file of that name"));
            }
            return Ok(Some(Got::Posted(best.id.clone())));
        }
        if !changes.deleted.is_empty() && self.was_deleted(post).await? {
            // Nobody can say which message it was: its record is known by another name.
            let id = post.draft.id.clone();
            let (_, _) = self.store.adopt_file(post.clone(), &id, None)?;
            self.mirror_deletion(portal, &id).await?;
            return Ok(Some(Got::Deleted));
        }
        Ok(None)
    }

    /// Whether one of these messages may be of another file, like this one, whose answer is
    /// still to come.
    fn is_perhaps_given_now(
        &self,
        post: &FilePost,
        found: &[&RocketMessage],
    ) -> Result<bool, Failure> {
        for message in found {
            let others = self.posts_like(message)?;
            let is_given = |other: &FilePost| {
                other.draft.events != post.draft.events && self.uploads.has(other)
            };
            if others.iter().any(is_given) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files that went in one step and of which a message may be, in whichever room of
    /// its channel they were sent.
    fn posts_like(&self, message: &RocketMessage) -> Result<Vec<FilePost>, Failure> {
        let posts = self
            .store
            .file_posts_in_one_step(&message.rid, &message.u.id)?;
        let mut alike = Vec::new();
        for post in posts {
            // Once it is there, another is one too many only if it was tried again.
            let may_be = post.posted.is_none() || post.uploads.len() > 1;
            if may_be
                && let Some(portal) = self.store.portal(&post.draft.portal_id())?
                && self.shows(&portal, &post, message)?
            {
                alike.push(post);
            }
        }
        Ok(alike)
    }

    /// Whether an upload is gone from the server although it could not have expired:
    /// only the deletion of its message takes it away.
    async fn was_deleted(&self, post: &FilePost) -> Result<bool, Failure> {
        let voice = self.voice_of(&post.draft).await?;
        for upload in &post.uploads {
            let (Some(file), true) = (&upload.file, upload.maybe_posted) else {
                continue;
            };
            if now_ms() - upload.at > KEPT_MS {
                continue;
            }
            let found = self
                .as_voice(&voice, |session| async move {
                    session.download(file).await.map(drop)
                })
                .await;
            match found {
                Err(Failure::RocketChat(error)) if error.code() == Some("invalid-file") => {
                    return Ok(true);
                }
                Err(failure) if !failure.is_permanent() => return Err(failure),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Whether a message on Rocket.Chat shows the file.
    fn shows(
        &self,
        portal: &Portal,
        post: &FilePost,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        if message.rid != portal.rid || message.u.id != post.puppet {
            return Ok(false);
        }
        let Some(shown) = &message.file else {
            return Ok(false);
        };
        let by_id = post.uploads.iter().any(|upload| {
            let file = upload.file.as_ref().map(FileId::as_str);
            file == Some(shown.id.as_str())
        });
        if by_id {
            return Ok(true);
        }
        // What somebody uploads themselves with their own account is not taken for it.
        let is_own_account = self.store.was_account_of(&message.u.id)?.is_some();
        let alike = post.uploads.iter().any(|upload| {
            // Pictures are turned and stripped by the server: their size may differ.
            let is_picture = !is_own_account
                && shown
                    .media_type
                    .as_deref()
                    .is_some_and(|kind| kind.starts_with("image/"));
            upload.file.is_none()
                && shown.name.as_deref() == Some(upload.name.as_str())
                && (is_picture || upload.size.is_none() || shown.size == upload.size)
                && message.ts.0 >= upload.at - BEFORE_MS
        });
        if !alike {
            return Ok(false);
        }
        // The bridge's account posts the files of many: for whom says the name.
        let rocket = self.rocket_if_there();
        let is_relayed = rocket.is_some_and(|rocket| *rocket.bot.user_id() == post.puppet);
        if is_relayed
            && !to_rocketchat::is_named(message.alias.as_deref(), &message.msg, &post.draft.sender)
        {
            return Ok(false);
        }
        // Another one of that name, sent earlier, perhaps in another room of the channel.
        for other in self.store.portals_of(&portal.rid)? {
            let Some(known) = self.store.message(&other.id, &message.id)? else {
                continue;
            };
            // Shown there as what somebody said elsewhere, it may well be this one.
            let may_be_this = other.id != portal.id
                && known.origin == Origin::RocketChat
                && known.sender == self.config.appservice.bot;
            if known.events != post.draft.events && !may_be_this {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes notice of a message that the bridge has posted: perhaps its answer never came.
    /// Whether there is nothing more to it, because it is one too many.
    ///
    /// # Errors
    /// [`Failure::NotYet`] while an answer is to come that may say whose it is.
    pub(in crate::bridge) async fn note_own_file(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        attempt: Attempt,
    ) -> Result<bool, Failure> {
        let Some(shown) = &message.file else {
            return Ok(false);
        };
        let file = FileId::parse(shown.id.as_str()).ok();
        let of_upload = match &file {
            Some(file) => self.store.file_post_of_upload(file)?,
            None => None,
        };
        let by_upload = of_upload.is_some();
        let post = match of_upload {
            // That of another room of the channel is its own.
            Some(post) if post.draft.portal_id() != portal.id => None,
            Some(post) => self.shows(portal, &post, message)?.then_some(post),
            None if self.store.message(&portal.id, &message.id)?.is_some() => None,
            None => {
                let mut alike = self.posts_like(message)?;
                let is_given = |post: &FilePost| post.posted.is_none() && self.uploads.has(post);
                if !attempt.is_last() && alike.iter().any(is_given) {
                    return Err(Failure::NotYet("the answer to an upload"));
                }
                // Rather what is expected than what would be one too many.
                alike.sort_by_key(|post| {
                    let is_there = post.posted.is_some();
                    (is_there, !is_as_large(post, message), post.begun_at())
                });
                let first = alike.into_iter().next();
                // That of another room of the channel is its own.
                first.filter(|post| post.draft.portal_id() == portal.id)
            }
        };
        let Some(post) = post else {
            return Ok(false);
        };
        if post.posted.as_ref() == Some(&message.id) {
            return Ok(false);
        }
        // A file alike that somebody uploads with their own account is theirs.
        if post.posted.is_some()
            && !by_upload
            && self.store.was_account_of(&message.u.id)?.is_some()
        {
            return Ok(false);
        }
        let (post, got) = self
            .take_for_it(portal, post, &message.id, file.as_ref())
            .await?;
        Ok(matches!(got, Got::Deleted) || post.posted.as_ref() != Some(&message.id))
    }

    /// An event was redacted, or became words by an edit, whose file may be there
    /// although nobody knows as what: when it shows itself it is one too many.
    pub(super) fn forget_file_of(
        &self,
        portal: &Portal,
        redacted: &ruma::EventId,
    ) -> Result<(), Failure> {
        if let Some(post) = self.store.file_post(&portal.room_id, redacted)? {
            let id = self.message_id(redacted, 0, 0);
            self.store.say_instead(post, &id, "", None)?;
        }
        Ok(())
    }

    /// Whether an event has been redacted by now.
    async fn is_redacted(&self, portal: &Portal, event: &InboxEvent) -> Result<bool, Failure> {
        let reader = self.reader(portal).await?;
        let found = reader.event(&portal.room_id, &event.event_id).await?;
        Ok(found.is_some_and(|found| found.json.pointer("/unsigned/redacted_because").is_some()))
    }
}

/// What is settled about a file.
fn got_already(post: &FilePost) -> Option<Got> {
    match (&post.instead, &post.posted) {
        (Some(words), _) => Some(Got::InWords {
            words: words.clone(),
            tell: post.tell.clone(),
        }),
        // No message bears this id: it stands for one that was deleted unknown.
        (None, Some(id)) if *id == post.draft.id => Some(Got::Deleted),
        (None, Some(id)) => Some(Got::Posted(id.clone())),
        (None, None) => None,
    }
}

/// Whether a file on its way is this one.
fn is_of(post: &FilePost, file: &Attached<'_>) -> bool {
    post.draft.media.as_deref() == Some(file.mxc)
}

/// Whether a message shows a file of the very size of one that went in one step.
fn is_as_large(post: &FilePost, message: &RocketMessage) -> bool {
    let size = message.file.as_ref().and_then(|shown| shown.size);
    let mut uploads = post.uploads.iter();
    size.is_some() && uploads.any(|upload| upload.file.is_none() && upload.size == size)
}

/// Whether a request that failed has surely not been carried out. A refusal without a
/// code may be the server's own failure behind what was asked for.
pub(super) fn is_surely_not_done(failure: &Failure) -> bool {
    match (failure, failure.advice()) {
        (_, Advice::Retry { maybe_done, .. }) => !maybe_done,
        (Failure::RocketChat(rocketchat::Error::Refused { code, .. }), Advice::GiveUp) => {
            code.is_some()
        }
        (Failure::RocketChat(rocketchat::Error::TooLarge { .. }), Advice::GiveUp) => false,
        (_, Advice::GiveUp) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::failure::Side;
    use crate::media::Broken;

    #[test]
    fn only_what_surely_was_not_done_is_done_again_with_the_same_upload() {
        let refused = |code: Option<&str>| {
            Failure::RocketChat(rocketchat::Error::Refused {
                error: rocketchat::error::ServerText::new("no"),
                code: code.map(str::to_owned),
                text: rocketchat::error::ServerText::default(),
            })
        };
        let lost = |maybe_done| {
            Failure::RocketChat(rocketchat::Error::Transport {
                maybe_done,
                what: "timeout",
            })
        };
        let broken = Failure::Transfer {
            from: Side::Matrix,
            why: Broken::Stalled,
        };
        let limited = Failure::RocketChat(rocketchat::Error::RateLimited { after: None });
        let failed = Failure::RocketChat(rocketchat::Error::Server { status: 502 });
        let table = [
            (refused(Some("error-action-not-allowed")), true),
            (refused(None), false),
            (lost(false), true),
            (lost(true), false),
            (broken, true),
            (limited, true),
            (failed, false),
        ];
        for (failure, expected) in table {
            assert_eq!(is_surely_not_done(&failure), expected, "{failure:?}");
        }
    }
}
