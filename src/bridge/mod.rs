//! The domain: what is mirrored, to whom, in which order.
//!
//! An event from Matrix comes in through [`listener`], lies on disk before the
//! homeserver is answered, waits in its room's queue and is delivered by
//! [`from_matrix`]. A document from Rocket.Chat comes in through [`router`] (or
//! is read back by [`catch_up`]), waits in its room's queue and is delivered by
//! [`from_rocketchat`].

mod abilities;
mod app_door;
mod audit;
mod before_join;
mod breaker;
mod catch_up;
mod command_line;
mod context;
mod cursor;
mod custom_emoji;
mod dead_letters;
mod derived;
mod direct;
mod direct_sockets;
mod direct_watch;
mod endings;
mod ephemeral;
mod faces;
mod failure;
mod file_links;
mod file_readers;
mod from_matrix;
mod from_rocketchat;
mod gate;
mod ghosts;
mod hearing;
mod homeserver_watch;
mod keyed_lock;
mod known_members;
mod lane;
mod linking;
mod listener;
mod look_queue;
mod loops;
mod marker;
mod membership;
mod mirrored_rooms;
mod missed_commands;
mod openings;
mod pace;
mod perseverance;
mod plumbing;
mod portals;
mod power;
mod provision;
mod puppets;
mod queues;
mod remote_join;
mod rocket_commands;
mod rocket_side;
mod room_state;
mod router;
mod server_rules;
mod server_settings;
mod spool;
mod standing;
mod states;
mod third_party;
mod transactions;
mod unreadable;
mod upgrade;
mod upload_limit;
mod voice;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::watch;

use crate::config::{Config, Registration};
use crate::matrix;
use crate::rocketchat::{RocketMessageId, RocketRoomId, RocketUserId};
use crate::store::{PortalId, Store};

pub use abilities::Abilities;
pub use app_door::secret as app_secret;
pub use command_line::{CommandLine, Given, Reply};
pub use context::{Context, Door, Who};
pub use direct::{Named, OpenedDirect};
pub use failure::Failure;
use from_matrix::Waiting;
use from_rocketchat::Job;
use gate::Gate;
use hearing::Rooms;
use keyed_lock::KeyedLock;
pub use listener::BridgeHandler;
pub use membership::Removal;
pub use plumbing::Wishes;
use queues::Queues;
pub use remote_join::in_words;
use rocket_side::RocketSide;
pub use rocket_side::{RocketProblem, bot_credentials, bot_session};
pub use states::{BridgeState, PortalState, one_line};
pub use voice::RelayStatus;

/// How long work under way may take to end when the bridge stops. What does not
/// end by then is taken up again at the next start.
const PATIENCE_AT_STOP: Duration = Duration::from_secs(10);

