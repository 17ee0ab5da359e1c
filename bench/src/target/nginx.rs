//! nginx, as a proxy and as an origin.
//!
//! Decides its configurations, as its manual advises: upstream keep-alive, HTTP/1.1 to the endpoints, no Connection field.
//! Called by [`super::Running`] and [`super::Origin`]. Never touches the system's own nginx.

use std::process::Command;

use super::{Endpoint, Ground, Target};
use crate::cores::Place;
use crate::failure::Failure;
use crate::scenario::Scenario;

/// The command that starts the proxy, and its configuration's text.
pub(super) fn proxy(
    target: Target,
    port: u16,
    endpoints: &[Endpoint; 2],
    log: bool,
    ground: &Ground<'_>,
) -> Result<(Command, String), Failure> {
    let clients = ground.setting.clients;
    let fields = if target == Target::NginxBare { "" } else { ADDED_FIELDS };
    let uploads = if ground.setting.scenario == Scenario::Upload { STREAMED_UPLOADS } else { "" };
    let name = target.name().replace(' ', "-");
    let log = if log { format!("{name}-access.log combined") } else { "off".to_owned() };
    let keep_alive = clients.next_power_of_two().clamp(64, 8_192);
    let servers =
        format!("    access_log {log};\n{}", proxy_servers(port, endpoints, keep_alive, &format!("{fields}{uploads}")));
    command(&name, Place::Proxy, &servers, clients, ground)
}

/// The command that starts an origin that answers on both endpoints, and its configuration's text.
pub(super) fn origin(endpoints: &[Endpoint; 2], ground: &Ground<'_>) -> Result<(Command, String), Failure> {
    for bytes in [102_400_usize, 1_048_576] {
        let text: String = ('0'..='9').chain('a'..='z').cycle().take(bytes).collect();
        ground.scratch.write(&format!("bytes-{bytes}"), &text)?;
    }
    command("origin", Place::Generator, &origin_servers(endpoints), ground.setting.clients, ground)
}

fn command(
    name: &str,
    place: Place,
    servers: &str,
    connections: u32,
    ground: &Ground<'_>,
) -> Result<(Command, String), Failure> {
    let program = ground.programs.nginx.as_deref().ok_or_else(|| Failure::missing("nginx"))?;
    let text = configuration(name, servers, connections);
    let file = ground.scratch.write(&format!("{name}.conf"), &text)?;
    let mut command = ground.cores.command(place, program);
    // -e: before it has read its configuration it would write to the system's log.
    command.args(["-e", "stderr", "-p"]).arg(ground.scratch.path()).arg("-c").arg(file);
    Ok((command, text))
}

/// Relative paths are below the prefix, which is our temporary folder.
fn configuration(name: &str, servers: &str, connections: u32) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {name}-temp;\n"))
        .collect();
    // Each proxied request holds two connections; the rest is for listeners and logs.
    let room = connections.saturating_mul(2).saturating_add(512);
    format!(
        "daemon off;\nworker_processes 1;\npid {name}.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections {room}; }}\nhttp {{\n{temporary}{servers}}}\n"
    )
}

fn proxy_servers(port: u16, endpoints: &[Endpoint; 2], keep_alive: u32, fields: &str) -> String {
    let [first, second] = endpoints.each_ref().map(address);
    format!(
        "    upstream app {{
        server {first};
        server {second};
        keepalive {keep_alive};
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
{fields}        }}
    }}
"
    )
}

fn origin_servers(endpoints: &[Endpoint; 2]) -> String {
    // keepalive_requests: an origin that closes every 1,000 requests would add its own steps to everybody's figures.
    let server = |endpoint: &Endpoint| {
        let address = address(endpoint);
        format!(
            "    server {{
        listen {address};
        root .;
        location = /bytes {{ try_files /bytes-$arg_n =404; }}
        location / {{ return 200 \"hello world\"; }}
    }}
"
        )
    };
    let servers: String = endpoints.iter().map(server).collect();
    format!(
        "    access_log off;\n    keepalive_requests 1000000000;\n    sendfile on;\n    tcp_nopush on;\n    \
         open_file_cache max=8;\n{servers}"
    )
}

fn address(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Port(port) => format!("127.0.0.1:{port}"),
        Endpoint::Socket(path) => format!("unix:{}", path.display()),
    }
}

const ADDED_FIELDS: &str = "            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
";
/// By default it takes at most 1 MB, and writes the body to a file first; the others pass it on as it comes.
const STREAMED_UPLOADS: &str = "            client_max_body_size 0;
            proxy_request_buffering off;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_keeps_upstream_connections_as_the_manual_advises() {
        let text =
            configuration("nginx", &proxy_servers(1, &[Endpoint::Port(2), Endpoint::Port(3)], 128, ADDED_FIELDS), 100);
        for line in [
            "worker_processes 1;",
            "keepalive 128;",
            "server 127.0.0.1:3;",
            "proxy_http_version 1.1;",
            "proxy_set_header Connection \"\";",
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
            "events { worker_connections 712; }",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }

    #[test]
    fn the_bare_proxy_adds_no_field() {
        assert!(!proxy_servers(1, &[Endpoint::Port(2), Endpoint::Port(3)], 64, "").contains("X-"));
    }

    #[test]
    fn the_origin_listens_on_both_endpoints() {
        let text = origin_servers(&[Endpoint::Port(7), Endpoint::Socket("/s".into())]);
        assert!(text.contains("listen 127.0.0.1:7;") && text.contains("listen unix:/s;"));
    }
}
