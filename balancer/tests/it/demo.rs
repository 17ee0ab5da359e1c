//! What needs no file, or comes with the program: `demo`, `run`, and the files of `deploy/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::harness::directory;
use crate::program::{PROGRAM, Program, balancer, curl, get, needs, repository, run, said};

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn the_demo_answers_four_times_with_server_1_and_server_2_in_turn() {
    needs("curl");
    let mut program = Program::start(&mut balancer(&["demo", "--listen", "127.0.0.1:0", "--access-log"]));
    program.until_ready(2);
    let answers: String = (0..4).map(|_| curl(&[&program.url("/")])).collect();
    let first = &answers[..9];
    let second = if first == "server 1\n" { "server 2\n" } else { "server 1\n" };
    assert_eq!(answers, format!("{first}{second}{first}{second}"));
    for line in ["demo.1 | server 1 listening on 127.0.0.1:", "] \"GET / HTTP/1.1\" 200 9 "] {
        program.stdout.until(line);
    }
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn the_start_ends_with_what_to_try_and_tells_of_requests_only_where_it_is_asked_to() {
    for (listen, shown) in [("localhost:0", "127.0.0.1:"), (":0", "127.0.0.1:")] {
        let mut program = Program::start(&mut balancer(&["demo", "-n", "1", "--listen", listen]));
        let log = program.stderr.until(" · Ctrl-C stops\n");
        let (_, hint) = log.split_once("Try curl http://").unwrap();
        let (address, page) = hint.lines().next().unwrap().split_once(" · page http://").unwrap();
        assert!(address.starts_with(shown), "{log}");
        assert_eq!(get(address.parse().unwrap(), "/").unwrap().0, 200);
        let page = page.split(' ').next().unwrap();
        assert!(ask_the_page(page, "/").contains("<!DOCTYPE html>"));
        assert!(log.trim_end().ends_with(" · Ctrl-C stops"), "it is the last line: {log}");
        assert_eq!(program.stop(), Some(0));
        assert!(!program.stdout.now().contains("GET /"), "{}", program.stdout.now());
    }
}

/// The page answers addresses and `localhost` alone.
fn ask_the_page(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn run_of_what_is_not_there_ends_as_a_shell_does() {
    for (arguments, code, expected) in [
        (&["run", "nodee", "server.js"][..], 127, "error: nodee: command not found\n"),
        (&["run", "-n", "4", "--", "nodee"], 127, "error: nodee: command not found\n"),
        (&["run", "./nowhere/app"], 127, "error: command `./nowhere/app` not found"),
        (&["run", "/"], 126, "error: command `/` "),
        (&["run", "--lisen", "8080", "node"], 2, "error: unexpected argument '--lisen'; did you mean --listen?\n"),
        (&["run", "-n", "no", "node"], 2, "write a whole number from 1 to 4096, or cpus"),
    ] {
        let output = run(arguments);
        assert!(
            output.status.code() == Some(code) && said(&output).contains(expected),
            "{arguments:?}: {:?} {}",
            output.status,
            said(&output)
        );
    }
}

#[test]
fn run_gives_up_when_no_worker_was_ever_ready() {
    let script = "echo no module named app >&2; exit 3";
    let mut program =
        Program::start(&mut balancer(&["run", "-n", "1", "--listen", "127.0.0.1:0", "--", "sh", "-c", script]));
    assert_eq!(program.wait().code(), Some(1));
    let log = program.stderr.until("no worker was ever ready: giving up. The first death was: app.1 (pid ");
    let (before, last) = log.split_once("no worker was ever ready").unwrap();
    assert!(last.contains("exit code 3") && last.matches("| no module named app").count() == 1, "{log}");
    assert_eq!(before.matches(" started for ").count(), 3, "{log}");
}

#[test]
fn run_gives_up_no_more_once_a_worker_was_ready() {
    let program = Program::start(&mut balancer(&[
        "run",
        "-n",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--",
        PROGRAM,
        "backend",
        "{port}",
    ]));
    program.until_ready(1);
    for round in 0..4 {
        let worker = program.until_ready(1 + round).pop().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker.pid), Signal::SIGKILL).unwrap();
        program.until_ready(2 + round);
    }
    assert_eq!(get(program.address(), "/").unwrap().0, 200);
}

