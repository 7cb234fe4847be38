//! A simulator with a channel: alice made it, bob is in it, carol is not.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use reqwest::{Client, header::HeaderMap};
use rocketchat_sim::{Options, RunningSim, Sim, control::HEADER};
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Person {
    http: Client,
    url: String,
    pub uid: String,
    pub token: String,
    pub username: String,
}

impl Person {
    async fn login(url: &str, username: &str, password: &str) -> Self {
        let http = Client::new();
        let body = json!({ "user": username, "password": password });
        let answer = http.post(format!("{url}/api/v1/login")).json(&body);
        let answer: Value = answer.send().await.unwrap().json().await.unwrap();
        let text = |key: &str| answer["data"][key].as_str().unwrap().to_owned();
        Self {
            http,
            url: url.to_owned(),
            uid: text("userId"),
            token: text("authToken"),
            username: username.to_owned(),
        }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http
            .request(method, format!("{}{path}", self.url))
            .header("x-user-id", &self.uid)
            .header("x-auth-token", &self.token)
    }

    async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(json!(text)))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request("POST", &format!("/api/v1/{path}"));
        Self::answer(request.json(body)).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        Self::answer(self.request("GET", &format!("/api/v1/{path}"))).await
    }

    pub async fn form(
        &self,
        path: &str,
        name: &str,
        kind: &str,
        bytes: Vec<u8>,
        texts: &[(&str, &str)],
    ) -> (u16, Value) {
        let field = if path.contains("setAvatar") {
            "image"
        } else {
            "file"
        };
        let request = self.request("POST", &format!("/api/v1/{path}"));
        let (content_type, body) = multipart(field, name, kind, &bytes, texts);
        Self::answer(request.header("content-type", content_type).body(body)).await
    }

    pub async fn fetch(&self, path: &str) -> (u16, HeaderMap, Vec<u8>) {
        let response = self.request("GET", path).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.bytes().await.unwrap().to_vec())
    }
}

/// Content type and body of a form.
pub fn multipart(
    field: &str,
    name: &str,
    kind: &str,
    bytes: &[u8],
    texts: &[(&str, &str)],
) -> (String, Vec<u8>) {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    for (key, value) in texts {
        body.extend_from_slice(
            format!("\r\n--edge\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}")
                .as_bytes(),
        );
    }
    body.extend_from_slice(b"\r\n--edge--\r\n");
    ("multipart/form-data; boundary=edge".to_owned(), body)
}

pub struct World {
    pub sim: RunningSim,
    pub admin: Person,
    pub alice: Person,
    pub bob: Person,
    pub carol: Person,
    pub rid: String,
}

impl World {
    pub async fn start(options: Options) -> Self {
        let password = options.admin_password.clone();
        let sim = Sim::start(options).unwrap();
        let url = sim.url();
        let admin = Person::login(&url, "admin", &password).await;
        let mut people = Vec::new();
        for name in ["alice", "bob", "carol"] {
            let body = json!({
                "email": format!("{name}@sim.invalid"), "name": name, "password": name,
                "username": name, "joinDefaultChannels": false,
            });
            assert_eq!(admin.post("users.create", &body).await.0, 200);
            people.push(Person::login(&url, name, name).await);
        }
        let body = json!({ "name": "files", "members": ["bob"] });
        let (_, made) = people[0].post("channels.create", &body).await;
        let rid = made["channel"]["_id"].as_str().unwrap().to_owned();
        let [alice, bob, carol] = people.try_into().ok().unwrap();
        Self {
            sim,
            admin,
            alice,
            bob,
            carol,
            rid,
        }
    }

    /// The same after the process ended and began again.
    pub async fn restarted(self, options: Options) -> Self {
        let Self { sim, rid, .. } = self;
        sim.stop();
        let password = options.admin_password.clone();
        let sim = Sim::start(options).unwrap();
        let url = sim.url();
        Self {
            admin: Person::login(&url, "admin", &password).await,
            alice: Person::login(&url, "alice", "alice").await,
            bob: Person::login(&url, "bob", "bob").await,
            carol: Person::login(&url, "carol", "carol").await,
            sim,
            rid,
        }
    }

    pub async fn control(&self, path: &str, order: &Value) -> Value {
        Client::new()
            .post(format!("{}/_sim/{path}", self.sim.url()))
            .header(HEADER, "control")
            .json(order)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}
