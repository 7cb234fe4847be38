//! One person with two accounts in rooms: where their own account is, stays out, and what
//! they may do there.

use anyhow::{Context as _, Result};
use serde_json::json;
use testbed::{MatrixUser, RocketUser, World, WorldOptions};

use crate::BRIDGE;
use crate::commands::Desk;
use crate::endings::{close, wait_until_ended};
use crate::linking::{ask, desk_of, granted, link};
use crate::membership::{
    id_of, role, set_level, wait_for_level, wait_for_member, wait_for_membership, wait_for_notice,
    wait_for_role,
};
use crate::rocketchat_app::App;
use crate::several_rooms::join_hall;

/// How often the bridge has asked for the members of a room.
async fn looks_at_members(world: &World) -> Result<u64> {
    let stats = world.rocketchat.control().stats().await?;
    let requests = stats["requests"].as_object().context("no requests")?;
    let of = |(name, count): (&String, &serde_json::Value)| {
        let is_look = name.contains("embers") && !name.contains("isMember");
        count.as_u64().filter(|_| is_look)
    };
    Ok(requests.iter().filter_map(of).sum())
}

/// Ends all connections to Rocket.Chat, and waits for the round over members that follows.
async fn reconnect(world: &World) -> Result<()> {
    let before = looks_at_members(world).await?;
    world.rocketchat.control().drop_sockets(None).await?;
    wait_for_round(world, before).await
}

/// The same of the bridge, which is killed.
async fn kill(world: &World) -> Result<()> {
    let before = looks_at_members(world).await?;
    world.bridge.kill_and_restart().await?;
    wait_for_round(world, before).await
}

async fn wait_for_round(world: &World, before: u64) -> Result<()> {
    world
        .eventually("a round over the members", async || {
            Ok((looks_at_members(world).await? > before).then_some(()))
        })
        .await
}

/// Says something that the bridge refuses with these words.
async fn refused(user: &MatrixUser, room: &str, text: &str, why: &str) -> Result<()> {
    let event = user.send_text(room, text).await?;
    user.wait_for_message(room, &format!("why {text:?} is refused"), |notice| {
        notice.in_reply_to() == Some(&event) && notice.body().contains(why)
    })
    .await?;
    Ok(())
}

async fn kick(by: &RocketUser, rid: &str, whom: &RocketUser) -> Result<()> {
    let body = json!({ "roomId": rid, "userId": whom.id });
    by.post("channels.kick", body).await.map(drop)
}

