//! What a request asks of a queue, and what it gets.

use std::time::Duration;

use super::forecast::Kind;
use super::grant::Grant;
use crate::endpoint::EndpointId;
use crate::net::Client;
use crate::pool::key::RoutingKey;

/// What a request asks for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Where it would like to go.
    pub routing: RoutingKey,
    /// Where it should not go again.
    pub tried: &'a [EndpointId],
    /// What kind of request it is.
    pub kind: Kind,
    /// Who asks, where that is known to be one client.
    pub client: Option<Client>,
    /// Its turn, when it has had a place before; 0 at first.
    pub turn: u64,
    /// Whether its client sends on while it has a place, however slowly.
    pub streams: bool,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// For what reason.
    pub reason: Reason,
    /// Seconds after which it may be worth another try.
    pub retry_after: u16,
}

/// For what reason a request does not get a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `queue_max` requests wait, or too many of the same client.
    QueueFull,
    /// It has waited for `queue_timeout`.
    QueueTimeout,
    /// It would have waited too long, or has made room for newer ones.
    Shed,
}

/// What a request gets at once.
#[derive(Debug)]
pub(in crate::pool) enum Claimed {
    Place(Grant, u64),
    /// A turn, how long it may wait, and after what time it may take what it may not take yet.
    Turn(u64, Duration, Option<Duration>),
    Refused(Refused),
}

/// The figures an operator looks at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Requests that wait.
    pub queued: usize,
    /// Requests that may wait.
    pub queue_max: usize,
    /// The client of which as many wait as may of one, and how many those are.
    pub crowd: Option<(Client, usize)>,
    /// How long the first of them has waited.
    pub longest_wait: Duration,
    /// Places in use.
    pub slots_used: usize,
    /// Places in all.
    pub slots: usize,
    /// Places at each endpoint.
    pub slots_each: usize,
}
