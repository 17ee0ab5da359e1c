//! HAProxy, as its manual advises.
//!
//! Decides its configuration: one thread, HTTP mode, upstream connections kept and shared (`http-reuse always`), the usual
//! added fields. Called by [`super::Running`]. Never touches the system's own HAProxy.

use std::process::Command;

use super::{Endpoint, Ground, Target};
use crate::cores::Place;
use crate::failure::Failure;

/// The command that starts it, and its configuration's text.
pub(super) fn command(
    target: Target,
    port: u16,
    endpoints: &[Endpoint; 2],
    log: bool,
    ground: &Ground<'_>,
) -> Result<(Command, String), Failure> {
    let program = ground.programs.haproxy.as_deref().ok_or_else(|| Failure::missing("haproxy"))?;
    let text = configuration(port, endpoints, ground.setting.clients, target == Target::HaproxySplice, log);
    let file = ground.scratch.write(&format!("{}.cfg", target.name().replace(' ', "-")), &text)?;
    let mut command = ground.cores.command(Place::Proxy, program);
    // -db: in the foreground, one process.
    command.args(["-db", "-f"]).arg(file);
    Ok((command, text))
}

fn configuration(port: u16, endpoints: &[Endpoint; 2], clients: u32, splice: bool, log: bool) -> String {
    let servers: String = endpoints
        .iter()
        .zip(["first", "second"])
        .map(|(endpoint, name)| match endpoint {
            Endpoint::Port(port) => format!("    server {name} 127.0.0.1:{port}\n"),
            Endpoint::Socket(path) => format!("    server {name} unix@{}\n", path.display()),
        })
        .collect();
    // Its logs go to syslog or a stream; stdout is a file here.
    let [log_to, log_format] =
        if log { ["    log stdout format raw local0\n", "    log global\n    option httplog\n"] } else { [""; 2] };
    let splice = if splice { "    option splice-auto\n" } else { "" };
    // no strict-limits: without the right to raise its descriptors it takes what there is, as the others do.
    let maxconn = clients + 512;
    format!(
        "global\n    nbthread 1\n    maxconn {maxconn}\n    no strict-limits\n{log_to}\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n    \
         timeout http-keep-alive 60s\n    option forwardfor\n    http-reuse always\n{splice}{log_format}\
         frontend clients\n    bind 127.0.0.1:{port}\n    maxconn {maxconn}\n    \
         http-request set-header X-Forwarded-Proto http\n    default_backend app\n\
         backend app\n    balance roundrobin\n{servers}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reuses_upstream_connections_on_one_thread() {
        let text = configuration(1, &[Endpoint::Port(2), Endpoint::Socket("/s".into())], 100, false, false);
        for line in
            ["nbthread 1", "http-reuse always", "server first 127.0.0.1:2", "server second unix@/s", "maxconn 612"]
        {
            assert!(text.lines().any(|found| found.trim() == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("splice") && !text.contains("log"), "{text}");
    }

    #[test]
    fn splice_and_log_are_asked_for_by_name() {
        let text = configuration(1, &[Endpoint::Port(2), Endpoint::Port(3)], 100, true, true);
        assert!(text.contains("option splice-auto\n") && text.contains("log stdout format raw local0\n"), "{text}");
    }
}
