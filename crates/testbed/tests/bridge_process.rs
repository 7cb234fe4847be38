//! The testbed's promises about the bridge's process, kept with a stand-in that
//! knows the bridge's command line and nothing else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use testbed::{Bridge, BridgeOptions, PortLease, synapse};

const STAND_IN: &str = r#"
import http.server, json, os, sys, time
command, config = sys.argv[1], json.load(open(sys.argv[3]))
if command == "registration":
    open(sys.argv[5], "w").write("as_token: from-bridge\nhs_token: 'from-homeserver'\n")
    sys.exit(0)
if "refuse" in config:
    sys.exit("refuse: not a key")
print("started", file=sys.stderr, flush=True)
began = time.monotonic()

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if time.monotonic() - began > 0.3 else 503)
        self.end_headers()
        self.wfile.write(b'{"detail": {"all_channels_mirrored": true}}')

address, port = config["appservice"]["listen"].split(":")
http.server.HTTPServer((address, int(port)), Health).serve_forever()
"#;

#[tokio::test]
async fn the_bridge_is_waited_for_killed_and_started_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let bridge = prepare(directory.path(), json!({})).await?;
    assert_eq!(
        (bridge.as_token(), bridge.hs_token()),
        ("from-bridge", "from-homeserver")
    );
    assert_eq!(bridge.pid(), None);
    bridge.start()?;
    bridge.ready().await?;
    let first = bridge.pid();
    assert!(bridge.rss_bytes()? > 1_000_000, "a Python takes megabytes");
    assert!(bridge.cpu_seconds()? < 60.0);

    bridge.kill().await?;
    assert!(
        bridge.get("/health/live").await.is_err(),
        "a killed bridge must not answer"
    );
    bridge.restart().await?;
    assert_ne!(bridge.pid(), first);
    assert_eq!(
        bridge.logs().matches("started").count(),
        2,
        "logs span restarts"
    );
    bridge.stop().await?;
    assert_eq!(bridge.pid(), None);
    Ok(())
}

#[tokio::test]
async fn a_bridge_that_ends_at_once_fails_with_its_last_words() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let bridge = prepare(directory.path(), json!({ "refuse": true })).await?;
    bridge.start()?;
    let Err(error) = bridge.ready().await else {
        bail!("a bridge that ended cannot be ready")
    };
    let text = format!("{error:#}");
    assert!(text.contains("refuse: not a key"), "{text}");
    let status = bridge.wait_for_exit(Duration::from_secs(1)).await?;
    assert_eq!(status.code(), Some(1));
    Ok(())
}

async fn prepare(directory: &Path, mut config: serde_json::Value) -> Result<Bridge> {
    let port = PortLease::any()?;
    config["appservice"] = json!({ "listen": format!("127.0.0.1:{}", port.port()) });
    let options = BridgeOptions {
        binary: stand_in(directory).await?,
        directory: directory.join("bridge"),
        port,
        config,
    };
    Bridge::prepare(options).await
}

async fn stand_in(directory: &Path) -> Result<PathBuf> {
    let script = directory.join("bridge.py");
    std::fs::write(&script, STAND_IN)?;
    let python = synapse::ensure_installed().await?.python();
    let program = directory.join("bridge.sh");
    let text = format!(
        "#!/bin/sh\nexec '{}' '{}' \"$@\"\n",
        python.display(),
        script.display()
    );
    std::fs::write(&program, text)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(program)
}
