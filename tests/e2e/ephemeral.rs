//! Signs of life: typing, presence, receipts.

use anyhow::Result;
use matrix_appservice_rocketchat::rocketchat::realtime::{self, Event, Realtime, Stream};
use matrix_appservice_rocketchat::rocketchat::rest::Credentials;
use matrix_appservice_rocketchat::secret::Secret;
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, Rule, World, WorldOptions};
use tokio::sync::mpsc;

use crate::{BRIDGE, Direct, General, general_in, in_direct, in_general};

/// Somebody's Rocket.Chat client, which shows who types in a room.
struct Screen {
    _socket: Realtime,
    events: mpsc::Receiver<Event>,
}

impl Screen {
    async fn of(world: &World, user: &RocketUser, rid: &str) -> Result<Self> {
        let credentials = Credentials {
            user_id: user.id.as_str().into(),
            token: Secret::new(&user.token),
        };
        let stream = Stream::UserActivity(rid.into());
        let (socket, events) = realtime::start(realtime::Options::new(
            world.rocketchat.base_url().parse()?,
            credentials,
            vec![stream.clone()],
        ));
        let mut screen = Self {
            _socket: socket,
            events,
        };
        screen
            .wait(|event| matches!(event, Event::Subscribed(ready) if *ready == stream))
            .await?;
        Ok(screen)
    }

    async fn wait(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        let waiting = async {
            loop {
                match self.events.recv().await {
                    Some(event) if wanted(&event) => return Ok(event),
                    Some(_) => {}
                    None => anyhow::bail!("the socket has ended"),
                }
            }
        };
        tokio::time::timeout(testbed::DEADLINE, waiting).await?
    }

    /// Waits until somebody begins to type, or stops.
    async fn wait_for_typing(&mut self, of: &str, typing: bool) -> Result<()> {
        self.wait(|event| {
            matches!(event, Event::UserActivity { name, activities, .. }
                if name == of && activities.is_empty() != typing)
        })
        .await?;
        Ok(())
    }
}

/// Types on Rocket.Chat, or stops, as a client does.
async fn type_on_rocketchat(user: &RocketUser, rid: &str, typing: bool) -> Result<()> {
    let activities = if typing {
        json!(["user-typing"])
    } else {
        json!([])
    };
    let event = format!("{rid}/user-activity");
    let call = json!({
        "msg": "method", "id": "1", "method": "stream-notify-room",
        "params": [event, user.username, activities, {}],
    });
    let body = json!({ "message": call.to_string() });
    user.post("method.call/stream-notify-room", body).await?;
    Ok(())
}

/// What a client is shown as ephemeral of one kind in a room when it starts.
async fn ephemeral(user: &MatrixUser, room: &str, kind: &str) -> Result<Value> {
    let answer = user.sync(None).await?;
    let events = answer["rooms"]["join"][room]["ephemeral"]["events"].as_array();
    let found = events.and_then(|events| events.iter().find(|event| event["type"] == kind));
    Ok(found.map_or(Value::Null, |event| event["content"].clone()))
}

/// Waits until exactly these are shown as typing.
async fn wait_for_typing(
    world: &World,
    user: &MatrixUser,
    room: &str,
    wanted: &[&str],
) -> Result<()> {
    world
        .eventually(&format!("{wanted:?} to be typing"), async || {
            let shown = ephemeral(user, room, "m.typing").await?;
            let shown = shown["user_ids"].as_array().cloned().unwrap_or_default();
            Ok((shown == wanted).then_some(()))
        })
        .await
}

/// Carol types until the bridge hears it: it hears a room soon after something was said.
async fn type_until_heard(
    world: &World,
    carol: &RocketUser,
    rid: &str,
    alice: &MatrixUser,
    room: &str,
) -> Result<()> {
    let ghost = world.ghost("carol");
    world
        .eventually("carol to be typing", async || {
            type_on_rocketchat(carol, rid, true).await?;
            let shown = ephemeral(alice, room, "m.typing").await?;
            let shown = shown["user_ids"].as_array().cloned().unwrap_or_default();
            Ok((shown == [json!(ghost)]).then_some(()))
        })
        .await
}

