//! The life of the process: start, accept, drain.
//!
//! Decides when the worker listens, accepts and ends. Called by the program's `main`. Never looks into a connection.

use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{User, getppid, getuid, initgroups, setgid, setuid};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::event_loop::event_loop;
use crate::listen::Address;
use crate::models::Server;
use crate::multi::Loops;
use crate::prefork::Children;
use crate::source::Source;
use crate::worker::Worker;
use crate::{Model, Options};

/// Serves until TERM or INT, then drains for at most 10 s (a second signal ends that). Blocks. `passed` is what whoever started the
/// process has passed as descriptor 3: a listener, or a channel over which connections are handed over.
///
/// Prints `NAME listening on ADDRESS` on stdout when it listens: the first line it prints, and, but for the route
/// `/log`, the only one.
///
/// # Errors
/// It cannot listen (the message says where, and why), was told to fail, or the system lacks what it needs to run at all.
pub fn run(options: &Options, passed: Option<OwnedFd>) -> io::Result<()> {
    if options.fail_start {
        return Err(io::Error::other("told to fail at start"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(options, passed))
}

async fn live(options: &Options, passed: Option<OwnedFd>) -> io::Result<()> {
    let mut stop = Stop::new(options)?;
    tokio::select! {
        () = sleep(options.start_delay) => {}
        () = stop.asked() => return Ok(()),
    }
    if passed.is_some() && !options.prefork_child && (options.backlog.is_some() || options.reuse_port) {
        return Err(io::Error::other(
            "--backlog and --reuse-port are for a listener of its own, and one was passed as descriptor 3",
        ));
    }
    let passed = match options.prefork_child {
        true => {
            die_with_parent()?;
            Some(io::stdin().as_fd().try_clone_to_owned()?)
        }
        false => passed,
    };
    let source = Arc::new(Source::open(options, passed)?);
    if let Some(user) = &options.drop_to {
        become_user(user)?;
    }
    let worker = Worker::new(options, &source.address)?;
    match options.model {
        Model::EventLoop => {
            let address = source.address.clone();
            let (drain, draining) = watch::channel(false);
            let served = tokio::spawn(event_loop(worker.clone(), source, draining));
            announce(&worker, &address);
            stop.asked().await;
            let _ = drain.send(true);
            stop.limit(async { served.await.map_or((), drop) }).await;
            Ok(())
        }
        Model::Multi => {
            let address = source.address.clone();
            let loops = Loops::start(&worker, source)?;
            announce(&worker, &address);
            stop.asked().await;
            stop.limit(loops.drain()).await;
            Ok(())
        }
        Model::Prefork if !options.prefork_child => {
            let children = Children::start(&source, options.threads())?;
            announce(&worker, &source.address);
            stop.asked().await;
            stop.limit(children.drain()).await;
            Ok(())
        }
        Model::Sequential | Model::Threads | Model::Pool | Model::Prefork => {
            let address = source.address.clone();
            let server = Server::start(worker.clone(), source)?;
            if !options.prefork_child {
                announce(&worker, &address);
            }
            stop.asked().await;
            stop.limit(server.drain()).await;
            Ok(())
        }
    }
}

/// A child whose parent was killed would serve on, and nobody would know.
fn die_with_parent() -> io::Result<()> {
    let parent = getppid();
    set_pdeathsig(Signal::SIGTERM)?;
    // It may have ended before we asked.
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the parent has ended")) }
}

/// Groups first, user last: afterwards the right to change is gone.
fn become_user(name: &str) -> io::Result<()> {
    let explain = |why: String| io::Error::other(format!("cannot become {name}: {why}"));
    let found = User::from_name(name).map_err(|error| explain(error.to_string()))?;
    let user = found.ok_or_else(|| explain("there is no such user".to_owned()))?;
    if getuid() == user.uid {
        return Ok(());
    }
    let own = std::ffi::CString::new(name).map_err(|error| explain(error.to_string()))?;
    initgroups(&own, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| explain(format!("{error}; only root may")))
}

/// TERM and INT.
struct Stop {
    term: unix::Signal,
    interrupt: unix::Signal,
    ignore_term: bool,
}

impl Stop {
    fn new(options: &Options) -> io::Result<Stop> {
        Ok(Stop {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            ignore_term: options.ignore_term,
        })
    }

    async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => if !self.ignore_term { return },
                _ = self.interrupt.recv() => return,
            }
        }
    }

    /// Waits for a drain, but not for ever, and not past a second signal.
    async fn limit(&mut self, drain: impl Future<Output = ()>) {
        tokio::select! {
            () = drain => {}
            () = self.asked() => {}
            () = sleep(DRAIN_TIME_MAX) => {}
        }
    }
}

fn announce(worker: &Worker, address: &Address) {
    let mut stdout = io::stdout().lock();
    // A reader that is gone is no reason not to serve.
    let _ = writeln!(stdout, "{} listening on {address}", worker.name).and_then(|()| stdout.flush());
}

const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
