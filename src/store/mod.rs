//! What the bridge must not forget, in sled: who is whose ghost or puppet,
//! which room mirrors which, which message is which, and the Matrix events that
//! still wait.
//!
//! Nothing outside this module names sled. Where a promise depends on the disk,
//! [`Store::flushed`] waits for it; everything else reaches the disk within half
//! a second, and can be found again on either server if it did not, because ids
//! are derived.

mod asked;
mod audit;
mod change;
mod endings;
mod faces;
mod file_links;
mod files;
mod flush;
mod inbox;
mod keys;
mod leaving;
mod leftovers;
mod links;
mod marked;
mod members;
mod messages;
mod parted;
mod plumbing;
mod portal_id;
mod proposals_over;
mod records;
mod relay;
mod remote_joins;
mod room_state;
mod teams;
mod upgrades;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ruma::{OwnedUserId, RoomId, UserId};
use thiserror::Error;

pub use asked::{Asked, REMEMBERED_FOR as ASKED_REMEMBERED_FOR};
pub use audit::{AuditEntry, Outcome};
pub use change::Change;
pub use endings::{Departure, Ending, Reason, Rest, Stage, Unbridged};
pub use faces::{GhostProfile, MirroredPicture, PictureWish, PuppetProfile, RoomPicture};
pub use inbox::{Accepted, NewEvent};
pub use leaving::{Leaving, LeavingStage};
pub use links::{Asker, EndedLink, Link, LoginCode, SealedToken, TokenFrom};
pub use members::{Ban, RoomRights, Stand, Standing};
pub use parted::Parted;
pub use plumbing::{Consequence, Declined, Person, Proposal, ProposalStage, Tried, Tries};
pub use portal_id::PortalId;
pub use proposals_over::{EnteredRoom, HowOver, OverProposal};
pub use records::{
    BegunReaction, CustomEmoji, DeadLetter, FileLink, FilePost, FileSource, Gathering, Ghost,
    Identity, InboxEvent, LeftRoom, LinkedFile, Message, MirroredFile, Origin, Portal, PortalKind,
    Puppet, Reaction, ReactionLine, Reactions, Thread, Upload,
};
pub use relay::RoomRelay;
pub use room_state::{RoomState, Spelling, StateWish};
pub use teams::TeamSpace;

pub use remote_joins::{JoinAsked, RemoteJoin, ServerAnswer};

use crate::rocketchat::{RocketRoomId, RocketUserId};
use flush::Flusher;
use keys::Key;
use records::{Number, Record, Text, decode, encode};

/// The layout this program writes and reads.
const SCHEMA: u32 = 1;

/// Why the store cannot be used.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// sled refuses.
    #[error("the store failed: {0}")]
    Sled(String),
    /// Someone else has it open.
    #[error(
        "the store is in use by another process: stop the other bridge first (each bridge needs its own store.path)"
    )]
    Locked,
    /// A record is not what it should be.
    #[error("a record ({what}) in the store is not readable: {error}")]
    Record {
        /// Which kind.
        what: &'static str,
        /// What the reader said.
        error: String,
    },
    /// Written by a later version of this program.
    #[error(
        "the store was written by a newer version ({what} {found}, this program knows {known}): use that version, or a backup made before"
    )]
    Newer {
        /// What is newer.
        what: &'static str,
        /// Its version.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// Of another deployment.
    #[error(
        "the store belongs to another {what}: it was made for {found:?}, the configuration says {expected:?}; name another store.path, or mend the configuration"
    )]
    Foreign {
        /// Which part differs.
        what: &'static str,
        /// What the store says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// The bridge is stopping.
    #[error("the store is being closed")]
    Stopped,
}

impl StoreError {
    fn record(what: &'static str, error: &serde_json::Error) -> Self {
        // serde_json's message may quote the value; its position is enough.
        Self::Record {
            what,
            error: format!("column {} ({:?})", error.column(), error.classify()),
        }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match &error {
            sled::Error::Io(io) if io.kind() == std::io::ErrorKind::Other => {
                let said = error.to_string();
                if said.contains("acquire lock") {
                    Self::Locked
                } else {
                    Self::Sled(said)
                }
            }
            _ => Self::Sled(error.to_string()),
        }
    }
}

/// The store.
#[derive(Debug)]
pub struct Store {
    db: sled::Db,
    flusher: Flusher,
    next_number: AtomicU64,
    /// Held while it is decided whether an event is new: two transactions may
    /// arrive at once.
    accepting: Mutex<()>,
    /// Held while a message's record is read, changed and written: both directions
    /// do that.
    amending: Mutex<()>,
}

