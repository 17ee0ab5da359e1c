//! One build of the balancer, or several to compare, and what is behind them.
//!
//! Decides how each is started: one thread over one origin, on the same cores. Called by [`crate::guard`]
//! and [`crate::footprint`]. Never generates load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cores::{Cores, Place};
use crate::events::Events;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::service::Service;
use crate::target::free_ports;

/// What starting anything takes.
pub(crate) struct Ground<'a> {
    pub(crate) cores: &'a Cores,
    pub(crate) scratch: &'a Scratch,
    pub(crate) events: &'a Arc<Events>,
}

/// One build.
pub(crate) struct Side<'a> {
    pub(crate) name: &'static str,
    pub(crate) program: &'a Path,
}

/// What differs from the plain configuration, which has neither.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// Keys of the pool, each line ended.
    pub(crate) pool: &'static str,
    /// Whether there is an access log, in a file.
    pub(crate) logs: bool,
}

/// The same for both: two of this workspace's `backend`.
pub(crate) struct Origin {
    pub(crate) services: [Service; 2],
}

impl Origin {
    pub(crate) fn start(program: &Path, ground: &Ground<'_>) -> Result<Origin, Failure> {
        let start = |name, port: u16| {
            let mut command = ground.cores.command(Place::Generator, program);
            command.env("HOST", "127.0.0.1").env("PORT", port.to_string());
            Service::start(name, command, port, PATH, START_TIME, ground.scratch.path(), ground.events)
        };
        let [first, second] = free_ports()?;
        Ok(Origin { services: [start("origin 1", first)?, start("origin 2", second)?] })
    }
}

impl Side<'_> {
    /// Starts this balancer, with `words` before its own (a checker that runs it), and waits until it answers.
    pub(crate) fn start(
        &self,
        words: &[String],
        settings: Settings,
        origin: &Origin,
        ground: &Ground<'_>,
    ) -> Result<Service, Failure> {
        self.start_before(&[0, 1].map(|nth| origin.services[nth].port), words, settings, ground)
    }

    /// The same before other endpoints.
    pub(crate) fn start_before(
        &self,
        ports: &[u16],
        words: &[String],
        settings: Settings,
        ground: &Ground<'_>,
    ) -> Result<Service, Failure> {
        let [port] = free_ports()?;
        let text = configuration(port, ports, settings, &ground.scratch.path().join("access.log"));
        let file = ground.scratch.write(&format!("{}.toml", self.name), &text)?;
        let mut command = match words.split_first() {
            Some((program, rest)) => {
                let mut command = ground.cores.command(Place::Proxy, program.as_ref());
                command.args(rest).arg(self.program);
                command
            }
            None => ground.cores.command(Place::Proxy, self.program),
        };
        command.arg("--config").arg(file);
        let name = format!("balancer of {}", self.name);
        Service::start(&name, command, port, PATH, START_TIME, ground.scratch.path(), ground.events)
    }
}

fn configuration(port: u16, endpoints: &[u16], Settings { pool, logs }: Settings, log: &Path) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let endpoints = endpoints.join(", ");
    let log = if logs { format!("format = \"combined\"\npath = {log:?}") } else { "format = \"off\"".to_owned() };
    format!(
        "listen = \"127.0.0.1:{port}\"\nthreads = 1\n\n[access_log]\n{log}\n\n\
         [pool.app]\n{pool}endpoints = [{endpoints}]\n"
    )
}

/// What is asked for: eleven bytes.
pub(crate) const PATH: &str = "/hello";
/// Long enough for a program that valgrind runs on a busy machine.
const START_TIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_what_the_manner_asks_for() {
        let text = |settings| configuration(1, &[2, 3], settings, "/l".as_ref());
        let plain = text(Settings::default());
        assert!(
            plain.contains("format = \"off\"\n\n[pool.app]\nendpoints = [\"127.0.0.1:2\", \"127.0.0.1:3\"]\n"),
            "{plain}"
        );
        assert!(text(Settings { pool: "slots = 4\n", logs: false }).contains("\nslots = 4\nendpoints"));
        let logging = text(Settings { pool: "", logs: true });
        assert!(logging.contains("format = \"combined\"\npath = \"/l\"\n"), "{logging}");
    }
}
