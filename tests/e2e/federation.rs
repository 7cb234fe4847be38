//! People and rooms of other homeservers.

use anyhow::Result;
use serde_json::json;
use testbed::{MatrixUser, RocketUser, Sample, World, WorldOptions};

use crate::BRIDGE;
use crate::several_rooms::{join_hall, said_as};

/// A world with `#general` in which so many other homeservers federate.
async fn world_with_others(others: usize) -> Result<World> {
    World::start(options_with_others(others)).await
}

fn options_with_others(others: usize) -> WorldOptions {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.other_homeservers = others;
    options
}

/// Waits until somebody's invitation stands in the room as the bridge's own homeserver has
/// it. Synapse gives an invitation to the homeserver of whoever is invited before it stores
/// it: who comes in between is refused.
async fn wait_until_invited(
    world: &World,
    operator: &MatrixUser,
    room: &str,
    user: &str,
) -> Result<()> {
    let path = format!(
        "/_synapse/admin/v1/rooms/{}/state",
        room.replace('!', "%21")
    );
    world
        .eventually("the invitation to stand", async || {
            let answer = operator.request("GET", &path, None).await?;
            let state = answer.body["state"].as_array().cloned().unwrap_or_default();
            let stands = state.iter().any(|event| {
                event["type"] == "m.room.member"
                    && event["state_key"] == user
                    && event["content"]["membership"] == "invite"
            });
            Ok(stands.then_some(()))
        })
        .await
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
    // Written while the ghost enters. A homeserver gives an event to those that are in the
    // room where the event stands: this one stands before the join, and comes with what is
    // written next.
    bob.send_text(&direct, "between us").await?;
    let dm = carol.wait_for_dm(&world.puppet_of(&bob.user_id)).await?;
    bob.send_text(&direct, "and nobody else").await?;
    carol.wait_for_text(&dm, "between us").await?;
    carol.wait_for_text(&dm, "and nobody else").await?;
    talk(&world, (&bob, &direct), (&carol, &dm)).await?;

    // From Rocket.Chat: the person is invited over federation.
    let operator = world.synapse.register_admin("operator").await?;
    let dave = world.rocket_user("dave").await?;
    let dm = dave.open_dm(&world.puppet_of(&bob.user_id)).await?;
    dave.send(&dm, "hello bob").await?;
    let ghost = world.ghost("dave");
    let invite = bob
        .wait_for_invite("a direct message", |invite| invite.sender == ghost)
        .await?;
    assert!(invite.is_direct);
    wait_until_invited(&world, &operator, &invite.room_id, &bob.user_id).await?;
    let direct = bob.join(&invite.room_id).await?;
    // Whether he gets what was written in the moment that he entered is between the two
    // homeservers.
    dave.send(&dm, "are you there?").await?;
    bob.wait_for_text(&direct, "are you there?").await?;
    bob.send_text(&direct, "hello dave").await?;
    dave.wait_for_text(&dm, "hello dave").await?;

    // What a room keeps out of it by server does not come through another room either.
    let tea = carol.create_channel("tea", &[]).await?;
    let parlour = bob.join(&world.alias("tea")).await?;
    let bea = world.matrix_user("bea").await?;
    let hall = join_hall(&world, &bea, (&carol, &tea)).await?;
    let said = bob.send_text(&parlour, "for all rooms").await?;
    said_as(&world, &bea, &hall, &bob, "for all rooms").await?;
    // Which is matched without the port.
    let (host, _) = other.server_name().split_once(':').expect("a port");
    let kept_out = json!({ "allow": ["*"], "deny": [host] });
    bea.send_state(&hall, "m.room.server_acl", "", kept_out)
        .await?;
    bob.send_text(&parlour, "not for the hall").await?;
    bob.wait_for_message(&parlour, "that it is not shown", |event| {
        event.msgtype() == "m.notice" && event.body().contains("keeps out everybody of")
    })
    .await?;
    bob.edit_text(&parlour, &said, "edited for all rooms")
        .await?;
    carol.wait_for_text(&tea, "edited for all rooms").await?;
    let own = carol.send(&tea, "for all rooms and people").await?;
    let in_parlour = bob
        .wait_for_text(&parlour, "for all rooms and people")
        .await?;
    let in_hall = bea.wait_for_text(&hall, "for all rooms and people").await?;
    bob.react(&parlour, &in_parlour.event_id, "👍").await?;
    carol
        .wait_for_reactions(
            &tea,
            &own,
            &[(":thumbsup:", &world.puppet_of(&bob.user_id))],
        )
        .await?;
    carol.react(&own, ":tada:", true).await?;
    bea.wait_for_reactions(&hall, &in_hall.event_id, &[(&world.ghost("carol"), "🎉")])
        .await?;
    let everybody = json!({ "allow": ["*"], "deny": [] });
    bea.send_state(&hall, "m.room.server_acl", "", everybody)
        .await?;
    bob.send_text(&parlour, "for all again").await?;
    said_as(&world, &bea, &hall, &bob, "for all again").await?;
    let events = bea.room_messages(&hall).await?;
    let is_kept = |event: &testbed::Event| {
        !event.body().contains("not for the hall") && !event.new_body().contains("edited")
    };
    assert!(events.iter().all(is_kept), "{events:?}");

    // Into a private group, where nobody comes without an invitation.
    let puppet = world.puppet_of(&bob.user_id);
    let club = carol
        .create_group("club", &[World::ROCKET_BOT, &puppet])
        .await?;
    let invite = bob
        .wait_for_invite("the club", |invite| {
            let mut names = invite.state.iter().map(|event| event.text("/name"));
            names.any(|name| name == "club")
        })
        .await?;
    wait_until_invited(&world, &operator, &invite.room_id, &bob.user_id).await?;
    let room = bob.join(&invite.room_id).await?;
    bob.send_text(&room, "let me in").await?;
    carol.wait_for_text(&club, "let me in").await?;
    carol.send(&club, "you are in").await?;
    bob.wait_for_text(&room, "you are in").await?;
    Ok(())
}

