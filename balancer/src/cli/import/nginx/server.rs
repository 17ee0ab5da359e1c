//! `server { … }` → where it listens, whose hosts it has, and its paths. Decides what a server is for: to serve, to lead to TLS, or to refuse;
//! called by [`super`]; never compares servers.

use super::location::{LocationReader, PathRow};
use super::pools::Pools;
use super::scope::Scope;
use super::tree::Directive;
use super::upstream;
use crate::cli::import::setup::{FileLine, Setup};

/// A virtual server.
#[derive(Debug)]
pub(super) struct VirtualServer {
    pub(super) place: FileLine,
    pub(super) listens: Vec<Listen>,
    /// As our routes have them: `example.com`, `*.example.com`.
    pub(super) hosts: Vec<String>,
    pub(super) purpose: Purpose,
    /// Paths, each once.
    pub(super) rows: Vec<PathRow>,
}

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Serves,
    /// It says where the same is to be had over TLS.
    LeadsToTls,
    /// It answers that there is nothing, to whoever asks for a host that nobody has.
    Refuses,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen {
    /// Without `tls:`.
    pub(super) address: String,
    pub(super) tls: bool,
    pub(super) is_default: bool,
    pub(super) http2: bool,
    pub(super) proxy_protocol: bool,
}

/// Reads a block; remarks on what cannot be taken.
pub(super) fn read(server: &Directive, scope: &Scope<'_>, pools: &mut Pools<'_>, setup: &mut Setup) -> VirtualServer {
    let block = server.children();
    let scope = scope.within(block);
    let hosts = hosts(block, setup);
    let mut listens: Vec<Listen> = Vec::new();
    for listen in block.iter().filter(|one| one.name == "listen") {
        listens.extend(self::listen(listen, &scope, setup));
    }
    if block.iter().all(|one| one.name != "listen") {
        listens.push(Listen {
            address: "0.0.0.0:80".to_owned(),
            tls: false,
            is_default: false,
            http2: false,
            proxy_protocol: false,
        });
    }
    let purpose = purpose(block, &hosts, listens.iter().any(|listen| listen.tls));
    let mut rows = Vec::new();
    if purpose == Purpose::Serves {
        answers(block, setup);
        let mut reader = LocationReader { server: block, pools, setup };
        rows = reader.rows(block, &scope);
        if rows.iter().all(|row| row.path != "/") {
            rows.extend(all_of_it(block, &scope, &mut reader));
        }
    }
    let rows = needed(distinct(rows, setup));
    for row in &rows {
        row.note.iter().for_each(|note| setup.unseen(&row.place, note.as_str()));
    }
    VirtualServer { place: server.place.clone(), listens, hosts, purpose, rows }
}

/// Each path once: the first pool counts.
fn distinct(rows: Vec<PathRow>, setup: &mut Setup) -> Vec<PathRow> {
    let mut once: Vec<PathRow> = Vec::new();
    for row in rows {
        match once.iter_mut().find(|known| known.path == row.path) {
            None => once.push(row),
            Some(known) if known.pool.is_none() && row.pool.is_some() => *known = row,
            Some(known) if row.pool.is_some() && known.pool != row.pool => {
                let pool = known.pool.as_deref().unwrap_or_default();
                setup.seen(&row.place, format!("a route for {} is there already, for pool {pool}", row.path));
            }
            Some(_) => {}
        }
    }
    once
}

/// Without the rows whose requests the next wider row sends to the same pool.
fn needed(rows: Vec<PathRow>) -> Vec<PathRow> {
    let wider = |row: &PathRow| {
        let shorter = rows
            .iter()
            .filter(|other| other.path.len() < row.path.len() && other.pool.is_some() && other.takes(&row.path));
        shorter.max_by_key(|other| other.path.len()).cloned()
    };
    let is_needed = |row: &&PathRow| row.pool.is_none() || wider(row).is_none_or(|wider| wider.pool != row.pool);
    rows.iter().filter(is_needed).cloned().collect()
}

/// What a server without `location /` does with what is left.
fn all_of_it(block: &[Directive], scope: &Scope<'_>, reader: &mut LocationReader<'_, '_>) -> Option<PathRow> {
    let tried = block.iter().find(|one| one.name == "try_files");
    let root = block.iter().find(|one| one.name == "root");
    if let (None, Some(root)) = (tried, root) {
        reader.setup.seen(&root.place, format!("{}: no files are served here", root.shown()));
    }
    let tried = tried?;
    let place = tried.place.clone();
    let pass = reader.tried(tried, scope)?;
    let pool = reader.pools.of(&pass, "app", scope, &place, reader.setup);
    let pool = pool.map_err(|why| reader.setup.seen(&place, why)).ok();
    Some(PathRow { path: "/".to_owned(), pool, place, note: None })
}

/// Remarks on answers that the whole server gives, and on conditions.
fn answers(block: &[Directive], setup: &mut Setup) {
    for one in block {
        let why = match one.name.as_str() {
            "return" => "routes answer nothing themselves: requests go to the pool",
            "rewrite" => "the path goes on as the client sent it: let the app answer, or send the client on",
            "if" if is_redirect_to_tls(one.children(), &[], true) => continue,
            "if" => "there are no conditions here: requests go to the pool",
            _ => continue,
        };
        setup.seen(&one.place, format!("{}: {why}", one.shown()));
    }
    for location in block.iter().filter(|one| one.name == "location") {
        let passes = location.children().iter().any(|one| one.name.ends_with("_pass"));
        for one in location.children().iter().filter(|one| one.name == "if" || (passes && one.name == "rewrite")) {
            let why = "in a location that passes requests on: they go to the pool as the client sent them";
            setup.seen(&one.place, format!("{}: {why}", one.shown()));
        }
    }
}

