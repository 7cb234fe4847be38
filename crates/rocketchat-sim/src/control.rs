//! The control API: plain structs that a test can POST to `/_sim/…`, and what answers them. Every
//! request needs the header `X-Sim-Control` with the token of the options.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{realtime::hub::Out, rest::reply::json_reply, state::State};

/// Name of the header that carries the control token.
pub const HEADER: &str = "X-Sim-Control";

/// `POST /_sim/rules`: one way to misbehave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests it concerns; all when nothing is given.
    #[serde(default, rename = "match")]
    pub when: Match,
    /// What happens to them.
    pub action: Action,
}

/// Which requests a rule concerns. Everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// HTTP method, any case.
    pub method: Option<String>,
    /// Beginning of the path, or a pattern with `*`.
    pub path: Option<String>,
    /// Username of the caller.
    pub user: Option<String>,
    /// Only from the n-th matching request on, counted from 1.
    pub nth: Option<u64>,
    /// At most so many times.
    pub times: Option<u64>,
    /// Only with this chance, 0 to 1.
    pub probability: Option<f64>,
}

/// What a rule does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Close the connection before doing anything.
    #[default]
    Refuse,
    /// Wait, then do.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Answer with this instead of doing.
    Status {
        /// HTTP status.
        status: u16,
        /// Body as it is, e.g. HTML or half of a JSON text.
        #[serde(default)]
        body: String,
        /// Content type, `application/json` when missing.
        #[serde(default)]
        content_type: Option<String>,
        /// More headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// Do, then wait, then answer.
    AnswerAfterDelay {
        /// Milliseconds.
        ms: u64,
    },
    /// Do, then close the connection.
    DoWithoutAnswering,
    /// Read so many bytes of the request's body, then close the connection.
    CutUpload {
        /// Bytes.
        after: u64,
    },
    /// Read so many bytes of the request's body, wait, then go on.
    StallUpload {
        /// Bytes.
        after: u64,
        /// Milliseconds.
        ms: u64,
    },
    /// Do, then close the connection after so many bytes of the answer's body.
    CutDownload {
        /// Bytes.
        after: u64,
    },
    /// Do, then wait after so many bytes of the answer's body, then go on.
    StallDownload {
        /// Bytes.
        after: u64,
        /// Milliseconds.
        ms: u64,
    },
    /// Do, then answer only the beginning of the body as if it were the whole.
    ShortenDownload {
        /// Bytes.
        to: u64,
    },
    /// Answer 429 as the server's limiter does beyond so many calls.
    RateLimit {
        /// Calls within a window.
        calls: i64,
        /// Length of the window, milliseconds.
        window_ms: i64,
    },
}

/// A rule with its counters, as `GET /_sim/rules` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    /// The rule.
    pub rule: Rule,
    /// Requests that matched.
    pub seen: u64,
    /// Requests to which it was done.
    pub hits: u64,
}

/// Which sockets an order concerns: all, or one user's. With `POST /_sim/sockets/drop`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sockets {
    /// Username; all sockets when missing.
    pub user: Option<String>,
}

/// `POST /_sim/sockets/repeat`: every following changed frame is sent so many times, 1 is normal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// Username; all sockets when missing.
    #[serde(default)]
    pub user: Option<String>,
    /// How many times.
    pub times: u32,
}

/// `POST /_sim/sockets/mute`: frames are lost silently while it is on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mute {
    /// Username; all sockets when missing.
    #[serde(default)]
    pub user: Option<String>,
    /// On or off.
    pub muted: bool,
}

/// `POST /_sim/sockets/delay`: every following frame waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DelayFrames {
    /// Username; all sockets when missing.
    #[serde(default)]
    pub user: Option<String>,
    /// Milliseconds, 0 ends it.
    pub ms: u64,
}

/// `POST /_sim/sockets/raw`: send something that no server would.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    /// Username; all sockets when missing.
    #[serde(default)]
    pub user: Option<String>,
    /// What to send.
    pub frame: RawFrame,
}

/// A frame as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawFrame {
    /// A text frame with any content.
    Text(String),
    /// A binary frame, base64.
    Binary(String),
    /// The first fragment of a message that never ends.
    Half(String),
    /// A text frame of so many bytes.
    Oversize(usize),
    /// A close frame with this code.
    Close(u16),
}

