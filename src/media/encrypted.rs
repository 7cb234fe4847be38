//! Encrypted attachments (Matrix specification, "Sending encrypted attachments"):
//! AES-CTR with a 256-bit key, and a SHA-256 over what was stored.

use aes::Aes256;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Bytes, BytesMut};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use futures_util::StreamExt as _;
use futures_util::stream;
use ruma::OwnedMxcUri;
use ruma::events::room::{
    EncryptedFile, EncryptedFileHash, EncryptedFileHashAlgorithm, EncryptedFileHashes,
    EncryptedFileInfo, V2EncryptedFileInfo,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Body, Broken};

/// Why an attachment cannot be decrypted at all. `Display` is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another version of the scheme than `v2`.
    #[error("the file is encrypted in a way that the bridge does not know")]
    Version,
    /// Key, counter or hash is missing or not what it must be.
    #[error("the file cannot be decrypted: its key is not complete")]
    Key,
    /// Without a hash anybody between could have changed the file.
    #[error("the file cannot be decrypted: there is no hash to check it by")]
    NoHash,
}

/// Reads the `file` of an event. Some programs write key, counter and hash in another
/// variant of base64 than they should (with padding, or with the other two letters): the
/// bytes are the same, and they are taken.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(file: &Value) -> Result<EncryptedFile, Unreadable> {
    let text = |at: &str| file.pointer(at).and_then(Value::as_str);
    if text("/v") != Some("v2") {
        return Err(Unreadable::Version);
    }
    if text("/key/alg").is_some_and(|alg| alg != "A256CTR")
        || text("/key/kty").is_some_and(|kty| kty != "oct")
    {
        return Err(Unreadable::Version);
    }
    let url = OwnedMxcUri::from(text("/url").ok_or(Unreadable::Key)?);
    let key = text("/key/k").and_then(bytes).ok_or(Unreadable::Key)?;
    let counter = text("/iv").and_then(bytes).ok_or(Unreadable::Key)?;
    let hash = text("/hashes/sha256").ok_or(Unreadable::NoHash)?;
    let hash = bytes(hash).ok_or(Unreadable::NoHash)?;
    Ok(EncryptedFile::new(
        url,
        EncryptedFileInfo::V2(V2EncryptedFileInfo::encode(key, counter)),
        EncryptedFileHashes::with_sha256(hash),
    ))
}

/// Exactly so many bytes from base64, in any of its variants.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    // Longer ones cannot be right.
    if text.len() > N * 2 {
        return None;
    }
    let standard: String = text
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    GeneralPurpose::new(&alphabet::STANDARD, config)
        .decode(standard)
        .ok()?
        .try_into()
        .ok()
}

/// The file in clear. Its last piece comes only when the hash of all is right; when it
/// is wrong, [`Broken::WrongHash`] comes instead: whoever passes pieces on must not take
/// the file for whole before the end. Nothing of a piece is held beyond the next one.
///
/// # Errors
/// See [`Unreadable`].
pub fn decrypted(body: Body, file: &EncryptedFile) -> Result<Body, Unreadable> {
    let EncryptedFileInfo::V2(info) = &file.info else {
        return Err(Unreadable::Version);
    };
    let expected = match file.hashes.get(&EncryptedFileHashAlgorithm::Sha256) {
        Some(EncryptedFileHash::Sha256(hash)) => *hash.as_inner(),
        _ => return Err(Unreadable::NoHash),
    };
    let cipher = Ctr128BE::<Aes256>::new(info.k.as_inner().into(), info.iv.as_inner().into());
    let state = State {
        body: body.chunks,
        cipher,
        hash: Sha256::new(),
        held: None,
        expected,
    };
    let chunks = stream::try_unfold(Some(state), |state| async move {
        match state {
            Some(state) => state.next().await,
            None => Ok(None),
        }
    });
    Ok(Body {
        chunks: chunks.boxed(),
        length: body.length,
    })
}

struct State {
    body: super::Chunks,
    cipher: Ctr128BE<Aes256>,
    hash: Sha256,
    /// The last piece, in clear: it may be the last of all.
    held: Option<Bytes>,
    expected: [u8; 32],
}

impl State {
    /// The next piece in clear, and the state behind it; none behind the last one.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, Broken> {
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk?;
            if chunk.is_empty() {
                continue;
            }
            self.hash.update(&chunk);
            let mut clear = BytesMut::from(chunk);
            // Fails only behind 2^132 bytes.
            self.cipher
                .try_apply_keystream(&mut clear)
                .map_err(|_| Broken::WrongHash)?;
            if let Some(ready) = self.held.replace(clear.freeze()) {
                return Ok(Some((ready, Some(self))));
            }
        }
        if self.hash.finalize_reset()[..] != self.expected {
            return Err(Broken::WrongHash);
        }
        Ok(self.held.take().map(|last| (last, None)))
    }
}

#[cfg(test)]
mod tests;
