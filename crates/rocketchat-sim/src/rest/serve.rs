//! Everything that happens around a handler.

use std::time::Duration;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{StatusCode, header::HeaderName, header::HeaderValue},
    web,
};
use rand::RngExt;
use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, Reply, Shape},
    downloads, faulty,
    form::{self, Form, Incoming, Wanted},
    info, reply, shown,
};
use crate::{
    actions::send::Prepared,
    control::{self, Action},
    error::Failure,
    json::Doc,
    limiter::Count,
    misbehave::Applied,
    server::{Shared, Wire},
    state::{State, users::token_hash},
    time,
};

const BAD_REQUEST: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>Bad Request</pre>\n</body>\n</html>\n";

/// The page of the web app, as long as the real one so that nobody takes it for a small answer.
fn web_app() -> HttpResponse {
    let head = "<!DOCTYPE html>\n<html>\n<head>\n<title>Rocket.Chat</title>\n</head>\n<body>\n";
    let filler = "<!-- the web app of a simulated server -->\n".repeat(5300);
    reply::html(StatusCode::OK, format!("{head}{filler}</body>\n</html>\n"))
}

/// Answers every request but the socket's.
pub async fn serve(
    request: HttpRequest,
    body: web::Payload,
    shared: web::Data<Shared>,
) -> HttpResponse {
    if request.path().starts_with("/_sim/") {
        let Some(body) = form::whole(Box::pin(body)).await else {
            return HttpResponse::PayloadTooLarge().finish();
        };
        let answer = control::handle(&mut shared.lock(), &request, &body);
        return answer.unwrap_or_else(|| unknown(&request));
    }
    let rule = {
        let mut state = shared.lock();
        if state.rules.is_empty() {
            None
        } else {
            let user = caller(&state, &request).map_or(String::new(), |(_, name, _)| name);
            state.rules.apply(
                request.method().as_str(),
                request.path(),
                &user,
                time::now_ms(),
            )
        }
    };
    let wire = request.conn_data::<Wire>().cloned();
    let cut = || {
        if let Some(wire) = &wire {
            wire.cut();
        }
        HttpResponse::ServiceUnavailable().force_close().finish()
    };
    let mut body: Incoming = Box::pin(body);
    match rule.map(|applied| (applied.action.clone(), applied)) {
        None => answer(&request, body, &shared).await,
        Some((Action::Refuse, _)) => cut(),
        Some((Action::Delay { ms }, _)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            answer(&request, body, &shared).await
        }
        Some((
            Action::Status {
                status,
                body: text,
                content_type,
                headers,
            },
            _,
        )) => {
            form::drain(body).await;
            let mut response = HttpResponse::build(
                StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            );
            response.insert_header((
                "content-type",
                content_type.unwrap_or_else(|| "application/json".to_owned()),
            ));
            for (name, value) in headers {
                response.insert_header((name, value));
            }
            response.body(text)
        }
        Some((Action::AnswerAfterDelay { ms }, _)) => {
            let response = answer(&request, body, &shared).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            response
        }
        Some((Action::DoWithoutAnswering, _)) => {
            answer(&request, body, &shared).await;
            cut()
        }
        Some((Action::CutUpload { after }, _)) => {
            body = faulty::upload(body, after, None);
            // What came of half a body is nobody's business any more.
            answer(&request, body, &shared).await;
            cut()
        }
        Some((Action::StallUpload { after, ms }, _)) => {
            body = faulty::upload(body, after, Some(Duration::from_millis(ms)));
            answer(&request, body, &shared).await
        }
        Some((Action::CutDownload { after }, _)) => {
            let response = answer(&request, body, &shared).await;
            faulty::download(response, faulty::Fault::Cut { after, wire })
        }
        Some((Action::StallDownload { after, ms }, _)) => {
            let response = answer(&request, body, &shared).await;
            let pause = Duration::from_millis(ms);
            faulty::download(response, faulty::Fault::Stall { after, pause })
        }
        Some((Action::ShortenDownload { to }, _)) => {
            let response = answer(&request, body, &shared).await;
            faulty::download(response, faulty::Fault::Short { to })
        }
        Some((Action::RateLimit { calls, .. }, Applied { limited, .. })) => match limited {
            Some(count) if !count.allowed => {
                form::drain(body).await;
                too_many(calls, count)
            }
            Some(count) => with_limits(answer(&request, body, &shared).await, calls, count),
            None => answer(&request, body, &shared).await,
        },
    }
}

