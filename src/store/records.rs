//! What the store holds. Each record is JSON inside an envelope with the
//! version of its shape, so that a later program can read an earlier store.

use ruma::events::room::EncryptedFile;
use ruma::{EventId, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{PortalId, StoreError};
use crate::rocketchat::rest::Credentials;
use crate::rocketchat::{FileId, RocketMessageId, RocketRoomId, RocketUserId};

/// A kind of record: its name for errors, and the version of its present shape.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// What an error calls it.
    const NAME: &'static str;
    /// Raised when the shape changes; older ones are read by `serde` defaults.
    const VERSION: u16 = 1;
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u16,
    #[serde(rename = "r")]
    record: T,
}

pub(super) fn encode<R: Record>(record: &R) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&Envelope {
        v: R::VERSION,
        record,
    })
    .map_err(|error| StoreError::record(R::NAME, &error))
}

pub(super) fn decode<R: Record>(bytes: &[u8]) -> Result<R, StoreError> {
    let envelope: Envelope<R> =
        serde_json::from_slice(bytes).map_err(|error| StoreError::record(R::NAME, &error))?;
    if envelope.v > R::VERSION {
        return Err(StoreError::Newer {
            what: R::NAME,
            found: envelope.v.into(),
            known: R::VERSION.into(),
        });
    }
    Ok(envelope.record)
}

/// Which deployment a store belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The version of the whole layout.
    pub schema: u32,
    /// The homeserver's name.
    pub homeserver: String,
    /// The workspace's `uniqueID`; absent until Rocket.Chat has been reached once.
    pub workspace: Option<String>,
    /// What the names of ghosts start with.
    pub ghost_prefix: String,
}

impl Record for Identity {
    const NAME: &'static str = "identity";
}

/// A Matrix event that waits to be worked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InboxEvent {
    /// Its id.
    pub event_id: OwnedEventId,
    /// Its room.
    pub room_id: OwnedRoomId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its type.
    pub kind: String,
    /// The whole event as the homeserver sent it.
    pub json: Box<serde_json::value::RawValue>,
}

impl Record for InboxEvent {
    const NAME: &'static str = "inbox event";
}

/// What kind of room a portal mirrors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortalKind {
    /// A public channel.
    Channel,
    /// A private group.
    Group,
    /// A direct message between puppets and Rocket.Chat users, mostly one of each. Who
    /// is in one never changes on Rocket.Chat.
    Direct {
        /// The Matrix user behind the puppet.
        matrix_user: OwnedUserId,
        /// The Rocket.Chat user.
        peer: RocketUserId,
        /// Further Matrix users, where they are several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more_users: Vec<OwnedUserId>,
        /// Further Rocket.Chat users, where they are several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more_peers: Vec<RocketUserId>,
    },
}

impl PortalKind {
    /// The direct message of these; none when there is nobody on one of the sides.
    pub fn direct(users: Vec<OwnedUserId>, peers: Vec<RocketUserId>) -> Option<Self> {
        let (mut users, mut peers) = (users.into_iter(), peers.into_iter());
        Some(Self::Direct {
            matrix_user: users.next()?,
            peer: peers.next()?,
            more_users: users.collect(),
            more_peers: peers.collect(),
        })
    }

    /// Whether it is a direct message.
    pub fn is_direct(&self) -> bool {
        matches!(self, Self::Direct { .. })
    }

    /// The Matrix users of a direct message; nobody of other rooms.
    pub fn direct_users(&self) -> impl Iterator<Item = &OwnedUserId> {
        let (first, more) = match self {
            Self::Direct {
                matrix_user,
                more_users,
                ..
            } => (Some(matrix_user), more_users.as_slice()),
            _ => (None, [].as_slice()),
        };
        first.into_iter().chain(more)
    }

    /// The Rocket.Chat users of a direct message; nobody of other rooms.
    pub fn direct_peers(&self) -> impl Iterator<Item = &RocketUserId> {
        let (first, more) = match self {
            Self::Direct {
                peer, more_peers, ..
            } => (Some(peer), more_peers.as_slice()),
            _ => (None, [].as_slice()),
        };
        first.into_iter().chain(more)
    }

    /// Whether it is a direct message of more than two.
    pub fn has_several(&self) -> bool {
        self.direct_users().count() + self.direct_peers().count() > 2
    }
}

