//! Somebody wishes that a room is mirrored no more.

use std::sync::Arc;

use super::is_direct;
use crate::bridge::openings::is_like;
use crate::bridge::{Bridge, Context, Failure};
use crate::store::{Portal, PortalId, Reason};

impl Bridge {
    /// Ends the portal of this Matrix room, or of the channel with that name, at
    /// somebody's wish. Returns it as it was.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person when there is no such portal,
    /// or it is not for them to end.
    pub async fn unbridge(
        self: &Arc<Self>,
        context: &Context,
        name: Option<&str>,
    ) -> Result<Portal, Failure> {
        let is_admin = self.is_admin(context);
        // A repeat, after the bridge was killed.
        let ending = match (name, &context.room, &context.rid) {
            (None, Some(room), _) => self.store.ending_of_room(room)?,
            (None, None, Some(rid)) => self.store.ending(&PortalId::own(rid))?,
            _ => None,
        };
        if let Some(ending) = ending {
            return Ok(ending.portal);
        }
        let portal = match name {
            None => self
                .portals_here(context)?
                .into_iter()
                .next()
                .ok_or_else(|| {
                    Failure::Refused(format!(
                        "This room is not mirrored. Which channel? For example: `{}`",
                        context.written("unbridge general")
                    ))
                })?,
            // Names of private groups are nobody's business.
            Some(_) if !is_admin => {
                return Err(Failure::Refused(
                    "That is for administrators of the bridge; others end a channel in its own room.".into(),
                ));
            }
            Some(name) => self.portal_named(name).await?,
        };
        if is_direct(&portal) {
            return Err(Failure::Refused(
                "A direct message is not ended by a command: leave the room. When the other one writes again you are invited again.".into(),
            ));
        }
        self.must_be_for_them(context, &portal).await?;
        let by = context.who.to_string();
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
