//! Everything together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::bridge::{Bridge, BridgeOptions};
use crate::http::{Api, Evidence, escape};
use crate::matrix::MatrixUser;
use crate::ports::PortLease;
use crate::rocket::{RocketSim, RocketUser, SimOptions};
use crate::synapse::{Federation, PROBLEMS, Synapse, SynapseOptions};
use crate::wait::eventually;

/// What a world is made of.
#[derive(Debug)]
pub struct WorldOptions {
    /// The bridge's program: `env!("CARGO_BIN_EXE_matrix-appservice-rocketchat")`.
    pub bridge_binary: PathBuf,
    /// Public channels, made on Rocket.Chat by its administrator and named in
    /// the bridge's configuration.
    pub channels: Vec<String>,
    /// Localparts of Matrix users who may give the bridge commands.
    pub bridge_admins: Vec<String>,
    /// Merged into the bridge's configuration, key by key.
    pub extra_config: Value,
    /// More command line arguments of the simulator.
    pub sim_args: Vec<String>,
    /// Merged into `homeserver.yaml`, key by key.
    pub synapse_config: Value,
    /// The bridge's log filter.
    pub log: String,
    /// Whether to start the bridge; without, [`Bridge::restart`] does it later.
    pub start_bridge: bool,
    /// Where everything is kept; without, in a temporary directory that goes
    /// with the world (see `TESTBED_KEEP`).
    pub directory: Option<PathBuf>,
    /// Further registrations that the homeserver gets.
    pub more_registrations: Vec<PathBuf>,
    /// How many homeservers there are beside the bridge's own, all federating; with
    /// any, the bridge's own is called by its address (see [`Synapse::server_name`]).
    pub other_homeservers: usize,
    /// Ports of Synapse, Rocket.Chat and the bridge, if free.
    pub preferred_ports: Option<[u16; 3]>,
}

impl WorldOptions {
    /// An empty world with this bridge.
    pub fn new(bridge_binary: impl Into<PathBuf>) -> Self {
        Self {
            bridge_binary: bridge_binary.into(),
            channels: Vec::new(),
            bridge_admins: Vec::new(),
            extra_config: json!({}),
            sim_args: Vec::new(),
            synapse_config: json!({}),
            log: "info,matrix_appservice_rocketchat=debug".to_owned(),
            start_bridge: true,
            directory: None,
            more_registrations: Vec::new(),
            other_homeservers: 0,
            preferred_ports: None,
        }
    }
}

/// A homeserver, a Rocket.Chat and the bridge between them. All end with it.
#[derive(Debug)]
pub struct World {
    /// The bridge. First, because fields are dropped in order.
    pub bridge: Bridge,
    /// The Rocket.Chat side.
    pub rocketchat: RocketSim,
    /// The Matrix side.
    pub synapse: Synapse,
    /// Homeservers beside the bridge's own, which federate with it and each other.
    pub others: Vec<Synapse>,
    /// The bridge's account on Rocket.Chat.
    pub rocket_bot: RocketUser,
    /// Rocket.Chat's ids of [`WorldOptions::channels`] by name.
    pub channels: HashMap<String, String>,
    evidence: Evidence,
    people: Mutex<HashMap<String, MatrixUser>>,
    dir: Place,
}

impl World {
    /// The user name of the bridge's account on Rocket.Chat.
    pub const ROCKET_BOT: &'static str = "bridge.bot";

