//! The balancer of this workspace.
//!
//! Decides its configuration: one thread, two endpoints, the rest as users get it. Called by [`super::Running`]. Never
//! switches anything off that nginx does not do either.

use std::process::Command;

use super::{Endpoint, Ground};
use crate::cores::Place;
use crate::failure::Failure;

/// The command that starts it, and its configuration's text.
pub(super) fn command(
    port: u16,
    endpoints: &[Endpoint; 2],
    log: bool,
    ground: &Ground<'_>,
) -> Result<(Command, String), Failure> {
    let missing = || Failure::Missing("no balancer was looked for".to_owned());
    let program = ground.programs.balancer.as_deref().ok_or_else(missing)?;
    let file = ground.scratch.path().join("balancer-access.log");
    let log = log.then(|| file.to_string_lossy());
    let text = configuration(port, endpoints, ground.setting.clients, log.as_deref());
    let file = ground.scratch.write(if log.is_some() { "lb-log.toml" } else { "lb.toml" }, &text)?;
    let mut command = ground.cores.command(Place::Proxy, program);
    command.arg("--config").arg(file);
    Ok((command, text))
}

fn configuration(port: u16, endpoints: &[Endpoint; 2], clients: u32, log: Option<&str>) -> String {
    let log = match log {
        Some(path) => format!("format = \"combined\"\npath = \"{path}\""),
        None => "format = \"off\"".to_owned(),
    };
    let [first, second] = endpoints.each_ref().map(|endpoint| match endpoint {
        Endpoint::Port(port) => format!("127.0.0.1:{port}"),
        Endpoint::Socket(path) => format!("unix:{}", path.display()),
    });
    // The default is reckoned with two descriptors a connection, which an idle one does not need.
    let most = if clients > MANY { format!("connections_max = {}\n", clients + 512) } else { String::new() };
    format!(
        "listen = \"127.0.0.1:{port}\"\n\
         threads = 1\n\
         {most}\
         \n\
         [access_log]\n\
         {log}\n\
         \n\
         [pool.app]\n\
         endpoints = [\"{first}\", \"{second}\"]\n"
    )
}

/// Clients from which on a usual descriptor limit may be too low for the default.
const MANY: u32 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_thread_over_two_endpoints() {
        let expected = r#"listen = "127.0.0.1:1"
threads = 1

[access_log]
format = "off"

[pool.app]
endpoints = ["127.0.0.1:2", "127.0.0.1:3"]
"#;
        assert_eq!(configuration(1, &[Endpoint::Port(2), Endpoint::Port(3)], 100, None), expected);
    }

    #[test]
    fn the_access_log_goes_to_a_file_and_many_connections_are_let_in() {
        let text = configuration(1, &[Endpoint::Port(2), Endpoint::Socket("/s".into())], 18_000, Some("/tmp/x.log"));
        assert!(text.contains("[access_log]\nformat = \"combined\"\npath = \"/tmp/x.log\"\n"), "{text}");
        assert!(text.contains("endpoints = [\"127.0.0.1:2\", \"unix:/s\"]\n"), "{text}");
        assert!(text.contains("\nconnections_max = 18512\n"), "{text}");
    }
}
