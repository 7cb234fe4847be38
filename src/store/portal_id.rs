//! Which portal: a room of Rocket.Chat may be mirrored by several Matrix rooms.

use std::fmt;

use ruma::RoomId;
use serde::{Deserialize, Deserializer, Serialize};

use crate::rocketchat::RocketRoomId;

/// Stands between the room on Rocket.Chat and what tells its portals apart. No id of
/// either side has control characters, so no room is called like another's portal.
const FURTHER: char = '\u{1}';

/// Which portal something belongs to.
///
/// The room that the bridge itself makes for a room of Rocket.Chat is its *own* portal,
/// and has the id of that room, as in stores of programs that knew no others. Every
/// further one has the id of the Matrix room besides with which it began; it keeps that
/// when its room is upgraded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PortalId(String);

impl PortalId {
    /// The bridge's own portal of a room.
    pub fn own(rid: &RocketRoomId) -> Self {
        Self(rid.as_str().to_owned())
    }

    /// The portal of a room that begins with this Matrix room.
    pub fn further(rid: &RocketRoomId, room: &RoomId) -> Self {
        Self(format!("{rid}{FURTHER}{room}"))
    }

    /// The room on Rocket.Chat.
    pub fn rid(&self) -> RocketRoomId {
        let rid = self.0.split(FURTHER).next().unwrap_or_default();
        RocketRoomId::new(rid)
    }

    /// Whether it is the one that the bridge itself makes.
    pub fn is_own(&self) -> bool {
        !self.0.contains(FURTHER)
    }

    /// What the ids of all further portals of a room begin with.
    pub(super) fn further_prefix(rid: &RocketRoomId) -> String {
        format!("{rid}{FURTHER}")
    }

    /// As the store has it, and as what ids are derived from. Not for people.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the store has.
    pub(super) fn stored(text: String) -> Self {
        Self(text)
    }
}

impl From<&RocketRoomId> for PortalId {
    /// The bridge's own portal of a room.
    fn from(rid: &RocketRoomId) -> Self {
        Self::own(rid)
    }
}

impl fmt::Display for PortalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace(FURTHER, " "))
    }
}

impl<'de> Deserialize<'de> for PortalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text.contains('\0') {
            return Err(serde::de::Error::custom("not the id of a portal"));
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::room_id;

    use super::*;

    #[test]
    fn the_own_portal_of_a_room_is_written_as_the_room() {
        let rid = RocketRoomId::new("GENERAL");
        let own = PortalId::own(&rid);
        assert_eq!(serde_json::to_string(&own).unwrap(), "\"GENERAL\"");
        assert!(own.is_own());
        assert_eq!(own.rid(), rid);
    }

    #[test]
    fn a_further_portal_is_nobody_elses() {
        let rid = RocketRoomId::new("GENERAL");
        let one = PortalId::further(&rid, room_id!("!one:example.org"));
        let other = PortalId::further(&rid, room_id!("!other:example.org"));
        assert_ne!(one, other);
        assert_ne!(one, PortalId::own(&rid));
        assert!(!one.is_own());
        assert_eq!(one.rid(), rid);
        assert_eq!(one.to_string(), "GENERAL !one:example.org");
        let written = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<PortalId>(&written).unwrap(), one);
        // What a server could call a room.
        assert!(RocketRoomId::parse(one.as_str()).is_err());
    }
}
