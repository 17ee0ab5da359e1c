//! A worker's process: how it is made, and how nothing of it is left.
//!
//! Decides what a new process finds (directory, environment, descriptors, signals, account) and which processes belong to a
//! worker. Called by `reconcile`, and by `main` in a process that is about to become a worker. Never decides when one is started
//! or ended.

mod account;
mod environment;
mod guard;
mod here;
mod inherited;
mod interpreter;
mod kin;
mod program;
mod reap;
mod shim;
mod spawn;
mod tree;

pub use guard::Guard;
pub use here::Here;
pub use inherited::unblock_signals;
pub use interpreter::InterpreterError;
pub use program::{ProgramError, find_program};
pub use reap::Reaper;
pub use shim::exec_shim;

pub(super) use account::Account;
pub(super) use kin::Kin;
pub(super) use spawn::{Blueprint, Offspring, Process, signal_of};
pub(super) use tree::accounts;

/// The first argument that means "be the shim".
pub const SHIM_COMMAND: &str = "__exec";
/// What makes the shim the second process.
const GUARD_OPTION: &str = "--guard";
