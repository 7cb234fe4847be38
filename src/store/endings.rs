//! Portals that are being ended, and who is gone.

use ruma::{OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::records::{FilePost, Number, Portal, PortalKind, Record, Text};
use super::{PortalId, Store, StoreError, keys, readable};
use crate::rocketchat::{RocketRoomId, RocketUserId};

/// How many records are forgotten at once.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// Why a portal ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody asked for it.
    Unbridged {
        /// Who: a Matrix user id, or in words.
        by: String,
    },
    /// Its room on Rocket.Chat was deleted.
    RoomDeleted,
    /// Its Matrix room is gone, or the bridge was put out of it.
    RoomLost,
    /// Its room belongs to Rocket.Chat's own federation now.
    Federated,
    /// Of a direct message: the account of the person on Rocket.Chat was deactivated.
    PersonDeactivated,
    /// Of a direct message: the account of the person on Rocket.Chat was deleted.
    PersonDeleted,
}

/// How far the end of a portal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// What waits for the room is still worked; it is a portal.
    Begun,
    /// The rooms are no portal any more: what comes now comes too late. What the bridge
    /// put into them is being taken back.
    Closed,
}

/// A portal that is being ended. Written down before anything is done, and gone at the
/// end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The portal as it was.
    pub portal: Portal,
    /// Why.
    pub reason: Reason,
    /// When it was begun (ms): what is said about it has ids that follow from this.
    pub begun: i64,
    /// How far it has come.
    pub stage: Stage,
    /// It has been said on Matrix.
    #[serde(default)]
    pub told_matrix: bool,
    /// It has been said on Rocket.Chat.
    #[serde(default)]
    pub told_rocketchat: bool,
}

impl Record for Ending {
    const NAME: &'static str = "ending";
}

impl Ending {
    /// Whether the same two may talk here again, in which case nothing that was already
    /// mirrored may come a second time: a direct message whose people both still exist.
    fn may_go_on(&self) -> bool {
        !matches!(self.portal.kind, PortalKind::Channel | PortalKind::Group)
            && !matches!(self.reason, Reason::RoomDeleted | Reason::PersonDeleted)
    }
}

/// That a room of Rocket.Chat is mirrored no more because somebody wished so: the
/// configuration alone does not bring it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbridged {
    /// Who wished it: a Matrix user id, or in words.
    pub by: String,
    /// When (ms).
    pub at: i64,
}

impl Record for Unbridged {
    const NAME: &'static str = "unbridged room";
}

/// Why a ghost has left its rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departure {
    /// The account on Rocket.Chat was deactivated. It may come back.
    Deactivated,
    /// The account was deleted. Nobody gets this ghost again.
    Deleted,
}

impl Record for Departure {
    const NAME: &'static str = "departure";
}

/// What is thought of a Matrix user whose account may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// They left a room: perhaps the account is gone.
    Suspected,
    /// It is gone, and the bridge has deactivated the puppet.
    Resting,
}

impl Record for Rest {
    const NAME: &'static str = "rest";
}

