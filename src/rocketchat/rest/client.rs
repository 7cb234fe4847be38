//! The one place that sends requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use super::answer;
use crate::media::Patience;
use crate::rocketchat::error::{Error, TwoFactorKind};
use crate::rocketchat::ids::RocketUserId;
use crate::rocketchat::password::password_digest;
use crate::secret::Secret;

/// Largest answer that is accepted, in bytes.
pub(super) const ANSWER_LIMIT: usize = 32 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole request, and between two parts of an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection for files is kept. The server closes its own after 5 s (Node's
/// default): a file sent into one that is just being closed is in doubt without need.
const IDLE: Duration = Duration::from_secs(4);
/// The kind of second factor that a password is.
const PASSWORD: &str = "password";
/// For a whole request whose answer may be larger than [`ANSWER_LIMIT`].
const LONG_TIMEOUT: Duration = Duration::from_secs(600);

/// A Rocket.Chat server, without an account. Cheap to clone; clones share their
/// connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// For files, which may take as long as they need.
    pub(super) transfers: reqwest::Client,
    pub(super) patience: Patience,
    base: Arc<Url>,
}

/// What proves to be an account: the answer to a login, or a personal access token
/// with the user it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The account.
    pub user_id: RocketUserId,
    /// Its token.
    pub token: Secret,
}

/// One account acting on a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    client: Client,
    user_id: RocketUserId,
    token: Secret,
    /// What some endpoints ask for besides.
    second_factor: Option<Secret>,
}

/// One request on its way: what differs from endpoint to endpoint.
#[derive(Clone)]
pub(super) struct Request<'a> {
    pub method: Method,
    /// Below the base, already split: each part is percent-encoded.
    pub path: &'a [&'a str],
    pub query: Vec<(&'a str, String)>,
    pub body: Option<serde_json::Value>,
    pub limit: usize,
    /// The second factor, where one was asked for.
    pub code: Option<&'a Secret>,
}

