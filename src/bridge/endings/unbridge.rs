//! Somebody wishes that a room is mirrored no more.

use std::sync::Arc;

use ruma::UserId;

use super::is_direct;
use crate::bridge::openings::is_like;
use crate::bridge::{Bridge, Caller, Failure};
use crate::rocketchat::documents::RoomType;
use crate::store::{Portal, PortalKind, Reason};

/// What somebody needs to change who may do what in a room.
const POWER_LEVELS: &str = "m.room.power_levels";

impl Bridge {
    /// Ends the portal of this Matrix room, or of the channel with that name, at
    /// somebody's wish. Returns it as it was.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person when there is no such portal,
    /// or it is not for them to end.
    pub async fn unbridge(
        self: &Arc<Self>,
        caller: &Caller,
        name: Option<&str>,
    ) -> Result<Portal, Failure> {
        let is_admin = self.config.bridge.admins.contains(&caller.user);
        // A repeat, after the bridge was killed.
        let ending = match name {
            None => self.store.ending_of_room(&caller.room)?,
            Some(_) => None,
        };
        if let Some(ending) = ending {
            return Ok(ending.portal);
        }
        let portal = match name {
            None => self.store.portal_of_room(&caller.room)?.ok_or_else(|| {
                Failure::Refused(
                    "This room is not connected with Rocket.Chat. Which channel? For example: `unbridge general`"
                        .into(),
                )
            })?,
            // Names of private groups are nobody's business.
            Some(_) if !is_admin => return Err(Failure::Refused(NOT_YOURS.into())),
            Some(name) => self.portal_named(name).await?,
        };
        if is_direct(&portal) {
            return Err(Failure::Refused(
                "A direct message is not ended by a command: leave the room. When the other one writes again you are invited again.".into(),
            ));
        }
        if !is_admin && !self.is_for_them_to_end(&portal, &caller.user).await? {
            return Err(Failure::Refused(NOT_YOURS.into()));
        }
        let by = caller.user.clone();
        self.end_portal(&portal, Reason::Unbridged { by }).await?;
        Ok(portal)
    }

    /// The portal of the channel or group that has this name now, or had it when it was
    /// first mirrored.
    async fn portal_named(&self, name: &str) -> Result<Portal, Failure> {
        let rocket = self.rocket().await;
        let room = match rocket.bot.channel_by_name(name).await? {
            Some(room) => Some(room),
            None => rocket.bot.group_by_name(name).await?,
        };
        let by_room = match room {
            Some(room) => self.store.own_portal(&room.id)?,
            None => None,
        };
        let found = by_room.or_else(|| {
            let portals = self.store.portals();
            portals
                .into_iter()
                .find(|portal| !is_direct(portal) && portal.name == name)
        });
        found.ok_or_else(|| {
            Failure::Refused(format!(
                "No channel named {name} is mirrored; `list` shows which are."
            ))
        })
    }

    /// Whether somebody decides over both rooms by themselves: on Matrix by their power,
    /// and on Rocket.Chat as an owner, in the shape of their puppet.
    async fn is_for_them_to_end(&self, portal: &Portal, user: &UserId) -> Result<bool, Failure> {
        if !self
            .power_levels(portal)
            .await?
            .may_set_state(user, POWER_LEVELS)
        {
            return Ok(false);
        }
        let Some(puppet) = self.store.puppet(user)? else {
            return Ok(false);
        };
        let kind = match portal.kind {
            PortalKind::Channel => RoomType::Channel,
            _ => RoomType::Group,
        };
        let owners = self.rocket().await.bot.owners(&portal.rid, &kind).await?;
        Ok(owners.contains(&puppet.credentials.user_id))
    }

    /// Whether a channel is named in the configuration, which would mirror it again if
    /// nobody had wished otherwise.
    pub fn is_configured(&self, name: &str) -> bool {
        self.config
            .bridge
            .channels
            .iter()
            .any(|known| is_like(known, name))
    }
}

const NOT_YOURS: &str = "That is for administrators of the bridge (`bridge.admins` in its configuration), or for whoever may change the rights in this room and owns the channel on Rocket.Chat.";
