//! As whom files of Rocket.Chat are read. Rocket.Chat lets members of a room read its
//! files, and nobody else: an administrator, which the bridge's account is, no more than
//! others.
//!
//! In a direct message the puppet reads. In a channel or group the bridge's account
//! does, if it is a member; otherwise a puppet that is one; otherwise the bridge's account
//! joins, if the channel is public. Into a private group it is never put for that.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ruma::OwnedUserId;

use super::{Bridge, Failure};
use crate::media::Download;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::{RoomType, Timestamp};
use crate::rocketchat::rest::Session;
use crate::rocketchat::{self, FileId, RocketRoomId};
use crate::store::{Portal, PortalKind};

/// How many puppets are tried in one room.
const MOST_PUPPETS: usize = 5;

/// How many pages of a room's files are looked through.
const MOST_PAGES: usize = 50;

/// How much older than its message an upload may be: servers throw away what has not
/// been posted after a day. In ms.
const OLDEST_UPLOAD: i64 = 25 * 3600 * 1000;

/// What the server says of a file that it does not have.
const NO_SUCH_FILE: &str = "invalid-file";

/// Who read a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reader {
    /// The bridge's account.
    Bot,
    /// The puppet of a Matrix user.
    Puppet(OwnedUserId),
}

/// Who could read in which room, last time.
#[derive(Debug, Default)]
pub(super) struct LastReaders(Mutex<HashMap<RocketRoomId, Reader>>);

impl LastReaders {
    fn of(&self, rid: &RocketRoomId) -> Option<Reader> {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.get(rid).cloned()
    }

    fn note(&self, rid: &RocketRoomId, reader: &Reader) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.insert(rid.clone(), reader.clone());
    }
}

impl Bridge {
    fn readers_in(&self, portal: &Portal) -> Result<Vec<Reader>, Failure> {
        let last = self.last_readers.of(&portal.rid).into_iter();
        let all: Vec<Reader> = if portal.kind.is_direct() {
            let puppets = portal.kind.direct_users().cloned().map(Reader::Puppet);
            last.chain(puppets).collect()
        } else {
            let puppets = self.store.puppets_in_room(&portal.id, MOST_PUPPETS)?;
            last.chain([Reader::Bot])
                .chain(puppets.into_iter().map(Reader::Puppet))
                .collect()
        };
        let mut readers: Vec<Reader> = Vec::new();
        for reader in all {
            if !readers.contains(&reader) {
                readers.push(reader);
            }
        }
        Ok(readers)
    }

    /// Who read in a portal's room last, or would be the first to be asked.
    pub(super) fn last_reader(&self, portal: &Portal) -> Option<Reader> {
        let last = self.last_readers.of(&portal.rid);
        last.or_else(|| self.readers_in(portal).ok()?.into_iter().next())
    }

    async fn act_as<T, F, Fut>(&self, reader: &Reader, act: F) -> Result<T, Failure>
    where
        F: Fn(Session) -> Fut,
        Fut: Future<Output = Result<T, rocketchat::Error>>,
    {
        match reader {
            Reader::Bot => Ok(act(self.rocket().await.bot.clone()).await?),
            Reader::Puppet(user) => {
                let puppet = self.puppet_of(user).await?;
                self.as_puppet(&puppet, act).await
            }
        }
    }

    /// Which of these files are a portal's, by Rocket.Chat's own list of the room's
    /// files, with their sizes in bytes. `at` is when their message was written.
    ///
    /// # Errors
    /// [`Failure::Refused`] when nobody of the bridge may see the list.
    pub(super) async fn files_in_room(
        &self,
        portal: &Portal,
        ids: &[&str],
        at: Timestamp,
    ) -> Result<HashMap<String, Option<u64>>, Failure> {
        let readers = self.readers_in(portal)?;
        for kind in kinds_of(portal) {
            for reader in &readers {
                match self
                    .files_in_room_as(reader, &portal.rid, kind, ids, at)
                    .await
                {
                    Err(Failure::RocketChat(error)) if may_not(reader, &error) => {}
                    outcome => return outcome,
                }
            }
        }
        Err(not_allowed())
    }

    async fn files_in_room_as(
        &self,
        reader: &Reader,
        rid: &RocketRoomId,
        kind: &RoomType,
        ids: &[&str],
        at: Timestamp,
    ) -> Result<HashMap<String, Option<u64>>, Failure> {
        let mut found = HashMap::new();
        let mut offset = 0;
        for _ in 0..MOST_PAGES {
            let page = self
                .act_as(reader, |session| async move {
                    session.room_files(rid, kind, offset).await
                })
                .await?;
            offset += page.sent;
            let is_end = page.sent == 0 || offset >= page.total;
            let is_past = page.items.last().is_some_and(|last| {
                last.uploaded_at
                    .is_some_and(|uploaded| uploaded.0 < at.0.saturating_sub(OLDEST_UPLOAD))
            });
            let wanted = page.items.into_iter();
            let wanted = wanted.filter(|file| ids.contains(&file.id.as_str()));
            found.extend(wanted.map(|file| (file.id.into_string(), file.size)));
            if is_end || is_past || found.len() == ids.len() {
                break;
            }
        }
        Ok(found)
    }

