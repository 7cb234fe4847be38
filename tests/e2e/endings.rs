//! Portals end: at somebody's wish, or because one of the two rooms is gone.

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, Rule, World, WorldOptions, mentions, pill};

use crate::direct::second_registration;
use crate::{BRIDGE, General, general_in, in_general, office};

/// What tells that a room is bridged.
const BRIDGE_STATE: [&str; 2] = ["m.bridge", "uk.half-shot.bridge"];

/// Waits until nobody of the bridge is in a room any more.
async fn wait_until_left(world: &World, member: &MatrixUser, room: &str) -> Result<()> {
    let ours = |user: &String| {
        user.starts_with("@_rocketchat_") || *user == world.user_id("rocketchatbot")
    };
    let what = "the bridge to have left";
    world
        .eventually(what, async || {
            let members = member.joined_members(room).await?;
            Ok((!members.keys().any(ours)).then_some(()))
        })
        .await
}

/// Waits until no puppet is in a channel any more.
async fn wait_until_puppets_left(world: &World, member: &RocketUser, rid: &str) -> Result<()> {
    world
        .eventually("the puppets to have left", async || {
            let members = member.channel_members(rid).await?;
            Ok((!members.iter().any(|name| name.starts_with("mx_"))).then_some(()))
        })
        .await
}

/// A room of an administrator's with the bot, where commands need no prefix.
async fn wait_for_notice(reader: &MatrixUser, room: &str, part: &str) -> Result<()> {
    reader
        .wait_for_message(room, part, |event| event.body().contains(part))
        .await?;
    Ok(())
}

/// The content of the state that tells of the bridge, whatever its key.
async fn bridge_state(reader: &MatrixUser, room: &str) -> Result<Vec<Value>> {
    let state = reader.state(room).await?;
    Ok(state
        .into_iter()
        .filter(|event| BRIDGE_STATE.contains(&event.kind.as_str()))
        .map(|event| event.content)
        .collect())
}

#[tokio::test]
async fn unbridging_takes_everything_back_and_a_new_beginning_brings_nothing_old() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.matrix_user("admin").await?;
    admin.join(&room).await?;
    alice.send_text(&room, "from alice").await?;
    carol.wait_for_text(&channel, "from alice").await?;
    carol.send(&channel, "from carol").await?;
    alice.wait_for_text(&room, "from carol").await?;
    world.give_power(&room, &world.ghost("carol"), 50).await?;
    assert_eq!(bridge_state(&alice, &room).await?.len(), 2);

    alice.send_text(&room, "!rc unbridge").await?;
    wait_for_notice(&alice, &room, "That is for administrators of the bridge").await?;
    alice.send_text(&room, "the last words").await?;
    admin.send_text(&room, "!rc unbridge").await?;
    wait_for_notice(&admin, &room, "It is named in `bridge.channels`").await?;
    wait_for_notice(
        &alice,
        &room,
        "This room is no longer connected with general",
    )
    .await?;
    carol.wait_for_text(&channel, "the last words").await?;
    wait_until_left(&world, &alice, &room).await?;
    wait_until_puppets_left(&world, &carol, &channel).await?;
    carol
        .wait_for_message(&channel, "the notice", |message| {
            message.text.contains("no longer connected with Matrix")
        })
        .await?;
    for content in bridge_state(&alice, &room).await? {
        assert_eq!(content, json!({}));
    }
    assert_eq!(alice.resolve_alias(&world.alias("general")).await?, None);
    let power = alice
        .state_content(&room, "m.room.power_levels", "")
        .await?
        .expect("rights");
    assert!(power["users"].get(world.ghost("carol")).is_none());
    let texts = carol.room_texts(&channel).await?;
    assert_eq!(
        texts
            .iter()
            .filter(|text| *text == "the last words")
            .count(),
        1
    );

    // It stays so, also when the configuration is read again.
    alice.send_text(&room, "only here").await?;
    carol.send(&channel, "only there").await?;
    world.bridge.restart().await?;
    assert_eq!(alice.resolve_alias(&world.alias("general")).await?, None);

    let office = office(&world, &admin).await?;
    admin.send_text(&office, "unbridge general").await?;
    wait_for_notice(&admin, &office, "No channel named general is mirrored").await?;
    admin.send_text(&office, "bridge general").await?;
    let invite = admin
        .wait_for_invite("the new portal", |invite| {
            invite.sender == world.user_id("rocketchatbot")
        })
        .await?;
    let anew = admin.join(&invite.room_id).await?;
    assert_ne!(anew, room);
    assert_eq!(
        alice.resolve_alias(&world.alias("general")).await?,
        Some(anew.clone())
    );
    alice.join(&anew).await?;
    carol.send(&channel, "new from carol").await?;
    alice.wait_for_text(&anew, "new from carol").await?;
    alice.send_text(&anew, "new from alice").await?;
    carol.wait_for_text(&channel, "new from alice").await?;
    let texts = alice.room_texts(&anew).await?;
    assert_eq!(texts, ["new from carol", "new from alice"]);
    let there = carol.room_texts(&channel).await?;
    assert!(!there.iter().any(|text| text == "only here"));
    assert_eq!(there.iter().filter(|text| *text == "from alice").count(), 1);
    Ok(())
}

