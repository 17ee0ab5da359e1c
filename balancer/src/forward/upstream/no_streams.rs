//! One request and its answer on an upstream connection that speaks HTTP/2, where the program is built without: there is none.
//!
//! Decides nothing. Called by [`super::connection`], which is written for both. Never made.

use std::io;
use std::task::{Context, Poll};

use super::super::error::Fault;
use super::written::Written;
use crate::http1::{BodyLength, Fields, ResponseHead};
use crate::net::{Buffer, Outbox};

/// One stream.
#[derive(Debug)]
pub(in super::super) enum Streamed {}

impl Streamed {
    pub(super) fn is_first_to_tell(&self) -> bool {
        match *self {}
    }

    pub(super) fn ends(&mut self, _: &Fields) {
        match *self {}
    }

    pub(super) fn poll_flush(
        &mut self,
        _: &mut Context<'_>,
        _: &mut Outbox,
        _: &mut Buffer,
        _: &mut Written,
    ) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(super) fn poll_head(&mut self, _: &mut Context<'_>, _: &mut Written) -> Poll<Result<ResponseHead, Fault>> {
        match *self {}
    }

    pub(super) fn length(&self, _: &ResponseHead, _: bool) -> Result<BodyLength, Fault> {
        match *self {}
    }

    pub(super) fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Buffer>, Fault>> {
        match *self {}
    }

    pub(super) fn is_at_end(&self) -> bool {
        match *self {}
    }

    pub(super) fn take_trailers(&mut self) -> Fields {
        match *self {}
    }
}

/// Whether host and target can be said in frames: nobody asks.
#[expect(clippy::unnecessary_wraps, reason = "as where the program is built with HTTP/2")]
pub(in super::super) fn fits_frames(_: &[u8], _: &str) -> Result<(), Fault> {
    Ok(())
}
