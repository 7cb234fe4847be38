//! The paths, and what each does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, Path, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use futures_util::StreamExt as _;
use ruma::{OwnedRoomAliasId, OwnedUserId};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::reply::Refusal;
use super::transaction::{self, NotATransaction};
use super::{Handler, ThirdPartyQuery, Unavailable, app, auth, files, provision};
use crate::secret::Secret;

type Answer = Result<HttpResponse, Refusal>;

/// What all requests share.
pub(super) struct Shared<H> {
    pub handler: Arc<H>,
    pub token: Secret,
    /// Where the handler's futures run.
    pub runtime: Handle,
    pub limits: Limits,
    /// Turns true when the listener stops.
    pub stopping: watch::Receiver<bool>,
}

/// Bounds on a request's body.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub body_bytes: usize,
    /// From the head to the body's last byte.
    pub body_time: Duration,
    /// How long a reader of a file may take nothing.
    pub reader_pause: Duration,
}

impl<H: Handler> Shared<H> {
    fn authorise(&self, request: &HttpRequest) -> Result<(), Refusal> {
        auth::check(request.headers(), request.query_string(), &self.token).inspect_err(|refusal| {
            tracing::warn!(
                peer = request.peer_addr().map(tracing::field::display),
                "refused a request: {refusal}; hs_token is not the homeserver's?"
            );
        })
    }

    /// Runs a handler's future on the program's runtime and to its end: when the
    /// homeserver hangs up, only the waiting for it is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
    ) -> Result<T, Refusal> {
        match self.runtime.spawn(work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Unavailable)) => Err(Refusal::Unavailable),
            Err(ended) if ended.is_cancelled() => Err(Refusal::Unavailable),
            Err(_) => {
                tracing::error!("the handler of a request panicked");
                Err(Refusal::Broken)
            }
        }
    }
}

/// The current paths, the legacy ones that older homeservers fall back to
/// ("Legacy routes"), and the probes.
pub(super) fn configure<H: Handler>(config: &mut ServiceConfig) {
    for path in [
        "/_matrix/app/v1/transactions/{id:.+}",
        "/transactions/{id:.+}",
    ] {
        config.service(only(path, web::put().to(transaction::<H>)));
    }
    // Ids may contain a slash, which Synapse does not encode: hence the tails.
    for path in ["/_matrix/app/v1/users/{id:.+}", "/users/{id:.+}"] {
        config.service(only(path, web::get().to(user::<H>)));
    }
    for path in ["/_matrix/app/v1/rooms/{alias:.+}", "/rooms/{alias:.+}"] {
        config.service(only(path, web::get().to(alias::<H>)));
    }
    for version in ["v1", "unstable"] {
        let at = |rest: &str| format!("/_matrix/app/{version}/thirdparty/{rest}");
        config
            .service(only(
                &at("protocol/{protocol}"),
                web::get().to(protocol::<H>),
            ))
            .service(only(
                &at("user/{protocol}"),
                web::get().to(third_party_users::<H>),
            ))
            .service(only(&at("user"), web::get().to(third_party_users::<H>)))
            .service(only(
                &at("location/{protocol}"),
                web::get().to(third_party_locations::<H>),
            ))
            .service(only(
                &at("location"),
                web::get().to(third_party_locations::<H>),
            ));
    }
    config
        .service(only("/_matrix/app/v1/ping", web::post().to(ping::<H>)))
        .service(
            web::resource("/files/v1/{id}/{until}/{signature}/{name}")
                .route(web::get().to(files::serve::<H>))
                .route(web::head().to(files::serve::<H>))
                .default_service(web::to(|| async { Answer::Err(Refusal::WrongMethod) })),
        )
        .service(only(
            "/_rocketchat/app/v1/command",
            web::post().to(app::command::<H>),
        ))
        .service(
            web::resource("/_rocketchat/provision/v1/{path:.*}")
                .default_service(web::to(provision::call::<H>)),
        )
        .service(only("/health/live", web::get().to(live::<H>)))
        .service(only("/health/ready", web::get().to(ready::<H>)))
        .default_service(web::to(|| async { Answer::Err(Refusal::UnknownPath) }));
}

fn only(path: &str, route: actix_web::Route) -> Resource {
    web::resource(path)
        .route(route)
        .default_service(web::to(|| async { Answer::Err(Refusal::WrongMethod) }))
}

fn done() -> Answer {
    Ok(HttpResponse::Ok().json(json!({})))
}

fn found(exists: bool) -> Answer {
    if exists {
        done()
    } else {
        Err(Refusal::NotFound)
    }
}

