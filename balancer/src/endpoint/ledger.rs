//! What is in flight at a worker's endpoint, so that its end can be explained, and what of its limits is used up.
//!
//! Decides nothing. Called by [`super::Endpoint`] and its places, on all threads; read by `supervise`. Never holds more than
//! [`PLACES`] requests: those beyond are counted, and not named.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::http1::{RequestHead, RequestTarget};

/// A request that is in flight, or was a moment ago.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Its head, as it came.
    pub head: Arc<RequestHead>,
    /// Its `X-Request-Id`.
    pub id: [u8; 32],
    /// Who sent it; `None` where that is not known by an address.
    pub client: Option<IpAddr>,
    /// When it began.
    pub begun: Instant,
    /// When it was given to this worker.
    pub given: Instant,
}

impl Noted {
    /// Its target without scheme and authority.
    pub fn target(&self) -> &str {
        match RequestTarget::of(self.head.target()) {
            RequestTarget::Absolute { rest: "", .. } => "/",
            RequestTarget::Absolute { rest, .. } => rest,
            _ => self.head.target(),
        }
    }

    /// Its path, without the query.
    pub fn path(&self) -> &str {
        match self.target().split('?').next() {
            None | Some("") => "/",
            Some(path) => path,
        }
    }
}

/// Why a worker's endpoint asks to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplaceCause {
    /// A request was not answered in time.
    Hung,
    /// It has had as many requests as it may have.
    RequestsMax,
}

/// The requests at one worker. A place costs two uncontended locks and two bits; nothing is formatted or allocated.
#[derive(Debug)]
pub(super) struct Ledger {
    /// A bit is set as long as the place is somebody's.
    taken: [AtomicU64; WORDS],
    places: Box<[Mutex<Option<Noted>>]>,
    /// Whose connection the worker has closed without an answer, and when. A dying process closes its connections before
    /// anybody can hear of its end.
    cut: Mutex<VecDeque<(Instant, Noted)>>,
    served: AtomicU64,
    requests_max: u64,
    hung: AtomicBool,
    alarm: Notify,
}

impl Ledger {
    /// Empty; `requests_max` raises an alarm.
    pub(super) fn new(requests_max: Option<u64>) -> Self {
        Self {
            taken: std::array::from_fn(|_| AtomicU64::new(0)),
            places: (0..PLACES).map(|_| Mutex::new(None)).collect(),
            cut: Mutex::default(),
            served: AtomicU64::new(0),
            requests_max: requests_max.unwrap_or(u64::MAX),
            hung: AtomicBool::new(false),
            alarm: Notify::new(),
        }
    }

    /// One more request.
    pub(super) fn count(&self) {
        if self.served.fetch_add(1, Ordering::Relaxed) + 1 == self.requests_max {
            self.alarm.notify_one();
        }
    }

    /// Puts a request down; `None` when there is no room.
    pub(super) fn enter(&self, noted: Noted) -> Option<u8> {
        for (word, taken) in self.taken.iter().enumerate() {
            loop {
                let before = taken.load(Ordering::Relaxed);
                let bit = before.trailing_ones();
                if bit == u64::BITS {
                    break;
                }
                if taken.fetch_or(1 << bit, Ordering::Acquire) & (1 << bit) == 0 {
                    let place = word * u64::BITS as usize + bit as usize;
                    *self.places[place].lock().unwrap_or_else(PoisonError::into_inner) = Some(noted);
                    return u8::try_from(place).ok();
                }
            }
        }
        None
    }

    /// Crosses a request out.
    pub(super) fn leave(&self, place: u8) {
        let place = usize::from(place);
        // Dropped behind the lock.
        let _noted = self.places[place].lock().unwrap_or_else(PoisonError::into_inner).take();
        let (word, bit) = (place / u64::BITS as usize, place % u64::BITS as usize);
        self.taken[word].fetch_and(!(1 << bit), Ordering::Release);
    }

