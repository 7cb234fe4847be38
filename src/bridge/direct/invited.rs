//! Direct messages that people of Matrix begin, by inviting ghosts.

use std::collections::HashSet;
use std::sync::Arc;

use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use super::people::Present;
use super::{MOST_PEOPLE, decline, direct_id};
use crate::bridge::{Bridge, Failure};
use crate::matrix::Intent;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::{RocketRoomId, RocketUserId, Username};
use crate::store::{Ghost, InboxEvent, LeftRoom, Portal, PortalKind};

/// Who shall be in a direct message.
pub(super) struct Founders {
    /// People of Matrix, first the one who begins.
    pub users: Vec<OwnedUserId>,
    /// The ghosts of the others.
    pub ghosts: Vec<Ghost>,
}

impl Bridge {
    /// A Matrix user invites a ghost: their room becomes the portal of the direct
    /// message between the puppets of those who are there and the people behind the
    /// ghosts.
    pub(in crate::bridge) async fn on_ghost_invited(
        self: &Arc<Self>,
        event: &InboxEvent,
        ghost_id: &UserId,
    ) -> Result<(), Failure> {
        let room = &event.room_id;
        if self.store.ending_of_room(room)?.is_some() {
            return Err(Failure::NotYet("the end of the earlier conversation"));
        }
        let intent = self.matrix.as_user(ghost_id.to_owned());
        if let Some(portal) = self.store.portal_of_room(room)? {
            return self.ghost_invited_to_portal(&portal, &intent, event).await;
        }
        let Some(ghost) = self.let_ghost_in(&intent, room).await? else {
            return Ok(());
        };
        match self.found_direct(event, &ghost).await {
            Err(failure) if failure.is_permanent() => {
                let why = failure.person_text();
                tracing::info!(%room, %failure, "no direct message comes of this");
                let said = self.say(&intent, room, &event.event_id, "declined", &why);
                match said.await {
                    // Where it may not speak it does not stay either.
                    Err(failure) if failure.is_permanent() => {
                        tracing::info!(%room, %failure, "nobody could be told why not");
                    }
                    outcome => outcome?,
                }
                decline(&intent, room, &why).await
            }
            outcome => outcome,
        }
    }

    /// Lets a ghost accept an invitation. None when it declined, or the invitation no
    /// longer stands.
    async fn let_ghost_in(&self, intent: &Intent, room: &RoomId) -> Result<Option<Ghost>, Failure> {
        let ghost = match self.ghost_to_be(intent.user_id()).await? {
            Ok(ghost) => ghost,
            Err(why) => {
                // Without an account it could not even decline.
                intent.register().await?;
                decline(intent, room, &why).await?;
                return Ok(None);
            }
        };
        let joining = self.joining(&ghost);
        match intent.join(room, None).await {
            Ok(()) => self.joined(&ghost, &joining),
            Err(error) if error.is_forbidden() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(ghost))
    }

    async fn found_direct(
        self: &Arc<Self>,
        event: &InboxEvent,
        ghost: &Ghost,
    ) -> Result<(), Failure> {
        let (room, intent) = (&event.room_id, self.as_ghost(ghost));
        let present = self.present(&intent, room).await?;
        if let Some(why) = self.why_not_direct(&intent, room, &present).await? {
            return Err(Failure::Refused(why.into()));
        }
        if present.users.is_empty() {
            return decline(&intent, room, "There is nobody here to talk to.").await;
        }
        let founders = self
            .founders(&present, &event.sender, Some(&ghost.user_id))
            .await?;
        match self.direct_room_of(&founders).await? {
            Some(rid) => self.connect_direct(&rid, room, &founders, None).await?,
            None => return self.begin_gathering(event, &ghost.user_id, None).await,
        }
        self.take_up_before_join(&intent, room, Some(&event.event_id), |sender| {
            founders.users.iter().any(|user| user == sender)
        })
        .await
    }

    /// Why a room cannot be a direct message, seen from inside.
    async fn why_not_direct(
        &self,
        ghost: &Intent,
        room: &RoomId,
        present: &Present,
    ) -> Result<Option<&'static str>, Failure> {
        if ghost.state(room, "m.room.encryption", "").await?.is_some() {
            return Ok(Some(
                "This room is encrypted, and the bridge cannot read encrypted messages. Please start a direct message without encryption.",
            ));
        }
        if present.bot {
            return Ok(Some(
                "The bridge's own user is in this room. Start a direct message without it, or mirror a channel.",
            ));
        }
        let text = |state: Option<Value>, key: &str| {
            let value = state.as_ref().and_then(|content| content.get(key));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let rule = ghost.state(room, "m.room.join_rules", "").await?;
        let visibility = ghost.state(room, "m.room.history_visibility", "").await?;
        let is_open = text(rule, "join_rule") == "public"
            || text(visibility, "history_visibility") == "world_readable";
        if is_open {
            return Ok(Some(
                "Everybody may come in here and read. A direct message is only between those who were invited: start one, or mirror a channel.",
            ));
        }
        Ok(None)
    }

