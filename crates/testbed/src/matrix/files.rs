//! Files that a person's client sends and fetches.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::MatrixUser;
use crate::http::{escape, string_at};
use crate::rocket::Downloaded;
use crate::samples::Sample;

/// The content of a message with an uploaded file, as clients write it: `m.image`,
/// `m.audio`, `m.video` or `m.file` by its type, its name as the body, no caption.
pub fn media_content(sample: &Sample, mxc: &str) -> Value {
    let msgtype = match sample.content_type.split('/').next() {
        Some("image") => "m.image",
        Some("audio") => "m.audio",
        Some("video") => "m.video",
        _ => "m.file",
    };
    json!({
        "msgtype": msgtype,
        "body": sample.name,
        "filename": sample.name,
        "url": mxc,
        "info": { "mimetype": sample.content_type, "size": sample.bytes.len() },
    })
}

impl MatrixUser {
    /// Uploads a file; returns its `mxc://` address.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn upload_sample(&self, sample: &Sample) -> Result<String> {
        self.upload(&sample.name, &sample.content_type, sample.bytes.clone())
            .await
    }

    /// Uploads a file and sends it, with `change` made to [`media_content`] (caption,
    /// voice message, relation); returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_file(
        &self,
        room: &str,
        sample: &Sample,
        change: impl FnOnce(&mut Value),
    ) -> Result<String> {
        let mxc = self.upload_sample(sample).await?;
        let mut content = media_content(sample, &mxc);
        change(&mut content);
        self.send_event(room, "m.room.message", content).await
    }

    /// Sends a file with a caption; returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_captioned(
        &self,
        room: &str,
        sample: &Sample,
        caption: &str,
    ) -> Result<String> {
        self.send_file(room, sample, |content| content["body"] = json!(caption))
            .await
    }

    /// Sends a voice message as clients mark them; returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_voice(&self, room: &str, sample: &Sample) -> Result<String> {
        self.send_file(room, sample, |content| {
            content["msgtype"] = json!("m.audio");
            content["org.matrix.msc3245.voice"] = json!({});
            content["org.matrix.msc1767.audio"] = json!({ "duration": 1000, "waveform": [0, 512] });
        })
        .await
    }

    /// Sends a sticker; returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn send_sticker(&self, room: &str, body: &str, sample: &Sample) -> Result<String> {
        let mxc = self.upload_sample(sample).await?;
        let info = json!({ "mimetype": sample.content_type, "size": sample.bytes.len() });
        let content = json!({ "body": body, "url": mxc, "info": info });
        self.send_event(room, "m.sticker", content).await
    }

    /// Fetches media, whatever the answer is, over the authenticated endpoint.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub async fn fetch_media(&self, mxc: &str) -> Result<Downloaded> {
        let id = mxc.strip_prefix("mxc://").context("not an mxc address")?;
        let path = format!("/_matrix/client/v1/media/download/{id}");
        let (status, headers, bytes) = self.api.download(&path).await?;
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok(Downloaded {
            status: status.as_u16(),
            content_type: header("content-type"),
            last_modified: header("last-modified"),
            bytes,
        })
    }

    /// Downloads media; returns its content type and bytes.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn download(&self, mxc: &str) -> Result<(String, Vec<u8>)> {
        let got = self.fetch_media(mxc).await?;
        if got.status != 200 {
            bail!("{mxc}: {}", got.status);
        }
        Ok((got.content_type, got.bytes))
    }

    /// Uploads media; returns its `mxc://` address.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn upload(
        &self,
        name: &str,
        content_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<String> {
        let path = format!("/_matrix/media/v3/upload?filename={}", escape(name));
        let answer = self
            .api
            .upload("POST", &path, content_type, bytes.into())
            .await?;
        string_at(&answer.body, "/content_uri")
    }

    /// Gives a room a picture, where this user may do that; an empty address takes
    /// it away. Returns the event's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn set_room_avatar(&self, room: &str, mxc: &str) -> Result<String> {
        let content = if mxc.is_empty() {
            json!({})
        } else {
            json!({ "url": mxc })
        };
        self.send_state(room, "m.room.avatar", "", content).await
    }
}
