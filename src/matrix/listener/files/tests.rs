#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::tests::{impatient_rig, rig};
use super::*;

/// Of `large`, in bytes: far more than what sockets hold.
const LARGE: u64 = 64 << 20;

/// How much of `large` has been read from its server.
static READ: AtomicU64 = AtomicU64::new(0);

/// The files of the tests, by id; the signature must be `good`.
pub(in super::super) fn file(request: &FileRequest) -> Result<ServedFile, FileRefusal> {
    if request.signature != "good" || request.until != "99" {
        return Err(FileRefusal::Unknown);
    }
    let digits = || Body::of(b"0123456789".to_vec());
    let (media_type, in_ranges, body) = match request.id.as_str() {
        "film" => ("video/mp4", true, digits()),
        "page" => ("text/html", true, digits()),
        "drawing" => ("image/svg+xml", true, digits()),
        "encrypted" => ("image/png", false, digits()),
        "empty" => ("text/plain", true, Body::of(Vec::new())),
        "unknown-length" => (
            "image/png",
            true,
            Body {
                length: None,
                ..digits()
            },
        ),
        "short" => (
            "image/png",
            true,
            Body {
                length: Some(20),
                ..digits()
            },
        ),
        "wrong-hash" => {
            let chunks = digits().chunks;
            let chunks = chunks.chain(stream::iter([Err(Broken::WrongHash)])).boxed();
            (
                "image/png",
                false,
                Body {
                    chunks,
                    length: None,
                },
            )
        }
        "large" => {
            let piece = Bytes::from(vec![7; 64 * 1024]);
            let pieces = LARGE / piece.len() as u64;
            let chunks = stream::iter(0..pieces).map(move |_| {
                READ.fetch_add(piece.len() as u64, Ordering::SeqCst);
                Ok(piece.clone())
            });
            let chunks = chunks.boxed();
            (
                "video/mp4",
                true,
                Body {
                    chunks,
                    length: Some(LARGE),
                },
            )
        }
        "ended" => return Err(FileRefusal::Ended),
        "busy" => return Err(FileRefusal::Busy),
        "away" => return Err(FileRefusal::NotNow),
        "panic" => panic!("asked to panic"),
        _ => return Err(FileRefusal::Unknown),
    };
    Ok(ServedFile {
        tag: request.id.clone(),
        name: "Füße \"1\"%.mp4".to_owned(),
        media_type: media_type.to_owned(),
        in_ranges,
        shown_elsewhere: false,
        body,
    })
}

fn path(id: &str) -> String {
    format!("/files/v1/{id}/99/good/name.mp4")
}

/// Of an answer without a token, since nobody's browser has one.
async fn asked(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (
    u16,
    reqwest::header::HeaderMap,
    Result<Bytes, reqwest::Error>,
) {
    let rig = rig().await;
    let mut request = rig.http.request(method, rig.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.bytes().await)
}

#[tokio::test]
async fn a_file_is_to_be_saved_and_never_a_page() {
    for (id, media_type) in [
        ("film", "video/mp4"),
        ("page", "application/octet-stream"),
        ("drawing", "application/octet-stream"),
    ] {
        let (status, headers, body) = asked(Method::GET, &path(id), &[]).await;
        assert_eq!((status, &body.unwrap()[..]), (200, &b"0123456789"[..]));
        let expected = [
            ("content-type", media_type),
            ("content-length", "10"),
            ("accept-ranges", "bytes"),
            (
                "content-disposition",
                "attachment; filename=\"F__e _1__.mp4\"; filename*=UTF-8''F%C3%BC%C3%9Fe%20%221%22%25.mp4",
            ),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox; default-src 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "private, no-store"),
            ("x-robots-tag", "noindex"),
        ];
        for (name, value) in expected {
            assert_eq!(headers[name], value, "{id}: {name}");
        }
    }
}

#[tokio::test]
async fn a_head_tells_of_the_file_without_reading_it() {
    let (status, headers, body) = asked(Method::HEAD, &path("film"), &[]).await;
    assert_eq!((status, body.unwrap().len()), (200, 0));
    assert_eq!(headers["content-length"], "10");
    assert_eq!(headers["etag"], "\"film\"");
    // Ranges are for GET alone (RFC 9110, section 14.2).
    let range = [("range", "bytes=2-4")];
    let (status, headers, _) = asked(Method::HEAD, &path("film"), &range).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-length"], "10");
}

#[tokio::test]
async fn parts_can_be_asked_for() {
    let table = [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=4-", 206, "456789", "bytes 4-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=-99", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, "89", "bytes 8-9/10"),
        ("Bytes = 9-9", 206, "9", "bytes 9-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=-0", 416, "", "bytes */10"),
        ("bytes=99999999999999999999999-", 416, "", "bytes */10"),
        ("bytes=5-2", 200, "0123456789", ""),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
        ("bytes=-", 200, "0123456789", ""),
        ("bytes=a-b", 200, "0123456789", ""),
        ("pages=1-2", 200, "0123456789", ""),
        ("", 200, "0123456789", ""),
    ];
    for (range, expected, content, content_range) in table {
        let (status, headers, body) = asked(Method::GET, &path("film"), &[("range", range)]).await;
        assert_eq!(
            (status, &body.unwrap()[..]),
            (expected, content.as_bytes()),
            "{range}"
        );
        let found = headers
            .get("content-range")
            .map(|value| value.to_str().unwrap());
        assert_eq!(found.unwrap_or_default(), content_range, "{range}");
    }
}