    /// Starts everything and waits until the bridge is ready.
    ///
    /// # Errors
    /// When something does not start: with the end of its log.
    pub async fn start(options: WorldOptions) -> Result<Self> {
        let dir = Place::new(options.directory.as_deref())?;
        let at = |name: &str| dir.path().join(name);
        let mut logs = vec![
            ("Synapse".to_owned(), at("synapse").join(PROBLEMS)),
            (
                "the Rocket.Chat simulator".to_owned(),
                at("rocketchat/rocketchat-sim.log"),
            ),
            ("the bridge".to_owned(), at("bridge/bridge.log")),
        ];
        for index in 0..options.other_homeservers {
            let directory = at(&format!("synapse-other-{index}"));
            logs.push((format!("homeserver {index}"), directory.join(PROBLEMS)));
        }
        let evidence = Evidence::new(logs);
        let [synapse_port, rocket_port, bridge_port] = take_ports(options.preferred_ports)?;

        let rocketchat = RocketSim::start(SimOptions {
            directory: at("rocketchat"),
            port: rocket_port,
            args: options.sim_args.clone(),
            evidence: evidence.clone(),
        })
        .await?;
        let (rocket_bot, token) = rocketchat.create_bridge_account(Self::ROCKET_BOT).await?;
        let mut channels = HashMap::new();
        for name in &options.channels {
            let rid = make_channel(rocketchat.admin(), name).await?;
            channels.insert(name.clone(), rid);
        }

        let homeserver_url = format!("http://127.0.0.1:{}", synapse_port.port());
        let bridge_url = format!("http://127.0.0.1:{}", bridge_port.port());
        let (federation, others) = federation_of(options.other_homeservers)?;
        let mut synapse_options = SynapseOptions::new(at("synapse"), synapse_port);
        synapse_options.federation = federation;
        let config = bridge_config(
            &options,
            (&homeserver_url, &synapse_options.server_name()),
            &bridge_url,
            (rocketchat.base_url(), &rocket_bot.id, &token),
        )?;
        let bridge = Bridge::prepare(BridgeOptions {
            binary: options.bridge_binary,
            directory: at("bridge"),
            port: bridge_port,
            config,
        })
        .await?;

        synapse_options.registrations = vec![bridge.registration_path()];
        synapse_options
            .registrations
            .extend(options.more_registrations);
        synapse_options.extra_config = options.synapse_config;
        synapse_options.evidence = evidence.clone();
        let others = others.into_iter().enumerate().map(|(index, federation)| {
            let directory = at(&format!("synapse-other-{index}"));
            let evidence = evidence.clone();
            tokio::spawn(start_other(directory, federation, evidence))
        });
        // At once: each takes some seconds.
        let starting: Vec<_> = others.collect();
        let synapse = Synapse::start(synapse_options).await?;
        let mut others = Vec::new();
        for other in starting {
            others.push(other.await??);
        }
        if options.start_bridge {
            bridge.start()?;
            bridge.ready().await?;
        }
        Ok(Self {
            bridge,
            rocketchat,
            synapse,
            others,
            rocket_bot,
            channels,
            evidence,
            people: Mutex::default(),
            dir,
        })
    }

