//! What a room is like: name, topic, who may enter, who may write. The same on both sides.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, Rule, World, WorldOptions};

use crate::{BRIDGE, Direct, in_direct, world_with_general};

/// A channel of Carol's, which Alice has opened on Matrix.
struct Tea {
    world: World,
    alice: MatrixUser,
    carol: RocketUser,
    room: String,
    rid: String,
}

async fn in_tea(world: World) -> Result<Tea> {
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let rid = carol.create_channel("tea", &[]).await?;
    let room = alice.join(&world.alias("tea")).await?;
    Ok(Tea {
        world,
        alice,
        carol,
        room,
        rid,
    })
}

/// In rooms of that version: up to 11 the bot is named among those with power, later it
/// is above all.
async fn in_tea_of_version(version: &str) -> Result<Tea> {
    let mut options = WorldOptions::new(BRIDGE);
    options.synapse_config = json!({ "default_room_version": version });
    in_tea(World::start(options).await?).await
}

impl Tea {
    /// Changes settings of the room on Rocket.Chat, as its owner.
    async fn save(&self, settings: Value) -> Result<()> {
        save(&self.carol, &self.rid, settings).await
    }

    /// Waits until a state on Matrix has a value.
    async fn on_matrix(&self, kind: &str, pointer: &str, wanted: Value) -> Result<()> {
        state_is(&self.world, &self.alice, &self.room, kind, pointer, wanted).await
    }

    /// Waits until the room on Rocket.Chat has a value.
    async fn on_rocketchat(&self, pointer: &str, wanted: Value) -> Result<()> {
        let (admin, rid) = (self.world.rocket_admin(), &self.rid);
        let what = format!("{pointer} to be {wanted}");
        self.world
            .eventually(&what, async || {
                let room = admin
                    .get(&format!("rooms.adminRooms.getRoom?rid={rid}"))
                    .await?;
                Ok((value_at(&room, pointer) == wanted).then_some(()))
            })
            .await
    }

    /// Makes Alice an owner, on both sides.
    async fn alice_rules(&self) -> Result<()> {
        self.alice.send_text(&self.room, "hi").await?;
        self.carol.wait_for_text(&self.rid, "hi").await?;
        let puppet = self
            .carol
            .find_user(&self.world.puppet("alice"))
            .await?
            .context("the puppet")?;
        let body = json!({ "roomId": self.rid, "userId": puppet["_id"] });
        self.carol.post("channels.addOwner", body).await?;
        let level = format!("/users/{}", self.alice.user_id);
        self.on_matrix(RIGHTS, &level, json!(100)).await
    }

    /// Alice opens the room to the world, and it is as it was before.
    async fn opened_and_closed(&self, before: &str) -> Result<()> {
        let open = json!({ "history_visibility": "world_readable" });
        let about = self.alice.send_state(&self.room, HISTORY, "", open).await?;
        self.told(&about, "to people without an account").await?;
        self.on_matrix(HISTORY, "/history_visibility", json!(before))
            .await
    }

    async fn told(&self, about: &str, why: &str) -> Result<()> {
        let bot = self.world.user_id("rocketchatbot");
        self.alice
            .wait_for_message(&self.room, "word of the refusal", |event| {
                event.sender == bot
                    && event.in_reply_to() == Some(about)
                    && event.body().contains("it is as it was again")
                    && event.body().contains(why)
            })
            .await?;
        Ok(())
    }
}

async fn save(user: &RocketUser, rid: &str, mut settings: Value) -> Result<()> {
    settings["rid"] = json!(rid);
    user.post("rooms.saveRoomSettings", settings).await?;
    Ok(())
}

/// What is there; what is not there is as good as `null`.
fn value_at(content: &Value, pointer: &str) -> Value {
    content.pointer(pointer).cloned().unwrap_or(Value::Null)
}

async fn state_is(
    world: &World,
    user: &MatrixUser,
    room: &str,
    kind: &str,
    pointer: &str,
    wanted: Value,
) -> Result<()> {
    world
        .eventually(&format!("{kind} {pointer} to be {wanted}"), async || {
            let content = user.state_content(room, kind, "").await?;
            let found = value_at(&content.unwrap_or(Value::Null), pointer);
            Ok((found == wanted).then_some(()))
        })
        .await
}

