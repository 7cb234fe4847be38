//! What the homeserver says of somebody in a room, kept until an event says otherwise: so
//! that a message which is shown in another room costs no question of its own.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ruma::{OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;

/// How long an answer is believed when no event comes: what changes while the homeserver
/// is away may never be told.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// Of so many people in rooms it is kept.
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

type Place = (OwnedRoomId, OwnedUserId);

#[derive(Debug)]
enum Entry {
    /// Somebody asks, with this number.
    Asked(u64),
    /// The answer, and since when it is known.
    Known(Instant, Option<Arc<Member>>),
}

#[derive(Debug, Default)]
struct Entries {
    asked: u64,
    entries: HashMap<Place, Entry>,
}

/// What is known of people in rooms.
#[derive(Debug, Default)]
pub(super) struct KnownMembers(Mutex<Entries>);

impl KnownMembers {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody's membership of a room, or their profile there, has changed. An answer that
    /// is on its way may be from before that, and is not kept.
    pub(super) fn changed(&self, room: &RoomId, user: &UserId) {
        let place = (room.to_owned(), user.to_owned());
        self.lock().entries.remove(&place);
    }

    /// Who somebody is in a room; `ask` is asked when that is not known.
    ///
    /// # Errors
    /// Those of `ask`; nothing is kept then.
    pub(super) async fn get<E>(
        &self,
        room: &RoomId,
        user: &UserId,
        ask: impl AsyncFnOnce() -> Result<Option<Member>, E>,
    ) -> Result<Option<Arc<Member>>, E> {
        let place = (room.to_owned(), user.to_owned());
        let number = {
            let mut known = self.lock();
            if let Some(Entry::Known(since, member)) = known.entries.get(&place)
                && since.elapsed() < BELIEVED_FOR
            {
                return Ok(member.clone());
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
            Ok(member) => {
                let member = member.map(Arc::new);
                if is_latest {
                    let entry = Entry::Known(Instant::now(), member.clone());
                    known.entries.insert(place, entry);
                }
                Ok(member)
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

impl Entries {
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

    use ruma::{owned_event_id, room_id, user_id};
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
        let (room, user) = (room_id!("!r:x.org"), user_id!("@u:x.org"));
        let questions = Cell::new(0);
        let look = async |now: &str| {
            let ask = async || {
                questions.set(questions.get() + 1);
                Ok::<_, ()>(Some(member(now)))
            };
            known.get(room, user, ask).await.unwrap().unwrap()
        };
        for _ in 0..100 {
            let found = look("join").await;
            assert_eq!((found.membership.as_str(), &found.name), ("join", &None));
        }
        assert_eq!(questions.get(), 1);
        known.changed(room, user);
        for _ in 0..100 {
            assert_eq!(look("ban").await.membership, "ban");
        }
        assert_eq!(questions.get(), 2);
        // That nobody is there is an answer as well.
        let other = user_id!("@v:x.org");
        for _ in 0..100 {
            let ask = async || {
                questions.set(questions.get() + 1);
                Ok::<_, ()>(None)
            };
            assert!(known.get(room, other, ask).await.unwrap().is_none());
        }
        assert_eq!(questions.get(), 3);
    }

    #[tokio::test]
    async fn an_answer_from_before_a_change_is_not_kept() {
        let known = KnownMembers::default();
        let (room, user) = (room_id!("!r:x.org"), user_id!("@u:x.org"));
        let late = async || {
            known.changed(room, user);
            Ok::<_, ()>(Some(member("join")))
        };
        known.get(room, user, late).await.unwrap();
        let now = async || Ok::<_, ()>(Some(member("ban")));
        let found = known.get(room, user, now).await.unwrap().unwrap();
        assert_eq!(found.membership, "ban");
        // Nor is a failure.
        known.changed(room, user);
        let fails = async || Err::<Option<Member>, _>("away");
        assert_eq!(known.get(room, user, fails).await.unwrap_err(), "away");
        let now = async || Ok::<_, ()>(None);
        assert!(known.get(room, user, now).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let known = KnownMembers::default();
        let room = room_id!("!r:x.org");
        for number in 0..MOST + 10 {
            let user = UserId::parse(format!("@u{number}:x.org")).unwrap();
            let ask = async || Ok::<_, ()>(None);
            known.get(room, &user, ask).await.unwrap();
        }
        assert!(known.lock().entries.len() <= MOST);
    }
}
