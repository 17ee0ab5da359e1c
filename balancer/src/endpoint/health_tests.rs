use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config::Probe;

const SECOND: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules {
        eject_after: 3,
        eject_time: SECOND,
        probe: Some(Probe { rise: 2, fall: 3, ..Probe::default() }),
        ..Rules::default()
    }
}

/// Steps through events at their seconds; the changes, and the last standing.
fn run(events: &[(u64, HealthEvent)], rules: &Rules) -> (Vec<Change>, Standing, Instant) {
    let (mut health, begun, client) = (Health::new(), Instant::now(), ClientKey::default());
    let mut changes = Vec::new();
    for &(at, event) in events {
        let now = begun + SECOND * u32::try_from(at).unwrap();
        if matches!(event, HealthEvent::Served(ClaimedAs::OnProbation) | HealthEvent::Failed(ClaimedAs::OnProbation, _))
        {
            assert_eq!(health.begin_probation(client, now), Some(ClaimedAs::OnProbation), "{event:?} at {at}");
            assert_eq!(health.standing(), Standing::Probation);
        }
        changes.extend(health.step(event, rules, now));
    }
    (changes, health.standing(), begun)
}

const OK: HealthEvent = HealthEvent::Served(ClaimedAs::Ordinary);
const FAILED: HealthEvent = HealthEvent::Failed(ClaimedAs::Ordinary, ALONE);
const TRIED_OK: HealthEvent = HealthEvent::Served(ClaimedAs::OnProbation);
const TRIED_FAILED: HealthEvent = HealthEvent::Failed(ClaimedAs::OnProbation, ALONE);
const ALONE: Cause = Cause::Endpoint;

#[test]
fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
    assert_eq!(run(&[(0, FAILED), (0, FAILED)], &rules()).1, Standing::Suspect);
    assert_eq!(run(&[(0, FAILED), (0, FAILED), (0, OK), (0, FAILED), (0, FAILED)], &rules()).0, []);
    let (changes, standing, begun) = run(&[(0, FAILED), (0, FAILED), (0, FAILED)], &rules());
    assert_eq!(changes, [Change::Ejected(SECOND, 3)]);
    assert_eq!(standing, Standing::Ejected(begun + SECOND));
}

#[test]
fn none_is_ejected_where_that_is_off() {
    let rules = Rules { eject_after: 0, ..rules() };
    assert_eq!(run(&[(0, FAILED); 100], &rules).1, Standing::Suspect);
}

#[test]
fn one_request_on_probation_decides() {
    let ejected = [(0, FAILED), (0, FAILED), (0, FAILED)];
    let back = run(&[&ejected[..], &[(2, TRIED_OK)]].concat(), &rules());
    assert_eq!((&back.0[1..], back.1), (&[Change::Back(2 * SECOND)][..], Standing::Fine));
    let again = run(&[&ejected[..], &[(1, TRIED_FAILED)]].concat(), &rules());
    assert_eq!((&again.0[1..], again.1), (&[Change::Again(2 * SECOND)][..], Standing::Ejected(again.2 + 3 * SECOND)));
}

#[test]
fn ejections_double_up_to_five_minutes_and_begin_anew_after_a_good_time() {
    let rules = Rules { eject_time: Duration::from_secs(10), ..rules() };
    let mut events = vec![(0, FAILED), (0, FAILED), (0, FAILED)];
    events.extend((1..=8).map(|number| (number * 300, TRIED_FAILED)));
    let (changes, ..) = run(&events, &rules);
    let seconds: Vec<u64> = changes
        .iter()
        .map(|change| match change {
            Change::Ejected(time, _) | Change::Again(time) => time.as_secs(),
            change => panic!("{change:?}"),
        })
        .collect();
    assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300, 300, 300]);

    let flaps = |after: u64| {
        let again = [(20, TRIED_OK), (20 + after, FAILED), (20 + after, FAILED), (20 + after, FAILED)];
        let events = [&events[..3], &again[..]].concat();
        run(&events, &rules).0.pop()
    };
    assert_eq!(flaps(9), Some(Change::Ejected(Duration::from_secs(20), 3)), "flapping");
    assert_eq!(flaps(10), Some(Change::Ejected(Duration::from_secs(10), 3)));
}

