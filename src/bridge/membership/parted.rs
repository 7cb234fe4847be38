//! Whose own account is out of a room on Rocket.Chat stays out of it, although they are in
//! the Matrix room: who left a conversation, or was removed from it, is not brought back by
//! the bridge. What they write on Matrix is refused in words until they come into the
//! Matrix room anew, or their account is a member again by somebody's doing there.

use ruma::UserId;
use serde_json::Value;

use super::authors::{MOST_JOINS, replaced};
use super::{Seat, room_type};
use crate::bridge::{Bridge, Failure};
use crate::store::{Change, Parted, Portal, PortalKind, Puppet};

impl Bridge {
    /// The note that somebody's own account is out of a portal's room.
    pub(super) fn parting<'a>(
        &'a self,
        portal: &Portal,
        own: &Puppet,
        seat: &Seat,
    ) -> Option<Change<'a>> {
        let event = seat.event.as_ref().filter(|_| own.own)?;
        let parted = Parted {
            room: portal.room_id.clone(),
            seat: event.event_id.clone(),
            username: own.username.clone(),
        };
        let change = self.store.change();
        Some(change.parted(&portal.id, &own.matrix_id, &parted))
    }

    /// Their account is a member again, or they are out of the Matrix room too.
    pub(super) fn no_longer_parted(&self, portal: &Portal, user: &UserId) -> Result<(), Failure> {
        if self.store.parted(&portal.id, user)?.is_some() {
            let change = self.store.change();
            change.not_parted(&portal.id, user).commit()?;
        }
        Ok(())
    }

    /// The note that keeps somebody's account out of a portal's room, if one does now.
    pub(super) async fn kept_parted(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<Option<Parted>, Failure> {
        let Some(parted) = self.store.parted(&portal.id, user)? else {
            return Ok(None);
        };
        let is_back = match self.store.puppet(user)? {
            Some(puppet) => self.is_member(portal, &puppet.credentials.user_id).await?,
            None => false,
        };
        if is_back || self.has_come_anew(portal, user, &parted).await? {
            self.no_longer_parted(portal, user)?;
            return Ok(None);
        }
        Ok(Some(parted))
    }

    /// # Errors
    /// [`Failure::Refused`] for whose own account is out of the room.
    pub(in crate::bridge) async fn must_not_be_parted(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<(), Failure> {
        if room_type(portal).is_none() {
            return Ok(());
        }
        let Some(parted) = self.kept_parted(portal, user).await? else {
            return Ok(());
        };
        let how = match portal.kind {
            PortalKind::Group => "somebody there adds it again",
            _ => "you leave this room and come in again, or join there",
        };
        Err(Failure::Refused(format!(
            "Your account {} is no longer in {} on Rocket.Chat: it left, or was removed. What you write here does not reach it until {how}.",
            parted.username, portal.name
        )))
    }

    /// Whether somebody has come into the Matrix room since their account went. A new name
    /// or picture is a join too, and following an upgrade of the room is nobody's wish: so
    /// there must have been something else than a join in between. Where that cannot be
    /// found out they have not.
    async fn has_come_anew(
        &self,
        portal: &Portal,
        user: &UserId,
        parted: &Parted,
    ) -> Result<bool, Failure> {
        let (bot, room) = (self.matrix.bot(), &portal.room_id);
        let seat = self.seat(portal, user).await?;
        let Some(now) = seat.event.as_ref().filter(|_| seat.membership() == "join") else {
            return Ok(false);
        };
        if now.event_id == parted.seat {
            return Ok(false);
        }
        // Their first stay in the room that follows an upgrade, however they came into it.
        let mut at = Some(now.event_id.clone()).filter(|_| parted.room == *room);
        for _ in 0..MOST_JOINS {
            let Some(id) = at.filter(|id| *id != parted.seat) else {
                break;
            };
            let found = bot.event(room, &id).await?;
            let membership = found
                .as_ref()
                .and_then(|found| found.content.get("membership"));
            match membership.and_then(Value::as_str) {
                Some("join") => at = found.as_ref().and_then(replaced),
                Some(_) => return Ok(true),
                None => break,
            }
        }
        // Not looked through again for each of their words.
        let seen = Parted {
            room: room.clone(),
            seat: now.event_id.clone(),
            ..parted.clone()
        };
        let change = self.store.change();
        change.parted(&portal.id, user, &seen).commit()?;
        Ok(false)
    }
}
