//! People of Rocket.Chat who are gone, and come back.
//!
//! Rocket.Chat tells when an account is deleted, and nobody when one is deactivated: so
//! the round over everybody looks for that too. What is noted of somebody
//! ([`crate::store::Departure`]) is noted when all is done; until then the next round
//! finds them again.

use std::collections::HashSet;
use std::sync::Arc;

use ruma::UserId;

use super::is_direct;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::rocketchat::documents::{User, UserRef};
use crate::store::{Departure, Ghost, Reason};

impl Bridge {
    /// Compares what is known of somebody with their account as it is now.
    pub(in crate::bridge) fn note_account(self: &Arc<Self>, user: &User) -> Result<(), Failure> {
        let Some(ghost) = self.store.ghost(&user.id)? else {
            return Ok(());
        };
        let departure = self.store.departure(&user.id)?;
        match (user.active, departure) {
            (true, Some(_)) => {
                tracing::info!(ghost = %ghost.user_id, "an account on Rocket.Chat is active again");
                self.store.change().no_departure(&user.id).commit()?;
            }
            (false, None) => self.look_for_person(&user.id),
            _ => {}
        }
        if user.active {
            // How they are mentioned from now on.
            self.with_present_name(ghost, &UserRef::from(user))?;
        }
        Ok(())
    }

    /// Looks for everybody with a ghost who is not among these: perhaps their accounts
    /// are deleted.
    pub(in crate::bridge) fn look_for_missing(
        self: &Arc<Self>,
        listed: &HashSet<RocketUserId>,
    ) -> Result<(), Failure> {
        for ghost in self.store.ghosts() {
            let id = &ghost.rocket_id;
            if !listed.contains(id) && self.store.departure(id)? != Some(Departure::Deleted) {
                self.look_for_person(id);
            }
        }
        Ok(())
    }

    /// Something hints that somebody's account is gone.
    pub(in crate::bridge) fn look_for_person(self: &Arc<Self>, id: &RocketUserId) {
        let (bridge, id) = (Arc::clone(self), id.clone());
        tokio::spawn(async move {
            if let Err(failure) = bridge.look_for_person_now(&id).await {
                tracing::warn!(%id, %failure, "whether somebody is still there cannot be told now");
            }
        });
    }

    async fn look_for_person_now(self: &Arc<Self>, id: &RocketUserId) -> Result<(), Failure> {
        let Some(ghost) = self.store.ghost(id)? else {
            return Ok(());
        };
        let _one_at_a_time = self.rounds.parting.lock(id).await;
        let found = self
            .persevere(async |_| Ok(self.rocket().await.bot.user_by_id(id).await?))
            .await?;
        let departure = match found {
            Some(user) if user.active => return Ok(()),
            Some(_) => Departure::Deactivated,
            None => Departure::Deleted,
        };
        if self.store.departure(id)? == Some(departure) {
            return Ok(());
        }
        tracing::info!(ghost = %ghost.user_id, ?departure, "an account on Rocket.Chat is gone");
        self.take_ghost_out(&ghost, departure).await?;
        self.store.change().departure(id, &departure).commit()?;
        Ok(())
    }

    /// A ghost leaves all its rooms, after what its person had written there last.
    async fn take_ghost_out(
        self: &Arc<Self>,
        ghost: &Ghost,
        departure: Departure,
    ) -> Result<(), Failure> {
        let reason = match departure {
            Departure::Deactivated => Reason::PersonDeactivated,
            Departure::Deleted => Reason::PersonDeleted,
        };
        let intent = self.as_ghost(ghost);
        let rooms = self
            .persevere(async |_| Ok(intent.joined_rooms().await?))
            .await?;
        for room in rooms {
            if let Some(portal) = self.store.portal_of_room(&room)? {
                // Also what was deleted together with the account, of which nobody tells.
                if let Err(failure) = self.read_back_now(&portal.id).await {
                    tracing::info!(rid = %portal.rid, %failure, "a room could not be read back before somebody leaves it");
                }
                self.to_matrix.settled(&portal.id).await;
                // One of several people on Rocket.Chat leaves it to the others.
                if is_direct(&portal) && portal.kind.direct_peers().count() == 1 {
                    self.end_portal(&portal, reason.clone()).await?;
                    continue;
                }
            } else if self.store.ending_of_room(&room)?.is_some() {
                // It leaves at the end of that.
                continue;
            }
            let why = super::words::leaving(&reason);
            self.persevere(async |_| {
                Ok(super::take_back::is_out(
                    intent.leave(&room, Some(why)).await,
                )?)
            })
            .await?;
            self.store
                .change()
                .ghost_not_in_room(&room, &ghost.user_id)
                .commit()?;
        }
        Ok(())
    }

    /// Why nobody on Rocket.Chat can be met by this ghost, in words for whoever invited
    /// it.
    pub(in crate::bridge) async fn why_nobody(
        &self,
        ghost: &UserId,
    ) -> Result<&'static str, Failure> {
        const NOBODY: &str = "There is no such person on Rocket.Chat.";
        let rocket = self.rocket().await;
        let user = match self.store.ghost_by_localpart(ghost.localpart())? {
            Some(known) => match rocket.bot.user_by_id(&known.rocket_id).await? {
                Some(user) => user,
                None => {
                    return Ok(
                        "The account of this person on Rocket.Chat was deleted. Whoever has the same name there now is somebody else.",
                    );
                }
            },
            None => {
                let prefix = &self.config.appservice.ghost_prefix;
                let name = crate::bridge::ghosts::username_of(ghost.localpart(), prefix);
                let found = match name {
                    Some(name) => rocket.bot.user_by_username(&name).await?,
                    None => None,
                };
                match found {
                    Some(user) => user,
                    None => return Ok(NOBODY),
                }
            }
        };
        Ok(match (user.federated, user.active) {
            (true, _) => {
                "This person belongs to Rocket.Chat's own federation, which the bridge leaves alone: write to them on their own server."
            }
            (false, false) => "The account of this person on Rocket.Chat is deactivated.",
            (false, true) => NOBODY,
        })
    }
}
