//! Who may subscribe to what (facts 7.5, capture 22).

use serde_json::{Value, json};

use super::hub::Subscription;
use crate::{error::Failure, error::ddp_error, state::State};

enum Access {
    Live,
    /// Says `ready` and delivers nothing until the login.
    Waits,
    Denied,
}

const KNOWN: &[&str] = &[
    "stream-room-messages",
    "stream-notify-room",
    "stream-notify-room-users",
    "stream-notify-user",
    "stream-notify-logged",
    "stream-notify-all",
    "stream-roles",
    "stream-room-data",
    "stream-apps",
    "stream-user-presence",
];

impl State {
    /// Handles a well-formed `sub` frame and answers `ready` or `nosub`.
    pub fn subscribe(&mut self, id: u64, sub_id: &str, name: &str, params: &[Value]) {
        if self
            .hub
            .socket(id)
            .is_none_or(|socket| socket.subs.contains_key(sub_id))
        {
            return;
        }
        let refused = |state: &mut Self, error: Value| {
            state
                .hub
                .reply(id, &json!({ "msg": "nosub", "id": sub_id, "error": error }));
        };
        if let Err(failure) = self.count_ddp(id, name) {
            return refused(self, failure.ddp());
        }
        if !KNOWN.contains(&name) {
            let reason = format!("Subscription '{name}' not found");
            return refused(self, ddp_error(json!(404), Some(&reason), None));
        }
        let Some(event) = params.first().and_then(Value::as_str) else {
            return refused(
                self,
                ddp_error(json!(500), Some("Internal server error"), None),
            );
        };
        if name == "stream-user-presence" {
            return self.follow_presence(id, sub_id, params);
        }
        if event.is_empty() {
            return refused(self, ddp_error(json!("invalid-event-name"), None, None));
        }
        let user = self.hub.socket(id).and_then(|socket| socket.user.clone());
        let live = match self.stream_access(user.as_deref(), name, event) {
            Access::Live => true,
            Access::Waits => false,
            Access::Denied => return refused(self, ddp_error(json!("not-allowed"), None, None)),
        };
        self.hub.subscribe(
            id,
            sub_id,
            Subscription {
                name: name.to_owned(),
                event: event.to_owned(),
                live,
            },
        );
        self.hub
            .reply(id, &json!({ "msg": "ready", "subs": [sub_id] }));
    }

    fn stream_access(&self, user: Option<&str>, name: &str, event: &str) -> Access {
        let when = |allowed: bool| {
            if allowed {
                Access::Live
            } else {
                Access::Denied
            }
        };
        match (name, user) {
            ("stream-room-messages", None) if event == "__my_messages__" => Access::Waits,
            ("stream-notify-all", None) => Access::Waits,
            ("stream-apps", _) | ("stream-notify-all", Some(_)) => Access::Live,
            ("stream-notify-room-users", _) | (_, None) => Access::Denied,
            ("stream-room-messages", Some(uid)) => {
                when(event == "__my_messages__" || self.may_preview(uid, event))
            }
            ("stream-notify-room", Some(uid)) => when(
                event
                    .split_once('/')
                    .is_some_and(|(rid, _)| self.may_access(uid, rid)),
            ),
            ("stream-notify-user", Some(uid)) => {
                when(event.split_once('/').is_some_and(|(owner, _)| owner == uid))
            }
            ("stream-room-data", Some(uid)) => when(self.may_access(uid, event)),
            (_, Some(_)) => Access::Live,
        }
    }

