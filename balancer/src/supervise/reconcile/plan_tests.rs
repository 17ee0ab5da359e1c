use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

const TWO: Wanted = Wanted { count: 2, parallel: 1, stop_first: false };

/// A ready worker that nobody wants to replace.
fn ready(id: u64, index: usize) -> Seen {
    Seen { id, index, state: State::Ready, leaving: false, stale: false, on_trial: false, proven: true }
}

fn stale(id: u64, index: usize) -> Seen {
    Seen { stale: true, ..ready(id, index) }
}

fn trial(id: u64, index: usize, state: State, proven: bool) -> Seen {
    Seen { state, proven, on_trial: true, ..ready(id, index) }
}

fn leaving(id: u64, index: usize, state: State) -> Seen {
    Seen { state, leaving: true, ..ready(id, index) }
}

#[test]
fn each_situation_has_its_steps() {
    use State::{Backoff, Draining, Ready, Starting, Stopping};
    let start = |index, on_trial| Step::Start { index, on_trial };
    let (adopt, retire) = (|id| Step::Adopt { id }, |id| Step::Retire { id });
    let two_at_once = Wanted { parallel: 2, ..TWO };
    let stop_first = Wanted { stop_first: true, ..TWO };
    let table: &[(&str, Wanted, &[Seen], &[Step])] = &[
        ("nothing yet", TWO, &[], &[start(1, false), start(2, false)]),
        ("all well", TWO, &[ready(1, 1), ready(2, 2)], &[]),
        ("one fewer", Wanted { count: 1, ..TWO }, &[ready(1, 1), ready(2, 2)], &[retire(2)]),
        ("one more", Wanted { count: 3, ..TWO }, &[ready(1, 1), ready(2, 2)], &[start(3, false)]),
        ("more while the old one of that place ends", TWO, &[ready(1, 1), leaving(2, 2, Draining)], &[start(2, false)]),
        ("two of that place end still", TWO, &[ready(1, 1), leaving(2, 2, Stopping), leaving(3, 2, Stopping)], &[]),
        ("a roll begins", TWO, &[stale(1, 1), stale(2, 2)], &[start(1, true)]),
        ("all at once", two_at_once, &[stale(1, 1), stale(2, 2)], &[start(1, true), start(2, true)]),
        ("the new one starts", TWO, &[stale(1, 1), stale(2, 2), trial(3, 1, Starting, false)], &[]),
        ("it is ready", TWO, &[stale(1, 1), stale(2, 2), trial(3, 1, Ready, false)], &[]),
        ("and proven", TWO, &[stale(1, 1), stale(2, 2), trial(3, 1, Ready, true)], &[adopt(3), retire(1)]),
        ("the old one ends", TWO, &[leaving(1, 1, Draining), stale(2, 2), ready(3, 1)], &[]),
        ("the next one's turn", TWO, &[stale(2, 2), ready(3, 1)], &[start(2, true)]),
        ("the roll was given up", TWO, &[ready(1, 1), ready(2, 2), trial(3, 1, Starting, false)], &[retire(3)]),
        ("the old one is gone before", TWO, &[ready(2, 2), trial(3, 1, Starting, false)], &[]),
        ("and the new one is proven", TWO, &[ready(2, 2), trial(3, 1, Ready, true)], &[adopt(3)]),
        (
            "what is to be replaced waits to be started again",
            TWO,
            &[Seen { state: Backoff, ..stale(1, 1) }, ready(2, 2)],
            &[start(1, true)],
        ),
        ("a roll that stops first", stop_first, &[stale(1, 1), stale(2, 2)], &[retire(1)]),
        ("the old one ends still", stop_first, &[leaving(1, 1, Stopping), stale(2, 2)], &[]),
        ("the old one has ended", stop_first, &[stale(2, 2)], &[start(1, false)]),
        ("the new one of that place starts", stop_first, &[trial(3, 1, Starting, false), stale(2, 2)], &[]),
        ("it is proven", stop_first, &[trial(3, 1, Ready, true), stale(2, 2)], &[adopt(3)]),
        ("the next one's turn to stop", stop_first, &[ready(3, 1), stale(2, 2)], &[retire(2)]),
        ("what hangs is not doubled either", stop_first, &[leaving(1, 1, Stopping), ready(2, 2)], &[]),
        (
            "scaled down in the middle",
            Wanted { count: 1, ..TWO },
            &[ready(1, 1), stale(2, 2), trial(3, 2, Ready, false)],
            &[retire(2), retire(3)],
        ),
    ];
    for (name, wanted, workers, steps) in table {
        assert_eq!(plan(*wanted, workers), *steps, "{name}");
    }
}

