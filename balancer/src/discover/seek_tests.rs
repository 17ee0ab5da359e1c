use std::collections::VecDeque;
use std::net::{IpAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::answer::{DnsFailure, Part};
use super::*;
use crate::config;
use crate::pool::Pool;

/// Gives its answers one after another, the last for ever; knows when it was asked.
struct Script {
    answers: Mutex<VecDeque<DnsAnswer<FoundPlace>>>,
    asked: Mutex<Vec<Instant>>,
}

impl Script {
    fn of(answers: Vec<DnsAnswer<FoundPlace>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into()), asked: Mutex::default() })
    }
}

impl Resolve for Script {
    async fn host(&self, _name: &str) -> DnsAnswer<IpAddr> {
        DnsAnswer::failed(&DnsFailure::Silent)
    }

    async fn places(&self, _name: &DnsName) -> DnsAnswer<FoundPlace> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        let mut answers = self.answers.lock().unwrap();
        match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        }
    }
}

fn answer(addresses: &[SocketAddr]) -> DnsAnswer<FoundPlace> {
    let found = addresses.iter().map(|&address| FoundPlace { address, weight: 1, backup: false });
    DnsAnswer { v4: Part::of(found.collect()), v6: Part::of(Vec::new()), unknown: false }
}

fn failed() -> DnsAnswer<FoundPlace> {
    DnsAnswer::failed(&DnsFailure::Refused("SERVFAIL".into()))
}

/// A listener of this machine, whose backlog takes the connections of the test.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

struct Running {
    pool: Arc<Pool>,
    settings: watch::Sender<Arc<DiscoverySettings>>,
    shown: watch::Receiver<NamesShown>,
    _listen: watch::Sender<Vec<ListenAddress>>,
}

/// Follows the script with an interval of one second; `fixed` are the pool's own endpoints, `own` is where we listen.
fn follow(script: &Arc<Script>, fixed: &[SocketAddr], own: &[SocketAddr]) -> Running {
    let mut config = config::Pool::new("app");
    config.dns.name = Some(DnsName { name: "app".into(), port: Some(80) });
    config.dns.interval = Duration::from_secs(1);
    config.endpoints = fixed
        .iter()
        .map(|at| config::Endpoint::new(Address::Tcp { host: Host::Ip(at.ip()), port: at.port() }))
        .collect();
    let pool = Pool::new(&config);
    let settings = watch::Sender::new(Arc::new(DiscoverySettings { pool: Arc::clone(&pool), config }));
    let (shown, listen) = (watch::Sender::default(), watch::Sender::default());
    listen.send_replace(own.iter().map(|own| ListenAddress::Tcp(*own)).collect::<Vec<_>>());
    let seeker = Seeker {
        resolver: Arc::clone(script),
        listen: listen.subscribe(),
        permits: Permits::default(),
        settings: settings.subscribe(),
        candidates: Arc::default(),
        shown: shown.clone(),
    };
    tokio::spawn(seeker.run());
    Running { pool, settings, shown: shown.subscribe(), _listen: listen }
}

impl Running {
    fn names(&self) -> Vec<String> {
        self.pool.endpoints().iter().map(|endpoint| endpoint.name().to_string()).collect()
    }

    /// Waits until the members are these, in whatever order.
    async fn members(&mut self, expected: &[SocketAddr]) {
        let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        expected.sort();
        let waiting = async {
            loop {
                let mut names = self.names();
                names.sort();
                if names == expected {
                    return;
                }
                self.shown.changed().await.unwrap();
            }
        };
        let waited = timeout(Duration::from_secs(600), waiting).await;
        assert!(waited.is_ok(), "{:?} became never {expected:?}", self.names());
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_once_a_second_and_no_oftener_whatever_the_answer() {
    let (_listener, at) = listener();
    let script = Script::of(vec![failed(), failed(), answer(&[]), answer(&[at]), failed(), answer(&[at])]);
    let mut running = follow(&script, &[], &[]);
    running.members(&[at]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = script.asked.lock().unwrap().clone();
    assert!(asked.len() >= 12, "{asked:?}");
    for pair in asked.windows(2) {
        let pause = pair[1] - pair[0];
        assert!((Duration::from_millis(1_000)..=Duration::from_millis(1_101)).contains(&pause), "{pause:?}");
    }
    let shown = running.shown.borrow().names["app:80"].clone();
    assert!(shown.answered.is_some() && shown.problem.is_none() && shown.addresses == [at], "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_joins_when_it_accepts_and_not_before() {
    let (listener, at) = listener();
    drop(listener);
    let (_other, second) = self::listener();
    let mut running = follow(&Script::of(vec![answer(&[at, second])]), &[], &[]);
    running.members(&[second]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(running.names(), [second.to_string()]);
    let _listener = TcpListener::bind(at).unwrap();
    running.members(&[at, second]).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_without_connections_leaves_until_it_accepts_one() {
    let (listener, at) = listener();
    let mut running = follow(&Script::of(vec![answer(&[at])]), &[], &[]);
    running.members(&[at]).await;
    let endpoint = Arc::clone(&running.pool.endpoints()[0]);
    drop(listener);
    endpoint.claim().unwrap().unreachable(&"refused");
    running.members(&[]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(running.names().is_empty());
    let _listener = TcpListener::bind(at).unwrap();
    running.members(&[at]).await;
    assert_eq!(running.pool.endpoints()[0].id(), endpoint.id(), "what is known of it stays");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_answers_drains_and_who_comes_back_is_new() {
    let ((_one, a), (_two, b)) = (listener(), listener());
    let mut answers = vec![answer(&[a, b])];
    answers.extend(std::iter::repeat_n(answer(&[b]), 6));
    answers.push(answer(&[a, b]));
    let mut running = follow(&Script::of(answers), &[], &[]);
    running.members(&[a, b]).await;
    let first = running.pool.endpoints().into_iter().find(|one| **one.name() == *a.to_string()).unwrap();
    running.members(&[b]).await;
    assert!(!first.accepts());
    running.members(&[a, b]).await;
    assert!(running.pool.endpoints().iter().all(|one| one.accepts() && one.found_by().is_some()));
}

#[tokio::test(start_paused = true)]
async fn our_own_listener_and_what_the_configuration_names_are_no_new_members() {
    let ((_one, a), (_two, b), (_three, c)) = (listener(), listener(), listener());
    let mut running = follow(&Script::of(vec![answer(&[a, b, c])]), &[b], &[c]);
    running.members(&[a, b]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.members(&[a, b]).await;
}

#[tokio::test(start_paused = true)]
async fn another_name_is_asked_for_at_once_and_its_addresses_replace_the_others() {
    let ((_one, a), (_two, b)) = (listener(), listener());
    let script = Script::of(vec![answer(&[a]), answer(&[b])]);
    let mut running = follow(&script, &[], &[]);
    running.members(&[a]).await;
    let mut config = running.settings.borrow().config.clone();
    config.dns.name = Some(DnsName { name: "other".into(), port: Some(80) });
    running.settings.send_replace(Arc::new(DiscoverySettings { pool: Arc::clone(&running.pool), config }));
    running.members(&[a, b]).await;
    running.members(&[b]).await;
    assert!(!running.shown.borrow().names["other:80"].addresses.contains(&a));
}
