//! What is measured: the origin itself and the proxies in front of it.
//!
//! Decides how each is started and when it is up. Called by [`crate::compare`]. Never generates load.

mod balancer;
mod haproxy;
mod nginx;
mod origin;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use origin::Origin;

use crate::arguments::Plan;
use crate::cores::Cores;
use crate::events::Events;
use crate::exchange::{self, Answer};
use crate::failure::Failure;
use crate::process::Process;
use crate::programs::Programs;
use crate::scenario::{Column, Condition, Setting};
use crate::scratch::Scratch;

/// One column of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// The first endpoint without a proxy: the base line.
    Direct,
    /// This workspace's balancer.
    Balancer,
    /// nginx as its manual advises for a reverse proxy.
    Nginx,
    /// nginx without added fields.
    NginxBare,
    /// HAProxy as its manual advises.
    Haproxy,
    /// HAProxy that moves large bodies inside the kernel (`option splice-auto`).
    HaproxySplice,
}

impl Target {
    /// In the order of measuring and printing.
    pub(crate) const ALL: [Target; 6] =
        [Target::Direct, Target::Balancer, Target::Nginx, Target::NginxBare, Target::Haproxy, Target::HaproxySplice];

    /// The head of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Direct => "direct",
            Target::Balancer => "balancer",
            Target::Nginx => "nginx",
            Target::NginxBare => "nginx bare",
            Target::Haproxy => "haproxy",
            Target::HaproxySplice => "haproxy splice",
        }
    }
}

/// What starting anything takes; borrowed by all who start.
pub(crate) struct Ground<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) programs: &'a Programs,
    pub(crate) cores: &'a Cores,
    pub(crate) scratch: &'a Scratch,
    pub(crate) events: &'a Arc<Events>,
    pub(crate) setting: &'a Setting,
}

/// Where an endpoint of the origin listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// On 127.0.0.1.
    Port(u16),
    Socket(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Port(port) => write!(f, "port {port}"),
            Endpoint::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A target that answers; its process ends with this value.
pub(crate) struct Running {
    pub(crate) target: Target,
    /// Was it started with the access log on because a column asks for it?
    log: bool,
    pub(crate) port: u16,
    path: &'static str,
    /// `None` for direct, which is the origin's.
    pub(crate) process: Option<Process>,
    pub(crate) configuration: Option<Configuration>,
}

/// What a program was told, printed with the result so that somebody else can run it again.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) name: String,
    pub(crate) command: String,
    /// The configuration file's text; empty when there is none.
    pub(crate) text: String,
}

impl Running {
    /// Starts what `column` is measured on in front of `origin` and waits until it answers.
    ///
    /// # Errors
    /// [`Failure::Target`] with the target's stderr when it ends or does not answer within ten seconds.
    pub(crate) fn start(column: Column, origin: &Origin, ground: &Ground<'_>) -> Result<Running, Failure> {
        let (target, log) = (column.target, column.condition == Condition::AccessLog);
        let path = ground.setting.path;
        if target == Target::Direct {
            let Endpoint::Port(port) = origin.endpoints[0] else {
                return Err(Failure::Missing("an origin on Unix sockets cannot be loaded without a proxy".to_owned()));
            };
            return Ok(Running { target, log, port, path, process: None, configuration: None });
        }
        let [port] = free_ports()?;
        let logs = log || ground.plan.access_log;
        let (command, text) = match target {
            Target::Balancer => balancer::command(port, &origin.endpoints, logs, ground)?,
            Target::Haproxy | Target::HaproxySplice => haproxy::command(target, port, &origin.endpoints, logs, ground)?,
            _ => nginx::proxy(target, port, &origin.endpoints, logs, ground)?,
        };
        let name = Column { target, condition: if log { Condition::AccessLog } else { Condition::Plain } }.name();
        let line = command_line(&command);
        let process = Process::spawn(&name, command, ground.scratch.path(), ground.events)?;
        let mut running = Running { target, log, port, path, process: Some(process), configuration: None };
        running.configuration = Some(Configuration { name, command: line, text });
        if let Some(process) = &mut running.process {
            await_answer(process, &Endpoint::Port(port), path, ground.events)?;
        }
        Ok(running)
    }

