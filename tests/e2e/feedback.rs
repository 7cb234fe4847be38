//! What cannot be delivered is told to whoever said it, kept, and can be sent again.

use anyhow::Result;
use serde_json::json;
use testbed::{MatrixUser, RocketUser, Rule, World, WorldOptions, synapse};

use crate::{BRIDGE, Direct, General, in_direct, in_general, office};

const NOTHING: &str = "Nothing was given up.";

/// Gives the bridge a command and waits for its answer.
async fn ask(user: &MatrixUser, room: &str, command: &str) -> Result<String> {
    let asked = user.send_text(room, command).await?;
    let what = format!("the answer to {command:?}");
    let answer = user
        .wait_for_message(room, &what, |event| {
            event.in_reply_to() == Some(asked.as_str())
        })
        .await?;
    assert_eq!(answer.msgtype(), "m.notice");
    Ok(answer.body().to_owned())
}

/// Waits until somebody was told that this event did not arrive; returns the words.
async fn told(user: &MatrixUser, room: &str, event_id: &str) -> Result<String> {
    let notice = user
        .wait_for_message(room, "the notice of a failure", |event| {
            event.msgtype() == "m.notice" && event.in_reply_to() == Some(event_id)
        })
        .await?;
    let status = user
        .wait_until(room, "the status of a failure", |events| {
            events
                .iter()
                .find(|event| {
                    event.kind == "com.beeper.message_send_status"
                        && event.relation() == Some(("m.reference", event_id))
                })
                .cloned()
        })
        .await?;
    assert_eq!(status.content["status"], "FAIL_PERMANENT");
    assert_eq!(status.sender, notice.sender, "both by the bridge");
    assert_eq!(notice.content["m.mentions"], json!({}));
    Ok(notice.body().to_owned())
}

async fn restart(world: &World) -> Result<()> {
    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await
}

async fn count(carol: &RocketUser, rid: &str, text: &str) -> Result<usize> {
    let texts = carol.room_texts(rid).await?;
    Ok(texts.iter().filter(|one| *one == text).count())
}

#[tokio::test]
async fn what_rocketchat_refuses_is_told_kept_and_sent_again_once() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let (bob, admin) = (
        world.matrix_user("bob").await?,
        world.matrix_user("admin").await?,
    );
    for user in [&bob, &admin] {
        user.join(&room).await?;
    }
    let good = alice.send_text(&room, "before").await?;
    let there = carol.wait_for_text(&channel, "before").await?;
    let puppet = world.puppet("alice");
    let control = world.rocketchat.control();
    control.add_rule(Rule::as_if_muted(&puppet)).await?;
    let lost = alice.send_text(&room, "lost").await?;
    let regretted = alice.send_text(&room, "regretted").await?;
    let reaction = alice.react(&room, &good, "👍").await?;
    for event in [&lost, &regretted] {
        let words = told(&alice, &room, event).await?;
        assert!(words.contains("muted"), "{words}");
    }
    let words = told(&alice, &room, &reaction).await?;
    assert!(words.starts_with("This reaction"), "{words}");
    bob.send_text(&room, "unhindered").await?;
    carol.wait_for_text(&channel, "unhindered").await?;

    // It is nobody's business but hers and an administrator's.
    assert_eq!(ask(&bob, &room, "!rc failed").await?, NOTHING);
    assert_eq!(ask(&bob, &room, "!rc resend").await?, NOTHING);
    let list = ask(&alice, &room, "!rc failed").await?;
    for event in [&lost, &regretted, &reaction] {
        assert!(list.contains(event.as_str()), "{list}");
    }
    assert!(!list.contains("regretted"), "no words: {list}");
    assert_eq!(ask(&admin, &room, "!rc failed").await?, list);
    let number = list.split(':').next().expect("a number").to_owned();
    let answer = ask(&bob, &room, &format!("!rc resend {number}")).await?;
    assert!(answer.contains("Nothing"), "{answer}");

    // What was taken back, or is refused again, is not sent.
    alice.redact(&room, &regretted).await?;
    let answer = ask(&alice, &room, &format!("!rc resend {number}")).await?;
    assert!(answer.contains('1'), "{answer}");
    world
        .eventually("the second refusal to be listed", async || {
            let list = ask(&alice, &room, "!rc failed").await?;
            assert!(!list.contains(&regretted), "{list}");
            Ok((list.contains(&lost) && list.contains(&reaction)).then_some(()))
        })
        .await?;

    restart(&world).await?;
    control.clear_rules().await?;
    ask(&alice, &room, "!rc resend").await?;
    carol.wait_for_text(&channel, "lost").await?;
    carol
        .wait_until(&channel, "the reaction", |documents| {
            let there = documents.iter().find(|one| one.id == there.id)?;
            (there.reacted(":thumbsup:") == [puppet.as_str()]).then_some(())
        })
        .await?;
    assert_eq!(ask(&alice, &room, "!rc failed").await?, NOTHING);
    assert_eq!(ask(&alice, &room, "!rc resend").await?, NOTHING);
    restart(&world).await?;
    alice.edit_text(&room, &lost, "found").await?;
    carol.wait_for_text(&channel, "found").await?;
    alice.send_text(&room, "after").await?;
    carol.wait_for_text(&channel, "after").await?;
    assert_eq!(
        carol.room_texts(&channel).await?,
        ["before", "unhindered", "found", "after"],
        "neither commands nor anything twice"
    );
    Ok(())
}

