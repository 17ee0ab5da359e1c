//! Whether a place is one of our own listeners: a request to it would come back to us.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;

use crate::config::ListenAddress;

/// Our own listeners, at one moment.
pub(super) struct Own<'a> {
    listen: &'a [ListenAddress],
    /// Asked for only where it matters.
    interfaces: OnceCell<BTreeSet<IpAddr>>,
}

impl<'a> Own<'a> {
    pub(super) fn new(listen: &'a [ListenAddress]) -> Self {
        Self { listen, interfaces: OnceCell::new() }
    }

    /// Whether a connection to `address` ends at one of them.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_local =
            || ip.is_loopback() || ip.is_unspecified() || self.interfaces.get_or_init(interfaces).contains(&ip);
        self.listen.iter().any(|own| match own.place() {
            ListenAddress::Tcp(bound) if bound.port() == address.port() => {
                bound.ip().to_canonical() == ip || (own.takes_all(ip.is_ipv4(), self.listen) && is_local())
            }
            _ => false,
        })
    }
}

/// The addresses of this machine.
fn interfaces() -> BTreeSet<IpAddr> {
    getifaddrs().into_iter().flatten().filter_map(|one| ip(one.address.as_ref()?)).collect()
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listeners_are_known_at_every_address_of_the_machine() {
        let listen: Vec<ListenAddress> =
            ["0.0.0.0:80", "10.0.0.1:81"].iter().map(|text| ListenAddress::Tcp(text.parse().unwrap())).collect();
        let own = Own { listen: &listen, interfaces: BTreeSet::from(["192.0.2.1".parse().unwrap()]).into() };
        for ours in
            ["127.0.0.1:80", "127.5.5.5:80", "10.0.0.1:81", "192.0.2.1:80", "0.0.0.0:80", "[::ffff:192.0.2.1]:80"]
        {
            assert!(own.has(ours.parse().unwrap()), "{ours}");
        }
        for other in ["192.0.2.2:80", "192.0.2.1:81", "127.0.0.1:82", "[::1]:80"] {
            assert!(!own.has(other.parse().unwrap()), "{other}");
        }
        let both = [ListenAddress::Tcp("[::]:80".parse().unwrap())];
        assert!(Own::new(&both).has("127.0.0.1:80".parse().unwrap()));
        assert!(Own::new(&both).has("[::1]:80".parse().unwrap()));
    }

    #[test]
    fn the_machine_tells_its_addresses() {
        assert!(interfaces().contains(&IpAddr::from([127, 0, 0, 1])), "{:?}", interfaces());
    }
}
