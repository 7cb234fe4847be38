//! Identifiers in the forms that Rocket.Chat uses.

use rand::RngExt;

/// Alphabet of Meteor's random ids: no characters that look alike.
const UNMISTAKABLE: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz";
const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &[u8] = b"0123456789abcdef";

fn pick(alphabet: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
        .collect()
}

/// 17 characters: users, messages made for posts, subscriptions of DMs, sessions.
pub fn meteor() -> String {
    pick(UNMISTAKABLE, 17)
}

/// 24 hexadecimal characters that grow with time, as MongoDB's ObjectId: rooms, system messages,
/// subscriptions of channels and groups, the first administrator.
pub fn object(now_ms: i64) -> String {
    format!("{:08x}{}", (now_ms / 1000) as u32, pick(HEX, 16))
}

/// 43 characters: login tokens and personal access tokens.
pub fn token() -> String {
    pick(BASE64URL, 43)
}

/// A random UUID of version 4, as `uniqueID`.
pub fn uuid() -> String {
    let hex = pick(HEX, 32);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}
