//! `list`: what is mirrored.

use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};
use crate::store::PortalKind;

pub(super) const LIST: Command = Command {
    name: "list",
    on_matrix: Some(USAGE),
    on_rocketchat: Some(USAGE),
    needs: Needs::Nothing,
    audit: Audit::Nothing,
    private: true,
    run: |bridge, context, _| Box::pin(async { list(bridge, context) }),
};

const USAGE: Usage = Usage {
    arguments: "",
    what: "shows which rooms are mirrored: those that you are in, and to administrators all",
    example: "list",
};

/// So many are shown; the rest is counted.
const MOST_SHOWN: usize = 200;

fn list(bridge: &Arc<Bridge>, context: &Context) -> Result<String, Failure> {
    let store = bridge.store();
    let portals = bridge.portals_known_to(context)?;
    let (direct, named): (Vec<_>, Vec<_>) =
        portals.iter().partition(|portal| portal.kind.is_direct());
    let mut lines: Vec<String> = named
        .iter()
        .map(|portal| {
            let sign = match portal.kind {
                PortalKind::Channel => "#",
                _ => "private ",
            };
            format!("{sign}{} — {}", portal.name, portal.room_id)
        })
        .collect();
    lines.sort();
    let more = lines.len().saturating_sub(MOST_SHOWN);
    lines.truncate(MOST_SHOWN);
    if more > 0 {
        lines.push(format!("… and {more} more."));
    }
    let is_admin = bridge.is_admin(context);
    if lines.is_empty() {
        lines.push(match is_admin {
            true => "No channel is mirrored yet; `bridge <channel>` begins with one.".into(),
            false => "You are in no mirrored channel or group.".to_owned(),
        });
    }
    lines.push(match is_admin {
        true => format!(
            "{} direct messages; {} Matrix events wait; {} messages were given up.",
            direct.len(),
            store.inbox_len(),
            store.dead_letters().len()
        ),
        false => format!("{} direct messages.", direct.len()),
    });
    Ok(lines.join("\n"))
}
