//! What is said in a room about it: announcements, descriptions, and what the bridge
//! cannot do.

use serde_json::json;

use super::Hint;
use super::agree::RoomNow;
use super::aspects::Aspect;
use crate::bridge::{Bridge, Failure, derived, marker};
use crate::store::Portal;

/// How much of an announcement is said.
const MOST_SAID: usize = 4000;

impl Bridge {
    /// Says what was announced.
    pub(super) async fn say_texts(&self, portal: &Portal, now: &RoomNow) -> Result<(), Failure> {
        for aspect in [Aspect::Announcement, Aspect::Description] {
            let present = match aspect {
                Aspect::Announcement => &now.room.announcement,
                _ => &now.room.description,
            };
            if present.is_none() && !now.is_whole {
                continue;
            }
            let there = aspect.on_rocketchat(&now.room);
            let known = self.store.room_state(&portal.id)?;
            let before = match aspect {
                Aspect::Announcement => known.announcement,
                _ => known.description,
            };
            if before.as_ref() == Some(&there) {
                continue;
            }
            if let Some(before) = before {
                let what = aspect.key();
                let text = match there.is_empty() {
                    true => format!("removed the room's {what}."),
                    false => format!("changed the room's {what}: {}", shortened(&there)),
                };
                let hint = self.room_states.hint(&portal.id, aspect);
                self.notice(portal, what, &before, &text, hint.as_ref())
                    .await?;
            }
            self.room_states.forget_hint(&portal.id, aspect);
            self.store.amend_room_state(&portal.id, |state| {
                state.said += 1;
                match aspect {
                    Aspect::Announcement => state.announcement = Some(there),
                    _ => state.description = Some(there),
                }
            })?;
        }
        Ok(())
    }

    /// Says something about a room: as the ghost of who did it, otherwise as the bot.
    pub(super) async fn notice(
        &self,
        portal: &Portal,
        what: &str,
        before: &str,
        text: &str,
        hint: Option<&Hint>,
    ) -> Result<(), Failure> {
        let said = self.store.room_state(&portal.id)?.said.to_string();
        let txn = derived::state_notice_id(&portal.id, &[what, before, text, &said]);
        let ghost = match hint {
            Some(hint) => self.ghost_of_hint(hint).await?,
            None => None,
        };
        let mut content = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
        marker::stamp_as_own(&mut content);
        if let Some(ghost) = ghost {
            let sent = self.send_as_ghost(portal, &ghost, "m.room.message", &content, &txn, None);
            match sent.await {
                Ok(_) => return Ok(()),
                Err(failure) if failure.is_permanent() => {}
                Err(failure) => return Err(failure),
            }
        }
        if hint.is_some() || matches!(what, "announcement" | "description") {
            content["body"] = format!("Somebody on Rocket.Chat {text}").into();
        }
        let bot = self.matrix.bot();
        bot.send(&portal.room_id, "m.room.message", &content, &txn, None)
            .await?;
        Ok(())
    }

    /// Says once when the bridge's account cannot read a room any more.
    pub(super) async fn tell_unreadable(
        &self,
        portal: &Portal,
        now: &RoomNow,
    ) -> Result<(), Failure> {
        let told = self.store.room_state(&portal.id)?.told_unreadable;
        if told != now.is_readable {
            return Ok(());
        }
        if !now.is_readable {
            let rocket = self.rocket().await;
            let account = rocket.bot.me().await?.username;
            let account = account.map_or_else(String::new, |name| format!(" ({name})"));
            let text = format!(
                "This room is private on Rocket.Chat now, and the bridge's account{account} is not in it: what is written there does not arrive here until somebody invites it."
            );
            self.notice(portal, "unreadable", "", &text, None).await?;
        } else {
            self.compare_room(&portal.id);
        }
        self.store.amend_room_state(&portal.id, |state| {
            state.said += 1;
            state.told_unreadable = !now.is_readable;
        })?;
        Ok(())
    }
}

/// As much of a text as is said.
fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SAID).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
