//! Starts a worker's process.
//!
//! Decides how a process is made: its port or socket, environment, arguments, pipes and process group, through the shim. Called by
//! `reconcile` on the control thread, whose end would be the workers' end (PR_SET_PDEATHSIG looks at the thread that
//! forked). Never waits for the process, which is a [`super::run`] from then on.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, User, geteuid};
use rand::Rng;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::output::lines::{Capture, Lines, Outlet};
use super::place::port::PortError;
use super::place::reservation::ReservedPlace;
use super::place::socket::SocketError;
use super::process::account::WorkerAccount;
use super::process::environment;
use super::process::environment::{EnvFileError, WorkerPlace};
use super::process::guard::Guarded;
use super::process::kin;
use super::process::kin::{Kin, Owner, RunMark};
use super::process::program::{ProgramError, find_program};
use super::process::reap::RegisteredPid;
use super::process::shim::ShimOrder;
use super::run::{Offspring, Process};
use super::surroundings::Surroundings;
use crate::config::{Mode, Output, Ready, StopSignal, Workers};
use crate::share::Taker;

/// What all starts of one pool's workers share.
pub(super) struct Blueprint {
    /// Name of the pool.
    pub(super) pool: Arc<str>,
    /// What all pools share.
    pub(super) surroundings: Surroundings,
}

/// Why a worker could not be started.
#[derive(Debug)]
pub(super) enum SpawnError {
    /// No port for it.
    Port(PortError),
    /// No socket for it.
    Socket(SocketError),
    /// Its user or group does not exist.
    Account(String),
    /// Its `env_file` is wrong.
    EnvFile(EnvFileError),
    /// Its program is not there.
    Program(ProgramError),
    /// The system refused.
    System(io::Error),
}

impl Blueprint {
    /// Starts worker `index` (from 1) of `count`, as `workers` says.
    pub(super) fn spawn(
        &self,
        workers: &Workers,
        (index, count): (usize, usize),
        rng: &mut impl Rng,
    ) -> Result<(Process, Offspring), SpawnError> {
        self.surroundings.here.return_to();
        let account = WorkerAccount::find(&workers.identity).map_err(SpawnError::Account)?;
        let reservation = self.reserve(workers, (index, count), &account, rng)?;
        let address = reservation.address();
        let place = WorkerPlace { pool: &self.pool, index, address: &address };
        let becomes = account.other_than(geteuid()).unwrap_or(geteuid());
        let mut variables = environment::variables(workers, place, std::env::vars_os(), account_variables(account))
            .map_err(SpawnError::EnvFile)?;
        let mark = RunMark::new(&format!("{}.{index}", self.pool));
        variables.insert(kin::VARIABLE.into(), mark.value().into());
        let (taker, passed) = self.taker(index)?.unzip();
        let passed = passed.flatten();
        let order = self.order(workers, place, (variables.get(OsStr::new("PATH")), passed.is_some()))?;

        let line_seen = Arc::new(Notify::new());
        let lines = self.lines(workers, index, &line_seen);
        let piped = !matches!(lines.to, Outlet::Null) || lines.awaited.is_some();
        let pipe = || if piped { Stdio::piped() } else { Stdio::null() };
        let mut child = Command::new(&self.surroundings.shim)
            .args(order.to_args())
            .env_clear()
            .envs(variables)
            // What is passed is the only descriptor that gets through to the shim without `unsafe`; there it becomes descriptor 3.
            .stdin(passed.map_or_else(Stdio::null, Stdio::from))
            .stdout(pipe())
            .stderr(pipe())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(SpawnError::System)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let group = pid.ok_or_else(|| SpawnError::System(io::ErrorKind::NotFound.into()))?;
        // No await since the spawn: the reaper, on this same thread, has not seen the process unregistered.
        let registered = RegisteredPid::new(group);
        let capture = Capture::start(child.stdout.take(), child.stderr.take(), &lines);
        let process = Process {
            group,
            kin: Kin::new(group, mark, Owner { pool: Arc::clone(&self.pool), account: becomes }),
            reservation,
            started: Instant::now(),
            capture: Some(capture),
            line_seen,
            taker: taker.map(Arc::new),
            swept: false,
            _guarded: Guarded::new(group),
        };
        Ok((process, Offspring { child, _registered: registered }))
    }