#[test]
fn ejections_become_shorter_as_they_became_longer() {
    let rules = Rules { eject_time: Duration::from_secs(10), ..rules() };
    // Out for 10, 20, 40 and 80 s, back at 200.
    let up = [(0, FAILED), (0, FAILED), (0, FAILED), (10, TRIED_FAILED), (30, TRIED_FAILED), (70, TRIED_FAILED)];
    let again_after = |well: u64| {
        let failed = [(200, TRIED_OK), (200 + well, FAILED), (200 + well, FAILED), (200 + well, FAILED)];
        match run(&[&up[..], &failed[..]].concat(), &rules).0.pop() {
            Some(Change::Ejected(time, 3)) => time.as_secs(),
            change => panic!("{change:?}"),
        }
    };
    assert_eq!([0, 9, 10, 20, 30, 40, 50, 4_000_000].map(again_after), [160, 160, 80, 40, 20, 10, 10, 10]);
}

#[test]
fn one_that_takes_connections_again_is_on_probation_before_its_time_is_over() {
    use HealthEvent::{Reachable, Unreachable};
    let ejected = [(0, Unreachable), (0, FAILED), (0, FAILED), (0, FAILED)];
    let (changes, standing, begun) = run(&[&ejected[..], &[(0, Reachable)]].concat(), &rules());
    assert_eq!(changes[1..], [Change::Reachable(Duration::ZERO)]);
    assert_eq!(standing, Standing::Ejected(begun), "over at once, so that a request may decide");
    let (changes, ..) = run(&[&ejected[..], &[(0, OK), (0, Reachable)]].concat(), &rules());
    assert_eq!(changes[1..], [Change::Reachable(Duration::ZERO)], "what was under way already needed no connection");
    // Where a connection was always to be had, it says nothing new.
    for known in [&ejected[1..], &[&ejected[..3], &[(0, OK), (0, FAILED), (0, FAILED), (0, FAILED)]].concat()] {
        let (changes, standing, begun) = run(&[known, &[(0, Reachable), (0, Reachable)]].concat(), &rules());
        assert_eq!((changes.len(), standing), (1, Standing::Ejected(begun + SECOND)));
    }
    let (changes, ..) = run(&[&ejected[1..], &[(0, Reachable), (0, Unreachable), (0, Reachable)]].concat(), &rules());
    assert_eq!(changes[1..], [Change::Reachable(Duration::ZERO)], "it was gone in between");
}

#[test]
fn what_was_under_way_or_sent_in_spite_of_an_ejection_does_not_prolong_it() {
    let ejected = [(0, FAILED), (0, FAILED), (0, FAILED)];
    for event in
        [FAILED, OK, HealthEvent::Failed(ClaimedAs::Despite, ALONE), HealthEvent::Abandoned(ClaimedAs::Ordinary)]
    {
        let (changes, standing, begun) = run(&[&ejected[..], &[(0, event); 9]].concat(), &rules());
        assert_eq!((changes.len(), standing), (1, Standing::Ejected(begun + SECOND)), "{event:?}");
    }
    let (changes, standing, _) =
        run(&[&ejected[..], &[(0, HealthEvent::Served(ClaimedAs::Despite))]].concat(), &rules());
    assert_eq!((changes[1], standing), (Change::Back(Duration::ZERO), Standing::Fine), "but it may end it");
}

