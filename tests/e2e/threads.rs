//! Threads: what belongs together on one side does on the other.

use anyhow::Result;
use serde_json::json;

use crate::{General, in_general, in_general_after_a_message};

#[tokio::test]
async fn threads_grow_on_both_sides() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    // A thread on Alice's message, one on Carol's: event and id of their roots.
    let event = alice.send_text(&room, "root of alice").await?;
    let id = carol.wait_for_text(&channel, "root of alice").await?.id;
    let alices = (event, id);
    let id = carol.send(&channel, "root of carol").await?;
    let event = alice.wait_for_text(&room, "root of carol").await?.event_id;
    let carols = (event, id);
    let is_in_thread = async |text: &str, root: &(String, String)| -> Result<_> {
        let here = alice.wait_for_text(&room, text).await?;
        if here.sender != alice.user_id {
            assert_eq!(
                here.relation(),
                Some(("m.thread", root.0.as_str())),
                "{text}"
            );
        }
        let there = carol.wait_for_text(&channel, text).await?;
        assert_eq!(there.thread(), Some(root.1.as_str()), "{text}");
        Ok((here, there))
    };

    // Each thread is begun by the other, and goes on with both.
    carol
        .send_in_thread(&channel, &alices.1, "begun by carol")
        .await?;
    let (begun, _) = is_in_thread("begun by carol", &alices).await?;
    assert_eq!(begun.content["m.relates_to"]["is_falling_back"], true);
    assert_eq!(begun.in_reply_to(), Some(alices.0.as_str()));
    alice
        .send_in_thread(&room, &alices.0, "on by alice")
        .await?;
    is_in_thread("on by alice", &alices).await?;
    alice
        .send_in_thread(&room, &carols.0, "begun by alice")
        .await?;
    let (first, first_there) = is_in_thread("begun by alice", &carols).await?;
    carol
        .send_in_thread(&channel, &carols.1, "on by carol")
        .await?;
    let (on, on_there) = is_in_thread("on by carol", &carols).await?;
    assert_eq!(
        on.in_reply_to(),
        Some(first.event_id.as_str()),
        "clients without threads show it beneath the latest"
    );

    // Answers within it.
    alice
        .reply_in_thread(&room, &carols.0, &on.event_id, "answer of alice")
        .await?;
    let answer = carol
        .wait_for_message(&channel, "the answer", |message| {
            message.text.ends_with("answer of alice")
        })
        .await?;
    assert_eq!(answer.thread(), Some(carols.1.as_str()));
    assert_eq!(answer.quotes(), [on_there.id.as_str()]);
    let link = carol.link_to(&first_there.id).await?;
    let quoting = format!("[ ]({link}) answer of carol");
    carol.send_in_thread(&channel, &carols.1, &quoting).await?;
    let answer = alice.wait_for_text(&room, "answer of carol").await?;
    assert_eq!(answer.relation(), Some(("m.thread", carols.0.as_str())));
    assert_eq!(answer.in_reply_to(), Some(first.event_id.as_str()));
    assert_eq!(answer.content["m.relates_to"]["is_falling_back"], false);

    // "Also send to channel" is one message all the same.
    let message = json!({
        "rid": channel, "tmid": carols.1, "msg": "for everybody", "tshow": true,
    });
    carol.send_message(message).await?;
    is_in_thread("for everybody", &carols).await?;

    // Across a restart, and while the bridge is away.
    world.bridge.kill_and_restart().await?;
    carol
        .send_in_thread(&channel, &alices.1, "carol after a restart")
        .await?;
    is_in_thread("carol after a restart", &alices).await?;
    alice
        .send_in_thread(&room, &carols.0, "alice after a restart")
        .await?;
    is_in_thread("alice after a restart", &carols).await?;
    world.bridge.stop().await?;
    let root = alice.send_text(&room, "root meanwhile").await?;
    alice
        .send_in_thread(&room, &root, "alice meanwhile")
        .await?;
    let root_there = carol.send(&channel, "root meanwhile of carol").await?;
    carol
        .send_in_thread(&channel, &root_there, "carol meanwhile")
        .await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let id = carol.wait_for_text(&channel, "root meanwhile").await?.id;
    is_in_thread("alice meanwhile", &(root, id)).await?;
    let here = alice
        .wait_for_text(&room, "root meanwhile of carol")
        .await?;
    is_in_thread("carol meanwhile", &(here.event_id, root_there)).await?;

    alice.send_text(&room, "done").await?;
    carol.wait_for_text(&channel, "done").await?;
    let texts = alice.room_texts(&room).await?;
    let shown = texts.iter().filter(|text| *text == "for everybody");
    assert_eq!(shown.count(), 1);
    let done = carol.wait_for_text(&channel, "done").await?;
    assert_eq!(done.thread(), None);
    Ok(())
}

#[tokio::test]
async fn a_thread_whose_beginning_is_on_one_side_only_holds_together() -> Result<()> {
    let (general, old) = in_general_after_a_message("older than the bridge").await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general;

    // On Rocket.Chat it is older than the room on Matrix.
    carol.send_in_thread(&channel, &old, "first reply").await?;
    let first = alice
        .wait_for_message(&room, "the first reply", |event| {
            event.body().contains("first reply")
        })
        .await?;
    assert_eq!(
        first.body(),
        "(in a thread from before this room was mirrored)\nfirst reply"
    );
    assert_eq!(first.relation(), None);
    let root = first.event_id.as_str();
    carol.send_in_thread(&channel, &old, "second reply").await?;
    let second = alice.wait_for_text(&room, "second reply").await?;
    assert_eq!(second.relation(), Some(("m.thread", root)));
    alice.send_in_thread(&room, root, "reply of alice").await?;
    let there = carol.wait_for_text(&channel, "reply of alice").await?;
    assert_eq!(there.thread(), Some(old.as_str()));
    world.bridge.kill_and_restart().await?;
    carol.send_in_thread(&channel, &old, "third reply").await?;
    let third = alice.wait_for_text(&room, "third reply").await?;
    assert_eq!(third.relation(), Some(("m.thread", root)));
    alice.send_in_thread(&room, root, "more of alice").await?;
    let there = carol.wait_for_text(&channel, "more of alice").await?;
    assert_eq!(there.thread(), Some(old.as_str()));

    // On Matrix it hangs on something that is no message on Rocket.Chat.
    let command = alice.send_text(&room, "!rc failed").await?;
    alice
        .send_in_thread(&room, &command, "beneath the command")
        .await?;
    let first = carol
        .wait_for_text(
            &channel,
            "(in a thread that is not here)\nbeneath the command",
        )
        .await?;
    assert_eq!(first.thread(), None);
    alice
        .send_in_thread(&room, &command, "beneath it too")
        .await?;
    let second = carol.wait_for_text(&channel, "beneath it too").await?;
    assert_eq!(second.thread(), Some(first.id.as_str()));
    world.bridge.kill_and_restart().await?;
    carol
        .send_in_thread(&channel, &first.id, "carol joins in")
        .await?;
    let joins = alice.wait_for_text(&room, "carol joins in").await?;
    assert_eq!(joins.relation(), Some(("m.thread", command.as_str())));
    Ok(())
}
