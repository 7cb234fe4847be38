//! A look at a room: both sides compared with what was agreed last.

use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use super::Hint;
use super::aspects::{ARCHIVED, Aspect, OPEN, PRIVATE, PUBLIC, REACTING, writing_of};
use super::opening::MAY_INVITE;
use crate::bridge::power::PowerLevels;
use crate::bridge::{Bridge, Failure};
use crate::matrix::Intent;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Room, RoomType};
use crate::store::{Ghost, Portal, PortalId, PortalKind, RoomState, StateWish};

/// A room of Rocket.Chat as it is now.
pub(super) struct RoomNow {
    pub room: Room,
    /// The bridge's account may read it.
    pub is_readable: bool,
    /// What is not there is empty, and not only left out.
    pub is_whole: bool,
    /// A channel of a private team, or one that asks for a code: for its members only.
    pub is_closed: bool,
}

/// A state on Matrix as it is now, or as somebody wishes it to be.
pub(super) struct Seen {
    value: String,
    /// Who set it; none who is one of the bridge's own.
    by: Option<OwnedUserId>,
    /// By which event they did.
    event: Option<OwnedEventId>,
    /// When (ms).
    at: i64,
    /// The event that stands in the room.
    standing: Option<OwnedEventId>,
    /// It was put back already, until Rocket.Chat lets them.
    is_put_back: bool,
    /// Who wished for that when it was looked at, if anybody.
    opening: Option<StateWish>,
}

impl Seen {
    /// Takes for what was seen what somebody wishes who opened a private room, which was
    /// closed until Rocket.Chat lets them. Whoever set it after that has it; but the event
    /// that was `settled` before may stand there again, when a homeserver has to choose
    /// between two that were sent at once (room versions 2 and up put those of people with
    /// less power last).
    fn wish_to_open(&mut self, settled: Option<&OwnedEventId>) {
        let is_nobodys = self.by.is_none() || self.event.as_ref() == settled;
        if let (true, PRIVATE, Some(wish)) = (is_nobodys, self.value.as_str(), &self.opening) {
            self.value = PUBLIC.to_owned();
            self.by = Some(wish.sender.clone());
            self.event = Some(wish.event.clone());
            self.at = wish.at;
            self.is_put_back = true;
        }
    }
}

impl Bridge {
    /// A room as it is now on Rocket.Chat; none when there is no such.
    pub(super) async fn room_now(&self, rid: &RocketRoomId) -> Result<Option<RoomNow>, Failure> {
        let bot = &self.rocket().await.bot;
        let is_readable = match bot.room_info(rid).await {
            Ok(room) => {
                let Some(room) = room else { return Ok(None) };
                let is_closed = self.is_for_members_only(&room).await?;
                return Ok(Some(RoomNow {
                    room,
                    is_readable: true,
                    is_whole: true,
                    is_closed,
                }));
            }
            Err(error) if error.code() == Some("error-room-archived") => true,
            Err(error) if error.is_denied() => false,
            Err(error) => return Err(error.into()),
        };
        let Some(room) = bot.room_as_admin(rid).await? else {
            return Ok(None);
        };
        let is_closed = self.is_for_members_only(&room).await?;
        Ok(Some(RoomNow {
            room,
            is_readable,
            is_whole: false,
            is_closed,
        }))
    }

