//! Two bridges, each with a Rocket.Chat of its own, in one Matrix room.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use testbed::{
    Bridge, BridgeOptions, Event, Evidence, MatrixUser, PortLease, RocketMessage, RocketSim,
    RocketUser, SimOptions, Synapse, World, WorldOptions,
};

use crate::BRIDGE;

/// A second bridge, for the world's homeserver.
struct Second {
    bridge: Bridge,
    port: u16,
}

impl Second {
    /// Makes it, with a registration for a homeserver to be; it is not started yet.
    async fn prepare(directory: &Path) -> Result<Self> {
        let lease = PortLease::any()?;
        let port = lease.port();
        let nowhere = "http://127.0.0.1:1";
        let bridge = Bridge::prepare(BridgeOptions {
            binary: BRIDGE.into(),
            directory: directory.join("bridge-2"),
            port: lease,
            config: config_of(port, nowhere, (nowhere, "nobody", "none")),
        })
        .await?;
        Ok(Self { bridge, port })
    }

    /// Starts it between a homeserver that knows its registration and a Rocket.Chat.
    async fn start(&self, homeserver: &str, rocketchat: &RocketSim) -> Result<()> {
        let (account, token) = rocketchat.create_bridge_account("bridge.two").await?;
        let there = (rocketchat.base_url(), &*account.id, &*token);
        let config = config_of(self.port, homeserver, there);
        self.bridge.write_config(&config)?;
        self.bridge.start()?;
        self.bridge.ready().await
    }

    /// Adds the end of its log to what went wrong.
    fn explain<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.with_context(|| {
            let log = self.bridge.logs();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            format!("the second bridge: {}", last.join("\n"))
        })
    }
}

fn config_of(port: u16, homeserver: &str, (rocketchat, id, token): (&str, &str, &str)) -> Value {
    json!({
        "homeserver": { "url": homeserver, "server_name": Synapse::SERVER_NAME },
        "appservice": {
            "id": "second",
            "registration": "registration.yaml",
            "listen": format!("127.0.0.1:{port}"),
            "url": format!("http://127.0.0.1:{port}"),
            "bot_localpart": "secondbot",
            "ghost_prefix": "_second_",
        },
        "rocketchat": {
            "url": rocketchat, "user_id": id, "token": token, "puppet_prefix": "my_",
        },
        "store": { "path": "data" },
        "log": { "level": "info,matrix_appservice_rocketchat=debug" },
    })
}

/// A room of Bea's in which both bridges have what power they need.
async fn hall_of(world: &World, bea: &MatrixUser) -> Result<String> {
    let bots = [world.user_id("rocketchatbot"), world.user_id("secondbot")];
    let room = bea
        .create_room(json!({
            "room_version": "11", "name": "Hall", "preset": "public_chat",
            "creation_content": { "m.federate": false },
            "power_level_content_override": { "users": {
                (bea.user_id.as_str()): 100, (bots[0].as_str()): 50, (bots[1].as_str()): 50,
            } },
        }))
        .await?;
    // Commands are for rooms in which others are as well.
    let guest = world.matrix_user("guest").await?;
    guest.join(&room).await?;
    Ok(room)
}

/// Takes away what a bridge says in the room's state: a room that says that one serves it
/// is left alone by others, and Bea knows better.
async fn hide_bridge(world: &World, bea: &MatrixUser, room: &str) -> Result<()> {
    let kinds = ["m.bridge", "uk.half-shot.bridge"];
    let shown = world
        .eventually("the bridge to show itself", async || {
            let states = bea.state(room).await?;
            let shown = states.into_iter().filter(|event| {
                let is_empty = event.content.as_object().is_none_or(|all| all.is_empty());
                kinds.contains(&event.kind.as_str()) && !is_empty
            });
            let shown: Vec<_> = shown.collect();
            Ok((shown.len() == kinds.len()).then_some(shown))
        })
        .await?;
    for event in shown {
        let key = event.state_key.as_deref().unwrap_or_default();
        bea.send_state(room, &event.kind, key, json!({})).await?;
    }
    Ok(())
}

/// Has a room joined with the channel `tea` by the bridge of this bot.
async fn join_with_tea(
    user: &MatrixUser,
    room: &str,
    bot: &str,
    (owner, channel): (&RocketUser, &str),
) -> Result<()> {
    user.invite(room, bot).await?;
    user.wait_for_message(room, "the greeting", |event| event.sender == bot)
        .await?;
    let seen = owner.room_messages(channel).await?;
    user.send_text(room, "!rc bridge tea --confirm federated")
        .await?;
    let proposed = owner
        .wait_for_message(channel, "the proposal", |message| {
            message.text.contains("proposes to join")
                && message.text.contains(room)
                && !seen.iter().any(|earlier| earlier.id == message.id)
        })
        .await?;
    let (_, rest) = proposed.text.split_once("approve ").context("no code")?;
    let code: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    owner
        .send(
            channel,
            &format!("!matrix approve {code} --confirm federated"),
        )
        .await?;
    user.wait_for_message(room, "that they are joined", |event| {
        event.sender == bot && event.body().contains("is joined with tea")
    })
    .await?;
    Ok(())
}

