//! Who waits for the order that is carried out. Decides what those are told: what is done before theirs, and what holds that up. Called by
//! `act`, and by whoever puts an order into the queue. Never carries out anything.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::admin::{AdminAction, Instance, Reporter};

/// Those whose orders wait, in the order of the queue.
#[derive(Debug, Default)]
pub(super) struct WaitingOrders(RefCell<VecDeque<WaitingOrder>>);

#[derive(Debug)]
struct WaitingOrder {
    reporter: Reporter,
    /// Whether it was told already that it waits.
    told: bool,
}

impl WaitingOrders {
    /// An order has come into the queue.
    pub(super) fn add(&self, reporter: Reporter) {
        self.0.borrow_mut().push_back(WaitingOrder { reporter, told: false });
    }

    /// The first waits no more.
    pub(super) fn take_first(&self) {
        self.0.borrow_mut().pop_front();
    }

    /// There was no room for the last.
    pub(super) fn take_last(&self) {
        self.0.borrow_mut().pop_back();
    }

    /// Tells them once a second what is done before their turn.
    pub(super) async fn tell(&self, instance: &Instance, done: &AdminAction) -> Infallible {
        loop {
            sleep(EVERY).await;
            let text = format!("waiting: {}{}", doing(done), held_up(instance, done));
            for waiting in self.0.borrow_mut().iter_mut() {
                // A line that stays, where progress is not shown.
                match std::mem::replace(&mut waiting.told, true) {
                    false => waiting.reporter.text(text.clone()),
                    true => waiting.reporter.progress(text.clone()),
                }
            }
        }
    }
}

fn doing(action: &AdminAction) -> String {
    match action {
        AdminAction::Restart { pool: Some(name), .. } => format!("{name} is being replaced"),
        AdminAction::Restart { pool: None, .. } => "workers are being replaced".to_owned(),
        AdminAction::Scale { pool, count } => format!("{pool} is being scaled to {count}"),
        _ => "a reload is under way".to_owned(),
    }
}

/// ` (app.1 is not ready after 14 s: …)`, where a worker takes its time.
fn held_up(instance: &Instance, action: &AdminAction) -> String {
    let of = match action {
        AdminAction::Restart { pool: Some(name), .. } => name.split('.').next(),
        AdminAction::Scale { pool, .. } => Some(pool.as_str()),
        _ => None,
    };
    let served = instance.served.load();
    let pools = served.pools.iter().filter(|one| of.is_none_or(|name| **one.pool.name() == *name));
    let mut workers = pools.filter_map(|one| one.supervisor.as_ref()).flat_map(|one| one.status().workers);
    let late = workers.find_map(|worker| worker.late(Instant::now()));
    late.map_or(String::new(), |text| format!(" ({text})"))
}

const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_what_is_done_before() {
        let pool = || "app".to_owned();
        assert_eq!(doing(&AdminAction::Restart { pool: Some(pool()), all: false }), "app is being replaced");
        assert_eq!(doing(&AdminAction::Scale { pool: pool(), count: 4 }), "app is being scaled to 4");
        assert_eq!(doing(&AdminAction::Reload { dry_run: false }), "a reload is under way");
    }

    #[test]
    fn whose_turn_has_come_waits_no_more() {
        let waiting = WaitingOrders::default();
        let (first, second, third) = (Reporter::new(), Reporter::new(), Reporter::new());
        for reporter in [first.0, second.0, third.0] {
            waiting.add(reporter);
        }
        waiting.take_last();
        waiting.take_first();
        assert_eq!([first.1, second.1, third.1].map(|heard| heard.is_closed()), [true, false, true]);
    }
}
