//! A mirrored channel.

use anyhow::Result;
use serde_json::json;

use crate::{General, in_general, open_group, world_with_general};

#[tokio::test]
async fn people_in_a_channel_read_each_other() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;

    alice.send_text(&room, "hello from Matrix").await?;
    let arrived = carol.wait_for_text(&channel, "hello from Matrix").await?;
    assert_eq!(
        arrived.username,
        world.puppet("alice"),
        "spoken by her own puppet"
    );

    carol.send(&channel, "hello from Rocket.Chat").await?;
    let arrived = alice.wait_for_text(&room, "hello from Rocket.Chat").await?;
    assert_eq!(
        arrived.sender,
        world.ghost("carol"),
        "spoken by her own ghost"
    );
    assert_eq!(arrived.msgtype(), "m.text");

    let profile = alice.profile(&world.ghost("carol")).await?;
    let shown = carol.get("me").await?["name"].clone();
    assert_eq!(
        profile["displayname"], shown,
        "a ghost bears the person's name"
    );
    let puppet = carol
        .find_user(&world.puppet("alice"))
        .await?
        .expect("the puppet");
    assert_eq!(puppet["name"], "alice");
    Ok(())
}

/// Rocket.Chat sends a message again for every star and preview.
#[tokio::test]
async fn a_message_that_is_sent_again_is_mirrored_once() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;

    world.rocketchat.control().repeat_frames(None, 3).await?;
    for number in 0..10 {
        carol.send(&channel, &format!("once {number}")).await?;
    }
    alice.wait_for_text(&room, "once 9").await?;
    let texts = alice.room_texts(&room).await?;
    let expected: Vec<_> = (0..10).map(|number| format!("once {number}")).collect();
    assert_eq!(texts, expected);
    Ok(())
}

