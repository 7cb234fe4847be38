//! The listener as the homeserver meets it: over a socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const TOKEN: &str = "hs-secret";
const LIMIT: usize = 64 * 1024;

/// Notes what it gets; does what its switches say.
#[derive(Default)]
struct Notebook {
    transactions: Mutex<Vec<Transaction>>,
    finished: AtomicUsize,
    unavailable: AtomicBool,
    panics: AtomicBool,
    slow: AtomicBool,
    unready: AtomicBool,
}

fn told(status: u16, what: &str) -> ApiAnswer {
    ApiAnswer {
        status,
        body: json!({ "told": what }),
        retry_after: None,
        allow: None,
    }
}

impl Notebook {
    fn ids(&self) -> Vec<String> {
        let transactions = self.transactions.lock().unwrap();
        transactions.iter().map(|t| t.id.clone()).collect()
    }
}

impl Handler for Notebook {
    async fn transaction(&self, transaction: Transaction) -> Result<(), Unavailable> {
        assert!(!self.panics.load(Ordering::SeqCst), "asked to panic");
        // Proves that this is the program's runtime: the listener's has no `spawn`.
        tokio::spawn(async {}).await.map_err(|_| Unavailable)?;
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(Unavailable);
        }
        self.transactions.lock().unwrap().push(transaction);
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        self.finished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn user_exists(&self, user: OwnedUserId) -> Result<bool, Unavailable> {
        match user.localpart() {
            "_rocketchat_down" => Err(Unavailable),
            localpart => Ok(matches!(localpart, "_rocketchat_ada" | "_rocketchat_a/b+c")),
        }
    }

    async fn alias_exists(&self, alias: OwnedRoomAliasId) -> Result<bool, Unavailable> {
        Ok(alias.as_str() == "#_rocketchat_general:example.org")
    }

    fn protocol(&self, protocol: &str) -> Option<Value> {
        (protocol == "rocketchat").then(|| json!({"instances": []}))
    }

    async fn third_party_users(&self, query: ThirdPartyQuery) -> Result<Vec<Value>, Unavailable> {
        Ok(if query.fields.is_empty() {
            Vec::new()
        } else {
            vec![json!({"protocol": query.protocol, "fields": query.fields})]
        })
    }

    async fn third_party_locations(
        &self,
        query: ThirdPartyQuery,
    ) -> Result<Vec<Value>, Unavailable> {
        self.third_party_users(query).await
    }

    async fn file(&self, request: FileRequest) -> Result<ServedFile, FileRefusal> {
        super::files::tests::file(&request)
    }

    async fn app_command(&self, call: AppCall) -> AppAnswer {
        if call.signature != "mine" {
            return AppAnswer::NotBelieved;
        }
        AppAnswer::Said(String::from_utf8_lossy(&call.body).into_owned())
    }

    fn refuse_stranger(&self, token: Option<&str>, _: &str) -> Option<ApiAnswer> {
        (token != Some("mine")).then(|| told(401, "stranger"))
    }

    async fn provision(&self, call: ApiCall) -> ApiAnswer {
        let body = String::from_utf8_lossy(&call.body).into_owned();
        told(
            202,
            &format!("{} {} {:?} {body}", call.method, call.path, call.query),
        )
    }

    fn health(&self) -> Health {
        Health {
            live: true,
            ready: !self.unready.load(Ordering::SeqCst),
            detail: json!({"waiting": 0}),
        }
    }
}

pub(super) struct Rig {
    notebook: Arc<Notebook>,
    pub(super) listener: RunningListener,
    pub(super) http: reqwest::Client,
}

pub(super) async fn rig() -> Rig {
    rig_with(Patience::USUAL).await
}

/// One that gives up slow requests while a test waits for it.
pub(super) async fn impatient_rig() -> Rig {
    rig_with(Patience {
        head: Duration::from_millis(500),
        body: Duration::from_millis(500),
        reader: Duration::from_millis(500),
    })
    .await
}

async fn rig_with(patience: Patience) -> Rig {
    let notebook = Arc::new(Notebook::default());
    let config = ListenerConfig {
        listen: "127.0.0.1:0".to_owned(),
        hs_token: Secret::new(TOKEN),
        max_body_bytes: LIMIT,
    };
    let listener = start_with(config, Arc::clone(&notebook), patience)
        .await
        .unwrap();
    Rig {
        notebook,
        listener,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    }
}

impl Rig {
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.address())
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(TOKEN)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        answered(self.request(Method::GET, path)).await
    }

    async fn put(&self, id: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        let path = format!("/_matrix/app/v1/transactions/{id}");
        answered(self.request(Method::PUT, &path).body(body)).await
    }

    /// Writes raw bytes and returns all that comes back until the end.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.listener.address()).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(5), async {
            let mut part = [0; 1024];
            while !String::from_utf8_lossy(&answer).contains('}') {
                match socket.read(&mut part).await {
                    Ok(n) if n > 0 => answer.extend_from_slice(&part[..n]),
                    _ => break,
                }
            }
        });
        read.await.expect("the listener left us waiting");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn answered(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    (status, response.json().await.unwrap())
}

