//! What people do by command to those of the other side: bring them into a mirrored room,
//! remove them, keep them out. Whoever asks needs the right to it in both rooms at that
//! moment, on the other side in the shape of their puppet or ghost: nobody does by a
//! command what they could not do by themselves.

use ruma::UserId;
use serde_json::json;

use super::{Why, refusal, room_type};
use crate::bridge::context::{Context, Who};
use crate::bridge::direct::Named;
use crate::bridge::linking::{Hand, at_the_word_of, has_power_over};
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::matrix::TimelineEvent;
use crate::rocketchat::RocketUserId;
use crate::rocketchat::documents::UserRef;
use crate::store::{Ghost, Portal, PortalKind, Stand};

/// In a ban that the bot sets: at whose word.
const AT_THE_WORD_OF: &str = "chat.rocket.bridge.by";

/// What is done to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// They have to go, and may come back.
    Kick,
    /// They have to go and stay away.
    Ban,
    /// They may come back.
    Unban,
}

impl Removal {
    /// The key of the power levels that says who may.
    fn level(self) -> &'static str {
        match self {
            Self::Kick => "kick",
            Self::Ban | Self::Unban => "ban",
        }
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(why.into()))
}

/// Who set a ban: where the bot did so at somebody's word, that person. Only the bot's own
/// events say so.
pub(super) fn banned_by(event: &TimelineEvent, is_ours: bool) -> ruma::OwnedUserId {
    let named = event.content.get(AT_THE_WORD_OF);
    named
        .filter(|_| is_ours)
        .and_then(|user| UserId::parse(user.as_str()?).ok())
        .unwrap_or_else(|| event.sender.clone())
}

impl Bridge {
    /// The mirrored channel or group that something is asked in.
    ///
    /// # Errors
    /// [`Failure::Refused`] where there is none.
    pub fn rooms_to_change(&self, context: &Context) -> Result<Vec<Portal>, Failure> {
        let here = self.portals_here(context)?;
        if here.is_empty() {
            return refused(
                "This room is not mirrored: give this command in the room that it is about.",
            );
        }
        let rooms: Vec<Portal> = here
            .into_iter()
            .filter(|portal| !portal.kind.is_direct())
            .collect();
        match rooms.is_empty() {
            true => refused("Who is in a direct message does not change by commands."),
            false => Ok(rooms),
        }
    }

    /// Brings somebody of the other side into a mirrored room, at the word of whoever asks.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them.
    pub async fn invite_by_command(
        &self,
        context: &Context,
        portal: &Portal,
        whom: &Named,
    ) -> Result<String, Failure> {
        match (&context.who, whom) {
            (Who::Matrix(user), Named::OnRocketChat(name)) => {
                self.invite_to_rocketchat(portal, user, name).await
            }
            (Who::RocketChat { id, .. }, Named::OnMatrix(guest)) => {
                self.invite_to_matrix(portal, id, guest).await
            }
            (Who::Matrix(_), Named::OnMatrix(guest)) => refused(format!(
                "{guest} is on Matrix: invite them with your own client, and their account on Rocket.Chat follows."
            )),
            (Who::RocketChat { .. }, Named::OnRocketChat(name)) => refused(format!(
                "{name} is on Rocket.Chat: add them as you do anybody here."
            )),
            (Who::Api(_), _) => refused("A program invites nobody."),
        }
    }

