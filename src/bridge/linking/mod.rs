//! One person, two accounts: who has an account on Matrix and one on Rocket.Chat proves both
//! and from then on is one.
//!
//! * [`proof`]: codes that are asked for on one side and entered on the other; the end of it.
//! * [`account`]: acting as somebody's own account on Rocket.Chat, and its token.
//! * [`sealed`]: how that token is kept.
//! * [`bans`]: who is banned from a room is not heard there by way of the other account.
//! * [`doubles`]: acting as somebody's own Matrix user, where that is granted, and knowing
//!   again what was done so.
//! * [`hands`]: who they are in a Matrix room, and what they do there to others.
//! * [`leaving`]: whether who is out of a Matrix room meant to leave it.
//! * [`rooms`]: the puppet and the ghost that they had leave where they are themselves.
//! * [`telling`]: what they are told in private.
//!
//! What the rest of the bridge sees of it is [`crate::store::Store::puppet`]: the account
//! that acts for a Matrix user is their own where they have linked one. It is never given a
//! name, a picture, roles or a password, and is taken out of no room but by what its owner
//! does on Matrix.

mod account;
mod bans;
mod doubles;
mod hands;
mod leaving;
mod proof;
mod rooms;
mod sealed;
mod telling;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) use doubles::Seen;
pub(super) use hands::{Hand, at_the_word_of, has_power_over};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

/// How long wrong codes are counted.
const GUESSES_COUNTED_FOR: Duration = Duration::from_secs(10 * 60);

/// How many wrong codes somebody may enter in that time. A code has 60 bits.
const MOST_GUESSES: usize = 5;

/// Of how many people wrong codes are counted at once.
const MOST_GUESSERS: usize = 10_000;

/// How long it is believed whether the homeserver lets the bridge act as somebody.
const GRANT_BELIEVED_FOR: Duration = Duration::from_secs(5 * 60);

/// What is known in memory only.
#[derive(Debug, Default)]
pub(super) struct Linking {
    /// When people entered wrong codes, by who they are.
    guesses: Mutex<HashMap<String, Vec<Instant>>>,
    /// Whether the bridge may act as somebody, when it was last tried.
    granted: Mutex<HashMap<OwnedUserId, (Instant, bool)>>,
    /// Rooms in which people are known to be themselves.
    present: Mutex<HashSet<(OwnedRoomId, OwnedUserId)>>,
    /// Rooms in which their own user was refused something that their ghost may do.
    unfit: Mutex<HashSet<(OwnedRoomId, OwnedUserId)>>,
    /// Bans, and rights that mute, of which those whom they keep out have been told in this
    /// run.
    told_bans: Mutex<HashSet<(OwnedEventId, OwnedUserId)>>,
    /// Held while a link is made or ended, and while a code is entered.
    changing: tokio::sync::Mutex<()>,
    /// Wakes the task that tells of ends.
    ended: tokio::sync::Notify,
    /// Wakes the task that looks whether people meant to leave.
    left: tokio::sync::Notify,
}

impl Linking {
    /// Whether somebody has entered too many wrong codes.
    fn has_guessed_enough(&self, who: &str) -> bool {
        let mut guesses = locked(&self.guesses);
        let Some(times) = guesses.get_mut(who) else {
            return false;
        };
        times.retain(|at| at.elapsed() < GUESSES_COUNTED_FOR);
        times.len() >= MOST_GUESSES
    }

    /// Notes that somebody has entered a wrong one.
    fn note_guess(&self, who: &str) {
        let mut guesses = locked(&self.guesses);
        if guesses.len() >= MOST_GUESSERS {
            guesses.retain(|_, times| {
                times.retain(|at| at.elapsed() < GUESSES_COUNTED_FOR);
                !times.is_empty()
            });
        }
        guesses
            .entry(who.to_owned())
            .or_default()
            .push(Instant::now());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_limited_for_each_by_themselves() {
        let linking = Linking::default();
        for _ in 0..MOST_GUESSES {
            assert!(!linking.has_guessed_enough("mallory"));
            linking.note_guess("mallory");
        }
        assert!(linking.has_guessed_enough("mallory"));
        assert!(!linking.has_guessed_enough("alice"));
    }
}
