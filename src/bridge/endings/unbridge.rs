//! Somebody wishes that a room is mirrored no more.

use std::sync::Arc;

use ruma::RoomId;

use super::is_direct;
use crate::bridge::openings::is_like;
use crate::bridge::{Bridge, Context, Failure};
use crate::store::{Ending, Portal, Reason, StoreError};

/// How many rooms are listed when it is to be said which is meant.
const MOST_LISTED: usize = 20;

/// Whether somebody means a portal by this name, or id of its Matrix room.
fn is_named(portal: &Portal, name: &str) -> bool {
    portal.name == name || portal.room_id.as_str() == name
}

/// The one of these portals, which all answer to `what`.
///
/// # Errors
/// [`Failure::Refused`] with how to say which, when there are several.
fn the_only(context: &Context, found: Vec<Portal>, what: &str) -> Result<Portal, Failure> {
    let [portal] = <[Portal; 1]>::try_from(found).map_err(|found| {
        let rooms: Vec<_> = found
            .iter()
            .take(MOST_LISTED)
            .map(|portal| context.written(&format!("unbridge {}", portal.room_id)))
            .map(|command| format!("`{command}`"))
            .collect();
        Failure::Refused(format!(
            "Several rooms on Matrix are connected with {what}. Which is to be ended? {}",
            rooms.join(", ")
        ))
    })?;
    Ok(portal)
}

impl Bridge {
    /// Ends the portal of this Matrix room, or of the channel with that name, or of the
    /// Matrix room with that id, at somebody's wish. Returns it as it was.
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
        if let Some(ending) = self.just_ending(context, &here, name)? {
            return Ok(ending.portal);
        }
        let by_room = here
            .iter()
            .find(|portal| Some(portal.room_id.as_str()) == name);
        // In the room that it is about, its name says no more than none.
        let is_here = !here.is_empty()
            && name.is_none_or(|name| here.iter().all(|portal| portal.name == name));
        let portal = match name {
            _ if by_room.is_some() => by_room.cloned(),
            _ if is_here => Some(the_only(context, here, "this one")?),
            None => None,
            // Names of private groups are nobody's business.
            Some(_) if !is_admin => {
                return Err(Failure::Refused(
                    "That is for administrators of the bridge; others end a channel in its own room.".into(),
                ));
            }
            Some(name) => {
                let named = self.portals_named(name).await?;
                if named.is_empty()
                    && let Some(ending) = self.ending_named(name)
                {
                    return Ok(ending.portal);
                }
                if named.is_empty() {
                    return Err(Failure::Refused(format!(
                        "No channel named {name} is mirrored; `list` shows which are."
                    )));
                }
                Some(the_only(context, named, name)?)
            }
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

    /// What was ended by this very command before the bridge was killed: of the room in
    /// which it is given, what is just ending and is meant.
    fn just_ending(
        &self,
        context: &Context,
        here: &[Portal],
        name: Option<&str>,
    ) -> Result<Option<Ending>, StoreError> {
        let endings = match (&context.room, &context.rid) {
            (Some(room), _) => Vec::from_iter(self.store.ending_of_room(room)?),
            (None, Some(rid)) => {
                let endings = self.store.endings().into_iter();
                endings.filter(|one| one.portal.rid == *rid).collect()
            }
            (None, None) => Vec::new(),
        };
        let is_meant = |portal: &Portal| match name {
            None => here.is_empty(),
            Some(name) => is_named(portal, name) && !here.iter().any(|other| is_named(other, name)),
        };
        Ok(endings.into_iter().find(|one| is_meant(&one.portal)))
    }

    /// The same of a channel that is named elsewhere.
    fn ending_named(&self, name: &str) -> Option<Ending> {
        let mut endings = self.store.endings().into_iter();
        endings.find(|ending| !is_direct(&ending.portal) && is_named(&ending.portal, name))
    }

    /// The portal of the Matrix room with this id; or those of the channel or group that
    /// has this name now; or those that had it when they were first mirrored.
    async fn portals_named(&self, name: &str) -> Result<Vec<Portal>, Failure> {
        if let Ok(room) = RoomId::parse(name) {
            return Ok(Vec::from_iter(self.store.portal_of_room(&room)?));
        }
        let rocket = self.rocket().await;
        let room = match rocket.bot.channel_named(name).await? {
            Some(room) => Some(room),
            None => rocket.bot.group_by_name(name).await?,
        };
        if let Some(room) = room {
            let found = self.store.portals_of(&room.id)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let all = self.store.portals().into_iter();
        Ok(all
            .filter(|portal| !is_direct(portal) && portal.name == name)
            .collect())
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
