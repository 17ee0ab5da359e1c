use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config;

const GRACE: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

fn life(now: Instant) -> Life {
    let backoff = config::Backoff { min: Duration::from_millis(100), max: Duration::from_secs(30) };
    Life::new(false, GRACE, (RestartDelay::new(&backoff), Restart::Always), now)
}

/// What an action is, without the jittered time.
fn kind(action: &Action) -> &'static str {
    match action {
        Action::Spawn => "spawn",
        Action::Join => "join",
        Action::Drain { .. } => "drain",
        Action::Leave => "leave",
        Action::Terminate { .. } => "terminate",
        Action::Kill { .. } => "kill",
        Action::Sweep => "sweep",
        Action::Restart { .. } => "restart",
    }
}

fn run(events: &[Event]) -> (State, Vec<&'static str>) {
    let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
    let mut life = life(now);
    let mut last = Vec::new();
    for event in events {
        last = life.step(*event, now, &mut rng);
    }
    (life.state(), last.iter().map(kind).collect())
}

#[test]
fn each_event_leads_to_the_next_state_and_its_actions() {
    use Event::*;
    let drain = Stop(super::Stop::Drain { until: Instant::now() });
    let now = Stop(super::Stop::Now);
    let table: &[(&[Event], State, &[&str])] = &[
        (&[Start], State::Starting, &["spawn"]),
        (&[Start, SpawnFailed], State::Backoff, &["restart"]),
        (&[Start, SpawnFailed, BackoffOver], State::Starting, &["spawn"]),
        (&[Start, BecameReady], State::Ready, &["join"]),
        (&[Start, Exited], State::Backoff, &["leave", "sweep", "restart"]),
        (&[Start, BecameReady, Exited], State::Backoff, &["leave", "sweep", "restart"]),
        (&[Start, ReadyTimedOut], State::Stopping, &["terminate"]),
        (&[Start, ReadyTimedOut, StopTimedOut], State::Stopping, &["kill"]),
        (&[Start, ReadyTimedOut, Exited], State::Backoff, &["leave", "sweep", "restart"]),
        (&[Start, ReadyTimedOut, StopTimedOut, StopTimedOut], State::Stopping, &["kill"]),
        (&[Start, drain, StopTimedOut], State::Stopping, &["kill"]),
        (&[Start, drain, StopTimedOut, StopTimedOut], State::Exited, &["leave", "sweep"]),
        (&[Start, ReadyTimedOut, drain], State::Stopping, &[]),
        (&[Start, ReadyTimedOut, drain, Exited], State::Exited, &["leave", "sweep"]),
        (&[Start, BecameReady, drain], State::Draining, &["drain"]),
        (&[Start, BecameReady, SocketGone], State::Draining, &["drain"]),
        (&[Start, BecameReady, SocketGone, Drained], State::Stopping, &["terminate"]),
        (&[Start, BecameReady, SocketGone, Drained, Exited], State::Backoff, &["leave", "sweep", "restart"]),
        (&[Start, BecameReady, drain, SocketGone], State::Draining, &[]),
        (&[Start, BecameReady, Hung], State::Stopping, &["leave", "terminate"]),
        (&[Start, BecameReady, Hung, StopTimedOut], State::Stopping, &["kill"]),
        (&[Start, BecameReady, Hung, Exited], State::Exited, &["leave", "sweep"]),
        (&[Start, Hung], State::Starting, &[]),
        (&[Start, BecameReady, Proven], State::Ready, &[]),
        (&[Start, BecameReady, drain, drain], State::Draining, &[]),
        (&[Start, BecameReady, drain, Exited], State::Exited, &["leave", "sweep"]),
        (&[Start, BecameReady, drain, Drained], State::Stopping, &["terminate"]),
        (&[Start, BecameReady, drain, now], State::Stopping, &["leave", "terminate"]),
        (&[Start, BecameReady, drain, Drained, now], State::Stopping, &["leave", "terminate"]),
        (&[Start, BecameReady, drain, Drained, Exited], State::Exited, &["leave", "sweep"]),
        (&[Start, BecameReady, now], State::Stopping, &["leave", "terminate"]),
        (&[Start, drain], State::Stopping, &["terminate"]),
        (&[Start, Exited, drain], State::Exited, &[]),
        (&[Start, Exited, now], State::Exited, &[]),
        // Late events of something that is over.
        (&[Start, ReadyTimedOut, BecameReady], State::Stopping, &[]),
        (&[Start, BecameReady, ReadyTimedOut], State::Ready, &[]),
        (&[Start, Exited, drain, BackoffOver], State::Exited, &[]),
        (&[Start, BecameReady, Drained], State::Ready, &[]),
        (&[Start, Exited, StopTimedOut], State::Backoff, &[]),
    ];
    for (events, state, actions) in table {
        assert_eq!(run(events), (*state, actions.to_vec()), "{events:?}");
    }
}

