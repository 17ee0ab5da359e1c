//! What is measured: the origin itself and the proxies in front of it.
//!
//! Decides how each is started and when it is up. Called by [`crate::compare`]. Never generates load.

mod balancer;
mod nginx;
mod origin;

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use origin::Origin;

use crate::arguments::Plan;
use crate::cores::Cores;
use crate::events::Events;
use crate::exchange::{self, Answer, PATH};
use crate::failure::Failure;
use crate::process::Process;
use crate::programs::Programs;
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
}

impl Target {
    /// In the order of measuring and printing.
    pub(crate) const ALL: [Target; 4] = [Target::Direct, Target::Balancer, Target::Nginx, Target::NginxBare];

    /// The head of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Direct => "direct",
            Target::Balancer => "balancer",
            Target::Nginx => "nginx",
            Target::NginxBare => "nginx bare",
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
}

/// A target that answers; its process ends with this value.
pub(crate) struct Running {
    pub(crate) target: Target,
    port: u16,
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
    /// Starts a target in front of `origin` and waits until it answers.
    ///
    /// # Errors
    /// [`Failure::Target`] with the target's stderr when it ends or does not answer within ten seconds.
    pub(crate) fn start(target: Target, origin: &Origin, ground: &Ground<'_>) -> Result<Running, Failure> {
        if target == Target::Direct {
            return Ok(Running { target, port: origin.ports[0], process: None, configuration: None });
        }
        let [port] = free_ports()?;
        let (command, text) = match target {
            Target::Balancer => balancer::command(port, origin.ports, ground)?,
            _ => nginx::proxy(target, port, origin.ports, ground)?,
        };
        let line = command_line(&command);
        let process = Process::spawn(target.name(), command, ground.scratch.path(), ground.events)?;
        let mut running = Running { target, port, process: Some(process), configuration: None };
        running.configuration = Some(Configuration { name: target.name().to_owned(), command: line, text });
        if let Some(process) = &mut running.process {
            await_answer(process, port, ground.events)?;
        }
        Ok(running)
    }

    /// What generators ask for.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Does it answer 200 with the origin's body? Asked as often as there are endpoints, so that each has its turn.
    pub(crate) fn check(&self, right: &Answer) -> Result<(), Failure> {
        for _ in 0..ENDPOINTS {
            let what = match exchange::get(self.port) {
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

/// Waits until something answers on `port`, or the process that should has ended, or ten seconds have passed.
fn await_answer(process: &mut Process, port: u16, events: &Events) -> Result<Answer, Failure> {
    let until = Instant::now() + START_TIME;
    loop {
        let answer = exchange::get(port);
        // Looked at after the answer: if ours has ended, it was somebody else who answered.
        if events.wait_any(&[process.pid()], BETWEEN_TRIES)?.is_some() {
            return Err(process.ended("instead of starting"));
        }
        match answer {
            Ok(answer) => return Ok(answer),
            Err(e) if Instant::now() >= until => {
                let what = format!("does not answer on port {port} after {} s ({e})", START_TIME.as_secs());
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
        let failure = await_answer(&mut process, port, &events).unwrap_err().to_string();
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
