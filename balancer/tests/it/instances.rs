//! Several instances on one machine: which of them a command reaches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use nix::sys::signal::Signal;

use crate::harness::{Origin, directory};
use crate::program::{PROGRAM, Program, balancer, eventually, get, printed, said};

/// A place for sockets, and folders with files.
struct Machine(PathBuf);

impl Machine {
    fn new() -> Self {
        Self(directory().canonicalize().unwrap())
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Starts it in a folder.
    fn start(&self, folder: &Path, arguments: &[&str]) -> Program {
        let mut command = balancer(arguments);
        let program = Program::start(command.current_dir(folder).env("XDG_RUNTIME_DIR", &self.0).env("PWD", folder));
        program.stderr.until("listening on ");
        program
    }

    fn command(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = balancer(arguments);
        command.current_dir(folder).env("XDG_RUNTIME_DIR", &self.0).env("PWD", folder).output().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(origin: &Origin) -> String {
    format!("listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"{}\"]\n", origin.address())
}

#[test]
fn a_file_that_is_a_link_is_followed_by_each_reload_and_by_commands() {
    let (machine, origins) = (Machine::new(), [Origin::named("one"), Origin::named("two")]);
    // As Kubernetes publishes a ConfigMap: the folder behind the link is swapped whole and removed.
    let folder = machine.folder("config");
    for (name, origin) in ["..a", "..b"].into_iter().zip(&origins) {
        std::fs::write(machine.folder(&format!("config/{name}")).join("lb.toml"), config(origin)).unwrap();
    }
    let publish = |name: &str| {
        symlink(name, folder.join("..next")).unwrap();
        std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    };
    publish("..a");
    symlink("..data/lb.toml", folder.join("lb.toml")).unwrap();
    let file = folder.join("lb.toml");
    let file = file.to_str().unwrap();
    let program = machine.start(&machine.0, &["--config", file]);
    // The listener must stay: the port is the kernel's choice.
    let address = program.address();
    assert_eq!(get(address, "/").unwrap().1, "one");
    publish("..b");
    std::fs::remove_dir_all(folder.join("..a")).unwrap();
    let output = machine.command(&machine.0, &["status", "--config", file]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    program.signal(Signal::SIGHUP);
    eventually("the other file", || get(address, "/").is_some_and(|(_, body)| body == "two"));
    for file in [file, folder.join("..b/lb.toml").to_str().unwrap()] {
        let output = machine.command(&machine.0, &["reload", "--config", file]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
}

#[test]
fn a_folder_that_is_a_link_is_followed_too() {
    let (machine, origins) = (Machine::new(), [Origin::named("one"), Origin::named("two")]);
    for (name, origin) in ["first", "second"].into_iter().zip(&origins) {
        std::fs::write(machine.folder(name).join("lb.toml"), config(origin)).unwrap();
    }
    let current = machine.0.join("current");
    symlink("first", &current).unwrap();
    let program = machine.start(&current, &[]);
    let address = program.address();
    assert_eq!(get(address, "/").unwrap().1, "one");
    std::fs::remove_file(&current).unwrap();
    symlink("second", &current).unwrap();
    let output = machine.command(&current, &["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(get(address, "/").unwrap().1, "two");
}

#[test]
fn two_files_of_one_name_have_commands_both_and_an_order_says_whom_it_reached() {
    let (machine, origin) = (Machine::new(), Origin::named("1"));
    let folders = ["first", "second"].map(|name| machine.folder(name));
    let mut programs = folders.each_ref().map(|folder| {
        std::fs::write(folder.join("lb.toml"), config(&origin)).unwrap();
        machine.start(folder, &[])
    });
    let list = printed(&machine.command(&machine.0, &["list"]));
    for (program, folder) in programs.iter().zip(&folders) {
        let line = list.lines().find(|line| line.contains(&program.address().to_string()));
        let line = line.unwrap_or_else(|| panic!("{} in {list}", program.address()));
        assert!(line.contains(&program.pid().to_string()) && line.ends_with(folder.join("lb.toml").to_str().unwrap()));
    }
    let reload = machine.command(&folders[1], &["reload"]);
    let second = format!("lb (pid {}, {})", programs[1].pid(), programs[1].address());
    assert_eq!(said(&reload), format!("asked {second}\nnothing to do\n"));
    // Nothing here says which, and a name that both have does not either.
    for arguments in [&["stop"][..], &["stop", "--name", "lb"]] {
        let stop = machine.command(&machine.0, arguments);
        assert_eq!(stop.status.code(), Some(2), "{}", said(&stop));
        assert!(
            programs.iter().all(|one| said(&stop).contains(&format!("lb (pid {}, ", one.pid()))),
            "{}",
            said(&stop)
        );
        let files = folders.each_ref().map(|folder| folder.join("lb.toml").display().to_string());
        assert!(files.iter().all(|file| said(&stop).contains(file)), "by their paths: {}", said(&stop));
    }
    let stop = machine.command(&folders[1], &["stop"]);
    assert_eq!((stop.status.code(), said(&stop)), (Some(0), format!("stopped {second}\n")));
    assert!(programs[1].wait().success());
    let gone = machine.command(&folders[1], &["status"]);
    let file = folders[1].join("lb.toml");
    let text = said(&gone);
    assert_eq!((gone.status.code(), text.lines().count()), (Some(3), 2), "{text}");
    assert!(text.starts_with(&format!("balancer: no running instance serves {}\n", file.display())), "{text}");
    assert_eq!(machine.command(&folders[0], &["status"]).status.code(), Some(0));
}

#[test]
fn an_instance_of_another_folder_is_named_and_left_alone() {
    let machine = Machine::new();
    let (here, elsewhere) = (machine.folder("here"), machine.folder("elsewhere"));
    let arguments = ["run", "-n", "1", "--listen", "127.0.0.1:0", "--", PROGRAM, "backend", "{port}"];
    let mut first = machine.start(&here, &arguments);
    let second = machine.start(&here, &arguments);
    let third = machine.start(&here, &[&["run", "--name", "web"][..], &arguments[1..]].concat());
    let list = printed(&machine.command(&elsewhere, &["list"]));
    for (name, program) in [("run ", &first), ("run-2 ", &second), ("web ", &third)] {
        let has = |line: &str| line.trim_start().starts_with(name) && line.contains(&program.pid().to_string());
        assert!(list.lines().any(has), "{name}: {list}");
    }
    let stop = machine.command(&elsewhere, &["stop"]);
    assert_eq!(stop.status.code(), Some(2), "{}", said(&stop));
    assert!(said(&stop).contains(&format!("web (pid {}, {})", third.pid(), third.address())), "{}", said(&stop));
    let stop = machine.command(&elsewhere, &["stop", "--name", "run"]);
    let expected = format!("stopped run (pid {}, {})\n", first.pid(), first.address());
    assert_eq!((stop.status.code(), said(&stop)), (Some(0), expected));
    assert!(first.wait().success());
    let stop = machine.command(&elsewhere, &["stop", "--name", "run"]);
    assert!(stop.status.code() == Some(3) && said(&stop).contains("no instance is called run"), "{}", said(&stop));
    third.until_ready(1);
    assert_eq!(machine.command(&here, &["status", "--name", "web"]).status.code(), Some(0));
}

#[test]
fn who_runs_without_the_file_of_the_folder_and_holds_its_port_is_named_with_what_to_type() {
    let machine = Machine::new();
    let here = machine.folder("here");
    std::fs::write(here.join("lb.toml"), "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"127.0.0.1:9\"]\n")
        .unwrap();
    let arguments = ["run", "-n", "1", "--listen", "127.0.0.1:0", "--", PROGRAM, "backend", "{port}"];
    let running = machine.start(&here, &arguments);
    let status = machine.command(&here, &["status"]);
    assert_eq!(status.status.code(), Some(3));
    let expected =
        format!("There is run (pid {}, {}); type: balancer status --name run\n", running.pid(), running.address());
    assert!(said(&status).ends_with(&expected), "{}", said(&status));
    let address = running.address().to_string();
    let taken = machine.command(&here, &["run", "--listen", &address, "--", PROGRAM, "backend", "{port}"]);
    assert_eq!(taken.status.code(), Some(1));
    let other = running.address().port() + 1;
    let expected = format!("`balancer stop --name run` ends it, `--listen {other}` takes another port\n");
    assert!(said(&taken).ends_with(&expected), "{}", said(&taken));
}
