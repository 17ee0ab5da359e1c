use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::config::Address;
use crate::endpoint::InFlight;
use crate::http1::Fields;

fn pool(policy: config::Policy, affinity: bool) -> Arc<Pool> {
    let affinity = affinity.then(|| config::Affinity { cookie: "lb".into() });
    Pool::new(&config::Pool { policy, affinity, ..config::Pool::new("app") })
}

fn endpoint(index: usize, backup: bool) -> Arc<Endpoint> {
    Endpoint::new(format!("app.{index}"), Address::Unix(format!("/s{index}").into()), 1, backup)
}

fn name(place: Option<InFlight>) -> Option<String> {
    place.map(|place| place.endpoint().name().to_string())
}

#[test]
fn turns_follow_positions_whoever_was_ready_first() {
    let (pool, mut rng) = (pool(config::Policy::RoundRobin, false), SmallRng::seed_from_u64(1));
    pool.add(endpoint(2, false), 2);
    pool.add(endpoint(1, false), 1);
    let turns: Vec<_> = (0..4).map(|_| name(pool.claim(&RoutingKey::default(), &[], &mut rng)).unwrap()).collect();
    assert_eq!(turns, ["app.1", "app.2", "app.1", "app.2"]);
}

#[test]
fn a_backup_serves_only_when_no_other_accepts() {
    let (pool, mut rng) = (pool(config::Policy::RoundRobin, false), SmallRng::seed_from_u64(1));
    let (first, backup) = (endpoint(1, false), endpoint(2, true));
    pool.add(Arc::clone(&first), 1);
    pool.add(backup, 2);
    for _ in 0..3 {
        assert_eq!(name(pool.claim(&RoutingKey::default(), &[], &mut rng)).unwrap(), "app.1");
    }
    assert_eq!(
        name(pool.claim(&RoutingKey::default(), &[first.id()], &mut rng)).unwrap(),
        "app.2",
        "a retry goes elsewhere"
    );
    first.drain();
    assert_eq!(name(pool.claim(&RoutingKey::default(), &[], &mut rng)).unwrap(), "app.2");
}

#[test]
fn the_last_endpoint_is_tried_again_and_none_is_none() {
    let (pool, mut rng) = (pool(config::Policy::TwoChoices, false), SmallRng::seed_from_u64(1));
    assert!(pool.claim(&RoutingKey::default(), &[], &mut rng).is_none());
    let only = endpoint(1, false);
    pool.add(Arc::clone(&only), 1);
    assert!(pool.claim(&RoutingKey::default(), &[only.id()], &mut rng).is_some());
    pool.remove(only.id());
    assert!(pool.claim(&RoutingKey::default(), &[only.id()], &mut rng).is_none());
}

#[test]
fn a_cookie_of_ours_leads_back_to_its_endpoint() {
    let (pool, mut rng) = (pool(config::Policy::RoundRobin, true), SmallRng::seed_from_u64(1));
    let endpoints: Vec<_> = (1..=3).map(|index| endpoint(index, false)).collect();
    for (index, endpoint) in endpoints.iter().enumerate() {
        pool.add(Arc::clone(endpoint), index);
    }
    let affinity = pool.affinity().unwrap();
    let set = affinity.set_cookie(&endpoints[1]);
    let pair = set.split(';').next().unwrap();
    let mut fields = Fields::default();
    fields.append("Cookie", format!("theme=dark; {pair}").as_bytes());
    let routing = RoutingKey { affinity: affinity.wanted(&fields), ..RoutingKey::default() };
    for _ in 0..5 {
        assert_eq!(name(pool.claim(&routing, &[], &mut rng)).unwrap(), "app.2");
    }
    endpoints[1].drain();
    assert_ne!(name(pool.claim(&routing, &[], &mut rng)).unwrap(), "app.2", "affinity never makes a request fail");
}

#[test]
fn a_made_up_cookie_is_no_wish() {
    let affinity = Affinity::new(&config::Affinity { cookie: "lb".into() });
    for value in ["", "zz", "0123456789abcdefg", "app.2", "+123456789abcdef"] {
        let mut fields = Fields::default();
        fields.append("Cookie", format!("lb={value}").as_bytes());
        let wanted = affinity.wanted(&fields);
        assert!(wanted.is_none() || wanted != Some(affinity.tag(&endpoint(2, false))), "{value}");
    }
}

#[test]
fn a_successor_keeps_the_endpoints_it_names_and_drains_the_others() {
    let fixed = |port: u16, weight| config::Endpoint {
        address: Address::Unix(format!("/s{port}").into()),
        weight,
        backup: false,
    };
    let config = config::Pool { endpoints: vec![fixed(1, 1), fixed(2, 1)], ..config::Pool::new("app") };
    let (old, mut rng) = (Pool::new(&config), SmallRng::seed_from_u64(1));
    let worker = endpoint(1, false);
    old.add(Arc::clone(&worker), 1_001);
    let before = old.endpoints();
    let place = old.claim(&RoutingKey::default(), &[], &mut rng).unwrap();

    let config = config::Pool { endpoints: vec![fixed(3, 1), fixed(1, 5)], attempts_max: 1, ..config };
    let new = old.succeed(&config);
    let after = new.endpoints();
    let names = |all: &[Arc<Endpoint>]| all.iter().map(|one| one.name().to_string()).collect::<Vec<_>>();
    assert_eq!(names(&after), ["unix:/s3", "unix:/s1", "app.1"]);
    assert!(Arc::ptr_eq(&after[1], &before[0]) && Arc::ptr_eq(&after[2], &worker), "they are the same");
    assert_eq!((after[1].weight(), after[1].claims(), after[1].in_flight()), (5, 1, 1));
    assert!(before[1].claim().is_none() && before[0].accepts());
    assert_eq!((new.attempts_max(), old.attempts_max()), (1, 3), "a request goes on by the rules it began with");
    drop(place);

    // Who knows only the predecessor, as its supervisor does, reaches the members all the same.
    old.remove(worker.id());
    assert_eq!(names(&new.endpoints()), ["unix:/s3", "unix:/s1"]);
}

#[test]
fn after_a_reload_the_requests_of_before_pay_for_no_retry() {
    let config = config::Pool::new("app");
    let pool = Pool::new(&config);
    (0..1_000_000).for_each(|_| pool.count_request(ClientKey::default(), Instant::now()));
    let successor = pool.succeed(&config::Pool { attempts_max: 5, ..config });
    let now = Instant::now();
    assert_eq!((0..1_000).filter(|_| successor.may_retry(now)).count(), 10);
}
