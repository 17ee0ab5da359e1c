//! Every corpus again, and a seeded number of mutations of it: what was found once is not found twice.

use fuzz::mutate::mutated;
use fuzz::{Missing, Reader, TARGETS, Target};
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

#[test]
fn a_request_is_the_same_however_it_comes() {
    replay("request", 1_500);
}

#[test]
fn a_response_is_the_same_however_it_comes() {
    replay("response", 1_500);
}

#[test]
fn a_chunked_body_is_the_same_however_it_comes() {
    replay("chunked", 1_500);
}

#[test]
fn hyper_reads_what_we_read() {
    compare(Reader::hyper());
}

#[test]
#[cfg_attr(not(has = "llhttp"), ignore = "needs node")]
fn llhttp_reads_what_we_read() {
    compare(Reader::llhttp());
}

#[test]
#[cfg_attr(not(has = "h11"), ignore = "needs python3 with h11")]
fn h11_reads_what_we_read() {
    compare(Reader::h11());
}

#[expect(clippy::panic, reason = "helpers of tests fail as tests do")]
fn compare(reader: Result<Reader, Missing>) {
    let mut readers = match reader {
        Ok(reader) => [reader],
        Err(Missing(what)) => panic!("{what}"),
    };
    for target in TARGETS {
        let Some(compare) = target.compare else { continue };
        // A whole program serves each of these.
        let mutations = if target.name == "head" { 100 } else { 1_000 };
        inputs(&target, mutations, |input| compare(input, &mut readers));
    }
}

fn replay(name: &str, mutations: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    inputs(target, mutations, target.run);
}

/// The corpus, and so many mutations of it.
fn inputs(target: &Target, mutations: usize, mut run: impl FnMut(&[u8])) {
    let corpus = target.corpus();
    assert!(!corpus.is_empty(), "no corpus in {}", target.folder().display());
    corpus.iter().for_each(|input| run(input));
    let mut rng = StdRng::seed_from_u64(1);
    (0..mutations).for_each(|_| run(&mutated(&corpus, target.words, &mut rng)));
}
