//! The examples of `deploy/examples/` by family: each that is installed here answers from all of its workers, and ends when it is told to.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use super::program::{Program, balancer, eventually, example, file, get, needs, printed, repository, said};

/// Asks until all of `count` workers have answered, then stops.
fn answers(language: &str, folder: &str, count: usize) {
    let mut program = example(language, folder, &[]);
    program.until_ready(count);
    all_answer(program.address(), count, folder);
    assert_eq!(program.stop(), Some(0), "{folder}");
    let said = program.stderr.now();
    assert!(!said.contains("SIGKILL"), "{folder} ends when it is told to: {said}");
}

fn all_answer(address: SocketAddr, count: usize, folder: &str) {
    let mut seen = BTreeSet::new();
    eventually(folder, || {
        let answer = get(address, "/");
        let (status, body) = answer.unwrap_or_else(|| panic!("{folder}: no answer"));
        assert_eq!(status, 200, "{folder}: {body}");
        // It may come in chunks.
        let name = body.lines().find(|line| line.starts_with("server "));
        seen.insert(name.unwrap_or_else(|| panic!("{folder}: {body}")).to_owned());
        seen.len() == count
    });
}

#[test]
#[cfg_attr(not(has = "python3"), ignore = "needs python3")]
fn a_pool_of_threads_in_python_answers_behind_slots() {
    answers("python3", "python-thread-pool", 2);
}

#[test]
#[cfg_attr(not(has = "uvicorn"), ignore = "needs uvicorn")]
fn fastapi_on_uvicorn_answers() {
    answers("uvicorn", "python-uvicorn", 2);
}

#[test]
#[cfg_attr(not(has = "javac"), ignore = "needs javac")]
fn the_http_server_of_the_jdk_answers() {
    answers("javac", "java", 2);
}

#[test]
#[cfg_attr(not(has = "puma"), ignore = "needs puma")]
fn rack_on_puma_answers() {
    answers("puma", "ruby-puma", 2);
}

#[test]
#[cfg_attr(not(has = "php"), ignore = "needs php")]
fn php_answers_with_one_slot_each() {
    answers("php", "php", 4);
}

#[test]
#[cfg_attr(not(has = "apache2"), ignore = "needs apache2")]
fn apache_with_processes_answers() {
    answers("apache2", "apache-prefork", 2);
}

/// An example whose workers have an address of their own.
fn shared(language: &str, folder: &str) -> (Program, SocketAddr) {
    needs(language);
    let folder = repository(&format!("deploy/examples/{folder}"));
    let text = fs::read_to_string(folder.join("lb.toml")).unwrap();
    let config = text.replace("address = \"127.0.0.1:8080\"", "address = \"127.0.0.1:0\"");
    assert_ne!(text, config);
    let path = file(&format!("example-{}", folder.file_name().unwrap().to_string_lossy()), &config);
    let program = Program::start(balancer(&["--config", path.to_str().unwrap()]).current_dir(folder));
    let log = program.stderr.until("its workers take connections at ");
    let address = log.split_once("its workers take connections at ").unwrap().1.split(',').next().unwrap();
    (program, address.parse().unwrap())
}

#[test]
#[cfg_attr(not(all(has = "python3", has = "node")), ignore = "needs python3 and node")]
fn python_and_node_take_connections_that_are_handed_over() {
    for (language, folder) in [("python3", "python-handoff"), ("node", "node-handoff")] {
        let (mut program, address) = shared(language, folder);
        program.stderr.until_count(" takes connections of ", 2);
        match folder {
            "python-handoff" => all_answer(address, 2, folder),
            // The same client, the same worker, with the client's own address.
            _ => {
                eventually("both workers take connections, and one of them the client's", || {
                    let all: BTreeSet<_> = (0..10).map(|_| get(address, "/").unwrap()).collect();
                    assert!(all.iter().all(|(_, body)| body.ends_with(" has 127.0.0.1\n")), "{all:?}");
                    all.len() == 1
                });
            }
        }
        assert_eq!(program.stop(), Some(0), "{folder}");
        let said = program.stderr.now();
        assert!(!said.contains("SIGKILL"), "{folder}: {said}");
    }
}

#[test]
#[cfg_attr(not(has = "node"), ignore = "needs node")]
fn node_takes_connections_of_a_shared_listener() {
    let (mut program, address) = shared("node", "node-shared");
    program.stderr.until(" takes connections of ");
    assert!((0..20).all(|_| get(address, "/").is_some_and(|(status, _)| status == 200)));
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn the_file_of_every_example_is_right() {
    let mut count = 0;
    for folder in fs::read_dir(repository("deploy/examples")).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.is_dir() {
            continue;
        }
        let output = balancer(&["check", "--config", "lb.toml"]).current_dir(&folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{folder:?}: {} {}", printed(&output), said(&output));
        count += 1;
    }
    assert!(count >= 15, "{count}");
}
