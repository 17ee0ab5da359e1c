//! Who answers behind the proxies: two endpoints with a constant answer each.
//!
//! Decides between nginx and `backend` processes, and what a right answer is. Called by [`crate::compare`]. Never proxies.

use super::{Configuration, Endpoint, Ground, await_answer, command_line, free_ports, nginx};
use crate::arguments::OriginKind;
use crate::cores::Place;
use crate::exchange::Answer;
use crate::failure::Failure;
use crate::process::Process;

/// A running origin; its processes end with this value.
pub(crate) struct Origin {
    pub(crate) endpoints: [Endpoint; 2],
    /// What both endpoints answer.
    pub(crate) answer: Answer,
    pub(crate) processes: Vec<Process>,
    pub(crate) configurations: Vec<Configuration>,
}

impl Origin {
    /// Starts both endpoints and waits until each has answered 200, with the same body.
    ///
    /// # Errors
    /// [`Failure::Target`] with the endpoint's stderr when one does not start, or answers something else.
    pub(crate) fn start(ground: &Ground<'_>) -> Result<Origin, Failure> {
        let endpoints = if ground.setting.sockets {
            ["1.sock", "2.sock"].map(|name| Endpoint::Socket(ground.scratch.path().join(name)))
        } else {
            free_ports()?.map(Endpoint::Port)
        };
        let commands = match ground.setting.origin {
            OriginKind::Nginx => vec![("origin", nginx::origin(&endpoints, ground)?)],
            OriginKind::Backend => {
                let names = ["origin 1", "origin 2"].into_iter().zip(&endpoints);
                names
                    .map(|(name, endpoint)| Ok((name, (backend(endpoint, ground)?, String::new()))))
                    .collect::<Result<_, _>>()?
            }
        };
        let (mut processes, mut configurations) = (Vec::new(), Vec::new());
        for (name, (command, text)) in commands {
            let line = command_line(&command);
            configurations.push(Configuration { name: name.to_owned(), command: line, text });
            processes.push(Process::spawn(name, command, ground.scratch.path(), ground.events)?);
        }
        let mut answers = Vec::new();
        for (nth, endpoint) in endpoints.iter().enumerate() {
            let last = processes.len() - 1; // nginx is one process for both
            let process = &mut processes[nth.min(last)];
            let answer = await_answer(process, endpoint, ground.setting.path, ground.events)?;
            if answer.status != 200 || answer.body.is_empty() || answers.first().is_some_and(|first| *first != answer) {
                let what = format!("answers {answer} at {endpoint}; wanted 200 and the same body from both endpoints");
                return Err(Failure::Target { name: process.name().to_owned(), what, stderr: process.stderr_end() });
            }
            answers.push(answer);
        }
        Ok(Origin { endpoints, answer: answers.swap_remove(0), processes, configurations })
    }
}

/// Told where to listen in the way the balancer tells its workers: `HOST` and `PORT`, or `SOCKET`.
fn backend(endpoint: &Endpoint, ground: &Ground<'_>) -> Result<std::process::Command, Failure> {
    let missing = || Failure::Missing("no backend was looked for".to_owned());
    let program = ground.programs.backend.as_deref().ok_or_else(missing)?;
    let work_us = ground.setting.work_us;
    // Two workers that compute need two cores, which is what a second one is for.
    let place = if work_us > 0 { Place::Anywhere } else { Place::Generator };
    let mut command = ground.cores.command(place, program);
    if work_us > 0 {
        command.arg("--work-us").arg(work_us.to_string());
    }
    match endpoint {
        Endpoint::Port(port) => command.env("HOST", "127.0.0.1").env("PORT", port.to_string()),
        Endpoint::Socket(path) => command.env("SOCKET", path),
    };
    Ok(command)
}
