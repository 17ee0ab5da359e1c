//! A reverse proxy that supervises the workers it balances over.
pub mod config;
pub mod endpoint;
pub mod pick;
pub mod pool;
pub mod supervise;
