//! `[pool.NAME]`. Decides what a pool is made of; called by [`crate::config::top`]; never compares pools with each other.

use std::time::Duration;

use super::dns::Dns;
use super::endpoint::Endpoint;
use super::health::Health;
use super::identity::Identity;
use super::policy::{Affinity, Policy};
use super::proxy_protocol::ProxyProtocol;
use super::question::Question;
use super::queue::{Buffers, Slots};
use super::ready::Ready;
use super::spoken::Spoken;
use super::upstream_tls::UpstreamTls;
use super::workers::Workers;
use super::{dns, endpoint, health, policy, queue, sharing, spoken, workers};
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::span::{Placed, Span};
use crate::config::syntax::units::{DURATION_MAX, DURATION_MIN, show_duration};

/// A named group of interchangeable endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its name, `[a-zA-Z0-9_-]+`.
    pub name: String,
    /// How an endpoint is picked.
    pub policy: Policy,
    /// Same client, same endpoint.
    pub affinity: Option<Affinity>,
    /// Fixed endpoints; may be empty when there are workers or a name.
    pub endpoints: Vec<Endpoint>,
    /// A name whose addresses are endpoints too, and how names are asked for.
    pub dns: Dns,
    /// Processes we start.
    pub workers: Option<Workers>,
    /// At most so many requests at an endpoint, and the queue of the others; `None`: no limit and no queue.
    pub slots: Option<Slots>,
    /// How long requests wait where nobody takes them; see [`Self::ready_wait`].
    pub ready_wait: Option<Duration>,
    /// How many do at most.
    pub waiting_max: usize,
    /// What is held for a slow client.
    pub buffers: Buffers,
    /// Time limits towards endpoints.
    pub timeouts: UpstreamTimeouts,
    /// Whether endpoints are spoken to in HTTP/2.
    pub http2: bool,
    /// How they are spoken to in TLS; `None`: without.
    pub tls: Option<UpstreamTls>,
    /// How endpoints are told who the client of a connection is; then no two clients share one.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Tries for one request; at least 1.
    pub attempts_max: u32,
    /// Retries of what was sent, as a share of requests, 0.0 to 1.0 and above (ten a second are always allowed).
    pub retry_budget: f64,
    /// Idle connections kept per endpoint and proxy thread.
    pub idle_connections_max: usize,
    /// How endpoints are judged.
    pub health: Health,
}

/// Time limits towards endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTimeouts {
    /// To open a connection.
    pub connect: Duration,
    /// From the end of the request to the response's header section.
    pub response: Duration,
    /// Silence between two pieces of a response body, or an endpoint that takes nothing of a request body.
    pub idle: Duration,
    /// Everything, all attempts.
    pub request: Option<Duration>,
    /// A tunnel through which nothing goes.
    pub tunnel_idle: Option<Duration>,
    /// How long an idle upstream connection is kept for the next request.
    pub keep_alive: Duration,
    /// How long WebSockets and other tunnels may go on when their worker is to be replaced; then it is told to stop.
    pub tunnel_drain: Duration,
}

impl Pool {
    /// How long requests wait where nobody takes them: workers may all be starting, and a name have no address for a moment; fixed
    /// endpoints are not waited for.
    pub fn ready_wait(&self) -> Duration {
        let come_and_go = self.workers.is_some() || self.dns.name.is_some();
        self.ready_wait.unwrap_or(if come_and_go { READY_WAIT } else { Duration::ZERO })
    }

    /// Whether it takes requests from us; if not, its workers are programs without HTTP, or have an address of their own.
    pub fn serves(&self) -> bool {
        self.workers.as_ref().is_none_or(Workers::serves)
    }

    /// Whether its workers would be root's, where we are root: neither they nor `ours` become another account.
    pub fn runs_as_root(&self, ours: &Identity) -> bool {
        let is_root = |identity: &Identity| identity.user.as_deref().is_none_or(|user| matches!(user, "root" | "0"));
        self.workers.as_ref().is_some_and(|workers| is_root(ours) && is_root(&workers.identity))
    }

    /// What is to be said of that.
    pub const AS_ROOT: &'static str = "its workers run as root; write user = \"…\" at the top of the file, for balancer and workers, or below its workers, for these alone";

    /// Whether requests for it would come through us.
    pub fn is_proxied(&self) -> bool {
        self.workers.as_ref().is_none_or(|workers| workers.sharing.is_none())
    }
}

