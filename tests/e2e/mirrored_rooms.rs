//! Which rooms are mirrored: by configuration, by invitation on Rocket.Chat, as a
//! discussion, as a room of a team.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{MatrixUser, Rule, World, WorldOptions};

use crate::{BRIDGE, General, in_general};

/// Waits until an alias leads somewhere, and enters.
async fn entered(world: &World, user: &MatrixUser, alias: &str) -> Result<String> {
    let room = world
        .eventually(&format!("{alias} to lead somewhere"), async || {
            user.resolve_alias(alias).await
        })
        .await?;
    user.join(&room).await
}

/// The id of a Matrix user's puppet.
async fn puppet_id(general: &General) -> Result<Value> {
    let name = general.world.puppet("alice");
    let puppet = general.carol.find_user(&name).await?;
    Ok(puppet.context("the puppet")?["_id"].clone())
}

/// Waits until Alice is invited to a room of that name, and enters it.
async fn enters(alice: &MatrixUser, name: &str) -> Result<String> {
    let invite = alice
        .wait_for_invite(&format!("an invitation to {name}"), |invite| {
            let mut names = invite.state.iter().map(|event| event.text("/name"));
            names.any(|found| found == name)
        })
        .await?;
    alice.join(&invite.room_id).await
}

#[tokio::test]
async fn channels_are_mirrored_by_pattern_also_those_that_are_made_later() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.extra_config = json!({
        "bridge": { "channels": ["dev-*"], "open_by_alias": false },
    });
    options.start_bridge = false;
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let ops = carol.create_channel("dev-ops", &[]).await?;
    carol.send(&ops, "before the bridge").await?;
    carol.create_channel("tea", &[]).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;

    let room = entered(&world, &alice, &world.alias("dev-ops")).await?;
    carol.send(&ops, "seen").await?;
    alice.wait_for_text(&room, "seen").await?;
    assert_eq!(alice.room_texts(&room).await?, ["seen"]);

    // Made later, and mirrored from its first message on.
    let new = carol.create_channel("dev-new", &[]).await?;
    carol.send(&new, "the very first").await?;
    let room = entered(&world, &alice, &world.alias("dev-new")).await?;
    alice.wait_for_text(&room, "the very first").await?;
    assert_eq!(alice.resolve_alias(&world.alias("tea")).await?, None);
    Ok(())
}

/// Whether the bridge says that all channels of its configuration are mirrored.
async fn has_all_channels(world: &World) -> Result<bool> {
    let answer = world.bridge.get("/health/ready").await?;
    Ok(answer.body["detail"]["all_channels_mirrored"] == true)
}

#[tokio::test]
async fn who_speaks_while_many_channels_are_opened_does_not_wait_for_the_others() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.extra_config = json!({
        "bridge": { "channels": ["many*"], "open_by_alias": false },
    });
    options.start_bridge = false;
    let world = World::start(options).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    // The oldest are opened last.
    let control = world.rocketchat.control();
    let order = json!({ "names": ["many-first", "many-second"], "members": ["carol"] });
    let oldest = control.make_rooms(&order).await?;
    let (first, second) = (&oldest[0], &oldest[1]);
    control
        .make_rooms(&json!({ "prefix": "many", "count": 30 }))
        .await?;
    for rid in &oldest {
        carol.send(rid, "before the bridge").await?;
    }
    world.bridge.start()?;
    world.bridge.connected().await?;

    carol.send(first, "is anybody there?").await?;
    carol.send(first, "hello?").await?;
    let room = entered(&world, &alice, &world.alias("many-first")).await?;
    alice.wait_for_text(&room, "hello?").await?;
    assert!(!has_all_channels(&world).await?, "the others are not there");
    assert_eq!(
        alice.room_texts(&room).await?,
        ["is anybody there?", "hello?"]
    );
    alice.send_text(&room, "I am").await?;
    carol.wait_for_text(first, "I am").await?;

    // Killed before it is through, with somebody speaking meanwhile.
    assert!(!has_all_channels(&world).await?, "the others are not there");
    world.bridge.kill().await?;
    carol.send(second, "while it was dead").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let room = entered(&world, &alice, &world.alias("many-second")).await?;
    alice.wait_for_text(&room, "while it was dead").await?;
    assert_eq!(alice.room_texts(&room).await?, ["while it was dead"]);
    assert!(
        alice.resolve_alias(&world.alias("many0")).await?.is_some(),
        "all are there"
    );
    Ok(())
}

