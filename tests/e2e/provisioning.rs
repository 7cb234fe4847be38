//! The provisioning API: what administrators' tools do over HTTP.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testbed::{World, WorldOptions};

use crate::BRIDGE;
use crate::membership::wait_for_notice;
use crate::plumbing::{alone, hall, talk};

const WRITER: &str = "a-token-that-may-write-things";
const READER: &str = "a-token-that-may-only-read-it";

struct Tool<'a> {
    world: &'a World,
    http: reqwest::Client,
    token: Option<&'static str>,
}

impl Tool<'_> {
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let url = format!(
            "{}/_rocketchat/provision/v1/{path}",
            self.world.bridge.base_url()
        );
        let mut request = self.http.request(method.parse()?, url);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.call("GET", path, None).await?;
        anyhow::ensure!(status == 200, "{path}: {status} {answer}");
        Ok(answer)
    }
}

fn tool<'a>(world: &'a World, token: Option<&'static str>) -> Tool<'a> {
    Tool {
        world,
        http: reqwest::Client::new(),
        token,
    }
}

#[tokio::test]
async fn programs_provision_by_the_api_what_their_token_allows() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.extra_config = json!({ "api": { "tokens": [
        { "name": "writer", "token": WRITER, "write": true },
        { "name": "reader", "token": READER },
    ]}});
    let world = World::start(options).await?;
    let (writer, reader) = (tool(&world, Some(WRITER)), tool(&world, Some(READER)));
    let (alice, carol) = (
        world.matrix_user("alice").await?,
        world.rocket_user("carol").await?,
    );
    let room = alice.join(&world.alias("general")).await?;
    let channel = carol.join_channel("general").await?;
    for (text, user) in [("from alice", true), ("from carol", false)] {
        match user {
            true => {
                alice.send_text(&room, text).await?;
                carol.wait_for_text(&channel, text).await?;
            }
            false => {
                carol.send(&channel, text).await?;
                alice.wait_for_text(&room, text).await?;
            }
        }
    }

    // Who is let in.
    for token in [None, Some("another-token-that-is-wrong")] {
        let (status, answer) = tool(&world, token).call("GET", "status", None).await?;
        assert_eq!(status, 401, "{answer}");
        assert!(answer["errcode"].is_string(), "{answer}");
    }
    let description = tool(&world, None).get("openapi.json").await?;
    assert_eq!(description["openapi"], "3.1.0");
    let (status, _) = reader
        .call("POST", "portals", Some(json!({ "channel": "tea" })))
        .await?;
    assert_eq!(status, 403);
    assert_eq!(reader.call("PUT", "portals", None).await?.0, 405);
    assert_eq!(reader.call("GET", "nothing", None).await?.0, 404);

    // What is there.
    let status = reader.get("status").await?;
    assert_eq!(status["rocketchat"], true, "{status}");
    let portals = reader.get("portals").await?;
    assert_eq!(portals["portals"][0]["room"], room.as_str(), "{portals}");
    let encoded = room.replace('!', "%21").replace(':', "%3A");
    let portal = reader.get(&format!("portals/{encoded}")).await?;
    assert_eq!(
        (&portal["name"], &portal["given_up"]),
        (&json!("general"), &json!(0))
    );
    let alice_is = reader
        .get(&format!("people?user={}", alice.user_id))
        .await?;
    assert_eq!(alice_is["username"], world.puppet("alice").as_str());
    let carol_is = reader.get(&format!("people?account={}", carol.id)).await?;
    assert_eq!(carol_is["user"], world.ghost("carol").as_str());
    assert_eq!(reader.call("GET", "people", None).await?.0, 400);
    assert_eq!(reader.get("dead_letters").await?["total"], 0);
    assert_eq!(
        writer.call("POST", "dead_letters/7/resend", None).await?.0,
        404
    );

    // Made, found again, ended.
    let tea = carol.create_channel("tea", &[]).await?;
    let wanted = json!({ "channel": "tea", "invite": alice.user_id });
    let (status, made) = writer.call("POST", "portals", Some(wanted.clone())).await?;
    assert_eq!(status, 200, "{made}");
    let made = made["room"].as_str().context("a room")?.to_owned();
    alice
        .wait_for_invite("the room", |invite| invite.room_id == made)
        .await?;
    alice.join(&made).await?;
    carol.send(&tea, "milk?").await?;
    alice.wait_for_text(&made, "milk?").await?;
    let (_, again) = writer.call("POST", "portals", Some(wanted)).await?;
    assert_eq!(again["room"], made.as_str());
    for body in [
        json!({}),
        json!({ "channel": "" }),
        json!({ "channel": "x", "y": 1 }),
        json!([]),
    ] {
        let (status, answer) = writer.call("POST", "portals", Some(body)).await?;
        assert_eq!(status, 400, "{answer}");
    }
    let nowhere = json!({ "channel": "nowhere" });
    let (status, answer) = writer.call("POST", "portals", Some(nowhere)).await?;
    assert_eq!(
        (status, &answer["errcode"]),
        (409, &json!("ROCKETCHAT_BRIDGE_REFUSED"))
    );
    let path = format!("portals/{}", made.replace('!', "%21"));
    assert_eq!(writer.call("DELETE", &path, None).await?.0, 202);
    alice
        .wait_for_message(&made, "the end", |event| {
            event.body().contains("no longer connected")
        })
        .await?;

    // It is known who did that.
    let audit = reader.get("audit").await?;
    let entries = audit["audit"].as_array().context("entries")?;
    let commands: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["command"], &entry["outcome"], &entry["who"]))
        .collect();
    let by = json!("api:writer");
    assert_eq!(commands[0], (&json!("unbridge"), &json!("done"), &by));
    let refused = reader.get("audit?refused=true").await?;
    let last = &refused["audit"][0];
    assert_eq!(
        (&last["command"], &last["words"], &last["who"]),
        (&json!("bridge"), &json!("nowhere"), &by)
    );
    assert!(!audit.to_string().contains(WRITER));
    let before = entries[0]["number"].as_u64().context("a number")?;
    let rest = reader
        .get(&format!("audit?before={before}&limit=1"))
        .await?;
    assert_eq!(rest["audit"].as_array().map(Vec::len), Some(1));
    Ok(())
}

