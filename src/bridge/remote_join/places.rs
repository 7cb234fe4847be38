//! Who may try now, and how many may wait.
//!
//! Anybody who has a homeserver, or many, may invite; and a homeserver that is asked for
//! help may be silent for as long as it likes. So nobody else waits for that: joins of
//! invitations have places of their own, one for each inviter's homeserver, in turn.

use std::collections::{HashMap, HashSet};

use crate::store::{JoinAsked, RemoteJoin};

/// How many rooms are entered at once because of invitations: a try may take minutes.
const FOR_INVITATIONS: usize = 8;

/// How many are entered at once because an administrator said so, or a portal's room
/// goes on there.
const FOR_OTHERS: usize = 4;

/// How many joins of invitations from one homeserver are remembered: whoever makes up
/// rooms fills no store.
const MOST_OF_ONE: usize = 200;

/// How many joins of invitations are remembered at all.
const MOST_INVITATIONS: usize = 5_000;

/// How many joins are remembered that administrators asked for. They have their own
/// number, so that no invitation keeps them out.
const MOST_COMMANDS: usize = 100;

/// Whose join it is.
pub(super) type Name = (String, String);

/// Who is trying, and whose turn was when.
#[derive(Default)]
pub(super) struct Places {
    /// Joins under way, with the inviter's host.
    held: HashMap<Name, Option<String>>,
    /// When a host had its last turn.
    turns: HashMap<Option<String>, u64>,
    turn: u64,
}

impl Places {
    /// Which of these that are due may begin, and take a place by it: those of whoever
    /// has waited longest for a turn.
    pub(super) fn give(&mut self, mut due: Vec<RemoteJoin>) -> Vec<RemoteJoin> {
        let hosts: HashSet<_> = due.iter().map(host_of).collect();
        // Nobody's turn is remembered who waits for nothing.
        self.turns.retain(|host, _| hosts.contains(host));
        due.sort_by_cached_key(|join| {
            let last = self.turns.get(&host_of(join)).copied().unwrap_or(0);
            (last, join.next_at)
        });
        due.retain(|join| self.gives(join));
        due
    }

    fn gives(&mut self, join: &RemoteJoin) -> bool {
        let (name, host) = (name_of(join), host_of(join));
        if self.held.contains_key(&name) {
            return false;
        }
        let alike = |held: &&Option<String>| held.is_some() == host.is_some();
        let most = match host {
            Some(_) => FOR_INVITATIONS,
            None => FOR_OTHERS,
        };
        let is_trying = host.is_some() && self.held.values().any(|held| *held == host);
        if is_trying || self.held.values().filter(alike).count() >= most {
            return false;
        }
        self.turn += 1;
        self.turns.insert(host.clone(), self.turn);
        self.held.insert(name, host);
        true
    }

    /// A try has ended.
    pub(super) fn take_back(&mut self, join: &RemoteJoin) {
        self.held.remove(&name_of(join));
    }
}

fn name_of(join: &RemoteJoin) -> Name {
    (join.user.to_string(), join.target.to_string())
}

/// From which host an invitation came, whatever the port: one computer is as many
/// homeservers as it has ports.
fn host_of(join: &RemoteJoin) -> Option<String> {
    match &join.asked {
        JoinAsked::Invitation(event) => Some(host(event.sender.server_name())),
        JoinAsked::Tombstone(_) | JoinAsked::Command { .. } | JoinAsked::There { .. } => None,
    }
}

fn host(server: &ruma::ServerName) -> String {
    server.host().to_lowercase()
}

/// Why no more invitations of this homeserver are remembered, beside those that wait.
pub(super) fn why_full(waiting: &[RemoteJoin], of: &ruma::ServerName) -> Option<&'static str> {
    let of = Some(host(of));
    let (mut all, mut theirs) = (0, 0);
    for host in waiting.iter().map(host_of).filter(Option::is_some) {
        all += 1;
        theirs += usize::from(host == of);
    }
    if theirs >= MOST_OF_ONE {
        Some("Too many invitations from your homeserver are waiting; try again later.")
    } else if all >= MOST_INVITATIONS {
        Some("Too many invitations are waiting here; try again later.")
    } else {
        None
    }
}

