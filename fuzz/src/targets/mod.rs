//! One target each.

pub(crate) mod chunked;
pub(crate) mod config;
pub(crate) mod cookie;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod route;
