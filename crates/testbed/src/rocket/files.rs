//! Files on Rocket.Chat.

use anyhow::{Result, bail};
use serde_json::json;

use super::RocketUser;
use crate::http::string_at;

impl RocketUser {
    /// Uploads a file into a room with a caption (may be empty); returns the id
    /// of its message.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn upload(
        &self,
        rid: &str,
        name: &str,
        content_type: &str,
        bytes: &[u8],
        caption: &str,
    ) -> Result<String> {
        let boundary = format!("testbed-{:032x}", rand::random::<u128>());
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let form = [head.as_bytes(), bytes, tail.as_bytes()].concat();
        let form_type = format!("multipart/form-data; boundary={boundary}");
        let path = format!("/api/v1/rooms.media/{rid}");
        let answer = self.api.upload("POST", &path, &form_type, form).await?;
        if answer.status != 200 {
            bail!("POST {path}: {} {}", answer.status, answer.body);
        }
        let file = string_at(&answer.body, "/file/_id")?;
        let endpoint = format!("rooms.mediaConfirm/{rid}/{file}");
        let confirmed = self.post(&endpoint, json!({ "msg": caption })).await?;
        string_at(&confirmed, "/message/_id")
    }

    /// Downloads a file by the link in a message (`/file-upload/…`); returns its
    /// content type and bytes.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn download(&self, link: &str) -> Result<(String, Vec<u8>)> {
        let (status, headers, bytes) = self.api.download(link).await?;
        if !status.is_success() {
            bail!("{link}: {status}");
        }
        let content_type = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        Ok((content_type.to_owned(), bytes))
    }
}
