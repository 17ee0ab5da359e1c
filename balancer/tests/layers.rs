//! A room imports lower layers only; the picture is in `ARCHITECTURE.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room's layer: where it stands here.
const LAYERS: [&[&str]; 10] = [
    &["config", "drain", "http1", "shown", "trust"],
    &["net"],
    &["listen", "observe", "endpoint", "spool"],
    &["pick"],
    &["pool"],
    &["route", "probe"],
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

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