/// Whether a room is shown in the homeserver's directory: `public` or `private`.
async fn visibility(reader: &MatrixUser, room: &str) -> Result<String> {
    let path = format!(
        "/_matrix/client/v3/directory/list/room/{}",
        room.replace('!', "%21")
    );
    let answer = reader.request("GET", &path, None).await?;
    Ok(answer.body["visibility"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// Lets an administrator of the homeserver close a room, and remove all that was in it.
pub(crate) async fn close(operator: &MatrixUser, room: &str, purge: bool) -> Result<()> {
    let path = format!("/_synapse/admin/v1/rooms/{}", room.replace('!', "%21"));
    let body = json!({ "block": true, "purge": purge });
    let answer = operator.request("DELETE", &path, Some(&body)).await?;
    anyhow::ensure!(answer.status == 200, "{}", answer.body);
    Ok(())
}

/// How many rooms somebody has made, as an administrator of the homeserver sees it.
async fn made_by(operator: &MatrixUser, user: &str) -> Result<usize> {
    let path = "/_synapse/admin/v1/rooms?limit=500";
    let answer = operator.request("GET", path, None).await?;
    let rooms = answer.body["rooms"].as_array().cloned().unwrap_or_default();
    anyhow::ensure!(!rooms.is_empty(), "{}", answer.body);
    Ok(rooms.iter().filter(|room| room["creator"] == user).count())
}

/// Waits until a portal has ended whose room nobody of the bridge can say it in.
pub(crate) async fn wait_until_ended(world: &World, room: &str) -> Result<()> {
    world
        .eventually("the end of the portal", async || {
            let logs = world.bridge.logs();
            let is_end = |line: &str| line.contains("a portal has ended") && line.contains(room);
            Ok(logs.lines().any(is_end).then_some(()))
        })
        .await
}

/// Waits until the bridge has looked for new direct messages several times.
async fn wait_for_looks(world: &World) -> Result<()> {
    let control = world.rocketchat.control();
    control.clear_rules().await?;
    control
        .add_rule(Rule::on("/api/v1/rooms.adminRooms").delay(1))
        .await?;
    world
        .eventually("several looks", async || {
            let seen = control.rules().await?[0]["seen"].as_u64();
            Ok((seen >= Some(6)).then_some(()))
        })
        .await?;
    control.clear_rules().await
}

#[tokio::test]
async fn a_puppet_that_cannot_leave_does_not_begin_a_portal_again() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.matrix_user("admin").await?;
    admin.join(&room).await?;
    alice.send_text(&room, "from alice").await?;
    carol.wait_for_text(&channel, "from alice").await?;
    // The last owner of a channel cannot leave it.
    let name = world.puppet("alice");
    let puppet = carol.find_user(&name).await?.expect("the puppet")["_id"].clone();
    let rocket_admin = world.rocket_admin();
    let body = json!({ "roomId": channel, "userId": puppet });
    rocket_admin.post("channels.addOwner", body).await?;
    let roles = rocket_admin
        .get(&format!("channels.roles?roomId={channel}"))
        .await?;
    for holder in roles["roles"].as_array().expect("roles") {
        let is_owner = has_owner(&holder["roles"]);
        if is_owner && holder["u"]["_id"] != puppet {
            let body = json!({ "roomId": channel, "userId": holder["u"]["_id"] });
            rocket_admin.post("channels.removeOwner", body).await?;
        }
    }
    admin.send_text(&room, "!rc unbridge").await?;
    wait_until_left(&world, &alice, &room).await?;
    let members = carol.channel_members(&channel).await?;
    assert!(members.contains(&name), "the puppet is still there");

    // What is told of it is old, or not true.
    let control = world.rocketchat.control();
    let asked = Rule::on("/api/v1/subscriptions.get").username(&name);
    control.add_rule(asked.delay(1)).await?;
    world
        .eventually("the puppet to have been asked twice", async || {
            let seen = control.rules().await?[0]["seen"].as_u64();
            Ok((seen >= Some(2)).then_some(()))
        })
        .await?;
    assert_eq!(alice.resolve_alias(&world.alias("general")).await?, None);
    Ok(())
}

fn has_owner(roles: &Value) -> bool {
    let roles = roles.as_array();
    roles.is_some_and(|roles| roles.iter().any(|role| role == "owner"))
}

#[tokio::test]
async fn who_owns_the_room_on_both_sides_may_unbridge_it_and_others_may_not() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    for user in [&alice, &bob] {
        let text = format!("{} is here", user.localpart());
        user.send_text(&room, &text).await?;
        carol.wait_for_text(&channel, &text).await?;
    }
    for (user, verb) in [
        ("alice", "channels.addOwner"),
        ("bob", "channels.addModerator"),
    ] {
        let found = carol.find_user(&world.puppet(user)).await?;
        let body = json!({ "roomId": channel, "userId": found.expect("the puppet")["_id"] });
        world.rocket_admin().post(verb, body).await?;
    }
    for user in [&alice, &bob] {
        world
            .eventually("their rights on Matrix", async || {
                let power = alice
                    .state_content(&room, "m.room.power_levels", "")
                    .await?;
                Ok(power
                    .expect("rights")
                    .pointer("/users")
                    .and_then(|users| users.get(&user.user_id).cloned()))
            })
            .await?;
    }

    let said = bob.send_text(&room, "!rc unbridge").await?;
    let is_refused = |event: &testbed::Event, said: &str| {
        event.in_reply_to() == Some(said)
            && event.body().contains("owns the channel on Rocket.Chat")
    };
    bob.wait_for_message(&room, "why not", |event| is_refused(event, &said))
        .await?;
    // Nor by naming it elsewhere, and there nobody may without being an administrator.
    let private = office(&world, &bob).await?;
    bob.send_text(&private, "unbridge general").await?;
    wait_for_notice(&bob, &private, "That is for administrators of the bridge").await?;
    bob.send_text(&room, "still connected").await?;
    carol.wait_for_text(&channel, "still connected").await?;

    alice.send_text(&room, "!rc unbridge").await?;
    wait_for_notice(&alice, &room, "general is no longer mirrored").await?;
    wait_until_left(&world, &alice, &room).await?;
    // Nobody else owned the channel.
    let puppet = world.puppet("alice");
    carol
        .wait_for_message(&channel, "who stays", |message| {
            message.text.contains("does not let")
                && message.text.contains("mx")
                && message.text.contains("leave")
        })
        .await?;
    let members = carol.channel_members(&channel).await?;
    let theirs: Vec<_> = members
        .iter()
        .filter(|name| name.starts_with("mx_"))
        .collect();
    assert_eq!(theirs, [&puppet]);
    Ok(())
}

/// Nobody tells the bridge of it afterwards.
#[tokio::test]
async fn rooms_that_were_removed_from_the_homeserver_meanwhile_end_their_portals() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.send_text(&room, "from alice").await?;
    carol.wait_for_text(&channel, "from alice").await?;
    let dave = world.rocket_user("dave").await?;
    let mut directs = Vec::new();
    for person in [&carol, &dave] {
        let ghost = world.ghost(&person.username);
        let direct = alice.create_direct(&[&ghost]).await?;
        alice.send_text(&direct, "hi").await?;
        let dm = person.wait_for_dm(&world.puppet("alice")).await?;
        person.wait_for_text(&dm, "hi").await?;
        person.send(&dm, "hello").await?;
        alice.wait_for_text(&direct, "hello").await?;
        directs.push((direct, dm));
    }
    let [(removed, dm), (left, other_dm)] = directs.as_slice() else {
        anyhow::bail!("two direct messages");
    };

    world.bridge.stop().await?;
    let operator = world.synapse.register_admin("operator").await?;
    for room in [&room, removed] {
        close(&operator, room, true).await?;
    }
    alice.leave(left).await?;
    carol.send(dm, "while you were away").await?;
    world.bridge.restart().await?;
    world.bridge.ready().await?;

    // The conversation goes on in a new room, and brings nothing old along.
    let ghost = world.ghost("carol");
    let invite = alice
        .wait_for_invite("the conversation", |invite| invite.sender == ghost)
        .await?;
    assert_ne!(invite.room_id, *removed);
    let anew = alice.join(&invite.room_id).await?;
    alice.wait_for_text(&anew, "while you were away").await?;
    assert_eq!(alice.room_texts(&anew).await?, ["while you were away"]);
    alice.send_text(&anew, "I am back").await?;
    carol.wait_for_text(dm, "I am back").await?;
    // Whoever only left is asked back into the room that there is.
    dave.send(other_dm, "where are you?").await?;
    let ghost = world.ghost("dave");
    let invite = alice
        .wait_for_invite("the other conversation", |invite| invite.sender == ghost)
        .await?;
    assert_eq!(invite.room_id, *left);
    alice.join(left).await?;
    alice.wait_for_text(left, "where are you?").await?;

    wait_until_puppets_left(&world, &carol, &channel).await?;
    carol
        .wait_for_message(&channel, "the notice", |message| {
            message.text.contains("no longer connected with Matrix")
        })
        .await?;
    assert_eq!(alice.resolve_alias(&world.alias("general")).await?, None);
    Ok(())
}

