//! `[[route]]`. Decides what a host pattern and a path prefix are, and that each pool named exists; called by
//! [`crate::config::top`]; never matches a request.

use super::path::path_mistake;
use super::pool::PlacedPool;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::likeness::nearest;
use crate::config::syntax::section::Section;

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

/// Every `[[route]]`, in the order of the file; with one pool that takes requests and no route, one that matches everything.
pub(in crate::config) fn read_all(section: &mut Section<'_>, pools: &[PlacedPool]) -> Vec<Route> {
    let names: Vec<&str> = pools.iter().map(|pool| pool.pool.name.as_str()).collect();
    let serving: Vec<&PlacedPool> = pools.iter().filter(|pool| pool.pool.serves()).collect();
    let Some(item) = section.take("route") else {
        if let [_, second, ..] = serving[..] {
            let help = format!(
                "add a [[route]] for each, as in: [[route]] host = \"example.com\" pool = \"{}\"",
                second.pool.name
            );
            let message = format!("there are {} pools and no route", serving.len());
            section.findings.whole(second.span.clone(), message, help);
        }
        return serving.first().map(|pool| Route::all(&pool.pool.name)).into_iter().collect();
    };
    if !item.holds_tables() || item.is_table() {
        item.wrong("`route` must be a list of tables", "write [[route]], with double brackets");
        return Vec::new();
    }
    let mut routes: Vec<Route> = Vec::new();
    for item in item.list("[[route]]").unwrap_or_default() {
        let Some(route) = read(&item, &names) else { continue };
        if !serving.iter().any(|pool| pool.pool.name == route.pool) && names.contains(&&*route.pool) {
            let sharing = pools.iter().find(|pool| pool.pool.name == route.pool);
            let sharing = sharing.and_then(|pool| pool.pool.workers.as_ref()?.sharing);
            match sharing {
                Some(sharing) => item.wrong(
                    format!("pool {} takes no requests from balancer", quote(&route.pool)),
                    format!(
                        "with mode = \"{}\" clients connect to its workers at {}: leave the route out, or `mode` and `address`",
                        sharing.mode, sharing.address
                    ),
                ),
                None => item.wrong(
                    format!("pool {} takes no requests", quote(&route.pool)),
                    "its workers say `ready = { alive = … }`, which is for programs without HTTP",
                ),
            }
        }
        if routes.iter().any(|known| (&known.host, &known.path) == (&route.host, &route.path)) {
            item.wrong(
                "an earlier route has the same host and path",
                "this one would never be used: change it or leave it out",
            );
        }
        routes.push(route);
    }
    routes
}

/// A route; nothing where a part of it is wrong, as then it can equal no other.
fn read(item: &Item<'_>, pools: &[&str]) -> Option<Route> {
    let mut section = item.section("route", "[[route]]")?;
    let host = section.take("host").map_or(Some(HostPattern::Any), |item| host(&item));
    let path = section.take("path").map_or(Some("/".to_owned()), |item| path(&item));
    let pool = section.require("pool", "add pool = \"NAME\", the pool that takes these requests");
    section.finish();
    let pool = pool.and_then(|item| pool_name(&item, pools));
    Some(Route { host: host?, path: path?, pool: pool? })
}

fn pool_name(item: &Item<'_>, pools: &[&str]) -> Option<String> {
    let name = item.text("the name of a pool")?;
    // Without any pool that is the mistake, and not this.
    if !pools.contains(&name) && !pools.is_empty() {
        let known = || pools.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let help = match nearest(name, pools.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the pools of this file are {}", known()),
        };
        item.wrong(format!("there is no pool {}", quote(name)), help);
    }
    Some(name.to_owned())
}

fn path(item: &Item<'_>) -> Option<String> {
    let text = item.text("\"/\"")?;
    match path_mistake(text).or_else(|| ambiguity(text)) {
        Some((message, help)) => {
            item.wrong(message, help);
            None
        }
        None => Some(text.to_owned()),
    }
}

fn host(item: &Item<'_>) -> Option<HostPattern> {
    let text = item.text("\"example.com\", or a [[route]] for each host")?;
    let lower = text.to_ascii_lowercase();
    let help = match lower.strip_prefix("*.") {
        None if is_host(&lower) => return Some(HostPattern::Exact(lower)),
        Some(parent) if is_host(parent) && !parent.starts_with('[') => {
            return Some(HostPattern::Suffix(format!(".{parent}")));
        }
        _ => right_host(&lower),
    };
    item.wrong(format!("{} is not a host", quote(text)), help);
    None
}

fn right_host(text: &str) -> String {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split('/').next().unwrap_or_default();
    let bare = bare.rsplit_once(':').filter(|(host, _)| is_host(host)).map_or(bare, |(host, _)| host);
    let bare = bare.trim_end_matches('.');
    match text {
        "" | "*" => "leave `host` out to take every host".to_owned(),
        _ if bare != text && is_host(bare) => format!("write \"{bare}\", the name alone"),
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => format!("write \"[{text}]\""),
        _ if text.starts_with('.') && is_host(&text[1..]) => format!("write \"*{text}\""),
        _ if !text.is_ascii() => "write the name in ASCII (`xn--…`)".to_owned(),
        _ => "write a name, as in \"example.com\", or \"*.example.com\" for every name below it".to_owned(),
    }
}

/// What a Host field can name (RFC 3986 §3.2.2), without port.
fn is_host(text: &str) -> bool {
    if let Some(ip) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return ip.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && inside
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// What servers read in different ways: requests for such a path are refused, so a route for it would take none.
fn ambiguity(text: &str) -> Option<(String, String)> {
    let lower = text.to_ascii_lowercase();
    let encoded = ["%2f", "%5c", "%3b", "%00", "%3f", "%23"].into_iter();
    let blank = ["%20", "%09", "%0a", "%0b", "%0c", "%0d"].into_iter();
    let part = encoded.chain([";", "\\"]).find(|part| lower.contains(part));
    let part = part.or_else(|| blank.into_iter().find(|part| lower.split('/').any(|segment| segment.ends_with(part))));
    part.map(|part| {
        let message = format!("{} holds `{part}`, which servers read in different ways", quote(text));
        (message, "write a path without it: requests whose readings lead to different pools are refused".to_owned())
    })
}
