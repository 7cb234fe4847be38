//! Which rooms are mirrored without anybody asking for them on Matrix: those of the
//! configuration (see [`super::openings`]), those into which somebody on Rocket.Chat
//! invites the bridge's account or a puppet, and discussions of mirrored rooms.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::openings::OVERLAP_MS;
use super::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::retry::{Advice, Retryable};
use crate::rocketchat::documents::{
    Message as RocketMessage, Room, RoomType, Subscription, Timestamp,
};
use crate::rocketchat::rest::{OutgoingMessage, Session};
use crate::rocketchat::{self, RocketRoomId, RocketUserId};
use crate::store::{Portal, Puppet};

/// How long between two puppets that are asked which rooms they are in.
const BETWEEN_PUPPETS: Duration = Duration::from_secs(1);

impl Bridge {
    /// Mirrors a room that the bridge's account can read, with those of its people on
    /// Rocket.Chat who are on Matrix; none when it cannot be read. `again`: also one that
    /// somebody has ended.
    pub(super) async fn open_by_id(
        self: &Arc<Self>,
        rid: &RocketRoomId,
        from_the_beginning: bool,
        again: bool,
    ) -> Result<Option<Portal>, Failure> {
        let rocket = self.rocket().await;
        let room = match rocket.bot.room_info(rid).await {
            Ok(Some(room)) => room,
            Ok(None) => return Ok(None),
            Err(error) if error.is_denied() || error.code() == Some("error-room-archived") => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(parent) = &room.prid {
            return self.open_discussion_room(parent, &room, again).await;
        }
        let since = from_the_beginning.then_some(0);
        Ok(Some(self.open_room_since(&room, since).await?))
    }

    /// Mirrors a discussion of a mirrored room, from where its parent was.
    async fn open_discussion_room(
        self: &Arc<Self>,
        parent: &RocketRoomId,
        room: &Room,
        again: bool,
    ) -> Result<Option<Portal>, Failure> {
        let Some(parent) = self.store.own_portal(parent)? else {
            return Ok(None);
        };
        let is_new = self.store.own_portal(&room.id)?.is_none();
        if is_new && !again && self.store.unbridged(&room.id)?.is_some() {
            return Ok(None);
        }
        let portal = self.open_room_since(room, Some(parent.since)).await?;
        if is_new {
            self.invite_people_of(&portal, room).await?;
        }
        Ok(Some(portal))
    }

    /// The portal of a discussion that a message in `parent` tells of, opened at need;
    /// none when there is no such discussion of that room: clients can write such
    /// messages themselves.
    pub(super) async fn open_discussion(
        self: &Arc<Self>,
        parent: &Portal,
        rid: &RocketRoomId,
    ) -> Result<Option<(Portal, Room)>, Failure> {
        let rocket = self.rocket().await;
        let room = match rocket.bot.room_info(rid).await {
            Ok(Some(room)) if room.prid.as_ref() == Some(&parent.rid) => room,
            Ok(_) => return Ok(None),
            Err(error) if error.is_denied() || error.code() == Some("error-room-archived") => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        match self.open_discussion_room(&parent.rid, &room, false).await {
            Ok(portal) => Ok(portal.map(|portal| (portal, room))),
            Err(Failure::Refused(why)) => {
                tracing::info!(%rid, why, "a discussion is not mirrored");
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Invites those to a portal's Matrix room whose puppets are in it.
    async fn invite_people_of(&self, portal: &Portal, room: &Room) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        for member in rocket.bot.room_members(&room.id, &room.t).await? {
            if let Some(user) = self.store.behind_puppet(&member.id)?
                && let Some(puppet) = self.store.puppet(&user)?
                && puppet.credentials.user_id == member.id
            {
                self.store
                    .change()
                    .puppet_in_room(&portal.id, &puppet)
                    .commit()?;
                match self.invite_guest(portal, &user).await {
                    // Whom somebody keeps out stays out.
                    Err(failure) if failure.is_permanent() => {
                        tracing::info!(room = %portal.room_id, %user, %failure, "somebody cannot be invited");
                    }
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// Somebody is in a room from now on, says a socket of theirs.
    pub(super) fn on_subscribed(self: &Arc<Self>, subscription: &Subscription) {
        let Some(user) = subscription.u.as_ref().map(|user| user.id.clone()) else {
            return;
        };
        if !matches!(subscription.t, RoomType::Channel | RoomType::Group) {
            return;
        }
        let (bridge, rid) = (Arc::clone(self), subscription.rid.clone());
        let came = subscription.ts.map_or(0, |at| at.0);
        tokio::spawn(async move {
            let done = bridge
                .persevere(async |_| bridge.invited_on_rocketchat(&rid, &user, came).await)
                .await;
            if let Err(failure) = done {
                tracing::warn!(%rid, %failure, "an invitation on Rocket.Chat could not be followed");
            }
        });
    }

    /// Something was written in a room that is not mirrored. Perhaps it should be.
    pub(super) fn on_unmirrored(self: &Arc<Self>, message: &RocketMessage) {
        if message.hidden || message.federated {
            return;
        }
        let invited = match message.t.as_deref() {
            Some("uj" | "ut" | "ujt") => message.u.username.as_ref().map(|name| name.as_str()),
            Some("au" | "added-user-to-team") => Some(message.msg.as_str()),
            _ => None,
        };
        let prefix = &self.config.rocketchat.puppet_prefix;
        let puppet = invited
            .filter(|name| name.starts_with(prefix.as_str()))
            .map(str::to_owned);
        let may_lack_portal = self.patterns().next().is_some() || !self.unmirrored.all_opened();
        let is_first = may_lack_portal
            && matches!(self.store.unbridged(&message.rid), Ok(None))
            && self.unmirrored.hear(message);
        if puppet.is_none() && !is_first {
            return;
        }
        let (bridge, rid) = (Arc::clone(self), message.rid.clone());
        tokio::spawn(async move {
            let looked = async {
                if let Some(name) = &puppet {
                    let puppets = bridge.store.puppets();
                    if let Some(puppet) = puppets.into_iter().find(|one| one.username == *name) {
                        let user = &puppet.credentials.user_id;
                        // It is asked what there is to the message, which may be anybody's.
                        return bridge
                            .persevere(|_| bridge.invited_on_rocketchat(&rid, user, 0))
                            .await;
                    }
                }
                if is_first {
                    bridge.look_at_unmirrored(&rid).await?;
                }
                Ok(())
            };
            if let Err(failure) = looked.await {
                tracing::warn!(%rid, %failure, "a room could not be looked at");
            }
        });
    }

    /// Somebody on Rocket.Chat has put the bridge's account or a puppet into a room: it is
    /// mirrored from now on, and whoever is behind the puppet is invited. `came` is when
    /// (ms) the bridge's account did; a puppet is asked.
    async fn invited_on_rocketchat(
        self: &Arc<Self>,
        rid: &RocketRoomId,
        user: &RocketUserId,
        came: i64,
    ) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        if user == rocket.bot.user_id() {
            let is_new = !self.store.is_mirrored(rid)? && !self.ended_since(rid, came)?;
            if is_new
                && let Some(portal) = self.open_unless_refused(rid).await?
                && let Some(room) = rocket.bot.room_as_admin(rid).await?
            {
                self.invite_people_of(&portal, &room).await?;
            }
            return Ok(());
        }
        // Not somebody's own account: where they are on Rocket.Chat asks for nothing.
        let Some(matrix_user) = self.store.behind_made_puppet(user)? else {
            return Ok(());
        };
        let Some(puppet) = self
            .store
            .puppet(&matrix_user)?
            .filter(|puppet| !puppet.own)
        else {
            return Ok(());
        };
        let is_known = self.store.is_mirrored(rid)?;
        if is_known && self.store.own_portal(rid)?.is_none() {
            // Its other rooms are told by the message about who came.
            return Ok(());
        }
        // It may be there for a portal that is about to leave with its puppets.
        let mut endings = self.store.endings().into_iter();
        if endings.any(|ending| ending.portal.rid == *rid) {
            return Err(Failure::NotYet("the end of the earlier portal"));
        }
        // The news may be old.
        let subscriptions = self
            .as_puppet(&puppet, |session| async move {
                session.subscriptions(None).await
            })
            .await?;
        let Some(subscription) = subscriptions
            .updated
            .into_iter()
            .find(|one| one.rid == *rid)
        else {
            return Ok(());
        };
        if self.ended_since(rid, subscription.ts.map_or(0, |at| at.0))? {
            return Ok(());
        }
        let Some(portal) = self.open_unless_refused(rid).await? else {
            if !self.enters_by_right(rid, &puppet).await? {
                self.ask_for_the_bot(rid, &puppet).await?;
            }
            return Ok(());
        };
        if !is_known {
            tracing::info!(%rid, user = %matrix_user, "a puppet was invited into a room");
        }
        self.store
            .change()
            .puppet_in_room(&portal.id, &puppet)
            .commit()?;
        self.invite_guest(&portal, &matrix_user).await
    }

    /// Whether somebody has ended that a room is mirrored after that moment (ms): who was
    /// invited before is no reason to begin again.
    fn ended_since(&self, rid: &RocketRoomId, came: i64) -> Result<bool, Failure> {
        let unbridged = self.store.unbridged(rid)?;
        Ok(unbridged.is_some_and(|unbridged| came <= unbridged.at))
    }

    async fn open_unless_refused(
        self: &Arc<Self>,
        rid: &RocketRoomId,
    ) -> Result<Option<Portal>, Failure> {
        if let Some(portal) = self.store.own_portal(rid)? {
            return Ok(Some(portal));
        }
        match self.open_by_id(rid, false, true).await {
            Err(Failure::Refused(why)) => {
                tracing::info!(%rid, why, "a room is not mirrored");
                self.decline_if_encrypted(rid).await?;
                Ok(None)
            }
            Ok(Some(portal)) => {
                // Whoever invites after somebody ended it wants it again.
                if self.store.unbridged(rid)?.is_some() {
                    self.store.change().not_unbridged(rid).commit()?;
                }
                Ok(Some(portal))
            }
            outcome => outcome,
        }
    }

    /// Lets the bridge's account come along into a group into which a puppet was invited,
    /// where an administrator has given it the right to (`add-user-to-any-p-room`, which
    /// nobody has by default). That it came is news like any other.
    async fn enters_by_right(&self, rid: &RocketRoomId, puppet: &Puppet) -> Result<bool, Failure> {
        let seen = self
            .as_puppet(puppet, |session| {
                let rid = rid.clone();
                async move { session.room_info(&rid).await }
            })
            .await?;
        let Some(group) = seen.filter(|room| room.t == RoomType::Group && !room.encrypted) else {
            return Ok(false);
        };
        let rocket = self.rocket().await;
        let user = rocket.bot.user_id();
        match rocket.bot.invite(&group.id, &group.t, user).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_denied() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Says in a group into which a puppet was invited, once, that the bridge cannot read
    /// it. Without a right of the bridge's own its people have to let it in.
    async fn ask_for_the_bot(&self, rid: &RocketRoomId, puppet: &Puppet) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let Some(room) = rocket.bot.room_as_admin(rid).await? else {
            return Ok(());
        };
        if room.t != RoomType::Group || room.archived || room.federated {
            return Ok(());
        }
        let account = rocket.bot.me().await?.username;
        let Some(account) = account else {
            return Ok(());
        };
        let text = format!(
            "I am on Matrix and cannot see this group yet: to mirror it there, invite the bridge's account @{} into it.",
            account.as_str()
        );
        // Taken when it was said before.
        let id = derived::telling_id_of_room(rid, 0);
        self.as_puppet(puppet, |session| {
            let (id, text) = (id.clone(), text.clone());
            async move {
                let message = OutgoingMessage {
                    id: &id,
                    rid,
                    msg: &text,
                    tmid: None,
                    alias: None,
                    avatar: None,
                    emoji: None,
                };
                session.send_message(&message).await.map(drop)
            }
        })
        .await
    }

    /// Finds out into which rooms the bridge's account was invited while nobody listened.
    pub(super) async fn look_at_own_subscriptions(self: &Arc<Self>) -> Result<(), Failure> {
        let since = self.store.subscriptions_seen()?;
        let now = now_ms();
        if let Some(since) = since {
            let from = since - OVERLAP_MS;
            let rocket = self.rocket().await;
            // Not all of them: of thousands that keeps the server busy for a second.
            let entered = entered_since(&rocket.bot, from).await?;
            let bot = rocket.bot.user_id().clone();
            for (rid, came) in entered {
                if !self.store.is_mirrored(&rid)? {
                    self.invited_on_rocketchat(&rid, &bot, came).await?;
                }
            }
        }
        self.store.note_subscriptions_seen(now)?;
        Ok(())
    }

    /// Asks one puppet after the other into which rooms it was invited, for ever: no
    /// socket of the bridge's tells of private groups.
    pub(super) async fn go_round_puppets(self: Arc<Self>) {
        loop {
            let (since, begun) = (self.store.puppets_seen().ok().flatten(), now_ms());
            let mut all_settled = true;
            for puppet in self.store.puppets() {
                tokio::time::sleep(BETWEEN_PUPPETS).await;
                let user = puppet.matrix_id.clone();
                let last = {
                    let asked = &self.unmirrored.asked;
                    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                    asked.get(&user).copied()
                };
                let now = now_ms();
                let from = last.or(since).unwrap_or(begun) - OVERLAP_MS;
                let done = self
                    .persevere(async |_| self.look_at_puppet(&puppet, from).await)
                    .await;
                match done {
                    Ok(true) => {
                        let asked = &self.unmirrored.asked;
                        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                        asked.insert(user, now);
                    }
                    Ok(false) => all_settled = false,
                    Err(failure) => {
                        // Whoever can never be asked must not hold up the others' time.
                        all_settled &= matches!(failure.advice(), Advice::GiveUp);
                        tracing::debug!(puppet = puppet.username, %failure, "it cannot be asked which rooms it is in");
                    }
                }
            }
            if !all_settled {
                tracing::debug!("some rooms of puppets are looked at again");
            } else if let Err(error) = self.store.note_puppets_seen(begun) {
                tracing::warn!(%error, "it is not noted which rooms puppets are in");
            }
            tokio::time::sleep(BETWEEN_PUPPETS).await;
        }
    }

    /// Whether all rooms into which a puppet came since a moment (ms) are dealt with;
    /// otherwise it must be looked at from that moment on again.
    async fn look_at_puppet(self: &Arc<Self>, puppet: &Puppet, from: i64) -> Result<bool, Failure> {
        let mut is_settled = true;
        let entered = self
            .as_puppet(puppet, |session| async move {
                entered_since(&session, from).await
            })
            .await?;
        for (rid, came) in entered {
            if self
                .store
                .is_puppet_held_in(&rid, None, &puppet.matrix_id)?
            {
                continue;
            }
            let user = &puppet.credentials.user_id;
            match self.invited_on_rocketchat(&rid, user, came).await {
                // The others of a round must not wait for it.
                Err(Failure::NotYet(_)) => is_settled = false,
                done => done?,
            }
        }
        Ok(is_settled)
    }

    /// Whether a channel is only for some, although it is public by its type: it belongs to
    /// a private team, or asks for a code, which puppets would not be asked for (their role
    /// `bot` has `join-without-join-code`).
    pub(super) async fn is_for_members_only(&self, room: &Room) -> Result<bool, Failure> {
        if room.t != RoomType::Channel {
            return Ok(false);
        }
        if room.join_code_required {
            return Ok(true);
        }
        let Some(team) = &room.team_id else {
            return Ok(false);
        };
        let team = self.rocket().await.bot.team(team).await?;
        // Of a team that is not known nobody is a member.
        Ok(team.is_none_or(|team| !team.is_public()))
    }
}

/// The channels and groups that an account has come into since a moment (ms), and when.
///
/// Who is in a room from its making on has a subscription without `_updatedAt` until
/// something is said there, and no list of what has changed has it (6.14): so the rooms made
/// since are looked at too.
async fn entered_since(
    session: &Session,
    from: i64,
) -> Result<Vec<(RocketRoomId, i64)>, rocketchat::Error> {
    let is_for_many = |kind: &RoomType| matches!(kind, RoomType::Channel | RoomType::Group);
    let since = Timestamp(from);
    let mut entered = Vec::new();
    for one in session.subscriptions(Some(since)).await?.updated {
        if is_for_many(&one.t) {
            entered.push((one.rid, one.ts));
        }
    }
    for room in session.rooms_get(Some(since)).await?.updated {
        if is_for_many(&room.t) && !entered.iter().any(|(rid, _)| *rid == room.id) {
            entered.push((room.id, room.ts));
        }
    }
    let entered = entered.into_iter();
    Ok(entered
        .filter_map(|(rid, came)| Some((rid, came?.0)))
        .filter(|(_, came)| *came >= from)
        .collect())
}
