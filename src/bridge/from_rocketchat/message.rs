//! New messages of Rocket.Chat, and their edits.

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::{Value, json};

use super::content::Says;
use super::delivered::Delivered;
use super::files::Brought;
use super::revision;
use crate::bridge::marker::{self, Marker};
use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::FileId;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::store::{Ghost, Message, MirroredFile, Origin, Portal};

/// One of the events that a message becomes.
struct Part<'a> {
    /// Its place among them.
    number: usize,
    /// How many there are.
    of: usize,
    content: Value,
    /// The event it replaces.
    replaces: Option<&'a OwnedEventId>,
    /// The file that it brings.
    file: Option<FileId>,
}

impl Bridge {
    /// # Errors
    /// [`Failure::Wants`] when files are needed that are not among `brought`: then
    /// nothing has been sent.
    pub(super) async fn mirror_new(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        delivered: &Delivered,
        brought: &Brought,
    ) -> Result<Message, Failure> {
        let ghost = match self.elsewhere(portal, message).await? {
            Some(_) => self.bot_as_ghost().await,
            None if self.is_by_own_hook(message).await => self.bot_as_ghost().await,
            None if is_own_doing(message) => self.says_as(portal, &message.u).await?,
            None => self.ghost_of(&message.u).await?,
        };
        let content = self.content_of(portal, message).await?;
        let place = self.placement_of(portal, message, &content.quoted)?;
        let of = content.parts.len();
        // An earlier run may have sent some of them only.
        let some_delivered;
        let delivered = if of > 1 {
            some_delivered = self.adopt_delivered(portal).await?;
            &some_delivered
        } else {
            delivered
        };
        brought.has_all(
            content
                .parts
                .iter()
                .enumerate()
                .filter_map(|(number, part)| {
                    part.file()
                        .filter(|_| delivered.event(message, number).is_none())
                }),
        )?;
        let mut events = Vec::with_capacity(of);
        let mut files = Vec::new();
        for number in 0..of {
            let file = content.parts[number].file();
            if let Some(event) = delivered.event(message, number) {
                files.extend(delivered.file(message, number));
                events.push(event);
                continue;
            }
            let bare = file.and_then(|file| brought.content(file));
            let mut part = content.of(number, bare);
            let said = derived::said(&part);
            place.stamp(&mut part, number == 0, events.last());
            content.mentions.stamp(&mut part, number == 0);
            let id = file.map(|file| FileId::new(file.id.as_str()));
            let part = Part {
                number,
                of,
                content: part,
                replaces: None,
                file: id.clone(),
            };
            let event = self.send_part(portal, &ghost, message, part).await?;
            if let (Some(id), Some(bare)) = (id, bare) {
                files.push(MirroredFile {
                    id,
                    event: event.clone(),
                    content: bare.clone(),
                    said,
                });
            }
            events.push(event);
        }
        let mirrored = Message {
            revision: revision(message),
            thread: message.tmid.clone(),
            sent_at: message.ts.0,
            mentions: content.mentions.users,
            quoted_links: content.quoted_links,
            files,
            posted_by: Some(message.u.id.clone()),
            ..Message::new(
                portal,
                message.id.clone(),
                events,
                ghost.user_id,
                Origin::RocketChat,
            )
        };
        let change = self.store.change().message(&mirrored);
        place.note(portal, &mirrored, change).commit()?;
        if let Some(last) = mirrored.events.last()
            && self.config.is_ours(&mirrored.sender)
            && mirrored.sender != self.config.appservice.bot
        {
            self.ghost_has_read(&mirrored.room_id, &mirrored.sender, last);
        }
        Ok(mirrored)
    }

