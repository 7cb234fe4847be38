//! A real Synapse, the Rocket.Chat simulator and the bridge, each as its own
//! process, and people on both sides: what the end-to-end tests and the demo
//! are made of.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use testbed::{World, WorldOptions};
//!
//! let mut options = WorldOptions::new("target/debug/matrix-appservice-rocketchat");
//! options.channels = vec!["general".to_owned()];
//! let world = World::start(options).await?;
//! let alice = world.matrix_user("alice").await?;
//! let carol = world.rocket_user("carol").await?;
//!
//! let room = alice.join("#_rocketchat_general:matrix.test").await?;
//! let channel = carol.join_channel("general").await?;
//! carol.send(&channel, "hello").await?;
//! alice.wait_for_text(&room, "hello").await?;
//! # Ok(()) }
//! ```
//!
//! * [`World`] starts all three, joined by a generated registration.
//! * [`Synapse`], [`RocketSim`] and [`Bridge`] are the processes: each can be
//!   killed, stopped and restarted at the same address with its data.
//! * [`MatrixUser`] and [`RocketUser`] are the people; they see what a person's
//!   client would see.
//! * [`SimControl`] makes the simulated Rocket.Chat misbehave.
//! * [`eventually`] is the one way to wait: for a condition, never for a time.
//!
//! Everything a process writes lands in a file under the world's directory.
//! Set `TESTBED_KEEP=1` to keep that directory after a test, and
//! `TESTBED_PATIENCE=3` to multiply every deadline on a slow machine.

#![allow(
    clippy::print_stderr,
    reason = "progress of what takes long belongs on the terminal of whoever started it"
)]

pub mod binaries;
mod bridge;
mod http;
mod matrix;
mod ports;
mod process;
mod reaper;
mod rocket;
mod samples;
pub mod synapse;
mod wait;
mod world;

pub use bridge::{Bridge, BridgeOptions};
pub use http::{Answer, Evidence};
pub use matrix::{Event, Invite, MatrixUser, html_content, media_content, mentions, pill};
pub use ports::PortLease;
pub use rocket::{
    Downloaded, NewFile, RocketMessage, RocketSim, RocketUser, Rule, SimControl, SimOptions,
};
pub use samples::{Sample, sha256};
pub use synapse::{Federation, Synapse, SynapseOptions};
pub use wait::{DEADLINE, eventually};
pub use world::{World, WorldOptions};