/// How many requests on this path have come since the rule was made.
async fn seen(world: &World, path: &str) -> Result<u64> {
    let rules = world.rocketchat.control().rules().await?;
    let mut rules = rules.as_array().into_iter().flatten();
    let rule = rules.find(|rule| rule["rule"]["match"]["path"] == path);
    rule.and_then(|rule| rule["seen"].as_u64())
        .ok_or_else(|| anyhow::anyhow!("{path} is not counted"))
}

/// Counts requests on this path from now on.
async fn count(world: &World, path: &str) -> Result<()> {
    let rule = Rule::on(path).probability(0.0).refuse();
    world.rocketchat.control().add_rule(rule).await?;
    Ok(())
}

const TYPING: &str = "/api/v1/method.call/stream-notify-room";
const READ: &str = "/api/v1/subscriptions.read";
const STATUS: &str = "/api/v1/users.setStatus";

#[tokio::test]
async fn people_in_a_channel_see_each_other_typing_and_stop() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let mut screen = Screen::of(&world, &carol, &channel).await?;
    alice.send_text(&room, "hello").await?;
    carol.wait_for_text(&channel, "hello").await?;
    carol.send(&channel, "hello alice").await?;
    alice.wait_for_text(&room, "hello alice").await?;

    alice.set_typing(&room, true).await?;
    screen.wait_for_typing(&world.puppet("alice"), true).await?;
    alice.set_typing(&room, false).await?;
    screen
        .wait_for_typing(&world.puppet("alice"), false)
        .await?;

    type_until_heard(&world, &carol, &channel, &alice, &room).await?;
    type_on_rocketchat(&carol, &channel, false).await?;
    wait_for_typing(&world, &alice, &room, &[]).await?;

    // Both at once: neither comes back as somebody else's.
    alice.set_typing(&room, true).await?;
    screen.wait_for_typing(&world.puppet("alice"), true).await?;
    type_on_rocketchat(&carol, &channel, true).await?;
    let both = [world.user_id("alice"), world.ghost("carol")];
    world
        .eventually("both to be typing", async || {
            let shown = ephemeral(&alice, &room, "m.typing").await?;
            let shown = shown["user_ids"].as_array().cloned().unwrap_or_default();
            let both = both.iter().all(|user| shown.contains(&json!(user)));
            Ok((both && shown.len() == 2).then_some(()))
        })
        .await
}

#[tokio::test]
async fn both_in_a_direct_message_see_each_other_typing() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let mut screen = Screen::of(&world, &carol, &dm).await?;
    carol.send(&dm, "hi alice").await?;
    alice.wait_for_text(&room, "hi alice").await?;
    alice.set_typing(&room, true).await?;
    screen.wait_for_typing(&world.puppet("alice"), true).await?;
    alice.set_typing(&room, false).await?;
    screen
        .wait_for_typing(&world.puppet("alice"), false)
        .await?;
    type_until_heard(&world, &carol, &dm, &alice, &room).await?;
    type_on_rocketchat(&carol, &dm, false).await?;
    wait_for_typing(&world, &alice, &room, &[]).await
}

/// Where people are shown under their display names, they type under these.
#[tokio::test]
async fn typing_is_shown_under_display_names_where_these_are_used() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    let world = World::start(options).await?;
    world
        .change_setting("UI_Use_Real_Name", json!(true))
        .await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(world).await?;
    let mut screen = Screen::of(&world, &carol, &channel).await?;
    alice.send_text(&room, "hello").await?;
    carol.wait_for_text(&channel, "hello").await?;
    carol.send(&channel, "hello alice").await?;
    alice.wait_for_text(&room, "hello alice").await?;
    alice.set_typing(&room, true).await?;
    screen.wait_for_typing("alice", true).await?;
    alice.set_typing(&room, false).await?;
    screen.wait_for_typing("alice", false).await?;
    let mut shown = carol.clone();
    shown.username = carol.get("me").await?["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    type_until_heard(&world, &shown, &channel, &alice, &room).await
}

