//! A program of ours or of others that listens on a port of 127.0.0.1 or on a Unix socket.
//!
//! Decides when it is up. Called by [`crate::lab`] and by who starts one with a command of its own. Never knows what it
//! answers, only that it does.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::exchange::{self, Endpoint};
use crate::{failure::Failure, lab::Lab, process::Process, report::Configuration};

/// A program that answers; it ends with this value.
pub(crate) struct Service {
    pub(crate) process: Process,
    /// 0 on a Unix socket.
    pub(crate) port: u16,
    /// As one would type it.
    pub(crate) command: String,
    /// Its configuration; empty where it has none.
    pub(crate) text: String,
}

impl Service {
    /// Starts `command`, which listens at `endpoint`, and waits until it answers a GET of `path` with any status.
    pub(crate) fn start(
        lab: &Lab,
        name: &str,
        command: Command,
        endpoint: &Endpoint,
        path: &str,
    ) -> Result<Service, Failure> {
        let line = command_line(&command);
        let process = Process::spawn(name, command, lab.scratch.path(), &lab.events)?;
        let port = if let Endpoint::Port(port) = endpoint { *port } else { 0 };
        let mut service = Service { process, port, command: line, text: String::new() };
        let until = Instant::now() + START_TIME;
        loop {
            let answer = exchange::get(endpoint, path);
            // Looked at after the answer: if ours has ended, it was somebody else who answered.
            if lab.events.wait_any(&[service.process.pid()], BETWEEN_TRIES)?.is_some() {
                return Err(service.process.ended("instead of starting"));
            }
            match answer {
                Ok(_) => return Ok(service),
                Err(e) if Instant::now() >= until => {
                    let what = format!("does not answer at {endpoint} after {} s ({e})", START_TIME.as_secs());
                    return Err(service.complaint(what));
                }
                Err(_) => {}
            }
        }
    }

    /// A failure of this program, with its stderr.
    pub(crate) fn complaint(&self, what: impl Into<String>) -> Failure {
        let (name, stderr) = (self.process.name().to_owned(), self.process.stderr_end());
        Failure::Target { name, what: what.into(), stderr }
    }

    pub(crate) fn configuration(&self) -> Configuration {
        let (name, command) = (self.process.name().to_owned(), self.command.clone());
        Configuration { name, command, text: self.text.clone() }
    }
}

/// Variables, program and arguments as one would type them, the words in front that pin it included.
fn command_line(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), value?.to_string_lossy())));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    variables.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

/// Long enough for a program that valgrind runs on a busy machine.
const START_TIME: Duration = Duration::from_secs(60);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;
    use crate::events::Events;
    use crate::lab::Builds;

    #[test]
    fn a_program_whose_port_is_taken_is_reported_in_its_own_words() {
        // The port's owner even answers; that must not pass for the program.
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = Endpoint::Port(taken.local_addr().unwrap().port());
        let stranger = std::thread::spawn(move || {
            let (mut stream, _) = taken.accept().unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 512]);
            std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\n\r\nstranger").unwrap();
            taken
        });
        let lab = Lab::with(&[], &Builds::default(), &Arc::new(Events::default())).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo 'bind(): Address already in use' >&2; exit 1"]);
        let failure = Service::start(&lab, "nginx", command, &endpoint, "/hello").err().unwrap().to_string();
        let expected =
            "nginx ended instead of starting (exit code 1); its stderr ends with:\n  | bind(): Address already in use";
        assert_eq!(failure, expected);
        drop(stranger.join().unwrap());
    }

    #[test]
    fn a_command_line_can_be_typed_again() {
        let mut command = Command::new("backend");
        command.env("PORT", "7").args(["-x", "y"]);
        assert_eq!(command_line(&command), "PORT=7 backend -x y");
    }
}
