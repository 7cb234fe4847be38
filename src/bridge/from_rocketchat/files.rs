//! The files of a message on their way to Matrix: from Rocket.Chat's answer straight
//! into the homeserver's request, never whole in memory.
//!
//! A file is not brought because a message names it. Whoever writes messages by hand
//! may name any id, also one of a room whose files the bridge may read and they may not.
//! So the room's own list of files decides whether one is of this room.

use std::collections::HashMap;
use std::time::Duration;

use ruma::MxcUri;
use serde_json::Value;
use url::Url;

use super::Document;
use crate::bridge::failure::Side;
use crate::bridge::file_readers::Reader;
use crate::bridge::{Bridge, Failure, spool};
use crate::convert::absent::{Absent, Why};
use crate::convert::to_matrix::{
    AttachedFile, OnMatrix, SmallImage, absent, event_of, text_of, upload_type,
};
use crate::matrix::{self, Intent};
use crate::media::{Body, Broken, kind, picture, playing};
use crate::rocketchat::FileId;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{FileSource, LinkedFile, Portal, PortalId, PortalKind};

/// How long a transfer may stand still before it is begun again.
const STANDSTILL: Duration = Duration::from_secs(15);

/// How much of a file is looked at to find out what it is.
const HEAD: usize = picture::ENOUGH;

/// The most that is kept on disk of a file whose size is not announced, where the
/// homeserver sets no bound, in bytes.
const MOST_UNANNOUNCED: u64 = 1 << 30;

/// The largest thumbnail that is brought, in bytes. Those of Rocket.Chat have at most
/// 480 × 360 pixels.
const LARGEST_THUMBNAIL: u64 = 2 << 20;

/// The size that the homeserver is asked for, in pixels: as wide as Rocket.Chat's.
const THUMBNAIL_EDGE: u32 = 480;

/// What has been brought of the files of one document: the content of each one's event,
/// by id.
#[derive(Debug, Default)]
pub(super) struct Brought(HashMap<String, Value>);

impl Brought {
    /// The content of a file's event.
    pub(super) fn content(&self, file: &AttachedFile) -> Option<&Value> {
        self.0.get(&file.id)
    }

    /// # Errors
    /// [`Failure::Wants`] with those that are not there.
    pub(super) fn has_all<'a>(
        &self,
        files: impl Iterator<Item = &'a AttachedFile>,
    ) -> Result<(), Failure> {
        let missing: Vec<_> = files
            .filter(|file| self.content(file).is_none())
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::Wants(missing))
    }
}

impl Bridge {
    /// Brings files of a document to Matrix, in order. Each ends as the content of an
    /// event: of the file, or in words when it cannot be had.
    ///
    /// # Errors
    /// When the store fails for good, or the portal is gone.
    pub(super) async fn bring_files(
        &self,
        id: &PortalId,
        document: &Document,
        wanted: Vec<AttachedFile>,
        brought: &mut Brought,
    ) -> Result<(), Failure> {
        let (Document::Message(message), Some(portal)) = (document, self.store.portal(id)?) else {
            return Err(Failure::Refused("There is no such room any more.".into()));
        };
        let ids: Vec<_> = wanted.iter().map(|file| file.id.as_str()).collect();
        let listed = self
            .persevere(|_| self.files_in_room(&portal, &ids, message.ts))
            .await;
        for file in wanted {
            let content = match &listed {
                Ok(listed) => match listed.get(&file.id) {
                    Some(size) => self.bring_file(&portal, message, &file, *size).await,
                    None => {
                        let why = Why::Other("It is not among the files of this room.");
                        words_of(&file, why, None)
                    }
                },
                Err(failure) => words_of(&file, Why::Other(&failure.person_text()), None),
            };
            brought.0.insert(file.id, content);
        }
        Ok(())
    }

