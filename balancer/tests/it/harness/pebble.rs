//! A CA that gives certificates by ACME: Pebble of Let's Encrypt, with a DNS server in which every name leads here.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::secure::{Authority, Speaks};
use super::{directory, eventually, free_port};

/// The CA; ended when dropped.
pub(crate) struct Pebble {
    /// Where it looks whether a name is ours, by requests.
    pub(crate) http: u16,
    /// The same by handshakes.
    pub(crate) tls: u16,
    /// Who vouches for its own server.
    authority: Authority,
    directory: PathBuf,
    listens: u16,
    manages: u16,
    running: Vec<Child>,
}

impl Pebble {
    /// One that runs.
    pub(crate) fn start() -> Self {
        let mut pebble = Self::prepared("");
        pebble.run();
        pebble
    }

    /// One that does not run yet; `more` are further keys of its configuration.
    pub(crate) fn prepared(more: &str) -> Self {
        let (authority, directory) = (Authority::new(), directory());
        let (certificate, key) = authority.issue(&["localhost", "127.0.0.1"]);
        let [http, tls, listens, manages] = [(); 4].map(|()| free_port());
        std::fs::write(directory.join("server.pem"), certificate).unwrap();
        std::fs::write(directory.join("server.key"), key).unwrap();
        std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{listens}", "managementListenAddress": "127.0.0.1:{manages}",
                "certificate": "server.pem", "privateKey": "server.key", "httpPort": {http}, "tlsPort": {tls} {more}}}}}"#
        );
        std::fs::write(directory.join("pebble.json"), config).unwrap();
        Self { http, tls, authority, directory, listens, manages, running: Vec::new() }
    }

    /// Starts it, with one nonce in five refused, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let dns = free_port();
        let names = [
            "-dns01",
            &format!("127.0.0.1:{dns}"),
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ];
        let manages = format!("127.0.0.1:{}", free_port());
        self.spawn("names.log", Command::new("pebble-challtestsrv").args(names).args(["-management", &manages]));
        let mut command = Command::new("pebble");
        command.args(["-config", "pebble.json", "-dnsserver", &format!("127.0.0.1:{dns}")]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "20");
        // Each order is to be proved.
        self.spawn("pebble.log", command.env("PEBBLE_AUTHZREUSE", "0"));
        for port in [self.listens, self.manages] {
            eventually(
                || format!("pebble at port {port}: {}", self.log()),
                || TcpStream::connect(("127.0.0.1", port)).ok(),
            );
        }
    }

    /// Ends it; what it has given is forgotten.
    pub(crate) fn end(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Keys of `[tls]` that lead to it.
    pub(crate) fn keys(&self) -> String {
        let ca = self.directory.join("ca.pem");
        format!("directory = \"https://localhost:{}/dir\"\ndirectory_ca = {ca:?}\n", self.listens)
    }

    /// A client that believes what it has given.
    pub(crate) fn believed(&self) -> Speaks {
        let address: SocketAddr = ([127, 0, 0, 1], self.manages).into();
        let mut asked = Speaks::believing(&self.authority).to(address, "localhost").unwrap();
        let answer = asked.get("/roots/0");
        Speaks::believing_pem(answer.split_once("\r\n\r\n").unwrap().1)
    }

    /// How often a certificate was ordered.
    pub(crate) fn orders(&self) -> usize {
        self.log().matches("POST /order-plz").count()
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("pebble.log")).unwrap_or_default()
    }

    fn spawn(&mut self, log: &str, command: &mut Command) {
        let log = std::fs::File::create(self.directory.join(log)).unwrap();
        command.current_dir(&self.directory).stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        self.running.push(command.spawn().unwrap());
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Pebble {
    #[expect(clippy::print_stdout, reason = "the test's own report")]
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            println!("pebble:\n{}", self.log());
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
