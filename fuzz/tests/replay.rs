//! Every corpus again, and a seeded number of mutations of it: what was found once is not found twice.

use fuzz::mutate::mutated;
use fuzz::{TARGETS, Target};
use rand::SeedableRng;
use rand::rngs::StdRng;

#[test]
fn what_was_found_in_configurations_holds() {
    replay("config", 3_000);
}

#[test]
fn what_a_worker_gets_is_what_a_strict_reader_sees() {
    replay("head", 400);
}

#[test]
fn what_a_worker_gets_is_what_the_forwarding_rules_let_pass() {
    replay("fields", 400);
}

#[test]
fn what_was_found_in_route_patterns_holds() {
    replay("route", 3_000);
}

#[test]
fn what_was_found_in_cookies_holds() {
    replay("cookie", 1_000);
}

fn replay(name: &str, mutations: usize) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let corpus = target.corpus();
    assert!(!corpus.is_empty(), "no corpus in {}", target.folder().display());
    corpus.iter().for_each(|input| (target.run)(input));
    let mut rng = StdRng::seed_from_u64(1);
    (0..mutations).for_each(|_| (target.run)(&mutated(&corpus, target.words, &mut rng)));
}
