//! Registering people with the secret that homeserver and testbed share.

use anyhow::{Result, anyhow};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;

use crate::http::{Api, string_at};
use crate::matrix::MatrixUser;

const PATH: &str = "/_synapse/admin/v1/register";

/// Who is registered.
pub(super) struct Account<'a> {
    pub(super) localpart: &'a str,
    pub(super) password: &'a str,
    pub(super) admin: bool,
}

/// Registers and logs in.
pub(super) async fn register(
    base_url: &str,
    secret: &str,
    account: &Account<'_>,
) -> Result<MatrixUser> {
    let api = Api::new(base_url, &[])?;
    let nonce = string_at(&api.json("GET", PATH, None).await?, "/nonce")?;
    let request = json!({
        "nonce": nonce,
        "username": account.localpart,
        "displayname": account.localpart,
        "password": account.password,
        "admin": account.admin,
        "mac": proof(secret, &nonce, account)?,
    });
    let answer = api.json("POST", PATH, Some(&request)).await?;
    MatrixUser::from_login(base_url, &answer, account.password)
}

/// Shows that we know the secret, without sending it.
fn proof(secret: &str, nonce: &str, account: &Account<'_>) -> Result<String> {
    let role = if account.admin { "admin" } else { "notadmin" };
    let parts = [nonce, account.localpart, account.password, role];
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes())
        .map_err(|_| anyhow!("the shared secret has a wrong length"))?;
    mac.update(parts.join("\0").as_bytes());
    let digest = mac.finalize().into_bytes();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
