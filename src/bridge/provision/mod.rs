//! The provisioning API: what people do by commands, done by programs of administrators
//! over HTTP, under `/_rocketchat/provision/v1/`. A token that may write may do what an
//! administrator of the bridge may, and what it does is noted likewise.
//!
//! * [`routes`]: which paths there are.
//! * [`acts`]: what each does.
//! * [`plumbing`]: what they do about rooms that exist on both sides.
//! * [`openapi`]: how they are described to programs, made of the same list.

mod acts;
mod openapi;
mod plumbing;
mod routes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::context::{Context, Door, Who};
use super::pace::Pace;
use super::{Bridge, Failure};
use crate::config::ApiToken;
use crate::matrix::listener::{ApiAnswer, ApiCall};
use crate::retry::{Advice, Retryable as _};
use routes::{Found, Right};

/// How many requests a token may make in a minute.
const PER_MINUTE: usize = 600;

/// After so long a program is told that something goes on by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a program does not get what it asked for.
#[derive(Debug)]
enum No {
    /// There is no such thing.
    NotFound(String),
    /// What it sent cannot be understood.
    Bad(String),
    /// Its token is not for that.
    Forbidden(String),
    /// It was not done.
    Failed(Failure),
}

impl From<Failure> for No {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<crate::store::StoreError> for No {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

fn answer(status: u16, body: Value) -> ApiAnswer {
    ApiAnswer {
        status,
        body,
        retry_after: None,
        allow: None,
    }
}

fn refusal(status: u16, errcode: &str, error: impl Into<String>) -> ApiAnswer {
    let error: String = error.into();
    answer(status, json!({ "errcode": errcode, "error": error }))
}

fn not_done(no: No) -> ApiAnswer {
    match no {
        No::NotFound(what) => refusal(404, "M_NOT_FOUND", what),
        No::Bad(why) => refusal(400, "M_BAD_JSON", why),
        No::Forbidden(why) => refusal(403, "M_FORBIDDEN", why),
        No::Failed(Failure::Refused(why)) => refusal(409, "ROCKETCHAT_BRIDGE_REFUSED", why),
        No::Failed(failure) => match failure.advice() {
            Advice::GiveUp => refusal(502, "ROCKETCHAT_BRIDGE_FAILED", failure.person_text()),
            Advice::Retry { .. } => ApiAnswer {
                retry_after: Some(5),
                ..refusal(503, "M_UNKNOWN", failure.person_text())
            },
        },
    }
}

impl Bridge {
    /// Who presents a token. Every token is compared, so that the time does not tell which
    /// one was nearly right.
    fn token_of(&self, presented: Option<&str>) -> Option<&ApiToken> {
        let presented = presented?;
        let mut found = None;
        for token in &self.config.api.tokens {
            if token.token.matches(presented) {
                found = Some(token);
            }
        }
        found
    }

    /// What whoever may not use the API is told, before anything of their request is read.
    pub(super) fn refuse_api(&self, presented: Option<&str>, path: &str) -> Option<ApiAnswer> {
        if self.config.api.tokens.is_empty() {
            return Some(refusal(404, "M_UNRECOGNIZED", "there is no such path"));
        }
        // The description has no secrets.
        if path == routes::DESCRIPTION || self.token_of(presented).is_some() {
            return None;
        }
        Some(match presented {
            Some(_) => refusal(401, "M_UNKNOWN_TOKEN", "a wrong token was presented"),
            None => refusal(
                401,
                "M_MISSING_TOKEN",
                "present a token of `api.tokens` as `Authorization: Bearer …`",
            ),
        })
    }

    /// Does what a program asks for.
    pub(super) async fn api_call(self: &Arc<Self>, call: ApiCall) -> ApiAnswer {
        let route = match routes::find(&call.method, &call.path) {
            Found::Route(route, argument) => (route, argument),
            Found::OtherMethod(methods) => {
                return ApiAnswer {
                    allow: Some(methods),
                    ..refusal(405, "M_UNRECOGNIZED", "this path does not know this method")
                };
            }
            Found::Nothing => return refusal(404, "M_UNRECOGNIZED", "there is no such path"),
        };
        let (route, argument) = route;
        if route.right == Right::Nobody {
            return answer(200, openapi::description());
        }
        let Some(token) = self.token_of(call.token.as_deref()) else {
            return refusal(401, "M_UNKNOWN_TOKEN", "a wrong token was presented");
        };
        if route.right == Right::Write && !token.write {
            return refusal(
                403,
                "M_FORBIDDEN",
                "this token may only read (`write` of `api.tokens`)",
            );
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let context = Context {
            who: Who::Api(token.name.clone()),
            door: Door::Api,
            room: None,
            rid: None,
            id,
            event: None,
            prefix: "",
            unplaced: Vec::new(),
        };
        let caller = context.caller_id();
        if self
            .paces
            .take(&caller, &context.id, PER_MINUTE, Instant::now())
            != Pace::Go
        {
            return ApiAnswer {
                retry_after: Some(60),
                ..refusal(
                    429,
                    "M_LIMIT_EXCEEDED",
                    format!("a token may make {PER_MINUTE} requests in a minute"),
                )
            };
        }
        // To its end, also when the program hangs up meanwhile.
        let bridge = Arc::clone(self);
        let act = route.act;
        let work =
            tokio::spawn(async move { bridge.act_for(act, &context, &argument, &call).await });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(Ok((status, body)))) => answer(status, body),
            Ok(Ok(Err(no))) => not_done(no),
            Ok(Err(_)) => refusal(500, "M_UNKNOWN", "an error of the bridge"),
            Err(_) => ApiAnswer {
                retry_after: Some(30),
                ..refusal(
                    503,
                    "M_UNKNOWN",
                    "this takes a while and goes on by itself: look later what became of it",
                )
            },
        }
    }
}
