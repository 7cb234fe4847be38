//! What roles may do on Rocket.Chat: an administrator may have given and taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::room_type;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::store::{Portal, Stand};

/// How long they are believed; changes are told of besides.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// What level 50 stands for in a room of Matrix.
const OF_MODERATORS: [&str; 4] = ["mute-user", "remove-user", "delete-message", "edit-room"];

/// What level 100 stands for besides.
const OF_OWNERS: [&str; 2] = ["set-owner", "set-moderator"];

/// The right to add people to a room that one is in.
pub(in crate::bridge) const ADD_PEOPLE: &str = "add-user-to-joined-room";

/// The permissions as they were last seen.
#[derive(Debug, Default)]
pub(super) struct LastSeen(Mutex<Option<(Instant, Arc<Permissions>)>>);

/// Which roles have which permission.
#[derive(Debug, Default)]
pub(super) struct Permissions(BTreeMap<String, Vec<String>>);

impl Permissions {
    /// Whether somebody with these roles may do all of that.
    pub(super) fn allow(&self, roles: &[String], permissions: &[&str]) -> bool {
        permissions.iter().all(|permission| {
            self.0
                .get(*permission)
                .is_some_and(|holders| roles.iter().any(|role| holders.contains(role)))
        })
    }

    /// What roles in a room amount to. Not their names count: a leader mostly may do no
    /// more than anybody, and a server may have taken rights from its moderators.
    pub(super) fn stand_of(&self, roles: &[String]) -> Stand {
        let looks_after = self.allow(roles, &OF_MODERATORS);
        match looks_after {
            true if self.allow(roles, &OF_OWNERS) => Stand::Owner,
            true => Stand::Moderator,
            false => Stand::Member,
        }
    }
}

impl Bridge {
    /// The permissions of Rocket.Chat's roles, not older than a few minutes.
    pub(super) async fn permissions(&self) -> Result<Arc<Permissions>, Failure> {
        let seen = {
            let last = &self.members.permissions.0;
            last.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        if let Some((at, permissions)) = seen
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(permissions);
        }
        let asked = self.rocket().await.bot.permissions().await?;
        let permissions = Arc::new(Permissions(asked));
        *self
            .members
            .permissions
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), Arc::clone(&permissions)));
        Ok(permissions)
    }

    /// Lets the permissions be asked for anew.
    pub(super) fn forget_permissions(&self) {
        self.voices.forget_names();
        *self
            .members
            .permissions
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether somebody with these roles on the server may do that.
    pub(in crate::bridge) async fn roles_allow(
        &self,
        roles: &[String],
        permission: &str,
    ) -> Result<bool, Failure> {
        Ok(self.permissions().await?.allow(roles, &[permission]))
    }

    /// What roles in a room and on the server together amount to.
    pub(in crate::bridge) async fn stand_by_roles(
        &self,
        roles: &[String],
    ) -> Result<Stand, Failure> {
        Ok(self.permissions().await?.stand_of(roles))
    }

    /// Whether a puppet may add people to a portal's room.
    pub(in crate::bridge) async fn may_invite(
        &self,
        portal: &Portal,
        puppet: &RocketUserId,
    ) -> Result<bool, Failure> {
        let kind = room_type(portal).unwrap_or_default();
        let rocket = self.rocket().await;
        let holders = rocket.bot.room_roles(&portal.rid, &kind).await?;
        let mut roles = holders
            .into_iter()
            .find(|holder| holder.u.id == *puppet)
            .map_or_else(Vec::new, |holder| holder.roles);
        let account = rocket.bot.user_by_id(puppet).await?;
        roles.extend(account.into_iter().flat_map(|account| account.roles));
        let permissions = self.permissions().await?;
        Ok(permissions.allow(&roles, &[ADD_PEOPLE]) && self.is_member(portal, puppet).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Permissions {
        let mut table = BTreeMap::new();
        for permission in OF_MODERATORS {
            table.insert(
                permission.to_owned(),
                vec![
                    "admin".to_owned(),
                    "owner".to_owned(),
                    "moderator".to_owned(),
                ],
            );
        }
        for permission in OF_OWNERS {
            table.insert(permission.to_owned(), vec!["owner".to_owned()]);
        }
        Permissions(table)
    }

    #[test]
    fn a_role_is_what_it_may_do() {
        let stand =
            |permissions: &Permissions, role: &str| permissions.stand_of(&[role.to_owned()]);
        let mut permissions = usual();
        assert_eq!(stand(&permissions, "owner"), Stand::Owner);
        assert_eq!(stand(&permissions, "moderator"), Stand::Moderator);
        assert_eq!(stand(&permissions, "leader"), Stand::Member);
        for holders in permissions.0.values_mut() {
            holders.push("leader".to_owned());
        }
        assert_eq!(stand(&permissions, "leader"), Stand::Owner);
        let mut permissions = usual();
        permissions
            .0
            .insert("remove-user".to_owned(), vec!["owner".to_owned()]);
        assert_eq!(stand(&permissions, "moderator"), Stand::Member);
    }
}
