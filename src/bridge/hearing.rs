//! Whether each room of Rocket.Chat is heard: what comes from a socket is taken
//! only when nothing before it can be missing. Without I/O.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::cursor::Cursor;
use super::from_rocketchat::{Document, Job};
use crate::rocketchat::RocketRoomId;
use crate::store::PortalId;

/// How many documents of one room may wait before the room stops taking them
/// from the socket and is read back later instead: memory stays bounded when the
/// homeserver is away.
const LONGEST_QUEUE: usize = 2_000;

/// What is known of each portal's Rocket.Chat side while the bridge runs.
#[derive(Default)]
pub(super) struct Rooms {
    rooms: Mutex<HashMap<PortalId, Room>>,
    listening: AtomicBool,
    connections: AtomicU64,
    /// A reading has ended somewhere, whatever became of it.
    turned: Notify,
}

struct Room {
    cursor: Cursor,
    state: State,
    /// Counts readings: one that was overtaken by a gap must change nothing.
    reading: u64,
    /// The last one whose documents were taken.
    read: u64,
    /// To be read back once more when this reading, or the queue, is done.
    again: bool,
    /// Deletions are heard by a subscription of their own, which comes later than
    /// that for messages; until then the cursor must not follow the messages.
    hears_deletions: bool,
    /// From when on (ms) the next reading is to begin, if that is before the cursor.
    look_back: Option<i64>,
    /// How many documents came from a socket.
    arrivals: u64,
    waiting: usize,
}

enum State {
    /// What comes now is not taken: it will be read back with the rest.
    Missing,
    /// Being read back; what comes meanwhile waits behind it.
    Reading(Vec<Document>),
    /// What comes is taken.
    Live,
}

/// One reading back of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    number: u64,
    /// From where to read (ms).
    pub position: i64,
}

/// What became of a room's reading back since some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// A reading that began later is done.
    Read,
    /// One is under way; another one follows it if it began before.
    Reading,
    /// Neither.
    Missed,
}

