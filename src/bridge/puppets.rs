//! The Rocket.Chat users that stand for Matrix users.

use std::future::Future;
use std::sync::atomic::Ordering;

use ruma::UserId;

use super::faces::puppet_name;
use super::rocket_side::RocketSide;
use super::voice::is_no_seat;
use super::{Bridge, Failure, derived};
use crate::rocketchat::documents::{User, UserRef};
use crate::rocketchat::rest::{Credentials, NewUser, Session, UserChanges};
use crate::rocketchat::{self, RocketUserId, Username};
use crate::store::{Puppet, StoreError};

impl Bridge {
    /// The puppet of a Matrix user, made when there is none yet.
    pub(super) async fn puppet_of(&self, user: &UserId) -> Result<Puppet, Failure> {
        if let Some(puppet) = self.store.puppet(user)? {
            self.compare_when_first_active(user);
            return Ok(puppet);
        }
        let _one_at_a_time = self.making_puppet.lock(&user.to_owned()).await;
        if let Some(puppet) = self.store.puppet(user)? {
            return Ok(puppet);
        }
        self.make_puppet(user).await
    }

    /// Makes a puppet, also in place of one whose account was deleted. The lock for that
    /// must be held.
    async fn make_puppet(&self, user: &UserId) -> Result<Puppet, Failure> {
        let rocket = self.rocket().await;
        let account = self.find_or_create_account(&rocket, user).await?;
        let username = account.username.ok_or_else(|| {
            Failure::Refused("Rocket.Chat made an account without a user name for you.".into())
        })?;
        let puppet = Puppet {
            matrix_id: user.to_owned(),
            credentials: self.log_in(&rocket, user, &account.id, &username).await?,
            username: username.into_string(),
        };
        self.store.change().puppet(&puppet).commit()?;
        // On disk before it speaks: a bridge that has forgotten its puppet would take
        // the echo for the words of somebody on Rocket.Chat.
        self.store.flushed().await?;
        self.compare_when_first_active(user);
        self.voices.account_is_there(user);
        tracing::info!(puppet = puppet.username, "a puppet is there");
        Ok(puppet)
    }

    /// Notes under which name a puppet is seen now: an administrator may have renamed
    /// it.
    pub(super) fn note_puppet_name(&self, seen: &UserRef) -> Result<(), StoreError> {
        let (Some(user), Some(name)) = (self.store.behind_puppet(&seen.id)?, &seen.username) else {
            return Ok(());
        };
        match self.store.puppet(&user)? {
            Some(puppet) if puppet.username != name.as_str() => {
                let renamed = Puppet {
                    username: name.as_str().to_owned(),
                    ..puppet
                };
                self.store.change().puppet(&renamed).commit()
            }
            _ => Ok(()),
        }
    }

