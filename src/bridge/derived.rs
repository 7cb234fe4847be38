//! Ids that follow from what they are for, so that a repeat is recognised even
//! when the first answer was lost.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ruma::{EventId, OwnedTransactionId, RoomId, UserId};
use sha2::{Digest as _, Sha256};

use crate::rocketchat::{RocketMessageId, RocketRoomId};
use crate::secret::Secret;
use crate::store::PortalId;

/// The characters of Rocket.Chat's own ids: those that are not mistaken for
/// one another.
const ROCKET_ALPHABET: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz";

/// How many characters a message id has; 24 of 55 carry 138 bits.
const ROCKET_ID_LENGTH: usize = 24;

/// SHA-256 over the parts, each preceded by its length, so that no two lists of
/// parts give the same bytes.
fn digest(purpose: &str, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(&purpose).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The id under which a piece of an event's text, which mostly has one, is stored on
/// Rocket.Chat. `attempt` is 0 unless somebody else's message already bears that id.
/// Nobody without the key knows it before it is there: whoever did could put a
/// message of their own in its place.
pub(super) fn message_id(
    key: &Secret,
    event: &EventId,
    piece: usize,
    attempt: u32,
) -> RocketMessageId {
    let of = format!("{event} {piece} {attempt}");
    rocket_id(keyed(key, "message", &of))
}

fn rocket_id(bytes: [u8; 32]) -> RocketMessageId {
    let text: String = bytes
        .iter()
        .take(ROCKET_ID_LENGTH)
        .map(|byte| char::from(ROCKET_ALPHABET[usize::from(*byte) % ROCKET_ALPHABET.len()]))
        .collect();
    RocketMessageId::new(text)
}

/// The id under which the bridge tells somebody on Rocket.Chat about a message.
pub(super) fn telling_id(about: &RocketMessageId, purpose: &str) -> RocketMessageId {
    rocket_id(digest("telling", &[about.as_str(), purpose]))
}

/// The id of the answer to a command on Rocket.Chat. Nobody without the key knows it
/// before it is there.
pub(super) fn answer_id(key: &Secret, command: &RocketMessageId) -> RocketMessageId {
    rocket_id(keyed(key, "answer", command.as_str()))
}

/// The id of the line that says who is behind the reactions of the bridge's account to a
/// message in a portal; `number` tells it from those that were there before.
pub(super) fn reactions_id(
    key: &Secret,
    portal: &PortalId,
    of: &RocketMessageId,
    number: u32,
) -> RocketMessageId {
    rocket_id(keyed(key, "reactions", &format!("{portal} {of} {number}")))
}

/// The id under which the bridge tells on Rocket.Chat of an event.
pub(super) fn telling_id_of_event(about: &EventId, purpose: &str) -> RocketMessageId {
    rocket_id(digest("telling", &["event", about.as_str(), purpose]))
}

/// The id under which the bridge tells somebody about a direct message with that
/// many messages.
pub(super) fn telling_id_of_room(rid: &RocketRoomId, messages: u64) -> RocketMessageId {
    rocket_id(digest("telling", &[rid.as_str(), &messages.to_string()]))
}

/// The transaction id of what is said at the end of a portal that began at that time
/// (ms).
pub(super) fn ending_id(room: &RoomId, begun: i64) -> OwnedTransactionId {
    let bytes = digest("ending", &[room.as_str(), &begun.to_string()]);
    URL_SAFE_NO_PAD.encode(&bytes[..18]).into()
}

/// The id of the message that says the same on Rocket.Chat. Nobody without the key
/// knows it before it is there.
pub(super) fn ending_message_id(key: &Secret, portal: &PortalId, begun: i64) -> RocketMessageId {
    rocket_id(keyed(key, "ending", &format!("{portal} {begun}")))
}

/// The id of the message that says something of a proposal to join two rooms. Nobody
/// without the key knows it before it is there.
pub(super) fn plumbing_id(key: &Secret, of: &str) -> RocketMessageId {
    rocket_id(keyed(key, "plumbing", of))
}

/// The id of the message that tells of encryption in a room. Nobody without the key knows
/// it before it is there.
pub(super) fn encryption_id(key: &Secret, of: &str) -> RocketMessageId {
    rocket_id(keyed(key, "encryption", of))
}

/// The id of the profile that a name stands for (MSC4144).
pub(super) fn profile_id(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest("profile", &[name])[..12])
}

/// What an event says in words, as a digest, to tell whether an edit says something
/// else.
pub(super) fn said(content: &serde_json::Value) -> String {
    let text = |key: &str| content.get(key).and_then(serde_json::Value::as_str);
    let parts = ["body", "formatted_body"].map(|key| text(key).unwrap_or_default());
    URL_SAFE_NO_PAD.encode(&digest("said", &parts)[..12])
}

