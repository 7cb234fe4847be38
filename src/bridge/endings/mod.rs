//! Portals end: somebody unbridges them, or what they mirror is gone.
//!
//! An end is a deed of many steps, and the bridge may be killed between any two. So it
//! is written down first ([`crate::store::Ending`]) and taken up again at every start
//! until it is through; each step does no harm when it is repeated.
//!
//! * here: beginning, taking up, the order of the steps.
//! * [`take_back`]: what the bridge had put into the rooms.
//! * [`words`]: what people are told.
//! * [`unbridge`]: somebody wishes it.
//! * [`rooms`]: noticing that a room is gone, on either side.
//! * [`people`]: people of Rocket.Chat who are gone.
//! * [`puppets`]: people of Matrix who are gone.

mod people;
mod puppets;
mod rooms;
mod take_back;
mod unbridge;
mod words;

use std::sync::Arc;
use std::time::Duration;

use ruma::RoomId;
use serde_json::Value;

pub(super) use rooms::{Rounds, is_out};

use super::from_matrix::is_for_people;
use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::retry::Backoff;
use crate::rocketchat::RocketRoomId;
use crate::store::{Ending, InboxEvent, Portal, PortalId, PortalKind, Reason, Stage, Unbridged};

/// How long it is waited for news of the inbox before it is looked at anyway: it may be
/// emptied by others than the queues.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

impl Bridge {
    /// Takes up what an earlier run has not brought to its end.
    pub(super) fn take_up_endings(self: &Arc<Self>) {
        for ending in self.store.endings() {
            tracing::info!(rid = %ending.portal.rid, room = %ending.portal.room_id, "the end of a portal is taken up again");
            self.go_on_ending(ending.portal.id);
        }
    }

    /// Begins to end a portal, unless that is under way or it is another one by now.
    /// Returns when it is on disk; the end itself goes on in a task of its own.
    pub(super) async fn end_portal(
        self: &Arc<Self>,
        portal: &Portal,
        reason: Reason,
    ) -> Result<(), Failure> {
        let _one_at_a_time = self.making_portal.lock(&portal.rid).await;
        let (rid, id) = (&portal.rid, &portal.id);
        if self.store.ending(id)?.is_some() {
            return Ok(());
        }
        let Some(portal) = self
            .store
            .portal(id)?
            .filter(|present| present.room_id == portal.room_id)
        else {
            return Ok(());
        };
        tracing::info!(%rid, room = %portal.room_id, name = portal.name, ?reason, "a portal ends");
        let remembered = match (&reason, &portal.kind) {
            (_, PortalKind::Direct { .. }) => None,
            // Nobody's configuration or invitation brings it back.
            _ if portal.plumbed => None,
            (Reason::Unbridged { by }, _) => Some(by.clone()),
            // Whoever removed the room does not want it made anew at the next start.
            (Reason::RoomLost, _) => Some(self.config.appservice.bot.to_string()),
            _ => None,
        };
        let ending = Ending {
            portal,
            reason,
            begun: now_ms(),
            stage: Stage::Begun,
            told_matrix: false,
            told_rocketchat: false,
        };
        let mut change = self.store.change().ending(&ending);
        // What made it one must not make it one again.
        if let Some(proposal) = self.store.proposal(&ending.portal.room_id, rid)? {
            change = change.no_proposal(&proposal);
        }
        if let Some(by) = remembered {
            let at = ending.begun;
            change = change.unbridged(rid, &Unbridged { by, at });
        }
        change.commit()?;
        self.store.flushed().await?;
        self.go_on_ending(id.clone());
        Ok(())
    }

