use super::super::answer::DnsFailure;
use super::*;

const HOLD: Duration = Duration::from_secs(30);

/// A name and the time.
struct Name {
    known: Known,
    now: Instant,
}

impl Name {
    fn new() -> Self {
        Self { known: Known::default(), now: Instant::now() }
    }

    /// Two seconds later; who has come and who is gone.
    fn answered(&mut self, v4: Part<FoundPlace>, v6: Part<FoundPlace>) -> (String, String) {
        self.now += Duration::from_secs(2);
        let changes = self.known.answered(&DnsAnswer { v4, v6, unknown: false }, HOLD, self.now);
        (text(changes.come.iter().map(|place| place.address)), text(changes.gone.into_iter()))
    }

    fn v4(&mut self, last: &[u8]) -> (String, String) {
        self.answered(v4(last), Part::of(Vec::new()))
    }

    fn there(&self) -> String {
        text(self.known.addresses())
    }
}

/// The last bytes: `1` is 10.0.0.1, `:1` is fd00::1.
fn text(addresses: impl Iterator<Item = SocketAddr>) -> String {
    let short = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => v4.ip().octets()[3].to_string(),
        SocketAddr::V6(v6) => format!(":{:x}", v6.ip().segments()[7]),
    };
    addresses.map(short).collect::<Vec<_>>().join(" ")
}

fn place(address: &str) -> FoundPlace {
    FoundPlace { address: address.parse().unwrap(), weight: 1, backup: false }
}

fn v4(last: &[u8]) -> Part<FoundPlace> {
    Part::of(last.iter().map(|last| place(&format!("10.0.0.{last}:80"))).collect())
}

fn v6(last: &[u8]) -> Part<FoundPlace> {
    Part::of(last.iter().map(|last| place(&format!("[fd00::{last}]:80"))).collect())
}

fn failed() -> Part<FoundPlace> {
    Part::failed(DnsFailure::Refused("SERVFAIL".into()))
}

fn pair(come: &str, gone: &str) -> (String, String) {
    (come.to_owned(), gone.to_owned())
}

#[test]
fn an_address_leaves_after_three_complete_answers_without_it() {
    let mut name = Name::new();
    assert_eq!(name.v4(&[1, 2]), pair("1 2", ""));
    assert_eq!(name.v4(&[2]), pair("", ""));
    assert_eq!(name.v4(&[2]), pair("", ""));
    assert_eq!(name.v4(&[2, 3]), pair("3", "1"));
    assert_eq!(name.there(), "2 3");
}

#[test]
fn the_order_of_an_answer_means_nothing_and_answers_that_take_turns_keep_all() {
    let mut name = Name::new();
    name.v4(&[1, 2, 3]);
    for turn in 0..20 {
        let answer: &[u8] = if turn % 2 == 0 { &[3, 1] } else { &[2, 3] };
        assert_eq!(name.v4(answer), pair("", ""), "{turn}");
    }
    assert_eq!(name.there(), "1 2 3");
}

#[test]
fn a_family_that_fails_keeps_its_addresses_while_the_other_changes() {
    let mut name = Name::new();
    assert_eq!(name.answered(v4(&[1]), v6(&[1])), pair("1 :1", ""));
    for _ in 0..3 {
        name.answered(v4(&[2]), failed());
    }
    assert_eq!(name.there(), "2 :1");
    for _ in 0..3 {
        name.answered(failed(), v6(&[2]));
    }
    assert_eq!(name.there(), "2 :2");
    // What a failed family has brought all the same counts.
    let partial = Part { failed: Some(DnsFailure::Silent), ..v4(&[3]) };
    assert_eq!(name.answered(partial, failed()), pair("3", ""));
}

#[test]
fn failures_keep_what_there_is_for_ever() {
    let mut name = Name::new();
    name.v4(&[1]);
    let answered = name.known.last_answer();
    for _ in 0..1_000 {
        assert_eq!(name.answered(failed(), failed()), pair("", ""));
    }
    assert_eq!((name.there(), name.known.last_answer()), ("1".to_owned(), answered));
}

