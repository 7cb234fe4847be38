//! People and rooms of other homeservers.

use anyhow::Result;
use testbed::{MatrixUser, RocketUser, Sample, World, WorldOptions};

use crate::BRIDGE;

/// A world with `#general` in which so many other homeservers federate.
async fn world_with_others(others: usize) -> Result<World> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.other_homeservers = others;
    World::start(options).await
}

/// Files, edits and names between two people in a room that is mirrored.
async fn talk(
    world: &World,
    (bob, room): (&MatrixUser, &str),
    (carol, rid): (&RocketUser, &str),
) -> Result<()> {
    let puppet = world.puppet_of(&bob.user_id);
    let said = bob.send_text(room, "from afar").await?;
    let arrived = carol.wait_for_text(rid, "from afar").await?;
    assert_eq!(arrived.username, puppet, "spoken by a puppet of their own");
    bob.edit_text(room, &said, "from very far").await?;
    carol.wait_for_text(rid, "from very far").await?;
    let puppet = carol.find_user(&puppet).await?.expect("the puppet");
    assert_eq!(puppet["name"], "bob");

    let answer = carol.send(rid, "welcome").await?;
    let arrived = bob.wait_for_text(room, "welcome").await?;
    assert_eq!(arrived.sender, world.ghost("carol"));
    carol.edit(rid, &answer, "welcome here").await?;
    bob.wait_until(room, "the edit", |events| {
        let edit =
            |event: &&testbed::Event| event.content["m.new_content"]["body"] == "welcome here";
        events.iter().find(edit).map(|_| ())
    })
    .await?;

    let picture = Sample::jpeg(1, 30, 20)?;
    bob.send_captioned(room, &picture, "our hills").await?;
    let arrived = carol
        .wait_for_message(rid, "the picture", |message| message.file_link().is_some())
        .await?;
    let (_, bytes) = carol.download(arrived.file_link().expect("a file")).await?;
    assert!(bytes == picture.bytes);
    carol
        .upload(rid, "plan.txt", "text/plain", b"a plan", "")
        .await?;
    let arrived = bob
        .wait_for_message(room, "the file", |event| event.msgtype() == "m.file")
        .await?;
    let (_, bytes) = bob.download(arrived.text("/url")).await?;
    assert_eq!(bytes, b"a plan");
    Ok(())
}

#[tokio::test]
async fn somebody_of_another_homeserver_talks_in_a_channel_and_in_direct_messages() -> Result<()> {
    let world = world_with_others(1).await?;
    let other = world.other()?;
    let bob = world.other_user(other, "bob").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = bob.join(&world.alias("general")).await?;
    talk(&world, (&bob, &room), (&carol, &channel)).await?;
    let ghost = bob.profile(&world.ghost("carol")).await?;
    assert_eq!(ghost["displayname"], carol.get("me").await?["name"]);

    // From Matrix: the ghost is invited over federation.
    let direct = bob.create_direct(&[&world.ghost("carol")]).await?;
    let dm = carol.wait_for_dm(&world.puppet_of(&bob.user_id)).await?;
    talk(&world, (&bob, &direct), (&carol, &dm)).await?;

    // From Rocket.Chat: the person is invited over federation.
    let dave = world.rocket_user("dave").await?;
    let dm = dave.open_dm(&world.puppet_of(&bob.user_id)).await?;
    dave.send(&dm, "hello bob").await?;
    let ghost = world.ghost("dave");
    let invite = bob
        .wait_for_invite("a direct message", |invite| invite.sender == ghost)
        .await?;
    assert!(invite.is_direct);
    let direct = bob.join(&invite.room_id).await?;
    bob.wait_for_text(&direct, "hello bob").await?;
    bob.send_text(&direct, "hello dave").await?;
    dave.wait_for_text(&dm, "hello dave").await?;
    Ok(())
}