impl Store {
    /// Opens the store at `path`, or makes it, for this homeserver.
    ///
    /// # Errors
    /// When it is in use, damaged, newer, or of another homeserver or prefix.
    pub fn open(
        path: &Path,
        cache_bytes: u64,
        homeserver: &str,
        ghost_prefix: &str,
    ) -> Result<Self, StoreError> {
        // It holds tokens of puppets.
        let mut directory = std::fs::DirBuilder::new();
        directory.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
        directory
            .create(path)
            .map_err(|error| StoreError::Sled(error.to_string()))?;
        leftovers::remove_unfinished_snapshots(path)
            .map_err(|error| StoreError::Sled(error.to_string()))?;
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .flush_every_ms(Some(500))
            .open()?;
        let flusher =
            Flusher::start(db.clone()).map_err(|error| StoreError::Sled(error.to_string()))?;
        let store = Self {
            next_number: AtomicU64::new(next_number(&db)?),
            db,
            flusher,
            accepting: Mutex::new(()),
            amending: Mutex::new(()),
        };
        store.claim(homeserver, ghost_prefix)?;
        store.index_dead_letters()?;
        Ok(store)
    }

    /// Makes dead letters found by their ids that an earlier version has written.
    fn index_dead_letters(&self) -> Result<(), StoreError> {
        for (number, letter) in self.dead_letters() {
            if self.dead_letter_of(&letter.room_id, &letter.id)?.is_none()
                && let Ok(number) = i64::try_from(number)
            {
                let key = keys::dead_letter_of(&letter.room_id, &letter.id);
                self.put(&key, &Number(number))?;
            }
        }
        Ok(())
    }

    /// Writes down whose store this is, or checks it.
    fn claim(&self, homeserver: &str, ghost_prefix: &str) -> Result<(), StoreError> {
        let found = self.get::<Identity>(&keys::identity())?;
        // One that holds nothing yet belongs to nobody: a first start with a mistake
        // in the configuration must not stand in the way of the second.
        let Some(found) = found.filter(|found| found.schema > SCHEMA || !self.is_empty()) else {
            return self.put(
                &keys::identity(),
                &Identity {
                    schema: SCHEMA,
                    homeserver: homeserver.to_owned(),
                    workspace: None,
                    ghost_prefix: ghost_prefix.to_owned(),
                },
            );
        };
        if found.schema > SCHEMA {
            return Err(StoreError::Newer {
                what: "schema",
                found: found.schema,
                known: SCHEMA,
            });
        }
        same("homeserver", &found.homeserver, homeserver)?;
        same("ghost prefix", &found.ghost_prefix, ghost_prefix)
    }

    /// Whether nobody and nothing has been mirrored yet.
    fn is_empty(&self) -> bool {
        [keys::PORTALS, keys::PUPPETS, keys::GHOSTS, keys::INBOX]
            .iter()
            .all(|prefix| self.db.scan_prefix(prefix).next().is_none())
    }

    /// Ties the store to a Rocket.Chat workspace (its `uniqueID`), or checks it.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when it belongs to another one.
    pub fn claim_workspace(&self, unique_id: &str) -> Result<(), StoreError> {
        let Some(mut identity) = self.get::<Identity>(&keys::identity())? else {
            return Err(StoreError::Sled("the identity record is gone".into()));
        };
        match &identity.workspace {
            Some(found) => same("Rocket.Chat", found, unique_id),
            None => {
                identity.workspace = Some(unique_id.to_owned());
                self.put(&keys::identity(), &identity)
            }
        }
    }

    /// The workspace (its `uniqueID`) that the store is tied to, if it is.
    ///
    /// # Errors
    /// When the store fails.
    pub fn workspace(&self) -> Result<Option<String>, StoreError> {
        let identity = self.get::<Identity>(&keys::identity())?;
        Ok(identity.and_then(|identity| identity.workspace))
    }

