//! Why a request went as it did: what is remembered of it, and what the commands make of that.

use serde_json::Value;

use super::admin::{admin_address, ask, until_ready, workers};
use super::harness::{Balancer, Client, Origin, Refusing, eventually, ok, pool_at, pool_of};

/// The id that stands below an error.
fn id_in(body: &str) -> String {
    body.lines().find_map(|line| line.strip_prefix("request id: ")).unwrap().to_owned()
}

/// A field of a line of the access log.
fn logged_id(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["id"].as_str().unwrap().to_owned()
}

fn story(balancer: &Balancer, id: &str) -> Value {
    // A request is over a moment after its client has the last byte.
    eventually(
        || format!("the story of {id}"),
        || {
            let (code, text) = balancer.run(&["explain", id, "--json"]);
            (code == 0).then(|| serde_json::from_str(&text).unwrap())
        },
    )
}

#[test]
fn the_id_below_an_error_leads_to_what_went_wrong() {
    let refusing = Refusing::start();
    let balancer = Balancer::start("", &pool_at(&[refusing.address()]));
    let answer = Client::of(&balancer).get("/");
    assert_eq!(answer.status(), 502);
    let id = id_in(&answer.text());
    let story = story(&balancer, &id);
    assert_eq!(
        (&story["status"], &story["reason"], &story["rejected"], &story["remembered_as"]),
        (&502.into(), &"connect_failed".into(), &true.into(), &"failed".into())
    );
    let (code, text) = balancer.run(&["explain", &id]);
    assert_eq!(code, 0, "{text}");
    for part in [
        id.as_str(),
        "status 502, connect_failed, answered by balancer",
        "pool app (round_robin)",
        &format!("attempt 1: {} after ", refusing.address()),
        "round_robin: it was its turn; 1 of 1 took requests",
        "endpoints when it came",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let (code, list) = balancer.run(&["explain"]);
    assert!(code == 0 && list.contains(&id) && list.contains("connect_failed"), "{list}");
}

#[test]
fn every_attempt_is_told_with_its_endpoint_and_outcome() {
    let (refusing, origin) = (Refusing::start(), Origin::named("1"));
    let balancer = Balancer::start("", &pool_at(&[refusing.address(), origin.address()]));
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    let id = logged_id(&balancer.logged(&["\"attempts\":2"]));
    let story = story(&balancer, &id);
    let attempts = story["attempts"].as_array().unwrap();
    assert_eq!(
        (&attempts[0]["endpoint"], &attempts[0]["outcome"]),
        (&refusing.address().into(), &"connect_failed".into())
    );
    assert_eq!((&attempts[1]["endpoint"], &attempts[1]["outcome"]), (&origin.address().into(), &"status 200".into()));
    assert!(
        attempts[1]["why"].as_str().unwrap().ends_with(&format!("; {} had failed it", refusing.address())),
        "{story}"
    );
    assert!(attempts[1]["seconds"].as_f64().unwrap() > 0.0, "{story}");
    assert_eq!((&story["remembered_as"], &story["rejected"]), (&"failed".into(), &false.into()));
    let candidates = story["candidates"].as_array().unwrap();
    assert!(candidates.len() == 2 && candidates.iter().all(|one| one["state"] == "up"), "{story}");
}

#[test]
fn what_workers_printed_meanwhile_belongs_to_the_story() {
    let balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    assert_eq!(Client::of(&balancer).get("/log?line=Traceback%20of%20this").status(), 200);
    let id = logged_id(&balancer.logged(&["Traceback"]));
    let told = || {
        let (code, text) = balancer.run(&["explain", &id]);
        (code == 0 && text.contains("app.1 | Traceback of this")).then_some(text)
    };
    let text = eventually(|| balancer.run(&["explain", &id]).1, told);
    assert!(text.contains("what its workers printed meanwhile:") && text.contains("attempt 1: app.1 after "), "{text}");
}

#[test]
fn a_wait_in_the_queue_and_a_refusal_by_it_are_told() {
    let gate = super::harness::Gate::default();
    let opened = gate.clone();
    let origin = Origin::start(
        move |mut exchange| {
            while exchange.request().is_some() && opened.wait() && exchange.send(ok("1")) {}
        },
    );
    let balancer = Balancer::start("", &format!("{}slots = 1\nqueue_max = 2\n", pool_of(&[&origin])));
    let (mut first, mut second) = (Client::of(&balancer), Client::of(&balancer));
    first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    let waits = |queued: u64| {
        let status = super::admin::status(&balancer);
        (status["pools"][0]["queue"]["length"] == queued && status["pools"][0]["in_flight"] == 1).then_some(())
    };
    eventually(|| "the first at its worker".into(), || waits(0));
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually(|| "the second in the queue".into(), || waits(1));
    // Half of a queue is the most that one client gets.
    let refused = Client::of(&balancer).get("/third");
    assert_eq!(refused.status(), 503);
    let told = story(&balancer, &id_in(&refused.text()));
    assert_eq!((&told["reason"], told["attempts"].as_array().unwrap().len()), (&"queue_full".into(), 0));
    let (_, text) = balancer.run(&["explain", told["id"].as_str().unwrap()]);
    assert!(text.contains("no endpoint was asked"), "{text}");
    gate.open();
    assert_eq!((first.response().status(), second.response().status()), (200, 200));
    let id = logged_id(&balancer.logged(&["/second"]));
    let told = story(&balancer, &id);
    assert!(told["queued_seconds"].as_f64().unwrap() > 0.0, "{told}");
    assert!(balancer.run(&["explain", &id]).1.contains("for a place\n"), "{told}");
}

#[test]
fn an_id_that_is_unknown_or_none_gets_a_clear_answer() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("", &format!("{}[admin]\naddress = \"127.0.0.1:0\"\n", pool_of(&[&origin])));
    let (code, text) = balancer.run(&["explain", &"0".repeat(32)]);
    assert!(
        code == 1 && text.contains("no request 000") && text.contains("it has not ended yet, ended too long ago"),
        "{text}"
    );
    for wrong in ["7", "'; rm -rf", "\u{1b}[31m", &"x".repeat(32), &"0".repeat(4_000)] {
        let (code, text) = balancer.run(&["explain", wrong]);
        assert!(code == 2 && text.contains("an id is 32 hexadecimal digits") && !text.contains('\u{1b}'), "{text}");
    }
    assert_eq!(balancer.run(&["explain"]), (0, "no failed request is remembered\n".to_owned()));
    let address = admin_address(&mut balancer);
    let ask = |path: &str| ask(&address, &format!("GET {path} HTTP/1.0\r\n\r\n"));
    assert!(
        ask("/api/requests?which=odd").contains(" 400 ") && ask("/api/requests?which=slow").contains("\"requests\":[]")
    );
}

