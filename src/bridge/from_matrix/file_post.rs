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
use super::file_found::is_of;
use super::file_upload::Given;
use super::message::{Posted, References, done, record};
use super::post::Speaker;
use crate::bridge::from_rocketchat::gone;
use crate::bridge::perseverance::Attempt;
use crate::bridge::voice::{Shown, Voice};
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::rest::Beside;
use crate::rocketchat::{self, FileId, RocketMessageId};
use crate::store::{FilePost, InboxEvent, Message, Portal};

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
pub(super) enum Got {
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
    pub(super) async fn take_for_it(
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
