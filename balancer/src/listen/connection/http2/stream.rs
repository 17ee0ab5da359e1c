//! A [`Stream`] whose request and answer go in frames.
//!
//! Decides how it begins and how it breaks off. Called by [`super::shared`]. Never reads or writes a frame: [`Frames`] does.

use std::rc::Rc;

use tokio::task::yield_now;

use crate::http1::{BodyDecoder, RequestHead};
use crate::listen::connection::frames::Frames;
use crate::listen::connection::stream::{Progress, Stream};
use crate::listen::idle::alarm::Alarm;
use crate::listen::idle::registry::Registry;
use crate::net::{Peer, Socket};

impl Stream {
    /// A request that came in frames. It ends with its stream, whatever becomes of others on the connection.
    pub(super) fn of_frames(
        head: RequestHead,
        frames: Frames,
        peer: Peer,
        registry: &Rc<Registry>,
        alarm: Rc<Alarm>,
    ) -> Self {
        let mut stream = Self::new(Socket::none(), peer, registry, alarm);
        let is_at_end = frames.is_at_end();
        stream.frames = Some(Box::new(frames));
        let now = stream.begun();
        stream.begins(head, now);
        // How it is framed is the library's business.
        stream.body = if is_at_end { BodyDecoder::Done } else { BodyDecoder::UntilClose };
        stream
    }

    /// Ends a stream whose answer has broken off, once what there is of it has been written.
    pub(super) async fn reset_if_cut(&mut self) {
        if self.state == Progress::Cut
            && let Some(frames) = &mut self.frames
        {
            // The task of the connection writes meanwhile.
            yield_now().await;
            frames.reset();
        }
    }

    /// Whether the client has taken the request back before it had the whole answer.
    pub(super) fn was_cancelled(&mut self) -> bool {
        let is_whole = self.state == Progress::Finished && self.is_flushed();
        !is_whole && self.frames.as_mut().is_some_and(|frames| frames.is_gone())
    }
}
