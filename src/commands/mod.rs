//! What people may ask of the bridge. One command a file; the door on Matrix is
//! [`crate::bridge::CommandLine`].

mod bridge;
mod help;
mod list;
mod resend;

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
}

const USAGES: [Usage; 5] = [
    help::USAGE,
    bridge::USAGE,
    list::USAGE,
    resend::FAILED,
    resend::RESEND,
];

impl CommandLine for Commands {
    fn greeting(&self, bridge: &Bridge, inviter: &UserId) -> String {
        if is_admin(bridge, inviter) {
            help::text()
        } else {
            NOT_ADMIN.to_owned()
        }
    }

    fn run<'a>(&'a self, bridge: &'a Arc<Bridge>, caller: &'a Caller, words: &'a str) -> Reply<'a> {
        Box::pin(run(bridge, caller, words))
    }
}

const NOT_ADMIN: &str = "Only administrators of the bridge may give it this command (`bridge.admins` in its configuration). \
     `failed` and `resend` are for everybody: what became of your own messages. \
     To write to somebody on Rocket.Chat, start a direct message with their user here.";

async fn run(bridge: &Arc<Bridge>, caller: &Caller, words: &str) -> Result<String, Failure> {
    let (name, arguments) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let name = name.to_lowercase();
    match name.as_str() {
        // What became of one's own messages is for everybody to know.
        "failed" => return resend::failed(bridge, caller),
        "resend" => return resend::resend(bridge, caller, arguments.trim()).await,
        _ if !is_admin(bridge, &caller.user) => return Ok(NOT_ADMIN.to_owned()),
        _ => {}
    }
    match name.as_str() {
        "" | "help" => Ok(help::text()),
        "bridge" => bridge::run(bridge, caller, arguments.trim()).await,
        "list" if bridge.store().portal_of_room(&caller.room)?.is_some() => {
            Ok("The list names private rooms: ask me in a room of our own.".to_owned())
        }
        "list" => Ok(list::text(bridge)),
        unknown => Ok(unknown_command(unknown)),
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

fn unknown_command(name: &str) -> String {
    let nearest = USAGES
        .iter()
        .filter_map(|usage| usage.words.split_whitespace().next())
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2);
    match nearest {
        Some((_, known)) => format!("There is no such command; did you mean `{known}`?"),
        None => "There is no such command; `help` shows what there is.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::unknown_command;

    #[test]
    fn a_mistyped_command_suggests_the_nearest() {
        assert!(unknown_command("brigde").contains("`bridge`"));
        assert!(unknown_command("lst").contains("`list`"));
        assert!(unknown_command("xylophone").contains("`help`"));
    }
}
