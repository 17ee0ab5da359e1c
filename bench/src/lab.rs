//! What starting anything takes, found once.
//!
//! Decides which programs there are and how a proxy or a worker is started. Called by every command. Never measures.

use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, net::TcpListener, process::Command, sync::Arc, time::Duration};

use clap::Args;

use crate::cores::{Cores, Place};
use crate::{
    events::Events, exchange::Endpoint, failure::Failure, programs, proxies::Make, scratch::Scratch, service::Service,
};

/// Arguments every command has that measures one build.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Builds {
    /// The balancer to measure [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    pub(crate) balancer: Option<PathBuf>,
    /// The backend behind it [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    pub(crate) backend: Option<PathBuf>,
}

/// Programs, cores and a folder.
pub(crate) struct Lab {
    pub(crate) cores: Cores,
    pub(crate) scratch: Scratch,
    pub(crate) events: Arc<Events>,
    ours: BTreeMap<&'static str, PathBuf>,
}

impl Lab {
    /// Finds our own programs, and builds them where they are not given.
    pub(crate) fn of(builds: &Builds, events: &Arc<Events>) -> Result<Lab, Failure> {
        Lab::with(&["balancer", "backend"], builds, events)
    }

    /// The same where not both are needed.
    pub(crate) fn with(needed: &[&'static str], builds: &Builds, events: &Arc<Events>) -> Result<Lab, Failure> {
        let given = |name: &str| match name {
            "balancer" => builds.balancer.as_deref(),
            _ => builds.backend.as_deref(),
        };
        let wanted: Vec<(&'static str, Option<&Path>)> = needed.iter().map(|name| (*name, given(name))).collect();
        let ours = programs::ours(&wanted, events)?;
        Ok(Lab { cores: Cores::find(), scratch: Scratch::create()?, events: Arc::clone(events), ours })
    }

    /// One of ours, or one that is installed.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf, Failure> {
        let found = self.ours.get(name).cloned().or_else(|| programs::find(name));
        found.ok_or_else(|| Failure::missing(name))
    }

    /// Another build in the place of ours.
    pub(crate) fn put(&mut self, name: &'static str, path: &Path) {
        self.ours.insert(name, path.to_owned());
    }

    /// The command that starts a program at its place; arguments are added by the caller.
    pub(crate) fn command(&self, place: Place, program: &str) -> Result<Command, Failure> {
        Ok(self.cores.command(place, &self.program(program)?))
    }

    /// Starts a proxy, or nginx as an origin, with this configuration, and waits until it answers.
    pub(crate) fn proxy(
        &self,
        name: &str,
        make: Make,
        place: Place,
        at: (&Endpoint, &str),
        text: String,
    ) -> Result<Service, Failure> {
        let mut command = self.command(place, make.program())?;
        self.configure(&mut command, name, make, &text)?;
        let (endpoint, path) = at;
        let service = Service::start(self, name, command, endpoint, path)?;
        Ok(Service { text, ..service })
    }

    /// Adds the arguments with which a program reads its configuration.
    pub(crate) fn configure(&self, command: &mut Command, name: &str, make: Make, text: &str) -> Result<(), Failure> {
        let file = self.scratch.write(&format!("{}.conf", name.replace([' ', ','], "-")), text)?;
        match make {
            Make::Balancer => command.arg("--config").arg(file),
            // -e: before it has read its configuration it would write to the system's log.
            Make::Nginx => command.args(["-e", "stderr", "-p"]).arg(self.scratch.path()).arg("-c").arg(file),
            // -db: in the foreground, one process.
            Make::Haproxy => command.args(["-db", "-f"]).arg(file),
        };
        Ok(())
    }

    /// Starts a `backend` with these words.
    pub(crate) fn backend(
        &self,
        name: &str,
        place: Place,
        endpoint: &Endpoint,
        words: &[&str],
        path: &str,
    ) -> Result<Service, Failure> {
        let mut command = self.command(place, "backend")?;
        command.args(words);
        // As the balancer tells its workers.
        match endpoint {
            Endpoint::Port(port) => command.env("HOST", "127.0.0.1").env("PORT", port.to_string()),
            Endpoint::Socket(file) => command.env("SOCKET", file),
        };
        Service::start(self, name, command, endpoint, path)
    }

    /// Waits while none of these may end.
    pub(crate) fn pause<'a>(
        &self,
        services: impl IntoIterator<Item = &'a mut Service>,
        time: Duration,
    ) -> Result<(), Failure> {
        let mut services: Vec<&mut Service> = services.into_iter().collect();
        let pids: Vec<u32> = services.iter().map(|service| service.process.pid()).collect();
        match self.events.wait_any(&pids, time)? {
            Some(pid) => Err(ended(&mut services, pid)),
            None => Ok(()),
        }
    }
}

/// The complaint about one that has ended while it was measured.
pub(crate) fn ended(services: &mut [&mut Service], pid: u32) -> Failure {
    match services.iter_mut().find(|service| service.process.pid() == pid) {
        Some(service) => service.process.ended("while it was measured"),
        None => Failure::Missing(format!("process {pid} ended while it was measured")),
    }
}

/// Different ports nobody listened on a moment ago; should somebody take one now, the program's own message says so.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], Failure> {
    let finding = |e| Failure::system("find a free port", e);
    // All are held until the last is found, or the same might be given twice.
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(finding)?;
        *port = listener.local_addr().map_err(finding)?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_and_can_be_bound() {
        let [first, second] = free_ports().unwrap();
        assert_ne!(first, second);
        assert!(TcpListener::bind(("127.0.0.1", first)).is_ok());
    }
}
