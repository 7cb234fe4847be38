//! Misbehaviour on request, two sends at once, and the journal.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rocketchat_sim::{
    Options, RunningSim, Sim,
    control::{Action, HEADER, Match, RawFrame, Repeat, Rule},
};
use serde_json::{Value, json};
use support::accounts::Setup;
use tokio_tungstenite::tungstenite::Message;

async fn start(options: Options) -> (RunningSim, Setup) {
    let sim = Sim::start(Options {
        admin_password: "pw-admin".to_owned(),
        ..options
    })
    .unwrap();
    let setup = Setup::new(&sim).await;
    (sim, setup)
}

async fn control(setup: &Setup, path: &str, body: &impl serde::Serialize) -> Value {
    let request = setup
        .http
        .post(format!("{}/_sim/{path}", setup.url))
        .header(HEADER, "control")
        .json(body);
    request.send().await.unwrap().json().await.unwrap()
}

async fn stored(setup: &Setup, rid: &str) -> usize {
    let request = setup
        .http
        .get(format!("{}/_sim/rooms/{rid}/messages", setup.url))
        .header(HEADER, "control");
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["messages"].as_array().unwrap().len()
}

fn send(setup: &Setup, id: &str) -> reqwest::RequestBuilder {
    let body = json!({ "message": { "_id": id, "rid": "GENERAL", "msg": "x" } });
    setup
        .http
        .post(format!("{}/api/v1/chat.sendMessage", setup.url))
        .header("x-user-id", &setup.admin.uid)
        .header("x-auth-token", &setup.admin.token)
        .json(&body)
}

async fn rule(setup: &Setup, action: Action) {
    let when = Match {
        path: Some("*sendMessage".to_owned()),
        times: Some(1),
        ..Match::default()
    };
    control(setup, "rules", &Rule { when, action }).await;
}

#[tokio::test]
async fn every_action_of_a_rule_does_what_it_says() {
    let (_sim, setup) = start(Options::default()).await;
    rule(&setup, Action::Refuse).await;
    assert!(
        send(&setup, "a").send().await.is_err(),
        "a refused call has no answer"
    );
    assert_eq!(stored(&setup, "GENERAL").await, 0, "and is not done");
    rule(&setup, Action::DoWithoutAnswering).await;
    assert!(
        send(&setup, "b").send().await.is_err(),
        "the answer is lost"
    );
    assert_eq!(stored(&setup, "GENERAL").await, 1, "but it is done");
    let again = send(&setup, "b").send().await.unwrap();
    assert_eq!(again.status(), 400, "so a repetition meets itself");
    rule(
        &setup,
        Action::Status {
            status: 502,
            body: "<html>".to_owned(),
            content_type: Some("text/html".to_owned()),
            headers: [("retry-after".to_owned(), "7".to_owned())].into(),
        },
    )
    .await;
    let answer = send(&setup, "c").send().await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["retry-after"].to_str().unwrap()
        ),
        (502, "7")
    );
    rule(&setup, Action::Delay { ms: 150 }).await;
    let began = Instant::now();
    assert_eq!(send(&setup, "d").send().await.unwrap().status(), 200);
    assert!(began.elapsed() >= Duration::from_millis(150));
    let when = Match {
        path: Some("/api/v1/chat.".to_owned()),
        user: Some("admin".to_owned()),
        ..Match::default()
    };
    control(
        &setup,
        "rules",
        &Rule {
            when,
            action: Action::RateLimit {
                calls: 1,
                window_ms: 60_000,
            },
        },
    )
    .await;
    assert_eq!(send(&setup, "e").send().await.unwrap().status(), 200);
    let limited = send(&setup, "f").send().await.unwrap();
    assert_eq!(limited.status(), 429);
    assert!(limited.headers().contains_key("x-ratelimit-reset"));
}

#[tokio::test]
async fn the_control_api_needs_its_token() {
    let (_sim, setup) = start(Options::default()).await;
    let answer = setup
        .http
        .post(format!("{}/_sim/rules", setup.url))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(
        answer.status(),
        405,
        "without the token it is an unknown path"
    );
}

#[tokio::test]
async fn of_two_sends_at_once_one_meets_the_duplicate_key() {
    let (_sim, setup) = start(Options {
        message_delay_ms: 80,
        ..Options::default()
    })
    .await;
    let (one, other) = tokio::join!(send(&setup, "same").send(), send(&setup, "same").send());
    let mut bodies = Vec::new();
    for answer in [one.unwrap(), other.unwrap()] {
        bodies.push((answer.status().as_u16(), answer.text().await.unwrap()));
    }
    bodies.sort();
    assert_eq!((bodies[0].0, bodies[1].0), (200, 400));
    assert!(
        bodies[1].1.contains("E11000 duplicate key error"),
        "{}",
        bodies[1].1
    );
    assert_eq!(stored(&setup, "GENERAL").await, 1);
}

