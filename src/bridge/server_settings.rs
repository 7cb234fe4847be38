//! What the administrators of Rocket.Chat have set, as far as messages depend on
//! it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rocketchat_markdown::{Generation, Options};
use serde_json::Value;
use url::Url;

use super::{Bridge, Failure};
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::version::ServerVersion;
use crate::store::{Portal, PortalKind};

/// How long settings are believed. 6.14 can only be asked for all of them at once.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// How old settings may be by which something is refused.
const JUST_NOW: Duration = Duration::from_secs(2);

const ASKED_FOR: [&str; 18] = [
    "Site_Url",
    "UI_Use_Real_Name",
    "Message_MaxAllowedSize",
    "Message_AllowEditing",
    "Message_AllowEditing_BlockEditInMinutes",
    "Message_AllowDeleting",
    "Message_AllowDeleting_BlockDeleteInMinutes",
    "HexColorPreview_Enabled",
    "Katex_Enabled",
    "Katex_Parenthesis_Syntax",
    "Katex_Dollar_Syntax",
    "Message_CustomDomain_AutoLink",
    "FileUpload_Enabled",
    "FileUpload_Enabled_Direct",
    "FileUpload_MaxFileSize",
    "FileUpload_MediaTypeWhiteList",
    "FileUpload_MediaTypeBlackList",
    "DirectMesssage_maxUsers",
];

/// Settings of a Rocket.Chat server.
#[derive(Debug, Clone)]
pub(super) struct ServerSettings {
    site: Option<Url>,
    /// Whether people are shown, and shown as typing, under their display names.
    pub real_names: bool,
    /// How many people a direct message may have.
    pub max_in_direct: usize,
    /// The most text of a message, in UTF-16 units.
    pub max_text: usize,
    /// For how many minutes people may edit what they wrote; none without limit.
    pub edit_minutes: Option<u64>,
    /// For how many minutes people may delete what they wrote; none without limit.
    pub delete_minutes: Option<u64>,
    /// Whether people may edit what they wrote at all.
    pub editing_allowed: bool,
    /// Whether people may delete what they wrote at all.
    pub deleting_allowed: bool,
    /// How the server reads its dialect.
    pub dialect: Options,
    /// Whether people may upload files.
    pub files_allowed: bool,
    /// Whether they may in direct messages.
    pub files_allowed_in_direct: bool,
    /// The size in bytes from which on files are refused (6.14: a file of exactly
    /// `FileUpload_MaxFileSize` is); none without limit.
    pub max_file: Option<u64>,
    /// Media types that alone are taken; empty when all are.
    allowed_types: Vec<String>,
    /// Media types that are refused, whatever is allowed.
    blocked_types: Vec<String>,
}

/// The settings as they were last seen.
#[derive(Debug, Default)]
pub(super) struct LastSeen(std::sync::Mutex<Option<(Instant, Arc<ServerSettings>)>>);

impl ServerSettings {
    fn read(values: &BTreeMap<String, Value>, version: ServerVersion) -> Self {
        let text = |id: &str| values.get(id).and_then(Value::as_str);
        let flag = |id: &str, default: bool| {
            let value = values.get(id).and_then(Value::as_bool);
            value.unwrap_or(default)
        };
        let minutes = |id: &str| {
            let value = values.get(id).and_then(Value::as_u64);
            value.filter(|minutes| *minutes > 0)
        };
        let katex = flag("Katex_Enabled", true);
        let types = |id: &str, default: &str| -> Vec<String> {
            let list = text(id).unwrap_or(default).split(',');
            list.map(|kind| kind.trim().to_lowercase())
                .filter(|kind| !kind.is_empty())
                .collect()
        };
        Self {
            site: text("Site_Url").and_then(|url| Url::parse(url).ok()),
            real_names: flag("UI_Use_Real_Name", false),
            max_in_direct: values
                .get("DirectMesssage_maxUsers")
                .and_then(Value::as_u64)
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(8),
            max_text: values
                .get("Message_MaxAllowedSize")
                .and_then(Value::as_u64)
                .and_then(|size| usize::try_from(size).ok())
                .filter(|size| *size > 0)
                .unwrap_or(5000),
            edit_minutes: minutes("Message_AllowEditing_BlockEditInMinutes"),
            delete_minutes: minutes("Message_AllowDeleting_BlockDeleteInMinutes"),
            editing_allowed: flag("Message_AllowEditing", true),
            deleting_allowed: flag("Message_AllowDeleting", true),
            dialect: Options {
                colors: flag("HexColorPreview_Enabled", true),
                katex_parenthesis: katex && flag("Katex_Parenthesis_Syntax", true),
                katex_dollar: katex && flag("Katex_Dollar_Syntax", false),
                custom_domains: text("Message_CustomDomain_AutoLink")
                    .into_iter()
                    .flat_map(|list| list.split(','))
                    .map(|domain| domain.trim().to_owned())
                    .filter(|domain| !domain.is_empty())
                    .collect(),
                generation: if (version.major, version.minor) >= (8, 7) {
                    Generation::V8_7
                } else {
                    Generation::V6
                },
                ..Options::default()
            },
            files_allowed: flag("FileUpload_Enabled", true),
            files_allowed_in_direct: flag("FileUpload_Enabled_Direct", true),
            // -1 is without limit; 100 MiB is what a new server has.
            max_file: match values.get("FileUpload_MaxFileSize").and_then(Value::as_i64) {
                Some(size) => u64::try_from(size).ok(),
                None => Some(104_857_600),
            },
            allowed_types: types("FileUpload_MediaTypeWhiteList", ""),
            blocked_types: types("FileUpload_MediaTypeBlackList", "image/svg+xml"),
        }
    }

