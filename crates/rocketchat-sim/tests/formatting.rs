//! Holds what is computed from a text (`msg` as stored, `md`, `mentions`, `channels`, `urls`) to 281
//! texts that were sent to a real 6.14. The same recording holds the parser by itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use rocketchat_sim::{Options, Sim};
use serde_json::{Value, json};
use support::accounts::Setup;

const RECORDED: &str = include_str!("../../rocketchat-markdown/tests/formatting.jsonl");

/// Lists without what differs between servers: ids.
fn without_ids(list: &Value) -> Value {
    let mut list = list.clone();
    for one in list.as_array_mut().into_iter().flatten() {
        if let Some(entry) = one.as_object_mut() {
            entry.remove("_id");
        }
    }
    list
}

#[tokio::test]
async fn texts_become_what_they_became_on_a_real_server() {
    let sim = Sim::start(Options {
        admin_password: "pw-admin".to_owned(),
        ..Options::default()
    })
    .unwrap();
    let setup = Setup::new(&sim).await;
    setup.base(&mut support::Known::default()).await;
    let mut different = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let input = &recorded["input"];
        let body = json!({
            "message": { "rid": "GENERAL", "msg": input }, "previewUrls": [],
        });
        let answer = setup
            .post(Some(&setup.admin), "chat.sendMessage", &body)
            .await;
        let message = &answer["message"];
        let stored = recorded.get("msg").unwrap_or(input);
        if message["msg"] != *stored || message.get("md") != recorded.get("md") {
            different.push(format!("{input}: msg or md is {message}"));
        }
        for key in ["mentions", "channels", "urls"] {
            let (ours, theirs) = (without_ids(&message[key]), without_ids(&recorded[key]));
            if ours != theirs {
                different.push(format!("{input}: {key} is {ours}, recorded {theirs}"));
            }
        }
        count += 1;
    }
    assert_eq!(count, 281);
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}
