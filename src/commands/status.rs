//! `status`: what is mirrored with what, and how it goes.

use std::fmt::Write as _;
use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};

pub(super) const STATUS: Command = Command {
    name: "status",
    on_matrix: Some(USAGE),
    on_rocketchat: Some(USAGE),
    needs: Needs::Nothing,
    audit: Audit::Nothing,
    private: false,
    run: |bridge, context, _| Box::pin(status(bridge, context)),
};

const USAGE: Usage = Usage {
    arguments: "",
    what: "shows what this room is mirrored with, and how it goes",
    example: "status",
};

/// So many of the latest entries of the audit are shown.
const AUDIT_SHOWN: usize = 5;

async fn status(bridge: &Arc<Bridge>, context: &Context) -> Result<String, Failure> {
    let mut text = String::new();
    let here = bridge.portals_here(context)?;
    for portal in &here {
        let state = bridge.state_of_portal(portal)?;
        let _ = writeln!(text, "{}", state.in_words(context.rocket_user().is_some()));
    }
    if here.is_empty() && (context.room.is_some() || context.rid.is_some()) {
        text.push_str("This room is not mirrored.\n");
    }
    let whole = bridge.state_of_bridge();
    let there = |there: bool| {
        if there {
            "can be reached"
        } else {
            "cannot be reached: what is for it waits"
        }
    };
    let _ = write!(
        text,
        "The homeserver {}. Rocket.Chat {}.",
        there(whole.matrix),
        there(whole.rocketchat)
    );
    if !bridge.is_admin(context) || !bridge.is_between_us(context).await? {
        return Ok(text);
    }
    let _ = write!(
        text,
        "\n{} channels and groups and {} direct messages are mirrored; {} Matrix events wait; {} messages were given up; {} rooms elsewhere are to be entered.\nRocket.Chat {}.",
        whole.rooms, whole.directs, whole.waiting, whole.given_up, whole.joins, whole.version
    );
    for (_, entry) in bridge.store().audit(false).take(AUDIT_SHOWN) {
        let _ = write!(
            text,
            "\n{}: {} {} ({:?}), by {}",
            crate::clock::shown(entry.at),
            entry.command,
            entry.words,
            entry.outcome,
            entry.who
        );
    }
    Ok(text)
}
