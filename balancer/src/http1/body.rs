//! A body as it arrives: what of it is data, and where it ends.

use super::chunked::Chunked;
use super::decoded::Decoded;
use super::fault::BadBody;
use super::fields::Fields;
use super::framing::BodyLength;

/// Follows one body.
#[derive(Debug, Default)]
pub enum BodyDecoder {
    /// All of it has come, or there is none.
    #[default]
    Done,
    /// So many bytes are to come.
    Length(u64),
    /// In chunks.
    Chunked(Box<Chunked>),
    /// Until the connection is closed.
    UntilClose,
}

/// How a body stands when its connection has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is whole.
    Whole,
    /// There is more to come.
    Short,
}

impl BodyDecoder {
    /// For a body that is framed so.
    pub fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::None | BodyLength::Known(0) => Self::Done,
            BodyLength::Known(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunked(Box::default()),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Whether the body has come to its end.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Follows the body through `bytes`; data that stands in several places is moved together. Behind an end or a fault it uses
    /// nothing.
    ///
    /// # Errors
    /// [`BadBody`], once all that is good has been used.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, BadBody> {
        match self {
            Self::Done => Ok(Decoded { data: 0..0, used: 0 }),
            Self::UntilClose => Ok(Decoded { data: 0..bytes.len(), used: bytes.len() }),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= length as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Decoded { data: 0..length, used: length })
            }
            Self::Chunked(chunked) => chunked.decode(bytes),
        }
    }

    /// Takes the trailers of a chunked body that has come to its end, and notes that end; `None` before it.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        let Self::Chunked(chunked) = self else { return None };
        let trailers = chunked.take_trailers()?;
        *self = Self::Done;
        Some(trailers)
    }

    /// The connection has come to its end.
    pub fn end(&mut self) -> Ended {
        match std::mem::take(self) {
            Self::Done | Self::UntilClose => Ended::Whole,
            Self::Length(_) | Self::Chunked(_) => Ended::Short,
        }
    }
}
