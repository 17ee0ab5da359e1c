//! The top level of the file → [`Config`]. Decides the order in which tables are read; called by [`super::parse`]; never
//! compares tables, which is [`super::check`]'s.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeTable;

use super::admin::Secrets;
use super::defaults::THREADS_MAX;
use super::diagnostics::quote;
use super::findings::{Findings, Keys};
use super::item::Item;
use super::raw::Section;
use super::{
    Config, ListenAddress, Pool, UnixSocket, access_log, admin, check, client, identity, listen, pool, route, spool,
    syntax,
};

/// The configuration in `tree`. It is only to be used when `findings` stays without a mistake: what is wrong stands in
/// it as the default.
pub(super) fn read(tree: &Spanned<DeTable<'_>>, findings: &Findings, secrets: Secrets) -> Config {
    let mut section = Section::root(tree, findings);
    // Both are read anew below.
    let default = Config::new(ListenAddress::Unix(UnixSocket::new("")), Pool::new(""));

    let listen = listen::read(&mut section);
    let threads = section.take("threads").and_then(|item| item.integer(1..=THREADS_MAX)).unwrap_or(default.threads);
    let connections_max = section.take("connections_max").and_then(|item| item.integer(1..=CONNECTIONS_MAX));
    let client = client::read(&mut section, default.client);
    let spool = spool::read(&mut section, default.spool);
    let drain_timeout = section.take("drain_timeout").and_then(|item| item.duration(Duration::ZERO..=DURATION_MAX));
    let trusted_proxies = section.take("trusted_proxies").and_then(trusted_proxies);
    let state_dir = section.take("state_dir").and_then(state_dir);
    let identity = identity::read(&mut section);
    let pools = pool::read_all(&mut section);
    let access_log = access_log::read(&mut section);
    let admin = admin::read(&mut section, &listen, secrets);
    let routes = route::read_all(&mut section, &pools);
    section.finish();
    check::across(findings, &listen, &pools);

    Config {
        listen: listen.into_iter().map(|listen| listen.value).collect(),
        threads,
        connections_max,
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
    let text = "listen = [{}]\npool.a.endpoints = [{}]\npool.a.affinity = {}\npool.a.probe = {}\npool.a.workers = { ready = {}, warm_up = {}, backoff = {} }\n\
                route = [{}]\naccess_log = {}\nadmin = {}\n";
    read(&syntax::read(text, &findings), &findings, Secrets::Unread);
    findings.keys()
}

fn trusted_proxies(item: Item<'_>) -> Option<Vec<IpNet>> {
    Some(item.list("[\"10.0.0.0/8\"]")?.iter().filter_map(network).collect())
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

/// A CIDR, or one address.
fn network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.text("\"10.0.0.0/8\"")?;
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Some(address.into());
    }
    let message = || format!("{} is not a network of addresses", quote(text));
    match text.parse::<IpNet>() {
        Ok(network) if network.addr() != network.network() => {
            item.wrong(message(), format!("write \"{}\", without bits behind the prefix", network.trunc()));
            None
        }
        Ok(network) => Some(network),
        Err(_) => {
            item.wrong(
                message(),
                "write an address and the length of its prefix, as in \"10.0.0.0/8\" or \"fd00::/8\"",
            );
            None
        }
    }
}

/// More descriptors than Linux gives a process by default at its most generous (`fs.nr_open` is 1,048,576).
const CONNECTIONS_MAX: usize = 10_000_000;

/// Longest duration of any key; what is longer was hardly meant.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Shortest duration of a key for which zero would end everything at once.
pub(super) const DURATION_MIN: Duration = Duration::from_millis(1);
