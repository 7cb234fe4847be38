//! Commands that come through the App on Rocket.Chat. The App itself is tested in its own
//! runtime (`rocketchat-app/test`); here the bridge hears what it sends.

use std::io::Write as _;

use anyhow::{Context, Result, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use matrix_appservice_rocketchat::bridge::app_secret;
use matrix_appservice_rocketchat::secret::Secret;
use serde_json::{Value, json};
use sha2::Sha256;
use testbed::{RocketUser, Rule, World, WorldOptions};

use crate::commands::Desk;
use crate::faces::calls;
use crate::{BRIDGE, world_with_general};

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
    // Where the bridge's account is not: in that direct message, for who is in it, and in a
    // private group.
    let status = app.answer_in(&dm, &carol, "status", "here").await?;
    assert!(status.contains("This room is mirrored with"), "{status}");
    let dora = world.rocket_user("dora").await?;
    let status = app.answer_in(&dm, &dora, "status", "not here").await?;
    assert!(!status.contains("This room is mirrored with"), "{status}");
    for (words, id, why) in [
        ("kick x", "kick there", "does not change by commands"),
        ("unbridge", "end there", "not ended by a command"),
    ] {
        let refused = app.answer_in(&dm, &carol, words, id).await?;
        assert!(refused.contains(why), "{refused}");
    }
    let group = carol.create_group("cellar", &[]).await?;
    for (words, id) in [
        ("bridge #room:example.org", "b"),
        ("kick @x:example.org", "k"),
    ] {
        let refused = app.answer_in(&group, &carol, words, id).await?;
        assert!(
            refused.contains("invite me first, `@bridge.bot`"),
            "{refused}"
        );
    }
    let refused = app.answer(&carol, "dm alice", "5").await?;
    assert!(refused.contains("full Matrix id"), "{refused}");

    // Killed while it is under way: it is done all the same, and answered where that can be.
    let bob = world.matrix_user("bob").await?;
    let control = world.rocketchat.control();
    let before = calls(&world, "users.info").await?;
    control
        .add_rule(Rule::on("/api/v1/users.info").answer_after_delay(60_000))
        .await?;
    let call = app.call(&carol, &format!("dm {}", bob.user_id), "6")?;
    let begun = world.eventually("that it has begun", async || {
        let now = calls(&world, "users.info").await?;
        Ok((now > before).then_some(()))
    });
    tokio::select! {
        answer = app.make(&call) => bail!("answered already: {answer:?}"),
        begun = begun => begun?,
    }
    world.bridge.kill().await?;
    control.clear_rules().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let desk = Desk::of(&carol).await?;
    desk.wait_for_answer(0, "/direct/").await?;
    bob.wait_for_invite("the room", |invite| invite.sender == ghost)
        .await?;
    let (_, again) = app.make(&call).await?;
    let again = again.to_string();
    assert!(again.contains("in our direct message"), "{again}");
    assert_eq!(desk.answers().await?.len(), 1, "it is done once");
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

/// The App as `cargo xtask package-app` packs it, but that nothing in it can be run.
fn package(version: &str) -> Result<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/rocketchat-app");
    let manifest = std::fs::read_to_string(format!("{root}/app.json"))?;
    let mut manifest: Value = serde_json::from_str(&manifest)?;
    manifest["version"] = json!(version);
    let class = manifest["classFile"]
        .as_str()
        .context("no class")?
        .to_owned();
    let texts = std::fs::read(format!("{root}/i18n/en.json"))?;
    let files = [
        ("app.json".to_owned(), manifest.to_string().into_bytes()),
        (class, b"exports.MatrixApp = class {};".to_vec()),
        ("i18n/en.json".to_owned(), texts),
    ];
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(name, stored)?;
        archive.write_all(&content)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Runs `install-app` with this file; whether it went well, and what it said.
async fn install(world: &World, package: &[u8], more: &[&str]) -> Result<(bool, String)> {
    let file = world.directory().join("app.zip");
    std::fs::write(&file, package)?;
    let file = file.to_str().context("no path")?;
    let mut arguments = vec!["install-app", "--app", file];
    arguments.extend_from_slice(more);
    let (status, said) = world.bridge.run_command(&arguments).await?;
    Ok((status.success(), said))
}

#[tokio::test]
async fn the_app_is_installed_and_updated_and_told_where_the_bridge_is() -> Result<()> {
    let world = world_with_general().await?;
    let secret = app_secret(&Secret::new(world.bridge.as_token()));
    let secret = secret.expose();
    let control = world.rocketchat.control();
    let admin = world.rocket_admin();
    let get =
        async |path: &str| -> Result<Value> { Ok(admin.request("GET", path, None).await?.body) };
    let installed = async || -> Result<Vec<Value>> {
        let all = get("/api/apps/installed").await?;
        Ok(all["apps"].as_array().cloned().unwrap_or_default())
    };

    // Not by whom the server does not let, and not any file.
    control.set_permission("manage-apps", &["nobody"]).await?;
    let (done, said) = install(&world, &package("0.1.0")?, &[]).await?;
    assert!(!done && said.contains("`manage-apps`"), "{said}");
    control.set_permission("manage-apps", &["admin"]).await?;
    let (done, said) = install(&world, b"no zip", &[]).await?;
    assert!(
        !done && said.contains("Invalid or unsupported zip"),
        "{said}"
    );
    assert!(said.contains("cargo xtask package-app"), "{said}");
    assert!(installed().await?.is_empty());

    let (done, said) = install(&world, &package("0.1.0")?, &[]).await?;
    assert!(
        done && said.contains("Version 0.1.0 is installed"),
        "{said}"
    );
    assert!(!said.contains(secret), "{said}");
    let apps = installed().await?;
    let id = apps[0]["id"].as_str().context("no id")?.to_owned();
    let settings = format!("/api/apps/{id}/settings");
    let known = get(&settings).await?;
    assert_eq!(known["settings"]["secret"]["value"], secret);
    let address = known["settings"]["bridge_url"]["value"].as_str();
    let address = address.context("no address")?.trim_end_matches('/');
    assert_eq!(address, world.bridge.base_url());

    // A newer one in its place, at another address.
    let elsewhere = ["--bridge-url", "http://bridge.test:9000"];
    let (done, said) = install(&world, &package("0.2.0")?, &elsewhere).await?;
    assert!(
        done && said.contains("Version 0.2.0 is installed"),
        "{said}"
    );
    let apps = installed().await?;
    assert_eq!(apps.len(), 1, "{apps:?}");
    assert_eq!(apps[0]["version"], "0.2.0");
    let known = get(&settings).await?;
    assert_eq!(
        known["settings"]["bridge_url"]["value"],
        "http://bridge.test:9000/"
    );

    // A server that gives its settings in no way that is known.
    control
        .add_rule(Rule::on(&settings).status_with(200, json!({}), r#"{"success":true}"#))
        .await?;
    let (done, said) = install(&world, &package("0.3.0")?, &[]).await?;
    assert!(done && said.contains("by hand"), "{said}");
    assert!(
        said.contains("--show-settings") && !said.contains(secret),
        "{said}"
    );
    let (done, said) = install(&world, b"", &["--show-settings"]).await?;
    assert!(
        done && said.contains(secret),
        "what is to be entered: {said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_server_that_runs_no_private_apps_is_no_riddle() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.sim_args = vec!["--version-profile".into(), "7.7".into()];
    let world = World::start(options).await?;
    let (done, said) = install(&world, &package("0.1.0")?, &[]).await?;
    assert!(!done, "{said}");
    for part in ["does not switch it on", "licence", "`!matrix` as a message"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    Ok(())
}
