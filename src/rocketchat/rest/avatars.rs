//! Pictures of people and rooms.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, LAST_MODIFIED};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::json;

use super::answer;
use super::client::{ANSWER_LIMIT, Request, Session, auth_headers};
use super::transfer::described;
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketRoomId, RocketUserId, Username};

/// The largest picture that is read, in bytes. The server makes those that people
/// upload 200 pixels wide, unless an administrator set another size.
const PICTURE_LIMIT: usize = 5 * 1024 * 1024;

/// For a whole upload of a picture.
const TIMEOUT: Duration = Duration::from_secs(120);

impl Session {
    /// The picture of a user; none when they have set none (the server draws letters
    /// then), and when there is no such user. Whatever somebody uploaded, mostly PNG or
    /// JPEG of 200 by 200 pixels.
    ///
    /// Which of these it is can be told only by an account that the server lets see
    /// avatars: with a token that is not accepted it draws letters as well. Asked with
    /// cookies, which is the one way besides the query: headers count for nothing here.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above 5 MiB; [`Error::Redirected`].
    pub async fn avatar(&self, username: &Username) -> Result<Option<Vec<u8>>, Error> {
        self.picture(&["avatar", username.as_str()]).await
    }

    /// The picture of a room, as [`Self::avatar`]. Only asking tells: the `avatarETag` of
    /// a room stays, or gets another value, when its picture is removed (6.14).
    ///
    /// # Errors
    /// As [`Self::avatar`].
    pub async fn room_avatar(&self, rid: &RocketRoomId) -> Result<Option<Vec<u8>>, Error> {
        self.picture(&["avatar", "room", rid.as_str()]).await
    }

    async fn picture(&self, path: &[&str]) -> Result<Option<Vec<u8>>, Error> {
        let (user_id, token) = self.credentials();
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(COOKIE, cookies(user_id, token.expose())?);
        // The server calls its pictures good for an hour, for everybody; the address stays
        // when the picture changes, and letters have it as well.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let response = match self.client().open(path, headers).await {
            Ok(response) => response,
            Err(error) if error.code() == Some("invalid-file") => return Ok(None),
            Err(error) => return Err(error),
        };
        if is_drawn(&response) {
            return Ok(None);
        }
        let too_large = Error::TooLarge {
            limit: PICTURE_LIMIT,
        };
        let body = self.client().body_of(response);
        if body
            .length
            .is_some_and(|length| length > PICTURE_LIMIT as u64)
        {
            return Err(too_large);
        }
        let picture = body.collect(PICTURE_LIMIT).await.map_err(|broken| {
            if matches!(broken, crate::media::Broken::TooLarge { .. }) {
                too_large
            } else {
                Error::Transport {
                    maybe_done: false,
                    what: "the answer broke off",
                }
            }
        })?;
        Ok((!picture.is_empty()).then_some(picture))
    }

    /// Sets the picture of a user; of another than oneself with `edit-other-user-avatar`.
    /// The server scales it. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::is_unreadable_picture`]; `error-not-allowed`, also where
    /// `Accounts_AllowUserAvatarChange` is off; `error-invalid-user`.
    pub async fn set_avatar(
        &self,
        user: &RocketUserId,
        picture: Vec<u8>,
        media_type: &str,
    ) -> Result<(), Error> {
        let client = self.client();
        let (own_id, token) = self.credentials();
        let part = described(Part::bytes(picture), "avatar", media_type)?;
        let form = Form::new()
            .text("userId", user.as_str().to_owned())
            .part("image", part);
        let request = client
            .transfers
            .request(
                Method::POST,
                client.address(&["api", "v1", "users.setAvatar"])?,
            )
            .timeout(TIMEOUT)
            .headers(auth_headers(own_id, token)?)
            .multipart(form);
        let response = request.send().await.map_err(|e| answer::transport(&e))?;
        answer::body(response, ANSWER_LIMIT).await.map(drop)
    }

    /// Takes the picture of a user away. Safe to repeat, also without one.
    ///
    /// # Errors
    /// `error-not-allowed`.
    pub async fn reset_avatar(&self, user: &RocketUserId) -> Result<(), Error> {
        let body = json!({ "userId": user });
        let request = Request::post(&["api", "v1", "users.resetAvatar"], body);
        self.bytes(request).await.map(drop)
    }

    /// Sets the picture (its bytes and type) of a room, or takes it away. The server
    /// writes a system message (`room_changed_avatar`) each time.
    ///
    /// # Errors
    /// `error-action-not-allowed` without the right to edit the room.
    pub async fn set_room_avatar(
        &self,
        rid: &RocketRoomId,
        picture: Option<(&[u8], &str)>,
    ) -> Result<(), Error> {
        let mut data = String::new();
        if let Some((bytes, media_type)) = picture {
            // What is no type would end the first part of the address elsewhere.
            let kind = media_type
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'-' | b'.'));
            let kind = if kind { media_type } else { "image/png" };
            data.reserve(bytes.len() / 3 * 4 + 64);
            let _ = write!(data, "data:{kind};base64,");
            STANDARD.encode_string(bytes, &mut data);
        }
        let body = json!({ "rid": rid, "roomAvatar": data });
        let request = Request::post(&["api", "v1", "rooms.saveRoomSettings"], body);
        self.bytes(request).await.map(drop)
    }
}

/// The cookies that the addresses of files and pictures take for a login.
fn cookies(user_id: &RocketUserId, token: &str) -> Result<HeaderValue, Error> {
    // A value that would end its cookie, and begin another, was never given out.
    let whole = [user_id.as_str(), token]
        .into_iter()
        .all(|value| value.bytes().all(is_of_a_cookie));
    let value = HeaderValue::from_str(&format!("rc_uid={user_id}; rc_token={token}"));
    match value {
        Ok(mut value) if whole => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err(Error::Unauthorized {
            code: None,
            text: Default::default(),
        }),
    }
}

/// RFC 6265, section 4.1.1.
fn is_of_a_cookie(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// Whether the server drew the picture itself: letters, as SVG, with the date of the
/// first day of 2015 (what people upload becomes another format).
fn is_drawn(response: &Response) -> bool {
    let starts = |name, wanted: &[u8]| {
        let found = response.headers().get(name).map(HeaderValue::as_bytes);
        found.is_some_and(|found| {
            found.len() >= wanted.len() && found[..wanted.len()].eq_ignore_ascii_case(wanted)
        })
    };
    starts(CONTENT_TYPE, b"image/svg+xml") || starts(LAST_MODIFIED, b"Thu, 01 Jan 2015")
}
