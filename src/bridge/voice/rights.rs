//! What somebody may do for whom the bridge's account acts: what an ordinary member may.
//! That account is an administrator's, and Rocket.Chat would let it do anything.

use ruma::UserId;

use super::NO_ACCOUNT;
use crate::bridge::membership::Seat;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::Room;
use crate::store::{Portal, Rest};

/// The role that everybody has.
const EVERYBODY: &str = "user";

/// Who may write where only some may.
const IN_READ_ONLY: &str = "post-readonly";

fn refused<T>(why: &str) -> Result<T, Failure> {
    Err(Failure::Refused(why.to_owned()))
}

impl Bridge {
    /// Whether somebody may say something in a room through the bridge's account, or
    /// react there, as both servers have it now.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person.
    pub(in crate::bridge) async fn may_speak(
        &self,
        portal: &Portal,
        user: &UserId,
        only_reacts: bool,
    ) -> Result<(), Failure> {
        // Who is not in the Matrix room cannot speak there, and who is no longer in it spoke
        // before they went: what they did stands in the room's order.
        if self
            .store
            .room_rights(&portal.id)?
            .reading_along
            .contains(user)
        {
            return refused("You were removed from this room on Rocket.Chat.");
        }
        self.must_not_be_parted(portal, user).await?;
        if !self.is_admitted(portal, user)? {
            let seat = self.seat(portal, user).await?;
            self.admit_without_account(portal, user, &seat).await?;
        }
        let rocket = self.rocket().await;
        let Some(room) = rocket.bot.room_info(&portal.rid).await? else {
            return refused("There is no such room on Rocket.Chat any more.");
        };
        if room.archived {
            return refused("The room is archived on Rocket.Chat.");
        }
        // In a closed one they are by right, or would not have come so far.
        if room.join_code_required {
            self.must_not_be_open(portal).await?;
        }
        let is_open = !room.read_only || (only_reacts && room.react_when_read_only);
        if (!is_open || room.broadcast)
            && !self
                .roles_allow(&[EVERYBODY.to_owned()], IN_READ_ONLY)
                .await?
        {
            return refused(
                "Only some may write in this room on Rocket.Chat, and you have no account of your own there.",
            );
        }
        self.puppet_is_welcome(user, &room).await
    }

    /// Who has an account does not get around what was done to it.
    async fn puppet_is_welcome(&self, user: &UserId, room: &Room) -> Result<(), Failure> {
        let Some(puppet) = self.store.puppet(user)? else {
            return Ok(());
        };
        if (room.muted.iter()).any(|name| name.as_str() == puppet.username) {
            return refused("You are muted in this room on Rocket.Chat.");
        }
        if self.store.rest(user)? == Some(Rest::Resting) {
            return Ok(());
        }
        let rocket = self.rocket().await;
        let id = &puppet.credentials.user_id;
        match rocket.bot.user_by_id(id).await? {
            Some(account) if !account.active => {
                refused("An administrator of Rocket.Chat has deactivated your account there.")
            }
            _ => Ok(()),
        }
    }

    /// Whether it is known that somebody is in a room by right.
    fn is_admitted(&self, portal: &Portal, user: &UserId) -> Result<bool, Failure> {
        // Whoever plumbed two rooms has let each one's people read the other.
        Ok(portal.plumbed
            || !self.is_private(portal)?
            || self.store.is_admitted(&portal.id, user)?
            || self.store.is_puppet_in_room(&portal.id, user)?)
    }

    /// Makes sure that somebody without an account is in a room by right. In a private one they
    /// must have been invited by who may do so on Rocket.Chat, which is noted: who lets
    /// somebody in may lose that right later.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person.
    pub(in crate::bridge) async fn admit_without_account(
        &self,
        portal: &Portal,
        user: &UserId,
        seat: &Seat,
    ) -> Result<(), Failure> {
        if self.is_admitted(portal, user)? {
            return Ok(());
        }
        let Some(host) = self.host_of(portal, seat).await? else {
            return refused("Only who is invited may come into a private group.");
        };
        // At an administrator's command.
        let may = if host == self.config.appservice.bot {
            !self.store.came_by_account(&portal.id, user)?
        } else if self.config.is_ghost(&host) {
            match self.store.ghost_by_localpart(host.localpart())? {
                Some(ghost) if ghost.user_id == host => {
                    self.may_invite(portal, &ghost.rocket_id).await?
                }
                _ => false,
            }
        } else {
            match self.store.puppet(&host)? {
                Some(puppet) => self.may_invite(portal, &puppet.credentials.user_id).await?,
                None => false,
            }
        };
        if !may {
            return refused("Who invited you may not do so on Rocket.Chat.");
        }
        self.store
            .change()
            .admitted(&portal.id, user)
            .commit()
            .map_err(Failure::from)
    }

    /// Whether somebody may take away on Rocket.Chat what another wrote there. What people
    /// of Matrix wrote those of Matrix decide over; of what was written on Rocket.Chat only
    /// who has an account there may.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person.
    pub(in crate::bridge) fn may_take_away(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<(), Failure> {
        let has_account = self.store.puppet(user)?.is_some()
            && (!self.is_relayed(portal, user)?
                || self.store.is_puppet_in_room(&portal.id, user)?);
        match has_account {
            true => Ok(()),
            false => refused(NO_ACCOUNT),
        }
    }

    /// Whether what the bridge's account posted for somebody may be changed by them:
    /// Rocket.Chat lets an administrator do so where it lets nobody else.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person.
    pub(in crate::bridge) async fn may_change_own(&self, deletes: bool) -> Result<(), Failure> {
        let settings = self.server_settings().await?;
        match deletes {
            true if !settings.deleting_allowed => {
                refused("Deleting messages is switched off on Rocket.Chat.")
            }
            false if !settings.editing_allowed => {
                refused("Editing messages is switched off on Rocket.Chat.")
            }
            _ => Ok(()),
        }
    }
}