const NAME: &str = "m.room.name";
const TOPIC: &str = "m.room.topic";
const RIGHTS: &str = "m.room.power_levels";
const HISTORY: &str = "m.room.history_visibility";
const ENTRY: &str = "m.room.join_rules";

#[tokio::test]
async fn what_a_room_is_like_on_rocketchat_it_is_on_matrix() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.extra_config = json!({ "bridge": { "publish": true } });
    options.synapse_config = json!({ "room_list_publication_rules": [{ "action": "allow" }] });
    let tea = in_tea(World::start(options).await?).await?;
    let Tea {
        world,
        alice,
        carol,
        room,
        rid,
    } = &tea;

    // Texts.
    tea.save(json!({ "roomTopic": "Green" })).await?;
    tea.on_matrix(TOPIC, "/topic", json!("Green")).await?;
    tea.save(json!({ "roomDescription": "All about tea" }))
        .await?;
    let said = alice
        .wait_for_message(room, "the description", |event| {
            event.body().contains("description: All about tea")
        })
        .await?;
    assert_eq!(said.sender, world.ghost("carol"), "by whoever changed it");
    assert_eq!(said.msgtype(), "m.notice");
    tea.save(json!({ "roomTopic": "" })).await?;
    tea.on_matrix(TOPIC, "/topic", json!("All about tea"))
        .await?;
    tea.save(json!({ "roomAnnouncement": "Cups are out" }))
        .await?;
    alice
        .wait_for_message(room, "the announcement", |event| {
            event.body().contains("announcement: Cups are out")
                && event.sender == world.ghost("carol")
        })
        .await?;

    // The directory, and the state that tells of the bridge.
    world
        .eventually("the room in the directory", async || {
            let listed = alice
                .request("GET", "/_matrix/client/v3/publicRooms", None)
                .await?;
            Ok(listed
                .body
                .to_string()
                .contains(room.as_str())
                .then_some(()))
        })
        .await?;
    let key = format!("rocketchat/{rid}");
    for kind in ["m.bridge", "uk.half-shot.bridge"] {
        world
            .eventually("the state that tells of the bridge", async || {
                let info = alice.state_content(room, kind, &key).await?;
                let info = info.unwrap_or(Value::Null);
                let is_whole = info["protocol"]["id"] == "rocketchat"
                    && info["bridgebot"] == json!(world.user_id("rocketchatbot"))
                    && info["channel"]["id"] == json!(rid)
                    && info["channel"]["displayname"] == "tea"
                    && info["network"]["external_url"].is_string()
                    && info["channel"]["external_url"]
                        .as_str()
                        .is_some_and(|link| link.ends_with("/channel/tea"));
                Ok(is_whole.then_some(()))
            })
            .await?;
    }

    // The name, and with it the alias.
    tea.save(json!({ "roomName": "black-tea" })).await?;
    tea.on_matrix(NAME, "/name", json!("black-tea")).await?;
    let alias = world.alias("black-tea");
    tea.on_matrix("m.room.canonical_alias", "/alias", json!(alias))
        .await?;
    assert_eq!(alice.resolve_alias(&alias).await?.as_ref(), Some(room));

    // Who may write.
    carol.set_read_only(rid, true).await?;
    tea.on_matrix(RIGHTS, "/events_default", json!(1)).await?;
    assert!(
        alice.send_text(room, "may I?").await.is_err(),
        "nobody writes who may not on Rocket.Chat"
    );
    carol.send(rid, "I may").await?;
    alice.wait_for_text(room, "I may").await?;
    tea.save(json!({ "reactWhenReadOnly": true })).await?;
    tea.on_matrix(RIGHTS, "/events/m.reaction", json!(0))
        .await?;
    carol.set_read_only(rid, false).await?;
    tea.on_matrix(RIGHTS, "/events_default", json!(0)).await?;
    alice.send_text(room, "thanks").await?;
    carol.wait_for_text(rid, "thanks").await?;

    // Whom it is given all the same may write.
    let puppet = world.puppet("alice");
    carol.set_read_only(rid, true).await?;
    tea.on_matrix(RIGHTS, "/events_default", json!(1)).await?;
    carol.set_muted(rid, &puppet, false).await?;
    let level = format!("/users/{}", alice.user_id);
    tea.on_matrix(RIGHTS, &level, json!(1)).await?;
    alice.send_text(room, "even so").await?;
    carol.wait_for_text(rid, "even so").await?;
    carol.set_read_only(rid, false).await?;
    tea.on_matrix(RIGHTS, "/events_default", json!(0)).await?;
    tea.on_matrix(RIGHTS, &level, Value::Null).await?;

    // Who may enter. The bridge's account is not in it, and hears nothing of this.
    let body = json!({ "roomId": rid, "type": "p" });
    carol.post("channels.setType", body).await?;
    alice
        .send_state(room, "m.room.name", "", json!({ "name": "black-tea" }))
        .await
        .ok();
    world.rocketchat.control().drop_sockets(None).await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("invite")).await?;
    tea.on_matrix("m.room.canonical_alias", "/alias", Value::Null)
        .await?;
    alice
        .wait_for_message(room, "word of it", |event| {
            event.body().contains("until somebody invites it")
                && event.body().contains("bridge.bot")
        })
        .await?;
    let listed = alice
        .request("GET", "/_matrix/client/v3/publicRooms", None)
        .await?;
    assert!(!listed.body.to_string().contains(room.as_str()));
    let stranger = world.matrix_user("stranger").await?;
    assert!(stranger.join(room).await.is_err(), "it is private now");

    let body = json!({ "roomId": rid, "type": "c" });
    carol.post("groups.setType", body).await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("public")).await?;
    tea.on_matrix("m.room.canonical_alias", "/alias", json!(alias))
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_people_of_matrix_make_of_a_room_is_made_of_it_on_rocketchat_with_their_rights()
-> Result<()> {
    let tea = in_tea_of_version("10").await?;
    let Tea {
        world,
        alice,
        carol,
        room,
        rid,
    } = &tea;

    // What Matrix lets everybody do, Rocket.Chat may not: then nothing changes for good.
    let bot = world.matrix_bot()?;
    let mut rights = bot
        .state_content(room, RIGHTS, "")
        .await?
        .context("rights")?;
    rights["events"][NAME] = json!(0);
    rights["events"][ENTRY] = json!(0);
    bot.send_state(room, RIGHTS, "", rights).await?;
    let name = alice
        .send_state(room, NAME, "", json!({ "name": "mine" }))
        .await?;
    tea.told(&name, "does not allow").await?;
    tea.on_matrix(NAME, "/name", json!("tea")).await?;
    let entry = alice
        .send_state(room, ENTRY, "", json!({ "join_rule": "invite" }))
        .await?;
    tea.told(&entry, "does not allow").await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("public")).await?;
    tea.on_rocketchat("/t", json!("c")).await?;

    // With an owner's rights on both sides it does, also while another's is being refused.
    tea.alice_rules().await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(room).await?;
    bob.send_text(room, "hello").await?;
    carol.wait_for_text(rid, "hello").await?;
    let control = world.rocketchat.control();
    let saving = Rule::on("/api/v1/rooms.saveRoomSettings");
    control.add_rule(saving.times(1).delay(2000)).await?;
    let name = bob
        .send_state(room, NAME, "", json!({ "name": "bobs-tea" }))
        .await?;
    world
        .eventually("the name to be asked for", async || {
            let asked = control.rules().await?[0]["hits"].as_u64();
            Ok((asked == Some(1)).then_some(()))
        })
        .await?;
    alice
        .send_state(room, NAME, "", json!({ "name": "green-tea" }))
        .await?;
    tea.told(&name, "does not allow").await?;
    tea.on_rocketchat("/fname", json!("green-tea")).await?;
    tea.on_matrix(NAME, "/name", json!("green-tea")).await?;
    control.clear_rules().await?;
    alice
        .send_state(room, TOPIC, "", json!({ "topic": "Sencha" }))
        .await?;
    tea.on_rocketchat("/topic", json!("Sencha")).await?;
    let mut rights = alice
        .state_content(room, RIGHTS, "")
        .await?
        .context("rights")?;
    rights["events_default"] = json!(50);
    alice.send_state(room, RIGHTS, "", rights.clone()).await?;
    tea.on_rocketchat("/ro", json!(true)).await?;
    carol.set_read_only(rid, false).await?;
    tea.on_matrix(RIGHTS, "/events_default", json!(0)).await?;
    alice
        .send_state(room, ENTRY, "", json!({ "join_rule": "invite" }))
        .await?;
    tea.on_rocketchat("/t", json!("p")).await?;
    // Nobody reads it who is not in it, whatever somebody sets.
    tea.opened_and_closed("shared").await?;
    // Nor do all of them decide who that is.
    tea.on_matrix(RIGHTS, "/invite", json!(50)).await?;
    let mut rights = alice
        .state_content(room, RIGHTS, "")
        .await?
        .context("rights")?;
    rights["invite"] = json!(0);
    let asked = alice.send_state(room, RIGHTS, "", rights).await?;
    alice
        .wait_for_message(room, "who can invite", |event| {
            event.in_reply_to() == Some(&asked)
                && event
                    .body()
                    .contains("Only owners and moderators can invite")
        })
        .await?;
    tea.on_matrix(RIGHTS, "/invite", json!(50)).await?;
    let open = json!({ "join_rule": "public" });
    let entry = bob.send_state(room, ENTRY, "", open.clone()).await?;
    tea.told(&entry, "does not allow").await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("invite")).await?;
    // Who opens it waits for Rocket.Chat, and it is closed meanwhile.
    world.rocketchat.kill().await?;
    alice.send_text(room, "before the doors open").await?;
    alice.send_state(room, ENTRY, "", open).await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("invite")).await?;
    let stranger = world.matrix_user("stranger").await?;
    assert!(stranger.join(room).await.is_err(), "nobody has granted it");
    world.rocketchat.restart().await?;
    tea.on_rocketchat("/t", json!("c")).await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("public")).await?;
    stranger.join(room).await?;
    carol.wait_for_text(rid, "before the doors open").await?;

    // What Rocket.Chat does not know is not kept.
    let name = alice
        .send_state(room, NAME, "", json!({ "name": "Green tea, please!" }))
        .await?;
    tea.told(&name, "there it is called Green-tea-please")
        .await?;
    tea.on_rocketchat("/name", json!("Green-tea-please"))
        .await?;
    let none = json!({ "name": "" });
    let empty = alice.send_state(room, NAME, "", none).await?;
    tea.told(&empty, "always has a name").await?;
    tea.on_matrix(NAME, "/name", json!("Green tea, please!"))
        .await?;
    // A name that somebody has in the nearest form is refused as any that is taken.
    carol.create_channel("Black-tea", &[]).await?;
    let taken = json!({ "name": "Black tea?" });
    let taken = alice.send_state(room, NAME, "", taken).await?;
    tea.told(&taken, "has that name").await?;
    tea.on_matrix(NAME, "/name", json!("Green tea, please!"))
        .await?;
    tea.save(json!({ "roomName": "white-tea" })).await?;
    tea.on_matrix(NAME, "/name", json!("white-tea")).await?;
    let rule = json!({ "join_rule": "restricted", "allow": [] });
    let entry = alice.send_state(room, ENTRY, "", rule).await?;
    tea.told(&entry, "nothing in between").await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("public")).await?;
    // Newcomers may be shown less, and then are shown no more by that either.
    let less = json!({ "history_visibility": "joined" });
    alice.send_state(room, HISTORY, "", less).await?;
    tea.opened_and_closed("joined").await
}

