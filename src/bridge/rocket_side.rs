//! The bridge's own presence on Rocket.Chat: its account, its socket, and what
//! the server at hand can do.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{Mutex, mpsc};

use super::Bridge;
use crate::config::{Relaying, RocketLogin};
use crate::retry::{Advice, Backoff, Retryable as _};
use crate::rocketchat::documents::User;
use crate::rocketchat::realtime::{self, Event, Logged, OwnEvent, Realtime, Stream};
use crate::rocketchat::rest::{Client, Credentials, Session};
use crate::rocketchat::version::ServerVersion;
use crate::rocketchat::{self, RocketRoomId, Username};
use crate::secret::Secret;
use crate::store::StoreError;

/// Settings that tell of Rocket.Chat's own federation, by generation.
const OWN_FEDERATION: [&str; 3] = [
    "Federation_Matrix_enabled",
    "Federation_Service_Enabled",
    "FEDERATION_Enabled",
];

/// Whether clients send unknown commands as messages.
const SLASH_AS_TEXT: &str = "Message_AllowUnrecognizedSlashCommand";

/// The bridge on Rocket.Chat, connected.
pub(super) struct RocketSide {
    pub client: Client,
    /// The bridge's own account.
    pub bot: Session,
    /// Which Rocket.Chat it is.
    pub version: ServerVersion,
    realtime: Arc<Mutex<Option<Realtime>>>,
}

/// Why the bridge cannot work with this Rocket.Chat, and what to do.
#[derive(Debug, Error)]
pub enum RocketProblem {
    /// The account is refused.
    #[error(
        "{0}. Check rocketchat.user_id and rocketchat.token: make a personal access token with \"ignore two factor authentication\" under My Account, or give rocketchat.username and rocketchat.password"
    )]
    Login(rocketchat::Error),
    /// The account lacks a role.
    #[error(
        "the bridge's account {username:?} on Rocket.Chat lacks the role {role}: give it under Administration, Users (it needs admin, to make accounts for Matrix users, and bot, to speak without being rate limited)"
    )]
    Role {
        /// The account.
        username: String,
        /// What it lacks.
        role: &'static str,
    },
    /// Too old.
    #[error("Rocket.Chat {0} is not supported; the bridge works with 6.0 and later")]
    Version(String),
    /// Another Rocket.Chat than before.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something permanent at the first conversation.
    #[error("what answers at rocketchat.url cannot be used as a Rocket.Chat: {0}")]
    Other(rocketchat::Error),
}

impl RocketSide {
    /// Logs an account in by password. Over REST first; where that is limited
    /// (10 logins a minute for all accounts behind one address), over a socket of
    /// its own, which is limited for itself.
    pub(super) async fn log_in(
        &self,
        username: &Username,
        password: &Secret,
    ) -> Result<Credentials, rocketchat::Error> {
        match self.client.login(username.as_str(), password).await {
            Err(rocketchat::Error::RateLimited { .. }) => {
                realtime::login_once(self.client.base_url(), username, password).await
            }
            outcome => outcome,
        }
    }

    /// From now on deletions in a room are heard of.
    pub(super) async fn follow_deletions(&self, rid: &RocketRoomId) {
        self.follow(Stream::Deletions(rid.clone())).await;
    }

    /// From now on the bridge's socket brings this too.
    pub(super) async fn follow(&self, stream: Stream) {
        if let Some(realtime) = self.realtime.lock().await.as_ref() {
            realtime.subscribe(stream).await;
        }
    }

    /// From now on it does not.
    pub(super) async fn unfollow(&self, stream: Stream) {
        if let Some(realtime) = self.realtime.lock().await.as_ref() {
            realtime.unsubscribe(stream).await;
        }
    }

    /// From now on deletions in a room are nobody's concern.
    pub(super) async fn leave_deletions(&self, rid: &RocketRoomId) {
        if let Some(realtime) = self.realtime.lock().await.as_ref() {
            realtime.unsubscribe(Stream::Deletions(rid.clone())).await;
        }
    }

