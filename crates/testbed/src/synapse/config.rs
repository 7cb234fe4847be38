//! `homeserver.yaml` for tests.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::{Synapse, SynapseOptions};
use crate::world::merge;

/// The part of the log that is worth showing when something fails: the whole is
/// full of our own questions.
pub(crate) const PROBLEMS: &str = "problems.log";

/// Writes the configuration; returns its path.
pub(super) fn write(directory: &Path, options: &SynapseOptions, secret: &str) -> Result<PathBuf> {
    let at = |name: &str| directory.join(name).display().to_string();
    let unlimited = json!({ "per_second": 100_000, "burst_count": 100_000 });
    let client_listener = json!({
        "port": options.port.port(),
        "bind_addresses": ["127.0.0.1"],
        "type": "http",
        "tls": false,
        "resources": [{ "names": ["client"], "compress": false }],
    });
    let mut config = json!({
        "server_name": Synapse::SERVER_NAME,
        "public_baseurl": format!("http://127.0.0.1:{}/", options.port.port()),
        "pid_file": at("homeserver.pid"),
        "listeners": [client_listener],
        "database": { "name": "sqlite3", "args": { "database": at("homeserver.db") } },
        "media_store_path": at("media"),
        "signing_key_path": at("signing.key"),
        "log_config": at("log.yaml"),
        "app_service_config_files": options.registrations,
        "registration_shared_secret": secret,
        "macaroon_secret_key": "only for tests",
        "form_secret": "only for tests",
        "report_stats": false,
        "trusted_key_servers": [],
        "suppress_key_server_warning": true,
        // An empty list: no other server is talked to.
        "federation_domain_whitelist": [],
        "enable_registration": false,
        "presence": { "enabled": true },
        // A client that asks again sees what is there, not what was.
        "caches": { "sync_response_cache_duration": "0s" },
        "url_preview_enabled": false,
        // Both can be changed by `SynapseOptions::extra_config`.
        "max_upload_size": "100M",
        "enable_authenticated_media": true,
        // Accounts here protect nothing, and each costs a hash.
        "bcrypt_rounds": 4,
        "rc_message": unlimited,
        "rc_registration": unlimited,
        "rc_login": {
            "address": unlimited, "account": unlimited, "failed_attempts": unlimited,
        },
        "rc_admin_redaction": unlimited,
        "rc_joins": { "local": unlimited, "remote": unlimited },
        "rc_joins_per_room": unlimited,
        "rc_invites": {
            "per_room": unlimited, "per_user": unlimited, "per_issuer": unlimited,
        },
        "rc_room_creation": unlimited,
        "rc_media_create": unlimited,
        "rc_key_requests": unlimited,
        "rc_presence": { "per_user": unlimited },
        "rc_user_directory": unlimited,
        "rc_reports": unlimited,
    });
    if let Some(federation) = &options.federation {
        merge(&mut config, &federation.config(directory, &client_listener))?;
    }
    merge(&mut config, &options.extra_config)?;
    let logging = json!({
        "version": 1,
        "formatters": { "line": {
            "format": "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s",
        } },
        "handlers": { "file": {
            "class": "logging.FileHandler",
            "filename": at("homeserver.log"),
            "formatter": "line",
            "encoding": "utf8",
        }, "problems": {
            "class": "logging.FileHandler",
            "filename": at(PROBLEMS),
            "level": "WARNING",
            "formatter": "line",
            "encoding": "utf8",
        } },
        "loggers": { "synapse.storage.SQL": { "level": "WARNING" } },
        "root": { "level": "INFO", "handlers": ["file", "problems"] },
        "disable_existing_loggers": false,
    });
    write_yaml(&directory.join("log.yaml"), &logging)?;
    let path = directory.join("homeserver.yaml");
    write_yaml(&path, &config)?;
    Ok(path)
}

/// JSON is YAML, and leaves no doubt about what is a string.
fn write_yaml(path: &Path, value: &Value) -> Result<()> {
    Ok(std::fs::write(path, serde_json::to_string_pretty(value)?)?)
}