/// Killed again and again while it takes everything back, the bridge comes to the end,
/// and says everything once.
#[tokio::test]
async fn an_interrupted_end_is_resumed() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.extra_config = json!({ "bridge": { "publish": true } });
    options.synapse_config = json!({ "room_list_publication_rules": [{ "action": "allow" }] });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    world
        .eventually("the room in the directory", async || {
            Ok((visibility(&alice, &room).await? == "public").then_some(()))
        })
        .await?;
    let mut people = Vec::new();
    for name in ["dave", "erin", "frank", "grace"] {
        let person = world.rocket_user(name).await?;
        person.join_channel("general").await?;
        person.send(&channel, &format!("I am {name}")).await?;
        alice.wait_for_text(&room, &format!("I am {name}")).await?;
        people.push(world.ghost(name));
    }
    let admin = world.matrix_user("admin").await?;
    admin.join(&room).await?;
    for (user, text) in [(&alice, "alice is here"), (&admin, "admin is here")] {
        user.send_text(&room, text).await?;
        carol.wait_for_text(&channel, text).await?;
    }
    // Each time one step further at the least.
    let control = world.rocketchat.control();
    control
        .add_rule(Rule::on("/api/v1/channels.leave").answer_after_delay(300))
        .await?;
    admin.send_text(&room, "!rc unbridge").await?;
    wait_for_notice(&admin, &room, "general is no longer mirrored").await?;
    world.bridge.kill_and_restart().await?;
    wait_for_notice(&admin, &room, "no longer connected with general").await?;
    world.bridge.kill_and_restart().await?;
    let puppets = |members: &[String]| {
        members
            .iter()
            .filter(|name| name.starts_with("mx_"))
            .count()
    };
    world
        .eventually("the first puppet to leave", async || {
            let members = carol.channel_members(&channel).await?;
            Ok((puppets(&members) < 2).then_some(()))
        })
        .await?;
    world.bridge.kill_and_restart().await?;
    world
        .eventually("the first ghost to leave", async || {
            let members = alice.joined_members(&room).await?;
            let there = people
                .iter()
                .filter(|ghost| members.contains_key(*ghost))
                .count();
            Ok((there < people.len()).then_some(()))
        })
        .await?;
    world.bridge.kill_and_restart().await?;
    wait_until_left(&world, &alice, &room).await?;
    wait_until_puppets_left(&world, &carol, &channel).await?;

    let notices = alice.room_texts(&room).await?;
    let said = |text: &&String| text.contains("no longer connected with general");
    assert_eq!(notices.iter().filter(said).count(), 1, "{notices:?}");
    let there = carol.room_texts(&channel).await?;
    let said = |text: &&String| text.contains("no longer connected with Matrix");
    assert_eq!(there.iter().filter(said).count(), 1, "{there:?}");
    assert_eq!(alice.resolve_alias(&world.alias("general")).await?, None);
    let address = alice
        .state_content(&room, "m.room.canonical_alias", "")
        .await?;
    assert!(address.is_none_or(|content| content.get("alias").is_none()));
    assert_eq!(visibility(&alice, &room).await?, "private");
    for content in bridge_state(&alice, &room).await? {
        assert_eq!(content, json!({}));
    }

    // Nothing of it is left to be done.
    let office = office(&world, &admin).await?;
    admin.send_text(&office, "list").await?;
    wait_for_notice(&admin, &office, "No channel is mirrored yet").await
}