#[tokio::test]
async fn whose_own_account_left_or_was_removed_stays_out_until_they_come_anew() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    let world = World::start(options).await?;
    let (alice, bea) = (
        world.matrix_user("alice").await?,
        world.matrix_user("bea").await?,
    );
    let (alicia, carol) = (
        world.rocket_user("alicia").await?,
        world.rocket_user("carol").await?,
    );
    let tea = carol.create_channel("tea", &[]).await?;
    let hall = join_hall(&world, &bea, (&carol, &tea)).await?;
    let desk = desk_of(&world, &alice).await?;
    link(&alice, &desk, &alicia).await?;
    alice.join(&hall).await?;
    alice.send_text(&hall, "hello").await?;
    let said = carol.wait_for_text(&tea, "hello").await?;
    assert_eq!(said.username, "alicia");

    // Removed: whatever the bridge goes through.
    kick(&carol, &tea, &alicia).await?;
    let carols = carol.open_dm(World::ROCKET_BOT).await?;
    carol
        .wait_for_message(&carols, "that she reads on", |message| {
            message.text.contains("is no longer in")
        })
        .await?;
    reconnect(&world).await?;
    refused(&alice, &hall, "a word", "no longer in tea").await?;
    kill(&world).await?;
    refused(&alice, &hall, "another word", "no longer in tea").await?;
    // A new name is no new coming.
    alice.set_display_name("Alice A.").await?;
    refused(&alice, &hall, "by another name", "no longer in tea").await?;
    wait_for_member(&world, &carol, &tea, "alicia", false).await?;
    // Nor is it to follow the room into another one, at an invitation.
    let path = format!("/_matrix/client/v3/rooms/{hall}/upgrade");
    let body = json!({ "new_version": "11" });
    let answer = bea.request("POST", &path, Some(&body)).await?;
    let old = hall;
    let hall = answer.body["replacement_room"]
        .as_str()
        .with_context(|| format!("no new room: {}", answer.body))?
        .to_owned();
    assert_ne!(old, hall);
    bea.invite(&hall, &alice.user_id).await?;
    alice.join(&hall).await?;
    bea.send_text(&hall, "in the new hall").await?;
    carol.wait_for_text(&tea, "in the new hall").await?;
    refused(&alice, &hall, "from the new hall", "no longer in tea").await?;
    wait_for_member(&world, &carol, &tea, "alicia", false).await?;
    // Who comes anew comes as anybody may.
    alice.leave(&hall).await?;
    alice.join(&hall).await?;
    wait_for_member(&world, &carol, &tea, "alicia", true).await?;
    alice.send_text(&hall, "here again").await?;
    let said = carol.wait_for_text(&tea, "here again").await?;
    assert_eq!(said.username, "alicia");

    // Left by herself.
    alicia.leave_channel(&tea).await?;
    carol
        .wait_for_message(&tea, "that she reads on", |message| {
            message.username == World::ROCKET_BOT && message.text.contains("is no longer in")
        })
        .await?;
    kill(&world).await?;
    refused(&alice, &hall, "from outside", "no longer in tea").await?;
    reconnect(&world).await?;
    refused(&alice, &hall, "from outside still", "no longer in tea").await?;
    // Nor does the account that the bridge made take her place, when hers is hers no more.
    let ended = ask(&alice, &desk, "logout").await?;
    assert!(ended.contains("no longer linked"), "{ended}");
    refused(&alice, &hall, "as a puppet", "no longer in tea").await?;
    wait_for_member(&world, &carol, &tea, &world.puppet("alice"), false).await?;
    link(&alice, &desk, &alicia).await?;
    wait_for_member(&world, &carol, &tea, "alicia", false).await?;
    alicia.join_channel("tea").await?;
    alice.send_text(&hall, "by my own doing").await?;
    carol.wait_for_text(&tea, "by my own doing").await?;
    let there = carol.room_texts(&tea).await?;
    for text in ["a word", "another word", "by another name", "from outside"] {
        assert!(!there.iter().any(|one| one == text), "{text}: {there:?}");
    }

    // What power somebody has left behind in a room they are not in, their account has not.
    bea.set_power(&hall, &alice.user_id, 100).await?;
    // Who leaves does so on both sides, also across a kill.
    alice.leave(&hall).await?;
    kill(&world).await?;
    wait_for_member(&world, &carol, &tea, "alicia", false).await?;
    alicia.join_channel("tea").await?;
    carol.make_moderator(&tea, &alicia.id).await?;
    alicia.send(&tea, "by my ghost").await?;
    let said = bea.wait_for_text(&hall, "by my ghost").await?;
    assert_eq!(said.sender, world.ghost("alicia"));
    let guest = world.matrix_user("guest").await?;
    guest.join(&hall).await?;
    let office = Desk::of(&alicia).await?;
    let kick_guest = format!("!matrix kick {}", guest.user_id);
    office
        .ask_in(&tea, &kick_guest, "not the power for that")
        .await?;
    alice.join(&hall).await?;
    alice.send_text(&hall, "in person").await?;
    carol.wait_for_text(&tea, "in person").await?;
    office.ask_in(&tea, &kick_guest, "is removed").await?;
    wait_for_membership(&bea, &hall, &guest.user_id, "leave").await?;

    // Removed from a room that the bridge has made: out on both sides, and free to come.
    let general = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    bea.join(&room).await?;
    alice.send_text(&room, "in general").await?;
    carol.wait_for_text(&general, "in general").await?;
    kick(world.rocket_admin(), &general, &alicia).await?;
    wait_for_membership(&bea, &room, &alice.user_id, "leave").await?;
    kill(&world).await?;
    wait_for_member(&world, &carol, &general, "alicia", false).await?;
    alice.join(&room).await?;
    alice.send_text(&room, "back in general").await?;
    let said = carol.wait_for_text(&general, "back in general").await?;
    assert_eq!(said.username, "alicia");
    Ok(())
}

