//! Events that reached Matrix although their answers, or their records, were
//! lost.

use std::collections::HashMap;

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::Value;

use super::revision;
use crate::bridge::linking::Seen;
use crate::bridge::marker::Marker;
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_matrix::without_caption;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::rocketchat::{FileId, RocketMessageId};
use crate::store::{Message, MirroredFile, Origin, Portal};

/// How many pages of a room's history are looked through for events whose
/// answers were lost: they are among the newest.
const PAGES_TO_LOOK_THROUGH: usize = 20;

/// What ghosts have sent of messages that have no record yet.
#[derive(Debug, Default)]
pub(in crate::bridge) struct Delivered {
    parts: HashMap<(RocketMessageId, i64, usize), Part>,
}

#[derive(Debug)]
struct Part {
    event: OwnedEventId,
    sender: OwnedUserId,
    of: usize,
    file: Option<MirroredFile>,
}

impl Delivered {
    /// The event of one part of a message as it is now.
    pub(super) fn event(&self, message: &RocketMessage, part: usize) -> Option<OwnedEventId> {
        let key = (message.id.clone(), revision(message), part);
        self.parts.get(&key).map(|part| part.event.clone())
    }

    /// The file that such an event brought, if it brought one.
    pub(super) fn file(&self, message: &RocketMessage, part: usize) -> Option<MirroredFile> {
        let key = (message.id.clone(), revision(message), part);
        self.parts.get(&key).and_then(|part| part.file.clone())
    }

    /// The messages of which every part is there: id, revision, parts.
    fn whole(&self) -> Vec<(RocketMessageId, i64, Vec<&Part>)> {
        let firsts = self.parts.iter().filter(|((_, _, number), _)| *number == 0);
        firsts
            .filter_map(|((id, revision, _), first)| {
                let parts: Option<Vec<_>> = (0..first.of)
                    .map(|number| {
                        let part = self.parts.get(&(id.clone(), *revision, number))?;
                        (part.sender == first.sender).then_some(part)
                    })
                    .collect();
                Some((id.clone(), *revision, parts?))
            })
            .collect()
    }
}

impl Bridge {
    /// Takes events into the store that a ghost has sent and whose answer, or
    /// whose record, was lost; and says of which messages only parts are there.
    /// Synapse would not recognise the repeat after a restart of its own: its
    /// memory of transactions is not on disk.
    pub(in crate::bridge) async fn adopt_delivered(
        &self,
        portal: &Portal,
    ) -> Result<Delivered, Failure> {
        let reader = self.reader(portal).await?;
        let mut delivered = Delivered::default();
        let mut from = None;
        for _ in 0..PAGES_TO_LOOK_THROUGH {
            let page = reader
                .messages_backwards(&portal.room_id, from.as_deref(), 100)
                .await?;
            let (mut news, mut known) = (0, 0);
            for event in page.events {
                let Some(marker) = Marker::of(&event.content) else {
                    continue;
                };
                let seen = Seen {
                    room: &portal.room_id,
                    sender: &event.sender,
                    kind: &event.kind,
                    event: &event.event_id,
                    time: Some(event.origin_server_ts),
                };
                let is_ours = self.config.is_ours(&event.sender)
                    || self.has_our_seal(&seen, &event.content)?;
                if !is_ours || marker.room_id != portal.rid {
                    continue;
                }
                let is_new = if is_edit(&event.content) {
                    self.adopt_edit(portal, &marker)?
                } else {
                    let record = self.store.message(&portal.id, &marker.message_id)?;
                    let is_new = record.is_none_or(|record| record.revision < marker.revision);
                    if is_new {
                        let file = marker
                            .file
                            .map(|id| file_in(id, &event.event_id, &event.content));
                        delivered.parts.insert(
                            (marker.message_id, marker.revision, marker.part),
                            Part {
                                event: event.event_id,
                                sender: event.sender,
                                of: marker.parts,
                                file,
                            },
                        );
                    }
                    is_new
                };
                if is_new {
                    news += 1;
                } else {
                    known += 1;
                }
            }
            from = page.end;
            if from.is_none() || (news == 0 && known > 0) {
                break;
            }
        }
        for (id, revision, parts) in delivered.whole() {
            if self.store.message(&portal.id, &id)?.is_some() {
                continue;
            }
            let Some(sender) = parts.first().map(|part| part.sender.clone()) else {
                continue;
            };
            tracing::info!(message = %id, "had been delivered already");
            let events = parts.iter().map(|part| part.event.clone()).collect();
            let record = Message {
                revision,
                files: parts.iter().filter_map(|part| part.file.clone()).collect(),
                ..Message::new(portal, id, events, sender, Origin::RocketChat)
            };
            self.store.change().message(&record).commit()?;
        }
        Ok(delivered)
    }

    /// Completes the record of a message that was made of its events alone, from the message
    /// as it is now: with which account it was posted, and so is edited and deleted, its
    /// thread, whom it mentions.
    pub(super) async fn complete_adopted(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: Message,
    ) -> Result<Message, Failure> {
        if known.origin != Origin::RocketChat || known.posted_by.is_some() || known.deleted {
            return Ok(known);
        }
        let content = self.content_of(portal, message).await?;
        let place = self.placement_of(portal, message, &content.quoted)?;
        self.store
            .amend_message(&known.portal_id(), &known.id, |stored| {
                stored.posted_by = Some(message.u.id.clone());
                stored.sent_at = message.ts.0;
                stored.thread = message.tmid.clone();
                // Of an edit that is still to come nobody has been notified.
                if revision(message) == stored.revision {
                    stored.mentions = content.mentions.users;
                }
            })?;
        let completed = self.store.message(&known.portal_id(), &known.id)?;
        let completed = completed.unwrap_or(known);
        // Others may have followed in its thread since.
        if place.begins_old_thread() && completed.room_id == portal.room_id {
            let change = self.store.change();
            place.note(portal, &completed, change).commit()?;
        }
        Ok(completed)
    }

    /// Notes an edit that had been delivered; whether that was news. Of what is in
    /// several events only the sender knows whether all are edited.
    fn adopt_edit(&self, portal: &Portal, marker: &Marker) -> Result<bool, Failure> {
        let known = self.store.message(&portal.id, &marker.message_id)?;
        let is_new = known.is_some_and(|known| {
            known.revision < marker.revision
                && known.origin == Origin::RocketChat
                && marker.parts == 1
                && known.events.len() == 1
        });
        if is_new {
            self.store
                .amend_message(&portal.id, &marker.message_id, |stored| {
                    stored.revision = stored.revision.max(marker.revision);
                    // What it says now is in the edit: the next one must not be taken
                    // for no news.
                    for file in &mut stored.files {
                        file.said.clear();
                    }
                })?;
        }
        Ok(is_new)
    }
}

/// The file that an event brought, as far as the event says: of one in words, the words
/// with the caption.
fn file_in(id: FileId, event: &OwnedEventId, content: &Value) -> MirroredFile {
    let bare = without_caption(content).unwrap_or_else(|| {
        let mut words = content.clone();
        if let Some(words) = words.as_object_mut() {
            words.retain(|key, _| {
                ["msgtype", "body", "format", "formatted_body"].contains(&key.as_str())
            });
        }
        words
    });
    MirroredFile {
        id,
        event: event.clone(),
        content: bare,
        said: derived::said(content),
    }
}

fn is_edit(content: &Value) -> bool {
    content
        .pointer("/m.relates_to/rel_type")
        .and_then(Value::as_str)
        == Some("m.replace")
}
