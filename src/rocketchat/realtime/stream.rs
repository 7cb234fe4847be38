//! What can be subscribed to.

use crate::rocketchat::ids::{RocketRoomId, RocketUserId};

/// Something to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Messages of every room the account may read: all public channels, joined or
    /// not, and its groups and direct messages, those that come later too. No
    /// deletions.
    MyMessages,
    /// Events for the account itself.
    Own(OwnEvent),
    /// An event of the whole server for everybody logged in, such as
    /// `Users:NameChanged`, `updateAvatar`, `roles-change`.
    Logged(String),
    /// An event of the whole server for anybody, such as `public-settings-changed`.
    All(String),
    /// Hard deletions in a room, single and in bulk (two subscriptions).
    Deletions(RocketRoomId),
    /// Messages of one room.
    RoomMessages(RocketRoomId),
    /// Who is typing, recording, uploading in a room.
    UserActivity(RocketRoomId),
}

/// Which events for the account itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnEvent {
    /// Added to, removed from a room, read, …: `subscriptions-changed`.
    SubscriptionsChanged,
    /// A room the account is in changed: `rooms-changed`.
    RoomsChanged,
    /// Messages for the account alone, never stored: `message`.
    Message,
    /// What a client would show as a notification: `notification`.
    Notification,
}

impl OwnEvent {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SubscriptionsChanged => "subscriptions-changed",
            Self::RoomsChanged => "rooms-changed",
            Self::Message => "message",
            Self::Notification => "notification",
        }
    }
}

impl Stream {
    /// Whether [`super::Event::Ready`] waits for it: what concerns the account or the
    /// server as a whole. Streams of single rooms are subscribed to afterwards, at the
    /// pace that the server allows, and report one by one.
    pub fn is_essential(&self) -> bool {
        !matches!(
            self,
            Self::Deletions(_) | Self::RoomMessages(_) | Self::UserActivity(_)
        )
    }

    /// The subscriptions it takes: name of the stream and event.
    pub(super) fn wire(&self, own: &RocketUserId) -> Vec<(&'static str, String)> {
        match self {
            Self::MyMessages => vec![("stream-room-messages", "__my_messages__".to_owned())],
            Self::Own(event) => vec![("stream-notify-user", format!("{own}/{}", event.as_str()))],
            Self::Logged(name) => vec![("stream-notify-logged", name.clone())],
            Self::All(name) => vec![("stream-notify-all", name.clone())],
            Self::Deletions(rid) => vec![
                ("stream-notify-room", format!("{rid}/deleteMessage")),
                ("stream-notify-room", format!("{rid}/deleteMessageBulk")),
            ],
            Self::RoomMessages(rid) => vec![("stream-room-messages", rid.to_string())],
            Self::UserActivity(rid) => vec![("stream-notify-room", format!("{rid}/user-activity"))],
        }
    }
}
