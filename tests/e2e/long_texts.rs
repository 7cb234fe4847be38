//! Texts that are longer than the other side takes arrive whole, and stay one
//! message to those who wrote them.

use anyhow::Result;
use serde_json::json;
use testbed::{Event, MatrixUser, RocketMessage, RocketUser, World};

use crate::{General, in_general};

/// Paragraphs of words, each so many characters long, that can be told apart.
fn paragraphs(mark: &str, count: usize, length: usize) -> String {
    let paragraph = |number: usize| {
        let mut text = format!("{mark} {number}");
        while text.len() + 6 <= length {
            text.push_str(" words");
        }
        text
    };
    let all: Vec<String> = (0..count).map(paragraph).collect();
    all.join("\n\n")
}

/// What was written in a room, when together it says this text.
async fn pieces_of(carol: &RocketUser, rid: &str, text: &str) -> Result<Vec<RocketMessage>> {
    let what = format!("the pieces of {:?}…", &text[..text.len().min(20)]);
    carol
        .wait_until(rid, &what, |documents| {
            let written: Vec<_> = documents.iter().filter(|one| one.is_written()).collect();
            let texts: Vec<&str> = written.iter().map(|one| one.text.as_str()).collect();
            (texts.join("\n\n") == text).then(|| written.into_iter().cloned().collect())
        })
        .await
}

async fn restart(world: &World) -> Result<()> {
    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await
}

async fn wait_for_redaction(alice: &MatrixUser, room: &str, event_ids: &[&str]) -> Result<()> {
    alice
        .wait_until(room, "all events to be redacted", |events| {
            let is_gone = |id: &str| {
                let found = events.iter().find(|event| event.event_id == id);
                found.is_none_or(Event::is_redacted)
            };
            event_ids.iter().all(|id| is_gone(id)).then_some(())
        })
        .await
}

#[tokio::test]
async fn a_long_text_of_matrix_is_one_message_in_several() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let text = paragraphs("first", 12, 1_000);
    let event = alice.send_text(&room, &text).await?;
    let pieces = pieces_of(&carol, &channel, &text).await?;
    assert_eq!(pieces.len(), 3, "each as full as it can be");
    assert!(pieces.iter().all(|piece| piece.text.len() <= 5_000));

    // A reaction to any piece is one to the event.
    for (piece, emoji) in pieces.iter().zip([":one:", ":two:", ":tada:"]) {
        carol.react(&piece.id, emoji, true).await?;
    }
    let ghost = world.ghost("carol");
    world
        .eventually("the reaction to the last piece", async || {
            let reactions = alice.reactions(&room, &event).await?;
            Ok(reactions
                .contains(&(ghost.clone(), "🎉".into()))
                .then_some(()))
        })
        .await?;

    // Longer, shorter, and shorter still, with a restart between.
    let longer = format!("{text}\n\n{}", paragraphs("more", 5, 1_000));
    alice.edit_text(&room, &event, &longer).await?;
    let now = pieces_of(&carol, &channel, &longer).await?;
    assert!(now.len() > pieces.len());
    assert!(now.iter().zip(&pieces).all(|(now, then)| now.id == then.id));
    restart(&world).await?;
    let shorter = paragraphs("second", 6, 1_000);
    alice.edit_text(&room, &event, &shorter).await?;
    let now = pieces_of(&carol, &channel, &shorter).await?;
    assert_eq!(now.len(), 2);
    alice.edit_text(&room, &event, "short").await?;
    pieces_of(&carol, &channel, "short").await?;
    let again = paragraphs("third", 9, 1_000);
    alice.edit_text(&room, &event, &again).await?;
    pieces_of(&carol, &channel, &again).await?;

    // It goes as one.
    alice.redact(&room, &event).await?;
    pieces_of(&carol, &channel, "").await?;
    let second = alice.send_text(&room, &text).await?;
    let pieces = pieces_of(&carol, &channel, &text).await?;
    restart(&world).await?;
    let admin = world.rocket_admin();
    admin.delete(&channel, &pieces[1].id).await?;
    wait_for_redaction(&alice, &room, &[&second]).await?;
    pieces_of(&carol, &channel, "").await?;
    Ok(())
}

