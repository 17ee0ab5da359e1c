use jiff::Timestamp;

use super::certificates::{CertificateState, json, problems, sorted};
use super::exposition::Text;
use super::row_state::Level;
use crate::tls::Standing;

const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A certificate from a file that expires in so long.
fn filed(name: &str, expires: i64) -> Standing {
    let (not_before, not_after) = (Some(at(-90 * DAY)), Some(at(expires)));
    Standing { name: name.into(), from: "/etc/a.pem".into(), not_before, not_after, problem: None, next: None }
}

/// One that is ordered again in so long.
fn ordered(name: &str, expires: Option<i64>, next: i64, problem: Option<&str>) -> Standing {
    let (not_before, not_after) = (expires.map(|_| at(-60 * DAY)), expires.map(at));
    let problem = problem.map(str::to_owned);
    Standing { name: name.into(), from: "ca.test".into(), not_before, not_after, problem, next: Some(at(next)) }
}

/// The state of one, and what is said of it.
fn told(standing: Standing) -> (CertificateState, Option<String>) {
    let view = sorted(vec![standing], at(0)).pop().unwrap();
    (view.state, view.problem)
}

#[test]
fn each_state_has_its_words() {
    use CertificateState::{Expired, Expiring, Missing, NotRenewed, NotValidYet, Ok, Ordered};
    let early = Standing { not_before: Some(at(5 * DAY)), ..filed("a.test", 90 * DAY) };
    let torn = Standing { problem: Some("a.key does not fit".into()), ..filed("a.test", 9 * DAY) };
    let why = Some("the CA is away");
    for (standing, state, problem) in [
        (filed("a.test", 61 * DAY), Ok, None),
        (filed("a.test", 3 * DAY), Ok, None),
        (filed("a.test", 3 * DAY - 1), Expiring, Some("expires in 2 days")),
        (filed("a.test", 1), Expiring, Some("expires in 1 s")),
        (filed("a.test", 0), Expired, Some("expired now")),
        (filed("a.test", -4 * DAY), Expired, Some("expired 4 days ago")),
        (early, NotValidYet, Some("is not valid yet: it will be in 5 days")),
        (torn, NotRenewed, Some("what its files have now is not shown: a.key does not fit")),
        (ordered("a.test", Some(2 * DAY), DAY, None), Ok, None),
        (ordered("a.test", Some(2 * DAY), 4 * DAY, None), Expiring, Some("expires in 2 days")),
        (
            ordered("a.test", Some(2 * DAY), 2_400, why),
            Expiring,
            Some("expires in 2 days; renewal failed: the CA is away, tried again in 40 min"),
        ),
        (
            ordered("a.test", Some(30 * DAY), 0, why),
            NotRenewed,
            Some("renewal failed: the CA is away, tried again now"),
        ),
        (
            ordered("a.test", None, 2_400, why),
            Missing,
            Some("there is none; the order failed: the CA is away, tried again in 40 min"),
        ),
        (ordered("a.test", None, 0, None), Ordered, Some("there is none yet: the first is being ordered")),
    ] {
        assert_eq!(told(standing.clone()), (state, problem.map(str::to_owned)), "{standing:?}");
    }
}

#[test]
fn the_worst_stands_first_and_of_equals_the_one_that_expires_first() {
    let all = vec![
        filed("long.test", 60 * DAY),
        filed("b.short.test", 20 * DAY),
        filed("a.short.test", 20 * DAY),
        ordered("failed.test", Some(30 * DAY), 60, Some("why")),
        filed("soon.test", DAY),
        filed("over.test", -DAY),
        ordered("none.test", None, 60, Some("why")),
    ];
    let views = sorted(all, at(0));
    let names: Vec<&str> = views.iter().map(|view| &*view.standing.name).collect();
    let expected = ["none.test", "over.test", "soon.test", "failed.test", "a.short.test", "b.short.test", "long.test"];
    assert_eq!(names, expected);
    let value = json(&views);
    let levels: Vec<&str> =
        value["certificates"].as_array().unwrap().iter().map(|one| one["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["bad", "bad", "warn", "warn", "ok", "ok", "ok"]);
    assert_eq!(value["certificates"][1]["expires_seconds"], -DAY);
    assert_eq!(value["certificates"][0]["not_after"], serde_json::Value::Null);
}

#[test]
fn the_status_is_told_of_what_clients_refuse_or_soon_will_and_once_of_many() {
    let mut all: Vec<Standing> = [("a", 65), ("b", 70), ("c", 60), ("d", 61), ("e", 62)]
        .map(|(name, next)| ordered(name, None, next, Some("the CA is away")))
        .to_vec();
    all.extend([filed("soon.test", DAY), filed("long.test", 60 * DAY), ordered("first.test", None, 0, None)]);
    all.push(ordered("failed.test", Some(30 * DAY), 60, Some("why")));
    let expected = [
        (
            Level::Bad,
            "certificate for a, b, c and 2 more: there is none; the order failed: the CA is away, tried again in 60 s",
        ),
        (Level::Warn, "certificate for soon.test: expires in 24 h"),
    ];
    assert_eq!(problems(&sorted(all, at(0))), expected.map(|(level, text)| (level, text.to_owned())));
}

#[test]
fn what_does_something_in_a_name_is_shown_instead() {
    let views = sorted(vec![filed("a\u{1b}[2J\n.test", -DAY)], at(0));
    let [(_, line)] = &problems(&views)[..] else { panic!("{views:?}") };
    assert_eq!(line, "certificate for a\\u001b[2J\\u000a.test: expired 24 h ago");
    let mut text = Text::default();
    text.certificates(&views);
    let samples: Vec<&str> = text.0.lines().filter(|line| !line.starts_with('#')).collect();
    let name = r#"{name="a\\u001b[2J\\u000a.test"}"#;
    let expected = [
        format!("balancer_certificate_expiry_timestamp_seconds{name} 1799913600"),
        format!("balancer_certificate_problem{name} 1"),
    ];
    assert_eq!(samples, expected);
}
