//! Hostile input: text never acts, one room never touches another, and what is
//! malformed neither stops others nor vanishes without a word.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{Event, MatrixUser, RocketUser, World};

use crate::{Direct, General, in_direct, in_general};

/// Everybody in a room still hears the other side, in both directions.
async fn marker(
    alice: &MatrixUser,
    carol: &RocketUser,
    (room, channel): (&str, &str),
    mark: &str,
) -> Result<()> {
    let (there, here) = (format!("{mark} there"), format!("{mark} here"));
    alice.send_text(room, &there).await?;
    carol.send(channel, &here).await?;
    carol.wait_for_text(channel, &there).await?;
    alice.wait_for_text(room, &here).await?;
    Ok(())
}

#[tokio::test]
async fn text_of_matrix_never_acts_on_rocketchat() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    for text in [
        "/leave",
        "/kick carol\nreally",
        "//topic x",
        "/me dances",
        "hello\n!rc list",
        "!rcx list",
        "$gt",
        "{\"$ne\": 1}",
        "../../api/v1/users.delete?x=%00",
    ] {
        alice.send_text(&room, text).await?;
        carol.wait_for_text(&channel, text).await?;
    }
    // What no text has goes, and no line begins because of it.
    alice
        .send_text(&room, "one\u{0}\rtwo\u{7}\u{1b}[31m\r\nthree")
        .await?;
    let said = carol
        .wait_for_message(&channel, "the text", |one| one.text.starts_with("one"))
        .await?;
    assert_eq!(said.text.replace('\u{200b}', ""), "onetwo[31m\nthree");
    let mxc = alice.upload_sample(&testbed::Sample::png(1, 9, 9)?).await?;
    let image = json!({
        "msgtype": "m.image", "body": "!rc list", "filename": "a\r\n/leave.png", "url": mxc,
    });
    alice.send_event(&room, "m.room.message", image).await?;
    let said = carol
        .wait_for_message(&channel, "the file", |one| {
            one.document.to_string().contains("leave") && one.text.contains("!rc list")
                || one.document["attachments"].to_string().contains("!rc list")
        })
        .await?;
    assert_eq!(said.username, world.puppet("alice"));
    let mallory = world.matrix_user("mallory").await?;
    mallory.set_display_name("/leave\r\n!rc list\u{0}").await?;
    mallory.join(&room).await?;
    mallory.send_text(&room, "innocent").await?;
    let said = carol.wait_for_text(&channel, "innocent").await?;
    assert_eq!(said.username, world.puppet("mallory"));
    let event = alice.send_text(&room, "harmless").await?;
    carol.wait_for_text(&channel, "harmless").await?;
    alice.edit_text(&room, &event, "!rc list").await?;
    carol.wait_for_text(&channel, "!rc list").await?;

    marker(&alice, &carol, (&room, &channel), "after").await?;
    let members = carol.channel_members(&channel).await?;
    for name in ["carol", &world.puppet("alice"), &world.puppet("mallory")] {
        assert!(members.iter().any(|member| member == name), "{members:?}");
    }
    let messages = alice.room_messages(&room).await?;
    assert!(
        !messages.iter().any(|event| event.msgtype() == "m.notice"),
        "nothing was taken for a command: {messages:?}"
    );
    Ok(())
}

/// Sends an event as a client, or when the homeserver refuses it, hands it to the
/// bridge as if it had come: other homeservers have their own users send what they
/// like. Returns its id.
async fn send_or_forge(
    world: &World,
    sender: &MatrixUser,
    room: &str,
    kind: &str,
    content: &Value,
) -> Result<String> {
    static FORGED: AtomicU32 = AtomicU32::new(0);
    if let Ok(event) = sender.send_event(room, kind, content.clone()).await {
        return Ok(event);
    }
    let number = FORGED.fetch_add(1, Ordering::Relaxed);
    let event = format!("$forged{number}");
    let transaction = json!({ "events": [{
        "event_id": event, "room_id": room, "sender": sender.user_id, "type": kind,
        "content": content, "redacts": content["redacts"],
    }] });
    let path = format!("/_matrix/app/v1/transactions/forged{number}");
    let answer = world
        .bridge
        .request_as_homeserver("PUT", &path, Some(&transaction))
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    Ok(event)
}