#[tokio::test]
async fn an_archived_room_is_for_reading() -> Result<()> {
    let tea = in_tea_of_version("11").await?;
    let Tea {
        world,
        alice,
        carol,
        room,
        rid,
    } = &tea;
    tea.alice_rules().await?;

    let body = json!({ "roomId": rid });
    carol.post("channels.archive", body.clone()).await?;
    alice
        .wait_for_message(room, "word of it", |event| {
            event.body().contains("is archived on Rocket.Chat")
        })
        .await?;
    tea.on_matrix(RIGHTS, "/events_default", json!(101)).await?;
    assert!(
        alice.send_text(room, "still here?").await.is_err(),
        "nobody writes in an archive, owners neither"
    );
    let topic = alice
        .send_state(room, TOPIC, "", json!({ "topic": "Dust" }))
        .await?;
    tea.told(&topic, "archived").await?;
    // Programs can write into it all the same.
    carol.send(rid, "from the archive").await?;
    alice.wait_for_text(room, "from the archive").await?;

    world
        .rocket_admin()
        .post("channels.unarchive", body)
        .await?;
    alice
        .wait_for_message(room, "word of it", |event| {
            event.body().contains("no longer archived")
        })
        .await?;
    alice.send_text(room, "back again").await?;
    carol.wait_for_text(rid, "back again").await?;
    Ok(())
}