    async fn invite_to_rocketchat(
        &self,
        portal: &Portal,
        user: &UserId,
        name: &str,
    ) -> Result<String, Failure> {
        let levels = self.power_levels(portal).await?;
        let is_there = self.seat(portal, user).await?.membership() == "join";
        if !is_there || levels.level_of(user) < levels.level("invite") {
            return refused("You may not invite anybody into this room on Matrix.");
        }
        let puppet = self.account_in(portal, user).await?;
        let ghost = self
            .ghost_to_write_to(name, &puppet.credentials.user_id)
            .await?;
        let seat = self.seat(portal, &ghost.user_id).await?;
        if seat.membership() == "ban" {
            return refused(format!(
                "{name} is banned from this room on Matrix: that has to be ended first."
            ));
        }
        if self.is_member(portal, &ghost.rocket_id).await? {
            return Ok(format!("{name} is in the room on Rocket.Chat already."));
        }
        self.bring_puppet_in(portal, &puppet).await?;
        let kind = room_type(portal).unwrap_or_default();
        self.as_puppet(&puppet, |session| {
            let (kind, id) = (kind.clone(), ghost.rocket_id.clone());
            async move { session.invite(&portal.rid, &kind, &id).await }
        })
        .await?;
        // It comes by itself in a small room, and with their first words in a big one.
        self.settle_ghost(portal, &ghost.rocket_id, Why::Look)
            .await?;
        Ok(format!("{name} is in the room on Rocket.Chat now."))
    }

