//! Nothing is lost and nothing comes twice, whatever is interrupted.

use anyhow::Result;
use rand::RngExt as _;
use serde_json::json;
use testbed::{Rule, World, WorldOptions};

use crate::conversation::{Conversation, finished};
use crate::{BRIDGE, General, in_general, world_with_general};

/// How many lines each of the four people on each side says.
const LINES: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn killed_ten_times_the_bridge_loses_and_doubles_nothing() -> Result<()> {
    let world = world_with_general().await?;
    let conversation = Conversation::of(&world, 4).await?;
    let talking = conversation.talk(LINES);
    let total = LINES * 8;
    for kill in 1..=10 {
        // At a random point of the conversation, one after the other.
        let from = (kill - 1) * total / 10;
        let point = rand::rng().random_range(from..from + total / 10);
        conversation.wait_until_sent(point).await?;
        world.bridge.kill().await?;
        world.bridge.start()?;
        world.bridge.ready().await?;
    }
    finished(talking).await?;
    conversation.check(LINES).await
}

#[tokio::test(flavor = "multi_thread")]
async fn synapse_restarts_while_people_talk() -> Result<()> {
    let world = world_with_general().await?;
    let conversation = Conversation::of(&world, 4).await?;
    let talking = conversation.talk(LINES);
    for third in 1..=2 {
        conversation.wait_until_sent(third * LINES * 8 / 3).await?;
        world.synapse.kill().await?;
        world.synapse.restart().await?;
    }
    finished(talking).await?;
    conversation.check(LINES).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rocketchat_drops_the_socket_and_restarts_while_people_talk() -> Result<()> {
    let world = world_with_general().await?;
    let conversation = Conversation::of(&world, 4).await?;
    let talking = conversation.talk(LINES);
    let total = LINES * 8;
    conversation.wait_until_sent(total / 4).await?;
    world.rocketchat.control().drop_sockets(None).await?;
    conversation.wait_until_sent(total / 2).await?;
    world.rocketchat.kill().await?;
    world.rocketchat.restart().await?;
    conversation.wait_until_sent(total * 3 / 4).await?;
    world.rocketchat.control().drop_sockets(None).await?;
    finished(talking).await?;
    conversation.check(LINES).await
}

/// Answers that are lost after the deed, refusals, slowness, pages of a proxy.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreliable_rocketchat_loses_and_doubles_nothing() -> Result<()> {
    let world = world_with_general().await?;
    let conversation = Conversation::of(&world, 2).await?;
    let control = world.rocketchat.control();
    let send = || Rule::on("/api/v1/chat.sendMessage").probability(0.15);
    control.add_rule(send().do_without_answering()).await?;
    control.add_rule(send().refuse()).await?;
    control.add_rule(send().delay(300)).await?;
    let page = "<html><body>Bad Gateway</body></html>";
    control
        .add_rule(send().status_with(502, json!({ "content-type": "text/html" }), page))
        .await?;
    finished(conversation.talk(LINES)).await?;
    conversation.check(LINES).await
}

/// What is written while the bridge is down arrives when it is back.
#[tokio::test]
async fn what_happened_during_an_absence_is_made_up_for() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let dm_room = alice.create_direct(&[&world.ghost("carol")]).await?;
    alice.send_text(&dm_room, "hi").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "hi").await?;
    let edited = carol.send(&channel, "to be edited").await?;
    let deleted = carol.send(&channel, "to be deleted").await?;
    let gone = alice.wait_for_text(&room, "to be deleted").await?;

    world.bridge.stop().await?;
    alice.send_text(&room, "sent to the channel").await?;
    alice.send_text(&dm_room, "sent to carol").await?;
    carol.send(&channel, "written in the channel").await?;
    carol.send(&dm, "written to alice").await?;
    carol.edit(&channel, &edited, "edited meanwhile").await?;
    carol.delete(&channel, &deleted).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;

    carol.wait_for_text(&channel, "sent to the channel").await?;
    carol.wait_for_text(&dm, "sent to carol").await?;
    alice.wait_for_text(&room, "written in the channel").await?;
    alice.wait_for_text(&dm_room, "written to alice").await?;
    alice
        .wait_for_message(&room, "the edit", |event| {
            event.new_body() == "edited meanwhile"
        })
        .await?;
    alice
        .wait_until(&room, "the deletion", |events| {
            let found = events.iter().find(|event| event.event_id == gone.event_id);
            found.filter(|event| event.is_redacted()).map(|_| ())
        })
        .await?;
    Ok(())
}

