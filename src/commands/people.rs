//! How people are named in commands.

use ruma::matrix_uri::MatrixId;
use ruma::{OwnedUserId, UserId};

use crate::bridge::Named;
use crate::convert::to_rocketchat::matrix_link;

/// Somebody of Matrix by their id, or by a link of matrix.to or `matrix:`.
pub(super) fn user_in(word: &str) -> Option<OwnedUserId> {
    // Invisible characters come along when an id is copied out of a message.
    let word = word.replace('\u{200b}', "");
    let word = word.trim_matches(['<', '>', '`']);
    if let Ok(user) = UserId::parse(word) {
        return Some(user);
    }
    match matrix_link(word)? {
        (MatrixId::User(user), _) => Some(user),
        _ => None,
    }
}

/// Somebody of either side: what is no Matrix id is a user name on Rocket.Chat, which
/// people write with or without the sign of a mention.
pub(super) fn named(word: &str) -> Option<Named> {
    if let Some(user) = user_in(word) {
        return Some(Named::OnMatrix(user));
    }
    let word = word.replace('\u{200b}', "");
    let name = word.trim_matches(['<', '>', '`']).trim_start_matches('@');
    let is_name = !name.is_empty() && !name.contains([':', '/', '#']);
    is_name.then(|| Named::OnRocketChat(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::named;
    use crate::bridge::Named;

    #[test]
    fn people_of_both_sides_are_named() {
        let alice = Named::OnMatrix(user_id!("@alice:b.org").to_owned());
        for word in [
            "@alice:b.org",
            "`@alice:b.org`",
            "https://matrix.to/#/@alice:b.org",
        ] {
            assert_eq!(named(word), Some(alice.clone()), "{word}");
        }
        for word in ["carol", "@carol", "`carol`"] {
            assert_eq!(
                named(word),
                Some(Named::OnRocketChat("carol".into())),
                "{word}"
            );
        }
        for word in [
            "",
            "@",
            "alice:b.org",
            "https://b.org",
            "#room:b.org",
            "https://matrix.to/#//",
        ] {
            assert_eq!(named(word), None, "{word}");
        }
    }
}
