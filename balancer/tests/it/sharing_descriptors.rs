//! Descriptors where workers take connections without us in between: who has them, and what is left of them.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::admin::status;
use super::harness::{Client, eventually};
use super::program::{PROGRAM, get};
use super::reload::{reload, rewrite};
use super::sharing::{READY_BY_LINE, Site};

/// What each descriptor of a process is (`socket:[4026]`), by its number.
fn descriptors(pid: Pid) -> Vec<(String, String)> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let link = |entry: std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().into_string().ok()?, target.to_str()?.to_owned()))
    };
    links.filter_map(link).collect()
}

fn sockets(pid: Pid) -> BTreeSet<String> {
    descriptors(pid).into_iter().map(|(_, target)| target).filter(|target| target.starts_with("socket:")).collect()
}

/// How many the balancer has, and each of the workers that run.
fn counts(site: &Site) -> (usize, Vec<usize>) {
    let running = site.running();
    (site.balancer.descriptors(), running.iter().map(|pid| descriptors(*pid).len()).collect())
}

/// Waits until nobody has more descriptors than `before`.
fn await_no_more_than(site: &Site, before: &(usize, Vec<usize>)) {
    let is_no_more = || {
        let now = counts(site);
        let workers = now.1.len() == before.1.len() && now.1.iter().zip(&before.1).all(|(now, before)| now <= before);
        now.0 <= before.0 && workers
    };
    eventually(|| format!("{before:?} descriptors again, not {:?}", counts(site)), || is_no_more().then_some(()));
}

impl Site {
    /// Pids of the workers that run, by their names.
    fn running(&self) -> Vec<Pid> {
        let status = status(&self.balancer);
        let workers = status["pools"].as_array().unwrap().iter().flat_map(|pool| pool["workers"]["all"].as_array());
        let pids = workers.flatten().filter_map(|worker| worker["pid"].as_i64());
        pids.map(|pid| Pid::from_raw(i32::try_from(pid).unwrap())).collect()
    }
}

/// So many requests from four clients, each on a connection of its own.
fn ask(address: SocketAddr, times: usize) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..times / 4 {
                    assert_eq!(get(address, "/").map(|(status, _)| status), Some(200));
                }
            });
        }
    });
}

#[test]
fn a_hundred_thousand_handed_connections_leave_no_descriptor_behind() {
    let site = Site::start("handoff", 2, "", "");
    site.until_ready(2);
    ask(site.address, 100);
    let before = counts(&site);
    ask(site.address, 100_000);
    await_no_more_than(&site, &before);
}

#[test]
fn nobody_but_a_worker_can_reach_its_channel() {
    let site = Site::start("handoff", 2, "", "");
    site.until_ready(2);
    site.until_all_answer(2);
    let workers = site.running();
    let channel = |pid: Pid| descriptors(pid).into_iter().find(|(number, _)| number == "3").unwrap().1;
    let channels: Vec<String> = workers.iter().map(|pid| channel(*pid)).collect();
    // No path and no abstract name: nothing that somebody could connect to (proc_net(5)).
    let unix = std::fs::read_to_string("/proc/net/unix").unwrap();
    for channel in &channels {
        let inode = channel.trim_start_matches("socket:[").trim_end_matches(']');
        let line = unix.lines().find(|line| line.split_whitespace().nth(6) == Some(inode)).unwrap();
        assert_eq!(line.split_whitespace().nth(7), None, "{line}");
    }
    // Nor has a worker what belongs to another or to the balancer: the listener, and its ends of all channels.
    let all = [sockets(site.balancer.pid()), sockets(workers[0]), sockets(workers[1])];
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        assert!(all[one].is_disjoint(&all[other]), "{:?}", all[one].intersection(&all[other]));
    }
}

#[test]
fn rolls_with_a_shared_listener_leave_no_descriptor_behind() {
    roll_again_and_again("shared", "\"backend\"", READY_BY_LINE);
}