#[tokio::test]
async fn rounds_that_rocketchat_slows_down_hold_no_message_up() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.send_text(&room, "hi").await?;
    carol.wait_for_text(&channel, "hi").await?;
    carol.send(&channel, "hello").await?;
    alice.wait_for_text(&room, "hello").await?;
    world.bridge.stop().await?;
    let control = world.rocketchat.control();
    let rounds = [
        "rooms.adminRooms",
        "rooms.info",
        "users.list",
        "channels.members",
        "channels.roles",
    ];
    for endpoint in rounds {
        let rule = Rule::on(&format!("/api/v1/{endpoint}")).rate_limit(1, 600_000);
        control.add_rule(rule).await?;
    }
    world.bridge.start()?;
    world.bridge.connected().await?;
    for number in 0..10 {
        let (there, back) = (format!("there {number}"), format!("back {number}"));
        alice.send_text(&room, &there).await?;
        carol.wait_for_text(&channel, &there).await?;
        carol.send(&channel, &back).await?;
        alice.wait_for_text(&room, &back).await?;
    }
    // They wait for as long as they were told to.
    for rule in control.rules().await?.as_array().context("the rules")? {
        let hits = rule["hits"].as_u64().context("how often")?;
        assert!(hits <= 6, "{rule}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_invites_a_person_of_matrix_or_the_bridge_opens_the_room() -> Result<()> {
    let general = in_general().await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    alice.send_text(room, "hi").await?;
    carol.wait_for_text(channel, "hi").await?;
    let puppet = puppet_id(&general).await?;

    // Into a public channel.
    let tea = carol.create_channel("tea", &[]).await?;
    let body = json!({ "roomId": tea, "userId": puppet });
    carol.post("channels.invite", body).await?;
    let room = enters(alice, "tea").await?;
    carol.send(&tea, "welcome").await?;
    alice.wait_for_text(&room, "welcome").await?;

    // Into a private group: the bridge sees nothing of it, says so once, and does not
    // let itself in.
    let group = carol.create_group("cellar", &[]).await?;
    let body = json!({ "roomId": group, "userId": puppet });
    carol.post("groups.invite", body).await?;
    let asked = carol
        .wait_for_message(&group, "word of what is missing", |message| {
            message
                .text
                .contains("invite the bridge's account @bridge.bot")
        })
        .await?;
    assert_eq!(asked.username, world.puppet("alice"));
    let account = world.rocket_bot.get("me").await?["_id"].clone();
    let body = json!({ "roomId": group, "userId": account });
    carol.post("groups.invite", body.clone()).await?;
    let room = enters(alice, "cellar").await?;
    carol.send(&group, "now you hear me").await?;
    alice.wait_for_text(&room, "now you hear me").await?;
    alice.send_text(&room, "and you me").await?;
    carol.wait_for_text(&group, "and you me").await?;
    let asked = carol.room_texts(&group).await?;
    let times = asked
        .iter()
        .filter(|text| text.contains("invite the bridge"));
    assert_eq!(times.count(), 1, "said once");

    // Where an administrator lets it into private groups, it comes along.
    let right = json!({ "permissions": [{ "_id": "add-user-to-any-p-room", "roles": ["bot"] }] });
    world.rocket_bot.post("permissions.update", right).await?;
    let loft = carol
        .create_group("loft", &[&world.puppet("alice")])
        .await?;
    let room = enters(alice, "loft").await?;
    carol.send(&loft, "come up").await?;
    alice.wait_for_text(&room, "come up").await?;
    let said = carol.room_texts(&loft).await?;
    assert!(said.iter().all(|text| !text.contains("invite the bridge")));
    let none = json!({ "permissions": [{ "_id": "add-user-to-any-p-room", "roles": [] }] });
    world.rocket_bot.post("permissions.update", none).await?;

    // While the bridge is away.
    world.bridge.stop().await?;
    let attic = carol
        .create_group("attic", &[&world.puppet("alice")])
        .await?;
    let body = json!({ "roomId": attic, "userId": account });
    carol.post("groups.invite", body).await?;
    world.bridge.restart().await?;
    let room = enters(alice, "attic").await?;
    carol.send(&attic, "found").await?;
    alice.wait_for_text(&room, "found").await?;
    Ok(())
}

#[tokio::test]
async fn a_discussion_is_a_room_of_its_own_and_its_parent_leads_to_it() -> Result<()> {
    let general = in_general().await?;
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = &general;
    alice.send_text(room, "hi").await?;
    carol.wait_for_text(channel, "hi").await?;

    let body = json!({
        "prid": channel, "t_name": "Cups & <saucers>", "users": [world.puppet("alice")],
    });
    let made = carol.post("rooms.createDiscussion", body).await?;
    let rid = made["discussion"]["_id"]
        .as_str()
        .context("an id")?
        .to_owned();
    let link = alice
        .wait_for_message(room, "the link", |event| {
            event
                .body()
                .contains("started a discussion: Cups & <saucers>")
        })
        .await?;
    assert_eq!(link.sender, world.ghost("carol"));
    let discussion = enters(alice, "Cups & <saucers>").await?;
    let address = discussion.replace('!', "%21");
    assert!(
        link.body().contains(&discussion) || link.body().contains(&address),
        "{}",
        link.body()
    );
    carol.send(&rid, "which cups?").await?;
    alice.wait_for_text(&discussion, "which cups?").await?;
    alice.send_text(&discussion, "the blue ones").await?;
    carol.wait_for_text(&rid, "the blue ones").await?;

    // Anybody can write such a message: it opens nothing that is no discussion of the
    // room.
    let board = world.rocket_admin().create_channel("board", &[]).await?;
    carol
        .send_message(json!({
            "rid": channel, "msg": "Board", "t": "discussion-created", "drid": board,
        }))
        .await?;

    // Made while the bridge is away.
    world.bridge.stop().await?;
    let body = json!({ "prid": channel, "t_name": "Later", "users": [world.puppet("alice")] });
    let made = carol.post("rooms.createDiscussion", body).await?;
    let rid = made["discussion"]["_id"]
        .as_str()
        .context("an id")?
        .to_owned();
    carol.send(&rid, "while you were away").await?;
    world.bridge.restart().await?;
    let later = enters(alice, "Later").await?;
    alice.wait_for_text(&later, "while you were away").await?;
    alice
        .wait_for_message(room, "the link", |event| {
            event.body().contains("started a discussion: Later")
        })
        .await?;
    let texts = alice.room_texts(room).await?;
    let links = texts
        .iter()
        .filter(|text| text.contains("started a discussion"));
    assert_eq!(links.count(), 2, "one for each: {texts:?}");
    Ok(())
}

#[tokio::test]
async fn a_team_is_a_space_of_its_mirrored_rooms() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        ..
    } = in_general().await?;
    let team = json!({ "name": "brewers", "type": 0, "members": [] });
    let team = carol.post("teams.create", team).await?["team"].clone();
    let tea = carol.create_channel("tea", &[]).await?;
    let body = json!({ "teamId": team["_id"], "rooms": [tea] });
    carol.post("teams.addRooms", body).await?;
    let account = world.rocket_bot.get("me").await?["_id"].clone();
    let body = json!({ "roomId": tea, "userId": account });
    carol.post("channels.invite", body).await?;
    let room = entered(&world, &alice, &world.alias("tea")).await?;

    let parent = world
        .eventually("the room to name its space", async || {
            let state = alice.state(&room).await?;
            let parent = state
                .into_iter()
                .find(|event| event.kind == "m.space.parent" && event.content != json!({}));
            Ok(parent.and_then(|event| event.state_key))
        })
        .await?;
    let space = world
        .eventually("the space to be open", async || {
            alice.join(&parent).await.map(Some)
        })
        .await?;
    let create = alice.state_content(&space, "m.room.create", "").await?;
    assert_eq!(create.context("the beginning")?["type"], "m.space");
    let name = alice.state_content(&space, "m.room.name", "").await?;
    assert_eq!(name.context("its name")?["name"], "brewers");
    let child = alice.state_content(&space, "m.space.child", &room).await?;
    assert!(child.context("the room in it")?["via"].is_array());

    let body = json!({ "teamId": team["_id"], "roomId": tea });
    carol.post("teams.removeRoom", body).await?;
    world.rocketchat.control().drop_sockets(None).await?;
    world
        .eventually("the room to be out of the space", async || {
            let child = alice.state_content(&space, "m.space.child", &room).await?;
            Ok((child == Some(json!({}))).then_some(()))
        })
        .await?;

    // What belongs to a private team is for its members, whatever its type.
    let hidden = json!({ "name": "tasters", "type": 1, "members": [] });
    let hidden = carol.post("teams.create", hidden).await?["team"].clone();
    let body = json!({ "teamId": hidden["_id"], "rooms": [tea] });
    carol.post("teams.addRooms", body).await?;
    world.rocketchat.control().drop_sockets(None).await?;
    let entry = async |wanted: &str| {
        world
            .eventually(&format!("the room's rule to be {wanted}"), async || {
                let rule = alice.state_content(&room, "m.room.join_rules", "").await?;
                Ok((rule.context("a rule")?["join_rule"] == wanted).then_some(()))
            })
            .await
    };
    entry("invite").await?;

    // No room tells when its team becomes public, or private.
    for (kind, wanted) in [(0, "public"), (1, "invite")] {
        let body = json!({ "teamId": hidden["_id"], "data": { "type": kind } });
        carol.post("teams.update", body).await?;
        world.rocketchat.control().drop_sockets(None).await?;
        entry(wanted).await?;
    }
    Ok(())
}
