//! `deploy/compose.yaml` as it stands, under a name and at a port of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::image::{Image, command, repository, said};
use super::load::{get, names};

/// A project; all of it is removed when it is dropped.
pub(crate) struct Stack {
    project: String,
    image: String,
    file: PathBuf,
    port: u16,
}

/// A container; removed when it is dropped.
pub(crate) struct Container(pub(crate) String);

impl Drop for Container {
    fn drop(&mut self) {
        command(&["rm", "-f", &self.0]);
    }
}

impl Stack {
    /// With so many replicas; `more` are further keys of the pool.
    pub(crate) fn up(image: &Image, replicas: usize, more: &str) -> Self {
        let project = format!("balancertest{}", std::process::id());
        let file = std::env::temp_dir().join(format!("{project}.toml"));
        let shipped = std::fs::read_to_string(repository().join("deploy/compose.lb.toml")).unwrap();
        std::fs::write(&file, format!("{shipped}{more}")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let stack = Self { project, image: image.name().to_owned(), file, port };
        let begun = Instant::now();
        stack.compose(&["up", "-d", "--no-build", "--scale", &format!("backend={replicas}")]);
        eventually("an answer", || get(&stack.address(), "/").ok().filter(|(status, _)| *status == 200));
        eprintln!("up and answering after {:.1} s", begun.elapsed().as_secs_f64());
        stack
    }

    /// Where balancer is reached.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "docker-compose {arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker-compose");
        command.args(["-f", "deploy/compose.yaml", "-p", &self.project]).args(arguments).current_dir(repository());
        command.env("BALANCER_IMAGE", &self.image).env("BALANCER_PORT", self.port.to_string());
        command.env("BALANCER_CONFIG_FILE", &self.file).env("COMPOSE_DOCKER_CLI_BUILD", "0");
        command
    }

    pub(crate) fn scale(&self, replicas: usize) {
        self.compose(&["up", "-d", "--no-build", "--no-recreate", "--scale", &format!("backend={replicas}")]);
    }

    /// The replicas' containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.compose(&["ps", "-q", "backend"]).lines().map(str::to_owned).collect()
    }

    /// Who answers a few requests.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        names(&self.address())
    }

    /// Waits until so many replicas answer.
    pub(crate) fn await_names(&self, count: usize) {
        eventually("replicas", || (self.names().len() == count).then_some(()));
    }

    pub(crate) fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    /// What balancer says of itself, as JSON.
    pub(crate) fn status(&self) -> String {
        let balancer = self.compose(&["ps", "-q", "balancer"]);
        let asked = command(&["exec", balancer.trim(), "/usr/local/bin/balancer", "status", "--json"]);
        String::from_utf8_lossy(&asked.stdout).into_owned()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.command(&["logs", "--no-color", "--tail", "60", "balancer"]).output().unwrap();
            eprintln!("{}", said(&logs));
        }
        let _ = self.command(&["down", "-v", "-t", "2", "--remove-orphans"]).output();
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within {PATIENCE:?}: {what}");
}

/// Docker takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
