//! The connection against a server that does what it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::{WebSocketStream, accept_async};
use url::Url;

use super::*;
use crate::retry::Backoff;
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketRoomId, RocketUserId, Username};
use crate::rocketchat::rest::Credentials;
use crate::secret::Secret;

/// No condition of these tests takes longer on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    listener: TcpListener,
    base: Url,
}

/// The server's end of one socket.
struct Peer(WebSocketStream<TcpStream>);

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self {
            listener,
            base: format!("http://127.0.0.1:{port}").parse().unwrap(),
        }
    }

    fn options(&self, streams: &[Stream]) -> Options {
        let mut options = Options::new(self.base.clone(), token("good"), streams.to_vec());
        options.backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));
        options
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = timeout(PATIENCE, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        Peer(accept_async(stream).await.unwrap())
    }

    /// Accepts a socket and lets it log in; returns the token it came with.
    async fn welcome(&self) -> (Peer, String) {
        let mut peer = self.accept().await;
        let (id, given) = peer.login_call().await;
        peer.logged_in(&id).await;
        (peer, given)
    }
}

impl Peer {
    async fn send(&mut self, frame: Value) {
        self.raw(&frame.to_string()).await;
    }

    async fn raw(&mut self, text: &str) {
        self.0.send(WsMessage::text(text)).await.unwrap();
    }

