//! What the homeserver says of somebody in a room, or of the room, kept until an event says
//! otherwise: so that a message which is shown in another room costs no question of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ruma::{OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId};
use serde_json::Value;

use super::server_rules::ServerRules;

/// How long an answer is believed when no event comes: what changes while the homeserver
/// is away may never be told.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// Of so many people in rooms, or rooms, it is kept.
const MOST: usize = 5_000;

/// Somebody in a room, by their member event.
#[derive(Debug)]
pub(super) struct Member {
    /// Their member event.
    pub event_id: OwnedEventId,
    /// `join`, `leave`, `ban`, …
    pub membership: String,
    /// Their name in the room, unless it is empty.
    pub name: Option<String>,
    /// Their picture there.
    pub picture: Option<OwnedMxcUri>,
    /// They have been told that they are banned.
    pub is_told: AtomicBool,
}

impl Member {
    /// What a member event says.
    pub(super) fn of(event_id: OwnedEventId, content: &Value) -> Self {
        let text = |key: &str| {
            let text = content.get(key)?.as_str()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let picture = text("avatar_url").map(OwnedMxcUri::from);
        Self {
            event_id,
            membership: text("membership").unwrap_or_default(),
            name: text("displayname"),
            picture: picture.filter(|picture| picture.is_valid()),
            is_told: AtomicBool::new(false),
        }
    }
}

#[derive(Debug)]
enum Entry<V> {
    /// Somebody asks, with this number.
    Asked(u64),
    /// The answer, and since when it is known.
    Known(Instant, Option<Arc<V>>),
}

#[derive(Debug)]
struct Entries<P, V> {
    asked: u64,
    entries: HashMap<P, Entry<V>>,
}

/// What is known of each place.
#[derive(Debug)]
pub(super) struct Known<P, V>(Mutex<Entries<P, V>>);

/// Who people are in rooms.
pub(super) type KnownMembers = Known<(OwnedRoomId, OwnedUserId), Member>;

/// Which servers rooms keep out.
pub(super) type KnownRules = Known<OwnedRoomId, ServerRules>;

impl<P, V> Default for Known<P, V> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            asked: 0,
            entries: HashMap::new(),
        }))
    }
}

impl<P: Clone + Eq + Hash, V> Known<P, V> {
    fn lock(&self) -> MutexGuard<'_, Entries<P, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has changed. An answer that is on its way may be from before that, and is not
    /// kept.
    pub(super) fn changed(&self, place: &P) {
        self.lock().entries.remove(place);
    }

    /// How it is; `ask` is asked when that is not known.
    ///
    /// # Errors
    /// Those of `ask`; nothing is kept then.
    pub(super) async fn get<E>(
        &self,
        place: P,
        ask: impl AsyncFnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<Arc<V>>, E> {
        let number = {
            let mut known = self.lock();
            if let Some(Entry::Known(since, found)) = known.entries.get(&place)
                && since.elapsed() < BELIEVED_FOR
            {
                return Ok(found.clone());
            }
            known.make_room();
            known.asked += 1;
            let number = known.asked;
            known.entries.insert(place.clone(), Entry::Asked(number));
            number
        };
        let answer = ask().await;
        let mut known = self.lock();
        let is_latest =
            matches!(known.entries.get(&place), Some(Entry::Asked(last)) if *last == number);
        match answer {
            Ok(found) => {
                let found = found.map(Arc::new);
                if is_latest {
                    let entry = Entry::Known(Instant::now(), found.clone());
                    known.entries.insert(place, entry);
                }
                Ok(found)
            }
            Err(error) => {
                if is_latest {
                    known.entries.remove(&place);
                }
                Err(error)
            }
        }
    }
}

impl<P: Eq + Hash, V> Entries<P, V> {
    fn make_room(&mut self) {
        if self.entries.len() < MOST {
            return;
        }
        self.entries.retain(
            |_, entry| matches!(entry, Entry::Known(since, _) if since.elapsed() < BELIEVED_FOR),
        );
        if self.entries.len() >= MOST {
            self.entries.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::Cell;

    use ruma::{UserId, owned_event_id, owned_room_id, owned_user_id};
    use serde_json::json;

    use super::*;

    fn member(membership: &str) -> Member {
        Member::of(
            owned_event_id!("$member"),
            &json!({ "membership": membership, "displayname": " " }),
        )
    }

    #[tokio::test]
    async fn a_hundred_messages_cost_one_question_and_a_ban_another() {
        let known = KnownMembers::default();
        let place = || (owned_room_id!("!r:x.org"), owned_user_id!("@u:x.org"));
        let questions = Cell::new(0);
        let look = async |now: &str| {
            let ask = async || {
                questions.set(questions.get() + 1);
                Ok::<_, ()>(Some(member(now)))
            };
            known.get(place(), ask).await.unwrap().unwrap()
        };
        for _ in 0..100 {
            let found = look("join").await;
            assert_eq!((found.membership.as_str(), &found.name), ("join", &None));
        }
        assert_eq!(questions.get(), 1);
        known.changed(&place());
        for _ in 0..100 {
            assert_eq!(look("ban").await.membership, "ban");
        }
        assert_eq!(questions.get(), 2);
        // That nobody is there is an answer as well.
        let other = || (owned_room_id!("!r:x.org"), owned_user_id!("@v:x.org"));
        for _ in 0..100 {
            let ask = async || {
                questions.set(questions.get() + 1);
                Ok::<_, ()>(None)
            };
            assert!(known.get(other(), ask).await.unwrap().is_none());
        }
        assert_eq!(questions.get(), 3);
    }

    #[tokio::test]
    async fn an_answer_from_before_a_change_is_not_kept() {
        let known = KnownMembers::default();
        let place = || (owned_room_id!("!r:x.org"), owned_user_id!("@u:x.org"));
        let late = async || {
            known.changed(&place());
            Ok::<_, ()>(Some(member("join")))
        };
        known.get(place(), late).await.unwrap();
        let now = async || Ok::<_, ()>(Some(member("ban")));
        let found = known.get(place(), now).await.unwrap().unwrap();
        assert_eq!(found.membership, "ban");
        // Nor is a failure.
        known.changed(&place());
        let fails = async || Err::<Option<Member>, _>("away");
        assert_eq!(known.get(place(), fails).await.unwrap_err(), "away");
        let now = async || Ok::<_, ()>(None);
        assert!(known.get(place(), now).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let known = KnownMembers::default();
        let room = owned_room_id!("!r:x.org");
        for number in 0..MOST + 10 {
            let user = UserId::parse(format!("@u{number}:x.org")).unwrap();
            let ask = async || Ok::<_, ()>(None);
            known.get((room.clone(), user), ask).await.unwrap();
        }
        assert!(known.lock().entries.len() <= MOST);
    }
}
