//! The admin service: status, commands, metrics and a live page, on a socket of its own.
//!
//! Decides who may ask and how an answer is written; what is asked to be done goes to `app` as an [`AdminOrder`]. Called by `app`,
//! which keeps an [`Instance`] up to date, and by `cli`, whose commands are clients ([`client`]). Never acts itself, and never
//! lets a client that is slow or gone hold up anybody.

mod accept;
mod access;
mod account;
mod answer;
mod certificates;
#[cfg(test)]
mod certificates_tests;
pub mod client;
mod explain;
mod exposition;
mod follow;
mod history;
mod instance;
mod introduction;
mod live;
mod opened;
mod openmetrics;
mod order;
mod page;
mod problem;
mod process;
mod prometheus;
mod route;
mod row;
mod row_json;
mod row_state;
#[cfg(test)]
mod row_tests;
mod samples;
mod server;
mod slow;
mod socket;
mod status;
mod strangers;
mod view;

pub use account::Account;
pub use instance::{Instance, Served, ServedPool, note};
pub use introduction::Introduction;
pub use opened::{Opened, Reopened, StartError};
pub use order::{AdminAction, AdminOrder, Outcome, Report, Reporter};
pub use server::AdminServer;
pub use socket::{all as all_sockets, candidates, name_of};