    fn reserve(
        &self,
        workers: &Workers,
        (index, count): (usize, usize),
        account: &WorkerAccount,
        rng: &mut impl Rng,
    ) -> Result<ReservedPlace, SpawnError> {
        if let Some(share) = &self.surroundings.share {
            return Ok(ReservedPlace::Shared(share.address()));
        }
        match &self.surroundings.sockets {
            Some(sockets) if workers.socket => {
                let socket = sockets.choose(&self.pool, index, workers, account);
                socket.map(ReservedPlace::Socket).map_err(SpawnError::Socket)
            }
            _ => {
                let port = self.surroundings.ports.choose(workers.first_port, (index, count), rng);
                port.map(ReservedPlace::Port).map_err(|error| SpawnError::Port(error.with_holder()))
            }
        }
    }

    /// What the worker is passed as its descriptor 3, and our part in that.
    fn taker(&self, index: usize) -> Result<Option<(Taker, Option<OwnedFd>)>, SpawnError> {
        let share = self.surroundings.share.as_ref();
        let name = || format!("{}.{index}", self.pool).into();
        share.map(|share| share.taker(name())).transpose().map_err(SpawnError::System)
    }

    fn lines(&self, workers: &Workers, index: usize, line_seen: &Arc<Notify>) -> Lines {
        let awaited = match &workers.ready {
            Ready::Line(text) => Some((text.as_str().into(), Arc::clone(line_seen))),
            Ready::Answer(_) | Ready::Connect | Ready::Path(_) | Ready::Alive(_) => None,
        };
        let Surroundings { output, files, .. } = &self.surroundings;
        let name = format!("{}.{index}", self.pool);
        let to = match &workers.output {
            Output::Prefix => Outlet::Prefix(format!("{name} | ").into(), Arc::clone(output)),
            Output::Json => Outlet::Json(name.into(), Arc::clone(output)),
            Output::File(directory) => Outlet::File(files.of_worker(directory, &name)),
            Output::Null => Outlet::Null,
        };
        Lines { to, awaited }
    }

    fn order(
        &self,
        workers: &Workers,
        place: WorkerPlace<'_>,
        (search_path, passes): (Option<&OsString>, bool),
    ) -> Result<ShimOrder, SpawnError> {
        let mut command = workers.command.iter().map(|argument| environment::fill_in(argument, place));
        let program = command.next().unwrap_or_default();
        let directory = workers.directory.as_deref();
        let program = find_program(&program, directory, search_path.map(AsRef::as_ref)).map_err(SpawnError::Program)?;
        Ok(ShimOrder {
            parent: std::process::id(),
            identity: workers.identity.clone(),
            descriptors: self.surroundings.descriptors,
            directory: workers.directory.clone(),
            passed: self.surroundings.share.as_ref().filter(|_| passes).map(|share| match share.mode() {
                Mode::Shared | Mode::ReusePort => "listener".to_owned(),
                Mode::Handoff => "handoff".to_owned(),
            }),
            command: std::iter::once(program.into_os_string()).chain(command.map(OsString::from)).collect(),
        })
    }
}

/// The signal a configured name stands for.
pub(super) fn signal_of(stop_signal: StopSignal) -> Signal {
    match stop_signal {
        StopSignal::Term => Signal::SIGTERM,
        StopSignal::Int => Signal::SIGINT,
        StopSignal::Quit => Signal::SIGQUIT,
        StopSignal::Hup => Signal::SIGHUP,
        StopSignal::Usr1 => Signal::SIGUSR1,
        StopSignal::Usr2 => Signal::SIGUSR2,
        StopSignal::Winch => Signal::SIGWINCH,
    }
}

/// What login programs set for a user: a worker that is not us must not look for its files in our home.
fn account_variables(account: WorkerAccount) -> Vec<(&'static str, OsString)> {
    let Some((_, Some(User { name, dir, .. }))) = account.user else { return Vec::new() };
    vec![("HOME", dir.into()), ("USER", name.clone().into()), ("LOGNAME", name.into())]
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(error) => error.fmt(f),
            Self::Socket(error) => error.fmt(f),
            Self::Account(error) => error.fmt(f),
            Self::EnvFile(error) => error.fmt(f),
            Self::Program(error) => error.fmt(f),
            Self::System(error) => write!(f, "the system refused a new process: {error}"),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Port(_) | Self::Account(_) => None,
            Self::Socket(error) => Some(error),
            Self::EnvFile(error) => Some(error),
            Self::Program(error) => Some(error),
            Self::System(error) => Some(error),
        }
    }
}
