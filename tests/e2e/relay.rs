//! The bridge's account speaks for people who have none on Rocket.Chat.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketMessage, RocketUser, Rule, Sample, World, WorldOptions};

use crate::linking::{ask, desk_of, link};
use crate::membership::{id_of, wait_for_level, wait_for_member, wait_for_membership};
use crate::upgrades::upgrade;
use crate::{BRIDGE, General, general_in, in_general, open_group};

/// As Rocket.Chat says that its licence allows no more users.
const NO_SEAT: &str = r#"{"success":false,"error":"License user limit reached [error-license-user-limit-reached]","errorType":"error-license-user-limit-reached"}"#;

/// `#general` in a world where everybody is relayed, and browsers reach the bridge.
pub(crate) async fn in_relayed_general() -> Result<General> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.extra_config = json!({ "bridge": { "relay": "everybody" } });
    options.start_bridge = false;
    let world = World::start(options).await?;
    let mut config = world.bridge.config()?;
    config["media"] = json!({ "public_url": world.bridge.base_url() });
    world.bridge.write_config(&config)?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    general_in(world).await
}

/// What the bridge's account says there under that name.
pub(crate) async fn wait_for_words_of(
    carol: &RocketUser,
    rid: &str,
    name: &str,
    text: &str,
) -> Result<RocketMessage> {
    let said = carol.wait_for_text(rid, text).await?;
    ensure!(said.username == World::ROCKET_BOT, "{:?}", said.document);
    let alias = said.document["alias"].as_str().unwrap_or_default();
    ensure!(alias == name, "{alias:?} instead of {name:?}");
    Ok(said)
}

pub(crate) async fn wait_for_notice(user: &MatrixUser, room: &str, part: &str) -> Result<String> {
    let what = format!("a notice with {part:?}");
    let said = user
        .wait_for_message(room, &what, |event| {
            event.msgtype() == "m.notice" && event.body().contains(part)
        })
        .await?;
    Ok(said.body().to_owned())
}

pub(crate) async fn count_of(carol: &RocketUser, rid: &str, text: &str) -> Result<usize> {
    let texts = carol.room_texts(rid).await?;
    Ok(texts.iter().filter(|said| *said == text).count())
}