#[tokio::test]
async fn who_is_banned_from_one_of_two_rooms_is_not_heard_there_by_the_other_account() -> Result<()>
{
    let world = World::start(WorldOptions::new(BRIDGE)).await?;
    let (alice, bea) = (
        world.matrix_user("alice").await?,
        world.matrix_user("bea").await?,
    );
    let (alicia, carol) = (
        world.rocket_user("alicia").await?,
        world.rocket_user("carol").await?,
    );
    let tea = carol.create_channel("tea", &["alicia"]).await?;
    let here = alice.join(&world.alias("tea")).await?;
    let hall = join_hall(&world, &bea, (&carol, &tea)).await?;
    let desk = desk_of(&world, &alice).await?;
    link(&alice, &desk, &alicia).await?;
    let ghost = world.ghost("alicia");

    // What she writes on Matrix in one room is no command of her account in the other.
    alice.send_text(&here, "!matrix whoami").await?;
    carol.wait_for_text(&tea, "!matrix whoami").await?;
    let words = bea.wait_for_text(&hall, "!matrix whoami").await?;
    assert_eq!(words.sender, ghost);
    let answers = Desk::of(&alicia).await?.answers().await?;
    assert!(
        !answers.iter().any(|answer| answer.text.contains("whoami")),
        "nothing was carried out"
    );

    let insult = alicia.send(&tea, "an insult").await?;
    let said = bea.wait_for_text(&hall, "an insult").await?.event_id;

    // Nor is who is muted there, and she is told.
    bea.set_power(&hall, &alice.user_id, -1).await?;
    for text in ["a muted word", "another muted word"] {
        alicia.send(&tea, text).await?;
        alice.wait_for_text(&here, text).await?;
    }
    let desk_there = Desk::of(&alicia).await?;
    desk_there
        .wait_for_answer(0, "is muted in the room")
        .await?;
    bea.set_power(&hall, &alice.user_id, 0).await?;
    alicia.send(&tea, "may speak again").await?;
    bea.wait_for_text(&hall, "may speak again").await?;
    let texts = bea.room_texts(&hall).await?;
    let is_heard = texts.iter().any(|one| one.contains("muted word"));
    assert!(!is_heard, "{texts:?}");
    let told = desk_there.answers().await?;
    let told = told.iter().filter(|one| one.text.contains("is muted in"));
    assert_eq!(told.count(), 1);

    bea.ban(&hall, &alice.user_id, "enough").await?;
    alice.send_text(&here, "from the other room").await?;
    carol.wait_for_text(&tea, "from the other room").await?;
    alicia.send(&tea, "from Rocket.Chat").await?;
    alice.wait_for_text(&here, "from Rocket.Chat").await?;
    Desk::of(&alicia)
        .await?
        .wait_for_answer(0, "is banned from the room")
        .await?;
    let on = carol.send(&tea, "react to this").await?;
    let target = alice.wait_for_text(&here, "react to this").await?.event_id;
    let there = bea.wait_for_text(&hall, "react to this").await?.event_id;
    alicia.react(&on, ":tada:", true).await?;
    alice
        .wait_for_reactions(&here, &target, &[(&ghost, "🎉")])
        .await?;
    carol.react(&on, ":heart:", true).await?;
    bea.wait_for_reactions(&hall, &there, &[(&world.ghost("carol"), "❤️")])
        .await?;
    // What others do to what she said before comes all the same.
    carol.react(&insult, ":tada:", true).await?;
    bea.wait_for_reactions(&hall, &said, &[(&world.ghost("carol"), "🎉")])
        .await?;
    let admin = world.rocket_admin();
    admin.edit(&tea, &insult, "tidied up").await?;
    bea.wait_for_shown(&hall, &said, "tidied up").await?;
    // Once, however much she says; and nothing of it is in the room after a kill either.
    alicia.send(&tea, "and again").await?;
    alice.wait_for_text(&here, "and again").await?;
    world.bridge.kill_and_restart().await?;
    carol.send(&tea, "marker").await?;
    bea.wait_for_text(&hall, "marker").await?;
    let texts = bea.room_texts(&hall).await?;
    for text in ["from the other room", "from Rocket.Chat", "and again"] {
        assert!(!texts.iter().any(|one| one.contains(text)), "{texts:?}");
    }
    let told = Desk::of(&alicia).await?.answers().await?;
    let told = told
        .iter()
        .filter(|one| one.text.contains("is banned from"));
    assert_eq!(told.count(), 1);

    // Nor is the end of the link a way round.
    let ended = ask(&alice, &desk, "logout").await?;
    assert!(ended.contains("no longer linked"), "{ended}");
    alicia.send(&tea, "as nobody in particular").await?;
    alice
        .wait_for_text(&here, "as nobody in particular")
        .await?;
    carol.send(&tea, "second marker").await?;
    bea.wait_for_text(&hall, "second marker").await?;
    let texts = bea.room_texts(&hall).await?;
    let is_heard = texts.iter().any(|one| one.contains("nobody in particular"));
    assert!(!is_heard, "{texts:?}");

    bea.unban(&hall, &alice.user_id).await?;
    alicia.send(&tea, "heard again").await?;
    bea.wait_for_text(&hall, "heard again").await?;
    Ok(())
}

