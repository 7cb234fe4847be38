//! Who did something in a Matrix room, read from its history: nothing is done on
//! Rocket.Chat with the rights of somebody who did not do it on Matrix.
//!
//! The only witness is `unsigned.replaces_state`, the id of the event that stood there
//! before. The specification does not have it; Synapse (every version that the bridge
//! works with), Dendrite and conduwuit with its descendants give it with every state event
//! that replaces another. A homeserver without it makes it impossible to know whose change
//! it was, above all of one that somebody else's later event took along: then nothing is
//! carried over, it is as it was again, and that is said.

use ruma::{EventId, OwnedUserId, UserId};
use serde_json::Value;

use super::Seat;
use super::rights::stand_at;
use crate::bridge::power::{POWER_LEVELS, PowerLevels};
use crate::bridge::{Bridge, Failure};
use crate::matrix::TimelineEvent;
use crate::store::{Portal, Stand};

/// How many changes of somebody's membership are looked back through for their
/// invitation: a join is made anew for every new name and picture.
const MOST_JOINS: usize = 50;

/// How many changes of a room's levels are looked back through for one.
const MOST_CHANGES: usize = 100;

impl Bridge {
    /// Who invited somebody, by what stands before their join.
    pub(super) async fn host_of(
        &self,
        portal: &Portal,
        seat: &Seat,
    ) -> Result<Option<OwnedUserId>, Failure> {
        let bot = self.matrix.bot();
        let Some(now) = &seat.event else {
            return Ok(None);
        };
        // The event as it is in the room's state may lack what it replaces.
        let mut event = bot.event(&portal.room_id, &now.event_id).await?;
        for _ in 0..MOST_JOINS {
            let Some(found) = event else { return Ok(None) };
            let membership = found.content.get("membership").and_then(Value::as_str);
            match membership {
                Some("invite") => return Ok(Some(found.sender)),
                Some("join") => {}
                // What was before they left, or were removed, counts no more.
                _ => return Ok(None),
            }
            event = match replaced(&found) {
                Some(before) => bot.event(&portal.room_id, &before).await?,
                None => None,
            };
        }
        Ok(None)
    }

    /// The event by which somebody got what they may do in a Matrix room, if that can be
    /// found out.
    pub(super) async fn author_of_level(
        &self,
        portal: &Portal,
        user: &UserId,
        wished: Stand,
    ) -> Result<Option<TimelineEvent>, Failure> {
        let bot = self.matrix.bot();
        let room = &portal.room_id;
        let Some(now) = bot.state_event(room, POWER_LEVELS, "").await? else {
            return Ok(None);
        };
        let stand_in = |event: &TimelineEvent| {
            let levels = PowerLevels::of(event.content.clone());
            stand_at(levels.level_of(user), &levels)
        };
        let mut event = bot.event(room, &now.event_id).await?;
        let wanted = stand_in(&now);
        if wanted != wished {
            return Err(Failure::NotYet("rights that are just changing"));
        }
        for _ in 0..MOST_CHANGES {
            let Some(found) = event else { return Ok(None) };
            let before = match replaced(&found) {
                Some(before) => bot.event(room, &before).await?,
                // The first of all, or a homeserver that does not say.
                None => return Ok(None),
            };
            match before {
                Some(before) if stand_in(&before) == wanted => event = Some(before),
                Some(_) => return Ok(Some(found)),
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// The event of the same state that stood before this one (Synapse says so; the
/// specification does not).
pub(in crate::bridge) fn replaced(event: &TimelineEvent) -> Option<ruma::OwnedEventId> {
    let before = event.json.pointer("/unsigned/replaces_state")?;
    EventId::parse(before.as_str()?).ok()
}
