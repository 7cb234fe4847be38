//! Commands about the room that they are given in, and about whoever gives them, through
//! every door: a message on Matrix, one on Rocket.Chat, and the App there.

use anyhow::Result;
use serde_json::json;
use testbed::{Event, MatrixUser, RocketUser, Rule, World};

use crate::commands::Desk;
use crate::rocketchat_app::App;
use crate::{General, in_general, office};

/// Gives a command on Matrix; what it is answered with.
async fn ask(user: &MatrixUser, room: &str, command: &str) -> Result<String> {
    let said = user.send_text(room, command).await?;
    answer_to(user, room, &said).await
}

async fn answer_to(user: &MatrixUser, room: &str, said: &str) -> Result<String> {
    let answer = user
        .wait_for_message(room, "the answer", |event: &Event| {
            event.in_reply_to() == Some(said)
        })
        .await?;
    Ok(answer.body().to_owned())
}

/// Gives a command on Matrix, which is answered with this.
async fn ask_for(user: &MatrixUser, room: &str, command: &str, part: &str) -> Result<()> {
    let answer = ask(user, room, command).await?;
    assert!(answer.contains(part), "{command}: {answer}");
    Ok(())
}

async fn membership(user: &MatrixUser, room: &str, of: &str) -> Result<String> {
    let content = user.state_content(room, "m.room.member", of).await?;
    let content = content.unwrap_or_default();
    Ok(content["membership"].as_str().unwrap_or("leave").to_owned())
}

async fn wait_for_membership(
    world: &World,
    user: &MatrixUser,
    room: &str,
    of: &str,
    wanted: &str,
) -> Result<()> {
    world
        .eventually(
            &format!("{of} to have the membership {wanted}"),
            async || Ok((membership(user, room, of).await? == wanted).then_some(())),
        )
        .await
}

async fn wait_until_member(
    world: &World,
    carol: &RocketUser,
    channel: &str,
    name: &str,
    wanted: bool,
) -> Result<()> {
    world
        .eventually(&format!("{name} to be a member: {wanted}"), async || {
            let members = carol.channel_members(channel).await?;
            Ok((members.iter().any(|member| member == name) == wanted).then_some(()))
        })
        .await
}

