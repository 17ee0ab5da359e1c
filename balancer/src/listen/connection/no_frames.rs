//! A client's side of one exchange over HTTP/2, where the program is built without: there is none.
//!
//! Decides nothing. Called by [`super::stream`], which is written for both. Never made.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use http::StatusCode;

use super::outgoing::Outgoing;
use crate::http1::{BodyLength, Fields, ResponseHead};
use crate::net::Buffer;

/// One stream.
#[derive(Debug)]
pub(super) enum Frames {}

#[expect(clippy::unused_self, reason = "the other has a self that is used")]
impl Frames {
    pub(super) fn here(&self) -> Option<SocketAddr> {
        match *self {}
    }

    pub(super) fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<Buffer>>> {
        match *self {}
    }

    pub(super) fn is_at_end(&self) -> bool {
        match *self {}
    }

    pub(super) fn take_trailers(&mut self) -> Fields {
        match *self {}
    }

    pub(super) fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        match *self {}
    }

    pub(super) fn interim(&mut self, _: StatusCode, _: &Fields) {
        match *self {}
    }

    pub(super) fn respond(&mut self, _: &ResponseHead, _: BodyLength, _: bool) {
        match *self {}
    }

    pub(super) fn finish(&mut self, _: Option<&Fields>) {
        match *self {}
    }

    pub(super) fn poll_flush(&mut self, _: &mut Context<'_>, _: &mut Outgoing) -> Poll<io::Result<()>> {
        match *self {}
    }
}
