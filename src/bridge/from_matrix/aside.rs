//! What could not be mirrored to Rocket.Chat: kept, and its sender told.

use serde_json::{Value, json};

use crate::bridge::{Bridge, Failure, derived};
use crate::matrix::Intent;
use crate::retry::{Advice, Retryable as _};
use crate::store::{DeadLetter, InboxEvent, Origin};

/// What tells clients how the delivery of an event went (Beeper's
/// `com.beeper.message_send_status`, known to several clients and bridges).
const STATUS: &str = "com.beeper.message_send_status";

impl Bridge {
    /// Keeps what could not be delivered, and tells its sender.
    pub(super) async fn set_event_aside(&self, event: &InboxEvent, number: u64, failure: &Failure) {
        let why = failure.person_text();
        let told = self
            .persevere(async |_| {
                let speaker = match self.store.portal_of_room(&event.room_id)? {
                    Some(portal) => self.reader(&portal).await?,
                    None => match self.store.gathering(&event.room_id)? {
                        Some(gathering) => self.speaker_of(&gathering).await?,
                        None => self.matrix.bot(),
                    },
                };
                self.tell_sender(&speaker, event, &why).await
            })
            .await;
        if let Err(failure) = told {
            tracing::warn!(event = %event.event_id, %failure, "its sender could not be told");
        }
        // Told before it is struck. Whoever is told again is told by the same
        // transaction.
        let letter = DeadLetter {
            content: event.json.clone(),
            sender: Some(event.sender.clone()),
            told: why.clone(),
            ..DeadLetter::new(
                Origin::Matrix,
                event.room_id.clone(),
                event.event_id.as_str(),
                failure.to_string(),
                &Value::Null,
            )
        };
        let written = self
            .store
            .change()
            .dead_letter(&letter)
            .strike(number)
            .commit();
        if let Err(error) = written {
            tracing::error!(%error, "what was set aside could not be written down; it stays in the inbox");
        }
    }

    async fn tell_sender(
        &self,
        speaker: &Intent,
        event: &InboxEvent,
        why: &str,
    ) -> Result<(), Failure> {
        let status = json!({
            "network": "rocketchat",
            "status": "FAIL_PERMANENT",
            "reason": "m.event_not_handled",
            "message": why,
            "m.relates_to": { "rel_type": "m.reference", "event_id": event.event_id },
        });
        let txn = derived::notice_id(&event.event_id, "status");
        let sent = speaker
            .send(&event.room_id, STATUS, &status, &txn, None)
            .await;
        match sent {
            // A room may let few send events of other types, a homeserver may refuse to
            // relate them to an event that it does not have: the words follow.
            Err(error) if matches!(error.advice(), Advice::GiveUp) => {}
            outcome => {
                outcome?;
            }
        }
        let what = match event.kind.as_str() {
            "m.reaction" => "This reaction",
            "m.room.redaction" => "This deletion",
            _ => "This",
        };
        let text = format!(
            "{what} did not reach Rocket.Chat. {why} It is kept: `!rc resend` tries again."
        );
        self.say(speaker, &event.room_id, &event.event_id, "failure", &text)
            .await
    }
}