/// A pool and the places other tables are compared with.
pub(in crate::config) struct PlacedPool {
    pub(in crate::config) pool: Pool,
    /// Its name.
    pub(in crate::config) span: Span,
    /// One for each of its endpoints.
    pub(in crate::config) endpoints: Vec<Span>,
    /// The value of `first_port`.
    pub(in crate::config) first_port: Option<Span>,
    /// The value of its workers' `address`.
    pub(in crate::config) address: Option<Span>,
}

/// Every `[pool.NAME]`, in the order of the file.
pub(in crate::config) fn read_all(section: &mut Section<'_>) -> Vec<PlacedPool> {
    let help = "write a [pool.app] with `endpoints`, or a [pool.app.workers] with `command`";
    let Some(item) = section.take("pool") else {
        section.missing(&["pool"], "there is no pool to pass requests to".to_owned(), help);
        return Vec::new();
    };
    let Some(table) = item.section("pool", "[pool.app]: a pool has a name") else { return Vec::new() };
    let items = table.entries();
    if items.is_empty() {
        section.missing(&["pool"], "there is no pool to pass requests to".to_owned(), help);
    }
    items.iter().filter_map(read).collect()
}

fn read(item: &Item<'_>) -> Option<PlacedPool> {
    let name = name_of(item)?;
    let default = Pool::new(name);
    let Some(mut section) = item.section("pool.NAME", "[pool.app], with single brackets") else {
        // The name is good for routes all the same.
        let (pool, span) = (default, item.key_span.clone());
        return Some(PlacedPool { pool, span, endpoints: Vec::new(), first_port: None, address: None });
    };

    let policy = policy::read(&mut section, default.policy);
    let affinity = policy::affinity(&mut section);
    let endpoints: Vec<Placed<Endpoint>> = endpoint::read_all(&mut section);
    let named = endpoints.iter().any(|endpoint| endpoint.value.has_name());
    let dns = dns::read(&mut section, default.dns, named);
    let workers_item = section.take("workers");
    if workers_item.is_none() {
        need_endpoints(&mut section, name);
    }
    let workers = workers_item.as_ref().and_then(workers::read);
    sharing::of_pool(&mut section, workers.as_ref().and_then(|read| read.workers.sharing), &policy);
    let ready_wait = section.take("ready_wait").and_then(|item| item.duration(Duration::ZERO..=READY_WAIT_MAX));
    let waits = ready_wait.is_some() || workers_item.is_some() || dns.name.is_some();
    let (slots, waiting_max, buffers) = queue::read(&mut section, waits);
    let timeouts = timeouts(&mut section, default.timeouts);
    let of_workers = workers.as_ref().is_some_and(|read| read.workers.socket);
    let at_sockets = of_workers || endpoints.iter().any(|endpoint| endpoint.value.is_socket());
    let Spoken { tls, http2, proxy_protocol } = spoken::read(&mut section, item, at_sockets);
    if let (Some(item), Some(read)) = (&workers_item, &workers) {
        hang_within(item, &read.workers, timeouts.response);
    }
    let attempts_max = section.take("attempts_max").and_then(|item| item.integer(1..=ATTEMPTS_MAX));
    let retry_budget = section.take("retry_budget").and_then(|item| item.percent(RETRY_BUDGET_MAX));
    let idle_connections_max =
        section.take("idle_connections_max").and_then(|item| item.integer(0..=IDLE_CONNECTIONS_MAX));
    let health = health::read(&mut section, default.health);
    section.finish();

    let (first_port, address) =
        workers.as_ref().map_or((None, None), |read| (read.first_port.clone(), read.address.clone()));
    let workers = workers.map(|read| read.workers);
    let (spans, endpoints) = endpoints.into_iter().map(|endpoint| (endpoint.span, endpoint.value)).unzip();
    let mut pool = Pool {
        name: name.to_owned(),
        policy,
        affinity,
        endpoints,
        dns,
        workers,
        slots,
        ready_wait,
        waiting_max,
        buffers,
        timeouts,
        proxy_protocol,
        http2,
        tls,
        attempts_max: attempts_max.unwrap_or(default.attempts_max),
        retry_budget: retry_budget.unwrap_or(default.retry_budget),
        idle_connections_max: idle_connections_max.unwrap_or(default.idle_connections_max),
        health,
    };
    questions(&mut pool).for_each(|question| (question.announced, question.http2) = (proxy_protocol, http2));
    if questions(&mut pool).any(|question| question.grpc.is_some()) && !http2 {
        item.key_wrong(format!("the probe of pool {} asks in gRPC", quote(name)), "add `http2 = true` to the pool");
    }
    Some(PlacedPool { pool, span: item.key_span.clone(), endpoints: spans, first_port, address })
}

