//! What becomes of rooms that were joined: they are upgraded, their channel gets more rooms,
//! discussions are begun in it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, World};

use crate::membership::{wait_for_membership, wait_for_notice};
use crate::plumbing::{alone, ask, ask_there, hall, proposal_here, proposal_there, talk, world};
use crate::upgrades::upgrade;

/// A room and a channel that are joined.
async fn joined(
    world: &World,
    alice: &MatrixUser,
    (carol, tea): (&RocketUser, &str),
    options: Value,
) -> Result<String> {
    let room = hall(world, alice, options).await?;
    ask(alice, &room, "bridge tea", "Proposed").await?;
    let (code, _) = proposal_there(carol, tea).await?;
    ask_there(carol, tea, &format!("approve {code}"), "Approved").await?;
    wait_for_notice(alice, &room, "is joined with tea").await?;
    Ok(room)
}

#[tokio::test]
async fn a_joined_room_that_is_upgraded_is_followed_as_far_as_both_have_agreed() -> Result<()> {
    // All rooms are on this homeserver only, also those that the bridge makes.
    let world = world(|options| {
        options.extra_config = json!({ "bridge": { "federate": false } });
    })
    .await?;
    let alice = world.matrix_user("alice").await?;
    let guest = world.matrix_user("guest").await?;
    let carol = world.rocket_user("carol").await?;
    let tea = carol.create_channel("tea", &[]).await?;
    let bot = world.user_id("rocketchatbot");
    let room = joined(&world, &alice, (&carol, &tea), alone("public_chat")).await?;
    talk((&guest, &room), (&carol, &tea), "before").await?;

    let new = upgrade(&alice, &room, "12").await?;
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    alice.join(&new).await?;
    wait_for_notice(&alice, &new, "is joined with tea").await?;
    carol
        .wait_for_message(&tea, "that it goes on", |message| {
            message.text.contains("was upgraded") && message.text.contains("joined with")
        })
        .await?;
    guest.join(&new).await?;
    talk((&guest, &new), (&carol, &tea), "after").await?;
    wait_for_membership(&alice, &room, &world.ghost("carol"), "leave").await?;
    let name = alice.state_content(&new, "m.room.name", "").await?;
    assert_eq!(name.context("a name")?["name"], "Hall");

    // It ends there as it would have before.
    ask_there(&carol, &tea, "unbridge", "no longer").await?;
    wait_for_notice(&alice, &new, "no longer joined").await?;
    wait_for_membership(&alice, &new, &bot, "leave").await?;

    // Where more people would read along, or another bridge is, it does not go on.
    let club = carol.create_group("club", &[World::ROCKET_BOT]).await?;
    let closed = hall(&world, &alice, alone("private_chat")).await?;
    ask_there(&carol, &club, &format!("bridge {closed}"), "Proposed").await?;
    let (code, _) = proposal_here(&alice, &closed).await?;
    ask(&alice, &closed, &format!("approve {code}"), "Approved").await?;
    wait_for_notice(&alice, &closed, "is joined with club").await?;
    let not_followed = async |settings: Value, why: &str| {
        let mut settings = settings;
        settings["creation_content"] =
            json!({ "m.federate": false, "predecessor": { "room_id": closed } });
        settings["room_version"] = "11".into();
        settings["invite"] = json!([bot]);
        settings["power_level_content_override"] = json!({ "users": {
            (alice.user_id.as_str()): 100, (bot.as_str()): 50,
        } });
        let next = alice.create_room(settings).await?;
        let moved = json!({ "body": "moved", "replacement_room": next });
        alice
            .send_state(&closed, "m.room.tombstone", "", moved)
            .await?;
        wait_for_notice(&alice, &closed, why).await
    };
    not_followed(json!({ "preset": "public_chat" }), "more than both sides").await?;
    let irc = json!({ "protocol": { "id": "irc", "displayname": "IRC" } });
    let served = json!([{ "type": "m.bridge", "state_key": "irc", "content": irc }]);
    let served = json!({ "preset": "private_chat", "initial_state": served });
    not_followed(served, "Another bridge (IRC)").await?;
    talk((&alice, &closed), (&carol, &club), "still here").await?;
    Ok(())
}

