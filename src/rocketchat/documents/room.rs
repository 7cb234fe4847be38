//! Rooms, who is in them, and what a member knows of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Timestamp, UserRef, lenient};
use crate::rocketchat::ids::{RocketRoomId, RocketUserId, Username};

/// The kind of a room (`t`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoomType {
    /// `c`: public channel.
    Channel,
    /// `p`: private group.
    Group,
    /// `d`: direct message of one, two or more users.
    Direct,
    /// `l`: omnichannel.
    Livechat,
    /// Anything else, such as `v`.
    Other(String),
}

impl RoomType {
    /// As the server writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Channel => "c",
            Self::Group => "p",
            Self::Direct => "d",
            Self::Livechat => "l",
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for RoomType {
    fn from(text: &str) -> Self {
        match text {
            "c" => Self::Channel,
            "p" => Self::Group,
            "d" => Self::Direct,
            "l" => Self::Livechat,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Default for RoomType {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl<'de> Deserialize<'de> for RoomType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

impl Serialize for RoomType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A room. Which fields are there depends on where it comes from: `rooms.adminRooms`
/// gives neither texts nor `lm`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Room {
    /// The room.
    #[serde(rename = "_id")]
    pub id: RocketRoomId,
    /// Its kind.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub t: RoomType,
    /// The slug, unique among channels and groups. None for direct messages; a
    /// random id for discussions.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
    /// The name as shown.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub fname: Option<String>,
    /// Who made it; none for direct messages.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub u: Option<UserRef>,
    /// Topic.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub topic: Option<String>,
    /// Description.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub description: Option<String>,
    /// Announcement.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub announcement: Option<String>,
    /// Only some may write.
    #[serde(default, rename = "ro", deserialize_with = "lenient::or_default")]
    pub read_only: bool,
    /// Everybody may react although only some may write.
    #[serde(
        default,
        rename = "reactWhenReadOnly",
        deserialize_with = "lenient::or_default"
    )]
    pub react_when_read_only: bool,
    /// Names of those who may write although the room is read-only.
    #[serde(default, deserialize_with = "lenient::list")]
    pub unmuted: Vec<Username>,
    /// Archived. Posting still works by room id, changing settings does not.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub archived: bool,
    /// Messages are end-to-end encrypted, unreadable here.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub encrypted: bool,
    /// Whoever wants to enter the channel has to know its code. Not in lists of rooms.
    #[serde(
        default,
        rename = "joinCodeRequired",
        deserialize_with = "lenient::or_default"
    )]
    pub join_code_required: bool,
    /// Members see only messages of those who may write.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub broadcast: bool,
    /// Everybody is put into it on registration.
    #[serde(default, rename = "default", deserialize_with = "lenient::or_default")]
    pub is_default: bool,
    /// Belongs to Rocket.Chat's own federation: not to be bridged.
    #[serde(default, deserialize_with = "lenient::present")]
    pub federated: bool,
    /// Names of the members of a direct message.
    #[serde(default, deserialize_with = "lenient::list")]
    pub usernames: Vec<Username>,
    /// Ids of the members of a direct message.
    #[serde(default, deserialize_with = "lenient::list")]
    pub uids: Vec<RocketUserId>,
    /// How many members.
    #[serde(default, rename = "usersCount", deserialize_with = "lenient::count")]
    pub users_count: u64,
    /// How many messages were ever written.
    #[serde(default, deserialize_with = "lenient::count")]
    pub msgs: u64,
    /// `lm`: when the last message was written.
    #[serde(default, rename = "lm", deserialize_with = "lenient::opt")]
    pub last_message_at: Option<Timestamp>,
    /// When the room was made.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub ts: Option<Timestamp>,
    /// `prid`: the room this discussion belongs to.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub prid: Option<RocketRoomId>,
    /// The team it belongs to.
    #[serde(default, rename = "teamId", deserialize_with = "lenient::opt")]
    pub team_id: Option<String>,
    /// The main room of its team.
    #[serde(default, rename = "teamMain", deserialize_with = "lenient::or_default")]
    pub team_main: bool,
    /// Changes with every uploaded avatar.
    #[serde(default, rename = "avatarETag", deserialize_with = "lenient::opt")]
    pub avatar_etag: Option<String>,
    /// Names of those who may not write.
    #[serde(default, deserialize_with = "lenient::list")]
    pub muted: Vec<Username>,
    /// Last write of any kind to the room's record.
    #[serde(default, rename = "_updatedAt", deserialize_with = "lenient::opt")]
    pub updated_at: Option<Timestamp>,
}

impl Room {
    /// The name to show: `fname`, else `name`; none for direct messages.
    pub fn display_name(&self) -> Option<&str> {
        [&self.fname, &self.name]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .find(|name| !name.is_empty())
    }
}

/// One user's membership of one room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscription {
    /// The subscription, not the room.
    #[serde(rename = "_id")]
    pub id: String,
    /// The room.
    pub rid: RocketRoomId,
    /// The member.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub u: Option<UserRef>,
    /// Kind of the room.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub t: RoomType,
    /// Slug of the room; in a direct message of two the other's username.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
    /// Name shown; in a direct message of two the other's display name.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub fname: Option<String>,
    /// Whether the member has it in their list. The second member of a direct
    /// message has it closed until the first message.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub open: bool,
    /// Unread messages.
    #[serde(default, deserialize_with = "lenient::count")]
    pub unread: u64,
    /// When the member came.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub ts: Option<Timestamp>,
    /// `ls`: last seen.
    #[serde(default, rename = "ls", deserialize_with = "lenient::opt")]
    pub last_seen: Option<Timestamp>,
    /// Roles in the room: `owner`, `moderator`, `leader`.
    #[serde(default, deserialize_with = "lenient::list")]
    pub roles: Vec<String>,
    /// The room this discussion belongs to.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub prid: Option<RocketRoomId>,
    /// The room is archived.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub archived: bool,
    /// The other one of a direct message blocked this member.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub blocked: bool,
    /// This member blocked the other one.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub blocker: bool,
    /// Belongs to Rocket.Chat's own federation.
    #[serde(default, deserialize_with = "lenient::present")]
    pub federated: bool,
    /// Last write of any kind.
    #[serde(default, rename = "_updatedAt", deserialize_with = "lenient::opt")]
    pub updated_at: Option<Timestamp>,
}

/// One row of a list of members. Deactivated users are not in such lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// The user.
    #[serde(rename = "_id")]
    pub id: RocketUserId,
    /// Their name.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub username: Option<Username>,
    /// Their display name.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
    /// `online`, `away`, `busy`, `offline`.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub status: Option<String>,
    /// Belongs to Rocket.Chat's own federation.
    #[serde(default, deserialize_with = "lenient::present")]
    pub federated: bool,
}
