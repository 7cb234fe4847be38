//! Rooms of other homeservers that somebody of the bridge is on the way into.

use ruma::{
    OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId,
    RoomOrAliasId, UserId,
};
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::keys;
use super::records::{InboxEvent, Record};
use super::{Store, StoreError, readable};
use crate::rocketchat::RocketUserId;

/// A join that was asked for and has not succeeded yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoteJoin {
    /// Who is to enter: the bot or a ghost.
    pub user: OwnedUserId,
    /// What they are to enter, as it was asked for.
    pub target: OwnedRoomOrAliasId,
    /// Servers that may help, the likeliest first.
    pub via: Vec<OwnedServerName>,
    /// An alias that the room goes by: its directory knows of more servers.
    #[serde(default)]
    pub alias: Option<OwnedRoomAliasId>,
    /// Who asked for it.
    pub asked: JoinAsked,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u32,
    /// When it is tried next (ms).
    #[serde(default)]
    pub next_at: i64,
    /// What the servers said when it was last tried.
    #[serde(default)]
    pub answers: Vec<ServerAnswer>,
}

/// How a join was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinAsked {
    /// Somebody invited the user.
    Invitation(InboxEvent),
    /// A portal's room goes on there, as this tombstone says.
    Tombstone(InboxEvent),
    /// An administrator of the bridge gave a command.
    Command {
        /// Who.
        caller: OwnedUserId,
        /// Where, to be answered there.
        room: OwnedRoomId,
        /// By which event.
        event: OwnedEventId,
    },
    /// Somebody on Rocket.Chat gave the command, who may.
    There {
        /// Who.
        caller: RocketUserId,
        /// What a repeat is known by, in the form of an event's id.
        event: OwnedEventId,
    },
}

/// What came of asking one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAnswer {
    /// The server.
    pub server: String,
    /// What it said, or that it said nothing.
    pub said: String,
}

impl Record for RemoteJoin {
    const NAME: &'static str = "join of a room elsewhere";
}

impl RemoteJoin {
    /// Which event asked for it.
    pub fn asked_by(&self) -> &OwnedEventId {
        match &self.asked {
            JoinAsked::Invitation(event) | JoinAsked::Tombstone(event) => &event.event_id,
            JoinAsked::Command { event, .. } | JoinAsked::There { event, .. } => event,
        }
    }
}

impl Store {
    /// Every join that was asked for and has not succeeded yet.
    pub fn remote_joins(&self) -> Vec<RemoteJoin> {
        self.scan(keys::REMOTE_JOINS)
            .filter_map(|item| readable(item, "join of a room elsewhere"))
            .map(|(_, join)| join)
            .collect()
    }

    /// The join of this user into this room, if it was asked for.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remote_join(
        &self,
        user: &UserId,
        target: &RoomOrAliasId,
    ) -> Result<Option<RemoteJoin>, StoreError> {
        self.get(&keys::remote_join(user, target))
    }
}

impl Change<'_> {
    /// Adds or replaces a join that was asked for.
    pub fn remote_join(self, join: &RemoteJoin) -> Self {
        self.set(keys::remote_join(&join.user, &join.target), join)
    }

    /// Forgets a join: it has succeeded, was withdrawn or cannot succeed.
    pub fn no_remote_join(self, user: &UserId, target: &RoomOrAliasId) -> Self {
        self.unset(keys::remote_join(user, target))
    }
}
