//! Rooms of Matrix that are upgraded.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, World, WorldOptions};

use crate::membership::{
    id_of, level_of, wait_for_level, wait_for_member, wait_for_membership, wait_for_notice,
};
use crate::{BRIDGE, Direct, General, general_in, in_direct, office, open_group};

/// Upgrades a room as a client does; gives the new one.
pub(crate) async fn upgrade(user: &MatrixUser, room: &str, version: &str) -> Result<String> {
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

/// `#general`, of version 10, with Alice in charge of it on both sides.
async fn in_old_general() -> Result<General> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.synapse_config = json!({ "default_room_version": "10" });
    let general = general_in(World::start(options).await?).await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    let puppet = world.puppet("alice");
    wait_for_member(world, carol, channel, &puppet, true).await?;
    let body = json!({ "roomId": channel, "userId": id_of(carol, &puppet).await? });
    world.rocket_admin().post("channels.addOwner", body).await?;
    wait_for_level(world, alice, room, &alice.user_id, Some(100)).await?;
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
    // Where it is for something else it stays.
    let office = office(world, alice).await?;
    alice
        .wait_for_message(&office, "a greeting", |event| event.sender == bot)
        .await?;
    let refused = alice
        .send_state(room, "m.room.tombstone", "", moved(&office))
        .await?;
    alice
        .wait_for_message(room, "why not", |event| {
            event.in_reply_to() == Some(&*refused)
        })
        .await?;
    alice.send_text(&office, "help").await?;
    alice
        .wait_until(&office, "an answer", |events| {
            let said = events
                .iter()
                .filter(|event| event.sender == bot && event.kind == "m.room.message");
            (said.count() > 1).then_some(())
        })
        .await?;
    // A tombstone that is not followed holds nothing up.
    let name = json!({ "name": "renamed" });
    alice.send_state(room, "m.room.name", "", name).await?;
    let channel = &general.channel;
    world
        .eventually("the new name", async || {
            let path = format!("rooms.info?roomId={channel}");
            let info = general.carol.get(&path).await?;
            Ok((info["room"]["fname"] == "renamed").then_some(()))
        })
        .await?;

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

#[tokio::test]
async fn a_direct_message_does_not_go_on_where_others_are() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let ghost = world.ghost("carol");
    let bob = world.matrix_user("bob").await?;
    let is_not_followed = async |to: &str| {
        let told = alice
            .wait_for_message(&room, "that an invitation is needed", |event| {
                event.body().contains(to) && event.body().contains("I am not let in")
            })
            .await?;
        alice.invite(to, &ghost).await?;
        alice
            .wait_for_message(&room, "why it is not followed", |event| {
                event.body().contains("is to follow this direct message")
                    && event.origin_server_ts > told.origin_server_ts
            })
            .await?;
        alice.wait_for_members(to, &[&alice.user_id]).await
    };
    let predecessor = json!({ "predecessor": { "room_id": room } });
    let follows = async |settings: Value| {
        let mut settings = settings;
        settings["creation_content"] = predecessor.clone();
        let new = alice.create_room(settings).await?;
        let moved = json!({ "body": "moved", "replacement_room": new });
        alice
            .send_state(&room, "m.room.tombstone", "", moved)
            .await?;
        Ok::<_, anyhow::Error>(new)
    };
    let new = follows(json!({ "preset": "private_chat", "invite": [bob.user_id] })).await?;
    is_not_followed(&new).await?;
    // Nobody's ghost comes because of a name.
    let new = follows(json!({ "preset": "public_chat" })).await?;
    is_not_followed(&new).await?;
    carol.send(&dm, "between us").await?;
    alice.wait_for_text(&room, "between us").await?;
    Ok(())
}

/// Who holds which roles in a group on Rocket.Chat.
async fn roles(reader: &RocketUser, group: &str) -> Result<Vec<String>> {
    let answer = reader.get(&format!("groups.roles?roomId={group}")).await?;
    let holders = answer["roles"].as_array().context("roles")?;
    let mut roles: Vec<String> = holders
        .iter()
        .map(|holder| format!("{} {}", holder["u"]["username"], holder["roles"]))
        .collect();
    roles.sort();
    Ok(roles)
}

