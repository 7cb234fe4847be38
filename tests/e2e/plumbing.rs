//! Rooms that existed on both sides and are joined.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketMessage, RocketUser, World, WorldOptions};

use crate::BRIDGE;
use crate::membership::{id_of, level_of, wait_for_member, wait_for_membership, wait_for_notice};

/// A world in which nothing is mirrored.
pub(crate) async fn world(change: impl FnOnce(&mut WorldOptions)) -> Result<World> {
    let mut options = WorldOptions::new(BRIDGE);
    options.bridge_admins = vec!["admin".into()];
    change(&mut options);
    World::start(options).await
}

/// The room of somebody on Matrix, with the bot in it.
pub(crate) async fn hall(world: &World, owner: &MatrixUser, options: Value) -> Result<String> {
    let bot = world.user_id("rocketchatbot");
    let mut whole = json!({
        // In which nobody is above all.
        "room_version": "11", "name": "Hall", "topic": "The old hall",
        "power_level_content_override": { "users": {
            (owner.user_id.as_str()): 100, (bot.as_str()): 50,
        } },
    });
    for (key, value) in options.as_object().context("options")? {
        whole[key] = value.clone();
    }
    let room = owner.create_room(whole).await?;
    // Commands are for rooms in which others are as well.
    let guest = world.matrix_user("guest").await?;
    owner.invite(&room, &guest.user_id).await?;
    guest.join(&room).await?;
    owner.invite(&room, &bot).await?;
    wait_for_notice(owner, &room, "I am the bridge to Rocket.Chat").await?;
    Ok(room)
}

/// A room that nobody else's homeserver may keep.
pub(crate) fn alone(preset: &str) -> Value {
    json!({ "preset": preset, "creation_content": { "m.federate": false } })
}

/// Gives a command in a room and waits for an answer with this in it.
pub(crate) async fn ask(
    user: &MatrixUser,
    room: &str,
    command: &str,
    part: &str,
) -> Result<String> {
    let event = user.send_text(room, &format!("!rc {command}")).await?;
    let answer = user
        .wait_for_message(room, &format!("an answer with {part:?}"), |answer| {
            answer.in_reply_to() == Some(&event) && answer.body().contains(part)
        })
        .await?;
    Ok(answer.body().to_owned())
}

/// The same on Rocket.Chat, where the answer comes in the direct message with the bridge's
/// account.
pub(crate) async fn ask_there(
    user: &RocketUser,
    rid: &str,
    command: &str,
    part: &str,
) -> Result<String> {
    let desk = user.open_dm(World::ROCKET_BOT).await?;
    let answers = |messages: &[RocketMessage]| {
        let all = messages.iter().filter(|m| m.username == World::ROCKET_BOT);
        all.map(|m| m.text.clone()).collect::<Vec<_>>()
    };
    let before = answers(&user.room_messages(&desk).await?).len();
    user.send(rid, &format!("!matrix {command}")).await?;
    user.wait_until(&desk, &format!("an answer with {part:?}"), |messages| {
        let new = answers(messages).into_iter().skip(before);
        new.into_iter()
            .map(|text| bare(&text))
            .find(|text| text.contains(part))
    })
    .await
}

/// Without what keeps a name from being taken for a mention.
fn bare(text: &str) -> String {
    text.replace('\u{200b}', "")
}

/// The code in a notice.
pub(crate) fn code_in(notice: &str) -> Result<String> {
    let (_, rest) = notice.split_once("approve ").context("no code")?;
    Ok(rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect())
}

/// Waits for a proposal in a channel and gives its code.
pub(crate) async fn proposal_there(user: &RocketUser, rid: &str) -> Result<(String, String)> {
    let notice = user
        .wait_for_message(rid, "the proposal", |message| {
            message.username == World::ROCKET_BOT && message.text.contains("proposes to join")
        })
        .await?;
    Ok((code_in(&notice.text)?, bare(&notice.text)))
}

/// As [`proposal_there`], in a Matrix room.
pub(crate) async fn proposal_here(user: &MatrixUser, room: &str) -> Result<(String, String)> {
    let notice = wait_for_notice(user, room, "proposes to join").await?;
    Ok((code_in(notice.body())?, notice.body().to_owned()))
}

/// Waits until what is written in one room comes to the other, both ways.
pub(crate) async fn talk(
    (user, room): (&MatrixUser, &str),
    (other, rid): (&RocketUser, &str),
    word: &str,
) -> Result<()> {
    let (question, answer) = (format!("{word}?"), format!("{word}!"));
    user.send_text(room, &question).await?;
    other.wait_for_text(rid, &question).await?;
    other.send(rid, &answer).await?;
    user.wait_for_text(room, &answer).await?;
    Ok(())
}