#[tokio::test]
async fn a_channel_that_was_deleted_ends_its_portal_also_after_an_absence() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into(), "stays".into()];
    options.bridge_admins = vec!["admin".into()];
    let world = World::start(options).await?;
    let carol = world.rocket_user("carol").await?;
    let admin = world.matrix_user("admin").await?;
    let office = office(&world, &admin).await?;
    let mut rooms = Vec::new();
    let mut channels = Vec::new();
    for name in ["tea", "milk"] {
        channels.push(carol.create_channel(name, &[]).await?);
        admin.send_text(&office, &format!("bridge {name}")).await?;
        let alias = world.alias(name);
        let room = world
            .eventually("the portal", async || admin.resolve_alias(&alias).await)
            .await?;
        admin.join(&room).await?;
        let hello = format!("hello {name}");
        carol.send(channels.last().expect("one"), &hello).await?;
        admin.wait_for_text(&room, &hello).await?;
        rooms.push(room);
    }
    let stays = admin.join(&world.alias("stays")).await?;

    carol
        .post("channels.delete", json!({ "roomId": channels[0] }))
        .await?;
    wait_for_notice(&admin, &rooms[0], "tea was deleted on Rocket.Chat").await?;
    wait_until_left(&world, &admin, &rooms[0]).await?;
    assert_eq!(admin.resolve_alias(&world.alias("tea")).await?, None);

    world.bridge.stop().await?;
    carol
        .post("channels.delete", json!({ "roomId": channels[1] }))
        .await?;
    // An answer that leaves rooms out ends nothing by itself.
    let nothing = json!({ "rooms": [], "count": 0, "offset": 0, "total": 0, "success": true });
    let headers = json!({ "content-type": "application/json" });
    let rule = Rule::on("/api/v1/rooms.adminRooms").times(1).status_with(
        200,
        headers,
        &nothing.to_string(),
    );
    world.rocketchat.control().add_rule(rule).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    wait_for_notice(&admin, &rooms[1], "milk was deleted on Rocket.Chat").await?;
    wait_until_left(&world, &admin, &rooms[1]).await?;
    let channel = world.channel("stays")?;
    carol.join_channel("stays").await?;
    carol.send(channel, "still here").await?;
    admin.wait_for_text(&stays, "still here").await?;
    Ok(())
}

