//! The configurations of the balancer, nginx and HAProxy.
//!
//! Decides what all of one make have in common: one thread, what their manuals advise, nothing of the system's own files.
//! Called by the commands, which add what a scenario is about. Never starts one.

use std::path::Path;

use crate::exchange::Endpoint;

/// Whose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Balancer,
    Nginx,
    Haproxy,
}

impl Make {
    /// As Debian calls it.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Make::Balancer => "balancer",
            Make::Nginx => "nginx",
            Make::Haproxy => "haproxy",
        }
    }
}

/// The balancer with one thread. `pool`: further keys of its pool, each line ended; `clients`: connections at once.
pub(crate) fn balancer(port: u16, endpoints: &[Endpoint], pool: &str, log: Option<&Path>, clients: u32) -> String {
    let log = match log {
        Some(path) => format!("format = \"combined\"\npath = {path:?}"),
        None => "format = \"off\"".to_owned(),
    };
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|endpoint| match endpoint {
            Endpoint::Port(port) => format!("\"127.0.0.1:{port}\""),
            Endpoint::Socket(path) => format!("\"unix:{}\"", path.display()),
        })
        .collect();
    // The default is reckoned with two descriptors a connection, which an idle one does not need.
    let most = if clients > MANY { format!("connections_max = {}\n", clients + 512) } else { String::new() };
    format!(
        "listen = \"127.0.0.1:{port}\"\nthreads = 1\n{most}\n[access_log]\n{log}\n\n[pool.app]\nendpoints = [{}]\n{pool}",
        endpoints.join(", ")
    )
}

/// nginx with one worker process. `log`: what stands behind `access_log`; `upstream` and `location`: further lines of these
/// blocks, each ended.
pub(crate) fn nginx(
    name: &str,
    port: u16,
    endpoints: &[Endpoint],
    [log, upstream, location]: [&str; 3],
    clients: u32,
) -> String {
    let servers: String =
        endpoints.iter().map(|endpoint| format!("        server {};\n", nginx_address(endpoint))).collect();
    nginx_with(
        name,
        clients,
        &format!(
            "    access_log {log};\n    upstream app {{\n{servers}{upstream}    }}\n    server {{\n        listen 127.0.0.1:{port};\n        \
             location / {{\n            proxy_pass http://app;\n{location}        }}\n    }}\n"
        ),
    )
}

/// nginx that answers by itself at these endpoints: eleven bytes, and files for `/bytes?n=N`.
pub(crate) fn nginx_origin(endpoints: &[Endpoint], clients: u32) -> String {
    let server = |endpoint: &Endpoint| {
        format!(
            "    server {{\n        listen {};\n        root .;\n        location = /bytes {{ try_files /bytes-$arg_n =404; }}\n        \
             location / {{ return 200 \"hello world\"; }}\n    }}\n",
            nginx_address(endpoint)
        )
    };
    let servers: String = endpoints.iter().map(server).collect();
    // keepalive_requests: an origin that closes every 1,000 requests would add its own steps to everybody's figures.
    let settings = "    access_log off;\n    keepalive_requests 1000000000;\n    sendfile on;\n    tcp_nopush on;\n    \
                    open_file_cache max=8;\n";
    nginx_with("origin", clients, &format!("{settings}{servers}"))
}

/// Relative paths are below the prefix, which is our temporary folder.
fn nginx_with(name: &str, clients: u32, servers: &str) -> String {
    let name = name.replace([' ', ','], "-");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {name}-temp;\n"))
        .collect();
    // Each proxied request holds two connections; the rest is for listeners and logs.
    let room = clients.saturating_mul(2).saturating_add(512);
    format!(
        "daemon off;\nworker_processes 1;\npid {name}.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections {room}; }}\nhttp {{\n{temporary}{servers}}}\n"
    )
}

fn nginx_address(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Port(port) => format!("127.0.0.1:{port}"),
        Endpoint::Socket(path) => format!("unix:{}", path.display()),
    }
}

/// HAProxy with one thread. `defaults`, `frontend` and `backend`: further lines of these sections, each ended; `server`: what
/// stands behind each endpoint.
pub(crate) fn haproxy(
    port: u16,
    endpoints: &[Endpoint],
    [defaults, frontend, backend, server]: [&str; 4],
    clients: u32,
) -> String {
    let servers: String = (1..)
        .zip(endpoints)
        .map(|(nth, endpoint)| match endpoint {
            Endpoint::Port(port) => format!("    server endpoint{nth} 127.0.0.1:{port}{server}\n"),
            Endpoint::Socket(path) => format!("    server endpoint{nth} unix@{}{server}\n", path.display()),
        })
        .collect();
    // Its logs go to syslog or a stream; stdout is a file here.
    let log = if defaults.contains("log global") { "    log stdout format raw local0\n" } else { "" };
    // no strict-limits: without the right to raise its descriptors it takes what there is, as the others do.
    let maxconn = clients + 512;
    format!(
        "global\n    nbthread 1\n    maxconn {maxconn}\n    no strict-limits\n{log}\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n{defaults}\
         frontend clients\n    bind 127.0.0.1:{port}\n    maxconn {maxconn}\n{frontend}    default_backend app\n\
         backend app\n{backend}{servers}"
    )
}

/// Clients from which on a usual descriptor limit may be too low for the balancer's default.
const MANY: u32 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> [Endpoint; 2] {
        [Endpoint::Port(2), Endpoint::Socket("/s".into())]
    }

    #[test]
    fn the_balancer_has_one_thread_its_pool_and_its_log() {
        let plain = "listen = \"127.0.0.1:1\"\nthreads = 1\n\n[access_log]\nformat = \"off\"\n\n\
                     [pool.app]\nendpoints = [\"127.0.0.1:2\", \"unix:/s\"]\nslots = 1\n";
        assert_eq!(balancer(1, &endpoints(), "slots = 1\n", None, 100), plain);
        let text = balancer(1, &endpoints(), "", Some("/x.log".as_ref()), 18_000);
        assert!(text.contains("\nformat = \"combined\"\npath = \"/x.log\"\n"), "{text}");
        assert!(text.contains("\nconnections_max = 18512\n"), "{text}");
    }

    #[test]
    fn nginx_and_haproxy_have_what_is_added_at_its_place() {
        let text = nginx("nginx", 1, &endpoints(), ["off", "        keepalive 64;\n", ""], 100);
        for line in ["worker_processes 1;", "server unix:/s;", "keepalive 64;", "events { worker_connections 712; }"] {
            assert!(text.lines().any(|found| found.trim() == line), "{line} is not in\n{text}");
        }
        let origin = nginx_origin(&endpoints(), 100);
        assert!(origin.contains("listen 127.0.0.1:2;") && origin.contains("listen unix:/s;"), "{origin}");
        for text in [text, origin] {
            assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        }
        let text = haproxy(1, &endpoints(), ["    http-reuse always\n", "", "", " maxconn 1"], 100);
        for line in ["nbthread 1", "http-reuse always", "server endpoint1 127.0.0.1:2 maxconn 1", "maxconn 612"] {
            assert!(text.lines().any(|found| found.trim() == line), "{line} is not in\n{text}");
        }
    }
}