#[test]
fn rolls_with_a_shared_port_leave_no_descriptor_behind() {
    roll_again_and_again("reuse_port", "\"backend\", \"--reuse-port\"", "");
}

#[test]
fn rolls_with_a_hand_over_leave_no_descriptor_behind() {
    roll_again_and_again("handoff", "\"backend\"", "");
}

fn roll_again_and_again(mode: &str, arguments: &str, workers: &str) {
    let table = format!("command = [{PROGRAM:?}, {arguments}]\nroll_parallel = 2\n{workers}");
    let site = Site::with(mode, 2, "", &table);
    site.until_ready(2);
    let roll = || {
        let (code, text) = site.balancer.run(&["restart"]);
        assert_eq!(code, 0, "{text}");
        site.until_all_answer(2);
    };
    // What the first needs for good may stay open.
    roll();
    let before = counts(&site);
    (0..5).for_each(|_| roll());
    await_no_more_than(&site, &before);
}

#[test]
fn reloads_that_add_and_remove_a_pool_leave_no_descriptor_behind() {
    let site = Site::start("handoff", 1, "", "");
    site.until_ready(1);
    let beside = super::sharing::free_port();
    let pool = |mode: &str, command: &str| {
        format!(
            "[pool.beside.workers]\ncommand = [{command}]\nmode = \"{mode}\"\naddress = \"127.0.0.1:{beside}\"\n\
             ready_timeout = \"1s\"\nready = {{ line = \"listening on\" }}\n"
        )
    };
    let backend = format!("{PROGRAM:?}, \"backend\"");
    let address = SocketAddr::from(([127, 0, 0, 1], beside));
    let without = std::fs::read_to_string(site.balancer.directory().join("lb.toml")).unwrap();
    let turn = |mode: &str| {
        rewrite(&site.balancer, |text| text.to_owned() + &pool(mode, &backend));
        reload(&site.balancer);
        assert_eq!(get(address, "/").map(|(status, _)| status), Some(200), "{mode}");
        rewrite(&site.balancer, |_| without.clone());
        reload(&site.balancer);
        eventually(|| format!("{address} is closed, {mode}"), || TcpStream::connect(address).is_err().then_some(()));
    };
    turn("handoff");
    let before = counts(&site);
    (0..3).for_each(|_| ["handoff", "shared"].into_iter().for_each(turn));
    await_no_more_than(&site, &before);
    // A pool whose workers never get ready is undone, address and all.
    for mode in ["handoff", "shared"] {
        rewrite(&site.balancer, |text| text.to_owned() + &pool(mode, "\"sleep\", \"1000\""));
        let (code, text) = site.balancer.run(&["reload"]);
        assert!(code == 1 && text.contains("nothing has changed"), "{code} {text}");
        rewrite(&site.balancer, |_| without.clone());
        assert!(TcpStream::connect(address).is_err(), "{mode}");
    }
    await_no_more_than(&site, &before);
    site.who();
}

#[test]
fn workers_that_die_with_connections_in_their_channel_leave_no_descriptor_behind() {
    let site = Site::start("handoff", 1, "ready_wait = \"20s\"", "backoff = { min = \"10ms\" }\n");
    site.until_ready(1);
    site.who();
    let before = counts(&site);
    for died in 1..=4 {
        let worker = site.pid("app.1");
        kill(worker, Signal::SIGSTOP).unwrap();
        // More than there is room for in its channel: the rest waits for the next worker.
        let mut clients: Vec<Client> = (0..60).map(|_| Client::at(site.address)).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        }
        let waiting = before.0 + 10;
        eventually(
            || format!("{waiting} descriptors, not {}", site.balancer.descriptors()),
            || (site.balancer.descriptors() >= waiting).then_some(()),
        );
        kill(worker, Signal::SIGKILL).unwrap();
        site.until_ready(died + 1);
        let served = clients.iter_mut().map(Client::rest).filter(|(text, _)| text.starts_with("HTTP/1.1 200 ")).count();
        assert!((10..60).contains(&served), "{served}");
    }
    await_no_more_than(&site, &before);
}
