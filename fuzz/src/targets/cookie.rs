//! The affinity cookie: ours is known again among whatever else a client sends, and nobody else's is.

use balancer::config::parse;
use balancer::pool::Pool;
use http::header::{COOKIE, HeaderMap, HeaderValue};

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
    let mut headers = HeaderMap::new();
    for value in bytes.split(|&byte| byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).take(100) {
        headers.append(COOKIE, value);
    }
    if let Some(tag) = affinity.wanted(&headers) {
        let digits = format!("{tag:016x}");
        // Space around a value does not belong to it.
        let said = |value: &HeaderValue| {
            let text: String = String::from_utf8_lossy(value.as_bytes()).replace([' ', '\t'], "").to_lowercase();
            text.contains(&format!("lb={digits}"))
        };
        assert!(headers.values().any(said), "{tag:x} of {headers:?}");
    }
    for endpoint in pool.endpoints() {
        let set = affinity.set_cookie(&endpoint).expect("a cookie");
        let pair = set.to_str().expect("ASCII").split(';').next().unwrap_or_default().to_owned();
        let mut headers = headers.clone();
        // Ours comes first: of two with one name the first counts, whatever follows.
        let first = HeaderValue::try_from(pair).expect("a value");
        let others: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
        headers.insert(COOKIE, first);
        for other in others {
            headers.append(COOKIE, other);
        }
        assert_eq!(affinity.wanted(&headers), Some(affinity.tag(&endpoint)), "{headers:?}");
    }
}
