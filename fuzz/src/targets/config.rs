//! A configuration: right, or every mistake shown at its place.

use balancer::config::parse;

pub(crate) const WORDS: &[&str] = &[
    "listen = ",
    "\"127.0.0.1:0\"",
    "[pool.app]",
    "[pool.app.workers]",
    "[[route]]",
    "[access_log]",
    "endpoints = [",
    "]",
    "policy = ",
    "\"hash\"",
    "hash_key = ",
    "\"header:X\"",
    "\"cookie:\"",
    "affinity = { cookie = \"lb\" }",
    "weight = ",
    "backup = true",
    "\"unix:/a\"",
    "\"[::1]:80\"",
    "command = [\"a\", \"{port}\"]",
    "count = \"cpus\"",
    "ready = { path = \"/\" }",
    "\"1m 30s\"",
    "\"64KiB\"",
    "\"20%\"",
    "\"\"\"",
    "'''",
    "\\u0000",
    "\\U0010FFFF",
    "é",
    "\u{1F600}",
    "\u{202e}",
    "0x",
    "-1",
    "1e999",
    "nan",
    "18446744073709551616",
    "1979-05-27",
    "{",
    "}",
    "[",
    "[[",
    "=",
    "#",
    "\n",
    "\r\n",
    "\t",
];

pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(mistakes) = parse(&text, "lb.toml") {
        for color in [false, true] {
            assert!(!mistakes.render(color).is_empty());
        }
    }
}
