//! Rooms that are encrypted on Rocket.Chat: nobody is left to wonder, and nothing of Matrix
//! is put in clear among people who believe that nobody else reads along.

use anyhow::Result;
use serde_json::json;
use testbed::{MatrixUser, RocketUser, World, WorldOptions, synapse};

use crate::{BRIDGE, Direct, General, general_in, in_direct, in_general, open_group};

/// Switches the encryption of a room on or off.
async fn encrypt(who: &RocketUser, rid: &str, on: bool) -> Result<()> {
    let body = json!({ "rid": rid, "encrypted": on });
    who.post("rooms.saveRoomSettings", body).await?;
    Ok(())
}

/// Says something that only the people of a room can read.
async fn whisper(who: &RocketUser, rid: &str) -> Result<()> {
    let message = json!({ "rid": rid, "msg": "U2FsdGVkX1", "t": "e2e", "e2e": "pending" });
    who.send_message(message).await?;
    Ok(())
}

/// Writes on Matrix, and waits until it comes back with the reason.
async fn is_refused(who: &MatrixUser, room: &str, text: &str) -> Result<()> {
    let event = who.send_text(room, text).await?;
    who.wait_for_message(room, "the reason", |notice| {
        notice.body().contains("encrypted on Rocket.Chat")
            && notice.content["m.relates_to"]["m.in_reply_to"]["event_id"] == event.as_str()
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_group_that_is_encrypted_is_told_of_on_both_sides_and_gets_nothing_in_clear() -> Result<()>
{
    let General { world, carol, .. } = in_general().await?;
    world.change_setting("E2E_Enable", json!(true)).await?;
    let boss = world.matrix_user("admin").await?;
    let (group, room) = open_group(&world, &carol, &boss, "vault").await?;
    boss.send_text(&room, "in clear").await?;
    carol.wait_for_text(&group, "in clear").await?;

    encrypt(&carol, &group, true).await?;
    let on_matrix = "is end-to-end encrypted on Rocket.Chat";
    boss.wait_for_message(&room, "word of it", |event| {
        event.body().contains(on_matrix)
    })
    .await?;
    let on_rocketchat = "the bridge to Matrix cannot read or write";
    carol
        .wait_for_message(&group, "word of it", |message| {
            message.text.contains(on_rocketchat)
        })
        .await?;
    is_refused(&boss, &room, "kept back 1").await?;
    whisper(&carol, &group).await?;
    world.bridge.kill().await?;
    whisper(&carol, &group).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    is_refused(&boss, &room, "kept back 2").await?;

    // Off, and on again while nobody looks.
    encrypt(&carol, &group, false).await?;
    boss.wait_for_message(&room, "word of it", |event| {
        event.body().contains("no longer encrypted")
    })
    .await?;
    boss.send_text(&room, "in clear again").await?;
    carol.wait_for_text(&group, "in clear again").await?;
    carol.send(&group, "welcome back").await?;
    boss.wait_for_text(&room, "welcome back").await?;
    let count = async || -> Result<(usize, usize)> {
        let there = boss.room_texts(&room).await?;
        let here = carol.room_texts(&group).await?;
        let there = there.iter().filter(|text| text.contains(on_matrix));
        let here = here.iter().filter(|text| text.contains(on_rocketchat));
        Ok((there.count(), here.count()))
    };
    assert_eq!(count().await?, (1, 1), "said once on each side");
    world.bridge.stop().await?;
    encrypt(&carol, &group, true).await?;
    let event = boss.send_text(&room, "kept back 3").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    boss.wait_for_message(&room, "the reason", |notice| {
        notice.content["m.relates_to"]["m.in_reply_to"]["event_id"] == event.as_str()
    })
    .await?;
    world
        .eventually("both sides to be told again", async || {
            Ok((count().await? == (2, 2)).then_some(()))
        })
        .await?;
    let said = carol.room_texts(&group).await?;
    assert!(
        !said.iter().any(|text| text.contains("kept back")),
        "{said:?}"
    );
    let heard = boss.room_texts(&room).await?;
    assert!(!heard.iter().any(|text| text.contains("U2Fs")), "{heard:?}");

    // Whoever invites the bridge into such a room is told why it is not mirrored.
    let crypt = carol.create_group("crypt", &[]).await?;
    encrypt(&carol, &crypt, true).await?;
    let body = json!({ "roomId": crypt, "userId": world.rocket_bot.id });
    carol.post("groups.invite", body).await?;
    carol
        .wait_for_message(&crypt, "the reason", |message| {
            message.text.contains("it is not mirrored there")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_encrypted_direct_message_is_told_of_on_both_sides() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    world.change_setting("E2E_Enable", json!(true)).await?;
    let admin = world.rocket_admin();
    let ghost = world.ghost("carol");
    encrypt(admin, &dm, true).await?;
    whisper(&carol, &dm).await?;
    let told = |event: &testbed::Event| {
        event.sender == ghost && event.body().contains("end-to-end encrypted on Rocket.Chat")
    };
    alice.wait_for_message(&room, "word of it", told).await?;
    let told_here = |message: &testbed::RocketMessage, puppet: &str| {
        message.username == puppet && message.text.contains("This room is encrypted")
    };
    let puppet = world.puppet("alice");
    carol
        .wait_for_message(&dm, "word of it", |one| told_here(one, &puppet))
        .await?;
    is_refused(&alice, &room, "kept back").await?;
    encrypt(admin, &dm, false).await?;
    carol.send(&dm, "so?").await?;
    alice.wait_for_text(&room, "so?").await?;
    alice.send_text(&room, "so!").await?;
    carol.wait_for_text(&dm, "so!").await?;
    let said = carol.room_texts(&dm).await?;
    assert!(
        !said.iter().any(|text| text.contains("kept back")),
        "{said:?}"
    );

    // One that begins so.
    let bob = world.matrix_user("bob").await?;
    let general = bob.join(&world.alias("general")).await?;
    bob.send_text(&general, "hello").await?;
    let channel = carol.join_channel("general").await?;
    carol.wait_for_text(&channel, "hello").await?;
    let puppet = world.puppet("bob");
    let dm = carol.open_dm(&puppet).await?;
    encrypt(admin, &dm, true).await?;
    whisper(&carol, &dm).await?;
    let invite = bob
        .wait_for_invite("Carol's room", |invite| invite.sender == ghost)
        .await?;
    let room = bob.join(&invite.room_id).await?;
    bob.wait_for_message(&room, "word of it", told).await?;
    carol
        .wait_for_message(&dm, "word of it", |one| told_here(one, &puppet))
        .await?;
    Ok(())
}

#[tokio::test]
async fn nothing_leaves_in_clear_although_nobody_on_matrix_can_be_told() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.synapse_config = synapse::with_policy();
    let General { world, carol, .. } = general_in(World::start(options).await?).await?;
    world.change_setting("E2E_Enable", json!(true)).await?;
    let boss = world.matrix_user("admin").await?;
    let (group, room) = open_group(&world, &carol, &boss, "vault").await?;
    boss.send_text(&room, "in clear").await?;
    carol.wait_for_text(&group, "in clear").await?;
    world
        .synapse
        .refuse(&[("is end-to-end encrypted", "M_TOO_LARGE")])?;
    encrypt(&carol, &group, true).await?;
    carol
        .wait_for_message(&group, "word of it", |message| {
            message.text.contains("This room is encrypted")
        })
        .await?;
    is_refused(&boss, &room, "kept back").await?;
    world.bridge.restart().await?;
    is_refused(&boss, &room, "kept back, too").await?;
    let said = carol.room_texts(&group).await?;
    assert!(
        !said.iter().any(|text| text.contains("kept back")),
        "{said:?}"
    );
    Ok(())
}
