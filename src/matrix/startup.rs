//! Whether homeserver, registration and configuration agree, said before any
//! event is touched and in words an administrator can act upon.

use ruma::{OwnedServerName, OwnedUserId, UserId};

use super::client::Client;
use super::error::{Error, Kind};
use crate::retry::{Advice, Retryable as _};

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
    client: &Client,
    expected: &Expected,
) -> Result<(), StartupProblem> {
    client
        .versions()
        .await
        .map_err(|error| no_homeserver(&error))?;
    let bot = client
        .bot()
        .whoami()
        .await
        .map_err(|error| token_refused(&error))?;
    compare_bot(&bot, expected)?;
    check_namespace(client, expected).await?;
    match client.ping(&expected.appservice_id, None).await {
        Ok(took) => {
            tracing::info!(ms = took.as_millis() as u64, "the homeserver reaches us");
            Ok(())
        }
        Err(error) if error.code() == Some("M_UNRECOGNIZED") => {
            tracing::warn!("the homeserver cannot ping; that it reaches us is not checked");
            Ok(())
        }
        Err(error) => Err(ping_failed(&error, expected)),
    }
}

/// A ghost that was never registered: Synapse tells one outside of the namespace
/// from one that merely does not exist by its words alone, so unknown words pass.
async fn check_namespace(client: &Client, expected: &Expected) -> Result<(), StartupProblem> {
    let probe = format!(
        "@{}never_registered:{}",
        expected.ghost_prefix, expected.server_name
    );
    let Ok(ghost) = OwnedUserId::try_from(probe) else {
        return Err(StartupProblem::lasting(
            format!(
                "Names that start with {:?} are no Matrix user ids.",
                expected.ghost_prefix
            ),
            "Change appservice.ghost_prefix.",
        ));
    };
    let Err(error) = client.as_user(ghost.clone()).whoami().await else {
        return Ok(());
    };
    match error.kind() {
        Kind::Api { message, .. } if message.contains("cannot masquerade") => {
            Err(StartupProblem::lasting(
                format!(
                    "The homeserver does not let the bridge act as its ghosts, such as {ghost}."
                ),
                "The `namespaces.users` of the registration that the homeserver has loaded must \
                 cover appservice.ghost_prefix: write the registration anew, put it where the \
                 homeserver reads it and restart the homeserver.",
            ))
        }
        Kind::Api { .. } => Ok(()),
        _ => Err(no_homeserver(&error)),
    }
}

fn compare_bot(bot: &UserId, expected: &Expected) -> Result<(), StartupProblem> {
    if bot.server_name() != expected.server_name {
        return Err(StartupProblem::lasting(
            format!(
                "The homeserver calls itself {}, the configuration says {}.",
                bot.server_name(),
                expected.server_name
            ),
            "Set homeserver.server_name to the homeserver's name, or homeserver.url to the \
             homeserver that is meant; then write the registration anew.",
        ));
    }
    if bot != expected.bot {
        return Err(StartupProblem::lasting(
            format!(
                "For the homeserver the bridge's account is {bot}, the configuration says {}.",
                expected.bot
            ),
            "appservice.bot_localpart and the `sender_localpart` of the registration must be the \
             same: write the registration anew, put it where the homeserver reads it and restart \
             the homeserver.",
        ));
    }
    Ok(())
}

fn no_homeserver(error: &Error) -> StartupProblem {
    StartupProblem {
        problem: format!("No homeserver answers at homeserver.url: {error}."),
        remedy: "Check that the homeserver runs and that homeserver.url is its address as seen \
                 from here."
            .to_owned(),
        may_pass: matches!(error.advice(), Advice::Retry { .. }),
    }
}

fn token_refused(error: &Error) -> StartupProblem {
    match error.kind() {
        Kind::Api { status: 401, .. } => StartupProblem::lasting(
            "The homeserver does not know the bridge's `as_token`.".to_owned(),
            "Put the registration file (appservice.registration) where the homeserver reads it - \
             with Synapse, list it under `app_service_config_files` in homeserver.yaml - and \
             restart the homeserver. If that is done, the two files differ: copy it again.",
        ),
        Kind::Api { .. } => StartupProblem::lasting(
            format!("The homeserver refuses the bridge's account: {error}."),
            "Check on the homeserver that the account is not locked or deactivated.",
        ),
        _ => no_homeserver(error),
    }
}

fn ping_failed(error: &Error, expected: &Expected) -> StartupProblem {
    let said = match error.kind() {
        Kind::Server { message, .. } => message.as_deref().unwrap_or_default(),
        Kind::Api { message, .. } => message,
        _ => return no_homeserver(error),
    };
    let said = said.trim_end_matches('.');
    match error.code() {
        Some("M_BAD_STATUS") if said.contains("401") || said.contains("403") => {
            StartupProblem::lasting(
                "The homeserver reaches the bridge, but presents another `hs_token`.".to_owned(),
                "The homeserver has loaded another registration than appservice.registration: \
                 copy the file again and restart the homeserver.",
            )
        }
        Some("M_BAD_STATUS") => StartupProblem {
            problem: format!(
                "Something answers the homeserver at appservice.url, but not the bridge: {said}."
            ),
            remedy: "Check that appservice.url in the registration leads to appservice.listen, \
                     and what stands between them."
                .to_owned(),
            // A proxy that does not find us yet, but not another program.
            may_pass: said.contains("HTTP 5"),
        },
        Some("M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT") => StartupProblem {
            problem: format!("The homeserver does not reach the bridge: {said}."),
            remedy: "appservice.url in the registration must be the address of appservice.listen \
                     as seen from the homeserver; in containers `localhost` is not."
                .to_owned(),
            may_pass: true,
        },
        Some("M_URL_NOT_SET") => StartupProblem::lasting(
            "The registration that the homeserver has loaded has no `url`.".to_owned(),
            "Set appservice.url, write the registration anew, put it where the homeserver reads \
             it and restart the homeserver.",
        ),
        Some("M_FORBIDDEN") => StartupProblem::lasting(
            format!(
                "For the homeserver the bridge's `id` is not {:?}.",
                expected.appservice_id
            ),
            "appservice.id and the `id` of the registration that the homeserver has loaded must \
             be the same: write the registration anew, put it where the homeserver reads it and \
             restart the homeserver.",
        ),
        _ => StartupProblem {
            problem: format!("The homeserver did not ping the bridge: {error}."),
            remedy: "Look into the homeserver's log.".to_owned(),
            may_pass: matches!(error.advice(), Advice::Retry { .. }),
        },
    }
}

impl StartupProblem {
    /// What no waiting will mend.
    fn lasting(problem: String, remedy: &str) -> Self {
        Self {
            problem,
            remedy: remedy.to_owned(),
            may_pass: false,
        }
    }
}

#[cfg(test)]
mod tests;
