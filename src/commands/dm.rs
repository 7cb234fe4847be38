//! `dm <username> [more…]`: a direct message with people of Rocket.Chat; from there
//! `dm <@user:server> [more…]`, with people of Matrix.

use std::sync::Arc;

use ruma::{OwnedUserId, UserId};

use super::people::{named, user_in};
use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure, Named, Who};
use crate::rocketchat::RocketUserId;

pub(super) const DM: Command = Command {
    name: "dm",
    on_matrix: Some(Usage {
        arguments: "<username> [more…]",
        what: "opens a direct message with somebody on Rocket.Chat, or with several, and invites you there",
        example: "dm carol",
    }),
    on_rocketchat: Some(Usage {
        arguments: "<@user:server> [more…]",
        what: "opens a direct message with somebody on Matrix, or with several, and invites them",
        example: "dm @alice:example.org",
    }),
    needs: Needs::WritingDirectly,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, arguments| Box::pin(dm(bridge, context, arguments)),
};

async fn dm(bridge: &Arc<Bridge>, context: &Context, arguments: &str) -> Result<String, Failure> {
    match &context.who {
        Who::Matrix(user) => with_people_of_rocketchat(bridge, context, user, arguments).await,
        Who::RocketChat { id, .. } => with_people_of_matrix(bridge, id, arguments).await,
        Who::Api(_) => Err(Failure::Refused("A program has no direct messages.".into())),
    }
}

async fn with_people_of_rocketchat(
    bridge: &Arc<Bridge>,
    context: &Context,
    user: &UserId,
    arguments: &str,
) -> Result<String, Failure> {
    let words = people_in(arguments);
    if words.is_empty() {
        return Err(Failure::Refused(format!(
            "With whom? Give their user name on Rocket.Chat, for example: `{}`",
            context.written("dm carol")
        )));
    }
    let mut usernames = Vec::new();
    for word in words {
        usernames.push(username_of(bridge, context, word).await?);
    }
    let usernames: Vec<&str> = usernames.iter().map(String::as_str).collect();
    let portal = bridge.open_direct_with(user, &usernames).await?;
    Ok(format!(
        "Your direct message with {} is https://matrix.to/#/{}; you are invited there if you are not in it.",
        portal.name, portal.room_id
    ))
}

/// The words by which people are named.
pub(super) fn people_in(arguments: &str) -> Vec<&str> {
    let names = arguments.split(|c: char| c.is_whitespace() || c == ',');
    names.filter(|name| !name.is_empty()).collect()
}

/// The user name on Rocket.Chat of somebody who is named by it, or by who they are on
/// Matrix.
async fn username_of(bridge: &Bridge, context: &Context, word: &str) -> Result<String, Failure> {
    match named(word) {
        Some(Named::OnRocketChat(name)) => {
            context.must_be_sure_of(&name)?;
            Ok(name)
        }
        Some(user) => match bridge.whom(user).await? {
            Named::OnRocketChat(name) => Ok(name),
            Named::OnMatrix(user) => Err(Failure::Refused(format!(
                "`{user}` is not somebody of Rocket.Chat: write to them with your own client."
            ))),
        },
        None => Err(Failure::Refused(format!(
            "{word} is no user name on Rocket.Chat. That is what stands after the @ there."
        ))),
    }
}

async fn with_people_of_matrix(
    bridge: &Arc<Bridge>,
    caller: &RocketUserId,
    arguments: &str,
) -> Result<String, Failure> {
    let users = users_in(arguments)?;
    let opened = bridge.open_direct_from(caller, &users).await?;
    let names: Vec<_> = users.iter().map(|user| format!("`{user}`")).collect();
    let mut answer = format!(
        "Your direct message with {} is {}",
        names.join(", "),
        opened.link
    );
    if opened.uninvited.is_empty() {
        answer.push_str("\nWho is not in it yet is invited.");
    }
    for (user, why) in &opened.uninvited {
        answer.push_str(&format!("\n`{user}` could not be invited: {why}"));
    }
    Ok(answer)
}

/// The people of Matrix who are named, each once.
pub(super) fn users_in(arguments: &str) -> Result<Vec<OwnedUserId>, Failure> {
    let mut users = Vec::new();
    let words = arguments.split(|c: char| c.is_whitespace() || c == ',');
    for word in words.filter(|word| !word.is_empty()) {
        let user = user_in(word).ok_or_else(|| {
            Failure::Refused(format!(
                "`{word}` is no full Matrix id. That is a name and a server: `@alice:example.org`"
            ))
        })?;
        if !users.contains(&user) {
            users.push(user);
        }
    }
    if users.is_empty() {
        return Err(Failure::Refused(
            "With whom? Give their full Matrix id, for example: `dm @alice:example.org`".into(),
        ));
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::users_in;

    #[test]
    fn people_of_matrix_are_named_in_many_ways() {
        let named = |words: &str| {
            let users = users_in(words).unwrap();
            users.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(named("@a:b.org"), ["@a:b.org"]);
        assert_eq!(
            named("@a:b.org, <@c:127.0.0.1:8448> `@\u{200b}a:b.org`"),
            ["@a:b.org", "@c:127.0.0.1:8448"]
        );
        assert_eq!(
            named("https://matrix.to/#/@a:b.org matrix:u/c:d.org"),
            ["@a:b.org", "@c:d.org"]
        );
        for words in [
            "",
            "alice",
            "@alice",
            "#r:b.org",
            "https://matrix.to/#/#r:b.org",
        ] {
            assert!(users_in(words).is_err(), "{words}");
        }
    }
}
