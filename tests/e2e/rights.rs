//! What people may not do, on either side: it is as it was again, and they are told.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{MatrixUser, Rule, World};

use crate::membership::{
    id_of, in_general_of_version, refusal, role, set_level, wait_for_level, wait_for_member,
    wait_for_membership, wait_for_notice, wait_for_role,
};
use crate::{General, open_group, world_with_general};

const RIGHTS: &str = "m.room.power_levels";

/// Gives Alice a role on Rocket.Chat, and waits until she has the level for it.
async fn promoted(general: &General, verb: &str, level: i64) -> Result<String> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general;
    let puppet = world.puppet("alice");
    wait_for_member(world, carol, channel, &puppet, true).await?;
    let id = id_of(carol, &puppet).await?;
    role(world.rocket_admin(), verb, channel, &id).await?;
    wait_for_level(world, alice, room, &alice.user_id, Some(level)).await?;
    Ok(id)
}

/// Changes the rights in a room, as the bridge's bot: nobody of Matrix wished for it.
async fn amend_rights(world: &World, room: &str, amend: impl Fn(&mut Value)) -> Result<()> {
    let bot = world.matrix_bot()?;
    let mut rights = bot.state_content(room, RIGHTS, "").await?;
    let mut rights = rights.take().context("no power levels")?;
    amend(&mut rights);
    bot.send_state(room, RIGHTS, "", rights).await?;
    Ok(())
}

async fn wait_for_muted(general: &General, username: &str, wanted: bool) -> Result<()> {
    let General {
        world,
        carol,
        channel,
        ..
    } = general;
    world
        .eventually(&format!("{username} to be muted: {wanted}"), async || {
            let answer = carol.get(&format!("rooms.info?roomId={channel}")).await?;
            let muted = answer["room"]["muted"].as_array();
            let is = muted.is_some_and(|muted| muted.iter().any(|name| name == username));
            Ok((is == wanted).then_some(()))
        })
        .await
}

/// Waits until a state has a value again, and its author was told why.
async fn is_again(general: &General, about: &str, kind: &str, wanted: Value) -> Result<()> {
    let General {
        world, alice, room, ..
    } = general;
    alice
        .wait_for_message(room, &format!("word of {kind}"), |event| {
            event.in_reply_to() == Some(about) && event.body().contains("it is as it was again")
        })
        .await?;
    world
        .eventually(&format!("{kind} to be {wanted}"), async || {
            let now = alice.state_content(room, kind, "").await?;
            Ok((now.unwrap_or(json!({})) == wanted).then_some(()))
        })
        .await
}

#[tokio::test]
async fn who_is_muted_on_one_side_is_quiet_on_the_other() -> Result<()> {
    let general = in_general_of_version("11").await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    promoted(&general, "addOwner", 100).await?;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    let ghost = world.ghost("dave");
    wait_for_membership(alice, room, &ghost, "join").await?;

    // By who may.
    set_level(alice, room, &ghost, Some(-1)).await?;
    wait_for_muted(&general, "dave", true).await?;
    assert!(dave.send(channel, "but").await.is_err(), "he is muted");
    set_level(alice, room, &ghost, None).await?;
    wait_for_muted(&general, "dave", false).await?;
    dave.send(channel, "thanks").await?;
    alice.wait_for_text(room, "thanks").await?;
    // What is undone there is undone here.
    set_level(alice, room, &ghost, Some(-5)).await?;
    wait_for_muted(&general, "dave", true).await?;
    world
        .rocket_admin()
        .set_muted(channel, "dave", false)
        .await?;
    wait_for_level(world, alice, room, &ghost, None).await?;

    // By who may not there.
    let rule = Rule::on("/api/v1/rooms.muteUser").status_with(
        400,
        json!({ "content-type": "application/json" }),
        &refusal(),
    );
    world.rocketchat.control().add_rule(rule).await?;
    set_level(alice, room, &ghost, Some(-1)).await?;
    wait_for_notice(alice, room, "did not change on Rocket.Chat").await?;
    wait_for_level(world, alice, room, &ghost, None).await?;
    world.rocketchat.control().clear_rules().await?;
    dave.send(channel, "still here").await?;
    alice.wait_for_text(room, "still here").await?;

    // Somebody of Matrix, while the bridge is away; and who owns the room.
    let bob = world.matrix_user("bob").await?;
    bob.join(room).await?;
    let [puppet, bobs] = [world.puppet("alice"), world.puppet("bob")];
    wait_for_member(world, carol, channel, &bobs, true).await?;
    world.bridge.kill().await?;
    for name in [&bobs, &puppet] {
        world.rocket_admin().set_muted(channel, name, true).await?;
    }
    world.bridge.restart().await?;
    wait_for_level(world, alice, room, &bob.user_id, Some(-1)).await?;
    wait_for_level(world, alice, room, &alice.user_id, Some(-1)).await?;
    assert!(bob.send_text(room, "but").await.is_err(), "he is muted");
    for name in [&bobs, &puppet] {
        world.rocket_admin().set_muted(channel, name, false).await?;
    }
    wait_for_level(world, alice, room, &bob.user_id, None).await?;
    wait_for_level(world, alice, room, &alice.user_id, Some(100)).await?;
    bob.send_text(room, "at last").await?;
    carol.wait_for_text(channel, "at last").await?;
    Ok(())
}