#[test]
fn a_probation_that_tells_nothing_leaves_it_to_the_next_request() {
    let (mut health, now) = (Health::new(), Instant::now());
    for _ in 0..3 {
        health.step(FAILED, &rules(), now);
    }
    let mut begin = |now| health.begin_probation(ClientKey::default(), now);
    assert_eq!(begin(now), None, "its time is not over");
    assert_eq!(begin(now + SECOND), Some(ClaimedAs::OnProbation));
    assert_eq!(begin(now + SECOND), None, "one at a time");
    health.step(HealthEvent::Abandoned(ClaimedAs::OnProbation), &rules(), now + SECOND);
    assert_eq!(health.begin_probation(ClientKey::default(), now + SECOND), Some(ClaimedAs::OnProbation));
}

#[test]
fn probes_take_down_and_bring_up_by_fall_and_rise() {
    use HealthEvent::{ProbeFailed as Bad, ProbeOk as Good};
    let changes = |events: &[HealthEvent]| {
        let events: Vec<_> = events.iter().map(|event| (0, *event)).collect();
        run(&events, &rules()).0
    };
    let up = Change::Up(2, Duration::ZERO, false);
    assert_eq!(changes(&[Bad]), [Change::Down(1)], "the first of all decides alone");
    assert_eq!(changes(&[Good, Bad, Bad, Good, Bad, Bad]), []);
    assert_eq!(changes(&[Good, Bad, Bad, Bad, Bad, Bad, Bad]), [Change::Down(3)]);
    assert_eq!(changes(&[Bad, Good, Bad, Good]), [Change::Down(1)]);
    assert_eq!(changes(&[Bad, Good, Good, Good]), [Change::Down(1), up]);
    assert_eq!(changes(&[Bad, FAILED, FAILED, FAILED, Good, Good, FAILED, FAILED]), [Change::Down(1), up]);
}

#[test]
fn an_answered_probe_ends_no_ejection_but_one_that_is_answered_again_does() {
    use HealthEvent::{ProbeFailed as Bad, ProbeOk as Good};
    let ejected = [(0, Good), (0, FAILED), (0, FAILED), (0, FAILED)];
    let (changes, standing, begun) = run(&[&ejected[..], &[(0, Good); 9]].concat(), &rules());
    assert_eq!((changes.len(), standing), (1, Standing::Ejected(begun + SECOND)));

    let recovers = [&ejected[..], &[(0, Bad), (0, Bad), (0, Bad), (0, Good), (0, Good)]].concat();
    let (changes, standing, begun) = run(&recovers, &rules());
    assert_eq!(changes[1..], [Change::Down(3), Change::Up(2, Duration::ZERO, true)]);
    assert_eq!(standing, Standing::Ejected(begun), "over at once, so that a request may decide");
}

#[test]
fn who_comes_back_ramps_up_until_a_request_finds_it_over() {
    let rules = Rules { slow_start: 10 * SECOND, ..rules() };
    let (_, standing, begun) = run(&[(0, HealthEvent::Joined), (5, OK)], &rules);
    assert_eq!(standing, Standing::Ramping(begun));
    assert_eq!(run(&[(0, HealthEvent::Joined), (10, OK)], &rules).1, Standing::Fine);
    assert_eq!(
        run(&[(0, HealthEvent::Joined), (10, OK), (11, HealthEvent::Joined)], &rules).1,
        Standing::Fine,
        "it was there"
    );
    let back = [(0, FAILED), (0, FAILED), (0, FAILED), (20, TRIED_OK)];
    let (_, standing, begun) = run(&back, &rules);
    assert_eq!(standing, Standing::Ramping(begun + 20 * SECOND));
}

