//! Files on their way from one server to the other: their bytes, piece by piece, and
//! what they are. Knows nothing of HTTP, of the two servers, nor of what is mirrored.
//!
//! * [`body`]: the bytes, and what is demanded of them while they flow.
//! * [`outgoing`]: giving them to a server, and whose fault it was when that failed.
//! * [`kind`]: what a file is, by its first bytes rather than by what is said of it.
//! * [`name`]: what it may be called.
//! * [`picture`]: how large a picture is; small ones for avatars; blurs of previews.
//! * [`playing`]: how long sound and film last.
//! * [`encrypted`]: attachments of encrypted rooms, in clear.
//! * [`part`]: some of the bytes, for who asks for a range.

pub mod body;
pub mod encrypted;
pub mod kind;
pub mod name;
pub mod outgoing;
pub mod part;
pub mod picture;
pub mod playing;

pub use body::{Body, Broken, Chunks};
pub use outgoing::Patience;

/// A file that a server hands out.
#[derive(Debug)]
pub struct Download {
    /// What the server says that it is. Nothing to rely on.
    pub media_type: Option<String>,
    /// Its bytes, held to their announced number and to a pace.
    pub body: Body,
}
