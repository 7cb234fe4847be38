//! Under which name and picture a webhook or bot says something: a per-message profile
//! (MSC4144).
//!
//! What a message names as its picture is an address of anybody's choosing, and never
//! followed. What it may mean is a picture of the configured server itself, which is asked
//! for as any other there: somebody's face (`/avatar/<username>`), or an emoji.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ruma::OwnedMxcUri;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::content::shortened;
use super::elsewhere::Shown;
use crate::bridge::custom_emoji::image_type;
use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::Username;
use crate::rocketchat::documents::Message as RocketMessage;

/// How long somebody's picture is believed to be the same.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// Of how many people pictures are remembered.
const MOST_REMEMBERED: usize = 1000;

/// A picture of Rocket.Chat that is on Matrix.
#[derive(Debug, Clone)]
struct Brought {
    mxc: OwnedMxcUri,
    /// SHA-256 of its bytes.
    hash: Vec<u8>,
}

/// A picture as it was seen last; none where somebody has none that can be shown.
type Seen = (Instant, Option<Brought>);

/// Pictures that messages were shown with, by the user name.
#[derive(Debug, Default)]
pub(in crate::bridge) struct Named(Mutex<HashMap<String, Seen>>);

impl Named {
    fn of(&self, name: &str) -> Option<Seen> {
        let named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        named.get(name).cloned()
    }

    fn note(&self, name: &str, picture: Option<Brought>) {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= MOST_REMEMBERED {
            named.clear();
        }
        named.insert(name.to_owned(), (Instant::now(), picture));
    }
}

impl Bridge {
    /// How a message is shown that gives itself a name or a picture; none when it is
    /// shown as its account.
    pub(super) async fn given_profile(
        &self,
        message: &RocketMessage,
    ) -> Result<Option<Shown>, Failure> {
        let alias = message.alias.as_deref().map(str::trim);
        let alias = alias.filter(|alias| !alias.is_empty());
        let short_code = message.emoji.as_deref().and_then(short_code_of);
        // As Rocket.Chat itself: an emoji goes before a picture.
        let (emoji, picture) = match short_code {
            Some(name) => match rocketchat_emoji::unicode(name) {
                Some(emoji) => (Some(emoji), None),
                None => (
                    None,
                    self.custom_emoji(name).await?.map(|emoji| emoji.image),
                ),
            },
            None => (None, None),
        };
        let picture = match (&message.avatar, emoji, picture) {
            (Some(avatar), None, None) => self.picture_named_by(avatar).await?,
            (_, _, picture) => picture,
        };
        // The bot says these, as it says what people of other Matrix rooms write.
        let is_by_bot = self.is_by_own_hook(message).await;
        if !is_by_bot && alias.is_none() && emoji.is_none() && picture.is_none() {
            return Ok(None);
        }
        let own = &message.u;
        let own_name = own.name.as_deref().map(str::trim);
        let own_name = own_name.filter(|name| !name.is_empty());
        let own_name = own_name.or(own.username.as_ref().map(Username::as_str));
        let name = shortened(alias.or(own_name).unwrap_or(own.id.as_str()));
        let name = match is_by_bot {
            true => name_of_hook(&name),
            false => name,
        };
        let name = match emoji {
            Some(emoji) => format!("{emoji} {name}"),
            None => name,
        };
        let id = match is_by_bot {
            // No Matrix id has a line feed.
            true => derived::profile_id(&format!("hook\n{name}")),
            false => derived::profile_id(&name),
        };
        Ok(Some(Shown { id, name, picture }))
    }

    /// The picture of somebody on the configured server that an address means.
    async fn picture_named_by(&self, address: &str) -> Result<Option<OwnedMxcUri>, Failure> {
        let settings = self.server_settings().await?;
        let own = &self.config.rocketchat.url;
        let sites = [settings.site_or(own), own.clone()];
        let Some(username) = face_of(address, &sites) else {
            return Ok(None);
        };
        // The face of somebody on Matrix is for what they write.
        let prefix = &self.config.rocketchat.puppet_prefix;
        if username.as_str().starts_with(prefix.as_str()) {
            return Ok(None);
        }
        let known = self.pictures_named.of(username.as_str());
        if let Some((at, picture)) = &known
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(picture.as_ref().map(|picture| picture.mxc.clone()));
        }
        let before = known.and_then(|(_, picture)| picture);
        let picture = match self.bring_face(&username, before).await {
            Ok(picture) => picture,
            // A message does not wait for a picture.
            Err(failure) => {
                tracing::info!(%failure, "a message is shown without its picture");
                None
            }
        };
        let mxc = picture.as_ref().map(|picture| picture.mxc.clone());
        self.pictures_named.note(username.as_str(), picture);
        Ok(mxc)
    }
}

