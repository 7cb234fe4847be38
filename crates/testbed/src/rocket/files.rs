//! Files and pictures of people and rooms on Rocket.Chat.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::RocketUser;
use crate::http::{Answer, escape, string_at};
use crate::samples::Sample;

/// A file to upload, and what is said with it.
#[derive(Debug, Clone, Default)]
pub struct NewFile {
    /// Its name; sent as it is, however odd, but for what would end its quotes.
    pub name: String,
    /// The media type that the client declares.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// `msg`: the text of the message.
    pub text: Option<String>,
    /// `description`: the caption inside the attachment.
    pub description: Option<String>,
    /// `tmid`: the message whose thread it goes into.
    pub thread: Option<String>,
}

impl From<Sample> for NewFile {
    fn from(sample: Sample) -> Self {
        Self {
            name: sample.name,
            content_type: sample.content_type,
            bytes: sample.bytes,
            ..Self::default()
        }
    }
}

impl NewFile {
    fn said(&self) -> Vec<(&'static str, &str)> {
        [
            ("msg", &self.text),
            ("description", &self.description),
            ("tmid", &self.thread),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_deref()?)))
        .collect()
    }
}

/// What a download brought.
#[derive(Debug, Clone)]
pub struct Downloaded {
    /// The HTTP status.
    pub status: u16,
    /// The media type; empty when there is none.
    pub content_type: String,
    /// When it was changed, as the header says; empty when there is none.
    pub last_modified: String,
    /// The body.
    pub bytes: Vec<u8>,
}

