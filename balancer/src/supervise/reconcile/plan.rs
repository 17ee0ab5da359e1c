//! Which workers are started, kept and ended so that there are as many as wanted and stale ones are replaced: pure.
//!
//! Decides the next steps of a roll, of scaling and of recycling, all by the same rules. Called by `reconcile` after everything
//! that happened. Never starts or ends anything, and remembers nothing: the workers themselves are its state.

use std::collections::BTreeSet;

use crate::supervise::state::State;

/// What is wanted of a pool's workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Indices from 1 to this have a worker; at least 1.
    pub(super) count: usize,
    /// Replaced at once; at least 1.
    pub(super) parallel: usize,
    /// Whether the old worker of a place has ended before the new one is started.
    pub(super) stop_first: bool,
}

/// What the plan has to know of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its number, never used twice.
    pub(super) id: u64,
    /// Its place in the pool, from 1; a worker and its replacement have the same.
    pub(super) index: usize,
    /// Where it is in its life.
    pub(super) state: State,
    /// It was told to end and will not be started again.
    pub(super) leaving: bool,
    /// It is to be replaced.
    pub(super) stale: bool,
    /// It is a replacement that has not taken over yet.
    pub(super) on_trial: bool,
    /// It has been ready for long enough to be trusted.
    pub(super) proven: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Start a worker for that index; on trial: beside the stale one that it is to replace.
    Start {
        /// Its place in the pool.
        index: usize,
        /// Whether it is a replacement.
        on_trial: bool,
    },
    /// The replacement is a worker like any other from now on.
    Adopt {
        /// Which.
        id: u64,
    },
    /// Drain the worker and end it.
    Retire {
        /// Which.
        id: u64,
    },
}

/// The steps that are due. With them done nothing is due until something happens.
///
/// A stale worker is retired only when its replacement is proven, so a roll never has fewer ready workers than there were
/// before; and no more than [`Wanted::parallel`] places have a second process, those whose old worker still ends included, so
/// it needs no more memory than so many workers. No place has a third process: what hangs, or still ends, is waited for.
///
/// With [`Wanted::stop_first`] no place ever has a second process, and no more than [`Wanted::parallel`] places have none that is
/// proven.
pub(super) fn plan(wanted: Wanted, workers: &[Seen]) -> Vec<Step> {
    let mut steps = Vec::new();
    let staying = |index| workers.iter().filter(move |worker| worker.index == index && !worker.leaving);
    let beyond = workers.iter().filter(|worker| worker.index > wanted.count && !worker.leaving);
    steps.extend(beyond.map(|worker| Step::Retire { id: worker.id }));

    let alive = |worker: &&Seen| worker.state != State::Exited;
    let processes = |index| workers.iter().filter(alive).filter(|worker| worker.index == index).count();
    let processes_max = if wanted.stop_first { 1 } else { PROCESSES_MAX };
    let doubled = |index: &usize| processes(*index) > 1 && staying(*index).any(|worker| alive(&worker));
    let vacant = |index: &usize| staying(*index).all(|worker| worker.on_trial);
    let is_under_way = |index: &usize| if wanted.stop_first { vacant(index) } else { doubled(index) };
    let mut under_way: BTreeSet<usize> = (1..=wanted.count).filter(is_under_way).collect();
    for index in 1..=wanted.count {
        let trial = staying(index).find(|worker| worker.on_trial);
        let old = staying(index).find(|worker| !worker.on_trial);
        match (old, trial) {
            (None, None) if processes(index) < processes_max => steps.push(Step::Start { index, on_trial: false }),
            (None, Some(trial)) if trial.proven => steps.push(Step::Adopt { id: trial.id }),
            // The roll was given up; but of the two, one that serves stays.
            (Some(old), Some(trial)) if !old.stale && (old.state == State::Ready || trial.state != State::Ready) => {
                steps.push(Step::Retire { id: trial.id });
            }
            (Some(old), Some(trial)) if !old.stale => {
                steps.extend([Step::Adopt { id: trial.id }, Step::Retire { id: old.id }]);
            }
            (Some(old), Some(trial)) if matches!(trial.state, State::Ready | State::Exited) && trial.proven => {
                steps.extend([Step::Adopt { id: trial.id }, Step::Retire { id: old.id }]);
            }
            (Some(old), None) if old.stale && under_way.len() < wanted.parallel && !under_way.contains(&index) => {
                under_way.insert(index);
                steps.push(match wanted.stop_first {
                    true => Step::Retire { id: old.id },
                    false => Step::Start { index, on_trial: true },
                });
            }
            (None, _) | (Some(_), _) => {}
        }
    }
    steps
}

/// Of one place, one that still ends among them.
const PROCESSES_MAX: usize = 2;

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