#[tokio::test]
async fn relayed_people_say_everything_under_their_name() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_relayed_general().await?;
    let picture = Sample::png(7, 200, 200)?;
    let mxc = alice.upload_sample(&picture).await?;
    let name = format!("Alice admin ({})", world.user_id("alice"));
    // Synapse carries a new profile into the rooms in its own time, and of two changes at once
    // it may lose one (1.163).
    let shows = async |key: &'static str, value: &str| {
        world
            .eventually("her new profile in the room", async || {
                let member = alice
                    .state_content(&room, "m.room.member", &alice.user_id)
                    .await?
                    .context("she is not in the room")?;
                Ok((member[key] == value).then_some(()))
            })
            .await
    };
    alice.set_avatar(&mxc).await?;
    shows("avatar_url", mxc.as_str()).await?;
    alice.set_display_name("Ali\u{202e}ce @admin").await?;
    shows("displayname", "Ali\u{202e}ce @admin").await?;

    alice.send_text(&room, "hello").await?;
    let hello = wait_for_words_of(&carol, &channel, &name, "hello").await?;
    let avatar = hello.document["avatar"].as_str().context("no avatar")?;
    ensure!(!avatar.contains("mxc"), "{avatar}");
    let path = avatar
        .strip_prefix(world.bridge.base_url())
        .context("another address")?;
    let shown = reqwest::get(format!("{}{path}", world.bridge.base_url())).await?;
    ensure!(shown.status() == 200, "{}", shown.status());
    let kind = shown.headers()["content-type"].to_str()?.to_owned();
    ensure!(kind.starts_with("image/"), "{kind}");
    ensure!(shown.headers()["cross-origin-resource-policy"] == "cross-origin");
    let forged = format!(
        "{}{}",
        world.bridge.base_url(),
        path.replacen("face.", "face.A", 1)
    );
    ensure!(reqwest::get(forged).await?.status() == 404);

    // Nobody has an account for her, and she is no member.
    ensure!(carol.find_user(&world.puppet("alice")).await?.is_none());

    // A reply, a thread, an edit, a long text, a deletion.
    let question = carol.send(&channel, "a question").await?;
    let asked = alice.wait_for_text(&room, "a question").await?;
    alice.reply(&room, &asked.event_id, "an answer").await?;
    let answer = carol
        .wait_for_message(&channel, "the answer", |message| {
            message.text.ends_with("an answer")
        })
        .await?;
    ensure!(
        answer.quotes() == [question.as_str()],
        "{:?}",
        answer.document
    );
    ensure!(answer.document["alias"] == name.as_str());
    alice
        .send_in_thread(&room, &asked.event_id, "in the thread")
        .await?;
    let threaded = wait_for_words_of(&carol, &channel, &name, "in the thread").await?;
    ensure!(threaded.document["tmid"] == question.as_str());
    let event = alice.send_text(&room, "a mistake").await?;
    let mistake = wait_for_words_of(&carol, &channel, &name, "a mistake").await?;
    alice.edit_text(&room, &event, "put right").await?;
    let edited = carol
        .wait_for_words(&channel, &mistake.id, "put right")
        .await?;
    ensure!(edited.document["alias"] == name.as_str());
    alice.redact(&room, &event).await?;
    carol.wait_until_gone(&channel, &mistake.id).await?;

    // A file, and what is said with it.
    let file = Sample::pdf();
    alice
        .send_captioned(&room, &file, "about this file")
        .await?;
    let posted = carol
        .wait_for_message(&channel, "the file", |message| {
            message.document["file"]["_id"].is_string()
        })
        .await?;
    ensure!(posted.text == "about this file", "{:?}", posted.document);
    ensure!(posted.document["alias"] == name.as_str());
    ensure!(posted.username == World::ROCKET_BOT);

    // A file that is posted and not noted when the bridge is killed, and from then on she
    // has an account: there is one, and it is still hers to take away.
    let late = Rule::on("/api/v1/rooms.mediaConfirm")
        .answer_after_delay(60_000)
        .times(1);
    world.rocketchat.control().add_rule(late).await?;
    let song = Sample::wav(3).named("song.wav");
    let event = alice.send_captioned(&room, &song, "a song").await?;
    let first = carol.wait_for_text(&channel, "a song").await?;
    world.bridge.kill().await?;
    configure(&world, "never")?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    alice.send_text(&room, "with an account").await?;
    let own = carol.wait_for_text(&channel, "with an account").await?;
    ensure!(own.username == world.puppet("alice"), "{:?}", own.document);
    ensure!(count_of(&carol, &channel, "a song").await? == 1);
    alice.redact(&room, &event).await?;
    carol.wait_until_gone(&channel, &first.id).await?;

    // What is written on Rocket.Chat comes to her, and nothing of her own comes back.
    carol.send(&channel, "the last word").await?;
    alice.wait_for_text(&room, "the last word").await?;
    let texts = alice.room_texts(&room).await?;
    ensure!(
        texts.iter().filter(|text| *text == "hello").count() == 1,
        "{texts:?}"
    );
    Ok(())
}

