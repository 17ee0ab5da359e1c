//! `balancer top` in a terminal of its own (script(1) of util-linux makes one).

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::admin::{status, until_ready, workers};
use super::harness::{Balancer, Origin, eventually, pool_of};
use super::program::{PROGRAM, is_alive, needs};

/// A terminal of 80 × 24 in which `top` runs, then a shell that says how it ended and how the terminal is.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn of(balancer: &Balancer) -> Self {
        let file = balancer.directory().join("lb.toml");
        let top = format!("exec {PROGRAM} top --every 200ms --config {}", file.display());
        let line = format!("stty rows 24 cols 80; sh -c 'echo pid=$$; {top}'; echo ended=$?; stty -a; echo over");
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--command", &line, "/dev/null"]);
        command.env("XDG_RUNTIME_DIR", balancer.directory()).env("TERM", "xterm").env("SHELL", "/bin/sh");
        command.env_remove("BALANCER_SOCKET").env_remove("NO_COLOR");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (keys, mut output, shown) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let into = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                into.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { child, keys, shown }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until it has shown that.
    fn until(&self, part: &str) -> String {
        eventually(|| format!("{part:?} in {:?}", self.text()), || self.text().contains(part).then(|| self.text()))
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// The process, once it has the screen and has drawn on it.
    fn pid(&self) -> i32 {
        let text = self.until("ready");
        assert!(text.contains("\u{1b}[?1049h"), "{text:?}");
        text.split_once("pid=").unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Waits for the end: the screen is given back, and the terminal shows what is typed, line by line.
    fn assert_restored(&self, code: i32) {
        let text = self.until("over\r\n");
        let (before, after) =
            text.split_once("\u{1b}[?1049l\u{1b}[?25h").unwrap_or_else(|| panic!("not given back: {text:?}"));
        assert!(before.contains("\u{1b}[?1049h") && after.contains(&format!("ended={code}")), "{text:?}");
        for mode in ["icanon", "echo", "isig"] {
            assert!(after.contains(mode) && !after.contains(&format!("-{mode} ")), "no {mode} in {after}");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[cfg_attr(not(has = "script"), ignore = "needs script")]
fn top_shows_workers_takes_orders_after_a_question_and_gives_the_terminal_back() {
    needs("script");
    let balancer = Balancer::start("", &workers(2));
    until_ready(&balancer, 2);
    let mut terminal = Terminal::of(&balancer);
    terminal.pid();
    terminal.until("app.2");
    let state = |index: usize| status(&balancer)["pools"][0]["endpoints"][index]["state"].clone();
    terminal.press("dn");
    terminal.until("nothing was done");
    assert_eq!(state(0), "up");
    terminal.press("dy");
    eventually(|| format!("drained, not {}", state(0)), || (state(0) == "drained").then_some(()));
    // Of what was there before, only what differs is written.
    terminal.until("drained");
    terminal.press("q");
    terminal.assert_restored(0);
}

#[test]
#[cfg_attr(not(has = "script"), ignore = "needs script")]
fn a_signal_gives_the_terminal_back() {
    needs("script");
    let balancer = Balancer::start("", &pool_of(&[&Origin::named("1")]));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let terminal = Terminal::of(&balancer);
        kill(Pid::from_raw(terminal.pid()), signal).unwrap();
        terminal.assert_restored(0);
    }
}

#[test]
#[cfg_attr(not(has = "script"), ignore = "needs script")]
fn top_goes_on_without_its_instance_and_ends_with_its_terminal() {
    needs("script");
    let balancer = Balancer::start("", &pool_of(&[&Origin::named("1")]));
    let mut terminal = Terminal::of(&balancer);
    let pid = terminal.pid();
    balancer.signal(Signal::SIGKILL);
    terminal.until("NO");
    terminal.until("ANSWER");
    assert!(is_alive(pid));
    terminal.child.kill().unwrap();
    eventually(|| format!("the end of {pid}"), || (!is_alive(pid)).then_some(()));
}

#[test]
fn without_a_terminal_or_an_instance_top_says_so() {
    let balancer = Balancer::start("", &pool_of(&[&Origin::named("1")]));
    assert_eq!(
        balancer.run(&["top"]),
        (1, "balancer: top needs a terminal; `balancer status` says the same once\n".to_owned())
    );
}
