//! Links to files that do not fit the other side: made, served, ended.
//!
//! Whoever has a link may read the file, as with every file of a room that somebody
//! passes on. So a link cannot be guessed (its signature is keyed by the `as_token`), it
//! ends by itself, and it ends when its message is deleted on either side.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use ruma::{MxcUri, OwnedMxcUri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::custom_emoji::image_type;
use super::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::matrix::listener::{FileRefusal, FileRequest, ServedFile};
use crate::media::{Body, Download, encrypted, name};
use crate::retry::{Advice, Retryable as _};
use crate::secret::Secret;
use crate::store::{FileLink, FileSource, LinkedFile};

/// How many files are handed out at once, over all links.
const DOWNLOADS_AT_ONCE: usize = 16;

/// What the id of a link begins with that leads to a person's picture. No other's does:
/// they have no dot.
const FACE: &str = "face.";

/// Until when such links work (ms): old messages show them as well.
const FACES_END: i64 = 4_102_444_800_000;

/// How wide and high such a picture is, in pixels.
const FACE_EDGE: u32 = 96;

/// The most that is passed on of one, in bytes.
const FACE_BYTES: usize = 1024 * 1024;

/// Longest address of a picture that is linked to, in bytes.
const LONGEST: usize = 400;

/// How long a server may take to begin with a file.
const PATIENCE_TO_OPEN: Duration = Duration::from_secs(30);

/// How long a server may pause within one.
const PATIENCE_WITHIN: Duration = Duration::from_secs(60);

/// The files that are being handed out.
#[derive(Debug)]
pub(super) struct Downloads(Arc<Semaphore>);

impl Default for Downloads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(DOWNLOADS_AT_ONCE)))
    }
}

impl Bridge {
    /// A link to a file that does not fit the other side, and until when (ms) it works;
    /// none when links are switched off. Made again for the same file of the same message,
    /// it is the same.
    ///
    /// It is on disk when this returns.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn link_to(&self, file: LinkedFile) -> Result<Option<(Url, i64)>, Failure> {
        let media = &self.config.media;
        if !media.links {
            return Ok(None);
        }
        let of = match &file.source {
            FileSource::Matrix { mxc, .. } => mxc.as_str(),
            FileSource::RocketChat { file, .. } => file.as_str(),
        };
        let id = derived::link_id(&file.portal, &file.message, of);
        let until = match self.store.file_link(&id)? {
            Some(known) if known.until > now_ms() => known.until,
            _ => ends_at(now_ms(), media.link_lifetime),
        };
        let url = address(
            &media.public_url,
            &self.registration.as_token,
            &id,
            until,
            &file.name,
        );
        let link = FileLink { file, until };
        self.store.change().file_link(&id, &link).commit()?;
        self.store.flushed().await?;
        Ok(url.map(|url| (url, until)))
    }

    /// The file that a link leads to.
    pub(super) async fn linked_file(
        &self,
        request: FileRequest,
    ) -> Result<ServedFile, FileRefusal> {
        // Links that were made before they were switched off are off as well.
        if !self.config.media.links {
            return Err(FileRefusal::Unknown);
        }
        check(&self.registration.as_token, &request, now_ms())?;
        if let Some(mxc) = face_of(&request.id) {
            return self.face(&mxc, request.id).await;
        }
        let link = self.store.file_link(&request.id).map_err(|error| {
            tracing::error!(%error, "a link to a file cannot be looked up");
            FileRefusal::NotNow
        })?;
        let link = link
            .filter(|link| link.until >= now_ms())
            .ok_or(FileRefusal::Ended)?;
        let place = Arc::clone(&self.file_downloads.0)
            .try_acquire_owned()
            .map_err(|_| FileRefusal::Busy)?;
        let opening = self.open_linked(&link.file);
        let download = tokio::time::timeout(PATIENCE_TO_OPEN, opening)
            .await
            .map_err(|_| FileRefusal::NotNow)?
            .map_err(|failure| {
                tracing::info!(%failure, "a file that a link leads to cannot be had");
                match failure.advice() {
                    Advice::Retry { .. } => FileRefusal::NotNow,
                    Advice::GiveUp => FileRefusal::Ended,
                }
            })?;
        let is_encrypted = matches!(
            link.file.source,
            FileSource::Matrix {
                encrypted: Some(_),
                ..
            }
        );
        Ok(ServedFile {
            tag: request.id,
            name: name::clean_of_type(&link.file.name, &link.file.media_type),
            media_type: link.file.media_type,
            in_ranges: !is_encrypted,
            shown_elsewhere: false,
            body: holding(download.body.stalling_after(PATIENCE_WITHIN), place),
        })
    }

    /// A link to a small form of somebody's picture, for clients of Rocket.Chat to show;
    /// none where nobody has said how they reach the bridge. It is the same for the same
    /// picture, and nothing is stored of it: the picture is everybody's to see.
    pub(super) fn face_link(&self, mxc: &MxcUri) -> Option<String> {
        let media = &self.config.media;
        if !media.links || !media.has_public_url || !mxc.is_valid() || mxc.as_str().len() > LONGEST
        {
            return None;
        }
        let id = format!("{FACE}{}", URL_SAFE_NO_PAD.encode(mxc.as_str()));
        let url = address(
            &media.public_url,
            &self.registration.as_token,
            &id,
            FACES_END,
            "avatar",
        )?;
        Some(url.into())
    }

    /// The picture behind such a link, as the homeserver makes it small.
    async fn face(&self, mxc: &MxcUri, tag: String) -> Result<ServedFile, FileRefusal> {
        let _place = Arc::clone(&self.file_downloads.0)
            .try_acquire_owned()
            .map_err(|_| FileRefusal::Busy)?;
        let bot = self.matrix.bot();
        let loading = async {
            let small =
                bot.thumbnail(mxc, FACE_EDGE)
                    .await
                    .map_err(|error| match error.advice() {
                        Advice::Retry { .. } => FileRefusal::NotNow,
                        Advice::GiveUp => FileRefusal::Ended,
                    })?;
            let bytes = small.body.collect(FACE_BYTES).await;
            bytes.map_err(|_| FileRefusal::NotNow)
        };
        let bytes = tokio::time::timeout(PATIENCE_TO_OPEN, loading)
            .await
            .map_err(|_| FileRefusal::NotNow)??;
        // Whatever the homeserver calls it: never SVG, which is a program.
        let media_type = image_type(&bytes).ok_or(FileRefusal::Ended)?;
        Ok(ServedFile {
            tag,
            name: name::clean_of_type("avatar", media_type),
            media_type: media_type.to_owned(),
            in_ranges: false,
            shown_elsewhere: true,
            body: Body::of(bytes),
        })
    }

    async fn open_linked(&self, file: &LinkedFile) -> Result<Download, Failure> {
        match &file.source {
            FileSource::Matrix { mxc, encrypted } => {
                let download = self.matrix.bot().download(mxc).await?;
                let Some(key) = encrypted else {
                    return Ok(download);
                };
                let body = encrypted::decrypted(download.body, key)
                    .map_err(|error| Failure::Refused(error.to_string()))?;
                Ok(Download { body, ..download })
            }
            FileSource::RocketChat { file, reader } => {
                let Some(rocket) = self.rocket_if_there() else {
                    return Err(Failure::NotYet("Rocket.Chat"));
                };
                match reader {
                    None => Ok(rocket.bot.download(file).await?),
                    Some(user) => {
                        let puppet = self.store.puppet(user)?.ok_or_else(|| {
                            Failure::Refused("Nobody may read the file any more.".into())
                        })?;
                        self.as_puppet(
                            &puppet,
                            |session| async move { session.download(file).await },
                        )
                        .await
                    }
                }
            }
        }
    }
}