/// What became of a room when something ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The new position of the cursor, if it moved.
    pub moved: Option<i64>,
    /// The room should be read back now.
    pub read_back: bool,
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, HashMap<PortalId, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bridge's own socket is there, or not.
    pub(super) fn set_listening(&self, listening: bool) {
        if listening {
            self.connections.fetch_add(1, Ordering::SeqCst);
        }
        self.listening.store(listening, Ordering::SeqCst);
    }

    /// The number of the connection of the bridge's own socket; none without one.
    pub(super) fn connection(&self) -> Option<u64> {
        self.is_listening()
            .then(|| self.connections.load(Ordering::SeqCst))
    }

    /// Whether the bridge's own socket is there.
    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::SeqCst)
    }

    /// From now on something may be missed in these rooms; readings under way
    /// count no more.
    pub(super) fn miss<'a>(&self, portals: impl IntoIterator<Item = &'a PortalId>) {
        let mut rooms = self.lock();
        for portal in portals {
            if let Some(room) = rooms.get_mut(portal) {
                room.miss();
            }
        }
        drop(rooms);
        self.turned.notify_waiters();
    }

    /// The next time that a reading ends somewhere, for whatever reason.
    pub(super) fn turned(&self) -> Notified<'_> {
        self.turned.notified()
    }

    /// How many readings of a room have begun so far, for [`Rooms::since`].
    pub(super) fn readings(&self, portal: &PortalId) -> u64 {
        self.lock().get(portal).map_or(0, |room| room.reading)
    }

    /// What became of a room's reading back since so many readings had begun.
    pub(super) fn since(&self, portal: &PortalId, readings: u64) -> Since {
        match self.lock().get(portal) {
            Some(room) if room.read > readings => Since::Read,
            Some(room) if matches!(room.state, State::Reading(_)) => Since::Reading,
            _ => Since::Missed,
        }
    }

    /// The portals of a room but the bridge's own, as far as they are heard.
    pub(super) fn further_of(&self, rid: &RocketRoomId) -> Vec<PortalId> {
        let is_further = |id: &&PortalId| !id.is_own() && id.rid() == *rid;
        self.lock().keys().filter(is_further).cloned().collect()
    }

    /// A room that is mirrored no more.
    pub(super) fn forget(&self, portal: &PortalId) {
        self.lock().remove(portal);
        self.turned.notify_waiters();
    }

    /// From now on deletions in the room are heard; those before have to be read
    /// back.
    pub(super) fn hear_deletions(&self, portal: &PortalId) {
        if let Some(room) = self.lock().get_mut(portal) {
            room.hears_deletions = true;
        }
    }

    /// A document came from a socket: it goes to `enqueue`, waits behind what is
    /// being read back, or is left to be read back. Whether somebody waits for the
    /// latter: it is left, and the room could be read back at once.
    pub(super) fn arrive(
        &self,
        portal: &PortalId,
        document: Document,
        enqueue: impl FnOnce(Vec<Job>),
    ) -> bool {
        let mut rooms = self.lock();
        let Some(room) = rooms.get_mut(portal) else {
            return true;
        };
        room.arrivals += 1;
        if room.waiting >= LONGEST_QUEUE {
            room.miss();
            room.again = true;
            self.turned.notify_waiters();
        }
        match &mut room.state {
            // After its queue, when that is too long.
            State::Missing => return !room.again,
            State::Reading(behind) => behind.push(document),
            // Within the lock: nothing that comes later may get in between.
            State::Live => enqueue(vec![room.begin(document)]),
        }
        false
    }

    /// How many documents of the room came from a socket so far.
    pub(super) fn arrivals(&self, portal: &PortalId) -> u64 {
        self.lock().get(portal).map_or(0, |room| room.arrivals)
    }

    /// Begins to read a room back; none when that is under way already (then it is
    /// done once more afterwards).
    pub(super) fn start_reading(&self, portal: &PortalId, stored: i64) -> Option<Reading> {
        let mut rooms = self.lock();
        let room = rooms.entry(portal.clone()).or_insert_with(|| Room {
            cursor: Cursor::at(stored),
            state: State::Missing,
            reading: 0,
            read: 0,
            again: false,
            hears_deletions: false,
            look_back: None,
            arrivals: 0,
            waiting: 0,
        });
        if matches!(room.state, State::Reading(_)) {
            room.again = true;
            return None;
        }
        room.again = false;
        room.cursor.hold();
        room.reading += 1;
        room.state = State::Reading(Vec::new());
        let position = room.cursor.position();
        let look_back = room.look_back.take();
        Some(Reading {
            number: room.reading,
            position: look_back.map_or(position, |to| position.min(to)),
        })
    }

    /// Reading back failed: as if it had not begun.
    pub(super) fn stop_reading(&self, portal: &PortalId, reading: Reading) {
        if let Some(room) = self.lock().get_mut(portal)
            && room.reading == reading.number
        {
            room.miss();
        }
        self.turned.notify_waiters();
    }

    /// What was read back goes to `enqueue`, and what waited behind it. From now on
    /// the room is live, if somebody listens: for channels the bridge's own socket,
    /// for direct messages (`has_own_ears`) whoever looks at them. Nothing happens
    /// when something was missed meanwhile: the room is read back once more then.
    pub(super) fn finish_reading(
        &self,
        portal: &PortalId,
        reading: Reading,
        read: Vec<Document>,
        has_own_ears: bool,
        enqueue: impl FnOnce(Vec<Job>),
    ) -> Outcome {
        let mut rooms = self.lock();
        let Some(room) = rooms.get_mut(portal) else {
            return Outcome::default();
        };
        if room.reading != reading.number {
            return Outcome::default();
        }
        let goes_live = has_own_ears || self.is_listening();
        let next = if goes_live {
            State::Live
        } else {
            State::Missing
        };
        let State::Reading(behind) = std::mem::replace(&mut room.state, next) else {
            room.state = State::Missing;
            return Outcome::default();
        };
        let jobs = read
            .into_iter()
            .chain(behind)
            .map(|document| room.begin(document))
            .collect();
        enqueue(jobs);
        room.read = reading.number;
        self.turned.notify_waiters();
        let moved = room.cursor.release();
        if !goes_live || !room.hears_deletions {
            room.cursor.hold();
        }
        Outcome {
            moved,
            read_back: goes_live && std::mem::take(&mut room.again),
        }
    }

    /// The next reading of a room is to begin that long (ms) before the cursor, which stays:
    /// by Rocket.Chat's clock, as the cursor itself.
    pub(super) fn look_back(&self, portal: &PortalId, by: i64) {
        if let Some(room) = self.lock().get_mut(portal) {
            let to = room.cursor.position().saturating_sub(by);
            room.look_back = Some(room.look_back.map_or(to, |before| before.min(to)));
        }
    }

    /// What happened since that time (ms) is to be dealt with once more: the room is to
    /// be read back.
    pub(super) fn rewind(&self, portal: &PortalId, to: i64) {
        if let Some(room) = self.lock().get_mut(portal) {
            room.cursor.rewind(to);
            room.miss();
        }
        self.turned.notify_waiters();
    }

    /// Work on a document is done.
    pub(super) fn finish(&self, portal: &PortalId, ticket: i64) -> Outcome {
        let mut rooms = self.lock();
        let Some(room) = rooms.get_mut(portal) else {
            return Outcome::default();
        };
        room.waiting = room.waiting.saturating_sub(1);
        let is_empty = room.waiting == 0;
        Outcome {
            moved: room.cursor.finish(ticket),
            read_back: is_empty && room.again && matches!(room.state, State::Missing),
        }
    }
}

