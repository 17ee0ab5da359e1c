//! The real program.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use balancer::admin::name_of;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Origin, directory, eventually, pool_of};

/// A running balancer; killed when dropped.
pub(crate) struct Balancer {
    child: Child,
    address: Option<SocketAddr>,
    stderr: Arc<Mutex<String>>,
    directory: PathBuf,
}

impl Balancer {
    /// In front of some origins, with every default.
    pub(crate) fn before(origins: &[&Origin]) -> Self {
        Self::start("", &pool_of(origins))
    }

    /// `top` are keys of the top level, `tables` what follows them. Where they do not say otherwise, it listens on a port of
    /// 127.0.0.1 and logs JSON into a file.
    pub(crate) fn start(top: &str, tables: &str) -> Self {
        Self::start_in(directory(), top, tables)
    }

    /// The same with a directory that is known beforehand, removed afterwards.
    pub(crate) fn start_in(directory: PathBuf, top: &str, tables: &str) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_balancer")), directory, top, tables)
    }

    /// The same, with no more than `descriptors`.
    pub(crate) fn start_with_descriptors(descriptors: u32, top: &str, tables: &str) -> Self {
        Self::start_after(&format!("ulimit -n {descriptors}"), directory(), top, tables)
    }

    /// The same once a shell has done something first.
    pub(crate) fn start_after(first: &str, directory: PathBuf, top: &str, tables: &str) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{first} && exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_balancer"));
        Self::start_by(command, directory, top, tables)
    }

    /// The same so that the memory it has is what it has touched: the allocator takes none by huge pages of 2 MiB.
    pub(crate) fn start_by_small_pages(top: &str, tables: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_balancer"));
        command.env("MIMALLOC_ALLOW_THP", "0");
        Self::start_by(command, directory(), top, tables)
    }

    /// The same by somebody who has opened a listener, as systemd does; the descriptor is passed under each of `names`.
    pub(crate) fn start_passed(listener: impl Into<OwnedFd>, names: &[&str], top: &str, tables: &str) -> Self {
        Self::start_with(passing(names), Stdio::from(listener.into()), directory(), top, tables)
    }

    /// The same by a command that becomes the program: what stands behind is its arguments.
    pub(crate) fn start_by(command: Command, directory: PathBuf, top: &str, tables: &str) -> Self {
        Self::start_with(command, Stdio::null(), directory, top, tables)
    }

    fn start_with(mut command: Command, stdin: Stdio, directory: PathBuf, top: &str, tables: &str) -> Self {
        let mut config = top.to_owned();
        if !top.contains("listen =") {
            config.push_str("\nlisten = \"127.0.0.1:0\"");
        }
        config = format!("{config}\n{tables}\n");
        if !tables.contains("[access_log]") {
            let path = directory.join("access.log");
            config.push_str(&format!("[access_log]\nformat = \"json\"\npath = {path:?}\n"));
        }
        let file = directory.join("lb.toml");
        std::fs::write(&file, &config).unwrap();
        command.arg("--config").arg(&file).env_remove("RUST_LOG").stdin(stdin);
        // Its admin socket is its own, however many run.
        command.env("XDG_RUNTIME_DIR", &directory).env_remove("CACHE_DIRECTORY");
        command.stdout(std::fs::File::create(directory.join("stdout")).unwrap()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        follow(child.stderr.take().unwrap(), Arc::clone(&stderr));
        let mut balancer = Self { child, address: None, stderr, directory };
        let text = balancer.await_stderr("listening on ");
        balancer.address = text.lines().find_map(|line| line.split_once("listening on ")?.1.trim().parse().ok());
        balancer
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// Where it listens for clients that speak TLS.
    pub(crate) fn encrypted(&self) -> SocketAddr {
        let said = self.said();
        said.lines().find_map(|line| line.split_once("listening on tls:")?.1.trim().parse().ok()).unwrap()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// What is in its directory besides `lb.toml`: `access.log`, `stdout`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The first line of the access log in which every one of `parts` stands.
    pub(crate) fn logged(&self, parts: &[&str]) -> String {
        self.logged_in("access.log", parts)
    }

    /// The same in another file.
    pub(crate) fn logged_in(&self, file: &str, parts: &[&str]) -> String {
        let text = || std::fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        let find = || {
            let text = text();
            // The last line may not be complete yet.
            let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            lines.find(|line| parts.iter().all(|part| line.contains(part))).map(|line| line.trim_end().to_owned())
        };
        eventually(|| format!("{parts:?} in {}\nstderr: {}", text(), self.stderr.lock().unwrap()), find)
    }

    /// Waits until `part` stands in what it has said, though it may have ended.
    pub(crate) fn await_end_of_log(&self, part: &str) {
        let said = || self.stderr.lock().unwrap().contains(part).then_some(());
        eventually(|| format!("{part:?} in {}", self.stderr.lock().unwrap()), said);
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until it has said `part` so often.
    pub(crate) fn await_stderr_count(&self, part: &str, count: usize) {
        let said = || (self.stderr.lock().unwrap().matches(part).count() >= count).then_some(());
        eventually(|| format!("{count} times {part:?} in {}", self.stderr.lock().unwrap()), said);
    }

    /// What it has said while it runs, once `part` is in it.
    pub(crate) fn await_stderr(&mut self, part: &str) -> String {
        let (child, stderr) = (&mut self.child, &self.stderr);
        let found = |text: &String| text.contains(part) && text.ends_with('\n');
        eventually(
            || format!("{part:?} in {}", stderr.lock().unwrap()),
            || {
                let text = stderr.lock().unwrap().clone();
                if !found(&text) && child.try_wait().unwrap().is_some() {
                    panic!("the balancer has ended: {text}");
                }
                found(&text).then_some(text)
            },
        )
    }

    /// A command to this instance.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_balancer"));
        command.args(arguments).args(["--config"]).arg(self.directory.join("lb.toml")).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", &self.directory).env_remove("RUST_LOG").env_remove("BALANCER_SOCKET");
        command
    }

    /// Its exit code, and all it said: first what is for machines.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        // Whom an order has reached is told first, and tested in `instances.rs`.
        let said = String::from_utf8_lossy(&said).into_owned();
        let told = |line: &&str| !line.starts_with(&format!("asked lb (pid {}, ", self.child.id()));
        (output.status.code().unwrap(), said.split_inclusive('\n').filter(told).collect())
    }

    /// Its admin socket, where the configuration names none.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.directory.join("balancer").join(format!("{}.sock", name_of(&self.directory.join("lb.toml"))))
    }

    /// What it has said once a line has both parts.
    pub(crate) fn await_stderr_of(&mut self, first: &str, second: &str) -> String {
        let found = || {
            let text = self.stderr.lock().unwrap().clone();
            text.lines().any(|line| line.contains(first) && line.contains(second)).then_some(text)
        };
        eventually(|| format!("{first:?} and {second:?} in {}", self.stderr.lock().unwrap()), found)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let (child, stderr) = (&mut self.child, &self.stderr);
        eventually(|| format!("the end of the balancer: {}", stderr.lock().unwrap()), || child.try_wait().unwrap())
    }

    /// Whether it has ended already.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How many client connections are parked: what is in an epoll set that is itself in another.
    pub(crate) fn parked(&self) -> usize {
        let mut sets: HashMap<String, Vec<String>> = HashMap::new();
        for entry in std::fs::read_dir(format!("/proc/{}/fdinfo", self.child.id())).unwrap().flatten() {
            // A descriptor may be closed meanwhile.
            let info = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let members = info.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next());
            let members: Vec<String> = members.map(str::to_owned).collect();
            if !members.is_empty() {
                sets.insert(entry.file_name().to_string_lossy().into_owned(), members);
            }
        }
        let nested = |set: &String| sets.values().any(|members| members.contains(set));
        sets.iter().filter(|(set, _)| nested(set)).map(|(_, members)| members.len()).sum()
    }

    /// Waits until so many client connections are parked.
    pub(crate) fn await_parked(&self, count: usize) {
        eventually(
            || format!("{count} parked connections, not {}", self.parked()),
            || (self.parked() == count).then_some(()),
        );
    }

    /// How many lines of the access log have every one of `parts`.
    pub(crate) fn count_logged(&self, parts: &[&str]) -> usize {
        let text = std::fs::read_to_string(self.directory.join("access.log")).unwrap_or_default();
        text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// Descriptors that are open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Resident memory in KiB: `VmRSS`, or `VmHWM` for the most there ever was.
    pub(crate) fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Balancer {
    #[expect(clippy::print_stdout, reason = "the test's own report")]
    fn drop(&mut self) {
        // Workers of its own end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.join("access.log")).unwrap_or_default();
            // Of many lines, those that tell of something.
            let mut lines: Vec<&str> = log.lines().collect();
            if lines.len() > 20 {
                lines.retain(|line| line.contains("\"reason\""));
                lines.truncate(20);
            }
            let log = lines.join("\n");
            println!("stderr of the balancer:\n{}access log:\n{log}", self.stderr.lock().unwrap());
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The program started by a shell that passes its stdin on, once under each of `names` (sd_listen_fds(3)).
pub(crate) fn passing(names: &[&str]) -> Command {
    let descriptors: Vec<String> = (3..3 + names.len()).map(|number| format!("{number}<&0")).collect();
    let script = format!(
        "exec {} </dev/null; export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES='{}'; exec \"$0\" \"$@\"",
        descriptors.join(" "),
        names.len(),
        names.join(":")
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_balancer"));
    command
}

fn follow(pipe: ChildStderr, text: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}