#[tokio::test]
async fn where_channels_do_not_federate_nobody_of_another_homeserver_comes_in() -> Result<()> {
    let mut options = options_with_others(1);
    options.extra_config = json!({ "bridge": { "federate": false } });
    let world = World::start(options).await?;
    let bob = world.other_user(world.other()?, "bob").await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;

    let refused = bob.join(&world.alias("general")).await;
    let why = refused.expect_err("kept out").to_string();
    assert!(
        why.contains("403") && why.contains("unfederatable"),
        "{why}"
    );
    assert!(alice.invite(&room, &bob.user_id).await.is_err());
    // A channel that the alias opens is like those of the configuration.
    let tea = carol.create_channel("tea", &[]).await?;
    assert!(bob.join(&world.alias("tea")).await.is_err());
    let tea_room = alice.join(&world.alias("tea")).await?;

    // Direct messages are between those who wish them.
    let direct = bob.create_direct(&[&world.ghost("carol")]).await?;
    bob.wait_for_members(&direct, &[&bob.user_id, &world.ghost("carol")])
        .await?;
    bob.send_text(&direct, "between us").await?;
    let puppet = world.puppet_of(&bob.user_id);
    let dm = carol.wait_for_dm(&puppet).await?;
    carol.wait_for_text(&dm, "between us").await?;

    // Where somebody adds such a person on Rocket.Chat it is said that they read nothing.
    let id = carol.find_user(&puppet).await?.expect("the puppet")["_id"].clone();
    let id = id.as_str().expect("an id");
    carol.invite_to_channel(&tea, id).await?;
    let said = carol
        .wait_for_message(&tea, "that bob is not there", |message| {
            message
                .text
                .contains("I cannot be invited into this room on Matrix")
        })
        .await?;
    assert_eq!(said.username, puppet);
    // Each time that it is tried.
    let body = json!({ "roomId": tea, "userId": id });
    carol.post("channels.kick", body).await?;
    carol.invite_to_channel(&tea, id).await?;
    carol
        .wait_until(&tea, "it to be said again", |messages| {
            let said = messages
                .iter()
                .filter(|said| said.text.contains("I cannot be invited into this room"));
            (said.count() == 2).then_some(())
        })
        .await?;
    carol.send(&tea, "only for us").await?;
    alice.wait_for_text(&tea_room, "only for us").await?;
    let members = alice.joined_members(&tea_room).await?;
    assert!(!members.contains_key(&bob.user_id), "{members:?}");
    carol.send(&channel, "and here").await?;
    alice.wait_for_text(&room, "and here").await?;
    Ok(())
}

