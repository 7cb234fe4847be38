//! Emoji as characters. The server has no table of emoji: it takes whole ranges,
//! which is why arrows count and keycaps do not.

use crate::options::Generation;
use crate::source::Source;

/// Joins emoji to one.
const JOINER: u16 = 0x200D;
/// More people than this in one emoji are taken for text.
const MOST_JOINED: usize = 16;

fn pair(
    source: &Source,
    at: usize,
    high: u16,
    low: std::ops::RangeInclusive<u16>,
) -> Option<usize> {
    let fits = source.at(at) == Some(high) && low.contains(&source.at(at + 1)?);
    fits.then_some(at + 2)
}

fn unit(source: &Source, at: usize, range: std::ops::RangeInclusive<u16>) -> Option<usize> {
    range.contains(&source.at(at)?).then_some(at + 1)
}

/// A selector between the forms of an emoji, as text or as a picture.
fn with_selector(source: &Source, at: usize) -> usize {
    unit(source, at, 0xFE00..=0xFE0F).unwrap_or(at)
}

/// U+1F300 to U+1F5FF, people and things, and the selector behind it.
fn pictograph(source: &Source, at: usize) -> Option<usize> {
    pair(source, at, 0xD83C, 0xDF00..=0xDFFF)
        .or_else(|| pair(source, at, 0xD83D, 0xDC00..=0xDDFF))
        .map(|end| with_selector(source, end))
}

/// A pictograph and the colour of its skin.
fn toned(source: &Source, at: usize) -> Option<usize> {
    let end = pictograph(source, at)?;
    Some(pair(source, end, 0xD83C, 0xDFFB..=0xDFFF).unwrap_or(end))
}

/// Where the emoji that stands at `at` ends.
pub(crate) fn emoji(source: &Source, at: usize, generation: Generation) -> Option<usize> {
    let _ = generation;
    // U+1F600: faces
    pair(source, at, 0xD83D, 0xDE00..=0xDE4F)
        .or_else(|| supplemental(source, at))
        .or_else(|| joined(source, at))
        // U+1F680: transport and maps
        .or_else(|| pair(source, at, 0xD83D, 0xDE80..=0xDEFA))
        // technical signs, symbols and dingbats
        .or_else(|| Some(with_selector(source, unit(source, at, 0x2300..=0x23FF)?)))
        .or_else(|| Some(with_selector(source, unit(source, at, 0x2600..=0x27BF)?)))
        // flags: two letters of U+1F100 to U+1F1FF
        .or_else(|| {
            let second = pair(source, at, 0xD83C, 0xDD00..=0xDDFF)?;
            pair(source, second, 0xD83C, 0xDD00..=0xDDFF)
        })
}

/// U+1F900 to U+1F9FF, with pictographs that follow.
fn supplemental(source: &Source, at: usize) -> Option<usize> {
    let mut end = pair(source, at, 0xD83E, 0xDD00..=0xDDFF)?;
    let mut next = pictograph(source, end);
    let mut parts = 0;
    while let Some(part) = next
        && parts < MOST_JOINED
    {
        parts += 1;
        end = part;
        next = match source.at(end) {
            Some(JOINER) => pictograph(source, end + 1),
            _ => None,
        };
    }
    Some(end)
}

/// Pictographs that are joined; a joiner with nothing behind it spoils them all.
fn joined(source: &Source, at: usize) -> Option<usize> {
    let mut end = toned(source, at)?;
    for _ in 0..MOST_JOINED {
        if source.at(end) != Some(JOINER) {
            return Some(end);
        }
        end = toned(source, end + 1)?;
    }
    None
}
