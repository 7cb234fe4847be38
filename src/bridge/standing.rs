//! What whoever asks may change: asked of both servers at that moment, since rights that
//! somebody had a minute ago are none.

use ruma::{RoomId, UserId};

use super::context::{Context, Who};
use super::power::POWER_LEVELS;
use super::{Bridge, Failure};
use crate::config::Giver;
use crate::rocketchat::documents::RoomType;
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::store::{Portal, PortalKind, Stand};

const NOT_YOURS: &str = "That is for administrators of the bridge (`bridge.admins` in its configuration), or for whoever may change the rights in this room and owns the channel on Rocket.Chat.";

/// The role of Rocket.Chat's administrators.
const SERVER_ADMIN: &str = "admin";

impl Bridge {
    /// Whether whoever asks administers the bridge: on Matrix those whom the configuration
    /// names, on Rocket.Chat the administrators of the server, whose account the bridge's is
    /// as well; and a token that may write.
    pub fn is_admin(&self, context: &Context) -> bool {
        match &context.who {
            Who::Matrix(user) => self.config.bridge.admins.contains(user),
            // Their roles are those that the server has just told.
            Who::RocketChat { roles, .. } => roles.iter().any(|role| role == SERVER_ADMIN),
            Who::Api(_) => true,
        }
    }

    /// What the rules of the configuration say of whoever asks and a command: no; or yes,
    /// by a rule that names the command. None when nothing is ruled: then who may give it
    /// by itself.
    pub fn rule_for(&self, context: &Context, command: &str) -> Option<bool> {
        let options = &self.config.commands;
        if options.rules.is_empty() {
            return None;
        }
        let mut rooms: Vec<String> = context.place_id().into_iter().collect();
        // An unreadable record names no room, and rules that need one do not fit.
        for portal in self.portals_here(context).unwrap_or_default() {
            rooms.push(portal.room_id.to_string());
            rooms.push(format!("rocketchat:{}", portal.rid));
        }
        let (account, roles) = match &context.who {
            Who::RocketChat { id, roles, .. } => (Some(id.as_str()), roles.as_slice()),
            _ => (None, &[][..]),
        };
        options.allows(
            command,
            &Giver {
                user: context.matrix_user(),
                account,
                roles,
                rooms: &rooms,
            },
        )
    }

    /// Whether whoever asks may know that there is a channel or group of that name: of
    /// public channels everybody, of others administrators of the bridge and who is a
    /// member of it, on Rocket.Chat or by their puppet.
    ///
    /// # Errors
    /// When Rocket.Chat fails.
    pub async fn may_know_of(&self, context: &Context, name: &str) -> Result<bool, Failure> {
        if self.is_admin(context) {
            return Ok(true);
        }
        let rocket = self.rocket().await;
        let (room, is_public) = match rocket.bot.channel_named(name).await? {
            Some(room) => {
                let is_public = room.team_id.is_none() && room.prid.is_none();
                (Some(room), is_public)
            }
            None => (rocket.bot.group_by_name(name).await?, false),
        };
        let account = match &context.who {
            Who::Matrix(user) => self.store.puppet(user)?.map(|p| p.credentials.user_id),
            Who::RocketChat { id, .. } => Some(id.clone()),
            Who::Api(_) => None,
        };
        match (room, account) {
            (Some(_), _) if is_public => Ok(true),
            (Some(room), Some(account)) => Ok(rocket.bot.is_member(&room.id, &account).await?),
            _ => Ok(false),
        }
    }

