//! Files, against homeservers that take, give and break off as they are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use ruma::{MxcUri, OwnedMxcUri, owned_user_id};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::matrix::error::Kind;
use crate::matrix::testing::{AS_TOKEN, FakeHomeserver, Seen, answer_with, client_of, json_answer};
use crate::media::{Body, Broken, Patience};
use crate::retry::{Advice, Retryable as _};

const STORED: &str = r#"{"content_uri":"mxc://example.org/abc"}"#;
const UNRECOGNIZED: &str = r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#;
const NOT_FOUND: &str = r#"{"errcode":"M_NOT_FOUND","error":"Not found"}"#;
const PIECE: u64 = 64 * 1024;

fn file() -> OwnedMxcUri {
    "mxc://example.org/abc".into()
}

fn patient_for(ms: u64) -> Limits {
    let pause = Duration::from_millis(ms);
    Limits {
        patience: Patience {
            stall: pause,
            answer: pause,
            opening: pause,
        },
        ..Limits::default()
    }
}

async fn serving<F, Fut>(limits: Limits, serve: F) -> Intent
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    client_of(&url, limits).bot()
}

fn picture() -> Vec<u8> {
    answer_with(200, "Content-Type: image/png\r\n", "picture")
}

#[tokio::test]
async fn a_file_is_uploaded_with_its_length_and_type() {
    let server = FakeHomeserver::always(json_answer(200, STORED)).await;
    let ghost = server
        .client()
        .as_user(owned_user_id!("@_rocketchat_ada:example.org"));
    let body = Body::of(b"hello".to_vec());
    let uri = ghost
        .upload_body(body, "text/plain", Some("a b&c\r\n.txt"))
        .await
        .unwrap();
    assert_eq!(uri, file());
    let seen = server.last();
    assert_eq!(
        seen.line,
        "POST /_matrix/media/v3/upload?filename=a+b%26c.txt\
         &user_id=%40_rocketchat_ada%3Aexample.org"
    );
    let head = seen.head.to_ascii_lowercase();
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {AS_TOKEN}")));
    assert_eq!(seen.body, "hello");

    let bot = server.client().bot();
    let body = Body::of(b"hello".to_vec());
    bot.upload_body(body, "text/html\r\nX-Injected: 1", None)
        .await
        .unwrap();
    let seen = server.last();
    assert_eq!(seen.line, "POST /_matrix/media/v3/upload");
    assert!(
        seen.head.contains("application/octet-stream"),
        "{}",
        seen.head
    );
    bot.upload_body(Body::of(Vec::new()), "text/plain", None)
        .await
        .unwrap();
    assert!(
        server
            .last()
            .head
            .to_ascii_lowercase()
            .contains("content-length: 0")
    );
}

