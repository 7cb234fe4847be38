//! In which rooms of Rocket.Chat the bridge's account hears who types. Each takes a
//! subscription, of which a server allows one a second; so only rooms in use have one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bridge::Bridge;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::realtime::Stream;
use crate::store::{Portal, PortalKind};

/// So many rooms at once.
const MOST: usize = 200;

/// So many after the start: those in which something was said last.
const MOST_AT_START: usize = 100;

/// A room in which nothing was said for so long gives its place to another.
const IDLE: Duration = Duration::from_secs(600);

/// The rooms, and when something was last said in each.
#[derive(Debug, Default)]
pub(super) struct Following(Mutex<HashMap<RocketRoomId, Instant>>);

/// What became of a room's wish for a place.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It has one, or there is none.
    Unchanged,
    /// It gets one, perhaps that of another.
    New(Option<RocketRoomId>),
}

impl Following {
    fn lock(&self) -> MutexGuard<'_, HashMap<RocketRoomId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn use_room(&self, rid: &RocketRoomId, now: Instant) -> Place {
        let mut rooms = self.lock();
        if let Some(used) = rooms.get_mut(rid) {
            *used = now;
            return Place::Unchanged;
        }
        let mut gone = None;
        if rooms.len() >= MOST {
            let oldest = rooms.iter().min_by_key(|(_, used)| **used);
            let idle = oldest.filter(|(_, used)| **used + IDLE <= now);
            let Some(idle) = idle.map(|(rid, _)| rid.clone()) else {
                return Place::Unchanged;
            };
            rooms.remove(&idle);
            gone = Some(idle);
        }
        rooms.insert(rid.clone(), now);
        Place::New(gone)
    }

    fn forget(&self, rid: &RocketRoomId) {
        self.lock().remove(rid);
    }
}

impl Bridge {
    /// Something happens in a portal: from now on it is heard who types there. Others
    /// than channels and groups have sockets of their own.
    pub(in crate::bridge) fn follow_typing(self: &Arc<Self>, portal: &Portal) {
        if !self.config.bridge.typing.to_matrix()
            || !matches!(portal.kind, PortalKind::Channel | PortalKind::Group)
        {
            return;
        }
        let place = self
            .ephemerals
            .following
            .use_room(&portal.rid, Instant::now());
        let Place::New(gone) = place else { return };
        let (bridge, rid) = (Arc::clone(self), portal.rid.clone());
        tokio::spawn(async move {
            let rocket = bridge.rocket().await;
            if let Some(gone) = gone {
                rocket.unfollow(Stream::UserActivity(gone)).await;
            }
            rocket.follow(Stream::UserActivity(rid)).await;
        });
    }

    /// Hears who types in the rooms in which something was said last.
    pub(in crate::bridge) fn follow_typing_at_start(self: &Arc<Self>) {
        if !self.config.bridge.typing.to_matrix() {
            return;
        }
        let mut portals: Vec<(i64, Portal)> = self
            .store
            .portals()
            .into_iter()
            .filter_map(|portal| {
                let said = self.store.cursor(&portal.id).ok().flatten()?;
                Some((said, portal))
            })
            .collect();
        portals.sort_by_key(|(said, _)| std::cmp::Reverse(*said));
        for (_, portal) in portals.iter().take(MOST_AT_START) {
            self.follow_typing(portal);
        }
    }

    /// Rocket.Chat does not let it be heard who types there. It is asked again when
    /// something is said there.
    pub(in crate::bridge) fn typing_is_not_heard(self: &Arc<Self>, rid: &RocketRoomId) {
        self.ephemerals.following.forget(rid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: usize) -> RocketRoomId {
        RocketRoomId::new(format!("r{number}"))
    }

    #[test]
    fn rooms_out_of_use_give_their_places_to_others() {
        let following = Following::default();
        let start = Instant::now();
        for number in 0..MOST {
            assert_eq!(following.use_room(&room(number), start), Place::New(None));
        }
        let unchanged = Place::Unchanged;
        assert_eq!(following.use_room(&room(MOST), start), unchanged, "full");
        let later = start + IDLE;
        for number in 1..MOST {
            assert_eq!(following.use_room(&room(number), later), Place::Unchanged);
        }
        let taken = Place::New(Some(room(0)));
        assert_eq!(following.use_room(&room(MOST), later), taken);
        assert_eq!(
            following.use_room(&room(0), later),
            Place::Unchanged,
            "full"
        );
    }
}
