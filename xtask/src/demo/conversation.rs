//! What is said in the demo, and what the others see of it.

use std::time::Instant;

use anyhow::Result;
use testbed::{MatrixUser, RocketUser};

use super::{CHANNEL, Stage};

/// Everybody says something; every line is printed as the other side sees it.
pub(super) async fn hold(stage: &Stage) -> Result<()> {
    let Stage {
        alice,
        bob,
        carol,
        dave,
        room,
        channel,
        ..
    } = stage;
    println!("\nA conversation in #{CHANNEL}");

    carol_says(stage, carol, "Hello Matrix! This is Carol, on Rocket.Chat.").await?;
    alice_says(stage, alice, "Hello Carol, you arrive here. Do I?").await?;
    carol_says(stage, dave, "You do. Dave here, reading along.").await?;

    println!("\n  bob says, and corrects himself");
    let began = Instant::now();
    let typo = bob.send_text(room, "See you at fife").await?;
    let seen = carol.wait_for_text(channel, "See you at fife").await?;
    saw(began, "carol", &seen.username, &seen.text);
    let began = Instant::now();
    bob.edit_text(room, &typo, "See you at five").await?;
    let seen = carol.wait_for_text(channel, "See you at five").await?;
    saw(began, "carol", &seen.username, &seen.text);

    println!("\n  alice writes to carol alone");
    let began = Instant::now();
    let carols_ghost = stage.world.ghost(&carol.username);
    let direct = alice.create_direct(&[&carols_ghost]).await?;
    alice.send_text(&direct, "Just between us: lunch?").await?;
    let alices_puppet = stage.world.puppet(alice.localpart());
    let dm = carol.wait_for_dm(&alices_puppet).await?;
    let seen = carol.wait_for_text(&dm, "Just between us: lunch?").await?;
    saw(began, "carol", &seen.username, &seen.text);
    let began = Instant::now();
    carol.send(&dm, "With pleasure!").await?;
    let seen = alice.wait_for_text(&direct, "With pleasure!").await?;
    saw(began, "alice", &seen.sender, seen.body());
    println!();
    Ok(())
}

async fn carol_says(stage: &Stage, speaker: &RocketUser, text: &str) -> Result<()> {
    println!("\n  {} says on Rocket.Chat: {text}", speaker.username);
    let began = Instant::now();
    speaker.send(&stage.channel, text).await?;
    let seen = stage.alice.wait_for_text(&stage.room, text).await?;
    saw(began, "alice", &seen.sender, seen.body());
    Ok(())
}

async fn alice_says(stage: &Stage, speaker: &MatrixUser, text: &str) -> Result<()> {
    println!("\n  {} says on Matrix: {text}", speaker.localpart());
    let began = Instant::now();
    speaker.send_text(&stage.room, text).await?;
    let seen = stage.carol.wait_for_text(&stage.channel, text).await?;
    saw(began, "carol", &seen.username, &seen.text);
    Ok(())
}

fn saw(began: Instant, who: &str, sender: &str, text: &str) {
    let milliseconds = began.elapsed().as_millis();
    println!("    {who} sees: {sender}: {text}   ({milliseconds} ms)");
}
