//! Joins one Matrix homeserver and one Rocket.Chat server: people on each side
//! talk with people on the other as if they were on the same server.

pub mod matrix;
pub mod retry;
pub mod rocketchat;
pub mod secret;