/// A Matrix room and a Rocket.Chat room that mirror each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PortalShape", into = "PortalShape")]
pub struct Portal {
    /// Which of the portals of its Rocket.Chat room it is.
    pub id: PortalId,
    /// The Rocket.Chat room.
    pub rid: RocketRoomId,
    /// The Matrix room.
    pub room_id: OwnedRoomId,
    /// What kind of room it is.
    pub kind: PortalKind,
    /// The name it was made with, for lists.
    pub name: String,
    /// Messages up to this time (ms, Rocket.Chat's clock) were there before the
    /// portal and are not mirrored.
    pub since: i64,
    /// Both rooms existed before: what a room is like (name, topic, who may enter, who may
    /// do what) is each one's own and is carried over in neither direction.
    pub plumbed: bool,
}

impl Portal {
    /// The room that the bridge itself made, or took over, for a room of Rocket.Chat.
    pub fn own(
        rid: RocketRoomId,
        room_id: OwnedRoomId,
        kind: PortalKind,
        name: String,
        since: i64,
    ) -> Self {
        Self {
            id: PortalId::own(&rid),
            rid,
            room_id,
            kind,
            name,
            since,
            plumbed: false,
        }
    }
}

/// A portal as it is written: the bridge's own ones as programs wrote them that knew no
/// others.
#[derive(Serialize, Deserialize)]
struct PortalShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<PortalId>,
    rid: RocketRoomId,
    room_id: OwnedRoomId,
    kind: PortalKind,
    name: String,
    since: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    plumbed: bool,
}

impl From<PortalShape> for Portal {
    fn from(shape: PortalShape) -> Self {
        Self {
            id: shape.id.unwrap_or_else(|| PortalId::own(&shape.rid)),
            rid: shape.rid,
            room_id: shape.room_id,
            kind: shape.kind,
            name: shape.name,
            since: shape.since,
            plumbed: shape.plumbed,
        }
    }
}

impl From<Portal> for PortalShape {
    fn from(portal: Portal) -> Self {
        Self {
            id: Some(portal.id).filter(|id| !id.is_own()),
            rid: portal.rid,
            room_id: portal.room_id,
            kind: portal.kind,
            name: portal.name,
            since: portal.since,
            plumbed: portal.plumbed,
        }
    }
}

impl Record for Portal {
    const NAME: &'static str = "portal";
}

/// A Matrix room whose people get a private group on Rocket.Chat: more of them than a
/// direct message has, or may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// The Matrix room.
    pub room_id: OwnedRoomId,
    /// What the group is called.
    pub name: String,
    /// With whose rights it is made.
    pub maker: OwnedUserId,
    /// Who came, or was invited, so that it is needed.
    pub newcomer: OwnedUserId,
    /// The event by which they were.
    pub event: OwnedEventId,
    /// The direct message that the room was the portal of.
    pub left: Option<Portal>,
    /// Why they do not get it, in words for them, once that is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Record for Gathering {
    const NAME: &'static str = "gathering";
}

/// A Matrix room that a direct message has left for another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftRoom {
    /// The portal as it was.
    pub portal: Portal,
    /// Nobody of Matrix ever entered it: what was said there is said again in the other
    /// room.
    pub unseen: bool,
}

impl Record for LeftRoom {
    const NAME: &'static str = "room that was left";
}

/// The Matrix user that stands for a Rocket.Chat user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ghost {
    /// Who it stands for.
    pub rocket_id: RocketUserId,
    /// Its Matrix id: the username at first sight, frozen.
    pub user_id: OwnedUserId,
    /// The username when last seen.
    pub username: String,
}

impl Record for Ghost {
    const NAME: &'static str = "ghost";
}

/// The Rocket.Chat user that acts for a Matrix user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Puppet {
    /// Who it stands for.
    pub matrix_id: OwnedUserId,
    /// Its username.
    pub username: String,
    /// How the bridge acts as it; holds its id.
    pub credentials: Credentials,
    /// It is the person's own account, which the bridge did not make and does not change.
    /// Such a one is never stored as a puppet, and has no token in it.
    #[serde(skip)]
    pub own: bool,
}

impl Record for Puppet {
    const NAME: &'static str = "puppet";
}

/// From which side a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Written on Matrix.
    Matrix,
    /// Written on Rocket.Chat.
    RocketChat,
}

