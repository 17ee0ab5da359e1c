//! Rolls, scaling and replacements while something else goes wrong, with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use balancer::config;
use balancer::supervise::{RollError, State, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;

use crate::supervise::{PATIENCE, Room, eventually, is_alive, scratch, shell};

const SERVES: &str = "echo Listening; exec sleep 1000";

#[tokio::test]
async fn scaling_waits_for_the_workers_it_brings_and_for_no_other() {
    let second_fails = shell("if [ {index} = 2 ]; then exit 1; fi; echo Listening; exec sleep 1000");
    let room = Room::start(config::Workers { count: 2, ..second_fails });
    let fails = |status: &Status| status.ready() == 1 && status.workers[1].restarts > 0;
    room.until("the second fails", fails).await;
    for (from, to) in [(2, 3), (3, 3), (3, 2), (2, 2)] {
        let report = timeout(PATIENCE, room.supervisor.scale(to)).await.expect("it waits for no sick worker").unwrap();
        assert_eq!((report.from, report.to), (from, to));
        let status = room.supervisor.status();
        assert_eq!((status.workers.len(), status.ready()), (to, to - 1), "{status:#?}");
    }
}

#[tokio::test]
async fn a_number_that_is_changed_before_it_is_reached_is_waited_for_all_the_same() {
    let slow = shell("if [ {index} != 1 ]; then sleep 0.5; fi; echo Listening; exec sleep 1000");
    let room = Room::start(slow);
    room.until_ready().await;
    let second = async {
        room.until("the first order has begun", |status| status.count == 4).await;
        room.supervisor.scale(3).await
    };
    let (first, second) = tokio::join!(room.supervisor.scale(4), second);
    assert_eq!((first, second.unwrap().to), (Err(RollError::Superseded), 3));
    assert_eq!(room.supervisor.status().ready(), 3);
}

#[tokio::test]
async fn a_better_command_reaches_workers_that_all_fail_though_fewer_are_wanted() {
    let room = Room::start(config::Workers { count: 2, ..shell("exit 1") });
    room.until("they fail", |status| status.workers.iter().all(|worker| worker.restarts > 0)).await;
    let done = timeout(PATIENCE, room.supervisor.reconfigure(shell(SERVES))).await.expect("it ends").unwrap();
    assert_eq!((done.scaled.unwrap().to, done.rolled.unwrap().replaced.len()), (1, 1));
    let status = room.supervisor.status();
    assert_eq!((status.workers.len(), status.ready()), (1, 1));
}

#[tokio::test]
async fn a_bad_command_is_given_up_though_the_old_worker_hung_meanwhile() {
    let room = Room::start(shell(SERVES));
    room.until_ready().await;
    let hang = async {
        room.until("a replacement", |status| status.workers.len() == 2).await;
        assert!(room.pool.endpoints()[0].report_hang());
    };
    let (outcome, ()) = tokio::join!(room.supervisor.reconfigure(shell("sleep 1; exit 3")), hang);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("(exit code 3); "), "{error}");
    assert_eq!(room.supervisor.settings().command, shell(SERVES).command);
    room.until("the old command again", |status| status.workers.len() == 1 && status.ready() == 1).await;
}

#[tokio::test]
async fn a_roll_goes_on_when_an_old_worker_hangs() {
    let room = Room::start(shell("sleep 0.3; echo Listening; exec sleep 1000"));
    let old = room.until_ready().await.workers[0].pid.unwrap();
    let hang = async {
        room.until("a replacement", |status| status.workers.len() == 2).await;
        assert!(room.pool.endpoints()[0].report_hang());
    };
    let (report, ()) = tokio::join!(room.supervisor.roll(), hang);
    assert_eq!(report.unwrap().replaced.iter().map(|name| &**name).collect::<Vec<_>>(), ["app.1"]);
    let status = room.supervisor.status();
    assert!(!is_alive(old) && status.ready() == 1 && !status.workers.last().unwrap().on_trial, "{status:#?}");
}

