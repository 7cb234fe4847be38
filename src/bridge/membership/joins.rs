//! Ghosts that come although their person has not spoken: one after the other, with
//! pauses, so that messages do not wait behind them.

use std::sync::Arc;
use std::time::Duration;

use super::room_type;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::rocketchat::documents::UserRef;
use crate::store::PortalId;

/// How long between two joins: each is an event that the homeserver works out for every
/// member of the room.
const BETWEEN_JOINS: Duration = Duration::from_millis(40);

impl Bridge {
    /// Brings ghosts in for as long as the bridge runs.
    pub(super) async fn join_members(self: Arc<Self>) {
        loop {
            let next = self.members.joins.next().await;
            let bridge = Arc::clone(&self);
            let (portal, id) = next.clone();
            // In a task of its own: a panic must not end the worker.
            let join = tokio::spawn(async move {
                let joined = bridge.persevere(|_| bridge.join_member(&portal, &id)).await;
                if let Err(failure) = joined {
                    tracing::warn!(%portal, person = %id, %failure, "a ghost could not come in");
                }
            });
            if join.await.is_err() {
                tracing::error!(?next, "a join ended unexpectedly");
            }
            self.members.joins.done(&next);
            tokio::time::sleep(BETWEEN_JOINS).await;
        }
    }

    async fn join_member(&self, portal: &PortalId, id: &RocketUserId) -> Result<(), Failure> {
        let key = (portal.rid(), id.as_str().to_owned());
        let _alone = self.members.settling.lock(&key).await;
        let Some(portal) = self.store.portal(portal)? else {
            return Ok(());
        };
        let rocket = self.rocket().await;
        let is_ours = *id == *rocket.bot.user_id() || self.store.behind_puppet(id)?.is_some();
        if is_ours || room_type(&portal).is_none() {
            return Ok(());
        }
        let Some(person) = rocket.bot.user_by_id(id).await? else {
            return Ok(());
        };
        let is_banned = self.store.standing(&portal.id, id)?.ban.is_some();
        if !person.active || person.federated || is_banned || !self.is_member(&portal, id).await? {
            return Ok(());
        }
        let ghost = self.ghost_of(&UserRef::from(&person)).await?;
        // Somebody may have removed it, of which the event is still to come.
        let seat = self.seat(&portal, &ghost.user_id).await?;
        let was_in = self
            .store
            .is_ghost_in_room(&portal.room_id, &ghost.user_id)?;
        match seat.membership() {
            "ban" => return Ok(()),
            "leave" if was_in => return Ok(()),
            _ => self.join_ghost(&portal, &portal.room_id, &ghost).await?,
        }
        self.note_standing(&portal, id, true)
    }
}
