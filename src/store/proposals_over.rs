//! What is left of proposals to join two rooms when they are over: how they were answered,
//! and rooms that the bot entered for them only.

use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::plumbing::{Person, Proposal};
use super::records::Record;
use super::{Store, StoreError, keys, readable};

/// How a proposal ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HowOver {
    /// Somebody approved it.
    Approved(Person),
    /// Somebody declined it.
    Declined(Person),
    /// It became void when somebody wanted to approve it, for this reason in words.
    Void(Person, String),
    /// Nobody answered it.
    Lapsed,
}

/// A proposal that is over, known by the digest of its code: who repeats their answer,
/// because they have not heard what came of it, hears it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverProposal {
    /// Those on Matrix decided.
    pub was_for_matrix: bool,
    /// How it ended.
    pub how: HowOver,
    /// When (ms, the bridge's clock).
    pub at: i64,
}

impl Record for OverProposal {
    const NAME: &'static str = "proposal that is over";
}

/// A Matrix room that the bot entered, or is entering, in order to ask there only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnteredRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// When it was begun (ms, the bridge's clock).
    pub at: i64,
    /// The homeserver has said that the bot is inside. Otherwise it may still come in.
    pub is_inside: bool,
}

impl Record for EnteredRoom {
    const NAME: &'static str = "room that was entered in order to ask";
}

impl Store {
    /// How the proposal with that digest of its code ended; none when it is not known, or
    /// not over.
    ///
    /// # Errors
    /// When the store fails.
    pub fn over_proposal(&self, digest: &str) -> Result<Option<OverProposal>, StoreError> {
        self.get(&keys::over_proposal(digest))
    }

    /// Forgets how proposals ended before that moment (ms).
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_over_proposals(&self, before: i64) -> Result<(), StoreError> {
        for item in self.scan::<OverProposal>(keys::OVER_PROPOSALS) {
            let Some((key, over)) = readable(item, "proposal that is over") else {
                continue;
            };
            if over.at < before {
                self.change().unset(key).commit()?;
            }
        }
        Ok(())
    }

    /// Whether, and since when, the bot is in a room only in order to ask there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn entered_room(&self, room: &RoomId) -> Result<Option<EnteredRoom>, StoreError> {
        self.get(&keys::entered_room(room))
    }

    /// All such rooms.
    pub fn entered_rooms(&self) -> Vec<EnteredRoom> {
        self.scan(keys::ENTERED_ROOMS)
            .filter_map(|item| readable(item, "room that was entered in order to ask"))
            .map(|(_, entered)| entered)
            .collect()
    }
}

impl Change<'_> {
    /// A proposal is over, and how.
    pub fn over_proposal(self, proposal: &Proposal, digest: &str, over: &OverProposal) -> Self {
        self.no_proposal(proposal)
            .set(keys::over_proposal(digest), over)
    }

    /// Notes that the bot enters a room only in order to ask there, or has.
    pub fn entered_room(self, entered: &EnteredRoom) -> Self {
        self.set(keys::entered_room(&entered.room_id), entered)
    }

    /// It has left, stays for another reason, or never came in.
    pub fn no_entered_room(self, room: &RoomId) -> Self {
        self.unset(keys::entered_room(room))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{room_id, user_id};

    use super::*;
    use crate::rocketchat::RocketRoomId;
    use crate::secret::Secret;
    use crate::store::ProposalStage;

    #[tokio::test]
    async fn how_a_proposal_ended_is_known_for_a_while_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let store = super::super::tests::open(dir.path()).unwrap();
        let by = Person::Matrix(user_id!("@alice:a.org").to_owned());
        let proposal = Proposal {
            room_id: room_id!("!hall:a.org").to_owned(),
            rid: RocketRoomId::new("tea"),
            by: by.clone(),
            code: Secret::new("CODE"),
            made: 1,
            until: 2,
            history: false,
            consequences: Default::default(),
            told: true,
            stage: ProposalStage::Open,
        };
        store.change().proposal(&proposal).commit().unwrap();
        let over = OverProposal {
            was_for_matrix: false,
            how: HowOver::Declined(by),
            at: 10,
        };
        let change = store.change().over_proposal(&proposal, "digest", &over);
        change.commit().unwrap();
        assert!(store.proposals().is_empty());
        store.forget_over_proposals(10).unwrap();
        assert_eq!(store.over_proposal("digest").unwrap(), Some(over));
        assert_eq!(store.over_proposal("other").unwrap(), None);
        store.forget_over_proposals(11).unwrap();
        assert_eq!(store.over_proposal("digest").unwrap(), None);
    }
}