/// A text as it is on Rocket.Chat, as a digest.
pub(super) fn written(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest("written", &[text.trim()])[..12])
}

/// The transaction id of one part of one revision of a message. The ghost is in
/// it because Synapse's cache for appservices is keyed without the user: two
/// ghosts with one id in one room would lose the second message.
pub(super) fn transaction_id(
    portal: &PortalId,
    ghost: &UserId,
    message: &RocketMessageId,
    revision: i64,
    part: &str,
) -> OwnedTransactionId {
    let bytes = digest(
        "transaction",
        &[
            portal.as_str(),
            ghost.as_str(),
            message.as_str(),
            &revision.to_string(),
            part,
        ],
    );
    URL_SAFE_NO_PAD.encode(&bytes[..18]).into()
}

/// The transaction id of a notice about an event: said once, however often the
/// event is worked.
pub(super) fn notice_id(event: &EventId, about: &str) -> OwnedTransactionId {
    let bytes = digest("notice", &[event.as_str(), about]);
    URL_SAFE_NO_PAD.encode(&bytes[..18]).into()
}

/// The transaction id of a notice about a room.
pub(super) fn state_notice_id(portal: &PortalId, about: &[&str]) -> OwnedTransactionId {
    let parts: Vec<&str> = std::iter::once(portal.as_str())
        .chain(about.iter().copied())
        .collect();
    let bytes = digest("notice about a room", &parts);
    URL_SAFE_NO_PAD.encode(&bytes[..18]).into()
}

/// The username of a puppet: `<prefix><localpart>_<server>`, in the characters
/// that Rocket.Chat allows by default. Different users may come out alike, and
/// somebody may have taken the name: with `unambiguous` part of a hash of the
/// user id follows.
pub(super) fn puppet_username(prefix: &str, user: &UserId, unambiguous: bool) -> String {
    /// Longer names are hard to read and to mention.
    const LONGEST: usize = 100;
    let plain: String = format!("{}_{}", user.localpart(), user.server_name())
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    // A dot at the end would be taken for part of a mention, or for its end.
    let plain = plain.trim_end_matches('.');
    if unambiguous || plain.len() > LONGEST {
        let short: String = plain.chars().take(LONGEST).collect();
        format!(
            "{prefix}{short}_{}",
            hex(&digest("puppet", &[user.as_str()])[..4])
        )
    } else {
        format!("{prefix}{plain}")
    }
}

/// The e-mail address of a puppet, by which the bridge knows its puppets again:
/// a username may be anyone's, this address is nobody else's. The domain never
/// exists (RFC 2606).
pub(super) fn puppet_email(user: &UserId, as_token: &Secret) -> String {
    format!(
        "mx-{}@puppet.invalid",
        hex(&keyed(as_token, "email", user.as_str())[..16])
    )
}

/// The password of a puppet. Derived, so that a bridge that lost its store can
/// act as its puppets again; keyed by the appservice token, so that nobody else
/// can.
pub(super) fn puppet_password(user: &UserId, as_token: &Secret) -> Secret {
    let mac = keyed(as_token, "password", user.as_str());
    // A password policy may ask for each kind of character.
    Secret::new(format!("{}aA1!", URL_SAFE_NO_PAD.encode(mac)))
}

/// The id in the link to a file of a message: the same however often it is made.
pub(super) fn link_id(portal: &PortalId, message: &RocketMessageId, file: &str) -> String {
    let bytes = digest("link", &[portal.as_str(), message.as_str(), file]);
    URL_SAFE_NO_PAD.encode(&bytes[..18])
}

/// The signature of a link with that id until that time (seconds since 1970).
pub(super) fn link_signature(key: &Secret, id: &str, until: i64) -> Secret {
    let mac = keyed(key, "file link", &format!("v1 {until} {id}"));
    Secret::new(URL_SAFE_NO_PAD.encode(mac))
}

/// The id of the message that answers a command which the App brought, when the answer came
/// late.
pub(super) fn late_answer_id(key: &Secret, call: &str) -> RocketMessageId {
    rocket_id(keyed(key, "late answer", call))
}

/// What the bridge and its App on Rocket.Chat prove themselves to each other by.
pub(super) fn app_secret(key: &Secret) -> Secret {
    Secret::new(hex(&keyed(key, "app", "")))
}

/// What the App signs a call with: over its time and its body.
pub(super) fn app_signature(secret: &Secret, time: &str, body: &[u8]) -> Secret {
    // As HMAC has it for keys of any length (RFC 2104).
    let key = secret.expose().as_bytes();
    let mut block = [0; 64];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let bytes: [u8; 32] = mac.finalize().into_bytes().into();
    Secret::new(format!("sha256={}", hex(&bytes)))
}

/// What a code of a login is kept as.
pub(super) fn code_digest(key: &Secret, code: &str) -> String {
    hex(&keyed(key, "login code", code)[..16])
}

