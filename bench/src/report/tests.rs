use super::*;
use crate::compare::Section;
use crate::cpu::Cpu;
use crate::machine::Machine;
use crate::measurement::Measurement;
use crate::scenario::{Column, Scenario};
use crate::syscalls::{Call, Syscalls};
use crate::target::{Configuration, Target};
use crate::tool::{Percentile, Reading};

/// 100,000 requests; proxies take 40 µs CPU each.
pub(crate) fn run(target: Target, round: u32) -> Measurement {
    let percentiles =
        vec![Percentile { percent: 50.0, milliseconds: 3.0 }, Percentile { percent: 99.0, milliseconds: 8.0 }];
    let reading =
        Reading { requests: 100_000, requests_per_second: 10_000.0, failed: 0, percentiles, curve: Vec::new() };
    let cpu = |user_seconds, system_seconds| Cpu { user_seconds, system_seconds };
    let proxied = target != Target::Direct;
    Measurement {
        scenario: Scenario::Connection,
        column: Column::plain(target),
        tool: "ab",
        round,
        command: String::new(),
        reading,
        wall_seconds: 10.0,
        proxy_cpu: proxied.then(|| cpu(1.0, 3.0)),
        origin_cpu: cpu(0.5, 0.5),
        generator_cpu: cpu(1.0, 1.0),
        context_switches: proxied.then_some(50_000),
        rss_bytes: proxied.then_some(8_000_000),
        idle_connections: 0,
        bytes_per_idle_connection: None,
        memory_steps: Vec::new(),
        generator_core_busy: 0.3,
        proxy_core_busy: proxied.then_some(0.4),
        core_taken: Some(0.0),
    }
}

pub(crate) fn comparison(measurements: Vec<Measurement>) -> Comparison {
    let machine = Machine {
        cpu: "CPU".into(),
        cores: 2,
        kernel: "6".into(),
        date: "2026-01-02 03:04".into(),
        versions: vec!["ab: 2.3".into()],
    };
    let text = "listen 127.0.0.1:40123;\nb;\n".into();
    let configuration = Configuration { name: "nginx".into(), command: "/usr/sbin/nginx -c /tmp/x".into(), text };
    let section = Section {
        scenario: Scenario::Connection,
        title: "a connection per request".into(),
        load: "ab -n 100000 -c 100 URL".into(),
        origin: "nginx".into(),
        columns: [Target::Direct, Target::Nginx].map(Column::plain).to_vec(),
        notes: vec!["Noted.".into()],
        configurations: vec![configuration],
        syscalls: Vec::new(),
    };
    Comparison {
        machine,
        placement: "placed".into(),
        notes: vec!["no haproxy column".into()],
        rounds: measurements.iter().map(|run| run.round).max().unwrap_or(0),
        command: "compare --balancer /home/x/balancer".into(),
        bars: crate::bars::judge(&[Scenario::Connection], &measurements),
        sections: vec![section],
        measurements,
    }
}

#[test]
fn the_result_is_a_table_side_by_side_between_its_conditions() {
    let text = render(&comparison(vec![run(Target::Direct, 1), run(Target::Nginx, 1)]));
    let expected = "\
CPU, 2 usable cores, Linux 6
2026-01-02 03:04 UTC, bench compare --balancer balancer
ab: 2.3
cores:  placed
one round: no spread
no haproxy column

connection — a connection per request
ab -n 100000 -c 100 URL

ab latency, ms               direct    nginx
 50 %                          3.00     3.00
 99 %                          8.00     8.00

requests/s                   10,000   10,000
proxy, CPU µs/request             –     40.0
  user                            –     10.0
  kernel                          –     30.0
  context switches/request        –    0.500
  memory (RSS), MB                –     8.00
  its core busy                   –     40 %
origin, CPU µs/request         10.0     10.0
generator, CPU µs/request      20.0     20.0
generator's core busy          30 %     30 %
failed requests                   0        0

requests/s, direct = 1         1.00     1.00
requests/s, nginx = 1          1.00     1.00
proxy CPU, nginx = 1              –     1.00

Noted.

Bars

                                                           measured      bar                   reach     scenario
a connection per request (ab): CPU µs/request, nginx = 1          –   ≤ 0.85   not measured   ≤ 0.70   connection

Started with

connection: origin nginx

nginx: nginx -c x
  listen 127.0.0.1:PORT;
  b;
";
    assert_eq!(text, expected);
}

#[test]
fn a_ratio_is_taken_within_its_round() {
    let rated = |target, round, requests_per_second| {
        let mut run = run(target, round);
        run.reading.requests_per_second = requests_per_second;
        run
    };
    // The second minute was twice as noisy for both: no difference between them.
    let runs = [(1, 1000.0), (2, 500.0), (3, 800.0)];
    let runs = runs
        .into_iter()
        .flat_map(|(round, rate)| [rated(Target::Direct, round, rate), rated(Target::Nginx, round, rate / 2.0)]);
    let text = render(&comparison(runs.collect()));
    assert!(text.contains("3 alternating rounds: median (min–max)"));
    let row = |label: &str| text.lines().find(|line| line.starts_with(label)).unwrap().to_owned();
    assert!(row("requests/s, direct = 1").ends_with(" 0.50"));
    assert!(row("requests/s  ").ends_with("   800 (500–1,000)   400 (250–500)"), "{}", row("requests/s  "));
}

#[test]
fn the_page_has_bars_tables_and_configurations_and_no_folder() {
    let ours = Measurement { column: Column::plain(Target::Balancer), ..run(Target::Nginx, 1) };
    let comparison = comparison(vec![run(Target::Direct, 1), run(Target::Nginx, 1), ours]);
    let text = page(&comparison, &crate::pictures::of(&comparison));
    for part in [
        "Made by `cargo run --release -p bench -- compare --balancer balancer` on 2026-01-02 03:04 (UTC)",
        "| a connection per request (ab): CPU µs/request, nginx = 1 | 1.00 | ≤ 0.85 | **missed** | ≤ 0.70 | connection |\n",
        "![CPU time of the proxy per request, µs](pictures/cpu.svg)\n",
        "\n## connection\n\na connection per request.\n\n```text\nab -n 100000",
        "\nnginx: nginx -c x\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("/home") && !text.contains("/tmp"), "{text}");
    assert_eq!(text.matches("```").count() % 2, 0);
}

#[test]
fn system_calls_are_given_per_request_and_seldom_ones_left_out() {
    let mut comparison = comparison(vec![run(Target::Nginx, 1)]);
    let call = |name: &str, count, errors| Call { name: name.into(), count, errors };
    let calls = vec![call("recvfrom", 300, 100), call("writev", 200, 0), call("brk", 0, 0)];
    comparison.sections[0].syscalls = vec![Syscalls { column: Column::plain(Target::Nginx), requests: 100, calls }];
    let text = render(&comparison);
    let expected = "system calls/request                nginx\nrecvfrom               3.00 (1.00 failed)\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("\nall                                  5.00\n") && !text.contains("brk"), "{text}");
}

#[test]
fn what_differs_from_run_to_run_is_named_instead() {
    let folder = std::env::temp_dir().join("bench-12-3");
    let text = format!("listen = \"127.0.0.1:40001\"\npath = \"{}/a.log\"\n", folder.display());
    assert_eq!(shape(&text), "listen = \"127.0.0.1:PORT\"\npath = \"FOLDER/a.log\"\n");
    assert_eq!(without_folders("taskset -c 0 /usr/sbin/nginx -p /tmp/bench-1"), "taskset -c 0 nginx -p bench-1");
}
