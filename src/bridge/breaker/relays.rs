//! A program that brings what is said in one Matrix room of a channel into another one. The
//! bridge has brought it there as well; what the program says it shows in the first room,
//! where the program finds it, and brings it again.
//!
//! No room sees that alternate: in the one the program only speaks, in the other it is only
//! shown. What tells it from people and from programs that say the same all the time is that
//! each time the same one says what they said before *behind* something else: the names that
//! the bridge and the program put before it. It is told by the beginning of a text, as what
//! becomes too long may be cut off.

use std::collections::VecDeque;
use std::time::Instant;

use super::{
    FEW_LETTERS, Gist, MOST_PASSES, Passing, REMEMBERED, STOPPED_FOR, Verdict, WITHIN, letters,
};

/// How often somebody's words may come back to them, one time in another: ten rounds.
const MOST_ROUNDS: u32 = MOST_PASSES / 2;

/// The same of somebody whose words have gone round a moment ago.
const MOST_ROUNDS_AGAIN: u32 = 2;

/// Where a channel has three rooms and more, a program that connects all of them makes
/// several of each: they are counted together when they are at least so deep, and bear the
/// name under which the bridge shows their sender at least so often.
const DEEP: usize = 2;

/// So often they must bear it, with the same between each two, when nothing else can be seen
/// any more of what they were: it was cut off.
const REGULAR: usize = 5;

/// How often a text bears the name under which the bridge shows its sender.
struct Names {
    count: usize,
    /// There are many, and the same stands between them.
    are_regular: bool,
}

impl Names {
    fn of(sender: &str, words: &str) -> Self {
        let own = letters(sender);
        if own.chars().count() < FEW_LETTERS {
            // It may stand in any text.
            return Self {
                count: 0,
                are_regular: false,
            };
        }
        let parts: Vec<_> = words.split(&*own).take(REGULAR + 1).collect();
        let count = parts.len() - 1;
        let between = parts.get(1..REGULAR).unwrap_or_default();
        Self {
            count,
            are_regular: count >= REGULAR && between.windows(2).all(|two| two[0] == two[1]),
        }
    }
}

/// What was said on Matrix lately in all rooms of a channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    said: VecDeque<Said>,
    stopped: Vec<Stopped>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    id: String,
    sender: String,
    words: Gist,
    /// How often it has come back to them, this time included.
    rounds: u32,
    /// With which words of theirs it began.
    theme: Gist,
    /// It bears their own name as often as only what has gone round.
    is_deep: bool,
    stopped: bool,
}

#[derive(Debug)]
struct Stopped {
    until: Instant,
    sender: String,
    theme: Gist,
}

impl Channel {
    /// Whether what somebody says in one of the rooms may pass.
    pub(super) fn pass(&mut self, passing: Passing<'_>, words: &str, now: Instant) -> Verdict {
        self.forget_old(now);
        if let Some(again) = self.said.iter().find(|said| said.id == passing.id) {
            return match again.stopped {
                true => Verdict::Stopped { tell: None },
                false => Verdict::Pass,
            };
        }
        let gist = Gist::of(words);
        let before = (self.said.iter())
            .filter(|said| {
                said.sender == passing.sender && said.words.is_pushed_back_in(words, gist.letters)
            })
            .max_by_key(|said| said.rounds);
        let (rounds, theme) = match before {
            Some(before) => (before.rounds + 1, before.theme.clone()),
            None => (1, gist.clone()),
        };
        let names = Names::of(passing.sender, words);
        let is_deep = before.is_some() && names.count >= DEEP || names.are_regular;
        let known = || (self.stopped.iter()).filter(|stopped| stopped.sender == passing.sender);
        let is_known = known().next().is_some();
        let most = match is_known {
            true => MOST_ROUNDS_AGAIN,
            false => MOST_ROUNDS,
        };
        let alike = || {
            let deep = (self.said.iter()).filter(|said| said.sender == passing.sender);
            deep.filter(|said| said.is_deep).count()
        };
        let is_stopped = known().any(|stopped| stopped.theme.comes_back_in(words, gist.letters));
        let goes_round = rounds > most || is_deep && alike() >= most as usize;
        let stopped = is_stopped || goes_round;
        if goes_round {
            self.stopped.push(Stopped {
                until: now + STOPPED_FOR,
                sender: passing.sender.to_owned(),
                theme: theme.clone(),
            });
        }
        if self.stopped.len() > REMEMBERED {
            self.stopped.remove(0);
        }
        if self.said.len() >= REMEMBERED {
            self.said.pop_front();
        }
        self.said.push_back(Said {
            at: now,
            id: passing.id.to_owned(),
            sender: passing.sender.to_owned(),
            words: gist,
            rounds,
            theme,
            is_deep,
            stopped,
        });
        let sender = || passing.sender.to_owned();
        match stopped {
            true => Verdict::Stopped {
                tell: (goes_round && !is_known).then(|| (sender(), sender())),
            },
            false => Verdict::Pass,
        }
    }

    /// Forgets what is old. Whether anything is left.
    pub(super) fn forget_old(&mut self, now: Instant) -> bool {
        let age = |at| now.saturating_duration_since(at);
        while (self.said.front()).is_some_and(|said| age(said.at) > WITHIN) {
            self.said.pop_front();
        }
        self.stopped.retain(|stopped| now < stopped.until);
        !self.said.is_empty() || !self.stopped.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Breaker, Way};
    use super::*;
    use crate::rocketchat::RocketRoomId;

    const RELAY: &str = "@relay:x.org";

    /// A channel with several rooms, and a clock.
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

