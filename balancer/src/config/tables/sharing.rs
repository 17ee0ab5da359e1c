//! `mode` and `address` of workers: connections that reach them without passing through us.
//!
//! Decides which other keys still mean something then; called by [`super::workers`] and [`super::pool`]; never opens a socket.

use std::fmt;
use std::net::SocketAddr;

use super::listen;
use super::policy::{HashKey, Policy};
use super::ready::Ready;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::span::Placed;

/// A place of their own where workers take connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// How a connection comes to one of them.
    pub mode: Mode,
    /// Where clients connect.
    pub address: SocketAddr,
}

/// How a connection comes to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every worker has our listening socket as its descriptor 3 and accepts from it: the kernel decides.
    Shared,
    /// Every worker listens on the same address by SO_REUSEPORT: the kernel decides by a hash of both addresses.
    ReusePort,
    /// We accept, pick a worker by the pool's policy and pass it the connection; it is the worker's from there on.
    Handoff,
}

impl Mode {
    /// Whether it is us who pick the worker.
    pub fn picks(self) -> bool {
        self == Self::Handoff
    }

    /// What balancer does not do for connections that come so.
    pub fn cannot(self) -> &'static str {
        match self {
            Self::Shared | Self::ReusePort => {
                "the kernel picks a worker for each connection; balancer sees no request: no routes, queue, retries, time limits, \
                 access log or refusal of hostile messages"
            }
            Self::Handoff => {
                "balancer picks a worker for each connection and sees no request: no routes, retries, time limits, access log or \
                 refusal of hostile messages"
            }
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::ReusePort => "reuse_port",
            Self::Handoff => "handoff",
        })
    }
}

/// The keys `mode` and `address`, and what does not go with them; `ready` is what was read of that key.
pub(super) fn read(section: &mut Section<'_>, ready: Option<&Ready>) -> Option<Placed<Sharing>> {
    let words = &[
        ("proxy", None),
        ("shared", Some(Mode::Shared)),
        ("reuse_port", Some(Mode::ReusePort)),
        ("handoff", Some(Mode::Handoff)),
    ];
    let mode = section.take("mode");
    let address = section.take("address");
    let Some(item) = mode else {
        if let Some(address) = address {
            let help = "add mode = \"shared\", \"reuse_port\" or \"handoff\"; or write the address into `listen`, at the top of the file";
            address.key_wrong("`address` has no effect without `mode`", help);
        }
        return None;
    };
    let Some(mode) = item.choice(words)? else {
        if let Some(address) = address {
            address.key_wrong(
                "with mode = \"proxy\" clients connect where `listen` says",
                "write the address into `listen`, at the top of the file",
            );
        }
        return None;
    };
    for (key, why) in IDLE_OF_WORKERS {
        if let Some(item) = section.take(key) {
            item.key_wrong(format!("`{key}` has no effect with mode = \"{mode}\": {why}"), "leave it out");
        }
    }
    let Some(address) = address else {
        let message = format!("with mode = \"{mode}\" the workers need an `address` of their own");
        section.missing(&["address"], message, "write where clients connect, as in address = \"0.0.0.0:8080\"");
        return None;
    };
    let item = section.take("ready");
    readiness(section, mode, item.as_ref(), ready);
    let value = listen::tcp(&address)?;
    if value.port() == 0 && mode == Mode::ReusePort {
        address.wrong("every worker has to listen on the same port", "write it, as in \"0.0.0.0:8080\"");
        return None;
    }
    Some(Placed { span: address.span, value: Sharing { mode, address: value } })
}

/// What readiness may be told by.
fn readiness(section: &Section<'_>, mode: Mode, item: Option<&Item<'_>>, ready: Option<&Ready>) {
    match (mode, item, ready) {
        (Mode::Shared, None, _) => section.missing(
            &["ready"],
            "mode = \"shared\" needs `ready`: whoever answers at the address may be another worker".to_owned(),
            "write ready = { line = \"Listening\" }, a text that each worker prints, or ready = { alive = \"2s\" }, a time after \
             which it can be taken as ready",
        ),
        (_, Some(item), Some(Ready::Connect)) => {
            item.wrong(
                format!("with mode = \"{mode}\" a connection is no sign of a worker: the kernel takes it for all of them"),
                "write { line = \"Listening\" } or { alive = \"2s\" }",
            );
        }
        (Mode::Shared | Mode::ReusePort, Some(item), Some(Ready::Path(_) | Ready::Answer(_))) => {
            item.wrong(
                format!("with mode = \"{mode}\" the kernel picks who answers, which may be another worker"),
                "write { line = \"Listening\" } or { alive = \"2s\" }",
            );
        }
        _ => {}
    }
}

/// What of a pool has no effect where its workers have an address of their own.
pub(super) fn of_pool(section: &mut Section<'_>, sharing: Option<Sharing>, policy: &Policy) {
    let Some(Sharing { mode, .. }) = sharing else { return };
    for key in IDLE_OF_POOLS {
        if let Some(item) = section.take(key) {
            item.key_wrong(
                format!("`{key}` has no effect with mode = \"{mode}\": {}", mode.cannot()),
                "leave it out, or leave `mode` and `address` out",
            );
        }
    }
    for key in OF_WHO_PICKS {
        if let Some(item) = section.take(key).filter(|_| !mode.picks()) {
            item.key_wrong(
                format!("`{key}` has no effect with mode = \"{mode}\": the kernel picks"),
                "leave it out, or write mode = \"handoff\"",
            );
        }
    }
    if let Some(item) = section.take("hash_key")
        && mode.picks()
        && !matches!(policy, Policy::Hash(HashKey::ClientIp))
    {
        item.wrong(
            "with mode = \"handoff\" only the client's address is known before a worker is picked",
            "write hash_key = \"client_ip\", or leave it out",
        );
    }
}

/// Keys of workers that are about ports of theirs, or about requests that we would have to see.
const IDLE_OF_WORKERS: [(&str, &str); 7] = [
    ("first_port", "all workers have the one address"),
    ("socket", "all workers have the one address"),
    ("listener", "all workers have the one address"),
    ("warm_up", "balancer sends them no requests"),
    ("requests_max", "balancer sees no request"),
    ("hang_timeout", "balancer sees no request"),
    ("query_of_death", "balancer sees no request"),
];

/// Keys of pools that are about picking a worker, and waiting for one.
const OF_WHO_PICKS: [&str; 3] = ["policy", "ready_wait", "queue_max"];

/// Keys of pools that are about requests.
const IDLE_OF_POOLS: [&str; 27] = [
    "affinity",
    "endpoints",
    "dns",
    "slots",
    "queue_timeout",
    "slow_lane",
    "shed",
    "connect_timeout",
    "response_timeout",
    "idle_timeout",
    "request_timeout",
    "tunnel_idle_timeout",
    "tunnel_drain_timeout",
    "keep_alive_timeout",
    "attempts_max",
    "retry_budget",
    "buffer_request",
    "buffer_response",
    "eject_after",
    "eject_time",
    "panic_threshold",
    "slow_start",
    "idle_connections_max",
    "probe",
    "dns_interval",
    "dns_hold",
    "tls",
];
