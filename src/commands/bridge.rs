//! `bridge <channel>`: mirrors a channel into a new room.

use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};

pub(super) const BRIDGE: Command = Command {
    name: "bridge",
    on_matrix: Some(Usage {
        arguments: "<channel>",
        what: "mirrors a Rocket.Chat channel into a new room and invites you there",
        example: "bridge general",
    }),
    on_rocketchat: None,
    needs: Needs::Admin,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(run(bridge, context, arguments)),
};

async fn run(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    let name = arguments.trim_start_matches('#');
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Failure::Refused(format!(
            "Which channel? For example: `{}`",
            context.written("bridge general")
        )));
    }
    if !bridge.may_know_of(context, name).await? {
        return Err(Failure::Refused(format!(
            "There is no channel named {name} on Rocket.Chat that you may see."
        )));
    }
    let portal = bridge.open_channel(name, context.matrix_user()).await?;
    Ok(format!(
        "#{} is mirrored in {}; you are invited there.",
        portal.name, portal.room_id
    ))
}
