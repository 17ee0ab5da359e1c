//! Where clients come in and which pool they reach.

use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;

use super::harness::{Balancer, Client, Origin, directory, ok, pool_of};

#[test]
fn host_and_path_choose_the_pool() {
    let names = ["www", "api", "wild", "deep"];
    let origins: Vec<Origin> = names.iter().map(|name| Origin::named(name)).collect();
    let mut tables: String = names
        .iter()
        .zip(&origins)
        .map(|(name, origin)| format!("[pool.{name}]\nendpoints = [\"{}\"]\n", origin.address()))
        .collect();
    for (host, path, pool) in [
        ("www.test", "/", "www"),
        ("www.test", "/api", "api"),
        ("*.wild.test", "/", "wild"),
        ("www.test", "/api/deep/", "deep"),
    ] {
        tables.push_str(&format!("[[route]]\nhost = \"{host}\"\npath = \"{path}\"\npool = \"{pool}\"\n"));
    }
    let balancer = Balancer::start("", &tables);
    let mut client = Client::of(&balancer);
    for (host, path, pool) in [
        ("www.test", "/", "www"),
        ("WWW.TEST:8080", "/x", "www"),
        ("www.test", "/api", "api"),
        ("www.test", "/api/x?y", "api"),
        ("www.test", "/apix", "www"),
        ("www.test", "/x/../api/deep/y", "deep"),
        ("www.test", "/%61pi", "api"),
        ("a.wild.test", "/api", "wild"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().text(), pool, "{host} {path}");
        balancer.logged(&[&format!("\"target\":\"{path}\""), &format!("\"pool\":\"{pool}\"")]);
    }
    client.send("GET http://a.wild.test/ HTTP/1.1\r\nHost: www.test\r\n\r\n");
    assert_eq!(client.response().text(), "wild", "the target's host counts");
}

#[test]
fn without_a_route_it_is_404_and_the_connection_goes_on() {
    let origin = Origin::named("1");
    let tables = format!("{}[[route]]\nhost = \"a.test\"\npath = \"/x\"\npool = \"app\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start("", &tables);
    let mut client = Client::of(&balancer);
    for (host, path) in [("b.test", "/x"), ("a.test", "/y")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status(), 404);
        assert!(response.text().contains("no_route") && response.field("x-request-id").is_some(), "{response:?}");
    }
    balancer.logged(&["\"status\":404", "\"reason\":\"no_route\"", "\"attempts\":0"]);
    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.response().text(), "1");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let directory = directory();
    let path = directory.join("worker.sock");
    let origin = Origin::unix(&path, |mut exchange| while exchange.request().is_some() && exchange.send(ok("unix")) {});
    let balancer = Balancer::start_in(directory, "", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    (0..3).for_each(|_| assert_eq!(client.get("/").text(), "unix"));
    assert_eq!(origin.connections(), 1);
    balancer.logged(&[&format!("\"endpoint\":\"unix:{}\"", path.display())]);
}

#[test]
fn clients_may_come_over_a_unix_socket() {
    let origin = Origin::named("1");
    let directory = directory();
    let path = directory.join("lb.sock");
    let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let balancer = Balancer::start_in(directory, &top, &pool_of(&[&origin]));
    let mut client = Client::unix(&path);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    assert_eq!(client.response().text(), "1");
    assert_eq!(Client::of(&balancer).get("/").text(), "1", "and both at once");
    let requests = origin.requests();
    // Whoever may open the socket is a proxy of ours.
    assert_eq!(requests[0].field("x-forwarded-for"), Some("203.0.113.9, unknown"));
    assert_eq!(requests[1].field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn a_unix_socket_that_was_left_behind_is_replaced() {
    let origin = Origin::named("1");
    let directory = directory();
    let path = directory.join("lb.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let _balancer = Balancer::start_in(directory, &top, &pool_of(&[&origin]));
    let mut client = Client::unix(&path);
    assert_eq!(client.get("/").text(), "1");
}

#[test]
fn clients_and_endpoints_may_speak_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let origin =
        Origin::start_at("[::1]:0", |mut exchange| while exchange.request().is_some() && exchange.send(ok("six")) {});
    let balancer = Balancer::start("listen = \"[::1]:0\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    assert_eq!(client.response().text(), "six");
    let request = origin.request();
    assert_eq!(request.field("x-forwarded-for"), Some("::1"));
    assert_eq!(request.field("forwarded"), Some("for=\"[::1]\";host=\"[::1]:80\";proto=http"));
    balancer.logged(&["\"client\":\"::1\""]);
}

#[test]
fn every_address_of_both_families_is_one_listener_or_two() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let origin = Origin::named("1");
    for listen in ["[::]:PORT", "0.0.0.0:PORT\", \"[::]:PORT", "[::]:PORT\", \"127.0.0.1:PORT"] {
        // A port that is free in both.
        let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let listen = listen.replace("PORT", &port.to_string());
        let balancer = Balancer::start(&format!("listen = [\"{listen}\"]\n"), &pool_of(&[&origin]));
        for address in ["127.0.0.1", "[::1]"] {
            let mut client = Client::at(format!("{address}:{port}").parse().unwrap());
            assert_eq!(client.get("/").text(), "1", "{address} of {listen}");
        }
        drop(balancer);
    }
}

#[test]
fn the_file_of_a_unix_listener_goes_with_its_instance_and_no_others() {
    let (place, origin) = (directory(), Origin::named("1"));
    let path = place.join("lb.sock");
    let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let mut first = Balancer::start(&top, &pool_of(&[&origin]));
    assert!(path.exists());
    assert_eq!(first.run(&["stop"]).0, 0);
    assert!(first.ended().success() && !path.exists());
    let mut second = Balancer::start(&top, &pool_of(&[&origin]));
    std::fs::remove_file(&path).unwrap();
    let _others = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(second.run(&["stop"]).0, 0);
    assert!(second.ended().success() && path.exists());
    std::fs::remove_dir_all(&place).unwrap();
}
