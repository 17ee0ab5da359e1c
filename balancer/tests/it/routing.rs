//! Where clients come in and which pool they reach.

use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::harness::{Balancer, Client, Origin, directory, ok, pool_of};
use super::program::needs_root;

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
fn a_target_that_two_pools_could_take_for_theirs_is_refused_and_others_go_on_as_they_came() {
    let origins = [Origin::named("app"), Origin::named("admin")];
    let table = |path: &str| {
        format!(
            "[pool.app]\nendpoints = [\"{}\"]\n[pool.admin]\nendpoints = [\"{}\"]\n[[route]]\npool = \"app\"\n\
             [[route]]\npath = \"{path}\"\npool = \"admin\"\n",
            origins[0].address(),
            origins[1].address()
        )
    };
    let balancer = Balancer::start("", &table("/admin"));
    for target in [
        "/x/..%2fadmin",
        "/%2fadmin",
        "/admin;v=1/secret",
        "/;/admin",
        "/x/..;/admin",
        "/x\\..\\admin",
        "/admin%00",
        "/admin%20",
        "/admin/../x",
        "http://a/x/..%2fadmin",
    ] {
        let mut client = Client::of(&balancer);
        client.send(format!("GET {target}?q=%2f HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status(), 400, "{target}: {response:?}");
        assert!(response.text().contains("ambiguous_target"), "{target}");
    }
    balancer.logged(&["\"status\":400", "\"reason\":\"ambiguous_target\""]);
    assert!(origins.iter().all(|origin| origin.connections() == 0));
    let mut client = Client::of(&balancer);
    for (target, pool) in
        [("/a%2fb;c\\d%00%20?/..%2fadmin", "app"), ("/admin/a%2fb;c?x", "admin"), ("/x/..//admin/%41", "admin")]
    {
        assert_eq!(client.get(target).text(), pool, "{target}");
        let origin = &origins[usize::from(pool == "admin")];
        assert_eq!(origin.requests().last().unwrap().line, format!("GET {target} HTTP/1.1"));
    }
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
fn a_unix_listener_lets_in_our_own_account_unless_its_mode_lets_in_others() {
    let origin = Origin::named("1");
    for umask in ["000", "022", "077"] {
        let place = directory();
        let (private, shared) = (place.join("private.sock"), place.join("shared.sock"));
        let top = format!(
            "listen = [\"127.0.0.1:0\", \"unix:{}\", {{ address = \"unix:{}\", mode = \"0660\", group = {} }}]",
            private.display(),
            shared.display(),
            nix::unistd::getegid()
        );
        let balancer = Balancer::start_after(&format!("umask {umask}"), place, &top, &pool_of(&[&origin]));
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&private), mode(&shared)), (0o600, 0o660), "umask {umask}");
        assert_eq!(Client::unix(&private).get("/").text(), "1");
        assert_eq!(Client::unix(&shared).get("/").text(), "1");
        let said = balancer.run(&["check"]).1;
        assert!(said.contains(&format!("clients of unix:{}: ", private.display())), "{said}");
        assert!(said.contains(&format!("clients of unix:{}: group ", shared.display())), "{said}");
        // Others may connect from now on, and the socket is the same.
        let file = balancer.directory().join("lb.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"0660\"", "\"0666\"")).unwrap();
        let mut kept = Client::unix(&shared);
        assert_eq!(kept.get("/").text(), "1");
        let (code, said) = balancer.run(&["reload"]);
        assert!(
            code == 0 && said.contains(&format!("unix:{}: permissions of the socket changed", shared.display())),
            "{said}"
        );
        assert_eq!((mode(&private), mode(&shared)), (0o600, 0o666));
        assert_eq!(kept.get("/").text(), "1");
        assert!(balancer.run(&["check"]).1.contains("every account of this machine"));
        assert_eq!(balancer.run(&["reload"]).0, 0);
    }
}

#[test]
#[cfg_attr(not(has = "root"), ignore = "needs root")]
fn the_file_of_a_unix_listener_belongs_to_the_account_we_become() {
    needs_root();
    let (place, origin) = (directory(), Origin::named("1"));
    let path = place.join("lb.sock");
    let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]\nuser = \"nobody\"", path.display());
    let _balancer = Balancer::start_in(place, &top, &pool_of(&[&origin]));
    let file = std::fs::metadata(&path).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!((file.uid(), file.permissions().mode() & 0o777), (nobody.uid.as_raw(), 0o600));
    assert_eq!(Client::unix(&path).get("/").text(), "1");
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
#[cfg_attr(not(has = "ipv6"), ignore = "needs ipv6")]
fn clients_and_endpoints_may_speak_ipv6() {
    assert!(TcpListener::bind("[::1]:0").is_ok(), "needs IPv6");
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
#[cfg_attr(not(has = "ipv6"), ignore = "needs ipv6")]
fn every_address_of_both_families_is_one_listener_or_two() {
    assert!(TcpListener::bind("[::1]:0").is_ok(), "needs IPv6");
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
