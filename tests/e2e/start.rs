//! Starting, and refusing to.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use testbed::{World, WorldOptions};

use crate::{BRIDGE, General, in_general};

const SOON: Duration = Duration::from_secs(60);

/// The bridge started with this change to its configuration ends with an error;
/// what it said.
async fn refused(world: &World, change: impl FnOnce(&mut serde_json::Value)) -> Result<String> {
    let good = world.bridge.config()?;
    let mut config = good.clone();
    change(&mut config);
    world.bridge.write_config(&config)?;
    world.bridge.start()?;
    let status = world.bridge.wait_for_exit(SOON).await?;
    assert!(!status.success(), "the bridge must refuse");
    world.bridge.write_config(&good)?;
    Ok(world.bridge.logs())
}

/// Replaces text in the registration file while `check` runs.
fn change_registration(world: &World, from: &str, to: &str) -> Result<String> {
    let path = world.bridge.registration_path();
    let good = std::fs::read_to_string(&path)?;
    std::fs::write(&path, good.replace(from, to))?;
    Ok(good)
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_with_what_to_do() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.start_bridge = false;
    let world = World::start(options).await?;
    let path = world.bridge.registration_path();

    let said = refused(&world, |config| {
        config["homeserver"]["server_name"] = json!("other.test")
    })
    .await?;
    assert!(
        said.contains("registration"),
        "the namespaces are of another server: {said}"
    );

    let said = refused(&world, |config| {
        config["rocketchat"]["token"] = json!("wrong")
    })
    .await?;
    assert!(said.contains("rocketchat.token"), "{said}");
    assert!(!said.contains("\"wrong\""), "a token was shown: {said}");

    let good = change_registration(&world, world.bridge.as_token(), "wrong-as-token")?;
    let said = refused(&world, |_| {}).await?;
    assert!(said.contains("app_service_config_files"), "{said}");
    std::fs::write(&path, &good)?;

    change_registration(&world, world.bridge.hs_token(), "wrong-hs-token")?;
    let said = refused(&world, |_| {}).await?;
    assert!(said.contains("hs_token"), "{said}");
    std::fs::write(&path, &good)?;

    change_registration(
        &world,
        "sender_localpart: 'rocketchatbot'",
        "sender_localpart: 'other'",
    )?;
    let said = refused(&world, |_| {}).await?;
    assert!(said.contains("sender_localpart"), "{said}");
    std::fs::write(&path, &good)?;

    // And with everything right it starts.
    world.bridge.start()?;
    world.bridge.ready().await?;
    Ok(())
}

#[tokio::test]
async fn check_config_says_what_is_wrong() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.start_bridge = false;
    let world = World::start(options).await?;
    let arguments = ["check-config"];
    let (status, said) = world.bridge.run_command(&arguments).await?;
    assert!(status.success(), "{said}");

    let mut broken = world.bridge.config()?;
    broken["rocketchat"]["urll"] = json!("http://localhost");
    world.bridge.write_config(&broken)?;
    let (status, said) = world.bridge.run_command(&arguments).await?;
    assert!(!status.success());
    assert!(said.contains("`url`"), "{said}");
    Ok(())
}

/// The bridge may be started before the servers that it joins.
#[tokio::test]
async fn the_bridge_waits_for_both_servers() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    world.bridge.stop().await?;
    world.rocketchat.kill().await?;
    world.synapse.stop().await?;

    world.bridge.start()?;
    world.synapse.restart().await?;
    // The homeserver delivers although Rocket.Chat is away.
    alice.send_text(&room, "anybody?").await?;
    world.rocketchat.restart().await?;
    world.bridge.ready().await?;
    carol.wait_for_text(&channel, "anybody?").await?;
    Ok(())
}

/// Told to stop it stops, also while it waits for a server that is away.
#[tokio::test]
async fn it_stops_while_it_waits() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.start_bridge = false;
    let world = World::start(options).await?;
    world.rocketchat.kill().await?;
    world.bridge.start()?;
    world
        .eventually("the bridge to wait for Rocket.Chat", async || {
            Ok(world
                .bridge
                .logs()
                .contains("waiting for Rocket.Chat")
                .then_some(()))
        })
        .await?;
    let status = world.bridge.stop().await?;
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_it_writes_shows_a_token() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.log = "trace".into();
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    alice.send_text(&room, "hello").await?;
    carol.wait_for_text(&channel, "hello").await?;
    let logs = world.bridge.logs();
    let config = world.bridge.config()?;
    let rocket_token = config["rocketchat"]["token"].as_str().unwrap_or_default();
    for (name, secret) in [
        ("as_token", world.bridge.as_token()),
        ("hs_token", world.bridge.hs_token()),
        ("the Rocket.Chat token", rocket_token),
    ] {
        assert!(!secret.is_empty());
        // At `trace` the HTTP libraries write headers as they go.
        assert!(!logs.contains(secret), "{name} stands in the log");
    }
    Ok(())
}
