//! `relay [on|off|default|status]`: who speaks on Rocket.Chat through the bridge's account.

use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};

pub(super) const RELAY: Command = Command {
    name: "relay",
    on_matrix: Some(USAGE),
    on_rocketchat: Some(USAGE),
    needs: Needs::RoomRights,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(run(bridge, context, arguments)),
};

const USAGE: Usage = Usage {
    arguments: "[on|off|default|status]",
    what: "who of this Matrix room speaks on Rocket.Chat through the bridge's account, under their own name: everybody (`on`), nobody (`off`), or as the bridge is configured (`default`)",
    example: "relay on",
};

/// What the words behind `relay` ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// How it is.
    Status,
    /// That it is so from now on; none: as the bridge is configured.
    Set(Option<bool>),
}

/// What they ask for; none when they mean nothing.
pub(super) fn asked_in(words: &str) -> Option<Asked> {
    Some(match words.to_lowercase().as_str() {
        "" | "status" => Asked::Status,
        "on" => Asked::Set(Some(true)),
        "off" => Asked::Set(Some(false)),
        "default" => Asked::Set(None),
        _ => return None,
    })
}

async fn run(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    let asked = asked_in(arguments).ok_or_else(|| {
        Failure::Refused(format!(
            "`{}`, `off`, `default` or `status`?",
            context.written("relay on")
        ))
    })?;
    let portals = bridge.portals_here(context)?;
    if portals.is_empty() {
        return Err(Failure::Refused(
            "This room is not connected with the other side: give the command in one that is."
                .into(),
        ));
    }
    // Before anything is changed: all or nothing.
    if let Asked::Set(_) = asked {
        for portal in &portals {
            bridge.must_be_for_them(context, portal).await?;
        }
    }
    let mut answers = Vec::new();
    for portal in &portals {
        if let Asked::Set(set) = asked {
            bridge.set_relay(portal, set)?;
        }
        let status = bridge.relay_status(portal)?.in_words();
        if !answers.contains(&status) {
            answers.push(status);
        }
    }
    Ok(answers.join(" "))
}
