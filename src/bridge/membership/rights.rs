//! Owners and moderators of Rocket.Chat, and levels of power on Matrix.
//!
//! On which side something changed is told by what was agreed last. What somebody on
//! Matrix did counts as far as their puppet may do it on Rocket.Chat; who did it is read
//! from the room's history, so that nobody's change is carried over with another's
//! rights. What changed on both sides is as it is on Rocket.Chat.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ruma::{OwnedUserId, UserId};

use super::{permissions::Permissions, refusal, room_type};
use crate::bridge::power::{POWER_LEVELS, PowerLevels};
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::{RoomType, UserRef};
use crate::rocketchat::rest::{RoleHolder, RoomRole};
use crate::rocketchat::{self, RocketUserId};
use crate::store::{Portal, RoomRights, Stand};

/// The level that stands for it; none for the room's default.
fn level_for(stand: Stand, levels: &PowerLevels) -> Option<i64> {
    match stand {
        Stand::Owner => Some(100),
        Stand::Moderator => Some(50),
        Stand::Member => None,
        Stand::Muted => Some(below_all(levels)),
    }
}

/// A level too low to say anything.
fn below_all(levels: &PowerLevels) -> i64 {
    (levels
        .level("users_default")
        .min(levels.level("events_default"))
        - 1)
    .min(-1)
}

/// What a level amounts to: of those in between the lower.
pub(super) fn stand_at(level: i64, levels: &PowerLevels) -> Stand {
    match level {
        100.. => Stand::Owner,
        50.. => Stand::Moderator,
        _ if level < levels.level("users_default") && level < levels.level("events_default") => {
            Stand::Muted
        }
        _ => Stand::Member,
    }
}

/// Somebody who has rights, or had them.
#[derive(Debug)]
struct Person {
    id: RocketUserId,
    user: OwnedUserId,
    is_puppet: bool,
}

/// A room as Rocket.Chat has it.
struct There {
    kind: RoomType,
    holders: Vec<RoleHolder>,
    muted: BTreeSet<String>,
    permissions: Arc<Permissions>,
}

impl There {
    fn roles_of(&self, id: &RocketUserId) -> &[String] {
        let holder = self.holders.iter().find(|holder| holder.u.id == *id);
        holder.map_or(&[], |holder| &holder.roles)
    }
}

impl Bridge {
    /// Makes the rights in a portal the same on both sides.
    pub(in crate::bridge) async fn agree_on_rights(&self, portal: &Portal) -> Result<(), Failure> {
        let Some(kind) = room_type(portal) else {
            return Ok(());
        };
        // What somebody is in one of two rooms that were joined gives them nothing in the
        // other.
        if portal.plumbed {
            return Ok(());
        }
        let _alone = self.members.comparing_rights.lock(&portal.rid).await;
        let Some(there) = self.rights_there(portal, kind).await? else {
            return Ok(());
        };
        let levels = self.power_levels(portal).await?;
        self.warn_of_power(portal, &levels).await?;
        let known = self.rights_known(portal)?;
        let people = self
            .people_with_rights(portal, &there, &levels, &known)
            .await?;
        self.take_back_from_earlier(portal, &levels, &known, &people)
            .await?;
        let mut from_rocketchat: Vec<(Person, Stand)> = Vec::new();
        let mut agreed: Vec<(Person, Stand)> = Vec::new();
        let mut from_matrix: Vec<(Person, Stand)> = Vec::new();
        for person in people {
            // Those above all are so for ever; nothing can be compared.
            if levels.level_of(&person.user) == i64::MAX {
                continue;
            }
            let before = known.stand_of(&person.id, &person.user);
            let here = stand_at(levels.level_of(&person.user), &levels);
            let now = self.stand_there(&there, &person, before)?;
            if here == now {
                agreed.push((person, now));
            } else if is_from_rocketchat(before, here, now) {
                from_rocketchat.push((person, now));
            } else {
                from_matrix.push((person, here));
            }
        }
        self.store.amend_room_rights(&portal.id, |rights| {
            for (person, stand) in &agreed {
                rights.agree(&person.id, &person.user, *stand);
            }
        })?;
        self.set_levels(portal, from_rocketchat).await?;
        // After the levels were read: whoever upgrades a room closes it before they change
        // it.
        if !from_matrix.is_empty() && self.is_being_replaced(portal, false).await? {
            return Ok(());
        }
        for (person, wished) in from_matrix {
            self.carry_rights(portal, &there, &person, wished).await?;
        }
        Ok(())
    }

