//! Servers → routes. Decides how hosts and paths are written so that each request goes where nginx sends it: nginx looks for the host first and
//! for the path then, our table for the longest path first. Called by [`super`]; never reads a directive.

use std::collections::BTreeMap;

use super::location::PathRow;
use super::server::{Purpose, VirtualServer};
use crate::cli::import::setup::{FileLine, RouteDraft, Setup};

/// Paths and pools of one host; `None` is every host.
type Hosts = BTreeMap<Option<String>, Vec<PathRow>>;

/// Adds the routes of all servers to the set-up.
pub(super) fn add(servers: &[VirtualServer], setup: &mut Setup) {
    let all = default_server(servers);
    let mut hosts = Hosts::new();
    for (index, server) in servers.iter().enumerate().filter(|(_, server)| server.purpose == Purpose::Serves) {
        let own = server.hosts.iter().cloned().map(Some).chain((Some(index) == all).then_some(None));
        let own: Vec<Option<String>> = own.collect();
        if own.is_empty() {
            let why = "only its address or port tells it from another server, and routes know hosts and paths alone: left out, run it as a balancer of its own";
            setup.seen(&server.place, format!("server: {why}"));
        }
        for host in own {
            match hosts.get(&host) {
                Some(known) if is_same(known, &server.rows) => {}
                Some(_) => {
                    let name = host.as_deref().unwrap_or("every host");
                    let why = "another server has it, at another address or port, and routes know hosts and paths alone: this one is left out";
                    setup.seen(&server.place, format!("server for {name}: {why}"));
                }
                None => _ = hosts.insert(host, server.rows.clone()),
            }
        }
    }
    let pairs = hosts.values().map(Vec::len).sum::<usize>().saturating_mul(hosts.len());
    if pairs > PAIRS_MAX {
        let place = FileLine { file: "".into(), line: 0 };
        let place = servers.first().map_or(place, |server| server.place.clone());
        setup.seen(&place, "there are too many hosts and paths: look through the routes");
    } else {
        complete(&mut hosts, setup);
    }
    setup.routes = written(&hosts);
}

/// The server that takes the hosts that nobody has: the first that serves and is its address's own.
fn default_server(servers: &[VirtualServer]) -> Option<usize> {
    let mut owners: BTreeMap<(&str, bool), (usize, bool)> = BTreeMap::new();
    for (index, server) in servers.iter().enumerate() {
        for listen in &server.listens {
            let owner = owners.entry((&listen.address, listen.tls)).or_insert((index, listen.is_default));
            if listen.is_default && !owner.1 {
                *owner = (index, true);
            }
        }
    }
    let serves = |index: &usize| servers.get(*index).is_some_and(|server| server.purpose == Purpose::Serves);
    owners.into_values().map(|(index, _)| index).filter(serves).min()
}

/// Adds to each host the paths of wider hosts, for a longer path there would win against its own shorter one.
fn complete(hosts: &mut Hosts, setup: &mut Setup) {
    let names: Vec<Option<String>> = hosts.keys().cloned().collect();
    let mut added: BTreeMap<(&Option<String>, String), PathRow> = BTreeMap::new();
    for host in &names {
        let own = hosts.get(host).map_or(&[][..], Vec::as_slice);
        for wider in names.iter().filter(|wider| is_wider(wider.as_deref(), host.as_deref())) {
            for row in hosts.get(wider).into_iter().flatten().filter(|row| row.pool.is_some()) {
                let is_there =
                    |rows: &[PathRow]| rows.iter().any(|known| known.path == row.path && known.pool.is_some());
                let key = (host, row.path.clone());
                if is_there(own) || added.contains_key(&key) {
                    continue;
                }
                let mine = best(own, &row.path);
                match mine {
                    Some(mine) if mine.pool == row.pool => {}
                    Some(mine) => _ = added.insert(key, PathRow { path: row.path.clone(), ..mine.clone() }),
                    None => {
                        let (name, pool) =
                            (host.as_deref().unwrap_or_default(), row.pool.as_deref().unwrap_or_default());
                        let text = format!(
                            "{name}{}: its server has no pool for it, so it goes to pool {pool}, as of other hosts",
                            row.path
                        );
                        setup.seen(&row.place, text);
                    }
                }
            }
        }
    }
    for ((host, _), row) in added {
        hosts.entry(host.clone()).or_default().push(row);
    }
}

