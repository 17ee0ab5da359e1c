//! Endpoints at which nobody listens, on a port that the kernel may give to whoever connects.

use std::net::{SocketAddr, TcpListener};

use super::harness::{Balancer, Client, eventually, pool_at};

#[test]
fn an_endpoint_at_which_nobody_listens_is_never_ourselves() {
    const AT_ONCE: usize = 50;
    // The kernel hands its ports out one after the other, every second one to who connects: after so many connects it comes
    // by the port of the endpoint, and then the connection would lead to itself.
    let (first, last) = ephemeral();
    let connects = usize::from(last - first) / 2 + 2_000;
    let endpoint = free_port_like(first);
    let pool = format!("{}eject_after = 0\nattempts_max = 3\n", pool_at(&[endpoint.to_string()]));
    let balancer = Balancer::start("threads = 1", &pool);
    let mut client = Client::of(&balancer);
    for _ in 0..connects / 3 / AT_ONCE {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(AT_ONCE));
        for _ in 0..AT_ONCE {
            let response = client.response();
            assert!(response.status() == 502 && response.text().contains("connect_failed"), "{response:?}");
        }
    }
    let counted = || balancer.count_logged(&["\"attempts\":3", "\"reason\":\"connect_failed\""]);
    let expected = connects / 3 / AT_ONCE * AT_ONCE;
    eventually(|| format!("{expected} lines, not {}", counted()), || (counted() == expected).then_some(()));
}

/// The ports that the kernel gives to whoever connects.
fn ephemeral() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let mut ports = text.split_whitespace().map(|port| port.parse().unwrap());
    (ports.next().unwrap(), ports.next().unwrap())
}

/// A port on which nobody listens, of those that are given to who connects: even if the first one is.
fn free_port_like(first: u16) -> SocketAddr {
    let free = || Some(TcpListener::bind("127.0.0.1:0").ok()?.local_addr().unwrap());
    eventually(
        || "a free port".into(),
        || {
            let below = free()?;
            let address = SocketAddr::new(below.ip(), below.port() - 1);
            let fits = address.port() % 2 == first % 2 && address.port() > first;
            (fits && TcpListener::bind(address).is_ok()).then_some(address)
        },
    )
}
