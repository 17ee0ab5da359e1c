use super::*;
use crate::config::Address;
use crate::endpoint::Endpoint;

const SECOND: Duration = Duration::from_secs(1);
const MILLIS: Duration = Duration::from_millis(1);
const GET: Method = Method::GET;

fn worker() -> EndpointId {
    Endpoint::of_worker("app.1".into(), Address::Unix("/w".into()), None).id()
}

fn client(number: u8) -> Option<Client> {
    Some(Client::of([192, 0, 2, number].into()))
}

fn asked(path: &str, number: u8) -> Asked<'_> {
    Asked { method: &GET, path, client: client(number) }
}

/// A request that a worker got just before it died.
fn held(id: u8, now: Instant) -> DeadlyRequest {
    DeadlyRequest { id: [id; 32], given: now }
}

/// Another worker dies at each call, with these in flight, which it got just before; three deaths are allowed.
fn died(table: &mut Suspects, requests: &[(&str, u8)], now: Instant) -> Vec<(String, Whom)> {
    let dead = Dead { worker: worker(), named: "app.1 (pid 7)".into() };
    let requests: Vec<_> = requests.iter().map(|(path, number)| (asked(path, *number), held(b'0', now))).collect();
    table.died(&dead, &requests, 3, now).into_iter().map(|refusal| (refusal.path, refusal.whom)).collect()
}

#[test]
fn the_third_death_within_a_minute_refuses_it_to_that_client_for_a_minute() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    assert!(died(&mut table, &[("/a", 1), ("/a", 1), ("/a", 1)], now).is_empty(), "one death counts once");
    assert!(died(&mut table, &[("/a", 1), ("/b", 1)], now + SECOND).is_empty());
    let refused = died(&mut table, &[("/a", 1)], now + 2 * SECOND);
    assert_eq!(refused, [("/a".to_owned(), Whom::Client(client(1)))]);
    let mut refuses = |path, number, after: u32| table.refuses(&asked(path, number), now + after * SECOND).is_some();
    assert!(refuses("/a", 1, 61));
    assert!(!refuses("/a", 2, 3) && !refuses("/b", 1, 3), "another client, another path");
    assert!(!refuses("/a", 1, 62));
    assert!(died(&mut table, &[("/a", 1)], now + 63 * SECOND).is_empty(), "and it begins anew");
}

#[test]
fn deaths_by_three_clients_refuse_it_to_everybody() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    for (after, number) in [(0, 1), (1, 2), (2, 1), (3, 2)] {
        assert!(died(&mut table, &[("/a", number)], now + after * SECOND).is_empty());
    }
    let now = now + 4 * SECOND;
    assert_eq!(table.refuses(&asked("/a", 9), now), None, "two are not enough");
    assert_eq!(died(&mut table, &[("/a", 3)], now), [("/a".to_owned(), Whom::Everybody)]);
    assert_eq!(table.refuses(&asked("/a", 9), now + SECOND), Some(now + 60 * SECOND));
    assert_eq!(table.refuses(&asked("/a", 9), now + 60 * SECOND), None);
}

#[test]
fn an_answer_in_between_keeps_it_from_being_refused_to_everybody() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    for (after, number) in [(0, 1), (1, 2)] {
        died(&mut table, &[("/a", number)], now + after * SECOND);
    }
    table.answered(&asked("/a", 9), now + 2 * SECOND);
    for (after, number) in [(3, 3), (4, 4)] {
        assert!(died(&mut table, &[("/a", number)], now + after * SECOND).is_empty());
    }
    assert_eq!(died(&mut table, &[("/a", 5)], now + 5 * SECOND), [("/a".to_owned(), Whom::Everybody)]);
}

#[test]
fn whoever_is_there_at_every_death_is_one_cause_however_many_others_are_there_too() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    for (after, others) in [(0, [2, 3]), (1, [4, 5]), (2, [6, 7])] {
        let now = now + after * SECOND;
        let refused = died(&mut table, &[("/a", others[0]), ("/a", 1), ("/a", others[1])], now);
        assert!(refused.iter().all(|(_, whom)| *whom == Whom::Client(client(1))), "{refused:?}");
    }
    let mut refuses = |number| table.refuses(&asked("/a", number), now + 2 * SECOND).is_some();
    assert!(refuses(1) && !refuses(2));
    // Two of one mind, in turns.
    let mut table = Suspects::default();
    for number in 0..40 {
        let now = now + u32::from(number) * SECOND;
        let refused = died(&mut table, &[("/a", 1 + number % 2), ("/a", 10 + number)], now);
        assert!(refused.iter().all(|(_, whom)| *whom != Whom::Everybody), "{refused:?}");
    }
}

#[test]
fn deaths_that_are_far_apart_say_nothing() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    for after in [0, 31, 62, 93, 124] {
        assert!(died(&mut table, &[("/a", 1)], now + after * SECOND).is_empty());
    }
}

