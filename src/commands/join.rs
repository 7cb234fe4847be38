//! `join` and `leave`: rooms that the bot is to enter or to leave.

use std::sync::Arc;

use ruma::matrix_uri::MatrixId;
use ruma::{EventId, OwnedEventId, OwnedRoomOrAliasId, OwnedServerName, RoomOrAliasId, ServerName};

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure, Who, in_words};
use crate::convert::to_rocketchat::matrix_link;
use crate::store::{JoinAsked, RemoteJoin};

pub(super) const JOIN: Command = Command {
    name: "join",
    on_matrix: Some(Usage {
        arguments: "<#alias:server | !id server… | link>",
        what: "brings me into a room, also of another homeserver; without a room: which I am on the way into",
        example: "join #room:example.org",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<#alias:server | !id server… | link>",
        what: "brings the bridge's bot into a room on Matrix, also of another homeserver",
        example: "join #room:example.org",
    }),
    needs: Needs::Admin,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(join(bridge, context, arguments)),
};

pub(super) const LEAVE: Command = Command {
    name: "leave",
    on_matrix: Some(Usage {
        arguments: "[room]",
        what: "takes me out of this room or the named one, or takes a `join` back",
        example: "leave #room:example.org",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<#alias:server | !id | link>",
        what: "takes the bridge's bot out of a room on Matrix, or takes a `join` back",
        example: "leave #room:example.org",
    }),
    needs: Needs::Admin,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(leave(bridge, context, arguments)),
};

/// How many homeservers a command may name.
const MOST_SERVERS: usize = 12;

async fn join(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    if arguments.is_empty() {
        return match bridge.is_between_us(context).await? {
            true => Ok(under_way(bridge)),
            false => Err(Failure::Refused("Ask me in a room of our own.".into())),
        };
    }
    let (target, via) = target_in(arguments)?;
    let join = RemoteJoin {
        user: bridge.config().appservice.bot.clone(),
        target: target.clone(),
        via,
        alias: None,
        asked: asked_by(context)?,
        tries: 0,
        next_at: 0,
        answers: Vec::new(),
    };
    bridge.ask_to_join(join).await?;
    Ok(format!("I am on my way into {target}."))
}

async fn leave(
    bridge: &Arc<Bridge>,
    context: &Context,
    arguments: &str,
) -> Result<String, Failure> {
    let event = id_of(context)?;
    let target = match (arguments, &context.room) {
        ("", Some(room)) => OwnedRoomOrAliasId::from(room.clone()),
        ("", None) => {
            return Err(Failure::Refused(format!(
                "Which room? For example: `{}`",
                context.written("leave #room:example.org")
            )));
        }
        (named, _) => target_in(named)?.0,
    };
    let bot = &bridge.config().appservice.bot;
    let was_waiting = bridge.withdraw_join(bot, &target).await?;
    let was_inside = bridge.leave_room(&target, &event).await?;
    Ok(match (was_waiting, was_inside) {
        (_, true) => format!("I have left {target}."),
        (true, false) => format!("I do not try to enter {target} any more."),
        (false, false) => format!("I am not in {target}, nor on the way into it."),
    })
}

/// What a repeat of this command is known by.
fn id_of(context: &Context) -> Result<OwnedEventId, Failure> {
    match &context.event {
        Some(event) => Ok(event.clone()),
        None => EventId::parse(format!("${}", context.id))
            .map_err(|_| Failure::Refused("This command has no id.".into())),
    }
}

fn asked_by(context: &Context) -> Result<JoinAsked, Failure> {
    let event = id_of(context)?;
    match (&context.who, &context.room) {
        (Who::Matrix(user), Some(room)) => Ok(JoinAsked::Command {
            caller: user.clone(),
            room: room.clone(),
            event,
        }),
        (Who::RocketChat { id, .. }, _) => Ok(JoinAsked::There {
            caller: id.clone(),
            event,
        }),
        _ => Err(Failure::Refused(
            "Rooms are entered at the word of people.".into(),
        )),
    }
}

