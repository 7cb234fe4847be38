//! Somebody proposes to join the room that they administer with one of the other side.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, RoomOrAliasId, UserId};
use serde_json::Value;

use super::sides::Survey;
use super::{
    A_DAY_MS, A_DAY_OF_A_PERSON, NOT_AGAIN_MS, OPEN_OF_A_PERSON, OPEN_TO_A_ROOM, Wishes, new_code,
    words,
};
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::matrix::Kind;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Room, RoomType};
use crate::secret::Secret;
use crate::store::{Declined, EnteredRoom, Person, Proposal, ProposalStage, Tried};

/// What commands begin with in a room of Matrix.
const ON_MATRIX: &str = "!rc";

/// What they begin with in a room of Rocket.Chat.
const ON_ROCKETCHAT: &str = "!matrix";

impl Bridge {
    /// Somebody on Matrix proposes to join the room in which they are with a channel or
    /// group. What came of it, in words.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them.
    pub async fn propose_from_matrix(
        self: &Arc<Self>,
        user: &UserId,
        room: &RoomId,
        channel: &str,
        wishes: &Wishes,
    ) -> Result<String, Failure> {
        let by = Person::Matrix(user.to_owned());
        if !self.administers_matrix_room(room, user).await? {
            return Err(Failure::Refused(
                "That is for whoever may change the power levels of this room (mostly level \
                 100). I have to be in the room, too."
                    .into(),
            ));
        }
        let there = self.channel_to_join(user, channel).await?;
        self.propose(by, room.to_owned(), there.id, wishes).await
    }

    /// Somebody on Rocket.Chat proposes to join a channel or group with a Matrix room.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them.
    pub async fn propose_from_rocketchat(
        self: &Arc<Self>,
        by: Person,
        rid: &RocketRoomId,
        target: &RoomOrAliasId,
        via: &[OwnedServerName],
        wishes: &Wishes,
    ) -> Result<String, Failure> {
        let Person::RocketChat { id, .. } = &by else {
            return Err(Failure::Refused(
                "That is for people of Rocket.Chat.".into(),
            ));
        };
        if !self.administers_rocketchat_room(rid, id).await? {
            return Err(Failure::Refused(
                "That is for owners of this room, and for administrators of the server. In a \
                 private group the bridge's account has to be a member, too."
                    .into(),
            ));
        }
        // What other homeservers are asked for is counted, whatever comes of it.
        self.has_tries_left(&by)?;
        self.count_try(&by, Tried::Proposing).await?;
        let (room, mut via) = self.matrix_room_named(target, via.to_vec()).await?;
        if self.is_bot_inside(&room).await? {
            return self.propose(by, room, rid.clone(), wishes).await;
        }
        if self.store.portal_of_room(&room)?.is_some() {
            return Err(Failure::Refused(
                "The room on Matrix is mirrored by this bridge already.".into(),
            ));
        }
        if wishes.dry_run {
            return Ok(format!(
                "Nothing was done. I am not in that room ({room}), and would enter it in order \
                 to ask there; what it is like I can tell when I am in it."
            ));
        }
        crate::bridge::remote_join::add(&mut via, crate::bridge::remote_join::server_in(&room));
        self.propose_elsewhere(by, room, rid.clone(), &via, wishes)
            .await
    }

    /// As [`Bridge::propose`], in a room that the bot has to enter first.
    async fn propose_elsewhere(
        self: &Arc<Self>,
        by: Person,
        room: OwnedRoomId,
        rid: RocketRoomId,
        via: &[OwnedServerName],
        wishes: &Wishes,
    ) -> Result<String, Failure> {
        let key = (room.to_string(), rid.to_string());
        let _alone = self.plumbing.deciding.lock(&key).await;
        self.may_propose(&by, &room, &rid)?;
        // Noted first, so that it does not stay in a room of which nobody knows why.
        let entering = self.new_proposal(&by, &room, &rid, ProposalStage::Entering);
        let mut noted = EnteredRoom {
            room_id: room.clone(),
            at: entering.made,
            is_inside: false,
        };
        {
            // It is not just being left.
            let _alone = self.take_room(&room).await;
            let change = self.store.change().proposal(&entering);
            change.entered_room(&noted).commit()?;
        }
        self.store.flushed().await?;
        let bot = self.matrix.bot();
        let entered = bot.join_by_alias_or_id((&*room).into(), via).await;
        if let Err(error) = entered {
            // Without a no from the homeserver it may still come in.
            let is_refused = error.is_forbidden() || error.is_not_found();
            let mut change = self.store.change().no_proposal(&entering);
            if is_refused && !self.is_needed_besides(&entering)? {
                change = change.no_entered_room(&room);
            }
            change.commit()?;
            return Err(not_entered(&error, bot.user_id(), &room));
        }
        noted.is_inside = true;
        self.store.change().entered_room(&noted).commit()?;
        let proposed = self
            .propose_alone(by, room.clone(), rid.clone(), wishes)
            .await;
        if proposed.is_err()
            && let Some(entering) = self.store.proposal(&room, &rid)?
            && entering.stage == ProposalStage::Entering
        {
            self.drop_proposal(&entering).await?;
        }
        proposed
    }

