//! What each request does.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma::{OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::No;
use super::routes::Act;
use crate::bridge::context::Context;
use crate::bridge::{Bridge, Failure};
use crate::matrix::listener::ApiCall;
use crate::rocketchat::RocketUserId;
use crate::store::{AuditEntry, DeadLetter, Origin, Portal, PortalKind, Reason};

/// How many of a list are given unless asked for otherwise, and at the most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// A status and what is said.
type Done = Result<(u16, Value), No>;

/// Which channel or group is to be mirrored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPortal {
    channel: String,
    #[serde(default)]
    invite: Option<OwnedUserId>,
}

fn number_in(query: &BTreeMap<String, String>, field: &str, otherwise: u64) -> Result<u64, No> {
    match query.get(field) {
        Some(text) => text
            .parse()
            .map_err(|_| No::Bad(format!("`{field}` is no number"))),
        None => Ok(otherwise),
    }
}

fn limit_in(query: &BTreeMap<String, String>) -> Result<usize, No> {
    let limit = number_in(query, "limit", USUAL as u64)?;
    Ok(usize::try_from(limit).unwrap_or(MOST).min(MOST))
}

fn shown(portal: &Portal) -> Value {
    json!({
        "room": portal.room_id,
        "rid": portal.rid,
        "kind": match portal.kind {
            PortalKind::Channel => "channel",
            PortalKind::Group => "group",
            PortalKind::Direct { .. } => "direct",
        },
        "name": portal.name,
        "plumbed": portal.plumbed,
    })
}

/// Without what was written, which is nobody's but its readers'.
fn shown_letter(number: u64, letter: &DeadLetter) -> Value {
    let on_matrix = letter.sender.as_ref().map(ToString::to_string);
    let sender = on_matrix.or_else(|| letter.rocket_author().map(|author| author.to_string()));
    json!({
        "number": number,
        "from": match letter.origin {
            Origin::Matrix => "matrix",
            Origin::RocketChat => "rocketchat",
        },
        "room": letter.room_id,
        "id": letter.id,
        "sender": sender,
        "at": letter.at,
        "why": letter.reason,
    })
}

fn shown_entry(number: u64, entry: &AuditEntry) -> Value {
    let mut shown = serde_json::to_value(entry).unwrap_or_else(|_| json!({}));
    shown["number"] = number.into();
    shown
}

impl Bridge {
    pub(super) async fn act_for(
        self: &Arc<Self>,
        act: Act,
        context: &Context,
        argument: &str,
        call: &ApiCall,
    ) -> Done {
        let done = match act {
            Act::Describe => super::openapi::description(),
            Act::Status => {
                let state = self.state_of_bridge();
                json!({
                    "matrix": state.matrix, "rocketchat": state.rocketchat,
                    "version": state.version, "rooms": state.rooms, "directs": state.directs,
                    "waiting": state.waiting, "given_up": state.given_up, "joins": state.joins,
                })
            }
            Act::ListPortals => {
                let offset = number_in(&call.query, "offset", 0)?;
                let portals = self.store.portals();
                let page: Vec<_> = portals
                    .iter()
                    .skip(usize::try_from(offset).unwrap_or(usize::MAX))
                    .take(limit_in(&call.query)?)
                    .map(shown)
                    .collect();
                json!({ "portals": page, "total": portals.len() })
            }
            Act::MakePortal => self.api_make(context, &call.body).await?,
            Act::ShowPortal => {
                let state = self.state_of_portal(&self.portal_for_api(argument)?)?;
                let mut about = shown(&state.portal);
                about["waiting"] = state.waiting.into();
                about["given_up"] = state.given_up.into();
                about["carried_until"] = state.carried_until.into();
                about
            }
            Act::EndPortal => return self.api_end(context, argument).await,
            Act::ListProposals => self.api_proposals(call),
            Act::Propose => self.api_propose(context, call).await?,
            Act::Approve => self.api_approve(context, call).await?,
            Act::Reject => self.api_reject(context, call).await?,
            Act::ListDeadLetters => {
                let offset = number_in(&call.query, "offset", 0)?;
                let letters = self.store.dead_letters();
                let page: Vec<_> = letters
                    .iter()
                    .skip(usize::try_from(offset).unwrap_or(usize::MAX))
                    .take(limit_in(&call.query)?)
                    .map(|(number, letter)| shown_letter(*number, letter))
                    .collect();
                json!({ "dead_letters": page, "total": letters.len() })
            }
            Act::Resend => return self.api_resend(context, argument).await,
            Act::WhoIs => self.person_for_api(&call.query)?,
            Act::Audit => {
                let before = number_in(&call.query, "before", u64::MAX)?;
                let page: Vec<_> = self
                    .store
                    .audit(call.query.get("refused").is_some_and(|yes| yes == "true"))
                    .filter(|(number, _)| *number < before)
                    .take(limit_in(&call.query)?)
                    .map(|(number, entry)| shown_entry(number, &entry))
                    .collect();
                json!({ "audit": page })
            }
        };
        Ok((200, done))
    }

