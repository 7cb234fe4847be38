//! `bridge`: mirrors a channel into a new room, or proposes to join this room with one
//! that exists on the other side.

use std::sync::Arc;

use super::join::target_in;
use super::plumbing::{Words, person};
use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure};

pub(super) const BRIDGE: Command = Command {
    name: "bridge",
    on_matrix: Some(Usage {
        arguments: "<channel> [--dry-run] [--history]",
        what: "proposes to join this room with a channel on Rocket.Chat, whose owners decide; for administrators of the bridge in a room of our own: mirrors the channel into a new room",
        example: "bridge general",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<#room:server> [--dry-run] [--history]",
        what: "proposes to join this room with one on Matrix, whose administrators decide",
        example: "bridge #room:example.org",
    }),
    needs: Needs::Proposing,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(run(bridge, context, arguments)),
};

const NOT_ADMIN: &str = "Only administrators of the bridge have a channel mirrored into a new room (`bridge.admins` in its configuration). A room that you administer can be joined with a channel: invite me there and give this command in it.";

async fn run(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    let words = Words::of(arguments)?;
    let wishes = words.wishes(context, "bridge");
    if context.rocket_user().is_some() {
        let Some(rid) = &context.rid else {
            return Err(Failure::Refused(format!(
                "Which of your rooms? Give this command in the channel or group that is to be \
                 joined: `{}`",
                context.written("bridge #room:example.org")
            )));
        };
        let (target, via) = target_in(&words.words.join(" "))?;
        let by = person(context)?;
        return bridge
            .propose_from_rocketchat(by, rid, &target, &via, &wishes)
            .await;
    }
    let name = match words.words.as_slice() {
        [name] => name.trim_start_matches('#'),
        _ => "",
    };
    if name.is_empty() {
        return Err(Failure::Refused(format!(
            "Which channel? For example: `{}`",
            context.written("bridge general")
        )));
    }
    if let (Some(user), Some(room)) = (context.matrix_user(), &context.room)
        && bridge.store().portal_of_room(room)?.is_none()
        && (!context.prefix.is_empty() || !bridge.is_between_us(context).await?)
    {
        return bridge.propose_from_matrix(user, room, name, &wishes).await;
    }
    // A rule of the configuration may allow it to others.
    if !bridge.is_admin(context) && bridge.rule_for(context, "bridge") != Some(true) {
        return Err(Failure::Refused(NOT_ADMIN.into()));
    }
    if wishes.dry_run || wishes.history {
        return Err(Failure::Refused(
            "That is for rooms that exist: give this command in the one that is to be joined."
                .into(),
        ));
    }
    if !bridge.may_know_of(context, name).await? {
        return Err(Failure::Refused(format!(
            "There is no channel named {name} on Rocket.Chat that you may see."
        )));
    }
    let portal = bridge.open_channel(name, context.matrix_user()).await?;
    Ok(format!(
        "#{} is mirrored in {}; you are invited there.",
        portal.name, portal.room_id
    ))
}
