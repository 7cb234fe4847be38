//! The file of an event, given to Rocket.Chat: fetched from the homeserver, decrypted,
//! held to what the server takes, all as a stream; or why that cannot be.

use std::sync::{Arc, Mutex, PoisonError};

use super::file::{Instead, Known};
use super::file_post::{Carried, is_surely_not_done};
use crate::bridge::failure::Side;
use crate::bridge::server_settings::ServerSettings;
use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::convert::absent::Why;
use crate::matrix;
use crate::media::{Body, Broken, encrypted, kind, name};
use crate::rocketchat::rest::{self, Session};
use crate::rocketchat::{self, FileId, RocketMessageId};
use crate::store::{FilePost, Portal, PortalKind, Upload};

/// What became of an upload.
pub(super) enum Given {
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
    /// Uploads a file, from its beginning.
    pub(super) async fn give(
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
                if noted.posted.is_some() {
                    // An earlier attempt has just shown itself.
                    return Ok(Given::Uploaded(noted));
                }
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
        // Who is asked to slow down waits, however late it is.
        let is_refusal = !matches!(error.kind(), matrix::Kind::RateLimited { .. });
        if is_known_not
            || is_refusal && carried.attempt.is_last() && self.is_there(Side::Matrix).await
        {
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
        self.in_room(carried.portal, carried.voice, |session| {
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
        let beside = rest::Beside {
            msg,
            tmid: carried.references.thread(),
            alias: carried.shown.alias.as_deref(),
            avatar: carried.shown.avatar.as_deref(),
        };
        let once = Once::new(ready);
        let posted = self
            .in_room(carried.portal, carried.voice, |session| {
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
                    session.upload_and_post(rid, upload, beside).await
                }
            })
            .await
            .map_err(source)?;
        Ok(posted.id)
    }

    /// Acts with an account in a room. Whoever was removed from it stays out.
    pub(super) async fn in_room<T, F, Fut>(
        &self,
        portal: &Portal,
        voice: &Voice,
        act: F,
    ) -> Result<T, Failure>
    where
        F: Fn(Session) -> Fut,
        Fut: Future<Output = Result<T, rocketchat::Error>>,
    {
        match self.as_voice(voice, &act).await {
            Err(failure) => Err(self.in_room_failed(portal, failure).await?),
            done => done,
        }
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
