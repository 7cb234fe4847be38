//! Commands that come through the App on Rocket.Chat. The App itself is tested in its own
//! runtime (`rocketchat-app/test`); here the bridge hears what it sends.

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use matrix_appservice_rocketchat::bridge::app_secret;
use matrix_appservice_rocketchat::secret::Secret;
use serde_json::{Value, json};
use sha2::Sha256;
use testbed::{RocketUser, World};

use crate::world_with_general;

/// What the App of this world does when somebody writes `/matrix …`.
pub(crate) struct App<'a> {
    world: &'a World,
    secret: Secret,
    http: reqwest::Client,
}

/// A call, which can be made more than once.
#[derive(Clone)]
struct Call {
    time: i64,
    signature: String,
    body: String,
}

impl<'a> App<'a> {
    pub(crate) fn of(world: &'a World) -> Self {
        Self {
            world,
            secret: app_secret(&Secret::new(world.bridge.as_token())),
            http: reqwest::Client::new(),
        }
    }

    fn call(&self, who: &RocketUser, words: &str, id: &str) -> Result<Call> {
        self.call_in("GENERAL", who, words, id)
    }

    fn call_in(&self, rid: &str, who: &RocketUser, words: &str, id: &str) -> Result<Call> {
        let body = json!({
            "id": id, "user_id": who.id, "username": who.username, "room_id": rid, "words": words,
        });
        self.signed(body.to_string(), now_ms())
    }

    fn signed(&self, body: String, time: i64) -> Result<Call> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes())?;
        mac.update(format!("{time}.{body}").as_bytes());
        let bytes = mac.finalize().into_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Call {
            time,
            signature: format!("sha256={hex}"),
            body,
        })
    }

    async fn make(&self, call: &Call) -> Result<(u16, Value)> {
        let url = format!(
            "{}/_rocketchat/app/v1/command",
            self.world.bridge.base_url()
        );
        let response = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header("x-bridge-time", call.time.to_string())
            .header("x-bridge-signature", &call.signature)
            .body(call.body.clone())
            .send()
            .await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    pub(crate) async fn answer(&self, who: &RocketUser, words: &str, id: &str) -> Result<String> {
        self.answer_in("GENERAL", who, words, id).await
    }

    /// As if it was given in that room.
    pub(crate) async fn answer_in(
        &self,
        rid: &str,
        who: &RocketUser,
        words: &str,
        id: &str,
    ) -> Result<String> {
        let call = self.call_in(rid, who, words, id)?;
        let (status, answer) = self.make(&call).await?;
        assert_eq!(status, 200, "{answer}");
        let text = answer["text"].as_str().context("no text")?;
        Ok(text.to_owned())
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

#[tokio::test]
async fn the_app_brings_commands_and_is_answered() -> Result<()> {
    let world = world_with_general().await?;
    let app = App::of(&world);
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let ghost = world.ghost("carol");

    let help = app.answer(&carol, "help", "1").await?;
    assert!(help.contains("/matrix help"), "{help}");
    assert!(help.contains("dm <@user:server>"), "{help}");
    let help_alone = app.answer(&carol, "", "2").await?;
    assert_eq!(help_alone, help);
    let typo = app.answer(&carol, "dn @alice:example.org", "3").await?;
    assert!(typo.contains("/matrix dm"), "{typo}");

    // What is asked for is done, and nobody else reads of it.
    let words = format!("dm {}", alice.user_id);
    let call = app.call(&carol, &words, "4")?;
    let (status, first) = app.make(&call).await?;
    assert_eq!(status, 200, "{first}");
    let invite = alice
        .wait_for_invite("the room", |invite| invite.sender == ghost)
        .await?;
    let room = alice.join(&invite.room_id).await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.send(&dm, "hello").await?;
    alice.wait_for_text(&room, "hello").await?;
    assert_eq!(
        app.make(&call).await?,
        (200, first),
        "a repeat is answered as before"
    );
    let refused = app.answer(&carol, "dm alice", "5").await?;
    assert!(refused.contains("full Matrix id"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn nobody_else_gives_commands_in_the_apps_name() -> Result<()> {
    let world = world_with_general().await?;
    let app = App::of(&world);
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let good = app.call(&carol, &format!("dm {}", alice.user_id), "1")?;

    let unsigned = Call {
        signature: String::new(),
        ..good.clone()
    };
    let other_words = Call {
        body: good.body.replace("carol", "admin"),
        ..good.clone()
    };
    let other_time = Call {
        time: good.time + 1,
        ..good.clone()
    };
    let with_as_token = Call {
        signature: format!("sha256={}", world.bridge.as_token()),
        ..good.clone()
    };
    let old = app.signed(good.body.clone(), good.time - 301_000)?;
    let of_tomorrow = app.signed(good.body.clone(), good.time + 400_000)?;
    for call in [
        unsigned,
        other_words,
        other_time,
        with_as_token,
        old,
        of_tomorrow,
    ] {
        let (status, answer) = app.make(&call).await?;
        assert_eq!(status, 401, "{answer}");
    }
    for body in [
        "",
        "[]",
        "{\"id\":1}",
        "{\"id\":\"x\",\"user_id\":\"u\",\"words\":{}}",
    ] {
        let (status, _) = app.make(&app.signed(body.to_owned(), now_ms())?).await?;
        assert_eq!(status, 400, "{body}");
    }
    let (status, _) = app
        .make(&app.signed("x".repeat(300_000), now_ms())?)
        .await?;
    assert_eq!(status, 413);

    // Whoever asks too often is told, and others are not kept waiting.
    let mut statuses = Vec::new();
    for n in 0..62 {
        let call = app.call(&carol, "help", &format!("many {n}"))?;
        statuses.push(app.make(&call).await?.0);
    }
    assert!(statuses.ends_with(&[429]), "{statuses:?}");
    let dave = world.rocket_user("dave").await?;
    app.answer(&dave, "help", "his").await?;
    assert!(alice.invites().await?.is_empty(), "nothing of it was done");
    Ok(())
}
