//! Which streams are wanted, and how far each has come on the present connection.
//! Knows no socket: it says what to send and what to tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::event::Event;
use super::pace::{Pace, Urgency};
use super::stream::Stream;
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::RocketUserId;

/// A subscription that is not answered by then makes the connection suspect: the answer
/// may have been lost in a frame that could not be read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the server asks to wait and does not say how long.
const DEFAULT_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Queued,
    Asked,
    Ready,
    Refused,
}

/// A stream and which of its subscriptions.
type Key = (Stream, usize);

/// Subscriptions that wait for the same pace. Urgent lanes come first, and among them
/// messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    urgency: Urgency,
    rank: usize,
    name: &'static str,
}

impl Lane {
    fn of(stream: &Stream, name: &'static str) -> Self {
        const FIRST: [&str; 2] = ["stream-room-messages", "stream-notify-user"];
        Self {
            urgency: Urgency::of(stream),
            rank: FIRST
                .iter()
                .position(|first| *first == name)
                .unwrap_or(FIRST.len()),
            name,
        }
    }
}

impl Urgency {
    fn of(stream: &Stream) -> Self {
        match stream {
            stream if stream.is_essential() => Self::Essential,
            Stream::UserActivity(_) => Self::Aside,
            _ => Self::Room,
        }
    }
}

/// One subscription on the wire; a stream takes one or two.
#[derive(Debug)]
struct Part {
    name: &'static str,
    event: String,
    id: String,
    state: State,
}

/// A subscription to be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub id: String,
    pub name: &'static str,
    pub event: String,
}

/// All streams of a connection that comes back.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: BTreeSet<Stream>,
    own: Option<RocketUserId>,
    parts: BTreeMap<Stream, Vec<Part>>,
    queued: BTreeMap<Lane, BTreeSet<Key>>,
    asked: BTreeMap<Key, Instant>,
    by_id: HashMap<String, Key>,
    paces: HashMap<&'static str, Pace>,
    ready_told: bool,
    last_id: u64,
}