    /// A message that is on Matrix already. Only `editedAt` tells an edit from
    /// the many other reasons for sending a message again.
    ///
    /// # Errors
    /// As [`Bridge::mirror_new`].
    pub(super) async fn mirror_edit(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: Message,
        delivered: &Delivered,
        brought: &Brought,
    ) -> Result<(), Failure> {
        if revision(message) <= known.revision {
            return Ok(());
        }
        let words = derived::written(text_of(message));
        if known.written.contains(&words) {
            // The bridge wrote that for them.
            let portal = known.portal_id();
            self.store.amend_message(&portal, &known.id, |stored| {
                stored.revision = revision(message);
                forget_written(stored, &words);
            })?;
            return Ok(());
        }
        let is_elsewhere = self.elsewhere(portal, message).await?.is_some();
        let is_anothers = self.foreign_editor(message).await?.is_some();
        let sender = match is_elsewhere {
            true => Some(self.bot_as_ghost().await)
                .filter(|bot| bot.user_id == known.sender && !is_anothers),
            false if self.is_by_own_hook(message).await => {
                Some(self.bot_as_ghost().await).filter(|bot| bot.user_id == known.sender)
            }
            false => self.sender_of(portal, &known, &message.u).await?,
        };
        let is_real = !self.config.is_ours(&known.sender);
        let sender = sender.filter(|_| !is_real || is_own_doing(message));
        let Some(ghost) = sender else {
            let says_who = is_real || (is_elsewhere && is_anothers);
            if !says_who {
                // Of somebody else's words.
                return Ok(());
            }
            // Theirs no more to speak for, or another's words: nobody puts those into the
            // mouth of somebody real.
            let editor = message.edited_by.as_ref().unwrap_or(&message.u);
            let ghost = self.ghost_of(editor).await?;
            let note = "edited this message; it says now:";
            let original = known.events.first();
            let original = original.filter(|_| known.room_id == portal.room_id);
            self.say_edit(portal, &ghost, message, note, original)
                .await?;
            let portal = known.portal_id();
            self.store.amend_message(&portal, &known.id, |stored| {
                stored.revision = revision(message);
            })?;
            return Ok(());
        };
        // In a room that the portal has left, nothing can be replaced.
        if known.room_id != portal.room_id {
            let note = "edited an earlier message; it says now:";
            self.say_edit(portal, &ghost, message, note, None).await?;
            self.store.amend_message(&portal.id, &known.id, |stored| {
                stored.revision = revision(message);
            })?;
            return Ok(());
        }
        let mut content = self.content_of(portal, message).await?;
        // Rocket.Chat does not check the right to call everybody at an edit.
        content.mentions.everybody = false;
        let place = self.placement_of(portal, message, &content.quoted)?;
        let of = content.parts.len();
        let originals = originals_of(&content.parts, &known);
        // An earlier run may have sent what is new in it.
        let some_delivered;
        let delivered = if originals.contains(&None) {
            some_delivered = self.adopt_delivered(portal).await?;
            &some_delivered
        } else {
            delivered
        };
        brought.has_all(
            (content.parts.iter().zip(&originals).enumerate())
                .filter(|(number, (_, original))| {
                    original.is_none() && delivered.event(message, *number).is_none()
                })
                .filter_map(|(_, (part, _))| part.file()),
        )?;
        let mut events: Vec<OwnedEventId> = Vec::with_capacity(of);
        let mut files = Vec::new();
        for (number, original) in originals.iter().enumerate() {
            let file = content.parts[number].file();
            let mirrored = original.and_then(|event| known.file_of(event));
            let bare = match mirrored {
                Some(mirrored) => Some(&mirrored.content),
                None => file.and_then(|file| brought.content(file)),
            };
            let mut part = content.of(number, bare);
            let said = derived::said(&part);
            content.mentions.stamp(&mut part, number == 0);
            let id = file.map(|file| FileId::new(file.id.as_str()));
            let event = match original {
                // A file that is said nothing else of.
                Some(original) if mirrored.is_some_and(|file| file.said == said) => {
                    (*original).clone()
                }
                Some(original) => {
                    if mirrored.is_some() {
                        self.unsay(&known, original)?;
                    }
                    let added = content.mentions.without(&known.mentions);
                    let part = Part {
                        number,
                        of,
                        content: replacement(part, original, &added),
                        replaces: Some(original),
                        file: id.clone(),
                    };
                    let edit = self.send_part(portal, &ghost, message, part).await?;
                    self.store.change().edit_event(&known, &edit).commit()?;
                    (*original).clone()
                }
                // It has become longer than its events can carry, or got another file.
                None => match delivered.event(message, number) {
                    Some(event) => event,
                    None => {
                        place.stamp(&mut part, false, events.last());
                        let part = Part {
                            number,
                            of,
                            content: part,
                            replaces: None,
                            file: id.clone(),
                        };
                        self.send_part(portal, &ghost, message, part).await?
                    }
                },
            };
            match (id, bare) {
                (Some(id), Some(bare)) => files.push(MirroredFile {
                    id,
                    event: event.clone(),
                    content: bare.clone(),
                    said,
                }),
                (Some(_), None) => files.extend(delivered.file(message, number)),
                (None, _) => {}
            }
            events.push(event);
        }
        let surplus: Vec<_> = (known.events.iter())
            .filter(|event| !events.contains(event))
            .cloned()
            .collect();
        self.store.amend_message(&portal.id, &known.id, |stored| {
            stored.revision = revision(message);
            stored.written.clear();
            stored.events = events;
            stored.leaving.extend(surplus);
            stored.files = files;
            stored.mentions = content.mentions.users;
            stored.quoted_links = content.quoted_links;
        })?;
        self.redact_leaving(portal, known).await?;
        Ok(())
    }

