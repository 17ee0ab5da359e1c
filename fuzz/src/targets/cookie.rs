//! The affinity cookie: ours is known again among whatever else a client sends, and nobody else's is.

use balancer::config::parse;
use balancer::http1::{Fields, Name};
use balancer::pool::Pool;
use http::HeaderValue;

pub(crate) const WORDS: &[&str] = &[
    "lb",
    "lb=",
    "=",
    ";",
    "; ",
    ", ",
    "\"",
    "0123456789abcdef",
    "lb=0123456789abcdef",
    "+123456789abcdef",
    "\t",
    "\n",
];

/// Lines are fields.
pub(crate) fn run(bytes: &[u8]) {
    let text = "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"a:1\", \"b:1\"]\naffinity = { cookie = \"lb\" }\n";
    let config = parse(text, "lb.toml").expect("a configuration");
    let pool = Pool::new(&config.pools[0]);
    let affinity = pool.affinity().expect("affinity");
    let lines: Vec<&[u8]> =
        bytes.split(|&byte| byte == b'\n').filter(|line| HeaderValue::from_bytes(line).is_ok()).take(100).collect();
    let fields = cookies(lines.iter().copied());
    if let Some(tag) = affinity.wanted(&fields) {
        let digits = format!("{tag:016x}");
        // Space around a value does not belong to it.
        let said = |value: &[u8]| {
            let text: String = String::from_utf8_lossy(value).replace([' ', '\t'], "").to_lowercase();
            text.contains(&format!("lb={digits}"))
        };
        assert!(fields.all(Name::Cookie).any(said), "{tag:x} of {fields:?}");
    }
    for endpoint in pool.endpoints() {
        let set = affinity.set_cookie(&endpoint);
        let pair = set.split(';').next().unwrap_or_default();
        // Ours comes first: of two with one name the first counts, whatever follows.
        let fields = cookies(std::iter::once(pair.as_bytes()).chain(lines.iter().copied()));
        assert_eq!(affinity.wanted(&fields), Some(affinity.tag(&endpoint)), "{fields:?}");
    }
}

fn cookies<'a>(values: impl Iterator<Item = &'a [u8]>) -> Fields {
    let mut fields = Fields::default();
    values.for_each(|value| fields.append("Cookie", value));
    fields
}