    /// Makes both sides of a room the same. With `refusal` nothing is carried to
    /// Rocket.Chat; whoever wished for it is told that.
    pub(super) async fn agree_on_room(
        &self,
        id: &PortalId,
        refusal: Option<&str>,
    ) -> Result<(), Failure> {
        let Some(portal) = self.store.portal(id)? else {
            return Ok(());
        };
        let changes = self.store.room_state(id)?.changes;
        if matches!(portal.kind, PortalKind::Direct { .. }) {
            return self.show_bridge_info(&portal, None).await;
        }
        if portal.plumbed {
            return self.look_at_plumbed(portal, changes).await;
        }
        // Before anything that needs Rocket.Chat, which may be away.
        self.close_first(&portal).await?;
        let Some(mut now) = self.room_now(&portal.rid).await? else {
            return Ok(());
        };
        if now.room.federated || !matches!(now.room.t, RoomType::Channel | RoomType::Group) {
            return Ok(());
        }
        let mut first_failure = None;
        for aspect in Aspect::AGREED {
            if self.store.portal(id)?.is_none() {
                return Ok(());
            }
            match self.agree_on(&portal, aspect, &mut now, refusal).await {
                Ok(()) => {}
                // The others do not wait for it.
                Err(failure) if failure.is_permanent() => {
                    first_failure.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        let portal = self.with_present_kind(portal, &now.room)?;
        self.keep_history_closed(&portal).await?;
        self.keep_invites_closed(&portal).await?;
        self.let_unmuted_write(&portal, &now.room).await?;
        self.say_texts(&portal, &now).await?;
        self.tell_unreadable(&portal, &now).await?;
        // It may have ended meanwhile: what was taken back must not come again.
        if self.store.portal(id)?.is_none() {
            return Ok(());
        }
        self.keep_places(&portal, &now).await?;
        self.keep_in_team(&portal, &now.room).await?;
        self.show_bridge_info(&portal, Some(&now.room)).await?;
        self.store.amend_room_state(id, |state| {
            if state.changes == changes {
                state.changes = 0;
            }
        })?;
        first_failure.map_or(Ok(()), Err)
    }

    /// Notes whether a portal is a channel or a group now, and its name.
    pub(super) fn with_present_kind(&self, portal: Portal, room: &Room) -> Result<Portal, Failure> {
        let kind = match room.t {
            RoomType::Channel => PortalKind::Channel,
            _ => PortalKind::Group,
        };
        let name = Aspect::Name.on_rocketchat(room);
        if portal.kind == kind && portal.name == name {
            return Ok(portal);
        }
        // It may have ended meanwhile.
        let Some(portal) = self.store.portal(&portal.id)? else {
            return Ok(portal);
        };
        let portal = Portal {
            kind,
            name,
            ..portal
        };
        self.store.change().portal(&portal).commit()?;
        Ok(portal)
    }

    async fn agree_on(
        &self,
        portal: &Portal,
        aspect: Aspect,
        now: &mut RoomNow,
        refusal: Option<&str>,
    ) -> Result<(), Failure> {
        let known = self.store.room_state(&portal.id)?;
        let agreed = known.agreed.get(aspect.key()).cloned();
        let there = self.on_rocketchat(aspect, now, &known);
        let mut seen = self.seen_on_matrix(portal, aspect, &known).await?;
        if aspect == Aspect::Access && there == PRIVATE {
            seen.wish_to_open(known.settled.get(aspect.key()));
        }
        if self
            .is_spelled_so(portal, aspect, &seen.value, &there)
            .await?
        {
            return self.agreed(&portal.id, aspect, &there, seen.event.clone(), &seen);
        }
        if seen.value == there {
            return self.agreed(&portal.id, aspect, &there, seen.event.clone(), &seen);
        }
        // After it was read: whoever upgrades a room closes it before they change it.
        // Who may enter is no part of that, and must never stay open.
        if aspect != Aspect::Access
            && agreed.as_ref() == Some(&there)
            && self
                .is_being_replaced(portal, aspect == Aspect::Writing)
                .await?
        {
            return Ok(());
        }
        let hint = self.room_states.hint(&portal.id, aspect);
        let is_news =
            seen.event.is_none() || known.settled.get(aspect.key()) != seen.event.as_ref();
        if let (Some(sender), Some(event), Some(agreed)) = (&seen.by, &seen.event, agreed)
            && is_news
            && seen.value != agreed
            // Who was last has it.
            && (there == agreed || hint.as_ref().is_none_or(|hint| hint.at <= seen.at))
        {
            let granted = match refusal {
                Some(why) => Err(Failure::Refused(why.to_owned())),
                None if aspect == Aspect::Access && now.is_closed => {
                    let why = match now.room.join_code_required {
                        true => {
                            "Whoever enters the channel on Rocket.Chat has to know its code: here, somebody who is in it invites them."
                        }
                        false => "The channel belongs to a private team on Rocket.Chat.",
                    };
                    Err(Failure::Refused(why.into()))
                }
                None if now.room.archived => Err(Failure::Refused(
                    "The room is archived on Rocket.Chat.".into(),
                )),
                None => {
                    let done = self
                        .do_on_rocketchat(portal, aspect, sender, &seen.value)
                        .await;
                    match done {
                        Err(Failure::RocketChat(error))
                            if aspect == Aspect::Name
                                && error.code() == Some("error-invalid-room-name") =>
                        {
                            self.rename_nearly(portal, sender, event, &seen.value, error)
                                .await
                        }
                        done => done,
                    }
                }
            };
            match granted {
                Ok(()) => {
                    tracing::info!(rid = %portal.rid, ?aspect, "it is on Rocket.Chat as on Matrix");
                    if !seen.is_put_back {
                        self.agreed(&portal.id, aspect, &seen.value, Some(event.clone()), &seen)?;
                    }
                    let Some(after) = self.room_now(&portal.rid).await? else {
                        return Ok(());
                    };
                    *now = after;
                    // Rocket.Chat may have made something else of it.
                    let there = self.on_rocketchat(aspect, now, &known);
                    if self
                        .is_spelled_so(portal, aspect, &seen.value, &there)
                        .await?
                    {
                        let event = Some(event.clone());
                        return self.agreed(&portal.id, aspect, &there, event, &seen);
                    }
                    if there == seen.value && !seen.is_put_back {
                        return Ok(());
                    }
                    return self.show(portal, aspect, &there, None, &seen).await;
                }
                Err(failure) if failure.is_permanent() => {
                    tracing::info!(rid = %portal.rid, ?aspect, %failure, "a change on Matrix is refused");
                    let text = format!(
                        "{} did not reach Rocket.Chat, and it is as it was again. {}",
                        aspect.for_people(),
                        failure.person_text()
                    );
                    let bot = self.matrix.bot();
                    self.say(&bot, &portal.room_id, event, aspect.key(), &text)
                        .await?;
                    return self.show(portal, aspect, &there, None, &seen).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        self.show(portal, aspect, &there, hint, &seen).await
    }

    /// What something is on Rocket.Chat; what was left out is as it was.
    fn on_rocketchat(&self, aspect: Aspect, now: &RoomNow, known: &RoomState) -> String {
        if aspect == Aspect::Access && now.is_closed {
            return PRIVATE.to_owned();
        }
        let mut room = now.room.clone();
        if !now.is_whole && room.description.is_none() {
            room.description = known.description.clone();
        }
        aspect.on_rocketchat(&room)
    }

    async fn seen_on_matrix(
        &self,
        portal: &Portal,
        aspect: Aspect,
        known: &RoomState,
    ) -> Result<Seen, Failure> {
        let bot = self.matrix.bot();
        let event = bot.state_event(&portal.room_id, aspect.state(), "").await?;
        // Of this event: another may take its place at any time, and is another's.
        let content = event.as_ref().map(|event| event.content.clone());
        let content = content.unwrap_or_default();
        let value = match aspect {
            Aspect::Writing => {
                let agreed = known.agreed.get(aspect.key()).map(String::as_str);
                writing_of(&PowerLevels::of(content), agreed)
            }
            _ => aspect.in_state(&content),
        };
        let mut seen = Seen {
            value,
            by: None,
            event: None,
            at: 0,
            standing: event.as_ref().map(|event| event.event_id.clone()),
            is_put_back: false,
            opening: known.opening.clone(),
        };
        if let Some(event) = event {
            let is_ours = self.config.is_ours(&event.sender);
            seen.by = (!is_ours).then_some(event.sender);
            seen.event = Some(event.event_id);
            seen.at = i64::try_from(event.origin_server_ts).unwrap_or(i64::MAX);
        }
        if let (Aspect::Writing, None, Some(wish)) = (aspect, &seen.by, &known.wish) {
            seen.by = Some(wish.sender.clone());
            seen.event = Some(wish.event.clone());
            seen.at = wish.at;
        }
        Ok(seen)
    }

    /// Notes that both sides are the same, after what was `seen` was looked at: what
    /// somebody has wished for since is left for the next look.
    fn agreed(
        &self,
        id: &PortalId,
        aspect: Aspect,
        value: &str,
        event: Option<OwnedEventId>,
        seen: &Seen,
    ) -> Result<(), Failure> {
        self.room_states.forget_hint(id, aspect);
        let key = aspect.key();
        let known = self.store.room_state(id)?;
        let is_known = known.agreed.get(key).map(String::as_str) == Some(value)
            && known.settled.get(key) == event.as_ref()
            && (aspect != Aspect::Writing || known.wish.is_none())
            && (aspect != Aspect::Access
                || seen.opening.is_none()
                || known.opening != seen.opening);
        if !is_known {
            self.store.amend_room_state(id, |state| {
                state.agreed.insert(key.to_owned(), value.to_owned());
                match event {
                    Some(event) => state.settled.insert(key.to_owned(), event),
                    None => state.settled.remove(key),
                };
                if aspect == Aspect::Writing && state.wish == known.wish {
                    state.wish = None;
                }
                if aspect == Aspect::Access && state.opening == seen.opening {
                    state.opening = None;
                }
            })?;
        }
        Ok(())
    }

    /// Does on Rocket.Chat what somebody on Matrix has done, with their own rights.
    pub(super) async fn do_on_rocketchat(
        &self,
        portal: &Portal,
        aspect: Aspect,
        sender: &UserId,
        wanted: &str,
    ) -> Result<(), Failure> {
        let refused = |why: &str| Err(Failure::Refused(why.to_owned()));
        let settings = match aspect {
            Aspect::Name if wanted.trim().is_empty() => {
                return refused("A room on Rocket.Chat always has a name.");
            }
            Aspect::Name => json!({ "roomName": wanted }),
            Aspect::Topic => json!({ "roomTopic": wanted }),
            Aspect::Access if ![PUBLIC, PRIVATE].contains(&wanted) => {
                return refused(
                    "Rocket.Chat has public channels and private groups, and nothing in between.",
                );
            }
            Aspect::Writing if wanted == ARCHIVED => {
                return refused("A room is archived on Rocket.Chat, not here.");
            }
            Aspect::Writing if wanted == OPEN => json!({ "readOnly": false }),
            Aspect::Writing => {
                json!({ "readOnly": true, "reactWhenReadOnly": wanted == REACTING })
            }
            _ => Value::Null,
        };
        let rid = &portal.rid;
        let puppet = self.account_in(portal, sender).await?;
        self.bring_puppet_in(portal, &puppet).await?;
        self.as_puppet(&puppet, |session| {
            let settings = settings.clone();
            async move {
                match aspect {
                    Aspect::Access => {
                        let (kind, other) = match wanted {
                            PUBLIC => (RoomType::Group, RoomType::Channel),
                            _ => (RoomType::Channel, RoomType::Group),
                        };
                        session.set_room_type(rid, &kind, &other).await
                    }
                    _ => session.save_room_settings(rid, settings).await,
                }
            }
        })
        .await
    }

    /// Shows on Matrix what a room is like on Rocket.Chat: by the ghost of who did it
    /// where it may, otherwise by the bot, in the place of what was seen there.
    async fn show(
        &self,
        portal: &Portal,
        aspect: Aspect,
        there: &str,
        hint: Option<Hint>,
        seen: &Seen,
    ) -> Result<(), Failure> {
        let actor = match hint {
            Some(hint) => self.actor_of(portal, &hint).await?,
            None => None,
        };
        // The rights are looked at as they are changed.
        if aspect != Aspect::Writing {
            self.stands_still(&portal.room_id, aspect.state(), seen.standing.as_deref())
                .await?;
        }
        let shown = match aspect {
            Aspect::Writing => {
                self.show_writing(portal, there, &seen.value, actor.as_ref())
                    .await
            }
            Aspect::Access => self.show_access(portal, there, actor.as_ref()).await,
            _ => {
                let spelled = self.spelled_on_matrix(portal, aspect, there)?;
                let content = aspect.as_state(&spelled);
                self.set_state(portal, aspect.state(), &content, actor.as_ref())
                    .await
            }
        };
        match shown {
            Ok(event) => {
                tracing::info!(rid = %portal.rid, ?aspect, "it is on Matrix as on Rocket.Chat");
                self.agreed(&portal.id, aspect, there, event, seen)
            }
            Err(Failure::Matrix(error)) if error.is_forbidden() => {
                // Somebody took the bot's power. What they set is nobody's wish.
                tracing::warn!(rid = %portal.rid, room = %portal.room_id, ?aspect, "the bridge lacks the power to set {} in a room", aspect.state());
                self.agreed(&portal.id, aspect, there, seen.event.clone(), seen)?;
                match &seen.event {
                    Some(over) if aspect == Aspect::Access && there == PRIVATE => {
                        self.tell_open(portal, over).await
                    }
                    _ => Ok(()),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Fails when another event stands in a room than the one that was looked at: what
    /// somebody has set since must not be overwritten, and is looked at next.
    pub(super) async fn stands_still(
        &self,
        room: &RoomId,
        kind: &str,
        seen: Option<&EventId>,
    ) -> Result<(), Failure> {
        let now = self.matrix.bot().state_event(room, kind, "").await?;
        if now.as_ref().map(|event| &*event.event_id) == seen {
            return Ok(());
        }
        Err(Failure::NotYet("a change that was just made on Matrix"))
    }

    /// The ghost of who did something, if it was somebody on Rocket.Chat.
    async fn actor_of(&self, portal: &Portal, hint: &Hint) -> Result<Option<Intent>, Failure> {
        let Some(ghost) = self.ghost_of_hint(hint).await? else {
            return Ok(None);
        };
        let levels = self.power_levels(portal).await?;
        if !levels.may_set_state(&ghost.user_id, "m.room.name") {
            return Ok(None);
        }
        self.bring_ghost_in(portal, &ghost).await?;
        Ok(Some(self.as_ghost(&ghost)))
    }

    pub(super) async fn ghost_of_hint(&self, hint: &Hint) -> Result<Option<Ghost>, Failure> {
        let is_ours = self.store.behind_puppet(&hint.user.id)?.is_some()
            || hint.user.id == *self.rocket().await.bot.user_id();
        Ok(match is_ours {
            true => None,
            false => Some(self.ghost_of(&hint.user).await?),
        })
    }

    /// Sets a state as `actor` where it may, otherwise as the bot.
    pub(super) async fn set_state(
        &self,
        portal: &Portal,
        kind: &str,
        content: &Value,
        actor: Option<&Intent>,
    ) -> Result<Option<OwnedEventId>, Failure> {
        let room = &portal.room_id;
        if let Some(actor) = actor {
            match actor.send_state(room, kind, "", content, None).await {
                Ok(event) => return Ok(Some(event)),
                Err(error) if error.is_forbidden() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let bot = self.matrix.bot();
        Ok(Some(bot.send_state(room, kind, "", content, None).await?))
    }

    async fn show_access(
        &self,
        portal: &Portal,
        there: &str,
        actor: Option<&Intent>,
    ) -> Result<Option<OwnedEventId>, Failure> {
        let content = Aspect::Access.as_state(there);
        // Who reads a private group is not for every member to decide.
        let invite = if there == PUBLIC { 0 } else { MAY_INVITE };
        let set_invite =
            self.change_power_levels(portal, None, |levels| levels.set_level("invite", invite));
        if there == PUBLIC {
            let event = self
                .set_state(portal, Aspect::Access.state(), &content, actor)
                .await?;
            set_invite.await?;
            return Ok(event);
        }
        // One of them must not keep the other from being closed.
        let closed = set_invite.await;
        let event = self
            .set_state(portal, Aspect::Access.state(), &content, actor)
            .await?;
        closed?;
        Ok(event)
    }
}