impl Store {
    /// The end of a portal that is under way.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ending(&self, id: &PortalId) -> Result<Option<Ending>, StoreError> {
        self.get(&keys::ending(id))
    }

    /// The end of a portal that is under way, by the Matrix room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ending_of_room(&self, room: &RoomId) -> Result<Option<Ending>, StoreError> {
        match self.get::<Text>(&keys::ending_of_room(room))? {
            Some(id) => self.ending(&PortalId::stored(id.0)),
            None => Ok(None),
        }
    }

    /// The ends of a Rocket.Chat room's portals that are under way.
    ///
    /// # Errors
    /// When the store fails.
    pub fn endings_of(&self, rid: &RocketRoomId) -> Result<Vec<Ending>, StoreError> {
        let mut endings: Vec<Ending> = self.ending(&PortalId::own(rid))?.into_iter().collect();
        for item in self.scan::<Ending>(&keys::further_endings(rid)) {
            endings.push(item?.1);
        }
        Ok(endings)
    }

    /// Whether the account that acts for a Matrix user is in a room on Rocket.Chat because of
    /// a portal that ends, another one than this, and leaves with it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_puppet_leaving(&self, but: &Portal, user: &UserId) -> Result<bool, StoreError> {
        for ending in self.endings_of(&but.rid)? {
            if ending.portal.id != but.id && self.is_puppet_in_room(&ending.portal.id, user)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every end of a portal that is under way.
    pub fn endings(&self) -> Vec<Ending> {
        self.scan(keys::ENDINGS)
            .filter_map(|item| readable(item, "ending"))
            .map(|(_, ending)| ending)
            .collect()
    }

    /// Whether, and at whose wish, a room is mirrored no more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn unbridged(&self, rid: &RocketRoomId) -> Result<Option<Unbridged>, StoreError> {
        self.get(&keys::unbridged(rid))
    }

    /// Why a ghost has left its rooms, if it has.
    ///
    /// # Errors
    /// When the store fails.
    pub fn departure(&self, user: &RocketUserId) -> Result<Option<Departure>, StoreError> {
        self.get(&keys::departure(user))
    }

    /// Whether a Matrix user's account is thought to be gone, and the puppet
    /// deactivated.
    ///
    /// # Errors
    /// When the store fails.
    pub fn rest(&self, user: &UserId) -> Result<Option<Rest>, StoreError> {
        self.get(&keys::rest(user))
    }

    /// The people behind all ghosts.
    pub fn ghosts(&self) -> Vec<super::Ghost> {
        self.scan(keys::GHOSTS)
            .filter_map(|item| readable(item, "ghost"))
            .map(|(_, ghost)| ghost)
            .collect()
    }

    /// The ghosts that are known to be in a Matrix room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ghosts_in_room(&self, room: &RoomId) -> Result<Vec<OwnedUserId>, StoreError> {
        let mut ghosts = Vec::new();
        for key in self.db.scan_prefix(keys::ghosts_in_room(room)).keys() {
            let key = key?;
            ghosts.extend(keys::last_part(&key).and_then(|user| UserId::parse(user).ok()));
        }
        Ok(ghosts)
    }

    /// Forgets in which rooms a puppet is: the account is another one now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_rooms_of_puppet(&self, user: &UserId) -> Result<(), StoreError> {
        for key in self.db.scan_prefix(keys::PUPPETS_IN_ROOMS).keys() {
            let key = key?;
            let is_theirs = keys::parts(&key)
                .and_then(|parts| parts.last().copied())
                .is_some_and(|part| part == user.as_str());
            if is_theirs {
                self.db.remove(key)?;
            }
        }
        Ok(())
    }

    /// Forgets all that was known of a portal which has been ended, and at last that it
    /// was being ended. Of a direct message that may go on one day stays what keeps old
    /// messages from coming again. A repeat does no harm.
    ///
    /// # Errors
    /// When the store fails; then it has to be repeated.
    pub fn forget_portal(&self, ending: &Ending) -> Result<(), StoreError> {
        let Portal {
            id, rid, room_id, ..
        } = &ending.portal;
        let is_last = !self.portals_of(rid)?.iter().any(|other| other.id != *id);
        let mut prefixes = match ending.may_go_on() {
            true => vec![keys::ghosts_in_room(room_id), keys::puppets_in_room(id)],
            false => keys::of_portal(id, room_id),
        };
        if is_last && !ending.may_go_on() {
            prefixes.extend(keys::of_rocket_room(rid));
        }
        for prefix in prefixes {
            self.forget_all(&prefix)?;
        }
        self.change().no_ending(ending).commit()
    }

    /// Forgets everything under a prefix, with what is found only by it.
    fn forget_all(&self, prefix: &[u8]) -> Result<(), StoreError> {
        loop {
            let mut batch = sled::Batch::default();
            let mut count = 0;
            for item in self.db.scan_prefix(prefix).take(FORGOTTEN_AT_ONCE) {
                let (key, value) = item?;
                for beside in Self::beside(&key, &value) {
                    batch.remove(beside);
                }
                batch.remove(key);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            self.db.apply_batch(batch)?;
        }
    }

    /// What lies elsewhere and belongs to one record alone: the link behind the mark of
    /// a message, the uploads of a file on its way, what was given up behind its id.
    fn beside(key: &[u8], value: &[u8]) -> Vec<keys::Key> {
        match key.first() {
            Some(b'F') => keys::last_part(key)
                .map(keys::linked_file)
                .into_iter()
                .collect(),
            Some(b'D') => super::decode::<Number>(value)
                .ok()
                .and_then(|number| u64::try_from(number.0).ok())
                .map(keys::dead_letter)
                .into_iter()
                .collect(),
            Some(b'q') => super::decode::<FilePost>(value)
                .ok()
                .map(|post| keys::of_uploads(&post))
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}