    /// How a room is on Rocket.Chat; none when the bridge may not see that now.
    async fn rights_there(
        &self,
        portal: &Portal,
        kind: RoomType,
    ) -> Result<Option<There>, Failure> {
        let rocket = self.rocket().await;
        let unseen = |error: &rocketchat::Error| {
            error.is_denied()
                || matches!(
                    error.code(),
                    Some("error-room-archived" | "error-room-not-found" | "error-invalid-room")
                )
        };
        let holders = match rocket.bot.room_roles(&portal.rid, &kind).await {
            Ok(holders) => holders,
            Err(error) if unseen(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let room = match rocket.bot.room_info(&portal.rid).await {
            Ok(Some(room)) => room,
            Ok(None) => return Ok(None),
            Err(error) if unseen(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let muted = room.muted.iter().map(|name| name.as_str().to_owned());
        Ok(Some(There {
            kind,
            holders,
            muted: muted.collect(),
            permissions: self.permissions().await?,
        }))
    }

    /// What was agreed last of the rights in a portal.
    fn rights_known(&self, portal: &Portal) -> Result<RoomRights, Failure> {
        let mut known = self.store.room_rights(&portal.id)?;
        let of_nobody: Vec<RocketUserId> = (known.stands.keys())
            .filter(|id| !known.stood_as.contains_key(id))
            .cloned()
            .collect();
        for id in of_nobody {
            // By a program that knew of no links.
            let unlinked = match self.store.behind_made_puppet(&id)? {
                Some(user) => Some(user),
                None => self.store.ghost(&id)?.map(|ghost| ghost.user_id),
            };
            if let Some(user) = unlinked {
                known.stood_as.insert(id, user);
            }
        }
        Ok(known)
    }

    /// Whoever had a level on Matrix for what an account on Rocket.Chat may do, and is not
    /// the one for whom that account stands any more, has it no longer, as far as the bridge
    /// gave it. What people gave them stays.
    async fn take_back_from_earlier(
        &self,
        portal: &Portal,
        levels: &PowerLevels,
        known: &RoomRights,
        people: &[Person],
    ) -> Result<(), Failure> {
        let mut settled = Vec::new();
        let mut to_take = Vec::new();
        for id in known.stands.keys() {
            let acting = people.iter().find(|person| person.id == *id);
            let earlier = known.stood_as.get(id);
            let earlier = earlier.filter(|of| acting.is_none_or(|person| person.user != **of));
            // What an account that acts for nobody now had been says nothing when it does
            // again.
            if acting.is_none() {
                settled.push(id.clone());
            }
            let Some(earlier) = earlier else { continue };
            // Of a ghost nobody else has the level, and who is still looked at by another
            // account is compared by that.
            let is_looked_at = people.iter().any(|person| person.user == *earlier);
            if self.config.is_ours(earlier) || is_looked_at {
                continue;
            }
            let level = levels.level_of(earlier);
            let stand = stand_at(level, levels);
            if level == i64::MAX || stand == Stand::Member {
                continue;
            }
            let author = self.author_of_level(portal, earlier, stand).await?;
            if author.is_some_and(|event| self.config.is_ours(&event.sender)) {
                to_take.push((earlier.clone(), stand));
            }
        }
        for (user, stand) in to_take {
            self.take_level(portal, &user, stand).await?;
        }
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            for id in &settled {
                rights.forget(id);
            }
        })?)
    }

    /// Takes the level away that somebody had for an account that is not theirs any more.
    async fn take_level(
        &self,
        portal: &Portal,
        user: &UserId,
        stand: Stand,
    ) -> Result<(), Failure> {
        let taken = self
            .change_power_levels(portal, None, |levels| {
                // What somebody has given or taken since must not be overwritten.
                if stand_at(levels.level_of(user), levels) == stand {
                    levels.set_user_level(user, None);
                }
            })
            .await;
        match taken {
            Ok(_) => {
                tracing::info!(rid = %portal.rid, %user, "their account is not theirs any more: so are its rights");
                Ok(())
            }
            Err(Failure::Matrix(error)) if error.is_forbidden() => {
                tracing::warn!(room = %portal.room_id, %user, %error, "the bot lacks the power to take back what it gave");
                let bot = self.matrix.bot();
                let now = bot.state_event(&portal.room_id, POWER_LEVELS, "").await?;
                let Some(now) = now else { return Ok(()) };
                let text = format!(
                    "{user} had their rights in this room from an account on Rocket.Chat that is not linked with them any more, and the bridge lacks the power to take them back. Somebody with more power can."
                );
                let purpose = format!("rights of before {user}");
                let told = self
                    .say(&bot, &portal.room_id, &now.event_id, &purpose, &text)
                    .await;
                match told {
                    // It may not even speak.
                    Err(Failure::Matrix(error)) if error.is_forbidden() => Ok(()),
                    outcome => outcome,
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Everybody whose rights may be others than everybody's, on either side or before.
    async fn people_with_rights(
        &self,
        portal: &Portal,
        there: &There,
        levels: &PowerLevels,
        known: &RoomRights,
    ) -> Result<Vec<Person>, Failure> {
        let bot_there = self.rocket().await.bot.user_id().clone();
        let mut people: BTreeMap<RocketUserId, Person> = BTreeMap::new();
        for holder in &there.holders {
            let has_rights = there.permissions.stand_of(&holder.roles) != Stand::Member;
            if has_rights
                && holder.u.id != bot_there
                && let Some(person) = self.person_here(&holder.u).await?
            {
                people.insert(person.id.clone(), person);
            }
        }
        for id in known.stands.keys() {
            if !people.contains_key(id)
                && let Some(person) = self.person_known(id)?
            {
                people.insert(id.clone(), person);
            }
        }
        for (user, _) in levels.named_users() {
            let (id, is_puppet) = if user == self.config.appservice.bot {
                continue;
            } else if self.config.is_ghost(&user) {
                let ghost = self.store.ghost_by_localpart(user.localpart())?;
                match ghost.filter(|ghost| ghost.user_id == user) {
                    Some(ghost) => (ghost.rocket_id, false),
                    None => continue,
                }
            } else {
                // Who is not in the room has nothing of it; when they come they are
                // looked at again.
                match self.store.puppet(&user)? {
                    Some(puppet) if self.store.is_puppet_in_room(&portal.id, &user)? => {
                        (puppet.credentials.user_id, true)
                    }
                    _ => continue,
                }
            };
            people.entry(id.clone()).or_insert(Person {
                id,
                user,
                is_puppet,
            });
        }
        for puppet in self.store.puppets_in_room(&portal.id, usize::MAX)? {
            if let Some(puppet) = self.store.puppet(&puppet)?
                && there.muted.contains(&puppet.username)
            {
                let id = puppet.credentials.user_id;
                people.entry(id.clone()).or_insert(Person {
                    id,
                    user: puppet.matrix_id,
                    is_puppet: true,
                });
            }
        }
        // Not by an account that does not act for its user now.
        let mut acting = Vec::with_capacity(people.len());
        for person in people.into_values() {
            let acts = match self.store.behind_puppet(&person.id)? {
                Some(user) => self
                    .store
                    .puppet(&user)?
                    .is_none_or(|puppet| puppet.credentials.user_id == person.id),
                None => true,
            };
            if acts {
                acting.push(person);
            }
        }
        Ok(acting)
    }

    /// Who somebody is on Matrix; their ghost is made at need.
    async fn person_here(&self, user: &UserRef) -> Result<Option<Person>, Failure> {
        if let Some(known) = self.person_known(&user.id)? {
            return Ok(Some(known));
        }
        let account = self.rocket().await.bot.user_by_id(&user.id).await?;
        let Some(account) = account.filter(|account| account.active && !account.federated) else {
            return Ok(None);
        };
        let ghost = self.ghost_of(&UserRef::from(&account)).await?;
        Ok(Some(Person {
            id: user.id.clone(),
            user: ghost.user_id,
            is_puppet: false,
        }))
    }

    fn person_known(&self, id: &RocketUserId) -> Result<Option<Person>, Failure> {
        let person = |user, is_puppet| Person {
            id: id.clone(),
            user,
            is_puppet,
        };
        if let Some(user) = self.store.behind_puppet(id)? {
            return Ok(Some(person(user, true)));
        }
        let ghost = self.store.ghost(id)?;
        Ok(ghost.map(|ghost| person(ghost.user_id, false)))
    }

    /// What somebody may do on Rocket.Chat. Who is muted there says nothing anyway:
    /// that concerns Matrix only of puppets, and where it was begun on Matrix.
    fn stand_there(
        &self,
        there: &There,
        person: &Person,
        before: Option<Stand>,
    ) -> Result<Stand, Failure> {
        let username = match person.is_puppet {
            true => self
                .store
                .puppet(&person.user)?
                .map(|puppet| puppet.username),
            false => self.store.ghost(&person.id)?.map(|ghost| ghost.username),
        };
        let is_muted = username.is_some_and(|name| there.muted.contains(&name));
        if is_muted && (person.is_puppet || before == Some(Stand::Muted)) {
            return Ok(Stand::Muted);
        }
        Ok(there.permissions.stand_of(there.roles_of(&person.id)))
    }

    /// Gives people on Matrix the levels that they have on Rocket.Chat.
    async fn set_levels(
        &self,
        portal: &Portal,
        changes: Vec<(Person, Stand)>,
    ) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let set = self
            .change_power_levels(portal, None, |levels| {
                for (person, stand) in &changes {
                    let level = level_for(*stand, levels);
                    levels.set_user_level(&person.user, level);
                }
            })
            .await;
        match set {
            Ok(_) => {}
            Err(Failure::Matrix(error)) if error.is_forbidden() => {
                tracing::warn!(room = %portal.room_id, %error, "the bot lacks the power to give people the rights that they have on Rocket.Chat");
                // One who is as high as the bot must not keep the others from theirs.
                if changes.len() > 1 {
                    for change in changes {
                        Box::pin(self.set_levels(portal, vec![change])).await?;
                    }
                }
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        tracing::info!(rid = %portal.rid, people = changes.len(), "rights are as on Rocket.Chat");
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            for (person, stand) in &changes {
                rights.agree(&person.id, &person.user, *stand);
            }
        })?)
    }

    /// Somebody on Matrix has given or taken rights: so does their puppet, or it is as it
    /// was again and they are told.
    async fn carry_rights(
        &self,
        portal: &Portal,
        there: &There,
        person: &Person,
        wished: Stand,
    ) -> Result<(), Failure> {
        let author = self.author_of_level(portal, &person.user, wished).await?;
        let is_known = author.is_some();
        let author = match author {
            Some(event) => Some(event),
            None => {
                let bot = self.matrix.bot();
                bot.state_event(&portal.room_id, POWER_LEVELS, "").await?
            }
        };
        let known = self.rights_known(portal)?;
        let refused = match &author {
            Some(event) if known.given_up.get(&person.id) == Some(&event.event_id) => {
                return Ok(());
            }
            // Nobody's to be told.
            Some(event) if self.config.is_ours(&event.sender) => None,
            Some(event) if !is_known => {
                Some((event, "It cannot be told who changed them here.".to_owned()))
            }
            Some(event) => {
                let done = self
                    .set_rights_as(portal, there, &event.sender, person, wished)
                    .await;
                match done {
                    Ok(()) => {
                        tracing::info!(rid = %portal.rid, person = %person.id, ?wished, "rights are as on Matrix");
                        return Ok(self.store.amend_room_rights(&portal.id, |rights| {
                            rights.agree(&person.id, &person.user, wished);
                        })?);
                    }
                    Err(failure) => Some((event, refusal(failure)?)),
                }
            }
            None => None,
        };
        // A part of it may have been done.
        let Some(now) = self.rights_there(portal, there.kind.clone()).await? else {
            return Ok(());
        };
        let before = known.stand_of(&person.id, &person.user);
        let stand = self.stand_there(&now, person, before)?;
        let mut is_another = false;
        let put_back = self
            .change_power_levels(portal, None, |levels| {
                // What somebody has given or taken since must not be overwritten.
                is_another = stand_at(levels.level_of(&person.user), levels) != wished;
                if !is_another {
                    let level = level_for(stand, levels);
                    levels.set_user_level(&person.user, level);
                }
            })
            .await;
        let is_back = match put_back {
            Ok(_) => true,
            Err(Failure::Matrix(error)) if error.is_forbidden() => {
                tracing::warn!(room = %portal.room_id, %error, "the bot lacks the power to put rights back");
                false
            }
            Err(failure) => return Err(failure),
        };
        if let Some((event, why)) = &refused {
            let ending = match is_back {
                _ if is_another => "and were changed here again since",
                true => "and are as they were again",
                false => "and the bridge lacks the power to put them back here",
            };
            let text = format!(
                "The rights of {} did not change on Rocket.Chat, {ending}. {why}",
                person.user
            );
            let purpose = format!("rights {}", person.user);
            let bot = self.matrix.bot();
            self.say(&bot, &portal.room_id, &event.event_id, &purpose, &text)
                .await?;
        }
        if is_another {
            return Err(Failure::NotYet("rights that are just changing"));
        }
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            if is_back {
                rights.agree(&person.id, &person.user, stand);
            } else if let Some(event) = &author {
                rights
                    .given_up
                    .insert(person.id.clone(), event.event_id.clone());
            }
        })?)
    }

