//! The image, `deploy/compose.yaml` and `deploy/swarm.yaml` with Docker's engine and docker-compose, under load.
//!
//! Ignored unless asked for, for they take minutes: `cargo test -p balancer --test compose -- --ignored --test-threads 1`.
//! `.ci/run` asks where an engine answers. Nothing is pulled: what builds the image is made of this machine's own programs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what stands outside of test functions fails as tests do")]
#![allow(clippy::disallowed_methods, reason = "threads of tests, which may sleep")]
#![allow(clippy::print_stderr, reason = "figures, for whoever asked for these tests")]

mod engine;
mod image;
mod load;
mod stack;
mod swarm;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use engine::Engine;
use image::{Image, docker, program_size};
use load::{Load, get, names};
use stack::{Stack, eventually};
use swarm::Swarm;

#[test]
#[ignore = "needs Docker's engine: see above"]
fn the_image_is_small_and_needs_no_root_no_shell_and_nothing_to_write_to() {
    let image = Image::build();
    let megabytes: f64 = docker(&["image", "inspect", "-f", "{{.Size}}", image.name()]).parse::<f64>().unwrap() / 1e6;
    eprintln!(
        "image: {megabytes:.1} MB, of which the program as it was built for tests has {:.1}",
        program_size() / 1e6
    );
    assert!(megabytes < 40.0, "{megabytes} MB");
    assert_eq!(docker(&["image", "inspect", "-f", "{{.Config.User}}", image.name()]), "65532:65532");
    let shell = image::command(&["run", "--rm", "--entrypoint", "/bin/sh", image.name(), "-c", "true"]);
    assert!(!shell.status.success());
    let options = ["run", "-d", "--read-only", "--cap-drop", "ALL", "-p", "127.0.0.1::8080", image.name()];
    let id = docker(&[&options[..], &["demo", "--listen", "0.0.0.0:8080"]].concat());
    let container = stack::Container(id.clone());
    let address = docker(&["port", &id, "8080"]);
    eventually("an answer", || get(&address, "/").ok().filter(|(status, _)| *status == 200));
    // A command finds the instance by a socket in a place that can be written to.
    let status = docker(&["exec", &id, "/usr/local/bin/balancer", "status"]);
    assert!(status.starts_with("demo (pid 1, ") && status.contains("): serving for "), "{status}");
    eventually("a healthy container", || {
        (docker(&["inspect", "-f", "{{.State.Health.Status}}", &id]) == "healthy").then_some(())
    });
    // As process 1 it collects what ends: a worker that was killed is replaced, and leaves nothing behind.
    let processes = || docker(&["top", &id, "-o", "pid,stat,args"]);
    let worker = processes().lines().find(|line| line.contains(" backend ")).unwrap().trim().to_owned();
    let pid: i32 = worker.split_whitespace().next().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("two workers and no zombie", || {
        let all = processes();
        let workers = all.lines().filter(|line| line.contains(" backend ")).count();
        (workers == 2 && !all.contains(&format!(" {pid} ")) && !all.contains('Z')).then_some(())
    });
    // TERM drains: the request in flight is answered, and the exit code is 0.
    let waiting = std::thread::spawn({
        let address = address.clone();
        move || get(&address, "/delay?ms=1500")
    });
    eventually("a request in flight", || {
        let status = docker(&["exec", &id, "/usr/local/bin/balancer", "status", "--json"]);
        status.contains("\"in_flight\":1").then_some(())
    });
    docker(&["stop", "--time", "30", &id]);
    assert_eq!(waiting.join().unwrap().unwrap().0, 200);
    assert_eq!(docker(&["inspect", "-f", "{{.State.ExitCode}}", &id]), "0");
    drop(container);
}