    /// Proposes to join two rooms. Who does it administers theirs.
    async fn propose(
        self: &Arc<Self>,
        by: Person,
        room: OwnedRoomId,
        rid: RocketRoomId,
        wishes: &Wishes,
    ) -> Result<String, Failure> {
        let key = (room.to_string(), rid.to_string());
        let _alone = self.plumbing.deciding.lock(&key).await;
        self.propose_alone(by, room, rid, wishes).await
    }

    /// As [`Bridge::propose`], by whoever holds the lock of these two.
    async fn propose_alone(
        self: &Arc<Self>,
        by: Person,
        room: OwnedRoomId,
        rid: RocketRoomId,
        wishes: &Wishes,
    ) -> Result<String, Failure> {
        let survey = self.survey(&room, &rid).await?;
        let for_matrix = matches!(by, Person::RocketChat { .. });
        if wishes.dry_run {
            let confirmed = &wishes.confirmed;
            return Ok(words::dry_run(
                &survey,
                wishes.history,
                for_matrix,
                confirmed,
            ));
        }
        let known = self.store.proposal(&room, &rid)?;
        if let Some(known) = known.filter(|known| known.stage != ProposalStage::Entering) {
            return self
                .proposed_already(known, &by, &survey, wishes.history)
                .await;
        }
        self.may_propose(&by, &room, &rid)?;
        // Those on Matrix can give the bot what it lacks when they are asked.
        let obstacles = match for_matrix {
            true => survey.obstacles_to_ask(),
            false => survey.obstacles(),
        };
        if !obstacles.is_empty() {
            return Err(Failure::Refused(format!(
                "These two rooms cannot be joined:\n{}",
                words::listed(&obstacles)
            )));
        }
        if let Some(text) = words::unconfirmed(&survey, &wishes.confirmed, &wishes.command) {
            return Err(Failure::Refused(text));
        }
        let proposal = Proposal {
            history: wishes.history,
            consequences: survey.consequences(),
            ..self.new_proposal(&by, &room, &rid, ProposalStage::Open)
        };
        self.count_try(&by, Tried::Proposing).await?;
        {
            // If it is just being left nobody can be asked there, and that is said.
            let _alone = self.take_room(&room).await;
            self.store.change().proposal(&proposal).commit()?;
        }
        self.store.flushed().await?;
        tracing::info!(%room, %rid, by = %by.shown(), "somebody proposes to join two rooms");
        self.plumbing.news.notify_one();
        match self.ask_other_room(&proposal).await {
            Ok(()) => Ok(words::proposed(&proposal, &survey)),
            Err(failure) if failure.is_permanent() => {
                self.drop_proposal(&proposal).await?;
                Err(Failure::Refused(format!(
                    "Nobody could be asked there. {}",
                    failure.person_text()
                )))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The same was proposed before: perhaps by this very command, before the bridge was
    /// killed.
    async fn proposed_already(
        self: &Arc<Self>,
        known: Proposal,
        by: &Person,
        survey: &Survey,
        history: bool,
    ) -> Result<String, Failure> {
        if matches!(known.stage, ProposalStage::Accepted { .. }) {
            return Ok("That was approved, and the rooms are just being joined.".to_owned());
        }
        let is_of_this_side = std::mem::discriminant(&known.by) == std::mem::discriminant(by);
        if !is_of_this_side {
            return Err(Failure::Refused(
                "The other side has proposed the same: the notice in this room says how to \
                 approve it."
                    .into(),
            ));
        }
        if known.until <= now_ms() {
            self.plumbing.news.notify_one();
            return Err(Failure::NotYet("the earlier proposal to lapse"));
        }
        if !known.told {
            self.ask_other_room(&known).await?;
        }
        let mut text = words::proposed(&known, survey);
        if !known.by.is(by) {
            text.push_str(&format!(
                " It was {} who proposed it.",
                words::bounded(&known.by.shown())
            ));
        }
        if known.history != history {
            text.push_str(match known.history {
                true => " It was proposed with what was written on Rocket.Chat before.",
                false => " It was proposed without what was written before.",
            });
        }
        Ok(text)
    }

    /// Whether somebody may make a proposal now. Those that are open are few.
    fn may_propose(&self, by: &Person, room: &RoomId, rid: &RocketRoomId) -> Result<(), Failure> {
        let refused = |why: &str| Err(Failure::Refused(why.to_owned()));
        let for_matrix = matches!(by, Person::RocketChat { .. });
        let is_to_same = |other_room: &RoomId, other_rid: &RocketRoomId| match for_matrix {
            true => other_room == room,
            false => other_rid == rid,
        };
        let now = now_ms();
        for declined in self.store.declined() {
            let is_same_side = std::mem::discriminant(&declined.by) == std::mem::discriminant(by);
            let is_same = declined.room_id == *room && declined.rid == *rid;
            let is_theirs = declined.by.is(by) && is_to_same(&declined.room_id, &declined.rid);
            if declined.at > now - NOT_AGAIN_MS && is_same_side && (is_same || is_theirs) {
                let until = crate::clock::shown(declined.at + NOT_AGAIN_MS);
                return refused(&format!(
                    "Those who decide there have declined that, and are not asked again before \
                     {until}. They can propose it themselves."
                ));
            }
        }
        let others: Vec<_> = self
            .store
            .proposals()
            .into_iter()
            .filter(|other| other.room_id != *room || other.rid != *rid)
            .collect();
        let own = others.iter().filter(|other| other.by.is(by)).count();
        if own >= OPEN_OF_A_PERSON {
            return refused(&format!(
                "{own} of your proposals are open: wait until they are answered or have lapsed."
            ));
        }
        let to_same = others.iter().filter(|other| {
            other.is_for_matrix() == for_matrix && is_to_same(&other.room_id, &other.rid)
        });
        let declined = self.store.declined();
        let declined = declined.iter().filter(|declined| {
            let is_same_side = std::mem::discriminant(&declined.by) == std::mem::discriminant(by);
            declined.at > now - A_DAY_MS
                && is_same_side
                && is_to_same(&declined.room_id, &declined.rid)
        });
        if to_same.count() + declined.count() >= OPEN_TO_A_ROOM {
            return refused("Those who decide there have enough other proposals to answer.");
        }
        self.has_tries_left(by)
    }

    fn has_tries_left(&self, by: &Person) -> Result<(), Failure> {
        let since = now_ms() - A_DAY_MS;
        match self.tried(by, Tried::Proposing, since)? >= A_DAY_OF_A_PERSON {
            true => Err(Failure::Refused(
                "You have proposed enough for today.".into(),
            )),
            false => Ok(()),
        }
    }

    fn new_proposal(
        &self,
        by: &Person,
        room: &RoomId,
        rid: &RocketRoomId,
        stage: ProposalStage,
    ) -> Proposal {
        let made = now_ms();
        let holds = i64::try_from(self.config.bridge.proposals_hold.as_millis());
        Proposal {
            room_id: room.to_owned(),
            rid: rid.clone(),
            by: by.clone(),
            code: Secret::new(new_code()),
            made,
            until: made.saturating_add(holds.unwrap_or(i64::MAX)),
            history: false,
            consequences: Default::default(),
            told: false,
            stage,
        }
    }

    /// Tells those who decide, in their room.
    pub(super) async fn ask_other_room(&self, proposal: &Proposal) -> Result<(), Failure> {
        let survey = self.survey(&proposal.room_id, &proposal.rid).await?;
        if proposal.is_for_matrix() {
            let text = words::notice(proposal, &survey, ON_MATRIX);
            self.tell_plumbed_room(proposal, "asked", &text).await?;
        } else {
            let text = words::notice(proposal, &survey, ON_ROCKETCHAT);
            self.tell_plumbed_channel(proposal, "asked", &text).await?;
        }
        let told = Proposal {
            told: true,
            ..proposal.clone()
        };
        Ok(self.store.change().proposal(&told).commit()?)
    }

    /// Notes that those who decide said no.
    pub(super) fn note_declined(&self, proposal: &Proposal) -> Result<(), Failure> {
        let declined = Declined {
            room_id: proposal.room_id.clone(),
            rid: proposal.rid.clone(),
            by: proposal.by.clone(),
            at: now_ms(),
        };
        Ok(self.store.change().declined(&declined).commit()?)
    }

    /// The channel or group with that name, as far as somebody on Matrix may know of it:
    /// of a private one only who is in it.
    async fn channel_to_join(&self, user: &UserId, name: &str) -> Result<Room, Failure> {
        let rocket = self.rocket().await;
        let room = match rocket.bot.channel_named(name).await? {
            Some(room) => Some(room),
            None => rocket.bot.group_by_name(name).await?,
        };
        if let Some(room) = room {
            let is_private = room.t != RoomType::Channel || self.is_for_members_only(&room).await?;
            let is_theirs = match self.store.puppet(user)? {
                Some(puppet) if is_private => {
                    let id = &puppet.credentials.user_id;
                    rocket.bot.is_member(&room.id, id).await?
                }
                _ => false,
            };
            if !is_private || is_theirs {
                return Ok(room);
            }
        }
        Err(Failure::Refused(format!(
            "There is no channel named {} on Rocket.Chat that you and the bridge can see. A \
             private group is joined from there: one of its owners says `{ON_ROCKETCHAT} bridge \
             <room>` in it.",
            words::bounded(name)
        )))
    }

    /// Where an address leads, with homeservers that are in that room.
    async fn matrix_room_named(
        &self,
        target: &RoomOrAliasId,
        mut via: Vec<OwnedServerName>,
    ) -> Result<(OwnedRoomId, Vec<OwnedServerName>), Failure> {
        if let Ok(room) = RoomId::parse(target.as_str()) {
            return Ok((room, via));
        }
        let alias = RoomAliasId::parse(target.as_str())
            .map_err(|_| Failure::Refused("That is no room of Matrix.".into()))?;
        if self.channel_of_alias(&alias).is_some() {
            // Looking it up would have the bridge asked for it.
            return Err(Failure::Refused(
                "That is an address of the bridge's own rooms, which mirror channels already."
                    .into(),
            ));
        }
        match self.matrix.bot().look_up_alias(&alias).await {
            Ok((room, servers)) => {
                crate::bridge::remote_join::add(&mut via, servers);
                Ok((room, via))
            }
            Err(error) if error.is_not_found() => Err(Failure::Refused(format!(
                "There is no room {} on Matrix.",
                words::bounded(alias.as_str())
            ))),
            Err(error) => Err(no_answer(&error).unwrap_or(error.into())),
        }
    }

    /// Whether the bot is in a room.
    pub(super) async fn is_bot_inside(&self, room: &RoomId) -> Result<bool, Failure> {
        let bot = self.matrix.bot();
        let own = bot.state(room, "m.room.member", bot.user_id().as_str());
        match own.await {
            Ok(member) => {
                let membership = member.as_ref().and_then(|member| member.get("membership"));
                Ok(membership.and_then(Value::as_str) == Some("join"))
            }
            Err(error) if error.is_forbidden() || error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What to tell when another homeserver does not answer, which may last: trying again is
/// the person's to decide. None when it is our own that fails.
fn no_answer(error: &crate::matrix::Error) -> Option<Failure> {
    let is_elsewhere = matches!(error.kind(), Kind::Server { code, .. } if code.is_some())
        || error.status() == Some(404);
    is_elsewhere.then(|| {
        Failure::Refused(
            "The homeserver of that room does not answer. Try again later, or invite me into \
             the room."
                .into(),
        )
    })
}

fn not_entered(error: &crate::matrix::Error, bot: &UserId, room: &RoomId) -> Failure {
    if matches!(error.kind(), Kind::Transport { .. }) {
        return Failure::Refused(format!(
            "I could not enter {room} in time. Try again in two minutes: I may be inside by \
             then. If it stays so, have {bot} invited there first."
        ));
    }
    if error.is_forbidden() {
        return Failure::Refused(format!(
            "I may not enter {room}. Have {bot} invited there first, then try again."
        ));
    }
    no_answer(error).unwrap_or_else(|| {
        Failure::Refused(format!(
            "I could not enter {room}. Have {bot} invited there first, then try again."
        ))
    })
}
