//! Replacing workers, with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::TcpListener;
use std::sync::Mutex;
use std::time::Duration;

use balancer::config;
use balancer::supervise::{RestartReason, RollError, State, Status, Stop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, timeout};

use crate::harness::SOON;
use crate::supervise::{
    PATIENCE, Room, eventually, is_alive, number_behind, port_of, python, scratch, shell, until_dead,
};

const SERVES: &str = "echo Listening; exec sleep 1000";

#[tokio::test]
async fn a_roll_replaces_every_worker_and_never_has_fewer_ready_nor_more_than_one_extra() {
    let room = Room::start(config::Workers { count: 3, ..shell(SERVES) });
    let before = room.until_ready().await;
    let mut watch = room.supervisor.watch();
    let watching = async {
        loop {
            watch.changed().await.unwrap();
            let status = watch.borrow_and_update().clone();
            assert!(status.ready() >= 3, "{status:#?}");
            let processes = status.workers.iter().filter(|worker| worker.pid.is_some()).count();
            assert!(processes <= 4, "{status:#?}");
            let accepting = room.pool.endpoints().iter().filter(|endpoint| endpoint.accepts()).count();
            assert!(accepting >= 3, "{status:#?}");
        }
    };
    let report = tokio::select! {
        report = room.supervisor.roll() => report.unwrap(),
        () = watching => unreachable!(),
    };
    assert_eq!(report.replaced.iter().map(|name| &**name).collect::<Vec<_>>(), ["app.1", "app.2", "app.3"]);
    let after = room.until_ready().await;
    assert_eq!(room.members(), ["app.1", "app.2", "app.3"]);
    for (old, new) in before.workers.iter().zip(&after.workers) {
        assert!(!is_alive(old.pid.unwrap()) && is_alive(new.pid.unwrap()));
        assert_eq!((new.restarts, new.restart_reasons.get(&RestartReason::Rolled)), (0, Some(&1)));
    }
}

#[tokio::test]
async fn a_roll_replaces_as_many_at_once_as_it_may() {
    let room = Room::start(config::Workers { count: 4, roll_parallel: 4, ..shell(SERVES) });
    room.until_ready().await;
    let all_twice = |status: &Status| status.workers.iter().filter(|worker| worker.pid.is_some()).count() == 8;
    let (report, _) = tokio::join!(room.supervisor.roll(), room.until("four replacements", all_twice));
    assert_eq!(report.unwrap().replaced.len(), 4);
}

#[tokio::test]
async fn a_roll_waits_for_the_requests_of_old_workers() {
    let room = Room::start(shell(SERVES));
    let old = room.until_ready().await.workers[0].pid.unwrap();
    let place = room.pool.endpoints()[0].claim().unwrap();
    let rest = async {
        let drains = |status: &Status| status.workers[0].state == State::Draining && status.workers.len() == 2;
        room.until("the old one drains", drains).await;
        assert!(is_alive(old));
        let (old, new) = (&room.pool.endpoints()[0], &room.pool.endpoints()[1]);
        assert!(old.claim().is_none() && new.claim().is_some());
        assert_eq!(room.supervisor.status().workers[0].in_flight, 1);
        drop(place);
    };
    let (report, ()) = tokio::join!(room.supervisor.roll(), rest);
    assert_eq!(report.unwrap().replaced.len(), 1);
    assert!(!is_alive(old));
}

#[tokio::test]
async fn a_new_command_that_fails_leaves_the_old_workers_and_says_why() {
    let once = Duration::from_secs(2);
    let bad = |script: &str| config::Workers { count: 2, ready_timeout: once, ..shell(script) };
    let absent = config::Workers { command: vec!["no-such-program".into()], ..bad("") };
    let warm = config::WarmUp { question: config::Question::of("/"), requests: 3, settle: None };
    for (workers, part) in [
        (
            absent,
            "app.1: the new one could not be started (command `no-such-program` not found; looked for it in PATH (",
        ),
        (
            bad("echo still loading; exec sleep 1000"),
            "app.1: the new one was not ready within 2 s; the old one stays, 0 of 2 replaced",
        ),
        (bad("echo no database; exit 3"), "(exit code 3); the old one stays, 0 of 2 replaced"),
        (bad("echo Listening; sleep 0.1; echo no luck; exit 4"), "(exit code 4); the old one stays, 0 of 2 replaced"),
        (
            config::Workers { warm_up: Some(warm), ..bad(SERVES) },
            "app.1: the new one was not ready (its warm-up request GET / was not answered: ",
        ),
    ] {
        let room = Room::start(config::Workers { count: 2, ..shell(SERVES) });
        let before = room.until_ready().await;
        let command = workers.command.clone();
        let error =
            room.supervisor.reconfigure(config::Workers { env: [("A".into(), "b".into())].into(), ..workers }).await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        for line in ["still loading", "no database", "no luck"].iter().filter(|line| command.join(" ").contains(**line))
        {
            assert!(
                error.to_string().ends_with(&format!(
                    "; its last lines:\n    {}{line}",
                    match *line {
                        "no luck" => "Listening\n    ",
                        _ => "",
                    }
                )),
                "{error}"
            );
        }
        let settled = |status: &Status| status.workers.len() == 2 && status.ready() == 2;
        let after = room.until("the old ones alone", settled).await;
        let pids = |status: &Status| status.workers.iter().map(|worker| worker.pid).collect::<Vec<_>>();
        assert_eq!(pids(&after), pids(&before), "{error}");
        assert_eq!(room.supervisor.settings().command, shell(SERVES).command, "and what is wanted is what was");
        assert!(room.pool.endpoints().iter().all(|endpoint| endpoint.accepts()));
    }
}

