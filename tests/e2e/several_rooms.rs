//! Several Matrix rooms on one channel.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;
use serde_json::json;
use testbed::{Event, MatrixUser, RocketUser, World, WorldOptions};

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
    let mut options = WorldOptions::new(BRIDGE);
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
    user.send_text(&room, "!rc bridge tea").await?;
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
        .send(channel, &format!("!matrix approve {code}"))
        .await?;
    wait_for_notice(user, &room, "is joined with tea").await?;
    Ok(room)
}

/// What the bot says in a room under somebody's name.
async fn said_as(
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
    bea.send_text(hall, "!rc unbridge").await?;
    wait_for_notice(bea, hall, "no longer").await?;
    wait_for_member(world, carol, channel, &world.puppet("bea"), false).await?;
    carol.send(channel, "after").await?;
    alice.wait_for_text(here, "after").await?;
    alice.send_text(here, "goes on").await?;
    carol.wait_for_text(channel, "goes on").await?;
    wait_for_member(world, carol, channel, &puppet, true).await?;
    let texts = bea.room_texts(hall).await?;
    assert!(!texts.iter().any(|text| text == "after"), "{texts:?}");
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
