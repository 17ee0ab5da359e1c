//! What is told of the work: access log, counters, request ids, the last lines of logs, and the thread that writes.
//!
//! Decides how a request is told in one line and as what it counts. Called by `proxy` and `forward`, which fill in one [`Record`] a request, and
//! by `app`, which opens the [`Writer`]. Never waits for a disk or a pipe on a proxy thread.

mod access_log;
mod batch;
mod by_endpoint;
mod clock;
mod failures;
mod histogram;
mod ids;
mod journal;
mod line;
mod metrics;
mod observer;
mod orders;
mod past;
pub mod printable;
mod record;
mod sink;
mod sinks;
mod stories;
mod story;
mod target;
mod writer;

pub use access_log::AccessLog;
pub use by_endpoint::{EndpointKey, EndpointTotals, Lasting};
pub use clock::{Clock, http_date};
pub use failures::{OF_ENDPOINTS, OURS, STATUS};
pub use histogram::{BOUNDS, Times};
pub use ids::{Ids, RequestId};
pub use journal::{Journal, JournalLine, Reader};
pub use metrics::{MethodLabel, Metrics, Totals, Word};
pub use observer::Observer;
pub use orders::{Destination, LogFile};
pub use past::{Attempt, By, CANDIDATES_MAX, Candidate, Candidates, Choice, Claim, Past};
pub use record::Record;
pub use stories::{Ring, Stories, Which};
pub use story::Head;
pub use writer::Writer;
