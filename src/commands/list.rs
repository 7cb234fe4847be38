//! `list`: what is mirrored.

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::Bridge;
use crate::store::PortalKind;

pub(super) const LIST: Command = Command {
    name: "list",
    on_matrix: Some(Usage {
        arguments: "",
        what: "shows which channels are mirrored, and what waits or was given up",
        example: "list",
    }),
    on_rocketchat: None,
    needs: Needs::Admin,
    audit: Audit::Nothing,
    private: true,
    run: |bridge, _, _| Box::pin(async { Ok(text(bridge)) }),
};

fn text(bridge: &Bridge) -> String {
    let store = bridge.store();
    let portals = store.portals();
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
    if lines.is_empty() {
        lines.push("No channel is mirrored yet; `bridge <channel>` begins with one.".into());
    }
    lines.push(format!(
        "{} direct messages; {} Matrix events wait; {} messages were given up.",
        direct.len(),
        store.inbox_len(),
        store.dead_letters().len()
    ));
    lines.join("\n")
}
