//! `help`: what there is for whoever asks, where they ask.

use std::fmt::Write as _;
use std::sync::Arc;

use ruma::UserId;

use super::table::{self, Audit, COMMANDS, Command, Needs, Usage};
use super::{may_give, not_here, unknown_command};
use crate::bridge::{Bridge, Context, Door, Failure, Who};

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
    let here = bridge.portals_here(context)?;
    let is_in_room = here.iter().any(|portal| !portal.kind.is_direct());
    let has_room_rights = match here.first() {
        Some(portal) => {
            bridge.is_admin(context) || bridge.may_change_on_both(context, portal).await?
        }
        None => bridge.is_admin(context),
    };
    Ok(text(bridge, context, is_in_room, has_room_rights))
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
    };
    text(bridge, &context, false, bridge.is_admin(&context))
}

/// What whoever asks may do here.
fn text(bridge: &Bridge, context: &Context, is_in_room: bool, has_room_rights: bool) -> String {
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
        let is_for_them = match command.needs {
            Needs::MirroredRoom => is_in_room && may_give(bridge, context, command),
            Needs::RoomRights => has_room_rights && may_give(bridge, context, command),
            _ => may_give(bridge, context, command),
        };
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
    let for_whom = match command.needs {
        Needs::Nothing | Needs::MirroredRoom => "",
        Needs::RoomRights => {
            "\nFor administrators of the bridge, and for whoever may change the rights in the room on Matrix and owns the channel on Rocket.Chat."
        }
        Needs::Admin => "\nFor administrators of the bridge.",
    };
    Ok(format!(
        "`{}` — {}.\nFor example: `{}`{for_whom}",
        context.written(&usage.words(name)),
        usage.what,
        context.written(usage.example),
    ))
}