#[tokio::test]
async fn a_replacement_that_hangs_ends_the_roll_and_the_old_worker_stays() {
    let room = Room::start(shell(SERVES));
    let old = room.until_ready().await.workers[0].pid;
    let hang = async {
        loop {
            let is_there = || room.pool.endpoints().len() == 2;
            eventually("a replacement's endpoint", is_there).await;
            room.pool.endpoints()[1].report_hang();
            eventually("it is gone", || !is_there()).await;
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(PATIENCE, room.supervisor.roll()) => outcome.expect("the roll ends"),
        () = hang => unreachable!(),
    };
    let error = outcome.unwrap_err();
    assert!(matches!(error, RollError::Roll { .. }), "{error}");
    assert!(error.to_string().contains("has not answered a request within "), "{error}");
    let status = room.until("the old one alone", |status| status.workers.len() == 1).await;
    assert_eq!((status.workers[0].pid, status.ready(), status.workers[0].stale), (old, 1, false));
}

#[tokio::test]
async fn workers_that_hang_again_and_again_never_pile_up() {
    let deaf = "trap '' TERM; echo Listening; while :; do sleep 0.05; done";
    let room = Room::start(config::Workers { stop_timeout: Duration::from_secs(1), ..shell(deaf) });
    let mut watch = room.supervisor.watch();
    let watching = async {
        loop {
            watch.changed().await.unwrap();
            let status = watch.borrow_and_update().clone();
            let processes = status.workers.iter().filter(|worker| worker.pid.is_some()).count();
            assert!(processes <= 2, "{status:#?}");
        }
    };
    let hanging = async {
        for _ in 0..4 {
            let accepting = || room.pool.endpoints().into_iter().find(|endpoint| endpoint.accepts());
            eventually("a ready worker", || accepting().is_some()).await;
            assert!(accepting().unwrap().report_hang());
        }
        room.until("the next", |status| status.ready() == 1).await;
    };
    tokio::select! {
        () = hanging => {}
        () = watching => unreachable!(),
    }
}

#[tokio::test]
async fn a_worker_that_hangs_again_soon_is_replaced_after_a_pause() {
    let room = Room::start(config::Workers {
        backoff: config::Backoff { min: Duration::from_secs(1), max: PATIENCE },
        ..shell(SERVES)
    });
    for text in ["it is stopped and another started\n", "it is stopped and another started in "] {
        room.until_ready().await;
        assert!(room.pool.endpoints()[0].report_hang());
        room.log.until(text).await;
        let is_next = |status: &Status| status.workers.last().unwrap().state == State::Backoff;
        if text.contains(" in ") {
            room.until("the next waits", is_next).await;
        }
    }
    room.until_ready().await;
}

#[tokio::test]
async fn a_worker_that_an_operator_has_taken_out_stays_out_whoever_follows_it() {
    let room = Room::start(config::Workers { count: 2, ..shell(SERVES) });
    let old = room.until_ready().await.workers[0].pid.unwrap();
    let accepting = || room.pool.endpoints().iter().map(|endpoint| endpoint.accepts()).collect::<Vec<_>>();
    room.pool.hold(&"app.1".into());
    assert_eq!(accepting(), [false, true]);
    kill(Pid::from_raw(old), Signal::SIGKILL).unwrap();
    room.until("another", |status| status.ready() == 2 && status.workers[0].pid != Some(old)).await;
    assert_eq!(accepting(), [false, true]);
    assert_eq!(room.supervisor.roll().await.unwrap().replaced.len(), 2);
    assert_eq!(accepting(), [false, true]);
    assert!(room.pool.unhold("app.1"));
    assert_eq!(accepting(), [true, true]);
}

#[tokio::test]
async fn no_limit_replaces_a_worker_that_an_operator_has_taken_out() {
    let recycle = config::Recycle { age_max: Some(Duration::from_secs(1)), ..config::Recycle::default() };
    let room = Room::start(config::Workers { count: 2, recycle, ..shell(SERVES) });
    let held = room.until_ready().await.workers[0].pid;
    room.pool.hold(&"app.1".into());
    room.log.until_count("app.2 has pid ", 2).await;
    let status = room.supervisor.status();
    assert!(status.workers[0].pid == held && !status.workers[0].stale, "{status:#?}");
    room.pool.unhold("app.1");
    room.log.until("app.1 has pid ").await;
}

#[tokio::test]
async fn a_roll_that_is_done_is_told_though_a_further_worker_fails() {
    let room = Room::start(config::Workers { count: 2, ..shell(SERVES) });
    room.until_ready().await;
    let once = scratch("fails-once").join("mark");
    let script = format!("if [ {{index}} = 3 ] && mkdir {}; then exit 7; fi; {SERVES}", once.display());
    let error = room.supervisor.reconfigure(config::Workers { count: 3, ..shell(&script) }).await.unwrap_err();
    assert_eq!((error.done.replaced_for.clone(), error.wanted), (vec!["command"], Some(3)));
    assert_eq!(error.done.rolled.as_ref().unwrap().replaced.len(), 2);
    let text = "have their new settings, but not all 3 are there yet: app.3 (pid ";
    assert!(error.to_string().starts_with(text), "{error}");
    assert_eq!(room.supervisor.settings(), config::Workers { count: 3, ..shell(&script) });
    room.until("all three", |status| status.ready() == 3 && status.workers.len() == 3).await;
}
