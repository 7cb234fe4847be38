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

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Done;
use super::file::{Attached, Instead, Known};
use super::message::{References, done, record};
use crate::bridge::failure::Side;
use crate::bridge::from_rocketchat::gone;
use crate::bridge::perseverance::Attempt;
use crate::bridge::server_settings::ServerSettings;
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::convert::absent::Why;
use crate::matrix;
use crate::media::{Body, Broken, encrypted, kind, name};
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::{Message as RocketMessage, Timestamp};
use crate::rocketchat::rest::{self, Session};
use crate::rocketchat::{self, FileId, RocketMessageId};
use crate::store::{FilePost, InboxEvent, Message, Portal, PortalKind, Puppet, Upload};

/// The clocks of the two servers need not agree (ms).
const BEFORE_MS: i64 = 300_000;

/// Rocket.Chat forgets an upload that was not posted after 24 hours; until then one that
/// is gone has been posted and deleted (ms).
const KEPT_MS: i64 = 20 * 3600 * 1000;

/// A file that is being carried over.
struct Carried<'a> {
    portal: &'a Portal,
    event: &'a InboxEvent,
    file: &'a Attached<'a>,
    puppet: &'a Puppet,
    references: &'a References,
    attempt: Attempt,
}

/// How far a file got.
enum Got {
    /// It is there, as this message.
    Posted(RocketMessageId),
    /// Words stand in its place.
    InWords(String),
    /// It was there, and was deleted on Rocket.Chat.
    Deleted,
}

/// What became of an upload.
enum Given {
    /// It waits to be posted.
    Uploaded(FilePost),
    /// It is posted already, by servers that do it in one step.
    Posted(FilePost, RocketMessageId),
    /// It cannot be uploaded.
    Not(Instead),
}

