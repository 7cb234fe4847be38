//! `help`: what there is for whoever asks, where they ask.

use super::{ON_ROCKETCHAT, USAGES, Usage};
use crate::bridge::Bridge;

pub(super) const USAGE: Usage = Usage {
    words: "help",
    what: "shows this",
    for_everybody: true,
};

/// What the caller may do. In a shared room commands need their prefix.
pub(super) fn text(is_admin: bool, is_shared: bool) -> String {
    let mut text = String::from("I am the bridge to Rocket.Chat. ");
    text.push_str(if is_shared {
        "In this room put `!rc` before a command: `!rc help`."
    } else {
        "Here I take commands; in rooms that we share with others put `!rc` before them."
    });
    for usage in &USAGES {
        if is_admin || usage.for_everybody {
            text.push_str(&format!("\n{} — {}", usage.words, usage.what));
        }
    }
    text.push_str(
        "\nTo write to somebody on Rocket.Chat, start a direct message with their user here.",
    );
    text
}

/// What people of Rocket.Chat may do.
pub(super) fn text_on_rocketchat(bridge: &Bridge) -> String {
    let mut text = String::from(
        "I am the bridge to Matrix. Here I take commands; elsewhere put `!matrix` before them: \
         `!matrix help`.",
    );
    for usage in &ON_ROCKETCHAT {
        text.push_str(&format!("\n`{}` — {}", usage.words, usage.what));
    }
    text.push_str(&format!(
        "\nOther commands are for people on Matrix, who write them to `{}`.",
        bridge.config().appservice.bot
    ));
    text
}
