//! Root starts it, `user` is what it becomes: what commands still find, and what it may not do any more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use balancer::admin::name_of;
use nix::unistd::User;

use super::harness::directory;
use crate::program::{Program, balancer, needs_root, printed, said};

#[test]
#[cfg_attr(not(has = "root"), ignore = "needs root")]
fn commands_find_an_instance_that_has_become_another_user_and_its_token_may_be_roots_alone() {
    needs_root();
    let place = Place::new();
    let token = place.0.join("token");
    fs::write(&token, "a-long-random-word-0\n").unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let socket = place.0.join("made").join("admin.sock");
    for admin in [String::new(), format!("socket = {socket:?}\n")] {
        let config = format!(
            "listen = \"127.0.0.1:0\"\nuser = \"nobody\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n\
             [admin]\naddress = \"127.0.0.1:0\"\ntoken_file = {token:?}\n{admin}"
        );
        let file = place.config(&config);
        let mut program = Program::start(balancer(&["--config", file.to_str().unwrap()]).env_remove("XDG_RUNTIME_DIR"));
        let log = program.stderr.until("listening on 127.0.0.1:");
        let address = log.split_once("admin service on http://").unwrap().1.split('/').next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\nAuthorization: Bearer a-long-random-word-0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 ") && answer.contains("balancer_build_info"), "{answer}");
        let output = place.command("status", &file);
        assert_eq!(output.status.code(), Some(0), "{}\n{}", said(&output), program.stderr.now());
        // The token is not looked for again, now that it could not be read.
        let output = place.command("reload", &file);
        assert_eq!(
            (output.status.code(), said(&output).ends_with("\nnothing to do\n")),
            (Some(0), true),
            "{}",
            printed(&output)
        );
        if !admin.is_empty() {
            let nobody = User::from_name("nobody").unwrap().unwrap().uid.as_raw();
            let owners = [socket.parent().unwrap(), &socket].map(|path| fs::metadata(path).unwrap().uid());
            assert_eq!(owners, [nobody; 2]);
        }
        let output = place.command("stop", &file);
        assert_eq!((output.status.code(), said(&output).starts_with("stopped ")), (Some(0), true));
        assert!(program.wait().success());
    }
    assert!(!socket.exists(), "it could remove what is its own");
}

#[test]
#[cfg_attr(not(has = "root"), ignore = "needs root")]
fn a_number_that_is_in_no_user_database_will_do() {
    needs_root();
    let place = Place::new();
    let pool = "[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n";
    let file = place.config(&format!("listen = \"127.0.0.1:0\"\nuser = 54321\ngroup = 54322\n{pool}"));
    let mut program = Program::start(balancer(&["--config", file.to_str().unwrap()]).env_remove("XDG_RUNTIME_DIR"));
    program.stderr.until("listening on 127.0.0.1:");
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    for line in ["Uid:\t54321\t54321\t54321\t54321\n", "Gid:\t54322\t54322\t54322\t54322\n", "Groups:\t54322 \n"] {
        assert!(status.contains(line), "{status}");
    }
    assert_eq!(place.command("status", &file).status.code(), Some(0));
    assert_eq!(program.stop(), Some(0));
}

#[test]
#[cfg_attr(not(has = "root"), ignore = "needs root")]
fn port_80_is_roots_and_all_that_runs_behind_it_is_nobodys() {
    let place = Place::new();
    let worker = format!("command = [{:?}, \"backend\"]\ncount = 2\n", super::program::PROGRAM);
    let file = place.config(&format!(
        "listen = \"127.0.0.1:80\"\nuser = \"nobody\"\n[pool.app.workers]\n{worker}\
         [pool.own.workers]\n{worker}mode = \"handoff\"\naddress = \"127.0.0.1:81\"\n"
    ));
    // In a network of its own, so that the ports are free; with more groups than root has by itself.
    let mut command = Command::new("unshare");
    let script = "ip link set lo up && exec setpriv --groups 0,4,24 \"$0\" \"$@\"";
    command.args(["--net", "sh", "-c", script, super::program::PROGRAM, "--config"]).arg(&file);
    let mut program = Program::start(command.env_remove("XDG_RUNTIME_DIR").env_remove("RUST_LOG"));
    program.stderr.until_count(" is ready at ", 2);
    let said = program.stderr.until_count(" takes connections of ", 2);
    assert!(!said.contains("run as root"), "{said}");
    let net = fs::File::open(format!("/proc/{}/ns/net", program.pid())).unwrap();
    let ask = || {
        nix::sched::setns(net, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        ["127.0.0.1:80", "127.0.0.1:81"].map(|address| super::program::get(address.parse().unwrap(), "/info").unwrap())
    };
    let answers = std::thread::scope(|scope| scope.spawn(ask).join().unwrap());
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid, nobody.gid);
    for (status, info) in answers {
        assert!(status == 200 && info.contains(&format!("uid: {uid}\ngid: {gid}\n")), "{info}");
    }
    let pids = said.split("(pid ").skip(1).filter_map(|rest| rest.split(')').next()?.parse::<i32>().ok());
    let pids: std::collections::BTreeSet<i32> = pids.chain([program.pid()]).collect();
    assert_eq!(pids.len(), 5, "{said}");
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in [
            format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n"),
            format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}\n"),
            format!("Groups:\t{gid} \n"),
        ] {
            assert!(status.contains(&line), "{pid}: {status}");
        }
    }
    assert_eq!(program.stop(), Some(0));
}

