//! Whether a linked person who is out of a Matrix room meant to leave it: then their own
//! account leaves the room on Rocket.Chat too.
//!
//! A homeserver lets people leave "by themselves" also when their account is deactivated, and
//! when an administrator removes the room (Synapse 1.163: `_part_user`, `shutdown_room`). Nobody
//! wished for that on Rocket.Chat, and out of a private group there is no way back without
//! others. So it waits for some seconds until nobody else leaves the room one after the other,
//! nor they other rooms. Then the bot must be there still, and the account: the homeserver says
//! so where the bridge may act as them; elsewhere they must still be in the room in which they
//! talk with the bridge alone, which a deactivation takes them out of as well. What cannot be
//! told leaves their account where it is, and they are told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use ruma::{OwnedEventId, OwnedUserId};
use serde_json::Value;

use crate::bridge::endings::is_out;
use crate::bridge::membership::{Seat, Why};
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::matrix::TimelineEvent;
use crate::store::{Leaving, LeavingStage, Link, Portal, PortalId};

/// How long between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// How many looks in a row must have seen nobody else leave.
const QUIET_LOOKS: u32 = 2;

/// After how many it cannot be told.
const MOST_LOOKS: u32 = 30;

/// How much of a room's history a look reads.
const EVENTS_READ: u32 = 50;

/// How many people are looked at at once.
const AT_ONCE: usize = 4;

/// What the looks at somebody have seen so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Looks {
    /// How many there were.
    number: u32,
    /// How many in a row have seen nothing new.
    quiet: u32,
    /// By which event somebody left the room last.
    last: OwnedEventId,
    /// How many rooms they have left lately.
    rooms: usize,
}

/// What follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Another look.
    Wait,
    /// Whoever was to leave has left.
    Quiet,
    /// There is no end of it.
    Restless,
}

impl Looks {
    fn new(leaving: &Leaving, rooms: usize) -> Self {
        Self {
            number: 0,
            quiet: 0,
            last: leaving.seat.clone(),
            rooms,
        }
    }

    /// After another one. A page of the history without anybody who leaves shows nothing.
    fn after(&self, last: Option<OwnedEventId>, rooms: usize) -> Self {
        let last = last.unwrap_or_else(|| self.last.clone());
        let is_quiet = last == self.last && rooms <= self.rooms;
        Self {
            number: self.number + 1,
            quiet: if is_quiet { self.quiet + 1 } else { 0 },
            last,
            rooms,
        }
    }

    fn verdict(&self) -> Verdict {
        if self.quiet >= QUIET_LOOKS {
            Verdict::Quiet
        } else if self.number >= MOST_LOOKS {
            Verdict::Restless
        } else {
            Verdict::Wait
        }
    }
}

/// By which event of a page, the newest first, somebody has left by themselves last.
fn last_parting(events: &[TimelineEvent]) -> Option<OwnedEventId> {
    let is_parting = |event: &&TimelineEvent| {
        let membership = event.content.get("membership").and_then(Value::as_str);
        event.kind == "m.room.member"
            && membership == Some("leave")
            && event.state_key.as_deref() == Some(event.sender.as_str())
    };
    (events.iter().find(is_parting)).map(|event| event.event_id.clone())
}

/// What can be told of somebody who left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    /// They left.
    Yes,
    /// Their account is gone.
    Gone,
    /// Nothing.
    Unknown,
}

type Leaver = (PortalId, OwnedUserId);

impl Bridge {
    /// A linked person is out of a portal's Matrix room by what looks like their own doing.
    /// Whether their account leaves now; else it is looked at soon.
    pub(super) fn leaves_there(
        &self,
        portal: &Portal,
        user: &OwnedUserId,
        seat: &OwnedEventId,
    ) -> Result<bool, Failure> {
        let known = self.store.leaving(&portal.id, user)?;
        if let Some(known) = known.filter(|known| known.seat == *seat) {
            return Ok(known.stage == LeavingStage::Leaves);
        }
        let leaving = Leaving {
            portal: portal.id.clone(),
            user: user.clone(),
            seat: seat.clone(),
            stage: LeavingStage::Waiting,
        };
        self.store.change().leaving(&leaving).commit()?;
        self.linking.left.notify_one();
        Ok(false)
    }

