//! `whoami`: who one is on the other side.

use std::sync::Arc;

use ruma::UserId;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure, Who};
use crate::store::Link;

pub(super) const WHOAMI: Command = Command {
    name: "whoami",
    on_matrix: Some(Usage {
        arguments: "",
        what: "shows who you are on Rocket.Chat",
        example: "whoami",
    }),
    on_rocketchat: Some(Usage {
        arguments: "",
        what: "shows who you are on Matrix",
        example: "whoami",
    }),
    needs: Needs::Nothing,
    audit: Audit::Nothing,
    private: false,
    run: |bridge, context, _| Box::pin(whoami(bridge, context)),
};

async fn whoami(bridge: &Arc<Bridge>, context: &Context) -> Result<String, Failure> {
    let mut lines = Vec::new();
    let link = match &context.who {
        Who::Matrix(user) => bridge.store().link(user)?,
        Who::RocketChat { id, .. } => bridge.store().link_of_account(id)?,
        Who::Api(_) => None,
    };
    let is_linked = link.as_ref().is_some_and(|link| link.token.is_some());
    match (&context.who, &link) {
        (Who::Matrix(_), Some(link)) if is_linked => lines.push(format!(
            "On Rocket.Chat you are yourself, as `{}` (`{}`).",
            link.username, link.rocket_id
        )),
        (Who::RocketChat { .. }, Some(link)) if is_linked => {
            lines.push(format!("On Matrix you are yourself, as `{}`.", link.matrix_id));
        }
        (Who::Matrix(user), _) => lines.extend(puppet_of(bridge, user).await?),
        (Who::RocketChat { id, .. }, _) => lines.push(match bridge.store().ghost(id)? {
            Some(ghost) => format!("On Matrix you are `{}`.", ghost.user_id),
            None => "On Matrix you are nobody yet: your user there is made when you write something in a mirrored room.".to_owned(),
        }),
        (Who::Api(name), _) => lines.push(format!("You are the token {name}.")),
    }
    if let Some(link) = link {
        lines.push(about(&link, context));
    }
    if bridge.is_admin(context) {
        lines.push("You administer the bridge.".to_owned());
    }
    Ok(lines.join("\n"))
}

/// Who somebody of Matrix is on Rocket.Chat by the account that the bridge made for them.
async fn puppet_of(bridge: &Arc<Bridge>, user: &UserId) -> Result<Vec<String>, Failure> {
    let Some(puppet) = bridge.store().puppet(user)? else {
        return Ok(vec!["On Rocket.Chat you are nobody yet: your account there is made when you write something in a mirrored room, or join one.".to_owned()]);
    };
    let mut lines = vec![format!("On Rocket.Chat you are {}.", puppet.username)];
    if !bridge.is_account_in_use(&puppet).await? {
        lines.push(
            "That account is switched off: an administrator there can switch it on.".to_owned(),
        );
    }
    Ok(lines)
}

/// What a link of two accounts means, and how it ends.
fn about(link: &Link, context: &Context) -> String {
    let end = context.written("logout");
    match &link.token {
        Some(_) => format!(
            "`{}` on Matrix and `{}` on Rocket.Chat are linked: what you write with one you say as the other. `{end}` ends that.",
            link.matrix_id, link.username
        ),
        None => format!(
            "`{}` on Matrix and `{}` on Rocket.Chat are to be linked, for which the bridge lacks a token of that account: write `login token <token>` in your room with the bridge on Matrix. `{end}` takes it back.",
            link.matrix_id, link.username
        ),
    }
}
