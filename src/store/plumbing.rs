//! Rooms that existed on both sides and are to be joined: what was proposed, and what was
//! declined.

use std::collections::BTreeSet;

use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::records::{Number, Record};
use super::{PortalId, Store, StoreError, keys, readable};
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::secret::Secret;

/// Somebody of either side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Person {
    /// Of Matrix.
    Matrix(OwnedUserId),
    /// Of Rocket.Chat.
    RocketChat {
        /// Who.
        id: RocketUserId,
        /// What they were called when they did it, for people.
        username: String,
    },
}

impl Person {
    /// Who they are, in full.
    pub fn shown(&self) -> String {
        match self {
            Self::Matrix(user) => user.to_string(),
            Self::RocketChat { username, .. } => format!("{username} on Rocket.Chat"),
        }
    }

    /// Whether both are the same person, whatever they are called by now.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Matrix(one), Self::Matrix(other)) => one == other,
            (Self::RocketChat { id: one, .. }, Self::RocketChat { id: other, .. }) => one == other,
            _ => false,
        }
    }
}

/// What joining two rooms brings with it that somebody has to confirm by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// The room on Rocket.Chat is private, and not only those who are invited can read the
    /// Matrix room.
    PrivateIntoMatrix,
    /// Only those who are invited can read the Matrix room, and the channel is public.
    PrivateIntoRocketChat,
    /// The Matrix room is kept by other homeservers too, or may be; or another one is in
    /// which the same room of Rocket.Chat is mirrored, and this one is not.
    Federated,
}

/// How far a proposal has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalStage {
    /// The bot is just entering the Matrix room in order to ask there.
    Entering,
    /// Whoever administers the other room is asked.
    Open,
    /// They agreed: it takes effect.
    Accepted {
        /// Who agreed.
        by: Person,
    },
}

/// Somebody proposes to join two rooms. Written down before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The Matrix room.
    pub room_id: OwnedRoomId,
    /// The room on Rocket.Chat.
    pub rid: RocketRoomId,
    /// Who proposes it. Those of the other side decide.
    pub by: Person,
    /// What those who decide have to give back. By itself it gives nobody anything.
    pub code: Secret,
    /// When it was made (ms): what is said about it has ids that follow from this.
    pub made: i64,
    /// Until when it holds (ms).
    pub until: i64,
    /// What is on Rocket.Chat already comes to Matrix too.
    pub history: bool,
    /// What it brings with it, as whoever proposes it has confirmed.
    pub consequences: BTreeSet<Consequence>,
    /// Those who decide have been told.
    #[serde(default)]
    pub told: bool,
    /// How far it has come.
    pub stage: ProposalStage,
}

impl Record for Proposal {
    const NAME: &'static str = "proposal";
}

impl Proposal {
    /// Whether those on Matrix decide.
    pub fn is_for_matrix(&self) -> bool {
        matches!(self.by, Person::RocketChat { .. })
    }
}

/// Those of the other room did not want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// The Matrix room.
    pub room_id: OwnedRoomId,
    /// The room on Rocket.Chat.
    pub rid: RocketRoomId,
    /// Who had proposed it.
    pub by: Person,
    /// When (ms) they said no.
    pub at: i64,
}

impl Record for Declined {
    const NAME: &'static str = "declined proposal";
}

impl Declined {
    fn key(&self) -> keys::Key {
        let side = match self.by {
            Person::Matrix(_) => "matrix",
            Person::RocketChat { .. } => "rocketchat",
        };
        keys::declined(&self.room_id, &self.rid, side)
    }
}

/// How many of each kind are kept for one person.
const TRIES_KEPT: usize = 32;

/// What somebody has tried that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// To answer with a code that is none.
    WrongCode,
    /// To propose something, or to have the bot enter a room for that.
    Proposing,
}

/// When (ms) somebody has tried something lately: kept, for guesses shall not begin anew
/// with the bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tries {
    wrong_codes: Vec<i64>,
    proposed: Vec<i64>,
}

impl Record for Tries {
    const NAME: &'static str = "tries of somebody";
}

impl Tries {
    /// How often they have done it after that moment (ms).
    pub fn count(&self, what: Tried, since: i64) -> usize {
        let times = match what {
            Tried::WrongCode => &self.wrong_codes,
            Tried::Proposing => &self.proposed,
        };
        times.iter().filter(|at| **at > since).count()
    }

    /// The same with one more at `now`, without what was before `since` (both in ms).
    pub fn with(mut self, what: Tried, now: i64, since: i64) -> Self {
        for times in [&mut self.wrong_codes, &mut self.proposed] {
            times.retain(|at| *at > since);
        }
        let times = match what {
            Tried::WrongCode => &mut self.wrong_codes,
            Tried::Proposing => &mut self.proposed,
        };
        times.push(now);
        let too_many = times.len().saturating_sub(TRIES_KEPT);
        times.drain(..too_many);
        self
    }

