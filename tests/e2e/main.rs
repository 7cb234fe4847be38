//! People talk across a real Synapse, the bridge as its own process and the
//! simulated Rocket.Chat. Each test is a promise of the bridge, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod bad_input;
mod channel;
mod conversation;
mod direct;
mod durability;
mod start;
mod versions;

use anyhow::Result;
use testbed::{World, WorldOptions};

/// The bridge that is tested.
const BRIDGE: &str = env!("CARGO_BIN_EXE_matrix-appservice-rocketchat");

/// A world in which `#general` is mirrored.
async fn world_with_general() -> Result<World> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    World::start(options).await
}
