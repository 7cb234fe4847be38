//! Files as their room lists them.

use serde::Deserialize;

use super::{Timestamp, lenient};
use crate::rocketchat::ids::{FileId, RocketRoomId};

/// A file that somebody uploaded to a room. Whoever is in that room may read it, also
/// when a message elsewhere names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UploadedFile {
    /// The file.
    #[serde(rename = "_id")]
    pub id: FileId,
    /// The room that it was uploaded to.
    pub rid: RocketRoomId,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub size: Option<u64>,
    /// When.
    #[serde(default, rename = "uploadedAt", deserialize_with = "lenient::opt")]
    pub uploaded_at: Option<Timestamp>,
}