    /// The worker has closed that request's connection without an answer.
    pub(super) fn cut(&self, place: u8) {
        let noted = self.places[usize::from(place)].lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(noted) = noted {
            let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
            if cut.len() == PLACES {
                cut.pop_front();
            }
            cut.push_back((Instant::now(), noted));
        }
    }

    /// Those in flight and those cut within the last second, oldest first, each once.
    pub(super) fn requests(&self, now: Instant) -> Vec<Noted> {
        let in_flight = self.places.iter().filter_map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let mut all: Vec<Noted> = in_flight.collect();
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = cut.iter().filter(|(at, _)| now.saturating_duration_since(*at) < CUT_RECENTLY);
        for (_, noted) in recent {
            if all.iter().all(|other| other.id != noted.id) {
                all.push(noted.clone());
            }
        }
        all.sort_by_key(|noted| noted.begun);
        all
    }

    /// A request was not answered in time.
    pub(super) fn report_hang(&self) {
        self.hung.store(true, Ordering::Relaxed);
        self.alarm.notify_one();
    }

    /// Waits for a reason to replace the worker.
    pub(super) async fn alarmed(&self) -> ReplaceCause {
        self.alarm.notified().await;
        if self.hung.load(Ordering::Relaxed) { ReplaceCause::Hung } else { ReplaceCause::RequestsMax }
    }
}

const WORDS: usize = 2;
/// Requests that can be named.
const PLACES: usize = WORDS * 64;
const CUT_RECENTLY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Fields;

    fn noted(number: usize) -> Noted {
        let head = RequestHead::parse(format!("GET /{number} HTTP/1.1\r\n\r\n").as_bytes(), Fields::default()).unwrap();
        let id = format!("{number:032}").as_bytes().try_into().unwrap();
        Noted { head: Arc::new(head), id, client: None, begun: Instant::now(), given: Instant::now() }
    }

    fn targets(ledger: &Ledger, now: Instant) -> Vec<String> {
        ledger.requests(now).iter().map(|noted| noted.target().to_owned()).collect()
    }

    #[test]
    fn those_in_flight_are_named_until_they_leave() {
        let ledger = Ledger::new(None);
        let places: Vec<_> = (0..3).map(|number| ledger.enter(noted(number)).unwrap()).collect();
        assert_eq!(targets(&ledger, Instant::now()), ["/0", "/1", "/2"]);
        ledger.leave(places[1]);
        assert_eq!(targets(&ledger, Instant::now()), ["/0", "/2"]);
        assert_eq!(ledger.enter(noted(3)), Some(places[1]));
    }

    #[test]
    fn what_was_cut_is_named_for_a_second_and_once() {
        let ledger = Ledger::new(None);
        let place = ledger.enter(noted(1)).unwrap();
        ledger.cut(place);
        assert_eq!(targets(&ledger, Instant::now()), ["/1"]);
        ledger.leave(place);
        assert_eq!(targets(&ledger, Instant::now()), ["/1"]);
        assert!(targets(&ledger, Instant::now() + CUT_RECENTLY).is_empty());
    }

    #[test]
    fn requests_beyond_its_room_are_not_named() {
        let ledger = Ledger::new(None);
        let places: Vec<_> = (0..PLACES).map(|number| ledger.enter(noted(number)).unwrap()).collect();
        assert_eq!(ledger.enter(noted(999)), None);
        places.into_iter().for_each(|place| ledger.leave(place));
        assert!(ledger.requests(Instant::now()).is_empty());
        assert_eq!(ledger.enter(noted(1)), Some(0));
    }

    #[test]
    fn threads_share_it_without_losing_a_place() {
        let ledger = Ledger::new(None);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let ledger = &ledger;
                scope.spawn(move || {
                    for number in 0..2_000 {
                        let places: Vec<_> = (0..20).filter_map(|_| ledger.enter(noted(thread + number))).collect();
                        assert_eq!(places.len(), 20);
                        places.into_iter().for_each(|place| ledger.leave(place));
                    }
                });
            }
        });
        assert!(ledger.taken.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }
}
