//! A reverse proxy that supervises the workers it balances over.
pub mod config;
pub mod drain;
pub mod endpoint;
pub mod listen;
pub mod pick;
pub mod pool;
