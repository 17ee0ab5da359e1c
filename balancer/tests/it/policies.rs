//! Which endpoint serves a request.

use std::collections::{BTreeMap, HashSet};

use super::harness::{Balancer, Client, Gate, Origin, Refusing, ok, pool_of};

#[test]
fn least_connections_avoids_the_busy_endpoint() {
    let gate = Gate::default();
    let release = gate.clone();
    // Whichever gets it keeps `/slow` in flight.
    let script = move |name: &'static str| {
        let release = release.clone();
        Origin::start(move |mut exchange| {
            while let Some(request) = exchange.request() {
                if request.target() == "/slow" && !release.wait() {
                    return;
                }
                exchange.send(ok(name));
            }
        })
    };
    let (one, two) = (script("1"), script("2"));
    let balancer = Balancer::start("", &format!("{}policy = \"least_connections\"\n", pool_of(&[&one, &two])));
    let mut busy = Client::of(&balancer);
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    super::harness::eventually(
        || "the slow request at an endpoint".into(),
        || (one.requests().len() + two.requests().len() == 1).then_some(()),
    );
    let free = if one.requests().is_empty() { "1" } else { "2" };
    let mut client = Client::of(&balancer);
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), free);
    }
    gate.open();
    assert_ne!(busy.response().text(), free);
}

#[test]
fn a_hash_of_a_field_keeps_its_endpoint_and_uses_all() {
    let origins = [Origin::named("1"), Origin::named("2"), Origin::named("3")];
    let keys = "policy = \"hash\"\nhash_key = \"header:X-User\"\n";
    let balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&origins[0], &origins[1], &origins[2]])));
    let ask = |user: usize| {
        let mut client = Client::of(&balancer);
        client.send(format!("GET /{user} HTTP/1.1\r\nHost: a\r\nX-User: u{user}\r\n\r\n"));
        client.response().text()
    };
    let first: Vec<String> = (0..30).map(ask).collect();
    let second: Vec<String> = (0..30).map(ask).collect();
    assert_eq!(first, second);
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3, "{first:?}");
}

#[test]
fn a_client_without_the_hashed_field_keeps_its_endpoint_too() {
    let origins = [Origin::named("1"), Origin::named("2")];
    let keys = "policy = \"hash\"\nhash_key = \"cookie:user\"\n";
    let balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&origins[0], &origins[1]])));
    let names: HashSet<String> = (0..10).map(|_| Client::of(&balancer).get("/").text()).collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn a_hash_of_the_target_spreads_and_stays() {
    let origins = [Origin::named("1"), Origin::named("2")];
    let keys = "policy = \"hash\"\nhash_key = \"uri\"\n";
    let balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&origins[0], &origins[1]])));
    let mut client = Client::of(&balancer);
    let first: Vec<String> = (0..20).map(|n| client.get(&format!("/{n}")).text()).collect();
    let second: Vec<String> = (0..20).map(|n| client.get(&format!("/{n}")).text()).collect();
    assert_eq!(first, second);
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 2);
}

#[test]
fn two_balancers_lead_a_key_to_the_same_endpoint_in_whatever_order_they_have_them() {
    let origins = [Origin::named("1"), Origin::named("2"), Origin::named("3")];
    let [one, two, three] = &origins;
    let answers = |pool: String| {
        let balancer = Balancer::start("", &format!("{pool}policy = \"hash\"\nhash_key = \"uri\"\n"));
        let mut client = Client::of(&balancer);
        (0..30).map(|n| client.get(&format!("/{n}")).text()).collect::<Vec<_>>()
    };
    assert_eq!(answers(pool_of(&[one, two, three])), answers(pool_of(&[three, one, two])));
}

#[test]
fn a_cookie_of_another_balancer_with_the_same_machine_id_is_honoured() {
    if std::fs::read_to_string("/etc/machine-id").is_ok_and(|id| id.trim().len() == 32) {
        let origins = [Origin::named("1"), Origin::named("2"), Origin::named("3")];
        let pool = format!("{}affinity = {{ cookie = \"lb\" }}\n", pool_of(&[&origins[0], &origins[1], &origins[2]]));
        let [here, there] = [Balancer::start("", &pool), Balancer::start("", &pool)];
        let first = Client::of(&here).get("/");
        let pair = first.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        for _ in 0..6 {
            let mut client = Client::of(&there);
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {pair}\r\n\r\n"));
            assert_eq!(client.response().text(), first.text());
        }
    }
}

