//! What is not plain text: it arrives in the nearest form that there is.

use anyhow::Result;
use serde_json::{Value, json};
use testbed::Sample;

use crate::{Direct, General, in_direct, in_general};

/// The type of an event, its content, and the text on Rocket.Chat.
fn from_matrix() -> Vec<(&'static str, Value, &'static str)> {
    let message = "m.room.message";
    vec![
        (
            message,
            json!({ "msgtype": "m.emote", "body": "waves" }),
            "_waves_",
        ),
        (
            message,
            json!({ "msgtype": "m.emote", "body": "waves",
                "format": "org.matrix.custom.html", "formatted_body": "<b>waves</b>" }),
            "_*waves*_",
        ),
        (
            message,
            json!({ "msgtype": "m.notice", "body": "said by a program" }),
            "said by a program",
        ),
        (
            "m.sticker",
            json!({ "body": "cat", "info": {} }),
            "[sticker: cat]",
        ),
        (
            message,
            json!({ "msgtype": "m.location", "body": "Home", "geo_uri": "geo:52.5,13.4" }),
            "[location: Home] https://www.openstreetmap.org/?mlat=52.5&mlon=13.4",
        ),
        (
            "org.matrix.msc3381.poll.start",
            json!({ "org.matrix.msc3381.poll.start": {
                "question": { "org.matrix.msc1767.text": "Tea?" },
                "answers": [
                    { "id": "1", "org.matrix.msc1767.text": "yes" },
                    { "id": "2", "org.matrix.msc1767.text": "no" },
                ],
            } }),
            "[poll: Tea?]\n- yes\n- no",
        ),
        (
            "org.example.dance",
            json!({ "body": "dances *a lot*" }),
            "dances \\*a lot\\*",
        ),
        (
            "org.example.silent",
            json!({ "x": 1 }),
            "[a message of type org.example.silent that cannot be shown here]",
        ),
        (
            message,
            json!({ "msgtype": "org.example.kind", "body": "words" }),
            "[org.example.kind: words]",
        ),
    ]
}

/// Without what keeps a text from being markup and is not seen.
fn read(text: &str) -> String {
    text.replace('\u{200b}', "").replace("\\.", ".")
}

#[tokio::test]
async fn what_is_no_text_on_matrix_is_said_in_words_on_rocketchat() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let events = from_matrix();
    let mut first = None;
    for (kind, content, _) in &events {
        let event = alice.send_event(&room, kind, content.clone()).await?;
        first.get_or_insert(event);
    }
    let seen = carol
        .wait_until(&channel, "all of them", |documents| {
            let seen: Vec<_> = documents.iter().filter(|one| one.is_written()).collect();
            (seen.len() == events.len()).then(|| seen.into_iter().cloned().collect::<Vec<_>>())
        })
        .await?;
    for (message, (kind, content, text)) in seen.iter().zip(&events) {
        assert_eq!(read(&message.text), *text, "{kind} {content}");
        assert_eq!(message.username, world.puppet("alice"));
    }
    // And as one of them changes and goes, while the bridge is away.
    let first = first.expect("the first event");
    world.bridge.kill().await?;
    let new = json!({ "msgtype": "m.emote", "body": "waves twice" });
    alice.edit_content(&room, &first, new, json!({})).await?;
    let poll = &seen[5];
    let events = alice.room_events(&room).await?;
    let poll_event = events
        .iter()
        .find(|event| event.kind.ends_with("poll.start"))
        .expect("the poll");
    alice.redact(&room, &poll_event.event_id).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let edited = carol.wait_for_text(&channel, "_waves twice_").await?;
    assert_eq!(edited.id, seen[0].id);
    carol
        .wait_until(&channel, "the poll to be gone", |documents| {
            let is_there = documents
                .iter()
                .any(|one| one.id == poll.id && one.is_written());
            (!is_there).then_some(())
        })
        .await
}

