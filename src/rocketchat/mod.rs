//! The Rocket.Chat side: REST client, realtime client, documents. Knows nothing
//! of Matrix nor of what is mirrored.
//!
//! * [`rest`]: requests; [`rest::Client`] without an account, [`rest::Session`]
//!   as one account.
//! * [`realtime`]: one socket that keeps itself alive and says when something
//!   may have been missed.
//! * [`documents`]: messages, rooms, users as both of them deliver them.
//! * [`error`]: what can go wrong, for both.
//! * [`version`]: what the server at hand can do.

pub mod documents;
pub mod error;
pub mod ids;
mod password;
pub mod realtime;
pub mod rest;
pub mod version;

pub use error::Error;
pub use ids::{FileId, RocketMessageId, RocketRoomId, RocketUserId, Username};
