//! What `doctor` and `advise` find on real processes: each with the number that led to it, and what to type.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use super::admin::{status, until_ready, workers};
use super::harness::{Balancer, Client, Origin, eventually, pool_of};
use super::program::{PROGRAM, balancer, file};

/// The exit code of `doctor --json`, and what it found.
fn examined(mut command: Command) -> (i32, Vec<Value>) {
    let output = command.output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), found["findings"].as_array().unwrap().clone())
}

fn doctor(balancer: &Balancer) -> (i32, Vec<Value>) {
    examined(balancer.command(&["doctor", "--json"]))
}

/// Level, reason and what to type.
fn found(findings: &[Value], what: &str) -> (String, String, String) {
    let one = findings.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("no {what} in {findings:?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&one["level"]), text(&one["why"]), text(&one["type"][0]))
}

fn number(path: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn doctor_holds_the_descriptors_of_the_instance_against_what_the_file_wants() {
    let origin = Origin::named("1");
    let wanting = Balancer::start_with_descriptors(2_048, "connections_max = 5000", &pool_of(&[&origin]));
    let (code, findings) = doctor(&wanting);
    let (level, why, type_this) = found(&findings, "descriptors");
    assert_eq!((code, level.as_str()), (1, "warning"), "{why}");
    assert!(
        why.starts_with("the instance may open 2048, and connections_max wants 10256: two for each client"),
        "{why}"
    );
    assert!(type_this.contains("LimitNOFILE=10256 ") && type_this.ends_with("ulimit -n 10256"), "{type_this}");
    // For people the same, no line wider than a terminal, and what to change comes first.
    let (_, told) = wanting.run(&["doctor"]);
    assert!(told.starts_with("[!!] descriptors: the instance may open 2048, and "), "{told}");
    assert!(told.contains("\n     type: LimitNOFILE=10256 ") && told.contains(" to change, "), "{told}");
    let wide: Vec<&str> = told.lines().filter(|line| line.chars().count() > 100 && !line.contains("type: ")).collect();
    assert!(wide.is_empty(), "{wide:?}");

    let few = Balancer::start_with_descriptors(2_048, "", &pool_of(&[&origin]));
    let (level, why, _) = found(&doctor(&few).1, "descriptors");
    assert_eq!(level, "warning");
    assert_eq!(why, "the instance may open 2048: enough for about 896 clients with a request each");

    // It is the instance that counts, and not the shell in which somebody asks.
    let balancer = Balancer::before(&[&origin]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", balancer.pid())).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().nth(3);
    let inner = balancer.command(&["doctor", "--json"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\"", PROGRAM]).args(inner.get_args());
    shell.env("XDG_RUNTIME_DIR", balancer.directory()).env_remove("RUST_LOG").env_remove("BALANCER_SOCKET");
    let (_, why, _) = found(&examined(shell).1, "descriptors");
    assert!(why.starts_with(&format!("the instance may open {}: ", limit.unwrap())), "{why}");
}

#[test]
fn doctor_names_the_worker_that_is_reached_past_balancer_and_not_the_other() {
    let balancer = Balancer::start(
        "",
        &format!(
            "[pool.open.workers]\ncommand = [{PROGRAM:?}, \"backend\", \"--host\", \"0.0.0.0\", \"{{port}}\"]\n\
             [pool.shut.workers]\ncommand = [{PROGRAM:?}, \"backend\", \"{{port}}\"]\n\
             [[route]]\npool = \"open\"\n[[route]]\npath = \"/shut\"\npool = \"shut\"\n"
        ),
    );
    let port = |status: &Value, pool: usize| -> Option<u16> {
        let row = &status["pools"][pool]["rows"][0];
        (row["state"] == "up").then(|| row["address"].as_str()?.rsplit_once(':')?.1.parse().ok()).flatten()
    };
    let (open, shut) = eventually(
        || format!("both up: {}", status(&balancer)),
        || {
            let status = status(&balancer);
            port(&status, 0).zip(port(&status, 1))
        },
    );
    // Another address of this machine stands for its address on a network.
    assert!(TcpStream::connect(("127.0.0.2", open)).is_ok() && TcpStream::connect(("127.0.0.2", shut)).is_err());
    let (code, findings) = doctor(&balancer);
    let (level, why, type_this) = found(&findings, "endpoints here");
    assert_eq!((code, level.as_str()), (1, "warning"));
    assert!(why.starts_with(&format!("open.1 (port {open}) listens on every address: ")), "{why}");
    assert!(!why.contains("shut.1") && type_this.contains("127.0.0.1 ($HOST)"), "{why} {type_this}");
}

#[test]
fn doctor_holds_what_workers_may_take_against_what_is_left() {
    let (wanted, left) = ("[pool.app.workers]\nmemory_max = \"4TB\"\n", workers(2));
    let greedy = left.replace("[pool.app.workers]\n", wanted);
    let balancer = Balancer::start("", &greedy);
    until_ready(&balancer, 2);
    let (code, findings) = doctor(&balancer);
    let (level, why, type_this) = found(&findings, "memory");
    assert_eq!((code, level.as_str()), (1, "warning"), "{why}");
    assert!(why.contains("app: 2 workers and 1 more in a roll of 3725.3 GiB (memory_max), 11175.9 GiB"), "{why}");
    assert!(
        why.contains(" GiB left, workers may take ") && why.ends_with("the kernel would kill some of them"),
        "{why}"
    );
    assert!(type_this.starts_with("fewer workers (`count`)"), "{type_this}");

    // Without a limit, it is the largest that runs.
    let modest = Balancer::start("", &left);
    until_ready(&modest, 2);
    let largest = || {
        let rows = status(&modest)["pools"][0]["rows"].as_array().unwrap().clone();
        rows.iter().filter_map(|row| row["worker"]["rss_bytes"].as_u64()).max().filter(|bytes| *bytes > 0)
    };
    let largest = eventually(|| "what a worker takes".into(), largest) as f64 / f64::from(1 << 20);
    let (level, why, _) = found(&doctor(&modest).1, "memory");
    let each = why.split_once(" more in a roll of ").unwrap().1.split_once(" MiB (the largest now)").unwrap().0;
    let each: f64 = each.parse().unwrap();
    assert!(level == "fine" && each > 0.5 * largest && each < 2.0 * largest, "{largest} MiB: {why}");
}

#[test]
fn doctor_reads_a_file_that_nobody_serves_yet() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    let range = number("/proc/sys/net/ipv4/ip_local_port_range");
    let (first, last) = (range[0], range[1]);
    let path = file(
        "doctor",
        &format!(
            "listen = \"127.0.0.1:{first}\"\nthreads = {}\n[pool.app]\ndns = \"nobody.invalid:80\"\n[admin]\naddress = \"127.0.0.1:0\"\n",
            cpus + 1
        ),
    );
    let run = |arguments: &[&str]| {
        let mut command = balancer(arguments);
        command.arg("--config").arg(&path).env("XDG_RUNTIME_DIR", path.parent().unwrap());
        command
    };
    let (code, findings) = examined(run(&["doctor", "--json"]));
    assert_eq!(code, 1);
    let (level, why, type_this) = found(&findings, "CPUs");
    assert_eq!((level.as_str(), type_this), ("warning", format!("threads = {cpus}")));
    assert!(why.starts_with(&format!("{cpus} usable, {} proxy threads, 0 workers", cpus + 1)), "{why}");
    let (level, why, _) = found(&findings, "DNS");
    assert!(level == "warning" && why.starts_with("1 of 1 names have no address: nobody.invalid:80"), "{why}");
    let (level, why, _) = found(&findings, "admin service");
    assert!(level == "note" && why.contains("127.0.0.1:0"), "{why}");
    if number("/proc/sys/net/ipv4/ip_local_reserved_ports").is_empty() {
        let (level, why, type_this) = found(&findings, "own ports");
        assert!(
            level == "warning" && why.starts_with(&format!("{first} of the file lie between {first} and {last}")),
            "{why}"
        );
        assert_eq!(type_this, format!("sysctl -w net.ipv4.ip_local_reserved_ports={first}-{first}"));
    }
    let told = String::from_utf8(run(&["doctor"]).output().unwrap().stdout).unwrap();
    assert!(
        told.ends_with("no instance runs: what workers take, and where they listen, is known once one does\n"),
        "{told}"
    );
}

/// Clients that ask for each of some targets, one after another, again and again until this is dropped.
struct Traffic {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn to(balancer: &Balancer, clients: usize, targets: &'static [&'static str]) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let client = |_| {
            let (mut client, is_over) = (Client::of(balancer), Arc::clone(&is_over));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    targets.iter().for_each(|target| assert_eq!(client.get(target).status(), 200));
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { is_over, clients }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let ended = client.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a client");
        }
    }
}

