//! Every default, once. Decides what holds where the file is silent; called by the readers of the tables and by
//! whoever builds a [`Config`] without a file; never reads one.
//!
//! `deploy/lb.example.toml` shows the same values to the operator, and a test compares the two.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use super::top::THREADS_MAX;
use super::*;

impl Config {
    /// One pool behind one listener, everything else at its default.
    pub fn new(listen: ListenAddress, pool: Pool) -> Self {
        Self {
            listen: vec![listen],
            threads: thread::available_parallelism().map_or(1, |count| count.get().min(THREADS_MAX)),
            connections_max: None,
            tls: Tls::default(),
            client: ClientLimits::default(),
            spool: Spool { directory: None, bytes_max: 1 << 30 },
            drain_timeout: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            state_dir: None,
            identity: Identity::default(),
            routes: vec![Route::all(pool.name.clone())],
            pools: vec![pool],
            access_log: AccessLog::default(),
            admin: Admin::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            acme: Acme::default(),
            client_ca: None,
            client_auth: ClientAuth::Require,
            redirect_https: true,
            http2: cfg!(feature = "http2"),
            hsts: None,
        }
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            // Longer than the 60 s of cloud load balancers: whoever closes first must be the one who sends.
            keep_alive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            body_rate_min: 500,
            response_rate_min: 500,
            header_bytes_max: 32 << 10,
            body_bytes_max: 100 << 20,
            ambiguous_fields: AmbiguousFields::Drop,
            upgrades: vec!["websocket".to_owned()],
            expose_request_id: false,
            h2c: false,
            proxy_protocol_from: Vec::new(),
        }
    }
}

impl Pool {
    /// A pool called `name` with neither endpoints nor workers yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            policy: Policy::RoundRobin,
            affinity: None,
            endpoints: Vec::new(),
            dns: Dns::default(),
            workers: None,
            slots: None,
            ready_wait: None,
            waiting_max: 1_024,
            buffers: Buffers::with_slots(false),
            timeouts: UpstreamTimeouts::default(),
            proxy_protocol: None,
            http2: false,
            tls: None,
            attempts_max: 3,
            retry_budget: 0.2,
            // With fewer, 4,000 clients at once had most requests open a connection: a fifth of the throughput (measured). They are
            // kept for `keep_alive` only.
            idle_connections_max: 4_096,
            health: Health::default(),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self { name: None, interval: Duration::from_secs(2), hold: Duration::from_secs(30) }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            eject_after: 5,
            eject_time: Duration::from_secs(10),
            panic_threshold: 0.5,
            slow_start: Duration::ZERO,
            probe: None,
        }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            question: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            status: StatusSet::of(&[200..=399]),
        }
    }
}

impl Slots {
    /// So many requests at once per endpoint, and the default queue.
    pub fn new(count: usize) -> Self {
        Self { count, queue_max: 1_024, queue_timeout: Duration::from_secs(5), slow_lane: true, shed: Shed::Fifo }
    }
}

impl Buffers {
    /// Those of a pool with slots, where a slow client would hold a worker, or of one without.
    pub fn with_slots(slots: bool) -> Self {
        let bytes = if slots { 1 << 20 } else { 0 };
        Self { request: bytes, response: bytes }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            request: None,
            tunnel_idle: None,
            // Below the 2 s of gunicorn and the 5 s of Node: whoever closes first must be us.
            keep_alive: Duration::from_millis(1500),
            tunnel_drain: Duration::from_secs(5),
        }
    }
}

impl Endpoint {
    /// An endpoint of weight 1, used from the start.
    pub fn new(address: Address) -> Self {
        Self { address, weight: 1, backup: false }
    }
}

impl Workers {
    /// One worker that runs `command`, on a free port.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            count: 1,
            first_port: None,
            socket: false,
            sharing: None,
            directory: None,
            env: BTreeMap::new(),
            env_file: None,
            env_clear: false,
            identity: Identity::default(),
            ready: Ready::Answer(Question::of("/")),
            listener: MayListen::Own,
            ready_timeout: Duration::from_secs(60),
            stop_signal: StopSignal::Term,
            stop_timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            warm_up: None,
            recycle: Recycle::default(),
            query_of_death: 3,
            roll_parallel: 1,
            roll: Roll::StartFirst,
            after: Vec::new(),
            after_timeout: Duration::from_secs(300),
            restart: Restart::Always,
            output: Output::Prefix,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(100), max: Duration::from_secs(30) }
    }
}

impl Route {
    /// Every host and path → `pool`.
    pub fn all(pool: impl Into<String>) -> Self {
        Self { host: HostPattern::Any, path: "/".to_owned(), pool: pool.into() }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { format: AccessLogFormat::Combined, path: AccessLogPath::Stdout, sample: 1.0 }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { socket: None, address: None, token_file: None, explain: true }
    }
}
