use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use http::Method;

use super::*;
use crate::config::{Address, Slots};
use crate::endpoint::{Connected, Endpoint, EndpointId};
use crate::net::{Client, Family, Socket};

/// A pool of `endpoints` endpoints called `app.1`, ….
fn pool(slots: Slots, endpoints: usize) -> Arc<Pool> {
    let pool = Pool::new(&config::Pool { slots: Some(slots), ..config::Pool::new("app") });
    for index in 1..=endpoints {
        pool.add(endpoint(index, false), index);
    }
    pool
}

fn endpoint(index: usize, backup: bool) -> Arc<Endpoint> {
    Endpoint::new(format!("app.{index}"), Address::Unix(format!("/s{index}").into()), 1, backup)
}

fn ask(path: &str) -> Ask<'static> {
    Ask {
        routing: RoutingKey::default(),
        tried: &[],
        kind: Kind::of(&Method::GET, path),
        client: None,
        turn: 0,
        streams: false,
    }
}

fn placed(claim: SlotClaim) -> Place {
    match claim {
        SlotClaim::Place(place) => place,
        other => panic!("no place but {other:?}"),
    }
}

fn waiting(claim: SlotClaim) -> Waiting {
    match claim {
        SlotClaim::Wait(waiting) => waiting,
        other => panic!("no wait but {other:?}"),
    }
}

fn refused(claim: SlotClaim) -> Refused {
    match claim {
        SlotClaim::Refused(refused) => refused,
        other => panic!("not refused but {other:?}"),
    }
}

fn look(waiting: &mut Waiting) -> Poll<Result<Place, Refused>> {
    waiting.poll(&Context::from_waker(Waker::noop()))
}

