//! Which rooms the bridge has marked as direct messages for whom.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::records::Number;
use super::{Store, StoreError, keys};

impl Store {
    /// Notes that a Matrix user's account says that a room is a direct message.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_marked_direct(&self, room: &RoomId, user: &UserId) -> Result<(), StoreError> {
        self.put(&keys::marked_direct(room, user), &Number(1))
    }

    /// Notes that it does not, as far as the bridge is concerned.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_not_marked_direct(&self, room: &RoomId, user: &UserId) -> Result<(), StoreError> {
        self.change()
            .unset(keys::marked_direct(room, user))
            .commit()
    }

    /// Whether that is noted.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_marked_direct(&self, room: &RoomId, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::marked_direct(room, user))?)
    }

    /// All of these notes.
    pub fn all_marked_direct(&self) -> Vec<(OwnedRoomId, OwnedUserId)> {
        let of = |key: &[u8]| {
            let parts = keys::parts(key)?;
            let [room, user] = parts.as_slice() else {
                return None;
            };
            Some((RoomId::parse(room).ok()?, UserId::parse(user).ok()?))
        };
        self.db
            .scan_prefix(keys::MARKED_DIRECT)
            .keys()
            .filter_map(|key| of(&key.ok()?))
            .collect()
    }
}
