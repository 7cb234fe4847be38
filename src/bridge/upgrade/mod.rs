//! Rooms of Matrix that are upgraded: the portal follows its tombstone into the new room.
//!
//! A tombstone is believed when whoever set it had the right to, and the new room says
//! itself that it follows the old one (specification 1.17, Client-Server API, "Room
//! Upgrades"). Then the portal moves in one step; what belongs to it follows, and may be
//! done again after an interruption. The bot stays in the old room of a channel, where
//! messages of before may still be taken away; ghosts leave it.
//!
//! Relations do not reach across rooms: a reply to a message of before comes as words
//! with what it quotes, a thread goes on with its next message as the first, an edit is
//! told in the new room. Deletions reach the old room.
//!
//! Nobody's rights change by an upgrade, and nobody is removed. Whoever upgrades a room
//! closes the old one (Synapse raises `events_default` and `invite` there to 50) and has
//! made the new one: neither is a wish for the room on Rocket.Chat. So nothing that is done
//! in a room with a tombstone is carried over or put back, what the new room is like at
//! the move is nobody's doing, and who was in the old room and has not come yet stays a
//! member on Rocket.Chat.
//!
//! Tombstones of the bridge's own accounts are nobody's: they do not reach this module.

mod settle;

use std::sync::Arc;

use ruma::events::room::member::MembershipState;
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::{Value, json};

use super::{Bridge, Failure, remote_join};
use crate::matrix::{self, Intent};
use crate::retry::{Advice, Retryable as _};
use crate::store::{Accepted, InboxEvent, Portal, PortalKind};
use settle::leave;

const TOMBSTONE: &str = "m.room.tombstone";

/// How many upgrades are looked back through for somebody's membership.
const MOST_UPGRADES: usize = 10;

/// Whether the bridge is in the new room.
enum Way {
    In,
    /// It comes in later; the tombstone is worked again then.
    Later,
    /// What to tell people: it does not come in before somebody invites it.
    Waits(String),
    /// What to tell people: there is nowhere to go.
    No(String),
}