#[tokio::test]
async fn what_cannot_be_a_whole_file_is_not_sent() {
    let server = FakeHomeserver::always(json_answer(200, STORED)).await;
    let bot = server.client().bot();
    let mut unknown = Body::of(b"hello".to_vec());
    unknown.length = None;
    let error = bot.upload_body(unknown, "text/plain", None).await;
    assert!(matches!(error.unwrap_err().kind(), Kind::Request { .. }));
    let mut lying = Body::of(b"hello".to_vec());
    lying.length = Some(0);
    let error = bot
        .upload_body(lying, "text/plain", None)
        .await
        .unwrap_err();
    let short = Broken::Short {
        announced: 0,
        came: 5,
    };
    assert_eq!(error.kind(), &Kind::Source(short));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_broke_the_source_is_told_and_nothing_is_stored() {
    let server = FakeHomeserver::always(json_answer(200, STORED)).await;
    let bot = server.client().bot();
    let part = || Ok(Bytes::from_static(b"ab"));
    let lost = Broken::Lost("reset".to_owned());
    let short = |came| Broken::Short { announced: 4, came };
    for (parts, cause) in [
        (vec![part(), Err(lost.clone())], lost),
        (vec![part()], short(2)),
        (vec![part(), part(), part()], short(6)),
        (
            vec![part(), part(), Err(Broken::WrongHash)],
            Broken::WrongHash,
        ),
    ] {
        let body = Body {
            chunks: stream::iter(parts).boxed(),
            length: Some(4),
        };
        let error = bot.upload_body(body, "text/plain", None).await.unwrap_err();
        assert_eq!(error.kind(), &Kind::Source(cause.clone()));
        assert_eq!(error.advice(), cause.advice());
        assert!(error.to_string().contains(&cause.to_string()));
    }
    assert!(
        server.seen().is_empty(),
        "half a file was taken for a whole"
    );
}

#[tokio::test]
async fn every_refusal_of_an_upload_has_its_meaning() {
    let upload = async |answer: Vec<u8>| {
        let server = FakeHomeserver::always(answer).await;
        let body = Body::of(b"hello".to_vec());
        let bot = server.client().bot();
        bot.upload_body(body, "text/plain", None).await.unwrap_err()
    };
    let too_large = r#"{"errcode":"M_TOO_LARGE","error":"Upload request body is too large"}"#;
    for answer in [json_answer(413, too_large), answer_with(413, "", "<html>")] {
        let error = upload(answer).await;
        assert!(error.is_request_too_large(), "{error}");
        assert_eq!(error.advice(), Advice::GiveUp);
    }
    let limited = r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}"#;
    let slow = upload(json_answer(429, limited)).await;
    let pause = Some(Duration::from_millis(1500));
    assert_eq!(slow.kind(), &Kind::RateLimited { after: pause });
    let forbidden = upload(json_answer(403, r#"{"errcode":"M_FORBIDDEN","error":"x"}"#)).await;
    assert!(forbidden.is_forbidden());
    let moved = upload(answer_with(307, "Location: https://cdn.example/\r\n", "")).await;
    assert!(matches!(moved.kind(), Kind::NotMatrix { status: 307, .. }));
}

#[tokio::test]
async fn a_large_file_goes_up_without_being_held() {
    const PIECES: u64 = 200 * 16;
    let (made, came, most) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let server = (Arc::clone(&made), Arc::clone(&came), Arc::clone(&most));
    let bot = serving(Limits::default(), move |mut socket| {
        let (made, came, most) = server.clone();
        async move {
            let mut part = vec![0; 256 * 1024];
            while came.load(Ordering::SeqCst) < PIECES * PIECE {
                let read = socket.read(&mut part).await.unwrap() as u64;
                let came = came.fetch_add(read, Ordering::SeqCst) + read;
                let ahead = made.load(Ordering::SeqCst).saturating_sub(came);
                most.fetch_max(ahead, Ordering::SeqCst);
            }
            socket.write_all(&json_answer(200, STORED)).await.unwrap();
        }
    })
    .await;
    let making = Arc::clone(&made);
    let body = Body {
        chunks: stream::iter(0..PIECES)
            .map(move |_| {
                making.fetch_add(PIECE, Ordering::SeqCst);
                Ok(Bytes::from(vec![b'x'; PIECE as usize]))
            })
            .boxed(),
        length: Some(PIECES * PIECE),
    };
    bot.upload_body(body, "video/mp4", None).await.unwrap();
    assert!(came.load(Ordering::SeqCst) >= PIECES * PIECE);
    let most = most.load(Ordering::SeqCst);
    // What the two sockets hold is among it.
    assert!(most < 16 * 1024 * 1024, "{most} bytes were on their way");
}

#[tokio::test]
async fn a_large_file_comes_down_only_as_fast_as_it_is_taken() {
    const PIECES: u64 = 200 * 16;
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    let bot = serving(Limits::default(), move |mut socket| {
        let written = Arc::clone(&counter);
        async move {
            let mut part = [0; 4096];
            assert!(socket.read(&mut part).await.unwrap() > 0);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                PIECES * PIECE
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            let piece = vec![b'x'; PIECE as usize];
            for _ in 0..PIECES {
                socket.write_all(&piece).await.unwrap();
                written.fetch_add(PIECE, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut body = bot.download(&file()).await.unwrap().body;
    assert_eq!(body.length, Some(PIECES * PIECE));
    let mut taken = 0;
    while let Some(chunk) = body.chunks.next().await {
        taken += chunk.unwrap().len() as u64;
        let ahead = written.load(Ordering::SeqCst).saturating_sub(taken);
        assert!(ahead < 16 * 1024 * 1024, "{ahead} bytes were on their way");
    }
    assert_eq!(taken, PIECES * PIECE);
}

#[tokio::test]
async fn a_homeserver_that_stands_still_is_given_up() {
    let bot = serving(patient_for(200), |mut socket| async move {
        let mut part = [0; 4096];
        while socket.read(&mut part).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let body = Body::of(b"hello".to_vec());
    let error = bot.upload_body(body, "text/plain", None).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            Kind::Transport {
                maybe_done: true,
                ..
            }
        ),
        "{error}"
    );
    let error = bot.download(&file()).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            Kind::Transport {
                maybe_done: false,
                ..
            }
        ),
        "{error}"
    );
    let bot = serving(patient_for(200), |mut socket| async move {
        let mut part = [0; 4096];
        assert!(socket.read(&mut part).await.unwrap() > 0);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
        socket.write_all(head).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let download = bot.download(&file()).await.unwrap();
    assert_eq!(download.body.collect(100).await, Err(Broken::Stalled));
}

#[tokio::test]
async fn a_download_cut_off_is_not_taken_for_the_file() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let server = FakeHomeserver::always(answer.as_bytes()).await;
        let download = server.client().bot().download(&file()).await.unwrap();
        let broken = download.body.collect(100).await.unwrap_err();
        assert!(matches!(broken, Broken::Lost(_)), "{broken:?}");
        assert!(!format!("{broken} {broken:?}").contains("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_file_is_asked_for_with_the_token_and_as_it_is() {
    let server = FakeHomeserver::always(picture()).await;
    let ghost = server
        .client()
        .as_user(owned_user_id!("@_rocketchat_ada:example.org"));
    let download = ghost.download(&file()).await.unwrap();
    assert_eq!(download.media_type.as_deref(), Some("image/png"));
    assert_eq!(download.body.length, Some(7));
    assert_eq!(download.body.collect(100).await.unwrap(), b"picture");
    let seen = server.last();
    assert_eq!(
        seen.line,
        "GET /_matrix/client/v1/media/download/example.org/abc\
         ?user_id=%40_rocketchat_ada%3Aexample.org"
    );
    let head = seen.head.to_ascii_lowercase();
    assert!(head.contains("accept-encoding: identity"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {AS_TOKEN}")));
}

#[tokio::test]
async fn only_addresses_of_files_are_asked_for() {
    let server = FakeHomeserver::always(picture()).await;
    let bot = server.client().bot();
    for odd in [
        "",
        "https://example.org/abc",
        "mxc://example.org",
        "mxc://example.org/",
        "mxc://example.org/..",
        "mxc://example.org/a/b",
        "mxc://example.org/a?b#c",
        "mxc://example.org/a%2e",
        "mxc://../abc",
        "mxc:///abc",
        "mxc://user@example.org/abc",
    ] {
        let error = bot.download(<&MxcUri>::from(odd)).await.unwrap_err();
        assert!(
            matches!(error.kind(), Kind::Request { .. }),
            "{odd}: {error}"
        );
    }
    assert!(server.seen().is_empty());
}

fn is_new(seen: &Seen) -> bool {
    seen.line.contains("/_matrix/client/v1/media/")
}

#[tokio::test]
async fn a_homeserver_of_before_is_asked_in_the_old_way() {
    for status in [400, 404, 405] {
        let server = FakeHomeserver::start(move |seen| {
            if is_new(seen) {
                json_answer(status, UNRECOGNIZED)
            } else {
                picture()
            }
        })
        .await;
        let bot = server.client().bot();
        for _ in 0..2 {
            let download = bot.download(&file()).await.unwrap();
            assert_eq!(download.body.collect(100).await.unwrap(), b"picture");
        }
        let lines: Vec<_> = server.seen().into_iter().map(|seen| seen.line).collect();
        let old = "GET /_matrix/media/v3/download/example.org/abc";
        assert_eq!(
            lines,
            [
                "GET /_matrix/client/v1/media/download/example.org/abc",
                old,
                old
            ],
            "it was asked again for what it does not know"
        );
        assert!(!server.last().head.contains(AS_TOKEN));
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_looked_for_in_the_old_way() {
    let server = FakeHomeserver::always(json_answer(404, NOT_FOUND)).await;
    let error = server.client().bot().download(&file()).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(error.advice(), Advice::GiveUp);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_homeserver_that_has_learnt_the_new_way_is_noticed() {
    let asked = AtomicU64::new(0);
    let server = FakeHomeserver::start(move |seen| {
        match (asked.fetch_add(1, Ordering::SeqCst), is_new(seen)) {
            (0, true) => json_answer(404, UNRECOGNIZED),
            (_, true) => picture(),
            (_, false) => json_answer(404, NOT_FOUND),
        }
    })
    .await;
    let bot = server.client().bot();
    assert!(bot.download(&file()).await.unwrap_err().is_not_found());
    for _ in 0..2 {
        let download = bot.download(&file()).await.unwrap();
        assert_eq!(download.body.collect(100).await.unwrap(), b"picture");
    }
    let new: Vec<_> = server.seen().iter().map(is_new).collect();
    assert_eq!(new, [true, false, false, true, true]);
}

#[tokio::test]
async fn a_file_that_cannot_be_had_says_why() {
    let get = async |answer: Vec<u8>| {
        let server = FakeHomeserver::always(answer).await;
        server.client().bot().download(&file()).await.unwrap_err()
    };
    let early = get(json_answer(
        504,
        r#"{"errcode":"M_NOT_YET_UPLOADED","error":"x"}"#,
    ))
    .await;
    assert_eq!(early.code(), Some("M_NOT_YET_UPLOADED"));
    assert!(matches!(early.advice(), Advice::Retry { .. }));
    let remote = get(json_answer(502, r#"{"errcode":"M_UNKNOWN","error":"x"}"#)).await;
    assert!(matches!(remote.advice(), Advice::Retry { .. }));
    let location = "Location: https://cdn.example/?signature=secret\r\n";
    for status in [302, 307, 308] {
        let moved = get(answer_with(status, location, "")).await;
        let shown = format!("{moved} {moved:?}");
        assert!(
            shown.contains("redirect") && !shown.contains("secret"),
            "{shown}"
        );
    }
    let part = get(answer_with(206, "", "part")).await;
    assert!(
        matches!(part.kind(), Kind::NotMatrix { status: 206, .. }),
        "{part}"
    );
    let packed = get(answer_with(200, "Content-Encoding: gzip\r\n", "x")).await;
    assert!(matches!(packed.kind(), Kind::NotMatrix { .. }), "{packed}");
}

#[tokio::test]
async fn the_limit_is_read_from_either_endpoint() {
    let table = [
        (r#"{"m.upload.size":1048576}"#, Some(1_048_576)),
        (r#"{}"#, None),
        (r#"{"m.upload.size":"much"}"#, None),
        (r#"{"m.upload.size":-1}"#, None),
    ];
    for (body, limit) in table {
        let server = FakeHomeserver::always(json_answer(200, body)).await;
        let found = server.client().bot().upload_limit().await.unwrap();
        assert_eq!(found, limit, "{body}");
        assert_eq!(server.last().line, "GET /_matrix/client/v1/media/config");
    }
    let server = FakeHomeserver::start(|seen| {
        if is_new(seen) {
            json_answer(404, UNRECOGNIZED)
        } else {
            json_answer(200, r#"{"m.upload.size":7}"#)
        }
    })
    .await;
    assert_eq!(server.client().bot().upload_limit().await.unwrap(), Some(7));
    assert_eq!(server.last().line, "GET /_matrix/media/v3/config");
    let server = FakeHomeserver::always(json_answer(404, UNRECOGNIZED)).await;
    assert_eq!(server.client().bot().upload_limit().await.unwrap(), None);
    let server = FakeHomeserver::always(answer_with(200, "", "<html>")).await;
    assert!(server.client().bot().upload_limit().await.is_err());
}

#[tokio::test]
async fn a_picture_is_set_and_taken_away() {
    let server = FakeHomeserver::always(json_answer(200, "{}")).await;
    let ghost = server
        .client()
        .as_user(owned_user_id!("@_rocketchat_ada:example.org"));
    ghost.set_avatar_url(Some(&file())).await.unwrap();
    assert!(server.last().line.contains("/avatar_url?user_id="));
    assert_eq!(server.last().json()["avatar_url"], "mxc://example.org/abc");
    ghost.set_avatar_url(None).await.unwrap();
    assert_eq!(server.last().json()["avatar_url"], "");
}