    /// Forgets what is said of a file, before an edit says something else: when its
    /// answer or its record is lost, a later one back to the old words must be sent.
    fn unsay(&self, known: &Message, event: &OwnedEventId) -> Result<(), Failure> {
        self.store
            .amend_message(&known.portal_id(), &known.id, |stored| {
                for file in &mut stored.files {
                    if file.event == *event {
                        file.said.clear();
                    }
                }
            })?;
        Ok(())
    }

    /// Whether it is one of the accounts that only the bridge uses.
    async fn is_by_bridge(&self, account: &UserRef) -> Result<bool, Failure> {
        Ok(self.store.behind_made_puppet(&account.id)?.is_some()
            || account.id == *self.rocket().await.bot.user_id())
    }

    /// Who of Rocket.Chat, and not its author, has made of a message what it says.
    pub(super) async fn foreign_editor<'a>(
        &self,
        message: &'a RocketMessage,
    ) -> Result<Option<&'a UserRef>, Failure> {
        let editor = message.edited_by.as_ref();
        match editor.filter(|editor| editor.id != message.u.id) {
            Some(editor) if !self.is_by_bridge(editor).await? => Ok(Some(editor)),
            _ => Ok(None),
        }
    }

    /// Somebody on Rocket.Chat has edited what a Matrix user wrote. Nobody can
    /// edit another's event: whoever did it says what it says now.
    pub(super) async fn mirror_foreign_edit(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
    ) -> Result<(), Failure> {
        let Some(editor) = message.edited_by.as_ref() else {
            return Ok(());
        };
        let (at, original) = (revision(message), known.events.first());
        let is_known = known.origin != Origin::Matrix || known.foreign_revision >= at;
        let by_bridge = self.is_by_bridge(editor).await?;
        let (false, Some(original)) = (is_known || by_bridge, original) else {
            return Ok(());
        };
        let portal_id = known.portal_id();
        if editor.id == message.u.id {
            let words = derived::written(text_of(message));
            let by_bridge = known.written.contains(&words);
            if by_bridge || self.mirror_own_edit(portal, message, known).await? {
                self.store.amend_message(&portal_id, &known.id, |stored| {
                    stored.foreign_revision = at;
                    match by_bridge {
                        true => forget_written(stored, &words),
                        false => stored.written.clear(),
                    }
                })?;
                return Ok(());
            }
        }
        let ghost = self.ghost_of(editor).await?;
        let note = "edited this message; it says now:";
        // Only in the room that it is in.
        let original = Some(original).filter(|_| known.room_id == portal.room_id);
        self.say_edit(portal, &ghost, message, note, original)
            .await?;
        self.store
            .amend_message(&portal.id, &known.id, |stored| stored.foreign_revision = at)?;
        Ok(())
    }

    /// A linked person has edited on Rocket.Chat what they wrote on Matrix. Whether the
    /// event says so now.
    async fn mirror_own_edit(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
    ) -> Result<bool, Failure> {
        let is_simple = known.media.is_none() && known.more.is_empty() && message.file.is_none();
        let (true, Some(original)) = (
            is_simple && known.room_id == portal.room_id,
            known.events.first(),
        ) else {
            return Ok(false);
        };
        let Some(speaker) = self.sender_of(portal, known, &message.u).await? else {
            return Ok(false);
        };
        let content = self.content_of(portal, message).await?;
        let mut words = content.words();
        words["m.mentions"] = json!({});
        let added = content.mentions.without(&known.mentions);
        let part = Part {
            number: 0,
            of: 1,
            content: replacement(words, original, &added),
            replaces: Some(original),
            file: None,
        };
        let edit = self.send_part(portal, &speaker, message, part).await?;
        self.store.change().edit_event(known, &edit).commit()?;
        self.store
            .amend_message(&known.portal_id(), &known.id, |stored| {
                // What it quotes is what they have left in it.
                stored.quote = None;
                stored.quoted_links = content.quoted_links;
            })?;
        Ok(true)
    }

    /// Says what a message says now, where it cannot be replaced.
    async fn say_edit(
        &self,
        portal: &Portal,
        ghost: &Ghost,
        message: &RocketMessage,
        note: &str,
        original: Option<&OwnedEventId>,
    ) -> Result<(), Failure> {
        let at = revision(message);
        let by_bot = ghost.user_id == self.config.appservice.bot;
        let content = self.content_by(portal, message, by_bot).await?;
        let mut content = content.words();
        let first = content["body"].as_str().unwrap_or_default();
        content["body"] = format!("{note}\n{first}").into();
        if let Some(html) = content.get("formatted_body").and_then(Value::as_str) {
            content["formatted_body"] = format!("{note}<br>{html}").into();
        }
        if let Some(original) = original {
            content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": original } });
        }
        content["m.mentions"] = json!({});
        // About the message, not one of its events: it must not be taken for them.
        marker::stamp_as_own(&mut content);
        let sender = &ghost.user_id;
        let txn = derived::transaction_id(&portal.id, sender, &message.id, at, "edited by another");
        self.send_as_ghost(
            portal,
            ghost,
            "m.room.message",
            &content,
            &txn,
            u64::try_from(at).ok(),
        )
        .await?;
        Ok(())
    }

    /// Sends an event as a ghost, bringing it into the room first; once more when
    /// it turns out that somebody removed it.
    async fn send_part(
        &self,
        portal: &Portal,
        ghost: &Ghost,
        message: &RocketMessage,
        part: Part<'_>,
    ) -> Result<OwnedEventId, Failure> {
        let revision = revision(message);
        let mut content = part.content;
        Marker {
            room_id: portal.rid.clone(),
            message_id: message.id.clone(),
            revision,
            part: part.number,
            parts: part.of,
            workspace: self.store.workspace()?,
            hops: self.hops_before(portal, message)? + 1,
            file: part.file,
        }
        .stamp(&mut content);
        let (purpose, at) = match part.replaces {
            Some(_) => ("edit", revision),
            None => ("new", message.ts.0),
        };
        let purpose = match part.number {
            0 => purpose.to_owned(),
            number => format!("{purpose} {number}"),
        };
        let txn =
            derived::transaction_id(&portal.id, &ghost.user_id, &message.id, revision, &purpose);
        let at = u64::try_from(at).ok();
        self.send_as_ghost(portal, ghost, "m.room.message", &content, &txn, at)
            .await
    }

    /// Sends an event as a ghost, in the room at need.
    pub(in crate::bridge) async fn send_as_ghost(
        &self,
        portal: &Portal,
        ghost: &Ghost,
        kind: &str,
        content: &Value,
        txn: &ruma::TransactionId,
        at: Option<u64>,
    ) -> Result<OwnedEventId, Failure> {
        let room = &portal.room_id;
        if !self.config.is_ours(&ghost.user_id) {
            let user = &ghost.user_id;
            let sealed = self.seal_event(content, room, user, kind, txn.as_str(), at);
            let sent = self.acting(user).send(room, kind, &sealed, txn, at).await;
            return match sent {
                Err(error) if error.is_forbidden() || error.is_unknown_token() => {
                    // Where they are muted nobody speaks for them: it is tried again, and
                    // seen before that they are.
                    if !self.is_muted_here(portal, user, kind).await? {
                        self.note_unfit(room, user);
                    }
                    Err(Failure::NotYet("their ghost to speak"))
                }
                outcome => Ok(outcome?),
            };
        }
        if ghost.user_id == self.config.appservice.bot {
            let bot = self.matrix.bot();
            return Ok(bot.send(room, kind, content, txn, at).await?);
        }
        self.bring_ghost_in(portal, ghost).await?;
        self.bring_person_in(portal, ghost).await?;
        match self
            .as_ghost(ghost)
            .send(room, kind, content, txn, at)
            .await
        {
            Err(error) if error.is_forbidden() => {
                let now = self.store.portal(&portal.id)?;
                if now.is_none_or(|now| now.room_id != portal.room_id) {
                    return Err(Failure::NotYet("the room that the conversation goes on in"));
                }
                // Joining again gives nobody the right to speak, and makes nobody's words
                // welcome to a homeserver that refuses them.
                let levels = self.power_levels(portal).await?;
                let may_send = levels.may_send(&ghost.user_id, kind);
                if !may_send && self.raise_ghost(portal, ghost, kind).await? {
                    return Err(Failure::NotYet("the right to speak"));
                }
                if !may_send || !(error.says_not_in_room() || self.is_out(portal, ghost).await?) {
                    return Err(error.into());
                }
                self.look_why_out(portal, ghost).await?;
                Err(Failure::NotYet("the homeserver to take notice of a join"))
            }
            outcome => Ok(outcome?),
        }
    }
}

