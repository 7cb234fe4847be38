//! Accounts and their tokens.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::State;
use crate::{
    ids,
    json::{self, Doc},
    time,
};

/// Tokens besides personal ones that a user keeps; older ones go at the next login (facts 1.1).
const MAX_LOGIN_TOKENS: usize = 50;

/// A login token or personal access token, stored by its hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the raw token, base64.
    pub hash: String,
    /// When it was made, milliseconds.
    pub when: i64,
    /// Name of a personal access token; login tokens have none.
    pub name: Option<String>,
    /// A personal token that needs no second factor.
    #[serde(default)]
    pub bypass: bool,
    /// The last six characters, shown in lists of personal tokens.
    #[serde(default)]
    pub last_part: String,
}

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// The document as `users.create` shows it, dates in `{"$date"}` form.
    pub doc: Doc,
    /// Order of creation.
    pub seq: u64,
    /// SHA-256 of the password, lower-case hexadecimal.
    pub password: Option<String>,
    /// Valid tokens.
    pub tokens: Vec<Token>,
}

impl User {
    /// The `_id`.
    pub fn id(&self) -> &str {
        json::text(&self.doc, "_id")
    }

    /// The username.
    pub fn name(&self) -> &str {
        json::text(&self.doc, "username")
    }

    /// The display name, empty when there is none.
    pub fn shown_name(&self) -> &str {
        json::text(&self.doc, "name")
    }

    /// Global roles.
    pub fn roles(&self) -> Vec<String> {
        json::texts(&self.doc, "roles")
    }

    /// Whether the account is not deactivated.
    pub fn active(&self) -> bool {
        json::flag(&self.doc, "active")
    }

    /// The first verified e-mail address.
    pub fn verified_email(&self) -> Option<&str> {
        self.doc
            .get("emails")?
            .as_array()?
            .iter()
            .find(|one| one["verified"] == json!(true))?["address"]
            .as_str()
    }

    /// `{_id, username, name}` as messages carry it; no `name` when there is none.
    pub fn author(&self) -> Value {
        let mut author = json!({ "_id": self.id(), "username": self.name() });
        if !self.shown_name().is_empty() {
            author["name"] = json!(self.shown_name());
        }
        author
    }

    /// `{_id, username}`.
    pub fn short(&self) -> Value {
        json!({ "_id": self.id(), "username": self.name() })
    }
}

/// SHA-256 of a raw token in base64, as it is stored.
pub fn token_hash(raw: &str) -> String {
    STANDARD.encode(Sha256::digest(raw.as_bytes()))
}

/// SHA-256 of a password in lower-case hexadecimal, as clients send it.
pub fn password_digest(plain: &str) -> String {
    Sha256::digest(plain.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// All accounts, found by id, name (any case), e-mail and token.
#[derive(Debug, Default)]
pub struct Users {
    all: HashMap<String, User>,
    by_name: HashMap<String, String>,
    by_email: HashMap<String, String>,
    by_token: HashMap<String, String>,
    next: u64,
}

impl Users {
    /// A user by id.
    pub fn get(&self, uid: &str) -> Option<&User> {
        self.all.get(uid)
    }

    /// A user by name, in any case.
    pub fn named(&self, name: &str) -> Option<&User> {
        self.by_name
            .get(&name.to_lowercase())
            .and_then(|uid| self.all.get(uid))
    }

    /// A user by exactly this name.
    pub fn exactly_named(&self, name: &str) -> Option<&User> {
        self.named(name).filter(|user| user.name() == name)
    }

    /// A user by e-mail address, in any case.
    pub fn with_email(&self, address: &str) -> Option<&User> {
        self.by_email
            .get(&address.to_lowercase())
            .and_then(|uid| self.all.get(uid))
    }

    /// The owner of a raw token.
    pub fn with_token(&self, raw: &str) -> Option<&User> {
        self.by_token
            .get(&token_hash(raw))
            .and_then(|uid| self.all.get(uid))
    }

    /// All users in order of creation.
    pub fn in_order(&self) -> Vec<&User> {
        let mut users: Vec<&User> = self.all.values().collect();
        users.sort_by_key(|user| user.seq);
        users
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The number that the next account gets.
    pub fn next_seq(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Stores an account in place of an older version of it.
    pub fn store(&mut self, user: User) {
        let uid = user.id().to_owned();
        self.forget(&uid);
        self.next = self.next.max(user.seq);
        self.by_name.insert(user.name().to_lowercase(), uid.clone());
        for address in emails(&user) {
            self.by_email.insert(address, uid.clone());
        }
        for token in &user.tokens {
            self.by_token.insert(token.hash.clone(), uid.clone());
        }
        self.all.insert(uid, user);
    }

    /// Removes an account and what finds it.
    pub fn forget(&mut self, uid: &str) -> Option<User> {
        let user = self.all.remove(uid)?;
        self.by_name.remove(&user.name().to_lowercase());
        for address in emails(&user) {
            self.by_email.remove(&address);
        }
        for token in &user.tokens {
            self.by_token.remove(&token.hash);
        }
        Some(user)
    }
}

fn emails(user: &User) -> Vec<String> {
    user.doc
        .get("emails")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |list| {
            list.iter()
                .filter_map(|one| one["address"].as_str())
                .map(str::to_lowercase)
                .collect()
        })
}

impl State {
    /// `{_id, username, name}` of a user; null for nobody.
    pub fn author_of(&self, uid: &str) -> Value {
        self.users
            .get(uid)
            .map_or(Value::Null, |user| user.author())
    }

    /// `{_id, username}` of a user; null for nobody.
    pub fn short_of(&self, uid: &str) -> Value {
        self.users.get(uid).map_or(Value::Null, |user| user.short())
    }

    /// Stores an account and notes it in the journal.
    pub fn save_user(&mut self, user: User) {
        self.journal.put("users", &user);
        self.users.store(user);
    }

    /// Changes an account; `_updatedAt` becomes now.
    pub fn change_user(&mut self, uid: &str, change: impl FnOnce(&mut User)) {
        if let Some(mut user) = self.users.get(uid).cloned() {
            change(&mut user);
            user.doc
                .insert("_updatedAt".to_owned(), json::date(time::now_ms()));
            // The name may have changed, so the old version has to go first.
            self.users.forget(uid);
            self.save_user(user);
        }
    }

    /// Makes a login token for a user and returns it raw; prunes the oldest beyond 50.
    pub fn issue_login_token(&mut self, uid: &str) -> String {
        let raw = ids::token();
        let token = Token {
            hash: token_hash(&raw),
            when: time::now_ms(),
            name: None,
            bypass: false,
            last_part: String::new(),
        };
        self.change_user(uid, |user| {
            user.tokens.push(token);
            while user
                .tokens
                .iter()
                .filter(|token| token.name.is_none())
                .count()
                > MAX_LOGIN_TOKENS
            {
                if let Some(oldest) = user.tokens.iter().position(|token| token.name.is_none()) {
                    user.tokens.remove(oldest);
                }
            }
        });
        raw
    }

    /// Takes all tokens of a user and closes its sockets with code 1000 (capture 21).
    pub fn revoke_tokens(&mut self, uid: &str) {
        self.change_user(uid, |user| user.tokens.clear());
        self.close_sockets_of(uid, None);
    }

    /// `/avatar/<name>` with the server's own address.
    pub fn avatar_url(&self, username: &str) -> String {
        format!(
            "{}/avatar/{username}",
            self.settings.text("Site_Url").trim_end_matches('/')
        )
    }
}
