//! When a certificate is renewed. Pure.

use std::time::Duration;

use jiff::Timestamp;
use rand::{Rng, RngExt};

use super::pace::later;
use crate::tls::Certificate;

/// What the CA has said about it (RFC 9773).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suggested {
    /// A moment within the span that the CA has named.
    pub(super) at: Timestamp,
    /// When it is asked again.
    pub(super) ask: Timestamp,
}

impl Suggested {
    /// A moment of the span, at random, so that not everybody comes at once; a span that is over means now (RFC 9773 §4.2).
    pub(super) fn of(
        (start, end): (Timestamp, Timestamp),
        ask_in: Duration,
        now: Timestamp,
        rng: &mut impl Rng,
    ) -> Self {
        let (start, end) = (start.as_second(), end.as_second().max(start.as_second()));
        let at = Timestamp::from_second(rng.random_range(start..=end)).unwrap_or(now);
        Self { at, ask: later(now, ask_in.clamp(ASK_MIN, ASK_MAX)) }
    }
}

/// The moment for the next order: the one that the CA suggests, else when two thirds of its time are over. Never behind its end.
pub(super) fn due(certificate: &Certificate, suggested: Option<Suggested>) -> Timestamp {
    let (from, until) = (certificate.not_before.as_second(), certificate.not_after.as_second());
    let usual = || Timestamp::from_second(from + (until - from).max(0) * 2 / 3).unwrap_or(certificate.not_after);
    suggested.map_or_else(usual, |suggested| suggested.at).min(certificate.not_after)
}

/// Between two questions of when to renew, whatever the CA says.
const ASK_MIN: Duration = Duration::from_secs(3600);
const ASK_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::tls::Pair;

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Valid for 90 days, from the second 1,000,000,000 on.
    fn certificate() -> Certificate {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let date = |days: u64| rcgen::date_time_ymd(2001, 9, 9) + Duration::from_secs(days * 24 * 3600);
        (params.not_before, params.not_after) = (date(0), date(90));
        let key = rcgen::KeyPair::generate().unwrap();
        let text = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        let shown = crate::tls::Shown::called("a test");
        Pair::of_pem(text.as_bytes(), text.as_bytes(), &shown).unwrap().certificate
    }

    #[test]
    fn a_third_of_its_time_is_left_for_what_goes_wrong() {
        let certificate = certificate();
        let from = certificate.not_before.as_second();
        assert_eq!(due(&certificate, None), at(from + 60 * DAY));
    }

    #[test]
    fn the_ca_may_say_another_time_but_none_behind_the_end() {
        let certificate = certificate();
        let (from, until) = (certificate.not_before.as_second(), certificate.not_after);
        let mut rng = SmallRng::seed_from_u64(1);
        let now = at(from);
        for _ in 0..100 {
            let span = (at(from + 10 * DAY), at(from + 12 * DAY));
            let suggested = Suggested::of(span, Duration::ZERO, now, &mut rng);
            let due = due(&certificate, Some(suggested));
            assert!((span.0..=span.1).contains(&due), "{due}");
            assert_eq!(suggested.ask, at(from + 3600), "it is not asked more often than once an hour");
        }
        let late = Suggested::of((at(from + 100 * DAY), at(from)), Duration::MAX, now, &mut rng);
        assert_eq!(due(&certificate, Some(late)), until, "also where the span is upside down");
        assert_eq!(late.ask, at(from + DAY));
    }
}