impl RocketUser {
    /// Uploads a file into a room with a caption (may be empty), in two steps;
    /// returns the id of its message.
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
        self.upload_file(
            rid,
            NewFile {
                name: name.to_owned(),
                content_type: content_type.to_owned(),
                bytes: bytes.to_vec(),
                text: Some(caption.to_owned()),
                ..NewFile::default()
            },
        )
        .await
    }

    /// Uploads a file in two steps (`rooms.media`, `rooms.mediaConfirm`); returns
    /// the id of its message.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn upload_file(&self, rid: &str, file: NewFile) -> Result<String> {
        let said: serde_json::Map<String, Value> = file
            .said()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        let id = self.upload_unconfirmed(rid, &file).await?;
        let endpoint = format!("rooms.mediaConfirm/{rid}/{id}");
        let confirmed = self.post(&endpoint, Value::Object(said)).await?;
        string_at(&confirmed, "/message/_id")
    }

    /// The first of the two steps alone: a file without a message; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn upload_unconfirmed(&self, rid: &str, file: &NewFile) -> Result<String> {
        let path = format!("/api/v1/rooms.media/{rid}");
        let answer = self.send_form(&path, "file", file, &[]).await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        string_at(&answer.body, "/file/_id")
    }

    /// Uploads a file in one step (`rooms.upload`, not since 8.0); returns the id of
    /// its message.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn upload_in_one_step(&self, rid: &str, file: NewFile) -> Result<String> {
        let path = format!("/api/v1/rooms.upload/{rid}");
        let answer = self.send_form(&path, "file", &file, &file.said()).await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        string_at(&answer.body, "/message/_id")
    }

    /// Posts one message with several files, as clients of 8.x do; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn post_files(&self, rid: &str, text: &str, files: &[NewFile]) -> Result<String> {
        let (mut listed, mut attachments) = (Vec::new(), Vec::new());
        for file in files {
            let id = self.upload_unconfirmed(rid, file).await?;
            let (name, kind, size) = (&file.name, &file.content_type, file.bytes.len());
            let link = format!("/file-upload/{id}/{}", escape(name));
            listed.push(json!({ "_id": id, "name": name, "type": kind, "size": size }));
            let mut attachment = json!({
                "type": "file", "title": name, "title_link": link, "title_link_download": true,
            });
            match kind.split('/').next().unwrap_or_default() {
                family @ ("image" | "audio" | "video") => {
                    attachment[format!("{family}_url")] = json!(link);
                    attachment[format!("{family}_type")] = json!(kind);
                    attachment[format!("{family}_size")] = json!(size);
                }
                _ => attachment["size"] = json!(size),
            }
            if let Some(description) = &file.description {
                attachment["description"] = json!(description);
            }
            attachments.push(attachment);
        }
        let first = listed.first().context("no file to post")?.clone();
        self.send_message(json!({
            "rid": rid, "msg": text, "file": first, "files": listed, "attachments": attachments,
        }))
        .await
    }

    /// Downloads a file by the link in a message (`/file-upload/…`); returns its
    /// content type and bytes.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn download(&self, link: &str) -> Result<(String, Vec<u8>)> {
        let got = self.fetch(link).await?;
        if got.status != 200 {
            bail!("{link}: {}", got.status);
        }
        Ok((got.content_type, got.bytes))
    }

    /// Fetches anything by its path, with this user's headers.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub async fn fetch(&self, path: &str) -> Result<Downloaded> {
        let (status, headers, bytes) = self.api.download(path).await?;
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

    /// The picture that others see of somebody, letters when there is none.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn fetch_avatar(&self, username: &str) -> Result<Downloaded> {
        self.fetch_picture(&format!("/avatar/{}", escape(username)))
            .await
    }

    /// The picture of a room, letters when there is none.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn fetch_room_avatar(&self, rid: &str) -> Result<Downloaded> {
        self.fetch_picture(&format!("/avatar/room/{}", escape(rid)))
            .await
    }

    /// Avatars do not look at headers.
    async fn fetch_picture(&self, path: &str) -> Result<Downloaded> {
        let (uid, token) = (escape(&self.id), escape(&self.token));
        self.fetch(&format!("{path}?rc_uid={uid}&rc_token={token}"))
            .await
    }

    /// Gives oneself a picture.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_avatar(&self, picture: &Sample) -> Result<()> {
        self.send_avatar(picture, &[]).await
    }

    /// Gives somebody else a picture, as an administrator.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_avatar_of(&self, user_id: &str, picture: &Sample) -> Result<()> {
        self.send_avatar(picture, &[("userId", user_id)]).await
    }

    async fn send_avatar(&self, picture: &Sample, texts: &[(&str, &str)]) -> Result<()> {
        let path = "/api/v1/users.setAvatar";
        let file = NewFile::from(picture.clone());
        let answer = self.send_form(path, "image", &file, texts).await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        Ok(())
    }

    /// Takes one's own picture away.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn reset_avatar(&self) -> Result<()> {
        self.post("users.resetAvatar", json!({ "userId": self.id }))
            .await?;
        Ok(())
    }

    /// Gives a room a picture, or takes it away.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn set_room_avatar(&self, rid: &str, picture: Option<&Sample>) -> Result<()> {
        let avatar = picture.map(Sample::data_uri).unwrap_or_default();
        let body = json!({ "rid": rid, "roomAvatar": avatar });
        self.post("rooms.saveRoomSettings", body).await?;
        Ok(())
    }

    async fn send_form(
        &self,
        path: &str,
        field: &str,
        file: &NewFile,
        texts: &[(&str, &str)],
    ) -> Result<Answer> {
        let boundary = format!("testbed-{:032x}", rand::random::<u128>());
        let mut form = Vec::with_capacity(file.bytes.len() + 1024);
        for (key, value) in texts {
            form.extend_from_slice(
                format!(
                    "--{boundary}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n\
                     {value}\r\n"
                )
                .as_bytes(),
            );
        }
        let name = file.name.replace('\\', "\\\\").replace('"', "\\\"");
        form.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; \
                 filename=\"{name}\"\r\nContent-Type: {}\r\n\r\n",
                file.content_type
            )
            .as_bytes(),
        );
        form.extend_from_slice(&file.bytes);
        form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let form_type = format!("multipart/form-data; boundary={boundary}");
        self.api.upload("POST", path, &form_type, form).await
    }
}
