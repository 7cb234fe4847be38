//! What people may ask of the bridge. One command a file; the doors on both sides are
//! [`crate::bridge::CommandLine`].

mod bridge;
mod dm;
mod help;
mod join;
mod list;
mod resend;
mod unbridge;

use std::sync::Arc;

use ruma::UserId;

use crate::bridge::{Bridge, Caller, CommandLine, Failure, Reply, RocketCaller};

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

impl Usage {
    /// The command itself.
    fn name(&self) -> &'static str {
        self.words.split_whitespace().next().unwrap_or_default()
    }
}

const USAGES: [Usage; 9] = [
    help::USAGE,
    dm::USAGE,
    bridge::USAGE,
    unbridge::USAGE,
    list::USAGE,
    join::JOIN,
    join::LEAVE,
    resend::FAILED,
    resend::RESEND,
];

/// What there is for people of Rocket.Chat.
const ON_ROCKETCHAT: [Usage; 2] = [help::USAGE, dm::ON_ROCKETCHAT];

impl CommandLine for Commands {
    fn greeting(&self, bridge: &Bridge, inviter: &UserId) -> String {
        help::text(is_admin(bridge, inviter), false)
    }

    fn run<'a>(&'a self, bridge: &'a Arc<Bridge>, caller: &'a Caller, words: &'a str) -> Reply<'a> {
        Box::pin(run(bridge, caller, words))
    }

    fn run_from_rocketchat<'a>(
        &'a self,
        bridge: &'a Arc<Bridge>,
        caller: &'a RocketCaller,
        words: &'a str,
    ) -> Reply<'a> {
        Box::pin(run_from_rocketchat(bridge, caller, words))
    }
}

const NOT_ADMIN: &str = "Only administrators of the bridge may give it this command (`bridge.admins` in its configuration).";

async fn run(bridge: &Arc<Bridge>, caller: &Caller, words: &str) -> Result<String, Failure> {
    let (name, arguments) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let is_admin = is_admin(bridge, &caller.user);
    let is_shared = bridge.store().portal_of_room(&caller.room)?.is_some();
    match name.to_lowercase().as_str() {
        "dm" => dm::run(bridge, caller, arguments.trim()).await,
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
        unknown => {
            let prefix = if is_shared { "!rc " } else { "" };
            Ok(unknown_command(unknown, prefix, &USAGES))
        }
    }
}

async fn run_from_rocketchat(
    bridge: &Arc<Bridge>,
    caller: &RocketCaller,
    words: &str,
) -> Result<String, Failure> {
    let (name, arguments) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let name = name.to_lowercase();
    match name.as_str() {
        "dm" => dm::run_from_rocketchat(bridge, caller, arguments.trim()).await,
        "" | "help" => Ok(help::text_on_rocketchat(bridge)),
        known if USAGES.iter().any(|usage| usage.name() == known) => Ok(format!(
            "`{known}` is a command for people on Matrix: they write it to `{}`.",
            bridge.config().appservice.bot
        )),
        unknown => {
            let prefix = if caller.to_bot { "" } else { "!matrix " };
            Ok(unknown_command(unknown, prefix, &ON_ROCKETCHAT))
        }
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

fn unknown_command(name: &str, prefix: &str, usages: &[Usage]) -> String {
    let nearest = usages
        .iter()
        .map(Usage::name)
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
    use super::{ON_ROCKETCHAT, USAGES, unknown_command};

    #[test]
    fn a_mistyped_command_suggests_the_nearest() {
        assert!(unknown_command("brigde", "", &USAGES).contains("`bridge`"));
        assert!(unknown_command("lst", "!rc ", &USAGES).contains("`!rc list`"));
        assert!(unknown_command("xylophone", "", &USAGES).contains("`help`"));
        let there = unknown_command("dn", "!matrix ", &ON_ROCKETCHAT);
        assert!(there.contains("`!matrix dm`"), "{there}");
    }
}
