//! Why there is no certificate, in words.

use std::fmt;

use instant_acme::{Error, Problem};

/// Why an order has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderFailure {
    pub(super) reason: OrderReason,
    /// A sentence without its end.
    text: String,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderReason {
    /// The CA has looked whether the name is ours, and did not find what it wanted.
    Refused,
    /// The CA was asked too often.
    Limited,
    /// The CA does not know the account any more.
    NoAccount,
    /// The CA wants the same once more, with the number that it has just given (RFC 8555 §6.5); that was done, and refused again.
    Nonce,
    /// Anything else.
    Other,
}

impl OrderFailure {
    pub(super) fn new(reason: OrderReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }

    pub(super) fn other(text: impl Into<String>) -> Self {
        Self::new(OrderReason::Other, text)
    }

    /// What the CA says to the answer to a challenge.
    pub(super) fn refused(challenge: &str, port: u16, problem: &Problem) -> Self {
        let text =
            format!("the CA has not found us by {challenge}, for which it connects to port {port}: {}", said(problem));
        Self::new(OrderReason::Refused, text)
    }
}

impl From<Error> for OrderFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::new(reason(&problem), format!("the CA refuses: {}", said(&problem))),
            Error::Json(error) => Self::other(format!("the CA answers what is not ACME: {error}")),
            Error::Timeout(_) => Self::other("the CA was not done in time"),
            // Ours, which say who was asked.
            Error::Other(error) => Self::other(error.to_string()),
            error => Self::other(format!("the CA cannot be asked: {error}")),
        }
    }
}

impl fmt::Display for OrderFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn reason(problem: &Problem) -> OrderReason {
    match kind(problem) {
        "rateLimited" => OrderReason::Limited,
        "badNonce" => OrderReason::Nonce,
        "accountDoesNotExist" => OrderReason::NoAccount,
        _ => OrderReason::Other,
    }
}

/// The last word of its type (RFC 8555 §6.7).
fn kind(problem: &Problem) -> &str {
    problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or("unknown")
}

/// All that it says, on one line and no longer than that.
fn said(problem: &Problem) -> String {
    let more = problem.subproblems.iter().filter_map(|one| one.detail.as_deref());
    let details: Vec<&str> = problem.detail.as_deref().into_iter().chain(more).collect();
    let details = if details.is_empty() { "without a reason".to_owned() } else { details.join("; ") };
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let details: String = details.chars().map(printable).take(CHARACTERS_MAX).collect();
    format!("{} ({})", details.trim_end_matches(['.', ' ']), kind(problem))
}

/// Of what a CA says.
const CHARACTERS_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> OrderFailure {
        OrderFailure::from(Error::Api(serde_json::from_str::<Problem>(text).unwrap()))
    }

    #[test]
    fn what_a_ca_says_is_one_line_with_all_of_its_details() {
        let failure = problem(
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many\ncertificates.",
                "subproblems":[{"type":"x","detail":"for a.test"}]}"#,
        );
        assert_eq!(failure.reason, OrderReason::Limited);
        assert_eq!(failure.to_string(), "the CA refuses: too many certificates.; for a.test (rateLimited)");
        let long = problem(&format!(r#"{{"detail":"{}"}}"#, "x".repeat(10_000)));
        assert!(long.to_string().len() < 450);
        assert_eq!(problem("{}").to_string(), "the CA refuses: without a reason (unknown)");
    }

    #[test]
    fn an_account_that_the_ca_has_forgotten_is_told_from_other_reasons() {
        let forgotten = problem(r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist","detail":"who?"}"#);
        assert_eq!(forgotten.reason, OrderReason::NoAccount);
        assert_eq!(problem(r#"{"type":"urn:ietf:params:acme:error:malformed"}"#).reason, OrderReason::Other);
    }
}
