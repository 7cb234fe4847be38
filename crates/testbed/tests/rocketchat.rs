//! The testbed's promises about the simulated Rocket.Chat: people talk, what
//! they said outlives a crash, and it misbehaves when told to.

use anyhow::Result;
use testbed::{Evidence, PortLease, RocketSim, Rule, SimOptions};

#[tokio::test]
async fn people_talk_on_a_rocketchat_that_is_killed_in_between() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let rocketchat = RocketSim::start(SimOptions {
        directory: directory.path().to_path_buf(),
        port: PortLease::any()?,
        args: Vec::new(),
        evidence: Evidence::default(),
    })
    .await?;
    let carol = rocketchat.user("carol").await?;
    let dave = rocketchat.user("dave").await?;
    let room = carol.create_channel("lounge", &[]).await?;
    assert_eq!(dave.join_channel("lounge").await?, room);
    let mut members = carol.channel_members(&room).await?;
    members.sort();
    assert_eq!(members, ["carol", "dave"]);

    let first = carol.send(&room, "before the crash").await?;
    assert_eq!(
        dave.wait_for_text(&room, "before the crash").await?.id,
        first
    );
    rocketchat.kill().await?;
    rocketchat.restart().await?;
    dave.send_in_thread(&room, &first, "after the crash")
        .await?;
    assert_eq!(
        carol.room_texts(&room).await?,
        ["before the crash", "after the crash"],
        "a restart must keep every message, in order",
    );

    let rule = Rule::on("/api/v1/chat.sendMessage")
        .username("dave")
        .times(1);
    rocketchat.control().add_rule(rule.refuse()).await?;
    assert!(dave.send(&room, "refused").await.is_err());
    assert!(
        carol.send(&room, "not meant").await.is_ok(),
        "only dave is refused"
    );
    assert!(dave.send(&room, "again").await.is_ok(), "only once");
    rocketchat.control().clear_rules().await?;
    rocketchat.stop().await
}

#[tokio::test]
async fn the_bridges_account_gets_a_token_and_direct_rooms_appear() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let rocketchat = RocketSim::start(SimOptions {
        directory: directory.path().to_path_buf(),
        port: PortLease::any()?,
        args: Vec::new(),
        evidence: Evidence::default(),
    })
    .await?;
    let (bot, token) = rocketchat.create_bridge_account("bridge.bot").await?;
    assert!(!token.is_empty() && token != bot.token);
    let carol = rocketchat.user("carol").await?;
    let room = carol.open_dm("bridge.bot").await?;
    carol.send(&room, "psst").await?;
    assert_eq!(bot.wait_for_dm("carol").await?, room);
    bot.wait_for_text(&room, "psst").await?;
    Ok(())
}
