//! Several Matrix rooms on one channel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;
use serde_json::json;
use testbed::{Event, MatrixUser, RocketUser, Rule, World, WorldOptions};

use crate::BRIDGE;
use crate::membership::{wait_for_member, wait_for_notice};

/// A channel with two rooms: the one that the bridge makes, in which Alice is, and one of
/// Bea's that was there before.
struct Two {
    world: World,
    alice: MatrixUser,
    bea: MatrixUser,
    carol: RocketUser,
    /// Alice's room.
    here: String,
    /// Bea's room.
    hall: String,
    channel: String,
}

async fn two_rooms() -> Result<Two> {
    two_rooms_in(WorldOptions::new(BRIDGE)).await
}

async fn two_rooms_in(mut options: WorldOptions) -> Result<Two> {
    options.bridge_admins = vec!["admin".into()];
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let bea = world.matrix_user("bea").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.create_channel("tea", &[]).await?;
    let here = alice.join(&world.alias("tea")).await?;
    let hall = join_hall(&world, &bea, (&carol, &channel)).await?;
    Ok(Two {
        world,
        alice,
        bea,
        carol,
        here,
        hall,
        channel,
    })
}

/// Makes a room and joins it with the channel `tea`, to which its owner agrees.
pub(crate) async fn join_hall(
    world: &World,
    user: &MatrixUser,
    (owner, channel): (&RocketUser, &str),
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
    // Commands are for rooms in which others are as well.
    let guest = world.matrix_user("guest").await?;
    guest.join(&room).await?;
    user.invite(&room, &bot).await?;
    wait_for_notice(user, &room, "I am the bridge to Rocket.Chat").await?;
    // Not every room of the channel is on this homeserver only.
    user.send_text(&room, "!rc bridge tea --confirm federated")
        .await?;
    let proposed = owner
        .wait_for_message(channel, "the proposal", |message| {
            message.text.contains("proposes to join") && message.text.contains(&room)
        })
        .await?;
    let (_, rest) = proposed.text.split_once("approve ").context("no code")?;
    let code: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    owner
        .send(
            channel,
            &format!("!matrix approve {code} --confirm federated"),
        )
        .await?;
    wait_for_notice(user, &room, "is joined with tea").await?;
    Ok(room)
}

/// What the bot says in a room under somebody's name.
pub(crate) async fn said_as(
    world: &World,
    user: &MatrixUser,
    room: &str,
    author: &MatrixUser,
    text: &str,
) -> Result<Event> {
    let bot = world.user_id("rocketchatbot");
    let event = user
        .wait_for_message(room, &format!("{text:?} of another room"), |event| {
            event.sender == bot && event.body().ends_with(text)
        })
        .await?;
    // As a name it may not look like a mention.
    let body = event.body();
    let id = author.user_id.trim_start_matches('@');
    assert!(body.contains(id), "whose it is: {body}");
    let name = event.text("/com.beeper.per_message_profile/displayname");
    assert!(name.contains(&*author.user_id), "{name}");
    Ok(event)
}