#[test]
fn nothing_is_remembered_where_that_is_switched_off_also_by_a_reload() {
    let refusing = Refusing::start();
    let balancer = Balancer::start("", &format!("{}[admin]\nexplain = true\n", pool_at(&[refusing.address()])));
    let id = id_in(&Client::of(&balancer).get("/").text());
    story(&balancer, &id);
    let file = balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("explain = true", "explain = false")).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);
    let off = || balancer.run(&["explain", &id]).1.contains("`explain` in [admin] is false").then_some(());
    eventually(|| balancer.run(&["explain", &id]).1, off);
    assert_eq!(Client::of(&balancer).get("/").status(), 502);
    assert_eq!(balancer.run(&["explain"]).0, 1);
    std::fs::write(&file, text).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);
    let id = id_in(&Client::of(&balancer).get("/").text());
    story(&balancer, &id);
}

#[test]
fn every_response_tells_its_id_where_that_is_wished() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("expose_request_id = true\n", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    for _ in 0..2 {
        let answer = client.get("/");
        let id = answer.field("x-request-id").unwrap().to_owned();
        assert_eq!(story(&balancer, &id)["status"], 200);
    }
    client.send("GET /%zz\u{1} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status(), 400);

    let origin = Origin::answering("HTTP/1.1 200 OK\r\nX-Request-ID: own\r\nContent-Length: 0\r\n\r\n");
    let balancer = Balancer::start("expose_request_id = true\n", &pool_of(&[&origin]));
    assert_eq!(Client::of(&balancer).get("/").field("x-request-id"), Some("own"), "a worker's own stays");

    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let answer = Client::of(&balancer).get("/");
    assert_eq!((answer.status(), answer.field("x-request-id")), (200, None), "unless that is wished");
}

#[test]
fn a_sampled_log_has_a_share_of_what_went_well_and_all_that_did_not() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let status = if request.target() == "/bad" { "500 Broken" } else { "200 OK" };
            exchange.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let log = |directory: &std::path::Path| directory.join("access.log").display().to_string();
    let directory = super::harness::directory();
    let tables = format!(
        "{}eject_after = 0\n[access_log]\nformat = \"json\"\nsample = \"0%\"\npath = {:?}\n",
        pool_of(&[&origin]),
        log(&directory)
    );
    let balancer = Balancer::start_in(directory, "", &tables);
    let mut client = Client::of(&balancer);
    for target in ["/good", "/bad", "/good", "/good"] {
        client.get(target);
    }
    let mut stranger = Client::of(&balancer);
    stranger.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(stranger.response().status(), 400);
    balancer.logged(&["\"status\":400"]);
    assert_eq!((balancer.count_logged(&["/bad"]), balancer.count_logged(&["/good"])), (1, 0));
    let metrics = super::admin::status(&balancer);
    assert_eq!(metrics["pools"][0]["requests"], 4, "all are counted");
}