impl Bridge {
    /// Whether the homeserver shows a ghost as not in its portal's room.
    async fn is_out(&self, portal: &Portal, ghost: &Ghost) -> Result<bool, Failure> {
        let reader = self.reader(portal).await?;
        let member = reader
            .state(&portal.room_id, "m.room.member", ghost.user_id.as_str())
            .await?;
        let membership = member.as_ref().and_then(|member| member.get("membership"));
        Ok(membership.and_then(Value::as_str) != Some("join"))
    }
}

/// Whether it is the author's own doing: not what an integration says in their name, nor
/// what was imported, nor what a moderator made of it.
fn is_own_doing(message: &RocketMessage) -> bool {
    let by_another = (message.edited_by.as_ref()).is_some_and(|by| by.id != message.u.id);
    !message.bot && message.alias.is_none() && !message.imported && !by_another
}

/// The text of a message as a whole: a server that keeps the caption of a file beside the
/// file has none in the message (6.14).
fn text_of(message: &RocketMessage) -> &str {
    let kept = message.attachments.first();
    let kept = kept.and_then(|first| first.description.as_deref());
    kept.filter(|_| message.msg.is_empty())
        .unwrap_or(&message.msg)
}

/// What the bridge wrote has come back: so has, or never will, what it wrote before.
fn forget_written(stored: &mut Message, words: &str) {
    if let Some(at) = stored.written.iter().position(|one| one == words) {
        stored.written.drain(..=at);
    }
}

