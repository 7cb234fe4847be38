//! What was last set of people's profiles and of rooms' pictures, so that the same is
//! not set again: a homeserver tells every room of each change.

use std::sync::PoisonError;

use ruma::{OwnedEventId, OwnedMxcUri, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::keys::{self, Key};
use super::records::Record;
use super::{PortalId, Store, StoreError};
use crate::rocketchat::RocketUserId;

/// A picture of Rocket.Chat that is on Matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirroredPicture {
    /// Where it is there.
    pub mxc: OwnedMxcUri,
    /// SHA-256 of its bytes, in base64: the same picture under a new `avatarETag` is
    /// not set again.
    pub hash: String,
}

/// What was last set of a ghost's profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GhostProfile {
    /// Its display name; none when it was never set.
    pub name: Option<String>,
    /// The `avatarETag` that was dealt with last; none when the person had no picture.
    pub etag: Option<String>,
    /// Its picture; none also when that of the person is none that Matrix could show.
    pub picture: Option<MirroredPicture>,
}

impl Record for GhostProfile {
    const NAME: &'static str = "profile of a ghost";
}

/// What was last carried over of a Matrix user's profile to their puppet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PuppetProfile {
    /// Whether anything was carried over yet.
    pub is_known: bool,
    /// Their `displayname`.
    pub display_name: Option<String>,
    /// Their `avatar_url`, also when it is no picture that Rocket.Chat could show.
    pub avatar_url: Option<String>,
    /// How often something seemed to have changed since then.
    pub changes: u64,
}

impl Record for PuppetProfile {
    const NAME: &'static str = "profile of a puppet";
}

/// What is the same on both sides of a portal: its picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomPicture {
    /// The `avatarETag` on Rocket.Chat that was dealt with last.
    pub etag: Option<String>,
    /// The picture on Matrix that belongs to it; none when there is none, or none that
    /// Matrix could show.
    pub url: Option<String>,
    /// SHA-256 of its bytes in base64, where it came from Rocket.Chat.
    pub hash: Option<String>,
    /// The event that shows it on Matrix.
    pub event: Option<OwnedEventId>,
    /// What somebody on Matrix has set, to be carried over.
    pub wish: Option<PictureWish>,
}

impl Record for RoomPicture {
    const NAME: &'static str = "picture of a room";
}

/// A picture that somebody on Matrix has given to a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureWish {
    /// The event that did.
    pub event: OwnedEventId,
    /// Who.
    pub sender: OwnedUserId,
    /// The picture; none when it was taken away.
    pub url: Option<String>,
    /// How often carrying it over failed for a while.
    #[serde(default)]
    pub failures: u32,
}

impl Store {
    /// What was last set of a ghost's profile, if anything.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ghost_profile(&self, user: &RocketUserId) -> Result<Option<GhostProfile>, StoreError> {
        self.get(&keys::ghost_profile(user))
    }

    /// Changes what is noted of a ghost's profile.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_ghost_profile(
        &self,
        user: &RocketUserId,
        amend: impl FnOnce(&mut GhostProfile),
    ) -> Result<(), StoreError> {
        self.amend_or_make(&keys::ghost_profile(user), amend)
    }

    /// What was last carried over of a Matrix user's profile; nothing is as if it had
    /// been empty.
    ///
    /// # Errors
    /// When the store fails.
    pub fn puppet_profile(&self, user: &UserId) -> Result<PuppetProfile, StoreError> {
        Ok(self.get(&keys::puppet_profile(user))?.unwrap_or_default())
    }

    /// Changes what is noted of a puppet's profile.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_puppet_profile(
        &self,
        user: &UserId,
        amend: impl FnOnce(&mut PuppetProfile),
    ) -> Result<(), StoreError> {
        self.amend_or_make(&keys::puppet_profile(user), amend)
    }

    /// What is known of a room's picture; nothing is as if it had none.
    ///
    /// # Errors
    /// When the store fails.
    pub fn room_picture(&self, portal: &PortalId) -> Result<RoomPicture, StoreError> {
        Ok(self.get(&keys::room_picture(portal))?.unwrap_or_default())
    }

    /// Changes what is noted of a room's picture.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_room_picture(
        &self,
        portal: &PortalId,
        amend: impl FnOnce(&mut RoomPicture),
    ) -> Result<(), StoreError> {
        self.amend_or_make(&keys::room_picture(portal), amend)
    }

    pub(super) fn amend_or_make<R: Record + Default>(
        &self,
        key: &Key,
        amend: impl FnOnce(&mut R),
    ) -> Result<(), StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record: R = self.get(key)?.unwrap_or_default();
        amend(&mut record);
        self.put(key, &record)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::user_id;

    use super::*;

    #[test]
    fn what_is_noted_stays_beside_what_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 1 << 20, "example.org", "_rc_").unwrap();
        let user = RocketUserId::new("u");
        assert_eq!(store.ghost_profile(&user).unwrap(), None);
        let name = |profile: &mut GhostProfile| profile.name = Some("Carol".into());
        store.amend_ghost_profile(&user, name).unwrap();
        let etag = |profile: &mut GhostProfile| profile.etag = Some("e".into());
        store.amend_ghost_profile(&user, etag).unwrap();
        let noted = store.ghost_profile(&user).unwrap().unwrap();
        assert_eq!(noted.name.as_deref(), Some("Carol"));
        assert_eq!(noted.etag.as_deref(), Some("e"));
        let alice = user_id!("@alice:example.org");
        let change = |profile: &mut PuppetProfile| profile.changes += 1;
        store.amend_puppet_profile(alice, change).unwrap();
        let noted = store.puppet_profile(alice).unwrap();
        assert_eq!((noted.is_known, noted.changes), (false, 1));
    }
}
