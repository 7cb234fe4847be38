//! What a command is, and all of them: the one list that `help`, the suggestions, the
//! rights and every door go by.

use std::sync::Arc;

use super::{
    bridge, dm, help, join, list, login, moderation, plumbing, relay, resend, search, status,
    unbridge, whoami,
};
use crate::bridge::{Bridge, Context, Reply, Who};

/// A command.
pub(super) struct Command {
    /// The word that it is given by.
    pub name: &'static str,
    /// What it is for people on Matrix; none: not for them.
    pub on_matrix: Option<Usage>,
    /// The same for people on Rocket.Chat.
    pub on_rocketchat: Option<Usage>,
    /// What it takes.
    pub needs: Needs,
    /// What is noted of it for later.
    pub audit: Audit,
    /// Its answer is for whoever asks alone: it is not given where others read it.
    pub private: bool,
    /// Does it.
    pub run: Run,
}

/// A command as `help` shows it.
pub(super) struct Usage {
    /// What stands behind the name.
    pub arguments: &'static str,
    /// What it does.
    pub what: &'static str,
    /// One that could be given, without a prefix.
    pub example: &'static str,
}

/// What it takes to give a command. But for [`Needs::Admin`] the command itself makes sure
/// of it, at the moment at which it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// A mirrored channel or group around it.
    MirroredRoom,
    /// A mirrored room around it, which whoever asks may change on both sides.
    RoomRights,
    /// To administer the bridge.
    Admin,
}

/// What is noted of a command, in the log and in the store: who gave it, where, and what
/// came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audit {
    /// Nothing: it changes nothing.
    Nothing,
    /// And not what stood behind it, which may be a secret.
    NotWords,
    /// And, in the store, what stood behind it.
    Words,
}

/// Does what the words behind the name ask for.
pub(super) type Run = for<'a> fn(&'a Arc<Bridge>, &'a Context, &'a str) -> Reply<'a>;

/// All commands, in the order in which `help` shows them.
pub(super) const COMMANDS: &[Command] = &[
    help::HELP,
    dm::DM,
    search::SEARCH,
    whoami::WHOAMI,
    status::STATUS,
    moderation::INVITE,
    moderation::KICK,
    moderation::BAN,
    moderation::UNBAN,
    bridge::BRIDGE,
    plumbing::APPROVE,
    plumbing::REJECT,
    unbridge::UNBRIDGE,
    login::LOGIN,
    login::LOGOUT,
    list::LIST,
    join::JOIN,
    join::LEAVE,
    resend::FAILED,
    resend::RESEND,
    relay::RELAY,
];

impl Command {
    /// What it is where whoever asks is; none when it is not for them at all.
    pub fn usage(&self, who: &Who) -> Option<&Usage> {
        match who {
            Who::RocketChat { .. } => self.on_rocketchat.as_ref(),
            Who::Matrix(_) | Who::Api(_) => self.on_matrix.as_ref(),
        }
    }
}

impl Usage {
    /// The command and what stands behind it.
    pub fn words(&self, name: &str) -> String {
        match self.arguments {
            "" => name.to_owned(),
            arguments => format!("{name} {arguments}"),
        }
    }
}

/// The command of that name.
pub(super) fn named(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS, named};

    #[test]
    fn every_command_is_described_by_itself() {
        for (place, command) in COMMANDS.iter().enumerate() {
            let name = command.name;
            assert!(
                COMMANDS[..place].iter().all(|other| other.name != name),
                "{name} is there twice"
            );
            assert!(named(name).is_some());
            let usages = [&command.on_matrix, &command.on_rocketchat];
            assert!(usages.iter().any(|usage| usage.is_some()), "{name}");
            for usage in usages.into_iter().flatten() {
                assert!(
                    usage.example == name || usage.example.starts_with(&format!("{name} ")),
                    "{name}: {}",
                    usage.example
                );
                assert!(
                    !usage.what.is_empty() && !usage.what.ends_with('.'),
                    "{name}"
                );
            }
        }
    }
}
