//! Whether homeserver, registration and configuration agree, said before any
//! event is touched and in words an administrator can act upon.

use ruma::{OwnedServerName, OwnedUserId};

use super::client::Client;

/// What the configuration says of the homeserver.
#[derive(Debug, Clone)]
pub struct Expected {
    /// `homeserver.server_name`.
    pub server_name: OwnedServerName,
    /// The bridge's own account, from `appservice.bot_localpart`.
    pub bot: OwnedUserId,
    /// `appservice.id`.
    pub appservice_id: String,
    /// `appservice.ghost_prefix`: what the localparts of ghosts start with.
    pub ghost_prefix: String,
}

/// Why the bridge should not run yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} {remedy}")]
pub struct StartupProblem {
    /// What is wrong, in one or two sentences.
    pub problem: String,
    /// What to do about it, naming the configuration key to look at.
    pub remedy: String,
    /// It may come right by itself (the homeserver is still starting): check
    /// again after a while instead of ending the program.
    pub may_pass: bool,
}

/// Checks, in this order: the homeserver answers; it knows the token; the token
/// is the expected bot's on the expected server; the ghosts' namespace is ours;
/// the homeserver reaches our listener with the right token. So the listener
/// must be running.
///
/// # Errors
/// The first thing that does not agree.
pub async fn check_registration(
    _client: &Client,
    _expected: &Expected,
) -> Result<(), StartupProblem> {
    todo!()
}