#[test]
fn options_behind_the_command_are_said_and_slots_give_each_worker_one_request_at_a_time() {
    let arguments = ["run", "-n", "1", "--slots", "1", "--listen", "127.0.0.1:0", PROGRAM, "backend", "{port}"];
    let mut program = Program::start(&mut balancer(&arguments));
    program.until_ready(1);
    let page = program.stderr.until(" · page http://");
    let page = page.split_once(" · page http://").unwrap().1.split(' ').next().unwrap().to_owned();
    let status = ask_the_page(&page, "/api/status");
    assert!(status.contains("\"slots\":1"), "{status}");
    assert_eq!(program.stop(), Some(0));
    let script = "exec sleep 1000";
    let arguments = ["run", "-n", "1", "--listen", "127.0.0.1:0", "sh", "-c", script, "--slots", "1"];
    let program = Program::start(&mut balancer(&arguments));
    program
        .stderr
        .until("warning: --slots stands behind the command, so sh gets it; did you mean balancer run --slots");
}

#[test]
fn run_starts_a_program_so_many_times_behind_one_address() {
    let arguments = ["run", "-n", "3", "--listen", "127.0.0.1:0", "--", PROGRAM, "backend", "{port}"];
    let mut program = Program::start(&mut balancer(&arguments));
    let workers = program.until_ready(3);
    let mut answers: Vec<_> = (0..3).map(|_| get(program.address(), "/").unwrap().1).collect();
    answers.sort();
    assert_eq!(answers, ["server 1\n", "server 2\n", "server 3\n"]);
    let mut names: Vec<_> = workers.iter().map(|worker| worker.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["app.1", "app.2", "app.3"]);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn without_a_file_hup_is_the_end_of_the_terminal_except_under_nohup() {
    // Whatever the tests were started under.
    let start = |disposition: &str| {
        let like = balancer(&[]);
        let mut command = std::process::Command::new("env");
        command.args([disposition, PROGRAM, "demo", "-n", "1", "--listen", "127.0.0.1:0"]);
        for (key, value) in like.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let program = Program::start(&mut command);
        program.until_ready(1);
        program
    };
    let mut program = start("--default-signal=HUP");
    program.signal(Signal::SIGHUP);
    assert!(program.wait().success());
    assert!(program.stderr.now().contains("HUP: there is no file to read again; stopping"));

    let mut program = start("--ignore-signal=HUP");
    program.signal(Signal::SIGHUP);
    program.stderr.until("HUP: ignored, as nohup asks for; there is no file to read again");
    assert_eq!(get(program.address(), "/").unwrap().0, 200);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn run_passes_options_behind_the_command_on_to_it() {
    let script = "echo got $0 $1 >&2; exec sleep 1000";
    let program =
        Program::start(&mut balancer(&["run", "-n", "1", "--listen", "127.0.0.1:0", "sh", "-c", script, "-n", "5"]));
    program.stderr.until("app.1 | got -n 5");
}

#[test]
fn run_without_a_command_says_so() {
    let output = run(&["run", "-n", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("<CMD>..."), "{}", said(&output));
}

#[test]
fn the_example_configuration_starts_and_serves() {
    let text = std::fs::read_to_string(repository("deploy/lb.example.toml")).unwrap();
    let config = text
        .replace("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\"")
        .replace("\"balancer\", \"backend\"", &format!("\"{PROGRAM}\", \"backend\""));
    let mut program = Program::serve_ready("example", &config, 1);
    assert_eq!(get(program.address(), "/"), Some((200, "server 1\n".to_owned())));
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn every_configuration_that_is_shipped_is_correct() {
    let mut found = 0;
    let directory = directory();
    let mut folders = vec![repository("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("kubernetes") {
                // It needs its token: see tests/manifests.
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                let file = with_token(&path, &directory);
                let output = run(&["check", "--config", file.to_str().unwrap()]);
                assert_eq!(output.status.code(), Some(0), "{}", said(&output));
                found += 1;
            }
        }
    }
    assert!(found >= 6, "{found}");
    std::fs::remove_dir_all(directory).unwrap();
}

/// The file, or a copy that reads its token where there is one: in a container it is a secret.
fn with_token(path: &Path, directory: &Path) -> PathBuf {
    const TOKEN: &str = "/run/secrets/balancer_token";
    let text = std::fs::read_to_string(path).unwrap();
    if !text.contains(TOKEN) {
        return path.to_owned();
    }
    let (token, copy) = (directory.join("token"), directory.join("lb.toml"));
    std::fs::write(&token, "a-long-random-word").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&copy, text.replace(TOKEN, token.to_str().unwrap())).unwrap();
    copy
}
