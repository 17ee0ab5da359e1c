//! Whether a worker may have left a request's body unread: a pure question.
//!
//! Decides when a connection is not used again, because what is left in it would be read as the next request. Called by the attempt, which
//! tells the worker, and with its answer. Never looks at a connection.

use http::{Method, StatusCode};

use crate::http1::BodyLength;

/// Whether servers expect no body there: many of them never read one behind a GET.
pub(super) fn is_unexpected(method: &Method, length: BodyLength) -> bool {
    has_body(length) && !matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Whether the worker may have answered without having read the body. Who refuses a request often does, and who answers before all of the
/// body was `written` has; that it was taken by the worker's kernel says nothing.
pub(super) fn may_be_left(method: &Method, length: BodyLength, status: StatusCode, written: bool) -> bool {
    has_body(length) && (!written || status.as_u16() >= 400 || is_unexpected(method, length))
}

fn has_body(length: BodyLength) -> bool {
    !matches!(length, BodyLength::None | BodyLength::Known(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: [BodyLength; 2] = [BodyLength::Known(1), BodyLength::Chunked];
    const NONE: [BodyLength; 2] = [BodyLength::None, BodyLength::Known(0)];

    #[test]
    fn bodies_are_expected_of_three_methods() {
        for length in SOME {
            for method in [Method::POST, Method::PUT, Method::PATCH] {
                assert!(!is_unexpected(&method, length), "{method}");
                assert!(!may_be_left(&method, length, StatusCode::FOUND, true), "{method}");
            }
            let others = [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS];
            for method in others.into_iter().chain([Method::from_bytes(b"BREW").unwrap()]) {
                assert!(is_unexpected(&method, length), "{method}");
                assert!(may_be_left(&method, length, StatusCode::OK, true), "{method}");
            }
        }
    }

    #[test]
    fn who_refuses_or_answers_early_may_have_left_it() {
        for length in SOME {
            assert!(may_be_left(&Method::POST, length, StatusCode::BAD_REQUEST, true));
            assert!(may_be_left(&Method::POST, length, StatusCode::INTERNAL_SERVER_ERROR, true));
            assert!(may_be_left(&Method::POST, length, StatusCode::OK, false));
        }
    }

    #[test]
    fn what_is_not_there_is_not_left() {
        for length in NONE {
            assert!(!is_unexpected(&Method::GET, length));
            assert!(!may_be_left(&Method::GET, length, StatusCode::NOT_FOUND, true));
            assert!(!may_be_left(&Method::POST, length, StatusCode::NOT_FOUND, true));
        }
    }
}
