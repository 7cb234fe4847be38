//! `search <text>`: people and rooms of the other side.

use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};

pub(super) const SEARCH: Command = Command {
    name: "search",
    on_matrix: Some(Usage {
        arguments: "<text>",
        what: "finds people and public channels on Rocket.Chat by name",
        example: "search carol",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<text>",
        what: "finds people and public rooms on Matrix by name",
        example: "search alice",
    }),
    needs: Needs::BeingAtHome,
    audit: Audit::Nothing,
    private: false,
    run: |bridge, context, arguments| Box::pin(search(bridge, context, arguments)),
};

/// Longer texts are no names, in characters.
const LONGEST: usize = 100;

async fn search(bridge: &Arc<Bridge>, context: &Context, text: &str) -> Result<String, Failure> {
    if text.is_empty() || text.chars().count() > LONGEST {
        return Err(Failure::Refused(format!(
            "For whom or what? For example: `{}`",
            context.written("search carol")
        )));
    }
    // Who is on this server is not for the whole federation.
    if !bridge.is_at_home(context) && bridge.rule_for(context, "search") != Some(true) {
        return Err(Failure::Refused(format!(
            "Only people of {0} may search: who is there is not for other homeservers. Somebody there can tell you the user name, and `{1}` writes to them.",
            bridge.config().homeserver.server_name,
            context.written("dm carol"),
        )));
    }
    let found = match context.rocket_user() {
        Some(caller) => bridge.search_matrix(caller, text).await?,
        None => bridge.search_rocketchat(text).await?,
    };
    if found.is_empty() {
        return Ok("Nobody and nothing of that name that everybody may see.".to_owned());
    }
    let mut lines = found;
    lines.push(match context.rocket_user() {
        Some(_) => format!(
            "`{}` begins a direct message, `{}` in a room invites.",
            context.written("dm <@user:server>"),
            context.written("invite <@user:server>")
        ),
        None => format!(
            "Start a direct message with one of these users, or write `{}`; join a room by its alias.",
            context.written("dm <username>")
        ),
    });
    Ok(lines.join("\n"))
}
