//! Requests against a server that says what it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::{RoomType, Timestamp};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketMessageId, RocketRoomId, RocketUserId, Username};
use crate::secret::Secret;

/// A server that gives each request the next of its answers, byte for byte, and closes.
pub(super) struct Server {
    base: url::Url,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) async fn answering(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                log.lock().unwrap().push(request);
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        Self {
            base: format!("http://127.0.0.1:{port}/chat/").parse().unwrap(),
            heard,
        }
    }

    pub(super) async fn one(answer: Vec<u8>) -> Self {
        Self::answering(vec![answer]).await
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.base.clone()).unwrap()
    }

    pub(super) fn session(&self) -> Session {
        self.client().session(Credentials {
            user_id: RocketUserId::new("uid1"),
            token: Secret::new("hush"),
        })
    }

    pub(super) fn request(&self, index: usize) -> String {
        self.heard.lock().unwrap()[index].clone()
    }

    pub(super) fn body(&self, index: usize) -> Value {
        let request = self.request(index);
        serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.parse::<usize>().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        if read == 0 {
            return text;
        }
        bytes.extend_from_slice(&part[..read]);
    }
}

pub(super) fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(super) fn ok(body: &Value) -> Vec<u8> {
    answer("200 OK", "application/json", &body.to_string())
}

pub(super) fn refused(body: &Value) -> Vec<u8> {
    answer("400 Bad Request", "application/json", &body.to_string())
}

pub(super) fn stored() -> Value {
    json!({ "_id": "m1", "rid": "r1", "msg": "hi", "ts": "2024-10-15T12:00:00.000Z", "u": { "_id": "uid1" } })
}

async fn send(server: &Server) -> Result<Sent, Error> {
    let (id, rid) = (RocketMessageId::new("m1"), RocketRoomId::new("r1"));
    let message = OutgoingMessage {
        id: &id,
        rid: &rid,
        msg: "hi",
        tmid: None,
        alias: Some("Alice"),
        avatar: None,
        emoji: None,
    };
    server.session().send_message(&message).await
}

#[tokio::test]
async fn a_message_is_sent_with_its_id_and_without_a_time() {
    let server = Server::one(ok(&json!({ "message": stored(), "success": true }))).await;
    let Sent::Stored(message) = send(&server).await.unwrap() else {
        panic!("not stored");
    };
    assert_eq!(message.id.as_str(), "m1");
    let expected =
        json!({ "message": { "_id": "m1", "rid": "r1", "msg": "hi", "alias": "Alice" } });
    assert_eq!(server.body(0), expected);
    let head = server.request(0).to_lowercase();
    assert!(
        head.starts_with("post /chat/api/v1/chat.sendmessage http/1.1"),
        "{head}"
    );
    assert!(head.contains("x-auth-token: hush") && head.contains("x-user-id: uid1"));
}

#[tokio::test]
async fn every_way_to_say_that_an_id_is_taken_is_understood() {
    for text in [
        "Cannot read property 'starred' of undefined",
        "Cannot read properties of undefined (reading 'starred')",
        "E11000 duplicate key error collection: x.rocketchat_message index: _id_ dup key: { _id: \"m1\" }",
    ] {
        let server = Server::one(refused(&json!({ "success": false, "error": text }))).await;
        assert_eq!(send(&server).await.unwrap(), Sent::IdTaken, "{text}");
    }
    let other = json!({ "success": false, "error": "Cannot read property 'roles' of null" });
    let server = Server::one(refused(&other)).await;
    assert!(matches!(send(&server).await, Err(Error::Refused { .. })));
}

#[tokio::test]
async fn an_answer_that_breaks_off_may_have_been_a_yes() {
    let whole = ok(&json!({ "message": stored(), "success": true }));
    let half_json = answer(
        "200 OK",
        "application/json",
        "{\"message\":{\"_id\":\"m1\",",
    );
    for broken in [whole[..whole.len() - 20].to_vec(), half_json, Vec::new()] {
        let server = Server::one(broken).await;
        let error = send(&server).await.unwrap_err();
        let Advice::Retry { maybe_done, .. } = error.advice() else {
            panic!("{error:?} would have lost the message");
        };
        assert!(maybe_done, "{error:?}");
    }
}

