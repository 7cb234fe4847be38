//! What the homeserver may have lost when it stopped.
//!
//! Synapse notes that it has handed an event to an appservice before the
//! transaction with it is on disk: killed in between, it never sends the event
//! (element-hq/synapse#11637). So after every absence of the homeserver the
//! mirrored rooms are read back. Until a room has been read back, what arrives
//! for it is stored but not worked, or newer messages would overtake those that
//! were lost.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ruma::{OwnedEventId, OwnedRoomId, RoomId, UserId};
use serde_json::Value;

use super::failure::Side;
use super::from_matrix::place_of;
use super::lane::Place;
use super::server_rules::SERVER_ACL;
use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::matrix::TimelineEvent;
use crate::store::{Accepted, InboxEvent, NewEvent, Portal};

/// How long between two looks at the homeserver: shorter than any restart takes,
/// so that none goes unnoticed. A look is one request for a constant.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How many looks go by between two notes in the store.
const LOOKS_PER_NOTE: u32 = 10;

/// How far before an absence events may have been lost.
const MARGIN_MS: i64 = 60_000;

/// How far back it is certain that an event which is not known never came: a day
/// less than the store remembers.
const REMEMBERED_MS: i64 = 13 * 24 * 3_600 * 1_000;

/// How many pages of a room are read back at the most.
const PAGES: usize = 100;

/// How many rooms are read back at once.
const ROOMS_AT_ONCE: usize = 4;

/// An event that waits for its turn: all but its content.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub number: u64,
    pub room_id: OwnedRoomId,
    pub place: Place,
    event_id: OwnedEventId,
}

impl From<&Accepted> for Held {
    fn from(accepted: &Accepted) -> Self {
        Self {
            number: accepted.number,
            room_id: accepted.event.room_id.clone(),
            place: place_of(&accepted.event),
            event_id: accepted.event.event_id.clone(),
        }
    }
}

/// Whether the homeserver can be trusted to send everything.
pub(super) struct HomeserverWatch(Mutex<State>);

enum State {
    Good,
    /// It is or was away since then (ms).
    Suspect {
        since: i64,
        /// How often it was found away: what was read back before counts no more.
        absences: u64,
        /// What arrived meanwhile, by room.
        held: HashMap<OwnedRoomId, Vec<Held>>,
        /// Rooms that have been read back.
        released: HashSet<OwnedRoomId>,
    },
}

impl Default for HomeserverWatch {
    /// Nothing is known yet: suspect, since the time that the store remembers.
    fn default() -> Self {
        Self(Mutex::new(State::suspect(i64::MAX)))
    }
}

impl State {
    fn suspect(since: i64) -> Self {
        Self::Suspect {
            since,
            absences: 0,
            held: HashMap::new(),
            released: HashSet::new(),
        }
    }
}

