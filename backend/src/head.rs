//! The head of a request, for the classic models.
//!
//! Decides where a request ends and whether another may follow. Called by `models`. Never accepts a head over 64 KiB, and
//! knows of the body its length only.

use std::io::{self, BufRead, Read};

/// What a textbook server needs to know of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Bytes of body that follow; `None` for chunks, which these servers do not read.
    pub(crate) body_length: Option<u64>,
    pub(crate) keep_alive: bool,
    /// The client waits for a 100 before it sends the body.
    pub(crate) expects_continue: bool,
}

impl Head {
    /// The next request's; `None` where the connection ended before a byte of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`]: it is no HTTP/1 head. Else what reading met.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut reader = reader.take(HEAD_BYTES_MAX);
        let Some(first) = read_line(&mut reader)? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed());
        };
        let modern = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(malformed()),
        };
        let mut head = Head {
            method: method.to_owned(),
            target: target.to_owned(),
            body_length: Some(0),
            keep_alive: modern,
            expects_continue: false,
        };
        loop {
            let line = read_line(&mut reader)?.ok_or_else(malformed)?;
            if line.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = line.split_once(':').ok_or_else(malformed)?;
            head.take_field(name, value.trim_matches([' ', '\t']))?;
        }
    }

    fn take_field(&mut self, name: &str, value: &str) -> io::Result<()> {
        let lists = |word: &str| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let length = value.parse().ok().filter(|_| digits).ok_or_else(malformed)?;
                self.body_length = self.body_length.map(|_| length);
            }
            "transfer-encoding" => self.body_length = None,
            "connection" if lists("close") => self.keep_alive = false,
            "connection" if lists("keep-alive") => self.keep_alive = true,
            "expect" => self.expects_continue = lists("100-continue"),
            _ => {}
        }
        Ok(())
    }
}

/// A line without its end; `None` at the end of the stream.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    // Cut short, by the client or by the bound.
    let line = line.strip_suffix(b"\n").ok_or_else(malformed)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an HTTP/1 request head")
}

const HEAD_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Option<Head>> {
        Head::read(&mut text.as_bytes())
    }

    #[test]
    fn keep_alive_follows_version_and_connection_field() {
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", true),
        ];
        for (text, keep_alive) in cases {
            assert_eq!(read(text).unwrap().unwrap().keep_alive, keep_alive, "{text}");
        }
    }

    #[test]
    fn the_body_is_counted_or_refused() {
        let length = |field: &str| read(&format!("POST / HTTP/1.1\r\n{field}\r\n\r\n")).unwrap().unwrap().body_length;
        assert_eq!(length("Host: a"), Some(0));
        assert_eq!(length("Content-Length: 12"), Some(12));
        assert_eq!(length("Transfer-Encoding: chunked"), None);
        assert_eq!(length("Transfer-Encoding: chunked\r\nContent-Length: 12"), None);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(70_000));
        for text in [
            "GET /\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "x",
            "GET / HTTP/1.1\r\nA: b",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            &long,
        ] {
            assert_eq!(read(text).unwrap_err().kind(), io::ErrorKind::InvalidData, "{}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn the_end_before_a_request_is_no_error() {
        assert_eq!(read("").unwrap(), None);
    }
}
