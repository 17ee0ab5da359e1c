//! Values of options as people write them, and what commands without a file have in common.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use crate::config::{AccessLogFormat, Admin, COUNT_MAX, Config, ListenAddress, Pool};

/// Where clients connect: `8080` for this machine alone, `:8080` for every address, and what the file takes.
pub(super) fn listen(text: &str) -> Result<ListenAddress, String> {
    let port = |text: &str| text.parse::<u16>().ok();
    let tcp = |ip, port| Ok(ListenAddress::Tcp(SocketAddr::new(ip, port)));
    if let Some(port) = port(text).or_else(|| port(text.strip_prefix("localhost:")?)) {
        return tcp(Ipv4Addr::LOCALHOST.into(), port);
    }
    if let Some(port) = text.strip_prefix(['*', ':']).and_then(|rest| port(rest.trim_start_matches(':'))) {
        return tcp(Ipv4Addr::UNSPECIFIED.into(), port);
    }
    text.parse().map_err(|_| {
        "write 8080 or 127.0.0.1:8080 for this machine alone, :8080 for every address, or unix:/path".to_owned()
    })
}

/// How many workers: a number, or `cpus`.
pub(super) fn count(text: &str) -> Result<usize, String> {
    if text == "cpus" {
        return Ok(thread::available_parallelism().map_or(1, usize::from).min(COUNT_MAX));
    }
    let number = text.parse().ok().filter(|number| (1..=COUNT_MAX).contains(number));
    number.ok_or_else(|| format!("write a whole number from 1 to {COUNT_MAX}, or cpus"))
}

/// What an instance is called: a part of a file's name.
pub(super) fn instance_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("write up to {NAME_MAX} letters, digits, - or _")),
    }
}

/// A configuration that nobody wrote: the page is there to be looked at, and requests are told only where somebody asks for it.
pub(super) fn without_file(listen: ListenAddress, pool: Pool, access_log: bool) -> Config {
    let mut config = Config::new(listen, pool);
    config.admin = Admin { address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, PAGE_PORT))), ..Admin::default() };
    if !access_log {
        config.access_log.format = AccessLogFormat::Off;
    }
    config
}

const NAME_MAX: usize = 40;
/// As in the examples; another where it is taken.
const PAGE_PORT: u16 = 9_100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, meant) in [
            ("8080", Some("127.0.0.1:8080")),
            ("localhost:8080", Some("127.0.0.1:8080")),
            (":8080", Some("0.0.0.0:8080")),
            ("*:8080", Some("0.0.0.0:8080")),
            ("0.0.0.0:8080", Some("0.0.0.0:8080")),
            ("[::1]:8080", Some("[::1]:8080")),
            ("unix:/run/lb.sock", Some("unix:/run/lb.sock")),
            ("fd:web", Some("fd:web")),
            ("fd:", None),
            ("fd:a:b", None),
            ("80800", None),
            ("unix:lb.sock", None),
            ("example.com:80", None),
            ("", None),
        ] {
            assert_eq!(listen(text).ok().map(|address| address.to_string()).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn a_number_of_workers_may_be_that_of_the_cpus() {
        assert!(count("cpus").unwrap() >= 1);
        assert_eq!(count("4"), Ok(4));
        assert!(count("0").is_err() && count("5000").is_err() && count("four").is_err());
        assert!(instance_name("run-2").is_ok() && instance_name("../x").is_err() && instance_name("").is_err());
    }
}