#[tokio::test]
async fn what_is_no_text_is_said_in_direct_messages_too() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let sticker = json!({ "body": "cat", "info": {} });
    alice.send_event(&room, "m.sticker", sticker).await?;
    carol.wait_for_text(&dm, "[sticker: cat]").await?;
    let call = json!({ "call_id": "c", "version": "1", "offer": { "sdp": "m=audio 1" } });
    alice.send_event(&room, "m.call.invite", call).await?;
    carol.wait_for_text(&dm, "[voice call started]").await?;
    // That somebody shares where they are is said once: not where, nor that they stop.
    let beacon = async |live: bool, after: u64| {
        let content = json!({ "live": live, "timeout": 60_000, "m.ts": after });
        let (kind, user) = ("org.matrix.msc3672.beacon_info", &alice.user_id);
        alice.send_state(&room, kind, user, content).await
    };
    beacon(true, 1).await?;
    beacon(true, 2).await?;
    beacon(false, 3).await?;
    carol.wait_for_text(&dm, "[live location shared]").await?;
    alice.send_text(&room, "there").await?;
    carol.wait_for_text(&dm, "there").await?;
    let said = carol.room_texts(&dm).await?;
    let beacons = said.iter().filter(|text| text.contains("live location"));
    assert_eq!(beacons.count(), 1, "{said:?}");
    // As Rocket.Chat keeps a video call.
    carol
        .send_message(
            json!({ "rid": dm, "msg": "", "t": "videoconf", "groupable": false,
            "blocks": [{ "type": "video_conf", "blockId": "v", "callId": "v",
                "appId": "videoconf-core" }] }),
        )
        .await?;
    alice.wait_for_text(&room, "(a video call)").await?;
    carol
        .send_message(json!({ "rid": dm, "msg": "look", "attachments": [
            { "title": "Card", "text": "*all* of it" },
        ] }))
        .await?;
    let card = alice
        .wait_for_text(&room, "look\n**Card**\n**all** of it")
        .await?;
    assert_eq!(card.sender, world.ghost("carol"));
    Ok(())
}

#[tokio::test]
async fn programs_on_rocketchat_are_heard_under_the_names_they_give() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    // A bot may take names.
    let robot = world
        .rocketchat
        .create_user("robot", &["user", "bot"])
        .await?;
    robot.join_channel("general").await?;
    let admin = world.rocket_admin();
    let hook = admin.create_webhook("general", "robot").await?;
    let post = json!({
        "text": "build *failed*", "alias": "CI <b> @room",
        "avatar": "http://127.0.0.1:1/x.png",
    });
    admin.call_webhook(&hook, post).await?;
    let said = alice
        .wait_for_message(&room, "the webhook", |event| event.body().contains("build"))
        .await?;
    assert_eq!(said.sender, world.ghost("robot"), "by the account");
    assert_eq!(said.body(), "CI <b> room: build **failed**");
    let html = said.formatted_body();
    assert!(
        html.contains("CI &lt;b&gt; room:</strong> build <strong>failed"),
        "{html}"
    );
    let profile = &said.content["com.beeper.per_message_profile"];
    assert_eq!(profile["displayname"], "CI <b> @room");
    assert!(
        !said.content.to_string().contains("127.0.0.1:1/"),
        "{said:?}"
    );

    // What it changes later is said by the same name.
    let id = robot
        .post_message(json!({ "channel": "#general", "text": "ready", "alias": "Helper" }))
        .await?;
    let ready = alice.wait_for_text(&room, "Helper: ready").await?;
    assert_eq!(ready.sender, world.ghost("robot"));
    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    robot.edit(&channel, &id, "steady").await?;
    alice
        .wait_for_message(&room, "the edit", |event| {
            event.new_body() == "Helper: steady" && event.sender == world.ghost("robot")
        })
        .await?;
    // A name without end leaves room for the words.
    let name = "n".repeat(70_000);
    robot
        .post_message(json!({ "channel": "#general", "text": "words", "alias": name }))
        .await?;
    alice
        .wait_for_message(&room, "the words", |event| {
            event.body().starts_with("nnn") && event.body().ends_with("…: words")
        })
        .await?;
    // With the bridge's own account too, as that of the bot. Its picture is one of this
    // server, or an emoji.
    let face = Sample::png(3, 64, 64)?;
    carol.set_avatar(&face).await?;
    let hook = admin
        .create_webhook("general", &world.rocket_bot.username)
        .await?;
    let post = json!({ "text": "mind the gap", "alias": "Station", "avatar": "/avatar/carol" });
    admin.call_webhook(&hook, post).await?;
    let said = alice
        .wait_for_text(&room, "Station (webhook on Rocket.Chat): mind the gap")
        .await?;
    assert_eq!(said.sender, world.user_id("rocketchatbot"));
    let picture = said.text("/com.beeper.per_message_profile/avatar_url");
    assert!(!alice.download(picture).await?.1.is_empty());
    let post = json!({ "text": "boo", "alias": "Cellar", "emoji": ":ghost:" });
    admin.call_webhook(&hook, post).await?;
    alice
        .wait_for_text(&room, "\u{1f47b} Cellar (webhook on Rocket.Chat): boo")
        .await?;
    // Nobody of Matrix speaks by it.
    let post = json!({ "text": "I am alice", "alias": alice.user_id });
    admin.call_webhook(&hook, post).await?;
    let said = alice
        .wait_for_message(&room, "the forgery", |event| {
            event.body().ends_with(": I am alice")
        })
        .await?;
    let name = said.text("/com.beeper.per_message_profile/displayname");
    assert!(
        name.ends_with(" (webhook on Rocket.Chat)") && !name.contains('@'),
        "{name}"
    );
    robot
        .post_message(json!({ "channel": "#general", "text": "beep", "emoji": ":robot:" }))
        .await?;
    alice
        .wait_for_message(&room, "the emoji", |event| {
            event.body().starts_with("\u{1f916} ") && event.body().ends_with(": beep")
        })
        .await?;
    carol.send(&channel, "as myself").await?;
    let own = alice.wait_for_text(&room, "as myself").await?;
    assert_eq!(own.content.get("com.beeper.per_message_profile"), None);
    Ok(())
}

