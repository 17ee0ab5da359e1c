//! What the loop receives. Decides nothing; sent by the tasks that wait for workers, and by `Supervisor`. Never waits for an answer.

use std::process::ExitStatus;

use super::life::Event;
use crate::endpoint::ReplaceCause;
use crate::supervise::command::Command;
use crate::supervise::state::Stop;

/// What the loop receives. `run` is the start that the news belongs to, so that late news of one run is not taken for news
/// of the next.
#[derive(Debug)]
pub(in crate::supervise) enum Message {
    /// Something happened to a worker.
    Worker { id: u64, run: u64, event: Event },
    /// A worker's process ended.
    Ended { id: u64, run: u64, status: Option<ExitStatus> },
    /// It has not become ready: why, or that its time is over; and what is wrong with the `place` where it listens.
    NotReady { id: u64, run: u64, why: Option<String>, place: String },
    /// Somebody else (`who`) has the listener at its port, though it was ready.
    Taken { id: u64, run: u64, who: String },
    /// Its endpoint asks for its replacement.
    Alarm { id: u64, run: u64, alarm: ReplaceCause },
    /// Something is to be changed.
    Command(Command),
    /// All workers will have to end soon: nobody is replaced any more.
    WindUp,
    /// All workers have to end.
    Stop(Stop),
}
