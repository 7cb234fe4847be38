//! Replies and quotes: both sides show what is answered, as long as everybody there
//! may see it.

use anyhow::Result;
use serde_json::json;
use testbed::{World, WorldOptions};

use crate::{BRIDGE, General, in_general_after_a_message};

#[tokio::test]
async fn replies_and_quotes_show_what_they_answer() -> Result<()> {
    let (general, old) = in_general_after_a_message("older than the bridge").await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general;
    let hers = alice.send_text(&room, "question of alice").await?;
    let hers_there = carol.wait_for_text(&channel, "question of alice").await?.id;
    let other = carol.send(&channel, "question of carol").await?;
    let other_here = alice.wait_for_text(&room, "question of carol").await?;
    let answered = async |text: &str| {
        carol
            .wait_for_message(&channel, &format!("the answer {text}"), |message| {
                message.text.ends_with(text)
            })
            .await
    };

    // To one's own words, and to those of the other side.
    alice
        .reply(&room, &other_here.event_id, "answer one")
        .await?;
    let answer = answered("answer one").await?;
    assert_eq!(answer.quotes(), [other.as_str()]);
    assert!(answer.text.starts_with("[ ]("), "{}", answer.text);
    alice.reply(&room, &hers, "answer two").await?;
    assert_eq!(
        answered("answer two").await?.quotes(),
        [hers_there.as_str()]
    );
    carol
        .quote(&channel, &[&hers_there], "answer three")
        .await?;
    let answer = alice.wait_for_text(&room, "answer three").await?;
    assert_eq!(answer.in_reply_to(), Some(hers.as_str()));
    carol.quote(&channel, &[&other], "answer four").await?;
    let answer = alice.wait_for_text(&room, "answer four").await?;
    assert_eq!(answer.in_reply_to(), Some(other_here.event_id.as_str()));

    // Two at once: Matrix has room for one, the other is a link.
    carol
        .quote(&channel, &[&hers_there, &other], "answer five")
        .await?;
    let answer = alice
        .wait_for_message(&room, "the answer to both", |event| {
            event.body().contains("answer five")
        })
        .await?;
    assert_eq!(answer.in_reply_to(), Some(hers.as_str()));
    assert!(
        answer.body().contains("also quotes") && answer.body().contains(&other_here.event_id),
        "{}",
        answer.body()
    );
    // What is older than the bridge is on one side only, and so is what the bridge
    // itself has never seen as a message.
    carol.quote(&channel, &[&old], "answer six").await?;
    let answer = alice
        .wait_for_message(&room, "the answer to the old", |event| {
            event.body().contains("answer six")
        })
        .await?;
    assert_eq!(answer.in_reply_to(), None);
    assert!(
        answer
            .body()
            .contains("(quotes a message that is not in this room)")
    );
    assert!(!answer.content.to_string().contains("older than"));
    alice.reply(&room, "$nowhere", "answer seven").await?;
    let answer = answered("answer seven").await?;
    assert_eq!(
        answer.text,
        "(in reply to a message that is not here)\nanswer seven"
    );
    // What was taken away is there for nobody to answer.
    let gone = alice.send_text(&room, "hasty word").await?;
    let gone_there = carol.wait_for_text(&channel, "hasty word").await?.id;
    let link = carol.link_to(&gone_there).await?;
    alice.redact(&room, &gone).await?;
    carol.wait_until_gone(&channel, &gone_there).await?;
    alice.reply(&room, &gone, "answer to none").await?;
    let answer = answered("answer to none").await?;
    assert!(
        answer.quotes().is_empty() && !answer.text.contains(&gone_there),
        "{}",
        answer.text
    );
    carol
        .send(&channel, &format!("[ ]({link}) carol to none"))
        .await?;
    let answer = alice
        .wait_for_message(&room, "the answer to what is gone", |event| {
            event.body().contains("carol to none")
        })
        .await?;
    assert_eq!(answer.in_reply_to(), None);
    assert!(!answer.content.to_string().contains("hasty"));
    // The link alone says nothing to anybody.
    assert!(!answer.body().contains("://"), "{}", answer.body());
    assert!(
        answer.body().contains("not in this room"),
        "{}",
        answer.body()
    );
    // An edited answer is an answer still.
    let edited = alice.reply(&room, &hers, "answer ate").await?;
    let there = answered("answer ate").await?;
    alice.edit_text(&room, &edited, "answer eight").await?;
    let answer = answered("answer eight").await?;
    assert_eq!(answer.id, there.id);
    assert_eq!(answer.quotes(), [hers_there.as_str()]);

    // Across a restart, and while the bridge is away.
    world.bridge.kill_and_restart().await?;
    alice
        .reply(&room, &other_here.event_id, "answer nine")
        .await?;
    assert_eq!(answered("answer nine").await?.quotes(), [other.as_str()]);
    carol.quote(&channel, &[&hers_there], "answer ten").await?;
    let answer = alice.wait_for_text(&room, "answer ten").await?;
    assert_eq!(answer.in_reply_to(), Some(hers.as_str()));
    world.bridge.stop().await?;
    let new = alice.send_text(&room, "new question").await?;
    alice.reply(&room, &new, "answer eleven").await?;
    let new_there = carol.send(&channel, "new question too").await?;
    carol
        .quote(&channel, &[&new_there], "answer twelve")
        .await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let there = carol.wait_for_text(&channel, "new question").await?.id;
    assert_eq!(answered("answer eleven").await?.quotes(), [there.as_str()]);
    let here = alice.wait_for_text(&room, "new question too").await?;
    let answer = alice.wait_for_text(&room, "answer twelve").await?;
    assert_eq!(answer.in_reply_to(), Some(here.event_id.as_str()));
    Ok(())
}

