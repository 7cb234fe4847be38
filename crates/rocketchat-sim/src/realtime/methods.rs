//! Methods, over a socket or by `method.call` (facts 7.4).

use serde_json::{Value, json};

use crate::{
    actions::send::Prepared,
    error::Failure,
    json::{self, Doc},
    state::State,
};

/// What a method came to.
pub enum Done {
    /// A result, or a result frame without one.
    Value(Option<Value>),
    /// A message that is still to be stored.
    Send(Box<Prepared>),
}

fn text(params: &[Value], at: usize) -> String {
    params
        .get(at)
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}

fn invalid_user(method: &str) -> Failure {
    Failure::coded("error-invalid-user", "Invalid user").with(json!({ "method": method }))
}

impl State {
    /// Calls a method as `user`; `socket` is the caller's, which does not hear its own typing.
    pub fn call_method(
        &mut self,
        user: Option<&str>,
        name: &str,
        params: &[Value],
        socket: Option<u64>,
    ) -> Result<Done, Failure> {
        const KNOWN: &[&str] = &[
            "sendMessage",
            "updateMessage",
            "deleteMessage",
            "stream-notify-room",
            "getRoomByTypeAndName",
            "getRoomById",
            "loadHistory",
            "loadMissedMessages",
            "messages/get",
            "getSingleMessage",
            "getMessages",
            "rooms/get",
            "subscriptions/get",
            "readMessages",
            "joinRoom",
            "leaveRoom",
            "setReaction",
            "createDirectMessage",
            "blockUser",
            "unblockUser",
        ];
        if !(KNOWN.contains(&name) || super::room_methods::KNOWN.contains(&name))
            || (name == "deleteMessage" && !self.options.profile.delete_message_method())
            || (name == "setReaction" && !self.options.profile.set_reaction_method())
        {
            return Err(Failure::Login {
                error: Some(json!(404)),
                message: format!("Method '{name}' not found"),
                details: None,
            });
        }
        if name == "stream-notify-room" {
            self.type_into(user, params, socket);
            return Ok(Done::Value(None));
        }
        let Some(uid) = user else {
            return Err(invalid_user(name));
        };
        if name == "sendMessage" {
            return self.send_method(uid, params);
        }
        let id = text(params, 0);
        let value = match name {
            "updateMessage" => {
                let message = params.first().cloned().unwrap_or(Value::Null);
                self.update_method(uid, &message)?;
                None
            }
            "deleteMessage" => {
                let id = params
                    .first()
                    .and_then(|message| message["_id"].as_str())
                    .unwrap_or("")
                    .to_owned();
                self.delete_message(uid, &id)?;
                None
            }
            "setReaction" => {
                self.react(
                    uid,
                    &text(params, 1),
                    &id,
                    params.get(2).and_then(Value::as_bool),
                )?;
                None
            }
            "readMessages" => {
                self.mark_read(uid, &id);
                None
            }
            "blockUser" | "unblockUser" => {
                let about = params.first().cloned().unwrap_or(Value::Null);
                let rid = about["rid"].as_str().unwrap_or("");
                let other = about["blocked"].as_str().unwrap_or("");
                self.block(uid, rid, other, name == "blockUser")?;
                Some(json!(true))
            }
            "joinRoom" => {
                self.join(uid, &id, &text(params, 1))?;
                Some(json!(true))
            }
            "leaveRoom" => {
                self.leave(uid, &id)?;
                None
            }
            "createDirectMessage" => {
                let names = params
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect::<Vec<_>>();
                Some(self.create_direct(uid, &names, false)?)
            }
            known if super::room_methods::KNOWN.contains(&known) => {
                self.room_method(uid, name, params)?
            }
            _ => self.read_method(uid, name, &id, params)?,
        };
        Ok(Done::Value(value))
    }