#[tokio::test]
async fn edits_and_deletions_follow_their_message() -> Result<()> {
    let General {
        world: _world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;

    let event = alice.send_text(&room, "helo").await?;
    carol.wait_for_text(&channel, "helo").await?;
    alice.edit_text(&room, &event, "hello").await?;
    carol.wait_for_text(&channel, "hello").await?;
    alice.redact(&room, &event).await?;
    carol
        .wait_until(&channel, "the message to be gone", |messages| {
            let is_there = messages.iter().any(|message| message.text == "hello");
            (!is_there).then_some(())
        })
        .await?;

    let id = carol.send(&channel, "helo too").await?;
    let original = alice.wait_for_text(&room, "helo too").await?;
    carol.edit(&channel, &id, "hello too").await?;
    let edit = alice
        .wait_for_message(&room, "the edit", |event| event.new_body() == "hello too")
        .await?;
    assert_eq!(
        edit.relation(),
        Some(("m.replace", original.event_id.as_str()))
    );
    assert_eq!(edit.sender, original.sender);
    carol.delete(&channel, &id).await?;
    alice
        .wait_until(&room, "the redaction", |events| {
            let found = events
                .iter()
                .find(|event| event.event_id == original.event_id);
            found.filter(|event| event.is_redacted()).map(|_| ())
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_administrator_mirrors_a_channel_by_command() -> Result<()> {
    let world = world_with_general().await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.create_channel("tea", &[]).await?;
    let bot = world.user_id("rocketchatbot");

    let mallory = world.matrix_user("mallory").await?;
    let room = mallory.create_direct(&[&bot]).await?;
    mallory
        .wait_for_members(&room, &[&mallory.user_id, &bot])
        .await?;
    mallory.send_text(&room, "bridge tea").await?;
    mallory
        .wait_for_message(&room, "the refusal", |event| {
            event.sender == bot && event.body().contains("Only administrators")
        })
        .await?;

    // Clients encrypt direct messages by default: what is written there the bot cannot read,
    // and says what to do instead, each time.
    let algorithm = "m.megolm.v1.aes-sha2";
    let dark = mallory
        .create_room(json!({
            "preset": "trusted_private_chat", "is_direct": true, "invite": [bot],
            "initial_state": [{
                "type": "m.room.encryption", "state_key": "",
                "content": { "algorithm": algorithm },
            }],
        }))
        .await?;
    mallory
        .wait_for_message(&dark, "what to do", |event| {
            event.sender == bot && event.body().contains("new private room")
        })
        .await?;
    for text in ["c2VhcmNo", "aGVscA"] {
        let content = json!({ "algorithm": algorithm, "ciphertext": text });
        let unread = mallory
            .send_event(&dark, "m.room.encrypted", content)
            .await?;
        mallory
            .wait_for_message(&dark, "that it is unread", |event| {
                event.in_reply_to() == Some(&unread) && event.body().contains("Nothing was done")
            })
            .await?;
    }

    let admin = world.matrix_user("admin").await?;
    let room = admin.create_direct(&[&bot]).await?;
    admin
        .wait_for_members(&room, &[&admin.user_id, &bot])
        .await?;
    admin.send_text(&room, "brigde tea").await?;
    admin
        .wait_for_message(&room, "the suggestion", |event| {
            event.body().contains("`bridge`")
        })
        .await?;
    admin.send_text(&room, "bridge nowhere").await?;
    admin
        .wait_for_message(&room, "the reason", |event| {
            event.body().contains("no channel named nowhere")
        })
        .await?;
    admin.send_text(&room, "bridge tea").await?;
    let invite = admin
        .wait_for_invite("the portal of #tea", |invite| invite.sender == bot)
        .await?;
    let portal = admin.join(&invite.room_id).await?;
    carol.send(&channel, "milk?").await?;
    admin.wait_for_text(&portal, "milk?").await?;
    admin.send_text(&portal, "please").await?;
    carol.wait_for_text(&channel, "please").await?;

    admin.send_text(&room, "list").await?;
    admin
        .wait_for_message(&room, "the list", |event| {
            event.body().contains("#tea") && event.body().contains("#general")
        })
        .await?;
    assert!(
        !carol
            .room_texts(&channel)
            .await?
            .iter()
            .any(|text| text.contains("!rc")),
        "commands are not mirrored"
    );
    Ok(())
}

#[tokio::test]
async fn an_alias_opens_public_channels_only() -> Result<()> {
    let world = world_with_general().await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.create_channel("open-house", &[]).await?;
    carol
        .create_group("secret", &[&world.rocket_bot.username])
        .await?;
    let alice = world.matrix_user("alice").await?;

    let room = alice.join(&world.alias("open-house")).await?;
    alice.send_text(&room, "knock knock").await?;
    carol.wait_for_text(&channel, "knock knock").await?;
    assert!(
        alice.join(&world.alias("secret")).await.is_err(),
        "a private group has no alias"
    );
    assert!(alice.join(&world.alias("no-such-channel")).await.is_err());
    Ok(())
}

/// Whoever comes while a room is being made finds it complete.
#[tokio::test]
async fn everybody_who_follows_an_alias_at_once_gets_in() -> Result<()> {
    let world = world_with_general().await?;
    let carol = world.rocket_user("carol").await?;
    let alice = world.matrix_user("alice").await?;
    let bob = world.matrix_user("bob").await?;
    let dora = world.matrix_user("dora").await?;
    for name in ["tea", "milk", "cocoa"] {
        let channel = carol.create_channel(name, &[]).await?;
        let alias = world.alias(name);
        // Looks as often as it can, and enters in the first moment.
        let looks = async || {
            loop {
                if let Some(room) = dora.resolve_alias(&alias).await? {
                    return dora.join(&room).await;
                }
            }
        };
        let rooms = tokio::try_join!(alice.join(&alias), bob.join(&alias), looks())?;
        assert!(rooms.0 == rooms.1 && rooms.1 == rooms.2, "{rooms:?}");
        let state = alice
            .state_content(&rooms.0, "m.room.canonical_alias", "")
            .await?;
        assert_eq!(state.expect("an address")["alias"], alias);
        dora.send_text(&rooms.0, "all here").await?;
        carol.wait_for_text(&channel, "all here").await?;
    }
    Ok(())
}

/// A Matrix user has no more rights on Rocket.Chat than their puppet: the bridge's
/// own are not lent.
#[tokio::test]
async fn who_was_removed_from_a_private_group_stays_out() -> Result<()> {
    let world = world_with_general().await?;
    let carol = world.rocket_user("carol").await?;
    let admin = world.matrix_user("admin").await?;
    let (group, portal) = open_group(&world, &carol, &admin, "inner-circle").await?;
    admin.send_text(&portal, "let in").await?;
    carol.wait_for_text(&group, "let in").await?;

    let puppet = carol
        .find_user(&world.puppet("admin"))
        .await?
        .expect("the puppet");
    carol
        .post(
            "groups.kick",
            json!({ "roomId": group, "userId": puppet["_id"] }),
        )
        .await?;
    world
        .eventually("the bridge to put her out on Matrix", async || {
            let rooms = admin.joined_rooms().await?;
            Ok((!rooms.contains(&portal)).then_some(()))
        })
        .await?;
    assert!(
        admin.send_text(&portal, "still here?").await.is_err(),
        "she is out on both sides"
    );
    assert!(
        admin.join(&portal).await.is_err(),
        "and does not come back by herself"
    );
    assert!(
        !carol
            .room_texts(&group)
            .await?
            .contains(&"still here?".to_owned())
    );
    Ok(())
}

/// What was said before the portal was made belongs to those who were there.
#[tokio::test]
async fn history_from_before_the_portal_is_not_mirrored() -> Result<()> {
    let world = world_with_general().await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.create_channel("old", &[]).await?;
    carol.send(&channel, "between us").await?;
    let alice = world.matrix_user("alice").await?;
    let room = alice.join(&world.alias("old")).await?;
    carol.send(&channel, "for all").await?;
    alice.wait_for_text(&room, "for all").await?;
    assert_eq!(alice.room_texts(&room).await?, ["for all"]);
    Ok(())
}

/// Names are not identities: somebody who takes over a username gets a ghost of
/// their own.
#[tokio::test]
async fn a_username_that_changes_hands_gives_nobody_anothers_ghost() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let room = alice.join(&world.alias("general")).await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    carol.send(&channel, "I am the first").await?;
    let first = alice.wait_for_text(&room, "I am the first").await?;

    let second = world.rocket_user("dave").await?;
    for (id, username) in [(&carol.id, "carol.old"), (&second.id, "carol")] {
        let change = json!({ "userId": id, "data": { "username": username } });
        world.rocket_admin().post("users.update", change).await?;
    }
    second.join_channel("general").await?;
    second.send(&channel, "I am the second").await?;
    let other = alice.wait_for_text(&room, "I am the second").await?;
    assert_ne!(first.sender, other.sender);
    carol.send(&channel, "still the first").await?;
    let again = alice.wait_for_text(&room, "still the first").await?;
    assert_eq!(first.sender, again.sender);
    Ok(())
}
