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
///
/// Who refuses a connection has cost nobody anything, and where several containers end at once, more of them refuse than there are
/// attempts: so while there are `others`, endpoints that this request was not sent to, they are asked, and `attempts_max` counts for the rest.
pub(super) fn may_retry(failed: Failed, method: &Method, attempts_max: u32, others: bool) -> bool {
    let refused = failed.fault == Fault::ConnectFailed && !failed.sent && attempts_max > 1;
    let attempts_max = if refused && others { attempts_max.max(REFUSALS_MAX) } else { attempts_max };
    if failed.attempts >= attempts_max || !failed.held || failed.fault.party() != Party::Endpoint {
        return false;
    }
    match failed.fault {
        _ if !failed.sent => failed.fault != Fault::RequestTimeout,
        Fault::ClosedEarly => method.is_idempotent(),
        _ => false,
    }
}

/// What `attempts_max` may be at most: a request that nobody takes is answered soon, however many there are.
const REFUSALS_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn may(fault: Fault, sent: bool, method: &Method) -> bool {
        may_retry(Failed { fault, sent, held: true, cut: false, attempts: 1 }, method, 3, false)
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
        assert!(!may_retry(Failed { held: false, ..failed }, &Method::GET, 3, false));
        assert!(!may_retry(Failed { attempts: 3, ..failed }, &Method::GET, 3, false));
        assert!(!may_retry(Failed { fault: Fault::SlowBody, ..failed }, &Method::GET, 3, false));
        assert!(!may_retry(Failed { fault: Fault::NoEndpoint, ..failed }, &Method::GET, 3, false));
    }

    #[test]
    fn those_who_refuse_are_not_counted_while_there_is_somebody_else() {
        let refused = |attempts| Failed { fault: Fault::ConnectFailed, sent: false, held: true, cut: false, attempts };
        for (attempts, attempts_max, others, may) in [
            (3, 3, true, true),
            (3, 3, false, false),
            (2, 3, false, true),
            (15, 3, true, true),
            (16, 3, true, false),
            (1, 1, true, false),
        ] {
            let told = may_retry(refused(attempts), &Method::POST, attempts_max, others);
            assert_eq!(told, may, "after {attempts} of {attempts_max}, others: {others}");
        }
        let timed_out = Failed { fault: Fault::ConnectTimeout, ..refused(3) };
        assert!(!may_retry(timed_out, &Method::GET, 3, true), "each costs connect_timeout");
    }
}
