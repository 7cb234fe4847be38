#![allow(clippy::unwrap_used, clippy::expect_used)]

use ruma::{event_id, owned_user_id, room_id};
use serde_json::json;

use super::*;
use crate::bridge::{BridgeHandler, CommandLine, Context, Given, Reply};
use crate::config::{Config, Environment, Registration};
use crate::matrix::testing::{FakeHomeserver, Seen, answer_with, json_answer};
use crate::matrix::{ListenerConfig, RunningListener, listener};
use crate::rocketchat::{FileId, RocketMessageId, RocketRoomId};
use crate::store::{Message, Origin, Portal, PortalId, PortalKind, Store};

const NOW: i64 = 1_795_203_457_123;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn key() -> Secret {
    Secret::new("as token")
}

fn url(base: &str, name: &str) -> Url {
    let base = Url::parse(base).unwrap();
    address(&base, &key(), "some-id", ends_at(NOW, DAY), name).unwrap()
}

fn request(url: &Url) -> FileRequest {
    let parts: Vec<_> = url.path_segments().unwrap().map(str::to_owned).collect();
    let [.., id, until, signature, _] = parts.as_slice() else {
        panic!("{url} has too few parts");
    };
    FileRequest {
        id: id.clone(),
        until: until.clone(),
        signature: signature.clone(),
    }
}

#[test]
fn a_link_stands_under_the_public_address_and_is_known_again() {
    for (base, start) in [
        (
            "https://files.example.org",
            "https://files.example.org/files/v1/some-id/",
        ),
        ("https://x.org/rc/", "https://x.org/rc/files/v1/some-id/"),
        ("https://x.org/rc", "https://x.org/rc/files/v1/some-id/"),
    ] {
        let link = url(base, "film.mp4");
        assert!(link.as_str().starts_with(start), "{link}");
        assert!(link.as_str().ends_with("/film.mp4"), "{link}");
        assert_eq!(check(&key(), &request(&link), NOW), Ok(()));
    }
}

#[test]
fn a_name_cannot_leave_its_place_in_the_link() {
    for name in ["../../x", "a/b?c#d", "%2e%2e", "\u{202e}gpj", "", "a b\"<>"] {
        let link = url("https://x.org", name);
        assert_eq!(link.path_segments().unwrap().count(), 6, "{link}");
        assert!(link.query().is_none() && link.fragment().is_none());
        assert_eq!(check(&key(), &request(&link), NOW), Ok(()));
    }
}

#[test]
fn what_the_bridge_has_not_signed_is_unknown() {
    let good = request(&url("https://x.org", "x"));
    let changes: [&dyn Fn(&mut FileRequest); 9] = [
        &|r| r.id.push('x'),
        &|r| r.id.clear(),
        &|r| r.until = (r.until.parse::<i64>().unwrap() + 1).to_string(),
        &|r| r.until.insert(0, '0'),
        &|r| r.until.insert(0, '+'),
        &|r| r.until = "soon".into(),
        &|r| r.signature.clear(),
        &|r| r.signature.push('A'),
        &|r| r.signature = r.signature.to_lowercase(),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut request = good.clone();
        change(&mut request);
        let checked = check(&key(), &request, NOW);
        assert_eq!(checked, Err(FileRefusal::Unknown), "change {at}");
    }
    let other = check(&Secret::new("other"), &good, NOW);
    assert_eq!(other, Err(FileRefusal::Unknown));
}

#[test]
fn a_link_ends_by_itself() {
    let good = request(&url("https://x.org", "x"));
    let end = ends_at(NOW, DAY);
    assert_eq!(check(&key(), &good, end), Ok(()));
    assert_eq!(check(&key(), &good, end + 1000), Err(FileRefusal::Ended));
}

#[tokio::test]
async fn a_place_is_free_when_the_file_is_through_or_given_up() {
    let places = Arc::new(Semaphore::new(1));
    let take = || Arc::clone(&places).try_acquire_owned();
    let body = holding(Body::of(b"ab".to_vec()), take().unwrap());
    assert!(take().is_err(), "a second had room");
    assert_eq!(body.collect(9).await.unwrap(), b"ab");
    drop(holding(Body::of(b"ab".to_vec()), take().unwrap()));
    assert!(take().is_ok());
}

struct NoCommands;

