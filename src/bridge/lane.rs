//! The order in which one room's work is done, in one direction. Pure: it only
//! says what may start now.
//!
//! Different senders may be under way at once, because both servers take several
//! times as much that way (a real Rocket.Chat 13 messages a second one by one
//! and 40 from eight at once). Kept are: the order of each sender, also while
//! its first job is being retried; and that nothing overtakes what it refers to.

use std::collections::{HashSet, VecDeque};

/// How far from the front jobs are looked at: a long backlog must not make each
/// step long.
const WINDOW: usize = 1024;

/// What the order of a job depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Who sent it: jobs of one sender are worked one after the other.
    pub sender: String,
    /// What it is known by, for those that refer to it.
    pub id: String,
    /// Ids of what it refers to: earlier jobs with such an id come first.
    pub refers_to: Vec<String>,
    /// Ids of what it changes: later jobs that refer to them come after it.
    pub changes: Vec<String>,
    /// It waits for everything before it, and everything after it waits for it:
    /// changes of the room itself.
    pub alone: bool,
}

struct Slot<J> {
    ticket: u64,
    place: Place,
    /// Gone while the job is under way.
    job: Option<J>,
}

/// The jobs of one room that are waiting or under way.
pub(super) struct Lane<J> {
    slots: VecDeque<Slot<J>>,
    next_ticket: u64,
    at_once: usize,
}