/// What stands in a room of Rocket.Chat with this text.
async fn there(user: &RocketUser, channel: &str, text: &str) -> Result<RocketMessage> {
    user.wait_for_message(channel, text, |message| message.text.ends_with(text))
        .await
}

/// The same on Matrix.
async fn here(user: &MatrixUser, room: &str, text: &str) -> Result<Event> {
    user.wait_for_message(room, text, |event| event.body().ends_with(text))
        .await
}

#[tokio::test]
async fn two_bridges_and_an_echo_in_one_room_say_everything_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let second = Second::prepare(directory.path()).await?;
    let mut options = WorldOptions::new(BRIDGE);
    options.more_registrations = vec![second.bridge.registration_path()];
    let world = World::start(options).await?;
    let outcome = say_everything_once(&world, &second, directory.path()).await;
    world.explain(second.explain(outcome))
}

#[tokio::test]
async fn two_bridges_of_one_channel_in_one_room_go_not_in_circles() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let second = Second::prepare(directory.path()).await?;
    let mut options = WorldOptions::new(BRIDGE);
    options.more_registrations = vec![second.bridge.registration_path()];
    let world = World::start(options).await?;
    let outcome = go_not_in_circles(&world, &second).await;
    world.explain(second.explain(outcome))
}

async fn go_not_in_circles(world: &World, second: &Second) -> Result<()> {
    let bea = world.matrix_user("bea").await?;
    let carol = world.rocket_user("carol").await?;
    let tea = carol.create_channel("tea", &[]).await?;
    let room = hall_of(world, &bea).await?;
    let bots = [world.user_id("rocketchatbot"), world.user_id("secondbot")];
    join_with_tea(&bea, &room, &bots[0], (&carol, &tea)).await?;
    hide_bridge(world, &bea, &room).await?;
    second
        .start(world.synapse.base_url(), &world.rocketchat)
        .await?;
    join_with_tea(&bea, &room, &bots[1], (&carol, &tea)).await?;
    hide_bridge(world, &bea, &room).await?;

    // Each bridge brings what it hears, and neither what the other has brought.
    let of_carol = carol.send(&tea, "from Carol").await?;
    let on_matrix = async |text: &str, count: usize| {
        bea.wait_until(&room, &format!("{text:?} {count} times"), |events| {
            let said = events.iter().filter(|event| event.body().ends_with(text));
            (said.count() == count).then_some(())
        })
        .await
    };
    on_matrix("from Carol", 2).await?;
    carol.edit(&tea, &of_carol, "from Carol, again").await?;
    // As edits of both.
    on_matrix("from Carol, again", 2).await?;
    bea.send_text(&room, "from Bea").await?;
    on_matrix("from Bea", 3).await?;
    let there = |texts: &[String], text: &str| texts.iter().filter(|said| *said == text).count();
    carol
        .wait_until(&tea, "what Bea said, by either bridge", |messages| {
            let said = messages.iter().filter(|message| message.text == "from Bea");
            (said.count() == 2).then_some(())
        })
        .await?;

    // What comes after it has passed both shows that there was no more of it.
    for number in 0..3 {
        let (here, carols) = (format!("end {number} of Bea"), format!("end {number}"));
        bea.send_text(&room, &here).await?;
        on_matrix(&here, 3).await?;
        carol.send(&tea, &carols).await?;
        on_matrix(&carols, 2).await?;
    }
    let texts = carol.room_texts(&tea).await?;
    for (text, count) in [("from Carol, again", 1), ("from Bea", 2), ("end 0", 1)] {
        assert_eq!(there(&texts, text), count, "{text}: {texts:?}");
    }
    on_matrix("from Carol, again", 2).await?;
    on_matrix("from Bea", 3).await
}

/// Says what others say of cuckoos, for ever.
async fn repeat(echo: &MatrixUser, room: &str) -> Result<()> {
    let mut done = 0;
    loop {
        let patience = std::time::Duration::from_secs(600);
        let said = echo
            .wait_until_within(patience, room, "words", |all| {
                let others = all.iter().filter(|event| {
                    event.sender != echo.user_id && event.body().contains("cuckoo")
                });
                let new: Vec<_> = others.map(|event| event.body().to_owned()).collect();
                (new.len() > done).then_some(new)
            })
            .await?;
        for text in said.iter().skip(done) {
            echo.send_text(room, &format!("echo: {text}")).await?;
        }
        done = said.len();
    }
}

