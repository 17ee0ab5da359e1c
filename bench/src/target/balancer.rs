//! The balancer of this workspace.
//!
//! Decides its configuration: one thread, two endpoints, the rest as users get it. Called by [`super::Running`]. Never
//! switches anything off that nginx does not do either.

use std::process::Command;

use super::Ground;
use crate::cores::Place;
use crate::failure::Failure;

/// The command that starts it, and its configuration's text.
pub(super) fn command(port: u16, endpoints: [u16; 2], ground: &Ground<'_>) -> Result<(Command, String), Failure> {
    let missing = || Failure::Missing("no balancer was looked for".to_owned());
    let program = ground.programs.balancer.as_deref().ok_or_else(missing)?;
    let log = ground.scratch.path().join("balancer-access.log");
    let text = configuration(port, endpoints, ground.plan.access_log.then(|| log.to_string_lossy()).as_deref());
    let file = ground.scratch.write("lb.toml", &text)?;
    let mut command = ground.cores.command(Place::Proxy, program);
    command.arg("--config").arg(file);
    Ok((command, text))
}

fn configuration(port: u16, [first, second]: [u16; 2], log: Option<&str>) -> String {
    let log = match log {
        Some(path) => format!("format = \"combined\"\npath = \"{path}\""),
        None => "format = \"off\"".to_owned(),
    };
    format!(
        "listen = \"127.0.0.1:{port}\"\n\
         threads = 1\n\
         \n\
         [access_log]\n\
         {log}\n\
         \n\
         [pool.app]\n\
         endpoints = [\"127.0.0.1:{first}\", \"127.0.0.1:{second}\"]\n"
    )
}

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
        assert_eq!(configuration(1, [2, 3], None), expected);
    }

    #[test]
    fn the_access_log_goes_to_a_file() {
        let text = configuration(1, [2, 3], Some("/tmp/x.log"));
        assert!(text.contains("[access_log]\nformat = \"combined\"\npath = \"/tmp/x.log\"\n"), "{text}");
    }
}
