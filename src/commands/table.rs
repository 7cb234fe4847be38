//! What a command is, and all of them: the one list that `help`, the suggestions, the
//! rights and every door go by.

use std::sync::Arc;

use super::{
    bridge, dm, help, join, list, login, moderation, plumbing, relay, resend, search, status,
    unbridge, whoami,
};
use crate::bridge::{Abilities, Bridge, Context, Reply, Who};

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
    /// To be somebody who may begin direct messages.
    WritingDirectly,
    /// To be of the bridge's own homeserver, or on Rocket.Chat.
    BeingAtHome,
    /// A mirrored channel or group around it, into which whoever asks may bring others.
    Inviting,
    /// One from which they may remove others.
    Removing,
    /// One that they may keep others out of.
    Banning,
    /// A room around it that can be joined with another, which they administer; or to
    /// administer the bridge.
    Proposing,
    /// To administer a room that somebody proposes to join.
    Deciding,
    /// A mirrored room around it, or one named, that they may separate.
    Ending,
    /// A mirrored room around it, which they may change on both sides.
    RoomRights,
    /// To administer the bridge.
    Admin,
}

impl Needs {
    /// Whether whoever can do that has what it takes. Of those named by a rule of the
    /// configuration only the rule is asked.
    pub fn are_met(self, can: &Abilities) -> bool {
        match self {
            Self::Nothing => true,
            Self::WritingDirectly => can.writes_directly,
            Self::BeingAtHome => can.is_at_home,
            Self::Inviting => can.invites,
            Self::Removing => can.removes,
            Self::Banning => can.bans,
            Self::Proposing => can.may_propose,
            // About which room is not known where nobody else is.
            Self::Deciding => can.administers_room || can.is_between_us,
            Self::Ending => can.ends,
            Self::RoomRights => can.changes_both && can.is_mirrored,
            Self::Admin => can.administers_bridge,
        }
    }

    /// Whether such a command, given on Rocket.Chat with or without something behind it, is
    /// about the room that it is given in.
    pub fn are_of_a_room(self, has_arguments: bool) -> bool {
        match self {
            Self::Inviting
            | Self::Removing
            | Self::Banning
            | Self::Proposing
            | Self::RoomRights => true,
            // A room may be named.
            Self::Ending => !has_arguments,
            Self::Nothing
            | Self::WritingDirectly
            | Self::BeingAtHome
            | Self::Deciding
            | Self::Admin => false,
        }
    }

    /// For whom a command is, as `help` says it; nothing when it is for everybody.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::WritingDirectly => "For whoever may begin direct messages on Rocket.Chat.",
            Self::BeingAtHome => {
                "For people on Rocket.Chat and those of the bridge's own homeserver."
            }
            Self::Inviting => {
                "In a mirrored room, for whoever may add people to it on the other side."
            }
            Self::Removing | Self::Banning => {
                "In a mirrored room, for whoever may do that on both sides."
            }
            Self::Proposing => {
                "In a room that you administer; in a room of our own, for administrators of the bridge."
            }
            Self::Deciding => "For whoever administers the room in which the notice was.",
            Self::Ending => {
                "For administrators of the bridge, and for whoever may change the rights in the room on Matrix and owns the channel on Rocket.Chat; where two rooms were joined, for whoever administers one of them."
            }
            Self::RoomRights => {
                "For administrators of the bridge, and for whoever may change the rights in the room on Matrix and owns the channel on Rocket.Chat."
            }
            Self::Admin => "For administrators of the bridge.",
        }
    }
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