/// A file that is ready to be given to Rocket.Chat.
struct Ready {
    name: String,
    media_type: String,
    body: Body,
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
        let puppet = self.puppet_of(&event.sender).await?;
        let begun = self.store.file_post(&portal.room_id, &event.event_id)?;
        let is_begun = begun.is_some();
        if !is_begun && attempt.is_repeat() && self.is_redacted(portal, event).await? {
            tracing::info!(event = %event.event_id, "redacted before its file was on Rocket.Chat");
            return Ok(Done::default());
        }
        let may_call_all = self
            .calls_everybody_by_right(portal, event, file.content)
            .await?;
        let said = |may_call_all| {
            let caption = self.caption_of(file, may_call_all);
            self.framed(json, &caption, &references)
        };
        let quote = references.quote();
        let mut pieces = self.pieces_of(portal, &said(may_call_all), quote).await?;
        let carried = Carried {
            portal,
            event,
            file,
            puppet: &puppet,
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
                ..record(
                    portal,
                    event,
                    json,
                    self.message_id(&event.event_id, 0, 0),
                    &references,
                )
            },
            puppet: puppet.credentials.user_id.clone(),
            uploads: Vec::new(),
            posted: None,
            posted_file: None,
            instead: None,
        });
        self.bring_puppet_in(portal, &puppet).await?;
        let got = match self.carry(&carried, post.clone(), &pieces[0]).await {
            // The puppet may not call everybody here: the words are what counts.
            Err(Failure::RocketChat(error))
                if may_call_all && error.code() == Some("error-action-not-allowed") =>
            {
                pieces = self.pieces_of(portal, &said(false), quote).await?;
                self.carry(&carried, post, &pieces[0]).await?
            }
            outcome => outcome?,
        };
        let (ids, media) = match got {
            Got::Deleted => (Vec::new(), None),
            Got::InWords(words) => {
                let posted = self
                    .post_words(portal, event, json, &words, &references)
                    .await?;
                (posted, None)
            }
            Got::Posted(id) => {
                if is_begun
                    && let Some(there) = self.store.message(&portal.rid, &id)?
                    && self.is_gone_already(portal, &there).await?
                {
                    return Ok(Done::default());
                }
                let mut ids = vec![id];
                let thread = references.thread();
                let rest = &pieces[1..];
                if !rest.is_empty() {
                    let more = self
                        .post_pieces(portal, &puppet, &event.event_id, 1, rest, thread)
                        .await?;
                    ids.extend(more);
                }
                (ids, Some(file.mxc.to_owned()))
            }
        };
        self.follow_direct(portal.clone());
        let mut done = done(portal, event, json, ids, &references);
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
            return Ok(got);
        }
        if post.maybe_posted() {
            match self.look_for(carried.portal, &post).await? {
                Some(Got::Posted(id)) => {
                    let (_, got) = self.take_for_it(carried.portal, post, &id, None).await?;
                    return Ok(got);
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
        let answer = self
            .in_room(portal, carried.puppet, |session| async move {
                session.confirm_upload(rid, upload, msg, thread).await
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

    /// Uploads a file, from its beginning.
    async fn give(
        &self,
        carried: &Carried<'_>,
        post: FilePost,
        msg: &str,
    ) -> Result<Given, Failure> {
        let features = self.rocket().await.version.features();
        // Once more under another name when Rocket.Chat cannot read it as the picture that
        // it seems to be.
        let mut plainly = false;
        loop {
            let mut known = Known::default();
            let ready = match self.fetch(carried, &mut known).await? {
                Ok(ready) => ready,
                Err(instead) => return Ok(Given::Not(instead)),
            };
            let ready = if plainly { as_plain(ready) } else { ready };
            let upload = Upload {
                file: None,
                name: ready.name.clone(),
                size: ready.body.length,
                at: now_ms(),
                maybe_posted: !features.has_rooms_media,
            };
            let given = if features.has_rooms_media {
                self.upload(carried, ready).await.map(|file| {
                    let upload = Upload {
                        file: Some(file),
                        ..upload
                    };
                    self.store.note_upload(post.clone(), upload)
                })
            } else {
                let noted = self.store.note_upload(post.clone(), upload)?;
                self.store.flushed().await?;
                match self.upload_and_post(carried, ready, msg).await {
                    Ok(id) => return Ok(Given::Posted(noted, id)),
                    Err(failure) => {
                        if is_surely_not_done(&failure) {
                            self.store.note_posting(noted, false)?;
                        }
                        Err(failure)
                    }
                }
            };
            let failure = match given {
                Ok(noted) => return Ok(Given::Uploaded(noted?)),
                Err(failure) => failure,
            };
            if let Failure::RocketChat(error) = &failure
                && error.is_unreadable_picture()
                && !plainly
            {
                plainly = true;
                continue;
            }
            return self
                .reason_not_to_upload(carried, failure, known)
                .await
                .map(Given::Not);
        }
    }

    /// The file, as far as it can be given to Rocket.Chat, or why it cannot. What is
    /// found out about it stands in `known`.
    async fn fetch(
        &self,
        carried: &Carried<'_>,
        known: &mut Known,
    ) -> Result<Result<Ready, Instead>, Failure> {
        let settings = self.server_settings().await?;
        let fetched = self.fetch_under(carried, &settings, known).await?;
        if matches!(&fetched, Err(instead) if instead.by_setting) {
            // Nothing is refused because of settings of some minutes ago.
            let now = self.settings_now().await?;
            if !Arc::ptr_eq(&now, &settings) {
                *known = Known::default();
                return self.fetch_under(carried, &now, known).await;
            }
        }
        Ok(fetched)
    }

    async fn fetch_under(
        &self,
        carried: &Carried<'_>,
        settings: &ServerSettings,
        known: &mut Known,
    ) -> Result<Result<Ready, Instead>, Failure> {
        let file = carried.file;
        let encryption = file.encryption()?;
        let refusal = |why| Ok(Err(Instead::by_setting(why, Known::default())));
        if !settings.files_allowed {
            return refusal(Why::NoFiles);
        }
        let is_direct = matches!(carried.portal.kind, PortalKind::Direct { .. });
        if is_direct && !settings.files_allowed_in_direct {
            return refusal(Why::NoFilesInDirect);
        }
        let download = match self.matrix.bot().download(file.mxc).await {
            Ok(download) => download,
            Err(error) => return self.unavailable(carried, error).await.map(Err),
        };
        let mut body = download.body;
        known.size = body.length;
        if let Some(encryption) = &encryption {
            body = encrypted::decrypted(body, encryption)
                .map_err(|why| Failure::Refused(format!("It was not sent: {why}.")))?;
        }
        let (head, body) = match body.peek(kind::ENOUGH).await {
            Ok(peeked) => peeked,
            Err(why) => {
                let failure = broken(why);
                let known = std::mem::take(known);
                return self
                    .reason_not_to_upload(carried, failure, known)
                    .await
                    .map(Err);
            }
        };
        if head.is_empty() {
            known.size = Some(0);
            let known = std::mem::take(known);
            return Ok(Err(Instead::not_taken(Why::Empty, known)));
        }
        let media_type = kind::of(&head, file.claimed_type(), file.name());
        known.media_type = Some(media_type.clone());
        let body = match settings.max_file {
            Some(limit) if body.length.is_some_and(|length| length >= limit) => {
                let known = std::mem::take(known);
                return Ok(Err(too_large(Some(limit), known)));
            }
            Some(limit) => body.bounded(limit.saturating_sub(1)),
            None => body,
        };
        if !settings.accepts(&media_type) {
            let known = std::mem::take(known);
            return Ok(Err(Instead::by_setting(Why::Type, known)));
        }
        Ok(Ok(Ready {
            name: name::clean_of_type(file.name(), &media_type),
            media_type,
            body,
        }))
    }

    /// Why a file cannot be had from the homeserver; a failure while that may change.
    async fn unavailable(
        &self,
        carried: &Carried<'_>,
        error: matrix::Error,
    ) -> Result<Instead, Failure> {
        let is_here = carried
            .file
            .mxc
            .server_name()
            .is_ok_and(|server| server == self.config.homeserver.server_name);
        let is_known_not = error.is_not_found() && is_here;
        if is_known_not || carried.attempt.is_last() && self.is_there(Side::Matrix).await {
            let why = if error.is_not_found() {
                "The homeserver does not have it."
            } else {
                "The homeserver did not hand it out."
            };
            return Ok(Instead::lost(why.to_owned(), Known::default()));
        }
        let failure = Failure::from(error);
        if failure.is_permanent() {
            // The homeserver it comes from may be away, or the upload not be done.
            return Err(Failure::NotYet("the file to be on the homeserver"));
        }
        Err(failure)
    }

    /// What to say in place of a file that could not be uploaded; the failure, when that
    /// may pass or is none of the file's.
    async fn reason_not_to_upload(
        &self,
        carried: &Carried<'_>,
        failure: Failure,
        known: Known,
    ) -> Result<Instead, Failure> {
        let refused = match &failure {
            Failure::Transfer {
                why: Broken::WrongHash,
                ..
            } => {
                return Err(Failure::Refused(
                    "It was not sent: what the homeserver has is not the file that was \
                     encrypted (its hash is another)."
                        .into(),
                ));
            }
            Failure::Transfer {
                why: Broken::TooLarge { .. },
                ..
            } => {
                let limit = self.server_settings().await?.max_file;
                return Ok(too_large(limit, known));
            }
            Failure::RocketChat(error) => error,
            Failure::Transfer { .. } => return self.unless_last(carried, failure, known).await,
            _ => return Err(failure),
        };
        if refused.is_file_too_large() {
            // The limit is another than was read: it is read anew.
            self.forget_settings();
            let limit = self.server_settings().await?.max_file;
            let limit = limit.filter(|limit| known.size.is_none_or(|size| size >= *limit));
            return Ok(too_large(limit, known));
        }
        let setting = match refused.code() {
            Some("error-invalid-file-type") => Some(Why::Type),
            Some("error-file-upload-disabled") => Some(Why::NoFiles),
            Some("error-direct-message-file-upload-not-allowed") => Some(Why::NoFilesInDirect),
            _ => None,
        };
        if let Some(why) = setting {
            self.forget_settings();
            return Ok(Instead::not_taken(why, known));
        }
        if refused.code() == Some("file-too-small") {
            return Ok(Instead::not_taken(Why::Empty, known));
        }
        if refused.is_unreadable_picture() {
            let why = Why::Other("Rocket.Chat cannot store it.");
            return Ok(Instead::not_taken(why, known));
        }
        if failure.is_permanent() || failure.is_rate_limit() {
            return Err(failure);
        }
        self.unless_last(carried, failure, known).await
    }

    /// A failure that may pass, until it has been tried for long enough.
    async fn unless_last(
        &self,
        carried: &Carried<'_>,
        failure: Failure,
        known: Known,
    ) -> Result<Instead, Failure> {
        if !carried.attempt.is_last() {
            return Err(failure);
        }
        for side in [Side::Matrix, Side::RocketChat] {
            if !self.is_there(side).await {
                return Err(failure);
            }
        }
        let why = failure.person_text();
        Ok(Instead::lost(why, known))
    }

    async fn upload(&self, carried: &Carried<'_>, ready: Ready) -> Result<FileId, Failure> {
        let rid = &carried.portal.rid;
        let once = Once::new(ready);
        self.in_room(carried.portal, carried.puppet, |session| {
            let ready = once.take();
            async move {
                let Ready {
                    name,
                    media_type,
                    body,
                } = ready?;
                let upload = rest::Upload {
                    name: &name,
                    media_type: &media_type,
                    body,
                };
                session.upload(rid, upload).await
            }
        })
        .await
        .map_err(source)
    }

    async fn upload_and_post(
        &self,
        carried: &Carried<'_>,
        ready: Ready,
        msg: &str,
    ) -> Result<RocketMessageId, Failure> {
        let rid = &carried.portal.rid;
        let thread = carried.references.thread();
        let once = Once::new(ready);
        let posted = self
            .in_room(carried.portal, carried.puppet, |session| {
                let ready = once.take();
                async move {
                    let Ready {
                        name,
                        media_type,
                        body,
                    } = ready?;
                    let upload = rest::Upload {
                        name: &name,
                        media_type: &media_type,
                        body,
                    };
                    session.upload_and_post(rid, upload, msg, thread).await
                }
            })
            .await
            .map_err(source)?;
        Ok(posted.id)
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
        let words = self
            .words_in_place(portal, &id, carried.file, instead)
            .await?;
        let post = self.store.say_instead(post, &id, &words)?;
        self.store.flushed().await?;
        if instead.is_lost {
            let reader = self.reader(portal).await?;
            let text = format!(
                "This file did not reach Rocket.Chat, only its name and what you said with it. {}",
                instead.said.as_deref().unwrap_or_default()
            );
            self.say(&reader, &portal.room_id, &event.event_id, "file", &text)
                .await?;
        }
        Ok(got_already(&post).unwrap_or(Got::InWords(words)))
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
        if was_gone {
            // Its deletion was heard of before itself.
            self.mirror_deletion(portal, id).await?;
            return Ok((post, Got::Deleted));
        }
        if post.posted.as_ref() != Some(id) {
            self.delete_twin(portal, &post, id, file).await?;
        }
        let got = got_already(&post).unwrap_or_else(|| Got::Posted(id.clone()));
        Ok((post, got))
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
        if self.store.message(&portal.rid, id)?.is_none() {
            self.store.change().message(&gone(portal, id)).commit()?;
        }
        let puppet = self.puppet_of(&post.draft.sender).await?;
        let rid = &portal.rid;
        self.as_puppet(&puppet, |session| async move {
            session.delete_message(rid, id, false).await
        })
        .await
    }

    /// Looks on Rocket.Chat for what may have come of earlier attempts.
    async fn look_for(&self, portal: &Portal, post: &FilePost) -> Result<Option<Got>, Failure> {
        let begun_at = post.begun_at().unwrap_or(post.draft.begun_at);
        let since = Timestamp((begun_at - BEFORE_MS).max(0));
        let changes = {
            // Never closed.
            let _slot = self.read_backs.acquire().await;
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
        if let Some(first) = found.iter().min_by_key(|message| message.ts) {
            return Ok(Some(Got::Posted(first.id.clone())));
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

    /// Whether an upload is gone from the server although it could not have expired:
    /// only the deletion of its message takes it away.
    async fn was_deleted(&self, post: &FilePost) -> Result<bool, Failure> {
        let puppet = self.puppet_of(&post.draft.sender).await?;
        for upload in &post.uploads {
            let (Some(file), true) = (&upload.file, upload.maybe_posted) else {
                continue;
            };
            if now_ms() - upload.at > KEPT_MS {
                continue;
            }
            let found = self
                .as_puppet(&puppet, |session| async move {
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
        let alike = post.uploads.iter().any(|upload| {
            // Pictures are turned and stripped by the server: their size may differ.
            let is_picture = shown
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
        // Another one of that name, sent earlier.
        let known = self.store.message(&portal.rid, &message.id)?;
        Ok(known.is_none_or(|known| known.events == post.draft.events))
    }

    /// Takes notice of a message that a puppet has posted: perhaps its answer never came.
    /// Whether there is nothing more to it, because it is one too many.
    pub(in crate::bridge) async fn note_own_file(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        let Some(shown) = &message.file else {
            return Ok(false);
        };
        let file = FileId::parse(shown.id.as_str()).ok();
        let of_upload = match &file {
            Some(file) => self.store.file_post_of_upload(file)?,
            None => None,
        };
        let post = match of_upload {
            Some(post) => self.shows(portal, &post, message)?.then_some(post),
            None if self.store.message(&portal.rid, &message.id)?.is_some() => None,
            None => {
                let posts = self
                    .store
                    .file_posts_in_one_step(&portal.rid, &message.u.id)?;
                let mut found = None;
                for post in posts {
                    // Once it is there, another is one too many only if it was tried again.
                    let may_be = post.posted.is_none() || post.uploads.len() > 1;
                    if may_be && self.shows(portal, &post, message)? {
                        found = Some(post);
                    }
                }
                found
            }
        };
        let Some(post) = post else {
            return Ok(false);
        };
        if post.posted.as_ref() == Some(&message.id) {
            return Ok(false);
        }
        let (post, got) = self
            .take_for_it(portal, post, &message.id, file.as_ref())
            .await?;
        Ok(matches!(got, Got::Deleted) || post.posted.as_ref() != Some(&message.id))
    }

    /// Acts as a puppet in a room; once more when it turns out that it is no longer in
    /// the channel, as anybody may join again.
    async fn in_room<T, F, Fut>(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        act: F,
    ) -> Result<T, Failure>
    where
        F: Fn(Session) -> Fut,
        Fut: Future<Output = Result<T, rocketchat::Error>>,
    {
        match self.as_puppet(puppet, &act).await {
            Err(Failure::RocketChat(error))
                if error.is_denied()
                    && error.code() != Some("error-action-not-allowed")
                    && portal.kind == PortalKind::Channel =>
            {
                self.store
                    .change()
                    .puppet_not_in_room(&portal.rid, &puppet.matrix_id)
                    .commit()?;
                self.bring_puppet_in(portal, puppet).await?;
                self.as_puppet(puppet, &act).await
            }
            Err(Failure::RocketChat(error))
                if error.code() == Some("error-message-size-exceeded") =>
            {
                // The limit is another than was read: it is read anew.
                self.forget_settings();
                Err(Failure::NotYet("the limit of the server to be read"))
            }
            outcome => outcome,
        }
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
        (Some(words), _) => Some(Got::InWords(words.clone())),
        (None, Some(id)) => Some(Got::Posted(id.clone())),
        (None, None) => None,
    }
}

/// Whether a request that failed has surely not been carried out. A refusal without a
/// code may be the server's own failure behind what was asked for.
fn is_surely_not_done(failure: &Failure) -> bool {
    match (failure, failure.advice()) {
        (_, Advice::Retry { maybe_done, .. }) => !maybe_done,
        (Failure::RocketChat(rocketchat::Error::Refused { code, .. }), Advice::GiveUp) => {
            code.is_some()
        }
        (Failure::RocketChat(rocketchat::Error::TooLarge { .. }), Advice::GiveUp) => false,
        (_, Advice::GiveUp) => true,
    }
}

/// A file that broke on its way from the homeserver.
fn broken(why: Broken) -> Failure {
    Failure::Transfer {
        from: Side::Matrix,
        why,
    }
}

/// An upload that failed because its source did is the homeserver's failure.
fn source(failure: Failure) -> Failure {
    match failure {
        Failure::RocketChat(rocketchat::Error::Source(why)) => broken(why),
        failure => failure,
    }
}

fn too_large(limit: Option<u64>, known: Known) -> Instead {
    // A file of exactly the limit is refused.
    let taken = limit.map(|limit| limit.saturating_sub(1));
    Instead::by_setting(Why::TooLarge(taken), known)
}

/// The same file under a name and a type that the server does not look into.
fn as_plain(ready: Ready) -> Ready {
    Ready {
        name: name::clean(&format!("{}.bin", ready.name)),
        media_type: "application/octet-stream".to_owned(),
        body: ready.body,
    }
}

/// A file flows once: whoever has to repeat a request with it must fetch it anew.
struct Once(Mutex<Option<Ready>>);

impl Once {
    fn new(ready: Ready) -> Self {
        Self(Mutex::new(Some(ready)))
    }

    fn take(&self) -> Result<Ready, rocketchat::Error> {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready.take().ok_or_else(|| {
            let why = "the upload had to begin anew".to_owned();
            rocketchat::Error::Source(Broken::Lost(why))
        })
    }
}
