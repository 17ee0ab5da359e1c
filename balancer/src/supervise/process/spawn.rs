//! Starts a worker's process and ends it.
//!
//! Decides how a process is made: its port or socket, environment, arguments, pipes and process group, through the shim. Called by
//! `reconcile` on the control thread, whose end would be the workers' end (PR_SET_PDEATHSIG looks at the thread that
//! forked). Never waits for the process and never starts it again.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, User, geteuid};
use rand::Rng;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::account::Account;
use super::environment::{self, EnvFileError, Place};
use super::guard::Guarded;
use super::kin::{self, Kin, Mark, Owner};
use super::program::{ProgramError, find_program};
use super::reap::Registered;
use super::shim::Order;
use crate::config::{Address, Output, Ready, StopSignal, Workers};
use crate::supervise::Surroundings;
use crate::supervise::output::{Capture, Lines, Outlet};
use crate::supervise::port::PortError;
use crate::supervise::reservation::Reservation;
use crate::supervise::socket::SocketError;

/// What all starts of one pool's workers share.
pub(in crate::supervise) struct Blueprint {
    /// Name of the pool.
    pub(in crate::supervise) pool: Arc<str>,
    /// What all pools share.
    pub(in crate::supervise) surroundings: Surroundings,
}

/// A running worker. Dropping it kills its whole process group, unless [`Self::sweep`] did already.
#[derive(Debug)]
pub(in crate::supervise) struct Process {
    group: Pid,
    kin: Kin,
    reservation: Reservation,
    started: Instant,
    capture: Option<Capture>,
    line_seen: Arc<Notify>,
    swept: bool,
    _guarded: Guarded,
}

/// The process itself, for the task that waits for its end.
#[derive(Debug)]
pub(in crate::supervise) struct Offspring {
    child: Child,
    _registered: Registered,
}

/// Why a worker could not be started.
#[derive(Debug)]
pub(in crate::supervise) enum SpawnError {
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
    pub(in crate::supervise) fn spawn(
        &self,
        workers: &Workers,
        (index, count): (usize, usize),
        rng: &mut impl Rng,
    ) -> Result<(Process, Offspring), SpawnError> {
        self.surroundings.here.return_to();
        let account = Account::find(&workers.identity).map_err(SpawnError::Account)?;
        let reservation = self.reserve(workers, (index, count), &account, rng)?;
        let address = reservation.address();
        let place = Place { pool: &self.pool, index, address: &address };
        let becomes = account.other_than(geteuid()).unwrap_or(geteuid());
        let mut variables = environment::variables(workers, place, std::env::vars_os(), account_variables(account))
            .map_err(SpawnError::EnvFile)?;
        let mark = Mark::new(&format!("{}.{index}", self.pool));
        variables.insert(kin::VARIABLE.into(), mark.value().into());
        let order = self.order(workers, place, variables.get(OsStr::new("PATH")))?;

        let line_seen = Arc::new(Notify::new());
        let lines = self.lines(workers, index, &line_seen);
        let piped = !matches!(lines.to, Outlet::Null) || lines.awaited.is_some();
        let pipe = || if piped { Stdio::piped() } else { Stdio::null() };
        let mut child = Command::new(&self.surroundings.shim)
            .args(order.to_args())
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(pipe())
            .stderr(pipe())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(SpawnError::System)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let group = pid.ok_or_else(|| SpawnError::System(io::ErrorKind::NotFound.into()))?;
        // No await since the spawn: the reaper, on this same thread, has not seen the process unregistered.
        let registered = Registered::new(group);
        let capture = Capture::start(child.stdout.take(), child.stderr.take(), &lines);
        let process = Process {
            group,
            kin: Kin::new(group, mark, Owner { pool: Arc::clone(&self.pool), account: becomes }),
            reservation,
            started: Instant::now(),
            capture: Some(capture),
            line_seen,
            swept: false,
            _guarded: Guarded::new(group),
        };
        Ok((process, Offspring { child, _registered: registered }))
    }