/// The messages of a timeline that a person still sees, edits left out.
fn visible(events: &[Event]) -> Vec<&Event> {
    let is_seen = |event: &&Event| {
        let is_edit = event
            .relation()
            .is_some_and(|(kind, _)| kind == "m.replace");
        event.is_message() && !event.is_redacted() && !is_edit
    };
    events.iter().filter(is_seen).collect()
}

/// The events in which people now read this text.
async fn events_of(
    world: &World,
    alice: &MatrixUser,
    room: &str,
    text: &str,
) -> Result<Vec<Event>> {
    world
        .eventually("the long text on Matrix", async || {
            let events = alice.room_events(room).await?;
            let seen = visible(&events);
            let mut texts = Vec::new();
            for event in &seen {
                let shown = alice.shown(room, &event.event_id).await?;
                texts.push(shown["body"].as_str().unwrap_or_default().to_owned());
            }
            let together = texts.join("\n\n");
            if together != text {
                let lengths: Vec<usize> = texts.iter().map(String::len).collect();
                anyhow::bail!("texts of {lengths:?}, together {}", together.len());
            }
            Ok(Some(seen.into_iter().cloned().collect()))
        })
        .await
}

#[tokio::test]
async fn a_long_text_of_rocketchat_is_one_message_in_several_events() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    world
        .rocket_admin()
        .set_setting("Message_MaxAllowedSize", json!(200_000))
        .await?;
    let text = paragraphs("first", 60, 1_000);
    let id = carol.send(&channel, &text).await?;
    let first = events_of(&world, &alice, &room, &text).await?;
    assert_eq!(first.len(), 3, "each as full as it can be");
    assert!(
        first
            .iter()
            .all(|event| event.sender == world.ghost("carol"))
    );
    carol.react(&id, ":tada:", true).await?;
    world
        .eventually("the reaction", async || {
            let reactions = alice.reactions(&room, &first[0].event_id).await?;
            Ok((!reactions.is_empty()).then_some(()))
        })
        .await?;

    let longer = format!("{text}\n\n{}", paragraphs("more", 30, 1_000));
    carol.edit(&channel, &id, &longer).await?;
    let now = events_of(&world, &alice, &room, &longer).await?;
    assert!(now.len() > first.len());
    let is_kept = |(now, then): (&Event, &Event)| now.event_id == then.event_id;
    assert!(now.iter().zip(&first).all(is_kept));
    restart(&world).await?;
    let shorter = paragraphs("second", 30, 1_000);
    carol.edit(&channel, &id, &shorter).await?;
    let now = events_of(&world, &alice, &room, &shorter).await?;
    assert_eq!(now.len(), 2);
    world.bridge.kill().await?;
    carol.edit(&channel, &id, "*short*").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    events_of(&world, &alice, &room, "**short**").await?;

    // It goes as one, from either side.
    carol.edit(&channel, &id, &text).await?;
    events_of(&world, &alice, &room, &text).await?;
    carol.delete(&channel, &id).await?;
    events_of(&world, &alice, &room, "").await?;
    let id = carol.send(&channel, &text).await?;
    let events = events_of(&world, &alice, &room, &text).await?;
    let bot = world.matrix_bot()?;
    bot.set_power(&room, &alice.user_id, 50).await?;
    alice.redact(&room, &events[1].event_id).await?;
    events_of(&world, &alice, &room, "").await?;
    carol
        .wait_until(&channel, "the message to be gone", |documents| {
            let is_there = documents.iter().any(|one| one.id == id && one.is_written());
            (!is_there).then_some(())
        })
        .await
}
