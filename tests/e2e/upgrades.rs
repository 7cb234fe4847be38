//! Rooms of Matrix that are upgraded.

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{MatrixUser, World, WorldOptions};

use crate::{BRIDGE, Direct, General, general_in, in_direct};

/// Upgrades a room as a client does; gives the new one.
async fn upgrade(user: &MatrixUser, room: &str, version: &str) -> Result<String> {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/upgrade",
        room.replace(':', "%3A")
    );
    let body = json!({ "new_version": version });
    let answer = user.request("POST", &path, Some(&body)).await?;
    let new = answer.body["replacement_room"].as_str();
    new.map(str::to_owned)
        .ok_or_else(|| anyhow::anyhow!("not upgraded: {} {}", answer.status, answer.body))
}

/// `#general`, of version 10, with Alice in charge of it.
async fn in_old_general() -> Result<General> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.synapse_config = json!({ "default_room_version": "10" });
    let general = general_in(World::start(options).await?).await?;
    let (world, room) = (&general.world, &general.room);
    world.give_power(room, &general.alice.user_id, 100).await?;
    Ok(general)
}

async fn bridge_state(user: &MatrixUser, room: &str) -> Result<Option<Value>> {
    let state = user.state(room).await?;
    let found = state.into_iter().find(|event| event.kind == "m.bridge");
    Ok(found.map(|event| event.content))
}

/// Waits until a message of Rocket.Chat arrives in a room and an answer from there.
async fn talks(general: &General, room: &str, word: &str) -> Result<()> {
    let General {
        alice,
        carol,
        channel,
        ..
    } = general;
    carol.send(channel, &format!("{word}?")).await?;
    alice.wait_for_text(room, &format!("{word}?")).await?;
    alice.send_text(room, &format!("{word}!")).await?;
    carol.wait_for_text(channel, &format!("{word}!")).await?;
    Ok(())
}

#[tokio::test]
async fn a_channel_follows_its_room_from_version_to_version() -> Result<()> {
    let general = in_old_general().await?;
    let General {
        world,
        alice,
        carol,
        room: tenth,
        channel,
    } = &general;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    dave.send(channel, "I am here too").await?;
    alice.wait_for_text(tenth, "I am here too").await?;
    let old = carol.send(channel, "from before").await?;
    let old_event = alice.wait_for_text(tenth, "from before").await?;
    let doomed = carol.send(channel, "to be deleted").await?;
    let doomed_event = alice.wait_for_text(tenth, "to be deleted").await?;
    let said = alice.send_text(tenth, "said before").await?;
    carol.wait_for_text(channel, "said before").await?;

    let eleventh = upgrade(alice, tenth, "11").await?;
    // Killed in the middle of it.
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    alice.join(&eleventh).await?;
    // Before the bridge can have come.
    alice.send_text(&eleventh, "anybody here?").await?;
    carol.wait_for_text(channel, "anybody here?").await?;
    talks(&general, &eleventh, "eleven").await?;
    let told = |texts: &[String]| {
        let told = texts.iter().filter(|text| text.contains("was upgraded"));
        told.count()
    };
    assert_eq!(told(&carol.room_texts(channel).await?), 1);
    world
        .eventually("the state that tells of the bridge", async || {
            bridge_state(alice, &eleventh).await
        })
        .await?;
    assert_eq!(alice.join(&world.alias("general")).await?, eleventh);
    let bot = world.user_id("rocketchatbot");
    let dave = world.ghost("dave");
    let carol_ghost = world.ghost("carol");
    let all = [&*alice.user_id, &*bot, &*dave, &*carol_ghost];
    alice.wait_for_members(&eleventh, &all).await?;
    alice
        .wait_for_members(tenth, &[&alice.user_id, &bot])
        .await?;

    // What was before the upgrade.
    carol.delete(channel, &doomed).await?;
    world
        .eventually("the deletion in the old room", async || {
            let event = alice.event(tenth, &doomed_event.event_id).await?;
            Ok(event.is_redacted().then_some(()))
        })
        .await?;
    carol.edit(channel, &old, "from before, better").await?;
    alice
        .wait_for_message(&eleventh, "the edit in words", |event| {
            event.body().contains("from before, better") && event.relation().is_none()
        })
        .await?;
    let events = alice.room_events(&eleventh).await?;
    let across = events
        .iter()
        .any(|event| event.in_reply_to() == Some(&*old_event.event_id));
    assert!(!across, "relations do not reach across rooms");
    alice.redact(tenth, &said).await?;
    carol
        .wait_until(channel, "the message to be gone", |messages| {
            let is_there = messages.iter().any(|message| message.text == "said before");
            (!is_there).then_some(())
        })
        .await?;
    alice.send_text(tenth, "in the wrong room").await?;
    alice
        .wait_for_message(tenth, "where it goes on", |event| {
            event.body().contains(&eleventh)
        })
        .await?;

    // Rights follow Rocket.Chat's roles, of which she has none.
    world.give_power(&eleventh, &alice.user_id, 100).await?;
    let twelfth = upgrade(alice, &eleventh, "12").await?;
    assert!(!twelfth.contains(':'), "{twelfth}");
    alice.join(&twelfth).await?;
    talks(&general, &twelfth, "twelve").await?;
    assert_eq!(alice.join(&world.alias("general")).await?, twelfth);
    let texts = carol.room_texts(channel).await?;
    assert_eq!(told(&texts), 2);
    assert!(!texts.iter().any(|text| text == "in the wrong room"));
    Ok(())
}