/// Whoever types without pause, or in a crowd, costs few requests, and none that a
/// message would wait for.
#[tokio::test]
async fn a_flood_of_typing_costs_few_requests() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.send_text(&room, "hello").await?;
    carol.wait_for_text(&channel, "hello").await?;
    count(&world, TYPING).await?;
    let crowd: Vec<String> = (0..5_000).map(|n| format!("@u{n}:x.org")).collect();
    let flood = |number: usize| {
        let users = match number % 2 {
            0 => json!([alice.user_id]),
            _ => json!([]),
        };
        let typing = json!({
            "type": "m.typing", "room_id": room, "content": { "user_ids": users },
        });
        let many = json!({
            "type": "m.typing", "room_id": room, "content": { "user_ids": crowd },
        });
        json!({ "events": [], "ephemeral": [typing, many, typing] })
    };
    let begun = std::time::Instant::now();
    for number in 0..200 {
        let path = format!("/_matrix/app/v1/transactions/flood-{number}");
        let answer = world
            .bridge
            .request_as_homeserver("PUT", &path, Some(&flood(number)))
            .await?;
        assert_eq!(answer.status, 200);
    }
    alice.send_text(&room, "after the flood").await?;
    carol.wait_for_text(&channel, "after the flood").await?;
    let seconds = begun.elapsed().as_secs() + 1;
    let requests = seen(&world, TYPING).await?;
    assert!(requests >= 1, "she was seen typing");
    assert!(
        requests <= 2 * (seconds + 1),
        "{requests} requests in {seconds} s"
    );
    Ok(())
}

#[tokio::test]
async fn presence_and_receipts_stay_where_they_are_unless_they_are_wanted() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    count(&world, STATUS).await?;
    count(&world, READ).await?;
    let hello = carol.send(&channel, "hello").await?;
    let event = alice.wait_for_text(&room, "hello").await?;
    alice.send_text(&room, "hello carol").await?;
    carol.wait_for_text(&channel, "hello carol").await?;
    alice.mark_read(&room, &event.event_id).await?;
    alice.set_presence("unavailable").await?;
    carol
        .post("users.setStatus", json!({ "status": "busy" }))
        .await?;
    assert_eq!(seen(&world, STATUS).await?, 1, "her own");
    carol.react(&hello, ":tada:", true).await?;
    // What comes after all that.
    alice.send_text(&room, "the end").await?;
    carol.wait_for_text(&channel, "the end").await?;
    assert_eq!(seen(&world, STATUS).await?, 1);
    assert_eq!(seen(&world, READ).await?, 0);
    let receipts = ephemeral(&alice, &room, "m.receipt").await?;
    assert!(!receipts.to_string().contains(&world.ghost("carol")));
    Ok(())
}

#[tokio::test]
async fn presence_and_receipts_are_carried_over_where_they_are_wanted() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.extra_config = json!({ "bridge": { "presence": "both", "receipts": "both" } });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    alice.send_text(&room, "hello").await?;
    carol.wait_for_text(&channel, "hello").await?;
    let ghost = world.ghost("carol");

    carol.send(&channel, "hello alice").await?;
    let answer = alice.wait_for_text(&room, "hello alice").await?;
    world
        .eventually("carol to have read what she wrote", async || {
            let receipts = ephemeral(&alice, &room, "m.receipt").await?;
            let read = &receipts[&answer.event_id]["m.read"][&ghost];
            Ok(read.is_object().then_some(()))
        })
        .await?;

    let status = json!({ "status": "away", "message": "lunch" });
    carol.post("users.setStatus", status).await?;
    let path = format!("/_matrix/client/v3/presence/{ghost}/status");
    world
        .eventually("carol to be away", async || {
            let shown = alice.request("GET", &path, None).await?.body;
            let away = shown["presence"] == "unavailable" && shown["status_msg"] == "lunch";
            Ok(away.then_some(()))
        })
        .await?;

    count(&world, READ).await?;
    alice.mark_read(&room, &answer.event_id).await?;
    world
        .eventually("alice's puppet to have read", async || {
            Ok((seen(&world, READ).await? > 0).then_some(()))
        })
        .await?;
    alice.set_presence("unavailable").await?;
    let puppet = world.puppet("alice");
    world
        .eventually("alice's puppet to be away", async || {
            let user = carol.find_user(&puppet).await?;
            let away = user.is_some_and(|user| user["status"] == "away");
            Ok(away.then_some(()))
        })
        .await
}
