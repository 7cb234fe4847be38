//! Tokens of people's own accounts, sealed in the store: XChaCha20-Poly1305, under a key that
//! follows from the `as_token`. Whoever gets hold of the store alone, a copy or a backup,
//! cannot read them, nor put one person's token in another's place. Whoever also has the
//! registration, or the running machine, can.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};

use crate::secret::Secret;

/// Bytes of a nonce; so many that chance ones never meet.
const NONCE: usize = 24;

/// Seals a token that belongs to `of`. None where that cannot be done, which does not
/// happen with what fits into memory.
pub(super) fn seal(key: [u8; 32], of: &str, token: &Secret) -> Option<String> {
    let nonce: [u8; NONCE] = rand::random();
    let payload = Payload {
        msg: token.expose().as_bytes(),
        aad: of.as_bytes(),
    };
    let cipher = XChaCha20Poly1305::new(&Key::from(key));
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
    Some(STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
}

/// Opens what [`seal`] sealed; none under another key, of another, or when it was changed.
pub(super) fn open(key: [u8; 32], of: &str, sealed: &str) -> Option<Secret> {
    let bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
    let payload = Payload {
        msg: sealed,
        aad: of.as_bytes(),
    };
    let cipher = XChaCha20Poly1305::new(&Key::from(key));
    let token = cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
    String::from_utf8(token).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_sealed_it_opens_it_and_only_for_whom() {
        let token = Secret::new("a token");
        let sealed = seal([1; 32], "alice", &token).unwrap_or_default();
        assert!(!sealed.contains("token"));
        assert_eq!(open([1; 32], "alice", &sealed), Some(token.clone()));
        assert_eq!(open([2; 32], "alice", &sealed), None);
        assert_eq!(open([1; 32], "mallory", &sealed), None);
        assert_eq!(open([1; 32], "alice", ""), None);
        let again = seal([1; 32], "alice", &token).unwrap_or_default();
        assert_ne!(sealed, again, "the same twice looks different");
    }
}
