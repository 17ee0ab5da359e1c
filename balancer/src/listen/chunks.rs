//! Where a chunked body ends (RFC 9112 §7.1), strictly: what one reader takes for data another takes for a size.

/// Follows a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    size: u64,
    digits: u8,
    /// Bytes of extensions so far.
    extensions: u32,
    /// Bytes of the trailer section so far.
    trailers: u32,
}

/// The body is not what it must be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    Trailer,
    InTrailer,
    TrailerLf,
    LastLf,
}

impl Chunks {
    /// Follows the body through `bytes`: how many of them are as they must be, and whether it ends with the last of these.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Result<bool, Malformed>) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if matches!(self.state, State::Data) {
                let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.size -= length as u64;
                at += length;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            if matches!((self.state, byte), (State::LastLf, b'\n')) {
                return (at + 1, Ok(true));
            }
            match self.step(byte) {
                Some(state) => self.state = state,
                None => return (at, Err(Malformed)),
            }
            at += 1;
        }
        (at, Ok(false))
    }

    fn step(&mut self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => {
                self.digits += 1;
                self.size = (self.size << 4) | u64::from(char::from(byte).to_digit(16)?);
                (self.digits <= DIGITS_MAX).then_some(State::Size)
            }
            (State::Size, b';' | b' ' | b'\t') if self.digits > 0 => self.extension(),
            (State::Size, b'\r') if self.digits > 0 => Some(State::SizeLf),
            (State::Extension, b'\r') => Some(State::SizeLf),
            (State::Extension, b'\t') => self.extension(),
            (State::Extension, _) if !byte.is_ascii_control() => self.extension(),
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                Some(if self.size == 0 { State::Trailer } else { State::Data })
            }
            (State::DataCr, b'\r') => Some(State::DataLf),
            (State::DataLf, b'\n') => Some(State::Size),
            (State::Trailer, b'\r') => Some(State::LastLf),
            (State::InTrailer, b'\r') => Some(State::TrailerLf),
            (State::Trailer | State::InTrailer, b'\n') => None,
            (State::Trailer | State::InTrailer, _) => {
                self.trailers += 1;
                (self.trailers <= TRAILERS_MAX).then_some(State::InTrailer)
            }
            (State::TrailerLf, b'\n') => Some(State::Trailer),
            _ => None,
        }
    }

    fn extension(&mut self) -> Option<State> {
        self.extensions += 1;
        (self.extensions <= EXTENSIONS_MAX).then_some(State::Extension)
    }
}

/// As many as a 64-bit size has.
const DIGITS_MAX: u8 = 16;
/// Of all extensions of a message: they mean nothing to us, and cost more to read than data.
const EXTENSIONS_MAX: u32 = 4 * 1024;
const TRAILERS_MAX: u32 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> (usize, Result<bool, Malformed>) {
        let whole = Chunks::default().advance(bytes.as_bytes());
        let (mut chunks, mut at) = (Chunks::default(), 0);
        for byte in bytes.bytes() {
            let (length, ended) = chunks.advance(&[byte]);
            at += length;
            if ended != Ok(false) {
                assert_eq!((at, ended), whole, "byte by byte: {bytes:?}");
                return whole;
            }
        }
        assert_eq!((at, Ok(false)), whole, "byte by byte: {bytes:?}");
        whole
    }

    #[test]
    fn a_body_ends_with_its_trailer_section() {
        for body in [
            "0\r\n\r\n",
            "0000000000000000\r\n\r\n",
            "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "3 ; a=\"b c\"\r\nabc\r\n0;x\r\nX: y\r\nZ: \r\n\r\n",
            "3  \r\na\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(read(body), (body.len(), Ok(true)), "{body:?}");
            assert_eq!(read(&format!("{body}GET")), (body.len(), Ok(true)), "{body:?}");
            assert_eq!(read(&body[..body.len() - 1]), (body.len() - 1, Ok(false)), "{body:?}");
        }
    }

    #[test]
    fn what_another_reader_may_read_differently_is_malformed() {
        for body in [
            "\r\n",
            "x\r\n",
            "0x3\r\nabc\r\n",
            "+3\r\n",
            "-3\r\n",
            "3_\r\n",
            "3,\r\n",
            "\"3\"\r\n",
            "3\0\r\n",
            " 3\r\n",
            ";a\r\n",
            "00000000000000003\r\n",
            "3\nabc\r\n",
            "3\rabc",
            "3\r\r\n",
            "3;a\nabc",
            "3;a\rb\r\n",
            "3;a\0\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "3\r\nabc0\r\n",
            "3\r\nabc\r0",
            "0\r\nX: y\nZ: 1\r\n",
            "0\r\n\n",
            "0\r\n\rX",
            "0\r\nX: y\rZ",
        ] {
            assert_eq!(read(body).1, Err(Malformed), "{body:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extended = format!("1;{}\r\na\r\n", "x".repeat(1_000));
        assert_eq!(read(&format!("{}0\r\n\r\n", extended.repeat(4))).1, Ok(true));
        assert_eq!(read(&extended.repeat(5)).1, Err(Malformed));
        let trailers = |length| format!("0\r\nX: {}\r\n\r\n", "y".repeat(length));
        assert_eq!(read(&trailers(8_000)).1, Ok(true));
        assert_eq!(read(&trailers(8_200)).1, Err(Malformed));
    }
}
