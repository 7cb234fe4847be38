//! Each disagreement is named, with its remedy, and it is known whether waiting
//! can help.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ruma::{owned_server_name, owned_user_id};

use super::*;
use crate::matrix::client::Limits;
use crate::matrix::testing::{FakeHomeserver, answer_with, client_of, json_answer};

const UNREGISTERED: &str =
    r#"{"errcode":"M_FORBIDDEN","error":"Application service has not registered this user (@x)"}"#;
const FOREIGN: &str = r#"{"errcode":"M_FORBIDDEN","error":"Application service cannot masquerade as this user (@x)."}"#;

fn expected() -> Expected {
    Expected {
        server_name: owned_server_name!("example.org"),
        bot: owned_user_id!("@rocketchatbot:example.org"),
        appservice_id: "rocketchat".to_owned(),
        ghost_prefix: "_rocketchat_".to_owned(),
    }
}

/// What the homeserver answers where; all is well until changed.
struct Answers {
    versions: Vec<u8>,
    bot: Vec<u8>,
    ghost: Vec<u8>,
    ping: Vec<u8>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            versions: json_answer(200, r#"{"versions":["v1.11"]}"#),
            bot: json_answer(200, r#"{"user_id":"@rocketchatbot:example.org"}"#),
            ghost: json_answer(403, UNREGISTERED),
            ping: json_answer(200, r#"{"duration_ms":12}"#),
        }
    }
}

async fn checked(answers: Answers) -> Result<(), StartupProblem> {
    let server = FakeHomeserver::start(move |seen| {
        let answer = match seen.line.as_str() {
            "GET /_matrix/client/versions" => &answers.versions,
            "GET /_matrix/client/v3/account/whoami" => &answers.bot,
            "POST /_matrix/client/v1/appservice/rocketchat/ping" => &answers.ping,
            line if line.contains("whoami?user_id=%40_rocketchat_") => &answers.ghost,
            line => panic!("unexpected {line}"),
        };
        answer.clone()
    })
    .await;
    check_registration(&server.client(), &expected()).await
}

fn refusal(status: u16, code: &str, error: &str) -> Vec<u8> {
    let body = serde_json::json!({"errcode": code, "error": error});
    json_answer(status, &body.to_string())
}

#[tokio::test]
async fn what_agrees_passes() {
    checked(Answers::default()).await.unwrap();
    let other_words = refusal(403, "M_FORBIDDEN", "computer says no");
    let registered = json_answer(200, r#"{"user_id":"@_rocketchat_x:example.org"}"#);
    for ghost in [other_words, registered] {
        checked(Answers {
            ghost,
            ..Answers::default()
        })
        .await
        .unwrap();
    }
    let ping = refusal(404, "M_UNRECOGNIZED", "Unrecognized request");
    checked(Answers {
        ping,
        ..Answers::default()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn each_disagreement_is_named_with_its_remedy() {
    let well = Answers::default;
    let table: Vec<(&str, Answers, &str, bool)> = vec![
        (
            "homeserver starting behind a proxy",
            Answers {
                versions: answer_with(502, "", "<html>"),
                ..well()
            },
            "homeserver.url",
            true,
        ),
        (
            "a web site",
            Answers {
                versions: answer_with(200, "", "<html>"),
                ..well()
            },
            "homeserver.url",
            true,
        ),
        (
            "no client API there",
            Answers {
                versions: refusal(404, "M_UNRECOGNIZED", "x"),
                ..well()
            },
            "homeserver.url",
            false,
        ),
        (
            "wrong as_token",
            Answers {
                bot: refusal(401, "M_UNKNOWN_TOKEN", "x"),
                ..well()
            },
            "app_service_config_files",
            false,
        ),
        (
            "wrong server name",
            Answers {
                bot: json_answer(200, r#"{"user_id":"@rocketchatbot:other.org"}"#),
                ..well()
            },
            "other.org, the configuration says example.org. Set homeserver.server_name",
            false,
        ),
        (
            "wrong sender",
            Answers {
                bot: json_answer(200, r#"{"user_id":"@someone:example.org"}"#),
                ..well()
            },
            "appservice.bot_localpart",
            false,
        ),
        (
            "wrong namespace",
            Answers {
                ghost: json_answer(403, FOREIGN),
                ..well()
            },
            "appservice.ghost_prefix",
            false,
        ),
        (
            "wrong hs_token",
            Answers {
                ping: refusal(502, "M_BAD_STATUS", "HTTP 403 Forbidden"),
                ..well()
            },
            "hs_token",
            false,
        ),
        (
            "another program there",
            Answers {
                ping: refusal(502, "M_BAD_STATUS", "HTTP 404 Not Found"),
                ..well()
            },
            "appservice.url",
            false,
        ),
        (
            "a proxy that does not find us yet",
            Answers {
                ping: refusal(502, "M_BAD_STATUS", "HTTP 503 Unavailable"),
                ..well()
            },
            "appservice.url",
            true,
        ),
        (
            "not reachable",
            Answers {
                ping: refusal(502, "M_CONNECTION_FAILED", "ConnectionRefusedError: x"),
                ..well()
            },
            "appservice.url",
            true,
        ),
        (
            "reachable only in theory",
            Answers {
                ping: refusal(504, "M_CONNECTION_TIMEOUT", "x"),
                ..well()
            },
            "appservice.url",
            true,
        ),
        (
            "no url",
            Answers {
                ping: refusal(400, "M_URL_NOT_SET", "x"),
                ..well()
            },
            "appservice.url",
            false,
        ),
        (
            "another id",
            Answers {
                ping: refusal(403, "M_FORBIDDEN", "Mismatching"),
                ..well()
            },
            "appservice.id",
            false,
        ),
    ];
    for (name, answers, said, may_pass) in table {
        let problem = checked(answers).await.expect_err(name);
        let text = problem.to_string();
        assert!(text.contains(said), "{name}: {text}");
        assert_eq!(problem.may_pass, may_pass, "{name}: {text}");
    }
}

#[tokio::test]
async fn a_homeserver_that_is_not_up_yet_is_waited_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let client = client_of(&url, Limits::default());
    let problem = check_registration(&client, &expected()).await.unwrap_err();
    assert!(problem.may_pass && problem.remedy.contains("homeserver.url"));
}

#[tokio::test]
async fn a_prefix_that_makes_no_user_id_is_named() {
    let server = FakeHomeserver::start(|seen| {
        if seen.line.ends_with("versions") {
            json_answer(200, r#"{"versions":[]}"#)
        } else {
            json_answer(200, r#"{"user_id":"@rocketchatbot:example.org"}"#)
        }
    })
    .await;
    let mut odd = expected();
    odd.ghost_prefix = "x".repeat(300);
    let problem = check_registration(&server.client(), &odd)
        .await
        .unwrap_err();
    assert!(problem.remedy.contains("appservice.ghost_prefix") && !problem.may_pass);
}
