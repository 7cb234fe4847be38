//! Passwords as Rocket.Chat takes them where they shall not cross the wire.

use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// The SHA-256 of a password in lower-case hexadecimal: for a login over the socket, and as
/// second factor of a login by password (Rocket.Chat 6.0 to 8).
pub(super) fn password_digest(password: &Secret) -> Secret {
    let digest = Sha256::digest(password.expose().as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Secret::new(digest)
}
