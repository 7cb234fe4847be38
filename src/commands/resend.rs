//! `failed` and `resend`: what could not be delivered.

use std::sync::Arc;

use ruma::RoomId;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};
use crate::store::{DeadLetter, Origin, Portal, StoreError};

pub(super) const FAILED: Command = Command {
    name: "failed",
    on_matrix: Some(Usage {
        arguments: "",
        what: "shows what could not be delivered: yours, and to administrators everybody's",
        example: "failed",
    }),
    on_rocketchat: Some(Usage {
        arguments: "",
        what: "shows what of yours could not be delivered to Matrix",
        example: "failed",
    }),
    needs: Needs::Nothing,
    audit: Audit::Nothing,
    private: false,
    run: |bridge, context, _| Box::pin(async { failed(bridge, context) }),
};

pub(super) const RESEND: Command = Command {
    name: "resend",
    on_matrix: Some(Usage {
        arguments: "[number]",
        what: "tries all of that again, or what has that number in `failed`",
        example: "resend 7",
    }),
    on_rocketchat: Some(Usage {
        arguments: "[number]",
        what: "tries all of that again, or what has that number in `failed`",
        example: "resend 7",
    }),
    needs: Needs::Nothing,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(resend(bridge, context, arguments)),
};

/// How many are shown; the rest is counted.
const MOST_SHOWN: usize = 20;

/// What the caller may see here, oldest first.
fn visible(bridge: &Bridge, context: &Context) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
    let here = bridge.portals_here(context)?;
    let mut of_channel = Vec::new();
    for portal in &here {
        of_channel.extend(bridge.store().portals_of(&portal.rid)?);
    }
    let is_among =
        |portals: &[Portal], room: &RoomId| portals.iter().any(|portal| portal.room_id == *room);
    let admin = bridge.is_admin(context);
    let mut letters = bridge.dead_letters();
    letters.retain(|(_, letter)| {
        let is_theirs = is_theirs(context, letter);
        // What they wrote here may have failed in another room of the channel.
        let is_here = here.is_empty()
            || is_among(&here, &letter.room_id)
            || is_theirs && is_among(&of_channel, &letter.room_id);
        is_here && (admin || is_theirs)
    });
    Ok(letters)
}

/// Whether whoever asks wrote it.
fn is_theirs(context: &Context, letter: &DeadLetter) -> bool {
    let author = letter.rocket_author();
    // What somebody wrote in another Matrix room goes by Rocket.Chat.
    letter.sender.is_some() && letter.sender.as_deref() == context.matrix_user()
        || author.is_some() && author.as_ref() == context.rocket_user()
}

fn failed(bridge: &Bridge, context: &Context) -> Result<String, Failure> {
    let letters = visible(bridge, context)?;
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
                Origin::RocketChat if letter.sender.is_some() => {
                    format!("message {} to the room {}", letter.id, letter.room_id)
                }
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

/// The number of what is to be sent again, as `failed` shows it and people write it.
pub(super) fn number_in(word: &str) -> Option<u64> {
    word.trim_start_matches('#').parse().ok()
}

async fn resend(bridge: &Arc<Bridge>, context: &Context, number: &str) -> Result<String, Failure> {
    let mut letters = visible(bridge, context)?;
    if !number.is_empty() {
        let list = context.written("failed");
        let Some(wanted) = number_in(number) else {
            return Err(Failure::Refused(format!(
                "Say which one by its number: `{list}` shows them."
            )));
        };
        letters.retain(|(number, _)| *number == wanted);
        if letters.is_empty() {
            return Err(Failure::Refused(format!(
                "Nothing with the number {wanted} was given up: `{list}` shows what was."
            )));
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
