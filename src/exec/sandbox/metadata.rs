//! The address at which a cloud tells whoever asks the credentials of the machine: out of reach for the users of tasks.
//!
//! A rule of the kernel's routing that names these users; no packet filter is touched. It stays when the worker ends: another worker may go
//! by it, and it means nobody else.

use std::process::{Command, Stdio};

use super::options::UidRange;
use crate::domain::Error;

/// Of the large clouds; the second is the same for those who speak IPv6 only.
const ADDRESSES: [(&str, &str); 2] = [("-4", "169.254.169.254"), ("-6", "fd00:ec2::254")];

/// Makes sure that no process of these users reaches it.
///
/// # Errors
/// If that can't be had: without `ip`, or without the right to change the routing.
pub(super) fn close(range: &UidRange) -> Result<(), Error> {
    ADDRESSES.iter().try_for_each(|(family, address)| {
        // A machine without IPv6 has no such address either.
        if *family == "-6" && !std::path::Path::new("/proc/sys/net/ipv6").exists() {
            return Ok(());
        }
        let users = range.to_string();
        let rule = [*family, "rule", "add", "to", address, "uidrange", &users, "unreachable"];
        let output = Command::new("ip").args(rule).stdin(Stdio::null()).output();
        let output =
            output.map_err(|error| Error::unavailable(format!("the metadata address can't be closed: `ip` (iproute2): {error}")))?;
        let said = String::from_utf8_lossy(&output.stderr);
        // It is there from an earlier start.
        if output.status.success() || said.contains("File exists") {
            return Ok(());
        }
        Err(Error::unavailable(format!("the metadata address {address} can't be closed: ip {}: {}", rule.join(" "), said.trim())))
    })
}
