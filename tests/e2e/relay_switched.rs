//! Speaking through the bridge's account begins and ends while things are under way: what
//! was begun comes to its end, and what was said before stays whose it was.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testbed::{MatrixUser, RocketMessage, RocketUser, Rule, Sample, World, WorldOptions};

use crate::membership::{id_of, wait_for_level, wait_for_member, wait_for_membership};
use crate::relay::{count_of, in_relayed_general, wait_for_notice, wait_for_words_of};
use crate::{BRIDGE, General, general_in, in_general};

/// Switches the relay in a room, as an administrator of the bridge who is in it.
async fn switch(boss: &MatrixUser, room: &str, how: &str) -> Result<()> {
    let asked = boss.send_text(room, &format!("!rc relay {how}")).await?;
    let answer = boss
        .wait_for_message(room, "the answer", |event| {
            event.in_reply_to() == Some(&asked)
        })
        .await?;
    ensure!(!answer.body().contains("That is for"), "{}", answer.body());
    Ok(())
}

/// Waits until a rule of the simulator has met a request.
async fn wait_for_hit(world: &World, number: usize) -> Result<()> {
    world
        .eventually("the request to come", async || {
            let rules = world.rocketchat.control().rules().await?;
            Ok((rules[number]["hits"].as_u64() > Some(0)).then_some(()))
        })
        .await
}

#[tokio::test]
async fn what_is_on_its_way_when_a_room_is_switched_over_arrives_once() -> Result<()> {
    let General {
        world,
        carol,
        room,
        channel,
        ..
    } = in_general().await?;
    let boss = world.matrix_user("admin").await?;
    boss.join(&room).await?;
    let control = world.rocketchat.control();
    // They come while it is on, so that nobody of theirs is in the channel.
    switch(&boss, &room, "on").await?;
    let bob = world.matrix_user("bob").await?;
    let erin = world.matrix_user("erin").await?;
    for user in [&bob, &erin] {
        user.join(&room).await?;
    }
    for (user, from, to) in [(&bob, "off", "on"), (&erin, "on", "off")] {
        switch(&boss, &room, from).await?;
        let text = format!("on its way while it is switched {to}");
        // Their first word is noted, and then Rocket.Chat does not take the next step.
        let rule = match from {
            "off" => Rule::on("/api/v1/channels.join").username(&world.puppet("bob")),
            _ => Rule::on("/api/v1/chat.sendMessage").username(World::ROCKET_BOT),
        };
        control.add_rule(rule.status(500)).await?;
        user.send_text(&room, &text).await?;
        wait_for_hit(&world, 0).await?;
        // The bridge's account answers on Matrix meanwhile.
        switch(&boss, &room, to).await?;
        control.clear_rules().await?;
        let said = carol.wait_for_text(&channel, &text).await?;
        let wanted = match from {
            "off" => world.puppet("bob"),
            _ => World::ROCKET_BOT.to_owned(),
        };
        ensure!(said.username == wanted, "{:?}", said.document);
        user.send_text(&room, &format!("after {to}")).await?;
        carol
            .wait_for_text(&channel, &format!("after {to}"))
            .await?;
        ensure!(count_of(&carol, &channel, &text).await? == 1, "{text}");
    }
    // Nobody was told that something failed.
    for text in bob.room_texts(&room).await? {
        ensure!(!text.contains("did not"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_said_before_a_room_is_switched_over_stays_whose_it_was() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let boss = world.matrix_user("admin").await?;
    boss.join(&room).await?;
    let (puppet, bot) = (world.puppet("alice"), World::ROCKET_BOT);
    let mut rounds = Vec::new();
    for (number, (account, to)) in [(puppet.as_str(), "on"), (bot, "off")]
        .into_iter()
        .enumerate()
    {
        let of_alice = format!("Alice's {number}");
        let edited = alice.send_text(&room, &of_alice).await?;
        let there = carol.wait_for_text(&channel, &of_alice).await?;
        ensure!(there.username == account, "{:?}", there.document);
        let regretted = format!("regretted {number}");
        let gone = alice.send_text(&room, &regretted).await?;
        let gone_there = carol.wait_for_text(&channel, &regretted).await?;
        let of_carol = format!("Carol's {number}");
        let said = carol.send(&channel, &of_carol).await?;
        let here = alice.wait_for_text(&room, &of_carol).await?;
        let thumb = alice.react(&room, &here.event_id, "👍").await?;
        carol
            .wait_for_reactions(&channel, &said, &[(":thumbsup:", account)])
            .await?;
        carol.react(&there.id, ":heart:", true).await?;
        let heart = [(world.ghost("carol"), "❤️".to_owned())];
        alice
            .wait_until(&room, "Carol's heart", |events| {
                events
                    .iter()
                    .any(|event| event.kind == "m.reaction" && event.sender == heart[0].0)
                    .then_some(())
            })
            .await?;
        switch(&boss, &room, to).await?;

        // What was Alice's is changed with the account that said it.
        let better = format!("better {number}");
        alice.edit_text(&room, &edited, &better).await?;
        let now = carol.wait_for_words(&channel, &there.id, &better).await?;
        ensure!(now.username == account && now.document["editedBy"]["username"] == account);
        alice.redact(&room, &gone).await?;
        carol.wait_until_gone(&channel, &gone_there.id).await?;
        alice.redact(&room, &thumb).await?;
        carol.wait_for_reactions(&channel, &said, &[]).await?;
        alice.react(&room, &here.event_id, "🎉").await?;
        let other = if account == bot { puppet.as_str() } else { bot };
        carol
            .wait_for_reactions(&channel, &said, &[(":tada:", other)])
            .await?;
        // And what was Carol's, on both.
        carol
            .edit(&channel, &said, &format!("Carol's, better {number}"))
            .await?;
        alice
            .wait_for_shown(&room, &here.event_id, &format!("Carol's, better {number}"))
            .await?;
        carol.react(&there.id, ":heart:", false).await?;
        alice.wait_for_reactions(&room, &edited, &[]).await?;
        rounds.push((said, here.event_id, there.id, edited));
    }
    // Deleted from the other side, after all that.
    for (said, here, there, edited) in rounds {
        carol.delete(&channel, &said).await?;
        alice.wait_for_redaction(&room, &here).await?;
        world.rocket_admin().delete(&channel, &there).await?;
        alice.wait_for_redaction(&room, &edited).await?;
    }
    Ok(())
}

#[tokio::test]
async fn people_of_other_homeservers_are_relayed_unless_their_room_says_otherwise() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.other_homeservers = 1;
    options.extra_config = json!({ "bridge": { "relay": "other_homeservers" } });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    let boss = world.matrix_user("admin").await?;
    boss.join(&room).await?;
    let far = world.other_user(world.other()?, "far").await?;
    far.join(&world.alias("general")).await?;
    let said_by = async |who: &MatrixUser, text: &str| -> Result<String> {
        who.send_text(&room, text).await?;
        Ok(carol.wait_for_text(&channel, text).await?.username)
    };
    let (bot, near, away) = (
        World::ROCKET_BOT,
        world.puppet("alice"),
        world.puppet_of(&far.user_id),
    );
    let name = format!("far ({})", far.user_id);
    far.send_text(&room, "from afar").await?;
    wait_for_words_of(&carol, &channel, &name, "from afar").await?;
    ensure!(said_by(&alice, "from here").await? == near);
    switch(&boss, &room, "on").await?;
    ensure!(said_by(&alice, "from here, relayed").await? == bot);
    switch(&boss, &room, "off").await?;
    ensure!(said_by(&far, "from afar, with an account").await? == away);
    ensure!(said_by(&alice, "from here, with hers").await? == near);
    switch(&boss, &room, "default").await?;
    ensure!(said_by(&far, "from afar, relayed again").await? == bot);
    ensure!(said_by(&alice, "from here, as ever").await? == near);
    Ok(())
}

/// The messages that bring a file of that name.
fn with_file<'a>(messages: &'a [RocketMessage], name: &str) -> Vec<&'a RocketMessage> {
    messages
        .iter()
        .filter(|message| message.document["file"]["name"] == name)
        .collect()
}

