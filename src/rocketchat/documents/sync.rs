//! Lists of documents, read one by one so that an odd one does not lose the others.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Message, Timestamp};
use crate::rocketchat::ids::RocketMessageId;

/// A hard-deleted message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deleted {
    /// The message.
    #[serde(rename = "_id")]
    pub id: RocketMessageId,
    /// When it was deleted; none if the server did not say.
    #[serde(
        default,
        rename = "_deletedAt",
        deserialize_with = "super::lenient::opt"
    )]
    pub deleted_at: Option<Timestamp>,
}

/// What `chat.syncMessages` tells: everything of one room that was written since
/// a time, in whatever way, and what was deleted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncResult {
    /// New and changed messages, newest `ts` first, as the server gives them.
    /// Hidden ones are not among them.
    pub updated: Vec<Message>,
    /// Hard-deleted ones. Soft-deleted ones are in `updated` with `t: "rm"`.
    pub deleted: Vec<Deleted>,
    /// How many documents could not be read and were left out.
    pub unreadable: usize,
}

/// A record that is gone, by its own id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Removed {
    /// The `_id` of the record: a room for `rooms.get`, a subscription (not its
    /// room) for `subscriptions.get`.
    #[serde(rename = "_id")]
    pub id: String,
    /// When it was removed.
    #[serde(
        default,
        rename = "_deletedAt",
        deserialize_with = "super::lenient::opt"
    )]
    pub deleted_at: Option<Timestamp>,
}

/// What `rooms.get` and `subscriptions.get` tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes<T> {
    /// There now, all of them or those changed since.
    pub updated: Vec<T>,
    /// Gone since. `rooms.get` lists every room deleted on the server, and not
    /// the rooms that were merely left.
    pub removed: Vec<Removed>,
    /// How many documents could not be read and were left out.
    pub unreadable: usize,
}

/// One page of a longer list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// Where this page begins.
    pub offset: usize,
    /// How many rows the server sent, readable or not: the next page begins at
    /// `offset + sent`.
    pub sent: usize,
    /// How many there are in all.
    pub total: usize,
    /// How many documents of this page could not be read and were left out.
    pub unreadable: usize,
}

/// Reads every document that can be read and counts the others.
pub(crate) fn read_each<T: DeserializeOwned>(raw: &[&RawValue]) -> (Vec<T>, usize) {
    let mut unreadable = 0;
    let read = raw
        .iter()
        .filter_map(|document| {
            let read = read_one(document);
            unreadable += usize::from(read.is_none());
            read
        })
        .collect();
    (read, unreadable)
}

/// Reads a document. Only an object is one: serde would take a list for one, its
/// elements for the fields in their order.
pub(crate) fn read_one<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    let text = raw.get();
    text.starts_with('{')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}
