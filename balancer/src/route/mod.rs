//! Routes: host and path prefix → pool.
//!
//! Decides which pool a request belongs to. Called by `proxy` with a borrowed snapshot of the table, which `app` swaps whole.
//! Never looks at the state of a pool.

use std::sync::Arc;

use crate::config::{self, HostPattern};
use crate::http1::{Reading, behind_authority, half_resolved, is_plain, normalised, resolved};
use crate::pool::Pool;

/// All routes, best first.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Route>,
    /// Whether paths decide at all.
    by_path: bool,
}

/// Common servers read a target in ways that belong to different pools: whichever gets it, its workers may read what is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

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
                let path = normalised(&route.path).into_owned();
                Some(Route { host: route.host.clone(), path, pool: Arc::clone(pool) })
            })
            .collect();
        let host_rank = |host: &HostPattern| match host {
            HostPattern::Exact(_) => (0, 0),
            HostPattern::Suffix(suffix) => (1, usize::MAX - suffix.len()),
            HostPattern::Any => (2, 0),
        };
        // Longest path first, exact host before wildcard before none; among wildcards the longer one.
        table.sort_by_key(|route| (usize::MAX - route.path.len(), host_rank(&route.host)));
        let one_pool = table.windows(2).all(|pair| Arc::ptr_eq(&pair[0].pool, &pair[1].pool));
        let takes_all = |route: &Route| route.path == "/" && route.host == HostPattern::Any;
        let by_path = table.iter().any(|route| route.path != "/") && !(one_pool && table.iter().any(takes_all));
        Self { routes: table, by_path }
    }

    /// The pool for a host (as in `Host`, with or without port) and a path as it came.
    ///
    /// Matched on a normalised copy of the path, so that `/%61dmin`, `//admin` and `/x/../admin` go where `/admin` goes; the
    /// worker gets the path as it came.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub fn find(&self, host: &[u8], path: &str) -> Result<Option<&Arc<Pool>>, Ambiguous> {
        let host = host_name(host);
        if !self.by_path || is_plain(path) {
            return Ok(self.first(host, path).map(|route| &route.pool));
        }
        // One that is long and odd in several ways at once is no honest one, and takes too long to be read in all of them.
        if Reading::others(path).count() * path.len() > READ_MAX {
            return Err(Ambiguous);
        }
        let found = self.first(host, &normalised(path));
        let differs = |other: Option<&Route>| match (other, found) {
            (Some(other), Some(found)) => !Arc::ptr_eq(&other.pool, &found.pool),
            (other, found) => other.is_some() != found.is_some(),
        };
        // Some servers leave dots and empty segments as they are, or one of both, and some take `//name` for a host. That counts where
        // it leads to a narrower route, `/admin` beside `/`: the workers of the wider one would be asked for what the narrower one is
        // there for.
        let is_narrower = |other: Option<&Route>| {
            let length = |route: Option<&Route>| route.map_or(0, |route| route.path.len());
            length(other) > length(found) && differs(other)
        };
        for reading in std::iter::once(Reading::default()).chain(Reading::others(path)) {
            let read = reading.of(path);
            let mut halves = std::iter::once(&*read).chain(behind_authority(&read)).flat_map(half_resolved);
            if differs(self.first(host, &resolved(&read))) || halves.any(|path| is_narrower(self.first(host, &path))) {
                return Err(Ambiguous);
            }
        }
        Ok(found.map(|route| &route.pool))
    }

    /// The best route for a host and a normal path.
    fn first(&self, host: &[u8], path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| takes_path(&route.path, path) && takes_host(&route.host, host))
    }
}

/// Bytes of a path in all its readings: 64 KiB with one difference, 2 KiB with all of them.
const READ_MAX: usize = 64 << 10;

/// A prefix ends where a segment ends: `/api` takes `/api` and `/api/x`, not `/apix`. `*` (RFC 9112 §3.2.4) is nobody's
/// path, so only a route for all paths takes it.
fn takes_path(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => prefix == "/" && path == "*",
    }
}

fn takes_host(pattern: &HostPattern, host: &[u8]) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
        HostPattern::Suffix(suffix) => {
            let end = host.len().checked_sub(suffix.len()).filter(|end| *end > 0);
            end.is_some_and(|end| host[end..].eq_ignore_ascii_case(suffix.as_bytes()))
        }
    }
}

