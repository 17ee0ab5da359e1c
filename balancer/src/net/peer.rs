//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Who connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address.
    Tcp(SocketAddr),
    /// The address that a proxy in front of us has told, or its own where it spoke for itself.
    Announced(SocketAddr),
    /// Somebody on this machine.
    Unix,
}

impl Peer {
    /// The client's address, an IPv4-mapped one as IPv4.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) | Self::Announced(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }

    /// Its address and port.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Announced(address) => Some(address),
            Self::Unix => None,
        }
    }
}

/// One client, wherever clients are counted: an IPv4 address, or the first 64 bits of an IPv6 address, for who has one address
/// behind them has all (RFC 4291 §2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl Client {
    /// Of an address, an IPv4-mapped one as IPv4.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> HOST_BITS << HOST_BITS)),
            ip @ IpAddr::V4(_) => ip,
        })
    }

    /// All that tells it from others, but whether it is of IPv4.
    pub fn bits(self) -> u64 {
        match self.0 {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> HOST_BITS) as u64,
        }
    }
}

/// A client in 32 bits, for whom it is no harm that two may have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientKey(u32);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "{ip}/{}", 128 - HOST_BITS),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Announced(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

impl ClientKey {
    /// Of the client at an address; all those without one have the same.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(match address {
            Some(IpAddr::V4(ip)) => ip.to_bits().wrapping_mul(SPREAD),
            Some(IpAddr::V6(ip)) => {
                let network = (ip.to_bits() >> HOST_BITS) as u64;
                ((network ^ network >> 29) as u32 ^ (network >> 32) as u32).wrapping_mul(SPREAD)
            }
            None => 0,
        })
    }

    /// Its bits, the upper ones spread.
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// Odd, so that no two IPv4 addresses become one; the golden ratio.
const SPREAD: u32 = 0x9E37_79B1;
/// What its network leaves to a host.
const HOST_BITS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_all_that_one_may_have() {
        let client = |text: &str| Client::of(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        let shown = ["192.0.2.1", "2001:db8:1:2::1"].map(|text| client(text).to_string());
        assert_eq!(shown, ["192.0.2.1", "2001:db8:1:2::/64"]);
        let key = |text: &str| ClientKey::of(Some(text.parse().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2::2"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
