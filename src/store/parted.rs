//! Whose own account is out of a room on Rocket.Chat although they are in the Matrix room.

use ruma::{OwnedEventId, OwnedRoomId, UserId};
use serde::{Deserialize, Serialize};

use super::records::Record;
use super::{Change, PortalId, Store, StoreError, keys};

/// Somebody's own account left a room on Rocket.Chat, or was removed from it. The bridge
/// brings it back only when they come into the Matrix room anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parted {
    /// The Matrix room, which may have been upgraded since.
    pub room: OwnedRoomId,
    /// Their membership of it when it was last looked at, in which they have not come anew.
    pub seat: OwnedEventId,
    /// The name of the account.
    pub username: String,
}

impl Record for Parted {
    const NAME: &'static str = "account that is out of a room";
}

impl Change<'_> {
    /// Notes that somebody's own account is out of a portal's room.
    pub fn parted(self, portal: &PortalId, user: &UserId, parted: &Parted) -> Self {
        self.set(keys::parted(portal, user), parted)
    }

    /// They are in it again, or out of the Matrix room too.
    pub fn not_parted(self, portal: &PortalId, user: &UserId) -> Self {
        self.unset(keys::parted(portal, user))
    }
}

impl Store {
    /// Whether somebody's own account is out of a portal's room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn parted(&self, portal: &PortalId, user: &UserId) -> Result<Option<Parted>, StoreError> {
        self.get(&keys::parted(portal, user))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, room_id, user_id};

    use super::*;

    #[test]
    fn who_is_out_of_one_portal_is_not_out_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 1 << 20, "example.org", "_rc_").unwrap();
        let own = PortalId::own(&crate::rocketchat::RocketRoomId::new("r"));
        let other = PortalId::own(&crate::rocketchat::RocketRoomId::new("r2"));
        let user = user_id!("@alice:example.org");
        let parted = Parted {
            room: room_id!("!room:example.org").to_owned(),
            seat: event_id!("$join").to_owned(),
            username: "alicia".into(),
        };
        store.change().parted(&own, user, &parted).commit().unwrap();
        assert_eq!(store.parted(&own, user).unwrap(), Some(parted));
        assert_eq!(store.parted(&other, user).unwrap(), None);
        store.change().not_parted(&own, user).commit().unwrap();
        assert_eq!(store.parted(&own, user).unwrap(), None);
    }
}
