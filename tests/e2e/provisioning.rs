//! The provisioning API: what administrators' tools do over HTTP.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testbed::{World, WorldOptions};

use crate::BRIDGE;

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