    /// Is this the process `column` is measured on?
    pub(crate) fn is_for(&self, column: Column) -> bool {
        self.target == column.target && self.log == (column.condition == Condition::AccessLog)
    }

    /// Does it answer 200 with the origin's body? Asked as often as there are endpoints, so that each has its turn.
    pub(crate) fn check(&self, right: &Answer) -> Result<(), Failure> {
        for _ in 0..ENDPOINTS {
            let what = match exchange::get(&Endpoint::Port(self.port), self.path) {
                Ok(answer) if answer == *right => continue,
                Ok(answer) => format!("answers {answer} where the origin answers {right}"),
                Err(e) => format!("does not answer as it should ({e})"),
            };
            return Err(self.complaint(what));
        }
        Ok(())
    }

    /// A failure of this target, with its stderr.
    pub(crate) fn complaint(&self, what: String) -> Failure {
        let stderr = self.process.as_ref().map(Process::stderr_end).unwrap_or_default();
        Failure::Target { name: self.target.name().to_owned(), what, stderr }
    }
}

/// Waits until something answers at `endpoint`, or the process that should has ended, or ten seconds have passed.
fn await_answer(process: &mut Process, endpoint: &Endpoint, path: &str, events: &Events) -> Result<Answer, Failure> {
    let until = Instant::now() + START_TIME;
    loop {
        let answer = exchange::get(endpoint, path);
        // Looked at after the answer: if ours has ended, it was somebody else who answered.
        if events.wait_any(&[process.pid()], BETWEEN_TRIES)?.is_some() {
            return Err(process.ended("instead of starting"));
        }
        match answer {
            Ok(answer) => return Ok(answer),
            Err(e) if Instant::now() >= until => {
                let what = format!("does not answer at {endpoint} after {} s ({e})", START_TIME.as_secs());
                return Err(Failure::Target { name: process.name().to_owned(), what, stderr: process.stderr_end() });
            }
            Err(_) => {}
        }
    }
}

/// Different ports nobody listened on a moment ago; should somebody take one now, the target's own message says so.
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

/// Variables, program and arguments as one would type them, the words in front that pin it included.
pub(crate) fn command_line(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), value?.to_string_lossy())));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    variables.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

/// The pool's size.
const ENDPOINTS: usize = 2;
const START_TIME: Duration = Duration::from_secs(10);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, scratch: &Scratch, events: &Arc<Events>) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::spawn("nginx", command, scratch.path(), events).unwrap()
    }

    #[test]
    fn a_target_whose_port_is_taken_is_reported_in_its_own_words() {
        // The port's owner even answers; that must not pass for the target.
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let stranger = std::thread::spawn(move || {
            let (mut stream, _) = taken.accept().unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 512]);
            std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\n\r\nstranger").unwrap();
        });
        let (scratch, events) = (Scratch::create().unwrap(), Arc::new(Events::default()));
        let mut process = shell("echo 'bind(): Address already in use' >&2; exit 1", &scratch, &events);
        assert_eq!(events.wait_any(&[process.pid()], START_TIME).unwrap(), Some(process.pid()));
        let failure = await_answer(&mut process, &Endpoint::Port(port), "/hello", &events).unwrap_err().to_string();
        assert_eq!(
            failure,
            "nginx ended instead of starting (exit code 1); its stderr ends with:\n  | bind(): Address already in use"
        );
        stranger.join().unwrap();
    }

    #[test]
    fn free_ports_differ_and_can_be_bound() {
        let [first, second] = free_ports().unwrap();
        assert_ne!(first, second);
        assert!(TcpListener::bind(("127.0.0.1", first)).is_ok());
    }

    #[test]
    fn a_command_line_can_be_typed_again() {
        let mut command = Command::new("backend");
        command.env("PORT", "7").args(["-x", "y"]);
        assert_eq!(command_line(&command), "PORT=7 backend -x y");
    }
}
