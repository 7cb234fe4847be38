//! Getting tokens.

use serde::Deserialize;
use serde_json::json;

use super::client::{Client, Credentials, Request, Session};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::RocketUserId;
use crate::secret::Secret;

/// The answer carries the whole stored user, hashes included: only these two are
/// read.
#[derive(Deserialize)]
struct LoginAnswer {
    data: LoginData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginData {
    user_id: RocketUserId,
    auth_token: Secret,
}

impl LoginAnswer {
    fn credentials(self) -> Result<Credentials, Error> {
        if self.data.auth_token.is_empty() {
            return Err(Error::NotRocketChat {
                what: "a login without a token",
            });
        }
        Ok(Credentials {
            user_id: self.data.user_id,
            token: self.data.auth_token,
        })
    }
}

impl Client {
    /// Logs in by user name (or e-mail address) and password. The token lives 90 days
    /// unless the server is set otherwise.
    ///
    /// Limited to 10 a minute per address for everybody (nobody is logged in yet):
    /// on [`Error::RateLimited`] use [`crate::rocketchat::realtime::login_once`].
    ///
    /// # Errors
    /// [`Error::Unauthorized`] with the server's code, [`Error::TwoFactor`] when the
    /// account has a second factor, and what any request may give.
    pub async fn login(&self, user: &str, password: &Secret) -> Result<Credentials, Error> {
        let body = json!({ "user": user, "password": password.expose() });
        let request = Request::post(&["api", "v1", "login"], body);
        self.json::<LoginAnswer>(request, None).await?.credentials()
    }
}

impl Session {
    /// Makes a token for another account (`users.createToken`), for which that account
    /// is not asked for anything. From 8.0 `secret` must be what the server's
    /// environment has in `CREATE_TOKENS_FOR_USERS_SECRET`; before, it is left out.
    ///
    /// # Errors
    /// [`Error::Refused`] with `error-not-authorized` where the environment of the
    /// server does not allow it (`CREATE_TOKENS_FOR_USERS`) or the account lacks
    /// `user-generate-access-token`: log in by password instead.
    pub async fn create_token(
        &self,
        user_id: &RocketUserId,
        secret: Option<&Secret>,
    ) -> Result<Credentials, Error> {
        let mut body = json!({ "userId": user_id });
        if let Some(secret) = secret {
            body["secret"] = json!(secret.expose());
        }
        let request = Request::post(&["api", "v1", "users.createToken"], body);
        self.json::<LoginAnswer>(request).await?.credentials()
    }

    /// Ends the session: the server forgets this token.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn logout(&self) -> Result<(), Error> {
        let request = Request::post(&["api", "v1", "logout"], json!({}));
        self.bytes(request).await.map(drop)
    }
}