impl<J> Lane<J> {
    /// An empty lane with at most `at_once` jobs under way.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            next_ticket: 0,
            at_once,
        }
    }

    /// Adds a job behind all others.
    pub(super) fn push(&mut self, place: Place, job: J) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.slots.push_back(Slot {
            ticket,
            place,
            job: Some(job),
        });
    }

    /// Adds jobs before all that wait: what a job under way, which is alone, found
    /// to have come before those.
    pub(super) fn push_first(&mut self, jobs: impl IntoIterator<Item = (Place, J)>) {
        let under_way = self
            .slots
            .iter()
            .take_while(|slot| slot.job.is_none())
            .count();
        for (offset, (place, job)) in jobs.into_iter().enumerate() {
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            let slot = Slot {
                ticket,
                place,
                job: Some(job),
            };
            self.slots.insert(under_way + offset, slot);
        }
    }

    /// The jobs that may start now, in order. They count as under way until
    /// [`Lane::finish`].
    pub(super) fn start(&mut self) -> Vec<(u64, J)> {
        self.startable()
            .into_iter()
            .filter_map(|index| {
                let slot = &mut self.slots[index];
                Some((slot.ticket, slot.job.take()?))
            })
            .collect()
    }

    fn startable(&self) -> Vec<usize> {
        let window = || self.slots.iter().take(WINDOW).enumerate();
        let under_way = window().filter(|(_, slot)| slot.job.is_none()).count();
        let mut free = self.at_once.saturating_sub(under_way);
        let mut startable = Vec::new();
        let mut senders_before = HashSet::new();
        let mut ids_before = HashSet::new();
        for (index, slot) in window() {
            let place = &slot.place;
            if free == 0 {
                break;
            }
            let may_start = slot.job.is_some()
                && (index == 0 || !place.alone)
                && !senders_before.contains(place.sender.as_str())
                && !place
                    .refers_to
                    .iter()
                    .any(|id| ids_before.contains(id.as_str()));
            if may_start {
                startable.push(index);
                free -= 1;
            }
            if place.alone {
                break;
            }
            senders_before.insert(place.sender.as_str());
            ids_before.insert(place.id.as_str());
            ids_before.extend(place.changes.iter().map(String::as_str));
        }
        startable
    }

    /// Takes a finished job out.
    pub(super) fn finish(&mut self, ticket: u64) {
        // What is under way stands near the front.
        if let Some(index) = self.slots.iter().position(|slot| slot.ticket == ticket) {
            self.slots.remove(index);
        }
    }

    /// Behind everything that is there now; for [`Lane::has_reached`].
    pub(super) fn mark(&self) -> u64 {
        self.next_ticket
    }

    /// Whether everything that was there at a mark is done.
    pub(super) fn has_reached(&self, mark: u64) -> bool {
        self.slots.iter().all(|slot| slot.ticket >= mark)
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn by(sender: &str, id: &str) -> Place {
        Place {
            sender: sender.into(),
            id: id.into(),
            ..Place::default()
        }
    }

    fn started(lane: &mut Lane<&'static str>) -> Vec<&'static str> {
        lane.start().into_iter().map(|(_, job)| job).collect()
    }

    #[test]
    fn what_changes_the_same_thing_is_done_one_after_the_other() {
        let of = |sender: &str, id: &str| Place {
            refers_to: vec!["original".into()],
            changes: vec!["original".into()],
            ..by(sender, id)
        };
        let mut lane = Lane::new(8);
        lane.push(of("alice", "edit"), "edit");
        lane.push(of("moderator", "redaction"), "redaction");
        lane.push(by("carol", "other"), "other");
        assert_eq!(started(&mut lane), ["edit", "other"]);
        lane.finish(0);
        assert_eq!(started(&mut lane), ["redaction"]);
    }

    #[test]
    fn one_sender_keeps_its_order_and_others_go_on() {
        let mut lane = Lane::new(8);
        lane.push(by("alice", "1"), "alice 1");
        lane.push(by("alice", "2"), "alice 2");
        lane.push(by("bob", "3"), "bob 1");
        let first = lane.start();
        assert_eq!(first.len(), 2);
        assert_eq!((first[0].1, first[1].1), ("alice 1", "bob 1"));
        lane.finish(first[1].0);
        assert!(
            started(&mut lane).is_empty(),
            "alice's first is not done yet"
        );
        lane.finish(first[0].0);
        assert_eq!(started(&mut lane), ["alice 2"]);
    }

    #[test]
    fn nothing_overtakes_what_it_refers_to() {
        let mut lane = Lane::new(8);
        lane.push(by("alice", "original"), "original");
        let mut reply = by("bob", "reply");
        reply.refers_to = vec!["original".into()];
        lane.push(reply, "reply");
        let first = lane.start();
        assert_eq!(first.len(), 1);
        lane.finish(first[0].0);
        assert_eq!(started(&mut lane), ["reply"]);
    }

    #[test]
    fn a_change_of_the_room_waits_for_all_before_and_holds_all_after() {
        let mut lane = Lane::new(8);
        lane.push(by("alice", "1"), "before");
        let mut alone = by("bob", "2");
        alone.alone = true;
        lane.push(alone, "change");
        lane.push(by("carol", "3"), "after");
        let before = lane.start();
        assert_eq!(before.len(), 1);
        lane.finish(before[0].0);
        let change = lane.start();
        assert_eq!(change.len(), 1);
        assert_eq!(change[0].1, "change");
        assert!(started(&mut lane).is_empty());
        lane.finish(change[0].0);
        assert_eq!(started(&mut lane), ["after"]);
    }

    #[test]
    fn what_is_found_to_have_come_earlier_goes_first() {
        let mut lane = Lane::new(8);
        let mut alone = by("alice", "invitation");
        alone.alone = true;
        lane.push(alone, "invitation");
        lane.push(by("alice", "3"), "third");
        let invitation = lane.start();
        lane.push_first([(by("alice", "1"), "first"), (by("alice", "2"), "second")]);
        lane.finish(invitation[0].0);
        let mut order = Vec::new();
        for _ in 0..3 {
            let next = lane.start();
            assert_eq!(next.len(), 1);
            order.push(next[0].1);
            lane.finish(next[0].0);
        }
        assert_eq!(order, ["first", "second", "third"]);
    }

    #[test]
    fn a_mark_is_reached_when_all_before_it_is_done() {
        let mut lane = Lane::new(2);
        lane.push(by("a", "1"), "1");
        lane.push(by("b", "2"), "2");
        let under_way = lane.start();
        let mark = lane.mark();
        lane.push(by("c", "3"), "3");
        lane.finish(under_way[1].0);
        assert!(!lane.has_reached(mark), "the first is not done");
        lane.finish(under_way[0].0);
        assert!(lane.has_reached(mark), "the third came behind it");
    }

    #[test]
    fn no_more_than_the_bound_are_under_way() {
        let mut lane = Lane::new(2);
        for (sender, job) in [("a", "1"), ("b", "2"), ("c", "3")] {
            lane.push(by(sender, job), job);
        }
        let first = lane.start();
        assert_eq!(first.len(), 2);
        lane.finish(first[0].0);
        assert_eq!(started(&mut lane), ["3"]);
    }

    proptest! {
        /// Whatever finishes when: every job is worked once, each sender in order.
        #[test]
        fn every_job_once_and_each_sender_in_order(
            senders in proptest::collection::vec(0u8..4, 0..60),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut lane = Lane::new(3);
            for (number, sender) in senders.iter().enumerate() {
                lane.push(by(&sender.to_string(), &number.to_string()), (number, *sender));
            }
            let mut under_way = lane.start();
            let mut done = Vec::new();
            let mut picks = picks.into_iter().cycle();
            while !under_way.is_empty() {
                let index = picks.next().unwrap().index(under_way.len());
                let (ticket, job) = under_way.remove(index);
                done.push(job);
                lane.finish(ticket);
                under_way.extend(lane.start());
            }
            prop_assert!(lane.is_empty());
            prop_assert_eq!(done.len(), senders.len());
            for sender in 0..4 {
                let numbers: Vec<_> = done.iter().filter(|job| job.1 == sender).map(|job| job.0).collect();
                prop_assert!(numbers.is_sorted());
            }
        }
    }
}
