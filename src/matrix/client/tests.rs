//! The client against answers good and bad.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ruma::{event_id, owned_user_id, room_id, user_id};
use serde_json::json;

use super::*;
use crate::matrix::error::Kind;
use crate::matrix::testing::{AS_TOKEN, FakeHomeserver, answer_with, client_of, json_answer};
use crate::retry::{Advice, Retryable as _};

const WHOAMI: &str = r#"{"user_id":"@rocketchatbot:example.org"}"#;
const SENT: &str = r#"{"event_id":"$new:example.org"}"#;
const HTML: &str = "<html><body>Back soon! as-secret</body></html>";

async fn failure(answer: Vec<u8>) -> Error {
    let server = FakeHomeserver::always(answer).await;
    let error = server.client().bot().whoami().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(AS_TOKEN), "the token shows: {shown}");
    assert!(!shown.contains("Back soon"), "the body shows: {shown}");
    assert!(
        shown.contains("GET /_matrix/client/v3/account/whoami"),
        "{shown}"
    );
    error
}

fn retry(after: Option<u64>, maybe_done: bool) -> Advice {
    Advice::Retry {
        after: after.map(Duration::from_secs),
        maybe_done,
    }
}

#[tokio::test]
async fn the_token_travels_in_the_header_only() {
    let server = FakeHomeserver::always(json_answer(200, WHOAMI)).await;
    let bot = server.client().bot().whoami().await.unwrap();
    assert_eq!(bot, user_id!("@rocketchatbot:example.org"));
    let seen = server.last();
    assert_eq!(seen.line, "GET /_matrix/client/v3/account/whoami");
    let header = format!("authorization: bearer {AS_TOKEN}");
    assert!(seen.head.to_ascii_lowercase().contains(&header));
    assert!(!seen.line.contains(AS_TOKEN));
}

