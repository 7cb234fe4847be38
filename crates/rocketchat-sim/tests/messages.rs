//! What the recordings cannot show of messages: reactions at once, switches of the control API,
//! limits in time, and what survives a restart.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use rocketchat_sim::{
    Options, RunningSim, Sim,
    control::{Behaviour, HEADER, Permission, UploadEmoji},
};
use serde_json::{Value, json};
use support::accounts::{Credentials, Setup};

async fn start(options: Options) -> (RunningSim, Setup) {
    let sim = Sim::start(Options {
        admin_password: "pw-admin".to_owned(),
        ..options
    })
    .unwrap();
    let setup = Setup::new(&sim).await;
    (sim, setup)
}

async fn order(setup: &Setup, path: &str, body: &impl serde::Serialize) -> Value {
    let request = setup
        .http
        .post(format!("{}/_sim/{path}", setup.url))
        .header(HEADER, "control")
        .json(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

async fn send(setup: &Setup, who: &Credentials, text: &str) -> Value {
    let body = json!({ "message": { "rid": "GENERAL", "msg": text } });
    setup.post(Some(who), "chat.sendMessage", &body).await
}

async fn react(setup: &Setup, who: &Credentials, id: &Value, emoji: &str) -> Value {
    let body = json!({ "messageId": id, "emoji": emoji, "shouldReact": true });
    setup.post(Some(who), "chat.react", &body).await
}

async fn get(setup: &Setup, path: &str) -> Value {
    let request = setup
        .http
        .get(format!("{}/api/v1/{path}", setup.url))
        .header("x-user-id", &setup.admin.uid)
        .header("x-auth-token", &setup.admin.token);
    request.send().await.unwrap().json().await.unwrap()
}

async fn reactions(setup: &Setup, id: &Value) -> Vec<String> {
    let path = format!("chat.getMessage?msgId={}", id.as_str().unwrap());
    let answer = get(setup, &path).await;
    let map = answer["message"]["reactions"].as_object().cloned();
    map.unwrap_or_default().keys().cloned().collect()
}

#[tokio::test]
async fn reactions_at_once_are_lost_only_when_asked_for() {
    let (_sim, setup) = start(Options::default()).await;
    for (race_ms, left) in [(0, 3), (150, 1)] {
        let wanted = Behaviour {
            reaction_race_ms: Some(race_ms),
            ..Behaviour::default()
        };
        order(&setup, "behaviour", &wanted).await;
        let sent = send(&setup, &setup.admin, "react to me").await;
        let id = &sent["message"]["_id"];
        let (a, b, c) = tokio::join!(
            react(&setup, &setup.admin, id, ":one:"),
            react(&setup, &setup.admin, id, ":two:"),
            react(&setup, &setup.admin, id, ":three:"),
        );
        for answer in [a, b, c] {
            assert_eq!(answer["success"], true, "nobody is told of a loss");
        }
        assert_eq!(reactions(&setup, id).await.len(), left, "{race_ms} ms");
    }
}

#[tokio::test]
async fn the_tree_of_a_text_can_be_left_out() {
    let (_sim, setup) = start(Options::default()).await;
    let sent = send(&setup, &setup.admin, "with").await;
    assert!(sent["message"]["md"].is_array(), "{sent}");
    let off = Behaviour {
        no_md: Some(true),
        ..Behaviour::default()
    };
    order(&setup, "behaviour", &off).await;
    let sent = send(&setup, &setup.admin, "without").await;
    assert_eq!(sent["message"].get("md"), None, "{sent}");
    let body = json!({
        "roomId": "GENERAL", "msgId": sent["message"]["_id"], "text": "edited without",
    });
    let edited = setup.post(Some(&setup.admin), "chat.update", &body).await;
    assert_eq!(edited["message"].get("md"), None, "{edited}");
}

#[tokio::test]
async fn a_role_can_lose_a_permission() {
    let (_sim, setup) = start(Options::default()).await;
    let alice = setup.make("alice", "alice", "Alice", &["user"]).await;
    assert_eq!(send(&setup, &alice, "@all hear").await["success"], true);
    let none = Permission {
        id: "mention-all".to_owned(),
        roles: vec!["admin".to_owned()],
    };
    order(&setup, "permissions", &none).await;
    let refused = send(&setup, &alice, "@all hear").await;
    assert_eq!(refused["errorType"], "error-action-not-allowed");
    let back = json!({ "permissions": [{ "_id": "mention-all", "roles": ["admin", "user"] }] });
    let by_alice = setup.post(Some(&alice), "permissions.update", &back).await;
    assert_eq!(by_alice["success"], false, "only administrators may");
    let unknown = json!({ "permissions": [{ "_id": "mention-all", "roles": ["nosuch"] }] });
    let answer = setup
        .post(Some(&setup.admin), "permissions.update", &unknown)
        .await;
    assert_eq!(answer["errorType"], "error-invalid-permission");
    let answer = setup
        .post(Some(&setup.admin), "permissions.update", &back)
        .await;
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(send(&setup, &alice, "@all hear").await["success"], true);
}

#[tokio::test]
async fn uploaded_emoji_and_permissions_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options {
        data: Some(directory.path().to_owned()),
        ..Options::default()
    };
    let (sim, setup) = start(options()).await;
    let upload = |name: &str, previous: Option<&str>| UploadEmoji {
        name: name.to_owned(),
        aliases: vec!["celebrate".to_owned()],
        extension: "png".to_owned(),
        picture: STANDARD.encode(b"a picture"),
        previous: previous.map(str::to_owned),
    };
    order(&setup, "emoji", &upload("party", None)).await;
    order(&setup, "emoji", &upload("big party", Some("party"))).await;
    let permission = Permission {
        id: "mention-all".to_owned(),
        roles: vec![],
    };
    order(&setup, "permissions", &permission).await;
    sim.stop();

    let (sim, setup) = start(options()).await;
    let list = get(&setup, "emoji-custom.list").await;
    assert_eq!(list["emojis"]["update"][0]["name"], "big party", "{list}");
    let file = format!("{}/emoji-custom/big%20party.png", setup.url);
    let answer = setup.http.get(file).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/png");
    assert_eq!(answer.bytes().await.unwrap().as_ref(), b"a picture");
    let sent = send(&setup, &setup.admin, "react to me").await;
    let id = &sent["message"]["_id"];
    assert_eq!(
        react(&setup, &setup.admin, id, ":celebrate:").await["success"],
        true
    );
    assert_eq!(
        react(&setup, &setup.admin, id, ":party:").await["success"],
        false
    );
    let refused = send(&setup, &setup.admin, "@all").await;
    assert_eq!(
        refused["errorType"], "error-action-not-allowed",
        "{refused}"
    );

    let emoji = json!({ "emojiId": list["emojis"]["update"][0]["_id"] });
    let answer = setup
        .post(Some(&setup.admin), "emoji-custom.delete", &emoji)
        .await;
    assert_eq!(answer["success"], true);
    assert_eq!(
        reactions(&setup, id).await,
        [":celebrate:"],
        "reactions stay"
    );
    sim.stop();
    let (_sim, setup) = start(options()).await;
    let list = get(&setup, "emoji-custom.list").await;
    assert_eq!(list["emojis"]["update"], json!([]));
}

#[tokio::test]
async fn a_chain_of_quotes_is_cut_at_the_limit() {
    let (_sim, setup) = start(Options::default()).await;
    for (limit, depth) in [(1, 1), (2, 2), (3, 3), (1_000_000_000, 5)] {
        let value = json!({ "value": limit });
        let path = "settings/Message_QuoteChainLimit";
        setup.post(Some(&setup.admin), path, &value).await;
        let mut last = send(&setup, &setup.admin, "the first").await;
        for _ in 0..5 {
            let id = last["message"]["_id"].as_str().unwrap();
            let text = format!("[ ]({}/channel/general?msg={id})\nand", setup.url);
            last = send(&setup, &setup.admin, &text).await;
        }
        let mut levels = 0;
        let mut one = &last["message"];
        while let Some(quote) = one["attachments"].get(0) {
            levels += 1;
            one = quote;
        }
        assert_eq!(levels, depth, "with a limit of {limit}");
    }
}

#[tokio::test]
async fn edits_end_after_the_limit_and_deletions_half_a_minute_later() {
    let (sim, setup) = start(Options::default()).await;
    let alice = setup.make("alice", "alice", "Alice", &["user"]).await;
    for setting in [
        "Message_AllowEditing_BlockEditInMinutes",
        "Message_AllowDeleting_BlockDeleteInMinutes",
    ] {
        let path = format!("settings/{setting}");
        let one = json!({ "value": 1 });
        setup.post(Some(&setup.admin), &path, &one).await;
    }
    // Age in seconds; whether an edit, and then a deletion, is still allowed (recording 90: a
    // message of 66 seconds could be deleted, but not edited).
    for (age, edited, deleted) in [(0, true, true), (66, false, true), (95, false, false)] {
        let sent = send(&setup, &alice, "late?").await;
        let id = sent["message"]["_id"].as_str().unwrap().to_owned();
        sim.state().change_message(&id, |doc| {
            let ts = json!({ "$date": rocketchat_sim::time::now_ms() - age * 1000 });
            doc.insert("ts".to_owned(), ts);
        });
        let body = json!({ "roomId": "GENERAL", "msgId": id, "text": "edited" });
        let answer = setup.post(Some(&alice), "chat.update", &body).await;
        assert_eq!(answer["success"], edited, "edit after {age} s: {answer}");
        if !edited {
            assert_eq!(answer["errorType"], "error-message-editing-blocked");
        }
        let body = json!({ "roomId": "GENERAL", "msgId": id });
        let answer = setup.post(Some(&alice), "chat.delete", &body).await;
        assert_eq!(answer["success"], deleted, "delete after {age} s: {answer}");
    }
}

#[tokio::test]
async fn a_message_of_another_federation_can_neither_be_reacted_to_nor_deleted() {
    let (_sim, setup) = start(Options::default()).await;
    let marked = json!({ "message": {
        "rid": "GENERAL", "msg": "from elsewhere", "federation": { "eventId": "$an-event" },
    } });
    let sent = setup
        .post(Some(&setup.admin), "chat.sendMessage", &marked)
        .await;
    let id = &sent["message"]["_id"];
    let refused = react(&setup, &setup.admin, id, ":smile:").await;
    assert_eq!(
        refused["error"],
        "Federation configuration is invalid,unable to react to message"
    );
    let body = json!({ "roomId": "GENERAL", "msgId": id });
    let refused = setup.post(Some(&setup.admin), "chat.delete", &body).await;
    assert_eq!(
        refused["error"],
        "Federation configuration is invalid,unable to delete message"
    );
}

async fn method(setup: &Setup, name: &str, params: Value) -> Value {
    let call = json!({ "msg": "method", "id": "1", "method": name, "params": params });
    let body = json!({ "message": call.to_string() });
    let path = format!("method.call/{name}");
    let answer = setup.post(Some(&setup.admin), &path, &body).await;
    serde_json::from_str(answer["message"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_message_cannot_be_moved_into_a_thread() {
    let (_sim, setup) = start(Options::default()).await;
    let parent = send(&setup, &setup.admin, "parent").await;
    let parent = &parent["message"]["_id"];
    let reply = json!({ "message": { "rid": "GENERAL", "msg": "reply", "tmid": parent } });
    let reply = setup
        .post(Some(&setup.admin), "chat.sendMessage", &reply)
        .await;
    let reply = &reply["message"]["_id"];
    let other = send(&setup, &setup.admin, "other").await;
    let other = &other["message"]["_id"];
    let update = |id: &Value, tmid: &Value| json!([{ "_id": id, "rid": "GENERAL", "msg": "changed", "tmid": tmid }]);
    for (id, tmid) in [(other, parent), (reply, other)] {
        let refused = method(&setup, "updateMessage", update(id, tmid)).await;
        assert_eq!(refused["error"]["error"], "error-message-change-to-thread");
    }
    let edited = method(&setup, "updateMessage", update(reply, parent)).await;
    assert_eq!(
        edited.get("error"),
        None,
        "the thread it is in may be named"
    );
}

#[tokio::test]
async fn reacting_over_the_socket_ended_with_8_0() {
    for (profile, exists) in [("7.7", true), ("8.0", false)] {
        let (_sim, setup) = start(Options {
            profile: profile.parse().unwrap(),
            ..Options::default()
        })
        .await;
        let sent = send(&setup, &setup.admin, "react to me").await;
        let id = &sent["message"]["_id"];
        method(&setup, "setReaction", json!([":smile:", id, true])).await;
        assert_eq!(!reactions(&setup, id).await.is_empty(), exists, "{profile}");
    }
}

#[tokio::test]
async fn texts_are_parsed_as_from_8_7_on_only_when_asked_for() {
    for (profile, asked, tree) in [
        ("8.0", true, "SPOILER"),
        ("8.0", false, "PLAIN_TEXT"),
        ("6.14", true, "PLAIN_TEXT"),
    ] {
        let (_sim, setup) = start(Options {
            profile: profile.parse().unwrap(),
            new_markdown: asked,
            ..Options::default()
        })
        .await;
        let sent = send(&setup, &setup.admin, "||hidden||").await;
        let first = &sent["message"]["md"][0]["value"][0]["type"];
        assert_eq!(first, tree, "{profile}, asked for: {asked}");
    }
}

#[tokio::test]
async fn an_incoming_webhook_survives_a_restart_and_posts_where_it_may() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options {
        data: Some(directory.path().to_owned()),
        ..Options::default()
    };
    let (sim, setup) = start(options()).await;
    let poster = setup.make("poster", "poster", "Poster", &["bot"]).await;
    let hook = json!({
        "type": "webhook-incoming", "name": "ci", "enabled": true, "username": "poster",
        "channel": "#general", "scriptEnabled": false, "alias": "CI",
    });
    let refused = setup
        .post(Some(&poster), "integrations.create", &hook)
        .await;
    assert_eq!(refused["errorType"], "not_authorized");
    let made = setup
        .post(Some(&setup.admin), "integrations.create", &hook)
        .await;
    let made = &made["integration"];
    let address = format!(
        "hooks/{}/{}",
        made["_id"].as_str().unwrap(),
        made["token"].as_str().unwrap()
    );
    sim.stop();

    let (sim, setup) = start(options()).await;
    let tell = async |body: Value| {
        let url = format!("{}/{address}", setup.url);
        let answer = setup.http.post(url).json(&body).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(tell(json!({ "text": "built" })).await, 200);
    assert_eq!(tell(json!({ "text": "x", "channel": "@admin" })).await, 400);
    let page = get(&setup, "channels.history?roomId=GENERAL&count=1").await;
    let message = &page["messages"][0];
    assert_eq!(
        (&message["msg"], &message["alias"], &message["bot"]["i"]),
        (&json!("built"), &json!("CI"), &made["_id"]),
        "{message}"
    );
    assert_eq!(message["u"]["username"], "poster");
    drop(sim);
}
