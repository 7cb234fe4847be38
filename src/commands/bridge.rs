//! `bridge <channel>`: mirrors a channel into a new room.

use std::sync::Arc;

use super::Usage;
use crate::bridge::{Bridge, Caller, Failure};

pub(super) const USAGE: Usage = Usage {
    words: "bridge <channel>",
    what: "mirrors a Rocket.Chat channel into a new room and invites you there",
    for_everybody: false,
};

pub(super) async fn run(
    bridge: &Arc<Bridge>,
    caller: &Caller,
    arguments: &str,
) -> Result<String, Failure> {
    let name = arguments.trim_start_matches('#');
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Failure::Refused(
            "Which channel? For example: `bridge general`".into(),
        ));
    }
    let portal = bridge.open_channel(name, Some(&caller.user)).await?;
    Ok(format!(
        "#{} is mirrored in {}; you are invited there.",
        portal.name, portal.room_id
    ))
}
