//! What Rocket.Chat tells of messages, rooms, users and subscriptions.
//!
//! One set of types reads both spellings: REST writes dates as ISO texts, the
//! realtime socket as `{"$date": ms}`. Only what a document is useless without
//! is required; everything else that has an unexpected type counts as absent,
//! so that one odd field does not lose a message. Nothing but the named fields
//! is copied: Rocket.Chat 6.14 delivers password and token hashes in the `u` of
//! some system messages and in the answer to a login.

mod emoji;
mod lenient;
mod message;
mod room;
mod sync;
mod timestamp;
mod upload;
mod user;

pub use emoji::CustomEmoji;
pub use message::{
    Attachment, AttachmentAction, AttachmentField, ChannelRef, Dimensions, FileRef, Mention,
    Message, MessageUrl, Reactions,
};
pub use room::{Member, Room, RoomType, Subscription};
pub use sync::{Changes, Deleted, Page, Removed, SyncResult};
pub use timestamp::Timestamp;
pub use upload::UploadedFile;
pub use user::{Email, User, UserRef};

pub(crate) use sync::{read_each, read_one};

#[cfg(test)]
mod tests;
