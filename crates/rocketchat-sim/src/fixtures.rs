//! What a test needs and would take thousands of requests to make: many people, many rooms, a big
//! room, and marks of Rocket.Chat's own federation (facts 10.2). Ordered over the control API.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    actions::create::NewRoom,
    ids,
    json::{self, Doc},
    state::{State, users::User},
    time,
};

/// At most so many of anything in one order.
const MOST: usize = 200_000;

/// `POST /_sim/users`: makes accounts without passwords, `names` and `prefix0`, `prefix1`, … Who is
/// there already stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ManyUsers {
    /// Usernames.
    pub names: Vec<String>,
    /// What numbered usernames begin with.
    pub prefix: String,
    /// How many numbered ones.
    pub count: usize,
    /// Marked as people of the server's own federation. 6.14 calls them `alice:example.org`.
    pub federated: bool,
}

/// `POST /_sim/rooms`: makes channels or groups, `names` and `prefix0`, `prefix1`, … with the same
/// members each. Nobody's joining is written down; who has a socket is told as by a real server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ManyRooms {
    /// Names.
    pub names: Vec<String>,
    /// What numbered names begin with.
    pub prefix: String,
    /// How many numbered ones.
    pub count: usize,
    /// Private groups instead of channels.
    pub private: bool,
    /// Username of who makes and owns them.
    pub owner: String,
    /// Usernames.
    pub members: Vec<String>,
    /// Everybody whose username begins with this is a member too.
    pub members_like: Option<String>,
    /// Topic of each.
    pub topic: Option<String>,
    /// Marked as rooms of the server's own federation.
    pub federated: bool,
    /// How long ago they were made and last changed, in ms.
    pub age_ms: i64,
}

impl Default for ManyRooms {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            prefix: String::new(),
            count: 0,
            private: false,
            owner: "admin".to_owned(),
            members: Vec::new(),
            members_like: None,
            topic: None,
            federated: false,
            age_ms: 0,
        }
    }
}

/// `POST /_sim/federated`: marks somebody or a room as of the server's own federation, or no
/// longer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Federated {
    /// Username.
    pub user: Option<String>,
    /// Id of a room.
    pub room: Option<String>,
    /// Marked or not.
    pub federated: bool,
}

fn numbered<'a>(names: &'a [String], prefix: &'a str, count: usize) -> Result<Vec<String>, String> {
    if names.len() + count > MOST {
        return Err(format!("at most {MOST} in one order"));
    }
    let more = (0..count).map(|number| format!("{prefix}{number}"));
    Ok(names.iter().cloned().chain(more).collect())
}

impl State {
    /// Carries out `POST /_sim/users`; returns the ids in order.
    ///
    /// # Errors
    ///
    /// What is wrong with the order, in words.
    pub(crate) fn make_users(&mut self, order: &ManyUsers) -> Result<Value, String> {
        let mut made = Vec::new();
        for name in numbered(&order.names, &order.prefix, order.count)? {
            if let Some(user) = self.users.exactly_named(&name) {
                made.push(user.id().to_owned());
                continue;
            }
            let (uid, now, seq) = (ids::meteor(), time::now_ms(), self.users.next_seq());
            let address = format!("{}@sim.invalid", name.replace([':', '@'], "_"));
            let mut doc = json::doc(json!({
                "_id": uid, "createdAt": json::date(now), "username": name, "name": name,
                "emails": [{ "address": address, "verified": false }], "type": "user", "roles": ["user"],
                "status": "offline", "active": true, "settings": {}, "_updatedAt": json::date(now),
            }));
            if order.federated {
                doc.insert("federated".to_owned(), json!(true));
                doc.insert(
                    "federation".to_owned(),
                    json!({ "searchedServerNames": [] }),
                );
            }
            self.save_user(User {
                doc,
                seq,
                password: None,
                tokens: Vec::new(),
            });
            made.push(uid);
        }
        self.journal.flush();
        Ok(json!({ "users": made }))
    }

    /// Carries out `POST /_sim/rooms`; returns the ids in order.
    ///
    /// # Errors
    ///
    /// What is wrong with the order, in words.
    pub(crate) fn make_rooms(&mut self, order: &ManyRooms) -> Result<Value, String> {
        let owner = self
            .users
            .exactly_named(&order.owner)
            .map(|user| user.id().to_owned())
            .ok_or("there is no such owner")?;
        let mut members = order.members.clone();
        if let Some(prefix) = &order.members_like {
            members.extend(
                self.users
                    .in_order()
                    .into_iter()
                    .map(User::name)
                    .filter(|name| name.starts_with(prefix.as_str()))
                    .map(str::to_owned),
            );
        }
        let mut extra = Doc::new();
        if let Some(topic) = &order.topic {
            extra.insert("topic".to_owned(), json!(topic));
        }
        if order.federated {
            extra.insert("federated".to_owned(), json!(true));
        }
        let mut made = Vec::new();
        for name in numbered(&order.names, &order.prefix, order.count)? {
            if self.room_named(&name).is_some() {
                return Err(format!("there is a room {name} already"));
            }
            let room = self
                .create_named_room(
                    &owner,
                    &name,
                    NewRoom {
                        kind: if order.private { "p" } else { "c" },
                        name: name.clone(),
                        members: members.clone(),
                        extra: extra.clone(),
                        custom_fields: Some(Doc::new()),
                        ..NewRoom::default()
                    },
                )
                .map_err(|failure| format!("{failure:?}"))?;
            if order.age_ms > 0
                && let Some(rid) = room["_id"].as_str()
            {
                self.age_room(rid, order.age_ms);
            }
            made.push(room["_id"].clone());
        }
        self.journal.flush();
        Ok(json!({ "rooms": made }))
    }

    /// Carries out `POST /_sim/federated`.
    ///
    /// # Errors
    ///
    /// When there is no such user or room.
    pub(crate) fn mark_federated(&mut self, order: &Federated) -> Result<Value, String> {
        let on = order.federated;
        if let Some(name) = &order.user {
            let uid = self
                .users
                .exactly_named(name)
                .map(|user| user.id().to_owned())
                .ok_or("there is no such user")?;
            self.change_user(&uid, |user| mark(&mut user.doc, on));
        }
        if let Some(rid) = &order.room {
            if self.room(rid).is_none() {
                return Err("there is no such room".to_owned());
            }
            self.change_room(rid, |room| mark(room, on));
            let members: Vec<String> = self
                .subs_of_room(rid)
                .iter()
                .map(|sub| sub.uid().to_owned())
                .collect();
            for member in members {
                self.change_sub(rid, &member, |sub| mark(sub, on));
            }
        }
        self.journal.flush();
        Ok(json!({ "federated": on }))
    }
}

fn mark(doc: &mut Doc, on: bool) {
    if on {
        doc.insert("federated".to_owned(), json!(true));
    } else {
        doc.remove("federated");
    }
}