#[tokio::test]
async fn what_changed_on_either_side_while_the_bridge_was_away_is_the_same_afterwards() -> Result<()>
{
    let tea = in_tea(world_with_general().await?).await?;
    let Tea {
        world,
        alice,
        carol,
        room,
        rid,
    } = &tea;
    tea.alice_rules().await?;
    let other = carol.create_channel("coffee", &[]).await?;
    let coffee = alice.join(&world.alias("coffee")).await?;
    let third = carol.create_channel("water", &[]).await?;
    let water = alice.join(&world.alias("water")).await?;
    // All of it is known before.
    for room in [room, &coffee, &water] {
        state_is(world, alice, room, ENTRY, "/join_rule", json!("public")).await?;
    }

    world.bridge.stop().await?;
    // On one side each, and one thing on both: who is last has it.
    save(carol, rid, json!({ "roomTopic": "theirs" })).await?;
    alice
        .send_state(room, TOPIC, "", json!({ "topic": "hers, and later" }))
        .await?;
    alice
        .send_state(room, NAME, "", json!({ "name": "renamed" }))
        .await?;
    save(
        carol,
        &other,
        json!({ "roomName": "espresso", "roomTopic": "strong" }),
    )
    .await?;
    carol.set_read_only(&other, true).await?;
    let private = json!({ "roomId": third, "type": "p" });
    carol.post("channels.setType", private).await?;
    let archive = json!({ "roomId": third });
    carol.post("groups.archive", archive).await?;
    world.bridge.restart().await?;

    tea.on_rocketchat("/topic", json!("hers, and later"))
        .await?;
    tea.on_rocketchat("/fname", json!("renamed")).await?;
    tea.on_matrix(TOPIC, "/topic", json!("hers, and later"))
        .await?;
    state_is(world, alice, &coffee, NAME, "/name", json!("espresso")).await?;
    state_is(world, alice, &coffee, TOPIC, "/topic", json!("strong")).await?;
    state_is(world, alice, &coffee, RIGHTS, "/events_default", json!(1)).await?;
    state_is(world, alice, &water, ENTRY, "/join_rule", json!("invite")).await?;
    state_is(world, alice, &water, RIGHTS, "/events_default", json!(101)).await?;

    // Killed at once, it is not forgotten.
    alice
        .send_state(room, TOPIC, "", json!({ "topic": "at the last moment" }))
        .await?;
    world.bridge.kill_and_restart().await?;
    tea.on_rocketchat("/topic", json!("at the last moment"))
        .await?;

    // And it stays so: nothing is carried back and forth.
    alice.send_text(room, "calm").await?;
    carol.wait_for_text(rid, "calm").await?;
    let changes = |events: Vec<testbed::Event>| {
        let changed = events.iter().filter(|event| event.kind == TOPIC);
        changed.count()
    };
    let before = changes(alice.room_events(room).await?);
    world.bridge.kill_and_restart().await?;
    carol.send(rid, "again").await?;
    alice.wait_for_text(room, "again").await?;
    assert_eq!(changes(alice.room_events(room).await?), before);
    Ok(())
}

