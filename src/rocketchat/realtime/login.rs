//! Logging in over a socket that lives only for this.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use url::Url;

use super::connection::{LoginFailure, Socket, credentials, token_is_refused};
use crate::rocketchat::error::{Error, ServerText};
use crate::rocketchat::ids::Username;
use crate::rocketchat::password::password_digest;
use crate::rocketchat::rest::Credentials;
use crate::secret::Secret;

const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Checking a password takes the server a while, more so when many log in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_FRAME: usize = 1024 * 1024;

/// Logs in by password over a short-lived socket. REST allows 10 logins a minute per
/// address, a socket 5 in 10 s for itself: this way many puppets can log in one after
/// the other. The password itself does not cross the wire, its SHA-256 does.
///
/// # Errors
/// As [`crate::rocketchat::rest::Client::login`].
pub async fn login_once(
    base: &Url,
    username: &Username,
    password: &Secret,
) -> Result<Credentials, Error> {
    let params = json!({
        "user": { "username": username },
        "password": {
            "digest": password_digest(password).expose(),
            "algorithm": "sha-256",
        },
    });
    let mut socket = Socket::open(base, MAX_FRAME, STEP_TIMEOUT)
        .await
        .map_err(|gone| gone.into_error(false))?;
    let answer = timeout(LOGIN_TIMEOUT, socket.login(params)).await;
    socket.close().await;
    match answer {
        // A login that nobody heard the answer of has done no harm.
        Err(_) => Err(Error::Transport {
            maybe_done: false,
            what: "timeout",
        }),
        Ok(Err(LoginFailure::Gone(gone))) => Err(gone.into_error(false)),
        Ok(Err(LoginFailure::Refused(error))) => Err(as_login_failure(error)),
        Ok(Ok(result)) => credentials(&result).ok_or(Error::NotRocketChat {
            what: "a login without a token",
        }),
    }
}

/// A refused login is the same family whether REST or the socket says it.
fn as_login_failure(error: Error) -> Error {
    match error {
        Error::Refused { code, text, .. } => Error::Unauthorized { code, text },
        error if token_is_refused(&error) && !matches!(error, Error::TwoFactor { .. }) => {
            Error::Unauthorized {
                code: error.code().map(str::to_owned),
                text: ServerText::default(),
            }
        }
        error => error,
    }
}
