//! `approve <code>` and `reject <code>`: an answer to who proposes to join rooms that
//! exist; and what they and `bridge` have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::table::{Audit, Command, Needs, Usage};
use crate::bridge::{Bridge, Context, Failure, Who, Wishes};
use crate::store::Person;

pub(super) const APPROVE: Command = Command {
    name: "approve",
    on_matrix: Some(APPROVAL),
    on_rocketchat: Some(APPROVAL),
    needs: Needs::Deciding,
    audit: Audit::NotWords,
    private: false,
    run: |bridge, context, arguments| Box::pin(approve(bridge, context, arguments)),
};

const APPROVAL: Usage = Usage {
    arguments: "<code> [--confirm …]",
    what: "agrees that a room which you administer is joined with one of the other side, as its notice says",
    example: "approve 7K2MQX4T9P",
};

pub(super) const REJECT: Command = Command {
    name: "reject",
    on_matrix: Some(REFUSAL),
    on_rocketchat: Some(REFUSAL),
    needs: Needs::Deciding,
    audit: Audit::NotWords,
    private: false,
    run: |bridge, context, arguments| Box::pin(reject(bridge, context, arguments)),
};

const REFUSAL: Usage = Usage {
    arguments: "<code>",
    what: "declines that: they cannot propose it again for a month",
    example: "reject 7K2MQX4T9P",
};

/// The words behind a command, and the wishes that begin with two dashes.
pub(super) struct Words<'a> {
    pub words: Vec<&'a str>,
    pub dry_run: bool,
    pub history: bool,
    pub confirmed: BTreeSet<String>,
}

impl<'a> Words<'a> {
    pub(super) fn of(arguments: &'a str) -> Result<Self, Failure> {
        let mut found = Self {
            words: Vec::new(),
            dry_run: false,
            history: false,
            confirmed: BTreeSet::new(),
        };
        let mut confirms = false;
        for word in arguments.split_whitespace() {
            // What clients make of two dashes.
            let flag = word
                .strip_prefix("--")
                .or_else(|| word.strip_prefix('—'))
                .or_else(|| word.strip_prefix('–'));
            match flag {
                Some("dry-run") => found.dry_run = true,
                Some("history") => found.history = true,
                Some(flag) if flag == "confirm" || flag.starts_with("confirm=") => {
                    confirms = true;
                    found.confirm(flag.strip_prefix("confirm=").unwrap_or_default());
                }
                Some(_) => {
                    return Err(Failure::Refused(format!(
                        "`{}` is nothing that I know here.",
                        word.replace('`', "'")
                    )));
                }
                None if confirms => found.confirm(word),
                None => found.words.push(word),
            }
        }
        Ok(found)
    }

    fn confirm(&mut self, words: &str) {
        let words = words.split(',').map(|word| word.trim().to_lowercase());
        self.confirmed.extend(words.filter(|word| !word.is_empty()));
    }

    /// What somebody wishes besides; `name` is the command.
    pub(super) fn wishes(&self, context: &Context, name: &str) -> Wishes {
        let mut command = name.to_owned();
        for word in &self.words {
            command.push(' ');
            command.push_str(&word.replace('`', "'"));
        }
        if self.history {
            command.push_str(" --history");
        }
        Wishes {
            dry_run: self.dry_run,
            history: self.history,
            confirmed: self.confirmed.clone(),
            command: context.written(&command),
        }
    }
}

/// Whoever asks, if they are a person.
pub(super) fn person(context: &Context) -> Result<Person, Failure> {
    match &context.who {
        Who::Matrix(user) => Ok(Person::Matrix(user.clone())),
        Who::RocketChat { id, username, .. } => Ok(Person::RocketChat {
            id: id.clone(),
            username: username.clone(),
        }),
        Who::Api(_) => Err(Failure::Refused(
            "Rooms are joined by people who administer them, not by programs.".into(),
        )),
    }
}

async fn approve(
    bridge: &Arc<Bridge>,
    context: &Context,
    arguments: &str,
) -> Result<String, Failure> {
    let words = Words::of(arguments)?;
    let wishes = words.wishes(context, "approve");
    let code = words.words.concat();
    bridge
        .approve_proposal(person(context)?, &code, &wishes)
        .await
}

async fn reject(
    bridge: &Arc<Bridge>,
    context: &Context,
    arguments: &str,
) -> Result<String, Failure> {
    let code: String = arguments.split_whitespace().collect();
    bridge.reject_proposal(person(context)?, &code).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Words;

    #[test]
    fn wishes_stand_anywhere_and_what_follows_confirm_is_confirmed() {
        let words = Words::of("--dry-run tea --history --confirm public, federated").unwrap();
        assert_eq!(words.words, ["tea"]);
        assert!(words.dry_run && words.history);
        let confirmed: Vec<_> = words.confirmed.into_iter().collect();
        assert_eq!(confirmed, ["federated", "public"]);
        let words = Words::of("CODE —confirm=Public").unwrap();
        assert_eq!(words.words, ["CODE"]);
        assert!(words.confirmed.contains("public"));
        assert!(Words::of("tea --force").is_err());
    }
}
