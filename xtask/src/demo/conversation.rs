//! What is said in the demo, and what the others see of it.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use testbed::{MatrixUser, RocketUser, Sample};

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

    println!("\n  alice answers, dave gives it a thumb");
    let began = Instant::now();
    let question = "Who brings the cake?";
    carol.send(channel, question).await?;
    let asked = alice.wait_for_text(room, question).await?;
    let answer = "I do.";
    let answered = alice.reply(room, &asked.event_id, answer).await?;
    let seen = carol
        .wait_until(channel, "the answer", |messages| {
            let is_answer = |text: &str| text.ends_with(answer);
            messages
                .iter()
                .find(|message| is_answer(&message.text))
                .cloned()
        })
        .await?;
    let quoted = seen.document["attachments"][0]["text"].as_str();
    let quoted = quoted.unwrap_or_default();
    saw(
        began,
        "carol",
        &seen.username,
        &format!("“{quoted}” {answer}"),
    );
    let began = Instant::now();
    dave.react(&seen.id, ":thumbsup:", true).await?;
    let daves_ghost = stage.world.ghost(&dave.username);
    alice
        .wait_for_reactions(room, &answered, &[(&daves_ghost, "👍")])
        .await?;
    saw(began, "alice", &daves_ghost, "👍");

    picture_from_carol(stage).await?;
    picture_from_alice(stage).await?;

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

async fn picture_from_carol(stage: &Stage) -> Result<()> {
    println!("\n  carol sends a picture");
    let picture = Sample::png(1, 320, 200)?.named("cake.png");
    let began = Instant::now();
    stage
        .carol
        .upload_file(&stage.channel, picture.clone().into())
        .await?;
    let seen = stage
        .alice
        .wait_until(&stage.room, "the picture", |events| {
            events
                .iter()
                .find(|event| event.msgtype() == "m.image")
                .cloned()
        })
        .await?;
    saw(began, "alice", &seen.sender, &format!("[{}]", seen.body()));
    let (_, bytes) = stage.alice.download(seen.text("/url")).await?;
    ensure!(bytes == picture.bytes, "the picture is another");
    Ok(())
}

async fn picture_from_alice(stage: &Stage) -> Result<()> {
    println!("\n  alice sends one back");
    let picture = Sample::jpeg(2, 320, 200)?.named("candles.jpg");
    let began = Instant::now();
    let room = &stage.room;
    stage
        .alice
        .send_captioned(room, &picture, "With candles")
        .await?;
    let seen = stage
        .carol
        .wait_for_text(&stage.channel, "With candles")
        .await?;
    let link = seen.file_link().context("a message without its file")?;
    let shown = format!("[{}] {}", picture.name, seen.text);
    saw(began, "carol", &seen.username, &shown);
    let (_, bytes) = stage.carol.download(link).await?;
    ensure!(bytes == picture.bytes, "the picture is another");
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