/// Who calls, by `X-User-Id` and `X-Auth-Token`: id, name, raw token.
pub(super) fn caller(state: &State, request: &HttpRequest) -> Option<(String, String, String)> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let (uid, token) = (header("x-user-id")?, header("x-auth-token")?);
    let user = state.users.get(uid)?;
    is_valid(state, uid, token).then(|| (uid.to_owned(), user.name().to_owned(), token.to_owned()))
}

/// Whether a raw token is one of an active user, and not too old.
pub(super) fn is_valid(state: &State, uid: &str, token: &str) -> bool {
    let hash = token_hash(token);
    let life = state.settings.number("Accounts_LoginExpiration") * 86_400_000;
    state.users.get(uid).is_some_and(|user| {
        user.active()
            && user.tokens.iter().any(|one| {
                one.hash == hash && (one.name.is_some() || one.when + life > time::now_ms())
            })
    })
}

/// What is not the API's: the web app for readers, 405 for everybody else (capture 02).
fn unknown(request: &HttpRequest) -> HttpResponse {
    match request.method().as_str() {
        "GET" | "HEAD" => web_app(),
        _ => HttpResponse::MethodNotAllowed()
            .insert_header(("allow", "OPTIONS, GET, HEAD"))
            .insert_header(("access-control-allow-origin", "*"))
            .finish(),
    }
}

async fn answer(request: &HttpRequest, body: Incoming, shared: &Shared) -> HttpResponse {
    let path = request.path();
    if let Some(response) = downloads::answer(request, shared).await {
        return response;
    }
    let form = if request.method() == "POST" {
        let state = shared.lock();
        Wanted::of(&state, path).map(|wanted| (wanted, state.files.directory().to_owned()))
    } else {
        None
    };
    if let Some((wanted, directory)) = form
        && request.content_type() != "application/json"
    {
        let form = form::read(request, body, &wanted, &directory).await;
        return routed(request, &[], Some(form), shared).await;
    }
    match form::whole(body).await {
        Some(body) => routed(request, &body, None, shared).await,
        None => HttpResponse::PayloadTooLarge().finish(),
    }
}

