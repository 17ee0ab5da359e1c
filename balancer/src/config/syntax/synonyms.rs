//! What other programs call our keys. Decides which of ours is meant by a name that we do not know; called by [`super::findings`]; never
//! looks at a value.

/// The key that somebody means who knows it from nginx, HAProxy, supervisord, PM2, gunicorn, Puma, Caddy, Traefik or compose.
pub(in crate::config) fn ours(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
}

/// What to write for a name that is no key of that table, where it depends on the table.
pub(in crate::config) fn instead(table: &str, name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    OF_TABLES.iter().find(|(of, theirs, _)| (*of, *theirs) == (table, name.as_str())).map(|(.., instead)| *instead)
}

/// A table, a name in it that people write, and what is meant.
const OF_TABLES: &[(&str, &str, &str)] = &[
    ("", "port", "write `listen = \"127.0.0.1:8080\"`"),
    ("admin", "port", "write `address = \"127.0.0.1:9100\"`"),
    ("pool.NAME", "port", "write `endpoints = [\"127.0.0.1:8000\"]`"),
    (
        "pool.NAME",
        "timeout",
        "write `response_timeout`, for the first byte of an answer, or `request_timeout`, for all of it",
    ),
    ("pool.NAME.workers", "health_check", HEALTH),
    ("pool.NAME.workers", "healthcheck", HEALTH),
    ("pool.NAME.workers", "port", "write `first_port`; without it, each worker gets a free port as {port} and $PORT"),
];
const HEALTH: &str =
    "write `ready = { path = \"/health\" }`, for workers that start; [pool.app.probe] is for those that serve";

/// Theirs and ours.
const NAMES: &[(&str, &str)] = &[
    ("autorestart", "restart"),
    ("backend", "pool"),
    ("balance", "policy"),
    ("bind", "listen"),
    ("chdir", "directory"),
    ("client_body_timeout", "body_timeout"),
    ("client_header_timeout", "header_timeout"),
    ("client_max_body_size", "body_bytes_max"),
    ("cluster", "pool"),
    ("cmd", "command"),
    ("cwd", "directory"),
    ("environment", "env"),
    ("exec", "command"),
    ("fail_timeout", "eject_time"),
    ("graceful_timeout", "stop_timeout"),
    ("health_check", "probe"),
    ("healthcheck", "probe"),
    ("instances", "count"),
    ("keepalive_timeout", "keep_alive_timeout"),
    ("kill_signal", "stop_signal"),
    ("kill_timeout", "stop_timeout"),
    ("large_client_header_buffers", "header_bytes_max"),
    ("lb_policy", "policy"),
    ("location", "route"),
    ("max_fails", "eject_after"),
    ("max_memory_restart", "memory_max"),
    ("max_requests", "requests_max"),
    ("maxconn", "slots"),
    ("numprocs", "count"),
    ("processes", "count"),
    ("proxy_connect_timeout", "connect_timeout"),
    ("proxy_next_upstream_tries", "attempts_max"),
    ("proxy_pass", "endpoints"),
    ("proxy_read_timeout", "response_timeout"),
    ("replicas", "count"),
    ("script", "command"),
    ("server", "endpoints"),
    ("server_name", "host"),
    ("servers", "endpoints"),
    ("set_real_ip_from", "trusted_proxies"),
    ("startretries", "backoff"),
    ("stdout_logfile", "output"),
    ("sticky", "affinity"),
    ("stopsignal", "stop_signal"),
    ("stopwaitsecs", "stop_timeout"),
    ("upstream", "pool"),
    ("worker_connections", "connections_max"),
    ("worker_processes", "threads"),
    ("working_directory", "directory"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::top;

    #[test]
    fn what_depends_on_the_table_is_no_key_of_it_and_says_one() {
        let keys = top::keys();
        for (table, theirs, instead) in OF_TABLES {
            let is_key = |name: &str| keys.keys().any(|(of, key)| of == table && *key == name);
            let written = instead.split('`').nth(1).unwrap().split(' ').next().unwrap();
            assert!(is_key(written) && !is_key(theirs), "{table}: {theirs} → {instead}");
            assert_eq!(super::instead(table, theirs), Some(*instead));
        }
        assert_eq!(super::instead("tls", "port"), None);
    }

    #[test]
    fn every_name_leads_to_a_key_there_is_and_is_none_itself() {
        let keys = top::keys();
        let is_key = |name: &str| keys.keys().any(|(_, key)| *key == name);
        for (theirs, ours) in NAMES {
            assert!(is_key(ours) && !is_key(theirs), "{theirs} → {ours}");
        }
        assert_eq!((ours("stop-wait-secs"), ours("stopwaitsecs")), (None, Some("stop_timeout")));
        assert_eq!(ours("Proxy-Pass"), Some("endpoints"));
    }
}