#[tokio::test]
async fn who_is_banned_on_matrix_stays_out_of_rocketchat() -> Result<()> {
    let general = crate::general_in(world_with_general().await?).await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    promoted(&general, "addModerator", 50).await?;
    role(world.rocket_admin(), "addOwner", channel, &carol.id).await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(room).await?;
    let bobs = world.puppet("bob");
    wait_for_member(world, carol, channel, &bobs, true).await?;
    let id = id_of(carol, &bobs).await?;
    alice.ban(room, &bob.user_id, "enough").await?;
    wait_for_member(world, carol, channel, &bobs, false).await?;

    // In channels Rocket.Chat 6 does not say who added somebody: everybody is told.
    let is_told = async |times: usize| {
        carol
            .wait_until(channel, "word of the ban", |messages| {
                let told = messages.iter().filter(|message| {
                    message.text.contains(&bobs) && message.text.contains("is banned")
                });
                (told.count() == times).then_some(())
            })
            .await
    };
    carol.invite_to_channel(channel, &id).await?;
    is_told(1).await?;
    wait_for_member(world, carol, channel, &bobs, false).await?;
    world.bridge.kill().await?;
    carol.invite_to_channel(channel, &id).await?;
    world.bridge.restart().await?;
    is_told(2).await?;
    wait_for_member(world, carol, channel, &bobs, false).await?;
    assert!(bob.join(room).await.is_err(), "he is banned");

    // In a group whoever did it.
    let boss = world.matrix_user("admin").await?;
    let (group, inner) = open_group(world, carol, &boss, "inner").await?;
    let bosses = world.puppet("admin");
    let body = json!({ "roomId": group, "userId": id_of(carol, &bosses).await? });
    carol.post("groups.addModerator", body).await?;
    wait_for_level(world, &boss, &inner, &boss.user_id, Some(50)).await?;
    boss.ban(&inner, &bob.user_id, "nor here").await?;
    let body = json!({ "roomId": group, "userId": id });
    carol.post("groups.invite", body).await?;
    let dm = carol.wait_for_dm(World::ROCKET_BOT).await?;
    carol
        .wait_for_message(&dm, "the reason", |message| {
            message.text.contains("is banned from the room")
        })
        .await?;
    wait_for_member(world, carol, &group, &bobs, false).await?;

    alice.unban(room, &bob.user_id).await?;
    bob.join(room).await?;
    wait_for_member(world, carol, channel, &bobs, true).await?;
    bob.send_text(room, "back again").await?;
    carol.wait_for_text(channel, "back again").await?;
    Ok(())
}