/// A body of a request with its status, and what is said in the answer.
async fn said(tool: &Tool<'_>, path: &str, body: Value) -> Result<(u16, String)> {
    let (status, answer) = tool.call("POST", path, Some(body)).await?;
    let text = answer["said"].as_str().or(answer["error"].as_str());
    Ok((status, text.context("nothing is said")?.to_owned()))
}

#[tokio::test]
async fn programs_join_rooms_only_for_people_who_administer_them() -> Result<()> {
    const ALICES: &str = "a-token-for-alice-on-matrix";
    const DAVES: &str = "a-token-for-dave-on-rocketchat";
    const BOTH: &str = "a-token-for-alice-and-carol";
    let mut options = WorldOptions::new(BRIDGE);
    options.start_bridge = false;
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let [carol, dave] = [
        world.rocket_user("carol").await?,
        world.rocket_user("dave").await?,
    ];
    let tea = carol.create_channel("tea", &["dave"]).await?;
    let mut config = world.bridge.config()?;
    config["api"] = json!({ "tokens": [
        { "name": "writer", "token": WRITER, "write": true },
        { "name": "reader", "token": READER },
        { "name": "alice", "token": ALICES, "write": true, "user": alice.user_id },
        { "name": "dave", "token": DAVES, "write": true, "account": dave.id },
        { "name": "both", "token": BOTH, "write": true,
          "user": alice.user_id, "account": carol.id },
    ]});
    world.bridge.write_config(&config)?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let room = hall(&world, &alice, alone("private_chat")).await?;
    let [writer, reader, alices, daves, both] =
        [WRITER, READER, ALICES, DAVES, BOTH].map(|token| tool(&world, Some(token)));

    // An administrator of the bridge is none of the rooms by that.
    let wanted = json!({ "room": room, "channel": "tea" });
    let (status, why) = said(&writer, "proposals", wanted.clone()).await?;
    assert_eq!(status, 403, "{why}");
    assert_eq!(said(&reader, "proposals", wanted.clone()).await?.0, 403);
    let (status, why) = said(&daves, "proposals", wanted.clone()).await?;
    assert!(status == 409 && why.contains("for owners"), "{why}");
    let mut of_dave = wanted.clone();
    of_dave["side"] = "matrix".into();
    assert_eq!(said(&daves, "proposals", of_dave).await?.0, 403);
    assert_eq!(said(&both, "proposals", wanted.clone()).await?.0, 400);

    // As by a command: what it brings with it is confirmed by its name.
    let mut dry = wanted.clone();
    dry["dry_run"] = true.into();
    let (status, text) = said(&alices, "proposals", dry).await?;
    assert!(
        status == 200 && text.contains("Nothing was done"),
        "{status} {text}"
    );
    let (status, why) = said(&alices, "proposals", wanted.clone()).await?;
    assert!(status == 409 && why.contains("--confirm public"), "{why}");
    let mut confirmed = wanted.clone();
    confirmed["confirm"] = json!(["public"]);
    let (status, text) = said(&alices, "proposals", confirmed.clone()).await?;
    assert!(
        status == 200 && text.contains("Proposed"),
        "{status} {text}"
    );
    carol
        .wait_for_message(&tea, "the proposal", |message| {
            message.text.contains("proposes to join")
        })
        .await?;

    // The other side decides, by who administers its room.
    let listed = reader.get("proposals").await?;
    let proposal = &listed["proposals"][0];
    assert_eq!(proposal["room"], room.as_str(), "{listed}");
    assert_eq!(proposal["by"], alice.user_id.as_str());
    assert_eq!(
        (&proposal["decides"], &proposal["stage"]),
        (&json!("rocketchat"), &json!("open"))
    );
    assert!(proposal.get("code").is_none(), "{listed}");
    let listed = writer.get("proposals").await?;
    let code = &listed["proposals"][0]["code"];
    assert_eq!(code.as_str().map(str::len), Some(10), "{listed}");
    let answer = json!({ "code": code, "confirm": ["public"] });
    for path in ["proposals/approve", "proposals/reject"] {
        let answer = match path {
            "proposals/approve" => answer.clone(),
            _ => json!({ "code": code }),
        };
        assert_eq!(said(&writer, path, answer.clone()).await?.0, 403);
        let (status, why) = said(&alices, path, answer.clone()).await?;
        assert!(status == 409 && why.contains("No proposal"), "{why}");
        let (status, why) = said(&daves, path, answer.clone()).await?;
        assert!(status == 409 && why.contains("for owners"), "{why}");
    }
    let mut answer = answer;
    answer["side"] = "rocketchat".into();
    let (status, text) = said(&both, "proposals/approve", answer).await?;
    assert!(
        status == 200 && text.contains("Approved"),
        "{status} {text}"
    );
    wait_for_notice(&alice, &room, "is joined with tea").await?;
    talk((&alice, &room), (&carol, &tea), "hello").await?;
    let audit = reader.get("audit").await?;
    let last = &audit["audit"][0];
    assert_eq!(
        (&last["command"], &last["who"], &last["words"]),
        (
            &json!("approve"),
            &json!("api:both"),
            &json!("for carol on Rocket.Chat")
        )
    );

    // Ending it is for whoever administers the bridge, too: both are told.
    let path = format!("portals/{}", room.replace('!', "%21"));
    assert_eq!(writer.call("DELETE", &path, None).await?.0, 202);
    wait_for_notice(&alice, &room, "no longer joined").await?;
    carol
        .wait_for_message(&tea, "that it is over", |message| {
            message.text.contains("no longer joined")
        })
        .await?;
    Ok(())
}
