//! What belongs to a portal follows it into its new room. All of it may be done again.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma::events::room::member::MembershipState;
use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde_json::json;

use crate::bridge::room_state::agreed_states;
use crate::bridge::{Bridge, Failure, derived, marker, one_line};
use crate::convert::to_rocketchat::plain;
use crate::matrix::Intent;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::{Room, RoomType};
use crate::rocketchat::rest::OutgoingMessage;
use crate::store::{InboxEvent, Portal, PortalKind, RoomPicture};

/// How much of a room's name is shown, in characters.
const LONGEST_NAME: usize = 80;

impl Bridge {
    /// All that belongs to a portal and follows it. May be done again.
    pub(super) async fn settle_in(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
    ) -> Result<(), Failure> {
        let reader = self.reader(portal).await?;
        let rocket = self.rocket().await;
        self.begin_anew(&reader, portal).await?;
        if portal.kind == PortalKind::Channel
            && !portal.plumbed
            && let Some(room) = rocket.bot.room_info(&portal.rid).await?
            && room.t == RoomType::Channel
        {
            self.bring_alias(portal, &room).await?;
        }
        self.compare_room(&portal.id);
        self.compare_room_picture(&portal.id);
        self.compare_members(&portal.id);
        self.take_up_before_join(&reader, &portal.room_id, None, |sender| {
            !self.config.is_ours(sender)
        })
        .await?;
        if portal.plumbed {
            let text = format!(
                "This room follows {}: it is joined with {} on Rocket.Chat as that one was. \
                 Whoever administers either can end it: `!rc unbridge`.",
                event.room_id,
                one_line(&portal.name, LONGEST_NAME)
            );
            let mut content = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
            marker::stamp_as_own(&mut content);
            let txn = derived::notice_id(&event.event_id, "goes on");
            let room = &portal.room_id;
            let told = reader.send(room, "m.room.message", &content, &txn, None);
            self.as_far_as_told(told.await.map(drop).map_err(Failure::from))?;
        }
        if !matches!(portal.kind, PortalKind::Direct { .. }) {
            let text = match portal.plumbed {
                true => format!(
                    "_The room on Matrix that this one is joined with was upgraded: it goes on in \
                     {} there. People of Matrix are back here when they have entered it._",
                    plain(portal.room_id.as_str())
                ),
                false => "_The room of this channel on Matrix was upgraded: it goes on in a new \
                          one there. People of Matrix are back here when they have entered it._"
                    .to_owned(),
            };
            let id = derived::telling_id_of_event(&event.event_id, "upgraded");
            let message = OutgoingMessage {
                id: &id,
                rid: &portal.rid,
                msg: &text,
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

    /// What is shown in the new room has still to be shown, and what it is like is nobody's
    /// wish: whoever upgraded it made it like that.
    async fn begin_anew(&self, reader: &Intent, portal: &Portal) -> Result<(), Failure> {
        let room = &portal.room_id;
        let mut settled = BTreeMap::new();
        for (aspect, state) in agreed_states() {
            if let Some(event) = reader.state_event(room, state, "").await? {
                settled.insert(aspect.to_owned(), event.event_id);
            }
        }
        self.store.amend_room_state(&portal.id, |state| {
            state.bridge_info.clear();
            state.published = false;
            state.team = None;
            state.wish = None;
            state.opening = None;
            state.settled = settled;
        })?;
        let picture = reader.state(room, "m.room.avatar", "").await?;
        let picture = picture.as_ref().and_then(|now| now.get("url")?.as_str());
        let known = self.store.room_picture(&portal.id)?;
        if known.url.is_some() && known.url.as_deref() != picture {
            self.store.amend_room_picture(&portal.id, |stored| {
                *stored = RoomPicture {
                    wish: stored.wish.take(),
                    ..RoomPicture::default()
                };
            })?;
        }
        Ok(())
    }

    /// Invites those into the room of a private group who were in the one before and are
    /// in the group, or are heard in it without an account: they cannot come by themselves.
    async fn invite_members(&self, portal: &Portal, old: &RoomId) -> Result<(), Failure> {
        if !self.is_private(portal)? {
            return Ok(());
        }
        let bot = self.matrix.bot();
        let before = match bot.members(old).await {
            Err(error) if error.is_forbidden() => return Ok(()),
            outcome => outcome?,
        };
        let here = bot.members(&portal.room_id).await?;
        for (user, membership) in before {
            // Who is there already, or has left there or been kept out, needs none.
            if !matches!(membership, MembershipState::Join | MembershipState::Invite)
                || here.iter().any(|(member, _)| *member == user)
                || !(self.store.is_puppet_in_room(&portal.id, &user)?
                    || self.store.is_admitted(&portal.id, &user)?)
            {
                continue;
            }
            match bot.invite(&portal.room_id, &user, None).await {
                // They want none, or the bot lacks the power, which is told elsewhere.
                Err(error) if matches!(error.advice(), Advice::GiveUp) => {
                    tracing::info!(room = %portal.room_id, %user, %error, "cannot be invited into the room that follows theirs");
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// The channel's alias leads into the new room. Homeservers see to that when a room
    /// is upgraded by their own endpoint.
    async fn bring_alias(&self, portal: &Portal, room: &Room) -> Result<(), Failure> {
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

    /// Somebody with more rights than most writes in a room that its portal has left.
    pub(in crate::bridge) async fn on_word_in_earlier_room(
        &self,
        event: &InboxEvent,
    ) -> Result<(), Failure> {
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
    pub(in crate::bridge) fn portal_of_room_or_earlier(
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
    pub(in crate::bridge) fn resume_moves(self: &Arc<Self>) {
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
        let was = Portal {
            room_id: old.clone(),
            ..portal.clone()
        };
        let prepared = self.persevere(async |_| {
            self.invite_members(&portal, &old).await?;
            match self.unmark(&was).await {
                // Whoever upgraded it took the bridge's power, or put it out.
                Err(Failure::Matrix(error)) if error.is_forbidden() => Ok(()),
                outcome => outcome,
            }
        });
        if let Err(failure) = prepared.await {
            tracing::warn!(%old, %failure, "an earlier room may still say that it is bridged");
        }
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

pub(super) async fn leave(intent: &Intent, room: &RoomId, why: &str) -> Result<(), Failure> {
    match intent.leave(room, Some(why)).await {
        Err(error) if error.is_forbidden() || error.is_not_found() => Ok(()),
        outcome => Ok(outcome?),
    }
}
