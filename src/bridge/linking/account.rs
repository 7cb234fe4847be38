//! Acting as somebody's own account on Rocket.Chat.

use std::sync::Arc;
use std::time::Duration;

use ruma::UserId;

use super::sealed;
use crate::bridge::rocket_side::RocketSide;
use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::RocketUserId;
use crate::rocketchat::rest::Credentials;
use crate::secret::Secret;
use crate::store::{EndedLink, Link, Portal, Puppet, SealedToken, TokenFrom};

/// How long the account of a link that has ended still does something. Whoever asked for the end
/// waits for an answer.
const LETTING_IN: Duration = Duration::from_secs(10);

impl Bridge {
    fn sealed_for(user: &UserId, id: &RocketUserId) -> String {
        format!("{user} {id}")
    }

    /// A token, sealed for the store.
    pub(super) fn seal_token(
        &self,
        user: &UserId,
        id: &RocketUserId,
        token: &Secret,
        from: TokenFrom,
    ) -> Result<SealedToken, Failure> {
        let key = derived::sealing_key(&self.registration.as_token);
        let sealed = sealed::seal(key, &Self::sealed_for(user, id), token);
        let sealed = sealed.ok_or_else(|| Failure::Refused("The token cannot be kept.".into()))?;
        Ok(SealedToken { sealed, from })
    }

    /// The account that acts for somebody, with its token as it is now: another job may have
    /// renewed it. An own account without a token that can be read has an empty one, which
    /// no server accepts.
    ///
    /// # Errors
    /// [`Failure::NotYet`] when it is no longer the one that acts for them.
    pub(in crate::bridge) fn with_token(&self, puppet: &Puppet) -> Result<Puppet, Failure> {
        let user = &puppet.matrix_id;
        if !puppet.own {
            let made = self.store.made_puppet(user)?;
            return Ok(made.unwrap_or_else(|| puppet.clone()));
        }
        let link = self.store.linked_user(user)?;
        let link = link.filter(|link| link.rocket_id == puppet.credentials.user_id);
        let Some(token) = link.as_ref().and_then(|link| link.token.as_ref()) else {
            return Err(Failure::NotYet("the account that acts for its user"));
        };
        let key = derived::sealing_key(&self.registration.as_token);
        let of = Self::sealed_for(user, &puppet.credentials.user_id);
        let token = sealed::open(key, &of, &token.sealed).unwrap_or_else(|| {
            tracing::warn!(%user, "the token of their own account cannot be read: the as_token is another than before");
            Secret::new("unreadable")
        });
        Ok(Puppet {
            credentials: Credentials {
                user_id: puppet.credentials.user_id.clone(),
                token,
            },
            ..puppet.clone()
        })
    }

