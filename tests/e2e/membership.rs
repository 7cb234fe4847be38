//! Who is in a room and what they may do there, the same on both sides.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, Rule, World, WorldOptions};

use crate::{BRIDGE, General, general_in, in_general, open_group};

/// Waits until somebody's membership of a Matrix room is this, as `reader` sees it; its
/// event.
pub(crate) async fn wait_for_membership(
    reader: &MatrixUser,
    room: &str,
    user: &str,
    wanted: &str,
) -> Result<testbed::Event> {
    reader
        .wait_until(room, &format!("{user} to be {wanted}"), |events| {
            let found = events
                .iter()
                .rfind(|event| {
                    event.kind == "m.room.member" && event.state_key.as_deref() == Some(user)
                })
                .filter(|event| event.content["membership"] == wanted);
            found.cloned()
        })
        .await
}

/// Waits until somebody is, or is not, in a room on Rocket.Chat.
pub(crate) async fn wait_for_member(
    world: &World,
    reader: &RocketUser,
    rid: &str,
    username: &str,
    wanted: bool,
) -> Result<()> {
    let what = format!("{username} in {rid}: {wanted}");
    world
        .eventually(&what, async || {
            let path = format!("rooms.isMember?roomId={rid}&username={username}");
            let answer = reader.get(&path).await?;
            Ok((answer["isMember"] == wanted).then_some(()))
        })
        .await
}

pub(crate) async fn level_of(reader: &MatrixUser, room: &str, user: &str) -> Result<Option<i64>> {
    let levels = reader
        .state_content(room, "m.room.power_levels", "")
        .await?
        .context("no power levels")?;
    Ok(levels["users"][user].as_i64())
}

pub(crate) async fn wait_for_level(
    world: &World,
    reader: &MatrixUser,
    room: &str,
    user: &str,
    wanted: Option<i64>,
) -> Result<()> {
    world
        .eventually(&format!("{user} to have {wanted:?}"), async || {
            let level = level_of(reader, room, user).await?;
            anyhow::ensure!(level == wanted, "level: {level:?}");
            Ok(Some(()))
        })
        .await
}

/// Gives somebody a level on Matrix.
pub(crate) async fn set_level(
    by: &MatrixUser,
    room: &str,
    user: &str,
    level: Option<i64>,
) -> Result<()> {
    let mut levels = by
        .state_content(room, "m.room.power_levels", "")
        .await?
        .context("no power levels")?;
    match (level, levels["users"].as_object_mut()) {
        (Some(level), Some(users)) => users.insert(user.to_owned(), level.into()),
        (None, Some(users)) => users.remove(user),
        (_, None) => None,
    };
    by.send_state(room, "m.room.power_levels", "", levels)
        .await?;
    Ok(())
}

pub(crate) async fn wait_for_role(
    world: &World,
    reader: &RocketUser,
    rid: &str,
    username: &str,
    role: &str,
    wanted: bool,
) -> Result<()> {
    let what = format!("{username} to be {role}: {wanted}");
    world
        .eventually(&what, async || {
            let answer = reader.get(&format!("channels.roles?roomId={rid}")).await?;
            let holders = answer["roles"].as_array().cloned().unwrap_or_default();
            let has = holders.iter().any(|holder| {
                let roles = holder["roles"].as_array();
                holder["u"]["username"] == username
                    && roles.is_some_and(|roles| roles.iter().any(|own| own == role))
            });
            Ok((has == wanted).then_some(()))
        })
        .await
}

pub(crate) async fn id_of(reader: &RocketUser, username: &str) -> Result<String> {
    let user = reader.find_user(username).await?.context("no such user")?;
    Ok(user["_id"].as_str().unwrap_or_default().to_owned())
}

pub(crate) async fn role(by: &RocketUser, verb: &str, rid: &str, id: &str) -> Result<Value> {
    let body = json!({ "roomId": rid, "userId": id });
    by.post(&format!("channels.{verb}"), body).await
}

/// Waits for a notice of the bot that says this.
pub(crate) async fn wait_for_notice(
    reader: &MatrixUser,
    room: &str,
    text: &str,
) -> Result<testbed::Event> {
    reader
        .wait_for_message(room, &format!("the notice {text:?}"), |event| {
            event.msgtype() == "m.notice" && event.body().contains(text)
        })
        .await
}

pub(crate) fn refusal() -> String {
    json!({ "success": false, "error": "Not allowed [error-not-allowed]", "errorType": "error-not-allowed" })
        .to_string()
}

