//! What our writer makes of a message that was read, and that it is the same message.

use balancer::forward::{Scan, admit};
use balancer::http1::{BodyLength, Fields, Name, RequestHead, ResponseHead, request_line, trailer_section};
use balancer::net::Buffer;

use crate::message::{Kind, Message};
use crate::reading::{HEAD_MAX, Head, Rest, Whole, read};
use crate::splits::{random_pieces, rng_of};

/// A message, written anew with framing of our own as it goes on, and the bytes; `None` for what does not go on.
pub(crate) fn written(kind: Kind, whole: &Whole) -> Option<(Message, Vec<u8>)> {
    let (mut out, mut message) = (Vec::new(), whole.message.clone());
    // RFC 9110 §6.5.1.
    let mut trailers = whole.trailers.0.clone();
    trailers.retain(|field| !is_framing(field.name));
    message.trailers.retain(|(name, _)| name != b"content-length" && name != b"transfer-encoding");
    message.fields.retain(|(name, _)| name != b"content-length" && name != b"transfer-encoding");
    match &whole.head {
        Head::Request(head) => {
            let (target, host) = goes_on(&head.0)?;
            request_line(&mut out, &head.0.method, &target);
            out.extend_from_slice(&[b"Host: ", &host[..], b"\r\n"].concat());
            head.0.fields.write(&mut out, |field| !is_framing(field.name) && field.name != Name::Host);
            message.start[1] = target.into_bytes();
            message.fields.retain(|(name, _)| name != b"host");
            message.fields.insert(0, (b"host".to_vec(), host));
        }
        Head::Response(head) => {
            let mut head: ResponseHead = head.0.clone();
            head.fields.retain(|field| !is_framing(field.name));
            head.write(&mut out);
        }
    }
    if let Some(version) = message.start.last_mut() {
        *version = b"1.1".to_vec();
    }
    let framing = match whole.length {
        BodyLength::None | BodyLength::UntilClose => None,
        BodyLength::Known(length) => Some(("Content-Length", length.to_string())),
        BodyLength::Chunked => Some(("Transfer-Encoding", "chunked".to_owned())),
    };
    if let Some((name, value)) = framing {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        message.fields.push((name.to_lowercase().into_bytes(), value.into_bytes()));
    }
    out.extend_from_slice(b"\r\n");
    match whole.length {
        BodyLength::Chunked => write_chunks(&mut out, &message.body, &trailers),
        _ => out.extend_from_slice(&message.body),
    }
    // Our reader sees it as it was meant. Longer lines (a space behind each colon) may be over its bounds.
    let back = read(kind, [&out[..]]);
    if out.len() - message.body.len() <= HEAD_MAX / 2 {
        assert_eq!((back.messages.len(), &back.rest), (1, &Rest::Head), "{}", out.escape_ascii());
        assert_eq!(back.messages[0].message, message, "{}", out.escape_ascii());
    }
    Some((message, out))
}

/// Target and host with which a request goes to a worker, unless a gateway must refuse it.
pub(crate) fn goes_on(head: &RequestHead) -> Option<(String, Vec<u8>)> {
    let scan = Scan::of(head, &[]).ok()?;
    admit(head, &scan).ok().map(|admitted| (admitted.target.into_owned(), admitted.host.to_vec()))
}

/// In pieces, of which each becomes a chunk where it stands.
fn write_chunks(out: &mut Vec<u8>, body: &[u8], trailers: &Fields) {
    let mut rng = rng_of(body);
    let pieces = random_pieces(body, &mut rng);
    for (index, piece) in pieces.iter().enumerate() {
        let last = trailers.is_empty() && index + 1 == pieces.len();
        out.extend_from_slice(Buffer::copy_of(piece).into_chunk(last).unread());
    }
    if !trailers.is_empty() || pieces.is_empty() {
        trailer_section(out, trailers);
    }
}

fn is_framing(name: Name) -> bool {
    matches!(name, Name::ContentLength | Name::TransferEncoding)
}