/// Both sides, the store, and the queues between them.
pub struct Bridge {
    config: Arc<Config>,
    registration: Registration,
    store: Store,
    commands: Box<dyn CommandLine>,
    matrix: matrix::Client,
    /// Acts as users of the homeserver, where an administrator has granted it.
    double_puppets: Option<matrix::Client>,
    /// Wakes the task that marks direct messages for them.
    marking: tokio::sync::Notify,
    /// Absent until Rocket.Chat has been reached for the first time.
    rocket: watch::Sender<Option<Arc<RocketSide>>>,
    matrix_gate: Gate,
    rocket_gate: Gate,
    /// Matrix events by Matrix room.
    to_rocket: Queues<OwnedRoomId, Waiting>,
    /// Rocket.Chat documents by portal.
    to_matrix: Queues<PortalId, Job>,
    /// What the App on Rocket.Chat was answered.
    answered: app_door::Answered,
    paces: pace::Paces,
    /// Commands given on Rocket.Chat, by who gives them.
    asked: Queues<RocketUserId, RocketMessageId>,
    /// Shared by all who try something on either server.
    attempts: tokio::sync::Semaphore,
    upload_limit_seen: upload_limit::LastSeen,
    last_readers: file_readers::LastReaders,
    /// Shared by all who move a file; taken before a place among those who try.
    transfers: tokio::sync::Semaphore,
    rooms: Rooms,
    /// Whether the rooms have been read back in which people talked last.
    newest_read: watch::Sender<bool>,
    read_backs: tokio::sync::Semaphore,
    /// As `read_backs`, for rooms in which somebody speaks before their turn.
    first_read_backs: tokio::sync::Semaphore,
    reading_first: Mutex<std::collections::HashSet<PortalId>>,
    /// As `read_backs`, for whoever looks into a room for what it has done. It is of its
    /// own because those hold a place of `attempts`, for which who reads back waits.
    looks: tokio::sync::Semaphore,
    /// Shared by all for whom people and channels are looked up, each with several requests.
    look_ups: tokio::sync::Semaphore,
    /// Rooms that have been read back in this run.
    rooms_read: Mutex<std::collections::HashSet<PortalId>>,
    homeserver: homeserver_watch::HomeserverWatch,
    transactions: Mutex<transactions::Transactions>,
    /// When the bridge's account was last logged in anew.
    last_renewal: Mutex<Option<std::time::Instant>>,
    /// Wakes the task that looks after the homeserver.
    look_at_homeserver: tokio::sync::Notify,
    making_ghost: KeyedLock<RocketUserId>,
    /// Held while a localpart is chosen, so that two people cannot get the same.
    choosing_localpart: tokio::sync::Mutex<()>,
    making_puppet: KeyedLock<OwnedUserId>,
    making_portal: KeyedLock<RocketRoomId>,
    /// Held, before `making_portal`, while the people of a room get a private group.
    gathering: KeyedLock<OwnedRoomId>,
    /// Held while the space of a team is made or changed.
    making_space: KeyedLock<String>,
    /// Held while a room's power levels are read, changed and written.
    changing_power: KeyedLock<OwnedRoomId>,
    /// Held while a room's pinned events are read, changed and written.
    pinning: KeyedLock<PortalId>,
    /// Held while reactions to a message are looked at or changed: Rocket.Chat
    /// loses some of those that it gets at once.
    reacting: KeyedLock<RocketMessageId>,
    bringing_emoji: KeyedLock<String>,
    settings_seen: server_settings::LastSeen,
    emoji_seen: custom_emoji::LastSeen,
    pictures_named: from_rocketchat::Named,
    faces: faces::Faces,
    ephemerals: ephemeral::Ephemerals,
    linking: linking::Linking,
    members: membership::Members,
    room_states: room_state::RoomStates,
    unmirrored: openings::Unmirrored,
    plumbing: plumbing::Plumbing,
    rounds: endings::Rounds,
    breaker: breaker::Breaker,
    known_members: known_members::KnownMembers,
    known_rules: known_members::KnownRules,
    uploads: from_matrix::UnderWay,
    /// Portals whose people have been told that something was carried on too often.
    told_of_hops: Mutex<std::collections::HashSet<PortalId>>,
    encryption_asked: unreadable::Asked,
    /// Rooms of direct messages in which the Matrix user is known to be.
    persons_in: Mutex<std::collections::HashSet<OwnedRoomId>>,
    direct_watch: direct_watch::Seen,
    file_downloads: file_links::Downloads,
    remote_joins: remote_join::RemoteJoins,
    direct_sockets: direct_sockets::DirectSockets,
    create_token_works: AtomicBool,
    voices: voice::Voices,
}