#[tokio::test]
async fn who_comes_and_goes_on_one_side_does_so_on_the_other() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    let (ghost, puppet) = (world.ghost("carol"), world.puppet("alice"));

    // Nobody has said anything.
    wait_for_membership(&alice, &room, &ghost, "join").await?;
    wait_for_member(&world, &carol, &channel, &puppet, true).await?;
    assert!(
        !alice
            .joined_members(&room)
            .await?
            .contains_key(&world.ghost(World::ROCKET_BOT)),
        "the bridge's own account has no ghost"
    );

    // Each leaves after their last words and comes back.
    carol.send(&channel, "bye").await?;
    carol.leave_channel(&channel).await?;
    let left = wait_for_membership(&alice, &room, &ghost, "leave").await?;
    assert_eq!(left.sender, ghost);
    let events = alice.room_events(&room).await?;
    let at = |wanted: &dyn Fn(&testbed::Event) -> bool| events.iter().position(wanted);
    assert!(
        at(&|event| event.body() == "bye") < at(&|event| event.event_id == left.event_id),
        "her last words come before"
    );
    carol.join_channel("general").await?;
    wait_for_membership(&alice, &room, &ghost, "join").await?;
    alice.send_text(&room, "bye too").await?;
    alice.leave(&room).await?;
    wait_for_member(&world, &carol, &channel, &puppet, false).await?;
    carol.wait_for_text(&channel, "bye too").await?;
    alice.join(&room).await?;
    wait_for_member(&world, &carol, &channel, &puppet, true).await?;

    // Removed on Rocket.Chat: by the ghost of who did it where it may, else by the bot.
    role(admin, "addOwner", &channel, &carol.id).await?;
    wait_for_level(&world, &alice, &room, &ghost, Some(100)).await?;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    wait_for_membership(&alice, &room, &world.ghost("dave"), "join").await?;
    role(&carol, "kick", &channel, &dave.id).await?;
    let kicked = wait_for_membership(&alice, &room, &world.ghost("dave"), "leave").await?;
    assert_eq!(kicked.sender, ghost);
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    let bobs = world.puppet("bob");
    wait_for_member(&world, &carol, &channel, &bobs, true).await?;
    role(&carol, "kick", &channel, &id_of(&carol, &bobs).await?).await?;
    let kicked = wait_for_membership(&alice, &room, &bob.user_id, "leave").await?;
    assert_eq!(kicked.sender, ghost);

    // Added on Rocket.Chat: invited here, and gone there when they do not want to.
    carol
        .invite_to_channel(&channel, &id_of(&carol, &bobs).await?)
        .await?;
    bob.wait_for_invite("back into the channel", |invite| invite.room_id == room)
        .await?;
    bob.leave(&room).await?;
    wait_for_member(&world, &carol, &channel, &bobs, false).await?;

    // What Rocket.Chat refuses: who may not read there cannot stay.
    let control = world.rocketchat.control();
    let rule = Rule::on("/api/v1/channels.join").status_with(
        400,
        json!({ "content-type": "application/json" }),
        &refusal(),
    );
    control.add_rule(rule).await?;
    let mallory = world.matrix_user("mallory").await?;
    mallory.join(&room).await?;
    let out = wait_for_membership(&alice, &room, &mallory.user_id, "leave").await?;
    let reason = out.content["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("Rocket.Chat does not allow"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn who_is_removed_and_kept_out_on_matrix_is_so_on_rocketchat() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    let puppet = world.puppet("alice");
    wait_for_member(&world, &carol, &channel, &puppet, true).await?;
    let puppet_id = id_of(&carol, &puppet).await?;
    role(admin, "addModerator", &channel, &puppet_id).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, Some(50)).await?;
    let [dave, erin] = [
        world.rocket_user("dave").await?,
        world.rocket_user("erin").await?,
    ];
    for user in [&dave, &erin] {
        user.join_channel("general").await?;
        wait_for_membership(&alice, &room, &world.ghost(&user.username), "join").await?;
    }

    alice.kick(&room, &world.ghost("dave"), "enough").await?;
    wait_for_member(&world, &carol, &channel, "dave", false).await?;
    // Whoever was only removed may come back.
    dave.join_channel("general").await?;
    wait_for_membership(&alice, &room, &world.ghost("dave"), "join").await?;

    // Kept out: also when they try again; told so once.
    alice.ban(&room, &world.ghost("erin"), "never").await?;
    wait_for_member(&world, &carol, &channel, "erin", false).await?;
    erin.join_channel("general").await?;
    wait_for_member(&world, &carol, &channel, "erin", false).await?;
    let dm = erin.wait_for_dm(World::ROCKET_BOT).await?;
    erin.wait_for_message(&dm, "the reason", |message| {
        message.text.contains("has banned you")
    })
    .await?;
    erin.send(&channel, "can you hear me?").await?;
    dave.send(&channel, "a marker").await?;
    alice.wait_for_text(&room, "a marker").await?;
    let texts = alice.room_texts(&room).await?;
    assert!(!texts.contains(&"can you hear me?".to_owned()));
    assert_eq!(erin.room_texts(&dm).await?.len(), 1, "told once");
    alice.unban(&room, &world.ghost("erin")).await?;
    alice.wait_for_text(&room, "a marker").await?;
    wait_for_membership(&alice, &room, &world.ghost("erin"), "leave").await?;
    world
        .eventually("erin to be let in again", async || {
            erin.join_channel("general").await?;
            let members = alice.joined_members(&room).await?;
            Ok(members.contains_key(&world.ghost("erin")).then_some(()))
        })
        .await?;

    // Where Rocket.Chat refuses the ghost comes back, and who did it is told.
    let rule = Rule::on("/api/v1/channels.kick").status_with(
        400,
        json!({ "content-type": "application/json" }),
        &refusal(),
    );
    world.rocketchat.control().add_rule(rule).await?;
    for ban in [false, true] {
        match ban {
            true => alice.ban(&room, &world.ghost("dave"), "again").await?,
            false => alice.kick(&room, &world.ghost("dave"), "again").await?,
        }
        wait_for_notice(&alice, &room, "dave stays in this room").await?;
        wait_for_membership(&alice, &room, &world.ghost("dave"), "join").await?;
    }
    wait_for_member(&world, &carol, &channel, "dave", true).await?;
    Ok(())
}