    /// Those who are there, first whoever begins. A ghost that nobody stands behind is
    /// left out: it declines its own invitation.
    pub(super) async fn founders(
        &self,
        present: &Present,
        beginner: &UserId,
        first: Option<&UserId>,
    ) -> Result<Founders, Failure> {
        if present.users.len() + present.ghosts.len() > MOST_PEOPLE {
            return Err(Failure::Refused(format!(
                "A conversation with people of Rocket.Chat has at most {MOST_PEOPLE} people. For more of them, mirror a channel."
            )));
        }
        // Everything is done with their rights, and nobody else's.
        if !present.users.iter().any(|user| user == beginner) {
            return Err(Failure::Refused(format!(
                "{beginner}, who began this, is not here any more."
            )));
        }
        let mut users = Vec::new();
        for user in &present.users {
            // Whoever is invited gets an account: not who was made up.
            if !present.invited.contains(user) || self.is_somebody(user).await? {
                users.push(user.clone());
            }
        }
        users.sort_by_key(|user| user != beginner);
        let mut ids = present.ghosts.clone();
        ids.sort_by_key(|id| Some(&**id) != first);
        let mut ghosts = Vec::new();
        for id in &ids {
            if let Ok(ghost) = self.ghost_to_be(id).await? {
                ghosts.push(ghost);
            }
        }
        Ok(Founders { users, ghosts })
    }

    /// The direct message of these on Rocket.Chat, found or made with the rights of the
    /// first. None when they are more than it may have.
    pub(super) async fn direct_room_of(
        &self,
        founders: &Founders,
    ) -> Result<Option<RocketRoomId>, Failure> {
        // Before anybody gets an account for it.
        let most = self.server_settings().await?.max_in_direct;
        if founders.users.len() + founders.ghosts.len() > most {
            return Ok(None);
        }
        let mut puppets = Vec::new();
        for user in &founders.users {
            puppets.push(self.puppet_of(user).await?);
        }
        let (Some(beginner), false) = (puppets.first(), founders.ghosts.is_empty()) else {
            return Err(Failure::Refused("There is nobody to talk to.".into()));
        };
        let others = puppets.iter().skip(1).map(|puppet| &puppet.username);
        let names: Vec<Username> = (founders.ghosts.iter().map(|ghost| &ghost.username))
            .chain(others)
            .map(Username::new)
            .collect();
        let asked = self
            .as_puppet(beginner, |session| {
                let names = &names;
                async move {
                    let names: Vec<&Username> = names.iter().collect();
                    session.direct_room(&names).await
                }
            })
            .await;
        let direct = match asked {
            Err(Failure::RocketChat(error))
                if error.code() == Some("error-direct-message-max-user-exceeded") =>
            {
                return Ok(None);
            }
            outcome => outcome?,
        };
        // A username may have changed hands meanwhile.
        let ids: HashSet<&RocketUserId> = (puppets.iter())
            .map(|puppet| &puppet.credentials.user_id)
            .chain(founders.ghosts.iter().map(|ghost| &ghost.rocket_id))
            .collect();
        let is_right = match (puppets.as_slice(), founders.ghosts.as_slice()) {
            ([puppet], [ghost]) => {
                direct.rid == direct_id(&puppet.credentials.user_id, &ghost.rocket_id)
            }
            _ => {
                let rid = &direct.rid;
                let room = self
                    .as_puppet(
                        beginner,
                        |session| async move { session.room_info(rid).await },
                    )
                    .await?;
                room.is_some_and(|room| room.uids.iter().collect::<HashSet<_>>() == ids)
            }
        };
        if !is_right {
            return Err(Failure::Refused(
                "Rocket.Chat opened a direct message with somebody else.".into(),
            ));
        }
        Ok(Some(direct.rid))
    }

    /// Makes a room the portal of a direct message; when that had another room, it moves
    /// on from there. `was` is the direct message that the room was the portal of.
    async fn connect_direct(
        self: &Arc<Self>,
        rid: &RocketRoomId,
        room: &RoomId,
        founders: &Founders,
        was: Option<&Portal>,
    ) -> Result<(), Failure> {
        let peers = founders.ghosts.iter().map(|ghost| ghost.rocket_id.clone());
        let Some(kind) = PortalKind::direct(founders.users.clone(), peers.collect()) else {
            return Err(Failure::Refused("There is nobody to talk to.".into()));
        };
        let names = founders.ghosts.iter().map(|ghost| ghost.username.as_str());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        self.settle_gathering_of(rid).await?;
        let _one_at_a_time = self.making_portal.lock(rid).await;
        self.must_not_be_ending(rid)?;
        self.must_not_be_gathering(rid)?;
        if let Some(first) = founders.ghosts.first()
            && self.are_local(&founders.users)
        {
            self.keep_to_those_there(&self.as_ghost(first), room).await;
        }
        let earlier = self.store.own_portal(rid)?;
        let portal = Portal::own(
            rid.clone(),
            room.to_owned(),
            kind,
            names.join(", "),
            // A direct message of a puppet began with the bridge.
            earlier.as_ref().map_or(0, |earlier| earlier.since),
        );
        let left = match earlier.filter(|earlier| earlier.room_id != portal.room_id) {
            Some(earlier) => Some(self.leave_behind(earlier).await?),
            None => None,
        };
        let mut change = self.store.change();
        if let Some(was) = was.filter(|was| was.rid != *rid) {
            change = change.no_portal(was);
        }
        if let Some(left) = &left {
            change = change.forget_room(&left.portal.room_id).left_room(left);
        }
        change = change.portal(&portal);
        if let Some(first) = founders.ghosts.first() {
            change = change.ghost_in_room(room, &first.user_id);
        }
        change.commit()?;
        self.store.flushed().await?;
        self.person_left(room);
        self.direct_rooms_changed();
        tracing::info!(%rid, %room, "a direct message is mirrored");
        if let Some(left) = left {
            self.tidy_later(left);
        }
        for ghost in founders.ghosts.iter().skip(1) {
            self.bring_invited_in(&portal, ghost).await?;
        }
        self.read_back(portal.id);
        Ok(())
    }