/// Plays a pool: workers become ready, proven, crash and end at random; rolls and scaling come at random.
#[test]
fn whatever_happens_a_roll_has_no_fewer_ready_workers_and_no_more_than_its_extra_ones() {
    for seed in 0..400 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let stop_first = seed % 4 == 3;
        let mut wanted = Wanted { count: rng.random_range(1..6), parallel: rng.random_range(1..4), stop_first };
        let (mut workers, mut next) = (Vec::<Seen>::new(), 0);
        for _ in 0..300 {
            settle(wanted, &mut workers, &mut next);
            happen(&mut wanted, &mut workers, &mut rng);
        }
        // Left alone, it comes to its end.
        for _ in 0..200 {
            settle(wanted, &mut workers, &mut next);
            calm(&mut workers);
        }
        assert_eq!(plan(wanted, &workers), []);
        assert_eq!(workers.len(), wanted.count, "{seed}: {workers:?}");
        assert!(workers.iter().all(|worker| !worker.stale && !worker.on_trial && worker.state == State::Ready));
    }
}

fn settle(wanted: Wanted, workers: &mut Vec<Seen>, next: &mut u64) {
    for round in 0.. {
        let steps = plan(wanted, workers);
        if steps.is_empty() {
            break;
        }
        assert!(round < 5, "the steps come to an end");
        let before = ready_places(workers, wanted.count);
        for step in steps {
            match step {
                Step::Start { index, on_trial } => {
                    *next += 1;
                    let state = State::Starting;
                    workers.push(Seen { state, on_trial, proven: false, ..ready(*next, index) });
                }
                Step::Adopt { id } => workers.iter_mut().find(|worker| worker.id == id).unwrap().on_trial = false,
                Step::Retire { id } => {
                    let worker = workers.iter_mut().find(|worker| worker.id == id).unwrap();
                    worker.leaving = true;
                    if worker.state == State::Ready {
                        worker.state = State::Draining;
                    }
                }
            }
        }
        assert!(wanted.stop_first || ready_places(workers, wanted.count) >= before, "{workers:?}");
        // One whose old worker has hung is alone, and no second process.
        let on_trial = |worker: &&Seen| worker.on_trial && !worker.leaving;
        let is_double =
            |trial: &&Seen| workers.iter().any(|old| old.index == trial.index && !old.on_trial && !old.leaving);
        let doubles = workers.iter().filter(on_trial).filter(is_double).count();
        assert!(doubles <= wanted.parallel, "{workers:?}");
        for index in 1..=wanted.count {
            let processes = workers.iter().filter(|worker| worker.index == index);
            assert!(processes.count() <= if wanted.stop_first { 1 } else { 2 }, "{workers:?}");
        }
    }
}

/// Indices with a ready worker.
fn ready_places(workers: &[Seen], count: usize) -> usize {
    let has = |index: &usize| workers.iter().any(|worker| worker.index == *index && worker.state == State::Ready);
    (1..=count).filter(has).count()
}

fn happen(wanted: &mut Wanted, workers: &mut Vec<Seen>, rng: &mut SmallRng) {
    match rng.random_range(0..20) {
        0 => wanted.count = rng.random_range(1..6),
        1 | 2 => workers.iter_mut().for_each(|worker| worker.stale |= !worker.leaving && !worker.on_trial),
        3 => workers.iter_mut().for_each(|worker| worker.stale = false),
        4..7 if !workers.is_empty() => {
            // A crash: who is on trial or leaves is gone, the others are started again.
            let at = rng.random_range(0..workers.len());
            if workers[at].on_trial || workers[at].leaving {
                workers.remove(at);
            } else {
                workers[at].state = State::Backoff;
            }
        }
        7 if !workers.is_empty() => {
            let at = rng.random_range(0..workers.len());
            hang(&mut workers[at]);
        }
        _ if !workers.is_empty() => {
            let at = rng.random_range(0..workers.len());
            advance(workers, at);
        }
        _ => {}
    }
}

fn hang(worker: &mut Seen) {
    if matches!(worker.state, State::Ready | State::Draining) {
        (worker.state, worker.leaving) = (State::Stopping, true);
    }
}

fn calm(workers: &mut Vec<Seen>) {
    for at in (0..workers.len()).rev() {
        advance(workers, at);
    }
}

fn advance(workers: &mut Vec<Seen>, at: usize) {
    let worker = &mut workers[at];
    match worker.state {
        _ if worker.leaving => {
            workers.remove(at);
        }
        State::Starting => worker.state = State::Ready,
        State::Ready => worker.proven = true,
        _ => worker.state = State::Starting,
    }
}