#[test]
fn a_name_without_addresses_keeps_them_for_the_hold_and_no_longer() {
    let mut name = Name::new();
    name.v4(&[1, 2]);
    for _ in 0..15 {
        assert_eq!(name.v4(&[]), pair("", ""));
    }
    // 30 s after the first empty answer.
    assert_eq!(name.v4(&[]), pair("", "1 2"));
    assert_eq!(name.v4(&[3]), pair("3", ""));
    // A failure in between neither ends the hold nor begins it anew.
    name.v4(&[]);
    for _ in 0..20 {
        assert_eq!(name.answered(failed(), failed()), pair("", ""));
    }
    assert_eq!(name.v4(&[]), pair("", "3"));
}

#[test]
fn an_answer_with_addresses_ends_the_hold() {
    let mut name = Name::new();
    name.v4(&[1]);
    for _ in 0..14 {
        name.v4(&[]);
    }
    name.v4(&[1]);
    for _ in 0..15 {
        assert_eq!(name.v4(&[]), pair("", ""));
    }
    assert_eq!(name.there(), "1");
}

#[test]
fn a_family_that_always_fails_does_not_keep_the_other_alive() {
    let mut name = Name::new();
    name.answered(v4(&[1]), failed());
    for _ in 0..15 {
        assert_eq!(name.answered(v4(&[]), failed()), pair("", ""));
    }
    assert_eq!(name.answered(v4(&[]), failed()), pair("", "1"));
}

#[test]
fn another_weight_or_role_is_told_once() {
    let mut name = Name::new();
    let heavy = FoundPlace { weight: 5, ..place("10.0.0.1:80") };
    let answer = |place| DnsAnswer { v4: Part::of(vec![place]), v6: Part::of(Vec::new()), unknown: false };
    name.known.answered(&answer(place("10.0.0.1:80")), HOLD, name.now);
    assert_eq!(name.known.answered(&answer(heavy), HOLD, name.now).changed, [heavy]);
    assert_eq!(name.known.answered(&answer(heavy), HOLD, name.now), PlaceChanges::default());
}

#[test]
fn another_name_replaces_the_addresses_with_its_second_complete_answer() {
    let mut name = Name::new();
    name.answered(v4(&[1, 2]), v6(&[1]));
    name.known.renamed();
    assert_eq!(name.known.last_answer(), None);
    assert_eq!(name.answered(failed(), failed()), pair("", ""));
    assert_eq!(name.v4(&[2, 3]), pair("3", ""));
    assert_eq!(name.v4(&[2, 3]), pair("", "1 :1"));
}

#[test]
fn there_is_an_end_to_what_is_taken() {
    let mut name = Name::new();
    let places = (0..5_000_u32).map(|n| FoundPlace {
        address: (std::net::Ipv4Addr::from_bits(0x0a00_0000 + n), 80).into(),
        weight: 1,
        backup: false,
    });
    let answer = DnsAnswer { v4: Part::of(places.collect()), v6: Part::of(Vec::new()), unknown: false };
    let changes = name.known.answered(&answer, HOLD, name.now);
    assert_eq!((changes.come.len(), changes.refused, name.known.addresses().len()), (4_096, 904, 4_096));
}

#[test]
fn two_hundred_addresses_of_which_one_changes_each_time_stay_two_hundred_and_two() {
    let mut name = Name::new();
    for turn in 0..2_000_u32 {
        let places = (turn..turn + 200).map(|n| FoundPlace {
            address: (std::net::Ipv4Addr::from_bits(0x0a00_0000 + n), 80).into(),
            weight: 1,
            backup: false,
        });
        let answer = DnsAnswer { v4: Part::of(places.collect()), v6: Part::of(Vec::new()), unknown: false };
        name.now += Duration::from_secs(1);
        let changes = name.known.answered(&answer, HOLD, name.now);
        assert!(changes.come.len() <= 200 && changes.gone.len() <= 1);
        assert!(name.known.addresses().len() <= 202);
    }
}