#[test]
fn on_trial_there_is_one_try_until_it_is_adopted() {
    let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
    for failure in [&[Event::SpawnFailed][..], &[Event::Exited], &[Event::BecameReady, Event::Exited]] {
        for adopted in [false, true] {
            let mut life = Life { on_trial: true, ..life(now) };
            life.step(Event::Start, now, &mut rng);
            if adopted {
                life.adopt();
            }
            failure.iter().for_each(|event| drop(life.step(*event, now, &mut rng)));
            assert_eq!(life.state(), if adopted { State::Backoff } else { State::Exited }, "{failure:?}");
            assert_eq!(life.is_leaving(), !adopted);
        }
    }
}

#[test]
fn whoever_comes_after_a_hang_waits_longer_each_time_and_not_at_all_after_a_long_life() {
    let (mut now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
    let mut pause = None;
    for (served, waits_ms) in [(1, 0), (1, 100), (1, 200), (10_000, 0), (1, 100)] {
        let mut life = life(now);
        if let Some(pause) = pause.take() {
            life = life.after(pause);
        }
        let first = life.step(Event::Start, now, &mut rng);
        if let [Action::Restart { after }] = first[..] {
            assert_eq!(life.state(), State::Backoff);
            now += after;
            assert_eq!(life.step(Event::BackoffOver, now, &mut rng), [Action::Spawn]);
        }
        life.step(Event::BecameReady, now, &mut rng);
        now += Duration::from_millis(served);
        let next = life.pause(now, &mut rng);
        let waits = next.until.saturating_duration_since(now);
        assert!(waits <= waits_ms * MS && waits >= waits_ms * MS * 3 / 4, "{waits:?} for {waits_ms}");
        pause = Some(next);
    }
}

#[test]
fn a_stop_now_waits_a_second_at_most() {
    let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
    let mut life = life(now);
    life.step(Event::Start, now, &mut rng);
    let actions = life.step(Event::Stop(Stop::Now), now, &mut rng);
    assert_eq!(actions, [Action::Leave, Action::Terminate { grace: Duration::from_secs(1) }]);
}

#[test]
fn whatever_happens_there_is_one_process_at_most_and_only_ready_workers_are_members() {
    let mut rng = SmallRng::seed_from_u64(42);
    let mut now = Instant::now();
    for _ in 0..500 {
        let (mut life, mut alive, mut member, mut stopped) = (life(now), false, false, false);
        for _ in 0..60 {
            now += Duration::from_millis(rng.random_range(0..20_000));
            let event = match rng.random_range(0..20) {
                0..4 if alive => Event::Exited,
                4..8 if alive => Event::BecameReady,
                8 => Event::ReadyTimedOut,
                9 => Event::Drained,
                10 => Event::StopTimedOut,
                11 => Event::Stop(Stop::Now),
                12 => Event::Stop(Stop::Drain { until: now }),
                13..18 => Event::BackoffOver,
                18 if life.state() == State::Starting => Event::SpawnFailed,
                _ if !stopped => Event::Start,
                _ => continue,
            };
            alive &= !matches!(event, Event::Exited | Event::SpawnFailed);
            stopped |= matches!(event, Event::Stop(_));
            for action in life.step(event, now, &mut rng) {
                match action {
                    Action::Spawn => assert!(!std::mem::replace(&mut alive, true) && !stopped),
                    Action::Join => assert!(!std::mem::replace(&mut member, true)),
                    Action::Leave => member = false,
                    _ => {}
                }
            }
            // A process that KILL does not end is given up.
            alive &= !(event == Event::StopTimedOut && life.state() == State::Exited);
            let process = !matches!(life.state(), State::Backoff | State::Exited);
            assert_eq!(alive, process, "{event:?} {life:?}");
            assert!(!member || process, "{event:?} {life:?}");
            assert!(life.state() != State::Ready || member);
        }
    }
}

#[test]
fn who_is_not_to_be_started_again_stays_where_it_ended_and_is_still_wanted() {
    let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
    for (restart, event, stays) in [
        (Restart::Always, Event::Finished, false),
        (Restart::OnFailure, Event::Finished, true),
        (Restart::OnFailure, Event::Exited, false),
        (Restart::Never, Event::Finished, true),
        (Restart::Never, Event::Exited, true),
    ] {
        let mut life = Life { restart, ..life(now) };
        life.step(Event::Start, now, &mut rng);
        life.step(Event::BecameReady, now, &mut rng);
        life.step(event, now, &mut rng);
        let expected = if stays { State::Exited } else { State::Backoff };
        assert_eq!((life.state(), life.is_leaving()), (expected, false), "{restart:?} {event:?}");
    }
    // A replacement that has done its work has not failed.
    for (event, failed) in [(Event::Finished, false), (Event::Exited, true)] {
        let mut life = Life { restart: Restart::OnFailure, on_trial: true, ..life(now) };
        life.step(Event::Start, now, &mut rng);
        life.step(event, now, &mut rng);
        assert_eq!((life.state(), life.is_leaving()), (State::Exited, failed), "{event:?}");
    }
}
