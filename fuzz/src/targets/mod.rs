//! One target each.

pub(crate) mod config;
pub(crate) mod cookie;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod route;