/// A `Host` value without port and without the root's dot.
fn host_name(host: &[u8]) -> &[u8] {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|&byte| byte == b']').map(|end| end + 1),
        _ => host.iter().position(|&byte| byte == b':'),
    };
    let mut name = &host[..end.unwrap_or(host.len())];
    while let [rest @ .., b'.'] = name {
        name = rest;
    }
    name
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
        table.find(host.as_bytes(), path).map_or(Some("AMBIGUOUS"), |found| found.map(|pool| &**pool.name()))
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
        assert_eq!(found(&table, "h", "/x%2fadmin"), Some("app"), "an encoded slash is data, not a separator");
    }

    const READ_IN_TWO_WAYS: [&str; 28] = [
        "/x/..%2fadmin",
        "/%2fadmin",
        "/%2Fadmin/x",
        "/admin;v=1/secret",
        "/admin%3Bv=1/secret",
        "/;/admin",
        "/x/..;/admin",
        "/x\\..\\admin",
        "/x/..%5cadmin",
        "/admin%00",
        "/admin%00.html",
        "/admin%20",
        "/admin%0a",
        "/admin%3fx",
        "/x/..%20/admin",
        "/x\\..;/admin/%2f..",
        "/admin/../x",
        "/admin/..%2fx",
        "/x%2f..%2f%61dmin",
        "//x/admin",
        "/\\x/admin",
        "//admin/../x",
        "///admin/../../x",
        "//%61dmin/../../x",
        "/.//admin/../x",
        "//x/admin/../y",
        "//x//admin/../y",
        "/%2fadmin/..%2fx",
    ];

    #[test]
    fn a_target_that_common_servers_read_as_different_pools_is_ambiguous() {
        let two = table(&[("", "/", "app"), ("", "/admin", "admin")]);
        let hidden = table(&[("", "/x", "app")]);
        let same = table(&[("", "/", "app"), ("", "/admin", "app")]);
        let by_host = table(&[("a.test", "/", "app"), ("", "/", "rest")]);
        for path in READ_IN_TWO_WAYS {
            assert_eq!(found(&two, "h", path), Some("AMBIGUOUS"), "{path}");
            assert_eq!(found(&same, "h", path), Some("app"), "{path}");
            assert_eq!(found(&by_host, "A.test", path), Some("app"), "{path}");
        }
        // That no route takes what somebody may read is another answer too.
        assert_eq!(found(&hidden, "h", "/x/..%2fadmin"), Some("AMBIGUOUS"));
        assert_eq!(found(&hidden, "h", "/y/..%2fx"), Some("AMBIGUOUS"));
        let long = |odd: &str, length: usize| format!("/x{odd}{}", "y".repeat(length));
        assert_eq!(found(&two, "h", &long("%2f", 60_000)), Some("app"));
        assert_eq!(found(&two, "h", &long("%2f;\\%00%20", 2_000)), Some("app"));
        assert_eq!(found(&two, "h", &long("%2f;\\%00%20", 3_000)), Some("AMBIGUOUS"));
        assert_eq!(found(&same, "h", &long("%2f;\\%00%20", 30_000)), Some("app"), "one pool pays nothing");
    }

    #[test]
    fn a_target_that_all_read_as_one_pool_goes_there_however_odd_it_is() {
        let table = table(&[("", "/", "app"), ("", "/admin", "admin")]);
        for (path, pool) in [
            ("/a%2fb;c\\d%00%20", "app"),
            ("/files/my%20report;v=1.pdf", "app"),
            ("/admin/a%2fb;c%20", "admin"),
            ("/admin/..%2fadmin/x", "admin"),
            ("/administrator;v=1", "app"),
            ("/x/../admin/y", "admin"),
            ("//admin/x", "admin"),
            ("/x//admin", "app"),
            ("//x/../y/./z", "app"),
            ("//administrator/../x", "app"),
            ("/proxy/http%3A%2F%2Fa.test%2Fadmin%3Fq%3D%20;b", "app"),
        ] {
            assert_eq!(found(&table, "h", path), Some(pool), "{path}");
        }
    }

    #[test]
    fn a_route_is_found_under_its_encoded_path_too() {
        let table = table(&[("", "/", "app"), ("", "/caf%C3%A9/a%20b", "cafe")]);
        for path in ["/caf%C3%A9/a%20b/x", "/caf%c3%a9/%61%20b"] {
            assert_eq!(found(&table, "h", path), Some("cafe"), "{path}");
        }
    }

    #[test]
    fn without_a_match_there_is_no_pool() {
        assert_eq!(found(&table(&[("x.test", "/", "x")]), "y.test", "/"), None);
        assert_eq!(found(&table(&[("", "/api", "x")]), "y.test", "/"), None);
        assert_eq!(found(&table(&[("", "/api", "x")]), "y.test", "*"), None);
    }
}