#[tokio::test]
async fn new_settings_roll_scale_or_hold_from_now_on() {
    let room = Room::start(config::Workers { count: 2, ..shell(SERVES) });
    let before = room.until_ready().await;
    let next = config::Workers { count: 3, ..shell("echo Listening; echo of $COLOUR; exec sleep 1000") };
    let next = config::Workers { env: [("COLOUR".into(), "blue".into())].into(), ..next };
    let done = room.supervisor.reconfigure(next.clone()).await.unwrap();
    assert_eq!((done.replaced_for, done.rolled.unwrap().replaced.len()), (vec!["command", "env"], 2));
    let scaled = done.scaled.unwrap();
    assert_eq!((scaled.from, scaled.to), (2, 3));
    room.output.until_count("of blue", 3).await;
    assert!(before.workers.iter().all(|worker| !is_alive(worker.pid.unwrap())));

    let rolled = room.until_ready().await;
    let calm = config::Workers { count: 1, stop_timeout: Duration::from_secs(1), roll_parallel: 2, ..next };
    let done = room.supervisor.reconfigure(calm).await.unwrap();
    assert_eq!((done.rolled, done.applied), (None, vec!["stop_timeout", "roll_parallel"]));
    let status = room.supervisor.status();
    assert_eq!((status.count, status.workers.len(), status.workers[0].pid), (1, 1, rolled.workers[0].pid));
}

#[tokio::test]
async fn an_old_worker_that_ignores_term_is_killed_and_the_roll_ends() {
    let workers = shell("trap '' TERM; echo Listening; while :; do sleep 0.05; done");
    let room = Room::start(config::Workers { stop_timeout: Duration::from_millis(200), ..workers });
    let old = room.until_ready().await.workers[0].pid.unwrap();
    assert_eq!(room.supervisor.roll().await.unwrap().replaced.len(), 1);
    assert!(!is_alive(old));
    room.log.until("did not end within ").await;
}

#[tokio::test]
async fn grandchildren_that_keep_the_pipe_or_the_group_do_not_hold_a_roll_up() {
    // One stays in the group, one leaves it; both have the pipe.
    let room = Room::start(shell("sleep 1000 & echo child $!; setsid sleep 8 & echo Listening; wait"));
    room.until_ready().await;
    let child = number_behind(&room.output.until("Listening").await, "child ");
    let report = timeout(PATIENCE, room.supervisor.roll()).await.unwrap().unwrap();
    assert!(report.took < SOON, "{report:?}");
    until_dead(child).await;
}

#[tokio::test]
async fn replacements_on_fixed_ports_take_the_block_above_in_turn() {
    let Some(first) = free_block(4) else { return };
    let ready = config::Ready::Connect;
    let room = Room::start(config::Workers { ready, count: 2, first_port: Some(first), ..python(ACCEPTOR) });
    room.until_ready().await;
    for ports in [[2, 3], [0, 1], [2, 3]] {
        room.supervisor.roll().await.unwrap();
        let status = room.until_ready().await;
        let found: Vec<u16> =
            status.workers.iter().map(|worker| port(worker.address.as_ref().unwrap()) - first).collect();
        assert_eq!(found, ports);
    }
}