async fn transaction<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Answer {
    shared.authorise(&request)?;
    let body = whole(&request, payload, &shared.limits).await?;
    let transaction =
        transaction::read(id.into_inner(), &body).map_err(|refused| {
            tracing::error!(
                ?refused,
                bytes = body.len(),
                "what the homeserver sent is no transaction; it will repeat it, and nothing else comes through meanwhile"
            );
            match refused {
                NotATransaction::NotJson(reason) => Refusal::NotJson(reason),
                NotATransaction::BadShape(reason) => Refusal::BadShape(reason),
            }
        })?;
    drop(body);
    tracing::debug!(
        id = %transaction.id,
        events = transaction.events.len(),
        ephemeral = transaction.ephemeral.len(),
        unreadable = transaction.unreadable,
        "a transaction came"
    );
    let handler = Arc::clone(&shared.handler);
    shared
        .run(async move { handler.transaction(transaction).await })
        .await?;
    done()
}

async fn user<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    id: Path<String>,
) -> Answer {
    shared.authorise(&request)?;
    let Ok(id) = OwnedUserId::try_from(id.into_inner()) else {
        return Err(Refusal::NotFound);
    };
    let handler = Arc::clone(&shared.handler);
    found(
        shared
            .run(async move { handler.user_exists(id).await })
            .await?,
    )
}

async fn alias<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    alias: Path<String>,
) -> Answer {
    shared.authorise(&request)?;
    let Ok(alias) = OwnedRoomAliasId::try_from(alias.into_inner()) else {
        return Err(Refusal::NotFound);
    };
    let handler = Arc::clone(&shared.handler);
    found(
        shared
            .run(async move { handler.alias_exists(alias).await })
            .await?,
    )
}

async fn protocol<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    protocol: Path<String>,
) -> Answer {
    shared.authorise(&request)?;
    match shared.handler.protocol(&protocol) {
        Some(description) => Ok(HttpResponse::Ok().json(description)),
        None => Err(Refusal::NotFound),
    }
}

async fn third_party_users<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    protocol: Option<Path<String>>,
) -> Answer {
    shared.authorise(&request)?;
    let query = third_party_query(&request, protocol);
    let handler = Arc::clone(&shared.handler);
    matches(
        shared
            .run(async move { handler.third_party_users(query).await })
            .await?,
    )
}

async fn third_party_locations<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    protocol: Option<Path<String>>,
) -> Answer {
    shared.authorise(&request)?;
    let query = third_party_query(&request, protocol);
    let handler = Arc::clone(&shared.handler);
    matches(
        shared
            .run(async move { handler.third_party_locations(query).await })
            .await?,
    )
}

fn third_party_query(request: &HttpRequest, protocol: Option<Path<String>>) -> ThirdPartyQuery {
    ThirdPartyQuery {
        protocol: protocol.map(Path::into_inner),
        fields: url::form_urlencoded::parse(request.query_string().as_bytes())
            .into_owned()
            .filter(|(key, _)| key != "access_token")
            .collect(),
    }
}

fn matches(results: Vec<Value>) -> Answer {
    if results.is_empty() {
        return Err(Refusal::NotFound);
    }
    Ok(HttpResponse::Ok().json(results))
}

async fn ping<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    shared.authorise(&request)?;
    whole(&request, payload, &shared.limits).await?;
    tracing::debug!("the homeserver pinged us");
    done()
}

async fn live<H: Handler>(shared: Data<Shared<H>>) -> HttpResponse {
    let health = shared.handler.health();
    probed("live", health.live, health.detail)
}

async fn ready<H: Handler>(shared: Data<Shared<H>>) -> HttpResponse {
    let health = shared.handler.health();
    probed("ready", health.ready, health.detail)
}

fn probed(what: &str, well: bool, detail: Value) -> HttpResponse {
    let mut response = if well {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(json!({what: well, "detail": detail}))
}

/// Reads a body up to the bounds. A declared length above the bound is refused
/// before anything is read.
pub(super) async fn whole(
    request: &HttpRequest,
    mut payload: Payload,
    limits: &Limits,
) -> Result<Vec<u8>, Refusal> {
    let declared = request
        .headers()
        .get(actix_web::http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok())
        .unwrap_or(0);
    let bound = limits.body_bytes;
    if declared > bound {
        return Err(Refusal::TooLarge(bound));
    }
    let reading = async {
        let mut body = Vec::with_capacity(declared.min(1 << 20));
        while let Some(part) = payload.next().await {
            let part = part.map_err(|_| Refusal::BrokenOff)?;
            if body.len() + part.len() > bound {
                return Err(Refusal::TooLarge(bound));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    };
    tokio::time::timeout(limits.body_time, reading)
        .await
        .unwrap_or(Err(Refusal::TooSlow))
}