    /// Whether the server takes files of that media type (`image/png`). Either list may
    /// have all of a kind (`image/*`).
    pub(super) fn accepts(&self, media_type: &str) -> bool {
        let media_type = media_type.to_lowercase();
        let is_among = |list: &[String]| {
            list.iter().any(|kind| match kind.strip_suffix("/*") {
                Some(family) => media_type
                    .strip_prefix(family)
                    .is_some_and(|rest| rest.starts_with('/')),
                None => *kind == media_type,
            })
        };
        let is_allowed = self.allowed_types.is_empty() || is_among(&self.allowed_types);
        is_allowed && !is_among(&self.blocked_types)
    }

    /// Which message a link leads to, if it is one of this server's.
    pub(super) fn linked_message(&self, link: &str) -> Option<RocketMessageId> {
        let (link, site) = (Url::parse(link).ok()?, self.site.as_ref()?);
        if link.origin() != site.origin() {
            return None;
        }
        let (_, id) = link.query_pairs().find(|(key, _)| key == "msg")?;
        RocketMessageId::parse(id.into_owned()).ok()
    }

    /// The address at which people reach the server.
    pub(super) fn site_or(&self, fallback: &Url) -> Url {
        self.site.as_ref().unwrap_or(fallback).clone()
    }

    /// The address at which people see a room. `slug` is its name there, where known.
    pub(super) fn room_link(&self, portal: &Portal, slug: Option<&str>, fallback: &Url) -> Url {
        let mut link = self.site_or(fallback);
        if let Ok(mut path) = link.path_segments_mut() {
            let name = slug.unwrap_or(&portal.name);
            let (kind, name) = match portal.kind {
                PortalKind::Channel => ("channel", name),
                PortalKind::Group => ("group", name),
                PortalKind::Direct { .. } => ("direct", portal.rid.as_str()),
            };
            path.pop_if_empty().push(kind).push(name);
        }
        link
    }

    /// The address of a message as the server knows its own: whatever stands under
    /// `Site_Url` with that id is taken for the message.
    pub(super) fn permalink(&self, portal: &Portal, message: &str, fallback: &Url) -> String {
        let mut link = self.room_link(portal, None, fallback);
        link.query_pairs_mut().clear().append_pair("msg", message);
        // Parentheses would end the link that it stands in.
        link.as_str().replace('(', "%28").replace(')', "%29")
    }
}

impl Bridge {
    /// The server's settings, not older than a few minutes while it answers.
    pub(super) async fn server_settings(&self) -> Result<Arc<ServerSettings>, Failure> {
        self.settings_within(BELIEVED_FOR).await
    }

    /// The server's settings as they are now, within seconds: for what is refused
    /// because of them.
    pub(super) async fn settings_now(&self) -> Result<Arc<ServerSettings>, Failure> {
        self.settings_within(JUST_NOW).await
    }