    fn portal_for_api(&self, room: &str) -> Result<Portal, No> {
        let room = RoomId::parse(room)
            .map_err(|_| No::Bad("the path has no id of a Matrix room".into()))?;
        self.store
            .portal_of_room(&room)?
            .ok_or_else(|| No::NotFound("no room on Rocket.Chat is mirrored there".into()))
    }

    pub(super) fn must_be_reached(&self) -> Result<(), No> {
        match self.rocket_if_there() {
            Some(_) => Ok(()),
            None => Err(Failure::NotYet("Rocket.Chat").into()),
        }
    }

    async fn api_make(self: &Arc<Self>, context: &Context, body: &[u8]) -> Result<Value, No> {
        let wanted: NewPortal = serde_json::from_slice(body).map_err(|error| {
            No::Bad(format!(
                "expected {{\"channel\": \"general\", \"invite\": \"@alice:example.org\"}} (column {})",
                error.column()
            ))
        })?;
        let name = wanted.channel.trim_start_matches('#');
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(No::Bad("`channel` is no name of a channel or group".into()));
        }
        self.must_be_reached()?;
        let made = self.open_channel(name, wanted.invite.as_deref()).await;
        self.audit(context, "bridge", name, &made);
        Ok(shown(&made?))
    }

    async fn api_end(self: &Arc<Self>, context: &Context, room: &str) -> Done {
        let portal = self.portal_for_api(room)?;
        if portal.kind.is_direct() {
            return Err(
                Failure::Refused("Direct messages end when their people leave.".into()).into(),
            );
        }
        let by = context.who.to_string();
        let ended = self.end_portal(&portal, Reason::Unbridged { by }).await;
        self.audit(context, "unbridge", room, &ended);
        ended?;
        Ok((202, json!({})))
    }

    async fn api_resend(self: &Arc<Self>, context: &Context, number: &str) -> Done {
        let unknown = || No::NotFound("nothing with that number was given up".into());
        let number: u64 = number.parse().map_err(|_| unknown())?;
        let letters = self.store.dead_letters();
        let letter = letters.iter().find(|(known, _)| *known == number);
        let (_, letter) = letter.ok_or_else(unknown)?;
        self.must_be_reached()?;
        let done = self.resend(letter).await;
        self.audit(context, "resend", &number.to_string(), &done);
        done?;
        Ok((202, json!({})))
    }

    fn person_for_api(&self, query: &BTreeMap<String, String>) -> Result<Value, No> {
        let unknown = || No::NotFound("nobody of that name is known on the other side".into());
        match (query.get("user"), query.get("account")) {
            (Some(user), None) => {
                let user =
                    UserId::parse(user).map_err(|_| No::Bad("`user` is no Matrix id".into()))?;
                if let Some(puppet) = self.store.puppet(&user)? {
                    return Ok(json!({
                        "kind": "puppet", "user": user,
                        "account": puppet.credentials.user_id, "username": puppet.username,
                    }));
                }
                let ghost = match self.config.is_ghost(&user) {
                    true => self.store.ghost_by_localpart(user.localpart())?,
                    false => None,
                };
                let ghost = ghost.ok_or_else(unknown)?;
                Ok(json!({
                    "kind": "ghost", "user": ghost.user_id,
                    "account": ghost.rocket_id, "username": ghost.username,
                }))
            }
            (None, Some(account)) if account.chars().any(char::is_control) => {
                Err(No::Bad("`account` is no id of an account".into()))
            }
            (None, Some(account)) => {
                let id = RocketUserId::new(account);
                if let Some(user) = self.store.behind_puppet(&id)? {
                    return Ok(json!({ "kind": "puppet", "user": user, "account": id }));
                }
                let ghost = self.store.ghost(&id)?.ok_or_else(unknown)?;
                Ok(json!({
                    "kind": "ghost", "user": ghost.user_id,
                    "account": id, "username": ghost.username,
                }))
            }
            _ => Err(No::Bad("one of `user` and `account` is needed".into())),
        }
    }
}