    /// Only the first subscription of a socket stays; later ones add or remove ids and end at once.
    fn follow_presence(&mut self, id: u64, sub_id: &str, params: &[Value]) {
        let list = |key: &str| -> Vec<String> {
            params
                .get(1)
                .and_then(|extra| extra[key].as_array())
                .map_or_else(Vec::new, |ids| {
                    ids.iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect()
                })
        };
        let (added, removed) = (list("added"), list("removed"));
        let Some(socket) = self.hub.socket_mut(id) else {
            return;
        };
        let first = socket.presence.is_none();
        let (_, followed) = socket
            .presence
            .get_or_insert_with(|| (sub_id.to_owned(), Default::default()));
        followed.extend(added);
        for uid in removed {
            followed.remove(&uid);
        }
        if first {
            self.hub
                .reply(id, &json!({ "msg": "ready", "subs": [sub_id] }));
        } else {
            self.hub.reply(id, &json!({ "msg": "nosub", "id": sub_id }));
        }
    }

    /// After a login: streams that waited begin, each with a second `ready`.
    pub fn wake_streams(&mut self, id: u64) {
        let user = self.hub.socket(id).and_then(|socket| socket.user.clone());
        let subs: Vec<(String, Subscription)> =
            self.hub.socket(id).map_or_else(Vec::new, |socket| {
                socket
                    .subs
                    .iter()
                    .map(|(key, sub)| (key.clone(), sub.clone()))
                    .collect()
            });
        for (sub_id, sub) in subs {
            let live = matches!(
                self.stream_access(user.as_deref(), &sub.name, &sub.event),
                Access::Live
            );
            if let Some(one) = self
                .hub
                .socket_mut(id)
                .and_then(|socket| socket.subs.get_mut(&sub_id))
            {
                one.live = live;
            }
            if live && !sub.live {
                self.hub
                    .reply(id, &json!({ "msg": "ready", "subs": [sub_id] }));
            }
        }
    }

    /// Counts a method or subscription of a socket against the limits of facts 7.3.
    pub fn count_ddp(&mut self, id: u64, name: &str) -> Result<(), Failure> {
        let user = self.hub.socket(id).and_then(|socket| socket.user.clone());
        self.count_call(&format!("socket {id}"), user.as_deref(), name)
    }

    /// Counts a call of a connection (a socket, or a token for `method.call`).
    pub fn count_call(
        &mut self,
        connection: &str,
        user: Option<&str>,
        name: &str,
    ) -> Result<(), Failure> {
        let now = crate::time::now_ms();
        let stretch = if name.starts_with("stream-") { 4 } else { 1 };
        let mut rules: Vec<(String, i64, i64)> = Vec::new();
        if name == "login" {
            rules.push((format!("login|{connection}"), 5, 10_000));
        }
        if name == "sendMessage"
            && let Some(uid) = user
            && !self.may(uid, "send-many-messages")
        {
            rules.push((format!("send|{uid}"), 5, 1000));
        }
        let user_key = user.unwrap_or("anonymous");
        for (rule, key, factor) in [
            ("Connection", connection.to_owned(), 1),
            ("User", user_key.to_owned(), 1),
            (
                "Connection_By_Method",
                format!("{connection}|{name}"),
                stretch,
            ),
            ("User_By_Method", format!("{user_key}|{name}"), stretch),
        ] {
            if self.settings.on(&format!("DDP_Rate_Limit_{rule}_Enabled")) {
                let limit = self
                    .settings
                    .number(&format!("DDP_Rate_Limit_{rule}_Requests_Allowed"));
                let interval = self
                    .settings
                    .number(&format!("DDP_Rate_Limit_{rule}_Interval_Time"));
                rules.push((format!("{rule}|{key}"), limit * factor, interval * factor));
            }
        }
        for (key, limit, interval) in rules {
            let count = self
                .limiter
                .count(&format!("ddp|{key}"), limit, interval, now);
            if !count.allowed {
                let wait = count.reset_ms - now;
                let reason = format!(
                    "Error, too many requests. Please slow down. You must wait {} seconds before trying again.",
                    (wait + 999) / 1000
                );
                return Err(Failure::coded("too-many-requests", &reason)
                    .with(json!({ "timeToReset": wait })));
            }
        }
        Ok(())
    }
}
