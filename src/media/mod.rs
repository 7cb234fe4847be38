//! Files on their way from one server to the other: their bytes, piece by piece.
//! Knows nothing of HTTP, of the two servers, nor of what is mirrored.
//!
//! * [`body`]: the bytes, and what is demanded of them while they flow.
//! * [`outgoing`]: giving them to a server, and whose fault it was when that failed.

pub mod body;
pub mod outgoing;

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
