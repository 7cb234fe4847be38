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

async fn run(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    let set = match arguments.to_lowercase().as_str() {
        "" | "status" => None,
        "on" => Some(Some(true)),
        "off" => Some(Some(false)),
        "default" => Some(None),
        _ => {
            return Err(Failure::Refused(format!(
                "`{}`, `off`, `default` or `status`?",
                context.written("relay on")
            )));
        }
    };
    let portals = bridge.portals_here(context)?;
    if portals.is_empty() {
        return Err(Failure::Refused(
            "This room is not connected with the other side: give the command in one that is."
                .into(),
        ));
    }
    // Before anything is changed: all or nothing.
    if set.is_some() {
        for portal in &portals {
            bridge.must_be_for_them(context, portal).await?;
        }
    }
    let mut answers = Vec::new();
    for portal in &portals {
        if let Some(set) = set {
            bridge.set_relay(portal, set)?;
        }
        let status = bridge.relay_status(portal)?.in_words();
        if !answers.contains(&status) {
            answers.push(status);
        }
    }
    Ok(answers.join(" "))
}