impl HomeserverWatch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The homeserver was found away at this time (ms).
    pub(super) fn suspect(&self, since: i64) {
        let mut state = self.lock();
        match &mut *state {
            State::Good => *state = State::suspect(since),
            State::Suspect {
                since: earlier,
                absences,
                released,
                ..
            } => {
                *earlier = since.min(*earlier);
                *absences += 1;
                released.clear();
            }
        }
    }

    fn is_suspect(&self) -> bool {
        matches!(*self.lock(), State::Suspect { .. })
    }

    /// Since when it is suspect (ms), and how often it was found away.
    fn since(&self) -> (i64, u64) {
        match &*self.lock() {
            State::Good => (i64::MAX, 0),
            State::Suspect {
                since, absences, ..
            } => (*since, *absences),
        }
    }

    /// Holds an event back, or returns it to be worked.
    fn hold(&self, event: Held) -> Option<Held> {
        match &mut *self.lock() {
            State::Suspect { held, released, .. } if !released.contains(&event.room_id) => {
                held.entry(event.room_id.clone()).or_default().push(event);
                None
            }
            _ => Some(event),
        }
    }

    fn rooms_with_held(&self) -> Vec<OwnedRoomId> {
        match &*self.lock() {
            State::Good => Vec::new(),
            State::Suspect { held, .. } => held.keys().cloned().collect(),
        }
    }

    /// A room has been read back: what was held of it, in the order of the room's
    /// timeline. `enqueue` runs before anything newer of the room can.
    fn release(
        &self,
        room: &RoomId,
        recovered: Vec<Held>,
        timeline: &[OwnedEventId],
        enqueue: impl Fn(Held),
    ) {
        let mut state = self.lock();
        let recovered_ids: HashSet<_> = recovered.iter().map(|event| event.number).collect();
        let is_recovered = |event: &Held| recovered_ids.contains(&event.number);
        let mut waiting = recovered;
        if let State::Suspect { held, released, .. } = &mut *state {
            released.insert(room.to_owned());
            waiting.extend(held.remove(room).unwrap_or_default());
        }
        let position: HashMap<_, _> = timeline.iter().zip(0_u64..).collect();
        let first_in_it = waiting
            .iter()
            .filter(|event| position.contains_key(&event.event_id) && !is_recovered(event))
            .map(|event| event.number)
            .min();
        waiting.sort_by_key(|event| match position.get(&event.event_id) {
            Some(&at) => (1, at),
            // It has waited since before the part of the timeline that was read ...
            None if first_in_it.is_some_and(|first| event.number < first) => (0, event.number),
            // ... or came after it.
            None => (2, event.number),
        });
        waiting.into_iter().for_each(enqueue);
    }

    /// Everything has been read back, unless the homeserver was away once more:
    /// what was held of rooms that are not mirrored goes to `enqueue`, before
    /// anything newer can. Whether the homeserver is trusted now.
    fn trust(&self, absences_made_up_for: u64, enqueue: impl Fn(Held)) -> bool {
        let mut state = self.lock();
        if let State::Suspect { absences, .. } = &*state
            && *absences != absences_made_up_for
        {
            return false;
        }
        if let State::Suspect { held, .. } = std::mem::replace(&mut *state, State::Good) {
            let mut rest: Vec<_> = held.into_values().flatten().collect();
            rest.sort_by_key(|event| event.number);
            rest.into_iter().for_each(enqueue);
        }
        true
    }
}

impl Bridge {
    /// Notes that a transaction has come, before its events are taken in: when one
    /// before it seems to be missing, they wait until that has been looked for.
    pub(super) fn note_transaction(&self, id: &str) {
        let (gap, last) = {
            let mut transactions = self
                .transactions
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (transactions.arrive(id), transactions.last())
        };
        if gap {
            tracing::debug!(id, "a transaction before this one is missing");
            self.homeserver.suspect(now_ms());
            self.look_at_homeserver.notify_one();
        }
        if let Some(last) = last
            && let Err(error) = self.store.change().last_transaction(last).commit()
        {
            tracing::error!(%error, "the store does not take notes");
        }
    }

    /// Takes in what has arrived: works it, or holds it back.
    pub(super) fn take_in(&self, accepted: &[Accepted]) {
        for event in accepted {
            if let Some(event) = self.homeserver.hold(Held::from(event)) {
                self.enqueue_event(event);
            }
        }
    }

    /// What is known of somebody in a room, or of the room, may be another now. At once, and
    /// not when the event has its turn: a ban counts for all that is worked from here on,
    /// whoever set it.
    pub(super) fn note_state_event(&self, event: &InboxEvent) {
        let room = || event.room_id.clone();
        if event.kind == SERVER_ACL {
            self.known_rules.changed(&room());
        }
        if event.kind != "m.room.member" {
            return;
        }
        let json: Value = serde_json::from_str(event.json.get()).unwrap_or_default();
        let member = json.get("state_key").and_then(Value::as_str);
        if let Some(Ok(member)) = member.map(UserId::parse) {
            self.known_members.changed(&(room(), member));
        }
    }

