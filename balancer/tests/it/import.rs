//! `import`: other programs' files in, files of ours out; each is what is written down beside it, and right.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::harness::{Client, Origin, ok};
use super::program::{PROGRAM, Program, balancer, eventually, get, needs, printed, repository, said, scratch};

/// The files of other programs, each with what becomes of it beside it (`.toml`), and the exit code.
const FILES: [(&str, i32); 10] = [
    ("nginx/article.conf", 0),
    ("nginx/rails.conf", 1),
    ("nginx/services.conf", 0),
    ("nginx/containers.conf", 1),
    ("procfile/Procfile", 0),
    ("pm2/ecosystem.config.js", 1),
    ("pm2/processes.json", 0),
    ("supervisord/supervisord.conf", 1),
    ("compose/docker-compose.yml", 0),
    ("compose/front.yml", 1),
];

fn inputs() -> PathBuf {
    repository("balancer/tests/import")
}

fn import(directory: &Path, arguments: &[&str]) -> Output {
    balancer(&[&["import"], arguments].concat()).current_dir(directory).output().unwrap()
}

#[test]
fn files_of_other_programs_become_what_is_written_beside_them() {
    for (name, code) in FILES {
        let output = import(&inputs(), &[name]);
        let expected = fs::read_to_string(inputs().join(name).with_extension("toml")).unwrap();
        assert_eq!(printed(&output), expected, "{name}");
        assert_eq!(output.status.code(), Some(code), "{name}: {}", said(&output));
        // What clients see is told to whoever keeps the output in a file.
        assert_eq!(said(&output).is_empty(), code == 0, "{name}: {}", said(&output));
    }
}