#[tokio::test]
async fn a_room_that_is_closed_or_throws_the_bridge_out_ends_its_portal() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    // From version 12 on nobody can remove who made a room.
    options.synapse_config = json!({ "default_room_version": "11" });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    let bot = world.user_id("rocketchatbot");
    alice.send_text(&room, "from alice").await?;
    carol.wait_for_text(&channel, "from alice").await?;
    carol.send(&channel, "from carol").await?;
    alice.wait_for_text(&room, "from carol").await?;
    world.give_power(&room, &alice.user_id, 100).await?;
    // So that somebody is above the bot.
    world.give_power(&room, &bot, 50).await?;
    alice.kick(&room, &bot, "enough").await?;
    wait_until_left(&world, &alice, &room).await?;
    wait_until_puppets_left(&world, &carol, &channel).await?;
    let told =
        |message: &testbed::RocketMessage| message.text.contains("no longer connected with Matrix");
    carol.wait_for_message(&channel, "the notice", told).await?;
    world.bridge.restart().await?;
    assert_eq!(
        alice.resolve_alias(&world.alias("general")).await?,
        None,
        "who threw the bridge out does not get it back"
    );

    let admin = world.matrix_user("admin").await?;
    let office = office(&world, &admin).await?;
    admin.send_text(&office, "bridge general").await?;
    let invite = admin
        .wait_for_invite("the new portal", |invite| invite.sender == bot)
        .await?;
    let anew = alice.join(&invite.room_id).await?;
    alice.send_text(&anew, "here again").await?;
    carol.wait_for_text(&channel, "here again").await?;
    let dm_room = alice.create_direct(&[&world.ghost("carol")]).await?;
    alice.send_text(&dm_room, "hi").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "hi").await?;

    // An administrator of the homeserver closes both rooms.
    let operator = world.synapse.register_admin("operator").await?;
    for room in [&anew, &dm_room] {
        close(&operator, room, false).await?;
    }
    wait_until_puppets_left(&world, &carol, &channel).await?;
    world
        .eventually("the second notice", async || {
            let messages = carol.room_messages(&channel).await?;
            Ok((messages.iter().filter(|message| told(message)).count() == 2).then_some(()))
        })
        .await?;
    // Nobody writes: it stays so, also after a restart.
    let ghost = world.ghost("carol");
    wait_until_ended(&world, &dm_room).await?;
    wait_for_looks(&world).await?;
    assert_eq!(made_by(&operator, &ghost).await?, 0);
    world.bridge.restart().await?;
    world.bridge.ready().await?;
    wait_for_looks(&world).await?;
    assert_eq!(made_by(&operator, &ghost).await?, 0);
    // The conversation goes on in a new room, and brings nothing old along.
    carol.send(&dm, "are you there?").await?;
    let invite = alice
        .wait_for_invite("the conversation", |invite| {
            invite.sender == world.ghost("carol")
        })
        .await?;
    assert_ne!(invite.room_id, dm_room);
    alice.join(&invite.room_id).await?;
    alice
        .wait_for_text(&invite.room_id, "are you there?")
        .await?;
    let texts = alice.room_texts(&invite.room_id).await?;
    assert_eq!(texts, ["are you there?"]);
    assert_eq!(made_by(&operator, &ghost).await?, 1);
    Ok(())
}

/// Makes the bridge connect anew to Rocket.Chat, and so compare everything.
async fn reconnect(world: &World) -> Result<()> {
    let control = world.rocketchat.control();
    control.drop_sockets(Some(World::ROCKET_BOT)).await?;
    Ok(())
}

async fn set_active(world: &World, user_id: &str, active: bool) -> Result<()> {
    let body = json!({
        "userId": user_id, "activeStatus": active, "confirmRelinquish": true,
    });
    world
        .rocket_admin()
        .post("users.setActiveStatus", body)
        .await?;
    Ok(())
}