    /// Holds what the inbox still has until the homeserver has been looked at.
    pub(super) fn hold_inbox(&self) -> usize {
        let well = self.store.homeserver_well().ok().flatten();
        self.homeserver.suspect(well.unwrap_or_else(now_ms));
        let mut count = 0;
        for accepted in self.store.inbox() {
            self.take_in(&[accepted]);
            count += 1;
        }
        count
    }

    /// Looks at the homeserver for ever, and makes up for its absences.
    pub(super) async fn watch_homeserver(self: Arc<Self>) {
        let mut looks = 0_u32;
        loop {
            if !self.answers(Side::Matrix).await {
                self.homeserver.suspect(now_ms());
                self.matrix_gate.close();
            } else if self.homeserver.is_suspect() {
                // What is for the homeserver need not wait until all is read back.
                self.matrix_gate.open();
                self.recover().await;
            } else {
                self.matrix_gate.open();
                looks = looks.wrapping_add(1);
                if looks % LOOKS_PER_NOTE == 1 {
                    let noted = self.store.change().homeserver_well(now_ms()).commit();
                    if let Err(error) = noted {
                        tracing::error!(%error, "the store does not take notes");
                    }
                }
            }
            // Whoever wakes us has something to be looked for; or it is time.
            let _ = tokio::time::timeout(BETWEEN_LOOKS, self.look_at_homeserver.notified()).await;
        }
    }

    /// Reads every mirrored room back, at any time those first for which something
    /// waits by then, and then where people have talked last.
    async fn recover(self: &Arc<Self>) {
        let (since, absences) = self.homeserver.since();
        let from = since.saturating_sub(MARGIN_MS);
        let mut portals = self.store.portals();
        portals.sort_by_cached_key(|portal| {
            let spoken = self.store.cursor(&portal.id).ok().flatten();
            std::cmp::Reverse(spoken.unwrap_or(portal.since))
        });
        let mut turns = Turns::new(portals);
        use futures_util::StreamExt as _;
        let mut recoveries = futures_util::stream::FuturesUnordered::new();
        let mut found = 0;
        loop {
            while recoveries.len() < ROOMS_AT_ONCE
                && let Some(portal) = turns.next(&self.homeserver.rooms_with_held())
            {
                let bridge = Arc::clone(self);
                recoveries.push(async move { bridge.recover_room(&portal, from).await });
            }
            let Some(outcome) = recoveries.next().await else {
                break;
            };
            match outcome {
                Ok(recovered) => found += recovered,
                Err(failure) => {
                    tracing::warn!(%failure, "a room could not be read back");
                    if !self.answers(Side::Matrix).await {
                        // It went away again: once more from the start.
                        return;
                    }
                }
            }
        }
        self.transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .looked(found > 0);
        drop(recoveries);
        self.homeserver
            .trust(absences, |event| self.enqueue_event(event));
    }

    /// How many events of the room were found that had not come.
    pub(super) async fn recover_room(&self, portal: &Portal, from: i64) -> Result<usize, Failure> {
        let room = &portal.room_id;
        let timeline = match self.timeline_since(portal, from).await {
            Ok(timeline) => timeline,
            Err(failure) if !self.answers(Side::Matrix).await => return Err(failure),
            Err(failure) => {
                // Better out of order than never.
                self.homeserver
                    .release(room, Vec::new(), &[], |event| self.enqueue_event(event));
                return Err(failure);
            }
        };
        let order: Vec<_> = timeline
            .iter()
            .map(|event| event.event_id.clone())
            .collect();
        let new = timeline
            .into_iter()
            .filter_map(|event| new_event(room, event))
            .collect();
        let accepted = self.store.accept(new)?;
        for event in &accepted {
            self.note_state_event(&event.event);
        }
        let recovered: Vec<_> = accepted.iter().map(Held::from).collect();
        let found = recovered.len();
        if found > 0 {
            tracing::info!(%room, events = found, "the homeserver had not sent these");
        }
        self.homeserver
            .release(room, recovered, &order, |event| self.enqueue_event(event));
        Ok(found)
    }

