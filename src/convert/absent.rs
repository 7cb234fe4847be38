//! A file that the other side does not get: what is said in its place.

use url::Url;

/// A file that does not fit the other side.
#[derive(Debug, Clone)]
pub struct Absent<'a> {
    /// Its name, cleaned ([`crate::media::name`]).
    pub name: &'a str,
    /// Its type.
    pub media_type: &'a str,
    /// Its size in bytes, if it is known.
    pub size: Option<u64>,
    /// Why it is not there.
    pub why: Why<'a>,
    /// Where it can be had instead, and until when (ms); none where there are no links.
    pub link: Option<(&'a Url, i64)>,
}

/// Why a file is not on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why<'a> {
    /// It is larger than what is taken there, in bytes, if that is known.
    TooLarge(Option<u64>),
    /// Files of its type are not taken there.
    Type,
    /// No files are taken there.
    NoFiles,
    /// No files are taken there in direct messages.
    NoFilesInDirect,
    /// It has no bytes, and such files are not taken there.
    Empty,
    /// Something else, in a full sentence.
    Other(&'a str),
}

impl Absent<'_> {
    /// `12.3 MiB, application/pdf`: size and type as far as they say something.
    pub(super) fn facts(&self) -> String {
        let mut facts: Vec<String> = self.size.map(human_size).into_iter().collect();
        if let Some(media_type) = crate::media::kind::essence(self.media_type)
            && media_type != crate::media::kind::UNKNOWN
        {
            facts.push(media_type);
        }
        facts.join(", ")
    }

    /// Why it is not there, in a sentence; `there` is the name of the other side.
    pub fn reason(&self, there: &str) -> String {
        match self.why {
            Why::TooLarge(Some(limit)) => format!(
                "It is too large for {there}, which takes files of up to {}.",
                human_size(limit)
            ),
            Why::TooLarge(None) => format!("It is too large for {there}."),
            Why::Type => format!("{there} does not take files of this type."),
            Why::NoFiles => format!("{there} does not take files."),
            Why::NoFilesInDirect => {
                format!("{there} does not take files in direct messages.")
            }
            Why::Empty => format!("It is empty, and {there} takes no empty files."),
            Why::Other(sentence) => sentence.to_owned(),
        }
    }

    /// Until when the link works: `2026-11-20`.
    pub(super) fn last_day(until: i64) -> String {
        let shown = crate::clock::shown(until);
        shown.split(' ').next().unwrap_or_default().to_owned()
    }
}

/// A size as people read it: `12.3 MiB`, at most one digit behind the point.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    match bytes {
        1 => return "1 byte".to_owned(),
        ..1024 => return format!("{bytes} bytes"),
        _ => {}
    }
    // Rounded down: what is shown as taken must be taken.
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    match tenth {
        0 => format!("{whole} {}", UNITS[unit]),
        tenth => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_people_read_them() {
        let table = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1 << 20, "1 MiB"),
            (52_428_800, "50 MiB"),
            (104_857_599, "99.9 MiB"),
            (1 << 40, "1 TiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, expected) in table {
            assert_eq!(human_size(bytes), expected, "{bytes}");
        }
    }
}
