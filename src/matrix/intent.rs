//! One user acting: the bot, or a ghost by masquerading.

mod account_data;
mod directory;
mod events;
mod media;
mod people;
mod rooms;

use std::fmt;
use std::sync::Arc;

use ruma::api::client::account::{register, whoami};
use ruma::api::{Metadata, OutgoingRequest};
use ruma::{OwnedUserId, UserId};

pub use self::directory::{FoundRoom, FoundUser};
pub use self::events::{MessagesPage, TimelineEvent};
use super::client::{ForToken, Transport, Versioned, call_of};
use super::error::{Error, Kind};

/// One user acting through the appservice's token. Cheap to clone.
///
/// Each call is one attempt. Which may be repeated when it is not known whether
/// the first one was carried out:
///
/// * safe, the homeserver sees to it: everything that reads; `register`;
///   `set_display_name`, `set_avatar_url`, `set_profile_field`; `join`, `invite`,
///   `leave`, `kick` (the repeat may answer `M_FORBIDDEN` where the first one
///   succeeded); `send_state` (the same content again is the same event);
///   `typing`; `delete_alias` (may answer [`Error::is_not_found`] the second
///   time); `create_alias` ([`Error::is_alias_in_use`] the second time: see with
///   `resolve_alias` whether it is ours);
/// * safe with the same transaction id, for a while: `send`, `redact`. Synapse
///   keeps the ids of an appservice in memory only, for 30 to 60 minutes, and
///   keys them by path and appservice, *not by ghost*: an id must be unique among
///   all ghosts of a room, and after a longer time one must look before repeating;
/// * harmless: `upload_body`. A second copy stays behind that nothing refers to;
/// * not safe: `create_room`. Note first that it is made, and give it state to find it by.
#[derive(Clone)]
pub struct Intent {
    transport: Arc<Transport>,
    user: OwnedUserId,
    masquerade: Option<OwnedUserId>,
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Intent({})", self.user)
    }
}

impl Intent {
    pub(super) fn new(
        transport: Arc<Transport>,
        user: OwnedUserId,
        masquerade: Option<OwnedUserId>,
    ) -> Self {
        Self {
            transport,
            user,
            masquerade,
        }
    }

    /// Who acts.
    pub fn user_id(&self) -> &UserId {
        &self.user
    }

    /// Whom the homeserver takes us for.
    ///
    /// # Errors
    /// `M_UNKNOWN_TOKEN` for a wrong token, `M_FORBIDDEN` for a user that is not
    /// ours or not registered.
    pub async fn whoami(&self) -> Result<OwnedUserId, Error> {
        Ok(self.call(whoami::v3::Request::new()).await?.user_id)
    }

    /// Makes the account on the homeserver; one that exists already is a success.
    ///
    /// # Errors
    /// `M_EXCLUSIVE` if the name is outside of our namespace.
    pub async fn register(&self) -> Result<(), Error> {
        let mut request = register::v3::Request::new();
        request.username = Some(self.user.localpart().to_owned());
        request.login_type = Some(register::LoginType::ApplicationService);
        request.inhibit_login = true;
        // The appservice itself registers; masquerading needs an account already.
        match self.transport.call(request, None).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_user_in_use() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call<R>(&self, request: R) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest + Send,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        self.transport
            .call(request, self.masquerade.as_deref())
            .await
    }

    fn unbuildable<R: Metadata>(&self, what: &str) -> Error {
        Error::new(
            call_of::<R>(self.masquerade.as_deref()),
            Kind::Request {
                reason: format!("{what} has a value that the request cannot carry"),
            },
        )
    }
}