#[tokio::test]
async fn after_scaling_every_replacement_still_finds_a_port_of_the_block() {
    let Some(first) = free_block(6) else { return };
    let ready = config::Ready::Connect;
    let workers = config::Workers { ready, count: 2, roll_parallel: 3, first_port: Some(first), ..python(ACCEPTOR) };
    let room = Room::start(workers);
    room.until_ready().await;
    room.supervisor.roll().await.unwrap();
    room.supervisor.scale(3).await.unwrap();
    for _ in 0..4 {
        room.supervisor.roll().await.unwrap();
        let status = room.until_ready().await;
        let ports: Vec<u16> = status.workers.iter().map(|worker| port(worker.address.as_ref().unwrap())).collect();
        assert!(ports.iter().all(|port| (first..first + 6).contains(port)), "{first}: {ports:?}");
    }
}

#[tokio::test]
async fn a_replacements_port_that_is_taken_ends_the_roll_and_names_the_holder() {
    let Some(first) = free_block(2) else { return };
    let room = Room::start(config::Workers { first_port: Some(first), ..shell(SERVES) });
    room.until_ready().await;
    let taken = TcpListener::bind(("127.0.0.1", first + 1)).unwrap();
    let error = room.supervisor.roll().await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("app.1: the new one could not be started (port {} is taken by ", first + 1)),
        "{error}"
    );
    assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
    drop(taken);
    room.supervisor.roll().await.unwrap();
    assert_eq!(port_of(&room.until_ready().await), first + 1);
}

#[tokio::test]
async fn scaling_during_a_roll_works_and_the_roll_ends() {
    for count in [1, 5] {
        let room = Room::start(config::Workers { count: 3, ..shell(SERVES) });
        let before = room.until_ready().await;
        let scale = async {
            room.until("a replacement", |status| status.workers.len() > 3).await;
            room.supervisor.scale(count).await.unwrap()
        };
        let (rolled, scaled) = tokio::join!(room.supervisor.roll(), scale);
        rolled.unwrap();
        assert_eq!((scaled.from, scaled.to), (3, count));
        let exactly = |status: &Status| status.workers.len() == count && status.ready() == count;
        let after = room.until("as many as wanted", exactly).await;
        let old: Vec<_> = before.workers.iter().map(|worker| worker.pid).collect();
        assert!(after.workers.iter().all(|worker| !old.contains(&worker.pid)), "all are new");
        assert_eq!(room.members().len(), count);
    }
}

#[tokio::test]
async fn scaling_goes_up_and_down_and_tells_of_workers_that_fail() {
    let room = Room::start(shell("if [ {index} = 3 ]; then echo no room; exit 1; fi; echo Listening; exec sleep 1000"));
    let first = room.until_ready().await.workers[0].pid;
    assert_eq!(room.supervisor.scale(2).await.unwrap().to, 2);
    let error = room.supervisor.scale(3).await.unwrap_err();
    assert!(error.to_string().ends_with("; its last lines:\n    no room"), "{error}");
    assert!(error.to_string().contains("app.3 (pid "), "{error}");
    room.supervisor.scale(1).await.unwrap();
    let status = room.supervisor.status();
    assert_eq!((status.workers.len(), status.workers[0].pid), (1, first));
}

#[tokio::test]
async fn a_second_roll_begins_behind_the_first() {
    let room = Room::start(config::Workers { count: 2, ..shell(SERVES) });
    room.until_ready().await;
    let (one, two) = tokio::join!(room.supervisor.roll(), room.supervisor.roll());
    assert!(one.unwrap().replaced.len() == 2 && two.unwrap().replaced.len() == 2);
    let status = room.until_ready().await;
    assert!(status.workers.iter().all(|worker| worker.restart_reasons[&RestartReason::Rolled] == 2));
}

#[tokio::test]
async fn a_roll_goes_on_when_nobody_waits_for_it_any_more() {
    let room = Room::start(shell(SERVES));
    let old = room.until_ready().await.workers[0].pid.unwrap();
    let begun = |status: &Status| status.workers.len() == 2;
    tokio::select! {
        _ = room.supervisor.roll() => panic!("it was not to end yet"),
        _ = room.until("it has begun", begun) => {}
    }
    until_dead(old).await;
    room.until("the new one alone", |status| status.workers.len() == 1 && status.ready() == 1).await;
}