#[tokio::test]
async fn two_who_change_the_same_at_once_end_with_the_same() -> Result<()> {
    let tea = in_tea(world_with_general().await?).await?;
    let Tea {
        world,
        alice,
        carol,
        room,
        rid,
    } = &tea;
    tea.alice_rules().await?;
    let hers = async {
        for number in 0..6 {
            let topic = json!({ "topic": format!("Matrix {number}") });
            alice.send_state(room, TOPIC, "", topic).await?;
        }
        anyhow::Ok(())
    };
    let theirs = async {
        for number in 0..6 {
            let topic = json!({ "roomTopic": format!("Rocket.Chat {number}") });
            save(carol, rid, topic).await?;
        }
        anyhow::Ok(())
    };
    let (hers, theirs) = tokio::join!(hers, theirs);
    hers.and(theirs)?;

    let both = async || {
        let on_matrix = alice.state_content(room, TOPIC, "").await?;
        let on_matrix = value_at(&on_matrix.unwrap_or(Value::Null), "/topic");
        let there = carol.get(&format!("rooms.info?roomId={rid}")).await?;
        anyhow::Ok((on_matrix, value_at(&there, "/room/topic")))
    };
    world
        .eventually("both sides to be the same", async || {
            let (here, there) = both().await?;
            Ok((here == there).then_some(()))
        })
        .await?;
    // A change after that shows that all before it is dealt with.
    tea.save(json!({ "roomTopic": "the end" })).await?;
    tea.on_matrix(TOPIC, "/topic", json!("the end")).await?;
    carol.send(rid, "done").await?;
    alice.wait_for_text(room, "done").await?;
    let (here, there) = both().await?;
    assert_eq!(here, there);
    let changes = alice.room_events(room).await?;
    let topics = changes.iter().filter(|event| event.kind == TOPIC).count();
    assert!(topics < 20, "nothing goes back and forth: {topics}");
    Ok(())
}

