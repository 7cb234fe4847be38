//! How long sound and film last, and how large the picture is, where the first bytes
//! say so: WAV, and MP4 and M4A with their index in front. Others are left to clients.

/// What is known of something to play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Playing {
    /// In milliseconds; from 1 ms to a year.
    pub duration_ms: Option<u64>,
    /// Width and height of the picture in pixels, as it is to be seen.
    pub size: Option<(u32, u32)>,
}

/// A year. What claims to last longer is damaged.
const LONGEST_MS: u64 = 366 * 24 * 3600 * 1000;

/// The longest edge of a film, in pixels.
const LONGEST_EDGE: u32 = 1 << 16;

/// So many boxes are looked at in one file: there are a dozen in front of what matters.
const MOST_BOXES: usize = 4096;

/// What the first bytes say of a file with so many bytes in all, if that is known.
pub fn of(head: &[u8], length: Option<u64>) -> Playing {
    match head {
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            chunks @ ..,
        ] => Playing {
            duration_ms: wav(chunks, length.map(|length| length.saturating_sub(12))),
            size: None,
        },
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => base_media(head),
        _ => Playing::default(),
    }
}

/// The duration of a WAV file from its chunks, of which there are so many bytes in all.
fn wav(mut chunks: &[u8], mut length: Option<u64>) -> Option<u64> {
    let mut bytes_per_second = None;
    loop {
        let name: [u8; 4] = *chunks.first_chunk()?;
        let size = u64::from(u32::from_le_bytes(chunks.get(4..8)?.try_into().ok()?));
        let content = &chunks[8..];
        length = length.map(|length| length.saturating_sub(8));
        match &name {
            b"fmt " => {
                let rate = content.get(8..12)?.try_into().ok()?;
                bytes_per_second = Some(u64::from(u32::from_le_bytes(rate)));
            }
            b"data" => {
                // What is recorded as it goes has no size there.
                let is_open = matches!(size, 0 | 0xffff_ffff);
                let size = match length {
                    Some(left) if is_open || size > left => left,
                    _ if is_open => return None,
                    _ => size,
                };
                return duration(size, bytes_per_second?);
            }
            _ => {}
        }
        // Chunks begin at even places.
        let step = size + size % 2;
        chunks = content.get(usize::try_from(step).ok()?..)?;
        length = length.map(|length| length.saturating_sub(step));
    }
}

fn duration(units: u64, per_second: u64) -> Option<u64> {
    let ms = u128::from(units) * 1000 / u128::from(per_second.max(1));
    let ms = u64::try_from(ms).ok()?;
    (per_second > 0 && (1..=LONGEST_MS).contains(&ms)).then_some(ms)
}

/// What the index of an MP4 says (ISO 14496-12, 8.2 and 8.3), if it is in front.
fn base_media(head: &[u8]) -> Playing {
    let mut found = Playing::default();
    let Some(movie) = boxes(head).find(|(name, _)| name == b"moov") else {
        return found;
    };
    for (name, content) in boxes(movie.1) {
        match &name {
            b"mvhd" => found.duration_ms = movie_duration(content),
            b"trak" if found.size.is_none() => {
                let header = boxes(content).find(|(name, _)| name == b"tkhd");
                found.size = header.and_then(|(_, header)| track_size(header));
            }
            _ => {}
        }
    }
    found
}

/// The boxes that follow each other, each by name and content; the last may be cut off.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let size = u64::from(number(bytes, 0)?);
        let name: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        let (start, size) = match size {
            0 => (8, bytes.len() as u64),
            1 => (16, long_number(bytes, 8)?),
            size => (8, size),
        };
        let end = usize::try_from(size).unwrap_or(usize::MAX);
        if end < start {
            return None;
        }
        let content = bytes.get(start..end.min(bytes.len()))?;
        bytes = bytes.get(end..).unwrap_or_default();
        Some((name, content))
    })
    .take(MOST_BOXES)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

fn long_number(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..at + 8)?;
    Some(u64::from_be_bytes(eight.try_into().ok()?))
}

fn movie_duration(header: &[u8]) -> Option<u64> {
    let (scale, units) = match header.first()? {
        0 => {
            let units = number(header, 16)?;
            // All ones: unknown.
            (
                number(header, 12)?,
                Some(u64::from(units)).filter(|_| units != u32::MAX)?,
            )
        }
        1 => (number(header, 20)?, long_number(header, 24)?),
        _ => return None,
    };
    duration(units, scale.into())
}