#[tokio::test]
async fn a_stop_during_a_roll_ends_old_and_new_and_a_second_one_at_once() {
    for second in [false, true] {
        let script = if second { "trap '' TERM; echo Listening; while :; do sleep 0.05; done" } else { SERVES };
        let room = Room::start(config::Workers { count: 2, ..shell(script) });
        room.until_ready().await;
        let stop = async {
            let status = room.until("a replacement", |status| status.workers.len() == 3).await;
            let polite = room.stop(Stop::Drain { until: Instant::now() });
            let again = async {
                if second {
                    room.until("it stops", |status| status.workers[0].state == State::Stopping).await;
                    room.stop(Stop::Now).await;
                }
            };
            tokio::join!(polite, again);
            status
        };
        let begun = Instant::now();
        let (rolled, status) = tokio::join!(room.supervisor.roll(), stop);
        assert_eq!(rolled, Err(RollError::Cut { replaced: 0, of: 2 }));
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert!(status.workers.iter().filter_map(|worker| worker.pid).all(|pid| !is_alive(pid)));
        assert_eq!(room.supervisor.roll().await, Err(RollError::Stopping));
        assert!(room.pool.endpoints().is_empty());
    }
}

#[tokio::test]
async fn an_old_worker_killed_in_the_middle_of_a_roll_is_replaced_all_the_same() {
    let slow = "sleep 0.3; echo Listening; exec sleep 1000";
    let room = Room::start(config::Workers { count: 2, ..shell(slow) });
    let before = room.until_ready().await;
    let killing = async {
        room.until("a replacement", |status| status.workers.len() == 3).await;
        for worker in &before.workers {
            kill(Pid::from_raw(worker.pid.unwrap()), Signal::SIGKILL).unwrap();
        }
    };
    let (report, ()) = tokio::join!(room.supervisor.roll(), killing);
    assert_eq!(report.unwrap().replaced.len(), 2);
    room.until("two new ones", |status| status.workers.len() == 2 && status.ready() == 2).await;
}

#[tokio::test]
async fn a_worker_with_all_its_requests_is_replaced_first_and_one_at_a_time() {
    let recycle = config::Recycle { requests_max: Some(10), ..config::Recycle::default() };
    let room = Room::start(config::Workers { count: 2, recycle, ..shell(SERVES) });
    let before = room.until_ready().await;
    for endpoint in room.pool.endpoints() {
        (0..11).for_each(|_| drop(endpoint.claim()));
    }
    let mut watch = room.supervisor.watch();
    let replaced = |status: &Status| {
        assert!(status.ready() >= 2 && status.workers.iter().filter(|worker| worker.stale).count() <= 1, "{status:#?}");
        let done = |worker: &balancer::supervise::WorkerStatus| {
            worker.restart_reasons.contains_key(&RestartReason::RequestsMax)
        };
        status.workers.len() == 2 && status.workers.iter().all(done)
    };
    timeout(PATIENCE, watch.wait_for(replaced)).await.unwrap().unwrap();
    for worker in before.workers {
        until_dead(worker.pid.unwrap()).await;
    }
    room.log.until_count("is to be replaced: requests_max (", 2).await;
}

#[tokio::test]
async fn a_worker_that_is_old_or_uses_too_much_memory_is_replaced() {
    let old = config::Recycle { age_max: Some(Duration::from_secs(1)), ..config::Recycle::default() };
    let large = config::Recycle { memory_max: Some(60 << 20), ..config::Recycle::default() };
    for (recycle, workers, reason) in
        [(old, shell(SERVES), RestartReason::AgeMax), (large, python(GROWS), RestartReason::MemoryMax)]
    {
        let room = Room::start(config::Workers { recycle, ..workers });
        let first = room.until_ready().await.workers[0].pid;
        let replaced = |status: &Status| {
            let new = status.workers.last().unwrap();
            status.ready() > 0 && new.pid != first && new.restart_reasons.get(&reason) >= Some(&1)
        };
        room.until("a replacement", replaced).await;
        room.log.until(&format!("is to be replaced: {} (", reason.as_str())).await;
    }
}

#[tokio::test]
async fn workers_that_are_old_again_when_they_are_ready_keep_no_older_one_waiting() {
    let recycle = config::Recycle { age_max: Some(Duration::from_secs(1)), ..config::Recycle::default() };
    let room =
        Room::start(config::Workers { count: 3, recycle, ..shell("sleep 1.2; echo Listening; exec sleep 1000") });
    let first: Vec<_> = room.until_ready().await.workers.iter().map(|worker| worker.pid).collect();
    room.until("none of the first", |status| status.workers.iter().all(|worker| !first.contains(&worker.pid))).await;
}

#[tokio::test]
async fn what_the_whole_group_of_a_worker_uses_is_seen() {
    let script = "import os,time;x=b'x'*(50<<20);print('Listening',flush=True)\nif os.fork(): time.sleep(1000)\nb=time.process_time()\nwhile time.process_time()-b<1.5: pass\ntime.sleep(1000)";
    let room =
        Room::start(config::Workers { command: ["python3", "-c", script].map(Into::into).to_vec(), ..shell("") });
    // The fork shares its memory with its parent, which is counted once; its CPU time is its own.
    let both = |status: &Status| {
        let usage = status.workers[0].usage;
        (50 << 20..100 << 20).contains(&usage.rss_bytes) && usage.cpu_seconds > 1.0
    };
    room.until("both are counted", both).await;
}

