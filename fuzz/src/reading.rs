//! Our reader over bytes that come in pieces, as a connection uses it.

use std::ops::Range;

use balancer::http1::{BodyDecoder, BodyLength, Bounds, Ended, Fields, RequestHead, ResponseHead, Search, Version};

use crate::message::{Kind, Lines, Message};

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whole messages.
    pub(crate) messages: Vec<Whole>,
    pub(crate) rest: Rest,
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) message: Message,
    pub(crate) length: BodyLength,
    /// Where it stands in all that came, with the empty lines before it.
    pub(crate) range: Range<usize>,
    pub(crate) head: Head,
    pub(crate) trailers: Same<Fields>,
}

/// What comes behind the last whole message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing, or a head that has not ended.
    #[default]
    Head,
    /// A message of which this has come.
    Body(Message),
    /// No message, and what of it had come before that showed.
    Fault(String, Option<Message>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Request(Same<RequestHead>),
    Response(Same<ResponseHead>),
}

/// Compared by what stands beside it.
#[derive(Debug)]
pub(crate) struct Same<T>(pub(crate) T);

impl<T> PartialEq for Same<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Same<T> {}

/// Reads `pieces`, behind which the connection is closed.
pub(crate) fn read<'a>(kind: Kind, pieces: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut reader = Reader {
        kind,
        inbox: Vec::new(),
        search: Search::default(),
        current: None,
        at: 0,
        steps: 0,
        reading: Reading::default(),
    };
    let (mut bytes, mut count) = (0, 0);
    for piece in pieces {
        reader.inbox.extend_from_slice(piece);
        (bytes, count) = (bytes + piece.len(), count + 1);
        while reader.goes_on() {
            reader.steps += 1;
        }
        if matches!(reader.reading.rest, Rest::Fault(..)) {
            break;
        }
        // Nobody keeps more than a head that has not ended.
        assert!(reader.inbox.len() <= HEAD_MAX, "{} bytes are kept", reader.inbox.len());
    }
    assert!(reader.steps <= bytes + 2 * count, "{} steps for {bytes} bytes in {count} pieces", reader.steps);
    reader.end()
}

struct Reader {
    kind: Kind,
    inbox: Vec<u8>,
    search: Search,
    current: Option<Current>,
    /// Bytes before those in the inbox.
    at: usize,
    steps: usize,
    reading: Reading,
}

struct Current {
    whole: Whole,
    body: BodyDecoder,
}

impl Reader {
    /// One step; whether there may be another.
    fn goes_on(&mut self) -> bool {
        let result = match self.current.is_some() {
            true => self.read_body(),
            false => self.read_head(),
        };
        result.unwrap_or_else(|fault| {
            let had = self.current.take().map(|current| current.whole.message);
            self.reading.rest = Rest::Fault(fault, had);
            false
        })
    }

    fn read_head(&mut self) -> Result<bool, String> {
        if self.inbox.is_empty() {
            return Ok(false);
        }
        let Some((message, head, length, end)) = parse(self.kind, &self.inbox, &mut self.search)? else {
            return Ok(false);
        };
        let trailers = Same(Fields::default());
        let whole = Whole { message, length, range: self.at..self.at, head, trailers };
        self.current = Some(Current { whole, body: BodyDecoder::new(length) });
        self.search = Search::default();
        self.used(end);
        Ok(true)
    }

    fn read_body(&mut self) -> Result<bool, String> {
        let Some(Current { whole, body }) = &mut self.current else { return Ok(false) };
        let mut used = 0;
        if !body.is_done() {
            if self.inbox.is_empty() {
                return Ok(false);
            }
            let decoded = body.decode(&mut self.inbox).map_err(|bad| format!("{bad:?}"))?;
            whole.message.body.extend_from_slice(&self.inbox[decoded.data.clone()]);
            used = decoded.used;
            assert!(used > 0 && decoded.data.end <= used, "{decoded:?}");
            if let Some(trailers) = body.take_trailers() {
                whole.message.trailers = lines(&trailers);
                whole.trailers.0 = trailers;
            }
        }
        let done = body.is_done();
        self.used(used);
        if done {
            self.finish();
        }
        Ok(true)
    }

    fn used(&mut self, count: usize) {
        self.inbox.drain(..count);
        self.at += count;
    }

    fn finish(&mut self) {
        if let Some(Current { mut whole, .. }) = self.current.take() {
            whole.range.end = self.at;
            self.reading.messages.push(whole);
        }
    }

    fn end(mut self) -> Reading {
        if let Some(current) = &mut self.current {
            match current.body.end() {
                Ended::Whole => self.finish(),
                Ended::Short => self.reading.rest = Rest::Body(std::mem::take(&mut current.whole.message)),
            }
        }
        self.reading
    }
}

/// The head that `bytes` begin with and where it ends, if that has come.
fn parse(kind: Kind, bytes: &[u8], search: &mut Search) -> Result<Option<(Message, Head, BodyLength, usize)>, String> {
    let version = |version| match version {
        Version::Http10 => b"1.0".to_vec(),
        Version::Http11 | Version::Http2 => b"1.1".to_vec(),
    };
    let (start, head, length, end) = if kind == Kind::Request {
        let bounds = Bounds { line: LINE_MAX, head: HEAD_MAX };
        let read = RequestHead::read(bytes, search, bounds, Fields::default);
        let Some((head, end)) = read.map_err(|fault| format!("{fault:?}"))? else { return Ok(None) };
        let start = vec![head.method.as_str().into(), head.target().into(), version(head.version)];
        let length = head.length;
        (start, Head::Request(Same(head)), length, end)
    } else {
        let read = ResponseHead::read(bytes, search, HEAD_MAX, Fields::default);
        let Some((head, end)) = read.map_err(|fault| format!("{fault:?}"))? else { return Ok(None) };
        let length = head.length(kind == Kind::ResponseToHead).map_err(|fault| format!("{fault:?}"))?;
        (vec![head.status.as_str().into(), version(head.version)], Head::Response(Same(head)), length, end)
    };
    let fields = lines(match &head {
        Head::Request(head) => &head.0.fields,
        Head::Response(head) => &head.0.fields,
    });
    Ok(Some((Message { start, fields, ..Message::default() }, head, length, end)))
}

fn lines(fields: &Fields) -> Lines {
    let lines = fields.iter().map(|field| (field.spelled.to_ascii_lowercase(), field.value.to_vec()));
    let lines: Lines = lines.collect();
    assert!(lines.iter().all(|(name, _)| !name.is_empty()), "a field without a name");
    lines
}

/// Of the first line and of the head: small, so that they are reached.
const LINE_MAX: usize = 4 * 1024;
pub(crate) const HEAD_MAX: usize = 8 * 1024;