/// Rocket.Chat lets no room be without an owner.
#[tokio::test]
async fn the_last_owner_stays_until_there_is_another() -> Result<()> {
    let general = crate::general_in(world_with_general().await?).await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    let admin = world.rocket_admin();
    let bob = world.matrix_user("bob").await?;
    bob.join(room).await?;
    promoted(&general, "addOwner", 100).await?;
    let roles = carol
        .get(&format!("channels.roles?roomId={channel}"))
        .await?;
    for holder in roles["roles"].as_array().context("roles")? {
        let name = holder["u"]["username"].as_str().unwrap_or_default();
        let id = holder["u"]["_id"].as_str().unwrap_or_default();
        let is_owner = holder["roles"]
            .as_array()
            .is_some_and(|r| r.contains(&json!("owner")));
        if is_owner && name != world.puppet("alice") {
            role(admin, "removeOwner", channel, id).await?;
        }
    }
    alice.leave(room).await?;
    let text = format!("{} is still in this room on Rocket.Chat", alice.user_id);
    wait_for_notice(&bob, room, &text).await?;
    carol
        .wait_for_message(channel, "word of it", |message| {
            message.text.contains("has left this room on Matrix")
        })
        .await?;
    let puppet = world.puppet("alice");
    wait_for_member(world, carol, channel, &puppet, true).await?;
    // Once.
    world.bridge.kill_and_restart().await?;
    let erin = world.rocket_user("erin").await?;
    erin.join_channel("general").await?;
    wait_for_membership(&bob, room, &world.ghost("erin"), "join").await?;
    role(admin, "addOwner", channel, &carol.id).await?;
    wait_for_member(world, carol, channel, &puppet, false).await?;
    let texts = bob.room_texts(room).await?;
    let told = texts.iter().filter(|said| said.contains(&text)).count();
    assert_eq!(told, 1, "{texts:?}");

    // On Rocket.Chat it is refused at once.
    assert!(carol.leave_channel(channel).await.is_err());
    carol.send(channel, "I have to stay").await?;
    bob.wait_for_text(room, "I have to stay").await?;
    let members = bob.joined_members(room).await?;
    assert!(members.contains_key(&world.ghost("carol")));
    Ok(())
}

async fn notices(reader: &MatrixUser, room: &str, text: &str) -> Result<usize> {
    let messages = reader.room_messages(room).await?;
    let found = messages.iter().filter(|event| event.body().contains(text));
    Ok(found.count())
}

#[tokio::test]
async fn the_bridge_says_once_which_power_it_lacks() -> Result<()> {
    let general = in_general_of_version("10").await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    promoted(&general, "addOwner", 100).await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(room).await?;
    let bobs = world.puppet("bob");
    wait_for_member(world, carol, channel, &bobs, true).await?;
    let bot = world.user_id("rocketchatbot");
    amend_rights(world, room, |rights| rights["users"][&bot] = json!(10)).await?;

    // Somebody looks at the rights.
    let lacks = "The bridge lacks the power";
    set_level(alice, room, "@nobody:matrix.test", Some(1)).await?;
    let told = wait_for_notice(alice, room, lacks).await?;
    for power in [
        "kick",
        "ban",
        "redact",
        "change power levels",
        "its name",
        &bot,
    ] {
        assert!(told.body().contains(power), "{power}: {}", told.body());
    }
    // What it cannot carry over stays to be done.
    role(
        world.rocket_admin(),
        "kick",
        channel,
        &id_of(carol, &bobs).await?,
    )
    .await?;
    set_level(alice, room, "@nobody:matrix.test", Some(2)).await?;
    world.bridge.kill_and_restart().await?;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    wait_for_membership(alice, room, &world.ghost("dave"), "join").await?;
    assert_eq!(notices(alice, room, lacks).await?, 1, "once");
    assert!(alice.joined_members(room).await?.contains_key(&bob.user_id));

    set_level(alice, room, &bot, Some(100)).await?;
    wait_for_notice(alice, room, "as much power as it has").await?;
    world.bridge.kill_and_restart().await?;
    wait_for_membership(alice, room, &bob.user_id, "leave").await?;
    assert_eq!(notices(alice, room, lacks).await?, 2);
    Ok(())
}

