//! Link-local addresses, which count on one interface alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::harness::{Balancer, Client, Origin, pool_at};
use crate::program::{needs, needs_root, tool};

/// The thread, and all that it starts, is in a network of its own, with one link-local address on `lo`.
#[test]
#[cfg_attr(not(all(has = "root", has = "ip")), ignore = "needs root and ip")]
fn addresses_with_a_zone_are_listened_on_and_connected_to() {
    needs_root();
    needs("ip");
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    tool(Command::new("ip").args(["link", "set", "lo", "up"]));
    tool(Command::new("ip").args(["address", "add", "fe80::1/64", "dev", "lo", "nodad"]));
    let origin = Origin::start_at("[fe80::1%1]:0", |mut exchange| {
        while exchange.request().is_some() && exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nzone") {}
    });
    // By the interface's name and by its number.
    for zone in ["lo", "1"] {
        let endpoint = origin.address().replace("%1", &format!("%{zone}"));
        let listen = format!("listen = \"[fe80::1%{zone}]:0\"");
        let balancer = Balancer::start(&listen, &pool_at(&[endpoint]));
        assert!(balancer.address().to_string().starts_with("[fe80::1%1]:"), "{}", balancer.address());
        assert_eq!(Client::of(&balancer).get("/").text(), "zone");
        let (code, status) = balancer.run(&["status"]);
        assert!(code == 0 && status.contains("[fe80::1%1]:") && status.contains(" up "), "{status}");
    }
}