    /// Lets the ghost of somebody who is in a direct message into its room. Its
    /// invitation may have been taken back.
    async fn bring_invited_in(&self, portal: &Portal, ghost: &Ghost) -> Result<(), Failure> {
        match self.join_ghost(portal, &portal.room_id, ghost).await {
            Err(Failure::Matrix(error)) if error.is_forbidden() => {
                tracing::info!(room = %portal.room_id, ghost = %ghost.user_id, "is not let in");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// From now on nobody who comes later shall read what is said before, as in a direct
    /// message of Rocket.Chat. It is the room's, and so may not be for us to say.
    pub(super) async fn keep_to_those_there(&self, intent: &Intent, room: &RoomId) {
        const VISIBILITY: &str = "m.room.history_visibility";
        let content = json!({ "history_visibility": "invited" });
        let done = async {
            let now = intent.state(room, VISIBILITY, "").await?;
            let now = now.as_ref().and_then(|now| now.get("history_visibility"));
            if !matches!(now.and_then(Value::as_str), Some("invited" | "joined")) {
                intent
                    .send_state(room, VISIBILITY, "", &content, None)
                    .await?;
            }
            Ok::<_, crate::matrix::Error>(())
        };
        if let Err(error) = done.await {
            tracing::debug!(%room, %error, "who comes later may read what was said before");
        }
    }

    /// Somebody invites a ghost to a room that is mirrored already.
    async fn ghost_invited_to_portal(
        self: &Arc<Self>,
        portal: &Portal,
        ghost: &Intent,
        event: &InboxEvent,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        if portal.kind.is_direct() {
            let Some(known) = self.let_ghost_in(ghost, room).await? else {
                return Ok(());
            };
            if !self.is_of_direct(portal, &known.user_id)? {
                return self.on_newcomer(portal, event, &known.user_id).await;
            }
            self.store
                .change()
                .ghost_in_room(room, &known.user_id)
                .commit()?;
            // Perhaps the first attempt was interrupted before it came to this.
            let users: Vec<_> = portal.kind.direct_users().cloned().collect();
            return self
                .take_up_before_join(ghost, room, Some(&event.event_id), |sender| {
                    users.iter().any(|user| user == sender)
                })
                .await;
        }
        // It came with others, when their room became this one's portal.
        if self.store.is_ghost_in_room(room, ghost.user_id())? {
            return Ok(());
        }
        ghost.register().await?;
        decline(
            ghost,
            room,
            "Who is in a mirrored room is decided on Rocket.Chat; invite this person there.",
        )
        .await
    }

    /// Somebody comes into the room of a direct message, or is invited, who is not of it.
    /// As long as nothing was said, it becomes one of them all; otherwise they get a
    /// private group, and the direct message ends here.
    pub(in crate::bridge) async fn on_newcomer(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        newcomer: &UserId,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        if !self.store.has_messages_in(room)? {
            let reader = self.reader(portal).await?;
            let present = self.present(&reader, room).await?;
            let founders = self.founders(&present, &event.sender, None).await;
            let found = match founders {
                Ok(founders) => match self.direct_room_of(&founders).await {
                    Ok(Some(rid)) => Some((rid, founders)),
                    Ok(None) => None,
                    Err(failure) if failure.is_permanent() => None,
                    Err(failure) => return Err(failure),
                },
                Err(failure) if failure.is_permanent() => None,
                Err(failure) => return Err(failure),
            };
            if let Some((rid, founders)) = found {
                return self
                    .connect_direct(&rid, room, &founders, Some(portal))
                    .await;
            }
        }
        self.begin_gathering(event, newcomer, Some(portal)).await
    }

    /// What is to be done in a room that a direct message leaves.
    async fn leave_behind(&self, portal: Portal) -> Result<LeftRoom, Failure> {
        let reader = self.reader(&portal).await?;
        let present = match reader.joined_members(&portal.room_id).await {
            Ok(members) => members,
            Err(error) if matches!(error.advice(), Advice::GiveUp) => Default::default(),
            Err(error) => return Err(error.into()),
        };
        let unseen = !portal
            .kind
            .direct_users()
            .any(|user| present.contains_key(user));
        Ok(LeftRoom { portal, unseen })
    }
}