/// By what a proposal to join two rooms is known when it is over.
pub(super) fn proposal_digest(key: &Secret, code: &str) -> String {
    hex(&keyed(key, "proposal", code)[..16])
}

/// What tokens of people's own accounts are sealed with.
pub(super) fn sealing_key(key: &Secret) -> [u8; 32] {
    keyed(key, "sealed token", "")
}

/// The transaction id of what somebody is told of their accounts.
pub(super) fn link_notice_id(user: &UserId, proof: &str, purpose: &str) -> OwnedTransactionId {
    let bytes = digest("link notice", &[user.as_str(), proof, purpose]);
    URL_SAFE_NO_PAD.encode(&bytes[..18]).into()
}

/// The id of the message that says the same on Rocket.Chat.
pub(super) fn link_message_id(
    key: &Secret,
    user: &str,
    proof: &str,
    purpose: &str,
) -> RocketMessageId {
    rocket_id(keyed(key, "link", &format!("{user} {proof} {purpose}")))
}

/// What proves that the bridge itself sent an event as somebody's own Matrix user: in that
/// room, of that type, under that transaction id and with that time.
pub(super) fn event_seal(
    key: &Secret,
    room: &RoomId,
    sender: &UserId,
    kind: &str,
    txn: &str,
    at: Option<u64>,
) -> Secret {
    let at = at.map_or_else(String::new, |at| at.to_string());
    let bytes = digest(
        "sealed event",
        &[room.as_str(), sender.as_str(), kind, txn, &at],
    );
    Secret::new(hex(&keyed(key, "event", &hex(&bytes))))
}

fn keyed(key: &Secret, purpose: &str, text: &str) -> [u8; 32] {
    let key = digest("puppet key", &[purpose, key.expose()]);
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(&key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, user_id};

    use super::*;

    #[test]
    fn ids_follow_from_what_they_are_for() {
        let event = event_id!("$abc");
        let key = Secret::new("as token");
        let id = message_id(&key, event, 0, 0);
        assert_eq!(id, message_id(&key, event, 0, 0));
        assert_ne!(id, message_id(&key, event, 0, 1));
        assert_ne!(id, message_id(&key, event, 1, 0));
        assert_ne!(id, message_id(&key, event_id!("$abd"), 0, 0));
        assert_ne!(id, message_id(&Secret::new("other"), event, 0, 0));
        assert_eq!(id.as_str().len(), ROCKET_ID_LENGTH);
    }

    #[test]
    fn the_app_signs_as_the_bridge_expects() {
        // As Node's `crypto` has it, for a key below and one above the size of a block.
        let signed = |key: &str, time, body| {
            app_signature(&Secret::new(key), time, body)
                .expose()
                .to_owned()
        };
        let short = signed(
            "a secret of at least thirty-two letters",
            "1700000000000",
            b"{}",
        );
        assert_eq!(
            short,
            "sha256=6d417c2557d4a44c52e9c7305c0884d8db9dd3437372d6dfb8b2fb01fe6d56f9"
        );
        let long = signed(&"k".repeat(131), "1700000000000", b"{}");
        assert_eq!(
            long,
            "sha256=99613df24fe8819d7acc891ab8cf7387c058434b223fdc576bf2c3270e0b9fdd"
        );
    }

    #[test]
    fn two_ghosts_never_share_a_transaction() {
        let rid = PortalId::own(&RocketRoomId::new("r"));
        let message = RocketMessageId::new("m");
        let one = transaction_id(&rid, user_id!("@a:x.org"), &message, 0, "0");
        let other = transaction_id(&rid, user_id!("@b:x.org"), &message, 0, "0");
        assert_ne!(one, other);
    }

    #[test]
    fn a_puppet_is_called_after_its_user() {
        let name = |user| puppet_username("mx_", user, false);
        assert_eq!(name(user_id!("@dora:example.org")), "mx_dora_example.org");
        assert_eq!(name(user_id!("@a=b/c:x.org:8448")), "mx_a-b-c_x.org-8448");
    }

    #[test]
    fn users_that_come_out_alike_get_different_unambiguous_names() {
        let one = puppet_username("mx_", user_id!("@a/b:x.org"), true);
        let other = puppet_username("mx_", user_id!("@a=b:x.org"), true);
        assert!(one.starts_with("mx_a-b_x.org_") && other.starts_with("mx_a-b_x.org_"));
        assert_ne!(one, other);
    }

    #[test]
    fn what_a_puppet_is_known_by_depends_on_the_token() {
        let user = user_id!("@dora:example.org");
        let (one, other) = (Secret::new("one"), Secret::new("other"));
        assert_ne!(puppet_email(user, &one), puppet_email(user, &other));
        assert_ne!(
            puppet_password(user, &one).expose(),
            puppet_password(user, &other).expose()
        );
    }
}
