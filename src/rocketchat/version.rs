//! Which Rocket.Chat is on the other side, and what follows from it.

use std::fmt;
use std::str::FromStr;

/// The version of a server. Without a right to see statistics `/api/info` tells
/// only major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, if the server told.
    pub patch: Option<u32>,
}

/// The text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a version of Rocket.Chat")]
pub struct InvalidVersion;

impl ServerVersion {
    /// The oldest that is supported.
    pub const OLDEST: Self = Self {
        major: 6,
        minor: 0,
        patch: None,
    };

    /// Whether the bridge can work with it: 6.0 and later.
    pub fn is_supported(self) -> bool {
        (self.major, self.minor) >= (Self::OLDEST.major, Self::OLDEST.minor)
    }

    /// What this version can do.
    pub fn features(self) -> Features {
        let at_least = |major, minor| (self.major, self.minor) >= (major, minor);
        Features {
            has_rooms_upload: !at_least(8, 0),
            has_rooms_media: at_least(6, 10),
            create_token_needs_secret: at_least(8, 0),
            sync_messages_cursor: at_least(7, 7),
            post_message_strict: at_least(7, 0),
            settings_by_id: at_least(7, 0),
            query_and_fields: !at_least(7, 0),
            invite_says_who_invited: at_least(7, 0),
        }
    }
}

/// What differs between versions, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// `rooms.upload` (one step) exists: until 8.0.
    pub has_rooms_upload: bool,
    /// `rooms.media` and `rooms.mediaConfirm` (two steps) exist: since 6.10.
    pub has_rooms_media: bool,
    /// `users.createToken` wants the secret of the server's environment: since 8.0.
    pub create_token_needs_secret: bool,
    /// `chat.syncMessages` can page with `type`, `count`, `next`: seen in 7.7.
    pub sync_messages_cursor: bool,
    /// `chat.postMessage` refuses undeclared keys. Enforced by 7.7 at the latest;
    /// taken for true of all of 7.x, because the strict form works everywhere.
    pub post_message_strict: bool,
    /// `settings.public?_id=a,b` filters: since 7.0.
    pub settings_by_id: bool,
    /// The parameters `query` and `fields` are obeyed: before 7.0.
    pub query_and_fields: bool,
    /// `channels.invite` writes `au` with the inviter rather than `uj`: seen in 7.7.
    pub invite_says_who_invited: bool,
}

impl FromStr for ServerVersion {
    type Err = InvalidVersion;

    /// Reads `6.14`, `7.7.1`, `8.0.0-rc.1`, `6.14.0-develop`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| {
            // `parse` alone would take "+6".
            if part.bytes().all(|b| b.is_ascii_digit()) {
                part.parse::<u32>().map_err(|_| InvalidVersion)
            } else {
                Err(InvalidVersion)
            }
        });
        let major = parts.next().ok_or(InvalidVersion)??;
        let minor = parts.next().ok_or(InvalidVersion)??;
        let patch = parts.next().transpose()?;
        if parts.next().is_some() {
            return Err(InvalidVersion);
        }
        Ok(Self {
            major,
            minor,
            patch,
        })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            Some(patch) => write!(f, ".{patch}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions_as_servers_write_them() {
        let read = |text: &str| text.parse::<ServerVersion>().unwrap().to_string();
        assert_eq!(read("6.14"), "6.14");
        assert_eq!(read("7.7.1"), "7.7.1");
        assert_eq!(read("8.0.0-rc.1"), "8.0.0");
        assert_eq!(read("6.14.0-develop"), "6.14.0");
        for bad in [
            "",
            "6",
            "six.one",
            "6.+1",
            "6.1.2.3",
            "6..1",
            "99999999999.0",
        ] {
            assert!(bad.parse::<ServerVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_changed_with_eight() {
        let six: ServerVersion = "6.14".parse().unwrap();
        let eight: ServerVersion = "8.0.0-rc.1".parse().unwrap();
        assert!(six.features().has_rooms_upload && !eight.features().has_rooms_upload);
        assert!(!six.features().create_token_needs_secret);
        assert!(eight.features().create_token_needs_secret);
        assert!(!six.features().settings_by_id);
    }

    #[test]
    fn before_six_is_not_supported() {
        assert!(!"5.4.3".parse::<ServerVersion>().unwrap().is_supported());
        assert!("6.0".parse::<ServerVersion>().unwrap().is_supported());
    }
}
