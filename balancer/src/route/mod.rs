//! Routes: host and path prefix → pool.
//!
//! Decides which pool a request belongs to. Called by `proxy` with a borrowed snapshot of the table, which `app` swaps whole.
//! Never looks at the state of a pool.

mod path;

use std::sync::Arc;

use crate::config::{self, HostPattern};
use crate::pool::Pool;
use path::normalised;

/// All routes, best first.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    host: HostPattern,
    path: String,
    pool: Arc<Pool>,
}

impl Table {
    /// The table of a configuration; routes to pools that are not among `pools` are left out.
    pub fn new(routes: &[config::Route], pools: &[Arc<Pool>]) -> Self {
        let mut table: Vec<Route> = routes
            .iter()
            .filter_map(|route| {
                let pool = pools.iter().find(|pool| **pool.name() == *route.pool)?;
                Some(Route { host: route.host.clone(), path: route.path.clone(), pool: Arc::clone(pool) })
            })
            .collect();
        let host_rank = |host: &HostPattern| match host {
            HostPattern::Exact(_) => (0, 0),
            HostPattern::Suffix(suffix) => (1, usize::MAX - suffix.len()),
            HostPattern::Any => (2, 0),
        };
        // Longest path first, exact host before wildcard before none; among wildcards the longer one.
        table.sort_by_key(|route| (usize::MAX - route.path.len(), host_rank(&route.host)));
        Self { routes: table }
    }

    /// The pool for a host (as in `Host`, with or without port) and a path as it came.
    ///
    /// Matched on a normalised copy of the path, so that `/%61dmin`, `//admin` and `/x/../admin` go where `/admin` goes; the
    /// worker gets the path as it came.
    pub fn find(&self, host: &[u8], path: &str) -> Option<&Arc<Pool>> {
        if let [Route { host: HostPattern::Any, path: prefix, pool }] = &self.routes[..]
            && prefix == "/"
        {
            return Some(pool);
        }
        let (host, path) = (host_name(host), normalised(path));
        let found = self.routes.iter().find(|route| takes_path(&route.path, &path) && takes_host(&route.host, &host));
        found.map(|route| &route.pool)
    }
}

/// A prefix ends where a segment ends: `/api` takes `/api` and `/api/x`, not `/apix`. `*` (RFC 9112 §3.2.4) is nobody's
/// path, so only a route for all paths takes it.
fn takes_path(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => prefix == "/" && path == "*",
    }
}

fn takes_host(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(name) => name == host,
        HostPattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
    }
}

/// A `Host` value without port, lower case, without the root's dot.
fn host_name(host: &[u8]) -> String {
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    let end = match host.strip_prefix('[') {
        Some(_) => host.find(']').map_or(host.len(), |end| end + 1),
        None => host.find(':').unwrap_or(host.len()),
    };
    host[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {

    use super::*;

    fn table(routes: &[(&str, &str, &str)]) -> Table {
        let pools: Vec<_> = routes.iter().map(|(.., name)| Pool::new(&config::Pool::new(*name))).collect();
        let routes: Vec<_> = routes
            .iter()
            .map(|(host, path, pool)| config::Route {
                host: match host.strip_prefix('*') {
                    _ if host.is_empty() => HostPattern::Any,
                    Some(suffix) => HostPattern::Suffix(suffix.into()),
                    None => HostPattern::Exact((*host).into()),
                },
                path: (*path).into(),
                pool: (*pool).into(),
            })
            .collect();
        Table::new(&routes, &pools)
    }

    fn found<'a>(table: &'a Table, host: &str, path: &str) -> Option<&'a str> {
        table.find(host.as_bytes(), path).map(|pool| &**pool.name())
    }

    #[test]
    fn the_longest_path_wins_then_the_most_exact_host() {
        let table = table(&[
            ("", "/", "rest"),
            ("*.shop.test", "/", "wild"),
            ("www.shop.test", "/", "www"),
            ("", "/api", "api"),
            ("www.shop.test", "/api/v2", "v2"),
        ]);
        assert_eq!(found(&table, "other.test", "/x"), Some("rest"));
        assert_eq!(found(&table, "a.shop.test:8080", "/x"), Some("wild"));
        assert_eq!(found(&table, "shop.test", "/x"), Some("rest"), "a wildcard wants a label in front");
        assert_eq!(found(&table, "WWW.Shop.Test.", "/x"), Some("www"));
        assert_eq!(found(&table, "www.shop.test", "/api"), Some("api"));
        assert_eq!(found(&table, "www.shop.test", "/api/v2/x"), Some("v2"));
        assert_eq!(found(&table, "www.shop.test", "/apix"), Some("www"));
        assert_eq!(found(&table, "[::1]:80", "*"), Some("rest"));
    }

    #[test]
    fn a_disguised_path_goes_where_the_plain_one_goes() {
        let table = table(&[("", "/", "app"), ("", "/admin", "admin")]);
        for path in ["/admin", "//admin", "/%61dmin", "/x/../admin/y", "/./admin", "/x/%2e%2E/admin", "/admin//"] {
            assert_eq!(found(&table, "h", path), Some("admin"), "{path}");
        }
        assert_eq!(found(&table, "h", "/%2fadmin"), Some("app"), "an encoded slash is data, not a separator");
    }

    #[test]
    fn without_a_match_there_is_no_pool() {
        assert_eq!(found(&table(&[("x.test", "/", "x")]), "y.test", "/"), None);
        assert_eq!(found(&table(&[("", "/api", "x")]), "y.test", "/"), None);
        assert_eq!(found(&table(&[("", "/api", "x")]), "y.test", "*"), None);
    }
}
