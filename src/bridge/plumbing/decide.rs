//! Whoever administers the other room answers a proposal.

use std::sync::Arc;

use super::{A_WHILE_MS, WRONG_CODES, Wishes, code_in, pair, words};
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::store::{HowOver, Person, Proposal, ProposalStage, Tried};

/// How somebody answers a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Approve,
    Reject,
}

impl Answer {
    /// What they are told when that is done.
    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Approve => {
                "Approved. The rooms are being joined; both are told when it has taken effect."
            }
            Self::Reject => {
                "Declined. Nothing changes, and they cannot propose it again for a month."
            }
        }
    }
}

/// What a code stands for.
enum Found {
    /// A proposal that is to be answered, or just takes effect.
    Open(Proposal),
    /// One that is over, and what whoever answers it now is told.
    Over(Result<String, Failure>),
}

impl Bridge {
    /// Somebody approves a proposal: it takes effect. What came of it, in words.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them.
    pub async fn approve_proposal(
        self: &Arc<Self>,
        by: Person,
        code: &str,
        wishes: &Wishes,
    ) -> Result<String, Failure> {
        let found = match self.proposal_with(&by, code, Answer::Approve).await? {
            Found::Open(found) => found,
            Found::Over(told) => return told,
        };
        let _alone = self.plumbing.deciding.lock(&pair(&found)).await;
        // It may have been answered meanwhile.
        let proposal = match self.proposal_with(&by, code, Answer::Approve).await? {
            Found::Open(proposal) => proposal,
            Found::Over(told) => return told,
        };
        if let ProposalStage::Accepted { by: approver } = &proposal.stage {
            return match approver.is(&by) {
                true => Ok(Answer::Approve.done().to_owned()),
                false => Err(Failure::Refused("That was approved already.".into())),
            };
        }
        self.must_administer(&by, &proposal).await?;
        self.must_hold(&proposal).await?;
        if !self
            .administers(&proposal.by, &proposal.room_id, &proposal.rid)
            .await?
        {
            return self
                .void(
                    &by,
                    &proposal,
                    &format!(
                        "{} does not administer their room any more, so the proposal is void.",
                        words::bounded(&proposal.by.shown())
                    ),
                )
                .await;
        }
        let survey = self.survey(&proposal.room_id, &proposal.rid).await?;
        let obstacles = survey.obstacles();
        if !obstacles.is_empty() {
            return Err(Failure::Refused(format!(
                "These two rooms cannot be joined now:\n{}",
                words::listed(&obstacles)
            )));
        }
        if survey.consequences() != proposal.consequences {
            return self
                .void(
                    &by,
                    &proposal,
                    "What joining the rooms would mean has changed since it was proposed, so the \
                     proposal is void. Propose it again to see how it is now.",
                )
                .await;
        }
        if let Some(text) = words::unconfirmed(&survey, &wishes.confirmed, &wishes.command) {
            return Err(Failure::Refused(text));
        }
        tracing::info!(room = %proposal.room_id, rid = %proposal.rid, by = %by.shown(), "two rooms are to be joined");
        let accepted = Proposal {
            stage: ProposalStage::Accepted { by },
            ..proposal
        };
        self.store.change().proposal(&accepted).commit()?;
        // From here on it takes effect, whatever happens to the bridge.
        self.store.flushed().await?;
        self.go_on_joining(&accepted);
        Ok(Answer::Approve.done().to_owned())
    }