impl Subscriptions {
    pub fn new(wanted: impl IntoIterator<Item = Stream>) -> Self {
        Self {
            wanted: wanted.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A connection is logged in: everything is to be asked for.
    pub fn start(&mut self, own: RocketUserId) {
        self.stop();
        self.own = Some(own);
        for stream in self.wanted.clone() {
            self.queue(stream);
        }
    }

    /// The connection is gone.
    pub fn stop(&mut self) {
        self.own = None;
        self.parts.clear();
        self.queued.clear();
        self.asked.clear();
        self.by_id.clear();
        self.paces.clear();
        self.ready_told = false;
    }

    fn queue(&mut self, stream: Stream) {
        let Some(own) = &self.own else { return };
        let mut parts = Vec::new();
        for (index, (name, event)) in stream.wire(own).into_iter().enumerate() {
            self.last_id += 1;
            let id = format!("s{}", self.last_id);
            self.by_id.insert(id.clone(), (stream.clone(), index));
            self.enqueue(name, (stream.clone(), index));
            parts.push(Part {
                name,
                event,
                id,
                state: State::Queued,
            });
        }
        self.parts.insert(stream, parts);
    }

    fn enqueue(&mut self, name: &'static str, key: Key) {
        let lane = Lane::of(&key.0, name);
        self.queued.entry(lane).or_default().insert(key);
    }

    fn dequeue(&mut self, name: &'static str, key: &Key) {
        let lane = Lane::of(&key.0, name);
        if let Some(waiting) = self.queued.get_mut(&lane) {
            waiting.remove(key);
            if waiting.is_empty() {
                self.queued.remove(&lane);
            }
        }
    }

    /// Adds a stream; returns the ids of subscriptions that it replaces.
    pub fn add(&mut self, stream: Stream) -> Vec<String> {
        self.wanted.insert(stream.clone());
        let under_way = self.parts.get(&stream).is_some_and(|parts| {
            parts
                .iter()
                .any(|part| matches!(part.state, State::Queued | State::Asked))
        });
        if under_way {
            return Vec::new();
        }
        let replaced = self.forget(&stream);
        self.queue(stream);
        replaced
    }

    /// Gives a stream up; returns the ids of its subscriptions.
    pub fn remove(&mut self, stream: &Stream) -> Vec<String> {
        self.wanted.remove(stream);
        self.forget(stream)
    }

    fn forget(&mut self, stream: &Stream) -> Vec<String> {
        let parts = self.parts.remove(stream).unwrap_or_default();
        let mut ended = Vec::new();
        for (index, part) in parts.into_iter().enumerate() {
            self.by_id.remove(&part.id);
            self.dequeue(part.name, &(stream.clone(), index));
            self.asked.remove(&(stream.clone(), index));
            if matches!(part.state, State::Asked | State::Ready) {
                ended.push(part.id);
            }
        }
        ended
    }

    /// What to ask for now. Streams of single rooms wait until `Ready` was told, so that
    /// they never hold up what concerns everything.
    pub fn due(&mut self, now: Instant) -> Vec<Ask> {
        let mut due = Vec::new();
        for (lane, waiting) in &mut self.queued {
            let urgent = lane.urgency == Urgency::Essential;
            if !urgent && !self.ready_told {
                continue;
            }
            let pace = self.paces.entry(lane.name).or_default();
            while pace.free_at(now, lane.urgency) <= now
                && let Some(key) = waiting.pop_first()
            {
                let Some(part) = part_of(&mut self.parts, &key) else {
                    continue;
                };
                pace.note(now);
                part.state = State::Asked;
                due.push(Ask {
                    id: part.id.clone(),
                    name: part.name,
                    event: part.event.clone(),
                });
                self.asked.insert(key, now);
            }
        }
        self.queued.retain(|_, waiting| !waiting.is_empty());
        due
    }

    /// When [`Self::due`], and if answers are being read [`Self::overdue`], should be
    /// asked next.
    pub fn next_time(&mut self, now: Instant, reading: bool) -> Option<Instant> {
        let answer = self.asked.values().min().filter(|_| reading);
        let mut next = answer.map(|since| *since + ANSWER_TIMEOUT);
        for Lane { urgency, name, .. } in self.queued.keys() {
            let urgent = *urgency == Urgency::Essential;
            if urgent || self.ready_told {
                let free = self.paces.entry(name).or_default().free_at(now, *urgency);
                next = Some(next.map_or(free, |next| next.min(free)));
            }
        }
        next
    }

    /// Whether an answer is missing for so long that the connection must be suspected.
    pub fn overdue(&self, now: Instant) -> bool {
        self.asked
            .values()
            .any(|since| *since + ANSWER_TIMEOUT <= now)
    }

    /// The server is ready with a subscription; what to tell.
    pub fn ready(&mut self, id: &str) -> Vec<Event> {
        let Some((stream, _)) = self.settle(id, State::Ready) else {
            return Vec::new();
        };
        let complete = self
            .parts
            .get(&stream)
            .is_some_and(|parts| parts.iter().all(|part| part.state == State::Ready));
        let mut events = Vec::new();
        if complete && self.ready_told {
            events.push(Event::Subscribed(stream));
        }
        self.tell_ready(&mut events);
        events
    }

    /// The server refused a subscription, or ended it; what to tell.
    pub fn refused(&mut self, id: &str, error: Option<Error>, now: Instant) -> Vec<Event> {
        if let Some(Error::RateLimited { after }) = error {
            if let Some((key, part)) = self.part_by_id(id) {
                part.state = State::Queued;
                let name = part.name;
                // A little more: the server's clock is the one that counts.
                let pause = after.unwrap_or(DEFAULT_PAUSE) + Duration::from_millis(100);
                self.paces.entry(name).or_default().block(now + pause);
                self.asked.remove(&key);
                self.enqueue(name, key);
            }
            return Vec::new();
        }
        let Some((stream, index)) = self.settle(id, State::Refused) else {
            return Vec::new();
        };
        let told = self.parts.get(&stream).is_some_and(|parts| {
            let others = parts
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            others
                .into_iter()
                .any(|(_, part)| part.state == State::Refused)
        });
        let mut events = Vec::new();
        if !told {
            events.push(Event::SubscriptionRefused {
                stream,
                error: error.unwrap_or_else(|| Error::refused("subscription-ended")),
            });
        }
        self.tell_ready(&mut events);
        events
    }

    fn part_by_id(&mut self, id: &str) -> Option<(Key, &mut Part)> {
        let key = self.by_id.get(id)?.clone();
        let part = part_of(&mut self.parts, &key)?;
        Some((key, part))
    }

    /// Moves on a subscription; none when it is unknown or has that state already.
    fn settle(&mut self, id: &str, state: State) -> Option<Key> {
        let (key, part) = self.part_by_id(id)?;
        if part.state == state {
            return None;
        }
        part.state = state;
        let name = part.name;
        self.asked.remove(&key);
        self.dequeue(name, &key);
        Some(key)
    }

    /// Tells `Ready` once nothing essential is open.
    fn tell_ready(&mut self, events: &mut Vec<Event>) {
        let asked = self.asked.keys().any(|(stream, _)| stream.is_essential());
        let queued = self
            .queued
            .keys()
            .any(|lane| lane.urgency == Urgency::Essential);
        let open = asked || queued;
        if !self.ready_told && !open {
            self.ready_told = true;
            events.push(Event::Ready);
        }
    }

    /// As [`Self::tell_ready`], for a connection with nothing essential wanted.
    pub fn ready_if_nothing_is_open(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.own.is_some() {
            self.tell_ready(&mut events);
        }
        events
    }
}

fn part_of<'a>(parts: &'a mut BTreeMap<Stream, Vec<Part>>, key: &Key) -> Option<&'a mut Part> {
    parts.get_mut(&key.0)?.get_mut(key.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rocketchat::ids::RocketRoomId;

    fn deletions(count: usize) -> Vec<Stream> {
        let stream = |n| Stream::Deletions(RocketRoomId::new(format!("r{n}")));
        (0..count).map(stream).collect()
    }

    /// Answers everything that is due, for so long; returns when each was asked for.
    fn play(subscriptions: &mut Subscriptions, start: Instant, long: Duration) -> Vec<Instant> {
        let mut now = start;
        let mut asked = Vec::new();
        while now <= start + long {
            for ask in subscriptions.due(now) {
                subscriptions.ready(&ask.id);
                asked.push(now);
            }
            match subscriptions.next_time(now, true) {
                Some(at) => now = at.max(now + Duration::from_millis(1)),
                None => break,
            }
        }
        asked
    }

    #[test]
    fn a_thousand_rooms_are_subscribed_within_the_servers_limit() {
        let start = Instant::now();
        let mut subscriptions = Subscriptions::new(deletions(1000));
        subscriptions.start(RocketUserId::new("u"));
        assert_eq!(subscriptions.ready_if_nothing_is_open(), [Event::Ready]);
        let asked = play(&mut subscriptions, start, Duration::from_secs(4000));
        assert_eq!(asked.len(), 2000, "some rooms were never asked for");
        for (index, at) in asked.iter().enumerate() {
            let until = *at + Duration::from_secs(40);
            let window = asked[index..].iter().take_while(|other| **other < until);
            assert!(window.count() <= 40);
        }
        assert_eq!(
            subscriptions.next_time(start + Duration::from_secs(4000), true),
            None
        );
    }

    #[test]
    fn single_rooms_wait_for_what_is_essential() {
        let now = Instant::now();
        let mut streams = deletions(3);
        streams.push(Stream::Logged("x".to_owned()));
        streams.push(Stream::MyMessages);
        let mut subscriptions = Subscriptions::new(streams);
        subscriptions.start(RocketUserId::new("u"));
        let due = subscriptions.due(now);
        let names: Vec<_> = due.iter().map(|ask| ask.event.as_str()).collect();
        assert_eq!(names, ["__my_messages__", "x"]);
        assert_eq!(subscriptions.ready(&due[0].id), []);
        assert_eq!(subscriptions.ready(&due[1].id), [Event::Ready]);
        assert_eq!(
            subscriptions.ready(&due[1].id),
            [],
            "a second ready told something"
        );
        assert_eq!(subscriptions.due(now).len(), 6);
    }

    #[test]
    fn an_answer_that_never_comes_is_noticed() {
        let now = Instant::now();
        let mut subscriptions = Subscriptions::new([Stream::MyMessages]);
        subscriptions.start(RocketUserId::new("u"));
        subscriptions.due(now);
        let late = now + ANSWER_TIMEOUT;
        assert_eq!(subscriptions.next_time(now, true), Some(late));
        assert_eq!(
            subscriptions.next_time(now, false),
            None,
            "nobody reads answers now"
        );
        assert!(!subscriptions.overdue(now) && subscriptions.overdue(late));
    }

    #[test]
    fn a_stream_given_up_is_forgotten_in_every_state() {
        let now = Instant::now();
        let stream = deletions(1).remove(0);
        let mut subscriptions = Subscriptions::new([stream.clone()]);
        subscriptions.start(RocketUserId::new("u"));
        assert_eq!(subscriptions.remove(&stream), Vec::<String>::new());
        assert_eq!(subscriptions.due(now), []);
        subscriptions.ready_if_nothing_is_open();
        subscriptions.add(stream.clone());
        let due = subscriptions.due(now);
        assert_eq!(due.len(), 2);
        assert_eq!(
            subscriptions.add(stream.clone()),
            Vec::<String>::new(),
            "asked for twice"
        );
        let error = || Some(Error::refused("not-allowed"));
        assert_eq!(subscriptions.refused(&due[0].id, error(), now).len(), 1);
        assert_eq!(
            subscriptions.refused(&due[1].id, error(), now),
            [],
            "told twice"
        );
        assert_eq!(subscriptions.remove(&stream), Vec::<String>::new());
        assert_eq!(subscriptions.ready(&due[0].id), []);
        assert_eq!(subscriptions.next_time(now, true), None);
    }
}