    async fn invite_to_matrix(
        &self,
        portal: &Portal,
        caller: &RocketUserId,
        guest: &UserId,
    ) -> Result<String, Failure> {
        self.must_be_there_to_write_to(guest, caller).await?;
        if !self.is_member(portal, caller).await? {
            return refused("You are not in this room.");
        }
        let may_add = self.may_invite(portal, caller).await?;
        if portal.kind == PortalKind::Group && !may_add {
            return refused("You may not add people to this room.");
        }
        let seat = self.seat(portal, guest).await?;
        match seat.membership() {
            "join" => return Ok(format!("`{guest}` is in the room on Matrix already.")),
            "invite" => return Ok(format!("`{guest}` is invited already.")),
            "ban" => {
                return refused(format!(
                    "`{guest}` is banned from this room on Matrix: that has to be ended first."
                ));
            }
            _ => {}
        }
        let room = &portal.room_id;
        // Who comes into a private group at a ghost's invitation has no right to: only the
        // bot's word counts there, which it gives for who may add people.
        // Who is in a room that was joined is for its own people: only what they may do
        // there themselves counts.
        if (portal.kind == PortalKind::Channel || portal.plumbed)
            && let Some(hand) = self.hand_of(portal, caller).await?
            && self.invite_by_hand(portal, &hand, guest).await?
        {
            return Ok(format!("`{guest}` is invited."));
        }
        if !may_add || portal.plumbed {
            return refused("You may not invite anybody into this room.");
        }
        match self.matrix.bot().invite(room, guest, None).await {
            Ok(()) => Ok(format!("`{guest}` is invited.")),
            Err(error) if error.is_forbidden() => refused(format!(
                "The homeserver does not allow that `{guest}` is invited: perhaps they want no invitations, or the room is for its own homeserver only."
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes somebody of the other side from a mirrored room, keeps them out or lets them
    /// come back, at the word of whoever asks.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them.
    pub async fn remove_by_command(
        &self,
        context: &Context,
        portal: &Portal,
        what: Removal,
        whom: &Named,
        reason: &str,
    ) -> Result<String, Failure> {
        let levels = self.power_levels(portal).await?;
        match (&context.who, whom) {
            (Who::Matrix(user), Named::OnRocketChat(name)) => {
                // Nobody gets an account by asking for what they may not do.
                let own = self.store.puppet(user)?.map_or_else(
                    || RocketUserId::new(""),
                    |puppet| puppet.credentials.user_id,
                );
                let ghost = self.ghost_to_write_to(name, &own).await?;
                let is_there = self.seat(portal, user).await?.membership() == "join";
                if !is_there || !has_power_over(&levels, user, &ghost.user_id, what.level()) {
                    return refused(NO_POWER);
                }
                self.remove_from_matrix(portal, (user, &context.id), &ghost, what, reason)
                    .await?;
                Ok(done(what, name))
            }
            (Who::RocketChat { id, .. }, Named::OnMatrix(target)) => {
                let kind = room_type(portal).unwrap_or_default();
                let stand = self.stand_on_rocketchat(&portal.rid, &kind, id).await?;
                if stand < Stand::Moderator {
                    return refused("You may not remove people from this room.");
                }
                if self.config.is_ours(target) {
                    return refused(format!(
                        "`{target}` is the bridge's, not a person of Matrix."
                    ));
                }
                let Some(person) = self.person_in(portal, id).await? else {
                    return refused(NO_POWER);
                };
                if !has_power_over(&levels, &person, target, what.level()) {
                    return refused(NO_POWER);
                }
                let Some(hand) = self.hand_of(portal, id).await? else {
                    return refused(NO_POWER);
                };
                let bot = &self.config.appservice.bot;
                if matches!(hand, Hand::Lent(_))
                    && !has_power_over(&levels, bot, target, what.level())
                {
                    return refused(BOT_LACKS_POWER);
                }
                let by = (id, &hand, context.id.as_str());
                self.remove_from_rocketchat(portal, by, target, what, reason)
                    .await?;
                Ok(done(what, &format!("`{target}`")))
            }
            (Who::Matrix(_), Named::OnMatrix(target)) => refused(format!(
                "{target} is on Matrix: do it with your own client, and Rocket.Chat follows."
            )),
            (Who::RocketChat { .. }, Named::OnRocketChat(name)) => refused(format!(
                "{name} is on Rocket.Chat: do it as you do to anybody here."
            )),
            (Who::Api(_), _) => refused("A program removes nobody."),
        }
    }

    async fn remove_from_matrix(
        &self,
        portal: &Portal,
        (by, command): (&UserId, &str),
        ghost: &Ghost,
        what: Removal,
        reason: &str,
    ) -> Result<(), Failure> {
        let (bot, room) = (self.matrix.bot(), &portal.room_id);
        let id = &ghost.rocket_id;
        // What is half done, or whose answer was lost, is this command's own deed.
        let has_begun = self.store.has_begun_removal(&portal.id, command)?;
        let is_banned = self.seat(portal, &ghost.user_id).await?.membership() == "ban";
        match what {
            Removal::Unban => {
                if !is_banned && !has_begun {
                    return refused("They are not banned from this room.");
                }
                self.begin_removal(portal, command).await?;
                if is_banned {
                    match bot.unban(room, &ghost.user_id, some(reason)).await {
                        Err(error) if error.is_forbidden() => return refused(BOT_LACKS_POWER),
                        outcome => outcome?,
                    }
                }
                Ok(self
                    .store
                    .amend_standing(&portal.id, id, |standing| standing.ban = None)?)
            }
            Removal::Kick | Removal::Ban => {
                if what == Removal::Kick && !has_begun && !self.is_member(portal, id).await? {
                    return refused("They are not in the room on Rocket.Chat.");
                }
                self.begin_removal(portal, command).await?;
                // Both at once: by the news of the one the ghost would leave without the reason.
                let key = (portal.rid.clone(), id.as_str().to_owned());
                let alone = self.members.settling.lock(&key).await;
                match self.kick_as(portal, by, id).await {
                    // Its answer may have been lost.
                    Err(failure) if !failure.is_permanent() => {
                        if self.is_member(portal, id).await? {
                            return Err(failure);
                        }
                    }
                    outcome => outcome?,
                }
                if what == Removal::Ban && !is_banned {
                    let mut content = json!({ "membership": "ban", AT_THE_WORD_OF: by });
                    if !reason.is_empty() {
                        content["reason"] = reason.into();
                    }
                    let key = ghost.user_id.as_str();
                    match bot
                        .send_state(room, "m.room.member", key, &content, None)
                        .await
                    {
                        Err(error) if error.is_forbidden() => return refused(BOT_LACKS_POWER),
                        outcome => drop(outcome?),
                    }
                } else if what == Removal::Kick {
                    match bot.kick(room, &ghost.user_id, some(reason)).await {
                        // It leaves when Rocket.Chat tells that its person is gone.
                        Err(error) if error.is_forbidden() => {}
                        outcome => outcome?,
                    }
                }
                drop(alone);
                self.settle_ghost(portal, id, Why::Look).await
            }
        }
    }

    /// Notes what is about to be done, so that it is not taken for somebody else's deed when
    /// it is found half done.
    async fn begin_removal(&self, portal: &Portal, command: &str) -> Result<(), Failure> {
        let noted = self.store.begin_removal(&portal.id, command, now_ms());
        Ok(noted.await?)
    }

    async fn remove_from_rocketchat(
        &self,
        portal: &Portal,
        (by, hand, command): (&RocketUserId, &Hand, &str),
        target: &UserId,
        what: Removal,
        reason: &str,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        let (actor, reason) = match hand {
            Hand::Theirs(intent) => (intent.clone(), reason.to_owned()),
            Hand::Lent(user) => (self.matrix.bot(), at_the_word_of(user, reason)),
        };
        let reason = reason.as_str();
        let seat = self.seat(portal, target).await?;
        let membership = seat.membership().to_owned();
        let has_begun = self.store.has_begun_removal(&portal.id, command)?;
        if what == Removal::Unban {
            if membership != "ban" {
                return match has_begun {
                    true => Ok(()),
                    false => refused("They are not banned from this room."),
                };
            }
            self.begin_removal(portal, command).await?;
            return match actor.unban(room, target, some(reason)).await {
                Err(error) if error.is_forbidden() => refused(NO_POWER),
                outcome => Ok(outcome?),
            };
        }
        // Both at once: the news of the one before the other would look like somebody's who has
        // no right to it, and in a room that existed before the puppet would come back.
        let key = (portal.rid.clone(), target.as_str().to_owned());
        let alone = self.members.settling.lock(&key).await;
        let kind = room_type(portal).unwrap_or_default();
        let account = self
            .store
            .puppet(target)?
            .map(|puppet| puppet.credentials.user_id);
        let account = match account {
            Some(id) if self.is_member(portal, &id).await? => Some(id),
            _ => None,
        };
        let was_there = matches!(membership.as_str(), "join" | "invite" | "knock");
        if what == Removal::Kick && !was_there && account.is_none() && !has_begun {
            return refused("They are not in this room.");
        }
        self.begin_removal(portal, command).await?;
        if let Some(id) = &account {
            let rocket = self.rocket().await;
            // Rocket.Chat's rules count, such as that a room keeps an owner.
            let kicked = rocket.bot.kick(&portal.rid, &kind, id).await;
            match kicked.map_err(Failure::from) {
                Ok(()) => {}
                Err(failure) if super::is_not_in_room(&failure) => {}
                // Its answer may have been lost.
                Err(failure) if !failure.is_permanent() => {
                    if self.is_member(portal, id).await? {
                        return Err(failure);
                    }
                }
                Err(failure) => return refused(refusal(failure)?),
            }
        }
        let removed = match what {
            Removal::Ban => actor.ban(room, target, some(reason)).await,
            _ if was_there => actor.kick(room, target, some(reason)).await,
            _ => Ok(()),
        };
        match removed {
            // It was removed already when Rocket.Chat told that its puppet is gone.
            Err(error) if error.is_forbidden() && what == Removal::Kick => {}
            Err(error) if error.is_forbidden() => return refused(NO_POWER),
            outcome => outcome?,
        }
        drop(alone);
        let by = UserRef {
            id: by.clone(),
            username: None,
            name: None,
        };
        // What Rocket.Chat tells of it comes later, and finds it done.
        self.settle_as(portal, target, &by).await
    }
}

const NO_POWER: &str = "You have not the power for that in the room on Matrix.";

const BOT_LACKS_POWER: &str =
    "The bridge has not the power for that in the room on Matrix: give it more.";

fn some(reason: &str) -> Option<&str> {
    (!reason.is_empty()).then_some(reason)
}

fn done(what: Removal, whom: &str) -> String {
    match what {
        Removal::Kick => format!("{whom} is removed from this room on both sides."),
        Removal::Ban => format!("{whom} is removed from this room and kept out on Matrix."),
        Removal::Unban => format!("{whom} may come into this room again."),
    }
}
