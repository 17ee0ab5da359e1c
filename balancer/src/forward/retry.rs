//! Whether a failed attempt may be followed by another: a pure question.

use http::Method;

use super::error::{Fault, Party};

/// What is known when an attempt has failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// Why.
    pub(super) fault: Fault,
    /// Whether the endpoint may have seen any of the request.
    pub(super) sent: bool,
    /// Whether all of the request can be sent once more: it has no body, or none of it was taken yet.
    pub(super) held: bool,
    /// Whether the endpoint, a worker's, has closed the connection without an answer: it may be dying.
    pub(super) cut: bool,
    /// Attempts so far, this one included.
    pub(super) attempts: u32,
}

/// Whether the request may go to an endpoint once more, the budget aside.
///
/// What never left is always sent elsewhere. What was sent but not answered is repeated only when the method allows it
/// (RFC 9110 §9.2.2), and not after a time-out of the answer: whoever did not answer within that time has been given
/// it, and a second endpoint would double the wait.
pub(super) fn may_retry(failed: Failed, method: &Method, attempts_max: u32) -> bool {
    if failed.attempts >= attempts_max || !failed.held || failed.fault.party() != Party::Endpoint {
        return false;
    }
    match failed.fault {
        _ if !failed.sent => failed.fault != Fault::RequestTimeout,
        Fault::ClosedEarly => method.is_idempotent(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(fault: Fault, sent: bool, method: &Method) -> bool {
        may_retry(Failed { fault, sent, held: true, cut: false, attempts: 1 }, method, 3)
    }

    #[test]
    fn what_never_left_goes_elsewhere_whatever_the_method() {
        for method in [Method::GET, Method::POST] {
            assert!(may(Fault::ConnectFailed, false, &method));
            assert!(may(Fault::ConnectTimeout, false, &method));
            assert!(may(Fault::ClosedEarly, false, &method));
        }
    }

    #[test]
    fn what_was_sent_is_repeated_only_if_the_method_allows_it() {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert!(may(Fault::ClosedEarly, true, &method), "{method}");
        }
        for method in [Method::POST, Method::PATCH, Method::from_bytes(b"BREW").unwrap()] {
            assert!(!may(Fault::ClosedEarly, true, &method), "{method}");
        }
    }

    #[test]
    fn an_answer_or_a_time_out_is_final() {
        for fault in [Fault::BadResponse, Fault::ResponseTimeout, Fault::UnaskedUpgrade, Fault::RequestTimeout] {
            assert!(!may(fault, true, &Method::GET), "{fault}");
        }
    }

    #[test]
    fn a_body_that_is_gone_attempts_that_are_used_up_and_faults_of_others_are_final() {
        let failed = Failed { fault: Fault::ConnectFailed, sent: false, held: true, cut: false, attempts: 1 };
        assert!(!may_retry(Failed { held: false, ..failed }, &Method::GET, 3));
        assert!(!may_retry(Failed { attempts: 3, ..failed }, &Method::GET, 3));
        assert!(!may_retry(Failed { fault: Fault::SlowBody, ..failed }, &Method::GET, 3));
        assert!(!may_retry(Failed { fault: Fault::NoEndpoint, ..failed }, &Method::GET, 3));
    }
}