/// Which event each part of an edited message has been so far: a file that of the same
/// file, words the next one that had words.
fn originals_of<'a>(parts: &[Says], known: &'a Message) -> Vec<Option<&'a OwnedEventId>> {
    let mut words = known
        .events
        .iter()
        .filter(|event| known.file_of(event).is_none());
    let originals = parts.iter().map(|part| match part.file() {
        Some(file) => {
            let known = known
                .files
                .iter()
                .find(|known| known.id.as_str() == file.id);
            known.map(|known| &known.event)
        }
        None => words.next(),
    });
    originals.collect()
}

/// The content of an edit. Whoever is mentioned by it for the first time is
/// notified; nobody else again.
fn replacement(new: Value, original: &OwnedEventId, added: &[OwnedUserId]) -> Value {
    let mut content = new.clone();
    for key in ["body", "formatted_body"] {
        if let Some(text) = new.get(key).and_then(Value::as_str) {
            content[key] = format!("* {text}").into();
        }
    }
    content["m.mentions"] = json!({ "user_ids": added });
    content["m.new_content"] = new;
    content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": original });
    content
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::convert::to_matrix::{Rendered, files_of};
    use crate::rocketchat::RocketRoomId;
    use crate::store::PortalKind;

    fn parts(files: &[&str], words: usize) -> Vec<Says> {
        let attachments: Vec<Value> = files
            .iter()
            .map(|id| json!({ "title_link": format!("/file-upload/{id}/x") }))
            .collect();
        let message: RocketMessage = serde_json::from_value(json!({
            "_id": "m", "rid": "r", "u": { "_id": "u" }, "attachments": attachments,
        }))
        .unwrap();
        let files = files_of(&message).into_iter();
        files
            .map(|file| Says::File(file, Rendered::default()))
            .chain((0..words).map(|_| Says::Words(Rendered::of_text("w"))))
            .collect()
    }

    /// A message of the files `a` and `b` and one text.
    fn known() -> Message {
        let portal = Portal::own(
            RocketRoomId::new("r"),
            ruma::owned_room_id!("!r:example.org"),
            PortalKind::Channel,
            String::new(),
            0,
        );
        let events: Vec<OwnedEventId> = ["$a", "$b", "$w"]
            .into_iter()
            .map(|id| id.try_into().unwrap())
            .collect();
        let file = |n: usize, id: &str| MirroredFile {
            id: FileId::new(id),
            event: events[n].clone(),
            content: json!({}),
            said: String::new(),
        };
        Message {
            files: vec![file(0, "a"), file(1, "b")],
            ..Message::new(
                &portal,
                crate::rocketchat::RocketMessageId::new("m"),
                events.clone(),
                ruma::owned_user_id!("@g:example.org"),
                Origin::RocketChat,
            )
        }
    }

    #[test]
    fn an_edit_finds_the_event_of_each_file_and_text() {
        let known = known();
        let table: [(&[&str], usize, &[&str]); 6] = [
            (&["a", "b"], 1, &["$a", "$b", "$w"]),
            // One was taken out, or put in, or all of them.
            (&["b"], 1, &["$b", "$w"]),
            (&["b", "c", "a"], 0, &["$b", "", "$a"]),
            (&["c"], 2, &["", "$w", ""]),
            (&[], 1, &["$w"]),
            (&["a"], 0, &["$a"]),
        ];
        for (files, words, expected) in table {
            let parts = parts(files, words);
            let found: Vec<_> = originals_of(&parts, &known)
                .into_iter()
                .map(|event| event.map_or("", |event| event.as_str()))
                .collect();
            assert_eq!(found, expected, "{files:?} and {words}");
        }
    }
}
