//! A reverse proxy that supervises the workers it balances over.
pub mod config;
pub mod drain;
pub mod endpoint;
pub mod forward;
pub mod listen;
pub mod observe;
pub mod pick;
pub mod pool;
pub mod proxy;
pub mod route;
