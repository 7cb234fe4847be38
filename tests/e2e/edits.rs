//! Edits: both sides show the latest words of whoever wrote a message.

use anyhow::Result;
use serde_json::json;

use crate::{General, in_general, in_general_after_a_message};

#[tokio::test]
async fn what_is_edited_says_its_latest_words_on_the_other_side() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    let written = alice.send_text(&room, "frist").await?;
    let there = carol.wait_for_text(&channel, "frist").await?.id;
    let sent = carol.send(&channel, "frist too").await?;
    let here = alice.wait_for_text(&room, "frist too").await?.event_id;

    // Again and again.
    for text in ["first", "first of all"] {
        alice.edit_text(&room, &written, text).await?;
        carol.wait_for_words(&channel, &there, text).await?;
        let text = format!("{text} too");
        carol.edit(&channel, &sent, &text).await?;
        alice.wait_for_shown(&room, &here, &text).await?;
    }
    // Only how it looks; and that taken back.
    let bold = "<strong>first of all</strong>";
    let formatting = alice
        .edit_html(&room, &written, "first of all", bold)
        .await?;
    carol
        .wait_for_words(&channel, &there, "*first of all*")
        .await?;
    alice.redact(&room, &formatting).await?;
    carol
        .wait_for_words(&channel, &there, "first of all")
        .await?;
    carol.edit(&channel, &sent, "*first of all too*").await?;
    alice
        .wait_for_content(&room, &here, "the bold words", |content| {
            content["formatted_body"] == "<strong>first of all too</strong>"
        })
        .await?;
    // Nobody edits what another wrote.
    bob.edit_text(&room, &written, "forged").await?;
    bob.send_text(&room, "who did that?").await?;
    carol.wait_for_text(&channel, "who did that?").await?;
    carol
        .wait_for_words(&channel, &there, "first of all")
        .await?;

    // Across a restart, and while the bridge is away.
    world.bridge.kill_and_restart().await?;
    let restarted = alice.edit_text(&room, &written, "second").await?;
    carol.wait_for_words(&channel, &there, "second").await?;
    carol.edit(&channel, &sent, "second too").await?;
    alice.wait_for_shown(&room, &here, "second too").await?;
    alice.redact(&room, &restarted).await?;
    carol
        .wait_for_words(&channel, &there, "first of all")
        .await?;
    // One that comes late: it was written before what is shown.
    let late = json!({
        "event_id": "$late", "room_id": room, "sender": alice.user_id,
        "type": "m.room.message", "origin_server_ts": 1,
        "content": {
            "msgtype": "m.text", "body": "* zeroth",
            "m.new_content": { "msgtype": "m.text", "body": "zeroth" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": written },
        },
    });
    let answer = world
        .bridge
        .request_as_homeserver(
            "PUT",
            "/_matrix/app/v1/transactions/late",
            Some(&json!({ "events": [late] })),
        )
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    alice.send_text(&room, "was there anything?").await?;
    carol.wait_for_text(&channel, "was there anything?").await?;
    carol
        .wait_for_words(&channel, &there, "first of all")
        .await?;
    world.bridge.stop().await?;
    for text in ["third", "third and last"] {
        alice.edit_text(&room, &written, text).await?;
        carol.edit(&channel, &sent, &format!("{text} too")).await?;
    }
    world.bridge.start()?;
    world.bridge.ready().await?;
    carol
        .wait_for_words(&channel, &there, "third and last")
        .await?;
    alice
        .wait_for_shown(&room, &here, "third and last too")
        .await?;

    alice.send_text(&room, "done").await?;
    carol.wait_for_text(&channel, "done").await?;
    assert_eq!(
        carol.room_texts(&channel).await?,
        [
            "third and last",
            "third and last too",
            "who did that?",
            "was there anything?",
            "done"
        ],
        "an edit is no message of its own"
    );
    Ok(())
}

/// An edit may be all that reaches the other side: then it is what was said.
#[tokio::test]
async fn an_edit_of_what_never_arrived_is_said_as_it_is() -> Result<()> {
    let (general, old) = in_general_after_a_message("older than the bridge").await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general;

    // A command stays between her and the bridge until it is no command any more.
    let command = alice.send_text(&room, "!rc failed").await?;
    alice.edit_text(&room, &command, "it has failed").await?;
    let there = carol.wait_for_text(&channel, "it has failed").await?.id;
    world.bridge.kill_and_restart().await?;
    alice.edit_text(&room, &command, "it has not").await?;
    carol.wait_for_words(&channel, &there, "it has not").await?;
    let other = alice.send_text(&room, "!rc failed").await?;
    alice.react(&room, &other, "👍").await?;
    alice
        .wait_for_message(&room, "why nobody sees it", |event| {
            event
                .body()
                .contains("What you reacted to is not on Rocket.Chat")
        })
        .await?;
    alice.redact(&room, &command).await?;
    carol.wait_until_gone(&channel, &there).await?;

    // What was there before the bridge stays where it is, whatever becomes of it.
    carol.edit(&channel, &old, "still older").await?;
    carol.react(&old, ":thumbsup:", true).await?;
    carol.star(&old, true).await?;
    let admin = world.rocket_admin();
    admin.join_channel("general").await?;
    admin.pin(&old, true).await?;
    carol.send(&channel, "marker").await?;
    alice.wait_for_text(&room, "marker").await?;
    let texts = alice.room_texts(&room).await?;
    assert!(
        !texts.iter().any(|text| text.contains("older")),
        "{texts:?}"
    );
    Ok(())
}