    /// Returns when everything written so far is on disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn flushed(&self) -> Result<(), StoreError> {
        self.flusher.flush().await
    }

    /// How much room the store takes on disk, in bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(self.db.size_on_disk()?)
    }

    fn get<R: Record>(&self, key: &Key) -> Result<Option<R>, StoreError> {
        self.db.get(key)?.map(|bytes| decode(&bytes)).transpose()
    }

    fn put<R: Record>(&self, key: &Key, record: &R) -> Result<(), StoreError> {
        self.db.insert(key.as_slice(), encode(record)?)?;
        Ok(())
    }

    fn scan<R: Record>(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(Key, R), StoreError>> {
        self.db.scan_prefix(prefix).map(|item| {
            let (key, value) = item?;
            Ok((key.to_vec(), decode(&value)?))
        })
    }

    /// A number that was never given before, for the inbox.
    pub fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// A portal.
    ///
    /// # Errors
    /// When the store fails.
    pub fn portal(&self, id: &PortalId) -> Result<Option<Portal>, StoreError> {
        self.get(&keys::portal(id))
    }

    /// The portal that the bridge itself made of a Rocket.Chat room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn own_portal(&self, rid: &RocketRoomId) -> Result<Option<Portal>, StoreError> {
        self.portal(&PortalId::own(rid))
    }

    /// The portals of a Rocket.Chat room, the bridge's own one first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn portals_of(&self, rid: &RocketRoomId) -> Result<Vec<Portal>, StoreError> {
        let mut portals: Vec<Portal> = self.own_portal(rid)?.into_iter().collect();
        for item in self.scan::<Portal>(&keys::further_portals(rid)) {
            portals.push(item?.1);
        }
        Ok(portals)
    }

    /// Whether a Rocket.Chat room is mirrored at all.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_mirrored(&self, rid: &RocketRoomId) -> Result<bool, StoreError> {
        Ok(!self.portals_of(rid)?.is_empty())
    }

    /// The portal of a Matrix room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn portal_of_room(&self, room: &RoomId) -> Result<Option<Portal>, StoreError> {
        match self.get::<Text>(&keys::portal_of_room(room))? {
            Some(id) => self.portal(&PortalId::stored(id.0)),
            None => Ok(None),
        }
    }

    /// Every portal. A record that cannot be read is left out and logged: it
    /// must not keep the others from working.
    pub fn portals(&self) -> Vec<Portal> {
        self.scan(keys::PORTALS)
            .filter_map(|item| readable(item, "portal"))
            .map(|(_, portal)| portal)
            .collect()
    }

    /// Whether the people of a Matrix room get a private group on Rocket.Chat.
    ///
    /// # Errors
    /// When the store fails.
    pub fn gathering(&self, room: &RoomId) -> Result<Option<Gathering>, StoreError> {
        self.get(&keys::gathering(room))
    }

    /// All rooms whose people get a private group.
    pub fn gatherings(&self) -> Vec<Gathering> {
        self.scan(keys::GATHERINGS)
            .filter_map(|item| readable(item, "gathering"))
            .map(|(_, gathering)| gathering)
            .collect()
    }

    /// The rooms that direct messages have left and that are not tidy yet.
    pub fn left_rooms(&self) -> Vec<LeftRoom> {
        self.scan(keys::LEFT_ROOMS)
            .filter_map(|item| readable(item, "room that was left"))
            .map(|(_, left)| left)
            .collect()
    }

    /// Up to when (ms, Rocket.Chat's `_updatedAt`) a room has been mirrored.
    ///
    /// # Errors
    /// When the store fails.
    pub fn cursor(&self, portal: &PortalId) -> Result<Option<i64>, StoreError> {
        Ok(self.get::<Number>(&keys::cursor(portal))?.map(|at| at.0))
    }

    /// The ghost of a Rocket.Chat user.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ghost(&self, user: &RocketUserId) -> Result<Option<Ghost>, StoreError> {
        self.get(&keys::ghost(user))
    }

    /// Whether there is any ghost.
    pub fn has_ghosts(&self) -> bool {
        self.db.scan_prefix(keys::GHOSTS).next().is_some()
    }

    /// The ghost with that localpart.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ghost_by_localpart(&self, localpart: &str) -> Result<Option<Ghost>, StoreError> {
        match self.get::<Text>(&keys::ghost_by_localpart(localpart))? {
            Some(id) => self.ghost(&RocketUserId::new(id.0)),
            None => Ok(None),
        }
    }

    /// The account that the bridge has made for a Matrix user.
    ///
    /// # Errors
    /// When the store fails.
    pub fn made_puppet(&self, user: &UserId) -> Result<Option<Puppet>, StoreError> {
        self.get(&keys::puppet(user))
    }

    /// Every account that the bridge has made, if it can be read.
    pub fn puppets(&self) -> Vec<Puppet> {
        self.scan(keys::PUPPETS)
            .filter_map(|item| readable(item, "puppet"))
            .map(|(_, puppet)| puppet)
            .collect()
    }

    /// The Matrix user for whom the bridge has made an account on Rocket.Chat.
    ///
    /// # Errors
    /// When the store fails.
    pub fn behind_made_puppet(
        &self,
        user: &RocketUserId,
    ) -> Result<Option<OwnedUserId>, StoreError> {
        let found = self.get::<Text>(&keys::puppet_by_rocket_id(user))?;
        Ok(found.and_then(|id| UserId::parse(id.0).ok()))
    }

    /// Whether a ghost is known to be in a room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_ghost_in_room(&self, room: &RoomId, ghost: &UserId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::ghost_in_room(room, ghost))?)
    }

    /// Whether the account that acts for a Matrix user is known to be in a portal's room on
    /// Rocket.Chat, because the user is in the portal's Matrix room. That another account
    /// was that acted for them before says nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_puppet_in_room(&self, portal: &PortalId, user: &UserId) -> Result<bool, StoreError> {
        let Some(noted) = self.db.get(keys::puppet_in_room(portal, user))? else {
            return Ok(false);
        };
        let own = match noted.is_empty() {
            true => None,
            false => Some(RocketUserId::new(decode::<Text>(&noted)?.0)),
        };
        Ok(own == self.linked_user(user)?.map(|link| link.rocket_id))
    }

    /// The same, by any portal of the room but this one, where one is given.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_puppet_held_in(
        &self,
        rid: &RocketRoomId,
        but: Option<&PortalId>,
        user: &UserId,
    ) -> Result<bool, StoreError> {
        for portal in self.portals_of(rid)? {
            if Some(&portal.id) != but && self.is_puppet_in_room(&portal.id, user)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The Matrix users whose puppets are known to be in a room, some of them when there
    /// are more than `most`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn puppets_in_room(
        &self,
        portal: &PortalId,
        most: usize,
    ) -> Result<Vec<OwnedUserId>, StoreError> {
        let prefix = keys::puppets_in_room(portal);
        let mut users = Vec::new();
        for key in self.db.scan_prefix(&prefix).keys() {
            let key = key?;
            let name = key.get(prefix.len()..).unwrap_or_default();
            let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name));
            if let Ok(user) = UserId::parse(&*name)
                && self.is_puppet_in_room(portal, &user)?
            {
                users.push(user);
            }
            if users.len() >= most {
                break;
            }
        }
        Ok(users)
    }

    /// Whether the bot takes commands in a room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_bot_room(&self, room: &RoomId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::bot_room(room))?)
    }

    /// Whether people of a Matrix room were told that encrypted messages stay behind.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_told_of_encryption(&self, room: &RoomId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::told_of_encryption(room))?)
    }

    /// Notes that they were.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_told_of_encryption(&self, room: &RoomId) -> Result<(), StoreError> {
        self.db.insert(keys::told_of_encryption(room), b"")?;
        Ok(())
    }

    /// When (ms) the homeserver was last known to be well, if ever.
    ///
    /// # Errors
    /// When the store fails.
    pub fn homeserver_well(&self) -> Result<Option<i64>, StoreError> {
        let found = self.get::<Number>(&keys::homeserver_well())?;
        Ok(found.map(|at| at.0))
    }

    /// The number of the last transaction that arrived, if they are numbered.
    ///
    /// # Errors
    /// When the store fails.
    pub fn last_transaction(&self) -> Result<Option<i64>, StoreError> {
        let found = self.get::<Number>(&keys::last_transaction())?;
        Ok(found.map(|number| number.0))
    }

    /// What could not be delivered, oldest first, each with its number.
    pub fn dead_letters(&self) -> Vec<(u64, DeadLetter)> {
        self.scan(keys::DEAD_LETTERS)
            .filter_map(|item| readable(item, "dead letter"))
            .filter_map(|(key, letter)| Some((keys::number_of(&key)?, letter)))
            .collect()
    }

    /// The number under which something is kept that could not be delivered.
    ///
    /// # Errors
    /// When the store fails.
    pub fn dead_letter_of(&self, room: &RoomId, id: &str) -> Result<Option<u64>, StoreError> {
        let found = self.get::<Number>(&keys::dead_letter_of(room, id))?;
        Ok(found.and_then(|number| u64::try_from(number.0).ok()))
    }

    /// What could not be delivered of something, if it is kept.
    ///
    /// # Errors
    /// When the store fails.
    pub fn letter_of(&self, room: &RoomId, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        match self.dead_letter_of(room, id)? {
            Some(number) => self.get(&keys::dead_letter(number)),
            None => Ok(None),
        }
    }

    /// A set of changes that happen together or not at all.
    pub fn change(&self) -> Change<'_> {
        Change::of(self)
    }
}

fn same(what: &'static str, found: &str, expected: &str) -> Result<(), StoreError> {
    if found == expected {
        return Ok(());
    }
    Err(StoreError::Foreign {
        what,
        found: found.to_owned(),
        expected: expected.to_owned(),
    })
}

/// One record that cannot be read must not stop the bridge from starting.
fn readable<T>(item: Result<T, StoreError>, what: &str) -> Option<T> {
    item.inspect_err(|error| tracing::error!(what, %error, "a record is left out"))
        .ok()
}

/// Numbers are never given twice: the highest of the inbox and of the dead
/// letters, plus one.
fn next_number(db: &sled::Db) -> Result<u64, StoreError> {
    let mut next = 0;
    for prefix in [keys::INBOX, keys::DEAD_LETTERS] {
        for last in db.scan_prefix(prefix).rev() {
            let (key, _) = last?;
            // What has none is nothing of theirs.
            if let Some(number) = keys::number_of(&key) {
                next = next.max(number + 1);
                break;
            }
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests;
