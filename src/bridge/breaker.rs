//! The same words going round and round between a Matrix room and its channel: two
//! programs that answer each other, or two bridges that do not know of each other. Without
//! I/O.
//!
//! What tells a loop from people is that it alternates: on one side always the same one
//! speaks, on the other always the same other one, and each says what the other has just
//! said, perhaps with something put before or behind it. However much people say, and
//! however often many of them say the same, that is no such chain. What goes round between
//! the Matrix rooms of one channel shows in another way: see [`relays`].

mod relays;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::rocketchat::RocketRoomId;
use crate::store::PortalId;

/// How often the words may pass, both ways together, before they are stopped: ten rounds.
const MOST_PASSES: u32 = 20;

/// Within which time they must come back to be the same round.
const WITHIN: Duration = Duration::from_secs(60);

/// Of how many messages that say the same lately the two must have said one.
const SHARE: usize = 4;

/// How long they are stopped.
pub(super) const STOPPED_FOR: Duration = Duration::from_secs(300);

/// How many messages of a direction are remembered in a room: a room in which more is said
/// before an answer comes has other troubles than a loop.
const REMEMBERED: usize = 256;

/// How many letters of a message are compared.
const MOST_LETTERS: usize = 10_000;

/// Of longer texts so many letters of the beginning, and as many of the end, are remembered.
const EDGE: usize = 128;

/// Fewer letters say nothing of a longer text that has them in it (`ok`, `look`): it must
/// be just they. What grows by going round soon has more.
const FEW_LETTERS: usize = 8;

/// Under so many names an account may post in a room within that time before all of them
/// count as one: who takes another name each time is no other speaker.
const MOST_NAMES: usize = 16;

/// Stands in a sender between an account and the name under which it posts.
pub(super) const UNDER: char = '\n';

/// Which way words go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToRocketChat,
    ToMatrix,
}

/// Words on their way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passing<'a> {
    pub way: Way,
    /// The id of what brings them: tried again it is the same.
    pub id: &'a str,
    /// Who says them, by their id there; an account that posts under a name, by both (see
    /// [`UNDER`]).
    pub sender: &'a str,
    pub words: &'a str,
}

/// What is to become of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They pass.
    Pass,
    /// They go round: they stay behind.
    Stopped {
        /// Nobody has been told yet: between these two, on Matrix and on Rocket.Chat.
        tell: Option<(String, String)>,
    },
}

/// What passed lately, by portal and by channel.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Rooms>);

#[derive(Debug, Default)]
struct Rooms {
    rooms: HashMap<PortalId, Room>,
    /// What was said on Matrix, of channels with several rooms.
    channels: HashMap<RocketRoomId, relays::Channel>,
    /// When what is old was last forgotten, of all rooms.
    tidied: Option<Instant>,
}

/// What is remembered of a text: enough to find it again in another one, which may have
/// something put before or behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gist {
    /// How many letters it has.
    letters: usize,
    /// All of it, or its beginning.
    start: Arc<str>,
    /// Its end, when that is not in `start`.
    end: Option<Arc<str>>,
}

impl Gist {
    fn of(words: &str) -> Self {
        let letters = words.chars().count();
        if letters <= 2 * EDGE {
            return Self {
                letters,
                start: words.into(),
                end: None,
            };
        }
        let start: String = words.chars().take(EDGE).collect();
        let end: String = words.chars().skip(letters - EDGE).collect();
        Self {
            letters,
            start: start.into(),
            end: Some(end.into()),
        }
    }

    /// Whether a text of so many letters has it in it.
    fn is_in(&self, words: &str, letters: usize) -> bool {
        self.letters <= letters
            && words.contains(&*self.start)
            && self.end.as_deref().is_none_or(|end| words.contains(end))
    }

    /// The same of another text that is remembered: for counting only.
    fn is_in_gist(&self, other: &Self) -> bool {
        let contains = |part: &str| {
            other.start.contains(part) || other.end.as_deref().is_some_and(|end| end.contains(part))
        };
        self.letters <= other.letters
            && (contains(&self.start) || self.end.as_deref().is_some_and(contains))
    }

