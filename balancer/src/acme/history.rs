//! What has become of the orders for a name, and what follows from it for the next one. Pure.
//!
//! A CA counts orders that fail, and shuts out who has too many of them: Let's Encrypt after five within an hour. So the second challenge is
//! tried at once, and everything behind that at a directory for tries where there is one, and ever more rarely.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::failure::OrderReason;
use crate::config::AcmeDirectory;

/// How a CA finds out whether a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Challenge {
    /// By a handshake at port 443 (RFC 8737).
    TlsAlpn01,
    /// By a request at port 80 (RFC 8555 §8.3).
    Http01,
}

impl Challenge {
    /// Those that can be answered, the best first.
    pub(super) fn usable(plain: bool) -> &'static [Self] {
        if plain { &[Self::TlsAlpn01, Self::Http01] } else { &[Self::TlsAlpn01] }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }

    /// The port at which the CA asks.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::TlsAlpn01 => 443,
            Self::Http01 => 80,
        }
    }
}

/// The orders for a name since the last certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OrderHistory {
    /// Which challenge went well the last time.
    first: usize,
    /// Challenges that were refused.
    refused: usize,
    /// Times it was waited for longer and longer.
    waits: u32,
    /// Orders in a row that a number from the CA has ended.
    nonces: u32,
    /// Whether the last order was one for trial, and went well.
    rehearsed: bool,
}

impl OrderHistory {
    /// What the next order is asked by.
    pub(super) fn challenge(&self, usable: &[Challenge]) -> Challenge {
        usable.get((self.first + self.refused) % usable.len().max(1)).copied().unwrap_or(Challenge::TlsAlpn01)
    }

    /// The directory of the next order. After a failure at Let's Encrypt it is its directory for tries, until an order there goes well.
    pub(super) fn directory<'a>(&self, configured: &'a AcmeDirectory) -> &'a AcmeDirectory {
        match configured {
            AcmeDirectory::LetsEncrypt if self.waits > 0 && !self.rehearsed => &AcmeDirectory::Staging,
            configured => configured,
        }
    }

    /// Whether nothing has failed since the last certificate.
    pub(super) fn is_clean(&self) -> bool {
        self.refused == 0 && self.waits == 0
    }

    /// The same after a certificate: the challenge that went well comes first.
    pub(super) fn succeeded(&self) -> Self {
        Self { first: self.first + self.refused, ..Self::default() }
    }

    /// An order for trial went well: the next one counts.
    pub(super) fn rehearsed(&mut self) {
        self.rehearsed = true;
    }

    /// An order has failed; how long it is waited until the next one.
    pub(super) fn failed(&mut self, reason: OrderReason, usable: &[Challenge], rng: &mut impl Rng) -> Duration {
        self.nonces = if reason == OrderReason::Nonce { self.nonces + 1 } else { 0 };
        if (1..=NONCES_MAX).contains(&self.nonces) {
            return NONCE_WAIT;
        }
        self.rehearsed = false;
        if reason == OrderReason::Refused {
            self.refused += 1;
            if !self.refused.is_multiple_of(usable.len().max(1)) {
                return Duration::ZERO;
            }
        }
        let doubled = WAIT_MIN.saturating_mul(1 << self.waits.min(DOUBLINGS_MAX)).min(WAIT_MAX);
        self.waits += 1;
        let least = if reason == OrderReason::Limited { LIMITED_MIN } else { Duration::ZERO };
        doubled.max(least).mul_f64(rng.random_range(JITTER_FLOOR..=1.0))
    }
}

/// A CA that has lost its own numbers, as one of many servers does that starts, knows the next ones.
const NONCE_WAIT: Duration = Duration::from_secs(1);
const NONCES_MAX: u32 = 3;
/// The first wait: whoever has just made a name lead here sees it work soon.
const WAIT_MIN: Duration = Duration::from_secs(10);
/// The longest.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// As many as lead there.
const DOUBLINGS_MAX: u32 = 14;
/// A CA that says "too often" counts by the hour.
const LIMITED_MIN: Duration = Duration::from_secs(4 * 3600 / 3);
/// So that names that have failed together do not come back together.
const JITTER_FLOOR: f64 = 0.75;

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