/// Answers what is no file.
async fn routed(
    request: &HttpRequest,
    body: &[u8],
    form: Option<Result<Form, Failure>>,
    shared: &Shared,
) -> HttpResponse {
    let path = request.path();
    if path == "/api/info" && request.method() == "GET" {
        let state = shared.lock();
        let uid = caller(&state, request).map_or(String::new(), |(uid, ..)| uid);
        return reply::json_reply(StatusCode::OK, &info::api_info(&state, &uid));
    }
    if let Some(response) = super::avatars::answer(&shared.lock(), request) {
        return response;
    }
    if let Some(file) = path.strip_prefix("/emoji-custom/")
        && request.method() == "GET"
    {
        return super::emoji::picture(&shared.lock(), file);
    }
    if let Some(address) = path.strip_prefix("/hooks/")
        && request.method() == "POST"
    {
        return match read_body(request, body) {
            Some(body) => hook(address, body, shared).await,
            None => reply::html(StatusCode::BAD_REQUEST, BAD_REQUEST),
        };
    }
    if let Some(rest) = path.strip_prefix("/api/apps") {
        return super::apps::answer(&mut shared.lock(), request, rest, body);
    }
    if path.starts_with("/.well-known/") {
        return HttpResponse::NotFound().finish();
    }
    let profile = shared.lock().options.profile;
    let found = path
        .strip_prefix("/api/v1/")
        .filter(|path| super::exists(path, profile))
        .and_then(super::find);
    let Some((routes, parameter)) = found else {
        return unknown(request);
    };
    let verb = request.method().as_str();
    if verb == "HEAD" {
        return web_app();
    }
    if verb == "OPTIONS" {
        let text = "CORS not enabled. Go to \"Admin > General > REST Api\" to enable it.";
        return HttpResponse::MethodNotAllowed()
            .content_type("text/plain; charset=utf-8")
            .body(text);
    }
    let Some(body) = read_body(request, body) else {
        return reply::html(StatusCode::BAD_REQUEST, BAD_REQUEST);
    };
    let Some(route) = routes.iter().find(|route| route.verb == verb) else {
        let mut allowed: Vec<&str> = routes.iter().map(|route| route.verb).collect();
        allowed.push("OPTIONS");
        let mut response = reply::json_reply(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({ "status": "error", "message": "API endpoint does not exist" }),
        );
        set(&mut response, "allow", &allowed.join(", "));
        return response;
    };
    let (response, denied) = call(request, route, parameter, (body, form), shared).await;
    if denied && shared.lock().options.delay_denials {
        let pause = rand::rng().random_range(500..1000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    response
}

/// Posts what an incoming webhook is told.
async fn hook(address: &str, body: Doc, shared: &Shared) -> HttpResponse {
    let prepared = super::webhooks::incoming(&mut shared.lock(), address, body);
    let messages = match prepared {
        Ok(messages) => messages,
        Err((status, error)) => {
            return reply::json_reply(status, &json!({ "success": false, "error": error }));
        }
    };
    for message in messages {
        if let Err(failure) = store(shared, Box::new(message)).await {
            let error = failure.told_to_author();
            let body = json!({ "success": false, "error": error });
            return reply::json_reply(StatusCode::BAD_REQUEST, &body);
        }
    }
    shared.lock().journal.flush();
    reply::json_reply(StatusCode::OK, &json!({ "success": true }))
}

/// JSON or urlencoded; a text `payload` holds the real body. `None` for broken JSON.
fn read_body(request: &HttpRequest, body: &[u8]) -> Option<Doc> {
    let kind = request.content_type();
    let parsed = if body.is_empty() {
        Doc::new()
    } else if kind == "application/json" {
        match serde_json::from_slice(body).ok()? {
            Value::Object(parsed) => parsed,
            Value::Array(_) => Doc::new(),
            _ => return None,
        }
    } else if kind == "application/x-www-form-urlencoded" {
        pairs(std::str::from_utf8(body).unwrap_or(""))
            .into_iter()
            .map(|(key, value)| (key, json!(value)))
            .collect()
    } else {
        Doc::new()
    };
    match parsed
        .get("payload")
        .and_then(Value::as_str)
        .map(serde_json::from_str)
    {
        Some(Ok(Value::Object(inner))) => Some(inner),
        _ => Some(parsed),
    }
}

pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

fn set(response: &mut HttpResponse, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
}

fn with_limits(mut response: HttpResponse, limit: i64, count: Count) -> HttpResponse {
    set(&mut response, "x-ratelimit-limit", &limit.to_string());
    set(
        &mut response,
        "x-ratelimit-remaining",
        &count.remaining.to_string(),
    );
    set(
        &mut response,
        "x-ratelimit-reset",
        &count.reset_ms.to_string(),
    );
    response
}

fn too_many(limit: i64, count: Count) -> HttpResponse {
    let seconds = ((count.reset_ms - time::now_ms()).max(0) + 999) / 1000;
    let text = format!(
        "Error, too many requests. Please slow down. You must wait {seconds} seconds before trying this endpoint again. [error-too-many-requests]"
    );
    let body = json!({ "success": false, "error": text });
    with_limits(
        reply::json_reply(StatusCode::TOO_MANY_REQUESTS, &body),
        limit,
        count,
    )
}

/// Runs a route; also tells whether it was denied with 401 or 403.
async fn call(
    request: &HttpRequest,
    route: &Route,
    parameter: String,
    body: (Doc, Option<Result<Form, Failure>>),
    shared: &Shared,
) -> (HttpResponse, bool) {
    let begun = begin(&mut shared.lock(), request, route, parameter, body);
    let (call, limits, outcome) = match begun {
        Ok(begun) => begun,
        Err(stopped) => return *stopped,
    };
    let outcome = match outcome {
        Ok(Reply::Send(prepared, shape)) => store(shared, prepared).await.map(|doc| {
            Reply::Success(match shape {
                Shape::Message => json!({ "message": doc }),
                Shape::Posted(channel) => {
                    json!({ "ts": time::now_ms(), "channel": channel, "message": doc })
                }
                Shape::File(file) => {
                    let mut state = shared.lock();
                    state.confirm_file(&file);
                    json!({ "message": state.first_with_file(&call.uid, &file) })
                }
            })
        }),
        Ok(Reply::React(reaction)) => {
            let pause = shared.lock().options.reaction_race_ms;
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            shared.lock().commit_reaction(*reaction);
            Ok(Reply::Success(json!({})))
        }
        Ok(Reply::MethodSend(prepared, id)) => {
            let sent = store(shared, prepared).await.ok().map(Value::Object);
            Ok(Reply::Success(super::method_call::wrap(&id, Ok(sent))))
        }
        other => other,
    };
    finish(&mut shared.lock(), request, &call, limits, outcome)
}

/// Looks whether the id is taken, takes the time that a real server needs, and stores.
async fn store(shared: &Shared, prepared: Box<Prepared>) -> Result<Doc, Failure> {
    let (pause, duplicate) = {
        let mut state = shared.lock();
        state.journal.flush();
        (state.options.message_delay_ms, state.duplicate(&prepared))
    };
    if let Some(failure) = duplicate {
        return Err(failure);
    }
    if pause > 0 {
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    shared.lock().commit_send(*prepared)
}

/// A call, the state of its limiter, and what its handler said.
type Begun = (Call, Option<(i64, Count)>, Answer);

/// Everything up to the handler; an error is an answer that needs no more.
fn begin(
    state: &mut State,
    request: &HttpRequest,
    route: &Route,
    parameter: String,
    (body, form): (Doc, Option<Result<Form, Failure>>),
) -> Result<Begun, Box<(HttpResponse, bool)>> {
    let mut limits = None;
    *state
        .stats
        .entry(format!("{} {}", route.verb, route.path))
        .or_default() += 1;
    let who = caller(state, request);
    if route.auth && who.is_none() {
        let (status, body) = reply::failure(&Failure::NotLoggedIn, state.options.profile);
        return Err(Box::new((reply::json_reply(status, &body), true)));
    }
    let (uid, _, token) = who.unwrap_or_default();
    if state.settings.on("API_Enable_Rate_Limiter")
        && !route.path.starts_with("method.call")
        && !state.may(&uid, "api-bypass-rate-limit")
    {
        let limit = state
            .settings
            .number("API_Enable_Rate_Limiter_Limit_Calls_Default");
        let interval = state
            .settings
            .number("API_Enable_Rate_Limiter_Limit_Time_Default");
        let address = client_address(request);
        let key = format!("rest|{} {}|{address}", route.verb, route.path);
        let count = state.limiter.count(&key, limit, interval, time::now_ms());
        if !count.allowed {
            return Err(Box::new((too_many(limit, count), false)));
        }
        limits = Some((limit, count));
    }
    let code = request
        .headers()
        .get("x-2fa-code")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let call = Call {
        uid,
        token,
        query: pairs(request.query_string()),
        body,
        code,
        parameter,
        form: form.into(),
    };
    let outcome = (route.handler)(state, &call);
    Ok((call, limits, outcome))
}

/// Writes the answer down, after the journal.
fn finish(
    state: &mut State,
    request: &HttpRequest,
    call: &Call,
    limits: Option<(i64, Count)>,
    outcome: Answer,
) -> (HttpResponse, bool) {
    state.journal.flush();
    let profile = state.options.profile;
    let (status, body) = match outcome {
        Ok(Reply::Success(mut value)) => {
            value["success"] = json!(true);
            if state.stars {
                shown::own_stars(&mut value, &call.uid);
            }
            if state.settings.on("UI_Use_Real_Name") {
                shown::real_names(state, &mut value);
            }
            (StatusCode::OK, value)
        }
        Ok(Reply::Bare(value)) => (StatusCode::OK, value),
        Ok(Reply::Redirect(url)) => {
            let mut response = reply::plain_reply(StatusCode::TEMPORARY_REDIRECT, url.clone());
            set(&mut response, "location", &url);
            return (response, false);
        }
        // These were taken care of before.
        Ok(Reply::Send(..) | Reply::React(..) | Reply::MethodSend(..)) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "success": false }),
        ),
        Err(failure) => reply::failure(&failure, profile),
    };
    // Details of failures show what the client sent, dates in its own form.
    let mut response = if status == StatusCode::OK {
        reply::json_reply(status, &body)
    } else {
        reply::plain_reply(status, body.to_string())
    };
    if request.path().starts_with("/api/v1/rooms.upload/") {
        let text = "The endpoint \"/api/v1/rooms.upload/:rid\" is deprecated and will be removed on version 8.0.0 ( Please use the alternative(s): rooms.media)";
        set(&mut response, "x-deprecation-type", "endpoint-deprecation");
        set(&mut response, "x-deprecation-message", text);
        set(&mut response, "x-deprecation-version", "8.0.0");
    }
    if profile.query_parameter()
        && let Some((name, _)) = call
            .query
            .iter()
            .find(|(key, _)| key == "query" || key == "fields")
    {
        let text = format!(
            "The parameter \"{name}\" in the endpoint \"{}\" is deprecated and will be removed on version 7.0.0",
            request.path()
        );
        set(&mut response, "x-deprecation-type", "parameter-deprecation");
        set(&mut response, "x-deprecation-message", &text);
        set(&mut response, "x-deprecation-version", "7.0.0");
    }
    if let Some((limit, count)) = limits {
        response = with_limits(response, limit, count);
    }
    (
        response,
        status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN,
    )
}

/// The caller's address: the last of `x-forwarded-for`, `x-real-ip`, or the connection's (facts 0.3).
fn client_address(request: &HttpRequest) -> String {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    header("x-forwarded-for")
        .and_then(|list| list.rsplit(',').next())
        .or_else(|| header("x-real-ip"))
        .map_or_else(
            || {
                request
                    .peer_addr()
                    .map_or(String::new(), |peer| peer.ip().to_string())
            },
            |one| one.trim().to_owned(),
        )
}
