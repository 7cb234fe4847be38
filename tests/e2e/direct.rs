//! Direct messages, started from either side.

use anyhow::Result;
use serde_json::json;
use testbed::{World, WorldOptions};

use crate::{Direct, in_direct, world_with_general};

#[tokio::test]
async fn a_matrix_user_writes_to_somebody_on_rocketchat() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;

    let room = alice.create_direct(&[&world.ghost("carol")]).await?;
    // Written before the ghost can have come.
    let sticker = json!({ "body": "wave", "info": {} });
    alice.send_event(&room, "m.sticker", sticker).await?;
    alice.send_text(&room, "are you there?").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "[sticker: wave]").await?;
    carol.wait_for_text(&dm, "are you there?").await?;
    carol.send(&dm, "yes").await?;
    let answer = alice.wait_for_text(&room, "yes").await?;
    assert_eq!(answer.sender, world.ghost("carol"));
    for number in 0..5 {
        alice.send_text(&room, &format!("line {number}")).await?;
        carol.send(&dm, &format!("reply {number}")).await?;
    }
    carol.wait_for_text(&dm, "line 4").await?;
    alice.wait_for_text(&room, "reply 4").await?;
    let written: Vec<_> = carol.room_texts(&dm).await?;
    assert_eq!(
        written
            .iter()
            .filter(|text| *text == "are you there?")
            .count(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_rocketchat_user_writes_to_somebody_on_matrix() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    // A puppet comes into being when its user first speaks.
    let channel = carol.join_channel("general").await?;
    let general = alice.join(&world.alias("general")).await?;
    alice.send_text(&general, "here I am").await?;
    carol.wait_for_text(&channel, "here I am").await?;

    let dm = carol.open_dm(&world.puppet("alice")).await?;
    carol.send(&dm, "hello alice").await?;
    carol.send(&dm, "just us two").await?;
    let ghost = world.ghost("carol");
    let invite = alice
        .wait_for_invite("a direct message", |invite| invite.sender == ghost)
        .await?;
    assert!(invite.is_direct, "Element shows it among people");
    let room = alice.join(&invite.room_id).await?;
    alice.wait_for_text(&room, "just us two").await?;
    assert_eq!(
        alice.room_texts(&room).await?,
        ["hello alice", "just us two"]
    );
    alice.send_text(&room, "hello carol").await?;
    let answer = carol.wait_for_text(&dm, "hello carol").await?;
    assert_eq!(answer.username, world.puppet("alice"));
    Ok(())
}

/// Whoever leaves is asked again when the other side writes.
#[tokio::test]
async fn somebody_who_left_a_direct_message_is_invited_again() -> Result<()> {
    let Direct {
        world: _world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    carol.wait_for_text(&dm, "hi").await?;
    alice.leave(&room).await?;
    carol.send(&dm, "gone so soon?").await?;
    let invite = alice
        .wait_for_invite("back into the room", |invite| invite.room_id == room)
        .await?;
    assert!(invite.is_direct);
    alice.join(&room).await?;
    alice.wait_for_text(&room, "gone so soon?").await?;
    alice.send_text(&room, "back again").await?;
    carol.wait_for_text(&dm, "back again").await?;
    Ok(())
}

/// Killed at any point of its making, a direct message has one room.
#[tokio::test]
async fn a_direct_message_whose_making_is_interrupted_is_not_doubled() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let general = alice.join(&world.alias("general")).await?;
    alice.send_text(&general, "here I am").await?;
    carol.wait_for_text(&channel, "here I am").await?;
    let dm = carol.open_dm(&world.puppet("alice")).await?;
    carol.send(&dm, "hello alice").await?;
    let ghost = world.ghost("carol");
    alice
        .wait_for_invite("a direct message", |invite| invite.sender == ghost)
        .await?;
    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    carol.send(&dm, "are you there?").await?;
    let invites = alice.invites().await?;
    let rooms: Vec<_> = invites
        .iter()
        .filter(|invite| invite.sender == ghost)
        .collect();
    assert_eq!(rooms.len(), 1, "one direct message, one room");
    let room = alice.join(&rooms[0].room_id).await?;
    alice.wait_for_text(&room, "are you there?").await?;
    assert_eq!(
        alice.room_texts(&room).await?,
        ["hello alice", "are you there?"]
    );
    assert!(alice.invites().await?.is_empty());
    Ok(())
}

/// Nothing but a socket of the puppet tells of these.
#[tokio::test]
async fn edits_and_deletions_in_a_direct_message_follow() -> Result<()> {
    let Direct {
        world: _world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let edited = carol.send(&dm, "helo").await?;
    let deleted = carol.send(&dm, "oops").await?;
    let gone = alice.wait_for_text(&room, "oops").await?;
    carol.edit(&dm, &edited, "hello").await?;
    alice
        .wait_for_message(&room, "the edit", |event| event.new_body() == "hello")
        .await?;
    carol.delete(&dm, &deleted).await?;
    alice
        .wait_until(&room, "the redaction", |events| {
            let found = events.iter().find(|event| event.event_id == gone.event_id);
            found.filter(|event| event.is_redacted()).map(|_| ())
        })
        .await?;
    Ok(())
}

/// A connection can be dead long before anybody notices: the look does not rely on
/// it.
#[tokio::test]
async fn a_socket_that_fell_silent_does_not_hold_up_a_direct_message() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    carol.send(&dm, "heard").await?;
    alice.wait_for_text(&room, "heard").await?;
    let puppet = world.puppet("alice");
    let control = world.rocketchat.control();
    world
        .eventually("the puppet's socket", async || {
            let muted = control.mute_sockets(Some(&puppet), true).await?;
            Ok((muted > 0).then_some(()))
        })
        .await?;
    carol.send(&dm, "into the silence").await?;
    // Well before the silence itself is noticed, after 30 s.
    let soon = std::time::Duration::from_secs(15);
    alice
        .wait_until_within(soon, &room, "the message", |events| {
            events
                .iter()
                .any(|event| event.body() == "into the silence")
                .then_some(())
        })
        .await
}

/// The same two people have one direct message, whoever begins, however often.
#[tokio::test]
async fn a_direct_message_that_exists_is_found_again() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let first = alice.create_direct(&[&world.ghost("carol")]).await?;
    alice.send_text(&first, "first room").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "first room").await?;

    let second = alice.create_direct(&[&world.ghost("carol")]).await?;
    alice
        .wait_for_members(&second, &[&alice.user_id, &world.ghost("carol")])
        .await?;
    alice.send_text(&second, "second room").await?;
    carol.wait_for_text(&dm, "second room").await?;
    carol.send(&dm, "where now?").await?;
    alice.wait_for_text(&second, "where now?").await?;
    assert!(
        !alice
            .room_texts(&first)
            .await?
            .contains(&"where now?".to_owned()),
        "said in one room only"
    );
    Ok(())
}