impl Bridge {
    /// A room was closed; where it goes on stands in the event.
    pub(super) async fn on_tombstone(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<(), Failure> {
        if json.get("state_key").and_then(Value::as_str) != Some("") {
            return Ok(());
        }
        let old = &event.room_id;
        let new = content.get("replacement_room").and_then(Value::as_str);
        let new = new.and_then(|room| RoomId::parse(room).ok());
        let portal = match self.store.portal_of_room(old)? {
            Some(portal) => {
                let Some(new) = new else {
                    let why = "This room was closed and names no other that goes on.";
                    return self.not_followed(&portal, event, why).await;
                };
                match self.follow_tombstone(&portal, event, &new).await? {
                    Some(moved) => moved,
                    None => return Ok(()),
                }
            }
            // Interrupted after the move.
            None => match self.store.portal_of_earlier_room(old)? {
                Some(portal) if Some(&portal.room_id) == new.as_ref() => portal,
                _ => return Ok(()),
            },
        };
        self.settle_in(&portal, event).await
    }

    /// Somebody invites the bot or a ghost into a room that a portal waits to move to:
    /// whether that is so. The tombstone is worked again.
    pub(super) async fn upgrade_goes_on(
        self: &Arc<Self>,
        invitation: &InboxEvent,
        invited: &UserId,
    ) -> Result<bool, Failure> {
        let room = &invitation.room_id;
        let Some(tombstone) = self.store.awaited_upgrade(room)? else {
            return Ok(false);
        };
        let Some(portal) = self.store.portal_of_room(&tombstone.room_id)? else {
            return Ok(false);
        };
        let reader = self.reader(&portal).await?;
        if reader.user_id() != invited {
            return Ok(false);
        }
        if portal.kind.is_direct() {
            match reader.join(room, None).await {
                Ok(()) => {}
                // Withdrawn, or in a room elsewhere: as any other invitation.
                Err(error) if matches!(error.advice(), Advice::GiveUp) => return Ok(false),
                Err(error)
                    if matches!(error.kind(), matrix::Kind::Server { .. })
                        && self.is_there(super::failure::Side::Matrix).await =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let number = self.store.number();
        let mut change = self.store.change().again(number, &tombstone);
        // By the note it is known there why the ghost is in that room.
        if !portal.kind.is_direct() {
            change = change.no_awaited_upgrade(room);
        }
        change.commit()?;
        self.take_in(&[Accepted {
            number,
            event: tombstone,
        }]);
        Ok(true)
    }

    /// Whether an event happened in a room that its portal is just moving into: the
    /// bridge is in it, and it is no portal yet.
    pub(super) fn happened_too_soon(
        &self,
        event: &InboxEvent,
        json: &Value,
    ) -> Result<bool, Failure> {
        let member = json.get("state_key").and_then(Value::as_str);
        let is_of_ours = event.kind == "m.room.member"
            && member
                .and_then(|member| UserId::parse(member).ok())
                .is_some_and(|member| self.config.is_ours(&member));
        let room = &event.room_id;
        let Some(tombstone) = self.store.awaited_upgrade(room)? else {
            return Ok(false);
        };
        // Anybody can name any room as the one that follows theirs.
        if self.store.portal_of_room(&tombstone.room_id)?.is_none()
            || self.store.portal_of_room(room)?.is_some()
            || self.store.is_bot_room(room)?
        {
            self.store.change().no_awaited_upgrade(room).commit()?;
            return Ok(false);
        }
        Ok(!is_of_ours)
    }

    /// Moves the portal if that is right, and gives it as it is then.
    async fn follow_tombstone(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        new: &OwnedRoomId,
    ) -> Result<Option<Portal>, Failure> {
        let reader = self.reader(portal).await?;
        let old = &portal.room_id;
        let now = reader.state(old, TOMBSTONE, "").await?;
        let says = now.as_ref().and_then(|now| now.get("replacement_room"));
        if says.and_then(Value::as_str) != Some(new.as_str()) {
            // Taken back, or another has come since.
            return Ok(None);
        }
        let levels = self.power_levels(portal).await?;
        if !levels.may_set_state(&event.sender, TOMBSTONE) {
            let why = "Whoever closed this room has not the right to.";
            return self.not_followed(portal, event, why).await.map(|()| None);
        }
        if new == old || self.store.portal_of_room(new)?.is_some() {
            let why = "The room that is to follow this one is mirrored already.";
            return self.not_followed(portal, event, why).await.map(|()| None);
        }
        // Entered because of this tombstone, or for another reason.
        let is_noted = self.store.awaited_upgrade(new)?;
        let is_noted = is_noted.is_some_and(|noted| noted.event_id == event.event_id);
        let was_in = !is_noted && reader.joined_rooms().await?.contains(new);
        let way = match was_in {
            true => Way::In,
            false => self.way_into(&reader, portal, event, new).await?,
        };
        match way {
            Way::In => {}
            Way::Later => return Ok(None),
            Way::Waits(why) => {
                self.say_not_followed(portal, event, "waits", &why).await?;
                return Ok(None);
            }
            Way::No(why) => {
                return self.not_followed(portal, event, &why).await.map(|()| None);
            }
        }
        let unfit = match unfit(&reader, old, new).await? {
            None if portal.kind.is_direct() => self.unfit_for_direct(&reader, portal, new).await?,
            None if portal.plumbed => None,
            None => self.keep_closed(&reader, portal, new).await?,
            unfit => unfit,
        };
        let unfit = match unfit {
            None if portal.plumbed => self.unfit_to_follow(portal, new).await?,
            unfit => unfit.map(str::to_owned),
        };
        if let Some(why) = &unfit {
            self.not_followed(portal, event, why).await?;
            // What it is in for another reason, it stays in: a space, a room for commands.
            if !was_in {
                leave(&reader, new, why).await?;
            }
            self.store.change().no_awaited_upgrade(new).commit()?;
            return Ok(None);
        }
        let _one_at_a_time = self.making_portal.lock(&portal.rid).await;
        let _one_of_this_room = self.take_room(new).await;
        // Moved on by another way meanwhile, or the new room is joined with another one.
        if self.store.portal(&portal.id)?.as_ref() != Some(portal)
            || self.store.portal_of_room(new)?.is_some()
        {
            self.store.change().no_awaited_upgrade(new).commit()?;
            return Ok(None);
        }
        let moved = Portal {
            room_id: new.clone(),
            ..portal.clone()
        };
        let mut change = self
            .store
            .change()
            .moved_portal(portal, &moved)
            .no_awaited_upgrade(new)
            .bot_room(new, false);
        if matches!(portal.kind, PortalKind::Direct { .. }) {
            change = change.ghost_in_room(new, reader.user_id());
        }
        change.commit()?;
        self.store.flushed().await?;
        self.person_left(old);
        self.direct_rooms_changed();
        tracing::info!(rid = %portal.rid, %old, %new, "a portal has moved into the room that follows its own");
        Ok(Some(moved))
    }

    /// Brings the bot (a ghost, in a direct message) into the new room.
    async fn way_into(
        self: &Arc<Self>,
        reader: &Intent,
        portal: &Portal,
        event: &InboxEvent,
        new: &OwnedRoomId,
    ) -> Result<Way, Failure> {
        let ours = &self.config.homeserver.server_name;
        let mut via = vec![event.sender.server_name().to_owned()];
        remote_join::add(&mut via, remote_join::server_in(new));
        // Nobody's ghost is led into a room by words alone.
        if portal.kind.is_direct() && !reader.joined_rooms().await?.contains(new) {
            self.store.change().awaited_upgrade(new, event).commit()?;
            return Ok(Way::Waits(not_let_in(new, reader)));
        }
        let members = reader.joined_members(&portal.room_id).await?;
        remote_join::add(
            &mut via,
            members.keys().map(|member| member.server_name().to_owned()),
        );
        via.retain(|server| server != ours);
        // From the moment it is in, what is said there waits until the portal has moved.
        self.store.change().awaited_upgrade(new, event).commit()?;
        let error = match reader.join_by_alias_or_id((&**new).into(), &via).await {
            Ok(_) => return Ok(Way::In),
            Err(error) => error,
        };
        if error.is_forbidden() {
            return Ok(Way::Waits(not_let_in(new, reader)));
        }
        let is_elsewhere = error.is_not_found()
            || matches!(error.kind(), matrix::Kind::Server { .. })
                && self.is_there(super::failure::Side::Matrix).await;
        match is_elsewhere && !via.is_empty() {
            true => {
                self.enter_by_tombstone(reader.user_id(), event, new, via)?;
                Ok(Way::Later)
            }
            false if error.is_not_found() => {
                self.store.change().no_awaited_upgrade(new).commit()?;
                Ok(Way::No(format!(
                    "This room is said to go on in {new}, but there is no such room."
                )))
            }
            false => Err(error.into()),
        }
    }

    /// What is wrong with a room that is to follow that of a direct message: others read
    /// there, or could.
    async fn unfit_for_direct(
        &self,
        reader: &Intent,
        portal: &Portal,
        new: &OwnedRoomId,
    ) -> Result<Option<&'static str>, Failure> {
        let rule = reader.state(new, "m.room.join_rules", "").await?;
        let rule = rule
            .as_ref()
            .and_then(|rule| rule.get("join_rule")?.as_str());
        let history = reader.state(new, "m.room.history_visibility", "").await?;
        let history = history.as_ref();
        let history = history.and_then(|shown| shown.get("history_visibility")?.as_str());
        if !matches!(rule, None | Some("invite" | "knock" | "private"))
            || history == Some("world_readable")
        {
            return Ok(Some(
                "The room that is to follow this direct message is open to others.",
            ));
        }
        for (member, membership) in reader.members(new).await? {
            if !matches!(membership, MembershipState::Join | MembershipState::Invite) {
                continue;
            }
            let is_of_it = if self.config.is_ghost(&member) {
                let ghost = self.store.ghost_by_localpart(member.localpart())?;
                ghost.is_some_and(|ghost| {
                    portal
                        .kind
                        .direct_peers()
                        .any(|peer| *peer == ghost.rocket_id)
                })
            } else {
                portal.kind.direct_users().any(|user| *user == member)
            };
            if !is_of_it {
                return Ok(Some(
                    "In the room that is to follow this direct message are others.",
                ));
            }
        }
        Ok(None)
    }

    /// Sees to it that nobody reads a private group who is not in it, before it goes on in
    /// a new room; why it cannot go on there, when that cannot be seen to.
    async fn keep_closed(
        &self,
        reader: &Intent,
        portal: &Portal,
        new: &OwnedRoomId,
    ) -> Result<Option<&'static str>, Failure> {
        if !self.is_private(portal)? {
            return Ok(None);
        }
        for (kind, key, closed) in [
            ("m.room.join_rules", "join_rule", "invite"),
            ("m.room.history_visibility", "history_visibility", "shared"),
        ] {
            let now = reader.state(new, kind, "").await?;
            let now = now.as_ref().and_then(|now| now.get(key)?.as_str());
            let is_open = match kind {
                "m.room.join_rules" => !matches!(now, None | Some("invite" | "knock" | "private")),
                _ => now == Some("world_readable"),
            };
            if !is_open {
                continue;
            }
            let content = json!({ key: closed });
            match reader.send_state(new, kind, "", &content, None).await {
                Err(error) if error.is_forbidden() => {
                    return Ok(Some(
                        "This is a private group on Rocket.Chat, the room that is to follow it is \
                         open to others, and the bridge lacks the power to close it.",
                    ));
                }
                outcome => outcome?,
            };
        }
        Ok(None)
    }

    /// Whether somebody has closed a portal's room and named another in which it goes on.
    /// Until the portal is there, or the tombstone is taken back, what is done in the room
    /// is part of that and nobody's wish for Rocket.Chat.
    ///
    /// That somebody closed the room for writing is part of it (`is_lock`) also when the
    /// tombstone was looked into and is not followed.
    pub(super) async fn is_being_replaced(
        &self,
        portal: &Portal,
        is_lock: bool,
    ) -> Result<bool, Failure> {
        let refused = self.store.room_state(&portal.id)?.refused_tombstone;
        let reader = self.reader(portal).await?;
        let tombstone = reader.state_event(&portal.room_id, TOMBSTONE, "").await?;
        Ok(tombstone.is_some_and(|tombstone| {
            let new = tombstone.content.get("replacement_room");
            let new = new.and_then(Value::as_str);
            !self.config.is_ours(&tombstone.sender)
                && (is_lock || refused.as_ref() != Some(&tombstone.event_id))
                && new.is_some_and(|new| RoomId::parse(new).is_ok() && new != portal.room_id)
        }))
    }

    /// The rooms that a portal was in before, the latest first, as far as the rooms
    /// themselves and the bridge's own record say so.
    pub(super) async fn earlier_rooms(&self, portal: &Portal) -> Result<Vec<OwnedRoomId>, Failure> {
        let reader = self.reader(portal).await?;
        let mut rooms: Vec<OwnedRoomId> = Vec::new();
        let mut room = portal.room_id.clone();
        while rooms.len() < MOST_UPGRADES {
            let create = match reader.state(&room, "m.room.create", "").await {
                // The bridge is not in it any more.
                Err(error) if error.is_forbidden() => break,
                outcome => outcome?,
            };
            let create = create.unwrap_or_default();
            let before = create.pointer("/predecessor/room_id");
            let Some(Ok(before)) = before.and_then(Value::as_str).map(RoomId::parse) else {
                break;
            };
            let was = self.store.portal_of_earlier_room(&before)?;
            if was.is_none_or(|was| was.id != portal.id) || rooms.contains(&before) {
                break;
            }
            rooms.push(before.clone());
            room = before;
        }
        Ok(rooms)
    }

    /// Notes that a tombstone is not followed, and says why. Nothing else changes.
    async fn not_followed(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        why: &str,
    ) -> Result<(), Failure> {
        self.store.amend_room_state(&portal.id, |state| {
            state.refused_tombstone = Some(event.event_id.clone());
        })?;
        self.compare_room(&portal.id);
        self.say_not_followed(portal, event, "refused", why).await
    }

    /// `outcome` tells what is said of one tombstone from each other: it may first wait.
    async fn say_not_followed(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        outcome: &str,
        why: &str,
    ) -> Result<(), Failure> {
        tracing::warn!(rid = %portal.rid, room = %event.room_id, sender = %event.sender, why, "a tombstone is not followed");
        let reader = self.reader(portal).await?;
        let purpose = format!("tombstone {outcome}");
        let text = format!(
            "{why} This room stays the one that is mirrored; who may write in it does not \
             change on Rocket.Chat while it counts as closed."
        );
        match self
            .say(&reader, &event.room_id, &event.event_id, &purpose, &text)
            .await
        {
            // Closed rooms are often quiet ones.
            Err(failure) if failure.is_permanent() => Ok(()),
            outcome => outcome,
        }
    }
}

fn not_let_in(new: &RoomId, reader: &Intent) -> String {
    format!(
        "This room goes on in {new}, and I am not let in there. Please invite {} into it; until \
         then nothing moves, and changes of the room and of people's rights wait.",
        reader.user_id()
    )
}

/// What is wrong with a room that is to follow another, seen from inside.
async fn unfit(
    reader: &Intent,
    old: &RoomId,
    new: &RoomId,
) -> Result<Option<&'static str>, Failure> {
    let create = reader.state(new, "m.room.create", "").await?;
    let predecessor = create
        .as_ref()
        .and_then(|create| create.pointer("/predecessor/room_id"));
    if predecessor.and_then(Value::as_str) != Some(old.as_str()) {
        return Ok(Some(
            "The room that is to follow this one does not say that it does.",
        ));
    }
    if reader.state(new, "m.room.encryption", "").await?.is_some() {
        return Ok(Some(
            "The room that follows this one is encrypted, and the bridge cannot read encrypted messages.",
        ));
    }
    Ok(None)
}