    /// Finds the account again that an interrupted attempt made, or makes it.
    /// Never takes an account by its name alone: the name may be somebody's.
    async fn find_or_create_account(
        &self,
        rocket: &RocketSide,
        user: &UserId,
    ) -> Result<User, Failure> {
        let prefix = &self.config.rocketchat.puppet_prefix;
        let email = derived::puppet_email(user, &self.registration.as_token);
        let mut refusal = None;
        for unambiguous in [false, true] {
            let username = Username::new(derived::puppet_username(prefix, user, unambiguous));
            match rocket.bot.user_by_username(&username).await? {
                Some(found) if is_ours(&found, &email) => return Ok(found),
                Some(_) => continue,
                None => {}
            }
            match self.create_account(rocket, user, &username, &email).await {
                Ok(created) => return Ok(created),
                // Under no other name either.
                Err(failure) if is_no_seat(&failure) => return Err(failure),
                Err(Failure::RocketChat(error @ rocketchat::Error::Refused { .. })) => {
                    // The server may have made the account and refused all the
                    // same, or somebody may just have taken the name.
                    match rocket.bot.user_by_username(&username).await? {
                        Some(found) if is_ours(&found, &email) => return Ok(found),
                        _ => refusal = Some(error.into()),
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(refusal.unwrap_or_else(|| {
            Failure::Refused("Every user name for you on Rocket.Chat is somebody else's.".into())
        }))
    }

    async fn create_account(
        &self,
        rocket: &RocketSide,
        user: &UserId,
        username: &Username,
        email: &str,
    ) -> Result<User, Failure> {
        let profile = self.matrix.bot().profile(user).await.unwrap_or_default();
        let shown = profile
            .get("displayname")
            .and_then(serde_json::Value::as_str);
        let name = puppet_name(shown, user, username.as_str());
        let password = derived::puppet_password(user, &self.registration.as_token);
        let created = rocket
            .bot
            .users_create(&NewUser {
                username,
                name: &name,
                email,
                password: &password,
                roles: &["user", "bot"],
            })
            .await?;
        Ok(created)
    }

    /// A token for the puppet: from the administrator where the server allows
    /// it, otherwise by its password.
    async fn log_in(
        &self,
        rocket: &RocketSide,
        user: &UserId,
        id: &RocketUserId,
        username: &Username,
    ) -> Result<Credentials, Failure> {
        if self.create_token_works.load(Ordering::Relaxed) {
            let secret = self.config.rocketchat.create_token_secret.as_ref();
            match rocket.bot.create_token(id, secret).await {
                Ok(credentials) => return Ok(credentials),
                Err(error) if error.is_denied() => {
                    tracing::info!(
                        "the server does not hand out tokens; puppets log in by password"
                    );
                    self.create_token_works.store(false, Ordering::Relaxed);
                }
                // Something about this one account.
                Err(rocketchat::Error::Refused { .. } | rocketchat::Error::EndpointMissing) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let password = derived::puppet_password(user, &self.registration.as_token);
        match rocket.log_in(username, &password).await {
            Ok(credentials) => Ok(credentials),
            Err(error) if error.is_unauthorized() => {
                // Somebody changed the password, or the bridge has new tokens.
                let changes = UserChanges {
                    password: Some(&password),
                    ..UserChanges::default()
                };
                rocket.bot.users_update(id, &changes).await?;
                Ok(rocket.log_in(username, &password).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Acts as a puppet. A token that is no longer accepted is renewed once.
    pub(super) async fn as_puppet<T, F, Fut>(&self, puppet: &Puppet, act: F) -> Result<T, Failure>
    where
        F: Fn(Session) -> Fut,
        Fut: Future<Output = Result<T, rocketchat::Error>>,
    {
        let rocket = self.rocket().await;
        // Another job may have renewed the token since this puppet was read.
        let puppet = self
            .store
            .puppet(&puppet.matrix_id)?
            .unwrap_or_else(|| puppet.clone());
        match act(rocket.client.session(puppet.credentials.clone())).await {
            Err(error) if error.is_unauthorized() => {
                let renewed = self.renew(&rocket, &puppet).await?;
                Ok(act(rocket.client.session(renewed.credentials)).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn renew(&self, rocket: &RocketSide, puppet: &Puppet) -> Result<Puppet, Failure> {
        let _one_at_a_time = self.making_puppet.lock(&puppet.matrix_id).await;
        if let Some(current) = self.store.puppet(&puppet.matrix_id)?
            && current.credentials.token != puppet.credentials.token
        {
            return Ok(current);
        }
        let id = &puppet.credentials.user_id;
        let Some(account) = rocket.bot.user_by_id(id).await? else {
            tracing::info!(
                puppet = puppet.username,
                "its account was deleted; another one is made"
            );
            self.store.forget_rooms_of_puppet(&puppet.matrix_id)?;
            let made = self.make_puppet(&puppet.matrix_id).await;
            if made.as_ref().is_err_and(is_no_seat) {
                self.voices.account_is_gone(&puppet.matrix_id);
            }
            made?;
            // What was to be done is begun anew: the new one is in no room yet.
            return Err(Failure::NotYet("a new account on Rocket.Chat"));
        };
        if !account.active {
            return Err(Failure::Refused(
                "An administrator of Rocket.Chat has deactivated your account there. The bridge does not change that: ask them.".into(),
            ));
        }
        tracing::info!(
            puppet = puppet.username,
            "its token is no longer accepted; renewing it"
        );
        // Somebody may have renamed it.
        let username = account
            .username
            .unwrap_or_else(|| Username::new(&puppet.username));
        let renewed = Puppet {
            credentials: self
                .log_in(rocket, &puppet.matrix_id, id, &username)
                .await?,
            username: username.into_string(),
            ..puppet.clone()
        };
        self.store.change().puppet(&renewed).commit()?;
        Ok(renewed)
    }
}

fn is_ours(user: &User, email: &str) -> bool {
    user.emails.iter().any(|known| known.address == email)
}