/// The routes in which no host repeats what holds for every host.
fn written(hosts: &Hosts) -> Vec<RouteDraft> {
    let all = hosts.get(&None);
    let wildcards: Vec<_> =
        hosts.iter().filter(|(host, _)| host.as_deref().is_some_and(|host| host.starts_with("*."))).collect();
    let repeats = |host: &Option<String>, rows: &[PathRow]| {
        let other = |(wider, other): &&(&Option<String>, &Vec<PathRow>)| {
            is_wider(wider.as_deref(), host.as_deref()) && !is_same(other, rows)
        };
        host.is_some() && all.is_some_and(|all| is_same(all, rows)) && !wildcards.iter().any(|one| other(&one))
    };
    let kept = hosts.iter().filter(|(host, rows)| !repeats(host, rows));
    let route = |host: &Option<String>, row: &PathRow| {
        Some(RouteDraft { host: host.clone(), path: row.path.clone(), pool: row.pool.clone()? })
    };
    kept.flat_map(|(host, rows)| rows.iter().filter_map(move |row| route(host, row))).collect()
}

/// The row that takes a path: the longest that is a prefix of it by whole segments.
fn best<'a>(rows: &'a [PathRow], path: &str) -> Option<&'a PathRow> {
    rows.iter().filter(|row| row.pool.is_some() && row.takes(path)).max_by_key(|row| row.path.len())
}

fn is_same(one: &[PathRow], other: &[PathRow]) -> bool {
    let pairs = |rows: &[PathRow]| {
        let mut pairs: Vec<_> = rows.iter().map(|row| (row.path.clone(), row.pool.clone())).collect();
        pairs.sort();
        pairs
    };
    pairs(one) == pairs(other)
}

/// Whether every host that `narrow` takes is taken by `wide` too, and they are not the same.
fn is_wider(wide: Option<&str>, narrow: Option<&str>) -> bool {
    match (wide, narrow) {
        (None, Some(_)) => true,
        (Some(wide), Some(narrow)) if wide != narrow => {
            wide.strip_prefix('*').is_some_and(|suffix| narrow.trim_start_matches('*').ends_with(suffix))
        }
        _ => false,
    }
}

/// Each pair is looked at once.
const PAIRS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, pool: &str) -> PathRow {
        PathRow {
            path: path.to_owned(),
            pool: Some(pool.to_owned()),
            place: FileLine { file: "test".into(), line: 1 },
            note: None,
        }
    }

    #[test]
    fn a_host_keeps_its_own_pool_for_a_path_that_a_wider_one_has() {
        let mut hosts = Hosts::from([
            (None, vec![row("/", "web"), row("/api", "api")]),
            (Some("b.test".to_owned()), vec![row("/", "b")]),
            (Some("*.test".to_owned()), vec![row("/", "web"), row("/api", "api")]),
        ]);
        let mut setup = Setup::default();
        complete(&mut hosts, &mut setup);
        let routes = written(&hosts);
        let route = |host: Option<&str>, path: &str, pool: &str| RouteDraft {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            pool: pool.to_owned(),
        };
        let expected = [
            route(None, "/", "web"),
            route(None, "/api", "api"),
            route(Some("b.test"), "/", "b"),
            route(Some("b.test"), "/api", "b"),
        ];
        assert_eq!(routes, expected);
        assert!(setup.remarks.is_empty());
    }

    #[test]
    fn a_path_without_a_pool_that_a_wider_host_has_is_told() {
        let mut hosts =
            Hosts::from([(None, vec![row("/", "web")]), (Some("b.test".to_owned()), vec![row("/api", "b")])]);
        let mut setup = Setup::default();
        complete(&mut hosts, &mut setup);
        assert_eq!(
            setup.remarks[0].text,
            "b.test/: its server has no pool for it, so it goes to pool web, as of other hosts"
        );
    }
}
