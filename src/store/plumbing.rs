//! Rooms that existed on both sides and are to be joined: what was proposed, and what was
//! declined.

use std::collections::BTreeSet;

use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::records::Record;
use super::{Store, StoreError, keys, readable};
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
    /// The Matrix room is kept by other homeservers too, or may be.
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
    /// The bot entered the Matrix room for it only.
    #[serde(default)]
    pub entered: bool,
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

impl Store {
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