#[tokio::test]
async fn a_part_of_another_file_is_not_added_to_the_first() {
    let headers = [("range", "bytes=4-"), ("if-range", "\"film\"")];
    assert_eq!(asked(Method::GET, &path("film"), &headers).await.0, 206);
    let headers = [("range", "bytes=4-"), ("if-range", "\"other\"")];
    assert_eq!(asked(Method::GET, &path("film"), &headers).await.0, 200);
}

#[tokio::test]
async fn there_are_no_parts_where_only_the_whole_can_be_checked_or_measured() {
    for id in ["encrypted", "unknown-length"] {
        let range = [("range", "bytes=2-4")];
        let (status, headers, body) = asked(Method::GET, &path(id), &range).await;
        assert_eq!((status, body.unwrap().len()), (200, 10), "{id}");
        assert_eq!(headers["accept-ranges"], "none", "{id}");
    }
    let (status, headers, body) =
        asked(Method::GET, &path("empty"), &[("range", "bytes=0-")]).await;
    assert_eq!((status, body.unwrap().len()), (416, 0));
    assert_eq!(headers["content-range"], "bytes */0");
}

#[tokio::test]
async fn what_breaks_is_not_taken_for_whole() {
    for id in ["short", "wrong-hash"] {
        let rig = rig().await;
        // The head may not have been sent yet.
        let whole = match rig.http.get(rig.url(&path(id))).send().await {
            Ok(answer) => answer.bytes().await,
            Err(broken) => Err(broken),
        };
        assert!(whole.is_err(), "{id} looked whole: {whole:?}");
    }
}

#[tokio::test]
async fn a_link_that_is_none_says_nothing() {
    let unknown = [
        "/files/v1/film/99/bad/x",
        "/files/v1/film/98/good/x",
        "/files/v1/other/99/good/x",
        "/files/v1/%00/99/good/x",
    ];
    let mut answers = Vec::new();
    for path in unknown {
        let (status, headers, body) = asked(Method::GET, path, &[]).await;
        assert_eq!(headers["x-content-type-options"], "nosniff");
        answers.push((status, body.unwrap()));
    }
    assert_eq!(
        answers[0],
        (404, Bytes::from_static(b"There is no file here.\n"))
    );
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    for (id, status, after) in [
        ("ended", 410, None),
        ("busy", 503, Some("10")),
        ("away", 503, Some("60")),
        ("panic", 503, Some("60")),
    ] {
        let (found, headers, body) = asked(Method::GET, &path(id), &[]).await;
        assert_eq!(found, status, "{id}");
        let retry = headers
            .get("retry-after")
            .map(|value| value.to_str().unwrap());
        assert_eq!(retry, after, "{id}");
        assert!(body.unwrap().ends_with(b".\n"), "{id}");
    }
    assert_eq!(asked(Method::POST, &path("film"), &[]).await.0, 405);
    assert_eq!(asked(Method::GET, "/files/v1/film", &[]).await.0, 404);
}

#[tokio::test]
async fn who_does_not_read_is_given_up_and_costs_no_memory() {
    let rig = impatient_rig().await;
    let mut reader = tokio::net::TcpStream::connect(rig.listener.address())
        .await
        .unwrap();
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", path("large"));
    reader.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 1000];
    reader.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200 OK\r\n"));
    // The pause is over when nothing more has been read for longer than that.
    let mut before = u64::MAX;
    let mut now = READ.load(Ordering::SeqCst);
    while before != now {
        before = now;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        now = READ.load(Ordering::SeqCst);
    }
    assert!(now < LARGE, "all of it was read ahead");
    // Whoever goes on reading meets the end before the file's.
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest).await;
    assert!((rest.len() as u64) < LARGE - 1000, "it went on");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_readers() {
    let rig = rig().await;
    let answer = rig.http.get(rig.url(&path("large"))).send().await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(20), rig.listener.stop());
    let read = async {
        let mut chunks = answer.bytes_stream();
        let mut came = 0;
        // Slower than the stop.
        while let Some(Ok(chunk)) = chunks.next().await {
            came += chunk.len() as u64;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        came
    };
    let (stopped, came) = tokio::join!(stopped, read);
    assert!(stopped.is_ok(), "it waited for the reader");
    assert!(came < LARGE);
}

#[test]
fn a_link_is_not_logged_with_its_signature() {
    let request = FileRequest {
        id: "film".into(),
        until: "99".into(),
        signature: "secret".into(),
    };
    assert!(!format!("{request:?}").contains("secret"));
}
