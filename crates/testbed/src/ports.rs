//! Ports that nobody else takes between choosing and listening.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;

use anyhow::{Context, Result, bail};
use rand::RngExt as _;

/// Below the range from which the kernel hands out the ports of outgoing
/// connections, which could otherwise sit on a chosen port while its server is
/// being restarted.
const RANGE: std::ops::Range<u16> = 20_000..29_000;

/// A port of 127.0.0.1, ours until dropped: other testbeds see the lock and
/// choose another.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Takes any free port.
    ///
    /// # Errors
    /// When the lock directory cannot be written or every port is taken.
    pub fn any() -> Result<Self> {
        for _ in 0..2_000 {
            let port = rand::rng().random_range(RANGE);
            if let Some(lease) = Self::try_take(port)? {
                return Ok(lease);
            }
        }
        bail!("no free port between {} and {}", RANGE.start, RANGE.end)
    }

    /// Takes `port` if it is free, else any other.
    ///
    /// # Errors
    /// As [`PortLease::any`].
    pub fn prefer(port: u16) -> Result<Self> {
        match Self::try_take(port)? {
            Some(lease) => Ok(lease),
            None => Self::any(),
        }
    }

    /// The number.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn try_take(port: u16) -> Result<Option<Self>> {
        let directory = std::env::temp_dir().join("rocketchat-bridge-testbed-ports");
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join(port.to_string());
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let free = lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        Ok(free.then_some(Self { port, _lock: lock }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leased_port_is_not_given_twice() -> Result<()> {
        let first = PortLease::any()?;
        let second = PortLease::prefer(first.port())?;
        assert_ne!(first.port(), second.port());
        Ok(())
    }
}
