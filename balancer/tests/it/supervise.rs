//! The supervisor with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use balancer::config;
use balancer::pool::Pool;
use balancer::supervise::{
    Files, Guard, OutputSink, Ports, Reaper, Standings, StartDirectory, State, Status, Stop, Supervisor, Surroundings,
};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn a_worker_is_a_member_once_it_accepts_connections() {
    let room = Room::start(config::Workers { ready: config::Ready::Connect, count: 2, ..python(ACCEPTOR) });
    assert!(room.pool.endpoints().is_empty());
    let status = room.until_ready().await;
    for worker in &status.workers {
        std::net::TcpStream::connect(worker.address.as_ref().unwrap().to_string()).unwrap();
    }
    assert_eq!(room.members(), ["app.1", "app.2"]);
    room.assert_members_follow(&status);
}

#[tokio::test]
async fn a_worker_is_a_member_once_it_answers_its_health_path() {
    let ready = config::Ready::Path(config::Question::of("/health"));
    let room = Room::start(config::Workers { ready, ..python(THIRD_ANSWER_IS_GOOD) });
    room.until_ready().await;
    let asked = room.output.until("request 3").await;
    assert!(!asked.contains("request 4"), "{asked}");
}

#[tokio::test]
async fn a_worker_is_a_member_once_it_prints_the_line() {
    let (gate, release) = gate("line");
    let script = format!("echo Loading; read go < {}; echo now Listening >&2; exec sleep 1000", gate.display());
    let room = Room::start(shell(&script));
    room.output.until("Loading").await;
    assert_eq!(room.supervisor.status().workers[0].state, State::Starting);
    assert!(room.pool.endpoints().is_empty());
    release();
    room.until_ready().await;
    assert_eq!(room.members(), ["app.1"]);
}

#[tokio::test]
async fn a_worker_that_exits_at_once_waits_longer_each_time_and_others_serve() {
    let workers = shell("if [ {index} = 1 ]; then echo no database; exit 3; fi; echo Listening; exec sleep 1000");
    let room = Room::start(config::Workers { count: 2, ..workers });
    let status = room.until("four restarts", |status| status.workers[0].restarts >= 4 && status.ready() == 1).await;
    assert_eq!(room.members(), ["app.2"]);
    assert_eq!(status.workers[1].restarts, 0);
    let log = room.log.until_count("app.1 | no database", 4).await;
    let millis = |shown: &str| {
        let (number, rest) = shown.split_once(' ').unwrap();
        number.parse::<f64>().unwrap() * if rest.starts_with("ms") { 1.0 } else { 1_000.0 }
    };
    let delays: Vec<f64> = log.split("starting again in ").skip(1).map(millis).collect();
    assert!(delays[2] > delays[0] && delays[3] > delays[2] && delays[3] >= 600.0, "{delays:?}");
    assert!(log.contains("died before it was ready: exit code 3 after "), "{log}");
}

#[tokio::test]
async fn a_command_that_cannot_be_started_is_named_and_other_pools_go_on() {
    let file = scratch("not-executable").join("run.sh");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let no_interpreter = scratch("no-interpreter").join("run.sh");
    std::fs::write(&no_interpreter, "#!/nowhere/interpreter\n").unwrap();
    std::fs::set_permissions(&no_interpreter, PermissionsExt::from_mode(0o755)).unwrap();
    let good = Room::start(shell("echo Listening; exec sleep 1000"));
    for (command, reason) in [
        ("no-such-program", "command `no-such-program` not found; looked for it in PATH ("),
        (file.to_str().unwrap(), "is not executable: "),
        ("/etc", "command `/etc` is not a file: /etc"),
        (no_interpreter.to_str().unwrap(), "its first line names /nowhere/interpreter, which is not there"),
    ] {
        let room = Room::start(config::Workers { command: vec![command.into()], ..shell("") });
        let status = room.until("a second try", |status| status.workers[0].restarts >= 2).await;
        let text = status.workers[0].reason.as_deref().unwrap();
        assert!(text.contains(reason), "{text}");
        room.log.until(reason).await;
        assert!(room.pool.endpoints().is_empty());
    }
    good.until_ready().await;
}

