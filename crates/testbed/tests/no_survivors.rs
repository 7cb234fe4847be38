//! Whatever the testbed started ends with it, also when it has no chance to
//! clean up.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use testbed::{DEADLINE, PortLease, Synapse, SynapseOptions, eventually, synapse};

const DIRECTORY: &str = "TESTBED_TEST_DIRECTORY";

#[tokio::test]
async fn a_killed_test_leaves_no_server_behind() -> Result<()> {
    synapse::ensure_installed().await?;
    let directory = tempfile::tempdir()?;
    let mut doomed = Command::new(std::env::current_exe()?)
        .args(["--exact", "starts_a_synapse_and_never_ends"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let address_file = directory.path().join("address");
    let address = eventually(
        "the doomed test to start its Synapse",
        DEADLINE,
        async || Ok(Some(std::fs::read_to_string(&address_file)?)),
    )
    .await;
    doomed.kill()?;
    doomed.wait()?;
    let address = address?;
    eventually("its Synapse to be gone", DEADLINE, async || {
        if TcpStream::connect(&address).is_err() {
            return Ok(Some(()));
        }
        bail!("{address} still accepts connections")
    })
    .await
}

/// The other half of the test above: does nothing unless started by it.
#[tokio::test]
async fn starts_a_synapse_and_never_ends() -> Result<()> {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        return Ok(());
    };
    let options = SynapseOptions::new(directory.join("synapse"), PortLease::any()?);
    let synapse = Synapse::start(options).await?;
    let address = synapse.base_url().trim_start_matches("http://");
    write_at_once(&directory, address)?;
    std::future::pending().await
}

/// So that nobody reads half of it.
fn write_at_once(directory: &Path, address: &str) -> Result<()> {
    let unfinished = directory.join("address.new");
    std::fs::write(&unfinished, address)?;
    Ok(std::fs::rename(unfinished, directory.join("address"))?)
}
