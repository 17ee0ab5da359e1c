//! A journal as an answer: what it has, and what comes while the client stays.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::answer::AnswerBody;
use crate::observe::Journal;

/// The lines that `wanted` lets pass, and with `follow` those that come. Produced no faster than they are taken: lines that a
/// slow client misses are counted in a line of their own.
pub(super) fn lines(
    journal: &Arc<Journal>,
    follow: bool,
    wanted: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
) -> AnswerBody {
    let mut reader = journal.read();
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let (taken, lost) = reader.take();
            if lost > 0 && sender.send(format!("… {lost} lines were missed\n").into()).await.is_err() {
                return;
            }
            let is_end = taken.is_empty();
            let piece: Vec<u8> = taken.iter().filter(|line| wanted(line)).flatten().copied().collect();
            if !piece.is_empty() && sender.send(Bytes::from(piece)).await.is_err() {
                return;
            }
            match (is_end, follow) {
                (false, _) => {}
                (true, false) => return,
                (true, true) => tokio::select! {
                    () = reader.more() => {}
                    // The client has left.
                    () = sender.closed() => return,
                },
            }
        }
    });
    AnswerBody::Pieces(pieces)
}