        fn say(&mut self, sender: &str, words: &str, after_ms: u64) -> Verdict {
            self.now += Duration::from_millis(after_ms);
            self.count += 1;
            let id = format!("id {}", self.count);
            let passing = Passing {
                way: Way::ToRocketChat,
                id: &id,
                sender,
                words,
            };
            let rid = RocketRoomId::new("r");
            let verdict = self.breaker.relay(&rid, passing, self.now);
            let again = self.breaker.relay(&rid, passing, self.now);
            match (&verdict, again) {
                (Verdict::Pass, Verdict::Pass) => {}
                (Verdict::Stopped { .. }, Verdict::Stopped { tell: None }) => {}
                other => panic!("{other:?}"),
            }
            verdict
        }

        /// How often the words pass that a program brings again each time; whether people
        /// were told.
        fn rounds_of(
            &mut self,
            first: &str,
            mut brings: impl FnMut(&str) -> String,
        ) -> (u32, bool) {
            let mut words = brings(first);
            for passed in 0..100 {
                match self.say(RELAY, &words, 500) {
                    // As the bridge shows it in the other room.
                    Verdict::Pass => words = brings(&format!("Relay ({RELAY}): {words}")),
                    Verdict::Stopped { tell } => {
                        let told = Some((RELAY.to_owned(), RELAY.to_owned()));
                        return (passed, tell == told);
                    }
                }
            }
            (100, false)
        }
    }

    #[test]
    fn a_program_that_connects_two_rooms_of_a_channel_is_stopped() {
        let named = |text: &str| format!("[bridge] {text}");
        let plain = |text: &str| text.to_owned();
        // Without the name under which the bridge shows it, and cut off at a length.
        let stripped = |text: &str| {
            let (_, text) = text.split_once("): ").unwrap_or(("", text));
            format!("Rocket.Chat bridge: {text}")
        };
        let cut = |text: &str| format!("b: {text}").chars().take(300).collect::<String>();
        let marked = |text: &str| format!("<b>{}</b>!", text.replace(": ", "** "));
        let many = "many words ".repeat(100);
        for first in ["hello everybody", "hi", &*many] {
            for (brings, name) in [
                (&named as &dyn Fn(&str) -> String, "named"),
                (&plain, "plain"),
                (&stripped, "stripped"),
                (&cut, "cut"),
                (&marked, "marked"),
            ] {
                let (passed, told) = Rig::new().rounds_of(first, brings);
                assert!(
                    passed <= 2 * MOST_ROUNDS && told,
                    "{name}: {passed}, {told}"
                );
            }
        }
    }

    #[test]
    fn what_goes_round_again_is_stopped_sooner_and_others_are_heard() {
        let mut rig = Rig::new();
        let named = |text: &str| format!("bot: {text}");
        assert_eq!(rig.rounds_of("good morning", named), (MOST_ROUNDS, true));
        assert_eq!(rig.rounds_of("something else", named).0, MOST_ROUNDS_AGAIN);
        let other = rig.say("@bea:x.org", "what does bot: good morning mean?", 100);
        assert_eq!(other, Verdict::Pass);
        assert_eq!(rig.say(RELAY, "bot: quite other words", 100), Verdict::Pass);
        rig.now += STOPPED_FOR;
        assert_eq!(rig.rounds_of("good morning", named), (MOST_ROUNDS, true));
    }

    #[test]
    fn where_it_makes_more_each_time_they_are_counted_together() {
        let mut rig = Rig::new();
        let mut waiting = VecDeque::from(["alice: hello everybody".to_owned()]);
        let mut passed = 0;
        while let Some(words) = waiting.pop_front() {
            if rig.say(RELAY, &words, 100) == Verdict::Pass {
                passed += 1;
                let shown = format!("bot: Relay ({RELAY}): {words}");
                // In two other rooms, from each of which it is brought into two.
                waiting.extend(std::iter::repeat_n(shown, 4));
            }
            assert!(passed < 100, "they become ever more");
        }
    }

    #[test]
    fn people_and_programs_that_repeat_themselves_are_heard() {
        let mut rig = Rig::new();
        for number in 0..300_u32 {
            for (sender, words) in [
                ("@cron:x.org", "tick tick tick".to_owned()),
                ("@ci:x.org", format!("[build {number}] rocket.chat is well")),
                ("@bea:x.org", "ha".repeat(number as usize % 60)),
                ("@bea:x.org", format!("as I said: good morning {number}")),
                ("@bea:x.org", "good morning".to_owned()),
                ("@log:x.org", "connection refused".to_owned()),
                ("@log:x.org", "db: connection refused".to_owned()),
                ("@log:x.org", "api: db: connection refused".to_owned()),
                ("@log:x.org", "web: api: db: connection refused".to_owned()),
                ("@me:x.org", "@me:x.org is @me:x.org".to_owned()),
                ("@list:x.org", "entry ".repeat(number as usize % 60)),
            ] {
                assert_eq!(rig.say(sender, &words, 20), Verdict::Pass, "{words}");
            }
        }
    }

    #[test]
    fn it_is_forgotten() {
        let mut rig = Rig::new();
        for number in 0..2 * REMEMBERED {
            rig.say("@u:x.org", &format!("message {number}"), 1);
        }
        let kept = |rig: &Rig| {
            let all = (rig.breaker.0.lock()).unwrap_or_else(std::sync::PoisonError::into_inner);
            all.channels
                .values()
                .map(|channel| channel.said.len())
                .sum::<usize>()
        };
        assert_eq!(kept(&rig), REMEMBERED);
        rig.say("@u:x.org", "later", 61_000);
        assert_eq!(kept(&rig), 1);
    }
}
