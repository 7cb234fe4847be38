//! A message takes time in proportion to its size, whoever wrote it.

use std::time::Duration;

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

#[test]
fn the_worst_messages_take_time_in_proportion_to_their_size() {
    let mut too_slow = Vec::new();
    for case in cases::worst() {
        let small = (case.text)(case.size / 2);
        let large = (case.text)(case.size / 2 * LARGER);
        let mut least = (Duration::MAX, Duration::MAX);
        let is_linear = (0..ATTEMPTS).any(|_| {
            least.0 = least.0.min(case.takes(&small, 1));
            least.1 = least.1.min(case.takes(&large, 1));
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

#[test]
fn ordinary_messages_take_hardly_any_time() {
    // Programs of the tests are some twenty times as slow as those of a release.
    let most = Duration::from_millis(10);
    for case in cases::ordinary() {
        let text = (case.text)(case.size);
        let least = (0..10).map(|_| case.takes(&text, 1)).min();
        assert!(
            least.is_some_and(|least| least < most),
            "{}, {}: {least:?}",
            case.way.name(),
            case.name
        );
    }
}
