//! A chunked body (RFC 9112 §7.1), strictly: what one reader takes for data another takes for a size.

use httparse::EMPTY_HEADER;

use super::decoded::Decoded;
use super::fault::BadBody;
use super::fields::Fields;

/// Follows a chunked body.
#[derive(Debug, Default)]
pub struct Chunked {
    state: Step,
    size: u64,
    digits: u8,
    /// Bytes of extensions so far.
    extensions: u32,
    /// The trailer section so far.
    trailers: Vec<u8>,
    ended: Option<Fields>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Step {
    #[default]
    Size,
    /// Behind white space, which may stand before an extension.
    Blank,
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
    Ended,
    Bad,
}

impl Chunked {
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, BadBody> {
        let (mut at, mut data) = (0, 0..0);
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                Step::Ended => break,
                // What is good goes on first, so that the message is known when the rest proves bad.
                Step::Bad if at > 0 => break,
                Step::Bad => return Err(BadBody),
                Step::Data => {
                    let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                    if data.is_empty() {
                        data = at..at + length;
                    } else {
                        bytes.copy_within(at..at + length, data.end);
                        data.end += length;
                    }
                    at += length;
                    self.size -= length as u64;
                    if self.size == 0 {
                        self.state = Step::DataCr;
                    }
                }
                _ => match self.step(byte) {
                    Some(state) => {
                        self.state = state;
                        at += 1;
                    }
                    None => self.state = Step::Bad,
                },
            }
        }
        Ok(Decoded { data, used: at })
    }

    /// The trailers, once they have all come.
    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        self.ended.take()
    }

    fn step(&mut self, byte: u8) -> Option<Step> {
        match (self.state, byte) {
            (Step::Size, _) if byte.is_ascii_hexdigit() => {
                if self.digits == DIGITS_MAX {
                    return None;
                }
                self.digits += 1;
                self.size = (self.size << 4) | u64::from(char::from(byte).to_digit(16)?);
                Some(Step::Size)
            }
            // §7.1.1: behind white space only `;` or CRLF may follow. `5 5` is five bytes to one reader and 0x55 to another.
            (Step::Size | Step::Blank, b' ' | b'\t') if self.digits > 0 => self.extension(Step::Blank),
            (Step::Size | Step::Blank, b';') if self.digits > 0 => self.extension(Step::Extension),
            (Step::Size | Step::Blank, b'\r') if self.digits > 0 => Some(Step::SizeLf),
            (Step::Extension, b'\r') => Some(Step::SizeLf),
            (Step::Extension, b'\t') => self.extension(Step::Extension),
            (Step::Extension, _) if !byte.is_ascii_control() => self.extension(Step::Extension),
            (Step::SizeLf, b'\n') => {
                self.digits = 0;
                Some(if self.size == 0 { Step::Trailer } else { Step::Data })
            }
            (Step::DataCr, b'\r') => Some(Step::DataLf),
            (Step::DataLf, b'\n') => Some(Step::Size),
            (Step::Trailer, b'\r') => Some(Step::LastLf),
            (Step::InTrailer, b'\r') => Some(Step::TrailerLf),
            (Step::Trailer | Step::InTrailer, b'\n') => None,
            (Step::Trailer | Step::InTrailer, _) => self.trailer(byte, Step::InTrailer),
            (Step::TrailerLf, b'\n') => {
                self.trailer(b'\r', Step::Trailer)?;
                self.trailer(b'\n', Step::Trailer)
            }
            (Step::LastLf, b'\n') => {
                self.ended = Some(self.read_trailers()?);
                Some(Step::Ended)
            }
            _ => None,
        }
    }

    fn extension(&mut self, next: Step) -> Option<Step> {
        self.extensions += 1;
        (self.extensions <= EXTENSIONS_MAX).then_some(next)
    }

    fn trailer(&mut self, byte: u8, next: Step) -> Option<Step> {
        self.trailers.push(byte);
        (self.trailers.len() <= TRAILERS_MAX).then_some(next)
    }

    fn read_trailers(&mut self) -> Option<Fields> {
        if self.trailers.is_empty() {
            return Some(Fields::default());
        }
        let mut bytes = std::mem::take(&mut self.trailers);
        bytes.extend_from_slice(b"\r\n");
        let mut list = [EMPTY_HEADER; TRAILER_FIELDS_MAX];
        match httparse::parse_headers(&bytes, &mut list) {
            Ok(httparse::Status::Complete((end, headers))) if end == bytes.len() => {
                let mut fields = Fields::default();
                for header in headers {
                    fields.append(header.name, header.value.trim_ascii());
                }
                Some(fields)
            }
            _ => None,
        }
    }
}

