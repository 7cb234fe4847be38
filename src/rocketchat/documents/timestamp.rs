//! Points in time, in both spellings.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::fmt;

/// Milliseconds since 1970 (UTC), by the clock of the server that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The year 10000: later dates are not written with four digits.
const END: i64 = 253_402_300_800_000;
const DAY: i64 = 86_400_000;

impl Timestamp {
    /// Now, by our clock.
    pub fn now() -> Self {
        Self(crate::clock::now_ms())
    }

    /// This time less `ms` milliseconds.
    #[must_use]
    pub fn minus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// As REST wants it: `2024-10-15T12:00:00.000Z`. Times outside the years 1970
    /// to 9999 are moved to the nearest end.
    pub fn to_iso(self) -> String {
        let ms = self.0.clamp(0, END - 1);
        let (days, in_day) = (ms / DAY, ms % DAY);
        let (year, month, day) = civil_from_days(days);
        let (seconds, milli) = (in_day / 1000, in_day % 1000);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{milli:03}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }

    /// Reads an ISO 8601 text with `Z`, an offset, or neither (taken for UTC).
    pub fn from_iso(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let part = bytes.get(from..to)?;
            part.iter().all(u8::is_ascii_digit).then_some(())?;
            std::str::from_utf8(part).ok()?.parse().ok()
        };
        let sign = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|b| wanted.contains(b));
        if !(sign(4, b"-") && sign(7, b"-") && sign(10, b"Tt ") && sign(13, b":") && sign(16, b":"))
        {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let in_range = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour <= 23
            && minute <= 59
            && second <= 60;
        if !in_range {
            return None;
        }
        let mut at = 19;
        let mut milli = 0;
        if sign(at, b".,") {
            at += 1;
            let digits = bytes[at..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count();
            if digits == 0 {
                return None;
            }
            for place in 0..3 {
                milli = milli * 10
                    + bytes[at..at + digits]
                        .get(place)
                        .map_or(0, |b| i64::from(b - b'0'));
            }
            at += digits;
        }
        let offset_minutes = match bytes.get(at) {
            None => 0,
            Some(b'Z' | b'z') if bytes.len() == at + 1 => 0,
            Some(direction @ (b'+' | b'-')) => {
                let hours = number(at + 1, at + 3)?;
                let skip = usize::from(sign(at + 3, b":"));
                let minutes = number(at + 3 + skip, at + 5 + skip)?;
                if bytes.len() != at + 5 + skip || hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 60 + minutes) * if *direction == b'-' { -1 } else { 1 }
            }
            Some(_) => return None,
        };
        let days = days_from_civil(year, month, day);
        let seconds = days * 86_400 + hour * 3600 + (minute - offset_minutes) * 60 + second;
        Some(Self(seconds * 1000 + milli))
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::from_iso(text),
            Value::Number(number) => number
                .as_i64()
                .or_else(|| {
                    let float = number.as_f64()?;
                    #[allow(clippy::cast_possible_truncation)] // `as` saturates
                    float.is_finite().then_some(float as i64)
                })
                .map(Self),
            Value::Object(object) => match object.get("$date")? {
                Value::Object(_) => None,
                inner => Self::from_value(inner),
            },
            _ => None,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of all years before `year`, counted from the year 0.
fn days_before_year(year: i64) -> i64 {
    if year == 0 {
        return 0;
    }
    let last = year - 1;
    year * 365 + last / 4 - last / 100 + last / 400 + 1
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let in_year: i64 = (1..month).map(|m| days_in_month(year, m)).sum();
    days_before_year(year) + in_year + day - 1 - days_before_year(1970)
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + days_before_year(1970);
    let mut year = days / 366;
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let mut rest = days - days_before_year(year);
    let mut month = 1;
    while rest >= days_in_month(year, month) {
        rest -= days_in_month(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

impl<'de> Deserialize<'de> for Timestamp {
    /// Reads an ISO text, a number of milliseconds, or `{"$date": ms}`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(&Value::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("not a date"))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_iso())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Option<i64> {
        serde_json::from_str::<Timestamp>(json).ok().map(|t| t.0)
    }

    #[test]
    fn both_spellings_are_the_same_time() {
        assert_eq!(
            read("\"2024-10-15T12:00:00.000Z\""),
            Some(1_728_993_600_000)
        );
        assert_eq!(read("{\"$date\":1728993600000}"), Some(1_728_993_600_000));
        assert_eq!(read("1728993600000"), Some(1_728_993_600_000));
        assert_eq!(
            read("\"2024-10-15T14:00:00+02:00\""),
            Some(1_728_993_600_000)
        );
        assert_eq!(read("\"1970-01-01T00:00:00.000Z\""), Some(0));
        assert_eq!(read("\"2024-02-29T23:59:59.9Z\""), Some(1_709_251_199_900));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "null",
            "true",
            "\"\"",
            "\"yesterday\"",
            "{\"$date\":null}",
            "{\"$date\":{\"$date\":1}}",
            "[]",
            "\"2023-02-29T00:00:00Z\"",
            "\"2024-13-01T00:00:00Z\"",
            "\"2024-10-15T12:00:00.Z\"",
            "\"2024-10-15T12:00:00Zx\"",
            "\"2024-10-15\"",
            "\"２024-10-15T12:00:00Z\"",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn iso_and_back(ms in 0..END) {
            prop_assert_eq!(Timestamp::from_iso(&Timestamp(ms).to_iso()), Some(Timestamp(ms)));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,40}") {
            let _ = Timestamp::from_iso(&text);
        }
    }
}
