//! Who may write in a room, shown on Matrix by the levels of power there.

use ruma::OwnedEventId;

use super::aspects::{
    ARCHIVED, Aspect, OPEN, REACTING, READ_ONLY, level_to_write, set_writing, writing_of,
};
use crate::bridge::{Bridge, Failure};
use crate::matrix::Intent;
use crate::rocketchat::documents::Room;
use crate::store::{Ghost, Portal};

impl Bridge {
    /// Lets those write on Matrix who may on Rocket.Chat, in the place of what was `seen`
    /// there.
    pub(super) async fn show_writing(
        &self,
        portal: &Portal,
        there: &str,
        seen: &str,
        actor: Option<&Intent>,
    ) -> Result<Option<OwnedEventId>, Failure> {
        let known = self.store.room_state(&portal.id)?;
        let agreed = known.agreed.get(Aspect::Writing.key()).map(String::as_str);
        let bot = &self.config.appservice.bot;
        let mut is_another = false;
        let event = self
            .change_power_levels(portal, actor, |levels| {
                is_another = writing_of(levels, agreed) != seen;
                if is_another {
                    return;
                }
                set_writing(levels, there, bot);
                if there != ARCHIVED {
                    for (ghost, level) in &known.raised {
                        levels.set_user_level(ghost, *level);
                    }
                }
            })
            .await?;
        if is_another {
            return Err(Failure::NotYet("a change that was just made on Matrix"));
        }
        let news = match (agreed, there) {
            (Some(ARCHIVED), ARCHIVED) => None,
            (_, ARCHIVED) => Some(
                "This room is archived on Rocket.Chat: nobody can write in it until it is unarchived there.",
            ),
            (Some(ARCHIVED), OPEN | READ_ONLY | REACTING) => {
                Some("This room is no longer archived on Rocket.Chat.")
            }
            _ => None,
        };
        if let Some(news) = news {
            let text = news.to_owned();
            self.notice(portal, "archived", agreed.unwrap_or_default(), &text, None)
                .await?;
        }
        if there != ARCHIVED && !known.raised.is_empty() {
            self.store
                .amend_room_state(&portal.id, |state| state.raised.clear())?;
        }
        Ok(event)
    }

    /// Lets a ghost write in a room where few may: on Rocket.Chat it did. Gives whether
    /// that was needed.
    pub(in crate::bridge) async fn raise_ghost(
        &self,
        portal: &Portal,
        ghost: &Ghost,
        kind: &str,
    ) -> Result<bool, Failure> {
        let state = self.store.room_state(&portal.id)?;
        let writing = state.agreed.get(Aspect::Writing.key()).map(String::as_str);
        if matches!(writing, None | Some(OPEN)) {
            return Ok(false);
        }
        let levels = self.power_levels(portal).await?;
        let before = levels
            .named_users()
            .find(|(user, _)| *user == ghost.user_id)
            .map(|(_, level)| level);
        // Kept first: what is not known to be given cannot be taken back.
        if writing == Some(ARCHIVED) {
            self.store.amend_room_state(&portal.id, |state| {
                let raised = state.raised.entry(ghost.user_id.clone());
                raised.or_insert(before);
            })?;
            self.store.flushed().await?;
        }
        let changed = self
            .change_power_levels(portal, None, |levels| {
                let needed = level_to_write(levels, kind);
                if levels.level_of(&ghost.user_id) < needed {
                    levels.set_user_level(&ghost.user_id, Some(needed));
                }
            })
            .await?;
        Ok(changed.is_some())
    }

    /// Lets people of Matrix write in a read-only room whom Rocket.Chat lets.
    pub(super) async fn let_unmuted_write(
        &self,
        portal: &Portal,
        room: &Room,
    ) -> Result<(), Failure> {
        let mut unmuted = Vec::new();
        if room.read_only && !room.archived && !room.unmuted.is_empty() {
            for puppet in self.store.puppets() {
                if room
                    .unmuted
                    .iter()
                    .any(|name| name.as_str() == puppet.username)
                {
                    unmuted.push(puppet.matrix_id);
                }
            }
        }
        let known = self.store.room_state(&portal.id)?;
        if known.unmuted == unmuted {
            return Ok(());
        }
        // Kept first: what is not known to be given cannot be taken back.
        self.store.amend_room_state(&portal.id, |state| {
            for user in &unmuted {
                if !state.unmuted.contains(user) {
                    state.unmuted.push(user.clone());
                }
            }
        })?;
        self.store.flushed().await?;
        self.change_power_levels(portal, None, |levels| {
            let needed = levels.level("events_default");
            for user in known.unmuted.iter().filter(|user| !unmuted.contains(user)) {
                if (0..=1).contains(&levels.level_of(user)) {
                    levels.set_user_level(user, None);
                }
            }
            for user in &unmuted {
                if levels.level_of(user) < needed && needed < 50 {
                    levels.set_user_level(user, Some(needed));
                }
            }
        })
        .await?;
        self.store
            .amend_room_state(&portal.id, |state| state.unmuted = unmuted)?;
        Ok(())
    }
}
