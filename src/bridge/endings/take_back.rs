//! What the bridge had put into the two rooms of a portal is taken back.

use std::collections::BTreeSet;

use ruma::events::room::member::MembershipState;
use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use super::{is_direct, is_there_on_matrix, is_there_on_rocketchat, words};
use crate::bridge::room_state::{BRIDGE_STATE, CANONICAL};
use crate::bridge::{Bridge, Failure, derived, marker};
use crate::matrix::{self, Intent};
use crate::rocketchat::documents::RoomType;
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{self, RocketMessageId};
use crate::store::{Ending, Portal, PortalKind};

impl Bridge {
    /// Takes everything back that the bridge had put into the rooms of a portal. Those
    /// who are there because of it leave last of all.
    pub(super) async fn take_everything_back(&self, ending: &mut Ending) -> Result<(), Failure> {
        if !ending.told_matrix && is_there_on_matrix(ending) {
            self.as_far_as_possible("told on Matrix", || self.tell_matrix(ending))
                .await?;
            ending.told_matrix = true;
            self.store.change().ending(ending).commit()?;
        }
        if !ending.told_rocketchat && !is_direct(&ending.portal) {
            self.as_far_as_possible("told on Rocket.Chat", || self.tell_rocketchat(ending))
                .await?;
            ending.told_rocketchat = true;
            self.store.change().ending(ending).commit()?;
        }
        let portal = &ending.portal;
        if is_there_on_matrix(ending) {
            self.take_up_the_last(ending).await;
            self.as_far_as_possible("marked as not bridged", || self.unmark(portal))
                .await?;
        }
        if !is_direct(portal) {
            // Where a room that existed before is found is its own people's.
            if !portal.plumbed {
                self.as_far_as_possible("taken out of the directory", || self.unlist(portal))
                    .await?;
            }
            if is_there_on_rocketchat(ending) {
                self.puppets_leave(ending).await?;
            }
        }
        self.ghosts_leave(ending).await
    }

