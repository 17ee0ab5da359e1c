//! What a look at the bytes of a body found. Decides nothing; made by whoever follows a body. Never holds the bytes.

use std::ops::Range;

/// What was found in some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Where the data of the body stands now.
    pub data: Range<usize>,
    /// How many bytes were looked at; the rest is for the next look, or behind the body.
    pub used: usize,
}