#[test]
fn what_was_imported_passes_the_check() {
    for (name, _) in FILES {
        let path = Path::new(name).with_extension("toml");
        let output = balancer(&["check", "--config", path.to_str().unwrap()]).current_dir(inputs()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", said(&output));
    }
}

#[test]
fn the_file_of_the_article_serves_server_1_and_server_2_in_turn() {
    let [one, two] = ["server 1", "server 2"].map(|body| Origin::answering(ok(body)));
    let text = fs::read_to_string(inputs().join("nginx/article.conf")).unwrap();
    let text = text.replace("127.0.0.1:8000", &one.address()).replace("127.0.0.1:8001", &two.address());
    let directory = scratch("import-article");
    fs::write(directory.join("nginx.conf"), text).unwrap();
    let output = import(&directory, &["nginx.conf"]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    let config = printed(&output).replace("\"0.0.0.0:8080\"", "\"127.0.0.1:0\"");
    let program = Program::serve("import-article-served", &config);
    let bodies: Vec<String> = (0..4).map(|_| get(program.address(), "/").unwrap().1).collect();
    assert_eq!(bodies, ["server 1", "server 2", "server 1", "server 2"]);
}

/// A running nginx; killed when dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hosts and paths of several servers, some wider than others, at a socket.
fn servers(directory: &Path, origins: &[Origin]) -> String {
    let place = directory.display();
    let temporary: Vec<String> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .into();
    let pass =
        |path: &str, origin: usize| format!("location {path} {{ proxy_pass http://{}; }}", origins[origin].address());
    let server = |names: &str, locations: &[String]| {
        format!("server {{ listen unix:{place}/nginx.sock; server_name {names}; {} }}\n", locations.join(" "))
    };
    let nested = pass("/deep/er", 2);
    let deep = pass("/deep", 1).replace("; }", &format!("; {nested} }}"));
    let all = [
        server("_", &[pass("/", 0), pass("/api/", 1), deep]),
        server("a.test .b.test", &[pass("/", 3), pass("/deep/er/x", 4)]),
        server("c.b.test", &[pass("/", 5)]),
    ];
    let main = format!("daemon off; master_process off; worker_processes 1; pid {place}/pid; error_log stderr;");
    format!("{main}\nevents {{}}\nhttp {{ access_log off; {}\n{} }}\n", temporary.join(" "), all.concat())
}

#[test]
#[cfg_attr(not(has = "nginx"), ignore = "needs nginx")]
fn requests_go_where_nginx_sends_them() {
    needs("nginx");
    let origins = ["web", "api", "deeper", "b", "x", "c"].map(|name| Origin::answering(ok(name)));
    let directory = scratch("import-routes");
    fs::write(directory.join("nginx.conf"), servers(&directory, &origins)).unwrap();
    let output = import(&directory, &["nginx.conf"]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    let ours = directory.join("lb.sock");
    let config = printed(&output).replace(directory.join("nginx.sock").to_str().unwrap(), ours.to_str().unwrap());
    let program = Program::serve("import-routes-served", &config);
    program.stderr.until("listening on unix:");
    let mut nginx = Command::new("nginx");
    nginx.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(&directory).stdin(Stdio::null()).stderr(Stdio::null());
    let _nginx = Nginx(nginx.spawn().unwrap());
    let theirs = directory.join("nginx.sock");
    eventually("nginx listens", || UnixStream::connect(&theirs).is_ok());
    let ask = |socket: &Path, host: &str, path: &str| {
        let mut client = Client::unix(socket);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response().text()
    };
    let mut bodies = BTreeSet::new();
    for host in ["other.test", "a.test", "b.test", "z.b.test", "c.b.test", "A.TEST:80"] {
        for path in ["/", "/api/x", "/apix", "/deep", "/deep/a", "/deep/er", "/deep/er/x", "/deep/er/x/y", "/other"] {
            let (expected, found) = (ask(&theirs, host, path), ask(&ours, host, path));
            assert_eq!(found, expected, "{host}{path}\n{config}");
            bodies.insert(found);
        }
    }
    assert_eq!(bodies.len(), origins.len(), "{bodies:?}");
}

#[test]
fn a_procfile_runs_as_it_is_imported() {
    let directory = scratch("import-procfile");
    fs::write(directory.join("Procfile"), format!("web: {PROGRAM} backend $PORT\njobs: sleep 1000 # quiet\n")).unwrap();
    fs::write(directory.join(".env"), "GREETING=hello\n").unwrap();
    let output = import(&directory, &["Procfile"]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    assert!(printed(&output).contains("env_file = \".env\""), "{}", printed(&output));
    let config = printed(&output).replace("0.0.0.0:${PORT:-5000}", "127.0.0.1:0");
    fs::write(directory.join("lb.toml"), config).unwrap();
    let mut program = Program::start(balancer(&["--config", "lb.toml"]).current_dir(&directory));
    program.stderr.until("web.1 ");
    eventually("web answers", || {
        get(program.address(), "/").is_some_and(|(status, body)| status == 200 && body.starts_with("server 1"))
    });
    program.stderr.until("jobs.1 ");
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_nothing_is_printed() {
    let directory = scratch("import-unreadable");
    fs::write(directory.join("empty.conf"), "\n").unwrap();
    fs::write(directory.join("image.conf"), b"\x89PNG\r\n\x1a\n\0\0").unwrap();
    fs::write(directory.join("zeros.conf"), [0; 64]).unwrap();
    fs::write(directory.join("notes.txt"), "buy milk\n").unwrap();
    fs::write(directory.join("large.conf"), "#\n".repeat(600_000)).unwrap();
    fs::write(directory.join("ecosystem.config.js"), "const a = require('a');\nmodule.exports = a;\n").unwrap();
    fs::write(directory.join("docker-compose.yml"), "services:\n\tweb: {}\n").unwrap();
    fs::write(directory.join("open.conf"), "http {\n  server {\n").unwrap();
    for (name, expected) in [
        ("nothing.conf", "cannot read nothing.conf: No such file or directory (os error 2)\n"),
        (".", "cannot read .: Is a directory (os error 21)\n"),
        ("empty.conf", "empty.conf is empty: there is nothing to import\n"),
        ("image.conf", "cannot read image.conf: not UTF-8 text: line 1, column 1\n"),
        ("zeros.conf", "cannot read zeros.conf: it is no text\n"),
        ("notes.txt", "notes.txt: neither its name nor its text tells what it is a file of: add --kind "),
        ("large.conf", "cannot read large.conf: it has more than 1 MiB\n"),
        (
            "ecosystem.config.js",
            "ecosystem.config.js:1: `const a = require('a');` is computed, and nothing is run here.",
        ),
        ("docker-compose.yml", "docker-compose.yml:2: that is no YAML: "),
        ("open.conf", "open.conf:2: `server {` is not closed, nor is the block around it: add the `}`\n"),
    ] {
        let output = import(&directory, &[name]);
        assert_eq!((output.status.code(), printed(&output).as_str()), (Some(78), ""), "{name}");
        assert!(said(&output).starts_with(expected), "{name}: {}", said(&output));
    }
}

#[test]
fn the_kind_of_a_file_can_be_said() {
    let directory = scratch("import-kind");
    fs::write(directory.join("site"), "include more/app;\n").unwrap();
    fs::create_dir(directory.join("more")).unwrap();
    fs::write(directory.join("more/app"), "server { location / { proxy_pass http://127.0.0.1:3000; } }").unwrap();
    assert_eq!(import(&directory, &["site"]).status.code(), Some(78));
    let output = import(&directory, &["--kind", "nginx", "site"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(printed(&output).ends_with("listen = \"0.0.0.0:80\"\n\n[pool.app]\nendpoints = [\"127.0.0.1:3000\"]\n"));
}

#[test]
fn a_file_with_nothing_to_serve_says_so() {
    let directory = scratch("import-nothing");
    fs::write(directory.join("nginx.conf"), "server { listen 80; root /srv; }\n").unwrap();
    let output = import(&directory, &["nginx.conf"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).lines().all(|line| line.starts_with('#')), "{}", printed(&output));
    assert!(said(&output).ends_with("nginx.conf: nothing in it can be served here: no pool came of it\n"));
}