/// Whether administrators have asked for as many joins as are remembered.
pub(super) fn are_commands_full(waiting: &[RemoteJoin]) -> bool {
    let is_command = |join: &&RemoteJoin| {
        matches!(
            join.asked,
            JoinAsked::Command { .. } | JoinAsked::There { .. }
        )
    };
    waiting.iter().filter(is_command).count() >= MOST_COMMANDS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{RoomId, UserId, event_id, room_id, user_id};
    use serde_json::json;

    use super::*;
    use crate::store::InboxEvent;

    fn join(asked: JoinAsked, room: &str) -> RemoteJoin {
        RemoteJoin {
            user: user_id!("@ghost:example.org").to_owned(),
            target: RoomId::parse(room).unwrap().into(),
            via: Vec::new(),
            alias: None,
            asked,
            tries: 0,
            next_at: 0,
            answers: Vec::new(),
        }
    }

    fn invited(inviter: &str, room: &str) -> RemoteJoin {
        let event = InboxEvent {
            event_id: event_id!("$invite").to_owned(),
            room_id: RoomId::parse(room).unwrap(),
            sender: UserId::parse(inviter).unwrap(),
            kind: "m.room.member".into(),
            json: serde_json::value::to_raw_value(&json!({})).unwrap(),
        };
        join(JoinAsked::Invitation(event), room)
    }

    fn commanded(room: &str) -> RemoteJoin {
        let asked = JoinAsked::Command {
            caller: user_id!("@admin:example.org").to_owned(),
            room: room_id!("!office:example.org").to_owned(),
            event: event_id!("$command").to_owned(),
        };
        join(asked, room)
    }

    fn rooms(joins: &[RemoteJoin]) -> Vec<&str> {
        joins.iter().map(|join| join.target.as_str()).collect()
    }

    #[test]
    fn one_computer_has_one_place_whatever_its_ports() {
        let mut places = Places::default();
        let due = vec![
            invited("@a:evil.org:1", "!1:evil.org"),
            invited("@a:evil.org:2", "!2:evil.org"),
            invited("@a:EVIL.org", "!3:evil.org"),
            invited("@b:good.org", "!4:good.org"),
        ];
        let given = places.give(due.clone());
        assert_eq!(rooms(&given), ["!1:evil.org", "!4:good.org"]);
        assert_eq!(rooms(&places.give(due.clone())), [""; 0]);
        places.take_back(&given[0]);
        assert_eq!(rooms(&places.give(due[1..].to_vec())), ["!2:evil.org"]);
    }

    #[test]
    fn who_invites_for_the_first_time_waits_for_nobodys_second_turn() {
        let mut places = Places::default();
        let of = |host: usize, room: usize| {
            invited(&format!("@a:h{host}.org"), &format!("!{room}:h{host}.org"))
        };
        let mut due: Vec<_> = (0..20)
            .flat_map(|host| [of(host, 1), of(host, 2)])
            .collect();
        let first = places.give(due.clone());
        assert_eq!(first.len(), FOR_INVITATIONS);
        due.retain(|join| !rooms(&first).contains(&join.target.as_str()));
        // It comes last, and the others have had no turn either: theirs come first.
        due.push(invited("@b:good.org", "!new:good.org"));
        let mut turns = 0;
        let mut running = first;
        while !rooms(&running).contains(&"!new:good.org") {
            turns += 1;
            for join in &running {
                places.take_back(join);
            }
            running = places.give(due.clone());
            due.retain(|join| !rooms(&running).contains(&join.target.as_str()));
        }
        // 21 hosts with 8 places.
        assert_eq!(turns, 2);
    }

    #[test]
    fn what_administrators_ask_for_waits_for_no_invitation() {
        let mut places = Places::default();
        let invitations: Vec<_> = (0..FOR_INVITATIONS)
            .map(|host| invited(&format!("@a:h{host}.org"), &format!("!r:h{host}.org")))
            .collect();
        assert_eq!(places.give(invitations).len(), FOR_INVITATIONS);
        let commands: Vec<_> = (0..=FOR_OTHERS)
            .map(|room| commanded(&format!("!{room}:other.org")))
            .collect();
        assert_eq!(places.give(commands).len(), FOR_OTHERS);

        let many: Vec<_> = (0..MOST_INVITATIONS)
            .map(|host| invited(&format!("@a:h{host}.org"), "!r:h.org"))
            .collect();
        assert!(!are_commands_full(&many));
        let commands: Vec<_> = (0..MOST_COMMANDS).map(|_| commanded("!r:o.org")).collect();
        assert!(are_commands_full(&commands));
        assert_eq!(why_full(&commands, ruma::server_name!("good.org")), None);
    }

    #[test]
    fn who_is_declined_is_told_the_true_reason() {
        let theirs: Vec<_> = (0..MOST_OF_ONE)
            .map(|port| invited(&format!("@a:evil.org:{port}"), "!r:evil.org"))
            .collect();
        let said = why_full(&theirs, ruma::server_name!("evil.org:9999")).unwrap();
        assert!(said.contains("from your homeserver"));
        assert_eq!(why_full(&theirs, ruma::server_name!("good.org")), None);
        let all: Vec<_> = (0..MOST_INVITATIONS)
            .map(|host| invited(&format!("@a:h{host}.org"), "!r:h.org"))
            .collect();
        let said = why_full(&all, ruma::server_name!("good.org")).unwrap();
        assert!(!said.contains("your homeserver"));
    }
}
