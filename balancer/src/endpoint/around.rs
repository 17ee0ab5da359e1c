//! Which clients have asked a pool for something within the last seconds, or have something that lasts: as far as it takes to tell
//! one from several.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::net::ClientKey;

/// The clients of a pool in these seconds. A request costs a load when it begins and when it ends, and a store where it is the first
/// of its client in this second.
///
/// Two whose keys fall into one place hide each other: of 64 one in as many pairs. It is a hint, and bounded.
#[derive(Debug)]
pub struct Around {
    /// Each has the key of a client above the second in which it was seen last; 0: nobody.
    places: [AtomicU64; 1 << BITS],
    /// How much there is that lasts, of the clients of each place.
    staying: [AtomicU32; 1 << BITS],
    born: Instant,
}

/// Something of a client that lasts, a tunnel or an event stream: it is around until this is dropped.
#[derive(Debug)]
pub struct Stays {
    around: Arc<Around>,
    place: usize,
}

impl Default for Around {
    fn default() -> Self {
        let staying = [const { AtomicU32::new(0) }; 1 << BITS];
        Self { places: [const { AtomicU64::new(0) }; 1 << BITS], staying, born: Instant::now() }
    }
}

impl Around {
    /// A client asks for something, or has got it.
    pub fn saw(&self, client: ClientKey, now: Instant) {
        let word = u64::from(client.bits()) << 32 | u64::from(self.second(now));
        let place = &self.places[place(client)];
        if place.load(Ordering::Relaxed) != word {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// A client has something that lasts.
    pub fn stays(self: &Arc<Self>, client: ClientKey) -> Stays {
        let place = place(client);
        self.staying[place].fetch_add(1, Ordering::Relaxed);
        Stays { around: Arc::clone(self), place }
    }

    /// How many clients have asked for something lately, or have something that lasts.
    pub fn count(&self, now: Instant) -> usize {
        let lately = u64::from(self.second(now).saturating_sub(LATELY)).max(1);
        let seconds = self.places.iter().map(|place| place.load(Ordering::Relaxed) & u64::from(u32::MAX));
        let staying = self.staying.iter().map(|staying| staying.load(Ordering::Relaxed) > 0);
        seconds.zip(staying).filter(|(second, stays)| *second >= lately || *stays).count()
    }

    /// From 1.
    fn second(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.born) + Duration::from_secs(1);
        u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        self.around.staying[self.place].fetch_sub(1, Ordering::Relaxed);
    }
}

fn place(client: ClientKey) -> usize {
    (client.bits() >> (32 - BITS)) as usize
}

const BITS: u32 = 6;
/// Seconds: whoever uses what we serve comes again within as many.
const LATELY: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_around_for_ten_seconds_after_they_have_asked() {
        let (around, now) = (Around::default(), Instant::now());
        let client = |last: u8| ClientKey::of(Some([192, 0, 2, last].into()));
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(around.count(now), 0);
        (0..100).for_each(|_| around.saw(client(1), now));
        assert_eq!((around.count(now), around.count(after(9)), around.count(after(12))), (1, 1, 0));
        around.saw(client(2), after(5));
        around.saw(ClientKey::default(), after(5));
        assert_eq!((around.count(after(6)), around.count(after(12))), (3, 2));
    }

    #[test]
    fn clients_are_around_as_long_as_they_have_something_that_lasts() {
        let (around, now) = (Arc::new(Around::default()), Instant::now());
        let client = |last: u8| ClientKey::of(Some([192, 0, 2, last].into()));
        let hour = now + Duration::from_secs(3_600);
        around.saw(client(1), now);
        let [first, other] = [1, 1].map(|last| around.stays(client(last)));
        assert_eq!((around.count(now), around.count(hour)), (1, 1));
        let second = around.stays(client(2));
        assert_eq!(around.count(hour), 2);
        drop((first, second));
        assert_eq!(around.count(hour), 1);
        drop(other);
        assert_eq!(around.count(hour), 0);
    }
}