    /// Whether a text of so many letters begins with something else and then says this, or
    /// begins to. What has gone round often begins with this as well, for the same names
    /// stand before it each time; what only says one thing more often is none.
    fn is_pushed_back_in(&self, words: &str, letters: usize) -> bool {
        let end = self.start.char_indices().nth(EDGE);
        let beginning = end.map_or(&*self.start, |(end, _)| &self.start[..end]);
        let is_behind = || match words.find(beginning) {
            Some(0) if letters >= self.letters + FEW_LETTERS => {
                let more = words.char_indices().nth(letters - self.letters);
                more.is_some_and(|(more, _)| {
                    let behind = &words[more..];
                    !words.starts_with(behind) && behind.contains(beginning)
                })
            }
            at => at.is_some_and(|at| at > 0),
        };
        self.letters >= FEW_LETTERS && is_behind()
    }

    /// Whether a text says the same, perhaps with something put before or behind it.
    fn comes_back_in(&self, words: &str, letters: usize) -> bool {
        match self.letters < FEW_LETTERS {
            true => self.letters == letters && *self.start == *words,
            false => self.is_in(words, letters),
        }
    }
}

#[derive(Debug, Default)]
struct Room {
    passed: VecDeque<Passed>,
    stopped: Vec<Stopped>,
}

#[derive(Debug)]
struct Passed {
    at: Instant,
    way: Way,
    id: String,
    sender: String,
    /// As which sender it came: `sender` may be the account alone.
    came_as: String,
    words: Gist,
    /// How often these words have passed, this time included.
    passes: u32,
    /// Who said them on the other side before.
    partner: Option<String>,
    /// With which words it began.
    theme: Gist,
    stopped: bool,
}

#[derive(Debug)]
struct Stopped {
    until: Instant,
    /// On Matrix, and on Rocket.Chat.
    between: (String, String),
    theme: Gist,
}

/// Only letters and digits, so that what either side makes of markup does not count; of a
/// text without any, all that can be seen.
fn letters(words: &str) -> String {
    let of = |is_counted: fn(char) -> bool| {
        words
            .chars()
            .filter(|c| is_counted(*c))
            .flat_map(char::to_lowercase)
            .take(MOST_LETTERS)
            .collect::<String>()
    };
    let letters = of(char::is_alphanumeric);
    match letters.is_empty() {
        true => of(|c| !c.is_whitespace()),
        false => letters,
    }
}

