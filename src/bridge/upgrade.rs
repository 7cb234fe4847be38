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

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;

use super::homeserver_watch::{Held, new_event};
use super::{Bridge, Failure, derived, remote_join};
use crate::matrix::{self, Intent};
use crate::rocketchat::documents::RoomType;
use crate::rocketchat::rest::OutgoingMessage;
use crate::store::{Accepted, InboxEvent, Portal, PortalKind};

const TOMBSTONE: &str = "m.room.tombstone";

/// How many pages of the new room are looked through for what was written before the
/// bridge came.
const PAGES_BEFORE_JOIN: usize = 10;

/// Whether the bridge is in the new room.
enum Way {
    In,
    /// It comes in later; the tombstone is worked again then.
    Later,
    /// What to tell people: it does not come in.
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
        if self.reader(&portal).await?.user_id() != invited {
            return Ok(false);
        }
        let number = self.store.number();
        self.store
            .change()
            .no_awaited_upgrade(room)
            .again(number, &tombstone)
            .commit()?;
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
        Ok(!is_of_ours && self.store.awaited_upgrade(&event.room_id)?.is_some())
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
        match self.way_into(&reader, portal, event, new).await? {
            Way::In => {}
            Way::Later => return Ok(None),
            Way::No(why) => {
                return self.not_followed(portal, event, &why).await.map(|()| None);
            }
        }
        if let Some(why) = unfit(&reader, old, new).await? {
            self.not_followed(portal, event, why).await?;
            leave(&reader, new, why).await?;
            self.store.change().no_awaited_upgrade(new).commit()?;
            return Ok(None);
        }
        let _one_at_a_time = self.making_portal.lock(&portal.rid).await;
        // Moved on by another way meanwhile.
        if self.store.portal(&portal.rid)?.as_ref() != Some(portal) {
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
            return Ok(Way::No(format!(
                "This room goes on in {new}, and I am not let in there. Please invite {} into \
                 it; until then nothing moves.",
                reader.user_id()
            )));
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

    /// Says why a tombstone is not followed. Nothing else changes.
    async fn not_followed(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        why: &str,
    ) -> Result<(), Failure> {
        tracing::warn!(rid = %portal.rid, room = %event.room_id, sender = %event.sender, why, "a tombstone is not followed");
        let reader = self.reader(portal).await?;
        let text = format!("{why} This room stays the one that is mirrored.");
        match self
            .say(&reader, &event.room_id, &event.event_id, "tombstone", &text)
            .await
        {
            // Closed rooms are often quiet ones.
            Err(failure) if failure.is_permanent() => Ok(()),
            outcome => outcome,
        }
    }

    /// All that belongs to a portal and follows it. May be done again.
    async fn settle_in(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
    ) -> Result<(), Failure> {
        let reader = self.reader(portal).await?;
        let rocket = self.rocket().await;
        // What is shown in the room, and where it is found.
        self.store.amend_room_state(&portal.rid, |state| {
            state.bridge_info.clear();
            state.published = false;
        })?;
        if portal.kind == PortalKind::Channel
            && let Some(room) = rocket.bot.room_info(&portal.rid).await?
            && room.t == RoomType::Channel
        {
            self.bring_alias(portal, &room).await?;
        }
        self.compare_room(&portal.rid);
        self.compare_room_picture(&portal.rid);
        self.take_up_before_join(&reader, portal).await?;
        if !matches!(portal.kind, PortalKind::Direct { .. }) {
            let text = "_The room of this channel on Matrix was upgraded: it goes on in a new \
                        one there. People of Matrix are back here when they have entered it._";
            let id = derived::telling_id_of_event(&event.event_id, "upgraded");
            let message = OutgoingMessage {
                id: &id,
                rid: &portal.rid,
                msg: text,
                tmid: None,
                alias: None,
                avatar: None,
                emoji: None,
            };
            match rocket.bot.send_message(&message).await {
                Err(error) if !Failure::from(error.clone()).is_permanent() => {
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::info!(rid = %portal.rid, %error, "an upgrade could not be told of");
                }
                Ok(_) => {}
            }
        }
        tokio::spawn(Arc::clone(self).move_ghosts(portal.clone(), event.room_id.clone()));
        Ok(())
    }

    /// The channel's alias leads into the new room. Homeservers see to that when a room
    /// is upgraded by their own endpoint.
    async fn bring_alias(
        &self,
        portal: &Portal,
        room: &crate::rocketchat::documents::Room,
    ) -> Result<(), Failure> {
        let Some(alias) = self.alias_of(room) else {
            return Ok(());
        };
        let bot = self.matrix.bot();
        match bot.resolve_alias(&alias).await? {
            Some(leads_to) if leads_to == portal.room_id => return Ok(()),
            Some(_) => match bot.delete_alias(&alias).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            },
            None => {}
        }
        match bot.create_alias(&alias, &portal.room_id).await {
            Err(error) if error.is_alias_in_use() => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// What people wrote in the new room before the bridge came: the homeserver does not
    /// send it.
    async fn take_up_before_join(
        self: &Arc<Self>,
        reader: &Intent,
        portal: &Portal,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        let mut from = None;
        let mut earlier = Vec::new();
        for _ in 0..PAGES_BEFORE_JOIN {
            let page = reader
                .messages_backwards(room, from.as_deref(), 100)
                .await?;
            earlier.extend(
                page.events
                    .into_iter()
                    .filter(|event| event.kind == "m.room.message")
                    .filter(|event| !self.config.is_ours(&event.sender)),
            );
            from = page.end;
            if from.is_none() {
                break;
            }
        }
        let earlier = earlier
            .into_iter()
            .rev()
            .filter_map(|event| new_event(room, event))
            .collect();
        let accepted = self.store.accept(earlier)?;
        let accepted = accepted.iter().map(Held::from).collect();
        self.enqueue_first(room, accepted);
        Ok(())
    }

    /// Somebody with more rights than most writes in a room that its portal has left.
    pub(super) async fn on_word_in_earlier_room(&self, event: &InboxEvent) -> Result<(), Failure> {
        let Some(portal) = self.store.portal_of_earlier_room(&event.room_id)? else {
            return Ok(());
        };
        let text = format!(
            "This room goes on in {}; what is written here does not reach Rocket.Chat.",
            portal.room_id
        );
        let reader = self.reader(&portal).await?;
        match self
            .say(&reader, &event.room_id, &event.event_id, "earlier", &text)
            .await
        {
            Err(failure) if failure.is_permanent() => Ok(()),
            outcome => outcome,
        }
    }

    /// The portal of a room, also of one that it has left: then as if it were there.
    pub(super) fn portal_of_room_or_earlier(
        &self,
        room: &RoomId,
    ) -> Result<Option<Portal>, Failure> {
        if let Some(portal) = self.store.portal_of_room(room)? {
            return Ok(Some(portal));
        }
        let now = self.store.portal_of_earlier_room(room)?;
        Ok(now.map(|now| Portal {
            room_id: room.to_owned(),
            ..now
        }))
    }

    /// Goes on with moves that were interrupted.
    pub(super) fn resume_moves(self: &Arc<Self>) {
        for (old, rid) in self.store.unfinished_moves() {
            match self.store.portal(&rid) {
                Ok(Some(portal)) => {
                    tokio::spawn(Arc::clone(self).move_ghosts(portal, old));
                }
                // It has ended meanwhile.
                Ok(None) => {
                    if let Err(error) = self.store.change().finished_move(&old).commit() {
                        tracing::error!(%old, %error, "the end of a move could not be noted");
                    }
                }
                Err(error) => tracing::error!(%old, %error, "a move cannot go on"),
            }
        }
    }

    /// Ghosts enter the new room and leave the old one, one after the other.
    async fn move_ghosts(self: Arc<Self>, portal: Portal, old: OwnedRoomId) {
        let ghosts = match self.persevere(|_| self.ghosts_to_move(&portal, &old)).await {
            Ok(ghosts) => ghosts,
            Err(failure) => {
                tracing::error!(%old, %failure, "ghosts of an earlier room stay there");
                return;
            }
        };
        for user in ghosts {
            let moved = self.persevere(async |_| {
                if let Some(ghost) = self.store.ghost_by_localpart(user.localpart())?
                    && ghost.user_id == user
                {
                    self.bring_ghost_in(&portal, &ghost).await?;
                }
                let ghost = self.matrix.as_user(user.clone());
                leave(&ghost, &old, "This room goes on in another.").await?;
                Ok(self
                    .store
                    .change()
                    .ghost_not_in_room(&old, &user)
                    .commit()?)
            });
            if let Err(failure) = moved.await {
                tracing::warn!(%user, %old, new = %portal.room_id, %failure, "a ghost could not move");
            }
        }
        if let Err(error) = self.store.change().finished_move(&old).commit() {
            tracing::error!(%old, %error, "the end of a move could not be noted");
        }
    }

    /// The ghosts in a room, as the homeserver knows them: a crash may have taken some
    /// notes. The one that looks is the last, for it must be inside for that.
    async fn ghosts_to_move(
        &self,
        portal: &Portal,
        old: &RoomId,
    ) -> Result<Vec<OwnedUserId>, Failure> {
        let reader = self.reader(portal).await?;
        let mut ghosts = match reader.joined_members(old).await {
            Ok(members) => members.into_keys().collect(),
            Err(error) if error.is_forbidden() => self.store.ghosts_in_room(old)?,
            Err(error) => return Err(error.into()),
        };
        ghosts.retain(|member| self.config.is_ghost(member));
        ghosts.sort_by_key(|member| member == reader.user_id());
        Ok(ghosts)
    }
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

async fn leave(intent: &Intent, room: &RoomId, why: &str) -> Result<(), Failure> {
    match intent.leave(room, Some(why)).await {
        Err(error) if error.is_forbidden() || error.is_not_found() => Ok(()),
        outcome => Ok(outcome?),
    }
}
