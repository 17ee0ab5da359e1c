//! `slots`, the queue in front of them, and what is held for a slow client. Decides what these keys mean together; called by
//! [`super::pool`]; never queues.

use std::time::Duration;

use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// At most so many requests at an endpoint, and how the others wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Slots {
    /// Requests at once per endpoint; at least 1.
    pub count: usize,
    /// Requests that wait, at most.
    pub queue_max: usize,
    /// How long each waits, at most.
    pub queue_timeout: Duration,
    /// Whether a place is kept free of requests that are expected to be slow.
    pub slow_lane: bool,
    /// What becomes of the queue under overload.
    pub shed: Shed,
}

/// Whom overload hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Who comes last; the others are served in order.
    Fifo,
    /// Who has waited longest; the newest are served first.
    NewestFirst,
}

/// Bytes held for a slow client, in memory; 0 holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// Of its request body, before an endpoint gets any of it.
    pub request: u64,
    /// Of its response, so that the endpoint is done when it has sent it.
    pub response: u64,
}

/// The keys of a pool that are about slots and buffers, and between these how many requests may wait. `waits`: whether they do
/// without slots too.
pub(in crate::config) fn read(section: &mut Section<'_>, waits: bool) -> (Option<Slots>, usize, Buffers) {
    let count = section.take("slots").and_then(|item| item.integer(0..=SLOTS_MAX)).unwrap_or(0);
    let default = Slots::new(count);
    let mut of_the_queue = |key| {
        let item: Option<Item<'_>> = section.take(key);
        if count == 0
            && !(waits && key == "queue_max")
            && let Some(item) = &item
        {
            let message = format!("`{key}` has no effect without `slots`");
            item.key_wrong(message, "add slots = 1, or as many requests as an endpoint takes at once, or leave it out");
        }
        item.filter(|_| count > 0 || key == "queue_max")
    };
    let queue_max = of_the_queue("queue_max").and_then(|item| item.integer(0..=QUEUE_MAX)).unwrap_or(default.queue_max);
    let slots = Slots {
        count,
        queue_max,
        queue_timeout: of_the_queue("queue_timeout")
            .and_then(|item| item.duration(TIMEOUT_MIN..=TIMEOUT_MAX))
            .unwrap_or(default.queue_timeout),
        slow_lane: of_the_queue("slow_lane").and_then(|item| item.flag()).unwrap_or(default.slow_lane),
        shed: of_the_queue("shed")
            .and_then(|item| item.choice(&[("fifo", Shed::Fifo), ("newest_first", Shed::NewestFirst)]))
            .unwrap_or(default.shed),
    };
    let default = Buffers::with_slots(count > 0);
    let mut size = |key| section.take(key).and_then(|item: Item<'_>| item.size(0..=BUFFER_MAX));
    let buffers = Buffers {
        request: size("buffer_request").unwrap_or(default.request),
        response: size("buffer_response").unwrap_or(default.response),
    };
    ((count > 0).then_some(slots), queue_max, buffers)
}

/// More than this is the same as none.
const SLOTS_MAX: usize = 65_536;

/// Each one that waits holds a client's connection.
const QUEUE_MAX: usize = 1_000_000;

/// Below it a scheduler's pause would refuse requests.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// No client waits longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// For one client; larger bodies belong on a disk, which is not ours to fill.
const BUFFER_MAX: u64 = 1 << 30;
