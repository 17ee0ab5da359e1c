//! Words for what workers die of: what is asked, who has died, what is refused to whom. Decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;

use crate::endpoint::EndpointId;
use crate::net::Client;

/// What was asked, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query.
    pub path: &'a str,
    /// Who sent it; those without an address count as one.
    pub client: Option<Client>,
}

/// From now on these are refused for a minute.
#[derive(Debug, PartialEq, Eq)]
pub struct DeathRefusal {
    /// Their method.
    pub method: Method,
    /// Their path.
    pub path: String,
    /// Who is refused.
    pub whom: Whom,
    /// The deaths that led to it, oldest first.
    pub deaths: Vec<Led>,
}

/// Who is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// That client, or those without an address.
    Client(Option<Client>),
    /// That client, however it spells the path, with what is like it.
    Spellings(Client),
    /// Whoever asks.
    Everybody,
}

/// What is refused at this moment.
#[derive(Debug, PartialEq, Eq)]
pub struct Barred {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Who is refused.
    pub whom: Whom,
    /// Until when.
    pub until: Instant,
    /// Workers that died of it.
    pub deaths: usize,
}

/// One of the deaths that led to a refusal.
#[derive(Debug, PartialEq, Eq)]
pub struct Led {
    /// The worker that died, for people.
    pub worker: Arc<str>,
    /// How long ago.
    pub ago: Duration,
    /// Who had sent the request that it had in flight.
    pub client: Option<Client>,
    /// The id of that request.
    pub id: [u8; 32],
}

/// A worker that has died.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) worker: EndpointId,
    pub(super) named: Arc<str>,
}
