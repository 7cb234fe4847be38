//! Identifiers of Rocket.Chat that cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Longest identifier that is accepted from a server, in bytes. Rocket.Chat
/// makes ids of 17, 24 and at most 34 characters; a message id may be chosen by
/// the sender.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing in it.
    #[error("the identifier is empty")]
    Empty,
    /// More than [`MAX_ID_BYTES`].
    #[error("the identifier is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// A control character, which no id has and which would corrupt keys and logs.
    #[error("the identifier has a control character")]
    Control,
}

fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        Err(InvalidId::Empty)
    } else if text.len() > MAX_ID_BYTES {
        Err(InvalidId::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(InvalidId::Control)
    } else {
        Ok(())
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a text that is known to be good (our own, or from the store).
            /// What comes from a server goes through [`Self::parse`] or serde.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Wraps a text from outside.
            ///
            /// # Errors
            /// When it is empty, longer than [`MAX_ID_BYTES`] or has control characters.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The identifier as an owned text.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// The `_id` of a room (`rid`).
    RocketRoomId
);
id!(
    /// The `_id` of a user (`uid`).
    RocketUserId
);
id!(
    /// The `_id` of a message. Unique on the whole server, not per room.
    RocketMessageId
);
id!(
    /// The `_id` of an uploaded file, or of a thumbnail of one.
    FileId
);
id!(
    /// The name after the `@`: unique regardless of case, case preserved, may
    /// change during the life of a user.
    Username
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn an_id_reads_as_plain_text_and_writes_as_plain_text() {
        let id: RocketRoomId = serde_json::from_str("\"GENERAL\"").unwrap();
        assert_eq!(id.as_str(), "GENERAL");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"GENERAL\"");
    }

    #[test]
    fn what_no_id_can_be_is_refused() {
        for bad in ["\"\"", "\"a\\u0000b\"", "\"a\\nb\"", "5", "null"] {
            assert!(
                serde_json::from_str::<RocketUserId>(bad).is_err(),
                "{bad} was taken for an id"
            );
        }
        assert_eq!(
            RocketMessageId::parse("x".repeat(256)),
            Err(InvalidId::TooLong)
        );
        assert!(RocketMessageId::parse("x".repeat(255)).is_ok());
    }
}
