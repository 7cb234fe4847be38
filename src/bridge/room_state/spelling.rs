//! Names of rooms that Rocket.Chat does not take as they are: it gets the nearest that it
//! takes, and the room on Matrix keeps the spelling of whoever chose it.
//!
//! On a fresh server names are made of `[0-9a-zA-Z-_.]` (`UTF8_Channel_Names_Validation`), as
//! long as `UI_Allow_room_names_with_special_chars` is off (6.14, recording 52).

use ruma::{EventId, UserId};

use super::aspects::Aspect;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat;
use crate::store::{Portal, Spelling};

impl Bridge {
    /// Gives a room on Rocket.Chat a name that is near to what somebody on Matrix chose,
    /// after it was `refused` as it is.
    pub(super) async fn rename_nearly(
        &self,
        portal: &Portal,
        sender: &UserId,
        event: &EventId,
        wanted: &str,
        refused: rocketchat::Error,
    ) -> Result<(), Failure> {
        let before = self.store.room_state(&portal.id)?.spelling;
        let done = self.rename_to_first(portal, sender, event, wanted, refused);
        match done.await {
            Err(failure) if failure.is_permanent() => {
                self.store
                    .amend_room_state(&portal.id, |state| state.spelling = before)?;
                Err(failure)
            }
            done => done,
        }
    }

    async fn rename_to_first(
        &self,
        portal: &Portal,
        sender: &UserId,
        event: &EventId,
        wanted: &str,
        refused: rocketchat::Error,
    ) -> Result<(), Failure> {
        let mut refused = Failure::from(refused);
        for name in near_to(wanted) {
            // Written down before it is done: when it is found done, nobody takes it for
            // somebody's wish on Rocket.Chat.
            self.store.amend_room_state(&portal.id, |state| {
                state.spelling = Some(Spelling {
                    on_matrix: wanted.to_owned(),
                    on_rocketchat: name.clone(),
                    event: event.to_owned(),
                    told: false,
                });
            })?;
            self.store.flushed().await?;
            let done = self.do_on_rocketchat(portal, Aspect::Name, sender, &name);
            match done.await {
                Err(Failure::RocketChat(error))
                    if error.code() == Some("error-invalid-room-name") =>
                {
                    refused = error.into();
                }
                done => return done,
            }
        }
        Err(refused)
    }

    /// What a room is called on Matrix that has that name on Rocket.Chat.
    pub(super) fn spelled_on_matrix(
        &self,
        portal: &Portal,
        aspect: Aspect,
        on_rocketchat: &str,
    ) -> Result<String, Failure> {
        let known = match aspect {
            Aspect::Name => self.store.room_state(&portal.id)?.spelling,
            _ => None,
        };
        let known = known.filter(|known| known.on_rocketchat == on_rocketchat);
        Ok(known.map_or_else(|| on_rocketchat.to_owned(), |known| known.on_matrix))
    }

    /// Whether what a room is called on both sides is the same name in two spellings. Its
    /// people are told, once.
    pub(super) async fn is_spelled_so(
        &self,
        portal: &Portal,
        aspect: Aspect,
        on_matrix: &str,
        on_rocketchat: &str,
    ) -> Result<bool, Failure> {
        if aspect != Aspect::Name || on_matrix == on_rocketchat {
            return Ok(false);
        }
        let known = self.store.room_state(&portal.id)?.spelling;
        let Some(spelling) = known
            .filter(|known| known.on_matrix == on_matrix && known.on_rocketchat == on_rocketchat)
        else {
            return Ok(false);
        };
        if !spelling.told {
            let text = format!(
                "Rocket.Chat takes only letters, digits, dots, dashes and underscores in the name of a room: there it is called {on_rocketchat}."
            );
            let bot = self.matrix.bot();
            self.say(&bot, &portal.room_id, &spelling.event, "spelling", &text)
                .await?;
            self.store.amend_room_state(&portal.id, |state| {
                if let Some(spelling) = &mut state.spelling {
                    spelling.told = true;
                }
            })?;
        }
        Ok(true)
    }
}

/// Names that may stand for one that was refused, the nearest first: with letters of any
/// script, for servers that allow these; and of ASCII.
fn near_to(wanted: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let is_letter: [fn(char) -> bool; 2] = [char::is_alphanumeric, |c| c.is_ascii_alphanumeric()];
    for is_letter in is_letter {
        let mut name = String::new();
        for c in wanted.chars() {
            if is_letter(c) || matches!(c, '-' | '_' | '.') {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        let name = name.trim_matches('-').to_owned();
        let says_something = name.chars().any(is_letter);
        if says_something && name != wanted && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::near_to;

    #[test]
    fn a_name_comes_as_near_as_rocketchat_lets_it() {
        let table: [(&str, &[&str]); 7] = [
            ("New Name!", &["New-Name"]),
            ("Grüne  Woche 2.0", &["Grüne-Woche-2.0", "Gr-ne-Woche-2.0"]),
            ("team/kitchen #2", &["team-kitchen-2"]),
            ("日本", &[]),
            ("日本 x", &["日本-x", "x"]),
            ("!!!", &[]),
            ("fine", &[]),
        ];
        for (wanted, expected) in table {
            assert_eq!(near_to(wanted), expected, "{wanted}");
        }
    }
}
