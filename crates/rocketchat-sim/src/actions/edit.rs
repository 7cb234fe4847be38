//! Editing a message (facts 4.5, capture 16).

use serde_json::{Value, json};

use crate::{
    error::Failure,
    ids,
    json::{self, Doc},
    state::State,
    text, time,
};

impl State {
    /// May a user edit a message now?
    fn check_edit(&self, uid: &str, id: &str) -> Result<(), Failure> {
        let not_allowed = || {
            Failure::coded("error-action-not-allowed", "Message editing not allowed")
                .with(json!({ "method": "updateMessage", "action": "Message_editing" }))
        };
        let Some(message) = self.messages.get(id) else {
            return Err(Failure::coded("error-invalid-message", "Invalid message")
                .with(json!({ "method": "updateMessage" })));
        };
        let any = self.may_in(uid, "edit-message", message.rid());
        let own = message.author() == uid && self.settings.on("Message_AllowEditing");
        if !any && !own {
            return Err(not_allowed());
        }
        let minutes = self
            .settings
            .number("Message_AllowEditing_BlockEditInMinutes");
        if minutes > 0
            && !self.may_in(uid, "bypass-time-limit-edit-and-delete", message.rid())
            && (time::now_ms() - message.ts()) / 60_000 >= minutes
        {
            return Err(Failure::coded(
                "error-message-editing-blocked",
                "Message editing is blocked",
            )
            .with(json!({ "method": "updateMessage" })));
        }
        self.check_room(uid, message.rid())
    }

    /// Gives a message a new text, or a file's caption when its first attachment has one. The same
    /// text changes nothing and is no failure.
    pub fn edit_message(
        &mut self,
        uid: &str,
        id: &str,
        new: &str,
        extra: Doc,
        previews: Option<&[String]>,
    ) -> Result<(), Failure> {
        self.check_edit(uid, id)?;
        let Some(message) = self.messages.get(id) else {
            return Ok(());
        };
        let mut doc = message.doc.clone();
        let rid = message.rid().to_owned();
        let caption = doc
            .get("attachments")
            .and_then(Value::as_array)
            .and_then(|list| list.first())
            .and_then(|first| first["description"].as_str())
            .map(str::to_owned);
        let old = caption
            .clone()
            .unwrap_or_else(|| json::text(&doc, "msg").to_owned());
        if old == new && !extra.contains_key("customFields") && previews.is_none() {
            return Ok(());
        }
        let now = time::now_ms();
        if self.settings.on("Message_KeepHistory") {
            self.keep_copy(uid, &doc, now);
        }
        if caption.is_some() {
            doc["attachments"][0]["description"] = json!(new);
            if let Some(tree) = self.tree(new) {
                doc["attachments"][0]["descriptionMd"] = tree;
            }
        } else {
            doc.insert("msg".to_owned(), json!(text::close_fence(new)));
        }
        doc.extend(extra);
        self.compute(uid, &mut doc, previews);
        doc.insert("editedAt".to_owned(), json::date(now));
        if let Some(editor) = self.users.get(uid) {
            doc.insert("editedBy".to_owned(), editor.short());
        }
        self.change_message(id, |stored| *stored = doc);
        self.refresh_last_message(&rid, id);
        Ok(())
    }

    /// A hidden copy of a message as it was, for `Message_KeepHistory`.
    pub fn keep_copy(&mut self, uid: &str, doc: &Doc, now: i64) {
        let mut copy = doc.clone();
        copy.insert("_hidden".to_owned(), json!(true));
        copy.insert("parent".to_owned(), doc["_id"].clone());
        copy.insert("_id".to_owned(), json!(ids::object(now)));
        copy.insert("_updatedAt".to_owned(), json::date(now));
        copy.insert("editedAt".to_owned(), json::date(now));
        if let Some(editor) = self.users.get(uid) {
            copy.insert("editedBy".to_owned(), editor.short());
        }
        self.insert_message(copy);
    }

    /// Brings a room's `lastMessage` up to date when it is this message.
    pub fn refresh_last_message(&mut self, rid: &str, id: &str) {
        let is_last = self.room(rid).is_some_and(|room| {
            room.get("lastMessage")
                .is_some_and(|last| last["_id"] == id)
        });
        if is_last && let Some(doc) = self.messages.get(id).map(|message| message.doc.clone()) {
            self.set_room(rid, "lastMessage", Some(Value::Object(doc)));
        }
    }

    /// The method `updateMessage`: only these keys may differ from what is stored.
    pub fn update_method(&mut self, uid: &str, message: &Value) -> Result<(), Failure> {
        const ALLOWED: &[&str] = &[
            "_id",
            "rid",
            "msg",
            "attachments",
            "alias",
            "avatar",
            "emoji",
            "customFields",
            "tshow",
            "content",
            "e2eMentions",
            "tmid",
        ];
        let id = message["_id"].as_str().unwrap_or("");
        let stored = self.messages.get(id).map(|one| one.doc.clone());
        let sent = message.as_object().cloned().unwrap_or_default();
        if let Some(stored) = &stored
            && let Some(key) = sent.keys().find(|key| {
                (*key == "rid" || !ALLOWED.contains(&key.as_str()))
                    && stored.get(*key) != sent.get(*key)
            })
        {
            return Err(Failure::coded(
                "error-invalid-update-key",
                &format!("Cannot update the message {key}"),
            )
            .with(json!({ "method": "updateMessage" })));
        }
        // Nothing becomes a reply, or another thread's, afterwards (facts 4.5).
        let moved = json::truthy(sent.get("tmid"))
            && stored
                .as_ref()
                .is_some_and(|stored| stored.get("tmid") != sent.get("tmid"));
        if moved {
            return Err(Failure::coded(
                "error-message-change-to-thread",
                "Cannot change message to a thread",
            )
            .with(json!({ "method": "updateMessage" })));
        }
        let extra = json::only(
            &sent,
            &[
                "attachments",
                "alias",
                "avatar",
                "emoji",
                "customFields",
                "tshow",
            ],
        );
        self.edit_message(uid, id, message["msg"].as_str().unwrap_or(""), extra, None)
    }
}