    /// Somebody declines a proposal. What came of it, in words.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them.
    pub async fn reject_proposal(
        self: &Arc<Self>,
        by: Person,
        code: &str,
    ) -> Result<String, Failure> {
        let found = match self.proposal_with(&by, code, Answer::Reject).await? {
            Found::Open(found) => found,
            Found::Over(told) => return told,
        };
        let _alone = self.plumbing.deciding.lock(&pair(&found)).await;
        let proposal = match self.proposal_with(&by, code, Answer::Reject).await? {
            Found::Open(proposal) => proposal,
            Found::Over(told) => return told,
        };
        if matches!(proposal.stage, ProposalStage::Accepted { .. }) {
            return Err(Failure::Refused(
                "That was approved already. `unbridge` ends it.".into(),
            ));
        }
        self.must_administer(&by, &proposal).await?;
        self.note_declined(&proposal)?;
        self.store.flushed().await?;
        let text = format!(
            "{} has declined to join this room with {}. Nothing changes.",
            words::bounded(&by.shown()),
            self.other_of(&proposal).await
        );
        self.tell_proposer(&proposal, "declined", &text).await?;
        tracing::info!(room = %proposal.room_id, rid = %proposal.rid, by = %by.shown(), "a proposal to join two rooms is declined");
        if proposal.is_for_matrix() && self.leaves_after(&proposal)? {
            // Whoever has left can answer nobody.
            let text = format!("{} I leave now.", Answer::Reject.done());
            let told = self.tell_plumbed_room(&proposal, "farewell", &text).await;
            self.as_far_as_told(told)?;
        }
        self.end_proposal(&proposal, HowOver::Declined(by)).await?;
        Ok(Answer::Reject.done().to_owned())
    }

    /// The proposal with that code which those of this person's side decide.
    async fn proposal_with(
        &self,
        by: &Person,
        code: &str,
        answer: Answer,
    ) -> Result<Found, Failure> {
        let since = now_ms() - A_WHILE_MS;
        if self.tried(by, Tried::WrongCode, since)? >= WRONG_CODES {
            return Err(Failure::Refused(
                "You have given too many wrong codes. Try again in an hour.".into(),
            ));
        }
        let code = code_in(code);
        if code.is_empty() {
            return Err(Failure::Refused(
                "Which proposal? Its code stands in the notice.".into(),
            ));
        }
        let is_on_matrix = matches!(by, Person::Matrix(_));
        let found = self.store.proposals().into_iter().find(|proposal| {
            proposal.is_for_matrix() == is_on_matrix
                && proposal.stage != ProposalStage::Entering
                && proposal.code.matches(&code)
        });
        if let Some(proposal) = found {
            return Ok(Found::Open(proposal));
        }
        // Whoever has it from the notice guesses nothing: the answer to their command, or
        // to their program's call, may have been lost.
        if let Some(told) = self.answered_already(by, &code, answer)? {
            return Ok(Found::Over(told));
        }
        self.count_try(by, Tried::WrongCode).await?;
        Err(Failure::Refused(
            "No proposal that is open has this code: it may have lapsed, or been answered.".into(),
        ))
    }

    async fn must_administer(&self, by: &Person, proposal: &Proposal) -> Result<(), Failure> {
        if self
            .administers(by, &proposal.room_id, &proposal.rid)
            .await?
        {
            return Ok(());
        }
        Err(Failure::Refused(match by {
            Person::Matrix(_) => {
                "That is for whoever may change the power levels of the room that is to be \
                 joined (mostly level 100)."
                    .into()
            }
            Person::RocketChat { .. } => {
                "That is for owners of the room that is to be joined, and for administrators of \
                 the server."
                    .into()
            }
        }))
    }

    async fn must_hold(&self, proposal: &Proposal) -> Result<(), Failure> {
        if proposal.until > now_ms() {
            return Ok(());
        }
        self.plumbing.news.notify_one();
        Err(Failure::Refused("The proposal has lapsed.".into()))
    }

    /// A proposal does not stand any more: both are told why.
    async fn void(&self, by: &Person, proposal: &Proposal, why: &str) -> Result<String, Failure> {
        self.tell_proposer(proposal, "void", why).await?;
        let how = HowOver::Void(by.clone(), why.to_owned());
        self.end_proposal(proposal, how).await?;
        Err(Failure::Refused(why.to_owned()))
    }
}