/// What no HTML on Matrix may have, whoever's client shows it.
fn assert_harmless(event: &Event) {
    let html = event.formatted_body().to_lowercase();
    for bad in [
        "<script",
        "<img src=\"http",
        "<img src=x",
        "<iframe",
        "<svg",
        "<b onmouseover",
        "href=\"javascript",
        "href=\"data:",
        "href=\"vbscript",
        "<style",
    ] {
        assert!(!html.contains(bad), "{html}");
    }
}

#[tokio::test]
async fn text_of_rocketchat_never_acts_on_matrix() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room: direct,
        dm,
    } = in_direct().await?;
    let admin = world.matrix_user("admin").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    admin.join(&room).await?;
    // Commands are for Matrix; a person of Rocket.Chat gives none, wherever it is.
    let thread = carol.send(&channel, "!rc list").await?;
    carol
        .send_in_thread(&channel, &thread, "!rc bridge general")
        .await?;
    carol.send(&dm, "!rc resend").await?;
    alice.wait_for_text(&direct, "!rc resend").await?;
    alice.wait_for_text(&room, "!rc bridge general").await?;

    let texts = [
        "1 <script>alert(1)</script><img src=x onerror=alert(1)>",
        "2 [x](javascript:alert(1)) [y](JaVaScRiPt:alert(1)) [z](data:text/html,<script>)",
        "3 *<b onmouseover=alert(1)>* _</em><iframe src=//x>_ `</code><svg onload=x>`",
        "4 ![x](http://127.0.0.1:1/a.png) <http://127.0.0.1:1/\"><script>|x>",
        "5 ```x\" onload=\"y\n</code></pre><script>\n```",
        "6 [\"><img src=x onerror=alert(1)>](https://example.org/\"onclick=\"x)",
        "7 \\(</div><script>x</script>\\) <mx-reply>*you* did it</mx-reply>",
    ];
    for text in texts {
        carol.send(&channel, text).await?;
    }
    let card = json!({
        "title": "8 <img src=x onerror=alert(1)>", "title_link": "https://example.org/\"><script>",
        "author_name": "<script>", "text": "*</strong><script>*",
        "fields": [{ "title": "<style>", "value": "<iframe>" }],
    });
    carol
        .send_message(json!({ "rid": channel, "msg": "*x*", "attachments": [card] }))
        .await?;
    carol.send(&channel, "after").await?;
    alice.wait_for_text(&room, "after").await?;
    let messages = alice.room_messages(&room).await?;
    for number in 1..=8 {
        let mark = format!("{number} ");
        let found = messages
            .iter()
            .find(|event| event.body().starts_with(&mark) || event.body().contains("8 <img"));
        assert!(found.is_some(), "number {number} arrives: {messages:#?}");
    }
    messages.iter().for_each(assert_harmless);
    for room in [&room, &direct] {
        let events = alice.room_messages(room).await?;
        let notices = events.iter().filter(|event| event.msgtype() == "m.notice");
        assert_eq!(notices.count(), 0, "no command was given");
    }
    Ok(())
}