    fn reserve(
        &self,
        workers: &Workers,
        (index, count): (usize, usize),
        account: &Account,
        rng: &mut impl Rng,
    ) -> Result<Reservation, SpawnError> {
        match &self.surroundings.sockets {
            Some(sockets) if workers.socket => {
                let socket = sockets.choose(&self.pool, index, workers, account);
                socket.map(Reservation::Socket).map_err(SpawnError::Socket)
            }
            _ => {
                let port = self.surroundings.ports.choose(workers.first_port, (index, count), rng);
                port.map(Reservation::Port).map_err(|error| SpawnError::Port(error.with_holder()))
            }
        }
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

    fn order(&self, workers: &Workers, place: Place<'_>, search_path: Option<&OsString>) -> Result<Order, SpawnError> {
        let mut command = workers.command.iter().map(|argument| environment::fill_in(argument, place));
        let program = command.next().unwrap_or_default();
        let directory = workers.directory.as_deref();
        let program = find_program(&program, directory, search_path.map(AsRef::as_ref)).map_err(SpawnError::Program)?;
        Ok(Order {
            parent: std::process::id(),
            identity: workers.identity.clone(),
            descriptors: self.surroundings.descriptors,
            directory: workers.directory.clone(),
            command: std::iter::once(program.into_os_string()).chain(command.map(OsString::from)).collect(),
        })
    }
}

impl Process {
    /// Its pid, which is its process group too.
    pub(in crate::supervise) fn pid(&self) -> i32 {
        self.group.as_raw()
    }

    /// Where it has to listen.
    pub(in crate::supervise) fn address(&self) -> Address {
        self.reservation.address()
    }

    /// Its process group.
    pub(in crate::supervise) fn group(&self) -> Pid {
        self.group
    }

    /// When it was started.
    pub(in crate::supervise) fn started(&self) -> Instant {
        self.started
    }

    /// Notified when its output has the awaited text.
    pub(in crate::supervise) fn line_seen(&self) -> Arc<Notify> {
        Arc::clone(&self.line_seen)
    }

    /// Sends a signal to its process group, and to whoever has left that.
    pub(in crate::supervise) fn signal(&self, signal: Signal) {
        self.kin.signal(signal);
    }

    /// All its processes.
    pub(in crate::supervise) fn kin(&self) -> &Kin {
        &self.kin
    }

    /// Whether it has printed nothing yet that we could see.
    pub(in crate::supervise) fn is_silent(&self) -> bool {
        self.capture.as_ref().is_some_and(|capture| capture.last_lines().is_empty())
    }

    /// Hands over the readers of its output.
    pub(in crate::supervise) fn take_capture(&mut self) -> Option<Capture> {
        self.capture.take()
    }

    /// Once the process has ended: kills what it left behind, which may hold the port and the pipes. The rest is to be awaited
    /// elsewhere: who forks at this very moment is found by another look.
    ///
    /// The number of the group cannot mean another one yet: the kernel gives pids in turn, and this happens at once.
    pub(in crate::supervise) fn sweep(mut self) -> impl Future<Output = ()> + Send + 'static {
        self.signal(Signal::SIGKILL);
        self.swept = true;
        let kin = self.kin.clone();
        async move {
            let mut quiet = 0;
            for _ in 0..LOOKS_MAX {
                quiet = if kin.is_alive() { 0 } else { quiet + 1 };
                if quiet == QUIET {
                    return;
                }
                sleep(LOOK_AGAIN).await;
                kin.signal(Signal::SIGKILL);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.swept {
            self.signal(Signal::SIGKILL);
        }
    }
}

impl Offspring {
    /// How it ended; `None` when the system does not tell.
    pub(in crate::supervise) async fn ended(mut self) -> Option<std::process::ExitStatus> {
        self.child.wait().await.ok()
    }
}

/// The signal a configured name stands for.
pub(in crate::supervise) fn signal_of(stop_signal: StopSignal) -> Signal {
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
fn account_variables(account: Account) -> Vec<(&'static str, OsString)> {
    let Some((_, Some(User { name, dir, .. }))) = account.user else { return Vec::new() };
    vec![("HOME", dir.into()), ("USER", name.clone().into()), ("LOGNAME", name.into())]
}

/// A process that KILL does not end hangs inside the kernel; after five seconds it is left alone.
const LOOKS_MAX: u32 = 250;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Looks in a row that find nobody: the kernel's list of children may leave one out while others end (proc_pid_children(5)).
const QUIET: u32 = 3;

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