    /// Whether somebody may change what a Matrix room is connected with: who is in it now
    /// and may set the rights of others. The bot must be able to read the room's state.
    ///
    /// # Errors
    /// When the homeserver fails, or does not show the bot the room.
    pub async fn may_change_matrix_room(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<bool, Failure> {
        let bot = self.matrix.bot();
        // Levels outlive membership.
        let member = bot.state(room, "m.room.member", user.as_str()).await?;
        let is_there = member
            .and_then(|member| Some(member.get("membership")?.as_str()? == "join"))
            .unwrap_or(false);
        if !is_there {
            return Ok(false);
        }
        let levels = self.power_levels_in(&bot, room).await?;
        Ok(levels.may_set_state(user, POWER_LEVELS))
    }

    /// Whether somebody may change what a channel or group of Rocket.Chat is connected
    /// with: who may do there now what its owners may, by their roles in the room or on
    /// the server. Nobody may in a direct message.
    ///
    /// # Errors
    /// When Rocket.Chat fails.
    pub async fn may_change_rocket_room(
        &self,
        rid: &RocketRoomId,
        user: &RocketUserId,
    ) -> Result<bool, Failure> {
        let room = self.rocket().await.bot.room_as_admin(rid).await?;
        let Some(room) = room.filter(|room| matches!(room.t, RoomType::Channel | RoomType::Group))
        else {
            return Ok(false);
        };
        Ok(self.stand_on_rocketchat(rid, &room.t, user).await? == Stand::Owner)
    }

    /// What somebody may do in a channel or group of Rocket.Chat now, by their roles there
    /// and on the server: not the names of roles count but what this server lets them do.
    /// Whoever is muted may still have roles.
    ///
    /// # Errors
    /// When Rocket.Chat fails.
    pub async fn stand_on_rocketchat(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
        user: &RocketUserId,
    ) -> Result<Stand, Failure> {
        let rocket = self.rocket().await;
        let Some(account) = rocket.bot.user_by_id(user).await? else {
            return Ok(Stand::Member);
        };
        if !account.active {
            return Ok(Stand::Member);
        }
        let mut roles = account.roles;
        match rocket.bot.room_roles(rid, kind).await {
            Ok(holders) => roles.extend(
                holders
                    .into_iter()
                    .filter(|holder| holder.u.id == *user)
                    .flat_map(|holder| holder.roles),
            ),
            // A private group that the bridge's account is not in: only the server's roles.
            Err(error) if error.is_denied() || error.code() == Some("error-room-not-found") => {}
            Err(error) => return Err(error.into()),
        }
        self.stand_by_roles(&roles).await
    }

    /// Whether whoever asks may change a portal: administrators of the bridge and tokens,
    /// and whoever may do so on both sides, on the other one in the shape of their puppet
    /// or ghost.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them when they may not.
    pub async fn must_be_for_them(
        &self,
        context: &Context,
        portal: &Portal,
    ) -> Result<(), Failure> {
        if self.is_admin(context) || self.may_change_on_both(context, portal).await? {
            return Ok(());
        }
        Err(Failure::Refused(NOT_YOURS.into()))
    }

    /// As [`Bridge::must_be_for_them`], of people alone.
    ///
    /// # Errors
    /// When a server fails.
    pub async fn may_change_on_both(
        &self,
        context: &Context,
        portal: &Portal,
    ) -> Result<bool, Failure> {
        let kind = match portal.kind {
            PortalKind::Channel => RoomType::Channel,
            PortalKind::Group => RoomType::Group,
            PortalKind::Direct { .. } => return Ok(false),
        };
        let room = &portal.room_id;
        let (may_here, account) = match &context.who {
            Who::Matrix(user) => {
                let Some(puppet) = self.store.puppet(user)? else {
                    return Ok(false);
                };
                let may = self.may_change_matrix_room(room, user).await?;
                (may, puppet.credentials.user_id)
            }
            Who::RocketChat { id, .. } => {
                let may = match self.person_in(portal, id).await? {
                    Some(person) => {
                        let levels = self.power_levels(portal).await?;
                        levels.may_set_state(&person, POWER_LEVELS)
                    }
                    None => false,
                };
                (may, id.clone())
            }
            Who::Api(_) => return Ok(false),
        };
        if !may_here {
            return Ok(false);
        }
        Ok(self
            .stand_on_rocketchat(&portal.rid, &kind, &account)
            .await?
            == Stand::Owner)
    }
}