    pub(super) async fn stop(&self) {
        if let Some(realtime) = self.realtime.lock().await.take() {
            realtime.shutdown().await;
        }
    }

    /// The same with another token, for requests from now on and for the socket.
    pub(super) async fn with_credentials(
        &self,
        login: &RocketLogin,
        credentials: Credentials,
    ) -> Self {
        if let Some(realtime) = self.realtime.lock().await.as_ref() {
            realtime.set_credentials(credentials.clone());
        }
        Self {
            client: self.client.clone(),
            bot: bot_session(login, &self.client, credentials),
            version: self.version,
            realtime: Arc::clone(&self.realtime),
        }
    }
}

/// How the bridge's account proves itself; a new token each time when it logs in by
/// password.
///
/// # Errors
/// As [`Client::login`].
pub async fn bot_credentials(
    login: &RocketLogin,
    client: &Client,
) -> Result<Credentials, rocketchat::Error> {
    match login {
        RocketLogin::Token { user_id, token } => Ok(Credentials {
            user_id: user_id.as_str().into(),
            token: token.clone(),
        }),
        RocketLogin::Password { username, password } => client.login(username, password).await,
    }
}

/// The bridge's account at work, with what [`bot_credentials`] gave.
pub fn bot_session(login: &RocketLogin, client: &Client, credentials: Credentials) -> Session {
    let session = client.session(credentials);
    match login {
        RocketLogin::Token { .. } => session,
        RocketLogin::Password { password, .. } => session.with_password(password),
    }
}

/// Tells the administrator when Rocket.Chat's own federation is on.
pub(super) fn warn_of_federation(setting: &str, value: Option<&serde_json::Value>) {
    if OWN_FEDERATION.contains(&setting) && value.and_then(serde_json::Value::as_bool) == Some(true)
    {
        tracing::warn!(
            setting,
            "Rocket.Chat's own federation is on: its rooms and users are left alone"
        );
    }
}