async fn socket(
    setup: &Setup,
) -> tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>> {
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("{}/websocket", setup.url.replace("http", "ws")))
            .await
            .unwrap();
    for frame in [
        json!({ "msg": "connect", "version": "1", "support": ["1"] }),
        json!({ "msg": "method", "id": "1", "method": "login", "params": [{ "resume": setup.admin.token }] }),
        json!({ "msg": "sub", "id": "s", "name": "stream-room-messages", "params": ["__my_messages__", false] }),
    ] {
        socket.send(Message::text(frame.to_string())).await.unwrap();
    }
    loop {
        let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
        if text.contains("\"ready\"") {
            return socket;
        }
    }
}

#[tokio::test]
async fn sockets_repeat_send_rubbish_and_break_on_request() {
    let (_sim, setup) = start(Options::default()).await;
    let mut listener = socket(&setup).await;
    control(
        &setup,
        "sockets/repeat",
        &Repeat {
            user: None,
            times: 3,
        },
    )
    .await;
    send(&setup, "a").send().await.unwrap();
    for _ in 0..3 {
        assert!(
            listener
                .next()
                .await
                .unwrap()
                .unwrap()
                .into_text()
                .unwrap()
                .contains("\"a\"")
        );
    }
    let frame = RawFrame::Text("not json".to_owned());
    control(
        &setup,
        "sockets/raw",
        &rocketchat_sim::control::Raw {
            user: Some("admin".to_owned()),
            frame,
        },
    )
    .await;
    assert_eq!(
        listener.next().await.unwrap().unwrap().into_text().unwrap(),
        "not json"
    );
    control(&setup, "sockets/mute", &json!({ "muted": true })).await;
    send(&setup, "lost").send().await.unwrap();
    control(&setup, "sockets/drop", &json!({})).await;
    let end = listener.next().await;
    assert!(
        !matches!(end, Some(Ok(Message::Text(_) | Message::Close(Some(_))))),
        "cut without a word: {end:?}"
    );
    let mut half = socket(&setup).await;
    control(
        &setup,
        "sockets/raw",
        &json!({ "frame": { "half": "{\"msg\":" } }),
    )
    .await;
    let waited = tokio::time::timeout(Duration::from_millis(200), half.next()).await;
    assert!(waited.is_err(), "a half message never arrives: {waited:?}");
}

fn spawn(directory: &std::path::Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rocketchat-sim"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--control-token",
            "control",
            "--admin-password",
            "pw-admin",
            "--data",
        ])
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    (child, ready["listening"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn everything_answered_is_there_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, url) = spawn(directory.path());
    let mut setup = Setup {
        http: reqwest::Client::new(),
        url,
        admin: Default::default(),
        strangers: Default::default(),
    };
    setup.admin = setup.login("admin", "pw-admin").await;
    let admin = setup.admin.clone();
    setup.make("zoe", "zoe", "Zoe", &["user"]).await;
    let room = setup
        .post(
            Some(&admin),
            "channels.create",
            &json!({ "name": "kept", "members": ["zoe"] }),
        )
        .await;
    let rid = room["channel"]["_id"].as_str().unwrap().to_owned();
    for number in 0..20 {
        let message = json!({ "message": { "_id": format!("k{number}"), "rid": rid, "msg": format!("{number}") } });
        assert_eq!(
            setup.post(Some(&admin), "chat.sendMessage", &message).await["success"],
            json!(true)
        );
    }
    setup
        .post(
            Some(&admin),
            "chat.delete",
            &json!({ "roomId": rid, "msgId": "k3" }),
        )
        .await;
    let seen = async |setup: &Setup| {
        let mut parts = Vec::new();
        for path in [
            format!("channels.info?roomId={rid}"),
            format!("channels.messages?roomId={rid}&count=0"),
            format!("chat.syncMessages?roomId={rid}&lastUpdate=2020-01-01T00:00:00.000Z"),
            "subscriptions.get".to_owned(),
        ] {
            let request = setup.http.get(format!("{}/api/v1/{path}", setup.url));
            let request = request
                .header("x-user-id", &admin.uid)
                .header("x-auth-token", &admin.token);
            parts.push(request.send().await.unwrap().json::<Value>().await.unwrap());
        }
        parts
    };
    let before = seen(&setup).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, url) = spawn(directory.path());
    setup.url = url;
    assert_eq!(
        seen(&setup).await,
        before,
        "the same documents, with the same token"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