/// Olga owns a channel, Oona is she on Matrix; whether the bridge may act as Oona or not.
async fn an_owner_keeps_what_she_may_do(mut options: WorldOptions) -> Result<()> {
    options.channels = vec!["general".into()];
    let world = World::start(options).await?;
    let (oona, bob) = (
        world.matrix_user("oona").await?,
        world.matrix_user("bob").await?,
    );
    let olga = world.rocket_user("olga").await?;
    let club = olga.create_channel("club", &[]).await?;
    let room = oona.join(&world.alias("club")).await?;
    bob.join(&room).await?;
    oona.send_text(&room, "as a puppet").await?;
    olga.wait_for_text(&club, "as a puppet").await?;
    let desk = desk_of(&world, &oona).await?;
    let office = Desk::of(&olga).await?;
    link(&oona, &desk, &olga).await?;
    wait_for_level(&world, &bob, &room, &oona.user_id, Some(100)).await?;

    // Who she is, through every door.
    let said = ask(&oona, &desk, "whoami").await?;
    for part in ["olga", "are linked", "`logout` ends that"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = ask(&oona, &room, "!rc whoami").await?;
    assert!(said.contains("`!rc logout` ends that"), "{said}");
    let said = office.ask("whoami", "are linked").await?;
    assert!(
        said.contains(&*oona.user_id) && said.contains("`logout` ends that"),
        "{said}"
    );
    let app = App::of(&world);
    let said = app.answer_in(&club, &olga, "whoami", "w").await?;
    assert!(
        said.contains(&*oona.user_id) && said.contains("logout"),
        "{said}"
    );

    // What she may do there she does from there.
    bob.send_text(&room, "I am here").await?;
    olga.wait_for_text(&club, "I am here").await?;
    let whom = bob.user_id.to_string();
    office
        .ask_in(&club, &format!("!matrix kick {whom}"), "is removed")
        .await?;
    wait_for_membership(&oona, &room, &bob.user_id, "leave").await?;
    office
        .ask_in(&club, &format!("!matrix ban {whom}"), "kept out")
        .await?;
    wait_for_membership(&oona, &room, &bob.user_id, "ban").await?;
    office
        .ask_in(&club, &format!("!matrix unban {whom}"), "may come")
        .await?;
    wait_for_membership(&oona, &room, &bob.user_id, "leave").await?;
    office
        .ask_in(&club, &format!("!matrix invite {whom}"), "is invited")
        .await?;
    bob.join(&room).await?;
    office
        .ask_in(&club, "!matrix relay on", "bridge's account")
        .await?;
    // And nobody else does: who is not linked to an owner, or is no owner any more.
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("club").await?;
    let daves = Desk::of(&dave).await?;
    daves
        .ask_in(&club, "!matrix unbridge", "That is for")
        .await?;
    let kicked = format!("!matrix kick {whom}");
    daves.ask_in(&club, &kicked, "may not remove").await?;
    office
        .ask_in(&club, "!matrix unbridge", "no longer")
        .await?;
    wait_for_notice(&oona, &room, "no longer").await?;
    Ok(())
}

#[tokio::test]
async fn an_owner_who_is_linked_keeps_her_commands() -> Result<()> {
    an_owner_keeps_what_she_may_do(WorldOptions::new(BRIDGE)).await
}

#[tokio::test]
async fn an_owner_as_whom_the_bridge_may_act_keeps_her_commands() -> Result<()> {
    let directory = tempfile::tempdir()?;
    an_owner_keeps_what_she_may_do(granted(directory.path())?).await
}

#[tokio::test]
async fn rights_are_those_of_the_account_while_it_is_linked_and_no_longer() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    let world = World::start(options).await?;
    let (oona, bea) = (
        world.matrix_user("oona").await?,
        world.matrix_user("bea").await?,
    );
    let olga = world.rocket_user("olga").await?;
    let club = olga.create_channel("club", &[]).await?;
    let room = oona.join(&world.alias("club")).await?;
    bea.join(&room).await?;
    for user in [&oona, &bea] {
        user.send_text(&room, "as a puppet").await?;
    }
    // Another owner has given her less on Matrix, by her puppet, than she is on Rocket.Chat.
    let (oonas, beas) = (world.puppet("oona"), world.puppet("bea"));
    for puppet in [&oonas, &beas] {
        wait_for_member(&world, &olga, &club, puppet, true).await?;
    }
    role(&olga, "addOwner", &club, &id_of(&olga, &beas).await?).await?;
    wait_for_level(&world, &bea, &room, &bea.user_id, Some(100)).await?;
    set_level(&bea, &room, &oona.user_id, Some(50)).await?;
    wait_for_role(&world, &olga, &club, &oonas, "moderator", true).await?;
    let desk = desk_of(&world, &oona).await?;
    link(&oona, &desk, &olga).await?;
    wait_for_level(&world, &bea, &room, &oona.user_id, Some(100)).await?;
    wait_for_role(&world, &olga, &club, "olga", "owner", true).await?;

    // Who is not on Rocket.Chat herself any more has nothing of what her account may do.
    let answer = ask(&oona, &room, "!rc relay on").await?;
    assert!(answer.contains("bridge's account"), "{answer}");
    let answer = ask(&oona, &desk, "logout").await?;
    assert!(answer.contains("no longer linked"), "{answer}");
    wait_for_level(&world, &bea, &room, &oona.user_id, None).await?;
    wait_for_level(&world, &bea, &room, &world.ghost("olga"), Some(100)).await?;
    wait_for_level(&world, &bea, &room, &bea.user_id, Some(100)).await?;
    wait_for_role(&world, &olga, &club, "olga", "owner", true).await?;
    let said = bea.room_texts(&room).await?;
    let is_odd = said.iter().any(|text| text.contains("did not change"));
    assert!(!is_odd, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn an_own_account_comes_into_private_groups_by_their_members_only() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    let world = World::start(options).await?;
    let (alice, bea) = (
        world.matrix_user("alice").await?,
        world.matrix_user("bea").await?,
    );
    let (alicia, carol) = (
        world.rocket_user("alicia").await?,
        world.rocket_user("carol").await?,
    );
    let puppet = world.puppet("alice");
    let add = async |rid: &str| {
        let body = json!({ "roomId": rid, "userId": alicia.id });
        carol.post("groups.invite", body).await.map(drop)
    };
    // A group that she is in by her puppet when she links.
    let general = carol.join_channel("general").await?;
    let square = alice.join(&world.alias("general")).await?;
    alice.send_text(&square, "hello").await?;
    carol.wait_for_text(&general, "hello").await?;
    let club = carol
        .create_group("club", &[World::ROCKET_BOT, &puppet])
        .await?;
    let invite = alice
        .wait_for_invite("the group's room", |invite| invite.room_id != square)
        .await?;
    let room = alice.join(&invite.room_id).await?;
    alice.send_text(&room, "in the club").await?;
    carol.wait_for_text(&club, "in the club").await?;
    let desk = desk_of(&world, &alice).await?;
    link(&alice, &desk, &alicia).await?;
    alice.send_text(&room, "still by my puppet").await?;
    let said = carol.wait_for_text(&club, "still by my puppet").await?;
    assert_eq!(said.username, puppet);
    alice
        .wait_for_message(&desk, "why", |event| {
            event.body().contains("only somebody there can add it")
        })
        .await?;
    let members = carol.group_members(&club).await?;
    assert!(!members.iter().any(|name| name == "alicia"), "{members:?}");
    add(&club).await?;
    alice.send_text(&room, "by myself").await?;
    carol.wait_for_text(&club, "by myself").await?;
    world
        .eventually("the puppet to leave", async || {
            let members = carol.group_members(&club).await?;
            let is = |of: &str| members.iter().any(|name| name == of);
            Ok((is("alicia") && !is(&puppet)).then_some(()))
        })
        .await?;
    // Whom her puppet had let be there is there by right when the link ends; who was there by
    // an account alone that may not add people is not.
    let ended = ask(&alice, &desk, "logout").await?;
    assert!(ended.contains("no longer linked"), "{ended}");
    alice.send_text(&room, "by my puppet again").await?;
    let said = carol.wait_for_text(&club, "by my puppet again").await?;
    assert_eq!(said.username, puppet);
    let (dan, dana) = (
        world.matrix_user("dan").await?,
        world.rocket_user("dana").await?,
    );
    let body = json!({ "roomId": club, "userId": dana.id });
    carol.post("groups.invite", body).await?;
    let dans = desk_of(&world, &dan).await?;
    link(&dan, &dans, &dana).await?;
    dan.wait_for_invite("the room of his account", |invite| invite.room_id == room)
        .await?;
    dan.join(&room).await?;
    dan.send_text(&room, "with my account").await?;
    carol.wait_for_text(&club, "with my account").await?;
    let ended = ask(&dan, &dans, "logout").await?;
    assert!(ended.contains("no longer linked"), "{ended}");
    wait_for_membership(&alice, &room, &dan.user_id, "leave").await?;
    let members = carol.group_members(&club).await?;
    let his = world.puppet("dan");
    assert!(!members.contains(&his), "{members:?}");
    // He may come as often as his account is his.
    link(&dan, &dans, &dana).await?;
    dan.wait_for_invite("the room anew", |invite| invite.room_id == room)
        .await?;
    link(&alice, &desk, &alicia).await?;
    alice.send_text(&room, "by myself again").await?;
    let said = carol.wait_for_text(&club, "by myself again").await?;
    assert_eq!(said.username, "alicia");

    // One that was joined with a room: whoever is in the room is not in the group.
    let den = carol.create_group("tea", &[World::ROCKET_BOT]).await?;
    let hall = join_hall_with_group(&world, &bea, (&carol, &den)).await?;
    alice.join(&hall).await?;
    refused(
        &alice,
        &hall,
        "let me in",
        "no member of this private group",
    )
    .await?;
    let members = carol.group_members(&den).await?;
    assert!(!members.iter().any(|name| name == "alicia"), "{members:?}");
    add(&den).await?;
    alice.send_text(&hall, "was let in").await?;
    let said = carol.wait_for_text(&den, "was let in").await?;
    assert_eq!(said.username, "alicia");
    // Removed by its owner, she is not put back.
    let body = json!({ "roomId": den, "userId": alicia.id });
    carol.post("groups.kick", body).await?;
    refused(&alice, &hall, "and out", "Rocket.Chat").await?;
    reconnect(&world).await?;
    refused(&alice, &hall, "and still out", "no longer in tea").await?;
    alice.leave(&hall).await?;
    alice.join(&hall).await?;
    refused(&alice, &hall, "anew", "no member of this private group").await?;
    let members = carol.group_members(&den).await?;
    assert!(!members.iter().any(|name| name == "alicia"), "{members:?}");
    Ok(())
}

/// As [`join_hall`], with a private group, of which the bridge's owner confirms what that
/// means.
async fn join_hall_with_group(
    world: &World,
    user: &MatrixUser,
    (owner, group): (&RocketUser, &str),
) -> Result<String> {
    let bot = world.user_id("rocketchatbot");
    let room = user
        .create_room(json!({
            "room_version": "11", "name": "Hall", "preset": "public_chat",
            "creation_content": { "m.federate": false },
            "power_level_content_override": { "users": {
                (user.user_id.as_str()): 100, (bot.as_str()): 50,
            } },
        }))
        .await?;
    let guest = world.matrix_user("guest").await?;
    guest.join(&room).await?;
    user.invite(&room, &bot).await?;
    wait_for_notice(user, &room, "I am the bridge to Rocket.Chat").await?;
    let office = Desk::of(owner).await?;
    let answer = office
        .ask_in(group, &format!("!matrix bridge {room}"), "--confirm")
        .await?;
    let (_, confirmed) = answer.split_once("--confirm ").context("no word")?;
    let word: String = confirmed.chars().take_while(|c| *c != '`').collect();
    let bridge = format!("!matrix bridge {room} --confirm {word}");
    office.ask_in(group, &bridge, "Proposed").await?;
    let notice = wait_for_notice(user, &room, "proposes to join").await?;
    let (_, rest) = notice.body().split_once("approve ").context("no code")?;
    let code: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    user.send_text(&room, &format!("!rc approve {code} --confirm {word}"))
        .await?;
    wait_for_notice(user, &room, "is joined with tea").await?;
    Ok(room)
}

#[tokio::test]
async fn who_declines_an_invitation_stays_where_their_own_account_is() -> Result<()> {
    let world = World::start(WorldOptions::new(BRIDGE)).await?;
    let (alice, bob) = (
        world.matrix_user("alice").await?,
        world.matrix_user("bob").await?,
    );
    let (alicia, carol) = (
        world.rocket_user("alicia").await?,
        world.rocket_user("carol").await?,
    );
    let tea = carol.create_channel("tea", &[]).await?;
    let room = bob.join(&world.alias("tea")).await?;
    let desk = desk_of(&world, &alice).await?;
    link(&alice, &desk, &alicia).await?;
    carol.invite_to_channel(&tea, &alicia.id).await?;
    alice
        .wait_for_invite("the room of her account", |invite| invite.room_id == room)
        .await?;
    alice.leave(&room).await?;
    // What comes after it is worked after it.
    bob.send_text(&room, "after that").await?;
    carol.wait_for_text(&tea, "after that").await?;
    wait_for_member(&world, &carol, &tea, "alicia", true).await?;
    kill(&world).await?;
    alicia.send(&tea, "I am still here").await?;
    let said = bob.wait_for_text(&room, "I am still here").await?;
    assert_eq!(said.sender, world.ghost("alicia"));
    wait_for_member(&world, &carol, &tea, "alicia", true).await?;
    let invites = alice.invites().await?;
    assert!(invites.is_empty(), "she is asked once: {invites:?}");
    Ok(())
}

/// A homeserver lets people leave rooms "by themselves" when it removes the room or their
/// account.
#[tokio::test]
async fn whom_the_homeserver_takes_out_of_a_room_stays_where_their_own_account_is() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    let world = World::start(options).await?;
    let operator = world.synapse.register_admin("operator").await?;
    let (alice, bea) = (
        world.matrix_user("alice").await?,
        world.matrix_user("bea").await?,
    );
    let (alicia, beate, carol) = (
        world.rocket_user("alicia").await?,
        world.rocket_user("beate").await?,
        world.rocket_user("carol").await?,
    );
    let general = carol.join_channel("general").await?;
    let tea = carol.create_channel("tea", &[]).await?;
    let desk = desk_of(&world, &alice).await?;
    link(&alice, &desk, &alicia).await?;
    let beas = desk_of(&world, &bea).await?;
    link(&bea, &beas, &beate).await?;
    let room = alice.join(&world.alias("general")).await?;
    let tea_room = alice.join(&world.alias("tea")).await?;
    for (room, rid, text) in [(&room, &general, "in general"), (&tea_room, &tea, "in tea")] {
        bea.join(room).await?;
        for (user, name) in [(&alice, "alicia"), (&bea, "beate")] {
            user.send_text(room, text).await?;
            wait_for_member(&world, &carol, rid, name, true).await?;
        }
    }

    // The room is removed.
    close(&operator, &tea_room, true).await?;
    wait_until_ended(&world, &tea_room).await?;
    let there = carol.channel_members(&tea).await?;
    for name in ["alicia", "beate"] {
        assert!(there.iter().any(|one| one == name), "{name}: {there:?}");
    }

    // Who has neither name nor picture has no profile, and is there all the same.
    bea.set_display_name("").await?;
    // Synapse carries it into the rooms in its own time, and that is a join.
    world
        .eventually("her empty profile in the room", async || {
            let member = bea
                .state_content(&room, "m.room.member", &bea.user_id)
                .await?;
            let member = member.context("she is not in the room")?;
            Ok(member["displayname"].is_null().then_some(()))
        })
        .await?;
    bea.leave(&room).await?;
    let office = Desk::of(&beate).await?;
    office
        .wait_for_answer(0, "cannot tell whether you left")
        .await?;
    wait_for_member(&world, &carol, &general, "beate", true).await?;
    let said = ask(&bea, &beas, "whoami").await?;
    assert!(said.contains("are linked"), "{said}");

    // The account is deactivated, and not erased.
    let path = format!("/_synapse/admin/v1/deactivate/{}", alice.user_id);
    let body = json!({ "erase": false });
    let answer = operator.request("POST", &path, Some(&body)).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let office = Desk::of(&alicia).await?;
    office
        .wait_for_answer(0, "cannot tell whether you left")
        .await?;
    wait_for_member(&world, &carol, &general, "alicia", true).await?;
    // Once, also after a kill, and a round over the members.
    kill(&world).await?;
    alicia.send(&general, "still here").await?;
    let watcher = world.matrix_user("watcher").await?;
    watcher.join(&room).await?;
    alicia.send(&general, "and now").await?;
    watcher.wait_for_text(&room, "and now").await?;
    wait_for_member(&world, &carol, &general, "alicia", true).await?;
    let told = office.answers().await?;
    let told = told
        .iter()
        .filter(|one| one.text.contains("cannot tell whether"));
    assert_eq!(told.count(), 1);
    Ok(())
}
