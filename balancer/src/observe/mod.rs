//! What is told of the work: access log, counters, request ids, the last lines of logs, and the thread that writes.
//!
//! Decides how a request is told in one line and as what it counts. Called by `proxy` and `forward`, which fill in one [`Record`] a request, and
//! by `app`, which opens the [`Writer`]. Never waits for a disk or a pipe on a proxy thread.

mod access_log;
mod batch;
mod clock;
mod ids;
mod journal;
mod line;
mod metrics;
mod observer;
mod orders;
pub mod printable;
mod record;
mod sink;
mod sinks;
mod story;
mod target;
mod writer;

pub use access_log::AccessLog;
pub use clock::{Clock, http_date};
pub use ids::{Ids, RequestId};
pub use journal::{Journal, Kept, Reader};
pub use metrics::{BOUNDS, MethodLabel, Metrics, Times, Totals, Word};
pub use observer::Observer;
pub use orders::{Destination, LogFile};
pub use record::Record;
pub use story::Head;
pub use writer::Writer;