#[tokio::test]
async fn two_rooms_and_their_channel_hear_each_other_once() -> Result<()> {
    let Two {
        ref world,
        ref alice,
        ref bea,
        ref carol,
        ref here,
        ref hall,
        ref channel,
    } = two_rooms().await?;
    let bot = world.user_id("rocketchatbot");

    // Words, both ways, with their edits.
    let hello = alice.send_text(here, "hello").await?;
    let hello_there = carol.wait_for_text(channel, "hello").await?;
    let in_hall = said_as(world, bea, hall, alice, "hello").await?;
    alice.edit_text(here, &hello, "hello all").await?;
    bea.wait_until(hall, "the edit", |events| {
        events
            .iter()
            .any(|event| event.new_body().ends_with("hello all"))
            .then_some(())
    })
    .await?;

    // What a moderator of Rocket.Chat makes of it is in nobody else's mouth.
    carol.edit(channel, &hello_there.id, "no, I resign").await?;
    let ghost = world.ghost("carol");
    for (user, room, said) in [(alice, here, &hello), (bea, hall, &in_hall.event_id)] {
        let told = user
            .wait_for_message(room, "whose edit it is", |event| {
                event.body().contains("no, I resign")
            })
            .await?;
        assert_eq!(told.sender, ghost, "{}", told.body());
        assert!(
            told.body().contains("edited this message"),
            "{}",
            told.body()
        );
        assert!(!told.body().contains("alice"), "{}", told.body());
        assert_eq!(told.in_reply_to(), Some(&**said));
    }

    // An answer refers to the same message everywhere.
    bea.reply(hall, &in_hall.event_id, "hello Alice").await?;
    let answer = said_as(world, alice, here, bea, "hello Alice").await?;
    assert_eq!(answer.in_reply_to(), Some(&*hello));
    let root = carol.send(channel, "a thread").await?;
    let root_here = alice.wait_for_text(here, "a thread").await?.event_id;
    let root_in_hall = bea.wait_for_text(hall, "a thread").await?.event_id;
    bea.send_in_thread(hall, &root_in_hall, "in it").await?;
    let inside = said_as(world, alice, here, bea, "in it").await?;
    assert_eq!(inside.relation(), Some(("m.thread", &*root_here)));
    carol.send_in_thread(channel, &root, "as well").await?;
    alice.wait_for_text(here, "as well").await?;
    bea.wait_for_text(hall, "as well").await?;

    // All who react elsewhere are one reaction of the bot's.
    let guest = world.matrix_user("guest").await?;
    let one = bea.react(hall, &in_hall.event_id, "👍").await?;
    alice
        .wait_for_reactions(here, &hello, &[(&bot, "👍")])
        .await?;
    let two = guest.react(hall, &in_hall.event_id, "👍").await?;
    let (beas, guests) = (world.puppet("bea"), world.puppet("guest"));
    carol
        .wait_for_reactions(
            channel,
            &hello_there.id,
            &[(":thumbsup:", &beas), (":thumbsup:", &guests)],
        )
        .await?;
    alice.react(here, &hello, "🎉").await?;
    bea.wait_for_reactions(
        hall,
        &in_hall.event_id,
        &[(&*bea.user_id, "👍"), (&*guest.user_id, "👍"), (&bot, "🎉")],
    )
    .await?;
    bea.redact(hall, &one).await?;
    let alices = world.puppet("alice");
    carol
        .wait_for_reactions(
            channel,
            &hello_there.id,
            &[(":thumbsup:", &guests), (":tada:", &alices)],
        )
        .await?;
    guest.redact(hall, &two).await?;
    alice
        .wait_for_reactions(here, &hello, &[(&*alice.user_id, "🎉")])
        .await?;

    // Files, and deletions.
    let picture = testbed::Sample::png(1, 40, 30)?;
    let file = bea.send_file(hall, &picture, |_| ()).await?;
    let shown = alice
        .wait_for_message(here, "the picture", |event| {
            event.sender == bot && event.msgtype() == "m.image"
        })
        .await?;
    bea.redact(hall, &file).await?;
    alice.wait_for_redaction(here, &shown.event_id).await?;
    alice.redact(here, &hello).await?;
    carol.wait_until_gone(channel, &hello_there.id).await?;
    bea.wait_for_redaction(hall, &in_hall.event_id).await?;

    // Everything once, and nobody hears themselves.
    carol.send(channel, "the end").await?;
    alice.wait_for_text(here, "the end").await?;
    bea.wait_for_text(hall, "the end").await?;
    for event in bea.room_events(hall).await? {
        let resigns = event.new_body().contains("resign") || event.body().contains("resign");
        assert!(!resigns || event.sender == ghost, "{event:?}");
    }
    for (user, room) in [(alice, here), (bea, hall)] {
        let texts = user.room_texts(room).await?;
        for text in ["hello Alice", "in it", "as well", "a thread", "the end"] {
            let count = texts.iter().filter(|said| said.ends_with(text)).count();
            assert_eq!(count, 1, "{text} in {texts:?}");
        }
    }
    let texts = carol.room_texts(channel).await?;
    let count = texts.iter().filter(|said| said.ends_with("in it")).count();
    assert_eq!(count, 1, "{texts:?}");
    Ok(())
}

