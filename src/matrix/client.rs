//! The connection to the homeserver: one HTTP client, one token, one way to call.

mod answer;
#[cfg(test)]
mod tests;
mod transfer;
#[cfg(test)]
mod transfer_tests;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ruma::api::client::appservice::request_ping;
use ruma::api::client::discovery::get_supported_versions;
use ruma::{OwnedTransactionId, OwnedUserId, UserId};
use url::Url;

pub use self::transport::Limits;
pub(super) use self::transport::{ForToken, Transport, Versioned, call_of};
use super::error::Error;
use super::intent::Intent;
use crate::secret::Secret;

/// The appservice's access to its homeserver. Cheap to clone; all clones share
/// one pool of connections.
///
/// Every call is one attempt: repeating is for the caller, with
/// [`crate::retry`], who alone knows whether a repeat is harmless. Redirects are
/// not followed, so that the token goes nowhere but to the configured address.
/// The proxy variables of the environment (`HTTP_PROXY`, `HTTPS_PROXY`,
/// `NO_PROXY`) are not obeyed: a homeserver next door must not be reached by way
/// of a company's proxy.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    bot: OwnedUserId,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.bot)
    }
}

impl Client {
    /// Prepares the access; nothing is sent yet.
    ///
    /// # Errors
    /// `Kind::Request` if the address is not `http` or `https`, or the token
    /// cannot stand in a header.
    pub fn new(homeserver: Url, as_token: Secret, bot: OwnedUserId) -> Result<Self, Error> {
        Self::with_limits(homeserver, as_token, bot, Limits::default())
    }

    /// As [`Client::new`], with other bounds on time and size.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_limits(
        homeserver: Url,
        as_token: Secret,
        bot: OwnedUserId,
        limits: Limits,
    ) -> Result<Self, Error> {
        Ok(Self {
            transport: Arc::new(Transport::new(homeserver, as_token, limits)?),
            bot,
        })
    }

    /// The bridge's own account.
    pub fn bot(&self) -> Intent {
        Intent::new(Arc::clone(&self.transport), self.bot.clone(), None)
    }

    /// Any user of the appservice's namespace. The homeserver refuses
    /// (`M_FORBIDDEN`) users outside of it and those never registered.
    pub fn as_user(&self, user: OwnedUserId) -> Intent {
        if user == self.bot {
            return self.bot();
        }
        Intent::new(Arc::clone(&self.transport), user.clone(), Some(user))
    }

    /// The bridge's own user id.
    pub fn bot_id(&self) -> &UserId {
        &self.bot
    }

    /// What the homeserver can do. Needs no token, so it tells a server that is
    /// away from a token that is wrong. Safe to repeat.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn versions(&self) -> Result<get_supported_versions::Response, Error> {
        self.transport
            .call_without_token(get_supported_versions::Request::new())
            .await
    }

    /// Asks the homeserver to call our listener, and says how long that took it
    /// (Application Service API, "Pinging"). With Synapse a success also ends
    /// the back-off of transactions that could not be delivered. Safe to repeat.
    ///
    /// # Errors
    /// `M_BAD_STATUS`, `M_CONNECTION_FAILED`, `M_CONNECTION_TIMEOUT` and
    /// `M_URL_NOT_SET` say what the homeserver met; they come as
    /// [`Kind::Server`](super::Kind::Server) or [`Kind::Api`](super::Kind::Api).
    pub async fn ping(
        &self,
        appservice_id: &str,
        txn_id: Option<OwnedTransactionId>,
    ) -> Result<Duration, Error> {
        let mut request = request_ping::v1::Request::new(appservice_id.to_owned());
        request.transaction_id = txn_id;
        Ok(self.transport.call(request, None).await?.duration)
    }
}
