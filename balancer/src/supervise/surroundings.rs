//! What the supervisors of all pools share. Decides nothing; made by `app`, once. Never changes while workers run.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::event::EventSink;
use super::output::files::Files;
use super::output::stream::OutputSink;
use super::place::port::Ports;
use super::place::socket::Sockets;
use super::process::StartDirectory;
use super::standing::Standings;
use crate::share::Share;

/// What the supervisors of all pools share.
#[derive(Clone)]
pub struct Surroundings {
    /// Takes the lines of workers that go to our own output.
    pub output: OutputSink,
    /// Writes the lines of workers that go to files.
    pub files: Files,
    /// Takes what happens to them.
    pub events: EventSink,
    /// Knows how the workers of all pools stand.
    pub standings: Standings,
    /// Knows the ports of all.
    pub ports: Ports,
    /// What [`Sockets::make`] made for all pools.
    pub sockets: Option<Sockets>,
    /// The address of this pool's workers, where connections do not pass through us.
    pub share: Option<Share>,
    /// A program that hands its arguments to [`exec_shim`] when the first is [`SHIM_COMMAND`]: [`own_program`], except in
    /// tests.
    pub shim: PathBuf,
    /// Where we were started.
    pub here: StartDirectory,
    /// The soft limit of descriptors that we were started with, and workers are.
    pub descriptors: Option<u64>,
    /// How long a replacement is watched beside the old worker before it takes over: [`TRIAL`], except in tests.
    pub trial: Duration,
    /// How long requests on a worker that is replaced may finish; read when a drain begins, for it may change.
    pub drain_timeout: watch::Receiver<Duration>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("shim", &self.shim).finish_non_exhaustive()
    }
}

/// The program that runs now, also when its file has been replaced since.
pub fn own_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// What a new release dies of, it dies of soon: at its first request, its first timer, its first look at the database.
pub const TRIAL: Duration = Duration::from_secs(3);
