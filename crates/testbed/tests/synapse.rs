//! The testbed's own promises: a Synapse that starts, keeps what it was told
//! through every kind of end, and people who see each other's messages.

use anyhow::Result;
use serde_json::json;
use testbed::{Federation, PortLease, Sample, Synapse, SynapseOptions};

#[tokio::test]
async fn people_talk_through_a_real_synapse_that_is_killed_in_between() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let synapse = Synapse::start(SynapseOptions::new(directory.path(), PortLease::any()?)).await?;
    let alice = synapse.register("alice").await?;
    let bob = synapse.register("bob").await?;
    assert_eq!(alice.user_id, "@alice:matrix.test");

    let room = alice
        .create_room(json!({ "preset": "private_chat", "invite": [bob.user_id] }))
        .await?;
    let invite = bob
        .wait_for_invite("from alice", |invite| invite.sender == alice.user_id)
        .await?;
    assert_eq!(invite.room_id, room);
    bob.join(&room).await?;
    alice
        .wait_for_members(&room, &[&alice.user_id, &bob.user_id])
        .await?;

    // People can wait side by side, each in a task of their own.
    let waiting = tokio::spawn({
        let (bob, room) = (bob.clone(), room.clone());
        async move { bob.wait_for_text(&room, "before the crash").await }
    });
    let sent = alice.send_text(&room, "before the crash").await?;
    assert_eq!(waiting.await??.event_id, sent);
    synapse.kill().await?;
    synapse.restart().await?;
    bob.send_text(&room, "after the crash").await?;
    synapse.restart().await?;
    assert_eq!(
        alice.room_texts(&room).await?,
        ["before the crash", "after the crash"],
        "a restart must keep every message, in order",
    );

    let mxc = alice
        .upload("a.txt", "application/octet-stream", *b"content")
        .await?;
    let (content_type, bytes) = bob.download(&mxc).await?;
    assert_eq!(
        (content_type.as_str(), bytes.as_slice()),
        ("application/octet-stream", &b"content"[..])
    );
    synapse.stop().await
}

#[tokio::test]
async fn two_synapses_live_side_by_side() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let options = |name: &str| -> Result<SynapseOptions> {
        Ok(SynapseOptions::new(
            directory.path().join(name),
            PortLease::any()?,
        ))
    };
    let (one, two) = tokio::try_join!(
        Synapse::start(options("one")?),
        Synapse::start(options("two")?)
    )?;
    one.register("alice").await?;
    two.register("alice").await?;
    Ok(())
}

#[tokio::test]
async fn people_send_files_and_show_their_faces() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut options = SynapseOptions::new(directory.path(), PortLease::any()?);
    options.extra_config = json!({ "max_upload_size": "100K" });
    let synapse = Synapse::start(options).await?;
    let alice = synapse.register("alice").await?;
    let bob = synapse.register("bob").await?;
    let room = alice
        .create_room(json!({ "preset": "public_chat" }))
        .await?;
    bob.join(&room).await?;

    let picture = Sample::jpeg(1, 30, 20)?;
    let sent = alice.send_captioned(&room, &picture, "a view").await?;
    let seen = bob.wait_for_text(&room, "a view").await?;
    assert_eq!(
        (seen.event_id.as_str(), seen.msgtype()),
        (sent.as_str(), "m.image")
    );
    assert_eq!(seen.text("/filename"), "photo.jpg");
    let (content_type, bytes) = bob.download(seen.text("/url")).await?;
    assert_eq!(content_type, "image/jpeg");
    assert!(bytes == picture.bytes);
    assert!(
        alice
            .upload_sample(&Sample::random(1, 200_000))
            .await
            .is_err(),
        "larger than this server takes"
    );

    let mxc = alice.upload_sample(&picture).await?;
    alice.set_avatar(&mxc).await?;
    alice.set_display_name("Alice").await?;
    let profile = bob.profile(&alice.user_id).await?;
    assert_eq!(profile["avatar_url"], mxc);
    assert_eq!(profile["displayname"], "Alice");
    alice.set_room_avatar(&room, &mxc).await?;
    let shown = bob.state_content(&room, "m.room.avatar", "").await?;
    assert_eq!(shown.unwrap_or_default()["url"], mxc);
    synapse.stop().await
}

#[tokio::test]
async fn people_of_two_synapses_meet_in_a_room_also_after_one_was_away() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (one, two) = (PortLease::any()?, PortLease::any()?);
    let peers = vec![Federation::server_name(&one), Federation::server_name(&two)];
    let start = async |name: &str, port| {
        let mut options = SynapseOptions::new(directory.path().join(name), PortLease::any()?);
        let peers = peers.clone();
        options.federation = Some(Federation { port, peers });
        Synapse::start(options).await
    };
    let (one, two) = (start("one", one).await?, start("two", two).await?);
    let alice = one.register("alice").await?;
    let bob = two.register("bob").await?;
    assert_eq!(alice.user_id, format!("@alice:{}", peers[0]));

    let room = alice
        .create_room(json!({ "preset": "public_chat", "room_alias_name": "meeting" }))
        .await?;
    let alias = format!("#meeting:{}", peers[0]);
    assert_eq!(bob.join(&alias).await?, room);
    alice.send_text(&room, "from one").await?;
    bob.wait_for_text(&room, "from one").await?;

    two.kill().await?;
    alice.send_text(&room, "while two was away").await?;
    two.restart().await?;
    bob.send_text(&room, "from two").await?;
    alice.wait_for_text(&room, "from two").await?;
    bob.wait_for_text(&room, "while two was away").await?;
    one.stop().await?;
    two.stop().await
}
