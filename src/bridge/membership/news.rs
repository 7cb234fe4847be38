//! What Rocket.Chat tells of members: its messages about a room, in their place among
//! those of people.

use super::{Look, Why, room_type};
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::Username;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::rocketchat::realtime::Logged;
use crate::store::Portal;

/// Whom a message about members is about (types up to 8.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Its author came or went.
    Author,
    /// Somebody whom its author brought or removed: the text is their user name.
    Another,
    /// What somebody may do.
    Rights,
}

fn about(kind: &str) -> Option<About> {
    Some(match kind {
        "uj" | "ut" | "ujt" | "ul" | "ult" => About::Author,
        "au"
        | "added-user-to-team"
        | "ru"
        | "removed-user-from-team"
        | "user-banned"
        | "abac-removed-user-from-room" => About::Another,
        "user-muted" | "user-unmuted" | "subscription-role-added" | "subscription-role-removed" => {
            About::Rights
        }
        _ => return None,
    })
}

/// Whether a message is about another than its author, and so has to stand in order with
/// that one's messages as well.
pub(in crate::bridge) fn is_about_another(message: &RocketMessage) -> bool {
    matches!(
        message.t.as_deref().and_then(about),
        Some(About::Another | About::Rights)
    )
}

impl Bridge {
    /// Does what a message about members asks for; false when it is about something
    /// else. It is only believed that something may have changed.
    pub(in crate::bridge) async fn mirror_membership(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        let Some(about) = message.t.as_deref().and_then(about) else {
            return Ok(false);
        };
        // From before the portal: what came of it was seen when that was made.
        if room_type(portal).is_none() || message.ts.0 <= portal.since {
            return Ok(true);
        }
        if about == About::Rights {
            self.agree_on_rights(portal).await?;
            // Somebody else may be an owner now.
            if !self.store.room_rights(&portal.id)?.staying.is_empty() {
                self.compare_members(&portal.id);
            }
            return Ok(true);
        }
        let (who, by) = match about {
            About::Author => (message.u.clone(), None),
            _ => {
                let named = Username::parse(message.msg.as_str());
                let rocket = self.rocket().await;
                let found = match &named {
                    Ok(name) => rocket.bot.user_by_username(name).await?,
                    Err(_) => None,
                };
                let Some(found) = found else {
                    // Renamed or deleted since.
                    self.compare_members(&portal.id);
                    return Ok(true);
                };
                (UserRef::from(&found), Some(&message.u))
            }
        };
        let why = Why::News {
            by,
            message: &message.id,
            at: message.ts.0,
            came: matches!(
                message.t.as_deref(),
                Some("uj" | "ut" | "ujt" | "au" | "added-user-to-team")
            ),
        };
        if who.id == *self.rocket().await.bot.user_id() {
            return Ok(true);
        }
        match self.store.behind_puppet(&who.id)? {
            Some(user) => self.settle_puppet(portal, &user, why).await?,
            None => self.settle_ghost(portal, &who.id, why).await?,
        }
        Ok(true)
    }

    /// Takes what everybody is told who is logged in, if it is about rights.
    pub(in crate::bridge) fn rights_changed(&self, news: &Logged) {
        let Logged::Other { name, args } = news else {
            return;
        };
        match name.as_str() {
            Logged::PERMISSIONS => self.forget_permissions(),
            Logged::ROLES => {
                let scope = args.pointer("/0/scope").and_then(serde_json::Value::as_str);
                if let Some(Ok(rid)) = scope.map(RocketRoomId::parse) {
                    for portal in self.portals_heard(&rid) {
                        self.members.looks.add(Look::Rights(portal.id));
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_members_are_known_by_their_type() {
        assert_eq!(about("uj"), Some(About::Author));
        assert_eq!(about("removed-user-from-team"), Some(About::Another));
        assert_eq!(about("user-unmuted"), Some(About::Rights));
        assert_eq!(about("room_changed_topic"), None);
    }
}