    /// Goes on with an end until it is through.
    fn go_on_ending(self: &Arc<Self>, id: PortalId) {
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(300));
            while let Err(failure) = bridge.end_now(&id).await {
                tracing::error!(portal = %id, %failure, "a portal could not be ended; it is tried again");
                tokio::time::sleep(backoff.next_pause(None)).await;
            }
        });
    }

    async fn end_now(self: &Arc<Self>, id: &PortalId) -> Result<(), Failure> {
        let Some(mut ending) = self.store.ending(id)? else {
            return Ok(());
        };
        if ending.stage == Stage::Begun {
            self.work_off(&ending).await?;
            ending.stage = Stage::Closed;
            let change = self.store.change().ending(&ending);
            change.no_portal(&ending.portal).commit()?;
            self.store.flushed().await?;
        }
        // What began while it was a portal.
        self.let_settle(&ending.portal).await;
        self.show_elsewhere(&ending).await?;
        self.stop_following(&ending.portal).await;
        self.take_everything_back(&mut ending).await?;
        tokio::task::block_in_place(|| self.store.forget_portal(&ending))?;
        self.forget_in_memory(&ending.portal);
        self.direct_rooms_changed();
        self.store.flushed().await?;
        tracing::info!(portal = %id, room = %ending.portal.room_id, "a portal has ended");
        Ok(())
    }

    /// Waits until what was there for the room at this moment is delivered, or its
    /// sender told why not.
    async fn work_off(self: &Arc<Self>, ending: &Ending) -> Result<(), Failure> {
        let portal = &ending.portal;
        if is_there_on_rocketchat(ending) {
            self.inbox_worked(&portal.room_id).await;
        }
        if is_there_on_matrix(ending) && is_there_on_rocketchat(ending) {
            // What has not come from the socket yet.
            self.as_far_as_it_can_be_read(&portal.id).await?;
        }
        Ok(())
    }

    /// Has the other rooms of the channel show what came from the room that ends: whose
    /// words they are they know by its records, which go next. Nothing more comes from it.
    async fn show_elsewhere(self: &Arc<Self>, ending: &Ending) -> Result<(), Failure> {
        for other in self.other_portals(&ending.portal)? {
            if is_there_on_rocketchat(ending) {
                self.as_far_as_it_can_be_read(&other.id).await?;
            } else {
                self.to_matrix.settled(&other.id).await;
            }
        }
        Ok(())
    }

    /// Waits until all that was there for a portal's Matrix room is worked. A room that
    /// cannot be read at all keeps nothing from ending.
    async fn as_far_as_it_can_be_read(self: &Arc<Self>, id: &PortalId) -> Result<(), Failure> {
        match self.read_back_and_work(id).await {
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(portal = %id, %failure, "a room could not be read back before a portal ends");
                self.to_matrix.settled(id).await;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Waits until the events that are in the inbox for a room now are worked.
    async fn inbox_worked(&self, room: &RoomId) {
        let waiting: Vec<u64> = self
            .store
            .inbox()
            .filter(|accepted| accepted.event.room_id == room)
            .map(|accepted| accepted.number)
            .collect();
        // One that cannot be read stays for another program, and nobody waits for it.
        while waiting
            .iter()
            .any(|number| matches!(self.store.inbox_event(*number), Ok(Some(_))))
        {
            self.to_rocket.next_finished(BETWEEN_LOOKS).await;
        }
    }

    async fn let_settle(&self, portal: &Portal) {
        self.to_rocket.settled(&portal.room_id).await;
        self.to_matrix.settled(&portal.id).await;
    }

    async fn stop_following(&self, portal: &Portal) {
        let is_last = matches!(self.store.is_mirrored(&portal.rid), Ok(false));
        if let Some(rocket) = self.rocket_if_there().filter(|_| is_last) {
            rocket.leave_deletions(&portal.rid).await;
        }
    }

    /// What is known of a room only while the bridge runs.
    fn forget_in_memory(&self, portal: &Portal) {
        self.rooms.forget(&portal.id);
        self.breaker.forget(&portal.id);
        self.direct_watch.forget(&portal.rid);
        self.person_left(&portal.room_id);
        self.rooms_read
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&portal.id);
    }

    /// Fails while the bridge's own portal of a room is being ended: another one is made
    /// afterwards.
    pub(super) fn must_not_be_ending(&self, rid: &RocketRoomId) -> Result<(), Failure> {
        match self.store.ending(&PortalId::own(rid))? {
            Some(_) => Err(Failure::NotYet("the end of the earlier portal")),
            None => Ok(()),
        }
    }

    /// Tells whoever wrote into a room that it is no portal any more, while the bridge
    /// is still there. Whether the room is one that is being ended.
    pub(super) async fn came_too_late(
        &self,
        event: &InboxEvent,
        json: &Value,
    ) -> Result<bool, Failure> {
        let Some(ending) = self.store.ending_of_room(&event.room_id)? else {
            return Ok(false);
        };
        if ending.stage == Stage::Begun && is_there_on_rocketchat(&ending) {
            return Ok(false);
        }
        if is_said(event, json) && is_there_on_matrix(&ending) {
            let speaker = self.reader(&ending.portal).await?;
            let told = self
                .say(
                    &speaker,
                    &event.room_id,
                    &event.event_id,
                    "too late",
                    words::TOO_LATE,
                )
                .await;
            match told {
                // The bridge has left: everybody has seen that.
                Err(Failure::Matrix(error)) if error.is_forbidden() || error.is_not_found() => {}
                outcome => outcome?,
            }
        }
        Ok(true)
    }
}

/// Whether an event is something that a person does and sees: not state, nor what
/// programs tell each other.
fn is_said(event: &InboxEvent, json: &Value) -> bool {
    let is_known = matches!(
        event.kind.as_str(),
        "m.room.message" | "m.room.redaction" | "m.room.encrypted"
    );
    json.get("state_key").is_none() && (is_known || is_for_people(&event.kind))
}

/// Whether the bridge may still do something in the Matrix room.
fn is_there_on_matrix(ending: &Ending) -> bool {
    ending.reason != Reason::RoomLost
}

/// Whether there is still a room on Rocket.Chat that is the bridge's business.
fn is_there_on_rocketchat(ending: &Ending) -> bool {
    matches!(
        ending.reason,
        Reason::Unbridged { .. } | Reason::RoomLost | Reason::PersonDeactivated
    )
}

/// Whether a portal is of a direct message.
fn is_direct(portal: &Portal) -> bool {
    !matches!(portal.kind, PortalKind::Channel | PortalKind::Group)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, room_id, user_id};
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_people_do_is_answered_and_what_programs_tell_is_not() {
        let event = |kind: &str| InboxEvent {
            event_id: event_id!("$one").to_owned(),
            room_id: room_id!("!r:example.org").to_owned(),
            sender: user_id!("@alice:example.org").to_owned(),
            kind: kind.into(),
            json: serde_json::value::to_raw_value(&json!({})).unwrap(),
        };
        for kind in [
            "m.room.message",
            "m.room.redaction",
            "m.room.encrypted",
            "m.sticker",
            "m.reaction",
            "m.poll.start",
            "org.matrix.msc3381.poll.response",
            "org.example.anything",
        ] {
            assert!(is_said(&event(kind), &json!({})), "{kind}");
            assert!(
                !is_said(&event(kind), &json!({ "state_key": "" })),
                "{kind}"
            );
        }
        for kind in ["m.key.verification.start", "m.call.member", "m.rtc.member"] {
            assert!(
                !is_said(&event(kind), &json!({ "state_key": "x" })),
                "{kind}"
            );
        }
        assert!(!is_said(&event("m.key.verification.start"), &json!({})));
    }
}
