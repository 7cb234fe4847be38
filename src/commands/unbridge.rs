//! `unbridge [channel]`: ends that a channel is mirrored.

use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};

pub(super) const UNBRIDGE: Command = Command {
    name: "unbridge",
    on_matrix: Some(USAGE),
    on_rocketchat: Some(USAGE),
    needs: Needs::Ending,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(run(bridge, context, arguments)),
};

const USAGE: Usage = Usage {
    arguments: "[channel | !room:server]",
    what: "ends that a channel is mirrored: that of this room, or the one named; of several rooms the one with that id; takes back everything the bridge did there",
    example: "unbridge",
};

async fn run(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    let name = arguments.trim_start_matches('#');
    if name.contains(char::is_whitespace) {
        return Err(Failure::Refused(format!(
            "Which channel? For example: `{}`",
            context.written("unbridge general")
        )));
    }
    let portal = bridge
        .unbridge(context, (!name.is_empty()).then_some(name))
        .await?;
    if portal.plumbed {
        return Ok(format!(
            "{} and {} are no longer joined. What was written before this arrives; then the bridge takes out what it has put into both rooms, and leaves everything else as it is.",
            portal.room_id, portal.name
        ));
    }
    let others = bridge.store().portals_of(&portal.rid)?;
    let mut answer = match others.iter().any(|other| other.id != portal.id) {
        true => format!(
            "{} is no longer mirrored in {}. What was written before this arrives; then the bridge takes its people and itself out of that room. Other rooms on Matrix stay connected with {}.",
            portal.name, portal.room_id, portal.name
        ),
        false => format!(
            "{} is no longer mirrored. What was written before this arrives; then the bridge takes its people and itself out of both rooms.",
            portal.name
        ),
    };
    if bridge.is_configured(&portal.name) {
        answer.push_str(
            " It is named in `bridge.channels` of the configuration: take it out there as well. Until somebody asks for it with `bridge`, it does not come back.",
        );
    }
    Ok(answer)
}
