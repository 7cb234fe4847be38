//! Proposals that are over: whoever repeats their answer hears again what came of it, and
//! the bot leaves what it entered in order to ask there only.
//!
//! That it enters a room is noted of the room, before it does: several may propose
//! something to it, and a homeserver may go on entering a room when nobody waits for it any
//! more.

use ruma::RoomId;

use super::decide::Answer;
use super::{A_DAY_MS, code_in};
use crate::bridge::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::store::{EnteredRoom, HowOver, OverProposal, Person, Proposal};

/// For how long (ms) it is known how a proposal ended.
const KNOWN_FOR_MS: i64 = 7 * A_DAY_MS;

/// For how long (ms) the bot stays in a room that it entered when nobody waited for that any
/// more: whoever proposed something tries again meanwhile.
const MAY_BE_TRIED_AGAIN_MS: i64 = 5 * 60 * 1000;

/// How long (ms) it takes at the most until a homeserver has entered a room that it was
/// asked to enter.
const MAY_STILL_COME_MS: i64 = 3600 * 1000;

/// Whether the bot has to be in a room, besides having entered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// For another reason than to ask there.
    ForGood,
    /// Until something is over.
    ForNow,
    Not,
}

/// What is to be done about a room that was entered in order to ask there.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    /// It is a room like any other.
    Forget,
    /// It is looked at again.
    Wait,
    /// The bot leaves if it is inside. Where it is not, that is forgotten or may change.
    Leave { forget: bool },
}

fn then(entered: &EnteredRoom, need: Need, now: i64) -> Then {
    match need {
        Need::ForGood => Then::Forget,
        Need::ForNow => Then::Wait,
        Need::Not if entered.is_inside => Then::Leave { forget: true },
        Need::Not if now < entered.at + MAY_BE_TRIED_AGAIN_MS => Then::Wait,
        Need::Not => Then::Leave {
            forget: now >= entered.at + MAY_STILL_COME_MS,
        },
    }
}

/// What somebody is told who answers a proposal that is over.
fn repeated(over: &OverProposal, by: &Person, answer: Answer) -> Result<String, Failure> {
    let refused = |why: &str| Err(Failure::Refused(why.to_owned()));
    match (&over.how, answer) {
        (HowOver::Approved(who), Answer::Approve) if who.is(by) => Ok(answer.done().to_owned()),
        (HowOver::Declined(who), Answer::Reject) if who.is(by) => Ok(answer.done().to_owned()),
        (HowOver::Approved(_), Answer::Approve) => refused("That was approved already."),
        (HowOver::Approved(_), Answer::Reject) => {
            refused("That was approved already. `unbridge` ends it.")
        }
        (HowOver::Declined(_), _) => refused("That was declined already."),
        (HowOver::Void(_, why), _) => refused(why),
        (HowOver::Lapsed, _) => refused("The proposal has lapsed."),
    }
}

impl Bridge {
    /// What somebody is told who answers a proposal that is over, known by its code; none
    /// when no such code was given out lately to those of their side.
    pub(super) fn answered_already(
        &self,
        by: &Person,
        code: &str,
        answer: Answer,
    ) -> Result<Option<Result<String, Failure>>, Failure> {
        let digest = derived::proposal_digest(&self.registration.as_token, &code_in(code));
        let over = self.store.over_proposal(&digest)?;
        let is_on_matrix = matches!(by, Person::Matrix(_));
        Ok(over
            .filter(|over| over.was_for_matrix == is_on_matrix)
            .map(|over| repeated(&over, by, answer)))
    }

    /// A proposal is over, and it is known for a while how.
    pub(super) async fn end_proposal(
        &self,
        proposal: &Proposal,
        how: HowOver,
    ) -> Result<(), Failure> {
        let over = OverProposal {
            was_for_matrix: proposal.is_for_matrix(),
            how,
            at: now_ms(),
        };
        let key = &self.registration.as_token;
        let digest = derived::proposal_digest(key, proposal.code.expose());
        let change = self.store.change();
        change.over_proposal(proposal, &digest, &over).commit()?;
        // Whoever is asked in a room that the bot has left could decide nothing any more.
        self.store.flushed().await?;
        self.leave_what_was_entered(&proposal.room_id).await;
        Ok(())
    }

    /// A proposal is over of which nobody was told.
    pub(super) async fn drop_proposal(&self, proposal: &Proposal) -> Result<(), Failure> {
        self.store.change().no_proposal(proposal).commit()?;
        self.leave_what_was_entered(&proposal.room_id).await;
        Ok(())
    }

    /// As [`Bridge::look_at_entered`]; what fails is tried again with the next look.
    async fn leave_what_was_entered(&self, room: &RoomId) {
        if let Err(failure) = self.look_at_entered(room).await {
            tracing::info!(%room, %failure, "a room that was entered in order to ask is not left yet");
        }
    }