/// Events of a client that keeps to no rule, and whether there are words in them.
fn malformed(carols: &str) -> Vec<(&'static str, Value, Option<&'static str>)> {
    let message = "m.room.message";
    let mut deep = json!("deep");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let text = |body: &str, more: Value| {
        let mut content = json!({ "msgtype": "m.text", "body": body });
        for (key, value) in more.as_object().into_iter().flatten() {
            content[key] = value.clone();
        }
        content
    };
    let html = "org.matrix.custom.html";
    vec![
        (
            message,
            json!({ "msgtype": "m.text", "body": { "a": 1 } }),
            None,
        ),
        (message, json!({ "msgtype": "m.text", "body": ["x"] }), None),
        (message, json!({ "msgtype": "m.text" }), None),
        (message, text(" \n", json!({})), None),
        (
            message,
            json!({ "msgtype": ["m.text"], "body": "w1" }),
            Some("w1"),
        ),
        (message, json!({ "body": "w2" }), Some("w2")),
        (
            message,
            text("w3", json!({ "m.relates_to": [] })),
            Some("w3"),
        ),
        (
            message,
            text(
                "w4",
                json!({ "m.relates_to": { "rel_type": ["m.replace"], "event_id": {} } }),
            ),
            Some("w4"),
        ),
        (
            message,
            text(
                "w5",
                json!({ "m.relates_to": { "m.in_reply_to": { "event_id": 5 } } }),
            ),
            Some("w5"),
        ),
        (
            message,
            text("w6", json!({ "m.mentions": "all" })),
            Some("w6"),
        ),
        (
            message,
            text(
                "w7 @carol",
                json!({ "m.mentions": { "user_ids": carols, "room": "yes" } }),
            ),
            Some("w7"),
        ),
        (
            message,
            text(
                "w8",
                json!({ "m.mentions": { "user_ids": [[carols], 1, null, { "$ne": "" }] } }),
            ),
            Some("w8"),
        ),
        (
            message,
            text(
                "w9",
                json!({ "format": html, "formatted_body": { "a": 1 } }),
            ),
            Some("w9"),
        ),
        (message, text("w10", json!({ "x": deep })), Some("w10")),
        (
            message,
            text(
                "w11",
                json!({ "m.relates_to": { "rel_type": "m.thread", "event_id": "nonsense" } }),
            ),
            Some("w11"),
        ),
        (
            message,
            text(
                "w12",
                json!({ "format": html, "formatted_body": "<b><i>".repeat(4_000) + "w12" }),
            ),
            Some("w12"),
        ),
        (
            message,
            json!({ "msgtype": "m.location", "body": "w13", "geo_uri": { "$gt": 1 } }),
            Some("w13"),
        ),
        (
            message,
            text(
                "w14",
                json!({ "m.relates_to": { "rel_type": "m.replace", "event_id": "$unknown" }, "m.new_content": 7 }),
            ),
            Some("w14"),
        ),
        (
            "org.matrix.msc3381.poll.start",
            json!({ "org.matrix.msc3381.poll.start": [] }),
            Some("poll"),
        ),
        ("m.sticker", json!({ "url": 1 }), None),
        ("m.reaction", json!({ "m.relates_to": "x" }), None),
        ("m.reaction", json!({}), None),
    ]
}

#[tokio::test]
async fn malformed_events_stop_nobody_and_vanish_for_nobody() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let target = (room.as_str(), channel.as_str());
    marker(&alice, &carol, target, "before").await?;
    let carols = world.ghost("carol");
    let mut wordless = Vec::new();
    for (kind, content, words) in malformed(&carols) {
        let event = send_or_forge(&world, &alice, &room, kind, &content).await?;
        if let Some(words) = words {
            let said = carol
                .wait_for_message(&channel, &format!("the words of {content}"), |one| {
                    one.text.contains(words)
                })
                .await?;
            assert_eq!(said.document["mentions"], json!([]), "{content}");
        } else if kind == "m.room.message" {
            wordless.push(event);
        }
    }
    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    marker(&alice, &carol, target, "after").await?;
    for event in &wordless {
        alice
            .wait_for_message(&room, "the word that nothing arrived", |notice| {
                notice.msgtype() == "m.notice" && notice.in_reply_to() == Some(event)
            })
            .await?;
    }
    Ok(())
}

/// A second mirrored channel, with Alice and Carol in it.
async fn second_channel(world: &World, carol: &RocketUser) -> Result<(String, String)> {
    let channel = carol.create_channel("tea", &[]).await?;
    let alice = world.matrix_user("alice").await?;
    let room = alice.join(&world.alias("tea")).await?;
    Ok((room, channel))
}

