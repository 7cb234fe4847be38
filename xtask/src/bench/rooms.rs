//! `cargo xtask bench-rooms`: what many rooms and people cost: a channel with many
//! members, many channels, and starting with many portals in the store.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use matrix_appservice_rocketchat::store::{Ghost, Portal, Store};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, World, WorldOptions, binaries, synapse};

use super::front::{Front, far_room};
use super::machine::{self, Machine};
use super::meter::{Cost, metered};
use crate::progress::step;

/// The channel in which people talk.
const NEAR: &str = "general";
/// The channel with many members.
const CROWD: &str = "crowd";
/// How long a phase may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How often one looks whether something is there.
const LOOK: Duration = Duration::from_millis(100);
/// What counts as the cost of having started.
const SETTLING: Duration = Duration::from_secs(10);
/// What is measured once after that, while rounds over everything go on.
const ROUNDS: Duration = Duration::from_secs(60);
/// How many rooms Synapse is let make by itself, and how many at once, for comparison.
const ALONE: usize = 60;
const ALONE_AT_ONCE: usize = 3;
/// How long the store may take to close.
const CLOSING: Duration = Duration::from_secs(30);
/// How long ago the many rooms were made: they have been mirrored for a while.
const AGE_MS: i64 = 2 * 3_600_000;
/// How often a start is measured.
const STARTS: usize = 3;

#[derive(Debug, Args)]
pub struct Options {
    /// How many members the big channel has.
    #[arg(long, default_value_t = 2000)]
    members: usize,
    /// How many channels are mirrored at once.
    #[arg(long, default_value_t = 1000)]
    channels: usize,
    /// How many portals there are when the bridge starts.
    #[arg(long, default_value_t = 10_000)]
    portals: usize,
    /// How many people have ghosts when the bridge starts.
    #[arg(long, default_value_t = 50_000)]
    people: usize,
    /// Measure debug programs, which build faster and run slower.
    #[arg(long)]
    debug: bool,
}

/// One row of the table.
struct Row {
    what: String,
    to_rocket: u64,
    to_matrix: u64,
    cost: Cost,
}

/// One start.
struct Start {
    ready: Duration,
    to_matrix: Duration,
    to_rocket: Duration,
}

struct Stage {
    world: World,
    front: Front,
    mona: MatrixUser,
    rita: RocketUser,
    room: String,
    rid: String,
}

