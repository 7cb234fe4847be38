//! Reactions (facts 6, captures 17 and 45): read and checked first, written in a second step, as
//! the real server does. What comes between the two is lost, as there.

use serde_json::{Map, Value, json};

use crate::{error::Failure, json, state::State};

/// A reaction that passed all checks: the whole map that is to be written.
#[derive(Debug)]
pub struct Reaction {
    message: String,
    map: Option<Map<String, Value>>,
}

impl State {
    /// Adds, removes or toggles a reaction at once.
    pub fn react(
        &mut self,
        uid: &str,
        id: &str,
        emoji: &str,
        should: Option<bool>,
    ) -> Result<(), Failure> {
        if let Some(reaction) = self.prepare_reaction(uid, id, emoji, should)? {
            self.commit_reaction(reaction);
        }
        Ok(())
    }

    /// Checks a reaction and makes the map that it leads to; `None` when nothing changes. Without a
    /// `reactions` key, `should == Some(false)` adds one: the server's own mistake, kept.
    pub fn prepare_reaction(
        &self,
        uid: &str,
        id: &str,
        emoji: &str,
        should: Option<bool>,
    ) -> Result<Option<Reaction>, Failure> {
        let method = json!({ "method": "setReaction" });
        let Some(message) = self.messages.get(id) else {
            return Err(Failure::not_allowed("setReaction"));
        };
        let rid = message.rid();
        if !self.may_access(uid, rid) {
            return Err(Failure::coded("not-authorized", "Not Authorized").with(method));
        }
        let name = emoji.replace(':', "");
        if !rocketchat_emoji::is_known(&name) && !self.emoji.is_known(&name) {
            return Err(
                Failure::coded("error-not-allowed", "Invalid emoji provided.").with(method),
            );
        }
        self.check_federation(rid, &message.doc, "react to message")?;
        let Some(user) = self.users.get(uid).map(|user| user.name().to_owned()) else {
            return Err(Failure::NotLoggedIn);
        };
        if let Some(room) = self.room(rid) {
            if json::flag(room, "ro")
                && !json::flag(room, "reactWhenReadOnly")
                && !self.may_in(uid, "post-readonly", rid)
                && !json::texts(room, "unmuted").contains(&user)
            {
                return Err(Failure::plain(
                    "You can't send messages because the room is readonly.",
                ));
            }
            if json::texts(room, "muted").contains(&user) {
                return Err(Failure::coded(
                    "error-not-allowed",
                    "You have been muted and cannot speak in this room",
                )
                .with(json!({ "rid": rid })));
            }
        }
        let key = format!(":{name}:");
        let stored = message.doc.get("reactions").and_then(Value::as_object);
        let mut names = stored
            .and_then(|all| all.get(&key)?.as_object())
            .map_or_else(Vec::new, |one| json::texts(one, "usernames"));
        let there = names.contains(&user);
        if stored.is_some() && should.is_some_and(|should| should == there) {
            return Ok(None);
        }
        if there {
            names.retain(|one| *one != user);
        } else {
            names.push(user);
        }
        let mut map = stored.cloned().unwrap_or_default();
        if names.is_empty() {
            map.remove(&key);
        } else {
            map.insert(key, json!({ "usernames": names }));
        }
        Ok(Some(Reaction {
            message: id.to_owned(),
            map: (!map.is_empty()).then_some(map),
        }))
    }

    /// Writes the map of a reaction over whatever is there by now.
    pub fn commit_reaction(&mut self, reaction: Reaction) {
        let Some(rid) = self
            .messages
            .get(&reaction.message)
            .map(|message| message.rid().to_owned())
        else {
            return;
        };
        let put = |doc: &mut json::Doc| {
            match reaction.map.clone() {
                Some(map) => doc.insert("reactions".to_owned(), Value::Object(map)),
                None => doc.remove("reactions"),
            };
        };
        self.change_message(&reaction.message, put);
        // Of the room's copy only the reactions change, not what a thread wrote (capture 61).
        let is_last = self.room(&rid).is_some_and(|room| {
            room.get("lastMessage")
                .is_some_and(|last| last["_id"] == reaction.message.as_str())
        });
        if is_last {
            self.change_room(&rid, |room| {
                if let Some(Value::Object(last)) = room.get_mut("lastMessage") {
                    put(last);
                }
            });
        }
    }
}
