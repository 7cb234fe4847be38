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
    let begins_keycap = |unit: u8| unit.is_ascii_digit() || matches!(unit, b'#' | b'*');
    if u8::try_from(source.at(at)?).is_ok_and(|unit| unit.is_ascii() && !begins_keycap(unit)) {
        return None;
    }
    match generation {
        Generation::V6 => emoji_v6(source, at),
        Generation::V8_7 => emoji_v8_7(source, at),
    }
}

fn emoji_v6(source: &Source, at: usize) -> Option<usize> {
    // U+1F600: faces
    pair(source, at, 0xD83D, 0xDE00..=0xDE4F)
        .or_else(|| supplemental(source, at))
        .or_else(|| joined(source, at, toned))
        // U+1F680: transport and maps
        .or_else(|| pair(source, at, 0xD83D, 0xDE80..=0xDEFA))
        .or_else(|| Some(with_selector(source, unit(source, at, 0x2300..=0x23FF)?)))
        .or_else(|| symbol(source, at))
        // flags: two letters of U+1F100 to U+1F1FF
        .or_else(|| {
            let second = pair(source, at, 0xD83C, 0xDD00..=0xDDFF)?;
            pair(source, second, 0xD83C, 0xDD00..=0xDDFF)
        })
}

fn emoji_v8_7(source: &Source, at: usize) -> Option<usize> {
    regional_flag(source, at)
        .or_else(|| keycap(source, at))
        .or_else(|| joined(source, at, toned_v8_7))
        // What stands alone when what was joined to it is no emoji.
        .or_else(|| face(source, at))
        .or_else(|| transport(source, at))
        .or_else(|| Some(with_selector(source, unit(source, at, 0x2300..=0x23FF)?)))
        .or_else(|| symbol(source, at))
        .or_else(|| square(source, at))
        .or_else(|| {
            let low = source.at(at + 1)?;
            let is_sign = matches!(low, 0xDCCF | 0xDD8E | 0xDD91..=0xDD9A | 0xDE01 | 0xDE32..=0xDE3A | 0xDE50 | 0xDE51);
            Some(with_selector(source, pair(source, at, 0xD83C, 0xDCCF..=0xDE51).filter(|_| is_sign)?))
        })
        .or_else(|| text_by_default(source, at))
        .or_else(|| {
            let second = pair(source, at, 0xD83C, 0xDDE6..=0xDDFF)?;
            pair(source, second, 0xD83C, 0xDDE6..=0xDDFF)
        })
}

/// A black flag and tags: the flags of Scotland and the like.
fn regional_flag(source: &Source, at: usize) -> Option<usize> {
    let mut end = pair(source, at, 0xD83C, 0xDFF4..=0xDFF4)?;
    for tags in 0..MOST_JOINED {
        if let Some(end) = pair(source, end, 0xDB40, 0xDC7F..=0xDC7F) {
            return (tags > 0).then_some(end);
        }
        end = pair(source, end, 0xDB40, 0xDC20..=0xDC7E)?;
    }
    None
}

/// `1` and the like in a box.
fn keycap(source: &Source, at: usize) -> Option<usize> {
    let key = u8::try_from(source.at(at)?).ok()?;
    let end = unit(source, at + 1, 0xFE0F..=0xFE0F).unwrap_or(at + 1);
    unit(source, end, 0x20E3..=0x20E3)
        .filter(|_| key.is_ascii_digit() || key == b'#' || key == b'*')
}

fn face(source: &Source, at: usize) -> Option<usize> {
    Some(with_selector(
        source,
        pair(source, at, 0xD83D, 0xDE00..=0xDE4F)?,
    ))
}

fn transport(source: &Source, at: usize) -> Option<usize> {
    Some(with_selector(
        source,
        pair(source, at, 0xD83D, 0xDE80..=0xDEFF)?,
    ))
}

/// U+2600 to U+27BF.
fn symbol(source: &Source, at: usize) -> Option<usize> {
    Some(with_selector(source, unit(source, at, 0x2600..=0x27BF)?))
}

/// Coloured squares and circles, and the heavy equals sign.
fn square(source: &Source, at: usize) -> Option<usize> {
    let end = unit(source, at, 0x2B1B..=0x2B1C)
        .or_else(|| pair(source, at, 0xD83D, 0xDFE0..=0xDFEB))
        .or_else(|| pair(source, at, 0xD83D, 0xDFF0..=0xDFF0))?;
    Some(with_selector(source, end))
}

/// An emoji that others can be joined to, and the colour of its skin.
fn toned_v8_7(source: &Source, at: usize) -> Option<usize> {
    let end = pair(source, at, 0xD83E, 0xDD00..=0xDFFF)
        .or_else(|| pictograph(source, at))
        .or_else(|| face(source, at))
        .or_else(|| transport(source, at))
        .or_else(|| symbol(source, at))
        .or_else(|| Some(with_selector(source, unit(source, at, 0x2194..=0x2195)?)))
        .or_else(|| square(source, at))?;
    Some(pair(source, end, 0xD83C, 0xDFFB..=0xDFFF).unwrap_or(end))
}

/// Characters that are emoji only where a selector says so.
fn text_by_default(source: &Source, at: usize) -> Option<usize> {
    let end = match (source.at(at)?, source.at(at + 1)?) {
        (0xD83C, 0xDC04 | 0xDD70 | 0xDD71 | 0xDD7E | 0xDD7F | 0xDE02 | 0xDE1A | 0xDE2F) => at + 2,
        (
            0xA9
            | 0xAE
            | 0x203C
            | 0x2049
            | 0x2122
            | 0x2139
            | 0x2196..=0x2199
            | 0x21A9
            | 0x21AA
            | 0x24C2
            | 0x25AA
            | 0x25AB
            | 0x25B6
            | 0x25C0
            | 0x25FB..=0x25FE
            | 0x2934
            | 0x2935
            | 0x2B05..=0x2B07
            | 0x2B50
            | 0x2B55
            | 0x3030
            | 0x303D
            | 0x3297
            | 0x3299,
            _,
        ) => at + 1,
        _ => return None,
    };
    unit(source, end, 0xFE0F..=0xFE0F)
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

/// Emoji that are joined to one; a joiner with nothing behind it spoils them all.
fn joined(
    source: &Source,
    at: usize,
    part: impl Fn(&Source, usize) -> Option<usize>,
) -> Option<usize> {
    let mut end = part(source, at)?;
    for _ in 0..MOST_JOINED {
        if source.at(end) != Some(JOINER) {
            return Some(end);
        }
        end = part(source, end + 1)?;
    }
    None
}