#[tokio::test]
async fn a_worker_that_is_never_ready_is_stopped_and_started_again() {
    let workers = shell("echo still loading; exec sleep 1000");
    let room = Room::start(config::Workers { ready_timeout: Duration::from_millis(300), ..workers });
    let status = room.until("a restart", |status| status.workers[0].restarts >= 1).await;
    let reason = status.workers[0].reason.as_deref().unwrap();
    assert!(reason.contains("was not ready within 300 ms and was stopped: killed by signal 15 (SIGTERM)"), "{reason}");
    room.log.until("its last lines:\n    app.1 | still loading").await;
    assert!(room.pool.endpoints().is_empty());
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_the_members_follow() {
    let room = Room::start(config::Workers { count: 2, ..shell("echo Listening; exec sleep 1000") });
    let before = room.until_ready().await;
    let (killed, ids) = (before.workers[1].pid.unwrap(), room.ids());
    let place = room.pool.endpoints()[1].claim();
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    room.until("the worker out of the pool", |status| status.workers[1].state == State::Backoff).await;
    let after = room.until("a new one", |status| status.ready() == 2 && status.workers[1].pid != Some(killed)).await;
    let lives = |status: &Status| (status.workers[0].pid, status.workers[0].started, status.workers[0].since);
    assert_eq!(lives(&after), lives(&before), "the other is left alone");
    assert_eq!(room.members(), ["app.1", "app.2"]);
    assert!(room.ids()[0] == ids[0] && room.ids()[1] != ids[1]);
    room.assert_members_follow(&after);
    let reason = after.workers[1].reason.as_deref().unwrap();
    assert!(reason.starts_with(&format!("app.2 (pid {killed}) died: killed by signal 9 (SIGKILL) after ")), "{reason}");
    assert!(reason.contains("s with 1 request in flight"), "{reason}");
    room.log.until(reason).await;
    drop(place);
}

#[tokio::test]
async fn a_worker_that_ignores_term_is_killed_after_its_time() {
    let workers = shell("trap '' TERM; echo Listening; while :; do sleep 0.05; done");
    let stop_timeout = Duration::from_millis(300);
    let room = Room::start(config::Workers { stop_timeout, ..workers });
    let pid = room.until_ready().await.workers[0].pid.unwrap();
    let began = Instant::now();
    room.stop(Stop::Drain { until: Instant::now() }).await;
    assert!(began.elapsed() >= stop_timeout, "{:?}", began.elapsed());
    assert!(!is_alive(pid));
    room.log.until("s: killing it").await;
    room.log.until("stopped: killed by signal 9 (SIGKILL)").await;
    assert!(room.pool.endpoints().is_empty());
}

#[tokio::test]
async fn a_stop_uses_the_configured_signal_and_lets_the_worker_finish() {
    // No shell: one that starts a command just when the signal comes may lose it.
    let script = "import signal,sys,time\ndef bye(*_): print('bye',flush=True); sys.exit(7)\nsignal.signal(signal.SIGINT,bye)\nprint('Listening',flush=True)\nwhile True: time.sleep(0.05)";
    let room = Room::start(config::Workers { stop_signal: config::StopSignal::Int, ..python(script) });
    room.until_ready().await;
    room.stop(Stop::Drain { until: Instant::now() }).await;
    room.output.until("app.1 | bye\n").await;
    room.log.until("stopped: exit code 7").await;
    assert_eq!(room.supervisor.status().workers[0].state, State::Exited);
}

#[tokio::test]
async fn a_stop_waits_for_requests_in_flight() {
    let room = Room::start(config::Workers { count: 2, ..shell("echo Listening; exec sleep 1000") });
    let before = room.until_ready().await;
    let endpoint = room.pool.endpoints().remove(0);
    let place = endpoint.claim().unwrap();
    let until = Instant::now() + PATIENCE;
    let stopping = room.stop(Stop::Drain { until });
    let rest = async {
        let idle_is_gone = |status: &Status| status.workers[1].state == State::Exited;
        let status = room.until("the idle one gone", idle_is_gone).await;
        assert_eq!(status.workers[0].state, State::Draining);
        assert!(endpoint.claim().is_none());
        assert!(is_alive(before.workers[0].pid.unwrap()));
        drop(place);
    };
    tokio::join!(stopping, rest);
    assert!(Instant::now() < until);
}

#[tokio::test]
async fn a_stop_waits_for_requests_no_longer_than_its_deadline_or_a_second_stop() {
    for second_stop in [false, true] {
        let room = Room::start(shell("echo Listening; exec sleep 1000"));
        room.until_ready().await;
        let place = room.pool.endpoints()[0].claim().unwrap();
        let wait = if second_stop { PATIENCE * 10 } else { Duration::from_millis(100) };
        let polite = room.stop(Stop::Drain { until: Instant::now() + wait });
        let again = async {
            room.until("draining", |status| status.workers[0].state == State::Draining).await;
            if second_stop {
                room.stop(Stop::Now).await;
            }
        };
        tokio::join!(polite, again);
        drop(place);
    }
}

#[tokio::test]
async fn what_a_dead_worker_left_in_its_group_is_killed() {
    let room = Room::start(shell("sleep 1000 & echo child $!; echo Listening; wait"));
    let pid = room.until_ready().await.workers[0].pid.unwrap();
    let child = number_behind(&room.output.until("Listening").await, "child ");
    assert!(is_alive(child));
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until_dead(child).await;
}

#[tokio::test]
async fn a_dropped_supervisor_leaves_no_worker() {
    let room = Room::start(shell("sleep 1000 & echo child $!; echo Listening; wait"));
    let pid = room.until_ready().await.workers[0].pid.unwrap();
    let child = number_behind(&room.output.until("Listening").await, "child ");
    drop(room);
    until_dead(pid).await;
    until_dead(child).await;
}

#[tokio::test]
async fn a_taken_port_names_its_holder_and_is_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let room = Room::start(config::Workers { first_port: Some(port), ..shell("echo Listening; exec sleep 1000") });
    let status = room.until("a reason", |status| status.workers[0].reason.is_some()).await;
    let reason = status.workers[0].reason.as_deref().unwrap();
    assert!(reason.contains(&format!("could not be started: port {port} is taken by ")), "{reason}");
    assert!(reason.contains(&format!("(pid {})", std::process::id())), "{reason}");
    drop(taken);
    let status = room.until_ready().await;
    assert_eq!(port_of(&status), port);
}

