//! A worker's process: how it is made, and how nothing of it is left.
//!
//! Decides what a new process finds (directory, environment, descriptors, signals, account) and which processes belong to a
//! worker. Called by `spawn`, and by `main` in a process that is about to become a worker. Never decides when one is started
//! or ended.

pub(super) mod account;
pub(super) mod environment;
pub(super) mod guard;
mod here;
mod inherited;
mod interpreter;
pub(super) mod kin;
pub(super) mod oom;
pub(super) mod program;
pub(super) mod reap;
pub(super) mod shim;
pub(super) mod tree;
pub(super) mod usage;

pub use guard::Guard;
pub use here::StartDirectory;
pub use inherited::unblock_signals;
pub use interpreter::InterpreterError;
pub use program::{ProgramError, find_program};
pub use reap::Reaper;
pub use shim::exec_shim;

/// The first argument that means "be the shim".
pub const SHIM_COMMAND: &str = "__exec";
/// What makes the shim the second process.
const GUARD_OPTION: &str = "--guard";
