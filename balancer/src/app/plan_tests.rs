use super::*;
use crate::config::parse;

fn config(text: &str) -> Config {
    parse(text, "lb.toml").unwrap()
}

fn lines(old: &str, new: &str) -> Vec<String> {
    Plan::new(&config(old), &config(new)).lines()
}

const OLD: &str = r#"
    listen = ["127.0.0.1:1", "127.0.0.1:2"]
    [pool.app.workers]
    command = ["a"]
    count = 2
    [pool.web]
    endpoints = ["127.0.0.1:8", "127.0.0.1:9"]
    [pool.old]
    endpoints = ["127.0.0.1:7"]
    [[route]]
    pool = "app"
    [[route]]
    path = "/web"
    pool = "web"
    [[route]]
    host = "*.old.test"
    pool = "old"
"#;

#[test]
fn nothing_is_done_for_what_is_the_same() {
    let plan = Plan::new(&config(OLD), &config(OLD));
    assert!(plan.is_empty());
    assert_eq!(plan.lines(), ["untouched: pool app, web, old"]);
}

#[test]
fn many_of_a_kind_are_counted() {
    let pools = |names: std::ops::Range<usize>, port: u16| {
        let pool = |name| {
            format!(
                "[pool.p{name}]\nendpoints = [\"127.0.0.1:{port}\"]\n[[route]]\npath = \"/{name}\"\npool = \"p{name}\"\n"
            )
        };
        format!("listen = \"127.0.0.1:1\"\n{}", names.map(pool).collect::<String>())
    };
    let told = lines(&pools(0..20, 8), &pools(11..40, 8));
    let expected = [
        "20 pools added",
        "11 pools removed; their requests may finish",
        "31 routes changed",
        "untouched: pool p11, p12, p13, p14, p15, p16, p17, p18, p19",
    ];
    assert_eq!(told, expected);
    assert_eq!(lines(&pools(0..20, 8), &pools(0..20, 8)), ["untouched: 20 pools"]);
    let fixed = |count: u16| {
        format!(
            "listen = \"127.0.0.1:1\"\n[pool.a]\nendpoints = {:?}\n",
            (1..=count).map(|port| format!("127.0.0.2:{port}")).collect::<Vec<_>>()
        )
    };
    assert_eq!(lines(&fixed(1), &fixed(2_001)), ["pool a: 2000 endpoints added, removed or changed"]);
}

#[test]
fn every_difference_is_told_in_a_line() {
    let new = r#"
        listen = ["127.0.0.1:2", "127.0.0.1:3"]
        drain_timeout = "5s"
        header_timeout = "3s"
        threads = 63
        [pool.app.workers]
        command = ["b"]
        env = { A = "1" }
        stop_timeout = "1s"
        count = 3
        [pool.web]
        endpoints = [{ address = "127.0.0.1:8", weight = 5 }, "127.0.0.1:6"]
        response_timeout = "2s"
        [pool.new]
        endpoints = ["127.0.0.1:5"]
        [[route]]
        pool = "new"
        [[route]]
        path = "/web"
        pool = "web"
        [[route]]
        host = "a.test"
        path = "/x"
        pool = "app"
    "#;
    let expected = [
        "listen: 127.0.0.1:3 added",
        "listen: 127.0.0.1:1 removed; its connections stay until they end",
        "pool new: added",
        "pool app: every worker is replaced, for a changed command, env",
        "pool app: stop_timeout changed, no worker is replaced for that",
        "pool app: workers 2 → 3",
        "pool web: response_timeout 60s → 2s",
        "pool web: endpoint 127.0.0.1:8: weight 1 → 5",
        "pool web: endpoint 127.0.0.1:6 added",
        "pool web: endpoint 127.0.0.1:9 removed; its requests may finish",
        "pool old: removed; its requests may finish",
        "route /: app → new",
        "route a.test/x → app: added",
        "route *.old.test/ → old: removed",
        "header_timeout: changed",
        "drain_timeout: changed",
        "requires restart: threads",
    ];
    assert_eq!(lines(OLD, new), expected);
}

#[test]
fn a_unix_socket_that_lets_in_others_is_changed_and_not_opened_again() {
    let plan = |old: &str, new: &str| {
        let file = |listen: &str| {
            config(&format!("listen = [{listen}, \"127.0.0.1:1\"]\n[pool.app]\nendpoints = [\"127.0.0.1:8\"]\n"))
        };
        Plan::new(&file(old), &file(new))
    };
    let (private, shared) = ("\"unix:/run/a.sock\"", "{ address = \"unix:/run/a.sock\", mode = \"0660\" }");
    let changed = plan(private, shared);
    assert_eq!(changed.lines()[0], "listen: unix:/run/a.sock: permissions of the socket changed");
    assert!(!changed.is_empty() && changed.listen_added.is_empty() && changed.listen_removed.is_empty());
    assert!(plan(shared, shared).is_empty());
    assert_eq!(plan("\"unix:/run/b.sock\"", shared).lines()[0], "listen: unix:/run/a.sock added");
}

#[test]
fn what_needs_a_restart_is_told_again_by_the_next_reload() {
    let top = "threads = 63\nheader_timeout = \"3s\"\ntrusted_proxies = [\"10.0.0.0/8\"]\nuser = \"0\"\n\
               access_log = { format = \"json\" }\ndrain_timeout = \"5s\"\n";
    let file = config(&format!("{top}{OLD}[admin]\naddress = \"127.0.0.1:9\"\n"));
    let runs = Plan::possible(&config(OLD), file.clone());
    let expected = "requires restart: threads, user";
    let again = Plan::new(&runs, &file);
    assert_eq!(again.lines(), ["untouched: pool app, web, old", expected]);
    assert!(again.is_empty());
}

#[test]
fn workers_may_come_and_go() {
    let fixed = "listen = \"127.0.0.1:1\"\n[pool.app]\nendpoints = [\"127.0.0.1:8\", \"127.0.0.1:9\"]\n";
    let workers = "listen = \"127.0.0.1:1\"\n[pool.app.workers]\ncommand = [\"a\"]\n";
    let gone = |port| format!("pool app: endpoint 127.0.0.1:{port} removed; its requests may finish");
    assert_eq!(lines(fixed, workers), [gone(8), gone(9), "pool app: workers are started".to_owned()]);
    assert_eq!(lines(workers, fixed)[2], "pool app: workers are drained and stopped");
    let turned = fixed.replace("\"127.0.0.1:8\", \"127.0.0.1:9\"", "\"127.0.0.1:9\", \"127.0.0.1:8\"");
    assert_eq!(lines(fixed, &turned), ["pool app: endpoints in another order"]);
}
