//! What is remembered over a restart.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Gate, Origin, directory, eventually, ok};
use super::program::{Program, balancer, file, get};
use super::slots::{pause, slots_of};

/// Takes its time for `/slow`, until the gate is open.
fn worker(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target() == "/slow" {
                // So long that four times as long is long for a test.
                pause(Duration::from_secs(1));
                if !gate.wait() {
                    return;
                }
            }
            exchange.send(ok("done"));
        }
    })
}

fn start(state: &Path, origins: &[&Origin]) -> Balancer {
    Balancer::start(&format!("state_dir = {state:?}"), &slots_of(origins, "slots = 1\nqueue_timeout = \"60s\"\n"))
}

/// Lets it learn what is slow, and ends it.
fn teach(mut balancer: Balancer) {
    let mut client = Client::of(&balancer);
    for _ in 0..8 {
        assert_eq!(client.get("/fast").text(), "done");
    }
    for _ in 0..2 {
        assert_eq!(client.get("/slow").text(), "done");
    }
    balancer.signal(Signal::SIGTERM);
    assert_eq!(balancer.ended().code(), Some(0));
}

#[test]
fn what_is_slow_is_known_after_a_restart() {
    let (state, open, shut) = (directory(), Gate::default(), Gate::default());
    open.open();
    let (one, two) = (worker(&open), worker(&open));
    teach(start(&state, &[&one, &two]));
    let text = std::fs::read_to_string(state.join("lb.learned.json")).unwrap();
    assert!(text.starts_with("{\"pools\":{\"app\":{\"kinds\":[["), "{text}");
    let left: Vec<_> = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lb.learned.json"], "nothing lies beside it");

    // Nothing has ended yet, and the second slow one leaves the last place all the same.
    let (one, two) = (worker(&shut), worker(&shut));
    let balancer = start(&state, &[&one, &two]);
    let mut slow = [Client::of(&balancer), Client::of(&balancer)];
    for client in &mut slow {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let begun = || one.requests().len() + two.requests().len();
    eventually(|| "one slow request at a worker".into(), || (begun() == 1).then_some(()));
    assert_eq!(Client::of(&balancer).get("/fast").text(), "done");
    shut.open();
    slow.iter_mut().for_each(|client| assert_eq!(client.response().text(), "done"));
    std::fs::remove_dir_all(state).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_costs_a_line_and_is_written_anew() {
    for (number, bad) in
        [&b"{\"version\":1,\"pools\":{\"app\":{\"typical\""[..], b"\0\xff\xfe", b"", b"{\"version\":9}"]
            .iter()
            .enumerate()
    {
        let (state, open) = (directory(), Gate::default());
        open.open();
        std::fs::write(state.join("lb.learned.json"), bad).unwrap();
        let origin = worker(&open);
        let mut balancer = start(&state, &[&origin]);
        let said = balancer.await_stderr("learned times in ");
        assert_eq!(said.matches("are not used: ").count(), 1, "{number}: {said}");
        teach(balancer);
        let origin = worker(&open);
        let mut balancer = start(&state, &[&origin]);
        assert!(!balancer.await_stderr("listening on ").contains("learned times"), "{number}");
        std::fs::remove_dir_all(state).unwrap();
    }
}

#[test]
fn where_nothing_can_be_written_requests_are_served_and_one_line_says_so() {
    let (state, open) = (directory(), Gate::default());
    open.open();
    let origin = worker(&open);
    let balancer = start(&state, &[&origin]);
    std::fs::remove_dir_all(&state).unwrap();
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/fast").text(), "done");
    let mut balancer = balancer;
    balancer.signal(Signal::SIGTERM);
    assert_eq!(balancer.ended().code(), Some(0));
    balancer.await_end_of_log("cannot remember learned times in ");
}

#[test]
fn where_the_file_says_nothing_the_directory_of_the_service_manager_counts() {
    let (state, open) = (directory(), Gate::default());
    open.open();
    let origin = worker(&open);
    let config = format!("listen = \"127.0.0.1:0\"\n{}", slots_of(&[&origin], "slots = 1\n"));
    let path = file("state-directory", &config);
    let mut command = balancer(&["--config", path.to_str().unwrap()]);
    // systemd.exec(5): several are separated by colons.
    let mut program = Program::start(command.env("STATE_DIRECTORY", format!("{}:/nowhere", state.display())));
    assert_eq!(get(program.address(), "/fast").unwrap().0, 200);
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    assert!(state.join("lb.learned.json").is_file());
    std::fs::remove_dir_all(state).unwrap();
}

#[test]
fn a_reload_takes_it_elsewhere_and_forgets_nothing() {
    let (first, second, open) = (directory(), directory(), Gate::default());
    open.open();
    let origin = worker(&open);
    let mut balancer = start(&first, &[&origin]);
    assert_eq!(Client::of(&balancer).get("/fast").text(), "done");
    let path = balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(first.to_str().unwrap(), second.to_str().unwrap())).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 0 && said.contains("state_dir: changed"), "{said}");
    balancer.signal(Signal::SIGTERM);
    assert_eq!(balancer.ended().code(), Some(0));
    let kinds = std::fs::read_to_string(second.join("lb.learned.json")).unwrap();
    assert!(kinds.contains("\"app\":{\"kinds\":[["), "{kinds}");
    assert!(!first.join("lb.learned.json").exists());
    for state in [first, second] {
        std::fs::remove_dir_all(state).unwrap();
    }
}
