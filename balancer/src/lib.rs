//! A reverse proxy that supervises the workers it balances over.
pub mod config;
