//! Apps, against the answers that a real 6.14 was recorded to give.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::tests::{Server, ok};
use crate::secret::Secret;

#[tokio::test]
async fn an_app_is_installed_or_put_in_the_place_of_the_old_one() {
    let answer = json!({ "app": { "id": "5f1c", "version": "0.0.1", "status": "auto_enabled" }, "implemented": {}, "success": true });
    let server = Server::answering(vec![ok(&answer), ok(&answer)]).await;
    let session = server.session();
    let app = session.install_app(b"PK".to_vec(), None).await.unwrap();
    assert!(app.is_enabled());
    let again = session.install_app(b"PK".to_vec(), Some("5f1c")).await;
    assert_eq!(again.unwrap().version, "0.0.1");
    let first = server.request(0);
    assert!(first.starts_with("POST /chat/api/apps HTTP"), "{first}");
    assert!(first.contains("name=\"app\""), "{first}");
    assert!(
        server
            .request(1)
            .starts_with("POST /chat/api/apps/5f1c HTTP")
    );
}

#[tokio::test]
async fn settings_of_an_app_keep_what_is_not_their_value() {
    let known = json!({ "settings": {
        "secret": { "id": "secret", "type": "password", "packageValue": "", "required": true },
        "other": { "id": "other", "type": "string", "packageValue": "x" },
    }, "success": true });
    let server = Server::answering(vec![
        ok(&known),
        ok(&json!({ "updated": [], "success": true })),
        ok(&known),
    ])
    .await;
    let value = Secret::new("hush");
    let session = server.session();
    session
        .set_app_settings("5f1c", &[("secret", &value)])
        .await
        .unwrap();
    assert_eq!(
        server.body(1),
        json!({ "settings": [
            { "id": "secret", "type": "password", "packageValue": "", "required": true, "value": "hush" },
        ] })
    );
    let missing = session
        .set_app_settings("5f1c", &[("nothing", &value)])
        .await;
    assert_eq!(missing.unwrap_err().code(), Some("invalid-setting"));
}

#[tokio::test]
async fn an_app_without_the_right_is_refused_in_words() {
    let server = Server::one(super::tests::answer(
        "403 Forbidden",
        "application/json",
        &json!({ "success": false, "error": "User does not have the permissions required for this action [error-unauthorized]" }).to_string(),
    ))
    .await;
    let error = server.session().installed_apps().await.unwrap_err();
    assert!(error.is_denied(), "{error}");
}