#[tokio::test]
async fn files_of_one_name_in_both_rooms_are_told_apart_on_an_old_server() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.sim_args = vec!["--version-profile".into(), "6.9".into()];
    let Two {
        ref world,
        ref alice,
        ref bea,
        ref carol,
        ref here,
        ref hall,
        ref channel,
    } = two_rooms_in(options).await?;
    // One person in both rooms: on Rocket.Chat both files are from the same account.
    bea.join(here).await?;
    bea.send_text(here, "from both").await?;
    said_as(world, bea, hall, bea, "from both").await?;
    let bot = world.user_id("rocketchatbot");
    let control = world.rocketchat.control();
    let upload = || Rule::on("/api/v1/rooms.upload/");
    let moments = [
        // The news come long before the answer; one answer is lost; both are.
        upload().times(2).answer_after_delay(1500),
        upload().times(1).do_without_answering(),
        upload().times(2).do_without_answering(),
    ];
    for (number, rule) in moments.into_iter().enumerate() {
        control.clear_rules().await?;
        control.add_rule(rule).await?;
        let size = 30 + 10 * u32::try_from(number)?;
        let one = testbed::Sample::png(1, size, 30)?.named("image.png");
        let other = testbed::Sample::png(2, 20, size)?.named("image.png");
        let (ours, halls) = tokio::try_join!(
            bea.send_file(here, &one, |_| ()),
            bea.send_file(hall, &other, |_| ())
        )?;
        let shown = async |user: &MatrixUser, room: &str| {
            user.wait_until(room, "the other room's picture", |events| {
                let pictures = events.iter().filter(|event| {
                    event.sender == bot && event.msgtype() == "m.image" && !event.is_redacted()
                });
                let all: Vec<_> = pictures.cloned().collect();
                (all.len() == 1).then(|| all[0].clone())
            })
            .await
        };
        let (in_here, in_hall) = (shown(alice, here).await?, shown(bea, hall).await?);
        for (event, expected) in [(&in_here, &other), (&in_hall, &one)] {
            let (_, bytes) = bea.download(event.text("/url")).await?;
            assert!(bytes == expected.bytes, "the right one, {number}");
        }
        // Each goes with its own event.
        bea.redact(here, &ours).await?;
        bea.wait_for_redaction(hall, &in_hall.event_id).await?;
        assert!(!alice.event(here, &in_here.event_id).await?.is_redacted());
        bea.redact(hall, &halls).await?;
        alice.wait_for_redaction(here, &in_here.event_id).await?;
        carol
            .wait_until(channel, "no picture to be left", |messages| {
                let files = messages.iter().filter(|m| m.file_link().is_some());
                (files.count() == 0).then_some(())
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_is_in_two_rooms_of_a_channel_leaves_it_with_the_last() -> Result<()> {
    let Two {
        ref world,
        ref alice,
        ref bea,
        ref carol,
        ref here,
        ref hall,
        ref channel,
    } = two_rooms().await?;
    let puppet = world.puppet("alice");
    alice.join(hall).await?;
    alice.send_text(here, "from here").await?;
    carol.wait_for_text(channel, "from here").await?;
    said_as(world, bea, hall, alice, "from here").await?;
    alice.send_text(hall, "from the hall").await?;
    said_as(world, alice, here, alice, "from the hall").await?;
    wait_for_member(world, carol, channel, &puppet, true).await?;

    // Out of one, and still there for the other.
    alice.leave(here).await?;
    alice.send_text(hall, "still here").await?;
    carol.wait_for_text(channel, "still here").await?;
    wait_for_member(world, carol, channel, &puppet, true).await?;
    alice.leave(hall).await?;
    wait_for_member(world, carol, channel, &puppet, false).await?;

    // One room ends, and the other goes on with its people.
    bea.send_text(hall, "before").await?;
    carol.wait_for_text(channel, "before").await?;
    alice.join(here).await?;
    alice.send_text(here, "back").await?;
    said_as(world, bea, hall, alice, "back").await?;
    // What is said in it last arrives in the other one, also when that is just being read
    // back as it was before.
    let control = world.rocketchat.control();
    let slowly = Rule::on("/api/v1/chat.syncMessages").times(2);
    control.add_rule(slowly.answer_after_delay(2000)).await?;
    control.drop_sockets(None).await?;
    world
        .eventually("both to be read back", async || {
            let asked = control.rules().await?[0]["hits"].as_u64();
            Ok((asked == Some(2)).then_some(()))
        })
        .await?;
    for number in 0..5 {
        bea.send_text(hall, &format!("last word {number}.")).await?;
    }
    bea.send_text(hall, "!rc unbridge").await?;
    wait_for_notice(bea, hall, "no longer").await?;
    for number in 0..5 {
        said_as(world, alice, here, bea, &format!("last word {number}.")).await?;
    }
    wait_for_member(world, carol, channel, &world.puppet("bea"), false).await?;
    carol.send(channel, "after").await?;
    alice.wait_for_text(here, "after").await?;
    alice.send_text(here, "goes on").await?;
    carol.wait_for_text(channel, "goes on").await?;
    wait_for_member(world, carol, channel, &puppet, true).await?;
    let texts = bea.room_texts(hall).await?;
    assert!(!texts.iter().any(|text| text == "after"), "{texts:?}");
    let texts = alice.room_texts(here).await?;
    let last = texts.iter().filter(|text| text.contains("last word"));
    assert_eq!(last.count(), 5, "each once: {texts:?}");
    Ok(())
}

/// The answer of the bot to what somebody wrote.
async fn answer_to(user: &MatrixUser, room: &str, event: &str, text: &str) -> Result<Event> {
    user.wait_for_message(room, &format!("{text:?} as an answer"), |found| {
        found.msgtype() == "m.notice"
            && found.in_reply_to() == Some(event)
            && found.body().contains(text)
    })
    .await
}

#[tokio::test]
async fn what_does_not_reach_another_room_its_author_is_told_and_sends_again() -> Result<()> {
    let Two {
        ref world,
        ref alice,
        ref bea,
        ref carol,
        ref here,
        ref hall,
        ref channel,
    } = two_rooms().await?;
    let guest = world.matrix_user("guest").await?;
    guest.join(here).await?;
    alice.send_text(here, "for all").await?;
    said_as(world, bea, hall, alice, "for all").await?;

    // Only who has more power than the bot speaks in the hall.
    let mut levels = bea
        .state_content(hall, "m.room.power_levels", "")
        .await?
        .context("no power levels")?;
    let before = levels.clone();
    levels["events_default"] = json!(60);
    bea.send_state(hall, "m.room.power_levels", "", levels)
        .await?;
    let lost = alice.send_text(here, "not for the hall").await?;
    let told = answer_to(alice, here, &lost, "did not reach").await?;
    assert!(told.body().contains(hall), "{}", told.body());
    // Of what is said on Rocket.Chat it is told there, and of which room.
    carol.send(channel, "from Carol").await?;
    carol
        .wait_for_message(channel, "that it did not reach the hall", |message| {
            message.text.contains("did not reach") && message.text.contains(hall)
        })
        .await?;
    alice.wait_for_text(here, "from Carol").await?;
    // Once, whatever becomes of it later.
    let lost_there = carol.wait_for_text(channel, "not for the hall").await?;
    carol.react(&lost_there.id, ":tada:", true).await?;
    let carols = world.ghost("carol");
    alice
        .wait_for_reactions(here, &lost, &[(&carols, "🎉")])
        .await?;

    // It is theirs: nobody else sees it, or sends it again.
    let asked = guest.send_text(here, "!rc failed").await?;
    answer_to(&guest, here, &asked, "Nothing was given up").await?;
    let asked = alice.send_text(here, "!rc failed").await?;
    let letters = answer_to(alice, here, &asked, hall).await?;
    assert_eq!(letters.body().lines().count(), 1, "{}", letters.body());
    bea.send_state(hall, "m.room.power_levels", "", before)
        .await?;
    let asked = guest.send_text(here, "!rc resend").await?;
    answer_to(&guest, here, &asked, "Nothing was given up").await?;
    alice.send_text(here, "!rc resend").await?;
    said_as(world, bea, hall, alice, "not for the hall").await?;
    let asked = alice.send_text(here, "!rc failed").await?;
    answer_to(alice, here, &asked, "Nothing was given up").await?;
    let texts = alice.room_texts(here).await?;
    let told = texts.iter().filter(|text| text.contains("did not reach"));
    assert_eq!(told.count(), 1, "{texts:?}");

    // What is kept is not forgotten when the room ends from which it came.
    let mut levels = bea
        .state_content(hall, "m.room.power_levels", "")
        .await?
        .context("no power levels")?;
    let before = levels.clone();
    levels["events_default"] = json!(60);
    bea.send_state(hall, "m.room.power_levels", "", levels)
        .await?;
    let lost = alice.send_text(here, "kept for the hall").await?;
    answer_to(alice, here, &lost, "did not reach").await?;
    let admin = world.matrix_user("admin").await?;
    admin.join(here).await?;
    admin.send_text(here, "!rc unbridge").await?;
    wait_for_notice(alice, here, "no longer").await?;
    alice
        .wait_for_members(here, &[&alice.user_id, &guest.user_id, &admin.user_id])
        .await?;
    bea.send_state(hall, "m.room.power_levels", "", before)
        .await?;
    admin.join(hall).await?;
    admin.send_text(hall, "!rc resend").await?;
    said_as(world, bea, hall, alice, "kept for the hall").await?;
    Ok(())
}

#[tokio::test]
async fn many_messages_cost_few_questions_and_a_ban_counts_at_once() -> Result<()> {
    let Two {
        ref world,
        ref alice,
        ref bea,
        ref carol,
        ref here,
        ref hall,
        ref channel,
    } = two_rooms().await?;
    for number in 0..30 {
        alice.send_text(here, &format!("message {number}.")).await?;
    }
    said_as(world, bea, hall, alice, "message 29.").await?;
    let questions = || {
        let logs = world.bridge.logs();
        let asks = logs.lines().filter(|line| {
            line.contains("asking who somebody is in a room") && line.contains(&*alice.user_id)
        });
        asks.count()
    };
    // Who they are in either room; joining the first one may have been news in between.
    let asked = questions();
    assert!((2..=4).contains(&asked), "{asked}");

    bea.ban(hall, &alice.user_id, "").await?;
    let kept = alice.send_text(here, "after the ban").await?;
    answer_to(alice, here, &kept, "is banned from another room").await?;
    alice.send_text(here, "once more").await?;
    carol.wait_for_text(channel, "once more").await?;
    carol.send(channel, "marker").await?;
    bea.wait_for_text(hall, "marker").await?;
    bea.unban(hall, &alice.user_id).await?;
    alice.send_text(here, "in between").await?;
    said_as(world, bea, hall, alice, "in between").await?;
    // Of what the bridge does itself no news come to it.
    world.matrix_bot()?.ban(hall, &alice.user_id, "").await?;
    let kept = alice.send_text(here, "after the bot's ban").await?;
    answer_to(alice, here, &kept, "is banned from another room").await?;
    bea.unban(hall, &alice.user_id).await?;
    alice.send_text(here, "back again").await?;
    said_as(world, bea, hall, alice, "back again").await?;
    let texts = bea.room_texts(hall).await?;
    for text in ["after the ban", "once more", "after the bot's ban"] {
        assert!(!texts.iter().any(|said| said.ends_with(text)), "{text}");
    }
    let texts = alice.room_texts(here).await?;
    let told = texts.iter().filter(|text| text.contains("is banned from"));
    assert_eq!(told.count(), 2, "once for each ban: {texts:?}");

    // Their new name is shown at once as well.
    alice.set_display_name("Alice the Great").await?;
    world
        .eventually("the name to be in the room", async || {
            let member = alice
                .state_content(here, "m.room.member", &alice.user_id)
                .await?;
            Ok(member.filter(|member| member["displayname"] == "Alice the Great"))
        })
        .await?;
    alice.send_text(here, "under my new name").await?;
    let shown = said_as(world, bea, hall, alice, "under my new name").await?;
    assert!(shown.body().contains("Alice the Great"), "{}", shown.body());
    Ok(())
}

/// Brings what others say in one room into another, for ever.
async fn bring(user: &MatrixUser, from: &str, to: &str) -> Result<()> {
    let mut done = 0;
    loop {
        let said = user
            .wait_until_within(Duration::from_secs(600), from, "words", |events| {
                let all = events.iter().filter(|event| {
                    event.sender != user.user_id && event.msgtype().starts_with("m.")
                });
                let all: Vec<_> = all.cloned().collect();
                (all.len() > done).then_some(all)
            })
            .await?;
        for event in said.iter().skip(done) {
            let text = format!("[{}] {}", event.sender, event.body());
            user.send_text(to, &text).await?;
        }
        done = said.len();
    }
}

#[tokio::test]
async fn a_program_that_connects_two_rooms_of_a_channel_is_stopped() -> Result<()> {
    let Two {
        ref world,
        ref alice,
        ref bea,
        ref carol,
        ref here,
        ref hall,
        ref channel,
    } = two_rooms().await?;
    let relay = world.matrix_user("relay").await?;
    relay.join(here).await?;
    relay.join(hall).await?;
    let people = async {
        alice.send_text(here, "good morning everybody").await?;
        let told = carol
            .wait_for_message(channel, "that it was stopped", |message| {
                message
                    .text
                    .contains("brings what is said in one Matrix room")
            })
            .await?;
        assert!(told.text.contains("5 minutes"), "{}", told.text);
        // Whoever else says the same is heard, in both rooms.
        bea.send_text(hall, "Bea says good morning everybody")
            .await?;
        said_as(world, alice, here, bea, "Bea says good morning everybody").await?;
        carol.send(channel, "and Carol").await?;
        alice.wait_for_text(here, "and Carol").await?;
        bea.wait_for_text(hall, "and Carol").await?;
        Ok::<(), anyhow::Error>(())
    };
    tokio::select! {
        outcome = people => outcome?,
        outcome = bring(&relay, here, hall) => outcome?,
        outcome = bring(&relay, hall, here) => outcome?,
    }
    // Ten rounds each way, and what was on its way.
    let texts = carol.room_texts(channel).await?;
    let said = texts
        .iter()
        .filter(|text| text.ends_with("good morning everybody") && !text.contains("Bea says"));
    let said = said.count();
    assert!((5..=26).contains(&said), "{said}: {texts:?}");
    let told = texts.iter().filter(|text| text.contains("round and round"));
    assert_eq!(
        told.filter(|text| !text.starts_with('[')).count(),
        1,
        "{texts:?}"
    );
    Ok(())
}

/// How many messages are said while the bridge is killed.
const MESSAGES: usize = 40;

#[tokio::test]
async fn killed_again_and_again_two_rooms_and_their_channel_say_the_same() -> Result<()> {
    let Two {
        ref world,
        ref alice,
        ref bea,
        ref carol,
        ref here,
        ref hall,
        ref channel,
    } = two_rooms().await?;
    let mut expected = BTreeSet::new();
    for number in 0..MESSAGES {
        let text = format!("message {number}.");
        match number % 3 {
            0 => drop(alice.send_text(here, &text).await?),
            1 => drop(bea.send_text(hall, &text).await?),
            _ => drop(carol.send(channel, &text).await?),
        }
        expected.insert(text);
        if rand::rng().random_range(0..8) == 0 {
            world.bridge.kill().await?;
            world.bridge.start()?;
        }
    }
    world.bridge.ready().await?;
    let ours = |texts: Vec<String>| {
        let mut ours: Vec<String> = texts
            .iter()
            .filter_map(|text| Some(text[text.find("message ")?..].to_owned()))
            .collect();
        ours.sort();
        ours
    };
    let expected: Vec<String> = expected.into_iter().collect();
    world
        .eventually("all three to say the same", async || {
            let everywhere = [
                ours(alice.room_texts(here).await?),
                ours(bea.room_texts(hall).await?),
                ours(carol.room_texts(channel).await?),
            ];
            for (at, said) in everywhere.into_iter().enumerate() {
                if said != expected {
                    bail!("{at}: {said:?} instead of {expected:?}");
                }
            }
            Ok(Some(()))
        })
        .await
}

/// How many changes are made to what people have said.
const CHANGES: usize = 36;

/// Emoji and their names.
const EMOJI: [(&str, &str); 3] = [("👍", ":thumbsup:"), ("🎉", ":tada:"), ("❤️", ":heart:")];

/// Who says something: Alice in her room, Bea in the hall, Carol on Rocket.Chat.
const PEOPLE: usize = 3;

/// Something that one of them has said.
struct Said {
    author: usize,
    text: String,
    is_deleted: bool,
    /// What it is in Alice's room, in the hall and on Rocket.Chat.
    ids: [String; PEOPLE],
    /// Who reacts with what; on Matrix as which event.
    reactions: BTreeMap<(usize, usize), String>,
}

/// What is to be seen of a message: its text, and who reacts with which emoji.
type Shown = Option<(String, BTreeSet<(String, usize)>)>;

impl Two {
    async fn say(&self, author: usize, text: &str) -> Result<Said> {
        match author {
            0 => drop(self.alice.send_text(&self.here, text).await?),
            1 => drop(self.bea.send_text(&self.hall, text).await?),
            _ => drop(self.carol.send(&self.channel, text).await?),
        }
        let find = async |user: &MatrixUser, room: &str| {
            let event = user.wait_for_message(room, text, |event| event.body().ends_with(text));
            Ok::<_, anyhow::Error>(event.await?.event_id)
        };
        Ok(Said {
            author,
            text: text.to_owned(),
            is_deleted: false,
            ids: [
                find(&self.alice, &self.here).await?,
                find(&self.bea, &self.hall).await?,
                self.carol.wait_for_text(&self.channel, text).await?.id,
            ],
            reactions: BTreeMap::new(),
        })
    }

    /// Somebody edits, deletes, reacts or takes a reaction back.
    async fn change(&self, one: &mut Said, number: usize) -> Result<()> {
        if one.is_deleted {
            return Ok(());
        }
        let on_matrix = [(&self.alice, &self.here), (&self.bea, &self.hall)];
        let id = one.ids[one.author].clone();
        match rand::rng().random_range(0..20) {
            0 => {
                one.is_deleted = true;
                match on_matrix.get(one.author) {
                    Some((user, room)) => drop(user.redact(room, &id).await?),
                    None => self.carol.delete(&self.channel, &id).await?,
                }
            }
            1..8 => {
                let (first, _) = one.text.split_once(':').context("no number")?;
                one.text = format!("{first}: change {number}.");
                match on_matrix.get(one.author) {
                    Some((user, room)) => drop(user.edit_text(room, &id, &one.text).await?),
                    None => self.carol.edit(&self.channel, &id, &one.text).await?,
                }
            }
            _ => {
                let who = rand::rng().random_range(0..PEOPLE);
                let emoji = rand::rng().random_range(0..EMOJI.len());
                let (id, key) = (&one.ids[who], (who, emoji));
                let given = one.reactions.remove(&key);
                let event = match (on_matrix.get(who), &given) {
                    (Some((user, room)), Some(event)) => {
                        user.redact(room, event).await?;
                        String::new()
                    }
                    (Some((user, room)), None) => user.react(room, id, EMOJI[emoji].0).await?,
                    (None, _) => {
                        let (_, name) = EMOJI[emoji];
                        self.carol.react(id, name, given.is_none()).await?;
                        String::new()
                    }
                };
                if given.is_none() {
                    one.reactions.insert(key, event);
                }
            }
        }
        Ok(())
    }

    /// Under which name one of them reacts in a place.
    fn reacts_as(&self, who: usize, place: usize) -> String {
        let world = &self.world;
        match (place, who) {
            (0, 0) => self.alice.user_id.clone(),
            (1, 1) => self.bea.user_id.clone(),
            (2, 0) => world.puppet("alice"),
            (2, 1) => world.puppet("bea"),
            (2, _) => "carol".to_owned(),
            (_, 2) => world.ghost("carol"),
            // All who are elsewhere on Matrix are one.
            _ => world.user_id("rocketchatbot"),
        }
    }

    fn expected(&self, one: &Said, place: usize) -> Shown {
        let reactions = one.reactions.keys();
        let reactions = reactions.map(|(who, emoji)| (self.reacts_as(*who, place), *emoji));
        (!one.is_deleted).then(|| (one.text.clone(), reactions.collect()))
    }

    async fn shown(&self, one: &Said, place: usize) -> Result<Shown> {
        let id = &one.ids[place];
        let mut reactions = BTreeSet::new();
        let (user, room) = match place {
            0 => (&self.alice, &self.here),
            1 => (&self.bea, &self.hall),
            _ => {
                let messages = self.carol.room_messages(&self.channel).await?;
                let Some(found) = messages.into_iter().find(|message| message.id == *id) else {
                    return Ok(None);
                };
                for (name, user) in found.reactions() {
                    let emoji = EMOJI.iter().position(|(_, emoji)| *emoji == name);
                    reactions.insert((user, emoji.context("another emoji")?));
                }
                return Ok(Some((found.text, reactions)));
            }
        };
        if user.event(room, id).await?.is_redacted() {
            return Ok(None);
        }
        let shown = user.shown(room, id).await?;
        let body = shown["body"].as_str().unwrap_or_default();
        let said_from = body.find("message ").unwrap_or_default();
        for (user, key) in user.reactions(room, id).await? {
            let emoji = EMOJI.iter().position(|(emoji, _)| *emoji == key);
            reactions.insert((user, emoji.context("another emoji")?));
        }
        Ok(Some((body[said_from..].to_owned(), reactions)))
    }
}

#[tokio::test]
async fn whatever_breaks_between_changes_two_rooms_and_their_channel_agree() -> Result<()> {
    let two = two_rooms().await?;
    let mut said = Vec::new();
    for number in 0..2 * PEOPLE {
        let text = format!("message {number}: first.");
        said.push(two.say(number % PEOPLE, &text).await?);
    }
    let written = two.carol.room_messages(&two.channel).await?.len() - said.len();
    let control = two.world.rocketchat.control();
    for number in 0..CHANGES {
        let at = rand::rng().random_range(0..said.len());
        two.change(&mut said[at], number).await?;
        match rand::rng().random_range(0..14) {
            0 => {
                two.world.bridge.kill().await?;
                two.world.bridge.start()?;
            }
            1 => drop(control.drop_sockets(None).await?),
            _ => {}
        }
    }
    two.world.bridge.ready().await?;
    two.world
        .eventually("all three to show the same", async || {
            for one in &said {
                for place in 0..PEOPLE {
                    let (expected, shown) =
                        (two.expected(one, place), two.shown(one, place).await?);
                    if shown != expected {
                        bail!(
                            "{} in {place}: {shown:?} instead of {expected:?}",
                            one.ids[place]
                        );
                    }
                }
            }
            Ok(Some(()))
        })
        .await?;
    let left = said.iter().filter(|one| !one.is_deleted).count();
    let now = two.carol.room_messages(&two.channel).await?.len();
    assert_eq!(now, written + left, "nothing else was said");
    for (user, room) in [(&two.alice, &two.here), (&two.bea, &two.hall)] {
        let events = user.room_messages(room).await?;
        let said = events.iter().filter(|event| {
            let is_word = event.msgtype() == "m.text" && event.new_body().is_empty();
            is_word && event.body().contains("message ") && !event.is_redacted()
        });
        assert_eq!(said.count(), left, "nothing else was said in {room}");
    }
    Ok(())
}