#[tokio::test]
async fn what_rocketchat_refuses_in_a_direct_message_is_told_there() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let puppet = carol
        .find_user(&world.puppet("alice"))
        .await?
        .expect("the puppet");
    let puppet = puppet["_id"].as_str().expect("an id").to_owned();
    carol.set_blocked(&dm, &puppet, true).await?;
    let lost = alice.send_text(&room, "let me in").await?;
    let words = told(&alice, &room, &lost).await?;
    assert!(words.contains("blocked"), "{words}");
    carol.set_blocked(&dm, &puppet, false).await?;
    ask(&alice, &room, "!rc resend").await?;
    carol.wait_for_text(&dm, "let me in").await?;
    assert_eq!(ask(&alice, &room, "!rc failed").await?, NOTHING);
    assert_eq!(count(&carol, &dm, "let me in").await?, 1);
    assert_eq!(carol.room_texts(&dm).await?, ["hi", "let me in"]);
    Ok(())
}

#[tokio::test]
async fn what_the_homeserver_refuses_is_told_on_rocketchat_and_sent_again_once() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.bridge_admins = vec!["admin".into()];
    options.synapse_config = synapse::with_policy();
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    carol.send(&channel, "before").await?;
    alice.wait_for_text(&room, "before").await?;

    world.synapse.refuse(&[("lottery", "M_TOO_LARGE")])?;
    let lost = carol.send(&channel, "*the* lottery").await?;
    let regretted = carol.send(&channel, "lottery again").await?;
    carol.send(&channel, "between").await?;
    alice.wait_for_text(&room, "between").await?;
    for id in [&lost, &regretted] {
        let notice = carol
            .wait_for_message(&channel, "the notice under the message", |message| {
                message.thread() == Some(id.as_str())
            })
            .await?;
        assert_eq!(notice.username, World::ROCKET_BOT);
        assert!(
            notice.text.contains("did not reach Matrix"),
            "{}",
            notice.text
        );
    }

    // Where the bridge's account is not, it writes to the author directly.
    let direct = alice.create_direct(&[&world.ghost("carol")]).await?;
    alice.send_text(&direct, "hi").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.send(&dm, "a lottery for you").await?;
    let with_bot = carol.wait_for_dm(World::ROCKET_BOT).await?;
    carol
        .wait_for_message(&with_bot, "the notice", |message| {
            message.text.contains("did not reach Matrix")
                && message.text.contains("a lottery for you")
        })
        .await?;

    carol.delete(&channel, &regretted).await?;
    let admin = world.matrix_user("admin").await?;
    let office = office(&world, &admin).await?;
    world
        .eventually("what was deleted to be forgotten", async || {
            let list = ask(&admin, &office, "failed").await?;
            assert!(list.contains(&lost), "{list}");
            Ok((!list.contains(&regretted)).then_some(()))
        })
        .await?;
    assert_eq!(ask(&alice, &room, "!rc failed").await?, NOTHING);
    assert_eq!(ask(&alice, &room, "!rc resend").await?, NOTHING);

    restart(&world).await?;
    world.synapse.refuse(&[])?;
    ask(&admin, &office, "resend").await?;
    let arrived = alice.wait_for_text(&room, "**the** lottery").await?;
    assert_eq!(arrived.sender, world.ghost("carol"));
    alice.wait_for_text(&direct, "a lottery for you").await?;
    assert_eq!(ask(&admin, &office, "failed").await?, NOTHING);
    carol.edit(&channel, &lost, "no more of it").await?;
    alice
        .wait_for_message(&room, "the edit", |event| {
            event.new_body() == "no more of it"
                && event.relation() == Some(("m.replace", arrived.event_id.as_str()))
        })
        .await?;
    carol.send(&channel, "after").await?;
    alice.wait_for_text(&room, "after").await?;
    let texts = alice.room_texts(&room).await?;
    let lottery = texts.iter().filter(|text| text.contains("lottery"));
    assert_eq!(lottery.count(), 1, "{texts:?}");
    Ok(())
}
