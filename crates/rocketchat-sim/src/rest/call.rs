//! A REST call as its handler sees it, and the parameters that many share (facts 0.4).

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::{
    actions::{react::Reaction, send::Prepared},
    error::Failure,
    json::{self, Doc},
    state::State,
};

/// A call after authentication.
#[derive(Debug, Default)]
pub struct Call {
    /// The caller; empty when anonymous.
    pub uid: String,
    /// The raw token of the caller.
    pub token: String,
    /// Query parameters in order.
    pub query: Vec<(String, String)>,
    /// The body, or what its `payload` held.
    pub body: Doc,
    /// `x-2fa-code`.
    pub code: Option<String>,
    /// What the path ends with on routes with a parameter.
    pub parameter: String,
    /// The form of an upload, to be taken by who stores it.
    pub form: RefCell<Option<Result<super::form::Form, Failure>>>,
}

/// What a handler came to.
pub enum Reply {
    /// Status 200; `success: true` is added.
    Success(Value),
    /// Status 200, shown as it is.
    Bare(Value),
    /// Status 307 to this address.
    Redirect(String),
    /// A message that is still to be stored, and how the answer shows it.
    Send(Box<Prepared>, Shape),
    /// A reaction that is still to be written.
    React(Box<Reaction>),
    /// A method called over REST that sends: the id of the call.
    MethodSend(Box<Prepared>, Value),
}

/// How the answer shows a sent message.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `{message}`.
    Message,
    /// `{ts, channel, message}`.
    Posted(String),
    /// `{message}`: the first one of the caller with this file, which has its message now.
    File(String),
}

/// What a handler returns.
pub type Answer = Result<Reply, Failure>;

/// A handler.
pub type Handler = fn(&mut State, &Call) -> Answer;

/// Success with these keys.
pub fn ok(value: Value) -> Answer {
    Ok(Reply::Success(value))
}

/// Success with nothing to say.
pub fn done() -> Answer {
    ok(json!({}))
}

impl Call {
    /// A query parameter, empty when missing.
    pub fn q(&self, key: &str) -> &str {
        self.query
            .iter()
            .find(|(one, _)| one == key)
            .map_or("", |(_, value)| value.as_str())
    }

    /// A query parameter that may be repeated, with or without `[]`.
    pub fn q_list(&self, key: &str) -> Vec<String> {
        let bracketed = format!("{key}[]");
        self.query
            .iter()
            .filter(|(one, _)| one == key || *one == bracketed)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// A text of the body, empty when missing.
    pub fn b(&self, key: &str) -> &str {
        json::text(&self.body, key)
    }

    /// A text of the body or of the query.
    pub fn either(&self, key: &str) -> &str {
        match self.b(key) {
            "" => self.q(key),
            value => value,
        }
    }

    /// The user that `userId`, `username` or `user` names.
    pub fn user_param<'a>(
        &self,
        state: &'a State,
    ) -> Result<&'a crate::state::users::User, Failure> {
        let (id, name) = (self.either("userId"), self.either("username"));
        let name = if name.is_empty() {
            self.either("user")
        } else {
            name
        };
        if id.is_empty() && name.is_empty() {
            return Err(Failure::coded(
                "error-user-param-not-provided",
                "The required \"userId\" or \"username\" param was not provided",
            ));
        }
        let found = if id.is_empty() {
            state.users.named(name)
        } else {
            state.users.get(id)
        };
        found.ok_or_else(|| {
            Failure::coded(
                "error-invalid-user",
                "The required \"userId\" or \"username\" param provided does not match any users",
            )
        })
    }

    /// `offset` and `count`; `usize::MAX` stands for all.
    pub fn paging(&self, state: &State) -> (usize, usize) {
        let offset = self.q("offset").parse().unwrap_or(0);
        let default = state.settings.number("API_Default_Count").max(0) as usize;
        let limit = state.settings.number("API_Upper_Count_Limit").max(1) as usize;
        let count = match self.q("count").parse::<usize>() {
            Ok(0) if state.settings.on("API_Allow_Infinite_Count") => usize::MAX,
            Ok(count) => count.min(limit),
            Err(_) => default,
        };
        (offset, count)
    }

    /// Filters by `query`, sorts by `sort` or `default`, shows the wanted page and the wanted
    /// `fields`: the paginated envelope.
    pub fn page(&self, state: &State, key: &str, list: Vec<Doc>, default: &str) -> Answer {
        self.page_where(
            state,
            key,
            list,
            default,
            state.options.profile.query_parameter(),
        )
    }

    /// The same; `filtered` tells whether `query` and `fields` have an effect.
    pub fn page_where(
        &self,
        state: &State,
        key: &str,
        mut list: Vec<Doc>,
        default: &str,
        filtered: bool,
    ) -> Answer {
        let sort = if self.q("sort").is_empty() {
            default
        } else {
            self.q("sort")
        };
        let order: Value = serde_json::from_str(sort).map_err(|_| self.invalid("sort", sort))?;
        let (mut filter, mut fields) = (Value::Null, Value::Null);
        for (name, slot) in [("query", &mut filter), ("fields", &mut fields)] {
            if !self.q(name).is_empty() {
                *slot = serde_json::from_str(self.q(name))
                    .map_err(|_| self.invalid(name, self.q(name)))?;
            }
        }
        if filtered && let Value::Object(filter) = &filter {
            list.retain(|doc| super::query::matches(doc, filter));
        }
        super::query::sort(&mut list, &order);
        let total = list.len();
        let (offset, count) = self.paging(state);
        let shown: Vec<Value> = list
            .into_iter()
            .skip(offset)
            .take(count)
            .map(|doc| {
                Value::Object(if filtered {
                    super::query::project(doc, &fields)
                } else {
                    doc
                })
            })
            .collect();
        ok(json!({ key: shown, "count": shown.len(), "offset": offset, "total": total }))
    }

    fn invalid(&self, name: &str, value: &str) -> Failure {
        Failure::coded(
            &format!("error-invalid-{name}"),
            &format!("Invalid {name} parameter provided: \"{value}\""),
        )
        .with(json!({ "helperMethod": "parseJsonQuery" }))
    }
}