    /// What others did in a room since then (ms), the oldest first; not from before
    /// the reader joined.
    async fn timeline_since(
        &self,
        portal: &Portal,
        from: i64,
    ) -> Result<Vec<TimelineEvent>, Failure> {
        let reader = self.reader(portal).await?;
        let forgotten = now_ms() - REMEMBERED_MS;
        let mut token = None;
        let mut events = Vec::new();
        'pages: for _ in 0..PAGES {
            let page = reader
                .messages_backwards(&portal.room_id, token.as_deref(), 100)
                .await?;
            for event in page.events {
                if has_joined(&event, reader.user_id()) {
                    break 'pages;
                }
                // What ghosts send bears the time of Rocket.Chat: it tells nothing.
                if self.config.is_ours(&event.sender) {
                    continue;
                }
                let at = i64::try_from(event.origin_server_ts).unwrap_or(i64::MAX);
                let is_known = self.store.has_seen(&event.event_id)?
                    || self
                        .store
                        .message_of_event(&portal.room_id, &event.event_id)?
                        .is_some();
                if is_known && at < from {
                    break 'pages;
                }
                // So old that it may only have been forgotten.
                if !is_known && at < forgotten {
                    break 'pages;
                }
                events.push(event);
            }
            token = page.end;
            if token.is_none() {
                break;
            }
        }
        events.reverse();
        Ok(events)
    }
}

/// Portals that are still to be read back, in their order.
struct Turns {
    portals: Vec<Option<Portal>>,
    of_room: HashMap<OwnedRoomId, usize>,
    /// Before here none is left.
    begin: usize,
}

impl Turns {
    fn new(portals: Vec<Portal>) -> Self {
        let rooms = portals.iter().map(|portal| portal.room_id.clone());
        Self {
            of_room: rooms.zip(0..).collect(),
            portals: portals.into_iter().map(Some).collect(),
            begin: 0,
        }
    }

