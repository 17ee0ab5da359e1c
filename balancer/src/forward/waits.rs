//! What an exchange waits for, and when that is too long. Decides nothing but what is late; told by whoever waits. Never ends an exchange.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::listen::Alarm;

/// What an exchange waits for, and when that is too long.
#[derive(Debug)]
pub(super) struct Waits {
    alarm: Rc<Alarm>,
    wait: Option<(Wait, Instant)>,
    whole: Option<Instant>,
    pub(super) stalled: Option<Instant>,
    /// When to look how fast the client is, and how often from then on.
    look: Option<(Instant, Duration)>,
    /// The time, if it has come since that was asked for.
    looks: Option<Instant>,
    /// The time, if nothing was waited for since it was looked at.
    clock: Option<Instant>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The client sends the next piece of its request body.
    RequestBody,
    /// The disk has written or read a piece of the request body.
    Disk,
    /// An endpoint has room.
    Place,
    /// The endpoint takes the next piece of the request body.
    RequestTaken,
    /// The endpoint answers.
    Response,
    /// The endpoint sends the next piece of the response body.
    ResponseBody,
    /// All of it.
    Whole,
    /// The client takes what waits for it.
    ResponseTaken,
    /// Something goes through the tunnel.
    Tunnel,
}

impl Waits {
    /// Nothing is waited for yet; the time was looked at just now.
    pub(super) fn new(alarm: Rc<Alarm>, now: Instant) -> Self {
        Self { alarm, wait: None, whole: None, stalled: None, look: None, looks: None, clock: Some(now) }
    }

    /// The time. It is looked at once between two waits.
    pub(super) fn now(&mut self) -> Instant {
        *self.clock.get_or_insert_with(Instant::now)
    }

    /// What is waited for, and when that is too long.
    pub(super) fn wait(&mut self, wait: Wait, until: Instant) {
        self.wait = Some((wait, until));
    }

    /// Others have their turn: the time will be another.
    pub(super) fn pause(&mut self) {
        self.clock = None;
    }

    /// Whether that is waited for.
    pub(super) fn is(&self, wait: Wait) -> bool {
        self.wait.is_some_and(|(other, _)| other == wait)
    }

    /// Nothing is waited for.
    pub(super) fn over(&mut self) {
        self.wait = None;
    }

    /// When the whole request must be answered.
    pub(super) fn whole_until(&mut self, until: Option<Instant>) {
        self.whole = until;
    }

    /// Has [`Self::looks`] tell the time so often, at each tick at most, or no more.
    pub(super) fn look_every(&mut self, period: Option<Duration>) {
        match (period, &mut self.look) {
            (None, look) => (*look, self.looks) = (None, None),
            (Some(period), Some((_, every))) => *every = period,
            (Some(period), None) => self.look = Some((self.now() + period, period)),
        }
    }

    /// The time, if it is time to look how fast the client is; told behind [`Self::late`].
    pub(super) fn looks(&mut self) -> Option<Instant> {
        self.looks.take()
    }

    /// The client has taken something: it is stalled no sooner than then.
    pub(super) fn stalled_at(&mut self, until: Instant) {
        self.stalled = self.stalled.map(|_| until);
    }

    /// Nothing is waited for any more, and for ever.
    pub(super) fn end(&mut self) {
        (self.wait, self.whole, self.stalled, self.look, self.clock) = (None, None, None, None, None);
        self.alarm.set(None);
    }

    /// What has lasted too long; asked by whoever has nothing else to do, after it has looked for what it waits for: behind a pause
    /// of the whole machine both may be there.
    pub(super) fn late(&mut self) -> Option<Wait> {
        self.pause();
        let rung = self.alarm.rung();
        if let (Some(now), Some((at, every))) = (rung, &mut self.look)
            && now >= *at
        {
            self.looks = Some(now);
            *at = now + *every;
        }
        let late = rung.and_then(|now| {
            let over = |until: Option<Instant>| until.is_some_and(|until| now >= until);
            if over(self.whole) {
                return Some(Wait::Whole);
            }
            if over(self.stalled) {
                return Some(Wait::ResponseTaken);
            }
            self.wait.filter(|(_, until)| now >= *until).map(|(wait, _)| wait)
        });
        let next = [self.whole, self.stalled, self.wait.map(|(_, until)| until), self.look.map(|(at, _)| at)];
        self.alarm.set(next.into_iter().flatten().min());
        late
    }
}
