//! Bad input gets a clear error and harms nobody else.

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{Rule, World};

use crate::{General, in_general, world_with_general};

/// Whether people still read each other.
async fn still_works(world: &World, mark: &str) -> Result<()> {
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    alice
        .send_text(&room, &format!("{mark} from Matrix"))
        .await?;
    carol
        .wait_for_text(&channel, &format!("{mark} from Matrix"))
        .await?;
    carol
        .send(&channel, &format!("{mark} from Rocket.Chat"))
        .await?;
    alice
        .wait_for_text(&room, &format!("{mark} from Rocket.Chat"))
        .await?;
    Ok(())
}

async fn put(world: &World, id: &str, body: &Value) -> Result<u16> {
    let path = format!("/_matrix/app/v1/transactions/{id}");
    Ok(world
        .bridge
        .request_as_homeserver("PUT", &path, Some(body))
        .await?
        .status)
}

#[tokio::test]
async fn malformed_transactions_harm_nobody() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;

    assert_eq!(put(&world, "a", &json!("no object")).await?, 400);
    assert_eq!(put(&world, "b", &json!({ "events": "none" })).await?, 400);
    let good = json!({
        "event_id": "$good", "room_id": room, "sender": alice.user_id, "type": "m.room.message",
        "content": { "msgtype": "m.text", "body": "between the bad ones" },
    });
    let mut nested = json!("deep");
    for _ in 0..100 {
        nested = json!([nested]);
    }
    let bad = [
        json!(null),
        json!(7),
        json!({}),
        json!({ "event_id": 5, "room_id": room, "sender": alice.user_id, "type": "m.room.message" }),
        json!({ "event_id": "$x", "room_id": "nonsense", "sender": alice.user_id, "type": "m.room.message" }),
        json!({ "event_id": "$y", "room_id": room, "sender": { "$ne": 1 }, "type": "m.room.message" }),
        json!({ "event_id": "$z", "room_id": room, "sender": alice.user_id, "type": "m.room.message", "content": nested }),
        json!({ "event_id": "$w", "room_id": room, "sender": alice.user_id, "type": "m.room.message",
                "content": { "msgtype": ["m.text"], "body": { "a": 1 }, "m.relates_to": 3 } }),
        json!({ "event_id": "$v", "room_id": room, "sender": alice.user_id, "type": "m.room.member", "state_key": 1,
                "content": { "membership": [] } }),
    ];
    let mut events = bad.to_vec();
    events.insert(4, good);
    assert_eq!(put(&world, "c", &json!({ "events": events })).await?, 200);
    carol
        .wait_for_text(&channel, "between the bad ones")
        .await?;

    let huge = json!({ "events": [], "filling": "x".repeat(51 * 1024 * 1024) });
    assert_eq!(put(&world, "d", &huge).await?, 413);
    let answer = world.bridge.get("/_matrix/app/v1/users/@x:y").await?;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (401, &json!("M_MISSING_TOKEN"))
    );
    let answer = world
        .bridge
        .get("/_matrix/app/v1/users/@x:y?access_token=wrong")
        .await?;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (403, &json!("M_FORBIDDEN"))
    );
    still_works(&world, "afterwards").await
}

#[tokio::test]
async fn garbage_on_the_socket_harms_nobody() -> Result<()> {
    let world = world_with_general().await?;
    let control = world.rocketchat.control();
    let bot = Some(World::ROCKET_BOT);
    still_works(&world, "before").await?;
    let raw = [
        json!({ "text": "garbage" }),
        json!({ "text": "{\"msg\":\"changed\",\"collection\":\"stream-room-messages\"}" }),
        json!({ "text": "{\"msg\":\"changed\",\"collection\":\"stream-room-messages\",\"fields\":{\"eventName\":\"__my_messages__\",\"args\":[{\"_id\":5}]}}" }),
        json!({ "text": "[".repeat(100_000) }),
        json!({ "binary": "AAECAwQ=" }),
    ];
    for (number, frame) in raw.into_iter().enumerate() {
        control.send_raw(bot, frame).await?;
        still_works(&world, &format!("after frame {number}")).await?;
    }
    control
        .send_raw(bot, json!({ "half": "{\"msg\":\"chan" }))
        .await?;
    still_works(&world, "after half a frame").await?;
    control
        .send_raw(bot, json!({ "oversize": 64 * 1024 * 1024 }))
        .await?;
    still_works(&world, "after a frame that is too large").await
}

#[tokio::test]
async fn pages_instead_of_answers_harm_nobody() -> Result<()> {
    let world = world_with_general().await?;
    let control = world.rocketchat.control();
    let html = json!({ "content-type": "text/html" });
    let page = "<!DOCTYPE html><html><body>Maintenance</body></html>";
    for (number, rule) in [
        Rule::on("/api/v1/chat.sendMessage").times(3).status_with(200, html.clone(), page),
        Rule::on("/api/v1/chat.sendMessage").times(3).status_with(503, html, page),
        Rule::on("/api/v1/chat.sendMessage").times(3).status_with(
            200,
            json!({ "content-type": "application/json" }),
            "{\"message\":{\"_id\":",
        ),
        Rule::on("/api/v1/chat.sendMessage").times(2).status_with(
            429,
            json!({ "content-type": "application/json" }),
            "{\"success\":false,\"error\":\"Error, too many requests. Please slow down. You must wait 1 seconds before trying this endpoint again. [error-too-many-requests]\"}",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        // Only the bridge's puppet meets it.
        let alice = world.puppet("alice");
        control.add_rule(rule.username(&alice)).await?;
        still_works(&world, &format!("through rule {number}")).await?;
        control.clear_rules().await?;
    }
    Ok(())
}

/// What Rocket.Chat will not take is told to its sender, and what is behind it
/// goes on.
#[tokio::test]
async fn a_refused_message_is_told_to_its_sender() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    alice.send_text(&room, "here I am").await?;
    carol.wait_for_text(&channel, "here I am").await?;
    let muted = Rule::as_if_muted(&world.puppet("alice"));
    world.rocketchat.control().add_rule(muted).await?;
    let refused = alice.send_text(&room, "unheard").await?;
    bob.send_text(&room, "short").await?;
    carol.wait_for_text(&channel, "short").await?;
    let notice = alice
        .wait_for_message(&room, "the notice", |event| event.msgtype() == "m.notice")
        .await?;
    assert_eq!(notice.in_reply_to(), Some(refused.as_str()));
    assert!(notice.body().contains("muted"), "{}", notice.body());
    assert_eq!(carol.room_texts(&channel).await?, ["here I am", "short"]);
    Ok(())
}

/// Text of one side can never act as a command on the other, nor call everybody.
#[tokio::test]
async fn text_stays_text() -> Result<()> {
    let General {
        world: _world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.send_text(&room, "@all wake up").await?;
    let arrived = carol
        .wait_for_message(&channel, "the text", |message| {
            message.text.contains("wake up")
        })
        .await?;
    assert_eq!(arrived.document["mentions"], json!([]), "nobody is called");
    for text in [
        "/leave",
        "/kick carol\nreally",
        "!rc bridge general",
        "<b>bold</b>",
    ] {
        carol.send(&channel, text).await?;
        alice.wait_for_text(&room, text).await?;
    }
    assert_eq!(
        carol
            .channel_members(&channel)
            .await?
            .iter()
            .filter(|name| **name == "carol")
            .count(),
        1
    );
    Ok(())
}
