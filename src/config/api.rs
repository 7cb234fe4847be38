//! The provisioning API: which programs may use it.

use ruma::OwnedUserId;
use serde::Deserialize;

use super::{ConfigProblem, Environment};
use crate::secret::Secret;

/// Shorter tokens could be guessed, in bytes.
const SHORTEST: usize = 24;

/// The provisioning API.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Those who may use it; without any there is none.
    pub tokens: Vec<ApiToken>,
}

/// A program that may use the API.
#[derive(Debug, Clone)]
pub struct ApiToken {
    /// What it is called where it is noted what was done.
    pub name: String,
    /// What it presents.
    pub token: Secret,
    /// Whether it may change anything.
    pub write: bool,
    /// For whom on Matrix it proposes to join rooms, and answers to that: what they may do
    /// in the rooms, it may.
    pub user: Option<OwnedUserId>,
    /// The same on Rocket.Chat: the id of an account.
    pub account: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSection {
    tokens: Vec<TokenSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSection {
    name: String,
    token: Secret,
    #[serde(default)]
    write: bool,
    user: Option<OwnedUserId>,
    account: Option<String>,
}

/// Checks the section; a token of the environment may change things.
pub(super) fn api(
    section: ApiSection,
    environment: &Environment,
) -> Result<ApiOptions, ConfigProblem> {
    let mut tokens: Vec<ApiToken> = Vec::new();
    let from_environment = environment.secret("API_TOKEN")?.map(|token| TokenSection {
        name: "environment".to_owned(),
        token,
        write: true,
        user: None,
        account: None,
    });
    for section in section.tokens.into_iter().chain(from_environment) {
        if section.token.expose().len() < SHORTEST {
            return Err(ConfigProblem::value(
                "api.tokens",
                &section.name,
                "a token of 24 characters or more, such as `openssl rand -hex 24` makes",
            ));
        }
        let is_name = !section.name.is_empty() && section.name.len() <= 64;
        if !is_name || tokens.iter().any(|other| other.name == section.name) {
            return Err(ConfigProblem::value(
                "api.tokens",
                &section.name,
                "a short name for each token, and another for each",
            ));
        }
        if tokens
            .iter()
            .any(|other| other.token.matches(section.token.expose()))
        {
            return Err(ConfigProblem::value(
                "api.tokens",
                &section.name,
                "a token of its own",
            ));
        }
        let account = section.account.as_deref();
        if account.is_some_and(|id| id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            return Err(ConfigProblem::value(
                "api.tokens",
                &section.name,
                "as `account` the id of an account on Rocket.Chat, not its name",
            ));
        }
        if !section.write && (section.user.is_some() || section.account.is_some()) {
            return Err(ConfigProblem::value(
                "api.tokens",
                &section.name,
                "`write: true` where there is a `user` or an `account`",
            ));
        }
        tokens.push(ApiToken {
            name: section.name,
            token: section.token,
            write: section.write,
            user: section.user,
            account: section.account,
        });
    }
    Ok(ApiOptions { tokens })
}