#[test]
#[ignore = "needs Docker's engine: see above"]
fn replicas_come_go_and_are_recreated_without_a_lost_request() {
    let image = Image::build();
    let stack = Stack::up(&image, 1, SLOTS);
    let load = Load::start(&stack.address(), 8);
    for count in [6, 2] {
        stack.scale(count);
        let up = Instant::now();
        stack.await_names(count);
        eprintln!("{count} replicas answer {:.1} s after docker-compose returned", up.elapsed().as_secs_f64());
        assert!(count == 2 || up.elapsed() < Duration::from_secs(3), "{:?}", up.elapsed());
        std::thread::sleep(Duration::from_secs(3).saturating_sub(up.elapsed()));
        let counted = load.count(Duration::from_secs(3));
        assert_eq!(counted.len(), count, "{counted:?}");
        let share = counted.values().sum::<u64>() as f64 / counted.len() as f64;
        eprintln!("shares of {share:.0}: {:?}", counted.values().collect::<Vec<_>>());
        for (name, requests) in &counted {
            let ratio = *requests as f64 / share;
            assert!((0.8..=1.2).contains(&ratio), "{name} had {ratio:.2} of its share: {counted:?}");
        }
        assert_eq!(load.failed(), [""; 0], "with {count} replicas");
    }
    let before = stack.names();
    stack.compose(&["up", "-d", "--force-recreate", "--no-deps", "--scale", "backend=2", "backend"]);
    eventually("two new replicas", || {
        let now = stack.names();
        (now.len() == 2 && now.is_disjoint(&before)).then_some(())
    });
    let counted = load.count(Duration::from_secs(2));
    assert_eq!(counted.len(), 2, "{counted:?}");
    let (requests, failed) = load.end();
    eprintln!("{requests} requests, {} failed", failed.len());
    assert_eq!(failed, [""; 0], "all replicas were recreated at once");
}

#[test]
#[ignore = "needs Docker's engine: see above"]
fn replicas_that_are_killed_paused_or_get_another_address_are_found_out() {
    let image = Image::build();
    let stack = Stack::up(&image, 4, PROBED);
    stack.await_names(4);
    let containers = stack.containers();
    // Paused: its kernel accepts, and nobody answers.
    docker(&["pause", &containers[0]]);
    eventually("one of four down", || (stack.status().matches("\"state\":\"down\"").count() >= 1).then_some(()));
    let load = Load::start(&stack.address(), 4);
    assert_eq!(load.count(Duration::from_secs(3)).len(), 3);
    docker(&["unpause", &containers[0]]);
    eventually("all four", || (load.count(Duration::from_millis(300)).len() == 4).then_some(()));
    // Off the network, and back with another address.
    let network = stack.network();
    let address = |container: &str| {
        docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container])
    };
    let old = address(&containers[1]);
    docker(&["network", "disconnect", &network, &containers[1]]);
    eventually("three", || (load.count(Duration::from_millis(500)).len() == 3).then_some(()));
    let placeholder = docker(&["run", "-d", "--network", &network, image.name(), "backend", "8000"]);
    let _placeholder = stack::Container(placeholder);
    docker(&["network", "connect", "--alias", "backend", &network, &containers[1]]);
    assert_ne!(address(&containers[1]), old);
    eventually("all four again", || (load.count(Duration::from_millis(300)).len() == 4).then_some(()));
    // Killed: what it had may be cut, and nothing after that.
    docker(&["kill", &containers[2]]);
    eventually("three again", || (load.count(Duration::from_millis(500)).len() == 3).then_some(()));
    let (requests, failed) = load.end();
    eprintln!("{requests} requests, {} failed: {failed:?}", failed.len());
    assert_eq!(failed, [""; 0], "GETs are repeated elsewhere");
    // None at all: the name is not answered, and balancer goes on.
    let all: BTreeSet<String> = stack.containers().into_iter().collect();
    all.iter().for_each(|container| _ = image::command(&["stop", "--time", "1", container]));
    eventually("503 or 502", || get(&stack.address(), "/").ok().filter(|(status, _)| matches!(status, 502..=504)));
    all.iter().for_each(|container| _ = image::command(&["start", container]));
    eventually("an answer", || get(&stack.address(), "/").ok().filter(|(status, _)| *status == 200));
}

