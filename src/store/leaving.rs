//! Who has left a Matrix room, and perhaps a room on Rocket.Chat with their own account.

use ruma::{OwnedEventId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::records::Record;
use super::{Change, PortalId, Store, StoreError, keys, readable};

/// What is thought of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeavingStage {
    /// It is to be looked whether they meant to.
    Waiting,
    /// They did: their account leaves too.
    Leaves,
    /// That cannot be told: their account stays, and they were told so.
    Stays,
}

/// A linked person has left the Matrix room of a portal by themselves, as it looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The portal.
    pub portal: PortalId,
    /// Who.
    pub user: OwnedUserId,
    /// The event by which they left.
    pub seat: OwnedEventId,
    /// What is thought of it.
    pub stage: LeavingStage,
}

impl Record for Leaving {
    const NAME: &'static str = "somebody who leaves a room";
}

impl Change<'_> {
    /// Adds or replaces what is thought of it that somebody has left.
    pub fn leaving(self, leaving: &Leaving) -> Self {
        self.set(keys::leaving(&leaving.portal, &leaving.user), leaving)
    }

    /// They are in both rooms, or in neither.
    pub fn not_leaving(self, portal: &PortalId, user: &UserId) -> Self {
        self.unset(keys::leaving(portal, user))
    }
}

impl Store {
    /// What is thought of it that somebody has left a portal's Matrix room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn leaving(&self, portal: &PortalId, user: &UserId) -> Result<Option<Leaving>, StoreError> {
        self.get(&keys::leaving(portal, user))
    }

    /// Everybody of whom something is thought.
    pub fn all_leaving(&self) -> Vec<Leaving> {
        self.scan(keys::LEAVING)
            .filter_map(|item| readable(item, "somebody who leaves a room"))
            .map(|(_, leaving)| leaving)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, user_id};

    use super::*;
    use crate::rocketchat::RocketRoomId;

    #[test]
    fn who_leaves_is_found_again_until_it_is_settled() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 1 << 20, "example.org", "_rc_").unwrap();
        let portal = PortalId::own(&RocketRoomId::new("r"));
        let user = user_id!("@alice:example.org");
        let leaving = Leaving {
            portal: portal.clone(),
            user: user.to_owned(),
            seat: event_id!("$left").to_owned(),
            stage: LeavingStage::Waiting,
        };
        store.change().leaving(&leaving).commit().unwrap();
        assert_eq!(
            store.leaving(&portal, user).unwrap().as_ref(),
            Some(&leaving)
        );
        assert_eq!(store.all_leaving(), [leaving]);
        store.change().not_leaving(&portal, user).commit().unwrap();
        assert_eq!(store.all_leaving(), []);
    }
}
