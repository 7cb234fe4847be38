//! What people are told at the end of a portal.

use crate::convert::to_rocketchat::plain;
use crate::store::{Ending, Reason};

/// To whoever writes into a room that is no portal any more.
pub(super) const TOO_LATE: &str = "This did not reach Rocket.Chat any more: this room is no longer connected with it, and the bridge is leaving.";

/// Why the ghosts and the bot leave; shown beside their names.
pub(super) fn leaving(reason: &Reason) -> &'static str {
    match reason {
        Reason::Unbridged { .. } => "This room is no longer connected with Rocket.Chat.",
        Reason::RoomDeleted => "The channel was deleted on Rocket.Chat.",
        Reason::RoomLost => "The bridge is not in this room any more.",
        Reason::Federated => "The channel belongs to Rocket.Chat's own federation now.",
        Reason::PersonDeactivated => "The account on Rocket.Chat was deactivated.",
        Reason::PersonDeleted => "The account on Rocket.Chat was deleted.",
    }
}

/// Said in the Matrix room before the bridge leaves it. `others` is how many other rooms on
/// Matrix the channel is still mirrored in.
pub(super) fn on_matrix(ending: &Ending, others: usize) -> String {
    let name = &ending.portal.name;
    match &ending.reason {
        Reason::Unbridged { by } if ending.portal.plumbed => format!(
            "This room is no longer joined with {name} on Rocket.Chat: {by} has ended it. The \
             users who stand for people of Rocket.Chat leave; everything else stays as it is. \
             What is written here from now on stays here."
        ),
        Reason::Unbridged { by } => format!(
            "This room is no longer connected with {name} on Rocket.Chat: {by} has ended it. \
             What is written here from now on stays here.{} `bridge {name}`, given to the bridge \
             by one of its administrators, would mirror the channel again, in a new room.",
            match others {
                0 => "",
                _ => " The channel stays joined with rooms that others have here on Matrix.",
            }
        ),
        Reason::RoomDeleted if super::is_direct(&ending.portal) => format!(
            "The conversation with {name} was deleted on Rocket.Chat. What is written here from \
             now on reaches nobody there; start a new direct message instead."
        ),
        Reason::RoomDeleted => format!(
            "{name} was deleted on Rocket.Chat. This room stays, and is no longer connected with \
             it: what is written here from now on stays here."
        ),
        Reason::RoomLost => String::new(),
        Reason::Federated => format!(
            "{name} belongs to Rocket.Chat's own federation now, which mirrors it by itself; both \
             together would double every message. This room is no longer connected with it: \
             what is written here from now on stays here."
        ),
        Reason::PersonDeactivated => format!(
            "The account of {name} on Rocket.Chat was deactivated: nothing written here reaches \
             them. If they come back, the conversation goes on in a new room, when one of you \
             begins it."
        ),
        Reason::PersonDeleted => format!(
            "The account of {name} on Rocket.Chat was deleted: nothing written here reaches them \
             any more. Whoever takes the same name there later is somebody else."
        ),
    }
}

/// Said in the room on Rocket.Chat before the puppets leave; none where nobody is to be
/// told there. `others` as in [`on_matrix`].
pub(super) fn on_rocketchat(ending: &Ending, others: usize) -> Option<String> {
    let room = plain(ending.portal.room_id.as_str());
    match &ending.reason {
        Reason::Unbridged { .. } | Reason::RoomLost if others > 0 => {
            let why = match &ending.reason {
                Reason::Unbridged { by } => format!("{} has ended it", plain(by.as_str())),
                _ => "it is gone, or the bridge was put out of it".to_owned(),
            };
            let stays = match others {
                1 => "another room there stays".to_owned(),
                _ => format!("{others} other rooms there stay"),
            };
            Some(format!(
                "This channel is no longer connected with the room {room} on Matrix: {why}. \
                 People who are in that one only leave. What is written here from now on does \
                 not reach it; {stays} connected with this channel."
            ))
        }
        Reason::Unbridged { by } if ending.portal.plumbed => Some(format!(
            "This room is no longer joined with {room} on Matrix: {} has ended it. People of that \
             room leave; everything else stays as it is. What is written here from now on stays \
             here.",
            plain(by.as_str())
        )),
        Reason::Unbridged { by } => Some(format!(
            "This channel is no longer connected with Matrix: {} has ended it. People of \
             Matrix leave, and what is written here from now on stays here.",
            plain(by.as_str())
        )),
        Reason::RoomLost => Some(
            "This channel is no longer connected with Matrix: its room there is gone, or the \
             bridge was put out of it. People of Matrix leave. What was written here in the last \
             moments may not have arrived there, and what is written from now on stays here."
                .to_owned(),
        ),
        Reason::RoomDeleted
        | Reason::Federated
        | Reason::PersonDeactivated
        | Reason::PersonDeleted => None,
    }
}

/// Said in the room on Rocket.Chat of the accounts that cannot leave it.
pub(super) fn staying(accounts: &[String]) -> String {
    format!(
        "Rocket.Chat does not let {} leave, which nobody speaks through here any more: perhaps \
         nobody else owns this channel. An administrator can make somebody else an owner and \
         remove them.",
        plain(&accounts.join(", "))
    )
}
