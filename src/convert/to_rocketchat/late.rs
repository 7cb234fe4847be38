//! Messages that arrive long after they were written.

use std::time::{SystemTime, UNIX_EPOCH};

/// The text of a message that arrives long after it was written. Rocket.Chat
/// refuses any other time than now for the message itself.
pub fn late(text: &str, written: SystemTime) -> String {
    let seconds = written
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    format!("(written {})\n{text}", minute(seconds))
}

/// A time as `2026-01-31 23:59 UTC`, in the proleptic Gregorian calendar.
fn minute(seconds: u64) -> String {
    let days = seconds / 86_400;
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    let at = i64::try_from(days)
        .ok()
        .and_then(|days| time::Date::from_julian_day((days + 2_440_588).try_into().ok()?).ok());
    match at {
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_late_message_says_when_it_was_written() {
        let written = UNIX_EPOCH + Duration::from_secs(1_795_203_457);
        assert_eq!(late("hi", written), "(written 2026-11-20 19:37 UTC)\nhi");
    }
}
