//! Ghosts whose profile is changed while they enter a room.
//!
//! A homeserver copies a profile into the event of a join, and at a change into the
//! rooms that the user is in. A join that began before a change and ended after it may
//! have the old copy for good: then the change is made once more.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use ruma::{OwnedUserId, UserId};

use super::Face;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::store::Ghost;

/// How often each ghost's profile began or ended to be changed: odd while it is being
/// changed.
#[derive(Debug, Default)]
pub(super) struct Changing {
    counts: Mutex<HashMap<OwnedUserId, u64>>,
    /// Whose profile has to be set once more, by the person behind the ghost.
    again: Mutex<HashSet<RocketUserId>>,
}

impl Changing {
    fn count(&self, ghost: &UserId) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(ghost).copied().unwrap_or_default()
    }

    /// A change begins. It ends with what is returned.
    pub(super) fn begin<'a>(&'a self, ghost: &'a UserId) -> Change<'a> {
        self.step(ghost);
        Change {
            changing: self,
            ghost,
        }
    }

    fn ask_again(&self, id: &RocketUserId) {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.insert(id.clone());
    }

    /// Whether a profile has to be set once more; it is taken for done.
    pub(super) fn take_again(&self, id: &RocketUserId) -> bool {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.remove(id)
    }

    fn step(&self, ghost: &UserId) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(ghost.to_owned()).or_default() += 1;
    }
}

/// A change under way.
pub(super) struct Change<'a> {
    changing: &'a Changing,
    ghost: &'a UserId,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.changing.step(self.ghost);
    }
}

/// A join under way.
pub(in crate::bridge) struct Joining(u64);

impl Bridge {
    /// A ghost begins to enter a room.
    pub(in crate::bridge) fn joining(&self, ghost: &Ghost) -> Joining {
        Joining(self.faces.changing.count(&ghost.user_id))
    }

    /// A ghost has entered a room.
    pub(in crate::bridge) fn joined(&self, ghost: &Ghost, begun: &Joining) {
        let count = self.faces.changing.count(&ghost.user_id);
        if count != begun.0 || count % 2 == 1 {
            self.faces.changing.ask_again(&ghost.rocket_id);
            let face = Face::Person(ghost.rocket_id.clone());
            self.faces.of_rocketchat.add(face);
        }
    }

    /// Sets what is set already: the homeserver copies it to where it differs.
    pub(super) async fn show_ghost_again(&self, id: &RocketUserId) -> Result<(), Failure> {
        let known = (self.store.ghost(id)?, self.store.ghost_profile(id)?);
        let (Some(ghost), Some(profile)) = known else {
            return Ok(());
        };
        let intent = self.as_ghost(&ghost);
        let _change = self.faces.changing.begin(&ghost.user_id);
        if let Some(name) = &profile.name {
            intent.set_display_name(Some(name)).await?;
        }
        let mxc = profile.picture.as_ref().map(|picture| &*picture.mxc);
        Ok(intent.set_avatar_url(mxc).await?)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::Changing;

    #[test]
    fn a_change_is_seen_before_during_and_after() {
        let changing = Changing::default();
        let ghost = user_id!("@_rocketchat_carol:example.org");
        let before = changing.count(ghost);
        let change = changing.begin(ghost);
        assert_eq!(changing.count(ghost) % 2, 1);
        drop(change);
        assert_ne!(changing.count(ghost), before);
        assert_eq!(changing.count(ghost) % 2, 0);
        assert_eq!(changing.count(user_id!("@other:example.org")), 0);
    }
}
