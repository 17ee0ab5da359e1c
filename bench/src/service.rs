//! A program of ours or of others that listens on a port of 127.0.0.1.
//!
//! Decides when it is up. Called by [`crate::guard`], [`crate::supermarket`], [`crate::overload`] and [`crate::replace`].
//! Never knows what it answers, only that it does.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::events::Events;
use crate::exchange;
use crate::failure::Failure;
use crate::process::Process;
use crate::target::{Endpoint, command_line};

/// A program that answers; it ends with this value.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) port: u16,
    /// As one would type it.
    pub(crate) command: String,
}

impl Service {
    /// Starts `command`, which listens on `port`, and waits until it answers a GET of `path` with any status.
    ///
    /// # Errors
    /// [`Failure::Target`] with its stderr when it ends or does not answer within `time`.
    pub(crate) fn start(
        name: &str,
        command: Command,
        port: u16,
        path: &str,
        time: Duration,
        folder: &Path,
        events: &Arc<Events>,
    ) -> Result<Service, Failure> {
        let line = command_line(&command);
        let process = Process::spawn(name, command, folder, events)?;
        let mut service = Service { process, port, command: line };
        let until = Instant::now() + time;
        loop {
            let answer = exchange::get(&Endpoint::Port(port), path);
            // Looked at after the answer: if ours has ended, it was somebody else who answered.
            if events.wait_any(&[service.process.pid()], BETWEEN_TRIES)?.is_some() {
                return Err(service.process.ended("instead of starting"));
            }
            match answer {
                Ok(_) => return Ok(service),
                Err(e) if Instant::now() >= until => {
                    let what = format!("does not answer on port {port} after {} s ({e})", time.as_secs());
                    return Err(service.complaint(what));
                }
                Err(_) => {}
            }
        }
    }

    /// A failure of this program, with its stderr.
    pub(crate) fn complaint(&self, what: String) -> Failure {
        Failure::Target { name: self.process.name().to_owned(), what, stderr: self.process.stderr_end() }
    }
}

const BETWEEN_TRIES: Duration = Duration::from_millis(20);