#[tokio::test]
async fn cards_blocks_and_fields_of_rocketchat_are_read_on_matrix() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let card = json!({
        "color": "#ff0000", "author_name": "CI", "author_link": "https://ci.example.org",
        "title": "Build 7", "title_link": "https://ci.example.org/7", "text": "it *failed*",
        "fields": [{ "title": "by", "value": "bob", "short": true }],
        "actions": [
            { "type": "button", "text": "Again", "url": "https://ci.example.org/again" },
            { "type": "button", "text": "Off", "url": "javascript:alert(1)" },
        ],
    });
    carol
        .send_message(json!({ "rid": channel, "msg": "see", "attachments": [card] }))
        .await?;
    let event = alice
        .wait_for_message(&room, "the card", |event| event.body().starts_with("see"))
        .await?;
    assert_eq!(
        event.body(),
        "see\n[CI](https://ci.example.org)\n**[Build 7](https://ci.example.org/7)**\n\
         it **failed**\n**by**: bob\n- [Again](https://ci.example.org/again)\n\
         - Off (javascript:alert(1))"
    );
    let html = event.formatted_body();
    assert!(
        html.contains("<a href=\"https://ci.example.org/7\">Build 7</a>"),
        "{html}"
    );
    assert!(!html.contains("href=\"javascript"), "{html}");

    let blocks = json!([
        { "type": "header", "text": { "type": "plain_text", "text": "Lunch" } },
        { "type": "section", "text": { "type": "mrkdwn", "text": "*choose* one" } },
    ]);
    let robot = world
        .rocketchat
        .create_user("robot", &["user", "bot"])
        .await?;
    robot.join_channel("general").await?;
    robot
        .send_message(json!({ "rid": channel, "msg": "", "blocks": blocks }))
        .await?;
    alice
        .wait_for_message(&room, "the blocks", |event| {
            event.body().contains("Lunch") && event.body().contains("**choose** one")
        })
        .await?;

    let admin = world.rocket_admin();
    admin
        .set_setting("Message_CustomFields_Enabled", json!(true))
        .await?;
    let schema = json!({ "properties": { "priority": { "type": "string" } } });
    admin
        .set_setting("Message_CustomFields", json!(schema.to_string()))
        .await?;
    carol
        .send_message(
            json!({ "rid": channel, "msg": "urgent", "customFields": { "priority": "high" } }),
        )
        .await?;
    alice.wait_for_text(&room, "urgent\npriority: high").await?;
    // Nothing in it that anybody could see, and yet it is not dropped.
    carol
        .send_message(json!({ "rid": channel, "msg": "", "attachments": [{ "color": "#f00" }] }))
        .await?;
    alice
        .wait_for_text(&room, "(a message without text)")
        .await?;
    Ok(())
}