    /// Whether nothing of it is later than that moment (ms).
    fn is_old(&self, since: i64) -> bool {
        let mut all = self.wrong_codes.iter().chain(&self.proposed);
        all.all(|at| *at <= since)
    }
}

impl Store {
    /// What somebody has tried lately.
    ///
    /// # Errors
    /// When the store fails.
    pub fn tries(&self, who: &str) -> Result<Tries, StoreError> {
        Ok(self.get(&keys::tries(who))?.unwrap_or_default())
    }

    /// Forgets tries of people who have tried nothing after that moment (ms).
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_tries(&self, since: i64) -> Result<(), StoreError> {
        for item in self.scan::<Tries>(keys::TRIES) {
            let Some((key, tries)) = readable(item, "tries of somebody") else {
                continue;
            };
            if tries.is_old(since) {
                self.change().unset(key).commit()?;
            }
        }
        Ok(())
    }

    /// Since when (ms) the other rooms are to be told of a portal; none when they have been,
    /// or need not be.
    ///
    /// # Errors
    /// When the store fails.
    pub fn newcomer(&self, portal: &PortalId) -> Result<Option<i64>, StoreError> {
        Ok(self.get::<Number>(&keys::newcomer(portal))?.map(|at| at.0))
    }

    /// Every portal of which others are to be told.
    pub fn newcomers(&self) -> Vec<PortalId> {
        self.scan::<Number>(keys::NEWCOMERS)
            .filter_map(|item| readable(item, "portal to be told of"))
            .filter_map(|(key, _)| {
                let parts = keys::parts(&key)?;
                Some(PortalId::stored((*parts.first()?).to_owned()))
            })
            .collect()
    }

    /// The proposal to join two rooms, if there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn proposal(
        &self,
        room: &RoomId,
        rid: &RocketRoomId,
    ) -> Result<Option<Proposal>, StoreError> {
        self.get(&keys::proposal(room, rid))
    }

    /// Every proposal.
    pub fn proposals(&self) -> Vec<Proposal> {
        self.scan(keys::PROPOSALS)
            .filter_map(|item| readable(item, "proposal"))
            .map(|(_, proposal)| proposal)
            .collect()
    }

    /// What was declined and is not forgotten yet.
    pub fn declined(&self) -> Vec<Declined> {
        self.scan(keys::DECLINED)
            .filter_map(|item| readable(item, "declined proposal"))
            .map(|(_, declined)| declined)
            .collect()
    }
}

impl Change<'_> {
    /// Replaces what somebody has tried lately.
    pub fn tries(self, who: &str, tries: &Tries) -> Self {
        self.set(keys::tries(who), tries)
    }

    /// Notes that the other rooms are to be told of a portal, from that moment (ms) on.
    pub fn newcomer(self, portal: &PortalId, at: i64) -> Self {
        self.set(keys::newcomer(portal), &Number(at))
    }

    /// They have been.
    pub fn no_newcomer(self, portal: &PortalId) -> Self {
        self.unset(keys::newcomer(portal))
    }

    /// Adds or replaces a proposal.
    pub fn proposal(self, proposal: &Proposal) -> Self {
        self.set(keys::proposal(&proposal.room_id, &proposal.rid), proposal)
    }

    /// A proposal is over.
    pub fn no_proposal(self, proposal: &Proposal) -> Self {
        self.unset(keys::proposal(&proposal.room_id, &proposal.rid))
    }

    /// Notes that a proposal was declined.
    pub fn declined(self, declined: &Declined) -> Self {
        self.set(declined.key(), declined)
    }

    /// It was long ago.
    pub fn no_declined(self, declined: &Declined) -> Self {
        self.unset(declined.key())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_somebody_tried_long_ago_does_not_count() {
        let mut tries = Tries::default();
        for at in [1, 2, 10] {
            tries = tries.with(Tried::WrongCode, at, 0);
        }
        assert_eq!(tries.count(Tried::WrongCode, 1), 2);
        assert_eq!(tries.count(Tried::Proposing, 0), 0);
        assert_eq!(tries.count(Tried::WrongCode, 10), 0);
        for at in 11..100 {
            tries = tries.with(Tried::WrongCode, at, 1);
        }
        assert_eq!(tries.count(Tried::WrongCode, 0), TRIES_KEPT);
        assert!(tries.is_old(99) && !tries.is_old(98));
    }

    #[tokio::test]
    async fn tries_are_kept_and_forgotten_with_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = super::super::tests::open(dir.path()).unwrap();
        for (who, at) in [("@a:b.org", 10), ("rocketchat x", 20)] {
            let tries = Tries::default().with(Tried::Proposing, at, 0);
            store.change().tries(who, &tries).commit().unwrap();
        }
        store.forget_tries(10).unwrap();
        let count = |who: &str| store.tries(who).unwrap().count(Tried::Proposing, 0);
        assert_eq!((count("@a:b.org"), count("rocketchat x")), (0, 1));
    }
}
