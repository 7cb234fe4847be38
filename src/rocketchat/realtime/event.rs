//! What the realtime connection tells.

use serde_json::Value;

use super::stream::Stream;
use crate::rocketchat::documents::{Message, Room, RoomType, Subscription, Timestamp};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketMessageId, RocketRoomId, RocketUserId, Username};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Logged in, and every essential stream ([`Stream::is_essential`]) asked for so
    /// far is ready or was refused: whatever happened before must now be read back.
    /// Once per connection. Messages that arrived on a ready stream just before may
    /// have been delivered already.
    Ready,
    /// The socket is gone, or could not be opened; a reconnection is under way. All
    /// streams are silent until they are `Ready` or `Subscribed` again.
    Disconnected {
        /// In a few fixed words, or the server's closing code.
        reason: String,
    },
    /// A stream of a room, or one that was added later, is ready: from now on its events
    /// are seen, and what happened before must be read back. After a reconnection it
    /// comes again for each.
    Subscribed(Stream),
    /// The server refused a stream, for example with `not-allowed`. It is not tried again
    /// on this connection, and again on the next one unless it is unsubscribed.
    SubscriptionRefused {
        /// Which.
        stream: Stream,
        /// Why.
        error: Error,
    },
    /// A message was written or changed in any way. The same one comes again for every
    /// star and preview, and once per stream that brings it.
    Message {
        /// The whole message.
        message: Box<Message>,
        /// With it, on [`Stream::MyMessages`] only.
        room: OnRoom,
    },
    /// A message was hard-deleted.
    Deleted {
        /// The room.
        rid: RocketRoomId,
        /// The message.
        id: RocketMessageId,
    },
    /// Many messages were deleted at once.
    DeletedBulk {
        /// The room.
        rid: RocketRoomId,
        /// These, if the server named them; otherwise all that fit `predicate`.
        ids: Vec<RocketMessageId>,
        /// Which.
        predicate: Bulk,
    },
    /// The account came into a room, left it, or its subscription changed.
    SubscriptionChanged {
        /// What happened to it.
        change: Change,
        /// The subscription; of a removed one only `id`, `rid`, `u`, `t` are sure.
        subscription: Box<Subscription>,
    },
    /// A room of the account changed.
    RoomChanged {
        /// What happened to it.
        change: Change,
        /// The room.
        room: Box<Room>,
    },
    /// Somebody types, or stopped (nothing listed).
    UserActivity {
        /// The room.
        rid: RocketRoomId,
        /// User name, or display name where the server shows real names.
        name: String,
        /// `user-typing`, `user-recording`, `user-uploading`, `user-playing`.
        activities: Vec<String>,
        /// In this thread.
        tmid: Option<RocketMessageId>,
    },
    /// A message for the account alone, never stored.
    Ephemeral(Box<Message>),
    /// A notification ([`super::OwnEvent::Notification`]), as it came.
    Notification(Value),
    /// Something for everybody logged in ([`super::Stream::Logged`]).
    Logged(Logged),
    /// A public setting changed.
    Setting {
        /// Its id.
        id: String,
        /// Its value.
        value: Value,
    },
    /// Another event for anybody.
    All {
        /// Its name.
        name: String,
        /// Its arguments, a list.
        args: Value,
    },
    /// The token is no longer accepted. Nothing is tried until
    /// [`super::Realtime::set_credentials`] brings another.
    Unauthorized,
    /// A frame could not be understood and was left out.
    Unreadable(Unreadable),
}

/// What everybody logged in is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Logged {
    /// `updateAvatar`: a picture was set or taken away. Of a person it comes about half a
    /// second before everybody is served the new one.
    Avatar {
        /// Whose.
        of: Pictured,
        /// The mark of the new picture; none when it was taken away. After a room's
        /// removal its record may show yet another one: only asking tells.
        etag: Option<String>,
    },
    /// `Users:NameChanged`: the user name changed, or the display name, the latter only
    /// where `UI_Use_Real_Name` is on.
    Name {
        /// Whose.
        id: RocketUserId,
        /// The display name; the old one when both changed.
        name: Option<String>,
        /// The user name.
        username: Option<Username>,
    },
    /// `user-status`: somebody came, went or changed their status line. What the event
    /// itself says may be half stale; `users.presence` tells how it is.
    Status {
        /// Who.
        id: RocketUserId,
    },
    /// `Users:Deleted`: an account was deleted, and by `Message_ErasureType` what it
    /// wrote, of which nothing else tells. It does not come where messages are kept
    /// (6.14).
    Gone {
        /// Whose.
        id: RocketUserId,
    },
    /// `updateEmojiCustom`, `deleteEmojiCustom`: custom emoji are others than before.
    Emoji,
    /// Another one.
    Other {
        /// Its name.
        name: String,
        /// Its arguments, a list.
        args: Value,
    },
}

impl Logged {
    /// The event of [`Self::Avatar`].
    pub const AVATAR: &'static str = "updateAvatar";
    /// The event of [`Self::Name`].
    pub const NAME: &'static str = "Users:NameChanged";
    /// The event of [`Self::Status`].
    pub const STATUS: &'static str = "user-status";
    /// The event of [`Self::Gone`].
    pub const GONE: &'static str = "Users:Deleted";
    /// The events of [`Self::Emoji`].
    pub const EMOJI: [&'static str; 2] = ["updateEmojiCustom", "deleteEmojiCustom"];
    /// Tells of a role that somebody got or lost, in the room that is its `scope`.
    pub const ROLES: &'static str = "roles-change";
    /// Tells of what roles may do.
    pub const PERMISSIONS: &'static str = "permissions-changed";
}

/// Who or what has a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pictured {
    /// A person, by the name at that time.
    User(Username),
    /// A room.
    Room(RocketRoomId),
}

/// What `__my_messages__` says of a message's room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnRoom {
    /// Whether the account is a member; none on other streams.
    pub participant: Option<bool>,
    /// Kind of the room.
    pub kind: Option<RoomType>,
    /// Name of the room.
    pub name: Option<String>,
}

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Inserted,
    /// It changed.
    Updated,
    /// It is gone.
    Removed,
}

/// Which messages a bulk deletion took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bulk {
    /// Sent after this (`$gt`); none: from the beginning.
    pub after: Option<Timestamp>,
    /// Sent before this (`$lt`); none: up to the end.
    pub before: Option<Timestamp>,
    /// The bounds themselves count (`$gte`, `$lte`).
    pub inclusive: bool,
    /// Only of these authors; empty: of all.
    pub users: Vec<Username>,
    /// Pinned ones were spared.
    pub exclude_pinned: bool,
    /// Those that stand for discussions were spared.
    pub ignore_discussion: bool,
    /// Threads were spared.
    pub ignore_threads: bool,
    /// Only files were taken away, and the messages stay.
    pub files_only: bool,
}

/// A frame that was left out. Its content is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What was wrong, in a few fixed words.
    pub what: String,
    /// It may have been a message, a deletion or a change of membership: read back.
    pub maybe_message: bool,
    /// In this room, if that much could be read.
    pub rid: Option<RocketRoomId>,
}