#[tokio::test]
async fn reactions_of_relayed_people_are_one_and_say_who_is_behind() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_relayed_general().await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    let bot = World::ROCKET_BOT;
    let id = carol.send(&channel, "who likes it?").await?;
    let event = alice.wait_for_text(&room, "who likes it?").await?.event_id;
    let first = alice.react(&room, &event, "👍").await?;
    carol
        .wait_for_reactions(&channel, &id, &[(":thumbsup:", bot)])
        .await?;
    let second = bob.react(&room, &event, "👍").await?;
    let (alice_id, bob_id) = (world.user_id("alice"), world.user_id("bob"));
    let strip = |text: &str| text.replace('\u{200b}', "");
    let line = carol
        .wait_for_message(&channel, "who reacted", |message| {
            message.document["tmid"] == id.as_str()
                && strip(&message.text).contains(&alice_id)
                && strip(&message.text).contains(&bob_id)
        })
        .await?;
    let documents = carol.documents(&channel).await?;
    let lines = documents
        .iter()
        .filter(|document| document.document["tmid"] == id.as_str());
    ensure!(lines.count() == 1, "one line for both");

    // It stays as long as somebody gives it.
    alice.redact(&room, &first).await?;
    carol
        .wait_for_message(&channel, "the line without Alice", |message| {
            message.id == line.id && !strip(&message.text).contains(&alice_id)
        })
        .await?;
    carol
        .wait_for_reactions(&channel, &id, &[(":thumbsup:", bot)])
        .await?;
    bob.redact(&room, &second).await?;
    carol.wait_for_reactions(&channel, &id, &[]).await?;
    carol.wait_until_gone(&channel, &line.id).await?;

    // Killed after Rocket.Chat has it, and before the bridge knows.
    let late = Rule::on("/api/v1/chat.react")
        .answer_after_delay(60_000)
        .times(1);
    let control = world.rocketchat.control();
    control.add_rule(late).await?;
    alice.react(&room, &event, "❤️").await?;
    carol
        .wait_for_reactions(&channel, &id, &[(":heart:", bot)])
        .await?;
    world.bridge.kill_and_restart().await?;
    let line = carol
        .wait_for_message(&channel, "who reacted after the kill", |message| {
            message.document["tmid"] == id.as_str() && strip(&message.text).contains(&alice_id)
        })
        .await?;
    carol
        .wait_for_reactions(&channel, &id, &[(":heart:", bot)])
        .await?;

    // And not beneath what its author has deleted there.
    carol.delete(&channel, &id).await?;
    alice.wait_for_redaction(&room, &event).await?;
    carol.wait_until_gone(&channel, &line.id).await?;
    Ok(())
}

#[tokio::test]
async fn nobody_gains_rights_by_the_bridges_account() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_relayed_general().await?;
    // Calling everybody.
    world.give_power(&room, &world.user_id("alice"), 50).await?;
    alice
        .send_event(
            &room,
            "m.room.message",
            json!({
                "msgtype": "m.text", "body": "@room wake up, @all and @here",
                "m.mentions": { "room": true },
            }),
        )
        .await?;
    let loud = carol
        .wait_for_message(&channel, "the call", |message| {
            message.text.contains("wake up")
        })
        .await?;
    let called = loud.document["mentions"].as_array().cloned();
    ensure!(called.unwrap_or_default().is_empty(), "{:?}", loud.document);

    // Quoting what only the bridge's account may read.
    let group = carol
        .create_group("attic", &[&world.rocket_bot.username])
        .await?;
    let secret = carol.send(&group, "nobody else may know").await?;
    let link = carol.link_to(&secret).await?;
    alice.send_text(&room, &format!("see {link} there")).await?;
    let quoting = carol
        .wait_for_message(&channel, "the link", |message| {
            message.text.starts_with("see ")
        })
        .await?;
    ensure!(quoting.quotes().is_empty(), "{:?}", quoting.document);
    ensure!(
        !quoting
            .document
            .to_string()
            .contains("nobody else may know")
    );

    // Taking away what others wrote.
    world.let_tidy(&room, &world.user_id("alice")).await?;
    carol.send(&channel, "mine").await?;
    let mine = alice.wait_for_text(&room, "mine").await?;
    alice.redact(&room, &mine.event_id).await?;
    wait_for_notice(&alice, &room, "no account of your own").await?;
    ensure!(count_of(&carol, &channel, "mine").await? == 1);

    // Calling everybody by an edit.
    let quiet = alice.send_text(&room, "nothing much").await?;
    let quiet_id = carol.wait_for_text(&channel, "nothing much").await?.id;
    alice.edit_text(&room, &quiet, "marker for @all").await?;
    let edited = carol
        .wait_for_message(&channel, "the edit", |message| {
            message.id == quiet_id && message.text.contains("marker for")
        })
        .await?;
    let called = edited.document["mentions"].as_array().cloned();
    ensure!(
        called.unwrap_or_default().is_empty(),
        "{:?}",
        edited.document
    );
    ensure!(
        carol.find_user(&world.puppet("alice")).await?.is_none(),
        "an account was made for her"
    );

    // A command in somebody's words is none, and is answered nowhere.
    alice.send_text(&room, "!matrix help").await?;
    carol.wait_for_text(&channel, "!matrix help").await?;
    alice.send_text(&room, "after that").await?;
    carol.wait_for_text(&channel, "after that").await?;
    let rooms = world.rocket_bot.subscriptions().await?;
    ensure!(rooms.iter().all(|room| room["t"] != "d"), "{rooms:?}");

    // A room in which only some may write: set while the bridge is away, so that Matrix
    // does not know of it yet.
    world.bridge.kill().await?;
    world.rocket_admin().set_read_only(&channel, true).await?;
    alice.send_text(&room, "not for me to say").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    wait_for_notice(&alice, &room, "Only some may write").await?;
    ensure!(count_of(&carol, &channel, "not for me to say").await? == 0);
    Ok(())
}

