//! TLS at our own listeners: whose certificate a client is shown, and what a handshake may agree on. TLS to endpoints: whom we believe.
//!
//! Decides by the name that a client asks for, and by the files of a pool. Called by `listen` for each handshake, by `pool`, and by `app`,
//! which fills it and fills it anew.
//! Never reads or writes a socket, and never waits.

mod book;
mod certificate;
mod handshake;
mod pair;
mod print;
mod standing;
mod upstream;

pub use book::{Book, Certificates};
pub use certificate::Certificate;
pub use handshake::{Handshakes, QUESTION, asking};
pub use pair::{Pair, PairError, Shown};
pub use print::Print;
pub use standing::Standing;
pub use upstream::EndpointTls;
