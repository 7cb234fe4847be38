//! Files, against servers that take, give and break off as they are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::tests::{Server, answer, ok, refused, stored};
use super::*;
use crate::media::{Body, Broken, Patience};
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{FileId, RocketMessageId, RocketRoomId, RocketUserId};
use crate::secret::Secret;

const SHORT: Patience = Patience {
    stall: Duration::from_millis(200),
    answer: Duration::from_millis(200),
    opening: Duration::from_millis(200),
};

/// A text in a thread.
fn beside<'a>(msg: &'a str, tmid: Option<&'a RocketMessageId>) -> Beside<'a> {
    Beside {
        msg,
        tmid,
        ..Beside::default()
    }
}

pub(super) fn room() -> RocketRoomId {
    RocketRoomId::new("r1")
}

fn text(body: Body) -> Upload<'static> {
    Upload {
        name: "note.txt",
        media_type: "text/plain",
        body,
    }
}

fn taken() -> Vec<u8> {
    ok(&json!({ "file": { "_id": "f1", "url": "/file-upload/f1/note.txt" }, "success": true }))
}

pub(super) fn with_headers(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Gives each connection to `serve`, and a session that has only so much patience.
async fn session_at<F, Fut>(patience: Patience, serve: F) -> Session
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    let mut client = Client::new(format!("http://127.0.0.1:{port}").parse().unwrap()).unwrap();
    client.patience = patience;
    client.session(Credentials {
        user_id: RocketUserId::new("uid1"),
        token: Secret::new("hush"),
    })
}

/// Bytes that are made when they are asked for.
fn generated(pieces: u64, made: &Arc<AtomicU64>) -> Body {
    const PIECE: u64 = 64 * 1024;
    let made = Arc::clone(made);
    Body {
        chunks: stream::iter(0..pieces)
            .map(move |_| {
                made.fetch_add(PIECE, Ordering::SeqCst);
                Ok(Bytes::from(vec![b'x'; PIECE as usize]))
            })
            .boxed(),
        length: Some(pieces * PIECE),
    }
}