impl Room {
    fn miss(&mut self) {
        self.cursor.hold();
        self.state = State::Missing;
        self.reading += 1;
        self.hears_deletions = false;
    }

    fn begin(&mut self, document: Document) -> Job {
        self.waiting += 1;
        let ticket = self.cursor.begin(document.updated_at());
        Job { document, ticket }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;
    use crate::rocketchat::RocketMessageId;

    fn room() -> PortalId {
        PortalId::own(&RocketRoomId::new("r"))
    }

    fn document(id: &str) -> Document {
        Document::Deleted {
            id: RocketMessageId::new(id),
            at: Some(id.parse().unwrap_or(0)),
        }
    }

    /// Rooms with one room, and what was enqueued of it.
    #[derive(Default)]
    struct Heard {
        rooms: Rooms,
        jobs: RefCell<Vec<String>>,
    }

    impl Heard {
        fn enqueue(&self, jobs: Vec<Job>) {
            let ids = jobs.iter().map(|job| job.document.place().id);
            self.jobs.borrow_mut().extend(ids);
        }

        fn arrive(&self, id: &str) -> bool {
            self.rooms
                .arrive(&room(), document(id), |jobs| self.enqueue(jobs))
        }

        fn finish(&self, reading: Reading, read: &[&str]) -> Outcome {
            let read = read.iter().map(|id| document(id)).collect();
            self.rooms
                .finish_reading(&room(), reading, read, false, |jobs| self.enqueue(jobs))
        }

        fn jobs(&self) -> Vec<String> {
            self.jobs.borrow().clone()
        }
    }

    #[test]
    fn whoever_waits_for_a_reading_waits_for_one_that_began_later() {
        let heard = Heard::default();
        heard.rooms.set_listening(true);
        let since = |before| heard.rooms.since(&room(), before);
        let begin = || heard.rooms.start_reading(&room(), 0).unwrap();
        assert_eq!(since(heard.rooms.readings(&room())), Since::Missed);
        let early = begin();
        let before = heard.rooms.readings(&room());
        assert_eq!(heard.rooms.start_reading(&room(), 0), None);
        assert_eq!(since(before), Since::Reading);
        let outcome = heard.finish(early, &["1"]);
        assert!(outcome.read_back);
        assert_eq!(since(before), Since::Missed);
        let overtaken = begin();
        heard.rooms.miss([&room()]);
        heard.finish(overtaken, &["2"]);
        assert_eq!(since(before), Since::Missed);
        let late = begin();
        assert_eq!(since(before), Since::Reading);
        heard.rooms.stop_reading(&room(), late);
        assert_eq!(since(before), Since::Missed);
        let late = begin();
        heard.finish(late, &["2"]);
        assert_eq!(since(before), Since::Read);
    }

    #[test]
    fn what_comes_while_reading_waits_behind_what_is_read() {
        let heard = Heard::default();
        heard.rooms.set_listening(true);
        let reading = heard.rooms.start_reading(&room(), 0).unwrap();
        let _ = heard.arrive("3");
        heard.finish(reading, &["1", "2"]);
        let _ = heard.arrive("4");
        assert_eq!(heard.jobs(), ["1", "2", "3", "4"]);
    }

    #[test]
    fn who_speaks_in_a_room_before_its_turn_is_waited_for() {
        let heard = Heard::default();
        heard.rooms.set_listening(true);
        assert!(heard.arrive("1"), "nothing is known of it yet");
        let reading = heard.rooms.start_reading(&room(), 0).unwrap();
        assert!(!heard.arrive("2"), "it is being read back");
        heard.finish(reading, &["1"]);
        assert!(!heard.arrive("3"), "it is live");
        heard.rooms.miss([&room()]);
        assert!(heard.arrive("4"), "something was missed");
        assert_eq!(heard.jobs(), ["1", "2", "3"]);
    }

    #[test]
    fn a_reading_that_a_gap_overtook_changes_nothing() {
        let heard = Heard::default();
        heard.rooms.set_listening(true);
        let overtaken = heard.rooms.start_reading(&room(), 0).unwrap();
        heard.rooms.miss([&room()]);
        let second = heard.rooms.start_reading(&room(), 0).unwrap();
        let _ = heard.arrive("2");
        heard.finish(overtaken, &["1"]);
        assert!(heard.jobs().is_empty(), "the second reading brings it");
        heard.finish(second, &["1"]);
        let _ = heard.arrive("3");
        assert_eq!(heard.jobs(), ["1", "2", "3"]);
    }

    #[test]
    fn without_a_socket_no_room_becomes_live() {
        let heard = Heard::default();
        let reading = heard.rooms.start_reading(&room(), 0).unwrap();
        heard.finish(reading, &["1"]);
        // The socket is back, but what came before has not been read yet.
        heard.rooms.set_listening(true);
        let _ = heard.arrive("3");
        assert_eq!(heard.jobs(), ["1"]);
        let reading = heard.rooms.start_reading(&room(), 0).unwrap();
        heard.finish(reading, &["2", "3"]);
        assert_eq!(heard.jobs(), ["1", "2", "3"]);
    }

    #[test]
    fn the_cursor_waits_until_deletions_are_heard() {
        let heard = Heard::default();
        heard.rooms.set_listening(true);
        let reading = heard.rooms.start_reading(&room(), 5).unwrap();
        assert_eq!(heard.finish(reading, &[]).moved, None);
        let _ = heard.arrive("100");
        assert_eq!(heard.rooms.finish(&room(), 100).moved, None);
        heard.rooms.hear_deletions(&room());
        let reading = heard.rooms.start_reading(&room(), 5).unwrap();
        assert_eq!(reading.position, 5, "read back from before the messages");
        assert_eq!(heard.finish(reading, &[]).moved, Some(100));
        let _ = heard.arrive("200");
        assert_eq!(heard.rooms.finish(&room(), 200).moved, Some(200));
    }

    #[test]
    fn a_second_wish_to_read_back_is_remembered() {
        let heard = Heard::default();
        heard.rooms.set_listening(true);
        let reading = heard.rooms.start_reading(&room(), 0).unwrap();
        assert_eq!(heard.rooms.start_reading(&room(), 0), None);
        assert!(heard.finish(reading, &[]).read_back);
    }

    proptest! {
        /// A server that numbers documents 1, 2, 3 …; the socket comes and goes, and
        /// readings begin and end at any time. In the end, read back once more, every
        /// document was enqueued, and no new one ever before an older new one.
        #[test]
        fn nothing_is_missed_and_nothing_overtakes(steps in proptest::collection::vec(0u8..6, 1..80)) {
            let heard = Heard::default();
            let mut written = 0_u32;
            let mut readings: Vec<(Reading, u32)> = Vec::new();
            let start = |written: u32, readings: &mut Vec<(Reading, u32)>| {
                if let Some(reading) = heard.rooms.start_reading(&room(), 0) {
                    readings.push((reading, written));
                }
            };
            let finish = |(reading, upto): (Reading, u32)| {
                let read: Vec<String> = (1..=upto).map(|id| id.to_string()).collect();
                let read: Vec<&str> = read.iter().map(String::as_str).collect();
                heard.finish(reading, &read).read_back
            };
            for step in steps {
                match step {
                    0 | 1 => {
                        written += 1;
                        if heard.rooms.is_listening() {
                            let _ = heard.arrive(&written.to_string());
                        }
                    }
                    2 => {
                        heard.rooms.set_listening(true);
                        heard.rooms.miss([&room()]);
                        start(written, &mut readings);
                    }
                    3 => {
                        heard.rooms.set_listening(false);
                        heard.rooms.miss([&room()]);
                    }
                    4 => start(written, &mut readings),
                    _ => {
                        if !readings.is_empty() && finish(readings.remove(0)) {
                            start(written, &mut readings);
                        }
                    }
                }
            }
            heard.rooms.set_listening(true);
            heard.rooms.miss([&room()]);
            start(written, &mut readings);
            while !readings.is_empty() {
                if finish(readings.remove(0)) {
                    start(written, &mut readings);
                }
            }
            let mut highest = 0;
            for job in heard.jobs() {
                let job: u32 = job.parse().unwrap();
                prop_assert!(job <= highest + 1, "{} came before {}", job, highest + 1);
                highest = highest.max(job);
            }
            prop_assert_eq!(highest, written);
        }
    }
}
