//! Where a body ends (RFC 9112 §6.3): one function a direction.

use http::StatusCode;

use super::fault::{RequestFault, ResponseFault};
use super::fields::Fields;
use super::name::Name;
use super::version::Version;

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, and none is announced.
    None,
    /// So many bytes, by `Content-Length`.
    Known(u64),
    /// By chunks (RFC 9112 §7.1).
    Chunked,
    /// Until the connection is closed. Never of a request.
    UntilClose,
}

/// How the body of a request is framed.
///
/// # Errors
/// Stricter than the RFC has to be: what two readers could end in two places is refused.
pub(super) fn of_request(fields: &Fields, version: Version) -> Result<BodyLength, RequestFault> {
    let (mut length, mut chunked) = (None, false);
    for field in fields.iter() {
        match field.name {
            // §6.3 5: digits; several fields may say the same (§6.3, RFC 9110 §8.6).
            Name::ContentLength => {
                let number = number(field.value).ok_or(RequestFault::BadFraming)?;
                if length.replace(number).is_some_and(|other| other != number) {
                    return Err(RequestFault::BadFraming);
                }
            }
            // §6.1: `chunked`, alone and once; other codings we do not know.
            Name::TransferEncoding => {
                if !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(RequestFault::UnknownCoding);
                }
                if std::mem::replace(&mut chunked, true) {
                    return Err(RequestFault::BadFraming);
                }
            }
            _ => {}
        }
    }
    match (chunked, length) {
        // §6.1: a sign of smuggling.
        (true, Some(_)) => Err(RequestFault::BadFraming),
        // §6.1: HTTP/1.0 knows no transfer codings.
        (true, None) if version == Version::Http10 => Err(RequestFault::Malformed),
        (true, None) => Ok(BodyLength::Chunked),
        (false, Some(length)) => Ok(BodyLength::Known(length)),
        (false, None) => Ok(BodyLength::None),
    }
}

/// How the body of a response is framed. `to_head` says that the request was a HEAD.
///
/// # Errors
/// `Malformed`, for a body that two readers could end in two places.
pub(super) fn of_response(
    fields: &Fields,
    version: Version,
    status: StatusCode,
    to_head: bool,
) -> Result<BodyLength, ResponseFault> {
    let (mut length, mut chunked) = (None, false);
    for field in fields.iter() {
        match field.name {
            Name::ContentLength => {
                let number = number(field.value).ok_or(ResponseFault::Malformed)?;
                if length.replace(number).is_some() {
                    return Err(ResponseFault::Malformed);
                }
            }
            Name::TransferEncoding => {
                let known = field.value.eq_ignore_ascii_case(b"chunked") && version == Version::Http11;
                if !known || std::mem::replace(&mut chunked, true) {
                    return Err(ResponseFault::Malformed);
                }
            }
            _ => {}
        }
    }
    if chunked && length.is_some() {
        return Err(ResponseFault::Malformed);
    }
    // §6.3 1: whatever the fields say.
    if to_head || has_no_body(status) {
        return Ok(BodyLength::None);
    }
    Ok(match (chunked, length) {
        (true, _) => BodyLength::Chunked,
        (false, Some(length)) => BodyLength::Known(length),
        (false, None) => BodyLength::UntilClose,
    })
}

/// RFC 9110 §15.2, §15.3.5, §15.4.5.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Digits and nothing else, below 2⁶⁴.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
