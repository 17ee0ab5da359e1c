//! `import`: other programs' files in, files of ours out; each is what is written down beside it, and right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::harness::{Origin, ok};
use super::program::{Program, balancer, get, printed, repository, said, scratch};

/// The files of other programs, each with what becomes of it beside it (`.toml`), and the exit code.
const FILES: &[(&str, i32)] =
    &[("nginx/article.conf", 0), ("nginx/rails.conf", 1), ("nginx/services.conf", 0), ("nginx/containers.conf", 1)];

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
        assert_eq!(output.status.code(), Some(*code), "{name}: {}", said(&output));
        // What clients see is told to whoever keeps the output in a file.
        assert_eq!(said(&output).is_empty(), *code == 0, "{name}: {}", said(&output));
    }
}

#[test]
fn what_was_imported_passes_the_check() {
    for (name, _) in FILES {
        let path = inputs().join(name).with_extension("toml");
        let output = balancer(&["check", "--config", path.to_str().unwrap()]).output().unwrap();
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

#[test]
fn a_file_that_cannot_be_read_is_told_and_nothing_is_printed() {
    let directory = scratch("import-unreadable");
    fs::write(directory.join("empty.conf"), "\n").unwrap();
    fs::write(directory.join("image.conf"), b"\x89PNG\r\n\x1a\n\0\0").unwrap();
    fs::write(directory.join("zeros.conf"), [0; 64]).unwrap();
    fs::write(directory.join("notes.txt"), "buy milk\n").unwrap();
    fs::write(directory.join("large.conf"), "#\n".repeat(600_000)).unwrap();
    fs::write(directory.join("open.conf"), "http {\n  server {\n").unwrap();
    for (name, expected) in [
        ("nothing.conf", "cannot read nothing.conf: No such file or directory (os error 2)\n"),
        (".", "cannot read .: Is a directory (os error 21)\n"),
        ("empty.conf", "empty.conf is empty: there is nothing to import\n"),
        ("image.conf", "cannot read image.conf: not UTF-8 text: line 1, column 1\n"),
        ("zeros.conf", "cannot read zeros.conf: it is no text\n"),
        ("notes.txt", "notes.txt: neither its name nor its text tells what it is a file of: add --kind "),
        ("large.conf", "cannot read large.conf: it has more than 1 MiB\n"),
        ("open.conf", "open.conf:2: `server {` is not closed, and 1 blocks around it neither: add the `}`\n"),
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
