//! A Rocket.Chat 6.14 in one process, as a bridge sees it: REST, the realtime socket, permissions,
//! limits, and the texts of every error, faithful to recordings of a real server. It is for tests,
//! the demo and benchmarks; it can be told to misbehave, and its state survives kill -9.
//!
//! | where | what |
//! |---|---|
//! | `server` | starting and stopping: [`Sim::start`] |
//! | `state/` | documents: accounts, rooms, subscriptions, messages, trash |
//! | `actions/` | what the server does, one file for each kind of change |
//! | `rest/` | routes by family, the envelopes, authentication around them |
//! | `realtime/` | the socket, DDP, methods, who hears what |
//! | `permissions`, `settings`, `profile` | who may what, what is switched on, which version |
//! | `media_types`, `pictures` | types of files, thumbnails and avatars |
//! | `limiter`, `misbehave`, `control` | limits, faults on request, the API that orders them |
//! | `fixtures` | many people and rooms at once, federated marks |
//! | `journal` | what survives a crash |

pub mod actions;
pub mod control;
pub mod error;
pub mod fixtures;
pub mod ids;
pub mod journal;
pub mod json;
pub mod limiter;
pub mod media_types;
pub mod misbehave;
pub mod options;
pub mod permissions;
pub mod pictures;
pub mod profile;
pub mod realtime;
pub mod rest;
pub mod server;
pub mod settings;
pub mod state;
pub mod text;
pub mod time;

pub use options::Options;
pub use profile::VersionProfile;
pub use server::{RunningSim, Sim};