fn code(answer: &(StatusCode, Value)) -> (u16, &str) {
    (
        answer.0.as_u16(),
        answer.1["errcode"].as_str().unwrap_or_default(),
    )
}

fn event(n: u32) -> Value {
    json!({
        "event_id": format!("$e{n}:example.org"),
        "room_id": "!r:example.org",
        "sender": "@alice:example.org",
        "type": "m.room.message",
        "content": {"body": "hi"},
    })
}

fn transaction_of(events: &[Value]) -> String {
    json!({"events": events}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_reaches_the_handler_by_both_paths() {
    let rig = rig().await;
    for path in ["/_matrix/app/v1/transactions/1", "/transactions/2"] {
        let request = rig.request(Method::PUT, path);
        let answer = answered(request.body(transaction_of(&[event(1), event(2)]))).await;
        assert_eq!(answer, (StatusCode::OK, json!({})));
    }
    assert_eq!(rig.notebook.ids(), ["1", "2"]);
    assert_eq!(rig.notebook.transactions.lock().unwrap()[0].events.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_event_among_good_ones_is_left_out() {
    let rig = rig().await;
    let body = transaction_of(&[event(1), json!({"type": 7}), event(2)]);
    assert_eq!(rig.put("1", body).await.0, StatusCode::OK);
    let seen = rig.notebook.transactions.lock().unwrap();
    assert_eq!((seen[0].events.len(), seen[0].unreadable), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_is_survived() {
    let rig = rig().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let poison = event(2).to_string().replace("\"hi\"", &deep);
    let body = format!(r#"{{"events":[{},{poison}]}}"#, event(1));
    assert_eq!(rig.put("1", body).await.0, StatusCode::OK);
    assert_eq!(rig.notebook.transactions.lock().unwrap()[0].unreadable, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_for_the_token() {
    let rig = rig().await;
    let routes = [
        (Method::PUT, "/_matrix/app/v1/transactions/1"),
        (Method::PUT, "/transactions/1"),
        (
            Method::GET,
            "/_matrix/app/v1/users/@_rocketchat_ada:example.org",
        ),
        (Method::GET, "/users/@_rocketchat_ada:example.org"),
        (
            Method::GET,
            "/_matrix/app/v1/rooms/%23_rocketchat_general:example.org",
        ),
        (Method::GET, "/rooms/%23_rocketchat_general:example.org"),
        (
            Method::GET,
            "/_matrix/app/v1/thirdparty/protocol/rocketchat",
        ),
        (
            Method::GET,
            "/_matrix/app/v1/thirdparty/user/rocketchat?x=y",
        ),
        (Method::GET, "/_matrix/app/v1/thirdparty/user?userid=x"),
        (
            Method::GET,
            "/_matrix/app/v1/thirdparty/location/rocketchat?x=y",
        ),
        (Method::GET, "/_matrix/app/v1/thirdparty/location?alias=x"),
        (
            Method::GET,
            "/_matrix/app/unstable/thirdparty/protocol/rocketchat",
        ),
        (Method::POST, "/_matrix/app/v1/ping"),
    ];
    for (method, path) in routes {
        let bare = || {
            rig.http
                .request(method.clone(), rig.url(path))
                .body("{\"events\":[]}")
        };
        let joint = if path.contains('?') { '&' } else { '?' };
        let with_query = |token: &str| {
            let url = rig.url(&format!("{path}{joint}access_token={token}"));
            rig.http
                .request(method.clone(), url)
                .body("{\"events\":[]}")
        };
        let missing = (401, "M_MISSING_TOKEN");
        let wrong = (403, "M_FORBIDDEN");
        assert_eq!(code(&answered(bare()).await), missing, "{path}");
        assert_eq!(
            code(&answered(bare().bearer_auth("no")).await),
            wrong,
            "{path}"
        );
        assert_eq!(code(&answered(with_query("no")).await), wrong, "{path}");
        assert_eq!(
            code(&answered(with_query("no").bearer_auth(TOKEN)).await),
            wrong,
            "{path}: both must agree"
        );
        assert_eq!(
            code(&answered(with_query(TOKEN).bearer_auth("no")).await),
            wrong,
            "{path}: both must agree"
        );
        for right in [
            bare().bearer_auth(TOKEN),
            with_query(TOKEN),
            with_query(TOKEN).bearer_auth(TOKEN),
        ] {
            assert_eq!(answered(right).await.0, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_before_the_body_is_read() {
    let rig = rig().await;
    let head = "PUT /transactions/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
    let answer = rig.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_told_apart() {
    let rig = rig().await;
    for path in [
        "/",
        "/_matrix/app/v1/nothing",
        "/_matrix/app/v1/transactions/",
        "/users/",
    ] {
        assert_eq!(
            code(&rig.get(path).await),
            (404, "M_UNRECOGNIZED"),
            "{path}"
        );
    }
    for (method, path) in [
        (Method::GET, "/_matrix/app/v1/transactions/1"),
        (Method::POST, "/transactions/1"),
        (Method::PUT, "/_matrix/app/v1/users/@a:b"),
        (Method::GET, "/_matrix/app/v1/ping"),
        (Method::DELETE, "/health/live"),
    ] {
        let answer = answered(rig.request(method, path)).await;
        assert_eq!(code(&answer), (405, "M_UNRECOGNIZED"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_transaction_is_refused_with_a_reason() {
    let rig = rig().await;
    for body in ["", "{", "<html></html>", "{\"events\":[1,}"] {
        assert_eq!(
            code(&rig.put("1", body).await),
            (400, "M_NOT_JSON"),
            "{body}"
        );
    }
    for body in ["[]", "{}", "{\"events\":7}"] {
        assert_eq!(
            code(&rig.put("1", body).await),
            (400, "M_BAD_JSON"),
            "{body}"
        );
    }
    assert!(rig.notebook.ids().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_bound_is_refused() {
    let rig = rig().await;
    let declared = format!(
        "PUT /transactions/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        LIMIT + 1
    );
    let answer = rig.raw(declared.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("M_TOO_LARGE"), "{answer}");

    let mut chunked = format!(
        "PUT /transactions/2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..=LIMIT / 4096 {
        chunked.push_str("1000\r\n");
        chunked.push_str(&" ".repeat(4096));
        chunked.push_str("\r\n");
    }
    let answer = rig.raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(rig.notebook.ids().is_empty());

    let mut body = transaction_of(&[event(1)]);
    body.push_str(&" ".repeat(LIMIT - body.len()));
    assert_eq!(rig.put("3", body).await.0, StatusCode::OK, "at the bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_given_up() {
    let rig = impatient_rig().await;
    let head = format!(
        "PUT /transactions/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{\"eve",
    );
    let answer = rig.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(rig.put("2", transaction_of(&[])).await.0, StatusCode::OK);
    assert_eq!(rig.notebook.ids(), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_given_up() {
    let rig = impatient_rig().await;
    let mut socket = TcpStream::connect(rig.listener.address()).await.unwrap();
    socket
        .write_all(b"PUT /transactions/1 HTTP/1.1\r\nX-A: ")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), socket.read_to_string(&mut answer))
        .await
        .expect("the connection was kept open")
        .unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_not_acknowledged_and_may_be_repeated() {
    let rig = rig().await;
    rig.notebook.unavailable.store(true, Ordering::SeqCst);
    let refused = rig.put("1", transaction_of(&[event(1)])).await;
    assert_eq!(code(&refused), (503, "M_UNKNOWN"));
    rig.notebook.unavailable.store(false, Ordering::SeqCst);
    rig.notebook.panics.store(true, Ordering::SeqCst);
    let broken = rig.put("1", transaction_of(&[event(1)])).await;
    assert_eq!(code(&broken), (500, "M_UNKNOWN"));
    rig.notebook.panics.store(false, Ordering::SeqCst);
    let taken = rig.put("1", transaction_of(&[event(1)])).await;
    assert_eq!(taken.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_does_not_cancel_the_handler() {
    let rig = rig().await;
    rig.notebook.slow.store(true, Ordering::SeqCst);
    let path = "/_matrix/app/v1/transactions/1";
    let request = rig
        .request(Method::PUT, path)
        .body(transaction_of(&[event(1)]));
    let hung_up = request.timeout(Duration::from_millis(100)).send().await;
    assert!(hung_up.unwrap_err().is_timeout());
    for _ in 0..50 {
        if rig.notebook.finished.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the handler was dropped half-way");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_aliases_are_answered() {
    let rig = rig().await;
    for base in ["", "/_matrix/app/v1"] {
        for (path, expected) in [
            ("/users/@_rocketchat_ada:example.org", (200, "")),
            ("/users/%40_rocketchat_ada%3Aexample.org", (200, "")),
            ("/users/%40_rocketchat_a/b%2Bc%3Aexample.org", (200, "")),
            ("/users/%40_rocketchat_a%2Fb%2Bc%3Aexample.org", (200, "")),
            ("/users/@_rocketchat_eve:example.org", (404, "M_NOT_FOUND")),
            ("/users/@_rocketchat_down:example.org", (503, "M_UNKNOWN")),
            ("/users/nonsense", (404, "M_NOT_FOUND")),
            ("/users/%FF%FE", (404, "M_NOT_FOUND")),
            ("/rooms/%23_rocketchat_general%3Aexample.org", (200, "")),
            (
                "/rooms/%23_rocketchat_other%3Aexample.org",
                (404, "M_NOT_FOUND"),
            ),
            ("/rooms/!x:example.org", (404, "M_NOT_FOUND")),
        ] {
            let answer = rig.get(&format!("{base}{path}")).await;
            assert_eq!(code(&answer), expected, "{base}{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn third_party_lookups_carry_their_fields_and_not_the_token() {
    let rig = rig().await;
    for version in ["v1", "unstable"] {
        let at = |rest: &str| format!("/_matrix/app/{version}/thirdparty/{rest}");
        assert_eq!(rig.get(&at("protocol/rocketchat")).await.0, StatusCode::OK);
        let unknown = rig.get(&at("protocol/irc")).await;
        assert_eq!(code(&unknown), (404, "M_NOT_FOUND"));
        for kind in ["user", "location"] {
            let query = format!("{kind}/rocketchat?name=a%20b&access_token={TOKEN}");
            assert_eq!(
                rig.get(&at(&query)).await.1,
                json!([{"protocol": "rocketchat", "fields": {"name": "a b"}}])
            );
            let by_id = rig.get(&at(&format!("{kind}?id=x"))).await.1;
            assert_eq!(by_id, json!([{"protocol": null, "fields": {"id": "x"}}]));
            let none = rig.get(&at(&format!("{kind}/rocketchat"))).await;
            assert_eq!(code(&none), (404, "M_NOT_FOUND"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_need_no_token() {
    let rig = rig().await;
    let probe = |path: &str| answered(rig.http.get(rig.url(path)));
    let well = json!({"live": true, "detail": {"waiting": 0}});
    assert_eq!(probe("/health/live").await, (StatusCode::OK, well));
    assert_eq!(probe("/health/ready").await.0, StatusCode::OK);
    rig.notebook.unready.store(true, Ordering::SeqCst);
    let unready = probe("/health/ready").await;
    assert_eq!(unready.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unready.1["ready"], false);
    assert_eq!(probe("/health/live").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_what_is_under_way_and_frees_the_port() {
    let rig = rig().await;
    rig.notebook.slow.store(true, Ordering::SeqCst);
    let address = rig.listener.address();
    let request = rig
        .request(Method::PUT, "/transactions/1")
        .body(transaction_of(&[event(1)]));
    let under_way = tokio::spawn(answered(request));
    while rig.notebook.ids().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    timeout(Duration::from_secs(10), rig.listener.stop())
        .await
        .expect("stopping hangs");
    assert_eq!(under_way.await.unwrap().0, StatusCode::OK);
    std::net::TcpListener::bind(address).expect("the port is still taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listened_on_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for listen in [
        taken.local_addr().unwrap().to_string(),
        "nonsense".to_owned(),
    ] {
        let config = ListenerConfig {
            listen: listen.clone(),
            hs_token: Secret::new(TOKEN),
            max_body_bytes: LIMIT,
        };
        let error = start(config, Arc::new(Notebook::default()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&listen), "{error}");
        assert!(error.to_string().contains("appservice.listen"), "{error}");
    }
    let open_door = ListenerConfig {
        listen: "127.0.0.1:0".to_owned(),
        hs_token: Secret::new(""),
        max_body_bytes: LIMIT,
    };
    let error = start(open_door, Arc::new(Notebook::default()))
        .await
        .unwrap_err();
    assert!(matches!(error, ListenError::EmptyToken));
}

#[tokio::test]
async fn programs_are_let_in_by_their_token_alone_and_bounded() {
    let rig = rig().await;
    let at = |path: &str| {
        let address = rig.listener.address();
        format!("http://{address}/_rocketchat/provision/v1/{path}")
    };
    let told = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        (status, body["told"].as_str().unwrap_or_default().to_owned())
    };
    for request in [
        rig.http.get(at("status")),
        rig.http.get(at("status")).bearer_auth("other"),
        rig.http.get(at("status?access_token=mine")),
        rig.http
            .get(at("status"))
            .bearer_auth("mine")
            .header("authorization", "Bearer mine"),
        rig.http.post(at("x")).body("x".repeat(100_000)),
    ] {
        assert_eq!(told(request).await, (401, "stranger".to_owned()));
    }
    let request = rig.http.post(at("portals/%21a%2Fb%3Ac?x=1&x=2")).body("{}");
    let (status, said) = told(request.bearer_auth("mine")).await;
    assert_eq!(
        (status, said.as_str()),
        (202, r#"POST portals/!a/b:c {"x": "2"} {}"#)
    );
    let large = rig
        .http
        .post(at("x"))
        .bearer_auth("mine")
        .body("x".repeat(70_000));
    assert_eq!(told(large).await.0, 413);
}
