//! What figures advise.

use std::time::Duration;

use super::law::servers_for;
use super::sentences::{Wish, advice, json, text};
use super::watch::{WatchedEndpoint, WatchedPool};

fn endpoint(name: &str, rate: f64, service: f64) -> WatchedEndpoint {
    WatchedEndpoint { name: name.into(), rate, service: Some(service), requests: (rate * 10.0) as u64 }
}

fn pool(slots: Option<u64>, rate: f64, service: f64, endpoints: Vec<WatchedEndpoint>) -> WatchedPool {
    let (busy, up) = (rate * service, endpoints.len());
    let service = Some(service);
    WatchedPool {
        name: "app".into(),
        seconds: 10.0,
        rate,
        service,
        busy,
        slots,
        up,
        has_workers: true,
        largest: 50 << 20,
        endpoints,
        ..WatchedPool::default()
    }
}

fn even(count: usize, rate: f64, service: f64) -> Vec<WatchedEndpoint> {
    (1..=count).map(|index| endpoint(&format!("app.{index}"), rate / count as f64, service)).collect()
}

const WISH: Wish = Wish { wait: Duration::from_millis(100), cpus: 8 };

#[test]
fn too_few_slots_are_told_with_the_number_that_is_needed() {
    let all = advice(&pool(Some(2), 15.0, 0.1, even(2, 15.0, 0.1)), WISH);
    let needed = servers_for(15.0, 0.1, WISH.wait).unwrap();
    let by = "predicted (Erlang's C formula, from 15.0 requests/s, 100 ms each, 2 slots): 95 of 100 wait ";
    assert!(needed > 2 && all[0].why.starts_with(by), "{all:?}");
    assert!(all[0].why.contains(&format!("; with {needed} slots, 95 of 100 wait ")), "{all:?}");
    assert_eq!(all[0].type_this, Some(format!("balancer scale app {needed}")));
    let over = advice(&pool(Some(2), 30.0, 0.1, even(2, 30.0, 0.1)), WISH);
    assert!(over[0].why.starts_with("measured: all 2 slots are busy") && !over[0].why.contains("95 of"), "{over:?}");
}

#[test]
fn where_all_slots_are_busy_and_some_wait_nothing_is_predicted() {
    let full = WatchedPool { busy: 1.96, queued: 3.9, ..pool(Some(2), 20.0, 0.098, even(2, 20.0, 0.098)) };
    let all = advice(&full, WISH);
    assert!(all[0].why.contains("all 2 slots are busy and 3.9 requests wait"), "{all:?}");
    assert_eq!(all[0].type_this, Some("balancer scale app 6".into()));
    assert!(json(std::slice::from_ref(&full), WISH)["pools"][0]["predicted"].is_null());
    let refusing = advice(&WatchedPool { refused: 23, ..full.clone() }, WISH);
    assert!(refusing[0].why.contains(". 23 requests were refused meanwhile (queue_full, "), "{refusing:?}");
    assert!(refusing[0].why.ends_with("take the number for the least") && !all[0].why.contains("refused"), "{all:?}");
    // Half a request on average is no queue.
    let nearly = advice(&WatchedPool { queued: 0.5, ..full }, WISH);
    assert!(nearly[0].why.starts_with("predicted (Erlang"), "{nearly:?}");
}

#[test]
fn workers_that_use_all_cpus_are_told_that_more_of_them_do_not_help() {
    let busy = WatchedPool { cpus: 7.9, ..pool(Some(2), 15.0, 0.1, even(2, 15.0, 0.1)) };
    let all = advice(&busy, WISH);
    assert!(all[0].why.ends_with("use 7.9 of the 8 CPUs here: more workers would only wait for each other"), "{all:?}");
    let one_core_each = advice(&WatchedPool { cpus: 2.0, ..busy }, WISH);
    assert!(!one_core_each[0].why.contains("CPU"), "{one_core_each:?}");
}

#[test]
fn too_many_are_told_with_what_would_be_free_and_enough_are_left() {
    let many = advice(&pool(Some(8), 4.0, 0.01, even(8, 4.0, 0.01)), WISH);
    assert!(
        many[0].why.contains("would be free") && many[0].type_this == Some("balancer scale app 2".into()),
        "{many:?}"
    );
    let enough = advice(&pool(Some(3), 10.0, 0.1, even(3, 10.0, 0.1)), WISH);
    assert!(enough[0].why.ends_with(". Wished is 100 ms: leave it") && enough[0].type_this.is_none(), "{enough:?}");
}

#[test]
fn the_endpoint_that_is_slow_beside_the_others_is_named_with_what_it_costs() {
    let mut endpoints = even(3, 30.0, 0.005);
    endpoints.push(endpoint("app.4", 10.0, 0.4));
    let all = advice(&pool(Some(8), 40.0, 0.104, endpoints), WISH);
    let first = &all[0];
    assert!(first.why.starts_with("measured: app.4 takes 400 ms for a request, the others 5.0 ms"), "{first:?}");
    assert!(
        first.why.contains("98.8 ms less on average (95 %)")
            && first.type_this == Some("balancer logs app.4; balancer restart app.4".into()),
        "{first:?}"
    );
    assert!(advice(&pool(None, 30.0, 0.005, even(3, 30.0, 0.005)), WISH).is_empty(), "nothing is wrong");
}

#[test]
fn one_that_took_longer_by_chance_is_not_called_slow() {
    let watched = |rate: f64| {
        let endpoints = vec![endpoint("app.1", rate, 0.1), endpoint("app.2", rate, 0.04)];
        advice(&pool(Some(2), 2.0 * rate, 0.07, endpoints), WISH)
    };
    // Ten requests of each say little, and a thousand much.
    assert!(watched(1.0).iter().all(|one| !one.why.contains("app.1 takes")), "{:?}", watched(1.0));
    assert!(watched(100.0)[0].why.contains("app.1 takes 100 ms"), "{:?}", watched(100.0));
}

#[test]
fn little_traffic_advises_nothing() {
    let quiet = WatchedPool { name: "app".into(), seconds: 10.0, ..WatchedPool::default() };
    assert!(advice(&quiet, WISH).is_empty());
    let told = text(&[quiet], WISH);
    assert!(told.starts_with("measured for 10 s; times by Little's law"), "{told}");
    assert!(told.ends_with("\npool app: no request, so nothing can be advised\n"), "{told}");
    let few = advice(&pool(Some(1), 0.5, 0.1, even(1, 0.5, 0.1)), WISH);
    assert!(few.len() == 1 && few[0].why.contains("watch longer"), "{few:?}");
}

#[test]
fn requests_that_pile_up_at_endpoints_without_slots_are_told() {
    let all = advice(&pool(None, 100.0, 0.1, even(2, 100.0, 0.1)), WISH);
    assert!(all[0].why.starts_with("measured: 5.0 requests are at each endpoint:"), "{all:?}");
    // One that is slow holds many, and says nothing of the others.
    let mut endpoints = even(3, 30.0, 0.005);
    endpoints.push(endpoint("app.4", 10.0, 0.8));
    let of_one = advice(&pool(None, 40.0, 0.2, endpoints.clone()), WISH);
    assert!(of_one.len() == 1 && of_one[0].why.contains("app.4 takes 800 ms"), "{of_one:?}");
    endpoints.iter_mut().take(3).for_each(|one| one.service = Some(0.2));
    let of_all = advice(&pool(None, 40.0, 0.35, endpoints), WISH);
    assert!(of_all.len() == 2 && of_all[1].why.contains("2.0 requests are at each endpoint but app.4"), "{of_all:?}");
}