    /// A token for somebody's account from the server; none where it gives none.
    pub(super) async fn token_from_server(
        &self,
        rocket: &RocketSide,
        id: &RocketUserId,
    ) -> Result<Option<Secret>, Failure> {
        let secret = self.config.rocketchat.create_token_secret.as_ref();
        match rocket.bot.create_token(id, secret).await {
            Ok(credentials) => Ok(Some(credentials.token)),
            Err(error)
                if error.is_denied()
                    || matches!(
                        error,
                        crate::rocketchat::Error::Refused { .. }
                            | crate::rocketchat::Error::EndpointMissing
                    ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A new token for an own account whose token is no longer accepted. Where there is
    /// none the link ends: the puppet speaks again, and the person is told.
    ///
    /// # Errors
    /// [`Failure::NotYet`] when another account acts for them from now on;
    /// [`Failure::Refused`] when an administrator has deactivated the account.
    pub(in crate::bridge) async fn renew_own(
        &self,
        rocket: &RocketSide,
        puppet: &Puppet,
    ) -> Result<Puppet, Failure> {
        let user = &puppet.matrix_id;
        let _alone = self.linking.changing.lock().await;
        let now = self.with_token(puppet)?;
        if now.credentials.token != puppet.credentials.token {
            return Ok(now);
        }
        let Some(link) = self.store.linked_user(user)? else {
            return Err(Failure::NotYet("the account that acts for its user"));
        };
        let id = &link.rocket_id;
        let account = rocket.bot.user_by_id(id).await?;
        let why = match account {
            None => "Your account on Rocket.Chat is gone.",
            Some(account) if !account.active => {
                return Err(Failure::Refused(
                    "An administrator of Rocket.Chat has deactivated your account there.".into(),
                ));
            }
            Some(_) => {
                let from = link.token.as_ref().map(|token| token.from);
                if from == Some(TokenFrom::Server)
                    && let Some(token) = self.token_from_server(rocket, id).await?
                {
                    let sealed = self.seal_token(user, id, &token, TokenFrom::Server)?;
                    let renewed = Link {
                        token: Some(sealed),
                        ..link
                    };
                    self.store.change().link(&renewed).commit()?;
                    tracing::info!(%user, "the token of their own account is renewed");
                    return self.with_token(puppet);
                }
                "Rocket.Chat no longer accepts the token by which the bridge acts as your account."
            }
        };
        self.end_link(&link, why).await?;
        Err(Failure::NotYet("the account that acts for its user"))
    }

    /// A token that the server gave is worth nothing any more.
    pub(super) async fn revoke(&self, rocket: &RocketSide, own: &Puppet) {
        let session = rocket.client.session(own.credentials.clone());
        if let Err(error) = session.logout().await {
            tracing::info!(user = %own.matrix_id, %error, "a token that is not used any more could not be revoked");
        }
    }

    /// Two accounts are no longer one person's: puppet and ghost are as before. Both are
    /// told soon. The lock for that must be held.
    pub(super) async fn end_link(&self, link: &Link, why: &str) -> Result<(), Failure> {
        let rooms = self.closed_rooms_of(link)?;
        self.note_end(link, why, &rooms).await?;
        self.link_has_ended(link);
        Ok(())
    }

    /// As [`Bridge::end_link`], at the wish of one of them. It depends on nothing that the link
    /// is over; what their account can do for them in private rooms, before its token is
    /// revoked, it does as far as that goes, and in some seconds.
    pub(super) async fn end_link_kindly(
        &self,
        link: &Link,
        own: Option<&Puppet>,
        why: &str,
    ) -> Result<(), Failure> {
        let rooms = self.closed_rooms_of(link)?;
        self.note_end(link, why, &rooms).await?;
        if let Some(own) = own {
            let left = self.leave_in_rooms(own, &rooms);
            match tokio::time::timeout(LETTING_IN, left).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    tracing::info!(user = %link.matrix_id, %failure, "their account could not leave them in all rooms");
                }
                Err(_) => {
                    tracing::info!(user = %link.matrix_id, "leaving them in all rooms takes too long");
                }
            }
        }
        self.link_has_ended(link);
        Ok(())
    }

    /// Notes that a link is over, and in which of these rooms its Matrix user was by it alone.
    async fn note_end(&self, link: &Link, why: &str, rooms: &[Portal]) -> Result<(), Failure> {
        tracing::info!(user = %link.matrix_id, account = %link.rocket_id, why, "a link of two accounts ends");
        let ended = EndedLink {
            link: link.clone(),
            why: why.to_owned(),
        };
        let mut change = self.store.change().end_link(&ended);
        for portal in rooms {
            if !self.store.is_admitted(&portal.id, &link.matrix_id)? {
                change = change.came_by_account(&portal.id, &link.matrix_id);
            }
        }
        change.commit()?;
        Ok(self.store.flushed().await?)
    }

    fn link_has_ended(&self, link: &Link) {
        self.accounts_changed(link);
        self.linking.ended.notify_one();
    }

    /// Tells people of links that have ended, also in an earlier run, for as long as the
    /// bridge runs.
    pub(in crate::bridge) async fn tell_of_ended_links(self: Arc<Self>) {
        loop {
            for ended in self.store.ended_links() {
                let told = self
                    .persevere(async |_| {
                        self.tell_of_end(&ended).await?;
                        Ok(self.store.change().told_of_end(&ended).commit()?)
                    })
                    .await;
                if let Err(failure) = told {
                    tracing::warn!(user = %ended.link.matrix_id, %failure, "somebody could not be told that their accounts are no longer linked");
                }
            }
            self.linking.ended.notified().await;
        }
    }

    async fn tell_of_end(&self, ended: &EndedLink) -> Result<(), Failure> {
        let EndedLink { link, why } = ended;
        let text = format!(
            "`{}` on Matrix and `{}` (`{}`) on Rocket.Chat are no longer linked. {why} What is written on one side is said by the bridge's account for it on the other. `login` links them again.",
            link.matrix_id, link.username, link.rocket_id
        );
        self.tell_both(link, "end", &text).await
    }
}
