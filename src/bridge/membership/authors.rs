//! Who did something in a Matrix room, read from its history: nothing is done on
//! Rocket.Chat with the rights of somebody who did not do it on Matrix.
//!
//! The only witness is `unsigned.replaces_state`, the id of the event that stood there
//! before. The specification does not have it; Synapse (every version that the bridge
//! works with), Dendrite and conduwuit with its descendants give it with every state event
//! that replaces another. A homeserver without it makes it impossible to know whose change
//! it was, above all of one that somebody else's later event took along: then nothing is
//! carried over, it is as it was again, and that is said.

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use serde_json::Value;

use super::Seat;
use super::rights::stand_at;
use crate::bridge::power::{POWER_LEVELS, PowerLevels};
use crate::bridge::{Bridge, Failure};
use crate::matrix::TimelineEvent;
use crate::store::{Portal, Stand};

/// How many changes of somebody's membership are looked back through for their
/// invitation: a join is made anew for every new name and picture.
pub(super) const MOST_JOINS: usize = 50;

/// How many changes of a room's levels are looked back through for one.
const MOST_CHANGES: usize = 100;

impl Bridge {
    /// Who invited somebody, by what stands before their join.
    pub(in crate::bridge) async fn host_of(
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
            event = match step(&found) {
                Step::Invited(host) => return Ok(Some(host)),
                Step::Before(before) => bot.event(&portal.room_id, &before).await?,
                Step::Nothing => return Ok(None),
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
        is_still(&now, user, wished)?;
        let mut event = bot.event(room, &now.event_id).await?;
        for _ in 0..MOST_CHANGES {
            let Some(found) = event else { return Ok(None) };
            let before = match replaced(&found) {
                Some(before) => bot.event(room, &before).await?,
                // The first of all, or a homeserver that does not say.
                None => return Ok(None),
            };
            match before {
                Some(before) if stand_in(&before, user) == wished => event = Some(before),
                Some(_) => return Ok(Some(found)),
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// A step back through what somebody's membership was.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// They came at this one's invitation.
    Invited(OwnedUserId),
    /// They were in the room already: this event was before.
    Before(OwnedEventId),
    /// They came by themselves. What was before they left, or were removed, counts no more.
    Nothing,
}

fn step(found: &TimelineEvent) -> Step {
    match found.content.get("membership").and_then(Value::as_str) {
        Some("invite") => Step::Invited(found.sender.clone()),
        Some("join") => replaced(found).map_or(Step::Nothing, Step::Before),
        _ => Step::Nothing,
    }
}

fn stand_in(event: &TimelineEvent, user: &UserId) -> Stand {
    let levels = PowerLevels::of(event.content.clone());
    stand_at(levels.level_of(user), &levels)
}

/// Fails when somebody may do something else than what was looked at: whoever made that of
/// it is not who is looked for.
fn is_still(now: &TimelineEvent, user: &UserId, wished: Stand) -> Result<(), Failure> {
    match stand_in(now, user) == wished {
        true => Ok(()),
        false => Err(Failure::NotYet("rights that are just changing")),
    }
}

/// The event of the same state that stood before this one (Synapse says so; the
/// specification does not).
pub(in crate::bridge) fn replaced(event: &TimelineEvent) -> Option<OwnedEventId> {
    let before = event.json.pointer("/unsigned/replaces_state")?;
    EventId::parse(before.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::user_id;
    use serde_json::json;

    use super::*;

    /// An event of somebody's, after which another stood in its place.
    fn event(sender: &str, content: Value, before: Option<&str>) -> TimelineEvent {
        TimelineEvent {
            event_id: EventId::parse("$now").unwrap(),
            sender: UserId::parse(sender).unwrap(),
            kind: "m.room.member".into(),
            state_key: Some("@bob:example.org".into()),
            content,
            origin_server_ts: 0,
            json: json!({ "unsigned": { "replaces_state": before } }),
        }
    }

    #[test]
    fn an_invitation_from_before_somebody_was_gone_lets_nobody_in() {
        let of = |membership: &str, before| {
            let content = json!({ "membership": membership });
            step(&event("@alice:example.org", content, before))
        };
        let before = Some("$before");
        let alice = user_id!("@alice:example.org").to_owned();
        assert_eq!(of("invite", before), Step::Invited(alice));
        let event = EventId::parse("$before").unwrap();
        assert_eq!(of("join", before), Step::Before(event), "a new name");
        assert_eq!(of("join", None), Step::Nothing, "without an invitation");
        for gone in ["leave", "ban", "knock", "odd"] {
            assert_eq!(of(gone, before), Step::Nothing, "{gone}");
        }
    }

    #[test]
    fn who_changed_rights_is_not_looked_for_when_they_are_others_by_now() {
        let dora = user_id!("@dora:example.org");
        let now = |level: i64| {
            let content = json!({ "users": { "@dora:example.org": level } });
            event("@alice:example.org", content, None)
        };
        assert!(is_still(&now(50), dora, Stand::Moderator).is_ok());
        for level in [0, 100] {
            let outcome = is_still(&now(level), dora, Stand::Moderator);
            assert!(matches!(outcome, Err(Failure::NotYet(_))), "{level}");
        }
    }
}
