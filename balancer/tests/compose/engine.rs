//! A second host: Docker's engine once more, in a network namespace at the other end of a cable that can be pulled.

use std::fs::{File, create_dir_all, remove_dir_all, write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use super::image::{Image, docker, said};
use super::stack::eventually;

/// Where its end of the cable is, and ours.
pub(crate) const THEIRS: &str = "198.18.254.2";
pub(crate) const OURS: &str = "198.18.254.1";

/// The engine; it ends when this is dropped, and all that it has is gone.
pub(crate) struct Engine {
    directory: PathBuf,
    network: String,
    program: Option<Child>,
}

impl Engine {
    /// With the image. `None` where it cannot be, which is said.
    pub(crate) fn start(image: &Image) -> Option<Self> {
        let has = |command: &str| Command::new(command).arg("--version").output().is_ok();
        if !nix::unistd::getuid().is_root() || !["dockerd", "nsenter", "iptables"].into_iter().all(has) {
            eprintln!("not run: a second engine needs root, dockerd, nsenter and iptables");
            return None;
        }
        let network = format!("lb-engine-{}", std::process::id());
        let directory = std::env::temp_dir().join(&network);
        create_dir_all(&directory).unwrap();
        let mut engine = Self { directory, network, program: None };
        let (network, cable) = (&engine.network, CABLE);
        run(&format!("ip netns add {network}"));
        run(&format!("ip link add {cable} type veth peer name eth0 netns {network}"));
        run(&format!("ip address add {OURS}/24 dev {cable}"));
        run(&format!("ip link set {cable} up"));
        engine.within(&format!("ip address add {THEIRS}/24 dev eth0"));
        engine.within("ip link set eth0 up");
        engine.within("ip link set lo up");
        // It looks for the image at a registry first, and is to hear at once that there is none.
        engine.within("iptables -I OUTPUT -p udp --dport 53 -j REJECT");
        write(engine.directory.join("daemon.json"), "{}").unwrap();
        let place = |what: &str| engine.directory.join(what).display().to_string();
        let program = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{network}"))
            .args(["dockerd", "--storage-driver", "vfs", "--config-file", &place("daemon.json")])
            .args(["--data-root", &place("data"), "--exec-root", &place("exec"), "--pidfile", &place("pid")])
            .args(["-H", &engine.socket()])
            .stdout(Stdio::null())
            .stderr(File::create(place("log")).unwrap())
            .spawn()
            .unwrap();
        engine.program = Some(program);
        eventually("the second engine", || engine.command(&["info"]).status.success().then_some(()));
        let saved = place("image.tar");
        docker(&["save", "-o", &saved, image.name()]);
        engine.docker(&["load", "-i", &saved]);
        Some(engine)
    }

    /// What it says; it must succeed.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// From now on nothing goes between the hosts, and nobody is told so.
    pub(crate) fn unplug(&self) {
        self.within("ip link set eth0 down");
    }

    pub(crate) fn plug(&self) {
        self.within("ip link set eth0 up");
    }

    fn command(&self, arguments: &[&str]) -> Output {
        Command::new("docker").args(["-H", &self.socket()]).args(arguments).output().unwrap()
    }

    fn socket(&self) -> String {
        format!("unix://{}/docker.sock", self.directory.display())
    }

    fn within(&self, command: &str) {
        run(&format!("nsenter --net=/run/netns/{} {command}", self.network));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.command(&["swarm", "leave", "--force"]);
        if let Some(mut program) = self.program.take() {
            if std::thread::panicking() {
                let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                log.lines().rev().take(20).for_each(|line| eprintln!("{line}"));
            }
            let containers = self.command(&["ps", "-aq"]);
            let containers = String::from_utf8_lossy(&containers.stdout).into_owned();
            containers.lines().for_each(|container| _ = self.command(&["rm", "-f", container]));
            let pid = nix::unistd::Pid::from_raw(program.id().cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let _ = program.wait();
        }
        for command in [["link", "del", CABLE], ["netns", "del", &self.network]] {
            let _ = Command::new("ip").args(command).output();
        }
        let _ = remove_dir_all(&self.directory);
    }
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", said(&output));
}

const CABLE: &str = "lb-engine";
