//! HTTP/1 messages as pure functions over bytes: one strict reader and one writer, for both sides.
//!
//! Decides where a message ends, how its body is framed and what of it is wrong. `net`, `listen` and `forward` call it with the bytes
//! they have; other rooms read the heads it makes. Never touches a socket, a clock or a runtime.

mod body;
mod chunked;
mod decoded;
mod encode;
mod fault;
mod fields;
mod framing;
mod head;
mod name;
mod path;
mod reading;
mod search;
mod target;
mod version;

pub use body::{BodyDecoder, Ended};
pub use decoded::Decoded;
pub use encode::{CHUNK_PREFIX_MAX, LAST_CHUNK, chunk_prefix, request_line, status_line, trailer_section};
pub use fault::{BadBody, RequestFault, ResponseFault};
pub use fields::{Field, FieldRef, Fields, lists};
pub use framing::BodyLength;
pub use head::{RequestHead, ResponseHead};
pub use name::Name;
pub use path::{half_resolved, is_plain, normalised, resolved};
pub use reading::{Reading, behind_authority};
pub use search::{Bounds, Search};
pub use target::RequestTarget;
pub use version::Version;