impl Bridge {
    /// Brings somebody's picture to Matrix, unless it is the same as `before`.
    async fn bring_face(
        &self,
        username: &Username,
        before: Option<Brought>,
    ) -> Result<Option<Brought>, Failure> {
        let Some(bytes) = self.rocket().await.bot.avatar(username).await? else {
            return Ok(None);
        };
        let Some(media_type) = image_type(&bytes) else {
            return Ok(None);
        };
        let hash = Sha256::digest(&bytes).to_vec();
        if before.as_ref().is_some_and(|before| before.hash == hash) {
            return Ok(before);
        }
        let mxc = self.matrix.bot().upload(bytes, media_type).await?;
        Ok(Some(Brought { mxc, hash }))
    }
}

/// The name that an integration with the bridge's own account gave itself, so that nobody
/// takes it for somebody of another Matrix room, whose name and id the bot says as well.
fn name_of_hook(name: &str) -> String {
    let name = name.replace(['@', '\u{ff20}', '\u{fe6b}'], "");
    format!("{} (webhook on Rocket.Chat)", name.trim())
}

/// The name between the colons of `:ghost:`.
fn short_code_of(emoji: &str) -> Option<&str> {
    let name = emoji.trim().strip_prefix(':')?.strip_suffix(':')?;
    (!name.is_empty() && !name.contains(':')).then_some(name)
}

/// Whose face is meant by an address below one of these sites, or relative to them.
fn face_of(address: &str, sites: &[Url]) -> Option<Username> {
    let address = address.trim();
    let name = match address.strip_prefix("/avatar/") {
        Some(name) => name.split(['?', '#']).next()?.to_owned(),
        None => {
            let address = Url::parse(address).ok()?;
            sites.iter().find_map(|site| {
                let same = site.origin() == address.origin();
                let below = address
                    .path()
                    .strip_prefix(site.path().trim_end_matches('/'))?;
                let name = below.strip_prefix("/avatar/").filter(|_| same)?;
                Some(name.to_owned())
            })?
        }
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // What stands for anything else than itself is not worth guessing.
    if !name.chars().all(is_plain) || matches!(name.as_str(), "." | "..") {
        return None;
    }
    Username::parse(&name).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_faces_of_the_configured_server_are_meant() {
        let sites = ["https://chat.example.org/rc/", "http://127.0.0.1:3000"];
        let sites = sites.map(|site| Url::parse(site).unwrap());
        for (address, expected) in [
            ("/avatar/bob", Some("bob")),
            ("/avatar/bob?etag=x", Some("bob")),
            (
                "https://chat.example.org/rc/avatar/bob?size=32",
                Some("bob"),
            ),
            ("http://127.0.0.1:3000/avatar/mx_a.b-c", Some("mx_a.b-c")),
            ("https://chat.example.org/avatar/bob", None),
            ("https://evil.example/rc/avatar/bob", None),
            ("https://chat.example.org.evil.example/rc/avatar/bob", None),
            ("https://chat.example.org:444/rc/avatar/bob", None),
            ("//evil.example/avatar/bob", None),
            ("/avatar/../api/v1/me", None),
            ("/avatar/..", None),
            ("/avatar/room/GENERAL", None),
            ("/avatar/%2e%2e", None),
            ("/avatar/", None),
            ("/file-upload/x/y.png", None),
            ("https://example.org/x.png", None),
            ("", None),
        ] {
            let found = face_of(address, &sites);
            assert_eq!(found.as_ref().map(Username::as_str), expected, "{address}");
        }
        assert_eq!(
            name_of_hook("Alice (@alice:example.org)"),
            "Alice (alice:example.org) (webhook on Rocket.Chat)"
        );
        assert_eq!(short_code_of(":ghost:"), Some("ghost"));
        assert_eq!(short_code_of("ghost"), None);
        assert_eq!(short_code_of("::"), None);
    }
}