#[test]
#[ignore = "needs Docker's engine: see above"]
fn requests_wait_while_there_is_no_replica_at_all() {
    let image = Image::build();
    let stack = Stack::up(&image, 2, SLOTS);
    stack.await_names(2);
    let before = stack.names();
    let load = Load::start(&stack.address(), 4);
    stack.scale(0);
    assert_eq!(stack.containers(), [""; 0]);
    eventually("nobody who answers", || load.count(Duration::from_millis(500)).is_empty().then_some(()));
    stack.scale(2);
    eventually("two others", || (load.count(Duration::from_millis(300)).len() == 2).then_some(()));
    assert!(stack.names().is_disjoint(&before));
    let (requests, failed) = load.end();
    eprintln!("{requests} requests, {} failed", failed.len());
    assert_eq!(failed, [""; 0]);
}

#[test]
#[ignore = "needs Docker's engine: see above"]
fn a_rolling_update_scaling_and_a_kill_in_a_swarm_lose_no_request() {
    let image = Image::build();
    let swarm = Swarm::up(&image);
    let before = names(&swarm.address());
    let (gets, posts) = (Load::start(&swarm.address(), 6), Load::posting(&swarm.address(), 2));
    // Returns when all tasks have been replaced.
    let begun = Instant::now();
    docker(&["service", "update", "--quiet", "--detach=false", "--force", &swarm.backend()]);
    eprintln!("four tasks replaced in {:.0} s", begun.elapsed().as_secs_f64());
    eventually("four others", || {
        let now = names(&swarm.address());
        (now.len() == 4 && now.is_disjoint(&before)).then_some(())
    });
    for count in [6, 2] {
        docker(&["service", "scale", "--detach=false", &format!("{}={count}", swarm.backend())]);
        eventually("as many tasks", || (gets.count(Duration::from_millis(500)).len() == count).then_some(()));
    }
    // What cannot be repeated is cut by a kill.
    let (requests, failed) = posts.end();
    eprintln!("{requests} POSTs, {} failed", failed.len());
    assert_eq!(failed, [""; 0]);
    let before = names(&swarm.address());
    // A container is called by its host name, with which it answers; others may be about to end still.
    docker(&["kill", before.first().unwrap()]);
    eventually("another in its place", || {
        let now = names(&swarm.address());
        (now.len() == 2 && now != before).then_some(())
    });
    let (requests, failed) = gets.end();
    eprintln!("{requests} GETs, {} failed", failed.len());
    assert_eq!(failed, [""; 0]);
}

#[test]
#[ignore = "needs Docker's engine: see above"]
fn two_hosts_of_a_swarm_share_the_work_and_one_that_is_cut_off_costs_no_request() {
    let image = Image::build();
    let Some(second) = Engine::start(&image) else { return };
    let swarm = Swarm::up_on(&image, Some(&second));
    let far = swarm.far_address();
    eventually("the balancer of the other host", || (names(&far).len() == 4).then_some(()));
    let before = names(&far);
    let loads = [Load::start(&swarm.address(), 4), Load::start(&far, 4)];
    let posts = Load::posting(&swarm.address(), 2);
    docker(&["service", "update", "--quiet", "--detach=false", "--force", &swarm.backend()]);
    for address in [&swarm.address(), &far] {
        eventually("four others", || {
            let now = names(address);
            (now.len() == 4 && now.is_disjoint(&before)).then_some(())
        });
    }
    let [near, distant] = loads;
    for load in [posts, distant] {
        let (requests, failed) = load.end();
        eprintln!("{requests} requests, {} failed", failed.len());
        assert_eq!(failed, [""; 0]);
    }
    // What was on its way waits, for `response_timeout` at most, and is there when the cable is; all else goes to this host's tasks.
    second.unplug();
    let later = Load::start(&swarm.address(), 16);
    let counted = eventually("answers of this host", || {
        let counted = later.count(Duration::from_secs(1));
        (counted.values().sum::<u64>() > 100).then_some(counted)
    });
    assert!(counted.len() < 4, "{counted:?}");
    second.plug();
    swarm.await_names(4);
    for load in [near, later] {
        let (requests, failed) = load.end();
        eprintln!("{requests} requests, {} failed", failed.len());
        assert_eq!(failed, [""; 0]);
    }
}

