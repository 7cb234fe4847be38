//! Programs of administrators, which do by HTTP what people do by commands. These paths
//! need no `hs_token`: which tokens there are, and what they may do, the handler knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::Handler;
use super::reply::Refusal;
use super::routes::{Limits, Shared, whole};

/// What a program asks for is short.
const BODY_BYTES: usize = 64 * 1024;

/// A request as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// `GET`, `POST`, …
    pub method: String,
    /// Behind `/_rocketchat/provision/v1/`, decoded.
    pub path: String,
    /// The query's fields. The last of a repeated one counts.
    pub query: BTreeMap<String, String>,
    /// The token, if there is exactly one in the header.
    pub token: Option<String>,
    /// The body as it came; empty when there is none.
    pub body: Vec<u8>,
}

/// Without the token and what somebody wrote.
impl std::fmt::Debug for ApiCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiCall({}, {} bytes)", self.method, self.body.len())
    }
}

/// What a program is told.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// After how many seconds to ask again.
    pub retry_after: Option<u64>,
    /// The methods that the path knows.
    pub allow: Option<String>,
}

pub(super) async fn call<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let mut tokens = request.headers().get_all(AUTHORIZATION);
    let token = match (tokens.next(), tokens.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        }),
        _ => None,
    };
    let handler = Arc::clone(&shared.handler);
    // Nothing of a stranger's body is read.
    if let Some(refusal) = handler.refuse_stranger(token.as_deref(), &path) {
        return Ok(answered(refusal));
    }
    let limits = Limits {
        body_bytes: BODY_BYTES.min(shared.limits.body_bytes),
        ..shared.limits.clone()
    };
    let body = whole(&request, payload, &limits).await?;
    let query = request.query_string().as_bytes();
    let call = ApiCall {
        method: request.method().to_string(),
        path: path.into_inner(),
        query: url::form_urlencoded::parse(query).into_owned().collect(),
        token,
        body,
    };
    let answer = shared
        .run(async move { Ok(handler.provision(call).await) })
        .await?;
    Ok(answered(answer))
}

fn answered(answer: ApiAnswer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = answer.retry_after {
        response.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    if let Some(methods) = answer.allow {
        response.insert_header((ALLOW, methods));
    }
    response.json(answer.body)
}