#[test]
fn an_affinity_cookie_is_set_once_and_honoured() {
    let origins = [Origin::named("1"), Origin::named("2"), Origin::named("3")];
    let pool = pool_of(&[&origins[0], &origins[1], &origins[2]]);
    let balancer = Balancer::start("", &format!("{pool}affinity = {{ cookie = \"lb\" }}\n"));
    let first = Client::of(&balancer).get("/");
    let cookie = first.field("set-cookie").unwrap();
    assert!(cookie.starts_with("lb=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    for _ in 0..6 {
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; {pair}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.text(), response.all("set-cookie")), (first.text(), vec![]));
    }
}

#[test]
fn an_affinity_cookie_is_found_beside_cookies_of_any_bytes() {
    let origins = [Origin::named("1"), Origin::named("2"), Origin::named("3")];
    let pool = pool_of(&[&origins[0], &origins[1], &origins[2]]);
    let balancer = Balancer::start("", &format!("{pool}affinity = {{ cookie = \"lb\" }}\n"));
    let first = Client::of(&balancer).get("/");
    let pair = first.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    for other in ["name=José".as_bytes(), b"name=Jos\xe9", b"pref=a\"b", b"=; ;;x", b"a=\x80\xff"] {
        for _ in 0..4 {
            let mut client = Client::of(&balancer);
            client
                .send([b"GET / HTTP/1.1\r\nHost: a\r\nCookie: ", other, b"; ", pair.as_bytes(), b"\r\n\r\n"].concat());
            let response = client.response();
            assert_eq!(
                (response.text(), response.all("set-cookie")),
                (first.text(), vec![]),
                "{}",
                other.escape_ascii()
            );
        }
    }
}

#[test]
fn a_cookie_that_is_not_ours_is_replaced_and_balanced() {
    let origins = [Origin::named("1"), Origin::named("2")];
    let pool = pool_of(&[&origins[0], &origins[1]]);
    let balancer = Balancer::start("", &format!("{pool}affinity = {{ cookie = \"lb\" }}\n"));
    let mut names = HashSet::new();
    for _ in 0..4 {
        let mut client = Client::of(&balancer);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: lb=0123456789abcdef\r\n\r\n");
        let response = client.response();
        assert!(response.field("set-cookie").is_some());
        names.insert(response.text());
    }
    assert_eq!(names.len(), 2);
}

#[test]
fn affinity_to_an_endpoint_that_fails_moves_on_and_says_so() {
    let (refusing, origin) = (Refusing::start(), Origin::named("1"));
    let addresses = [refusing.address(), origin.address()];
    let pool = format!("[pool.app]\nendpoints = {addresses:?}\naffinity = {{ cookie = \"lb\" }}\n");
    let balancer = Balancer::start("", &pool);
    for _ in 0..4 {
        let response = Client::of(&balancer).get("/");
        assert_eq!((response.status(), response.text()), (200, "1".into()));
        assert!(response.field("set-cookie").is_some());
    }
}

#[test]
fn weights_are_shares() {
    let (one, two) = (Origin::named("1"), Origin::named("2"));
    let balancer = Balancer::start(
        "",
        &format!(
            "[pool.app]\nendpoints = [{{ address = \"{}\", weight = 3 }}, {{ address = \"{}\" }}]\n",
            one.address(),
            two.address()
        ),
    );
    let mut client = Client::of(&balancer);
    let mut counts = BTreeMap::new();
    for _ in 0..16 {
        *counts.entry(client.get("/").text()).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("1".into(), 12), ("2".into(), 4)]));
}

#[test]
fn random_and_two_choices_use_every_endpoint() {
    for policy in ["random", "two_choices"] {
        let origins = [Origin::named("1"), Origin::named("2"), Origin::named("3")];
        let pool = pool_of(&[&origins[0], &origins[1], &origins[2]]);
        let balancer = Balancer::start("", &format!("{pool}policy = \"{policy}\"\n"));
        let mut client = Client::of(&balancer);
        // That one is never drawn in 200 has a chance of 10^-35.
        for _ in 0..200 {
            assert_eq!(client.get("/").status(), 200);
        }
        assert!(origins.iter().all(|origin| !origin.requests().is_empty()), "{policy}");
    }
}

#[test]
fn a_backup_serves_only_when_no_other_can() {
    let (refusing, backup) = (Refusing::start(), Origin::named("backup"));
    let origin = Origin::named("1");
    let pool = |first: &str| {
        let backup = backup.address();
        format!("[pool.app]\nendpoints = [\"{first}\", {{ address = \"{backup}\", backup = true }}]\n")
    };
    let balancer = Balancer::start("", &pool(&origin.address()));
    let mut client = Client::of(&balancer);
    (0..5).for_each(|_| assert_eq!(client.get("/").text(), "1"));
    assert_eq!(backup.connections(), 0);
    let balancer = Balancer::start("", &pool(&refusing.address()));
    assert_eq!(Client::of(&balancer).get("/").text(), "backup");
}
