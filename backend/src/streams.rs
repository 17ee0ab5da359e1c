//! Bytes that come piece by piece.
//!
//! Decides the pieces, their size and their pace. Called by the bodies hyper sends and by the raw answers. Never holds
//! more than one piece.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

/// `0…9a…z` over and over, cut into pieces with a pause between two.
#[derive(Debug)]
pub(crate) struct Pattern {
    sent: u64,
    length: u64,
    piece: usize,
    pace: Pace,
}

impl Pattern {
    pub(crate) fn new(length: u64, piece: usize, pause: Duration) -> Pattern {
        Pattern { sent: 0, length, piece: piece.clamp(1, PIECE_MAX), pace: Pace::new(pause) }
    }

    /// Bytes still to come.
    pub(crate) fn left(&self) -> u64 {
        self.length - self.sent
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll(cx));
        let offset = usize::try_from(self.sent % PERIOD as u64).unwrap_or(0);
        let length = usize::try_from(self.left()).unwrap_or(usize::MAX).min(self.piece);
        self.sent += length as u64;
        Poll::Ready(Some(Bytes::from_static(&PATTERN[offset..offset + length])))
    }
}

/// Server-sent events `data: 1`, `data: 2`, …, the first at once.
#[derive(Debug)]
pub(crate) struct Events {
    sent: u64,
    count: u64,
    pace: Pace,
}

impl Events {
    pub(crate) fn new(count: u64, interval: Duration) -> Events {
        Events { sent: 0, count, pace: Pace::new(interval) }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.sent == self.count {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll(cx));
        self.sent += 1;
        Poll::Ready(Some(format!("data: {}\n\n", self.sent).into()))
    }
}

/// Ready the first time, then once an interval.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(interval: Duration) -> Pace {
        Pace { interval, next: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.interval.is_zero() {
            return Poll::Ready(());
        }
        let next = Instant::now() + self.interval;
        match &mut self.next {
            Some(sleep) => {
                ready!(sleep.as_mut().poll(cx));
                sleep.as_mut().reset(next);
            }
            None => self.next = Some(Box::pin(tokio::time::sleep_until(next))),
        }
        Poll::Ready(())
    }
}

/// The largest piece, in bytes.
pub(crate) const PIECE_MAX: usize = 64 * 1024;

const DIGITS: &[u8; PERIOD] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const PERIOD: usize = 36;

/// Long enough for the largest piece from any offset.
static PATTERN: [u8; PIECE_MAX + PERIOD] = {
    let mut bytes = [0; PIECE_MAX + PERIOD];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = DIGITS[at % PERIOD];
        at += 1;
    }
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(mut pattern: Pattern) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = std::future::poll_fn(|cx| pattern.poll_next(cx)).await {
            all.extend_from_slice(&piece);
        }
        all
    }

    #[tokio::test]
    async fn the_pattern_is_the_same_however_it_is_cut() {
        let whole: Vec<u8> = DIGITS.iter().copied().cycle().take(200_000).collect();
        for piece in [7, 36, 1000, PIECE_MAX, PIECE_MAX * 2] {
            assert!(collect(Pattern::new(200_000, piece, Duration::ZERO)).await == whole, "pieces of {piece}");
        }
        assert!(collect(Pattern::new(0, 1, Duration::ZERO)).await.is_empty());
    }
}
