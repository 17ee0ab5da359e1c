//! Names whose addresses are endpoints, and a DNS server that answers as it is told.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Instant;

use serde_json::Value;

use super::admin::status;
use super::harness::names::{A, AAAA, NXDOMAIN, Names, SERVFAIL, SRV, Say, a, aaaa, chain, srv};
use super::harness::{Balancer, Client, Origin, eventually, ok};
use super::reload::{reload, rewrite};

/// Origins at addresses of 127/8 that end in these bytes, all at one port; each answers with its last byte.
struct Origins {
    port: u16,
    all: Vec<Origin>,
}

impl Origins {
    fn at(last: &[u8]) -> Self {
        // A port that is free at all of them; another test may take one in between.
        for _ in 0..50 {
            let first = TcpListener::bind("127.9.0.250:0").unwrap();
            let port = first.local_addr().unwrap().port();
            let free = |last: &u8| TcpListener::bind((address(*last).as_str(), port)).is_ok();
            if last.iter().all(free) {
                let mut origins = Self { port, all: Vec::new() };
                last.iter().for_each(|last| origins.start(*last));
                return origins;
            }
        }
        panic!("no port is free at {last:?}");
    }

    fn start(&mut self, last: u8) {
        let answer = ok(&last.to_string());
        self.all.push(Origin::start_at(&format!("{}:{}", address(last), self.port), move |mut exchange| {
            while exchange.request().is_some() && exchange.send(&answer) {}
        }));
    }

    /// A pool that asks for `app` each second.
    fn pool(&self, more: &str) -> String {
        format!("[pool.app]\ndns = \"app:{}\"\ndns_interval = \"1s\"\n{more}", self.port)
    }

    fn place(&self, last: u8) -> String {
        format!("{}:{}", address(last), self.port)
    }
}

fn address(last: u8) -> String {
    format!("127.9.0.{last}")
}

/// What a few requests are answered, each with status 200.
fn answers(balancer: &Balancer) -> BTreeSet<String> {
    let mut client = Client::of(balancer);
    let answer = |_| {
        let answer = client.get("/");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text()
    };
    (0..16).map(answer).collect()
}

/// Waits until these answer, and no others; no request fails meanwhile.
fn await_answers(balancer: &Balancer, of: &[&str]) {
    let expected: BTreeSet<String> = of.iter().map(|&name| name.to_owned()).collect();
    eventually(
        || format!("answers of {of:?}, not {:?}; {}", answers(balancer), status(balancer)),
        || (answers(balancer) == expected).then_some(()),
    );
}

/// Waits until a request is answered with that status.
fn await_status(balancer: &Balancer, status: u16) {
    let mut client = Client::of(balancer);
    eventually(|| format!("an answer {status}"), || (client.get("/").status() == status).then_some(()));
}

/// What the status says of the first name that is asked for.
fn shown(balancer: &Balancer) -> Value {
    status(balancer)["pools"][0]["dns"][0].clone()
}

