//! Files on their way from one server to the other: their bytes, piece by piece.
//! Knows nothing of HTTP, of the two servers, nor of what is mirrored.
//!
//! * [`body`]: the bytes, and what is demanded of them while they flow.

pub mod body;

pub use body::{Body, Broken, Chunks};
