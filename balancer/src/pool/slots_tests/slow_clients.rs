//! What clients keep that are slow, and what they get afterwards.

use super::*;

#[test]
fn who_waits_for_its_client_in_a_place_leaves_it_to_others_that_wait_until_it_has_waited_long() {
    let pool = pool(Slots::new(1), 1);
    let first = placed(pool.claim_slot(&ask("/")));
    let mut upload = waiting(pool.claim_slot(&Ask { streams: true, ..ask("/up") }));
    let mut other = waiting(pool.claim_slot(&ask("/")));
    drop(first);
    let place = came(&mut other);
    assert!(look(&mut upload).is_pending());
    drop(place);
    came(&mut upload);
    // Nothing is kept free of it.
    placed(pool.claim_slot(&Ask { streams: true, ..ask("/up") }));
}

#[test]
fn those_who_wait_press_whoever_has_what_they_wait_for() {
    let pool = pool(Slots::new(1), 2);
    let (one, other) = (placed(pool.claim_slot(&ask("/"))), placed(pool.claim_slot(&ask("/"))));
    let pressed = |place: &Place| place.pressure(Instant::now() + Duration::from_secs(1)).map(|it| it.times() > 100.0);
    assert_eq!((pressed(&one), pressed(&other)), (None, None), "nobody waits");
    let tried = [one.endpoint().id()];
    let mut waits = waiting(pool.claim_slot(&ask("/")));
    assert_eq!((pressed(&one), pressed(&other)), (Some(true), Some(true)));
    drop(one);
    let _there = came(&mut waits);
    let again = waiting(pool.claim_slot(&Ask { tried: &tried, turn: 1, ..ask("/") }));
    assert_eq!(pressed(&other), Some(true));
    drop(again);
    assert_eq!(pressed(&other), None);
}

#[test]
fn once_a_client_has_kept_a_place_it_lets_others_go_first_and_they_may_ask_for_the_same() {
    let pool = pool(Slots::new(1), 2);
    let [slow, other] = [1, 2].map(|last| Some(Client::of([192, 0, 2, last].into())));
    let large = |client| Ask { client, ..ask("/large") };
    let (kept, held) = (placed(pool.claim_slot(&large(slow))), placed(pool.claim_slot(&ask("/"))));
    let mut like_it = waiting(pool.claim_slot(&large(slow)));
    let mut innocent = waiting(pool.claim_slot(&large(other)));
    kept.kept_by_client(slow);
    drop(kept);
    let innocent = came(&mut innocent);
    assert!(look(&mut like_it).is_pending(), "though it came first");
    drop((innocent, held));
    let like_it = came(&mut like_it);
    // One place of two: the other stays free, and is anybody else's.
    let again = waiting(pool.claim_slot(&large(slow)));
    placed(pool.claim_slot(&large(other)));
    drop((again, like_it));
}

#[test]
fn what_a_client_waits_for_that_has_kept_a_place_holds_up_no_slow_request_of_another() {
    let pool = pool(Slots::new(1), 4);
    let [slow, other] = [1, 2].map(|last| Some(Client::of([192, 0, 2, last].into())));
    let upload = |client| Ask { client, streams: true, ..ask("/up") };
    let kept = placed(pool.claim_slot(&upload(slow)));
    let mut busy: Vec<Place> = (0..3).map(|_| placed(pool.claim_slot(&ask("/")))).collect();
    kept.kept_by_client(slow);
    // One place of four is all that it has.
    let mut again = waiting(pool.claim_slot(&upload(slow)));
    let mut innocent = waiting(pool.claim_slot(&upload(other)));
    drop(busy.pop());
    let innocent = came(&mut innocent);
    assert!(look(&mut again).is_pending(), "though it came first");
    drop((innocent, kept));
    came(&mut again);
}

#[test]
fn a_client_that_has_kept_a_place_presses_nobody() {
    let pool = pool(Slots::new(1), 1);
    let [slow, other] = [1, 2].map(|last| Some(Client::of([192, 0, 2, last].into())));
    let large = |client| Ask { client, ..ask("/large") };
    let kept = placed(pool.claim_slot(&large(slow)));
    kept.kept_by_client(slow);
    drop(kept);
    let place = placed(pool.claim_slot(&ask("/")));
    let pressed = || place.pressure(Instant::now() + Duration::from_secs(1)).is_some();
    let _again = waiting(pool.claim_slot(&large(slow)));
    assert!(!pressed(), "it would not get the place");
    let _innocent = waiting(pool.claim_slot(&large(other)));
    assert!(pressed());
}
