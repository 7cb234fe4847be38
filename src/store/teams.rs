//! Spaces for teams, and up to when Rocket.Chat was looked through for new rooms.

use std::collections::BTreeSet;

use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};

use super::keys;
use super::records::{Number, Record};
use super::{Store, StoreError};

/// The space of a team.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TeamSpace {
    /// The team.
    pub team: String,
    /// Its space, once there is one.
    pub space: Option<OwnedRoomId>,
    /// The name that was set last.
    pub name: String,
    /// The rule of entry that was set last, as JSON.
    pub entry: String,
    /// Its rooms in Matrix that are in the space.
    pub rooms: BTreeSet<OwnedRoomId>,
}

impl Record for TeamSpace {
    const NAME: &'static str = "space of a team";
}

impl Store {
    /// What is known of a team's space.
    ///
    /// # Errors
    /// When the store fails.
    pub fn team_space(&self, team: &str) -> Result<TeamSpace, StoreError> {
        Ok(self.get(&keys::team_space(team))?.unwrap_or_default())
    }

    /// All spaces of teams. A record that cannot be read is left out and logged.
    pub fn team_spaces(&self) -> Vec<TeamSpace> {
        self.scan(keys::TEAM_SPACES)
            .filter_map(|item| super::readable(item, "space of a team"))
            .map(|(_, space)| space)
            .collect()
    }

    /// Changes what is noted of a team's space.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_team_space(
        &self,
        team: &str,
        amend: impl FnOnce(&mut TeamSpace),
    ) -> Result<(), StoreError> {
        self.amend_or_make(&keys::team_space(team), |space: &mut TeamSpace| {
            team.clone_into(&mut space.team);
            amend(space);
        })
    }

    /// When the newest room was made that has been looked at (ms).
    ///
    /// # Errors
    /// When the store fails.
    pub fn rooms_seen(&self) -> Result<Option<i64>, StoreError> {
        self.moment("rooms")
    }

    /// Notes that rooms made up to then have been looked at.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_rooms_seen(&self, at: i64) -> Result<(), StoreError> {
        self.note_moment("rooms", at)
    }

    /// When the bridge's account was last asked which rooms it is in (ms).
    ///
    /// # Errors
    /// When the store fails.
    pub fn subscriptions_seen(&self) -> Result<Option<i64>, StoreError> {
        self.moment("subscriptions")
    }

    /// Notes that the bridge's account was asked then.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_subscriptions_seen(&self, at: i64) -> Result<(), StoreError> {
        self.note_moment("subscriptions", at)
    }

    /// When all puppets were last asked which rooms they are in (ms).
    ///
    /// # Errors
    /// When the store fails.
    pub fn puppets_seen(&self) -> Result<Option<i64>, StoreError> {
        self.moment("puppets")
    }

    /// Notes that all puppets have been asked since then.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_puppets_seen(&self, at: i64) -> Result<(), StoreError> {
        self.note_moment("puppets", at)
    }

    /// Since when (ms, Rocket.Chat's clock) channels of the configuration are mirrored
    /// whose portals are not all made yet; none when they are.
    ///
    /// # Errors
    /// When the store fails.
    pub fn opening_since(&self) -> Result<Option<i64>, StoreError> {
        self.moment("opening")
    }

    /// Notes since when channels of the configuration are mirrored, or that all their
    /// portals are made.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_opening_since(&self, at: Option<i64>) -> Result<(), StoreError> {
        match at {
            Some(at) => self.note_moment("opening", at),
            None => {
                self.db.remove(keys::looked("opening"))?;
                Ok(())
            }
        }
    }

    pub(super) fn moment(&self, of: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.get::<Number>(&keys::looked(of))?.map(|at| at.0))
    }

    pub(super) fn note_moment(&self, of: &str, at: i64) -> Result<(), StoreError> {
        self.put(&keys::looked(of), &Number(at))
    }
}
