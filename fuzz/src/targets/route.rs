//! Route patterns: however a path is spelled, it goes where the path goes.

use std::sync::Arc;

use balancer::config::parse;
use balancer::pool::Pool;
use balancer::route::Table;

pub(crate) const WORDS: &[&str] = &[
    "/",
    "//",
    "/a",
    "/a/",
    "/a/b",
    "/../",
    "/./",
    "%2e",
    "%2f",
    "%61",
    "%",
    "%00",
    "*",
    "*.x.test",
    "x.test",
    "X.TEST:80",
    "[::1]:80",
    ".",
    "\n",
];

/// Lines: a path to ask for, a host to ask for, then patterns, a path and a host in turn.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let (path, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut config =
        String::from("listen = \"127.0.0.1:0\"\n[pool.rest]\nendpoints = [\"a:1\"]\n[[route]]\npool = \"rest\"\n");
    let patterns: Vec<&str> = lines.take(12).collect();
    for (index, pattern) in patterns.chunks(2).enumerate() {
        let path = quoted(pattern[0]);
        config.push_str(&format!(
            "[pool.p{index}]\nendpoints = [\"a:{}\"]\n[[route]]\npool = \"p{index}\"\npath = {path}\n",
            index + 1
        ));
        if let Some(host) = pattern.get(1).filter(|host| !host.is_empty()) {
            config.push_str(&format!("host = {}\n", quoted(host)));
        }
    }
    let Ok(config) = parse(&config, "lb.toml") else { return };
    let pools: Vec<Arc<Pool>> = config.pools.iter().map(Pool::new).collect();
    let table = Table::new(&config.routes, &pools);
    // `None` where servers read it differently: then it goes nowhere.
    let find = |host: &str, path: &str| {
        let found = table.find(host.as_bytes(), path).ok()?;
        Some(found.map(|pool| pool.name().to_string()))
    };
    let same = |one: &str, other: &str| match (find(host, one), find(host, other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let found = find(host, path);
    // Only what is no path at all can miss the route that takes every path.
    if path.starts_with('/') {
        assert_ne!(found, Some(None), "{path:?} at {host:?}");
        assert!(same(&format!("/.{path}"), &format!("/%2e{path}")), "{path:?} at {host:?}");
        assert!(same(&format!("/x/..{path}"), &format!("/./{path}")), "{path:?} at {host:?}");
        // An encoded letter is the letter.
        if let Some(letter) = path.find(|c: char| c.is_ascii_alphabetic())
            && !path[..letter].contains('%')
        {
            let encoded = format!("{}%{:02X}{}", &path[..letter], path.as_bytes()[letter], &path[letter + 1..]);
            assert!(same(&format!("/./{encoded}"), &format!("/./{path}")), "{path:?} at {host:?}");
        }
    }
    assert_eq!(
        find(&host.to_uppercase(), path),
        find(&host.to_uppercase().to_lowercase(), path),
        "{path:?} at {host:?}"
    );
}

/// As TOML has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