#[tokio::test]
async fn without_a_seat_nothing_is_lost_and_with_one_people_get_their_account() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    let world = World::start(options).await?;
    let full = Rule::on("/api/v1/users.create")
        .username(World::ROCKET_BOT)
        .status_with(400, json!({}), NO_SEAT);
    world.rocketchat.control().add_rule(full).await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(world).await?;
    let control = world.rocketchat.control();
    let name = format!("alice ({})", world.user_id("alice"));
    let mut first = None;
    for number in 0..5 {
        let text = format!("without an account {number}");
        let event = alice.send_text(&room, &text).await?;
        let said = wait_for_words_of(&carol, &channel, &name, &text).await?;
        first.get_or_insert((event, said.id));
    }
    let (event, first) = first.context("nothing was said")?;
    wait_for_notice(&alice, &room, "allows no more users").await?;
    let notices = alice.room_texts(&room).await?;
    let told = notices
        .iter()
        .filter(|text| text.contains("allows no more users"));
    ensure!(told.count() == 1, "told once: {notices:?}");
    let rules = control.rules().await?;
    ensure!(rules[0]["hits"] == 1, "asked at each message: {rules}");

    // A direct message needs an account.
    let dm = alice.create_direct(&[&world.ghost("carol")]).await?;
    alice.send_text(&dm, "psst").await?;
    wait_for_notice(&alice, &dm, "allows no more users").await?;

    // Somebody goes, and there is a seat.
    control.clear_rules().await?;
    let erin = world.rocket_user("erin").await?;
    world
        .rocket_admin()
        .post("users.delete", json!({ "userId": erin.id }))
        .await?;
    let puppet = world.puppet("alice");
    let mut number = 0;
    let own = loop {
        number += 1;
        ensure!(number < 50, "no account although there is a seat");
        let text = format!("again {number}");
        alice.send_text(&room, &text).await?;
        let said = carol.wait_for_text(&channel, &text).await?;
        if said.username == puppet {
            break said;
        }
    };
    ensure!(
        own.document["alias"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    // What the bridge's account posted for her is still hers to change.
    alice.edit_text(&room, &event, "said better").await?;
    let edited = carol
        .wait_for_words(&channel, &first, "said better")
        .await?;
    ensure!(edited.username == World::ROCKET_BOT);
    alice.redact(&room, &event).await?;
    carol.wait_until_gone(&channel, &first).await?;

    // Her account is deleted, and there is no seat for another.
    let full = Rule::on("/api/v1/users.create")
        .username(World::ROCKET_BOT)
        .status_with(400, json!({}), NO_SEAT);
    control.add_rule(full).await?;
    let id = id_of(&carol, &puppet).await?;
    world
        .rocket_admin()
        .post("users.delete", json!({ "userId": id }))
        .await?;
    alice.send_text(&room, "without it again").await?;
    wait_for_words_of(&carol, &channel, &name, "without it again").await?;
    Ok(())
}

/// Lets another rule hold from the next start on.
pub(crate) fn configure(world: &World, relay: &str) -> Result<()> {
    let mut config = world.bridge.config()?;
    config["bridge"]["relay"] = Value::from(relay);
    world.bridge.write_config(&config)
}

#[tokio::test]
async fn a_message_is_there_once_and_its_authors_through_kills_and_changes_of_the_account()
-> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let control = world.rocketchat.control();
    let puppet = world.puppet("alice");
    let mut old: Vec<(String, String, &str)> = Vec::new();
    // Killed between posting and noting, and another account speaks from then on.
    for (number, relay) in ["everybody", "never", "everybody", "no_seat"]
        .into_iter()
        .enumerate()
    {
        let before = if number % 2 == 0 {
            puppet.as_str()
        } else {
            World::ROCKET_BOT
        };
        let text = format!("posted and not noted {number}");
        let late = Rule::on("/api/v1/chat.sendMessage")
            .answer_after_delay(60_000)
            .times(1);
        control.add_rule(late).await?;
        let event = alice.send_text(&room, &text).await?;
        let said = carol.wait_for_text(&channel, &text).await?;
        ensure!(said.username == before, "{:?}", said.document);
        world.bridge.kill().await?;
        configure(&world, relay)?;
        world.bridge.start()?;
        world.bridge.ready().await?;
        let marker = format!("marker {number}");
        alice.send_text(&room, &marker).await?;
        let marked = carol.wait_for_text(&channel, &marker).await?;
        let after = if number % 2 == 0 {
            World::ROCKET_BOT
        } else {
            puppet.as_str()
        };
        ensure!(marked.username == after, "{:?}", marked.document);
        ensure!(
            count_of(&carol, &channel, &text).await? == 1,
            "{text} came twice"
        );
        old.push((event, said.id, before));
    }
    // Each is edited and deleted with the account that posted it.
    for (number, (event, id, author)) in old.iter().enumerate() {
        let text = format!("edited {number}");
        alice.edit_text(&room, event, &text).await?;
        let edited = carol.wait_for_words(&channel, id, &text).await?;
        ensure!(edited.username == *author && edited.document["editedBy"]["username"] == *author);
        alice.redact(&room, event).await?;
        carol.wait_until_gone(&channel, id).await?;
    }
    // Nothing of all that came back.
    carol.send(&channel, "the end").await?;
    alice.wait_for_text(&room, "the end").await?;
    let ghosts = alice
        .room_messages(&room)
        .await?
        .into_iter()
        .filter(|event| event.sender.contains("_rocketchat_"))
        .count();
    ensure!(ghosts == 1, "something came back");
    Ok(())
}

