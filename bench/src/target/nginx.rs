//! nginx, as a proxy and as an origin.
//!
//! Decides its configurations, as its manual advises: upstream keep-alive, HTTP/1.1 to the endpoints, no Connection field.
//! Called by [`super::Running`] and [`super::Origin`]. Never touches the system's own nginx.

use std::process::Command;

use super::{Ground, Target};
use crate::cores::Place;
use crate::failure::Failure;

/// The command that starts the proxy, and its configuration's text.
pub(super) fn proxy(
    target: Target,
    port: u16,
    endpoints: [u16; 2],
    ground: &Ground<'_>,
) -> Result<(Command, String), Failure> {
    let connections = ground.plan.concurrency.max(ground.plan.connections);
    let fields = if target == Target::NginxBare { "" } else { ADDED_FIELDS };
    let name = target.name().replace(' ', "-");
    let log = if ground.plan.access_log { format!("{name}-access.log combined") } else { "off".to_owned() };
    let servers = format!(
        "    access_log {log};\n{}",
        proxy_servers(port, endpoints, connections.next_power_of_two().max(64), fields)
    );
    command(&name, Place::Proxy, &servers, connections, ground)
}

/// The command that starts an origin that answers `hello world` on both ports, and its configuration's text.
pub(super) fn origin(ports: [u16; 2], ground: &Ground<'_>) -> Result<(Command, String), Failure> {
    let connections = ground.plan.concurrency.max(ground.plan.connections);
    command("origin", Place::Generator, &origin_servers(ports), connections, ground)
}

fn command(
    name: &str,
    place: Place,
    servers: &str,
    connections: u32,
    ground: &Ground<'_>,
) -> Result<(Command, String), Failure> {
    let missing = || Failure::Missing("nginx is missing: apt-get install nginx-light".to_owned());
    let program = ground.programs.nginx.as_deref().ok_or_else(missing)?;
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

fn proxy_servers(port: u16, [first, second]: [u16; 2], keep_alive: u32, fields: &str) -> String {
    format!(
        "    upstream app {{
        server 127.0.0.1:{first};
        server 127.0.0.1:{second};
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

fn origin_servers(ports: [u16; 2]) -> String {
    // keepalive_requests: an origin that closes every 1,000 requests would add its own steps to everybody's figures.
    let server =
        |port: u16| format!("    server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"hello world\"; }} }}\n");
    let servers: String = ports.into_iter().map(server).collect();
    format!("    access_log off;\n    keepalive_requests 1000000000;\n{servers}")
}

const ADDED_FIELDS: &str = "            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_keeps_upstream_connections_as_the_manual_advises() {
        let text = configuration("nginx", &proxy_servers(1, [2, 3], 128, ADDED_FIELDS), 100);
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
        assert!(!proxy_servers(1, [2, 3], 64, "").contains("X-"));
    }

    #[test]
    fn the_origin_listens_on_both_ports() {
        let text = origin_servers([7, 8]);
        assert!(text.contains("listen 127.0.0.1:7;") && text.contains("listen 127.0.0.1:8;"));
    }
}