fn under_way(bridge: &Bridge) -> String {
    let mut joins = bridge.store().remote_joins();
    // Those that somebody here waits for, before invitations, which may be many.
    joins.sort_by_key(|join| !matches!(join.asked, JoinAsked::Command { .. }));
    if joins.is_empty() {
        return "Which room? For example: `join #room:example.org`".to_owned();
    }
    let lines: Vec<_> = joins
        .iter()
        .take(50)
        .map(|join| match join.tries {
            0 => format!("{} → {}", join.user, join.target),
            tries => format!(
                "{} → {}: tried {tries} times, again at {}; asked {}",
                join.user,
                join.target,
                crate::clock::shown(join.next_at),
                in_words(&join.answers),
            ),
        })
        .collect();
    lines.join("\n")
}

/// The room in a command, and the servers that are named to help.
pub(super) fn target_in(
    words: &str,
) -> Result<(OwnedRoomOrAliasId, Vec<OwnedServerName>), Failure> {
    let mut words = words.split_whitespace();
    let first = words
        .next()
        .unwrap_or_default()
        .trim_matches(['<', '>', '`']);
    let (target, mut via) = linked(first)
        .or_else(|| Some((RoomOrAliasId::parse(first).ok()?, Vec::new())))
        .ok_or_else(|| {
            Failure::Refused(
                "That is no room: name its alias (`#room:example.org`), its id with servers that \
                 are in it (`!id example.org`), or a link of matrix.to."
                    .into(),
            )
        })?;
    for word in words.filter(|word| *word != "via") {
        let named = word.trim_start_matches("via=").trim_end_matches(',');
        let server = ServerName::parse(named)
            .map_err(|_| Failure::Refused(format!("`{named}` is no name of a homeserver.")))?;
        via.push(server);
    }
    via.dedup();
    via.truncate(MOST_SERVERS);
    Ok((target, via))
}

/// The room of a `https://matrix.to` or `matrix:` link.
fn linked(text: &str) -> Option<(OwnedRoomOrAliasId, Vec<OwnedServerName>)> {
    let (id, via) = matrix_link(text)?;
    let target = match id {
        MatrixId::Room(room) => room.into(),
        MatrixId::Event(room, _) => room,
        MatrixId::RoomAlias(alias) => alias.into(),
        _ => return None,
    };
    Some((target, via))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::target_in;

    #[test]
    fn rooms_are_named_in_many_ways() {
        for (words, target, via) in [
            ("#hall:a.org", "#hall:a.org", vec![]),
            ("!r:a.org", "!r:a.org", vec![]),
            (
                "!r:a.org via b.org c.org:8448",
                "!r:a.org",
                vec!["b.org", "c.org:8448"],
            ),
            (
                "!r:a.org via=b.org, via=c.org",
                "!r:a.org",
                vec!["b.org", "c.org"],
            ),
            (
                "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM b.org",
                "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM",
                vec!["b.org"],
            ),
            (
                "https://matrix.to/#/!r%3Aa.org?via=b.org&via=127.0.0.1%3A8448",
                "!r:a.org",
                vec!["b.org", "127.0.0.1:8448"],
            ),
            ("<https://matrix.to/#/%23hall:a.org>", "#hall:a.org", vec![]),
            ("matrix:r/hall:a.org", "#hall:a.org", vec![]),
            ("matrix:roomid/r:a.org?via=b.org", "!r:a.org", vec!["b.org"]),
        ] {
            let (found, servers) = target_in(words).unwrap();
            let servers: Vec<_> = servers.iter().map(|server| server.as_str()).collect();
            assert_eq!((found.as_str(), servers), (target, via), "{words}");
        }
    }

    #[test]
    fn what_is_no_room_is_said() {
        for words in [
            "hall",
            "@u:a.org",
            "https://matrix.to/#/@u:a.org",
            "https://matrix.to/#//",
            "!r:a.org not/a",
        ] {
            assert!(target_in(words).is_err(), "{words}");
        }
    }
}