#[test]
fn what_a_client_gets_answered_between_deaths_is_innocent_for_it() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    for after in 0..2 {
        let now = now + after * SECOND;
        assert!(died(&mut table, &[("/killer", 1), ("/popular", 1)], now).is_empty());
        table.answered(&asked("/popular", 1), now);
        table.answered(&asked("/killer", 2), now);
    }
    let now = now + 2 * SECOND;
    let refused = died(&mut table, &[("/killer", 1), ("/popular", 1)], now);
    assert_eq!(refused, [("/killer".to_owned(), Whom::Client(client(1)))]);
    table.answered(&asked("/killer", 1), now);
    assert!(table.refuses(&asked("/killer", 1), now).is_some(), "an answer from before ends nothing");
}

#[test]
fn a_refusal_names_the_deaths_that_led_to_it() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    let mut refusals = Vec::new();
    for number in 1..=3_u8 {
        let dead = Dead { worker: worker(), named: format!("app.{number}").into() };
        let at = now + SECOND * u32::from(number);
        let requests = [(asked("/other", 9), held(b'9', at)), (asked("/a", 1), held(b'0' + number, at))];
        refusals = table.died(&dead, &requests, 3, at);
        refusals.retain(|refusal| refusal.path == "/a");
    }
    let told: Vec<_> = refusals[0].deaths.iter().map(|led| (&*led.worker, led.ago, led.client, led.id[0])).collect();
    let expected = |number: u8| (client(1), b'0' + number);
    let told_of = |name, ago, number| (name, SECOND * ago, expected(number).0, expected(number).1);
    assert_eq!(told, [told_of("app.1", 2, 1), told_of("app.2", 1, 2), told_of("app.3", 0, 3)]);
}

#[test]
fn the_table_has_an_end_and_keeps_what_is_refused() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    for after in 0..3 {
        died(&mut table, &[("/killer", 1)], now + after * SECOND);
    }
    let now = now + 2 * SECOND;
    for number in 0..2 * SUSPECTS_MAX {
        died(&mut table, &[(&format!("/{number}"), 1)], now);
    }
    assert_eq!(table.0.len(), SUSPECTS_MAX);
    assert!(table.refuses(&asked("/killer", 1), now).is_some());
    for _ in 0..2 * DEATHS_MAX {
        died(&mut table, &[("/many", 1)], now);
    }
    assert_eq!(table.find(&asked("/many", 1)).unwrap().deaths.len(), DEATHS_MAX);
    assert!(
        table.refuses(&asked("/", 1), now + COUNTED_FOR).is_none() && table.is_empty(),
        "and nothing is left after a minute"
    );
}

#[test]
fn none_is_refused_where_that_is_off() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    for after in 0..9 {
        let (dead, now) = (Dead { worker: worker(), named: "app.1".into() }, now + after * SECOND);
        assert!(table.died(&dead, &[(asked("/a", 1), held(b'0', now))], 0, now).is_empty());
    }
    assert_eq!(table.refuses(&asked("/a", 1), now + 9 * SECOND), None);
}

#[test]
fn clients_without_an_address_are_one() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    let unknown = Asked { client: None, ..asked("/a", 1) };
    for after in 0..3 {
        let (dead, now) = (Dead { worker: worker(), named: "app.1".into() }, now + after * SECOND);
        table.died(&dead, &[(unknown, held(b'0', now))], 3, now);
    }
    let now = now + 3 * SECOND;
    assert!(table.refuses(&unknown, now).is_some() && table.refuses(&asked("/a", 1), now).is_none());
}

#[test]
fn workers_that_are_killed_at_once_refuse_nothing_to_anybody() {
    for clients in [[1; 6], [1, 2, 3, 4, 5, 6]] {
        let (mut table, now) = (Suspects::default(), Instant::now());
        for (number, client) in (0_u8..).zip(clients) {
            let (dead, at) = (Dead { worker: worker(), named: "app.1".into() }, now + MILLIS * u32::from(number));
            let requests = [(asked("/", client), held(number, now))];
            assert_eq!(table.died(&dead, &requests, 3, at), []);
            assert!(table.deaths(&asked("/", client), &[dead.worker], at) <= 1);
        }
    }
}

#[test]
fn one_request_that_is_sent_from_worker_to_worker_counts_at_each() {
    let (mut table, now) = (Suspects::default(), Instant::now());
    let mut refused = Vec::new();
    for number in 0..3_u8 {
        let (dead, at) = (Dead { worker: worker(), named: "app.1".into() }, now + MILLIS * u32::from(number));
        let requests = [(asked("/", 1), held(number, now)), (asked("/", 1), held(99, at))];
        refused = table.died(&dead, &requests, 3, at);
        assert_eq!(table.deaths(&asked("/", 1), &[], at), usize::from(number) + 1);
    }
    assert_eq!(refused.len(), 1);
    let barred = table.refused(now + SECOND).pop().unwrap();
    assert_eq!((barred.path.as_str(), barred.whom, barred.deaths), ("/", Whom::Client(client(1)), 3));
    assert_eq!(barred.until, now + 2 * MILLIS + REFUSED_FOR);
}
