//! Pictures of people and rooms, against a server that says what it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::json;

use super::file_tests::{room, with_headers};
use super::tests::{Server, ok};
use super::*;
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketUserId, Username};
use crate::secret::Secret;

#[tokio::test]
async fn a_picture_is_asked_for_with_cookies_and_letters_are_none() {
    let svg = "content-type: image/svg+xml\r\n";
    let dated = "content-type: image/png\r\nlast-modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n";
    let png = "content-type: image/png\r\nlast-modified: Fri, 20 Nov 2026 19:21:54 GMT\r\n";
    let huge = "content-type: image/png\r\n";
    let server = Server::answering(vec![
        with_headers("200 OK", png, b"picture"),
        with_headers("200 OK", svg, b"<svg/>"),
        with_headers("200 OK", dated, b"letters"),
        with_headers("404 Not Found", "", b""),
        with_headers("200 OK", png, b"picture"),
        with_headers("302 Found", "location: https://gravatar.example/x\r\n", b""),
        with_headers("200 OK", huge, &vec![0; 5 * 1024 * 1024 + 1]),
    ])
    .await;
    let session = server.session();
    let name = Username::new("a/b?c");
    assert_eq!(session.avatar(&name).await, Ok(Some(b"picture".to_vec())));
    let request = server.request(0);
    assert!(
        request.starts_with("GET /chat/avatar/a%2Fb%3Fc HTTP"),
        "{request}"
    );
    assert!(request.contains("cookie: rc_uid=uid1; rc_token=hush\r\n"));
    assert!(!request.to_lowercase().contains("x-auth-token"));
    for _ in 0..3 {
        assert_eq!(session.avatar(&name).await, Ok(None));
    }
    let of_room = session.room_avatar(&room()).await;
    assert_eq!(of_room, Ok(Some(b"picture".to_vec())));
    assert!(
        server
            .request(4)
            .starts_with("GET /chat/avatar/room/r1 HTTP")
    );
    assert_eq!(session.avatar(&name).await, Err(Error::Redirected));
    let error = session.avatar(&name).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_token_that_would_be_another_cookie_is_not_sent() {
    let server = Server::one(with_headers("200 OK", "", b"")).await;
    let session = server.client().session(Credentials {
        user_id: RocketUserId::new("uid1"),
        token: Secret::new("hush; rc_uid=admin"),
    });
    let error = session.avatar(&Username::new("a")).await.unwrap_err();
    assert!(error.is_unauthorized());
    assert!(!format!("{error} {error:?} {session:?}").contains("hush"));
}

#[tokio::test]
async fn pictures_are_set_and_taken_away() {
    let done = || ok(&json!({ "success": true }));
    let server = Server::answering(vec![done(), done(), done(), done()]).await;
    let session = server.session();
    let user = RocketUserId::new("u2");
    session
        .set_avatar(&user, b"picture".to_vec(), "image/png")
        .await
        .unwrap();
    let request = server.request(0);
    assert!(request.starts_with("POST /chat/api/v1/users.setAvatar "));
    let image = "name=\"image\"; filename=\"avatar\"\r\nContent-Type: image/png\r\n\r\npicture\r\n";
    for part in [image, "name=\"userId\"\r\n\r\nu2\r\n"] {
        assert!(request.contains(part), "{part} is missing: {request}");
    }
    session.reset_avatar(&user).await.unwrap();
    assert_eq!(server.body(1), json!({ "userId": "u2" }));
    session
        .set_room_avatar(&room(), Some((b"picture", "image/png")))
        .await
        .unwrap();
    let data = "data:image/png;base64,cGljdHVyZQ==";
    assert_eq!(server.body(2), json!({ "rid": "r1", "roomAvatar": data }));
    session.set_room_avatar(&room(), None).await.unwrap();
    assert_eq!(server.body(3), json!({ "rid": "r1", "roomAvatar": "" }));
}

#[tokio::test]
async fn accounts_are_paged_through() {
    let rows = json!({ "users": [
        { "_id": "u1", "username": "a", "name": "A", "active": false, "avatarETag": "e1", "services": { "password": { "bcrypt": "x" } } },
        { "_id": 5 },
    ], "count": 2, "offset": 4, "total": 9, "success": true });
    let server = Server::one(ok(&rows)).await;
    let page = server.session().users_page(4, 1000).await.unwrap();
    assert_eq!(
        (page.offset, page.sent, page.total, page.unreadable),
        (4, 2, 9, 1)
    );
    let user = &page.items[0];
    assert_eq!(user.avatar_etag.as_deref(), Some("e1"));
    assert!(!user.active && !format!("{user:?}").contains("bcrypt"));
    let request = server.request(0);
    assert!(
        request.contains("users.list?offset=4&count=100 "),
        "{request}"
    );
}