async fn name_of(user: &MatrixUser, room: &str) -> Result<Option<Value>> {
    user.state_content(room, "m.room.name", "").await
}

#[tokio::test]
async fn a_room_and_a_channel_that_exist_are_joined_when_both_sides_agree() -> Result<()> {
    let world = world(|_| {}).await?;
    let alice = world.matrix_user("alice").await?;
    let guest = world.matrix_user("guest").await?;
    let carol = world.rocket_user("carol").await?;
    let dave = world.rocket_user("dave").await?;
    let tea = carol.create_channel("tea", &["dave"]).await?;
    let old = carol.send(&tea, "from long ago").await?;
    // Of which what the channel says of its last message knows nothing.
    carol.send_in_thread(&tea, &old, "an old answer").await?;
    let room = hall(&world, &alice, alone("private_chat")).await?;
    alice.send_text(&room, "also from long ago").await?;

    // What it would mean can be asked first.
    let dry = ask(&alice, &room, "bridge tea --dry-run", "Nothing was done").await?;
    for part in [
        "Hall",
        "tea",
        "by invitation only",
        "public",
        "--confirm public",
    ] {
        assert!(dry.contains(part), "{part}: {dry}");
    }
    // Who does not administer the room proposes nothing.
    ask(&guest, &room, "bridge tea", "may change the power levels").await?;
    // A private room and a public channel are not joined by accident.
    let unconfirmed = ask(&alice, &room, "bridge tea", "--confirm public").await?;
    assert!(
        unconfirmed.contains("everybody who has an account"),
        "{unconfirmed}"
    );
    ask(&alice, &room, "bridge tea --confirm public", "Proposed").await?;
    let (code, notice) = proposal_there(&carol, &tea).await?;
    for part in [&*alice.user_id, &room, "by invitation only"] {
        assert!(notice.contains(part), "{part}: {notice}");
    }
    // The same again is the same proposal.
    ask(&alice, &room, "bridge tea --confirm public", "Proposed").await?;

    // The code alone gives nobody anything, and a wrong one does not help its owner.
    ask_there(&dave, &tea, &format!("approve {code}"), "for owners").await?;
    ask_there(&carol, &tea, "approve 2222222222", "No proposal").await?;
    let approve = format!("approve {code}");
    ask_there(&carol, &tea, &approve, "--confirm public").await?;
    let confirmed = format!("{approve} --confirm public");
    ask_there(&carol, &tea, &confirmed, "Approved").await?;
    wait_for_notice(&alice, &room, "is joined with tea").await?;
    carol
        .wait_for_message(&tea, "that it is joined", |message| {
            message.text.contains("This room is joined with")
        })
        .await?;
    // Who has not heard the answer and gives it again hears the same; it is done once.
    ask_there(&carol, &tea, &confirmed, "Approved").await?;
    ask_there(&dave, &tea, &confirmed, "approved already").await?;
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    for _ in 0..4 {
        ask_there(&carol, &tea, &confirmed, "Approved").await?;
    }

    talk((&alice, &room), (&carol, &tea), "hello").await?;
    talk((&guest, &room), (&dave, &tea), "me too").await?;
    let told = |texts: Vec<String>| {
        texts
            .iter()
            .filter(|t| t.contains("is joined with"))
            .count()
    };
    assert_eq!(told(carol.room_texts(&tea).await?), 1);
    // What was before stays where it is, and neither room has become like the other.
    let texts = alice.room_texts(&room).await?;
    let is_old = |text: &String| text == "from long ago" || text.contains("an old answer");
    assert!(!texts.iter().any(is_old), "{texts:?}");
    let texts = carol.room_texts(&tea).await?;
    assert!(!texts.iter().any(|text| text == "also from long ago"));
    let name = name_of(&alice, &room).await?.context("a name")?;
    assert_eq!(name["name"], "Hall");
    let shown = alice.state(&room).await?;
    assert!(shown.iter().any(|event| event.kind == "m.bridge"));

    // Nobody is more in one than they were by what they are in the other.
    assert_eq!(level_of(&alice, &room, &world.ghost("carol")).await?, None);
    carol
        .post(
            "rooms.saveRoomSettings",
            json!({ "rid": tea, "roomTopic": "tea only" }),
        )
        .await?;
    alice
        .send_state(&room, "m.room.topic", "", json!({ "topic": "halls only" }))
        .await?;
    let puppet = world.puppet("guest");
    let id = id_of(&carol, &puppet).await?;
    carol
        .post("channels.kick", json!({ "roomId": tea, "userId": id }))
        .await?;
    let desk = carol.open_dm(World::ROCKET_BOT).await?;
    carol
        .wait_for_message(&desk, "that the guest is back", |message| {
            message.text.contains("no right to remove people")
        })
        .await?;
    wait_for_member(&world, &carol, &tea, &puppet, true).await?;
    assert!(
        alice
            .joined_members(&room)
            .await?
            .contains_key(&*guest.user_id)
    );
    talk((&guest, &room), (&carol, &tea), "still here").await?;
    let topic = alice.state_content(&room, "m.room.topic", "").await?;
    assert_eq!(topic.context("a topic")?["topic"], "halls only");
    let info = carol.get(&format!("rooms.info?roomId={tea}")).await?;
    assert_eq!(info["room"]["topic"], "tea only");

    // Who is not its owner does not end it; its owner does, and takes nothing with it.
    ask_there(&dave, &tea, "unbridge", "That is for").await?;
    ask_there(&carol, &tea, "unbridge", "no longer").await?;
    wait_for_notice(&alice, &room, "no longer joined").await?;
    carol
        .wait_for_message(&tea, "that it is over", |message| {
            message.text.contains("no longer joined")
        })
        .await?;
    let bot = world.user_id("rocketchatbot");
    wait_for_membership(&alice, &room, &bot, "leave").await?;
    wait_for_membership(&alice, &room, &world.ghost("carol"), "leave").await?;
    wait_for_member(&world, &carol, &tea, &puppet, false).await?;
    alice
        .wait_for_members(&room, &[&alice.user_id, &guest.user_id])
        .await?;
    let name = name_of(&alice, &room).await?.context("a name")?;
    assert_eq!(name["name"], "Hall");
    Ok(())
}

