//! The simulator's own interface: making it misbehave, and looking inside.

use anyhow::{Context, Result};
use serde_json::{Value, json};

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

    /// The rules with how many requests they `seen` and `hits`.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn rules(&self) -> Result<Value> {
        Ok(self.call("GET", "rules", None).await?["rules"].take())
    }

    /// Cuts the realtime connections of a user, or all; returns how many.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn drop_sockets(&self, user: Option<&str>) -> Result<u64> {
        self.on_sockets("drop", user, json!({})).await
    }

    /// Sends something as it is: `{"text": "…"}`, `{"binary": "base64"}`,
    /// `{"half": "…"}`, `{"oversize": bytes}` or `{"close": code}`.
    ///
    /// # Errors
    /// When the simulator does not understand it.
    pub async fn send_raw(&self, user: Option<&str>, frame: Value) -> Result<u64> {
        self.on_sockets("raw", user, json!({ "frame": frame }))
            .await
    }

    /// Sends every change that follows so many times; 1 is normal.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn repeat_frames(&self, user: Option<&str>, times: u32) -> Result<u64> {
        self.on_sockets("repeat", user, json!({ "times": times }))
            .await
    }

    /// Loses every frame that follows, without a sign, until switched off.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn mute_sockets(&self, user: Option<&str>, muted: bool) -> Result<u64> {
        self.on_sockets("mute", user, json!({ "muted": muted }))
            .await
    }

    /// Holds back every frame that follows for a while; 0 is normal.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn delay_frames(&self, user: Option<&str>, milliseconds: u64) -> Result<u64> {
        self.on_sockets("delay", user, json!({ "ms": milliseconds }))
            .await
    }

    /// The open realtime connections.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn sockets(&self) -> Result<Value> {
        Ok(self.call("GET", "sockets", None).await?["sockets"].take())
    }

    /// Every document of a room in the order of insertion, system messages
    /// included.
    ///
    /// # Errors
    /// When there is no such room.
    pub async fn documents(&self, rid: &str) -> Result<Vec<RocketMessage>> {
        let path = format!("rooms/{}/messages", escape(rid));
        let mut answer = self.call("GET", &path, None).await?;
        let documents: Vec<Value> = serde_json::from_value(answer["messages"].take())?;
        Ok(documents.into_iter().map(RocketMessage::new).collect())
    }

    /// Whether new messages come without their tree (`md`), as from a server whose
    /// parser is switched off.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn leave_out_md(&self, leave_out: bool) -> Result<()> {
        let order = json!({ "no_md": leave_out });
        self.call("POST", "behaviour", Some(&order)).await?;
        Ok(())
    }

    /// Gives a permission (`mention-all`) to these roles and no others.
    ///
    /// # Errors
    /// When there is no such permission.
    pub async fn set_permission(&self, permission: &str, roles: &[&str]) -> Result<()> {
        let order = json!({ "id": permission, "roles": roles });
        self.call("POST", "permissions", Some(&order)).await?;
        Ok(())
    }

    /// Loses reactions that come within so many milliseconds to one message, as a
    /// real server does; 0 loses none.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn lose_reactions_within(&self, milliseconds: u64) -> Result<()> {
        let order = json!({ "reaction_race_ms": milliseconds });
        self.call("POST", "behaviour", Some(&order)).await?;
        Ok(())
    }

    /// Uploads an emoji under a name and further ones, all without colons; its
    /// picture is a PNG in base64.
    ///
    /// # Errors
    /// When a name is taken.
    pub async fn upload_emoji(&self, name: &str, aliases: &[&str], picture: &str) -> Result<()> {
        let order = json!({
            "name": name, "aliases": aliases, "extension": "png", "picture": picture,
        });
        self.call("POST", "emoji", Some(&order)).await?;
        Ok(())
    }

    /// Lets so much time pass for files that wait for their message: after 24 hours
    /// they go. Returns how many went.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn expire_files(&self, milliseconds: i64) -> Result<u64> {
        let order = json!({ "ms": milliseconds });
        let answer = self.call("POST", "files/expire", Some(&order)).await?;
        let removed = answer["removed"].as_u64();
        removed.with_context(|| format!("no number of files in {answer}"))
    }

    /// Makes people without passwords, `prefix0`, `prefix1`, …; returns their ids.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn make_users(&self, prefix: &str, count: usize) -> Result<Vec<String>> {
        let order = json!({ "prefix": prefix, "count": count });
        let mut answer = self.call("POST", "users", Some(&order)).await?;
        Ok(serde_json::from_value(answer["users"].take())?)
    }

    /// Makes rooms as `rocketchat_sim::fixtures::ManyRooms` describes them:
    /// `{"prefix": "many", "count": 1000, "members_like": "member"}`. Returns their ids.
    ///
    /// # Errors
    /// When the simulator does not understand it, or a name is taken.
    pub async fn make_rooms(&self, order: &Value) -> Result<Vec<String>> {
        let mut answer = self.call("POST", "rooms", Some(order)).await?;
        Ok(serde_json::from_value(answer["rooms"].take())?)
    }

    /// Makes somebody of Rocket.Chat's own federation (`carol:other.example`); returns
    /// their id.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn make_federated_user(&self, username: &str) -> Result<String> {
        let order = json!({ "names": [username], "federated": true });
        let answer = self.call("POST", "users", Some(&order)).await?;
        let id = answer["users"][0].as_str();
        id.map(str::to_owned)
            .with_context(|| format!("no id in {answer}"))
    }

    /// Marks a room as one of Rocket.Chat's own federation, or no longer.
    ///
    /// # Errors
    /// When there is no such room.
    pub async fn mark_federated(&self, rid: &str, federated: bool) -> Result<()> {
        let order = json!({ "room": rid, "federated": federated });
        self.call("POST", "federated", Some(&order)).await?;
        Ok(())
    }

    /// Counters.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn stats(&self) -> Result<Value> {
        self.call("GET", "stats", None).await
    }

    async fn on_sockets(&self, what: &str, user: Option<&str>, mut order: Value) -> Result<u64> {
        if let Some(user) = user {
            order["user"] = json!(user);
        }
        let path = format!("sockets/{what}");
        let answer = self.call("POST", &path, Some(&order)).await?;
        let touched = answer["sockets"].as_u64();
        touched.with_context(|| format!("no number of sockets in {answer}"))
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

    /// Matches requests whose path begins with this, or fits it with `*` for any
    /// part.
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
        self.matching("user", json!(username))
    }

    /// Refuses what this user says, edits and gives, as if a moderator had muted them at
    /// this very moment: who is muted is soon kept from writing on Matrix, too.
    pub fn as_if_muted(username: &str) -> Self {
        let answer = r#"{"success":false,"error":"You_have_been_muted"}"#;
        Self::on("/api/v1/chat.")
            .method("POST")
            .username(username)
            .status_with(400, json!({}), answer)
    }

    /// Only from the n-th on, counted from 1.
    #[must_use]
    pub fn from_nth(self, nth: u64) -> Self {
        self.matching("nth", json!(nth))
    }

    /// Only so many.
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
        self.action(json!("refuse"))
    }

    /// Does and answers it after a while.
    #[must_use]
    pub fn delay(self, milliseconds: u64) -> Self {
        self.action(json!({ "delay": { "ms": milliseconds } }))
    }

    /// Answers this status with an empty body, having done nothing.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.action(json!({ "status": { "status": status } }))
    }

    /// Answers this status, these headers (an object of strings) and this body
    /// as it is, having done nothing.
    #[must_use]
    pub fn status_with(self, status: u16, headers: Value, body: &str) -> Self {
        self.action(json!({
            "status": { "status": status, "headers": headers, "body": body },
        }))
    }

    /// Does it at once and answers after a while.
    #[must_use]
    pub fn answer_after_delay(self, milliseconds: u64) -> Self {
        self.action(json!({ "answer_after_delay": { "ms": milliseconds } }))
    }

    /// Does it and closes the connection without an answer.
    #[must_use]
    pub fn do_without_answering(self) -> Self {
        self.action(json!("do_without_answering"))
    }

    /// Reads so many bytes of what is sent and closes the connection, having done
    /// nothing.
    #[must_use]
    pub fn cut_upload(self, after_bytes: u64) -> Self {
        self.action(json!({ "cut_upload": { "after": after_bytes } }))
    }

    /// Reads so many bytes of what is sent, nothing for a while, then goes on.
    #[must_use]
    pub fn stall_upload(self, after_bytes: u64, milliseconds: u64) -> Self {
        self.action(json!({ "stall_upload": { "after": after_bytes, "ms": milliseconds } }))
    }

    /// Does it and closes the connection after so many bytes of the answer's body.
    #[must_use]
    pub fn cut_download(self, after_bytes: u64) -> Self {
        self.action(json!({ "cut_download": { "after": after_bytes } }))
    }

    /// Does it, and sends nothing for a while after so many bytes of the answer's
    /// body.
    #[must_use]
    pub fn stall_download(self, after_bytes: u64, milliseconds: u64) -> Self {
        self.action(json!({ "stall_download": { "after": after_bytes, "ms": milliseconds } }))
    }

    /// Does it, and answers only the beginning of the body as if it were the whole:
    /// fewer bytes than a message said its file has.
    #[must_use]
    pub fn shorten_download(self, to_bytes: u64) -> Self {
        self.action(json!({ "shorten_download": { "to": to_bytes } }))
    }

    /// Answers 429 as Rocket.Chat's own limiter does beyond so many calls.
    #[must_use]
    pub fn rate_limit(self, calls: u32, window_milliseconds: u64) -> Self {
        self.action(json!({
            "rate_limit": { "calls": calls, "window_ms": window_milliseconds },
        }))
    }

    fn matching(mut self, key: &str, value: Value) -> Self {
        self.0["match"][key] = value;
        self
    }

    fn action(mut self, action: Value) -> Self {
        self.0["action"] = action;
        self
    }
}