#[tokio::test]
async fn a_worker_that_hangs_is_out_at_once_and_replaced_while_it_ends() {
    let recycle = config::Recycle { hang_timeout: Some(Duration::from_secs(7)), ..config::Recycle::default() };
    let deaf = "trap '' TERM; echo Listening; while :; do sleep 0.05; done";
    let room = Room::start(config::Workers { recycle, stop_timeout: Duration::from_secs(2), ..shell(deaf) });
    let old = room.until_ready().await.workers[0].pid.unwrap();
    let endpoint = room.pool.endpoints().remove(0);
    assert!(endpoint.report_hang());
    assert!(endpoint.claim().is_none(), "nothing more reaches it");
    let both = |status: &Status| status.workers.len() == 2 && status.ready() == 1;
    let status = room.until("another while the old one ends", both).await;
    assert_eq!(status.workers[0].state, State::Stopping);
    assert_eq!(status.workers[1].restart_reasons.get(&RestartReason::Hung), Some(&1));
    until_dead(old).await;
    let text = format!("app.1 (pid {old}) has not answered a request within 7 s: it is stopped and another started");
    room.log.until(&text).await;
    room.log.until(&format!("app.1 (pid {old}) did not answer and was stopped: killed by signal 9")).await;
}

#[tokio::test]
async fn output_goes_to_a_file_or_as_json_and_a_flood_blocks_nobody() {
    let directory = scratch("output-file");
    let flood = shell(
        "echo Listening; i=0; while [ $i -lt 300000 ]; do echo line $i of the flood; i=$((i+1)); done; echo end; exec sleep 1000",
    );
    let output = config::Output::File(directory.clone());
    let room = Room::start(config::Workers { output, ..flood });
    room.until_ready().await;
    let text = || {
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        read("app.1.log.1") + &read("app.1.log")
    };
    eventually("its end in the file", || text().ends_with("\nend\n")).await;
    let (mut dropped, mut lines) = (0, 0);
    for line in text().lines() {
        let of_flood = line.strip_prefix("line ").is_some_and(|rest| rest.ends_with(" of the flood"));
        lines += usize::from(of_flood);
        let said = line.strip_prefix("balancer: ").and_then(|rest| rest.split_once(" lines were dropped here"));
        dropped += said.map_or(0, |(count, _)| count.parse::<usize>().unwrap());
        assert!(of_flood || said.is_some() || ["Listening", "end"].contains(&line), "{line:?}");
    }
    assert_eq!(lines + dropped, 300_000);

    let room = Room::start(config::Workers {
        output: config::Output::Json,
        ..shell("echo 'a \"b\"' >&2; echo Listening; exec sleep 1000")
    });
    room.until_ready().await;
    room.output.until(r#""worker":"app.1","stream":"stderr","line":"a \"b\""}"#).await;
}

#[tokio::test]
async fn a_worker_that_died_once_is_started_again_at_once() {
    let room = Room::start(config::Workers { ready: config::Ready::Connect, ..python(ACCEPTOR) });
    let old = room.until_ready().await.workers[0].pid;
    kill(Pid::from_raw(old.unwrap()), Signal::SIGKILL).unwrap();
    let status = room.until("a new one", |status| status.ready() == 1 && status.workers[0].pid != old).await;
    assert!(status.workers[0].reason.as_deref().unwrap().ends_with("; starting again at once"));
    room.log.until("; starting again at once").await;
}

fn port(address: &config::Address) -> u16 {
    match address {
        config::Address::Tcp { port, .. } => *port,
        config::Address::Unix(path) => panic!("{path:?}"),
    }
}

/// The first of so many ports that nobody uses, outside those the kernel and the other tests give away, and no other call's.
fn free_block(count: u16) -> Option<u16> {
    static NEXT: Mutex<u16> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap();
    let begin = 12_000 + u16::try_from(std::process::id() % 700).unwrap() * 10;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let first = (begin + *next..begin + 500).find(|first| (*first..*first + count).all(|port| is_free(&port)))?;
    *next = first + count - begin;
    Some(first)
}

const ACCEPTOR: &str = r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()[0].close()
"#;

const GROWS: &str = r#"
import time
print("Listening", flush=True)
time.sleep(0.5)
held = b"x" * (100 << 20)
time.sleep(1000)
"#;