/// Synapse closes the old room before it is done with the new one, whoever upgrades it is
/// above all in a room of version 12, and people follow when they see it.
#[tokio::test]
async fn an_upgrade_takes_and_gives_no_rights_and_removes_nobody() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.bridge_admins = vec!["boss".into()];
    options.synapse_config = json!({ "default_room_version": "10" });
    let world = World::start(options).await?;
    let carol = world.rocket_user("carol").await?;
    let boss = world.matrix_user("boss").await?;
    let bot = world.user_id("rocketchatbot");
    let (group, tenth) = open_group(&world, &carol, &boss, "inner").await?;
    let promote = async |verb: &str, localpart: &str| {
        let id = id_of(&carol, &world.puppet(localpart)).await?;
        let body = json!({ "roomId": group, "userId": id });
        carol.post(&format!("groups.{verb}"), body).await
    };
    promote("addOwner", "boss").await?;
    wait_for_level(&world, &boss, &tenth, &boss.user_id, Some(100)).await?;
    let [alice, bob, dora] = [
        world.matrix_user("alice").await?,
        world.matrix_user("bob").await?,
        world.matrix_user("dora").await?,
    ];
    for user in [&alice, &bob, &dora] {
        boss.invite(&tenth, &user.user_id).await?;
        user.join(&tenth).await?;
    }
    for localpart in ["alice", "bob", "dora"] {
        wait_for_member(&world, &carol, &group, &world.puppet(localpart), true).await?;
    }
    promote("addModerator", "alice").await?;
    wait_for_level(&world, &boss, &tenth, &alice.user_id, Some(50)).await?;
    let ghost = world.ghost("carol");
    wait_for_level(&world, &boss, &tenth, &ghost, Some(100)).await?;
    let before = roles(&carol, &group).await?;

    // The new room lets nobody in who is not invited.
    let admin = world.rocket_admin();
    let is_as_it_was = async |old: &str| {
        wait_for_notice(&boss, old, "I am not let in there").await?;
        let rights = boss.state_content(old, "m.room.power_levels", "").await?;
        let rights = rights.context("rights")?;
        assert_eq!(rights["events_default"], 50, "Synapse has closed the room");
        // Something to look at the room for, and the sign that it was looked at.
        let topic = format!("beside {old}");
        let settings = json!({ "rid": group, "roomTopic": topic });
        carol.post("rooms.saveRoomSettings", settings).await?;
        world
            .eventually("the topic", async || {
                let shown = boss.state_content(old, "m.room.topic", "").await?;
                Ok(shown.filter(|shown| shown["topic"] == json!(topic)))
            })
            .await?;
        carol.send(&group, &format!("still in {old}")).await?;
        boss.wait_for_text(old, &format!("still in {old}")).await?;
        let room = admin
            .get(&format!("rooms.adminRooms.getRoom?rid={group}"))
            .await?;
        assert_ne!(room["ro"], true, "the group is as it was");
        let rights = boss.state_content(old, "m.room.power_levels", "").await?;
        assert_eq!(rights.context("rights")?["events_default"], 50);
        assert_eq!(roles(&carol, &group).await?, before);
        Ok::<(), anyhow::Error>(())
    };
    let eleventh = upgrade(&boss, &tenth, "11").await?;
    is_as_it_was(&tenth).await?;
    world.bridge.kill_and_restart().await?;
    is_as_it_was(&tenth).await?;
    boss.invite(&eleventh, &bot).await?;
    boss.wait_for_members(&eleventh, &[&boss.user_id, &bot, &ghost])
        .await?;

    // Those who have not come yet stay, until they leave.
    for user in [&alice, &bob, &dora] {
        let invite = user
            .wait_for_invite("the new room", |invite| invite.room_id == eleventh)
            .await?;
        assert_eq!(invite.sender, bot);
    }
    world
        .eventually("the old room to say nothing of a bridge", async || {
            let state = bridge_state(&boss, &tenth).await?;
            Ok((state == Some(json!({}))).then_some(()))
        })
        .await?;
    world.bridge.kill().await?;
    bob.leave(&eleventh).await?;
    dora.leave(&tenth).await?;
    world.bridge.restart().await?;
    wait_for_member(&world, &carol, &group, &world.puppet("bob"), false).await?;
    wait_for_member(&world, &carol, &group, &world.puppet("alice"), true).await?;
    alice.join(&eleventh).await?;
    alice.send_text(&eleventh, "I have followed").await?;
    carol.wait_for_text(&group, "I have followed").await?;
    dora.join(&eleventh).await?;
    dora.send_text(&eleventh, "me too").await?;
    carol.wait_for_text(&group, "me too").await?;
    assert_eq!(roles(&carol, &group).await?, before);
    let levels = async |room: &str| {
        let mut levels = Vec::new();
        for user in [&*boss.user_id, &*alice.user_id, &*dora.user_id, &*ghost] {
            levels.push(level_of(&boss, room, user).await?);
        }
        Ok::<_, anyhow::Error>(levels)
    };
    assert_eq!(
        levels(&eleventh).await?,
        [Some(100), Some(50), None, Some(100)]
    );

    // Who makes a room of version 12 is named nowhere in it, and above all.
    let twelfth = upgrade(&boss, &eleventh, "12").await?;
    is_as_it_was(&eleventh).await?;
    boss.invite(&twelfth, &bot).await?;
    boss.wait_for_members(&twelfth, &[&boss.user_id, &bot, &ghost])
        .await?;
    wait_for_notice(
        &boss,
        &twelfth,
        &format!("take rights from {}", boss.user_id),
    )
    .await?;
    carol.send(&group, "twelve").await?;
    boss.wait_for_text(&twelfth, "twelve").await?;
    assert_eq!(levels(&twelfth).await?, [None, Some(50), None, Some(100)]);
    assert_eq!(roles(&carol, &group).await?, before);
    promote("removeModerator", "alice").await?;
    wait_for_level(&world, &boss, &twelfth, &alice.user_id, None).await?;
    // Whoever leaves the old room without having come is gone.
    alice.leave(&eleventh).await?;
    wait_for_membership(&boss, &twelfth, &alice.user_id, "invite").await?;
    alice.leave(&twelfth).await?;
    wait_for_member(&world, &carol, &group, &world.puppet("alice"), false).await?;
    wait_for_member(&world, &carol, &group, &world.puppet("dora"), true).await?;

    // A private group does not go on where anybody may come in.
    let open = boss
        .create_room(json!({
            "preset": "public_chat",
            "creation_content": { "predecessor": { "room_id": twelfth } },
        }))
        .await?;
    let moved = json!({ "body": "moved", "replacement_room": open });
    boss.send_state(&twelfth, "m.room.tombstone", "", moved)
        .await?;
    wait_for_notice(&boss, &twelfth, "is open to others").await?;
    carol.send(&group, "among ourselves").await?;
    boss.wait_for_text(&twelfth, "among ourselves").await?;
    boss.wait_for_members(&open, &[&boss.user_id]).await?;

    // Whoever was removed and cannot be removed here reads no more.
    dora.join(&twelfth).await?;
    let id = id_of(&carol, &world.puppet("boss")).await?;
    let body = json!({ "roomId": group, "userId": id });
    carol.post("groups.kick", body).await?;
    wait_for_notice(&dora, &twelfth, "nothing from Rocket.Chat arrives").await?;
    carol
        .wait_for_message(&group, "word of it", |message| {
            message.text.contains("reaches Matrix")
        })
        .await?;
    carol.send(&group, "not for the boss").await?;
    boss.leave(&twelfth).await?;
    wait_for_membership(&dora, &twelfth, &boss.user_id, "leave").await?;
    world
        .eventually("messages to arrive again", async || {
            carol.send(&group, "without the boss").await?;
            let texts = dora.room_texts(&twelfth).await?;
            Ok(texts
                .iter()
                .any(|text| text == "without the boss")
                .then_some(()))
        })
        .await?;
    let texts = dora.room_texts(&twelfth).await?;
    assert!(!texts.iter().any(|text| text == "not for the boss"));
    Ok(())
}

