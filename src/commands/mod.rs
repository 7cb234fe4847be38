//! What people may ask of the bridge. One command a file; the door on Matrix is
//! [`crate::bridge::CommandLine`].

mod bridge;
mod help;
mod join;
mod list;
mod resend;
mod unbridge;

use std::sync::Arc;

use ruma::UserId;

use crate::bridge::{Bridge, Caller, CommandLine, Failure, Reply};

/// All commands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Commands;

/// A command as `help` shows it.
struct Usage {
    words: &'static str,
    what: &'static str,
    /// Not only for administrators of the bridge.
    for_everybody: bool,
}

const USAGES: [Usage; 8] = [
    help::USAGE,
    bridge::USAGE,
    unbridge::USAGE,
    list::USAGE,
    join::JOIN,
    join::LEAVE,
    resend::FAILED,
    resend::RESEND,
];

impl CommandLine for Commands {
    fn greeting(&self, bridge: &Bridge, inviter: &UserId) -> String {
        help::text(is_admin(bridge, inviter), false)
    }

    fn run<'a>(&'a self, bridge: &'a Arc<Bridge>, caller: &'a Caller, words: &'a str) -> Reply<'a> {
        Box::pin(run(bridge, caller, words))
    }
}

const NOT_ADMIN: &str = "Only administrators of the bridge may give it this command (`bridge.admins` in its configuration).";

async fn run(bridge: &Arc<Bridge>, caller: &Caller, words: &str) -> Result<String, Failure> {
    let (name, arguments) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let is_admin = is_admin(bridge, &caller.user);
    let is_shared = bridge.store().portal_of_room(&caller.room)?.is_some();
    match name.to_lowercase().as_str() {
        "" | "help" => Ok(help::text(is_admin, is_shared)),
        // What became of one's own messages is for everybody to know.
        "failed" => resend::failed(bridge, caller),
        "resend" => resend::resend(bridge, caller, arguments.trim()).await,
        "bridge" | "list" | "join" | "leave" if !is_admin => Ok(NOT_ADMIN.to_owned()),
        "unbridge" => unbridge::run(bridge, caller, arguments.trim()).await,
        "bridge" => bridge::run(bridge, caller, arguments.trim()).await,
        "join" => join::join(bridge, caller, arguments.trim(), is_shared).await,
        "leave" => join::leave(bridge, caller, arguments.trim()).await,
        "list" if is_shared => {
            Ok("The list names private rooms: ask me in a room of our own.".to_owned())
        }
        "list" => Ok(list::text(bridge)),
        unknown => Ok(unknown_command(unknown, is_shared)),
    }
}

fn is_admin(bridge: &Bridge, user: &UserId) -> bool {
    bridge
        .config()
        .bridge
        .admins
        .iter()
        .any(|admin| admin == user)
}

fn unknown_command(name: &str, is_shared: bool) -> String {
    let prefix = if is_shared { "!rc " } else { "" };
    let nearest = USAGES
        .iter()
        .filter_map(|usage| usage.words.split_whitespace().next())
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2);
    match nearest {
        Some((_, known)) => {
            format!("There is no such command; did you mean `{prefix}{known}`?")
        }
        None => format!("There is no such command; `{prefix}help` shows what there is."),
    }
}

#[cfg(test)]
mod tests {
    use super::unknown_command;

    #[test]
    fn a_mistyped_command_suggests_the_nearest() {
        assert!(unknown_command("brigde", false).contains("`bridge`"));
        assert!(unknown_command("lst", true).contains("`!rc list`"));
        assert!(unknown_command("xylophone", false).contains("`help`"));
    }
}
