//! Who speaks on Rocket.Chat through the bridge's own account, room by room.

use std::sync::PoisonError;

use ruma::UserId;
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::keys;
use super::records::Record;
use super::{PortalId, Store, StoreError};

/// How a room is relayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomRelay {
    /// What somebody has set for the room: everybody through the bridge's account, or
    /// nobody. None: as the configuration says.
    pub set: Option<bool>,
    /// The Matrix room was told what it means that Rocket.Chat has no seat left.
    pub told_of_seats: bool,
    /// How often it has been told.
    pub tellings: u32,
}

impl Record for RoomRelay {
    const NAME: &'static str = "relay of a room";
}

impl Store {
    /// How a room is relayed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn room_relay(&self, portal: &PortalId) -> Result<RoomRelay, StoreError> {
        Ok(self.get(&keys::room_relay(portal))?.unwrap_or_default())
    }

    /// Changes how a room is relayed.
    ///
    /// # Errors
    /// When the store fails; then nothing changed.
    pub fn amend_room_relay(
        &self,
        portal: &PortalId,
        amend: impl FnOnce(&mut RoomRelay),
    ) -> Result<(), StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut relay = self.room_relay(portal)?;
        let before = relay.clone();
        amend(&mut relay);
        if relay == before {
            return Ok(());
        }
        self.change().set(keys::room_relay(portal), &relay).commit()
    }

    /// Whether somebody without an account was found to be in a private room by right.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_admitted(&self, portal: &PortalId, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::admitted(portal, user))?)
    }

    /// Whether somebody came into a private room because their account was in it, and that is
    /// linked with them no more: what the bridge invited them for does not stand.
    ///
    /// # Errors
    /// When the store fails.
    pub fn came_by_account(&self, portal: &PortalId, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::came_by_account(portal, user))?)
    }
}

impl Change<'_> {
    /// Notes that somebody without an account is in a private room by right.
    pub fn admitted(self, portal: &PortalId, user: &UserId) -> Self {
        self.mark(keys::admitted(portal, user))
    }

    /// Somebody is out of a room: nothing is known of how they were in it.
    pub fn not_admitted(self, portal: &PortalId, user: &UserId) -> Self {
        self.unset(keys::admitted(portal, user))
            .unset(keys::came_by_account(portal, user))
    }

    /// Notes that what somebody is in a private room by is gone.
    pub fn came_by_account(self, portal: &PortalId, user: &UserId) -> Self {
        self.mark(keys::came_by_account(portal, user))
    }
}
