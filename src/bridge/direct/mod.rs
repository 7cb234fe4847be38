//! Direct messages: found or made, from either side.
//!
//! Who is in a direct message never changes on Rocket.Chat, and the same people have
//! one. So a direct message is known by its people: asking Rocket.Chat for theirs finds
//! or makes it, whoever began and however often. A Matrix room in which others come to
//! be gets another room of Rocket.Chat: a direct message of them all as long as nothing
//! was said, a private group after that.

mod asked;
mod gather;
mod invited;
mod left;
mod marked;
mod opened;
mod people;

pub(super) use asked::BEGIN_DIRECT;
pub use asked::{Named, OpenedDirect};
use ruma::RoomId;

use super::Failure;
use crate::matrix::Intent;
use crate::rocketchat::{RocketRoomId, RocketUserId};

/// How many people a conversation may have that somebody makes by inviting ghosts. Each
/// of Matrix gets an account on Rocket.Chat by it.
const MOST_PEOPLE: usize = 50;

/// The id that Rocket.Chat gives the direct message of two people.
pub(super) fn direct_id(one: &RocketUserId, other: &RocketUserId) -> RocketRoomId {
    let mut both = [one.as_str(), other.as_str()];
    both.sort_unstable();
    RocketRoomId::new(both.concat())
}

/// Leaves a room, or declines the invitation, with a reason that the inviter sees.
async fn decline(ghost: &Intent, room: &RoomId, why: &str) -> Result<(), Failure> {
    match ghost.leave(room, Some(why)).await {
        // Not there, or not any more.
        Err(error) if error.is_forbidden() || error.is_not_found() => Ok(()),
        outcome => Ok(outcome?),
    }
}
