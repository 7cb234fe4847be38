//! What people may ask of the bridge: one table of commands ([`table`]), one file for
//! what belongs together. The doors on both sides are the bridge's
//! ([`crate::bridge::CommandLine`]); what comes through them is carried out here.

mod bridge;
mod dm;
#[cfg(test)]
mod examples;
mod help;
mod join;
mod list;
mod login;
mod moderation;
mod people;
mod plumbing;
mod relay;
mod resend;
mod search;
mod status;
mod table;
mod unbridge;
mod whoami;

use std::sync::Arc;

use ruma::UserId;

use crate::bridge::{Bridge, CommandLine, Context, Failure, Given, Reply};
use crate::config::Config;
use table::{Audit, COMMANDS, Command, Needs};

/// All commands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Commands;

/// The names of all commands, in the order in which `help` shows them.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

/// What the rules of the configuration name that is no command: it would rule nothing.
pub fn unknown_in_rules(config: &Config) -> Option<String> {
    let mut named = config.commands.rules.iter().flat_map(|rule| rule.names());
    let unknown = named.find(|name| *name != "*" && table::named(name).is_none())?;
    let known: Vec<_> = names().collect();
    Some(format!(
        "commands.rules: there is no command {unknown:?}; the commands are {}",
        known.join(", ")
    ))
}

impl CommandLine for Commands {
    fn greeting(&self, bridge: &Bridge, inviter: &UserId) -> String {
        help::greeting(bridge, inviter)
    }

    fn given_by(&self, words: &str) -> Option<Given> {
        let mut words = words.split_whitespace();
        let name = words.next().unwrap_or(help::HELP.name);
        let command = table::named(&name.to_lowercase())?;
        Some(Given {
            name: command.name,
            changes: command.audit == Audit::Words,
            is_about_room: command.needs.are_of_a_room(words.next().is_some()),
        })
    }

    fn run<'a>(
        &'a self,
        bridge: &'a Arc<Bridge>,
        context: &'a Context,
        words: &'a str,
    ) -> Reply<'a> {
        Box::pin(run(bridge, context, words))
    }
}

async fn run(bridge: &Arc<Bridge>, context: &Context, words: &str) -> Result<String, Failure> {
    let (name, arguments) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let name = match name.to_lowercase() {
        name if name.is_empty() => help::HELP.name.to_owned(),
        name => name,
    };
    let Some(command) = table::named(&name) else {
        return Err(Failure::Refused(unknown_command(&name, context)));
    };
    if command.usage(&context.who).is_none() {
        return Err(Failure::Refused(not_here(command, bridge, context)));
    }
    if !may_give(bridge, context, command) {
        let why = match command.needs {
            Needs::Admin => NOT_ADMIN,
            _ => NOT_ALLOWED,
        };
        return Err(Failure::Refused(why.to_owned()));
    }
    let arguments = arguments.trim();
    let outcome = match command.private && !bridge.is_between_us(context).await? {
        true => Err(Failure::Refused(format!(
            "What I answer to `{}` is for you alone: ask me in a room of our own.",
            command.name
        ))),
        false => (command.run)(bridge, context, arguments).await,
    };
    match command.audit {
        Audit::Nothing => {}
        Audit::NotWords => bridge.audit(context, command.name, "", &outcome),
        Audit::Words => bridge.audit(context, command.name, arguments, &outcome),
    }
    match outcome {
        // What a server refuses is an answer as well: nothing is tried again.
        Err(failure) if failure.is_permanent() => Err(Failure::Refused(failure.person_text())),
        outcome => outcome,
    }
}

const NOT_ADMIN: &str = "Only administrators may give this command: on Matrix those of the bridge (`bridge.admins` in its configuration), on Rocket.Chat those of the server. Ask one of them.";

const NOT_ALLOWED: &str = "You may not give this command here: whoever runs the bridge has ruled so (`commands.rules` in its configuration), and can let you.";

/// Whether whoever asks may give a command at all. What they may do by it is for the
/// command to find out.
fn may_give(bridge: &Bridge, context: &Context, command: &Command) -> bool {
    let by_rule = bridge.rule_for(context, command.name);
    by_rule.unwrap_or(command.needs != Needs::Admin || bridge.is_admin(context))
}

/// What to tell who asks for a command that is for the other side alone.
fn not_here(command: &Command, bridge: &Bridge, context: &Context) -> String {
    let name = command.name;
    match context.rocket_user() {
        Some(_) => format!(
            "`{name}` is a command for people on Matrix: they write it to `{}`.",
            bridge.config().appservice.bot
        ),
        None => format!("`{name}` is a command for people on Rocket.Chat."),
    }
}

fn unknown_command(name: &str, context: &Context) -> String {
    let nearest = COMMANDS
        .iter()
        .filter(|command| command.usage(&context.who).is_some())
        .map(|command| {
            (
                strsim::damerau_levenshtein(name, command.name),
                command.name,
            )
        })
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2);
    match nearest {
        Some((_, known)) => format!(
            "There is no such command; did you mean `{}`?",
            context.written(known)
        ),
        None => format!(
            "There is no such command; `{}` shows what there is.",
            context.written("help")
        ),
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::unknown_command;
    use crate::bridge::{Context, Door, Who};
    use crate::rocketchat::RocketUserId;

    #[test]
    fn a_mistyped_command_suggests_the_nearest() {
        let context = |who, prefix| Context {
            who,
            door: Door::Matrix,
            room: None,
            rid: None,
            id: String::new(),
            event: None,
            prefix,
            unplaced: Vec::new(),
        };
        let alone = context(Who::Matrix(user_id!("@a:b.org").to_owned()), "");
        assert!(unknown_command("brigde", &alone).contains("`bridge`"));
        assert!(unknown_command("xylophone", &alone).contains("`help`"));
        let shared = context(Who::Matrix(user_id!("@a:b.org").to_owned()), "!rc");
        assert!(unknown_command("lst", &shared).contains("`!rc list`"));
        let who = Who::RocketChat {
            id: RocketUserId::new("u"),
            username: "u".into(),
            roles: Vec::new(),
        };
        let there = unknown_command("dn", &context(who, "!matrix"));
        assert!(there.contains("`!matrix dm`"), "{there}");
    }
}
