//! What keys may have done to a row: in words, and as the admin service takes it.
//!
//! Decides which order fits a row. Called by [`super::keys`]. Orders nothing itself.

use super::rows::TopRow;
use crate::admin::client::escaped;

/// A question, and the path to POST to when the answer is yes.
pub(super) struct RowOrder {
    pub(super) question: String,
    pub(super) path: String,
}

/// Takes an endpoint out.
pub(super) fn drain(row: &TopRow) -> RowOrder {
    let endpoint = escaped(&format!("{}/{}", row.pool, row.name));
    let question = format!("drain {} of pool {}: no new requests, until undrained", row.name, row.pool);
    RowOrder { question, path: format!("/api/drain?endpoint={endpoint}") }
}

/// Takes it back.
pub(super) fn undrain(row: &TopRow) -> RowOrder {
    let endpoint = escaped(&format!("{}/{}", row.pool, row.name));
    RowOrder {
        question: format!("undrain {} of pool {}", row.name, row.pool),
        path: format!("/api/undrain?endpoint={endpoint}"),
    }
}

/// Replaces the workers of a row's pool; nothing where it has none.
pub(super) fn restart(row: &TopRow) -> Option<RowOrder> {
    row.is_worker.then(|| RowOrder {
        question: format!("restart pool {}: replace its workers one by one", row.pool),
        path: format!("/api/restart?pool={}", escaped(&row.pool)),
    })
}