/// The size of a track with a picture; its matrix may turn it.
fn track_size(header: &[u8]) -> Option<(u32, u32)> {
    let matrix = match header.first()? {
        0 => 40,
        1 => 52,
        _ => return None,
    };
    let is_turned = number(header, matrix)? == 0 && number(header, matrix + 16)? == 0;
    // 16 bits before the point and 16 behind it.
    let width = number(header, matrix + 36)? >> 16;
    let height = number(header, matrix + 40)? >> 16;
    let edges = 1..LONGEST_EDGE;
    let size = if is_turned {
        (height, width)
    } else {
        (width, height)
    };
    (edges.contains(&width) && edges.contains(&height)).then_some(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(name: &[u8; 4], size: u32, content: &[u8]) -> Vec<u8> {
        [&name[..], &size.to_le_bytes(), content].concat()
    }

    /// One second is 16 000 bytes.
    fn wav_file(data_size: u32, between: &[u8]) -> Vec<u8> {
        let mut format = vec![1, 0, 1, 0, 0x40, 0x1f, 0, 0];
        format.extend_from_slice(&16_000_u32.to_le_bytes());
        format.extend_from_slice(&[2, 0, 16, 0]);
        [
            b"RIFF\0\0\0\0WAVE".as_slice(),
            &chunk(b"fmt ", 16, &format),
            between,
            &chunk(b"data", data_size, &[0; 32]),
        ]
        .concat()
    }

    #[test]
    fn a_wav_lasts_as_long_as_its_data() {
        let table = [
            (wav_file(40_000, &[]), None, Some(2500)),
            // An odd chunk between has a byte behind it.
            (
                wav_file(40_000, &chunk(b"LIST", 3, b"abc\0")),
                Some(999_999),
                Some(2500),
            ),
            // Recorded as it went: 44 bytes of headers.
            (wav_file(u32::MAX, &[]), Some(16_044), Some(1000)),
            (wav_file(0, &[]), Some(16_044), Some(1000)),
            (wav_file(0, &[]), None, None),
            // It claims more than there is.
            (wav_file(4_000_000, &[]), Some(8_044), Some(500)),
            (wav_file(40_000, &[])[..20].to_vec(), None, None),
        ];
        for (head, length, expected) in table {
            assert_eq!(of(&head, length).duration_ms, expected, "{head:?}");
        }
    }

    fn named(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap_or(0);
        [&size.to_be_bytes(), &name[..], content].concat()
    }

    fn track(width: u32, height: u32, turned: bool) -> Vec<u8> {
        let mut header = vec![0; 40];
        let (straight, across) = if turned { (0, 1 << 16) } else { (1 << 16, 0) };
        for value in [straight, across, 0, across, straight, 0, 0, 0, 1 << 30] {
            header.extend_from_slice(&u32::to_be_bytes(value));
        }
        header.extend_from_slice(&(width << 16).to_be_bytes());
        header.extend_from_slice(&(height << 16).to_be_bytes());
        named(b"trak", &named(b"tkhd", &header))
    }

    fn film(tracks: &[Vec<u8>]) -> Vec<u8> {
        let mut header = vec![0; 12];
        header.extend_from_slice(&600_u32.to_be_bytes());
        header.extend_from_slice(&4530_u32.to_be_bytes());
        let movie = [named(b"mvhd", &header), tracks.concat()].concat();
        [
            named(b"ftyp", b"isom\0\0\0\0"),
            named(b"free", b"x"),
            named(b"moov", &movie),
            named(b"mdat", &[0; 64]),
        ]
        .concat()
    }

    #[test]
    fn a_film_with_its_index_in_front_says_how_long_and_how_large() {
        let sound = track(0, 0, false);
        let lasting = Some(7550);
        let table = [
            (film(&[]), lasting, None),
            (film(&[track(640, 480, false)]), lasting, Some((640, 480))),
            (
                film(&[sound, track(640, 480, true)]),
                lasting,
                Some((480, 640)),
            ),
            // The index behind the film is not there yet.
            (
                [
                    named(b"ftyp", b"isom\0\0\0\0"),
                    vec![0, 1, 0, 0],
                    b"mdat".to_vec(),
                ]
                .concat(),
                None,
                None,
            ),
        ];
        for (head, duration_ms, size) in table {
            assert_eq!(of(&head, None), Playing { duration_ms, size });
        }
        let cut = film(&[track(640, 480, false)]);
        assert_eq!(of(&cut[..90], None).duration_ms, lasting);
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_is_out_of_bounds(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
            what in 0_usize..3,
            length in proptest::option::of(any::<u64>()),
        ) {
            let start = [
                &b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"[..],
                b"\0\0\0\x08ftyp\0\0\0\0moov\0\0\0\0mvhd",
                b"\0\0\0\x08ftyp\0\0\0\x01moov",
            ][what];
            bytes.splice(0..0, start.iter().copied());
            let found = of(&bytes, length);
            prop_assert!(found.duration_ms.is_none_or(|ms| (1..=LONGEST_MS).contains(&ms)));
        }
    }
}