async fn wait_for_file(carol: &RocketUser, rid: &str, name: &str) -> Result<RocketMessage> {
    carol
        .wait_for_message(rid, &format!("the file {name}"), |message| {
            message.document["file"]["name"] == name
        })
        .await
}

#[tokio::test]
async fn a_relayed_file_is_there_once_and_its_authors_through_kills() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_relayed_general().await?;
    let control = world.rocketchat.control();
    let name = format!("alice ({})", world.user_id("alice"));
    // Uploaded and not posted; posted and not noted.
    let moments = [
        Rule::on("/api/v1/rooms.media/")
            .times(1)
            .answer_after_delay(60_000),
        Rule::on("/api/v1/rooms.mediaConfirm/")
            .times(1)
            .answer_after_delay(60_000),
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let file = Sample::random(number as u64, 5000).named(&format!("relayed-{number}.bin"));
        control.add_rule(moment).await?;
        let event = alice.send_captioned(&room, &file, "look at this").await?;
        wait_for_hit(&world, 0).await?;
        if number == 1 {
            wait_for_file(&carol, &channel, &file.name).await?;
        }
        world.bridge.kill().await?;
        control.clear_rules().await?;
        world.bridge.start()?;
        world.bridge.ready().await?;
        let said = wait_for_file(&carol, &channel, &file.name).await?;
        ensure!(said.username == World::ROCKET_BOT, "{:?}", said.document);
        ensure!(
            said.document["alias"] == name.as_str(),
            "{:?}",
            said.document
        );
        let link = said.file_link().context("no link")?;
        ensure!(carol.download(link).await?.1 == file.bytes);
        let marker = format!("marker {number}");
        alice.send_text(&room, &marker).await?;
        carol.wait_for_text(&channel, &marker).await?;
        let all = carol.room_messages(&channel).await?;
        ensure!(with_file(&all, &file.name).len() == 1, "{all:?}");
        // It is still hers to take back.
        alice.redact(&room, &event).await?;
        carol.wait_until_gone(&channel, &said.id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn equal_files_of_two_relayed_people_are_not_taken_for_each_other() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.extra_config = json!({ "bridge": { "relay": "everybody" } });
    // Files are posted in one step there, so that nothing but what is seen tells them apart.
    options.sim_args = vec!["--version-profile".into(), "6.9".into()];
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    let control = world.rocketchat.control();
    // The news come before the answers.
    control
        .add_rule(
            Rule::on("/api/v1/rooms.upload/")
                .times(2)
                .answer_after_delay(1500),
        )
        .await?;
    let mut sent = Vec::new();
    for (seed, user) in [(1, &alice), (2, &bob)] {
        let picture = Sample::png(seed, 40, 30)?.named("image.png");
        let event = user.send_file(&room, &picture, |_| {}).await?;
        let name = format!("{} ({})", user.localpart(), user.user_id);
        sent.push((user, picture, event, name));
    }
    let of = |messages: &[RocketMessage], name: &str| -> Vec<RocketMessage> {
        let all = with_file(messages, "image.png").into_iter();
        all.filter(|message| message.document["alias"] == name)
            .cloned()
            .collect()
    };
    for (user, picture, _, name) in &sent {
        let said = carol
            .wait_for_message(&channel, "the picture", |message| {
                !of(std::slice::from_ref(message), name).is_empty()
            })
            .await?;
        let link = said.file_link().context("no link")?;
        ensure!(carol.download(link).await?.1 == picture.bytes, "{name}");
        // What comes behind it comes when it is done.
        user.send_text(&room, &format!("that was mine, {}", user.localpart()))
            .await?;
        carol
            .wait_for_text(&channel, &format!("that was mine, {}", user.localpart()))
            .await?;
    }
    let all = carol.room_messages(&channel).await?;
    ensure!(with_file(&all, "image.png").len() == 2, "{all:?}");
    // Each takes back their own.
    let (_, _, event, name) = &sent[0];
    let mine = of(&all, name).pop().context("Alice's picture")?;
    alice.redact(&room, event).await?;
    carol.wait_until_gone(&channel, &mine.id).await?;
    let left = carol.room_messages(&channel).await?;
    ensure!(of(&left, &sent[1].3).len() == 1, "{left:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_written_before_a_removal_arrives_and_an_archived_room_takes_nothing() -> Result<()>
{
    let General { world, carol, .. } = in_general().await?;
    let group = carol
        .create_group("inner", &[&world.rocket_bot.username])
        .await?;
    let body = json!({ "roomId": group, "userId": world.rocket_bot.id });
    carol.post("groups.addModerator", body).await?;
    let boss = world.matrix_user("admin").await?;
    let bot = world.user_id("rocketchatbot");
    let office = boss.create_direct(&[&bot]).await?;
    boss.wait_for_members(&office, &[&boss.user_id, &bot])
        .await?;
    boss.send_text(&office, "bridge inner").await?;
    let invite = boss
        .wait_for_invite("the group", |invite| invite.sender == bot)
        .await?;
    let inner = boss.join(&invite.room_id).await?;
    let bosses = world.puppet("admin");
    wait_for_member(&world, &carol, &group, &bosses, true).await?;
    let body = json!({ "roomId": group, "userId": id_of(&carol, &bosses).await? });
    carol.post("groups.addModerator", body).await?;
    wait_for_level(&world, &boss, &inner, &boss.user_id, Some(50)).await?;
    switch(&boss, &inner, "on").await?;
    let eve = world.matrix_user("eve").await?;
    boss.invite(&inner, &eve.user_id).await?;
    eve.join(&inner).await?;
    eve.send_text(&inner, "thank you").await?;
    let name = format!("eve ({})", eve.user_id);
    wait_for_words_of(&carol, &group, &name, "thank you").await?;

    // Nobody hears of it until she is gone; and the round over members comes first.
    world.bridge.kill().await?;
    eve.send_text(&inner, "before I was removed").await?;
    boss.kick(&inner, &eve.user_id, "enough").await?;
    wait_for_membership(&boss, &inner, &eve.user_id, "leave").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let said = carol.wait_for_text(&group, "before I was removed").await?;
    // What she calls herself is no longer to be read in the room.
    let alias = said.document["alias"].as_str().unwrap_or_default();
    ensure!(said.username == World::ROCKET_BOT, "{:?}", said.document);
    ensure!(alias.contains(&*eve.user_id), "{alias:?}");

    // What is archived takes nothing, also where Matrix does not know of it yet.
    boss.invite(&inner, &eve.user_id).await?;
    eve.join(&inner).await?;
    eve.send_text(&inner, "I am back").await?;
    wait_for_words_of(&carol, &group, &name, "I am back").await?;
    world.bridge.kill().await?;
    carol
        .post("groups.archive", json!({ "roomId": group }))
        .await?;
    eve.send_text(&inner, "into the archive").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    wait_for_notice(&eve, &inner, "archived").await?;
    ensure!(count_of(&carol, &group, "into the archive").await? == 0);
    Ok(())
}
