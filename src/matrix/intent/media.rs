//! Files.

use ruma::api::client::authenticated_media::{
    get_content, get_content_thumbnail, get_media_config,
};
use ruma::api::client::media::{self, create_content};
use ruma::{MxcUri, OwnedMxcUri, UInt};

use super::Intent;
use crate::matrix::error::Error;
use crate::media::{Body, Download};

/// What is not known to be anything else.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// Longest name that is passed on, in characters.
const NAME_LIMIT: usize = 255;

/// The key of the homeserver's limit (specification, "Content repository").
const UPLOAD_SIZE: &str = "m.upload.size";

impl Intent {
    /// Uploads a small file that is in memory anyway.
    ///
    /// # Errors
    /// As [`Self::upload_body`].
    pub async fn upload(&self, file: Vec<u8>, media_type: &str) -> Result<OwnedMxcUri, Error> {
        self.upload_body(Body::of(file), media_type, None).await
    }

    /// Uploads a file, piece by piece. How many bytes it has must be known, for Synapse
    /// takes nothing else. A repeat leaves a second copy that nothing refers to, and does
    /// no other harm. The name is what a browser would save it under, at most 255
    /// characters of it.
    ///
    /// # Errors
    /// [`Kind::Source`](super::super::Kind::Source) when the file itself broke;
    /// [`Error::is_request_too_large`] above [`Self::upload_limit`], or that of a proxy;
    /// `M_FORBIDDEN` for a type that the homeserver does not take, or a quota.
    pub async fn upload_body(
        &self,
        body: Body,
        media_type: &str,
        name: Option<&str>,
    ) -> Result<OwnedMxcUri, Error> {
        let mut request = create_content::v3::Request::new(Vec::new());
        let is_type = !media_type.is_empty() && media_type.bytes().all(|b| matches!(b, 32..=126));
        let media_type = if is_type { media_type } else { UNKNOWN_TYPE };
        request.content_type = Some(media_type.to_owned());
        request.filename = name.map(|name| {
            let shown = name.chars().filter(|c| !c.is_control());
            shown.take(NAME_LIMIT).collect()
        });
        let masquerade = self.masquerade.as_deref();
        let given = self.transport.give(request, masquerade, body).await?;
        Ok(given.content_uri)
    }

    /// A file, by the endpoint of 1.11 and later
    /// (`/_matrix/client/v1/media/download`) or, where the homeserver does not know that,
    /// the older one without a login. What the homeserver knows is remembered, and looked
    /// at again when the older endpoint does not find a file: from a certain day on
    /// Synapse hides new files from it.
    ///
    /// Redirects (307, 308) are not followed.
    ///
    /// # Errors
    /// `Kind::Request` when it is no address of a file; [`Error::is_not_found`];
    /// `M_NOT_YET_UPLOADED` (504) and 502, of files of other homeservers, may pass.
    pub async fn download(&self, mxc: &MxcUri) -> Result<Download, Error> {
        let new = self.new_request(mxc)?;
        let transport = &self.transport;
        let masquerade = self.masquerade.as_deref();
        let was_old = transport.has_old_media();
        if !was_old {
            match transport.open(new.clone(), masquerade).await {
                Err(error) if error.is_unrecognized() => transport.note_old_media(true),
                other => return other,
            }
        }
        #[allow(deprecated)] // It is for homeservers that have nothing else.
        let old =
            media::get_content::v3::Request::new(new.media_id.clone(), new.server_name.clone());
        match transport.open_without_token(old).await {
            Err(missing) if was_old && missing.is_not_found() => {
                match transport.open(new, masquerade).await {
                    Err(error) if error.is_unrecognized() => Err(missing),
                    other => {
                        transport.note_old_media(false);
                        other
                    }
                }
            }
            other => other,
        }
    }

    /// A small form of a picture, which the homeserver makes: about so many pixels wide
    /// and high, in the proportions of the picture. By the endpoint that is known to work
    /// for [`Self::download`].
    ///
    /// # Errors
    /// As [`Self::download`]; when the homeserver cannot make one, [`Error::is_not_found`]
    /// or `M_UNKNOWN`.
    pub async fn thumbnail(&self, mxc: &MxcUri, edge: u32) -> Result<Download, Error> {
        let edge = UInt::from(edge);
        let whole = self.new_request(mxc)?;
        let (id, server) = (whole.media_id, whole.server_name);
        if self.transport.has_old_media() {
            #[allow(deprecated)] // It is for homeservers that have nothing else.
            let old = media::get_content_thumbnail::v3::Request::new(id, server, edge, edge);
            return self.transport.open_without_token(old).await;
        }
        let new = get_content_thumbnail::v1::Request::new(id, server, edge, edge);
        self.transport.open(new, self.masquerade.as_deref()).await
    }

    fn new_request(&self, mxc: &MxcUri) -> Result<get_content::v1::Request, Error> {
        match get_content::v1::Request::from_uri(mxc) {
            // Without an id it would be another request.
            Ok(request) if !request.media_id.is_empty() => Ok(request),
            _ => Err(self.unbuildable::<get_content::v1::Request>("the address of the file")),
        }
    }

    /// The largest file that the homeserver takes, in bytes; none when it does not say.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload_limit(&self) -> Result<Option<u64>, Error> {
        let masquerade = self.masquerade.as_deref();
        let new = get_media_config::v1::Request::new();
        let limit = self.transport.number_of(new, masquerade, UPLOAD_SIZE).await;
        if !limit.as_ref().is_err_and(Error::is_unrecognized) {
            return limit;
        }
        #[allow(deprecated)] // It is for homeservers that have nothing else.
        let old = media::get_media_config::v3::Request::new();
        match self.transport.number_of(old, masquerade, UPLOAD_SIZE).await {
            Err(error) if error.is_unrecognized() => Ok(None),
            other => other,
        }
    }
}
