//! How far a request has got on its way to an endpoint.
//!
//! Decides nothing. Noted by whoever writes, asked by whoever would send it again. Never goes back, but where an endpoint says that it has not
//! looked at a request.

/// How much of a request the endpoint's kernel has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Written {
    Nothing,
    /// Some of the head.
    Head,
    /// Some of the body too.
    Body,
}
