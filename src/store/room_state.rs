//! What both sides of a portal agreed upon last: name, topic and the like. Whatever
//! differs from it has been changed since, on that side.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomAliasId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::keys;
use super::records::Record;
use super::{PortalId, Store, StoreError};

/// What is the same on both sides of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomState {
    /// By what it is of (`name`, `topic`, `access`, `writing`): what it was when both
    /// sides were the same. Nothing is there of what was never compared.
    pub agreed: BTreeMap<String, String>,
    /// By the same: the event on Matrix that was dealt with last. It is nobody's wish any
    /// more, also when it is not what the room is like.
    pub settled: BTreeMap<String, OwnedEventId>,
    /// Its name on Matrix, where Rocket.Chat takes it in another spelling only.
    pub spelling: Option<Spelling>,
    /// Announcement on Rocket.Chat that has been said on Matrix.
    pub announcement: Option<String>,
    /// Description on Rocket.Chat that has been said on Matrix.
    pub description: Option<String>,
    /// The alias that the bridge gave the room.
    pub alias: Option<OwnedRoomAliasId>,
    /// Whether the bridge put the room into the homeserver's directory.
    pub published: bool,
    /// The content of the state that tells of the bridge, as set last.
    pub bridge_info: String,
    /// Who on Matrix may write although the room is read-only.
    pub unmuted: Vec<OwnedUserId>,
    /// Ghosts that were given a level so that they could write in a room where few may,
    /// and what they had before.
    pub raised: BTreeMap<OwnedUserId, Option<i64>>,
    /// The team in whose space the room is.
    pub team: Option<String>,
    /// Its Matrix room is being made: perhaps it is there.
    pub making: bool,
    /// Whether people were told that the bridge cannot read the room any more.
    pub told_unreadable: bool,
    /// It was encrypted on Rocket.Chat when it was last asked.
    pub encrypted: bool,
    /// Whether people were told that something in it is.
    pub told_encrypted: bool,
    /// When the last message in it was written that is encrypted (ms, Rocket.Chat's clock).
    pub secret_seen: i64,
    /// Who on Matrix may write was changed there, to be carried over: the bridge itself
    /// changes the event that has it.
    pub wish: Option<StateWish>,
    /// Somebody on Matrix opened a private room. It is closed until Rocket.Chat lets them.
    pub opening: Option<StateWish>,
    /// The tombstone of the Matrix room that was looked into and is not followed.
    pub refused_tombstone: Option<OwnedEventId>,
    /// How often something was said about the room.
    pub said: u64,
    /// How often something on Matrix seemed to have changed since the last comparison.
    pub changes: u64,
}

/// A name that is the same on both sides, although it is written in two ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spelling {
    /// As somebody on Matrix wrote it.
    pub on_matrix: String,
    /// As Rocket.Chat takes it.
    pub on_rocketchat: String,
    /// By which event it was wished for.
    pub event: OwnedEventId,
    /// Whether people were told.
    pub told: bool,
}

/// That somebody on Matrix has changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWish {
    /// The event that did.
    pub event: OwnedEventId,
    /// Who.
    pub sender: OwnedUserId,
    /// When it arrived (ms).
    pub at: i64,
}

impl Record for RoomState {
    const NAME: &'static str = "state of a room";
}

impl Store {
    /// What is agreed about a room; nothing is as if it had never been compared.
    ///
    /// # Errors
    /// When the store fails.
    pub fn room_state(&self, portal: &PortalId) -> Result<RoomState, StoreError> {
        Ok(self.get(&keys::room_state(portal))?.unwrap_or_default())
    }

    /// Changes what is agreed about a room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_room_state(
        &self,
        portal: &PortalId,
        amend: impl FnOnce(&mut RoomState),
    ) -> Result<(), StoreError> {
        self.amend_or_make(&keys::room_state(portal), amend)
    }

    /// Forgets what was agreed about a room that is no longer mirrored.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_room_state(&self, portal: &PortalId) -> Result<(), StoreError> {
        self.db.remove(keys::room_state(portal))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_agreed_is_kept_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 1 << 20, "example.org", "_rc_").unwrap();
        let rid = PortalId::own(&crate::rocketchat::RocketRoomId::new("r"));
        assert_eq!(store.room_state(&rid).unwrap(), RoomState::default());
        let name = |state: &mut RoomState| {
            state.agreed.insert("name".into(), "Tea".into());
        };
        store.amend_room_state(&rid, name).unwrap();
        store
            .amend_room_state(&rid, |state| state.changes += 1)
            .unwrap();
        let state = store.room_state(&rid).unwrap();
        assert_eq!(state.agreed.get("name").map(String::as_str), Some("Tea"));
        assert_eq!(state.changes, 1);
        store.forget_room_state(&rid).unwrap();
        assert_eq!(store.room_state(&rid).unwrap(), RoomState::default());
    }
}
