//! Files.

use ruma::OwnedMxcUri;
use ruma::api::client::media::create_content;

use super::Intent;
use crate::matrix::error::Error;

impl Intent {
    /// Uploads a small file that is in memory anyway.
    ///
    /// # Errors
    /// `M_TOO_LARGE` above the homeserver's `m.upload.size`.
    pub async fn upload(&self, file: Vec<u8>, media_type: &str) -> Result<OwnedMxcUri, Error> {
        let mut request = create_content::v3::Request::new(file);
        request.content_type = Some(media_type.to_owned());
        Ok(self.call(request).await?.content_uri)
    }
}