#[tokio::test]
async fn who_is_banned_and_stays_on_rocketchat_hears_that_nothing_arrives() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let puppet = world.puppet("alice");
    wait_for_member(&world, &carol, &channel, &puppet, true).await?;
    let puppet_id = id_of(&carol, &puppet).await?;
    role(world.rocket_admin(), "addModerator", &channel, &puppet_id).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, Some(50)).await?;
    let erin = world.rocket_user("erin").await?;
    erin.join_channel("general").await?;
    let ghost = world.ghost("erin");
    wait_for_membership(&alice, &room, &ghost, "join").await?;
    alice.ban(&room, &ghost, "never").await?;
    wait_for_member(&world, &carol, &channel, "erin", false).await?;

    let rule = Rule::on("/api/v1/channels.kick").status_with(
        400,
        json!({ "content-type": "application/json" }),
        &refusal(),
    );
    world.rocketchat.control().add_rule(rule).await?;
    erin.join_channel("general").await?;
    let dm = erin.wait_for_dm(World::ROCKET_BOT).await?;
    erin.wait_for_message(&dm, "what became of it", |message| {
        message.text.contains("has banned you")
            && message
                .text
                .contains("What you write there does not reach Matrix")
    })
    .await?;
    erin.send(&channel, "can you hear me?").await?;
    carol.send(&channel, "a marker").await?;
    alice.wait_for_text(&room, "a marker").await?;
    let texts = alice.room_texts(&room).await?;
    assert!(!texts.contains(&"can you hear me?".to_owned()), "{texts:?}");
    wait_for_membership(&alice, &room, &ghost, "ban").await?;
    wait_for_member(&world, &carol, &channel, "erin", true).await?;
    assert_eq!(erin.room_texts(&dm).await?.len(), 1, "told once");
    Ok(())
}

