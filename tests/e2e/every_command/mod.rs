//! Every command through every door: what it does, seen on the other side, and how it is
//! refused. What is tried here is held to the program's own table of commands.

mod connections;
mod people;
mod rooms;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use anyhow::{Context as _, Result, ensure};
use matrix_appservice_rocketchat::commands;
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, World, WorldOptions};

use crate::rocketchat_app::App;
use crate::{BRIDGE, membership};

/// Through which door a command is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// `!rc …` on Matrix, and without it where the bot is alone with somebody.
    Matrix,
    /// `!matrix …` on Rocket.Chat, and without it in the direct message with the bot.
    Text,
    /// `/matrix …` there, which the App brings.
    App,
}

impl Door {
    const ALL: [Self; 3] = [Self::Matrix, Self::Text, Self::App];

    /// For names of people and rooms that are of one door only.
    fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Text => "text",
            Self::App => "app",
        }
    }
}

/// A part of the play: gives a command through a door and looks at what comes of it.
type Act = for<'a> fn(&'a Stage, Door) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// What is tried of a command, through each door.
struct Scenario {
    command: &'static str,
    /// Somebody who may: it is done, as one sees on the other side.
    works: Act,
    /// Somebody who may not, or what cannot be: said why and what to do, and nothing is done.
    refused: Act,
}

/// A scenario of functions that take the stage and the door.
macro_rules! scenario {
    ($command:literal, $works:path, $refused:path) => {
        Scenario {
            command: $command,
            works: |stage, door| Box::pin($works(stage, door)),
            refused: |stage, door| Box::pin($refused(stage, door)),
        }
    };
}
use scenario;

#[test]
fn every_command_of_the_program_is_tried() {
    let mut tried: Vec<_> = [people::SCENARIOS, rooms::SCENARIOS, connections::SCENARIOS]
        .into_iter()
        .flatten()
        .map(|scenario| scenario.command)
        .collect();
    let mut known: Vec<_> = commands::names().collect();
    tried.sort_unstable();
    known.sort_unstable();
    assert_eq!(tried, known);
}

/// The people, and the room in which they are.
struct Stage {
    world: World,
    /// Administers the bridge; their own room with the bot is the office.
    boss: MatrixUser,
    office: String,
    /// Owns the channel on both sides.
    alice: MatrixUser,
    carol: RocketUser,
    /// Nobody in particular.
    bob: MatrixUser,
    dave: RocketUser,
    /// To whom the configuration allows nothing.
    mallory: MatrixUser,
    guest: RocketUser,
    /// The channel on Matrix, and on Rocket.Chat.
    room: String,
    channel: String,
    /// How many commands each door has got, by name.
    given: RefCell<Vec<(String, Door)>>,
    calls: Cell<usize>,
    /// Direct messages with the bridge's account, by user name.
    desks: RefCell<BTreeMap<String, String>>,
}

/// Says why somebody was refused a command by a rule, and who can change it.
const RULED_OUT: &str = "whoever runs the bridge has ruled so";

impl Stage {
    async fn set(mut options: WorldOptions) -> Result<Self> {
        options.channels = vec!["general".into()];
        options.bridge_admins = vec!["admin".into()];
        options.extra_config = json!({ "commands": {
            "per_minute": 1000,
            "rules": [
                { "allow": false, "who": ["@mallory:*", "role:guest"] },
            ],
        }});
        let world = World::start(options).await?;
        let boss = world.matrix_user("admin").await?;
        let office = own_room(&world, &boss).await?;
        let alice = world.matrix_user("alice").await?;
        let bob = world.matrix_user("bob").await?;
        let mallory = world.matrix_user("mallory").await?;
        let carol = world.rocket_user("carol").await?;
        let dave = world.rocket_user("dave").await?;
        let sim = &world.rocketchat;
        let guest = sim.create_user("guest", &["user", "guest"]).await?;
        let channel = carol.join_channel("general").await?;
        let room = alice.join(&world.alias("general")).await?;
        for user in [&bob, &mallory] {
            user.join(&room).await?;
        }
        for user in [&dave, &guest] {
            user.join_channel("general").await?;
        }
        // A word of everybody, so that everybody is somebody on the other side.
        for user in [&alice, &bob] {
            let text = format!("{} is here", user.localpart());
            user.send_text(&room, &text).await?;
            carol.wait_for_text(&channel, &text).await?;
        }
        for user in [&carol, &dave] {
            let text = format!("{} is here", user.username);
            user.send(&channel, &text).await?;
            alice.wait_for_text(&room, &text).await?;
        }
        let puppet = membership::id_of(&carol, &world.puppet("alice")).await?;
        for id in [&carol.id, &puppet] {
            let body = json!({ "roomId": channel, "userId": id });
            world.rocket_admin().post("channels.addOwner", body).await?;
        }
        for user in [&world.ghost("carol"), &alice.user_id] {
            membership::wait_for_level(&world, &alice, &room, user, Some(100)).await?;
        }
        Ok(Self {
            world,
            boss,
            office,
            alice,
            carol,
            bob,
            dave,
            mallory,
            guest,
            room,
            channel,
            given: RefCell::default(),
            calls: Cell::default(),
            desks: RefCell::default(),
        })
    }

