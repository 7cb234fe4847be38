//! One try to enter a room elsewhere.

use std::time::{Duration, Instant};

use ruma::{OwnedRoomId, OwnedServerName, RoomAliasId, RoomId};

use super::candidates;
use crate::bridge::Bridge;
use crate::bridge::failure::Side;
use crate::matrix::{Error, Intent, Kind};
use crate::store::{JoinAsked, RemoteJoin, ServerAnswer};

/// After so many tries in which every homeserver answered and none let us in, it is over.
/// One that does not answer may yet: who was told to enter asks it for ever.
const MOST_TRIES: u32 = 12;

/// After so many tries an invitation is given up, although somebody is silent: by the
/// pauses between them at least two days, and mostly three. Anybody may invite, and
/// invite again.
const MOST_OF_INVITATION: u32 = 110;

/// After how long a try asks nobody else by himself: those who are left come first at
/// another one.
const LONGEST: Duration = Duration::from_secs(120);

/// How much of an answer is kept, in characters.
const MOST_SAID: usize = 200;

/// What came of a try.
pub(super) enum Outcome {
    /// In.
    Entered(OwnedRoomId),
    /// Not now: what each homeserver said.
    Later(Vec<ServerAnswer>),
    /// All who could let us in said no.
    Refused(Vec<ServerAnswer>),
    /// Nobody answered for days, and nobody of ours waits for it.
    GivenUp(Vec<ServerAnswer>),
    /// Our own homeserver is not there.
    HomeserverAway,
}

/// What an answer means for the next try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// No.
    No,
    /// It does not know the room, or is not in it.
    NotThere,
    /// Nothing was heard of it.
    Silent,
}

/// The answers of a try, in order.
#[derive(Default)]
struct Answers(Vec<(ServerAnswer, Meaning)>);

impl Answers {
    fn add(&mut self, server: impl ToString, error: &Error) {
        let (said, meaning) = read(error);
        let server = server.to_string();
        self.0.push((ServerAnswer { server, said }, meaning));
    }

    /// There was no time to ask this one.
    fn add_unasked(&mut self, server: impl ToString) {
        let (server, said) = (server.to_string(), "not asked this time".to_owned());
        self.0
            .push((ServerAnswer { server, said }, Meaning::Silent));
    }

    fn outcome(self, join: &RemoteJoin) -> Outcome {
        let tries = join.tries.saturating_add(1);
        let is_invitation = matches!(join.asked, JoinAsked::Invitation(_));
        let is_each = |meaning| self.0.iter().all(|(_, found)| *found == meaning);
        let is_silent = self.0.iter().any(|(_, found)| *found == Meaning::Silent);
        // Synapse hands an invitation over some 100 ms before it has stored it, and denies it
        // meanwhile: a first no is not believed.
        let is_too_early = is_invitation && join.tries == 0;
        let is_no = !self.0.is_empty() && is_each(Meaning::No) && !is_too_early;
        let is_over = is_no || (!is_silent && tries >= MOST_TRIES);
        let answers = self.0.into_iter().map(|(answer, _)| answer).collect();
        match is_over {
            true => Outcome::Refused(answers),
            false if is_invitation && tries >= MOST_OF_INVITATION => Outcome::GivenUp(answers),
            false => Outcome::Later(answers),
        }
    }
}

/// These homeservers, beginning with another one each time.
fn in_turn(via: &mut [OwnedServerName], tries: u32) -> &[OwnedServerName] {
    if !via.is_empty() {
        let first = usize::try_from(tries).unwrap_or_default() % via.len();
        via.rotate_left(first);
    }
    via
}

/// What an answer says, in the words of whoever gave it, and what it means.
fn read(error: &Error) -> (String, Meaning) {
    match error.kind() {
        Kind::Api { message, .. } if error.is_forbidden() => (said(message), Meaning::No),
        Kind::Api { message, .. } if error.status() == Some(404) => {
            (said(message), Meaning::NotThere)
        }
        Kind::Api { message, .. } => (said(message), Meaning::No),
        Kind::Server { .. } => ("did not answer".to_owned(), Meaning::Silent),
        Kind::RateLimited { .. } => ("too busy".to_owned(), Meaning::Silent),
        _ => ("did not answer in time".to_owned(), Meaning::Silent),
    }
}

fn said(message: &str) -> String {
    match message.trim() {
        "" => "said no".to_owned(),
        words => {
            let words: String = words.chars().take(MOST_SAID).collect();
            format!("said: {words}")
        }
    }
}

impl Bridge {
    /// Tries to enter, first with everybody's help at once: our homeserver asks one after
    /// the other. It stops at the first that says no, and does not tell who said what. So
    /// when that fails each is asked by itself.
    pub(super) async fn enter_elsewhere(&self, join: &RemoteJoin) -> Outcome {
        let intent = self.matrix.as_user(join.user.clone());
        let mut answers = Answers::default();
        let mut via = join.via.clone();
        let room = match RoomId::parse(join.target.as_str()) {
            Ok(room) => room,
            Err(_) => match self.look_up(&intent, join, &mut via, &mut answers).await {
                Ok(room) => room,
                Err(outcome) => return outcome,
            },
        };
        self.add_others(&mut via, candidates::server_in(&room));
        let asked = via.len();
        let error = match intent.join_by_alias_or_id((&*room).into(), &via).await {
            Ok(entered) => return Outcome::Entered(entered),
            Err(error) => error,
        };
        if !self.is_there(Side::Matrix).await {
            self.is_away(Side::Matrix);
            return Outcome::HomeserverAway;
        }
        if matches!(error.kind(), Kind::RateLimited { .. }) {
            answers.add(&self.config.homeserver.server_name, &error);
            return answers.outcome(join);
        }
        self.ask_directory(&intent, join, &room, &mut via).await;
        match via.as_slice() {
            [] => answers.add(&self.config.homeserver.server_name, &error),
            [only] if asked == 1 => answers.add(only, &error),
            _ => {
                let begun = Instant::now();
                for server in in_turn(&mut via, join.tries) {
                    if begun.elapsed() > LONGEST {
                        answers.add_unasked(server);
                        continue;
                    }
                    let alone = std::slice::from_ref(server);
                    match intent.join_by_alias_or_id((&*room).into(), alone).await {
                        Ok(entered) => return Outcome::Entered(entered),
                        Err(error) => answers.add(server, &error),
                    }
                }
            }
        }
        answers.outcome(join)
    }

