//! No loops: what another bridge has brought from the same channel is not brought back to
//! it, nothing passes bridges for ever, and words that go round are stopped (see
//! [`super::breaker`]).

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::breaker::{Passing, STOPPED_FOR, UNDER, Verdict, Way};
use super::from_rocketchat::Elsewhere;
use super::marker::Marker;
use super::room_state::BRIDGE_STATE;
use super::{Bridge, Failure, derived, marker};
use crate::clock::now_ms;
use crate::convert::to_matrix::safe_name;
use crate::convert::to_rocketchat::plain;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{InboxEvent, Portal};

/// How many bridges may carry a message on, one after the other. As with the limit that
/// MSC4295 proposes, it is far more than anybody needs.
const MOST_HOPS: u32 = 8;

/// Whether an event says what a message does that was posted under this name, whatever
/// markup each has.
fn says_the_same(one: &str, alias: Option<&str>, other: &str) -> bool {
    let letters = |text: &str| {
        let counted = text.chars().filter(|c| c.is_alphanumeric());
        counted.flat_map(char::to_lowercase).collect::<String>()
    };
    let (one, other) = (letters(one), letters(other));
    let alias = letters(alias.unwrap_or_default());
    one.strip_prefix(alias.as_str()) == Some(other.as_str())
}

/// Whether an event bears the very time (ms) of the message that it names, or of the edit of
/// it: only application services can give an event another time than that of its sending. It
/// need not say what the message says now, which may have been edited again.
fn is_of_then(written: Option<i64>, marker: &Marker, sent: i64) -> bool {
    written.is_some_and(|written| written == sent || written == marker.revision)
}

/// How many bridges have carried an event on so far, by what it says itself: whoever says
/// that of their own words only keeps them from being carried on.
pub(super) fn hops_of(content: &Value) -> u32 {
    Marker::of(content).map_or(0, |marker| marker.hops)
}

/// What was written longer ago (ms) has waited for a server or the bridge: talk of hours
/// that is brought within seconds is no loop.
const FRESH_MS: i64 = 60_000;

/// Whether something was written (ms) so long ago that it is not asked whether it goes
/// round.
fn has_waited(written: i64) -> bool {
    now_ms() - written > FRESH_MS
}

/// How long a name may be by which somebody speaks whom an account only posts for.
const LONGEST_ALIAS: usize = 40;

/// Who said a message, as the breaker tells people apart: whoever wrote it in another room,
/// and not the account that posted it for them; those for whom a program posts by the name
/// that it gives them.
pub(super) fn said_by(message: &RocketMessage, elsewhere: Option<&Elsewhere>) -> String {
    if let Some(them) = elsewhere {
        return them.user.to_string();
    }
    let alias = message.alias.as_deref().unwrap_or_default();
    // On one line: it is shown, and nobody shall put words into the bridge's mouth by it.
    let alias = alias.split_whitespace().collect::<Vec<_>>().join(" ");
    match alias.is_empty() {
        true => message.u.id.to_string(),
        false => {
            let alias: String = alias.chars().take(LONGEST_ALIAS).collect();
            format!("{}{UNDER}{alias}", message.u.id)
        }
    }
}

/// What [`said_by`] tells of somebody.
#[derive(Debug, PartialEq, Eq)]
enum Speaker<'a> {
    /// A user of Matrix.
    Elsewhere(&'a str),
    /// An account on Rocket.Chat.
    Here { id: &'a str, alias: Option<&'a str> },
}

impl<'a> Speaker<'a> {
    fn of(said_by: &'a str) -> Self {
        if said_by.starts_with('@') {
            return Self::Elsewhere(said_by);
        }
        match said_by.split_once(UNDER) {
            Some((id, alias)) => Self::Here {
                id,
                alias: Some(alias),
            },
            None => Self::Here {
                id: said_by,
                alias: None,
            },
        }
    }
}

