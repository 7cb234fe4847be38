//! A private group for people who are more than a direct message has, or may have.
//!
//! Who is in a direct message never changes on Rocket.Chat. When somebody comes to be in
//! its Matrix room, everybody who is there gets a private group, and the room becomes
//! its portal; what is written in the direct message from then on begins a room of its
//! own. It is noted first and done step by step, so that it goes on after a kill: every
//! event of the room looks whether it is under way.

use std::sync::Arc;

use ruma::{EventId, RoomId, UserId};
use serde_json::{Value, json};

use super::decline;
use super::invited::Founders;
use super::people::{Present, membership_of};
use crate::bridge::{Bridge, Failure};
use crate::convert::to_rocketchat;
use crate::matrix::Intent;
use crate::rocketchat::documents::{Room, RoomType};
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{RocketRoomId, RocketUserId, Username};
use crate::store::{Gathering, InboxEvent, Portal, PortalKind};

/// How many names a group is called after.
const NAMES_IN_NAME: usize = 4;

/// The right to make private groups.
const MAKE_GROUPS: &str = "create-p";

/// How long these may be together.
const LONGEST_NAME: usize = 60;

impl Bridge {
    /// Begins to give the people of a room a private group. `left` is the direct message
    /// that the room is the portal of: first of all nothing more of it comes there.
    pub(super) async fn begin_gathering(
        self: &Arc<Self>,
        event: &InboxEvent,
        newcomer: &UserId,
        left: Option<&Portal>,
    ) -> Result<(), Failure> {
        let room = &event.room_id;
        let _alone = self.gathering.lock(room).await;
        let speaker = match left {
            Some(left) => self.reader(left).await?,
            None => self.matrix.as_user(newcomer.to_owned()),
        };
        let present = self.present(&speaker, room).await?;
        let gathering = Gathering {
            room_id: room.clone(),
            name: self.group_name(&present, &event.event_id)?,
            maker: event.sender.clone(),
            newcomer: newcomer.to_owned(),
            event: event.event_id.clone(),
            left: left.cloned(),
            refused: None,
        };
        self.note_gathering(&gathering).await?;
        self.person_left(room);
        tracing::info!(%room, name = gathering.name, "its people get a private group");
        self.go_on_gathering(&gathering).await
    }

    /// Notes it, and in the same moment that the direct message has no room any more.
    async fn note_gathering(&self, gathering: &Gathering) -> Result<(), Failure> {
        let mut change = self.store.change();
        let _one_at_a_time = match &gathering.left {
            Some(left) => {
                let alone = self.making_portal.lock(&left.rid).await;
                if self.store.portal(&left.id)?.as_ref() != Some(left) {
                    // It is looked at anew.
                    return Err(Failure::NotYet("the direct message to have settled"));
                }
                change = change.no_portal(left);
                Some(alone)
            }
            None => None,
        };
        change.gathering(gathering).commit()?;
        Ok(self.store.flushed().await?)
    }

    /// Goes on with what was begun, if it was in this room.
    pub(in crate::bridge) async fn resume_gathering(
        self: &Arc<Self>,
        room: &RoomId,
    ) -> Result<(), Failure> {
        if self.store.gathering(room)?.is_none() {
            return Ok(());
        }
        let _alone = self.gathering.lock(&room.to_owned()).await;
        match self.store.gathering(room)? {
            Some(gathering) => self.go_on_gathering(&gathering).await,
            None => Ok(()),
        }
    }

    /// Brings to its end what may give a direct message its room back. Whoever would make
    /// it another one has to wait for that.
    pub(super) async fn settle_gathering_of(
        self: &Arc<Self>,
        rid: &RocketRoomId,
    ) -> Result<(), Failure> {
        match self.gathering_of(rid) {
            Some(gathering) => self.resume_gathering(&gathering.room_id).await,
            None => Ok(()),
        }
    }

    /// What may give a direct message its room back.
    fn gathering_of(&self, rid: &RocketRoomId) -> Option<Gathering> {
        let mut all = self.store.gatherings().into_iter();
        all.find(|one| one.left.as_ref().is_some_and(|left| left.rid == *rid))
    }

    /// Looks again, while nobody else can make the portal, whether it is settled.
    pub(super) fn must_not_be_gathering(&self, rid: &RocketRoomId) -> Result<(), Failure> {
        match self.gathering_of(rid) {
            Some(_) => Err(Failure::NotYet("its people to get a private group")),
            None => Ok(()),
        }
    }