#[tokio::test]
async fn output_is_prefixed_line_by_line() {
    let workers = shell(r"echo Listening; echo error >&2; printf 'a\tb\nlast without newline'");
    let once = config::Backoff { min: PATIENCE, max: PATIENCE };
    let room = Room::start(config::Workers { backoff: once, ..workers });
    room.until("an end", |status| status.workers[0].reason.is_some()).await;
    let text = room.output.until_count("\n", 4).await;
    let of = |stream| text.split_inclusive('\n').filter_map(move |line| line.strip_prefix(stream)).collect::<String>();
    assert_eq!(of('1'), "app.1 | Listening\napp.1 | a\tb\napp.1 | last without newline\n");
    assert_eq!(of('2'), "app.1 | error\n");
}

#[tokio::test]
async fn output_that_is_not_wanted_goes_nowhere_and_still_shows_readiness() {
    let workers = shell("echo Listening; echo error >&2; exec sleep 1000");
    let room = Room::start(config::Workers { output: config::Output::Null, ..workers });
    room.until_ready().await;
    room.stop(Stop::Now).await;
    assert_eq!(*room.output.0.borrow(), "");
}

#[tokio::test]
async fn arguments_environment_and_directory_arrive() {
    let directory = scratch("arrive");
    std::fs::write(directory.join("env"), "FROM_FILE='a b'\nBOTH=file\nPORT=1\n").unwrap();
    let script = r#"echo "$@"; echo "$PORT/$HOST/$INSTANCE_ID/$FROM_FILE/$BOTH/$0"; pwd; env | sed 's/=.*//' | sort | tr '\n' ,; echo; echo Listening; exec sleep 1000"#;
    std::fs::write(directory.join("run.sh"), format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(directory.join("run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    let room = Room::start(config::Workers {
        command: ["./run.sh", "--port={port}", "{pool}.{index}", "two words", ""].map(Into::into).to_vec(),
        directory: Some(directory.clone()),
        env: BTreeMap::from([("BOTH".into(), "config".into())]),
        env_file: Some(directory.join("env")),
        env_clear: true,
        ..shell("")
    });
    let port = port_of(&room.until_ready().await);
    let text = room.output.until("Listening").await;
    assert!(text.contains(&format!("app.1 | --port={port} app.1 two words \n")), "{text}");
    let run = directory.join("run.sh");
    assert!(text.contains(&format!("app.1 | {port}/127.0.0.1/1/a b/config/{}", run.display())), "{text}");
    assert!(text.contains(&format!("app.1 | {}\n", directory.display())), "{text}");
    let safe = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "TERM", "PWD", "OLDPWD", "SHLVL", "_"];
    let ours = ["PORT", "HOST", "INSTANCE_ID", "FROM_FILE", "BOTH", "PYTHONUNBUFFERED", "BALANCER_RUN"];
    let names = text.lines().find(|line| line.contains("INSTANCE_ID,")).unwrap().split("| ").nth(1).unwrap();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        assert!(safe.contains(&name) || ours.contains(&name) || name.starts_with("LC_"), "{name} in {names}");
    }
}