    async fn settings_within(&self, age: Duration) -> Result<Arc<ServerSettings>, Failure> {
        let seen = {
            let last = &self.settings_seen.0;
            last.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        if let Some((at, settings)) = &seen
            && at.elapsed() < age
        {
            return Ok(Arc::clone(settings));
        }
        let rocket = self.rocket().await;
        let values = match (rocket.bot.public_settings(&ASKED_FOR).await, seen) {
            (Ok(values), _) => values,
            (Err(_), Some((_, old))) => return Ok(old),
            (Err(error), None) => return Err(error.into()),
        };
        let settings = Arc::new(ServerSettings::read(&values, rocket.version));
        *self
            .settings_seen
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), Arc::clone(&settings)));
        Ok(settings)
    }

    /// Rocket.Chat says that a setting is another. Several may change at once: they are
    /// asked for anew when the next one is needed.
    pub(super) fn setting_changed(&self, id: &str) {
        if ASKED_FOR.contains(&id) {
            self.forget_settings();
        }
    }

    /// Lets the settings be asked for anew: the server may be another since.
    pub(super) fn forget_settings(&self) {
        *self
            .settings_seen
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::room_id;
    use serde_json::json;

    use super::*;
    use crate::rocketchat::RocketRoomId;

    fn read(values: Value) -> ServerSettings {
        let values = serde_json::from_value(values).unwrap();
        let version = ServerVersion {
            major: 6,
            minor: 14,
            patch: None,
        };
        ServerSettings::read(&values, version)
    }

    #[test]
    fn what_is_not_set_is_as_the_server_has_it_from_the_start() {
        let settings = read(json!({}));
        assert_eq!(settings.max_text, 5000);
        assert_eq!(settings.edit_minutes, None);
        assert_eq!(settings.dialect, Options::default());
    }

    #[test]
    fn limits_are_read() {
        let settings = read(json!({
            "Message_MaxAllowedSize": 100,
            "Message_AllowEditing_BlockEditInMinutes": 5,
            "Katex_Enabled": false,
            "Message_CustomDomain_AutoLink": "intra, wiki.lan",
        }));
        assert_eq!(settings.max_text, 100);
        assert_eq!(settings.edit_minutes, Some(5));
        assert!(!settings.dialect.katex_parenthesis);
        assert_eq!(settings.dialect.custom_domains, ["intra", "wiki.lan"]);
    }

    #[test]
    fn limits_of_files_are_read() {
        let usual = read(json!({}));
        assert!(usual.files_allowed && usual.files_allowed_in_direct);
        assert_eq!(usual.max_file, Some(104_857_600));
        assert!(usual.accepts("application/x-anything"));
        assert!(!usual.accepts("image/SVG+xml"), "as a new server has it");
        let none = read(json!({ "FileUpload_MaxFileSize": -1, "FileUpload_Enabled": false }));
        assert_eq!((none.max_file, none.files_allowed), (None, false));
        let some = read(json!({
            "FileUpload_MaxFileSize": 1000,
            "FileUpload_MediaTypeWhiteList": "image/*, text/plain",
            "FileUpload_MediaTypeBlackList": "image/gif,video/*",
        }));
        assert_eq!(some.max_file, Some(1000));
        let table = [
            ("image/png", true),
            ("image/gif", false),
            ("text/plain", true),
            ("text/html", false),
            ("video/mp4", false),
            ("imagery/png", false),
        ];
        for (kind, taken) in table {
            assert_eq!(some.accepts(kind), taken, "{kind}");
        }
    }

    #[test]
    fn only_links_to_the_servers_own_messages_are_quotes() {
        let settings = read(json!({ "Site_Url": "https://chat.example.org" }));
        let of = |link: &str| {
            settings
                .linked_message(link)
                .map(RocketMessageId::into_string)
        };
        assert_eq!(
            of("https://chat.example.org/x?a=b&msg=m1"),
            Some("m1".into())
        );
        assert_eq!(of("https://chat.example.org/x"), None);
        assert_eq!(of("https://other.example.org/x?msg=m1"), None);
        assert_eq!(of("not a link"), None);
    }

    #[test]
    fn a_permalink_stands_under_the_servers_own_address() {
        let settings = read(json!({ "Site_Url": "https://chat.example.org/rc/" }));
        let portal = Portal::own(
            RocketRoomId::new("R1"),
            room_id!("!r:example.org").to_owned(),
            PortalKind::Channel,
            "a) b/c".into(),
            0,
        );
        let fallback = Url::parse("http://127.0.0.1:3000").unwrap();
        assert_eq!(
            settings.permalink(&portal, "m1", &fallback),
            "https://chat.example.org/rc/channel/a%29%20b%2Fc?msg=m1"
        );
    }
}
