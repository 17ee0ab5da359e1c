//! `balancer certificates`, and what status and metrics say of certificates.

use rcgen::CertificateParams;
use serde_json::Value;

use super::admin::{admin_address, get, status};
use super::harness::secure::{Authority, write_pair};
use super::harness::{Balancer, Origin, directory, eventually, free_port, pool_of};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

fn expired(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
}

fn valid(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2090, 1, 1));
}

/// The lines of `certificates` for people, and its exit code.
fn told(balancer: &Balancer) -> (i32, Vec<String>) {
    let (code, text) = balancer.run(&["certificates"]);
    (code, text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

#[test]
fn certificates_from_files_are_told_worst_first_until_all_is_well() {
    let (origin, directory, authority) = (Origin::named("hello"), directory(), Authority::new());
    let (certificate, key) = authority.issue_with(&["app.test", "www.app.test"], valid);
    let (app, app_path, app_key) = write_pair(&directory, "app", &certificate, &key);
    let (certificate, key) = authority.issue_with(&["old.test"], expired);
    let (old, old_path, _) = write_pair(&directory, "old", &certificate, &key);
    let tables = format!("[tls]\ncertificates = [{app}, {old}]\n{}{ADMIN}", pool_of(&[&origin]));
    let top = "listen = [\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n";
    let mut balancer = Balancer::start_in(directory.clone(), top, &tables);
    let address = admin_address(&mut balancer);

    let (code, lines) = told(&balancer);
    assert_eq!((code, lines.len()), (1, 5), "{lines:?}");
    assert_eq!(lines[0], "name expires next renewal from");
    assert!(
        lines[1].starts_with("old.test ") && lines[1].ends_with(&format!(" - {}", old_path.display())),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("expired ") && lines[2].ends_with(" days ago"), "{lines:?}");
    for (line, name) in lines[3..].iter().zip(["app.test", "www.app.test"]) {
        assert!(line.starts_with(&format!("{name} in ")), "{lines:?}");
        assert!(line.ends_with(&format!(" days - {}", app_path.display())), "{lines:?}");
    }
    let (code, text) = balancer.run(&["certificates", "--json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &all["certificates"][0]["state"]), (1, &Value::from("expired")));
    assert_eq!(all["certificates"][1]["not_after"], "2090-01-01T00:00:00Z");

    let metrics = get(&address, "/metrics", "");
    for line in [
        "balancer_certificate_expiry_timestamp_seconds{name=\"old.test\"} 1609459200",
        "balancer_certificate_expiry_timestamp_seconds{name=\"app.test\"} 3786912000",
        "balancer_certificate_problem{name=\"old.test\"} 1",
        "balancer_certificate_problem{name=\"www.app.test\"} 0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "no {line} in {metrics}");
    }
    let shown = status(&balancer);
    let problem = shown["problems"][0]["text"].as_str().unwrap();
    assert!(problem.starts_with("certificate for old.test: expired ") && shown["level"] == "bad", "{shown}");
    // The others are served.
    assert_eq!((balancer.run(&["status", "--quiet"]).0, &shown["ready"]), (0, &Value::from(true)));
    assert!(balancer.run(&["status"]).1.contains("\ncertificate for old.test: expired "));

    let (certificate, key) = authority.issue_with(&["old.test"], valid);
    write_pair(&directory, "old", &certificate, &key);
    let said = eventually(
        || format!("all is well: {:?}", told(&balancer)),
        || Some(told(&balancer)).filter(|(code, _)| *code == 0),
    );
    assert_eq!((said.1.len(), status(&balancer)["problems"].as_array().unwrap().len()), (4, 0), "{said:?}");

    // Half a pair: the one from before is shown on.
    std::fs::write(app_key, authority.issue(&["app.test"]).1).unwrap();
    let (_, lines) = eventually(
        || format!("half a pair is told of: {:?}", told(&balancer)),
        || Some(told(&balancer)).filter(|(code, _)| *code == 1),
    );
    assert!(lines[1].starts_with("app.test in "), "{lines:?}");
    assert!(lines[2].starts_with("what its files have now is not shown: "), "{lines:?}");
    assert_eq!(status(&balancer)["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn a_certificate_that_cannot_be_ordered_is_a_problem_with_the_time_of_the_next_try() {
    let (origin, directory) = (Origin::named("hello"), directory());
    let state = directory.join("state");
    std::fs::create_dir(&state).unwrap();
    let top = format!("listen = [\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]\nstate_dir = {state:?}\n");
    // Nobody listens there.
    let ca = format!("localhost:{}", free_port());
    let tls = format!("[tls]\nnames = [\"app.test\"]\ndirectory = \"https://{ca}/dir\"\n");
    let mut balancer = Balancer::start_in(directory, &top, &format!("{tls}{}{ADMIN}", pool_of(&[&origin])));
    balancer.await_stderr("app.test: there is no certificate yet: ");
    let (code, lines) = eventually(
        || format!("the failure is told of: {:?}", told(&balancer)),
        || Some(told(&balancer)).filter(|(_, lines)| lines.iter().any(|line| line.contains("failed"))),
    );
    assert_eq!(code, 1);
    assert!(lines[1].starts_with("app.test - ") && lines[1].ends_with(&ca), "{lines:?}");
    let problem = lines[2..].join(" ");
    assert!(problem.starts_with("there is none; the order failed: "), "{problem}");
    assert!(problem.contains(", tried again in ") || problem.contains(", tried again now"), "{problem}");
    let shown = status(&balancer);
    let text = shown["problems"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("certificate for app.test: there is none; the order failed: "), "{text}");
    let metrics = get(&admin_address(&mut balancer), "/metrics", "");
    assert!(metrics.contains("\nbalancer_certificate_problem{name=\"app.test\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("\nbalancer_certificate_expiry_timestamp_seconds{"), "{metrics}");
}

#[test]
fn without_certificates_it_says_so_and_all_is_well() {
    let origin = Origin::named("hello");
    let balancer = Balancer::before(&[&origin]);
    let expected = "no certificates: `[tls]` of the configuration has none\n".to_owned();
    assert_eq!(balancer.run(&["certificates"]), (0, expected));
    assert_eq!(balancer.run(&["certificates", "--json"]), (0, "{\"certificates\":[]}\n".to_owned()));
}