#[tokio::test]
async fn who_invites_does_so_with_their_own_rights() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    world.rocket_user("dave").await?;
    let ghost = world.ghost("dave");
    wait_for_member(&world, &carol, &channel, &world.puppet("alice"), true).await?;

    // Who may not add people there cannot do it from here.
    let control = world.rocketchat.control();
    let puppet = id_of(&carol, &world.puppet("alice")).await?;
    role(admin, "addModerator", &channel, &puppet).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, Some(50)).await?;
    control
        .set_permission("add-user-to-joined-room", &["admin", "owner"])
        .await?;
    alice.invite(&room, &ghost).await?;
    wait_for_membership(&alice, &room, &ghost, "leave").await?;
    wait_for_notice(&alice, &room, "cannot come").await?;
    wait_for_member(&world, &carol, &channel, "dave", false).await?;
    control
        .set_permission("add-user-to-joined-room", &["admin", "owner", "moderator"])
        .await?;
    alice.invite(&room, &ghost).await?;
    wait_for_membership(&alice, &room, &ghost, "join").await?;
    wait_for_member(&world, &carol, &channel, "dave", true).await?;

    // A private group: who may not add people there invites nobody here.
    let boss = world.matrix_user("admin").await?;
    let (group, inner) = open_group(&world, &carol, &boss, "inner").await?;
    let bosses = world.puppet("admin");
    assert!(
        boss.invite(&inner, &alice.user_id).await.is_err(),
        "who reads a private group is not for every member to decide"
    );
    let body = json!({ "roomId": group, "userId": id_of(&carol, &bosses).await? });
    carol.post("groups.addModerator", body).await?;
    wait_for_level(&world, &boss, &inner, &boss.user_id, Some(50)).await?;
    boss.invite(&inner, &alice.user_id).await?;
    alice.join(&inner).await?;
    wait_for_member(&world, &carol, &group, &world.puppet("alice"), true).await?;
    alice.send_text(&inner, "thank you").await?;
    carol.wait_for_text(&group, "thank you").await?;
    control
        .set_permission("add-user-to-joined-room", &["admin", "owner"])
        .await?;
    let bob = world.matrix_user("bob").await?;
    boss.invite(&inner, &bob.user_id).await?;
    wait_for_notice(&boss, &inner, "is taken back").await?;
    assert!(bob.join(&inner).await.is_err(), "the invitation is gone");
    Ok(())
}

pub(crate) async fn in_general_of_version(version: &str) -> Result<General> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.synapse_config = json!({ "default_room_version": version });
    general_in(World::start(options).await?).await
}

#[tokio::test]
async fn roles_are_power_and_power_is_roles() -> Result<()> {
    for version in ["12", "10"] {
        roles_in(in_general_of_version(version).await?).await?;
    }
    Ok(())
}

async fn roles_in(general: General) -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general;
    let admin = world.rocket_admin();
    let (ghost, puppet) = (world.ghost("carol"), world.puppet("alice"));
    wait_for_membership(&alice, &room, &ghost, "join").await?;
    wait_for_member(&world, &carol, &channel, &puppet, true).await?;
    let puppet_id = id_of(&carol, &puppet).await?;

    // From Rocket.Chat. A leader may do no more than others there, nor here.
    role(admin, "addLeader", &channel, &carol.id).await?;
    role(admin, "addModerator", &channel, &carol.id).await?;
    wait_for_level(&world, &alice, &room, &ghost, Some(50)).await?;
    role(admin, "removeModerator", &channel, &carol.id).await?;
    wait_for_level(&world, &alice, &room, &ghost, None).await?;
    role(admin, "addOwner", &channel, &puppet_id).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, Some(100)).await?;

    // From Matrix, by who may.
    set_level(&alice, &room, &ghost, Some(75)).await?;
    wait_for_role(&world, &carol, &channel, "carol", "moderator", true).await?;
    set_level(&alice, &room, &ghost, None).await?;
    wait_for_role(&world, &carol, &channel, "carol", "moderator", false).await?;
    set_level(&alice, &room, &ghost, Some(100)).await?;
    wait_for_role(&world, &carol, &channel, "carol", "owner", true).await?;
    assert_eq!(
        level_of(&alice, &room, &alice.user_id).await?,
        Some(100),
        "she keeps what she has"
    );

    // By who may not there: it is as it was again, and they are told.
    let rule = Rule::on("/api/v1/channels.addModerator").status_with(
        400,
        json!({ "content-type": "application/json" }),
        &refusal(),
    );
    world.rocketchat.control().add_rule(rule).await?;
    let dave = world.ghost("dave");
    world
        .rocket_user("dave")
        .await?
        .join_channel("general")
        .await?;
    wait_for_membership(&alice, &room, &dave, "join").await?;
    set_level(&alice, &room, &dave, Some(50)).await?;
    wait_for_notice(&alice, &room, "did not change on Rocket.Chat").await?;
    wait_for_level(&world, &alice, &room, &dave, None).await?;
    world.rocketchat.control().clear_rules().await?;

    // Who loses a role there loses it here, owners too; who is muted there is quiet here.
    role(admin, "removeOwner", &channel, &puppet_id).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, None).await?;
    assert!(
        set_level(&alice, &room, &dave, Some(50)).await.is_err(),
        "she has no power any more"
    );
    admin.set_muted(&channel, &puppet, true).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, Some(-1)).await?;
    assert!(alice.send_text(&room, "but").await.is_err(), "she is muted");
    admin.set_muted(&channel, &puppet, false).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, None).await?;
    alice.send_text(&room, "thanks").await?;
    carol.wait_for_text(&channel, "thanks").await?;
    Ok(())
}