fn purpose(block: &[Directive], hosts: &[String], tls: bool) -> Purpose {
    let is_challenge =
        |one: &Directive| one.args.last().is_some_and(|path| path.starts_with("/.well-known/acme-challenge"));
    let others: Vec<&Directive> = block.iter().filter(|one| one.name == "location" && !is_challenge(one)).collect();
    let in_location = matches!(others.as_slice(), [one] if is_redirect_to_tls(one.children(), hosts, false));
    let by_condition = || block.iter().any(|one| one.name == "if" && is_redirect_to_tls(one.children(), hosts, true));
    if !tls && (is_redirect_to_tls(block, hosts, false) || in_location || (others.is_empty() && by_condition())) {
        return Purpose::LeadsToTls;
    }
    let refuses = |one: &Directive| {
        one.name == "return" && ["444", "404", "403", "400", "410", "421"].contains(&one.arg(0)) && one.args.len() == 1
    };
    let rejects = |one: &Directive| one.name == "ssl_reject_handshake" && one.arg(0) == "on";
    let in_location = matches!(others.as_slice(), [one] if one.children().iter().any(refuses));
    match block.iter().any(|one| refuses(one) || rejects(one)) && others.is_empty() || in_location && others.len() == 1
    {
        true => Purpose::Refuses,
        false => Purpose::Serves,
    }
}

/// `return 301 https://$host$request_uri`, or the same by `rewrite`; `any_host`: a condition has looked at the host.
fn is_redirect_to_tls(block: &[Directive], hosts: &[String], any_host: bool) -> bool {
    block.iter().any(|one| {
        let url = match (one.name.as_str(), one.args.as_slice()) {
            ("return", [code, url]) if ["301", "302", "303", "307", "308"].contains(&code.as_str()) => url,
            ("return", [url]) => url,
            ("rewrite", [pattern, url, ..])
                if ["^", "^(.*)", "^(.*)$", "^/(.*)$", "^/(.*)", ".*"].contains(&pattern.as_str()) =>
            {
                url
            }
            _ => return false,
        };
        let Some(rest) = url.strip_prefix("https://") else { return false };
        let end = ["$request_uri?", "$request_uri", "$uri$is_args$args", "$1", "/$1"]
            .iter()
            .find_map(|end| rest.strip_suffix(end));
        let Some(host) = end else { return false };
        let host = host.strip_suffix(":443").unwrap_or(host).trim_end_matches('/');
        ["$host", "$server_name", "$http_host"].contains(&host)
            || (!host.contains('$') && (any_host || hosts.iter().any(|own| own == host)))
    })
}

fn hosts(block: &[Directive], setup: &mut Setup) -> Vec<String> {
    let mut hosts = Vec::new();
    for directive in block.iter().filter(|one| one.name == "server_name") {
        for name in &directive.args {
            let lower = name.to_ascii_lowercase();
            let is_plain = |text: &str| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte))
            };
            match (lower.strip_prefix("*."), lower.strip_prefix('.')) {
                // Names that nobody asks for.
                _ if ["", "_", "__", "-", "\"\""].contains(&lower.as_str()) || lower.starts_with('$') => {}
                (Some(parent), _) if is_plain(parent) => hosts.push(lower.clone()),
                (None, Some(parent)) if is_plain(parent) => hosts.extend([parent.to_owned(), format!("*.{parent}")]),
                (None, None) if is_plain(&lower) => hosts.push(lower.clone()),
                _ => {
                    let why = "a host is a name, or `*.` and a name: left out";
                    setup.seen(&directive.place, format!("server_name {name}: {why}"));
                }
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    hosts
}

fn listen(listen: &Directive, scope: &Scope<'_>, setup: &mut Setup) -> Option<Listen> {
    let has = |word: &str| listen.args.iter().skip(1).any(|arg| arg == word);
    let switched = |name: &str| scope.find(name).is_some_and(|one| one.arg(0) == "on");
    if has("quic") {
        setup.seen(&listen.place, format!("{}: clients speak HTTP/1.1 and HTTP/2 here, no HTTP/3", listen.shown()));
        return None;
    }
    for other in listen.args.iter().skip(1) {
        let name = other.split('=').next().unwrap_or_default();
        let known = [
            "ssl",
            "default_server",
            "default",
            "http2",
            "spdy",
            "proxy_protocol",
            "reuseport",
            "ipv6only",
            "deferred",
            "backlog",
            "bind",
            "so_keepalive",
            "fastopen",
            "rcvbuf",
            "sndbuf",
        ];
        if !known.contains(&name) {
            setup.unseen(&listen.place, format!("{}: `{other}` has no counterpart", listen.shown()));
        }
    }
    let Some(address) = address(listen.arg(0)) else {
        setup.seen(&listen.place, format!("{}: that is no address to listen on here: left out", listen.shown()));
        return None;
    };
    Some(Listen {
        address,
        tls: has("ssl") || switched("ssl"),
        is_default: has("default_server") || has("default"),
        http2: has("http2") || switched("http2"),
        proxy_protocol: has("proxy_protocol"),
    })
}

/// `80`, `*:80`, `127.0.0.1:80`, `[::]:80`, `localhost:80`, `127.0.0.1`, `unix:/path`, as our `listen` has it.
fn address(text: &str) -> Option<String> {
    if let Ok(port) = text.parse::<u16>() {
        return (port > 0).then(|| format!("0.0.0.0:{port}"));
    }
    if let Some(rest) = text.strip_prefix("*:") {
        return address(rest).filter(|_| rest.parse::<u16>().is_ok());
    }
    let (address, _) = upstream::address(text, 80)?;
    let address = match address.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address,
    };
    // A name is looked up by nginx when it starts.
    address.parse::<crate::config::ListenAddress>().ok().map(|address| address.to_string())
}