/// Neither its words nor its name: those here may not be those there.
#[tokio::test]
async fn an_answer_tells_nothing_of_another_room() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into(), "tea".into()];
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let (general, tea) = (
        carol.join_channel("general").await?,
        carol.join_channel("tea").await?,
    );
    let general_room = alice.join(&world.alias("general")).await?;
    let tea_room = alice.join(&world.alias("tea")).await?;
    let secret = carol.send(&general, "the secret recipe").await?;
    let secret_here = alice
        .wait_for_text(&general_room, "the secret recipe")
        .await?
        .event_id;

    carol.quote(&tea, &[&secret], "look there").await?;
    let answer = alice
        .wait_for_message(&tea_room, "the quote", |event| {
            event.body().contains("look there")
        })
        .await?;
    let shown = answer.content.to_string();
    assert!(
        !shown.contains("recipe") && !shown.contains(&secret_here),
        "{shown}"
    );
    assert!(
        shown.contains("(quotes a message that is not in this room)"),
        "{shown}"
    );
    assert_eq!(answer.in_reply_to(), None);

    alice.reply(&tea_room, &secret_here, "look here").await?;
    let in_thread = json!({
        "msgtype": "m.text", "body": "and here",
        "m.relates_to": { "rel_type": "m.thread", "event_id": secret_here },
    });
    let sent = alice
        .request(
            "PUT",
            &format!("/_matrix/client/v3/rooms/{tea_room}/send/m.room.message/thread"),
            Some(&in_thread),
        )
        .await?;
    for text in ["look here", "and here"] {
        if text == "and here" && sent.status != 200 {
            continue;
        }
        let answer = carol
            .wait_for_message(&tea, text, |message| message.text.ends_with(text))
            .await?;
        let shown = answer.document.to_string();
        assert!(
            !shown.contains("recipe") && !shown.contains(&secret),
            "{shown}"
        );
        assert!(answer.quotes().is_empty() && answer.thread().is_none());
        assert!(answer.text.starts_with("(in "), "{}", answer.text);
    }
    Ok(())
}
