//! The time of day, as both servers count it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970; 0 on a machine whose clock stands before.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// A time (ms since 1970) as `2026-01-31 23:59 UTC`, in the proleptic Gregorian
/// calendar.
pub fn shown(at: i64) -> String {
    let seconds = at.div_euclid(1000);
    let days = seconds.div_euclid(86_400);
    let (hour, minute) = (
        seconds.rem_euclid(86_400) / 3_600,
        seconds.rem_euclid(3_600) / 60,
    );
    let date = i32::try_from(days + 2_440_588)
        .ok()
        .and_then(|day| time::Date::from_julian_day(day).ok());
    match date {
        Some(date) => format!(
            "{:04}-{:02}-{:02} {hour:02}:{minute:02} UTC",
            date.year(),
            u8::from(date.month()),
            date.day()
        ),
        None => "at an unknown time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_time_is_shown_to_the_minute() {
        assert_eq!(shown(1_795_203_457_000), "2026-11-20 19:37 UTC");
        assert_eq!(shown(0), "1970-01-01 00:00 UTC");
        assert_eq!(shown(-1), "1969-12-31 23:59 UTC");
        assert_eq!(shown(i64::MAX), "at an unknown time");
    }
}