#[tokio::test]
async fn a_channel_is_joined_with_a_room_of_another_homeserver() -> Result<()> {
    let world = world(|options| options.other_homeservers = 1).await?;
    let bob = world.other_user(world.other()?, "bob").await?;
    let carol = world.rocket_user("carol").await?;
    let dave = world.rocket_user("dave").await?;
    let tea = carol.create_channel("tea", &["dave"]).await?;
    let bot = world.user_id("rocketchatbot");
    let room = bob
        .create_room(json!({
            "preset": "public_chat", "name": "Far hall", "room_alias_name": "far",
        }))
        .await?;
    let alias = format!("#far:{}", world.other()?.server_name());

    ask_there(&dave, &tea, &format!("bridge {alias}"), "for owners").await?;
    let dry = format!("bridge {alias} --dry-run");
    ask_there(&carol, &tea, &dry, "I am not in that room").await?;
    assert!(!bob.joined_members(&room).await?.contains_key(&bot));
    let unconfirmed = format!("bridge {alias}");
    ask_there(&carol, &tea, &unconfirmed, "--confirm federated").await?;
    wait_for_membership(&bob, &room, &bot, "leave").await?;
    let confirmed = format!("bridge {alias} --history --confirm federated");
    carol.send(&tea, "written before").await?;
    ask_there(&carol, &tea, &confirmed, "Proposed").await?;
    let (code, notice) = proposal_here(&bob, &room).await?;
    assert!(notice.contains("carol"), "{notice}");
    // The bot has no power there yet, and says what it needs.
    assert!(notice.contains("level 50"), "{notice}");
    ask(&bob, &room, &format!("approve {code}"), "level 50").await?;
    let levels = json!({ "users": { (bot.as_str()): 50 } });
    bob.send_state(&room, "m.room.power_levels", "", levels)
        .await?;
    ask(
        &bob,
        &room,
        &format!("approve {code}"),
        "--confirm federated",
    )
    .await?;
    let approve = format!("approve {code} --confirm federated");
    ask(&bob, &room, &approve, "Approved").await?;
    wait_for_notice(&bob, &room, "is joined with tea").await?;
    bob.wait_for_text(&room, "written before").await?;
    talk((&bob, &room), (&carol, &tea), "hello").await?;
    talk((&bob, &room), (&dave, &tea), "dave").await?;

    // Undone from the other side.
    ask(&bob, &room, "unbridge", "no longer").await?;
    wait_for_notice(&bob, &room, "This room is no longer joined").await?;
    carol
        .wait_for_message(&tea, "that it is over", |message| {
            message.text.contains("no longer joined")
        })
        .await?;
    wait_for_membership(&bob, &room, &bot, "leave").await?;
    wait_for_member(&world, &carol, &tea, &world.puppet_of(&bob.user_id), false).await?;

    // Who was told no does not ask again.
    ask_there(&carol, &tea, &confirmed, "Proposed").await?;
    let another = async |known: &[&String]| {
        bob.wait_until(&room, "another proposal", |events| {
            let mut all = events
                .iter()
                .filter(|event| event.body().contains("proposes to join"))
                .filter_map(|event| code_in(event.body()).ok());
            all.find(|other| !known.contains(&other))
        })
        .await
    };
    let second = another(&[&code]).await?;
    // Another channel proposes the same: the bot is there for both.
    let milk = dave.create_channel("milk", &[]).await?;
    ask_there(
        &dave,
        &milk,
        &format!("bridge {alias} --confirm federated"),
        "Proposed",
    )
    .await?;
    let third = another(&[&code, &second]).await?;
    let no = ask(&bob, &room, &format!("reject {second}"), "Declined").await?;
    assert!(!no.contains("I leave"), "{no}");
    ask(&bob, &room, &format!("reject {second}"), "Declined").await?;
    carol
        .wait_for_message(&tea, "the no", |message| {
            message.text.contains("has declined")
        })
        .await?;
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    bob.send_text(&room, &format!("!rc reject {third}")).await?;
    wait_for_notice(&bob, &room, "I leave now").await?;
    wait_for_membership(&bob, &room, &bot, "leave").await?;
    ask_there(&carol, &tea, &confirmed, "have declined that").await?;
    assert!(!bob.joined_members(&room).await?.contains_key(&bot));
    Ok(())
}

