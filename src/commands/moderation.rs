//! `invite`, `kick`, `ban` and `unban`: who of the other side is in this room.

use std::sync::Arc;

use super::people::named;
use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure, Named, Removal};

pub(super) const INVITE: Command = Command {
    name: "invite",
    on_matrix: Some(Usage {
        arguments: "<username>",
        what: "brings somebody on Rocket.Chat into this room, if you may add people there",
        example: "invite carol",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<@user:server>",
        what: "invites somebody on Matrix into this room",
        example: "invite @alice:example.org",
    }),
    needs: Needs::Inviting,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(invite(bridge, context, arguments)),
};

pub(super) const KICK: Command = Command {
    name: "kick",
    on_matrix: Some(Usage {
        arguments: "<username> [reason]",
        what: "removes somebody on Rocket.Chat from this room, if you may on both sides",
        example: "kick carol please calm down",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<@user:server> [reason]",
        what: "removes somebody on Matrix from this room, if you may on both sides",
        example: "kick @alice:example.org please calm down",
    }),
    needs: Needs::Removing,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(remove(bridge, context, Removal::Kick, arguments)),
};

pub(super) const BAN: Command = Command {
    name: "ban",
    on_matrix: Some(Usage {
        arguments: "<username> [reason]",
        what: "removes somebody on Rocket.Chat from this room and keeps them out, if you may on both sides",
        example: "ban carol spam",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<@user:server> [reason]",
        what: "removes somebody on Matrix from this room and keeps them out, if you may on both sides",
        example: "ban @alice:example.org spam",
    }),
    needs: Needs::Banning,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(remove(bridge, context, Removal::Ban, arguments)),
};

pub(super) const UNBAN: Command = Command {
    name: "unban",
    on_matrix: Some(Usage {
        arguments: "<username>",
        what: "lets somebody on Rocket.Chat come into this room again",
        example: "unban carol",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<@user:server>",
        what: "lets somebody on Matrix come into this room again",
        example: "unban @alice:example.org",
    }),
    needs: Needs::Banning,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(remove(bridge, context, Removal::Unban, arguments)),
};

/// Whom a command names, and what stands behind that.
async fn whom<'a>(
    bridge: &Bridge,
    context: &Context,
    command: &str,
    arguments: &'a str,
) -> Result<(Named, &'a str), Failure> {
    let (word, rest) = arguments
        .split_once(char::is_whitespace)
        .unwrap_or((arguments, ""));
    let somebody = match context.rocket_user() {
        Some(_) => "@alice:example.org",
        None => "carol",
    };
    let named = named(word).ok_or_else(|| {
        Failure::Refused(format!(
            "Whom? A full Matrix id (`@alice:example.org`) or a user name on Rocket.Chat, for example: `{}`",
            context.written(&format!("{command} {somebody}"))
        ))
    })?;
    if let Named::OnRocketChat(name) = &named {
        context.must_be_sure_of(name)?;
    }
    Ok((bridge.whom(named).await?, rest.trim()))
}

async fn invite(
    bridge: &Arc<Bridge>,
    context: &Context,
    arguments: &str,
) -> Result<String, Failure> {
    let rooms = bridge.rooms_to_change(context)?;
    let (named, _) = whom(bridge, context, "invite", arguments).await?;
    match rooms.first() {
        Some(portal) => bridge.invite_by_command(context, portal, &named).await,
        None => Ok(String::new()),
    }
}

async fn remove(
    bridge: &Arc<Bridge>,
    context: &Context,
    what: Removal,
    arguments: &str,
) -> Result<String, Failure> {
    let command = match what {
        Removal::Kick => "kick",
        Removal::Ban => "ban",
        Removal::Unban => "unban",
    };
    let rooms = bridge.rooms_to_change(context)?;
    let (named, reason) = whom(bridge, context, command, arguments).await?;
    // Of several Matrix rooms on one channel they are in some: done where it can be, and
    // refused when it can be nowhere.
    let mut said = None;
    let mut why_not = None;
    for portal in &rooms {
        let outcome = bridge
            .remove_by_command(context, portal, what, &named, reason)
            .await;
        match outcome {
            Ok(answer) => said = Some(answer),
            Err(Failure::Refused(why)) => why_not = why_not.or(Some(why)),
            Err(failure) => return Err(failure),
        }
    }
    said.ok_or_else(|| Failure::Refused(why_not.unwrap_or_default()))
}