#[tokio::test]
async fn a_file_is_uploaded_under_its_name_and_type() {
    let server = Server::answering(vec![taken(), taken()]).await;
    let session = server.session();
    let id = session
        .upload(&room(), text(Body::of(b"hello".to_vec())))
        .await
        .unwrap();
    assert_eq!(id.as_str(), "f1");
    let request = server.request(0);
    let head = request.to_lowercase();
    assert!(
        head.starts_with("post /chat/api/v1/rooms.media/r1 http/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("x-auth-token: hush") && head.contains("x-user-id: uid1"));
    assert!(head.contains("content-length: "), "{head}");
    let part = "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"note.txt\"\r\n\
                Content-Type: text/plain\r\n\r\nhello\r\n--";
    assert!(request.contains(part), "{request}");
    // A length that nobody knows does not hinder.
    let mut body = Body::of(b"hello".to_vec());
    body.length = None;
    session.upload(&room(), text(body)).await.unwrap();
    assert!(
        server
            .request(1)
            .to_lowercase()
            .contains("transfer-encoding: chunked")
    );
}

#[tokio::test]
async fn no_name_and_no_type_breaks_out_of_its_header() {
    let cases = [
        ("ünïcode ✓ 名前.txt", "ünïcode ✓ 名前.txt"),
        ("quote\"name.txt", "quote\\\"name.txt"),
        (
            "a\r\nContent-Type: text/html\r\n\r\n<b>",
            "a__Content-Type: text_html____<b>",
        ),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("c:\\x\\y.txt", "c:_x_y.txt"),
        ("a\0b", "a_b"),
        ("a b%20c+d&e#f?.txt", "a b%20c+d&e#f?.txt"),
        ("", "file"),
        ("..", "file"),
    ];
    for (name, written) in cases {
        let server = Server::one(taken()).await;
        let upload = Upload {
            name,
            media_type: "text/html\r\nX-Injected: 1",
            body: Body::of(b"hello".to_vec()),
        };
        server.session().upload(&room(), upload).await.unwrap();
        let request = server.request(0);
        let part = format!(
            "; filename=\"{written}\"\r\nContent-Type: application/octet-stream\r\n\r\nhello\r\n"
        );
        assert!(request.contains(&part), "{name:?} became {request}");
    }
    let server = Server::one(taken()).await;
    let upload = Upload {
        name: &"名".repeat(10_000),
        media_type: "no type",
        body: Body::of(b"hello".to_vec()),
    };
    server.session().upload(&room(), upload).await.unwrap();
    assert!(server.request(0).len() < 3000);
}

#[tokio::test]
async fn a_message_with_a_file_is_made_in_one_step_or_in_two() {
    let server = Server::answering(vec![
        ok(&json!({ "message": stored(), "success": true })),
        ok(&json!({ "message": null, "success": true })),
        ok(&json!({ "message": stored(), "success": true })),
    ])
    .await;
    let session = server.session();
    let (file, thread) = (FileId::new("f1"), RocketMessageId::new("t1"));
    let posted = session
        .confirm_upload(&room(), &file, beside("caption", Some(&thread)))
        .await
        .unwrap();
    assert_eq!(posted.unwrap().id.as_str(), "m1");
    assert_eq!(server.body(0), json!({ "msg": "caption", "tmid": "t1" }));
    assert!(
        server
            .request(0)
            .starts_with("POST /chat/api/v1/rooms.mediaConfirm/r1/f1 ")
    );
    let unsaid = session
        .confirm_upload(&room(), &file, Beside::default())
        .await;
    assert_eq!(unsaid, Ok(None));
    assert_eq!(server.body(1), json!({}));
    let body = Body::of(b"hello".to_vec());
    let posted = session
        .upload_and_post(&room(), text(body), beside("caption", Some(&thread)))
        .await
        .unwrap();
    assert_eq!(posted.id.as_str(), "m1");
    let request = server.request(2);
    for part in [
        "name=\"msg\"\r\n\r\ncaption\r\n",
        "name=\"tmid\"\r\n\r\nt1\r\n",
        "name=\"file\"; filename=\"note.txt\"\r\n",
    ] {
        assert!(request.contains(part), "{part} is missing: {request}");
    }
}

#[tokio::test]
async fn ids_do_not_lead_elsewhere() {
    let server = Server::one(with_headers("200 OK", "content-type: image/png\r\n", b"x")).await;
    let session = server.session();
    for id in ["..", ".", ""] {
        let file = FileId::new(id);
        let error = session.download(&file).await.unwrap_err();
        assert_eq!(error.code(), Some("invalid-address"), "{id:?}");
        let refused = session
            .confirm_upload(&room(), &file, Beside::default())
            .await;
        assert_eq!(refused.unwrap_err().code(), Some("invalid-address"));
    }
    session
        .download(&FileId::new("../api/v1?x=#y%2e"))
        .await
        .unwrap();
    let request = server.request(0);
    assert!(
        request.starts_with("GET /chat/file-upload/..%2Fapi%2Fv1%3Fx=%23y%252e/x HTTP"),
        "{request}"
    );
}

#[tokio::test]
async fn every_recorded_refusal_of_a_file_has_its_meaning() {
    let coded = |text: &str, code: &str| {
        let text = format!("{text}[{code}]");
        refused(&json!({ "success": false, "error": text, "errorType": code }))
    };
    for code in [
        "error-file-too-large",
        "error-invalid-file-type",
        "error-file-upload-disabled",
        "error-direct-message-file-upload-not-allowed",
        "file-too-small",
        "invalid-file",
    ] {
        let server = Server::one(coded("Some words. ", code)).await;
        let body = text(Body::of(b"x".to_vec()));
        let error = server.session().upload(&room(), body).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.advice(), Advice::GiveUp);
        assert!(!error.person_text().contains("Some words"), "{code}");
    }
    let picture = |text: &str| {
        let error = format!("Error: {text} [ufs: cannot upload file]");
        refused(
            &json!({ "success": false, "error": error, "errorType": "ufs: cannot upload file" }),
        )
    };
    for (answer, unreadable) in [
        (
            picture("Input file contains unsupported image format"),
            true,
        ),
        (
            picture("Input file has corrupt header: svgload: bad dimensions"),
            true,
        ),
        (picture("ENOSPC: no space left on device, write"), false),
        (picture("connect ECONNREFUSED 127.0.0.1:9000"), false),
    ] {
        let server = Server::one(answer).await;
        let body = text(Body::of(b"x".to_vec()));
        let error = server.session().upload(&room(), body).await.unwrap_err();
        assert_eq!(error.is_unreadable_picture(), unreadable, "{error:?}");
        assert_eq!(error.advice() == Advice::GiveUp, unreadable, "{error:?}");
    }
    let unauthorized = json!({ "success": false, "error": "unauthorized" }).to_string();
    let server = Server::one(answer("403 Forbidden", "application/json", &unauthorized)).await;
    let body = text(Body::of(b"x".to_vec()));
    let error = server.session().upload(&room(), body).await.unwrap_err();
    assert!(error.is_denied(), "{error:?}");
    let server = Server::one(answer("413 Too Large", "text/html", "<h1>nginx</h1>")).await;
    let body = text(Body::of(b"x".to_vec()));
    let error = server.session().upload(&room(), body).await.unwrap_err();
    assert!(error.is_file_too_large(), "{error:?}");
}

#[tokio::test]
async fn a_large_file_goes_up_without_being_held() {
    const PIECES: u64 = 200 * 16;
    let (made, came) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (making, counter) = (Arc::clone(&made), Arc::clone(&came));
    let most = Arc::new(AtomicU64::new(0));
    let furthest = Arc::clone(&most);
    let session = session_at(Patience::default(), move |mut socket| {
        let (made, came, most) = (
            Arc::clone(&making),
            Arc::clone(&counter),
            Arc::clone(&furthest),
        );
        async move {
            let mut part = vec![0; 256 * 1024];
            while came.load(Ordering::SeqCst) < PIECES * 64 * 1024 {
                let read = socket.read(&mut part).await.unwrap() as u64;
                let came = came.fetch_add(read, Ordering::SeqCst) + read;
                let ahead = made.load(Ordering::SeqCst).saturating_sub(came);
                most.fetch_max(ahead, Ordering::SeqCst);
            }
            socket.write_all(&taken()).await.unwrap();
        }
    })
    .await;
    session
        .upload(&room(), text(generated(PIECES, &made)))
        .await
        .unwrap();
    assert!(came.load(Ordering::SeqCst) >= 200 * 1024 * 1024);
    let most = most.load(Ordering::SeqCst);
    // What the two sockets hold is among it.
    assert!(most < 16 * 1024 * 1024, "{most} bytes were on their way");
}

#[tokio::test]
async fn what_broke_the_source_is_told() {
    let lost = Broken::Lost("reset".to_owned());
    for length in [Some(100), None] {
        let session = session_at(Patience::default(), |mut socket| async move {
            let mut part = [0; 4096];
            while socket.read(&mut part).await.is_ok_and(|read| read > 0) {}
        })
        .await;
        let parts = [Ok(Bytes::from_static(b"ab")), Err(lost.clone())];
        let body = Body {
            chunks: stream::iter(parts).boxed(),
            length,
        };
        let error = session.upload(&room(), text(body)).await.unwrap_err();
        assert_eq!(error, Error::Source(lost.clone()));
        let again = Advice::Retry {
            after: None,
            maybe_done: false,
        };
        assert_eq!(error.advice(), again);
    }
}

#[tokio::test]
async fn a_server_that_refuses_early_is_understood() {
    let made = Arc::new(AtomicU64::new(0));
    let session = session_at(Patience::default(), |mut socket| async move {
        let mut part = [0; 4096];
        socket.read_exact(&mut part).await.unwrap();
        let text = json!({ "success": false, "error": "[error-file-too-large]", "errorType": "error-file-too-large" });
        socket.write_all(&refused(&text)).await.unwrap();
        // As the server does: it does not close before it has read.
        while socket.read(&mut part).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let error = session
        .upload(&room(), text(generated(100_000, &made)))
        .await
        .unwrap_err();
    assert!(error.is_file_too_large(), "{error:?}");
    assert!(made.load(Ordering::SeqCst) < 100_000 * 64 * 1024);
}

#[tokio::test]
async fn a_server_that_stands_still_is_given_up() {
    let silent = |mut socket: TcpStream| async move {
        let mut part = [0; 4096];
        while socket.read(&mut part).await.is_ok_and(|read| read > 0) {}
    };
    let session = session_at(SHORT, silent).await;
    let error = session
        .upload(&room(), text(Body::of(b"hello".to_vec())))
        .await
        .unwrap_err();
    let timeout = |maybe_done| Error::Transport {
        maybe_done,
        what: "timeout",
    };
    assert_eq!(error, timeout(true), "it has the whole file");
    let error = session.download(&FileId::new("f1")).await.unwrap_err();
    assert_eq!(error, timeout(false));

    let deaf = |socket: TcpStream| async move {
        std::future::pending::<()>().await;
        drop(socket);
    };
    let session = session_at(SHORT, deaf).await;
    let made = Arc::new(AtomicU64::new(0));
    let error = session
        .upload(&room(), text(generated(100_000, &made)))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Transport {
                maybe_done: false,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_upload_cut_off_may_have_been_done_only_when_it_was_whole() {
    for (taken_bytes, maybe) in [(10, false), (1_000_000, true)] {
        let session = session_at(Patience::default(), move |mut socket| async move {
            let (mut part, mut left) = ([0; 4096], taken_bytes);
            while left > 0 {
                match socket.read(&mut part).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) if String::from_utf8_lossy(&part).contains("--\r\n\0") => return,
                    Ok(read) => left -= left.min(read),
                }
            }
        })
        .await;
        let body = if maybe {
            Body::of(b"hello".to_vec())
        } else {
            generated(1000, &Arc::new(AtomicU64::new(0)))
        };
        let error = session.upload(&room(), text(body)).await.unwrap_err();
        let Advice::Retry { maybe_done, .. } = error.advice() else {
            panic!("{error:?} was given up");
        };
        assert_eq!(maybe_done, maybe, "{error:?}");
    }
}

#[tokio::test]
async fn a_file_comes_down_as_it_is() {
    let headers = "content-type: image/png\r\n";
    let server = Server::answering(vec![
        with_headers("200 OK", headers, b"picture"),
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec(),
    ])
    .await;
    let session = server.session();
    let file = session.download(&FileId::new("f1")).await.unwrap();
    assert_eq!(file.media_type.as_deref(), Some("image/png"));
    assert_eq!(file.body.length, Some(7));
    assert_eq!(file.body.collect(100).await.unwrap(), b"picture");
    let request = server.request(0).to_lowercase();
    assert!(request.starts_with("get /chat/file-upload/f1/x http/1.1\r\n"));
    assert!(request.contains("accept-encoding: identity"), "{request}");
    assert!(request.contains("x-auth-token: hush"));
    let file = session.download(&FileId::new("f1")).await.unwrap();
    assert_eq!((file.media_type, file.body.length), (None, None));
    assert_eq!(file.body.collect(100).await.unwrap(), b"until the end");
}

#[tokio::test]
async fn a_file_that_cannot_be_had_says_why() {
    let get = async |answer: Vec<u8>| {
        let server = Server::one(answer).await;
        let file = server.session().download(&FileId::new("f1")).await;
        file.unwrap_err()
    };
    let forbidden = get(with_headers("403 Forbidden", "", b"")).await;
    assert!(forbidden.is_denied() && forbidden.advice() == Advice::GiveUp);
    let gone = get(with_headers("404 Not Found", "", b"")).await;
    assert_eq!(gone.code(), Some("invalid-file"));
    assert_eq!(gone.advice(), Advice::GiveUp);
    let proxy = get(with_headers("404 Not Found", "", b"page not found")).await;
    assert!(matches!(proxy.advice(), Advice::Retry { .. }), "{proxy:?}");
    let busy = get(with_headers("502 Bad Gateway", "", b"")).await;
    assert_eq!(busy, Error::Server { status: 502 });
    let location = "location: https://s3.example/f?X-Amz-Signature=secret\r\n";
    let moved = get(with_headers("302 Found", location, b"")).await;
    assert_eq!(
        (&moved, moved.advice()),
        (&Error::Redirected, Advice::GiveUp)
    );
    assert!(!format!("{moved} {moved:?}").contains("secret"));
    assert!(moved.to_string().contains("Proxy Uploads"));
    let page = get(with_headers(
        "200 OK",
        "content-type: text/html\r\n",
        b"<h1>",
    ))
    .await;
    assert!(matches!(page, Error::NotRocketChat { .. }), "{page:?}");
    let packed = get(with_headers("200 OK", "content-encoding: gzip\r\n", b"x")).await;
    assert!(matches!(packed, Error::NotRocketChat { .. }), "{packed:?}");
}

#[tokio::test]
async fn a_download_cut_off_is_not_taken_for_the_file() {
    let cut = |answer: &'static [u8]| async move {
        let server = Server::one(answer.to_vec()).await;
        let file = server.session().download(&FileId::new("f1")).await.unwrap();
        file.body.collect(1000).await.unwrap_err()
    };
    let sized = cut(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(matches!(sized, Broken::Lost(_)), "{sized:?}");
    let chunked = cut(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    assert!(matches!(chunked, Broken::Lost(_)), "{chunked:?}");
    let session = session_at(SHORT, |mut socket| async move {
        let mut part = [0; 4096];
        assert!(socket.read(&mut part).await.unwrap() > 0);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
        socket.write_all(head).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let file = session.download(&FileId::new("f1")).await.unwrap();
    assert_eq!(file.body.collect(100).await, Err(Broken::Stalled));
}

#[tokio::test]
async fn a_missing_endpoint_is_known() {
    let value: Value = json!({ "status": "error", "message": "API endpoint does not exist" });
    let text_of = value.to_string();
    let server = Server::one(answer("405 Not Allowed", "application/json", &text_of)).await;
    let body = text(Body::of(b"x".to_vec()));
    let error = server.session().upload(&room(), body).await.unwrap_err();
    assert_eq!(error, Error::EndpointMissing);
}
