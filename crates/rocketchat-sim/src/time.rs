//! Dates: milliseconds since 1970 inside, ISO texts in REST, `{"$date":ms}` on the sockets.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// `2024-10-15T12:00:00.000Z`.
pub fn iso(ms: i64) -> String {
    let days = ms.div_euclid(86_400_000);
    let rest = ms.rem_euclid(86_400_000);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1000 % 60,
        rest % 1000
    )
}

/// Reads an ISO date or date-time (with `Z`, an offset or neither); `None` for anything else, where
/// JavaScript has an invalid date.
pub fn parse_iso(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut ms = days(year, month, day) * 86_400_000;
    if bytes.len() == 10 {
        return Some(ms);
    }
    if bytes.len() < 16 || (bytes[10] != b'T' && bytes[10] != b' ') || bytes[13] != b':' {
        return None;
    }
    ms += number(11..13)? * 3_600_000 + number(14..16)? * 60_000;
    let mut rest = &text[16..];
    if let Some(seconds) = rest.strip_prefix(':') {
        ms += seconds.get(..2)?.parse::<i64>().ok()? * 1000;
        rest = &seconds[2..];
        if let Some(fraction) = rest.strip_prefix('.') {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let mut padded = fraction[..digits.min(3)].to_owned();
            while padded.len() < 3 {
                padded.push('0');
            }
            ms += padded.parse::<i64>().ok()?;
            rest = &fraction[digits..];
        }
    }
    match rest {
        "" | "Z" => Some(ms),
        offset => {
            let sign = if offset.starts_with('-') { 1 } else { -1 };
            let digits = offset.get(1..)?.replace(':', "");
            let minutes = digits.get(..2)?.parse::<i64>().ok()? * 60
                + digits.get(2..4)?.parse::<i64>().ok()?;
            Some(ms + sign * minutes * 60_000)
        }
    }
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_texts_survive_a_round_trip() {
        for text in [
            "1970-01-01T00:00:00.000Z",
            "2024-02-29T23:59:59.999Z",
            "2026-11-20T19:10:59.563Z",
        ] {
            assert_eq!(parse_iso(text).map(iso).as_deref(), Some(text));
        }
        assert_eq!(
            parse_iso("2026-11-20T21:10:59+02:00"),
            parse_iso("2026-11-20T19:10:59Z")
        );
        assert_eq!(parse_iso("nonsense"), None);
        assert_eq!(parse_iso("1795202254039"), None);
    }
}