/// A message that is on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id on Rocket.Chat.
    pub id: RocketMessageId,
    /// Its room there.
    pub rid: RocketRoomId,
    /// Its portal, where that is not the bridge's own one of its room: see
    /// [`Message::portal_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further: Option<PortalId>,
    /// Its room on Matrix.
    pub room_id: OwnedRoomId,
    /// Its events on Matrix, in order.
    pub events: Vec<OwnedEventId>,
    /// Who sent the events.
    pub sender: OwnedUserId,
    /// Where it was written.
    pub origin: Origin,
    /// When what was mirrored last was edited, in ms by the clock of its origin; 0
    /// when never edited.
    pub revision: i64,
    /// It was deleted on either side: nothing of it is mirrored any more. Without
    /// events it was deleted before it was mirrored.
    #[serde(default)]
    pub deleted: bool,
    /// It is being posted on Rocket.Chat, or was refused there: perhaps it is not there,
    /// or not all of it.
    #[serde(default)]
    pub pending: bool,
    /// When it was first tried to post it (ms).
    #[serde(default)]
    pub begun_at: i64,
    /// Pieces that it has no longer, and that must be deleted on Rocket.Chat.
    #[serde(default)]
    pub surplus: Vec<RocketMessageId>,
    /// Events that it has no longer, and that must be redacted on Matrix. They lead to it
    /// for ever, so that their redactions are known for what they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<OwnedEventId>,
    /// What follows `id` on Rocket.Chat where the text was too long for one
    /// message there.
    #[serde(default)]
    pub more: Vec<RocketMessageId>,
    /// The first message of the thread it stands in.
    #[serde(default)]
    pub thread: Option<RocketMessageId>,
    /// Which message it quotes, where the bridge wrote the quote.
    #[serde(default)]
    pub quote: Option<RocketMessageId>,
    /// The addresses of what it quotes, where it was written on Rocket.Chat: they are in
    /// its text there, and not in what is said of it on Matrix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quoted_links: Vec<String>,
    /// When it was written (ms); 0 if unknown.
    #[serde(default)]
    pub sent_at: i64,
    /// When somebody on Rocket.Chat last edited what was written on Matrix (ms).
    #[serde(default)]
    pub foreign_revision: i64,
    /// Whom it mentions on Matrix, where it was written on Rocket.Chat.
    #[serde(default)]
    pub mentions: Vec<OwnedUserId>,
    /// It is pinned on both sides.
    #[serde(default)]
    pub pinned: bool,
    /// How many bridges had carried it on before it came to this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hops: u32,
    /// Its files that were brought to Matrix, in order.
    #[serde(default)]
    pub files: Vec<MirroredFile>,
    /// The file of Matrix that it brought to Rocket.Chat.
    #[serde(default)]
    pub media: Option<OwnedMxcUri>,
    /// Which account posted it on Rocket.Chat, where it came from Matrix, and so has to
    /// edit and delete it there; absent: the puppet of its sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted_by: Option<RocketUserId>,
    /// Digests of the texts that the bridge last wrote into it as its author's own account,
    /// by which that is told from what they made of it themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes by reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Message {
    /// One that has just been mirrored: neither edited nor in a thread.
    pub fn new(
        portal: &Portal,
        id: RocketMessageId,
        events: Vec<OwnedEventId>,
        sender: OwnedUserId,
        origin: Origin,
    ) -> Self {
        Self {
            id,
            rid: portal.rid.clone(),
            further: Some(portal.id.clone()).filter(|id| !id.is_own()),
            room_id: portal.room_id.clone(),
            events,
            sender,
            origin,
            revision: 0,
            deleted: false,
            pending: false,
            begun_at: 0,
            surplus: Vec::new(),
            leaving: Vec::new(),
            more: Vec::new(),
            thread: None,
            quote: None,
            quoted_links: Vec::new(),
            sent_at: 0,
            foreign_revision: 0,
            mentions: Vec::new(),
            pinned: false,
            hops: 0,
            files: Vec::new(),
            media: None,
            posted_by: None,
            written: Vec::new(),
        }
    }

    /// Its portal.
    pub fn portal_id(&self) -> PortalId {
        match &self.further {
            Some(id) => id.clone(),
            None => PortalId::own(&self.rid),
        }
    }

    /// Whether it is known to be on both sides.
    pub fn is_there(&self) -> bool {
        !self.deleted && !self.pending
    }

    /// The file that one of its events brought to Matrix.
    pub fn file_of(&self, event: &EventId) -> Option<&MirroredFile> {
        self.files.iter().find(|file| file.event == event)
    }

    /// Its ids on Rocket.Chat, in order.
    pub fn rocket_ids(&self) -> impl Iterator<Item = &RocketMessageId> {
        std::iter::once(&self.id).chain(&self.more)
    }
}

impl Record for Message {
    const NAME: &'static str = "message";
}

