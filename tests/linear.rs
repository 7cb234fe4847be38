//! A message takes time in proportion to its size, whoever wrote it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[path = "../benches/conversion/cases.rs"]
mod cases;

/// How many times as large the larger message is.
const LARGER: usize = 4;
/// How many times as long it may take: 4 is linear, 16 is quadratic.
const MOST: f64 = 9.0;
/// What is done in less says nothing: processors warm up, caches fill.
const NOTHING: Duration = Duration::from_millis(3);
/// A busy machine disturbs some attempts, hardly all.
const ATTEMPTS: usize = 4;

/// How long this thread has been at work. Others on the machine do not count.
fn worked() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.try_into().expect("a time since the thread began")
}

fn takes(way: cases::Way, text: &str) -> Duration {
    let began = worked();
    std::hint::black_box(way.convert(text));
    worked() - began
}

#[test]
fn the_worst_messages_take_time_in_proportion_to_their_size() {
    let mut too_slow = Vec::new();
    for case in cases::worst() {
        let small = (case.text)(case.size / 2);
        let large = (case.text)(case.size / 2 * LARGER);
        let mut least = (Duration::MAX, Duration::MAX);
        let is_linear = (0..ATTEMPTS).any(|_| {
            least.0 = least.0.min(takes(case.way, &small));
            least.1 = least.1.min(takes(case.way, &large));
            least.1 < NOTHING || least.1.as_secs_f64() < MOST * least.0.as_secs_f64()
        });
        if !is_linear {
            let (small, large) = least;
            too_slow.push(format!(
                "{}, {}: {small:?} at {}, {large:?} at {LARGER} times that",
                case.way.name(),
                case.name,
                case.size / 2,
            ));
        }
    }
    assert!(too_slow.is_empty(), "{}", too_slow.join("\n"));
}