    /// Does a step. One that cannot be done, because somebody took the rights for it or
    /// the room is gone, keeps nothing else from being taken back.
    async fn as_far_as_possible<F, Fut>(&self, what: &str, step: F) -> Result<(), Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), Failure>>,
    {
        match self.persevere(|_| step()).await {
            Err(failure) if failure.is_permanent() => {
                tracing::info!(%failure, "a room that ends could not be {what}");
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn tell_matrix(&self, ending: &Ending) -> Result<(), Failure> {
        let portal = &ending.portal;
        let others = self.store.portals_of(&portal.rid)?.len();
        let mut content = json!({
            "msgtype": "m.notice",
            "body": words::on_matrix(ending, others),
            "m.mentions": {},
        });
        marker::stamp_as_own(&mut content);
        let txn = derived::ending_id(&portal.room_id, ending.begun);
        self.reader(portal)
            .await?
            .send(&portal.room_id, "m.room.message", &content, &txn, None)
            .await?;
        Ok(())
    }

    async fn tell_rocketchat(&self, ending: &Ending) -> Result<(), Failure> {
        let others = self.store.portals_of(&ending.portal.rid)?.len();
        let Some(text) = words::on_rocketchat(ending, others) else {
            return Ok(());
        };
        let key = &self.registration.as_token;
        let id = derived::ending_message_id(key, &ending.portal.id, ending.begun);
        self.say_on_rocketchat(ending, &id, &text).await
    }

    /// Says whom Rocket.Chat does not let leave: who alone owns the room stays in it.
    async fn tell_who_stays(&self, ending: &Ending, staying: &[String]) -> Result<(), Failure> {
        let key = &self.registration.as_token;
        // Another id than that of the end, which was begun in a moment of its own.
        let told = derived::ending_message_id(key, &ending.portal.id, -ending.begun);
        self.say_on_rocketchat(ending, &told, &words::staying(staying))
            .await
    }

    async fn say_on_rocketchat(
        &self,
        ending: &Ending,
        id: &RocketMessageId,
        text: &str,
    ) -> Result<(), Failure> {
        let message = OutgoingMessage {
            id,
            rid: &ending.portal.rid,
            msg: text,
            tmid: None,
            alias: None,
            avatar: None,
            emoji: None,
        };
        self.rocket().await.bot.send_message(&message).await?;
        Ok(())
    }

    /// Looks for what was written before the room was told and has not arrived yet, so
    /// that its sender is told.
    async fn take_up_the_last(&self, ending: &Ending) {
        let portal = &ending.portal;
        if let Err(failure) = self.recover_room(portal, ending.begun).await {
            tracing::info!(room = %portal.room_id, %failure, "a room that ends could not be looked through once more");
        }
        self.to_rocket.settled(&portal.room_id).await;
    }

    /// Empties the state that says that the room is bridged.
    pub(in crate::bridge) async fn unmark(&self, portal: &Portal) -> Result<(), Failure> {
        let reader = self.reader(portal).await?;
        let key = self.bridge_state_key(&portal.rid);
        for kind in BRIDGE_STATE {
            let is_set = reader
                .state(&portal.room_id, kind, &key)
                .await?
                .is_some_and(|content| content.as_object().is_some_and(|known| !known.is_empty()));
            if is_set {
                reader
                    .send_state(&portal.room_id, kind, &key, &json!({}), None)
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes the room out of the directory, and its aliases in the bridge's namespace
    /// away.
    async fn unlist(&self, portal: &Portal) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        let room = &portal.room_id;
        // The alias may be given to another room later: whoever follows it must not
        // come here.
        for alias in self.own_aliases(&bot, portal).await? {
            match bot.delete_alias(&alias).await {
                Err(error) if error.is_not_found() => {}
                outcome => outcome?,
            }
        }
        if bot.joined_rooms().await?.contains(room) {
            bot.list_in_directory(room, false).await?;
            self.forget_own_addresses(&bot, room).await?;
        }
        Ok(())
    }

    async fn own_aliases(
        &self,
        bot: &Intent,
        portal: &Portal,
    ) -> Result<Vec<ruma::OwnedRoomAliasId>, Failure> {
        let listed = match bot.aliases_of(&portal.room_id).await {
            Ok(aliases) => aliases,
            // The bot is not there any more: then the one that it gave.
            Err(error) if error.is_forbidden() || error.is_not_found() => {
                let mut ours = Vec::new();
                if let Some(given) = self.alias_of_name(&portal.name)
                    && bot.resolve_alias(&given).await?.as_ref() == Some(&portal.room_id)
                {
                    ours.push(given);
                }
                ours
            }
            Err(error) => return Err(error.into()),
        };
        Ok(listed
            .into_iter()
            .filter(|alias| self.channel_of_alias(alias).is_some())
            .collect())
    }

    /// The room no longer says that it has addresses of the bridge's.
    async fn forget_own_addresses(&self, bot: &Intent, room: &RoomId) -> Result<(), Failure> {
        let Some(mut content) = bot.state(room, CANONICAL, "").await? else {
            return Ok(());
        };
        let is_ours = |alias: &Value| {
            alias
                .as_str()
                .and_then(|alias| ruma::RoomAliasId::parse(alias).ok())
                .is_some_and(|alias| self.channel_of_alias(&alias).is_some())
        };
        let before = content.clone();
        if content.get("alias").is_some_and(is_ours)
            && let Some(content) = content.as_object_mut()
        {
            content.remove("alias");
        }
        if let Some(more) = content.get_mut("alt_aliases").and_then(Value::as_array_mut) {
            more.retain(|alias| !is_ours(alias));
        }
        if content != before {
            bot.send_state(room, CANONICAL, "", &content, None).await?;
        }
        Ok(())
    }

    /// The puppets leave the room on Rocket.Chat: they are there for the bridge only. At
    /// last its own account leaves.
    async fn puppets_leave(&self, ending: &Ending) -> Result<(), Failure> {
        let portal = &ending.portal;
        let kind = match portal.kind {
            PortalKind::Channel => RoomType::Channel,
            _ => RoomType::Group,
        };
        let (rid, kind) = (&portal.rid, &kind);
        let mut staying = Vec::new();
        for user in self.puppets_there(portal, kind).await? {
            let left = self
                .persevere(async |_| {
                    // Nobody's own account is taken out of a room.
                    let Some(puppet) = self.store.made_puppet(&user)? else {
                        return Ok(());
                    };
                    self.as_puppet(&puppet, |session| async move {
                        has_left(session.leave(rid, kind).await)
                    })
                    .await
                })
                .await;
            match left {
                Err(failure) if failure.is_permanent() => {
                    tracing::info!(%rid, %user, %failure, "a puppet stays in a room that is no longer mirrored");
                    staying.extend(self.store.made_puppet(&user)?.map(|puppet| puppet.username));
                }
                outcome => outcome?,
            }
        }
        if !staying.is_empty() {
            self.as_far_as_possible("told who stays", || self.tell_who_stays(ending, &staying))
                .await?;
        }
        if self.store.is_mirrored(rid)? {
            // It hears the room for its other portals.
            return Ok(());
        }
        self.as_far_as_possible("left by the bridge's account", || async {
            let rocket = self.rocket().await;
            Ok(has_left(rocket.bot.leave(rid, kind).await)?)
        })
        .await
    }

    /// The Matrix users whose puppets are in the room, as far as that can be known.
    async fn puppets_there(
        &self,
        portal: &Portal,
        kind: &RoomType,
    ) -> Result<BTreeSet<OwnedUserId>, Failure> {
        let known = self.store.puppets_in_room(&portal.id, usize::MAX)?;
        let mut there: BTreeSet<OwnedUserId> = known.into_iter().collect();
        if self.store.is_mirrored(&portal.rid)? {
            // Another Matrix room has the channel, and keeps those who are in it.
            let mut only_here = BTreeSet::new();
            for user in there {
                if !self
                    .persevere(|_| self.is_held_by_another(portal, &user))
                    .await?
                {
                    only_here.insert(user);
                }
            }
            return Ok(only_here);
        }
        let listed = self
            .persevere(async |_| {
                let rocket = self.rocket().await;
                Ok(rocket.bot.room_members(&portal.rid, kind).await?)
            })
            .await;
        match listed {
            Ok(members) => {
                for member in members {
                    there.extend(self.store.behind_made_puppet(&member.id)?);
                }
            }
            Err(failure) if failure.is_permanent() => {
                tracing::info!(rid = %portal.rid, %failure, "who is in a room that ends is not told");
            }
            Err(failure) => return Err(failure),
        }
        Ok(there)
    }

    /// The ghosts leave the Matrix room, and the bot at last.
    async fn ghosts_leave(&self, ending: &Ending) -> Result<(), Failure> {
        let portal = &ending.portal;
        let room = &portal.room_id;
        let why = words::leaving(&ending.reason);
        let ghosts = self.persevere(|_| self.ghosts_there(ending)).await?;
        if is_there_on_matrix(ending) && !is_direct(portal) && !portal.plumbed {
            self.as_far_as_possible("freed of the rights of ghosts", || {
                self.take_rights_of_ghosts(portal)
            })
            .await?;
        }
        for ghost in ghosts {
            let intent = self.matrix.as_user(ghost);
            self.persevere(async |_| Ok(is_out(intent.leave(room, Some(why)).await)?))
                .await?;
        }
        if is_there_on_matrix(ending) && !is_direct(portal) {
            let bot = self.matrix.bot();
            self.persevere(async |_| Ok(is_out(bot.leave(room, Some(why)).await)?))
                .await?;
        }
        Ok(())
    }

    /// The ghosts that are in the room or invited, the bot not among them.
    async fn ghosts_there(&self, ending: &Ending) -> Result<BTreeSet<OwnedUserId>, Failure> {
        let portal = &ending.portal;
        let known = self.store.ghosts_in_room(&portal.room_id)?;
        let mut there: BTreeSet<OwnedUserId> = known.into_iter().collect();
        if is_there_on_matrix(ending) {
            match self.reader(portal).await?.members(&portal.room_id).await {
                Ok(members) => there.extend(
                    members
                        .into_iter()
                        .filter(|(_, membership)| {
                            matches!(
                                membership,
                                MembershipState::Join
                                    | MembershipState::Invite
                                    | MembershipState::Knock
                            )
                        })
                        .map(|(member, _)| member),
                ),
                // It has left already: an earlier run had come so far.
                Err(error) if error.is_forbidden() || error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        there.retain(|member| self.config.is_ghost(member) && !self.is_bot(member));
        Ok(there)
    }

    /// The rights that ghosts had in the room go with them.
    async fn take_rights_of_ghosts(&self, portal: &Portal) -> Result<(), Failure> {
        self.change_power_levels(portal, None, |levels| {
            let named: Vec<_> = levels.named_users().map(|(user, _)| user).collect();
            for user in named {
                if self.config.is_ghost(&user) && !self.is_bot(&user) {
                    levels.set_user_level(&user, None);
                }
            }
        })
        .await?;
        Ok(())
    }

    fn is_bot(&self, user: &UserId) -> bool {
        user == self.config.appservice.bot
    }
}

/// Being out of a room, or never having been in it, is having left.
fn has_left(outcome: Result<(), rocketchat::Error>) -> Result<(), rocketchat::Error> {
    match outcome {
        Err(error)
            if matches!(
                error.code(),
                Some("error-user-not-in-room" | "error-room-not-found" | "error-invalid-room")
            ) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

/// As [`has_left`], on Matrix.
pub(super) fn is_out(outcome: Result<(), matrix::Error>) -> Result<(), matrix::Error> {
    match outcome {
        Err(error) if error.is_forbidden() || error.is_not_found() => Ok(()),
        outcome => outcome,
    }
}