/// A file of Rocket.Chat and the event that it became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirroredFile {
    /// The file.
    pub id: FileId,
    /// One of its message's events.
    pub event: OwnedEventId,
    /// What the event says of it, without a caption: an edit of the caption says it
    /// again. Of a file that could not be brought, the words for that.
    pub content: serde_json::Value,
    /// A digest of what the event says with its caption, so that an edit of something
    /// else leaves it alone.
    pub said: String,
}

/// A file of Matrix on its way to Rocket.Chat. The server takes no id of the sender's
/// for a message with a file: this record takes its place, and stays for as long as a
/// repeat may show itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePost {
    /// The message that comes of it. Its id counts only in `posted`.
    pub draft: Message,
    /// The account that posts it.
    pub puppet: RocketUserId,
    /// What was uploaded for it, the last of them being the one that is to be posted.
    pub uploads: Vec<Upload>,
    /// The one message that it became, or is to become.
    pub posted: Option<RocketMessageId>,
    /// The upload which that message shows, if known.
    #[serde(default)]
    pub posted_file: Option<FileId>,
    /// The words that are posted instead, once that is decided.
    #[serde(default)]
    pub instead: Option<String>,
    /// What the sender is told of that, if anything.
    #[serde(default)]
    pub tell: Option<String>,
}

/// One upload of a file to Rocket.Chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The file there; unknown of what goes in one step (servers before 6.10).
    pub file: Option<FileId>,
    /// Its name.
    pub name: String,
    /// Bytes, if the homeserver said.
    pub size: Option<u64>,
    /// When it was begun (ms).
    pub at: i64,
    /// It may have been posted: no answer that says otherwise came.
    pub maybe_posted: bool,
}

impl FilePost {
    /// The message, now that its id is known. It is pending until all of it is done.
    pub fn message(&self, id: RocketMessageId) -> Message {
        Message {
            id,
            pending: true,
            ..self.draft.clone()
        }
    }

    /// When the first upload was begun (ms).
    pub fn begun_at(&self) -> Option<i64> {
        self.uploads.first().map(|upload| upload.at)
    }

    /// Whether it may have been posted already.
    pub fn maybe_posted(&self) -> bool {
        self.uploads.iter().any(|upload| upload.maybe_posted)
    }
}

impl Record for FilePost {
    const NAME: &'static str = "file on its way";
}

/// Points from an upload to the event whose file it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EventRef {
    pub room: OwnedRoomId,
    pub event: OwnedEventId,
}

impl Record for EventRef {
    const NAME: &'static str = "event reference";
}

/// Somebody's reaction, on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The short name on Rocket.Chat, without colons.
    pub emoji: String,
    /// By whom there.
    pub username: String,
    /// By whom on Matrix: a ghost, or the user behind a puppet.
    pub user: OwnedUserId,
    /// Where it was given.
    pub origin: Origin,
    /// The event. Several may share one, where Rocket.Chat has two names for an
    /// emoji.
    pub event: OwnedEventId,
    /// How often it was lost on Rocket.Chat and given again.
    #[serde(default)]
    pub repairs: u8,
    /// It is being taken away on Matrix: perhaps it is gone.
    #[serde(default)]
    pub ending: bool,
    /// When it was given on Matrix (ms, the bridge's clock); 0 if unknown.
    #[serde(default)]
    pub given_at: i64,
    /// Rocket.Chat has shown it since it was given there last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_there: bool,
    /// The bridge's account gives it on Rocket.Chat, for this user and perhaps others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relayed: bool,
}

/// The line in the thread of a message that says who is behind the reactions of the
/// bridge's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionLine {
    /// Its message on Rocket.Chat.
    pub id: RocketMessageId,
    /// What it says.
    pub said: String,
}

/// The reactions to one message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reactions {
    /// Each of them.
    pub given: Vec<Reaction>,
    /// `_updatedAt` (ms) of the newest document they were compared with.
    pub seen: i64,
    /// Those that Matrix does not take, by short name and username: not tried again.
    #[serde(default)]
    pub refused: Vec<(String, String)>,
    /// Those that are being given on Matrix: perhaps they are there.
    #[serde(default)]
    pub begun: Vec<BegunReaction>,
    /// Who is behind those of the bridge's account, as it is said now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<ReactionLine>,
    /// How many such lines there have been: the id of the next follows from it.
    #[serde(default)]
    pub lines: u32,
}

/// A reaction that a ghost is about to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunReaction {
    /// The short name on Rocket.Chat, without colons.
    pub emoji: String,
    /// By whom there.
    pub username: String,
    /// The ghost.
    pub user: OwnedUserId,
    /// `_updatedAt` (ms) of the document that brought it: its transaction follows
    /// from that.
    pub at: i64,
}

