//! `unbridge [channel]`: ends that a channel is mirrored.

use std::sync::Arc;

use super::Usage;
use crate::bridge::{Bridge, Caller, Failure};

pub(super) const USAGE: Usage = Usage {
    words: "unbridge [channel]",
    what: "ends that a channel is mirrored: that of this room, or the one named; takes back everything the bridge did there",
    for_everybody: true,
};

pub(super) async fn run(
    bridge: &Arc<Bridge>,
    caller: &Caller,
    arguments: &str,
) -> Result<String, Failure> {
    let name = arguments.trim_start_matches('#');
    if name.contains(char::is_whitespace) {
        return Err(Failure::Refused(
            "Which channel? For example: `unbridge general`".into(),
        ));
    }
    let portal = bridge
        .unbridge(caller, (!name.is_empty()).then_some(name))
        .await?;
    let mut answer = format!(
        "{} is no longer mirrored. What was written before this arrives; then the bridge takes its people and itself out of both rooms.",
        portal.name
    );
    if bridge.is_configured(&portal.name) {
        answer.push_str(
            " It is named in `bridge.channels` of the configuration: take it out there as well. Until somebody asks for it with `bridge`, it does not come back.",
        );
    }
    Ok(answer)
}