#[test]
#[cfg_attr(not(has = "root"), ignore = "needs root")]
fn workers_that_run_as_root_are_told_of_and_started() {
    let place = Place::new();
    let worker = format!("command = [{:?}, \"backend\"]\n", super::program::PROGRAM);
    let warning = "pool app: its workers run as root; write user = ";
    for (user, told) in [("", true), ("user = \"nobody\"\n", false)] {
        let file = place.config(&format!("listen = \"127.0.0.1:0\"\n[pool.app.workers]\n{worker}{user}"));
        let mut program = Program::start(balancer(&["--config", file.to_str().unwrap()]).env_remove("XDG_RUNTIME_DIR"));
        program.until_ready(1);
        assert_eq!(program.stderr.now().contains(warning), told, "{}", program.stderr.now());
        assert_eq!(program.stop(), Some(0));
    }
}

#[test]
#[cfg_attr(not(has = "root"), ignore = "needs root")]
fn check_says_what_the_account_may_not() {
    needs_root();
    let place = Place::new();
    let log = place.0.join("logs").join("access.log");
    fs::create_dir(log.parent().unwrap()).unwrap();
    let file = place.config(&format!(
        "listen = \"127.0.0.1:0\"\nuser = \"nobody\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n[access_log]\npath = {log:?}\n"
    ));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let output = place.command("check", &file);
    for part in [
        format!("warning: user nobody cannot read {}, so there is no reload: ", file.display()),
        format!("warning: user nobody cannot make files in {}, so USR1 ", log.parent().unwrap().display()),
    ] {
        assert!(said(&output).contains(&part), "no {part:?} in {}", said(&output));
    }
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    chown(log.parent().unwrap(), Some(nobody.uid.as_raw()), None).unwrap();
    let output = place.command("check", &file);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    assert_eq!(fs::read_dir(log.parent().unwrap()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
#[cfg_attr(not(has = "root"), ignore = "needs root")]
fn a_strangers_directory_in_front_of_the_own_socket_is_passed_over() {
    needs_root();
    let place = Place::new();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    // As root's /run/balancer, which nobody else may enter.
    let foreign = place.0.join("balancer");
    fs::create_dir(&foreign).unwrap();
    fs::set_permissions(&foreign, Permissions::from_mode(0o700)).unwrap();
    let file = place.config("listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n");
    let temporary = place.0.join("tmp");
    fs::create_dir(&temporary).unwrap();
    fs::set_permissions(&temporary, Permissions::from_mode(0o777)).unwrap();
    // A copy that this account may reach, wherever the program was built.
    let program = place.0.join("program");
    fs::copy(env!("CARGO_BIN_EXE_balancer"), &program).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.args(arguments).arg("--config").arg(&file).env("XDG_RUNTIME_DIR", &place.0).env("TMPDIR", &temporary);
        std::os::unix::process::CommandExt::gid(&mut command, nobody.gid.as_raw());
        std::os::unix::process::CommandExt::uid(&mut command, nobody.uid.as_raw());
        command.env_remove("BALANCER_SOCKET").env_remove("RUST_LOG");
        command
    };
    let output = as_nobody(&["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let expected = format!("cannot ask {}: Permission denied", foreign.join(place.socket()).display());
    assert!(said(&output).contains(&expected), "nobody has answered: {}", said(&output));
    let mut running = Program::start(&mut as_nobody(&[]));
    running.stderr.until("listening on 127.0.0.1:");
    let output = as_nobody(&["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}\n{}", said(&output), running.stderr.now());
    let output = as_nobody(&["stop"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(running.wait().success());
}

/// A directory that everybody may look into, removed afterwards, as is what the usual place is made of.
struct Place(PathBuf, bool);

impl Place {
    fn new() -> Self {
        let directory = directory();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        Self(directory, Path::new(USUAL).exists())
    }

    /// Under a name of its own, for the usual places are everybody's.
    fn config(&self, text: &str) -> PathBuf {
        fs::write(self.file(), text).unwrap();
        self.file()
    }

    fn file(&self) -> PathBuf {
        self.0.join("lb.toml")
    }

    fn socket(&self) -> String {
        format!("{}.sock", name_of(&self.file()))
    }

    fn command(&self, command: &str, file: &Path) -> Output {
        balancer(&[command, "--config", file.to_str().unwrap()]).env_remove("XDG_RUNTIME_DIR").output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new(USUAL).join(self.socket()));
        if !self.1 {
            // Fails where somebody else's is there.
            let _ = fs::remove_dir(USUAL);
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

const USUAL: &str = "/run/balancer";
