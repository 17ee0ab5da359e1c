//! Where another reader may differ from ours: we accept what it refuses or reads otherwise. That we refuse more than others is no
//! difference, and is not listed.

use balancer::http1::{Fields, ResponseHead, Search};

use super::{Differs, Heard};
use crate::message::{Kind, Message};

/// One difference that was looked at.
struct Reviewed {
    name: &'static str,
    /// Whose.
    readers: &'static [&'static str],
    differs: &'static [Differs],
    /// Where the rule stands, and why ours is right, or harmless.
    why: &'static str,
    /// Whether a message is such a one.
    applies: fn(&Case<'_>) -> bool,
}

/// A message in which a reader has differed.
struct Case<'a> {
    kind: Kind,
    message: &'a Message,
    bytes: &'a [u8],
    heard: &'a Heard,
}

/// The list, to be read: a name, the readers, the rule and why ours is right or harmless.
pub fn reviewed_list() -> impl Iterator<Item = String> {
    REVIEWED.iter().map(|one| format!("{} ({}): {}", one.name, one.readers.join(", "), one.why))
}

/// Whether that difference stands in the list.
pub(super) fn reviewed(
    reader: &str,
    differs: Differs,
    kind: Kind,
    message: &Message,
    bytes: &[u8],
    heard: &Heard,
) -> bool {
    let case = Case { kind, message, bytes, heard };
    REVIEWED.iter().any(|reviewed| {
        reviewed.readers.contains(&reader) && reviewed.differs.contains(&differs) && (reviewed.applies)(&case)
    })
}

impl Case<'_> {
    fn says(&self, error: &str) -> bool {
        self.heard.error.as_ref().is_some_and(|said| said.starts_with(error))
    }

    fn is_chunked(&self) -> bool {
        self.message.all("transfer-encoding").next().is_some()
    }

    /// Whether this stands in it as it came.
    fn has(&self, part: &[u8]) -> bool {
        self.bytes.windows(part.len()).any(|window| window == part)
    }

    /// The heads of a response and of those before it.
    fn heads(&self) -> &[u8] {
        let mut at = 0;
        while let Ok(Some(end)) = Search::default().response(&self.bytes[at..], usize::MAX) {
            let head = ResponseHead::parse(&self.bytes[at..at + end], Fields::default());
            at += end;
            if head.is_ok_and(|head| !head.status.is_informational()) {
                break;
            }
        }
        &self.bytes[..at]
    }

    /// Whether fields are the same but for this change to ours.
    fn same_with(&self, change: impl Fn(&mut Message)) -> bool {
        let mut ours = self.message.clone();
        change(&mut ours);
        let Some(theirs) = &self.heard.message else { return false };
        let (mut ours, mut theirs) = (ours.fields, theirs.fields.clone());
        ours.sort();
        theirs.sort();
        ours == theirs
    }
}