    /// The next one: of these rooms, if any is left of them.
    fn next(&mut self, urgent: &[OwnedRoomId]) -> Option<Portal> {
        let mut urgent = urgent.iter().filter_map(|room| self.of_room.get(room));
        let first = urgent.find_map(|&at| self.portals.get_mut(at)?.take());
        if first.is_some() {
            return first;
        }
        while self.begin < self.portals.len() {
            let next = self.portals[self.begin].take();
            self.begin += 1;
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

/// Whether that is the event by which a user came into the room, not one that
/// only changes their name there.
fn has_joined(event: &TimelineEvent, user: &UserId) -> bool {
    let membership = |content: Option<&Value>| {
        let membership = content.and_then(|content| content.get("membership"));
        membership.and_then(Value::as_str) == Some("join")
    };
    event.kind == "m.room.member"
        && event.state_key.as_deref() == Some(user.as_str())
        && membership(Some(&event.content))
        && !membership(event.json.pointer("/unsigned/prev_content"))
}

/// An event of a timeline as one for the inbox.
pub(super) fn new_event(room: &RoomId, mut event: TimelineEvent) -> Option<NewEvent> {
    if let Some(json) = event.json.as_object_mut() {
        json.insert("room_id".into(), room.as_str().into());
        json.remove("unsigned");
    }
    Some(NewEvent {
        event_id: event.event_id,
        room_id: room.to_owned(),
        sender: event.sender,
        kind: event.kind,
        json: serde_json::value::to_raw_value(&event.json).ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::RefCell;

    use ruma::{event_id, room_id};

    use super::*;

    fn event(number: u64, id: &str) -> Held {
        Held {
            number,
            room_id: room_id!("!r:x.org").to_owned(),
            place: Place::default(),
            event_id: id.try_into().unwrap(),
        }
    }

    #[test]
    fn a_room_in_which_somebody_waits_does_not_wait_for_its_turn() {
        let portal = |number: i32| -> Portal {
            serde_json::from_value(serde_json::json!({
                "rid": format!("r{number}"), "room_id": format!("!r{number}:x.org"),
                "kind": "channel", "name": "r", "since": 0,
            }))
            .unwrap()
        };
        let mut turns = Turns::new((0..4).map(portal).collect());
        let mut next = |urgent: &[&str]| {
            let urgent: Vec<_> = urgent.iter().map(|id| (*id).try_into().unwrap()).collect();
            turns.next(&urgent).map(|portal| portal.room_id.to_string())
        };
        assert_eq!(next(&[]).as_deref(), Some("!r0:x.org"));
        assert_eq!(
            next(&["!r0:x.org", "!other:x.org", "!r2:x.org"]).as_deref(),
            Some("!r2:x.org")
        );
        assert_eq!(next(&["!r2:x.org"]).as_deref(), Some("!r1:x.org"));
        assert_eq!(next(&[]).as_deref(), Some("!r3:x.org"));
        assert_eq!(next(&["!r1:x.org"]), None);
    }

    #[test]
    fn what_was_lost_comes_before_what_arrived_after_it() {
        let watch = HomeserverWatch::default();
        assert!(watch.trust(0, |_| {}));
        assert!(
            watch.hold(event(1, "$1")).is_some(),
            "nothing is held in good times"
        );
        watch.suspect(1_000);
        assert!(watch.hold(event(2, "$4")).is_none());
        assert!(watch.hold(event(3, "$5")).is_none());
        let timeline = ["$2", "$3", "$4"].map(|id| OwnedEventId::try_from(id).unwrap());
        let recovered = vec![event(4, "$2"), event(5, "$3")];
        let order = RefCell::new(Vec::new());
        watch.release(room_id!("!r:x.org"), recovered, &timeline, |event| {
            order.borrow_mut().push(event.event_id.to_string());
        });
        assert_eq!(*order.borrow(), ["$2", "$3", "$4", "$5"]);
        assert!(watch.hold(event(6, "$6")).is_some(), "the room is released");
        assert!(watch.trust(0, |_| panic!("nothing is left")));
        assert!(!watch.is_suspect());
    }

    #[test]
    fn a_backlog_from_before_the_part_that_was_read_stays_before_it() {
        let watch = HomeserverWatch::default();
        for (number, id) in [(1, "$1"), (2, "$2"), (3, "$4"), (4, "$5")] {
            assert!(watch.hold(event(number, id)).is_none());
        }
        let timeline = ["$3", "$4"].map(|id| OwnedEventId::try_from(id).unwrap());
        let order = RefCell::new(Vec::new());
        let recovered = vec![event(5, "$3")];
        watch.release(room_id!("!r:x.org"), recovered, &timeline, |event| {
            order.borrow_mut().push(event.event_id.to_string());
        });
        assert_eq!(order.into_inner(), ["$1", "$2", "$3", "$4", "$5"]);
    }

    #[test]
    fn a_second_absence_holds_again_and_goes_back_to_the_first() {
        let watch = HomeserverWatch::default();
        assert!(watch.trust(0, |_| {}));
        watch.suspect(1_000);
        watch.release(room_id!("!r:x.org"), Vec::new(), &[], |_| {});
        watch.suspect(2_000);
        assert_eq!(watch.since(), (1_000, 1));
        assert!(watch.hold(event(1, "$1")).is_none());
        assert!(
            !watch.trust(0, |_| {}),
            "the second absence is not made up for"
        );
        let rest = RefCell::new(Vec::new());
        assert!(watch.trust(1, |event| rest.borrow_mut().push(event.event_id)));
        assert_eq!(rest.into_inner(), [event_id!("$1")]);
    }
}
