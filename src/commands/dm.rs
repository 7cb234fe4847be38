//! `dm <username> [more…]`: a direct message with people of Rocket.Chat.

use std::sync::Arc;

use super::Usage;
use crate::bridge::{Bridge, Caller, Failure};

pub(super) const USAGE: Usage = Usage {
    words: "dm <username> [more…]",
    what: "opens a direct message with somebody on Rocket.Chat, or with several, and invites you there",
    for_everybody: true,
};

pub(super) async fn run(
    bridge: &Arc<Bridge>,
    caller: &Caller,
    arguments: &str,
) -> Result<String, Failure> {
    let usernames: Vec<&str> = arguments.split_whitespace().collect();
    if usernames.is_empty() {
        return Err(Failure::Refused(
            "With whom? Give their user name on Rocket.Chat, for example: `dm carol`".into(),
        ));
    }
    let portal = bridge.open_direct_with(&caller.user, &usernames).await?;
    Ok(format!(
        "Your direct message with {} is https://matrix.to/#/{}; you are invited there if you are not in it.",
        portal.name, portal.room_id
    ))
}
