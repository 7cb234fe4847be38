//! `help`: what there is for whoever asks, where they ask.

use std::fmt::Write as _;
use std::sync::Arc;

use ruma::UserId;

use super::table::{self, Audit, COMMANDS, Command, Needs, Usage};
use super::{may_give, not_here, unknown_command};
use crate::bridge::{Abilities, Bridge, Context, Door, Failure, Who};

pub(super) const HELP: Command = Command {
    name: "help",
    on_matrix: Some(USAGE),
    on_rocketchat: Some(USAGE),
    needs: Needs::Nothing,
    audit: Audit::Nothing,
    private: false,
    run: |bridge, context, arguments| Box::pin(help(bridge, context, arguments)),
};

const USAGE: Usage = Usage {
    arguments: "[command]",
    what: "shows what you may ask of me here, or how a command is used",
    example: "help dm",
};

async fn help(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    if let Some(name) = arguments.split_whitespace().next() {
        return of_command(bridge, context, &name.to_lowercase());
    }
    let can = bridge.abilities(context).await?;
    Ok(text(bridge, context, &can))
}

/// What the bot says to whoever invites it.
pub(super) fn greeting(bridge: &Bridge, inviter: &UserId) -> String {
    let context = Context {
        who: Who::Matrix(inviter.to_owned()),
        door: Door::Matrix,
        room: None,
        rid: None,
        id: String::new(),
        event: None,
        prefix: "",
        unplaced: Vec::new(),
    };
    // Which rooms they administer is not asked before anybody wants to know.
    let administers_bridge = bridge.is_admin(&context);
    let can = Abilities {
        is_between_us: true,
        administers_bridge,
        is_at_home: bridge.is_at_home(&context),
        writes_directly: true,
        may_propose: administers_bridge,
        ends: administers_bridge,
        ..Abilities::default()
    };
    text(bridge, &context, &can)
}

/// What whoever asks may do here.
fn text(bridge: &Bridge, context: &Context, can: &Abilities) -> String {
    let is_on_matrix = context.matrix_user().is_some();
    let other = if is_on_matrix {
        "Rocket.Chat"
    } else {
        "Matrix"
    };
    let mut text = format!("I am the bridge to {other}. ");
    text.push_str(&match (context.prefix, context.door) {
        ("", Door::Matrix) => {
            "Here I take commands; in rooms that we share with others put `!rc` before them."
                .to_owned()
        }
        ("", _) => {
            "Here I take commands; elsewhere put `!matrix` before them: `!matrix help`.".to_owned()
        }
        (prefix, Door::Matrix) => {
            format!("In this room put `{prefix}` before a command: `{prefix} help`.")
        }
        (prefix, _) => format!("Put `{prefix}` before a command: `{prefix} help`."),
    });
    for command in COMMANDS {
        let is_for_them = may_give(bridge, context, command)
            && (command.needs.are_met(can) || is_ruled_theirs(bridge, context, command))
            && (can.is_between_us || !command.private);
        if let Some(usage) = command.usage(&context.who).filter(|_| is_for_them) {
            let words = usage.words(command.name);
            // A notice on Matrix is plain text.
            let sign = if is_on_matrix { "" } else { "`" };
            let _ = write!(text, "\n{sign}{words}{sign} — {}", usage.what);
        }
    }
    let _ = write!(
        text,
        "\n`{}` shows how a command is used.",
        context.written("help <command>")
    );
    text.push_str(if is_on_matrix {
        "\nTo write to somebody on Rocket.Chat, start a direct message with their user here."
    } else {
        "\nTo write to somebody on Matrix whose user is here already, write to that user."
    });
    text
}

fn of_command(bridge: &Bridge, context: &Context, name: &str) -> Result<String, Failure> {
    let command =
        table::named(name).ok_or_else(|| Failure::Refused(unknown_command(name, context)))?;
    let usage = command
        .usage(&context.who)
        .ok_or_else(|| Failure::Refused(not_here(command, bridge, context)))?;
    let mut text = format!(
        "`{}` — {}.\nFor example: `{}`",
        context.written(&usage.words(name)),
        usage.what,
        context.written(usage.example),
    );
    if !command.needs.in_words().is_empty() {
        text.push('\n');
        text.push_str(command.needs.in_words());
    }
    if command.private {
        text.push_str("\nWhere others would read the answer it is not given.");
    }
    Ok(text)
}

/// Whether a rule of the configuration gives somebody a command that is for administrators
/// otherwise. What a room takes no rule gives.
fn is_ruled_theirs(bridge: &Bridge, context: &Context, command: &Command) -> bool {
    matches!(
        command.needs,
        Needs::Admin | Needs::BeingAtHome | Needs::Proposing
    ) && bridge.rule_for(context, command.name) == Some(true)
}
