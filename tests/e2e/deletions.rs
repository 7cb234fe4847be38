//! Deletions: what is taken away on one side is taken away on both, by those who
//! may.

use anyhow::Result;
use serde_json::json;
use testbed::Sample;

use crate::{General, in_general};

#[tokio::test]
async fn authors_and_moderators_take_messages_away_on_both_sides() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    let bot = world.user_id("rocketchatbot");
    let dave = world.matrix_user("dave").await?;
    dave.join(&room).await?;
    world.let_tidy(&room, &dave.user_id).await?;
    let mallory = world.matrix_user("mallory").await?;
    mallory.join(&room).await?;
    // Pairs of what is written on Matrix and what on Rocket.Chat: event and id.
    let say = async |text: &str| -> Result<[(String, String); 2]> {
        let event = alice.send_text(&room, text).await?;
        let id = carol.wait_for_text(&channel, text).await?.id;
        let there = format!("{text} too");
        let second = carol.send(&channel, &there).await?;
        let here = alice.wait_for_text(&room, &there).await?.event_id;
        Ok([(event, id), (here, second)])
    };

    let [alices, carols] = say("by its author").await?;
    alice.redact(&room, &alices.0).await?;
    carol.delete(&channel, &carols.1).await?;
    carol.wait_until_gone(&channel, &alices.1).await?;
    let gone = alice.wait_for_redaction(&room, &carols.0).await?;
    assert_eq!(gone.redacted_by(), Some(world.ghost("carol").as_str()));

    let [alices, carols] = say("by a moderator on Matrix").await?;
    dave.redact(&room, &alices.0).await?;
    dave.redact(&room, &carols.0).await?;
    carol.wait_until_gone(&channel, &alices.1).await?;
    carol.wait_until_gone(&channel, &carols.1).await?;

    let [alices, carols] = say("by a moderator on Rocket.Chat").await?;
    admin.delete(&channel, &alices.1).await?;
    admin.delete(&channel, &carols.1).await?;
    let gone = alice.wait_for_redaction(&room, &alices.0).await?;
    assert_eq!(gone.redacted_by(), Some(bot.as_str()));
    alice.wait_for_redaction(&room, &carols.0).await?;

    // A redaction that the homeserver itself has not carried out.
    let [alices, carols] = say("by somebody").await?;
    for target in [&alices.0, &carols.0] {
        let refused = mallory.redact(&room, target).await;
        assert!(refused.is_err(), "Mallory may redact {target}");
        let forged = json!({
            "event_id": format!("$forged{}", &target[1..5]), "room_id": room,
            "sender": mallory.user_id, "type": "m.room.redaction",
            "origin_server_ts": 1, "redacts": target, "content": { "redacts": target },
        });
        let path = format!("/_matrix/app/v1/transactions/{}", &target[1..]);
        let answer = world
            .bridge
            .request_as_homeserver("PUT", &path, Some(&json!({ "events": [forged] })))
            .await?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    mallory.send_text(&room, "marker").await?;
    carol.wait_for_text(&channel, "marker").await?;
    assert_eq!(
        carol.room_texts(&channel).await?,
        ["by somebody", "by somebody too", "marker"]
    );

    // Across a restart, and while the bridge is away.
    let [first, second] = say("before a restart").await?;
    world.bridge.kill_and_restart().await?;
    alice.redact(&room, &first.0).await?;
    carol.delete(&channel, &second.1).await?;
    carol.wait_until_gone(&channel, &first.1).await?;
    alice.wait_for_redaction(&room, &second.0).await?;
    let own = say("before an absence").await?;
    let moderated = say("before the moderators came").await?;
    world.bridge.stop().await?;
    alice.redact(&room, &own[0].0).await?;
    carol.delete(&channel, &own[1].1).await?;
    admin.delete(&channel, &moderated[0].1).await?;
    dave.redact(&room, &moderated[1].0).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    carol.wait_until_gone(&channel, &own[0].1).await?;
    alice.wait_for_redaction(&room, &own[1].0).await?;
    alice.wait_for_redaction(&room, &moderated[0].0).await?;
    carol.wait_until_gone(&channel, &moderated[1].1).await?;
    Ok(())
}

