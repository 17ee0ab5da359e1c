//! What an open page is told: the status once a second, what happens at once, and a point of each chart every five seconds, as server-sent events
//! (HTML, 9.2).
//!
//! Decides what is told again when a page was too slow for it: only what is new by then. Called by `route`. Never holds more for a page than one
//! piece.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::answer::AnswerBody;
use super::{Instance, status};
use crate::observe::{Reader, printable};

/// All that is told, for as long as the client stays.
pub(super) fn stream(instance: &Arc<Instance>) -> AnswerBody {
    let (sender, pieces) = mpsc::channel(1);
    let instance = Arc::clone(instance);
    tokio::spawn(async move {
        let (mut live, mut events, mut seen) = (instance.live.subscribe(), instance.events.read(), 0);
        let begin = [&status(&instance)[..], &happened(&mut events, EVENTS_FIRST)].concat();
        if sender.send(begin.into()).await.is_err() {
            return;
        }
        loop {
            let mut piece = points(&instance, &mut seen);
            tokio::select! {
                // The sender is the instance's, which we hold.
                changed = live.changed() => if changed.is_ok() { piece.extend_from_slice(&live.borrow_and_update()) },
                () = events.more() => piece.extend_from_slice(&happened(&mut events, usize::MAX)),
                () = sender.closed() => return,
            }
            if sender.send(piece.into()).await.is_err() {
                return;
            }
        }
    });
    AnswerBody::Pieces(pieces)
}

/// The status of this moment; one for all pages.
pub(super) fn status(instance: &Instance) -> Bytes {
    let status = status::rows_only(instance).to_string();
    event("status", &printable::in_json(&status)).into()
}

/// Points of the charts that are new.
fn points(instance: &Instance, seen: &mut u64) -> Vec<u8> {
    let history = instance.history().lock().unwrap_or_else(PoisonError::into_inner);
    let (number, before) = (history.number(), *seen);
    *seen = number;
    if number == before { Vec::new() } else { event("points", &history.json(number - before).to_string()) }
}

/// What has happened since, at most the last so many.
fn happened(events: &mut Reader, max: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    loop {
        let (taken, _) = events.take();
        if taken.is_empty() {
            break;
        }
        lines.extend(taken);
    }
    let first = lines.len().saturating_sub(max);
    let texts = lines[first..].iter().map(|line| line.text.trim_ascii_end());
    let list = texts.collect::<Vec<_>>().join(&b","[..]);
    // Each line is JSON of ours.
    if list.is_empty() { Vec::new() } else { event("happened", &format!("[{}]", String::from_utf8_lossy(&list))) }
}

fn event(name: &str, data: &str) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// Events that a page begins with.
const EVENTS_FIRST: usize = 200;