#[tokio::test]
async fn what_happened_while_the_bridge_was_away_is_made_up_for() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    let (ghost, puppet) = (world.ghost("carol"), world.puppet("alice"));
    let [dave, erin, frank] = [
        world.rocket_user("dave").await?,
        world.rocket_user("erin").await?,
        world.rocket_user("frank").await?,
    ];
    for user in [&dave, &erin] {
        user.join_channel("general").await?;
        wait_for_membership(&alice, &room, &world.ghost(&user.username), "join").await?;
    }
    let [bob, grace] = [
        world.matrix_user("bob").await?,
        world.matrix_user("grace").await?,
    ];
    for user in [&bob, &grace] {
        user.join(&room).await?;
    }
    let (bobs, graces) = (world.puppet("bob"), world.puppet("grace"));
    for one in [&puppet, &bobs, &graces] {
        wait_for_member(&world, &carol, &channel, one, true).await?;
    }
    let puppet_id = id_of(&carol, &puppet).await?;
    role(admin, "addOwner", &channel, &puppet_id).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, Some(100)).await?;

    world.bridge.kill().await?;
    // On Rocket.Chat, where nothing is said of it: one comes, one goes, one is removed,
    // one gets a role.
    frank.join_channel("general").await?;
    dave.leave_channel(&channel).await?;
    role(admin, "kick", &channel, &id_of(&carol, &bobs).await?).await?;
    role(admin, "addModerator", &channel, &carol.id).await?;
    // On Matrix: one leaves, one is removed, one comes, one gets a level.
    grace.leave(&room).await?;
    alice.kick(&room, &world.ghost("erin"), "").await?;
    let heidi = world.matrix_user("heidi").await?;
    heidi.join(&room).await?;
    world.bridge.restart().await?;

    wait_for_membership(&alice, &room, &world.ghost("frank"), "join").await?;
    wait_for_membership(&alice, &room, &world.ghost("dave"), "leave").await?;
    wait_for_membership(&alice, &room, &bob.user_id, "leave").await?;
    wait_for_level(&world, &alice, &room, &ghost, Some(50)).await?;
    wait_for_member(&world, &carol, &channel, &graces, false).await?;
    wait_for_member(&world, &carol, &channel, "erin", false).await?;
    wait_for_member(&world, &carol, &channel, &world.puppet("heidi"), true).await?;

    // Rights on both sides; what changed on both is as it is on Rocket.Chat.
    world.bridge.kill().await?;
    set_level(&alice, &room, &world.ghost("frank"), Some(50)).await?;
    role(admin, "removeModerator", &channel, &carol.id).await?;
    world.bridge.restart().await?;
    wait_for_role(&world, &carol, &channel, "frank", "moderator", true).await?;
    wait_for_level(&world, &alice, &room, &ghost, None).await?;
    wait_for_level(&world, &alice, &room, &world.ghost("frank"), Some(50)).await?;
    Ok(())
}

/// Thousands of joins are thousands of events for everybody in the room.
#[tokio::test]
async fn in_a_big_channel_only_who_speaks_comes() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.extra_config = json!({ "bridge": { "join_all_up_to": 1 } });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    wait_for_member(&world, &carol, &channel, &world.puppet("alice"), true).await?;
    carol.send(&channel, "here I am").await?;
    alice.wait_for_text(&room, "here I am").await?;
    world.bridge.kill_and_restart().await?;
    carol.leave_channel(&channel).await?;
    wait_for_membership(&alice, &room, &world.ghost("carol"), "leave").await?;
    let members = alice.joined_members(&room).await?;
    assert!(
        !members.contains_key(&world.ghost("dave")),
        "dave has not said anything"
    );
    Ok(())
}
