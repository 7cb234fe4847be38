//! What was agreed last of who is in a portal and what they may do there, so that it is
//! known on which side something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use ruma::{OwnedEventId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::keys::{self, Key};
use super::records::Record;
use super::{PortalId, Store, StoreError};
use crate::rocketchat::RocketUserId;

/// What is known of a person of Rocket.Chat in a portal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// They were a member of the room on Rocket.Chat when that was last looked at.
    pub is_member: bool,
    /// Somebody on Matrix keeps them out.
    pub ban: Option<Ban>,
}

/// Somebody is kept out of a Matrix room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// By whom.
    pub by: OwnedUserId,
    /// The event that says so.
    pub event: OwnedEventId,
    /// Whoever is kept out has been told what that means.
    #[serde(default)]
    pub told: bool,
}

impl Record for Standing {
    const NAME: &'static str = "standing";
}

/// What somebody may do in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stand {
    /// Read only.
    Muted,
    /// What everybody may.
    #[default]
    Member,
    /// Look after the others: level 50 on Matrix.
    Moderator,
    /// Everything: level 100 on Matrix.
    Owner,
}

/// What was agreed last of the rights in a portal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomRights {
    /// Of everybody who is not a mere member, by their id on Rocket.Chat.
    pub stands: BTreeMap<RocketUserId, Stand>,
    /// Who each of these was on Matrix then: whose level it is. Somebody who links accounts,
    /// or ends that, is another from then on, with whom nothing is agreed yet. Absent where
    /// an earlier program wrote it, which knew of no others.
    pub stood_as: BTreeMap<RocketUserId, OwnedUserId>,
    /// What somebody on Matrix did to whose rights, and could neither be carried over
    /// nor be put back: not tried again.
    pub given_up: BTreeMap<RocketUserId, OwnedEventId>,
    /// Who has left the Matrix room and has to stay on Rocket.Chat, and the event by which
    /// they left, when people were told so.
    pub staying: BTreeMap<RocketUserId, OwnedEventId>,
    /// Who was removed from a private room on Rocket.Chat and could not be removed from the
    /// Matrix room.
    pub reading_along: BTreeSet<OwnedUserId>,
    /// Whose puppet was brought in on Rocket.Chat although they cannot be invited, which
    /// was said there.
    pub uninvited: BTreeSet<OwnedUserId>,
    /// How often somebody's account went out of the room and people were told that they are
    /// in the Matrix room still.
    pub went: u64,
    /// Who was told that their own account is not in the room, and the proof of the link that
    /// was then.
    pub told_outside: BTreeMap<OwnedUserId, String>,
    /// What the bot was last found to lack in the Matrix room.
    pub lacking: Vec<String>,
}

impl Record for RoomRights {
    const NAME: &'static str = "rights in a room";
}

impl RoomRights {
    /// What was agreed last of somebody who is `user` on Matrix now; none when it was agreed
    /// of them as another Matrix user, which says nothing about this one.
    pub fn stand_of(&self, id: &RocketUserId, user: &UserId) -> Option<Stand> {
        let stand = self.stands.get(id).copied().unwrap_or_default();
        let is_theirs = self.stood_as.get(id).is_none_or(|of| of == user);
        is_theirs.then_some(stand)
    }

    /// Notes what is agreed now of somebody who is `user` on Matrix.
    pub fn agree(&mut self, id: &RocketUserId, user: &UserId, stand: Stand) {
        match stand {
            Stand::Member => self.forget(id),
            other => {
                self.stands.insert(id.clone(), other);
                self.stood_as.insert(id.clone(), user.to_owned());
            }
        }
        self.given_up.remove(id);
    }

    /// Forgets what was agreed of somebody.
    pub fn forget(&mut self, id: &RocketUserId) {
        self.stands.remove(id);
        self.stood_as.remove(id);
    }
}

impl Store {
    /// What is known of a person of Rocket.Chat in a portal; nothing is as if they had
    /// never been there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn standing(&self, portal: &PortalId, user: &RocketUserId) -> Result<Standing, StoreError> {
        Ok(self.get(&keys::standing(portal, user))?.unwrap_or_default())
    }

    /// Changes what is known of a person of Rocket.Chat in a portal.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_standing(
        &self,
        portal: &PortalId,
        user: &RocketUserId,
        amend: impl FnOnce(&mut Standing),
    ) -> Result<(), StoreError> {
        self.amend_if_other(&keys::standing(portal, user), amend)
    }

    /// What was agreed last of the rights in a portal.
    ///
    /// # Errors
    /// When the store fails.
    pub fn room_rights(&self, portal: &PortalId) -> Result<RoomRights, StoreError> {
        Ok(self.get(&keys::room_rights(portal))?.unwrap_or_default())
    }

    /// Changes what was agreed of the rights in a portal.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_room_rights(
        &self,
        portal: &PortalId,
        amend: impl FnOnce(&mut RoomRights),
    ) -> Result<(), StoreError> {
        self.amend_if_other(&keys::room_rights(portal), amend)
    }

    fn amend_if_other<R: Record + Default + Clone + PartialEq>(
        &self,
        key: &Key,
        amend: impl FnOnce(&mut R),
    ) -> Result<(), StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let before: R = self.get(key)?.unwrap_or_default();
        let mut after = before.clone();
        amend(&mut after);
        if after == before {
            return Ok(());
        }
        if after == R::default() {
            self.db.remove(key.as_slice())?;
            return Ok(());
        }
        self.put(key, &after)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_says_nothing_takes_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 1 << 20, "example.org", "_rc_").unwrap();
        let rid = PortalId::own(&crate::rocketchat::RocketRoomId::new("r"));
        let user = RocketUserId::new("u");
        assert_eq!(store.standing(&rid, &user).unwrap(), Standing::default());
        let set = |is_member| {
            store
                .amend_standing(&rid, &user, |standing| standing.is_member = is_member)
                .unwrap();
        };
        set(true);
        assert!(store.standing(&rid, &user).unwrap().is_member);
        set(false);
        assert!(!store.db.contains_key(keys::standing(&rid, &user)).unwrap());
    }

    #[test]
    fn what_was_agreed_of_somebody_as_another_says_nothing() {
        let id = RocketUserId::new("a");
        let (ghost, alice) = (
            ruma::user_id!("@_rc_a:example.org"),
            ruma::user_id!("@alice:example.org"),
        );
        let mut rights = RoomRights::default();
        assert_eq!(rights.stand_of(&id, alice), Some(Stand::Member));
        rights.agree(&id, ghost, Stand::Owner);
        assert_eq!(rights.stand_of(&id, ghost), Some(Stand::Owner));
        assert_eq!(rights.stand_of(&id, alice), None);
        rights.agree(&id, alice, Stand::Owner);
        assert_eq!(rights.stand_of(&id, ghost), None);
        rights.agree(&id, alice, Stand::Member);
        assert_eq!(rights, RoomRights::default(), "nothing is left");
        // As an earlier program wrote it.
        let old: RoomRights =
            serde_json::from_value(serde_json::json!({ "stands": { "a": "owner" } })).unwrap();
        assert_eq!(old.stand_of(&id, alice), Some(Stand::Owner));
    }
}
