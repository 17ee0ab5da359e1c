//! The part of a request body that was read before an endpoint got any of it.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::held::{Reserved, taken_by};

/// Pieces of a body. Held whole, they stay until an endpoint has answered; else each goes as it is handed on.
#[derive(Debug)]
pub(super) struct Held {
    pieces: VecDeque<Piece>,
    /// Of the body.
    bytes: usize,
    /// Of memory.
    taken: usize,
    reserved: Reserved,
    /// Where a body that is held whole has been handed on to.
    at: usize,
    whole: bool,
    trailers: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Held {
    pub(super) fn new() -> Self {
        Self {
            pieces: VecDeque::new(),
            bytes: 0,
            taken: 0,
            reserved: Reserved::new(),
            at: 0,
            whole: false,
            trailers: false,
        }
    }

    /// Whether another piece may be held, of a body that has not ended.
    pub(super) fn has_room(&mut self, bytes_max: usize) -> bool {
        let unreserved = self.taken.saturating_sub(self.reserved.bytes());
        !self.whole && self.taken < bytes_max && self.reserved.grow(unreserved)
    }

    pub(super) fn push(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                self.bytes += data.len();
                self.taken += taken_by(data.len());
                self.pieces.push_back(Piece::Data(data));
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.trailers = true;
                    self.pieces.push_back(Piece::Trailers(trailers));
                }
            }
        }
    }

    /// There is no more to come.
    pub(super) fn complete(&mut self) {
        self.whole = true;
    }

    /// The next piece to hand on.
    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        let piece = if self.whole {
            let piece = self.pieces.get(self.at)?.clone();
            self.at += 1;
            piece
        } else {
            let piece = self.pieces.pop_front()?;
            if let Piece::Data(data) = &piece {
                self.bytes -= data.len();
                self.taken -= taken_by(data.len());
                self.reserved.shrink(taken_by(data.len()));
            }
            piece
        };
        Some(match piece {
            Piece::Data(data) => Frame::data(data),
            Piece::Trailers(trailers) => Frame::trailers(trailers),
        })
    }

    /// Whether all of the body is here.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether all of what is here has been handed on.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.pieces.len()
    }

    /// Whether nothing is here.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The length of a body that is held whole and has no trailers.
    pub(super) fn length(&self) -> Option<u64> {
        (self.whole && !self.trailers).then_some(self.bytes as u64)
    }

    /// Begins with the first piece again.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
    }

    /// What has been handed on is not needed any more.
    pub(super) fn let_go(&mut self) {
        if self.is_at_end() {
            self.pieces.clear();
            self.at = 0;
            self.reserved = Reserved::new();
        }
    }
}