#[test]
fn whatever_happens_every_endpoint_that_is_well_again_comes_back() {
    let (mut rng, client) = (SmallRng::seed_from_u64(11), ClientKey::default());
    for _ in 0..2_000 {
        let (mut health, mut now, mut probation) = (Health::new(), Instant::now(), false);
        for _ in 0..rng.random_range(0..60) {
            now += Duration::from_millis(rng.random_range(0..2_000));
            probation = probation || health.begin_probation(client, now) == Some(ClaimedAs::OnProbation);
            let event = match rng.random_range(0..10) {
                8 => HealthEvent::Reachable,
                9 => HealthEvent::Unreachable,
                0 => HealthEvent::ProbeOk,
                1 => HealthEvent::ProbeFailed,
                2 => OK,
                3..=5 => FAILED,
                6 => HealthEvent::Failed(ClaimedAs::Despite, ALONE),
                _ if std::mem::take(&mut probation) => {
                    [TRIED_OK, TRIED_FAILED, HealthEvent::Abandoned(ClaimedAs::OnProbation)][rng.random_range(0..3)]
                }
                _ => HealthEvent::Joined,
            };
            health.step(event, &rules(), now);
            let ejected_for = match health.standing() {
                Standing::Ejected(until) => until.saturating_duration_since(now),
                _ => Duration::ZERO,
            };
            assert!(ejected_for <= EJECT_TIME_MAX);
        }
        for _ in 0..2 {
            health.step(HealthEvent::ProbeOk, &rules(), now);
        }
        now += EJECT_TIME_MAX;
        if probation || health.begin_probation(client, now).is_some() {
            health.step(TRIED_OK, &rules(), now);
        }
        health.step(OK, &rules(), now);
        assert_eq!(health.standing(), Standing::Fine, "{health:?}");
    }
}

#[test]
fn one_client_among_others_neither_ejects_nor_prolongs_what_others_may_end() {
    let client = |last: u8| ClientKey::of(Some([192, 0, 2, last].into()));
    let of = |last, claimed| HealthEvent::Failed(claimed, Cause::Request { client: client(last), around: 9 });
    let (mut health, now) = (Health::new(), Instant::now());
    (0..100).for_each(|_| assert_eq!(health.step(of(1, ClaimedAs::Ordinary), &rules(), now), None));
    health.step(OK, &rules(), now);
    // Ejected for a reason of its own; then the one is the first to come.
    (0..3).for_each(|_| _ = health.step(FAILED, &rules(), now));
    let over = now + SECOND;
    assert_eq!(health.begin_probation(client(1), over), Some(ClaimedAs::OnProbation));
    assert_eq!(health.step(of(1, ClaimedAs::OnProbation), &rules(), over), None);
    assert_eq!(health.standing(), Standing::Ejected(over), "over, and for others to decide");
    assert_eq!(health.begin_probation(client(1), over), Some(ClaimedAs::Despite));
    assert_eq!(health.begin_probation(client(2), over), Some(ClaimedAs::OnProbation));
    assert_eq!(health.step(TRIED_OK, &rules(), over), Some(Change::Back(SECOND)));
}

#[test]
fn others_that_fail_on_probation_too_prolong_it_and_so_does_one_where_nobody_else_comes() {
    let client = |last: u8| ClientKey::of(Some([192, 0, 2, last].into()));
    let tried = |last| HealthEvent::Failed(ClaimedAs::OnProbation, Cause::Request { client: client(last), around: 9 });
    let ejected = |now| {
        let mut health = Health::new();
        (0..3).for_each(|_| _ = health.step(FAILED, &rules(), now));
        health
    };
    let now = Instant::now();
    let fail = |health: &mut Health, last, at| {
        assert_eq!(health.begin_probation(client(last), at), Some(ClaimedAs::OnProbation));
        health.step(tried(last), &rules(), at)
    };
    let mut health = ejected(now);
    let over = now + SECOND;
    assert_eq!([1, 2].map(|last| fail(&mut health, last, over)), [None, None]);
    assert_eq!(fail(&mut health, 3, over), Some(Change::Again(2 * SECOND)));
    let mut health = ejected(now);
    assert_eq!(fail(&mut health, 1, over), None);
    assert_eq!(fail(&mut health, 1, over + 3 * SECOND), Some(Change::Again(SECOND)), "no longer than at first");
}
