//! The pools that locations pass to. Decides which locations share one, and what it has where they do not agree; called by
//! [`super::location`]; never reads a block.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::pass::Pass;
use super::scope::Scope;
use super::tree::Directive;
use super::upstream::{self, ServerGroup};
use super::values::{duration_text, milliseconds};
use crate::cli::import::setup::{FileLine, PoolDraft, Setup, TableKeys, plain};

/// Pools by whom they pass to.
#[derive(Default)]
pub(super) struct Pools<'a> {
    upstreams: &'a [ServerGroup],
    drafts: BTreeMap<(String, bool), Draft>,
}

/// A pool that locations use, with what each of them says.
struct Draft {
    /// Its place in the set-up.
    index: usize,
    /// Of locations that tunnel, and of those that do not.
    times: [BTreeMap<&'static str, Vec<(u64, FileLine)>>; 2],
}

impl<'a> Pools<'a> {
    pub(super) fn new(upstreams: &'a [ServerGroup]) -> Self {
        Self { upstreams, drafts: BTreeMap::new() }
    }

    /// The name of the pool of a location; `wanted` names one that has no name of its own. The error is why there is none.
    pub(super) fn of(
        &mut self,
        pass: &Pass,
        wanted: &str,
        scope: &Scope<'_>,
        place: &FileLine,
        setup: &mut Setup,
    ) -> Result<String, String> {
        let key = (pass.origin.clone(), pass.grpc);
        if !self.drafts.contains_key(&key) {
            if self.drafts.len() == POOLS_MAX {
                return Err(format!("{POOLS_MAX} pools are there already"));
            }
            let (name, keys) = match self.upstreams.iter().find(|upstream| upstream.name == pass.origin) {
                Some(upstream) if upstream.keys.get("endpoints").or(upstream.keys.get("dns")).is_none() => {
                    return Err(format!("upstream {} has no server", upstream.name));
                }
                Some(upstream) => (upstream.name.clone(), upstream.keys.clone()),
                None => alone(pass, wanted)?,
            };
            let mut pool = PoolDraft { name: setup.free_name(&name), keys, workers: None };
            if pass.grpc {
                pool.keys.set("http2", true);
            }
            setup.pools.push(pool);
            self.drafts.insert(key.clone(), Draft { index: setup.pools.len() - 1, times: Default::default() });
        }
        let Some(draft) = self.drafts.get_mut(&key) else { return Err("it is not there".to_owned()) };
        let Some(pool) = setup.pools.get_mut(draft.index) else { return Err("it is not there".to_owned()) };
        let name = pool.name.clone();
        retries(scope, &mut pool.keys);
        if let Some(check) = scope.find("health_check") {
            pool.keys.set("probe", probe(check));
        }
        let is_tunnel = scope.all("proxy_set_header").iter().any(|field| field.arg(0).eq_ignore_ascii_case("upgrade"));
        for (ours, theirs) in [("connect_timeout", "connect_timeout"), ("response_timeout", "read_timeout")] {
            let found = ["proxy", "grpc"].iter().find_map(|module| scope.find(&format!("{module}_{theirs}")));
            if let Some((time, found)) = found.and_then(|found| Some((milliseconds(found.arg(0))?, found))) {
                draft.times[usize::from(!is_tunnel)].entry(ours).or_default().push((time, found.place.clone()));
            } else if !is_tunnel && ours == "response_timeout" {
                draft.times[1].entry(ours).or_default().push((READ_TIMEOUT, place.clone()));
            }
        }
        remark_on_retries(scope, setup);
        Ok(name)
    }

