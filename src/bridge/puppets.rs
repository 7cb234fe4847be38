//! The Rocket.Chat users that stand for Matrix users.

use std::future::Future;
use std::sync::atomic::Ordering;

use ruma::UserId;

use super::direct::direct_id;
use super::faces::puppet_name;
use super::rocket_side::RocketSide;
use super::voice::is_no_seat;
use super::{Bridge, Failure, derived};
use crate::rocketchat::documents::{User, UserRef};
use crate::rocketchat::rest::{Credentials, NewUser, Session, UserChanges};
use crate::rocketchat::{self, RocketUserId, Username};
use crate::store::{Link, Message, Origin, Portal, PortalKind, Puppet, StoreError};

impl Bridge {
    /// The account that acts for a Matrix user: their own where they have linked it, else
    /// their puppet, made when there is none yet.
    pub(super) async fn puppet_of(&self, user: &UserId) -> Result<Puppet, Failure> {
        match self.store.puppet(user)? {
            Some(own) if own.own => Ok(own),
            _ => self.made_puppet_of(user).await,
        }
    }

    /// The account that the bridge has made for a Matrix user, or makes now.
    pub(super) async fn made_puppet_of(&self, user: &UserId) -> Result<Puppet, Failure> {
        if let Some(puppet) = self.store.made_puppet(user)? {
            self.compare_when_first_active(user);
            return Ok(puppet);
        }
        let _one_at_a_time = self.making_puppet.lock(&user.to_owned()).await;
        if let Some(puppet) = self.store.made_puppet(user)? {
            return Ok(puppet);
        }
        // Rare and deep: not a part of the stack of everything that needs a puppet.
        Box::pin(self.make_puppet(user)).await
    }

    /// The account that acts for a Matrix user in a portal: who is in a direct message never
    /// changes, so one that began with the puppet goes on with it.
    pub(super) async fn puppet_in(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<Puppet, Failure> {
        let now = self.puppet_of(user).await?;
        let Some(made) = self.store.made_puppet(user)?.filter(|_| now.own) else {
            return Ok(now);
        };
        if !portal.kind.is_direct() {
            // In a private group into which it cannot let their own account.
            let goes_on = portal.kind == PortalKind::Group
                && self.store.is_made_puppet_in_room(&portal.id, user)?
                && !self.is_member(portal, &now.credentials.user_id).await?;
            return Ok(if goes_on { made } else { now });
        }
        let peers: Vec<_> = portal.kind.direct_peers().collect();
        if let ([peer], false) = (peers.as_slice(), portal.kind.has_several()) {
            let with_puppet = direct_id(&made.credentials.user_id, peer) == portal.rid;
            return Ok(if with_puppet { made } else { now });
        }
        let rid = &portal.rid;
        let seen = self
            .as_puppet(&made, |session| async move { session.room_info(rid).await })
            .await;
        match seen {
            Ok(Some(_)) => Ok(made),
            Ok(None) => Ok(now),
            Err(failure) if failure.is_permanent() => Ok(now),
            Err(failure) => Err(failure),
        }
    }

    /// Whether an account on Rocket.Chat is, or was, one that acts for a Matrix user.
    pub(super) fn is_account_of(
        &self,
        user: &UserId,
        id: &RocketUserId,
    ) -> Result<bool, StoreError> {
        Ok(self.store.behind_puppet(id)?.is_some_and(|of| of == user)
            || self.store.was_account_of(id)?.is_some_and(|of| of == user))
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
            own: false,
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

    /// The account that posted what a Matrix user wrote, and so has to edit and delete it
    /// (`Message::posted_by`). None is made for what was written on Rocket.Chat, whose author
    /// has one there.
    ///
    /// # Errors
    /// [`Failure::Refused`] when that account is not theirs any more.
    pub(super) async fn poster_of(&self, known: &Message) -> Result<Puppet, Failure> {
        let user = &known.sender;
        let by = known.posted_by.as_ref();
        let now = match known.origin {
            Origin::Matrix if by.is_some() => Some(self.puppet_of(user).await?),
            Origin::Matrix => None,
            Origin::RocketChat => self.store.puppet(user)?.filter(|now| now.own),
        };
        let is_theirs = |now: &Puppet| match by {
            Some(by) => now.credentials.user_id == *by,
            // The record was made of its events alone.
            None => known.origin == Origin::RocketChat,
        };
        if let Some(now) = now.filter(is_theirs) {
            return Ok(now);
        }
        let was_of = by.map(|by| self.store.was_account_of(by)).transpose()?;
        if was_of.flatten().is_some_and(|of| of == *user) {
            return Err(Failure::Refused(
                "It was written with an account on Rocket.Chat that is no longer linked to yours: change it there.".into(),
            ));
        }
        if known.origin == Origin::RocketChat {
            return Err(Failure::Refused(
                "It was written on Rocket.Chat, with another account than yours there: change it there.".into(),
            ));
        }
        // It may have got another account.
        self.made_puppet_of(user).await
    }

    /// Notes under which name a puppet is seen now: an administrator may have renamed
    /// it.
    pub(super) fn note_puppet_name(&self, seen: &UserRef) -> Result<(), StoreError> {
        let Some(name) = &seen.username else {
            return Ok(());
        };
        if let Some(link) = self.store.linked(&seen.id)? {
            if link.username != name.as_str() {
                let renamed = Link {
                    username: name.as_str().to_owned(),
                    ..link
                };
                self.store.change().link(&renamed).commit()?;
            }
            return Ok(());
        }
        let Some(user) = self.store.behind_made_puppet(&seen.id)? else {
            return Ok(());
        };
        match self.store.made_puppet(&user)? {
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
        let puppet = self.with_token(puppet)?;
        match act(rocket.client.session(puppet.credentials.clone())).await {
            Err(error) if error.is_unauthorized() => {
                let renewed = self.renew(&rocket, &puppet).await?;
                Ok(act(rocket.client.session(renewed.credentials)).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn renew(&self, rocket: &RocketSide, puppet: &Puppet) -> Result<Puppet, Failure> {
        if puppet.own {
            return self.renew_own(rocket, puppet).await;
        }
        let _one_at_a_time = self.making_puppet.lock(&puppet.matrix_id).await;
        if let Some(current) = self.store.made_puppet(&puppet.matrix_id)?
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
