//! The server's settings: all public ones as recorded (capture 03), and those private ones that
//! change what this simulator does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ids, options::Options};

const PUBLIC: &str = include_str!("data/settings-public.json");

#[derive(Deserialize)]
struct Recorded {
    #[serde(rename = "_id")]
    id: String,
    value: Value,
    enterprise: bool,
    #[serde(rename = "invalidValue")]
    invalid_value: Option<Value>,
    modules: Option<Value>,
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its value now.
    pub value: Value,
    /// Shown by `settings.public`.
    pub public: bool,
    extra: Value,
}

/// All settings by id, sorted as the server lists them.
#[derive(Debug, Default)]
pub struct Settings {
    all: BTreeMap<String, Setting>,
}

impl Settings {
    /// The settings of a fresh server.
    pub fn fresh(options: &Options, site_url: &str) -> Self {
        let recorded: Vec<Recorded> = serde_json::from_str(PUBLIC).unwrap_or_default();
        let mut all: BTreeMap<String, Setting> = recorded
            .into_iter()
            .map(|one| {
                let mut extra = json!({ "enterprise": one.enterprise });
                if let Some(value) = one.invalid_value {
                    extra["invalidValue"] = value;
                }
                if let Some(value) = one.modules {
                    extra["modules"] = value;
                }
                (
                    one.id,
                    Setting {
                        value: one.value,
                        public: true,
                        extra,
                    },
                )
            })
            .collect();
        let limits = json!(options.rate_limits);
        for (id, value) in [
            ("API_Allow_Infinite_Count", json!(true)),
            ("API_CORS_Origin", json!("*")),
            ("API_Default_Count", json!(50)),
            ("API_Enable_CORS", json!(false)),
            ("API_Enable_Direct_Message_History_EndPoint", json!(false)),
            ("API_Enable_Rate_Limiter", limits.clone()),
            ("API_Enable_Rate_Limiter_Limit_Calls_Default", json!(10)),
            ("API_Enable_Rate_Limiter_Limit_Time_Default", json!(60_000)),
            ("API_Upper_Count_Limit", json!(100)),
            ("Accounts_AvatarSize", json!(200)),
            ("Accounts_BlockedUsernameList", json!("")),
            ("Accounts_LoginExpiration", json!(90)),
            ("Accounts_SetDefaultAvatar", json!(true)),
            (
                "Accounts_SystemBlockedUsernameList",
                json!("admin,administrator,system,user"),
            ),
            (
                "Accounts_TwoFactorAuthentication_Enforce_Password_Fallback",
                json!(true),
            ),
            ("Accounts_TwoFactorAuthentication_RememberFor", json!(1800)),
            (
                "Block_Multiple_Failed_Logins_Attempts_Until_Block_By_Ip",
                json!(50),
            ),
            (
                "Block_Multiple_Failed_Logins_Attempts_Until_Block_by_User",
                json!(10),
            ),
            ("Block_Multiple_Failed_Logins_By_User", json!(true)),
            ("Block_Multiple_Failed_Logins_Enabled", json!(true)),
            (
                "Block_Multiple_Failed_Logins_Time_To_Unblock_By_User_In_Minutes",
                json!(5),
            ),
            ("DDP_Rate_Limit_IP_Enabled", limits.clone()),
            ("DDP_Rate_Limit_IP_Requests_Allowed", json!(120_000)),
            ("DDP_Rate_Limit_IP_Interval_Time", json!(60_000)),
            ("DDP_Rate_Limit_User_Enabled", limits.clone()),
            ("DDP_Rate_Limit_User_Requests_Allowed", json!(1200)),
            ("DDP_Rate_Limit_User_Interval_Time", json!(60_000)),
            ("DDP_Rate_Limit_Connection_Enabled", limits.clone()),
            ("DDP_Rate_Limit_Connection_Requests_Allowed", json!(600)),
            ("DDP_Rate_Limit_Connection_Interval_Time", json!(60_000)),
            ("DDP_Rate_Limit_User_By_Method_Enabled", limits.clone()),
            ("DDP_Rate_Limit_User_By_Method_Requests_Allowed", json!(20)),
            ("DDP_Rate_Limit_User_By_Method_Interval_Time", json!(10_000)),
            ("DDP_Rate_Limit_Connection_By_Method_Enabled", limits),
            (
                "DDP_Rate_Limit_Connection_By_Method_Requests_Allowed",
                json!(10),
            ),
            (
                "DDP_Rate_Limit_Connection_By_Method_Interval_Time",
                json!(10_000),
            ),
            (
                "API_EmbedIgnoredHosts",
                json!("localhost, 127.0.0.1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"),
            ),
            ("API_EmbedSafePorts", json!("80, 443")),
            ("FileUpload_Restrict_to_room_members", json!(true)),
            (
                "FileUpload_Restrict_to_users_who_can_access_room",
                json!(false),
            ),
            ("Message_CustomFields", json!("")),
            ("Message_CustomFields_Enabled", json!(false)),
        ] {
            all.insert(
                id.to_owned(),
                Setting {
                    value,
                    public: false,
                    extra: json!({ "enterprise": false }),
                },
            );
        }
        let mut settings = Self { all };
        settings.set("Site_Url", json!(site_url));
        settings.set("uniqueID", json!(ids::uuid()));
        settings
    }

    /// A setting by id.
    pub fn get(&self, id: &str) -> Option<&Setting> {
        self.all.get(id)
    }

    /// Changes a known setting; false when there is none of that id.
    pub fn set(&mut self, id: &str, value: Value) -> bool {
        self.all
            .get_mut(id)
            .map(|setting| setting.value = value)
            .is_some()
    }

    /// A switch; anything but `true` is off.
    pub fn on(&self, id: &str) -> bool {
        self.all
            .get(id)
            .is_some_and(|setting| setting.value == json!(true))
    }

    /// A number; 0 when the value is none (the server does not check types, capture 03).
    pub fn number(&self, id: &str) -> i64 {
        self.all
            .get(id)
            .and_then(|setting| setting.value.as_i64())
            .unwrap_or(0)
    }

    /// A text; empty when the value is none.
    pub fn text(&self, id: &str) -> &str {
        self.all
            .get(id)
            .and_then(|setting| setting.value.as_str())
            .unwrap_or("")
    }

    /// Whether the list setting `id` holds `entry`.
    pub fn lists(&self, id: &str, entry: &str) -> bool {
        self.all
            .get(id)
            .and_then(|setting| setting.value.as_array())
            .is_some_and(|list| list.iter().any(|value| value == entry))
    }

    /// The list entries of `settings` or `settings.public`.
    pub fn shown(&self, public_only: bool) -> Vec<Value> {
        self.all
            .iter()
            .filter(|(_, setting)| setting.public || !public_only)
            .map(|(id, setting)| {
                let mut entry = setting.extra.clone();
                entry["_id"] = json!(id);
                entry["value"] = setting.value.clone();
                entry
            })
            .collect()
    }
}