/// What is advised for the first pool: figures, the first advice, and what to type for it.
fn advised(balancer: &Balancer, arguments: &[&str]) -> (Value, String, String) {
    let (code, said) = balancer.run(&[&["advise", "--json"], arguments].concat());
    assert_eq!(code, 0, "{said}");
    let pool = serde_json::from_str::<Value>(&said).unwrap()["pools"][0].clone();
    let text = |key: &str| pool["advice"][0][key].as_str().unwrap_or_default().to_owned();
    let (why, type_this) = (text("why"), text("type"));
    (pool, why, type_this)
}

/// One pool whose workers take so long for a request, one at a time; another that keeps a client away from it for as long.
fn half_busy(count: usize, millis: &str) -> Balancer {
    let command = format!("command = [{PROGRAM:?}, \"backend\", \"--delay-ms\", {millis:?}, \"{{port}}\"]\n");
    let balancer = Balancer::start(
        "",
        &format!(
            "[pool.jobs]\nslots = 1\n[pool.jobs.workers]\n{command}count = {count}\n[pool.pause.workers]\n{command}\
             [[route]]\npool = \"jobs\"\n[[route]]\npath = \"/pause\"\npool = \"pause\"\n"
        ),
    );
    let is_up = |status: &Value, pool: usize| {
        status["pools"][pool]["rows"].as_array().unwrap().iter().all(|row| row["state"] == "up")
    };
    eventually(
        || format!("all up: {}", status(&balancer)),
        || {
            let status = status(&balancer);
            (is_up(&status, 0) && is_up(&status, 1)).then_some(())
        },
    );
    balancer
}