#[tokio::test]
async fn versions_are_asked_for_without_the_token() {
    let server = FakeHomeserver::always(json_answer(200, r#"{"versions":["v1.11"]}"#)).await;
    let versions = server.client().versions().await.unwrap();
    assert_eq!(versions.versions, ["v1.11"]);
    assert!(!server.last().head.contains(AS_TOKEN));
}

#[tokio::test]
async fn a_ghost_is_masqueraded_and_the_bot_is_not() {
    let server = FakeHomeserver::always(json_answer(200, SENT)).await;
    let ghost = server
        .client()
        .as_user(owned_user_id!("@_rocketchat_ada:example.org"));
    let content = json!({"msgtype": "m.text", "body": "hi"});
    let sent = ghost
        .send(
            room_id!("!r:example.org"),
            "m.room.message",
            &content,
            "t/1 ä".into(),
            Some(1_700_000_000_000),
        )
        .await
        .unwrap();
    assert_eq!(sent, event_id!("$new:example.org"));
    let seen = server.last();
    assert_eq!(
        seen.line,
        "PUT /_matrix/client/v3/rooms/!r:example.org/send/m.room.message/t%2F1%20%C3%A4\
         ?ts=1700000000000&user_id=%40_rocketchat_ada%3Aexample.org"
    );
    assert_eq!(seen.json(), content);

    let client = server.client();
    let bot = client.as_user(client.bot_id().to_owned());
    bot.send_state(
        room_id!("!r"),
        "m.room.topic",
        "",
        &json!({"topic": "x"}),
        None,
    )
    .await
    .unwrap();
    let line = server.last().line;
    assert_eq!(
        line.trim_end_matches('/'),
        "PUT /_matrix/client/v3/rooms/!r/state/m.room.topic"
    );
}

#[tokio::test]
async fn ids_cannot_lead_to_another_path() {
    let server = FakeHomeserver::always(json_answer(200, SENT)).await;
    let bot = server.client().bot();
    let room = room_id!("!r:example.org");
    for key in ["..", ".", "%2e%2e"] {
        let outcome = bot.send_state(room, "x", key, &json!({}), None).await;
        if let Err(error) = outcome {
            assert!(matches!(error.kind(), Kind::Request { .. }), "{error}");
        } else {
            let line = server.last().line;
            assert!(line.contains("/state/x/%252e"), "{key} became {line}");
        }
    }
    for key in ["a/../b", "?x=y", "#f", "a\\b", "ü{}|^`'\" "] {
        bot.send_state(room, "x", key, &json!({}), None)
            .await
            .unwrap();
        let line = server.last().line;
        assert!(
            line.starts_with("PUT /_matrix/client/v3/rooms/!r:example.org/state/x/"),
            "{key} became {line}"
        );
        assert_eq!(line.matches('/').count(), 8, "{key} became {line}");
        assert!(!line.contains(['?', '#']), "{key} became {line}");
    }
}

#[tokio::test]
async fn a_time_out_of_bounds_is_refused_here() {
    let server = FakeHomeserver::always(json_answer(200, SENT)).await;
    let outcome = server
        .client()
        .bot()
        .send(room_id!("!r"), "x", &json!({}), "t".into(), Some(u64::MAX))
        .await;
    assert!(matches!(outcome.unwrap_err().kind(), Kind::Request { .. }));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn registering_twice_is_a_success() {
    let answers = [
        (200, r#"{"user_id":"@_rocketchat_ada:example.org"}"#, true),
        (400, r#"{"errcode":"M_USER_IN_USE","error":"taken"}"#, true),
        (
            400,
            r#"{"errcode":"M_EXCLUSIVE","error":"not yours"}"#,
            false,
        ),
    ];
    for (status, body, success) in answers {
        let server = FakeHomeserver::always(json_answer(status, body)).await;
        let ghost = server
            .client()
            .as_user(owned_user_id!("@_rocketchat_ada:example.org"));
        assert_eq!(ghost.register().await.is_ok(), success, "{body}");
        let seen = server.last();
        assert_eq!(seen.line, "POST /_matrix/client/v3/register");
        assert_eq!(
            seen.json(),
            json!({
                "type": "m.login.application_service",
                "username": "_rocketchat_ada",
                "inhibit_login": true,
            })
        );
    }
}

#[tokio::test]
async fn a_request_to_slow_down_is_passed_on() {
    let error = failure(answer_with(
        429,
        "Retry-After: 3\r\n",
        r#"{"errcode":"M_LIMIT_EXCEEDED","error":"slow","retry_after_ms":1000}"#,
    ))
    .await;
    assert_eq!(error.code(), Some("M_LIMIT_EXCEEDED"));
    assert_eq!(error.advice(), retry(Some(3), false));
    assert_eq!(
        failure(answer_with(429, "", HTML)).await.advice(),
        retry(None, false)
    );
}

#[tokio::test]
async fn a_failing_server_may_have_done_it() {
    let error = failure(answer_with(502, "Retry-After: 9\r\n", HTML)).await;
    assert_eq!((error.status(), error.code()), (Some(502), None));
    assert_eq!(error.advice(), retry(Some(9), true));
    let own = json_answer(500, r#"{"errcode":"M_UNKNOWN","error":"oops"}"#);
    assert_eq!(failure(own).await.code(), Some("M_UNKNOWN"));
}

#[tokio::test]
async fn a_refusal_is_final() {
    let error = failure(json_answer(
        403,
        r#"{"errcode":"M_FORBIDDEN","error":"no"}"#,
    ))
    .await;
    assert!(error.is_forbidden());
    assert_eq!(error.advice(), Advice::GiveUp);
    let error = failure(json_answer(401, r#"{"errcode":"M_UNKNOWN_TOKEN"}"#)).await;
    assert!(error.is_unknown_token());
}

#[tokio::test]
async fn a_success_that_is_none_is_not_believed() {
    for body in [
        HTML,
        "",
        "{",
        "[]",
        "{}",
        "null",
        r#"{"user_id":7}"#,
        r#"{"user_id":"x"}"#,
    ] {
        let error = failure(answer_with(200, "Content-Type: text/html\r\n", body)).await;
        assert!(
            matches!(error.kind(), Kind::NotMatrix { status: 200, .. }),
            "{body:?}"
        );
        assert_eq!(error.advice(), retry(None, true), "{body:?}");
    }
}

#[tokio::test]
async fn an_answer_cut_off_may_have_been_done() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n";
    for cut in ["", "HTTP/1.1 2", head, &format!("{head}{{\"user")] {
        let error = failure(cut.as_bytes().to_vec()).await;
        assert!(
            matches!(
                error.kind(),
                Kind::Transport {
                    maybe_done: true,
                    ..
                }
            ),
            "{cut:?}: {error:?}"
        );
    }
    let unbounded = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"user_id\":\"@a";
    let error = failure(unbounded.as_bytes().to_vec()).await;
    assert!(matches!(
        error.kind(),
        Kind::NotMatrix {
            maybe_done: true,
            ..
        }
    ));
}

#[tokio::test]
async fn a_refused_connection_was_not_done() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = client_of(&url, Limits::default())
        .bot()
        .whoami()
        .await
        .unwrap_err();
    assert_eq!(error.advice(), retry(None, false));
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn silence_ends_in_a_time_out_that_may_have_been_done() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let limits = Limits {
        overall: Duration::from_millis(200),
        ..Limits::default()
    };
    let error = client_of(&url, limits).bot().whoami().await.unwrap_err();
    assert_eq!(error.advice(), retry(None, true));
    assert!(error.to_string().contains("timed out"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_gets_no_token() {
    let elsewhere = FakeHomeserver::always(json_answer(200, WHOAMI)).await;
    for status in [301, 302, 307, 308] {
        let to = format!("Location: {}/\r\n", elsewhere.url);
        let error = failure(answer_with(status, &to, "")).await;
        assert!(matches!(error.kind(), Kind::NotMatrix { .. }));
        assert!(error.to_string().contains("homeserver.url"), "{error}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_huge_answer_is_not_swallowed() {
    let limits = Limits {
        answer_bytes: 1000,
        ..Limits::default()
    };
    let body = format!(r#"{{"user_id":"@a:b","x":"{}"}}"#, "x".repeat(2000));
    let server = FakeHomeserver::always(json_answer(200, &body)).await;
    let error = client_of(&server.url, limits.clone())
        .bot()
        .whoami()
        .await
        .unwrap_err();
    assert!(matches!(
        error.kind(),
        Kind::TooLarge {
            maybe_done: true,
            ..
        }
    ));
    assert_eq!(error.advice(), Advice::GiveUp);
    let server = FakeHomeserver::always(answer_with(502, "", &body)).await;
    let error = client_of(&server.url, limits)
        .bot()
        .whoami()
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), Kind::Server { status: 502, .. }));
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let missing = json_answer(404, r#"{"errcode":"M_NOT_FOUND","error":"none"}"#);
    let server = FakeHomeserver::always(missing).await;
    let bot = server.client().bot();
    let room = room_id!("!r:example.org");
    assert_eq!(bot.state(room, "m.bridge", "x").await.unwrap(), None);
    let alias = ruma::room_alias_id!("#a:example.org");
    assert_eq!(bot.resolve_alias(alias).await.unwrap(), None);
    assert_eq!(bot.display_name().await.unwrap(), None);

    let synapse = json_answer(404, r#"{"errcode":"M_UNKNOWN","error":"No row found"}"#);
    let server = FakeHomeserver::always(synapse).await;
    let profile = server
        .client()
        .bot()
        .profile(user_id!("@a:example.org"))
        .await;
    assert!(profile.unwrap().is_empty());

    let html = FakeHomeserver::always(answer_with(404, "", HTML)).await;
    let outcome = html.client().bot().resolve_alias(alias).await;
    assert!(outcome.is_err(), "a proxy's 404 says nothing of the alias");
}

#[tokio::test]
async fn history_is_read_past_what_cannot_be_read() {
    let body = json!({
        "start": "s", "end": "e",
        "chunk": [
            {"event_id": "$2", "sender": "@a:b", "type": "m.room.message", "content": {"body": "x"}, "origin_server_ts": 5},
            {"event_id": 7},
            {"event_id": "$1", "sender": "@a:b", "type": "m.room.topic", "state_key": "", "content": {}},
        ],
    });
    let server = FakeHomeserver::always(json_answer(200, &body.to_string())).await;
    let page = server
        .client()
        .bot()
        .messages_backwards(room_id!("!r"), Some("from here"), 50)
        .await
        .unwrap();
    assert_eq!(page.events.len(), 2);
    assert_eq!((page.unreadable, page.end.as_deref()), (1, Some("e")));
    assert_eq!(page.events[0].origin_server_ts, 5);
    assert_eq!(page.events[1].state_key.as_deref(), Some(""));
    assert_eq!(
        server.last().line,
        "GET /_matrix/client/v3/rooms/!r/messages?from=from+here&dir=b&limit=50"
    );
}

#[tokio::test]
async fn requests_are_those_of_the_specification() {
    let server = FakeHomeserver::start(|seen| {
        json_answer(
            200,
            if seen.line.contains("/join") {
                r#"{"room_id":"!r:example.org"}"#
            } else {
                "{}"
            },
        )
    })
    .await;
    let bot = server.client().bot();
    let room = room_id!("!r:example.org");
    let ada = user_id!("@ada:example.org");
    let base = "/_matrix/client/v3";
    let at_room = format!("{base}/rooms/!r:example.org");

    let expect = |line: String, body: serde_json::Value| {
        let seen = server.last();
        assert_eq!((seen.line.clone(), seen.json()), (line, body));
    };
    bot.join(room, None).await.unwrap();
    expect(format!("POST {at_room}/join"), json!({}));
    bot.invite(room, ada, Some("hi")).await.unwrap();
    expect(
        format!("POST {at_room}/invite"),
        json!({"user_id": ada, "reason": "hi"}),
    );
    bot.kick(room, ada, None).await.unwrap();
    expect(format!("POST {at_room}/kick"), json!({"user_id": ada}));
    bot.leave(room, Some("bye")).await.unwrap();
    expect(format!("POST {at_room}/leave"), json!({"reason": "bye"}));
    bot.typing(room, Some(Duration::from_secs(5)))
        .await
        .unwrap();
    expect(
        format!("PUT {at_room}/typing/@rocketchatbot:example.org"),
        json!({"typing": true, "timeout": 5000}),
    );
    bot.set_display_name(Some("Bridge")).await.unwrap();
    expect(
        format!("PUT {base}/profile/@rocketchatbot:example.org/displayname"),
        json!({"displayname": "Bridge"}),
    );
    bot.set_profile_field("chat.rocket.user", json!("abc"))
        .await
        .unwrap();
    expect(
        format!("PUT {base}/profile/@rocketchatbot:example.org/chat.rocket.user"),
        json!({"chat.rocket.user": "abc"}),
    );
    let via = [ruma::owned_server_name!("far.example")];
    let joined = bot
        .join_by_alias_or_id(ruma::room_alias_id!("#a:far.example").into(), &via)
        .await
        .unwrap();
    assert_eq!(joined, room);
    expect(
        format!("POST {base}/join/%23a:far.example?via=far.example&server_name=far.example"),
        json!({}),
    );
}

#[test]
fn an_address_or_token_that_cannot_work_is_refused() {
    let bot = || owned_user_id!("@b:example.org");
    let new = |url: &str, token: &str| Client::new(url.parse().unwrap(), Secret::new(token), bot());
    assert!(new("https://matrix.example.org", "t").is_ok());
    assert!(new("http://example.org/behind/a/path/", "t").is_ok());
    for url in [
        "ftp://example.org",
        "unix:/run/x",
        "http://u:p@example.org",
        "http://e.org/?x=y",
    ] {
        assert!(new(url, "t").is_err(), "{url}");
    }
    for token in ["", "a b", "a\nb", "ä"] {
        assert!(new("http://example.org", token).is_err(), "{token:?}");
    }
}