/// The name of a pool. One that is badly written is a mistake, and a name for routes all the same.
fn name_of<'a>(item: &Item<'a>) -> Option<&'a str> {
    let name = item.key;
    if !item.holds_tables() {
        item.key_wrong(
            format!("`pool` holds pools by name, {} is none", quote(name)),
            "write it below a header [pool.app]",
        );
        return None;
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(fits) {
        let help = format!("write 1 to {NAME_MAX} letters, digits, `-` and `_`, as in [pool.app]");
        item.key_wrong(format!("{} cannot be the name of a pool", quote(name)), help);
    }
    Some(name)
}

/// Whatever is asked of its endpoints besides requests of clients.
fn questions(pool: &mut Pool) -> impl Iterator<Item = &mut Question> {
    let probe = pool.health.probe.as_mut().and_then(|probe| probe.question.as_mut());
    let (ready, warm_up) = match &mut pool.workers {
        Some(Workers { ready: Ready::Answer(ready) | Ready::Path(ready), warm_up, .. }) => {
            (Some(ready), warm_up.as_mut())
        }
        Some(Workers { warm_up, .. }) => (None, warm_up.as_mut()),
        None => (None, None),
    };
    [probe, ready, warm_up.map(|warm_up| &mut warm_up.question)].into_iter().flatten()
}

/// A pool without workers has endpoints, or a name that leads to them.
fn need_endpoints(section: &mut Section<'_>, name: &str) {
    if section.take("endpoints").is_none() && section.take("dns").is_none() {
        let help = "add `endpoints` for addresses that are there, `dns` for a name that has them, or a table `workers` for \
                    processes we start";
        section.missing(
            &["endpoints", "dns", "workers", "command"],
            format!("pool {} has neither endpoints nor workers", quote(name)),
            help,
        );
    }
}

/// A worker has hung before its requests are given up.
fn hang_within(item: &Item<'_>, workers: &Workers, response_timeout: Duration) {
    let hang_timeout = workers.recycle.hang_timeout.filter(|hang_timeout| *hang_timeout > response_timeout);
    if let Some(hang_timeout) = hang_timeout {
        let (hang, response) = (show_duration(hang_timeout), show_duration(response_timeout));
        let message = format!("`hang_timeout` is \"{hang}\", above `response_timeout`, \"{response}\"");
        item.key_wrong(message, "no request lives so long: write at most that, or a longer `response_timeout`");
    }
}

fn timeouts(section: &mut Section<'_>, default: UpstreamTimeouts) -> UpstreamTimeouts {
    let mut duration = |key| section.take(key).and_then(|item: Item<'_>| item.duration(DURATION_MIN..=DURATION_MAX));
    UpstreamTimeouts {
        connect: duration("connect_timeout").unwrap_or(default.connect),
        response: duration("response_timeout").unwrap_or(default.response),
        idle: duration("idle_timeout").unwrap_or(default.idle),
        request: duration("request_timeout").or(default.request),
        tunnel_idle: duration("tunnel_idle_timeout").or(default.tunnel_idle),
        keep_alive: duration("keep_alive_timeout").unwrap_or(default.keep_alive),
        tunnel_drain: section
            .take("tunnel_drain_timeout")
            .and_then(|item| item.duration(Duration::ZERO..=DURATION_MAX))
            .unwrap_or(default.tunnel_drain),
    }
}

/// Where nothing is said and there are workers or a name.
const READY_WAIT: Duration = Duration::from_secs(5);

/// No client waits longer.
const READY_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Characters of a name, which stands before every line of a worker's output and in every metric.
const NAME_MAX: usize = 64;

/// More tries only make an outage worse.
const ATTEMPTS_MAX: u32 = 16;

/// Ten retries for each request.
const RETRY_BUDGET_MAX: f64 = 10.0;

/// Each holds a descriptor here and a place at the endpoint.
const IDLE_CONNECTIONS_MAX: usize = 65_536;