async fn wait_until_gone(reader: &MatrixUser, room: &str, user_id: &str) -> Result<()> {
    let what = format!("{user_id} to be gone");
    reader
        .wait_until(room, &what, |events| {
            let last = events
                .iter()
                .rfind(|event| event.state_key.as_deref() == Some(user_id))?;
            (last.text("/membership") == "leave").then_some(())
        })
        .await
}

#[tokio::test]
async fn who_is_gone_from_rocketchat_takes_the_ghost_along_and_nobody_else_gets_it() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    carol.send(&channel, "I am carol").await?;
    alice.wait_for_text(&room, "I am carol").await?;
    let mut rooms = Vec::new();
    let mut people = Vec::new();
    for name in ["dave", "erin"] {
        let person = world.rocket_user(name).await?;
        person.join_channel("general").await?;
        let dm_room = alice.create_direct(&[&world.ghost(name)]).await?;
        alice.send_text(&dm_room, "hi").await?;
        let dm = person.wait_for_dm(&world.puppet("alice")).await?;
        person.wait_for_text(&dm, "hi").await?;
        person.send(&dm, "between us").await?;
        alice.wait_for_text(&dm_room, "between us").await?;
        person.send(&channel, &format!("I am {name}")).await?;
        alice.wait_for_text(&room, &format!("I am {name}")).await?;
        rooms.push((dm_room, dm));
        people.push(person);
    }
    let (dave, erin) = (world.ghost("dave"), world.ghost("erin"));

    // Deactivated: the ghost goes after the last words, and comes back with the person.
    people[0].send(&channel, "my last words").await?;
    set_active(&world, &people[0].id, false).await?;
    wait_until_gone(&alice, &room, &dave).await?;
    alice.wait_for_text(&room, "my last words").await?;
    wait_for_notice(&alice, &rooms[0].0, "was deactivated").await?;
    wait_until_gone(&alice, &rooms[0].0, &dave).await?;
    let again = alice.create_direct(&[&dave]).await?;
    wait_until_gone(&alice, &again, &dave).await?;
    let operator = world.synapse.register_admin("operator").await?;
    wait_for_looks(&world).await?;
    assert_eq!(made_by(&operator, &dave).await?, 0);
    let come_back = async || {
        set_active(&world, &people[0].id, true).await?;
        RocketUser::login(
            world.rocketchat.base_url(),
            "dave",
            "dave-password",
            world.rocketchat.control().clone(),
        )
        .await
    };
    let dave_again = come_back().await?;
    dave_again.send(&channel, "here again").await?;
    let event = alice.wait_for_text(&room, "here again").await?;
    assert_eq!(event.sender, dave);
    dave_again.send(&rooms[0].1, "and here").await?;
    let invite = alice
        .wait_for_invite("the conversation", |invite| invite.sender == dave)
        .await?;
    alice.join(&invite.room_id).await?;
    alice.wait_for_text(&invite.room_id, "and here").await?;
    assert_eq!(alice.room_texts(&invite.room_id).await?, ["and here"]);

    // Whose account is not in use begins nothing; what was written before comes later.
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    bob.send_text(&room, "bob is here").await?;
    carol.wait_for_text(&channel, "bob is here").await?;
    let dm = dave_again.open_dm(&world.puppet("bob")).await?;
    world.bridge.stop().await?;
    dave_again.send(&dm, "for bob").await?;
    set_active(&world, &people[0].id, false).await?;
    world.bridge.restart().await?;
    world.bridge.ready().await?;
    wait_until_gone(&alice, &room, &dave).await?;
    wait_for_looks(&world).await?;
    assert_eq!(made_by(&operator, &dave).await?, 1);
    let dave_again = come_back().await?;
    dave_again.send(&dm, "me again").await?;
    let invite = bob
        .wait_for_invite("the conversation", |invite| invite.sender == dave)
        .await?;
    bob.join(&invite.room_id).await?;
    bob.wait_for_text(&invite.room_id, "me again").await?;
    let texts = bob.room_texts(&invite.room_id).await?;
    assert_eq!(texts, ["for bob", "me again"]);
    dave_again.send(&channel, "for everybody").await?;
    alice.wait_for_text(&room, "for everybody").await?;

    // Deleted: for good, and what was deleted along is gone as well.
    let event = alice.wait_for_text(&room, "I am erin").await?;
    world
        .rocket_admin()
        .post(
            "users.delete",
            json!({ "userId": people[1].id, "confirmRelinquish": true }),
        )
        .await?;
    wait_until_gone(&alice, &room, &erin).await?;
    alice.wait_for_redaction(&room, &event.event_id).await?;
    wait_for_notice(&alice, &rooms[1].0, "deleted").await?;
    wait_until_gone(&alice, &rooms[1].0, &erin).await?;

    // Somebody new takes the name: another person, another ghost.
    let other = world.rocketchat.create_user("erin", &["user"]).await?;
    other.join_channel("general").await?;
    other.send(&channel, "I am new here").await?;
    let event = alice.wait_for_text(&room, "I am new here").await?;
    assert_ne!(event.sender, erin);
    let dm = other.open_dm(&world.puppet("alice")).await?;
    other.send(&dm, "hello stranger").await?;
    let sender = event.sender.clone();
    let invite = alice
        .wait_for_invite("the stranger", |invite| invite.sender == sender)
        .await?;
    alice.join(&invite.room_id).await?;
    let event = alice
        .wait_for_text(&invite.room_id, "hello stranger")
        .await?;
    assert_eq!(event.sender, sender);
    let asked = alice.create_direct(&[&erin]).await?;
    wait_until_gone(&alice, &asked, &erin).await?;
    let events = alice.room_events(&asked).await?;
    let reason = events
        .iter()
        .rfind(|event| event.state_key.as_deref() == Some(erin.as_str()))
        .map(|event| event.text("/reason").to_owned());
    assert!(
        reason
            .as_deref()
            .is_some_and(|why| why.contains("was deleted")),
        "{reason:?}"
    );
    // Of two accounts that become one the one that goes takes its ghost along, and the one
    // that stays keeps its own, also under the other's name.
    world
        .rocket_admin()
        .post(
            "users.delete",
            json!({ "userId": people[0].id, "confirmRelinquish": true }),
        )
        .await?;
    wait_until_gone(&alice, &room, &dave).await?;
    carol.rename("dave").await?;
    carol.send(&channel, "my new name").await?;
    let event = alice.wait_for_text(&room, "my new name").await?;
    let ghost = world.ghost("carol");
    assert_eq!(event.sender, ghost);
    let html = format!("hello {}", pill(&ghost, "Carol"));
    alice
        .send_mentioning(&room, "hello Carol", &html, mentions(&[&ghost]))
        .await?;
    carol
        .wait_for_message(&channel, "the mention", |message| {
            message.text.contains("@dave")
        })
        .await?;
    let members = alice.joined_members(&room).await?;
    assert!(
        !members.contains_key(&dave),
        "the name gives nobody the ghost"
    );
    Ok(())
}