/// On Rocket.Chat a moderator may put words into others' mouths; on Matrix nobody
/// can, so it is said who did it.
#[tokio::test]
async fn a_moderators_edit_is_shown_for_what_it_is() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    let written = alice.send_text(&room, "a rude word").await?;
    let there = carol.wait_for_text(&channel, "a rude word").await?.id;
    let sent = carol.send(&channel, "another rude word").await?;
    let here = alice.wait_for_text(&room, "another rude word").await?;

    admin.edit(&channel, &there, "a kind word").await?;
    let told = alice
        .wait_for_message(&room, "the note about the edit", |event| {
            event.body().contains("edited this message") && event.body().contains("a kind word")
        })
        .await?;
    assert_eq!(told.sender, world.ghost("admin"));
    assert_eq!(told.in_reply_to(), Some(written.as_str()));
    assert_eq!(
        alice.shown(&room, &written).await?["body"],
        "a rude word",
        "her own words stay hers"
    );
    admin.edit(&channel, &sent, "another kind word").await?;
    alice
        .wait_for_shown(&room, &here.event_id, "another kind word")
        .await?;

    // Across a restart; and she has the last word.
    world.bridge.kill_and_restart().await?;
    admin.edit(&channel, &there, "a sweet word").await?;
    alice
        .wait_for_message(&room, "the second note", |event| {
            event.body().contains("a sweet word")
        })
        .await?;
    alice.edit_text(&room, &written, "my own word").await?;
    carol
        .wait_for_words(&channel, &there, "my own word")
        .await?;
    carol.send(&channel, "marker").await?;
    alice.wait_for_text(&room, "marker").await?;
    let notes = alice.room_messages(&room).await?;
    let notes = notes
        .iter()
        .filter(|event| event.body().contains("edited this message"));
    assert_eq!(notes.count(), 2, "each edit is told of once, her own not");
    Ok(())
}

/// Each side has its own limit, and splits what is longer.
#[tokio::test]
async fn every_part_of_a_long_message_follows_it() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    world
        .change_setting("Message_MaxAllowedSize", json!(26_000))
        .await?;
    let long = |word: &str, length: usize| {
        let words = format!("{word} ");
        words.repeat(length / words.len()).trim_end().to_owned()
    };
    let of = async |word: &str| -> Result<Vec<String>> {
        let texts = carol.room_texts(&channel).await?;
        Ok(texts
            .into_iter()
            .filter(|text| text.contains(word))
            .collect())
    };
    let pieces = async |word: &str, wanted: usize| {
        world
            .eventually(&format!("{wanted} messages with {word}"), async || {
                let found = of(word).await?;
                if found.len() == wanted {
                    return Ok(Some(found));
                }
                let lengths: Vec<_> = found.iter().map(String::len).collect();
                anyhow::bail!("their lengths are {lengths:?}")
            })
            .await
    };

    let written = alice.send_text(&room, &long("matrix", 50_000)).await?;
    let found = pieces("matrix", 2).await?;
    assert_eq!(found.join(" ").split_whitespace().count(), 50_000 / 7);
    // Each piece stands for the message.
    let second = carol
        .room_messages(&channel)
        .await?
        .pop()
        .expect("the second piece")
        .id;
    let ghost = world.ghost("carol");
    carol.react(&second, ":tada:", true).await?;
    alice
        .wait_for_reactions(&room, &written, &[(&ghost, "🎉")])
        .await?;
    carol.react(&second, ":tada:", false).await?;
    alice.wait_for_reactions(&room, &written, &[]).await?;
    carol.quote(&channel, &[&second], "long, that").await?;
    let answer = alice.wait_for_text(&room, "long, that").await?;
    assert_eq!(answer.in_reply_to(), Some(written.as_str()));
    carol
        .send_in_thread(&channel, &second, "more on that")
        .await?;
    let answer = alice.wait_for_text(&room, "more on that").await?;
    assert_eq!(answer.relation(), Some(("m.thread", written.as_str())));
    alice.edit_text(&room, &written, "short matrix").await?;
    let found = pieces("matrix", 1).await?;
    assert_eq!(found, ["short matrix"]);
    world.bridge.kill_and_restart().await?;
    alice
        .edit_text(&room, &written, &long("again", 30_000))
        .await?;
    pieces("again", 2).await?;
    alice.redact(&room, &written).await?;
    pieces("again", 0).await?;
    // A moderator takes away one piece: what is left makes no sense.
    let written = alice.send_text(&room, &long("third", 50_000)).await?;
    pieces("third", 2).await?;
    let second = carol
        .room_messages(&channel)
        .await?
        .pop()
        .expect("the second piece")
        .id;
    world.rocket_admin().delete(&channel, &second).await?;
    alice.wait_for_redaction(&room, &written).await?;
    pieces("third", 0).await?;

    let sent = carol.send(&channel, &long("rocket", 25_900)).await?;
    let events = alice
        .wait_until(&room, "both events", |events| {
            let parts = events
                .iter()
                .filter(|event| event.body().contains("rocket"));
            let parts: Vec<_> = parts.map(|event| event.event_id.clone()).collect();
            (parts.len() == 2).then_some(parts)
        })
        .await?;
    carol.edit(&channel, &sent, "short rocket").await?;
    alice
        .wait_for_shown(&room, &events[0], "short rocket")
        .await?;
    alice.wait_for_redaction(&room, &events[1]).await?;
    world.bridge.kill_and_restart().await?;
    carol
        .edit(&channel, &sent, &long("shuttle", 25_900))
        .await?;
    let second = alice
        .wait_for_message(&room, "a new second event", |event| {
            event.body().contains("shuttle") && event.relation().is_none()
        })
        .await?;
    carol.delete(&channel, &sent).await?;
    alice.wait_for_redaction(&room, &events[0]).await?;
    alice.wait_for_redaction(&room, &second.event_id).await?;
    Ok(())
}