    async fn bring_file(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        file: &AttachedFile,
        listed_size: Option<u64>,
    ) -> Value {
        let transferred = self
            .persevere_with_file(|attempt| async move {
                // What has another size twice has that size.
                let size = listed_size.filter(|_| !attempt.is_repeat());
                let outcome = self.transfer(portal, message, file, size).await;
                let Err(failure) = outcome else {
                    return Ok(outcome);
                };
                if !attempt.is_last() || failure.is_rate_limit() {
                    return Err(failure);
                }
                // While a server is away it waits, as everything does.
                match failure.side() {
                    Some(side) if !self.is_there(side).await => Err(failure),
                    _ => Ok(Err(failure)),
                }
            })
            .await;
        let failure = match transferred.and_then(|outcome| outcome) {
            Ok(content) => return content,
            Err(failure) => failure,
        };
        tracing::info!(message = %message.id, file = file.id, %failure, "a file is told in words");
        let told = failure.person_text();
        let (why, may_be_had) = match &failure {
            Failure::Transfer {
                why: Broken::TooLarge { limit },
                ..
            } => (Why::TooLarge(Some(*limit)), true),
            // A link would be answered alike.
            Failure::RocketChat(_) if failure.is_permanent() => (Why::Other(&told), false),
            Failure::Refused(_) => (Why::Other(&told), false),
            _ => (Why::Other(&told), true),
        };
        let link = if may_be_had {
            self.link_of(portal, message, file).await
        } else {
            None
        };
        words_of(file, why, link)
    }

    /// One attempt, from the start. A file that does not have the given size is taken for
    /// broken.
    async fn transfer(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        file: &AttachedFile,
        listed_size: Option<u64>,
    ) -> Result<Value, Failure> {
        let ghost = self.ghost_of(&message.u).await?;
        let intent = self.as_ghost(&ghost);
        let limit = self.upload_limit().await?;
        let id = FileId::new(file.id.as_str());
        let (reader, download) = self.open_file(portal, &id).await?;
        let body = download.body.stalling_after(STANDSTILL).checked();
        if let (Some(length), Some(limit)) = (body.length, limit)
            && length > limit
        {
            return Err(broken(Broken::TooLarge { limit }));
        }
        if let (Some(came), Some(announced)) = (body.length, listed_size)
            && came != announced
        {
            return Err(broken(Broken::Short { announced, came }));
        }
        let (head, body) = body.peek(HEAD).await.map_err(broken)?;
        let claimed = download.media_type.or_else(|| file.claimed_type.clone());
        let media_type = kind::of(&head, claimed.as_deref(), &file.name);
        let (size, body) = self.of_known_length(body, limit).await?;
        let uploaded = intent
            .upload_body(body, upload_type(&media_type), Some(&file.name))
            .await;
        let url = match uploaded {
            Err(error) if error.is_request_too_large() => {
                self.forget_upload_limit();
                let limit = size.saturating_sub(1);
                return Err(broken(Broken::TooLarge { limit }));
            }
            outcome => outcome.map_err(of_upload)?,
        };
        let is_image = kind::shown(&media_type) == kind::Shown::Image;
        let playing = playing::of(&head, Some(size));
        let thumbnail = match is_image {
            true => {
                self.bring_thumbnail(portal, file, &reader, &intent, &url)
                    .await
            }
            false => None,
        };
        Ok(event_of(
            file,
            &OnMatrix {
                url: &url,
                media_type: &media_type,
                size,
                dimensions: match is_image {
                    true => picture::dimensions(&head),
                    false => playing.size,
                },
                duration: playing.duration_ms,
                blurhash: file
                    .preview
                    .as_deref()
                    .filter(|_| is_image)
                    .and_then(picture::blurhash),
                thumbnail,
            },
        ))
    }

