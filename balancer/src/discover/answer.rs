//! What DNS has answered, as plain data.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a name has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundPlace {
    /// Address and port.
    pub address: SocketAddr,
    /// Share of picks, 1 to 256.
    pub weight: u16,
    /// Whether it serves only when no other can.
    pub backup: bool,
}

/// What was answered of one family of addresses. Families are asked apart, for either may fail alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// What there is, in no order.
    pub found: Vec<T>,
    /// Why there may be more; `None` for a complete answer.
    pub failed: Option<DnsFailure>,
}

/// An answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsAnswer<T> {
    /// IPv4.
    pub v4: Part<T>,
    /// IPv6.
    pub v6: Part<T>,
    /// Whether it was said that the name does not exist.
    pub unknown: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsFailure {
    /// Nobody has answered.
    Silent,
    /// A server has answered with this code, or what it answered cannot be used.
    Refused(String),
}

impl<T> Part<T> {
    /// A complete answer.
    pub fn of(found: Vec<T>) -> Self {
        Self { found, failed: None }
    }

    /// No answer.
    pub fn failed(failure: DnsFailure) -> Self {
        Self { found: Vec::new(), failed: Some(failure) }
    }
}

impl<T> DnsAnswer<T> {
    /// No answer.
    pub fn failed(failure: &DnsFailure) -> Self {
        Self { v4: Part::failed(failure.clone()), v6: Part::failed(failure.clone()), unknown: false }
    }

    /// Both families.
    pub fn parts(&self) -> [&Part<T>; 2] {
        [&self.v4, &self.v6]
    }

    /// Whether something was found.
    pub fn is_found(&self) -> bool {
        self.parts().iter().any(|part| !part.found.is_empty())
    }

    /// Why there is nothing, in words; `None` where there is something.
    pub fn problem(&self) -> Option<String> {
        if self.is_found() {
            return None;
        }
        let failure = self.parts().into_iter().find_map(|part| part.failed.as_ref());
        Some(match failure {
            Some(failure) => failure.to_string(),
            None if self.unknown => "there is no such name".to_owned(),
            None => "the name has no address".to_owned(),
        })
    }
}

impl DnsAnswer<IpAddr> {
    /// The same with a port.
    pub fn at(self, port: u16) -> DnsAnswer<FoundPlace> {
        let part = |part: Part<IpAddr>| Part {
            found: part
                .found
                .into_iter()
                .map(|ip| FoundPlace { address: (ip, port).into(), weight: 1, backup: false })
                .collect(),
            failed: part.failed,
        };
        DnsAnswer { v4: part(self.v4), v6: part(self.v6), unknown: self.unknown }
    }
}

impl DnsAnswer<FoundPlace> {
    /// Without what `wanted` does not take.
    pub fn only(mut self, mut wanted: impl FnMut(SocketAddr) -> bool) -> Self {
        self.v4.found.retain(|place| wanted(place.address));
        self.v6.found.retain(|place| wanted(place.address));
        self
    }
}

impl fmt::Display for DnsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("no DNS server has answered"),
            Self::Refused(why) => write!(f, "DNS: {why}"),
        }
    }
}
