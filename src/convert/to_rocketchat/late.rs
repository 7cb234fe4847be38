//! Messages that arrive long after they were written.

use std::time::{SystemTime, UNIX_EPOCH};

/// The text of a message that arrives long after it was written. Rocket.Chat
/// refuses any other time than now for the message itself.
pub fn late(text: &str, written: SystemTime) -> String {
    let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    format!("(written {})\n{text}", crate::clock::shown(at))
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