impl Bridge {
    /// The Rocket.Chat side, once it has been reached.
    pub(super) async fn rocket(&self) -> Arc<RocketSide> {
        let mut state = self.rocket.subscribe();
        loop {
            if let Some(side) = state.borrow_and_update().as_ref() {
                return Arc::clone(side);
            }
            // The sender lives in self: the wait cannot fail.
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The Rocket.Chat side, if it has been reached.
    pub(super) fn rocket_if_there(&self) -> Option<Arc<RocketSide>> {
        self.rocket.borrow().clone()
    }

    /// Reaches Rocket.Chat for the first time, waiting for it while it is away,
    /// and begins to listen.
    ///
    /// # Errors
    /// What is wrong and how to mend it, when waiting cannot help.
    pub async fn connect_rocketchat(self: &Arc<Self>) -> Result<(), RocketProblem> {
        let client =
            Client::new(self.config.rocketchat.url.clone()).map_err(RocketProblem::Other)?;
        let mut backoff = Backoff::default();
        let (credentials, me) = loop {
            match self.enter(&client).await {
                Ok(entered) => break entered,
                Err(error) => match error.advice() {
                    Advice::Retry { after, .. } => {
                        tracing::warn!(%error, url = %client.base_url(), "waiting for Rocket.Chat: is rocketchat.url right, and is it running?");
                        tokio::time::sleep(backoff.next_pause(after)).await;
                    }
                    Advice::GiveUp if error.is_unauthorized() => {
                        return Err(RocketProblem::Login(error));
                    }
                    Advice::GiveUp => return Err(RocketProblem::Other(error)),
                },
            }
        };
        for role in ["admin", "bot"] {
            if !me.roles.iter().any(|has| has == role) {
                return Err(RocketProblem::Role {
                    username: me.username.map(Username::into_string).unwrap_or_default(),
                    role,
                });
            }
        }
        let login = &self.config.rocketchat.login;
        let bot = bot_session(login, &client, credentials.clone());
        let version = self.look_at_server(&bot).await?;
        self.let_slash_commands_be_text(&bot).await;
        let mut streams = vec![
            Stream::MyMessages,
            Stream::Own(OwnEvent::SubscriptionsChanged),
            Stream::All("public-settings-changed".to_owned()),
            Stream::Logged(Logged::AVATAR.to_owned()),
            Stream::Logged(Logged::NAME.to_owned()),
            Stream::Logged(Logged::GONE.to_owned()),
            Stream::Logged(Logged::EMOJI[0].to_owned()),
            Stream::Logged(Logged::EMOJI[1].to_owned()),
            Stream::Logged(Logged::ROLES.to_owned()),
            Stream::Logged(Logged::PERMISSIONS.to_owned()),
        ];
        if self.config.bridge.presence.to_matrix() {
            streams.push(Stream::Logged(Logged::STATUS.to_owned()));
        }
        let (realtime, events) = realtime::start(realtime::Options::new(
            client.base_url().clone(),
            credentials,
            streams,
        ));
        self.rocket.send_replace(Some(Arc::new(RocketSide {
            client,
            bot,
            version,
            realtime: Arc::new(Mutex::new(Some(realtime))),
        })));
        self.listen_to_rocketchat(events);
        if self.config.bridge.relay != Relaying::Never {
            let bridge = Arc::clone(self);
            tokio::spawn(async move { bridge.check_names().await });
        }
        Ok(())
    }

    /// Switches on that clients send what begins with a slash and is no command of
    /// theirs, where the configuration says so.
    async fn let_slash_commands_be_text(&self, bot: &Session) {
        if !self.config.commands.slash_as_text {
            return;
        }
        let now = bot.public_settings(&[SLASH_AS_TEXT]).await;
        if now.is_ok_and(|now| now.get(SLASH_AS_TEXT) == Some(&true.into())) {
            return;
        }
        let set = crate::retry::with_retries(5, || bot.set_setting(SLASH_AS_TEXT, true.into()));
        match set.await {
            Ok(()) => tracing::info!(setting = SLASH_AS_TEXT, "switched on"),
            Err(error) => tracing::warn!(
                %error,
                setting = SLASH_AS_TEXT,
                "cannot be switched on: an administrator of Rocket.Chat can, or `!matrix` does the same"
            ),
        }
    }

    fn listen_to_rocketchat(self: &Arc<Self>, events: mpsc::Receiver<Event>) {
        tokio::spawn(Arc::clone(self).route_rocketchat(events));
        tokio::spawn(Arc::clone(self).look_for_rooms());
        tokio::spawn(Arc::clone(self).look_for_changed_rooms());
        tokio::spawn(Arc::clone(self).go_round_puppets());
        tokio::spawn(Arc::clone(self).watch_direct_messages());
        tokio::spawn(Arc::clone(self).go_round_direct_messages());
        self.tidy_left_rooms();
    }

    /// Logs in and looks at the own account.
    async fn enter(&self, client: &Client) -> Result<(Credentials, User), rocketchat::Error> {
        let credentials = bot_credentials(&self.config.rocketchat.login, client).await?;
        let me = client.session(credentials.clone()).me().await?;
        Ok((credentials, me))
    }

    async fn look_at_server(&self, bot: &Session) -> Result<ServerVersion, RocketProblem> {
        let info = crate::retry::with_retries(20, || bot.info())
            .await
            .map_err(RocketProblem::Other)?;
        if !info.version.is_supported() {
            return Err(RocketProblem::Version(info.version_text));
        }
        let asked = [
            "uniqueID",
            OWN_FEDERATION[0],
            OWN_FEDERATION[1],
            OWN_FEDERATION[2],
        ];
        let settings = crate::retry::with_retries(20, || bot.public_settings(&asked))
            .await
            .map_err(RocketProblem::Other)?;
        if let Some(unique_id) = settings.get("uniqueID").and_then(|id| id.as_str()) {
            self.store.claim_workspace(unique_id)?;
        }
        for setting in OWN_FEDERATION {
            warn_of_federation(setting, settings.get(setting));
        }
        tracing::info!(version = info.version_text, "connected to Rocket.Chat");
        Ok(info.version)
    }
}