/// The picture that an id of a link stands for, if it is one of a person.
fn face_of(id: &str) -> Option<OwnedMxcUri> {
    let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix(FACE)?).ok()?;
    let mxc = OwnedMxcUri::from(String::from_utf8(bytes).ok()?);
    mxc.is_valid().then_some(mxc)
}

/// When a link ends that is made now, in ms, at a full second.
fn ends_at(now: i64, lifetime: Duration) -> i64 {
    let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    now.saturating_add(lifetime) / 1000 * 1000
}

/// `<public_url>/files/v1/<id>/<until>/<signature>/<name>`. The name is for people and
/// for their file systems, and not looked at again.
fn address(base: &Url, key: &Secret, id: &str, until: i64, name: &str) -> Option<Url> {
    let seconds = until / 1000;
    let signature = derived::link_signature(key, id, seconds);
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend([
        "files",
        "v1",
        id,
        &seconds.to_string(),
        signature.expose(),
        &name::clean(name),
    ]);
    Some(url)
}

/// Whether the bridge has made this link, and it has not ended by itself. Nothing is
/// looked up for links that it has not made.
fn check(key: &Secret, request: &FileRequest, now: i64) -> Result<(), FileRefusal> {
    let seconds: i64 = request.until.parse().map_err(|_| FileRefusal::Unknown)?;
    // Only as it was written: not `+5`, not `05`.
    if seconds.to_string() != request.until {
        return Err(FileRefusal::Unknown);
    }
    if !derived::link_signature(key, &request.id, seconds).matches(&request.signature) {
        return Err(FileRefusal::Unknown);
    }
    if seconds < now / 1000 {
        return Err(FileRefusal::Ended);
    }
    Ok(())
}

/// The same bytes; the place is free again when they have come or are no longer wanted.
fn holding(body: Body, place: OwnedSemaphorePermit) -> Body {
    let chunks = body.chunks.inspect(move |_| {
        // Moved in, and dropped with the stream.
        let _ = &place;
    });
    Body {
        chunks: chunks.boxed(),
        length: body.length,
    }
}

#[cfg(test)]
mod tests;
