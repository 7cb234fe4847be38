//! Reactions (facts 6, capture 17).

use serde_json::{Value, json};

use crate::{error::Failure, json, state::State};

impl State {
    /// Adds, removes or toggles a reaction. Without a `reactions` key, `should == Some(false)` adds
    /// one: the server's own mistake, kept.
    pub fn react(
        &mut self,
        uid: &str,
        id: &str,
        emoji: &str,
        should: Option<bool>,
    ) -> Result<(), Failure> {
        let name = emoji.replace(':', "");
        let Some(message) = self.messages.get(id) else {
            return Err(Failure::coded("error-not-allowed", "Not allowed")
                .with(json!({ "method": "setReaction" })));
        };
        let (rid, doc) = (message.rid().to_owned(), message.doc.clone());
        if !self.may_access(uid, &rid) {
            return Err(Failure::coded("error-not-allowed", "Not allowed")
                .with(json!({ "method": "setReaction" })));
        }
        if !rocketchat_emoji::is_known(&name) {
            return Err(
                Failure::coded("error-not-allowed", "Invalid emoji provided.")
                    .with(json!({ "method": "setReaction" })),
            );
        }
        let Some(user) = self.users.get(uid).map(|user| user.name().to_owned()) else {
            return Ok(());
        };
        if let Some(room) = self.room(&rid) {
            let muted = json::texts(room, "muted").contains(&user);
            let closed = json::flag(room, "ro")
                && !json::flag(room, "reactWhenReadOnly")
                && !self.may_in(uid, "post-readonly", &rid)
                && !json::texts(room, "unmuted").contains(&user);
            if muted || closed {
                return Err(Failure::coded(
                    "error-not-allowed",
                    "You have been muted and cannot speak in this room",
                )
                .with(json!({ "method": "setReaction" })));
            }
        }
        let key = format!(":{name}:");
        let mut reactions = doc.get("reactions").and_then(Value::as_object).cloned();
        let there = reactions
            .as_ref()
            .and_then(|all| all.get(&key))
            .and_then(|one| one["usernames"].as_array())
            .is_some_and(|names| names.iter().any(|one| one == user.as_str()));
        if reactions.is_some() && should.is_some_and(|should| should == there) {
            return Ok(());
        }
        let all = reactions.get_or_insert_with(Default::default);
        let mut names: Vec<String> = all.get(&key).map_or_else(Vec::new, |one| {
            one["usernames"].as_array().map_or_else(Vec::new, |list| {
                list.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
        });
        if there {
            names.retain(|one| *one != user);
        } else {
            names.push(user);
        }
        if names.is_empty() {
            all.remove(&key);
        } else {
            all.insert(key, json!({ "usernames": names }));
        }
        let left = reactions.filter(|all| !all.is_empty());
        self.change_message(id, |doc| {
            match left {
                Some(all) => doc.insert("reactions".to_owned(), Value::Object(all)),
                None => doc.remove("reactions"),
            };
        });
        self.refresh_last_message(&rid, id);
        Ok(())
    }
}