/// Builds, measures, prints.
pub async fn run(options: Options) -> Result<ExitCode> {
    let profile = if options.debug { "debug" } else { "release" };
    if !binaries::directory()?.ends_with(profile) {
        return super::run_as_built_for(profile).await;
    }
    if std::env::var_os(binaries::BUILT).is_none() {
        let programs = [binaries::BRIDGE, binaries::SIMULATOR];
        step("building the bridge and the simulator", async {
            binaries::build(&programs).await
        })
        .await?;
    }
    step("setting up Synapse", synapse::ensure_installed()).await?;
    let machine = machine::describe().await?;
    let stage = step("starting Synapse, the simulator and the bridge", set()).await?;
    let measured = async {
        let mut rows = Vec::new();
        if options.members > 0 {
            let what = format!("a channel with {} members", options.members);
            rows.extend(step(&what, stage.crowd(&options)).await?);
        }
        if options.channels > 0 {
            let what = format!("{} channels at once", options.channels);
            rows.extend(step(&what, stage.many(&options)).await?);
        }
        let mut starts = Vec::new();
        if options.portals > 0 {
            step("filling the store", stage.fill(&options)).await?;
            let (more, measured) = step("starting with a full store", stage.starts()).await?;
            rows.extend(more);
            starts = measured;
        }
        Ok((rows, starts))
    };
    let (rows, starts) = stage.world.explain(measured.await)?;
    print(&machine, profile, &options, &rows, &starts);
    step("stopping everything", async {
        stage.world.stop().await?;
        stage.front.close().await;
        Ok(())
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

async fn set() -> Result<Stage> {
    let mut options = WorldOptions::new(binaries::bridge()?);
    options.channels = vec![NEAR.to_owned()];
    options.log = "info".to_owned();
    options.start_bridge = false;
    let world = World::start(options).await?;
    let front = Front::open(world.synapse.base_url(), &world.user_id("rocketchatbot"))?;
    let mut config = world.bridge.config()?;
    config["homeserver"]["url"] = json!(front.url);
    world.bridge.write_config(&config)?;
    world.bridge.restart().await?;
    let mona = world.matrix_user("mona").await?;
    let rita = world.rocket_user("rita").await?;
    let room = mona.join(&world.alias(NEAR)).await?;
    let rid = rita.join_channel(NEAR).await?;
    // Ghost and puppet are there before anything is measured.
    mona.send_text(&room, "hello from Matrix").await?;
    rita.send(&rid, "hello from Rocket.Chat").await?;
    rita.wait_for_text(&rid, "hello from Matrix").await?;
    mona.wait_for_text(&room, "hello from Rocket.Chat").await?;
    Ok(Stage {
        world,
        front,
        mona,
        rita,
        room,
        rid,
    })
}

impl Stage {
    /// Requests that Rocket.Chat has had from anybody.
    async fn requests_to_rocket(&self) -> Result<u64> {
        let stats = self.world.rocketchat.control().stats().await?;
        let counted = stats["requests"].as_object().context("no requests")?;
        Ok(counted.values().filter_map(Value::as_u64).sum())
    }

    async fn row<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<(T, Row)> {
        let (rocket, matrix) = (self.requests_to_rocket().await?, self.front.passed());
        let (done, cost) = metered(&self.world, work).await?;
        let row = Row {
            what: what.to_owned(),
            to_rocket: self.requests_to_rocket().await? - rocket,
            to_matrix: self.front.passed() - matrix,
            cost,
        };
        Ok((done, row))
    }

    /// Configures channels of this name or pattern beside the first and starts anew.
    async fn mirror(&self, channels: &str) -> Result<()> {
        let mut config = self.world.bridge.config()?;
        config["bridge"]["channels"] = json!([NEAR, channels]);
        self.world.bridge.write_config(&config)?;
        self.world.bridge.stop().await?;
        self.world.bridge.start()?;
        self.world.bridge.connected().await
    }

    /// Waits until the bot is in so many more rooms than before.
    async fn rooms_made(&self, before: usize, count: usize) -> Result<()> {
        let bot = self.world.matrix_bot()?;
        let until = Instant::now() + PATIENCE;
        loop {
            let rooms = bot.joined_rooms().await?.len();
            if rooms >= before + count {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{rooms} rooms after {PATIENCE:?}, {} wanted",
                before + count
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn crowd(&self, options: &Options) -> Result<Vec<Row>> {
        let control = self.world.rocketchat.control();
        control.make_users("member", options.members).await?;
        let order = json!({ "names": [CROWD], "members_like": "member", "members": ["rita"] });
        let rids = control.make_rooms(&order).await?;
        let rid = rids.first().context("no room")?;
        let before = self.world.matrix_bot()?.joined_rooms().await?.len();
        let ((), made) = self
            .row("big channel: portal", async {
                self.mirror(CROWD).await?;
                self.rooms_made(before, 1).await
            })
            .await?;
        let alias = self.world.alias(CROWD);
        let (room, joined) = self
            .row("big channel: somebody joins", self.entered(&alias))
            .await?;
        let ((), first) = self
            .row("big channel: first message", async {
                self.rita.send(rid, "hello, all of you").await?;
                self.mona.wait_for_text(&room, "hello, all of you").await?;
                Ok(())
            })
            .await?;
        let ((), after) = self
            .row("big channel: the ten seconds after", async {
                tokio::time::sleep(SETTLING).await;
                Ok(())
            })
            .await?;
        let there = self.mona.joined_members(&room).await?.len();
        let mut rows = vec![made, joined, first, after];
        if let Some(last) = rows.last_mut() {
            last.what = format!("{}: {there} of them are on Matrix", last.what);
        }
        Ok(rows)
    }

    /// Enters a room: its alias is there before all of it is.
    async fn entered(&self, alias: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.mona.join(alias).await {
                Ok(room) => return Ok(room),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn many(&self, options: &Options) -> Result<Vec<Row>> {
        let control = self.world.rocketchat.control();
        // Opened last, being the oldest.
        let order = json!({ "names": ["many-last"], "members": ["rita"] });
        let last = control.make_rooms(&order).await?.remove(0);
        let order = json!({ "prefix": "many", "count": options.channels, "members": ["rita"] });
        control.make_rooms(&order).await?;
        let mut rows = vec![self.alone("before").await?];
        let before = self.world.matrix_bot()?.joined_rooms().await?.len();
        let (first, all) = self
            .row("many channels: all portals", async {
                self.mirror("many*").await?;
                let begun = Instant::now();
                self.rita.send(&last, "is anybody there?").await?;
                let first = async {
                    self.seen_in(&self.world.alias("many-last"), "is anybody there?")
                        .await?;
                    anyhow::Ok(begun.elapsed())
                };
                let all = self.rooms_made(before, options.channels + 1);
                let (first, ()) = tokio::try_join!(first, all)?;
                Ok(first)
            })
            .await?;
        rows.push(all);
        if let Some(all) = rows.last_mut() {
            all.what = format!(
                "{}; {:.2} s until a message in the last was there",
                all.what,
                first.as_secs_f64()
            );
        }
        rows.push(self.alone("after").await?);
        let ((), settling) = self
            .row("many channels: the ten seconds after", async {
                tokio::time::sleep(SETTLING).await;
                Ok(())
            })
            .await?;
        rows.push(settling);
        Ok(rows)
    }

    /// Waits until a text is in the room that an alias leads to.
    async fn seen_in(&self, alias: &str, text: &str) -> Result<()> {
        let bot = self.world.matrix_bot()?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(room) = bot.resolve_alias(alias).await?
                && let Ok(texts) = bot.room_texts(&room).await
                && texts.iter().any(|one| one == text)
            {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{text} is not in {alias}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How long Synapse takes to make rooms like those of the bridge.
    async fn alone(&self, when: &str) -> Result<Row> {
        let bot = self.world.matrix_bot()?;
        let what = format!("Synapse alone, {when}: {ALONE} rooms, {ALONE_AT_ONCE} at once");
        let ((), row) = self
            .row(&what, async {
                let made = (0..ALONE_AT_ONCE).map(|lane| {
                    let bot = bot.clone();
                    async move {
                        for number in 0..ALONE / ALONE_AT_ONCE {
                            let state = json!([
                                { "type": "m.bridge", "state_key": "x", "content": {} },
                                { "type": "uk.half-shot.bridge", "state_key": "x", "content": {} },
                            ]);
                            bot.create_room(json!({
                                "name": format!("room {lane} {number}"), "preset": "public_chat",
                                "room_alias_name": format!("_rocketchat_{when}-{lane}-{number}"),
                                "initial_state": state, "visibility": "private",
                            }))
                            .await?;
                        }
                        anyhow::Ok(())
                    }
                });
                futures_util::future::try_join_all(made).await?;
                Ok(())
            })
            .await?;
        Ok(row)
    }

    /// Writes portals and ghosts into the store of the bridge, which stands still.
    async fn fill(&self, options: &Options) -> Result<()> {
        let control = self.world.rocketchat.control();
        let people = control.make_users("far", options.people).await?;
        // Nobody is in them but the bridge's account.
        let order = json!({ "prefix": "far", "count": options.portals, "owner": World::ROCKET_BOT, "age_ms": AGE_MS });
        let rooms = control.make_rooms(&order).await?;
        self.front.show_far_rooms(rooms.len());
        self.world.bridge.stop().await?;
        let path: PathBuf = self.world.directory().join("bridge/data");
        let server = self.world.synapse.server_name().to_owned();
        tokio::task::spawn_blocking(move || fill(&path, &server, &rooms, &people)).await?
    }

    /// Starts, with somebody speaking on each side at that moment.
    async fn starts(&self) -> Result<(Vec<Row>, Vec<Start>)> {
        let mut starts = Vec::new();
        let mut rows = Vec::new();
        for number in 0..STARTS {
            self.world.bridge.stop().await?;
            let (hello, back) = (format!("start {number}"), format!("start {number} too"));
            let (rocket, matrix) = (self.requests_to_rocket().await?, self.front.passed());
            let began = Instant::now();
            self.world.bridge.start()?;
            self.rita.send(&self.rid, &hello).await?;
            self.mona.send_text(&self.room, &back).await?;
            let ready = async {
                self.world.bridge.connected().await?;
                anyhow::Ok(began.elapsed())
            };
            let to_matrix = async {
                self.mona.wait_for_text(&self.room, &hello).await?;
                anyhow::Ok(began.elapsed())
            };
            let to_rocket = async {
                self.rita.wait_for_text(&self.rid, &back).await?;
                anyhow::Ok(began.elapsed())
            };
            let (ready, to_matrix, to_rocket) = tokio::try_join!(ready, to_matrix, to_rocket)?;
            starts.push(Start {
                ready,
                to_matrix,
                to_rocket,
            });
            let ((), mut settled) = self
                .row("full store: a start and the ten seconds after", async {
                    tokio::time::sleep(SETTLING).await;
                    Ok(())
                })
                .await?;
            settled.to_rocket = self.requests_to_rocket().await? - rocket;
            settled.to_matrix = self.front.passed() - matrix;
            rows = vec![settled];
        }
        let ((), rounds) = self
            .row("full store: the minute after that", async {
                tokio::time::sleep(ROUNDS).await;
                Ok(())
            })
            .await?;
        rows.push(rounds);
        Ok((rows, starts))
    }
}

/// Rooms and people as if they had been mirrored for a while.
fn fill(path: &std::path::Path, server: &str, rooms: &[String], people: &[String]) -> Result<()> {
    let store = Store::open(path, 64 << 20, server, "_rocketchat_")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = i64::try_from(now.as_millis())?;
    for (number, id) in people.iter().enumerate() {
        let ghost: Ghost = serde_json::from_value(json!({
            "rocket_id": id, "user_id": format!("@_rocketchat_far{number}:{server}"),
            "username": format!("far{number}"),
        }))?;
        let mut change = store.change().ghost(&ghost);
        if !rooms.is_empty() {
            let room = far_room(number % rooms.len(), server);
            change = change.ghost_in_room(room.as_str().try_into()?, &ghost.user_id);
        }
        change.commit()?;
        store.amend_ghost_profile(&ghost.rocket_id, |profile| {
            profile.name = Some(format!("far{number}"));
        })?;
    }
    for (number, rid) in rooms.iter().enumerate() {
        let portal: Portal = serde_json::from_value(json!({
            "rid": rid, "room_id": far_room(number, server), "kind": "channel",
            "name": format!("far{number}"), "since": now - 3_600_000,
        }))?;
        // Talked in before the one that is measured was.
        let spoken = now - 3_600_000 + i64::try_from(number)?;
        store
            .change()
            .portal(&portal)
            .cursor(&portal.id, spoken)
            .commit()?;
        store.amend_room_state(&portal.id, |state| {
            let agreed = [
                ("access", "public"),
                ("name", &portal.name),
                ("topic", ""),
                ("writing", "open"),
            ];
            let agreed = agreed.map(|(key, value)| (key.to_owned(), value.to_owned()));
            state.agreed = agreed.into_iter().collect();
            state.bridge_info = "{}".to_owned();
        })?;
    }
    drop(store);
    // Its threads let go of it when they end, soon after.
    let held = std::fs::File::open(path.join("db"))?;
    let until = Instant::now() + CLOSING;
    while held.try_lock().is_err() {
        ensure!(Instant::now() < until, "the store does not close");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn print(machine: &Machine, profile: &str, options: &Options, rows: &[Row], starts: &[Start]) {
    println!(
        "\n{profile} programs at {}, {}; Synapse {} on SQLite; {} cores, load {:.2} at the start{}.\n",
        machine.commit,
        machine.rustc,
        machine.synapse,
        machine.cores,
        machine.load,
        if machine.is_busy() { " (busy)" } else { "" },
    );
    println!(
        "| what | s | requests to Rocket.Chat | requests to Synapse | bridge, s of processor \
         | Synapse, s | others, cores | memory after, MiB | at most, MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let cost = &row.cost;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "| {} | {:.2} | {} | {} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} |",
            row.what,
            cost.took.as_secs_f64(),
            row.to_rocket,
            row.to_matrix,
            cost.bridge,
            cost.synapse,
            cost.others,
            mib(cost.memory),
            mib(cost.most_memory),
        );
    }
    if starts.is_empty() {
        return;
    }
    println!(
        "\nStarting with {} portals and {} people in the store:\n",
        options.portals, options.people
    );
    println!("| start | ready, s | first message to Matrix, s | first message to Rocket.Chat, s |");
    println!("|--:|--:|--:|--:|");
    for (number, start) in starts.iter().enumerate() {
        println!(
            "| {} | {:.2} | {:.2} | {:.2} |",
            number + 1,
            start.ready.as_secs_f64(),
            start.to_matrix.as_secs_f64(),
            start.to_rocket.as_secs_f64(),
        );
    }
}
