//! Supervision: starts the workers of a pool, keeps them alive and stops them.
//!
//! Decides when a worker's process is started, when its endpoint is a member of the pool, and when it ends. Called by `app`,
//! on the control thread. Never looks at a request: the pool and its endpoints are all it shares with the data plane.

mod command;
mod event;
mod exit_report;

mod output;
mod place;
mod process;
mod ready;
mod reconcile;
mod run;
mod spawn;
mod standing;
mod state;
mod status;
mod supervisor;
mod surroundings;
mod taking;
mod warm_up;

pub use command::{Changes, ReconfigureError, Reconfigured, RollError, RollReport, ScaleReport};
pub use event::{EventKind, EventSink, WorkerEvent};
pub use exit_report::web_sockets;
pub use output::files::Files;
pub use output::stream::{OutputSink, OutputStream};
pub use place::clash::{Holders, who_listens};
pub use place::port::Ports;
pub use place::socket::{SocketError, Sockets};
pub use process::{
    Guard, InterpreterError, ProgramError, Reaper, SHIM_COMMAND, StartDirectory, exec_shim, find_program,
    unblock_signals,
};
pub use standing::Standings;
pub use state::{State, Stop};
pub use status::{FailedRoll, LastEnd, RestartReason, Status, Usage, WorkerStatus};
pub use supervisor::Supervisor;
pub use surroundings::{Surroundings, TRIAL, own_program};