#[tokio::test]
async fn one_room_never_touches_or_reveals_another() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let (tea_room, tea) = second_channel(&world, &carol).await?;
    let secret = alice.send_text(&tea_room, "a secret of tea").await?;
    let secret_there = carol.wait_for_text(&tea, "a secret of tea").await?;
    let carols = carol.send(&tea, "another secret").await?;
    let carols_here = alice.wait_for_text(&tea_room, "another secret").await?;

    // From the wrong room: a reply, a reply in a thread, an edit, a reaction, a
    // redaction.
    for target in [&secret, &carols_here.event_id] {
        alice.reply(&room, target, "reply").await?;
        let threaded = json!({
            "msgtype": "m.text", "body": "threaded",
            "m.relates_to": { "rel_type": "m.thread", "event_id": target },
        });
        let replaced = json!({
            "msgtype": "m.text", "body": "* changed",
            "m.new_content": { "msgtype": "m.text", "body": "changed" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": target },
        });
        let reacted = json!({
            "m.relates_to": { "rel_type": "m.annotation", "event_id": target, "key": "👍" },
        });
        for (kind, content) in [
            ("m.room.message", threaded),
            ("m.room.message", replaced),
            ("m.reaction", reacted),
            ("m.room.redaction", json!({ "redacts": target })),
        ] {
            send_or_forge(&world, &alice, &room, kind, &content).await?;
        }
    }
    marker(&alice, &carol, (&room, &channel), "first").await?;
    marker(&alice, &carol, (&tea_room, &tea), "second").await?;
    let in_general = carol.room_messages(&channel).await?;
    let all = json!(
        in_general
            .iter()
            .map(|one| &one.document)
            .collect::<Vec<_>>()
    );
    for word in ["secret", &secret_there.id, &carols] {
        assert!(!all.to_string().contains(word), "{word}: {all:#}");
    }
    let replies: Vec<_> = in_general
        .iter()
        .filter(|one| one.text.ends_with("reply"))
        .collect();
    assert_eq!(replies.len(), 2);
    for reply in replies {
        assert!(reply.text.contains("not here"), "{}", reply.text);
    }
    for (id, text) in [
        (&secret_there.id, "a secret of tea"),
        (&carols, "another secret"),
    ] {
        let now = carol.room_messages(&tea).await?;
        let now = now.iter().find(|one| one.id == *id).expect("still there");
        assert_eq!(now.text, text);
        assert_eq!(now.document.get("reactions"), None, "{:#}", now.document);
        assert_eq!(now.document.get("tcount"), None, "{:#}", now.document);
    }

    // And from Rocket.Chat: a quote and a thread of another room.
    let link = format!("{}/channel/tea?msg={carols}", world.rocketchat.base_url());
    carol.send(&channel, &format!("[ ]({link}) look")).await?;
    let quote = alice
        .wait_for_message(&room, "the quote", |event| event.body().ends_with("look"))
        .await?;
    assert!(
        quote.body().contains("not in this room"),
        "{}",
        quote.body()
    );
    assert_eq!(quote.in_reply_to(), None);
    assert!(!quote.content.to_string().contains("secret"), "{quote:?}");
    Ok(())
}

#[tokio::test]
async fn marks_of_the_bridge_in_what_people_send_mean_nothing() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let id = carol.send(&channel, "mine").await?;
    let mine = alice.wait_for_text(&room, "mine").await?;
    let marks = [
        json!({}),
        json!({ "room_id": channel, "message_id": id, "revision": 0, "part": 0, "parts": 1 }),
        json!({ "room_id": channel, "message_id": id, "revision": 9_007_199_254_740_991_u64, "part": 7, "parts": 1 }),
        json!("nonsense"),
    ];
    for (number, mark) in marks.iter().enumerate() {
        let text = format!("forged {number}");
        let content = json!({ "msgtype": "m.text", "body": text, "chat.rocket.bridge": mark });
        alice.send_event(&room, "m.room.message", content).await?;
        let said = carol.wait_for_text(&channel, &text).await?;
        assert_eq!(said.username, world.puppet("alice"));
    }
    // Nor when the bridge has to look what it sent already.
    world.bridge.kill().await?;
    let later = carol.send(&channel, "later").await?;
    let mark = json!({
        "room_id": channel, "message_id": later, "revision": 0, "part": 0, "parts": 1,
    });
    let content = json!({ "msgtype": "m.text", "body": "stolen", "chat.rocket.bridge": mark });
    alice.send_event(&room, "m.room.message", content).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    carol.wait_for_text(&channel, "stolen").await?;
    let arrived = alice.wait_for_text(&room, "later").await?;
    assert_eq!(arrived.sender, world.ghost("carol"));
    carol.edit(&channel, &id, "still mine").await?;
    let edit = alice
        .wait_for_message(&room, "the edit", |event| event.new_body() == "still mine")
        .await?;
    assert_eq!(edit.relation(), Some(("m.replace", mine.event_id.as_str())));
    carol.delete(&channel, &later).await?;
    alice
        .wait_until(&room, "the deletion", |events| {
            let found = events.iter().find(|one| one.event_id == arrived.event_id)?;
            found.is_redacted().then_some(())
        })
        .await?;
    let texts = alice.room_texts(&room).await?;
    assert!(texts.contains(&"stolen".to_owned()), "{texts:?}");
    Ok(())
}

