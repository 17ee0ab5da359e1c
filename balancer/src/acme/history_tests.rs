use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

const BOTH: &[Challenge] = &[Challenge::TlsAlpn01, Challenge::Http01];

fn failed(history: &mut OrderHistory, reason: OrderReason, usable: &[Challenge]) -> u64 {
    history.failed(reason, usable, &mut SmallRng::seed_from_u64(7)).as_secs()
}

#[test]
fn a_refused_challenge_is_followed_by_the_other_one_at_once_and_then_by_a_wait() {
    let mut history = OrderHistory::default();
    let mut asked = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..4 {
        asked.push(history.challenge(BOTH));
        waits.push(failed(&mut history, OrderReason::Refused, BOTH) > 0);
    }
    assert_eq!(asked, [BOTH, BOTH].concat());
    assert_eq!(waits, [false, true, false, true]);
}

#[test]
fn a_single_challenge_is_waited_for_each_time() {
    let mut history = OrderHistory::default();
    let alone = Challenge::usable(false);
    assert!((7..=10).contains(&failed(&mut history, OrderReason::Refused, alone)));
    assert_eq!(history.challenge(alone), Challenge::TlsAlpn01);
    assert!((15..=20).contains(&failed(&mut history, OrderReason::Refused, alone)));
}

#[test]
fn a_directory_that_does_not_answer_says_nothing_against_a_challenge() {
    let mut history = OrderHistory::default();
    assert!(failed(&mut history, OrderReason::Other, BOTH) >= 7);
    assert_eq!(history.challenge(BOTH), Challenge::TlsAlpn01);
}

#[test]
fn waits_double_up_to_a_day_and_no_further() {
    let mut history = OrderHistory::default();
    let waits: Vec<u64> = (0..40).map(|_| failed(&mut history, OrderReason::Other, BOTH)).collect();
    assert!(waits.windows(2).all(|two| two[1] >= two[0]), "{waits:?}");
    let day = 24 * 3600;
    assert!(waits[39] > day * 3 / 4 - 1 && waits[39] <= day, "{waits:?}");
    assert!(waits[12] < day / 2 && waits[15] > day / 2, "{waits:?}");
}

#[test]
fn who_was_asked_too_often_is_left_alone_for_an_hour() {
    let wait = failed(&mut OrderHistory::default(), OrderReason::Limited, BOTH);
    assert!((3_600..=4_800).contains(&wait), "{wait}");
}

#[test]
fn behind_a_failure_lets_encrypt_is_asked_in_earnest_only_when_a_trial_went_well() {
    let configured = AcmeDirectory::LetsEncrypt;
    let mut history = OrderHistory::default();
    assert_eq!(history.directory(&configured), &AcmeDirectory::LetsEncrypt);
    failed(&mut history, OrderReason::Refused, BOTH);
    assert_eq!(history.directory(&configured), &AcmeDirectory::LetsEncrypt, "the other challenge is tried first");
    failed(&mut history, OrderReason::Refused, BOTH);
    assert_eq!(history.directory(&configured), &AcmeDirectory::Staging);
    history.rehearsed();
    assert_eq!(history.directory(&configured), &AcmeDirectory::LetsEncrypt);
    failed(&mut history, OrderReason::Other, BOTH);
    assert_eq!(history.directory(&configured), &AcmeDirectory::Staging);
    let other = AcmeDirectory::Url("https://ca.test/".into());
    assert_eq!(history.directory(&other), &other, "another CA has no directory for tries that we know");
}

#[test]
fn the_challenge_that_went_well_comes_first_the_next_time() {
    let mut history = OrderHistory::default();
    failed(&mut history, OrderReason::Refused, BOTH);
    let mut history = history.succeeded();
    assert!(history.is_clean());
    assert_eq!(history.challenge(BOTH), Challenge::Http01);
    assert_eq!(failed(&mut history, OrderReason::Refused, BOTH), 0);
    assert_eq!(history.challenge(BOTH), Challenge::TlsAlpn01);
}

#[test]
fn a_number_that_the_ca_does_not_know_is_no_reason_to_wait_until_it_never_knows_one() {
    let mut history = OrderHistory::default();
    let waits: Vec<u64> = (0..5).map(|_| failed(&mut history, OrderReason::Nonce, BOTH)).collect();
    assert_eq!(waits[..3], [1, 1, 1]);
    assert!(waits[3] >= 7 && waits[4] > waits[3], "{waits:?}");
    failed(&mut history, OrderReason::Other, BOTH);
    assert_eq!(failed(&mut history, OrderReason::Nonce, BOTH), 1);
}
