//! The Matrix side: appservice listener and client. Knows nothing of Rocket.Chat
//! nor of what is mirrored.
//!
//! * [`listener`]: what the homeserver calls. It checks the token, reads a
//!   transaction leniently, hands it to a [`Handler`] and answers 200 only when
//!   the handler says that it is durable.
//! * [`client`]: what we call. A [`Client`] holds the connection and the token;
//!   an [`Intent`] is one user acting through it, the bot or a ghost.
//! * [`startup`]: whether homeserver, registration and configuration agree.
//! * [`error`]: what can go wrong with a call, and whether a repeat can help.

pub mod client;
pub mod error;
pub mod intent;
pub mod listener;
pub mod startup;
#[cfg(test)]
pub(crate) mod testing;

pub use client::{Client, Limits};
pub use error::{Call, Error, Kind};
pub use intent::{Intent, MessagesPage, TimelineEvent};
pub use listener::{
    DEFAULT_MAX_BODY_BYTES, Handler, Health, InboundEvent, ListenError, ListenerConfig,
    RunningListener, ThirdPartyQuery, Transaction, Unavailable,
};
pub use startup::{Expected, StartupProblem, check_registration};