#[tokio::test]
async fn no_connection_is_no_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = Client::new(format!("http://127.0.0.1:{port}").parse().unwrap()).unwrap();
    let error = client.info().await.unwrap_err();
    assert_eq!(
        error,
        Error::Transport {
            maybe_done: false,
            what: "no connection"
        }
    );
}

#[tokio::test]
async fn html_is_not_an_answer() {
    let page = "<html><script>__meteor_runtime_config__</script></html>";
    let server = Server::one(answer("200 OK", "text/html", page)).await;
    assert_eq!(
        server.session().me().await.unwrap_err(),
        Error::EndpointMissing
    );
    let server = Server::one(answer("200 OK", "text/html", "<h1>Maintenance</h1>")).await;
    let error = server.session().me().await.unwrap_err();
    assert!(matches!(error, Error::NotRocketChat { .. }), "{error:?}");
    assert!(
        matches!(error.advice(), Advice::Retry { .. }),
        "a page passes"
    );
    let server = Server::one(ok(&json!(["a", "list"]))).await;
    let error = server.session().me().await.unwrap_err();
    assert!(matches!(error, Error::NotRocketChat { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_does_not_take_the_token_elsewhere() {
    let elsewhere = Server::one(ok(&json!({ "_id": "uid1" }))).await;
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}api/v1/me\r\ncontent-length: 0\r\n\r\n",
        elsewhere.base
    );
    let server = Server::one(redirect.into_bytes()).await;
    let error = server.session().me().await.unwrap_err();
    assert!(matches!(error, Error::NotRocketChat { .. }), "{error:?}");
    assert!(elsewhere.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_too_large_is_not_held() {
    let announced = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{".to_vec();
    let server = Server::one(announced).await;
    let error = server.client().info().await.unwrap_err();
    assert_eq!(error, Error::TooLarge { limit: 1024 * 1024 });
    let mut endless = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    endless.resize(3 * 1024 * 1024, b' ');
    let server = Server::one(endless).await;
    let error = server.client().info().await.unwrap_err();
    assert_eq!(error, Error::TooLarge { limit: 1024 * 1024 });
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let server = Server::answering(vec![
        refused(&json!({ "success": false, "error": "User not found." })),
        refused(&json!({ "success": false })),
        refused(&json!({ "success": false, "error": "… [error-room-not-found]", "errorType": "error-room-not-found" })),
    ])
    .await;
    let session = server.session();
    let nobody = Username::new("a&b=c d/ü");
    assert_eq!(session.user_by_username(&nobody).await, Ok(None));
    assert_eq!(
        session.get_message(&RocketMessageId::new("nope")).await,
        Ok(None)
    );
    assert_eq!(session.channel_by_name("nope").await, Ok(None));
    let first = server.request(0);
    assert!(first.contains("username=a%26b%3Dc+d%2F%C3%BC "), "{first}");
}

#[tokio::test]
async fn one_unreadable_message_does_not_block_the_others() {
    let answer = json!({ "result": {
        "updated": [stored(), { "_id": 5 }, null, stored()],
        "deleted": [{ "_id": "m2", "_deletedAt": "2024-10-15T12:00:00.000Z" }, {}],
    }, "success": true });
    let server = Server::one(ok(&answer)).await;
    let rid = RocketRoomId::new("r1");
    let sync = server
        .session()
        .sync_messages(&rid, Timestamp(0))
        .await
        .unwrap();
    assert_eq!(
        (sync.updated.len(), sync.deleted.len(), sync.unreadable),
        (2, 1, 3)
    );
    assert!(
        server
            .request(0)
            .contains("lastUpdate=1970-01-01T00%3A00%3A00.000Z")
    );
}

#[tokio::test]
async fn a_direct_message_is_with_those_who_were_asked_for() {
    let room = |names: Value| {
        ok(&json!({ "room": { "t": "d", "rid": "ab", "_id": "ab", "usernames": names } }))
    };
    let (alice, odd) = (Username::new("Alice"), Username::new("who@where"));
    let server = Server::answering(vec![room(json!(["bot", "alice"])), room(json!(["bot"]))]).await;
    let session = server.session();
    assert_eq!(
        session.direct_room(&[&alice]).await.unwrap().rid.as_str(),
        "ab"
    );
    let error = session.direct_room(&[&odd]).await.unwrap_err();
    assert_eq!(
        error.code(),
        Some("error-invalid-user"),
        "a DM with oneself was taken"
    );
    assert_eq!(server.body(0), json!({ "username": "Alice" }));
    let smuggled = Username::new("alice,bob");
    assert!(session.direct_room(&[&smuggled]).await.is_err());
}

#[tokio::test]
async fn a_login_gives_two_fields_and_hides_the_rest() {
    let me = json!({ "services": { "password": { "bcrypt": "$2b$hash" } } });
    let data = json!({ "userId": "uid9", "authToken": "new-token", "me": me });
    let server = Server::one(ok(&json!({ "status": "success", "data": data }))).await;
    let found = server
        .client()
        .login("mx_dora", &Secret::new("pw"))
        .await
        .unwrap();
    assert_eq!(
        (found.user_id.as_str(), found.token.expose()),
        ("uid9", "new-token")
    );
    assert!(!format!("{found:?}").contains("new-token"));
    assert_eq!(
        server.body(0),
        json!({ "user": "mx_dora", "password": "pw" })
    );
    assert!(!server.request(0).lines().next().unwrap().contains("pw"));
}

#[tokio::test]
async fn members_and_settings_are_paged_through() {
    let page = |ids: &[&str]| {
        let rows: Vec<Value> = ids
            .iter()
            .map(|id| json!({ "_id": id, "username": id }))
            .collect();
        ok(&json!({ "members": rows, "count": ids.len(), "total": 3, "success": true }))
    };
    let server = Server::answering(vec![page(&["b", "a"]), page(&["a"])]).await;
    let rid = RocketRoomId::new("r1");
    let members = server
        .session()
        .room_members(&rid, &RoomType::Group)
        .await
        .unwrap();
    assert_eq!(members.len(), 2);
    assert!(server.request(0).contains("/groups.members?"));
    assert!(server.request(1).contains("offset=2"));

    let setting = |id: &str| json!({ "_id": id, "value": id.len() });
    let settings = |ids: [&str; 2]| {
        let rows: Vec<Value> = ids.iter().map(|id| setting(id)).collect();
        ok(&json!({ "settings": rows, "total": 4, "success": true }))
    };
    let server = Server::answering(vec![settings(["A", "B"]), settings(["Site_Url", "C"])]).await;
    let found = server
        .client()
        .public_settings(&["Site_Url", "Gone"])
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found["Site_Url"], 8);
}

#[tokio::test]
async fn a_room_list_is_read_from_any_of_its_envelopes() {
    let row = json!({ "_id": "ab", "t": "d", "usernames": ["a", "b"], "msgs": 3, "ts": "2026-11-20T19:11:01.664Z" });
    let server = Server::one(ok(
        &json!({ "rooms": [row, 1], "total": 7, "success": true }),
    ))
    .await;
    let types = [RoomType::Direct, RoomType::Group];
    let page = server
        .session()
        .admin_rooms(&types, "mx_", RoomOrder::LastMessage, 0, 500)
        .await
        .unwrap();
    assert_eq!(
        (page.items.len(), page.sent, page.total, page.unreadable),
        (1, 2, 7, 1)
    );
    let request = server.request(0);
    for part in [
        "types%5B%5D=d",
        "types%5B%5D=p",
        "count=100",
        "sort=%7B%22lm%22%3A-1%7D",
    ] {
        assert!(request.contains(part), "{part} is missing: {request}");
    }
}

#[tokio::test]
async fn a_method_over_rest_gives_its_result_or_its_error() {
    let wrap = |inner: Value| ok(&json!({ "message": inner.to_string(), "success": true }));
    let server = Server::answering(vec![
        wrap(json!({ "msg": "result", "id": "1", "result": { "at": { "$date": 5 } } })),
        wrap(json!({ "msg": "result", "id": "1" })),
        wrap(json!({ "msg": "result", "id": "1", "error": { "error": "too-many-requests", "reason": "wait", "details": { "timeToReset": 1500.2 } } })),
        ok(&json!({ "message": "garbage", "success": true })),
    ])
    .await;
    let session = server.session();
    let call = || session.method_call("x/../y", vec![json!(1)]);
    assert_eq!(call().await.unwrap()["at"]["$date"], 5);
    assert_eq!(call().await, Ok(Value::Null));
    let after = Some(std::time::Duration::from_millis(1501));
    assert_eq!(call().await, Err(Error::RateLimited { after }));
    assert!(matches!(call().await, Err(Error::NotRocketChat { .. })));
    assert!(
        server
            .request(0)
            .starts_with("POST /chat/api/v1/method.call/x%2F..%2Fy ")
    );
}

#[tokio::test]
async fn where_rest_takes_no_more_messages_they_are_sent_as_clients_do() {
    let limited = json!({ "success": false, "error": "Error, too many requests. Please slow down. You must wait 52 seconds before trying this endpoint again. [error-too-many-requests]" });
    let limited = answer(
        "429 Too Many Requests",
        "application/json",
        &limited.to_string(),
    );
    let result = |message: Value| ok(&json!({ "message": message.to_string(), "success": true }));
    let stored_there = json!({ "_id": "m1", "rid": "r1", "msg": "hi", "ts": { "$date": 5 },
        "u": { "_id": "uid1", "username": "alicia" } });
    let server = Server::answering(vec![
        limited.clone(),
        result(json!({ "msg": "result", "id": "1", "result": stored_there })),
        limited.clone(),
        // What the method says of a message that it refuses, and of one that is there.
        result(json!({ "msg": "result", "id": "1" })),
        refused(&json!({ "success": false })),
        limited,
        result(json!({ "msg": "result", "id": "1" })),
        ok(&json!({ "message": stored(), "success": true })),
    ])
    .await;
    let sent = send(&server).await.unwrap();
    assert!(matches!(sent, Sent::Stored(message) if message.msg == "hi"));
    let method = "POST /chat/api/v1/method.call/sendMessage ";
    assert!(server.request(1).starts_with(method));
    let called: Value = serde_json::from_str(server.body(1)["message"].as_str().unwrap()).unwrap();
    assert_eq!(called["params"][0]["_id"], "m1", "{called}");
    let after = Some(std::time::Duration::from_secs(52));
    assert_eq!(send(&server).await, Err(Error::RateLimited { after }));
    assert!(matches!(send(&server).await, Ok(Sent::IdTaken)));
}

#[tokio::test]
async fn the_version_is_read_and_nonsense_is_told() {
    let server = Server::answering(vec![
        ok(&json!({ "version": "6.14", "success": true })),
        ok(&json!({ "version": "banana" })),
    ])
    .await;
    let client = server.client();
    assert_eq!(client.info().await.unwrap().version.to_string(), "6.14");
    assert!(matches!(
        client.info().await,
        Err(Error::NotRocketChat { .. })
    ));
}

#[tokio::test]
async fn deleting_what_is_gone_is_done() {
    let gone = json!({ "success": false, "error": "No message found with the id of \"m1\"." });
    let server = Server::one(refused(&gone)).await;
    let (rid, id) = (RocketRoomId::new("r1"), RocketMessageId::new("m1"));
    assert_eq!(
        server.session().delete_message(&rid, &id, true).await,
        Ok(())
    );
}

#[test]
fn only_web_addresses_are_servers() {
    for bad in ["ftp://example.org", "file:///etc", "data:text/plain,x"] {
        assert!(Client::new(bad.parse().unwrap()).is_err(), "{bad}");
    }
}
