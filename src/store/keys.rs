//! The one place that names keys.
//!
//! Everything lies in one sled tree, so that one batch changes several kinds of
//! records or none. A key is a letter for the kind, then its parts, each ended
//! by a NUL: no id of either side may contain one (the documents refuse it), so
//! parts cannot run into each other.

use ruma::{EventId, MxcUri, RoomId, RoomOrAliasId, UserId};

use super::{FilePost, PortalId, Upload};
use crate::rocketchat::{RocketMessageId, RocketRoomId, RocketUserId};

/// A key as stored.
pub(super) type Key = Vec<u8>;

fn key(kind: u8, parts: &[&str]) -> Key {
    let length = 1 + parts.iter().map(|part| part.len() + 1).sum::<usize>();
    let mut key = Vec::with_capacity(length);
    key.push(kind);
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

fn numbered(kind: u8, number: u64) -> Key {
    let mut key = vec![kind];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number in a key that has one.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    let digits = key.get(1..)?.try_into().ok()?;
    Some(u64::from_be_bytes(digits))
}

/// What the store is of: schema, homeserver, Rocket.Chat.
pub(super) fn identity() -> Key {
    key(b'!', &["identity"])
}

/// A Matrix event that waits to be worked, by its number in order of arrival.
pub(super) fn inbox(number: u64) -> Key {
    numbered(b'i', number)
}

/// All of them.
pub(super) const INBOX: &[u8] = b"i";

/// That an event has arrived before.
pub(super) fn seen_event(event: &EventId) -> Key {
    key(b's', &[event.as_str()])
}

/// All of them.
pub(super) const SEEN_EVENTS: &[u8] = b"s";

/// A portal.
pub(super) fn portal(id: &PortalId) -> Key {
    key(b'p', &[id.as_str()])
}

/// All of them.
pub(super) const PORTALS: &[u8] = b"p";

/// All portals of a room of Rocket.Chat but the bridge's own.
pub(super) fn further_portals(rid: &RocketRoomId) -> Key {
    let mut prefix = vec![b'p'];
    prefix.extend_from_slice(PortalId::further_prefix(rid).as_bytes());
    prefix
}

/// Which portal a Matrix room is.
pub(super) fn portal_of_room(room: &RoomId) -> Key {
    key(b'r', &[room.as_str()])
}

/// That the people of a Matrix room get a private group on Rocket.Chat.
pub(super) fn gathering(room: &RoomId) -> Key {
    key(b'>', &[room.as_str()])
}

/// All of them.
pub(super) const GATHERINGS: &[u8] = b">";

/// A Matrix room that a direct message has left.
pub(super) fn left_room(room: &RoomId) -> Key {
    key(b'<', &[room.as_str()])
}

/// All of them.
pub(super) const LEFT_ROOMS: &[u8] = b"<";

/// Up to when a portal's Rocket.Chat side has been mirrored.
pub(super) fn cursor(id: &PortalId) -> Key {
    key(b'c', &[id.as_str()])
}

/// A ghost, by the immutable id of the person behind it.
pub(super) fn ghost(user: &RocketUserId) -> Key {
    key(b'g', &[user.as_str()])
}

/// All of them.
pub(super) const GHOSTS: &[u8] = b"g";

/// Whose ghost has that localpart.
pub(super) fn ghost_by_localpart(localpart: &str) -> Key {
    key(b'l', &[localpart])
}

/// A puppet, by the Matrix user behind it.
pub(super) fn puppet(user: &UserId) -> Key {
    key(b'u', &[user.as_str()])
}

/// All of them.
pub(super) const PUPPETS: &[u8] = b"u";

/// Whose puppet has that Rocket.Chat id.
pub(super) fn puppet_by_rocket_id(user: &RocketUserId) -> Key {
    key(b'v', &[user.as_str()])
}

/// What was last set of a ghost's profile, by the person behind it.
pub(super) fn ghost_profile(user: &RocketUserId) -> Key {
    key(b'G', &[user.as_str()])
}

/// What was last carried over of a Matrix user's profile to their puppet.
pub(super) fn puppet_profile(user: &UserId) -> Key {
    key(b'U', &[user.as_str()])
}

/// The picture of a portal.
pub(super) fn room_picture(id: &PortalId) -> Key {
    key(b'P', &[id.as_str()])
}

/// What is known of a person of Rocket.Chat in a portal.
pub(super) fn standing(portal: &PortalId, user: &RocketUserId) -> Key {
    key(b'M', &[portal.as_str(), user.as_str()])
}

/// The rights in a portal.
pub(super) fn room_rights(id: &PortalId) -> Key {
    key(b'V', &[id.as_str()])
}

/// What both sides of a portal agreed upon last.
pub(super) fn room_state(id: &PortalId) -> Key {
    key(b'S', &[id.as_str()])
}

/// The space of a team.
pub(super) fn team_space(team: &str) -> Key {
    key(b'T', &[team])
}

/// All of them.
pub(super) const TEAM_SPACES: &[u8] = b"T";

/// Up to when something was looked through.
pub(super) fn looked(of: &str) -> Key {
    key(b'!', &["looked", of])
}

/// That a ghost is in a portal's Matrix room.
pub(super) fn ghost_in_room(room: &RoomId, user: &UserId) -> Key {
    key(b'j', &[room.as_str(), user.as_str()])
}

/// That a puppet is in a portal's Rocket.Chat room, because of that portal.
pub(super) fn puppet_in_room(portal: &PortalId, user: &UserId) -> Key {
    key(b'k', &[portal.as_str(), user.as_str()])
}

/// All puppets in a portal's Rocket.Chat room.
pub(super) fn puppets_in_room(portal: &PortalId) -> Key {
    key(b'k', &[portal.as_str()])
}

/// A message, by its Rocket.Chat id within its room: what another room says of
/// an id is never found.
pub(super) fn message(portal: &PortalId, id: &RocketMessageId) -> Key {
    key(b'm', &[portal.as_str(), id.as_str()])
}

/// Which message an event is of, within its room.
pub(super) fn message_of_event(room: &RoomId, event: &EventId) -> Key {
    key(b'e', &[room.as_str(), event.as_str()])
}

/// All events that messages are of, in a room.
pub(super) fn messages_in_room(room: &RoomId) -> Key {
    key(b'e', &[room.as_str()])
}

/// Which message another one continues, where a long text was split.
pub(super) fn continued(portal: &PortalId, id: &RocketMessageId) -> Key {
    key(b'o', &[portal.as_str(), id.as_str()])
}

/// Which message an event edits.
pub(super) fn edit_event(room: &RoomId, event: &EventId) -> Key {
    key(b'y', &[room.as_str(), event.as_str()])
}

/// The reactions to a message.
pub(super) fn reactions(portal: &PortalId, id: &RocketMessageId) -> Key {
    key(b'a', &[portal.as_str(), id.as_str()])
}

/// Which message a reaction is to.
pub(super) fn reaction_event(room: &RoomId, event: &EventId) -> Key {
    key(b'x', &[room.as_str(), event.as_str()])
}

/// How far the file of an event has come on its way to Rocket.Chat.
pub(super) fn file_post(room: &RoomId, event: &EventId) -> Key {
    key(b'q', &[room.as_str(), event.as_str()])
}

/// All of them.
pub(super) const FILE_POSTS: &[u8] = b"q";

/// Whose upload a file on Rocket.Chat is.
pub(super) fn upload(file: &str) -> Key {
    key(b'Q', &[file])
}

/// That a file of a puppet is, or was, on its way into a room in one step.
pub(super) fn one_step(rid: &RocketRoomId, puppet: &RocketUserId, event: &EventId) -> Key {
    key(b'h', &[rid.as_str(), puppet.as_str(), event.as_str()])
}

/// By what the uploads of a file are found.
pub(super) fn of_uploads(post: &FilePost) -> Vec<Key> {
    let draft = &post.draft;
    let key_of = |upload: &Upload| match &upload.file {
        Some(file) => Some(self::upload(file.as_str())),
        None => Some(one_step(&draft.rid, &post.puppet, draft.events.first()?)),
    };
    post.uploads.iter().filter_map(key_of).collect()
}

/// All files of a puppet that went into a room in one step.
pub(super) fn one_steps(rid: &RocketRoomId, puppet: &RocketUserId) -> Key {
    key(b'h', &[rid.as_str(), puppet.as_str()])
}

/// A thread, by its first message on Rocket.Chat.
pub(super) fn thread(portal: &PortalId, first: &RocketMessageId) -> Key {
    key(b't', &[portal.as_str(), first.as_str()])
}

/// All threads of a room.
pub(super) fn threads_in(portal: &PortalId) -> Key {
    key(b't', &[portal.as_str()])
}

/// The first message on Rocket.Chat of the thread with that root.
pub(super) fn thread_of_root(room: &RoomId, root: &EventId) -> Key {
    key(b'w', &[room.as_str(), root.as_str()])
}

/// A custom emoji, by its name.
pub(super) fn custom_emoji(name: &str) -> Key {
    key(b'z', &[name])
}

/// The name of the custom emoji with that image.
pub(super) fn custom_emoji_by_image(image: &MxcUri) -> Key {
    key(b'Z', &[image.as_str()])
}

/// A file that is linked to, by the id in its link.
pub(super) fn linked_file(id: &str) -> Key {
    key(b'f', &[id])
}

/// All of them.
pub(super) const LINKED_FILES: &[u8] = b"f";

/// That a link was made for a message.
pub(super) fn link_of_message(portal: &PortalId, message: &RocketMessageId, id: &str) -> Key {
    key(b'F', &[portal.as_str(), message.as_str(), id])
}

/// All of a message.
pub(super) fn links_of_message(portal: &PortalId, message: &RocketMessageId) -> Key {
    key(b'F', &[portal.as_str(), message.as_str()])
}

/// The last part of a key.
pub(super) fn last_part(key: &[u8]) -> Option<&str> {
    let parts = key.strip_suffix(&[0])?;
    let last = parts.rsplit(|byte| *byte == 0).next()?;
    std::str::from_utf8(last).ok()
}

/// When the homeserver was last known to be well.
pub(super) fn homeserver_well() -> Key {
    key(b'!', &["homeserver well"])
}

/// The number of the last transaction that arrived, where they are numbered.
pub(super) fn last_transaction() -> Key {
    key(b'!', &["last transaction"])
}

/// What could not be delivered, by number.
pub(super) fn dead_letter(number: u64) -> Key {
    numbered(b'd', number)
}

/// The number of what could not be delivered, by where it was going and its id.
pub(super) fn dead_letter_of(room: &RoomId, id: &str) -> Key {
    key(b'D', &[room.as_str(), id])
}

/// All of them.
pub(super) const DEAD_LETTERS: &[u8] = b"d";

/// That somebody of ours is on the way into a room of another homeserver.
pub(super) fn remote_join(user: &UserId, target: &RoomOrAliasId) -> Key {
    key(b'J', &[user.as_str(), target.as_str()])
}

/// All of them.
pub(super) const REMOTE_JOINS: &[u8] = b"J";

/// Which portal a Matrix room was before that moved on.
pub(super) fn earlier_room(room: &RoomId) -> Key {
    key(b'O', &[room.as_str()])
}

/// That a portal has left a Matrix room and not everybody has followed yet.
pub(super) fn unfinished_move(room: &RoomId) -> Key {
    key(b'Y', &[room.as_str()])
}

/// All of them.
pub(super) const UNFINISHED_MOVES: &[u8] = b"Y";

/// The tombstone of a portal's room that waits until the bridge is let into that room.
pub(super) fn awaited_upgrade(room: &RoomId) -> Key {
    key(b'X', &[room.as_str()])
}

/// A portal that is being ended.
pub(super) fn ending(id: &PortalId) -> Key {
    key(b'E', &[id.as_str()])
}

/// All of them.
pub(super) const ENDINGS: &[u8] = b"E";

/// The ends of all portals of a room of Rocket.Chat but the bridge's own.
pub(super) fn further_endings(rid: &RocketRoomId) -> Key {
    let mut prefix = vec![b'E'];
    prefix.extend_from_slice(PortalId::further_prefix(rid).as_bytes());
    prefix
}

/// Which portal that is being ended has that Matrix room.
pub(super) fn ending_of_room(room: &RoomId) -> Key {
    key(b'W', &[room.as_str()])
}

/// That a room of Rocket.Chat is mirrored no more because somebody wished so.
pub(super) fn unbridged(rid: &RocketRoomId) -> Key {
    key(b'N', &[rid.as_str()])
}

/// Why a ghost has left its rooms, by the person behind it.
pub(super) fn departure(user: &RocketUserId) -> Key {
    key(b'n', &[user.as_str()])
}

/// What is thought of a Matrix user whose account may be gone.
pub(super) fn rest(user: &UserId) -> Key {
    key(b'R', &[user.as_str()])
}

/// That people of a Matrix room were told that encrypted messages stay behind.
pub(super) fn told_of_encryption(room: &RoomId) -> Key {
    key(b'H', &[room.as_str()])
}

/// How a room is relayed.
pub(super) fn room_relay(portal: &PortalId) -> Key {
    key(b'5', &[portal.as_str()])
}

/// That somebody without an account on Rocket.Chat is in a private room by right.
pub(super) fn admitted(portal: &PortalId, user: &UserId) -> Key {
    key(b'6', &[portal.as_str(), user.as_str()])
}

/// That somebody is in a portal's private room because an account was that is theirs no more.
pub(super) fn came_by_account(portal: &PortalId, user: &UserId) -> Key {
    key(b'_', &[portal.as_str(), user.as_str()])
}

/// That somebody's own account is out of a portal's room on Rocket.Chat, and they are in the
/// Matrix room.
pub(super) fn parted(portal: &PortalId, user: &UserId) -> Key {
    key(b'-', &[portal.as_str(), user.as_str()])
}

/// That somebody has left a portal's Matrix room, and perhaps its room on Rocket.Chat with
/// their own account.
pub(super) fn leaving(portal: &PortalId, user: &UserId) -> Key {
    key(b'|', &[portal.as_str(), user.as_str()])
}

/// All of them.
pub(super) const LEAVING: &[u8] = b"|";

/// Everything of these kinds belongs to one portal, whose id is the first part of their
/// keys. Not those that outlive a portal.
const OF_PORTALS: [u8; 17] = *b"cPSMVkmoatF56-+|_";

/// As [`OF_PORTALS`], of one Matrix room.
const OF_MATRIX_ROOMS: [u8; 8] = *b"jeyxqwDH";

/// As [`OF_PORTALS`], of one room of Rocket.Chat: when no portal has it any more.
const OF_ROCKET_ROOMS: [u8; 1] = *b"h";

fn all_of<'a>(kinds: &'a [u8], of: &'a str) -> impl Iterator<Item = Key> + 'a {
    kinds.iter().map(move |kind| key(*kind, &[of]))
}

/// Where everything lies that is known of a portal, besides its own record: by its id,
/// and by the Matrix room.
pub(super) fn of_portal(id: &PortalId, room: &RoomId) -> Vec<Key> {
    all_of(&OF_PORTALS, id.as_str())
        .chain(all_of(&OF_MATRIX_ROOMS, room.as_str()))
        .collect()
}

/// Where lies what is known of a room of Rocket.Chat, whichever portal has it.
pub(super) fn of_rocket_room(rid: &RocketRoomId) -> Vec<Key> {
    all_of(&OF_ROCKET_ROOMS, rid.as_str()).collect()
}

/// All ghosts in a room.
pub(super) fn ghosts_in_room(room: &RoomId) -> Key {
    key(b'j', &[room.as_str()])
}

/// All puppets in all rooms.
pub(super) const PUPPETS_IN_ROOMS: &[u8] = b"k";

/// The parts of a key.
pub(super) fn parts(key: &[u8]) -> Option<Vec<&str>> {
    let parts = key.get(1..)?.strip_suffix(&[0])?;
    parts
        .split(|byte| *byte == 0)
        .map(|part| std::str::from_utf8(part).ok())
        .collect()
}

/// A command that somebody gave on Rocket.Chat, by its message.
pub(super) fn asked(message: &RocketMessageId) -> Key {
    key(b'C', &[message.as_str()])
}

/// All of them.
pub(super) const ASKED: &[u8] = b"C";

/// That a command was answered, by its message.
pub(super) fn answered(message: &RocketMessageId) -> Key {
    key(b'K', &[message.as_str()])
}

/// That a command has begun to remove somebody from a portal's room, by what the command is
/// known by. It is forgotten with what was answered.
pub(super) fn removal_begun(portal: &PortalId, command: &str) -> Key {
    key(b'K', &["removal", &portal.to_string(), command])
}

/// All of both.
pub(super) const ANSWERED: &[u8] = b"K";

/// That a Matrix user's account says that a room is a direct message.
pub(super) fn marked_direct(room: &RoomId, user: &UserId) -> Key {
    key(b'A', &[room.as_str(), user.as_str()])
}

/// All of them.
pub(super) const MARKED_DIRECT: &[u8] = b"A";

/// The link of a Matrix user to an account of theirs on Rocket.Chat.
pub(super) fn link(user: &UserId) -> Key {
    key(b'@', &["user", user.as_str()])
}

/// All of them.
pub(super) const LINKS: &[u8] = b"@user\0";

/// Whose account on Rocket.Chat that is.
pub(super) fn link_of_account(id: &RocketUserId) -> Key {
    key(b'@', &["account", id.as_str()])
}

/// Who on Matrix has or had an account on Rocket.Chat for their own.
pub(super) fn own_account(id: &RocketUserId) -> Key {
    key(b'@', &["own", id.as_str()])
}

/// All of them.
pub(super) const OWN_ACCOUNTS: &[u8] = b"@own\0";

/// A link that has ended, by what proved it.
pub(super) fn ended_link(proof: &str) -> Key {
    key(b'@', &["ended", proof])
}

/// All of them.
pub(super) const ENDED_LINKS: &[u8] = b"@ended\0";

/// A code by which somebody proves an account, by its digest.
pub(super) fn login_code(digest: &str) -> Key {
    key(b'@', &["code", digest])
}

/// All of them.
pub(super) const LOGIN_CODES: &[u8] = b"@code\0";

/// What somebody did by a command, or was refused, by its number.
pub(super) fn audit(prefix: &[u8], number: u64) -> Key {
    let mut key = prefix.to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// All that was done by commands, in order.
pub(super) const AUDIT: &[u8] = b"9";

/// All that was refused, in order.
pub(super) const AUDIT_REFUSED: &[u8] = b"8";

/// A room in which the bot takes commands.
pub(super) fn bot_room(room: &RoomId) -> Key {
    key(b'b', &[room.as_str()])
}

/// That somebody proposes to join two rooms.
pub(super) fn proposal(room: &RoomId, rid: &RocketRoomId) -> Key {
    key(b'~', &[room.as_str(), rid.as_str()])
}

/// All of them.
pub(super) const PROPOSALS: &[u8] = b"~";

/// That a proposal to join two rooms was declined.
pub(super) fn declined(room: &RoomId, rid: &RocketRoomId, side: &str) -> Key {
    key(b'^', &[room.as_str(), rid.as_str(), side])
}

/// All of them.
pub(super) const DECLINED: &[u8] = b"^";

/// How a proposal to join two rooms ended, by the digest of its code.
pub(super) fn over_proposal(digest: &str) -> Key {
    key(b'?', &[digest])
}

/// All of them.
pub(super) const OVER_PROPOSALS: &[u8] = b"?";

/// That the bot is in a room, or comes into it, only in order to ask there.
pub(super) fn entered_room(room: &RoomId) -> Key {
    key(b'%', &[room.as_str()])
}

/// All of them.
pub(super) const ENTERED_ROOMS: &[u8] = b"%";

/// What somebody has tried lately in order to join rooms.
pub(super) fn tries(who: &str) -> Key {
    key(b'=', &[who])
}

/// All of them.
pub(super) const TRIES: &[u8] = b"=";

/// That a portal is new, and the other rooms of the same room of Rocket.Chat are to be told.
pub(super) fn newcomer(id: &PortalId) -> Key {
    key(b'+', &[id.as_str()])
}

/// All of them.
pub(super) const NEWCOMERS: &[u8] = b"+";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_kind_lies_among_what_has_numbers() {
        // Read from the text: whoever adds a kind is told.
        let kinds = |function: &str| -> Vec<char> {
            let start = format!("{function}(b'");
            let text = include_str!("keys.rs");
            let after = text.split(&start).skip(1);
            after.filter_map(|rest| rest.chars().next()).collect()
        };
        let (named, counted) = (kinds("key"), kinds("numbered"));
        assert!(
            named.len() > 50 && counted.len() >= 2,
            "{named:?} {counted:?}"
        );
        for (place, kind) in counted.iter().enumerate() {
            assert!(!named.contains(kind), "{kind} has names");
            assert!(!counted[..place].contains(kind), "{kind} is twice there");
        }
    }

    #[test]
    fn parts_cannot_run_into_each_other() {
        let room = |id: &str| PortalId::own(&RocketRoomId::new(id));
        let one = message(&room("ab"), &RocketMessageId::new("c"));
        let other = message(&room("a"), &RocketMessageId::new("bc"));
        assert_ne!(one, other);
    }

    #[test]
    fn the_links_of_a_message_are_its_own() {
        let room = PortalId::own(&RocketRoomId::new("r"));
        let of = RocketMessageId::new;
        let link = link_of_message(&room, &of("m1"), "id");
        assert!(link.starts_with(&links_of_message(&room, &of("m1"))));
        assert!(!link.starts_with(&links_of_message(&room, &of("m"))));
        assert_eq!(last_part(&link), Some("id"));
    }

    #[test]
    fn numbers_sort_as_numbers() {
        assert!(inbox(255) < inbox(256));
        assert!(inbox(u64::from(u32::MAX)) < inbox(u64::from(u32::MAX) + 1));
    }
}