/// An administrator of the bridge in a room with the bot.
async fn admin_with_bot(world: &World) -> Result<(MatrixUser, String)> {
    let admin = world.matrix_user("admin").await?;
    let room = admin
        .create_direct(&[&world.user_id("rocketchatbot")])
        .await?;
    admin
        .wait_for_message(&room, "the greeting", |event| {
            event.body().contains("bridge to Rocket.Chat")
        })
        .await?;
    Ok((admin, room))
}

/// What the bot answers that starts so.
async fn answer(user: &MatrixUser, room: &str, start: &str) -> Result<String> {
    let event = user
        .wait_for_message(room, start, |event| event.body().starts_with(start))
        .await?;
    Ok(event.body().to_owned())
}

/// A room of somebody at another homeserver, with an alias where it has a name.
async fn room_elsewhere(user: &MatrixUser, name: Option<&str>) -> Result<String> {
    let mut options = json!({ "preset": "public_chat" });
    if let Some(name) = name {
        options["room_alias_name"] = json!(name);
    }
    user.create_room(options).await
}

async fn bot_greets(user: &MatrixUser, room: &str) -> Result<()> {
    answer(user, room, "I am the bridge to Rocket.Chat").await?;
    Ok(())
}

#[tokio::test]
async fn the_bot_enters_and_leaves_rooms_elsewhere_as_administrators_say() -> Result<()> {
    let world = world_with_others(1).await?;
    let other = world.other()?;
    let server = other.server_name();
    let bob = world.other_user(other, "bob").await?;
    let (admin, ours) = admin_with_bot(&world).await?;
    let bot = world.user_id("rocketchatbot");

    let hall = room_elsewhere(&bob, Some("hall")).await?;
    admin
        .send_text(&ours, &format!("join #hall:{server}"))
        .await?;
    answer(&admin, &ours, &format!("I am in #hall:{server}")).await?;
    bot_greets(&bob, &hall).await?;

    // Ids of rooms have no server in them since version 12: somebody must name one.
    let attic = room_elsewhere(&bob, None).await?;
    let link = format!("https://matrix.to/#/{attic}?via={server}");
    admin.send_text(&ours, &format!("join {link}")).await?;
    bot_greets(&bob, &attic).await?;
    let cellar = room_elsewhere(&bob, None).await?;
    admin.send_text(&ours, &format!("join {cellar}")).await?;
    let why = answer(&admin, &ours, &format!("I cannot enter {cellar}")).await?;
    assert!(
        why.contains("yet") && why.contains(world.synapse.server_name()),
        "{why}"
    );
    admin
        .send_text(&ours, &format!("join {cellar} via {server}"))
        .await?;
    bot_greets(&bob, &cellar).await?;

    // Whoever may keep it out is heard, and named.
    let closed = bob.create_room(json!({ "preset": "private_chat" })).await?;
    admin
        .send_text(&ours, &format!("join {closed} {server}"))
        .await?;
    let why = answer(&admin, &ours, &format!("I cannot enter {closed}; I asked")).await?;
    assert!(why.contains(&format!("{server} (said: ")), "{why}");
    bob.invite(&closed, &bot).await?;
    answer(&bob, &closed, "I am the bridge to Rocket.Chat").await?;

    admin
        .send_text(&ours, &format!("leave #hall:{server}"))
        .await?;
    answer(&admin, &ours, "I have left #hall").await?;
    bob.wait_for_members(&hall, &[&bob.user_id]).await?;

    // Nobody else sends it about.
    bob.send_text(&attic, &format!("!rc join #hall:{server}"))
        .await?;
    answer(&bob, &attic, "Only administrators").await?;
    bob.send_text(&attic, "!rc leave").await?;
    bob.send_text(&attic, "!rc help").await?;
    answer(&bob, &attic, "I am the bridge to Rocket.Chat. ").await?;
    bob.wait_for_members(&hall, &[&bob.user_id]).await?;
    Ok(())
}