impl Record for Reactions {
    const NAME: &'static str = "reactions";
}

/// A thread whose first message is not on both sides, or whose end is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The event that its messages relate to.
    pub root: OwnedEventId,
    /// Its newest event that is known.
    pub latest: OwnedEventId,
}

impl Record for Thread {
    const NAME: &'static str = "thread";
}

/// A custom emoji of Rocket.Chat whose image is on Matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEmoji {
    /// Its name, without colons.
    pub name: String,
    /// Which version of the image: `_updatedAt` in ms.
    pub version: i64,
    /// The image.
    pub image: OwnedMxcUri,
}

impl Record for CustomEmoji {
    const NAME: &'static str = "custom emoji";
}

/// Where a file is that is linked to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSource {
    /// On the homeserver, or one that it knows.
    Matrix {
        /// Its address.
        mxc: OwnedMxcUri,
        /// How to decrypt it, if it is encrypted.
        #[serde(default)]
        encrypted: Option<Box<EncryptedFile>>,
    },
    /// On Rocket.Chat.
    RocketChat {
        /// Its id.
        file: FileId,
        /// Whose puppet may read it; the bridge's own account where none is named.
        #[serde(default)]
        reader: Option<OwnedUserId>,
    },
}

/// A file that did not fit the other side, and is linked to there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkedFile {
    /// Where it is.
    pub source: FileSource,
    /// Its name, cleaned.
    pub name: String,
    /// Its type, sniffed as far as possible.
    pub media_type: String,
    /// Its size in bytes, as announced, if it was.
    pub size: Option<u64>,
    /// The portal that its message is in.
    #[serde(rename = "rid")]
    pub portal: PortalId,
    /// Its message there. When that is deleted, on whichever side, the link ends.
    pub message: RocketMessageId,
}

/// A link to a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileLink {
    /// The file.
    pub file: LinkedFile,
    /// Until when the link works (ms).
    pub until: i64,
}

impl Record for FileLink {
    const NAME: &'static str = "linked file";
}

/// Points from an event to its message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MessageRef {
    #[serde(rename = "rid")]
    pub portal: PortalId,
    pub id: RocketMessageId,
}

impl Record for MessageRef {
    const NAME: &'static str = "message reference";
}

/// A plain number, such as a time.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Number(pub i64);

impl Record for Number {
    const NAME: &'static str = "number";
}

/// A reference to a user or room of either side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Text(pub String);

impl Record for Text {
    const NAME: &'static str = "reference";
}

/// What could not be delivered, kept for the administrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which way it was going.
    pub origin: Origin,
    /// The portal's Matrix room.
    pub room_id: OwnedRoomId,
    /// Its id where it was written.
    pub id: String,
    /// Why it was given up, for the administrator.
    pub reason: String,
    /// The same as it was told to the person.
    #[serde(default)]
    pub told: String,
    /// When (ms since the epoch).
    pub at: i64,
    /// What was to be delivered.
    pub content: Box<serde_json::value::RawValue>,
    /// Who on Matrix had written it: also of what goes from one Matrix room to another by
    /// way of Rocket.Chat.
    #[serde(default)]
    pub sender: Option<OwnedUserId>,
    /// Which form of a message of Rocket.Chat it is: when that was edited (ms), or 0.
    #[serde(default)]
    pub revision: i64,
    /// Its author has still to be told.
    #[serde(default)]
    pub untold: bool,
}

impl Record for DeadLetter {
    const NAME: &'static str = "dead letter";
}

impl DeadLetter {
    /// Who on Rocket.Chat had written it, if it came from there and that is known: of
    /// deletions it is not.
    pub fn rocket_author(&self) -> Option<RocketUserId> {
        if self.origin != Origin::RocketChat {
            return None;
        }
        let said: serde_json::Value = serde_json::from_str(self.content.get()).ok()?;
        Some(RocketUserId::new(said.get("sender")?.as_str()?))
    }

    /// Something given up now.
    pub fn new(
        origin: Origin,
        room_id: OwnedRoomId,
        id: &str,
        reason: String,
        content: &serde_json::Value,
    ) -> Self {
        Self {
            origin,
            room_id,
            id: id.to_owned(),
            reason,
            told: String::new(),
            at: crate::clock::now_ms(),
            content: serde_json::value::to_raw_value(content).unwrap_or_default(),
            sender: None,
            revision: 0,
            untold: false,
        }
    }
}