    async fn go_on_gathering(self: &Arc<Self>, gathering: &Gathering) -> Result<(), Failure> {
        if let Some(why) = &gathering.refused {
            return self.give_up_gathering(gathering, why).await;
        }
        match self.gather(gathering).await {
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(room = %gathering.room_id, %failure, "its people do not get a group");
                let why = failure.person_text();
                let mut given_up = gathering.clone();
                given_up.refused = Some(why.clone());
                self.store.change().gathering(&given_up).commit()?;
                self.store.flushed().await?;
                self.give_up_gathering(&given_up, &why).await
            }
            outcome => outcome,
        }
    }

    /// Who of ours is in the room for certain.
    pub(in crate::bridge) async fn speaker_of(
        &self,
        gathering: &Gathering,
    ) -> Result<Intent, Failure> {
        match &gathering.left {
            Some(left) => self.reader(left).await,
            None => Ok(self.matrix.as_user(gathering.newcomer.clone())),
        }
    }

    async fn gather(self: &Arc<Self>, gathering: &Gathering) -> Result<(), Failure> {
        let room = &gathering.room_id;
        let speaker = self.speaker_of(gathering).await?;
        let present = self.present(&speaker, room).await?;
        let founders = self
            .founders(&present, &gathering.maker, Some(speaker.user_id()))
            .await?;
        if let Some(left) = &gathering.left
            && self.are_those_of(left, &founders)
        {
            // Whoever came is gone again.
            if self.resume_direct(left).await? {
                decline(&self.matrix.bot(), room, "It stays a direct message.").await?;
                return Ok(self.store.change().no_gathering(room).commit()?);
            }
            return Err(Failure::Refused(
                "The direct message goes on in another room.".into(),
            ));
        }
        let group = self.group_of(gathering, &founders).await?;
        self.bring_bot_in(&speaker, room).await?;
        let mut change = self.store.change();
        for ghost in &founders.ghosts {
            let joining = self.joining(ghost);
            match self.as_ghost(ghost).join(room, None).await {
                Ok(()) => {
                    self.joined(ghost, &joining);
                    change = change.ghost_in_room(room, &ghost.user_id);
                }
                // Its invitation was taken back: it comes when it has something to say.
                Err(error) if error.is_forbidden() => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.dress_as_group(&speaker, gathering, &group).await;
        self.announce_group(gathering, &group).await?;
        let portal = Portal::own(
            group.id.clone(),
            room.clone(),
            PortalKind::Group,
            gathering.name.clone(),
            0,
        );
        change = change.portal(&portal).no_gathering(room);
        for user in &founders.users {
            let puppet = self.puppet_of(user).await?;
            change = change.puppet_in_room(&portal.id, &puppet);
        }
        change.commit()?;
        self.store.flushed().await?;
        self.direct_rooms_changed();
        tracing::info!(rid = %portal.rid, %room, name = portal.name, "a conversation goes on in a private group");
        self.rocket().await.follow_deletions(&portal.rid).await;
        self.read_back(portal.id.clone());
        Ok(())
    }

    fn are_those_of(&self, portal: &Portal, founders: &Founders) -> bool {
        let of_matrix = (founders.users.iter()).all(|user| {
            let mut known = portal.kind.direct_users();
            known.any(|known| known == user)
        });
        let of_rocketchat = (founders.ghosts.iter()).all(|ghost| {
            let mut known = portal.kind.direct_peers();
            known.any(|known| *known == ghost.rocket_id)
        });
        of_matrix && of_rocketchat
    }

    /// The group on Rocket.Chat: made with the rights of whoever brought the newcomer, or
    /// found again.
    async fn group_of(&self, gathering: &Gathering, founders: &Founders) -> Result<Room, Failure> {
        let Some(first) = founders.users.first() else {
            return Err(Failure::Refused("There is nobody here any more.".into()));
        };
        let rocket = self.rocket().await;
        let mut puppets = vec![self.puppet_of(first).await?];
        // Nobody gets an account for a group that will not be.
        if self.are_strangers_among(&founders.users)? {
            let id = &puppets[0].credentials.user_id;
            let account = rocket.bot.user_by_id(id).await?;
            let roles = account.map(|account| account.roles).unwrap_or_default();
            if !self.roles_allow(&roles, MAKE_GROUPS).await? {
                return Err(Failure::Refused(
                    "Rocket.Chat does not allow you to make private groups.".into(),
                ));
            }
        }
        for user in founders.users.iter().skip(1) {
            puppets.push(self.puppet_of(user).await?);
        }
        let maker = &puppets[0];
        let own = rocket.bot.me().await?;
        let bot = (
            own.id.clone(),
            own.username.unwrap_or_else(|| Username::new("")),
        );
        let wanted: Vec<(RocketUserId, Username)> = (founders.ghosts.iter())
            .map(|ghost| (ghost.rocket_id.clone(), Username::new(&ghost.username)))
            .chain(puppets.iter().skip(1).map(|puppet| {
                let id = puppet.credentials.user_id.clone();
                (id, Username::new(&puppet.username))
            }))
            .chain([bot])
            .collect();
        let name = gathering.name.as_str();
        let made = self
            .as_puppet(maker, |session| {
                let names: Vec<Username> = wanted.iter().map(|(_, name)| name.clone()).collect();
                async move {
                    let names: Vec<&Username> = names.iter().collect();
                    session.create_group(name, &names).await
                }
            })
            .await;
        let group = match made {
            Err(Failure::RocketChat(error))
                if error.code() == Some("error-duplicate-channel-name") =>
            {
                // From an earlier attempt. Its name is not to be guessed, and whoever
                // acts as the puppet is the bridge.
                let found = self
                    .as_puppet(
                        maker,
                        |session| async move { session.group_by_name(name).await },
                    )
                    .await?;
                let is_ours = |room: &Room| {
                    let id = &maker.credentials.user_id;
                    room.u.as_ref().is_some_and(|owner| owner.id == *id)
                };
                found.filter(is_ours).ok_or(Failure::RocketChat(error))?
            }
            outcome => outcome?,
        };
        // Names that nobody has by now were left out.
        let rid = &group.id;
        let members = self
            .as_puppet(maker, |session| async move {
                session.room_members(rid, &RoomType::Group).await
            })
            .await?;
        for (id, _) in &wanted {
            if members.iter().any(|member| member.id == *id) {
                continue;
            }
            let invited = self
                .as_puppet(maker, |session| async move {
                    session.invite(rid, &RoomType::Group, id).await
                })
                .await;
            match invited {
                Err(failure) if failure.is_permanent() && *id != own.id => {
                    tracing::warn!(%rid, user = %id, %failure, "could not be put into the group");
                }
                outcome => outcome?,
            }
        }
        Ok(group)
    }

    /// The bridge's own user, who keeps the room of a group.
    async fn bring_bot_in(&self, speaker: &Intent, room: &RoomId) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        match bot.join(room, None).await {
            Err(error) if error.is_forbidden() => {}
            outcome => return Ok(outcome?),
        }
        match speaker.invite(room, bot.user_id(), None).await {
            Err(error) if error.is_forbidden() => {
                return Err(Failure::Refused(format!(
                    "It needs a private group on Rocket.Chat, and for that {} in this room: let everybody invite, and try again.",
                    bot.user_id()
                )));
            }
            outcome => outcome?,
        }
        Ok(bot.join(room, None).await?)
    }

    /// Gives the room what a portal of a group has, as far as that is ours to give: the
    /// bot the power of the ghost, a name if it has none, and what tells of the bridge.
    async fn dress_as_group(&self, speaker: &Intent, gathering: &Gathering, group: &Room) {
        let room = &gathering.room_id;
        let done = async {
            const LEVELS: &str = "m.room.power_levels";
            if let Some(mut levels) = speaker.state(room, LEVELS, "").await? {
                let bot = self.config.appservice.bot.as_str();
                if levels.pointer("/users").is_none() {
                    levels["users"] = json!({});
                }
                if levels["users"].get(bot).is_none() {
                    levels["users"][bot] = 100.into();
                    speaker.send_state(room, LEVELS, "", &levels, None).await?;
                }
            }
            // As in other private groups: what was said until now stays as it is.
            const VISIBILITY: &str = "m.room.history_visibility";
            let visibility = speaker.state(room, VISIBILITY, "").await?;
            let is_narrow = visibility.is_some_and(|now| now["history_visibility"] == "invited");
            if gathering.left.is_some() && is_narrow {
                let content = json!({ "history_visibility": "shared" });
                speaker
                    .send_state(room, VISIBILITY, "", &content, None)
                    .await?;
            }
            if speaker.state(room, "m.room.name", "").await?.is_none() {
                let content = json!({ "name": gathering.name });
                speaker
                    .send_state(room, "m.room.name", "", &content, None)
                    .await?;
            }
            self.name_bridge(speaker, room, gathering.left.as_ref(), group)
                .await
        };
        if let Err(error) = done.await {
            tracing::debug!(%room, %error, "the room of a group stays as it is");
        }
    }

    /// Tells on both sides where the conversation goes on.
    async fn announce_group(&self, gathering: &Gathering, group: &Room) -> Result<(), Failure> {
        let (name, maker) = (&gathering.name, &gathering.maker);
        let (on_matrix, on_rocketchat) = match gathering.left {
            Some(_) => (
                format!(
                    "This conversation has others in it now. On Rocket.Chat it goes on in the private group {name}; what is written there in the direct message comes in a room of its own."
                ),
                format!(
                    "{maker} has brought others into a conversation with you on Matrix. It goes on here; what you write in the direct message reaches those who were in it, and nobody else."
                ),
            ),
            None => (
                format!(
                    "You are more than a direct message on Rocket.Chat may have. This room is the private group {name} there."
                ),
                format!("{maker} has begun this conversation on Matrix."),
            ),
        };
        let bot = self.matrix.bot();
        self.say(
            &bot,
            &gathering.room_id,
            &gathering.event,
            "group",
            &on_matrix,
        )
        .await?;
        let rocket = self.rocket().await;
        let id = self.message_id(&gathering.event, 0, 0);
        let message = OutgoingMessage {
            id: &id,
            rid: &group.id,
            msg: &to_rocketchat::plain(&on_rocketchat),
            tmid: None,
            alias: None,
            avatar: None,
            emoji: None,
        };
        rocket.bot.send_message(&message).await?;
        Ok(())
    }

    /// Nobody gets a group: whoever came is asked to go again, and it stays as it was;
    /// when they stay, the direct message goes on elsewhere.
    async fn give_up_gathering(
        self: &Arc<Self>,
        gathering: &Gathering,
        why: &str,
    ) -> Result<(), Failure> {
        let room = &gathering.room_id;
        let speaker = self.speaker_of(gathering).await?;
        let is_there =
            |membership: &Option<String>| matches!(membership.as_deref(), Some("join" | "invite"));
        // The ghost may have been put out, or the room be gone: nothing of this may keep
        // the direct message from going on elsewhere.
        let own = membership_of(&speaker, room, speaker.user_id()).await;
        let speaker_is_there =
            passed_over(own, room)?.is_some_and(|membership| is_there(&membership));
        if let Some(left) = gathering.left.as_ref().filter(|_| speaker_is_there) {
            let newcomer = &gathering.newcomer;
            let is_out = if self.config.is_ghost(newcomer) {
                let newcomer = self.matrix.as_user(newcomer.clone());
                passed_over(decline(&newcomer, room, why).await, room)?.is_some()
            } else {
                match passed_over(membership_of(&speaker, room, newcomer).await, room)? {
                    Some(membership) if is_there(&membership) => {
                        let kicked = speaker.kick(room, newcomer, Some(why)).await;
                        passed_over(kicked.map_err(Failure::from), room)?.is_some()
                    }
                    membership => membership.is_some(),
                }
            };
            // Before it is said: who reads it writes on at once.
            if is_out && self.resume_direct(left).await? {
                let text = format!("{newcomer} could not be brought in. {why}");
                let said = self.say(&speaker, room, &gathering.event, "no group", &text);
                passed_over(said.await, room)?;
                passed_over(decline(&self.matrix.bot(), room, why).await, room)?;
                return Ok(self.store.change().no_gathering(room).commit()?);
            }
        }
        let text = format!(
            "{why} A direct message with people of Rocket.Chat is between those who were in it from the beginning. It goes on in a room of its own: start a new one, or wait for an answer."
        );
        let said = self.say(&speaker, room, &gathering.event, "third", &text);
        passed_over(said.await, room)?;
        let present = passed_over(self.present(&speaker, room).await, room)?;
        for ghost in present.unwrap_or_default().ghosts {
            // The last to go is the one who looks who is there.
            if ghost != *speaker.user_id() {
                passed_over(self.leave_for_good(&ghost, room, why).await, room)?;
            }
        }
        passed_over(decline(&self.matrix.bot(), room, why).await, room)?;
        let left = self.leave_for_good(speaker.user_id(), room, why).await;
        passed_over(left, room)?;
        self.store.change().no_gathering(room).commit()?;
        self.direct_rooms_changed();
        Ok(())
    }

    async fn leave_for_good(
        &self,
        ghost: &UserId,
        room: &RoomId,
        why: &str,
    ) -> Result<(), Failure> {
        let intent = self.matrix.as_user(ghost.to_owned());
        intent.register().await?;
        decline(&intent, room, why).await?;
        let change = self.store.change();
        Ok(change.ghost_not_in_room(room, ghost).commit()?)
    }

    /// Makes the room the portal of its direct message again. Not when that has another
    /// room since.
    async fn resume_direct(self: &Arc<Self>, left: &Portal) -> Result<bool, Failure> {
        let _one_at_a_time = self.making_portal.lock(&left.rid).await;
        if let Some(now) = self.store.portal(&left.id)? {
            return Ok(now.room_id == left.room_id);
        }
        self.store.change().portal(left).commit()?;
        self.store.flushed().await?;
        self.read_back(left.id.clone());
        Ok(true)
    }

    /// What a group of these people is called: after them, and after the event, by which
    /// it is found again.
    fn group_name(&self, present: &Present, event: &EventId) -> Result<String, Failure> {
        let mut names = Vec::new();
        for id in &present.ghosts {
            if let Some(ghost) = self.store.ghost_by_localpart(id.localpart())? {
                names.push(ghost.username);
            }
        }
        names.extend(present.users.iter().map(|user| user.localpart().to_owned()));
        let tag: String = self
            .message_id(event, 1, 0)
            .as_str()
            .chars()
            .take(6)
            .collect();
        Ok(named_after(&names, &tag))
    }

    /// Puts what tells of the bridge in the place of what told of a direct message.
    async fn name_bridge(
        &self,
        speaker: &Intent,
        room: &RoomId,
        left: Option<&Portal>,
        group: &Room,
    ) -> Result<(), crate::matrix::Error> {
        for state in self.bridge_state(group, &self.config.appservice.bot) {
            let Ok(state) = serde_json::from_str::<Value>(state.json().get()) else {
                continue;
            };
            let (Some(kind), Some(key)) = (state["type"].as_str(), state["state_key"].as_str())
            else {
                continue;
            };
            speaker
                .send_state(room, kind, key, &state["content"], None)
                .await?;
            if let Some(left) = left {
                let old = self.bridge_state_key(&left.rid);
                if speaker.state(room, kind, &old).await?.is_some() {
                    speaker
                        .send_state(room, kind, &old, &json!({}), None)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

/// What came of a step that others do not depend on; none when it cannot be done.
fn passed_over<T>(outcome: Result<T, Failure>, room: &RoomId) -> Result<Option<T>, Failure> {
    match outcome {
        Err(failure) if failure.is_permanent() => {
            tracing::info!(%room, %failure, "a step of giving up a group cannot be done");
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

/// A name of a room that every server takes (`UTF8_Channel_Names_Validation` as a new one
/// has it).
fn named_after(names: &[String], tag: &str) -> String {
    let mut name = String::new();
    for part in names.iter().take(NAMES_IN_NAME) {
        let part: String = part
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            .collect();
        if !part.is_empty() && name.len() + part.len() < LONGEST_NAME {
            name.push_str(&part);
            name.push('-');
        }
    }
    if names.len() > NAMES_IN_NAME {
        name.push_str(&format!("and-{}-more-", names.len() - NAMES_IN_NAME));
    }
    name.push_str(tag);
    name
}

#[cfg(test)]
mod tests {
    use super::named_after;

    #[test]
    fn a_group_is_called_after_its_people_in_what_a_server_takes() {
        let named = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            named_after(&names, "x7Kp2m")
        };
        assert_eq!(named(&["carol", "alice"]), "carol-alice-x7Kp2m");
        assert_eq!(named(&["zoë/", "ä"]), "zo-x7Kp2m");
        assert_eq!(
            named(&["a", "b", "c", "d", "e", "f"]),
            "a-b-c-d-and-2-more-x7Kp2m"
        );
        assert_eq!(named(&[&"x".repeat(200)]), "x7Kp2m");
    }
}