    /// The next frame; none when the other side is gone.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("nothing came")?
            {
                Ok(WsMessage::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(WsMessage::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.hear().await.expect("the client is gone");
        assert_eq!(frame["msg"], kind, "{frame}");
        frame
    }

    async fn login_call(&mut self) -> (Value, String) {
        self.send(json!({ "server_id": "0" })).await;
        self.expect("connect").await;
        self.send(json!({ "msg": "connected", "session": "x" }))
            .await;
        let call = self.expect("method").await;
        assert_eq!(call["method"], "login");
        let given = call["params"][0]["resume"].as_str().unwrap_or_default();
        (call["id"].clone(), given.to_owned())
    }

    async fn logged_in(&mut self, id: &Value) {
        let result = json!({ "id": "uid1", "token": "good", "tokenExpires": { "$date": null } });
        self.send(json!({ "msg": "updated", "methods": [id] }))
            .await;
        self.send(json!({ "msg": "result", "id": id, "result": result }))
            .await;
    }

    /// Hears a subscription; returns its id and event.
    async fn sub(&mut self) -> (Value, String) {
        let frame = self.expect("sub").await;
        (
            frame["id"].clone(),
            frame["params"][0].as_str().unwrap().to_owned(),
        )
    }

    async fn ready(&mut self, id: &Value) {
        self.send(json!({ "msg": "ready", "subs": [id] })).await;
    }

    async fn accept_sub(&mut self) -> String {
        let (id, event) = self.sub().await;
        self.ready(&id).await;
        event
    }

    async fn message(&mut self, id: &str) {
        let message = json!({ "_id": id, "rid": "r1", "msg": "hi", "ts": { "$date": 5 }, "u": { "_id": "a" } });
        let fields = json!({ "eventName": "__my_messages__", "args": [message, { "roomParticipant": false, "roomType": "c" }] });
        self.send(json!({ "msg": "changed", "collection": "stream-room-messages", "id": "id", "fields": fields }))
            .await;
    }
}

fn token(token: &str) -> Credentials {
    Credentials {
        user_id: RocketUserId::new("uid1"),
        token: Secret::new(token),
    }
}

fn room(name: &str) -> RocketRoomId {
    RocketRoomId::new(name)
}

async fn next(events: &mut Receiver<Event>) -> Event {
    timeout(PATIENCE, events.recv())
        .await
        .expect("no event came")
        .expect("the task ended")
}

async fn disconnected(events: &mut Receiver<Event>) -> String {
    match next(events).await {
        Event::Disconnected { reason } => reason,
        other => panic!("expected the end of a connection, got {other:?}"),
    }
}

async fn message_id(events: &mut Receiver<Event>) -> String {
    match next(events).await {
        Event::Message { message, .. } => message.id.into_string(),
        other => panic!("expected a message, got {other:?}"),
    }
}

#[tokio::test]
async fn ready_comes_after_what_is_essential_and_before_single_rooms() {
    let server = Server::new().await;
    let own = Stream::Own(OwnEvent::SubscriptionsChanged);
    let deletions = Stream::Deletions(room("r1"));
    let (realtime, mut events) =
        start(server.options(&[deletions.clone(), own, Stream::MyMessages]));
    let (mut peer, given) = server.welcome().await;
    assert_eq!(given, "good");
    let (first, event) = peer.sub().await;
    assert_eq!(event, "__my_messages__");
    let (second, event) = peer.sub().await;
    assert_eq!(event, "uid1/subscriptions-changed");
    peer.ready(&second).await;
    assert!(!realtime.is_ready());
    peer.ready(&first).await;
    assert_eq!(next(&mut events).await, Event::Ready);
    assert!(realtime.is_ready());
    assert_eq!(peer.accept_sub().await, "r1/deleteMessage");
    assert_eq!(peer.accept_sub().await, "r1/deleteMessageBulk");
    assert_eq!(next(&mut events).await, Event::Subscribed(deletions));
    peer.message("m1").await;
    assert_eq!(message_id(&mut events).await, "m1");
    realtime.shutdown().await;
    assert!(peer.hear().await.is_none(), "the socket stayed open");
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn after_a_loss_everything_is_subscribed_again() {
    let server = Server::new().await;
    let (realtime, mut events) = start(server.options(&[Stream::MyMessages]));
    let (mut peer, _) = server.welcome().await;
    peer.accept_sub().await;
    assert_eq!(next(&mut events).await, Event::Ready);
    let later = Stream::UserActivity(room("r1"));
    realtime.subscribe(later.clone()).await;
    assert_eq!(peer.accept_sub().await, "r1/user-activity");
    assert_eq!(next(&mut events).await, Event::Subscribed(later.clone()));
    drop(peer);
    disconnected(&mut events).await;
    let (mut peer, _) = server.welcome().await;
    assert_eq!(peer.accept_sub().await, "__my_messages__");
    assert_eq!(next(&mut events).await, Event::Ready);
    assert_eq!(peer.accept_sub().await, "r1/user-activity");
    assert_eq!(next(&mut events).await, Event::Subscribed(later.clone()));
    realtime.unsubscribe(later).await;
    peer.expect("unsub").await;
    drop(realtime);
    assert!(
        peer.hear().await.is_none(),
        "dropping did not end the connection"
    );
}

#[tokio::test]
async fn asking_again_for_a_ready_stream_replaces_the_dead_one() {
    let server = Server::new().await;
    let (realtime, mut events) = start(server.options(&[]));
    let (mut peer, _) = server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
    let stream = Stream::RoomMessages(room("r1"));
    realtime.subscribe(stream.clone()).await;
    let (old, _) = peer.sub().await;
    peer.ready(&old).await;
    assert_eq!(next(&mut events).await, Event::Subscribed(stream.clone()));
    realtime.subscribe(stream.clone()).await;
    assert_eq!(peer.expect("unsub").await["id"], old);
    peer.send(json!({ "msg": "nosub", "id": old })).await;
    peer.accept_sub().await;
    assert_eq!(next(&mut events).await, Event::Subscribed(stream));
}

#[tokio::test]
async fn pings_are_answered_with_their_id() {
    let server = Server::new().await;
    let (_realtime, _events) = start(server.options(&[]));
    let (mut peer, _) = server.welcome().await;
    peer.send(json!({ "msg": "ping", "id": "p1" })).await;
    assert_eq!(peer.expect("pong").await["id"], "p1");
    peer.send(json!({ "msg": "ping" })).await;
    assert_eq!(peer.expect("pong").await, json!({ "msg": "pong" }));
}

#[tokio::test]
async fn a_silent_server_is_pinged_and_then_left() {
    let server = Server::new().await;
    let mut options = server.options(&[]);
    options.silence_timeout = Duration::from_millis(50);
    let (_realtime, mut events) = start(options);
    let (mut peer, _) = server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
    peer.expect("ping").await;
    peer.send(json!({ "msg": "pong" })).await;
    peer.expect("ping").await;
    assert_eq!(
        disconnected(&mut events).await,
        "the server has fallen silent"
    );
    server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
}

#[tokio::test]
async fn garbage_is_left_out_and_the_connection_lives() {
    let server = Server::new().await;
    let (_realtime, mut events) = start(server.options(&[]));
    let (mut peer, _) = server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
    let unreadable = |event| match event {
        Event::Unreadable(unreadable) => unreadable,
        other => panic!("{other:?}"),
    };
    for garbage in [
        "garbage",
        "{\"msg\":\"changed\",\"collection\":\"stream-room-mess",
    ] {
        peer.raw(garbage).await;
        assert!(unreadable(next(&mut events).await).maybe_message);
    }
    peer.raw("[]").await;
    assert!(!unreadable(next(&mut events).await).maybe_message);
    peer.0.send(WsMessage::binary(vec![0xff, 0])).await.unwrap();
    assert!(unreadable(next(&mut events).await).maybe_message);
    peer.message("m1").await;
    assert_eq!(message_id(&mut events).await, "m1");
    let same = json!({ "msg": "ping", "id": "b" }).to_string().into_bytes();
    peer.0.send(WsMessage::binary(same)).await.unwrap();
    assert_eq!(peer.expect("pong").await["id"], "b");
}

#[tokio::test]
async fn an_oversize_frame_is_told_and_the_connection_comes_back() {
    let server = Server::new().await;
    let mut options = server.options(&[]);
    options.max_frame_bytes = 10_000;
    let (_realtime, mut events) = start(options);
    let (mut peer, _) = server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
    peer.raw(&"x".repeat(20_000)).await;
    match next(&mut events).await {
        Event::Unreadable(unreadable) => assert!(unreadable.maybe_message),
        other => panic!("{other:?}"),
    }
    disconnected(&mut events).await;
    server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
}

#[tokio::test]
async fn too_many_subscriptions_are_asked_for_again_and_others_are_refused() {
    let server = Server::new().await;
    let logged = Stream::Logged("nope".to_owned());
    let (_realtime, mut events) = start(server.options(&[Stream::MyMessages, logged.clone()]));
    let (mut peer, _) = server.welcome().await;
    let (first, _) = peer.sub().await;
    let (second, event) = peer.sub().await;
    assert_eq!(event, "nope");
    let wait =
        json!({ "error": "too-many-requests", "reason": "wait", "details": { "timeToReset": 20 } });
    peer.send(json!({ "msg": "nosub", "id": first, "error": wait }))
        .await;
    let refused = json!({ "error": "not-allowed", "message": "[not-allowed]" });
    peer.send(json!({ "msg": "nosub", "id": second, "error": refused }))
        .await;
    match next(&mut events).await {
        Event::SubscriptionRefused { stream, error } => {
            assert_eq!((stream, error.code()), (logged, Some("not-allowed")));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(peer.accept_sub().await, "__my_messages__");
    assert_eq!(next(&mut events).await, Event::Ready);
}

#[tokio::test]
async fn a_refused_token_waits_for_another_one() {
    let server = Server::new().await;
    let (realtime, mut events) = start(server.options(&[]));
    let mut peer = server.accept().await;
    let (id, _) = peer.login_call().await;
    let error = json!({ "error": 403, "reason": "You've been logged out by the server. Please log in again." });
    peer.send(json!({ "msg": "result", "id": id, "error": error }))
        .await;
    assert_eq!(next(&mut events).await, Event::Unauthorized);
    let call = realtime.call("x", Vec::new()).await;
    assert!(
        matches!(
            call,
            Err(Error::Transport {
                maybe_done: false,
                ..
            })
        ),
        "{call:?}"
    );
    realtime.set_credentials(token("new"));
    let (_peer, given) = server.welcome().await;
    assert_eq!(given, "new");
    assert_eq!(next(&mut events).await, Event::Ready);
}

#[tokio::test]
async fn a_token_of_somebody_else_is_refused() {
    let server = Server::new().await;
    let mut options = server.options(&[]);
    options.credentials.user_id = RocketUserId::new("uid2");
    let (_realtime, mut events) = start(options);
    let _peer = server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Unauthorized);
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    let server = Server::new().await;
    let (_realtime, mut events) = start(server.options(&[]));
    let mut peer = server.accept().await;
    let (id, _) = peer.login_call().await;
    let error =
        json!({ "error": "too-many-requests", "reason": "wait", "details": { "timeToReset": 30 } });
    peer.send(json!({ "msg": "result", "id": id, "error": error }))
        .await;
    disconnected(&mut events).await;
    server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
}

#[tokio::test]
async fn what_is_no_websocket_is_tried_again() {
    let server = Server::new().await;
    let (_realtime, mut events) = start(server.options(&[]));
    drop(server.listener.accept().await.unwrap());
    disconnected(&mut events).await;
    server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
}

#[tokio::test]
async fn what_is_no_tls_is_tried_again() {
    let server = Server::new().await;
    let mut options = server.options(&[]);
    options.base.set_scheme("https").unwrap();
    let (_realtime, mut events) = start(options);
    for _ in 0..2 {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 plain\r\n\r\n")
            .await
            .unwrap();
        drop(stream);
        disconnected(&mut events).await;
    }
}

#[tokio::test]
async fn calls_get_their_own_answers_or_learn_of_the_loss() {
    let server = Server::new().await;
    let (realtime, mut events) = start(server.options(&[]));
    let (mut peer, _) = server.welcome().await;
    assert_eq!(next(&mut events).await, Event::Ready);
    let server_side = async {
        let first = peer.expect("method").await;
        let second = peer.expect("method").await;
        for call in [second, first] {
            let result = json!({ "echo": call["params"][0] });
            peer.send(json!({ "msg": "result", "id": call["id"], "result": result }))
                .await;
        }
        peer
    };
    let (a, b, mut peer) = tokio::join!(
        realtime.call("x", vec![json!("a")]),
        realtime.call("x", vec![json!("b")]),
        server_side
    );
    assert_eq!(
        (a.unwrap()["echo"].as_str(), b.unwrap()["echo"].as_str()),
        (Some("a"), Some("b"))
    );
    let lost = async move {
        peer.expect("method").await;
        drop(peer);
    };
    let (lost, ()) = tokio::join!(realtime.call("x", Vec::new()), lost);
    assert!(
        matches!(
            lost,
            Err(Error::Transport {
                maybe_done: true,
                ..
            })
        ),
        "{lost:?}"
    );
}

#[tokio::test]
async fn a_slow_receiver_stops_the_reading_and_loses_nothing() {
    let server = Server::new().await;
    let mut options = server.options(&[]);
    options.queue = 2;
    options.silence_timeout = Duration::from_millis(50);
    let (_realtime, mut events) = start(options);
    let (mut peer, _) = server.welcome().await;
    for number in 0..50 {
        peer.message(&format!("m{number}")).await;
    }
    // Nobody receives, yet the client keeps the connection by pings beyond any silence.
    for _ in 0..4 {
        peer.expect("ping").await;
    }
    assert_eq!(next(&mut events).await, Event::Ready);
    for number in 0..50 {
        assert_eq!(message_id(&mut events).await, format!("m{number}"));
    }
}

#[tokio::test]
async fn nobody_receiving_ends_the_task() {
    let server = Server::new().await;
    let (realtime, events) = start(server.options(&[]));
    let (mut peer, _) = server.welcome().await;
    drop(events);
    assert!(
        peer.hear().await.is_none(),
        "the connection outlived its receiver"
    );
    realtime.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_login() {
    let server = Server::new().await;
    let (realtime, _events) = start(server.options(&[]));
    let mut peer = server.accept().await;
    peer.login_call().await;
    timeout(Duration::from_secs(5), realtime.shutdown())
        .await
        .expect("it waited");
}

#[tokio::test]
async fn a_password_login_lives_only_for_itself() {
    let server = Server::new().await;
    let answer = async {
        let mut peer = server.accept().await;
        peer.expect("connect").await;
        peer.send(json!({ "msg": "connected", "session": "x" }))
            .await;
        let call = peer.expect("method").await;
        let sha = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        let expected = json!([{ "user": { "username": "dora" }, "password": { "digest": sha, "algorithm": "sha-256" } }]);
        assert_eq!(call["params"], expected);
        peer.logged_in(&call["id"]).await;
        peer.hear().await
    };
    let (name, password) = (Username::new("dora"), Secret::new("hunter2"));
    let (found, after) = tokio::join!(login_once(&server.base, &name, &password), answer);
    assert_eq!(found, Ok(token("good")));
    assert_eq!(after, None, "the socket stayed open");

    let refusal = async {
        let mut peer = server.accept().await;
        let (id, _) = peer.login_call().await;
        let error = json!({ "error": 403, "reason": "Incorrect password" });
        peer.send(json!({ "msg": "result", "id": id, "error": error }))
            .await;
    };
    let (found, ()) = tokio::join!(login_once(&server.base, &name, &password), refusal);
    assert_eq!(found.unwrap_err().code(), Some("403"));
}
