//! Deleting messages (facts 4.8, capture 18).

use serde_json::{Value, json};

use crate::{error::Failure, json, state::State, time};

/// What `rooms.cleanHistory` takes.
#[derive(Debug, Default)]
pub struct Clean {
    /// Lower bound of `ts`.
    pub oldest: i64,
    /// Upper bound of `ts`.
    pub latest: i64,
    /// Bounds belong to the range.
    pub inclusive: bool,
    /// At most so many, 0 for all.
    pub limit: usize,
    /// Pinned messages stay.
    pub exclude_pinned: bool,
    /// Discussion stubs stay.
    pub ignore_discussion: bool,
    /// Thread parents and replies stay.
    pub ignore_threads: bool,
    /// The messages stay, and lose their files.
    pub files_only: bool,
    /// Only messages of these usernames, empty for everybody's.
    pub users: Vec<String>,
}

impl State {
    /// Deletes a message as `uid`, who must have the right to.
    pub fn delete_message(&mut self, uid: &str, id: &str) -> Result<(), Failure> {
        let Some(message) = self.messages.get(id) else {
            return Err(Failure::coded("error-action-not-allowed", "Not allowed"));
        };
        let rid = message.rid().to_owned();
        let own = message.author() == uid && self.may_in(uid, "delete-own-message", &rid);
        let force = self.may_in(uid, "force-delete-message", &rid);
        let any = self.may_in(uid, "delete-message", &rid);
        let minutes = self
            .settings
            .number("Message_AllowDeleting_BlockDeleteInMinutes");
        let age = ((time::now_ms() - message.ts()) as f64 / 60_000.0).round() as i64;
        let late = minutes > 0
            && age > minutes
            && !self.may_in(uid, "bypass-time-limit-edit-and-delete", &rid);
        let allowed = force || ((any || own) && self.settings.on("Message_AllowDeleting") && !late);
        if !allowed || !self.may_access(uid, &rid) {
            return Err(Failure::coded("error-action-not-allowed", "Not allowed"));
        }
        self.check_federation(&rid, &message.doc, "delete message")?;
        self.carry_out_delete(uid, id, &rid);
        Ok(())
    }

    fn carry_out_delete(&mut self, uid: &str, id: &str, rid: &str) {
        let Some(message) = self.messages.get(id) else {
            return;
        };
        let doc = message.doc.clone();
        let keep = self.settings.on("Message_KeepHistory");
        let shown =
            self.settings.on("Message_ShowDeletedStatus") || json::number(&doc, "tcount") > 0;
        let now = time::now_ms();
        if !keep {
            self.remove_files_of(&doc);
        }
        if keep && shown {
            self.keep_copy(uid, &doc, now);
        }
        if keep && !shown {
            self.change_message(id, |doc| {
                doc.insert("_hidden".to_owned(), json!(true));
            });
        } else if shown {
            let editor = self
                .users
                .get(uid)
                .map(|user| user.short())
                .unwrap_or(Value::Null);
            self.change_message(id, |doc| {
                for key in ["md", "blocks", "tshow"] {
                    doc.remove(key);
                }
                for (key, value) in [
                    ("msg", json!("")),
                    ("t", json!("rm")),
                    ("urls", json!([])),
                    ("mentions", json!([])),
                    ("attachments", json!([])),
                    ("reactions", json!({})),
                    ("editedAt", json::date(now)),
                    ("editedBy", editor),
                ] {
                    doc.insert(key.to_owned(), value);
                }
            });
        } else {
            self.bury_message(id);
        }
        if !shown {
            self.emit(
                "stream-notify-room",
                &format!("{rid}/deleteMessage"),
                &json!([{ "_id": id }]),
            );
        }
        if let Some(tmid) = doc.get("tmid").and_then(Value::as_str)
            && !shown
        {
            self.after_reply_deleted(tmid);
        }
        self.recount(rid, 1);
    }

    /// Takes deleted messages off a room's counter and shows the last one that is left.
    fn recount(&mut self, rid: &str, gone: i64) {
        let last = self.last_visible(rid);
        self.change_room(rid, |room| {
            let count = json::number(room, "msgs");
            room.insert("msgs".to_owned(), json!(count - gone));
            match last {
                Some(last) => room.insert("lastMessage".to_owned(), Value::Object(last)),
                None => room.remove("lastMessage"),
            };
        });
    }

    /// Takes its file from a message: `file` goes, `files` stays, it is no edit, and no
    /// deletion is told of (`cleanRoomHistory` of 6.14).
    fn prune_file(&mut self, id: &str) {
        let file = self
            .messages
            .get(id)
            .and_then(|one| one.doc.get("file")?["_id"].as_str().map(str::to_owned));
        if let Some(file) = file {
            self.remove_file(&file);
        }
        self.change_message(id, |doc| {
            doc.remove("file");
            let note = json!({ "color": "#FD745E", "text": "_File removed by prune_" });
            doc.insert("attachments".to_owned(), json!([note]));
        });
    }

    /// Removes many messages at once, with one `deleteMessageBulk`; returns how many.
    pub fn clean_history(&mut self, rid: &str, clean: &Clean) -> usize {
        let (from, to) = if clean.inclusive {
            (clean.oldest, clean.latest)
        } else {
            (clean.oldest + 1, clean.latest - 1)
        };
        let mut ids: Vec<String> = self
            .messages
            .newest_first(rid, from, to)
            .filter(|one| !clean.exclude_pinned || !json::flag(&one.doc, "pinned"))
            .filter(|one| !clean.ignore_discussion || !one.doc.contains_key("drid"))
            .filter(|one| {
                !clean.ignore_threads
                    || !(one.doc.contains_key("tmid") || one.doc.contains_key("tcount"))
            })
            .filter(|one| {
                clean.users.is_empty()
                    || one
                        .doc
                        .get("u")
                        .and_then(|u| u["username"].as_str())
                        .is_some_and(|name| clean.users.iter().any(|n| n == name))
            })
            .filter(|one| !clean.files_only || one.doc.contains_key("file"))
            .map(|one| json::text(&one.doc, "_id").to_owned())
            .collect();
        ids.reverse();
        if clean.limit > 0 {
            ids.truncate(clean.limit);
        }
        if ids.is_empty() {
            return 0;
        }
        if clean.files_only {
            for id in &ids {
                self.prune_file(id);
            }
            return ids.len();
        }
        // Counted is what people saw: no hidden copies, no marks of deleted messages (capture 18).
        let seen = ids
            .iter()
            .filter_map(|id| self.messages.get(id))
            .filter(|one| !one.hidden() && one.kind() != "rm")
            .count();
        for id in &ids {
            // Only the file itself: its thumbnail is left behind.
            let file = self
                .messages
                .get(id)
                .and_then(|one| one.doc.get("file")?["_id"].as_str().map(str::to_owned));
            if let Some(file) = file {
                self.remove_file(&file);
            }
            self.bury_message(id);
        }
        let (lower, upper) = if clean.inclusive {
            ("$gte", "$lte")
        } else {
            ("$gt", "$lt")
        };
        let mut event = json!({
            "rid": rid, "excludePinned": clean.exclude_pinned, "ignoreDiscussion": clean.ignore_discussion,
            "ts": { lower: json::date(clean.oldest), upper: json::date(clean.latest) }, "users": clean.users,
        });
        if clean.limit > 0 {
            event["ids"] = json!(ids);
        }
        self.emit(
            "stream-notify-room",
            &format!("{rid}/deleteMessageBulk"),
            &json!([event]),
        );
        self.recount(rid, seen as i64);
        seen
    }
}
