//! The simulator's own interface: making it misbehave, and looking inside.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::RocketMessage;
use crate::http::{Api, escape};

/// Calls under `/_sim`.
#[derive(Debug, Clone)]
pub struct SimControl {
    api: Api,
}

impl SimControl {
    pub(crate) fn new(base: &str, token: &str) -> Result<Self> {
        Ok(Self {
            api: Api::new(base, &[("x-sim-control", token)])?,
        })
    }

    /// Adds a rule; rules are tried in the order they were added.
    ///
    /// # Errors
    /// When the simulator does not understand it.
    pub async fn add_rule(&self, rule: Rule) -> Result<Value> {
        self.call("POST", "rules", Some(&rule.0)).await
    }

    /// Behaves again.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn clear_rules(&self) -> Result<()> {
        self.call("DELETE", "rules", None).await?;
        Ok(())
    }

    /// Cuts realtime connections; `which` selects them, `{}` means all.
    ///
    /// # Errors
    /// When the simulator does not understand it.
    pub async fn drop_sockets(&self, which: Value) -> Result<Value> {
        self.call("POST", "sockets/drop", Some(&which)).await
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// When the simulator does not understand it.
    pub async fn send_raw(&self, what: Value) -> Result<Value> {
        self.call("POST", "sockets/raw", Some(&what)).await
    }

    /// Sends frames again that were sent before.
    ///
    /// # Errors
    /// When the simulator does not understand it.
    pub async fn repeat_frames(&self, what: Value) -> Result<Value> {
        self.call("POST", "sockets/repeat", Some(&what)).await
    }

    /// The open realtime connections.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn sockets(&self) -> Result<Value> {
        self.call("GET", "sockets", None).await
    }

    /// Every document of a room in the order of insertion, system messages
    /// included.
    ///
    /// # Errors
    /// When there is no such room.
    pub async fn documents(&self, rid: &str) -> Result<Vec<RocketMessage>> {
        let path = format!("rooms/{}/messages", escape(rid));
        let answer = self.call("GET", &path, None).await?;
        let documents = match answer {
            Value::Array(documents) => documents,
            mut other => match other["messages"].take() {
                Value::Array(documents) => documents,
                _ => anyhow::bail!("no messages in {other}"),
            },
        };
        Ok(documents.into_iter().map(RocketMessage::new).collect())
    }

    /// Counters.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn stats(&self) -> Result<Value> {
        self.call("GET", "stats", None).await
    }

    /// Any call; `path` counts from `/_sim/`.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("/_sim/{path}");
        let called = self.api.json(method, &path, body).await;
        called.context("the simulator's control interface")
    }
}

/// Which requests are treated how, for [`SimControl::add_rule`].
///
/// ```
/// use testbed::Rule;
/// let rule = Rule::on("/api/v1/chat.sendMessage").times(3).status(502);
/// ```
#[derive(Debug, Clone)]
pub struct Rule(Value);

impl Rule {
    /// Matches every request.
    pub fn everything() -> Self {
        Self(json!({ "match": {} }))
    }

    /// Matches requests to a path.
    pub fn on(path: &str) -> Self {
        Self::everything().matching("path", json!(path))
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        self.matching("method", json!(method))
    }

    /// Only requests of this user.
    #[must_use]
    pub fn username(self, username: &str) -> Self {
        self.matching("username", json!(username))
    }

    /// Only the first so many.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        self.matching("times", json!(times))
    }

    /// Only some, by chance (0 to 1).
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        self.matching("probability", json!(probability))
    }

    /// Closes the connection without an answer, having done nothing.
    #[must_use]
    pub fn refuse(self) -> Self {
        self.action("refuse", Map::new())
    }

    /// Does and answers it after a while.
    #[must_use]
    pub fn delay(self, milliseconds: u64) -> Self {
        self.action("delay", fields(json!({ "ms": milliseconds })))
    }

    /// Answers this status, having done nothing.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.action("status", fields(json!({ "status": status })))
    }

    /// Answers this status, headers and body, having done nothing.
    #[must_use]
    pub fn status_with(self, status: u16, headers: Value, body: Value) -> Self {
        let answer = json!({ "status": status, "headers": headers, "body": body });
        self.action("status", fields(answer))
    }

    /// Does it at once and answers after a while.
    #[must_use]
    pub fn answer_after_delay(self, milliseconds: u64) -> Self {
        self.action("answer_after_delay", fields(json!({ "ms": milliseconds })))
    }

    /// Does it and closes the connection without an answer.
    #[must_use]
    pub fn do_without_answering(self) -> Self {
        self.action("do_without_answering", Map::new())
    }

    fn matching(mut self, key: &str, value: Value) -> Self {
        self.0["match"][key] = value;
        self
    }

    fn action(mut self, kind: &str, mut fields: Map<String, Value>) -> Self {
        fields.insert("type".to_owned(), json!(kind));
        self.0["action"] = Value::Object(fields);
        self
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