#[tokio::test]
async fn a_worker_runs_as_its_user_with_default_signals_in_a_group_of_its_own() {
    let is_root = nix::unistd::getuid().is_root();
    let user = if is_root { "nobody".to_owned() } else { nix::unistd::getuid().to_string() };
    let entry = nix::unistd::User::from_name(&user).unwrap().map(|entry| (entry.uid, entry.gid));
    let (uid, gid) = entry.unwrap_or((nix::unistd::getuid(), nix::unistd::getgid()));
    let script =
        "grep -E '^(Uid|Gid|SigIgn|SigBlk|NSpgid):' /proc/self/status; echo $$; echo Listening; exec sleep 1000";
    let workers = shell(script);
    let group = (!is_root).then(|| gid.to_string());
    let room = Room::start(config::Workers { identity: config::Identity { user: Some(user), group }, ..workers });
    let pid = room.until_ready().await.workers[0].pid.unwrap();
    let text = room.output.until("Listening").await;
    assert!(text.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{text}");
    assert!(text.contains(&format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}")), "{text}");
    assert!(text.contains("SigBlk:\t0000000000000000"), "{text}");
    // SIGPIPE is 13.
    let ignored = text.split("SigIgn:\t").nth(1).unwrap().get(..16).unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & (1 << 12), 0, "{text}");
    assert_eq!(nix::unistd::getpgid(Some(Pid::from_raw(pid))).unwrap().as_raw(), pid);
    assert!(text.contains(&format!("app.1 | {pid}\n")), "the shim became the worker: {text}");
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_named() {
    let identity = config::Identity { user: Some("no-such-user".into()), group: None };
    let room = Room::start(config::Workers { identity, ..shell("exit") });
    let status = room.until("a reason", |status| status.workers[0].reason.is_some()).await;
    let reason = status.workers[0].reason.as_deref().unwrap();
    assert!(reason.contains("could not be started: user no-such-user does not exist"), "{reason}");
}

#[test]
fn kill_9_of_the_supervising_process_leaves_no_worker() {
    let mut supervising =
        in_a_process_of_its_own("supervise::supervises_until_it_is_killed").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(supervising.stderr.take().unwrap()).lines();
    let pids = lines.find_map(|line| line.unwrap().strip_prefix("workers ").map(str::to_owned)).unwrap();
    let pids: Vec<i32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 6);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    supervising.kill().unwrap();
    supervising.wait().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for pid in pids {
        runtime.block_on(until_dead(pid));
    }
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn supervises_until_it_is_killed() {
    // Whoever changes its user is forgotten by the kernel's promise and has to ask again.
    let user = nix::unistd::getuid().is_root().then(|| "nobody".to_owned());
    let identity = config::Identity { user, group: None };
    let script = "trap '' TERM INT HUP; sleep 1000 & echo child $!; echo Listening; wait";
    let _guard = Guard::start(PathBuf::from(env!("CARGO_BIN_EXE_balancer")));
    let room = Room::start(config::Workers { count: 3, identity, ..shell(script) });
    let status = room.until_ready().await;
    let text = room.output.until_count("Listening", 3).await;
    let children = text.split("child ").skip(1).map(|rest| rest.split_once('\n').unwrap().0.to_owned());
    let workers = status.workers.iter().map(|worker| worker.pid.unwrap().to_string());
    let pids: Vec<_> = workers.chain(children).collect();
    writeln!(std::io::stderr(), "workers {}", pids.join(" ")).unwrap();
    // Long enough for the other test; nobody waits for it when run alone.
    if std::env::var_os(OWN_PROCESS).is_some() {
        let _ = timeout(PATIENCE, std::future::pending::<()>()).await;
    }
}

#[test]
fn no_zombie_is_left() {
    let output = in_a_process_of_its_own("supervise::collects_orphans").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn collects_orphans() {
    // Takes every child of the process, so it must not run beside other tests.
    if std::env::var_os(OWN_PROCESS).is_none() {
        return;
    }
    let _reaper = Reaper::start().unwrap();
    // Two grandchildren leave the group and end by themselves, one by a signal that has no name; the third is killed with
    // the group.
    let script = "(setsid sh -c 'echo orphan $$; sleep 0.1; kill -s 40 $$' &); (setsid sh -c 'echo orphan $$; exec sleep 0.1' &); sleep 1000 & echo Listening; wait";
    let room = Room::start(config::Workers { count: 4, ..shell(script) });
    for round in 1..=3 {
        let all_again = |status: &Status| status.ready() == 4 && status.workers.iter().all(|w| w.restarts == round - 1);
        for worker in room.until("all ready", all_again).await.workers {
            kill(Pid::from_raw(worker.pid.unwrap()), Signal::SIGKILL).unwrap();
        }
    }
    room.output.until_count("orphan ", 24).await;
    room.stop(Stop::Now).await;
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    eventually("no child is left", || waitid(Id::All, peek) == Err(Errno::ECHILD)).await;
}

/// A pool with its supervisor, and all that can be seen of them.
pub(crate) struct Room {
    pub(crate) pool: Arc<Pool>,
    pub(crate) supervisor: Supervisor,
    pub(crate) output: Text,
    pub(crate) log: Text,
    _logging: tracing::subscriber::DefaultGuard,
}

impl Room {
    pub(crate) fn start(workers: config::Workers) -> Self {
        // Shared, so that tests that run at once do not choose the same port.
        static PORTS: LazyLock<Ports> = LazyLock::new(Ports::default);
        let (output, log) = (Text::default(), Text::default());
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
            let log = log.clone();
            move || log.clone()
        });
        let logging = tracing::subscriber::set_default(subscriber.finish());
        let sink: OutputSink = Arc::new({
            let output = output.clone();
            move |stream, lines: &[u8]| {
                for line in String::from_utf8_lossy(lines).split_inclusive('\n') {
                    output.append(&format!("{}{line}", stream as u8 + 1));
                }
            }
        });
        let pool = pool();
        let shim = PathBuf::from(env!("CARGO_BIN_EXE_balancer"));
        let surroundings = Surroundings {
            output: sink,
            events: Arc::new(|_| {}),
            files: Files::default(),
            ports: PORTS.clone(),
            standings: Standings::default(),
            sockets: None,
            share: None,
            shim,
            here: StartDirectory::default(),
            trial: Duration::from_millis(500),
            descriptors: None,
            drain_timeout: tokio::sync::watch::channel(PATIENCE).1,
        };
        let supervisor = Supervisor::start(Arc::clone(&pool), workers, surroundings);
        Self { pool, supervisor, output, log, _logging: logging }
    }

    pub(crate) async fn until(&self, what: &str, test: impl Fn(&Status) -> bool) -> Status {
        let mut watch = self.supervisor.watch();
        let found = timeout(PATIENCE, watch.wait_for(|status| !status.workers.is_empty() && test(status))).await;
        match found {
            Ok(Ok(status)) => status.clone(),
            _ => panic!("{what}: {:#?}\n{}", self.supervisor.status(), *self.log.0.borrow()),
        }
    }

    pub(crate) async fn until_ready(&self) -> Status {
        self.until("all ready", |status| status.ready() == status.workers.len()).await
    }

    pub(crate) async fn stop(&self, stop: Stop) {
        let stopped = timeout(PATIENCE, self.supervisor.stop(stop)).await;
        assert!(stopped.is_ok(), "{:#?}\n{}", self.supervisor.status(), *self.log.0.borrow());
    }

    pub(crate) fn members(&self) -> Vec<String> {
        self.pool.endpoints().iter().map(|endpoint| endpoint.name().to_string()).collect()
    }

    fn ids(&self) -> Vec<balancer::endpoint::EndpointId> {
        self.pool.endpoints().iter().map(|endpoint| endpoint.id()).collect()
    }

    fn assert_members_follow(&self, status: &Status) {
        let members: Vec<_> = self.pool.endpoints().iter().map(|endpoint| endpoint.address().to_string()).collect();
        let workers: Vec<_> =
            status.workers.iter().map(|worker| worker.address.as_ref().unwrap().to_string()).collect();
        assert_eq!(members, workers);
    }
}

/// Text that grows and can be waited for.
#[derive(Clone)]
pub(crate) struct Text(Arc<watch::Sender<String>>);

impl Default for Text {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(String::new())))
    }
}

