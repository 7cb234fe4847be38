//! Threads (facts 4.4, capture 15): what a reply does to its parent and to those who follow it.

use serde_json::{Value, json};

use crate::{
    error::Failure,
    json::{self, Doc},
    state::State,
    time,
};

/// Adds to a list what it has not yet.
fn add(list: &mut Vec<String>, one: &str) {
    if !list.iter().any(|known| known == one) {
        list.push(one.to_owned());
    }
}

fn add_to(sub: &mut Doc, key: &str, tmid: &str) {
    let mut list = json::texts(sub, key);
    add(&mut list, tmid);
    sub.insert(key.to_owned(), json!(list));
}

impl State {
    /// Counts a reply at its parent, which is shown again, and marks the thread unread for those who
    /// followed it before.
    pub fn after_reply(&mut self, uid: &str, rid: &str, tmid: &str, reply: &Doc) {
        let Some(parent) = self.messages.get(tmid) else {
            return;
        };
        let before = json::texts(&parent.doc, "replies");
        let mentioned: Vec<String> = reply["mentions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["type"] == "user")
            .filter_map(|one| one["_id"].as_str())
            .map(str::to_owned)
            .collect();
        let everybody = reply["mentions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|one| one["_id"] == "all" || one["_id"] == "here");
        let mut followers = before.clone();
        // Whoever stopped following their own thread is not brought back by it.
        if before.is_empty() {
            add(&mut followers, parent.author());
        }
        add(&mut followers, uid);
        mentioned.iter().for_each(|one| add(&mut followers, one));
        let at = reply.get("ts").cloned().unwrap_or(Value::Null);
        self.change_message(tmid, |parent| {
            let count = json::number(parent, "tcount");
            parent.insert("replies".to_owned(), json!(&followers));
            parent.insert("tlm".to_owned(), at);
            parent.insert("tcount".to_owned(), json!(count + 1));
        });
        for follower in followers {
            let named = mentioned.contains(&follower);
            let unread = follower != uid && (named || before.contains(&follower));
            self.change_sub(rid, &follower, |sub| {
                sub.insert("lr".to_owned(), json::date(time::now_ms()));
                sub.insert("alert".to_owned(), json!(true));
                if unread {
                    add_to(sub, "tunread", tmid);
                }
                if unread && named {
                    add_to(sub, "tunreadUser", tmid);
                } else if unread && everybody {
                    add_to(sub, "tunreadGroup", tmid);
                }
            });
        }
    }

    /// Takes a deleted reply off its parent's counter; what else the parent tells of it stays.
    pub fn after_reply_deleted(&mut self, tmid: &str) {
        self.change_message(tmid, |parent| {
            let count = json::number(parent, "tcount");
            parent.insert("tcount".to_owned(), json!((count - 1).max(0)));
        });
    }

    /// Follows a thread, or stops to.
    pub fn follow(&mut self, uid: &str, tmid: &str, follow: bool) -> Result<(), Failure> {
        let method = if follow {
            "followMessage"
        } else {
            "unfollowMessage"
        };
        let invalid = || {
            Failure::coded("error-invalid-message", "Invalid message")
                .with(json!({ "method": method }))
        };
        let message = self.messages.get(tmid).ok_or_else(invalid)?;
        let rid = message.rid().to_owned();
        // Of a reply the thread is meant.
        let tmid = match json::text(&message.doc, "tmid") {
            "" => tmid.to_owned(),
            root => root.to_owned(),
        };
        if !self.may_access(uid, &rid) {
            return Err(Failure::not_allowed(method));
        }
        self.change_message(&tmid, |parent| {
            let mut followers = json::texts(parent, "replies");
            if follow {
                add(&mut followers, uid);
            } else {
                followers.retain(|one| one != uid);
            }
            parent.insert("replies".to_owned(), json!(followers));
        });
        let has_unread = self
            .sub(&rid, uid)
            .is_some_and(|sub| json::texts(&sub.doc, "tunread").contains(&tmid));
        if !follow && has_unread {
            self.change_sub(&rid, uid, |sub| {
                for key in ["tunread", "tunreadUser", "tunreadGroup"] {
                    if sub.contains_key(key) {
                        let mut list = json::texts(sub, key);
                        list.retain(|one| *one != tmid);
                        sub.insert(key.to_owned(), json!(list));
                    }
                }
            });
        }
        Ok(())
    }
}