#[tokio::test]
async fn a_puppet_that_is_deactivated_deleted_or_renamed_swallows_nothing() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let account = async |localpart: &str| -> Result<Value> {
        let found = world
            .rocket_admin()
            .find_user(&world.puppet(localpart))
            .await?;
        Ok(found.expect("the puppet"))
    };
    alice.send_text(&room, "hello").await?;
    carol.wait_for_text(&channel, "hello").await?;
    let puppet = account("alice").await?["_id"]
        .as_str()
        .expect("an id")
        .to_owned();

    set_active(&world, &puppet, false).await?;
    let unheard = alice.send_text(&room, "am I here?").await?;
    alice
        .wait_for_message(&room, "why", |event| {
            event.in_reply_to() == Some(&unheard)
                && event.body().contains("has deactivated your account there")
        })
        .await?;
    assert_eq!(account("alice").await?["active"], false);
    set_active(&world, &puppet, true).await?;
    alice.send_text(&room, "here again").await?;
    carol.wait_for_text(&channel, "here again").await?;

    world
        .rocket_admin()
        .update_user(&puppet, json!({ "username": "alice.of.matrix" }))
        .await?;
    // So that a name is needed.
    set_active(&world, &puppet, false).await?;
    set_active(&world, &puppet, true).await?;
    alice.send_text(&room, "under another name").await?;
    let message = carol.wait_for_text(&channel, "under another name").await?;
    assert_eq!(message.username, "alice.of.matrix");

    world
        .rocket_admin()
        .post(
            "users.delete",
            json!({ "userId": puppet, "confirmRelinquish": true }),
        )
        .await?;
    alice.send_text(&room, "made anew").await?;
    let message = carol.wait_for_text(&channel, "made anew").await?;
    assert_eq!(message.username, world.puppet("alice"));
    let members = carol.channel_members(&channel).await?;
    assert!(members.contains(&world.puppet("alice")), "{members:?}");

    // On the other side: an account that is gone from Matrix leaves no active puppet.
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    bob.send_text(&room, "bob is here").await?;
    carol.wait_for_text(&channel, "bob is here").await?;
    let dora = world.matrix_user("dora").await?;
    dora.join(&room).await?;
    dora.send_text(&room, "dora is here").await?;
    carol.wait_for_text(&channel, "dora is here").await?;
    dora.leave(&room).await?;
    // With "erase" only: otherwise nothing tells it from leaving all rooms.
    let body = json!({
        "erase": true,
        "auth": {
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "bob" },
            "password": bob.password,
        },
    });
    let answer = bob
        .request("POST", "/_matrix/client/v3/account/deactivate", Some(&body))
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world
        .eventually("the puppet to rest", async || {
            Ok((account("bob").await?["active"] == false).then_some(()))
        })
        .await?;
    assert_eq!(account("dora").await?["active"], true, "she only left");
    // Synapse brings no erased account back; another homeserver might.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = u64::try_from(now.as_millis())?;
    let event = json!({
        "event_id": "$back", "room_id": room, "sender": bob.user_id, "type": "m.room.message",
        "origin_server_ts": now, "content": { "msgtype": "m.text", "body": "bob is back" },
    });
    let body = json!({ "events": [event] });
    let answer = world
        .bridge
        .request_as_homeserver("PUT", "/_matrix/app/v1/transactions/back", Some(&body))
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    carol.wait_for_text(&channel, "bob is back").await?;
    assert_eq!(account("bob").await?["active"], true);
    Ok(())
}

