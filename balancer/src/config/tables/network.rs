//! Networks of addresses, as in `trusted_proxies`. Decides what is one; called by the readers of keys that hold some; never asks whether
//! anybody is in it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;

/// A list of networks.
pub(in crate::config) fn networks(item: &Item<'_>) -> Option<Vec<IpNet>> {
    Some(item.list("[\"10.0.0.0/8\"]")?.iter().filter_map(network).collect())
}

/// A CIDR, or one address.
fn network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.text("\"10.0.0.0/8\"")?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.into());
    }
    let message = || format!("{} is not a network of addresses", quote(text));
    match text.parse::<IpNet>() {
        Ok(network) if network.addr() != network.network() => {
            item.wrong(message(), format!("write \"{}\", without bits behind the prefix", network.trunc()));
            None
        }
        Ok(network) => Some(network),
        Err(_) => {
            item.wrong(
                message(),
                "write an address and the length of its prefix, as in \"10.0.0.0/8\" or \"fd00::/8\"",
            );
            None
        }
    }
}