    /// Looks at those who have left, also in an earlier run, for as long as the bridge runs.
    pub(in crate::bridge) async fn look_after_leavers(self: Arc<Self>) {
        let mut looks: HashMap<Leaver, Looks> = HashMap::new();
        loop {
            let mut waiting = self.store.all_leaving();
            waiting.retain(|leaving| leaving.stage == LeavingStage::Waiting);
            if waiting.is_empty() {
                looks.clear();
                self.linking.left.notified().await;
                continue;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let mut rooms: HashMap<OwnedUserId, usize> = HashMap::new();
            for leaving in &waiting {
                *rooms.entry(leaving.user.clone()).or_default() += 1;
            }
            let there: HashSet<Leaver> = (waiting.iter())
                .map(|leaving| (leaving.portal.clone(), leaving.user.clone()))
                .collect();
            looks.retain(|leaver, _| there.contains(leaver));
            let begun: Vec<_> = waiting
                .into_iter()
                .map(|leaving| {
                    let rooms = rooms.get(&leaving.user).copied().unwrap_or_default();
                    let leaver = (leaving.portal.clone(), leaving.user.clone());
                    let before = looks.remove(&leaver);
                    let before = before.unwrap_or_else(|| Looks::new(&leaving, rooms));
                    (leaver, leaving, before, rooms)
                })
                .collect();
            let mut looked = stream::iter(begun)
                .map(|(leaver, leaving, before, rooms)| {
                    let bridge = Arc::clone(&self);
                    // In a task of its own: a panic must not end the others.
                    let look = tokio::spawn(async move {
                        let after = bridge.look_at_leaver(&leaving, &before, rooms).await;
                        after.unwrap_or_else(|failure| {
                            tracing::warn!(user = %leaving.user, %failure, "whether somebody meant to leave cannot be told now");
                            Some(before.after(None, usize::MAX))
                        })
                    });
                    async move { (leaver, look.await.ok().flatten()) }
                })
                .buffer_unordered(AT_ONCE);
            while let Some((leaver, after)) = looked.next().await {
                if let Some(after) = after {
                    looks.insert(leaver, after);
                }
            }
        }
    }

    /// Looks at somebody who has left; none when it is settled what becomes of it.
    async fn look_at_leaver(
        &self,
        leaving: &Leaving,
        before: &Looks,
        rooms: usize,
    ) -> Result<Option<Looks>, Failure> {
        let (id, user) = (&leaving.portal, &leaving.user);
        let known = (self.store.portal(id)?, self.store.linked_user(user)?);
        let (Some(portal), Some(link)) = known else {
            self.store.change().not_leaving(id, user).commit()?;
            return Ok(None);
        };
        let seen = self.persevere(|_| self.seen_of_leaver(&portal, leaving));
        let Some(last) = seen.await? else {
            // They are back, or the room is being closed, which is nobody's wish: at the next
            // round it is seen how it is.
            self.store.change().not_leaving(id, user).commit()?;
            return Ok(None);
        };
        let after = before.after(last, rooms);
        let meant = match after.verdict() {
            Verdict::Wait => return Ok(Some(after)),
            Verdict::Quiet => self.meant_to_leave(&link).await?,
            Verdict::Restless => Meant::Unknown,
        };
        tracing::info!(portal = %id, %user, ?meant, "a linked person is out of a room on Matrix");
        let stage = match meant {
            Meant::Yes => LeavingStage::Leaves,
            Meant::Gone => {
                self.account_is_gone_from_matrix(&link).await?;
                self.store.change().not_leaving(id, user).commit()?;
                return Ok(None);
            }
            Meant::Unknown => {
                self.persevere(|_| self.tell_that_they_stay(&portal, &link, leaving))
                    .await?;
                LeavingStage::Stays
            }
        };
        let settled = Leaving {
            stage,
            ..leaving.clone()
        };
        self.store.change().leaving(&settled).commit()?;
        if stage == LeavingStage::Leaves {
            self.persevere(|_| self.settle_puppet(&portal, user, Why::Look))
                .await?;
        }
        Ok(None)
    }

    /// By which event somebody left a room last; none when it is about another stay in it, or
    /// the bot is not there.
    async fn seen_of_leaver(
        &self,
        portal: &Portal,
        leaving: &Leaving,
    ) -> Result<Option<Option<OwnedEventId>>, Failure> {
        let (bot, room) = (self.matrix.bot(), &portal.room_id);
        if self.store.ending(&portal.id)?.is_some() || is_out(&bot, room).await? {
            return Ok(None);
        }
        let Seat { event } = self.seat(portal, &leaving.user).await?;
        if event.is_none_or(|event| event.event_id != leaving.seat) {
            return Ok(None);
        }
        let page = bot.messages_backwards(room, None, EVENTS_READ).await?;
        Ok(Some(last_parting(&page.events)))
    }

    /// Whether who has left a room did so because they wanted to, as far as can be told.
    async fn meant_to_leave(&self, link: &Link) -> Result<Meant, Failure> {
        let user = &link.matrix_id;
        if self.persevere(|_| self.may_act_as(user)).await? {
            match self.is_deactivated(user).await? {
                Some(true) => return Ok(Meant::Gone),
                Some(false) => return Ok(Meant::Yes),
                None => {}
            }
        }
        // That there is no profile is no proof of anything: an account without a name and a
        // picture has none either.
        let is_local = user.server_name() == self.config.homeserver.server_name;
        if is_local && self.has_no_profile(user).await? {
            return Ok(Meant::Unknown);
        }
        let is_there = self
            .persevere(async |_| {
                let (bot, desk) = (self.matrix.bot(), &link.room);
                if is_out(&bot, desk).await? {
                    return Ok(false);
                }
                let member = bot.state(desk, "m.room.member", user.as_str()).await?;
                let membership = member.as_ref().and_then(|member| member.get("membership"));
                Ok(membership.and_then(Value::as_str) == Some("join"))
            })
            .await?;
        Ok(if is_there { Meant::Yes } else { Meant::Unknown })
    }

    /// The homeserver says that an account is deactivated: its person is on Rocket.Chat only.
    async fn account_is_gone_from_matrix(&self, link: &Link) -> Result<(), Failure> {
        let _alone = self.linking.changing.lock().await;
        match self.store.linked_user(&link.matrix_id)? {
            Some(now) if now.proof == link.proof => {
                self.end_link(&now, "The account on Matrix is gone.").await
            }
            _ => Ok(()),
        }
    }

    /// Says to somebody whose account stays in a room, once, why it does.
    async fn tell_that_they_stay(
        &self,
        portal: &Portal,
        link: &Link,
        leaving: &Leaving,
    ) -> Result<(), Failure> {
        let text = format!(
            "{} is no longer in the room {} on Matrix, and the bridge cannot tell whether you left it or your account there is gone. So you stay in it here. If you want to leave it here too, leave it here.",
            link.matrix_id, portal.name
        );
        let id = derived::telling_id_of_event(&leaving.seat, "stays");
        match self
            .tell_directly(&link.rocket_id, &id, &plain(&text))
            .await
        {
            // They want no messages, and stay all the same.
            Err(failure) if failure.is_permanent() => {
                tracing::info!(user = %link.matrix_id, %failure, "somebody cannot be told that their account stays in a room");
                Ok(())
            }
            told => told,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{EventId, UserId, event_id};
    use serde_json::json;

    use super::*;
    use crate::rocketchat::RocketRoomId;

    fn begun() -> Looks {
        let leaving = Leaving {
            portal: PortalId::own(&RocketRoomId::new("r")),
            user: ruma::owned_user_id!("@alice:example.org"),
            seat: event_id!("$alice").to_owned(),
            stage: LeavingStage::Waiting,
        };
        Looks::new(&leaving, 1)
    }

    #[test]
    fn who_leaves_alone_is_believed_after_some_seconds() {
        let own = Some(event_id!("$alice").to_owned());
        let one = begun().after(own, 1);
        assert_eq!(one.verdict(), Verdict::Wait);
        // Much was said since.
        assert_eq!(one.after(None, 1).verdict(), Verdict::Quiet);
    }

    #[test]
    fn who_leaves_among_many_or_many_rooms_waits_for_the_last() {
        let mut looks = begun();
        for number in 1..MOST_LOOKS {
            let next = EventId::parse(format!("$other{number}")).unwrap();
            looks = looks.after(Some(next), 1);
            assert_eq!(looks.verdict(), Verdict::Wait, "{number}");
        }
        assert_eq!(
            looks.after(None, 1).verdict(),
            Verdict::Restless,
            "it has to end"
        );
        let many = begun().after(None, 1).after(None, 2).after(None, 3);
        assert_eq!(many.verdict(), Verdict::Wait);
        assert_eq!(many.after(None, 3).after(None, 2).verdict(), Verdict::Quiet);
    }

    #[test]
    fn only_who_goes_by_themselves_parts() {
        let event = |id: &str, sender: &str, member: &str, membership: &str| TimelineEvent {
            event_id: EventId::parse(id).unwrap(),
            sender: UserId::parse(sender).unwrap(),
            kind: "m.room.member".into(),
            state_key: Some(member.into()),
            content: json!({ "membership": membership }),
            origin_server_ts: 0,
            json: json!({}),
        };
        let (a, b) = ("@a:example.org", "@b:example.org");
        let page = [
            event("$1", a, a, "join"),
            event("$2", a, b, "leave"),
            event("$3", b, b, "leave"),
            event("$4", a, a, "leave"),
        ];
        assert_eq!(last_parting(&page), Some(event_id!("$3").to_owned()));
        assert_eq!(last_parting(&page[..2]), None);
    }
}