/// A homeserver does not tell of accounts that are deactivated. Where the bridge may act as
/// people it asks.
#[tokio::test]
async fn a_deactivated_account_leaves_no_active_puppet_where_the_bridge_may_look() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (registration, token) = second_registration(directory.path())?;
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.more_registrations = vec![registration];
    options.extra_config = json!({ "appservice": { "double_puppet_token": token } });
    let world = World::start(options).await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let alias = world.alias("general");
    let is_active = async |name: &str| -> Result<bool> {
        let puppet = world.puppet(name);
        let path = format!("users.info?username={puppet}");
        Ok(world.rocket_admin().get(&path).await?["user"]["active"] == true)
    };
    let mut people = Vec::new();
    for name in ["bob", "dora"] {
        let person = world.matrix_user(name).await?;
        let room = person.join(&alias).await?;
        person.send_text(&room, &format!("{name} is here")).await?;
        carol
            .wait_for_text(&channel, &format!("{name} is here"))
            .await?;
        people.push((person, room));
    }
    let (bob, dora) = (&people[0].0, &people[1]);
    // She only leaves, and logs out.
    dora.0.leave(&dora.1).await?;
    let logout = "/_matrix/client/v3/logout";
    let answer = dora.0.request("POST", logout, Some(&json!({}))).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = json!({
        "auth": {
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "bob" },
            "password": bob.password,
        },
    });
    let answer = bob
        .request("POST", "/_matrix/client/v3/account/deactivate", Some(&body))
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world
        .eventually("the puppet to rest", async || {
            Ok((!is_active("bob").await?).then_some(()))
        })
        .await?;
    assert!(is_active("dora").await?, "she may log in again");
    Ok(())
}

#[tokio::test]
async fn rocketchats_own_federation_is_left_alone() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let control = world.rocketchat.control();
    let admin = world.matrix_user("admin").await?;
    let office = office(&world, &admin).await?;
    let theirs = carol.create_channel("theirs", &[]).await?;
    control.mark_federated(&theirs, true).await?;
    admin.send_text(&office, "bridge theirs").await?;
    wait_for_notice(&admin, &office, "Rocket.Chat's own federation").await?;
    assert!(alice.join(&world.alias("theirs")).await.is_err());

    control.make_federated_user("zoe:other.example").await?;
    let ghost = world.user_id("_rocketchat_zoe=3aother.example");
    let asked = alice.create_direct(&[&ghost]).await;
    // Where the homeserver is told that there is nobody it may refuse by itself.
    if let Ok(asked) = asked {
        wait_until_gone(&alice, &asked, &ghost).await?;
    }

    // A message of it in a channel that is mirrored.
    let message = json!({ "rid": channel, "msg": "theirs", "federation": { "eventId": "$1" } });
    carol.send_message(message).await?;
    // A mirrored channel that comes to belong to it ends.
    carol.send(&channel, "ours").await?;
    alice.wait_for_text(&room, "ours").await?;
    assert_eq!(alice.room_texts(&room).await?, ["ours"]);
    control.mark_federated(&channel, true).await?;
    reconnect(&world).await?;
    wait_for_notice(&alice, &room, "belongs to Rocket.Chat's own federation now").await?;
    wait_until_left(&world, &alice, &room).await?;

    // Whoever runs it is told at every start.
    world
        .change_setting("Federation_Matrix_enabled", json!(true))
        .await?;
    world.bridge.stop().await?;
    let before = world.bridge.logs().len();
    world.bridge.start()?;
    world.bridge.ready().await?;
    let logs = world.bridge.logs();
    let logs = logs.get(before..).unwrap_or_default();
    for warning in [
        "Rocket.Chat's own federation is on: its rooms and users are left alone",
        "a channel of bridge.channels cannot be mirrored",
    ] {
        assert!(logs.contains(warning), "{warning}: {logs}");
    }
    assert_eq!(alice.resolve_alias(&world.alias("general")).await?, None);
    Ok(())
}