    fn send_method(&mut self, uid: &str, params: &[Value]) -> Result<Done, Failure> {
        let Some(Value::Object(message)) = params.first().cloned() else {
            return Err(Failure::plain("Match error: Expected object"));
        };
        if self.options.profile.strict_chat_schema() {
            const ALLOWED: &[&str] = &[
                "_id",
                "rid",
                "msg",
                "tmid",
                "tshow",
                "ts",
                "t",
                "otrAck",
                "bot",
                "content",
                "e2e",
                "e2eMentions",
                "customFields",
                "federation",
                "groupable",
                "sentByEmail",
            ];
            if let Some(key) = message.keys().find(|key| !ALLOWED.contains(&key.as_str())) {
                return Err(Failure::plain(format!(
                    "Match error: Unknown key in field {key}"
                )));
            }
        }
        let previews = params.get(1).and_then(Value::as_array).map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        });
        match self.prepare_send(uid, message, previews, false) {
            Ok(prepared) => Ok(Done::Send(Box::new(prepared))),
            // Everything but this one failure is swallowed.
            Err(failure) if failure == Failure::plain("error-not-allowed") => {
                Err(Failure::coded("error-not-allowed", "Not allowed")
                    .with(json!({ "method": "sendMessage" })))
            }
            Err(_) => Ok(Done::Value(None)),
        }
    }

    /// `<rid>/user-activity` under one's own name is passed on unchecked; anything else is ignored
    /// (capture 23).
    fn type_into(&mut self, user: Option<&str>, params: &[Value], socket: Option<u64>) {
        let event = text(params, 0);
        let Some((rid, "user-activity")) = event.split_once('/') else {
            return;
        };
        let Some(user) = user
            .filter(|uid| self.may_access(uid, rid))
            .and_then(|uid| self.users.get(uid))
        else {
            return;
        };
        let own = if self.settings.on("UI_Use_Real_Name") {
            user.shown_name()
        } else {
            user.name()
        };
        if text(params, 1) == own {
            let args = Value::Array(params[1..].to_vec());
            self.emit_except("stream-notify-room", &event, &args, socket);
        }
    }

    fn read_method(
        &mut self,
        uid: &str,
        name: &str,
        id: &str,
        params: &[Value],
    ) -> Result<Option<Value>, Failure> {
        let readable = |state: &Self, rid: &str| -> Result<(), Failure> {
            if state.may_access(uid, rid) {
                Ok(())
            } else {
                Err(Failure::not_allowed(name))
            }
        };
        let date = |at: usize| json::date_ms(params.get(at));
        Ok(Some(match name {
            "getRoomByTypeAndName" => {
                let room = text(params, 1);
                let rid = self.room_named(&room).map_or(room.clone(), str::to_owned);
                readable(self, &rid)?;
                self.room(&rid).map_or(Value::Null, |room| {
                    json!(json::without(room, &["_USERNAMES"]))
                })
            }
            "getRoomById" => {
                readable(self, id)?;
                self.room(id).map_or(Value::Null, |room| json!(room))
            }
            "getSingleMessage" => match self.messages.get(id) {
                Some(message) if self.may_access(uid, message.rid()) => json!(message.doc),
                _ => Value::Null,
            },
            "getMessages" => {
                let ids = params
                    .first()
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default();
                let found = ids
                    .iter()
                    .filter_map(Value::as_str)
                    .filter_map(|id| self.messages.get(id));
                json!(
                    found
                        .filter(|one| self.may_access(uid, one.rid()))
                        .map(|one| &one.doc)
                        .collect::<Vec<_>>()
                )
            }
            "loadHistory" => {
                readable(self, id)?;
                let count = params.get(2).and_then(Value::as_u64).unwrap_or(20) as usize;
                let threads = params.get(4).and_then(Value::as_bool).unwrap_or(true);
                let until = date(1).map_or(i64::MAX, |ts| ts - 1);
                json!({ "messages": self.history(id, i64::MIN, until, threads, 0, count), "unreadNotLoaded": 0 })
            }
            "loadMissedMessages" => {
                readable(self, id)?;
                json!(self.history(id, date(1).unwrap_or(0) + 1, i64::MAX, true, 0, usize::MAX))
            }
            "messages/get" => {
                readable(self, id)?;
                let since = json::date_ms(params.get(1).map(|one| &one["lastUpdate"])).unwrap_or(0);
                self.changes_since(id, since)
            }
            "rooms/get" => self.rooms_since(uid, date(0)),
            "subscriptions/get" => self.subs_since(uid, date(0)),
            _ => Value::Null,
        }))
    }

    /// Messages of a room as histories show them, newest first: nothing hidden, no hidden system
    /// types, thread replies only on request.
    pub fn history(
        &self,
        rid: &str,
        from: i64,
        to: i64,
        threads: bool,
        skip: usize,
        count: usize,
    ) -> Vec<Doc> {
        let hidden_here = self
            .room(rid)
            .map_or_else(Vec::new, |room| json::texts(room, "sysMes"));
        self.messages
            .newest_first(rid, from, to)
            .filter(|one| !one.hidden())
            .filter(|one| {
                let kind = one.kind();
                kind.is_empty()
                    || !(self.settings.lists("Hide_System_Messages", kind)
                        || hidden_here.iter().any(|k| k == kind))
            })
            .filter(|one| threads || !one.doc.contains_key("tmid") || json::flag(&one.doc, "tshow"))
            .skip(skip)
            .take(count)
            .map(|one| one.doc.clone())
            .collect()
    }

    /// `{updated, deleted}` of a room (facts 4.6).
    pub fn changes_since(&self, rid: &str, since: i64) -> Value {
        let updated: Vec<&Doc> = self
            .messages
            .updated_since(rid, since)
            .into_iter()
            .filter(|one| !one.hidden())
            .map(|one| &one.doc)
            .collect();
        let mut gone = self.messages.deleted_since(rid, since);
        gone.sort_by_key(|one| std::cmp::Reverse(one.ts));
        let deleted: Vec<Value> = gone
            .iter()
            .map(|one| json!({ "_id": one.id, "_deletedAt": json::date(one.at) }))
            .collect();
        json!({ "updated": updated, "deleted": deleted })
    }

    /// `{update, remove}` of the rooms a user is in; only `update` without a date.
    pub fn rooms_since(&self, uid: &str, since: Option<i64>) -> Value {
        let changed = |doc: &Doc| {
            since.is_none_or(|since| {
                json::date_ms(doc.get("_updatedAt")).is_some_and(|at| at > since)
            })
        };
        let update: Vec<Doc> = self
            .subs_of_user(uid)
            .iter()
            .filter_map(|sub| self.room(json::text(&sub.doc, "rid")))
            .filter(|room| changed(room))
            .map(|room| json::without(room, &["_USERNAMES"]))
            .collect();
        let remove: Vec<Value> = self
            .rooms
            .removed_rooms
            .iter()
            .filter(|gone| since.is_some_and(|since| gone.at > since))
            .map(|gone| json!({ "_id": gone.id, "_deletedAt": json::date(gone.at) }))
            .collect();
        json!({ "update": update, "remove": remove })
    }

    /// `{update, remove}` of a user's subscriptions.
    pub fn subs_since(&self, uid: &str, since: Option<i64>) -> Value {
        let changed = |doc: &Doc| {
            since.is_none_or(|since| {
                json::date_ms(doc.get("_updatedAt")).is_some_and(|at| at > since)
            })
        };
        let update: Vec<Doc> = self
            .subs_of_user(uid)
            .iter()
            .filter(|sub| changed(&sub.doc))
            .map(|sub| sub.shown())
            .collect();
        let remove: Vec<Value> = self
            .rooms
            .removed_subs
            .iter()
            .filter(|gone| gone.uid == uid && since.is_some_and(|since| gone.at > since))
            .map(|gone| json!({ "_id": gone.id, "_deletedAt": json::date(gone.at) }))
            .collect();
        json!({ "update": update, "remove": remove })
    }
}
