//! Joins one Matrix homeserver and one Rocket.Chat server: people on each side
//! talk with people on the other as if they were on the same server.
//!
//! # Where things are
//!
//! * [`config`]: the file, its defaults, what is refused; the registration.
//! * [`bridge`]: the domain: what is mirrored, to whom, in which order.
//! * [`convert`]: content, both ways, without I/O.
//! * [`commands`]: what people may ask of the bridge.
//! * [`media`]: files on their way, without I/O of their own.
//! * [`matrix`]: the appservice listener and the client of the homeserver.
//! * [`rocketchat`]: the REST and the realtime client of Rocket.Chat.
//! * [`store`]: what must not be forgotten.
//! * [`retry`], [`secret`], [`clock`]: small things that both sides use.
//!
//! # How an event flows
//!
//! From Matrix: the listener checks the token, writes the transaction to the
//! store's inbox and waits for the disk before it answers; the event waits in its
//! room's queue, is converted, and sent as its sender's puppet under an id that
//! follows from the event; the mapping is stored and the event struck from the
//! inbox in one change.
//!
//! From Rocket.Chat: a document comes from the socket, or is read back from the
//! room's cursor after every reconnection; it waits in its room's queue, is
//! compared with what the store knows of that message, and sent as its author's
//! ghost; the cursor follows behind the oldest document still being worked.

pub mod bridge;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod convert;
pub mod matrix;
pub mod media;
pub mod retry;
pub mod rocketchat;
pub mod secret;
pub mod store;