    /// Plays each of them through each door.
    async fn play(&self, scenarios: &[Scenario]) -> Result<()> {
        for scenario in scenarios {
            for door in Door::ALL {
                for (act, how) in [(scenario.refused, "refused"), (scenario.works, "done")] {
                    let before = self.count(scenario.command, door);
                    let played = act(self, door).await;
                    let what = format!("{} through {door:?}, {how}", scenario.command);
                    self.world.explain(played.context(what.clone()))?;
                    ensure!(
                        self.count(scenario.command, door) > before,
                        "{what}: the command was not given"
                    );
                }
            }
        }
        Ok(())
    }

    fn count(&self, command: &str, door: Door) -> usize {
        let given = self.given.borrow();
        let of = |one: &&(String, Door)| one.0 == command && one.1 == door;
        given.iter().filter(of).count()
    }

    fn note(&self, words: &str, door: Door) {
        let name = words.split_whitespace().next().unwrap_or("help");
        self.given.borrow_mut().push((name.to_owned(), door));
    }

    /// Gives a command in a room of Matrix in which others are as well; the answer.
    async fn on_matrix(&self, user: &MatrixUser, room: &str, words: &str) -> Result<String> {
        self.write(user, room, words, &format!("!rc {words}")).await
    }

    /// The same, in a room where the bot is alone with somebody.
    async fn to_bot(&self, user: &MatrixUser, room: &str, words: &str) -> Result<String> {
        self.write(user, room, words, words).await
    }

    async fn write(
        &self,
        user: &MatrixUser,
        room: &str,
        words: &str,
        text: &str,
    ) -> Result<String> {
        self.note(words, Door::Matrix);
        let said = user.send_text(room, text).await?;
        let answer = user
            .wait_for_message(room, &format!("the answer to {text:?}"), |event| {
                event.in_reply_to() == Some(&said) && event.msgtype() == "m.notice"
            })
            .await?;
        Ok(answer.body().to_owned())
    }

    /// Gives a command in a room of Rocket.Chat; the answer, which is for them alone.
    async fn there(&self, door: Door, user: &RocketUser, rid: &str, words: &str) -> Result<String> {
        self.note(words, door);
        let answer = match door {
            Door::App => {
                let id = format!(
                    "{} {}",
                    user.username,
                    self.calls.replace(self.calls.get() + 1)
                );
                let app = App::of(&self.world);
                app.answer_in(rid, user, words, &id).await?
            }
            Door::Text | Door::Matrix => {
                let desk = self.desk(user).await?;
                let sign = if rid == desk { "" } else { "!matrix " };
                let before = of_bot(user, &desk).await?.len();
                user.send(rid, &format!("{sign}{words}")).await?;
                let marked = format!("To `{}`: ", words.replace('`', "'"));
                user.wait_until(&desk, &format!("the answer to {words:?}"), |messages| {
                    let all = messages.iter().filter(|m| m.username == World::ROCKET_BOT);
                    let mut new = all.skip(before).map(|message| bare(&message.text));
                    match sign {
                        "" => new.next(),
                        _ => new.find_map(|text| Some(text.strip_prefix(&marked)?.to_owned())),
                    }
                })
                .await?
            }
        };
        Ok(bare(&answer))
    }