const DIGITS_MAX: u8 = 16;
const EXTENSIONS_MAX: u32 = 4 * 1024;
const TRAILERS_MAX: usize = 8 * 1024;
const TRAILER_FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Data, bytes used, and whether it ended, failed or waits for more; the same byte by byte.
    fn read(body: &str) -> (Vec<u8>, usize, Result<bool, BadBody>) {
        let whole = in_pieces(body.as_bytes(), usize::MAX);
        for size in [1, 2, 3, 7] {
            assert_eq!(in_pieces(body.as_bytes(), size), whole, "in pieces of {size}: {body:?}");
        }
        whole
    }

    fn in_pieces(body: &[u8], size: usize) -> (Vec<u8>, usize, Result<bool, BadBody>) {
        let (mut chunked, mut data, mut used) = (Chunked::default(), Vec::new(), 0);
        for piece in body.chunks(size) {
            let mut piece = piece.to_vec();
            let mut at = 0;
            while at < piece.len() {
                match chunked.decode(&mut piece[at..]) {
                    Ok(decoded) => {
                        data.extend_from_slice(&piece[at..][decoded.data]);
                        at += decoded.used;
                        used += decoded.used;
                    }
                    Err(bad) => return (data, used, Err(bad)),
                }
                if chunked.ended.is_some() {
                    return (data, used, Ok(true));
                }
            }
        }
        (data, used, Ok(false))
    }

    #[test]
    fn a_body_ends_with_its_trailer_section() {
        for (body, data) in [
            ("0\r\n\r\n", ""),
            ("0000000000000000\r\n\r\n", ""),
            ("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"),
            ("3 ; a=\"b c\"\r\nabc\r\n0;x\r\nX: y\r\nZ: \r\n\r\n", "abc"),
            ("3  \r\na\r\n\r\n0\r\n\r\n", "a\r\n"),
        ] {
            let data = data.as_bytes().to_vec();
            assert_eq!(read(body), (data.clone(), body.len(), Ok(true)), "{body:?}");
            assert_eq!(read(&format!("{body}GET")), (data.clone(), body.len(), Ok(true)), "{body:?}");
            assert_eq!(read(&body[..body.len() - 1]), (data, body.len() - 1, Ok(false)), "{body:?}");
        }
    }

    #[test]
    fn what_another_reader_may_read_differently_is_bad() {
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
            "0\r\nX y\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\n X: y\r\n\r\n",
        ] {
            assert_eq!(read(body).2, Err(BadBody), "{body:?}");
        }
        assert_eq!(read("3\r\nabc\r\nx").0, b"abc", "what is good before it is had");
    }

    #[test]
    fn behind_a_size_and_white_space_stands_an_extension_or_nothing() {
        for body in ["3 x\r\nabc\r\n", "3 5\r\nabc\r\n", "3\t0;a\r\n", "3 \nabc", "3 \rabc"] {
            assert_eq!(read(body).2, Err(BadBody), "{body:?}");
        }
        assert_eq!(read("3 \t;a b\r\nabc\r\n0 \r\n\r\n").2, Ok(true));
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extended = format!("1;{}\r\na\r\n", "x".repeat(1_000));
        assert_eq!(read(&format!("{}0\r\n\r\n", extended.repeat(4))).2, Ok(true));
        assert_eq!(read(&extended.repeat(5)).2, Err(BadBody));
        let trailers = |length| format!("0\r\nX: {}\r\n\r\n", "y".repeat(length));
        assert_eq!(read(&trailers(8_000)).2, Ok(true));
        assert_eq!(read(&trailers(8_200)).2, Err(BadBody));
    }

    #[test]
    fn trailers_are_fields() {
        let mut body = b"0\r\nX-Sum: 7\r\nhost:evil \r\n\r\n".to_vec();
        let mut chunked = Chunked::default();
        chunked.decode(&mut body).unwrap();
        let fields = chunked.take_trailers().unwrap();
        let fields: Vec<_> = fields.iter().map(|field| (field.spelled, field.value)).collect();
        assert_eq!(fields, [(&b"X-Sum"[..], &b"7"[..]), (b"host", b"evil")]);
    }
}