/// Waits until the name was asked for so often again.
fn await_questions(names: &Names, name: &str, more: usize) {
    let until = names.count(name) + more;
    eventually(|| format!("{until} questions"), || (names.count(name) >= until).then_some(()));
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn every_address_of_a_name_is_an_endpoint_and_they_follow_the_answers_without_a_lost_request() {
    let names = Names::start();
    let origins = Origins::at(&[1, 2, 3]);
    names.set("app", &[&address(1), &address(2)]);
    let mut balancer = names.balancer("", &origins.pool(""));
    await_status(&balancer, 200);
    await_answers(&balancer, &["1", "2"]);
    let told = balancer.await_stderr(" new");
    assert!(told.contains(&format!("pool app: app:{} has 2 addresses: ", origins.port)), "{told}");
    let endpoints = status(&balancer)["pools"][0]["endpoints"].clone();
    let name = format!("app:{}", origins.port);
    for endpoint in endpoints.as_array().unwrap() {
        assert_eq!(endpoint["dns"], name, "{endpoint}");
    }
    let shown = shown(&balancer);
    assert_eq!((&shown["name"], &shown["problem"]), (&Value::from(name), &Value::Null));
    assert!(shown["answered_seconds"].as_u64().unwrap() < 60, "{shown}");
    let (code, table) = balancer.run(&["status"]);
    assert!(code == 0 && table.contains(&format!("dns app:{}: 2 addresses, answered ", origins.port)), "{table}");
    names.set("app", &[&address(3), &address(2)]);
    await_answers(&balancer, &["2", "3"]);
    // By EDNS over UDP, and for nothing else.
    let asked = names.asked();
    assert!(asked.iter().all(|asked| asked.edns && !asked.tcp && asked.name == "app"), "{asked:?}");
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_name_that_does_not_exist_at_the_start_is_said_and_served_as_soon_as_it_does() {
    let names = Names::start();
    let origins = Origins::at(&[1]);
    let mut balancer = names.balancer("", &origins.pool(""));
    balancer.await_stderr("has no address: there is no such name; requests cannot be served there until it has one");
    let answer = Client::of(&balancer).get("/");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("no_endpoint"), "{}", answer.text());
    assert_eq!(balancer.run(&["status", "--quiet"]), (3, String::new()));
    names.set("app", &[&address(1)]);
    await_status(&balancer, 200);
    assert_eq!(balancer.run(&["status", "--quiet"]), (0, String::new()));
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_server_that_fails_says_nothing_or_rubbish_changes_nothing() {
    let names = Names::start();
    let origins = Origins::at(&[1, 2]);
    names.set("app", &[&address(1), &address(2)]);
    let mut balancer = names.balancer("", &origins.pool("dns_hold = \"0s\"\n"));
    await_status(&balancer, 200);
    await_answers(&balancer, &["1", "2"]);
    for say in [SERVFAIL, Say::Rubbish, Say::Silence] {
        names.both("app", &say);
        await_questions(&names, "app", 6);
        await_answers(&balancer, &["1", "2"]);
    }
    let told = balancer.await_stderr("its 2 addresses stay for now");
    assert!(told.contains("DNS: "), "{told}");
    assert!(!shown(&balancer)["problem"].is_null());
    names.set("app", &[&address(1), &address(2)]);
    balancer.await_stderr("is answered again");
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn one_family_may_fail_and_a_chain_of_names_leads_on() {
    let names = Names::start();
    let origins = Origins::at(&[1, 2]);
    names.say("app", A, vec![chain(&["app", "b.test", "c.test"], &address(1))]);
    names.say("app", AAAA, vec![SERVFAIL]);
    let balancer = names.balancer("", &origins.pool("dns_hold = \"0s\"\n"));
    await_status(&balancer, 200);
    await_answers(&balancer, &["1"]);
    // While one fails, the other is followed.
    names.say("app", A, vec![a(&[&address(2)])]);
    await_answers(&balancer, &["2"]);
    assert_eq!(shown(&balancer)["problem"], Value::Null);
    names.say("app", AAAA, vec![aaaa(&["::1"])]);
    eventually(
        || format!("both families in {}", shown(&balancer)),
        || (shown(&balancer)["addresses"].as_array().unwrap().len() == 2).then_some(()),
    );
    // Nobody listens there: it waits, and gets no request.
    assert_eq!(shown(&balancer)["waiting"][0], format!("[::1]:{}", origins.port));
    await_answers(&balancer, &["2"]);
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_name_that_has_lost_its_addresses_keeps_them_for_dns_hold_and_no_longer() {
    let names = Names::start();
    let origins = Origins::at(&[1]);
    names.set("app", &[&address(1)]);
    let balancer = names.balancer("", &origins.pool("dns_hold = \"3s\"\n"));
    await_status(&balancer, 200);
    names.both("app", &NXDOMAIN);
    let begun = Instant::now();
    await_questions(&names, "app", 2);
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    await_status(&balancer, 503);
    assert!(begun.elapsed().as_secs() >= 3, "{:?}", begun.elapsed());
    names.set("app", &[&address(1)]);
    await_status(&balancer, 200);
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn answers_that_take_turns_every_second_are_taken_together() {
    let names = Names::start();
    let origins = Origins::at(&[1, 2, 3, 4]);
    let turns = [a(&[&address(1), &address(2)]), a(&[&address(4), &address(3)])];
    names.say("app", A, turns.to_vec());
    let balancer = names.balancer("", &origins.pool(""));
    await_status(&balancer, 200);
    await_answers(&balancer, &["1", "2", "3", "4"]);
    let before = status(&balancer)["pools"][0]["endpoints"].clone();
    await_questions(&names, "app", 12);
    let after = status(&balancer)["pools"][0]["endpoints"].clone();
    let names_of = |endpoints: &Value| -> Vec<String> {
        endpoints.as_array().unwrap().iter().map(|endpoint| endpoint["name"].to_string()).collect()
    };
    assert_eq!(names_of(&before), names_of(&after));
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_thousand_addresses_come_by_tcp_and_all_serve() {
    let names = Names::start();
    let everywhere =
        Origin::start_at("0.0.0.0:0", |mut exchange| while exchange.request().is_some() && exchange.send(ok("x")) {});
    let port = everywhere.address().rsplit_once(':').unwrap().1.to_owned();
    let all: Vec<String> = (0..1_000).map(|n| format!("127.10.{}.{}", n / 250, n % 250 + 1)).collect();
    names.set("app", &all.iter().map(String::as_str).collect::<Vec<_>>());
    let balancer = names.balancer("", &format!("[pool.app]\ndns = \"app:{port}\"\ndns_interval = \"1s\"\n"));
    let count = || status(&balancer)["pools"][0]["endpoints"].as_array().unwrap().len();
    eventually(|| format!("1000 endpoints, not {}", count()), || (count() == 1_000).then_some(()));
    assert!(names.asked().iter().any(|asked| asked.tcp), "it did not fit");
    let mut client = Client::of(&balancer);
    assert!((0..1_100).all(|_| client.get("/").status() == 200));
    let idle = status(&balancer)["pools"][0]["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["requests"] == 0)
        .count();
    assert_eq!(idle, 0);
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn srv_records_bring_ports_weights_and_backups() {
    let names = Names::start();
    let (one, two) = (Origins::at(&[1]), Origins::at(&[2]));
    names.say(
        "_http._tcp.app",
        SRV,
        vec![srv(&[(1, 30, one.port, "a.test"), (1, 10, two.port, "b.test"), (2, 10, one.port, "c.test")])],
    );
    names.set("a.test", &[&address(1)]);
    names.set("b.test", &[&address(2)]);
    names.set("c.test", &["127.9.0.3"]);
    let mut third = Origins { port: one.port, all: Vec::new() };
    third.start(3);
    let balancer = names.balancer("", "[pool.app]\ndns = \"_http._tcp.app\"\ndns_interval = \"1s\"\n");
    let endpoints = || {
        let mut all: Vec<String> = status(&balancer)["pools"][0]["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {} {}", one["address"].as_str().unwrap(), one["weight"], one["backup"]))
            .collect();
        all.sort();
        all
    };
    let mut expected = vec![
        format!("{} 30 false", one.place(1)),
        format!("{} 10 false", two.place(2)),
        format!("{} 10 true", one.place(3)),
    ];
    expected.sort();
    eventually(|| format!("{expected:?}, not {:?}", endpoints()), || (endpoints() == expected).then_some(()));
    await_answers(&balancer, &["1", "2"]);
    // Another weight is taken over, and a target that is gone leaves.
    names.say("_http._tcp.app", SRV, vec![srv(&[(1, 10, one.port, "a.test"), (2, 10, one.port, "c.test")])]);
    let mut expected = vec![format!("{} 1 false", one.place(1)), format!("{} 1 true", one.place(3))];
    expected.sort();
    eventually(|| format!("{expected:?}, not {:?}", endpoints()), || (endpoints() == expected).then_some(()));
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn hosts_and_resolv_conf_are_read_again_when_they_change() {
    let (names, others) = (Names::start(), Names::start());
    let origins = Origins::at(&[1, 2, 3]);
    names.hosts(&format!("{} app\n", address(1)));
    names.set("app", &[&address(3)]);
    let balancer = names.balancer("", &origins.pool(""));
    await_status(&balancer, 200);
    await_answers(&balancer, &["1"]);
    assert_eq!(names.count("app"), 0, "the file comes first");
    names.hosts("127.0.0.1 localhost\n");
    await_answers(&balancer, &["3"]);
    others.set("app", &[&address(2)]);
    others.set("app.inner.test", &[&address(1)]);
    names.resolv_conf_of(&others.server(), "options timeout:1\n");
    await_answers(&balancer, &["2"]);
    names.resolv_conf_of(&others.server(), "search inner.test\noptions timeout:1\n");
    await_answers(&balancer, &["1"]);
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_name_in_endpoints_is_one_endpoint_wherever_it_leads() {
    let names = Names::start();
    let origins = Origins::at(&[1, 2]);
    names.set("db.test", &[&address(1)]);
    let pool = format!("[pool.app]\nendpoints = [\"db.test:{}\"]\ndns_interval = \"1s\"\n", origins.port);
    let balancer = names.balancer("", &pool);
    // The first connection waits for the first answer.
    assert_eq!(Client::of(&balancer).get("/").text(), "1");
    names.set("db.test", &[&address(2)]);
    await_answers(&balancer, &["2"]);
    let endpoints = status(&balancer)["pools"][0]["endpoints"].clone();
    assert_eq!(endpoints.as_array().unwrap().len(), 1);
    assert_eq!(endpoints[0]["address"], format!("db.test:{}", origins.port));
    // Of several, the first that accepts.
    names.set("db.test", &["127.9.0.200", &address(1)]);
    await_answers(&balancer, &["1"]);
    // As many questions as seconds, however many connections there are.
    let (begun, before) = (Instant::now(), names.count("db.test"));
    for _ in 0..200 {
        assert_eq!(Client::of(&balancer).get("/").status(), 200);
    }
    let most = 2 * (begun.elapsed().as_secs() as usize + 2);
    assert!(names.count("db.test") - before <= most, "{} questions", names.count("db.test") - before);
    names.both("db.test", &NXDOMAIN);
    await_questions(&names, "db.test", 4);
    assert_eq!(Client::of(&balancer).get("/").text(), "1", "dns_hold is 30 s");
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_name_works_beside_endpoints_and_workers_and_no_address_is_there_twice() {
    let names = Names::start();
    let origins = Origins::at(&[1, 2]);
    names.set("app", &[&address(1), &address(2)]);
    let fixed = format!("endpoints = [{:?}]\n", origins.place(1));
    let backend = env!("CARGO_BIN_EXE_balancer");
    let workers =
        format!("[pool.app.workers]\ncommand = [{backend:?}, \"backend\", \"{{port}}\", \"--name\", \"w\"]\n");
    let balancer = names.balancer("", &origins.pool(&format!("{fixed}{workers}")));
    await_status(&balancer, 200);
    await_answers(&balancer, &["1", "2", "w\n"]);
    assert_eq!(status(&balancer)["pools"][0]["endpoints"].as_array().unwrap().len(), 3);
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_reload_changes_from_addresses_to_a_name_to_another_and_back_without_a_lost_request() {
    let names = Names::start();
    let origins = Origins::at(&[1, 2, 3]);
    names.set("app", &[&address(2)]);
    names.set("next", &[&address(3)]);
    let fixed = format!("endpoints = [{:?}]", origins.place(1));
    let balancer = names.balancer("", &format!("[pool.app]\n{fixed}\n"));
    await_answers(&balancer, &["1"]);
    let name = |name: &str| format!("dns = \"{name}:{}\"\ndns_interval = \"1s\"", origins.port);
    rewrite(&balancer, |text| text.replace(&fixed, &name("app")));
    let said = reload(&balancer);
    assert!(said.contains(&format!("dns none → app:{}", origins.port)), "{said}");
    assert_eq!(answers(&balancer), BTreeSet::from(["2".to_owned()]));
    rewrite(&balancer, |text| text.replace("app:", "next:"));
    reload(&balancer);
    await_answers(&balancer, &["3"]);
    rewrite(&balancer, |text| text.replace(&name("next"), &fixed));
    reload(&balancer);
    assert_eq!(answers(&balancer), BTreeSet::from(["1".to_owned()]));
    assert_eq!(status(&balancer)["pools"][0]["dns"], Value::Array(Vec::new()));
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn an_address_that_is_our_own_listener_is_refused_and_said() {
    let names = Names::start();
    let origins = Origins::at(&[1]);
    let own = address(77);
    names.set("app", &[&address(1), &own]);
    let mut balancer = names.balancer(&format!("listen = [\"{own}:{}\"]", origins.port), &origins.pool(""));
    balancer
        .await_stderr(&format!("leads to {own}:{}, where balancer itself listens: it gets no requests", origins.port));
    await_status(&balancer, 200);
    await_answers(&balancer, &["1"]);
    assert_eq!(shown(&balancer)["addresses"].as_array().unwrap().len(), 1);
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn a_request_that_goes_in_a_circle_is_stopped() {
    let names = Names::start();
    // Each is the other's endpoint; of which neither can know beforehand.
    let places = Origins::at(&[1, 2]);
    let port = places.port;
    drop(places);
    let start = |own: u8, other: u8| {
        names.set(&format!("n{other}"), &[&address(other)]);
        let pool = format!("[pool.app]\ndns = \"n{other}:{port}\"\ndns_interval = \"1s\"\n");
        names.balancer(&format!("listen = \"{}:{port}\"", address(own)), &pool)
    };
    let (one, _two) = (start(11, 12), start(12, 11));
    await_status(&one, 508);
    let answer = Client::of(&one).get("/");
    assert!(answer.text().contains("508 Loop Detected: loop"), "{}", answer.text());
}

#[test]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn check_warns_of_names_that_do_not_resolve_and_of_no_others() {
    let names = Names::start();
    names.set("good", &["127.0.0.1"]);
    let text = "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"good:1\", \"bad:2\"]\ndns = \"worse:3\"\n\
                [pool.web]\ndns = \"_http._tcp.none\"\n[[route]]\npool = \"app\"\n";
    let file = super::harness::directory().join("lb.toml");
    std::fs::write(&file, text).unwrap();
    let output = names.within().arg("check").arg("--config").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    for (pool, name) in [("app", "bad:2"), ("app", "worse:3"), ("web", "_http._tcp.none")] {
        assert!(
            said.contains(&format!("warning: pool {pool}: {name} does not resolve: there is no such name\n")),
            "{said}"
        );
    }
    assert!(output.status.success() && !said.contains("good"), "{said}");
}

#[test]
#[ignore = "takes five minutes, or BALANCER_TEST_SECONDS: cargo test -p balancer --test it two_hundred -- --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "a thread of a test, not of a proxy")]
#[cfg_attr(not(all(has = "root", has = "mounts of its own")), ignore = "needs root and mounts of its own")]
fn two_hundred_addresses_of_which_one_changes_every_second_cost_no_more_over_time() {
    let names = Names::start();
    let everywhere =
        Origin::start_at("0.0.0.0:0", |mut exchange| while exchange.request().is_some() && exchange.send(ok("x")) {});
    let port = everywhere.address().rsplit_once(':').unwrap().1.to_owned();
    let change = |turn: usize| {
        let all: Vec<String> = (turn..turn + 200).map(|n| format!("127.11.{}.{}", n / 250, n % 250 + 1)).collect();
        names.set("app", &all.iter().map(String::as_str).collect::<Vec<_>>());
    };
    change(0);
    let balancer = names.balancer("", &format!("[pool.app]\ndns = \"app:{port}\"\ndns_interval = \"1s\"\n"));
    let count = || status(&balancer)["pools"][0]["endpoints"].as_array().unwrap().len();
    eventually(|| "200 endpoints".into(), || (count() == 200).then_some(()));
    let process = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", balancer.pid())).unwrap();
    let memory = || process("statm").split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0 / 1e6;
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", balancer.pid())).unwrap().count();
    let cpu = || {
        let stat = process("stat");
        let fields: Vec<u64> =
            stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
        fields.iter().sum::<u64>() as f64 / 100.0
    };
    let mut client = Client::of(&balancer);
    let mut seen = Vec::new();
    let (begun, before) = (Instant::now(), cpu());
    let seconds: usize = std::env::var("BALANCER_TEST_SECONDS").map_or(300, |text| text.parse().unwrap());
    assert!(seconds >= 120, "the first minute is compared with the last");
    for turn in 1..=seconds {
        change(turn);
        assert_eq!(client.get("/").status(), 200);
        std::thread::sleep(std::time::Duration::from_secs(1));
        if turn % 60 == 0 {
            seen.push((memory(), descriptors(), count()));
            eprintln!(
                "{turn} s: {:.1} MB, {} descriptors, {} endpoints",
                seen.last().unwrap().0,
                descriptors(),
                count()
            );
        }
    }
    let share = (cpu() - before) / begun.elapsed().as_secs_f64();
    eprintln!("{:.2} % of a core", share * 100.0);
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    assert!(last.0 < first.0 + 2.0 && last.1 <= first.1 + 5 && last.2 <= 205, "{seen:?}");
    assert!(share < 0.03, "{share}");
}
