//! The top level of the file → [`Config`]. Decides the order in which tables are read; called by [`super::load`]; never
//! compares tables, which is [`super::rules`]'s.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeTable;

use super::rules;
use super::syntax::diagnostics::quote;
use super::syntax::document;
use super::syntax::findings::{Findings, Keys};
use super::syntax::item::Item;
use super::syntax::section::Section;
use super::syntax::units::DURATION_MAX;
use super::tables::access_log::AccessLog;
use super::tables::admin::{Admin, Secrets};
use super::tables::client::ClientLimits;
use super::tables::identity::Identity;
use super::tables::listen::{ListenAddress, UnixSocket};
use super::tables::pool::Pool;
use super::tables::route::Route;
use super::tables::spool::Spool;
use super::tables::tls::Tls;
use super::tables::{access_log, admin, client, identity, listen, network, pool, route, spool, tls};

/// The whole of a checked file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect; at least one, unless all workers have addresses of their own.
    pub listen: Vec<ListenAddress>,
    /// Number of proxy threads; at least 1.
    pub threads: usize,
    /// Client connections at once; `None`: what the descriptor limit allows.
    pub connections_max: Option<usize>,
    /// What clients of encrypted listeners are shown.
    pub tls: Tls,
    /// What a client may take, in time and bytes.
    pub client: ClientLimits,
    /// Where large request bodies wait for their turn.
    pub spool: Spool,
    /// How long requests may finish at stop and reload.
    pub drain_timeout: Duration,
    /// Peers whose `X-Forwarded-*` and `Forwarded` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where it is kept what outlives a restart; `None`: where systemd says, else nowhere.
    pub state_dir: Option<PathBuf>,
    /// Account to become after binding.
    pub identity: Identity,
    /// Pools in the order of the file; at least one, names unique.
    pub pools: Vec<Pool>,
    /// Routes in the order of the file; never empty (with one pool and no `[[route]]`, one that matches everything).
    pub routes: Vec<Route>,
    /// The access log.
    pub access_log: AccessLog,
    /// Commands and metrics.
    pub admin: Admin,
}

/// The configuration in `tree`. It is only to be used when `findings` stays without a mistake: what is wrong stands in
/// it as the default.
pub(super) fn read(tree: &Spanned<DeTable<'_>>, findings: &Findings, secrets: Secrets) -> Config {
    let mut section = Section::root(tree, findings);
    // Both are read anew below.
    let default = Config::new(ListenAddress::Unix(UnixSocket::new("")), Pool::new(""));

    let listen = listen::read(&mut section);
    let tls = tls::read(&mut section, &listen);
    let threads = section.take("threads").and_then(|item| item.integer(1..=THREADS_MAX)).unwrap_or(default.threads);
    let connections_max = section.take("connections_max").and_then(|item| item.integer(1..=CONNECTIONS_MAX));
    let client = client::read(&mut section, default.client);
    let spool = spool::read(&mut section, default.spool);
    let drain_timeout = section.take("drain_timeout").and_then(|item| item.duration(Duration::ZERO..=DURATION_MAX));
    let trusted_proxies = section.take("trusted_proxies").and_then(|item| network::networks(&item));
    let state_dir = section.take("state_dir").and_then(state_dir);
    let identity = identity::read(&mut section);
    let pools = pool::read_all(&mut section);
    if section.take("listen").is_none() && (pools.is_empty() || pools.iter().any(|pool| pool.pool.is_proxied())) {
        let help = "write where clients connect, as in listen = \"127.0.0.1:8080\"";
        section.missing(&["listen"], "`listen` is missing".to_owned(), help);
    }
    let access_log = access_log::read(&mut section);
    let admin = admin::read(&mut section, &listen, secrets);
    let routes = route::read_all(&mut section, &pools);
    section.finish();
    rules::across(findings, &listen, &pools);

    Config {
        listen: listen.into_iter().map(|listen| listen.value).collect(),
        threads,
        connections_max,
        tls,
        client,
        spool,
        drain_timeout: drain_timeout.unwrap_or(default.drain_timeout),
        trusted_proxies: trusted_proxies.unwrap_or(default.trusted_proxies),
        state_dir,
        identity,
        pools: pools.into_iter().map(|pool| pool.pool).collect(),
        routes,
        access_log,
        admin,
    }
}

/// Every key there is, by table: what the readers ask of a file with one of each table.
pub(super) fn keys() -> Keys {
    let findings = Findings::default();
    let text = "listen = [{}]\npool.a.endpoints = [{}]\npool.a.affinity = {}\npool.a.probe = {}\npool.a.tls = {}\npool.a.workers = { ready = {}, warm_up = {}, backoff = {} }\n\
                route = [{}]\ntls = { certificates = [{}], eab = {} }\naccess_log = {}\nadmin = {}\n";
    read(&document::read(text, &findings), &findings, Secrets::Unread);
    findings.keys()
}

/// A directory that is there, whatever we are started in.
fn state_dir(item: Item<'_>) -> Option<PathBuf> {
    let path = Path::new(item.text("\"/var/lib/balancer\"")?);
    let shown = quote(&path.display().to_string());
    match (path.is_absolute(), path.is_dir()) {
        (false, _) => item.wrong(format!("{shown} is no absolute path"), "write a path that begins with a slash"),
        (true, false) => {
            let help = format!("make it first: mkdir -p {}", path.display());
            item.wrong(format!("there is no directory {shown}"), help);
        }
        (true, true) => return Some(path.to_owned()),
    }
    None
}

/// More descriptors than Linux gives a process by default at its most generous (`fs.nr_open` is 1,048,576).
const CONNECTIONS_MAX: usize = 10_000_000;

/// Proxy threads at most; more than any machine this runs on has.
pub(super) const THREADS_MAX: usize = 1024;