async fn say_everything_once(world: &World, second: &Second, directory: &Path) -> Result<()> {
    let other_rocketchat = RocketSim::start(SimOptions {
        directory: directory.join("rocketchat-2"),
        port: PortLease::any()?,
        args: Vec::new(),
        evidence: Evidence::default(),
    })
    .await?;
    let bea = world.matrix_user("bea").await?;
    let (carol, dan) = (
        world.rocket_user("carol").await?,
        other_rocketchat.user("dan").await?,
    );
    let tea = carol.create_channel("tea", &[]).await?;
    let other_tea = dan.create_channel("tea", &[]).await?;
    let room = hall_of(world, &bea).await?;
    let bots = [world.user_id("rocketchatbot"), world.user_id("secondbot")];
    join_with_tea(&bea, &room, &bots[0], (&carol, &tea)).await?;
    hide_bridge(world, &bea, &room).await?;
    second
        .start(world.synapse.base_url(), &other_rocketchat)
        .await?;
    join_with_tea(&bea, &room, &bots[1], (&dan, &other_tea)).await?;

    // Words from each of the three.
    let from_carol = carol.send(&tea, "from Carol").await?;
    let carols = here(&bea, &room, "from Carol").await?;
    assert_eq!(carols.sender, world.ghost("carol"));
    let carols_there = there(&dan, &other_tea, "from Carol").await?;
    dan.send(&other_tea, "from Dan").await?;
    let dans = here(&bea, &room, "from Dan").await?;
    assert_eq!(dans.sender, world.user_id("_second_dan"));
    there(&carol, &tea, "from Dan").await?;
    let from_bea = bea.send_text(&room, "from Bea").await?;
    there(&carol, &tea, "from Bea").await?;
    there(&dan, &other_tea, "from Bea").await?;

    // Edits.
    carol
        .edit(&tea, &from_carol, "from Carol, who thought again")
        .await?;
    bea.wait_for_shown(&room, &carols.event_id, "from Carol, who thought again")
        .await?;
    there(&dan, &other_tea, "from Carol, who thought again").await?;
    bea.edit_text(&room, &from_bea, "from Bea, corrected")
        .await?;
    there(&carol, &tea, "from Bea, corrected").await?;
    there(&dan, &other_tea, "from Bea, corrected").await?;

    // An answer across all three.
    dan.quote(&other_tea, &[carols_there.id.as_str()], "an answer")
        .await?;
    let answer = here(&bea, &room, "an answer").await?;
    assert_eq!(answer.in_reply_to(), Some(&*carols.event_id));
    let answer_there = there(&carol, &tea, "an answer").await?;
    assert!(
        answer_there.document.to_string().contains(&from_carol),
        "it quotes what it answers: {}",
        answer_there.document
    );

    // Reactions.
    dan.react(&carols_there.id, ":tada:", true).await?;
    let dans_ghost = world.user_id("_second_dan");
    bea.wait_for_reactions(&room, &carols.event_id, &[(&dans_ghost, "🎉")])
        .await?;
    let dans_puppet = world.puppet("_second_dan");
    carol
        .wait_for_reactions(&tea, &from_carol, &[(":tada:", &dans_puppet)])
        .await?;
    dan.react(&carols_there.id, ":tada:", false).await?;
    carol.wait_for_reactions(&tea, &from_carol, &[]).await?;

    // A program that repeats what others say is repeated itself, and nobody repeats that.
    let echo = world.matrix_user("echo").await?;
    echo.join(&room).await?;
    let cuckoo = async {
        carol.send(&tea, "cuckoo").await?;
        there(&dan, &other_tea, "echo: cuckoo").await?;
        there(&carol, &tea, "echo: cuckoo").await?;
        dan.send(&other_tea, "a second cuckoo").await?;
        there(&carol, &tea, "echo: a second cuckoo").await?;
        there(&dan, &other_tea, "echo: a second cuckoo").await?;
        Ok::<(), anyhow::Error>(())
    };
    tokio::select! {
        outcome = cuckoo => outcome?,
        outcome = repeat(&echo, &room) => outcome?,
    }

    // Deletions.
    carol.delete(&tea, &from_carol).await?;
    bea.wait_for_redaction(&room, &carols.event_id).await?;
    dan.wait_until_gone(&other_tea, &carols_there.id).await?;

    // Everything once, and nothing came back.
    carol.send(&tea, "the end of Carol").await?;
    there(&dan, &other_tea, "the end of Carol").await?;
    dan.send(&other_tea, "the end of Dan").await?;
    there(&carol, &tea, "the end of Dan").await?;
    bea.send_text(&room, "the end").await?;
    there(&carol, &tea, "the end").await?;
    there(&dan, &other_tea, "the end").await?;
    let once = [
        "from Dan",
        "an answer",
        "echo: cuckoo",
        "echo: a second cuckoo",
        "the end of Carol",
        "the end of Dan",
        "the end",
    ];
    let places = [
        carol.room_texts(&tea).await?,
        dan.room_texts(&other_tea).await?,
        bea.room_texts(&room).await?,
    ];
    for (place, texts) in places.iter().enumerate() {
        for text in once {
            let count = texts.iter().filter(|said| said.ends_with(text)).count();
            if count != 1 {
                bail!("{place} has {text:?} {count} times: {texts:?}");
            }
        }
        let cuckoos = texts.iter().filter(|text| text.contains("cuckoo")).count();
        assert_eq!(cuckoos, 4, "in {place}: {texts:?}");
        let gone = texts.iter().filter(|text| text.starts_with("from Carol"));
        assert_eq!(gone.count(), 0, "in {place}: {texts:?}");
        assert!(!texts.iter().any(|text| text.contains("round and round")));
    }
    Ok(())
}
