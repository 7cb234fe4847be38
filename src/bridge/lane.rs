//! The order in which one room's work is done, in one direction. Pure: it only
//! says what may start now.
//!
//! Different senders may be under way at once, because both servers take several
//! times as much that way (a real Rocket.Chat 13 messages a second one by one
//! and 40 from eight at once). Kept are: the order of each person, also while
//! their first job is being retried; and that nothing overtakes what it refers to.

use std::collections::{HashSet, VecDeque};

/// How far from the front jobs are looked at: a long backlog must not make each
/// step long.
const WINDOW: usize = 1024;

/// What the order of a job depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Whom it is of: who sent it, and whose membership it changes. Jobs of one person
    /// are worked one after the other.
    pub people: Vec<String>,
    /// What it is known by, for those that refer to it.
    pub id: String,
    /// Ids of what it refers to: earlier jobs with such an id come first.
    pub refers_to: Vec<String>,
    /// Ids of what it changes: later jobs that refer to them come after it.
    pub changes: Vec<String>,
    /// It waits for everything before it, and everything after it waits for it:
    /// changes of the room itself. For what is [`slow`](Self::slow), and what waits for
    /// that, it only waits when it is of the same people; then it holds up only what is
    /// of its people or refers to it, as what it waits for does.
    pub alone: bool,
    /// It moves a file, which may take minutes: it holds up nobody but its sender, and
    /// what refers to it.
    pub slow: bool,
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
    /// An empty lane with at most `at_once` jobs under way, and as many slow ones.
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
        let under_way = |slow| {
            window()
                .filter(|(_, slot)| slot.job.is_none() && slot.place.slow == slow)
                .count()
        };
        let mut free = self.at_once.saturating_sub(under_way(false));
        let mut free_slow = self.at_once.saturating_sub(under_way(true));
        let mut startable = Vec::new();
        let mut people_before = HashSet::new();
        let mut ids_before = HashSet::new();
        // What moves a file, and what waits for such a one.
        let mut people_held = HashSet::new();
        let mut ids_held = HashSet::new();
        let mut only_held_before = true;
        for (index, slot) in window() {
            let place = &slot.place;
            let free = if place.slow {
                &mut free_slow
            } else {
                &mut free
            };
            let comes_after = |ids: &[String], before: &HashSet<&str>| {
                ids.iter().any(|id| before.contains(id.as_str()))
            };
            let may_start = slot.job.is_some()
                && *free > 0
                && (only_held_before || !place.alone)
                && !comes_after(&place.people, &people_before)
                && !comes_after(&place.refers_to, &ids_before);
            if may_start {
                startable.push(index);
                *free -= 1;
            }
            let comes_after_held = comes_after(&place.people, &people_held)
                || comes_after(&place.refers_to, &ids_held);
            // One that waits for somebody's file lets the others pass.
            if place.alone && (slot.job.is_none() || !comes_after_held) {
                break;
            }
            let people = || place.people.iter().map(String::as_str);
            let ids = || {
                std::iter::once(&place.id)
                    .chain(&place.changes)
                    .map(String::as_str)
            };
            if place.slow || comes_after_held {
                people_held.extend(people());
                ids_held.extend(ids());
            } else {
                only_held_before = false;
            }
            people_before.extend(people());
            ids_before.extend(ids());
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
            people: vec![sender.into()],
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
    fn a_file_on_its_way_holds_up_its_sender_only() {
        let mut lane = Lane::new(2);
        let slow = |sender, id| Place {
            slow: true,
            ..by(sender, id)
        };
        let join = |id, people: &[&str]| Place {
            people: people.iter().map(|&person| person.to_owned()).collect(),
            alone: true,
            ..by("", id)
        };
        lane.push(slow("alice", "1"), "alice's file");
        lane.push(slow("bob", "2"), "bob's file");
        lane.push(slow("carol", "3"), "carol's file");
        lane.push(by("alice", "4"), "alice's text");
        lane.push(by("dave", "5"), "dave's text");
        lane.push(join("6", &["erin"]), "erin joins");
        lane.push(by("erin", "7"), "erin's text");
        lane.push(join("8", &["dave", "bob"]), "dave removes bob");
        assert_eq!(
            started(&mut lane),
            ["alice's file", "bob's file", "dave's text"]
        );
        lane.finish(4);
        assert_eq!(started(&mut lane), ["erin joins"]);
        lane.finish(5);
        assert_eq!(started(&mut lane), ["erin's text"]);
        lane.finish(0);
        assert_eq!(started(&mut lane), ["carol's file", "alice's text"]);
        lane.finish(3);
        lane.finish(6);
        assert!(started(&mut lane).is_empty(), "bob's file comes first");
        lane.finish(1);
        assert_eq!(started(&mut lane), ["dave removes bob"]);
    }

    #[test]
    fn a_change_that_waits_for_a_file_holds_up_its_people_only() {
        let change = |id: &str, people: &[&str]| Place {
            people: people.iter().map(|&person| person.to_owned()).collect(),
            alone: true,
            ..by("", id)
        };
        let mut lane = Lane::new(8);
        let file = Place {
            slow: true,
            ..by("alice", "0")
        };
        lane.push(file, "alice's file");
        lane.push(change("1", &["alice"]), "alice's other name");
        lane.push(by("bob", "2"), "bob's text");
        lane.push(change("3", &["mod", "alice"]), "mod removes alice");
        lane.push(by("mod", "4"), "mod's text");
        let about_it = Place {
            refers_to: vec!["3".into()],
            ..by("carol", "5")
        };
        lane.push(about_it, "carol on the removal");
        lane.push(change("6", &["dave"]), "dave joins");
        lane.push(by("dave", "7"), "dave's text");
        assert_eq!(started(&mut lane), ["alice's file", "bob's text"]);
        lane.finish(2);
        assert_eq!(started(&mut lane), ["dave joins"]);
        assert!(started(&mut lane).is_empty(), "it holds what comes after");
        lane.finish(6);
        assert_eq!(started(&mut lane), ["dave's text"]);
        lane.finish(7);
        assert!(started(&mut lane).is_empty(), "the file is on its way");
        lane.finish(0);
        for (ticket, job) in [
            (1, vec!["alice's other name"]),
            (3, vec!["mod removes alice"]),
            (4, vec!["mod's text", "carol on the removal"]),
        ] {
            assert_eq!(started(&mut lane), job);
            lane.finish(ticket);
        }
    }

    #[test]
    fn what_comes_earlier_does_not_set_free_what_waits_for_a_change_under_way() {
        let mut lane = Lane::new(8);
        let slow = |sender, id| Place {
            slow: true,
            ..by(sender, id)
        };
        let change = Place {
            alone: true,
            ..by("bob", "2")
        };
        lane.push(slow("alice", "0"), "alice's file");
        lane.push(by("alice", "1"), "alice's text");
        lane.push(change, "bob's change");
        lane.push(by("carol", "3"), "carol's text");
        assert_eq!(started(&mut lane), ["alice's file", "bob's change"]);
        lane.push_first([(slow("bob", "4"), "bob's earlier file")]);
        assert_eq!(started(&mut lane), ["bob's earlier file"]);
        assert!(started(&mut lane).is_empty(), "the change is under way");
        lane.finish(2);
        assert_eq!(started(&mut lane), ["carol's text"]);
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

    #[derive(Debug, Clone)]
    struct Any {
        people: Vec<u8>,
        refers_to: Option<prop::sample::Index>,
        alone: bool,
        slow: bool,
    }

    fn any_job() -> impl Strategy<Value = Any> {
        (
            proptest::collection::vec(0u8..4, 1..3),
            proptest::option::of(any::<prop::sample::Index>()),
            proptest::bool::weighted(0.3),
            proptest::bool::weighted(0.3),
        )
            .prop_map(|(people, refers_to, alone, slow)| Any {
                people,
                refers_to,
                alone,
                slow,
            })
    }

    proptest! {
        /// Whatever finishes when, files and changes of the room included: every job is
        /// worked once, and begins only when those are done that are of the same people
        /// or that it refers to.
        #[test]
        fn nothing_begins_before_what_it_must_come_after(
            jobs in proptest::collection::vec(any_job(), 0..40),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let referred = |number: usize| {
                let refers_to = jobs[number].refers_to.as_ref();
                refers_to.filter(|_| number > 0).map(|earlier| earlier.index(number))
            };
            let mut lane = Lane::new(3);
            for (number, job) in jobs.iter().enumerate() {
                let place = Place {
                    people: job.people.iter().map(ToString::to_string).collect(),
                    id: format!("id {number}"),
                    refers_to: referred(number).map(|id| format!("id {id}")).into_iter().collect(),
                    changes: Vec::new(),
                    alone: job.alone,
                    slow: job.slow,
                };
                lane.push(place, number);
            }
            let mut done = HashSet::new();
            let mut under_way = lane.start();
            let mut picks = picks.into_iter().cycle();
            let check = |begun: &[(u64, usize)], done: &HashSet<usize>| {
                begun.iter().all(|&(_, number)| {
                    let of_the_same = (0..number).filter(|&earlier| {
                        jobs[earlier].people.iter().any(|one| jobs[number].people.contains(one))
                    });
                    of_the_same.chain(referred(number)).all(|earlier| done.contains(&earlier))
                })
            };
            prop_assert!(check(&under_way, &done));
            while !under_way.is_empty() {
                let index = picks.next().unwrap().index(under_way.len());
                let (ticket, number) = under_way.remove(index);
                prop_assert!(done.insert(number));
                lane.finish(ticket);
                let begun = lane.start();
                prop_assert!(check(&begun, &done));
                under_way.extend(begun);
            }
            prop_assert!(lane.is_empty());
            prop_assert_eq!(done.len(), jobs.len());
        }

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
