//! Rocket.Chat has no seat for another account: its licence counts the active users.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bridge::{Bridge, Failure, derived};
use crate::store::Portal;

/// How long after a refusal it is not asked again, by anybody's message.
const PAUSE: Duration = Duration::from_secs(300);

/// Whether there are seats, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Option<Instant>>);

impl Seats {
    /// Whether Rocket.Chat has said lately that there is none.
    pub(super) fn are_taken(&self) -> bool {
        let refused = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some_and(|at| at.elapsed() < PAUSE)
    }

    pub(super) fn note_taken(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn may_be_free(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Whether Rocket.Chat refused an account because its licence allows no more (6.14 to 8.x).
pub(in crate::bridge) fn is_no_seat(failure: &Failure) -> bool {
    matches!(failure, Failure::RocketChat(error)
        if error.code() == Some("error-license-user-limit-reached"))
}

impl Bridge {
    /// Says once in a room that people speak there without an account.
    pub(super) async fn tell_of_seats(&self, portal: &Portal) -> Result<(), Failure> {
        if self.store.room_relay(&portal.id)?.told_of_seats {
            return Ok(());
        }
        let text = "The licence of this Rocket.Chat allows no more users. People of this room who have no account there speak through the bridge's, under their name, until a seat is free.";
        let mut content = serde_json::json!({
            "msgtype": "m.notice",
            "body": text,
            "m.mentions": {},
        });
        crate::bridge::marker::stamp_as_own(&mut content);
        let txn = derived::state_notice_id(&portal.id, &["no seat"]);
        let reader = self.reader(portal).await?;
        let said = reader
            .send(&portal.room_id, "m.room.message", &content, &txn, None)
            .await;
        match said.map_err(Failure::from) {
            // The bot may not speak there: nobody's message waits for that.
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(room = %portal.room_id, %failure, "a room could not be told that there is no seat on Rocket.Chat");
            }
            outcome => drop(outcome?),
        }
        Ok(self
            .store
            .amend_room_relay(&portal.id, |relay| relay.told_of_seats = true)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rocketchat::Error;

    #[test]
    fn it_is_not_asked_again_until_there_is_a_reason() {
        let seats = Seats::default();
        assert!(!seats.are_taken());
        seats.note_taken();
        assert!(seats.are_taken());
        seats.may_be_free();
        assert!(!seats.are_taken());
    }

    #[test]
    fn only_a_full_licence_is_one() {
        let refused = |code| Failure::RocketChat(Error::refused(code));
        assert!(is_no_seat(&refused("error-license-user-limit-reached")));
        assert!(!is_no_seat(&refused("error-field-unavailable")));
        assert!(!is_no_seat(&Failure::NotYet("a seat")));
    }
}