fn came(waiting: &mut Waiting) -> Place {
    match look(waiting) {
        Poll::Ready(Ok(place)) => place,
        other => panic!("no place but {other:?}"),
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn places_go_to_those_who_wait_in_their_order_and_wake_them() {
    let pool = pool(Slots::new(1), 2);
    let (first, second) = (placed(pool.claim_slot(&ask("/"))), placed(pool.claim_slot(&ask("/"))));
    assert_ne!(first.endpoint().id(), second.endpoint().id());
    let (mut third, mut fourth) = (waiting(pool.claim_slot(&ask("/"))), waiting(pool.claim_slot(&ask("/"))));
    let bells = [(); 2].map(|()| Arc::<Bell>::default());
    for (waiting, bell) in [&mut third, &mut fourth].into_iter().zip(&bells) {
        let waker = Waker::from(Arc::clone(bell));
        assert!(waiting.poll(&Context::from_waker(&waker)).is_pending());
    }
    let freed = second.endpoint().id();
    drop(second);
    assert_eq!(bells.each_ref().map(|bell| bell.0.load(Ordering::SeqCst)), [1, 0]);
    assert!(look(&mut fourth).is_pending());
    assert_eq!(came(&mut third).endpoint().id(), freed);
    drop(first);
    came(&mut fourth);
}

#[test]
fn whoever_leaves_passes_on_what_was_given_in_that_moment() {
    let pool = pool(Slots::new(1), 1);
    let serving = placed(pool.claim_slot(&ask("/")));
    let (leaving, mut next) = (waiting(pool.claim_slot(&ask("/"))), waiting(pool.claim_slot(&ask("/"))));
    let gone = waiting(pool.claim_slot(&ask("/")));
    drop(gone);
    drop(serving);
    assert!(look(&mut next).is_pending(), "the place is the first one's");
    drop(leaving);
    drop(came(&mut next));
    let figures = pool.figures().unwrap();
    assert_eq!((figures.queued, figures.slots_used, figures.slots), (0, 0, 1));
}

#[test]
fn an_endpoint_that_joins_takes_part_at_once_and_one_that_drains_does_not() {
    let pool = pool(Slots::new(1), 0);
    let mut early = waiting(pool.claim_slot(&ask("/")));
    let (first, second) = (endpoint(1, false), endpoint(2, false));
    pool.add(Arc::clone(&first), 1);
    let place = came(&mut early);
    let (mut third, mut fourth) = (waiting(pool.claim_slot(&ask("/"))), waiting(pool.claim_slot(&ask("/"))));
    first.drain();
    drop(place);
    assert!(look(&mut third).is_pending(), "it drains");
    pool.add(Arc::clone(&second), 2);
    let place = came(&mut third);
    assert_eq!(place.endpoint().id(), second.id());
    pool.remove(second.id());
    drop(place);
    assert!(look(&mut fourth).is_pending(), "it is no member any more");
    pool.add(endpoint(3, false), 3);
    came(&mut fourth);
}

#[test]
fn a_backup_has_its_turn_when_no_other_serves_and_not_when_all_others_are_busy() {
    let pool = pool(Slots::new(1), 1);
    pool.add(endpoint(9, true), 9);
    let place = placed(pool.claim_slot(&ask("/")));
    let mut next = waiting(pool.claim_slot(&ask("/")));
    place.endpoint().drain();
    pool.available_changed();
    assert_eq!(&**came(&mut next).endpoint().name(), "app.9");
}

#[test]
fn another_attempt_keeps_its_turn_and_goes_elsewhere_while_there_is_elsewhere() {
    let pool = pool(Slots::new(1), 2);
    let (first, second) = (placed(pool.claim_slot(&ask("/"))), placed(pool.claim_slot(&ask("/"))));
    let mut later = waiting(pool.claim_slot(&ask("/")));
    let tried: [EndpointId; 1] = [first.endpoint().id()];
    let turn = first.turn();
    drop(first);
    // The one that came later got that place; the one with the older turn gets the next.
    let of_later = came(&mut later);
    let mut last = waiting(pool.claim_slot(&ask("/")));
    let mut again = waiting(pool.claim_slot(&Ask { tried: &tried, turn, ..ask("/") }));
    drop(of_later);
    assert!(look(&mut again).is_pending(), "it has tried that");
    drop(came(&mut last));
    assert!(look(&mut again).is_pending());
    drop(second);
    assert_ne!(came(&mut again).endpoint().id(), tried[0]);
}

#[test]
fn the_only_endpoint_is_tried_again_after_a_moment() {
    let pool = pool(Slots::new(1), 1);
    let place = placed(pool.claim_slot(&ask("/")));
    let (tried, turn) = ([place.endpoint().id()], place.turn());
    drop(place);
    let mut again = waiting(pool.claim_slot(&Ask { tried: &tried, turn, ..ask("/") }));
    assert!(look(&mut again).is_pending());
    pool.tend(Instant::now() + Duration::from_millis(150));
    came(&mut again);
}

#[test]
fn other_settings_apply_to_those_who_wait_already() {
    let pool = pool(Slots { queue_max: 2, ..Slots::new(1) }, 1);
    let _serving = placed(pool.claim_slot(&ask("/")));
    let (mut one, mut two) = (waiting(pool.claim_slot(&ask("/"))), waiting(pool.claim_slot(&ask("/"))));
    assert_eq!(refused(pool.claim_slot(&ask("/"))).reason, Reason::QueueFull);
    pool.configure_slots(Slots { queue_max: 5, ..Slots::new(2) });
    let place = came(&mut one);
    assert!(look(&mut two).is_pending());
    let _three = waiting(pool.claim_slot(&ask("/")));
    pool.configure_slots(Slots { queue_max: 1, ..Slots::new(1) });
    assert_eq!(refused(pool.claim_slot(&ask("/"))).reason, Reason::QueueFull);
    drop(place);
    assert!(look(&mut two).is_pending(), "one slot, and it is in use");
    assert_eq!(pool.figures().unwrap().slots, 1);
}

#[test]
fn affinity_waits_for_its_endpoint_as_long_as_that_serves() {
    let affinity = Some(config::Affinity { cookie: "lb".into() });
    let pool = Pool::new(&config::Pool { slots: Some(Slots::new(1)), affinity, ..config::Pool::new("app") });
    let endpoints: Vec<_> = (1..=2).map(|index| endpoint(index, false)).collect();
    endpoints.iter().enumerate().for_each(|(index, endpoint)| pool.add(Arc::clone(endpoint), index));
    let routing = RoutingKey { affinity: Some(pool.affinity().unwrap().tag(&endpoints[1])), ..RoutingKey::default() };
    let of_its_own = placed(pool.claim_slot(&Ask { routing, ..ask("/") }));
    assert_eq!(of_its_own.endpoint().id(), endpoints[1].id());
    let mut next = waiting(pool.claim_slot(&Ask { routing, ..ask("/") }));
    drop(placed(pool.claim_slot(&ask("/"))));
    assert!(look(&mut next).is_pending(), "the other one is free, but it is not its own");
    endpoints[1].drain();
    pool.available_changed();
    assert_eq!(came(&mut next).endpoint().id(), endpoints[0].id());
}

#[test]
fn one_address_gets_half_of_the_queue_and_retry_after_grows_with_it() {
    let pool = pool(Slots { queue_max: 100, ..Slots::new(1) }, 1);
    let mut serving = placed(pool.claim_slot(&ask("/")));
    serving.served();
    let [one, other] = [1, 2].map(|last| Client::of([192, 0, 2, last].into()));
    let of_one = || pool.claim_slot(&Ask { client: Some(one), ..ask("/") });
    let first: Vec<Waiting> = (0..50).map(|_| waiting(of_one())).collect();
    let full = refused(of_one());
    assert_eq!(full.reason, Reason::QueueFull);
    // Nothing is known of the service time yet: a second each.
    assert!((38..=77).contains(&full.retry_after), "{full:?}");
    let other = waiting(pool.claim_slot(&Ask { client: Some(other), ..ask("/") }));
    drop(first);
    let _again = waiting(of_one());
    drop(other);
}

#[test]
fn newest_first_lets_the_oldest_go() {
    let slots = Slots { queue_max: 2, shed: config::Shed::NewestFirst, ..Slots::new(1) };
    let pool = pool(slots, 1);
    let serving = placed(pool.claim_slot(&ask("/")));
    let mut turns: Vec<Waiting> = (0..3).map(|_| waiting(pool.claim_slot(&ask("/")))).collect();
    let Poll::Ready(Err(shed)) = look(&mut turns[0]) else { panic!("the oldest waits still") };
    assert_eq!(shed.reason, Reason::Shed);
    drop(serving);
    came(&mut turns[1]);
}

#[test]
fn a_wait_ends_within_its_time() {
    let pool = pool(Slots::new(1), 1);
    let _serving = placed(pool.claim_slot(&ask("/")));
    let mut late = waiting(pool.claim_slot(&ask("/")));
    let (since, until) = (late.since(), late.look_at());
    assert!(until <= since + Duration::from_secs(5) && until >= since + Duration::from_millis(4_600));
    assert_eq!(late.look(since + Duration::from_secs(1)), Ok(()));
    assert_eq!(late.look(until).unwrap_err().reason, Reason::QueueTimeout);
    assert_eq!(pool.figures().unwrap().queued, 1);
    drop(late);
    assert_eq!(pool.figures().unwrap().queued, 0);
}

#[test]
fn slow_requests_leave_a_place_to_fast_ones_and_take_it_when_they_have_waited_long() {
    let pool = pool(Slots::new(1), 2);
    {
        let mut queue = pool.queue.as_ref().unwrap().lock().unwrap();
        for _ in 0..20 {
            let (now, page, report) =
                (Instant::now(), Kind::of(&Method::GET, "/page"), Kind::of(&Method::GET, "/report"));
            (0..5).for_each(|_| queue.forecast.learn(page, Duration::from_millis(2), true, now));
            queue.forecast.learn(report, Duration::from_millis(100), true, now);
        }
    }
    let slow = placed(pool.claim_slot(&ask("/report")));
    let mut next = waiting(pool.claim_slot(&ask("/report")));
    drop(placed(pool.claim_slot(&ask("/page"))));
    let ripe = next.look_at();
    assert!((Duration::from_millis(790)..=Duration::from_millis(810)).contains(&(ripe - next.since())));
    pool.tend(ripe - Duration::from_millis(5));
    assert!(look(&mut next).is_pending());
    pool.tend(ripe);
    came(&mut next);
    drop(slow);
}

#[test]
fn there_are_never_more_in_flight_than_slots_whatever_the_threads_do() {
    let pool = pool(Slots { queue_max: 1_000, queue_timeout: Duration::from_secs(60), ..Slots::new(2) }, 3);
    let served = Mutex::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (pool, served) = (&pool, &served);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for round in 0..2_000 {
                    let place = match pool.claim_slot(&ask("/")) {
                        SlotClaim::Place(place) => Some(place),
                        // Every so often somebody leaves instead of waiting.
                        SlotClaim::Wait(_) if (round + thread) % 7 == 0 => None,
                        SlotClaim::Wait(mut waiting) => {
                            let place = runtime.block_on(std::future::poll_fn(|cx| waiting.poll(cx)));
                            Some(place.unwrap())
                        }
                        SlotClaim::Refused(refused) => panic!("{refused:?}"),
                    };
                    let Some(place) = place else { continue };
                    assert!(place.endpoint().in_flight() <= 2, "{}", place.endpoint().in_flight());
                    *served.lock().unwrap() += 1;
                    if round % 3 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    assert!(*served.lock().unwrap() > 6_000);
    let figures = pool.figures().unwrap();
    assert_eq!((figures.queued, figures.slots_used), (0, 0));
}

#[test]
fn a_connection_goes_with_its_place_and_never_makes_one_too_many() {
    let pool = pool(Slots::new(2), 1);
    let pair = || std::os::unix::net::UnixStream::pair().unwrap();
    let keep = |place: &mut Place, stream: std::os::unix::net::UnixStream| {
        stream.set_nonblocking(true).unwrap();
        let connected = Connected::to(place.endpoint(), 0);
        place.check_in((Socket::bare(stream.into(), Family::Unix), connected), Duration::from_secs(60), Instant::now());
    };
    let (mut one, mut two) = (placed(pool.claim_slot(&ask("/"))), placed(pool.claim_slot(&ask("/"))));
    assert!(one.check_out(true, Instant::now()).is_none(), "time to open one");
    let ((ours, theirs), (closed, other_end)) = (pair(), pair());
    keep(&mut one, ours);
    keep(&mut two, closed);
    drop((one, two));
    drop(other_end);
    let (mut one, mut two) = (placed(pool.claim_slot(&ask("/"))), placed(pool.claim_slot(&ask("/"))));
    let found = [one.check_out(true, Instant::now()), two.check_out(true, Instant::now())];
    assert_eq!(found.iter().flatten().count(), 1, "the one that was closed is not used again");
    assert_eq!(one.endpoint().connections(), 1);
    keep(&mut one, found.into_iter().flatten().next().unwrap().0.into_bare().unwrap().into_descriptor().into());
    drop(one);
    // With fewer slots, the one in use is the last one there may be.
    pool.configure_slots(Slots::new(1));
    let mut end = [0];
    theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(std::io::Read::read(&mut &theirs, &mut end).unwrap(), 0, "it was closed");
    drop(two);
}

mod slow_clients;
