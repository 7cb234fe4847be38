//! Messages that are sent again: Rocket.Chat does so for every star, pin, preview,
//! thread counter and new name, with the whole message as it is now.

use anyhow::Result;
use serde_json::json;

use crate::{General, in_general};

#[tokio::test]
async fn what_is_sent_again_is_neither_doubled_nor_missed() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    admin.join_channel("general").await?;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(carol.send(&channel, &format!("word {number}")).await?);
    }
    alice.wait_for_text(&room, "word 4").await?;
    alice.send_text(&room, "word of alice").await?;
    ids.push(carol.wait_for_text(&channel, "word of alice").await?.id);
    carol
        .send_in_thread(&channel, &ids[1], "in a thread")
        .await?;
    alice.wait_for_text(&room, "in a thread").await?;
    // Everything that anybody sent, but for pins, which follow.
    let said = async || -> Result<Vec<String>> {
        let events = alice.room_events(&room).await?;
        let said = events.into_iter().filter(|event| event.state_key.is_none());
        Ok(said.map(|event| event.event_id).collect())
    };
    let before = said().await?;

    world.rocketchat.control().repeat_frames(None, 3).await?;
    let stir = async |on: bool| -> Result<()> {
        for id in &ids {
            carol.star(id, on).await?;
            admin.pin(id, on).await?;
        }
        Ok(())
    };
    stir(true).await?;
    stir(false).await?;
    let follow = json!({ "mid": ids[1] });
    carol.post("chat.unfollowMessage", follow.clone()).await?;
    carol.post("chat.followMessage", follow).await?;
    carol.send(&channel, "marker").await?;
    let marker = alice.wait_for_text(&room, "marker").await?.event_id;
    let after = said().await?;
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()..], [marker.as_str()]);

    // While the bridge is away: all of it is read back.
    world.bridge.stop().await?;
    stir(true).await?;
    stir(false).await?;
    carol
        .send_in_thread(&channel, &ids[2], "in another thread")
        .await?;
    carol.send(&channel, "new meanwhile").await?;
    let rename = json!({ "userId": carol.id, "data": { "username": "caroline" } });
    admin.post("users.update", rename).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    carol.send(&channel, "marker again").await?;
    let marker = alice.wait_for_text(&room, "marker again").await?;
    assert_eq!(
        marker.sender,
        world.ghost("carol"),
        "a new name is no new person"
    );
    assert_eq!(
        alice.room_texts(&room).await?,
        [
            "word 0",
            "word 1",
            "word 2",
            "word 3",
            "word 4",
            "word of alice",
            "in a thread",
            "marker",
            "in another thread",
            "new meanwhile",
            "marker again"
        ]
    );
    // The renamed one's older messages are hers still.
    let event = alice.wait_for_text(&room, "word 0").await?.event_id;
    carol.edit(&channel, &ids[0], "the first word").await?;
    alice
        .wait_for_shown(&room, &event, "the first word")
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_is_pinned_on_rocketchat_is_pinned_on_matrix() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let admin = world.rocket_admin();
    admin.join_channel("general").await?;
    let first = carol.send(&channel, "first").await?;
    let first_here = alice.wait_for_text(&room, "first").await?.event_id;
    let second_here = alice.send_text(&room, "second").await?;
    let second = carol.wait_for_text(&channel, "second").await?.id;
    admin.pin(&first, true).await?;
    alice.wait_for_pinned(&room, &[&first_here]).await?;
    admin.pin(&second, true).await?;
    alice
        .wait_for_pinned(&room, &[&first_here, &second_here])
        .await?;
    world.bridge.kill_and_restart().await?;
    admin.pin(&first, false).await?;
    alice.wait_for_pinned(&room, &[&second_here]).await?;
    world.bridge.stop().await?;
    admin.pin(&first, true).await?;
    admin.pin(&second, false).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    alice.wait_for_pinned(&room, &[&first_here]).await?;
    // What Rocket.Chat says about it is no message.
    carol.send(&channel, "marker").await?;
    alice.wait_for_text(&room, "marker").await?;
    assert_eq!(
        alice.room_texts(&room).await?,
        ["first", "second", "marker"]
    );
    Ok(())
}