#[tokio::test]
async fn an_approval_counts_only_as_long_as_both_administer_their_rooms() -> Result<()> {
    let world = world(|_| {}).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let tea = carol.create_channel("tea", &[]).await?;
    let room = hall(&world, &alice, alone("public_chat")).await?;

    // Who proposed it lost the room meanwhile.
    ask(&alice, &room, "bridge tea", "Proposed").await?;
    let (code, _) = proposal_there(&carol, &tea).await?;
    let bot = world.user_id("rocketchatbot");
    let levels = |of_alice: i64| {
        json!({
            "users": { (alice.user_id.as_str()): of_alice, (bot.as_str()): 50 },
            "events": { "m.room.power_levels": 60 },
        })
    };
    alice
        .send_state(&room, "m.room.power_levels", "", levels(100))
        .await?;
    alice
        .send_state(&room, "m.room.power_levels", "", levels(55))
        .await?;
    let approve = format!("approve {code}");
    ask_there(&carol, &tea, &approve, "does not administer").await?;
    wait_for_notice(&alice, &room, "does not administer").await?;
    ask_there(&carol, &tea, &approve, "does not administer").await?;

    // Codes are not to be guessed.
    for _ in 0..5 {
        ask_there(&carol, &tea, "approve 3333333333", "No proposal").await?;
    }
    ask_there(&carol, &tea, "approve 3333333333", "too many wrong codes").await?;
    // Nor by asking in another way, or of a bridge that has just been started.
    ask_there(&carol, &tea, "reject 3333333333", "too many wrong codes").await?;
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    ask_there(&carol, &tea, "approve 4444444444", "too many wrong codes").await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_joined_is_refused_with_the_reason() -> Result<()> {
    let world = world(|options| options.channels = vec!["general".into()]).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let admin = world.rocket_admin();
    let tea = carol.create_channel("tea", &[]).await?;
    let room = hall(&world, &alice, alone("public_chat")).await?;

    let refused = async |part: &str| ask(&alice, &room, "bridge tea", part).await;
    ask(&alice, &room, "bridge nothing", "no channel named nothing").await?;
    // A group that she is not in is as one that does not exist.
    carol.create_group("secret", &[]).await?;
    ask(&alice, &room, "bridge secret", "no channel named secret").await?;
    let other = json!({ "protocol": { "id": "irc", "displayname": "IRC" } });
    alice.send_state(&room, "m.bridge", "irc", other).await?;
    refused("Another bridge (IRC)").await?;
    alice
        .send_state(&room, "m.bridge", "irc", json!({}))
        .await?;
    admin
        .post("channels.archive", json!({ "roomId": tea }))
        .await?;
    refused("archived").await?;
    admin
        .post("channels.unarchive", json!({ "roomId": tea }))
        .await?;
    let control = world.rocketchat.control();
    control.mark_federated(&tea, true).await?;
    refused("Rocket.Chat's own federation").await?;
    control.mark_federated(&tea, false).await?;
    let bot = world.user_id("rocketchatbot");
    let quiet = |level: i64| {
        json!({
            "users": { (alice.user_id.as_str()): 100, (bot.as_str()): 50 },
            "events_default": level,
        })
    };
    alice
        .send_state(&room, "m.room.power_levels", "", quiet(50))
        .await?;
    refused("Not everybody may write").await?;
    alice
        .send_state(&room, "m.room.power_levels", "", quiet(0))
        .await?;

    // What this bridge mirrors already it does not join with another.
    let general = alice.join(&world.alias("general")).await?;
    let rid = world.channel("general")?.to_owned();
    let desk = carol.open_dm(World::ROCKET_BOT).await?;
    ask_there(&carol, &tea, &format!("bridge {general}"), "already").await?;
    ask_there(
        &carol,
        &desk,
        &format!("bridge {room}"),
        "Which of your rooms",
    )
    .await?;
    ask_there(&carol, &rid, &format!("bridge {room}"), "for owners").await?;
    // Nothing was asked of anybody.
    let texts = carol.room_texts(&tea).await?;
    assert!(
        texts.iter().all(|text| !text.contains("proposes")),
        "{texts:?}"
    );

    // What is encrypted stays among its people.
    alice
        .send_state(
            &room,
            "m.room.encryption",
            "",
            json!({ "algorithm": "m.megolm.v1.aes-sha2" }),
        )
        .await?;
    refused("encrypted").await?;
    Ok(())
}

#[tokio::test]
async fn a_private_group_is_joined_and_nobody_comes_or_goes_by_that() -> Result<()> {
    // The room of the bridge's own is on this homeserver only, as the one that is joined.
    let world = world(|options| {
        options.extra_config = json!({ "bridge": { "federate": false } });
    })
    .await?;
    let alice = world.matrix_user("alice").await?;
    let guest = world.matrix_user("guest").await?;
    let carol = world.rocket_user("carol").await?;
    let dave = world.rocket_user("dave").await?;
    // The bridge mirrors what its account is invited into; those rooms hear each other.
    let club = carol
        .create_group("club", &[World::ROCKET_BOT, "dave"])
        .await?;
    let room = hall(&world, &alice, alone("private_chat")).await?;
    ask_there(&dave, &club, &format!("bridge {room}"), "for owners").await?;
    ask_there(&carol, &club, &format!("bridge {room}"), "Proposed").await?;
    let (code, notice) = proposal_here(&alice, &room).await?;
    assert!(notice.contains("for its members only"), "{notice}");
    ask(
        &guest,
        &room,
        &format!("approve {code}"),
        "may change the power levels",
    )
    .await?;
    ask(&alice, &room, &format!("approve {code}"), "Approved").await?;
    wait_for_notice(&alice, &room, "is joined with club").await?;
    talk((&alice, &room), (&carol, &club), "hello").await?;
    let puppet = world.puppet("guest");
    assert!(carol.find_user(&puppet).await?.is_none());
    talk((&guest, &room), (&dave, &club), "here I am").await?;
    wait_for_member(&world, &carol, &club, &puppet, true).await?;
    // Who is invited on Matrix comes, with the rights of who invites there.
    let late = world.matrix_user("late").await?;
    alice.invite(&room, &late.user_id).await?;
    late.join(&room).await?;
    talk((&late, &room), (&carol, &club), "late").await?;

    // Who may read along has changed: both are told.
    alice
        .send_state(
            &room,
            "m.room.join_rules",
            "",
            json!({ "join_rule": "public" }),
        )
        .await?;
    wait_for_notice(&alice, &room, "Who can read along has changed").await?;
    carol
        .wait_for_message(&club, "that more can read", |message| {
            message.text.contains("Who can read along has changed")
        })
        .await?;
    let rule = alice.state_content(&room, "m.room.join_rules", "").await?;
    assert_eq!(rule.context("a rule")?["join_rule"], "public");

    ask(&alice, &room, "unbridge", "no longer").await?;
    wait_for_member(&world, &carol, &club, &puppet, false).await?;
    let all = [&*alice.user_id, &*guest.user_id, &*late.user_id];
    alice.wait_for_members(&room, &all).await?;
    Ok(())
}