#[tokio::test]
async fn a_join_is_remembered_until_the_other_homeserver_is_back_or_it_is_taken_back() -> Result<()>
{
    let world = world_with_others(1).await?;
    let other = world.other()?;
    let server = other.server_name().to_owned();
    let bob = world.other_user(other, "bob").await?;
    let (admin, ours) = admin_with_bot(&world).await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let general = admin.join(&world.alias("general")).await?;

    let wanted = room_elsewhere(&bob, None).await?;
    let unwanted = room_elsewhere(&bob, None).await?;
    let unsaid = room_elsewhere(&bob, None).await?;
    other.kill().await?;
    for room in [&wanted, &unwanted] {
        admin
            .send_text(&ours, &format!("join {room} {server}"))
            .await?;
    }
    let said = admin
        .send_text(&ours, &format!("join {unsaid} {server}"))
        .await?;
    for room in [&wanted, &unwanted, &unsaid] {
        let why = answer(&admin, &ours, &format!("I cannot enter {room} yet")).await?;
        assert!(why.contains(&format!("{server} (did not answer)")), "{why}");
    }
    // Nobody waits for it.
    admin.send_text(&general, "still here").await?;
    carol.wait_for_text(&channel, "still here").await?;

    admin.send_text(&ours, &format!("leave {unwanted}")).await?;
    answer(&admin, &ours, &format!("I do not try to enter {unwanted}")).await?;
    world.bridge.kill().await?;
    // The bridge hears of it only when it may be in the room already.
    admin.redact(&ours, &said).await?;
    other.restart().await?;
    world.bridge.restart().await?;
    bot_greets(&bob, &wanted).await?;
    answer(&admin, &ours, &format!("I am in {wanted}")).await?;
    admin.send_text(&ours, "join").await?;
    answer(&admin, &ours, "Which room?").await?;
    for room in [&unwanted, &unsaid] {
        bob.wait_for_members(room, &[&bob.user_id]).await?;
    }
    Ok(())
}

/// Whoever invites may be gone by the time somebody comes: who else is in the room helps.
#[tokio::test]
async fn when_the_inviters_homeserver_is_gone_another_one_is_asked() -> Result<()> {
    let world = world_with_others(2).await?;
    let [one, two] = world.others.as_slice() else {
        anyhow::bail!("two others");
    };
    let bob = world.other_user(one, "bob").await?;
    let dora = world.other_user(two, "dora").await?;
    let bot = world.user_id("rocketchatbot");
    let carol = world.rocket_user("carol").await?;
    let room = dora
        .create_room(json!({ "preset": "private_chat", "invite": [bob.user_id] }))
        .await?;
    bob.wait_for_invite("from dora", |invite| invite.room_id == room)
        .await?;
    // See `wait_until_invited`.
    world
        .eventually("the invitation to stand", async || {
            let member = dora.state_content(&room, "m.room.member", &bob.user_id);
            Ok(member.await?.map(|_| ()))
        })
        .await?;
    bob.join(&room).await?;

    world.bridge.stop().await?;
    bob.invite(&room, &bot).await?;
    world
        .eventually("the invitation everywhere", async || {
            let member = dora.state_content(&room, "m.room.member", &bot).await?;
            Ok(member.map(|_| ()))
        })
        .await?;
    one.kill().await?;
    world.bridge.restart().await?;
    world.bridge.ready().await?;
    answer(&dora, &room, "I am the bridge to Rocket.Chat").await?;

    // An invitation that is revoked before it could be followed is forgotten.
    let secret = dora
        .create_room(json!({ "preset": "private_chat" }))
        .await?;
    let ghost = world.ghost("carol");
    world.bridge.stop().await?;
    dora.invite(&secret, &ghost).await?;
    dora.kick(&secret, &ghost, "never mind").await?;
    world.bridge.restart().await?;
    world.bridge.ready().await?;
    let direct = dora.create_direct(&[&ghost]).await?;
    // What is written before the ghost is in stays with dora's homeserver until she writes
    // something else.
    dora.wait_for_members(&direct, &[&dora.user_id, &ghost])
        .await?;
    dora.send_text(&direct, "but here").await?;
    let dm = carol.wait_for_dm(&world.puppet_of(&dora.user_id)).await?;
    carol.wait_for_text(&dm, "but here").await?;
    let member = dora.state_content(&secret, "m.room.member", &ghost).await?;
    assert_eq!(member.unwrap_or_default()["membership"], "leave");
    Ok(())
}
