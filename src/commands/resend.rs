//! `failed` and `resend`: what could not be delivered.

use std::sync::Arc;

use super::{Usage, is_admin};
use crate::bridge::{Bridge, Caller, Failure};
use crate::store::{DeadLetter, Origin, StoreError};

pub(super) const FAILED: Usage = Usage {
    words: "failed",
    what: "shows what could not be delivered: yours, and to administrators everybody's",
    for_everybody: true,
};

pub(super) const RESEND: Usage = Usage {
    words: "resend [number]",
    what: "tries all of that again, or what has that number in `failed`",
    for_everybody: true,
};

/// How many are shown; the rest is counted.
const MOST_SHOWN: usize = 20;

/// What the caller may see here, oldest first.
fn visible(bridge: &Bridge, caller: &Caller) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
    let in_portal = bridge.store().portal_of_room(&caller.room)?.is_some();
    let admin = is_admin(bridge, &caller.user);
    let mut letters = bridge.dead_letters();
    letters.retain(|(_, letter)| {
        let is_here = !in_portal || letter.room_id == caller.room;
        is_here && (admin || letter.sender.as_ref() == Some(&caller.user))
    });
    Ok(letters)
}

pub(super) fn failed(bridge: &Bridge, caller: &Caller) -> Result<String, Failure> {
    let letters = visible(bridge, caller)?;
    if letters.is_empty() {
        return Ok("Nothing was given up.".to_owned());
    }
    let mut lines: Vec<String> = letters
        .iter()
        .take(MOST_SHOWN)
        .map(|(number, letter)| {
            let what = match letter.origin {
                Origin::Matrix => format!(
                    "https://matrix.to/#/{}/{}?via={} to Rocket.Chat",
                    letter.room_id,
                    letter.id,
                    bridge.config().homeserver.server_name
                ),
                Origin::RocketChat => format!("message {} to Matrix", letter.id),
            };
            let why = if letter.told.is_empty() {
                &letter.reason
            } else {
                &letter.told
            };
            let at = crate::clock::shown(letter.at);
            format!("{number}: {what}, given up {at}: {why}")
        })
        .collect();
    if letters.len() > MOST_SHOWN {
        lines.push(format!("… and {} more.", letters.len() - MOST_SHOWN));
    }
    Ok(lines.join("\n"))
}

pub(super) async fn resend(
    bridge: &Arc<Bridge>,
    caller: &Caller,
    number: &str,
) -> Result<String, Failure> {
    let mut letters = visible(bridge, caller)?;
    if !number.is_empty() {
        let Ok(wanted) = number.parse::<u64>() else {
            return Ok("Say which one by its number: `failed` shows them.".to_owned());
        };
        letters.retain(|(number, _)| *number == wanted);
        if letters.is_empty() {
            return Ok(format!("Nothing with the number {wanted} was given up."));
        }
    }
    if letters.is_empty() {
        return Ok("Nothing was given up.".to_owned());
    }
    let mut tried = 0;
    let mut refused = Vec::new();
    for (number, letter) in &letters {
        match bridge.resend(letter).await {
            Ok(()) => tried += 1,
            Err(Failure::Refused(why)) => refused.push(format!("{number}: {why}")),
            Err(failure) => return Err(failure),
        }
    }
    let messages = if tried == 1 { "message" } else { "messages" };
    let mut lines = vec![format!(
        "Trying {tried} {messages} again. What fails again is told, and kept."
    )];
    lines.extend(refused);
    Ok(lines.join("\n"))
}
