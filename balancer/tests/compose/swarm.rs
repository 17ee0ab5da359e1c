//! `deploy/swarm.yaml` as it stands, in a swarm of this host, and perhaps a second one, under a name and at a port of its own.

use std::net::TcpListener;
use std::process::Command;

use super::engine::{Engine, OURS, THEIRS};
use super::image::{Image, command, docker, repository, said};
use super::load::{get, names};
use super::stack::eventually;

/// A stack; it is removed when this is dropped, and so is the swarm if it was formed for it.
pub(crate) struct Swarm {
    name: String,
    port: u16,
    formed: bool,
    bridged: bool,
}

impl Swarm {
    /// All its tasks run, and balancer answers.
    pub(crate) fn up(image: &Image) -> Self {
        Self::up_on(image, None)
    }

    /// The same on two hosts, which share the tasks.
    pub(crate) fn up_on(image: &Image, second: Option<&Engine>) -> Self {
        let formed = docker(&["info", "-f", "{{.Swarm.LocalNodeState}}"]) == "inactive";
        let bridged = !command(&["network", "inspect", BRIDGE]).status.success();
        let here = if second.is_some() { OURS } else { "127.0.0.1" };
        if formed {
            docker(&["swarm", "init", "--advertise-addr", here, "--listen-addr", &format!("{here}:2377")]);
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let swarm = Self { name: format!("balancertest{}", std::process::id()), port, formed, bridged };
        if let Some(second) = second {
            let token = docker(&["swarm", "join-token", "-q", "worker"]);
            second.docker(&["swarm", "join", "--token", &token, "--advertise-addr", THEIRS, &format!("{OURS}:2377")]);
        }
        let deployed = Command::new("docker")
            .args(["stack", "deploy", "--resolve-image", "never", "-c", "deploy/swarm.yaml", &swarm.name])
            .env("BALANCER_IMAGE", image.name())
            .env("BALANCER_PORT", port.to_string())
            .env("BALANCER_CONFIG_VERSION", &swarm.name)
            .current_dir(repository())
            .output()
            .unwrap();
        assert!(deployed.status.success(), "{}", said(&deployed));
        eventually("an answer", || get(&swarm.address(), "/").ok().filter(|(status, _)| *status == 200));
        swarm.await_names(4);
        swarm
    }

    /// Where balancer is reached.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where the one on the second host is.
    pub(crate) fn far_address(&self) -> String {
        format!("{THEIRS}:{}", self.port)
    }

    pub(crate) fn await_names(&self, count: usize) {
        eventually("tasks", || (names(&self.address()).len() == count).then_some(()));
    }

    /// The service whose tasks answer.
    pub(crate) fn backend(&self) -> String {
        format!("{}_backend", self.name)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", said(&command(&["stack", "ps", "--no-trunc", &self.name])));
            let logs = said(&command(&["service", "logs", "--raw", &format!("{}_balancer", self.name)]));
            logs.lines().filter(|line| !line.contains(" reason=- ")).for_each(|line| eprintln!("{line}"));
        }
        command(&["stack", "rm", &self.name]);
        // What still runs when the swarm is left would be nobody's.
        let label = format!("label=com.docker.stack.namespace={}", self.name);
        let left = || said(&command(&["ps", "-aq", "--filter", &label]));
        let gone = (0..600).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            left().trim().is_empty()
        });
        if !gone {
            left().lines().for_each(|container| _ = command(&["rm", "-f", container]));
        }
        if self.formed {
            command(&["swarm", "leave", "--force"]);
        }
        if self.bridged {
            command(&["network", "rm", BRIDGE]);
        }
    }
}

/// Docker makes it for a swarm, and leaves it behind.
const BRIDGE: &str = "docker_gwbridge";
