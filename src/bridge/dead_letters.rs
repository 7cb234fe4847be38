//! What could not be delivered: listed, tried again, forgotten.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId};
use serde_json::Value;

use super::{Bridge, Failure};
use crate::rocketchat::RocketMessageId;
use crate::store::{Accepted, DeadLetter, InboxEvent, Origin};

impl Bridge {
    /// What could not be delivered and is kept, oldest first, by number.
    pub fn dead_letters(&self) -> Vec<(u64, DeadLetter)> {
        self.store.dead_letters()
    }

    /// Forgets what must not be tried again.
    pub(super) fn forget_dead_letters(
        &self,
        is_meant: impl Fn(&DeadLetter) -> bool,
    ) -> Result<(), Failure> {
        // There are few, mostly none.
        for (number, letter) in self.store.dead_letters() {
            if is_meant(&letter) {
                self.store.change().no_dead_letter(number).commit()?;
            }
        }
        Ok(())
    }

    /// Tries again what could not be delivered. It is no longer kept; when it fails
    /// again it is set aside again.
    ///
    /// # Errors
    /// [`Failure::Refused`] when it is no longer there to be tried; others when the
    /// store or Rocket.Chat fails.
    pub async fn resend(self: &Arc<Self>, number: u64, letter: &DeadLetter) -> Result<(), Failure> {
        match letter.origin {
            Origin::Matrix => {
                let event = event_of(letter).ok_or_else(|| {
                    Failure::Refused("What was kept of it cannot be read.".into())
                })?;
                let again = self.store.number();
                self.store
                    .change()
                    .again(again, &event)
                    .no_dead_letter(number)
                    .commit()?;
                self.take_in(&[Accepted {
                    number: again,
                    event,
                }]);
            }
            Origin::RocketChat => {
                let portal = self.store.portal_of_room(&letter.room_id)?;
                let there = match portal {
                    Some(portal) => {
                        let id = RocketMessageId::new(&letter.id);
                        self.document_again(&portal, &id).await?
                    }
                    None => false,
                };
                self.store.change().no_dead_letter(number).commit()?;
                if !there {
                    return Err(Failure::Refused("It is no longer on Rocket.Chat.".into()));
                }
            }
        }
        Ok(())
    }
}

fn event_of(letter: &DeadLetter) -> Option<InboxEvent> {
    let json: Value = serde_json::from_str(letter.content.get()).ok()?;
    let event_id: OwnedEventId = EventId::parse(&letter.id).ok()?;
    Some(InboxEvent {
        event_id,
        room_id: letter.room_id.clone(),
        sender: ruma::UserId::parse(json.get("sender")?.as_str()?).ok()?,
        kind: json.get("type")?.as_str()?.to_owned(),
        json: letter.content.clone(),
    })
}