#[tokio::test]
async fn people_of_a_joined_room_hear_of_discussions_and_of_who_reads_along() -> Result<()> {
    let world = world(|options| {
        options.extra_config = json!({ "bridge": { "open_by_alias": false } });
    })
    .await?;
    let alice = world.matrix_user("alice").await?;
    let admin = world.matrix_user("admin").await?;
    let carol = world.rocket_user("carol").await?;
    let tea = carol.create_channel("tea", &[]).await?;
    let bot = world.user_id("rocketchatbot");
    let room = joined(&world, &alice, (&carol, &tea), alone("public_chat")).await?;
    // Its people did not agree that other homeservers keep what they write.
    let far = hall(&world, &alice, json!({ "preset": "public_chat" })).await?;
    ask(&alice, &far, "bridge tea", "its people did not agree").await?;

    // No room of the bridge's own is made for what is only joined.
    let discuss = async |title: &str| {
        let body = json!({ "prid": tea, "t_name": title, "users": [] });
        carol.post("rooms.createDiscussion", body).await
    };
    discuss("Cups").await?;
    let said = alice
        .wait_for_message(&room, "the discussion", |event| {
            event.body().contains("started a discussion")
        })
        .await?;
    assert_eq!(said.body(), "started a discussion on Rocket.Chat: Cups");
    assert_eq!(said.sender, world.ghost("carol"));

    // A pattern of the configuration means the channel as its name would.
    ensure!(
        alice.resolve_alias(&world.alias("tea")).await?.is_none(),
        "nobody has asked for it"
    );
    let mut config = world.bridge.config()?;
    config["bridge"]["channels"] = json!(["te*"]);
    world.bridge.stop().await?;
    world.bridge.write_config(&config)?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let told = wait_for_notice(&alice, &room, "One more room on Matrix").await?;
    let own = world
        .eventually("the bridge's own room", async || {
            admin.resolve_alias(&world.alias("tea")).await
        })
        .await?;
    ensure!(told.body().contains(&own), "{}", told.body());
    for part in ["Anybody can enter", "Other homeservers keep it"] {
        ensure!(told.body().contains(part), "{part}: {}", told.body());
    }
    // From now on one more room does not have to be kept by others itself.
    let third = hall(&world, &alice, alone("public_chat")).await?;
    let means = ask(&alice, &third, "bridge tea", "--confirm federated").await?;
    ensure!(
        means.contains("the room Hall on Matrix, which is only on this homeserver"),
        "{means}"
    );
    admin.join(&own).await?;
    carol.send(&tea, "to all").await?;
    for (user, room) in [(&alice, &room), (&admin, &own)] {
        user.wait_for_text(room, "to all").await?;
    }
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    talk((&alice, &room), (&carol, &tea), "again").await?;
    let texts = alice.room_texts(&room).await?;
    let told = texts.iter().filter(|text| text.contains("One more room"));
    assert_eq!(told.count(), 1, "{texts:?}");

    // Its end is not that of the channel's other room.
    let office = admin.create_direct(&[&bot]).await?;
    admin
        .wait_for_members(&office, &[&admin.user_id, &bot])
        .await?;
    // By its name alone it is not known which of them is meant.
    admin.send_text(&office, "unbridge tea").await?;
    let which = wait_for_notice(&admin, &office, "Which is to be ended?").await?;
    for room in [&room, &own] {
        let command = format!("`unbridge {room}`");
        ensure!(which.body().contains(&command), "{}", which.body());
    }
    admin.send_text(&office, &format!("unbridge {own}")).await?;
    wait_for_notice(&admin, &office, "stay connected with tea").await?;
    let over = wait_for_notice(&admin, &own, "no longer connected").await?;
    ensure!(over.body().contains("stays joined"), "{}", over.body());
    carol
        .wait_for_message(&tea, "which room it is", |message| {
            message.text.contains("no longer connected with the room")
                && message.text.contains("another room there stays")
        })
        .await?;
    wait_for_membership(&admin, &own, &bot, "leave").await?;
    talk((&alice, &room), (&carol, &tea), "still joined").await?;
    Ok(())
}
