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

    /// Tries again what could not be delivered. What fails again stays kept.
    ///
    /// # Errors
    /// [`Failure::Refused`] when it cannot be tried, or failed again, with the
    /// reason; others when that may pass.
    pub async fn resend(self: &Arc<Self>, letter: &DeadLetter) -> Result<(), Failure> {
        match letter.origin {
            Origin::Matrix => self.event_again(letter),
            Origin::RocketChat => {
                let portal = self.store.portal_of_room(&letter.room_id)?;
                let portal = portal
                    .ok_or_else(|| Failure::Refused("Its room is no longer mirrored.".into()))?;
                let id = RocketMessageId::new(&letter.id);
                let was_deletion = letter.content.get().contains("\"deleted\":true");
                match self.document_again(&portal, &id, was_deletion).await {
                    Err(failure) if failure.is_permanent() => {
                        Err(Failure::Refused(failure.person_text()))
                    }
                    outcome => outcome,
                }
            }
        }
    }

    /// Puts an event back into the inbox. When it fails again it is set aside again.
    fn event_again(self: &Arc<Self>, letter: &DeadLetter) -> Result<(), Failure> {
        let event = event_of(letter)
            .ok_or_else(|| Failure::Refused("What was kept of it cannot be read.".into()))?;
        let number = self.store.number();
        self.store
            .change()
            .again(number, &event)
            .no_dead_letter(&letter.room_id, &letter.id)
            .commit()?;
        self.take_in(&[Accepted { number, event }]);
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