    /// Writes into each pool what its locations said.
    pub(super) fn finish(self, setup: &mut Setup) {
        for upstream in self.upstreams {
            if !self.drafts.keys().any(|(origin, _)| *origin == upstream.name) {
                setup
                    .unseen(&upstream.place, format!("upstream {}: no location passes to it: left out", upstream.name));
            }
        }
        for draft in self.drafts.into_values() {
            let [tunnels, others] = draft.times;
            for key in ["connect_timeout", "response_timeout"] {
                // A tunnel may be silent for hours, and its own time is no measure for requests.
                let Some(times) = others.get(key).or(tunnels.get(key)) else { continue };
                let Some((longest, _)) = times.iter().max_by_key(|(time, _)| *time) else { continue };
                let name = setup.pools.get(draft.index).map_or_else(String::new, |pool| pool.name.clone());
                for (_, place) in times.iter().filter(|(time, _)| time != longest) {
                    let text = format!(
                        "pool {name} has one `{key}` for all its requests: {}, the longest",
                        duration_text(*longest)
                    );
                    setup.seen(place, text);
                }
                let is_said = times.iter().any(|(time, _)| key != "response_timeout" || *time != READ_TIMEOUT);
                let Some(pool) = setup.pools.get_mut(draft.index).filter(|_| is_said) else { continue };
                pool.keys.set(key, duration_text(*longest));
                if key == "response_timeout" {
                    pool.keys.set("idle_timeout", duration_text(*longest));
                }
            }
        }
    }
}

/// A pool for one address, and what to call it.
fn alone(pass: &Pass, wanted: &str) -> Result<(String, TableKeys), String> {
    let (address, is_name) = upstream::address(&pass.origin, 80).ok_or("that is no address of an endpoint")?;
    let mut keys = TableKeys::default();
    match is_name {
        true => keys.set("dns", plain(&address)),
        false => keys.set("endpoints", vec![plain(&address)]),
    }
    let file = pass.origin.rsplit('/').next().unwrap_or_default();
    let name = match (is_name, pass.origin.starts_with("unix:")) {
        (true, _) => pass.origin.split([':', '.']).next().unwrap_or_default(),
        (_, true) => file.split('.').next().unwrap_or_default(),
        _ => wanted,
    };
    Ok((name.to_owned(), keys))
}

fn retries(scope: &Scope<'_>, keys: &mut TableKeys) {
    let tries = scope.find("proxy_next_upstream_tries").and_then(|tries| tries.arg(0).parse::<i64>().ok());
    if let Some(tries) = tries.filter(|tries| *tries > 0) {
        keys.set("attempts_max", tries.min(ATTEMPTS_MAX));
    }
    if scope.find("proxy_next_upstream").is_some_and(|next| next.arg(0) == "off") {
        keys.set("attempts_max", 1);
    }
}

/// `health_check uri=/health interval=5s fails=3 passes=2`, of nginx's commercial version.
fn probe(check: &Directive) -> Table {
    let parameter = |name: &str| check.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
    let times =
        |name: &str| parameter(name)?.parse::<i64>().ok().filter(|times| (1..=1_000).contains(times)).map(Value::from);
    let path = plain(parameter("uri").unwrap_or("/")).into();
    let interval = parameter("interval").and_then(milliseconds).map(|time| duration_text(time).into());
    let all = [("path", Some(path)), ("interval", interval), ("rise", times("passes")), ("fall", times("fails"))];
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// What is sent again in nginx alone.
fn remark_on_retries(scope: &Scope<'_>, setup: &mut Setup) {
    let Some(next) = scope.find("proxy_next_upstream") else { return };
    let is_more =
        |arg: &&String| arg.starts_with("http_") || ["non_idempotent", "invalid_header"].contains(&arg.as_str());
    let more: Vec<&str> = next.args.iter().filter(is_more).map(String::as_str).collect();
    if !more.is_empty() && !is_told(setup, next) {
        let text = format!(
            "proxy_next_upstream {}: a request is sent again only where it got no answer and may be repeated",
            more.join(" ")
        );
        setup.seen(&next.place, text);
    }
}

/// Whether there is a remark on a directive, which holds for several locations.
pub(super) fn is_told(setup: &Setup, directive: &Directive) -> bool {
    let begin = format!("{} ", directive.name);
    setup.remarks.iter().any(|remark| remark.place == directive.place && remark.text.starts_with(&begin))
}

/// nginx's own, which is ours too.
const READ_TIMEOUT: u64 = 60_000;
/// The most that our file takes.
const ATTEMPTS_MAX: i64 = 16;
/// More than anybody has; a file with very many would take very long.
const POOLS_MAX: usize = 256;