/// The homeserver repeats what was not answered, and may put events that it sent
/// before under another id.
#[tokio::test]
async fn a_repeated_transaction_is_worked_once() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let event = |id: &str, text: &str| {
        json!({
            "event_id": id, "room_id": room, "sender": alice.user_id, "type": "m.room.message",
            "origin_server_ts": std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64),
            "content": { "msgtype": "m.text", "body": text },
        })
    };
    let put = async |id: &str, events: Vec<serde_json::Value>| {
        let path = format!("/_matrix/app/v1/transactions/{id}");
        let answer = world
            .bridge
            .request_as_homeserver("PUT", &path, Some(&json!({ "events": events })))
            .await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    };
    for _ in 0..3 {
        put("again", vec![event("$one", "one"), event("$two", "two")]).await?;
    }
    put(
        "another",
        vec![event("$two", "two"), event("$three", "three")],
    )
    .await?;
    carol.wait_for_text(&channel, "three").await?;
    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    put("again", vec![event("$one", "one")]).await?;
    put("last", vec![event("$two", "two"), event("$four", "four")]).await?;
    carol.wait_for_text(&channel, "four").await?;
    assert_eq!(
        carol.room_texts(&channel).await?,
        ["one", "two", "three", "four"]
    );
    Ok(())
}

/// A token that is no longer accepted is renewed.
#[tokio::test]
async fn a_puppet_whose_token_was_revoked_speaks_on() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.send_text(&room, "before").await?;
    carol.wait_for_text(&channel, "before").await?;
    let puppet = carol
        .find_user(&world.puppet("alice"))
        .await?
        .expect("the puppet");
    world
        .rocket_admin()
        .post("users.logout", json!({ "userId": puppet["_id"] }))
        .await?;
    alice.send_text(&room, "after").await?;
    carol.wait_for_text(&channel, "after").await?;
    Ok(())
}

/// A bridge that logs in by password does so again when its token is gone; what
/// was said meanwhile arrives.
#[tokio::test]
async fn the_bridges_own_login_is_renewed() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.start_bridge = false;
    let world = World::start(options).await?;
    let mut config = world.bridge.config()?;
    config["rocketchat"]["token"] = json!("");
    config["rocketchat"]["user_id"] = json!("");
    config["rocketchat"]["username"] = json!(World::ROCKET_BOT);
    config["rocketchat"]["password"] = json!(world.rocket_bot.password);
    world.bridge.write_config(&config)?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    carol.send(&channel, "before").await?;
    alice.wait_for_text(&room, "before").await?;

    let revoke = json!({ "userId": world.rocket_bot.id });
    world.rocket_admin().post("users.logout", revoke).await?;
    carol.send(&channel, "after").await?;
    alice.wait_for_text(&room, "after").await?;
    // Her puppet has to be made, with the bridge's own rights.
    alice.send_text(&room, "with rights").await?;
    carol.wait_for_text(&channel, "with rights").await?;
    // For some of them Rocket.Chat asks for the password once more, when the account is
    // older than it remembers one for.
    world
        .change_setting("Accounts_TwoFactorAuthentication_RememberFor", json!(0))
        .await?;
    alice.set_display_name("Alice Renamed").await?;
    let puppet = world.puppet("alice");
    world
        .eventually("the puppet's new name", async || {
            let user = carol.find_user(&puppet).await?.unwrap_or_default();
            let name = user["name"].as_str().unwrap_or_default();
            Ok(name.contains("Alice Renamed").then_some(()))
        })
        .await?;
    Ok(())
}
