//! Where something stands in a file. Decides nothing; made by the readers of text and values, and carried to the mistake that
//! names the place. Never holds the text itself.

use std::ops::Range;

/// Bytes of the file.
pub(in crate::config) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(in crate::config) struct Placed<T> {
    pub(in crate::config) span: Span,
    pub(in crate::config) value: T,
}
