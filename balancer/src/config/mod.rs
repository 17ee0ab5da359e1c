//! The configuration as the program uses it: plain, checked data.
//!
//! [`load`] turns a file into a [`Config`] or into every mistake the file has, each with its place. Every other room
//! is handed the slice it needs and trusts it; this room knows no other.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// The whole of a checked file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listen: Vec<ListenAddress>,
    /// Number of proxy threads; at least 1.
    pub threads: usize,
    /// Client connections at once; `None`: what the descriptor limit allows.
    pub connections_max: Option<usize>,
    /// What a client may take, in time and bytes.
    pub client: ClientLimits,
    /// How long requests may finish at stop and reload.
    pub drain_timeout: Duration,
    /// Peers whose `X-Forwarded-*` and `Forwarded` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Account to become after binding.
    pub identity: Identity,
    /// Pools in the order of the file; at least one, names unique.
    pub pools: Vec<Pool>,
    /// Routes in the order of the file; never empty (with one pool and no `[[route]]`, one that matches everything).
    pub routes: Vec<Route>,
    /// The access log.
    pub access_log: AccessLog,
}

/// A place we accept connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An IPv4 or IPv6 address and port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Limits towards clients.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientLimits {
    /// Whole header section, from its first byte.
    pub header_timeout: Duration,
    /// Idle between requests, and before the first byte.
    pub keep_alive_timeout: Duration,
    /// Silence between two pieces of a request body, or a client that takes nothing of a response.
    pub body_timeout: Duration,
    /// Bytes a second a request body must reach after ten seconds; 0: no floor.
    pub body_rate_min: u64,
    /// Bytes of request line and header section.
    pub header_bytes_max: usize,
    /// Bytes of a request body.
    pub body_bytes_max: u64,
    /// What happens to names with `_` or `.`.
    pub ambiguous_fields: AmbiguousFields,
}

/// What happens to a request field whose name a CGI-like worker may read as another's (`X_Forwarded_For`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmbiguousFields {
    /// Not forwarded.
    Drop,
    /// Answered 400.
    Refuse,
    /// Forwarded as it came.
    Pass,
}

/// An account to run as; `None` keeps the present one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// User name or number.
    pub user: Option<String>,
    /// Group name or number.
    pub group: Option<String>,
}

/// A named group of interchangeable endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its name, `[a-zA-Z0-9_-]+`.
    pub name: String,
    /// How an endpoint is picked.
    pub policy: Policy,
    /// Same client, same endpoint.
    pub affinity: Option<Affinity>,
    /// Fixed endpoints; may be empty when there are workers.
    pub endpoints: Vec<Endpoint>,
    /// Processes we start.
    pub workers: Option<Workers>,
    /// Time limits towards endpoints.
    pub timeouts: UpstreamTimeouts,
    /// Tries for one request; at least 1.
    pub attempts_max: u32,
    /// Retries as a share of requests, 0.0 to 1.0 and above (ten a second are always allowed).
    pub retry_budget: f64,
    /// Idle connections kept per endpoint and proxy thread.
    pub idle_connections_max: usize,
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
    /// How long an idle upstream connection is kept for the next request.
    pub keep_alive: Duration,
}

/// How an endpoint is picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Each in turn, smooth by weight.
    RoundRobin,
    /// Fewest requests in flight for its weight.
    LeastConnections,
    /// The better of two drawn at random.
    TwoChoices,
    /// At random by weight.
    Random,
    /// By a key, so that few keys move when endpoints come and go.
    Hash(HashKey),
}

/// What `hash` hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// Path and query.
    Uri,
    /// A request field; the name is lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// Same client, same endpoint, by a cookie we set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    /// The cookie's name, an RFC 6265 token.
    pub cookie: String,
}

/// A fixed endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// Share of picks, 1 to 256.
    pub weight: u16,
    /// Used only when no other is available.
    pub backup: bool,
}

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `host:port`; a name is resolved whenever a connection is opened.
    Tcp {
        /// Address or name.
        host: Host,
        /// 1 to 65535.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

/// The host of an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A literal.
    Ip(IpAddr),
    /// A name for the resolver.
    Name(String),
}

/// Processes the supervisor runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Workers {
    /// Program and arguments, with `{port}`, `{index}`, `{pool}`, `{socket}` not yet filled in; never empty.
    pub command: Vec<String>,
    /// How many; at least 1.
    pub count: usize,
    /// Port of the first; the others follow. `None`: free ports.
    pub first_port: Option<u16>,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// Variables set for each.
    pub env: BTreeMap<String, String>,
    /// File of `NAME=value` lines, read at each start; `env` wins.
    pub env_file: Option<PathBuf>,
    /// Pass on only `env`, `env_file` and a small safe set.
    pub env_clear: bool,
    /// Account to run as.
    pub identity: Identity,
    /// When it may take requests.
    pub ready: Ready,
    /// Not ready after this: stopped and started again.
    pub ready_timeout: Duration,
    /// Signal of a polite stop, as a name without `SIG`: `"TERM"`.
    pub stop_signal: StopSignal,
    /// From the polite stop to KILL.
    pub stop_timeout: Duration,
    /// Delay between restarts.
    pub backoff: Backoff,
    /// Where its output goes.
    pub output: Output,
}

/// When a worker may take requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It accepts a connection.
    Connect,
    /// It answers this path with 200 to 399.
    Path(String),
    /// It prints a line that contains this text.
    Line(String),
}

/// Signal of a polite stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH.
    Winch,
}

/// Delay between restarts: doubling from `min` to `max`, jittered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// First delay; above zero.
    pub min: Duration,
    /// Longest delay; not below `min`.
    pub max: Duration,
}

/// Where a worker's stdout and stderr go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To ours, each line behind `pool.index | `.
    Prefix,
    /// Nowhere.
    Null,
}

/// Host and path prefix → pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which hosts.
    pub host: HostPattern,
    /// Path prefix, begins with `/`.
    pub path: String,
    /// Name of a pool that exists.
    pub pool: String,
}

/// Which hosts a route takes; lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// This one.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: every host that ends so.
    Suffix(String),
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Its lines.
    pub format: AccessLogFormat,
    /// Where they go.
    pub path: AccessLogPath,
}

/// Lines of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// nginx's `combined` and our fields behind it.
    Combined,
    /// One object a line.
    Json,
    /// None.
    Off,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPath {
    /// Standard output.
    Stdout,
    /// A file, appended to, opened again on USR1.
    File(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: Host::Ip(IpAddr::V6(ip)), port } => write!(f, "[{ip}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}
