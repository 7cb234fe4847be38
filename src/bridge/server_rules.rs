//! Which servers a room keeps out (`m.room.server_acl`, client-server API, "Server Access
//! Control Lists"): no event of one arrives there, and what its people say elsewhere is not
//! brought there either.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ruma::events::room::server_acl::RoomServerAclEventContent;
use ruma::{OwnedEventId, OwnedUserId, ServerName, UserId};
use serde_json::Value;

/// The type of the event that has them; its state key is empty.
pub(super) const SERVER_ACL: &str = "m.room.server_acl";

/// Of so many people it is known that they have been told.
const MOST_TOLD: usize = 1_000;

/// The rules of a room, by their event.
#[derive(Debug)]
pub(super) struct ServerRules {
    /// That event.
    pub event_id: OwnedEventId,
    rules: RoomServerAclEventContent,
    told: Mutex<HashSet<OwnedUserId>>,
}

impl ServerRules {
    /// What such an event says. What in it is of another type than it must be counts as
    /// Synapse takes it: for nothing.
    pub(super) fn of(event_id: OwnedEventId, content: &Value) -> Self {
        let patterns = |key: &str| {
            let listed = content.get(key).and_then(Value::as_array);
            let patterns = listed.into_iter().flatten().filter_map(Value::as_str);
            patterns.map(str::to_owned).collect()
        };
        let literals = content.get("allow_ip_literals").and_then(Value::as_bool);
        Self {
            event_id,
            rules: RoomServerAclEventContent::new(
                literals.unwrap_or(true),
                patterns("allow"),
                patterns("deny"),
            ),
            told: Mutex::default(),
        }
    }

    /// Whether they keep a server out.
    pub(super) fn keep_out(&self, server: &ServerName) -> bool {
        !self.rules.is_allowed(server)
    }

    /// Whether somebody has been told that their server is kept out.
    pub(super) fn is_told(&self, user: &UserId) -> bool {
        self.told().contains(user)
    }

    /// They have been.
    pub(super) fn note_told(&self, user: &UserId) {
        let mut told = self.told();
        if told.len() >= MOST_TOLD {
            // Told again they are by the same event.
            told.clear();
        }
        told.insert(user.to_owned());
    }

    fn told(&self) -> MutexGuard<'_, HashSet<OwnedUserId>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::owned_event_id;
    use serde_json::json;

    use super::*;

    fn keep_out(content: &Value, server: &str) -> bool {
        let rules = ServerRules::of(owned_event_id!("$acl"), content);
        rules.keep_out(&ServerName::parse(server).unwrap())
    }

    #[test]
    fn who_is_kept_out_follows_the_specification() {
        let rules = json!({
            "allow": ["*"], "deny": ["*.evil.com", "evil.org", "ev?l.net"],
            "allow_ip_literals": false,
        });
        for server in [
            "evil.org",
            "evil.org:8448",
            "a.evil.com",
            "evil.net",
            "1.2.3.4",
            "[::1]",
        ] {
            assert!(keep_out(&rules, server), "{server}");
        }
        for server in ["example.org", "evil.com", "notevil.org"] {
            assert!(!keep_out(&rules, server), "{server}");
        }
        assert!(keep_out(&json!({ "allow": ["example.org"] }), "other.org"));
        assert!(keep_out(&json!({}), "example.org"), "nobody is allowed");
        let odd = json!({ "allow": ["*", 1], "deny": "evil.org", "allow_ip_literals": "no" });
        assert!(!keep_out(&odd, "evil.org"));
        assert!(!keep_out(&odd, "1.2.3.4"));
    }

    #[test]
    fn each_is_told_once_and_it_is_bounded() {
        let rules = ServerRules::of(owned_event_id!("$acl"), &json!({}));
        for number in 0..MOST_TOLD + 10 {
            let user = UserId::parse(format!("@u{number}:x.org")).unwrap();
            assert!(!rules.is_told(&user));
            rules.note_told(&user);
            assert!(rules.is_told(&user));
        }
        assert!(rules.told().len() <= MOST_TOLD);
    }
}
