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
mod feedback;
mod formatting;
mod hostile;
mod kinds;
mod long_texts;
mod mentions;
mod start;
mod versions;

use anyhow::Result;
use testbed::{MatrixUser, RocketUser, World, WorldOptions};

/// The bridge that is tested.
const BRIDGE: &str = env!("CARGO_BIN_EXE_matrix-appservice-rocketchat");

/// A world in which `#general` is mirrored.
async fn world_with_general() -> Result<World> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    World::start(options).await
}

/// Alice on Matrix and Carol on Rocket.Chat, both in `#general`.
struct General {
    world: World,
    alice: MatrixUser,
    carol: RocketUser,
    /// The channel on Matrix.
    room: String,
    /// The channel on Rocket.Chat.
    channel: String,
}

async fn in_general() -> Result<General> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    Ok(General {
        world,
        alice,
        carol,
        room,
        channel,
    })
}

/// Alice on Matrix and Carol on Rocket.Chat in a direct message, which Alice began
/// by saying "hi".
struct Direct {
    world: World,
    alice: MatrixUser,
    carol: RocketUser,
    /// The direct message on Matrix.
    room: String,
    /// The direct message on Rocket.Chat.
    dm: String,
}

async fn in_direct() -> Result<Direct> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let room = alice.create_direct(&[&world.ghost("carol")]).await?;
    alice.send_text(&room, "hi").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    Ok(Direct {
        world,
        alice,
        carol,
        room,
        dm,
    })
}
