//! People and rooms, mirrored and not.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use testbed::{MatrixUser, RocketUser, World, WorldOptions, binaries};

use super::Options;
use super::ledger::Ledger;
use super::watch::{self, Watcher};

/// The channel that is mirrored.
const MIRRORED: &str = "general";
/// The channel that is not.
const APART: &str = "apart";

/// A room of one side and the other, which are the same one when mirrored.
#[derive(Debug)]
pub(super) struct Rooms {
    pub(super) on_matrix: String,
    pub(super) on_rocket: String,
}

/// Everything that the phases need.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) ledger: Arc<Ledger>,
}

/// Those who speak, and those who watch.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) on_matrix: Vec<MatrixUser>,
    pub(super) on_rocket: Vec<RocketUser>,
    pub(super) mirrored: Rooms,
    pub(super) apart: Rooms,
    pub(super) _watchers: [Watcher; 2],
}

impl Stage {
    /// Starts the world; nobody is in it yet.
    pub(super) async fn set(options: &Options) -> Result<Self> {
        let mut world = WorldOptions::new(binaries::bridge()?);
        world.channels = vec![MIRRORED.to_owned()];
        world.log.clone_from(&options.log);
        world.sim_args = vec![
            "--message-delay-ms".to_owned(),
            options.message_delay_ms.to_string(),
        ];
        Ok(Self {
            world: World::start(world).await?,
            ledger: Arc::default(),
        })
    }

    /// Makes the people and brings them into the rooms.
    pub(super) async fn people(&self, senders: usize) -> Result<Cast> {
        let world = &self.world;
        let observer = world.matrix_user("observer").await?;
        let watching = world.rocket_user("watcher").await?;
        let mirrored = Rooms {
            on_matrix: observer.join(&world.alias(MIRRORED)).await?,
            on_rocket: watching.join_channel(MIRRORED).await?,
        };
        let public = json!({ "preset": "public_chat" });
        let apart = Rooms {
            on_matrix: observer.create_room(public).await?,
            on_rocket: watching.create_channel(APART, &[]).await?,
        };
        let (mut on_matrix, mut on_rocket) = (Vec::new(), Vec::new());
        for number in 0..senders {
            let user = world.matrix_user(&format!("m{number}")).await?;
            user.join(&mirrored.on_matrix).await?;
            user.join(&apart.on_matrix).await?;
            on_matrix.push(user);
            let user = world.rocket_user(&format!("r{number}")).await?;
            user.join_channel(MIRRORED).await?;
            user.join_channel(APART).await?;
            on_rocket.push(user);
        }
        let rooms = [&mirrored.on_rocket, &apart.on_rocket];
        let base = world.rocketchat.base_url();
        let watchers = [
            watch::matrix(observer, Arc::clone(&self.ledger)).await?,
            watch::rocket(base, watching, &rooms, Arc::clone(&self.ledger)).await?,
        ];
        Ok(Cast {
            on_matrix,
            on_rocket,
            mirrored,
            apart,
            _watchers: watchers,
        })
    }
}
