//! What differs between versions and set-ups of Rocket.Chat.

use anyhow::Result;
use testbed::{World, WorldOptions};

use crate::BRIDGE;

/// Text both ways in a channel and in direct messages begun by either side.
async fn people_talk(sim_args: &[&str], extra_config: serde_json::Value) -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.sim_args = sim_args.iter().map(|&argument| argument.into()).collect();
    options.extra_config = extra_config;
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    alice.send_text(&room, "to the channel").await?;
    carol.wait_for_text(&channel, "to the channel").await?;
    let event = alice.send_text(&room, "to be taken back").await?;
    carol.wait_for_text(&channel, "to be taken back").await?;
    alice.redact(&room, &event).await?;
    carol.send(&channel, "from the channel").await?;
    alice.wait_for_text(&room, "from the channel").await?;

    let dm = carol.open_dm(&world.puppet("alice")).await?;
    carol.send(&dm, "privately").await?;
    let ghost = world.ghost("carol");
    let invite = alice
        .wait_for_invite("a direct message", |invite| invite.sender == ghost)
        .await?;
    let direct = alice.join(&invite.room_id).await?;
    alice.wait_for_text(&direct, "privately").await?;
    alice.send_text(&direct, "in confidence").await?;
    carol.wait_for_text(&dm, "in confidence").await?;
    carol
        .wait_until(&channel, "the message to be gone", |messages| {
            let is_there = messages
                .iter()
                .any(|message| message.text == "to be taken back");
            (!is_there).then_some(())
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn version_7_is_served() -> Result<()> {
    people_talk(&["--version-profile", "7.7"], serde_json::json!({})).await
}

#[tokio::test]
async fn version_8_is_served_with_its_secret_for_tokens() -> Result<()> {
    people_talk(
        &[
            "--version-profile",
            "8.0",
            "--create-tokens-secret",
            "open sesame",
        ],
        serde_json::json!({ "rocketchat": { "create_token_secret": "open sesame" } }),
    )
    .await
}

/// Without the server's leave to hand out tokens, puppets log in by password.
#[tokio::test]
async fn a_server_that_hands_out_no_tokens_is_served() -> Result<()> {
    people_talk(&["--no-create-tokens"], serde_json::json!({})).await
}

/// Ten requests a minute for everybody who is not exempt, newer wording of the
/// engine's errors, refusals that take their time.
#[tokio::test]
async fn a_server_with_limits_is_served() -> Result<()> {
    people_talk(
        &["--rate-limits", "--new-engine-wording", "--delay-denials"],
        serde_json::json!({}),
    )
    .await
}

/// Logins over REST are limited to ten a minute for all accounts behind one
/// address: the bridge does not make people wait for that.
#[tokio::test]
async fn more_people_than_the_limit_of_logins_speak_at_once() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.sim_args = ["--no-create-tokens", "--rate-limits"]
        .map(Into::into)
        .into();
    let world = World::start(options).await?;
    let mut people = Vec::new();
    for number in 0..14 {
        let user = world.matrix_user(&format!("m{number}")).await?;
        let room = user.join(&world.alias("general")).await?;
        people.push((user, room));
    }
    let began = std::time::Instant::now();
    for (user, room) in &people {
        user.send_text(room, &format!("I am {}", user.localpart()))
            .await?;
    }
    let admin = world.rocket_admin();
    let channel = world.channel("general")?;
    for (user, _) in &people {
        admin
            .wait_for_text(channel, &format!("I am {}", user.localpart()))
            .await?;
    }
    assert!(
        began.elapsed().as_secs() < 45,
        "they waited for the next minute"
    );
    Ok(())
}
