//! The structure of the source: layers and circles, and how long files and functions are; the picture is in `ARCHITECTURE.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::{Crate, circles, collect};

/// Each room's layer: where it stands here.
const LAYERS: [&[&str]; 10] = [
    &["config", "drain", "http1", "proxy_protocol", "shown"],
    &["net", "tls", "trust"],
    &["listen", "observe", "endpoint", "spool", "acme"],
    &["pick"],
    &["pool"],
    &["route", "probe", "share"],
    &["forward", "supervise", "discover"],
    &["proxy", "admin"],
    &["app"],
    &["cli"],
];

#[test]
fn a_room_imports_only_lower_layers() {
    let mut wrong = Vec::new();
    for (room, text) in rooms() {
        for import in text.split("crate::").skip(1).flat_map(imported) {
            // A room's own files may name each other by the full path.
            if import != room && layer(&import) >= layer(&room) {
                wrong.push(format!("{room} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (name, all) in crates() {
        let wrong = circles(&all.imports());
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

/// A file directly in a room counts by itself.
#[test]
fn no_sub_rooms_import_each_other_in_a_circle() {
    let sub_room = |module: &[String]| module[..module.len().min(2)].to_vec();
    for (name, all) in crates() {
        let mut edges: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (from, others) in all.imports() {
            let others = others.iter().map(|other| sub_room(other)).filter(|other| *other != sub_room(&from));
            edges.entry(sub_room(&from)).or_default().extend(others);
        }
        let wrong = circles(&edges);
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[test]
fn a_circle_is_found_however_its_names_are_written() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    let found = |files: &[(&str, &str)]| {
        let all = Crate::of(files.iter().map(|(path, text)| (module(path), (*text).to_owned())));
        circles(&all.imports())
    };
    let both = ["a/x imports a/y", "a/y imports a/x"];
    let room = ("a", "mod x; mod y; pub use x::X; pub use y::Y as Z;");
    assert_eq!(found(&[room, ("a::x", "use super::y::Y; struct X;"), ("a::y", "use super::x::X; struct Y;")]), both);
    let grouped = ("a::x", "use crate::a::{y::{self, Y}}; struct X;");
    assert_eq!(found(&[room, grouped, ("a::y", "fn f() { super::x::X } struct Y;")]), both);
    assert_eq!(found(&[room, ("a::x", "use super::Z; struct X;"), ("a::y", "use crate::a::X; struct Y;")]), both);
    // Neither one way only, nor for a test, nor in a comment, nor by handing on.
    assert!(found(&[room, ("a::x", "struct X;"), ("a::y", "use super::X; /// `super::Z`\nstruct Y;")]).is_empty());
    let test = "struct X; #[cfg(test)] mod tests { use super::super::y::Y; }";
    assert!(found(&[room, ("a::x", test), ("a::y", "use super::X; pub(in crate::a) struct Y;")]).is_empty());
}

#[test]
fn functions_fit_on_a_screen() {
    let mut long = Vec::new();
    for (_, all) in crates() {
        for (module, file) in all.files() {
            let functions = file.functions.iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
            long.extend(functions.map(|(name, lines)| format!("{}: {name} has {lines} lines", module.join("/"))));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn files_without_their_tests_are_short() {
    for (name, all) in crates() {
        let long: Vec<String> = all
            .files()
            .iter()
            .filter(|(_, file)| file.lines > FILE_LINES_MAX)
            .map(|(module, file)| format!("{} has {} lines", module.join("/"), file.lines))
            .collect();
        assert!(long.is_empty(), "{name}: {long:#?}");
        let mut lines: Vec<usize> = all.files().values().map(|file| file.lines).collect();
        lines.sort_unstable();
        let median = lines[lines.len() / 2];
        assert!(median <= MEDIAN_LINES_MAX, "{name}: half of the files have more than {median} lines");
    }
}

/// A runtime of a proxy thread has no clock, so that what waits with the runtime's own would panic there.
#[test]
fn what_runs_on_proxy_threads_waits_with_the_timer_of_net() {
    let on_proxy_threads =
        ["listen", "forward", "observe", "proxy", "pool", "pick", "endpoint", "route", "http1", "spool"];
    let mut wrong = Vec::new();
    for (room, text) in rooms() {
        let lines = text.lines().filter(|line| line.contains("tokio::time") || line.contains("time::{sleep"));
        wrong.extend(lines.filter(|_| on_proxy_threads.contains(&&*room)).map(|line| format!("{room}: {line}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_has_a_layer() {
    let map = fs::read_to_string(source().join("lib.rs")).unwrap();
    let declared = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned);
    let found = rooms().into_iter().map(|(room, _)| room);
    for room in declared.chain(found) {
        assert!(LAYERS.iter().any(|rooms| rooms.contains(&&*room)), "{room} has no layer");
    }
}

/// The rooms that follow `crate::`: one, or those of `crate::{a::B, c}`.
fn imported(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect::<String>();
    match rest.strip_prefix('{') {
        None => vec![name(rest)],
        Some(list) => list.split_once("};").map_or(list, |(list, _)| list).split(',').map(name).collect(),
    }
}

fn layer(room: &str) -> usize {
    LAYERS.iter().position(|rooms| rooms.contains(&room)).unwrap_or(usize::MAX)
}

/// Every file below `src/`, by the room it belongs to.
fn rooms() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&source(), &mut files);
    let root = ["lib.rs", "main.rs"].map(|file| source().join(file));
    files.retain(|file| !root.contains(file));
    let room = |file: &Path| {
        let below = file.strip_prefix(source()).unwrap().components().next().unwrap();
        below.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    files.iter().map(|file| (room(file), fs::read_to_string(file).unwrap())).collect()
}

/// Our programs, but for those that only measure and try them.
fn crates() -> [(&'static str, Crate); 2] {
    let backend = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/src");
    [("balancer", Crate::read(&source())), ("backend", Crate::read(&backend))]
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A function is read at one look.
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 300;
const MEDIAN_LINES_MAX: usize = 120;
