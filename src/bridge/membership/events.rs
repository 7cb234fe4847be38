//! What happens to members on Matrix.

use std::sync::Arc;

use ruma::{RoomId, UserId};
use serde_json::Value;

use super::{Why, refusal, room_type};
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::UserRef;
use crate::store::{InboxEvent, Portal, PortalKind};

/// What the bot says in a room into which it was invited among others.
const IN_A_SHARED_ROOM: &str = "I am the bridge to Rocket.Chat. Whoever administers this room can have it joined with a channel there: `!rc bridge <channel>`. `!rc help` says what else I do.";

/// The same, where nobody could give it a command.
const ENCRYPTED: &str = "I am the bridge to Rocket.Chat. This room is encrypted, and I cannot read encrypted messages: it cannot be joined with a channel there.";

impl Bridge {
    pub(in crate::bridge) async fn on_membership(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<(), Failure> {
        let member = json.get("state_key").and_then(Value::as_str);
        let Some(Ok(member)) = member.map(UserId::parse) else {
            return Ok(());
        };
        let membership = content.get("membership").and_then(Value::as_str);
        let is_bot = member == self.config.appservice.bot;
        self.forget_presence(&event.room_id, &member);
        if membership == Some("join")
            && !self.config.is_ours(&member)
            && self.store.portal_of_room(&event.room_id)?.is_some()
        {
            self.note_member(&member, content)?;
        }
        if let Some(portal) = self.store.portal_of_room(&event.room_id)?
            && room_type(&portal).is_some()
            && !is_bot
        {
            let membership = membership.unwrap_or_default();
            self.on_member_of_portal(&portal, event, &member, membership)
                .await?;
            return match membership {
                "leave" | "ban" if !self.config.is_ours(&member) => self.look_for_user(&member),
                _ => Ok(()),
            };
        }
        if matches!(membership, Some("leave" | "ban"))
            && !self.config.is_ours(&member)
            && let Some(portal) = self.store.portal_of_earlier_room(&event.room_id)?
            && room_type(&portal).is_some()
        {
            // Before they have come into the room that follows: so they are gone there.
            self.settle_puppet(&portal, &member, Why::Look).await?;
            return self.look_for_user(&member);
        }
        if matches!(membership, Some("invite" | "join"))
            && !self.config.is_ours(&member)
            && let Some(portal) = self.store.portal_of_room(&event.room_id)?
            && portal.kind.is_direct()
            && !self.is_of_direct(&portal, &member)?
        {
            return self.on_newcomer(&portal, event, &member).await;
        }
        if membership == Some("invite")
            && self.config.is_ours(&member)
            && (self.upgrade_goes_on(event, &member).await?
                || self.enters_from_afar(event, json, &member).await?)
        {
            return Ok(());
        }
        match membership {
            Some("invite") if is_bot => self.on_bot_invited(event).await,
            Some("invite") if self.config.is_ghost(&member) => {
                self.on_ghost_invited(event, &member).await
            }
            Some("leave" | "ban") if is_bot => {
                self.invitation_ended(&member, &event.room_id).await?;
                self.store
                    .change()
                    .bot_room(&event.room_id, false)
                    .commit()?;
                self.on_put_out(event, &member).await
            }
            Some("leave" | "ban") if self.config.is_ghost(&member) => {
                self.invitation_ended(&member, &event.room_id).await?;
                // Also when it declines an invitation that no longer stands.
                self.store
                    .change()
                    .ghost_not_in_room(&event.room_id, &member)
                    .commit()?;
                self.on_put_out(event, &member).await
            }
            // What people say to each other is no command.
            Some("join") if self.store.is_bot_room(&event.room_id)? => {
                if !self.is_for_one(&event.room_id).await? {
                    let change = self.store.change();
                    change.bot_room(&event.room_id, false).commit()?;
                }
                Ok(())
            }
            Some("leave" | "ban") => {
                // Asked again at the next message from the other side.
                self.person_left(&event.room_id);
                if let Some(portal) = self.store.portal_of_room(&event.room_id)? {
                    self.on_direct_left(&portal, event, &member).await?;
                }
                self.look_for_user(&member)
            }
            _ => Ok(()),
        }
    }

    /// The bot follows every invitation, to say what it is there for.
    async fn on_bot_invited(self: &Arc<Self>, event: &InboxEvent) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        match bot.join(&event.room_id, None).await {
            Ok(()) => {}
            Err(error) if error.is_forbidden() => {
                // Withdrawn meanwhile.
                tracing::info!(room = %event.room_id, "an invitation no longer stands");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if self.store.portal_of_room(&event.room_id)?.is_some() {
            return Ok(());
        }
        let json: Value = serde_json::from_str(event.json.get()).unwrap_or_default();
        let is_direct = json.pointer("/content/is_direct") == Some(&Value::Bool(true));
        let is_for_one = self.is_for_one(&event.room_id).await?
            && (is_direct || !self.is_named(&event.room_id).await?);
        self.store
            .change()
            .bot_room(&event.room_id, is_for_one)
            // Somebody wants it there.
            .no_entered_room(&event.room_id)
            .commit()?;
        let encryption = bot.state(&event.room_id, "m.room.encryption", "").await?;
        let text = match (encryption.is_some(), is_for_one) {
            (true, true) => self.encrypted_for_commands("I am the bridge to Rocket.Chat."),
            (true, false) => ENCRYPTED.to_owned(),
            (false, true) => self.commands.greeting(self, &event.sender),
            (false, false) => IN_A_SHARED_ROOM.to_owned(),
        };
        self.say(&bot, &event.room_id, &event.event_id, "greeting", &text)
            .await
    }

    /// What the bot says where somebody would give it commands, and it cannot read them.
    pub(in crate::bridge) fn encrypted_for_commands(&self, first: &str) -> String {
        format!(
            "{first} This room is encrypted, and I cannot read what is written in it, nor can \
             that be switched off any more. For commands make another one: a new private room, \
             with encryption switched off where you give it a name; invite {} into it and write \
             `!rc help` there.",
            self.config.appservice.bot
        )
    }

    /// Whether a room has a name or an address, as those have in which people meet.
    async fn is_named(&self, room: &RoomId) -> Result<bool, Failure> {
        let bot = self.matrix.bot();
        let name = bot.state(room, "m.room.name", "").await?;
        let alias = bot.state(room, "m.room.canonical_alias", "").await?;
        let is_set = |content: Option<Value>, key: &str| {
            let text = content
                .as_ref()
                .and_then(|content| content.get(key)?.as_str());
            text.is_some_and(|text| !text.is_empty())
        };
        Ok(is_set(name, "name") || is_set(alias, "alias"))
    }

    /// Whether nobody but the bot and one other is in a room.
    async fn is_for_one(&self, room: &RoomId) -> Result<bool, Failure> {
        Ok(self.matrix.bot().joined_members(room).await?.len() <= 2)
    }

    /// Somebody comes into or leaves the room of a channel or group, or is invited,
    /// removed, kept out.
    async fn on_member_of_portal(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        member: &UserId,
        membership: &str,
    ) -> Result<(), Failure> {
        match (self.config.is_ghost(member), membership) {
            (true, "invite") => self.on_ghost_invited_here(portal, event, member).await,
            (true, "leave" | "ban") => {
                match self.store.ghost_by_localpart(member.localpart())? {
                    Some(ghost) if ghost.user_id == *member => {
                        self.settle_ghost(portal, &ghost.rocket_id, Why::Look).await
                    }
                    // Nobody's: it was invited and declined.
                    _ => Ok(()),
                }
            }
            (false, "invite") if portal.kind == PortalKind::Group && !portal.plumbed => {
                self.on_person_invited(portal, event, member).await
            }
            (false, "join" | "leave" | "ban") => {
                self.settle_puppet(portal, member, Why::Look).await?;
                if membership == "join" {
                    return Ok(());
                }
                // Here and not in a round: what they said before it is done by now.
                let change = self.store.change();
                Ok(change.not_admitted(&portal.id, member).commit()?)
            }
            _ => Ok(()),
        }
    }

    /// Somebody on Matrix invites a person of Rocket.Chat: with their own rights there.
    async fn on_ghost_invited_here(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        ghost_id: &UserId,
    ) -> Result<(), Failure> {
        let intent = self.matrix.as_user(ghost_id.to_owned());
        let seat = self.seat(portal, ghost_id).await?;
        if seat.membership() != "invite" {
            return Ok(());
        }
        let refused = match self.invite_person(portal, event, ghost_id).await {
            Ok(ghost) => {
                self.join_ghost(portal, &portal.room_id, &ghost).await?;
                self.store
                    .amend_standing(&portal.id, &ghost.rocket_id, |standing| {
                        standing.is_member = true;
                    })?;
                return Ok(());
            }
            Err(failure) => refusal(failure)?,
        };
        // Without an account it could not even decline.
        intent.register().await?;
        match intent.leave(&portal.room_id, Some(&refused)).await {
            Err(error) if error.is_forbidden() || error.is_not_found() => {}
            outcome => outcome?,
        }
        let text = format!("{ghost_id} cannot come: {refused}");
        self.say(
            &self.matrix.bot(),
            &portal.room_id,
            &event.event_id,
            "invitation",
            &text,
        )
        .await
    }

    /// Puts the person behind a ghost into the room on Rocket.Chat, as the puppet of who
    /// invites them.
    async fn invite_person(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        ghost_id: &UserId,
    ) -> Result<crate::store::Ghost, Failure> {
        let Some(person) = self.person_behind(ghost_id).await? else {
            return Err(Failure::Refused(
                "There is no such person on Rocket.Chat.".into(),
            ));
        };
        let ghost = self.ghost_of(&UserRef::from(&person)).await?;
        if ghost.user_id != *ghost_id {
            return Err(Failure::Refused(format!(
                "This person is {} here.",
                ghost.user_id
            )));
        }
        if !self.is_member(portal, &person.id).await? {
            let puppet = self.account_in(portal, &event.sender).await?;
            self.bring_puppet_in(portal, &puppet).await?;
            let kind = room_type(portal).unwrap_or_default();
            self.as_puppet(&puppet, |session| {
                let (kind, id) = (kind.clone(), person.id.clone());
                async move { session.invite(&portal.rid, &kind, &id).await }
            })
            .await?;
        }
        Ok(ghost)
    }

    /// Somebody on Matrix invites another to a private group. Who may not do so on
    /// Rocket.Chat does not do it here: whoever accepts reads along at once.
    async fn on_person_invited(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        guest: &UserId,
    ) -> Result<(), Failure> {
        let may = async {
            let puppet = self.account_in(portal, &event.sender).await?;
            self.may_invite(portal, &puppet.credentials.user_id).await
        };
        let why = match may.await {
            Ok(true) => return Ok(()),
            Ok(false) => "Rocket.Chat does not allow you to add people to this group.".to_owned(),
            Err(failure) => refusal(failure)?,
        };
        if self.seat(portal, guest).await?.membership() == "invite" {
            let reason = "Who invited you may not do so on Rocket.Chat.";
            self.kick_by_bot(portal, guest, reason).await?;
        }
        let text = format!("The invitation of {guest} is taken back. {why}");
        self.say(
            &self.matrix.bot(),
            &portal.room_id,
            &event.event_id,
            "invitation",
            &text,
        )
        .await
    }
}
