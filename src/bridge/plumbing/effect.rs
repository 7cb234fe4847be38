//! An agreement takes effect. It was noted before; each step does no harm when it is
//! repeated.

use std::sync::Arc;
use std::time::Duration;

use super::sides::{RocketSide, Survey, meaning_of_access};
use super::{HISTORY_MOST, pair, words};
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::retry::Backoff;
use crate::store::{HowOver, Person, Portal, PortalId, Proposal, ProposalStage};

impl Bridge {
    /// Goes on with an agreement until it has taken effect.
    pub(super) fn go_on_joining(self: &Arc<Self>, proposal: &Proposal) {
        let bridge = Arc::clone(self);
        let (room, rid) = (proposal.room_id.clone(), proposal.rid.clone());
        tokio::spawn(async move {
            let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(300));
            loop {
                let joined =
                    bridge.persevere(async |_| match bridge.store.proposal(&room, &rid)? {
                        Some(proposal) => bridge.join_rooms(&proposal).await,
                        None => Ok(()),
                    });
                let Err(failure) = joined.await else { return };
                tracing::error!(%room, %rid, %failure, "two rooms could not be joined; it is tried again");
                tokio::time::sleep(backoff.next_pause(None)).await;
            }
        });
    }

    async fn join_rooms(self: &Arc<Self>, proposal: &Proposal) -> Result<(), Failure> {
        let ProposalStage::Accepted { by } = &proposal.stage else {
            return Ok(());
        };
        let _alone = self.plumbing.deciding.lock(&pair(proposal)).await;
        let known = self.store.proposal(&proposal.room_id, &proposal.rid)?;
        if known.as_ref() != Some(proposal) {
            return Ok(());
        }
        let portal = match self.joined_already(proposal)? {
            Some(portal) => portal,
            None => {
                let survey = match self.survey(&proposal.room_id, &proposal.rid).await {
                    Ok(survey) => survey,
                    Err(Failure::Refused(why)) => {
                        return self.not_joined(proposal, by, &[why]).await;
                    }
                    Err(failure) => return Err(failure),
                };
                let mut obstacles = survey.obstacles();
                if survey.consequences() != proposal.consequences {
                    obstacles.push(
                        "What joining the rooms means has changed since it was approved."
                            .to_owned(),
                    );
                }
                if !obstacles.is_empty() {
                    return self.not_joined(proposal, by, &obstacles).await;
                }
                self.begin_plumbed(proposal, &survey).await?
            }
        };
        self.settle_plumbed(&portal).await;
        let approved = HowOver::Approved(by.clone());
        let by = by.shown();
        // Whom those who agreed may not have been told of: two may take effect at once.
        let elsewhere = self.store.portals_of(&portal.rid)?.len().saturating_sub(1);
        let there = format!("{} on Rocket.Chat", words::bounded(&portal.name));
        let text = words::joined(proposal, &by, &there, "!rc", elsewhere);
        self.as_far_as_told(self.tell_plumbed_room(proposal, "joined", &text).await)?;
        let here = format!("the room {} on Matrix", proposal.room_id);
        let text = words::joined(proposal, &by, &here, "!matrix", elsewhere);
        self.as_far_as_told(self.tell_plumbed_channel(proposal, "joined", &text).await)?;
        self.tell_others(&portal.id).await?;
        self.end_proposal(proposal, approved).await
    }

    /// What cannot be told holds nothing up.
    pub(in crate::bridge) fn as_far_as_told(
        &self,
        told: Result<(), Failure>,
    ) -> Result<(), Failure> {
        match told {
            Err(failure) if failure.is_permanent() => {
                tracing::info!(%failure, "a room could not be told something");
                Ok(())
            }
            told => told,
        }
    }

    /// The portal, when an earlier try came so far.
    fn joined_already(&self, proposal: &Proposal) -> Result<Option<Portal>, Failure> {
        // By its id, which stays when its Matrix room is upgraded.
        let id = PortalId::further(&proposal.rid, &proposal.room_id);
        Ok(self.store.portal(&id)?)
    }

    /// It became impossible between approval and now: both are told why.
    async fn not_joined(
        &self,
        proposal: &Proposal,
        by: &Person,
        why: &[String],
    ) -> Result<(), Failure> {
        let text = format!(
            "The rooms {} on Matrix and {} on Rocket.Chat were to be joined, and cannot be:\n{}",
            proposal.room_id,
            words::bounded(proposal.rid.as_str()),
            words::listed(why)
        );
        tracing::warn!(room = %proposal.room_id, rid = %proposal.rid, "an agreement cannot take effect");
        self.as_far_as_told(self.tell_plumbed_room(proposal, "failed", &text).await)?;
        self.as_far_as_told(self.tell_plumbed_channel(proposal, "failed", &text).await)?;
        self.end_proposal(proposal, HowOver::Approved(by.clone()))
            .await
    }

    async fn begin_plumbed(&self, proposal: &Proposal, survey: &Survey) -> Result<Portal, Failure> {
        let since = match proposal.history {
            true => self.history_from(&survey.rocket).await?,
            false => self.newest_of(&survey.rocket).await?,
        };
        let _one_at_a_time = self.making_portal.lock(&proposal.rid).await;
        // Another agreement may be about the same Matrix room.
        let _one_of_this_room = self.take_room(&proposal.room_id).await;
        let room = &proposal.room_id;
        // Another one may just have been joined with the same channel, or opened for it: what
        // this one means then is looked at again.
        let others = self.store.portals_of(&proposal.rid)?;
        if !others
            .iter()
            .map(|other| &other.id)
            .eq(&survey.rocket.elsewhere)
        {
            return Err(Failure::NotYet("the other rooms of the channel"));
        }
        if self.store.portal_of_room(room)?.is_some()
            || self.store.ending_of_room(room)?.is_some()
            || self.store.gathering(room)?.is_some()
        {
            // What it is by then is said when it is looked at again.
            return Err(Failure::NotYet("the room to be free"));
        }
        let portal = Portal {
            // Not the bridge's own one of that room, which it may still make.
            id: PortalId::further(&proposal.rid, &proposal.room_id),
            rid: proposal.rid.clone(),
            room_id: proposal.room_id.clone(),
            kind: survey.rocket.kind.clone(),
            name: survey.rocket.name.clone(),
            since,
            plumbed: true,
        };
        let access = meaning_of_access(survey.rocket.is_private, survey.matrix.access);
        self.begin_plumbed_state(&portal.id, access)?;
        let mut change = self.store.change().portal(&portal);
        if !others.is_empty() {
            change = change.newcomer(&portal.id, now_ms());
        }
        change.bot_room(&portal.room_id, false).commit()?;
        self.store.flushed().await?;
        self.unmirrored.forget(&portal.rid);
        tracing::info!(rid = %portal.rid, room = %portal.room_id, name = portal.name, "two rooms are joined");
        Ok(portal)
    }

    /// When something was written on Rocket.Chat last (ms). What the room says of that
    /// leaves replies in threads out.
    async fn newest_of(&self, rocket: &RocketSide) -> Result<i64, Failure> {
        let bot = &self.rocket().await.bot;
        let kind = rocket.room_type();
        let newest = bot.oldest_of_newest(&rocket.rid, &kind, 1).await?;
        Ok(newest.map_or(0, |at| at.0).max(rocket.last_message_at))
    }

    /// From when on (ms) what was written on Rocket.Chat is carried over, where that was
    /// wished.
    async fn history_from(&self, rocket: &RocketSide) -> Result<i64, Failure> {
        let bot = &self.rocket().await.bot;
        let kind = rocket.room_type();
        let oldest = bot.oldest_of_newest(&rocket.rid, &kind, HISTORY_MOST);
        Ok(oldest.await?.map_or(0, |at| at.0 - 1))
    }

    async fn settle_plumbed(self: &Arc<Self>, portal: &Portal) {
        self.rocket().await.follow_deletions(&portal.rid).await;
        self.read_back(portal.id.clone());
        self.compare_members(&portal.id);
        self.compare_room(&portal.id);
    }
}
