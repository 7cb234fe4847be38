//! Rooms that exist on both sides, joined by programs. A token has no rights in rooms: it
//! acts for the people whom the configuration names with it, one on each side at the most,
//! and the same is asked of them as when they give the command themselves. So a program
//! agrees for both sides only where its people administer both rooms.

use std::collections::BTreeSet;
use std::sync::Arc;

use ruma::{RoomId, RoomOrAliasId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::No;
use crate::bridge::context::{Context, Who};
use crate::bridge::{Bridge, Failure, Wishes};
use crate::config::ApiToken;
use crate::matrix::listener::ApiCall;
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::store::{Person, Proposal, ProposalStage};

/// For whom of a token's people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Matrix,
    Rocketchat,
}

/// Two rooms that are to be joined.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProposal {
    room: String,
    channel: String,
    #[serde(default)]
    side: Option<Side>,
    #[serde(default)]
    history: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    confirm: BTreeSet<String>,
}

/// An answer to who proposes that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    code: String,
    #[serde(default)]
    side: Option<Side>,
    #[serde(default)]
    confirm: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    code: String,
    #[serde(default)]
    side: Option<Side>,
}

/// Where somebody would give the command.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Matrix(&'a RoomId),
    RocketChat(&'a RocketRoomId),
    Nowhere,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, No> {
    serde_json::from_slice(body).map_err(|error| {
        No::Bad(format!(
            "the body is not as openapi.json describes it (column {})",
            error.column()
        ))
    })
}

fn shown(proposal: &Proposal, with_code: bool) -> Value {
    let by = match &proposal.by {
        Person::Matrix(user) => user.to_string(),
        Person::RocketChat { id, .. } => Who::account_id(id),
    };
    let mut shown = json!({
        "room": proposal.room_id,
        "rid": proposal.rid,
        "by": by,
        "decides": match proposal.is_for_matrix() {
            true => "matrix",
            false => "rocketchat",
        },
        "stage": match proposal.stage {
            ProposalStage::Entering => "entering",
            ProposalStage::Open => "open",
            ProposalStage::Accepted { .. } => "accepted",
        },
        "made": proposal.made,
        "until": proposal.until,
        "history": proposal.history,
        "consequences": proposal.consequences,
    });
    if with_code {
        shown["code"] = proposal.code.expose().into();
    }
    shown
}

impl Bridge {
    pub(super) fn api_proposals(&self, call: &ApiCall) -> Value {
        let token = self.token_of(call.token.as_deref());
        let with_code = token.is_some_and(|token| token.write);
        let all = self.store.proposals();
        let all: Vec<_> = all.iter().map(|one| shown(one, with_code)).collect();
        json!({ "proposals": all })
    }

    pub(super) async fn api_propose(
        self: &Arc<Self>,
        context: &Context,
        call: &ApiCall,
    ) -> Result<Value, No> {
        let wanted: NewProposal = read(&call.body)?;
        let channel = wanted.channel.trim_start_matches('#');
        if channel.is_empty() || channel.contains(char::is_whitespace) {
            return Err(No::Bad("`channel` is no name of a channel or group".into()));
        }
        let (token, side) = self.side_of(call, wanted.side)?;
        let wishes = Wishes {
            dry_run: wanted.dry_run,
            history: wanted.history,
            confirmed: wanted.confirm,
            command: "bridge".to_owned(),
        };
        let (by, said) = match side {
            Side::Matrix => {
                let room = RoomId::parse(&wanted.room)
                    .map_err(|_| No::Bad("`room` is no id of a Matrix room".into()))?;
                let here = Place::Matrix(&room);
                let by = self.acts_for(token, side, "bridge", here).await?;
                let Person::Matrix(user) = &by else {
                    return Err(nobody("Matrix (`user`)"));
                };
                let proposed = self.propose_from_matrix(user, &room, channel, &wishes);
                let said = proposed.await;
                (by, said)
            }
            Side::Rocketchat => {
                let room = RoomOrAliasId::parse(&wanted.room)
                    .map_err(|_| No::Bad("`room` is no id or address of a Matrix room".into()))?;
                self.must_be_reached()?;
                let there = self.room_named(channel).await?.id;
                let here = Place::RocketChat(&there);
                let by = self.acts_for(token, side, "bridge", here).await?;
                let proposed =
                    self.propose_from_rocketchat(by.clone(), &there, &room, &[], &wishes);
                let said = proposed.await;
                (by, said)
            }
        };
        let words = format!("{channel} {} for {}", wanted.room, by.shown());
        self.audit(context, "bridge", &words, &said);
        Ok(json!({ "said": said? }))
    }

    pub(super) async fn api_approve(
        self: &Arc<Self>,
        context: &Context,
        call: &ApiCall,
    ) -> Result<Value, No> {
        let wanted: Approval = read(&call.body)?;
        let (token, side) = self.side_of(call, wanted.side)?;
        let by = self
            .acts_for(token, side, "approve", Place::Nowhere)
            .await?;
        let wishes = Wishes {
            confirmed: wanted.confirm,
            command: "approve".to_owned(),
            ..Wishes::default()
        };
        let words = format!("for {}", by.shown());
        let said = self.approve_proposal(by, &wanted.code, &wishes).await;
        self.audit(context, "approve", &words, &said);
        Ok(json!({ "said": said? }))
    }

    pub(super) async fn api_reject(
        self: &Arc<Self>,
        context: &Context,
        call: &ApiCall,
    ) -> Result<Value, No> {
        let wanted: Refusal = read(&call.body)?;
        let (token, side) = self.side_of(call, wanted.side)?;
        let by = self.acts_for(token, side, "reject", Place::Nowhere).await?;
        let words = format!("for {}", by.shown());
        let said = self.reject_proposal(by, &wanted.code).await;
        self.audit(context, "reject", &words, &said);
        Ok(json!({ "said": said? }))
    }

    /// The token that is presented, and on which side it acts for somebody.
    fn side_of(&self, call: &ApiCall, side: Option<Side>) -> Result<(&ApiToken, Side), No> {
        let token = self.token_of(call.token.as_deref());
        let token = token.ok_or_else(|| No::Forbidden("a wrong token was presented".into()))?;
        let side = match (side, &token.user, &token.account) {
            (Some(side), ..) => side,
            (None, Some(_), None) => Side::Matrix,
            (None, None, Some(_)) => Side::Rocketchat,
            (None, None, None) => return Err(nobody("either side (`user`, `account`)")),
            (None, Some(_), Some(_)) => {
                return Err(No::Bad(
                    "`side` is needed: this token has a `user` and an `account`".into(),
                ));
            }
        };
        Ok((token, side))
    }

    /// For whom a program gives a command that is for people, as far as the configuration
    /// names somebody and lets them give it there.
    async fn acts_for(
        &self,
        token: &ApiToken,
        side: Side,
        command: &str,
        place: Place<'_>,
    ) -> Result<Person, No> {
        self.must_be_reached()?;
        let who = self.person_of(token, side).await?;
        let person = match &who {
            Who::Matrix(user) => Person::Matrix(user.clone()),
            Who::RocketChat { id, username, .. } => Person::RocketChat {
                id: id.clone(),
                username: username.clone(),
            },
            Who::Api(_) => return Err(nobody("that side")),
        };
        let asked = Context {
            who,
            door: crate::bridge::Door::Api,
            room: match place {
                Place::Matrix(room) => Some(room.to_owned()),
                _ => None,
            },
            rid: match place {
                Place::RocketChat(rid) => Some(rid.clone()),
                _ => None,
            },
            id: String::new(),
            event: None,
            prefix: "",
            unplaced: Vec::new(),
        };
        match self.rule_for(&asked, command) {
            Some(false) => Err(Failure::Refused(format!(
                "Whoever runs the bridge has ruled that {} may not do that (`commands.rules` in \
                 its configuration).",
                person.shown()
            ))
            .into()),
            _ => Ok(person),
        }
    }

    async fn person_of(&self, token: &ApiToken, side: Side) -> Result<Who, No> {
        match (side, &token.user, &token.account) {
            (Side::Matrix, Some(user), _) if !self.config.is_ours(user) => {
                Ok(Who::Matrix(user.clone()))
            }
            (Side::Rocketchat, _, Some(account)) => {
                let id = RocketUserId::new(account);
                let rocket = self.rocket().await;
                let is_ours =
                    *rocket.bot.user_id() == id || self.store.behind_made_puppet(&id)?.is_some();
                let found = match is_ours {
                    true => None,
                    false => rocket.bot.user_by_id(&id).await.map_err(Failure::from)?,
                };
                let found = found.filter(|account| account.active);
                found
                    .map(|account| Who::of_account(&account))
                    .ok_or_else(|| {
                        No::Forbidden(
                            "the `account` of this token is nobody's on Rocket.Chat".into(),
                        )
                    })
            }
            (Side::Matrix, ..) => Err(nobody("Matrix (`user`)")),
            (Side::Rocketchat, ..) => Err(nobody("Rocket.Chat (`account`)")),
        }
    }
}

fn nobody(where_to: &str) -> No {
    No::Forbidden(format!(
        "rooms are joined by people who administer them, and this token acts for nobody on \
         {where_to}: see `api.tokens` in the configuration"
    ))
}
