//! `whoami`: who one is on the other side.

use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure, Who};

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
    match &context.who {
        Who::Matrix(user) => match bridge.store().puppet(user)? {
            Some(puppet) => {
                lines.push(format!(
                    "On Rocket.Chat you are {}.",
                    puppet.username
                ));
                if !bridge.is_account_in_use(&puppet).await? {
                    lines.push(
                        "That account is switched off: an administrator there can switch it on."
                            .to_owned(),
                    );
                }
            }
            None => lines.push(
                "On Rocket.Chat you are nobody yet: your account there is made when you write something in a mirrored room, or join one."
                    .to_owned(),
            ),
        },
        Who::RocketChat { id, .. } => lines.push(match bridge.store().ghost(id)? {
            Some(ghost) => format!("On Matrix you are `{}`.", ghost.user_id),
            None => "On Matrix you are nobody yet: your user there is made when you write something in a mirrored room.".to_owned(),
        }),
        Who::Api(name) => lines.push(format!("You are the token {name}.")),
    }
    if bridge.is_admin(context) {
        lines.push("You administer the bridge.".to_owned());
    }
    Ok(lines.join("\n"))
}