#[tokio::test]
async fn who_leaves_the_old_room_of_a_channel_without_following_is_gone() -> Result<()> {
    let general = in_old_general().await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    let [bob, erin] = [
        world.matrix_user("bob").await?,
        world.matrix_user("erin").await?,
    ];
    for user in [&bob, &erin] {
        user.join(room).await?;
    }
    for localpart in ["bob", "erin"] {
        wait_for_member(world, carol, channel, &world.puppet(localpart), true).await?;
    }
    let new = upgrade(alice, room, "11").await?;
    talks(&general, &new, "eleven").await?;
    erin.leave(room).await?;
    wait_for_member(world, carol, channel, &world.puppet("erin"), false).await?;
    wait_for_member(world, carol, channel, &world.puppet("bob"), true).await?;
    // Removed on Rocket.Chat, he comes back as anybody does.
    let body = json!({ "roomId": channel, "userId": id_of(carol, &world.puppet("bob")).await? });
    world.rocket_admin().post("channels.kick", body).await?;
    wait_for_member(world, carol, channel, &world.puppet("bob"), false).await?;
    bob.join(&new).await?;
    wait_for_member(world, carol, channel, &world.puppet("bob"), true).await?;
    Ok(())
}

#[tokio::test]
async fn tombstones_that_are_nobodys_change_nothing() -> Result<()> {
    let general = in_old_general().await?;
    let General {
        world, alice, room, ..
    } = &general;
    let bot = world.matrix_bot()?;
    let other = alice
        .create_room(json!({ "preset": "public_chat", "invite": [bot.user_id] }))
        .await?;
    alice
        .wait_for_members(&other, &[&alice.user_id, &bot.user_id])
        .await?;
    let goal = alice
        .create_room(json!({
            "preset": "public_chat",
            "creation_content": { "predecessor": { "room_id": room } },
        }))
        .await?;
    let moved = json!({ "body": "moved", "replacement_room": goal });
    alice
        .send_state(&other, "m.room.tombstone", "", moved.clone())
        .await?;
    bot.send_state(room, "m.room.tombstone", "", moved).await?;
    talks(&general, room, "after it").await?;
    let name = json!({ "name": "of its own" });
    alice.send_state(room, "m.room.name", "", name).await?;
    wait_for_notice(alice, room, "there it is called of-its-own").await?;
    world.bridge.kill_and_restart().await?;
    talks(&general, room, "and later").await?;
    alice.wait_for_members(&goal, &[&alice.user_id]).await?;
    assert!(!world.bridge.logs().contains("set aside"));
    Ok(())
}
