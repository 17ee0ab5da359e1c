//! Laws of queues: how long a request takes where so many are there, how long it waits where so many serve.
//!
//! Pure. Called by [`super::sentences`] and [`super::watch`].

use std::time::Duration;

/// Little's law (Little 1961): what arrives at `rate` a second and of which `mean` are there stays for so many seconds. `None` where nothing
/// arrives.
pub(super) fn stay(mean: f64, rate: f64) -> Option<f64> {
    (rate > 0.0).then(|| mean / rate)
}

/// The share of requests that wait, of `load` (arrivals a second times seconds of service) at so many servers: Erlang's C formula, for
/// arrivals and services at random. 1.0 where they are not enough.
pub(super) fn share_that_waits(load: f64, servers: usize) -> f64 {
    if load >= servers as f64 {
        return 1.0;
    }
    // Erlang's B by its recursion, in which nothing grows beyond 1.
    let blocked = (1..=servers).fold(1.0, |blocked, server| load * blocked / (server as f64 + load * blocked));
    blocked / (1.0 - load / servers as f64 * (1.0 - blocked))
}

/// How long 95 of 100 requests wait at most, where each takes `service` seconds; `None` where the queue has no end.
pub(super) fn wait_p95(rate: f64, service: f64, servers: usize) -> Option<Duration> {
    let load = rate * service;
    if load >= servers as f64 {
        return None;
    }
    let waits = share_that_waits(load, servers);
    if waits <= LATE {
        return Some(Duration::ZERO);
    }
    // P(wait > t) = C · e^(−(c − a) t / s); solved for 0.05.
    let seconds = (waits / LATE).ln() * service / (servers as f64 - load);
    Some(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}

/// The fewest servers at which 95 of 100 wait no longer than `wish`.
pub(super) fn servers_for(rate: f64, service: f64, wish: Duration) -> Option<usize> {
    let load = rate * service;
    let first = load.floor().max(0.0) as usize + 1;
    (first..first.saturating_add(SEARCHED))
        .find(|servers| wait_p95(rate, service, *servers).is_some_and(|wait| wait <= wish))
}

/// What is left of 100 % by 95 %.
const LATE: f64 = 0.05;
/// Far above what a wish of zero needs: the share that waits falls by more than half with each.
const SEARCHED: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formulas_give_what_the_books_say() {
        assert_eq!(stay(4.0, 8.0), Some(0.5));
        assert_eq!(stay(4.0, 0.0), None);
        // With one server the share that waits is its load.
        assert!((share_that_waits(0.5, 1) - 0.5).abs() < 1e-12);
        // Erlang's table: two servers, load 1: 1/3.
        assert!((share_that_waits(1.0, 2) - 1.0 / 3.0).abs() < 1e-12);
        // Ten servers, load 7: 0.2217.
        assert!((share_that_waits(7.0, 10) - 0.2217).abs() < 1e-4);
        assert_eq!((share_that_waits(3.0, 2), share_that_waits(0.0, 2)), (1.0, 0.0));
    }

    #[test]
    fn one_server_at_half_its_load_has_95_of_100_wait_for_4_6_services() {
        // ln(0.5 / 0.05) / 0.5 = 4.605.
        let wait = wait_p95(5.0, 0.1, 1).unwrap();
        assert!((wait.as_secs_f64() - 0.4605).abs() < 1e-3, "{wait:?}");
        assert_eq!(wait_p95(0.1, 0.1, 1), Some(Duration::ZERO), "fewer than five of 100 wait at all");
        assert_eq!((wait_p95(10.0, 0.1, 1), wait_p95(20.0, 0.1, 1)), (None, None));
    }

    #[test]
    fn the_fewest_servers_hold_the_wish_and_one_fewer_does_not() {
        for (rate, service, wish) in [(5.0, 0.1, 100), (40.0, 0.25, 50), (900.0, 0.1, 10), (0.0, 0.0, 100)] {
            let wish = Duration::from_millis(wish);
            let servers = servers_for(rate, service, wish).unwrap();
            assert!(wait_p95(rate, service, servers).unwrap() <= wish);
            let fewer =
                servers.checked_sub(1).filter(|fewer| *fewer > 0).and_then(|fewer| wait_p95(rate, service, fewer));
            assert!(fewer.is_none_or(|wait| wait > wish), "{rate} {service}");
        }
        assert_eq!(servers_for(5.0, 0.1, Duration::from_secs(1)), Some(1));
        assert!(servers_for(5.0, 0.1, Duration::ZERO).is_some_and(|servers| servers <= 4));
    }
}
