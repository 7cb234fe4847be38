//! Somebody wishes that a room is mirrored no more.

use std::sync::Arc;

use super::is_direct;
use crate::bridge::openings::is_like;
use crate::bridge::{Bridge, Context, Failure};
use crate::store::{Portal, Reason};

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
        let here = self.portals_here(context)?;
        // A repeat, after the bridge was killed.
        let ending = match (name, &context.room, &context.rid) {
            _ if !here.is_empty() => None,
            (None, Some(room), _) => self.store.ending_of_room(room)?,
            (_, None, Some(rid)) => {
                let mut endings = self.store.endings().into_iter();
                endings.find(|ending| ending.portal.rid == *rid)
            }
            _ => None,
        };
        if let Some(ending) = ending {
            return Ok(ending.portal);
        }
        let named = here
            .iter()
            .find(|portal| Some(portal.room_id.as_str()) == name);
        let portal = match name {
            _ if named.is_some() => named.cloned(),
            None if here.len() > 1 => {
                let rooms: Vec<_> = here
                    .iter()
                    .map(|portal| context.written(&format!("unbridge {}", portal.room_id)))
                    .map(|command| format!("`{command}`"))
                    .collect();
                return Err(Failure::Refused(format!(
                    "Several rooms on Matrix are connected with this one. Which is to be ended? {}",
                    rooms.join(", ")
                )));
            }
            None => here.into_iter().next(),
            // Names of private groups are nobody's business.
            Some(_) if !is_admin => {
                return Err(Failure::Refused(
                    "That is for administrators of the bridge; others end a channel in its own room.".into(),
                ));
            }
            Some(name) => Some(self.portal_named(name).await?),
        };
        let portal = portal.ok_or_else(|| {
            Failure::Refused(format!(
                "This room is not mirrored. Which channel? For example: `{}`",
                context.written("unbridge general")
            ))
        })?;
        if is_direct(&portal) {
            return Err(Failure::Refused(
                "A direct message is not ended by a command: leave the room. When the other one writes again you are invited again.".into(),
            ));
        }
        match portal.plumbed {
            true => self.must_administer_either(context, &portal).await?,
            false => self.must_be_for_them(context, &portal).await?,
        }
        let by = context.who.to_string();
        self.end_portal(&portal, Reason::Unbridged { by }).await?;
        Ok(portal)
    }

    /// The portal of the channel or group that has this name now, or had it when it was
    /// first mirrored.
    async fn portal_named(&self, name: &str) -> Result<Portal, Failure> {
        let rocket = self.rocket().await;
        let room = match rocket.bot.channel_named(name).await? {
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