impl Breaker {
    /// Whether words may pass a portal now.
    pub(super) fn pass(&self, portal: &PortalId, passing: Passing<'_>, now: Instant) -> Verdict {
        let words = letters(passing.words);
        if words.is_empty() {
            return Verdict::Pass;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.tidy(now);
        let room = all.rooms.entry(portal.clone()).or_default();
        room.pass(passing, &words, now)
    }

    /// Whether what somebody says in one of several Matrix rooms of a channel may pass to
    /// it, and so to the others.
    pub(super) fn relay(&self, rid: &RocketRoomId, passing: Passing<'_>, now: Instant) -> Verdict {
        let words = letters(passing.words);
        if words.is_empty() {
            return Verdict::Pass;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.tidy(now);
        let channel = all.channels.entry(rid.clone()).or_default();
        channel.pass(passing, &words, now)
    }

    /// A room that is mirrored no more.
    pub(super) fn forget(&self, portal: &PortalId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.rooms.remove(portal);
        all.channels.remove(&portal.rid());
    }
}

impl Rooms {
    /// Forgets rooms in which nothing was said lately: nobody else does.
    fn tidy(&mut self, now: Instant) {
        let is_tidy = self
            .tidied
            .is_some_and(|tidied| now.saturating_duration_since(tidied) <= WITHIN);
        if is_tidy {
            return;
        }
        self.tidied = Some(now);
        self.rooms.retain(|_, room| {
            room.forget_old(now);
            !room.passed.is_empty() || !room.stopped.is_empty()
        });
        self.channels.retain(|_, channel| channel.forget_old(now));
    }
}

/// The account behind a sender.
fn account_of(sender: &str) -> &str {
    sender
        .split_once(UNDER)
        .map_or(sender, |(account, _)| account)
}

impl Room {
    /// As whom a sender counts: as their account when that posts under too many names.
    fn speaker<'a>(&self, passing: &Passing<'a>) -> &'a str {
        let account = account_of(passing.sender);
        if account == passing.sender {
            return account;
        }
        let names = self.passed.iter().filter(|passed| {
            passed.way == passing.way
                && account_of(&passed.came_as) == account
                && passed.came_as != account
        });
        let names: HashSet<_> = names.map(|passed| passed.came_as.as_str()).collect();
        match names.len() > MOST_NAMES {
            true => account,
            false => passing.sender,
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while self
            .passed
            .front()
            .is_some_and(|passed| now.saturating_duration_since(passed.at) > WITHIN)
        {
            self.passed.pop_front();
        }
        self.stopped.retain(|stopped| now < stopped.until);
    }

    fn pass(&mut self, passing: Passing<'_>, words: &str, now: Instant) -> Verdict {
        self.forget_old(now);
        let gist = Gist::of(words);
        if let Some(again) = self
            .passed
            .iter()
            .find(|passed| passed.way == passing.way && passed.id == passing.id)
        {
            return match again.stopped {
                true => Verdict::Stopped { tell: None },
                false => Verdict::Pass,
            };
        }
        let speaker = self.speaker(&passing);
        let is_stopped = self.stopped.iter().any(|stopped| {
            let (here, there) = &stopped.between;
            let sender = match passing.way {
                Way::ToRocketChat => here,
                Way::ToMatrix => there,
            };
            let is_them = sender == passing.sender || sender == account_of(passing.sender);
            is_them && stopped.theme.comes_back_in(words, gist.letters)
        });
        let before = self
            .passed
            .iter()
            .filter(|passed| {
                passed.way != passing.way
                    && !passed.stopped
                    && (passed.partner.as_deref()).is_none_or(|partner| partner == speaker)
                    && passed.words.comes_back_in(words, gist.letters)
            })
            .max_by_key(|passed| passed.passes);
        let (passes, partner, theme) = match before {
            Some(before) => (
                before.passes + 1,
                Some(before.sender.clone()),
                before.theme.clone(),
            ),
            None => (1, None, gist.clone()),
        };
        // Where many say the same, each two of them have a small part of it only.
        let is_theirs = || {
            let alike = (self.passed.iter()).filter(|passed| theme.is_in_gist(&passed.words));
            alike.count() <= SHARE * MOST_PASSES as usize
        };
        let goes_round = !is_stopped && passes > MOST_PASSES && is_theirs();
        let tell = match &partner {
            Some(partner) if goes_round => {
                let (own, other) = (speaker.to_owned(), partner.clone());
                let between = match passing.way {
                    Way::ToRocketChat => (own, other),
                    Way::ToMatrix => (other, own),
                };
                // Of several things that these two say to each other people are told once.
                let is_told = self.stopped.iter().any(|known| known.between == between);
                self.stopped.push(Stopped {
                    until: now + STOPPED_FOR,
                    between: between.clone(),
                    theme: theme.clone(),
                });
                Some(between).filter(|_| !is_told)
            }
            _ => None,
        };
        let stopped = is_stopped || goes_round;
        let of_way = |passed: &&Passed| passed.way == passing.way;
        if self.passed.iter().filter(of_way).count() >= REMEMBERED
            && let Some(oldest) = self.passed.iter().position(|passed| of_way(&passed))
        {
            self.passed.remove(oldest);
        }
        self.passed.push_back(Passed {
            at: now,
            way: passing.way,
            id: passing.id.to_owned(),
            sender: speaker.to_owned(),
            came_as: passing.sender.to_owned(),
            words: gist,
            passes,
            partner,
            theme,
            stopped,
        });
        match stopped {
            true => Verdict::Stopped { tell },
            false => Verdict::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rocketchat::RocketRoomId;

    /// A breaker with one room, and a clock.
    struct Rig {
        breaker: Breaker,
        now: Instant,
        count: u32,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                breaker: Breaker::default(),
                now: Instant::now(),
                count: 0,
            }
        }

        fn say(&mut self, way: Way, sender: &str, words: &str, after_ms: u64) -> Verdict {
            self.now += Duration::from_millis(after_ms);
            self.count += 1;
            let id = format!("id {}", self.count);
            let portal = PortalId::own(&RocketRoomId::new("r"));
            let passing = Passing {
                way,
                id: &id,
                sender,
                words,
            };
            let verdict = self.breaker.pass(&portal, passing, self.now);
            // Tried again it is the same, and nobody is told twice.
            let again = self.breaker.pass(&portal, passing, self.now);
            match (&verdict, again) {
                (Verdict::Pass, Verdict::Pass) => {}
                (Verdict::Stopped { .. }, Verdict::Stopped { tell: None }) => {}
                other => panic!("{other:?}"),
            }
            verdict
        }

        /// How often words pass that two say to each other; whether they were told.
        fn loop_of(&mut self, mut change: impl FnMut(&str) -> String) -> (u32, bool) {
            let mut words = "good morning".to_owned();
            for passes in 0..200 {
                let (way, sender) = match passes % 2 {
                    0 => (Way::ToMatrix, "parrot"),
                    _ => (Way::ToRocketChat, "@echo:x.org"),
                };
                match self.say(way, sender, &words, 200) {
                    Verdict::Pass => words = change(&words),
                    Verdict::Stopped { tell } => {
                        let told = Some(("@echo:x.org".to_owned(), "parrot".to_owned()));
                        return (passes, tell == told);
                    }
                }
            }
            (200, false)
        }
    }

    #[test]
    fn what_goes_round_is_stopped_also_when_it_grows() {
        let expected = (MOST_PASSES, true);
        assert_eq!(Rig::new().loop_of(str::to_owned), expected);
        assert_eq!(
            Rig::new().loop_of(|words| format!("echo: {words}")),
            expected
        );
        assert_eq!(Rig::new().loop_of(|words| format!("{words}!")), expected);
        assert_eq!(
            Rig::new().loop_of(|words| format!("> {words} <br>")),
            expected
        );
    }

    #[test]
    fn it_opens_again_and_others_are_heard_meanwhile() {
        let mut rig = Rig::new();
        assert_eq!(rig.loop_of(str::to_owned).0, MOST_PASSES);
        let stopped = Verdict::Stopped { tell: None };
        let again = rig.say(Way::ToMatrix, "parrot", "Good morning.", 100);
        assert_eq!(again, stopped);
        // Others may say it, and they something else.
        let other = rig.say(Way::ToMatrix, "carol", "good morning", 100);
        assert_eq!(other, Verdict::Pass);
        let other = rig.say(Way::ToMatrix, "parrot", "good night", 100);
        assert_eq!(other, Verdict::Pass);
        rig.now += STOPPED_FOR;
        assert_eq!(rig.loop_of(str::to_owned), (MOST_PASSES, true));
    }

    #[test]
    fn a_short_word_that_went_round_keeps_no_other_word_back() {
        let mut rig = Rig::new();
        let mut passes = 0;
        let stopped = loop {
            let (way, sender) = match passes % 2 {
                0 => (Way::ToMatrix, "parrot"),
                _ => (Way::ToRocketChat, "@echo:x.org"),
            };
            match rig.say(way, sender, "ok", 200) {
                Verdict::Pass => passes += 1,
                stopped => break stopped,
            }
        };
        assert!(matches!(stopped, Verdict::Stopped { tell: Some(_) }));
        for words in ["look", "a book", "tokens", "ok, I look into it"] {
            assert_eq!(
                rig.say(Way::ToMatrix, "parrot", words, 100),
                Verdict::Pass,
                "{words}"
            );
        }
        let again = rig.say(Way::ToMatrix, "parrot", "OK!", 100);
        assert_eq!(again, Verdict::Stopped { tell: None });
    }

    #[test]
    fn a_long_text_goes_round_as_a_short_one_and_is_not_kept_whole() {
        let long = "abcdefghij ".repeat(800);
        let mut rig = Rig::new();
        let mut words = long.clone();
        for passes in 0..=MOST_PASSES {
            let (way, sender) = match passes % 2 {
                0 => (Way::ToMatrix, "parrot"),
                _ => (Way::ToRocketChat, "@echo:x.org"),
            };
            let verdict = rig.say(way, sender, &words, 200);
            assert_eq!(verdict == Verdict::Pass, passes < MOST_PASSES, "{passes}");
            words = format!("echo: {words}");
        }
        let all = rig.breaker.0.lock().unwrap_or_else(PoisonError::into_inner);
        for passed in all.rooms.values().flat_map(|room| &room.passed) {
            let kept = passed.words.start.len() + passed.words.end.as_deref().map_or(0, str::len);
            assert!(kept <= 2 * EDGE, "{kept}");
        }
        drop(all);
        // Long texts that begin alike are not the same.
        for number in 0..100 {
            let other = format!("{long}{}", format!("{number} ").repeat(100));
            let (way, sender) = match number % 2 {
                0 => (Way::ToMatrix, "one"),
                _ => (Way::ToRocketChat, "@two:x.org"),
            };
            assert_eq!(rig.say(way, sender, &other, 10), Verdict::Pass);
        }
    }

    #[test]
    fn who_takes_another_name_each_time_is_stopped_as_well() {
        let mut rig = Rig::new();
        let mut passes = 0;
        let tell = loop {
            let hook = format!("hook{UNDER}name {passes}");
            let (way, sender) = match passes % 2 {
                0 => (Way::ToMatrix, hook.as_str()),
                _ => (Way::ToRocketChat, "@echo:x.org"),
            };
            match rig.say(way, sender, "good morning", 200) {
                Verdict::Pass => passes += 1,
                Verdict::Stopped { tell } => break tell,
            }
            assert!(passes < 100, "it goes round and round");
        };
        assert_eq!(tell, Some(("@echo:x.org".into(), "hook".into())));
        let other = rig.say(Way::ToMatrix, "hook\nanother", "good morning", 100);
        assert_eq!(other, Verdict::Stopped { tell: None });
    }

    #[test]
    fn quiet_rooms_are_forgotten() {
        let breaker = Breaker::default();
        let now = Instant::now();
        let say = |room: usize, now: Instant| {
            let portal = PortalId::own(&RocketRoomId::new(format!("r{room}")));
            let passing = Passing {
                way: Way::ToMatrix,
                id: "m",
                sender: "carol",
                words: "good morning",
            };
            assert_eq!(breaker.pass(&portal, passing, now), Verdict::Pass);
            let all = breaker.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.rooms.len()
        };
        for room in 0..100 {
            assert_eq!(say(room, now), room + 1);
        }
        assert_eq!(say(0, now + WITHIN + Duration::from_secs(1)), 1);
    }

    #[test]
    fn many_who_say_the_same_go_not_round() {
        let mut rig = Rig::new();
        for round in 0..500 {
            let (here, there) = (
                format!("@u{}:x.org", round % 20),
                format!("u{}", round % 17),
            );
            for words in ["ok", "+1", "👍"] {
                let verdict = rig.say(Way::ToRocketChat, &here, words, 10);
                assert_eq!(verdict, Verdict::Pass, "{words}");
                let verdict = rig.say(Way::ToMatrix, &there, words, 10);
                assert_eq!(verdict, Verdict::Pass, "{words}");
            }
        }
    }

    #[test]
    fn who_says_the_same_all_the_time_goes_not_round() {
        let mut rig = Rig::new();
        for _ in 0..1_000 {
            let verdict = rig.say(Way::ToMatrix, "carol", "tick", 10);
            assert_eq!(verdict, Verdict::Pass);
        }
    }

    #[test]
    fn slow_answers_go_not_round() {
        let mut rig = Rig::new();
        for _ in 0..100 {
            let verdict = rig.say(Way::ToMatrix, "carol", "lunch?", 61_000);
            assert_eq!(verdict, Verdict::Pass);
            let verdict = rig.say(Way::ToRocketChat, "@alice:x.org", "lunch?", 61_000);
            assert_eq!(verdict, Verdict::Pass);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn a_hundred_different_messages_a_second_pass(
            people in 1_usize..20,
            begin in 0_u32..5_000,
        ) {
            let mut rig = Rig::new();
            for number in 0..600_u32 {
                let words = format!("message {}", begin + number);
                let who = (number as usize) % people;
                let here = rig.say(Way::ToRocketChat, &format!("@u{who}:x.org"), &words, 5);
                prop_assert_eq!(here, Verdict::Pass);
                let there = rig.say(Way::ToMatrix, &format!("u{who}"), &words, 5);
                prop_assert_eq!(there, Verdict::Pass);
            }
        }
    }
}