#[test]
fn advise_says_what_it_has_measured_and_what_it_predicts_and_its_advice_is_enough() {
    let balancer = half_busy(2, "50");
    let _traffic = Traffic::to(&balancer, 2, &["/", "/pause"]);
    let (pool, why, type_this) = advised(&balancer, &["--for", "6s", "--wait", "5ms"]);
    // Little's law: two clients, each half of its time at one of two workers.
    let figure = |key: &str| pool[key].as_f64().unwrap();
    assert!((0.025..0.3).contains(&figure("service_seconds")), "{pool}");
    assert!((0.4..1.8).contains(&figure("busy")) && (4.0..=21.0).contains(&figure("per_second")), "{pool}");
    assert!(figure("wait_seconds") < 0.05, "two clients and two places: {pool}");
    // Erlang's C at a load of one and two places: one of three waits, 95 of 100 less than 95 ms.
    let predicted = pool["predicted"]["wait_p95_seconds"].as_f64().unwrap();
    assert!((0.005..1.0).contains(&predicted) && pool["predicted"]["by"] == "erlang_c", "{pool}");
    let slots = pool["predicted"]["slots_for_wish"].as_u64().unwrap();
    assert!(
        why.starts_with("predicted (Erlang's C formula, from ") && why.contains(" each, 2 slots): 95 of 100 "),
        "{why}"
    );
    assert_eq!(type_this, format!("balancer scale jobs {slots}"));
    let (_, told) = balancer.run(&["advise", "--for", "3s"]);
    assert!(told.starts_with("measured for 3") && told.contains("\npool jobs: "), "{told}");
    assert!(told.contains(" of 2 slots busy (") && told.contains("\n  predicted (Erlang's C formula, from "), "{told}");

    // What it says to type is enough; a busy machine makes each request longer, and the wait for it with that.
    assert!((3..=5).contains(&slots), "{pool}");
    assert_eq!(balancer.run(&["scale", "jobs", &slots.to_string()]).0, 0);
    let (pool, why, type_this) = advised(&balancer, &["--for", "3s", "--wait", "200ms"]);
    // Where the machine is quiet, one worker fewer is enough too.
    let is_enough = why.ends_with("Wished is 200 ms: leave it") && type_this.is_empty();
    assert!(is_enough || (why.contains("hold the wished 200 ms") && why.contains("would be free")), "{pool}");
}

#[test]
fn advise_predicts_no_wait_where_all_places_are_taken_and_a_queue_stands() {
    let balancer = half_busy(1, "50");
    let _traffic = Traffic::to(&balancer, 4, &["/"]);
    let queued = || (status(&balancer)["pools"][0]["queue"]["length"] == 3).then_some(());
    eventually(|| "three that wait".into(), queued);
    let (pool, why, type_this) = advised(&balancer, &["--for", "2s"]);
    assert!(pool["predicted"].is_null() && why.starts_with("measured: all 1 slots are busy and "), "{pool}");
    // One is served and three wait, of four clients that never pause.
    assert!((2.5..=3.0).contains(&pool["queued"].as_f64().unwrap()), "{pool}");
    assert_eq!(type_this, "balancer scale jobs 4");
    assert!((0.12..0.5).contains(&pool["wait_seconds"].as_f64().unwrap()), "three of 50 ms before it: {pool}");
}

#[test]
fn advise_names_the_one_of_four_that_is_slow_with_what_it_costs() {
    let script = format!(
        "[ \"$INSTANCE_ID\" = 3 ] && exec {PROGRAM} backend --delay-ms 200 {{port}}; exec {PROGRAM} backend {{port}}"
    );
    let balancer =
        Balancer::start("", &format!("[pool.app.workers]\ncommand = [\"sh\", \"-c\", {script:?}]\ncount = 4\n"));
    until_ready(&balancer, 4);
    let _traffic = Traffic::to(&balancer, 4, &["/"]);
    let (pool, why, type_this) = advised(&balancer, &["--for", "3s"]);
    // The status says so too, and shows it first.
    let worst = status(&balancer)["pools"][0]["rows"][0].clone();
    assert_eq!(worst["name"], "app.3", "{worst}");
    assert_eq!(
        (&worst["state"], &worst["state_text"], &worst["level"]),
        (&"up".into(), &"up, slow".into(), &"warn".into())
    );
    let rest = why.strip_prefix("measured: app.3 takes ").unwrap_or_else(|| panic!("{pool}"));
    let took: u64 = rest.split_once(" ms for a request, the others ").unwrap().0.parse().unwrap();
    assert!((180..600).contains(&took), "{why}");
    let share: u64 = why.rsplit_once('(').unwrap().1.trim_end_matches(" %)").parse().unwrap();
    assert!(share > 50 && type_this == "balancer logs app.3; balancer restart app.3", "{why}");
    // Many are at that one, and no word is said of the others for it.
    assert_eq!(pool["advice"].as_array().unwrap().len(), 1, "{pool}");
}
