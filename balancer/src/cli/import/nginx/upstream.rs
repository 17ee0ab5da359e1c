//! `upstream NAME { … }` → the endpoints and the policy of a pool. Decides which of our words a directive there becomes; called by
//! [`super`]; never looks at servers.

use toml::{Table, Value};

use super::tree::Directive;
use super::values::{duration_text, milliseconds};
use crate::cli::import::setup::{FileLine, Setup, TableKeys, plain};
use crate::config::{EJECT_TIME_MAX, WEIGHT_MAX};

/// A named group of servers.
#[derive(Debug)]
pub(super) struct ServerGroup {
    pub(super) name: String,
    pub(super) place: FileLine,
    /// Keys of the pool it becomes.
    pub(super) keys: TableKeys,
}

/// An address of an endpoint as our file has it, and whether it is a name that may have several.
pub(super) fn address(text: &str, port: u16) -> Option<(String, bool)> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/').then(|| (format!("unix:{path}"), false));
    }
    let (host, given) = match text.rsplit_once(':') {
        Some((host, given)) if !host.contains(':') || host.ends_with(']') => (host, Some(given)),
        _ => (text, None),
    };
    let port = match given {
        Some(given) => given.parse().ok().filter(|port| *port > 0)?,
        None => port,
    };
    let is_ip = host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[');
    let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
    (is_plain && !host.is_empty()).then(|| (format!("{host}:{port}"), !is_ip && host != "localhost"))
}

/// Reads a block; remarks on what cannot be taken.
pub(super) fn read(upstream: &Directive, setup: &mut Setup) -> ServerGroup {
    let mut reading = GroupReading::default();
    for directive in upstream.children() {
        match directive.name.as_str() {
            "server" => reading.server(directive, setup),
            _ => reading.rule(directive, setup),
        }
    }
    let place = upstream.place.clone();
    ServerGroup { name: upstream.arg(0).to_owned(), keys: reading.into_keys(&place, setup), place }
}

#[derive(Default)]
struct GroupReading {
    keys: TableKeys,
    endpoints: Vec<Value>,
    /// Names with several addresses, one for each server that is one and says nothing else.
    names: Vec<String>,
    /// `max_conns`, `max_fails` and `fail_timeout` of each server, where they are said.
    slots: Vec<u64>,
    fails: Vec<u64>,
    timeouts: Vec<u64>,
    servers: usize,
}

impl GroupReading {
    fn server(&mut self, server: &Directive, setup: &mut Setup) {
        let text = server.arg(0);
        let parameter =
            |name: &str| server.args.iter().skip(1).find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
        let flag = |name: &str| server.args.iter().skip(1).any(|arg| arg == name);
        if flag("down") {
            return setup.unseen(&server.place, format!("{}: left out, as it is down", server.shown()));
        }
        let service = parameter("service").map(|service| {
            let service = if service.contains('.') { service.to_owned() } else { format!("_{service}._tcp") };
            (format!("{service}.{text}"), true)
        });
        let Some((address, is_name)) = service.or_else(|| address(text, 80)) else {
            return setup.seen(&server.place, format!("{}: it is no address here: left out", server.shown()));
        };
        self.servers += 1;
        let weight = parameter("weight").and_then(|weight| weight.parse::<u16>().ok()).filter(|weight| *weight != 1);
        if weight.is_some_and(|weight| weight > WEIGHT_MAX) {
            setup.unseen(&server.place, format!("{}: {WEIGHT_MAX} is the largest weight", server.shown()));
        }
        self.slots.extend(parameter("max_conns").and_then(|number| number.parse::<u64>().ok()));
        self.fails.extend(parameter("max_fails").and_then(|number| number.parse::<u64>().ok()));
        self.timeouts.extend(parameter("fail_timeout").and_then(milliseconds));
        if let Some(ramp) = parameter("slow_start").and_then(milliseconds) {
            self.keys.set("slow_start", duration_text(ramp));
        }
        let known = ["weight", "max_conns", "max_fails", "fail_timeout", "slow_start", "service"];
        for other in server.args.iter().skip(1).filter(|arg| !["backup", "resolve"].contains(&arg.as_str())) {
            if !known.contains(&other.split('=').next().unwrap_or_default()) {
                setup.unseen(&server.place, format!("{}: `{other}` has no counterpart", server.shown()));
            }
        }
        let address = plain(&address);
        if is_name && weight.is_none() && !flag("backup") {
            self.names.push(address.clone());
        }
        self.endpoints.push(match (weight, flag("backup")) {
            (None, false) => Value::from(address),
            (weight, backup) => {
                let mut table = Table::new();
                table.insert("address".to_owned(), address.into());
                let weight = weight.map(|weight| i64::from(weight.clamp(1, WEIGHT_MAX)).into());
                table.extend(weight.map(|weight| ("weight".to_owned(), weight)));
                table.extend(backup.then(|| ("backup".to_owned(), true.into())));
                table.into()
            }
        });
    }

