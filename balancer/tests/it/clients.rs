//! Who the client is, for all that depends on it.

use std::collections::BTreeSet;

use super::harness::{Balancer, Client, Gate, Message, Origin, directory, eventually, pool_of};
use super::slots::{count, held_by, slots_of};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";

/// Sends a GET with these fields.
fn ask(client: &mut Client, fields: &str) {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
}

fn asked(client: &mut Client, fields: &str) -> Message {
    ask(client, fields);
    client.response()
}

#[test]
fn behind_a_trusted_proxy_a_hash_by_client_spreads_clients_and_keeps_each() {
    let origins = ["1", "2", "3"].map(Origin::named);
    let pool = format!("{}policy = \"hash\"\n", pool_of(&[&origins[0], &origins[1], &origins[2]]));
    let balancer = Balancer::start(TRUSTED, &pool);
    let mut proxy = Client::of(&balancer);
    let mut seen = BTreeSet::new();
    for number in 1..=30 {
        let endpoint = asked(&mut proxy, &format!("X-Forwarded-For: 192.0.2.{number}\r\n")).text();
        for same in [
            format!("X-Forwarded-For: 6.6.6.{number}, 192.0.2.{number}\r\n"),
            format!("X-Forwarded-For: 192.0.2.{number}:{number}\r\n"),
            format!("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.{number}, 10.1.2.3\r\n"),
            format!("Forwarded: for=6.6.6.6, for=\"192.0.2.{number}:80\";proto=https\r\n"),
        ] {
            assert_eq!(asked(&mut proxy, &same).text(), endpoint, "{same}");
        }
        seen.insert(endpoint);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn a_strangers_word_about_itself_changes_neither_its_endpoint_nor_the_log() {
    let origins = ["1", "2", "3"].map(Origin::named);
    let pool = format!("{}policy = \"hash\"\n", pool_of(&[&origins[0], &origins[1], &origins[2]]));
    let balancer = Balancer::start("trusted_proxies = [\"10.0.0.0/8\"]", &pool);
    let mut stranger = Client::of(&balancer);
    let endpoints: BTreeSet<String> =
        (1..=20).map(|number| asked(&mut stranger, &format!("X-Forwarded-For: 192.0.2.{number}\r\n")).text()).collect();
    assert_eq!(endpoints.len(), 1, "{endpoints:?}");
    eventually(|| "20 lines".into(), || (count(&balancer, "\"client\":\"127.0.0.1\"") == 20).then_some(()));
}

#[test]
fn the_log_has_the_client_that_trusted_proxies_name() {
    let path = directory().join("lb.sock");
    let origin = Origin::named("1");
    let top = format!("{TRUSTED}\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let balancer = Balancer::start(&top, &pool_of(&[&origin]));
    for (number, (fields, client)) in [
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.2\r\n", "192.0.2.7"),
        ("X-Forwarded-For: [2001:db8::1]:443\r\n", "2001:db8::1"),
        ("Forwarded: for=6.6.6.6, for=\"[2001:db8::2]:443\"\r\n", "2001:db8::2"),
        ("X-Forwarded-For: 6.6.6.6, unknown\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        for (how, mut peer) in [("tcp", Client::of(&balancer)), ("unix", Client::unix(&path))] {
            peer.send(format!("GET /{how}/{number} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            assert_eq!(peer.response().status(), 200);
            let line = balancer.logged(&[&format!("\"target\":\"/{how}/{number}\"")]);
            // Nobody has named a client, and the socket's has no address.
            let without = client == "127.0.0.1" && how == "unix";
            assert_eq!(line.contains("\"client\""), !without, "{line}");
            assert!(without || line.contains(&format!("\"client\":\"{client}\"")), "{client}: {line}");
        }
    }
}

#[test]
fn a_clients_share_of_the_queue_is_its_own_behind_a_trusted_proxy_too() {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let balancer = Balancer::start(TRUSTED, &slots_of(&[&origin], "slots = 1\nqueue_max = 10\n"));
    let mut greedy: Vec<Client> = (0..20).map(|_| Client::of(&balancer)).collect();
    // Whatever else it says of itself.
    for (number, client) in greedy.iter_mut().enumerate() {
        ask(client, &format!("X-Forwarded-For: 6.6.6.{number}, 192.0.2.7\r\n"));
    }
    let refused = || (count(&balancer, "\"reason\":\"queue_full\"") == 14).then_some(());
    eventually(|| "20 requests of which 1 is served and 5 wait".into(), refused);
    let mut other = Client::of(&balancer);
    ask(&mut other, "X-Forwarded-For: 192.0.2.8\r\n");
    gate.open();
    assert_eq!(other.response().status(), 200);
    let statuses: Vec<u16> = greedy.iter_mut().map(|client| client.response().status()).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 6, "{statuses:?}");
}

#[test]
fn all_addresses_of_one_ipv6_network_are_one_client() {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let balancer = Balancer::start(TRUSTED, &slots_of(&[&origin], "slots = 1\nqueue_max = 10\n"));
    let mut greedy: Vec<Client> = (0..20).map(|_| Client::of(&balancer)).collect();
    for (number, client) in greedy.iter_mut().enumerate() {
        ask(client, &format!("X-Forwarded-For: 2001:db8:0:1:{number:x}::{number:x}\r\n"));
    }
    let refused = || (count(&balancer, "\"reason\":\"queue_full\"") == 14).then_some(());
    eventually(|| "20 requests of which 1 is served and 5 wait".into(), refused);
    let mut other = Client::of(&balancer);
    ask(&mut other, "X-Forwarded-For: 2001:db8:0:2::1\r\n");
    gate.open();
    assert_eq!(other.response().status(), 200);
}
