//! People of rooms that existed on both sides. Who is in one of the two rooms by what they
//! are there decides nothing in the other: nobody is removed from the Matrix room, or
//! invited there, with the power of the bridge.

use super::{Seat, Why, refusal};
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::rocketchat::RocketMessageId;
use crate::store::{Portal, Puppet};

impl Bridge {
    /// A puppet was removed on Rocket.Chat. So is its user from the Matrix room where the
    /// ghost of who did it may do that; otherwise the puppet comes back, and they are told.
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
            && let Some(ghost) = self.store.ghost(&by.id)?
            && self
                .store
                .is_ghost_in_room(&portal.room_id, &ghost.user_id)?
        {
            match self
                .as_ghost(&ghost)
                .kick(&portal.room_id, user, None)
                .await
            {
                Ok(()) => return self.note_puppet_out(portal, user),
                Err(error) if error.is_forbidden() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let name = plain(&portal.name);
        let who = plain(&puppet.username);
        // Somebody's own account is theirs: the bridge brings it back nowhere.
        let id = &puppet.credentials.user_id;
        let admitted = match self.store.behind_made_puppet(id)? {
            Some(_) => self.admit(portal, user, seat).await,
            None => Err(Failure::Refused(
                "They can be removed there by an administrator of that room.".into(),
            )),
        };
        let text = match admitted {
            Ok(()) => format!(
                "{who} is back in {name}: who removed them has no right to remove people from \
                 the room on Matrix that it is joined with. They can be muted here; an \
                 administrator of that room can remove them there."
            ),
            Err(failure) => {
                let why = plain(&refusal(failure)?);
                self.note_puppet_out(portal, user)?;
                format!(
                    "{who} is no longer in {name}, and still in the room on Matrix that it is \
                     joined with, where they can read on. {why}"
                )
            }
        };
        let about = match why {
            Why::News { message, .. } => message.clone(),
            Why::Look => RocketMessageId::new(format!("{} {user}", portal.id.as_str())),
        };
        let id = derived::telling_id(&about, "plumbed");
        match why.by() {
            Some(by) => self.tell_directly(&by.id, &id, &text).await,
            None => self.tell_room(portal, &id, &text).await,
        }
    }
}