impl Bridge {
    /// Puts the parts together. Nothing is sent yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        config: Config,
        registration: Registration,
        store: Store,
        commands: Box<dyn CommandLine>,
    ) -> Result<Arc<Self>, matrix::Error> {
        let config = Arc::new(config);
        let matrix = matrix::Client::new(
            config.homeserver.url.clone(),
            registration.as_token.clone(),
            config.appservice.bot.clone(),
        )?;
        let double_puppets = config
            .appservice
            .double_puppet_token
            .clone()
            .map(|token| {
                matrix::Client::new(
                    config.homeserver.url.clone(),
                    token,
                    config.appservice.bot.clone(),
                )
            })
            .transpose()?;
        // Unreadable is as unknown.
        let last_transaction = store.last_transaction().ok().flatten();
        Ok(Arc::new_cyclic(|weak: &std::sync::Weak<Self>| {
            let for_rocket = weak.clone();
            let for_matrix = weak.clone();
            let for_asked = weak.clone();
            Self {
                to_rocket: Queues::new(move |room, waiting| {
                    let bridge = for_rocket.upgrade();
                    async move {
                        if let Some(bridge) = bridge {
                            bridge.work_event(room, waiting).await;
                        }
                    }
                }),
                to_matrix: Queues::new(move |portal, job| {
                    let bridge = for_matrix.upgrade();
                    async move {
                        if let Some(bridge) = bridge {
                            bridge.work_document(portal, job).await;
                        }
                    }
                }),
                asked: Queues::new(move |_, message| {
                    let bridge = for_asked.upgrade();
                    async move {
                        if let Some(bridge) = bridge {
                            bridge.work_asked(message).await;
                        }
                    }
                }),
                answered: app_door::Answered::default(),
                paces: pace::Paces::default(),
                config,
                registration,
                store,
                commands,
                matrix,
                double_puppets,
                marking: tokio::sync::Notify::new(),
                rocket: watch::Sender::new(None),
                matrix_gate: Gate::new("homeserver"),
                rocket_gate: Gate::new("Rocket.Chat"),
                attempts: tokio::sync::Semaphore::new(perseverance::ATTEMPTS_AT_ONCE),
                upload_limit_seen: upload_limit::LastSeen::default(),
                last_readers: file_readers::LastReaders::default(),
                transfers: tokio::sync::Semaphore::new(perseverance::TRANSFERS_AT_ONCE),
                rooms: Rooms::default(),
                newest_read: watch::Sender::new(false),
                read_backs: tokio::sync::Semaphore::new(catch_up::READ_BACKS_AT_ONCE),
                first_read_backs: tokio::sync::Semaphore::new(catch_up::FIRST_AT_ONCE),
                reading_first: Mutex::default(),
                looks: tokio::sync::Semaphore::new(catch_up::READ_BACKS_AT_ONCE),
                look_ups: tokio::sync::Semaphore::new(third_party::LOOK_UPS_AT_ONCE),
                rooms_read: Mutex::default(),
                homeserver: homeserver_watch::HomeserverWatch::default(),
                transactions: Mutex::new(transactions::Transactions::after(last_transaction)),
                last_renewal: Mutex::default(),
                look_at_homeserver: tokio::sync::Notify::new(),
                making_ghost: KeyedLock::new(),
                choosing_localpart: tokio::sync::Mutex::new(()),
                making_puppet: KeyedLock::new(),
                making_portal: KeyedLock::new(),
                gathering: KeyedLock::new(),
                making_space: KeyedLock::new(),
                changing_power: KeyedLock::new(),
                pinning: KeyedLock::new(),
                reacting: KeyedLock::new(),
                bringing_emoji: KeyedLock::new(),
                settings_seen: server_settings::LastSeen::default(),
                emoji_seen: custom_emoji::LastSeen::default(),
                pictures_named: from_rocketchat::Named::default(),
                faces: faces::Faces::new(),
                ephemerals: ephemeral::Ephemerals::new(),
                linking: linking::Linking::default(),
                members: membership::Members::new(),
                room_states: room_state::RoomStates::new(),
                unmirrored: openings::Unmirrored::default(),
                plumbing: plumbing::Plumbing::new(),
                rounds: endings::Rounds::default(),
                breaker: breaker::Breaker::default(),
                known_members: known_members::KnownMembers::default(),
                known_rules: known_members::KnownRules::default(),
                uploads: from_matrix::UnderWay::default(),
                told_of_hops: Mutex::default(),
                encryption_asked: unreadable::Asked::default(),
                persons_in: Mutex::default(),
                direct_watch: direct_watch::Seen::default(),
                file_downloads: file_links::Downloads::default(),
                remote_joins: remote_join::RemoteJoins::new(),
                direct_sockets: direct_sockets::DirectSockets::default(),
                create_token_works: AtomicBool::new(true),
                voices: voice::Voices::default(),
            }
        }))
    }

    /// The configuration that the bridge works by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Begins to work: first what the inbox still holds, in its order, then
    /// whatever arrives. Must be called before the listener accepts events.
    pub fn take_up_work(self: &Arc<Self>) {
        let waiting = self.hold_inbox();
        if waiting > 0 {
            tracing::info!(waiting, "Matrix events from before the stop are taken up");
        }
        tokio::spawn(Arc::clone(self).watch_rocket());
        tokio::spawn(Arc::clone(self).tell_of_ended_links());
        tokio::spawn(Arc::clone(self).look_after_leavers());
        self.look_after_faces();
        self.look_after_ephemerals();
        self.look_after_members();
        self.look_after_rooms();
        self.take_up_asked();
        self.watch_for_ends();
        self.take_up_endings();
        self.look_after_proposals();
        self.take_up_looking_for_users();
        tokio::spawn(Arc::clone(self).forget_now_and_then());
    }

    /// Asks the homeserver whether registration and configuration agree, waiting
    /// for it while it is not up yet, and makes sure of the bot's account.
    ///
    /// # Errors
    /// What is wrong and how to mend it, when waiting cannot help.
    pub async fn check_matrix(self: &Arc<Self>) -> Result<(), matrix::StartupProblem> {
        let expected = matrix::Expected {
            server_name: self.config.homeserver.server_name.clone(),
            bot: self.config.appservice.bot.clone(),
            appservice_id: self.config.appservice.id.clone(),
            ghost_prefix: self.config.appservice.ghost_prefix.clone(),
        };
        let mut backoff = crate::retry::Backoff::default();
        loop {
            match matrix::check_registration(&self.matrix, &expected).await {
                Ok(()) => break,
                Err(problem) if problem.may_pass => {
                    tracing::warn!(
                        problem = problem.problem,
                        remedy = problem.remedy,
                        "waiting for the homeserver"
                    );
                    tokio::time::sleep(backoff.next_pause(None)).await;
                }
                Err(problem) => return Err(problem),
            }
        }
        if let Err(error) = self.set_up_bot().await {
            tracing::warn!(%error, "the bot's profile could not be set");
        }
        match self.upload_limit().await {
            Ok(Some(limit)) => tracing::info!(limit, "the largest file that the homeserver takes"),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the homeserver does not say how large files may be")
            }
        }
        tokio::spawn(Arc::clone(self).watch_homeserver());
        tokio::spawn(Arc::clone(self).watch_remote_joins());
        tokio::spawn(Arc::clone(self).mark_direct_rooms());
        self.resume_moves();
        Ok(())
    }

    async fn set_up_bot(&self) -> Result<(), matrix::Error> {
        let bot = self.matrix.bot();
        crate::retry::with_retries(10, || bot.register()).await?;
        if bot
            .display_name()
            .await?
            .is_none_or(|name| name == self.config.appservice.bot.localpart())
        {
            bot.set_display_name(Some("Rocket.Chat bridge")).await?;
        }
        Ok(())
    }

    async fn watch_rocket(self: Arc<Self>) {
        self.rocket_gate
            .watch(|| self.answers(failure::Side::RocketChat))
            .await;
    }

    async fn forget_now_and_then(self: Arc<Self>) {
        let mut daily = tokio::time::interval(Duration::from_secs(24 * 3600));
        loop {
            daily.tick().await;
            // Goes through all of them, on a thread that may take its time.
            match tokio::task::block_in_place(|| self.store.forget_old_events()) {
                Ok(forgotten) => tracing::debug!(forgotten, "old event ids are forgotten"),
                Err(error) => tracing::error!(%error, "old event ids cannot be forgotten"),
            }
            let now = crate::clock::now_ms();
            match tokio::task::block_in_place(|| self.store.forget_ended_file_links(now)) {
                Ok(forgotten) => tracing::debug!(forgotten, "links that have ended are forgotten"),
                Err(error) => tracing::error!(%error, "links that have ended cannot be forgotten"),
            }
        }
    }

    /// Lets work under way end, then makes sure that all of it is on disk. New
    /// work must have stopped coming.
    pub async fn stop(&self) {
        if let Some(rocket) = self.rocket_if_there() {
            rocket.stop().await;
        }
        self.stop_following_directs().await;
        let work = async {
            self.to_rocket.drained().await;
            self.to_matrix.drained().await;
            self.asked.drained().await;
        };
        if tokio::time::timeout(PATIENCE_AT_STOP, work).await.is_err() {
            tracing::info!("some work is left for the next start");
        }
        if let Err(error) = self.store.flushed().await {
            tracing::error!(%error, "the store could not be flushed at the end");
        }
    }
}