    /// The same file with its length: the homeserver wants to know that beforehand. What
    /// comes without is kept on disk for as long, in a file without a name.
    async fn of_known_length(
        &self,
        body: Body,
        limit: Option<u64>,
    ) -> Result<(u64, Body), Failure> {
        match body.length {
            Some(length) => Ok((length, body)),
            None => {
                let body = body.bounded(limit.unwrap_or(MOST_UNANNOUNCED));
                spool::to_disk(body).await.map_err(broken)
            }
        }
    }

    /// A smaller image of one, where it is larger than such. In a direct message the one
    /// that Rocket.Chat made: the reader is the puppet of the one who is shown it.
    /// Elsewhere nothing tells of which room a thumbnail is, as none of the lists has
    /// them: so there the homeserver makes one of what has been brought.
    async fn bring_thumbnail(
        &self,
        portal: &Portal,
        file: &AttachedFile,
        reader: &Reader,
        intent: &Intent,
        image: &MxcUri,
    ) -> Option<SmallImage> {
        let thumbnail = file.thumbnail.as_ref()?;
        let brought = async {
            let download = match portal.kind {
                PortalKind::Direct { .. } => {
                    let id = FileId::new(thumbnail.id.as_str());
                    self.read_file(reader, &id).await?
                }
                _ => intent.thumbnail(image, THUMBNAIL_EDGE).await?,
            };
            let body = download.body.stalling_after(STANDSTILL).checked();
            let body = body.bounded(LARGEST_THUMBNAIL);
            let (head, body) = body.peek(HEAD).await.map_err(broken)?;
            let media_type = kind::of(&head, download.media_type.as_deref(), "");
            if kind::shown(&media_type) != kind::Shown::Image {
                return Err(Failure::Refused("It is no picture.".into()));
            }
            let (size, body) = self.of_known_length(body, None).await?;
            let url = intent.upload_body(body, &media_type, None).await;
            let url = url.map_err(of_upload)?;
            Ok(SmallImage {
                url,
                media_type,
                size,
                dimensions: picture::dimensions(&head),
            })
        };
        match brought.await {
            Ok(brought) => Some(brought),
            // A picture does not wait for a smaller one of itself.
            Err(failure) => {
                tracing::debug!(file = file.id, %failure, "its thumbnail is not on Matrix");
                None
            }
        }
    }

    /// Where a file can be had that is not on Matrix; none when links are switched off, or
    /// none can be made: the words arrive without.
    async fn link_of(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        file: &AttachedFile,
    ) -> Option<(Url, i64)> {
        let reader = match self.last_reader(portal)? {
            Reader::Bot => None,
            Reader::Puppet(user) => Some(user),
        };
        let linked = LinkedFile {
            source: FileSource::RocketChat {
                file: FileId::new(file.id.as_str()),
                reader,
            },
            name: file.name.clone(),
            media_type: claimed_type_of(file).to_owned(),
            size: file.claimed_size,
            portal: portal.id.clone(),
            message: message.id.clone(),
        };
        self.link_to(linked).await.unwrap_or_else(|failure| {
            tracing::warn!(%failure, "a file cannot be linked to");
            None
        })
    }
}

/// What went wrong with an upload: perhaps on Rocket.Chat's side.
fn of_upload(error: matrix::Error) -> Failure {
    match error.kind() {
        matrix::Kind::Source(why) => broken(why.clone()),
        _ => error.into(),
    }
}

/// A file that broke on its way from Rocket.Chat.
fn broken(why: Broken) -> Failure {
    let from = Side::RocketChat;
    Failure::Transfer { from, why }
}

/// What stands in place of a file that is not on Matrix.
fn words_of(file: &AttachedFile, why: Why<'_>, link: Option<(Url, i64)>) -> Value {
    text_of(&absent(&Absent {
        name: &file.name,
        media_type: claimed_type_of(file),
        size: file.claimed_size,
        why,
        link: link.as_ref().map(|(link, until)| (link, *until)),
    }))
}

fn claimed_type_of(file: &AttachedFile) -> &str {
    file.claimed_type.as_deref().unwrap_or(kind::UNKNOWN)
}
