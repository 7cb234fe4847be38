//! Direct messages that somebody asks the bridge for by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use ruma::{OwnedUserId, UserId};

use super::invited::Founders;
use crate::bridge::failure::Side;
use crate::bridge::{Bridge, Failure};
use crate::matrix::Kind;
use crate::rocketchat::documents::UserRef;
use crate::rocketchat::{RocketUserId, Username};
use crate::store::{Ghost, Portal};

/// The right to begin direct messages.
pub(in crate::bridge) const BEGIN_DIRECT: &str = "create-d";

/// What to tell somebody of Matrix who names more people than it may have.
const TOO_MANY: &str = "These are more people than a direct message on Rocket.Chat may have. Make a private room on Matrix and invite them there: it becomes a private group.";

/// What came of the wish for a direct message with people of Matrix.
#[derive(Debug)]
pub struct OpenedDirect {
    /// Where it is on Rocket.Chat.
    pub link: String,
    /// Who could not be invited to its room on Matrix, and why.
    pub uninvited: Vec<(OwnedUserId, String)>,
}

/// Somebody whom a command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A Matrix user.
    OnMatrix(OwnedUserId),
    /// A user name on Rocket.Chat.
    OnRocketChat(String),
}

impl Bridge {
    /// Whom a command names: a ghost is the person on Rocket.Chat, and a puppet the one on
    /// Matrix.
    ///
    /// # Errors
    /// When the store or Rocket.Chat fails.
    pub async fn whom(&self, named: Named) -> Result<Named, Failure> {
        Ok(match named {
            Named::OnMatrix(user) if self.config.is_ghost(&user) => {
                match self
                    .person_behind(&user)
                    .await?
                    .and_then(|person| person.username)
                {
                    Some(username) => Named::OnRocketChat(username.into_string()),
                    None => Named::OnMatrix(user),
                }
            }
            Named::OnRocketChat(name) => {
                let rocket = self.rocket().await;
                let account = match Username::parse(&name) {
                    Ok(username) => rocket.bot.user_named(&username).await?,
                    Err(_) => None,
                };
                let behind = match account {
                    Some(account) => self.store.behind_puppet(&account.id)?,
                    None => None,
                };
                behind.map_or(Named::OnRocketChat(name), Named::OnMatrix)
            }
            named => named,
        })
    }

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
        // Once each, however often they are named.
        let names: BTreeSet<&str> = usernames.iter().copied().collect();
        if names.len() >= self.settings_now().await?.max_in_direct {
            return Err(Failure::Refused(TOO_MANY.into()));
        }
        let puppet = self.puppet_of(user).await?;
        let own = &puppet.credentials.user_id;
        let mut ghosts: Vec<Ghost> = Vec::new();
        for name in names {
            let ghost = self.ghost_to_write_to(name, own).await?;
            if !ghosts.contains(&ghost) {
                ghosts.push(ghost);
            }
        }
        let founders = Founders {
            users: vec![user.to_owned()],
            ghosts,
        };
        let portal = self.open_direct_of(&founders).await?;
        let portal = portal.ok_or_else(|| Failure::Refused(TOO_MANY.into()))?;
        self.invite_back(&portal, user).await?;
        self.read_back(portal.id.clone());
        self.follow_direct(portal.clone());
        Ok(portal)
    }

    /// The direct message of somebody on Rocket.Chat with people of Matrix, found or
    /// made. These are invited to its room. Rocket.Chat lets nobody make one for another
    /// but administrators, so a puppet makes it, and only where the person may.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person when there is no such user, or
    /// they may not write to them.
    pub async fn open_direct_from(
        self: &Arc<Self>,
        caller: &RocketUserId,
        users: &[OwnedUserId],
    ) -> Result<OpenedDirect, Failure> {
        let refused = |why: &str| Err(Failure::Refused(why.into()));
        let rocket = self.rocket().await;
        let person = match rocket.bot.user_by_id(caller).await? {
            Some(person) if person.active && !person.federated => person,
            _ => return refused("Your account is not one that can write to people on Matrix."),
        };
        if !self.roles_allow(&person.roles, BEGIN_DIRECT).await? {
            return refused("You may not begin direct messages on this server.");
        }
        let most = self.settings_now().await?.max_in_direct;
        if users.len() >= most {
            return Err(Failure::Refused(format!(
                "A direct message on this server has at most {most} people, you among them."
            )));
        }
        for user in users {
            self.must_be_there_to_write_to(user, caller).await?;
        }
        let founders = Founders {
            users: users.to_vec(),
            ghosts: vec![self.ghost_of(&UserRef::from(&person)).await?],
        };
        let Some(portal) = self.open_direct_of(&founders).await? else {
            return refused("These are more people than a direct message on this server may have.");
        };
        let mut uninvited = Vec::new();
        for user in users {
            match self.invite_back(&portal, user).await {
                Err(failure) if failure.is_permanent() => {
                    uninvited.push((user.clone(), failure.person_text()));
                }
                outcome => outcome?,
            }
        }
        self.read_back(portal.id.clone());
        self.follow_direct(portal.clone());
        let settings = self.server_settings().await?;
        let link = settings.room_link(&portal, None, rocket.client.base_url());
        Ok(OpenedDirect {
            link: link.into(),
            uninvited,
        })
    }

    /// The direct message of these people, found or made. None when they are more than it
    /// may have.
    async fn open_direct_of(
        self: &Arc<Self>,
        founders: &Founders,
    ) -> Result<Option<Portal>, Failure> {
        let Some(rid) = self.direct_room_of(founders).await? else {
            return Ok(None);
        };
        if let Some(known) = self.store.own_portal(&rid)? {
            return Ok(Some(known));
        }
        let Some(first) = founders.users.first() else {
            return Ok(None);
        };
        let puppet = self.puppet_of(first).await?;
        let room = self
            .as_puppet(&puppet, |session| {
                let rid = rid.clone();
                async move { session.room_info(&rid).await }
            })
            .await?;
        let portal = match room {
            Some(room) => self.open_direct(&room).await?,
            None => None,
        };
        let portal = portal.ok_or_else(|| {
            Failure::Refused("This direct message cannot be mirrored: somebody in it belongs to Rocket.Chat's own federation.".into())
        })?;
        Ok(Some(portal))
    }

    /// # Errors
    /// [`Failure::Refused`] when somebody of Rocket.Chat cannot write to this user of
    /// Matrix, with why.
    pub(in crate::bridge) async fn must_be_there_to_write_to(
        &self,
        user: &UserId,
        caller: &RocketUserId,
    ) -> Result<(), Failure> {
        let refused = |why: String| Err(Failure::Refused(why));
        if *user == self.config.appservice.bot {
            return refused(format!("`{user}` is the bridge itself. Talk to it here."));
        }
        if self.config.is_ghost(user) {
            let known = self.store.ghost_by_localpart(user.localpart())?;
            return refused(match known {
                Some(ghost) if ghost.rocket_id == *caller => {
                    format!("`{user}` is you, as people on Matrix see you.")
                }
                Some(ghost) => format!(
                    "`{user}` stands for {} on Matrix: write to them here.",
                    ghost.username
                ),
                None => format!("`{user}` is nobody: only people of Rocket.Chat have such names."),
            });
        }
        let own = self.store.linked(caller)?;
        if own.is_some_and(|link| link.matrix_id == *user) {
            return refused(format!("`{user}` is you."));
        }
        let is_local = user.server_name() == self.config.homeserver.server_name;
        match self.matrix.bot().has_profile(user).await {
            Ok(true) => {}
            Ok(false) => {
                return refused(format!(
                    "There is nobody called `{user}` on Matrix. The name and the server must be written exactly."
                ));
            }
            // The homeserver does not tell of those who share no room with the bridge.
            Err(error) if error.is_forbidden() => {}
            // Theirs, not ours.
            Err(error)
                if !is_local
                    && matches!(error.kind(), Kind::Server { .. } | Kind::Api { .. })
                    && self.is_there(Side::Matrix).await =>
            {
                return refused(format!(
                    "The homeserver {} does not answer for `{user}`. Perhaps the name is wrong, or it is away: try again later.",
                    user.server_name()
                ));
            }
            Err(error) => return Err(error.into()),
        }
        let Some(puppet) = self.store.puppet(user)? else {
            return Ok(());
        };
        let rocket = self.rocket().await;
        let account = rocket.bot.user_by_id(&puppet.credentials.user_id).await?;
        if account.is_some_and(|account| !account.active) {
            return refused(format!(
                "The account {} of `{user}` on this server is switched off; an administrator can switch it on.",
                puppet.username
            ));
        }
        Ok(())
    }

    /// The ghost of somebody on Rocket.Chat whom a person of Matrix names, who has this
    /// account there.
    pub(in crate::bridge) async fn ghost_to_write_to(
        &self,
        name: &str,
        own: &RocketUserId,
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
        let Some(person) = rocket.bot.user_named(&username).await? else {
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