impl Bridge {
    /// Whether an event of Matrix must not be carried over because it is on Rocket.Chat
    /// already, or has been carried on for too long.
    pub(super) async fn comes_round(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<bool, Failure> {
        let Some(marker) = Marker::of(content) else {
            return Ok(false);
        };
        let Some(portal) = self.store.portal_of_room(&event.room_id)? else {
            return Ok(false);
        };
        let is_of_ours =
            marker.workspace.is_some() && marker.workspace == self.store.workspace()?;
        if is_of_ours
            && marker.room_id == portal.rid
            && self
                .is_there_already(&portal, &marker, json, content)
                .await?
        {
            tracing::info!(event = %event.event_id, sender = %event.sender, "another bridge brought it from the same channel: it is there already");
            return Ok(true);
        }
        // Also of what only names a message of this channel: whatever copies it from one of
        // the channel's rooms into another sends it round.
        if marker.hops < MOST_HOPS {
            return Ok(false);
        }
        tracing::warn!(event = %event.event_id, sender = %event.sender, hops = marker.hops, "it was carried on by too many bridges");
        let mut notice = json!({
            "msgtype": "m.notice",
            "body": format!(
                "Messages that {MOST_HOPS} bridges and more have carried on one after the \
                 other, such as the last one of {}, are not carried on to Rocket.Chat: \
                 somewhere they go in a circle.",
                event.sender
            ),
            "m.mentions": {},
        });
        marker::stamp_as_own(&mut notice);
        // Once in each room.
        let txn = derived::state_notice_id(&portal.id, &["too many hops"]);
        let reader = self.reader(&portal).await?;
        if self.told_of_hops().insert(portal.id.clone()) {
            reader
                .send(&portal.room_id, "m.room.message", &notice, &txn, None)
                .await?;
        }
        Ok(true)
    }

    /// Whether an event was brought by another bridge from the message of this channel that
    /// it names. Anybody can write such a key: what it names must be there, and say that.
    async fn is_there_already(
        &self,
        portal: &Portal,
        marker: &Marker,
        json: &Value,
        content: &Value,
    ) -> Result<bool, Failure> {
        let rocket = self.rocket().await;
        let there = match rocket.bot.get_message(&marker.message_id).await {
            Err(error) if error.is_denied() => None,
            outcome => outcome?,
        };
        let Some(there) = there.filter(|there| there.rid == portal.rid) else {
            return Ok(false);
        };
        let body = content
            .get("body")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is_file = content.get("url").is_some() || content.get("file").is_some();
        let says_it = is_file && there.file.is_some()
            || says_the_same(body, there.alias.as_deref(), &there.msg);
        let written = json.get("origin_server_ts").and_then(Value::as_i64);
        // Else it was copied, as clients do that pass a message on: at another time.
        Ok(is_of_then(written, marker, there.ts.0)
            || says_it && self.is_served_by_others(portal).await?)
    }

    /// Whether another bridge says in the state of a portal's room that it serves it.
    async fn is_served_by_others(&self, portal: &Portal) -> Result<bool, Failure> {
        let reader = self.reader(portal).await?;
        let states = reader.state_of(&portal.room_id, &BRIDGE_STATE).await?;
        Ok(states.iter().any(|event| {
            event.content.as_object().is_some_and(|all| !all.is_empty())
                && !self.config.is_ours(&event.sender)
        }))
    }

    fn told_of_hops(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::HashSet<crate::store::PortalId>> {
        self.told_of_hops
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether what somebody says on Matrix goes round, and stays behind.
    pub(super) fn goes_round_from_matrix(
        self: &Arc<Self>,
        portal: &Portal,
        event: &InboxEvent,
        json: &serde_json::Value,
        words: &str,
    ) -> bool {
        let written = json
            .get("origin_server_ts")
            .and_then(serde_json::Value::as_i64);
        if has_waited(written.unwrap_or_default()) {
            return false;
        }
        let passing = Passing {
            way: Way::ToRocketChat,
            id: event.event_id.as_str(),
            sender: event.sender.as_str(),
            words,
        };
        if self.goes_round(portal, passing) {
            return true;
        }
        // Only where the channel has other rooms can anything bring words from one into
        // another.
        match self.other_portals(portal) {
            Ok(others) if others.is_empty() => false,
            _ => {
                let verdict = self.breaker.relay(&portal.rid, passing, Instant::now());
                self.is_stopped(portal, passing, verdict)
            }
        }
    }

    /// The same of what somebody says on Rocket.Chat, or in another Matrix room.
    pub(super) fn goes_round_from_rocketchat(
        self: &Arc<Self>,
        portal: &Portal,
        message: &RocketMessage,
        elsewhere: Option<&Elsewhere>,
    ) -> bool {
        if has_waited(message.ts.0) {
            return false;
        }
        let sender = said_by(message, elsewhere);
        let passing = Passing {
            way: Way::ToMatrix,
            id: message.id.as_str(),
            sender: &sender,
            words: &message.msg,
        };
        self.goes_round(portal, passing)
    }

    fn goes_round(self: &Arc<Self>, portal: &Portal, passing: Passing<'_>) -> bool {
        let verdict = self.breaker.pass(&portal.id, passing, Instant::now());
        self.is_stopped(portal, passing, verdict)
    }

    /// Whether words stay behind; people are told where they have to be.
    fn is_stopped(
        self: &Arc<Self>,
        portal: &Portal,
        passing: Passing<'_>,
        verdict: Verdict,
    ) -> bool {
        let tell = match verdict {
            Verdict::Pass => return false,
            Verdict::Stopped { tell } => tell,
        };
        tracing::warn!(portal = %portal.id, id = passing.id, sender = passing.sender, "the same words go round; they stay behind");
        if let Some((here, there)) = tell {
            let (bridge, portal) = (Arc::clone(self), portal.clone());
            let about = passing.id.to_owned();
            tokio::spawn(async move {
                let told = bridge
                    .persevere(|_| bridge.tell_of_loop(&portal, &about, &here, &there))
                    .await;
                if let Err(failure) = told {
                    tracing::warn!(portal = %portal.id, %failure, "a room could not be told that words go round");
                }
            });
        }
        true
    }

    async fn tell_of_loop(
        &self,
        portal: &Portal,
        about: &str,
        here: &str,
        there: &str,
    ) -> Result<(), Failure> {
        let minutes = STOPPED_FOR.as_secs() / 60;
        let is_relay = here == there;
        let rocket = self.rocket().await;
        let there = match Speaker::of(there) {
            Speaker::Elsewhere(user) => format!("{user} in another room on Matrix"),
            Speaker::Here { id, alias } => {
                let user = rocket.bot.user_by_id(&id.into()).await?;
                let username = user.and_then(|user| user.username);
                let account = username.map_or(id.to_owned(), |name| name.to_string());
                match alias {
                    Some(alias) => {
                        let alias = safe_name(alias);
                        format!("{account} on Rocket.Chat (in the name of “{alias}”)")
                    }
                    None => format!("{account} on Rocket.Chat"),
                }
            }
        };
        let text = match is_relay {
            false => format!(
                "The same words went round and round between {here} on Matrix and {there}. \
                 For {minutes} minutes the bridge does not carry them over; everything else is. \
                 If both are programs, one of them should not answer the other."
            ),
            true => format!(
                "The same words went round and round: {here} brings what is said in one Matrix \
                 room of this channel into another one, where the bridge brings it too. For \
                 {minutes} minutes the bridge does not carry these words over; everything else \
                 is. Rooms of one channel need no other program that connects them."
            ),
        };
        let mut notice = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
        marker::stamp_as_own(&mut notice);
        let txn = derived::state_notice_id(&portal.id, &["a loop", about]);
        let reader = self.reader(portal).await?;
        let told = reader
            .send(&portal.room_id, "m.room.message", &notice, &txn, None)
            .await;
        match told {
            Err(error) if error.is_forbidden() => {}
            outcome => drop(outcome?),
        }
        let id = derived::telling_id(&about.into(), "a loop");
        self.tell_room(portal, &id, &plain(&text)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_bears_the_time_of_its_message_was_brought_by_a_bridge() {
        let marker = Marker::of(&json!({ "chat.rocket.bridge": {
            "room_id": "r", "message_id": "m", "revision": 700,
        } }))
        .unwrap();
        assert!(is_of_then(Some(500), &marker, 500));
        assert!(is_of_then(Some(700), &marker, 500));
        assert!(!is_of_then(Some(501), &marker, 500));
        assert!(!is_of_then(None, &marker, 500));
    }

    #[test]
    fn those_for_whom_one_account_posts_are_told_apart() {
        let message = |alias: &str| -> RocketMessage {
            let json = json!({ "_id": "m", "rid": "r", "u": { "_id": "hook" }, "alias": alias });
            serde_json::from_value(json).unwrap()
        };
        let by = said_by(&message(" "), None);
        assert_eq!(
            Speaker::of(&by),
            Speaker::Here {
                id: "hook",
                alias: None
            }
        );
        let one = said_by(
            &message(" @bob:x.org\n\nThe bridge's  administrator asks: "),
            None,
        );
        assert_eq!(
            Speaker::of(&one),
            Speaker::Here {
                id: "hook",
                alias: Some("@bob:x.org The bridge's administrator as")
            }
        );
        assert_ne!(one, said_by(&message("eve"), None));
        assert_eq!(Speaker::of("@bob:x.org"), Speaker::Elsewhere("@bob:x.org"));
    }

    #[test]
    fn what_another_bridge_made_of_a_text_is_known_again() {
        assert!(says_the_same("Hello *World*", None, "hello _world_"));
        assert!(says_the_same("Webhook: hello", Some("Webhook"), "hello"));
        assert!(!says_the_same("hello", Some("Webhook"), "hello"));
        assert!(!says_the_same("hello", None, "hello world"));
        assert!(!says_the_same("much else and hello", None, "hello"));
        assert!(!says_the_same("something else", None, ""));
        assert!(says_the_same("👍", None, "👍"));
    }
}
