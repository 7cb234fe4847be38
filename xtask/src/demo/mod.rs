//! `cargo xtask demo`: both servers and the bridge, a short conversation, then
//! yours to go on.

mod conversation;
mod handout;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use testbed::{MatrixUser, RocketUser, World, WorldOptions, binaries, synapse};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::progress::step;

/// What the demo's channel is called on Rocket.Chat.
const CHANNEL: &str = "general";
/// Where programs of this kind usually listen; others are taken if these are not
/// free.
const USUAL_PORTS: [u16; 3] = [8008, 3000, 29330];

#[derive(Debug, Args)]
pub struct Options {
    /// End after the conversation instead of staying up.
    #[arg(long)]
    once: bool,
}

/// Who and where, once everything is up.
struct Stage {
    world: World,
    alice: MatrixUser,
    bob: MatrixUser,
    carol: RocketUser,
    dave: RocketUser,
    /// The channel as Matrix knows it.
    room: String,
    /// The channel as Rocket.Chat knows it.
    channel: String,
}

/// Runs until Ctrl-C.
pub async fn run(options: Options) -> Result<ExitCode> {
    let mut interrupt = Interrupt::listen()?;
    let directory = binaries::cache_directory().join("demo");
    let _alone = only_one(&directory)?;
    let stage = tokio::select! {
        biased;
        // Dropping what was being done kills what it had started.
        () = interrupt.comes() => {
            eprintln!("\n==> interrupted: everything that was started is stopped");
            return Ok(ExitCode::SUCCESS);
        }
        stage = play(&directory) => stage?,
    };
    let end = if options.once {
        Ok(())
    } else {
        handout::print(&stage);
        tokio::select! {
            () = interrupt.comes() => Ok(()),
            ended = stage.world.first_to_end() => {
                Err(anyhow!("{}; logs are in {}", ended?, directory.display()))
            }
        }
    };
    tokio::select! {
        () = interrupt.comes() => eprintln!("==> stopped the hard way"),
        stopped = step("stopping everything", stage.world.stop()) => stopped?,
    }
    end.map(|()| ExitCode::SUCCESS)
}

/// Everything up to the point where a person takes over.
async fn play(directory: &Path) -> Result<Stage> {
    step(
        "building the bridge and the simulator",
        binaries::build(&[binaries::BRIDGE, binaries::SIMULATOR]),
    )
    .await?;
    step("setting up Synapse", synapse::ensure_installed()).await?;
    let world = step(
        "starting Synapse, the Rocket.Chat simulator and the bridge",
        start(directory),
    )
    .await?;
    let stage = step("making people and a channel", set_up(world)).await?;
    conversation::hold(&stage).await?;
    Ok(stage)
}

/// Ctrl-C, or the SIGTERM of whoever manages processes.
struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn listen() -> Result<Self> {
        Ok(Self {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A second demo would empty the directory of the first.
fn only_one(directory: &Path) -> Result<fs::File> {
    fs::create_dir_all(directory)?;
    let path = directory.with_extension("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)?;
    if lock.try_lock().is_err() {
        bail!("another demo is running (it holds {})", path.display());
    }
    fs::remove_dir_all(directory).context("cannot clear what the last demo left")?;
    Ok(lock)
}

async fn start(directory: &Path) -> Result<World> {
    let mut options = WorldOptions::new(binaries::bridge()?);
    options.channels = vec![CHANNEL.to_owned()];
    options.bridge_admins = vec!["alice".to_owned()];
    options.directory = Some(PathBuf::from(directory));
    options.preferred_ports = Some(USUAL_PORTS);
    options.log = "info".to_owned();
    World::start(options).await
}

async fn set_up(world: World) -> Result<Stage> {
    let alice = world.matrix_user("alice").await?;
    let bob = world.matrix_user("bob").await?;
    let carol = world.rocket_user("carol").await?;
    let dave = world.rocket_user("dave").await?;
    let channel = carol.join_channel(CHANNEL).await?;
    dave.join_channel(CHANNEL).await?;
    let alias = world.alias(CHANNEL);
    let room = world
        .eventually(&format!("alice to get into {alias}"), async || {
            alice.join(&alias).await.map(Some)
        })
        .await?;
    bob.join(&alias).await?;
    Ok(Stage {
        world,
        alice,
        bob,
        carol,
        dave,
        room,
        channel,
    })
}