#[tokio::test]
async fn a_direct_message_says_whom_it_is_bridged_to() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let shows = async |name: &str| {
        world
            .eventually("the state that tells of the bridge", async || {
                let key = format!("rocketchat/{dm}");
                let info = alice.state_content(&room, "m.bridge", &key).await?;
                let info = info.unwrap_or(Value::Null);
                let link = info["channel"]["external_url"].as_str().unwrap_or_default();
                let is_so = info["channel"]["displayname"] == name
                    && link.ends_with(&format!("/direct/{dm}"));
                Ok(is_so.then_some(()))
            })
            .await
    };
    let name = carol.get("me").await?["name"].clone();
    shows(name.as_str().context("a name")?).await?;
    carol.set_display_name("Carol the Great").await?;
    carol.send(&dm, "look at me").await?;
    alice.wait_for_text(&room, "look at me").await?;
    shows("Carol the Great").await
}

#[tokio::test]
async fn a_channel_that_asks_for_a_code_is_entered_by_invitation_only() -> Result<()> {
    let tea = in_tea(World::start(WorldOptions::new(BRIDGE)).await?).await?;
    let Tea {
        world,
        alice,
        carol,
        room,
        rid,
    } = &tea;
    tea.alice_rules().await?;
    let stranger = world.matrix_user("stranger").await?;
    // Nothing tells of it: it is found by whoever comes.
    tea.save(json!({ "joinCode": "1234" })).await?;
    stranger.join(room).await?;
    alice
        .wait_until(room, "the stranger to be put out", |events| {
            let out = events.iter().find(|event| {
                event.state_key.as_deref() == Some(stranger.user_id.as_str())
                    && event.text("/membership") == "leave"
                    && event.text("/reason").contains("has to know its code")
            });
            out.map(|_| ())
        })
        .await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("invite")).await?;
    assert!(stranger.join(room).await.is_err(), "nobody has asked them");
    let open = json!({ "join_rule": "public" });
    let entry = alice.send_state(room, ENTRY, "", open).await?;
    tea.told(&entry, "has to know its code").await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("invite")).await?;
    // One that was so before it was mirrored.
    let coffee = carol.create_channel("coffee", &[]).await?;
    save(carol, &coffee, json!({ "joinCode": "1234" })).await?;
    assert!(stranger.join(&world.alias("coffee")).await.is_err());

    alice.invite(room, &stranger.user_id).await?;
    stranger.join(room).await?;
    stranger.send_text(room, "thank you").await?;
    carol.wait_for_text(rid, "thank you").await?;
    tea.save(json!({ "joinCode": "" })).await?;
    world.bridge.restart().await?;
    tea.on_matrix(ENTRY, "/join_rule", json!("public")).await
}
