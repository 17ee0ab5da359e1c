//! Workers that die or never come up, seen from outside the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::SOON;
use crate::program::{Program, Traffic, eventually, get, is_alive, post, scratch, workers};

#[test]
fn kill_9_of_the_balancer_leaves_no_worker() {
    let mut program = Program::serve_ready("kill-9", &workers(4), 4);
    let pids: Vec<_> = program.until_ready(4).iter().map(|worker| worker.pid).collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let begun = Instant::now();
    program.signal(Signal::SIGKILL);
    program.wait();
    eventually("no worker is left", || pids.iter().all(|pid| !is_alive(*pid)));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_worker_killed_while_idle_costs_no_request_and_is_replaced() {
    let program = Program::serve_ready("killed-idle", &workers(3), 3);
    let address = program.address();
    // Each has a connection that is kept for the next request.
    for _ in 0..12 {
        get(address, "/").unwrap();
    }
    let victim = program.until_ready(3).remove(0);
    kill(Pid::from_raw(victim.pid), Signal::SIGKILL).unwrap();
    for _ in 0..60 {
        let (status, body) = get(address, "/").unwrap();
        assert_eq!(status, 200, "{body}");
    }
    let log = program.stderr.until(&format!("{} (pid {}) died: killed by signal 9", victim.name, victim.pid));
    assert!(log.contains("; starting again at once"), "{log}");
    let back = program.until_ready(4).pop().unwrap();
    assert!(back.name == victim.name && back.pid != victim.pid, "{back:?}");
}

#[test]
fn workers_killed_while_serving_cost_no_get() {
    let program = Program::serve_ready("killed-serving", &workers(3), 3);
    let traffic = Traffic::start(program.address(), "/delay?ms=100", 6);
    for round in 0..3 {
        traffic.await_more();
        let victim = program.until_ready(3 + round).pop().unwrap();
        let serves = |info: &str| !info.contains("in_flight: 0\n");
        eventually("it serves", || serves(&get(victim.address(), "/info").unwrap().1));
        kill(Pid::from_raw(victim.pid), Signal::SIGKILL).unwrap();
        program.until_ready(4 + round);
    }
    traffic.assert_all_served();
    program.stdout.until(" attempts=2 ");
}

#[test]
fn a_worker_that_dies_of_a_post_costs_that_request_only() {
    let program = Program::serve_ready("dies-of-post", &workers(2), 2);
    let address = program.address();
    let answer = post(address, "/crash", "the last words");
    assert_eq!(answer.map(|(status, _)| status), Some(502), "a POST is not tried again");
    for _ in 0..20 {
        assert_eq!(get(address, "/").unwrap().0, 200);
    }
    program.until_ready(3);
    assert_eq!(program.stderr.now().matches(" died: killed by signal 6 (SIGABRT").count(), 1);
}

#[test]
fn a_command_that_cannot_run_is_told_and_other_pools_go_on() {
    let file = scratch("cannot-run-file").join("run.sh");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let file = file.display();
    let config = format!(
        "{}\
         [pool.absent.workers]\ncommand = [\"no-such-program\"]\n\
         [pool.forbidden.workers]\ncommand = [\"{file}\"]\n\
         [pool.brief.workers]\ncommand = [\"sh\", \"-c\", \"echo no database >&2; exit 3\"]\n\
         [pool.mute.workers]\ncommand = [\"sleep\", \"1000\"]\nready_timeout = \"300ms\"\n\
         [[route]]\npool = \"app\"\n[[route]]\npath = \"/absent\"\npool = \"absent\"\n\
         [[route]]\npath = \"/forbidden\"\npool = \"forbidden\"\n[[route]]\npath = \"/brief\"\npool = \"brief\"\n\
         [[route]]\npath = \"/mute\"\npool = \"mute\"\n",
        workers(1)
    );
    let mut program = Program::serve("cannot-run", &config);
    for part in [
        "absent.1 could not be started: command `no-such-program` not found; looked for it in PATH (",
        &format!("forbidden.1 could not be started: command `{file}` is not executable"),
        "died before it was ready: exit code 3 after ",
        "    brief.1 | no database",
        "was not ready within 300 ms and was stopped: killed by signal 15 (SIGTERM) after ",
        "app.1 (pid ",
    ] {
        program.stderr.until(part);
    }
    program.until_ready(1);
    assert_eq!(get(program.address(), "/"), Some((200, "server 1\n".to_owned())));
    for pool in ["absent", "forbidden", "brief", "mute"] {
        let (status, body) = get(program.address(), &format!("/{pool}")).unwrap();
        assert_eq!(status, 503, "{body}");
    }
    assert_eq!(program.stop(), Some(0));
}