#[tokio::test]
async fn forged_documents_of_rocketchat_harm_nobody() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let target = (room.as_str(), channel.as_str());
    let (tea_room, tea) = second_channel(&world, &carol).await?;
    let foreign = carol.send(&tea, "a secret of tea").await?;
    alice.wait_for_text(&tea_room, "a secret of tea").await?;
    let site = world.rocketchat.base_url();

    let mut deep = json!({ "type": "PLAIN_TEXT", "value": "deep" });
    for _ in 0..40 {
        deep = json!({ "type": "BOLD", "value": [deep] });
    }

    // As somebody's own client can send them.
    let future = "2999-01-01T00:00:00.000Z";
    let by_clients = [
        json!({ "msg": "c0", "t": "made-up" }),
        json!({ "msg": "c1", "editedAt": future, "editedBy": { "_id": "x", "username": "admin" } }),
        json!({ "msg": "c2", "md": [{ "type": "PARAGRAPH", "value": [{ "type": "PLAIN_TEXT", "value": "other" }] }] }),
        json!({ "msg": "c3", "attachments": [{
            "message_link": format!("{site}/channel/tea?msg={foreign}"), "text": "a secret of tea" }] }),
        json!({ "msg": "c4", "mentions": [{ "_id": "all", "username": "all" }], "u": { "_id": "x" } }),
        json!({ "msg": "c5", "x": deep, "attachments": [{ "text": "y", "x": deep }] }),
        json!({ "msg": "c6", "reactions": { ":tada:": { "usernames": ["admin"] } }, "pinned": true }),
    ];
    let mut ids = Vec::new();
    for (number, forged) in by_clients.iter().enumerate() {
        let mut forged = forged.clone();
        forged["rid"] = json!(channel);
        ids.push(carol.send_message(forged).await?);
        let mark = format!("c{number}");
        let said = alice
            .wait_for_message(&room, &mark, |event| event.body().contains(&mark))
            .await?;
        assert_eq!(said.sender, world.ghost("carol"));
        assert_eq!(said.content["m.mentions"], json!({}), "{mark}");
        assert_eq!(said.in_reply_to(), None, "{mark}");
        assert!(!said.content.to_string().contains("secret"), "{said:?}");
    }
    // What was forged hides no later edit.
    for (number, id) in ids.iter().enumerate() {
        let text = format!("edited {number}");
        carol.edit(&channel, id, &text).await?;
        alice
            .wait_for_message(&room, &text, |event| event.new_body().starts_with(&text))
            .await?;
    }

    // Nor does it when the room is read back.
    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    marker(&alice, &carol, target, "after a restart").await?;

    // As no server sends them.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = u64::try_from(now.as_millis())?;
    let by_servers = [
        json!({ "md": { "type": 5 } }),
        json!({ "md": [{ "type": "PARAGRAPH", "value": [deep] }] }),
        json!({ "md": [{ "type": "NEW", "value": [[], 1, null] }, 7, "x"] }),
        json!({ "mentions": [{ "_id": { "$ne": 1 } }, 5], "channels": "x", "urls": 7 }),
        json!({ "attachments": [{ "fields": { "a": 1 }, "title": 5, "message_link": [] }, null] }),
        json!({ "reactions": { ":tada:": { "usernames": "carol" }, "x": 1, ":y:": null } }),
        json!({ "tmid": 5, "alias": { "a": 1 }, "editedAt": "never", "pinned": "yes" }),
        json!({ "blocks": [{ "type": 1 }, []], "customFields": [1], "starred": 1 }),
    ];
    let control = world.rocketchat.control();
    for (number, forged) in by_servers.iter().enumerate() {
        let mut document = json!({
            "_id": format!("forged{number}"), "rid": channel, "msg": format!("s{number}"),
            "ts": { "$date": now }, "_updatedAt": { "$date": now },
            "u": { "_id": carol.id, "username": "carol", "name": "Carol" },
        });
        for (key, value) in forged.as_object().into_iter().flatten() {
            document[key] = value.clone();
        }
        let frame = json!({
            "msg": "changed", "collection": "stream-room-messages", "id": "id",
            "fields": { "eventName": "__my_messages__", "args": [
                document, { "roomParticipant": true, "roomType": "c", "roomName": "general" },
            ] },
        });
        let frame = json!({ "text": frame.to_string() });
        control.send_raw(Some(World::ROCKET_BOT), frame).await?;
        marker(&alice, &carol, target, &format!("after {number}")).await?;
    }
    let texts = alice.room_texts(&room).await?;
    for number in 0..by_servers.len() {
        let arrived = texts.iter().any(|text| {
            text.contains(&format!("s{number}")) || number == 1 && text.contains("deep")
        });
        assert!(arrived, "{number}: {texts:#?}");
    }
    Ok(())
}