#[tokio::test]
async fn who_has_no_rights_changes_nothing_from_either_side() -> Result<()> {
    let general = in_general_of_version("11").await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    promoted(&general, "addModerator", 50).await?;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    let ghost = world.ghost("dave");
    wait_for_membership(alice, room, &ghost, "join").await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(room).await?;
    wait_for_member(world, carol, channel, &world.puppet("bob"), true).await?;

    // Matrix would let them.
    amend_rights(world, room, |rights| {
        rights["events"]["m.room.name"] = json!(0);
        rights["events"]["m.room.topic"] = json!(0);
        rights["events"][RIGHTS] = json!(50);
        rights["kick"] = json!(0);
        // One removes only who has less.
        rights["users"][&bob.user_id] = json!(1);
    })
    .await?;
    let [name, topic] = [
        alice.state_content(room, "m.room.name", "").await?,
        alice.state_content(room, "m.room.topic", "").await?,
    ];
    let asked = bob
        .send_state(room, "m.room.name", "", json!({ "name": "mine" }))
        .await?;
    is_again(&general, &asked, "m.room.name", name.context("a name")?).await?;
    let asked = bob
        .send_state(room, "m.room.topic", "", json!({ "topic": "me" }))
        .await?;
    let topic = topic.unwrap_or_else(|| json!({ "topic": "" }));
    is_again(&general, &asked, "m.room.topic", topic).await?;
    bob.kick(room, &ghost, "go").await?;
    wait_for_notice(alice, room, "dave stays in this room").await?;
    wait_for_membership(alice, room, &ghost, "join").await?;
    wait_for_member(world, carol, channel, "dave", true).await?;
    // A moderator makes nobody a moderator there, nor an owner anywhere.
    set_level(alice, room, &ghost, Some(50)).await?;
    wait_for_notice(alice, room, "did not change on Rocket.Chat").await?;
    wait_for_level(world, alice, room, &ghost, None).await?;
    wait_for_role(world, carol, channel, "dave", "moderator", false).await?;
    // What was done meanwhile is not taken back with that.
    let control = world.rocketchat.control();
    let promotion = Rule::on("/api/v1/channels.addModerator");
    control.add_rule(promotion.times(1).delay(2000)).await?;
    set_level(alice, room, &ghost, Some(50)).await?;
    world
        .eventually("the promotion to be asked for", async || {
            let asked = control.rules().await?[0]["hits"].as_u64();
            Ok((asked == Some(1)).then_some(()))
        })
        .await?;
    amend_rights(world, room, |rights| rights["users"][&ghost] = json!(-1)).await?;
    wait_for_notice(alice, room, "were changed here again since").await?;
    control.clear_rules().await?;
    wait_for_level(world, alice, room, &ghost, None).await?;
    assert!(
        set_level(alice, room, &ghost, Some(100)).await.is_err(),
        "nobody gives what they have not"
    );

    // Rocket.Chat refuses at once, and nothing comes of it here.
    let before = alice.state(room).await?.len();
    let rename = json!({ "rid": channel, "roomName": "mine" });
    assert!(dave.post("rooms.saveRoomSettings", rename).await.is_err());
    let topic = json!({ "rid": channel, "roomTopic": "me" });
    assert!(dave.post("rooms.saveRoomSettings", topic).await.is_err());
    let bobs = id_of(carol, &world.puppet("bob")).await?;
    assert!(role(&dave, "kick", channel, &bobs).await.is_err());
    assert!(
        role(&dave, "addModerator", channel, &dave.id)
            .await
            .is_err()
    );
    assert!(role(&dave, "addOwner", channel, &dave.id).await.is_err());
    dave.send(channel, "so be it").await?;
    alice.wait_for_text(room, "so be it").await?;
    assert_eq!(alice.state(room).await?.len(), before);
    assert!(alice.joined_members(room).await?.contains_key(&bob.user_id));
    Ok(())
}