impl Text {
    fn append(&self, more: &str) {
        self.0.send_modify(|text| text.push_str(more));
    }

    pub(crate) async fn until(&self, part: &str) -> String {
        self.until_count(part, 1).await
    }

    pub(crate) async fn until_count(&self, part: &str, count: usize) -> String {
        let mut watch = self.0.subscribe();
        match timeout(PATIENCE, watch.wait_for(|text| text.matches(part).count() >= count)).await {
            Ok(Ok(text)) => text.clone(),
            _ => panic!("no {part:?} ({count} times) in {:?}", *self.0.borrow()),
        }
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.append(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The port of the first worker.
pub(crate) fn port_of(status: &Status) -> u16 {
    match status.workers[0].address {
        Some(config::Address::Tcp { port, .. }) => port,
        ref other => panic!("no port: {other:?}"),
    }
}

fn pool() -> Arc<Pool> {
    Pool::new(&config::Pool::new("app"))
}

/// A worker that is ready when it says so.
pub(crate) fn shell(script: &str) -> config::Workers {
    config::Workers {
        ready: config::Ready::Line("Listening".into()),
        ready_timeout: PATIENCE,
        stop_timeout: PATIENCE,
        backoff: config::Backoff { min: Duration::from_millis(100), max: Duration::from_secs(5) },
        ..config::Workers::new(["/bin/sh", "-c", script].map(Into::into).to_vec())
    }
}

pub(crate) fn python(program: &str) -> config::Workers {
    config::Workers { command: ["python3", "-c", program, "{port}"].map(Into::into).to_vec(), ..shell("") }
}

/// A named pipe that a script can wait at, and what lets it go on.
fn gate(name: &str) -> (PathBuf, impl FnOnce()) {
    let path = scratch(name).join("gate");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = path.clone();
    (path, move || std::fs::write(pipe, "go\n").unwrap())
}

/// An empty directory of this test.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("supervise-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path.canonicalize().unwrap()
}

fn in_a_process_of_its_own(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(OWN_PROCESS, "1").stdin(Stdio::null());
    command
}

pub(crate) fn number_behind(text: &str, mark: &str) -> i32 {
    text.split(mark).nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// Whether a process runs; one that only waits to be collected does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) async fn until_dead(pid: i32) {
    eventually("the process ends", || !is_alive(pid)).await;
}

pub(crate) async fn eventually(what: &str, test: impl Fn() -> bool) {
    let asking = async {
        while !test() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect(what);
}

/// More than any of this takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const OWN_PROCESS: &str = "BALANCER_TEST_OWN_PROCESS";

const ACCEPTOR: &str = r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()[0].close()
"#;

const THIRD_ANSWER_IS_GOOD: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        print("request", Handler.asked, flush=True)
        self.send_response(200 if self.path == "/health" and Handler.asked > 2 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;