    /// Gives somebody the rights that stand for it, as the puppet of a Matrix user.
    async fn set_rights_as(
        &self,
        portal: &Portal,
        there: &There,
        by: &UserId,
        person: &Person,
        wished: Stand,
    ) -> Result<(), Failure> {
        let actor = self.account_in(portal, by).await?;
        let before = self.rights_known(portal)?;
        let before = before.stand_of(&person.id, &person.user);
        if (before == Some(Stand::Muted)) != (wished == Stand::Muted) {
            let muted = wished == Stand::Muted;
            self.as_puppet(&actor, |session| async move {
                session.set_muted(&portal.rid, &person.id, muted).await
            })
            .await?;
        }
        if wished == Stand::Muted {
            return Ok(());
        }
        let roles = there.roles_of(&person.id);
        for (role, give) in steps(roles, &there.permissions, wished) {
            let done = self
                .as_puppet(&actor, |session| {
                    let kind = there.kind.clone();
                    async move {
                        session
                            .set_room_role(&portal.rid, &kind, &person.id, role, give)
                            .await
                    }
                })
                .await;
            match done {
                Err(Failure::RocketChat(error)) if is_so_already(&error) => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

/// Whether it was on Rocket.Chat that what differs was changed. Where nothing was agreed of
/// somebody as who they are now, because they have linked accounts or ended that, nobody has
/// changed anything: what they are on Rocket.Chat they are.
fn is_from_rocketchat(before: Option<Stand>, here: Stand, now: Stand) -> bool {
    before.is_none_or(|before| here == before || now != before)
}

/// What has to be given and taken, in an order in which nobody loses the right to do the
/// rest.
fn steps(roles: &[String], permissions: &Permissions, wished: Stand) -> Vec<(RoomRole, bool)> {
    let has = |role: RoomRole| roles.iter().any(|own| own == role.as_str());
    let mut steps = Vec::new();
    let wanted = match wished {
        Stand::Owner => Some(RoomRole::Owner),
        Stand::Moderator => Some(RoomRole::Moderator),
        Stand::Member | Stand::Muted => None,
    };
    if let Some(role) = wanted.filter(|role| !has(*role)) {
        steps.push((role, true));
    }
    for role in [RoomRole::Leader, RoomRole::Moderator, RoomRole::Owner] {
        let alone = [role.as_str().to_owned()];
        let is_too_much = permissions.stand_of(&alone) > wished;
        if has(role) && is_too_much {
            steps.push((role, false));
        }
    }
    steps
}

fn is_so_already(error: &rocketchat::Error) -> bool {
    let code = error.code().unwrap_or_default();
    matches!(
        code.strip_prefix("error-user-already-")
            .or_else(|| code.strip_prefix("error-user-not-")),
        Some("owner" | "moderator" | "leader")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn levels_in_between_count_as_the_lower() {
        let levels = PowerLevels::of(json!({}));
        let table = [
            (150, Stand::Owner),
            (100, Stand::Owner),
            (99, Stand::Moderator),
            (50, Stand::Moderator),
            (49, Stand::Member),
            (0, Stand::Member),
            (-1, Stand::Muted),
        ];
        for (level, stand) in table {
            assert_eq!(stand_at(level, &levels), stand, "{level}");
        }
        for stand in [Stand::Owner, Stand::Moderator, Stand::Muted] {
            let level = level_for(stand, &levels).unwrap_or_default();
            assert_eq!(stand_at(level, &levels), stand);
        }
        assert_eq!(level_for(Stand::Member, &levels), None);
    }

    #[test]
    fn who_is_another_than_before_is_what_they_are_on_rocketchat() {
        use Stand::{Member, Moderator, Owner};
        let table = [
            // Changed there, on both sides, here.
            (Some(Member), Member, Owner, true),
            (Some(Member), Moderator, Owner, true),
            (Some(Owner), Moderator, Owner, false),
            // Somebody who was another when it was agreed.
            (None, Moderator, Owner, true),
            (None, Owner, Member, true),
        ];
        for (before, here, now, expected) in table {
            let found = is_from_rocketchat(before, here, now);
            assert_eq!(found, expected, "{before:?}, {here:?}, {now:?}");
        }
    }

    #[test]
    fn in_a_room_where_nobody_speaks_nobody_is_muted() {
        let levels = PowerLevels::of(json!({ "events_default": 50 }));
        assert_eq!(stand_at(0, &levels), Stand::Member);
        assert_eq!(level_for(Stand::Muted, &levels), Some(-1));
        assert_eq!(stand_at(-1, &levels), Stand::Muted);
    }
}
