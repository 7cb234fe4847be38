//! People of rooms that existed on both sides. Who is in one of the two rooms by what they
//! are there decides nothing in the other: nobody is removed from the Matrix room, or
//! invited there, with the power of the bridge.

use super::{Seat, Why, refusal};
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::rocketchat::RocketMessageId;
use crate::store::{Portal, Puppet};

impl Bridge {
    /// A puppet was removed on Rocket.Chat. So is its user from the Matrix room where who
    /// did it may do that there; otherwise the puppet comes back, and they are told. Somebody's
    /// own account stays out.
    pub(super) async fn removed_from_plumbed(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        seat: &Seat,
        why: Why<'_>,
    ) -> Result<(), Failure> {
        let user = &puppet.matrix_id;
        if !self.has_account(Some(puppet)).await? {
            return Ok(());
        }
        if let Some(by) = why.by()
            && let Some(hand) = self.hand_of(portal, &by.id).await?
            && self.kick_by_hand(portal, &hand, user).await?
        {
            return self.note_puppet_out(portal, user);
        }
        let name = plain(&portal.name);
        let who = plain(&puppet.username);
        let admitted = match puppet.own {
            false => self.admit(portal, user, seat).await,
            // It is theirs: the bridge brings it back nowhere.
            true => Err(Failure::Refused(
                "They can be removed there by an administrator of that room.".into(),
            )),
        };
        let is_back = admitted.is_ok();
        let text = match admitted {
            Ok(()) => format!(
                "{who} is back in {name}: who removed them has no right to remove people from \
                 the room on Matrix that it is joined with. They can be muted here; an \
                 administrator of that room can remove them there."
            ),
            Err(failure) => {
                let why = plain(&refusal(failure)?);
                format!(
                    "{who} is no longer in {name}, and still in the room on Matrix that it is \
                     joined with, where they can read on. {why}"
                )
            }
        };
        let about = match why {
            Why::News { message, .. } => message.clone(),
            Why::Look => {
                let went = self.store.room_rights(&portal.id)?.went;
                RocketMessageId::new(format!("{} {user} {went}", portal.id.as_str()))
            }
        };
        let id = derived::telling_id(&about, "plumbed");
        match why.by() {
            Some(by) => self.tell_directly(&by.id, &id, &text).await?,
            None => self.tell_room(portal, &id, &text).await?,
        }
        if is_back {
            return Ok(());
        }
        // Rather told twice than not at all.
        self.store
            .amend_room_rights(&portal.id, |rights| rights.went += 1)?;
        let change = match self.parting(portal, puppet, seat) {
            Some(parting) => parting,
            None => self.store.change(),
        };
        change.puppet_not_in_room(&portal.id, user).commit()?;
        self.no_longer_uninvited(portal, user)
    }
}
