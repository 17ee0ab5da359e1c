//! What a client may take, in time and bytes. Decides the bounds of these limits; called by [`crate::config::top`]; never
//! enforces them.

use std::time::Duration;

use ipnet::IpNet;

use super::http2;
use super::network::networks;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::units::{DURATION_MAX, DURATION_MIN};

/// Limits towards clients.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientLimits {
    /// Whole header section, from its first byte.
    pub header_timeout: Duration,
    /// Idle between requests, and before the first byte.
    pub keep_alive_timeout: Duration,
    /// Silence between two pieces of a request body, or a client that takes nothing of a response.
    pub body_timeout: Duration,
    /// Bytes a second a request body must reach over ten seconds of waiting for it; 0: no floor.
    pub body_rate_min: u64,
    /// The same of a response that waits for its client.
    pub response_rate_min: u64,
    /// Bytes of request line and header section.
    pub header_bytes_max: usize,
    /// Bytes of a request body.
    pub body_bytes_max: u64,
    /// What happens to names that a CGI-like worker may read as another field's.
    pub ambiguous_fields: AmbiguousFields,
    /// Protocols that become a tunnel, in lower case; at most [`UPGRADES_MAX`].
    pub upgrades: Vec<String>,
    /// Whether every response tells the id under which the log has its request.
    pub expose_request_id: bool,
    /// Whether clients may speak HTTP/2 without TLS, with prior knowledge.
    pub h2c: bool,
    /// Proxies in front of us that tell the client of each connection by the PROXY protocol.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// What happens to a request field whose name a CGI-like worker may read as another's (`X_Forwarded_For`): one with a byte besides
/// letters, digits and `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmbiguousFields {
    /// Not forwarded.
    Drop,
    /// Answered 400.
    Refuse,
    /// Forwarded as it came.
    Pass,
}

/// The limits at the top level of the file.
pub(in crate::config) fn read(section: &mut Section<'_>, default: ClientLimits) -> ClientLimits {
    let mut duration = |key, default| {
        let item = section.take(key);
        item.and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX)).unwrap_or(default)
    };
    let header_timeout = duration("header_timeout", default.header_timeout);
    let keep_alive_timeout = duration("keep_alive_timeout", default.keep_alive_timeout);
    let body_timeout = duration("body_timeout", default.body_timeout);

    let mut size = |key, range| section.take(key).and_then(|item| item.size(range));
    let body_rate_min = size("body_rate_min", 0..=RATE_MAX).unwrap_or(default.body_rate_min);
    let response_rate_min = size("response_rate_min", 0..=RATE_MAX).unwrap_or(default.response_rate_min);
    let header_bytes_max = size("header_bytes_max", HEADER_BYTES_MIN..=HEADER_BYTES_MAX);
    let body_bytes_max = size("body_bytes_max", 0..=BODY_BYTES_MAX).unwrap_or(default.body_bytes_max);

    let words =
        &[("drop", AmbiguousFields::Drop), ("refuse", AmbiguousFields::Refuse), ("pass", AmbiguousFields::Pass)];
    let ambiguous_fields = section.take("ambiguous_fields").and_then(|item| item.choice(words));
    let upgrades = section.take("upgrades").and_then(|item| upgrades(&item));
    let expose_request_id = section.take("expose_request_id").and_then(|item| item.flag());
    let proxy_protocol_from = section.take("proxy_protocol_from").and_then(|item| networks(&item));
    let h2c = http2::read(section, "h2c");
    ClientLimits {
        header_timeout,
        keep_alive_timeout,
        body_timeout,
        body_rate_min,
        response_rate_min,
        header_bytes_max: header_bytes_max.map_or(default.header_bytes_max, |bytes| bytes as usize),
        body_bytes_max,
        ambiguous_fields: ambiguous_fields.unwrap_or(default.ambiguous_fields),
        upgrades: upgrades.unwrap_or(default.upgrades),
        expose_request_id: expose_request_id.unwrap_or(default.expose_request_id),
        h2c: h2c.unwrap_or(default.h2c),
        proxy_protocol_from: proxy_protocol_from.unwrap_or(default.proxy_protocol_from),
    }
}

fn upgrades(item: &Item<'_>) -> Option<Vec<String>> {
    let items = item.list("[\"websocket\"]")?;
    if items.len() > UPGRADES_MAX {
        item.wrong(format!("{} protocols are too many", items.len()), format!("{UPGRADES_MAX} are the most"));
    }
    let mut upgrades: Vec<String> = Vec::new();
    for item in &items {
        let Some(protocol) = protocol(item) else { continue };
        if upgrades.contains(&protocol) {
            item.wrong(format!("{} is there twice", quote(&protocol)), "keep one of the two");
        }
        upgrades.push(protocol);
    }
    Some(upgrades)
}

/// A protocol as `Upgrade` names it (RFC 9110 §7.8), with its version where it has one.
fn protocol(item: &Item<'_>) -> Option<String> {
    let protocol = item.text("\"websocket\"")?.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let parts = || protocol.split('/');
    if !parts().all(|part| !part.is_empty() && part.bytes().all(is_token)) || parts().count() > 2 {
        item.wrong(format!("{} is not a protocol", quote(&protocol)), "write its name alone, as in \"websocket\"");
        return None;
    }
    let name = parts().next().unwrap_or_default();
    // Requests inside would pass routes, limits and the log unseen; `TLS` hides them too (RFC 2817).
    if matches!(name, "h2c" | "h2" | "http" | "tls") {
        let message = format!(
            "{} cannot become a tunnel: requests inside would pass routes, limits and the log unseen",
            quote(&protocol)
        );
        item.wrong(message, "leave it out; clients go on in HTTP/1.1 without it");
        return None;
    }
    Some(protocol)
}

/// Each is a bit of a byte; one or two are used.
const UPGRADES_MAX: usize = 8;

/// A floor above a gigabyte a second would cut every client.
const RATE_MAX: u64 = 1 << 30;

/// A target of 8,000 bytes must fit (RFC 9112 §3), and a line more.
const HEADER_BYTES_MIN: u64 = 8 << 10;

/// Every connection may hold this much.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// A body above it was hardly meant.
const BODY_BYTES_MAX: u64 = 1 << 40;