/// Rocket.Chat has several ways to delete.
#[tokio::test]
async fn whatever_way_rocketchat_deletes_matrix_follows() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;

    // With replies, a shell stays.
    let root = carol.send(&channel, "root").await?;
    let root_event = alice.wait_for_text(&room, "root").await?.event_id;
    carol.send_in_thread(&channel, &root, "reply").await?;
    let reply_event = alice.wait_for_text(&room, "reply").await?.event_id;
    carol.delete(&channel, &root).await?;
    alice.wait_for_redaction(&room, &root_event).await?;
    let written = alice.send_text(&room, "root of alice").await?;
    let there = carol.wait_for_text(&channel, "root of alice").await?.id;
    carol
        .send_in_thread(&channel, &there, "reply to alice")
        .await?;
    alice.wait_for_text(&room, "reply to alice").await?;
    alice.redact(&room, &written).await?;
    let shell = carol
        .wait_until(&channel, "the shell", |documents| {
            let found = documents.iter().find(|document| document.id == there);
            found
                .filter(|document| document.kind.as_deref() == Some("rm"))
                .cloned()
        })
        .await?;
    assert_eq!(shell.text, "");
    // The thread goes on without its first message.
    carol.send_in_thread(&channel, &root, "and on").await?;
    let on = alice.wait_for_text(&room, "and on").await?;
    assert_eq!(on.relation(), Some(("m.thread", root_event.as_str())));
    assert!(!alice.event(&room, &reply_event).await?.is_redacted());

    // Where the server always leaves a shell.
    world
        .change_setting("Message_ShowDeletedStatus", json!(true))
        .await?;
    let shown = carol.send(&channel, "shown as deleted").await?;
    let event = alice.wait_for_text(&room, "shown as deleted").await?;
    carol.delete(&channel, &shown).await?;
    alice.wait_for_redaction(&room, &event.event_id).await?;
    let event = alice.send_text(&room, "shown of alice").await?;
    let there = carol.wait_for_text(&channel, "shown of alice").await?.id;
    world.rocket_admin().delete(&channel, &there).await?;
    alice.wait_for_redaction(&room, &event).await?;

    // Where it hides instead of deleting.
    world
        .change_setting("Message_ShowDeletedStatus", json!(false))
        .await?;
    world
        .change_setting("Message_KeepHistory", json!(true))
        .await?;
    let hidden = carol.send(&channel, "hidden").await?;
    let event = alice.wait_for_text(&room, "hidden").await?;
    carol.delete(&channel, &hidden).await?;
    alice.wait_for_redaction(&room, &event.event_id).await?;
    world
        .change_setting("Message_KeepHistory", json!(false))
        .await?;

    // A deletion that is quicker than its message: they travel on two streams.
    let name = format!("{channel}/deleteMessage");
    let frame = json!({
        "msg": "changed", "collection": "stream-notify-room", "id": "id",
        "fields": { "eventName": name, "args": [{ "_id": "overtaken" }] },
    });
    let control = world.rocketchat.control();
    control
        .send_raw(None, json!({ "text": frame.to_string() }))
        .await?;
    carol
        .send_message(json!({ "_id": "overtaken", "rid": channel, "msg": "never seen" }))
        .await?;
    carol.send(&channel, "marker").await?;
    alice.wait_for_text(&room, "marker").await?;
    assert!(
        !alice
            .room_texts(&room)
            .await?
            .contains(&"never seen".to_owned())
    );

    // Everything at once.
    let event = alice.send_text(&room, "alice before the end").await?;
    carol
        .wait_for_text(&channel, "alice before the end")
        .await?;
    world.rocket_admin().clean_history(&channel).await?;
    alice.wait_for_redaction(&room, &event).await?;
    carol.send(&channel, "a new beginning").await?;
    alice.wait_for_text(&room, "a new beginning").await?;
    let texts = async || alice.room_texts(&room).await;
    world
        .eventually("all others to be redacted", async || {
            let texts = texts().await?;
            if texts == ["a new beginning"] {
                return Ok(Some(()));
            }
            anyhow::bail!("there are {texts:?}")
        })
        .await?;

    // And while the bridge is away: what was said meanwhile and taken back, too.
    let event = alice.send_text(&room, "alice before an absence").await?;
    carol
        .wait_for_text(&channel, "alice before an absence")
        .await?;
    world.bridge.stop().await?;
    carol.send(&channel, "said into the void").await?;
    world.rocket_admin().clean_history(&channel).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    alice.wait_for_redaction(&room, &event).await?;
    carol.send(&channel, "the end").await?;
    alice.wait_for_text(&room, "the end").await?;
    world
        .eventually("only the end to be left", async || {
            let texts = texts().await?;
            if texts == ["the end"] {
                return Ok(Some(()));
            }
            anyhow::bail!("there are {texts:?}")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn files_that_are_pruned_go_on_matrix_too_and_words_stay() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    let named = |name: &str| Sample::png(1, 30, 20).map(|sample| sample.named(name));
    carol.send(&channel, "words before").await?;
    alice.wait_for_text(&room, "words before").await?;
    let seen = async |name: &str| {
        alice
            .wait_for_message(&room, name, |event| event.text("/filename") == name)
            .await
    };
    carol.upload_file(&channel, named("a.png")?.into()).await?;
    let theirs = seen("a.png").await?.event_id;
    let own = alice.send_file(&room, &named("b.png")?, |_| {}).await?;
    carol
        .wait_for_message(&channel, "b.png", |message| {
            message.document["file"]["name"] == "b.png"
        })
        .await?;
    admin.clean_files(&channel).await?;
    alice.wait_for_redaction(&room, &theirs).await?;
    alice.wait_for_redaction(&room, &own).await?;

    // While the bridge is away, and killed beside that.
    carol.upload_file(&channel, named("c.png")?.into()).await?;
    let theirs = seen("c.png").await?.event_id;
    world.bridge.kill().await?;
    admin.clean_files(&channel).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    alice.wait_for_redaction(&room, &theirs).await?;
    carol.send(&channel, "words after").await?;
    alice.wait_for_text(&room, "words after").await?;
    let texts = alice.room_texts(&room).await?;
    assert_eq!(texts, ["words before", "words after"]);
    Ok(())
}
