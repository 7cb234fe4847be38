//! A point in time inside a text (`<t:1630360800:F>`), for people to read.
//!
//! Rocket.Chat shows it in the reader's own zone, or relative to now. A text on
//! Matrix is the same for everybody and for ever, so it is the absolute time in UTC.

use time::OffsetDateTime;

/// The time in words; none when it is not one.
pub(super) fn in_words(timestamp: &str, format: &str) -> Option<String> {
    if timestamp.is_empty()
        || timestamp.len() > 12
        || !timestamp.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let moment = OffsetDateTime::from_unix_timestamp(timestamp.parse().ok()?).ok()?;
    let (year, month, day) = (moment.year(), moment.month(), moment.day());
    let date = format!("{year:04}-{:02}-{day:02}", u8::from(month));
    let long_date = format!("{day} {month} {year}");
    let time = format!("{:02}:{:02}", moment.hour(), moment.minute());
    Some(match format {
        // Rocket.Chat shows the time alone, and the date when pointed at.
        "t" | "R" => format!("{date} {time} UTC"),
        "T" => format!("{date} {time}:{:02} UTC", moment.second()),
        "d" => format!("{date} UTC"),
        "D" => format!("{long_date} UTC"),
        "f" => format!("{long_date}, {time} UTC"),
        "F" => format!("{}, {long_date}, {time} UTC", moment.weekday()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_reads_well() {
        let table = [
            ("t", "2021-08-30 22:00 UTC"),
            ("T", "2021-08-30 22:00:00 UTC"),
            ("d", "2021-08-30 UTC"),
            ("D", "30 August 2021 UTC"),
            ("f", "30 August 2021, 22:00 UTC"),
            ("F", "Monday, 30 August 2021, 22:00 UTC"),
            ("R", "2021-08-30 22:00 UTC"),
        ];
        for (format, words) in table {
            assert_eq!(in_words("1630360800", format).as_deref(), Some(words));
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for (timestamp, format) in [
            ("", "t"),
            ("-1", "t"),
            ("1e9", "t"),
            ("999999999999", "t"),
            ("99999999999999999999999", "t"),
            ("１630360800", "t"),
            ("1630360800", "x"),
            ("1630360800", ""),
        ] {
            assert_eq!(
                in_words(timestamp, format),
                None,
                "{timestamp:?} {format:?}"
            );
        }
    }
}
