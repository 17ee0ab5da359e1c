//! What a worker's process is made of and what is left of it: wrappers, processes in the background, what we were started with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Balancer, Client, directory, eventually};

/// Answers, and says what it does about TERM: cleans up for `CLEAN_UP` seconds.
const SERVER: &str = r#"
import http.server, os, signal, sys, threading, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ.get("SAY", "hello").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    daemon_threads = True
def note(text):
    with open(os.environ["NOTES"], "a") as notes: notes.write("%s %d\n" % (text, os.getpid()))
def bye(*_):
    note("told"); time.sleep(float(os.environ.get("CLEAN_UP", "0"))); note("clean"); os._exit(0)
signal.signal(signal.SIGTERM, bye)
def serve():
    note("serves")
    S(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"#;

/// A folder with `app.py`, which is [`SERVER`] and then `rest`.
fn app(rest: &str) -> PathBuf {
    let folder = directory();
    fs::write(folder.join("app.py"), format!("{SERVER}{rest}\n")).unwrap();
    folder
}

/// A pool of one worker that runs `command` in `folder`, and more keys.
fn pool(folder: &Path, command: &str, more: &str) -> String {
    let notes = folder.join("notes");
    format!(
        "[pool.app.workers]\ncommand = {command}\ndirectory = {folder:?}\n{more}\n[pool.app.workers.env]\nNOTES = {notes:?}\nCLEAN_UP = \"0.5\"\n"
    )
}

/// The pids behind `word` in the notes of the workers of `folder`.
fn noted(folder: &Path, word: &str) -> Vec<i32> {
    let text = fs::read_to_string(folder.join("notes")).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn a_server_behind_a_wrapper_has_its_time_to_stop_though_the_wrapper_dies_at_once() {
    for command in [
        // The shell stays in front of it and dies of TERM.
        r#"["sh", "-c", "python3 app.py; true"]"#,
        r#"["sh", "-c", "setsid python3 app.py; true"]"#,
    ] {
        let folder = app("serve()");
        let mut balancer = Balancer::start("", &pool(&folder, command, ""));
        balancer.await_stderr("is ready at");
        balancer.signal(Signal::SIGTERM);
        assert!(balancer.ended().success());
        let (served, told) = (noted(&folder, "serves"), noted(&folder, "told"));
        assert_eq!((served.len(), &told, noted(&folder, "clean")), (1, &served, served.clone()), "{command}");
        assert!(!is_alive(served[0]), "{command}");
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn what_stays_behind_a_wrapper_is_killed_when_its_time_is_over() {
    let folder = app("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nserve()");
    let command = r#"["sh", "-c", "setsid python3 app.py; true"]"#;
    let mut balancer = Balancer::start("", &pool(&folder, command, "stop_timeout = \"500ms\""));
    balancer.await_stderr("is ready at");
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    balancer.await_end_of_log("did not end within ");
    assert!(!is_alive(noted(&folder, "serves")[0]));
    fs::remove_dir_all(folder).unwrap();
}

/// Goes into the background as daemons do.
const DAEMON: &str = "if os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nserve()";

#[test]
fn a_worker_that_goes_into_the_background_is_told_to_stay_and_does_not_pile_up() {
    let folder = app(DAEMON);
    let mut balancer = Balancer::start("", &pool(&folder, r#"["python3", "app.py"]"#, ""));
    balancer.await_stderr("in the background, which ");
    let text = balancer.await_stderr("a worker has to stay in the foreground");
    assert!(text.contains("died before it was ready: exit code 0"), "{text}");
    balancer.await_stderr_count("died before it was ready", 3);
    let few = || noted(&folder, "serves").into_iter().filter(|pid| is_alive(*pid)).count() <= 1;
    eventually(|| text_of(&folder), || few().then_some(()));
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    eventually(|| text_of(&folder), || (!noted(&folder, "serves").into_iter().any(is_alive)).then_some(()));
    fs::remove_dir_all(folder).unwrap();
}

fn text_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("notes")).unwrap_or_default()
}

#[test]
fn a_helper_in_a_session_of_its_own_ends_with_its_worker_and_with_us_when_we_are_killed() {
    let folder = app(
        "import subprocess\nsubprocess.Popen(['setsid', '-f', 'sh', '-c', 'echo helper $$ >> $NOTES; exec sleep 1000'])\nserve()",
    );
    let mut balancer = Balancer::start("", &pool(&folder, r#"["python3", "app.py"]"#, ""));
    balancer.await_stderr("is ready at");
    let helper = |count: usize| {
        let found = || noted(&folder, "helper").get(count - 1).copied();
        eventually(|| text_of(&folder), found)
    };
    let first = helper(1);
    kill(Pid::from_raw(noted(&folder, "serves")[0]), Signal::SIGKILL).unwrap();
    eventually(|| "the helper's end".to_owned(), || (!is_alive(first)).then_some(()));
    let second = helper(2);
    assert!(is_alive(second));
    balancer.signal(Signal::SIGKILL);
    assert!(!balancer.ended().success());
    eventually(|| "the helper's end".to_owned(), || (!is_alive(second)).then_some(()));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_worker_finds_nothing_of_what_we_were_started_with() {
    let folder = app(
        "import resource\nstatus = {l.split(':')[0]: l.split()[1] for l in open('/proc/self/status') if l.startswith('Sig')}\n\
         open_ones = [d for d in os.listdir('/proc/self/fd') if int(d) > 2 and os.path.exists('/proc/self/fd/' + d)]\n\
         # Without those that Python ignores itself, and those of the C library.\n\
         ignored = int(status['SigIgn'], 16) & ~(1 << 12) & ~(1 << 24) & ~(3 << 31)\n\
         open('found', 'w').write('%s %s %s %s' % (int(status['SigBlk'], 16), ignored, open_ones, \
         resource.getrlimit(resource.RLIMIT_NOFILE)[0]))\nserve()",
    );
    let mut command = Command::new("python3");
    // 1: HUP, 3: QUIT, 17: CHLD, 20: TSTP.
    let launch = "import os, resource, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD])\n\
                  for number in (1, 3, 17, 20): signal.signal(number, signal.SIG_IGN)\n\
                  os.dup2(0, 7); os.set_inheritable(7, True)\n\
                  hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))\n\
                  os.execv(sys.argv[1], sys.argv[1:])";
    command.args(["-c", launch, env!("CARGO_BIN_EXE_balancer")]);
    let mut balancer = Balancer::start_by(command, directory(), "", &pool(&folder, r#"["python3", "app.py"]"#, ""));
    balancer.await_stderr("is ready at");
    assert_eq!(fs::read_to_string(folder.join("found")).unwrap(), "0 0 [] 600");
    // And we are not deaf.
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_release_behind_a_link_that_was_moved_is_what_a_restart_runs() {
    let folder = directory();
    for release in ["r1", "r2"] {
        fs::create_dir(folder.join(release)).unwrap();
        let text = format!("{SERVER}os.environ['SAY'] = '{release}'\nserve()\n");
        fs::write(folder.join(release).join("app.py"), text).unwrap();
    }
    let current = folder.join("current");
    std::os::unix::fs::symlink("r1", &current).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_balancer"));
    command.current_dir(&current).env("PWD", &current);
    let notes = folder.join("notes");
    let pool =
        format!("[pool.app.workers]\ncommand = [\"python3\", \"app.py\"]\n[pool.app.workers.env]\nNOTES = {notes:?}\n");
    let mut balancer = Balancer::start_by(command, directory(), "", &pool);
    balancer.await_stderr("is ready at");
    let answer = |balancer: &Balancer| Client::of(balancer).get("/").text();
    assert_eq!(answer(&balancer), "r1");
    std::os::unix::fs::symlink("r2", folder.join("new")).unwrap();
    fs::rename(folder.join("new"), &current).unwrap();
    fs::rename(folder.join("r1"), folder.join("gone")).unwrap();
    let (code, said) = balancer.run(&["restart", "app"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(answer(&balancer), "r2");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_of_variables_is_read_as_others_read_it_and_judged_by_check() {
    let folder = app("open('found', 'w').write(os.environ['FIRST'] + os.environ['KEY'])\nserve()");
    let file = folder.join("env");
    fs::write(&file, "\u{feff}FIRST=1\r\nexport KEY=\"a\r\nb\" # two lines\r\n").unwrap();
    let tables = pool(&folder, r#"["python3", "app.py"]"#, &format!("env_file = {file:?}"));
    let mut balancer = Balancer::start("", &tables);
    balancer.await_stderr("is ready at");
    assert_eq!(fs::read_to_string(folder.join("found")).unwrap(), "1a\nb");
    fs::write(&file, "FIRST=1\nKEY=\"never closed\n").unwrap();
    let (code, said) = balancer.run(&["check"]);
    assert!(code == 78 && said.contains("/env`, line 2: the quote that begins here is not closed"), "{code} {said}");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_python_prints_is_seen_at_once_and_silence_is_explained() {
    let folder = app("print('Listening')\nserve()");
    let tables = pool(&folder, r#"["python3", "app.py"]"#, "ready = { line = \"Listening\" }\nready_timeout = \"10s\"");
    let mut balancer = Balancer::start("", &tables);
    balancer.await_stderr("is ready at");
    let tables = pool(
        &folder,
        r#"["python3", "-c", "import time; time.sleep(1000)"]"#,
        "ready = { line = \"x\" }\nready_timeout = \"500ms\"",
    );
    let mut silent = Balancer::start("", &tables);
    silent.await_stderr_of(
        "is not ready after",
        "has printed nothing; a program may hold back what it prints into a pipe",
    );
    drop((balancer, silent));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_script_that_cannot_be_started_is_told_why_by_check_too() {
    let folder = directory();
    let script = folder.join("start.sh");
    for (text, why) in [
        ("#!/bin/sh\r\necho\r\n", "its first line ends with a carriage return, so the system looks for `/bin/sh\\r`"),
        ("#!/nowhere/python3\n", "its first line names /nowhere/python3, which is not there"),
    ] {
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let tables = format!("[pool.app.workers]\ncommand = [{script:?}]\n");
        let mut balancer = Balancer::start("", &tables);
        balancer.await_stderr_of("app.1 could not be started: command `", why);
        let (code, said) = balancer.run(&["check"]);
        assert!(code == 0 && said.contains(why), "{code} {said}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_death_is_told_before_the_next_start_though_a_process_holds_the_output() {
    // Of nobody's kin, for it has no parent of ours and no environment; it has the worker's output.
    let command = r#"["sh", "-c", "(setsid env -i sleep 3 &); echo up; sleep 0.2; exit 3"]"#;
    let folder = directory();
    let balancer = Balancer::start("", &pool(&folder, command, "ready = { line = \"up\" }"));
    balancer.await_stderr_count(" started for ", 2);
    let (_, events) = balancer.run(&["events", "-n", "100"]);
    balancer.await_stderr_count("exit code 3", 1);
    let log = balancer.said();
    let died = log.find("exit code 3").unwrap();
    assert_eq!(log[..died].matches(" started for ").count(), 1, "{log}");
    assert!(events.contains("exit code 3"), "{events}");
    fs::remove_dir_all(folder).unwrap();
}