impl Default for RawFrame {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// `POST /_sim/emoji`: upload an emoji, as `emoji-custom.create` and `.update` do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadEmoji {
    /// Name without colons.
    pub name: String,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Ending of the file, e.g. `png`.
    pub extension: String,
    /// The picture, base64.
    pub picture: String,
    /// Name of the emoji that this one replaces.
    #[serde(default)]
    pub previous: Option<String>,
}

/// `POST /_sim/behaviour`: what can be switched while the server runs. What is missing stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// New messages carry no `md`.
    pub no_md: Option<bool>,
    /// With profile 8.0: `md` of new messages as from 8.7 on.
    pub new_markdown: Option<bool>,
    /// Milliseconds between reading and writing reactions; what comes between is lost.
    pub reaction_race_ms: Option<u64>,
}

/// `POST /_sim/files/expire`: as if so much time had passed for files that wait for their message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expire {
    /// Milliseconds; 24 hours end the waiting of all.
    pub ms: i64,
}

/// `POST /_sim/permissions`: gives a permission to these roles and no others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// E.g. `mention-all`.
    pub id: String,
    /// E.g. `["admin"]`.
    pub roles: Vec<String>,
}

/// One socket, as `GET /_sim/sockets` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SocketState {
    /// Number.
    pub id: u64,
    /// Username, after a login.
    pub user: Option<String>,
    /// Streams as `name event`.
    pub subscriptions: Vec<String>,
    /// Frames sent.
    pub frames: u64,
    /// Frames are being lost.
    pub muted: bool,
}

/// An order that cannot be carried out.
struct Refused(StatusCode, String);

fn bad(error: impl std::fmt::Display) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error.to_string())
}

fn unknown_path() -> Refused {
    Refused(StatusCode::NOT_FOUND, "unknown control path".to_owned())
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refused> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(bad)
}

fn chosen(state: &State, user: Option<&str>) -> Vec<u64> {
    match user {
        Some(name) => state
            .users
            .named(name)
            .map_or_else(Vec::new, |user| state.hub.of_user(user.id())),
        None => state.hub.all().map(|(id, _)| id).collect(),
    }
}

/// Answers a request under `/_sim/`; `None` when the control API is off or the token is wrong.
pub fn handle(state: &mut State, request: &HttpRequest, body: &[u8]) -> Option<HttpResponse> {
    let token = state.options.control_token.as_deref()?;
    if request
        .headers()
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        != Some(token)
    {
        return None;
    }
    let path = request.path().strip_prefix("/_sim/")?.to_owned();
    Some(match order(state, request.method().as_str(), &path, body) {
        Ok(value) => json_reply(StatusCode::OK, &value),
        Err(Refused(status, error)) => json_reply(status, &json!({ "error": error })),
    })
}

