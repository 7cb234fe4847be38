//! Which Rocket.Chat version to imitate, as one type: every difference of facts section 12 that is
//! in scope is a method here, so that code asks "does this version do that" and never compares
//! version numbers.

use std::str::FromStr;

/// The version whose behaviour the simulator shows. Everything is recorded from 6.14; the others
/// differ only by what their method answers below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionProfile {
    /// 6.14.0, as in the captures.
    #[default]
    V6_14,
    /// 6.9, which has no `rooms.media` yet; else as 6.14.
    V6_9,
    /// 7.7.1 (facts section 12, tag 7.7).
    V7_7,
    /// 8.0 and later (facts section 12, tag T8).
    V8_0,
}

impl VersionProfile {
    /// What `/api/info` shows to everybody: the version without its patch level.
    pub fn short_version(self) -> &'static str {
        match self {
            Self::V6_9 => "6.9",
            Self::V6_14 => "6.14",
            Self::V7_7 => "7.7",
            Self::V8_0 => "8.0",
        }
    }

    /// What `/api/info` shows to callers with `view-statistics`.
    pub fn full_version(self) -> &'static str {
        match self {
            Self::V6_9 => "6.9.0",
            Self::V6_14 => "6.14.0-develop",
            Self::V7_7 => "7.7.1",
            Self::V8_0 => "8.0.0",
        }
    }

    fn is_six(self) -> bool {
        matches!(self, Self::V6_9 | Self::V6_14)
    }

    /// `channels.invite` writes `uj` in 6.14 (the inviter is lost) and `au` from 7.x on.
    pub fn channel_invite_type(self) -> &'static str {
        if self.is_six() { "uj" } else { "au" }
    }

    /// `chat.postMessage` and `chat.sendMessage` check their keys by a strict schema (7.x on).
    pub fn strict_chat_schema(self) -> bool {
        !self.is_six()
    }

    /// `chat.postMessage` checks the length of its text (7.x on; 6.14 takes any length).
    pub fn post_message_size_check(self) -> bool {
        !self.is_six()
    }

    /// `rooms.upload` still exists (removed in 8.0).
    pub fn one_step_upload(self) -> bool {
        self != Self::V8_0
    }

    /// `rooms.media` exists (since 6.10).
    pub fn two_step_upload(self) -> bool {
        self != Self::V6_9
    }

    /// The length of a file's caption is checked (7.x on).
    pub fn caption_size_check(self) -> bool {
        !self.is_six()
    }

    /// `alias:""`, `attachments:[]` and `parseUrls` are stored by `chat.postMessage` (6.14).
    pub fn post_message_stores_defaults(self) -> bool {
        self.is_six()
    }

    /// The engine's wording of a property read of undefined: Node 14 (6.14) or Node 16 and later.
    pub fn old_engine(self) -> bool {
        self.is_six()
    }

    /// Request parameters `query` and `fields` are honoured (6.14) or silently ignored (7.0 on).
    pub fn query_parameter(self) -> bool {
        self.is_six()
    }

    /// `settings.public` and others take a plain `_id` filter (7.0 on).
    pub fn settings_id_filter(self) -> bool {
        !self.is_six()
    }

    /// `users.createToken` wants the secret of the environment (8.0 on).
    pub fn create_token_secret(self) -> bool {
        self == Self::V8_0
    }

    /// DDP method `deleteMessage` still exists (removed in 7.0).
    pub fn delete_message_method(self) -> bool {
        self.is_six()
    }

    /// DDP method `setReaction` still exists (removed in 8.0).
    pub fn set_reaction_method(self) -> bool {
        self != Self::V8_0
    }

    /// Whether it stands for versions that may be 8.7 or later, which parse texts differently
    /// (facts 9).
    pub fn may_be_8_7(self) -> bool {
        self == Self::V8_0
    }

    /// The permission `view-history` is gone in 7.x; kept here for the list of permissions.
    pub fn has_view_history(self) -> bool {
        self.is_six()
    }
}

impl FromStr for VersionProfile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "6.9" => Ok(Self::V6_9),
            "6.14" => Ok(Self::V6_14),
            "7.7" => Ok(Self::V7_7),
            "8.0" => Ok(Self::V8_0),
            other => Err(format!(
                "unknown version profile {other:?}: use 6.9, 6.14, 7.7 or 8.0"
            )),
        }
    }
}