#[tokio::test]
async fn without_the_right_to_other_names_the_name_stands_in_the_text() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_relayed_general().await?;
    let control = world.rocketchat.control();
    alice.send_text(&room, "with a name").await?;
    let before = carol.wait_for_text(&channel, "with a name").await?;
    ensure!(before.document["alias"].is_string());
    control
        .set_permission("message-impersonate", &["app"])
        .await?;
    let event = alice.send_text(&room, "one line").await?;
    let strip = |text: &str| text.replace('\u{200b}', "");
    let named = |message: &RocketMessage, text: &str| {
        let said = strip(&message.text);
        said.ends_with(&format!("\n{text}")) && said.contains(&world.user_id("alice"))
    };
    let said = carol
        .wait_for_message(&channel, "the name in the text", |message| {
            named(message, "one line")
        })
        .await?;
    ensure!(
        said.document["alias"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    alice.edit_text(&room, &event, "another line").await?;
    carol
        .wait_for_message(&channel, "the name in the edit", |message| {
            message.id == said.id && named(message, "another line")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_room_is_switched_over_and_back_by_who_may_change_it() -> Result<()> {
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
    wait_for_member(&world, &carol, &channel, &puppet, true).await?;
    let said_by = async |who: &MatrixUser, text: &str| -> Result<String> {
        who.send_text(&room, text).await?;
        Ok(carol.wait_for_text(&channel, text).await?.username)
    };
    ensure!(said_by(&alice, "as herself").await? == puppet);

    // Not everybody may.
    alice.send_text(&room, "!rc relay on").await?;
    wait_for_notice(&alice, &room, "That is for administrators").await?;
    alice.send_text(&room, "!rc relay sideways").await?;
    wait_for_notice(&alice, &room, "`!rc relay on`").await?;
    ensure!(said_by(&alice, "still as herself").await? == puppet);

    boss.send_text(&room, "!rc relay on").await?;
    wait_for_notice(&boss, &room, "So it was set for this room").await?;
    ensure!(said_by(&alice, "relayed").await? == bot);
    // Who comes now gets no account, and who has one stays a member with it.
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    ensure!(said_by(&bob, "new here").await? == bot);
    ensure!(carol.find_user(&world.puppet("bob")).await?.is_none());
    wait_for_member(&world, &carol, &channel, &puppet, true).await?;

    // What was done to the account holds for its owner.
    world.bridge.kill().await?;
    let admin = world.rocket_admin();
    admin.set_muted(&channel, &puppet, true).await?;
    alice.send_text(&room, "although muted").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    wait_for_notice(&alice, &room, "You are muted").await?;
    ensure!(count_of(&carol, &channel, "although muted").await? == 0);
    admin.set_muted(&channel, &puppet, false).await?;

    // From Rocket.Chat one sees how it is, and may not change it either.
    let desk = carol.open_dm(bot).await?;
    carol.send(&channel, "!matrix relay status").await?;
    carol
        .wait_for_message(&desk, "how it is", |message| {
            message.text.contains("So it was set for this room")
        })
        .await?;
    carol.send(&channel, "!matrix relay off").await?;
    carol
        .wait_for_message(&desk, "a refusal", |message| {
            message.text.contains("That is for administrators")
        })
        .await?;

    boss.send_text(&room, "!rc relay off").await?;
    wait_for_notice(
        &boss,
        &room,
        "with an account of their own on Rocket.Chat; who gets none",
    )
    .await?;
    ensure!(said_by(&bob, "as myself").await? == world.puppet("bob"));
    wait_for_member(&world, &carol, &channel, &world.puppet("bob"), true).await?;
    Ok(())
}

#[tokio::test]
async fn a_private_group_is_entered_without_an_account_only_by_right() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    // In which owners may upgrade rooms.
    options.synapse_config = json!({ "default_room_version": "10" });
    let General { world, carol, .. } = general_in(World::start(options).await?).await?;
    let boss = world.matrix_user("admin").await?;
    let (group, inner) = open_group(&world, &carol, &boss, "inner").await?;
    let bosses = world.puppet("admin");
    let body = json!({ "roomId": group, "userId": id_of(&carol, &bosses).await? });
    carol.post("groups.addModerator", body).await?;
    wait_for_level(&world, &boss, &inner, &boss.user_id, Some(50)).await?;
    boss.send_text(&inner, "!rc relay on").await?;
    wait_for_notice(&boss, &inner, "So it was set for this room").await?;

    // Invited by who may.
    let eve = world.matrix_user("eve").await?;
    boss.invite(&inner, &eve.user_id).await?;
    eve.join(&inner).await?;
    eve.send_text(&inner, "thank you").await?;
    let said = carol.wait_for_text(&group, "thank you").await?;
    ensure!(said.username == World::ROCKET_BOT, "{:?}", said.document);
    let members = carol.group_members(&group).await?;
    ensure!(!members.contains(&world.puppet("eve")), "{members:?}");

    // Who links an account that is no member goes on as before, and is told how it comes in.
    let evan = world.rocket_user("evan").await?;
    let desk = desk_of(&world, &eve).await?;
    link(&eve, &desk, &evan).await?;
    eve.wait_for_message(&desk, "how it comes in", |event| {
        event.body().contains("only somebody there can add it")
    })
    .await?;
    eve.send_text(&inner, "still without").await?;
    let said = carol.wait_for_text(&group, "still without").await?;
    ensure!(said.username == World::ROCKET_BOT, "{:?}", said.document);
    let body = json!({ "roomId": group, "userId": evan.id });
    carol.post("groups.invite", body).await?;
    let mut number = 0;
    loop {
        number += 1;
        ensure!(number < 50, "her account speaks not although it is there");
        let text = format!("by myself {number}");
        eve.send_text(&inner, &text).await?;
        let said = carol.wait_for_text(&group, &text).await?;
        if said.username == "evan" {
            break;
        }
    }
    // And who ends that is as before, whether there is a seat for an account or not.
    let full = Rule::on("/api/v1/users.create")
        .username(World::ROCKET_BOT)
        .status_with(400, json!({}), NO_SEAT);
    world.rocketchat.control().add_rule(full).await?;
    for relay in ["on", "default"] {
        boss.send_text(&inner, &format!("!rc relay {relay}"))
            .await?;
        let ended = ask(&eve, &desk, "logout").await?;
        ensure!(ended.contains("no longer linked"), "{ended}");
        let text = format!("as before, relay {relay}");
        eve.send_text(&inner, &text).await?;
        let said = carol.wait_for_text(&group, &text).await?;
        ensure!(said.username == World::ROCKET_BOT, "{:?}", said.document);
        link(&eve, &desk, &evan).await?;
    }
    let ended = ask(&eve, &desk, "logout").await?;
    ensure!(ended.contains("no longer linked"), "{ended}");
    ensure!(carol.find_user(&world.puppet("eve")).await?.is_none());
    world.rocketchat.control().clear_rules().await?;
    boss.send_text(&inner, "!rc relay on").await?;
    wait_for_notice(&boss, &inner, "So it was set for this room").await?;

    // By who may not: although the Matrix room would let them.
    let bots = world.matrix_bot()?;
    let mut levels = bots
        .state_content(&inner, "m.room.power_levels", "")
        .await?
        .context("no power levels")?;
    levels["invite"] = json!(0);
    bots.send_state(&inner, "m.room.power_levels", "", levels)
        .await?;
    let frank = world.matrix_user("frank").await?;
    eve.invite(&inner, &frank.user_id).await?;
    wait_for_membership(&boss, &inner, &frank.user_id, "leave").await?;
    wait_for_notice(&boss, &inner, "is taken back").await?;

    // She is taken along into the room that follows, which nobody else can enter.
    let body = json!({ "roomId": group, "userId": id_of(&carol, &bosses).await? });
    carol.post("groups.addOwner", body).await?;
    wait_for_level(&world, &boss, &inner, &boss.user_id, Some(100)).await?;
    let inner = upgrade(&boss, &inner, "11").await?;
    boss.invite(&inner, &bots.user_id).await?;
    eve.wait_for_invite("the room that follows", |invite| invite.room_id == inner)
        .await?;
    eve.join(&inner).await?;
    eve.send_text(&inner, "here too").await?;
    let said = carol.wait_for_text(&group, "here too").await?;
    ensure!(said.username == World::ROCKET_BOT, "{:?}", said.document);

    // With accounts again she is where she was by right.
    boss.send_text(&inner, "!rc relay off").await?;
    wait_for_notice(&boss, &inner, "who gets none is not heard").await?;
    eve.send_text(&inner, "as myself").await?;
    let said = carol.wait_for_text(&group, "as myself").await?;
    ensure!(said.username == world.puppet("eve"), "{:?}", said.document);
    wait_for_member(&world, &carol, &group, &world.puppet("eve"), true).await?;
    Ok(())
}