impl<'a> Request<'a> {
    pub fn get(path: &'a [&'a str]) -> Self {
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            body: None,
            limit: ANSWER_LIMIT,
            code: None,
        }
    }

    pub fn post(path: &'a [&'a str], body: serde_json::Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            ..Self::get(path)
        }
    }

    pub fn query(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Client {
    /// A client for the server at `base` (`http` or `https`, a path is kept).
    /// Redirects are not followed: they would carry the token elsewhere.
    ///
    /// # Errors
    /// [`Error::Refused`] when `base` is no address of a web server
    /// (`invalid-server-address`) or TLS cannot be set up (`no-tls`).
    pub fn new(base: Url) -> Result<Self, Error> {
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(Error::refused("invalid-server-address"));
        }
        let builder = || {
            reqwest::Client::builder()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .user_agent(concat!(
                    env!("CARGO_PKG_NAME"),
                    "/",
                    env!("CARGO_PKG_VERSION")
                ))
        };
        let no_tls = |_| Error::refused("no-tls");
        Ok(Self {
            http: builder().read_timeout(TIMEOUT).build().map_err(no_tls)?,
            transfers: builder().pool_idle_timeout(IDLE).build().map_err(no_tls)?,
            patience: Patience::default(),
            base: Arc::new(base),
        })
    }

    /// The server's address, as given.
    pub fn base_url(&self) -> &Url {
        &self.base
    }

    /// Acts as an account. Nothing is sent: whether the token is accepted shows at
    /// the first request.
    pub fn session(&self, credentials: Credentials) -> Session {
        Session {
            client: self.clone(),
            user_id: credentials.user_id,
            token: credentials.token,
            second_factor: None,
        }
    }

    /// # Errors
    /// `invalid-address` when a part of the path would lead to another place.
    pub(super) fn address(&self, path: &[&str]) -> Result<Url, Error> {
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Error::refused("invalid-address"));
        }
        let mut url = (*self.base).clone();
        url.set_query(None);
        url.set_fragment(None);
        url.path_segments_mut()
            .map_err(|()| Error::refused("invalid-server-address"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// Sends a request and returns the body of its good answer.
    pub(super) async fn bytes(
        &self,
        request: Request<'_>,
        credentials: Option<(&RocketUserId, &Secret)>,
    ) -> Result<Vec<u8>, Error> {
        let timeout = if request.limit > ANSWER_LIMIT {
            LONG_TIMEOUT
        } else {
            TIMEOUT
        };
        let mut builder = self
            .http
            .request(request.method.clone(), self.address(request.path)?)
            .timeout(timeout);
        if !request.query.is_empty() {
            builder = builder.query(&request.query);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        if let Some((user_id, token)) = credentials {
            builder = builder.headers(auth_headers(user_id, token)?);
        }
        if let Some(code) = request.code {
            builder = builder
                .header("x-2fa-method", PASSWORD)
                .header("x-2fa-code", sensitive(code.expose())?);
        }
        let started = Instant::now();
        let outcome = async {
            let response = builder.send().await.map_err(|e| answer::transport(&e))?;
            answer::body(response, request.limit).await
        }
        .await;
        tracing::debug!(
            method = %request.method,
            // Without what follows it, which may be somebody's.
            endpoint = request.path.iter().take(3).copied().collect::<Vec<_>>().join("/"),
            ms = started.elapsed().as_millis() as u64,
            ok = outcome.is_ok(),
            "called Rocket.Chat"
        );
        outcome
    }

    /// Fetches a file that is there for everybody: no token goes along.
    pub(super) async fn file(&self, path: &[&str], limit: usize) -> Result<Vec<u8>, Error> {
        let request = self.http.get(self.address(path)?).timeout(TIMEOUT);
        let response = request.send().await.map_err(|e| answer::transport(&e))?;
        answer::file(response, limit).await
    }

    /// Sends a request and reads its good answer.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        credentials: Option<(&RocketUserId, &Secret)>,
    ) -> Result<T, Error> {
        let body = self.bytes(request, credentials).await?;
        answer::parse(&body)
    }
}

impl Session {
    /// The server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The account that acts.
    pub fn user_id(&self) -> &RocketUserId {
        &self.user_id
    }

    /// The same for an account that is logged in by this password, which some endpoints
    /// ask for once more (`users.update`, `settings/:id`; Rocket.Chat remembers it for half
    /// an hour). Tokens made with "ignore two factor authentication" need none.
    #[must_use]
    pub fn with_password(mut self, password: &Secret) -> Self {
        self.second_factor = Some(password_digest(password));
        self
    }

    pub(super) async fn bytes(&self, request: Request<'_>) -> Result<Vec<u8>, Error> {
        let credentials = Some((&self.user_id, &self.token));
        let Some(code) = &self.second_factor else {
            return self.client.bytes(request, credentials).await;
        };
        match self.client.bytes(request.clone(), credentials).await {
            Err(Error::TwoFactor {
                kind: TwoFactorKind::Required,
                method,
                ..
            }) if method.as_deref() == Some(PASSWORD) => {
                let code = Some(code);
                self.client
                    .bytes(Request { code, ..request }, credentials)
                    .await
            }
            outcome => outcome,
        }
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Error> {
        answer::parse(&self.bytes(request).await?)
    }

    pub(super) fn credentials(&self) -> (&RocketUserId, &Secret) {
        (&self.user_id, &self.token)
    }
}

pub(super) fn auth_headers(user_id: &RocketUserId, token: &Secret) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert("x-auth-token", sensitive(token.expose())?);
    headers.insert("x-user-id", sensitive(user_id.as_str())?);
    Ok(headers)
}

fn sensitive(text: &str) -> Result<HeaderValue, Error> {
    // A token that no header can carry was never given out by a server.
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::Unauthorized {
        code: None,
        text: Default::default(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