    /// The Matrix person of this name: registered at first, the same afterwards.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn matrix_user(&self, localpart: &str) -> Result<MatrixUser> {
        let mut people = self.people.lock().await;
        if let Some(user) = people.get(localpart) {
            return Ok(user.clone());
        }
        let user = self.synapse.register(localpart).await?;
        people.insert(localpart.to_owned(), user.clone());
        Ok(user)
    }

    /// The first homeserver beside the bridge's own.
    ///
    /// # Errors
    /// When [`WorldOptions::other_homeservers`] asked for none.
    pub fn other(&self) -> Result<&Synapse> {
        self.others.first().context("this world has one homeserver")
    }

    /// The person of this name at a homeserver beside the bridge's own: registered at
    /// first, the same afterwards.
    ///
    /// # Errors
    /// When that homeserver refuses.
    pub async fn other_user(&self, homeserver: &Synapse, localpart: &str) -> Result<MatrixUser> {
        let user_id = format!("@{localpart}:{}", homeserver.server_name());
        let mut people = self.people.lock().await;
        if let Some(user) = people.get(&user_id) {
            return Ok(user.clone());
        }
        let user = homeserver.register(localpart).await?;
        people.insert(user_id, user.clone());
        Ok(user)
    }

    /// The bridge's own account on Matrix, with the application service's token: to
    /// do what it has the power for in the rooms that it made.
    ///
    /// # Errors
    /// When the homeserver's address is none.
    pub fn matrix_bot(&self) -> Result<MatrixUser> {
        let login = json!({
            "user_id": self.user_id("rocketchatbot"),
            "access_token": self.bridge.as_token(),
        });
        let bot = MatrixUser::from_login(self.synapse.base_url(), &login, "")?;
        Ok(bot.with_evidence(self.evidence.clone()))
    }

    /// The Rocket.Chat person of this name: made at first, the same afterwards.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn rocket_user(&self, username: &str) -> Result<RocketUser> {
        self.rocketchat.user(username).await
    }

    /// Rocket.Chat's administrator.
    pub fn rocket_admin(&self) -> &RocketUser {
        self.rocketchat.admin()
    }

    /// Rocket.Chat's id of one of [`WorldOptions::channels`].
    ///
    /// # Errors
    /// When it was not among them.
    pub fn channel(&self, name: &str) -> Result<&str> {
        let rid = self.channels.get(name);
        rid.map(String::as_str)
            .with_context(|| format!("{name} is not among the world's channels"))
    }

    /// `@localpart:server`.
    pub fn user_id(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.synapse.server_name())
    }

    /// The Matrix user that stands for a Rocket.Chat user.
    pub fn ghost(&self, username: &str) -> String {
        self.user_id(&format!("_rocketchat_{username}"))
    }

    /// The Rocket.Chat user name of the one that stands for a Matrix user.
    pub fn puppet(&self, localpart: &str) -> String {
        self.puppet_of(&self.user_id(localpart))
    }

    /// The Rocket.Chat user name of the one that stands for a Matrix user of any
    /// homeserver.
    pub fn puppet_of(&self, user_id: &str) -> String {
        let name = user_id.trim_start_matches('@').replacen(':', "_", 1);
        format!("mx_{}", name.replace(':', "-"))
    }

    /// The alias that opens the portal of a channel.
    pub fn alias(&self, channel: &str) -> String {
        format!("#_rocketchat_{channel}:{}", self.synapse.server_name())
    }

    /// Changes a setting of Rocket.Chat, as its administrator.
    ///
    /// # Errors
    /// When there is no such setting.
    pub async fn change_setting(&self, id: &str, value: Value) -> Result<()> {
        let endpoint = format!("settings/{id}");
        self.rocket_admin()
            .post(&endpoint, json!({ "value": value }))
            .await?;
        Ok(())
    }

    /// Gives a Matrix user power in a portal's room, as its maker, the bridge's bot,
    /// can. The bridge takes levels back that stand for a role which somebody does not
    /// have on Rocket.Chat, when it looks.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn give_power(&self, room: &str, user_id: &str, level: i64) -> Result<()> {
        self.change_levels(room, |levels| levels["users"][user_id] = json!(level))
            .await
    }

    /// Lets a Matrix user take away what others wrote and set the picture in a portal's
    /// room, as its maker, the bridge's bot, can: without the level of a moderator, which
    /// is for who is one on Rocket.Chat.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn let_tidy(&self, room: &str, user_id: &str) -> Result<()> {
        const LEVEL: i64 = 40;
        self.change_levels(room, |levels| {
            levels["users"][user_id] = json!(LEVEL);
            levels["redact"] = json!(LEVEL);
            levels["events"]["m.room.avatar"] = json!(LEVEL);
        })
        .await
    }

    async fn change_levels(&self, room: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let bearer = format!("Bearer {}", self.bridge.as_token());
        let bot = Api::new(self.synapse.base_url(), &[("authorization", &bearer)])?;
        let path = format!(
            "/_matrix/client/v3/rooms/{}/state/m.room.power_levels/",
            escape(room)
        );
        let mut levels = bot.json("GET", &path, None).await?;
        change(&mut levels);
        bot.json("PUT", &path, Some(&levels)).await?;
        Ok(())
    }

    /// Waits for a condition; shows the ends of all logs when it does not come.
    ///
    /// # Errors
    /// As [`eventually`].
    pub async fn eventually<T>(
        &self,
        what: &str,
        condition: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let outcome = eventually(what, crate::DEADLINE, condition).await;
        self.evidence.explain(outcome)
    }

    /// Adds the ends of all logs to what went wrong.
    ///
    /// # Errors
    /// The given one.
    pub fn explain<T>(&self, outcome: Result<T>) -> Result<T> {
        self.evidence.explain(outcome)
    }

    /// Where all files of this world are.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until one of the three ends by itself, which none should; says
    /// which.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub async fn first_to_end(&self) -> Result<String> {
        loop {
            let ends = [
                ("Synapse", self.synapse.exit_status()?),
                ("the Rocket.Chat simulator", self.rocketchat.exit_status()?),
                ("the bridge", self.bridge.exit_status()?),
            ];
            let ended = ends.iter().find_map(|(name, end)| Some((name, (*end)?)));
            if let Some((name, status)) = ended {
                return Ok(format!("{name} ended: {status}"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }

    /// Stops everything in order: the bridge first.
    ///
    /// # Errors
    /// When something does not end by itself; it is killed then.
    pub async fn stop(self) -> Result<()> {
        let mut ends = vec![
            self.bridge.stop().await.map(drop),
            self.rocketchat.stop().await,
            self.synapse.stop().await,
        ];
        for other in &self.others {
            ends.push(other.stop().await);
        }
        ends.into_iter().collect()
    }
}

async fn make_channel(admin: &RocketUser, name: &str) -> Result<String> {
    // A Rocket.Chat may bring `general` along.
    match admin.channel_id(name).await {
        Ok(rid) => Ok(rid),
        Err(_) => admin.create_channel(name, &[]).await,
    }
}

fn take_ports(preferred: Option<[u16; 3]>) -> Result<[PortLease; 3]> {
    match preferred {
        Some([synapse, rocket, bridge]) => Ok([
            PortLease::prefer(synapse)?,
            PortLease::prefer(rocket)?,
            PortLease::prefer(bridge)?,
        ]),
        None => Ok([PortLease::any()?, PortLease::any()?, PortLease::any()?]),
    }
}

/// The place of the bridge's own homeserver among so many others, and theirs.
fn federation_of(others: usize) -> Result<(Option<Federation>, Vec<Federation>)> {
    if others == 0 {
        return Ok((None, Vec::new()));
    }
    let ports: Vec<_> = (0..=others)
        .map(|_| PortLease::any())
        .collect::<Result<_>>()?;
    let peers: Vec<_> = ports.iter().map(Federation::server_name).collect();
    let mut all = ports.into_iter().map(|port| Federation {
        port,
        peers: peers.clone(),
    });
    Ok((all.next(), all.collect()))
}

async fn start_other(
    directory: PathBuf,
    federation: Federation,
    evidence: Evidence,
) -> Result<Synapse> {
    let mut options = SynapseOptions::new(directory, PortLease::any()?);
    options.federation = Some(federation);
    options.evidence = evidence;
    Synapse::start(options).await
}

fn bridge_config(
    options: &WorldOptions,
    (homeserver_url, server_name): (&str, &str),
    bridge_url: &str,
    (rocket_url, bot_id, token): (&str, &str, &str),
) -> Result<Value> {
    let listen = bridge_url.trim_start_matches("http://");
    let admins: Vec<String> = options
        .bridge_admins
        .iter()
        .map(|localpart| format!("@{localpart}:{server_name}"))
        .collect();
    let mut config = json!({
        "homeserver": { "url": homeserver_url, "server_name": server_name },
        "appservice": {
            "registration": "registration.yaml",
            "listen": listen,
            "url": bridge_url,
        },
        "rocketchat": { "url": rocket_url, "user_id": bot_id, "token": token },
        "bridge": {
            "admins": admins,
            "channels": options.channels,
            // A busy machine is no reason for messages to be late.
            "late_after_seconds": 600,
        },
        "store": { "path": "data" },
        "log": { "level": options.log },
    });
    merge(&mut config, &options.extra_config)?;
    Ok(config)
}

/// Puts `extra` over `base`: objects key by key, anything else replaced.
pub(crate) fn merge(base: &mut Value, extra: &Value) -> Result<()> {
    let (Value::Object(base), Value::Object(extra)) = (base, extra) else {
        bail!("configuration to merge must be an object, not {extra}");
    };
    for (key, value) in extra {
        match base.get_mut(key) {
            Some(old) if old.is_object() && value.is_object() => merge(old, value)?,
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}

/// The directory of a world.
#[derive(Debug)]
enum Place {
    Given(PathBuf),
    Temporary(Option<TempDir>),
}

impl Place {
    fn new(given: Option<&Path>) -> Result<Self> {
        match given {
            Some(path) => {
                std::fs::create_dir_all(path)?;
                Ok(Self::Given(path.canonicalize()?))
            }
            None => Ok(Self::Temporary(Some(
                tempfile::Builder::new().prefix("testbed-").tempdir()?,
            ))),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(Some(directory)) => directory.path(),
            // Only while being dropped.
            Self::Temporary(None) => Path::new("."),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Temporary(directory) = self
            && (std::env::var_os("TESTBED_KEEP").is_some() || std::thread::panicking())
            && let Some(directory) = directory.take()
        {
            eprintln!("kept for you to look at: {}", directory.keep().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_configuration_replaces_single_keys() -> Result<()> {
        let mut config = json!({ "bridge": { "admins": [], "channels": ["a"] }, "log": 1 });
        merge(&mut config, &json!({ "bridge": { "channels": ["b"] } }))?;
        let expected = json!({ "bridge": { "admins": [], "channels": ["b"] }, "log": 1 });
        assert_eq!(config, expected);
        Ok(())
    }
}