impl CommandLine for NoCommands {
    fn greeting(&self, _: &Bridge, _: &ruma::UserId) -> String {
        String::new()
    }

    fn given_by(&self, _: &str) -> Option<Given> {
        None
    }

    fn run<'a>(&'a self, _: &'a Arc<Bridge>, _: &'a Context, _: &'a str) -> Reply<'a> {
        Box::pin(async { Ok(String::new()) })
    }
}

/// The bridge with its listener, a homeserver that has three files, and no Rocket.Chat.
struct Rig {
    homeserver: FakeHomeserver,
    bridge: Arc<Bridge>,
    listener: RunningListener,
    _store: tempfile::TempDir,
}

/// As the crypto module of Node 20 has encrypted `Hello, attachment!`; see the tests of
/// `media::encrypted`.
const STORED: [u8; 18] = [
    0x6f, 0x1a, 0xb2, 0xcb, 0xea, 0x04, 0x9c, 0x9f, 0xad, 0x04, 0xb0, 0x57, 0x52, 0x3e, 0x4e, 0xc1,
    0x69, 0x07,
];

fn answers(seen: &Seen) -> Vec<u8> {
    let line = seen.line.as_str();
    if line.contains("/media/download/example.org/film") {
        answer_with(200, "Content-Type: text/html\r\n", "0123456789")
    } else if line.contains("/media/download/example.org/encrypted") {
        let head = "HTTP/1.1 200 x\r\nContent-Length: 18\r\nConnection: close\r\n\r\n";
        [head.as_bytes(), &STORED].concat()
    } else if line.starts_with("PUT ") && line.contains("/redact/") {
        json_answer(200, r#"{"event_id":"$redaction"}"#)
    } else if line.ends_with("/versions") {
        json_answer(200, r#"{"versions":["v1.11"]}"#)
    } else {
        json_answer(404, r#"{"errcode":"M_NOT_FOUND","error":"no such file"}"#)
    }
}

async fn rig(media: &str) -> Rig {
    let homeserver = FakeHomeserver::start(answers).await;
    let config = format!(
        "homeserver:\n  url: {}\n  server_name: example.org\n\
         rocketchat:\n  url: http://127.0.0.1:9\n  user_id: x\n  token: y\n{media}",
        homeserver.url
    );
    let config = Config::parse(&config, "/".as_ref(), &Environment::default()).unwrap();
    let registration = Registration::generate(&config);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), 4 << 20, "example.org", "_rocketchat_").unwrap();
    let at = ListenerConfig {
        listen: "127.0.0.1:0".to_owned(),
        hs_token: registration.hs_token.clone(),
        max_body_bytes: 1000,
    };
    let bridge = Bridge::new(config, registration, store, Box::new(NoCommands)).unwrap();
    let handler = Arc::new(BridgeHandler(Arc::clone(&bridge)));
    Rig {
        homeserver,
        bridge,
        listener: listener::start(at, handler).await.unwrap(),
        _store: directory,
    }
}

impl Rig {
    async fn link(&self, file: LinkedFile) -> Url {
        self.bridge.link_to(file).await.unwrap().unwrap().0
    }

    /// What a browser gets: status, bytes, type.
    async fn get(&self, link: &Url, range: &str) -> (u16, Vec<u8>, String) {
        let url = format!("http://{}{}", self.listener.address(), link.path());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(url).header("range", range).send().await.unwrap();
        let media_type = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let status = answer.status().as_u16();
        (status, answer.bytes().await.unwrap().to_vec(), media_type)
    }
}

fn linked(source: FileSource) -> LinkedFile {
    LinkedFile {
        source,
        name: "film.mp4".into(),
        media_type: "video/mp4".into(),
        size: Some(10),
        portal: PortalId::own(&RocketRoomId::new("r")),
        message: RocketMessageId::new("m"),
    }
}

fn on_matrix(id: &str, encrypted: Option<&str>) -> LinkedFile {
    let mxc = format!("mxc://example.org/{id}");
    let encrypted = encrypted.map(|hash| {
        let file = encrypted::read(&json!({
            "v": "v2",
            "url": mxc,
            "key": { "kty": "oct", "alg": "A256CTR", "k": "-gEIDxYdJCsyOUBHTlVcY2pxeH-GjZSboqmwt77FzNM" },
            "iv": "oaKjpKWmp6gAAAAAAAAAAA",
            "hashes": { "sha256": hash },
        }));
        Box::new(file.unwrap())
    });
    linked(FileSource::Matrix {
        mxc: mxc.as_str().into(),
        encrypted,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_link_has_the_file_until_its_message_is_deleted() {
    let rig = rig("").await;
    let link = rig.link(on_matrix("film", None)).await;
    let again = rig.link(on_matrix("film", None)).await;
    assert_eq!(again, link, "a repeat made another link");

    // The type is the one that was sniffed, not the homeserver's.
    let whole = (200, b"0123456789".to_vec(), "video/mp4".to_owned());
    assert_eq!(rig.get(&link, "").await, whole);
    let part = (206, b"234".to_vec(), "video/mp4".to_owned());
    assert_eq!(rig.get(&link, "bytes=2-4").await, part);
    let asked = rig.homeserver.last();
    assert!(
        asked
            .head
            .to_ascii_lowercase()
            .contains("authorization: bearer")
    );

    // A guess is not even looked up.
    let mut guess = link.clone();
    guess.set_path(&link.path().replace("/files/v1/", "/files/v1/x"));
    let before = rig.homeserver.seen().len();
    assert_eq!(rig.get(&guess, "").await.0, 404);
    assert_eq!(rig.homeserver.seen().len(), before);

    let portal = Portal::own(
        RocketRoomId::new("r"),
        room_id!("!r:example.org").to_owned(),
        PortalKind::Channel,
        "r".into(),
        0,
    );
    let id = RocketMessageId::new("m");
    let events = vec![event_id!("$e").to_owned()];
    let author = owned_user_id!("@_rocketchat_a:example.org");
    let message = Message::new(&portal, id.clone(), events, author, Origin::RocketChat);
    rig.bridge
        .store
        .change()
        .message(&message)
        .commit()
        .unwrap();
    rig.bridge.mirror_deletion(&portal, &id).await.unwrap();
    let (status, _, media_type) = rig.get(&link, "").await;
    assert_eq!(
        (status, media_type.as_str()),
        (410, "text/plain; charset=utf-8")
    );
    rig.listener.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_file_is_handed_out_in_clear_and_only_whole() {
    let rig = rig("").await;
    let right = "zAGRDUKYyPmw8F/+nKWbl75XFCMgW6W04E7ds9tZg+U";
    let file = on_matrix("encrypted", Some(right));
    let link = rig.link(file).await;
    let (status, bytes, _) = rig.get(&link, "bytes=2-4").await;
    assert_eq!(
        (status, bytes.as_slice()),
        (200, &b"Hello, attachment!"[..])
    );

    let wrong = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let mut file = on_matrix("encrypted", Some(wrong));
    file.message = RocketMessageId::new("other");
    let link = rig.link(file).await;
    let url = format!("http://{}{}", rig.listener.address(), link.path());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let whole = match http.get(url).send().await {
        Ok(answer) => answer.bytes().await,
        Err(broken) => Err(broken),
    };
    assert!(
        whole.is_err(),
        "what has another hash came whole: {whole:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_said_to_be_gone_or_away() {
    let rig = rig("").await;
    let gone = rig.link(on_matrix("gone", None)).await;
    assert_eq!(rig.get(&gone, "").await.0, 410);
    let away = linked(FileSource::RocketChat {
        file: FileId::new("f"),
        reader: None,
    });
    let away = rig.link(away).await;
    assert_eq!(rig.get(&away, "").await.0, 503);
    // Neither holds a place.
    let places = &rig.bridge.file_downloads.files;
    assert_eq!(places.available_permits(), DOWNLOADS_AT_ONCE);
    let _all = places.acquire_many(DOWNLOADS_AT_ONCE as u32).await.unwrap();
    let film = rig.link(on_matrix("film", None)).await;
    assert_eq!(rig.get(&film, "").await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_links_there_are_none() {
    let with = rig("").await;
    let link = with.link(on_matrix("film", None)).await;
    let without = rig("media:\n  links: false\n").await;
    let none = without
        .bridge
        .link_to(on_matrix("film", None))
        .await
        .unwrap();
    assert_eq!(none, None);
    assert_eq!(without.get(&link, "").await.0, 404);
}