#[tokio::test]
async fn a_tombstone_that_leads_nowhere_changes_nothing() -> Result<()> {
    let general = in_old_general().await?;
    let General {
        world, alice, room, ..
    } = &general;
    let bot = world.user_id("rocketchatbot");
    let elsewhere = alice
        .create_room(json!({ "preset": "public_chat" }))
        .await?;
    let closed = alice
        .create_room(json!({
            "preset": "private_chat",
            "creation_content": { "predecessor": { "room_id": room } },
        }))
        .await?;
    let tell = async |content: Value, words: &str| {
        alice
            .send_state(room, "m.room.tombstone", "", content)
            .await?;
        alice
            .wait_for_message(room, words, |event| event.body().contains(words))
            .await
    };
    let moved = |to: &str| json!({ "body": "moved", "replacement_room": to });
    tell(moved(&elsewhere), "does not say that it does").await?;
    alice
        .wait_for_members(&elsewhere, &[&alice.user_id])
        .await?;
    talks(&general, room, "still here").await?;
    tell(moved(""), "names no other").await?;
    tell(moved("!nowhere:matrix.test"), "no such room").await?;
    talks(&general, room, "not moved").await?;

    // Let in later, it follows.
    tell(moved(&closed), "I am not let in there").await?;
    talks(&general, room, "before the invitation").await?;
    alice.invite(&closed, &bot).await?;
    alice
        .wait_for_members(&closed, &[&alice.user_id, &bot, &world.ghost("carol")])
        .await?;
    talks(&general, &closed, "let in").await?;
    Ok(())
}

#[tokio::test]
async fn a_direct_message_follows_its_room() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let ghost = world.ghost("carol");
    let new = upgrade(&alice, &room, "12").await?;
    alice
        .wait_for_message(&room, "that an invitation is needed", |event| {
            event.body().contains(&ghost) && event.body().contains("I am not let in")
        })
        .await?;
    alice.invite(&new, &ghost).await?;
    alice.send_text(&new, "over here").await?;
    carol.wait_for_text(&dm, "over here").await?;
    carol.send(&dm, "here I am").await?;
    alice.wait_for_text(&new, "here I am").await?;
    alice.wait_for_members(&room, &[&alice.user_id]).await?;
    Ok(())
}
