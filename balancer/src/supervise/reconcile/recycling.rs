//! Workers that are replaced though they run: those over a limit, and those that hang.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Reconciler;
use super::handle::WorkerHandle;
use super::jobs::WorkerFailure;
use super::life::Event;
use crate::shown;
use crate::supervise::event::EventKind;
use crate::supervise::run::Process;
use crate::supervise::state::State;
use crate::supervise::status::RestartReason;

impl Reconciler {
    /// Marks the next worker that has used up what it may, unless another is being replaced. One that an operator has taken
    /// out is left alone: somebody looks at it.
    pub(super) fn recycle(&mut self) {
        let busy = |worker: &WorkerHandle| worker.stale.is_some() || worker.life.on_trial();
        if self.jobs.roll.is_some() || self.workers.iter().any(busy) {
            return;
        }
        let now = Instant::now();
        let is_due = |worker: &WorkerHandle| {
            let may = worker.life.state() == State::Ready && worker.recycle_after.is_none_or(|after| after <= now);
            worker.over.filter(|_| may && !worker.is_held())
        };
        let due = self.workers.iter().enumerate().filter_map(|(at, worker)| Some((at, is_due(worker)?)));
        // The oldest: were it always the first, one that is due again as soon as it is replaced would keep the others waiting.
        let oldest = due.min_by_key(|(at, _)| self.workers[*at].process.as_ref().map(Process::started));
        if let Some((at, why)) = oldest {
            let worker = &mut self.workers[at];
            worker.stale = Some(why);
            let (name, used) = (worker.title(), shown::size(worker.usage.rss_bytes));
            let age = worker.process.as_ref().map_or(Duration::ZERO, |process| process.started().elapsed());
            let text = format!("{name} is to be replaced: {} ({used}, {} old)", why.as_str(), shown::time(age));
            self.announce(at, EventKind::Recycled, text);
        }
    }

    /// It is of no use any more, so nobody waits for its replacement.
    pub(super) fn replace_hung(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        if !matches!(worker.life.state(), State::Ready | State::Draining) {
            return;
        }
        let limit = worker.settings.recycle.hang_timeout.unwrap_or_default();
        let (name, wanted) = (worker.title(), !worker.life.is_leaving());
        let (index, on_trial) = (worker.index, wanted && worker.life.on_trial());
        let again = match wanted && !on_trial {
            true if worker.life.is_last() => " and not started again (restart = \"never\")".to_owned(),
            true => {
                let now = Instant::now();
                let pause = worker.life.pause(now, &mut self.rng);
                let after = pause.until().saturating_duration_since(now);
                self.pauses.insert(index, pause);
                match after {
                    Duration::ZERO => " and another started".to_owned(),
                    after => format!(" and another started in {}", shown::time(after)),
                }
            }
            false => String::new(),
        };
        let text = format!("{name} has not answered a request within {}: it is stopped{again}", shown::time(limit));
        tracing::warn!("{text}");
        worker.hung = true;
        // Of one that nobody comes after its end is counted, like any other's.
        if wanted && !worker.life.is_last() {
            worker.count_restart(RestartReason::Hung, "did not answer");
        }
        self.emit(at, EventKind::Hung, text.clone());
        self.step(at, Event::Hung);
        if on_trial {
            // How it ends, in a while, matters to nobody any more.
            let worker = Arc::clone(&self.workers[at].name);
            let old_stays = self.has_old(index);
            let how = format!("has not answered a request within {}", shown::time(limit));
            self.trial_failed(index).give(WorkerFailure { worker, reason: text, how, old_stays }, &[]);
        }
    }
}
