//! Homeservers that talk to each other, and to nobody else.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::install::{Installed, run};
use crate::ports::PortLease;

/// Python that makes the certificate: Synapse brings what it needs.
const CERTIFICATE: &str = include_str!("certificate.py");

/// In the homeserver's directory: certificate and key, as both are wanted.
const PEM: &str = "federation.pem";

/// How a homeserver takes part in a federation on this machine.
#[derive(Debug)]
pub struct Federation {
    /// Where other homeservers reach it; part of its name.
    pub port: PortLease,
    /// The names of those it talks to.
    pub peers: Vec<String>,
}

impl Federation {
    /// What a homeserver that others reach at this port is called. Synapse looks up
    /// nothing for an address with a port.
    pub fn server_name(port: &PortLease) -> String {
        format!("127.0.0.1:{}", port.port())
    }

    /// What `homeserver.yaml` needs for it, over what it has anyway.
    pub(super) fn config(&self, directory: &Path, client_listener: &Value) -> Value {
        let pem = directory.join(PEM).display().to_string();
        json!({
            "server_name": Self::server_name(&self.port),
            "listeners": [client_listener, {
                "port": self.port.port(),
                "bind_addresses": ["127.0.0.1"],
                "type": "http",
                "tls": true,
                "resources": [{ "names": ["federation"], "compress": false }],
            }],
            "tls_certificate_path": pem,
            "tls_private_key_path": pem,
            "federation_verify_certificates": false,
            "federation_domain_whitelist": self.peers,
            "ip_range_blacklist": [],
            "federation_ip_range_blacklist": [],
            "allow_public_rooms_over_federation": true,
            // A homeserver that is away fails at once, and is asked again soon (ms). With
            // retries Synapse would not notice that it calls in meanwhile, and leave it
            // alone for a minute.
            "federation": {
                "client_timeout": "20s",
                "max_short_retries": 0,
                "max_long_retries": 0,
                "destination_min_retry_interval": 200,
                "destination_retry_multiplier": 1,
                "destination_max_retry_interval": 200,
            },
            "rc_federation": {
                "window_size": 1000, "sleep_limit": 1000, "sleep_delay": 1,
                "reject_limit": 1000, "concurrent": 100,
            },
        })
    }
}

/// Puts a certificate where the configuration names it.
pub(super) async fn install_certificate(directory: &Path, installed: &Installed) -> Result<()> {
    static MADE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let make = || async {
        let made = run(installed.python(), ["-c", CERTIFICATE]).await?;
        anyhow::Ok(made.stdout)
    };
    let pem = MADE.get_or_try_init(make).await?;
    Ok(std::fs::write(directory.join(PEM), pem)?)
}