    /// Where the alias leads that was asked for, and who may help there.
    async fn look_up(
        &self,
        intent: &Intent,
        join: &RemoteJoin,
        via: &mut Vec<OwnedServerName>,
        answers: &mut Answers,
    ) -> Result<OwnedRoomId, Outcome> {
        let Ok(alias) = RoomAliasId::parse(join.target.as_str()) else {
            return Err(Outcome::Refused(Vec::new()));
        };
        match intent.look_up_alias(&alias).await {
            Ok((room, servers)) => {
                self.add_others(via, servers);
                Ok(room)
            }
            Err(error) => {
                if !self.is_there(Side::Matrix).await {
                    self.is_away(Side::Matrix);
                    return Err(Outcome::HomeserverAway);
                }
                answers.add(alias.server_name(), &error);
                Err(match error.is_not_found() {
                    // Its own homeserver knows of no such alias.
                    true => Outcome::Refused(
                        std::mem::take(answers)
                            .0
                            .into_iter()
                            .map(|(answer, _)| answer)
                            .collect(),
                    ),
                    false => std::mem::take(answers).outcome(join),
                })
            }
        }
    }

    /// The directory of a room's alias may know of more who could help.
    async fn ask_directory(
        &self,
        intent: &Intent,
        join: &RemoteJoin,
        room: &RoomId,
        via: &mut Vec<OwnedServerName>,
    ) {
        let Some(alias) = &join.alias else { return };
        match intent.look_up_alias(alias).await {
            // Whoever invites may have named another room's alias.
            Ok((found, servers)) if found == *room => self.add_others(via, servers),
            Ok(_) => {}
            Err(error) => tracing::debug!(%alias, %error, "a directory does not help"),
        }
    }

    fn add_others(
        &self,
        via: &mut Vec<OwnedServerName>,
        servers: impl IntoIterator<Item = OwnedServerName>,
    ) {
        let ours = &self.config.homeserver.server_name;
        candidates::add(via, servers.into_iter().filter(|server| server != ours));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, room_id, server_name, user_id};
    use serde_json::json;

    use super::*;
    use crate::store::InboxEvent;

    fn join(asked: JoinAsked, tries: u32) -> RemoteJoin {
        RemoteJoin {
            user: user_id!("@ghost:example.org").to_owned(),
            target: room_id!("!r:a.org").to_owned().into(),
            via: Vec::new(),
            alias: None,
            asked,
            tries,
            next_at: 0,
            answers: Vec::new(),
        }
    }

    fn invitation() -> JoinAsked {
        JoinAsked::Invitation(InboxEvent {
            event_id: event_id!("$invite").to_owned(),
            room_id: room_id!("!r:a.org").to_owned(),
            sender: user_id!("@bob:a.org").to_owned(),
            kind: "m.room.member".into(),
            json: serde_json::value::to_raw_value(&json!({})).unwrap(),
        })
    }

    #[test]
    fn an_invitation_that_is_denied_is_tried_once_more() {
        let denied = || {
            let (server, said) = ("a.org".to_owned(), "said: not invited".to_owned());
            Answers(vec![(ServerAnswer { server, said }, Meaning::No)])
        };
        let early = join(invitation(), 0);
        assert!(matches!(denied().outcome(&early), Outcome::Later(_)));
        let again = join(invitation(), 1);
        assert!(matches!(denied().outcome(&again), Outcome::Refused(_)));
    }

    fn silence() -> Answers {
        let mut answers = Answers::default();
        answers.add_unasked("a.org");
        answers
    }

    #[test]
    fn only_an_invitation_is_given_up_when_nobody_answers() {
        let command = JoinAsked::Command {
            caller: user_id!("@admin:example.org").to_owned(),
            room: room_id!("!office:example.org").to_owned(),
            event: event_id!("$command").to_owned(),
        };
        let early = join(invitation(), MOST_OF_INVITATION - 2);
        assert!(matches!(silence().outcome(&early), Outcome::Later(_)));
        let late = join(invitation(), MOST_OF_INVITATION - 1);
        assert!(matches!(silence().outcome(&late), Outcome::GivenUp(_)));
        let asked = join(command, u32::MAX);
        assert!(matches!(silence().outcome(&asked), Outcome::Later(_)));
    }

    #[test]
    fn each_homeserver_comes_first_at_some_try() {
        let servers = [server_name!("a.org"), server_name!("b.org")];
        for (tries, first) in [(0, "a.org"), (1, "b.org"), (2, "a.org")] {
            let mut via: Vec<_> = servers.iter().map(|server| (*server).to_owned()).collect();
            assert_eq!(in_turn(&mut via, tries)[0], first);
            assert_eq!(via.len(), 2);
        }
        assert!(in_turn(&mut [], 3).is_empty());
    }
}
