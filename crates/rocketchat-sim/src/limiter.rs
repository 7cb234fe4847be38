//! Fixed windows that count calls: the REST limiter (facts 0.3) and the DDP limits (facts 7.3).

use std::collections::HashMap;

/// What a counted call has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Whether the call is within the limit.
    pub allowed: bool,
    /// Calls left in this window.
    pub remaining: i64,
    /// End of this window, milliseconds since 1970.
    pub reset_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    ends: i64,
    calls: i64,
}

/// Windows by key.
#[derive(Debug, Default)]
pub struct Limiter {
    windows: HashMap<String, Window>,
}

impl Limiter {
    /// Counts one call under `key`: at most `limit` calls within `interval_ms` of the first.
    pub fn count(&mut self, key: &str, limit: i64, interval_ms: i64, now: i64) -> Count {
        if self.windows.len() > 10_000 {
            self.windows.retain(|_, window| window.ends > now);
        }
        let window = self
            .windows
            .entry(key.to_owned())
            .or_insert(Window { ends: 0, calls: 0 });
        if window.ends <= now {
            *window = Window {
                ends: now + interval_ms,
                calls: 0,
            };
        }
        window.calls += 1;
        Count {
            allowed: window.calls <= limit,
            remaining: (limit - window.calls).max(0),
            reset_ms: window.ends,
        }
    }

    /// Forgets every window.
    pub fn clear(&mut self) {
        self.windows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_fixed_and_starts_with_its_first_call() {
        let mut limiter = Limiter::default();
        assert_eq!(
            limiter.count("k", 2, 100, 1000),
            Count {
                allowed: true,
                remaining: 1,
                reset_ms: 1100
            }
        );
        assert!(limiter.count("k", 2, 100, 1050).allowed);
        assert!(!limiter.count("k", 2, 100, 1099).allowed);
        assert!(limiter.count("k", 2, 100, 1100).allowed);
    }
}