fn order(state: &mut State, method: &str, path: &str, body: &[u8]) -> Result<Value, Refused> {
    let count = |touched: usize| Ok(json!({ "sockets": touched }));
    match (method, path) {
        ("POST", "rules") => {
            let rule: Rule = parse(body)?;
            Ok(json!({ "rules": state.rules.add(rule) }))
        }
        ("DELETE", "rules") => {
            state.rules.clear();
            Ok(json!({ "rules": 0 }))
        }
        ("GET", "rules") => Ok(json!({ "rules": state.rules.shown() })),
        ("GET", "sockets") => Ok(json!({ "sockets": sockets(state) })),
        ("POST", "sockets/drop") => {
            let wanted: Sockets = parse(body)?;
            let ids = chosen(state, wanted.user.as_deref());
            ids.iter().for_each(|id| state.hub.push(*id, Out::Drop));
            count(ids.len())
        }
        ("POST", "sockets/repeat") => {
            let wanted: Repeat = parse(body)?;
            let ids = chosen(state, wanted.user.as_deref());
            ids.iter()
                .filter_map(|id| {
                    state
                        .hub
                        .socket_mut(*id)
                        .map(|socket| socket.repeat = wanted.times)
                })
                .count();
            count(ids.len())
        }
        ("POST", "sockets/mute") => {
            let wanted: Mute = parse(body)?;
            let ids = chosen(state, wanted.user.as_deref());
            ids.iter()
                .filter_map(|id| {
                    state
                        .hub
                        .socket_mut(*id)
                        .map(|socket| socket.muted = wanted.muted)
                })
                .count();
            count(ids.len())
        }
        ("POST", "sockets/delay") => {
            let wanted: DelayFrames = parse(body)?;
            let ids = chosen(state, wanted.user.as_deref());
            let delay = Duration::from_millis(wanted.ms);
            ids.iter()
                .filter_map(|id| state.hub.socket_mut(*id).map(|socket| socket.delay = delay))
                .count();
            count(ids.len())
        }
        ("POST", "sockets/raw") => {
            let wanted: Raw = parse(body)?;
            let ids = chosen(state, wanted.user.as_deref());
            for id in &ids {
                let out = match &wanted.frame {
                    RawFrame::Text(text) => Out::Text(text.clone().into(), None),
                    RawFrame::Binary(text) => Out::Binary(STANDARD.decode(text).map_err(bad)?),
                    RawFrame::Half(text) => Out::Half(text.clone()),
                    RawFrame::Oversize(bytes) => Out::Text("x".repeat(*bytes).into(), None),
                    RawFrame::Close(code) => Out::Close(*code),
                };
                state.hub.push(*id, out);
            }
            count(ids.len())
        }
        ("POST", "emoji") => {
            let wanted: UploadEmoji = parse(body)?;
            let picture = STANDARD.decode(&wanted.picture).map_err(bad)?;
            let done = state.upload_emoji(
                wanted.previous.as_deref(),
                &wanted.name,
                wanted.aliases,
                &wanted.extension,
                picture,
            );
            if done {
                Ok(json!({ "emoji": state.emoji.all.len() }))
            } else {
                Err(bad("the name is taken, or the previous one unknown"))
            }
        }
        ("POST", "behaviour") => {
            let wanted: Behaviour = parse(body)?;
            if let Some(off) = wanted.no_md {
                state.options.no_md = off;
            }
            if let Some(on) = wanted.new_markdown {
                state.options.new_markdown = on;
            }
            if let Some(ms) = wanted.reaction_race_ms {
                state.options.reaction_race_ms = ms;
            }
            Ok(json!({
                "no_md": state.options.no_md, "new_markdown": state.options.new_markdown,
                "reaction_race_ms": state.options.reaction_race_ms,
            }))
        }
        ("POST", "files/expire") => {
            let wanted: Expire = parse(body)?;
            let at = crate::time::now_ms().saturating_add(wanted.ms);
            let removed = state.expire_files(at);
            state.journal.flush();
            Ok(json!({ "removed": removed }))
        }
        ("POST", "users") => state.make_users(&parse(body)?).map_err(bad),
        ("POST", "rooms") => state.make_rooms(&parse(body)?).map_err(bad),
        ("POST", "federated") => state.mark_federated(&parse(body)?).map_err(bad),
        ("POST", "permissions") => {
            let wanted: Permission = parse(body)?;
            if state.change_permission(&wanted.id, &wanted.roles) {
                Ok(json!({ "id": wanted.id, "roles": wanted.roles }))
            } else {
                Err(bad("there is no such permission"))
            }
        }
        ("GET", "stats") => Ok(json!({
            "requests": state.stats, "messages": state.messages.count(), "users": state.users.count(),
            "since": state.started,
        })),
        ("GET", path) => match path
            .strip_prefix("rooms/")
            .and_then(|rest| rest.strip_suffix("/messages"))
        {
            Some(rid) => Ok(
                json!({ "messages": state.messages.inserted(rid).iter().map(|one| &one.doc).collect::<Vec<_>>() }),
            ),
            None => Err(unknown_path()),
        },
        _ => Err(unknown_path()),
    }
}

fn sockets(state: &State) -> Vec<SocketState> {
    state
        .hub
        .all()
        .map(|(id, socket)| SocketState {
            id,
            user: socket
                .user
                .as_ref()
                .and_then(|uid| state.users.get(uid))
                .map(|user| user.name().to_owned()),
            subscriptions: socket
                .subs
                .values()
                .map(|sub| format!("{} {}", sub.name, sub.event))
                .collect(),
            frames: socket.frames,
            muted: socket.muted,
        })
        .collect()
}
