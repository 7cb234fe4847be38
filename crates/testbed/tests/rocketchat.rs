//! The testbed's promises about the simulated Rocket.Chat: people talk, what
//! they said outlives a crash, and it misbehaves when told to.

use anyhow::Result;
use testbed::{Evidence, NewFile, PortLease, RocketSim, Rule, Sample, SimOptions};

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

#[tokio::test]
async fn people_exchange_files_and_show_their_faces() -> Result<()> {
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
    let erin = rocketchat.user("erin").await?;
    let room = carol.create_channel("gallery", &["dave"]).await?;

    let picture = Sample::png(1, 600, 400)?;
    let file = NewFile {
        description: Some("a view".to_owned()),
        text: Some("look".to_owned()),
        ..NewFile::from(picture.clone().named("über \"uns\".png"))
    };
    let id = carol.upload_file(&room, file.clone()).await?;
    let message = dave.wait_for_text(&room, "look").await?;
    assert_eq!(message.id, id);
    let attachment = &message.document["attachments"][0];
    assert_eq!(attachment["title"], "über \"uns\".png");
    assert_eq!(attachment["description"], "a view");
    let link = message.file_link().unwrap_or_default();
    let (content_type, bytes) = dave.download(link).await?;
    assert_eq!(content_type, "image/png");
    assert_eq!(testbed::sha256(&bytes), picture.sha256());
    assert_eq!(erin.fetch(link).await?.status, 403);
    let in_thread = NewFile {
        thread: Some(id.clone()),
        ..NewFile::from(Sample::wav(2))
    };
    let reply = dave.upload_in_one_step(&room, in_thread).await?;
    let replied = carol.wait_for_message(&room, "the sound", |one| one.id == reply);
    assert_eq!(replied.await?.thread(), Some(id.as_str()));

    let several = [Sample::pdf().into(), Sample::gif(3, 20, 20)?.into()];
    let id = carol.post_files(&room, "two at once", &several).await?;
    let message = dave.wait_for_text(&room, "two at once").await?;
    assert_eq!(message.id, id);
    assert_eq!(message.document["files"].as_array().map(Vec::len), Some(2));
    for (attachment, file) in [0, 1].into_iter().zip(&several) {
        let link = message.document["attachments"][attachment]["title_link"].as_str();
        let (_, bytes) = dave.download(link.unwrap_or_default()).await?;
        assert!(bytes == file.bytes);
    }

    carol.set_avatar(&picture).await?;
    assert_eq!(dave.fetch_avatar("carol").await?.content_type, "image/png");
    carol.rename("caroline").await?;
    carol.set_display_name("Caroline").await?;
    let renamed = dave.find_user("caroline").await?.unwrap_or_default();
    assert_eq!(renamed["name"], "Caroline");
    carol.reset_avatar().await?;
    let letters = dave.fetch_avatar("caroline").await?;
    assert_eq!(letters.content_type, "image/svg+xml");
    assert_eq!(letters.last_modified, "Thu, 01 Jan 2015 00:00:00 GMT");
    carol.set_room_avatar(&room, Some(&picture)).await?;
    assert_eq!(
        dave.fetch_room_avatar(&room).await?.content_type,
        "image/png"
    );
    carol.set_room_avatar(&room, None).await?;
    let letters = dave.fetch_room_avatar(&room).await?;
    assert_eq!(letters.content_type, "image/svg+xml");

    let waiting = carol.upload_unconfirmed(&room, &file).await?;
    let day = 24 * 3_600_000;
    assert_eq!(rocketchat.control().expire_files(day).await?, 3);
    let gone = carol.fetch(&format!("/file-upload/{waiting}/x")).await?;
    assert_eq!(gone.status, 404);
    rocketchat.stop().await
}
