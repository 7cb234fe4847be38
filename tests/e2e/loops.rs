//! Nothing goes round for ever.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser};

use crate::membership::wait_for_notice;
use crate::{General, in_general};

/// Says on Matrix what somebody else says there, for ever.
async fn echo(user: &MatrixUser, room: &str, of: &str) -> Result<()> {
    let mut done = 0;
    loop {
        let said = user
            .wait_until_within(Duration::from_secs(600), room, "words", |events| {
                let all = events.iter().filter(|event| event.sender == of);
                let new: Vec<_> = all.map(|event| event.body().to_owned()).collect();
                (new.len() > done).then_some(new)
            })
            .await?;
        for text in said.iter().skip(done) {
            user.send_text(room, &format!("echo: {text}")).await?;
        }
        done = said.len();
    }
}

/// The same on Rocket.Chat.
async fn parrot(user: &RocketUser, rid: &str, of: &str) -> Result<()> {
    let mut done = 0;
    loop {
        let said = user
            .wait_until_within(Duration::from_secs(600), rid, "words", |messages| {
                let all = messages.iter().filter(|message| message.username == of);
                let new: Vec<_> = all.map(|message| message.text.clone()).collect();
                (new.len() > done).then_some(new)
            })
            .await?;
        for text in said.iter().skip(done) {
            user.send(rid, &format!("parrot: {text}")).await?;
        }
        done = said.len();
    }
}

#[tokio::test]
async fn two_programs_that_answer_each_other_are_stopped_and_people_are_heard() -> Result<()> {
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = in_general().await?;
    let bot = world.matrix_user("echo").await?;
    bot.join(room).await?;
    let other = world.rocket_user("parrot").await?;
    other.join_channel("general").await?;
    let (ghost, puppet) = (world.ghost("parrot"), world.puppet("echo"));
    let people = async {
        other.send(channel, "good morning").await?;
        let notice = wait_for_notice(alice, room, "round and round").await?;
        assert!(notice.body().contains("5 minutes"), "{}", notice.body());
        carol
            .wait_for_message(channel, "that it was stopped", |message| {
                message.text.contains("round and round")
            })
            .await?;
        // Whoever else says the same is heard.
        alice.send_text(room, "good morning, says Alice").await?;
        carol
            .wait_for_text(channel, "good morning, says Alice")
            .await?;
        carol.send(channel, "and Carol").await?;
        alice.wait_for_text(room, "and Carol").await?;
        Ok::<(), anyhow::Error>(())
    };
    tokio::select! {
        outcome = people => outcome?,
        outcome = echo(&bot, room, &ghost) => outcome?,
        outcome = parrot(&other, channel, &puppet) => outcome?,
    }
    let all = |texts: Vec<String>| {
        let round = texts.iter().filter(|text| text.ends_with("good morning"));
        round.count()
    };
    let (here, there) = (
        all(alice.room_texts(room).await?),
        all(carol.room_texts(channel).await?),
    );
    assert!((15..=24).contains(&here), "{here}");
    assert!((15..=24).contains(&there), "{there}");
    let told = |texts: Vec<String>| texts.iter().filter(|t| t.contains("round and")).count();
    assert_eq!(told(alice.room_texts(room).await?), 1);
    assert_eq!(told(carol.room_texts(channel).await?), 1);
    Ok(())
}

#[tokio::test]
async fn what_another_bridge_brought_from_the_same_channel_is_not_brought_back() -> Result<()> {
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = in_general().await?;
    // Whoever passes a message on copies it with everything: it is their own message.
    carol.send(channel, "worth repeating").await?;
    let said = alice.wait_for_text(room, "worth repeating").await?;
    alice
        .send_event(room, "m.room.message", said.content)
        .await?;
    carol
        .wait_until(channel, "it to be repeated", |messages| {
            let said = messages.iter().filter(|m| m.text == "worth repeating");
            (said.count() == 2).then_some(())
        })
        .await?;
    carol.send(channel, "news").await?;
    let ours = alice.wait_for_text(room, "news").await?;
    let marker = ours.content["chat.rocket.bridge"].clone();
    assert_eq!(marker["hops"], 1);
    assert!(marker["workspace"].is_string(), "{marker}");
    // As the ghost of another bridge that serves both would say it.
    let other = world.matrix_user("other").await?;
    other.join(room).await?;
    world.give_power(room, &other.user_id, 50).await?;
    let of_its_own = json!({ "bridgebot": other.user_id, "protocol": { "id": "rocketchat" } });
    other
        .send_state(room, "m.bridge", "another", of_its_own)
        .await?;
    let say = async |body: &str, marker: &Value| {
        let content = json!({ "msgtype": "m.text", "body": body, "chat.rocket.bridge": marker });
        other.send_event(room, "m.room.message", content).await
    };
    say("news", &marker).await?;
    // It is not believed of words that are not there, and of no other room's.
    say("other news", &marker).await?;
    carol.wait_for_text(channel, "other news").await?;
    let mut elsewhere = marker.clone();
    elsewhere["workspace"] = "of others".into();
    elsewhere["hops"] = 7.into();
    say("news from afar", &elsewhere).await?;
    carol.wait_for_text(channel, "news from afar").await?;
    // Not for ever.
    elsewhere["hops"] = 8.into();
    say("news in a circle", &elsewhere).await?;
    wait_for_notice(alice, room, "bridges and more").await?;
    say("once more", &elsewhere).await?;
    // Nor within one channel, where a program copies it from one room into another.
    let mut copied = marker.clone();
    copied["hops"] = 8.into();
    say("in a small circle", &copied).await?;
    other.send_text(room, "the end").await?;
    carol.wait_for_text(channel, "the end").await?;
    let texts = carol.room_texts(channel).await?;
    let count = |text: &str| texts.iter().filter(|said| *said == text).count();
    assert_eq!(count("news"), 1, "{texts:?}");
    assert_eq!(count("news in a circle") + count("once more"), 0);
    assert_eq!(count("in a small circle"), 0);
    let notices = alice.room_texts(room).await?;
    let told = notices.iter().filter(|t| t.contains("bridges and more"));
    assert_eq!(told.count(), 1);
    Ok(())
}

#[tokio::test]
async fn people_behind_one_account_who_say_the_same_are_no_loop() -> Result<()> {
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = in_general().await?;
    let robot = world
        .rocketchat
        .create_user("robot", &["user", "bot"])
        .await?;
    robot.join_channel("general").await?;
    let admin = world.rocket_admin();
    let hook = admin.create_webhook("general", "robot").await?;
    for number in 0..12 {
        let alias = format!("Service {number}");
        let post = json!({ "text": "all is well", "alias": alias });
        admin.call_webhook(&hook, post).await?;
        let said = format!("{alias}: all is well");
        alice
            .wait_for_message(room, &said, |event| event.body() == said)
            .await?;
        alice.send_text(room, "all is well").await?;
        carol
            .wait_until(channel, "Alice's answer", |messages| {
                let puppet = world.puppet("alice");
                let answers = messages
                    .iter()
                    .filter(|message| message.username == puppet && message.text == "all is well");
                (answers.count() == number + 1).then_some(())
            })
            .await?;
    }
    let texts = carol.room_texts(channel).await?;
    assert!(!texts.iter().any(|text| text.contains("round and round")));
    Ok(())
}
