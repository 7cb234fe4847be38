//! Rooms that existed on both sides and were joined: each side keeps its own name, rules
//! and rights. What can change is who reads along, and that is said when it does.

use serde_json::Value;

use super::aspects::{ARCHIVED, Aspect};
use crate::bridge::plumbing::{Access, access_of, meaning_of_access};
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::rocketchat::documents::{Room, RoomType};
use crate::store::{Consequence, Portal, PortalId, RoomState, StoreError};

/// Under which name it is kept what both sides have agreed to.
const JOINED: &str = "joined";

/// Who reads along, as it is kept.
fn kept(consequence: Option<Consequence>) -> &'static str {
    match consequence {
        Some(Consequence::PrivateIntoMatrix) => "into matrix",
        Some(Consequence::PrivateIntoRocketChat) => "into rocketchat",
        _ => "alike",
    }
}

impl Bridge {
    /// Notes what both sides have agreed to.
    pub(in crate::bridge) fn begin_plumbed_state(
        &self,
        portal: &PortalId,
        reads_along: Option<Consequence>,
    ) -> Result<(), StoreError> {
        self.store.amend_room_state(portal, |state| {
            *state = RoomState::default();
            state
                .agreed
                .insert(JOINED.to_owned(), kept(reads_along).to_owned());
        })
    }

    /// Whether more people than those who are invited read a room that is joined with a
    /// private one.
    pub(in crate::bridge) fn is_read_openly(&self, portal: &Portal) -> Result<bool, StoreError> {
        let known = self.store.room_state(&portal.id)?;
        let open = kept(Some(Consequence::PrivateIntoMatrix));
        Ok(portal.plumbed && known.agreed.get(JOINED).map(String::as_str) == Some(open))
    }

    /// Whether a row of a list says of a room that it is as it was when looked at last.
    pub(super) fn is_as_joined(&self, portal: &Portal, row: &Room) -> Result<bool, StoreError> {
        let known = self.store.room_state(&portal.id)?;
        let is_archived = known.agreed.contains_key(Aspect::Writing.key());
        let is_channel = portal.kind == crate::store::PortalKind::Channel;
        Ok(!known.bridge_info.is_empty()
            && portal.name == Aspect::Name.on_rocketchat(row)
            && is_channel == (row.t == RoomType::Channel)
            && is_archived == row.archived)
    }

    /// Looks at a room: nothing of what it is like is carried over.
    pub(super) async fn look_at_plumbed(
        &self,
        portal: Portal,
        changes: u64,
    ) -> Result<(), Failure> {
        let Some(now) = self.room_now(&portal.rid).await? else {
            return Ok(());
        };
        if now.room.federated || !matches!(now.room.t, RoomType::Channel | RoomType::Group) {
            return Ok(());
        }
        let portal = self.with_present_kind(portal, &now.room)?;
        self.store.amend_room_state(&portal.id, |state| {
            let key = Aspect::Writing.key();
            match now.room.archived {
                true => state.agreed.insert(key.to_owned(), ARCHIVED.to_owned()),
                false => state.agreed.remove(key),
            };
        })?;
        let is_private = now.is_closed || now.room.t == RoomType::Group;
        self.tell_who_reads_along(&portal, is_private).await?;
        self.tell_unreadable(&portal, &now).await?;
        // It may have ended meanwhile: what was taken back must not come again.
        if self.store.portal(&portal.id)?.is_none() {
            return Ok(());
        }
        self.show_bridge_info(&portal, Some(&now.room)).await?;
        Ok(self.store.amend_room_state(&portal.id, |state| {
            if state.changes == changes {
                state.changes = 0;
            }
        })?)
    }

    /// Says in both rooms that others read along than both sides have agreed to.
    async fn tell_who_reads_along(&self, portal: &Portal, is_private: bool) -> Result<(), Failure> {
        let access = self.access_now(portal).await?;
        let present = meaning_of_access(is_private, access);
        let known = self.store.room_state(&portal.id)?;
        if known.agreed.get(JOINED).map(String::as_str) == Some(kept(present)) {
            return Ok(());
        }
        let what = match present {
            Some(Consequence::PrivateIntoMatrix) => {
                "The room on Rocket.Chat is private, and more people than those who are invited \
                 can read the room on Matrix that it is joined with."
            }
            Some(_) => {
                "The room on Matrix is not for everybody, and everybody with an account can read \
                 the channel on Rocket.Chat that it is joined with."
            }
            None => "",
        };
        if !what.is_empty() {
            let text = format!(
                "Who can read along has changed. {what} Whoever administers one of them can end \
                 that with `unbridge`."
            );
            let about = format!("{} {}", portal.id.as_str(), known.said);
            let id = derived::plumbing_id(&self.registration.as_token, &about);
            self.tell_room(portal, &id, &plain(&text)).await?;
            match self.notice(portal, JOINED, "", &text, None).await {
                Err(failure) if failure.is_permanent() => {
                    tracing::info!(room = %portal.room_id, %failure, "a room could not be told who reads along");
                }
                told => told?,
            }
        }
        Ok(self.store.amend_room_state(&portal.id, |state| {
            state
                .agreed
                .insert(JOINED.to_owned(), kept(present).to_owned());
            state.said += 1;
        })?)
    }

    /// Who can read a portal's Matrix room now.
    pub(in crate::bridge) async fn access_now(&self, portal: &Portal) -> Result<Access, Failure> {
        let bot = self.matrix.bot();
        let room = &portal.room_id;
        let rule = bot.state(room, "m.room.join_rules", "").await?;
        let history = bot.state(room, "m.room.history_visibility", "").await?;
        let text = |content: &Option<Value>, key: &str| {
            let text = content.as_ref()?.get(key)?.as_str()?;
            Some(text.to_owned())
        };
        let rule = text(&rule, "join_rule");
        let history = text(&history, "history_visibility");
        Ok(access_of(rule.as_deref(), history.as_deref()))
    }
}