    /// Whether the bot leaves a room when this proposal is over.
    pub(super) fn leaves_after(&self, proposal: &Proposal) -> Result<bool, Failure> {
        let room = &proposal.room_id;
        Ok(self.store.entered_room(room)?.is_some() && !self.is_needed_besides(proposal)?)
    }

    /// Whether anything but this proposal needs the bot in its room.
    pub(super) fn is_needed_besides(&self, proposal: &Proposal) -> Result<bool, Failure> {
        Ok(self.need_of(&proposal.room_id, Some(proposal))? != Need::Not)
    }

    fn need_of(&self, room: &RoomId, besides: Option<&Proposal>) -> Result<Need, Failure> {
        if self.store.portal_of_room(room)?.is_some()
            || self.store.is_bot_room(room)?
            || self.store.portal_of_earlier_room(room)?.is_some()
        {
            return Ok(Need::ForGood);
        }
        let is_proposed = (self.store.proposals().iter()).any(|other| {
            other.room_id == *room && besides.is_none_or(|besides| besides.rid != other.rid)
        });
        let is_needed = is_proposed
            || self.store.ending_of_room(room)?.is_some()
            || self.store.gathering(room)?.is_some()
            || self.store.awaited_upgrade(room)?.is_some();
        Ok(match is_needed {
            true => Need::ForNow,
            false => Need::Not,
        })
    }

    /// The bot leaves a room that it entered in order to ask there only, when nothing keeps
    /// it there any more.
    pub(super) async fn look_at_entered(&self, room: &RoomId) -> Result<(), Failure> {
        // Nobody proposes something else to it meanwhile.
        let _alone = self.take_room(room).await;
        let Some(entered) = self.store.entered_room(room)? else {
            return Ok(());
        };
        let forget = match then(&entered, self.need_of(room, None)?, now_ms()) {
            Then::Wait => return Ok(()),
            Then::Forget => true,
            Then::Leave { forget } => {
                let is_inside = self.is_bot_inside(room).await?;
                if is_inside {
                    match self.matrix.bot().leave(room, None).await {
                        Err(error) if error.is_forbidden() || error.is_not_found() => {}
                        left => left?,
                    }
                }
                is_inside || forget
            }
        };
        if forget {
            self.store.change().no_entered_room(room).commit()?;
        }
        Ok(())
    }

    pub(super) fn forget_how_proposals_ended(&self) {
        let before = now_ms() - KNOWN_FOR_MS;
        if let Err(error) = self.store.forget_over_proposals(before) {
            tracing::warn!(%error, "old answers to proposals could not be forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    #[test]
    fn a_room_that_was_entered_late_is_left_when_nobody_needs_it() {
        let entered = |is_inside| EnteredRoom {
            room_id: room_id!("!far:b.org").to_owned(),
            at: 1_000,
            is_inside,
        };
        let late = 1_000 + MAY_BE_TRIED_AGAIN_MS;
        let never = 1_000 + MAY_STILL_COME_MS;
        let leave = |forget| Then::Leave { forget };
        for (is_inside, need, now, expected) in [
            (true, Need::Not, 1_000, leave(true)),
            (true, Need::ForNow, never, Then::Wait),
            (true, Need::ForGood, 1_000, Then::Forget),
            // The homeserver was asked and has not answered: it may still enter.
            (false, Need::Not, late - 1, Then::Wait),
            (false, Need::ForNow, never, Then::Wait),
            (false, Need::Not, late, leave(false)),
            (false, Need::Not, never - 1, leave(false)),
            (false, Need::Not, never, leave(true)),
            (false, Need::ForGood, late, Then::Forget),
        ] {
            assert_eq!(then(&entered(is_inside), need, now), expected, "{now}");
        }
    }

    #[test]
    fn who_repeats_an_answer_hears_the_same_and_others_hear_that_it_was_given() {
        let person = |user: &ruma::UserId| Person::Matrix(user.to_owned());
        let (alice, bob) = (
            person(user_id!("@alice:a.org")),
            person(user_id!("@bob:a.org")),
        );
        let told = |how: HowOver, by: &Person, answer| {
            let over = OverProposal {
                was_for_matrix: true,
                how,
                at: 0,
            };
            repeated(&over, by, answer).map_err(|failure| failure.person_text())
        };
        let approved = HowOver::Approved(alice.clone());
        let declined = HowOver::Declined(alice.clone());
        let done = |answer: Answer| Ok(answer.done().to_owned());
        for answer in [Answer::Approve, Answer::Reject] {
            let how = match answer {
                Answer::Approve => approved.clone(),
                Answer::Reject => declined.clone(),
            };
            assert_eq!(told(how.clone(), &alice, answer), done(answer));
            assert!(told(how, &bob, answer).is_err());
        }
        assert!(told(approved, &alice, Answer::Reject).is_err());
        assert!(told(declined, &alice, Answer::Approve).is_err());
        let void = HowOver::Void(alice, "It is void.".into());
        assert_eq!(
            told(void, &bob, Answer::Approve),
            Err("It is void.".to_owned())
        );
    }
}
