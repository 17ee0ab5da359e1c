//! Rolls, scaling and replacements while something else goes wrong, with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use balancer::config;
use balancer::supervise::{RollError, Status};
use tokio::time::timeout;

use crate::supervise::{PATIENCE, Room, shell};

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