    /// Somebody's direct message with the bridge's account.
    async fn desk(&self, user: &RocketUser) -> Result<String> {
        let known = self.desks.borrow().get(&user.username).cloned();
        if let Some(desk) = known {
            return Ok(desk);
        }
        let desk = user.open_dm(World::ROCKET_BOT).await?;
        let name = user.username.clone();
        self.desks.borrow_mut().insert(name, desk.clone());
        Ok(desk)
    }

    /// Gives a command where somebody is alone with the bridge: on Rocket.Chat.
    async fn to_bot_there(&self, door: Door, user: &RocketUser, words: &str) -> Result<String> {
        let desk = self.desk(user).await?;
        self.there(door, user, &desk, words).await
    }

    /// Gives a command in the channel: through the door on Matrix the one, through the
    /// others the other.
    async fn in_channel(
        &self,
        door: Door,
        here: &MatrixUser,
        there: &RocketUser,
        words: &str,
    ) -> Result<String> {
        match door {
            Door::Matrix => self.on_matrix(here, &self.room, words).await,
            _ => self.there(door, there, &self.channel, words).await,
        }
    }

    /// The same by those to whom the configuration allows nothing: they are told so.
    async fn ruled_out(&self, door: Door, words: &str) -> Result<()> {
        let said = self
            .in_channel(door, &self.mallory, &self.guest, words)
            .await?;
        has(&said, &[RULED_OUT])
    }

    /// Somebody of either side whom nobody has met yet, for this door alone.
    async fn newcomer(&self, name: &str, door: Door) -> Result<MatrixUser> {
        self.world
            .matrix_user(&format!("{name}_{}", door.name()))
            .await
    }

    async fn newcomer_there(&self, name: &str, door: Door) -> Result<RocketUser> {
        self.world
            .rocket_user(&format!("{name}.{}", door.name()))
            .await
    }
}

/// The room of somebody on Matrix with the bot alone.
async fn own_room(world: &World, user: &MatrixUser) -> Result<String> {
    let bot = world.user_id("rocketchatbot");
    let room = user.create_direct(&[&bot]).await?;
    user.wait_for_message(&room, "the greeting", |event| event.sender == bot)
        .await?;
    Ok(room)
}

async fn of_bot(user: &RocketUser, desk: &str) -> Result<Vec<String>> {
    let messages = user.room_messages(desk).await?;
    let all = messages.iter().filter(|m| m.username == World::ROCKET_BOT);
    Ok(all.map(|message| message.text.clone()).collect())
}

/// Without what keeps a name from being taken for a mention, and the id of a room, which may
/// have two underscores in it, for emphasis.
fn bare(text: &str) -> String {
    text.replace('\u{200b}', "").replace("\\_", "_")
}

/// An answer has all of this in it.
fn has(answer: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(answer.contains(part), "no {part:?} in {answer:?}");
    }
    Ok(())
}

/// An answer has nothing of this in it.
fn lacks(answer: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(!answer.contains(part), "{part:?} in {answer:?}");
    }
    Ok(())
}

/// Somebody's membership of a Matrix room now, as `reader` sees it.
async fn membership_of(reader: &MatrixUser, room: &str, user: &str) -> Result<String> {
    let member = reader.state_content(room, "m.room.member", user).await?;
    let membership = member.unwrap_or(Value::Null)["membership"].clone();
    Ok(membership.as_str().unwrap_or("leave").to_owned())
}

#[tokio::test]
async fn everybody_gives_the_commands_about_people_by_every_door_if_they_may() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.other_homeservers = 1;
    Stage::set(options).await?.play(people::SCENARIOS).await
}

#[tokio::test]
async fn everybody_gives_the_commands_about_a_room_by_every_door_if_they_may() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.synapse_config = testbed::synapse::with_policy();
    Stage::set(options).await?.play(rooms::SCENARIOS).await
}

#[tokio::test]
async fn everybody_gives_the_commands_that_connect_rooms_by_every_door_if_they_may() -> Result<()> {
    let stage = Stage::set(WorldOptions::new(BRIDGE)).await?;
    stage.play(connections::SCENARIOS).await
}
