//! Direct messages that somebody asks the bridge for by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use ruma::UserId;

use super::invited::Founders;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::Username;
use crate::rocketchat::documents::UserRef;
use crate::store::{Ghost, Portal};

impl Bridge {
    /// The direct message of a Matrix user with people of Rocket.Chat, found or made; the
    /// user is invited to its room.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the user when there is no such person, or
    /// nobody can write to them.
    pub async fn open_direct_with(
        self: &Arc<Self>,
        user: &UserId,
        usernames: &[&str],
    ) -> Result<Portal, Failure> {
        let puppet = self.puppet_of(user).await?;
        let own = &puppet.credentials.user_id;
        let mut ghosts: Vec<Ghost> = Vec::new();
        // Once each, however often they are named.
        for name in usernames.iter().copied().collect::<BTreeSet<_>>() {
            let ghost = self.ghost_to_write_to(name, own).await?;
            if !ghosts.contains(&ghost) {
                ghosts.push(ghost);
            }
        }
        let founders = Founders {
            users: vec![user.to_owned()],
            ghosts,
        };
        let Some(rid) = self.direct_room_of(&founders).await? else {
            return Err(Failure::Refused(
                "These are more people than a direct message on Rocket.Chat may have. Make a private room on Matrix and invite them there: it becomes a private group.".into(),
            ));
        };
        let known = self.store.portal(&rid)?;
        let portal = match known {
            Some(portal) => Some(portal),
            None => {
                let room = self
                    .as_puppet(&puppet, |session| {
                        let rid = rid.clone();
                        async move { session.room_info(&rid).await }
                    })
                    .await?;
                match room {
                    Some(room) => self.open_direct(&room).await?,
                    None => None,
                }
            }
        };
        let portal = portal.ok_or_else(|| {
            Failure::Refused("This direct message cannot be mirrored: somebody in it belongs to Rocket.Chat's own federation.".into())
        })?;
        self.invite_back(&portal, user).await?;
        self.read_back(portal.rid.clone());
        self.follow_direct(portal.clone());
        Ok(portal)
    }

    /// The ghost of somebody on Rocket.Chat whom a person of Matrix names, who has this
    /// account there.
    async fn ghost_to_write_to(
        &self,
        name: &str,
        own: &crate::rocketchat::RocketUserId,
    ) -> Result<Ghost, Failure> {
        let refused = |why: String| Err(Failure::Refused(why));
        let rocket = self.rocket().await;
        let unknown = || {
            format!(
                "There is nobody called {name} on Rocket.Chat. Give the user name, which stands after the @ there."
            )
        };
        let Ok(username) = Username::parse(name.trim_start_matches('@')) else {
            return refused(unknown());
        };
        let Some(person) = rocket.bot.user_by_username(&username).await? else {
            return refused(unknown());
        };
        if person.id == *rocket.bot.user_id() {
            return refused(format!(
                "{name} is the bridge itself. Talk to {} here.",
                self.config.appservice.bot
            ));
        }
        if person.id == *own {
            return refused(format!("{name} is your own account on Rocket.Chat."));
        }
        if let Some(user) = self.store.behind_puppet(&person.id)? {
            return refused(format!(
                "{name} stands for {user} on Rocket.Chat: write to them on Matrix."
            ));
        }
        if !person.active {
            return refused(format!(
                "The account of {name} on Rocket.Chat is switched off; an administrator there can switch it on."
            ));
        }
        if person.federated {
            return refused(format!(
                "{name} belongs to Rocket.Chat's own federation, which the bridge leaves alone."
            ));
        }
        self.ghost_of(&UserRef::from(&person)).await
    }
}
