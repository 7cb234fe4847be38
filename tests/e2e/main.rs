//! People talk across a real Synapse, the bridge as its own process and the
//! simulated Rocket.Chat. Each test is a promise of the bridge, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod agreement;
mod bad_input;
mod channel;
mod commands;
mod commands_as_words;
mod commands_in_rooms;
mod conversation;
mod deletions;
mod direct;
mod direct_changes;
mod direct_groups;
mod direct_to_group;
mod durability;
mod edits;
mod endings;
mod ephemeral;
mod every_command;
mod faces;
mod federation;
mod feedback;
mod files_to_matrix;
mod files_to_rocketchat;
mod formatting;
mod hostile;
mod kinds;
mod late;
mod linked_changes;
mod linked_rooms;
mod linking;
mod long_texts;
mod look_ups;
mod loops;
mod membership;
mod mentions;
mod mirrored_rooms;
mod plumbing;
mod plumbing_agreed;
mod plumbing_later;
mod provisioning;
mod reactions;
mod relay;
mod relay_switched;
mod replies;
mod rights;
mod rocketchat_app;
mod room_state;
mod several_rooms;
mod start;
mod threads;
mod two_bridges;
mod unreadable;
mod upgrades;
mod versions;

use anyhow::Result;
use serde_json::json;
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
    general_in(world_with_general().await?).await
}

/// Alice and Carol, both in `#general` of this world.
async fn general_in(world: World) -> Result<General> {
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

/// As [`in_general`], with a message of Carol's that was there before the bridge:
/// its id comes along.
async fn in_general_after_a_message(text: &str) -> Result<(General, String)> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.start_bridge = false;
    let world = World::start(options).await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let old = carol.send(&channel, text).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    Ok((general_in(world).await?, old))
}

/// A direct room with the bot, for commands.
async fn office(world: &World, whose: &MatrixUser) -> Result<String> {
    let bot = world.user_id("rocketchatbot");
    let room = whose.create_direct(&[&bot]).await?;
    whose
        .wait_for_members(&room, &[&whose.user_id, &bot])
        .await?;
    Ok(room)
}

/// A private group of Carol's, of which the bridge's account is a moderator (only so it may
/// invite there), opened on Matrix by an administrator of the bridge. Returns the group's id
/// and the Matrix room's; the administrator is in both.
async fn open_group(
    world: &World,
    carol: &RocketUser,
    boss: &MatrixUser,
    name: &str,
) -> Result<(String, String)> {
    let group = carol
        .create_group(name, &[&world.rocket_bot.username])
        .await?;
    let body = json!({ "roomId": group, "userId": world.rocket_bot.id });
    carol.post("groups.addModerator", body).await?;
    let office = office(world, boss).await?;
    boss.send_text(&office, &format!("bridge {name}")).await?;
    let bot = world.user_id("rocketchatbot");
    let invite = boss
        .wait_for_invite("the group", |invite| invite.sender == bot)
        .await?;
    let room = boss.join(&invite.room_id).await?;
    let localpart = boss.user_id[1..].split(':').next().unwrap_or_default();
    let puppet = world.puppet(localpart);
    membership::wait_for_member(world, carol, &group, &puppet, true).await?;
    Ok((group, room))
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