    fn rule(&mut self, rule: &Directive, setup: &mut Setup) {
        match (rule.name.as_str(), rule.arg(0)) {
            ("least_conn" | "least_time", _) => self.keys.set("policy", "least_connections"),
            ("random", "two") => self.keys.set("policy", "two_choices"),
            ("random", _) => self.keys.set("policy", "random"),
            ("ip_hash", _) => self.keys.set("policy", "hash"),
            ("hash", key) => match hash_key(key) {
                Some(key) => {
                    self.keys.set("policy", "hash");
                    if key != "client_ip" {
                        self.keys.set("hash_key", plain(&key));
                    }
                }
                None => setup.seen(
                    &rule.place,
                    format!("{}: `hash_key` knows client_ip, uri, header:NAME, cookie:NAME", rule.shown()),
                ),
            },
            ("sticky", "cookie") if !rule.arg(1).is_empty() => {
                let mut cookie = Table::new();
                cookie.insert("cookie".to_owned(), plain(rule.arg(1)).into());
                self.keys.set("affinity", cookie);
            }
            ("queue", number) if number.parse::<i64>().is_ok() => {
                self.keys.set("queue_max", number.parse().unwrap_or(i64::MAX).clamp(0, QUEUE_MAX));
                let timeout = rule.args.iter().find_map(|arg| milliseconds(arg.strip_prefix("timeout=")?));
                self.keys.set("queue_timeout", duration_text(timeout.unwrap_or(60_000).clamp(10, 3_600_000)));
            }
            ("sticky", _) => setup
                .seen(&rule.place, format!("{}: clients stay with an endpoint by a cookie: `affinity`", rule.shown())),
            // Connections are kept without being asked to, and addresses are shared by all threads.
            (
                "zone" | "keepalive" | "keepalive_timeout" | "keepalive_requests" | "keepalive_time" | "resolver"
                | "resolver_timeout",
                _,
            ) => {}
            _ => setup.seen(&rule.place, format!("{}: nothing is known of it here", rule.shown())),
        }
    }

    fn into_keys(mut self, place: &FileLine, setup: &mut Setup) -> TableKeys {
        let mut keys = TableKeys::default();
        match (self.names.as_slice(), self.endpoints.len()) {
            // nginx asks every address that it has.
            ([name], 1) => keys.set("dns", name.as_str()),
            (_, 0) => {}
            _ => keys.set("endpoints", distinct(&self.endpoints, place, setup)),
        }
        let has_slots = self.slots.iter().any(|slots| *slots > 0);
        for (key, value) in self.keys.iter().filter(|(key, _)| has_slots || !key.starts_with("queue_")) {
            keys.set(key, value.clone());
        }
        let differ = |values: &[u64], servers: usize| {
            values.iter().any(|value| *value != values[0]) || (values.len() != servers && !values.is_empty())
        };
        let mut differing = Vec::new();
        let slots = self.slots.iter().copied().filter(|slots| *slots > 0).min();
        if let Some(slots) = slots {
            keys.set("slots", i64::try_from(slots.min(SLOTS_MAX)).unwrap_or(i64::MAX));
            differing.extend(differ(&self.slots, self.servers).then_some("max_conns"));
        }
        if let Some(fails) = self.fails.iter().copied().max() {
            let never = self.fails.contains(&0);
            keys.set("eject_after", i64::try_from(if never { 0 } else { fails }).unwrap_or(i64::MAX).min(FAILS_MAX));
            differing.extend(differ(&self.fails, self.servers).then_some("max_fails"));
        }
        self.timeouts.sort_unstable();
        match self.timeouts.last() {
            // Nobody is out for no time at all.
            Some(0) => keys.set("eject_after", 0),
            Some(time) => {
                let most = u64::try_from(EJECT_TIME_MAX.as_millis()).unwrap_or(u64::MAX);
                keys.set("eject_time", duration_text((*time).min(most)));
                differing.extend(differ(&self.timeouts, self.servers).then_some("fail_timeout"));
            }
            None => {}
        }
        for name in differing {
            setup.unseen(place, format!("{name} is not the same for all servers: all endpoints of a pool have one"));
        }
        keys
    }
}

/// Each address once: the first counts.
fn distinct(endpoints: &[Value], place: &FileLine, setup: &mut Setup) -> Vec<Value> {
    let address = |endpoint: &Value| endpoint.get("address").unwrap_or(endpoint).clone();
    let mut seen = std::collections::BTreeSet::new();
    let kept: Vec<Value> = endpoints.iter().filter(|one| seen.insert(address(one).to_string())).cloned().collect();
    if kept.len() != endpoints.len() {
        setup.unseen(place, "an address is there more than once: it is one endpoint; `weight` gives it a larger share");
    }
    kept
}

/// What `hash` hashes, in our words.
fn hash_key(variable: &str) -> Option<String> {
    let name = variable.strip_prefix('$')?;
    let is_token =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    Some(match name {
        "remote_addr" | "binary_remote_addr" => "client_ip".to_owned(),
        "request_uri" | "uri" => "uri".to_owned(),
        "host" => "header:Host".to_owned(),
        _ => match (name.strip_prefix("cookie_"), name.strip_prefix("http_")) {
            (Some(cookie), _) if is_token(cookie) => format!("cookie:{cookie}"),
            (None, Some(field)) if is_token(field) => format!("header:{}", field.replace('_', "-")),
            _ => return None,
        },
    })
}

/// The largest that our file takes.
const QUEUE_MAX: i64 = 1_000_000;
const SLOTS_MAX: u64 = 65_536;
const FAILS_MAX: i64 = 1_000;