    /// Begins to read a file of a portal's room, as whoever may.
    ///
    /// # Errors
    /// [`Failure::Refused`] when nobody of the bridge may.
    pub(super) async fn open_file(
        &self,
        portal: &Portal,
        file: &FileId,
    ) -> Result<(Reader, Download), Failure> {
        for reader in self.readers_in(portal)? {
            match self.read_file(&reader, file).await {
                Err(Failure::RocketChat(error)) if may_not(&reader, &error) => {}
                outcome => {
                    let download = outcome?;
                    self.last_readers.note(&portal.rid, &reader);
                    return Ok((reader, download));
                }
            }
        }
        if portal.kind != PortalKind::Channel {
            return Err(not_allowed());
        }
        let rocket = self.rocket().await;
        match rocket.bot.join_channel(&portal.rid).await {
            Err(error) if is_no_member(&error) => return Err(not_allowed()),
            outcome => outcome?,
        }
        tracing::info!(rid = %portal.rid, "the bridge's account has joined, to read files");
        match self.read_file(&Reader::Bot, file).await {
            Err(Failure::RocketChat(error)) if is_no_member(&error) => Err(not_allowed()),
            outcome => {
                let download = outcome?;
                self.last_readers.note(&portal.rid, &Reader::Bot);
                Ok((Reader::Bot, download))
            }
        }
    }

    /// Begins to read a file.
    pub(super) async fn read_file(
        &self,
        reader: &Reader,
        file: &FileId,
    ) -> Result<Download, Failure> {
        let read = || {
            self.act_as(
                reader,
                |session| async move { session.download(file).await },
            )
        };
        match (read().await, reader) {
            (Err(Failure::RocketChat(error)), Reader::Puppet(_)) if is_no_member(&error) => {
                // A token that is no longer accepted is answered alike.
                self.act_as(reader, |session| async move { session.me().await })
                    .await?;
                read().await
            }
            (outcome, _) => outcome,
        }
    }
}

/// What kind of room a portal's may be, the likeliest first: a channel may have been made
/// private since, or a group public, and each kind has a list that knows no others.
fn kinds_of(portal: &Portal) -> &'static [RoomType] {
    match portal.kind {
        PortalKind::Channel => &[RoomType::Channel, RoomType::Group],
        PortalKind::Group => &[RoomType::Group, RoomType::Channel],
        PortalKind::Direct { .. } => &[RoomType::Direct],
    }
}

/// Whether an answer says that the account is not in the room. Of private rooms the
/// server says that there is no such.
fn is_no_member(error: &rocketchat::Error) -> bool {
    error.is_denied()
        || matches!(
            error.code(),
            Some("error-room-not-found" | "error-invalid-room" | "error-not-allowed")
        )
}

/// Whether an answer says that somebody else is to be asked: a puppet may have been
/// switched off, or its account deleted, which its login is refused for in many words.
fn may_not(reader: &Reader, error: &rocketchat::Error) -> bool {
    let is_about_puppet = || match error {
        rocketchat::Error::Unauthorized { .. } => true,
        rocketchat::Error::Refused { .. } => {
            matches!(error.advice(), Advice::GiveUp) && error.code() != Some(NO_SUCH_FILE)
        }
        _ => false,
    };
    is_no_member(error) || (*reader != Reader::Bot && is_about_puppet())
}

fn not_allowed() -> Failure {
    Failure::Refused("The bridge may not read it.".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rocketchat::Error;

    #[test]
    fn somebody_else_is_asked_unless_it_is_about_the_file_or_passes() {
        let puppet = Reader::Puppet(ruma::owned_user_id!("@dora:example.org"));
        let gone = Error::refused("error-invalid-user");
        assert!(may_not(&puppet, &gone), "its account was deleted");
        assert!(!may_not(&Reader::Bot, &gone), "that is no puppet");
        for error in [
            Error::refused(NO_SUCH_FILE),
            Error::Server { status: 502 },
            Error::Redirected,
        ] {
            assert!(!may_not(&puppet, &error), "{error}");
        }
        let outside = Error::refused("error-room-not-found");
        assert!(may_not(&puppet, &outside) && may_not(&Reader::Bot, &outside));
    }
}
