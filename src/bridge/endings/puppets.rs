//! People of Matrix whose accounts are gone, and their puppets.
//!
//! A homeserver tells an application service nothing when an account is deactivated. The
//! user leaves all rooms, as they could by themselves. When the account is erased as well
//! there is no profile any more (Synapse 1.163), while every account that exists has one,
//! and a homeserver that does not tell profiles answers otherwise (403): that much is
//! proof. Of an account that is deactivated and not erased the profile stays. Where the
//! bridge may act as people (`double_puppet_token`) it asks the homeserver, which says so at
//! a login; elsewhere its puppet is out of its rooms and stays active. So somebody who left
//! a mirrored room is looked at a few times. A puppet that rests is active again as soon as
//! its user does something.

use std::sync::Arc;
use std::time::Duration;

use ruma::UserId;

use crate::bridge::{Bridge, Failure};
use crate::matrix;
use crate::retry::{Advice, Retryable as _};
use crate::store::Rest;

/// After how long somebody who left is looked at: the rooms are left first, one after
/// the other.
const LOOKS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// How long after the first look that found nobody there is a second one.
const BEFORE_THE_SECOND: Duration = Duration::from_secs(1);

impl Bridge {
    /// Somebody real has left a room: perhaps the account is gone.
    pub(in crate::bridge) fn look_for_user(self: &Arc<Self>, user: &UserId) -> Result<(), Failure> {
        let is_local = user.server_name() == self.config.homeserver.server_name;
        if !is_local || self.store.made_puppet(user)?.is_none() || self.store.rest(user)?.is_some()
        {
            return Ok(());
        }
        self.store.change().rest(user, Rest::Suspected).commit()?;
        self.go_on_looking_for_user(user);
        Ok(())
    }

    /// Goes on where an earlier run was interrupted.
    pub(in crate::bridge) fn take_up_looking_for_users(self: &Arc<Self>) {
        for puppet in self.store.puppets() {
            if matches!(
                self.store.rest(&puppet.matrix_id),
                Ok(Some(Rest::Suspected))
            ) {
                self.go_on_looking_for_user(&puppet.matrix_id);
            }
        }
    }

    fn go_on_looking_for_user(self: &Arc<Self>, user: &UserId) {
        let (bridge, user) = (Arc::clone(self), user.to_owned());
        tokio::spawn(async move {
            if let Err(failure) = bridge.look_for_user_now(&user).await {
                tracing::warn!(%user, %failure, "whether somebody is still there cannot be told");
            }
        });
    }

    async fn look_for_user_now(&self, user: &UserId) -> Result<(), Failure> {
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            if self.is_gone_from_matrix(user).await? {
                tokio::time::sleep(BEFORE_THE_SECOND).await;
                if self.is_gone_from_matrix(user).await? {
                    return self.let_puppet_rest(user).await;
                }
            }
            // They have done something meanwhile.
            if self.store.rest(user)?.is_none() {
                return Ok(());
            }
        }
        Ok(self.store.change().no_rest(user).commit()?)
    }

    /// Whether one of the homeserver's own users has no profile any more, or the homeserver
    /// says that the account is deactivated. It is asked for that only of somebody who is
    /// logged in nowhere and in no mirrored room.
    async fn is_gone_from_matrix(&self, user: &UserId) -> Result<bool, Failure> {
        if self.has_no_profile(user).await? {
            return Ok(true);
        }
        if !self.may_act_as(user).await? {
            return Ok(false);
        }
        for portal in self.store.portals() {
            if portal.kind.direct_users().any(|one| one == user)
                || self.store.is_puppet_in_room(&portal.id, user)?
            {
                return Ok(false);
            }
        }
        Ok(self.is_deactivated(user).await? == Some(true))
    }

    /// Whether the account of somebody, as whom the bridge may act, is deactivated: the
    /// homeserver is asked only where they are logged in nowhere. None where it does not say.
    pub(in crate::bridge) async fn is_deactivated(
        &self,
        user: &UserId,
    ) -> Result<Option<bool>, Failure> {
        let person = self.acting(user);
        self.persevere(async |_| {
            let asked =
                async { Ok(!person.has_devices().await? && person.is_deactivated().await?) };
            match asked.await {
                Ok(is_deactivated) => Ok(Some(is_deactivated)),
                Err(error) => {
                    let error: matrix::Error = error;
                    match error.advice() {
                        // It is not for the bridge to know.
                        Advice::GiveUp => Ok(None),
                        Advice::Retry { .. } => Err(error.into()),
                    }
                }
            }
        })
        .await
    }

    /// Whether the homeserver says that it has no profile of one of its own users.
    pub(in crate::bridge) async fn has_no_profile(&self, user: &UserId) -> Result<bool, Failure> {
        self.persevere(async |_| match self.matrix.bot().has_profile(user).await {
            Ok(there) => Ok(!there),
            // It does not tell.
            Err(error) if error.is_forbidden() => Ok(false),
            Err(error) => Err(matrix::Error::into(error)),
        })
        .await
    }

    async fn let_puppet_rest(&self, user: &UserId) -> Result<(), Failure> {
        let Some(puppet) = self.store.made_puppet(user)? else {
            return Ok(());
        };
        let id = &puppet.credentials.user_id;
        // First of all: whoever is killed after it knows whose doing it was.
        self.store.change().rest(user, Rest::Resting).commit()?;
        self.store.flushed().await?;
        let done = self
            .persevere(async |_| {
                let rocket = self.rocket().await;
                // Rooms that it alone owns are not given away by the bridge.
                Ok(rocket.bot.set_active_status(id, false, false).await?)
            })
            .await;
        match done {
            Ok(()) => {
                tracing::info!(
                    puppet = puppet.username,
                    "the account on Matrix is gone: its puppet is deactivated"
                );
            }
            Err(failure) if failure.is_permanent() => {
                tracing::info!(puppet = puppet.username, %failure, "the account on Matrix is gone, and its puppet stays active");
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Somebody whose puppet rests is there after all.
    pub(in crate::bridge) async fn wake_puppet(&self, user: &UserId) -> Result<(), Failure> {
        if self.store.rest(user)? == Some(Rest::Resting)
            && let Some(puppet) = self.store.made_puppet(user)?
        {
            let rocket = self.rocket().await;
            let id = &puppet.credentials.user_id;
            rocket.bot.set_active_status(id, true, false).await?;
            tracing::info!(puppet = puppet.username, "it is active again");
        }
        Ok(self.store.change().no_rest(user).commit()?)
    }
}