/// A word of everybody, so that everybody is somebody on the other side, and rights for
/// Alice (moderator) and Carol (owner) on both sides.
async fn people_with_rights(general: &General, bob: &MatrixUser, dave: &RocketUser) -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general;
    dave.join_channel("general").await?;
    bob.join(room).await?;
    for user in [alice, bob] {
        let text = format!("{} is here", user.localpart());
        user.send_text(room, &text).await?;
        carol.wait_for_text(channel, &text).await?;
    }
    for user in [carol, dave] {
        let text = format!("{} is here", user.username);
        user.send(channel, &text).await?;
        alice.wait_for_text(room, &text).await?;
    }
    let puppet = carol.find_user(&world.puppet("alice")).await?;
    let puppet = &puppet.expect("the puppet")["_id"];
    for (user, verb) in [
        (&json!(carol.id), "channels.addOwner"),
        (puppet, "channels.addModerator"),
    ] {
        let body = json!({ "roomId": channel, "userId": user });
        world.rocket_admin().post(verb, body).await?;
    }
    for (user, level) in [(&world.ghost("carol"), 100), (&alice.user_id, 50)] {
        world
            .eventually("their rights on Matrix", async || {
                let power = alice.state_content(room, "m.room.power_levels", "").await?;
                let power = power.unwrap_or_default();
                Ok((power["users"][user] == json!(level)).then_some(()))
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn people_are_brought_in_removed_and_kept_out_by_those_who_may_on_both_sides() -> Result<()> {
    let general = in_general().await?;
    let bob = general.world.matrix_user("bob").await?;
    let dave = general.world.rocket_user("dave").await?;
    people_with_rights(&general, &bob, &dave).await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    let ghost = world.ghost("dave");

    // Who may not, on either side.
    for command in ["!rc kick dave", "!rc ban dave", "!rc unban dave"] {
        ask_for(&bob, room, command, "not the power").await?;
    }
    let daves = Desk::of(&dave).await?;
    let app = App::of(world);
    for (n, command) in ["kick", "ban", "unban"].into_iter().enumerate() {
        let words = format!("{command} {}", bob.user_id);
        daves
            .ask_in(channel, &format!("!matrix {words}"), "may not remove")
            .await?;
        let said = app
            .answer_in(channel, &dave, &words, &format!("dave {n}"))
            .await?;
        assert!(said.contains("may not remove"), "{said}");
    }
    assert_eq!(membership(alice, room, &bob.user_id).await?, "join");
    assert_eq!(membership(alice, room, &ghost).await?, "join");

    // From Matrix.
    ask_for(alice, room, "!rc kick", "Whom?").await?;
    let own = format!("!rc kick {}", bob.user_id);
    ask_for(alice, room, &own, "with your own client").await?;
    // Who is picked is meant, and not who has the name that they call themselves.
    bob.set_display_name("dave").await?;
    let link = |id: &str| format!("<a href=\"https://matrix.to/#/{id}\">dave</a>");
    let picked = format!("!rc kick {} at once", link(&bob.user_id));
    let said = alice
        .send_html(room, "!rc kick dave at once", &picked)
        .await?;
    let answer = answer_to(alice, room, &said).await?;
    assert!(answer.contains("with your own client"), "{answer}");
    let unclear = json!({
        "msgtype": "m.text", "body": "!rc kick dave at once",
        "m.mentions": { "user_ids": [bob.user_id] },
    });
    let said = alice.send_event(room, "m.room.message", unclear).await?;
    let answer = answer_to(alice, room, &said).await?;
    assert!(answer.contains("I cannot tell whether dave"), "{answer}");
    assert_eq!(membership(alice, room, &bob.user_id).await?, "join");
    let members = carol.channel_members(channel).await?;
    assert!(members.iter().any(|name| name == "dave"), "{members:?}");

    // In a reply, by the ghost that stands for him, and although Rocket.Chat's answer is lost.
    let control = world.rocketchat.control();
    let lost = Rule::on("/api/v1/channels.kick")
        .times(1)
        .do_without_answering();
    control.add_rule(lost).await?;
    let heard = alice.wait_for_text(room, "dave is here").await?;
    let kick = json!({
        "msgtype": "m.text",
        "body": format!("> <{ghost}> dave is here\n\n!rc kick dave calm down"),
        "format": "org.matrix.custom.html",
        "formatted_body": format!(
            "<mx-reply><blockquote>dave is here</blockquote></mx-reply>!rc kick {} calm down",
            link(&ghost),
        ),
        "m.mentions": { "user_ids": [ghost] },
        "m.relates_to": { "m.in_reply_to": { "event_id": heard.event_id } },
    });
    let said = alice.send_event(room, "m.room.message", kick).await?;
    let answer = answer_to(alice, room, &said).await?;
    assert!(answer.contains("is removed"), "{answer}");
    wait_until_member(world, carol, channel, "dave", false).await?;
    wait_for_membership(world, alice, room, &ghost, "leave").await?;
    let seat = alice.state_content(room, "m.room.member", &ghost).await?;
    let seat = seat.unwrap_or_default();
    assert_eq!(seat["reason"], "calm down", "{seat}");
    dave.join_channel("general").await?;
    wait_for_membership(world, alice, room, &ghost, "join").await?;
    ask_for(alice, room, "!rc ban dave spam", "kept out").await?;
    wait_for_membership(world, alice, room, &ghost, "ban").await?;
    wait_until_member(world, carol, channel, "dave", false).await?;
    // With the rights of who has banned him.
    dave.join_channel("general").await?;
    wait_until_member(world, carol, channel, "dave", false).await?;
    daves.wait_for_answer(0, "has banned you").await?;
    ask_for(alice, room, "!rc unban dave", "may come").await?;
    dave.join_channel("general").await?;
    dave.send(channel, "back again").await?;
    alice.wait_for_text(room, "back again").await?;

    // From Rocket.Chat.
    let desk = Desk::of(carol).await?;
    let puppet = world.puppet("bob");
    let lost = Rule::on("/api/v1/channels.kick")
        .times(1)
        .do_without_answering();
    control.add_rule(lost).await?;
    let kick = format!("!matrix kick {} calm down", bob.user_id);
    desk.ask_in(channel, &kick, "is removed").await?;
    wait_for_membership(world, alice, room, &bob.user_id, "leave").await?;
    wait_until_member(world, carol, channel, &puppet, false).await?;
    bob.join(room).await?;
    wait_until_member(world, carol, channel, &puppet, true).await?;
    let ban = format!("ban {puppet} spam");
    let said = app.answer_in(channel, carol, &ban, "ban").await?;
    assert!(said.contains("kept out"), "{said}");
    wait_for_membership(world, alice, room, &bob.user_id, "ban").await?;
    wait_until_member(world, carol, channel, &puppet, false).await?;
    let invite = format!("!matrix invite {}", bob.user_id);
    desk.ask_in(channel, &invite, "has to be ended first")
        .await?;
    let unban = format!("!matrix unban {}", bob.user_id);
    desk.ask_in(channel, &unban, "may come").await?;
    desk.ask_in(channel, &invite, "is invited").await?;
    let invited = |invite: &testbed::Invite| invite.room_id == *room;
    bob.wait_for_invite("the room", invited).await?;
    bob.join(room).await?;
    wait_until_member(world, carol, channel, &puppet, true).await?;

    // Whom nobody can name, and where nobody is.
    desk.ask_in(channel, "!matrix invite nobody:", "Whom?")
        .await?;
    let stranger = format!("!matrix invite {}", world.user_id("nobody"));
    desk.ask_in(channel, &stranger, "There is nobody called")
        .await?;
    desk.ask(&format!("kick {}", bob.user_id), "not mirrored")
        .await?;

    // What was done is known, without what was not.
    let admin = world.matrix_user("admin").await?;
    let office = office(world, &admin).await?;
    let status = ask(&admin, &office, "status").await?;
    assert!(status.contains("kick"), "{status}");
    assert!(!status.contains("Refused"), "{status}");
    Ok(())
}

#[tokio::test]
async fn everybody_learns_who_they_are_what_is_mirrored_and_who_is_there() -> Result<()> {
    let general = in_general().await?;
    let bob = general.world.matrix_user("bob").await?;
    let dave = general.world.rocket_user("dave").await?;
    people_with_rights(&general, &bob, &dave).await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    let (app, desk) = (App::of(world), Desk::of(carol).await?);
    let secret = carol.create_group("secret", &[World::ROCKET_BOT]).await?;

    ask_for(alice, room, "!rc whoami", &world.puppet("alice")).await?;
    let nobody = world.matrix_user("nina").await?;
    let bot = world.user_id("rocketchatbot");
    let own = nobody.create_direct(&[&bot]).await?;
    nobody
        .wait_for_members(&own, &[&nobody.user_id, &bot])
        .await?;
    ask_for(&nobody, &own, "whoami", "nobody yet").await?;
    desk.ask("whoami", &world.ghost("carol")).await?;
    let said = app.answer(&dave, "whoami", "w").await?;
    assert!(said.contains(&world.ghost("dave")), "{said}");

    ask_for(alice, room, "!rc status", "the channel #general").await?;
    let said = app.answer_in(channel, carol, "status", "s").await?;
    assert!(said.contains(room.as_str()), "{said}");
    // A client may name a room that its user is not in.
    let said = app.answer_in(&secret, &dave, "status", "t").await?;
    assert!(!said.contains("mirrored with"), "{said}");
    assert!(said.contains("Rocket.Chat can be reached"), "{said}");

    // Where others read it, nothing is listed; and everybody gets what is theirs.
    ask_for(alice, room, "!rc list", "for you alone").await?;
    let list = ask(&nobody, &own, "list").await?;
    assert!(!list.contains("general"), "{list}");
    let list = app.answer(carol, "list", "l").await?;
    assert!(list.contains("general"), "{list}");
    ask_for(&nobody, &own, "failed", "Nothing").await?;
    desk.ask("failed", "Nothing").await?;
    desk.ask("resend 3", "Nothing").await?;

    let found = ask(alice, room, "!rc search dav").await?;
    assert!(found.contains(&world.ghost("dave")), "{found}");
    assert!(!found.contains("secret"), "{found}");
    // The homeserver writes its directory a while after somebody came into a room.
    world
        .eventually("Alice to be in the directory", async || {
            let asked = json!({ "search_term": "ali" });
            let path = "/_matrix/client/v3/user_directory/search";
            let found = bob.request("POST", path, Some(&asked)).await?;
            Ok(found
                .body
                .to_string()
                .contains(&alice.user_id)
                .then_some(()))
        })
        .await?;
    let found = app.answer(carol, "search ali", "f").await?;
    assert!(found.contains(&alice.user_id), "{found}");
    desk.ask("search", "For whom or what?").await?;

    // Help says what they may do here, and how.
    let help = ask(alice, room, "!rc help").await?;
    for (part, is_there) in [("kick <username>", true), ("join <", false)] {
        assert_eq!(help.contains(part), is_there, "{part}: {help}");
    }
    let help = ask(&nobody, &own, "help").await?;
    assert!(!help.contains("kick <username>"), "no room around: {help}");
    ask_for(alice, room, "!rc help ban", "!rc ban carol spam").await?;
    let help = app.answer(carol, "help invite", "h").await?;
    assert!(help.contains("/matrix invite @alice:example.org"), "{help}");
    Ok(())
}

#[tokio::test]
async fn who_may_give_which_command_and_how_many_is_for_the_configuration() -> Result<()> {
    let mut options = testbed::WorldOptions::new(crate::BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.extra_config = json!({ "commands": {
        "per_minute": 6,
        "slash_as_text": true,
        "rules": [
            { "allow": true, "commands": ["join"], "who": ["@bob:*"] },
            { "allow": false, "commands": ["dm", "search"], "who": ["@*:*", "role:user"] },
        ],
    }});
    let world = World::start(options).await?;
    let bot = world.user_id("rocketchatbot");
    let bob = world.matrix_user("bob").await?;
    let own = bob.create_direct(&[&bot]).await?;
    bob.wait_for_members(&own, &[&bob.user_id, &bot]).await?;
    let help = ask(&bob, &own, "help").await?;
    assert!(help.contains("join <"), "a rule gives it to him: {help}");
    assert!(!help.contains("dm <"), "and takes this: {help}");
    ask_for(&bob, &own, "dm carol", "may not give this command").await?;
    let hall = bob
        .create_room(json!({ "preset": "public_chat", "room_alias_name": "hall" }))
        .await?;
    let join = format!("join #hall:{}", world.synapse.server_name());
    ask_for(&bob, &own, &join, "on my way").await?;
    bob.wait_for_members(&hall, &[&bob.user_id, &bot]).await?;
    let carol = world.rocket_user("carol").await?;
    let (app, desk) = (App::of(&world), Desk::of(&carol).await?);
    desk.ask(&format!("dm {}", bob.user_id), "may not give this command")
        .await?;
    let said = app.answer(&carol, "search bob", "1").await?;
    assert!(said.contains("may not give this command"), "{said}");

    // Administrators of Rocket.Chat send the bot about as well.
    desk.ask(&join, "Only administrators").await?;
    let lobby = bob
        .create_room(json!({ "preset": "public_chat", "room_alias_name": "lobby" }))
        .await?;
    let administrator = Desk::of(world.rocket_admin()).await?;
    let join = format!("join #lobby:{}", world.synapse.server_name());
    administrator.ask(&join, "I am in #").await?;
    bob.wait_for_members(&lobby, &[&bob.user_id, &bot]).await?;
    let setting = world
        .rocket_admin()
        .get("settings/Message_AllowUnrecognizedSlashCommand")
        .await?;
    assert_eq!(setting["value"], true);

    // Through all doors together.
    for n in 0..3 {
        app.answer(&carol, "whoami", &format!("w{n}")).await?;
    }
    desk.ask("whoami", "within a minute").await?;
    // Each is answered, up to a bound; and what is not done stays where it was written.
    let channel = carol.join_channel("general").await?;
    let stays = carol.send(&channel, "!matrix whoami").await?;
    desk.wait_for_answer(3, "To `whoami`: You have given 6")
        .await?;
    for n in 3..=12 {
        let part = if n == 12 { "no more" } else { "is not done" };
        desk.ask("whoami", part).await?;
    }
    carol.send(&desk.rid, "whoami").await?;
    let dave = world.rocket_user("dave").await?;
    let his = Desk::of(&dave).await?;
    his.ask("whoami", "nobody yet").await?;
    for _ in 0..3 {
        ask(&bob, &own, "whoami").await?;
    }
    ask_for(&bob, &own, "whoami", "within a minute").await?;
    let said = desk.answers().await?;
    assert_eq!(said.len(), 2 + 12, "{said:?}");
    let there = carol.room_messages(&channel).await?;
    assert!(there.iter().any(|message| message.id == stays), "{there:?}");
    let room = bob.join(&world.alias("general")).await?;
    carol.send(&channel, "behind it").await?;
    bob.wait_for_text(&room, "behind it").await?;
    let texts = bob.room_texts(&room).await?;
    assert!(
        !texts.iter().any(|text| text.contains("!matrix")),
        "{texts:?}"
    );
    Ok(())
}
