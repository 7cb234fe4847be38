//! The accounts that a recording presumes, made through the simulator's own REST API.

use std::collections::HashMap;

use rocketchat_sim::RunningSim;
use serde_json::{Value, json};

use super::Known;

/// label, username, display name, roles, recorded id
pub const BASE: &[(&str, &str, &str, &[&str], &str)] = &[
    (
        "alice",
        "alice",
        "Alice Liddell",
        &["user"],
        "s7t6Ru9KzWhPPtxu6",
    ),
    ("bob", "bob", "Bob Builder", &["user"], "SYbxwvA4qFkn4pxTC"),
    (
        "carol",
        "carol",
        "Carol Kaye",
        &["user"],
        "oBPFZFTDFQh7CF6Gg",
    ),
    (
        "dora",
        "mx_dora_example.org",
        "Dora (Matrix)",
        &["user", "bot"],
        "rzfD9yxQ7Cr6htg76",
    ),
    (
        "eve",
        "mx_eve_example.org",
        "Eve (Matrix)",
        &["user", "bot"],
        "iTzHqbRbnGKrrHTCG",
    ),
    (
        "bot",
        "bridge.bot",
        "Bridge Bot",
        &["admin", "bot"],
        "jxWMMCF6ohLzx2CHG",
    ),
];

/// The recorded id of the administrator.
pub const ADMIN: &str = "6b00993691f7307ee0dabe77";

/// A caller's credentials in the simulator.
#[derive(Clone, Default)]
pub struct Credentials {
    pub uid: String,
    pub token: String,
}

pub struct Setup {
    pub http: reqwest::Client,
    pub url: String,
    pub admin: Credentials,
    /// Other accounts that a recording shows: recorded id to username and name.
    pub strangers: HashMap<String, (String, String)>,
}

impl Setup {
    pub async fn new(sim: &RunningSim) -> Self {
        let mut setup = Self {
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            url: sim.url(),
            admin: Credentials::default(),
            strangers: HashMap::new(),
        };
        setup.admin = setup.login("admin", "pw-admin").await;
        setup
    }

    pub async fn post(&self, who: Option<&Credentials>, path: &str, body: &Value) -> Value {
        let mut request = self
            .http
            .post(format!("{}/api/v1/{path}", self.url))
            .json(body);
        if let Some(who) = who {
            request = request
                .header("x-user-id", &who.uid)
                .header("x-auth-token", &who.token);
        }
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn login(&self, user: &str, password: &str) -> Credentials {
        let answer = self
            .post(
                None,
                "login",
                &json!({ "user": user, "password": password }),
            )
            .await;
        Credentials {
            uid: answer["data"]["userId"].as_str().unwrap().to_owned(),
            token: answer["data"]["authToken"].as_str().unwrap().to_owned(),
        }
    }

    /// Makes the six accounts of the recordings, with a token each and a personal one for the bot.
    pub async fn base(&self, known: &mut Known) {
        known.texts.insert(ADMIN.to_owned(), self.admin.uid.clone());
        known
            .texts
            .insert("<token:admin>".to_owned(), self.admin.token.clone());
        for (label, username, name, roles, recorded) in BASE {
            let who = self.make(label, username, name, roles).await;
            known.texts.insert((*recorded).to_owned(), who.uid.clone());
            known
                .texts
                .insert(format!("<token:{label}>"), who.token.clone());
            if *label == "bot" {
                let body = json!({ "tokenName": "replay", "bypassTwoFactor": true });
                let answer = self
                    .post(Some(&who), "users.generatePersonalAccessToken", &body)
                    .await;
                known.texts.insert(
                    "<pat:bot>".to_owned(),
                    answer["token"].as_str().unwrap().to_owned(),
                );
            }
        }
        // Direct rooms are named by their two members, sorted.
        for (.., one) in BASE {
            for (.., other) in BASE {
                let sorted = |mut pair: [String; 2]| {
                    pair.sort();
                    pair.concat()
                };
                let recorded = sorted([(*one).to_owned(), (*other).to_owned()]);
                let simulated = sorted([known.texts[*one].clone(), known.texts[*other].clone()]);
                known.texts.insert(recorded, simulated);
            }
        }
    }

    pub async fn make(
        &self,
        label: &str,
        username: &str,
        name: &str,
        roles: &[&str],
    ) -> Credentials {
        let body = json!({
            "email": format!("{label}@replay.invalid"), "name": name, "password": format!("pw-{label}"),
            "username": username, "roles": roles, "joinDefaultChannels": false, "requirePasswordChange": false,
        });
        let made = self.post(Some(&self.admin), "users.create", &body).await;
        assert_eq!(made["success"], json!(true), "{made}");
        self.login(username, &format!("pw-{label}")).await
    }

    /// Finds or makes the token behind a placeholder for an account that is not one of the six.
    pub async fn token(
        &self,
        known: &mut Known,
        placeholder: &str,
        recorded_uid: &str,
    ) -> Option<String> {
        if let Some(token) = known.texts.get(placeholder) {
            return Some(token.clone());
        }
        if !placeholder.starts_with('<') {
            return None;
        }
        if !known.texts.contains_key(recorded_uid) {
            let known_here = self.strangers.get(recorded_uid).cloned();
            let (username, name) = known_here.or_else(|| {
                placeholder
                    .contains("onlybot")
                    .then(|| ("onlybot".to_owned(), "Only Bot".to_owned()))
            })?;
            let label = placeholder
                .trim_start_matches('<')
                .split([':', '>'])
                .nth(1)?
                .to_owned();
            let roles: &[&str] = if label.contains("onlybot") {
                &["bot"]
            } else {
                &["user"]
            };
            let who = self.make(&label, &username, &name, roles).await;
            known.texts.insert(recorded_uid.to_owned(), who.uid);
        }
        let uid = known.texts.get(recorded_uid)?.clone();
        let answer = self
            .post(
                Some(&self.admin),
                "users.createToken",
                &json!({ "userId": uid }),
            )
            .await;
        let token = answer["data"]["authToken"].as_str()?.to_owned();
        known.texts.insert(placeholder.to_owned(), token.clone());
        Some(token)
    }
}