#[tokio::test]
async fn a_ghost_that_stands_for_nobody_declines_and_says_why() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let nobody = world.ghost("nobody");
    let room = alice.create_direct(&[&nobody]).await?;
    alice
        .wait_until(&room, "the reason", |events| {
            events
                .iter()
                .find(|event| {
                    event.state_key.as_deref() == Some(nobody.as_str())
                        && event.text("/membership") == "leave"
                })
                .filter(|event| event.text("/reason").contains("no such person"))
                .map(|_| ())
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_encrypted_direct_message_is_declined_aloud() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    world.rocket_user("carol").await?;
    let ghost = world.ghost("carol");
    let encryption = json!({
        "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    });
    let room = alice
        .create_room(json!({
            "is_direct": true, "preset": "trusted_private_chat",
            "invite": [ghost], "initial_state": [encryption],
        }))
        .await?;
    alice
        .wait_for_message(&room, "the notice", |event| {
            event.sender == ghost && event.body().contains("encrypted")
        })
        .await?;
    Ok(())
}

/// What the program writes for the homeserver, and the token in it.
pub(crate) fn second_registration(
    directory: &std::path::Path,
) -> Result<(std::path::PathBuf, String)> {
    let (config, written) = (directory.join("config.yaml"), directory.join("double.yaml"));
    let content = json!({
        "homeserver": {
            "url": "http://localhost:8008", "server_name": testbed::Synapse::SERVER_NAME,
        },
        "rocketchat": { "url": "http://localhost:3000", "user_id": "u", "token": "t" },
    });
    std::fs::write(&config, content.to_string())?;
    let status = std::process::Command::new(crate::BRIDGE)
        .args(["registration", "--double-puppeting", "--config"])
        .arg(&config)
        .arg("--output")
        .arg(&written)
        .status()?;
    assert!(status.success());
    let text = std::fs::read_to_string(&written)?;
    let token = text
        .lines()
        .find_map(|line| line.strip_prefix("as_token: "));
    let token = token.expect("a token").trim_matches('\'').to_owned();
    Ok((written, token))
}

/// With the administrator's leave, also those that somebody on Rocket.Chat began.
#[tokio::test]
async fn clients_of_matrix_know_direct_messages_as_such() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (registration, token) = second_registration(directory.path())?;
    let mut options = WorldOptions::new(crate::BRIDGE);
    options.channels = vec!["general".into()];
    options.more_registrations = vec![registration];
    options.extra_config = json!({ "appservice": { "double_puppet_token": token } });
    let world = World::start(options).await?;
    let (alice, bob) = (
        world.matrix_user("alice").await?,
        world.matrix_user("bob").await?,
    );
    let carol = world.rocket_user("carol").await?;
    let dave = world.rocket_user("dave").await?;
    carol.set_display_name("Carol C.").await?;
    let (ghost_carol, ghost_dave) = (world.ghost("carol"), world.ghost("dave"));
    let marks_of = async |user: &testbed::MatrixUser| {
        let path = format!(
            "/_matrix/client/v3/user/{}/account_data/m.direct",
            user.user_id
        );
        Ok::<_, anyhow::Error>(user.request("GET", &path, None).await?.body)
    };
    let wait_for_marks = async |user: &testbed::MatrixUser, expected: serde_json::Value| {
        let what = format!("{} has the marks {expected}", user.user_id);
        world
            .eventually(&what, async || {
                Ok((marks_of(user).await? == expected).then_some(()))
            })
            .await
    };

    // By somebody whose client does not do it; what stood there stays.
    let other = json!({ "@other:example.org": ["!other:example.org"] });
    let path = format!(
        "/_matrix/client/v3/user/{}/account_data/m.direct",
        alice.user_id
    );
    alice.request("PUT", &path, Some(&other)).await?;
    let room = alice
        .create_room(json!({
            "preset": "trusted_private_chat", "is_direct": true, "invite": [ghost_carol],
        }))
        .await?;
    let mut with_room = other.clone();
    with_room[&ghost_carol] = json!([room]);
    wait_for_marks(&alice, with_room.clone()).await?;

    // By somebody on Rocket.Chat.
    let desk = carol.open_dm(World::ROCKET_BOT).await?;
    carol.send(&desk, &format!("dm {}", bob.user_id)).await?;
    let invite = bob
        .wait_for_invite("carol's room", |invite| invite.sender == ghost_carol)
        .await?;
    let mut marks = json!({});
    marks[&ghost_carol] = json!([invite.room_id]);
    wait_for_marks(&bob, marks).await?;
    let bobs = bob.join(&invite.room_id).await?;
    // What clients call it, and show for it.
    assert_eq!(bob.heroes(&bobs).await?, std::slice::from_ref(&ghost_carol));
    let members = bob.joined_members(&bobs).await?;
    assert_eq!(members[&ghost_carol]["display_name"], "Carol C.");

    // Once others come, it is none any more.
    alice.send_text(&room, "hi").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "hi").await?;
    alice.invite(&room, &ghost_dave).await?;
    let group = dave.wait_for_group(&[]).await?;
    dave.send(&group, "now we are three").await?;
    alice.wait_for_text(&room, "now we are three").await?;
    wait_for_marks(&alice, other).await?;
    // Who takes a mark away is left alone.
    let path = format!(
        "/_matrix/client/v3/user/{}/account_data/m.direct",
        bob.user_id
    );
    bob.request("PUT", &path, Some(&json!({}))).await?;
    world.bridge.kill_and_restart().await?;
    carol.send(&desk, &format!("dm {}", alice.user_id)).await?;
    let third = alice
        .wait_for_invite("the next", |invite| invite.sender == ghost_carol)
        .await?;
    let mut marks = json!({ "@other:example.org": ["!other:example.org"] });
    marks[&ghost_carol] = json!([third.room_id]);
    wait_for_marks(&alice, marks).await?;
    assert_eq!(marks_of(&bob).await?, json!({}));
    Ok(())
}
