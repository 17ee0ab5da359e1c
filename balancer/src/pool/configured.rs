//! What the configuration says of a pool, for whoever serves its requests. Decides nothing; called by `forward` and `supervise`. Never
//! changes: a reload makes a successor.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Pool;
use super::affinity::Affinity;
use super::key::RoutingKey;
use crate::config::{self, ProxyProtocol, UpstreamTimeouts};
use crate::http1::Fields;

impl Pool {
    /// Whether a worker that does not answer within the time for that is to be replaced.
    pub fn hangs(&self) -> bool {
        self.hangs
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What a request's endpoint may depend on.
    pub fn policy(&self) -> &config::Policy {
        &self.policy
    }

    /// How a client is kept at its endpoint.
    pub fn affinity(&self) -> Option<&Affinity> {
        self.affinity.as_ref()
    }

    /// Time limits towards its endpoints.
    pub fn timeouts(&self) -> &UpstreamTimeouts {
        &self.timeouts
    }

    /// How endpoints are told who the client of a connection is.
    pub fn proxy_protocol(&self) -> Option<ProxyProtocol> {
        self.proxy_protocol
    }

    /// Whether its endpoints are spoken to in HTTP/2.
    pub fn speaks_http2(&self) -> bool {
        self.http2
    }

    /// What is held for a slow client.
    pub fn buffers(&self) -> config::Buffers {
        self.buffers
    }

    /// Tries for one request.
    pub fn attempts_max(&self) -> u32 {
        self.attempts_max
    }

    /// Idle connections kept per endpoint and proxy thread.
    pub fn idle_connections_max(&self) -> usize {
        self.idle_connections_max
    }

    /// How long tunnels may go on when their worker is to be replaced, as the latest successor has it.
    pub fn tunnel_drain(&self) -> Duration {
        self.members.load().tunnel_drain()
    }

    /// What of a request for `target` its endpoint depends on.
    pub fn routing_key(&self, target: &str, fields: &Fields, client: Option<IpAddr>) -> RoutingKey {
        RoutingKey::of((self.policy(), self.affinity()), target, fields, client)
    }
}
