//! Frames of the realtime protocol: texts in, values out, no I/O.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::event::Unreadable;
use crate::rocketchat::error::Error;

/// A frame that the server sent.
#[derive(Debug, Clone)]
pub enum Frame<'a> {
    /// The connection is accepted.
    Connected,
    /// The server speaks no version that we speak.
    Failed,
    /// To be answered with the same id.
    Ping(Option<Value>),
    /// The answer to our ping.
    Pong,
    /// The answer to a method: its result (null if it has none) or its error.
    Result {
        /// The method's id.
        id: String,
        /// What it gave.
        outcome: Result<Value, Error>,
    },
    /// These subscriptions deliver from now on.
    Ready(Vec<String>),
    /// A subscription was refused, or ended at our wish (no error).
    NoSub {
        /// The subscription's id.
        id: String,
        /// Why.
        error: Option<Error>,
    },
    /// Something happened.
    Changed {
        /// `stream-room-messages`, …
        collection: Cow<'a, str>,
        /// The event's name and arguments, unread.
        fields: &'a RawValue,
    },
    /// The server could not understand one of our frames.
    Error {
        /// The server's reason.
        reason: String,
    },
    /// Nothing of interest: `updated`, `added`, what has no `msg`, what is unknown.
    Other,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    msg: Option<Cow<'a, str>>,
    #[serde(default)]
    id: Option<Value>,
    #[serde(borrow, default)]
    collection: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    fields: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    subs: Option<Vec<Value>>,
    #[serde(default)]
    reason: Option<Value>,
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// When it is no JSON, or an object of the protocol with parts of wrong types. What
    /// cannot be read at all may have been a message.
    pub fn parse(text: &'a str) -> Result<Self, Unreadable> {
        // serde would take a list for an object, its elements for the parts in order.
        if !text.trim_start().starts_with('{') {
            return Err(not_readable(text));
        }
        let wire: Wire = serde_json::from_str(text).map_err(|_| not_readable(text))?;
        let id = || match &wire.id {
            Some(Value::String(id)) => Ok(id.clone()),
            _ => Err(Unreadable::other("an answer without an id")),
        };
        Ok(match wire.msg.as_deref() {
            Some("connected") => Self::Connected,
            Some("failed") => Self::Failed,
            Some("ping") => Self::Ping(wire.id),
            Some("pong") => Self::Pong,
            Some("result") => Self::Result {
                id: id()?,
                outcome: outcome(wire.result, wire.error.as_ref())?,
            },
            Some("ready") => {
                let subs = wire.subs.unwrap_or_default().into_iter();
                Self::Ready(
                    subs.filter_map(|id| match id {
                        Value::String(id) => Some(id),
                        _ => None,
                    })
                    .collect(),
                )
            }
            Some("nosub") => match &wire.id {
                Some(Value::String(id)) => Self::NoSub {
                    id: id.clone(),
                    error: wire.error.as_ref().map(Error::from_realtime),
                },
                // The answer to an `unsub` without an id.
                _ => Self::Other,
            },
            Some("changed") => match (wire.collection, wire.fields) {
                (Some(collection), Some(fields)) => Self::Changed { collection, fields },
                _ => {
                    return Err(Unreadable {
                        what: "an event without a collection or fields".to_owned(),
                        maybe_message: true,
                        rid: None,
                    });
                }
            },
            Some("error") => Self::Error {
                reason: wire
                    .reason
                    .as_ref()
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .chars()
                    .take(100)
                    .collect(),
            },
            _ => Self::Other,
        })
    }
}

fn outcome(
    result: Option<&RawValue>,
    error: Option<&Value>,
) -> Result<Result<Value, Error>, Unreadable> {
    if let Some(error) = error.filter(|error| !error.is_null()) {
        return Ok(Err(Error::from_realtime(error)));
    }
    let Some(result) = result else {
        return Ok(Ok(Value::Null));
    };
    serde_json::from_str(result.get())
        .map(Ok)
        .map_err(|_| Unreadable::other("a result that is no value"))
}

/// Whether a text that is no frame may have been a message. Only what is whole JSON can
/// be known not to have been one.
fn not_readable(text: &str) -> Unreadable {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => Unreadable {
            what: "a frame with parts of wrong types".to_owned(),
            maybe_message: matches!(object.get("msg"), Some(Value::String(msg)) if msg == "changed"),
            rid: None,
        },
        Ok(_) => Unreadable::other("a frame that is no object"),
        Err(_) => Unreadable {
            what: "a frame that is no JSON".to_owned(),
            maybe_message: true,
            rid: None,
        },
    }
}

impl Unreadable {
    pub(super) fn other(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            maybe_message: false,
            rid: None,
        }
    }
}

/// Reads the answer to a method that came through REST.
pub(crate) fn method_result(text: &str) -> Result<Value, Error> {
    match Frame::parse(text) {
        Ok(Frame::Result { outcome, .. }) => outcome,
        _ => Err(Error::NotRocketChat {
            what: "an unreadable result of a method",
        }),
    }
}

/// The first frame of ours.
pub(super) fn connect() -> Value {
    json!({ "msg": "connect", "version": "1", "support": ["1"] })
}

/// A ping of ours.
pub(super) fn ping() -> Value {
    json!({ "msg": "ping" })
}

/// The answer to a ping of the server.
pub(super) fn pong(id: Option<Value>) -> Value {
    match id {
        Some(id) => json!({ "msg": "pong", "id": id }),
        None => json!({ "msg": "pong" }),
    }
}

/// A call.
pub(super) fn method(id: &str, name: &str, params: Vec<Value>) -> Value {
    json!({ "msg": "method", "id": id, "method": name, "params": params })
}

/// A subscription.
pub(super) fn sub(id: &str, name: &str, event: &str) -> Value {
    json!({
        "msg": "sub",
        "id": id,
        "name": name,
        "params": [event, { "useCollection": false, "args": [] }],
    })
}

/// The end of a subscription.
pub(super) fn unsub(id: &str) -> Value {
    json!({ "msg": "unsub", "id": id })
}