const REVIEWED: &[Reviewed] = &[
    Reviewed {
        name: "unknown methods",
        readers: &["llhttp"],
        differs: &[Differs::Refuses],
        why: "RFC 9110 §9.1: methods are extensible, and a gateway forwards those it does not know; llhttp has a list",
        applies: |case| case.kind == Kind::Request && case.says("HPE_INVALID_METHOD"),
    },
    Reviewed {
        name: "equal lengths",
        readers: &["llhttp"],
        differs: &[Differs::Refuses],
        why: "RFC 9112 §6.3: equal lengths may be taken for one; what goes on has one",
        applies: |case| case.message.all("content-length").count() > 1 && case.says("HPE_UNEXPECTED_CONTENT_LENGTH"),
    },
    Reviewed {
        name: "equal lengths collapsed",
        readers: &["hyper", "h11"],
        differs: &[Differs::Fields],
        why: "the same; both keep one of them",
        applies: |case| {
            case.message.all("content-length").count() > 1
                && case.same_with(|ours| {
                    let mut first = true;
                    ours.fields.retain(|(name, _)| name != b"content-length" || std::mem::take(&mut first));
                })
        },
    },
    Reviewed {
        name: "coding in lower case",
        readers: &["h11"],
        differs: &[Differs::Fields],
        why: "RFC 9112 §7: names of codings have no case; h11 writes them in lower case",
        applies: |case| {
            case.same_with(|ours| {
                let codings = ours.fields.iter_mut().filter(|(name, _)| name == b"transfer-encoding");
                codings.for_each(|(_, value)| value.make_ascii_lowercase());
            })
        },
    },
    Reviewed {
        name: "white space behind framing",
        readers: &["llhttp"],
        differs: &[Differs::Refuses],
        why: "RFC 9110 §5.5: white space behind a value does not belong to it; what goes on has none. llhttp takes no tab there",
        applies: |case| {
            (case.says("HPE_INVALID_TRANSFER_ENCODING") || case.says("HPE_INVALID_CONTENT_LENGTH"))
                && [&b"\t\r\n"[..], b" \r\n", b"\t\n", b" \n"].iter().any(|blank| case.has(blank))
        },
    },
    Reviewed {
        name: "framing in trailers",
        readers: &["llhttp", "h11"],
        differs: &[Differs::Refuses],
        why: "RFC 9110 §6.5.1: a trailer that means framing is ignored, and does not go on; they read it as a field",
        applies: |case| {
            let is_framing = |name: &[u8]| name == b"content-length" || name == b"transfer-encoding";
            case.message.trailers.iter().any(|(name, _)| is_framing(name))
        },
    },
    Reviewed {
        name: "raw UTF-8 in a target",
        readers: &["llhttp", "h11"],
        differs: &[Differs::Refuses],
        why: "RFC 3986 §2: a URI is ASCII. Raw UTF-8 goes on as it came; no reader reads another target in it",
        applies: |case| !case.message.target().is_ascii(),
    },
    Reviewed {
        name: "bytes no URI has",
        readers: &["hyper"],
        differs: &[Differs::Refuses],
        why: "RFC 3986 §2: bytes that a URI may not have go on as they came; no reader reads another target in them",
        applies: |case| {
            case.says("invalid URI") && case.message.target().iter().any(|byte| b"\"<>\\^`{|}".contains(byte))
        },
    },
    Reviewed {
        name: "an encoded byte in a target's host",
        readers: &["hyper"],
        differs: &[Differs::Refuses],
        why: "RFC 3986 §3.2.2: a name may have encoded bytes; hyper takes none. What goes on has the path alone, and Host",
        applies: |case| {
            let target = String::from_utf8_lossy(case.message.target());
            let authority = target.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next());
            case.says("invalid URI") && authority.is_some_and(|authority| authority.contains('%'))
        },
    },
    Reviewed {
        name: "absolute targets written anew",
        readers: &["hyper"],
        differs: &[Differs::Start],
        why: "RFC 9110 §4.2.3: hyper writes a scheme in lower case and an empty path as /",
        applies: |case| {
            let normal = |start: &[Vec<u8>]| {
                let target = String::from_utf8_lossy(&start[1]).into_owned();
                let (scheme, rest) = target.split_once("://").unwrap_or_default();
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let path = if rest[end..].starts_with('/') { "" } else { "/" };
                (scheme.to_lowercase(), rest[..end].to_owned(), format!("{path}{}", &rest[end..]))
            };
            let theirs = case.heard.message.as_ref();
            matches!(case.message.target().first(), Some(b'h' | b'H'))
                && theirs.is_some_and(|theirs| normal(&theirs.start) == normal(&case.message.start))
        },
    },
    Reviewed {
        name: "empty lines before a message",
        readers: &["h11"],
        differs: &[Differs::Refuses],
        why: "RFC 9112 §2.2: empty lines before a message are none of it",
        applies: |case| {
            case.bytes.starts_with(b"\r")
                || case.bytes.starts_with(b"\n")
                || case.kind != Kind::Request && case.says("no response line")
        },
    },
    Reviewed {
        name: "a lone LF in a response",
        readers: &["llhttp"],
        differs: &[Differs::Refuses],
        why: "RFC 9112 §2.2: a lone LF may end a line. Small workers write it; what goes on has CRLF. Never in a request",
        applies: |case| {
            let lone = |pair: &[u8]| pair[1] == b'\n' && pair[0] != b'\r';
            let heads = case.heads();
            case.kind != Kind::Request && (heads.starts_with(b"\n") || heads.windows(2).any(lone))
        },
    },
    Reviewed {
        name: "framing where there is no body",
        readers: &["llhttp"],
        differs: &[Differs::Refuses, Differs::End, Differs::Body],
        why: "RFC 9112 §6.3: 1xx, 204 and 304 have no body whatever they say; llhttp 6 waits for one. To a client the first two say \
              nothing of framing",
        applies: |case| {
            let is_empty = |status: &[u8]| status == b"204" || status == b"304";
            let heads = case.heads().to_ascii_lowercase();
            let named = [&b"content-length:"[..], b"transfer-encoding:"]
                .iter()
                .any(|name| heads.windows(name.len()).any(|window| window == *name));
            let has_interim = case.has(b"HTTP/1.1 1") || case.has(b"HTTP/1.0 1");
            case.kind != Kind::Request && named && (is_empty(&case.message.start[0]) || has_interim)
        },
    },
    Reviewed {
        name: "extensions unread",
        readers: &["llhttp"],
        differs: &[Differs::Refuses],
        why: "RFC 9112 §7.1.1: extensions are dropped unread; llhttp reads them, and takes no white space before them",
        applies: |case| {
            case.is_chunked()
                && (case.says("HPE_STRICT") || case.says("HPE_INVALID_CHUNK_SIZE"))
                && (case.has(b";") || case.has(b" \r\n") || case.has(b"\t\r\n"))
        },
    },
    Reviewed {
        name: "white space before an extension",
        readers: &["h11"],
        differs: &[Differs::Refuses],
        why: "RFC 9112 §7.1.1: white space may stand before an extension",
        applies: |case| case.says("illegal chunk header") && (case.has(b" ;") || case.has(b"\t;")),
    },
];