#[test]
#[ignore = "needs Docker's engine: see above"]
fn a_file_that_is_swapped_as_kubernetes_does_is_reloaded_in_a_container_that_may_write_nothing() {
    let image = Image::build();
    let folder = std::env::temp_dir().join(format!("balancer-map-{}", std::process::id()));
    for (data, name) in [("..one", "one"), ("..two", "two")] {
        std::fs::create_dir_all(folder.join(data)).unwrap();
        let command = format!("[\"/usr/local/bin/balancer\", \"backend\", \"{{port}}\", \"--name\", \"{name}\"]");
        let text = format!("listen = \"0.0.0.0:8080\"\n[pool.app.workers]\ncommand = {command}\n");
        std::fs::write(folder.join(data).join("lb.toml"), text).unwrap();
    }
    let publish = |data: &str| {
        std::os::unix::fs::symlink(data, folder.join("..next")).unwrap();
        std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    };
    publish("..one");
    std::os::unix::fs::symlink("..data/lb.toml", folder.join("lb.toml")).unwrap();
    let volume = format!("{}:/etc/balancer:ro", folder.display());
    let id = docker(&[
        "run",
        "-d",
        "--read-only",
        "--cap-drop",
        "ALL",
        "-v",
        &volume,
        "-p",
        "127.0.0.1::8080",
        image.name(),
    ]);
    let _container = stack::Container(id.clone());
    let address = docker(&["port", &id, "8080"]);
    eventually("the first", || get(&address, "/").ok().filter(|(_, name)| name == "one"));
    let load = Load::start(&address, 2);
    publish("..two");
    std::fs::remove_dir_all(folder.join("..one")).unwrap();
    let said = docker(&["exec", &id, "/usr/local/bin/balancer", "reload"]);
    eventually("the second", || get(&address, "/").ok().filter(|(_, name)| name == "two"));
    let (_, failed) = load.end();
    assert_eq!(failed, [""; 0], "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// A figure, not a bar: how busy the machine is counts for more. Nobody asks before the engine says that it runs, for a question that
/// comes before its network is up is repeated by the kernel after a second (ARP), and so is each that waits for that one.
#[test]
#[ignore = "needs Docker's engine: see above"]
fn a_container_answers_soon_after_its_process_has_started() {
    let image = Image::build();
    let file = std::env::temp_dir().join(format!("balancer-start-{}.toml", std::process::id()));
    std::fs::write(&file, "listen = \"0.0.0.0:8080\"\n[pool.app]\nendpoints = [\"127.0.0.1:9\"]\n").unwrap();
    let volume = format!("{}:/etc/balancer/lb.toml:ro", file.display());
    for _ in 0..4 {
        let id = docker(&["run", "-d", "-v", &volume, "-p", "127.0.0.1::8080", image.name()]);
        let _container = stack::Container(id.clone());
        let address = docker(&["port", &id, "8080"]);
        // Nobody is behind it, so it is balancer itself that answers.
        let answered = eventually("502", || {
            get(&address, "/").ok().filter(|(status, _)| *status == 502).map(|_| jiff::Timestamp::now())
        });
        let started: jiff::Timestamp = docker(&["inspect", "-f", "{{.State.StartedAt}}", &id]).parse().unwrap();
        eprintln!("first answer {} ms after the process started", answered.duration_since(started).as_millis());
    }
    std::fs::remove_file(file).unwrap();
}

/// Requests wait for a place, and for a replica.
const SLOTS: &str = "slots = 16\nqueue_timeout = \"30s\"\n";
/// Who is black-holed is found out.
const PROBED: &str = "slots = 16\n[pool.app.probe]\npath = \"/\"\ninterval = \"500ms\"\ntimeout = \"500ms\"\n";
